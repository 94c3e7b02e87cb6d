//! The host's UDP counters, where datagrams that no socket ever saw leave a trace.
//!
//! Read from `/proc/net/snmp` (IPv4) and `/proc/net/snmp6` (IPv6), added up. They cover every
//! process in the network namespace. Parsed here because procfs wants the whole file as it knows
//! it, and kernels come and go with sections.

use std::error::Error;
use std::fmt;
use std::fs;
use std::io;

/// UDP datagrams of this network namespace, counted by the kernel since boot or between two
/// samples.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct UdpCounters {
    /// Delivered to a socket that read them (`InDatagrams`).
    pub received: u64,
    /// Dropped because a receive buffer was full (`RcvbufErrors`).
    pub receive_buffer_errors: u64,
    /// Not sent because a send buffer was full (`SndbufErrors`).
    pub send_buffer_errors: u64,
}

impl UdpCounters {
    /// The counters as they stand.
    ///
    /// # Errors
    /// When the files cannot be read, or [`io::ErrorKind::InvalidData`] with what they lack.
    pub fn sample() -> io::Result<Self> {
        let v4 = parse_snmp(&fs::read_to_string("/proc/net/snmp")?)?;
        let v6 = match fs::read_to_string("/proc/net/snmp6") {
            Ok(text) => parse_snmp6(&text)?,
            // A kernel without IPv6 receives none.
            Err(error) if error.kind() == io::ErrorKind::NotFound => Self::default(),
            Err(error) => return Err(error),
        };
        Ok(v4.combine(&v6, u64::wrapping_add))
    }

    /// What happened since `earlier`.
    #[must_use]
    pub fn since(&self, earlier: &UdpCounters) -> UdpCounters {
        // The kernel's counters wrap.
        self.combine(earlier, u64::wrapping_sub)
    }

    fn combine(&self, other: &UdpCounters, with: impl Fn(u64, u64) -> u64) -> UdpCounters {
        UdpCounters {
            received: with(self.received, other.received),
            receive_buffer_errors: with(self.receive_buffer_errors, other.receive_buffer_errors),
            send_buffer_errors: with(self.send_buffer_errors, other.send_buffer_errors),
        }
    }

    /// Picks the counters from pairs of name and value.
    fn from_fields(fields: &[(&str, &str)]) -> Result<Self, FormatError> {
        let value = |name| {
            let field = fields.iter().find(|field| field.0 == name).ok_or(FormatError(name))?;
            field.1.parse().map_err(|_| FormatError(name))
        };
        Ok(Self {
            received: value("InDatagrams")?,
            receive_buffer_errors: value("RcvbufErrors")?,
            send_buffer_errors: value("SndbufErrors")?,
        })
    }
}

/// Two lines for each protocol: `Udp: InDatagrams NoPorts …` and `Udp: 116 0 …`.
fn parse_snmp(text: &str) -> Result<UdpCounters, FormatError> {
    let mut lines = text.lines().filter_map(|line| line.strip_prefix("Udp:"));
    let names = lines.next().unwrap_or_default().split_whitespace();
    let values = lines.next().unwrap_or_default().split_whitespace();
    UdpCounters::from_fields(&names.zip(values).collect::<Vec<_>>())
}

/// A line for each counter: `Udp6InDatagrams   116`.
fn parse_snmp6(text: &str) -> Result<UdpCounters, FormatError> {
    let fields = text.lines().filter_map(|line| {
        let (name, value) = line.strip_prefix("Udp6")?.split_once(char::is_whitespace)?;
        Some((name, value.trim()))
    });
    UdpCounters::from_fields(&fields.collect::<Vec<_>>())
}

/// A counter that is missing from the kernel's file or is no number there; carries its name.
#[derive(Debug, PartialEq, Eq)]
struct FormatError(&'static str);

impl fmt::Display for FormatError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "UDP counter {} is missing or no number", self.0)
    }
}

impl Error for FormatError {}

impl From<FormatError> for io::Error {
    fn from(error: FormatError) -> Self {
        io::Error::new(io::ErrorKind::InvalidData, error)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const SNMP: &str = "\
Ip: Forwarding DefaultTTL
Ip: 2 64
Udp: InDatagrams NoPorts InErrors OutDatagrams RcvbufErrors SndbufErrors InCsumErrors
Udp: 116 1 2 117 3 4 5
UdpLite: InDatagrams NoPorts
UdpLite: 900 901
";
    const SNMP6: &str = "\
Ip6InReceives                   \t22
Udp6InDatagrams                 \t10
Udp6RcvbufErrors                \t20
Udp6SndbufErrors                \t30
UdpLite6InDatagrams             \t99
";

    fn counters(received: u64, receive: u64, send: u64) -> UdpCounters {
        UdpCounters { received, receive_buffer_errors: receive, send_buffer_errors: send }
    }

    #[test]
    fn counters_are_found_by_name() {
        assert_eq!(parse_snmp(SNMP), Ok(counters(116, 3, 4)));
        assert_eq!(parse_snmp6(SNMP6), Ok(counters(10, 20, 30)));
    }

    #[test]
    fn a_file_without_the_counters_is_refused_by_name() {
        for (text, missing) in [
            (String::new(), "InDatagrams"),
            (SNMP.replace("116", "many"), "InDatagrams"),
            (SNMP.replace("RcvbufErrors", "Renamed"), "RcvbufErrors"),
            (SNMP.replace("117 3 4 5", "117 3"), "SndbufErrors"),
        ] {
            assert_eq!(parse_snmp(&text), Err(FormatError(missing)), "{text}");
        }
    }

    #[test]
    fn differences_survive_a_wrap() {
        let earlier = counters(u64::MAX, 3, 4);
        assert_eq!(counters(9, 5, 4).since(&earlier), counters(10, 2, 0));
    }

    #[test]
    fn the_kernel_counts_what_this_test_receives() {
        let before = UdpCounters::sample().unwrap();
        let socket = std::net::UdpSocket::bind("127.0.0.1:0").unwrap();
        socket.send_to(b"x", socket.local_addr().unwrap()).unwrap();
        socket.recv(&mut [0]).unwrap();
        assert!(UdpCounters::sample().unwrap().since(&before).received >= 1);
    }
}
