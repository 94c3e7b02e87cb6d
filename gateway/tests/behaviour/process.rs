//! The program: its two lines, its signals, its exit codes and what it says about bad input.

use std::io::{BufRead, BufReader, Read};
use std::process::{Child, ChildStdin, Command, ExitStatus, Stdio};
use std::sync::mpsc::{Receiver, channel};
use std::thread;

use crate::fixture::{CLIENT_ID, Client, PATIENCE};
use nix::sys::signal::{Signal, kill};
use nix::unistd::Pid;
use protocol::control::GatewayMessage;
use protocol::identity::SignatureKey;
use rumqttc::mqttbytes::v4::{Connect, ConnectReturnCode};
use serde_json::Value;

fn program(flags: &[&str]) -> Command {
    let mut command = Command::new(env!("CARGO_BIN_EXE_din-gateway"));
    command.args(flags).env_remove(SignatureKey::VARIABLE);
    command
}

/// A running program, killed when the test ends before it does.
struct Program {
    child: Child,
    stdin: Option<ChildStdin>,
    lines: Receiver<Value>,
    listening: Value,
}

impl Program {
    fn start(mut command: Command) -> Self {
        command.args(["--mqtt", "127.0.0.1:0", "--udp", "127.0.0.1:0"]);
        command.stdin(Stdio::piped()).stdout(Stdio::piped()).stderr(Stdio::null());
        let mut child = command.spawn().unwrap();
        let stdout = BufReader::new(child.stdout.take().unwrap());
        let (sender, lines) = channel();
        thread::spawn(move || {
            for line in stdout.lines() {
                let _ = sender.send(serde_json::from_str(&line.unwrap()).unwrap());
            }
        });
        let stdin = child.stdin.take();
        let mut program = Self { child, stdin, lines, listening: Value::Null };
        program.listening = program.next_line();
        program
    }

    fn next_line(&self) -> Value {
        self.lines.recv_timeout(PATIENCE).expect("a line of JSON")
    }

    fn device(&self) -> Client {
        let mqtt = self.listening["mqtt"].as_str().unwrap().parse().unwrap();
        Client::connect(mqtt, CLIENT_ID)
    }

    fn signal(&self, signal: Signal) {
        kill(Pid::from_raw(self.child.id().try_into().unwrap()), signal).unwrap();
    }

    /// The line that ends the output, and the exit code behind it.
    fn stopped(mut self) -> (Value, ExitStatus) {
        let line = self.next_line();
        assert_eq!(line["event"], "stopped");
        assert!(self.lines.recv_timeout(PATIENCE).is_err(), "nothing follows");
        (line, self.child.wait().unwrap())
    }
}

impl Drop for Program {
    fn drop(&mut self) {
        // Most often it has ended already.
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

#[test]
fn one_line_says_where_it_listens_and_what_it_is() {
    let program =
        Program::start(program(&["--backend", "relay", "--workers", "3", "--dispatch", "sticky"]));
    let listening = &program.listening;
    let keys: Vec<_> = listening.as_object().unwrap().keys().map(String::as_str).collect();
    let expected = [
        "autoscaler",
        "backend",
        "dispatch",
        "event",
        "libopus",
        "mqtt",
        "pid",
        "telemetry",
        "udp",
        "version",
        "workers",
        "workers_max",
    ];
    assert_eq!(keys, expected);
    assert_eq!(listening["event"], "listening");
    assert_eq!(listening["pid"], program.child.id());
    assert_eq!((&listening["backend"], &listening["workers"]), (&"relay".into(), &3.into()));
    assert_eq!((&listening["workers_max"], &listening["autoscaler"]), (&3.into(), &"fixed".into()));
    assert_eq!((&listening["dispatch"], &listening["telemetry"]), (&"sticky".into(), &Value::Null));
    assert!(listening["libopus"].as_str().unwrap().starts_with("libopus "));
    program.device().call().round_trip();
}

#[test]
fn sigterm_and_sigint_say_goodbye_print_the_counters_and_exit_0() {
    for signal in [Signal::SIGTERM, Signal::SIGINT] {
        let program = Program::start(program(&[]));
        let mut device = program.device();
        let mut call = device.call();
        call.round_trip();
        program.signal(signal);
        match device.hear() {
            GatewayMessage::Goodbye(goodbye) => {
                assert_eq!(goodbye.session_id, Some(call.grant.session_id));
            }
            other => panic!("{other:?}"),
        }
        device.wait_closed();
        let (line, status) = program.stopped();
        assert_eq!(status.code(), Some(0), "{signal}");
        let counters = &line["counters"];
        assert_eq!((&counters["frames_in"], &counters["frames_out"]), (&1.into(), &1.into()));
        assert_eq!(counters["sessions_ended"]["shutdown"], 1);
        assert_eq!(counters["closed"]["shutdown"], 1);
    }
}

#[test]
fn it_stops_when_the_program_that_holds_its_input_is_gone() {
    let mut program = Program::start(program(&["--until-stdin-closes"]));
    let mut device = program.device();
    device.call().round_trip();
    drop(program.stdin.take());
    assert!(matches!(device.hear(), GatewayMessage::Goodbye(_)));
    let (_, status) = program.stopped();
    assert_eq!(status.code(), Some(0));
}

#[test]
fn the_key_of_the_environment_is_checked() {
    let mut command = program(&[]);
    command.env(SignatureKey::VARIABLE, "secret");
    let program = Program::start(command);
    let mqtt = program.listening["mqtt"].as_str().unwrap().parse().unwrap();
    let (_, code) = Client::try_connect(mqtt, Connect::new(CLIENT_ID));
    assert_eq!(code, ConnectReturnCode::BadUserNamePassword);
}

/// What a program that is given bad input says, and its exit code.
fn refusal(flags: &[&str]) -> (String, Option<i32>) {
    let mut command = program(flags);
    command.stdin(Stdio::null()).stdout(Stdio::piped()).stderr(Stdio::piped());
    let mut child = command.spawn().unwrap();
    let (mut said, mut announced) = (String::new(), String::new());
    child.stderr.take().unwrap().read_to_string(&mut said).unwrap();
    child.stdout.take().unwrap().read_to_string(&mut announced).unwrap();
    assert_eq!(announced, "", "nothing is announced");
    (said, child.wait().unwrap().code())
}

#[test]
fn bad_flags_are_named_with_what_is_allowed() {
    for (flags, expected) in [
        (
            &["--backend", "websocket"][..],
            "error: invalid value 'websocket' for '--backend <BACKEND>': `websocket` is no \
             backend: there are relay, echo and assistant\n\nFor more information, try '--help'.\n",
        ),
        (
            &["--mqtt", "localhost"],
            "error: invalid value 'localhost' for '--mqtt <ADDR:PORT>': expected an address and a \
             port, for example 127.0.0.1:0\n\nFor more information, try '--help'.\n",
        ),
        (
            &["--complexity", "11"],
            "error: invalid value '11' for '--complexity <N>': complexity 11: allowed are 0 to \
             10\n\nFor more information, try '--help'.\n",
        ),
        (
            &["--audio-timeout", "120"],
            "error: invalid value '120' for '--audio-timeout <TIME>': `120`: a duration is a whole \
             number and one of ms, s, m, h, us, for example `120s`\n\nFor more information, try \
             '--help'.\n",
        ),
        (
            &["--workers", "0"],
            "error: pool.workers is 0: allowed are 1 to 256\n\nFor all flags, try `--help`.\n",
        ),
        (
            &["--udp", "0.0.0.0:0"],
            "error: media.listen is 0.0.0.0:0, which is no address that devices can send to: name \
             this host with --advertise HOST (media.advertise)\n\nFor all flags, try `--help`.\n",
        ),
        (
            &["--config", "/no/such/file.toml"],
            "error: cannot read `/no/such/file.toml`: No such file or directory (os error 2)\n\n\
             For all flags, try `--help`.\n",
        ),
    ] {
        let (said, code) = refusal(&[&["--log", "error"], flags].concat());
        assert_eq!((said.as_str(), code), (expected, Some(2)));
    }
    let (said, code) = refusal(&["--wrokers", "2"]);
    assert!(said.contains("unexpected argument '--wrokers'") && said.contains("'--workers'"));
    assert_eq!(code, Some(2));
}

#[test]
fn a_bad_settings_file_is_shown_with_the_place() {
    let file = tempfile::NamedTempFile::new().unwrap();
    std::fs::write(file.path(), "[pool]\nwokers = 3\n").unwrap();
    let path = file.path().to_str().unwrap();
    let (said, code) = refusal(&["--log", "error", "--config", path]);
    let expected = format!(
        "error: in `{path}`: TOML parse error at line 2, column 1\n  |\n2 | wokers = 3\n  | \
         ^^^^^^\nunknown field `wokers`, expected one of `workers`, `dispatch`, `worker_timeout`, `drain`\n\nFor all \
         flags, try `--help`.\n"
    );
    assert_eq!((said, code), (expected, Some(2)));
}

#[test]
fn a_port_in_use_is_named_with_the_flag_that_changes_it() {
    let taken = std::net::TcpListener::bind("127.0.0.1:0").unwrap();
    let addr = taken.local_addr().unwrap().to_string();
    let (said, code) = refusal(&["--log", "error", "--mqtt", &addr, "--udp", "127.0.0.1:0"]);
    let expected = format!(
        "error: cannot listen on {addr}; try another address with --mqtt, or port 0: Address \
         already in use (os error 98)\n\nFor all flags, try `--help`.\n"
    );
    assert_eq!((said, code), (expected, Some(2)));
}
