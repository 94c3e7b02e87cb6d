use std::convert::Infallible;

use measure::Metric;
use measure::record::Measurements;

use super::*;

const PLAN: fn(usize) -> Plan = |pairs| Plan {
    pairs,
    margin: 0.05,
    decides: "response_latency.p99",
    seed: 10,
    out: PathBuf::from("out"),
};

/// A run whose answers all took so long.
fn trial(micros: u64) -> Trial {
    let mut measured = Measurements::new();
    measured.sample(Metric::ResponseLatency, micros * 1000);
    Trial { metrics: measured.to_map(), validity: State::Valid, interrupted: false }
}

/// What was run, in its order, and what came of it.
fn compared(
    pairs: usize,
    mut run: impl FnMut(Side, u64, usize) -> Trial,
) -> (Vec<String>, Comparison) {
    let mut runs = Vec::new();
    let sides = ["workers=2".to_owned(), "workers=4".to_owned()];
    let comparison = compare::<Infallible>(
        &PLAN(pairs),
        sides,
        Path::new("test.toml"),
        |side, seed, out| {
            runs.push(format!("{} {seed}", out.file_name().unwrap().to_string_lossy()));
            Ok(run(side, seed, runs.len()))
        },
        |_| {},
    );
    (runs, comparison.unwrap())
}

/// B takes a quarter less, give or take what the seed brings.
fn a_quarter_less(side: Side, seed: u64, _: usize) -> Trial {
    trial((if side == Side::A { 20_000 } else { 15_000 }) + seed * 10)
}

#[test]
fn runs_go_a_b_b_a_with_one_seed_for_each_pair() {
    let (runs, comparison) = compared(7, a_quarter_less);
    assert_eq!(runs[..4], ["pair-01-a 10", "pair-01-b 10", "pair-02-b 11", "pair-02-a 11"]);
    assert_eq!((runs.len(), comparison.pairs, comparison.exit_code()), (14, 7, 0));
    assert_eq!(comparison.numbers[0].finding, "better");
    insta::assert_snapshot!(comparison.text());
}

#[test]
fn the_other_way_round_it_is_worse_and_fewer_pairs_do_not_tell() {
    let worse =
        |side, seed, _| a_quarter_less(if side == Side::A { Side::B } else { Side::A }, seed, 0);
    assert_eq!(compared(7, worse).1.exit_code(), 1);
    let (_, few) = compared(3, worse);
    assert_eq!((few.exit_code(), few.numbers[0].more_pairs), (INCONCLUSIVE, Some(4)));
    assert!(few.text().contains("7 pairs are the fewest"), "{}", few.text());
}

#[test]
fn an_invalid_run_makes_its_pair_run_again_and_is_not_counted() {
    let (runs, comparison) = compared(2, |side, seed, number| Trial {
        validity: if number == 2 { State::Invalid } else { State::Valid },
        ..a_quarter_less(side, seed, number)
    });
    let again = ["pair-01-a 10", "pair-01-b 10", "pair-01-a-again-2 10", "pair-01-b-again-2 10"];
    assert_eq!(runs[..4], again);
    assert_eq!((comparison.pairs, comparison.invalid), (2, 1));
    // Never one that counts: nothing is said.
    let (runs, never) = compared(2, |side, seed, number| Trial {
        validity: State::Invalid,
        ..a_quarter_less(side, seed, number)
    });
    assert_eq!((runs.len(), never.pairs, never.exit_code()), (2 * 2 * TRIES, 0, INCONCLUSIVE));
}

#[test]
fn what_was_run_before_an_interruption_is_told() {
    let (runs, comparison) = compared(7, |side, seed, number| Trial {
        interrupted: number == 5,
        ..a_quarter_less(side, seed, number)
    });
    assert_eq!((runs.len(), comparison.pairs, comparison.exit_code()), (5, 2, 130));
}

#[test]
fn pairs_that_were_done_outlive_a_run_that_cannot_be() {
    let failing_at = |pair: &'static str| {
        compare(
            &PLAN(7),
            ["workers=2".to_owned(), "workers=4".to_owned()],
            Path::new("test.toml"),
            |side, seed, out: &Path| {
                let fails = out.to_string_lossy().contains(pair);
                if fails { Err("no such gateway") } else { Ok(a_quarter_less(side, seed, 0)) }
            },
            |_| {},
        )
    };
    let comparison = failing_at("pair-03").unwrap();
    assert_eq!((comparison.pairs, comparison.exit_code()), (2, 2));
    assert!(
        comparison.text().contains("could not be done: no such gateway"),
        "{}",
        comparison.text()
    );
    assert_eq!(failing_at("pair-01").unwrap_err(), "no such gateway");
}

#[test]
fn the_page_tells_what_the_terminal_tells() {
    let (_, comparison) = compared(7, a_quarter_less);
    let page = study(&comparison, "din compare test.toml --b workers=4".to_owned()).page();
    for said in [
        "<span class=\"badge good\">B IS BETTER</span>",
        "<dt>B</dt><dd>workers=4</dd>",
        "<figure id=\"pairs-0\"",
        "<th scope=\"row\">response_latency.p99 ms</th>",
        "din compare test.toml --b workers=4",
    ] {
        assert!(page.contains(said), "{said} is missing in\n{page}");
    }
    let (_, few) = compared(3, a_quarter_less);
    assert!(study(&few, String::new()).page().contains("badge warn\">B IS INCONCLUSIVE"));
}
