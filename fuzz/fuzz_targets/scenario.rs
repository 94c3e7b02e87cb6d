//! Any bytes as a scenario: a scenario or an error that names the file, and never a panic, a hang or
//! memory without bound.
#![no_main]

use std::path::Path;

use libfuzzer_sys::fuzz_target;
use loadgen::scenario::Scenario;

fuzz_target!(|bytes: &[u8]| {
    let Ok(text) = std::str::from_utf8(bytes) else { return };
    if let Err(error) = Scenario::parse(Path::new("fuzz.toml"), text) {
        assert!(error.to_string().starts_with("fuzz.toml"));
    }
});
