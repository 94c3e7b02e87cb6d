//! Times that are drawn anew each time: `2s`, `1s..3s`, `normal(2s, 300ms)`, `exponential(2s)`,
//! `lognormal(2s, 0.5)`.
//!
//! A draw depends on its numbers alone (`share.rs`), so that the same seed gives the same times.

use std::error::Error;
use std::f64::consts::TAU;
use std::fmt;
use std::str::FromStr;
use std::time::Duration;

use serde::{Deserialize, Deserializer, Serialize, Serializer, de};

use crate::duration_text::{self, to_text};
use crate::share::{mix, uniform};

/// The longest time that is drawn or written.
const LONGEST: Duration = Duration::from_mins(1);

/// Where times are drawn from; each is at most 60 s.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct TimeDistribution(Form);

#[derive(Clone, Copy, Debug, PartialEq)]
enum Form {
    Constant(Duration),
    /// From the first to the second, each as likely.
    Uniform(Duration, Duration),
    /// Mean and standard deviation; what would be below zero is zero.
    Normal(Duration, Duration),
    /// By its mean.
    Exponential(Duration),
    /// Median, and the standard deviation of the logarithm, above 0 and at most 3.
    LogNormal(Duration, f64),
}

impl TimeDistribution {
    /// Always the same time, at most 60 s.
    pub const fn constant(time: Duration) -> Self {
        Self(Form::Constant(time))
    }

    /// The time that belongs to an evenly drawn number.
    pub(crate) fn time(&self, drawn: u64) -> Duration {
        let (u, v) = (uniform(drawn), uniform(mix(drawn)));
        // Box and Muller, Annals of Mathematical Statistics 29 (1958); 1 - u is never 0.
        let gauss = || (-2.0 * (1.0 - u).ln()).sqrt() * (TAU * v).cos();
        let seconds = match self.0 {
            Form::Constant(time) => return time,
            Form::Uniform(from, to) => from.as_secs_f64() * (1.0 - u) + to.as_secs_f64() * u,
            Form::Normal(mean, sigma) => mean.as_secs_f64() + sigma.as_secs_f64() * gauss(),
            Form::Exponential(mean) => -mean.as_secs_f64() * (1.0 - u).ln(),
            Form::LogNormal(median, sigma) => median.as_secs_f64() * (sigma * gauss()).exp(),
        };
        Duration::try_from_secs_f64(seconds.max(0.0)).unwrap_or(LONGEST).min(LONGEST)
    }
}

impl fmt::Display for TimeDistribution {
    /// As it is read.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self.0 {
            Form::Constant(time) => f.write_str(&to_text(time)),
            Form::Uniform(from, to) => write!(f, "{}..{}", to_text(from), to_text(to)),
            Form::Normal(mean, sigma) => write!(f, "normal({}, {})", to_text(mean), to_text(sigma)),
            Form::Exponential(mean) => write!(f, "exponential({})", to_text(mean)),
            Form::LogNormal(median, sigma) => write!(f, "lognormal({}, {sigma})", to_text(median)),
        }
    }
}

/// A text that is no distribution of times; says why.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct TimeDistributionError(String);

impl fmt::Display for TimeDistributionError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

impl Error for TimeDistributionError {}

impl FromStr for TimeDistribution {
    type Err = TimeDistributionError;

    fn from_str(text: &str) -> Result<Self, TimeDistributionError> {
        let text = text.trim();
        let form = if let Some((from, to)) = text.split_once("..") {
            let (from, to) = (time(from)?, time(to)?);
            if from > to {
                return Err(TimeDistributionError(format!("`{text}`: the longer time comes last")));
            }
            Form::Uniform(from, to)
        } else if let Some((name, rest)) = text.split_once('(') {
            let inside = rest.strip_suffix(')').ok_or_else(|| unknown(text))?;
            let parts: Vec<&str> = inside.split(',').collect();
            match (name.trim(), &parts[..]) {
                ("normal", [mean, sigma]) => Form::Normal(time(mean)?, time(sigma)?),
                ("exponential", [mean]) => Form::Exponential(time(mean)?),
                ("lognormal", [median, sigma]) => Form::LogNormal(time(median)?, spread(sigma)?),
                _ => return Err(unknown(text)),
            }
        } else {
            Form::Constant(time(text)?)
        };
        Ok(Self(form))
    }
}

fn time(text: &str) -> Result<Duration, TimeDistributionError> {
    let time = duration_text::parse(text.trim())
        .map_err(|error| TimeDistributionError(error.to_string()))?;
    if time > LONGEST {
        let message = format!("{} is too long: the longest is {}", to_text(time), to_text(LONGEST));
        return Err(TimeDistributionError(message));
    }
    Ok(time)
}

fn spread(text: &str) -> Result<f64, TimeDistributionError> {
    let sigma = text.trim().parse::<f64>().ok().filter(|sigma| *sigma > 0.0 && *sigma <= 3.0);
    let wrong = || format!("`{}` is no spread of a logarithm: allowed are 0.1 to 3", text.trim());
    sigma.ok_or_else(|| TimeDistributionError(wrong()))
}

fn unknown(text: &str) -> TimeDistributionError {
    TimeDistributionError(format!(
        "`{text}` is no distribution of times: there are `2s`, `1s..3s`, `normal(2s, 300ms)`, \
         `exponential(2s)` and `lognormal(2s, 0.5)`"
    ))
}

impl Serialize for TimeDistribution {
    fn serialize<S: Serializer>(&self, into: S) -> Result<S::Ok, S::Error> {
        into.collect_str(self)
    }
}

impl<'de> Deserialize<'de> for TimeDistribution {
    fn deserialize<D: Deserializer<'de>>(from: D) -> Result<Self, D::Error> {
        String::deserialize(from)?.parse().map_err(de::Error::custom)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::share::{Purpose, draw};

    #[test]
    fn forms_are_read_and_written_back() {
        for text in
            ["2s", "1s..3s", "normal(2s, 300ms)", "exponential(2s)", "lognormal(1500ms, 0.5)"]
        {
            assert_eq!(text.parse::<TimeDistribution>().unwrap().to_string(), text);
        }
        for (text, reason) in [
            ("2", "a duration is a whole number"),
            ("3s..1s", "the longer time comes last"),
            ("61s", "the longest is 1m"),
            ("normal(2s)", "is no distribution"),
            ("lognormal(2s, NaN)", "no spread of a logarithm"),
        ] {
            let error = text.parse::<TimeDistribution>().unwrap_err().to_string();
            assert!(error.contains(reason), "{text}: {error}");
        }
    }

    /// Quantiles of the exact distributions, within 2 % at 100,000 draws.
    #[test]
    fn times_follow_their_distribution() {
        for (text, quantiles) in [
            ("2s", [2.0, 2.0, 2.0]),
            ("1s..3s", [1.2, 2.0, 2.8]),
            ("normal(2s, 300ms)", [1.6155, 2.0, 2.3845]),
            ("exponential(2s)", [0.2107, 1.3863, 4.6052]),
            ("lognormal(2s, 0.5)", [1.0538, 2.0, 3.7959]),
        ] {
            let distribution: TimeDistribution = text.parse().unwrap();
            let time = |number| distribution.time(draw(1, Purpose::Think, 0, number));
            let mut times: Vec<f64> = (0..100_000).map(|n| time(n).as_secs_f64()).collect();
            times.sort_by(f64::total_cmp);
            for (at, expected) in [10_000, 50_000, 90_000].into_iter().zip(quantiles) {
                assert!((times[at] / expected - 1.0).abs() < 0.02, "{text}: {}", times[at]);
            }
        }
    }
}
