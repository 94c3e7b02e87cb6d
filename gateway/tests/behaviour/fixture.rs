//! A device on real sockets: says what a test has it say, and waits for answers with a bound.

use std::io::{ErrorKind, Read, Write};
use std::net::{SocketAddr, TcpStream, UdpSocket};
use std::time::Duration;

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

/// How long a test waits for what must happen; never reached when all is well.
pub(crate) const PATIENCE: Duration = Duration::from_secs(10);

/// What every test device sends.
pub(crate) const UPLINK: AudioFormat =
    AudioFormat { sample_rate: SampleRate::HZ_16000, frame: FrameDuration::MS_60 };

pub(crate) const CLIENT_ID: &str = "GID_test@@@aa_bb_cc_dd_ee_ff@@@uuid";

/// A gateway on free ports.
pub(crate) fn start(kind: Backend, change: impl FnOnce(&mut Settings)) -> RunningGateway {
    let mut settings = Settings::default();
    settings.control.listen.set_port(0);
    settings.media.listen.set_port(0);
    settings.backend.kind = kind;
    change(&mut settings);
    Gateway::start(settings).expect("a gateway on free ports")
}

/// Checks that the counters account for everything, once nothing is under way.
pub(crate) fn assert_accounts_close(counters: &CountersSnapshot) {
    assert_eq!(counters.frames_in, counters.frames_out + counters.dropped.total(), "{counters:?}");
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

    /// Waits for a reply and opens it.
    pub(crate) fn hear(&self) -> (Header, Vec<u8>) {
        let mut datagram = [0; MAX_DATAGRAM];
        let len = self.socket.recv(&mut datagram).expect("a reply within the timeout");
        let (header, payload) = self.cipher.open(&mut datagram[..len]).unwrap();
        (header, payload.to_vec())
    }

    /// Sends a frame and checks that its own reply comes back and decodes to a frame.
    pub(crate) fn round_trip(&mut self) -> Header {
        let sent = self.seal_next();
        self.socket.send(&sent).unwrap();
        let (header, payload) = self.hear();
        assert_eq!(header.timestamp, Header::decode(&sent).unwrap().timestamp);
        assert_eq!(header.ssrc, self.grant.nonce.ssrc());
        let downlink = self.grant.downlink;
        let frame = downlink.frame.samples_at(downlink.sample_rate);
        let decoded = Decoder::new(downlink.sample_rate).unwrap().decode(&payload, &mut [0; 5760]);
        assert_eq!(decoded, Ok(frame));
        header
    }
}
