//! The gateway's end of the conversation with one connected device.
//!
//! A hello that can be served is granted with a fresh key and nonce and ends the session before it;
//! one that cannot is answered with an error. Outside a session anything but hello, goodbye and an
//! awaited MCP answer is answered with goodbye. A device that is not heard for 1.5 times its
//! keep-alive is dropped, as MQTT 3.1.1 section 3.1.2.10 has it.

use std::fmt;
use std::time::Duration;

use serde_json::Value;

use crate::Moment;
use crate::control::{
    AudioFormat, AudioGrant, DeviceHello, DeviceMessage, ErrorMessage, GatewayMessage, Goodbye, Mcp,
};
use crate::mcp;

/// How long a gateway waits for audio before it ends a session, unless told otherwise; 120 s.
pub const AUDIO_TIMEOUT: Duration = Duration::from_mins(2);

/// What the caller must do, or may want to know.
#[derive(Clone, Debug, PartialEq)]
pub enum GatewayEvent {
    /// Publish this to the device.
    Send(GatewayMessage),
    /// Accept and send audio under this grant; the uplink's audio is `uplink`.
    AudioOpened {
        /// What the device was told.
        grant: AudioGrant,
        /// What the device sends.
        uplink: AudioFormat,
    },
    /// Stop accepting and sending audio of the session that was opened last.
    AudioClosed(SessionEnd),
    /// Something for the backend: listen, abort, MCP, or a type unknown to us.
    Forward(DeviceMessage),
    /// Close the MQTT connection.
    Disconnect(DisconnectReason),
}

/// Why an audio session ended.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum SessionEnd {
    /// The device said goodbye.
    DeviceGoodbye,
    /// The device sent a new hello.
    Renegotiated,
    /// No media packet came for the audio timeout.
    Silence,
    /// The MQTT connection ended, from either side.
    ConnectionLost,
    /// The gateway is shutting down.
    Shutdown,
}

/// Why the gateway closes a connection.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum DisconnectReason {
    /// Nothing was heard for this long, 1.5 times the keep-alive.
    KeepAlive(Duration),
}

impl fmt::Display for DisconnectReason {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::KeepAlive(limit) => write!(f, "nothing heard for {limit:?}"),
        }
    }
}

/// The state of one connection.
#[derive(Debug)]
pub struct GatewaySession {
    audio_timeout: Duration,
    /// 1.5 times the device's keep-alive; `None` when it asked for none.
    silence_limit: Option<Duration>,
    last_heard: Moment,
    open: Option<OpenAudio>,
    /// Requests to the device that wait for an answer.
    awaited: Vec<u64>,
}

#[derive(Debug)]
struct OpenAudio {
    session_id: String,
    last_packet: Moment,
}

impl GatewaySession {
    /// A device connected with this keep-alive (zero: none); asks for its tools, as the original
    /// gateway does.
    pub fn connected(
        now: Moment,
        keep_alive: Duration,
        audio_timeout: Duration,
        events: &mut Vec<GatewayEvent>,
    ) -> Self {
        let mut session = Self {
            audio_timeout,
            silence_limit: (!keep_alive.is_zero()).then(|| keep_alive * 3 / 2),
            last_heard: now,
            open: None,
            awaited: Vec::new(),
        };
        session.request(mcp::initialize, mcp::FIRST_REQUEST_ID, events);
        session
    }

    /// Anything at all arrived over MQTT.
    pub fn heard(&mut self, now: Moment) {
        self.last_heard = now;
    }

    /// The device published `message`. `grant` makes a session for an uplink of this format, with
    /// a key and nonce that were never used before, or says why it will not.
    pub fn message(
        &mut self,
        now: Moment,
        message: DeviceMessage,
        grant: impl FnOnce(AudioFormat) -> Result<AudioGrant, String>,
        events: &mut Vec<GatewayEvent>,
    ) {
        match message {
            DeviceMessage::Hello(hello) => self.hello(now, &hello, grant, events),
            DeviceMessage::Goodbye(_) => self.close(SessionEnd::DeviceGoodbye, events),
            DeviceMessage::Mcp(answer) if self.take_awaited(&answer.payload) => {
                if mcp::answered_id(&answer.payload) == Some(mcp::FIRST_REQUEST_ID) {
                    send_mcp(mcp::initialized(), events);
                    self.request(mcp::tools_list, mcp::FIRST_REQUEST_ID + 1, events);
                }
            }
            other if self.open.is_some() => events.push(GatewayEvent::Forward(other)),
            other => {
                let goodbye = Goodbye { session_id: other.session_id().map(str::to_owned) };
                events.push(GatewayEvent::Send(GatewayMessage::Goodbye(goodbye)));
            }
        }
    }

    fn hello(
        &mut self,
        now: Moment,
        hello: &DeviceHello,
        grant: impl FnOnce(AudioFormat) -> Result<AudioGrant, String>,
        events: &mut Vec<GatewayEvent>,
    ) {
        let granted = hello.check().map_err(|error| error.to_string());
        match granted.and_then(|uplink| grant(uplink).map(|grant| (uplink, grant))) {
            Ok((uplink, grant)) => {
                self.close(SessionEnd::Renegotiated, events);
                self.open =
                    Some(OpenAudio { session_id: grant.session_id.clone(), last_packet: now });
                let answer = GatewayMessage::Hello(grant.to_hello());
                events.push(GatewayEvent::AudioOpened { grant, uplink });
                events.push(GatewayEvent::Send(answer));
            }
            Err(message) => {
                let refusal = GatewayMessage::Error(ErrorMessage { message });
                events.push(GatewayEvent::Send(refusal));
            }
        }
    }

    /// The last media packet of the open session arrived at `at`.
    pub fn packet(&mut self, at: Moment) {
        if let Some(open) = &mut self.open {
            open.last_packet = at.max(open.last_packet);
        }
    }

    /// Time has passed; call at [`GatewaySession::next_deadline`] or later.
    pub fn tick(&mut self, now: Moment, events: &mut Vec<GatewayEvent>) {
        if self.audio_deadline().is_some_and(|deadline| now >= deadline) {
            self.say_goodbye(SessionEnd::Silence, events);
        }
        if let Some(limit) = self.silence_limit
            && now >= self.last_heard + limit
        {
            self.close(SessionEnd::ConnectionLost, events);
            events.push(GatewayEvent::Disconnect(DisconnectReason::KeepAlive(limit)));
        }
    }

    /// When [`GatewaySession::tick`] has something to do, unless something happens before.
    pub fn next_deadline(&self) -> Option<Moment> {
        let keep_alive = self.silence_limit.map(|limit| self.last_heard + limit);
        [keep_alive, self.audio_deadline()].into_iter().flatten().min()
    }

    /// The connection is gone.
    pub fn disconnected(&mut self, events: &mut Vec<GatewayEvent>) {
        self.close(SessionEnd::ConnectionLost, events);
    }

    /// The gateway is shutting down: a live session is told goodbye.
    pub fn shutdown(&mut self, events: &mut Vec<GatewayEvent>) {
        self.say_goodbye(SessionEnd::Shutdown, events);
    }

    fn audio_deadline(&self) -> Option<Moment> {
        self.open.as_ref().map(|open| open.last_packet + self.audio_timeout)
    }

    fn say_goodbye(&mut self, why: SessionEnd, events: &mut Vec<GatewayEvent>) {
        if let Some(open) = self.open.take() {
            let goodbye = Goodbye { session_id: Some(open.session_id) };
            events.push(GatewayEvent::Send(GatewayMessage::Goodbye(goodbye)));
            events.push(GatewayEvent::AudioClosed(why));
        }
    }

    fn close(&mut self, why: SessionEnd, events: &mut Vec<GatewayEvent>) {
        if self.open.take().is_some() {
            events.push(GatewayEvent::AudioClosed(why));
        }
    }

    fn request(&mut self, make: fn(u64) -> Value, id: u64, events: &mut Vec<GatewayEvent>) {
        self.awaited.push(id);
        send_mcp(make(id), events);
    }

    fn take_awaited(&mut self, payload: &Value) -> bool {
        let Some(id) = mcp::answered_id(payload) else { return false };
        let before = self.awaited.len();
        self.awaited.retain(|&awaited| awaited != id);
        self.awaited.len() < before
    }
}

fn send_mcp(payload: Value, events: &mut Vec<GatewayEvent>) {
    let message = GatewayMessage::Mcp(Mcp { session_id: None, payload });
    events.push(GatewayEvent::Send(message));
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::cipher::{MediaKey, NonceTemplate};
    use crate::control::{Features, Listen, ListenState};
    use crate::{FrameDuration, SampleRate, Ssrc};

    const UPLINK: AudioFormat =
        AudioFormat { sample_rate: SampleRate::HZ_16000, frame: FrameDuration::MS_60 };
    const KEEP_ALIVE: Duration = Duration::from_mins(4);

    fn grant(n: u8) -> AudioGrant {
        AudioGrant {
            session_id: format!("session-{n}"),
            server: "127.0.0.1".to_owned(),
            port: 8884,
            key: MediaKey::new([n; 16]),
            nonce: NonceTemplate::new(Ssrc::new(u32::from(n)), 0),
            downlink: AudioFormat { sample_rate: SampleRate::HZ_24000, ..UPLINK },
        }
    }

    fn seconds(seconds: u64) -> Moment {
        Moment::from_millis(seconds * 1000)
    }

    fn hello() -> DeviceMessage {
        DeviceMessage::Hello(DeviceHello::new(UPLINK, Features::default()))
    }

    fn listen() -> DeviceMessage {
        let session_id = Some("session-1".to_owned());
        DeviceMessage::Listen(Listen {
            session_id,
            state: ListenState::Start,
            mode: None,
            text: None,
        })
    }

    fn goodbye() -> DeviceMessage {
        DeviceMessage::Goodbye(Goodbye::default())
    }

    /// A session, and how many grants it was given.
    struct Fixture {
        session: GatewaySession,
        grants: u8,
    }

    impl Fixture {
        fn connected() -> Self {
            let session = GatewaySession::connected(
                Moment::START,
                KEEP_ALIVE,
                AUDIO_TIMEOUT,
                &mut Vec::new(),
            );
            Self { session, grants: 0 }
        }

        fn open() -> Self {
            let mut fixture = Self::connected();
            fixture.says(0, hello());
            fixture
        }

        fn says(&mut self, second: u64, message: DeviceMessage) -> Vec<GatewayEvent> {
            let mut events = Vec::new();
            let grants = &mut self.grants;
            let next = |_| {
                *grants += 1;
                Ok(grant(*grants))
            };
            self.session.heard(seconds(second));
            self.session.message(seconds(second), message, next, &mut events);
            events
        }

        fn tick(&mut self, second: u64) -> Vec<GatewayEvent> {
            let mut events = Vec::new();
            self.session.tick(seconds(second), &mut events);
            events
        }
    }

    fn opened(n: u8) -> [GatewayEvent; 2] {
        [
            GatewayEvent::AudioOpened { grant: grant(n), uplink: UPLINK },
            GatewayEvent::Send(GatewayMessage::Hello(grant(n).to_hello())),
        ]
    }

    fn sends_goodbye(session_id: &str) -> GatewayEvent {
        let goodbye = Goodbye { session_id: Some(session_id.to_owned()) };
        GatewayEvent::Send(GatewayMessage::Goodbye(goodbye))
    }

    #[test]
    fn hello_is_granted_and_a_repeated_one_gets_a_fresh_grant_and_ends_the_old_session() {
        let mut fixture = Fixture::connected();
        assert_eq!(fixture.says(0, hello()), opened(1));
        let mut expected = vec![GatewayEvent::AudioClosed(SessionEnd::Renegotiated)];
        expected.extend(opened(2));
        assert_eq!(fixture.says(1, hello()), expected);
    }

    #[test]
    fn a_hello_that_cannot_be_served_is_answered_with_an_error_and_keeps_the_session() {
        let mut fixture = Fixture::open();
        let DeviceMessage::Hello(mut wrong) = hello() else { unreachable!() };
        wrong.version = 1;
        let events = fixture.says(1, DeviceMessage::Hello(wrong));
        assert!(matches!(&events[..], [GatewayEvent::Send(GatewayMessage::Error(error))]
            if error.message == "hello: version is `1`, only `3` is served"));
        assert_eq!(fixture.says(2, listen()), [GatewayEvent::Forward(listen())]);

        let mut events = Vec::new();
        let full = |_| Err("full".to_owned());
        fixture.session.message(seconds(3), hello(), full, &mut events);
        let refusal = ErrorMessage { message: "full".to_owned() };
        assert_eq!(events, [GatewayEvent::Send(GatewayMessage::Error(refusal))]);
    }

    #[test]
    fn outside_a_session_everything_but_hello_and_goodbye_is_answered_with_goodbye() {
        let mut fixture = Fixture::connected();
        assert_eq!(fixture.says(0, listen()), [sends_goodbye("session-1")]);
        assert_eq!(fixture.says(0, goodbye()), []);
        let unasked = Mcp { session_id: None, payload: serde_json::json!({"id": 5, "result": {}}) };
        let unnamed = GatewayMessage::Goodbye(Goodbye::default());
        assert_eq!(fixture.says(0, DeviceMessage::Mcp(unasked)), [GatewayEvent::Send(unnamed)]);
    }

    #[test]
    fn goodbye_ends_the_session_from_either_side() {
        let mut fixture = Fixture::open();
        assert_eq!(
            fixture.says(1, goodbye()),
            [GatewayEvent::AudioClosed(SessionEnd::DeviceGoodbye)]
        );

        let mut fixture = Fixture::open();
        let mut events = Vec::new();
        fixture.session.shutdown(&mut events);
        fixture.session.disconnected(&mut events);
        assert_eq!(
            events,
            [sends_goodbye("session-1"), GatewayEvent::AudioClosed(SessionEnd::Shutdown)]
        );
    }

    #[test]
    fn tools_are_asked_for_after_initialize_is_answered() {
        let mut events = Vec::new();
        let mut session =
            GatewaySession::connected(Moment::START, KEEP_ALIVE, AUDIO_TIMEOUT, &mut events);
        let methods = |events: &[GatewayEvent]| -> Vec<String> {
            let method = |event: &GatewayEvent| match event {
                GatewayEvent::Send(GatewayMessage::Mcp(mcp)) => mcp.payload["method"].to_string(),
                other => format!("{other:?}"),
            };
            events.iter().map(method).collect()
        };
        assert_eq!(methods(&events), ["\"initialize\""]);
        let payload = mcp::answer(&mcp::initialize(mcp::FIRST_REQUEST_ID)).unwrap();
        let answer = DeviceMessage::Mcp(Mcp { session_id: None, payload });
        events.clear();
        session.message(Moment::START, answer, |_| Err(String::new()), &mut events);
        assert_eq!(methods(&events), ["\"notifications/initialized\"", "\"tools/list\""]);
    }

    #[test]
    fn a_device_not_heard_for_one_and_a_half_keep_alives_is_dropped() {
        let mut fixture = Fixture::connected();
        fixture.says(100, goodbye());
        assert_eq!(fixture.session.next_deadline(), Some(seconds(460)));
        assert_eq!(fixture.tick(459), []);
        let dropped = GatewayEvent::Disconnect(DisconnectReason::KeepAlive(Duration::from_mins(6)));
        assert_eq!(fixture.tick(460), [dropped]);
        let forever = GatewaySession::connected(
            Moment::START,
            Duration::ZERO,
            AUDIO_TIMEOUT,
            &mut Vec::new(),
        );
        assert_eq!(forever.next_deadline(), None);
    }

    #[test]
    fn a_session_without_audio_for_120_seconds_is_ended_with_goodbye() {
        let mut fixture = Fixture::open();
        fixture.session.packet(seconds(50));
        assert_eq!(fixture.tick(169), []);
        assert_eq!(
            fixture.tick(170),
            [sends_goodbye("session-1"), GatewayEvent::AudioClosed(SessionEnd::Silence)]
        );
    }
}
