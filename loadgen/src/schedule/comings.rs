//! Who comes and goes beside the device target, and who leaves and comes back.

use std::cmp::Reverse;
use std::collections::BinaryHeap;
use std::time::Duration;

use protocol::Moment;
use rand::rngs::StdRng;
use rand::{RngExt, SeedableRng};

use super::{DeviceNumber, PhaseTimes, PlannedCall, on_slot};
use crate::scenario::{Action, Comeback, Ending, Phase, Rate, Spacing, What};

/// A call that would be shorter than this, before or after the break, is not interrupted.
const SHORTEST: Duration = Duration::from_secs(1);

/// Tells the random numbers of arrivals, churn and actions apart.
#[derive(Clone, Copy)]
enum Purpose {
    Arrivals = 1,
    Churn = 2,
    Actions = 3,
}

/// Random numbers of their own for each phase and purpose.
fn random(seed: u64, purpose: Purpose, index: usize) -> StdRng {
    let stream = (purpose as u64) << 32 | index as u64;
    // Neighbouring seeds give unrelated streams: an odd constant spreads the stream's bits.
    StdRng::seed_from_u64(seed ^ stream.wrapping_mul(0x9E37_79B9_7F4A_7C15))
}

/// The moments from `start` to `end` at which something comes at `rate`.
fn moments(
    rate: Rate,
    spacing: Spacing,
    start: Moment,
    end: Moment,
    rng: &mut StdRng,
) -> Vec<Moment> {
    let mean = 1.0 / rate.per_second();
    let length = end.since(start).as_secs_f64();
    let mut at = 0.0;
    let instants = (1_u32..).map(|number| {
        at = match spacing {
            Spacing::Even => mean * f64::from(number),
            // By inversion; 1 - u is never 0.
            Spacing::Poisson => at - (1.0 - rng.random::<f64>()).ln() * mean,
        };
        at
    });
    let within = instants.take_while(|&at| at < length);
    within.map(|at| on_slot(start + Duration::from_secs_f64(at))).collect()
}

/// Adds the calls of those that come at a rate. Their numbers follow those of the target, and are
/// used again.
pub(super) fn add_arrivals(
    calls: &mut Vec<PlannedCall>,
    phases: &[Phase],
    times: &PhaseTimes,
    seed: u64,
) {
    let first = calls.iter().map(|call| call.device + 1).max().unwrap_or(0);
    let mut numbers = Numbers::default();
    for (index, phase) in phases.iter().enumerate() {
        let Some(arrivals) = phase.arrivals else { continue };
        let (start, end) = times.bounds(index);
        let mut rng = random(seed, Purpose::Arrivals, index);
        for arrive in moments(arrivals.rate, arrivals.spacing, start, end, &mut rng) {
            let leave = (arrive + arrivals.stay).min(times.end());
            // A little later than it left: its goodbye takes its time.
            let device = first + numbers.take(arrive, leave + SHORTEST);
            calls.push(PlannedCall { device, arrive, leave, ending: Ending::default() });
        }
    }
}

/// Numbers that are used again, the smallest first.
#[derive(Default)]
struct Numbers {
    free: BinaryHeap<Reverse<DeviceNumber>>,
    /// Each with when it is free.
    taken: BinaryHeap<Reverse<(Moment, DeviceNumber)>>,
    used: DeviceNumber,
}

impl Numbers {
    /// The smallest number that is free at `now`, taken `until` then. Moments do not go back within a
    /// phase, nor from one to the next.
    fn take(&mut self, now: Moment, until: Moment) -> DeviceNumber {
        while let Some(&Reverse((free_at, number))) = self.taken.peek()
            && free_at <= now
        {
            self.taken.pop();
            self.free.push(Reverse(number));
        }
        let number = self.free.pop().map_or(self.used, |Reverse(number)| number);
        self.used = self.used.max(number + 1);
        self.taken.push(Reverse((until, number)));
        number
    }
}

/// A break in somebody's call.
struct Break {
    at: Moment,
    ending: Ending,
    whose: Whose,
}

enum Whose {
    /// One device, away for so long.
    One(Duration),
    /// A share of all.
    Share(f64, Comeback),
    /// Everybody, whenever the call began.
    All(Comeback),
}

/// Cuts calls in two where their device leaves and comes back.
pub(super) fn interrupt(
    calls: &mut Vec<PlannedCall>,
    phases: &[Phase],
    actions: &[Action],
    times: &PhaseTimes,
    seed: u64,
) {
    let mut breaks = Vec::new();
    for (index, phase) in phases.iter().enumerate() {
        let Some(churn) = phase.churn else { continue };
        let (start, end) = times.bounds(index);
        let mut rng = random(seed, Purpose::Churn, index);
        let moments = moments(churn.rate, churn.spacing, start, end, &mut rng);
        let whose = || Whose::One(churn.away);
        breaks.extend(moments.into_iter().map(|at| Break {
            at,
            ending: churn.how,
            whose: whose(),
        }));
    }
    for action in actions {
        let at = on_slot(Moment::START + action.at);
        let (ending, whose) = match action.what {
            What::DropDevices { share, comeback } => (Ending::Drop, Whose::Share(share, comeback)),
            What::RestartGateway { comeback, .. } => (Ending::LeftBehind, Whose::All(comeback)),
            What::SetFaults { .. } | What::ChangeNetwork { .. } => continue,
        };
        breaks.push(Break { at, ending, whose });
    }
    if breaks.is_empty() || calls.is_empty() {
        return;
    }
    breaks.sort_by_key(|one| one.at);
    let mut rng = random(seed, Purpose::Actions, 0);
    for one in breaks {
        match one.whose {
            Whose::One(away) => {
                if let Some(chosen) = one_open_at(calls, one.at, away, &mut rng) {
                    cut(calls, chosen, one.at, one.at + away, one.ending);
                }
            }
            Whose::Share(share, Comeback { away, spread }) => {
                let mut open = open_at(calls, one.at, away + spread);
                #[expect(
                    clippy::cast_possible_truncation,
                    clippy::cast_sign_loss,
                    reason = "a share of a number"
                )]
                let wanted = (open.len() as f64 * share).round() as usize;
                for _ in 0..wanted {
                    let chosen = open.swap_remove(rng.random_range(0..open.len()));
                    let back = one.at + away + spread.mul_f64(rng.random());
                    cut(calls, chosen, one.at, on_slot(back), one.ending);
                }
            }
            Whose::All(Comeback { away, spread }) => {
                for index in 0..calls.len() {
                    if calls[index].arrive < one.at && one.at < calls[index].leave {
                        let back = one.at + away + spread.mul_f64(rng.random());
                        cut(calls, index, one.at, on_slot(back), one.ending);
                    }
                }
            }
        }
    }
}

fn can_break(call: &PlannedCall, at: Moment, away: Duration) -> bool {
    call.arrive + SHORTEST <= at && at + away + SHORTEST <= call.leave
}

/// The calls that can be interrupted at `at` for `away`.
fn open_at(calls: &[PlannedCall], at: Moment, away: Duration) -> Vec<usize> {
    (0..calls.len()).filter(|&index| can_break(&calls[index], at, away)).collect()
}

/// One of them, each as likely as any other. Most tries hit; where few calls are open, all are
/// looked at.
fn one_open_at(
    calls: &[PlannedCall],
    at: Moment,
    away: Duration,
    rng: &mut StdRng,
) -> Option<usize> {
    const TRIES: usize = 32;
    let tried = (0..TRIES).find_map(|_| {
        let index = rng.random_range(0..calls.len());
        can_break(&calls[index], at, away).then_some(index)
    });
    tried.or_else(|| {
        let open = open_at(calls, at, away);
        (!open.is_empty()).then(|| open[rng.random_range(0..open.len())])
    })
}

fn cut(calls: &mut Vec<PlannedCall>, index: usize, at: Moment, back: Moment, ending: Ending) {
    let rest = PlannedCall { arrive: back, ..calls[index] };
    calls[index].leave = at;
    calls[index].ending = ending;
    // Who would come back when it is to leave stays away.
    if rest.arrive + SHORTEST <= rest.leave {
        calls.push(rest);
    }
}

#[cfg(test)]
mod tests;
