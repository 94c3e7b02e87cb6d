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

use measure::playout::Xiaozhi;

use crate::collect::millis;
use crate::media::delays::Delays;
use crate::media::listener::CallArrivals;

/// The file's name in the run directory.
pub const FILE: &str = "worst_device.csv";

/// The file's text; `None` when of no call every answer is known.
pub fn csv(calls: &[CallArrivals]) -> Option<String> {
    let known = calls.iter().filter_map(|call| Some((call, call.delays.as_ref()?)));
    // By stutters, then frames lost, then the largest latency, as reports order devices.
    let (call, delays) = known.max_by(|(one, _), (other, _)| {
        let badness = |call: &CallArrivals| {
            let stutters = call.experienced.xiaozhi.stutter_per_minute().unwrap_or(0.0);
            (stutters, call.sent.saturating_sub(call.answered), call.latency_max)
        };
        let (one, other) = (badness(one), badness(other));
        one.0.total_cmp(&other.0).then((one.1, one.2).cmp(&(other.1, other.2)))
    })?;
    Some(write(call, delays))
}

fn write(call: &CallArrivals, delays: &Delays) -> String {
    let length = call.frame.as_duration();
    let due = |frame: u64| {
        let since = length * u32::try_from(frame).unwrap_or(u32::MAX);
        (call.first_due + since).since_start()
    };
    let delays: Vec<(u64, Option<Duration>)> = (0..).zip(delays.iter(call.sent)).collect();
    let arrived =
        |(frame, delay): &(u64, Option<Duration>)| Some((*frame, due(*frame) + (*delay)?));
    let mut arrivals: Vec<(u64, Duration)> = delays.iter().filter_map(arrived).collect();
    arrivals.sort_by_key(|(_, at)| *at);
    let gaps: HashMap<u64, Duration> = Xiaozhi::gaps(length, arrivals).into_iter().collect();
    let mut csv = "device,t_s,frame,delay_ms,gap_ms\n".to_owned();
    let cell = |time: Option<&Duration>| {
        time.map(|time| format!("{:.1}", millis(*time))).unwrap_or_default()
    };
    for (frame, delay) in &delays {
        // Writing to a String does not fail.
        let _ = writeln!(
            csv,
            "{},{:.3},{frame},{},{}",
            call.device,
            due(*frame).as_secs_f64(),
            cell(delay.as_ref()),
            cell(gaps.get(frame))
        );
    }
    csv
}
