use simnet::{Distribution, Loss, Preset};

use super::*;

fn read(value: &str) -> Result<Network, String> {
    #[derive(Deserialize)]
    struct Table {
        network: NetworkValue,
    }
    let table: Table = toml::from_str(&format!("network = {value}"))
        .map_err(|error: toml::de::Error| error.message().to_owned())?;
    table.network.network(Path::new("scenario.toml")).map_err(|(what, _)| what)
}

#[test]
fn a_network_is_called_by_its_presets() {
    for (value, said) in [
        ("\"lte-drive\"", "lte-drive"),
        ("{ uplink = \"wifi-busy\" }", "uplink wifi-busy"),
        (
            "{ uplink = { preset = \"3g\", loss = \"1%\" }, downlink = { delay = \"5ms\" } }",
            "uplink 3g with changes, downlink with an impairment of its own",
        ),
        ("{ downlink = {} }", ""),
    ] {
        assert_eq!(read(value).unwrap().said, said);
    }
}

fn uplink(way: &str) -> Result<Impairment, String> {
    let network = read(&format!("{{ uplink = {way} }}"))?;
    match network.uplink {
        Course::Impaired(impairment) => Ok(*impairment),
        Course::Traced(_) => panic!("no trace was named"),
    }
}

#[test]
fn a_network_is_a_preset_or_says_what_each_direction_does() {
    let busy = Preset::by_name("wifi-busy").unwrap().impairment;
    let network = read("\"wifi-busy\"").unwrap();
    assert_eq!(network.uplink, Course::from(busy.clone()));
    assert_eq!((network.uplink, network.said), (network.downlink, "wifi-busy".to_owned()));
    let changed = uplink("{ preset = \"wifi-busy\", delay = \"1ms\" }").unwrap();
    let delay = Delay { time: Duration::from_millis(1), ..busy.delay };
    assert_eq!(changed, Impairment { delay, ..busy });
    let all = uplink(
        "{ delay = \"15ms\", jitter = \"10ms\", correlation = \"25%\", distribution = \
         \"normal\", loss = \"gilbert-elliott(0.01, 0.3)\", duplicate = \"1%\", corrupt = \
         \"2%\", reorder = \"3%\", reorder_gap = 5, rate = \"750kbps\", queue = 7, stall = { \
         per_minute = 6, shortest = \"80ms\", longest = \"200ms\" }, outage = { every = \
         \"1m\", lasting = \"3s\" } }",
    )
    .unwrap();
    let ms = Duration::from_millis;
    let expected = Impairment {
        delay: Delay {
            time: ms(15),
            jitter: ms(10),
            correlation: 0.25,
            distribution: Distribution::Normal,
        },
        loss: Loss::bursts(0.01, 0.3),
        duplicate: 0.01,
        corrupt: 0.02,
        reorder: Some(Reorder { share: 0.03, gap: 5 }),
        rate: Some(Rate { bits_per_second: 750_000, queue: 7 }),
        stall: Some(Stall { per_minute: 6.0, shortest: ms(80), longest: ms(200) }),
        outage: Some(Outage { every: ms(60_000), lasting: ms(3000) }),
    };
    assert_eq!(all, expected);
    let pattern = uplink("{ loss = \"pattern(..x)\" }").unwrap().loss;
    assert_eq!(pattern, Loss::Pattern(vec![false, false, true]));
    assert!(read("{}").unwrap().is_clear());
}

#[test]
fn changes_lie_over_each_other_and_come_off_again() {
    let change = |at, group: Option<&str>, said: &str, lasting: Option<u64>| Action {
        at: Duration::from_secs(at),
        name: None,
        what: What::ChangeNetwork {
            group: group.map(str::to_owned),
            network: Box::new(Network { said: said.to_owned(), ..Network::default() }),
            lasting: lasting.map(Duration::from_secs),
        },
    };
    let actions = [
        change(1, None, "all", Some(10)),
        change(3, Some("toys"), "toys", Some(2)),
        change(20, None, "end", None),
    ];
    let base = Network { said: "base".to_owned(), ..Network::default() };
    let seen = |group| {
        let networks = networks(group, &base, &actions);
        let shown = networks
            .iter()
            .map(|(at, network)| format!("{} {}", at.since_start().as_secs(), network.said));
        shown.collect::<Vec<_>>().join(", ")
    };
    assert_eq!(seen("toys"), "0 base, 1 all, 3 toys, 5 all, 11 base, 20 end");
    assert_eq!(seen("others"), "0 base, 1 all, 11 base, 20 end");
}

#[test]
fn other_networks_are_refused_with_what_there_is() {
    for (value, said) in [
        ("\"wifi-bussy\"", "did you mean `wifi-busy`?"),
        ("3", "the name of a preset"),
        ("{ up = {} }", "unknown field `up`"),
        ("{ uplink = { dely = \"1ms\" } }", "unknown field `dely`"),
        ("{ uplink = { loss = \"much\" } }", "loss `much`: write for example \"1%\""),
        ("{ uplink = { loss = \"gilbert-elliott(2, 1)\" } }", "loss `gilbert"),
        ("{ uplink = { loss = \"pattern()\" } }", "loss `pattern()`"),
        ("{ uplink = { rate = \"fast\" } }", "rate `fast`: write 1kbps"),
        ("{ uplink = { queue = 3 } }", "`queue` is of `rate`"),
        ("{ uplink = { reorder = \"1%\" } }", "there is no `delay`"),
        ("{ uplink = { reorder_gap = 2 } }", "`reorder_gap` is of `reorder`"),
        ("{ uplink = { distribution = \"normal\" } }", "are of `jitter`"),
        ("{ uplink = { distribution = \"gauss\", jitter = \"1ms\" } }", "unknown distribution"),
        (
            "{ uplink = { stall = { per_minute = 1, shortest = \"2s\", longest = \"1s\" } } }",
            "shortest 2s is over longest 1s",
        ),
        (
            "{ uplink = { stall = { per_minute = 0, shortest = \"1s\", longest = \"1s\" } } }",
            "0 a minute: allowed are 0.01 to 600",
        ),
        ("{ uplink = { outage = { every = \"1s\", lasting = \"1s\" } } }", "must be below every"),
        ("{ repeat = true }", "there is none"),
        ("{ trace = \"a.csv\", uplink = \"3g\" }", "`trace` is for both directions"),
        ("{ trace = \"no-such.csv\" }", "no-such.csv does not exist"),
    ] {
        let error = read(value).unwrap_err();
        assert!(error.contains(said), "{value}: {error}");
    }
}
