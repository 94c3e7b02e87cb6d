//! One call of one virtual device, from its planned arrival to its goodbye.
//!
//! Control goes over a `Line` on tokio; audio is handed to the pacer and the listener, when and how
//! much of it `talk.rs` says. What can go wrong with a gateway is a value in a [`CallOutcome`], never an error of the run.

mod talk;

use std::io;
use std::net::{IpAddr, SocketAddr};
use std::sync::atomic::{AtomicU32, Ordering};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use platform::{Clock, UdpOptions, connect_udp};
use protocol::Moment;
use protocol::cipher::MediaCipher;
use protocol::control::AudioGrant;
use protocol::device_session::AudioEnd;
use protocol::identity::SignatureKey;
use protocol::keystream::GrantWatch;
use tokio::sync::watch;

use crate::integrity::Speech;
use crate::line::{CallFailure, Line, LineParts, sleep_until};
use crate::media::call::{Call, CallAccount, CallParts};
use crate::media::call_registry::CallRegistry;
use crate::media::listener::Listener;
use crate::media::pacer::Pacer;
use crate::media::talkspurt::Talkspurts;
use crate::media::ways::Ways;
use crate::scenario::{Ending, Group, Network, Talk};
use crate::schedule::PlannedCall;
use crate::traits::{DeviceTraits, Population};
use crate::turn_book::TurnBook;
use crate::voice::Voice;

/// From the answer to hello to the earliest first frame: time to open the socket and to seal.
const LEAD: Duration = Duration::from_millis(2);
/// How long the name of a media port may take to be found.
const NAME_TIMEOUT: Duration = Duration::from_secs(5);
/// How long the pacer may take to notice that a session has ended: three frames.
const LET_GO: Duration = Duration::from_millis(200);
/// How long a gateway may take to go down.
const LEFT_BEHIND: Duration = Duration::from_secs(3);
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
    /// What the devices are like.
    pub groups: Vec<Group>,
    /// The simulated network of each group over the run; `None`: it never has one.
    pub networks: Vec<Option<Vec<(Moment, Network)>>>,
    /// What they say.
    pub voices: Vec<Arc<Voice>>,
    /// What their traits are drawn from.
    pub population: Population,
    /// The turns of those that take turns.
    pub turns: Mutex<TurnBook>,
    /// How long a device waits for answers after its last frame.
    pub drain: Duration,
    /// The calls that were opened.
    pub calls: CallRegistry,
    /// The keys and nonces that were handed out.
    pub grants: Mutex<Grants>,
    /// Sends.
    pub pacer: Pacer,
    /// Receives.
    pub listener: Listener,
    /// Becomes true when the run ends early.
    pub stop: watch::Receiver<bool>,
    /// Sessions that are open.
    pub open: AtomicU32,
}

/// The keys and nonces that a gateway handed out.
#[derive(Default)]
pub struct Grants {
    watch: GrantWatch,
    /// How many were handed out again.
    pub replayed: u64,
}

impl Grants {
    fn note(&mut self, grant: &AudioGrant) {
        let replay = self.watch.granted(&grant.key, grant.nonce);
        self.replayed += u64::from(replay.is_some());
    }
}

/// What is known of one planned call, so far or in the end.
#[derive(Default)]
pub struct CallOutcome {
    /// From the planned arrival to beginning to connect.
    pub arrival_lag: Option<Duration>,
    /// From the planned arrival to the MQTT connection being accepted.
    pub connect_time: Option<Duration>,
    /// From publishing hello to the gateway's usable answer.
    pub hello_time: Option<Duration>,
    /// The first moment at which a frame of this device would have been due, had the handshake
    /// taken no time.
    pub ideal_first_due: Option<Moment>,
    /// The session that was opened, until it is over.
    pub media: Option<Arc<Call>>,
    /// What remains of it then: a run may have many more calls than devices.
    pub ended: Option<CallAccount>,
    /// Why there was no session, and when that was known.
    pub failed: Option<(CallFailure, Moment)>,
    /// Why the session ended before its time, and when.
    pub lost: Option<(AudioEnd, Moment)>,
    /// The run ended before the call was over.
    pub cut_short: bool,
}

impl CallOutcome {
    /// What is known of the session that was opened.
    pub fn account(&self) -> Option<CallAccount> {
        self.ended.clone().or_else(|| self.media.as_ref().map(|media| media.account()))
    }
}

/// Where a call notes what becomes of it: read when the run is over, whether the call is or not.
pub type OutcomeSlot = Arc<Mutex<CallOutcome>>;

fn note(slot: &OutcomeSlot, change: impl FnOnce(&mut CallOutcome)) {
    change(&mut slot.lock().unwrap_or_else(PoisonError::into_inner));
}

/// Why there is nothing to talk over.
enum NoCall {
    /// The run ended first.
    CutShort,
    /// The gateway did not do its part.
    Failed(CallFailure),
}

/// Holds calls one after the other, each over the connection of the one before as long as that is
/// kept.
pub async fn calls(fleet: Arc<Fleet>, chain: Vec<(PlannedCall, OutcomeSlot)>) {
    let mut kept = None;
    for (planned, slot) in chain {
        kept = match set_up(&fleet, planned, kept.take(), &slot).await {
            Ok((line, media)) => hold(&fleet, planned, line, media, &slot).await,
            Err(NoCall::CutShort) => {
                note(&slot, |call| call.cut_short = true);
                None
            }
            Err(NoCall::Failed(failure)) => {
                let now = fleet.clock.now();
                note(&slot, |call| call.failed = Some((failure, now)));
                None
            }
        };
    }
}

/// Waits for the arrival, shakes hands and hands the audio over.
async fn set_up(
    fleet: &Fleet,
    planned: PlannedCall,
    mut kept: Option<Line>,
    slot: &OutcomeSlot,
) -> Result<(Line, Arc<Call>), NoCall> {
    let mut stop = fleet.stop.clone();
    tokio::select! {
        () = wait(fleet, planned.arrive, kept.as_mut()) => {}
        () = stopped(&mut stop) => {
            if let Some(mut line) = kept {
                line.hang_up().await;
            }
            return Err(NoCall::CutShort);
        }
    }
    let traits = DeviceTraits::new(&fleet.population, planned.device);
    let group = &fleet.groups[traits.group];
    let arrived = fleet.clock.now();
    note(slot, |call| {
        call.arrival_lag = Some(arrived.since(planned.arrive));
        call.ideal_first_due = Some(traits.first_due(planned.arrive + LEAD, group.encoder.frame));
    });
    let new_line = || {
        Line::new(LineParts {
            mqtt: fleet.mqtt,
            client_id: traits.client_id.clone(),
            key: fleet.key.clone(),
            uplink: group.format(),
            timeouts: group.timeouts,
        })
    };
    let mut line = kept.filter(Line::is_connected).unwrap_or_else(new_line);
    let prepared = tokio::select! {
        prepared = prepare(fleet, planned, &traits, &mut line, slot) => prepared,
        () = sleep_until(fleet.clock, planned.leave) => Err(CallFailure::Unfinished),
        () = stopped(&mut stop) => return Err(NoCall::CutShort),
    };
    let media = match prepared {
        Ok(media) => media,
        Err(failure) => {
            if matches!(failure, CallFailure::Media { .. }) {
                line.hang_up().await;
            }
            return Err(NoCall::Failed(failure));
        }
    };
    note(slot, |call| call.media = Some(Arc::clone(&media)));
    fleet.calls.add(Arc::clone(&media));
    fleet.listener.listen(Arc::clone(&media));
    Ok((line, media))
}

/// Shakes hands and opens the media socket.
async fn prepare(
    fleet: &Fleet,
    planned: PlannedCall,
    traits: &DeviceTraits,
    line: &mut Line,
    slot: &OutcomeSlot,
) -> Result<Arc<Call>, CallFailure> {
    let handshake = line.handshake(fleet.clock).await.map_err(|(connected, failure)| {
        let connect_time = connected.map(|at| at.since(planned.arrive));
        note(slot, |call| call.connect_time = connect_time);
        failure
    })?;
    note(slot, |call| {
        call.connect_time = handshake.connected.map(|at| at.since(planned.arrive));
        call.hello_time = Some(handshake.answered.since(handshake.hello_sent));
    });
    fleet.grants.lock().unwrap_or_else(PoisonError::into_inner).note(&handshake.grant);
    open_media(fleet, planned, traits, &handshake.grant).await
}

/// Waits for the arrival; a line that was kept goes on being looked after.
async fn wait(fleet: &Fleet, arrive: Moment, kept: Option<&mut Line>) {
    match kept {
        Some(line) => line.rest_until(fleet.clock, arrive).await,
        None => sleep_until(fleet.clock, arrive).await,
    }
}

/// Stays until the call is over, the session is lost or the run ends; then waits for answers and
/// ends the call in the way that was planned. Returns the line if it is kept.
async fn hold(
    fleet: &Fleet,
    planned: PlannedCall,
    mut line: Line,
    media: Arc<Call>,
    slot: &OutcomeSlot,
) -> Option<Line> {
    let mut stop = fleet.stop.clone();
    let (mut lost, mut all_sent) = (false, false);
    fleet.open.fetch_add(1, Ordering::Relaxed);
    tokio::select! {
        // A lost session is seen as lost even when the run is told to stop for the same reason.
        biased;
        end = talk::until_over(fleet, planned, &mut line, &media) => match end {
            talk::End::Over => all_sent = true,
            talk::End::Lost(end) => {
                let now = fleet.clock.now();
                media.end(now);
                lost = true;
                // A goodbye at the very end of the call takes no frame away.
                if now < planned.leave {
                    note(slot, |call| call.lost = Some((end, now)));
                }
            }
        },
        () = stopped(&mut stop) => {
            media.end(fleet.clock.now());
            note(slot, |call| call.cut_short = true);
        }
    }
    fleet.open.fetch_sub(1, Ordering::Relaxed);
    if !all_sent && media.sent() > 0 {
        // A frame may be on its way to the kernel; the pacer tells when it has let go.
        let _ = tokio::time::timeout(LET_GO, media.uplink_done.notified()).await;
    }
    if media.is_answered() {
        drain(fleet, &media).await;
    }
    note(slot, |call| {
        call.ended = Some(media.account());
        call.media = None;
    });
    fleet.calls.over(Arc::clone(&media), fleet.clock.now());
    let kept = if lost { None } else { part(fleet, planned.ending, all_sent, line, &media).await };
    fleet.listener.leave(media);
    kept
}

/// Ends the call in the way that was planned. Returns the line if it is kept.
///
/// A call is listened to until this is over: a gateway that is speaking goes on until it has read
/// the goodbye, and once it closes the connection it has. Only one that gets `hello` at once may
/// still speak into the call before.
async fn part(
    fleet: &Fleet,
    ending: Ending,
    all_sent: bool,
    mut line: Line,
    media: &Call,
) -> Option<Line> {
    match ending {
        Ending::Hello if all_sent => {
            line.say_goodbye();
            return Some(line);
        }
        Ending::Drop if all_sent => {}
        Ending::LeftBehind if all_sent => {
            // The gateway closes the connection, or a moment later we do.
            let closed = line.until_closed(fleet.clock, || media.last_packet());
            let _ = tokio::time::timeout(LEFT_BEHIND, closed).await;
        }
        Ending::Goodbye | Ending::Hello | Ending::Drop | Ending::LeftBehind => {
            line.hang_up().await;
        }
    }
    None
}

async fn open_media(
    fleet: &Fleet,
    planned: PlannedCall,
    traits: &DeviceTraits,
    grant: &AudioGrant,
) -> Result<Arc<Call>, CallFailure> {
    let server = format!("{}:{}", grant.server, grant.port);
    let failed = |error| CallFailure::Media { server: server.clone(), error };
    let addr = resolve(&grant.server, grant.port).await.map_err(failed)?;
    let options = UdpOptions { receive_buffer_bytes: RECEIVE_BUFFER, ..UdpOptions::default() };
    let socket = connect_udp(addr, options).map_err(failed)?;
    socket.set_nonblocking(true).map_err(failed)?;
    let group = &fleet.groups[traits.group];
    let frame = group.encoder.frame;
    let talkspurts = match group.talk {
        Talk::FullDuplex => Talkspurts::Endless,
        Talk::HalfDuplex(_) | Talk::Silent => Talkspurts::in_turns(),
    };
    let period =
        DeviceTraits::period(fleet.population.seed, planned.device, frame, group.clock_drift);
    let first_due = traits.first_due(fleet.clock.now() + LEAD, frame);
    let ways = fleet.networks[traits.group].as_ref().map(|networks| {
        let rank = fleet.population.members.of(planned.device).rank as usize;
        // Another seed for each device and each of its calls; odd constants spread the bits.
        let seed = fleet.population.seed
            ^ u64::from(planned.device + 1).wrapping_mul(0x9E37_79B9_7F4A_7C15)
            ^ planned.arrive.as_nanos().wrapping_mul(0xD1B5_4A32_D192_ED03);
        Box::new(Ways::new(networks, rank, first_due, seed))
    });
    Ok(Arc::new(Call::new(CallParts {
        device: planned.device,
        socket,
        cipher: MediaCipher::new(&grant.key, grant.nonce),
        nonce: grant.nonce,
        frame,
        period,
        downlink_frame: grant.downlink.frame,
        downlink_rate: grant.downlink.sample_rate,
        speech: Speech::new(&fleet.voices, traits.voice, traits.clip_offset),
        voice: Arc::clone(&fleet.voices[traits.voice]),
        first_due,
        leave: planned.leave,
        talkspurts,
        ways,
    })))
}

/// The address of `host`, asked for on another thread where it is a name, so that nobody else
/// waits for it.
async fn resolve(host: &str, port: u16) -> io::Result<SocketAddr> {
    if let Ok(ip) = host.parse::<IpAddr>() {
        return Ok(SocketAddr::new(ip, port));
    }
    let lookup = tokio::time::timeout(NAME_TIMEOUT, tokio::net::lookup_host((host, port)));
    let mut found = lookup.await.map_err(|_| io::Error::from(io::ErrorKind::TimedOut))??;
    found.next().ok_or_else(|| io::Error::other("the name has no address"))
}

/// Waits until every frame is answered, or as long as the scenario says.
async fn drain(fleet: &Fleet, call: &Call) {
    const LOOK_EVERY: Duration = Duration::from_millis(20);
    let until = fleet.clock.now() + fleet.drain;
    let lost = || call.ways.as_ref().map_or(0, |ways| ways.impaired().lost);
    while call.answered() + lost() < call.sent() && fleet.clock.now() < until {
        tokio::time::sleep(LOOK_EVERY).await;
    }
}

/// Returns when the run is told to stop; never, when nobody is left to tell it.
async fn stopped(stop: &mut watch::Receiver<bool>) {
    if stop.wait_for(|&stop| stop).await.is_err() {
        std::future::pending::<()>().await;
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::media::downlink::Downlink;
    use crate::media::listener::CallArrivals;
    use crate::media::uplink::Uplink;

    /// What `future` returns, without running it.
    const fn size_of_returned<A, B, R>(_: &impl Fn(A, B) -> R) -> usize {
        size_of::<R>()
    }

    /// What one device costs while it calls, of what is ours: its MQTT client's buffers come to
    /// another 30 KiB. A new field that is large should be seen here.
    #[test]
    fn a_device_takes_below_20_kib_of_our_own() {
        let parts = [
            ("task", size_of_returned(&calls)),
            ("call", size_of::<Call>()),
            ("downlink", size_of::<Downlink>()),
            ("uplink", size_of::<Uplink>() + 1500),
            ("arrivals", size_of::<CallArrivals>()),
            ("outcome", size_of::<CallOutcome>()),
        ];
        let whole: usize = parts.iter().map(|(_, bytes)| bytes).sum();
        assert!(whole < 20 << 10, "{whole} bytes: {parts:?}");
    }
}
