//! The audio sessions that are live, by ssrc: granting, opening and ending them.

use std::collections::HashMap;
use std::error::Error;
use std::iter;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, RwLock, RwLockReadGuard, RwLockWriteGuard};

use codec::CodecError;
use protocol::Ssrc;
use protocol::cipher::{MediaCipher, MediaKey, NonceTemplate};
use protocol::control::{AudioFormat, AudioGrant};
use protocol::identity::MacAddress;
use protocol::packet::DOWNLINK_FLAG;

use crate::backend::BackendSession;
use crate::common::Common;
use crate::counters::{EndCause, FaultKind};
use crate::media_session::{MediaSession, SessionParts};

/// What every grant has in common.
#[derive(Clone, Debug)]
pub(crate) struct GrantTerms {
    /// Where devices send audio.
    pub(crate) server: String,
    pub(crate) port: u16,
    /// Frames of one session that may wait for a worker.
    pub(crate) mailbox: usize,
}

/// The live sessions of one gateway.
#[derive(Debug)]
pub(crate) struct Sessions {
    terms: GrantTerms,
    common: Arc<Common>,
    closed: AtomicBool,
    live: RwLock<HashMap<Ssrc, Arc<MediaSession>>>,
}

impl Sessions {
    pub(crate) fn new(terms: GrantTerms, common: Arc<Common>) -> Self {
        Self { terms, common, closed: AtomicBool::new(false), live: RwLock::default() }
    }

    /// Makes a session for `device`, which sends `uplink`, with a key, nonce and name of its own.
    /// It is not live until it is [`open`](Self::open)ed.
    ///
    /// # Errors
    /// What to tell the device.
    pub(crate) fn prepare(
        &self,
        device: MacAddress,
        uplink: AudioFormat,
    ) -> Result<(AudioGrant, Arc<MediaSession>), String> {
        if self.closed.load(Ordering::Relaxed) {
            return Err("the gateway is stopping".to_owned());
        }
        let faults = self.common.faults().of_session(device.device_number());
        let (backend, downlink) =
            BackendSession::open(&self.common.backend, uplink, !faults.keystream_reuse)
                .map_err(|error| refusal(&error))?;
        let key = MediaKey::new(rand::random());
        let ssrc = self.free_ssrc();
        let nonce = NonceTemplate::new(ssrc, 0);
        let session = SessionParts {
            ssrc,
            device,
            format: uplink,
            cipher: MediaCipher::new(&key, nonce.with_flags(DOWNLINK_FLAG)),
            backend,
            mailbox: self.terms.mailbox,
        };
        let grant = AudioGrant {
            session_id: format!("{:032x}", rand::random::<u128>()),
            server: self.terms.server.clone(),
            port: self.terms.port,
            key: if faults.wrong_key { self.another_key() } else { key },
            nonce,
            downlink,
        };
        Ok((grant, Arc::new(MediaSession::new(session, Arc::clone(&self.common)))))
    }

    /// For the fault `wrong_key`.
    fn another_key(&self) -> MediaKey {
        self.common.counters.faults.count(FaultKind::WrongKey);
        MediaKey::new(rand::random())
    }

    /// Lets `session` receive audio.
    pub(crate) fn open(&self, session: Arc<MediaSession>) {
        self.common.counters.sessions_opened.add(1);
        let before = self.live_mut().insert(session.ssrc(), session);
        assert!(before.is_none(), "sessions are prepared and opened by one thread");
    }

    /// Ends `session`; frames that still wait for a worker are dropped.
    pub(crate) fn end(&self, session: &MediaSession, cause: EndCause) {
        self.live_mut().remove(&session.ssrc());
        session.close();
        self.common.counters.sessions_ended.count(cause);
    }

    /// Grants no session any more; those that are live stay so.
    pub(crate) fn stop_granting(&self) {
        self.closed.store(true, Ordering::Relaxed);
    }

    /// The sessions by ssrc, for the length of a batch of packets.
    pub(crate) fn live(&self) -> RwLockReadGuard<'_, HashMap<Ssrc, Arc<MediaSession>>> {
        self.live.read().expect("nothing panics while it changes the sessions")
    }

    fn live_mut(&self) -> RwLockWriteGuard<'_, HashMap<Ssrc, Arc<MediaSession>>> {
        self.live.write().expect("nothing panics while it changes the sessions")
    }

    fn free_ssrc(&self) -> Ssrc {
        let live = self.live();
        iter::repeat_with(|| Ssrc::new(rand::random()))
            .find(|ssrc| !live.contains_key(ssrc))
            .expect("there are more numbers than connections")
    }
}

fn refusal(error: &CodecError) -> String {
    match error.source() {
        Some(source) => format!("no codec for this session: {error}: {source}"),
        None => format!("no codec for this session: {error}"),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::backend::{Backend, BackendSettings};
    use protocol::{FrameDuration, SampleRate};
    use std::collections::HashSet;

    const UPLINK: AudioFormat =
        AudioFormat { sample_rate: SampleRate::HZ_16000, frame: FrameDuration::MS_60 };

    fn sessions() -> Sessions {
        let backend = BackendSettings { kind: Backend::Relay, ..BackendSettings::default() };
        let server = "gw.example".to_owned();
        let terms = GrantTerms { server, port: 8884, mailbox: 32 };
        Sessions::new(terms, Common::plain(backend))
    }

    const DEVICE: MacAddress = MacAddress::new([2, 0, 0, 0, 0, 1]);

    #[test]
    fn every_grant_has_a_key_nonce_and_name_of_its_own() {
        let (sessions, mut seen) = (sessions(), HashSet::new());
        for _ in 0..100 {
            let (grant, session) = sessions.prepare(DEVICE, UPLINK).unwrap();
            assert_eq!((grant.server.as_str(), grant.port), ("gw.example", 8884));
            assert_eq!(grant.nonce.ssrc(), session.ssrc());
            assert_eq!(grant.downlink, UPLINK, "relay returns the uplink's packets");
            assert_eq!(grant.session_id.len(), 32);
            seen.extend([grant.session_id, grant.key.to_hex(), grant.nonce.to_hex()]);
        }
        assert_eq!(seen.len(), 300);
    }

    #[test]
    fn sessions_are_live_from_open_to_end() {
        let sessions = sessions();
        let (_, session) = sessions.prepare(DEVICE, UPLINK).unwrap();
        assert!(sessions.live().is_empty());
        sessions.open(Arc::clone(&session));
        assert!(sessions.live().contains_key(&session.ssrc()));
        sessions.end(&session, EndCause::DeviceGoodbye);
        assert!(sessions.live().is_empty());
        let counters = sessions.common.counters.snapshot();
        assert_eq!((counters.sessions_opened, counters.sessions_ended.device_goodbye), (1, 1));
    }

    #[test]
    fn a_stopping_gateway_grants_nothing() {
        let sessions = sessions();
        sessions.stop_granting();
        assert_eq!(sessions.prepare(DEVICE, UPLINK).unwrap_err(), "the gateway is stopping");
    }
}
