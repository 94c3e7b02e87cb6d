//! `[[phase]]`: the parts of a run, one after the other.
//!
//! ```toml
//! [[phase]]
//! name     = "burst"
//! devices  = 200                   # the target …
//! ramp     = "10s"                 # … reached evenly within this; left out: all at once …
//! steps    = 4                     # … or in so many stairs …
//! hold     = "30s"                 # … and held; or `length`, ramp and hold together
//! wave     = { to = 50, period = "10s" }            # meanwhile to and fro
//! arrivals = { rate = "5/s", stay = "20s" }         # others come and go beside
//! churn    = { rate = "2/s", away = "1s" }          # some leave and come back
//! ```

use std::fmt;
use std::path::Path;
use std::time::Duration;

use schemars::JsonSchema;
use serde::{Deserialize, Deserializer, de};
use toml::Spanned;

use super::devices::Count;
use super::duration::{Span, shown};
use super::values::{HOUR, MS, SECOND, Whole, Within};
use super::{MAX_PHASES, ScenarioError};

/// A part of the run: a ramp from the devices there were to a target, and a hold.
#[derive(Clone, Debug, PartialEq)]
pub struct Phase {
    /// Its name in thresholds and reports.
    pub name: String,
    /// Devices at the end of the ramp and during the hold.
    pub devices: u32,
    /// From the previous target to this one, evenly; zero: all at once.
    pub ramp: Duration,
    /// How long the target is held.
    pub hold: Duration,
    /// The ramp in so many stairs; `None`: one device after the other.
    pub steps: Option<u32>,
    /// The hold to and fro.
    pub wave: Option<Wave>,
    /// Devices that come and go beside the target.
    pub arrivals: Option<Arrivals>,
    /// Devices that leave and come back.
    pub churn: Option<Churn>,
}

/// A hold that goes from the target to another number and back, as a cosine does.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Wave {
    /// The devices half a period after its start.
    pub to: u32,
    /// From one target to the next.
    pub period: Duration,
}

/// Devices that come at a rate, whatever the target is; each stays for the same time.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Arrivals {
    /// How many come.
    pub rate: Rate,
    /// When.
    pub spacing: Spacing,
    /// How long each stays.
    pub stay: Duration,
}

/// Devices, chosen at random by the seed, that leave at a rate and come back.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Churn {
    /// How many leave.
    pub rate: Rate,
    /// When.
    pub spacing: Spacing,
    /// In which way.
    pub how: Ending,
    /// For how long.
    pub away: Duration,
}

/// How many in a second: above 0 and at most 1,000.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Rate {
    per_second: f64,
}

/// How what comes at a rate is spread.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Deserialize, JsonSchema)]
#[serde(rename_all = "lowercase")]
pub enum Spacing {
    /// Independent of each other, by the seed.
    #[default]
    Poisson,
    /// The same time between any two.
    Even,
}

/// How a device ends a call.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord, Deserialize, JsonSchema)]
#[serde(rename_all = "lowercase")]
pub enum Ending {
    /// Says goodbye and disconnects.
    #[default]
    Goodbye,
    /// Says goodbye and keeps the connection, for another hello.
    Hello,
    /// Closes the connection without a word.
    Drop,
    /// Is left by its gateway, which goes down: no way that a scenario can ask for.
    #[serde(skip)]
    LeftBehind,
}

impl Phase {
    /// A phase that reaches `devices` within `ramp` and holds them.
    pub fn plain(name: &str, devices: u32, ramp: Duration, hold: Duration) -> Self {
        Self {
            name: name.to_owned(),
            devices,
            ramp,
            hold,
            steps: None,
            wave: None,
            arrivals: None,
            churn: None,
        }
    }

    /// Whether nobody calls in it.
    pub fn is_empty(&self) -> bool {
        let wave = self.wave.is_some_and(|wave| wave.to > 0);
        self.devices == 0 && !wave && self.arrivals.is_none()
    }

    /// Ramp and hold.
    pub fn length(&self) -> Duration {
        self.ramp + self.hold
    }
}

impl Rate {
    const MOST: f64 = 1000.0;

    /// How many in a second.
    pub fn per_second(self) -> f64 {
        self.per_second
    }

    fn parse(text: &str) -> Option<Self> {
        let (number, unit) = text.split_once('/')?;
        let seconds = match unit.trim() {
            "s" => 1.0,
            "m" => 60.0,
            "h" => 3600.0,
            _ => return None,
        };
        let per_second = number.trim().parse::<f64>().ok()? / seconds;
        (per_second > 0.0 && per_second <= Self::MOST).then_some(Self { per_second })
    }
}

impl fmt::Display for Rate {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}/s", self.per_second)
    }
}

impl<'de> Deserialize<'de> for Rate {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        struct Visitor;
        impl de::Visitor<'_> for Visitor {
            type Value = Rate;

            fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                f.write_str("a rate with its unit in quotes, for example \"5/s\" or \"30/m\"")
            }

            fn visit_str<E: de::Error>(self, text: &str) -> Result<Rate, E> {
                let wrong = || {
                    E::custom(format!(
                        "rate `{text}`: write a number and one of /s, /m, /h, more than 0 and at \
                         most \"1000/s\""
                    ))
                };
                Rate::parse(text).ok_or_else(wrong)
            }
        }
        deserializer.deserialize_str(Visitor)
    }
}

/// A part of the run: a ramp from the devices there were to a target, and a hold.
#[derive(Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
#[schemars(rename = "Phase")]
pub(super) struct PhaseTable {
    /// Its name in thresholds and reports: letters, digits, `-` and `_`; default: `phase-1` and so on.
    #[schemars(with = "Option<String>")]
    name: Option<Spanned<String>>,
    /// How many devices there are at the end of the ramp and during the hold, 0 to 20,000; with
    /// `arrivals` it may be left out: as many as before.
    devices: Option<Count>,
    /// Within what time the target is reached, evenly; default: `0s`, all at once.
    #[serde(default)]
    ramp: Span,
    /// The ramp in so many stairs, 1 to 1,000; default: one device after the other.
    #[schemars(with = "Option<Whole<1, 1000>>")]
    steps: Option<Spanned<Whole<1, 1000>>>,
    /// How long the target is held. Either this or `length` is needed.
    hold: Option<Span>,
    /// Ramp and hold together, instead of `hold`.
    #[schemars(with = "Option<Span>")]
    length: Option<Spanned<Span>>,
    /// The hold to and fro.
    #[schemars(with = "Option<WaveTable>")]
    wave: Option<Spanned<WaveTable>>,
    /// Devices that come at a rate beside the target, and leave after a time.
    arrivals: Option<ArrivalsTable>,
    /// Devices that leave at a rate and come back.
    churn: Option<ChurnTable>,
}

/// A hold that goes from the target to another number and back, as a cosine does.
#[derive(Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
#[schemars(rename = "Wave")]
struct WaveTable {
    /// The devices half a period after its start.
    to: Count,
    /// From one target to the next, `1s` to `1h`, and not longer than the hold.
    period: Within<SECOND, HOUR>,
}

/// Devices that come at a rate, whatever the target is.
#[derive(Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
#[schemars(rename = "Arrivals")]
struct ArrivalsTable {
    /// How many come, for example `5/s` or `30/m`.
    rate: Rate,
    /// How they are spread: `poisson`, independent of each other, or `even`; default: `poisson`.
    #[serde(default)]
    spacing: Spacing,
    /// How long each stays, `1s` to `24h`.
    stay: Within<SECOND, { 24 * HOUR }>,
}

/// Devices, chosen by the seed, that leave at a rate and come back.
#[derive(Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
#[schemars(rename = "Churn")]
struct ChurnTable {
    /// How many leave, for example `2/s`.
    rate: Rate,
    /// How they are spread: `poisson` or `even`; default: `poisson`.
    #[serde(default)]
    spacing: Spacing,
    /// In which way: `goodbye`, `hello` (the connection is kept, for another hello) or `drop`;
    /// default: `goodbye`.
    #[serde(default)]
    how: Ending,
    /// For how long, `100ms` to `1h`; default: `1s`.
    #[serde(default = "a_second")]
    away: Within<{ 100 * MS }, HOUR>,
}

fn a_second() -> Within<{ 100 * MS }, HOUR> {
    Within::of_seconds(1)
}

impl PhaseTable {
    /// The phase after those in `before`; `whole` is where all of them stand.
    pub(super) fn checked(
        self,
        before: &[Phase],
        whole: &std::ops::Range<usize>,
        path: &Path,
        text: &str,
    ) -> Result<Phase, ScenarioError> {
        let wrong = |span, message: String| ScenarioError::at(path, text, span, message);
        let (name, span) = match &self.name {
            Some(name) => (name.get_ref().clone(), name.span()),
            None => (format!("phase-{}", before.len() + 1), whole.clone()),
        };
        let usable = |c: char| c.is_alphanumeric() || c == '-' || c == '_';
        if name.is_empty() || !name.chars().all(usable) {
            let message = format!("phase name `{name}`: allowed are letters, digits, `-` and `_`");
            let help = "name it for example \"evening-peak\"".to_owned();
            return Err(wrong(span, message).with_help(help));
        }
        if before.iter().any(|phase| phase.name == name) {
            let message =
                format!("phase name `{name}` is used twice; thresholds need to tell phases apart");
            return Err(wrong(span, message).with_help("give each a name of its own".to_owned()));
        }
        if name == "baseline" {
            let message = "a phase cannot be called `baseline`: limits call an earlier run so";
            let help = "call it otherwise".to_owned();
            return Err(wrong(span, message.to_owned()).with_help(help));
        }
        let devices = match (self.devices, &self.arrivals) {
            (Some(Count(devices)), _) => devices,
            (None, Some(_)) => before.last().map_or(0, |phase| phase.devices),
            (None, None) => {
                let message = format!("phase `{name}` has neither `devices` nor `arrivals`");
                let help = "write devices = 10, or arrivals = { rate = \"5/s\", stay = \"20s\" }";
                return Err(wrong(span, message).with_help(help.to_owned()));
            }
        };
        let ramp = self.ramp.0;
        let hold = match (self.hold, self.length) {
            (Some(Span(hold)), None) => hold,
            (None, Some(length)) => {
                let (length_at, Span(length)) = (length.span(), length.into_inner());
                length.checked_sub(ramp).ok_or_else(|| {
                    let message = format!(
                        "phase `{name}`: its ramp of {} is longer than the phase of {}",
                        shown(ramp),
                        shown(length)
                    );
                    wrong(length_at, message)
                        .with_help("`length` is ramp and hold together; make it longer".to_owned())
                })?
            }
            (hold, _) => {
                let both = if hold.is_some() { "both" } else { "neither" };
                let message = format!("phase `{name}` has {both} of `hold` and `length`");
                let help = "write hold = \"10s\" after the ramp, or length = \"10s\" with it";
                return Err(wrong(span, message).with_help(help.to_owned()));
            }
        };
        if let Some(steps) = &self.steps
            && ramp.is_zero()
        {
            let message = format!("phase `{name}` has `steps` and no ramp to climb them in");
            let help = "write ramp = \"10s\" beside it, or leave `steps` out".to_owned();
            return Err(wrong(steps.span(), message).with_help(help));
        }
        if let Some(wave) = &self.wave
            && wave.get_ref().period.get() > hold
        {
            let message = format!(
                "phase `{name}`: a wave of {} does not fit into a hold of {}",
                shown(wave.get_ref().period.get()),
                shown(hold)
            );
            let help = "make the period shorter, or the hold longer".to_owned();
            return Err(wrong(wave.span(), message).with_help(help));
        }
        Ok(Phase {
            name,
            devices,
            ramp,
            hold,
            steps: self.steps.map(|steps| steps.into_inner().get()),
            wave: self.wave.map(|wave| {
                let WaveTable { to: Count(to), period } = wave.into_inner();
                Wave { to, period: period.get() }
            }),
            arrivals: self.arrivals.map(|table| Arrivals {
                rate: table.rate,
                spacing: table.spacing,
                stay: table.stay.get(),
            }),
            churn: self.churn.map(|table| Churn {
                rate: table.rate,
                spacing: table.spacing,
                how: table.how,
                away: table.away.get(),
            }),
        })
    }
}

/// Reads the phases, which are written at `whole`.
pub(super) fn phases(
    path: &Path,
    text: &str,
    tables: Spanned<Vec<PhaseTable>>,
) -> Result<Vec<Phase>, ScenarioError> {
    let whole = tables.span();
    let tables = tables.into_inner();
    if tables.is_empty() || tables.len() > MAX_PHASES {
        let message = format!("{} phases: allowed are 1 to {MAX_PHASES}", tables.len());
        return Err(ScenarioError::at(path, text, whole, message));
    }
    let mut phases = Vec::new();
    for table in tables {
        let phase = table.checked(&phases, &whole, path, text)?;
        phases.push(phase);
    }
    Ok(phases)
}

/// How many sessions `phases` call for, about: arrivals at random may be some more.
pub(super) fn sessions_about(phases: &[Phase]) -> f64 {
    let mut before = 0;
    let of_phase = phases.iter().map(|phase| {
        let risen = f64::from(phase.devices.saturating_sub(before));
        before = phase.devices;
        let waves = phase.wave.map_or(0.0, |wave| {
            let height = f64::from(wave.to.abs_diff(phase.devices));
            height * (phase.hold.as_secs_f64() / wave.period.as_secs_f64()).ceil()
        });
        let rates =
            [phase.arrivals.map(|arrivals| arrivals.rate), phase.churn.map(|churn| churn.rate)];
        let come = rates.into_iter().flatten().map(Rate::per_second).sum::<f64>();
        risen + waves + come * phase.length().as_secs_f64()
    });
    of_phase.sum()
}

/// Each phase with its start, from the start of the run.
pub(crate) fn starts(phases: &[Phase]) -> impl Iterator<Item = (&Phase, Duration)> {
    phases.iter().scan(Duration::ZERO, |at, phase| {
        let start = *at;
        *at += phase.length();
        Some((phase, start))
    })
}
