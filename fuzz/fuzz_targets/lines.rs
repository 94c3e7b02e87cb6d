//! Any bytes as a file of lines that is imported, a gateway's log, a recorded link or a trace: an error,
//! or something that a scenario can hold; never a panic, a hang or memory without bound.
#![no_main]

use std::path::Path;
use std::sync::LazyLock;

use libfuzzer_sys::fuzz_target;
use loadgen::import::log::{Told, known_patterns};
use loadgen::import::mahimahi::Link;
use loadgen::scenario::Scenario;
use regex::Regex;
use simnet::Trace;

static KNOWN: LazyLock<Vec<Regex>> = LazyLock::new(known_patterns);

fuzz_target!(|bytes: &[u8]| {
    let told = Told::read(bytes, &KNOWN).expect("memory can be read");
    if let Some(quantiles) = told.quantiles() {
        let scenario = format!(
            "[gateway]\nburn = {{ kind = \"wait\", distribution = \"quantiles\", quantiles = \"{quantiles}\" }}\n\
             [[phase]]\nname = \"work\"\ndevices = 1\nhold = \"1s\"\n[thresholds]\n\"frames_lost\" = \"= 0\"\n"
        );
        if let Err(error) = Scenario::parse(Path::new("log.toml"), &scenario) {
            panic!("{error}");
        }
    }
    if let Ok(link) = Link::read(bytes) {
        assert!(link.mbits_per_second() > 0.0 && !link.longest_outage().is_zero());
    }
    if let Ok(trace) = Trace::read(bytes) {
        let mut again = Vec::new();
        trace.write(&mut again).expect("a Vec takes all");
        Trace::read(&again[..]).expect("what was written is read");
    }
});
