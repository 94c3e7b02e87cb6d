use super::*;

const EVERYTHING: &str = r#"
    seed = 1
    shared_codec = true
    reordered_replies = "1%"
    dropped_replies = "2%"
    duplicated_replies = "3%"
    worker_stall = { every = "5s", for = "200ms", worker = 3 }
    gateway_stall = { every = "7s", for = "300ms" }
    wrong_key = "10%"
    foreign_audio = "20%"
    keystream_reuse = "30%"
    hello_delay = "2s"
    hello_limit = 30
    worker_crash = "0.1%"
    leak_per_frame = "4KiB"
"#;

fn read(text: &str) -> Result<FaultSettings, String> {
    toml::from_str(text).map_err(|error| error.to_string())
}

#[test]
fn everything_can_be_set() {
    let percent = |text: &str| -> Share { text.parse().unwrap() };
    let (ms, s) = (Duration::from_millis, Duration::from_secs);
    let expected = FaultSettings {
        seed: 1,
        shared_codec: true,
        reordered_replies: percent("1%"),
        dropped_replies: percent("2%"),
        duplicated_replies: percent("3%"),
        worker_stall: Some(WorkerStall { every: s(5), span: ms(200), worker: 3 }),
        gateway_stall: Some(GatewayStall { every: s(7), span: ms(300) }),
        wrong_key: percent("10%"),
        foreign_audio: percent("20%"),
        keystream_reuse: percent("30%"),
        hello_delay: Some(s(2)),
        hello_limit: Some(30),
        worker_crash: percent("0.1%"),
        leak_per_frame: ByteSize::from_kib(4),
    };
    assert_eq!(read(EVERYTHING), Ok(expected));
    assert_eq!(read(EVERYTHING).unwrap().check(), Ok(()));
}

#[test]
fn settings_are_written_as_they_are_read() {
    let settings = read(EVERYTHING).unwrap();
    let written = toml::Table::try_from(&settings).unwrap();
    assert_eq!(written, EVERYTHING.parse().unwrap());
    assert_eq!(read(&toml::to_string(&settings).unwrap()), Ok(settings));
}

#[test]
fn each_fault_is_off_until_it_is_set() {
    let nothing = read("").unwrap();
    assert_eq!((nothing.any(), nothing.check()), (false, Ok(())));
    assert_eq!(toml::to_string(&nothing).unwrap(), "");
    for (key, value) in EVERYTHING.parse::<toml::Table>().unwrap() {
        let alone = toml::Table::from_iter([(key.clone(), value)]);
        let settings: FaultSettings = alone.clone().try_into().unwrap();
        assert_eq!(settings.any(), key != "seed", "{key}");
        assert_eq!(toml::Table::try_from(&settings).unwrap(), alone, "{key}");
    }
    for off in ["wrong_key = \"0%\"", "hello_delay = \"0s\"", "leak_per_frame = \"0B\""] {
        assert!(!read(off).unwrap().any(), "{off}");
    }
    let stall = read("worker_stall = { every = \"1s\", for = \"1ms\" }").unwrap();
    assert_eq!(stall.worker_stall.unwrap().worker, 0);
}

#[test]
fn mistakes_are_named_with_what_is_allowed() {
    for (text, reason) in [
        ("wrong_keys = \"1%\"", "unknown field `wrong_keys`, expected one of `seed`"),
        ("seed = -1", "invalid value: integer `-1`, expected u64"),
        ("shared_codec = 1", "invalid type: integer `1`, expected a boolean"),
        ("reordered_replies = 1", "invalid type: integer `1`, expected a string"),
        ("dropped_replies = \"1\"", "`1`: a share is a number of percent from 0% to 100%"),
        ("duplicated_replies = \"-1%\"", "`-1%`: a share is"),
        ("wrong_key = \"101%\"", "`101%`: a share is"),
        ("foreign_audio = \"half\"", "`half`: a share is"),
        ("keystream_reuse = \"%\"", "`%`: a share is"),
        ("worker_crash = \"1e1%\"", "`1e1%`: a share is"),
        ("worker_stall = { every = \"1s\" }", "missing field `for`"),
        ("worker_stall = { for = \"1s\" }", "missing field `every`"),
        ("worker_stall = { span = \"1s\" }", "unknown field `span`"),
        ("gateway_stall = { worker = 1 }", "unknown field `worker`, expected `every` or `for`"),
        ("gateway_stall = { every = \"1\" }", "`1`: a duration is a whole number"),
        ("hello_delay = 2", "invalid type: integer `2`, expected a string"),
        ("hello_limit = -1", "invalid value: integer `-1`, expected u32"),
        ("leak_per_frame = \"4K\"", "`4K`: an amount of memory is a whole number and one of"),
    ] {
        let error = read(text).unwrap_err();
        assert!(error.contains(reason), "{text}: {error}");
    }
}

#[test]
fn what_no_gateway_can_have_is_refused() {
    for (text, expected) in [
        (
            "worker_stall = { every = \"5s\", for = \"0s\" }",
            "worker_stall.for is 0s: allowed are 1us to 1h",
        ),
        (
            "worker_stall = { every = \"61m\", for = \"1s\" }",
            "worker_stall.every is 61m: allowed are 1us to 1h",
        ),
        (
            "worker_stall = { every = \"5s\", for = \"5s\" }",
            "worker_stall.for is 5s: allowed is less than worker_stall.every, 5s",
        ),
        (
            "worker_stall = { every = \"5s\", for = \"1s\", worker = 256 }",
            "worker_stall.worker is 256: allowed are 0 to 255",
        ),
        (
            "gateway_stall = { every = \"0s\", for = \"0s\" }",
            "gateway_stall.every is 0s: allowed are 1us to 1h",
        ),
        (
            "gateway_stall = { every = \"5s\", for = \"0s\" }",
            "gateway_stall.for is 0s: allowed are 1us to 1h",
        ),
        (
            "gateway_stall = { every = \"5s\", for = \"6s\" }",
            "gateway_stall.for is 6s: allowed is less than gateway_stall.every, 5s",
        ),
        ("hello_delay = \"61s\"", "hello_delay is 61s: allowed are 0s to 1m"),
        ("leak_per_frame = \"17MiB\"", "leak_per_frame is 17MiB: allowed are 0B to 16MiB"),
    ] {
        assert_eq!(read(text).unwrap().check().unwrap_err().to_string(), expected, "{text}");
    }
    for text in [
        "worker_stall = { every = \"1h\", for = \"1us\", worker = 255 }",
        "gateway_stall = { every = \"2ms\", for = \"1ms\" }",
        "hello_delay = \"60s\"\nhello_limit = 0\nleak_per_frame = \"16MiB\"",
    ] {
        assert_eq!(read(text).unwrap().check(), Ok(()), "{text}");
    }
}
