//! A device shakes hands over MQTT and gets its audio answered over UDP.

use crate::fixture::{CLIENT_ID, Call, Client, PATIENCE, UPLINK, assert_accounts_close, start};
use gateway::Backend;
use protocol::SampleRate;
use protocol::control::{
    DeviceHello, DeviceMessage, Features, GatewayMessage, Goodbye, Listen, ListenState, Mcp,
};
use protocol::mcp;
use protocol::packet::DOWNLINK_FLAG;
use rumqttc::mqttbytes::v4::{Packet, Publish, SubAck, Subscribe, SubscribeReasonCode};
use rumqttc::{Event, MqttOptions, QoS};
use std::time::{Duration, Instant};

/// The whole handshake by the client that our virtual devices use.
#[test]
fn a_rumqttc_client_is_granted_a_session_and_its_echo_decodes_to_60_ms_at_24_khz() {
    let gateway = start(Backend::Echo, |_| {});
    let addr = gateway.mqtt_addr();
    let mut options = MqttOptions::new(CLIENT_ID, addr.ip().to_string(), addr.port());
    options.set_keep_alive(Duration::from_mins(4));
    let (client, mut connection) = rumqttc::Client::new(options, 10);
    client.subscribe("devices/p2p/aa_bb_cc_dd_ee_ff", QoS::AtMostOnce).unwrap();
    let hello = DeviceMessage::Hello(DeviceHello::new(UPLINK, Features::default()));
    client.publish("device-server", QoS::AtMostOnce, false, hello.to_json()).unwrap();
    let deadline = Instant::now() + PATIENCE;
    let (mut subscribed, mut granted) = (false, None);
    while !subscribed || granted.is_none() {
        let left = deadline.saturating_duration_since(Instant::now());
        let event = connection.recv_timeout(left).expect("in time").expect("still connected");
        match event {
            Event::Incoming(Packet::SubAck(_)) => subscribed = true,
            Event::Incoming(Packet::Publish(publish)) => {
                assert_eq!(publish.topic, "devices/p2p/aa_bb_cc_dd_ee_ff");
                if let GatewayMessage::Hello(hello) =
                    GatewayMessage::parse(&publish.payload).unwrap()
                {
                    granted = Some(hello.check().unwrap());
                }
            }
            _ => {}
        }
    }
    let mut call = Call::new(granted.unwrap());
    assert_eq!(call.grant.downlink.sample_rate, SampleRate::HZ_24000);
    for sequence in 1..=3 {
        let header = call.round_trip();
        assert_eq!((header.sequence.get(), header.flags), (sequence, DOWNLINK_FLAG));
    }
    let counters = gateway.stop().unwrap();
    assert_eq!((counters.frames_accepted, counters.frames_out), (3, 3));
    assert_accounts_close(&counters);
}

#[test]
fn relay_returns_the_devices_own_packets_in_the_devices_own_format() {
    let gateway = start(Backend::Relay, |_| {});
    let mut client = Client::connect(gateway.mqtt_addr(), CLIENT_ID);
    let mut call = client.call();
    assert_eq!(call.grant.downlink, UPLINK);
    call.round_trip();
    // Any plausible packet is returned as it is: here SILK, 60 ms, of bytes that mean nothing.
    let packet = [11 << 3, 1, 2, 3, 4, 5, 6, 7];
    let sealed = call.seal(&packet);
    call.socket.send(&sealed).unwrap();
    assert_eq!(call.hear().1, packet);
}

#[test]
fn the_first_topic_level_messages_of_the_original_gateway_are_sent_and_answers_understood() {
    let gateway = start(Backend::Relay, |_| {});
    let mut client = Client::connect(gateway.mqtt_addr(), CLIENT_ID);
    let request = |client: &mut Client| match client.next() {
        Some(Packet::Publish(publish)) => match GatewayMessage::parse(&publish.payload) {
            Ok(GatewayMessage::Mcp(request)) => request.payload,
            other => panic!("expected an MCP request, got {other:?}"),
        },
        other => panic!("expected a message, got {other:?}"),
    };
    let initialize = request(&mut client);
    let payload = mcp::answer(&initialize).unwrap();
    client.say(&DeviceMessage::Mcp(Mcp { session_id: None, payload }));
    assert_eq!(request(&mut client)["method"], "notifications/initialized");
    assert_eq!(request(&mut client)["method"], "tools/list");
    assert_eq!(gateway.counters().messages_malformed, 0);
}

#[test]
fn requests_beside_the_call_are_answered() {
    let gateway = start(Backend::Relay, |_| {});
    let mut client = Client::connect(gateway.mqtt_addr(), CLIENT_ID);
    let mut call = client.call();
    let mut subscribe = Subscribe::new("devices/p2p/aa_bb_cc_dd_ee_ff", QoS::AtLeastOnce);
    subscribe.pkid = 9;
    client.send(&Packet::Subscribe(subscribe));
    let granted = vec![SubscribeReasonCode::Success(QoS::AtMostOnce)];
    assert_eq!(client.next(), Some(Packet::SubAck(SubAck::new(9, granted))));
    client.ping();
    // Something that is no message, on a topic of the device's own choice, is counted and ignored.
    client.send(&Packet::Publish(Publish::new("elsewhere", QoS::AtMostOnce, "{")));
    let listen = Listen { session_id: None, state: ListenState::Start, mode: None, text: None };
    client.say(&DeviceMessage::Listen(listen));
    client.ping();
    call.round_trip();
    let counters = gateway.counters();
    assert_eq!((counters.messages_malformed, counters.messages_forwarded), (1, 1));
}

#[test]
fn a_repeated_hello_gets_a_fresh_key_and_ends_the_session_before_it() {
    let gateway = start(Backend::Relay, |_| {});
    let mut client = Client::connect(gateway.mqtt_addr(), CLIENT_ID);
    let mut old = client.call();
    old.round_trip();
    let mut new = client.call();
    assert_ne!(old.grant.key, new.grant.key);
    assert_ne!(old.grant.nonce.ssrc(), new.grant.nonce.ssrc());
    let stale = old.seal_next();
    old.socket.send(&stale).unwrap();
    new.round_trip();
    let counters = gateway.counters();
    assert_eq!(counters.dropped.unknown_ssrc, 1, "the old session's packet");
    assert_eq!(counters.sessions_ended.renegotiated, 1);

    client.say(&DeviceMessage::Goodbye(Goodbye::default()));
    // Goodbye is not answered.
    client.ping();
    assert_eq!(gateway.counters().sessions_ended.device_goodbye, 1);
}

#[test]
fn a_hello_that_cannot_be_served_is_answered_with_the_reason() {
    let gateway = start(Backend::Echo, |_| {});
    let mut client = Client::connect(gateway.mqtt_addr(), CLIENT_ID);
    let mut hello = DeviceHello::new(UPLINK, Features::default());
    hello.version = 1;
    client.say(&DeviceMessage::Hello(hello));
    match client.hear() {
        GatewayMessage::Error(error) => {
            assert_eq!(error.message, "hello: version is `1`, only `3` is served");
        }
        other => panic!("{other:?}"),
    }
    client.call().round_trip();
    assert_eq!(gateway.counters().hellos_refused, 1);
}

#[test]
fn replies_follow_the_device_to_a_new_address() {
    let gateway = start(Backend::Relay, |_| {});
    let mut client = Client::connect(gateway.mqtt_addr(), CLIENT_ID);
    let mut call = client.call();
    call.round_trip();
    let mut moved = Call::new(call.grant.clone());
    let skipped = moved.seal_next();
    moved.socket.send(&skipped).unwrap();
    moved.round_trip();
    assert_eq!(gateway.counters().dropped.duplicate, 1, "sequence 1 was taken already");
}

#[test]
fn a_silent_session_is_ended_with_goodbye_and_its_connection_stays() {
    let gateway =
        start(Backend::Relay, |settings| settings.media.audio_timeout = Duration::from_millis(200));
    let mut client = Client::connect(gateway.mqtt_addr(), CLIENT_ID);
    let call = client.call();
    match client.hear() {
        GatewayMessage::Goodbye(goodbye) => {
            assert_eq!(goodbye.session_id, Some(call.grant.session_id));
        }
        other => panic!("{other:?}"),
    }
    client.call();
    assert_eq!(gateway.counters().sessions_ended.silence, 1);
}

#[test]
fn audio_keeps_a_session_open() {
    let gateway =
        start(Backend::Relay, |settings| settings.media.audio_timeout = Duration::from_secs(2));
    let mut talker = Client::connect(gateway.mqtt_addr(), CLIENT_ID);
    let mut talking = talker.call();
    // Opened later, so that the talker's would end first if audio did not count.
    let mut silent = Client::connect(gateway.mqtt_addr(), "GID_test@@@aa_bb_cc_dd_ee_00@@@uuid");
    silent.call();
    let ended = std::thread::spawn(move || silent.hear());
    while !ended.is_finished() {
        talking.round_trip();
    }
    assert!(matches!(ended.join().unwrap(), GatewayMessage::Goodbye(_)));
    talking.round_trip();
    assert_eq!(gateway.counters().sessions_ended.silence, 1);
}

#[test]
fn several_media_threads_share_one_port() {
    let gateway = start(Backend::Echo, |settings| settings.media.threads = 3);
    let mut clients: Vec<_> = (0..8)
        .map(|n| {
            let id = format!("GID_test@@@aa_bb_cc_dd_ee_{n:02x}@@@uuid");
            let mut client = Client::connect(gateway.mqtt_addr(), &id);
            let call = client.call();
            (client, call)
        })
        .collect();
    for _ in 0..3 {
        for (_, call) in &mut clients {
            call.round_trip();
        }
    }
    drop(clients);
    let counters = gateway.stop().unwrap();
    assert_eq!(counters.frames_out, 24);
    assert_accounts_close(&counters);
}
