//! What a host adds by itself, and which limits come too close to it; a part of the run record.

use serde::{Deserialize, Serialize};

use crate::record::{MetricMap, Summary};

/// How often the noise floor a limit must be, so that it judges the gateway and not the host.
pub const ABOVE_FLOOR: f64 = 3.0;

/// What was measured without a gateway: datagrams sent to a socket of this host that returns them,
/// on the threads and the sockets of a run.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct NoiseFloorRecord {
    /// Devices that sent.
    pub devices: u32,
    /// Milliseconds between two frames of a device.
    pub frame_ms: u32,
    /// Frames sent.
    pub frames_sent: u64,
    /// Frames that came back.
    pub frames_answered: u64,
    /// How much before others the pacing thread ran.
    pub priority: String,
    /// How late a thread of that priority woke for instants a millisecond apart.
    pub timer_lateness: Summary,
    /// The metrics of these frames, by the names of a run.
    pub metrics: MetricMap,
}

/// Something about a run that its reader should know, and that is no reason to disbelieve it.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Warning {
    /// A stable name for tools.
    pub rule: String,
    /// The threshold that it is about, as it was written; `null` for the whole run.
    pub threshold: Option<String>,
    /// Its limit; `null` for the whole run.
    pub limit_ms: Option<f64>,
    /// The same number of the noise floor; `null` where there is none.
    pub floor_ms: Option<f64>,
    /// Samples behind `floor_ms`.
    pub samples: u64,
    /// What was seen and what to do, for people.
    pub text: String,
}

impl Warning {
    /// The warning about an upper limit of `limit_ms` whose noise floor is `floor_ms`, out of
    /// `samples`; `None` when the limit is far enough above it.
    pub fn near_floor(threshold: &str, limit_ms: f64, floor_ms: f64, samples: u64) -> Option<Self> {
        let least = floor_ms * ABOVE_FLOOR;
        (limit_ms < least).then(|| Self {
            rule: "near_noise_floor".to_owned(),
            threshold: Some(threshold.to_owned()),
            limit_ms: Some(limit_ms),
            floor_ms: Some(floor_ms),
            samples,
            text: format!(
                "{threshold} is under {ABOVE_FLOOR} times what this host adds without a gateway \
                 ({floor_ms:.3} ms, n = {samples}): limit it to {least:.3} ms or more, or use a \
                 quieter host (`din doctor` tells what disturbs this one)"
            ),
        })
    }

    /// The warning that no limit could be compared with a noise floor.
    pub fn no_floor(why: &str) -> Self {
        Self {
            rule: "no_noise_floor".to_owned(),
            threshold: None,
            limit_ms: None,
            floor_ms: None,
            samples: 0,
            text: format!(
                "the noise floor of this host was not measured, so no limit was compared with it: {why}"
            ),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_limit_under_three_times_the_floor_is_warned_about_and_one_at_it_is_not() {
        let warned = |limit| Warning::near_floor("x.p99 < y", limit, 0.5, 300);
        assert_eq!(warned(1.5), None);
        assert_eq!(warned(40.0), None);
        let warning = warned(1.4).unwrap();
        assert_eq!((warning.limit_ms, warning.floor_ms), (Some(1.4), Some(0.5)));
        for part in
            ["x.p99 < y is under 3 times", "0.500 ms, n = 300", "1.500 ms or more", "din doctor"]
        {
            assert!(warning.text.contains(part), "{part}: {}", warning.text);
        }
    }
}
