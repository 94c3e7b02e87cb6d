//! Which faults strike whom, and when: pure decisions, for others to carry out and count.
//!
//! Faults of sessions, replies and frames depend on the seed and on the numbers of device, reply
//! and frame alone; stalls depend on the time alone. Nothing is remembered, so that everyone may
//! ask, from any thread, and hears the same.

mod byte_size;
mod settings;
mod switch;

use std::time::Duration;

use protocol::Moment;

use crate::share::{Purpose, Share, draw};

pub use byte_size::{ByteSize, UnknownByteSize};
pub use settings::{FaultError, FaultSettings, GatewayStall, WorkerStall};
pub use switch::{FaultSwitch, SwitchError};

/// What a gateway does wrong on purpose.
#[derive(Clone, Debug, Default)]
pub(crate) struct Faults {
    settings: FaultSettings,
}

/// What is wrong with a session, from its grant to its end.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(crate) struct SessionFaults {
    /// The grant names another key than the one that is used.
    pub(crate) wrong_key: bool,
    /// It is sent the audio of another session.
    pub(crate) foreign_audio: bool,
    /// Timestamps and packet sizes stay the same.
    pub(crate) keystream_reuse: bool,
}

/// What is wrong with a reply.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum ReplyFault {
    /// Nothing.
    None,
    /// It is not sent.
    Drop,
    /// It is sent twice.
    Duplicate,
    /// It is sent after the session's next one.
    HoldBack,
}

/// A time during which nothing is done.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Stall {
    /// Who does nothing.
    pub(crate) kind: StallKind,
    /// Which one of its kind, from 1.
    pub(crate) number: u64,
    /// When it is over.
    pub(crate) until: Moment,
}

/// Who stalls.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum StallKind {
    /// One worker.
    Worker,
    /// Everyone.
    Gateway,
}

impl Faults {
    /// Faults by settings that were [checked](FaultSettings::check).
    pub(crate) fn new(settings: FaultSettings) -> Self {
        Self { settings }
    }

    pub(crate) fn settings(&self) -> &FaultSettings {
        &self.settings
    }

    /// What is wrong with the sessions of `device`: the same with each.
    pub(crate) fn of_session(&self, device: u32) -> SessionFaults {
        let strikes = |share, purpose| self.strikes(share, purpose, device, 0);
        let FaultSettings { wrong_key, foreign_audio, keystream_reuse, .. } = self.settings;
        SessionFaults {
            wrong_key: strikes(wrong_key, Purpose::WrongKey),
            foreign_audio: strikes(foreign_audio, Purpose::ForeignAudio),
            keystream_reuse: strikes(keystream_reuse, Purpose::KeystreamReuse),
        }
    }

    /// What is wrong with a reply to `device`: of several faults, the first in this order.
    pub(crate) fn of_reply(&self, device: u32, reply: u64) -> ReplyFault {
        let FaultSettings { dropped_replies, duplicated_replies, reordered_replies, .. } =
            self.settings;
        let faults = [
            (dropped_replies, Purpose::DroppedReply, ReplyFault::Drop),
            (duplicated_replies, Purpose::DuplicatedReply, ReplyFault::Duplicate),
            (reordered_replies, Purpose::ReorderedReply, ReplyFault::HoldBack),
        ];
        faults
            .into_iter()
            .find(|(share, purpose, _)| self.strikes(*share, *purpose, device, reply))
            .map_or(ReplyFault::None, |(_, _, fault)| fault)
    }

    /// Whether the worker that runs `frame` panics.
    pub(crate) fn crashes(&self, device: u32, frame: u64) -> bool {
        self.strikes(self.settings.worker_crash, Purpose::WorkerCrash, device, frame)
    }

    /// The stall that `worker` is in: its own or the gateway's, whichever ends later.
    pub(crate) fn stall_of_worker(&self, worker: usize, now: Moment) -> Option<Stall> {
        let own = self.settings.worker_stall.filter(|stall| stall.worker == worker);
        let own = own.and_then(|own| stall_at(StallKind::Worker, own.every, own.span, now));
        own.into_iter().chain(self.stall_of_gateway(now)).max_by_key(|stall| stall.until)
    }

    /// The stall that the whole gateway is in.
    pub(crate) fn stall_of_gateway(&self, now: Moment) -> Option<Stall> {
        let stall = self.settings.gateway_stall?;
        stall_at(StallKind::Gateway, stall.every, stall.span, now)
    }

    /// When the first stall of the whole gateway begins that has not begun by `now`.
    pub(crate) fn next_gateway_stall(&self, now: Moment) -> Option<Moment> {
        let every = self.settings.gateway_stall?.every;
        Some(last_start(every, now) + every)
    }

    /// Whether a hello is answered while there are so many live sessions.
    pub(crate) fn hears_hello(&self, live_sessions: usize) -> bool {
        self.settings.hello_limit.is_none_or(|limit| live_sessions < limit as usize)
    }

    /// How long the answer to a hello waits, if it does.
    pub(crate) fn hello_delay(&self) -> Option<Duration> {
        self.settings.hello_delay.filter(|delay| !delay.is_zero())
    }

    /// Bytes that leak with each frame.
    pub(crate) fn leak_per_frame(&self) -> usize {
        self.settings.leak_per_frame.bytes()
    }

    /// Whether coders belong to the worker.
    pub(crate) fn shared_codec(&self) -> bool {
        self.settings.shared_codec
    }

    /// Most shares are none, and draw nothing.
    fn strikes(&self, share: Share, purpose: Purpose, device: u32, number: u64) -> bool {
        !share.is_none() && share.strikes(draw(self.settings.seed, purpose, device, number))
    }
}

/// The stall that `now` is in, from its start up to, but not including, its end.
fn stall_at(kind: StallKind, every: Duration, span: Duration, now: Moment) -> Option<Stall> {
    let start = last_start(every, now);
    let (number, until) = (periods(every, now), start + span);
    (number > 0 && now < until).then_some(Stall { kind, number, until })
}

/// When the last stall up to `now` began; the start, when there was none.
fn last_start(every: Duration, now: Moment) -> Moment {
    let into_period = now.as_nanos() - periods(every, now) * nanos(every);
    now.saturating_sub(Duration::from_nanos(into_period))
}

/// How many whole periods have passed by `now`.
fn periods(every: Duration, now: Moment) -> u64 {
    now.as_nanos() / nanos(every)
}

fn nanos(every: Duration) -> u64 {
    u64::try_from(every.as_nanos()).expect("an hour at most")
}

#[cfg(test)]
mod tests;
