//! Puts together what pacer, listener, checker and devices know into the measurements of a run.

use std::collections::HashMap;
use std::time::Duration;

use measure::Metric;
use measure::record::{FailureRecord, Measurements};
use protocol::{FrameDuration, Moment};

use crate::device::CallOutcome;
use crate::experience;
use crate::groups::Membership;
use crate::line::CallFailure;
use crate::media::call::Spoken;
use crate::media::checker::{CheckerReport, Finding};
use crate::media::listener::ListenerReport;
use crate::media::pacer::PacerReport;
use crate::media::ways::Impaired;
use crate::scenario::{Group, Talk};
use crate::schedule::{DeviceNumber, PhaseTimes, PlannedCall};

/// The measurements of a run, whole and by segment.
#[derive(Debug)]
pub struct Collected {
    /// The whole run.
    pub overall: Measurements,
    /// Each segment of it.
    pub segments: Vec<Measurements>,
    /// What went wrong with sessions, most frequent first.
    pub failures: Vec<FailureRecord>,
    /// Frames planned that each have their answer: those of full-duplex devices.
    pub planned_with_answer: u64,
}

/// What the parts of a run report.
pub struct Parts<'a> {
    /// The segments on the run's time.
    pub segments: &'a PhaseTimes,
    /// The groups of the devices.
    pub groups: &'a [Group],
    /// Who belongs to which.
    pub members: &'a Membership,
    /// When the load ended: the end of the last phase, or an interruption before it.
    pub load_end: Moment,
    /// What became of each planned call.
    pub calls: &'a [(PlannedCall, CallOutcome)],
    /// What was sent.
    pub sent: &'a PacerReport,
    /// What was received.
    pub received: &'a ListenerReport,
    /// What was decoded.
    pub checked: &'a CheckerReport,
    /// The turns of half-duplex devices, by segment.
    pub turns: &'a [Measurements],
    /// Grants whose key or nonce had been handed out before.
    pub replayed_nonces: u64,
}

/// Puts the parts together; resource samples are added by the caller.
pub fn collect(parts: &Parts<'_>) -> Collected {
    let mut segments = vec![Measurements::new(); parts.segments.count()];
    for (index, segment) in segments.iter_mut().enumerate() {
        let (sent, received) = (&parts.sent.phases[index], &parts.received.phases[index]);
        segment.count(Metric::FramesSent, sent.sent);
        segment.count(Metric::FramesAwaited, sent.awaited);
        segment.count(Metric::SendRefused, sent.refused);
        segment.samples(Metric::SendLag, &sent.send_lag);
        segment.samples(Metric::ResponseLatency, &received.response_latency);
        segment.samples(Metric::ServiceLatency, &received.service_latency);
        segment.samples(Metric::ReceiveLag, &received.receive_lag);
        for &(metric, count) in &received.counts {
            segment.count(metric, count);
        }
        let answered = segment.counted(Metric::FramesReceived).unwrap_or(0);
        segment.count(Metric::FramesLost, sent.awaited.saturating_sub(answered));
        segment.merge(&parts.turns[index]);
        for metric in [
            Metric::FramesPlanned,
            Metric::FramesUnserved,
            Metric::SessionsPlanned,
            Metric::SessionsOpened,
            Metric::SessionsFailed,
            Metric::SessionsLost,
        ] {
            segment.count(metric, 0);
        }
    }
    if parts.groups.iter().any(|group| matches!(group.talk, Talk::HalfDuplex(_))) {
        for metric in [Metric::Turns, Metric::TurnsAnswered, Metric::TurnsUnanswered] {
            for segment in &mut segments {
                segment.count(metric, 0);
            }
        }
    }
    let mut failures = Failures::default();
    let mut planned_with_answer = 0;
    for (planned, outcome) in parts.calls {
        planned_with_answer += add_call(parts, planned, outcome, &mut segments, &mut failures);
    }
    let mut overall = Measurements::new();
    for segment in &segments {
        overall.merge(segment);
    }
    experience::add(parts.received, &mut overall);
    overall.count(Metric::SendRefused, parts.received.refused);
    overall.count(Metric::Decoded, parts.checked.decoded);
    overall.count(Metric::DecodeFailed, parts.checked.failed);
    for (metric, count) in [
        (Metric::Recognised, parts.checked.recognised),
        (Metric::ForeignAudio, parts.checked.foreign),
        (Metric::Unrecognised, parts.checked.unrecognised),
        (Metric::Silent, parts.checked.silent),
        (Metric::GoldenCompared, parts.checked.golden_compared),
        (Metric::GoldenMismatch, parts.checked.golden_mismatch),
        (Metric::KeystreamReuse, parts.received.keystream_reuse),
        (Metric::WrongSession, parts.received.wrong_session),
        (Metric::ReplayedNonce, parts.replayed_nonces),
        (Metric::SpeechLost, speech_lost(parts.received)),
    ] {
        overall.count(metric, count);
    }
    for Impaired { lost, rebinds } in parts.received.calls.iter().filter_map(|call| call.impaired) {
        overall.count(Metric::ImpairedLost, lost);
        overall.count(Metric::NatRebinds, rebinds);
    }
    if overall.counted(Metric::ImpairedLost).is_some() {
        overall.samples(Metric::ImpairmentLag, &parts.sent.impairment_lag);
    }
    for call in &parts.received.calls {
        if let Some(at) = call.wrong_key_since {
            let what = "answers are sealed with another key than the granted one";
            failures.add(what.to_owned(), call.device, at);
        }
    }
    for Finding { device, at, what } in &parts.checked.findings {
        failures.add(what.clone(), *device, *at);
    }
    Collected { overall, segments, failures: failures.sorted(), planned_with_answer }
}

/// Packets of the gateway's speech that did not come.
fn speech_lost(received: &ListenerReport) -> u64 {
    let spoken_to = received.calls.iter().filter(|call| !call.is_answered);
    spoken_to.map(|call| call.experienced.loss.lost()).sum()
}

/// Returns how many frames were planned that each have their answer.
fn add_call(
    parts: &Parts<'_>,
    planned: &PlannedCall,
    outcome: &CallOutcome,
    segments: &mut [Measurements],
    failures: &mut Failures,
) -> u64 {
    if planned.arrive >= parts.load_end {
        // The run ended before its turn came.
        return 0;
    }
    let group = &parts.groups[parts.members.of(planned.device).group];
    let frame = group.encoder.frame;
    // What a device that takes turns would have said without its session depends on its gateway.
    let endless = group.talk == Talk::FullDuplex;
    let due = |first, until| Due { first, until, frame };
    let arrival = &mut segments[parts.segments.phase_at(planned.arrive)];
    arrival.count(Metric::SessionsPlanned, 1);
    for (metric, time) in [
        (Metric::ArrivalLag, outcome.arrival_lag),
        (Metric::ConnectTime, outcome.connect_time),
        (Metric::HelloTime, outcome.hello_time),
    ] {
        if let Some(time) = time {
            arrival.sample(metric, nanos(time));
        }
    }
    let first_ideal = outcome.ideal_first_due.unwrap_or(planned.arrive);
    let planned_end = planned.leave.min(parts.load_end);
    let Some(media) = outcome.account() else {
        if outcome.cut_short {
            return 0;
        }
        arrival.count(Metric::SessionsFailed, 1);
        let unfinished = (CallFailure::Unfinished, parts.load_end);
        let (failure, at) = outcome.failed.as_ref().unwrap_or(&unfinished);
        failures.add(failure.to_string(), planned.device, *at);
        if endless {
            due(first_ideal, planned_end).count(parts, Metric::FramesUnserved, segments);
        }
        return 0;
    };
    if let Some(at) = media.first_answer {
        arrival.sample(Metric::FirstAudio, nanos(at.since(planned.arrive)));
    }
    arrival.count(Metric::SessionsOpened, 1);
    let mut frames = 0;
    for &Spoken { first_due, until } in &media.spoken {
        frames += due(first_due, until).count(parts, Metric::FramesPlanned, segments);
    }
    if let Some((end, at)) = outcome.lost {
        segments[parts.segments.phase_at(at)].count(Metric::SessionsLost, 1);
        failures.add(format!("session lost: {end}"), planned.device, at);
    }
    if !endless {
        return 0;
    }
    for &Spoken { first_due, until } in &media.spoken {
        let late = due(first_ideal, first_due.min(planned_end));
        late.count(parts, Metric::FramesUnserved, segments);
        if outcome.lost.is_some() {
            let rest = due(next_due(first_due, frame, until), planned_end);
            rest.count(parts, Metric::FramesUnserved, segments);
        }
    }
    frames
}

fn nanos(span: Duration) -> u64 {
    u64::try_from(span.as_nanos()).unwrap_or(u64::MAX)
}

/// Frames due from `first` on, one each frame duration, before `until`.
struct Due {
    first: Moment,
    until: Moment,
    frame: FrameDuration,
}

impl Due {
    /// Adds the frames due within each segment to `metric` of that segment; returns how many.
    fn count(&self, parts: &Parts<'_>, metric: Metric, segments: &mut [Measurements]) -> u64 {
        let mut all = 0;
        let last = parts.segments.count() - 1;
        for (index, segment) in segments.iter_mut().enumerate() {
            let (start, end) = parts.segments.bounds(index);
            // What is due after the end belongs to the last segment, as everywhere.
            let end = if index == last { self.until.max(end) } else { end };
            let before = |at: Moment| frames_before(self.first, self.frame, at.min(self.until));
            let frames = before(end) - before(start);
            segment.count(metric, frames);
            all += frames;
        }
        all
    }
}

/// How many of the frames due from `first` on are due before `at`.
fn frames_before(first: Moment, frame: FrameDuration, at: Moment) -> u64 {
    let period = u64::from(frame.as_millis()) * 1_000_000;
    at.as_nanos().saturating_sub(first.as_nanos()).div_ceil(period)
}

/// The first frame due at or after `at`.
fn next_due(first: Moment, frame: FrameDuration, at: Moment) -> Moment {
    let frames = u32::try_from(frames_before(first, frame, at)).unwrap_or(u32::MAX);
    first + frame.as_duration() * frames
}

/// By what happened: as many as there are texts, which only a gateway that words each refusal anew
/// makes as many as calls. Filled when the run is over.
#[derive(Default)]
struct Failures(HashMap<String, (u64, DeviceNumber, Moment)>);

impl Failures {
    fn add(&mut self, what: String, device: DeviceNumber, at: Moment) {
        let entry = self.0.entry(what).or_insert((0, device, at));
        entry.0 += 1;
        if at < entry.2 {
            (entry.1, entry.2) = (device, at);
        }
    }

    fn sorted(self) -> Vec<FailureRecord> {
        let mut records: Vec<_> = self
            .0
            .into_iter()
            .map(|(what, (count, first_device, at))| FailureRecord {
                what,
                count,
                first_device,
                first_at_ms: millis(at.since_start()),
            })
            .collect();
        records.sort_by(|a, b| b.count.cmp(&a.count).then_with(|| a.what.cmp(&b.what)));
        records
    }
}

/// Milliseconds as the run record has them.
pub(crate) fn millis(span: Duration) -> f64 {
    span.as_secs_f64() * 1e3
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::media::call::tests::call_to;
    use crate::scenario::{Ending, Phase};
    use measure::{Distribution, Quantity};
    use protocol::device_session::{AudioEnd, HelloFailure};
    use std::net::UdpSocket;
    use std::sync::Arc;

    fn at(millis: u64) -> Moment {
        Moment::from_millis(millis)
    }

    /// Two phases of 600 ms; every frame of the calls is sent, none is answered.
    fn collected(calls: &[(PlannedCall, CallOutcome)], load_end: u64) -> Collected {
        let phase = |name: &str| Phase::plain(name, 1, Duration::ZERO, Duration::from_millis(600));
        let phases = PhaseTimes::new(&[phase("a"), phase("b")]);
        let times = || Distribution::new(Quantity::Time);
        let sends = crate::media::pacer::PhaseSends {
            sent: 3,
            awaited: 3,
            refused: 0,
            failed: 0,
            send_lag: times(),
        };
        let sent = PacerReport {
            phases: vec![sends; 2],
            largest_lag: Duration::ZERO,
            impairment_lag: times(),
            priority: platform::Priority::Ordinary,
        };
        let arrivals = crate::media::listener::PhaseArrivals {
            response_latency: times(),
            service_latency: times(),
            receive_lag: times(),
            counts: vec![(Metric::FramesReceived, 1)],
        };
        let received = ListenerReport {
            phases: vec![arrivals; 2],
            calls: Vec::new(),
            kernel_drops: 0,
            clock_step: Duration::ZERO,
            ipdv: times(),
            pdv: times(),
            keystream_reuse: 0,
            keystream_uncertain: 0,
            wrong_session: 0,
            refused: 0,
        };
        collect(&Parts {
            segments: &phases,
            groups: &[Group::firmware()],
            members: &Membership::new(&[1.0], 5),
            load_end: at(load_end),
            calls,
            sent: &sent,
            received: &received,
            checked: &CheckerReport::default(),
            turns: &[Measurements::new(), Measurements::new()],
            replayed_nonces: 0,
        })
    }

    /// A call whose frames are due from `first` to `until`, on a grid that begins at `first`.
    fn open(first: u64, until: u64) -> CallOutcome {
        let peer = UdpSocket::bind("127.0.0.1:0").unwrap();
        let mut call = call_to(&peer, 4, at(first));
        call.leave = at(until);
        CallOutcome {
            ideal_first_due: Some(at(first)),
            media: Some(Arc::new(call)),
            ..CallOutcome::default()
        }
    }

    fn planned(arrive: u64, leave: u64) -> PlannedCall {
        PlannedCall { device: 4, arrive: at(arrive), leave: at(leave), ending: Ending::Goodbye }
    }

    fn counts(collected: &Collected, metric: Metric) -> [u64; 3] {
        let of = |measured: &Measurements| measured.counted(metric).unwrap();
        [of(&collected.overall), of(&collected.segments[0]), of(&collected.segments[1])]
    }

    #[test]
    fn planned_frames_are_counted_by_the_phase_in_which_they_are_due() {
        let collected = collected(&[(planned(90, 1200), open(100, 1200))], 1200);
        // 100, 160, … 580 are 9 frames; 640, … 1180 are 10.
        assert_eq!(counts(&collected, Metric::FramesPlanned), [19, 9, 10]);
        assert_eq!(counts(&collected, Metric::SessionsOpened), [1, 1, 0]);
        assert_eq!(counts(&collected, Metric::FramesUnserved), [0, 0, 0]);
        assert_eq!(counts(&collected, Metric::FramesLost), [4, 2, 2], "3 sent, 1 answered, each");
    }

    #[test]
    fn failed_and_lost_sessions_leave_frames_unserved() {
        let refused = CallFailure::Hello(HelloFailure::Refused("full".to_owned()));
        let failed = CallOutcome { failed: Some((refused, at(610))), ..CallOutcome::default() };
        let lost = CallOutcome { lost: Some((AudioEnd::ConnectionLost, at(300))), ..open(0, 300) };
        let collected = collected(&[(planned(600, 1200), failed), (planned(0, 1200), lost)], 1200);
        // Failed: 600, … 1140 are 10 frames. Lost: 5 frames before 300, then 300, … 1140 are 15.
        assert_eq!(counts(&collected, Metric::FramesPlanned), [5, 5, 0]);
        assert_eq!(counts(&collected, Metric::FramesUnserved), [25, 5, 20]);
        assert_eq!(counts(&collected, Metric::SessionsFailed), [1, 0, 1]);
        assert_eq!(counts(&collected, Metric::SessionsLost), [1, 1, 0]);
        let what: Vec<_> = collected.failures.iter().map(|failure| &failure.what[..]).collect();
        assert_eq!(what, ["hello was refused: full", "session lost: the MQTT connection was lost"]);
    }

    #[test]
    fn a_late_handshake_leaves_frames_unserved() {
        let late = CallOutcome { ideal_first_due: Some(at(10)), ..open(250, 600) };
        let collected = collected(&[(planned(0, 600), late)], 1200);
        // 10, 70, 130 and 190 had to be left out; 250, … 550 are 6 frames.
        assert_eq!(counts(&collected, Metric::FramesUnserved), [4, 4, 0]);
        assert_eq!(counts(&collected, Metric::FramesPlanned), [6, 6, 0]);
    }

    #[test]
    fn a_call_that_never_ended_is_a_failed_one() {
        let collected = collected(&[(planned(0, 600), CallOutcome::default())], 1200);
        assert_eq!(counts(&collected, Metric::SessionsFailed), [1, 1, 0]);
        assert_eq!(counts(&collected, Metric::FramesUnserved), [10, 10, 0]);
        assert!(collected.failures[0].what.contains("not over when the call was to end"));
    }

    #[test]
    fn an_interrupted_run_plans_nothing_after_its_end() {
        let cut = CallOutcome { cut_short: true, ..open(0, 300) };
        let waiting = CallOutcome { cut_short: true, ..CallOutcome::default() };
        let collected = collected(&[(planned(0, 1200), cut), (planned(900, 1200), waiting)], 300);
        assert_eq!(counts(&collected, Metric::SessionsPlanned), [1, 1, 0]);
        assert_eq!(counts(&collected, Metric::FramesPlanned), [5, 5, 0]);
        assert_eq!(counts(&collected, Metric::FramesUnserved), [0, 0, 0]);
    }
}
