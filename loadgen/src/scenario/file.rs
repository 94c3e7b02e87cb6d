//! The form of a scenario file, and the checks that one table alone cannot make.
//!
//! ```toml
//! title    = "First call"
//! question = "Do 50 devices get their own speech back, in time and complete?"
//! seed     = 1
//! drain    = "1s"
//!
//! [gateway]                     # how the reference gateway is started: `gateway.rs`
//! backend = "echo"
//!
//! [devices]                     # what the devices are like: `devices.rs`
//! frame = "60ms"
//!
//! [[phase]]
//! name    = "talk"
//! devices = 50
//! ramp    = "3s"
//! hold    = "10s"
//!
//! [thresholds]
//! "response_latency.p99" = "< 40ms"
//! ```

use std::collections::BTreeMap;
use std::path::Path;
use std::time::Duration;

use serde::Deserialize;
use toml::Spanned;

use super::devices::{Count, DevicesTable};
use super::duration::{Span, shown};
use super::gateway::GatewayTable;
use super::threshold::{ErrorPlace, ThresholdTable};
use super::values::Seed;
use super::{MAX_CALLS, MAX_PHASES, MAX_SPAN, Phase, Scenario, ScenarioError, Threshold};

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct File {
    #[serde(default)]
    title: String,
    #[serde(default)]
    question: String,
    #[serde(default = "default_seed")]
    seed: Seed,
    #[serde(default = "default_drain")]
    drain: Span,
    #[serde(default)]
    gateway: GatewayTable,
    #[serde(default)]
    devices: DevicesTable,
    phase: Spanned<Vec<PhaseTable>>,
    #[serde(default)]
    thresholds: BTreeMap<Spanned<String>, Spanned<ThresholdTable>>,
}

/// Like every default, the same on every run.
const fn default_seed() -> Seed {
    Seed(1)
}

/// As long as the reference measurements wait before they judge loss.
const fn default_drain() -> Span {
    Span(Duration::from_secs(2))
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct PhaseTable {
    name: Option<Spanned<String>>,
    devices: Count,
    #[serde(default)]
    ramp: Span,
    hold: Span,
}

/// Reads and checks a scenario's text.
pub(super) fn parse(path: &Path, text: String) -> Result<Scenario, ScenarioError> {
    let file: File =
        toml::from_str(&text).map_err(|error| ScenarioError::from_toml(path, &text, &error))?;
    let phases = phases(path, &text, file.phase)?;
    let thresholds = thresholds(path, &text, &phases, file.thresholds)?;
    let name =
        path.file_stem().map_or_else(String::new, |stem| stem.to_string_lossy().into_owned());
    let gateway = file.gateway.checked(path, &text)?;
    let devices = file.devices.checked(path, &text)?;
    Ok(Scenario {
        title: if file.title.is_empty() { name.clone() } else { file.title },
        name,
        question: file.question,
        seed: file.seed.0,
        gateway,
        devices,
        phases,
        thresholds,
        drain: file.drain.0,
        text,
        overrides: Vec::new(),
    })
}

fn phases(
    path: &Path,
    text: &str,
    tables: Spanned<Vec<PhaseTable>>,
) -> Result<Vec<Phase>, ScenarioError> {
    let whole = tables.span();
    let tables = tables.into_inner();
    let wrong = |span, message| Err(ScenarioError::at(path, text, span, message));
    if tables.is_empty() || tables.len() > MAX_PHASES {
        let message = format!("{} phases: allowed are 1 to {MAX_PHASES}", tables.len());
        return wrong(whole, message);
    }
    let mut phases: Vec<Phase> = Vec::new();
    for (index, table) in tables.into_iter().enumerate() {
        let (name, span) = match table.name {
            Some(name) => (name.get_ref().clone(), name.span()),
            None => (format!("phase-{}", index + 1), whole.clone()),
        };
        let usable = |c: char| c.is_alphanumeric() || c == '-' || c == '_';
        if name.is_empty() || !name.chars().all(usable) {
            let message = format!("phase name `{name}`: allowed are letters, digits, `-` and `_`");
            return wrong(span, message);
        }
        if phases.iter().any(|phase| phase.name == name) {
            let message =
                format!("phase name `{name}` is used twice; thresholds need to tell phases apart");
            return wrong(span, message);
        }
        phases.push(Phase {
            name,
            devices: table.devices.0,
            ramp: table.ramp.0,
            hold: table.hold.0,
        });
    }
    if phases.iter().all(|phase| phase.devices == 0) {
        return wrong(whole, "no phase has a device: there is nothing to run".to_owned());
    }
    let length: Duration = phases.iter().map(Phase::length).sum();
    if length > MAX_SPAN {
        let message =
            format!("ramps and holds add up to {}, the longest run is 24h", shown(length));
        return wrong(whole, message);
    }
    let mut before = 0;
    let mut arrivals = 0;
    for phase in &phases {
        arrivals += phase.devices.saturating_sub(before);
        before = phase.devices;
    }
    if arrivals > MAX_CALLS {
        let message = format!("the phases call for {arrivals} sessions, the most is {MAX_CALLS}");
        return wrong(whole, message);
    }
    if length.is_zero() {
        return wrong(
            whole,
            "ramps and holds add up to no time: there is nothing to run".to_owned(),
        );
    }
    Ok(phases)
}

fn thresholds(
    path: &Path,
    text: &str,
    phases: &[Phase],
    table: BTreeMap<Spanned<String>, Spanned<ThresholdTable>>,
) -> Result<Vec<Threshold>, ScenarioError> {
    let mut entries: Vec<_> = table.into_iter().collect();
    entries.sort_by_key(|(key, _)| key.span().start);
    let parsed = entries.iter().map(|(key, said)| {
        Threshold::parse(key.get_ref(), said.get_ref(), phases).map_err(|error| {
            let span = match error.place {
                ErrorPlace::Key => key.span(),
                place => said.get_ref().span(place).unwrap_or(said.span()),
            };
            ScenarioError::at(path, text, span, error.message).with_help(error.help)
        })
    });
    parsed.collect()
}
