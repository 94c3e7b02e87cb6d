//! Who is let in, and what ends a connection.

use crate::fixture::{CLIENT_ID, Client, assert_accounts_close, start};
use gateway::Backend;
use protocol::identity::{ClientId, SignatureKey};
use rumqttc::mqttbytes::v4::{Connect, ConnectReturnCode, Packet};
use serde_json::json;
use std::time::Duration;

#[test]
fn a_second_connection_of_a_client_id_closes_the_first_and_its_session() {
    let gateway = start(Backend::Relay, |_| {});
    let mut first = Client::connect(gateway.mqtt_addr(), CLIENT_ID);
    first.call().round_trip();
    let mut second = Client::connect(gateway.mqtt_addr(), CLIENT_ID);
    first.wait_closed();
    second.call().round_trip();
    drop(second);
    let counters = gateway.stop().unwrap();
    assert_eq!(counters.closed.taken_over, 1);
    assert_eq!(counters.sessions_ended.connection_lost, 2, "one taken over, one left");
    assert_accounts_close(&counters);
}

#[test]
fn with_a_key_only_the_right_password_is_let_in() {
    let key = SignatureKey::new("secret").unwrap();
    let gateway = start(Backend::Relay, |settings| settings.signature_key = Some(key.clone()));
    let client_id = ClientId::parse(CLIENT_ID).unwrap();
    let good = key.credentials(&client_id, &json!({"ip": "127.0.0.1"}));
    for (id, password, code) in [
        (CLIENT_ID, good.password.as_str(), ConnectReturnCode::Success),
        (CLIENT_ID, "d3Jvbmc=", ConnectReturnCode::BadUserNamePassword),
        ("GID_test@@@aa_bb_cc_dd_ee_ff", &good.password, ConnectReturnCode::NotAuthorized),
        ("somebody", &good.password, ConnectReturnCode::BadClientId),
    ] {
        let mut connect = Connect::new(id);
        connect.set_login(good.username.as_str(), password);
        let (client, answer) = Client::try_connect(gateway.mqtt_addr(), connect);
        assert_eq!(answer, code, "{id}");
        if code != ConnectReturnCode::Success {
            client.wait_closed();
        }
    }
    let counters = gateway.stop().unwrap();
    assert_eq!(counters.connected, 1);
    assert_eq!(counters.refused.bad_credentials, 1);
    assert_eq!(counters.refused.not_authorized, 1);
    assert_eq!(counters.refused.client_id, 1);
    assert_accounts_close(&counters);
}

#[test]
fn connections_beyond_the_bound_are_closed_at_once_and_counted() {
    let gateway = start(Backend::Relay, |settings| settings.control.max_connections = 1);
    let mut only = Client::connect(gateway.mqtt_addr(), CLIENT_ID);
    Client::open(gateway.mqtt_addr()).wait_closed();
    assert_eq!(gateway.counters().refused.connection_limit, 1);
    only.call().round_trip();
}

#[test]
fn a_connection_that_does_not_send_connect_in_time_is_closed() {
    let gateway = start(Backend::Relay, |settings| {
        settings.control.connect_timeout = Duration::from_millis(50);
    });
    let mut slow = Client::open(gateway.mqtt_addr());
    slow.send_bytes(&[0x10, 0x20]);
    slow.wait_closed();
    assert_eq!(gateway.counters().refused.connect_timeout, 1);
}

#[test]
fn a_device_is_dropped_after_one_and_a_half_keep_alives_of_silence() {
    let gateway = start(Backend::Relay, |_| {});
    let connect = |client_id| {
        let mut connect = Connect::new(client_id);
        connect.keep_alive = 2;
        let (client, code) = Client::try_connect(gateway.mqtt_addr(), connect);
        assert_eq!(code, ConnectReturnCode::Success);
        client
    };
    // The one that goes on talking was there first, so that silence would have ended it first.
    let mut talker = connect(CLIENT_ID);
    let silent = connect("GID_test@@@aa_bb_cc_dd_ee_00@@@uuid");
    let dropped = std::thread::spawn(|| silent.wait_closed());
    while !dropped.is_finished() {
        talker.ping();
        std::thread::yield_now();
    }
    dropped.join().unwrap();
    talker.ping();
    assert_eq!(gateway.counters().closed.keep_alive, 1);
}

#[test]
fn a_device_that_does_not_read_is_dropped() {
    let gateway = start(Backend::Relay, |settings| {
        settings.control.write_timeout = Duration::from_millis(50);
    });
    let mut deaf = Client::connect(gateway.mqtt_addr(), CLIENT_ID);
    // Every request has an answer, until the kernel holds as many of them as it can.
    deaf.flood(&[0xC0, 0x00].repeat(1 << 16));
    assert_eq!(gateway.counters().closed.write_stalled, 1);
}

#[test]
fn a_device_may_leave_with_or_without_a_word() {
    let gateway = start(Backend::Relay, |_| {});
    let mut polite = Client::connect(gateway.mqtt_addr(), CLIENT_ID);
    polite.call().round_trip();
    polite.send(&Packet::Disconnect);
    polite.wait_closed();
    assert_eq!(gateway.counters().closed.disconnect, 1);
    assert_eq!(gateway.counters().sessions_ended.connection_lost, 1);
}

#[test]
fn stopping_says_goodbye_and_ends_every_connection() {
    let gateway = start(Backend::Relay, |_| {});
    let mut client = Client::connect(gateway.mqtt_addr(), CLIENT_ID);
    client.call().round_trip();
    let hesitant = Client::open(gateway.mqtt_addr());
    let stopped = std::thread::spawn(|| gateway.stop().unwrap());
    let heard = client.hear();
    assert!(matches!(heard, protocol::control::GatewayMessage::Goodbye(_)), "{heard:?}");
    client.wait_closed();
    hesitant.wait_closed();
    let counters = stopped.join().unwrap();
    assert_eq!((counters.closed.shutdown, counters.sessions_ended.shutdown), (1, 1));
    assert_accounts_close(&counters);
}
