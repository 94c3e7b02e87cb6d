//! Times by their quantiles: `0% 1ms, 50% 2ms, 99% 20ms, 100% 60ms`. Between two of them the time grows
//! evenly with the share.

use std::fmt;
use std::time::Duration;

use serde::{Deserialize, Deserializer, Serialize, Serializer, de};

use super::duration;
use super::values::Share;

/// The most of them.
const MOST: usize = 16;

/// Which share of all takes how long at most; 2 to 16 of them, from `0%` to `100%`.
#[derive(Clone, Copy, Debug, PartialEq)]
pub(super) struct Quantiles {
    points: [(Share, Duration); MOST],
    count: usize,
}

impl Quantiles {
    /// The mean.
    pub(super) fn mean(&self) -> Duration {
        let parts = self.points().windows(2).map(|pair| {
            let share = pair[1].0.ratio() - pair[0].0.ratio();
            (pair[0].1 + pair[1].1).mul_f64(share / 2.0)
        });
        parts.sum()
    }

    fn points(&self) -> &[(Share, Duration)] {
        &self.points[..self.count]
    }

    fn parse(text: &str) -> Result<Self, String> {
        let mut quantiles = Self { points: [(Share::NONE, Duration::ZERO); MOST], count: 0 };
        for part in text.split(',').map(str::trim) {
            let (share, time) =
                part.split_once(' ').ok_or("a quantile is a share, a space and a time")?;
            let share = Share::parse(share).ok_or_else(|| format!("`{share}` is no share"))?;
            // The gateway reads whole microseconds.
            let time = duration::parse(time.trim())?;
            let time =
                time.saturating_sub(Duration::from_nanos((time.subsec_nanos() % 1000).into()));
            let allowed = Duration::from_micros(1)..=Duration::from_secs(10);
            if !allowed.contains(&time) {
                let seen = duration::shown(time);
                return Err(format!("{seen}: allowed are 1us to 10s"));
            }
            if let Some((before, shorter)) = quantiles.points().last()
                && (share.ratio() <= before.ratio() || time < *shorter)
            {
                return Err("each share is above the one before, and no time is below".to_owned());
            }
            *quantiles.points.get_mut(quantiles.count).ok_or("over 16 quantiles")? = (share, time);
            quantiles.count += 1;
        }
        let [first, last] = [0, quantiles.count.saturating_sub(1)];
        if quantiles.points[first].0.ratio() > 0.0 || quantiles.points[last].0.ratio() < 1.0 {
            return Err("the first is of 0% and the last of 100%".to_owned());
        }
        Ok(quantiles)
    }
}

impl fmt::Display for Quantiles {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        for (index, (share, time)) in self.points().iter().enumerate() {
            let comma = if index == 0 { "" } else { ", " };
            write!(f, "{comma}{share} {}", duration::shown(*time))?;
        }
        Ok(())
    }
}

impl Serialize for Quantiles {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.collect_str(self)
    }
}

impl<'de> Deserialize<'de> for Quantiles {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        let text = String::deserialize(deserializer)?;
        Self::parse(&text).map_err(|why| {
            de::Error::custom(format!(
                "quantiles `{text}`: {why}; write for example \"0% 1ms, 50% 2ms, 99% 20ms, 100% 60ms\""
            ))
        })
    }
}
