use std::path::Path;

use super::super::{ScenarioError, file};
use super::*;
use crate::scenario::overrides;

const PHASE: &str = "[[phase]]\ndevices = 1\nhold = \"1s\"\n";

fn read(gateway: &str) -> Result<GatewaySettings, ScenarioError> {
    file::parse(Path::new("t.toml"), format!("{PHASE}[gateway]\n{gateway}\n"))
        .map(|scenario| scenario.gateway)
}

fn config(gateway: &str) -> String {
    read(gateway).unwrap_or_else(|error| panic!("{gateway}: {error}")).to_config()
}

#[test]
fn what_is_left_out_is_left_to_the_gateway() {
    assert_eq!(config(""), "[backend]\n\n[pool]\n");
    assert!(read("").unwrap().telemetry, "it tells about itself");
    assert_eq!(config("autoscaler = \"fixed\"\nburn = []\n[gateway.faults]"), config(""));
}

#[test]
fn everything_that_can_be_set_reaches_the_gateways_file() {
    let all = r#"
backend = "relay"
complexity = 3
dispatch = "least-work"
worker_timeout = "0.15s"
workers = { min = 3, max = 9 }
burn = [
    { kind = "cpu", time = "250us", every = 4, offset = 1 },
    { kind = "wait", distribution = "bimodal", time = "5ms", long = "35ms", long_share = "10%" },
    { kind = "wait", distribution = "exponential", time = "10s" },
    { kind = "wait", distribution = "quantiles", quantiles = "0% 1ms, 50% 2.5ms, 100% 10s" },
]

[gateway.autoscaler]
policy = "production"
check = "100ms"
up_cooldown = "0s"
down_cooldown = "1s"
window = "1m"
hysteresis_percent = 0
utilisation_percent = 100
standing_delay = "5ms"
smoothing = "1h"

[gateway.faults]
seed = 7
shared_codec = true
reordered_replies = "1%"
dropped_replies = "0.1%"
duplicated_replies = "100%"
worker_stall = { every = "5s", for = "200ms", worker = 3 }
gateway_stall = { every = "1h", for = "1us" }
wrong_key = "10%"
foreign_audio = "10%"
keystream_reuse = "10%"
hello_delay = "2s"
hello_limit = 30
worker_crash = "0.001%"
leak_per_frame = "4096B"
"#;
    insta::assert_snapshot!(config(all));
}

#[test]
fn workers_are_a_number_or_a_range_and_the_autoscaler_goes_with_them() {
    for (gateway, told, shown) in [
        ("workers = 4", "[pool]\nworkers = 4\n", "4"),
        ("workers = 4\nautoscaler = \"fixed\"", "[pool]\nworkers = 4\n", "4"),
        (
            "workers = { min = 3, max = 3 }",
            "[autoscale]\npolicy = \"queue-delay\"\nmin = 3\nmax = 3\n",
            "3 to 3, by queue-delay",
        ),
        ("workers = {}", "[autoscale]\npolicy = \"queue-delay\"\n", "2 to 8, by queue-delay"),
        (
            "workers.min = 10",
            "[autoscale]\npolicy = \"queue-delay\"\nmin = 10\n",
            "10 to 10, by queue-delay",
        ),
        (
            "autoscaler = \"production-extreme\"",
            "[autoscale]\npolicy = \"production-extreme\"\n",
            "2 to 6, by production-extreme",
        ),
        (
            "autoscaler = { window = \"1s\" }\nworkers.max = 4",
            "[autoscale]\npolicy = \"queue-delay\"\nmax = 4\nwindow = \"1s\"\n",
            "2 to 4, by queue-delay",
        ),
    ] {
        let settings = read(gateway).unwrap();
        let config = settings.to_config();
        let sections = config.strip_prefix("[backend]\n\n").unwrap();
        assert_eq!(sections.trim_start_matches("[pool]\n\n"), told, "{gateway}");
        assert_eq!(settings.workers.unwrap().to_string(), shown, "{gateway}");
    }
}

#[test]
fn burn_and_faults_are_shown_in_a_few_words() {
    for (burn, shown) in [
        ("{ kind = \"wait\", time = \"20ms\" }", "wait, 20ms a frame"),
        (
            "{ kind = \"cpu\", distribution = \"exponential\", time = \"2ms\", every = 4 }",
            "cpu, mean 2ms a frame (exponential), devices 4n",
        ),
        (
            "[{ kind = \"wait\", distribution = \"bimodal\", time = \"5ms\", long = \"35ms\", \
             long_share = \"10%\", every = 4, offset = 1 }]",
            "wait, mean 8ms a frame (bimodal, 5ms or for 10% of them 35ms), devices 4n+1",
        ),
        (
            "{ kind = \"wait\", distribution = \"quantiles\", quantiles = \"0% 1ms, 90% 3ms, 100% 5ms\" }",
            "wait, mean 2200us a frame (0% 1ms, 90% 3ms, 100% 5ms)",
        ),
    ] {
        let settings = read(&format!("burn = {burn}")).unwrap();
        assert_eq!(settings.burn[0].to_string(), shown);
    }
    let faults = "[gateway.faults]\nshared_codec = true\nhello_limit = 3\nwrong_key = \"5%\"\n\
                  gateway_stall = { every = \"5s\", for = \"200ms\" }";
    assert_eq!(
        read(faults).unwrap().faults.to_string(),
        "gateway_stall every 5s for 200ms, hello_limit 3, shared_codec, wrong_key 5%"
    );
    assert_eq!(read("[gateway.faults]\nshared_codec = false").unwrap().faults.to_string(), "");
}

#[test]
fn mistakes_are_shown_where_they_are_with_what_is_allowed() {
    for (gateway, seen, reason) in [
        ("workers = 257", "257", "`gateway.workers`: 257 workers: allowed are 1 to 256"),
        ("workers = \"4\"", "\"4\"", "a number from 1 to 256, or a range"),
        ("workers = { min = 0 }", "0", "`gateway.workers.min`: 0 is out of range: allowed are 1"),
        ("workers = { mni = 1 }", "mni", "unknown key `mni` in `gateway.workers`"),
        (
            "workers = { min = 8, max = 2 }",
            "{ min = 8, max = 2 }",
            "`max` is 2 and `min` is 8: write a `min` of 1 to 2",
        ),
        ("workers = { max = 1 }", "{ max = 1 }", "`min` is 2 where none is given: write"),
        ("autoscaler = \"queue-dely\"", "\"queue-dely\"", "did you mean `queue-delay`?"),
        ("autoscaler = 3", "3", "an autoscaler, for example"),
        ("autoscaler = { check = \"9ms\" }", "\"9ms\"", "allowed are 100ms to 3600s"),
        ("autoscaler = { max = 4 }", "max", "unknown key `max` in `gateway.autoscaler`"),
        ("autoscaler = { utilisation_percent = 5 }", "5", "allowed are 10 to 100"),
        (
            "workers = 1\nautoscaler = \"production\"",
            "\"production\"",
            "cannot scale a fixed 1 worker\n",
        ),
        ("workers = {}\nautoscaler = \"fixed\"", "\"fixed\"", "write the number"),
        ("worker_timeout = \"0s\"", "\"0s\"", "0s is out of range: allowed are 1ms to 60s"),
        ("worker_timeout = \"1.0005ms\"", "\"1.0005ms\"", "whole microseconds"),
        ("burn = 3", "3", "or a list of such tables"),
        ("burn = [3]", "3", "`gateway.burn[0]`: the number 3 stands where a table, for example"),
        ("burn = { time = \"1s\" }", "{ time = \"1s\" }", "`kind` is missing"),
        ("burn = { kind = \"wait\" }", "{ kind = \"wait\" }", "`time` is missing"),
        ("burn = { kind = \"wiat\" }", "\"wiat\"", "did you mean `wait`?"),
        ("burn = [{ kind = \"cpu\", tmie = \"1s\" }]", "tmie", "did you mean `time`?"),
        ("burn = { kind = \"cpu\", time = \"0s\" }", "\"0s\"", "allowed are 1us to 10s"),
        ("burn = { kind = \"cpu\", time = \"11s\" }", "\"11s\"", "allowed are 1us to 10s"),
        ("burn = { every = 0 }", "0", "`gateway.burn.every`: 0 is out of range"),
        ("[gateway.faults]\nwrong_key = 10", "10", "with its percent sign in quotes"),
        ("[gateway.faults]\nwrong_key = \"10\"", "\"10\"", "\"0%\" to \"100%\""),
        ("[gateway.faults]\nleak_per_frame = \"17MiB\"", "\"17MiB\"", "at most \"16MiB\""),
        ("[gateway.faults]\nhello_delay = \"61s\"", "\"61s\"", "allowed are 0s to 60s"),
        ("[gateway.faults]\nhello_limit = -1", "-1", "is out of range: allowed are 0"),
        ("[gateway.faults]\nseed = -1", "-1", "-1 as seed: allowed are 0"),
        (
            "[gateway.faults]\nworker_stall = { every = \"1s\", for = \"1s\" }",
            "{ every = \"1s\", for = \"1s\" }",
            "stalls for 1s every 1s: `every` must be longer than `for`",
        ),
        (
            "[gateway.faults]\ngateway_stall = { every = \"1s\", for = \"2s\" }",
            "{ every = \"1s\", for = \"2s\" }",
            "stalls for 2s every 1s",
        ),
        (
            "[gateway.faults]\ngateway_stall = { every = \"1s\", worker = 1 }",
            "worker",
            "unknown key `worker` in `gateway.faults.gateway_stall`",
        ),
        ("[gateway.faults]\nworker_stall = { for = \"0s\" }", "\"0s\"", "allowed are 1us to"),
        ("[gateway.faults]\nworker_stall = { worker = 256 }", "256", "allowed are 0 to 255"),
        (
            "[gateway.faults]\nworker_stall = { every = \"1s\" }",
            "{ every = \"1s\" }",
            "`for` is missing",
        ),
    ] {
        let error = read(gateway).unwrap_err().to_string();
        assert!(error.contains(reason), "{gateway}: {error}");
        // The underlined part of the shown line.
        let lines: Vec<&str> = error.lines().collect();
        let from = lines[3].find('^').unwrap();
        assert_eq!(lines[2].get(from..=lines[3].rfind('^').unwrap()), Some(seen), "{error}");
    }
}

#[test]
fn a_rule_of_a_list_is_checked_where_it_stands() {
    let bimodal = |rest: &str| {
        let rule = format!("distribution = \"bimodal\"\ntime = \"5ms\"\n{rest}");
        read(&format!(
            "[[gateway.burn]]\nkind = \"cpu\"\ntime = \"1s\"\n[[gateway.burn]]\nkind = \"cpu\"\n{rule}"
        ))
    };
    assert!(bimodal("long = \"5ms\"\nlong_share = \"0%\"").is_ok());
    for (rest, reason) in [
        ("", "needs `long` and `long_share`"),
        ("long = \"9ms\"", "needs `long` and `long_share`"),
        ("long = \"4ms\"\nlong_share = \"1%\"", "`long` is 4ms: allowed are `time`, 5ms, and more"),
        (
            "long = \"9ms\"\nlong_share = \"1%\"\nevery = 2\noffset = 2",
            "`offset` is 2 with `every` 2: allowed are 0 to 1",
        ),
    ] {
        let error = bimodal(rest).unwrap_err().to_string();
        assert!(error.starts_with("t.toml:8:1: `gateway.burn[1]`: "), "{error}");
        assert!(error.contains(reason), "{rest}: {error}");
    }
    for (rest, reason) in [
        ("", "needs `quantiles`"),
        ("quantiles = \"0% 1ms, 100% 2ms\"\ntime = \"1ms\"", "and no other time"),
        ("quantiles = \"0% 1ms\"", "the last of 100%"),
        ("quantiles = \"0% 1ms, 100% 11s\"", "11s: allowed are 1us to 10s"),
        ("quantiles = \"0% 2ms, 100% 1ms\"", "no time is below"),
        ("quantiles = \"half 2ms\"", "`half` is no share"),
    ] {
        let rule = "burn = { kind = \"wait\", distribution = \"quantiles\" }";
        let rule = rule.replace(" }", &format!(", {} }}", rest.replace('\n', ", ")));
        let error = read(&rule.replace(",  }", " }")).unwrap_err().to_string();
        assert!(error.contains(reason), "{rest}: {error}");
    }
    let fixed = "burn = { kind = \"cpu\", time = \"1s\", long = \"2s\" }";
    let error = read(fixed).unwrap_err().to_string();
    assert!(error.contains("only distribution = \"bimodal\" has `long`"), "{error}");
}

#[test]
fn the_command_line_reaches_every_depth() {
    let after = |gateway: &str, sets: &[&str]| {
        let sets: Vec<String> = sets.iter().map(|&set| set.to_owned()).collect();
        let path = Path::new("t.toml");
        let text = overrides::apply(path, &format!("{PHASE}[gateway]\n{gateway}\n"), &sets)?;
        file::parse(path, text).map(|scenario| scenario.gateway)
    };
    let max = after("workers = { min = 2, max = 8 }", &["gateway.workers.max=4"]).unwrap();
    assert_eq!(max.workers.unwrap().to_string(), "2 to 4, by queue-delay");
    let sets = ["gateway.workers.max=4", "gateway.faults.dropped_replies=5%"];
    let new = after("", &sets).unwrap();
    assert_eq!(new.workers.unwrap().to_string(), "2 to 4, by queue-delay");
    assert_eq!(new.faults.to_string(), "dropped_replies 5%");
    let rules = "burn = [{ kind = \"cpu\", time = \"1s\" }, { kind = \"wait\", time = \"1s\" }]";
    let rule = after(rules, &["gateway.burn.1.time=2ms"]).unwrap().burn[1];
    assert_eq!(rule.to_string(), "wait, 2ms a frame");
    let whole = after("", &["gateway.burn={ kind = \"cpu\", time = \"3ms\" }"]).unwrap();
    assert_eq!(whole.burn[0].to_string(), "cpu, 3ms a frame");
    let error = after("workers = 4", &["gateway.workers.max=8"]).unwrap_err().to_string();
    assert!(error.contains("`gateway.workers` is a value, not a table"), "{error}");
}
