//! What cannot be run is refused before it starts: one clear message, exit code 2, nothing left
//! behind.

use std::io::{Read, Write};
use std::net::{SocketAddr, TcpListener};
use std::path::Path;
use std::process::Command;
use std::thread;

use crate::common::{Bench, SHORT, end};

/// Ends with exit code 2 and one message that has every one of `parts`, and makes no run.
fn assert_refused(bench: &Bench, command: Command, parts: &[&str]) -> String {
    let ended = end(command);
    assert_eq!(ended.code, Some(2), "{}{}", ended.stdout, ended.stderr);
    assert_eq!(ended.stdout, "");
    assert!(ended.stderr.starts_with("error: "), "{}", ended.stderr);
    for part in parts {
        assert!(ended.stderr.contains(part), "{part} is missing in: {}", ended.stderr);
    }
    assert!(!bench.path("run/run.json").exists(), "nothing ran");
    ended.stderr
}

#[test]
fn a_misspelt_key_is_named_with_its_line_and_the_nearest() {
    let bench = Bench::new(&SHORT.replace("hold =", "hodl ="));
    let text = assert_refused(&bench, bench.din_run(), &[]);
    insta::assert_snapshot!(text);
}

#[test]
fn a_negative_device_count_says_what_is_allowed() {
    let bench = Bench::new(&SHORT.replace("devices = 3", "devices = -3"));
    let text = assert_refused(&bench, bench.din_run(), &[]);
    insta::assert_snapshot!(text);
}

#[test]
fn an_audio_file_that_is_not_there_is_named_with_where_it_was_looked_for() {
    let scenario = format!("{SHORT}\n[devices]\naudio = [\"speech/missing.wav\"]\n");
    let bench = Bench::new(&scenario);
    assert_refused(
        &bench,
        bench.din_run(),
        &["test.toml:", "`speech/missing.wav` does not exist", "relative to the scenario file"],
    );
}

/// Each mistake with everything that is said about it.
#[test]
fn likely_mistakes_about_the_gateway_and_the_phase_show_the_place_and_the_way_out() {
    for (name, mistake) in [
        ("fault", "[gateway.faults]\ndroped_replies = \"1%\""),
        ("range", "[gateway]\nworkers = { min = 8, max = 2 }"),
        ("fixed", "[gateway]\nworkers = 4\nautoscaler = \"queue-delay\""),
        ("burn", "[gateway]\nburn = [{ kind = \"cpu\", every = 4 }]"),
        ("spin", "[generator]\nspin = \"1ms\""),
        ("share", "[gateway.faults]\nwrong_key = \"0.1\""),
        ("phase", "[devices]\nphase = \"alligned\""),
    ] {
        let bench = Bench::new(&format!("{SHORT}\n{mistake}\n"));
        let text = assert_refused(&bench, bench.din_run(), &["test.toml:"]);
        insta::assert_snapshot!(name, text);
    }
}

#[test]
fn an_override_that_is_wrong_names_itself() {
    let bench = Bench::new(SHORT);
    let mut command = bench.din_run();
    command.args(["--set", "gateway.bakend=relay"]);
    assert_refused(
        &bench,
        command,
        &["after --set gateway.bakend=relay", "unknown key `bakend`", "did you mean `backend`"],
    );
}

#[test]
fn a_scenario_that_is_not_there_is_named() {
    let bench = Bench::new(SHORT);
    let command = bench.din(&["run", "nowhere.toml"]);
    assert_refused(&bench, command, &["nowhere.toml: cannot be read", "No such file"]);
}

#[test]
fn a_target_that_refuses_is_named() {
    let bench = Bench::new(SHORT);
    let closed = TcpListener::bind("127.0.0.1:0").unwrap().local_addr().unwrap();
    let mut command = bench.din_run();
    command.args(["--target", &format!("mqtt://{closed}")]);
    assert_refused(
        &bench,
        command,
        &[&format!("the target {closed} did not complete a handshake"), "refused"],
    );
}

/// Accepts MQTT connections, and says nothing ever after.
fn silent_gateway() -> SocketAddr {
    let listener = TcpListener::bind("127.0.0.1:0").unwrap();
    let addr = listener.local_addr().unwrap();
    thread::spawn(move || {
        for connection in listener.incoming() {
            let mut connection = connection.unwrap();
            let mut bytes = [0; 1024];
            let _ = connection.read(&mut bytes);
            let _ = connection.write_all(&[0x20, 2, 0, 0]);
            while matches!(connection.read(&mut bytes), Ok(1..)) {}
        }
    });
    addr
}

#[test]
fn a_target_that_never_answers_hello_is_given_up_after_the_hello_timeout() {
    let bench = Bench::new(SHORT);
    let target = format!("mqtt://{}", silent_gateway());
    let mut command = bench.din_run();
    command.args(["--target", &target, "--set", "devices.hello_timeout=300ms"]);
    assert_refused(&bench, command, &["hello was not answered within 300ms"]);
}

#[test]
fn a_threshold_that_a_foreign_target_cannot_have_is_refused() {
    let bench = Bench::new(SHORT);
    let mut command = bench.din_run();
    command.args(["--target", "mqtt://127.0.0.1:9", "--set", "thresholds.gateway_cpu.max=< 50%"]);
    assert_refused(&bench, command, &["gateway_cpu.max < 50%", "absent for a --target"]);
}

#[test]
fn a_wrong_password_says_which_variable_holds_the_key() {
    let settings = gateway::Settings {
        signature_key: protocol::identity::SignatureKey::new("right"),
        control: gateway::ControlSettings {
            listen: "127.0.0.1:0".parse().unwrap(),
            ..gateway::ControlSettings::default()
        },
        media: gateway::MediaSettings {
            listen: "127.0.0.1:0".parse().unwrap(),
            ..gateway::MediaSettings::default()
        },
        ..gateway::Settings::default()
    };
    let gateway = gateway::Gateway::start(settings).unwrap();
    let target = format!("mqtt://{}", gateway.mqtt_addr());
    let bench = Bench::new(SHORT);
    let mut without = bench.din_run();
    without.args(["--target", &target]);
    assert_refused(&bench, without, &["refused", "set MQTT_SIGNATURE_KEY to the gateway's key"]);
    let mut wrong = bench.din_run();
    wrong.args(["--target", &target]).env("MQTT_SIGNATURE_KEY", "wrong");
    assert_refused(
        &bench,
        wrong,
        &["bad user name or password", "is MQTT_SIGNATURE_KEY the key of this gateway?"],
    );
    let mut right = bench.din_run();
    right.args(["--target", &target]).env("MQTT_SIGNATURE_KEY", "right");
    let ended = end(right);
    assert_eq!(bench.record()["verdict"], "pass", "{}{}", ended.stdout, ended.stderr);
    assert_eq!(bench.record()["target"]["kind"], "foreign");
}

#[test]
fn too_few_files_for_the_devices_is_said_before_starting() {
    let bench = Bench::new(&SHORT.replace("devices = 3", "devices = 500"));
    let mut command = Command::new("sh");
    command
        .current_dir(bench.path(""))
        .args(["-c", "ulimit -n 200 && exec \"$0\" run test.toml --out run"])
        .arg(Path::new(env!("CARGO_BIN_EXE_din")));
    assert_refused(
        &bench,
        command,
        &[
            "500 devices (2 files each and 64 beside)",
            "1064 open files needed, the hard limit is 200",
            "raise it",
        ],
    );
}

#[test]
fn a_directory_that_holds_a_run_is_not_overwritten() {
    let bench = Bench::new(SHORT);
    std::fs::create_dir(bench.path("run")).unwrap();
    std::fs::write(bench.path("run/run.json"), "{}").unwrap();
    let ended = end(bench.din_run());
    assert_eq!(ended.code, Some(2));
    assert!(ended.stderr.contains("holds a run already"), "{}", ended.stderr);
    assert_eq!(std::fs::read_to_string(bench.path("run/run.json")).unwrap(), "{}");
}
