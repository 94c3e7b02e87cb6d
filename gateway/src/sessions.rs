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
use protocol::packet::DOWNLINK_FLAG;

use crate::backend::{BackendSession, BackendSettings};
use crate::buffers::Buffers;
use crate::counters::{Counters, EndCause};
use crate::media_session::MediaSession;

/// What every grant has in common.
#[derive(Clone, Debug)]
pub(crate) struct GrantTerms {
    /// Where devices send audio.
    pub(crate) server: String,
    pub(crate) port: u16,
    pub(crate) backend: BackendSettings,
    /// Frames of one session that may wait for a worker.
    pub(crate) mailbox: usize,
}

/// The live sessions of one gateway.
#[derive(Debug)]
pub(crate) struct Sessions {
    terms: GrantTerms,
    counters: Arc<Counters>,
    buffers: Arc<Buffers>,
    closed: AtomicBool,
    live: RwLock<HashMap<Ssrc, Arc<MediaSession>>>,
}

impl Sessions {
    pub(crate) fn new(terms: GrantTerms, counters: Arc<Counters>, buffers: Arc<Buffers>) -> Self {
        Self { terms, counters, buffers, closed: AtomicBool::new(false), live: RwLock::default() }
    }

    /// Makes a session for a device that sends `uplink`, with a key, nonce and name of its own. It
    /// is not live until it is [`open`](Self::open)ed.
    ///
    /// # Errors
    /// What to tell the device.
    pub(crate) fn prepare(
        &self,
        uplink: AudioFormat,
    ) -> Result<(AudioGrant, Arc<MediaSession>), String> {
        if self.closed.load(Ordering::Relaxed) {
            return Err("the gateway is stopping".to_owned());
        }
        let (backend, downlink) =
            BackendSession::open(&self.terms.backend, uplink).map_err(|error| refusal(&error))?;
        let key = MediaKey::new(rand::random());
        let ssrc = self.free_ssrc();
        let nonce = NonceTemplate::new(ssrc, 0);
        let cipher = MediaCipher::new(&key, nonce.with_flags(DOWNLINK_FLAG));
        let session = MediaSession::new(
            ssrc,
            uplink.frame,
            cipher,
            backend,
            self.terms.mailbox,
            Arc::clone(&self.counters),
        );
        let grant = AudioGrant {
            session_id: format!("{:032x}", rand::random::<u128>()),
            server: self.terms.server.clone(),
            port: self.terms.port,
            key,
            nonce,
            downlink,
        };
        Ok((grant, Arc::new(session)))
    }

    /// Lets `session` receive audio.
    pub(crate) fn open(&self, session: Arc<MediaSession>) {
        self.counters.sessions_opened.add(1);
        let before = self.live_mut().insert(session.ssrc(), session);
        assert!(before.is_none(), "sessions are prepared and opened by one thread");
    }

    /// Ends `session`; frames that still wait for a worker are dropped.
    pub(crate) fn end(&self, session: &MediaSession, cause: EndCause) {
        self.live_mut().remove(&session.ssrc());
        session.close(&self.buffers);
        self.counters.sessions_ended.count(cause);
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
    use crate::backend::Backend;
    use protocol::{FrameDuration, SampleRate};
    use std::collections::HashSet;

    const UPLINK: AudioFormat =
        AudioFormat { sample_rate: SampleRate::HZ_16000, frame: FrameDuration::MS_60 };

    fn sessions() -> Sessions {
        let backend = BackendSettings { kind: Backend::Relay, ..BackendSettings::default() };
        let server = "gw.example".to_owned();
        let terms = GrantTerms { server, port: 8884, backend, mailbox: 32 };
        Sessions::new(terms, Arc::default(), Arc::new(Buffers::new()))
    }

    #[test]
    fn every_grant_has_a_key_nonce_and_name_of_its_own() {
        let (sessions, mut seen) = (sessions(), HashSet::new());
        for _ in 0..100 {
            let (grant, session) = sessions.prepare(UPLINK).unwrap();
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
        let (_, session) = sessions.prepare(UPLINK).unwrap();
        assert!(sessions.live().is_empty());
        sessions.open(Arc::clone(&session));
        assert!(sessions.live().contains_key(&session.ssrc()));
        sessions.end(&session, EndCause::DeviceGoodbye);
        assert!(sessions.live().is_empty());
        let counters = sessions.counters.snapshot();
        assert_eq!((counters.sessions_opened, counters.sessions_ended.device_goodbye), (1, 1));
    }

    #[test]
    fn a_stopping_gateway_grants_nothing() {
        let sessions = sessions();
        sessions.stop_granting();
        assert_eq!(sessions.prepare(UPLINK).unwrap_err(), "the gateway is stopping");
    }
}
