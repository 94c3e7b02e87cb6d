//! One call of one virtual device, from its planned arrival to its goodbye.
//!
//! Control goes over a `Line` on tokio; audio is handed to the pacer and the listener. What can
//! go wrong with a gateway is a value in [`CallOutcome`], never an error of the run.

use std::io;
use std::net::{SocketAddr, ToSocketAddrs};
use std::sync::Arc;
use std::sync::atomic::{AtomicU32, Ordering};
use std::time::Duration;

use platform::{Clock, UdpOptions, connect_udp};
use protocol::Moment;
use protocol::cipher::MediaCipher;
use protocol::control::{AudioFormat, AudioGrant};
use protocol::device_session::{AudioEnd, DeviceTimeouts};
use protocol::identity::SignatureKey;
use tokio::sync::watch;

use crate::line::{CallFailure, Line, LineParts, sleep_until};
use crate::media::call::{Call, CallParts};
use crate::media::listener::Listener;
use crate::media::pacer::Pacer;
use crate::media::uplink::Uplink;
use crate::schedule::{DeviceTraits, PlannedCall};
use crate::voice::Voice;

/// From the answer to hello to the earliest first frame: time to open the socket and to seal.
const LEAD: Duration = Duration::from_millis(2);
/// What the kernel may hold for one device: 100 datagrams or so.
const RECEIVE_BUFFER: usize = 128 << 10;

/// What all devices of a run share.
pub struct Fleet {
    /// The run's clock.
    pub clock: Clock,
    /// The gateway's MQTT address.
    pub mqtt: SocketAddr,
    /// Signs credentials; without it devices connect without any.
    pub key: Option<SignatureKey>,
    /// The uplink's audio.
    pub uplink: AudioFormat,
    /// How long devices wait.
    pub timeouts: DeviceTimeouts,
    /// What they say.
    pub voices: Vec<Arc<Voice>>,
    /// Where all random choices come from.
    pub seed: u64,
    /// How long a device waits for answers after its last frame.
    pub drain: Duration,
    /// Sends.
    pub pacer: Pacer,
    /// Receives.
    pub listener: Listener,
    /// Becomes true when the run ends early.
    pub stop: watch::Receiver<bool>,
    /// Sessions that are open.
    pub open: AtomicU32,
}

/// What became of one planned call.
#[derive(Debug, Default)]
pub struct CallOutcome {
    /// From the planned arrival to the MQTT connection being accepted.
    pub connect_time: Option<Duration>,
    /// From publishing hello to the gateway's usable answer.
    pub hello_time: Option<Duration>,
    /// From the planned arrival to the first answer.
    pub first_audio: Option<Duration>,
    /// First and last (exclusive) moment at which frames were due, of a session that was opened.
    pub open: Option<(Moment, Moment)>,
    /// Why there was no session, and when that was known.
    pub failed: Option<(CallFailure, Moment)>,
    /// Why the session ended before its time, and when.
    pub lost: Option<(AudioEnd, Moment)>,
    /// The run ended before the call was over.
    pub cut_short: bool,
}

/// Why there is nothing to talk over.
enum NoCall {
    /// The run ended first.
    CutShort,
    /// The gateway did not do its part.
    Failed(CallFailure),
}

/// Holds one planned call.
pub async fn call(fleet: Arc<Fleet>, planned: PlannedCall) -> CallOutcome {
    let mut outcome = CallOutcome::default();
    match set_up(&fleet, planned, &mut outcome).await {
        Ok((line, media)) => talk(&fleet, planned, line, media, &mut outcome).await,
        Err(NoCall::CutShort) => outcome.cut_short = true,
        Err(NoCall::Failed(failure)) => outcome.failed = Some((failure, fleet.clock.now())),
    }
    outcome
}

/// Waits for the arrival, shakes hands and hands the audio over.
async fn set_up(
    fleet: &Fleet,
    planned: PlannedCall,
    outcome: &mut CallOutcome,
) -> Result<(Line, Arc<Call>), NoCall> {
    let mut stop = fleet.stop.clone();
    tokio::select! {
        () = sleep_until(fleet.clock, planned.arrive) => {}
        () = stopped(&mut stop) => return Err(NoCall::CutShort),
    }
    let voices = fleet.voices.len();
    let traits = DeviceTraits::new(fleet.seed, planned.device, fleet.uplink.frame, voices);
    let mut line = Line::new(LineParts {
        mqtt: fleet.mqtt,
        client_id: traits.client_id.clone(),
        key: fleet.key.clone(),
        uplink: fleet.uplink,
        timeouts: fleet.timeouts,
    });
    let shaken = tokio::select! {
        shaken = line.handshake(fleet.clock) => shaken,
        () = stopped(&mut stop) => return Err(NoCall::CutShort),
    };
    let handshake = shaken.map_err(|(connected, failure)| {
        outcome.connect_time = connected.map(|at| at.since(planned.arrive));
        NoCall::Failed(failure)
    })?;
    outcome.connect_time = Some(handshake.connected.since(planned.arrive));
    outcome.hello_time = Some(handshake.answered.since(handshake.hello_sent));
    match open_media(fleet, planned, &traits, &handshake.grant) {
        Ok(media) => {
            let voice = Arc::clone(&fleet.voices[traits.voice]);
            fleet.listener.listen(Arc::clone(&media));
            fleet.pacer.join(Uplink::new(Arc::clone(&media), voice, traits.clip_offset));
            Ok((line, media))
        }
        Err(failure) => {
            line.hang_up().await;
            Err(NoCall::Failed(failure))
        }
    }
}

/// Stays until the last frame is sent, the session is lost or the run ends; then waits for answers
/// and hangs up.
async fn talk(
    fleet: &Fleet,
    planned: PlannedCall,
    mut line: Line,
    media: Arc<Call>,
    outcome: &mut CallOutcome,
) {
    let mut stop = fleet.stop.clone();
    fleet.open.fetch_add(1, Ordering::Relaxed);
    tokio::select! {
        () = media.uplink_done.notified() => {}
        end = line.until_closed(fleet.clock) => {
            let now = fleet.clock.now();
            media.end(now);
            // A goodbye at the very end of the call takes no frame away.
            if now < planned.leave {
                outcome.lost = Some((end, now));
            }
        }
        () = stopped(&mut stop) => {
            media.end(fleet.clock.now());
            outcome.cut_short = true;
        }
    }
    fleet.open.fetch_sub(1, Ordering::Relaxed);
    drain(fleet, &media).await;
    if outcome.lost.is_none() {
        line.hang_up().await;
    }
    outcome.open = Some((media.first_due, media.last_due()));
    outcome.first_audio = media.first_answer().map(|at| at.since(planned.arrive));
    fleet.listener.leave(media);
}

fn open_media(
    fleet: &Fleet,
    planned: PlannedCall,
    traits: &DeviceTraits,
    grant: &AudioGrant,
) -> Result<Arc<Call>, CallFailure> {
    let server = format!("{}:{}", grant.server, grant.port);
    let connect = || {
        let addr = server
            .to_socket_addrs()?
            .next()
            .ok_or_else(|| io::Error::other("the name has no address"))?;
        let options = UdpOptions { receive_buffer_bytes: RECEIVE_BUFFER, ..UdpOptions::default() };
        let socket = connect_udp(addr, options)?;
        socket.set_nonblocking(true)?;
        Ok(socket)
    };
    let socket = connect().map_err(|error| CallFailure::Media { server: server.clone(), error })?;
    Ok(Arc::new(Call::new(CallParts {
        device: planned.device,
        socket,
        cipher: MediaCipher::new(&grant.key, grant.nonce),
        nonce: grant.nonce,
        frame: fleet.uplink.frame,
        downlink_frame: grant.downlink.frame,
        first_due: traits.first_due(fleet.clock.now() + LEAD, fleet.uplink.frame),
        leave: planned.leave,
    })))
}

/// Waits until every frame is answered, or as long as the scenario says.
async fn drain(fleet: &Fleet, call: &Call) {
    const LOOK_EVERY: Duration = Duration::from_millis(20);
    let until = fleet.clock.now() + fleet.drain;
    while call.answered() < call.sent() && fleet.clock.now() < until {
        tokio::time::sleep(LOOK_EVERY).await;
    }
}

/// Returns when the run is told to stop; never, when nobody is left to tell it.
async fn stopped(stop: &mut watch::Receiver<bool>) {
    if stop.wait_for(|&stop| stop).await.is_err() {
        std::future::pending::<()>().await;
    }
}
