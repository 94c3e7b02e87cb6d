//! A NAT that forgets: now and then a device's packets come from another source port.

use std::time::Duration;

use protocol::Moment;
use rand::rngs::StdRng;
use rand::{RngExt, SeedableRng};

/// When one device gets another source port.
#[derive(Debug)]
pub struct Rebinds {
    /// What is to come, the next one last.
    to_come: Vec<(Moment, Option<Duration>)>,
    every: Option<Duration>,
    next: Moment,
    /// How far into its first period a device is.
    phase: f64,
}

impl Rebinds {
    /// Once in each `every`, from its moment on: `None`, never. Devices do so one after the other, as
    /// `seed` has it; a device begins at `begin`.
    pub fn new(courses: &[(Moment, Option<Duration>)], begin: Moment, seed: u64) -> Self {
        let to_come: Vec<_> =
            courses.iter().rev().map(|(from, every)| ((*from).max(begin), *every)).collect();
        let phase = StdRng::seed_from_u64(seed).random();
        Self { to_come, every: None, next: Moment::START, phase }
    }

    /// Whether a packet that leaves at `at`, not before the one before it, has another source port.
    pub fn strikes(&mut self, at: Moment) -> bool {
        while let Some((from, every)) = self.to_come.pop_if(|(from, _)| *from <= at) {
            self.every = every.filter(|every| !every.is_zero());
            self.next = from + every.unwrap_or_default().mul_f64(self.phase);
        }
        let Some(every) = self.every else { return false };
        let strikes = at >= self.next;
        while self.next <= at {
            self.next += every;
        }
        strikes
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn ports_change_once_a_period_while_they_are_to() {
        let ms = Moment::from_millis;
        let courses =
            [(Moment::START, None), (ms(1000), Some(Duration::from_millis(500))), (ms(3000), None)];
        let strikes = |seed| -> Vec<u64> {
            let mut rebinds = Rebinds::new(&courses, ms(100), seed);
            (0..500).map(|n| n * 10).filter(|at| rebinds.strikes(ms(*at))).collect()
        };
        let (one, other) = (strikes(1), strikes(2));
        assert_eq!(one.len(), 4, "{one:?}");
        assert!((1000..1500).contains(&one[0]), "{one:?}");
        assert!(one.windows(2).all(|pair| pair[1] - pair[0] == 500), "{one:?}");
        assert!(one != other && strikes(1) == one);
    }
}
