//! Capacity search: the largest load that meets its limits, by the classification of `MLRsearch`
//! (draft-ietf-bmwg-mlrsearch, appendix), on whole numbers of devices.
//!
//! A trial is good or bad and lasts for some time; one bad trial proves nothing. A load is a **lower
//! bound** when so much of the time at it was good that the share of bad time stays within `exceed`
//! whatever comes until `sum` is full, an **upper bound** when it cannot any more, and undecided until
//! then. The search doubles or halves from an estimate until it has both, and then halves the bracket on a
//! logarithmic scale until it is `width` wide. A load that cannot be brought bounds it from above without being
//! called too much. What comes next depends on the trials alone, in whatever
//! order they were run: a search that was broken off goes on where it was.

use std::collections::BTreeMap;

use serde::{Deserialize, Serialize};
use statrs::function::beta::beta_reg;

/// What a search is after.
#[derive(Clone, Copy, Debug, PartialEq, Serialize, Deserialize)]
pub struct Goal {
    /// Time of trials at one load, in s, after which it is decided at the latest.
    pub sum_s: f64,
    /// Share of that time that may be bad.
    pub exceed: f64,
    /// How wide the bracket may be, as a share of its lower end.
    pub width: f64,
    /// The least and the most load that is tried.
    pub range: (u32, u32),
}

/// The time of the trials at one load.
#[derive(Clone, Copy, Debug, Default, PartialEq, Serialize, Deserialize)]
pub struct Account {
    /// Good trials, in s.
    pub good_s: f64,
    /// Bad trials, in s.
    pub bad_s: f64,
}

/// What a load is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Bound {
    /// It is met.
    Lower,
    /// It is too much.
    Upper,
    /// More trials are needed.
    Undecided,
}

/// What comes next.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Step {
    /// A trial at this load.
    Trial(u32),
    /// Nothing: this is the result.
    Done(Bracket),
}

/// Between what the capacity lies.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Bracket {
    /// The largest load that is met below the smallest that is too much; `None`: not even the least.
    pub lower: Option<u32>,
    /// The smallest load that is too much; `None`: not even the most.
    pub upper: Option<u32>,
}

/// A search, as far as it has come.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Search {
    goal: Goal,
    estimate: u32,
    accounts: BTreeMap<u32, Account>,
    /// The least load that could not be brought; `None` while every load could.
    #[serde(default)]
    out_of_reach: Option<u32>,
}

impl Search {
    /// A search that begins at an estimate.
    pub fn new(goal: Goal, estimate: u32) -> Self {
        let estimate = estimate.clamp(goal.range.0, goal.range.1);
        Self { goal, estimate, accounts: BTreeMap::new(), out_of_reach: None }
    }

    /// Whether it is after this.
    pub fn is_after(&self, goal: &Goal) -> bool {
        self.goal == *goal
    }

    /// Takes note of a trial.
    pub fn trial(&mut self, load: u32, lasting_s: f64, good: bool) {
        let account = self.accounts.entry(load).or_default();
        *if good { &mut account.good_s } else { &mut account.bad_s } += lasting_s;
    }

    /// Takes note that a load cannot be brought: neither it nor more is tried again.
    pub fn cannot_be_brought(&mut self, load: u32) {
        self.out_of_reach = Some(self.out_of_reach.map_or(load, |least| least.min(load)));
    }

    /// The least load that could not be brought, where the bracket ends for that alone.
    pub fn out_of_reach(&self) -> Option<u32> {
        self.out_of_reach.filter(|_| self.bracket().upper.is_none())
    }

    /// What a load is by now.
    pub fn bound(&self, load: u32) -> Bound {
        let Account { good_s, bad_s } = self.accounts.get(&load).copied().unwrap_or_default();
        let whole = (good_s + bad_s).max(self.goal.sum_s);
        let may_be_bad = whole * self.goal.exceed;
        let even_if_all_is_bad = whole - good_s <= may_be_bad;
        let even_if_all_is_good = bad_s <= may_be_bad;
        match (even_if_all_is_bad, even_if_all_is_good) {
            (true, true) => Bound::Lower,
            (false, false) => Bound::Upper,
            _ => Bound::Undecided,
        }
    }

    /// Trials at each load so far.
    pub fn accounts(&self) -> &BTreeMap<u32, Account> {
        &self.accounts
    }

    /// How sure it is that no more, or that more, than the share that may be bad is bad at a load that is a
    /// bound: of all true shares between 0 and 1, each as likely at first (Bayes and Laplace), those that are on
    /// the right side after its trials, each `trial_s` long. `None` of a load that is undecided, and of a lower bound
    /// where no share may be bad: that a share is exactly 0 no number of trials makes likely.
    pub fn confidence(&self, load: u32, trial_s: f64) -> Option<f64> {
        let Account { good_s, bad_s } = self.accounts.get(&load).copied().unwrap_or_default();
        let within = beta_reg(
            bad_s / trial_s + 1.0,
            good_s / trial_s + 1.0,
            self.goal.exceed.clamp(0.0, 1.0),
        );
        match self.bound(load) {
            Bound::Lower => (self.goal.exceed > 0.0).then_some(within),
            Bound::Upper => Some(1.0 - within),
            Bound::Undecided => None,
        }
    }

    /// Between what the capacity lies, as far as is known.
    pub fn bracket(&self) -> Bracket {
        let is =
            |bound| self.accounts.keys().copied().filter(move |load| self.bound(*load) == bound);
        let upper = is(Bound::Upper).min();
        let lower = is(Bound::Lower).filter(|load| upper.is_none_or(|upper| *load < upper)).max();
        Bracket { lower, upper }
    }

    /// What comes next.
    pub fn next(&self) -> Step {
        let (least, most) = self.goal.range;
        let bracket = self.bracket();
        let Bracket { lower, upper } = bracket;
        let upper = upper.into_iter().chain(self.out_of_reach).min();
        let load = match (Bracket { lower, upper }) {
            Bracket { lower: None, upper: None } => self.estimate,
            Bracket { lower: Some(lower), upper: None } if lower < most => {
                lower.saturating_mul(2).max(lower + 1).min(most)
            }
            Bracket { lower: None, upper: Some(upper) } if upper > least => (upper / 2).max(least),
            Bracket { lower: Some(lower), upper: Some(upper) } if !self.is_narrow(lower, upper) => {
                between(lower, upper)
            }
            _ => return Step::Done(bracket),
        };
        Step::Trial(load)
    }

    fn is_narrow(&self, lower: u32, upper: u32) -> bool {
        upper - lower <= 1 || f64::from(upper) <= f64::from(lower) * (1.0 + self.goal.width)
    }
}

/// The middle of two loads on a logarithmic scale; between them.
fn between(lower: u32, upper: u32) -> u32 {
    let middle = (u64::from(lower) * u64::from(upper)).isqrt();
    u32::try_from(middle).unwrap_or(u32::MAX).clamp(lower + 1, upper - 1)
}

#[cfg(test)]
mod tests {
    use rand::rngs::StdRng;
    use rand::{RngExt, SeedableRng};

    use super::*;

    /// As `din search` has it.
    const GOAL: Goal = Goal { sum_s: 70.0, exceed: 0.5, width: 0.02, range: (1, 20_000) };
    const TRIAL_S: f64 = 10.0;

    /// Searches with trials that are bad by `bad`; the bracket, and how many trials it took.
    fn searched(estimate: u32, mut bad: impl FnMut(u32) -> bool) -> (Bracket, usize) {
        let mut search = Search::new(GOAL, estimate);
        for trials in 0..10_000 {
            match search.next() {
                Step::Done(bracket) => return (bracket, trials),
                Step::Trial(load) => {
                    let good = !bad(load);
                    search.trial(load, TRIAL_S, good);
                }
            }
        }
        panic!("it never ends: {search:?}");
    }

    /// The same by halving an interval, one trial at each load.
    fn bisected(mut bad: impl FnMut(u32) -> bool) -> u32 {
        let (mut lower, mut upper) = (1, 400);
        while f64::from(upper) > f64::from(lower) * 1.02 && upper - lower > 1 {
            let load = between(lower, upper);
            *if bad(load) { &mut upper } else { &mut lower } = load;
        }
        lower
    }

    /// Φ((load − 100) / 5), by the sum of twelve.
    fn normal_step(rng: &mut StdRng, load: u32) -> bool {
        let noise = (0..12).map(|_| rng.random::<f64>()).sum::<f64>() - 6.0;
        f64::from(load) + 5.0 * noise > 100.0
    }

    #[test]
    fn a_step_with_noise_is_bracketed_within_5_percent() {
        let close = (0..500_u32).filter(|seed| {
            let mut rng = StdRng::seed_from_u64((*seed).into());
            let (bracket, _) = searched(30 + (seed % 8) * 40, |load| normal_step(&mut rng, load));
            let (Some(lower), Some(upper)) = (bracket.lower, bracket.upper) else { return false };
            lower >= 95 && upper <= 105 && upper - lower <= 2
        });
        let close = close.count();
        assert!(close >= 475, "{close} of 500");
    }

    #[test]
    fn a_step_without_noise_is_bracketed_exactly() {
        for step in [1, 7, 100, 101, 4096, 19_999] {
            let (bracket, trials) = searched(64, |load| load > step);
            assert_eq!(bracket.lower.map(|lower| lower <= step), Some(true), "{step}: {bracket:?}");
            assert_eq!(bracket.upper.map(|upper| upper > step), Some(true), "{step}: {bracket:?}");
            assert!(trials < 150, "{step}: {trials}");
        }
        assert_eq!(searched(64, |_| false).0, Bracket { lower: Some(20_000), upper: None });
        assert_eq!(searched(64, |_| true).0, Bracket { lower: None, upper: Some(1) });
    }

    #[test]
    fn one_bad_trial_in_twenty_moves_it_less_than_plain_bisection() {
        let bad = |rng: &mut StdRng, load| load > 100 || rng.random::<f64>() < 0.05;
        let (mut moved, mut collapsed) = (0, 0);
        for seed in 0..500 {
            let mut rng = StdRng::seed_from_u64(seed);
            let (bracket, _) = searched(64, |load| bad(&mut rng, load));
            let lower = bracket.lower.unwrap_or(0);
            moved += u32::from(!(95..=100).contains(&lower));
            let mut rng = StdRng::seed_from_u64(seed);
            collapsed += u32::from(bisected(|load| bad(&mut rng, load)) < 95);
        }
        assert!(moved <= 5, "{moved} of 500");
        assert!(collapsed >= 50, "{collapsed} of 500: what is shown beside it");
    }

    #[test]
    fn a_search_that_is_broken_off_goes_on_where_it_was() {
        let run = |broken_off: Option<u64>| {
            let mut search = Search::new(GOAL, 30);
            // What a trial comes to depends on its number alone.
            for number in 0.. {
                let Step::Trial(load) = search.next() else { break };
                let mut rng = StdRng::seed_from_u64(number);
                search.trial(load, TRIAL_S, !normal_step(&mut rng, load));
                if Some(number) == broken_off {
                    let kept = serde_json::to_string(&search).unwrap();
                    search = serde_json::from_str(&kept).unwrap();
                }
            }
            search
        };
        let whole = run(None);
        for broken_off in [0, 5, 17] {
            assert_eq!(run(Some(broken_off)), whole);
        }
    }

    /// Searches where more than `reach` cannot be brought.
    fn within_reach(estimate: u32, reach: u32, step: u32) -> Search {
        let mut search = Search::new(GOAL, estimate);
        while let Step::Trial(load) = search.next() {
            if load > reach {
                search.cannot_be_brought(load);
            } else {
                search.trial(load, TRIAL_S, load <= step);
            }
        }
        search
    }

    #[test]
    fn a_load_that_cannot_be_brought_sends_the_search_below_it() {
        // The step is within reach, though doubling and the estimate were not.
        for estimate in [64, 150, 5000] {
            let search = within_reach(estimate, 120, 100);
            let Bracket { lower: Some(lower), upper: Some(upper) } = search.bracket() else {
                panic!("{estimate}: {search:?}");
            };
            assert!(lower <= 100 && upper > 100 && upper <= 103, "{estimate}: {lower} to {upper}");
            assert_eq!(search.out_of_reach(), None, "what ends the bracket is the step");
        }
        // The step is beyond: all that is known is what was met, close to what can be brought.
        let search = within_reach(64, 120, 200);
        let Bracket { lower: Some(lower), upper: None } = search.bracket() else {
            panic!("{search:?}");
        };
        assert!((118..=120).contains(&lower), "{lower}");
        assert!(search.out_of_reach().is_some_and(|load| load > 120), "{search:?}");
        // Not even the least.
        let search = within_reach(64, 0, 200);
        assert_eq!(search.bracket(), Bracket { lower: None, upper: None });
        assert_eq!(search.out_of_reach(), Some(1));
    }

    #[test]
    fn four_of_seven_trials_decide() {
        let mut search = Search::new(GOAL, 50);
        for (good, bound) in [
            (true, Bound::Undecided),
            (false, Bound::Undecided),
            (false, Bound::Undecided),
            (true, Bound::Undecided),
            (true, Bound::Undecided),
            (true, Bound::Lower),
        ] {
            search.trial(50, TRIAL_S, good);
            assert_eq!(search.bound(50), bound);
        }
        assert_eq!(search.bound(51), Bound::Undecided, "never tried");
    }

    #[test]
    fn more_trials_are_surer() {
        let sure = |good: u32, bad: u32| {
            let mut search = Search::new(GOAL, 50);
            (0..good).for_each(|_| search.trial(50, TRIAL_S, true));
            (0..bad).for_each(|_| search.trial(50, TRIAL_S, false));
            search.confidence(50, TRIAL_S)
        };
        assert_eq!((sure(3, 0), sure(0, 0)), (None, None), "not decided");
        for (good, bad, share) in [(4, 0, 0.968_75), (0, 4, 0.968_75), (4, 3, 0.636_718_75)] {
            let seen = sure(good, bad).unwrap();
            assert!((seen - share).abs() < 1e-9, "{good} and {bad}: {seen}");
        }
    }

    #[test]
    fn that_nothing_may_be_bad_is_never_sure_and_that_it_was_is() {
        let mut search = Search::new(Goal { exceed: 0.0, ..GOAL }, 50);
        for _ in 0..7 {
            search.trial(50, TRIAL_S, true);
        }
        search.trial(60, TRIAL_S, false);
        assert_eq!((search.bound(50), search.confidence(50, TRIAL_S)), (Bound::Lower, None));
        assert_eq!((search.bound(60), search.confidence(60, TRIAL_S)), (Bound::Upper, Some(1.0)));
    }

    #[test]
    fn a_range_may_begin_at_nothing() {
        let mut search = Search::new(Goal { range: (0, 10), ..GOAL }, 0);
        let bracket = loop {
            match search.next() {
                Step::Done(bracket) => break bracket,
                Step::Trial(load) => search.trial(load, TRIAL_S, load <= 6),
            }
        };
        assert_eq!((bracket.lower, bracket.upper), (Some(6), Some(7)));
    }
}
