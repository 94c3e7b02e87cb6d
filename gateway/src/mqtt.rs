//! MQTT 3.1.1 as far as this gateway speaks it: bytes to packets, packets to what they ask for.
//!
//! The codec is rumqttc's. What it leaves to its caller is checked here before it sees a byte: the
//! first byte of a connection, the size of the whole packet as soon as it is announced, and the
//! protocol level of a CONNECT of any version, whose later fields it would misread.

use bytes::{Bytes, BytesMut};
use rumqttc::mqttbytes::v4::{
    ConnAck, Connect, ConnectReturnCode, Packet, Publish, SubAck, SubscribeReasonCode,
};
use rumqttc::mqttbytes::{self, QoS};

use crate::counters::{CloseCause, RefuseCause};

/// First byte of CONNECT.
const CONNECT: u8 = 0x10;
/// The protocol level of MQTT 3.1.1.
const LEVEL: u8 = 4;

/// Bytes that end a connection.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Unreadable {
    /// A packet longer than allowed is announced.
    Oversized,
    /// Not MQTT.
    Malformed,
}

impl From<Unreadable> for CloseCause {
    fn from(reason: Unreadable) -> Self {
        match reason {
            Unreadable::Oversized => Self::Oversized,
            Unreadable::Malformed => Self::Malformed,
        }
    }
}

impl From<Unreadable> for RefuseCause {
    fn from(reason: Unreadable) -> Self {
        match reason {
            Unreadable::Oversized => Self::Oversized,
            Unreadable::Malformed => Self::Malformed,
        }
    }
}

/// Takes the next packet from the front of `bytes`, once it is there completely. `max_packet`
/// counts all its bytes and is judged as soon as the length is announced.
///
/// # Errors
/// [`Unreadable`] when there will never be one.
pub(crate) fn take_packet(
    bytes: &mut BytesMut,
    max_packet: usize,
) -> Result<Option<Packet>, Unreadable> {
    match framed_len(bytes, max_packet)? {
        None => Ok(None),
        Some(len) => {
            let mut packet = bytes.split_to(len);
            Packet::read(&mut packet, max_packet).map(Some).map_err(|_| Unreadable::Malformed)
        }
    }
}

/// Takes the first packet of a connection, once it is there completely.
///
/// # Errors
/// Why the connection is refused.
pub(crate) fn take_connect(
    bytes: &mut BytesMut,
    max_packet: usize,
) -> Result<Option<Connect>, RefuseCause> {
    if bytes.first().is_some_and(|&first| first != CONNECT) {
        return Err(RefuseCause::NotConnect);
    }
    let Some(len) = framed_len(bytes, max_packet)? else { return Ok(None) };
    if protocol_level(&bytes[..len]).is_some_and(|level| level != LEVEL) {
        return Err(RefuseCause::ProtocolLevel);
    }
    match take_packet(bytes, max_packet)? {
        Some(Packet::Connect(connect)) => Ok(Some(connect)),
        _ => Err(RefuseCause::Malformed),
    }
}

/// The length of the first packet in `bytes`, once all of it is there.
fn framed_len(bytes: &BytesMut, max_packet: usize) -> Result<Option<usize>, Unreadable> {
    use mqttbytes::Error::{InsufficientBytes, PayloadSizeLimitExceeded};
    // The codec's limit leaves out the fixed header.
    match mqttbytes::check(bytes.iter(), max_packet) {
        Ok(header) if header.frame_length() > max_packet => Err(Unreadable::Oversized),
        Ok(header) => Ok(Some(header.frame_length())),
        Err(InsufficientBytes(_)) => Ok(None),
        Err(PayloadSizeLimitExceeded(_)) => Err(Unreadable::Oversized),
        Err(_) => Err(Unreadable::Malformed),
    }
}

/// The level that a complete CONNECT names, whatever its version makes of the rest.
fn protocol_level(packet: &[u8]) -> Option<u8> {
    let length_bytes = 1 + packet[1..].iter().position(|byte| byte & 0x80 == 0)?;
    match packet.get(1 + length_bytes..)? {
        [0, 4, b'M', b'Q', b'T', b'T', level, ..]
        | [0, 6, b'M', b'Q', b'I', b's', b'd', b'p', level, ..] => Some(*level),
        _ => None,
    }
}

/// What a packet of a connected device asks for.
#[derive(Clone, Debug, PartialEq)]
pub(crate) enum Request {
    /// The device says this; on which topic is ignored, as the original gateway does.
    Message(Bytes),
    /// It wants this answer.
    Answer(Packet),
    /// The connection ends.
    Close(CloseCause),
}

impl From<Packet> for Request {
    fn from(packet: Packet) -> Self {
        match packet {
            Packet::Publish(Publish { qos: QoS::AtMostOnce, payload, .. }) => {
                Self::Message(payload)
            }
            Packet::Publish(_) => Self::Close(CloseCause::QosAboveZero),
            // Every device hears its own topic whatever it subscribes to, at QoS 0.
            Packet::Subscribe(subscribe) => {
                let codes = subscribe.filters.iter().map(|_| granted()).collect();
                Self::Answer(Packet::SubAck(SubAck::new(subscribe.pkid, codes)))
            }
            Packet::PingReq => Self::Answer(Packet::PingResp),
            Packet::Disconnect => Self::Close(CloseCause::Disconnect),
            _ => Self::Close(CloseCause::UnservedPacket),
        }
    }
}

fn granted() -> SubscribeReasonCode {
    SubscribeReasonCode::Success(QoS::AtMostOnce)
}

/// Appends `packet` to `bytes`.
pub(crate) fn put_packet(packet: &Packet, bytes: &mut BytesMut) {
    packet.write(bytes, usize::MAX).expect("our packets are of QoS 0 and far below 256 MB");
}

/// Appends the answer to CONNECT.
pub(crate) fn put_connack(code: ConnectReturnCode, bytes: &mut BytesMut) {
    put_packet(&Packet::ConnAck(ConnAck::new(code, false)), bytes);
}

/// Appends a message to a device.
pub(crate) fn put_message(topic: &str, json: String, bytes: &mut BytesMut) {
    put_packet(&Packet::Publish(Publish::new(topic, QoS::AtMostOnce, json)), bytes);
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;
    use rumqttc::mqttbytes::v4::{PingReq, PubAck, Subscribe, Unsubscribe};

    const MAX_PACKET: usize = 8192;

    fn bytes_of(packet: &Packet) -> BytesMut {
        let mut bytes = BytesMut::new();
        put_packet(packet, &mut bytes);
        bytes
    }

    fn connect() -> BytesMut {
        let mut connect = Connect::new("g@@@aa_bb_cc_dd_ee_ff@@@u");
        connect.set_login("name", "word");
        bytes_of(&Packet::Connect(connect))
    }

    #[test]
    fn packets_are_taken_when_they_are_complete() {
        let whole = connect();
        for len in 0..whole.len() {
            let mut part = BytesMut::from(&whole[..len]);
            assert_eq!(take_connect(&mut part, MAX_PACKET), Ok(None), "{len} bytes");
        }
        let mut two = whole.clone();
        PingReq.write(&mut two).unwrap();
        assert!(matches!(take_connect(&mut two, MAX_PACKET), Ok(Some(_))));
        assert_eq!(take_packet(&mut two, MAX_PACKET), Ok(Some(Packet::PingReq)));
        assert!(two.is_empty());
    }

    #[test]
    fn the_first_packet_must_be_connect_of_mqtt_3_1_1() {
        let with = |at: usize, byte: u8| {
            let mut bytes = connect();
            bytes[at] = byte;
            bytes
        };
        let v3 = BytesMut::from(&b"\x10\x0e\x00\x06MQIsdp\x03\x02\x00\x3c\x00\x00"[..]);
        // MQTT 5 puts properties where 3.1.1 has the client id.
        let v5 = BytesMut::from(&b"\x10\x0d\x00\x04MQTT\x05\x02\x00\x3c\x00\x00\x00"[..]);
        for (mut bytes, cause) in [
            (BytesMut::from(&b"GET / HTTP/1.1\r\n\r\n"[..]), RefuseCause::NotConnect),
            (bytes_of(&Packet::PingReq), RefuseCause::NotConnect),
            (v3, RefuseCause::ProtocolLevel),
            (v5, RefuseCause::ProtocolLevel),
            (with(8, 3), RefuseCause::ProtocolLevel),
            (with(4, b'X'), RefuseCause::Malformed),
            (BytesMut::from(&b"\x10\x00"[..]), RefuseCause::Malformed),
            (BytesMut::from(&b"\x10\xff\xff\xff\xff\x01"[..]), RefuseCause::Malformed),
            (BytesMut::from(&b"\x10\x80\xad\xe2\x04"[..]), RefuseCause::Oversized),
        ] {
            assert_eq!(take_connect(&mut bytes, MAX_PACKET), Err(cause), "{bytes:?}");
        }
    }

    #[test]
    fn the_size_bound_counts_the_whole_packet_and_needs_only_its_announcement() {
        let publish = |payload| Packet::Publish(Publish::new("t", QoS::AtMostOnce, payload));
        let fits = vec![0; MAX_PACKET - 1 - 2 - 3];
        let mut bytes = bytes_of(&publish(fits.clone()));
        assert_eq!(bytes.len(), MAX_PACKET);
        assert!(matches!(take_packet(&mut bytes, MAX_PACKET), Ok(Some(_))));
        let mut bytes = bytes_of(&publish([fits, vec![0]].concat()));
        assert_eq!(take_packet(&mut bytes, MAX_PACKET), Err(Unreadable::Oversized));

        // PUBLISH, 10 MB announced, not one byte of it sent.
        let mut announced = BytesMut::from(&b"\x30\x80\xad\xe2\x04"[..]);
        assert_eq!(take_packet(&mut announced, MAX_PACKET), Err(Unreadable::Oversized));
    }

    #[test]
    fn requests_are_what_the_original_gateway_serves() {
        let publish = |qos| {
            let mut publish = Publish::new("anything", qos, "{}");
            publish.pkid = u16::from(qos != QoS::AtMostOnce);
            Packet::Publish(publish)
        };
        let mut subscribe = Subscribe::new("devices/p2p/x", QoS::AtLeastOnce);
        subscribe.add("other".to_owned(), QoS::AtMostOnce);
        subscribe.pkid = 7;
        let acknowledged = Packet::SubAck(SubAck::new(7, vec![granted(), granted()]));
        for (packet, request) in [
            (publish(QoS::AtMostOnce), Request::Message(Bytes::from_static(b"{}"))),
            (publish(QoS::AtLeastOnce), Request::Close(CloseCause::QosAboveZero)),
            (publish(QoS::ExactlyOnce), Request::Close(CloseCause::QosAboveZero)),
            (Packet::Subscribe(subscribe), Request::Answer(acknowledged)),
            (Packet::PingReq, Request::Answer(Packet::PingResp)),
            (Packet::Disconnect, Request::Close(CloseCause::Disconnect)),
            (Packet::PubAck(PubAck::new(1)), Request::Close(CloseCause::UnservedPacket)),
            (
                Packet::Unsubscribe(Unsubscribe::new("x")),
                Request::Close(CloseCause::UnservedPacket),
            ),
            (Packet::Connect(Connect::new("x")), Request::Close(CloseCause::UnservedPacket)),
        ] {
            let mut bytes = bytes_of(&packet);
            let read = take_packet(&mut bytes, MAX_PACKET).unwrap().unwrap();
            assert_eq!(Request::from(read), request, "{packet:?}");
        }
    }

    /// Takes packets until the bytes are used up or refused.
    fn read_all(bytes: &[u8]) {
        let mut rest = BytesMut::from(bytes);
        while let Ok(Some(packet)) = take_packet(&mut rest, MAX_PACKET) {
            let _ = Request::from(packet);
        }
        let _ = take_connect(&mut BytesMut::from(bytes), MAX_PACKET);
    }

    /// A packet of any type whose announced length is right, so that the codec reads its body.
    fn framed() -> impl Strategy<Value = Vec<u8>> {
        let body = proptest::collection::vec(any::<u8>(), 0..120);
        (any::<u8>(), body).prop_map(|(first, body)| {
            let len = u8::try_from(body.len()).unwrap();
            [vec![first, len], body].concat()
        })
    }

    /// A well-formed packet with a few bytes changed.
    fn bent() -> impl Strategy<Value = Vec<u8>> {
        let mut subscribe = Subscribe::new("devices/p2p/x", QoS::AtMostOnce);
        subscribe.pkid = 1;
        let mut unsubscribe = Unsubscribe::new("devices/p2p/x");
        unsubscribe.pkid = 1;
        let publish = Publish::new("device-server", QoS::AtMostOnce, "{\"type\":\"hello\"}");
        let whole: Vec<Vec<u8>> = [
            Packet::Publish(publish),
            Packet::Subscribe(subscribe),
            Packet::Unsubscribe(unsubscribe),
            Packet::PubAck(PubAck::new(1)),
        ]
        .iter()
        .map(|packet| bytes_of(packet).to_vec())
        .chain([connect().to_vec()])
        .collect();
        let changes = proptest::collection::vec((any::<prop::sample::Index>(), any::<u8>()), 0..5);
        (prop::sample::select(whole), changes).prop_map(|(mut bytes, changes)| {
            for (at, byte) in changes {
                let at = at.index(bytes.len());
                bytes[at] = byte;
            }
            bytes
        })
    }

    proptest! {
        #![proptest_config(ProptestConfig { failure_persistence: None, ..ProptestConfig::default() })]

        #[test]
        fn no_bytes_bring_the_reader_down(
            noise in proptest::collection::vec(any::<u8>(), 0..200),
            framed in proptest::collection::vec(framed(), 0..4),
            bent in bent(),
        ) {
            read_all(&noise);
            read_all(&framed.concat());
            read_all(&bent);
        }
    }
}
