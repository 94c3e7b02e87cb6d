//! A scenario: the load, the gateway and the limits of a run, valid by construction.
//!
//! [`Scenario::load`] is the only door: a file that gets through has known keys, values within
//! range and limits on metrics that exist. See `file.rs` for the form, with `gateway.rs`,
//! `devices.rs` and `generator.rs` for those tables, and `error.rs` for what a wrong file is told.

mod action;
mod before;
mod devices;
mod duration;
mod error;
mod extends;
mod file;
mod gateway;
mod generator;
mod network;
mod overrides;
mod phase;
mod quantiles;
mod schema;
mod sought;
mod talk;
mod threshold;
mod time_distribution;
mod toml_words;
mod values;

use std::path::{Path, PathBuf};
use std::time::Duration;

use codec::EncoderSettings;
use protocol::FrameDuration;
use protocol::control::AudioFormat;
use protocol::device_session::DeviceTimeouts;
use schemars::JsonSchema;
use serde::Deserialize;

use crate::groups::Membership;

pub use action::{Action, Comeback, RestartHow, What};
pub use before::Before;
pub(crate) use duration::shown as shown_duration;
pub use error::{ScenarioError, suggestion};
pub use gateway::{
    Assistant, Autoscale, AutoscalePolicy, Backend, Burn, Delays, Dispatch, Faults,
    GatewaySettings, Workers,
};
pub use network::{Network, networks, read_trace};
pub use phase::{Arrivals, Churn, Ending, Phase, Rate, Spacing, Wave};
pub use schema::json_schema;
pub use sought::{Find, Sought};
pub use talk::{Talk, Turns};
pub use threshold::{Comparison, Limit, Reference, Scope, Threshold, Window};
pub use time_distribution::TimeDistribution;
pub use values::PartsPerMillion;

/// The most devices one scenario may ask for.
pub const MAX_DEVICES: u32 = 20_000;
/// The most phases one scenario may have.
pub const MAX_PHASES: usize = 100;
/// The most sessions that one scenario may call for.
pub const MAX_CALLS: u32 = 200_000;
/// The longest run, ramp, hold or drain.
pub const MAX_SPAN: Duration = Duration::from_hours(24);

/// Which setting of a scenario is meant.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Setting {
    /// The one of the file.
    #[default]
    AsWritten,
    /// The one of the incident: `[before]` laid over it.
    Before,
}

/// What a run does and what it must show.
#[derive(Clone, Debug)]
pub struct Scenario {
    /// The file's path, as it was given.
    pub path: PathBuf,
    /// The file's name without its extension.
    pub name: String,
    /// One line for people.
    pub title: String,
    /// The question that a run of it answers.
    pub question: String,
    /// Where all random choices come from.
    pub seed: u64,
    /// How the reference gateway is started.
    pub gateway: GatewaySettings,
    /// What the devices are like.
    pub devices: Devices,
    /// How the generator itself works.
    pub generator: GeneratorSettings,
    /// The load over time; at least one phase.
    pub phases: Vec<Phase>,
    /// What is done to it meanwhile, by time.
    pub actions: Vec<Action>,
    /// What must hold.
    pub thresholds: Vec<Threshold>,
    /// What was different before the incident that it shows was mended.
    pub before: Option<Before>,
    /// What a search varies, where that is not the number of devices of the only phase.
    pub search: Option<Sought>,
    /// How long answers are awaited after the last frame before a frame counts as lost.
    pub drain: Duration,
    /// How many devices take part, which follows from the phases.
    most_devices: u32,
    /// The text of the file, for the run record.
    pub text: String,
    /// What the command line changed, as `key.path=value`.
    pub overrides: Vec<String>,
}

/// The devices of a scenario.
#[derive(Clone, Debug)]
pub struct Devices {
    /// Their groups, at least one; the shares add up to 1.
    pub groups: Vec<Group>,
    /// How many devices, from the first on, have their returned audio really decoded.
    pub decode: u32,
    /// When their frames are due within a frame duration (`phase`).
    pub phasing: Phasing,
}

/// Devices that are alike.
#[derive(Clone, Debug)]
pub struct Group {
    /// Its name in reports.
    pub name: String,
    /// Which share of all devices it is, above 0 and at most 1.
    pub share: f64,
    /// What they say: files, or our own voices when there are none.
    pub audio: Vec<PathBuf>,
    /// How they encode it.
    pub encoder: EncoderSettings,
    /// How long they wait for the answer to hello (`hello_timeout`, 10 s), and for audio before
    /// they give a session up (`audio_timeout`, 120 s).
    pub timeouts: DeviceTimeouts,
    /// When they speak.
    pub talk: Talk,
    /// How far their clocks are off at most (`clock_drift`); each device draws its own.
    pub clock_drift: PartsPerMillion,
    /// What the network between them and the gateway does; [`What::ChangeNetwork`] changes it.
    pub network: Network,
}

/// How the generator itself works.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct GeneratorSettings {
    /// How long the pacer waits busily before each planned instant instead of sleeping until it
    /// (`spin`), 0 to 200 µs; default: 0, it sleeps. A thread that spins is not late by what the
    /// kernel takes to wake it, and uses a processor meanwhile: frames are planned on a grid of
    /// 500 µs, so up to 10 % of a core for 50 µs and 40 % for 200 µs, before everything else on that
    /// core where the pacer's priority is real-time.
    pub spin: Duration,
}

/// When, within a frame duration, the frames of each device are due.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Deserialize, JsonSchema)]
#[serde(rename_all = "lowercase")]
pub enum Phasing {
    /// At random by the seed, as those of devices that know nothing of each other.
    #[default]
    Spread,
    /// In even steps, the first device first: the least that a gateway can have waiting.
    Staggered,
    /// All at once: the most that it can have waiting.
    Aligned,
}

impl Group {
    /// All devices, as the firmware is.
    #[cfg(test)]
    pub(crate) fn firmware() -> Self {
        Self {
            name: "all".to_owned(),
            share: 1.0,
            audio: Vec::new(),
            encoder: EncoderSettings::firmware_uplink(),
            timeouts: DeviceTimeouts::default(),
            talk: Talk::FullDuplex,
            clock_drift: PartsPerMillion::default(),
            network: Network::default(),
        }
    }

    /// The uplink's audio.
    pub fn format(&self) -> AudioFormat {
        AudioFormat { sample_rate: self.encoder.sample_rate, frame: self.encoder.frame }
    }
}

impl Devices {
    /// Which group each of `devices` devices belongs to.
    pub fn membership(&self, devices: u32) -> Membership {
        let shares: Vec<f64> = self.groups.iter().map(|group| group.share).collect();
        Membership::new(&shares, devices)
    }
}

impl Scenario {
    /// Reads and checks the scenario in `path`, changed by `overrides` of the form
    /// `key.path=value`.
    ///
    /// # Errors
    /// [`ScenarioError`] says where the file is wrong, what was seen there and what is allowed.
    pub fn load(path: &Path, overrides: &[String]) -> Result<Scenario, ScenarioError> {
        Self::load_as(path, overrides, Setting::AsWritten)
    }

    /// Reads and checks a scenario's text as it stands: files that it extends are not looked at.
    ///
    /// # Errors
    /// As [`load`](Self::load).
    pub fn parse(path: &Path, text: &str) -> Result<Scenario, ScenarioError> {
        let scenario = file::parse(path, text.to_owned())?;
        scenario.check_before(path, text)?;
        Ok(scenario)
    }

    /// Whichever setting is asked for, both must be right.
    fn check_before(&self, path: &Path, text: &str) -> Result<Option<String>, ScenarioError> {
        let Some(said) = &self.before else { return Ok(None) };
        let before = before::applied(text);
        if let Some(before) = &before {
            file::parse(path, before.clone())
                .map_err(|error| error.caused_by_before(path, text, said.span.clone()))?;
        }
        Ok(before)
    }

    /// The same, in this setting.
    ///
    /// # Errors
    /// As [`load`](Self::load), and where there was nothing before.
    pub fn load_as(
        path: &Path,
        overrides: &[String],
        setting: Setting,
    ) -> Result<Scenario, ScenarioError> {
        let sources = extends::read(path)?;
        let text = match &sources[..] {
            [alone] => alone.text.clone(),
            _ => extends::merged(&sources)?,
        };
        let mut scenario = file::parse(path, text.clone()).map_err(|error| {
            if sources.len() > 1 { error.found_in(&text, &sources) } else { error }
        })?;
        if sources.len() > 1 {
            // What was put together is in no file: its lines lead nowhere.
            for threshold in &mut scenario.thresholds {
                threshold.line = None;
            }
        }
        let before = scenario.check_before(path, &text)?;
        if let Some(search) = &scenario.search {
            search.check(path, &text)?;
        }
        let (changed, mut changes) = match (setting, before, &scenario.before) {
            (Setting::AsWritten, ..) => (text.clone(), Vec::new()),
            (Setting::Before, Some(before), Some(said)) => (before, said.changes.clone()),
            (Setting::Before, ..) => return Err(ScenarioError::no_before(path)),
        };
        changes.extend_from_slice(overrides);
        if changes.is_empty() {
            return Ok(scenario);
        }
        let changed = overrides::apply(path, &changed, overrides)?;
        Ok(Scenario { overrides: changes, ..scenario.changed(path, changed, overrides)? })
    }

    /// The scenario of a run's record: its text, with the changes that it was run with.
    ///
    /// # Errors
    /// As [`load`](Self::load).
    pub fn recorded(
        path: &Path,
        text: &str,
        changes: &[String],
    ) -> Result<Scenario, ScenarioError> {
        let scenario = Self::parse(path, text)?;
        if changes.is_empty() {
            return Ok(scenario);
        }
        let changed = overrides::apply(path, text, changes)?;
        scenario.changed(path, changed, changes)
    }

    /// A scenario's text with changes in it; as it is when there are none.
    ///
    /// # Errors
    /// When a change leads nowhere.
    pub fn recorded_text(
        path: &Path,
        text: &str,
        changes: &[String],
    ) -> Result<String, ScenarioError> {
        if changes.is_empty() {
            return Ok(text.to_owned());
        }
        overrides::apply(path, text, changes)
    }

    /// With the text that `overrides` made of its own.
    fn changed(
        self,
        path: &Path,
        changed: String,
        overrides: &[String],
    ) -> Result<Scenario, ScenarioError> {
        let mut changed =
            file::parse(path, changed).map_err(|error| error.caused_by_overrides(overrides))?;
        for threshold in &mut changed.thresholds {
            // The changed text is in no file: its lines lead nowhere.
            let written = self.thresholds.iter().find(|own| threshold.is_about_the_same(own));
            threshold.line = written.and_then(|own| own.line);
        }
        // As in the file, then what the command line added: changing sorted them by name.
        changed.thresholds.sort_by_key(|threshold| threshold.line.unwrap_or(u32::MAX));
        Ok(Scenario { text: self.text, overrides: overrides.to_vec(), ..changed })
    }

    /// From the start of the run to the end of the last phase.
    pub fn length(&self) -> Duration {
        self.phases.iter().map(Phase::length).sum()
    }

    /// How many devices take part: their numbers are below it.
    pub fn most_devices(&self) -> u32 {
        self.most_devices
    }

    /// The groups that have a device, each with how many.
    pub fn groups(&self) -> impl Iterator<Item = (&Group, u32)> {
        let counts = self.devices.membership(self.most_devices).counts().to_vec();
        self.devices.groups.iter().zip(counts).filter(|(_, count)| *count > 0)
    }

    /// The shortest frame of any device.
    pub fn shortest_frame(&self) -> FrameDuration {
        let frames = self.groups().map(|(group, _)| group.encoder.frame);
        frames.min_by_key(|frame| frame.as_duration()).unwrap_or(FrameDuration::MS_60)
    }
}
