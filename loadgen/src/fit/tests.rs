use super::*;
use simnet::{Delay, Distribution, Stall};

const FRAME: Duration = Duration::from_millis(60);

fn ms(millis: u64) -> Duration {
    Duration::from_millis(millis)
}

/// Four devices for three minutes behind `up`, as an import would have traced them: less the smallest.
fn traced(up: &Impairment) -> Trace {
    let blank = || Stream {
        up: (0..3000).map(|number| Point { at: FRAME * number, delay: None }).collect(),
        down: Vec::new(),
    };
    let candidate = Candidate {
        toml: String::new(),
        parameters: 0,
        up: up.clone(),
        down: Impairment::default(),
    };
    let mut trace = played(&Trace::new((0..4).map(|_| blank()).collect()), &candidate, 77);
    let less = |stream: &Stream| {
        let smallest = stream.up.iter().filter_map(|point| point.delay).min().unwrap_or_default();
        let up = stream.up.iter().map(|point| Point {
            at: point.at,
            delay: point.delay.map(|delay| delay.saturating_sub(smallest)),
        });
        Stream { up: up.collect(), down: Vec::new() }
    };
    trace = Trace::new(trace.streams().iter().map(less).collect());
    trace
}

fn fitted(up: &Impairment) -> Fitted {
    fit(&traced(up), FRAME)
}

#[test]
fn a_preset_is_found_again() {
    for name in ["wifi-busy", "lte-drive"] {
        let preset = Preset::by_name(name).unwrap();
        let fitted = fitted(&preset.impairment);
        assert_eq!(fitted.toml, format!("{{ uplink = \"{name}\" }}"), "{}", text(&fitted));
        assert!(fitted.error < 0.15, "{}", text(&fitted));
    }
}

#[test]
fn nothing_is_explained_by_nothing() {
    let fitted = fitted(&Impairment::default());
    assert_eq!((&fitted.toml[..], fitted.error), ("{}", 0.0));
}

#[test]
fn parameters_are_read_off() {
    let bursts = Impairment { loss: Loss::bursts(0.01, 0.25), ..Impairment::default() };
    let found = fitted(&bursts);
    let inside = found.toml.split_once("gilbert-elliott(").unwrap().1.split_once(')').unwrap().0;
    let chances: Vec<f64> = inside.split(", ").map(|chance| chance.parse().unwrap()).collect();
    assert!(
        (chances[0] - 0.01).abs() < 0.002 && (chances[1] - 0.25).abs() < 0.04,
        "{}",
        found.toml
    );

    let delay =
        Delay { time: ms(40), jitter: ms(9), correlation: 0.0, distribution: Distribution::Normal };
    let found = fitted(&Impairment { delay, ..Impairment::default() });
    assert!(
        found.toml.contains("jitter = \"9") || found.toml.contains("jitter = \"8"),
        "{}",
        found.toml
    );
    assert!(found.toml.contains("distribution = \"normal\""), "{}", text(&found));
    assert!(found.error < 0.1, "{}", text(&found));

    let stall = Stall { per_minute: 6.0, shortest: ms(250), longest: ms(500) };
    let found = fitted(&Impairment { stall: Some(stall), ..Impairment::default() });
    assert!(found.toml.contains("stall = "), "{}", text(&found));
}

/// What no candidate does: every second half a second of nothing.
#[test]
fn what_is_not_explained_is_said() {
    let up = (0..1500_u32).map(|number| Point {
        at: FRAME * number,
        delay: (number % 17 > 8).then(|| ms(u64::from(number % 5) * 37)),
    });
    let trace = Trace::new(vec![Stream { up: up.collect(), down: Vec::new() }]);
    let fitted = fit(&trace, FRAME);
    assert!(fitted.error > 0.05, "{}", text(&fitted));
    assert!(text(&fitted).contains("left over"));
}
