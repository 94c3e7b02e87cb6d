//! Runs `din` as a user does, on scenarios of a second or so.

use std::path::{Path, PathBuf};
use std::process::{Command, Output};

use serde_json::Value;
use tempfile::TempDir;

/// Three devices for a second; `devices.hello_timeout` is short where it matters.
pub(crate) const SHORT: &str = r#"title = "Short"
seed = 3
drain = "2s"

[[phase]]
name = "talk"
devices = 3
hold = "1s"

[thresholds]
"frames_lost" = "= 0"
"#;

/// A directory with a scenario in it, where runs are made.
pub(crate) struct Bench {
    directory: TempDir,
}

/// How a `din` ended.
pub(crate) struct Ended {
    /// Its exit code; `None` after a signal.
    pub(crate) code: Option<i32>,
    /// Standard output.
    pub(crate) stdout: String,
    /// Standard error.
    pub(crate) stderr: String,
}

impl Bench {
    /// A bench with `scenario` as `test.toml`.
    pub(crate) fn new(scenario: &str) -> Self {
        let gateway = Path::new(env!("CARGO_BIN_EXE_din")).with_file_name("din-gateway");
        assert!(gateway.is_file(), "build the gateway first: cargo build --bins");
        let directory = tempfile::tempdir().unwrap();
        std::fs::write(directory.path().join("test.toml"), scenario).unwrap();
        Self { directory }
    }

    /// A file or folder on this bench.
    pub(crate) fn path(&self, name: &str) -> PathBuf {
        self.directory.path().join(name)
    }

    /// `din run test.toml --out run`, with no key in the environment and no progress.
    pub(crate) fn din_run(&self) -> Command {
        let mut command = self.din(&["run", "test.toml", "--out", "run"]);
        command.env_remove("MQTT_SIGNATURE_KEY");
        command
    }

    /// `din` on this bench.
    pub(crate) fn din(&self, arguments: &[&str]) -> Command {
        let mut command = Command::new(env!("CARGO_BIN_EXE_din"));
        command.args(arguments).current_dir(self.directory.path());
        // Workers that crash on purpose would spend seconds on each backtrace.
        command.env("RUST_BACKTRACE", "0");
        command
    }

    /// The run record, which must have been written.
    pub(crate) fn record(&self) -> Value {
        let path = self.path("run/run.json");
        let text = std::fs::read_to_string(path).expect("the run record was written");
        serde_json::from_str(&text).expect("the run record is JSON")
    }
}

/// Runs `command` to its end.
pub(crate) fn end(mut command: Command) -> Ended {
    command.output().expect("din starts").into()
}

impl From<Output> for Ended {
    fn from(output: Output) -> Self {
        Self {
            code: output.status.code(),
            stdout: String::from_utf8(output.stdout).unwrap(),
            stderr: String::from_utf8(output.stderr).unwrap(),
        }
    }
}

/// The number in the record's metric `name`.
#[expect(
    clippy::cast_possible_truncation,
    clippy::cast_sign_loss,
    reason = "counts are whole and not negative"
)]
pub(crate) fn count(record: &Value, name: &str) -> u64 {
    let value = record["metrics"][name]["value"].as_f64();
    value.unwrap_or_else(|| panic!("{name} is a count in {}", record["metrics"])) as u64
}

/// The exit code that the record's verdict and validity call for when nobody interrupted it: on a
/// machine as busy as a test machine may be, a run can be INVALID.
pub(crate) fn expected_code(record: &Value) -> i32 {
    match (record["validity"]["state"].as_str(), record["verdict"].as_str()) {
        (Some("INVALID"), _) => 3,
        (_, Some("fail")) => 1,
        (_, Some("pass")) => 0,
        other => panic!("no verdict or validity: {other:?}"),
    }
}

/// Whether the gateway of the run in `record` is gone, with its port.
pub(crate) fn assert_gateway_gone(record: &Value) {
    let pid = record["target"]["announced"]["pid"].as_u64().expect("the gateway said its pid");
    let stat = std::fs::read_to_string(format!("/proc/{pid}/comm")).unwrap_or_default();
    assert_ne!(stat.trim(), "din-gateway", "process {pid} is still there");
    let mqtt = record["target"]["mqtt"].as_str().unwrap();
    assert!(std::net::TcpStream::connect(mqtt).is_err(), "{mqtt} still accepts connections");
}
