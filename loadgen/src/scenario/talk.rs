//! `talk`: when a device speaks within a call.
//!
//! ```toml
//! talk = "full-duplex"          # always, as an echo test does; every frame has its answer
//! talk = "half-duplex"          # in turns, as people do
//! talk = "silent"               # never: the session is held, and nothing is said
//!
//! talk = { listen = "1s..3s", pause = "500ms", answer_timeout = "10s", barge_in = "10%", barge_in_after = "500ms..2s" }
//! ```
//!
//! A turn: the device listens to its user for `listen` and sends what it hears, says `listen stop`,
//! hears the gateway think and speak, and after `pause` the next turn begins. How long a gateway
//! thinks and speaks is the gateway's business: of the reference gateway, `gateway.assistant`.

use std::fmt;
use std::time::Duration;

use schemars::JsonSchema;
use serde::de::value::MapAccessDeserializer;
use serde::{Deserialize, Deserializer, de};

use super::error::suggestion;
use super::time_distribution::TimeDistribution;
use super::values::{HOUR, MS, Share, Within};

/// When a device speaks within a call.
#[derive(Clone, Debug, PartialEq)]
pub enum Talk {
    /// Always; each frame has its answer.
    FullDuplex,
    /// In turns; what comes back is speech of the gateway's own.
    HalfDuplex(Turns),
    /// Never.
    Silent,
}

/// How a device takes turns.
#[derive(Clone, Debug, PartialEq)]
pub struct Turns {
    /// How long the device listens to its user, drawn for each turn; 2 s.
    pub listen: TimeDistribution,
    /// From the end of the gateway's speech to the next turn, drawn for each; 500 ms.
    pub pause: TimeDistribution,
    /// How long the device waits for speech to begin, and for one that has begun to go on, before
    /// it gives the turn up, 100 ms to 1 h; 10 s.
    pub answer_timeout: Duration,
    /// Share of the turns in which the user interrupts the gateway, 0 to 1; none.
    pub barge_in: f64,
    /// From the beginning of the gateway's speech to the interruption, drawn for each; 1 s. Speech
    /// that is over by then is not interrupted.
    pub barge_in_after: TimeDistribution,
}

impl Default for Turns {
    fn default() -> Self {
        let constant = |millis| TimeDistribution::constant(Duration::from_millis(millis));
        Self {
            listen: constant(2000),
            pause: constant(500),
            answer_timeout: Duration::from_secs(10),
            barge_in: 0.0,
            barge_in_after: constant(1000),
        }
    }
}

impl fmt::Display for Talk {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::FullDuplex => f.write_str("full duplex"),
            Self::HalfDuplex(turns) => {
                write!(f, "half duplex, listens for {}", turns.listen)?;
                if turns.barge_in > 0.0 {
                    write!(
                        f,
                        ", interrupts {:.0} % of the speeches after {}",
                        turns.barge_in * 100.0,
                        turns.barge_in_after
                    )?;
                }
                Ok(())
            }
            Self::Silent => f.write_str("silent"),
        }
    }
}

/// `talk` as it is written.
#[derive(Clone)]
pub(super) struct TalkValue(pub(super) Talk);

/// How turns are taken.
#[derive(Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
#[schemars(rename = "Turns")]
pub(super) struct TurnsTable {
    /// How long the device listens to its user in each turn: a time, or a distribution such as
    /// `1s..3s` or `normal(2s, 300ms)`; default: `2s`.
    listen: Option<TimeDistribution>,
    /// From the end of the gateway's speech to the next turn; default: `500ms`.
    pause: Option<TimeDistribution>,
    /// How long the device waits for the gateway's speech before it gives the turn up, `100ms` to
    /// `1h`; default: `10s`.
    answer_timeout: Option<Within<{ 100 * MS }, HOUR>>,
    /// Share of the turns in which the user interrupts the gateway; default: `0%`.
    barge_in: Option<Share>,
    /// From the beginning of the gateway's speech to the interruption; default: `1s`.
    barge_in_after: Option<TimeDistribution>,
}

impl From<TurnsTable> for Turns {
    fn from(table: TurnsTable) -> Self {
        let default = Self::default();
        Self {
            listen: table.listen.unwrap_or(default.listen),
            pause: table.pause.unwrap_or(default.pause),
            answer_timeout: table.answer_timeout.map_or(default.answer_timeout, Within::get),
            barge_in: table.barge_in.map_or(default.barge_in, Share::ratio),
            barge_in_after: table.barge_in_after.unwrap_or(default.barge_in_after),
        }
    }
}

impl<'de> Deserialize<'de> for TalkValue {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        const NAMES: [&str; 3] = ["full-duplex", "half-duplex", "silent"];
        struct Visitor;
        impl<'de> de::Visitor<'de> for Visitor {
            type Value = TalkValue;

            fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                f.write_str(
                    "\"full-duplex\", \"half-duplex\", \"silent\", or how turns are taken, for \
                     example { listen = \"2s\" }",
                )
            }

            fn visit_str<E: de::Error>(self, name: &str) -> Result<TalkValue, E> {
                Ok(TalkValue(match name {
                    "full-duplex" => Talk::FullDuplex,
                    "half-duplex" => Talk::HalfDuplex(Turns::default()),
                    "silent" => Talk::Silent,
                    _ => {
                        let help = suggestion(name, &NAMES);
                        return Err(E::custom(format!("unknown talk `{name}`: {help}")));
                    }
                }))
            }

            fn visit_map<A: de::MapAccess<'de>>(self, map: A) -> Result<TalkValue, A::Error> {
                let table = TurnsTable::deserialize(MapAccessDeserializer::new(map))?;
                Ok(TalkValue(Talk::HalfDuplex(table.into())))
            }
        }
        deserializer.deserialize_any(Visitor)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn read(value: &str) -> Result<Talk, String> {
        #[derive(Deserialize)]
        struct Table {
            talk: TalkValue,
        }
        let table: Result<Table, _> = toml::from_str(&format!("talk = {value}"));
        table.map(|table| table.talk.0).map_err(|error| error.message().to_owned())
    }

    #[test]
    fn talk_is_a_name_or_says_how_turns_are_taken() {
        assert_eq!(read("\"full-duplex\""), Ok(Talk::FullDuplex));
        assert_eq!(read("\"silent\""), Ok(Talk::Silent));
        assert_eq!(read("\"half-duplex\""), Ok(Talk::HalfDuplex(Turns::default())));
        assert_eq!(read("{}"), read("\"half-duplex\""));
        let Ok(Talk::HalfDuplex(turns)) =
            read("{ listen = \"1s..3s\", answer_timeout = \"5s\", barge_in = \"25%\" }")
        else {
            panic!("no turns");
        };
        assert_eq!(turns.listen.to_string(), "1s..3s");
        assert_eq!((turns.answer_timeout, turns.barge_in), (Duration::from_secs(5), 0.25));
        assert_eq!(turns.pause, Turns::default().pause);
    }

    #[test]
    fn other_talk_is_refused_with_what_there_is() {
        for (value, said) in [
            ("\"duplex\"", "did you mean `full-duplex`?"),
            ("3", "expected \"full-duplex\""),
            ("{ lisen = \"2s\" }", "unknown field `lisen`"),
            ("{ listen = \"2\" }", "unit is missing"),
            ("{ barge_in = \"101%\" }", "\"0%\" to \"100%\""),
            ("{ answer_timeout = \"1ms\" }", "allowed are 100ms to"),
        ] {
            let error = read(value).unwrap_err();
            assert!(error.contains(said), "{value}: {error}");
        }
    }
}
