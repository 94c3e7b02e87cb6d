//! Whether a run may be believed, judged before anybody asks whether it passed.
//!
//! A run is INVALID when the load was not the planned load, and SUSPECT when the generator's own
//! trouble may have coloured the numbers. A rule looks at evidence about the generator only: what
//! the gateway did wrong belongs to the thresholds.

use std::fmt;
use std::time::Duration;

use serde::{Deserialize, Serialize};

/// What a run says about itself.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(rename_all = "UPPERCASE")]
pub enum State {
    /// Nothing speaks against the numbers.
    Valid,
    /// The generator's own trouble may have coloured the numbers.
    Suspect,
    /// The load was not the planned load.
    Invalid,
}

impl fmt::Display for State {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Valid => "VALID",
            Self::Suspect => "SUSPECT",
            Self::Invalid => "INVALID",
        })
    }
}

/// The judgement, with everything that speaks against the run.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Validity {
    /// The worst state of any reason; VALID when there is none.
    pub state: State,
    /// Each rule that was broken.
    pub reasons: Vec<Reason>,
}

/// One rule that was broken.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Reason {
    /// A stable name for tools.
    pub rule: String,
    /// What this rule alone makes of the run.
    pub state: State,
    /// What was seen and what is allowed, for people.
    pub text: String,
}

/// What the judgement looks at.
#[derive(Clone, Debug)]
pub struct Evidence {
    /// Frames due while their session was open.
    pub frames_planned: u64,
    /// Frames handed to the kernel.
    pub frames_sent: u64,
    /// Sessions that the gateway did not grant: with them, no planned frame is its doing.
    pub sessions_failed: u64,
    /// Sessions that could not be attempted because this host gave no socket or port for them.
    pub sessions_not_attempted: u64,
    /// The 99th percentile of the arrival lag; `None` when nobody arrived.
    pub arrival_lag_p99: Option<Duration>,
    /// Returned frames that should have been decoded and were not, for lack of time.
    pub decodes_left_out: u64,
    /// The shortest frame in use.
    pub frame: Duration,
    /// The 99th percentile of the send lag; `None` when nothing was sent.
    pub send_lag_p99: Option<Duration>,
    /// The largest send lag after the first second, which is warm-up.
    pub send_lag_max: Duration,
    /// Datagrams that the kernel dropped on the generator's own sockets.
    pub receive_drops: u64,
    /// Mean processor use of the generator, in percent of one core.
    pub generator_cpu_percent: f64,
    /// Threads of the generator that can be busy at the same time, at most the host's cores.
    pub generator_cores: u32,
    /// Largest step between the realtime clock, which stamps arrivals, and the monotonic one.
    pub clock_step: Duration,
    /// Thresholds that failed on the response latency while the service latency would have held
    /// them: there the generator's own lag decides.
    pub decided_by_send_lag: Vec<String>,
}

/// Share of planned frames that must have been sent.
const SENT_SHARE: f64 = 0.999;
/// Share of the frame that the send lag's 99th percentile may reach, and the least that is allowed.
const LAG_SHARE: f64 = 0.05;
const LAG_FLOOR: Duration = Duration::from_millis(1);
/// Share of its cores above which a generator is likely to be late.
const BUSY_SHARE: f64 = 0.8;
/// How late devices may begin to connect: ten times what tokio's timers are late by themselves.
const ARRIVAL_LAG: Duration = Duration::from_millis(20);
/// A clock step that would show in one-way numbers.
const CLOCK_STEP: Duration = Duration::from_micros(100);

/// Judges a run by what is known about its generator.
pub fn judge(evidence: &Evidence) -> Validity {
    let mut broken = Broken(Vec::new());
    load_was_the_planned_one(evidence, &mut broken);
    generator_was_in_time(evidence, &mut broken);
    nothing_was_left_out(evidence, &mut broken);
    let state = broken.0.iter().map(|reason| reason.state).max().unwrap_or(State::Valid);
    Validity { state, reasons: broken.0 }
}

/// The rules that were broken so far.
struct Broken(Vec<Reason>);

impl Broken {
    fn add(&mut self, rule: &str, state: State, text: String) {
        self.0.push(Reason { rule: rule.to_owned(), state, text });
    }
}

fn load_was_the_planned_one(evidence: &Evidence, broken: &mut Broken) {
    let Evidence { frames_planned: planned, frames_sent: sent, .. } = *evidence;
    // A gateway that lets nobody in has failed itself, and its thresholds find no samples.
    if planned == 0 && evidence.sessions_failed == 0 {
        let text = "no frame was planned while a session was open, so nothing was measured";
        broken.add("no_work", State::Invalid, text.to_owned());
    } else if (sent as f64) < planned as f64 * SENT_SHARE {
        let text = format!("{sent} of {planned} planned frames were sent, 99.9 % are needed");
        broken.add("planned_not_sent", State::Invalid, text);
    } else if sent > planned {
        let text = format!(
            "{sent} frames were sent where {planned} were planned: the accounts do not close"
        );
        broken.add("accounts", State::Invalid, text);
    }
    if evidence.sessions_not_attempted > 0 {
        let text = format!(
            "{} sessions could not be attempted: this host gave no socket or port for them",
            evidence.sessions_not_attempted
        );
        broken.add("not_attempted", State::Invalid, text);
    }
}

fn generator_was_in_time(evidence: &Evidence, broken: &mut Broken) {
    let frame = evidence.frame;
    let allowed = LAG_FLOOR.max(frame.mul_f64(LAG_SHARE));
    if let Some(lag) = evidence.send_lag_p99
        && lag > allowed
    {
        let text = format!(
            "the generator was late: send lag p99 {}, allowed is {} (5 % of the frame, at least 1 ms)",
            millis(lag),
            millis(allowed)
        );
        broken.add("send_lag_p99", State::Invalid, text);
    }
    if evidence.send_lag_max > frame {
        let text = format!(
            "the generator stood still: a frame was sent {} late, more than a frame of {}",
            millis(evidence.send_lag_max),
            millis(frame)
        );
        broken.add("send_lag_max", State::Invalid, text);
    }
    if let Some(lag) = evidence.arrival_lag_p99
        && lag > ARRIVAL_LAG
    {
        let text = format!(
            "devices began to connect late: arrival lag p99 {}, allowed is {}; connect times include it",
            millis(lag),
            millis(ARRIVAL_LAG)
        );
        broken.add("arrival_lag", State::Suspect, text);
    }
    for threshold in &evidence.decided_by_send_lag {
        let text = format!(
            "threshold {threshold} fails by the generator's own lag: measured from the actual send it would hold"
        );
        broken.add("decided_by_send_lag", State::Suspect, text);
    }
}

fn nothing_was_left_out(evidence: &Evidence, broken: &mut Broken) {
    if evidence.decodes_left_out > 0 {
        let text = format!(
            "{} returned frames were to be decoded and were not, for lack of time",
            evidence.decodes_left_out
        );
        broken.add("decodes_left_out", State::Suspect, text);
    }
    if evidence.receive_drops > 0 {
        let text = format!(
            "the kernel dropped {} datagrams on the generator's own sockets: some loss is not the gateway's",
            evidence.receive_drops
        );
        broken.add("receive_drops", State::Suspect, text);
    }
    let busy = f64::from(evidence.generator_cores) * 100.0 * BUSY_SHARE;
    if evidence.generator_cpu_percent > busy {
        let text = format!(
            "the generator used {:.0} % of one core on average, above {busy:.0} % it may be the bottleneck",
            evidence.generator_cpu_percent
        );
        broken.add("generator_cpu", State::Suspect, text);
    }
    if evidence.clock_step > CLOCK_STEP {
        let text = format!(
            "the realtime clock stepped by {} against the monotonic one; arrivals are stamped by it",
            millis(evidence.clock_step)
        );
        broken.add("clock_step", State::Suspect, text);
    }
}

fn millis(span: Duration) -> String {
    format!("{:.2} ms", span.as_secs_f64() * 1e3)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn good() -> Evidence {
        Evidence {
            frames_planned: 10_000,
            frames_sent: 10_000,
            sessions_failed: 0,
            sessions_not_attempted: 0,
            arrival_lag_p99: Some(Duration::from_millis(20)),
            decodes_left_out: 0,
            frame: Duration::from_millis(60),
            send_lag_p99: Some(Duration::from_micros(2_999)),
            send_lag_max: Duration::from_millis(60),
            receive_drops: 0,
            generator_cpu_percent: 160.0,
            generator_cores: 2,
            clock_step: Duration::from_micros(100),
            decided_by_send_lag: Vec::new(),
        }
    }

    #[test]
    fn a_run_at_every_limit_is_valid() {
        assert_eq!(judge(&good()), Validity { state: State::Valid, reasons: Vec::new() });
    }

    #[test]
    fn each_rule_fires_on_its_own_evidence_and_names_itself() {
        let ms = Duration::from_millis;
        for (evidence, rule, state) in [
            (Evidence { frames_planned: 0, frames_sent: 0, ..good() }, "no_work", State::Invalid),
            (Evidence { frames_sent: 9_989, ..good() }, "planned_not_sent", State::Invalid),
            (Evidence { frames_sent: 10_001, ..good() }, "accounts", State::Invalid),
            (Evidence { sessions_not_attempted: 1, ..good() }, "not_attempted", State::Invalid),
            (Evidence { arrival_lag_p99: Some(ms(21)), ..good() }, "arrival_lag", State::Suspect),
            (Evidence { decodes_left_out: 1, ..good() }, "decodes_left_out", State::Suspect),
            (Evidence { send_lag_p99: Some(ms(4)), ..good() }, "send_lag_p99", State::Invalid),
            (Evidence { send_lag_max: ms(61), ..good() }, "send_lag_max", State::Invalid),
            (Evidence { receive_drops: 1, ..good() }, "receive_drops", State::Suspect),
            (Evidence { generator_cpu_percent: 161.0, ..good() }, "generator_cpu", State::Suspect),
            (Evidence { clock_step: ms(1), ..good() }, "clock_step", State::Suspect),
            (
                Evidence { decided_by_send_lag: vec!["x".to_owned()], ..good() },
                "decided_by_send_lag",
                State::Suspect,
            ),
        ] {
            let validity = judge(&evidence);
            let rules: Vec<_> = validity.reasons.iter().map(|reason| &reason.rule[..]).collect();
            assert_eq!((rules, validity.state), (vec![rule], state), "{validity:?}");
        }
    }

    #[test]
    fn a_gateway_that_lets_nobody_in_does_not_make_the_generator_invalid() {
        let refused = Evidence {
            frames_planned: 0,
            frames_sent: 0,
            sessions_failed: 50,
            send_lag_p99: None,
            ..good()
        };
        assert_eq!(judge(&refused).state, State::Valid);
    }

    #[test]
    fn short_frames_are_allowed_a_millisecond_and_the_worst_state_wins() {
        let frame = Duration::from_millis(20);
        let lag = Some(Duration::from_millis(1));
        let short = Evidence { frame, send_lag_p99: lag, send_lag_max: frame, ..good() };
        assert_eq!(judge(&short).state, State::Valid);
        let late = Evidence { send_lag_p99: Some(Duration::from_micros(1_001)), ..short };
        assert_eq!(judge(&late).state, State::Invalid);
        let both = Evidence { receive_drops: 5, ..late };
        assert_eq!((judge(&both).state, judge(&both).reasons.len()), (State::Invalid, 2));
    }
}
