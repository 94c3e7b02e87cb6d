//! `[generator]`: how the generator itself works, whatever it generates.
//!
//! ```toml
//! spin = "50us"     # 0us to 200us, default 0us
//! ```

use std::time::Duration;

use schemars::JsonSchema;
use serde::Deserialize;

use super::GeneratorSettings;
use super::values::Within;

/// The longest spin, in microseconds.
const LONGEST_SPIN_US: u64 = 200;

/// How the generator itself works.
#[derive(Default, Deserialize, JsonSchema)]
#[serde(default, deny_unknown_fields)]
#[schemars(rename = "Generator")]
pub(super) struct GeneratorTable {
    /// How long the pacer waits busily before each planned instant instead of sleeping until it, `0us`
    /// to `200us`: less late, more CPU; default: `0us`.
    spin: Option<Within<0, LONGEST_SPIN_US>>,
}

impl GeneratorTable {
    pub(super) fn settings(self) -> GeneratorSettings {
        GeneratorSettings { spin: self.spin.map_or(Duration::ZERO, Within::get) }
    }
}
