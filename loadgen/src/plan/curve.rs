//! The load over time, drawn with characters.

use protocol::Moment;

use crate::schedule::Schedule;

/// Columns of the drawing.
const WIDTH: usize = 60;
/// Lines of the drawing, each of eight steps.
const HEIGHT: usize = 5;
/// A column's top, in eighths of a line.
const EIGHTHS: [char; 9] = [' ', '▁', '▂', '▃', '▄', '▅', '▆', '▇', '█'];

/// How many sessions the schedule asks for at each moment, a line for each row, the time below.
pub(super) fn draw(schedule: &Schedule) -> Vec<String> {
    let levels = levels(schedule);
    let most = levels.iter().copied().max().unwrap_or(0).max(1);
    let label_width = most.to_string().len();
    let mut lines: Vec<String> = (0..HEIGHT)
        .map(|line| {
            let label = if line == 0 { most.to_string() } else { String::new() };
            // What lies below this line, in eighths.
            let below = (HEIGHT - 1 - line) * 8;
            let cells = levels.iter().map(|&level| {
                let eighths = (level * HEIGHT * 8).div_ceil(most);
                EIGHTHS[eighths.saturating_sub(below).min(8)]
            });
            let row: String = cells.collect();
            format!("{label:>label_width$} │{}", row.trim_end())
        })
        .collect();
    let end = format!("{:.0} s", schedule.phases.end().since_start().as_secs_f64());
    lines.push(format!("{:>label_width$} └{}", 0, "─".repeat(WIDTH)));
    lines.push(format!("{:label_width$}  0 s{end:>width$}", "", width = WIDTH - 3));
    lines
}

/// The most sessions at once within each column.
fn levels(schedule: &Schedule) -> Vec<usize> {
    let end = schedule.phases.end().as_nanos();
    let edge = |column: usize| Moment::from_nanos(end / WIDTH as u64 * column as u64);
    // Each call's arrival and leave, leaves first where both fall together.
    let mut turns: Vec<(Moment, i32)> =
        schedule.calls.iter().flat_map(|call| [(call.arrive, 1), (call.leave, -1)]).collect();
    turns.sort_unstable();
    let (mut turn, mut now) = (0, 0_i32);
    (0..WIDTH)
        .map(|column| {
            let mut most = now;
            while turn < turns.len() && turns[turn].0 < edge(column + 1) {
                now += turns[turn].1;
                most = most.max(now);
                turn += 1;
            }
            usize::try_from(most).unwrap_or(0)
        })
        .collect()
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::scenario::Phase;
    use std::time::Duration;

    fn drawn(phases: &[(u32, u64, u64)]) -> String {
        let s = Duration::from_secs;
        let phases: Vec<Phase> = phases
            .iter()
            .map(|&(devices, ramp, hold)| Phase::plain("p", devices, s(ramp), s(hold)))
            .collect();
        draw(&Schedule::new(&phases, &[], 1)).join("\n")
    }

    #[test]
    fn a_ramp_rises_a_burst_jumps_and_silence_is_empty() {
        insta::assert_snapshot!(drawn(&[(20, 20, 10), (200, 0, 15), (0, 5, 10)]));
    }

    #[test]
    fn one_device_is_seen_beside_many() {
        insta::assert_snapshot!(drawn(&[(1, 0, 30), (1000, 0, 30)]));
    }
}
