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

mod words;

use std::fs::File;
use std::io::BufReader;
use std::path::Path;
use std::sync::Arc;
use std::time::Duration;

use protocol::Moment;
use schemars::JsonSchema;
use serde::de::value::MapAccessDeserializer;
use serde::{Deserialize, Deserializer, de};
use simnet::{Course, Delay, Impairment, Outage, Rate, Reorder, Stall, Trace, Traced};

use super::action::{Action, What};
use super::duration::shown;
use super::values::{HOUR, MINUTE, MS, Share, Whole, Within};
pub(super) use words::{DistributionName, LossText, PresetName, RateText};
use words::{PerMinute, preset};

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

#[cfg(test)]
mod tests;
