//! From what each call experienced to the metrics of the run: one number a device, and one of all
//! together, for the firmware's player; and the other players beside it.

use std::time::Duration;

use measure::Metric;
use measure::loss::LossRuns;
use measure::per_device::{PerDevice, Worse};
use measure::playout::Playout;
use measure::playout_record::{PlayersRecord, PlayoutRecord};
use measure::record::Measurements;
use measure::voice_quality::{Band, Coding, Impairment, LIMITS, mos_indicative};
use protocol::SampleRate;

use crate::media::experience::FIXED_DEPTH;
use crate::media::listener::{CallArrivals, ListenerReport};

/// Share of the answers that may be late in a sufficient buffer.
const LATE_SHARE: f64 = 0.01;

/// Adds everything that devices experienced.
pub fn add(received: &ListenerReport, overall: &mut Measurements) {
    overall.samples(Metric::Ipdv, &received.ipdv);
    overall.samples(Metric::Pdv, &received.pdv);
    let calls = &received.calls[..];
    let together = together(calls);
    let playout = |of: fn(&Playout) -> Option<f64>| {
        let of_call = move |call: &CallArrivals| of(&call.experienced.xiaozhi);
        (numbers(calls, of_call), of(&together.xiaozhi))
    };
    let time = |of: fn(&CallArrivals) -> Option<Duration>| {
        let times = numbers(calls, |call| of(call).map(millis));
        let mean = (!times.is_empty()).then(|| times.iter().sum::<f64>() / times.len() as f64);
        (times, mean)
    };
    // Where nothing was due nothing is known, and where nothing was played there was no gap in it.
    let of_frames = |due: u64, number: u64| (due > 0).then_some(number as f64);
    let longest = |loss: &LossRuns| of_frames(loss.total(), loss.longest_run());
    let overflow = |played: &Playout| of_frames(played.frames_sent, played.frames_overflow);
    for (metric, (devices, pooled)) in [
        (Metric::Rfc3550Jitter, time(|call| Some(call.experienced.rfc3550?.settled))),
        (Metric::InterarrivalSigma, time(|call| call.experienced.interarrival_sigma)),
        (Metric::EffectiveLoss, playout(|played| Some(played.effective_loss()? * 100.0))),
        (Metric::BurstRatio, playout(Playout::burst_ratio)),
        (
            Metric::LongestLossRun,
            (numbers(calls, |call| longest(&call.experienced.loss)), longest(&together.loss)),
        ),
        (
            Metric::QueueOverflow,
            (
                numbers(calls, |call| overflow(&call.experienced.xiaozhi)),
                overflow(&together.xiaozhi),
            ),
        ),
        (Metric::StutterPerMinute, playout(Playout::stutter_per_minute)),
        (Metric::InterruptionsPerMinute, playout(Playout::interruptions_per_minute)),
        (Metric::ConcealedRatio, playout(|played| Some(played.concealed_ratio()? * 100.0))),
        (
            Metric::LongestGap,
            playout(|played| (played.frames_played > 0).then(|| millis(played.longest_gap()))),
        ),
        (Metric::PlayoutDepth, playout(|played| played.sufficient_depth(LATE_SHARE).map(millis))),
    ] {
        overall.of_devices(metric, PerDevice::new(devices, pooled, Worse::Higher));
    }
    let scores = numbers(calls, |call| {
        score(&call.experienced.xiaozhi, mean_latency(call)?, call.downlink_rate)
    });
    let mean = (!scores.is_empty()).then(|| scores.iter().sum::<f64>() / scores.len() as f64);
    overall.of_devices(Metric::MosIndicative, PerDevice::new(scores, mean, Worse::Lower));
}

/// What each kind of player made of the same arrivals.
pub fn players(received: &ListenerReport) -> PlayersRecord {
    let together = together(&received.calls);
    PlayersRecord {
        xiaozhi: record(&together.xiaozhi),
        fixed: record(&together.fixed),
        fixed_depth_ms: millis(FIXED_DEPTH),
        adaptive: record(&together.adaptive),
        mos_limits: LIMITS.to_owned(),
    }
}

/// The streams of all calls.
#[derive(Default)]
struct Together {
    loss: LossRuns,
    xiaozhi: Playout,
    fixed: Playout,
    adaptive: Playout,
}

fn together(calls: &[CallArrivals]) -> Together {
    let mut together = Together::default();
    for CallArrivals { experienced, .. } in calls {
        together.loss.merge(&experienced.loss);
        together.xiaozhi.merge(&experienced.xiaozhi);
        together.fixed.merge(&experienced.fixed);
        together.adaptive.merge(&experienced.adaptive);
    }
    together
}

fn record(playout: &Playout) -> PlayoutRecord {
    let rounded = |number: f64| (number * 1e4).round() / 1e4;
    PlayoutRecord {
        frames_sent: playout.frames_sent,
        frames_played: playout.frames_played,
        frames_lost: playout.frames_lost,
        frames_late: playout.frames_late,
        frames_overflow: playout.frames_overflow,
        played_s: rounded(playout.played.as_secs_f64()),
        stutter_per_minute: playout.stutter_per_minute().map(rounded),
        interruptions_per_minute: playout.interruptions_per_minute().map(rounded),
        concealed_percent: playout.concealed_ratio().map(|share| rounded(share * 100.0)),
        effective_loss_percent: playout.effective_loss().map(|share| rounded(share * 100.0)),
        longest_gap_ms: rounded(millis(playout.longest_gap())),
    }
}

/// The numbers of those calls that have one.
fn numbers(calls: &[CallArrivals], of: impl Fn(&CallArrivals) -> Option<f64>) -> Vec<f64> {
    calls.iter().filter_map(of).collect()
}

/// What an answer takes, from the plan on; an echo's way there and back is one way between two
/// people.
fn mean_latency(call: &CallArrivals) -> Option<Duration> {
    let answered = u32::try_from(call.answered).unwrap_or(u32::MAX);
    (answered > 0).then(|| call.latency_sum / answered)
}

fn score(playout: &Playout, one_way_delay: Duration, rate: SampleRate) -> Option<f64> {
    // What the encoders choose by themselves at these rates.
    let coding = match rate.as_hertz() {
        ..=8_000 => Coding::opus(Band::Narrow, 9_000),
        8_001..=16_000 => Coding::opus(Band::Wide, 13_000),
        _ => Coding::opus(Band::SuperWide, 25_000),
    };
    let impairment = Impairment {
        effective_loss: playout.effective_loss()?,
        burst_ratio: playout.burst_ratio().unwrap_or(1.0),
        one_way_delay,
    };
    Some(mos_indicative(coding, impairment).mos)
}

fn millis(span: Duration) -> f64 {
    span.as_secs_f64() * 1e3
}
