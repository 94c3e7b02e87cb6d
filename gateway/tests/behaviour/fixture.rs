//! A device on real sockets: says what a test has it say, and waits for answers with a bound.

use std::io::{ErrorKind, Read, Write};
use std::net::{IpAddr, Ipv4Addr, SocketAddr, TcpStream, UdpSocket};
use std::thread;
use std::time::{Duration, Instant};

use bytes::BytesMut;
use codec::{Decoder, Encoder, EncoderSettings};
use gateway::{Backend, CountersSnapshot, Gateway, RunningGateway, Settings};
use protocol::cipher::MediaCipher;
use protocol::control::{
    AudioFormat, AudioGrant, DeviceHello, DeviceMessage, Features, GatewayMessage,
};
use protocol::packet::{HEADER_LEN, Header, MAX_DATAGRAM};
use protocol::{FrameDuration, MediaTimestamp, SampleRate, Sequence};
use rumqttc::mqttbytes::v4::{Connect, ConnectReturnCode, Packet, Publish};
use rumqttc::mqttbytes::{self, QoS};
use serde_json::Value;

pub(crate) const FREE_PORT: SocketAddr = SocketAddr::new(IpAddr::V4(Ipv4Addr::LOCALHOST), 0);

/// How long a test waits for what must happen; never reached when all is well.
pub(crate) const PATIENCE: Duration = Duration::from_secs(10);

/// What every test device sends.
pub(crate) const UPLINK: AudioFormat =
    AudioFormat { sample_rate: SampleRate::HZ_16000, frame: FrameDuration::MS_60 };

pub(crate) const CLIENT_ID: &str = "GID_test@@@aa_bb_cc_dd_ee_ff@@@uuid";

/// A gateway on free ports.
pub(crate) fn start(kind: Backend, change: impl FnOnce(&mut Settings)) -> RunningGateway {
    let mut settings = settings(kind);
    change(&mut settings);
    Gateway::start(settings).expect("a gateway on free ports")
}

/// A gateway on free ports that tells about itself, with settings as in a file.
pub(crate) fn start_telling(kind: Backend, toml: &str) -> RunningGateway {
    let mut settings: Settings = toml::from_str(toml).expect("settings as documented");
    settings.telemetry.listen = Some(FREE_PORT);
    let Settings { control, media, backend, .. } = self::settings(kind);
    Gateway::start(Settings { control, media, backend, ..settings }).expect("free ports")
}

/// The default settings, with free ports.
pub(crate) fn settings(kind: Backend) -> Settings {
    let mut settings = Settings::default();
    settings.control.listen.set_port(0);
    settings.media.listen.set_port(0);
    settings.backend.kind = kind;
    settings
}

/// So many devices, each in a call.
pub(crate) fn callers(mqtt: SocketAddr, count: u8) -> Vec<(Client, Call)> {
    let caller = |number| {
        let mut client = Client::connect(mqtt, &client_id(number));
        let call = client.call();
        (client, call)
    };
    (0..count).map(caller).collect()
}

/// The client id of a device of this number, the last byte of its MAC address.
pub(crate) fn client_id(number: u8) -> String {
    format!("GID_test@@@aa_bb_cc_dd_ee_{number:02x}@@@uuid")
}

/// Asks again and again until there is an answer.
pub(crate) fn until<T>(what: &str, mut answer: impl FnMut() -> Option<T>) -> T {
    let deadline = Instant::now() + 3 * PATIENCE;
    loop {
        if let Some(answer) = answer() {
            return answer;
        }
        assert!(Instant::now() < deadline, "not within {:?}: {what}", 3 * PATIENCE);
        thread::yield_now();
    }
}

/// Waits until the gateway is done with this many frames; what it answered is on its way then.
pub(crate) fn until_settled(gateway: &RunningGateway, frames: u64) {
    let settled = || (gateway.counters().frames_settled == frames).then_some(());
    until(&format!("{frames} frames settled"), settled);
}

/// What the telemetry port answers.
pub(crate) fn get(telemetry: SocketAddr, path: &str) -> Vec<u8> {
    let mut stream = TcpStream::connect(telemetry).expect("the gateway tells");
    stream.set_read_timeout(Some(PATIENCE)).unwrap();
    write!(stream, "GET {path} HTTP/1.1\r\nHost: gateway\r\nConnection: close\r\n\r\n").unwrap();
    let mut head = Vec::new();
    stream.read_to_end(&mut head).expect("a whole answer");
    let end = head.windows(4).position(|bytes| bytes == b"\r\n\r\n").expect("an end of the head");
    let body = head.split_off(end + 4);
    assert!(head.starts_with(b"HTTP/1.1 200 OK\r\n"), "{}", String::from_utf8_lossy(&head));
    body
}

/// All that the gateway tells about itself.
pub(crate) fn status(gateway: &RunningGateway) -> Value {
    let telemetry = gateway.telemetry_addr().expect("it has a telemetry port");
    serde_json::from_slice(&get(telemetry, "/status")).expect("JSON")
}

/// Checks that the counters account for everything, once nothing is under way.
pub(crate) fn assert_accounts_close(counters: &CountersSnapshot) {
    let done = counters.frames_out + counters.frames_heard + counters.dropped.total();
    assert_eq!(counters.frames_in, done, "{counters:?}");
    let admitted = counters.refused.total() + counters.connected;
    assert_eq!(counters.connections, admitted, "{counters:?}");
    assert_eq!(counters.connected, counters.closed.total(), "{counters:?}");
    assert_eq!(counters.sessions_opened, counters.sessions_ended.total(), "{counters:?}");
}

/// The control side of a device.
pub(crate) struct Client {
    stream: TcpStream,
    incoming: BytesMut,
}

impl Client {
    /// A TCP connection and nothing more.
    pub(crate) fn open(to: SocketAddr) -> Self {
        let stream = TcpStream::connect(to).expect("the gateway listens");
        stream.set_read_timeout(Some(PATIENCE)).unwrap();
        stream.set_nodelay(true).unwrap();
        Self { stream, incoming: BytesMut::new() }
    }

    /// Connects as MQTT client and returns the gateway's answer.
    pub(crate) fn try_connect(to: SocketAddr, connect: Connect) -> (Self, ConnectReturnCode) {
        let mut client = Self::open(to);
        client.send(&Packet::Connect(connect));
        match client.next() {
            Some(Packet::ConnAck(answer)) => (client, answer.code),
            other => panic!("CONNECT was answered with {other:?}"),
        }
    }

    /// A device that is let in.
    pub(crate) fn connect(to: SocketAddr, client_id: &str) -> Self {
        let (client, code) = Self::try_connect(to, Connect::new(client_id));
        assert_eq!(code, ConnectReturnCode::Success);
        client
    }

    pub(crate) fn send(&mut self, packet: &Packet) {
        let mut bytes = BytesMut::new();
        packet.write(&mut bytes, usize::MAX).unwrap();
        self.send_bytes(&bytes);
    }

    pub(crate) fn send_bytes(&mut self, bytes: &[u8]) {
        // The gateway may have closed after the first of them.
        let _ = self.stream.write_all(bytes);
    }

    /// Sends `bytes` again and again without reading, until the gateway closes the connection.
    pub(crate) fn flood(&mut self, bytes: &[u8]) {
        self.stream.set_write_timeout(Some(PATIENCE)).unwrap();
        loop {
            match self.stream.write_all(bytes) {
                Ok(()) => {}
                Err(error) if error.kind() == ErrorKind::WouldBlock => {
                    panic!("still connected after {PATIENCE:?}")
                }
                Err(_) => return,
            }
        }
    }

    pub(crate) fn say(&mut self, message: &DeviceMessage) {
        let publish = Publish::new("device-server", QoS::AtMostOnce, message.to_json());
        self.send(&Packet::Publish(publish));
    }

    /// The next packet; `None` when the gateway has closed the connection.
    pub(crate) fn next(&mut self) -> Option<Packet> {
        loop {
            match Packet::read(&mut self.incoming, usize::MAX) {
                Ok(packet) => return Some(packet),
                Err(mqttbytes::Error::InsufficientBytes(_)) => {}
                Err(error) => panic!("the gateway sent no MQTT: {error}"),
            }
            let mut bytes = [0; 4096];
            match self.stream.read(&mut bytes) {
                Ok(0) => return None,
                Ok(len) => self.incoming.extend_from_slice(&bytes[..len]),
                Err(error) if error.kind() == ErrorKind::ConnectionReset => return None,
                Err(error) => panic!("neither an answer nor an end within {PATIENCE:?}: {error}"),
            }
        }
    }

    /// The next packet that is no MCP request, which this device leaves unanswered.
    fn next_but_mcp(&mut self) -> Option<Packet> {
        loop {
            match self.next() {
                Some(Packet::Publish(publish))
                    if matches!(
                        GatewayMessage::parse(&publish.payload),
                        Ok(GatewayMessage::Mcp(_))
                    ) => {}
                other => return other,
            }
        }
    }

    /// The next message.
    pub(crate) fn hear(&mut self) -> GatewayMessage {
        match self.next_but_mcp() {
            Some(Packet::Publish(publish)) => {
                GatewayMessage::parse(&publish.payload).expect("gateways publish messages")
            }
            other => panic!("expected a message, got {other:?}"),
        }
    }

    /// Sends PINGREQ, to which the next packet must be the answer: all before it was handled.
    pub(crate) fn ping(&mut self) {
        self.send(&Packet::PingReq);
        assert_eq!(self.next_but_mcp(), Some(Packet::PingResp));
    }

    /// Waits until the gateway closes the connection, whatever it says before.
    pub(crate) fn wait_closed(mut self) {
        while self.next().is_some() {}
    }

    /// Asks for an audio session that must be granted.
    pub(crate) fn call(&mut self) -> Call {
        self.say(&DeviceMessage::Hello(DeviceHello::new(UPLINK, Features::default())));
        match self.hear() {
            GatewayMessage::Hello(hello) => Call::new(hello.check().unwrap()),
            other => panic!("hello was answered with {other:?}"),
        }
    }
}

/// The media side of a device.
pub(crate) struct Call {
    pub(crate) grant: AudioGrant,
    pub(crate) socket: UdpSocket,
    cipher: MediaCipher,
    sequence: Sequence,
    encoder: Encoder,
}

impl Call {
    pub(crate) fn new(grant: AudioGrant) -> Self {
        let socket = UdpSocket::bind("127.0.0.1:0").unwrap();
        socket.connect((grant.server.as_str(), grant.port)).unwrap();
        socket.set_read_timeout(Some(PATIENCE)).unwrap();
        let cipher = MediaCipher::new(&grant.key, grant.nonce);
        let encoder = Encoder::new(&EncoderSettings::firmware_uplink()).unwrap();
        Self { grant, socket, cipher, sequence: Sequence::FIRST, encoder }
    }

    /// The next frame of a tone, sealed.
    pub(crate) fn seal_next(&mut self) -> Vec<u8> {
        let tone: Vec<i16> = (0..960).map(|n| (n % 50) * 200 - 5000).collect();
        let mut packet = [0; MAX_DATAGRAM - HEADER_LEN];
        let len = self.encoder.encode(&tone, &mut packet).unwrap();
        self.seal(&packet[..len])
    }

    /// A packet of this session that carries `payload`.
    pub(crate) fn seal(&mut self, payload: &[u8]) -> Vec<u8> {
        let mut datagram = [&[0; HEADER_LEN], payload].concat();
        let timestamp = MediaTimestamp::from_millis(self.sequence.get() * 60);
        self.cipher.seal(timestamp, self.sequence, &mut datagram);
        self.sequence = self.sequence.next();
        datagram
    }

    /// Seals the next frame of a tone and sends it.
    pub(crate) fn send_next(&mut self) -> MediaTimestamp {
        let sealed = self.seal_next();
        self.socket.send(&sealed).unwrap();
        Header::decode(&sealed).unwrap().timestamp
    }

    /// Seals a packet that carries `payload` and sends it.
    pub(crate) fn send(&mut self, payload: &[u8]) {
        let sealed = self.seal(payload);
        self.socket.send(&sealed).unwrap();
    }

    /// Waits for a reply and opens it.
    pub(crate) fn hear(&self) -> (Header, Vec<u8>) {
        self.open(self.hear_sealed())
    }

    /// Waits for a reply.
    pub(crate) fn hear_sealed(&self) -> Vec<u8> {
        let mut datagram = vec![0; MAX_DATAGRAM];
        let len = self.socket.recv(&mut datagram).expect("a reply within the timeout");
        datagram.truncate(len);
        datagram
    }

    /// The replies that are there, without waiting for any.
    pub(crate) fn heard(&self) -> Vec<(Header, Vec<u8>)> {
        self.socket.set_nonblocking(true).unwrap();
        let (mut replies, mut datagram) = (Vec::new(), [0; MAX_DATAGRAM]);
        while let Ok(len) = self.socket.recv(&mut datagram) {
            replies.push(self.open(datagram[..len].to_vec()));
        }
        self.socket.set_nonblocking(false).unwrap();
        replies
    }

    fn open(&self, mut datagram: Vec<u8>) -> (Header, Vec<u8>) {
        let (header, payload) = self.cipher.open(&mut datagram).unwrap();
        (header, payload.to_vec())
    }

    /// Sends a frame and checks that its own reply comes back and decodes to a frame.
    pub(crate) fn round_trip(&mut self) -> Header {
        let sent = self.send_next();
        let (header, payload) = self.hear();
        assert_eq!(header.timestamp, sent);
        assert_eq!(header.ssrc, self.grant.nonce.ssrc());
        let downlink = self.grant.downlink;
        let frame = downlink.frame.samples_at(downlink.sample_rate);
        let decoded = Decoder::new(downlink.sample_rate).unwrap().decode(&payload, &mut [0; 5760]);
        assert_eq!(decoded, Ok(frame));
        header
    }
}
