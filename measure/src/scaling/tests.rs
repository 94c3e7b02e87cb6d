//! The scores against vectors that were worked out by hand or by others.

use super::*;

const fn s(seconds: u64) -> Duration {
    Duration::from_secs(seconds)
}

fn steps(steps: &[(u64, u32)]) -> Steps {
    Steps::new(steps.iter().map(|&(at, workers)| (s(at), workers)).collect()).unwrap()
}

fn assert_close(seen: f64, expected: f64, what: &str) {
    assert!((seen - expected).abs() < 1e-9, "{what}: {seen}, not {expected}");
}

#[test]
fn the_vector_of_bungees_own_tests_is_met() {
    let demand = steps(&[(0, 1), (7, 5), (16, 3), (17, 2), (19, 4)]);
    let supply =
        steps(&[(0, 1), (2, 2), (3, 1), (5, 3), (9, 7), (11, 6), (12, 8), (14, 2), (20, 2)]);
    let scores = Elasticity::of(&demand, &supply, s(20)).unwrap();
    assert_close(scores.accuracy_under, 13.0 / 20.0, "accuracy_under");
    assert_close(scores.accuracy_over, 16.0 / 20.0, "accuracy_over");
    assert_close(scores.timeshare_under, 6.0 / 20.0, "timeshare_under");
    assert_close(scores.timeshare_over, 8.0 / 20.0, "timeshare_over");
    assert_eq!((scores.supply_steps, scores.demand_steps), (17, 9));
    assert_close(scores.jitter_per_minute, 8.0 / 20.0 * 60.0, "jitter");
    // Supply less demand, integrated, is what is over less what is under.
    assert_close(scores.cost_worker_s - scores.ideal_worker_s, 16.0 - 13.0, "cost");
}

#[test]
fn supply_as_demanded_scores_0_and_one_more_scores_1_over() {
    let demand = steps(&[(0, 1), (7, 5), (16, 3)]);
    let exact = Elasticity::of(&demand, &demand, s(20)).unwrap();
    for score in [exact.accuracy_under, exact.accuracy_over, exact.timeshare_under] {
        assert_close(score, 0.0, "exact");
    }
    assert_close(exact.timeshare_over + exact.jitter_per_minute, 0.0, "exact");
    let more = steps(&[(0, 2), (7, 6), (16, 4)]);
    let more = Elasticity::of(&demand, &more, s(20)).unwrap();
    assert_close(more.accuracy_over, 1.0, "one more");
    assert_close(more.accuracy_under, 0.0, "one more");
}

#[test]
fn a_step_function_starts_at_the_start_and_ascends() {
    for bad in [&[][..], &[(1, 2)], &[(0, 1), (0, 2)], &[(0, 1), (5, 2), (4, 3)]] {
        let bad = bad.iter().map(|&(at, workers)| (s(at), workers)).collect();
        assert_eq!(Steps::new(bad), None);
    }
    let demand = steps(&[(0, 1), (5, 2)]);
    assert_eq!([0, 4, 5, 9].map(|at| demand.at(s(at))), [1, 1, 2, 2]);
    assert_eq!(Elasticity::of(&demand, &demand, s(0)), None);
}

#[test]
fn times_after_a_step_count_from_the_step() {
    assert_eq!(time_to_detect(s(10), &[s(4), s(12), s(13)]), Some(s(2)));
    assert_eq!(time_to_detect(s(10), &[s(4)]), None);
    let supply = steps(&[(0, 2), (4, 3), (11, 2), (13, 5)]);
    assert_eq!(time_to_ready(s(10), &supply), Some(s(3)));
    assert_eq!(time_to_ready(s(14), &supply), None);
}

#[test]
fn recovered_means_five_seconds_without_a_miss() {
    let windows =
        |misses: &[u64]| -> Vec<_> { (0..20).map(|at| (s(at), !misses.contains(&at))).collect() };
    let recover = |misses: &[u64]| time_to_recover(s(5), &windows(misses), s(20));
    assert_eq!(recover(&[]), Some(s(0)));
    assert_eq!(recover(&[5, 6]), Some(s(2)));
    assert_eq!(recover(&[5, 11]), Some(s(1)), "6 to 10 are five seconds");
    assert_eq!(recover(&[5, 10]), Some(s(6)), "6 to 9 are too few");
    assert_eq!(recover(&[5, 10, 16]), Some(s(6)));
    assert_eq!(recover(&[5, 10, 15, 16]), None);
}

#[test]
fn overshoot_is_what_was_too_much_over_what_was_needed() {
    let demand = steps(&[(0, 2), (10, 4)]);
    let supply = steps(&[(0, 8), (5, 2), (12, 6), (15, 4)]);
    assert_eq!(overshoot(s(10), s(20), &demand, &supply), Some(0.5));
    assert_eq!(overshoot(s(10), s(12), &demand, &supply), Some(0.0));
    assert_eq!(overshoot(s(0), s(20), &steps(&[(0, 0)]), &supply), None);
}

#[test]
fn a_flap_is_a_quick_reversal_that_no_demand_asked_for() {
    let constant = steps(&[(0, 2)]);
    for (supply, expected) in [
        (&[(0, 2)][..], 0),
        (&[(0, 2), (10, 3), (20, 4)], 0),
        (&[(0, 2), (10, 3), (20, 2)], 1),
        (&[(0, 2), (10, 3), (20, 2), (30, 3)], 2),
        (&[(0, 2), (10, 3), (41, 2)], 0),
    ] {
        assert_eq!(flaps(&constant, &steps(supply), s(60)), expected, "{supply:?}");
    }
    let fell = steps(&[(0, 3), (15, 2)]);
    assert_eq!(flaps(&fell, &steps(&[(0, 2), (10, 3), (20, 2)]), s(60)), 0);
}
