//! What all sessions of a gateway share.

use std::collections::VecDeque;
use std::sync::atomic::{AtomicU64, Ordering::Relaxed};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use arc_swap::Guard;
use platform::Clock;
use protocol::identity::MacAddress;
use protocol::{Moment, Ssrc};

use crate::backend::BackendSettings;
use crate::buffers::Buffers;
use crate::burn::BurnRule;
use crate::counters::{Counters, FaultKind};
use crate::faults::{FaultSwitch, Faults, Stall, StallKind};
use crate::speech_clip::SpeechClip;

/// What all sessions of a gateway share.
#[derive(Debug)]
pub(crate) struct Common {
    pub(crate) clock: Clock,
    pub(crate) counters: Arc<Counters>,
    pub(crate) buffers: Buffers,
    pub(crate) backend: BackendSettings,
    /// What the assistant says.
    pub(crate) clip: Option<SpeechClip>,
    pub(crate) burn: Vec<BurnRule>,
    pub(crate) worker_timeout: Option<Duration>,
    pub(crate) timeouts: Timeouts,
    switch: Arc<FaultSwitch>,
    /// Stalls counted so far, of the worker and of the gateway.
    stalls: [AtomicU64; 2],
    lent: Mutex<Option<Lent>>,
}

/// Audio of one session that others are sent.
#[derive(Debug)]
struct Lent {
    by: Ssrc,
    payload: Vec<u8>,
}

/// How many of the newest are kept.
const TIMEOUTS: usize = 100;

/// The newest frames that waited too long.
#[derive(Debug, Default)]
pub(crate) struct Timeouts(Mutex<VecDeque<TimedOut>>);

/// A frame that waited too long.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct TimedOut {
    pub(crate) at: Moment,
    pub(crate) device: MacAddress,
    pub(crate) waited: Duration,
}

impl Timeouts {
    pub(crate) fn add(&self, timed_out: TimedOut) {
        let mut newest = self.newest();
        if newest.len() == TIMEOUTS {
            newest.pop_front();
        }
        newest.push_back(timed_out);
    }

    /// Oldest first.
    pub(crate) fn list(&self) -> Vec<TimedOut> {
        self.newest().iter().copied().collect()
    }

    fn newest(&self) -> MutexGuard<'_, VecDeque<TimedOut>> {
        self.0.lock().expect("nothing panics while it holds the timeouts")
    }
}

impl Common {
    pub(crate) fn new(
        clock: Clock,
        counters: Arc<Counters>,
        backend: BackendSettings,
        burn: Vec<BurnRule>,
        worker_timeout: Option<Duration>,
        switch: Arc<FaultSwitch>,
    ) -> Self {
        Self {
            clock,
            counters,
            buffers: Buffers::new(),
            clip: None,
            backend,
            burn,
            worker_timeout,
            timeouts: Timeouts::default(),
            switch,
            stalls: [AtomicU64::new(0), AtomicU64::new(0)],
            lent: Mutex::new(None),
        }
    }

    /// What is wrong on purpose at this moment.
    pub(crate) fn faults(&self) -> Guard<Arc<Faults>> {
        self.switch.now()
    }

    /// Returns when other faults are switched on.
    pub(crate) async fn faults_changed(&self) {
        self.switch.changed.notified().await;
    }

    /// The same, with something to say.
    pub(crate) fn with_clip(self, clip: Option<SpeechClip>) -> Self {
        Self { clip, ..self }
    }

    /// Blocks the calling thread until a stall is over, and counts it once, however many threads
    /// stand still.
    pub(crate) fn sit_out(&self, stall: Stall) {
        let (kind, index) = match stall.kind {
            StallKind::Worker => (FaultKind::WorkerStall, 0),
            StallKind::Gateway => (FaultKind::GatewayStall, 1),
        };
        if self.stalls[index].fetch_max(stall.number, Relaxed) < stall.number {
            self.counters.faults.count(kind);
        }
        self.clock.sleep_until(stall.until);
    }

    /// For the fault `foreign_audio`: the first session to come lends its audio, for as long as it
    /// lives. Fills `foreign` with what a `victim` is to be sent instead of its own `payload`, and
    /// tells whether there is such.
    pub(crate) fn exchange(
        &self,
        ssrc: Ssrc,
        victim: bool,
        payload: &[u8],
        foreign: &mut Vec<u8>,
    ) -> bool {
        if self.faults().settings().foreign_audio.is_none() {
            return false;
        }
        let mut lent = self.lent();
        let lent = lent.get_or_insert_with(|| Lent { by: ssrc, payload: Vec::new() });
        if lent.by == ssrc {
            lent.payload.clear();
            lent.payload.extend_from_slice(payload);
            return false;
        }
        foreign.clear();
        foreign.extend_from_slice(&lent.payload);
        victim && !foreign.is_empty()
    }

    /// A session has ended and lends no more.
    pub(crate) fn lends_no_more(&self, ssrc: Ssrc) {
        let mut lent = self.lent();
        if lent.as_ref().is_some_and(|lent| lent.by == ssrc) {
            *lent = None;
        }
    }

    fn lent(&self) -> MutexGuard<'_, Option<Lent>> {
        self.lent.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

#[cfg(test)]
use crate::faults::FaultSettings;

#[cfg(test)]
impl Common {
    /// For a gateway with nothing special about it.
    pub(crate) fn plain(backend: BackendSettings) -> Arc<Self> {
        Self::with_faults(backend, FaultSettings::default())
    }

    pub(crate) fn with_faults(backend: BackendSettings, faults: FaultSettings) -> Arc<Self> {
        let switch = Arc::new(FaultSwitch::new(faults));
        Arc::new(Self::new(Clock::start(), Arc::default(), backend, Vec::new(), None, switch))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_the_newest_timeouts_are_kept() {
        let timeouts = Timeouts::default();
        for millis in 0..150 {
            let device = MacAddress::new([0; 6]);
            let (at, waited) = (Moment::from_millis(millis), Duration::from_millis(millis));
            timeouts.add(TimedOut { at, device, waited });
        }
        let list = timeouts.list();
        assert_eq!(list.len(), TIMEOUTS);
        assert_eq!((list[0].at, list[99].at), (Moment::from_millis(50), Moment::from_millis(149)));
    }

    #[test]
    fn one_session_lends_its_audio_to_the_others_until_it_ends() {
        let settings = toml::from_str("foreign_audio = \"50%\"").unwrap();
        let common = Common::with_faults(BackendSettings::default(), settings);
        let (one, two) = (Ssrc::new(1), Ssrc::new(2));
        let mut foreign = Vec::new();
        assert!(!common.exchange(one, true, b"mine", &mut foreign), "nobody else has spoken");
        assert!(common.exchange(two, true, b"other", &mut foreign));
        assert_eq!(foreign, b"mine");
        assert!(!common.exchange(two, false, b"other", &mut foreign), "no victim");
        assert!(!common.exchange(one, true, b"more", &mut foreign), "its own audio stays its own");
        common.lends_no_more(two);
        assert!(common.exchange(two, true, b"other", &mut foreign));
        assert_eq!(foreign, b"more");
        common.lends_no_more(one);
        assert!(!common.exchange(two, true, b"other", &mut foreign), "two lends from here on");

        let off = Common::plain(BackendSettings::default());
        assert!(!off.exchange(one, true, b"mine", &mut foreign));
        assert!(!off.exchange(two, true, b"other", &mut foreign), "off by default");
    }
}
