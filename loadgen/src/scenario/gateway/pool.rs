//! How many workers the gateway has: a number, or a range and what decides within it.

use std::fmt;
use std::ops::Range;

use schemars::JsonSchema;
use serde::de::value::{MapAccessDeserializer, StrDeserializer};
use serde::{Deserialize, Deserializer, Serialize, de};
use toml::Spanned;

use crate::scenario::values::{HOUR, MS, SECOND, Whole, Within};

/// The most workers that a scenario may ask for.
pub(in crate::scenario) const MAX_WORKERS: u32 = 256;
/// The gateway's own number and bounds, where a scenario names none.
pub(super) const DEFAULT_WORKERS: u32 = 2;
const DEFAULT_MIN: u32 = 2;
const DEFAULT_MAX: u32 = 8;
const DEFAULT_MAX_EXTREME: u32 = 6;

/// The gateway's codec workers.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Workers {
    /// Always so many, 1 to 256.
    Fixed(u32),
    /// As many as the autoscaler decides.
    Scaled(Autoscale),
}

/// What decides the number of workers, and its bounds.
///
/// What is left out has the gateway's own default, which depends on the policy.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(default, deny_unknown_fields)]
pub struct Autoscale {
    /// What decides; default: `queue-delay`.
    pub policy: AutoscalePolicy,
    /// The fewest workers, from `workers`.
    #[serde(skip_deserializing)]
    min: Option<u32>,
    /// The most workers, from `workers`.
    #[serde(skip_deserializing)]
    max: Option<u32>,
    /// Time between two checks, 100 ms to 1 h.
    check: Option<Within<{ 100 * MS }, HOUR>>,
    /// Least time from any change to one upwards, 0 to 1 h.
    up_cooldown: Option<Within<0, HOUR>>,
    /// Least time from any change to one downwards, 0 to 1 h.
    down_cooldown: Option<Within<0, HOUR>>,
    /// `queue-delay`: the pool keeps what was called for in this window, 100 ms to 1 h.
    window: Option<Within<{ 100 * MS }, HOUR>>,
    /// `queue-delay`: shrinks only to what would also carry this much more, 0 to 100.
    hysteresis_percent: Option<Whole<0, 100>>,
    /// `queue-delay`: how busy workers should be, 10 to 100.
    utilisation_percent: Option<Whole<10, 100>>,
    /// `queue-delay`: a queue whose smallest delay stays above this calls for workers at once,
    /// 1 ms to 10 s.
    standing_delay: Option<Within<MS, { 10 * SECOND }>>,
    /// `queue-delay`: time constant of its moving averages, 100 ms to 1 h.
    smoothing: Option<Within<{ 100 * MS }, HOUR>>,
}

/// What decides the number of workers.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "kebab-case")]
pub enum AutoscalePolicy {
    /// Nothing: the pool keeps its size.
    Fixed,
    /// The production gateway's rules, with their defects.
    Production,
    /// The same with the settings of its "extreme" test.
    ProductionExtreme,
    /// As many workers as the work needs that arrives, and more when the queue stands.
    #[default]
    QueueDelay,
}

impl Workers {
    /// How many there are at most.
    pub fn most(&self) -> u32 {
        match self {
            Self::Fixed(count) => *count,
            Self::Scaled(autoscale) => autoscale.max(),
        }
    }
}

impl Autoscale {
    /// The fewest workers.
    pub fn min(&self) -> u32 {
        self.min.unwrap_or(DEFAULT_MIN)
    }

    /// The most workers: what was set, or the policy's default, and never fewer than the least.
    pub fn max(&self) -> u32 {
        let default = match self.policy {
            AutoscalePolicy::ProductionExtreme => DEFAULT_MAX_EXTREME,
            _ => DEFAULT_MAX,
        };
        self.max.unwrap_or(default.max(self.min()))
    }
}

impl fmt::Display for AutoscalePolicy {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Fixed => "fixed",
            Self::Production => "production",
            Self::ProductionExtreme => "production-extreme",
            Self::QueueDelay => "queue-delay",
        })
    }
}

impl fmt::Display for Workers {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Fixed(count) => write!(f, "{count}"),
            Self::Scaled(scale) => {
                write!(f, "{} to {}, by {}", scale.min(), scale.max(), scale.policy)
            }
        }
    }
}

/// `workers` as it is written: `4` or `{ min = 2, max = 8 }`.
pub(in crate::scenario) enum WorkersValue {
    Fixed(u32),
    Range { min: Option<u32>, max: Option<u32> },
}

impl<'de> Deserialize<'de> for WorkersValue {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        type Count = Whole<1, MAX_WORKERS>;

        #[derive(Deserialize)]
        #[serde(deny_unknown_fields)]
        struct Bounds {
            min: Option<Count>,
            max: Option<Count>,
        }

        struct Visitor;
        impl<'de> de::Visitor<'de> for Visitor {
            type Value = WorkersValue;

            fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                write!(f, "a number from 1 to {MAX_WORKERS}, or a range {{ min = 2, max = 8 }}")
            }

            fn visit_i64<E: de::Error>(self, seen: i64) -> Result<WorkersValue, E> {
                let allowed = |count: &u32| (1..=MAX_WORKERS).contains(count);
                let count = u32::try_from(seen).ok().filter(allowed);
                let wrong = || E::custom(format!("{seen} workers: allowed are 1 to {MAX_WORKERS}"));
                count.map(WorkersValue::Fixed).ok_or_else(wrong)
            }

            fn visit_map<A: de::MapAccess<'de>>(self, map: A) -> Result<WorkersValue, A::Error> {
                let bounds = Bounds::deserialize(MapAccessDeserializer::new(map))?;
                let (min, max) = (bounds.min.map(Count::get), bounds.max.map(Count::get));
                let least = min.unwrap_or(DEFAULT_MIN);
                if let Some(max) = max.filter(|max| *max < least) {
                    let whose = if min.is_some() { "" } else { " where none is given" };
                    return Err(de::Error::custom(format!(
                        "`max` is {max} and `min` is {least}{whose}: write a `min` of 1 to {max}, \
                         or a `max` of {least} to {MAX_WORKERS}"
                    )));
                }
                Ok(WorkersValue::Range { min, max })
            }
        }
        deserializer.deserialize_any(Visitor)
    }
}

/// `autoscaler` as it is written: `"queue-delay"` or `{ policy = "queue-delay", … }`.
pub(in crate::scenario) struct AutoscalerValue(Autoscale);

impl<'de> Deserialize<'de> for AutoscalerValue {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        struct Visitor;
        impl<'de> de::Visitor<'de> for Visitor {
            type Value = AutoscalerValue;

            fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                f.write_str(
                    "an autoscaler, for example \"queue-delay\" or { policy = \"queue-delay\", \
                     window = \"10s\" }",
                )
            }

            fn visit_str<E: de::Error>(self, name: &str) -> Result<AutoscalerValue, E> {
                let policy = AutoscalePolicy::deserialize(StrDeserializer::new(name))?;
                Ok(AutoscalerValue(Autoscale { policy, ..Autoscale::default() }))
            }

            fn visit_map<A: de::MapAccess<'de>>(self, map: A) -> Result<AutoscalerValue, A::Error> {
                Autoscale::deserialize(MapAccessDeserializer::new(map)).map(AutoscalerValue)
            }
        }
        deserializer.deserialize_any(Visitor)
    }
}

/// What both keys say together; or where, why and what to do when they contradict each other.
pub(super) fn resolve(
    workers: Option<Spanned<WorkersValue>>,
    autoscaler: Option<Spanned<AutoscalerValue>>,
) -> Result<Option<Workers>, (Range<usize>, String, String)> {
    let (place, scale) = match autoscaler {
        Some(value) => (value.span(), Some(value.into_inner().0)),
        None => (0..0, None),
    };
    let policy = scale.as_ref().map(|scale| scale.policy);
    match (workers.map(Spanned::into_inner), policy) {
        (None, None | Some(AutoscalePolicy::Fixed)) => Ok(None),
        (None, Some(_)) => Ok(scale.map(Workers::Scaled)),
        (Some(WorkersValue::Fixed(count)), None | Some(AutoscalePolicy::Fixed)) => {
            Ok(Some(Workers::Fixed(count)))
        }
        (Some(WorkersValue::Fixed(count)), Some(policy)) => {
            let s = if count == 1 { "" } else { "s" };
            let message = format!("autoscaler `{policy}` cannot scale a fixed {count} worker{s}");
            let help = "write workers = { min = .., max = .. }, or leave the autoscaler out";
            Err((place, message, help.to_owned()))
        }
        (Some(WorkersValue::Range { .. }), Some(AutoscalePolicy::Fixed)) => {
            let message = "autoscaler `fixed` never scales, and `workers` is a range".to_owned();
            let help = "write the number, for example workers = 4, or another autoscaler: \
                        queue-delay, production, production-extreme";
            Err((place, message, help.to_owned()))
        }
        (Some(WorkersValue::Range { min, max }), _) => {
            Ok(Some(Workers::Scaled(Autoscale { min, max, ..scale.unwrap_or_default() })))
        }
    }
}
