//! The control side of one device: MQTT on tokio and rumqttc, decisions by the sans-IO session.
//!
//! [`call`] holds one audio session from its planned arrival to its goodbye. What can go wrong with
//! a gateway is a value in [`CallOutcome`], never an error of the run.

use std::fmt;
use std::future::Future;
use std::io;
use std::net::{SocketAddr, ToSocketAddrs};
use std::pin::Pin;
use std::sync::Arc;
use std::sync::atomic::{AtomicU32, Ordering};
use std::time::Duration;

use platform::{Clock, UdpOptions, connect_udp};
use protocol::cipher::MediaCipher;
use protocol::control::{
    AudioFormat, AudioGrant, DEVICE_TOPIC, DeviceMessage, Features, GatewayMessage,
};
use protocol::device_session::{
    AudioEnd, DeviceEvent, DeviceSession, DeviceTimeouts, HelloFailure,
};
use protocol::identity::{ClientId, SignatureKey};
use protocol::{FrameDuration, Moment};
use rumqttc::{
    AsyncClient, ConnectReturnCode, ConnectionError, Event, EventLoop, MqttOptions, Packet, QoS,
};
use tokio::sync::watch;

use crate::media::call::{Call, CallParts};
use crate::media::listener::Listener;
use crate::media::pacer::Pacer;
use crate::media::uplink::Uplink;
use crate::schedule::{DeviceTraits, PlannedCall};
use crate::voice::Voice;

/// The firmware's keep-alive.
const KEEP_ALIVE: Duration = Duration::from_mins(4);
/// How long a connection attempt may take.
const CONNECT_TIMEOUT_SECONDS: u64 = 10;
/// How long a goodbye may take to leave before the connection is dropped.
const GOODBYE_TIMEOUT: Duration = Duration::from_secs(1);
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

/// Why a planned call became no audio session.
#[derive(Debug)]
pub enum CallFailure {
    /// The MQTT connection was not accepted.
    Connect(Box<ConnectionError>),
    /// Hello led to no session.
    Hello(HelloFailure),
    /// The media port could not be reached.
    Media {
        /// Host and port from the gateway's hello.
        server: String,
        /// What the operating system said.
        error: io::Error,
    },
}

impl fmt::Display for CallFailure {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Connect(error) => match &**error {
                ConnectionError::ConnectionRefused(code) => {
                    write!(f, "MQTT connection refused: {}", refusal(*code))
                }
                ConnectionError::NetworkTimeout => {
                    write!(f, "MQTT connection not accepted within {CONNECT_TIMEOUT_SECONDS} s")
                }
                ConnectionError::Io(error) => write!(f, "MQTT connection: {error}"),
                other => write!(f, "MQTT connection: {other}"),
            },
            Self::Hello(failure) => write!(f, "{failure}"),
            Self::Media { server, error } => write!(f, "media port {server}: {error}"),
        }
    }
}

/// CONNACK's return codes in words (MQTT 3.1.1, table 3.1).
fn refusal(code: ConnectReturnCode) -> &'static str {
    match code {
        ConnectReturnCode::BadUserNamePassword => "bad user name or password",
        ConnectReturnCode::NotAuthorized => "not authorized",
        ConnectReturnCode::BadClientId => "bad client id",
        ConnectReturnCode::ServiceUnavailable => "service unavailable",
        ConnectReturnCode::RefusedProtocolVersion => "protocol version refused",
        ConnectReturnCode::Success => "accepted, yet refused",
    }
}

impl CallFailure {
    /// Whether the gateway refused who we are.
    pub fn is_refused_identity(&self) -> bool {
        let Self::Connect(error) = self else { return false };
        matches!(
            **error,
            ConnectionError::ConnectionRefused(
                ConnectReturnCode::BadUserNamePassword | ConnectReturnCode::NotAuthorized
            )
        )
    }
}

/// Holds one planned call, from its arrival to its goodbye.
pub async fn call(fleet: Arc<Fleet>, planned: PlannedCall) -> CallOutcome {
    let mut outcome = CallOutcome::default();
    let mut stop = fleet.stop.clone();
    tokio::select! {
        () = sleep_until(fleet.clock, planned.arrive) => {}
        () = stopped(&mut stop) => {
            outcome.cut_short = true;
            return outcome;
        }
    }
    let frame = fleet.uplink.frame;
    let traits = DeviceTraits::new(fleet.seed, planned.device, frame, fleet.voices.len());
    let mut line = Line::dial(&fleet, &traits.client_id);
    let failed = |failure, outcome: &mut CallOutcome| {
        outcome.failed = Some((failure, fleet.clock.now()));
    };

    let handshake = line.handshake(fleet.clock);
    let opened = tokio::select! {
        opened = handshake => opened,
        () = stopped(&mut stop) => {
            outcome.cut_short = true;
            return outcome;
        }
    };
    let handshake = match opened {
        Ok(handshake) => handshake,
        Err((connected, failure)) => {
            outcome.connect_time = connected.map(|at| at.since(planned.arrive));
            failed(failure, &mut outcome);
            return outcome;
        }
    };
    outcome.connect_time = Some(handshake.connected.since(planned.arrive));
    outcome.hello_time = Some(handshake.answered.since(handshake.hello_sent));

    let media = match open_media(&fleet, &planned, &traits, &handshake.grant, frame) {
        Ok(media) => media,
        Err(failure) => {
            failed(failure, &mut outcome);
            line.hang_up().await;
            return outcome;
        }
    };
    fleet.open.fetch_add(1, Ordering::Relaxed);
    fleet.listener.listen(Arc::clone(&media));
    let voice = Arc::clone(&fleet.voices[traits.voice]);
    fleet.pacer.join(Uplink::new(Arc::clone(&media), voice, traits.clip_offset));

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
    drain(&fleet, &media).await;
    if outcome.lost.is_none() {
        line.hang_up().await;
    }
    outcome.open = Some((media.first_due, media.last_due()));
    outcome.first_audio = media.first_answer().map(|at| at.since(planned.arrive));
    fleet.listener.leave(media);
    outcome
}

/// One handshake and goodbye, to see that a target is one; takes no part in the run.
///
/// # Errors
/// [`CallFailure`] says what the target did not do.
pub async fn probe(fleet_line: LineParts, clock: Clock) -> Result<(), CallFailure> {
    let mut line = Line::new(fleet_line);
    line.handshake(clock).await.map_err(|(_, failure)| failure)?;
    line.hang_up().await;
    Ok(())
}

fn open_media(
    fleet: &Fleet,
    planned: &PlannedCall,
    traits: &DeviceTraits,
    grant: &AudioGrant,
    frame: FrameDuration,
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
        frame,
        downlink_frame: grant.downlink.frame,
        first_due: traits.first_due(fleet.clock.now() + LEAD, frame),
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

async fn sleep_until(clock: Clock, at: Moment) {
    tokio::time::sleep(at.since(clock.now())).await;
}

/// Returns when the run is told to stop; never, when nobody is left to tell it.
async fn stopped(stop: &mut watch::Receiver<bool>) {
    if stop.wait_for(|&stop| stop).await.is_err() {
        std::future::pending::<()>().await;
    }
}

/// What a line needs to be dialled.
pub struct LineParts {
    /// The gateway's MQTT address.
    pub mqtt: SocketAddr,
    /// Who calls.
    pub client_id: ClientId,
    /// Signs the credentials.
    pub key: Option<SignatureKey>,
    /// The uplink's audio.
    pub uplink: AudioFormat,
    /// How long the device waits.
    pub timeouts: DeviceTimeouts,
}

type Poll = Pin<Box<dyn Future<Output = (EventLoop, Result<Event, ConnectionError>)> + Send>>;

/// A device's MQTT connection and the session over it.
struct Line {
    session: DeviceSession,
    client: AsyncClient,
    /// The poll under way: rumqttc's poll must not be dropped half-way, so it is kept between
    /// waits instead of being begun anew.
    poll: Poll,
    /// Events of the session that nobody has looked at.
    events: Vec<DeviceEvent>,
}

struct Handshake {
    connected: Moment,
    hello_sent: Moment,
    answered: Moment,
    grant: AudioGrant,
}

impl Line {
    fn dial(fleet: &Fleet, client_id: &ClientId) -> Self {
        Self::new(LineParts {
            mqtt: fleet.mqtt,
            client_id: client_id.clone(),
            key: fleet.key.clone(),
            uplink: fleet.uplink,
            timeouts: fleet.timeouts,
        })
    }

    fn new(parts: LineParts) -> Self {
        let LineParts { mqtt, client_id, key, uplink, timeouts } = parts;
        let mut options =
            MqttOptions::new(client_id.to_string(), mqtt.ip().to_string(), mqtt.port());
        options.set_keep_alive(KEEP_ALIVE).set_clean_session(true);
        if let Some(key) = key {
            let profile = serde_json::json!({ "mac": client_id.mac.to_string() });
            let credentials = key.credentials(&client_id, &profile);
            options.set_credentials(credentials.username, credentials.password);
        }
        let (client, mut eventloop) = AsyncClient::new(options, 8);
        eventloop.network_options.set_tcp_nodelay(true);
        eventloop.network_options.set_connection_timeout(CONNECT_TIMEOUT_SECONDS);
        let features = Features { mcp: true, aec: false };
        Self {
            session: DeviceSession::new(uplink, features, timeouts),
            client,
            poll: poll(eventloop),
            events: Vec::new(),
        }
    }

    /// Connects and says hello; on failure also tells when the connection was accepted.
    async fn handshake(
        &mut self,
        clock: Clock,
    ) -> Result<Handshake, (Option<Moment>, CallFailure)> {
        self.connect().await.map_err(|error| (None, CallFailure::Connect(Box::new(error))))?;
        let connected = clock.now();
        self.session.connected();
        self.session.open_audio(connected, &mut self.events);
        let mut hello_sent = connected;
        loop {
            for event in std::mem::take(&mut self.events) {
                match event {
                    DeviceEvent::Send(message) => {
                        if matches!(message, DeviceMessage::Hello(_)) {
                            hello_sent = clock.now();
                        }
                        self.publish(&message).await;
                    }
                    DeviceEvent::AudioOpened(grant) => {
                        let answered = clock.now();
                        return Ok(Handshake { connected, hello_sent, answered, grant });
                    }
                    DeviceEvent::HelloFailed(failure) => {
                        return Err((Some(connected), CallFailure::Hello(failure)));
                    }
                    DeviceEvent::AudioClosed(_) | DeviceEvent::Reconnect => {}
                }
            }
            self.advance(clock).await;
        }
    }

    async fn connect(&mut self) -> Result<(), ConnectionError> {
        loop {
            match self.next().await {
                Ok(Event::Incoming(Packet::ConnAck(_))) => return Ok(()),
                Ok(_) => {}
                Err(error) => return Err(error),
            }
        }
    }

    /// Keeps the session up until it ends for another reason than our own goodbye.
    async fn until_closed(&mut self, clock: Clock) -> AudioEnd {
        loop {
            for event in std::mem::take(&mut self.events) {
                match event {
                    DeviceEvent::Send(message) => self.publish(&message).await,
                    DeviceEvent::AudioClosed(end) => return end,
                    DeviceEvent::AudioOpened(_)
                    | DeviceEvent::HelloFailed(_)
                    | DeviceEvent::Reconnect => {}
                }
            }
            self.advance(clock).await;
        }
    }

    /// Waits for the next thing to happen to the session.
    async fn advance(&mut self, clock: Clock) {
        let deadline = self.session.next_deadline();
        let timeout = async {
            match deadline {
                Some(at) => sleep_until(clock, at).await,
                None => std::future::pending().await,
            }
        };
        tokio::select! {
            event = next(&mut self.poll) => match event {
                Ok(Event::Incoming(Packet::Publish(publish))) => {
                    // What is no control message is the gateway's bug; a device ignores it.
                    if let Ok(message) = GatewayMessage::parse(&publish.payload) {
                        self.session.message(clock.now(), message, &mut self.events);
                    }
                }
                Ok(_) => {}
                Err(_) => self.session.disconnected(clock.now(), &mut self.events),
            },
            () = timeout => self.session.tick(clock.now(), &mut self.events),
        }
    }

    async fn publish(&mut self, message: &DeviceMessage) {
        // Fails only when the connection is gone, which the next poll reports.
        let _ = self.client.publish(DEVICE_TOPIC, QoS::AtMostOnce, false, message.to_json()).await;
    }

    async fn next(&mut self) -> Result<Event, ConnectionError> {
        next(&mut self.poll).await
    }

    /// Says goodbye, if there is a session, and disconnects.
    async fn hang_up(&mut self) {
        self.session.close_audio(&mut self.events);
        for event in std::mem::take(&mut self.events) {
            if let DeviceEvent::Send(message) = event {
                self.publish(&message).await;
            }
        }
        let _ = self.client.disconnect().await;
        let flush = async { while self.next().await.is_ok() {} };
        // A gateway that no longer reads must not hold up the end of the run.
        let _ = tokio::time::timeout(GOODBYE_TIMEOUT, flush).await;
    }
}

fn poll(mut eventloop: EventLoop) -> Poll {
    Box::pin(async move {
        let event = eventloop.poll().await;
        (eventloop, event)
    })
}

/// The next event; begins the poll after it.
async fn next(under_way: &mut Poll) -> Result<Event, ConnectionError> {
    let (eventloop, event) = under_way.as_mut().await;
    *under_way = poll(eventloop);
    event
}
