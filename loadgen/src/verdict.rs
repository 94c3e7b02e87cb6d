//! Thresholds against measurements. What has no samples fails: a test that did no work must not
//! pass.

use measure::Metric;
use measure::record::{Measurements, ThresholdRecord, Verdict};
use measure::validity::IntegritySample;

use protocol::Moment;

use crate::baseline::Baseline;
use crate::collect::millis;
use crate::live::Course;
use crate::scenario::{Comparison, Limit, Reference, Scenario, Scope, Talk, Threshold, Window};
use crate::schedule::Schedule;

/// Everything that thresholds look at.
pub struct Measured<'a> {
    /// The whole run.
    pub overall: &'a Measurements,
    /// Each phase, with its name.
    pub phases: Vec<(&'a str, Measurements)>,
    /// The time after an event, for each threshold that is about one.
    pub windows: Vec<(Window, Measurements)>,
    /// The run to compare with.
    pub baseline: Option<&'a Baseline>,
}

impl<'a> Measured<'a> {
    /// Nothing but a whole run.
    pub fn whole(overall: &'a Measurements) -> Self {
        Self { overall, phases: Vec::new(), windows: Vec::new(), baseline: None }
    }

    /// What the thresholds of `scenario` look at, put together from the segments of its schedule.
    pub fn new(
        scenario: &'a Scenario,
        schedule: &Schedule,
        overall: &'a Measurements,
        segments: &[Measurements],
        baseline: Option<&'a Baseline>,
    ) -> Self {
        let named = scenario.phases.iter().enumerate();
        let phases = named.map(|(index, phase)| (&*phase.name, schedule.phase(index, segments)));
        let windows = scenario.thresholds.iter().filter_map(|threshold| {
            let Scope::Within(window) = &threshold.scope else { return None };
            let start = Moment::START + window.start;
            Some((window.clone(), schedule.merged(start, start + window.span, segments)))
        });
        Self { overall, phases: phases.collect(), windows: windows.collect(), baseline }
    }

    /// The part of the run that `scope` means.
    fn part(&self, scope: &Scope) -> Option<&Measurements> {
        match scope {
            Scope::Run => Some(self.overall),
            Scope::Phase(name) => {
                self.phases.iter().find(|(phase, _)| phase == name).map(|(_, measured)| measured)
            }
            Scope::Within(window) => {
                self.windows.iter().find(|(one, _)| one == window).map(|(_, measured)| measured)
            }
        }
    }
}

/// Share of the planned frames that must be answered where the scenario has no limit on loss. A
/// 99th percentile of the answers is none of the plan when more than one in a hundred is missing.
const ANSWERED_SHARE: f64 = 0.99;

/// What the devices of a run had to get from their gateway.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Due {
    /// Answers to frames: `None` when no device is full-duplex, else how many were planned.
    pub answers: Option<u64>,
    /// Speech: some devices take turns.
    pub speech: bool,
}

impl Due {
    /// What was due in `scenario`, which planned so many frames that each have their answer.
    pub fn of(scenario: &Scenario, planned_with_answer: u64) -> Self {
        let talks =
            |wanted: fn(&Talk) -> bool| scenario.groups().any(|(group, _)| wanted(&group.talk));
        let answers = talks(|talk| matches!(talk, Talk::FullDuplex)).then_some(planned_with_answer);
        Self { answers, speech: talks(|talk| matches!(talk, Talk::HalfDuplex(_))) }
    }
}

/// What every run must hold, unless the scenario has its own limit on the same metric: sessions
/// are held, the planned work is answered, and the answers are audio.
///
/// A scenario with a limit on lost frames or effective loss has said how much may be missing; some
/// of it must be answered all the same.
pub fn implied(
    reference_gateway: bool,
    own: &[Threshold],
    overall: &Measurements,
    due: &Due,
) -> Vec<Threshold> {
    let count =
        |metric, comparison, limit, text| Threshold::plain(metric, None, comparison, limit, text);
    let none = |metric| count(metric, Comparison::Equal, 0.0, "= 0");
    let on_loss = |own: &Threshold| {
        own.scope == Scope::Run
            && !own.warn
            && matches!(own.metric, Metric::FramesLost | Metric::EffectiveLoss)
    };
    let answered = |planned| {
        if planned == 0 || own.iter().any(on_loss) {
            return count(Metric::FramesReceived, Comparison::Above, 0.0, "> 0");
        }
        let least = planned as f64 * ANSWERED_SHARE;
        count(Metric::FramesReceived, Comparison::AtLeast, least, ">= 99% of planned")
    };
    let mut implied = vec![none(Metric::SessionsFailed), none(Metric::SessionsLost)];
    implied.extend(due.answers.map(answered));
    if due.speech {
        implied.push(none(Metric::TurnsUnanswered));
    }
    // Where nothing came back there is nothing to judge, and the line above has failed.
    let judged = |metric: &Metric| {
        basis(*metric).iter().any(|&metric| overall.counted(metric).is_some_and(|seen| seen > 0))
    };
    let audio = [Metric::Undecipherable, Metric::WrongDuration, Metric::Silent];
    implied.extend(audio.into_iter().filter(judged).map(none));
    if reference_gateway {
        implied.push(none(Metric::GatewayExits));
    }
    implied
}

/// Judges the scenario's thresholds, which took `courses`, and the implied ones.
pub fn evaluate(
    thresholds: &[Threshold],
    courses: &[Course],
    implied: &[Threshold],
    measured: &Measured<'_>,
) -> (Verdict, Vec<ThresholdRecord>) {
    let unknown = Course::default();
    let own = thresholds.iter().enumerate().map(|(index, threshold)| {
        judge(threshold, false, courses.get(index).unwrap_or(&unknown), measured)
    });
    let overridden = |implied: &&Threshold| {
        let same = |own: &Threshold| own.metric == implied.metric && own.scope == Scope::Run;
        !thresholds.iter().any(|own| same(own) && !own.warn)
    };
    let implied = implied
        .iter()
        .filter(overridden)
        .map(|threshold| judge(threshold, true, &unknown, measured));
    let records: Vec<_> = own.chain(implied).collect();
    let all_hold = records.iter().all(|record| record.ok || record.warn);
    (if all_hold { Verdict::Pass } else { Verdict::Fail }, records)
}

/// Thresholds on the response latency that fail, and would hold for the service latency: the
/// generator's own lag decides them.
pub fn decided_by_send_lag(thresholds: &[Threshold], measured: &Measured<'_>) -> Vec<String> {
    let decided = |threshold: &&Threshold| {
        let from_send = Threshold { metric: Metric::ServiceLatency, ..(*threshold).clone() };
        let breaks = |one: &Threshold| Some(!holds(one, observe(one, measured)?.0, measured));
        threshold.metric == Metric::ResponseLatency
            && threshold.over.is_none()
            && breaks(threshold) == Some(true)
            && breaks(&from_send) == Some(false)
    };
    thresholds.iter().filter(decided).map(ToString::to_string).collect()
}

/// Thresholds against faults of audio that are looked for in a sample, and that held.
pub fn integrity_samples(
    thresholds: &[Threshold],
    measured: &Measured<'_>,
) -> Vec<IntegritySample> {
    let looked_for = |threshold: &&Threshold| is_looked_for_in_a_sample(threshold);
    let held = |threshold: &Threshold| {
        let (seen, samples) = observe(threshold, measured)?;
        let sample = IntegritySample { threshold: threshold.to_string(), samples };
        holds(threshold, seen, measured).then_some(sample)
    };
    thresholds.iter().filter(looked_for).filter_map(held).collect()
}

/// Whether it is against a fault of audio that is looked for in some answers only.
pub fn is_looked_for_in_a_sample(threshold: &Threshold) -> bool {
    matches!(
        threshold.metric,
        Metric::DecodeFailed | Metric::ForeignAudio | Metric::Unrecognised | Metric::GoldenMismatch
    ) && matches!(threshold.comparison, Comparison::Below | Comparison::AtMost | Comparison::Equal)
}

fn judge(
    threshold: &Threshold,
    implied: bool,
    course: &Course,
    measured: &Measured<'_>,
) -> ThresholdRecord {
    let (observed, worst) = match threshold.over {
        None => (observe(threshold, measured), course.worst),
        // A window in which nothing was measured says nothing about the others.
        Some(_) if course.empty_window.is_some() => (None, None),
        Some(_) => {
            let window = course.worst_window;
            (
                window.map(|(worst, samples)| (worst.observed, samples)),
                window.map(|(worst, _)| worst),
            )
        }
    };
    let held = observed.is_some_and(|(seen, _)| holds(threshold, seen, measured));
    let (phase, within) = match &threshold.scope {
        Scope::Run => (None, None),
        Scope::Phase(name) => (Some(name.clone()), None),
        Scope::Within(window) => (None, Some(window.to_string())),
    };
    ThresholdRecord {
        metric: threshold.subject(),
        phase,
        limit: threshold.text.clone(),
        bound: limit(threshold, measured),
        observed: observed.map(|(seen, _)| seen),
        unit: threshold.metric.quantity().unit().to_owned(),
        samples: observed.map_or(0, |(_, samples)| samples),
        ok: held && !course.aborted,
        implied,
        within,
        over_ms: threshold.over.map(millis),
        worst,
        warn: threshold.warn,
        aborted: course.aborted,
        line: threshold.line,
    }
}

fn holds(threshold: &Threshold, seen: f64, measured: &Measured<'_>) -> bool {
    limit(threshold, measured).is_some_and(|limit| threshold.comparison.holds(seen, limit))
}

/// What the number is compared with; `None` when what it is a multiple of has no samples.
fn limit(threshold: &Threshold, measured: &Measured<'_>) -> Option<f64> {
    match &threshold.limit {
        Limit::Number(number) => Some(*number),
        Limit::Times { factor, of: Reference::Phase(name) } => {
            let there = Threshold { scope: Scope::Phase(name.clone()), ..threshold.clone() };
            observe(&there, measured).map(|(seen, _)| factor * seen)
        }
        Limit::Times { factor, of: Reference::Baseline } => {
            measured.baseline?.value(threshold).map(|value| factor * value)
        }
    }
}

/// The number and the samples behind it; `None` without samples.
pub(crate) fn observe(threshold: &Threshold, measured: &Measured<'_>) -> Option<(f64, u64)> {
    let scope = measured.part(&threshold.scope)?;
    if threshold.metric.is_per_device() {
        let devices = scope.devices(threshold.metric)?;
        let seen = match threshold.statistic {
            Some(statistic) => devices.statistic(statistic)?,
            None => devices.pooled()?,
        };
        return Some((seen, devices.count()));
    }
    if let Some(statistic) = threshold.statistic {
        let samples = scope.sampled(threshold.metric)?;
        return Some((samples.statistic(statistic)?, samples.count()));
    }
    let seen = scope.counted(threshold.metric)?;
    let basis = match basis(threshold.metric) {
        [] => 1,
        metrics => metrics.iter().filter_map(|&metric| scope.counted(metric)).sum(),
    };
    // What was seen was seen, whatever it was to be out of.
    let samples = basis.max(seen);
    (samples > 0).then_some((seen as f64, samples))
}

/// What a count is out of, added up: without any of that, zero means nothing.
fn basis(metric: Metric) -> &'static [Metric] {
    match metric {
        Metric::SessionsOpened | Metric::SessionsFailed => &[Metric::SessionsPlanned],
        // A session can be lost in a phase in which nobody arrives; it has frames there.
        Metric::SessionsLost | Metric::FramesUnserved => {
            &[Metric::FramesPlanned, Metric::FramesUnserved, Metric::SessionsOpened]
        }
        Metric::FramesReceived | Metric::FramesLost => &[Metric::FramesAwaited],
        Metric::TurnsAnswered | Metric::TurnsUnanswered => &[Metric::Turns],
        Metric::SpeechLost => &[Metric::SpeechReceived],
        Metric::FramesReordered | Metric::FramesDuplicate => {
            &[Metric::FramesAwaited, Metric::SpeechReceived]
        }
        Metric::FramesAwaited
        | Metric::FramesUnmatched
        | Metric::ImpairedLost
        | Metric::NatRebinds
        | Metric::SendRefused
        | Metric::WorkerPanics
        | Metric::GatewayUndecipherable => &[Metric::FramesSent],
        Metric::FramesSent => &[Metric::FramesPlanned],
        Metric::DecodeFailed => &[Metric::Decoded],
        Metric::ForeignAudio | Metric::Unrecognised | Metric::Silent => {
            &[Metric::Recognised, Metric::ForeignAudio, Metric::Unrecognised, Metric::Silent]
        }
        Metric::GoldenMismatch => &[Metric::GoldenCompared],
        Metric::ReplayedNonce => &[Metric::SessionsOpened],
        Metric::Decoded
        | Metric::Undecipherable
        | Metric::WrongDuration
        | Metric::KeystreamReuse
        | Metric::WrongSession => &[Metric::FramesReceived, Metric::SpeechReceived],
        _ => &[],
    }
}

#[cfg(test)]
mod tests;
