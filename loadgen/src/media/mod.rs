//! The media side of the devices: frames out on time, answers in with kernel timestamps.
//!
//! [`call`] is what both directions of one audio session share; [`uplink`] seals frames ahead;
//! [`wheel`] and [`pacer`] send them at their planned instants from a thread of their own;
//! [`listener`] receives the answers on another, `downlink` matches them; [`checker`] really decodes
//! some of them on a third. Nothing here runs on tokio: its timers are a millisecond late.

pub mod call;
pub mod checker;
mod downlink;
pub mod experience;
pub mod listener;
pub mod pacer;
pub mod uplink;
pub mod wheel;
