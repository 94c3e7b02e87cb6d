//! What is known of each second only when all answers are in: frames that were lost, and stutters.

use std::time::Duration;

use measure::playout::Gaps;

use crate::media::delays::Delays;
use crate::media::listener::CallArrivals;
use crate::timeline::Row;

/// When the answers to one call came.
pub struct CallAnswers<'a> {
    call: &'a CallArrivals,
    delays: &'a Delays,
}

impl<'a> CallAnswers<'a> {
    /// `None` where they were not kept.
    pub fn of(call: &'a CallArrivals) -> Option<Self> {
        Some(Self { call, delays: call.delays.as_ref()? })
    }

    /// When each frame was planned, from the start of the run, and how late its answer came after
    /// that; `None` when there was no answer.
    pub fn frames(&self) -> impl Iterator<Item = (u64, Duration, Option<Duration>)> {
        let (length, first) = (self.call.period, self.call.first_due.since_start());
        (0..).zip(self.delays.iter(self.call.sent)).map(move |(frame, delay)| {
            (frame, first + length * u32::try_from(frame).unwrap_or(u32::MAX), delay)
        })
    }

    /// The audible gaps in what the firmware plays: the frame that ended each, when it came, and how
    /// long it was.
    pub fn gaps(&self) -> Vec<(u64, Duration, Duration)> {
        let arrived = self.frames().filter_map(|(frame, due, delay)| Some((frame, due + delay?)));
        let mut arrivals: Vec<(u64, Duration)> = arrived.collect();
        arrivals.sort_by_key(|(_, at)| *at);
        let mut gaps = Gaps::new(self.call.period);
        let ended = arrivals
            .into_iter()
            .filter_map(|(frame, at)| Some((frame, at, gaps.arrived(frame, at)?)));
        ended.collect()
    }

    /// Whether every frame that was sent is among them.
    fn is_whole(&self) -> bool {
        self.delays.iter(self.call.sent).count() as u64 == self.call.sent
    }
}

/// Adds to each second what was lost and what stuttered in it. Where not every answer was kept, or
/// none is due, the seconds stay without.
pub fn complete(rows: &mut [Row], calls: &[CallArrivals]) {
    let awaited: Vec<&CallArrivals> = calls.iter().filter(|call| call.is_answered).collect();
    let kept: Vec<CallAnswers<'_>> = awaited
        .iter()
        .filter_map(|call| CallAnswers::of(call))
        .filter(CallAnswers::is_whole)
        .collect();
    if kept.is_empty() || kept.len() < awaited.len() || rows.is_empty() {
        return;
    }
    let ends: Vec<Duration> = rows.iter().map(|row| row.at.since_start()).collect();
    // What comes after the last second belongs to it.
    let second = |at: Duration| ends.partition_point(|end| *end < at).min(ends.len() - 1);
    let mut lost = vec![0; rows.len()];
    let mut stutters = vec![0; rows.len()];
    for answers in &kept {
        for (_, due, delay) in answers.frames() {
            lost[second(due)] += u64::from(delay.is_none());
        }
        for (_, at, _) in answers.gaps() {
            stutters[second(at)] += 1;
        }
    }
    for (row, (lost, stutters)) in rows.iter_mut().zip(lost.into_iter().zip(stutters)) {
        (row.lost, row.stutters) = (Some(lost), Some(stutters));
    }
}
