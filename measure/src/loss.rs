//! How much was lost, and whether it was lost in bursts.
//!
//! A loss run is a longest row of lost frames. Under random (Bernoulli) loss of the ratio p runs are
//! 1 / (1 − p) long on average; the burst ratio of ITU-T G.107 is the mean observed run over that: 1
//! for random loss, above 1 for bursts, below 1 for loss that is spread out. For the Gilbert model
//! (good → bad with p, bad → good with r, all lost while bad) it is 1 / (p + r).

/// How far behind the newest a frame may arrive and still count.
pub const REACH: u64 = 1024;

/// Turns arrivals in any order into the fates of frames in theirs. Constant memory: a frame that is
/// [`REACH`] behind the newest is judged, and one that arrives after that stays lost.
#[derive(Clone, Debug)]
pub struct FrameFates {
    /// The first frame that is not judged yet.
    base: u64,
    /// One bit for each frame from `base` on, at its number modulo the reach.
    arrived: [u64; (REACH / 64) as usize],
    runs: LossRuns,
}

impl FrameFates {
    /// Before the first frame.
    pub const fn new() -> Self {
        let runs = LossRuns { total: 0, lost: 0, runs: 0, longest: 0, current: 0 };
        Self { base: 0, arrived: [0; (REACH / 64) as usize], runs }
    }

    /// `frame` has arrived.
    pub fn arrived(&mut self, frame: u64) {
        if frame < self.base {
            return;
        }
        self.judge_before((frame + 1).saturating_sub(REACH));
        let (word, bit) = place(frame);
        self.arrived[word] |= bit;
    }

    /// The runs, when so many frames were sent and all that arrive have arrived.
    pub fn finish(mut self, frames_sent: u64) -> LossRuns {
        self.judge_before(frames_sent);
        self.runs
    }

    fn judge_before(&mut self, end: u64) {
        while self.base < end {
            let (word, bit) = place(self.base);
            self.runs.frame(self.arrived[word] & bit == 0);
            self.arrived[word] &= !bit;
            self.base += 1;
        }
    }
}

impl Default for FrameFates {
    fn default() -> Self {
        Self::new()
    }
}

fn place(frame: u64) -> (usize, u64) {
    let index = frame % REACH;
    ((index / 64) as usize, 1 << (index % 64))
}

/// The loss runs of one stream, or of many pooled; constant memory.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct LossRuns {
    total: u64,
    lost: u64,
    runs: u64,
    longest: u64,
    /// Length of the run that the last frame belongs to; 0 when that was not lost.
    current: u64,
}

impl LossRuns {
    /// Takes the fate of the next frame, in the order in which the frames were sent.
    pub fn frame(&mut self, lost: bool) {
        self.total += 1;
        if !lost {
            self.current = 0;
            return;
        }
        self.lost += 1;
        self.runs += u64::from(self.current == 0);
        self.current += 1;
        self.longest = self.longest.max(self.current);
    }

    /// Adds the runs of another stream. Runs of two streams never join: one that `other` ended with
    /// ends here, one that this stream is in goes on with its own next frame.
    pub fn merge(&mut self, other: &LossRuns) {
        self.total += other.total;
        self.lost += other.lost;
        self.runs += other.runs;
        self.longest = self.longest.max(other.longest);
    }

    /// Frames whose fate is known.
    pub const fn total(&self) -> u64 {
        self.total
    }

    /// Frames that were lost.
    pub const fn lost(&self) -> u64 {
        self.lost
    }

    /// Runs of lost frames, the one that lasts included.
    pub const fn runs(&self) -> u64 {
        self.runs
    }

    /// Frames in the longest run; 0 when nothing was lost.
    pub const fn longest_run(&self) -> u64 {
        self.longest
    }

    /// The share of frames that was lost, between 0 and 1; `None` without frames.
    pub fn loss_ratio(&self) -> Option<f64> {
        (self.total > 0).then(|| self.lost as f64 / self.total as f64)
    }

    /// Frames in a run on average; `None` when nothing was lost.
    pub fn mean_run(&self) -> Option<f64> {
        (self.runs > 0).then(|| self.lost as f64 / self.runs as f64)
    }

    /// The burst ratio of G.107 (`BurstR`); `None` when nothing was lost, and when everything was:
    /// then random loss too would be one run without an end.
    pub fn burst_ratio(&self) -> Option<f64> {
        let received_ratio = 1.0 - self.loss_ratio()?;
        let observed = self.mean_run()?;
        (self.lost < self.total).then_some(observed * received_ratio)
    }
}

#[cfg(test)]
mod tests {
    use rand::rngs::StdRng;
    use rand::{RngExt, SeedableRng};

    use super::*;

    /// `x` was lost.
    fn fates(fates: &str) -> LossRuns {
        let mut runs = LossRuns::default();
        fates.chars().for_each(|fate| runs.frame(fate == 'x'));
        runs
    }

    #[test]
    fn frames_are_judged_in_their_order_whatever_that_of_their_arrivals() {
        let fates = |arrivals: &[u64], sent| {
            let mut fates = FrameFates::new();
            for frame in arrivals {
                fates.arrived(*frame);
            }
            let runs = fates.finish(sent);
            (runs.total(), runs.lost(), runs.runs(), runs.longest_run())
        };
        assert_eq!(fates(&[0, 1, 2], 3), (3, 0, 0, 0));
        assert_eq!(fates(&[2, 0, 5, 3, 3], 7), (7, 3, 3, 1), "1, 4 and 6 are missing");
        assert_eq!(fates(&[], 4), (4, 4, 1, 4));
        // 2,000 after 0: all between are lost but those that still arrive within reach.
        assert_eq!(fates(&[0, 2000, 1000, 10], 2001), (2001, 1998, 2, 999));
        assert_eq!(fates(&[5000], 5001), (5001, 5000, 1, 5000));
    }

    #[test]
    fn runs_of_known_fates() {
        for (seen, total, lost, runs, longest) in [
            ("", 0, 0, 0, 0),
            ("....", 4, 0, 0, 0),
            (".x..xxx.xx", 10, 6, 3, 3),
            ("xx.x", 4, 3, 2, 2),
            ("xxx", 3, 3, 1, 3),
        ] {
            let seen = fates(seen);
            let counted = (seen.total(), seen.lost(), seen.runs(), seen.longest_run());
            assert_eq!(counted, (total, lost, runs, longest), "{seen:?}");
        }
        assert_eq!(fates(".x..xxx.xx").mean_run(), Some(2.0));
        assert_eq!(fates(".x..xxx.xx").loss_ratio(), Some(0.6));
    }

    #[test]
    fn burst_ratio_needs_both_fates() {
        assert_eq!(LossRuns::default().loss_ratio(), None);
        assert_eq!((fates("...").mean_run(), fates("...").burst_ratio()), (None, None));
        assert_eq!((fates("xxx").mean_run(), fates("xxx").burst_ratio()), (Some(3.0), None));
        // Half lost: random runs are 2 long, these are 4 and 1.
        assert_eq!(fates("xxxx....").burst_ratio(), Some(2.0));
        assert_eq!(fates("x.x.x.x.").burst_ratio(), Some(0.5));
    }

    #[test]
    fn runs_of_two_devices_never_join() {
        let mut pool = LossRuns::default();
        pool.merge(&fates(".xx"));
        pool.merge(&fates("xxx.x"));
        let expected = LossRuns { total: 8, lost: 6, runs: 3, longest: 3, current: 0 };
        assert_eq!(pool, expected);
        // Nor does the next frame of a device join what was merged.
        let mut device = fates(".");
        device.merge(&fates(".xx"));
        device.frame(true);
        assert_eq!((device.runs(), device.longest_run()), (2, 2));
    }

    #[test]
    fn random_loss_has_a_burst_ratio_of_1() {
        let (mut random, mut runs) = (StdRng::seed_from_u64(107), LossRuns::default());
        (0..1_000_000).for_each(|_| runs.frame(random.random_bool(0.05)));
        let ratio = runs.burst_ratio().unwrap();
        assert!((ratio - 1.0).abs() < 0.01, "{ratio}");
    }

    #[test]
    fn gilbert_elliott_loss_and_bursts_are_met() {
        let (p, r, packets) = (0.005, 0.2, 1_000_000.0);
        let (mut random, mut runs, mut bad) =
            (StdRng::seed_from_u64(1960), LossRuns::default(), false);
        for _ in 0..1_000_000 {
            bad = if bad { !random.random_bool(r) } else { random.random_bool(p) };
            runs.frame(bad);
        }
        let loss = p / (p + r);
        // Losses that follow one another tell less than as many independent ones: the binomial
        // variance times (1 + λ) / (1 − λ) with λ = 1 − p − r.
        let loss_variance = loss * (1.0 - loss) / packets * (2.0 - p - r) / (p + r);
        let within = |seen: f64, expected: f64, variance: f64| {
            assert!((seen - expected).abs() <= 3.0 * variance.sqrt(), "{seen}, not {expected}");
        };
        within(loss, 0.024_39, 1e-12);
        within(runs.loss_ratio().unwrap(), loss, loss_variance);
        // Runs are geometric with the mean 1/r, and there are loss · r of them a packet.
        let run_variance = (1.0 - r) / (r * r) / (packets * loss * r);
        within(runs.mean_run().unwrap(), 5.0, run_variance);
        // BurstR = run · (1 − loss), both errors taken together to first order.
        let burst_variance =
            run_variance * (1.0 - loss).powi(2) + loss_variance * (1.0 / r).powi(2);
        within(runs.burst_ratio().unwrap(), 1.0 / (p + r), burst_variance);
        within(1.0 / (p + r), 4.878, 1e-7);
    }
}
