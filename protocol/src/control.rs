//! Control messages: JSON objects over MQTT, in both directions.
//!
//! Fields that are not ours are ignored, types that are not ours are carried through whole
//! ([`Unknown`]), and a known type of the wrong shape is refused with the reason.
//! Source: 78/xiaozhi-esp32 `docs/mqtt-udp.md`.

use std::fmt;

use serde::de::DeserializeOwned;
use serde::{Deserialize, Serialize};
use serde_json::{Map, Value};

pub use crate::hello::{
    AUDIO_FORMAT, AudioFormat, AudioGrant, AudioParams, DeviceHello, ENCRYPTION, Features,
    GatewayHello, HELLO_VERSION, HelloError, TRANSPORT, UdpGrant,
};

/// The topic on which devices publish, unless their gateway says otherwise.
pub const DEVICE_TOPIC: &str = "device-server";

/// What a device says.
#[derive(Clone, Debug, PartialEq)]
pub enum DeviceMessage {
    /// Asks for an audio session.
    Hello(DeviceHello),
    /// Starts or stops listening to the user.
    Listen(Listen),
    /// Interrupts what is being spoken.
    Abort(Abort),
    /// A JSON-RPC message of the Model Context Protocol.
    Mcp(Mcp),
    /// Ends the audio session.
    Goodbye(Goodbye),
    /// A type that this crate does not know.
    Unknown(Unknown),
}

/// What a gateway says.
#[derive(Clone, Debug, PartialEq)]
pub enum GatewayMessage {
    /// Grants an audio session.
    Hello(GatewayHello),
    /// What was understood.
    Stt(Text),
    /// What the model feels.
    Llm(Llm),
    /// Speech begins, continues with a sentence, or ends.
    Tts(Tts),
    /// A JSON-RPC message of the Model Context Protocol.
    Mcp(Mcp),
    /// Ends the audio session; not answered.
    Goodbye(Goodbye),
    /// A hello cannot be served.
    Error(ErrorMessage),
    /// A type that this crate does not know, `system` and `alert` among them.
    Unknown(Unknown),
}

/// A device starts or stops listening.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Listen {
    /// The session, where the device names it.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub session_id: Option<String>,
    /// What happened.
    pub state: ListenState,
    /// How the end of speech is found; sent with [`ListenState::Start`].
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub mode: Option<ListenMode>,
    /// The wake word; sent with [`ListenState::Detect`].
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub text: Option<String>,
}

/// What happened to listening.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum ListenState {
    /// The microphone opens.
    Start,
    /// The microphone closes.
    Stop,
    /// The wake word was heard.
    Detect,
}

/// How the end of speech is found.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum ListenMode {
    /// By the gateway.
    Auto,
    /// By a button.
    Manual,
    /// Never: the microphone stays open while speech is played.
    Realtime,
}

/// A device interrupts what is being spoken.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Abort {
    /// The session, where the device names it.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub session_id: Option<String>,
    /// For example `wake_word_detected`.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub reason: Option<String>,
}

/// A JSON-RPC 2.0 message, either way.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Mcp {
    /// The session, where the sender names it.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub session_id: Option<String>,
    /// The JSON-RPC message.
    pub payload: Value,
}

/// The end of an audio session, from either side.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Goodbye {
    /// The session, where the sender names it.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub session_id: Option<String>,
}

/// One line of text.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Text {
    /// The line.
    pub text: String,
}

/// What the model feels.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Llm {
    /// For example `happy`.
    pub emotion: String,
    /// Usually an emoji.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub text: Option<String>,
}

/// Speech begins, continues with a sentence, or ends.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Tts {
    /// What happened.
    pub state: TtsState,
    /// The sentence; sent with [`TtsState::SentenceStart`].
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub text: Option<String>,
}

/// What happened to speech.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum TtsState {
    /// Speech begins.
    Start,
    /// A sentence begins.
    SentenceStart,
    /// Speech has ended.
    Stop,
}

/// A hello cannot be served.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct ErrorMessage {
    /// Why, for people.
    pub message: String,
}

/// A message of a type that this crate does not know, whole.
#[derive(Clone, Debug, PartialEq)]
pub struct Unknown {
    /// Its `type`.
    pub kind: String,
    /// All of it, `type` included.
    pub body: Map<String, Value>,
}

/// Bytes that are no control message.
#[derive(Debug)]
pub enum ControlError {
    /// Not JSON.
    NotJson(serde_json::Error),
    /// JSON, but not an object with a `type` of text.
    NoType,
    /// A known type of the wrong shape.
    WrongShape {
        /// The `type`.
        kind: String,
        /// Which field, and what was expected of it.
        reason: serde_json::Error,
    },
}

impl fmt::Display for ControlError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::NotJson(reason) => write!(f, "control message is not a JSON object: {reason}"),
            Self::NoType => f.write_str("control message has no `type` of text"),
            Self::WrongShape { kind, reason } => write!(f, "control message `{kind}`: {reason}"),
        }
    }
}

impl std::error::Error for ControlError {
    fn source(&self) -> Option<&(dyn std::error::Error + 'static)> {
        match self {
            Self::NotJson(reason) | Self::WrongShape { reason, .. } => Some(reason),
            Self::NoType => None,
        }
    }
}

impl DeviceMessage {
    /// Reads a message as it was published.
    ///
    /// # Errors
    /// [`ControlError`] when the bytes are no control message.
    pub fn parse(bytes: &[u8]) -> Result<Self, ControlError> {
        let (kind, body) = split(bytes)?;
        Ok(match kind.as_str() {
            "hello" => Self::Hello(shape(kind, body)?),
            "listen" => Self::Listen(shape(kind, body)?),
            "abort" => Self::Abort(shape(kind, body)?),
            "mcp" => Self::Mcp(shape(kind, body)?),
            "goodbye" => Self::Goodbye(shape(kind, body)?),
            _ => Self::Unknown(Unknown { kind, body }),
        })
    }

    /// The message as it is published.
    pub fn to_json(&self) -> String {
        match self {
            Self::Hello(body) => tagged("hello", body),
            Self::Listen(body) => tagged("listen", body),
            Self::Abort(body) => tagged("abort", body),
            Self::Mcp(body) => tagged("mcp", body),
            Self::Goodbye(body) => tagged("goodbye", body),
            Self::Unknown(unknown) => unknown.to_json(),
        }
    }

    /// The session that the message names.
    pub fn session_id(&self) -> Option<&str> {
        match self {
            Self::Listen(Listen { session_id, .. })
            | Self::Abort(Abort { session_id, .. })
            | Self::Mcp(Mcp { session_id, .. })
            | Self::Goodbye(Goodbye { session_id }) => session_id.as_deref(),
            Self::Unknown(unknown) => unknown.body.get("session_id").and_then(Value::as_str),
            Self::Hello(_) => None,
        }
    }
}

impl GatewayMessage {
    /// Reads a message as it was published.
    ///
    /// # Errors
    /// [`ControlError`] when the bytes are no control message.
    pub fn parse(bytes: &[u8]) -> Result<Self, ControlError> {
        let (kind, body) = split(bytes)?;
        Ok(match kind.as_str() {
            "hello" => Self::Hello(shape(kind, body)?),
            "stt" => Self::Stt(shape(kind, body)?),
            "llm" => Self::Llm(shape(kind, body)?),
            "tts" => Self::Tts(shape(kind, body)?),
            "mcp" => Self::Mcp(shape(kind, body)?),
            "goodbye" => Self::Goodbye(shape(kind, body)?),
            "error" => Self::Error(shape(kind, body)?),
            _ => Self::Unknown(Unknown { kind, body }),
        })
    }

    /// The message as it is published.
    pub fn to_json(&self) -> String {
        match self {
            Self::Hello(body) => tagged("hello", body),
            Self::Stt(body) => tagged("stt", body),
            Self::Llm(body) => tagged("llm", body),
            Self::Tts(body) => tagged("tts", body),
            Self::Mcp(body) => tagged("mcp", body),
            Self::Goodbye(body) => tagged("goodbye", body),
            Self::Error(body) => tagged("error", body),
            Self::Unknown(unknown) => unknown.to_json(),
        }
    }
}

impl Unknown {
    fn to_json(&self) -> String {
        to_text(&self.body)
    }
}

fn split(bytes: &[u8]) -> Result<(String, Map<String, Value>), ControlError> {
    let body: Map<String, Value> = serde_json::from_slice(bytes).map_err(ControlError::NotJson)?;
    match body.get("type") {
        Some(Value::String(kind)) => Ok((kind.clone(), body)),
        _ => Err(ControlError::NoType),
    }
}

fn shape<T: DeserializeOwned>(kind: String, body: Map<String, Value>) -> Result<T, ControlError> {
    serde_json::from_value(Value::Object(body))
        .map_err(|reason| ControlError::WrongShape { kind, reason })
}

fn tagged(kind: &str, body: &impl Serialize) -> String {
    #[derive(Serialize)]
    struct Tagged<'a, T> {
        r#type: &'a str,
        #[serde(flatten)]
        body: &'a T,
    }
    to_text(&Tagged { r#type: kind, body })
}

fn to_text(message: &impl Serialize) -> String {
    serde_json::to_string(message).expect("maps with text keys and plain values become JSON")
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;
    use serde_json::json;

    #[test]
    fn the_firmwares_messages_are_read_and_written_back() {
        for message in [
            json!({"type": "hello", "version": 3, "transport": "udp",
                   "features": {"mcp": true, "aec": false},
                   "audio_params": {"format": "opus", "sample_rate": 16000, "channels": 1, "frame_duration": 60}}),
            json!({"type": "listen", "session_id": "s", "state": "start", "mode": "auto"}),
            json!({"type": "listen", "session_id": "s", "state": "detect", "text": "hi"}),
            json!({"type": "abort", "session_id": "s", "reason": "wake_word_detected"}),
            json!({"type": "mcp", "session_id": "s", "payload": {"jsonrpc": "2.0", "id": 1, "result": {}}}),
            json!({"type": "goodbye", "session_id": "s"}),
            json!({"type": "telemetry", "battery": 80}),
        ] {
            let parsed = DeviceMessage::parse(message.to_string().as_bytes()).unwrap();
            let written: Value = serde_json::from_str(&parsed.to_json()).unwrap();
            assert_eq!(written, message);
        }
    }

    #[test]
    fn the_gateways_messages_are_read_and_written_back() {
        for message in [
            json!({"type": "hello", "version": 3, "session_id": "s", "transport": "udp",
                   "udp": {"server": "127.0.0.1", "port": 8884, "encryption": "aes-128-ctr",
                           "key": "00".repeat(16), "nonce": format!("01{}", "00".repeat(15))},
                   "audio_params": {"format": "opus", "sample_rate": 24000, "channels": 1, "frame_duration": 60}}),
            json!({"type": "stt", "text": "hello"}),
            json!({"type": "llm", "emotion": "happy", "text": "🙂"}),
            json!({"type": "tts", "state": "sentence_start", "text": "Good day."}),
            json!({"type": "tts", "state": "stop"}),
            json!({"type": "mcp", "payload": {"jsonrpc": "2.0", "method": "initialize", "id": 10000}}),
            json!({"type": "goodbye", "session_id": "s"}),
            json!({"type": "error", "message": "no"}),
            json!({"type": "system", "command": "reboot"}),
        ] {
            let parsed = GatewayMessage::parse(message.to_string().as_bytes()).unwrap();
            let written: Value = serde_json::from_str(&parsed.to_json()).unwrap();
            assert_eq!(written, message);
        }
    }

    #[test]
    fn unknown_fields_are_tolerated_and_unknown_types_carried_through() {
        let goodbye = br#"{"type":"goodbye","session_id":"s","mood":"sad"}"#;
        let parsed = DeviceMessage::parse(goodbye).unwrap();
        assert_eq!(parsed.session_id(), Some("s"));
        let custom = DeviceMessage::parse(br#"{"type":"iot","session_id":"t"}"#).unwrap();
        assert!(matches!(&custom, DeviceMessage::Unknown(unknown) if unknown.kind == "iot"));
        assert_eq!(custom.session_id(), Some("t"));
    }

    #[test]
    fn wrong_shapes_are_refused_with_the_reason() {
        for (bytes, reason) in [
            ("", "not a JSON object"),
            ("[1]", "not a JSON object"),
            ("{", "not a JSON object"),
            ("{}", "no `type`"),
            (r#"{"type":3}"#, "no `type`"),
            (r#"{"type":"hello"}"#, "`hello`: missing field `version`"),
            (r#"{"type":"hello","version":"3"}"#, "`hello`: invalid type: string \"3\""),
            (
                r#"{"type":"listen","state":"pause"}"#,
                "`listen`: unknown variant `pause`, expected one of `start`",
            ),
        ] {
            let error = DeviceMessage::parse(bytes.as_bytes()).unwrap_err().to_string();
            assert!(error.contains(reason), "{bytes}: {error}");
        }
    }

    proptest! {
        #[test]
        fn parsing_arbitrary_bytes_never_panics(bytes in proptest::collection::vec(any::<u8>(), 0..200)) {
            let _ = DeviceMessage::parse(&bytes);
            let _ = GatewayMessage::parse(&bytes);
        }
    }
}
