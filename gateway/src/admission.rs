//! Whether a CONNECT is that of a device, and how the one that is not is told.

use protocol::identity::{ClientId, Credentials, SignatureKey};
use rumqttc::mqttbytes::v4::{Connect, ConnectReturnCode};

use crate::counters::RefuseCause;

/// The device that `connect` names. With a `key`, its credentials must be those of its client id,
/// and ids without credentials are not let in; without one, nothing is checked.
///
/// # Errors
/// Why the connection is refused; [`return_code`] is the answer.
pub(crate) fn admit(
    connect: &Connect,
    key: Option<&SignatureKey>,
) -> Result<ClientId, RefuseCause> {
    let client = ClientId::parse(&connect.client_id).map_err(|_| RefuseCause::ClientId)?;
    let Some(key) = key else { return Ok(client) };
    if client.uuid.is_none() {
        return Err(RefuseCause::NotAuthorized);
    }
    let credentials = connect
        .login
        .clone()
        .map(|login| Credentials { username: login.username, password: login.password });
    if credentials.is_some_and(|credentials| key.accepts(&client, &credentials)) {
        Ok(client)
    } else {
        Err(RefuseCause::BadCredentials)
    }
}

/// What CONNACK says to a refused CONNECT; `None` where MQTT 3.1.1 has the connection closed
/// without a word.
pub(crate) fn return_code(cause: RefuseCause) -> Option<ConnectReturnCode> {
    match cause {
        RefuseCause::ProtocolLevel => Some(ConnectReturnCode::RefusedProtocolVersion),
        RefuseCause::ClientId => Some(ConnectReturnCode::BadClientId),
        RefuseCause::BadCredentials => Some(ConnectReturnCode::BadUserNamePassword),
        RefuseCause::NotAuthorized => Some(ConnectReturnCode::NotAuthorized),
        RefuseCause::ConnectionLimit
        | RefuseCause::ConnectTimeout
        | RefuseCause::Gone
        | RefuseCause::NotConnect
        | RefuseCause::Oversized
        | RefuseCause::Malformed
        | RefuseCause::Shutdown => None,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const THREE_PARTS: &str = "GID_test@@@aa_bb_cc_dd_ee_ff@@@uuid";
    const TWO_PARTS: &str = "GID_test@@@aa_bb_cc_dd_ee_ff";

    fn connect(client_id: &str, login: Option<(&str, &str)>) -> Connect {
        let mut connect = Connect::new(client_id);
        if let Some((username, password)) = login {
            connect.set_login(username, password);
        }
        connect
    }

    #[test]
    fn with_a_key_only_signed_three_part_ids_are_let_in() {
        let key = SignatureKey::new("secret").unwrap();
        let client = ClientId::parse(THREE_PARTS).unwrap();
        let good = key.credentials(&client, &serde_json::json!({"ip": "203.0.113.7"}));
        let good = Some((good.username.as_str(), good.password.as_str()));
        for (client_id, login, verdict) in [
            (THREE_PARTS, good, Ok(client.clone())),
            (THREE_PARTS, Some(("e30=", "d3Jvbmc=")), Err(RefuseCause::BadCredentials)),
            (THREE_PARTS, None, Err(RefuseCause::BadCredentials)),
            (TWO_PARTS, good, Err(RefuseCause::NotAuthorized)),
            ("mosquitto", good, Err(RefuseCause::ClientId)),
            ("", None, Err(RefuseCause::ClientId)),
        ] {
            assert_eq!(admit(&connect(client_id, login), Some(&key)), verdict, "{client_id}");
        }
    }

    #[test]
    fn without_a_key_every_device_is_let_in() {
        for client_id in [THREE_PARTS, TWO_PARTS] {
            assert!(admit(&connect(client_id, Some(("a", "b"))), None).is_ok(), "{client_id}");
        }
        let nameless = admit(&connect("mosquitto", None), None);
        assert_eq!(nameless, Err(RefuseCause::ClientId));
    }
}
