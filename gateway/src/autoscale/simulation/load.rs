//! Seeded load for the simulation: same seed, same frames.

use std::time::Duration;

use protocol::Moment;
use rand::rngs::StdRng;
use rand::{RngExt, SeedableRng};

/// One frame: when it comes and how long a worker has it.
#[derive(Clone, Copy, Debug, PartialEq)]
pub(in super::super) struct Frame {
    pub(in super::super) arrives: Moment,
    pub(in super::super) work: Duration,
}

/// How work varies from frame to frame.
#[derive(Clone, Copy, Debug)]
pub(super) enum Work {
    /// 20 ms.
    Even,
    /// 2 ms, every tenth about 20 ms: production's stall.
    Bimodal,
}

/// How frames follow each other.
#[derive(Clone, Copy, Debug)]
pub(super) enum Arrivals {
    /// At equal distances.
    Even,
    /// Independently of each other.
    Poisson,
}

/// A load: so many busy workers' worth of work (λ E\[S\], in erlangs), for so many seconds, in turn.
#[derive(Clone, Debug)]
pub(super) struct Load {
    pub(super) segments: Vec<(f64, f64)>,
    pub(super) work: Work,
    pub(super) arrivals: Arrivals,
    pub(super) seed: u64,
}

impl Work {
    fn mean_s(self) -> f64 {
        match self {
            Self::Even => 0.020,
            Self::Bimodal => 0.9 * 0.002 + 0.1 * 0.020,
        }
    }

    fn draw(self, random: &mut StdRng) -> Duration {
        match self {
            Self::Bimodal if random.random_bool(0.9) => Duration::from_millis(2),
            Self::Even | Self::Bimodal => Duration::from_millis(20),
        }
    }
}

impl Load {
    /// Evenly spaced frames of 20 ms.
    pub(super) fn even(segments: &[(f64, f64)]) -> Self {
        Self { segments: segments.to_vec(), work: Work::Even, arrivals: Arrivals::Even, seed: 0 }
    }

    pub(super) fn length(&self) -> Duration {
        Duration::from_secs_f64(self.segments.iter().map(|(_, seconds)| seconds).sum())
    }

    pub(super) fn frames(&self) -> Vec<Frame> {
        let random = &mut StdRng::seed_from_u64(self.seed);
        let (mut frames, mut start) = (Vec::new(), 0.0);
        for &(erlangs, seconds) in &self.segments {
            let mean_gap = self.work.mean_s() / erlangs;
            let mut at = start + mean_gap * random.random::<f64>();
            start += seconds;
            while at < start {
                let arrives = Moment::from(Duration::from_secs_f64(at));
                frames.push(Frame { arrives, work: self.work.draw(random) });
                at += match self.arrivals {
                    Arrivals::Even => mean_gap,
                    // 1 − x is never 0.
                    Arrivals::Poisson => -mean_gap * (1.0 - random.random::<f64>()).ln(),
                };
            }
        }
        frames
    }
}
