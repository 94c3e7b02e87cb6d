//! The media side of the devices: frames out on time, answers in with kernel timestamps.
//!
//! [`call`] is what both directions of one audio session share; [`uplink`] seals frames ahead;
//! [`wheel`] and [`pacer`] send them at their planned instants from a thread of their own;
//! [`listener`] receives the answers on another, [`downlink`] matches them, `key_watch` judges
//! whether they open; [`checker`] really decodes some of them on a third. What is measured goes into
//! [`send_record`] and [`answer_record`], and each second from there over [`interval`] to whoever
//! writes it. Nothing here runs on tokio: its timers are a millisecond late.

pub mod answer_record;
pub mod call;
pub mod checker;
pub mod downlink;
pub mod experience;
pub mod interval;
mod key_watch;
pub mod listener;
pub mod pacer;
pub mod send_record;
pub mod uplink;
pub mod wheel;
