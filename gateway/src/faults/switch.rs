//! Faults that are switched while the gateway runs.

use std::error::Error;
use std::fmt;
use std::sync::Arc;

use arc_swap::{ArcSwap, Guard};
use tokio::sync::Notify;

use super::{FaultError, FaultSettings, Faults};

/// The faults that are on now. Whoever asks reads a pointer and waits for nobody.
#[derive(Debug)]
pub struct FaultSwitch {
    now: ArcSwap<Faults>,
    /// Told of every change: whoever waits for the next stall looks anew.
    pub(crate) changed: Notify,
}

/// Faults that cannot be switched to.
#[derive(Clone, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub enum SwitchError {
    /// No gateway can have them.
    Settings(FaultError),
    /// They are decided when workers or sessions begin, and not after; carries which.
    AtStartOnly(&'static str),
}

impl fmt::Display for SwitchError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Settings(error) => error.fmt(f),
            Self::AtStartOnly(name) => {
                write!(f, "{name} can be on from the start only: set it in the settings file")
            }
        }
    }
}

impl Error for SwitchError {}

impl FaultSwitch {
    /// Faults by settings that were [checked](FaultSettings::check).
    pub fn new(settings: FaultSettings) -> Self {
        Self { now: ArcSwap::from_pointee(Faults::new(settings)), changed: Notify::new() }
    }

    /// What is wrong at this moment.
    pub(crate) fn now(&self) -> Guard<Arc<Faults>> {
        self.now.load()
    }

    /// From now on these faults are on and no others.
    ///
    /// # Errors
    /// [`SwitchError`] says why not; nothing has changed then.
    pub fn set(&self, settings: FaultSettings) -> Result<(), SwitchError> {
        settings.check().map_err(SwitchError::Settings)?;
        let before = self.now();
        let before = before.settings();
        if before.shared_codec != settings.shared_codec {
            return Err(SwitchError::AtStartOnly("shared_codec"));
        }
        if before.keystream_reuse != settings.keystream_reuse {
            return Err(SwitchError::AtStartOnly("keystream_reuse"));
        }
        tracing::warn!("faults are switched to: {settings:?}");
        self.now.store(Arc::new(Faults::new(settings)));
        self.changed.notify_waiters();
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn settings(toml: &str) -> FaultSettings {
        toml::from_str(toml).unwrap()
    }

    #[test]
    fn faults_are_on_from_one_moment_to_the_next_and_off_again() {
        let switch = FaultSwitch::new(FaultSettings::default());
        assert!(!switch.now().crashes(0, 0));
        switch.set(settings("worker_crash = \"100%\"")).unwrap();
        assert!(switch.now().crashes(0, 0));
        switch.set(FaultSettings::default()).unwrap();
        assert!(!switch.now().crashes(0, 0));
    }

    #[test]
    fn what_is_decided_at_the_start_is_refused_and_changes_nothing() {
        let switch = FaultSwitch::new(settings("dropped_replies = \"5%\""));
        for (toml, said) in [
            ("shared_codec = true", "shared_codec can be on from the start only"),
            ("keystream_reuse = \"1%\"", "keystream_reuse can be on from the start only"),
            ("worker_stall = { every = \"1s\", for = \"2s\" }", "allowed is less than"),
        ] {
            let error = switch.set(settings(toml)).unwrap_err().to_string();
            assert!(error.contains(said), "{error}");
        }
        assert_eq!(switch.now().settings(), &settings("dropped_replies = \"5%\""));
    }
}
