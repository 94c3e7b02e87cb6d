use super::*;
use crate::compare::INCONCLUSIVE;

fn plan(out: &Path) -> Plan {
    Plan {
        scenario: "test.toml".to_owned(),
        text: "text".to_owned(),
        quantity: Quantity::devices(1000),
        goal: Goal { sum_s: 30.0, exceed: 0.5, width: 0.05, range: (1, 1000) },
        estimate: 30,
        trial: Duration::from_secs(10),
        seed: 7,
        budget: Duration::from_mins(1),
        command: "din search test.toml".to_owned(),
        out: out.to_owned(),
    }
}

/// What a trial came to on a host of 4 cores.
fn counts(trial: Trial) -> Outcome {
    let host = [("cores".to_owned(), 4.into()), ("memory_mib".to_owned(), 8192.into())];
    let limits = vec![("response_latency.p99".to_owned(), "< 25ms".to_owned(), Some(25.0))];
    Outcome::Counts { trial: Box::new(trial), basis: Basis { host: host.into(), limits } }
}

/// A gateway that carries 100 devices.
fn hundred(devices: u32) -> Outcome {
    let good = devices <= 100;
    let failed = if good { Vec::new() } else { vec!["response_latency.p99".to_owned()] };
    counts(Trial {
        value: devices,
        good,
        failed,
        suspect: false,
        worst_group: (!good).then(|| "far".to_owned()),
        directory: format!("trial-001-{devices}"),
        seen: Seen {
            devices,
            response_latency_p99_ms: Some(f64::from(devices) / 4.0),
            effective_loss_percent: Some(0.0),
            gateway_cpu_percent: Some(f64::from(devices)),
            gateway_rss_mib: Some(50.0),
            generator_cpu_percent: Some(20.0),
            ..Seen::default()
        },
    })
}

/// A gateway that needs 5 workers.
fn needs_five(workers: u32) -> Outcome {
    let good = workers >= 5;
    let failed = if good { Vec::new() } else { vec!["frames_lost".to_owned()] };
    counts(Trial { value: workers, good, failed, ..Trial::default() })
}

#[test]
fn the_fewest_that_meet_the_limits_are_found() {
    for estimate in [1, 4, 5, 64] {
        let directory = tempfile::tempdir().unwrap();
        let quantity = Quantity {
            name: "gateway.workers".to_owned(),
            unit: String::new(),
            range: (1, 64),
            fewest: true,
        };
        let goal = Goal { sum_s: 30.0, exceed: 0.5, width: 0.0, range: (1, 64) };
        let plan = Plan { quantity, goal, estimate, ..plan(directory.path()) };
        let ended = search(&plan, |workers, _, _: &Path| Ok(needs_five(workers)), |_| {}).unwrap();
        assert_eq!(ended.kept.bounds(), Bounds { met: Some(5), missed: Some(4) }, "{estimate}");
        assert_eq!(ended.exit_code(), 0);
        let text = ended.text();
        assert!(
            text.contains("capacity   5 gateway.workers of test.toml, 4 are too few"),
            "{text}"
        );
        assert!(!text.contains("knee"), "{text}");
    }
}

#[test]
fn the_page_tells_what_the_terminal_tells() {
    let directory = tempfile::tempdir().unwrap();
    let run = |devices, _, _: &Path| Ok(hundred(devices));
    let ended = search(&plan(directory.path()), run, |_| {}).unwrap();
    let page = study(&ended).page();
    for said in [
        "<span class=\"badge good\">100 devices</span>",
        "worst for group far",
        "<figure id=\"latency\"",
        "response_latency.p99 &lt; 25ms",
        "din search test.toml",
    ] {
        assert!(page.contains(said), "{said} is missing in\n{page}");
    }
    // A search without a trial is no answer.
    let nothing = Plan { budget: Duration::ZERO, ..plan(&directory.path().join("none")) };
    let ended = search(&nothing, |_, _, _: &Path| unreachable!(), |_| {}).unwrap();
    assert!(study(&ended).page().contains("NOT KNOWN"));
}

/// Of a queue with one server (1 / (μ − λ)) it is half of what it carries.
#[test]
fn the_knee_is_the_most_load_for_its_latency() {
    let directory = tempfile::tempdir().unwrap();
    let queueing = |devices: u32, _, _: &Path| {
        let Outcome::Counts { mut trial, basis } = hundred(devices) else { unreachable!() };
        let free = 130.0 - f64::from(devices.min(129));
        trial.seen.response_latency_mean_ms = Some(100.0 / free);
        Ok(Outcome::Counts { trial, basis })
    };
    let ended = search(&plan(directory.path()), queueing, |_| {}).unwrap();
    let text = ended.text();
    assert!(text.contains("\nknee       60 devices: the most for its latency"), "{text}");
    let higher = tempfile::tempdir().unwrap();
    let plan = Plan { estimate: 90, ..plan(higher.path()) };
    let text = search(&plan, queueing, |_| {}).unwrap().text();
    assert!(text.contains("knee       90 devices or less, as less was not tried"), "{text}");
}

#[test]
fn a_machine_that_was_not_the_same_in_all_trials_is_told() {
    for (slowest_ms, told) in [(0.0520, false), (0.0610, true)] {
        let directory = tempfile::tempdir().unwrap();
        let mut runs = 0;
        let drifting = |devices, _, _: &Path| {
            let Outcome::Counts { mut trial, basis } = hundred(devices) else { unreachable!() };
            runs += 1;
            trial.seen.machine_pace_ms = Some(if runs == 3 { slowest_ms } else { 0.0500 });
            Ok(Outcome::Counts { trial, basis })
        };
        let ended = search(&plan(directory.path()), drifting, |_| {}).unwrap();
        let caution = "the machine itself was 22 % slower in one trial than in another";
        assert_eq!(ended.text().contains(caution), told, "{}", ended.text());
        assert_eq!(study(&ended).page().contains(caution), told);
    }
}

#[test]
fn a_file_that_is_no_search_is_told() {
    let directory = tempfile::tempdir().unwrap();
    let path = directory.path().join(FILE);
    let read = || format!("{:#}", Kept::read(directory.path()).unwrap_err());
    assert!(read().contains("there is no"), "{}", read());
    for (text, said) in
        [("{", "is no search"), ("{\"format\": 1}", "this Din reads 2"), ("[]", "format none")]
    {
        fs::write(&path, text).unwrap();
        assert!(read().contains(said), "{}", read());
    }
}

#[test]
fn what_was_found_is_told_with_what_it_is_limited_by() {
    let directory = tempfile::tempdir().unwrap();
    let mut seeds = Vec::new();
    let run = |devices, seed, _: &Path| {
        seeds.push(seed);
        Ok(hundred(devices))
    };
    let ended = search(&plan(directory.path()), run, |_| {}).unwrap();
    assert_eq!((ended.end, ended.exit_code()), (End::Found, 0));
    assert!(seeds.iter().copied().eq(7..7 + seeds.len() as u64), "each trial has its own seed");
    insta::assert_snapshot!(ended.text());
}

#[test]
fn a_search_that_is_interrupted_anywhere_ends_as_one_that_is_not() {
    let whole = tempfile::tempdir().unwrap();
    let found =
        search(&plan(whole.path()), |devices, _, _: &Path| Ok(hundred(devices)), |_| {}).unwrap();
    for interrupted_at in [1, 4, 9] {
        let directory = tempfile::tempdir().unwrap();
        let plan = plan(directory.path());
        let mut runs = 0;
        let interrupted = |devices, _, _: &Path| {
            runs += 1;
            Ok(if runs == interrupted_at { Outcome::Interrupted } else { hundred(devices) })
        };
        let ended = search(&plan, interrupted, |_| {}).unwrap();
        assert_eq!((ended.end, ended.exit_code()), (End::Interrupted, 130));
        let ended = search(&plan, |devices, _, _: &Path| Ok(hundred(devices)), |_| {}).unwrap();
        assert_eq!(ended.kept.bounds(), found.kept.bounds());
        assert_eq!(ended.kept.trials, found.kept.trials);
    }
}

#[test]
fn where_the_host_is_at_its_end_or_time_is_over_the_bracket_so_far_is_told() {
    let directory = tempfile::tempdir().unwrap();
    let weak =
        |devices, _, _: &Path| Ok(if devices > 60 { Outcome::Invalid } else { hundred(devices) });
    let ended = search(&plan(directory.path()), weak, |_| {}).unwrap();
    // 120, 84, 70, 64 and 61 cannot be brought.
    assert_eq!((ended.end, ended.exit_code()), (End::Host(61), INCONCLUSIVE));
    assert_eq!(ended.kept.invalid, 5 * TRIES);
    let text = ended.text();
    assert!(text.contains("capacity   at least 60 devices"), "{text}");
    assert!(text.contains("this host cannot bring 61 devices"), "{text}");
    // It is kept: the same search has nothing to do any more.
    let again = search(&plan(directory.path()), |_, _, _: &Path| unreachable!(), |_| {}).unwrap();
    assert_eq!(again.end, End::Host(61));
    let no_time = Plan { budget: Duration::ZERO, ..plan(&directory.path().join("none")) };
    let ended = search(&no_time, |_, _, _: &Path| unreachable!(), |_| {}).unwrap();
    assert_eq!((ended.end, ended.exit_code()), (End::Budget, INCONCLUSIVE));
    assert!(ended.text().contains("capacity   not known"), "{}", ended.text());
}

#[test]
fn a_bracket_below_what_the_host_cannot_bring_is_found() {
    let directory = tempfile::tempdir().unwrap();
    let host_of_110 =
        |devices, _, _: &Path| Ok(if devices > 110 { Outcome::Invalid } else { hundred(devices) });
    let plan = Plan { estimate: 60, ..plan(directory.path()) };
    let ended = search(&plan, host_of_110, |_| {}).unwrap();
    assert_eq!((ended.end, ended.exit_code()), (End::Found, 0));
    let Bounds { met: Some(met), missed: Some(missed) } = ended.kept.bounds() else {
        panic!("{}", ended.text());
    };
    assert!(met <= 100 && missed > 100 && missed <= 105, "{met} to {missed}");
    assert!(ended.kept.invalid >= TRIES, "120 was tried");
    assert!(!ended.text().contains("cannot bring"), "{}", ended.text());
}
