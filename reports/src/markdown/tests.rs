use super::*;
use crate::terminal::tests::{run, threshold};
use measure::record::{FailureRecord, Verdict};
use measure::validity::{Reason, Validity};
use proptest::prelude::*;

fn failed() -> RunRecord {
    let mut run = run();
    run.verdict = Verdict::Fail;
    run.exit_code = 1;
    run.validity = Validity {
        state: State::Suspect,
        reasons: vec![Reason {
            rule: "generator_cpu".to_owned(),
            state: State::Suspect,
            text: "the generator used 170 % of one core on average".to_owned(),
        }],
    };
    run.thresholds[0] = ThresholdRecord {
        phase: Some("talk".to_owned()),
        ..threshold("response_latency.p99", "< 40ms", Some(52.0), false)
    };
    run.thresholds.insert(0, threshold("integrity.decoded", ">= 9000", Some(9412.0), true));
    run.thresholds.push(threshold("hello_time.p99", "< 1s", None, false));
    run.thresholds.push(ThresholdRecord {
        warn: true,
        ..threshold("frames_reordered", "= 0", Some(12.0), false)
    });
    run.failures = vec![FailureRecord {
        what: "hello was not answered | within 10s".to_owned(),
        count: 3,
        first_device: 7,
        first_at_ms: 1234.5,
    }];
    run
}

#[test]
fn a_good_and_a_failed_run() {
    insta::assert_snapshot!("good", summary(&run()));
    insta::assert_snapshot!("failed", summary(&failed()));
}

#[test]
fn an_invalid_run_has_no_verdict() {
    let mut run = failed();
    run.validity.state = State::Invalid;
    let text = summary(&run);
    assert!(text.starts_with("## NO VERDICT · INVALID · First call\n"), "{text}");
    assert!(text.trim_end().ends_with("the rows above show what was seen"), "{text}");
}

#[test]
fn a_hundred_limits_still_fit_a_screen_with_the_failed_ones_first() {
    let mut run = run();
    run.thresholds = vec![threshold("frames_lost", "= 0", Some(0.0), true); 100];
    run.thresholds[99] = threshold("frames_lost", "= 0", Some(7.0), false);
    run.failures =
        vec![
            FailureRecord { what: "lost".to_owned(), count: 1, first_device: 1, first_at_ms: 0.0 };
            30
        ];
    let text = summary(&run);
    assert!(text.lines().count() <= 50, "{} lines:\n{text}", text.lines().count());
    assert!(text.contains("\nand 80 more in `run.json`\n"), "{text}");
    let first = text.lines().find(|line| line.contains("frames\\_lost")).unwrap();
    assert_eq!(first, r"| **FAIL** | frames\_lost | = 0 | 7 | +7 | 9 412 |");
    assert!(text.contains("- and 25 other kinds of failure\n"), "{text}");
}

#[test]
fn the_distance_to_a_limit_has_a_sign_and_a_unit() {
    for (limit, bound, seen, shown) in [
        ("< 40ms", 40.0, 50.0, "+25.0 %"),
        ("< 40ms", 40.0, 10.0, "-75.0 %"),
        ("< 40ms", 40.0, 4100.0, "102 times"),
        (">= 9000", 9000.0, 9000.0, "equal"),
        ("= 0", 0.0, 0.0, "equal"),
        ("= 0", 0.0, 12.0, "+12"),
    ] {
        let one = ThresholdRecord {
            bound: Some(bound),
            ..threshold("frames_lost", limit, Some(seen), true)
        };
        assert_eq!(against_limit(&one), shown, "{limit} {seen}");
    }
    assert_eq!(against_limit(&threshold("frames_lost", "= 0", None, false)), "-");
}

proptest! {
    /// Undoing the escapes gives the text back, and nothing that means something stands bare.
    #[test]
    fn any_text_stays_text(said in "(?s).{0,40}") {
        let text = escaped(&said);
        let mut undone = String::new();
        let mut chars = text.chars();
        while let Some(c) = chars.next() {
            match c {
                '\\' => undone.push(chars.next().unwrap()),
                c => {
                    prop_assert!(!"`*_{}[]<>()#|~&$!\n\r".contains(c), "`{c}` is bare in {text}");
                    undone.push(c);
                }
            }
        }
        let one_line = |c: char| {
            if c.is_control() || matches!(c, '\u{2028}' | '\u{2029}') { ' ' } else { c }
        };
        prop_assert_eq!(undone, said.chars().map(one_line).collect::<String>());
    }

    #[test]
    fn every_row_of_a_table_has_the_columns_of_its_head(said in "(?s).{0,20}") {
        let mut run = failed();
        run.thresholds[0].metric.clone_from(&said);
        run.thresholds[1].limit.clone_from(&said);
        run.thresholds[2].unit = said;
        for line in summary(&run).lines().filter(|line| line.starts_with('|')) {
            let bars = line.replace("\\\\", "").replace("\\|", "").matches('|').count();
            prop_assert!(matches!(bars, 7 | 8), "{line}");
        }
    }
}
