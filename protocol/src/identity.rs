//! Who a device says it is: MAC address, client id, and the HMAC credentials that prove it.

use std::fmt;

use base64::{Engine, engine::general_purpose::STANDARD as BASE64};
use hmac::{Hmac, KeyInit, Mac};
use sha2::Sha256;

const SEPARATOR: &str = "@@@";

/// A device's MAC address.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct MacAddress([u8; 6]);

impl MacAddress {
    /// The address of these six bytes.
    pub const fn new(bytes: [u8; 6]) -> Self {
        Self(bytes)
    }

    /// The last three bytes as a number: what tells the devices of one vendor apart.
    pub fn device_number(self) -> u32 {
        let [.., high, middle, low] = self.0;
        u32::from_be_bytes([0, high, middle, low])
    }

    /// Lower-case hex joined by `_`, as it stands in client ids and topics.
    pub fn with_underscores(self) -> String {
        self.0.map(|byte| format!("{byte:02x}")).join("_")
    }

    /// The topic on which the gateway answers this device.
    pub fn reply_topic(self) -> String {
        format!("devices/p2p/{}", self.with_underscores())
    }

    /// Accepts `_` and `:` between the bytes, and either case.
    fn parse(text: &str) -> Option<Self> {
        let mut bytes = [0; 6];
        let mut parts = text.split(['_', ':']);
        for byte in &mut bytes {
            let part = parts.next()?;
            if part.len() != 2 {
                return None;
            }
            *byte = u8::from_str_radix(part, 16).ok()?;
        }
        parts.next().is_none().then_some(Self(bytes))
    }
}

impl fmt::Display for MacAddress {
    /// Lower-case hex joined by `:`.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0.map(|byte| format!("{byte:02x}")).join(":"))
    }
}

/// An MQTT client id: `GROUP@@@MAC@@@UUID` or, older, `GROUP@@@MAC`.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub struct ClientId {
    /// The product group, for example `GID_test`.
    pub group: String,
    /// The device.
    pub mac: MacAddress,
    /// Present in three-part ids, which must authenticate.
    pub uuid: Option<String>,
}

/// A client id that is not of a known form; carries the id seen, shortened.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ClientIdError(String);

impl fmt::Display for ClientIdError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(
            f,
            "client id `{}`: expected GROUP@@@MAC@@@UUID or GROUP@@@MAC, with the MAC as aa_bb_cc_dd_ee_ff",
            self.0
        )
    }
}

impl std::error::Error for ClientIdError {}

impl ClientId {
    /// Reads a client id as it stands in CONNECT.
    ///
    /// # Errors
    /// [`ClientIdError`] when it has other than two or three parts or no MAC address in the second.
    pub fn parse(text: &str) -> Result<Self, ClientIdError> {
        let error = || ClientIdError(text.chars().take(80).collect());
        let parts: Vec<&str> = text.split(SEPARATOR).collect();
        let (group, mac, uuid) = match parts[..] {
            [group, mac] => (group, mac, None),
            [group, mac, uuid] if !uuid.is_empty() => (group, mac, Some(uuid.to_owned())),
            _ => return Err(error()),
        };
        if group.is_empty() {
            return Err(error());
        }
        let mac = MacAddress::parse(mac).ok_or_else(error)?;
        Ok(Self { group: group.to_owned(), mac, uuid })
    }
}

impl fmt::Display for ClientId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}{SEPARATOR}{}", self.group, self.mac.with_underscores())?;
        match &self.uuid {
            Some(uuid) => write!(f, "{SEPARATOR}{uuid}"),
            None => Ok(()),
        }
    }
}

/// The secret that signs MQTT passwords, from `MQTT_SIGNATURE_KEY`.
#[derive(Clone)]
pub struct SignatureKey(Vec<u8>);

impl SignatureKey {
    /// The environment variable that holds the secret, on gateways and here.
    pub const VARIABLE: &str = "MQTT_SIGNATURE_KEY";

    /// A key of these bytes; `None` when there are none, as an empty secret signs nothing.
    pub fn new(secret: impl Into<Vec<u8>>) -> Option<Self> {
        let secret = secret.into();
        (!secret.is_empty()).then_some(Self(secret))
    }

    /// The user name and password with which `client_id` connects; `profile` is what the device
    /// says of itself, for example its address.
    pub fn credentials(&self, client_id: &ClientId, profile: &serde_json::Value) -> Credentials {
        let username = BASE64.encode(profile.to_string());
        let password = BASE64.encode(self.mac(client_id, &username).finalize().into_bytes());
        Credentials { username, password }
    }

    /// Whether `credentials` are those of `client_id`, compared in constant time.
    pub fn accepts(&self, client_id: &ClientId, credentials: &Credentials) -> bool {
        BASE64.decode(&credentials.password).is_ok_and(|signature| {
            self.mac(client_id, &credentials.username).verify_slice(&signature).is_ok()
        })
    }

    fn mac(&self, client_id: &ClientId, username: &str) -> Hmac<Sha256> {
        let mut mac =
            Hmac::<Sha256>::new_from_slice(&self.0).expect("HMAC takes a key of any length");
        mac.update(format!("{client_id}|{username}").as_bytes());
        mac
    }
}

impl fmt::Debug for SignatureKey {
    /// Secrets stay out of logs.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("SignatureKey(..)")
    }
}

/// What a device puts into CONNECT beside its client id.
#[derive(Clone, PartialEq, Eq)]
pub struct Credentials {
    /// base64 of a JSON object.
    pub username: String,
    /// base64 of HMAC-SHA256(key, client id + "|" + user name).
    pub password: String,
}

impl fmt::Debug for Credentials {
    /// Secrets stay out of logs.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Credentials").field("username", &self.username).finish_non_exhaustive()
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::json;

    const TEST_ID: &str = "GID_test@@@aa_bb_cc_dd_ee_ff@@@5f0c7c2e-7c2b-4c0e-9d43-0f6a4e1b2c3d";

    #[test]
    fn client_ids_are_read_and_written_alike() {
        for text in [TEST_ID, "GID_test@@@aa_bb_cc_dd_ee_ff"] {
            assert_eq!(ClientId::parse(text).unwrap().to_string(), text);
        }
        let with_colons = ClientId::parse("g@@@AA:bb:cc:dd:ee:0f@@@u").unwrap();
        assert_eq!(with_colons.mac.to_string(), "aa:bb:cc:dd:ee:0f");
        assert_eq!(with_colons.mac.reply_topic(), "devices/p2p/aa_bb_cc_dd_ee_0f");
    }

    #[test]
    fn other_client_ids_are_refused() {
        for text in [
            "",
            "GID_test",
            "@@@aa_bb_cc_dd_ee_ff",
            "g@@@aa_bb_cc_dd_ee",
            "g@@@aa_bb_cc_dd_ee_ff_00",
            "g@@@aa_bb_cc_dd_ee_fg",
            "g@@@a_bb_cc_dd_ee_ff",
            "g@@@aa_bb_cc_dd_ee_ff@@@",
            "g@@@aa_bb_cc_dd_ee_ff@@@u@@@v",
        ] {
            assert!(ClientId::parse(text).is_err(), "{text}");
        }
    }

    /// The password was computed with OpenSSL: `openssl dgst -sha256 -hmac secret -binary | base64`.
    #[test]
    fn credentials_are_the_golden_ones() {
        let key = SignatureKey::new("secret").unwrap();
        let id = ClientId::parse(TEST_ID).unwrap();
        let credentials = key.credentials(&id, &json!({"ip": "203.0.113.7"}));
        assert_eq!(credentials.username, "eyJpcCI6IjIwMy4wLjExMy43In0=");
        assert_eq!(credentials.password, "7+2iNy2bJJsYD1FclKaKK0GkM47lXIja/MLWn7tWTck=");
        assert!(key.accepts(&id, &credentials));
    }

    #[test]
    fn credentials_of_another_device_key_or_form_are_not_accepted() {
        let key = SignatureKey::new("secret").unwrap();
        let id = ClientId::parse(TEST_ID).unwrap();
        let good = key.credentials(&id, &json!({}));
        let other_id = ClientId { group: "GID_other".to_owned(), ..id.clone() };
        assert!(!key.accepts(&other_id, &good));
        assert!(!SignatureKey::new("other").unwrap().accepts(&id, &good));
        for password in ["", "not base64!", "AAAA"] {
            let bad = Credentials { password: password.to_owned(), ..good.clone() };
            assert!(!key.accepts(&id, &bad), "{password}");
        }
        assert!(SignatureKey::new("").is_none());
    }
}
