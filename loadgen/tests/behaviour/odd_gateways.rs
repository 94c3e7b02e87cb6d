//! Gateways that misbehave: the run says what they did, ends in time, and its accounts close.

use std::io::{ErrorKind, Read, Write};
use std::net::{TcpListener, TcpStream};
use std::thread;
use std::time::{Duration, Instant};

use serde_json::{Value, json};

use crate::common::{Bench, SHORT, count, end, expected_code};
use crate::hand_made::{gateway, grant, is_hello, run_against};

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
