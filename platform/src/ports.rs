//! The ports that this host gives to sockets that ask for none.

use std::fs;
use std::io;

/// The range of ephemeral ports (`ip_local_port_range`), for IPv4 and IPv6, UDP and TCP alike.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct EphemeralPorts {
    /// The first port of the range.
    pub first: u16,
    /// The last one.
    pub last: u16,
    /// How many within it are kept back (`ip_local_reserved_ports`).
    pub reserved: u32,
}

impl EphemeralPorts {
    /// Reads the range of this network namespace.
    ///
    /// # Errors
    /// When `/proc/sys` cannot be read, or [`io::ErrorKind::InvalidData`] when it holds no range.
    pub fn read() -> io::Result<Self> {
        let range = fs::read_to_string("/proc/sys/net/ipv4/ip_local_port_range")?;
        // Kernels without the setting keep none back.
        let reserved = fs::read_to_string("/proc/sys/net/ipv4/ip_local_reserved_ports");
        parse(&range, &reserved.unwrap_or_default()).ok_or_else(|| {
            let what = format!("`{}` is no range of ports", range.trim());
            io::Error::new(io::ErrorKind::InvalidData, what)
        })
    }

    /// How many sockets of one protocol can have a port of it at once, others of this host
    /// included.
    ///
    /// A TCP port serves one connection to each target; a UDP port is bound before its target is
    /// known, and serves one socket of the host.
    pub fn count(&self) -> u32 {
        u32::from(self.last - self.first) + 1 - self.reserved
    }
}

/// The range is `32768 60999`; what is kept back is `8080,9000-9010`.
fn parse(range: &str, reserved: &str) -> Option<EphemeralPorts> {
    let (first, last) = range.trim().split_once(char::is_whitespace)?;
    let (first, last): (u16, u16) = (first.parse().ok()?, last.trim().parse().ok()?);
    if first > last {
        return None;
    }
    let mut kept_back = 0;
    for part in reserved.trim().split(',').filter(|part| !part.is_empty()) {
        let (from, to) = part.split_once('-').unwrap_or((part, part));
        let (from, to): (u16, u16) = (from.parse().ok()?, to.parse().ok()?);
        let (from, to) = (u32::from(from.max(first)), u32::from(to.min(last)));
        kept_back += (to + 1).saturating_sub(from);
    }
    Some(EphemeralPorts { first, last, reserved: kept_back })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn ranges_are_counted_without_what_is_kept_back() {
        for (range, reserved, expected) in [
            ("32768\t60999\n", "\n", Some((32_768, 60_999, 28_232))),
            ("40000 40000", "", Some((40_000, 40_000, 1))),
            ("32768 60999", "8080,32000-32777,60999-61010\n", Some((32_768, 60_999, 28_221))),
            ("1 65535", "1-65535", Some((1, 65_535, 0))),
            ("60999 32768", "", None),
            ("32768", "", None),
            ("a b", "", None),
            ("32768 60999", "many", None),
        ] {
            let seen = parse(range, reserved).map(|ports| (ports.first, ports.last, ports.count()));
            assert_eq!(seen, expected, "{range} {reserved}");
        }
    }

    #[test]
    fn this_host_has_a_range() {
        assert!(EphemeralPorts::read().unwrap().count() > 0);
    }
}
