//! Answers over a real socket, each of a kind of its own.

use super::*;
use crate::media::call::tests::call_to;
use crate::media::checker::tests::checker;
use crate::media::talkspurt::Talkspurt;
use crate::scenario::Phase;
use measure::Metric;
use protocol::packet::HEADER_LEN;
use std::net::UdpSocket;

/// The answer to `frame`: 60 ms of SILK, as far as its table of contents goes.
fn answer(call: &Call, frame: u64, toc: u8) -> Vec<u8> {
    let mut datagram = vec![0; HEADER_LEN + 10];
    datagram[HEADER_LEN] = toc;
    let sequence = Talkspurt::ENDLESS.sequence(frame);
    call.cipher.seal(call.timestamp(frame), sequence, &mut datagram);
    datagram
}

const SILK_60_MS: u8 = 11 << 3;
const SILK_20_MS: u8 = 9 << 3;

#[test]
fn answers_are_matched_counted_and_timed_from_the_plan() {
    let clock = Clock::start();
    let hold = Duration::from_secs(10);
    let phase = Phase::plain("test", 1, Duration::ZERO, hold);
    let checker = checker(0);
    let listener =
        Listener::start(clock, PhaseTimes::new(&[phase]), checker.inbox(), Priority::Ordinary)
            .unwrap();

    let peer = UdpSocket::bind("127.0.0.1:0").unwrap();
    let call = Arc::new(call_to(&peer, 1, Moment::START));
    let device = call.socket.local_addr().unwrap();
    for frame in 0..4 {
        call.note_sending(frame, Duration::from_millis(frame));
    }
    listener.listen(Arc::clone(&call));

    let mut other_session = answer(&call, 0, SILK_60_MS);
    other_session[7] ^= 0xFF;
    for datagram in [
        answer(&call, 0, SILK_60_MS),
        answer(&call, 2, SILK_60_MS),
        answer(&call, 1, SILK_60_MS), // reordered
        answer(&call, 1, SILK_60_MS), // duplicate
        answer(&call, 9, SILK_60_MS), // never sent
        other_session,
        b"hello".to_vec(),
        answer(&call, 2, 3), // duplicate, of no frames at all: no Opus packet
        answer(&call, 3, SILK_20_MS), // wrong duration
    ] {
        peer.send_to(&datagram, device).unwrap();
    }
    // The last datagram is an answer: once it is counted, all others have been read.
    while listener.answered() < 4 {
        thread::yield_now();
    }
    listener.leave(Arc::clone(&call));
    let (report, intervals) = listener.stop();
    drop(checker);

    let counts = &report.phases[0].counts;
    let counted = |metric| counts.iter().find(|(of, _)| *of == metric).unwrap().1;
    assert_eq!(counted(Metric::FramesReceived), 4);
    assert_eq!(counted(Metric::FramesReordered), 1);
    assert_eq!(counted(Metric::FramesDuplicate), 2);
    assert_eq!(counted(Metric::Undecipherable), 1);
    assert_eq!(counted(Metric::FramesUnmatched), 3);
    assert_eq!(counted(Metric::WrongDuration), 1);
    let phase = &report.phases[0];
    assert_eq!(phase.response_latency.count(), 4);
    assert_eq!(phase.service_latency.count(), 4);
    // Nobody asked for the interval, so all is in the one that is left.
    assert_eq!(intervals.len(), 1);
    assert_eq!(intervals[0].times.each_ref().map(Distribution::count), [4; 3]);
    assert_eq!(report.calls.len(), 1);
    let of_call = &report.calls[0];
    assert_eq!((of_call.sent, of_call.answered), (4, 4));
    let heard = &of_call.experienced;
    assert_eq!((heard.loss.total(), heard.loss.lost()), (4, 0));
    let played = &heard.xiaozhi;
    assert_eq!((played.frames_played, played.frames_late, played.frames_duplicate), (3, 1, 2));
    assert_eq!((report.ipdv.count(), report.pdv.count()), (3, 4));
    // The second answer to frame 2 is another one under the same header.
    assert_eq!((report.wrong_session, report.keystream_reuse), (1, 1));
    assert_eq!(report.keystream_uncertain, 0);
    // Planned 0, 60, 120 and 180 ms after the start, and the answers came before: no latency
    // can be negative.
    assert!(of_call.latency_max < Duration::from_secs(10));
}

#[test]
fn rare_packets_are_read_at_once_and_many_in_rounds() {
    let us = |micros: u64| Moment::from_nanos(micros * 1000);
    let mut rounds = Rounds::default();
    for (began, collect_until) in [
        (0, None),
        (60_000, None),
        (60_700, Some(61_200)),
        // A round that was waited for: 530 µs later, as threads wake late.
        (61_230, Some(61_730)),
        (61_760, Some(62_260)),
        (62_760, None),
    ] {
        assert_eq!(rounds.begin(us(began)), collect_until.map(us), "{began}");
    }
    // Where reading is arrival, nothing waits.
    rounds.unstamped = true;
    assert_eq!(rounds.begin(us(62_800)), None);
}
