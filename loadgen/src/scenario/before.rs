//! `[before]`: the incident that a scenario shows to be mended, as what was different then.
//!
//! ```toml
//! [before]
//! gateway.dispatch       = "round-robin"
//! gateway.worker_timeout = "50ms"
//! ```
//! A partial scenario: laid over the file as a file over the one that it extends, key by key, lists as
//! a whole. `din run --before` runs that, `din run --both` one after the other.

use std::ops::Range;
use std::path::Path;

use toml::{Spanned, Table, Value};

use super::ScenarioError;
use super::extends::add;

/// What was different before.
#[derive(Clone, Debug, PartialEq)]
pub struct Before {
    /// Each change as `key.path=value`.
    pub changes: Vec<String>,
    /// Where it stands in the file.
    pub(super) span: Range<usize>,
}

impl Before {
    /// Reads the table.
    pub(super) fn read(
        path: &Path,
        text: &str,
        table: &Spanned<Table>,
    ) -> Result<Self, ScenarioError> {
        let mut changes = Vec::new();
        flatten("", table.get_ref(), &mut changes);
        let span = table.span();
        if changes.is_empty() {
            let message = "`before` changes nothing: what was different?".to_owned();
            let help = "write for example [before] with gateway.dispatch = \"round-robin\"";
            return Err(ScenarioError::at(path, text, span, message).with_help(help.to_owned()));
        }
        if table.get_ref().contains_key("extends") || table.get_ref().contains_key("before") {
            let message = "`before` can change neither `extends` nor itself".to_owned();
            let help = "name the settings that were different";
            return Err(ScenarioError::at(path, text, span, message).with_help(help.to_owned()));
        }
        Ok(Self { changes, span })
    }
}

/// The scenario's text as it was before; `None` when it does not say.
pub(super) fn applied(text: &str) -> Option<String> {
    let mut document: Table = text.parse().ok()?;
    let Some(Value::Table(before)) = document.remove("before") else { return None };
    add(&mut document, before);
    Some(toml::to_string(&document).expect("a table that was read can be written"))
}

fn flatten(path: &str, table: &Table, changes: &mut Vec<String>) {
    for (key, value) in table {
        let path = if path.is_empty() { key.clone() } else { format!("{path}.{key}") };
        match value {
            Value::Table(inner) if !inner.is_empty() => flatten(&path, inner, changes),
            Value::String(text) => changes.push(format!("{path}={text}")),
            value => changes.push(format!("{path}={value}")),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::scenario::{Dispatch, Scenario, Setting};

    const TEXT: &str = "[gateway]\nbackend = \"relay\"\nworkers = 4\n[[phase]]\nname = \"talk\"\n\
        devices = 1\nhold = \"1s\"\n[thresholds]\n\"frames_lost\" = \"= 0\"\n";

    fn load(before: &str, setting: Setting, sets: &[&str]) -> Result<Scenario, String> {
        let directory = tempfile::tempdir().unwrap();
        let path = directory.path().join("test.toml");
        std::fs::write(&path, format!("{TEXT}{before}")).unwrap();
        let sets: Vec<String> = sets.iter().map(|&set| set.to_owned()).collect();
        Scenario::load_as(&path, &sets, setting).map_err(|error| error.to_string())
    }

    #[test]
    fn what_was_before_is_laid_over_and_named() {
        let before = "[before]\ngateway.dispatch = \"round-robin\"\ngateway.workers = 2\n";
        let was = load(before, Setting::Before, &["gateway.workers=3"]).unwrap();
        assert_eq!(was.gateway.dispatch, Some(Dispatch::RoundRobin));
        assert_eq!(was.gateway.workers.as_ref().map(ToString::to_string).as_deref(), Some("3"));
        let named = ["gateway.dispatch=round-robin", "gateway.workers=2", "gateway.workers=3"];
        assert_eq!(was.overrides, named);
        assert_eq!(was.thresholds[0].line, Some(9), "its line is that of the file");
        let is = load(before, Setting::AsWritten, &[]).unwrap();
        assert_eq!((is.gateway.dispatch, is.overrides.len()), (None, 0));
        assert_eq!(is.before.unwrap().changes, named[..2]);
    }

    #[test]
    fn a_before_that_is_none_is_refused_whichever_is_asked_for() {
        for (before, said) in [
            ("[before]\n", "`before` changes nothing"),
            ("[before]\ngateway.dispach = \"sticky\"\n", "unknown key `dispach`"),
            ("[before]\ngateway.dispatch = \"random\"\n", "unknown value `random`"),
            ("[before]\nextends = \"other.toml\"\n", "neither `extends` nor itself"),
            ("before = 3\n", "before"),
        ] {
            let text = if before.starts_with("before") {
                let error = super::super::file::parse(Path::new("t"), format!("{before}{TEXT}"));
                error.unwrap_err().to_string()
            } else {
                load(before, Setting::AsWritten, &[]).unwrap_err()
            };
            assert!(text.contains(said), "{before}: {text}");
        }
        let error = load("", Setting::Before, &[]).unwrap_err();
        assert!(error.contains("has no [before]"), "{error}");
    }
}
