//! What a network does to packets, decided by a seed: pure, no socket, no clock.
//!
//! The words are those of Linux' netem, and so are the meanings where netem has one: an
//! [`Impairment`] of delay, loss, duplication, corruption, reordering and rate can be written as a
//! `tc` line. What netem has not: [`Stall`], packets that are held and then released back to back, and
//! [`Outage`], a link that is down for a while.
//!
//! An [`Impairer`] sees the packets of one stream in the order in which they enter and says of each
//! what becomes of it. The same settings, seed and packets have the same fates. A [`Path`] is the way of one
//! device's packets in one direction over a whole run: impairments and [`Trace`]s of what once happened,
//! each from its moment on.

mod delay;
mod impairer;
mod loss;
mod netem;
mod path;
mod preset;
mod random;
mod rebind;
mod trace;

pub use delay::{Delay, Distribution};
pub use impairer::{Cause, Delivery, Fate, Impairer};
pub use loss::Loss;
pub use netem::NotNetem;
pub use path::{Course, Path, Traced};
pub use preset::Preset;
pub use rebind::Rebinds;
pub use trace::{Direction, Point, Stream, Trace, TraceError, TraceWriter};

use std::time::Duration;

/// What is done to the packets of a stream; nothing by default.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Impairment {
    /// How much later they arrive.
    pub delay: Delay,
    /// Which of them are lost.
    pub loss: Loss,
    /// Share of the packets that arrive twice, 0 to 1.
    pub duplicate: f64,
    /// Share of the packets in which one bit is turned, 0 to 1.
    pub corrupt: f64,
    /// Which of them overtake others.
    pub reorder: Option<Reorder>,
    /// How much the link carries.
    pub rate: Option<Rate>,
    /// When it holds packets back.
    pub stall: Option<Stall>,
    /// When it is down.
    pub outage: Option<Outage>,
}

/// Packets that are not delayed, and so overtake those that are.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Reorder {
    /// Share of the packets, 0 to 1.
    pub share: f64,
    /// Only each so many-th packet may; 1: any.
    pub gap: u32,
}

/// A link that sends one packet after the other.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Rate {
    /// What it carries in a second.
    pub bits_per_second: u64,
    /// Packets that may wait for it; what comes when so many wait is lost.
    pub queue: usize,
}

/// Times in which nothing is delivered; what is due then is delivered at once when they are over.
/// They come at random, independently of each other (a Poisson process).
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Stall {
    /// How many of them, on average.
    pub per_minute: f64,
    /// The shortest, and with [`longest`](Self::longest) the range in which each is as likely.
    pub shortest: Duration,
    /// The longest.
    pub longest: Duration,
}

/// Times in which everything is lost, one each `every`; the first at random within it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Outage {
    /// From the beginning of one to that of the next.
    pub every: Duration,
    /// How long each is.
    pub lasting: Duration,
}
