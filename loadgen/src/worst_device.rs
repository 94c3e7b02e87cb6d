//! `worst_device.csv`: every frame of the call that had the worst of it, so that a stutter can be looked
//! at.
//!
//! | column | unit | |
//! |---|---|---|
//! | `device` | | the device's number |
//! | `t_s` | s | when the frame was planned, from the start of the run |
//! | `frame` | | its number in the call |
//! | `delay_ms` | ms | when its answer came after that, to a tenth; empty when there was none |
//! | `gap_ms` | ms | the audible gap in what the firmware plays that this answer ended; mostly empty |

use std::collections::HashMap;
use std::fmt::Write;
use std::time::Duration;

use crate::afterwards::CallAnswers;
use crate::collect::millis;
use crate::media::listener::CallArrivals;

/// The file's name in the run directory.
pub const FILE: &str = "worst_device.csv";

/// The file's text; `None` when of no call every answer is known.
pub fn csv(calls: &[CallArrivals]) -> Option<String> {
    // By stutters, then frames lost, then the largest latency, as reports order devices.
    let badness = |call: &CallArrivals| {
        let stutters = call.experienced.xiaozhi.stutter_per_minute().unwrap_or(0.0);
        (stutters, call.sent.saturating_sub(call.answered), call.latency_max)
    };
    let known = calls.iter().filter(|call| call.delays.is_some());
    let call = known.max_by(|one, other| {
        let (one, other) = (badness(one), badness(other));
        one.0.total_cmp(&other.0).then((one.1, one.2).cmp(&(other.1, other.2)))
    })?;
    Some(write(call, &CallAnswers::of(call)?))
}

fn write(call: &CallArrivals, answers: &CallAnswers<'_>) -> String {
    let gaps = answers.gaps().into_iter().map(|(frame, _, gap)| (frame, gap));
    let gaps: HashMap<u64, Duration> = gaps.collect();
    let mut csv = "device,t_s,frame,delay_ms,gap_ms\n".to_owned();
    let cell = |time: Option<&Duration>| {
        time.map(|time| format!("{:.1}", millis(*time))).unwrap_or_default()
    };
    for (frame, due, delay) in answers.frames() {
        // Writing to a String does not fail.
        let _ = writeln!(
            csv,
            "{},{:.3},{frame},{},{}",
            call.device,
            due.as_secs_f64(),
            cell(delay.as_ref()),
            cell(gaps.get(&frame))
        );
    }
    csv
}
