//! The kernel's netem and ours, with the same parameters: devices cannot tell one from the other.
//!
//! Each in a network namespace of its own, on whose loopback device netem impairs what goes to the
//! media port and comes from it. Where there is no right to make one, or no netem in the kernel, this
//! test says so and is skipped.

use std::io::{Write, stderr};
use std::path::Path;
use std::process::{Command, Stdio};

use serde_json::Value;
use simnet::{Delay, Distribution, Impairment, Loss};

use crate::common::{Bench, count};

const MEDIA_PORT: u16 = 8884;
/// 10,000 frames.
const SCENARIO: &str = "title = \"Netem\"\nseed = 7\ndrain = \"2s\"\n\
    [[phase]]\nname = \"talk\"\ndevices = 15\nhold = \"40s\"\n\
    [thresholds]\n\"effective_loss\" = \"<= 50%\"\n";

/// Shell that makes netem impair the media of a namespace whose loopback device is up.
fn with_netem(impairment: &Impairment) -> String {
    let (line, left_out) = impairment.to_tc("lo");
    assert_eq!(left_out, []);
    let (_, netem) = line.split_once("netem ").unwrap();
    let to_netem = |end: &str| {
        format!(
            "tc filter add dev lo parent 1: protocol ip u32 match ip {end} {MEDIA_PORT} 0xffff flowid 1:3"
        )
    };
    let all_to_the_first = "0 ".repeat(16);
    [
        format!("tc qdisc add dev lo root handle 1: prio bands 3 priomap {all_to_the_first}"),
        format!("tc qdisc add dev lo parent 1:3 handle 30: netem {netem} limit 100000"),
        to_netem("dport"),
        to_netem("sport"),
    ]
    .join("\n")
}

/// Runs shell in a new network namespace; what it wrote to standard error when it failed.
fn in_a_namespace(bench: &Bench, shell: &str) -> Result<(), String> {
    let mut unshare = Command::new("unshare");
    unshare.args(["-n", "sh", "-ec", &format!("ip link set lo up\n{shell}")]);
    unshare.current_dir(bench.path("")).stdin(Stdio::null()).env_remove("MQTT_SIGNATURE_KEY");
    let ended = unshare.output().map_err(|error| format!("unshare: {error}"))?;
    let said = || String::from_utf8_lossy(&ended.stderr).into_owned();
    if ended.status.success() { Ok(()) } else { Err(said()) }
}

/// A run's record, against a gateway in a namespace of both; `before` is done there first.
fn run(bench: &Bench, name: &str, before: &str, flags: &str) -> Value {
    let din = Path::new(env!("CARGO_BIN_EXE_din"));
    let (gateway, din) = (din.with_file_name("din-gateway"), din.display());
    let gateway = gateway.display();
    let shell = format!(
        "{before}\n\
         '{gateway}' --udp 127.0.0.1:{MEDIA_PORT} --mqtt 127.0.0.1:1883 --backend relay --log error > up &\n\
         gateway=$!; trap 'kill $gateway' EXIT\n\
         until [ -s up ]; do sleep 0.05; done\n\
         '{din}' run test.toml --quiet --target mqtt://127.0.0.1:1883 --out {name} {flags} || [ $? != 2 ]"
    );
    in_a_namespace(bench, &shell).unwrap_or_else(|error| panic!("{error}"));
    serde_json::from_str(&std::fs::read_to_string(bench.path(name).join("run.json")).unwrap())
        .unwrap()
}

/// The lost share of a run's frames.
fn loss(record: &Value) -> f64 {
    count(record, "frames_lost") as f64 / count(record, "frames_awaited") as f64
}

#[test]
fn netem_and_ours_are_the_same_to_devices() {
    let millis = std::time::Duration::from_millis;
    let with = |jitter, distribution| Impairment {
        delay: Delay { time: millis(40), jitter: millis(jitter), distribution, ..Delay::default() },
        loss: Loss::Random(0.02),
        ..Impairment::default()
    };
    let bench = Bench::new(SCENARIO);
    let normal = with(8, Distribution::Normal);
    if let Err(why) = in_a_namespace(&bench, &with_netem(&normal)) {
        // Straight to the terminal: the test runner keeps what a test prints that passes.
        let _ = writeln!(stderr(), "skipped, nothing was compared with netem: {}", why.trim());
        return;
    }
    for (impairment, ours) in [
        (normal, "jitter=\"8ms\",distribution=\"normal\""),
        (with(5, Distribution::ParetoNormal), "jitter=\"5ms\",distribution=\"paretonormal\""),
    ] {
        let way = format!("{{delay=\"40ms\",loss=\"2%\",{ours}}}");
        let flags = format!("--set 'devices.network={{uplink={way},downlink={way}}}'");
        let name = |whose: &str| format!("{whose}-{}", impairment.delay.jitter.as_millis());
        let kernel = run(&bench, &name("kernel"), &with_netem(&impairment), "");
        let ours = run(&bench, &name("ours"), "", &flags);
        let times = |record: &Value, which: &str| {
            record["metrics"]["response_latency"][which].as_f64().unwrap()
        };
        let mut told = vec![format!("netem, ours ({way}):")];
        for which in ["p50", "p99"] {
            let (kernel, ours) = (times(&kernel, which), times(&ours, which));
            told.push(format!("{which} {kernel:.2}, {ours:.2} ms"));
            assert!((ours / kernel - 1.0).abs() < 0.05, "{told:?}");
        }
        // Either way takes 2 %; 3.9 standard deviations hold 99.99 % of all runs.
        let due: f64 = 1.0 - 0.98 * 0.98;
        for record in [&kernel, &ours] {
            let frames = count(record, "frames_awaited") as f64;
            let off = (loss(record) - due).abs() / (due * (1.0 - due) / frames).sqrt();
            told.push(format!("loss {:.2} %", loss(record) * 100.0));
            assert!(frames > 9_000.0 && off < 3.9, "{told:?}");
        }
        let _ = writeln!(stderr(), "{}", told.join(" "));
    }
}
