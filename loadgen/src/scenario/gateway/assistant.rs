//! `gateway.assistant`: how the backend `assistant` takes its turns.
//!
//! ```toml
//! assistant = { think = "300ms", speak = "1s..4s" }
//! ```

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use crate::scenario::TimeDistribution;

/// How the assistant takes its turns.
///
/// What is left out has the gateway's own default.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(default, deny_unknown_fields)]
pub struct Assistant {
    /// From the end of listening to the beginning of speech, drawn for each turn: a time of at most
    /// 60 s, or a distribution such as `1s..3s` or `lognormal(800ms, 0.5)`; default: `300ms`.
    pub think: Option<TimeDistribution>,
    /// How long the speech is, drawn for each turn and rounded up to whole frames; default: `3s`.
    pub speak: Option<TimeDistribution>,
    /// Where both are drawn from: the scenario's seed.
    #[serde(skip_deserializing)]
    pub(in crate::scenario) seed: Option<u64>,
}
