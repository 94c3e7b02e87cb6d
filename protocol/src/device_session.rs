//! The device's end of the conversation, as the firmware holds it.
//!
//! ```text
//! Offline ──connected──▶ Idle ──open_audio──▶ AwaitingHello ──hello──▶ Open
//!    ▲                    ▲                        │ timeout, error      │ goodbye, silence
//!    └──disconnected──────┴────────────────────────┴─────────────────────┘
//! ```
//! Facts go in with the time they happened, events come out in the order in which they must be
//! acted on. UDP is only ever renegotiated through MQTT. A goodbye from the gateway is not answered.

use std::fmt;
use std::time::Duration;

use crate::Moment;
use crate::control::{
    Abort, AudioFormat, AudioGrant, DeviceHello, DeviceMessage, Features, GatewayMessage, Goodbye,
    HelloError, Listen, ListenMode, ListenState, Mcp, TtsState,
};
use crate::mcp;

/// How long a device waits. The defaults are the firmware's.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct DeviceTimeouts {
    /// From sending hello to its answer; 10 s.
    pub hello: Duration,
    /// From the last incoming media packet to giving up the audio session; 120 s.
    pub audio: Duration,
    /// From losing the MQTT connection to connecting again; 60 s.
    pub reconnect: Duration,
}

impl Default for DeviceTimeouts {
    fn default() -> Self {
        Self {
            hello: Duration::from_secs(10),
            audio: Duration::from_mins(2),
            reconnect: Duration::from_mins(1),
        }
    }
}

/// What the caller must do, or may want to know.
#[derive(Clone, Debug, PartialEq)]
pub enum DeviceEvent {
    /// Publish this.
    Send(DeviceMessage),
    /// Start sending and receiving audio.
    AudioOpened(AudioGrant),
    /// Stop sending and receiving audio.
    AudioClosed(AudioEnd),
    /// The gateway's speech begins, goes on with a sentence, or has ended.
    Speech(TtsState),
    /// There will be no audio session from this hello.
    HelloFailed(HelloFailure),
    /// Connect to MQTT again.
    Reconnect,
}

/// Why an audio session ended.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum AudioEnd {
    /// The device said goodbye.
    HungUp,
    /// The gateway said goodbye.
    GatewayGoodbye,
    /// No media packet came for the audio timeout.
    Silence,
    /// The MQTT connection was lost.
    ConnectionLost,
    /// The device sent a new hello.
    Renegotiated,
}

impl fmt::Display for AudioEnd {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::HungUp => "the device hung up",
            Self::GatewayGoodbye => "the gateway said goodbye",
            Self::Silence => "no audio came until the timeout",
            Self::ConnectionLost => "the MQTT connection was lost",
            Self::Renegotiated => "the device sent a new hello",
        })
    }
}

/// Why a hello led to no audio session.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum HelloFailure {
    /// No answer within the hello timeout.
    Timeout(Duration),
    /// The gateway answered with an error; carries its message.
    Refused(String),
    /// The gateway's hello cannot be used.
    Unusable(HelloError),
    /// The MQTT connection was lost before an answer came.
    ConnectionLost,
}

impl fmt::Display for HelloFailure {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Timeout(waited) => write!(f, "hello was not answered within {waited:?}"),
            Self::Refused(message) => write!(f, "hello was refused: {message}"),
            Self::Unusable(error) => write!(f, "the gateway's answer cannot be used: {error}"),
            Self::ConnectionLost => {
                f.write_str("the MQTT connection was lost before hello was answered")
            }
        }
    }
}

impl std::error::Error for HelloFailure {}

/// The state of one device.
#[derive(Debug)]
pub struct DeviceSession {
    timeouts: DeviceTimeouts,
    uplink: AudioFormat,
    features: Features,
    state: State,
}

#[derive(Debug)]
enum State {
    Offline { reconnect_at: Option<Moment> },
    Idle,
    AwaitingHello { deadline: Moment },
    Open { session_id: String, last_packet: Moment },
}

impl DeviceSession {
    /// A device that is not connected yet.
    pub fn new(uplink: AudioFormat, features: Features, timeouts: DeviceTimeouts) -> Self {
        Self { timeouts, uplink, features, state: State::Offline { reconnect_at: None } }
    }

    /// The MQTT connection was accepted.
    pub fn connected(&mut self) {
        self.state = State::Idle;
    }

    /// The MQTT connection is gone.
    pub fn disconnected(&mut self, now: Moment, events: &mut Vec<DeviceEvent>) {
        let reconnect_at = Some(now + self.timeouts.reconnect);
        match std::mem::replace(&mut self.state, State::Offline { reconnect_at }) {
            State::AwaitingHello { .. } => {
                events.push(DeviceEvent::HelloFailed(HelloFailure::ConnectionLost));
            }
            State::Open { .. } => {
                events.push(DeviceEvent::AudioClosed(AudioEnd::ConnectionLost));
            }
            State::Offline { .. } | State::Idle => {}
        }
    }

    /// The user wants to talk: asks for an audio session, giving up the one that is open.
    /// Does nothing while offline.
    pub fn open_audio(&mut self, now: Moment, events: &mut Vec<DeviceEvent>) {
        match self.state {
            State::Offline { .. } => return,
            State::Open { .. } => events.push(DeviceEvent::AudioClosed(AudioEnd::Renegotiated)),
            State::Idle | State::AwaitingHello { .. } => {}
        }
        self.state = State::AwaitingHello { deadline: now + self.timeouts.hello };
        let hello = DeviceHello::new(self.uplink, self.features);
        events.push(DeviceEvent::Send(DeviceMessage::Hello(hello)));
    }

    /// The user has finished: says goodbye and ends the audio session, if there is one.
    pub fn close_audio(&mut self, events: &mut Vec<DeviceEvent>) {
        if let State::Open { session_id, .. } = &mut self.state {
            let goodbye = Goodbye { session_id: Some(std::mem::take(session_id)) };
            self.state = State::Idle;
            events.push(DeviceEvent::Send(DeviceMessage::Goodbye(goodbye)));
            events.push(DeviceEvent::AudioClosed(AudioEnd::HungUp));
        }
    }

    /// The microphone opens, by a button, or closes. Does nothing outside an audio session.
    pub fn listen(&self, state: ListenState, events: &mut Vec<DeviceEvent>) {
        if let State::Open { session_id, .. } = &self.state {
            let mode = (state == ListenState::Start).then_some(ListenMode::Manual);
            let session_id = Some(session_id.clone());
            let listen = Listen { session_id, state, mode, text: None };
            events.push(DeviceEvent::Send(DeviceMessage::Listen(listen)));
        }
    }

    /// The user interrupts what is being spoken. Does nothing outside an audio session.
    pub fn abort(&self, events: &mut Vec<DeviceEvent>) {
        if let State::Open { session_id, .. } = &self.state {
            let reason = Some("wake_word_detected".to_owned());
            let abort = Abort { session_id: Some(session_id.clone()), reason };
            events.push(DeviceEvent::Send(DeviceMessage::Abort(abort)));
        }
    }

    /// The gateway published something for this device.
    pub fn message(&mut self, now: Moment, message: GatewayMessage, events: &mut Vec<DeviceEvent>) {
        match message {
            GatewayMessage::Hello(hello) => {
                // Only an awaited hello counts: an unasked one would move the audio elsewhere.
                if matches!(self.state, State::AwaitingHello { .. }) {
                    self.answered(now, hello.check(), events);
                }
            }
            GatewayMessage::Error(error) => {
                if matches!(self.state, State::AwaitingHello { .. }) {
                    self.state = State::Idle;
                    let failure = HelloFailure::Refused(error.message);
                    events.push(DeviceEvent::HelloFailed(failure));
                }
            }
            GatewayMessage::Goodbye(goodbye) => {
                if let State::Open { session_id, .. } = &self.state
                    && goodbye.session_id.as_ref().is_none_or(|named| named == session_id)
                {
                    self.state = State::Idle;
                    events.push(DeviceEvent::AudioClosed(AudioEnd::GatewayGoodbye));
                }
            }
            GatewayMessage::Mcp(request) => {
                if let Some(payload) = mcp::answer(&request.payload).filter(|_| self.features.mcp) {
                    let answer = Mcp { session_id: request.session_id, payload };
                    events.push(DeviceEvent::Send(DeviceMessage::Mcp(answer)));
                }
            }
            GatewayMessage::Tts(tts) => {
                if self.is_open() {
                    events.push(DeviceEvent::Speech(tts.state));
                }
            }
            GatewayMessage::Stt(_) | GatewayMessage::Llm(_) | GatewayMessage::Unknown(_) => {}
        }
    }

    fn answered(
        &mut self,
        now: Moment,
        grant: Result<AudioGrant, HelloError>,
        events: &mut Vec<DeviceEvent>,
    ) {
        match grant {
            Ok(grant) => {
                let session_id = grant.session_id.clone();
                self.state = State::Open { session_id, last_packet: now };
                events.push(DeviceEvent::AudioOpened(grant));
            }
            Err(error) => {
                self.state = State::Idle;
                events.push(DeviceEvent::HelloFailed(HelloFailure::Unusable(error)));
            }
        }
    }

    /// A media packet of this session arrived at `at`.
    pub fn packet(&mut self, at: Moment) {
        if let State::Open { last_packet, .. } = &mut self.state {
            *last_packet = at.max(*last_packet);
        }
    }

    /// Time has passed; call at [`DeviceSession::next_deadline`] or later.
    pub fn tick(&mut self, now: Moment, events: &mut Vec<DeviceEvent>) {
        if self.next_deadline().is_none_or(|deadline| now < deadline) {
            return;
        }
        match std::mem::replace(&mut self.state, State::Idle) {
            State::Offline { .. } => {
                self.state = State::Offline { reconnect_at: None };
                events.push(DeviceEvent::Reconnect);
            }
            State::AwaitingHello { .. } => {
                let failure = HelloFailure::Timeout(self.timeouts.hello);
                events.push(DeviceEvent::HelloFailed(failure));
            }
            State::Open { session_id, .. } => {
                let goodbye = Goodbye { session_id: Some(session_id) };
                events.push(DeviceEvent::Send(DeviceMessage::Goodbye(goodbye)));
                events.push(DeviceEvent::AudioClosed(AudioEnd::Silence));
            }
            State::Idle => {}
        }
    }

    /// When [`DeviceSession::tick`] has something to do, unless something happens before.
    pub fn next_deadline(&self) -> Option<Moment> {
        match self.state {
            State::Offline { reconnect_at } => reconnect_at,
            State::Idle => None,
            State::AwaitingHello { deadline } => Some(deadline),
            State::Open { last_packet, .. } => Some(last_packet + self.timeouts.audio),
        }
    }

    /// Whether there is an audio session.
    pub fn is_open(&self) -> bool {
        matches!(self.state, State::Open { .. })
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::cipher::{MediaKey, NonceTemplate};
    use crate::control::{ErrorMessage, Tts};
    use crate::{FrameDuration, SampleRate, Ssrc};

    const UPLINK: AudioFormat =
        AudioFormat { sample_rate: SampleRate::HZ_16000, frame: FrameDuration::MS_60 };

    fn grant(session_id: &str) -> AudioGrant {
        AudioGrant {
            session_id: session_id.to_owned(),
            server: "127.0.0.1".to_owned(),
            port: 8884,
            key: MediaKey::new([1; 16]),
            nonce: NonceTemplate::new(Ssrc::new(7), 0),
            downlink: AudioFormat { sample_rate: SampleRate::HZ_24000, ..UPLINK },
        }
    }

    fn seconds(seconds: u64) -> Moment {
        Moment::from_millis(seconds * 1000)
    }

    fn goodbye(session_id: Option<&str>) -> Goodbye {
        Goodbye { session_id: session_id.map(str::to_owned) }
    }

    enum Step {
        Connected,
        Disconnected,
        OpenAudio,
        CloseAudio,
        Listen(ListenState),
        Abort,
        Says(Box<GatewayMessage>),
        Packet,
        Tick,
    }
    use Step::*;

    /// Runs `(second, step)` pairs and returns the events of the last step.
    fn after(steps: Vec<(u64, Step)>) -> Vec<DeviceEvent> {
        let features = Features { mcp: true, aec: false };
        let mut session = DeviceSession::new(UPLINK, features, DeviceTimeouts::default());
        let mut events = Vec::new();
        for (second, step) in steps {
            let now = seconds(second);
            events.clear();
            match step {
                Connected => session.connected(),
                Disconnected => session.disconnected(now, &mut events),
                OpenAudio => session.open_audio(now, &mut events),
                CloseAudio => session.close_audio(&mut events),
                Listen(state) => session.listen(state, &mut events),
                Abort => session.abort(&mut events),
                Says(message) => session.message(now, *message, &mut events),
                Packet => session.packet(now),
                Tick => session.tick(now, &mut events),
            }
        }
        events
    }

    fn says(message: GatewayMessage) -> Step {
        Says(Box::new(message))
    }

    fn granted(session_id: &str) -> Step {
        says(GatewayMessage::Hello(grant(session_id).to_hello()))
    }

    fn sent_hello() -> DeviceEvent {
        let features = Features { mcp: true, aec: false };
        DeviceEvent::Send(DeviceMessage::Hello(DeviceHello::new(UPLINK, features)))
    }

    #[test]
    fn a_call_is_opened_by_hello_and_closed_by_goodbye() {
        assert_eq!(after(vec![(0, Connected), (1, OpenAudio)]), [sent_hello()]);
        assert_eq!(
            after(vec![(0, Connected), (1, OpenAudio), (1, granted("s"))]),
            [DeviceEvent::AudioOpened(grant("s"))]
        );
        assert_eq!(
            after(vec![(0, Connected), (1, OpenAudio), (1, granted("s")), (5, CloseAudio)]),
            [
                DeviceEvent::Send(DeviceMessage::Goodbye(goodbye(Some("s")))),
                DeviceEvent::AudioClosed(AudioEnd::HungUp)
            ]
        );
    }

    #[test]
    fn a_turn_is_listening_and_being_spoken_to_within_a_session() {
        let open = || vec![(0, Connected), (1, OpenAudio), (1, granted("s"))];
        let then = |step| after(open().into_iter().chain([(2, step)]).collect());
        let said = |message: serde_json::Value| -> Vec<DeviceEvent> {
            let message = DeviceMessage::parse(message.to_string().as_bytes()).unwrap();
            vec![DeviceEvent::Send(message)]
        };
        let json =
            |state: &str| serde_json::json!({"type": "listen", "session_id": "s", "state": state});
        let mut start = json("start");
        start["mode"] = "manual".into();
        assert_eq!(then(Listen(ListenState::Start)), said(start));
        assert_eq!(then(Listen(ListenState::Stop)), said(json("stop")));
        let abort = serde_json::json!(
            {"type": "abort", "session_id": "s", "reason": "wake_word_detected"}
        );
        assert_eq!(then(Abort), said(abort));
        let tts = || GatewayMessage::Tts(Tts { state: TtsState::Stop, text: None });
        assert_eq!(then(says(tts())), [DeviceEvent::Speech(TtsState::Stop)]);
        // Outside a session nobody listens.
        for step in [Listen(ListenState::Stop), Abort, says(tts())] {
            assert_eq!(after(vec![(0, Connected), (1, step)]), []);
        }
    }

    #[test]
    fn hello_times_out_after_ten_seconds_and_may_be_repeated() {
        let asked = || vec![(0, Connected), (1, OpenAudio)];
        let then = |steps: Vec<(u64, Step)>| after(asked().into_iter().chain(steps).collect());
        assert_eq!(then(vec![(10, Tick)]), []);
        let timeout = HelloFailure::Timeout(Duration::from_secs(10));
        assert_eq!(then(vec![(11, Tick)]), [DeviceEvent::HelloFailed(timeout)]);
        assert_eq!(then(vec![(11, Tick), (12, OpenAudio)]), [sent_hello()]);
        assert_eq!(then(vec![(11, Tick), (12, granted("late"))]), [], "too late to count");
    }

    #[test]
    fn a_refused_or_unusable_hello_says_why() {
        let refusal = ErrorMessage { message: "full".to_owned() };
        assert_eq!(
            after(vec![(0, Connected), (1, OpenAudio), (1, says(GatewayMessage::Error(refusal)))]),
            [DeviceEvent::HelloFailed(HelloFailure::Refused("full".to_owned()))]
        );
        let mut hello = grant("s").to_hello();
        hello.udp.key = "short".to_owned();
        let events =
            after(vec![(0, Connected), (1, OpenAudio), (1, says(GatewayMessage::Hello(hello)))]);
        assert!(matches!(events[..], [DeviceEvent::HelloFailed(HelloFailure::Unusable(_))]));
    }

    #[test]
    fn goodbye_from_the_gateway_ends_the_named_session_unanswered() {
        let open = || vec![(0, Connected), (1, OpenAudio), (1, granted("s"))];
        let then = |message| after(open().into_iter().chain([(2, says(message))]).collect());
        let ended = [DeviceEvent::AudioClosed(AudioEnd::GatewayGoodbye)];
        assert_eq!(then(GatewayMessage::Goodbye(goodbye(Some("s")))), ended);
        assert_eq!(then(GatewayMessage::Goodbye(goodbye(None))), ended);
        assert_eq!(then(GatewayMessage::Goodbye(goodbye(Some("other")))), []);
    }

    #[test]
    fn a_repeated_hello_replaces_the_session() {
        let again = vec![(0, Connected), (1, OpenAudio), (1, granted("s")), (2, OpenAudio)];
        let expected = [DeviceEvent::AudioClosed(AudioEnd::Renegotiated), sent_hello()];
        assert_eq!(after(again), expected);
    }

    #[test]
    fn silence_for_120_seconds_ends_the_session_and_packets_postpone_it() {
        let open = || vec![(0, Connected), (1, OpenAudio), (1, granted("s"))];
        let then = |steps: Vec<(u64, Step)>| after(open().into_iter().chain(steps).collect());
        assert_eq!(then(vec![(120, Tick)]), []);
        assert_eq!(then(vec![(121, Tick)])[1], DeviceEvent::AudioClosed(AudioEnd::Silence));
        assert_eq!(then(vec![(100, Packet), (121, Tick)]), []);
        assert_eq!(
            then(vec![(100, Packet), (220, Tick)])[1],
            DeviceEvent::AudioClosed(AudioEnd::Silence)
        );
    }

    #[test]
    fn a_lost_connection_ends_everything_and_is_renewed_after_60_seconds() {
        let lost = |steps: Vec<(u64, Step)>| {
            after([(0, Connected)].into_iter().chain(steps).chain([(5, Disconnected)]).collect())
        };
        assert_eq!(lost(vec![]), []);
        assert_eq!(
            lost(vec![(1, OpenAudio)]),
            [DeviceEvent::HelloFailed(HelloFailure::ConnectionLost)]
        );
        assert_eq!(
            lost(vec![(1, OpenAudio), (1, granted("s"))]),
            [DeviceEvent::AudioClosed(AudioEnd::ConnectionLost)]
        );
        assert_eq!(after(vec![(0, Connected), (5, Disconnected), (64, Tick)]), []);
        assert_eq!(
            after(vec![(0, Connected), (5, Disconnected), (65, Tick)]),
            [DeviceEvent::Reconnect]
        );
        assert_eq!(after(vec![(0, Connected), (5, Disconnected), (65, Tick), (66, Tick)]), []);
    }

    #[test]
    fn mcp_requests_are_answered_in_any_state_but_offline_hello_is_not_sent() {
        let request = Mcp { session_id: None, payload: mcp::initialize(10_000) };
        let events = after(vec![(0, Connected), (0, says(GatewayMessage::Mcp(request)))]);
        assert!(matches!(&events[..], [DeviceEvent::Send(DeviceMessage::Mcp(answer))]
            if mcp::answered_id(&answer.payload) == Some(10_000)));
        assert_eq!(after(vec![(0, OpenAudio)]), []);
    }
}
