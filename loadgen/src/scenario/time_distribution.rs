//! Times that are drawn anew each time: `2s`, `1s..3s`, `normal(2s, 300ms)`, `exponential(2s)`,
//! `lognormal(2s, 0.5)`.

use std::f64::consts::TAU;
use std::fmt;
use std::str::FromStr;
use std::time::Duration;

use rand::{Rng, RngExt};
use serde::{Deserialize, Deserializer, Serialize, Serializer, de};

use super::duration::{self, shown};

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
    /// Always the same time.
    pub const fn constant(time: Duration) -> Self {
        Self(Form::Constant(time))
    }

    /// A time; draws two random numbers, whatever the form.
    pub fn sample(&self, rng: &mut impl Rng) -> Duration {
        let (u, v): (f64, f64) = (rng.random(), rng.random());
        let seconds = |time: Duration| time.as_secs_f64();
        // Box and Muller, Annals of Mathematical Statistics 29 (1958); 1 - u is never 0.
        let gauss = || (-2.0 * (1.0 - u).ln()).sqrt() * (TAU * v).cos();
        let drawn = match self.0 {
            Form::Constant(time) => return time,
            Form::Uniform(from, to) => seconds(from) + (seconds(to) - seconds(from)) * u,
            Form::Normal(mean, sigma) => seconds(mean) + seconds(sigma) * gauss(),
            Form::Exponential(mean) => -seconds(mean) * (1.0 - u).ln(),
            Form::LogNormal(median, sigma) => seconds(median) * (sigma * gauss()).exp(),
        };
        Duration::try_from_secs_f64(drawn.max(0.0)).unwrap_or(LONGEST).min(LONGEST)
    }

    /// The mean, before what is too short or too long is cut off.
    pub fn mean(&self) -> Duration {
        match self.0 {
            Form::Constant(mean) | Form::Normal(mean, _) | Form::Exponential(mean) => mean,
            Form::Uniform(from, to) => (from + to) / 2,
            Form::LogNormal(median, sigma) => median.mul_f64((sigma * sigma / 2.0).exp()),
        }
    }
}

impl fmt::Display for TimeDistribution {
    /// As it is read.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self.0 {
            Form::Constant(time) => f.write_str(&shown(time)),
            Form::Uniform(from, to) => write!(f, "{}..{}", shown(from), shown(to)),
            Form::Normal(mean, sigma) => write!(f, "normal({}, {})", shown(mean), shown(sigma)),
            Form::Exponential(mean) => write!(f, "exponential({})", shown(mean)),
            Form::LogNormal(median, sigma) => write!(f, "lognormal({}, {sigma})", shown(median)),
        }
    }
}

impl FromStr for TimeDistribution {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, String> {
        let text = text.trim();
        let form = if let Some((from, to)) = text.split_once("..") {
            let (from, to) = (time(from)?, time(to)?);
            if from > to {
                return Err(format!("`{text}`: the first time is the longer one; turn them round"));
            }
            Form::Uniform(from, to)
        } else if let Some((name, rest)) = text.split_once('(') {
            let inside = rest.strip_suffix(')').ok_or_else(|| unknown(text))?;
            let parts: Vec<&str> = inside.split(',').map(str::trim).collect();
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

fn time(text: &str) -> Result<Duration, String> {
    let time = duration::parse(text.trim())?;
    if time > LONGEST {
        return Err(format!(
            "{} is out of range: the longest here is {}",
            shown(time),
            shown(LONGEST)
        ));
    }
    Ok(time)
}

fn spread(text: &str) -> Result<f64, String> {
    let sigma = text.parse::<f64>().ok().filter(|sigma| *sigma > 0.0 && *sigma <= 3.0);
    sigma.ok_or_else(|| format!("`{text}` is no spread of a logarithm: write 0.1 to 3"))
}

fn unknown(text: &str) -> String {
    format!(
        "`{text}` is no distribution of times: write \"2s\", \"1s..3s\", \"normal(2s, 300ms)\", \
         \"exponential(2s)\" or \"lognormal(2s, 0.5)\""
    )
}

impl Serialize for TimeDistribution {
    fn serialize<S: Serializer>(&self, into: S) -> Result<S::Ok, S::Error> {
        into.collect_str(self)
    }
}

impl<'de> Deserialize<'de> for TimeDistribution {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        struct Visitor;
        impl de::Visitor<'_> for Visitor {
            type Value = TimeDistribution;

            fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                f.write_str("a time in quotes or a distribution, for example \"2s\" or \"1s..3s\"")
            }

            fn visit_str<E: de::Error>(self, text: &str) -> Result<TimeDistribution, E> {
                text.parse().map_err(E::custom)
            }
        }
        deserializer.deserialize_str(Visitor)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use rand::SeedableRng;
    use rand::rngs::StdRng;

    fn read(text: &str) -> TimeDistribution {
        text.parse().unwrap()
    }

    #[test]
    fn forms_are_read_and_written_back() {
        for (text, written) in [
            ("2s", "2s"),
            ("0ms", "0s"),
            ("1s..3s", "1s..3s"),
            (" 500ms .. 2s ", "500ms..2s"),
            ("normal(2s, 300ms)", "normal(2s, 300ms)"),
            ("exponential( 2s )", "exponential(2s)"),
            ("lognormal(1500ms,0.5)", "lognormal(1500ms, 0.5)"),
        ] {
            assert_eq!(read(text).to_string(), written);
            assert_eq!(read(written), read(text));
        }
    }

    #[test]
    fn other_texts_are_refused_with_what_is_needed() {
        for (text, reason) in [
            ("2", "unit is missing"),
            ("", "unit is missing"),
            ("3s..1s", "turn them round"),
            ("1s..", "unit is missing"),
            ("61s", "the longest here is 60s"),
            ("normal(2s)", "is no distribution"),
            ("normal(2s, 300ms", "is no distribution"),
            ("normal(2s, NaN)", "unknown unit"),
            ("pareto(2s, 1)", "is no distribution"),
            ("lognormal(2s, -1)", "no spread of a logarithm"),
            ("lognormal(2s, inf)", "no spread of a logarithm"),
            ("exponential(-1s)", "cannot be negative"),
        ] {
            let error = text.parse::<TimeDistribution>().unwrap_err();
            assert!(error.contains(reason), "{text}: {error}");
        }
    }

    /// Quantiles of the exact distributions, within 2 % at 100,000 draws.
    #[test]
    fn draws_follow_their_distribution() {
        for (text, quantiles) in [
            ("2s", [2.0, 2.0, 2.0]),
            ("1s..3s", [1.2, 2.0, 2.8]),
            ("normal(2s, 300ms)", [1.6155, 2.0, 2.3845]),
            ("exponential(2s)", [0.2107, 1.3863, 4.6052]),
            ("lognormal(2s, 0.5)", [1.0538, 2.0, 3.7959]),
        ] {
            let (distribution, mut rng) = (read(text), StdRng::seed_from_u64(1));
            let draw = |_| distribution.sample(&mut rng).as_secs_f64();
            let mut drawn: Vec<f64> = (0..100_000).map(draw).collect();
            drawn.sort_by(f64::total_cmp);
            for (at, expected) in [10_000, 50_000, 90_000].into_iter().zip(quantiles) {
                let seen = drawn[at];
                assert!((seen / expected - 1.0).abs() < 0.02, "{text} {at}: {seen} {expected}");
            }
            let mean = drawn.iter().sum::<f64>() / 100_000.0;
            let expected = distribution.mean().as_secs_f64();
            assert!((mean / expected - 1.0).abs() < 0.02, "{text}: {mean} {expected}");
        }
    }

    #[test]
    fn what_is_too_short_or_too_long_is_cut_off() {
        let mut rng = StdRng::seed_from_u64(1);
        let mut drawn = |text: &str| -> Vec<Duration> {
            (0..1000).map(|_| read(text).sample(&mut rng)).collect()
        };
        let short = drawn("normal(0s, 1s)");
        assert_eq!(short.iter().min(), Some(&Duration::ZERO));
        assert!(drawn("lognormal(60s, 3)").iter().all(|time| *time <= LONGEST));
    }
}
