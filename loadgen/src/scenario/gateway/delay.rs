//! How long the gateway holds its answers back: a known delay, to check measurements against.

use std::fmt;

use serde::de::value::StrDeserializer;
use serde::{Deserialize, Deserializer, Serialize, de};

use crate::scenario::values::{SECOND, Within};

/// The most delays that may take turns.
const MOST: usize = 16;

/// One delay for all answers, or several that take turns from frame to frame.
#[derive(Clone, Debug, Default, PartialEq, Serialize)]
#[serde(transparent)]
pub struct Delays(Vec<Within<0, { 2 * SECOND }>>);

impl Delays {
    /// Whether answers leave when they are made.
    pub fn is_empty(&self) -> bool {
        self.0.is_empty()
    }
}

impl fmt::Display for Delays {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let times: Vec<_> = self.0.iter().map(ToString::to_string).collect();
        f.write_str(&times.join(", then "))
    }
}

impl<'de> Deserialize<'de> for Delays {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        struct Visitor;
        impl<'de> de::Visitor<'de> for Visitor {
            type Value = Delays;

            fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                f.write_str("a time, for example \"20ms\", or a list of times that take turns")
            }

            fn visit_str<E: de::Error>(self, time: &str) -> Result<Delays, E> {
                Ok(Delays(vec![Within::deserialize(StrDeserializer::new(time))?]))
            }

            fn visit_seq<A: de::SeqAccess<'de>>(self, mut list: A) -> Result<Delays, A::Error> {
                let mut delays = Vec::new();
                while let Some(delay) = list.next_element()? {
                    delays.push(delay);
                }
                if delays.len() > MOST {
                    let seen = delays.len();
                    let message = format!("{seen} delays: at most {MOST} may take turns");
                    return Err(de::Error::custom(message));
                }
                Ok(Delays(delays))
            }
        }
        deserializer.deserialize_any(Visitor)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn read(text: &str) -> Result<String, String> {
        #[derive(Deserialize)]
        struct Table {
            delay: Delays,
        }
        let table: Result<Table, _> = toml::from_str(&format!("delay = {text}"));
        table.map(|table| table.delay.to_string()).map_err(|error| error.message().to_owned())
    }

    #[test]
    fn one_delay_or_several_in_turns() {
        assert_eq!(read("\"5ms\""), Ok("5ms".to_owned()));
        assert_eq!(read("[\"0s\", \"10ms\"]"), Ok("0s, then 10ms".to_owned()));
        let many = format!("[{}]", ["\"1ms\""; 17].join(", "));
        assert_eq!(read(&many).unwrap_err(), "17 delays: at most 16 may take turns");
        assert!(read("5").unwrap_err().contains("a time, for example \"20ms\""));
        assert!(read("\"3s\"").is_err());
    }
}
