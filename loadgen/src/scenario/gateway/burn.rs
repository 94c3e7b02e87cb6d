//! Extra work that the gateway does, or waits for, with each frame.

use std::fmt;
use std::time::Duration;

use schemars::JsonSchema;
use serde::de::value::MapAccessDeserializer;
use serde::{Deserialize, Deserializer, Serialize, de};

use crate::scenario::duration::shown;
use crate::scenario::quantiles::Quantiles;
use crate::scenario::values::{SECOND, Share, Whole, Within};

/// Extra work for each frame of some devices, or of all.
#[derive(Clone, Copy, Debug, PartialEq, Serialize)]
pub struct Burn {
    kind: Kind,
    #[serde(flatten)]
    time: Time,
    /// Devices whose number leaves `offset` when divided by `every`; 1 and 0: all.
    every: u32,
    offset: u32,
}

/// What the extra work keeps busy.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "lowercase")]
enum Kind {
    /// The worker alone, which waits as for another service.
    Wait,
    /// A core.
    Cpu,
}

/// How long it takes.
#[expect(clippy::large_enum_variant, reason = "a run has a few of them")]
#[derive(Clone, Copy, Debug, PartialEq, Serialize)]
#[serde(tag = "distribution", rename_all = "lowercase")]
enum Time {
    /// Always the same.
    Fixed { time: BurnSpan },
    /// Memoryless, with the mean `time`.
    Exponential { time: BurnSpan },
    /// `time` for most frames, and `long` for the share `long_share`.
    Bimodal { time: BurnSpan, long: BurnSpan, long_share: Share },
    /// As they were somewhere else.
    Quantiles { quantiles: Quantiles },
}

/// More than nothing, at most 10 s.
type BurnSpan = Within<1, { 10 * SECOND }>;

/// Extra work for each frame of some devices, or of all.
#[derive(Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
#[schemars(rename = "Burn")]
pub(in crate::scenario) struct BurnTable {
    /// What it keeps busy: `wait`, the worker alone, or `cpu`, a core. It is needed.
    kind: Option<Kind>,
    /// How the time is drawn; default: `fixed`.
    #[serde(default)]
    distribution: Distribution,
    /// How long it takes, more than `0s` and at most `10s`; the mean of `exponential`, and what most
    /// frames of `bimodal` take. It is needed but for `quantiles`.
    time: Option<BurnSpan>,
    /// `quantiles`: which share of the frames takes how long at most, from `0%` to `100%`, 2 to 16 of
    /// them; between two the time grows evenly.
    quantiles: Option<Quantiles>,
    /// `bimodal`: what the other frames take, at least `time`.
    long: Option<BurnSpan>,
    /// `bimodal`: which share of the frames takes `long`.
    long_share: Option<Share>,
    /// Which devices: those whose number leaves `offset` when divided by this; default: 1, all.
    #[serde(default)]
    every: Whole<1, { u32::MAX }>,
    /// See `every`; 0 to `every` - 1; default: 0.
    #[serde(default)]
    offset: Whole<0, { u32::MAX }>,
}

/// How a time is drawn.
#[derive(Default, Deserialize, JsonSchema)]
#[serde(rename_all = "lowercase")]
enum Distribution {
    /// Always the same.
    #[default]
    Fixed,
    /// `time` for most frames, and `long` for the share `long_share`.
    Bimodal,
    /// Memoryless, with the mean `time`.
    Exponential,
    /// As they were somewhere else: `quantiles`; `din import log` writes them.
    Quantiles,
}

impl BurnTable {
    fn time(&self) -> Result<Time, String> {
        if let Distribution::Quantiles = self.distribution {
            return match (self.quantiles, self.time, self.long, self.long_share) {
                (Some(quantiles), None, None, None) => Ok(Time::Quantiles { quantiles }),
                (None, ..) => Err("distribution `quantiles` needs `quantiles`: write for example \
                                   quantiles = \"0% 1ms, 50% 2ms, 99% 20ms, 100% 60ms\""
                    .to_owned()),
                _ => {
                    Err("distribution `quantiles` has `quantiles` alone, and no other time"
                        .to_owned())
                }
            };
        }
        if self.quantiles.is_some() {
            return Err("only distribution = \"quantiles\" has `quantiles`".to_owned());
        }
        let Some(time) = self.time else {
            return Err("`time` is missing: write for example time = \"20ms\"".to_owned());
        };
        Ok(match (&self.distribution, self.long, self.long_share) {
            (Distribution::Fixed, None, None) => Time::Fixed { time },
            (Distribution::Exponential, None, None) => Time::Exponential { time },
            (Distribution::Bimodal, Some(long), Some(long_share)) if long.get() >= time.get() => {
                Time::Bimodal { time, long, long_share }
            }
            (Distribution::Bimodal, Some(long), Some(_)) => {
                return Err(format!("`long` is {long}: allowed are `time`, {time}, and more"));
            }
            (Distribution::Bimodal, ..) => {
                return Err("distribution `bimodal` needs `long` and `long_share`: write for \
                            example long = \"50ms\", long_share = \"10%\""
                    .to_owned());
            }
            _ => {
                return Err(
                    "only distribution = \"bimodal\" has `long` and `long_share`".to_owned()
                );
            }
        })
    }

    /// The rule, or what is missing or too much.
    fn checked(&self) -> Result<Burn, String> {
        let Some(kind) = self.kind else {
            return Err("`kind` is missing: write kind = \"wait\" or kind = \"cpu\"".to_owned());
        };
        let time = self.time()?;
        let (every, offset) = (self.every.get(), self.offset.get());
        if offset >= every {
            let most = every - 1;
            return Err(format!(
                "`offset` is {offset} with `every` {every}: allowed are 0 to {most}"
            ));
        }
        Ok(Burn { kind, time, every, offset })
    }
}

impl<'de> Deserialize<'de> for Burn {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        // Not derived, so that what `checked` says is said of this table and not of a list of them.
        struct Visitor;
        impl<'de> de::Visitor<'de> for Visitor {
            type Value = Burn;

            fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                f.write_str("a table, for example { kind = \"wait\", time = \"20ms\" }")
            }

            fn visit_map<A: de::MapAccess<'de>>(self, map: A) -> Result<Burn, A::Error> {
                let table = BurnTable::deserialize(MapAccessDeserializer::new(map))?;
                table.checked().map_err(de::Error::custom)
            }
        }
        deserializer.deserialize_map(Visitor)
    }
}

/// `burn` as it is written: one rule or a list of rules.
#[derive(Default)]
pub(in crate::scenario) struct Burns(pub(super) Vec<Burn>);

impl<'de> Deserialize<'de> for Burns {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        struct Visitor;
        impl<'de> de::Visitor<'de> for Visitor {
            type Value = Burns;

            fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                f.write_str("{ kind = \"wait\", time = \"20ms\" } or a list of such tables")
            }

            fn visit_map<A: de::MapAccess<'de>>(self, map: A) -> Result<Burns, A::Error> {
                let one = Burn::deserialize(MapAccessDeserializer::new(map))?;
                Ok(Burns(vec![one]))
            }

            fn visit_seq<A: de::SeqAccess<'de>>(self, mut list: A) -> Result<Burns, A::Error> {
                let mut rules = Vec::new();
                while let Some(rule) = list.next_element()? {
                    rules.push(rule);
                }
                Ok(Burns(rules))
            }
        }
        deserializer.deserialize_any(Visitor)
    }
}

impl Burn {
    /// Whether the frames of the device of this number take longer by it.
    pub(crate) fn applies_to(&self, device: u32) -> bool {
        device % self.every == self.offset
    }

    /// Whether it keeps a core busy, and not the worker alone.
    pub(crate) fn is_cpu(&self) -> bool {
        self.kind == Kind::Cpu
    }

    /// The mean extra time per frame.
    pub(crate) fn mean(&self) -> Duration {
        match self.time {
            Time::Fixed { time } | Time::Exponential { time } => time.get(),
            Time::Bimodal { time, long, long_share } => {
                time.get().mul_f64(1.0 - long_share.ratio())
                    + long.get().mul_f64(long_share.ratio())
            }
            Time::Quantiles { quantiles } => quantiles.mean(),
        }
    }
}

impl fmt::Display for Burn {
    /// `cpu, mean 8ms a frame (bimodal, 5ms or for 10% of them 35ms), devices 4n+1`.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self.kind {
            Kind::Wait => "wait",
            Kind::Cpu => "cpu",
        })?;
        match self.time {
            Time::Fixed { time } => write!(f, ", {time} a frame")?,
            Time::Exponential { time } => write!(f, ", mean {time} a frame (exponential)")?,
            Time::Bimodal { time, long, long_share } => {
                let mean = shown(self.mean());
                let shape = format!("bimodal, {time} or for {long_share} of them {long}");
                write!(f, ", mean {mean} a frame ({shape})")?;
            }
            Time::Quantiles { quantiles } => {
                write!(f, ", mean {} a frame ({quantiles})", shown(self.mean()))?;
            }
        }
        match (self.every, self.offset) {
            (1, _) => Ok(()),
            (every, 0) => write!(f, ", devices {every}n"),
            (every, offset) => write!(f, ", devices {every}n+{offset}"),
        }
    }
}
