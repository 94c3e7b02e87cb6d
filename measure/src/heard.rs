//! What devices heard, once: of a capture, a trace or a run, in four numbers and second by second; and
//! how close two of them are.

use std::time::Duration;

use serde::{Deserialize, Serialize};

use crate::Metric;

/// The format that this version writes.
pub const FORMAT: u32 = 1;
/// Numbers that differ by at most this share of the original are close.
pub const CLOSE: f64 = 0.1;

/// What all calls of something heard together, by the definitions of a run's metrics.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct HeardRecord {
    /// [`FORMAT`].
    pub format: u32,
    /// What it is of, for people.
    pub source: String,
    /// How many calls.
    pub calls: u64,
    /// Frames that were sent in them.
    pub frames: u64,
    /// How long those frames are, in s.
    pub audio_s: f64,
    /// Interarrival jitter (RFC 3550) in ms, mean of the calls.
    pub rfc3550_jitter_ms: Option<f64>,
    /// Frames that the firmware did not play, in % of those sent.
    pub effective_loss_percent: Option<f64>,
    /// Audible gaps a minute in what the firmware plays.
    pub stutter_per_minute: Option<f64>,
    /// The longest gap of any call, in ms.
    pub longest_gap_ms: Option<f64>,
    /// Each second from the beginning of each call, or of the run.
    pub seconds: Vec<HeardSecond>,
}

/// One second.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
pub struct HeardSecond {
    /// Its end.
    pub t_s: f64,
    /// Frames of it that never came; `None`: not known.
    pub lost: Option<u64>,
    /// Audible gaps that ended in it; `None`: not known.
    pub stutters: Option<u64>,
    /// The largest delay of a frame of it, less the smallest of all, in ms; `None` where none came.
    pub delay_ms: Option<f64>,
}

/// Puts seconds together, frame by frame.
#[derive(Clone, Debug, Default)]
pub struct HeardSeconds(Vec<HeardSecond>);

impl HeardSeconds {
    /// A frame that was due `at` came so much later than the fastest; `None`: never.
    pub fn frame(&mut self, at: Duration, delay: Option<Duration>) {
        let second = self.second(at);
        match delay.map(|delay| rounded(delay.as_secs_f64() * 1e3)) {
            None => *second.lost.get_or_insert(0) += 1,
            Some(delay) => second.delay_ms = Some(second.delay_ms.unwrap_or(0.0).max(delay)),
        }
    }

    /// An audible gap ended.
    pub fn stutter(&mut self, at: Duration) {
        *self.second(at).stutters.get_or_insert(0) += 1;
    }

    fn second(&mut self, at: Duration) -> &mut HeardSecond {
        let index = usize::try_from(at.as_secs()).unwrap_or(usize::MAX - 1);
        while self.0.len() <= index {
            let t_s = (self.0.len() + 1) as f64;
            self.0.push(HeardSecond { t_s, lost: Some(0), stutters: Some(0), delay_ms: None });
        }
        &mut self.0[index]
    }

    /// All of them, from the first.
    pub fn finish(self) -> Vec<HeardSecond> {
        self.0
    }
}

/// A number of the original and of what reproduces it.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Compared {
    /// What the number is.
    pub metric: Metric,
    /// In the original; `None`: not known.
    pub original: Option<f64>,
    /// Reproduced; `None`: not known.
    pub reproduced: Option<f64>,
    /// Differences up to here say nothing: of one event, or of what hosts add by themselves.
    pub floor: f64,
}

impl Compared {
    /// How much more the reproduction has, as a share of the original; `None` where one is not known
    /// or the original is 0.
    pub fn difference(&self) -> Option<f64> {
        let (original, reproduced) = (self.original?, self.reproduced?);
        (original != 0.0).then(|| (reproduced - original) / original)
    }

    /// Whether they are within [`CLOSE`], or within the floor; not where one is not known.
    pub fn close(&self) -> bool {
        let (Some(original), Some(reproduced)) = (self.original, self.reproduced) else {
            return false;
        };
        (reproduced - original).abs() <= (original.abs() * CLOSE).max(self.floor)
    }
}

/// Jitter of less is loopback's and the host's own, in ms.
const JITTER_FLOOR_MS: f64 = 1.0;
/// So much of a gap is the host's own, in ms.
const GAP_FLOOR_MS: f64 = 10.0;

impl HeardRecord {
    /// How close `reproduced` is to this, number by number.
    pub fn compare(&self, reproduced: &Self) -> [Compared; 4] {
        let least = |one: f64, other: f64| if one > 0.0 { other / one } else { 0.0 };
        let row = |metric, of: fn(&Self) -> Option<f64>, floor| Compared {
            metric,
            original: of(self),
            reproduced: of(reproduced),
            floor,
        };
        [
            row(Metric::Rfc3550Jitter, |one| one.rfc3550_jitter_ms, JITTER_FLOOR_MS),
            row(
                Metric::EffectiveLoss,
                |one| one.effective_loss_percent,
                least(self.frames as f64, 100.0),
            ),
            row(Metric::StutterPerMinute, |one| one.stutter_per_minute, least(self.audio_s, 60.0)),
            row(Metric::LongestGap, |one| one.longest_gap_ms, GAP_FLOOR_MS),
        ]
    }
}

/// To a ten-thousandth, as records are written.
pub fn rounded(number: f64) -> f64 {
    (number * 1e4).round() / 1e4
}

#[cfg(test)]
mod tests {
    use super::*;

    fn heard(jitter: f64, loss: Option<f64>, stutters: f64, gap: f64) -> HeardRecord {
        HeardRecord {
            format: FORMAT,
            source: "a test".to_owned(),
            calls: 1,
            frames: 1000,
            audio_s: 60.0,
            rfc3550_jitter_ms: Some(jitter),
            effective_loss_percent: loss,
            stutter_per_minute: Some(stutters),
            longest_gap_ms: Some(gap),
            seconds: Vec::new(),
        }
    }

    fn closeness(original: &HeardRecord, reproduced: &HeardRecord) -> [bool; 4] {
        original.compare(reproduced).map(|row| row.close())
    }

    #[test]
    fn close_is_within_a_tenth_or_within_one_event() {
        let original = heard(20.0, Some(5.0), 30.0, 400.0);
        assert_eq!(closeness(&original, &heard(22.0, Some(4.5), 33.0, 360.0)), [true; 4]);
        assert_eq!(closeness(&original, &heard(22.1, Some(4.49), 33.1, 359.0)), [false; 4]);
        // A frame of 1,000, a stutter in a minute, and what hosts add.
        let clean = heard(0.0, Some(0.0), 0.0, 0.0);
        assert_eq!(closeness(&clean, &heard(1.0, Some(0.1), 1.0, 10.0)), [true; 4]);
        assert_eq!(closeness(&clean, &heard(1.1, Some(0.2), 2.0, 11.0)), [false; 4]);
        assert!(!closeness(&heard(0.0, None, 0.0, 0.0), &clean)[1], "known on one side alone");
        assert_eq!(original.compare(&clean)[0].difference(), Some(-1.0));
        assert_eq!(clean.compare(&original)[0].difference(), None);
    }

    #[test]
    fn seconds_hold_what_happened_in_them() {
        let mut seconds = HeardSeconds::default();
        let ms = Duration::from_millis;
        seconds.frame(ms(2100), None);
        seconds.frame(ms(100), Some(ms(3)));
        seconds.frame(ms(200), Some(ms(30)));
        seconds.frame(ms(300), Some(ms(4)));
        seconds.stutter(ms(2999));
        let second = |t_s, lost, stutters, delay_ms| HeardSecond {
            t_s,
            lost: Some(lost),
            stutters: Some(stutters),
            delay_ms,
        };
        assert_eq!(
            seconds.finish(),
            [second(1.0, 0, 0, Some(30.0)), second(2.0, 0, 0, None), second(3.0, 1, 1, None)]
        );
    }
}
