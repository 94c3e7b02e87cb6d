//! Each fault that can be switched on: a device sees its effect, and the gateway tells of it.

use std::collections::BTreeSet;
use std::time::{Duration, Instant};

use crate::fixture::{
    CLIENT_ID, Call, Client, UPLINK, assert_accounts_close, callers, client_id, get, start_telling,
    status, until, until_settled,
};
use codec::{Decoder, Encoder, EncoderSettings};
use gateway::{Backend, RunningGateway};
use protocol::control::{DeviceHello, DeviceMessage, Features, Goodbye};
use protocol::packet::{HEADER_LEN, Header};
use protocol::{MediaTimestamp, SampleRate};

/// A plausible packet of 60 ms for gateways that relay: only its first byte means something.
const PACKET: [u8; 40] = {
    let mut packet = [7; 40];
    packet[0] = 11 << 3;
    packet
};

/// A gateway with one worker and these faults.
fn faulty(kind: Backend, faults: &str) -> RunningGateway {
    start_telling(kind, &format!("pool.workers = 1\n[faults]\n{faults}\n"))
}

/// Checks that the gateway tells of this fault, as configured and as counted, and of no other.
fn assert_told(gateway: &RunningGateway, fault: Option<&str>) {
    let fault: Vec<_> = fault.into_iter().collect();
    let status = status(gateway);
    let configured = status["faults"]["configured"].as_object().unwrap();
    assert_eq!(configured.keys().collect::<Vec<_>>(), fault);
    let counted = status["counters"]["faults"].as_object().unwrap();
    let struck = counted.iter().filter(|(_, count)| **count != 0);
    assert_eq!(struck.map(|(name, _)| name.as_str()).collect::<Vec<_>>(), fault);

    let telemetry = gateway.telemetry_addr().unwrap();
    let metrics = String::from_utf8(get(telemetry, "/metrics")).unwrap();
    let not_zero = |family: &str, label: &str| {
        let begin = format!("din_gateway_{family}{{{label}=\"");
        let samples = metrics.lines().filter_map(|line| line.strip_prefix(&begin));
        let samples = samples.map(|sample| sample.split_once("\"} ").expect("a value"));
        let not_zero = samples.filter(|(_, value)| *value != "0");
        not_zero.map(|(name, _)| name.to_owned()).collect::<Vec<_>>()
    };
    assert_eq!(not_zero("faults_total", "cause"), fault);
    assert_eq!(not_zero("fault_active", "fault"), fault);
}

/// A device in a call.
fn caller(gateway: &RunningGateway) -> (Client, Call) {
    callers(gateway.mqtt_addr(), 1).remove(0)
}

fn timestamps(replies: &[(Header, Vec<u8>)]) -> Vec<u32> {
    replies.iter().map(|(header, _)| header.timestamp.as_millis()).collect()
}

#[test]
fn without_faults_none_is_told_of() {
    for faults in ["", "seed = 7", "dropped_replies = \"0%\"\nhello_delay = \"0s\""] {
        let gateway = faulty(Backend::Echo, faults);
        for (_, call) in &mut callers(gateway.mqtt_addr(), 2) {
            call.round_trip();
        }
        let counted = gateway.counters().faults;
        assert_eq!(counted.total(), 0, "{counted:?}");
        if faults.is_empty() {
            assert_told(&gateway, None);
        }
    }
}

/// What a session's own coders answer to its packets.
fn answers(packets: &[Vec<u8>]) -> Vec<Vec<u8>> {
    let mut decoder = Decoder::new(SampleRate::HZ_24000).unwrap();
    let mut encoder = Encoder::new(&EncoderSettings::gateway_downlink()).unwrap();
    let (mut pcm, mut answer) = ([0; 1440], [0; 1276]);
    let mut answer_to = |packet: &Vec<u8>| {
        decoder.decode(packet, &mut pcm).unwrap();
        let len = encoder.encode(&pcm, &mut answer).unwrap();
        answer[..len].to_vec()
    };
    packets.iter().map(&mut answer_to).collect()
}

/// Packets of a saw whose period is so many samples.
fn saw(period: i16) -> Vec<Vec<u8>> {
    let mut encoder = Encoder::new(&EncoderSettings::firmware_uplink()).unwrap();
    let frame: Vec<i16> = (0..960).map(|n| (n % period) * (10_000 / period) - 5000).collect();
    let mut packet = [0; 1276];
    let mut next = || {
        let len = encoder.encode(&frame, &mut packet).unwrap();
        packet[..len].to_vec()
    };
    (0..5).map(|_| next()).collect()
}

#[test]
fn shared_codec_mixes_streams_that_are_apart_without_it() {
    for shared in [false, true] {
        let gateway = faulty(Backend::Echo, &format!("shared_codec = {shared}"));
        let mut devices = callers(gateway.mqtt_addr(), 2);
        let streams = [saw(50), saw(31)];
        let mut heard = [Vec::new(), Vec::new()];
        for frame in 0..streams[0].len() {
            for (((_, call), packets), heard) in devices.iter_mut().zip(&streams).zip(&mut heard) {
                call.send(&packets[frame]);
                heard.push(call.hear().1);
            }
        }
        assert!((heard == streams.map(|packets| answers(&packets))) != shared);
        assert_told(&gateway, shared.then_some("shared_codec"));
    }
}

#[test]
fn reordered_replies_come_after_the_next_one() {
    let gateway = faulty(Backend::Relay, "reordered_replies = \"100%\"");
    let (client, mut call) = caller(&gateway);
    (0..5).for_each(|_| call.send(&PACKET));
    until_settled(&gateway, 5);
    assert_eq!(timestamps(&call.heard()), [120, 60, 240, 180], "the fifth waits for a sixth");
    assert_eq!(gateway.counters().faults.reordered_replies, 3);
    assert_told(&gateway, Some("reordered_replies"));
    drop(client);
    let counters = gateway.stop().unwrap();
    assert_eq!((counters.frames_out, counters.dropped.session_ended), (4, 1));
    assert_accounts_close(&counters);
}

#[test]
fn dropped_replies_never_come() {
    let gateway = faulty(Backend::Relay, "dropped_replies = \"100%\"");
    let (_client, mut call) = caller(&gateway);
    (0..5).for_each(|_| call.send(&PACKET));
    until_settled(&gateway, 5);
    assert!(call.heard().is_empty());
    assert_told(&gateway, Some("dropped_replies"));
    let counters = gateway.stop().unwrap();
    assert_eq!((counters.faults.dropped_replies, counters.dropped.by_fault), (5, 5));
    assert_accounts_close(&counters);
}

#[test]
fn some_dropped_replies_are_a_share_of_all_and_the_same_ones_each_time() {
    let answered = || {
        let gateway = faulty(Backend::Relay, "dropped_replies = \"50%\"");
        let (_client, mut call) = caller(&gateway);
        (0..20).for_each(|_| call.send(&PACKET));
        until_settled(&gateway, 20);
        let heard = timestamps(&call.heard());
        assert_eq!(20 - heard.len() as u64, gateway.counters().faults.dropped_replies);
        heard
    };
    let (first, second) = (answered(), answered());
    assert!((1..20).contains(&first.len()), "{first:?}");
    assert_eq!(first, second);
}

#[test]
fn duplicated_replies_come_twice_and_count_once() {
    let gateway = faulty(Backend::Relay, "duplicated_replies = \"100%\"");
    let (_client, mut call) = caller(&gateway);
    (0..2).for_each(|_| call.send(&PACKET));
    until_settled(&gateway, 2);
    let heard = call.heard();
    assert_eq!(timestamps(&heard), [60, 60, 120, 120]);
    assert_eq!(heard[0], heard[1]);
    assert_told(&gateway, Some("duplicated_replies"));
    let counters = gateway.stop().unwrap();
    assert_eq!((counters.frames_out, counters.faults.duplicated_replies), (2, 2));
    assert_accounts_close(&counters);
}

#[test]
fn stalls_are_counted_and_lose_nothing() {
    for fault in ["worker_stall", "gateway_stall"] {
        let faults = format!("{fault} = {{ every = \"200ms\", for = \"50ms\" }}");
        let gateway = faulty(Backend::Relay, &faults);
        let (mut client, mut call) = caller(&gateway);
        let mut sent = 0;
        // Frames come before, in and after stalls.
        until(fault, || {
            sent += 1;
            call.round_trip();
            client.ping();
            let stalls = gateway.counters().faults.total();
            (stalls >= 3).then_some(())
        });
        assert_told(&gateway, Some(fault));
        drop(client);
        let counters = gateway.stop().unwrap();
        assert_eq!((counters.frames_in, counters.frames_out), (sent, sent), "{fault}");
        assert_accounts_close(&counters);
    }
}

#[test]
fn a_wrong_key_makes_frames_implausible() {
    let gateway = faulty(Backend::Relay, "wrong_key = \"100%\"");
    let (_client, mut call) = caller(&gateway);
    (0..20).for_each(|_| call.send(&PACKET));
    let judged = || {
        let counters = gateway.counters();
        let judged = counters.dropped.implausible + counters.frames_accepted;
        (judged == 20).then_some(counters)
    };
    // By chance, one packet in some thirty opens to something plausible.
    let counters = until("all frames judged", judged);
    assert!(counters.dropped.implausible > 10, "{counters:?}");
    assert_told(&gateway, Some("wrong_key"));
    assert_eq!(gateway.counters().faults.wrong_key, 1, "one session");
}

#[test]
fn foreign_audio_is_that_of_the_session_that_came_first() {
    let gateway = faulty(Backend::Relay, "foreign_audio = \"100%\"");
    let devices = &mut callers(gateway.mqtt_addr(), 2)[..];
    let [(_, first), (_, second)] = devices else { panic!("two devices") };
    let (ours, theirs) = (PACKET, [&PACKET[..10], &[9; 30]].concat());
    first.send(&ours);
    assert_eq!(first.hear().1, ours, "nobody else has spoken");
    second.send(&theirs);
    let (header, heard) = second.hear();
    assert_eq!((header.timestamp, heard), (MediaTimestamp::from_millis(60), ours.to_vec()));
    first.send(&theirs);
    assert_eq!(first.hear().1, theirs, "who lends hears its own");
    assert_told(&gateway, Some("foreign_audio"));
}

#[test]
fn keystream_reuse_repeats_a_keystream_one_block_further() {
    const BLOCK: usize = 16;
    let gateway = faulty(Backend::Relay, "keystream_reuse = \"100%\"");
    let (_client, mut call) = caller(&gateway);
    let plain = [PACKET, std::array::from_fn(|n| if n == 0 { 11 << 3 } else { PACKET[n] + 99 })];
    let sealed = plain.map(|packet| {
        call.send(&packet);
        call.hear_sealed()
    });
    let [one, two] = sealed.each_ref().map(|datagram| Header::decode(datagram).unwrap());
    assert_eq!((one.timestamp, one.payload_len), (two.timestamp, two.payload_len));
    assert_eq!(two.sequence, one.sequence.next());
    // Whoever listens learns the difference of what was said, without any key.
    let difference = |one: &[u8], two: &[u8]| {
        one[BLOCK..].iter().zip(two).map(|(one, two)| one ^ two).collect::<Vec<_>>()
    };
    let [one, two] = sealed.each_ref().map(|datagram| &datagram[HEADER_LEN..]);
    assert_eq!(difference(one, two), difference(&plain[0], &plain[1]));
    assert_told(&gateway, Some("keystream_reuse"));
}

#[test]
fn keystream_reuse_makes_packets_of_one_size() {
    for (share, constant) in [("0%", false), ("100%", true)] {
        let gateway = faulty(Backend::Echo, &format!("keystream_reuse = \"{share}\""));
        let (_client, mut call) = caller(&gateway);
        let sizes: BTreeSet<_> = (0..10)
            .map(|_| {
                call.send_next();
                call.hear().1.len()
            })
            .collect();
        assert_eq!(sizes.len() == 1, constant, "{share}: {sizes:?}");
    }
}

#[test]
fn a_delayed_hello_is_answered_and_not_before() {
    const DELAY: Duration = Duration::from_millis(100);
    let gateway = faulty(Backend::Relay, "hello_delay = \"100ms\"");
    let mut client = Client::connect(gateway.mqtt_addr(), CLIENT_ID);
    let said = Instant::now();
    let mut call = client.call();
    assert!(said.elapsed() >= DELAY);
    call.round_trip();
    assert_told(&gateway, Some("hello_delay"));
}

#[test]
fn hellos_beyond_the_limit_are_not_answered_until_there_is_room() {
    let gateway = faulty(Backend::Relay, "hello_limit = 1");
    let (mut first, mut call) = caller(&gateway);
    let mut second = Client::connect(gateway.mqtt_addr(), &client_id(1));
    second.say(&DeviceMessage::Hello(DeviceHello::new(UPLINK, Features::default())));
    // The next it hears is the answer to this.
    second.ping();
    call.round_trip();
    assert_eq!(gateway.counters().faults.hello_limit, 1);
    first.say(&DeviceMessage::Goodbye(Goodbye::default()));
    first.ping();
    second.call().round_trip();
    assert_told(&gateway, Some("hello_limit"));
    drop((first, second));
    let counters = gateway.stop().unwrap();
    assert_eq!((counters.sessions_opened, counters.hellos_refused), (2, 0));
    assert_accounts_close(&counters);
}

#[test]
fn a_crash_costs_the_frame_in_hand_and_nothing_else() {
    const ROUNDS: u64 = 10;
    const BURST: u64 = 10;
    let toml = "pool.workers = 2\n[faults]\nworker_crash = \"20%\"";
    let gateway = start_telling(Backend::Relay, toml);
    let mut devices = callers(gateway.mqtt_addr(), 4);
    let mut heard = vec![Vec::new(); devices.len()];
    let sent_by_each = ROUNDS * BURST;
    let sent = sent_by_each * devices.len() as u64;
    for round in 1..=ROUNDS {
        for (_, call) in &mut devices {
            (0..BURST).for_each(|_| call.send(&PACKET));
        }
        until_settled(&gateway, round * sent / ROUNDS);
        for ((_, call), heard) in devices.iter().zip(&mut heard) {
            heard.extend(timestamps(&call.heard()));
        }
    }
    for heard in &heard {
        assert!(heard.is_sorted_by(|a, b| a < b), "in order: {heard:?}");
        let answered: BTreeSet<_> =
            heard.iter().map(|timestamp| u64::from(timestamp / 60)).collect();
        let first_lost = (1..=sent_by_each).find(|frame| !answered.contains(frame));
        assert!(first_lost < answered.last().copied(), "answered afterwards: {answered:?}");
    }
    assert_told(&gateway, Some("worker_crash"));
    drop(devices);
    let counters = gateway.stop().unwrap();
    let lost = sent - heard.iter().map(|heard| heard.len() as u64).sum::<u64>();
    assert!(lost > 0);
    let crashes = counters.faults.worker_crash;
    assert_eq!([crashes, counters.worker_panics, counters.dropped.worker_panic], [lost; 3]);
    assert_eq!(counters.dropped.total(), lost);
    assert_eq!((counters.frames_accepted, counters.frames_settled), (sent, sent));
    assert_accounts_close(&counters);
}

#[test]
fn leaked_memory_is_accounted_for_to_the_byte() {
    let gateway = faulty(Backend::Relay, "leak_per_frame = \"4KiB\"");
    let (_client, mut call) = caller(&gateway);
    (0..10).for_each(|_| call.send(&PACKET));
    until_settled(&gateway, 10);
    assert_told(&gateway, Some("leak_per_frame"));
    assert_eq!(status(&gateway)["faults"]["leaked_bytes"], 10 * 4096);
}
