//! Parameters read off one direction of a trace, from none to many.

use std::time::Duration;

use simnet::{Delay, Distribution, Impairment, Loss, Point, Stall};

use super::{shown_loss, shown_ms};

/// Frames that came at one moment are within this of each other.
const TOGETHER: Duration = Duration::from_millis(2);
/// So many of them are no chance: they were held.
const HELD: usize = 3;
/// Of less jitter than this a link has none.
const NO_JITTER: Duration = Duration::from_micros(500);
/// Of less likeness neighbours have none.
const NO_CORRELATION: f64 = 0.15;

/// What may impair one direction.
#[derive(Clone, Debug)]
pub(super) struct Way {
    pub impairment: Impairment,
    /// How many numbers it has.
    pub parameters: u32,
}

impl Way {
    /// As a scenario has it.
    pub(super) fn toml(&self) -> String {
        let Impairment { delay, loss, stall, .. } = &self.impairment;
        let mut keys = Vec::new();
        if !delay.time.is_zero() {
            keys.push(format!("delay = \"{}\"", shown_ms(delay.time)));
        }
        if !delay.jitter.is_zero() {
            let distribution = match delay.distribution {
                Distribution::Uniform => "uniform",
                Distribution::Normal => "normal",
                Distribution::Pareto => "pareto",
                Distribution::ParetoNormal => "paretonormal",
            };
            keys.push(format!("jitter = \"{}\"", shown_ms(delay.jitter)));
            keys.push(format!("distribution = \"{distribution}\""));
        }
        if delay.correlation > 0.0 {
            keys.push(format!("correlation = \"{:.0}%\"", delay.correlation * 100.0));
        }
        keys.extend(shown_loss(loss).map(|loss| format!("loss = \"{loss}\"")));
        if let Some(Stall { per_minute, shortest, longest }) = stall {
            let (shortest, longest) = (shown_ms(*shortest), shown_ms(*longest));
            keys.push(format!(
                "stall = {{ per_minute = {per_minute:.1}, shortest = \"{shortest}\", longest = \"{longest}\" }}"
            ));
        }
        format!("{{ {} }}", keys.join(", "))
    }
}

/// Everything that may impair this direction; the first one nothing.
pub(super) fn candidates(streams: &[&[Point]]) -> Vec<Way> {
    let seen = Seen::of(streams);
    let losses = seen.losses();
    let mut ways = Vec::new();
    for (stall, of_stall) in seen.stalls() {
        for (delay, of_delay) in seen.delays(stall.is_some()) {
            for (loss, of_loss) in &losses {
                let impairment =
                    Impairment { delay, loss: loss.clone(), stall, ..Impairment::default() };
                ways.push(Way { impairment, parameters: of_stall + of_delay + of_loss });
            }
        }
    }
    ways
}

/// What one direction did.
#[derive(Debug, Default)]
struct Seen {
    /// Of each stream the delays of packets that came, in s; whether each came with others behind a
    /// stall.
    delays: Vec<Vec<(f64, bool)>>,
    packets: usize,
    lost: usize,
    runs: usize,
    minutes: f64,
    /// How long the first packet of each stall was held.
    stalls: Vec<Duration>,
}

impl Seen {
    fn of(streams: &[&[Point]]) -> Self {
        let mut seen = Self::default();
        for points in streams {
            let (Some(first), Some(last)) = (points.first(), points.last()) else { continue };
            seen.minutes += last.at.saturating_sub(first.at).as_secs_f64() / 60.0;
            seen.packets += points.len();
            seen.lost += points.iter().filter(|point| point.delay.is_none()).count();
            let together =
                points.chunk_by(|one, other| one.delay.is_none() == other.delay.is_none());
            seen.runs += together.filter(|run| run[0].delay.is_none()).count();
            let came: Vec<(Duration, Duration)> =
                points.iter().filter_map(|point| Some((point.at, point.delay?))).collect();
            let mut delays = Vec::new();
            let arrives = |one: &(Duration, Duration)| one.0 + one.1;
            let held = came.chunk_by(|one, other| arrives(one).abs_diff(arrives(other)) < TOGETHER);
            for group in held {
                let stalled = group.len() >= HELD;
                if stalled {
                    seen.stalls.push(group[0].1);
                }
                delays.extend(group.iter().map(|(_, delay)| (delay.as_secs_f64(), stalled)));
            }
            seen.delays.push(delays);
        }
        seen
    }

    fn losses(&self) -> Vec<(Loss, u32)> {
        let mut losses = vec![(Loss::None, 0)];
        if self.lost > 0 {
            let (lost, runs) = (self.lost as f64, self.runs as f64);
            let came = (self.packets - self.lost).max(1) as f64;
            losses.push((Loss::Random(lost / self.packets as f64), 1));
            losses.push((Loss::bursts((runs / came).min(1.0), runs / lost), 2));
        }
        losses
    }

    fn stalls(&self) -> Vec<(Option<Stall>, u32)> {
        let mut stalls = vec![(None, 0)];
        if let (Some(shortest), Some(longest)) =
            (self.stalls.iter().min(), self.stalls.iter().max())
            && self.minutes > 0.0
        {
            // A packet is due in the middle of a stall, so the first one waits for less than all of it.
            let per_minute = self.stalls.len() as f64 / self.minutes;
            stalls.push((Some(Stall { per_minute, shortest: *shortest, longest: *longest }), 3));
        }
        stalls
    }

    fn delays(&self, without_stalls: bool) -> Vec<(Delay, u32)> {
        let counts =
            |(delay, stalled): &(f64, bool)| (!(without_stalls && *stalled)).then_some(*delay);
        let streams: Vec<Vec<f64>> =
            self.delays.iter().map(|stream| stream.iter().filter_map(counts).collect()).collect();
        let count = streams.iter().map(Vec::len).sum::<usize>() as f64;
        let mut delays = vec![(Delay::default(), 0)];
        if count < 2.0 {
            return delays;
        }
        let mean = streams.iter().flatten().sum::<f64>() / count;
        let variance =
            streams.iter().flatten().map(|one| (one - mean).powi(2)).sum::<f64>() / count;
        let neighbours = streams.iter().flat_map(|stream| stream.windows(2));
        let together =
            neighbours.map(|pair| (pair[0] - mean) * (pair[1] - mean)).sum::<f64>() / count;
        let time = Duration::from_secs_f64(mean);
        let sigma = Duration::from_secs_f64(variance.sqrt());
        delays.push((Delay { time, ..Delay::default() }, 1));
        if sigma < NO_JITTER {
            return delays;
        }
        let correlation = if variance > 0.0 { together / variance } else { 0.0 };
        for distribution in [
            Distribution::Uniform,
            Distribution::Normal,
            Distribution::Pareto,
            Distribution::ParetoNormal,
        ] {
            let jitter = match distribution {
                // Half its width.
                Distribution::Uniform => sigma.mul_f64(3_f64.sqrt()),
                _ => sigma.mul_f64(1.0 / unit_sigma(distribution)),
            };
            let delay = Delay { time, jitter, correlation: 0.0, distribution };
            delays.push((delay, 3));
            if correlation > NO_CORRELATION {
                delays.push((Delay { correlation: correlation.min(0.99), ..delay }, 4));
            }
        }
        delays
    }
}

/// The standard deviation of a distribution whose jitter is 1: what is cut off is less than 1.
fn unit_sigma(distribution: Distribution) -> f64 {
    const STEPS: u32 = 10_000;
    let values =
        (0..STEPS).map(|step| distribution.value((f64::from(step) + 0.5) / f64::from(STEPS)));
    let (sum, squares) =
        values.fold((0.0, 0.0), |(sum, squares), one| (sum + one, squares + one * one));
    let mean = sum / f64::from(STEPS);
    (squares / f64::from(STEPS) - mean * mean).sqrt()
}
