//! `[generator]`: how the generator itself works, whatever it generates.
//!
//! ```toml
//! spin = "50us"     # 0us to 200us, default 0us
//! ```

use std::time::Duration;

use serde::Deserialize;

use super::GeneratorSettings;
use super::values::Within;

/// The longest spin, in microseconds.
const LONGEST_SPIN_US: u64 = 200;

/// The table as it is written.
#[derive(Default, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub(super) struct GeneratorTable {
    spin: Option<Within<0, LONGEST_SPIN_US>>,
}

impl GeneratorTable {
    pub(super) fn settings(self) -> GeneratorSettings {
        GeneratorSettings { spin: self.spin.map_or(Duration::ZERO, Within::get) }
    }
}
