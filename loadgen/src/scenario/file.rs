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
//! [devices]                     # what the devices are like: `devices.rs`, which has [[group]] too
//! frame = "60ms"
//!
//! [generator]                   # how the generator itself works: `generator.rs`
//! spin = "0us"
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
use std::ops::Range;
use std::path::Path;
use std::time::Duration;

use schemars::JsonSchema;
use serde::Deserialize;
use serde::de::IgnoredAny;
use toml::{Spanned, Table};

use super::action::{self, Action, ActionTable};
use super::before::Before;
use super::devices::{self, DevicesTable, GroupTable};
use super::duration::{Span, shown};
use super::error::{line_of, suggestion};
use super::gateway::GatewayTable;
use super::generator::GeneratorTable;
use super::phase::{self, PhaseTable};
use super::sought::{SearchTable, Sought};
use super::threshold::{ErrorPlace, ThresholdTable};
use super::values::Seed;
use super::{Backend, MAX_CALLS, MAX_DEVICES, MAX_SPAN, Phase, Scenario, ScenarioError, Threshold};
use crate::schedule::Schedule;

/// A scenario of Din: the load, the gateway and the limits of a run.
#[derive(Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
#[schemars(rename = "Scenario")]
pub(super) struct File {
    /// Another scenario file, relative to this one: what this one does not say is as it is there.
    /// Tables go together key by key, lists are taken as a whole.
    // Read before, by `extends.rs`: a file that is read here stands alone.
    #[serde(default, rename = "extends")]
    #[schemars(with = "Option<String>")]
    _extends: IgnoredAny,
    /// One line for people; default: the file's name.
    #[serde(default)]
    title: String,
    /// The question that a run of it answers.
    #[serde(default)]
    question: String,
    /// Where all random choices come from: the same seed sends the same datagrams at the same
    /// instants; default: 1.
    #[serde(default = "default_seed")]
    seed: Seed,
    /// How long answers are awaited after the last frame before a frame counts as lost; default: `2s`.
    #[serde(default = "default_drain")]
    drain: Span,
    /// How the reference gateway is started; not used with `--target`.
    #[serde(default)]
    gateway: GatewayTable,
    /// What the devices are like.
    #[serde(default)]
    devices: DevicesTable,
    /// Devices that are unlike the others, by their share.
    #[serde(default = "no_groups")]
    #[schemars(with = "Vec<GroupTable>")]
    group: Spanned<Vec<GroupTable>>,
    /// How the generator itself works.
    #[serde(default)]
    generator: GeneratorTable,
    /// The load over time: its parts, one after the other.
    #[schemars(with = "Vec<PhaseTable>", length(min = 1, max = 100))]
    phase: Spanned<Vec<PhaseTable>>,
    /// What is done to the run at moments of it.
    #[serde(default = "no_actions")]
    #[schemars(with = "Vec<ActionTable>")]
    action: Spanned<Vec<ActionTable>>,
    /// What was different before the incident was mended that this scenario shows: a partial scenario,
    /// laid over this one by `din run --before` and `--both`.
    #[schemars(with = "Option<BTreeMap<String, serde_json::Value>>")]
    before: Option<Spanned<Table>>,
    /// What `din search` varies, where that is not the number of devices.
    #[schemars(with = "Option<SearchTable>")]
    search: Option<Spanned<SearchTable>>,
    /// What must hold: `"[scope.]metric[.statistic]" = "limit"`.
    #[serde(default)]
    #[schemars(schema_with = "super::schema::thresholds")]
    thresholds: BTreeMap<Spanned<String>, Spanned<ThresholdTable>>,
}

/// Like every default, the same on every run.
const fn default_seed() -> Seed {
    Seed(1)
}

fn no_groups() -> Spanned<Vec<GroupTable>> {
    Spanned::new(0..0, Vec::new())
}

fn no_actions() -> Spanned<Vec<ActionTable>> {
    Spanned::new(0..0, Vec::new())
}

/// As long as the reference measurements wait before they judge loss.
const fn default_drain() -> Span {
    Span(Duration::from_secs(2))
}

/// Reads and checks a scenario's text.
pub(super) fn parse(path: &Path, text: String) -> Result<Scenario, ScenarioError> {
    let file: File =
        toml::from_str(&text).map_err(|error| ScenarioError::from_toml(path, &text, &error))?;
    let written = file.phase.span();
    let phases = phase::phases(path, &text, file.phase)?;
    check_load(path, &text, written.clone(), &phases)?;
    let for_groups: Vec<_> =
        file.action.get_ref().iter().filter_map(|one| one.group.clone()).collect();
    let actions = action::actions(path, &text, file.action, &phases)?;
    let most_devices = Schedule::new(&phases, &actions, file.seed.0).devices();
    if most_devices > MAX_DEVICES {
        let message = format!("{most_devices} devices at once, the most is {MAX_DEVICES}");
        let help = "arrivals that stay long add up: lower their rate or their stay";
        return Err(ScenarioError::at(path, &text, written, message).with_help(help.to_owned()));
    }
    let thresholds = thresholds(path, &text, &phases, &actions, file.thresholds)?;
    let name =
        path.file_stem().map_or_else(String::new, |stem| stem.to_string_lossy().into_owned());
    let gateway = file.gateway.checked(path, &text, file.seed.0)?;
    let backend = gateway.backend.unwrap_or(Backend::Echo);
    let before = file.before.as_ref().map(|table| Before::read(path, &text, table)).transpose()?;
    let search = file.search.map(|table| Sought::read(path, &text, table)).transpose()?;
    let devices = devices::devices(path, &text, file.devices, file.group, backend)?;
    let names: Vec<&str> = devices.groups.iter().map(|one| &*one.name).collect();
    if let Some(wrong) = for_groups.iter().find(|one| !names.contains(&one.get_ref().as_str())) {
        let group = wrong.get_ref();
        let message = format!("an action is for group `{group}`, and there is none");
        let help = suggestion(group, &names);
        return Err(ScenarioError::at(path, &text, wrong.span(), message).with_help(help));
    }
    Ok(Scenario {
        title: if file.title.is_empty() { name.clone() } else { file.title },
        path: path.to_owned(),
        name,
        question: file.question,
        seed: file.seed.0,
        gateway,
        devices,
        generator: file.generator.settings(),
        phases,
        actions,
        most_devices,
        thresholds,
        before,
        search,
        drain: file.drain.0,
        text,
        overrides: Vec::new(),
    })
}

/// What the phases must be together.
fn check_load(
    path: &Path,
    text: &str,
    whole: Range<usize>,
    phases: &[Phase],
) -> Result<(), ScenarioError> {
    let wrong = |message: String, help: &str| {
        Err(ScenarioError::at(path, text, whole.clone(), message).with_help(help.to_owned()))
    };
    let length: Duration = phases.iter().map(Phase::length).sum();
    if phases.iter().all(Phase::is_empty) {
        let message = "no phase has a device: there is nothing to run".to_owned();
        return wrong(message, "write devices = 10 in one of them");
    }
    if length > MAX_SPAN {
        let message =
            format!("ramps and holds add up to {}, the longest run is 24h", shown(length));
        return wrong(message, "shorten the phases, or run the scenario several times");
    }
    if length.is_zero() {
        let message = "ramps and holds add up to no time: there is nothing to run".to_owned();
        return wrong(message, "write for example hold = \"10s\"");
    }
    let sessions = phase::sessions_about(phases);
    if sessions > f64::from(MAX_CALLS) {
        let message =
            format!("the phases call for some {sessions:.0} sessions, the most is {MAX_CALLS}");
        return wrong(message, "lower the rate of arrivals and churn, or make waves longer");
    }
    Ok(())
}

fn thresholds(
    path: &Path,
    text: &str,
    phases: &[Phase],
    actions: &[Action],
    table: BTreeMap<Spanned<String>, Spanned<ThresholdTable>>,
) -> Result<Vec<Threshold>, ScenarioError> {
    let mut entries: Vec<_> = table.into_iter().collect();
    entries.sort_by_key(|(key, _)| key.span().start);
    let parsed = entries.iter().map(|(key, said)| {
        let threshold = Threshold::parse(key.get_ref(), said.get_ref(), phases, actions);
        let threshold = threshold.map_err(|error| {
            let span = match error.place {
                ErrorPlace::Key => key.span(),
                place => said.get_ref().span(place).unwrap_or(said.span()),
            };
            ScenarioError::at(path, text, span, error.message).with_help(error.help)
        })?;
        let line = u32::try_from(line_of(text, key.span().start)).ok();
        Ok(Threshold { line, ..threshold })
    });
    parsed.collect()
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::any;
    use proptest::sample::Index;

    const TEXT: &str = "[[phase]]\ndevices = 1\nhold = \"1s\"\n\n[thresholds]\n\
        \"response_latency.p99\" = \"< 40ms\"\n\
        \"frames_lost\" = { limit = \"= 0\", warn = true }\n";

    fn load(text: &str, overrides: &[&str]) -> Result<Scenario, ScenarioError> {
        let directory = tempfile::tempdir().unwrap();
        let path = directory.path().join("test.toml");
        std::fs::write(&path, text).unwrap();
        let overrides: Vec<String> = overrides.iter().map(|&set| set.to_owned()).collect();
        Scenario::load(&path, &overrides)
    }

    fn shown(scenario: &Scenario) -> Vec<(String, Option<u32>)> {
        scenario.thresholds.iter().map(|one| (one.to_string(), one.line)).collect()
    }

    #[test]
    fn thresholds_know_their_lines_and_whether_they_only_warn() {
        let scenario = load(TEXT, &[]).unwrap();
        assert_eq!(
            shown(&scenario),
            [
                ("response_latency.p99 < 40ms".to_owned(), Some(6)),
                ("frames_lost = 0 (a warning)".to_owned(), Some(7)),
            ]
        );
    }

    /// What the command line changed is in no file, so its lines are those of the file.
    #[test]
    fn overrides_keep_lines_and_order_and_what_they_add_has_no_line() {
        let sets =
            ["phase.0.devices=2", "thresholds.hello_time.p99=< 1s", "thresholds.frames_lost=<= 9"];
        let scenario = load(TEXT, &sets).unwrap();
        assert_eq!(
            shown(&scenario),
            [
                ("response_latency.p99 < 40ms".to_owned(), Some(6)),
                ("frames_lost <= 9".to_owned(), Some(7)),
                ("hello_time.p99 < 1s".to_owned(), None),
            ]
        );
    }

    #[test]
    fn a_limit_that_is_no_limit_is_shown_where_it_stands() {
        for (limit, said) in [
            ("{ limit = \"= 0\", wran = true }", "unknown key `wran`"),
            ("{ warn = true }", "`limit` is missing"),
            ("{ limit = \"= 0\", warn = 1 }", "true or false"),
            ("{ limit = \"0\" }", "does not begin with"),
            ("0", "a limit in quotes, for example"),
        ] {
            let text = TEXT.replace("{ limit = \"= 0\", warn = true }", limit);
            let error = load(&text, &[]).unwrap_err().to_string();
            assert!(error.contains(said) && error.contains("test.toml:7:"), "{limit}: {error}");
        }
    }

    /// A scenario with most of what can be said, to be mutilated.
    const RICH: &str = include_str!("../../../scenarios/gateway-restart.toml");
    const CONVERSATION: &str = include_str!("../../../scenarios/conversation.toml");
    const TABLE: &str = include_str!("../../../scenarios/capacity-table.toml");

    proptest::proptest! {
        /// Whatever is left out, doubled or put in the place of something else: a scenario, or an
        /// error that names the file.
        #[test]
        fn mutilated_scenarios_are_read_or_refused(
            which in 0..3_usize,
            cuts in proptest::collection::vec((any::<Index>(), any::<Index>(), 0..4_usize), 1..4),
        ) {
            let mut text = [RICH, CONVERSATION, TABLE][which].to_owned();
            for (at, to, how) in cuts {
                let tokens = text.split_inclusive([' ', '\n', '"', '=']);
                let mut tokens: Vec<String> = tokens.map(str::to_owned).collect();
                let (at, to) = (at.index(tokens.len()), to.index(tokens.len()));
                match how {
                    0 => { tokens.remove(at); }
                    1 => tokens.insert(to, tokens[at].clone()),
                    2 => tokens.swap(at, to),
                    _ => tokens[at] = "9e99".to_owned(),
                }
                text = tokens.concat();
                if text.is_empty() { break; }
            }
            if let Err(error) = Scenario::parse(Path::new("cut.toml"), &text) {
                proptest::prop_assert!(error.to_string().starts_with("cut.toml"), "{}", error);
            }
        }
    }
}
