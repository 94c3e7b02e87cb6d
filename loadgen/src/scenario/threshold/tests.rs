//! What is read as a threshold, and what is said of what is not.

use super::*;
use crate::scenario::{Comeback, What};

/// 10 s of calm, 15 s of burst.
fn with(key: &str, table: &ThresholdTable) -> Result<Threshold, ThresholdError> {
    let phase = |name, hold| Phase::plain(name, 1, Duration::ZERO, Duration::from_secs(hold));
    let what = What::DropDevices {
        share: 0.5,
        comeback: Comeback { away: Duration::from_secs(1), spread: Duration::ZERO },
    };
    let storm = Action { at: Duration::from_secs(12), name: Some("storm".to_owned()), what };
    Threshold::parse(key, table, &[phase("calm", 10), phase("burst", 15)], &[storm])
}

fn parse(key: &str, limit: &str) -> Result<Threshold, ThresholdError> {
    with(key, &ThresholdTable::limit(limit))
}

#[test]
fn keys_and_limits_are_read() {
    for (key, limit, shown, number) in [
        ("response_latency.p99", "< 40ms", "response_latency.p99 < 40ms", 40.0),
        ("burst.response_latency.p999", "<=1.5s", "burst.response_latency.p999 <=1.5s", 1500.0),
        ("frames_lost", "= 0", "frames_lost = 0", 0.0),
        ("calm.frames_lost", "<= 3", "calm.frames_lost <= 3", 3.0),
        ("integrity.decoded", ">= 100", "integrity.decoded >= 100", 100.0),
        ("gateway_cpu.mean", "< 150%", "gateway_cpu.mean < 150%", 150.0),
        ("gateway_rss.max", "< 1GiB", "gateway_rss.max < 1GiB", 1024.0),
    ] {
        let threshold = parse(key, limit).unwrap();
        let number = Limit::Number(number);
        assert_eq!((threshold.to_string().as_str(), threshold.limit), (shown, number));
    }
}

#[test]
fn comparisons_hold_and_fail_at_their_edges() {
    use Comparison::{Above, AtLeast, AtMost, Below, Equal};
    for (comparison, below, equal, above) in [
        (Below, true, false, false),
        (AtMost, true, true, false),
        (Equal, false, true, false),
        (AtLeast, false, true, true),
        (Above, false, false, true),
    ] {
        let holds = [1.0, 2.0, 3.0].map(|observed| comparison.holds(observed, 2.0));
        assert_eq!(holds, [below, equal, above], "{comparison:?}");
        assert!(!comparison.holds(f64::NAN, 2.0));
    }
}

#[test]
fn wrong_thresholds_say_what_to_write() {
    for (key, limit, in_key, message, help) in [
        (
            "respons_latency.p99",
            "< 40ms",
            true,
            "names no metric",
            "did you mean `response_latency`?",
        ),
        ("storm.frames_lost", "= 0", true, "names no metric", "phases here: calm, burst"),
        ("response_latency", "< 40ms", true, "which number", "response_latency.p99"),
        ("response_latency.p9x", "< 40ms", true, "unknown statistic `p9x`", "did you mean `p90`"),
        ("frames_lost.p99", "= 0", true, "is a count", "frames_lost alone"),
        ("burst.integrity.decoded", "> 0", true, "whole run only", "\"integrity.decoded\""),
        ("send_lag.p100", "< 1ms", true, "unknown statistic `p100`", "max"),
        ("frames_lost", "0", false, "does not begin with", "= 0"),
        ("frames_lost", "< NaN", false, "not a number", "plain number"),
        ("frames_lost", "= -1", false, "not a number", "plain number"),
        ("frames_lost", "= 3ms", false, "has the unit `ms`", "plain number"),
        ("send_lag.p99", "< 40", false, "unit is missing", "40ms"),
        ("gateway_rss.max", "< 3MB", false, "has the unit `MB`", "MiB"),
    ] {
        let error = parse(key, limit).unwrap_err();
        assert_eq!(error.place == ErrorPlace::Key, in_key, "{key}");
        assert!(error.message.contains(message), "{key}: {}", error.message);
        assert!(error.help.contains(help), "{key}: {}", error.help);
    }
}

#[test]
fn a_limit_may_be_about_the_time_after_an_event() {
    let threshold = parse("within 2.5s of burst.response_latency.p99", "< 40ms").unwrap();
    assert_eq!(threshold.to_string(), "within 2500ms of burst.response_latency.p99 < 40ms");
    let Scope::Within(window) = threshold.scope else { panic!("{threshold:?}") };
    assert_eq!((window.span, window.start), (Duration::from_millis(2500), Duration::from_secs(10)));
    let threshold = parse("within 5s of storm.hello_time.p99", "< 1s").unwrap();
    let Scope::Within(window) = threshold.scope else { panic!("{threshold:?}") };
    assert_eq!((&*window.of, window.start), ("storm", Duration::from_secs(12)));
    for (key, message, help) in [
        (
            "within 5s of brst.frames_lost",
            "no phase and no named action `brst`",
            "did you mean `burst`?",
        ),
        ("within 5s of strm.frames_lost", "no named action `strm`", "did you mean `storm`?"),
        ("within 14s of storm.frames_lost", "impossible window", "storm starts at 12s"),
        ("within 16s of burst.frames_lost", "impossible window", "the run ends 15s later"),
        ("within 0s of burst.frames_lost", "impossible window", "more than 0s"),
        ("within 5 of burst.frames_lost", "the unit is missing", "within 5s of burst"),
        ("within burst.frames_lost", "names no time, event and metric", "within 5s of burst"),
        ("within 5s of burst", "names no time, event and metric", "within 5s of burst"),
        ("within 5s of burst.integrity.decoded", "whole run only", "\"integrity.decoded\""),
    ] {
        let error = parse(key, "= 0").unwrap_err();
        assert_eq!(error.place, ErrorPlace::Key);
        assert!(error.message.contains(message), "{key}: {}", error.message);
        assert!(error.help.contains(help), "{key}: {}", error.help);
    }
}

#[test]
fn a_limit_may_be_a_multiple_of_what_was_elsewhere() {
    let calm = || Reference::Phase("calm".to_owned());
    for (key, limit, factor, of) in [
        ("burst.response_latency.p99", "< 2x calm", 2.0, calm()),
        ("burst.gateway_load.mean", "< 150% calm", 1.5, calm()),
        ("response_latency.p99", "<= 110% baseline", 1.1, Reference::Baseline),
        ("frames_lost", "<= 1x baseline", 1.0, Reference::Baseline),
    ] {
        let threshold = parse(key, limit).unwrap();
        assert_eq!(threshold.needs_baseline(), of == Reference::Baseline);
        assert_eq!((&threshold.limit, &*threshold.text), (&Limit::Times { factor, of }, limit));
    }
    for (key, limit, message) in [
        ("burst.response_latency.p99", "< 2x clam", "`clam` is no phase"),
        ("burst.response_latency.p99", "< 2x burst", "compared with itself"),
        ("burst.response_latency.p99", "= 2x calm", "exactly a multiple"),
        ("burst.response_latency.p99", "< -2x calm", "no multiple"),
        ("burst.response_latency.p99", "< NaNx calm", "no multiple"),
        ("effective_loss.worst", "< 2x calm", "whole run only"),
    ] {
        let error = parse(key, limit).unwrap_err();
        assert!(error.message.contains(message), "{key} {limit}: {}", error.message);
    }
}

#[test]
fn windows_and_early_ends_are_for_what_is_known_each_second() {
    let table = |limit: &str| ThresholdTable::limit(limit);
    let seconds = |seconds| Some(Duration::from_secs(seconds));
    let sliding = ThresholdTable { over: seconds(5), ..table("< 40ms") };
    let shown = with("burst.response_latency.p99", &sliding).unwrap().to_string();
    assert_eq!(shown, "burst.response_latency.p99 < 40ms over 5s");
    let ending = ThresholdTable { abort: true, after: seconds(2), warn: true, ..table("< 40ms") };
    let shown = with("response_latency.p99", &ending).unwrap().to_string();
    assert_eq!(shown, "response_latency.p99 < 40ms, or the run ends (after 2s) (a warning)");

    let over = |over, limit| ThresholdTable { over: Some(over), ..table(limit) };
    let abort = |after, limit| ThresholdTable { abort: true, after, ..table(limit) };
    let (ms, s) = (Duration::from_millis, Duration::from_secs);
    for (key, said, place, message) in [
        ("frames_lost", over(s(5), "= 0"), ErrorPlace::Over, "at the end of the run only"),
        ("send_lag.p99", over(ms(500), "< 1ms"), ErrorPlace::Over, "a window of 500ms"),
        ("send_lag.p99", over(ms(1500), "< 1ms"), ErrorPlace::Over, "a window of 1500ms"),
        ("calm.send_lag.p99", over(s(11), "< 1ms"), ErrorPlace::Over, "no window of 11s fits"),
        ("frames_lost", abort(None, "= 0"), ErrorPlace::Key, "at the end of the run only"),
        ("frames_sent", abort(None, "> 9"), ErrorPlace::Limit, "only grows"),
        ("send_lag.p99", abort(seconds(25), "< 1ms"), ErrorPlace::After, "takes 25s"),
        (
            "send_lag.p99",
            ThresholdTable { after: seconds(1), ..table("< 1ms") },
            ErrorPlace::After,
            "says when `abort` begins",
        ),
    ] {
        let error = with(key, &said).unwrap_err();
        assert_eq!(error.place, place, "{key}: {}", error.message);
        assert!(error.message.contains(message), "{key}: {}", error.message);
        assert!(!error.help.is_empty(), "{key}");
    }
}
