//! The calls of a run by the name that the gateway gave them.

use std::collections::{HashMap, VecDeque};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use protocol::{MediaTimestamp, Moment, Ssrc};

use super::call::{Call, Journey};

/// How long a call that is over is remembered: the gateway tells of a frame within a second of it, and
/// is believed a second later.
const REMEMBERED_FOR: Duration = Duration::from_secs(3);

/// The calls that are open, by their ssrc, and those that were until just now: their sockets and
/// rings are held no longer than that, however many calls a run has.
#[derive(Default)]
pub struct CallRegistry(Mutex<Registered>);

#[derive(Default)]
struct Registered {
    calls: HashMap<Ssrc, Arc<Call>>,
    /// Those that are over, and since when.
    over: VecDeque<(Moment, Arc<Call>)>,
}

impl CallRegistry {
    /// Adds a call; one of the same ssrc before it is over.
    pub fn add(&self, call: Arc<Call>) {
        self.registered().calls.insert(call.ssrc, call);
    }

    /// A call is over since `now`.
    pub fn over(&self, call: Arc<Call>, now: Moment) {
        self.registered().over.push_back((now, call));
    }

    /// Forgets the calls that have been over for long enough at `now`.
    pub fn forget(&self, now: Moment) {
        let mut registered = self.registered();
        let Registered { calls, over } = &mut *registered;
        while let Some((_, call)) = over.pop_front_if(|(since, _)| *since + REMEMBERED_FOR <= now) {
            // Another call may have the same ssrc by now.
            if calls.get(&call.ssrc).is_some_and(|current| Arc::ptr_eq(current, &call)) {
                calls.remove(&call.ssrc);
            }
        }
    }

    /// The way of the frame that carries this timestamp; `None` when no call sent it.
    pub fn journey(&self, ssrc: Ssrc, timestamp: MediaTimestamp) -> Option<Journey> {
        self.registered().calls.get(&ssrc)?.journey(timestamp)
    }

    fn registered(&self) -> MutexGuard<'_, Registered> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::media::call::tests::call_to;
    use std::net::UdpSocket;

    #[test]
    fn a_call_that_is_over_is_forgotten_with_its_socket_and_no_other_of_its_ssrc() {
        let peer = UdpSocket::bind("127.0.0.1:0").unwrap();
        let calls = CallRegistry::default();
        let [first, second] = [1000, 2000].map(|millis| {
            let call = Arc::new(call_to(&peer, 1, Moment::from_millis(millis)));
            call.note_sending(0, Duration::ZERO);
            calls.add(Arc::clone(&call));
            call
        });
        let (ssrc, timestamp) = (first.ssrc, first.timestamp(0));
        let gone = Arc::downgrade(&first);
        calls.over(first, Moment::from_millis(2000));
        calls.forget(Moment::from_millis(4999));
        assert!(gone.upgrade().is_some(), "the gateway may still tell of it");
        calls.forget(Moment::from_millis(5000));
        assert!(gone.upgrade().is_none());
        assert_eq!(calls.journey(ssrc, timestamp).unwrap().planned, second.first_due);
        assert_eq!(calls.journey(Ssrc::new(1), timestamp), None);
        calls.over(second, Moment::from_millis(5000));
        calls.forget(Moment::from_millis(8000));
        assert_eq!(calls.journey(ssrc, timestamp), None);
    }
}
