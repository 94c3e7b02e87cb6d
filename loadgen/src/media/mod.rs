//! The media side of the devices: frames out on time, answers in with kernel timestamps.
//!
//! [`call`] is what both directions of one audio session share, [`talkspurt`] when its device speaks;
//! [`uplink`] seals frames ahead;
//! [`ways`] is the simulated network that holds, loses and doubles datagrams of either direction;
//! [`wheel`] and [`pacer`] send them at their planned instants from a thread of their own;
//! [`listener`] receives the answers on another, [`downlink`] matches them ([`speech_stream`] where the
//! gateway speaks for itself), `key_watch` judges whether they open, [`delays`] keeps how late each was; [`checker`] really decodes some of them on a third. What is measured goes into
//! [`send_record`] and [`answer_record`], and each second from there over [`interval`] to whoever
//! writes it. Nothing here runs on tokio: its timers are a millisecond late.

pub mod answer_record;
pub mod call;
pub mod call_registry;
pub mod checker;
pub mod delays;
pub mod downlink;
pub mod experience;
pub mod interval;
mod key_watch;
pub mod listener;
pub mod pacer;
pub mod send_record;
pub mod speech_stream;
pub mod talkspurt;
pub mod turn_notes;
pub mod uplink;
pub mod ways;
pub mod wheel;
