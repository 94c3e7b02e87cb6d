//! One connection from CONNECT to its end: moves bytes and time, and does what the protocol says.
//!
//! What MQTT asks for is decided by [`crate::mqtt`], who is let in by [`crate::admission`], and
//! what the messages mean by `protocol::gateway_session`. Nothing is decided here but the order.

use std::convert::Infallible;
use std::future;
use std::sync::Arc;
use std::time::Duration;

use protocol::Moment;
use protocol::control::{DeviceMessage, GatewayMessage};
use protocol::gateway_session::{DisconnectReason, GatewayEvent, GatewaySession, SessionEnd};
use protocol::identity::{ClientId, MacAddress};
use rumqttc::mqttbytes::v4::{Connect, ConnectReturnCode};
use tokio::net::TcpStream;
use tokio::sync::watch;
use tokio::time::{sleep, timeout};

use super::Control;
use super::line::Line;
use crate::admission::{admit, return_code};
use crate::assistant::{Assistant, Outcome, TurnEnd};
use crate::common::Common;
use crate::counters::{CloseCause, EndCause, FaultKind, RefuseCause};
use crate::devices::Claim;
use crate::media_session::MediaSession;
use crate::mqtt::{Request, put_connack, put_message, put_packet, take_connect, take_packet};

/// Serves a new connection to its end.
pub(super) async fn serve(
    stream: TcpStream,
    control: Arc<Control>,
    mut stopping: watch::Receiver<bool>,
) {
    // Where it fails the connection has failed, which the first read will say.
    let _ = stream.set_nodelay(true);
    let mut line = Line::new(stream, control.settings.write_timeout);
    let connect = tokio::select! {
        connect = receive_connect(&mut line, &control) => connect,
        () = stopped(&mut stopping) => Err(RefuseCause::Shutdown),
    };
    let admitted = connect.and_then(|connect| {
        let client = admit(&connect, control.signature_key.as_ref())?;
        Ok((client, Duration::from_secs(connect.keep_alive.into())))
    });
    match admitted {
        Ok((client, keep_alive)) => {
            control.common.counters.connected.add(1);
            Conversation::new(line, control, client, keep_alive).run(stopping).await;
        }
        Err(cause) => {
            control.common.counters.refused.count(cause);
            if let Some(code) = return_code(cause) {
                put_connack(code, &mut line.outgoing);
                line.close_politely().await;
            }
        }
    }
}

async fn receive_connect(line: &mut Line, control: &Control) -> Result<Connect, RefuseCause> {
    let complete = async {
        loop {
            if let Some(connect) = take_connect(&mut line.incoming, control.settings.max_packet)? {
                return Ok(connect);
            }
            match line.fill().await {
                Ok(1..) => {}
                Ok(0) | Err(_) => return Err(RefuseCause::Gone),
            }
        }
    };
    timeout(control.settings.connect_timeout, complete)
        .await
        .unwrap_or(Err(RefuseCause::ConnectTimeout))
}

async fn stopped(stopping: &mut watch::Receiver<bool>) {
    // The sender lives as long as the gateway; without one it has stopped.
    let _ = stopping.wait_for(|stopping| *stopping).await;
}

/// A connected device.
struct Conversation {
    line: Line,
    control: Arc<Control>,
    device: MacAddress,
    topic: String,
    claim: Claim,
    session: GatewaySession,
    /// A hello that is heard later: a fault.
    postponed: Option<(Moment, DeviceMessage)>,
    /// Made by a grant, live when its event is performed.
    prepared: Option<Arc<MediaSession>>,
    audio: Option<Arc<MediaSession>>,
    /// Of a live session whose backend is `assistant`.
    assistant: Option<Assistant>,
    events: Vec<GatewayEvent>,
}

impl Conversation {
    fn new(mut line: Line, control: Arc<Control>, client: ClientId, keep_alive: Duration) -> Self {
        put_connack(ConnectReturnCode::Success, &mut line.outgoing);
        let mut events = Vec::new();
        let session = GatewaySession::connected(
            control.common.clock.now(),
            keep_alive,
            control.audio_timeout,
            &mut events,
        );
        Self {
            line,
            device: client.mac,
            topic: client.mac.reply_topic(),
            claim: control.devices.claim(client),
            control,
            session,
            postponed: None,
            prepared: None,
            audio: None,
            assistant: None,
            events,
        }
    }

    async fn run(mut self, mut stopping: watch::Receiver<bool>) {
        let Err(cause) = self.converse(&mut stopping).await;
        // Whoever sees the connection closed may look at the counters next.
        self.control.common.counters.closed.count(cause);
        if cause == CloseCause::Shutdown {
            self.session.shutdown(&mut self.events);
        } else {
            self.session.disconnected(&mut self.events);
        }
        // The connection ends anyway, so another reason to end it changes nothing.
        let _ = self.perform();
        if cause == CloseCause::Shutdown {
            self.line.close_politely().await;
        }
    }

    async fn converse(
        &mut self,
        stopping: &mut watch::Receiver<bool>,
    ) -> Result<Infallible, CloseCause> {
        loop {
            self.perform()?;
            self.understand()?;
            self.line.flush().await?;
            let wait = self.wait();
            tokio::select! {
                filled = self.line.fill() => match filled {
                    Ok(1..) => {}
                    Ok(0) => return Err(CloseCause::Gone),
                    Err(_) => return Err(CloseCause::SocketFailed),
                },
                () = sleep_if(wait) => self.tick(),
                () = self.claim.taken_over() => return Err(CloseCause::TakenOver),
                () = stopped(stopping) => return Err(CloseCause::Shutdown),
            }
        }
    }

    /// Reads every packet that is complete.
    fn understand(&mut self) -> Result<(), CloseCause> {
        while let Some(packet) =
            take_packet(&mut self.line.incoming, self.control.settings.max_packet)?
        {
            self.session.heard(self.control.common.clock.now());
            match Request::from(packet) {
                Request::Message(payload) => match DeviceMessage::parse(&payload) {
                    Ok(message) => self.hear(message),
                    Err(_) => self.control.common.counters.messages_malformed.add(1),
                },
                Request::Answer(answer) => put_packet(&answer, &mut self.line.outgoing),
                Request::Close(cause) => return Err(cause),
            }
            self.perform()?;
        }
        Ok(())
    }

    /// Passes a message on, or postpones it where a fault wants that.
    fn hear(&mut self, message: DeviceMessage) {
        let Common { clock, counters, .. } = &*self.control.common;
        let delay = self.control.common.faults().hello_delay();
        match delay {
            Some(delay) if matches!(message, DeviceMessage::Hello(_)) => {
                counters.faults.count(FaultKind::HelloDelay);
                self.postponed = Some((clock.now() + delay, message));
            }
            _ => self.heed(message),
        }
    }

    /// Passes a message on, unless a fault has something against it.
    fn heed(&mut self, message: DeviceMessage) {
        let counters = &self.control.common.counters;
        let faults = self.control.common.faults();
        let hello = matches!(message, DeviceMessage::Hello(_));
        if hello && !faults.hears_hello(self.control.sessions.live().len()) {
            counters.faults.count(FaultKind::HelloLimit);
        } else {
            self.message(message);
        }
    }

    fn message(&mut self, message: DeviceMessage) {
        let (sessions, prepared) = (&self.control.sessions, &mut self.prepared);
        let device = self.device;
        let grant = |uplink| {
            let (grant, session) = sessions.prepare(device, uplink)?;
            *prepared = Some(session);
            Ok(grant)
        };
        self.session.message(self.control.common.clock.now(), message, grant, &mut self.events);
    }

    /// Does what the protocol has decided.
    fn perform(&mut self) -> Result<(), CloseCause> {
        let mut forwarded = Vec::new();
        for event in self.events.drain(..) {
            match event {
                GatewayEvent::Send(message) => {
                    if matches!(message, GatewayMessage::Error(_)) {
                        self.control.common.counters.hellos_refused.add(1);
                    }
                    put_message(&self.topic, message.to_json(), &mut self.line.outgoing);
                }
                GatewayEvent::AudioOpened { uplink, .. } => {
                    let session = self.prepared.take().expect("a grant prepares its session");
                    self.assistant = self.control.speech.is_some().then(|| {
                        let settings = self.control.common.backend.assistant.clone();
                        Assistant::new(settings, self.device.device_number(), uplink.frame)
                    });
                    self.control.sessions.open(Arc::clone(&session));
                    self.audio = Some(session);
                }
                GatewayEvent::AudioClosed(why) => {
                    let session = self.audio.take().expect("only an open session is closed");
                    self.assistant = None;
                    self.control.sessions.end(&session, why.into());
                }
                GatewayEvent::Forward(message) => {
                    self.control.common.counters.messages_forwarded.add(1);
                    forwarded.push(message);
                }
                GatewayEvent::Disconnect(DisconnectReason::KeepAlive(_)) => {
                    return Err(CloseCause::KeepAlive);
                }
            }
        }
        for message in forwarded {
            self.assist(|assistant, heard, now, outcomes| {
                assistant.message(&message, heard, now, outcomes);
            });
        }
        Ok(())
    }

    /// Tells the assistant of something, if there is one, and does what it decides.
    fn assist(&mut self, tell: impl FnOnce(&mut Assistant, u64, Moment, &mut Vec<Outcome>)) {
        let (Some(assistant), Some(audio), Some(speech)) =
            (&mut self.assistant, &self.audio, &self.control.speech)
        else {
            return;
        };
        let counters = &self.control.common.counters;
        let now = self.control.common.clock.now();
        let mut outcomes = Vec::new();
        tell(assistant, audio.frames_heard(), now, &mut outcomes);
        for outcome in outcomes {
            match outcome {
                Outcome::Send(message) => {
                    put_message(&self.topic, message.to_json(), &mut self.line.outgoing);
                }
                Outcome::Speak { frames, turn } => {
                    speech.begin(Arc::clone(audio), now, frames, turn);
                }
                Outcome::Silence => audio.silence(),
                Outcome::Ended(how) => {
                    counters.turns.add(1);
                    counters.turns_interrupted.add(u64::from(how == TurnEnd::Interrupted));
                }
            }
        }
    }

    /// How long the protocol has nothing to do unless something happens.
    fn wait(&self) -> Option<Duration> {
        let now = self.control.common.clock.now();
        let postponed = self.postponed.as_ref().map(|(due, _)| *due);
        let assistant = self.assistant.as_ref().and_then(Assistant::next_deadline);
        let deadlines = [self.session.next_deadline(), postponed, assistant];
        let next = deadlines.into_iter().flatten().min();
        next.map(|deadline| deadline.since(now))
    }

    fn tick(&mut self) {
        // Media threads only note when a packet came; here is where it makes a difference.
        if let Some(heard) = self.audio.as_ref().and_then(|session| session.heard()) {
            self.session.packet(heard);
        }
        let now = self.control.common.clock.now();
        if let Some((_, hello)) = self.postponed.take_if(|(due, _)| *due <= now) {
            self.heed(hello);
        }
        self.session.tick(now, &mut self.events);
        self.assist(Assistant::tick);
    }
}

async fn sleep_if(wait: Option<Duration>) {
    match wait {
        Some(wait) => sleep(wait).await,
        None => future::pending().await,
    }
}

impl From<SessionEnd> for EndCause {
    fn from(end: SessionEnd) -> Self {
        match end {
            SessionEnd::DeviceGoodbye => Self::DeviceGoodbye,
            SessionEnd::Renegotiated => Self::Renegotiated,
            SessionEnd::Silence => Self::Silence,
            SessionEnd::ConnectionLost => Self::ConnectionLost,
            SessionEnd::Shutdown => Self::Shutdown,
        }
    }
}
