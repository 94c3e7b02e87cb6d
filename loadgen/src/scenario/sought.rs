//! `[search]`: which setting `din search` varies, where that is not the number of devices.
//!
//! ```toml
//! [search]
//! vary = "phase.burst.devices"   # a setting, as --set names it
//! from = 200                     # where the search begins
//! most = 2000                    # default 20000
//! ```

use std::ops::Range;
use std::path::Path;

use schemars::JsonSchema;
use serde::Deserialize;
use toml::Spanned;

use super::values::Whole;
use super::{MAX_DEVICES, ScenarioError, file, overrides};

/// A setting that a search varies.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Sought {
    /// Its key, as `--set` names it.
    pub vary: String,
    /// What is written behind the number, as `/s`.
    pub unit: String,
    /// Where the search begins.
    pub from: u32,
    /// The least and the most that is tried.
    pub range: (u32, u32),
    /// Which of the values that meet the limits is looked for.
    pub find: Find,
    /// Where it stands in the file.
    span: Range<usize>,
}

/// Which of the values that meet the limits is looked for.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Deserialize, JsonSchema)]
#[serde(rename_all = "lowercase")]
pub enum Find {
    /// The largest: more of it is harder, as of devices.
    #[default]
    Most,
    /// The smallest: less of it is harder, as of workers.
    Fewest,
}

/// Which setting `din search` varies, where that is not the number of devices of the only phase.
#[derive(Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
#[schemars(rename = "Search")]
pub(super) struct SearchTable {
    /// The setting, as `--set` names it: `phase.burst.devices`, `gateway.workers`,
    /// `phase.0.arrivals.rate`, `gateway.complexity`.
    vary: String,
    /// Where the search begins: a whole number.
    from: Whole<0, MAX_DEVICES>,
    /// The least that is tried; default: 1.
    least: Option<Whole<0, MAX_DEVICES>>,
    /// The most that is tried; default: 20000.
    most: Option<Whole<1, MAX_DEVICES>>,
    /// What is written behind the number, for example `/s` or `ms`; default: nothing.
    #[serde(default)]
    unit: String,
    /// `most` (default): the largest value that meets the limits; `fewest`: the smallest, where more of it
    /// makes it easier.
    #[serde(default)]
    find: Find,
}

impl Sought {
    /// Reads the table.
    pub(super) fn read(
        path: &Path,
        text: &str,
        table: Spanned<SearchTable>,
    ) -> Result<Self, ScenarioError> {
        let span = table.span();
        let said = table.into_inner();
        let from = said.from.get();
        let range = (said.least.map_or(1, Whole::get), said.most.map_or(MAX_DEVICES, Whole::get));
        if !(range.0..=range.1).contains(&from) || range.0 == range.1 {
            let message = format!(
                "a search from {from} between {} and {} has nowhere to go",
                range.0, range.1
            );
            let help = "least < most, and from is one of them or between".to_owned();
            return Err(ScenarioError::at(path, text, span, message).with_help(help));
        }
        Ok(Self { vary: said.vary, unit: said.unit, from, range, find: said.find, span })
    }

    /// The change that gives the setting this value.
    pub fn set(&self, value: u32) -> String {
        format!("{}={value}{}", self.vary, self.unit)
    }

    /// Whether the scenario is one with the values that are tried.
    pub(super) fn check(&self, path: &Path, text: &str) -> Result<(), ScenarioError> {
        for value in [self.from, self.range.0, self.range.1] {
            let set = self.set(value);
            overrides::apply(path, text, std::slice::from_ref(&set))
                .and_then(|changed| file::parse(path, changed))
                .map_err(|error| error.caused_by_search(path, text, self.span.clone(), &set))?;
        }
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use crate::scenario::Scenario;

    const TEXT: &str = "[gateway]\nbackend = \"echo\"\n[[phase]]\nname = \"talk\"\ndevices = 1\n\
        arrivals = { rate = \"5/s\", stay = \"2s\" }\nhold = \"1s\"\n";

    fn load(search: &str) -> Result<Scenario, String> {
        let directory = tempfile::tempdir().unwrap();
        let path = directory.path().join("test.toml");
        std::fs::write(&path, format!("{TEXT}[search]\n{search}")).unwrap();
        Scenario::load(&path, &[]).map_err(|error| error.to_string())
    }

    #[test]
    fn any_whole_number_of_a_scenario_can_be_sought() {
        for (search, sets) in [
            ("vary = \"phase.talk.devices\"\nfrom = 20\nmost = 1000", "phase.talk.devices=7"),
            ("vary = \"gateway.complexity\"\nfrom = 5\nmost = 10", "gateway.complexity=7"),
            (
                "vary = \"phase.0.arrivals.rate\"\nunit = \"/s\"\nfrom = 5\nmost = 100",
                "phase.0.arrivals.rate=7/s",
            ),
            (
                "vary = \"gateway.workers\"\nfind = \"fewest\"\nfrom = 4\nmost = 64",
                "gateway.workers=7",
            ),
        ] {
            let sought = load(search).unwrap_or_else(|error| panic!("{error}")).search.unwrap();
            assert_eq!(sought.set(7), sets);
        }
    }

    #[test]
    fn what_cannot_be_sought_is_told_where_it_stands() {
        for (search, said) in [
            ("vary = \"gateway.wrkers\"\nfrom = 2", "unknown key `wrkers`"),
            ("vary = \"phase.storm.devices\"\nfrom = 2", "no `phase.storm`"),
            (
                "vary = \"gateway.complexity\"\nfrom = 2",
                "the search tries gateway.complexity=20000",
            ),
            ("vary = \"gateway.complexity\"\nfrom = 2\nmost = 1", "nowhere to go"),
            ("vary = \"gateway.workers\"\nfrom = 0\nleast = 0", "gateway.workers=0"),
            ("vary = \"gateway.workers\"\nfrm = 2", "unknown key `frm`"),
            ("vary = \"gateway.workers\"\nfrom = 2\nfind = \"least\"", "least"),
            ("from = 2", "vary"),
        ] {
            let error = load(search).unwrap_err();
            assert!(error.contains(said), "{search}: {error}");
            assert!(error.contains("test.toml:"), "{search}: {error}");
        }
    }
}
