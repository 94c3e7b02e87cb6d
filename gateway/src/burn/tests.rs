use super::*;

const FRAMES: u64 = 200_000;

fn rule(text: &str) -> BurnRule {
    let rule: BurnRule = toml::from_str(text).unwrap();
    assert_eq!(rule.check(), Ok(()), "{text}");
    rule
}

fn burn(text: &str) -> Burn {
    Burn::of(&[rule(text)], 7).unwrap()
}

/// Mean and mean square of the times of many frames, in ms and ms².
fn moments(burn: &Burn) -> (f64, f64) {
    let times = (0..FRAMES).map(|frame| burn.time(frame).as_secs_f64() * 1000.0);
    let (sum, squares) = times.fold((0.0, 0.0), |(sum, squares), ms| (sum + ms, squares + ms * ms));
    (sum / FRAMES as f64, squares / FRAMES as f64)
}

#[track_caller]
fn within_3_percent(seen: f64, expected: f64) {
    assert!((seen / expected - 1.0).abs() < 0.03, "{seen}, not {expected}");
}

const BIMODAL: &str = "kind = \"cpu\"\ndistribution = \"bimodal\"\ntime = \"2ms\"\n\
                       long = \"20ms\"\nlong_share = \"10%\"\n";
const EXPONENTIAL: &str = "kind = \"wait\"\ndistribution = \"exponential\"\ntime = \"5ms\"\n";

#[test]
fn fixed_times_are_all_alike() {
    let burn = burn("kind = \"wait\"\ntime = \"20ms\"");
    assert!((0..1000).all(|frame| burn.time(frame) == Duration::from_millis(20)));
}

#[test]
fn bimodal_times_are_short_or_long_in_their_shares() {
    let burn = burn(BIMODAL);
    let long = (0..FRAMES).filter(|frame| burn.time(*frame) == Duration::from_millis(20)).count();
    let short = (0..FRAMES).filter(|frame| burn.time(*frame) == Duration::from_millis(2)).count();
    assert_eq!((long + short) as u64, FRAMES);
    within_3_percent(long as f64 / FRAMES as f64, 0.1);
    let (mean, square) = moments(&burn);
    within_3_percent(mean, 3.8);
    within_3_percent(square, 43.6);
}

#[test]
fn exponential_times_have_their_mean_and_its_square_as_variance() {
    let burn = burn(EXPONENTIAL);
    let (mean, square) = moments(&burn);
    within_3_percent(mean, 5.0);
    within_3_percent(square - mean * mean, 25.0);
    let longest = (0..FRAMES).map(|frame| burn.time(frame)).max().unwrap();
    assert!(longest > Duration::from_millis(40) && longest <= Duration::from_millis(100));
}

#[test]
fn times_by_quantiles_have_their_shares() {
    let burn = burn(
        "kind = \"wait\"\ndistribution = \"quantiles\"\nquantiles = \"0% 1ms, 90% 2ms, 100% 32ms\"\n",
    );
    let below = |millis| {
        let time = Duration::from_millis(millis);
        (0..FRAMES).filter(|frame| burn.time(*frame) <= time).count() as f64 / FRAMES as f64
    };
    within_3_percent(below(2), 0.9);
    within_3_percent(below(17), 0.95);
    // Half of 1 and 2 for nine in ten, half of 2 and 32 for the rest.
    within_3_percent(moments(&burn).0, 0.9 * 1.5 + 0.1 * 17.0);
    for (text, says) in [
        ("distribution = \"quantiles\"", "quantiles is missing: quantiles needs it"),
        (
            "time = \"1ms\"\nquantiles = \"0% 1ms, 100% 2ms\"",
            "only the distribution quantiles has it",
        ),
        (
            "distribution = \"quantiles\"\nquantiles = \"0% 0ms, 100% 2ms\"",
            "quantiles is 0s: allowed are 1us to 10s",
        ),
        ("distribution = \"fixed\"", "time is 0s: allowed are 1us to 10s"),
    ] {
        let rule: BurnRule = toml::from_str(&format!("kind = \"wait\"\n{text}")).unwrap();
        let error = rule.check().unwrap_err().to_string();
        assert!(error.contains(says), "{text}: {error}");
    }
}

#[test]
fn frames_and_devices_have_times_of_their_own_and_always_the_same() {
    let rules = [rule(EXPONENTIAL)];
    let times = |device| -> Vec<Duration> {
        let burn = Burn::of(&rules, device).unwrap();
        (0..100).map(|frame| burn.time(frame)).collect()
    };
    assert_eq!(times(1), times(1));
    let mut all: Vec<Duration> = times(1).into_iter().chain(times(2)).collect();
    all.sort_unstable();
    all.dedup();
    assert_eq!(all.len(), 200);
}

#[test]
fn the_first_rule_that_applies_to_a_device_counts() {
    let rules = [
        rule("kind = \"cpu\"\ntime = \"1ms\"\nevery = 4\noffset = 1"),
        rule("kind = \"wait\"\ntime = \"2ms\"\nevery = 2\noffset = 1"),
        rule("kind = \"wait\"\ntime = \"3ms\"\nevery = 4"),
    ];
    let millis = |device| Burn::of(&rules, device).map(|burn| burn.time(0).as_millis());
    assert_eq!([0, 1, 2, 3].map(millis), [Some(3), Some(1), None, Some(2)]);
    assert_eq!([4, 5, 6, 7].map(millis), [Some(3), Some(1), None, Some(2)]);
    assert_eq!(Burn::of(&[], 0), None);
}

#[test]
fn calculating_uses_processor_time_of_the_thread() {
    let burn = burn("kind = \"cpu\"\ntime = \"2ms\"");
    let clock = Clock::start();
    let before = thread_cpu_time();
    burn.perform(0, &clock);
    assert!(thread_cpu_time().saturating_sub(before) >= Duration::from_millis(2));
}

#[test]
fn waiting_takes_time_but_hardly_any_of_the_processor() {
    let burn = burn("kind = \"wait\"\ntime = \"20ms\"");
    let clock = Clock::start();
    let (before, used_before) = (clock.now(), thread_cpu_time());
    burn.perform(0, &clock);
    let used = thread_cpu_time().saturating_sub(used_before);
    assert!(clock.now().since(before) >= Duration::from_millis(20));
    assert!(used < Duration::from_millis(10), "{used:?}");
}

#[test]
fn rules_are_written_as_they_are_read() {
    let full = format!("{BIMODAL}every = 4\noffset = 3\n");
    let quantiles =
        "kind = \"wait\"\ndistribution = \"quantiles\"\nquantiles = \"0% 1ms, 100% 2ms\"\n";
    for text in ["kind = \"wait\"\ntime = \"20ms\"\n", BIMODAL, EXPONENTIAL, quantiles, &full] {
        assert_eq!(toml::to_string(&rule(text)).unwrap(), text);
    }
    let spelt_out = "kind = \"cpu\"\ntime = \"50us\"\ndistribution = \"fixed\"\nevery = 1";
    assert_eq!(toml::to_string(&rule(spelt_out)).unwrap(), "kind = \"cpu\"\ntime = \"50us\"\n");
}

#[test]
fn mistakes_are_named_with_what_is_allowed() {
    for (text, reason) in [
        ("time = \"1ms\"", "missing field `kind`"),
        ("kind = \"gpu\"", "unknown variant `gpu`, expected `cpu` or `wait`"),
        (
            "distribution = \"normal\"",
            "expected one of `fixed`, `bimodal`, `exponential`, `quantiles`",
        ),
        ("long_share = \"120%\"", "`120%`: a share is a number of percent from 0% to 100%"),
        ("long = \"2\"", "`2`: a duration is a whole number and one of"),
        ("evry = 2", "unknown field `evry`, expected one of `kind`, `distribution`, `time`"),
    ] {
        let error = toml::from_str::<BurnRule>(text).unwrap_err().to_string();
        assert!(error.contains(reason), "{text}: {error}");
    }
}

#[test]
fn what_no_gateway_could_follow_is_refused() {
    for (text, expected) in [
        ("time = \"0s\"", "time is 0s: allowed are 1us to 10s"),
        ("time = \"11s\"", "time is 11s: allowed are 1us to 10s"),
        ("time = \"1s\"\nevery = 0", "every is 0: allowed are 1 to 4294967295"),
        ("time = \"1s\"\noffset = 1", "offset is 1: allowed are 0 to 0"),
        ("time = \"1s\"\nevery = 4\noffset = 4", "offset is 4: allowed are 0 to 3"),
        ("time = \"1s\"\nlong = \"2s\"", "long is set: only the distribution bimodal has it"),
        (
            "distribution = \"exponential\"\ntime = \"1s\"\nlong_share = \"0%\"",
            "long_share is set: only the distribution bimodal has it",
        ),
        (
            "distribution = \"bimodal\"\ntime = \"1s\"\nlong_share = \"1%\"",
            "long is missing: bimodal needs it",
        ),
        (
            "distribution = \"bimodal\"\ntime = \"1s\"\nlong = \"1s\"",
            "long_share is missing: bimodal needs it",
        ),
        (
            "distribution = \"bimodal\"\ntime = \"50ms\"\nlong = \"49ms\"\nlong_share = \"1%\"",
            "long is 49ms: allowed are 50ms to 10s",
        ),
        (
            "distribution = \"bimodal\"\ntime = \"50ms\"\nlong = \"11s\"\nlong_share = \"1%\"",
            "long is 11s: allowed are 50ms to 10s",
        ),
    ] {
        let rule: BurnRule = toml::from_str(&format!("kind = \"cpu\"\n{text}")).unwrap();
        assert_eq!(rule.check().unwrap_err().to_string(), expected, "{text}");
    }
}
