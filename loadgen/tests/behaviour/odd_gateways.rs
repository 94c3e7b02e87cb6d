//! Gateways that misbehave: the run says what they did, ends in time, and its accounts close.

use std::io::{ErrorKind, Read, Write};
use std::net::{SocketAddr, TcpListener, TcpStream};
use std::thread;
use std::time::{Duration, Instant};

use serde_json::{Value, json};

use crate::common::{Bench, SHORT, count, end, expected_code};

/// A gateway made by hand: it answers each message of a device with the messages that `answers`
/// gives, all in one write. The connection's number is counted from 0, the preflight's.
fn gateway(answers: impl Fn(usize, &Value) -> Vec<Value> + Send + Clone + 'static) -> SocketAddr {
    let listener = TcpListener::bind("127.0.0.1:0").unwrap();
    let addr = listener.local_addr().unwrap();
    thread::spawn(move || {
        for (number, connection) in listener.incoming().enumerate() {
            let answers = answers.clone();
            thread::spawn(move || {
                converse(connection.unwrap(), |message| answers(number, message));
            });
        }
    });
    addr
}

/// Reads MQTT packets until the connection ends; every PUBLISH is answered.
fn converse(mut connection: TcpStream, answers: impl Fn(&Value) -> Vec<Value>) {
    while let Ok((kind, body)) = read_packet(&mut connection) {
        let reply = match kind >> 4 {
            1 => vec![0x20, 2, 0, 0],
            3 => {
                let topic = usize::from(u16::from_be_bytes([body[0], body[1]]));
                let message = serde_json::from_slice(&body[2 + topic..]).unwrap();
                answers(&message).iter().flat_map(publish).collect()
            }
            _ => continue,
        };
        if connection.write_all(&reply).is_err() {
            return;
        }
    }
}

fn read_packet(connection: &mut TcpStream) -> std::io::Result<(u8, Vec<u8>)> {
    let mut byte = [0];
    connection.read_exact(&mut byte)?;
    let kind = byte[0];
    let (mut length, mut shift) = (0, 0);
    loop {
        connection.read_exact(&mut byte)?;
        length |= usize::from(byte[0] & 0x7F) << shift;
        shift += 7;
        if byte[0] & 0x80 == 0 {
            break;
        }
    }
    let mut body = vec![0; length];
    connection.read_exact(&mut body)?;
    Ok((kind, body))
}

fn publish(message: &Value) -> Vec<u8> {
    let (topic, payload) = ("devices/p2p/x", message.to_string());
    let mut length = 2 + topic.len() + payload.len();
    let mut packet = vec![0x30];
    while length >= 0x80 {
        packet.push(u8::try_from(length & 0x7F).unwrap() | 0x80);
        length >>= 7;
    }
    packet.push(u8::try_from(length).unwrap());
    packet.extend(u16::try_from(topic.len()).unwrap().to_be_bytes());
    packet.extend(topic.as_bytes());
    packet.extend(payload.as_bytes());
    packet
}

/// A hello that grants audio on a port where nobody answers.
fn grant(number: usize) -> Value {
    let nonce = format!("01000000{number:08x}{}", "0".repeat(16));
    json!({
        "type": "hello", "version": 3, "session_id": format!("s{number}"), "transport": "udp",
        "udp": { "server": "127.0.0.1", "port": 9, "encryption": "aes-128-ctr",
                 "key": format!("{number:032x}"), "nonce": nonce },
        "audio_params": { "format": "opus", "sample_rate": 24000, "channels": 1, "frame_duration": 60 },
    })
}

fn is_hello(message: &Value) -> bool {
    message["type"] == "hello"
}

fn run_against(bench: &Bench, target: SocketAddr, sets: &[&str]) -> (Option<i32>, String) {
    let mut command = bench.din_run();
    command.args(["--target", &format!("mqtt://{target}"), "--set", "drain=100ms"]);
    command.args(sets.iter().flat_map(|set| ["--set", set]));
    let ended = end(command);
    (ended.code, ended.stdout + &ended.stderr)
}

#[test]
fn one_that_refuses_everyone_fails_the_run_and_does_not_make_it_invalid() {
    let target = gateway(|number, message| match number {
        _ if !is_hello(message) => vec![],
        0 => vec![grant(0)],
        _ => vec![json!({ "type": "error", "message": "full" })],
    });
    let bench = Bench::new(SHORT);
    let (code, text) = run_against(&bench, target, &[]);
    let record = bench.record();
    assert_eq!((code, record["verdict"].as_str()), (Some(1), Some("fail")), "{text}");
    // A host that is busy makes it SUSPECT; the gateway has no part in that.
    let busy = ["steal_time", "arrival_lag", "timer_probe"];
    let reasons = record["validity"]["reasons"].as_array().unwrap();
    let rule = |reason: &Value| reason["rule"].as_str().unwrap_or("").to_owned();
    assert!(reasons.iter().all(|reason| busy.contains(&&rule(reason)[..])), "{text}");
    assert_ne!(record["validity"]["state"], "INVALID", "{text}");
    assert_eq!(count(&record, "sessions_failed"), 3);
    assert!(count(&record, "frames_unserved") > 0);
    assert!(text.contains("3 × hello was refused: full"), "{text}");
}

#[test]
fn one_that_floods_devices_with_requests_holds_up_nobody() {
    let target = gateway(|number, message| {
        if !is_hello(message) {
            return vec![];
        }
        let request = |id| json!({ "type": "mcp", "payload": { "jsonrpc": "2.0", "method": "tools/list", "id": id } });
        let flood = (0..300).map(request);
        if number == 0 { vec![grant(0)] } else { flood.chain([grant(number)]).collect() }
    });
    let bench = Bench::new(SHORT);
    let (_, text) = run_against(&bench, target, &[]);
    let record = bench.record();
    assert_eq!(count(&record, "sessions_opened"), 3, "{text}");
    assert_eq!(count(&record, "frames_sent"), count(&record, "frames_planned"), "{text}");
}

#[test]
fn one_that_answers_hello_late_is_charged_with_the_frames_that_were_not_served() {
    let target = gateway(|number, message| {
        if number > 0 {
            // The gateway's own slowness, not a wait of the test.
            let until = Instant::now() + Duration::from_millis(400);
            while is_hello(message) && Instant::now() < until {
                thread::yield_now();
            }
        }
        if is_hello(message) { vec![grant(number)] } else { vec![] }
    });
    let bench = Bench::new(SHORT);
    let (_, text) = run_against(&bench, target, &[]);
    let record = bench.record();
    assert_eq!(count(&record, "sessions_opened"), 3, "{text}");
    assert!(count(&record, "frames_unserved") >= 3 * 6, "{text}");
}

#[test]
fn one_that_never_answers_some_devices_is_charged_with_failed_sessions() {
    let target =
        gateway(
            |number, message| {
                if is_hello(message) && number < 3 { vec![grant(number)] } else { vec![] }
            },
        );
    let bench = Bench::new(SHORT);
    let (code, text) = run_against(&bench, target, &[]);
    let record = bench.record();
    // The hello timeout of 10 s is longer than the call of 1 s.
    assert_eq!(count(&record, "sessions_planned"), 3, "{text}");
    assert_eq!(count(&record, "sessions_opened"), 2, "{text}");
    assert_eq!(count(&record, "sessions_failed"), 1, "{text}");
    assert!(text.contains("the handshake was not over when the call was to end"), "{text}");
    assert_eq!(code, Some(expected_code(&record)));
}

#[test]
fn one_that_closes_every_connection_after_hello_fails_or_loses_every_session() {
    let target =
        gateway(|number, message| if is_hello(message) { vec![grant(number)] } else { vec![] });
    // A proxy that cuts the line once hello was answered.
    let proxy = TcpListener::bind("127.0.0.1:0").unwrap();
    let addr = proxy.local_addr().unwrap();
    thread::spawn(move || {
        for (number, device) in proxy.incoming().enumerate() {
            let device = device.unwrap();
            let upstream = TcpStream::connect(target).unwrap();
            let (mut up_in, mut up_out) =
                (device.try_clone().unwrap(), upstream.try_clone().unwrap());
            thread::spawn(move || std::io::copy(&mut up_in, &mut up_out));
            thread::spawn(move || relay_until_hello(upstream, device, number > 0));
        }
    });
    let bench = Bench::new(SHORT);
    let (code, text) = run_against(&bench, addr, &[]);
    let record = bench.record();
    // Whether hello or the end is seen first is the device's luck.
    let (failed, lost) = (count(&record, "sessions_failed"), count(&record, "sessions_lost"));
    assert_eq!(failed + lost, 3, "{text}");
    assert!(text.contains("the MQTT connection was lost"), "{text}");
    assert_eq!((code, record["verdict"].as_str()), (Some(1), Some("fail")), "{text}");
}

fn relay_until_hello(mut upstream: TcpStream, mut device: TcpStream, cut: bool) {
    let mut bytes = [0; 4096];
    loop {
        match upstream.read(&mut bytes) {
            Ok(length @ 1..) => {
                let _ = device.write_all(&bytes[..length]);
                if cut && bytes[..length].windows(7).any(|seen| seen == b"\"hello\"") {
                    let _ = device.shutdown(std::net::Shutdown::Write);
                    return;
                }
            }
            Err(error) if error.kind() == ErrorKind::Interrupted => {}
            _ => return,
        }
    }
}

#[test]
fn audio_that_flows_keeps_a_session_alive_beyond_the_audio_timeout() {
    let bench = Bench::new(SHORT);
    let mut command = bench.din_run();
    command.args(["--set", "devices.audio_timeout=400ms", "--set", "gateway.backend=relay"]);
    let ended = end(command);
    let record = bench.record();
    assert_eq!(count(&record, "sessions_lost"), 0, "{}", ended.stdout);
    assert_eq!(record["verdict"], "pass", "{}", ended.stdout);
}

#[test]
fn silence_beyond_the_audio_timeout_loses_the_session() {
    let target =
        gateway(|number, message| if is_hello(message) { vec![grant(number)] } else { vec![] });
    let bench = Bench::new(SHORT);
    let (_, text) = run_against(&bench, target, &["devices.audio_timeout=300ms"]);
    assert_eq!(count(&bench.record(), "sessions_lost"), 3, "{text}");
    assert!(text.contains("no audio came until the timeout"), "{text}");
}
