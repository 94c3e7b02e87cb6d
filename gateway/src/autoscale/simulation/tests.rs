//! What each policy does with a pool, over seeded loads.

use super::load::{Arrivals, Load, Work};
use super::*;
use crate::autoscale::{Policy, Reason};
use rand::rngs::StdRng;
use rand::{RngExt, SeedableRng};

const MIN: usize = 2;
const MAX: usize = 8;

fn settings(policy: Policy) -> AutoscaleSettings {
    AutoscaleSettings { policy, ..AutoscaleSettings::default() }
}

fn setup(policy: Policy, workers: usize, end: Duration) -> Setup {
    Setup { settings: settings(policy), workers, start_up: Duration::from_millis(200), end }
}

const fn s(seconds: u64) -> Duration {
    Duration::from_secs(seconds)
}

/// Whatever a seed says: constant, steps, a ramp, a square wave, bursts, with silences between.
fn any_load(seed: u64) -> Load {
    let random = &mut StdRng::seed_from_u64(seed);
    let high = random.random_range(0.2..7.0);
    let low = random.random_range(0.0..high);
    let segments = match seed % 6 {
        0 => vec![(high, 40.0)],
        1 => vec![(low, 15.0), (high, 15.0), (low, 15.0)],
        2 => (0..40).map(|step| (high * f64::from(step) / 40.0, 1.0)).collect(),
        3 => [(high, random.random_range(0.3..15.0)), (low, 4.0)].repeat(3),
        4 => [(high * 3.0, 0.1), (0.0, random.random_range(0.5..9.0))].repeat(5),
        _ => vec![(high, 10.0), (0.0, 25.0), (low, 10.0)],
    };
    Load {
        segments,
        work: if random.random() { Work::Even } else { Work::Bimodal },
        arrivals: if random.random() { Arrivals::Even } else { Arrivals::Poisson },
        seed,
    }
}

/// Every policy over this load, long enough for the minimum to finish all of it.
fn each_policy(seed: u64, check: impl Fn(&Setup, &Outcome, usize, &str)) {
    let load = any_load(seed);
    let frames = load.frames();
    let work: Duration = frames.iter().map(|frame| frame.work).sum();
    let random = &mut StdRng::seed_from_u64(!seed);
    for policy in Policy::ALL {
        let setup = Setup {
            start_up: Duration::from_millis(random.random_range(0..1000)),
            ..setup(policy, random.random_range(MIN..=6), load.length() + work / 2 + s(1))
        };
        let what = format!("seed {seed}, {policy:?}");
        check(&setup, &run(&setup, &frames), frames.len(), &what);
    }
}

#[test]
fn supply_stays_inside_its_bounds_and_leavers_finish_what_they_have() {
    let mut finished_by_leavers = 0;
    for seed in 0..24 {
        each_policy(seed, |setup, outcome, frames, what| {
            let bounds = MIN..=setup.settings.max();
            assert!(outcome.supply.iter().all(|step| bounds.contains(&step.1)), "{what}");
            assert_eq!(outcome.finished, frames, "{what}");
        });
        let load = any_load(seed);
        let falling = setup(Policy::QueueDelay, MAX, load.length() + s(20));
        finished_by_leavers += run(&falling, &load.frames()).finished_by_leavers;
    }
    assert!(finished_by_leavers > 0, "some workers were told to leave with a frame in hand");
}

#[test]
fn no_policy_turns_back_before_its_window_or_cool_down_is_over() {
    for seed in 100..124 {
        each_policy(seed, |setup, outcome, _, what| {
            let (settings, changes) = (&setup.settings, outcome.directions());
            for pair in changes.windows(2) {
                let ((before, first), (after, second)) = (pair[0], pair[1]);
                let pause = match (settings.policy, first, second) {
                    (Policy::QueueDelay, Direction::Up, Direction::Down) => settings.window,
                    (_, _, Direction::Down) => settings.down_cooldown(),
                    (_, _, Direction::Up) => settings.up_cooldown(),
                };
                assert!(after.since(before) >= pause, "{what}: {changes:?}");
            }
        });
    }
}

#[test]
fn constant_load_is_left_alone_once_it_has_settled() {
    for (policy, settled, end) in [
        (Policy::Fixed, s(0), s(60)),
        (Policy::Production, s(180), s(300)),
        (Policy::ProductionExtreme, s(60), s(200)),
        (Policy::QueueDelay, s(30), s(150)),
    ] {
        for seed in 0..4 {
            let random = &mut StdRng::seed_from_u64(seed);
            let erlangs = random.random_range(0.1..5.6);
            let load = Load { seed, ..Load::even(&[(erlangs, end.as_secs_f64())]) };
            let setup = setup(policy, random.random_range(MIN..=6), end);
            let outcome = run(&setup, &load.frames());
            let late = outcome.changes.iter().find(|(at, _)| at.since_start() > settled);
            assert_eq!(late, None, "seed {seed}, {policy:?}, {erlangs} erlangs");
        }
    }
}

#[test]
fn queue_delay_recovers_from_a_fourfold_step_and_returns_to_the_minimum_after_silence() {
    for seed in 0..40 {
        let random = &mut StdRng::seed_from_u64(seed);
        let erlangs = random.random_range(0.35..1.4);
        let load =
            Load { seed, ..Load::even(&[(erlangs, 20.0), (erlangs * 4.0, 20.0), (0.0, 20.0)]) };
        let setup = Setup {
            start_up: Duration::from_millis(random.random_range(0..=500)),
            ..setup(Policy::QueueDelay, MIN, load.length())
        };
        let outcome = run(&setup, &load.frames());
        let limit = setup.settings.standing_delay;
        let late = outcome.waits.iter().rev().find(|(_, wait)| *wait > limit);
        let recovered = late.map_or(s(20), |(arrived, wait)| arrived.since_start() + *wait);
        assert!(recovered <= s(23), "seed {seed}: {erlangs} erlangs, {recovered:?}");

        let needed = (erlangs * 4.0 / 0.7).ceil();
        let most = outcome.supply.iter().map(|step| step.1).max().unwrap();
        assert!(most as f64 <= needed.max(2.0) + 1.0, "seed {seed}: {most} of {needed}");
        assert_eq!(outcome.active_at_the_end(), MIN, "seed {seed}");
    }
}

#[test]
fn queue_delay_holds_through_a_square_wave_shorter_than_its_window() {
    for seed in 0..4 {
        let wave = [(4.9, 4.0), (0.7, 4.0)].repeat(10);
        let load = Load { seed, ..Load::even(&wave) };
        let outcome = run(&setup(Policy::QueueDelay, MIN, load.length()), &load.frames());
        let after_first_rise: Vec<_> =
            outcome.changes.iter().filter(|(at, _)| at.since_start() > s(4)).collect();
        assert!(after_first_rise.is_empty(), "seed {seed}: {after_first_rise:?}");
        assert!((7..=MAX).contains(&outcome.active_at_the_end()), "seed {seed}");
    }
}

#[test]
fn queue_delay_follows_a_ramp_before_a_queue_forms() {
    let ramp: Vec<_> = (0..50).map(|step| (0.7 + f64::from(step) / 10.0, 1.0)).collect();
    let load = Load::even(&ramp);
    let outcome = run(&setup(Policy::QueueDelay, MIN, load.length()), &load.frames());
    let longest = outcome.waits.iter().map(|(_, wait)| *wait).max();
    assert!(longest < Some(Duration::from_millis(1)), "{longest:?}");
    assert_eq!(outcome.active_at_the_end(), MAX);
    assert!(outcome.directions().iter().all(|(_, direction)| *direction == Direction::Up));
}

#[test]
fn production_needs_150_s_from_2_to_8_workers() {
    for seed in 0..3 {
        let quiet = StdRng::seed_from_u64(seed).random_range(1.0..12.0);
        let load = Load { seed, ..Load::even(&[(0.1, quiet), (5.6, 200.0)]) };
        let outcome = run(&setup(Policy::Production, MIN, load.length()), &load.frames());
        assert_eq!(outcome.changes.len(), MAX - MIN, "seed {seed}");
        let last = outcome.changes[MAX - MIN - 1].0.since_start();
        let took = last.saturating_sub(Duration::from_secs_f64(quiet));
        assert!(took >= s(150), "seed {seed}: {took:?}");
    }
}

/// One frame of this length, then an hour of nothing.
fn one_frame_then_silence(policy: Policy, millis: u64) -> Outcome {
    let slow = Frame { arrives: Moment::from_millis(500), work: Duration::from_millis(millis) };
    run(&setup(policy, 4, Duration::from_hours(1)), &[slow])
}

#[test]
fn production_never_shrinks_after_one_slow_frame_followed_by_silence() {
    let outcome = one_frame_then_silence(Policy::Production, 20);
    assert_eq!(outcome.changes, [], "it stays at 4 workers for an hour");
    // Above 50 ms it is worse: silence makes it grow.
    let outcome = one_frame_then_silence(Policy::Production, 51);
    assert_eq!(outcome.active_at_the_end(), MAX);
    let latency = |decision: &Decision| matches!(decision.reason, Reason::Latency { .. });
    assert!(outcome.changes.iter().all(|(_, decision)| latency(decision)));
    // A frame quick enough, or no frame at all, lets it shrink as it was meant to.
    assert_eq!(one_frame_then_silence(Policy::Production, 9).active_at_the_end(), MIN);
}

#[test]
fn queue_delay_forgets_one_slow_frame() {
    for millis in [9, 20, 51] {
        let outcome = one_frame_then_silence(Policy::QueueDelay, millis);
        assert_eq!(outcome.active_at_the_end(), MIN);
        let (at, _) = outcome.changes.last().unwrap();
        assert!(at.since_start() < s(13), "{at}");
    }
}

#[test]
fn production_reads_an_instant_and_misses_every_burst() {
    // 40 frames of 2 ms at once, each second, half a second off the checks: with 2 workers half of
    // them wait longer than 20 ms, and at each check nothing is pending.
    let bursts = (0..120).flat_map(|second| {
        let arrives = Moment::from_millis(second * 1000 + 500);
        (0..40).map(move |_| Frame { arrives, work: Duration::from_millis(2) })
    });
    let bursts: Vec<_> = bursts.collect();
    let outcome = run(&setup(Policy::Production, MIN, s(120)), &bursts);
    assert_eq!(outcome.changes, []);
    let longest = outcome.waits.iter().map(|(_, wait)| *wait).max();
    assert_eq!(longest, Some(Duration::from_millis(38)));
}

#[test]
fn queue_delay_is_not_nervous_about_devices_in_step() {
    // Devices that all send at the same instant of each 60 ms: checks see one burst or two.
    for devices in [6, 24, 31, 42, 50, 57, 63] {
        let bursts = (0..500).flat_map(|burst| {
            let arrives = Moment::from_millis(burst * 60);
            (0..devices).map(move |_| Frame { arrives, work: Duration::from_millis(5) })
        });
        let bursts: Vec<_> = bursts.collect();
        let outcome = run(&setup(Policy::QueueDelay, MIN, s(30)), &bursts);
        let late = outcome.changes.iter().find(|(at, _)| at.since_start() > s(15));
        assert_eq!(late, None, "{devices} devices");
    }
}
