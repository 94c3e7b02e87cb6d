//! What the gateway is told to do wrong, so that a gate can be seen to fail.

use std::fmt;

use schemars::JsonSchema;
use serde::{Deserialize, Deserializer, Serialize, de};
use toml::{Table, Value};

use crate::scenario::values::{HOUR, MINUTE, Memory, Seed, Share, Whole, Within};

/// Faults to be switched on; all are off where nothing is said.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(default, deny_unknown_fields)]
pub struct Faults {
    /// Where the gateway's random choices of what to spoil come from.
    seed: Option<Seed>,
    /// Coders belong to the worker, not to the session: production's defect.
    shared_codec: Option<bool>,
    /// Share of replies that are held back until after the session's next one.
    reordered_replies: Option<Share>,
    /// Share of replies that are not sent.
    dropped_replies: Option<Share>,
    /// Share of replies that are sent twice.
    duplicated_replies: Option<Share>,
    /// One worker stands still, again and again.
    #[serde(deserialize_with = "worker_stall")]
    #[schemars(with = "Option<WorkerStall>")]
    worker_stall: Option<WorkerStall>,
    /// The whole gateway stands still, again and again.
    #[serde(deserialize_with = "gateway_stall")]
    #[schemars(with = "Option<GatewayStall>")]
    gateway_stall: Option<GatewayStall>,
    /// Share of sessions whose grant names another key than the one used.
    wrong_key: Option<Share>,
    /// Share of sessions that are sent the audio of another.
    foreign_audio: Option<Share>,
    /// Share of sessions that are sent constant timestamps and constant packet sizes.
    keystream_reuse: Option<Share>,
    /// How late hellos are answered, 0 to 60 s.
    hello_delay: Option<Within<0, MINUTE>>,
    /// Hellos beyond so many live sessions are not answered.
    hello_limit: Option<Whole<0, { u32::MAX }>>,
    /// Share of frames at which the worker panics.
    worker_crash: Option<Share>,
    /// Memory that is leaked with each frame, at most 16 MiB.
    leak_per_frame: Option<Memory>,
}

/// More than nothing, at most 1 h.
type StallSpan = Within<1, HOUR>;

/// When a worker stands still.
#[derive(Clone, Copy, Debug, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
struct WorkerStall {
    /// From the start of one stall to the start of the next.
    every: StallSpan,
    /// How long each lasts, less than `every`.
    #[serde(rename = "for")]
    lasting: StallSpan,
    /// Which worker, 0 to 255; default: 0.
    #[serde(default)]
    worker: Whole<0, 255>,
}

/// When the whole gateway stands still.
#[derive(Clone, Copy, Debug, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
struct GatewayStall {
    /// From the start of one stall to the start of the next.
    every: StallSpan,
    /// How long each lasts, less than `every`.
    #[serde(rename = "for")]
    lasting: StallSpan,
}

fn worker_stall<'de, D: Deserializer<'de>>(from: D) -> Result<Option<WorkerStall>, D::Error> {
    let stall = WorkerStall::deserialize(from)?;
    ends_before_the_next(stall.every, stall.lasting).map(|()| Some(stall))
}

fn gateway_stall<'de, D: Deserializer<'de>>(from: D) -> Result<Option<GatewayStall>, D::Error> {
    let stall = GatewayStall::deserialize(from)?;
    ends_before_the_next(stall.every, stall.lasting).map(|()| Some(stall))
}

fn ends_before_the_next<E: de::Error>(every: StallSpan, lasting: StallSpan) -> Result<(), E> {
    if every.get() > lasting.get() {
        return Ok(());
    }
    let message = format!("stalls for {lasting} every {every}: `every` must be longer than `for`");
    Err(E::custom(message))
}

impl Faults {
    /// These, and those of `more` in place of what they name as well.
    pub(crate) fn with(&self, more: &Self) -> Self {
        let mut table = self.table();
        table.extend(more.table());
        table.try_into().expect("each of them was read")
    }

    /// As the gateway reads them in a command.
    pub(crate) fn to_json(&self) -> serde_json::Value {
        serde_json::to_value(self.table()).expect("a table of plain values")
    }

    /// The fault among them that can be on from the start only.
    pub(in crate::scenario) fn at_start_only(&self) -> Option<&'static str> {
        let named = [
            ("shared_codec", self.shared_codec.is_some()),
            ("keystream_reuse", self.keystream_reuse.is_some()),
        ];
        named.into_iter().find(|(_, there)| *there).map(|(name, _)| name)
    }

    /// Whether none is named.
    pub(in crate::scenario) fn is_empty(&self) -> bool {
        *self == Self::default()
    }

    fn table(&self) -> Table {
        Table::try_from(self).expect("faults are a table of plain values")
    }
}

impl fmt::Display for Faults {
    /// Each fault that is on, as it is named in the file: `dropped_replies 5%, shared_codec`.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let table = self.table();
        let on = table.iter().filter_map(|(name, value)| match value {
            Value::Boolean(false) => None,
            Value::String(none) if ["0%", "0s", "0ms", "0us", "0B"].contains(&none.as_str()) => {
                None
            }
            _ if name == "seed" => None,
            Value::Boolean(true) => Some(name.clone()),
            Value::Table(stall) => {
                let said = |(key, value): (&String, &Value)| format!("{key} {}", plain(value));
                let stall: Vec<String> = stall.iter().map(said).collect();
                Some(format!("{name} {}", stall.join(" ")))
            }
            value => Some(format!("{name} {}", plain(value))),
        });
        f.write_str(&on.collect::<Vec<_>>().join(", "))
    }
}

/// Text without its quotes.
fn plain(value: &Value) -> String {
    value.as_str().map_or_else(|| value.to_string(), str::to_owned)
}
