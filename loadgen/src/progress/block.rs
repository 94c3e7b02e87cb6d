//! The lines on a terminal: drawn over each other, one time after another.

use std::collections::VecDeque;

use measure::progress_record::{ProgressRecord, ThresholdProgress, ThresholdState};
use reports::terminal::sparkline;
use terminal_size::{Width, terminal_size_of};

/// Seconds of latency that are shown.
const REMEMBERED: usize = 40;
/// Thresholds that get a line.
const SHOWN: usize = 4;
/// Columns of a terminal that does not tell.
const USUAL_WIDTH: usize = 80;
/// Cells of the bar.
const BAR: usize = 30;

/// What was drawn last, and what is remembered of the seconds before.
pub(super) struct Block {
    drawn: usize,
    p99_ms: VecDeque<Option<f64>>,
    colour: bool,
}

impl Block {
    pub(super) fn new(colour: bool) -> Self {
        Self { drawn: 0, p99_ms: VecDeque::with_capacity(REMEMBERED + 1), colour }
    }

    /// What to write so that the state stands where the one before stood.
    pub(super) fn next(&mut self, progress: &ProgressRecord) -> String {
        self.p99_ms.push_back(progress.latency_ms.map(|[_, _, p99, _]| p99));
        if self.p99_ms.len() > REMEMBERED {
            self.p99_ms.pop_front();
        }
        let width = terminal_size_of(std::io::stderr())
            .map_or(USUAL_WIDTH, |(Width(width), _)| width.into());
        let lines = lines(progress, self.p99_ms.make_contiguous(), width, self.colour);
        let mut text = self.clear();
        self.drawn = lines.len();
        text.extend(lines.into_iter().flat_map(|line| [line, "\n".to_owned()]));
        text
    }

    /// What to write so that nothing of it is left.
    pub(super) fn clear(&mut self) -> String {
        match std::mem::take(&mut self.drawn) {
            0 => String::new(),
            // Up to its first line, and everything below goes.
            lines => format!("\x1b[{lines}A\r\x1b[J"),
        }
    }
}

/// The lines of a state, none wider than the terminal.
fn lines(
    progress: &ProgressRecord,
    p99_ms: &[Option<f64>],
    width: usize,
    colour: bool,
) -> Vec<String> {
    let mut lines = vec![progress.title.clone(), time(progress), load(progress)];
    lines.push(latency(progress, p99_ms));
    lines.extend(workers(progress));
    let mut lines: Vec<String> = lines.into_iter().map(|line| cut(&line, width)).collect();
    lines.extend(thresholds(&progress.thresholds, width, colour));
    lines
}

fn time(progress: &ProgressRecord) -> String {
    let (elapsed, length) = (progress.elapsed_ms / 1e3, progress.length_ms / 1e3);
    let share = if length > 0.0 { (elapsed / length).clamp(0.0, 1.0) } else { 1.0 };
    #[expect(
        clippy::cast_possible_truncation,
        clippy::cast_sign_loss,
        reason = "a share of a few cells"
    )]
    let full = (share * BAR as f64).round() as usize;
    let bar: String = (0..BAR).map(|cell| if cell < full { '█' } else { '░' }).collect();
    let left = (length - elapsed).max(0.0);
    let rest = if left > 0.0 { format!("{left:.0} s left") } else { "last answers".to_owned() };
    format!("  {:<10} {bar}  {elapsed:.0} of {length:.0} s, {rest}", progress.phase)
}

fn load(progress: &ProgressRecord) -> String {
    format!(
        "  devices    {} of {}   frames {}/s sent, {}/s answered, {} unanswered",
        progress.devices,
        progress.devices_most,
        progress.frames_sent,
        progress.frames_answered,
        progress.unanswered
    )
}

fn latency(progress: &ProgressRecord, p99_ms: &[Option<f64>]) -> String {
    let Some(quantiles) = progress.latency_ms else {
        return "  latency    no answer in the last second".to_owned();
    };
    let [p50, p90, p99, max] = quantiles.map(|millis| format!("{millis:.2}"));
    let course = sparkline(p99_ms).map(|line| format!("   p99 {line}")).unwrap_or_default();
    format!("  latency    p50 {p50}  p90 {p90}  p99 {p99}  max {max} ms{course}")
}

fn workers(progress: &ProgressRecord) -> Option<String> {
    let workers = progress.workers?;
    let busy = progress.workers_busy.map(|busy| format!(", {busy:.1} busy")).unwrap_or_default();
    let queue = progress.queue_delay_p99_ms;
    let queue = queue.map(|millis| format!(", queue p99 {millis:.2} ms")).unwrap_or_default();
    Some(format!("  workers    {workers}{busy}{queue}"))
}

/// The failing ones first; how many more there are.
fn thresholds(all: &[ThresholdProgress], width: usize, colour: bool) -> Vec<String> {
    let mut all: Vec<&ThresholdProgress> = all.iter().collect();
    all.sort_by_key(|one| one.state as u8);
    let line = |one: &&ThresholdProgress| {
        let (mark, code) = match one.state {
            ThresholdState::Failing => ("FAIL", "1;31"),
            ThresholdState::NotYet => ("not yet", "2"),
            ThresholdState::NoSamples => ("no data", "2"),
            ThresholdState::Ok => ("ok", "32"),
        };
        let observed = one.observed.map(|seen| format!("  {seen:.2} {}", one.unit));
        let text = format!("{}{}", one.threshold, observed.unwrap_or_default());
        let mark = format!("{mark:<10}");
        let text = cut(&text, width.saturating_sub(3 + mark.len()));
        let mark = if colour { format!("\x1b[{code}m{mark}\x1b[0m") } else { mark };
        format!("  {mark} {text}").trim_end().to_owned()
    };
    let mut lines: Vec<String> = all.iter().take(SHOWN).map(line).collect();
    if all.len() > SHOWN {
        let rest = &all[SHOWN..];
        let held = rest.iter().filter(|one| one.state == ThresholdState::Ok).count();
        lines.push(cut(&format!("  and {} more, {held} of them ok", rest.len()), width));
    }
    lines
}

/// At most so many columns, on one line: anything else would break the block apart.
fn cut(text: &str, width: usize) -> String {
    let shown = |c: char| if c.is_control() { ' ' } else { c };
    let mut at = 0;
    let columns: Vec<(usize, char)> = text
        .chars()
        .map(|c| {
            at += columns(c);
            (at, shown(c))
        })
        .collect();
    if at <= width {
        return columns.into_iter().map(|(_, c)| c).collect();
    }
    let fits = columns.into_iter().take_while(|(end, _)| *end < width);
    fits.map(|(_, c)| c).chain(['…']).collect()
}

/// Columns that terminals give a character: two for those of East Asia and for emoji (Unicode's
/// Annex 11, by its large blocks).
fn columns(c: char) -> usize {
    let wide = matches!(
        u32::from(c),
        0x1100..=0x115F
            | 0x2E80..=0xA4CF
            | 0xAC00..=0xD7A3
            | 0xF900..=0xFAFF
            | 0xFE30..=0xFE6F
            | 0xFF00..=0xFF60
            | 0xFFE0..=0xFFE6
            | 0x1F300..=0x1FAFF
            | 0x20000..=0x3FFFD
    );
    if wide { 2 } else { 1 }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::progress::tests::progress;

    fn drawn(progress: &ProgressRecord, width: usize) -> String {
        lines(progress, &[Some(1.0), Some(4.0), Some(1.2)], width, false).join("\n")
    }

    #[test]
    fn a_block_shows_how_far_how_well_and_what_fails() {
        insta::assert_snapshot!(drawn(&progress(), 80));
    }

    #[test]
    fn what_is_not_known_is_not_shown_and_nothing_is_wider_than_the_terminal() {
        let mut bare =
            ProgressRecord { latency_ms: None, workers: None, elapsed_ms: 14_000.0, ..progress() };
        let one = bare.thresholds[1].clone();
        bare.thresholds.extend(std::iter::repeat_n(one, 7));
        insta::assert_snapshot!(drawn(&bare, 40));
        for width in 1..100 {
            assert!(
                drawn(&progress(), width).lines().all(|line| line.chars().count() <= width.max(15)),
                "{width}"
            );
        }
    }

    #[test]
    fn a_title_of_any_kind_is_one_line_that_fits() {
        assert_eq!(cut("a\nb\x1b[2Jc", 20), "a b [2Jc");
        assert_eq!(cut("語音閘道", 8), "語音閘道");
        assert_eq!(cut("語音閘道", 7), "語音閘…");
        assert_eq!(cut("語音閘道", 6), "語音…");
        assert_eq!((cut("abcd", 4).as_str(), cut("abcde", 4).as_str()), ("abcd", "abc…"));
    }

    #[test]
    fn a_block_stands_where_the_one_before_stood() {
        let mut block = Block::new(false);
        let first = block.next(&progress());
        let lines = first.matches('\n').count();
        assert!(lines > 5 && !first.contains('\x1b'), "{first:?}");
        let second = block.next(&progress());
        assert!(second.starts_with(&format!("\x1b[{lines}A\r\x1b[J")), "{second:?}");
        assert!(block.clear().starts_with("\x1b["));
        assert_eq!(block.clear(), "", "once is enough");
        for _ in 0..100 {
            block.next(&progress());
        }
        assert_eq!(block.p99_ms.len(), REMEMBERED);
    }

    #[test]
    fn colour_is_only_added_where_it_is_wanted() {
        let coloured = lines(&progress(), &[], 80, true).join("\n");
        assert!(coloured.contains("\x1b[1;31mFAIL"), "{coloured}");
    }
}
