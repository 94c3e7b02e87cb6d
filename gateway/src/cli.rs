//! The command line: flags, and how they override a settings file.

use std::net::SocketAddr;
use std::path::PathBuf;
use std::time::Duration;

use clap::Parser;
use gateway::autoscale::Policy;
use gateway::{Backend, Dispatch, Settings, SettingsError, duration_text};

/// The reference gateway of Din: MQTT control, encrypted Opus over UDP, a pool of codec workers.
///
/// Prints one line of JSON when it listens and one when it has stopped; the log goes to standard
/// error. SIGINT and SIGTERM stop it cleanly. With `MQTT_SIGNATURE_KEY` in the environment, MQTT
/// passwords are checked against that key.
#[derive(Debug, Parser)]
#[command(version)]
pub(crate) struct Flags {
    /// Settings file (TOML); flags override it
    #[arg(long, value_name = "FILE")]
    config: Option<PathBuf>,
    /// Address for MQTT, port 0 for a free one [default: 127.0.0.1:1883]
    #[arg(long, value_name = "ADDR:PORT", value_parser = address)]
    mqtt: Option<SocketAddr>,
    /// Address for audio over UDP, port 0 for a free one [default: 127.0.0.1:8884]
    #[arg(long, value_name = "ADDR:PORT", value_parser = address)]
    udp: Option<SocketAddr>,
    /// Host that devices send audio to [default: the UDP address]
    #[arg(long, value_name = "HOST")]
    advertise: Option<String>,
    /// What is done with audio: relay, echo or assistant [default: echo]
    #[arg(long)]
    backend: Option<Backend>,
    /// Codec worker threads, as long as no autoscaler changes their number [default: 2]
    #[arg(long, value_name = "N", conflicts_with_all = ["autoscale", "min_workers", "max_workers"])]
    workers: Option<usize>,
    /// What changes the number of workers: production, production-extreme or queue-delay; or fixed
    /// [default: fixed; with a minimum or maximum: queue-delay]
    #[arg(long, value_name = "POLICY")]
    autoscale: Option<Policy>,
    /// The fewest workers, with which an autoscaled pool starts [default: 2]
    #[arg(long, value_name = "N")]
    min_workers: Option<usize>,
    /// The most workers of an autoscaled pool [default: 8, production-extreme 6]
    #[arg(long, value_name = "N")]
    max_workers: Option<usize>,
    /// How long a frame may wait for a worker [default: as long as it takes]
    #[arg(long, value_name = "TIME", value_parser = duration_text::parse)]
    worker_timeout: Option<Duration>,
    /// How frames get their worker: round-robin, least-pending, least-work, power-of-two,
    /// central-queue or sticky [default: central-queue]
    #[arg(long, value_name = "POLICY")]
    dispatch: Option<Dispatch>,
    /// Work of the encoder on a frame, 0 to 10 [default: 5]
    #[arg(long, value_name = "N", value_parser = complexity)]
    complexity: Option<codec::Complexity>,
    /// Threads that receive audio [default: 1]
    #[arg(long, value_name = "N")]
    media_threads: Option<usize>,
    /// MQTT connections open at once [default: 20000]
    #[arg(long, value_name = "N")]
    max_connections: Option<usize>,
    /// Time without audio after which a session ends [default: 120s]
    #[arg(long, value_name = "TIME", value_parser = duration_text::parse)]
    audio_timeout: Option<Duration>,
    /// Address for metrics and status over HTTP, port 0 for a free one [default: none]
    #[arg(long, value_name = "ADDR:PORT", value_parser = address)]
    telemetry: Option<SocketAddr>,
    /// Least urgent messages to log: error, warn, info or debug
    #[arg(long, value_name = "LEVEL", default_value = "info")]
    pub(crate) log: tracing::Level,
    /// Stop also when standard input is closed, so as not to outlive the program that holds it
    #[arg(long)]
    pub(crate) until_stdin_closes: bool,
}

impl Flags {
    /// The settings of the file, overridden by the flags.
    ///
    /// # Errors
    /// [`SettingsError`] when the file cannot be read or understood.
    pub(crate) fn settings(&self) -> Result<Settings, SettingsError> {
        let mut settings = match &self.config {
            Some(path) => Settings::load(path)?,
            None => Settings::default(),
        };
        override_with(&mut settings.control.listen, self.mqtt.as_ref());
        override_with(&mut settings.control.max_connections, self.max_connections.as_ref());
        override_with(&mut settings.media.listen, self.udp.as_ref());
        override_with(&mut settings.media.threads, self.media_threads.as_ref());
        override_with(&mut settings.media.audio_timeout, self.audio_timeout.as_ref());
        override_with(&mut settings.backend.kind, self.backend.as_ref());
        override_with(&mut settings.backend.complexity, self.complexity.as_ref());
        override_with(&mut settings.pool.workers, self.workers.as_ref());
        override_with(&mut settings.pool.dispatch, self.dispatch.as_ref());
        if self.workers.is_some() {
            settings.autoscale = None;
        }
        if self.autoscale.is_some() || self.min_workers.is_some() || self.max_workers.is_some() {
            let autoscale = settings.autoscale.get_or_insert_default();
            override_with(&mut autoscale.policy, self.autoscale.as_ref());
            override_with(&mut autoscale.min, self.min_workers.as_ref());
            autoscale.max = self.max_workers.or(autoscale.max);
        }
        settings.pool.worker_timeout = self.worker_timeout.or(settings.pool.worker_timeout);
        settings.telemetry.listen = self.telemetry.or(settings.telemetry.listen);
        if let Some(host) = &self.advertise {
            settings.media.advertise = Some(host.clone());
        }
        Ok(settings)
    }
}

fn override_with<T: Copy>(setting: &mut T, flag: Option<&T>) {
    if let Some(&flag) = flag {
        *setting = flag;
    }
}

fn address(text: &str) -> Result<SocketAddr, String> {
    text.parse().map_err(|_| "expected an address and a port, for example 127.0.0.1:0".to_owned())
}

fn complexity(text: &str) -> Result<codec::Complexity, String> {
    let level = text.parse().map_err(|_| "allowed are 0 to 10".to_owned())?;
    codec::Complexity::new(level).map_err(|error| error.to_string())
}

#[cfg(test)]
mod tests {
    use super::*;
    use clap::CommandFactory;

    #[test]
    fn the_flags_are_consistent() {
        Flags::command().debug_assert();
    }

    #[test]
    fn flags_override_the_file_and_leave_the_rest() {
        let file = tempfile::NamedTempFile::new().unwrap();
        let text = "[pool]\nworkers = 7\ndispatch = \"sticky\"\n[backend]\nkind = \"relay\"\ncomplexity = 9\n";
        std::fs::write(file.path(), text).unwrap();
        let path = file.path().to_str().unwrap();
        let flags = ["din-gateway", "--config", path, "--workers", "3", "--udp", "127.0.0.1:0"];
        let set_again = Flags::try_parse_from(flags.iter().chain(&["--dispatch", "least-work"]));
        assert_eq!(set_again.unwrap().settings().unwrap().pool.dispatch, Dispatch::LeastWork);
        let settings = Flags::try_parse_from(flags).unwrap().settings().unwrap();
        assert_eq!((settings.pool.workers, settings.backend.complexity.get()), (3, 9));
        assert_eq!(settings.backend.kind, Backend::Relay);
        assert_eq!(settings.pool.dispatch, Dispatch::Sticky);
        assert_eq!(settings.media.listen.port(), 0);
        assert_eq!(settings.control.listen.port(), 1883);
    }

    #[test]
    fn a_number_of_workers_and_an_autoscaler_exclude_each_other() {
        let settings = |flags: &[&str]| {
            let flags = ["din-gateway"].iter().chain(flags);
            Flags::try_parse_from(flags).map(|flags| flags.settings().unwrap().scaling())
        };
        let scaled = settings(&["--max-workers", "5"]).unwrap();
        assert_eq!((scaled.policy, scaled.min, scaled.max()), (Policy::QueueDelay, 2, 5));
        let scaled = settings(&["--autoscale", "production-extreme"]).unwrap();
        assert_eq!((scaled.policy, scaled.max()), (Policy::ProductionExtreme, 6));
        let fixed = settings(&["--workers", "3"]).unwrap();
        assert_eq!((fixed.policy, fixed.min, fixed.max()), (Policy::Fixed, 3, 3));
        assert!(settings(&["--workers", "3", "--autoscale", "queue-delay"]).is_err());
        let error = settings(&["--autoscale", "magic"]).unwrap_err().to_string();
        assert!(error.contains("`magic` is no autoscaler: there are fixed, production"), "{error}");
    }
}
