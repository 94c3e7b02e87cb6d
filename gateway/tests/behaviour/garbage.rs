//! Whatever reaches the ports changes nothing but counters.

use crate::fixture::{CLIENT_ID, Call, Client, UPLINK, assert_accounts_close, start};
use bytes::BytesMut;
use gateway::Backend;
use protocol::cipher::MediaCipher;
use protocol::control::{DeviceMessage, Goodbye};
use protocol::opus::PacketShape;
use protocol::packet::{Header, MAX_DATAGRAM};
use protocol::{MediaTimestamp, Sequence};
use rumqttc::mqttbytes::QoS;
use rumqttc::mqttbytes::v4::{Connect, Packet, PubAck, Publish, Unsubscribe};
use std::net::{SocketAddr, UdpSocket};

/// The same bytes on every run, of every length up to beyond what a packet may have.
fn noise() -> impl Iterator<Item = Vec<u8>> {
    let mut state = 0x2545_F491_4F6C_DD1D_u64;
    let mut byte = move || {
        state ^= state << 13;
        state ^= state >> 7;
        state ^= state << 17;
        state.to_be_bytes()[0]
    };
    (0..=1600).step_by(7).map(move |len| (0..len).map(|_| byte()).collect())
}

#[test]
fn garbage_on_the_media_port_is_counted_by_cause_and_disturbs_nobody() {
    let gateway = start(Backend::Echo, |_| {});
    let mut client = Client::connect(gateway.mqtt_addr(), CLIENT_ID);
    let mut call = client.call();
    call.round_trip();
    let stranger = UdpSocket::bind("127.0.0.1:0").unwrap();
    stranger.connect(gateway.udp_addr()).unwrap();
    let throw = |bytes: &[u8]| stranger.send(bytes).unwrap();

    // Datagrams are read in the order in which they were sent, so that all that was thrown has
    // been judged when the device's next frame is answered. The kernel holds far more than these.
    let mut bad_header = 0;
    for mut bytes in noise() {
        if let Some(kind) = bytes.first_mut() {
            *kind |= 2; // Never a media packet by accident.
        }
        throw(&bytes);
        bad_header += 1;
    }
    call.round_trip();

    let whole = call.seal_next();
    for len in 0..whole.len() {
        throw(&whole[..len]);
        bad_header += 1;
    }
    for lie in [0, 1, u16::MAX] {
        let mut lying = whole.clone();
        lying[2..4].copy_from_slice(&lie.to_be_bytes());
        throw(&lying);
        bad_header += 1;
    }
    throw(&[&whole[..], &[0]].concat());
    throw(&vec![1; MAX_DATAGRAM + 1]);
    // Cut to what a buffer holds, it would be as long as its header says.
    let mut long = vec![1; MAX_DATAGRAM + 100];
    long[1] = 0;
    long[2..4].copy_from_slice(&1457_u16.to_be_bytes());
    throw(&long);
    bad_header += 3;
    let mut unknown = whole.clone();
    unknown[4] ^= 0xFF;
    throw(&unknown);
    throw(&implausible(&call));
    call.socket.send(&whole).unwrap();
    let (reply, payload) = call.hear();

    // The gateway's own reply comes back to it, then the device's packet once more.
    throw(&[&reply.encode()[..], &payload].concat());
    throw(&whole);
    call.round_trip();

    let counters = gateway.stop().unwrap();
    assert_eq!(counters.dropped.bad_header, bad_header);
    assert_eq!(counters.dropped.unknown_ssrc, 1);
    assert_eq!(counters.dropped.implausible, 1);
    assert_eq!(counters.dropped.reflected, 1);
    assert_eq!(counters.dropped.duplicate, 1);
    assert_eq!((counters.frames_accepted, counters.frames_out), (4, 4));
    assert_accounts_close(&counters);
}

/// Plain text under the ssrc of a live session, far ahead of it: the sequence must not follow.
///
/// What it opens to is as random as the key, so that now and then it would be an Opus packet of
/// 60 ms; such bytes are left out.
fn implausible(call: &Call) -> Vec<u8> {
    let forged = Header {
        flags: 0,
        payload_len: 3,
        ssrc: call.grant.nonce.ssrc(),
        timestamp: MediaTimestamp::from_millis(0),
        sequence: Sequence::new(900),
    };
    (0..=u8::MAX)
        .map(|byte| [&forged.encode()[..], &[byte, 0, 0]].concat())
        .find(|datagram| !opens_plausibly(call, datagram))
        .expect("few packets are plausible")
}

fn opens_plausibly(call: &Call, datagram: &[u8]) -> bool {
    let mut datagram = datagram.to_vec();
    let cipher = MediaCipher::new(&call.grant.key, call.grant.nonce);
    let (_, payload) = cipher.open(&mut datagram).unwrap();
    PacketShape::parse(payload).is_ok_and(|shape| shape.duration() == UPLINK.frame.as_duration())
}

/// Opens a connection, says `bytes`, and waits until the gateway has closed it.
fn throw(to: SocketAddr, bytes: &[u8]) {
    let mut client = Client::open(to);
    client.send_bytes(bytes);
    client.wait_closed();
}

fn bytes_of(packet: &Packet) -> Vec<u8> {
    let mut bytes = BytesMut::new();
    packet.write(&mut bytes, usize::MAX).unwrap();
    bytes.to_vec()
}

/// A device of its own for each of the packets that follow its CONNECT.
fn after_connect(number: usize, packet: &[u8]) -> Vec<u8> {
    let id = format!("GID_test@@@aa_bb_cc_dd_00_{number:02x}@@@uuid");
    [bytes_of(&Packet::Connect(Connect::new(id))), packet.to_vec()].concat()
}

#[test]
fn garbage_on_the_mqtt_port_is_counted_by_cause_and_disturbs_nobody() {
    let gateway = start(Backend::Echo, |_| {});
    let addr = gateway.mqtt_addr();
    let mut client = Client::connect(addr, CLIENT_ID);
    let mut call = client.call();
    call.round_trip();

    for first in [
        b"GET / HTTP/1.1\r\nHost: gateway\r\n\r\n".to_vec(),
        bytes_of(&Packet::PingReq),
        bytes_of(&Packet::Publish(Publish::new("device-server", QoS::AtMostOnce, "{}"))),
        noise().last().unwrap(),
    ] {
        throw(addr, &first);
    }
    assert_eq!(gateway.counters().refused.not_connect, 4);

    // 10 MB announced, as the first packet and as a later one; nothing of it is waited for.
    let announcement = [0x80, 0xAD, 0xE2, 0x04];
    throw(addr, &[&[0x10][..], &announcement].concat());
    throw(addr, &after_connect(0, &[&[0x30][..], &announcement].concat()));
    throw(addr, b"\x10\xff\xff\xff\xff\x7f");
    throw(addr, b"\x10\x0d\x00\x04MQTT\x05\x02\x00\x3c\x00\x00\x00");
    let counters = gateway.counters();
    assert_eq!((counters.refused.oversized, counters.closed.oversized), (1, 1));
    assert_eq!((counters.refused.malformed, counters.refused.protocol_level), (1, 1));

    let mut qos1 = Publish::new("device-server", QoS::AtLeastOnce, "{}");
    qos1.pkid = 1;
    let mut unsubscribe = Unsubscribe::new("devices/p2p/x");
    unsubscribe.pkid = 1;
    for (number, packet) in (1..).zip([
        bytes_of(&Packet::Publish(qos1)),
        bytes_of(&Packet::PubAck(PubAck::new(1))),
        bytes_of(&Packet::Unsubscribe(unsubscribe)),
        bytes_of(&Packet::Connect(Connect::new(CLIENT_ID))),
        bytes_of(&Packet::PingResp),
        vec![0xF0, 0x00],
        vec![0x00, 0x00],
        vec![0x30, 0x02, 0xFF, 0xFF],
        vec![0x82, 0x02, 0x00, 0x01],
    ]) {
        throw(addr, &after_connect(number, &packet));
    }
    let counters = gateway.counters();
    assert_eq!(counters.closed.qos_above_zero, 1);
    assert_eq!(counters.closed.unserved_packet, 4);
    assert_eq!(counters.closed.malformed, 4);

    call.round_trip();
    client.say(&DeviceMessage::Goodbye(Goodbye::default()));
    client.call().round_trip();
    drop(client);
    assert_accounts_close(&gateway.stop().unwrap());
}

#[test]
fn an_mqtt_packet_in_single_bytes_is_understood() {
    let gateway = start(Backend::Relay, |_| {});
    let mut client = Client::open(gateway.mqtt_addr());
    for byte in bytes_of(&Packet::Connect(Connect::new(CLIENT_ID))) {
        client.send_bytes(&[byte]);
    }
    assert!(matches!(client.next(), Some(Packet::ConnAck(_))));
    client.call().round_trip();
}
