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
    /// Actions that were not done, each in words.
    pub actions_not_done: Vec<String>,
    /// The 99th percentile of the turn lag; `None` when no device takes turns.
    pub turn_lag_p99: Option<Duration>,
    /// Returned frames that should have been decoded and were not, for lack of time.
    pub decodes_left_out: u64,
    /// The shortest frame in use.
    pub frame: Duration,
    /// The 99th percentile of the send lag; `None` when nothing was sent.
    pub send_lag_p99: Option<Duration>,
    /// How late packets were let go that the simulated network held, p99; `None` when it held none.
    pub impairment_lag_p99: Option<Duration>,
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
    /// Share of the processors' time that the host took away from this machine, in percent; `None`
    /// when it cannot be known.
    pub steal_percent: Option<f64>,
    /// Datagrams that this machine could not send because a send buffer was full.
    pub send_buffer_errors: u64,
    /// Of the frames whose whole way is known, those with a part below zero; both zero without.
    pub contradictions: (u64, u64),
    /// Frames under way, counted and expected; `None` when that cannot be told.
    pub littles_law: Option<LittlesLaw>,
    /// Thresholds that failed on the response latency while the service latency would have held
    /// them: there the generator's own lag decides.
    pub decided_by_send_lag: Vec<String>,
    /// The 99th percentile of how late a thread of the pacer's priority woke, at regular
    /// instants after the first second of the run; `None` when it was shorter.
    pub timer_late_p99: Option<Duration>,
    /// Thresholds about faults of audio that are looked for in a sample, and that held.
    pub integrity_samples: Vec<IntegritySample>,
}

/// A fault that was looked for, and not found more often than allowed.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct IntegritySample {
    /// The threshold, as it was written.
    pub threshold: String,
    /// In how many frames, or seconds of speech, it was looked for.
    pub samples: u64,
}

/// Frames under way, at random moments and by the accounts: rate × mean latency (Little, 1961).
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct LittlesLaw {
    /// The mean of the counts.
    pub counted: f64,
    /// What rate and latency call for.
    pub expected: f64,
    /// How far the counts' mean may be off by chance.
    pub standard_error: f64,
}

/// Share of the expected by which frames under way may be off, and in standard errors.
const LITTLE_SHARE: f64 = 0.05;
const LITTLE_ERRORS: f64 = 4.0;
/// Share of the frames whose parts may contradict each other.
const CONTRADICTING: f64 = 0.01;
/// How late a timer may be before it colours what is measured.
pub const TIMER_LATE: Duration = Duration::from_millis(1);
/// The least sample that a fault is looked for in: what is in 1 % of all would be missed by chance
/// once in twenty runs (rule of three: none in n leaves up to 3/n possible, at 95 %).
pub const INTEGRITY_SAMPLE: u64 = 300;
/// Steal time above which a virtual machine is no place to measure on.
pub const STEAL_PERCENT: f64 = 10.0;

/// Share of planned frames that must have been sent.
const SENT_SHARE: f64 = 0.999;
/// Share of the frame that the send lag's 99th percentile may reach, and the least that is allowed.
const LAG_SHARE: f64 = 0.05;
const LAG_FLOOR: Duration = Duration::from_millis(1);

/// What the send lag's 99th percentile may reach with frames of `frame`.
pub fn allowed_send_lag(frame: Duration) -> Duration {
    LAG_FLOOR.max(frame.mul_f64(LAG_SHARE))
}
/// Share of its cores above which a generator is likely to be late.
pub const BUSY_SHARE: f64 = 0.8;
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
    accounts_agree(evidence, &mut broken);
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
    let allowed = allowed_send_lag(frame);
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
    if let Some(lag) = evidence.impairment_lag_p99
        && lag > allowed
    {
        let text = format!(
            "the simulated network was late: impairment lag p99 {}, allowed is {} (5 % of the frame, at least 1 ms); packets had more delay than it says",
            millis(lag),
            millis(allowed)
        );
        broken.add("impairment_lag_p99", State::Invalid, text);
    }
    if !evidence.actions_not_done.is_empty() {
        let text = format!("not done: {}", evidence.actions_not_done.join("; "));
        broken.add("actions", State::Invalid, text);
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
    if let Some(lag) = evidence.turn_lag_p99
        && lag > ARRIVAL_LAG
    {
        let text = format!(
            "devices said late that they had listened: turn lag p99 {}, allowed is {}; turn latencies include it",
            millis(lag),
            millis(ARRIVAL_LAG)
        );
        broken.add("turn_lag", State::Suspect, text);
    }
    if let Some(late) = evidence.timer_late_p99.filter(|late| *late > TIMER_LATE) {
        let text = format!(
            "this host's timers were late: p99 {} at the pacer's priority, above {} whatever is timed is coloured by it",
            millis(late),
            millis(TIMER_LATE)
        );
        broken.add("timer_probe", State::Suspect, text);
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
    for IntegritySample { threshold, samples } in &evidence.integrity_samples {
        if *samples < INTEGRITY_SAMPLE {
            let text = format!(
                "threshold {threshold} held on {samples} samples: a fault in up to 3/n = {:.1} % of all may go unseen (95 %); {INTEGRITY_SAMPLE} are needed to tell 1 %: run longer, or raise devices.decode",
                300.0 / (*samples).max(3) as f64
            );
            broken.add("integrity_sample", State::Suspect, text);
        }
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

fn accounts_agree(evidence: &Evidence, broken: &mut Broken) {
    if let Some(LittlesLaw { counted, expected, standard_error }) = evidence.littles_law {
        let off = (counted - expected).abs();
        if off > expected * LITTLE_SHARE && off > standard_error * LITTLE_ERRORS {
            let text = format!(
                "Little's law: {counted:.2} frames were under way on average, rate and latency call for {expected:.2} (± {standard_error:.2}): an account is wrong"
            );
            broken.add("littles_law", State::Suspect, text);
        }
    }
    let (contradictions, known) = evidence.contradictions;
    if contradictions as f64 > known as f64 * CONTRADICTING {
        let text = format!(
            "{contradictions} of {known} frames arrived at the gateway before they were sent, or here before they were answered: its clock and ours do not agree"
        );
        broken.add("decomposition", State::Suspect, text);
    }
    if evidence.send_buffer_errors > 0 {
        let text = format!(
            "{} datagrams of this machine found their send buffer full",
            evidence.send_buffer_errors
        );
        broken.add("send_buffer_errors", State::Suspect, text);
    }
    if let Some(steal) = evidence.steal_percent.filter(|steal| *steal > STEAL_PERCENT) {
        let text = format!(
            "the host took {steal:.1} % of the processors' time from this machine; above {STEAL_PERCENT:.0} % both gateway and generator are slowed"
        );
        broken.add("steal_time", State::Suspect, text);
    }
}

fn millis(span: Duration) -> String {
    format!("{:.2} ms", span.as_secs_f64() * 1e3)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn law(counted: f64, expected: f64, standard_error: f64) -> LittlesLaw {
        LittlesLaw { counted, expected, standard_error }
    }

    fn good() -> Evidence {
        Evidence {
            frames_planned: 10_000,
            frames_sent: 10_000,
            sessions_failed: 0,
            sessions_not_attempted: 0,
            arrival_lag_p99: Some(Duration::from_millis(20)),
            actions_not_done: Vec::new(),
            turn_lag_p99: Some(Duration::from_millis(20)),
            decodes_left_out: 0,
            frame: Duration::from_millis(60),
            send_lag_p99: Some(Duration::from_micros(2_999)),
            impairment_lag_p99: Some(Duration::from_micros(2_999)),
            send_lag_max: Duration::from_millis(60),
            receive_drops: 0,
            generator_cpu_percent: 160.0,
            generator_cores: 2,
            clock_step: Duration::from_micros(100),
            steal_percent: Some(10.0),
            send_buffer_errors: 0,
            contradictions: (10, 1_000),
            littles_law: Some(law(10.0, 10.4, 0.1)),
            decided_by_send_lag: Vec::new(),
            timer_late_p99: Some(Duration::from_millis(1)),
            integrity_samples: vec![looked_for(300)],
        }
    }

    fn looked_for(samples: u64) -> IntegritySample {
        IntegritySample { threshold: "integrity.decode_failed = 0".to_owned(), samples }
    }

    #[test]
    fn a_small_sample_says_how_much_it_can_hide() {
        for (samples, hidden) in [(299, "1.0 %"), (100, "3.0 %"), (10, "30.0 %"), (1, "100.0 %")] {
            let few = Evidence { integrity_samples: vec![looked_for(samples)], ..good() };
            let text = judge(&few).reasons.remove(0).text;
            assert!(text.contains(&format!("3/n = {hidden}")), "{text}");
            assert!(text.contains(&format!("decode_failed = 0 held on {samples}")), "{text}");
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
            (
                Evidence { actions_not_done: vec!["restart".to_owned()], ..good() },
                "actions",
                State::Invalid,
            ),
            (Evidence { turn_lag_p99: Some(ms(21)), ..good() }, "turn_lag", State::Suspect),
            (Evidence { decodes_left_out: 1, ..good() }, "decodes_left_out", State::Suspect),
            (Evidence { send_lag_p99: Some(ms(4)), ..good() }, "send_lag_p99", State::Invalid),
            (
                Evidence { impairment_lag_p99: Some(ms(4)), ..good() },
                "impairment_lag_p99",
                State::Invalid,
            ),
            (Evidence { send_lag_max: ms(61), ..good() }, "send_lag_max", State::Invalid),
            (Evidence { receive_drops: 1, ..good() }, "receive_drops", State::Suspect),
            (Evidence { generator_cpu_percent: 161.0, ..good() }, "generator_cpu", State::Suspect),
            (Evidence { clock_step: ms(1), ..good() }, "clock_step", State::Suspect),
            (Evidence { steal_percent: Some(10.1), ..good() }, "steal_time", State::Suspect),
            (Evidence { send_buffer_errors: 1, ..good() }, "send_buffer_errors", State::Suspect),
            (Evidence { contradictions: (11, 1_000), ..good() }, "decomposition", State::Suspect),
            (
                Evidence { littles_law: Some(law(10.0, 12.0, 0.1)), ..good() },
                "littles_law",
                State::Suspect,
            ),
            (
                Evidence { decided_by_send_lag: vec!["x".to_owned()], ..good() },
                "decided_by_send_lag",
                State::Suspect,
            ),
            (Evidence { timer_late_p99: Some(ms(2)), ..good() }, "timer_probe", State::Suspect),
            (
                Evidence { integrity_samples: vec![looked_for(299)], ..good() },
                "integrity_sample",
                State::Suspect,
            ),
        ] {
            let validity = judge(&evidence);
            let rules: Vec<_> = validity.reasons.iter().map(|reason| &reason.rule[..]).collect();
            assert_eq!((rules, validity.state), (vec![rule], state), "{validity:?}");
        }
    }

    #[test]
    fn few_frames_under_way_may_be_off_by_chance() {
        let chance = Evidence { littles_law: Some(law(0.3, 0.4, 0.03)), ..good() };
        assert_eq!(judge(&chance).state, State::Valid);
    }

    #[test]
    fn a_gateway_that_lets_nobody_in_does_not_make_the_generator_invalid() {
        let refused = Evidence {
            frames_planned: 0,
            frames_sent: 0,
            sessions_failed: 50,
            send_lag_p99: None,
            impairment_lag_p99: None,
            timer_late_p99: None,
            integrity_samples: Vec::new(),
            ..good()
        };
        assert_eq!(judge(&refused).state, State::Valid);
    }

    #[test]
    fn short_frames_are_allowed_a_millisecond_and_the_worst_state_wins() {
        let frame = Duration::from_millis(20);
        let lag = Some(Duration::from_millis(1));
        let short = Evidence {
            frame,
            send_lag_p99: lag,
            impairment_lag_p99: lag,
            send_lag_max: frame,
            ..good()
        };
        assert_eq!(judge(&short).state, State::Valid);
        let late = Evidence { send_lag_p99: Some(Duration::from_micros(1_001)), ..short };
        assert_eq!(judge(&late).state, State::Invalid);
        let both = Evidence { receive_drops: 5, ..late };
        assert_eq!((judge(&both).state, judge(&both).reasons.len()), (State::Invalid, 2));
    }
}
