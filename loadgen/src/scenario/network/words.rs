//! Words and numbers of `network` that have a form of their own.

use serde::{Deserialize, Deserializer, de};
use simnet::{Distribution, Impairment, Loss, Preset};

use crate::scenario::error::suggestion;

/// A preset, and what it is.
#[derive(Clone)]
pub(in crate::scenario) struct PresetName {
    pub(super) impairment: Impairment,
    pub(super) name: String,
}

/// How jitter is distributed.
#[derive(Clone, Copy)]
pub(in crate::scenario) struct DistributionName(pub(super) Distribution);

/// `1%`, `gilbert-elliott(0.01, 0.3)` or `pattern(...x)`.
#[derive(Clone)]
pub(in crate::scenario) struct LossText(pub(super) Loss);

/// `750kbps`, in bits a second.
#[derive(Clone, Copy)]
pub(in crate::scenario) struct RateText(pub(super) u64);

/// How often in a minute, 0.01 to 600.
#[derive(Clone, Copy)]
pub(in crate::scenario) struct PerMinute(pub(super) f64);

/// The preset of this name, or which there are.
pub(super) fn preset(name: &str) -> Result<Impairment, String> {
    Preset::by_name(name).map(|preset| preset.impairment).ok_or_else(|| {
        let all = Preset::all();
        let names: Vec<&str> = all.iter().map(|preset| preset.name).collect();
        format!("unknown network `{name}`: {}", suggestion(name, &names))
    })
}

impl<'de> Deserialize<'de> for PresetName {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        let name = String::deserialize(deserializer)?;
        let impairment = preset(&name).map_err(de::Error::custom)?;
        Ok(Self { impairment, name })
    }
}

impl<'de> Deserialize<'de> for DistributionName {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        let name = String::deserialize(deserializer)?;
        Ok(Self(match &*name {
            "uniform" => Distribution::Uniform,
            "normal" => Distribution::Normal,
            "pareto" => Distribution::Pareto,
            "paretonormal" => Distribution::ParetoNormal,
            _ => {
                let help = suggestion(&name, &["uniform", "normal", "pareto", "paretonormal"]);
                return Err(de::Error::custom(format!("unknown distribution `{name}`: {help}")));
            }
        }))
    }
}

impl<'de> Deserialize<'de> for LossText {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        let text = String::deserialize(deserializer)?;
        loss(&text).map(Self).ok_or_else(|| {
            de::Error::custom(format!(
                "loss `{text}`: write for example \"1%\", \"gilbert-elliott(0.01, 0.3)\" or \
                 \"pattern(...x)\", x for a packet that is lost"
            ))
        })
    }
}

fn loss(text: &str) -> Option<Loss> {
    let inside = |name: &str| text.strip_prefix(name)?.strip_prefix('(')?.strip_suffix(')');
    if let Some(pattern) = inside("pattern") {
        let lost = |one| match one {
            '.' => Some(false),
            'x' => Some(true),
            _ => None,
        };
        let pattern: Vec<bool> = pattern.chars().map(lost).collect::<Option<_>>()?;
        return (1..=10_000).contains(&pattern.len()).then_some(Loss::Pattern(pattern));
    }
    if let Some(chances) = inside("gilbert-elliott") {
        let chance = |text: &str| {
            let chance = text.trim().parse::<f64>().ok();
            chance.filter(|chance| (0.0..=1.0).contains(chance))
        };
        let chances: Vec<f64> = chances.split(',').map(chance).collect::<Option<_>>()?;
        return match chances[..] {
            [p, r] => Some(Loss::bursts(p, r)),
            [turns_bad, turns_good, passes_bad, passes_good] => {
                Some(Loss::GilbertElliott { turns_bad, turns_good, passes_bad, passes_good })
            }
            _ => None,
        };
    }
    let percent: f64 = text.strip_suffix('%')?.trim().parse().ok()?;
    (0.0..=100.0).contains(&percent).then_some(Loss::Random(percent / 100.0))
}

impl<'de> Deserialize<'de> for RateText {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        let text = String::deserialize(deserializer)?;
        let units = [("kbps", 1e3), ("Mbps", 1e6)];
        let read = units.iter().find_map(|(unit, factor)| {
            let number: f64 = text.strip_suffix(unit)?.trim().parse().ok()?;
            Some(number * factor)
        });
        let Some(bits) = read.filter(|bits| (1e3..=1e10).contains(bits)) else {
            let message =
                format!("rate `{text}`: write 1kbps to 10000Mbps, for example \"750kbps\"");
            return Err(de::Error::custom(message));
        };
        #[expect(clippy::cast_possible_truncation, clippy::cast_sign_loss, reason = "in its range")]
        Ok(Self(bits as u64))
    }
}

impl<'de> Deserialize<'de> for PerMinute {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        let seen = f64::deserialize(deserializer)?;
        if (0.01..=600.0).contains(&seen) {
            return Ok(Self(seen));
        }
        Err(de::Error::custom(format!("{seen} a minute: allowed are 0.01 to 600")))
    }
}
