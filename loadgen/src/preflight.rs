//! What is checked before a run starts, so that it does not fail half-way.

use std::fmt;
use std::net::{SocketAddr, ToSocketAddrs};

use platform::{Clock, EphemeralPorts, LimitError, raise_open_files};
use protocol::identity::{ClientId, MacAddress, SignatureKey};

use crate::line::{CallFailure, LineParts, probe};
use crate::scenario::{Action, Scenario, What, shown_duration};

/// Files that a run holds open whatever its size: pipes, logs, epoll, the probe.
pub(crate) const FILES_BESIDE_DEVICES: u64 = 64;
/// Each device holds an MQTT connection and a UDP socket.
pub(crate) const FILES_PER_DEVICE: u64 = 2;

/// A run that would not work.
#[derive(Debug)]
pub enum PreflightError {
    /// The process may not open enough files.
    OpenFiles {
        /// Devices in the scenario.
        devices: u32,
        /// What stands in the way.
        limit: LimitError,
    },
    /// The host has not enough ports to give away.
    Ports {
        /// Devices in the scenario.
        devices: u32,
        /// What there is.
        ports: EphemeralPorts,
    },
    /// `--target` is none.
    TargetForm {
        /// The text.
        seen: String,
        /// What is wrong with it.
        why: String,
    },
    /// The target did not complete a handshake.
    Target {
        /// Where.
        mqtt: SocketAddr,
        /// What it did not do.
        failure: CallFailure,
        /// Whether a signature key was at hand.
        signed: bool,
    },
    /// An action that a foreign gateway cannot follow.
    AbsentGateway {
        /// When, and which.
        action: String,
    },
    /// A threshold is about the reference gateway's process, and there is none.
    AbsentMetric {
        /// The threshold.
        threshold: String,
    },
}

impl fmt::Display for PreflightError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::OpenFiles { devices, limit } => {
                write!(
                    f,
                    "{devices} devices (2 files each and {FILES_BESIDE_DEVICES} beside): {limit}"
                )
            }
            Self::Ports { devices, ports } => {
                let EphemeralPorts { first, last, reserved } = ports;
                write!(
                    f,
                    "{devices} devices need a UDP and a TCP port each; this host gives away ports {first} to {last}"
                )?;
                if *reserved > 0 {
                    write!(f, ", {reserved} of them kept back")?;
                }
                write!(
                    f,
                    ", {} of either kind: widen net.ipv4.ip_local_port_range or use fewer devices",
                    ports.count()
                )
            }
            Self::TargetForm { seen, why } => write!(
                f,
                "--target {seen}: {why}; write mqtt://HOST:PORT, for example mqtt://127.0.0.1:1883"
            ),
            Self::Target { mqtt, failure, signed } => {
                write!(f, "the target {mqtt} did not complete a handshake: {failure}")?;
                if failure.is_refused_identity() {
                    let variable = SignatureKey::VARIABLE;
                    if *signed {
                        write!(f, "; is {variable} the key of this gateway?")?;
                    } else {
                        write!(
                            f,
                            "; set {variable} to the gateway's key, so that devices can sign their passwords"
                        )?;
                    }
                }
                Ok(())
            }
            Self::AbsentGateway { action } => write!(
                f,
                "action at {action}: only the reference gateway, a process of Din's own, can be told to do so; remove the action or the target"
            ),
            Self::AbsentMetric { threshold } => write!(
                f,
                "threshold {threshold}: this metric is taken from the reference gateway's process and is absent for a --target; remove the threshold or the target"
            ),
        }
    }
}

impl std::error::Error for PreflightError {}

/// Makes room for the sockets of `scenario`.
///
/// # Errors
/// [`PreflightError::OpenFiles`] when the system does not allow it.
pub fn open_files(scenario: &Scenario) -> Result<(), PreflightError> {
    let devices = scenario.most_devices();
    let needed = u64::from(devices) * FILES_PER_DEVICE + FILES_BESIDE_DEVICES;
    raise_open_files(needed)
        .map(|_| ())
        .map_err(|limit| PreflightError::OpenFiles { devices, limit })
}

/// Looks whether there is a port for each socket of `scenario`.
///
/// A host whose range cannot be read is not refused: a call without a port is counted as not
/// attempted, and makes the run INVALID.
///
/// # Errors
/// [`PreflightError::Ports`] when there are fewer ports than devices.
pub fn ports(scenario: &Scenario) -> Result<(), PreflightError> {
    match EphemeralPorts::read() {
        Ok(ports) => enough_ports(scenario.most_devices(), ports),
        Err(_) => Ok(()),
    }
}

/// UDP and TCP count apart, so each device takes one of either; what others hold is not known.
fn enough_ports(devices: u32, ports: EphemeralPorts) -> Result<(), PreflightError> {
    if devices > ports.count() {
        return Err(PreflightError::Ports { devices, ports });
    }
    Ok(())
}

/// Reads `mqtt://HOST:PORT`.
///
/// # Errors
/// [`PreflightError::TargetForm`] says what is wrong with the text.
pub fn target(text: &str) -> Result<SocketAddr, PreflightError> {
    let wrong = |why: String| PreflightError::TargetForm { seen: text.to_owned(), why };
    let address = text
        .strip_prefix("mqtt://")
        .ok_or_else(|| wrong("only mqtt:// is spoken".to_owned()))?
        .trim_end_matches('/');
    let mut found = address.to_socket_addrs().map_err(|error| wrong(error.to_string()))?;
    found.next().ok_or_else(|| wrong("the name has no address".to_owned()))
}

/// Refuses thresholds that a foreign gateway cannot have.
///
/// # Errors
/// [`PreflightError::AbsentMetric`] names the first one.
pub fn thresholds_for_foreign(scenario: &Scenario) -> Result<(), PreflightError> {
    match scenario.thresholds.iter().find(|one| one.metric.needs_reference_gateway()) {
        Some(threshold) => Err(PreflightError::AbsentMetric { threshold: threshold.to_string() }),
        None => Ok(()),
    }
}

/// Refuses actions that only the reference gateway follows.
///
/// # Errors
/// [`PreflightError::AbsentGateway`] names the first one.
pub fn actions_for_foreign(scenario: &Scenario) -> Result<(), PreflightError> {
    let own = |action: &&Action| {
        !matches!(action.what, What::DropDevices { .. } | What::ChangeNetwork { .. })
    };
    match scenario.actions.iter().find(own) {
        Some(Action { at, what, .. }) => {
            let action = format!("{}, {what}", shown_duration(*at));
            Err(PreflightError::AbsentGateway { action })
        }
        None => Ok(()),
    }
}

/// Completes one handshake with the target, and takes it back.
///
/// # Errors
/// [`PreflightError::Target`] says what the target did not do.
pub async fn handshake(
    scenario: &Scenario,
    mqtt: SocketAddr,
    key: Option<SignatureKey>,
) -> Result<(), PreflightError> {
    let signed = key.is_some();
    let group = &scenario.devices.groups[0];
    let parts = LineParts {
        mqtt,
        // No device of a run has this address.
        client_id: ClientId {
            group: "GID_din".to_owned(),
            mac: MacAddress::new([0x02, 0, 0, 0, 0, 0]),
            uuid: Some("preflight".to_owned()),
        },
        key,
        uplink: group.format(),
        timeouts: group.timeouts,
    };
    probe(parts, Clock::start()).await.map_err(|failure| PreflightError::Target {
        mqtt,
        failure,
        signed,
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn targets_are_read_or_refused_with_the_form() {
        assert_eq!(target("mqtt://127.0.0.1:1883").unwrap(), "127.0.0.1:1883".parse().unwrap());
        assert_eq!(target("mqtt://[::1]:1883/").unwrap(), "[::1]:1883".parse().unwrap());
        for (text, why) in [
            ("127.0.0.1:1883", "only mqtt:// is spoken"),
            ("http://127.0.0.1:1883", "only mqtt:// is spoken"),
            ("mqtt://127.0.0.1", "invalid socket address"),
            ("mqtt://127.0.0.1:99999", "invalid port"),
            ("mqtt://", "invalid socket address"),
        ] {
            let error = target(text).unwrap_err().to_string();
            assert!(error.contains(why) && error.contains("mqtt://HOST:PORT"), "{error}");
        }
    }

    #[test]
    fn a_range_with_fewer_ports_than_devices_is_refused_with_both() {
        let ports = EphemeralPorts { first: 40_000, last: 40_099, reserved: 10 };
        assert!(enough_ports(90, ports).is_ok());
        let error = enough_ports(91, ports).unwrap_err().to_string();
        for part in [
            "91 devices",
            "40000 to 40099",
            "10 of them kept back",
            "90 of either",
            "widen net.ipv4",
        ] {
            assert!(error.contains(part), "{part}: {error}");
        }
    }
}
