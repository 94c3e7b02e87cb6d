//! Arrivals, churn and drops, by their counts and their places.

use super::super::Schedule;
use super::*;
use crate::scenario::RestartHow;
use crate::scenario::{Arrivals, Churn, Wave};

fn seconds(seconds: u64) -> Duration {
    Duration::from_secs(seconds)
}

fn rate(text: &str) -> Rate {
    #[derive(serde::Deserialize)]
    struct Table {
        rate: Rate,
    }
    toml::from_str::<Table>(&format!("rate = \"{text}\"")).unwrap().rate
}

/// `devices` for `hold` seconds.
fn hold(devices: u32, hold: u64) -> Phase {
    Phase::plain("hold", devices, Duration::ZERO, seconds(hold))
}

/// How many calls are open in the middle of each second.
fn levels(schedule: &Schedule) -> Vec<usize> {
    let end = schedule.phases.end().as_nanos() / 1_000_000_000;
    let middles = (0..end).map(|second| Moment::from_millis(second * 1000 + 500));
    let open = |at: Moment| move |call: &&PlannedCall| call.arrive <= at && at < call.leave;
    middles.map(|at| schedule.calls.iter().filter(open(at)).count()).collect()
}

#[test]
fn a_ramp_in_stairs_climbs_at_the_start_of_each() {
    let phase = Phase { steps: Some(3), ..Phase::plain("stairs", 10, seconds(6), seconds(2)) };
    let schedule = Schedule::new(std::slice::from_ref(&phase), &[], 1);
    assert_eq!(levels(&schedule), [3, 3, 6, 6, 10, 10, 10, 10]);
    let down = Phase { devices: 1, ..phase };
    assert_eq!(levels(&Schedule::new(&[hold(10, 1), down], &[], 1))[1..], [7, 7, 4, 4, 1, 1, 1, 1]);
}

#[test]
fn a_wave_goes_to_and_fro_and_the_next_phase_goes_on_from_where_it_is() {
    let wave = Wave { to: 2, period: seconds(8) };
    let wavy = Phase { wave: Some(wave), ..hold(10, 12) };
    let schedule = Schedule::new(&[wavy, hold(10, 1)], &[], 1);
    let levels = levels(&schedule);
    assert_eq!((levels[3], levels[4], levels[7], levels[11]), (2, 2, 10, 2), "{levels:?}");
    assert_eq!(levels[12], 10);
    assert_eq!(schedule.devices(), 10);
}

#[test]
fn arrivals_come_at_their_rate_beside_the_target_and_stay_their_time() {
    let arrivals = Arrivals { rate: rate("5/s"), spacing: Spacing::Even, stay: seconds(4) };
    let busy = Phase { arrivals: Some(arrivals), ..hold(3, 20) };
    let schedule = Schedule::new(&[busy, hold(3, 10)], &[], 1);
    let come: Vec<_> = schedule.calls.iter().filter(|call| call.device >= 3).collect();
    assert_eq!(come.len(), 99, "one each 200 ms, the first after the first gap");
    assert!(come.iter().all(|call| call.leave.since(call.arrive) == seconds(4)));
    // Little's law: 5 a second for 4 s each; then they run out.
    let levels = levels(&schedule);
    assert_eq!((levels[10], levels[29]), (23, 3), "{levels:?}");
    // Numbers are used again once a device is gone, and never by two at once.
    assert_eq!(schedule.devices(), 3 + 25);
    for (index, call) in come.iter().enumerate() {
        let same = come[index + 1..].iter().find(|other| other.device == call.device);
        assert!(same.is_none_or(|next| next.arrive >= call.leave), "{call:?} {same:?}");
    }

    let random = Arrivals { spacing: Spacing::Poisson, ..arrivals };
    let random = Phase { arrivals: Some(random), ..hold(0, 1000) };
    let calls = |seed| Schedule::new(std::slice::from_ref(&random), &[], seed).calls;
    // 5,000 within four standard deviations.
    assert!(calls(1).len().abs_diff(5000) < 4 * 71, "{}", calls(1).len());
    assert_eq!(calls(1), calls(1));
    assert_ne!(calls(1), calls(2));
    // Independent: gaps have the standard deviation of an exponential, their mean of 200 ms.
    let arrivals: Vec<f64> =
        calls(1).iter().map(|call| call.arrive.since_start().as_secs_f64()).collect();
    let gaps: Vec<f64> = arrivals.windows(2).map(|pair| pair[1] - pair[0]).collect();
    let mean = gaps.iter().sum::<f64>() / gaps.len() as f64;
    let variance = gaps.iter().map(|gap| (gap - mean).powi(2)).sum::<f64>() / gaps.len() as f64;
    assert!((variance.sqrt() / mean - 1.0).abs() < 0.08, "{} of {mean}", variance.sqrt());
}

#[test]
fn churn_cuts_calls_in_two_and_everybody_comes_back() {
    let churn = Churn {
        rate: rate("2/s"),
        spacing: Spacing::Even,
        how: Ending::Hello,
        away: Duration::from_millis(500),
    };
    let phase = Phase { churn: Some(churn), ..hold(20, 30) };
    let schedule = Schedule::new(&[phase], &[], 7);
    let broken: Vec<_> =
        schedule.calls.iter().filter(|call| call.ending == Ending::Hello).collect();
    // Not within the first second nor the last ones, in which no call can be broken.
    assert!((50..59).contains(&broken.len()), "{}", broken.len());
    for call in &broken {
        let back = call.leave + Duration::from_millis(500);
        let again = |other: &&PlannedCall| other.device == call.device && other.arrive == back;
        assert!(schedule.calls.iter().any(|other| again(&other)), "{call:?}");
    }
    assert_eq!(schedule.calls.len(), 20 + broken.len());
    assert_eq!(levels(&schedule)[29], 20);
}

#[test]
fn a_drop_takes_its_share_at_once_and_they_come_back_spread() {
    let comeback = Comeback { away: seconds(1), spread: seconds(2) };
    let what = |share| What::DropDevices { share, comeback };
    let drop = |share| Action { at: seconds(5), name: None, what: what(share) };
    let schedule = Schedule::new(&[hold(100, 20)], &[drop(0.3)], 1);
    let dropped: Vec<_> =
        schedule.calls.iter().filter(|call| call.ending == Ending::Drop).collect();
    assert_eq!(dropped.len(), 30);
    assert!(dropped.iter().all(|call| call.leave == Moment::from_millis(5000)));
    let back: Vec<_> = schedule.calls.iter().filter(|call| call.arrive > Moment::START).collect();
    let (least, most) = (Moment::from_millis(6000), Moment::from_millis(8000));
    assert_eq!(back.len(), 30);
    assert!(back.iter().all(|call| call.arrive >= least && call.arrive <= most));
    assert!(back.iter().any(|call| call.arrive > Moment::from_millis(7000)), "spread");
    assert_eq!(Schedule::new(&[hold(100, 20)], &[drop(1.0)], 1).calls.len(), 200);
    assert_eq!(Schedule::new(&[hold(100, 20)], &[drop(0.0)], 1).calls.len(), 100);
}

#[test]
fn a_restart_cuts_every_call_and_all_come_back_that_have_time_to() {
    let seconds = Duration::from_secs;
    let comeback = Comeback { away: seconds(2), spread: seconds(1) };
    let what = What::RestartGateway { how: RestartHow::Stop, down: seconds(1), comeback };
    let restart = Action { at: seconds(5), name: None, what };
    let phases = [
        Phase::plain("a", 10, Duration::ZERO, seconds(7)),
        Phase::plain("b", 4, Duration::ZERO, seconds(3)),
    ];
    let schedule = Schedule::new(&phases, &[restart], 1);
    let (cut, others): (Vec<PlannedCall>, Vec<PlannedCall>) =
        schedule.calls.iter().partition(|call| call.ending == Ending::LeftBehind);
    assert_eq!(cut.len(), 10);
    assert!(cut.iter().all(|call| call.leave == Moment::START + seconds(5)));
    // Six leave at 7 s, and are away until then at the least.
    let mut back: Vec<_> = others.iter().map(|call| call.device).collect();
    back.sort_unstable();
    assert_eq!(back, [0, 1, 2, 3]);
    for call in others {
        let away = call.arrive.since(Moment::START + seconds(5));
        assert!((seconds(2)..=seconds(3)).contains(&away), "{away:?}");
    }
}
