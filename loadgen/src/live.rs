//! Thresholds while the run goes on: the worst second, sliding windows, and limits that end a run.
//!
//! Each second brings what was measured in it, by when it was seen; the verdict at the end goes by
//! the planned instants of frames. A threshold keeps no more than its window of seconds and the
//! sum of what was seen so far.

use std::collections::VecDeque;
use std::time::Duration;

use measure::progress_record::{ThresholdProgress, ThresholdState};
use measure::record::{Measurements, WorstMoment};
use measure::{Distribution, Metric};
use protocol::Moment;

use crate::scenario::{Comparison, Limit, Reference, Scope, Threshold};
use crate::schedule::PhaseTimes;

/// All thresholds of a run.
#[derive(Debug)]
pub struct Live(Vec<Followed>);

/// What is known of one threshold at the end.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Course {
    /// The worst second within the scope; `None` when it is not known by the second.
    pub worst: Option<WorstMoment>,
    /// The worst window, and the samples in it.
    pub worst_window: Option<(WorstMoment, u64)>,
    /// The end of the first window in which there was nothing to judge.
    pub empty_window: Option<Moment>,
    /// The run was ended for it.
    pub aborted: bool,
}

/// Why a run is to end.
#[derive(Clone, Debug, PartialEq)]
pub struct Abort {
    /// The threshold, as it was written.
    pub threshold: String,
    /// What was seen, in the metric's shown unit.
    pub observed: f64,
    /// That unit.
    pub unit: &'static str,
}

#[derive(Debug)]
struct Followed {
    threshold: Threshold,
    start: Moment,
    end: Moment,
    /// What may end the run: a number that is known before the end.
    limit: Option<f64>,
    seconds: VecDeque<Second>,
    sum: Seen,
    course: Course,
}

#[derive(Debug)]
struct Second {
    from: Moment,
    seen: Seen,
}

/// What was seen of one metric.
#[derive(Clone, Debug, Default)]
struct Seen {
    samples: Option<Distribution>,
    count: Option<u64>,
}

impl Live {
    /// Before the first second. `limits` has the number that each threshold compares with, where
    /// it is known.
    pub fn new(
        thresholds: &[Threshold],
        names: &[&str],
        phases: &PhaseTimes,
        limits: impl Fn(&Threshold) -> Option<f64>,
    ) -> Self {
        let followed = thresholds.iter().map(|threshold| {
            let (start, end) = bounds(&threshold.scope, names, phases);
            Followed {
                start,
                end,
                limit: limits(threshold),
                threshold: threshold.clone(),
                seconds: VecDeque::new(),
                sum: Seen::default(),
                course: Course::default(),
            }
        });
        Self(followed.collect())
    }

    /// Takes what was measured from `from` to `to`, and says whether the run is to end.
    pub fn second(&mut self, from: Moment, to: Moment, measured: &Measurements) -> Option<Abort> {
        let aborts = self.0.iter_mut().map(|followed| followed.second(from, to, measured));
        // Every threshold sees every second; the first that ends the run is named.
        aborts.fold(None, Option::or)
    }

    /// Whether each threshold that is known second by second holds so far, in their order; what
    /// compares with another part of the run is left out.
    pub fn so_far(&self) -> Vec<ThresholdProgress> {
        let known = |one: &&Followed| one.threshold.metric.is_known_each_second();
        self.0.iter().filter(known).filter_map(Followed::so_far).collect()
    }

    /// The course of each threshold, in their order.
    pub fn finish(self) -> Vec<Course> {
        self.0.into_iter().map(|followed| followed.course).collect()
    }
}

/// The number that `threshold` compares with, where it is known before the end.
pub fn known_limit(threshold: &Threshold, baseline: Option<f64>) -> Option<f64> {
    match &threshold.limit {
        Limit::Number(number) => Some(*number),
        Limit::Times { factor, of: Reference::Baseline } => baseline.map(|value| factor * value),
        Limit::Times { of: Reference::Phase(_), .. } => None,
    }
}

fn bounds(scope: &Scope, names: &[&str], phases: &PhaseTimes) -> (Moment, Moment) {
    match scope {
        Scope::Run => (Moment::START, phases.end()),
        Scope::Phase(name) => {
            let index = names.iter().position(|phase| phase == name);
            phases.bounds(index.expect("a threshold names a phase of its scenario"))
        }
        Scope::Within(window) => {
            let start = Moment::START + window.start;
            (start, start + window.span)
        }
    }
}

impl Followed {
    fn so_far(&self) -> Option<ThresholdProgress> {
        let (threshold, limit) = (&self.threshold, self.limit?);
        let observed = match threshold.over {
            Some(_) => self.course.worst_window.map(|(worst, _)| worst.observed),
            None => self.sum.number(threshold).map(|(observed, _)| observed),
        };
        let grows = threshold.statistic.is_none() && threshold.comparison.is_lower_bound();
        let state = match observed {
            None => ThresholdState::NoSamples,
            Some(observed) if threshold.comparison.holds(observed, limit) => ThresholdState::Ok,
            Some(_) if grows => ThresholdState::NotYet,
            Some(_) => ThresholdState::Failing,
        };
        let unit = threshold.metric.quantity().unit().to_owned();
        Some(ThresholdProgress { threshold: threshold.to_string(), state, observed, unit })
    }

    fn second(&mut self, from: Moment, to: Moment, measured: &Measurements) -> Option<Abort> {
        let middle = from + to.since(from) / 2;
        if !self.threshold.metric.is_known_each_second()
            || middle < self.start
            || middle >= self.end
        {
            return None;
        }
        let seen = Seen::of(self.threshold.metric, measured);
        if let Some((observed, _)) = seen.number(&self.threshold) {
            let moment = WorstMoment { at_ms: millis(to), observed };
            let worst = &mut self.course.worst;
            if worst
                .is_none_or(|worst| self.threshold.comparison.is_worse(observed, worst.observed))
            {
                *worst = Some(moment);
            }
        }
        let judged = if let Some(over) = self.threshold.over {
            self.window(over, from, to, seen)
        } else {
            self.sum.add(&seen);
            self.sum.number(&self.threshold).map(|(observed, _)| observed)
        };
        let (observed, limit) = (judged?, self.limit?);
        let due = self.start + self.threshold.abort_after?;
        if to < due || self.threshold.comparison.holds(observed, limit) {
            return None;
        }
        self.course.aborted = true;
        let unit = self.threshold.metric.quantity().unit();
        Some(Abort { threshold: self.threshold.to_string(), observed, unit })
    }

    /// The number of the window that ends now, once one is full.
    fn window(&mut self, over: Duration, from: Moment, to: Moment, seen: Seen) -> Option<f64> {
        /// The run's second look is a little late now and then.
        const SLACK: Duration = Duration::from_millis(100);
        self.seconds.push_back(Second { from, seen });
        while self.seconds.get(1).is_some_and(|second| to.since(second.from) + SLACK >= over) {
            self.seconds.pop_front();
        }
        if to.since(self.seconds.front()?.from) + SLACK < over {
            return None;
        }
        let mut window = Seen::default();
        for second in &self.seconds {
            window.add(&second.seen);
        }
        let Some((observed, samples)) = window.number(&self.threshold) else {
            self.course.empty_window.get_or_insert(to);
            return None;
        };
        let worst = &mut self.course.worst_window;
        let comparison = self.threshold.comparison;
        if worst.is_none_or(|(worst, _)| comparison.is_worse(observed, worst.observed)) {
            *worst = Some((WorstMoment { at_ms: millis(to), observed }, samples));
        }
        Some(observed)
    }
}

impl Comparison {
    /// Whether `one` is nearer to breaking a limit than `other`.
    fn is_worse(self, one: f64, other: f64) -> bool {
        if self.is_lower_bound() { one < other } else { one > other }
    }
}

impl Seen {
    fn of(metric: Metric, measured: &Measurements) -> Self {
        Self { samples: measured.sampled(metric).cloned(), count: measured.counted(metric) }
    }

    fn add(&mut self, other: &Self) {
        match (&mut self.samples, &other.samples) {
            (Some(sum), Some(more)) => sum.merge(more),
            (sum @ None, Some(more)) => *sum = Some(more.clone()),
            (_, None) => {}
        }
        if let Some(more) = other.count {
            *self.count.get_or_insert(0) += more;
        }
    }

    /// The number that `threshold` is about, and the samples behind it.
    fn number(&self, threshold: &Threshold) -> Option<(f64, u64)> {
        match (threshold.statistic, &self.samples) {
            (Some(statistic), Some(samples)) => {
                Some((samples.statistic(statistic)?, samples.count()))
            }
            (Some(_), None) => None,
            (None, _) => self.count.map(|count| (count as f64, count)),
        }
    }
}

fn millis(at: Moment) -> f64 {
    crate::collect::millis(at.since_start())
}

#[cfg(test)]
mod tests;
