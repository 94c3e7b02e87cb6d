//! Captures become traces and scenarios; broken ones are told, not guessed at.

use std::fs;
use std::path::Path;

use crate::common::{Bench, SHORT, end};
use loadgen::import::pcap::{Imported, import_capture, text};
use loadgen::scenario::Scenario;
use protocol::packet::{DOWNLINK_FLAG, Header};
use protocol::{MediaTimestamp, Sequence, Ssrc};

/// What stands before UDP in each packet.
#[derive(Clone, Copy)]
pub(crate) enum Below {
    Ethernet,
    Vlan,
    Ipv6,
}

const DEVICE: u16 = 40_000;
const GATEWAY: u16 = 8888;
const PAYLOAD: [u8; 40] = [0xA5; 40];

pub(crate) fn packet(below: Below, up: bool, frame: u32) -> Vec<u8> {
    let header = Header {
        flags: if up { 0 } else { DOWNLINK_FLAG },
        payload_len: u16::try_from(PAYLOAD.len()).unwrap(),
        ssrc: Ssrc::new(77),
        timestamp: MediaTimestamp::from_millis((frame + 1) * 60),
        sequence: Sequence::new(frame + 1),
    };
    let media = [&header.encode()[..], &PAYLOAD].concat();
    let (source, destination) = if up { (DEVICE, GATEWAY) } else { (GATEWAY, DEVICE) };
    let udp_len = u16::try_from(8 + media.len()).unwrap();
    let mut udp = Vec::new();
    for field in [source, destination, udp_len, 0] {
        udp.extend(field.to_be_bytes());
    }
    udp.extend(media);
    let mut out = vec![2; 12];
    match below {
        Below::Ethernet => out.extend([8, 0]),
        Below::Vlan => out.extend([0x81, 0, 0, 5, 8, 0]),
        Below::Ipv6 => out.extend([0x86, 0xDD]),
    }
    if matches!(below, Below::Ipv6) {
        out.extend([0x60, 0, 0, 0]);
        out.extend(udp_len.to_be_bytes());
        out.extend([17, 64]);
        out.extend([1; 16]);
        out.extend([1; 16]);
    } else {
        out.extend([0x45, 0]);
        out.extend((20 + udp_len).to_be_bytes());
        out.extend([0, 0, 0, 0, 64, 17, 0, 0, 10, 0, 0, 1, 10, 0, 0, 1]);
    }
    out.extend(udp);
    out
}

/// A capture in pcap's format; times in ms.
pub(crate) fn pcap(link: u32, snaplen: usize, packets: &[(u32, Vec<u8>)]) -> Vec<u8> {
    let mut file = Vec::new();
    file.extend(0xA1B2_C3D4u32.to_le_bytes());
    file.extend([2, 0, 4, 0, 0, 0, 0, 0, 0, 0, 0, 0]);
    file.extend(65_535u32.to_le_bytes());
    file.extend(link.to_le_bytes());
    for (ms, packet) in packets {
        let kept = packet.len().min(snaplen);
        let lengths = [kept, packet.len()].map(|length| u32::try_from(length).unwrap());
        for field in [1_800_000_000 + ms / 1000, ms % 1000 * 1000, lengths[0], lengths[1]] {
            file.extend(field.to_le_bytes());
        }
        file.extend(&packet[..kept]);
    }
    file
}

/// The same in pcapng's format, in nanoseconds.
fn pcapng(packets: &[(u32, Vec<u8>)]) -> Vec<u8> {
    let block = |kind: u32, body: &[u8]| {
        let length = u32::try_from(12 + body.len()).unwrap().to_le_bytes();
        [&kind.to_le_bytes()[..], &length, body, &length].concat()
    };
    let section = [&0x1A2B_3C4Du32.to_le_bytes()[..], &[1, 0, 0, 0], &[0xFF; 8]].concat();
    // Ethernet, any length; option 9: 10⁻⁹ s.
    let interface = [1, 0, 0, 0, 0, 0, 0, 0, 9, 0, 1, 0, 9, 0, 0, 0, 0, 0, 0, 0];
    let mut file = [block(0x0A0D_0D0A, &section), block(1, &interface)].concat();
    for (ms, packet) in packets {
        let nanos = 1_800_000_000_000_000_000 + u64::from(*ms) * 1_000_000;
        let length = u32::try_from(packet.len()).unwrap();
        let high = u32::try_from(nanos >> 32).unwrap();
        let low = u32::try_from(nanos & u64::from(u32::MAX)).unwrap();
        let mut body: Vec<u8> =
            [0, high, low, length, length].into_iter().flat_map(u32::to_le_bytes).collect();
        body.extend(packet);
        body.resize(body.len().next_multiple_of(4), 0);
        file.extend(block(6, &body));
    }
    file
}

/// Twenty frames: frame 3 is 100 ms late and overtaken, 7 is lost, 12 has no answer, the answer to 15
/// takes 30 ms longer than the 5 ms of others.
fn call(below: Below) -> Vec<(u32, Vec<u8>)> {
    let mut packets = Vec::new();
    for frame in (0..20).filter(|frame| *frame != 7) {
        let at = frame * 60 + if frame == 3 { 100 } else { 0 };
        packets.push((at, packet(below, true, frame)));
        if frame != 12 {
            packets.push((at + if frame == 15 { 35 } else { 5 }, packet(below, false, frame)));
        }
    }
    packets.sort_by_key(|(at, _)| *at);
    packets
}

fn import(file: &[u8], directory: &Path) -> Result<Imported, String> {
    let capture = directory.join("call.pcap");
    fs::write(&capture, file).unwrap();
    import_capture(&capture, None, &directory.join("out")).map_err(|error| format!("{error:#}"))
}

/// What the trace says of one direction: frame or answer, in its order, in ms.
fn column(trace: &str, direction: &str) -> Vec<String> {
    let of = format!(",{direction},");
    trace.lines().filter_map(|line| Some(line.split_once(&of)?.1.to_owned())).collect()
}

#[test]
fn a_call_becomes_a_trace_of_both_ways_whatever_lies_below_it() {
    for (below, snaplen) in
        [(Below::Ethernet, 9999), (Below::Vlan, 9999), (Below::Ipv6, 9999), (Below::Ethernet, 60)]
    {
        let directory = tempfile::tempdir().unwrap();
        let imported = import(&pcap(1, snaplen, &call(below)), directory.path()).unwrap();
        let call = &imported.calls[0];
        assert_eq!(imported.contents.cut_short, if snaplen == 60 { 37 } else { 0 });
        assert_eq!((call.lost_up, call.lost_down, call.reordered), (1, 1, 1));
        assert_eq!(call.frame.as_millis(), 60);
        let player = &call.heard.xiaozhi;
        // Lost: 7 and 12; too late for a player without a buffer: 3.
        assert_eq!((player.frames_sent, player.frames_lost, player.frames_late), (20, 2, 1));
        let trace = fs::read_to_string(&imported.trace).unwrap();
        let mut up = vec!["0.000"; 20];
        (up[3], up[7]) = ("100.000", "LOST");
        assert_eq!(column(&trace, "up"), up);
        // In the order in which they set out: 3 after 4; none of 7.
        let mut down = vec!["0.000"; 19];
        (down[11], down[14]) = ("LOST", "30.000");
        assert_eq!(column(&trace, "down"), down);
        Scenario::load(&imported.scenario, &[]).unwrap();
        let scenario = fs::read_to_string(&imported.scenario).unwrap();
        // 3 of 20 were not played: 15 %, a tenth of that and 1 % more.
        assert!(scenario.contains("<= 17.50%"), "{scenario}");
        assert!(!trace.contains("A5"), "no payload");
        assert!(text(&imported).contains("1 frames lost on the uplink, 1 without an answer"));
    }
}

#[test]
fn both_formats_say_the_same() {
    let directory = tempfile::tempdir().unwrap();
    let packets = call(Below::Ethernet);
    let traces = [pcap(1, 9999, &packets), pcapng(&packets)]
        .map(|file| fs::read_to_string(import(&file, directory.path()).unwrap().trace).unwrap());
    assert_eq!(traces[0], traces[1]);
    assert!(traces[0].contains("100.000"));
}

/// A device that answers to no clock: its timestamps are 0, as those of the firmware without echo
/// cancellation.
#[test]
fn a_device_without_a_clock_is_timed_by_its_sequence() {
    let directory = tempfile::tempdir().unwrap();
    let mut packets = call(Below::Ethernet);
    for (_, packet) in &mut packets {
        packet[42 + 8..42 + 12].fill(0);
    }
    let imported = import(&pcap(1, 9999, &packets), directory.path()).unwrap();
    let call = &imported.calls[0];
    assert!(!call.echoes);
    assert_eq!((call.frame.as_millis(), call.lost_up, call.reordered), (60, 1, 1));
    let trace = fs::read_to_string(&imported.trace).unwrap();
    let mut up = vec!["0.000"; 20];
    (up[3], up[7]) = ("100.000", "LOST");
    assert_eq!(column(&trace, "up"), up);
    assert!(column(&trace, "down").is_empty());
    assert!(text(&imported).contains("their uplink alone was traced"));
}

/// Ten frames, five seconds of silence, ten frames more of which one is lost: of a device that tells media
/// time, and of one that does not.
#[test]
fn silence_between_talkspurts_is_no_gap() {
    for has_clock in [true, false] {
        let directory = tempfile::tempdir().unwrap();
        let mut packets = Vec::new();
        for frame in (0..20).filter(|frame| *frame != 14) {
            let silence = if frame < 10 { 0 } else { 5000 };
            let mut packet = packet(Below::Ethernet, true, frame);
            let timestamp = if has_clock { (frame + 1) * 60 + silence } else { 0 };
            packet[42 + 8..42 + 12].copy_from_slice(&timestamp.to_be_bytes());
            packets.push((frame * 60 + silence, packet));
        }
        let imported = import(&pcap(1, 9999, &packets), directory.path()).unwrap();
        let call = &imported.calls[0];
        assert_eq!((call.talkspurts, call.lost_up), (2, 1), "{has_clock}");
        let player = &call.heard.xiaozhi;
        assert_eq!((player.frames_sent, player.frames_lost, player.stutters), (20, 1, 1));
        assert_eq!(player.longest_gap().as_millis(), 60);
        let trace = fs::read_to_string(&imported.trace).unwrap();
        // One more, which says what silence is like.
        let mut up = vec!["0.000"; 21];
        up[15] = "LOST";
        assert_eq!(column(&trace, "up"), up, "{has_clock}");
        assert!(text(&imported).contains("in 2 talkspurts: pauses between them are no gaps"));
    }
}

/// Times and sequences that no call has are left out; a packet that leaps away ends nothing.
#[test]
fn what_leaps_away_is_of_no_call() {
    let directory = tempfile::tempdir().unwrap();
    let mut packets = call(Below::Ethernet);
    let mut leap = packet(Below::Ethernet, true, 10);
    leap[42 + 12..42 + 16].fill(0x7F);
    packets.insert(12, (packets[12].0, leap));
    let mut late = packet(Below::Ethernet, true, 20);
    late[42 + 8..42 + 12].fill(0xFF);
    packets.push((1200, late));
    let imported = import(&pcap(1, 9999, &packets), directory.path()).unwrap();
    let call = &imported.calls[0];
    assert_eq!((call.lost_up, call.lasting.as_millis(), call.left_out), (1, 1200, 2));
    assert!(text(&imported).contains("left out   2 packets"));
}

/// Losses that add up to more than a day, as a fuzzer found them.
#[test]
fn a_trace_of_whatever_capture_can_be_read_again() {
    let directory = tempfile::tempdir().unwrap();
    let found = concat!(env!("CARGO_MANIFEST_DIR"), "/../fuzz/captures/leaps-that-add-up.pcap");
    let imported = import(&fs::read(found).unwrap(), directory.path()).unwrap();
    let trace = fs::read(&imported.trace).unwrap();
    simnet::Trace::read(&trace[..]).unwrap();
    assert!(imported.calls.iter().any(|call| call.left_out > 0));
}

#[test]
fn a_capture_that_ends_in_the_middle_is_good_up_to_there() {
    let directory = tempfile::tempdir().unwrap();
    let whole = pcap(1, 9999, &call(Below::Ethernet));
    let imported = import(&whole[..whole.len() - 20], directory.path()).unwrap();
    assert!(imported.contents.truncated);
    assert_eq!(imported.contents.packets, 36);
    assert!(text(&imported).contains("ends in the middle of a packet"));
    assert!(!import(&whole, directory.path()).unwrap().contents.truncated);
}

#[test]
fn what_is_no_capture_of_calls_is_told() {
    let packets = call(Below::Ethernet);
    let mut strange = packets.clone();
    for (_, packet) in &mut strange {
        packet[42] = 9;
    }
    let mut damaged = pcap(1, 9999, &packets);
    // As a fuzzer found it.
    let short_block = include_bytes!("../../../fuzz/captures/short-block.pcapng");
    damaged[24 + 8..24 + 12].copy_from_slice(&u32::MAX.to_le_bytes());
    for (file, says) in [
        (Vec::new(), "the file is empty"),
        (b"not a capture, but a line of text that goes on".to_vec(), "this is no capture"),
        (pcap(1, 9999, &[])[..10].to_vec(), "no packet is in it"),
        (pcap(105, 9999, &packets), "packet 1: link type 105 is not known"),
        (pcap(1, 9999, &[]), "no call in it"),
        (pcap(1, 9999, &strange), "It has 37 packets, 37 of UDP"),
        (pcap(1, 50, &packets), "no call in it"),
        (damaged, "damaged after packet 0"),
        (short_block.to_vec(), "a block shorter than its own frame"),
    ] {
        let directory = tempfile::tempdir().unwrap();
        let error = import(&file, directory.path()).unwrap_err();
        assert!(error.contains(says), "{error} <> {says}");
        assert!(error.contains("call.pcap"), "{error}");
    }
}

/// Production's timeouts, and the requests between them.
#[test]
fn a_log_becomes_work_of_a_gateway() {
    let bench = Bench::new(SHORT);
    let requests = (0..90).map(|number| format!("request {number} took {}ms\n", 1 + number % 3));
    let timeouts = (0..10).map(|number| {
        format!("❌ [WORKER] Encode error: Worker request {number} timeout after 50ms\n")
    });
    fs::write(bench.path("gateway.log"), requests.chain(timeouts).collect::<String>()).unwrap();
    let ended = end(bench.din(&["import", "log", "gateway.log"]));
    assert_eq!(ended.code, Some(0), "{}", ended.stderr);
    assert!(ended.stdout.contains("90 with their latency, 10 given up"), "{}", ended.stdout);
    let scenario = "gateway/scenario.toml";
    let short = ["--set", "phase.0.hold=3s", "--set", "phase.0.devices=4", "--set", "drain=2s"];
    let ended =
        end(bench.din(&[&["run", scenario, "--out", "run", "--quiet"], &short[..]].concat()));
    assert!(bench.path("run/run.json").exists(), "{}", ended.stderr);
    // A tenth of 200 frames takes 50 ms.
    let work = &bench.record()["metrics"]["gateway_work"];
    let millis = |which: &str| work[which].as_f64().unwrap();
    assert!(millis("p50") >= 1.0 && millis("p50") < 40.0, "{work}");
    assert!(millis("max") >= 50.0, "{work}");
    for (arguments, says) in [
        (&["import", "log", "test.toml"][..], "none of its 11 lines tells"),
        (&["import", "log", "gateway.log", "--pattern", "(.*)"], "names none of the groups"),
        (&["import", "log", "nothing.log"], "cannot open nothing.log"),
    ] {
        let ended = end(bench.din(arguments));
        assert_eq!(ended.code, Some(2));
        assert!(ended.stderr.contains(says), "{}", ended.stderr);
    }
}
