//! What the production gateway writes into its log now and then, from our numbers.
//!
//! Unlike there, frames, errors and the average latency are those since the block before, so that
//! a block tells of now; latency's maximum cannot be had so, and says since when it is.

use std::fmt::Write;

use super::status::{Histogram, Status};
use crate::counters::CountersSnapshot;

/// The lines for a log; what is told "since the block before" counts from the start of the gateway
/// when there is none.
pub(crate) fn block(before: Option<&Status>, now: &Status) -> String {
    let elapsed_s = now.uptime_s - before.map_or(0.0, |before| before.uptime_s);
    let mut text = match before {
        Some(_) => format!("the last {elapsed_s:.1} s:"),
        None => format!("the {elapsed_s:.1} s since the start:"),
    };
    for (name, line) in [
        ("workers", workers(now)),
        ("load", load(now)),
        ("frames", frames(before, now, elapsed_s)),
        ("latency", latency(before.map(|before| &before.latency), &now.latency)),
        ("cpu", cpu(now)),
        ("memory", memory(now)),
        ("errors", errors(before, now)),
    ] {
        write!(text, "\n  {name:<8} {line}").expect("a string takes everything");
    }
    text
}

fn workers(now: &Status) -> String {
    let (pool, scaling) = (&now.pool, &now.scaling);
    let total = pool.serving + pool.starting + pool.draining;
    format!("{}/{total} active (min {}, max {})", pool.serving, scaling.min, scaling.max)
}

fn load(now: &Status) -> String {
    let percent = now.pool.load_percent;
    // Production's load is this over 5, in percent.
    let per_worker = percent / 100.0 * 5.0;
    format!("{percent:.1} % ({per_worker:.2} pending per worker), {} pending", now.pool.pending)
}

fn frames(before: Option<&Status>, now: &Status, elapsed_s: f64) -> String {
    let total = now.counters.frames_out;
    let count = total.saturating_sub(before.map_or(0, |before| before.counters.frames_out));
    let per_s = if elapsed_s > 0.0 { count as f64 / elapsed_s } else { 0.0 };
    format!("{count} answered, {per_s:.1} fps; {total} since the start")
}

fn latency(before: Option<&Histogram>, now: &Histogram) -> String {
    let (count_before, sum_before_s) = before.map_or((0, 0.0), |x| (x.count, x.sum_s));
    let count = now.count.saturating_sub(count_before);
    let average = match count {
        0 => "no frames".to_owned(),
        _ => format!("average {:.2} ms", (now.sum_s - sum_before_s) / count as f64 * 1e3),
    };
    format!("{average}, max {:.2} ms since the start", now.max_s * 1e3)
}

fn cpu(now: &Status) -> String {
    let Some(process) = now.process else { return "not known".to_owned() };
    let (mean, max) = (process.cpu_percent_mean, process.cpu_percent_max);
    format!("{mean:.2} % of one core on average (max {max:.2} %) in {} s", process.samples)
}

fn memory(now: &Status) -> String {
    match now.process {
        Some(process) => format!("{:.2} MiB", process.resident_bytes as f64 / f64::from(1 << 20)),
        None => "not known".to_owned(),
    }
}

/// What was dropped, by us or by the kernel.
fn errors(before: Option<&Status>, now: &Status) -> String {
    let before = before.map_or_else(CountersSnapshot::default, |before| before.counters);
    let drops = |counters: &CountersSnapshot| {
        let kernel = ("kernel_drops", counters.kernel_drops);
        counters.dropped.by_name().chain([kernel]).collect::<Vec<_>>()
    };
    let (mut total, mut causes) = (0, Vec::new());
    for ((_, before), (cause, now)) in drops(&before).into_iter().zip(drops(&now.counters)) {
        let count = now.saturating_sub(before);
        total += count;
        if count > 0 {
            causes.push(format!("{cause} {count}"));
        }
    }
    if causes.is_empty() { "0".to_owned() } else { format!("{total}: {}", causes.join(", ")) }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::telemetry::fixture;

    #[test]
    fn a_block_tells_of_the_time_since_the_block_before() {
        let now = fixture::status();
        let mut before = now.clone();
        before.uptime_s = 570.0;
        before.counters.frames_out -= 882;
        before.latency.count -= 882;
        before.latency.sum_s -= 882.0 * 0.002_51;
        before.counters.dropped.late = 1;
        before.counters.kernel_drops = 0;
        insta::assert_snapshot!(block(Some(&before), &now), @r"
        the last 30.0 s:
          workers  2/4 active (min 2, max 8)
          load     30.0 % (1.50 pending per worker), 3 pending
          frames   882 answered, 29.4 fps; 17647 since the start
          latency  average 2.51 ms, max 53.68 ms since the start
          cpu      4.77 % of one core on average (max 61.50 %) in 100 s
          memory   28.62 MiB
          errors   8: late 1, kernel_drops 7
        ");
    }

    #[test]
    fn the_first_block_tells_of_everything() {
        insta::assert_snapshot!(block(None, &fixture::status()), @r"
        the 600.0 s since the start:
          workers  2/4 active (min 2, max 8)
          load     30.0 % (1.50 pending per worker), 3 pending
          frames   17647 answered, 29.4 fps; 17647 since the start
          latency  average 1.32 ms, max 53.68 ms since the start
          cpu      4.77 % of one core on average (max 61.50 %) in 100 s
          memory   28.62 MiB
          errors   10: late 2, worker_panic 1, kernel_drops 7
        ");
    }

    #[test]
    fn without_frames_and_samples_there_is_no_average() {
        let mut now = fixture::status();
        now.process = None;
        insta::assert_snapshot!(block(Some(&now.clone()), &now), @r"
        the last 0.0 s:
          workers  2/4 active (min 2, max 8)
          load     30.0 % (1.50 pending per worker), 3 pending
          frames   0 answered, 0.0 fps; 17647 since the start
          latency  no frames, max 53.68 ms since the start
          cpu      not known
          memory   not known
          errors   0
        ");
    }
}
