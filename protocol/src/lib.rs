//! The device protocol, sans-IO: bytes, messages and times go in, values and events come out.
//!
//! Nothing here opens a socket, reads a clock or draws a random number, so every rule can be
//! tested by calling it. A device speaks JSON over MQTT for control ([`control`]) and encrypted
//! Opus over UDP for audio ([`packet`], [`cipher`], [`opus`]); [`device_session`] and
//! [`gateway_session`] are the two ends of the conversation.
//!
//! Source of the wire format and its rules: the open firmware 78/xiaozhi-esp32
//! (`docs/mqtt-udp.md`, `main/protocols/mqtt_protocol.cc`).

pub mod cipher;
pub mod control;
pub mod device_session;
pub mod gateway_session;
mod hello;
pub mod identity;
pub mod keystream;
pub mod mcp;
pub mod opus;
pub mod packet;
pub mod sequence;
mod time;
mod units;

pub use time::Moment;
pub use units::{FrameDuration, MediaTimestamp, SampleRate, Sequence, Ssrc, UnitError};
