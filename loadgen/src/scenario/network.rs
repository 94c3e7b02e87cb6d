//! `network`: what the network between a device and the gateway does to audio.
//!
//! ```toml
//! [devices]
//! network = "wifi-busy"         # a preset in both directions: `din network` lists them
//!
//! [devices.network]             # or each direction by itself, in netem's words
//! uplink   = { delay = "15ms", jitter = "10ms", distribution = "normal", loss = "gilbert-elliott(0.01, 0.3)" }
//! downlink = { preset = "wifi-busy", stall = { per_minute = 6, shortest = "80ms", longest = "200ms" } }
//!
//! [devices.network]             # or what once happened
//! trace = "yesterday.csv"
//! ```
//!
//! It is done within the load generator: datagrams of the uplink are held before they are sent, those
//! of the downlink after they were received. Control messages are not touched.

use std::fs::File;
use std::io::BufReader;
use std::path::Path;
use std::sync::Arc;
use std::time::Duration;

use protocol::Moment;
use schemars::JsonSchema;
use serde::de::value::MapAccessDeserializer;
use serde::{Deserialize, Deserializer, de};
use simnet::{
    Course, Delay, Distribution, Impairment, Loss, Outage, Preset, Rate, Reorder, Stall, Trace,
    Traced,
};

use super::action::{Action, What};
use super::duration::shown;
use super::error::suggestion;
use super::values::{HOUR, MINUTE, MS, Share, Whole, Within};

/// What the network between a device and the gateway does to audio; nothing by default.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Network {
    /// To packets from the device.
    pub uplink: Course,
    /// To packets to the device.
    pub downlink: Course,
    /// In which time a NAT gives the device another source port once; `None`: never.
    pub rebind: Option<Duration>,
    /// How it is called in plans and reports.
    pub said: String,
}

impl Network {
    /// Whether packets pass untouched.
    pub fn is_clear(&self) -> bool {
        self.uplink.is_clear() && self.downlink.is_clear() && self.rebind.is_none()
    }
}

/// The networks of a group of that name, whose own is `base`, in a run of `actions`: each from its
/// moment on, the first from the start.
pub fn networks(group: &str, base: &Network, actions: &[Action]) -> Vec<(Moment, Network)> {
    let changes: Vec<_> = actions
        .iter()
        .filter_map(|action| match &action.what {
            What::ChangeNetwork { group: whose, network, lasting }
                if whose.as_ref().is_none_or(|whose| whose == group) =>
            {
                Some((action.at, lasting.map(|lasting| action.at + lasting), network))
            }
            _ => None,
        })
        .collect();
    let mut turns: Vec<Duration> =
        changes.iter().flat_map(|(from, until, _)| [Some(*from), *until]).flatten().collect();
    turns.push(Duration::ZERO);
    turns.sort_unstable();
    turns.dedup();
    let in_force = |at: Duration| {
        let under_way = |from: Duration, until: Option<Duration>| {
            from <= at && until.is_none_or(|until| at < until)
        };
        let newest = changes.iter().rfind(|(from, until, _)| under_way(*from, *until));
        newest.map_or(base, |(.., network)| network)
    };
    turns.into_iter().map(|at| (Moment::START + at, in_force(at).clone())).collect()
}

/// `network` as it is written.
#[derive(Clone)]
pub(super) enum NetworkValue {
    Preset(Box<Impairment>, String),
    Table(Box<NetworkTable>),
}

/// What the network between a device and the gateway does to audio.
#[derive(Clone, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
#[schemars(rename = "Network")]
pub(super) struct NetworkTable {
    /// What packets from the device go through; default: nothing is done to them.
    uplink: Option<WayValue>,
    /// What packets to the device go through; default: nothing is done to them.
    downlink: Option<WayValue>,
    /// A trace of what once happened, relative to the scenario, instead of `uplink` and `downlink`.
    trace: Option<String>,
    /// Whether a trace begins anew at its end; if not, packets pass untouched from there on; default:
    /// true.
    repeat: Option<bool>,
    /// Whether each device begins somewhere in a trace, decided by the seed; default: false, all at its
    /// beginning.
    spread: Option<bool>,
    /// How often a NAT gives the device another source port, `100ms` to `1h`; default: never.
    rebind: Option<Within<{ 100 * MS }, HOUR>>,
}

/// What one direction does, as it is written.
#[derive(Clone)]
pub(super) struct WayValue {
    impairment: Impairment,
    /// How it is called: by its preset, if it has one.
    name: String,
}

/// What is done to the packets of one direction, in netem's words.
#[derive(Clone, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
#[schemars(rename = "Impairment")]
pub(super) struct WayTable {
    /// The preset that the other keys change.
    preset: Option<PresetName>,
    /// How much later packets arrive, `0s` to `1m`.
    delay: Option<Within<0, MINUTE>>,
    /// The unit of the distribution around it, `0s` to `1m`.
    jitter: Option<Within<0, MINUTE>>,
    /// How alike the jitter of neighbours is.
    correlation: Option<Share>,
    /// `uniform`, `normal`, `pareto` or `paretonormal`; default: `uniform`.
    distribution: Option<DistributionName>,
    /// Which packets are lost: `1%` of them at random, or in runs by `gilbert-elliott(p, r)` with the
    /// probabilities that a good link turns bad and a bad one good, or `pattern(..x)`, in turn.
    loss: Option<LossText>,
    /// Share of the packets that arrive twice.
    duplicate: Option<Share>,
    /// Share of the packets in which one bit is turned.
    corrupt: Option<Share>,
    /// Share of the packets that are not delayed, and so overtake others.
    reorder: Option<Share>,
    /// Only each so many-th packet may overtake others, 1 to 1000; default: 1, any.
    reorder_gap: Option<Whole<1, 1000>>,
    /// What the link carries, for example `750kbps`.
    rate: Option<RateText>,
    /// Packets that may wait for the link, 1 to 100,000; default: 100.
    queue: Option<Whole<1, 100_000>>,
    /// When packets are held, and then released back to back.
    stall: Option<StallTable>,
    /// When the link is down.
    outage: Option<OutageTable>,
}

/// Times in which packets are held, and then released back to back.
#[derive(Clone, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
#[schemars(rename = "Stall")]
pub(super) struct StallTable {
    /// How many, on average, at random, 0.01 to 600.
    #[schemars(with = "f64", range(min = 0.01, max = 600.0))]
    per_minute: PerMinute,
    /// The shortest, `1ms` to `1m`.
    shortest: Within<MS, MINUTE>,
    /// The longest, `1ms` to `1m`.
    longest: Within<MS, MINUTE>,
}

/// Times in which everything is lost.
#[derive(Clone, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
#[schemars(rename = "Outage")]
pub(super) struct OutageTable {
    /// From the beginning of one to that of the next, `100ms` to `1h`.
    every: Within<{ 100 * MS }, HOUR>,
    /// How long each is, `1ms` to `1h`.
    lasting: Within<MS, HOUR>,
}

#[derive(Clone)]
pub(super) struct PresetName {
    impairment: Impairment,
    name: String,
}
#[derive(Clone, Copy)]
pub(super) struct DistributionName(Distribution);
#[derive(Clone)]
pub(super) struct LossText(Loss);
#[derive(Clone, Copy)]
pub(super) struct RateText(u64);
#[derive(Clone, Copy)]
struct PerMinute(f64);

impl NetworkValue {
    /// The network, its trace read from beside the scenario.
    ///
    /// # Errors
    /// When the keys do not go together, or the trace cannot be read: what, and what to do.
    pub(super) fn network(&self, scenario: &Path) -> Result<Network, (String, String)> {
        let table = match self {
            Self::Preset(impairment, name) => {
                let course = || Course::Impaired(impairment.clone());
                let said = name.clone();
                return Ok(Network { uplink: course(), downlink: course(), rebind: None, said });
            }
            Self::Table(table) => table,
        };
        let rebind = table.rebind.map(Within::get);
        let rebinds = rebind.map(|every| format!("another port each {}", shown(every)));
        let Some(trace) = &table.trace else {
            if table.repeat.is_some() || table.spread.is_some() {
                let what =
                    "`repeat` and `spread` say how a trace is gone through, and there is none";
                return Err((what.to_owned(), "name it: trace = \"FILE.csv\"".to_owned()));
            }
            let course = |way: &Option<WayValue>| {
                way.as_ref().map_or_else(Course::default, |way| way.impairment.clone().into())
            };
            let (uplink, downlink) = (course(&table.uplink), course(&table.downlink));
            let ways = [("uplink", &table.uplink), ("downlink", &table.downlink)];
            let said = ways.iter().filter_map(|(which, way)| {
                let way = way.as_ref().filter(|way| way.impairment != Impairment::default())?;
                Some(format!("{which} {}", way.name))
            });
            let said = said.chain(rebinds).collect::<Vec<_>>().join(", ");
            return Ok(Network { uplink, downlink, rebind, said });
        };
        if table.uplink.is_some() || table.downlink.is_some() {
            let what = "`trace` is for both directions, and `uplink` or `downlink` stand beside it";
            return Err((what.to_owned(), "leave one of them out".to_owned()));
        }
        let file = scenario.parent().unwrap_or(Path::new(".")).join(trace);
        let read = read_trace(&file).map_err(|error| {
            let what = format!("trace `{trace}`: {error}");
            (what, "paths are relative to the scenario file; a trace is the columns t_ms,direction,delay_ms".to_owned())
        })?;
        let traced = Traced {
            trace: Arc::new(read),
            repeat: table.repeat.unwrap_or(true),
            spread: table.spread.unwrap_or(false),
        };
        Ok(Network {
            uplink: Course::Traced(traced.clone()),
            downlink: Course::Traced(traced),
            rebind,
            said: [Some(format!("trace {trace}")), rebinds]
                .into_iter()
                .flatten()
                .collect::<Vec<_>>()
                .join(", "),
        })
    }
}

/// Reads a trace; says what is wrong with it.
///
/// # Errors
/// When it cannot be read, or is no trace.
pub fn read_trace(file: &Path) -> Result<Trace, String> {
    let open = File::open(file).map_err(|error| match error.kind() {
        std::io::ErrorKind::NotFound => format!("{} does not exist", file.display()),
        _ => format!("cannot read {}: {error}", file.display()),
    })?;
    Trace::read(BufReader::new(open)).map_err(|error| error.to_string())
}

impl WayTable {
    fn impairment(self) -> Result<Impairment, String> {
        let mut made = self.preset.map_or_else(Impairment::default, |preset| preset.impairment);
        let set = |to: &mut f64, share: Option<Share>| *to = share.map_or(*to, Share::ratio);
        made.delay = Delay {
            time: self.delay.map_or(made.delay.time, Within::get),
            jitter: self.jitter.map_or(made.delay.jitter, Within::get),
            correlation: self.correlation.map_or(made.delay.correlation, Share::ratio),
            distribution: self.distribution.map_or(made.delay.distribution, |name| name.0),
        };
        if made.delay.jitter.is_zero()
            && (self.distribution.is_some() || self.correlation.is_some())
        {
            return Err(
                "`distribution` and `correlation` are of `jitter`, and there is none".into()
            );
        }
        made.loss = self.loss.map_or(made.loss, |loss| loss.0);
        set(&mut made.duplicate, self.duplicate);
        set(&mut made.corrupt, self.corrupt);
        if self.reorder.is_none() && self.reorder_gap.is_some() {
            return Err("`reorder_gap` is of `reorder`, and there is none".into());
        }
        if let Some(share) = self.reorder {
            if made.delay.time.is_zero() {
                return Err("`reorder`: packets overtake those that are delayed, and there is no \
                            `delay`"
                    .into());
            }
            let gap = self.reorder_gap.map_or(1, Whole::get);
            made.reorder = Some(Reorder { share: share.ratio(), gap });
        }
        if self.rate.is_none() && made.rate.is_none() && self.queue.is_some() {
            return Err("`queue` is of `rate`, and there is none".into());
        }
        let queue = self.queue.map(|queue| queue.get() as usize);
        let before = made.rate;
        made.rate = self.rate.map(|rate| rate.0).or(before.map(|rate| rate.bits_per_second)).map(
            |bits_per_second| Rate {
                bits_per_second,
                queue: queue.or(before.map(|rate| rate.queue)).unwrap_or(100),
            },
        );
        if let Some(stall) = self.stall {
            let (shortest, longest) = (stall.shortest.get(), stall.longest.get());
            if shortest > longest {
                let (shortest, longest) = (shown(shortest), shown(longest));
                return Err(format!("stall: shortest {shortest} is over longest {longest}"));
            }
            made.stall = Some(Stall { per_minute: stall.per_minute.0, shortest, longest });
        }
        if let Some(outage) = self.outage {
            let (every, lasting) = (outage.every.get(), outage.lasting.get());
            if lasting >= every {
                let (every, lasting) = (shown(every), shown(lasting));
                return Err(format!("outage: lasting {lasting} must be below every {every}"));
            }
            made.outage = Some(Outage { every, lasting });
        }
        Ok(made)
    }
}

fn preset(name: &str) -> Result<Impairment, String> {
    Preset::by_name(name).map(|preset| preset.impairment).ok_or_else(|| {
        let all = Preset::all();
        let names: Vec<&str> = all.iter().map(|preset| preset.name).collect();
        format!("unknown network `{name}`: {}", suggestion(name, &names))
    })
}

impl<'de> Deserialize<'de> for NetworkValue {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        struct Visitor;
        impl<'de> de::Visitor<'de> for Visitor {
            type Value = NetworkValue;

            fn expecting(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
                f.write_str(
                    "the name of a preset (`din network` lists them), or a table such as \
                     { uplink = { delay = \"15ms\" } }",
                )
            }

            fn visit_str<E: de::Error>(self, name: &str) -> Result<NetworkValue, E> {
                let impairment = preset(name).map_err(E::custom)?;
                Ok(NetworkValue::Preset(Box::new(impairment), name.to_owned()))
            }

            fn visit_map<A: de::MapAccess<'de>>(self, map: A) -> Result<NetworkValue, A::Error> {
                let table = NetworkTable::deserialize(MapAccessDeserializer::new(map))?;
                Ok(NetworkValue::Table(Box::new(table)))
            }
        }
        deserializer.deserialize_any(Visitor)
    }
}

impl<'de> Deserialize<'de> for WayValue {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        struct Visitor;
        impl<'de> de::Visitor<'de> for Visitor {
            type Value = WayValue;

            fn expecting(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
                f.write_str("the name of a preset, or a table such as { delay = \"15ms\" }")
            }

            fn visit_str<E: de::Error>(self, name: &str) -> Result<WayValue, E> {
                let impairment = preset(name).map_err(E::custom)?;
                Ok(WayValue { impairment, name: name.to_owned() })
            }

            fn visit_map<A: de::MapAccess<'de>>(self, map: A) -> Result<WayValue, A::Error> {
                let table = WayTable::deserialize(MapAccessDeserializer::new(map))?;
                let name = match &table.preset {
                    Some(preset) => format!("{} with changes", preset.name),
                    None => "with an impairment of its own".to_owned(),
                };
                let impairment = table.impairment().map_err(de::Error::custom)?;
                Ok(WayValue { impairment, name })
            }
        }
        deserializer.deserialize_any(Visitor)
    }
}

impl<'de> Deserialize<'de> for PresetName {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        let name = String::deserialize(deserializer)?;
        let impairment = preset(&name).map_err(de::Error::custom)?;
        Ok(Self { impairment, name })
    }
}

impl<'de> Deserialize<'de> for DistributionName {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        let name = String::deserialize(deserializer)?;
        Ok(Self(match &*name {
            "uniform" => Distribution::Uniform,
            "normal" => Distribution::Normal,
            "pareto" => Distribution::Pareto,
            "paretonormal" => Distribution::ParetoNormal,
            _ => {
                let help = suggestion(&name, &["uniform", "normal", "pareto", "paretonormal"]);
                return Err(de::Error::custom(format!("unknown distribution `{name}`: {help}")));
            }
        }))
    }
}

impl<'de> Deserialize<'de> for LossText {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        let text = String::deserialize(deserializer)?;
        loss(&text).map(Self).ok_or_else(|| {
            de::Error::custom(format!(
                "loss `{text}`: write for example \"1%\", \"gilbert-elliott(0.01, 0.3)\" or \
                 \"pattern(...x)\", x for a packet that is lost"
            ))
        })
    }
}

fn loss(text: &str) -> Option<Loss> {
    let inside = |name: &str| text.strip_prefix(name)?.strip_prefix('(')?.strip_suffix(')');
    if let Some(pattern) = inside("pattern") {
        let lost = |one| match one {
            '.' => Some(false),
            'x' => Some(true),
            _ => None,
        };
        let pattern: Vec<bool> = pattern.chars().map(lost).collect::<Option<_>>()?;
        return (1..=10_000).contains(&pattern.len()).then_some(Loss::Pattern(pattern));
    }
    if let Some(chances) = inside("gilbert-elliott") {
        let chance = |text: &str| {
            let chance = text.trim().parse::<f64>().ok();
            chance.filter(|chance| (0.0..=1.0).contains(chance))
        };
        let chances: Vec<f64> = chances.split(',').map(chance).collect::<Option<_>>()?;
        return match chances[..] {
            [p, r] => Some(Loss::bursts(p, r)),
            [turns_bad, turns_good, passes_bad, passes_good] => {
                Some(Loss::GilbertElliott { turns_bad, turns_good, passes_bad, passes_good })
            }
            _ => None,
        };
    }
    let percent: f64 = text.strip_suffix('%')?.trim().parse().ok()?;
    (0.0..=100.0).contains(&percent).then_some(Loss::Random(percent / 100.0))
}

impl<'de> Deserialize<'de> for RateText {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        let text = String::deserialize(deserializer)?;
        let units = [("kbps", 1e3), ("Mbps", 1e6)];
        let read = units.iter().find_map(|(unit, factor)| {
            let number: f64 = text.strip_suffix(unit)?.trim().parse().ok()?;
            Some(number * factor)
        });
        let Some(bits) = read.filter(|bits| (1e3..=1e10).contains(bits)) else {
            let message =
                format!("rate `{text}`: write 1kbps to 10000Mbps, for example \"750kbps\"");
            return Err(de::Error::custom(message));
        };
        #[expect(clippy::cast_possible_truncation, clippy::cast_sign_loss, reason = "in its range")]
        Ok(Self(bits as u64))
    }
}

impl<'de> Deserialize<'de> for PerMinute {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        let seen = f64::deserialize(deserializer)?;
        if (0.01..=600.0).contains(&seen) {
            return Ok(Self(seen));
        }
        Err(de::Error::custom(format!("{seen} a minute: allowed are 0.01 to 600")))
    }
}

#[cfg(test)]
mod tests {
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
            (
                "{ uplink = { outage = { every = \"1s\", lasting = \"1s\" } } }",
                "must be below every",
            ),
            ("{ repeat = true }", "there is none"),
            ("{ trace = \"a.csv\", uplink = \"3g\" }", "`trace` is for both directions"),
            ("{ trace = \"no-such.csv\" }", "no-such.csv does not exist"),
        ] {
            let error = read(value).unwrap_err();
            assert!(error.contains(said), "{value}: {error}");
        }
    }
}
