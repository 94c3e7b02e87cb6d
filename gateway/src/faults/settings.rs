//! Which faults a gateway has.

use std::error::Error;
use std::fmt;
use std::time::Duration;

use serde::{Deserialize, Serialize};

use super::byte_size::ByteSize;
use crate::duration_text;
use crate::share::Share;

/// What is done wrong on purpose; by default nothing.
///
/// ```toml
/// seed = 1
/// dropped_replies = "1%"
/// worker_stall = { every = "5s", for = "200ms" }
/// ```
/// A share strikes the same devices, and the same frames and replies of each, whenever the seed is
/// the same.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct FaultSettings {
    /// Chooses whom shares strike; 0.
    #[serde(skip_serializing_if = "is_default")]
    pub seed: u64,
    /// Whether coders belong to the worker instead of the session, as in production; no. Sessions
    /// that share a worker then hear each other.
    #[serde(skip_serializing_if = "is_default")]
    pub shared_codec: bool,
    /// Share of replies held back until after the session's next one; 0 %.
    #[serde(skip_serializing_if = "is_default")]
    pub reordered_replies: Share,
    /// Share of replies that are not sent; 0 %. It is taken before the other two.
    #[serde(skip_serializing_if = "is_default")]
    pub dropped_replies: Share,
    /// Share of replies that are sent twice, of those not dropped; 0 %.
    #[serde(skip_serializing_if = "is_default")]
    pub duplicated_replies: Share,
    /// One worker stops now and then, as for a lock or a page fault; never.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub worker_stall: Option<WorkerStall>,
    /// Everything stops now and then, as for a collection of garbage; never.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub gateway_stall: Option<GatewayStall>,
    /// Share of sessions whose grant names another key than the one that is used; 0 %.
    #[serde(skip_serializing_if = "is_default")]
    pub wrong_key: Share,
    /// Share of sessions that are sent the audio of another; 0 %.
    #[serde(skip_serializing_if = "is_default")]
    pub foreign_audio: Share,
    /// Share of sessions sent constant timestamps and packet sizes, so that a keystream repeats;
    /// 0 %.
    #[serde(skip_serializing_if = "is_default")]
    pub keystream_reuse: Share,
    /// Time from a hello to its answer, 0 to 60 s; none.
    #[serde(with = "duration_text::optional", skip_serializing_if = "no_time")]
    pub hello_delay: Option<Duration>,
    /// Live sessions beyond which hellos are not answered at all: a silent wall; no limit.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub hello_limit: Option<u32>,
    /// Share of frames at which the worker panics; 0 %.
    #[serde(skip_serializing_if = "is_default")]
    pub worker_crash: Share,
    /// Memory that is never freed, taken with each frame, up to 16 MiB; none.
    #[serde(skip_serializing_if = "is_default")]
    pub leak_per_frame: ByteSize,
}

/// When a worker stops.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct WorkerStall {
    /// Time from the start of the gateway to the first stall and from start to start of those
    /// that follow, longer than a stall, at most 1 h.
    #[serde(with = "duration_text")]
    pub every: Duration,
    /// How long a stall takes, 1 µs or more; `for` in files.
    #[serde(rename = "for", with = "duration_text")]
    pub span: Duration,
    /// Which worker, 0 to 255; 0. One that the pool does not have never stops.
    #[serde(default, skip_serializing_if = "is_default")]
    pub worker: usize,
}

/// When the whole gateway stops.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct GatewayStall {
    /// As for a [`WorkerStall`].
    #[serde(with = "duration_text")]
    pub every: Duration,
    /// As for a [`WorkerStall`].
    #[serde(rename = "for", with = "duration_text")]
    pub span: Duration,
}

/// Faults that no gateway can have.
#[derive(Clone, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub enum FaultError {
    /// A time is out of its range.
    TimeOutOfRange {
        /// The key.
        key: &'static str,
        /// What was set.
        seen: Duration,
        /// The least and the most that may be set.
        allowed: (Duration, Duration),
    },
    /// A stall would begin before the one before it has ended.
    NeverOver {
        /// The key.
        key: &'static str,
        /// Time from start to start.
        every: Duration,
        /// How long each would take.
        span: Duration,
    },
    /// No pool has a worker of this number.
    NoSuchWorker(usize),
    /// More memory would leak with each frame than is allowed.
    LeakTooLarge(ByteSize),
}

impl fmt::Display for FaultError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let text = duration_text::to_text;
        match self {
            Self::TimeOutOfRange { key, seen, allowed: (least, most) } => {
                let [seen, least, most] = [*seen, *least, *most].map(text);
                write!(f, "{key} is {seen}: allowed are {least} to {most}")
            }
            Self::NeverOver { key, every, span } => {
                let [every, span] = [*every, *span].map(text);
                write!(f, "{key}.for is {span}: allowed is less than {key}.every, {every}")
            }
            Self::NoSuchWorker(seen) => write!(
                f,
                "worker_stall.worker is {seen}: allowed are 0 to {}",
                FaultSettings::LAST_WORKER
            ),
            Self::LeakTooLarge(seen) => write!(
                f,
                "leak_per_frame is {seen}: allowed are 0B to {}",
                FaultSettings::LARGEST_LEAK
            ),
        }
    }
}

impl Error for FaultError {}

impl FaultSettings {
    const LAST_WORKER: usize = 255;
    const LARGEST_LEAK: ByteSize = ByteSize::from_mib(16);

    /// Whether anything is done wrong.
    pub fn any(&self) -> bool {
        let hello_delay = self.hello_delay.filter(|_| !no_time(&self.hello_delay));
        Self { seed: 0, hello_delay, ..self.clone() } != Self::default()
    }

    /// Whether a gateway can have these faults.
    ///
    /// # Errors
    /// [`FaultError`] names the key, what was set and what may be set.
    pub fn check(&self) -> Result<(), FaultError> {
        if let Some(WorkerStall { every, span, worker }) = self.worker_stall {
            check_stall("worker_stall", ["worker_stall.every", "worker_stall.for"], every, span)?;
            if worker > Self::LAST_WORKER {
                return Err(FaultError::NoSuchWorker(worker));
            }
        }
        if let Some(GatewayStall { every, span }) = self.gateway_stall {
            let keys = ["gateway_stall.every", "gateway_stall.for"];
            check_stall("gateway_stall", keys, every, span)?;
        }
        let delay = self.hello_delay.unwrap_or_default();
        check_time("hello_delay", delay, (Duration::ZERO, Duration::from_mins(1)))?;
        if self.leak_per_frame > Self::LARGEST_LEAK {
            return Err(FaultError::LeakTooLarge(self.leak_per_frame));
        }
        Ok(())
    }
}

fn check_stall(
    key: &'static str,
    keys: [&'static str; 2],
    every: Duration,
    span: Duration,
) -> Result<(), FaultError> {
    let allowed = (Duration::from_micros(1), Duration::from_hours(1));
    check_time(keys[0], every, allowed)?;
    check_time(keys[1], span, allowed)?;
    if span < every { Ok(()) } else { Err(FaultError::NeverOver { key, every, span }) }
}

fn check_time(
    key: &'static str,
    seen: Duration,
    allowed: (Duration, Duration),
) -> Result<(), FaultError> {
    if seen < allowed.0 || seen > allowed.1 {
        return Err(FaultError::TimeOutOfRange { key, seen, allowed });
    }
    Ok(())
}

#[expect(clippy::ref_option, reason = "what serde asks with")]
fn no_time(span: &Option<Duration>) -> bool {
    span.is_none_or(|span| span.is_zero())
}

fn is_default<T: Default + PartialEq>(value: &T) -> bool {
    *value == T::default()
}

#[cfg(test)]
mod tests;
