use super::*;

const DRAWS: u32 = 100_000;

fn faults(text: &str) -> Faults {
    let settings: FaultSettings = toml::from_str(text).unwrap();
    assert_eq!(settings.check(), Ok(()), "{text}");
    Faults::new(settings)
}

/// Of [`DRAWS`], as many are struck as `chance` says, within four standard deviations.
fn struck(what: &str, chance: f64, draws: impl Fn(u32) -> bool) {
    let count = (0..DRAWS).filter(|n| draws(*n)).count() as f64;
    let expected = f64::from(DRAWS) * chance;
    let sigma = (expected * (1.0 - chance)).sqrt();
    assert!((count - expected).abs() <= 4.0 * sigma, "{what}: {count}, not {expected}");
}

#[test]
fn without_settings_nothing_ever_goes_wrong() {
    let faults = Faults::default();
    for n in 0..DRAWS {
        let number = u64::from(n);
        assert_eq!(faults.of_session(n), SessionFaults::default());
        assert_eq!(faults.of_reply(n, number), ReplyFault::None);
        assert_eq!(faults.of_reply(7, number), ReplyFault::None);
        assert!(!faults.crashes(n, 0) && !faults.crashes(7, number));
        let now = Moment::from_millis(number * 10);
        assert_eq!((faults.stall_of_worker(0, now), faults.stall_of_gateway(now)), (None, None));
        assert_eq!(faults.next_gateway_stall(now), None);
        assert!(faults.hears_hello(n as usize));
    }
    assert_eq!((faults.hello_delay(), faults.leak_per_frame()), (None, 0));
    assert!(!faults.shared_codec());
    assert!(!faults.settings().any());
}

#[test]
fn shares_of_sessions_are_struck_each_by_itself() {
    let all =
        faults("wrong_key = \"10%\"\nforeign_audio = \"20%\"\nkeystream_reuse = \"30%\"\nseed = 3");
    struck("wrong key", 0.1, |device| all.of_session(device).wrong_key);
    struck("foreign audio", 0.2, |device| all.of_session(device).foreign_audio);
    struck("keystream reuse", 0.3, |device| all.of_session(device).keystream_reuse);
    struck("all", 0.006, |device| {
        let session = all.of_session(device);
        session.wrong_key && session.foreign_audio && session.keystream_reuse
    });
    let alone = faults("wrong_key = \"10%\"\nseed = 3");
    for device in 0..1000 {
        let wrong_key = all.of_session(device).wrong_key;
        let expected = SessionFaults { wrong_key, ..SessionFaults::default() };
        assert_eq!(alone.of_session(device), expected, "other faults change nothing");
    }
}

#[test]
fn a_reply_is_dropped_or_else_duplicated_or_else_held_back() {
    let replies = "dropped_replies = \"20%\"\nduplicated_replies = \"25%\"\n\
                   reordered_replies = \"50%\"";
    let faults = faults(replies);
    for (fault, chance) in [
        (ReplyFault::Drop, 0.2),
        (ReplyFault::Duplicate, 0.8 * 0.25),
        (ReplyFault::HoldBack, 0.8 * 0.75 * 0.5),
        (ReplyFault::None, 0.8 * 0.75 * 0.5),
    ] {
        let what = format!("{fault:?}");
        struck(&what, chance, |reply| faults.of_reply(7, u64::from(reply)) == fault);
        struck(&what, chance, |device| faults.of_reply(device, 3) == fault);
    }
}

#[test]
fn workers_crash_at_a_share_of_frames_that_the_seed_chooses() {
    let struck_by = |seed: u64| {
        let faults = faults(&format!("worker_crash = \"1%\"\nseed = {seed}"));
        struck("frames", 0.01, |frame| faults.crashes(7, u64::from(frame)));
        struck("devices", 0.01, |device| faults.crashes(device, 100));
        (0..1000).filter(|frame| faults.crashes(7, *frame)).collect::<Vec<u64>>()
    };
    assert_eq!(struck_by(1), struck_by(1));
    assert_ne!(struck_by(1), struck_by(2));
}

#[test]
fn stalls_begin_on_time_and_end_on_time() {
    let faults = faults("gateway_stall = { every = \"5s\", for = \"200ms\" }");
    let ms = Moment::from_millis;
    let just_before = |millis| Moment::from_nanos(ms(millis).as_nanos() - 1);
    for (now, stall, next) in [
        (Moment::START, None, 5000),
        (ms(100), None, 5000),
        (just_before(5000), None, 5000),
        (ms(5000), Some((1, 5200)), 10_000),
        (just_before(5200), Some((1, 5200)), 10_000),
        (ms(5200), None, 10_000),
        (just_before(10_000), None, 10_000),
        (ms(10_000), Some((2, 10_200)), 15_000),
        (ms(10_200), None, 15_000),
        (ms(5_000_100), Some((1000, 5_000_200)), 5_005_000),
    ] {
        let stall =
            stall.map(|(number, end)| Stall { kind: StallKind::Gateway, number, until: ms(end) });
        assert_eq!(faults.stall_of_gateway(now), stall, "{now:?}");
        assert_eq!(faults.stall_of_worker(9, now), stall, "{now:?}: it stops every worker");
        assert_eq!(faults.next_gateway_stall(now), Some(ms(next)), "{now:?}");
    }
}

#[test]
fn a_worker_stalls_by_itself_and_with_the_gateway_whichever_takes_longer() {
    let faults = faults(
        "worker_stall = { every = \"3s\", for = \"400ms\", worker = 1 }\n\
         gateway_stall = { every = \"4s\", for = \"500ms\" }",
    );
    let ms = Moment::from_millis;
    let own = |number, end| Some(Stall { kind: StallKind::Worker, number, until: ms(end) });
    let whole = |number, end| Some(Stall { kind: StallKind::Gateway, number, until: ms(end) });
    for (millis, worker_0, worker_1) in [
        (2999, None, None),
        (3000, None, own(1, 3400)),
        (3400, None, None),
        (4000, whole(1, 4500), whole(1, 4500)),
        (12_100, whole(3, 12_500), whole(3, 12_500)),
        (15_000, None, own(5, 15_400)),
    ] {
        let now = ms(millis);
        let stalls = [0, 1].map(|worker| faults.stall_of_worker(worker, now));
        assert_eq!(stalls, [worker_0, worker_1], "{millis} ms");
        assert_eq!(faults.stall_of_gateway(now), worker_0, "{millis} ms");
    }
}

#[test]
fn the_stall_of_a_worker_may_outlast_the_gateways() {
    let faults = faults(
        "worker_stall = { every = \"2s\", for = \"1s\" }\n\
         gateway_stall = { every = \"2s\", for = \"10ms\" }",
    );
    let stall = faults.stall_of_worker(0, Moment::from_millis(2005)).unwrap();
    assert_eq!((stall.kind, stall.until), (StallKind::Worker, Moment::from_millis(3000)));
}

#[test]
fn hellos_beyond_the_limit_are_not_heard() {
    let limited = faults("hello_limit = 30\nhello_delay = \"2s\"");
    assert_eq!([0, 29, 30, 31].map(|live| limited.hears_hello(live)), [true, true, false, false]);
    assert_eq!(limited.hello_delay(), Some(Duration::from_secs(2)));
    assert!(!faults("hello_limit = 0").hears_hello(0));
}

#[test]
fn leaks_and_shared_coders_are_as_set() {
    let faults = faults("leak_per_frame = \"4KiB\"\nshared_codec = true");
    assert_eq!((faults.leak_per_frame(), faults.shared_codec()), (4096, true));
    assert_eq!(faults.of_session(0), SessionFaults::default());
}
