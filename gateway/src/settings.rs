//! All settings of a gateway, and how they are read from a file.
//!
//! ```toml
//! [control]
//! listen = "127.0.0.1:1883"
//! [media]
//! listen = "127.0.0.1:8884"
//! audio_timeout = "120s"
//! [backend]
//! kind = "echo"
//! complexity = 5
//! assistant = { think = "300ms", speak = "1s..4s", seed = 1 }
//! [pool]
//! workers = 2
//! dispatch = "central-queue"
//! worker_timeout = "150ms"
//! [autoscale]                  # where it is, the pool is scaled
//! policy = "queue-delay"
//! [telemetry]
//! listen = "127.0.0.1:9464"
//! [[burn]]                     # extra work per frame
//! kind = "wait"
//! time = "20ms"
//! [faults]                     # each off by default
//! dropped_replies = "1%"
//! ```
//! Every key may be left out. Each section is described, with its defaults, beside what it
//! configures.

use std::error::Error;
use std::fmt;
use std::ops::RangeInclusive;
use std::path::{Path, PathBuf};
use std::time::Duration;
use std::{fs, io};

use protocol::identity::SignatureKey;
use serde::Deserialize;

use crate::autoscale::{AutoscaleError, AutoscaleSettings, Policy};
use crate::backend::{BackendSettings, LONGEST_DELAY, MOST_DELAYS};
use crate::burn::{BurnError, BurnRule};
use crate::control_io::ControlSettings;
use crate::faults::{FaultError, FaultSettings};
use crate::media_io::MediaSettings;
use crate::pool::PoolSettings;
use crate::telemetry::TelemetrySettings;

/// Everything that can be set about a gateway.
#[derive(Clone, Debug, Default, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct Settings {
    /// The MQTT side.
    pub control: ControlSettings,
    /// The UDP side.
    pub media: MediaSettings,
    /// What is done with audio.
    pub backend: BackendSettings,
    /// Who does it.
    pub pool: PoolSettings,
    /// How the number of workers changes; it does not when this is left out.
    pub autoscale: Option<AutoscaleSettings>,
    /// What the gateway tells about itself.
    pub telemetry: TelemetrySettings,
    /// Extra work per frame: the first rule that applies to a device counts.
    pub burn: Vec<BurnRule>,
    /// What is made to go wrong.
    pub faults: FaultSettings,
    /// The secret that signs passwords; without one they are not checked. Never read from a file.
    #[serde(skip)]
    pub signature_key: Option<SignatureKey>,
}

/// A block in the log costs some hundred microseconds of the control thread.
const SHORTEST_LOG_PERIOD: Duration = Duration::from_millis(100);

/// No frame is of use to anybody after this.
const LONGEST_WAIT: Duration = Duration::from_mins(1);

/// Settings that no gateway can run with.
#[derive(Debug)]
#[non_exhaustive]
pub enum SettingsError {
    /// The file cannot be read.
    Unreadable {
        /// Which file.
        path: PathBuf,
        /// Why.
        cause: io::Error,
    },
    /// The file is not TOML, or says what cannot be said; the cause names line and column.
    Invalid {
        /// Which file.
        path: PathBuf,
        /// What and where.
        cause: Box<toml::de::Error>,
    },
    /// A number is out of its range.
    OutOfRange {
        /// Section and key.
        key: &'static str,
        /// What was set.
        seen: usize,
        /// What may be set.
        allowed: RangeInclusive<usize>,
    },
    /// A time limit that nothing can keep; carries section and key.
    NoTime(&'static str),
    /// A time limit that is none.
    TooLong {
        /// Section and key.
        key: &'static str,
        /// What was set.
        seen: Duration,
        /// The longest that may be set.
        longest: Duration,
    },
    /// Blocks in the log would come more often than anybody can read.
    LogTooOften(Duration),
    /// The section `autoscale`.
    Autoscale(AutoscaleError),
    /// An entry of `burn`.
    Burn {
        /// Which, from 1.
        number: usize,
        /// What is wrong with it.
        error: BurnError,
    },
    /// The section `faults`.
    Faults(FaultError),
    /// Devices would be told to send to an address that is none.
    NothingToAdvertise(std::net::SocketAddr),
}

impl fmt::Display for SettingsError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Unreadable { path, .. } => write!(f, "cannot read `{}`", path.display()),
            Self::Invalid { path, .. } => write!(f, "in `{}`", path.display()),
            Self::OutOfRange { key, seen, allowed } => {
                write!(f, "{key} is {seen}: allowed are {} to {}", allowed.start(), allowed.end())
            }
            Self::NoTime(key) => write!(f, "{key} is 0: no time is too little"),
            Self::TooLong { key, seen, longest } => {
                write!(f, "{key} is {seen:?}: the longest is {longest:?}")
            }
            Self::LogTooOften(seen) => write!(
                f,
                "telemetry.log_every is {seen:?}: allowed are {SHORTEST_LOG_PERIOD:?} and more, or 0s for none"
            ),
            Self::Autoscale(error) => write!(f, "autoscale.{error}"),
            Self::Burn { number, error } => write!(f, "burn, rule {number}: {error}"),
            Self::Faults(error) => write!(f, "faults.{error}"),
            Self::NothingToAdvertise(listen) => write!(
                f,
                "media.listen is {listen}, which is no address that devices can send to: name \
                 this host with --advertise HOST (media.advertise)"
            ),
        }
    }
}

impl Error for SettingsError {
    fn source(&self) -> Option<&(dyn Error + 'static)> {
        match self {
            Self::Unreadable { cause, .. } => Some(cause),
            Self::Invalid { cause, .. } => Some(cause),
            _ => None,
        }
    }
}

impl Settings {
    /// Reads a settings file; what it leaves out has its default.
    ///
    /// # Errors
    /// [`SettingsError`] when it cannot be read or understood. Ranges are checked later, by
    /// [`check`](Self::check), when flags have been applied.
    pub fn load(path: &Path) -> Result<Self, SettingsError> {
        let path = path.to_owned();
        let text = match fs::read_to_string(&path) {
            Ok(text) => text,
            Err(cause) => return Err(SettingsError::Unreadable { path, cause }),
        };
        toml::from_str(&text)
            .map_err(|cause| SettingsError::Invalid { path, cause: Box::new(cause) })
    }

    /// Whether a gateway can run with these settings.
    ///
    /// # Errors
    /// [`SettingsError`] names the key, what was set and what may be set.
    pub fn check(&self) -> Result<(), SettingsError> {
        let ranges = [
            ("control.max_connections", self.control.max_connections, 1..=1_000_000),
            ("control.max_packet", self.control.max_packet, 128..=1 << 20),
            ("media.threads", self.media.threads, 1..=16),
            ("media.mailbox", self.media.mailbox, 1..=1000),
            ("pool.workers", self.pool.workers, 1..=256),
            ("backend.delay's length", self.backend.delay.len(), 0..=MOST_DELAYS),
        ];
        for (key, seen, allowed) in ranges {
            if !allowed.contains(&seen) {
                return Err(SettingsError::OutOfRange { key, seen, allowed });
            }
        }
        let limits = [
            ("control.connect_timeout", self.control.connect_timeout),
            ("control.write_timeout", self.control.write_timeout),
            ("media.audio_timeout", self.media.audio_timeout),
            ("pool.worker_timeout", self.pool.worker_timeout.unwrap_or(LONGEST_WAIT)),
        ];
        if let Some((key, _)) = limits.into_iter().find(|(_, limit)| limit.is_zero()) {
            return Err(SettingsError::NoTime(key));
        }
        let log_every = self.telemetry.log_every;
        if !log_every.is_zero() && log_every < SHORTEST_LOG_PERIOD {
            return Err(SettingsError::LogTooOften(log_every));
        }
        if let Some(seen) = self.pool.worker_timeout.filter(|seen| *seen > LONGEST_WAIT) {
            let (key, longest) = ("pool.worker_timeout", LONGEST_WAIT);
            return Err(SettingsError::TooLong { key, seen, longest });
        }
        if let Some(&seen) = self.backend.delay.iter().find(|delay| **delay > LONGEST_DELAY) {
            let (key, longest) = ("backend.delay", LONGEST_DELAY);
            return Err(SettingsError::TooLong { key, seen, longest });
        }
        if let Some(autoscale) = &self.autoscale {
            autoscale.check().map_err(SettingsError::Autoscale)?;
        }
        for (number, rule) in (1..).zip(&self.burn) {
            rule.check().map_err(|error| SettingsError::Burn { number, error })?;
        }
        self.faults.check().map_err(SettingsError::Faults)?;
        if self.media.listen.ip().is_unspecified() && self.media.advertise.is_none() {
            return Err(SettingsError::NothingToAdvertise(self.media.listen));
        }
        Ok(())
    }
}

impl Settings {
    /// How the pool is scaled, where nothing is said of that: not at all.
    pub fn scaling(&self) -> AutoscaleSettings {
        match &self.autoscale {
            Some(scaled) if scaled.policy != Policy::Fixed => scaled.clone(),
            _ => AutoscaleSettings {
                policy: Policy::Fixed,
                min: self.pool.workers,
                max: Some(self.pool.workers),
                ..AutoscaleSettings::default()
            },
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::backend::Backend;
    use crate::dispatch::Dispatch;

    fn read(text: &str) -> Result<Settings, String> {
        toml::from_str(text).map_err(|error| error.to_string())
    }

    #[test]
    fn the_defaults_are_the_documented_ones_and_can_run() {
        let settings = read("").unwrap();
        assert!(settings.check().is_ok());
        assert_eq!(settings.control.listen.to_string(), "127.0.0.1:1883");
        assert_eq!(settings.media.listen.to_string(), "127.0.0.1:8884");
        assert_eq!(settings.control.max_connections, 20_000);
        assert_eq!(settings.media.audio_timeout, Duration::from_mins(2));
        assert_eq!((settings.pool.workers, settings.media.mailbox), (2, 32));
        assert_eq!(settings.pool.dispatch, Dispatch::CentralQueue);
        assert_eq!((settings.pool.worker_timeout, settings.telemetry.listen), (None, None));
        assert!(settings.burn.is_empty() && !settings.faults.any());
        let fixed = settings.scaling();
        assert_eq!((fixed.policy, fixed.min, fixed.max()), (Policy::Fixed, 2, 2));
        let backend = &settings.backend;
        assert_eq!((backend.kind, backend.complexity.get()), (Backend::Echo, 5));
    }

    #[test]
    fn every_section_can_be_set() {
        let settings = read(
            "[control]\nlisten = \"0.0.0.0:0\"\nconnect_timeout = \"500ms\"\n\
             [media]\nadvertise = \"gw.example\"\nthreads = 2\n\
             [backend]\nkind = \"relay\"\ncomplexity = 10\n\
             [pool]\nworkers = 8\ndispatch = \"least-pending\"\ndrain = \"2s\"\n",
        )
        .unwrap();
        assert_eq!(settings.control.connect_timeout, Duration::from_millis(500));
        assert_eq!(settings.media.advertise.as_deref(), Some("gw.example"));
        assert_eq!((settings.backend.kind, settings.pool.workers), (Backend::Relay, 8));
        assert_eq!(settings.pool.dispatch, Dispatch::LeastPending);
    }

    #[test]
    fn mistakes_are_named_with_line_and_what_is_allowed() {
        for (text, place, reason) in [
            (
                "[pool]\nwokers = 3",
                "line 2, column 1",
                "unknown field `wokers`, expected one of `workers`, `dispatch`, `worker_timeout`, `drain`",
            ),
            (
                "[pool]\ndispatch = \"random\"",
                "line 2, column 12",
                "unknown variant `random`, expected one of `round-robin`, `least-pending`",
            ),
            ("[worker]", "line 1, column 2", "unknown field `worker`, expected one of `control`"),
            (
                "[backend]\nkind = \"eco\"",
                "line 2, column 8",
                "unknown variant `eco`, expected one of `relay`, `echo`, `assistant`",
            ),
            (
                "[backend]\ncomplexity = 11",
                "line 2, column 14",
                "complexity 11: allowed are 0 to 10",
            ),
            (
                "[media]\naudio_timeout = 120",
                "line 2, column 17",
                "invalid type: integer `120`, expected a string",
            ),
            (
                "[media]\naudio_timeout = \"120\"",
                "line 2, column 17",
                "`120`: a duration is a whole number and one of ms, s, m, h",
            ),
            ("[control]\nlisten = \"here\"", "line 2, column 10", "invalid socket address"),
        ] {
            let error = read(text).unwrap_err();
            assert!(error.contains(place) && error.contains(reason), "{text}: {error}");
        }
    }

    #[test]
    fn numbers_out_of_range_and_unreachable_addresses_are_refused() {
        let with = |change: fn(&mut Settings)| {
            let mut settings = Settings::default();
            change(&mut settings);
            settings.check().unwrap_err().to_string()
        };
        assert_eq!(
            with(|s| s.pool.worker_timeout = Some(Duration::ZERO)),
            "pool.worker_timeout is 0: no time is too little"
        );
        assert_eq!(
            with(|s| s.pool.worker_timeout = Some(Duration::from_mins(2))),
            "pool.worker_timeout is 120s: the longest is 60s"
        );
        assert_eq!(
            with(|s| s.autoscale = Some(AutoscaleSettings { min: 0, ..Default::default() })),
            "autoscale.min is 0: allowed are 1 to 256"
        );
        assert_eq!(
            with(|s| s.backend.delay = vec![Duration::from_secs(3)]),
            "backend.delay is 3s: the longest is 2s"
        );
        assert_eq!(with(|s| s.pool.workers = 0), "pool.workers is 0: allowed are 1 to 256");
        assert_eq!(with(|s| s.media.mailbox = 0), "media.mailbox is 0: allowed are 1 to 1000");
        assert_eq!(
            with(|s| s.media.audio_timeout = Duration::ZERO),
            "media.audio_timeout is 0: no time is too little"
        );
        let everywhere = with(|s| s.media.listen = "0.0.0.0:8884".parse().unwrap());
        assert!(everywhere.starts_with("media.listen is 0.0.0.0:8884"), "{everywhere}");
        let mut settings = Settings::default();
        settings.media.listen = "[::]:0".parse().unwrap();
        settings.media.advertise = Some("gw.example".to_owned());
        assert!(settings.check().is_ok());
    }
}
