//! A threshold as it is written: `"< 40ms"`, or a table with more to say.

use std::fmt;
use std::ops::Range;
use std::time::Duration;

use schemars::JsonSchema;
use serde::de::value::MapAccessDeserializer;
use serde::{Deserialize, Deserializer, de};
use toml::Spanned;

use super::ErrorPlace;
use crate::scenario::duration::Span;

/// What is said of a metric.
#[derive(Debug, Default)]
pub(in crate::scenario) struct ThresholdTable {
    pub(super) limit: String,
    pub(super) over: Option<Duration>,
    pub(super) abort: bool,
    pub(super) after: Option<Duration>,
    pub(super) warn: bool,
    /// Where each part stands; none: with the whole.
    pub(super) places: Vec<(ErrorPlace, Range<usize>)>,
}

impl ThresholdTable {
    /// Nothing but a limit.
    #[cfg(test)]
    pub(super) fn limit(text: &str) -> Self {
        Self { limit: text.to_owned(), ..Self::default() }
    }

    /// Where the part `place` stands, if it has a place of its own.
    pub(in crate::scenario) fn span(&self, place: ErrorPlace) -> Option<Range<usize>> {
        self.places.iter().find(|(of, _)| *of == place).map(|(_, span)| span.clone())
    }
}

/// A limit with more to say.
#[derive(Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
#[schemars(rename = "Threshold")]
pub(in crate::scenario) struct Written {
    /// A comparison and a number with its unit, or a multiple: `< 40ms`, `= 0`, `>= 99%`, `< 2x calm`,
    /// `< 110% baseline`.
    #[schemars(with = "String")]
    limit: Spanned<String>,
    /// Each window of this length must hold, moved on by a second each: whole seconds, `1s` to `60s`;
    /// default: the scope as a whole.
    #[schemars(with = "Option<Span>")]
    over: Option<Spanned<Span>>,
    /// Whether the run ends as soon as it does not hold; default: false.
    #[serde(default)]
    abort: bool,
    /// From how long after the start of its scope `abort` applies; default: `0s`.
    #[schemars(with = "Option<Span>")]
    after: Option<Spanned<Span>>,
    /// Whether it is only shown when it does not hold, and fails nothing; default: false.
    #[serde(default)]
    warn: bool,
}

impl From<Written> for ThresholdTable {
    fn from(written: Written) -> Self {
        let mut places = vec![(ErrorPlace::Limit, written.limit.span())];
        places.extend(written.over.as_ref().map(|over| (ErrorPlace::Over, over.span())));
        places.extend(written.after.as_ref().map(|after| (ErrorPlace::After, after.span())));
        Self {
            limit: written.limit.into_inner(),
            over: written.over.map(|over| over.into_inner().0),
            abort: written.abort,
            after: written.after.map(|after| after.into_inner().0),
            warn: written.warn,
            places,
        }
    }
}

impl<'de> Deserialize<'de> for ThresholdTable {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        struct Visitor;
        impl<'de> de::Visitor<'de> for Visitor {
            type Value = ThresholdTable;

            fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                f.write_str(
                    "a limit in quotes, for example \"< 40ms\" or \"= 0\", or a table such as \
                     { limit = \"< 40ms\", over = \"5s\" }",
                )
            }

            fn visit_str<E: de::Error>(self, text: &str) -> Result<ThresholdTable, E> {
                Ok(ThresholdTable { limit: text.to_owned(), ..ThresholdTable::default() })
            }

            fn visit_map<A: de::MapAccess<'de>>(self, map: A) -> Result<ThresholdTable, A::Error> {
                Written::deserialize(MapAccessDeserializer::new(map)).map(Into::into)
            }
        }
        deserializer.deserialize_any(Visitor)
    }
}
