use super::*;

fn plan(out: &Path) -> Plan {
    Plan {
        scenario: "test.toml".to_owned(),
        text: "text".to_owned(),
        goal: Goal { sum_s: 30.0, exceed: 0.5, width: 0.05, range: (1, 1000) },
        estimate: 30,
        trial: Duration::from_secs(10),
        seed: 7,
        budget: Duration::from_mins(1),
        out: out.to_owned(),
    }
}

/// A gateway that carries 100 devices.
fn hundred(devices: u32) -> Outcome {
    let good = devices <= 100;
    Outcome::Counts(Trial {
        devices,
        good,
        failed: if good { Vec::new() } else { vec!["response_latency.p99".to_owned()] },
        response_latency_p99_ms: Some(f64::from(devices) / 4.0),
        effective_loss_percent: Some(0.0),
        gateway_cpu_percent: Some(f64::from(devices)),
        gateway_rss_mib: Some(50.0),
        generator_cpu_percent: Some(20.0),
    })
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
        assert_eq!(ended.kept.search.bracket(), found.kept.search.bracket());
        assert_eq!(ended.kept.trials, found.kept.trials);
    }
}

#[test]
fn where_the_host_is_at_its_end_or_time_is_over_the_bracket_so_far_is_told() {
    let directory = tempfile::tempdir().unwrap();
    let weak =
        |devices, _, _: &Path| Ok(if devices > 60 { Outcome::Invalid } else { hundred(devices) });
    let ended = search(&plan(directory.path()), weak, |_| {}).unwrap();
    assert_eq!((ended.end, ended.exit_code()), (End::Host(120), INCONCLUSIVE));
    assert_eq!(ended.kept.invalid, TRIES);
    let text = ended.text();
    assert!(text.contains("capacity   60 to more devices"), "{text}");
    assert!(text.contains("this host cannot bring 120 devices"), "{text}");
    let no_time = Plan { budget: Duration::ZERO, ..plan(directory.path()) };
    let ended = search(&no_time, |_, _, _: &Path| unreachable!(), |_| {}).unwrap();
    assert_eq!((ended.end, ended.exit_code()), (End::Budget, INCONCLUSIVE));
}
