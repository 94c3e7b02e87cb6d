//! How evenly work was shared among workers.
//!
//! Balance is about busy time, never about counts: a round robin shares counts perfectly while one
//! worker drowns. Idle-while-waiting is the sharpest sign of a pool that does not see its load.
//! Source: Jain, Chiu, Hawe, "A quantitative measure of fairness", DEC-TR-301 (1984), for the index.

use std::time::Duration;

/// How evenly busy time was spread over the workers of a pool.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Balance {
    /// Jain's index, (Σx)² / (n Σx²) = 1 / (1 + cv²): 1/n when one did everything, 1 when all did
    /// the same.
    pub jain: f64,
    /// The busiest worker's share of the mean; 1 when all did the same.
    pub max_over_mean: f64,
    /// Coefficient of variation: the standard deviation (of all, not of a sample) over the mean.
    pub cv: f64,
}

impl Balance {
    /// The balance of these workers' busy times; `None` when nobody was busy.
    pub fn of(busy: &[Duration]) -> Option<Self> {
        let workers = busy.len() as f64;
        let busy = || busy.iter().map(Duration::as_secs_f64);
        let (sum, squares) = (busy().sum::<f64>(), busy().map(|x| x * x).sum::<f64>());
        if sum <= 0.0 {
            return None;
        }
        let mean = sum / workers;
        let variance = busy().map(|x| (x - mean).powi(2)).sum::<f64>() / workers;
        Some(Self {
            jain: sum * sum / (workers * squares),
            max_over_mean: busy().fold(0.0, f64::max) / mean,
            cv: variance.sqrt() / mean,
        })
    }
}

/// Windows in which workers were busy for less than this share are not scored: almost nothing can
/// be shared badly.
pub const SCORED_FROM_LOAD: f64 = 0.2;

/// Jain's index over windows of equal length.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct WindowedBalance {
    /// The worst window.
    pub jain_min: f64,
    /// The mean over the windows.
    pub jain_mean: f64,
    /// How many windows were scored.
    pub windows: usize,
}

impl WindowedBalance {
    /// Scores every window, `length` long, whose load is above [`SCORED_FROM_LOAD`]; `None` when
    /// there is none. A window holds the busy time of each worker that served in it.
    pub fn of<'a>(
        windows: impl IntoIterator<Item = &'a [Duration]>,
        length: Duration,
    ) -> Option<Self> {
        let mut all = Windows::new(length);
        windows.into_iter().for_each(|busy| all.add(busy));
        all.finish()
    }
}

/// Windows of one length, scored one after the other; none is kept.
#[derive(Clone, Copy, Debug)]
pub struct Windows {
    length: Duration,
    min: f64,
    sum: f64,
    scored: usize,
}

impl Windows {
    /// No windows yet, each of this length.
    pub const fn new(length: Duration) -> Self {
        Self { length, min: f64::INFINITY, sum: 0.0, scored: 0 }
    }

    /// Adds the busy times of one window's workers.
    pub fn add(&mut self, busy: &[Duration]) {
        let load = busy.iter().map(Duration::as_secs_f64).sum::<f64>()
            / (busy.len() as f64 * self.length.as_secs_f64());
        if load > SCORED_FROM_LOAD
            && let Some(balance) = Balance::of(busy)
        {
            self.min = balance.jain.min(self.min);
            self.sum += balance.jain;
            self.scored += 1;
        }
    }

    /// The scores; `None` without a window that is scored.
    pub fn finish(&self) -> Option<WindowedBalance> {
        (self.scored > 0).then(|| WindowedBalance {
            jain_min: self.min,
            jain_mean: self.sum / self.scored as f64,
            windows: self.scored,
        })
    }
}

/// The time during which some worker was idle while work waited; 0 for a central queue.
///
/// Told of each change of the pool, in the order of time.
#[derive(Clone, Debug, Default)]
pub struct IdleWhileWaiting {
    total: Duration,
    /// Since when it is so, if it is.
    since: Option<Duration>,
}

impl IdleWhileWaiting {
    /// From `at` (since the start) on, this many workers are idle and this many sessions wait.
    pub fn changed(&mut self, at: Duration, idle_workers: usize, waiting: usize) {
        if let Some(since) = self.since.take() {
            self.total += at.saturating_sub(since);
        }
        self.since = (idle_workers > 0 && waiting > 0).then_some(at);
    }

    /// How long it was so from the start to `until`, altogether.
    pub fn total(&self, until: Duration) -> Duration {
        self.total + self.since.map_or(Duration::ZERO, |since| until.saturating_sub(since))
    }

    /// The share of the time from the start to `until`; 0 for no time.
    pub fn share(&self, until: Duration) -> f64 {
        if until.is_zero() { 0.0 } else { self.total(until).div_duration_f64(until) }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn seconds(busy: &[u64]) -> Vec<Duration> {
        busy.iter().copied().map(Duration::from_secs).collect()
    }

    fn close(seen: f64, expected: f64) -> bool {
        (seen - expected).abs() < 1e-6
    }

    #[test]
    fn jain_meets_its_oracles() {
        for (busy, jain, max_over_mean) in [
            (&[1, 1, 1, 1][..], 1.0, 1.0),
            (&[1, 0, 0, 0], 0.25, 4.0),
            (&[4, 2, 2, 2], 0.892_857, 1.6),
            (&[3, 1], 0.8, 1.5),
        ] {
            let balance = Balance::of(&seconds(busy)).unwrap();
            assert!(close(balance.jain, jain), "{busy:?}: {balance:?}");
            assert!(close(balance.max_over_mean, max_over_mean), "{busy:?}: {balance:?}");
            assert!(close(balance.jain, 1.0 / (1.0 + balance.cv.powi(2))), "{busy:?}: {balance:?}");
        }
    }

    #[test]
    fn nobody_busy_is_no_balance() {
        assert_eq!(Balance::of(&[]), None);
        assert_eq!(Balance::of(&seconds(&[0, 0])), None);
    }

    #[test]
    fn only_windows_with_load_are_scored() {
        let windows = [seconds(&[9, 9]), seconds(&[9, 3]), seconds(&[2, 0])];
        let scores =
            WindowedBalance::of(windows.iter().map(Vec::as_slice), Duration::from_secs(10));
        let scores = scores.unwrap();
        assert_eq!(scores.windows, 2, "{scores:?}");
        assert!(close(scores.jain_min, 0.8) && close(scores.jain_mean, 0.9), "{scores:?}");
        let idle = [seconds(&[1, 1])];
        assert_eq!(WindowedBalance::of([idle[0].as_slice()], Duration::from_secs(10)), None);
    }

    #[test]
    fn idle_while_waiting_needs_both_at_once() {
        let mut share = IdleWhileWaiting::default();
        for (at, idle, waiting) in [(0, 2, 0), (2, 1, 3), (3, 1, 1), (4, 0, 1), (8, 1, 1)] {
            share.changed(Duration::from_secs(at), idle, waiting);
        }
        assert!(close(share.share(Duration::from_secs(10)), 0.4), "{share:?}");
        assert!(close(IdleWhileWaiting::default().share(Duration::ZERO), 0.0));
    }
}
