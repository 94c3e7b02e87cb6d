//! The reference gateway as a child process: started on free ports, gone in every way of ending.
//!
//! The child holds the reading end of a pipe that only we can write to and ends when it is closed,
//! so it cannot outlive us, however we end. It runs in a process group of its own: a Ctrl-C in the
//! terminal is ours to handle, and the gateway is stopped after the drain.

use std::fmt;
use std::fs::{File, OpenOptions};
use std::io::{self, BufRead, BufReader, Read, Write};
use std::net::SocketAddr;
use std::os::unix::process::CommandExt;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, ExitStatus, Stdio};
use std::sync::mpsc::{self, Receiver, RecvTimeoutError};
use std::thread;
use std::time::{Duration, Instant};

use serde_json::Value;

use crate::scenario::GatewaySettings;

const BINARY: &str = "din-gateway";
const START_TIMEOUT: Duration = Duration::from_secs(10);
const STOP_TIMEOUT: Duration = Duration::from_secs(5);
/// How long the last line of a gateway that has ended may take to be read.
const LAST_LINE: Duration = Duration::from_millis(100);
const FREE_PORT: &str = "127.0.0.1:0";

/// A reference gateway that is up.
pub struct GatewayProcess {
    child: Child,
    lines: Receiver<Value>,
    place: Place,
    /// What those counted at their end that ran before it.
    before: Vec<Value>,
    /// Where it accepts MQTT.
    pub mqtt: SocketAddr,
    /// What it said when it was up.
    pub announced: Value,
}

/// What a gateway is started with, again and again.
struct Place {
    binary: PathBuf,
    config: PathBuf,
    log: PathBuf,
    /// Whether it tells about itself.
    telemetry: bool,
}

/// A reference gateway that did not come up.
#[derive(Debug)]
pub enum GatewayError {
    /// There is no binary.
    NotFound {
        /// Where it was looked for.
        looked: Vec<PathBuf>,
    },
    /// A file of it could not be written, or it could not be started.
    Start {
        /// What was tried.
        doing: String,
        /// What the operating system said.
        error: io::Error,
    },
    /// It ended, or did not say that it was up.
    NotUp {
        /// Its exit, if it ended.
        exit: Option<ExitStatus>,
        /// The end of its log.
        log: String,
    },
}

impl fmt::Display for GatewayError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::NotFound { looked } => {
                let looked: Vec<_> = looked.iter().map(|path| path.display().to_string()).collect();
                write!(
                    f,
                    "the reference gateway `{BINARY}` was not found (looked for {}); build it with `cargo build --release -p gateway`, name it with --gateway-binary, or give a --target",
                    looked.join(", ")
                )
            }
            Self::Start { doing, error } => write!(f, "cannot {doing}: {error}"),
            Self::NotUp { exit: Some(exit), log } => {
                write!(f, "the reference gateway did not come up ({exit}):\n{}", log.trim_end())
            }
            Self::NotUp { exit: None, log } => write!(
                f,
                "the reference gateway did not say that it was up within {} s:\n{}",
                START_TIMEOUT.as_secs(),
                log.trim_end()
            ),
        }
    }
}

impl std::error::Error for GatewayError {}

impl GatewayProcess {
    /// Starts the gateway on free ports of the loopback interface. Its settings and its log are
    /// kept in `directory`.
    ///
    /// # Errors
    /// [`GatewayError`] says what is missing, or what the gateway said before it ended.
    pub fn start(
        binary: Option<&Path>,
        settings: &GatewaySettings,
        directory: &Path,
    ) -> Result<Self, GatewayError> {
        let binary = find_binary(binary)?;
        let failed = |doing: String| |error| GatewayError::Start { doing, error };
        let config = directory.join("gateway.toml");
        std::fs::write(&config, settings.to_config())
            .map_err(failed(format!("write {}", config.display())))?;
        let log = directory.join("gateway.log");
        File::create(&log).map_err(failed(format!("create {}", log.display())))?;
        let place = Place { binary, config, log, telemetry: settings.telemetry };
        let (mut child, lines) = place.spawn([FREE_PORT; 3])?;
        let announced = lines.recv_timeout(START_TIMEOUT).ok();
        let mqtt = announced.as_ref().and_then(|line| line["mqtt"].as_str()?.parse().ok());
        if let (Some(announced), Some(mqtt)) = (announced, mqtt) {
            return Ok(Self { child, lines, place, before: Vec::new(), mqtt, announced });
        }
        let exit = end(&mut child, Duration::from_millis(500));
        Err(GatewayError::NotUp { exit, log: end_of(&place.log) })
    }

    /// Tells it something, a line that is answered.
    ///
    /// # Errors
    /// When it does not listen any more.
    pub fn command(&mut self, command: &Value) -> io::Result<()> {
        let gone = || io::Error::from(io::ErrorKind::BrokenPipe);
        let stdin = self.child.stdin.as_mut().ok_or_else(gone)?;
        // Much shorter than what a pipe holds, so this waits for nobody.
        writeln!(stdin, "{command}")
    }

    /// The next line that it says, if there is one.
    pub fn answer(&mut self) -> Option<Value> {
        self.lines.try_recv().ok()
    }

    /// Asks it to finish what it has accepted and to end.
    pub fn ask_to_stop(&mut self) {
        drop(self.child.stdin.take());
    }

    /// Ends it in mid-sentence.
    pub fn kill(&mut self) {
        // Fails only when it has just ended by itself.
        let _ = self.child.kill();
    }

    /// Whether it has ended, having been told to; takes down what it counted.
    pub fn has_ended(&mut self) -> bool {
        if self.exited().is_none() {
            return false;
        }
        // Its last line may still be on its way from the thread that reads.
        while let Ok(mut line) = self.lines.recv_timeout(LAST_LINE) {
            if line["event"] == "stopped" {
                self.before.push(line["counters"].take());
            }
        }
        true
    }

    /// Starts it again on the ports that it had; [`comes_up`](Self::comes_up) tells when it is up.
    ///
    /// # Errors
    /// [`GatewayError`] when the operating system does not start it.
    pub fn start_again(&mut self) -> Result<(), GatewayError> {
        let port = |name: &str| self.announced[name].as_str().unwrap_or(FREE_PORT).to_owned();
        let ports = ["mqtt", "udp", "telemetry"].map(port);
        let (child, lines) = self.place.spawn(ports.each_ref().map(String::as_str))?;
        (self.child, self.lines) = (child, lines);
        Ok(())
    }

    /// Whether it has come up, or will not; `None` while that is open.
    pub fn comes_up(&mut self) -> Option<bool> {
        match self.lines.try_recv() {
            Ok(line) if line["event"] == "listening" => {
                self.announced = line;
                Some(true)
            }
            _ => self.exited().map(|_| false),
        }
    }

    /// The end of its log.
    pub fn last_words(&self) -> String {
        end_of(&self.place.log)
    }

    /// Its process id.
    pub fn pid(&self) -> u32 {
        self.child.id()
    }

    /// How it ended, if it has.
    pub fn exited(&mut self) -> Option<ExitStatus> {
        self.child.try_wait().ok().flatten()
    }

    /// Stops it and returns the counters that it reports at its end, with those of the ones before it
    /// that ended well; `null` when none did. What a gateway that was killed had counted is lost.
    pub fn stop(mut self) -> Value {
        drop(self.child.stdin.take());
        let deadline = Instant::now() + STOP_TIMEOUT;
        let last = loop {
            match self.lines.recv_timeout(deadline.saturating_duration_since(Instant::now())) {
                Ok(mut line) if line["event"] == "stopped" => break line["counters"].take(),
                Ok(_) => {}
                Err(RecvTimeoutError::Timeout | RecvTimeoutError::Disconnected) => {
                    break Value::Null;
                }
            }
        };
        std::mem::take(&mut self.before).into_iter().fold(last, |sum, more| add(sum, &more))
    }
}

impl Drop for GatewayProcess {
    fn drop(&mut self) {
        drop(self.child.stdin.take());
        end(&mut self.child, Duration::from_secs(2));
    }
}

impl Place {
    /// Starts a gateway on these ports: MQTT, audio and telemetry.
    fn spawn(&self, ports: [&str; 3]) -> Result<(Child, Receiver<Value>), GatewayError> {
        let failed = |doing: String| |error| GatewayError::Start { doing, error };
        let log = OpenOptions::new().append(true).open(&self.log);
        let log = log.map_err(failed(format!("open {}", self.log.display())))?;
        let [mqtt, udp, telemetry] = ports;
        let mut child = Command::new(&self.binary)
            .args(["--mqtt", mqtt, "--udp", udp])
            .args(self.telemetry.then_some(["--telemetry", telemetry]).into_iter().flatten())
            .args(["--until-stdin-closes", "--config"])
            .arg(&self.config)
            .stdin(Stdio::piped())
            .stdout(Stdio::piped())
            .stderr(log)
            .process_group(0)
            .spawn()
            .map_err(failed(format!("start {}", self.binary.display())))?;
        let stdout = child.stdout.take().expect("stdout was asked to be a pipe");
        let lines = read_lines(stdout).map_err(failed("start a thread".to_owned()))?;
        Ok((child, lines))
    }
}

/// Counters and groups of counters, added up.
fn add(mut sum: Value, more: &Value) -> Value {
    match (&mut sum, more) {
        (Value::Object(sum), Value::Object(more)) => {
            for (key, more) in more {
                let before = sum.remove(key).unwrap_or(Value::Null);
                sum.insert(key.clone(), add(before, more));
            }
        }
        (Value::Number(one), Value::Number(other)) => {
            if let (Some(one), Some(other)) = (one.as_u64(), other.as_u64()) {
                sum = Value::from(one + other);
            }
        }
        (Value::Null, more) => sum = more.clone(),
        _ => {}
    }
    sum
}

/// Waits for a child that was told to end, and ends it by force when it does not. The exit is
/// returned only when it was its own.
fn end(child: &mut Child, patience: Duration) -> Option<ExitStatus> {
    let deadline = Instant::now() + patience;
    while Instant::now() < deadline {
        if let Ok(Some(exit)) = child.try_wait() {
            return Some(exit);
        }
        thread::sleep(Duration::from_millis(5));
    }
    // Fails only when it has just ended by itself.
    let _ = child.kill();
    let _ = child.wait();
    None
}

/// The JSON lines of the gateway's standard output, read on a thread that ends with it.
fn read_lines(stdout: impl Read + Send + 'static) -> io::Result<Receiver<Value>> {
    let (sender, lines) = mpsc::channel();
    thread::Builder::new().name("din-gateway-out".to_owned()).spawn(move || {
        for line in BufReader::new(stdout).lines().map_while(Result::ok) {
            let line = serde_json::from_str(&line).unwrap_or(Value::String(line));
            if sender.send(line).is_err() {
                break;
            }
        }
    })?;
    Ok(lines)
}

/// Beside our own binary, then along `PATH`.
fn find_binary(named: Option<&Path>) -> Result<PathBuf, GatewayError> {
    let mut looked = Vec::new();
    if let Some(named) = named {
        looked.push(named.to_owned());
    } else {
        let beside = std::env::current_exe().ok().and_then(|exe| Some(exe.parent()?.join(BINARY)));
        looked.extend(beside);
        let path = std::env::var_os("PATH").unwrap_or_default();
        looked.extend(std::env::split_paths(&path).map(|directory| directory.join(BINARY)));
    }
    match looked.iter().find(|path| path.is_file()) {
        Some(found) => Ok(found.clone()),
        None => Err(GatewayError::NotFound { looked }),
    }
}

/// The last lines of a log.
fn end_of(log: &Path) -> String {
    const LINES: usize = 10;
    let text = std::fs::read_to_string(log).unwrap_or_default();
    let lines: Vec<&str> = text.lines().collect();
    lines[lines.len().saturating_sub(LINES)..].join("\n")
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::json;

    #[test]
    fn counters_of_several_lives_add_up() {
        let one = json!({"frames_in": 3, "dropped": {"late": 1, "leap": 0}});
        let two = json!({"frames_in": 4, "dropped": {"late": 2, "duplicate": 5}});
        let sum = json!({"frames_in": 7, "dropped": {"late": 3, "leap": 0, "duplicate": 5}});
        assert_eq!(add(one.clone(), &two), sum);
        assert_eq!(add(Value::Null, &one), one);
        assert_eq!(add(one.clone(), &Value::Null), one);
    }
}
