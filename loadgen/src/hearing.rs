//! What several calls heard together: of a capture, or of a trace; a run has its own record.

use std::time::Duration;

use measure::heard::{FORMAT, HeardRecord, HeardSecond, HeardSeconds, rounded};
use measure::playout::{Gaps, Playout};
use measure::{Distribution, Quantity};
use protocol::Moment;
use simnet::{Direction, Stream, Trace};

use crate::media::experience::{Experience, Experienced};

/// The record of these calls, each with the duration of its frames.
pub fn heard_together(
    source: String,
    calls: &[(&Experienced, Duration)],
    seconds: Vec<HeardSecond>,
) -> HeardRecord {
    let mut all = Playout::default();
    let mut audio_s = 0.0;
    for (call, frame) in calls {
        all.merge(&call.xiaozhi);
        audio_s += call.xiaozhi.frames_sent as f64 * frame.as_secs_f64();
    }
    let jitters = calls.iter().filter_map(|(call, _)| Some(call.rfc3550?.settled.as_secs_f64()));
    let jitters: Vec<f64> = jitters.collect();
    let mean_ms = jitters.iter().sum::<f64>() / jitters.len() as f64 * 1e3;
    HeardRecord {
        format: FORMAT,
        source,
        calls: calls.len() as u64,
        frames: all.frames_sent,
        audio_s: rounded(audio_s),
        rfc3550_jitter_ms: (!jitters.is_empty()).then(|| rounded(mean_ms)),
        effective_loss_percent: all.effective_loss().map(|share| rounded(share * 100.0)),
        stutter_per_minute: all.stutter_per_minute().map(rounded),
        longest_gap_ms: (all.frames_played > 0)
            .then(|| rounded(all.longest_gap().as_secs_f64() * 1e3)),
        seconds,
    }
}

/// What devices hear that send frames of this duration through a trace, each through its stream, to a
/// gateway that answers at once.
pub fn heard_through(source: String, trace: &Trace, frame: Duration) -> HeardRecord {
    let mut seconds = HeardSeconds::default();
    let streams = trace.streams().iter();
    let calls: Vec<Experienced> =
        streams.map(|stream| heard_of_stream(stream, frame, &mut seconds)).collect();
    let calls: Vec<_> = calls.iter().map(|call| (call, frame)).collect();
    heard_together(source, &calls, seconds.finish())
}

/// How late each frame of a device comes back through its stream; `None`: never.
pub(crate) fn delays_through(stream: &Stream, frame: Duration) -> Vec<Option<Duration>> {
    let frames = stream.sending().as_nanos().div_ceil(frame.as_nanos());
    let frames = u32::try_from(frames).unwrap_or(u32::MAX);
    let delay = |number| {
        let due = frame * number;
        let up = stream.delay_at(Direction::Up, due)?;
        Some(up + stream.delay_at(Direction::Down, due + up)?)
    };
    (0..frames).map(delay).collect()
}

fn heard_of_stream(stream: &Stream, frame: Duration, seconds: &mut HeardSeconds) -> Experienced {
    let delays = delays_through(stream, frame);
    let smallest = delays.iter().flatten().min().copied().unwrap_or_default();
    let mut arrivals = Vec::new();
    for (number, delay) in (0_u32..).zip(&delays) {
        let due = frame * number;
        seconds.frame(due, delay.map(|delay| delay.saturating_sub(smallest)));
        arrivals.extend(delay.map(|delay| (due + delay, u64::from(number))));
    }
    arrivals.sort_unstable();
    let (mut experience, mut gaps) = (Experience::new(frame), Gaps::new(frame));
    for (at, number) in arrivals {
        let nanos = u64::try_from(at.as_nanos()).unwrap_or(u64::MAX);
        experience.arrived(number, Moment::from_nanos(nanos), true);
        if gaps.arrived(number, at).is_some() {
            seconds.stutter(at);
        }
    }
    experience.finish(delays.len() as u64, &mut Distribution::new(Quantity::Time))
}

#[cfg(test)]
mod tests {
    use simnet::Point;

    use super::*;

    const FRAME: Duration = Duration::from_millis(60);

    /// A hundred frames: every tenth is lost, one is 200 ms late and with it those behind.
    #[test]
    fn a_trace_is_heard_as_a_run_would_hear_it() {
        let ms = Duration::from_millis;
        let up = (0..100u64).map(|number| Point {
            at: ms(number * 60),
            delay: match number {
                _ if number % 10 == 9 => None,
                50..=53 => Some(ms(200 - (number - 50) * 60)),
                _ => Some(ms(5)),
            },
        });
        let trace = Trace::new(vec![Stream { up: up.collect(), down: Vec::new() }]);
        let heard = heard_through("a test".to_owned(), &trace, FRAME);
        assert_eq!((heard.calls, heard.frames, heard.audio_s), (1, 100, 6.0));
        assert_eq!(heard.effective_loss_percent, Some(10.0));
        // Frame 49 was lost, and 50 came 195 ms later than the others.
        assert_eq!(heard.longest_gap_ms, Some(255.0));
        assert_eq!(heard.seconds.iter().map(|second| second.lost.unwrap()).sum::<u64>(), 10);
        // Those before the stall and its own; what piled up in it covers the next three, and nothing
        // ends the last one.
        assert_eq!(heard.seconds.iter().map(|second| second.stutters.unwrap()).sum::<u64>(), 6);
        assert_eq!(heard.seconds[3].delay_ms, Some(195.0));
        assert_eq!(heard.seconds[0].delay_ms, Some(0.0));
        assert!(heard.rfc3550_jitter_ms.unwrap() > 1.0);
    }
}
