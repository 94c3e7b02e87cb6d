//! A device's line to its gateway: MQTT on rumqttc, decisions by the sans-IO session.

use std::fmt;
use std::future::Future;
use std::io;
use std::net::SocketAddr;
use std::pin::Pin;
use std::time::Duration;

use platform::Clock;
use protocol::Moment;
use protocol::control::{
    AudioFormat, AudioGrant, DEVICE_TOPIC, DeviceMessage, Features, GatewayMessage, ListenState,
    TtsState,
};
use protocol::device_session::{
    AudioEnd, DeviceEvent, DeviceSession, DeviceTimeouts, HelloFailure,
};
use protocol::identity::{ClientId, SignatureKey};
use rumqttc::{
    AsyncClient, ConnectReturnCode, ConnectionError, Event, EventLoop, MqttOptions, Packet, QoS,
};

/// The firmware's keep-alive.
const KEEP_ALIVE: Duration = Duration::from_mins(4);
/// How long a connection attempt may take.
const CONNECT_TIMEOUT_SECONDS: u64 = 10;
/// Messages that may wait to be published. Whoever publishes is also the one who polls, so waiting
/// for room would wait for ever: what does not fit is dropped, as on a device with a full queue.
const QUEUE: usize = 64;
/// How long a goodbye may take to leave before the connection is dropped.
const GOODBYE_TIMEOUT: Duration = Duration::from_secs(1);

/// Why a planned call became no audio session.
#[derive(Debug)]
pub enum CallFailure {
    /// The MQTT connection was not accepted.
    Connect(Box<ConnectionError>),
    /// Hello led to no session.
    Hello(HelloFailure),
    /// The handshake was not over when the call was to end.
    Unfinished,
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
            Self::Unfinished => f.write_str("the handshake was not over when the call was to end"),
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
    /// Whether this host gave no socket or port for the call: no fault of the gateway.
    pub fn is_our_own(&self) -> bool {
        // errno(3) on Linux: ENFILE, EMFILE, EADDRNOTAVAIL, ENOBUFS, ENOMEM.
        const OUR_LIMITS: [i32; 5] = [23, 24, 99, 105, 12];
        let error = match self {
            Self::Connect(error) => match &**error {
                ConnectionError::Io(error) => error,
                _ => return false,
            },
            Self::Media { error, .. } => error,
            Self::Hello(_) | Self::Unfinished => return false,
        };
        error.raw_os_error().is_some_and(|code| OUR_LIMITS.contains(&code))
    }

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
pub(crate) struct Line {
    session: DeviceSession,
    client: AsyncClient,
    /// The poll under way: rumqttc's poll must not be dropped half-way, so it is kept between
    /// waits instead of being begun anew.
    poll: Poll,
    /// Events of the session that nobody has looked at.
    events: Vec<DeviceEvent>,
    /// Whether the MQTT connection was accepted.
    connected: bool,
}

/// What happens to a session.
pub(crate) enum LineEvent {
    /// It ended, for another reason than our own goodbye.
    Closed(AudioEnd),
    /// The gateway's speech begins, goes on or has ended.
    Speech(TtsState),
}

/// A handshake that was completed.
pub(crate) struct Handshake {
    /// When the MQTT connection was accepted; `None` when there was one already.
    pub(crate) connected: Option<Moment>,
    /// When hello was published.
    pub(crate) hello_sent: Moment,
    /// When its answer came.
    pub(crate) answered: Moment,
    /// What the gateway granted.
    pub(crate) grant: AudioGrant,
}

impl Line {
    /// A line that is not connected yet.
    pub(crate) fn new(parts: LineParts) -> Self {
        let LineParts { mqtt, client_id, key, uplink, timeouts } = parts;
        let mut options =
            MqttOptions::new(client_id.to_string(), mqtt.ip().to_string(), mqtt.port());
        options.set_keep_alive(KEEP_ALIVE).set_clean_session(true);
        // Room for what is to be acknowledged, which is nothing: 9 KiB a device at the default of 100.
        options.set_inflight(1);
        if let Some(key) = key {
            let profile = serde_json::json!({ "mac": client_id.mac.to_string() });
            let credentials = key.credentials(&client_id, &profile);
            options.set_credentials(credentials.username, credentials.password);
        }
        let (client, mut eventloop) = AsyncClient::new(options, QUEUE);
        eventloop.network_options.set_tcp_nodelay(true);
        eventloop.network_options.set_connection_timeout(CONNECT_TIMEOUT_SECONDS);
        let features = Features { mcp: true, aec: false };
        Self {
            session: DeviceSession::new(uplink, features, timeouts),
            client,
            poll: poll(eventloop),
            events: Vec::new(),
            connected: false,
        }
    }

    /// Connects, unless that was done, and says hello; on failure also tells when the connection
    /// was accepted.
    pub(crate) async fn handshake(
        &mut self,
        clock: Clock,
    ) -> Result<Handshake, (Option<Moment>, CallFailure)> {
        let mut connected = None;
        if !self.connected {
            self.connect().await.map_err(|error| (None, CallFailure::Connect(Box::new(error))))?;
            self.connected = true;
            self.session.connected();
            connected = Some(clock.now());
        }
        let begun = clock.now();
        self.session.open_audio(begun, &mut self.events);
        let mut hello_sent = begun;
        loop {
            for event in std::mem::take(&mut self.events) {
                match event {
                    DeviceEvent::Send(message) => {
                        if matches!(message, DeviceMessage::Hello(_)) {
                            hello_sent = clock.now();
                        }
                        self.publish(&message);
                    }
                    DeviceEvent::AudioOpened(grant) => {
                        let answered = clock.now();
                        return Ok(Handshake { connected, hello_sent, answered, grant });
                    }
                    DeviceEvent::HelloFailed(failure) => {
                        return Err((connected, CallFailure::Hello(failure)));
                    }
                    DeviceEvent::AudioClosed(_)
                    | DeviceEvent::Speech(_)
                    | DeviceEvent::Reconnect => {}
                }
            }
            self.advance(clock, || begun).await;
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

    /// Keeps the session up until it ends for another reason than our own goodbye. `last_packet`
    /// tells when audio of the session arrived last.
    pub(crate) async fn until_closed(
        &mut self,
        clock: Clock,
        last_packet: impl Fn() -> Moment,
    ) -> AudioEnd {
        loop {
            if let LineEvent::Closed(end) = self.next_event(clock, &last_packet).await {
                return end;
            }
        }
    }

    /// Keeps the session up until something happens to it. Dropped half-way, it loses nothing.
    pub(crate) async fn next_event(
        &mut self,
        clock: Clock,
        last_packet: impl Fn() -> Moment,
    ) -> LineEvent {
        loop {
            while !self.events.is_empty() {
                match self.events.remove(0) {
                    DeviceEvent::Send(message) => self.publish(&message),
                    DeviceEvent::AudioClosed(end) => return LineEvent::Closed(end),
                    DeviceEvent::Speech(said) => return LineEvent::Speech(said),
                    DeviceEvent::AudioOpened(_)
                    | DeviceEvent::HelloFailed(_)
                    | DeviceEvent::Reconnect => {}
                }
            }
            self.session.packet(last_packet());
            self.advance(clock, &last_packet).await;
        }
    }

    /// Says that the microphone opens or closes.
    pub(crate) fn listen(&mut self, state: ListenState) {
        self.session.listen(state, &mut self.events);
    }

    /// Interrupts the gateway.
    pub(crate) fn abort(&mut self) {
        self.session.abort(&mut self.events);
    }

    /// Waits for the next thing to happen to the session.
    async fn advance(&mut self, clock: Clock, last_packet: impl Fn() -> Moment) {
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
            () = timeout => {
                self.session.packet(last_packet());
                self.session.tick(clock.now(), &mut self.events);
            }
        }
    }

    fn publish(&self, message: &DeviceMessage) {
        // Fails when the connection is gone, which the next poll reports, or the queue is full.
        let _ = self.client.try_publish(DEVICE_TOPIC, QoS::AtMostOnce, false, message.to_json());
    }

    async fn next(&mut self) -> Result<Event, ConnectionError> {
        next(&mut self.poll).await
    }

    /// Keeps the connection up, without a session, until `due`.
    pub(crate) async fn rest_until(&mut self, clock: Clock, due: Moment) {
        while clock.now() < due {
            tokio::select! {
                event = next(&mut self.poll) => if event.is_err() {
                    self.connected = false;
                    sleep_until(clock, due).await;
                },
                () = sleep_until(clock, due) => {}
            }
        }
    }

    /// Whether there is a connection, as far as is known.
    pub(crate) fn is_connected(&self) -> bool {
        self.connected
    }

    /// Says goodbye, if there is a session; the connection stays.
    pub(crate) fn say_goodbye(&mut self) {
        self.session.close_audio(&mut self.events);
        for event in std::mem::take(&mut self.events) {
            if let DeviceEvent::Send(message) = event {
                self.publish(&message);
            }
        }
    }

    /// Says goodbye, if there is a session, and disconnects.
    pub(crate) async fn hang_up(&mut self) {
        self.say_goodbye();
        let _ = self.client.try_disconnect();
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

/// Waits on tokio's clock, which may be a millisecond late; nothing that is paced waits here.
pub(crate) async fn sleep_until(clock: Clock, at: Moment) {
    tokio::time::sleep(at.since(clock.now())).await;
}
