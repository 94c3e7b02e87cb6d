//! What the gateway tells about itself while it runs: metrics, status and frames over HTTP, and a
//! block in the log now and then.
//!
//! All of it is made from one [`status::Status`], taken when somebody asks. Nothing here is on the
//! way of a frame, except for [`histogram::TimeHistogram::record`]: workers keep their numbers
//! themselves, and whoever makes a status collects them.
//!
//! Deliberately absent: labels with a device or session in them (their number has no bound), rates
//! (two readings make one), authentication and TLS (listen on loopback, or put a proxy in front).

#[cfg(test)]
mod fixture;
mod histogram;
mod http_io;
mod log_block;
mod metrics;
mod observer;
mod reporter_io;
mod status;
mod vitals;

pub(crate) use histogram::TimeHistogram;
pub(crate) use observer::Observer;
pub(crate) use reporter_io::Reporter;
pub(crate) use vitals::Vitals;

use std::net::SocketAddr;
use std::time::Duration;

use serde::Deserialize;

use crate::duration_text;

/// Where the gateway tells about itself, and how often.
#[derive(Clone, Debug, PartialEq, Eq, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct TelemetrySettings {
    /// The address of `/metrics`, `/status` and `/frames`; none, and then no port is opened. Port 0
    /// takes a free one. Whoever reaches it may read, so name a loopback address unless the network
    /// is trusted.
    pub listen: Option<SocketAddr>,
    /// Time between two blocks in the log; `30s`. `0s` writes none.
    #[serde(deserialize_with = "duration_text::deserialize")]
    pub log_every: Duration,
}

impl Default for TelemetrySettings {
    fn default() -> Self {
        Self { listen: None, log_every: Duration::from_secs(30) }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn read(text: &str) -> Result<TelemetrySettings, String> {
        toml::from_str(text).map_err(|error| error.to_string())
    }

    #[test]
    fn settings_have_their_documented_defaults_and_can_be_set() {
        let settings = read("").unwrap();
        assert_eq!((settings.listen, settings.log_every), (None, Duration::from_secs(30)));
        let settings = read("listen = \"127.0.0.1:9464\"\nlog_every = \"0s\"").unwrap();
        assert_eq!(settings.listen, Some(([127, 0, 0, 1], 9464).into()));
        assert_eq!(settings.log_every, Duration::ZERO);
    }

    #[test]
    fn mistakes_in_settings_are_named() {
        for (text, reason) in [
            ("listen = \"9464\"", "invalid socket address"),
            ("log_every = 30", "invalid type: integer `30`"),
            ("log = \"30s\"", "unknown field `log`, expected `listen` or `log_every`"),
        ] {
            let error = read(text).unwrap_err();
            assert!(error.contains(reason), "{text}: {error}");
        }
    }
}
