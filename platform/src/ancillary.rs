//! What the kernel writes beside a datagram, read as plain bytes: control messages and the source.
//!
//! ```text
//! control message (cmsg(3)), repeated     source address (ip(7), ipv6(7))
//! offset size field   native order        offset size field
//! 0      8    length  header and data     0      2    family, native order
//! 8      4    level                       2      2    port, big endian
//! 12     4    type                        4      4    IPv4 address | IPv6 flow info, big endian
//! 16     n    data                        8      16   IPv6 address
//!             padded to 8 bytes           24     4    IPv6 scope, native order
//! ```

use std::net::{Ipv4Addr, Ipv6Addr, SocketAddr, SocketAddrV4, SocketAddrV6};

use crate::clock::KernelTime;

/// Bytes that the control messages of one datagram need: 32 for the timestamp, 24 for the drops.
pub(crate) const CONTROL_LEN: usize = 56;

/// Bytes of the longest source address: `sockaddr_in6`.
pub(crate) const SOURCE_LEN: usize = size_of::<libc::sockaddr_in6>();

const HEADER_LEN: usize = 16;

// The table above holds on 64-bit Linux only.
const _: () = assert!(size_of::<libc::cmsghdr>() == HEADER_LEN);
const _: () = assert!(size_of::<libc::timespec>() == 16);

/// What the control messages of one datagram say; unknown and incomplete ones are passed over.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(crate) struct Ancillary {
    /// `SCM_TIMESTAMPNS`.
    pub(crate) kernel_time: Option<KernelTime>,
    /// `SO_RXQ_OVFL`.
    pub(crate) kernel_drops: Option<u32>,
}

impl Ancillary {
    /// Reads the control messages that the kernel wrote.
    pub(crate) fn parse(mut control: &[u8]) -> Self {
        let mut ancillary = Self::default();
        while let Some((kind, data, rest)) = next_message(control) {
            match kind {
                libc::SCM_TIMESTAMPNS => ancillary.kernel_time = timestamp(data),
                libc::SO_RXQ_OVFL => ancillary.kernel_drops = count(data),
                _ => {}
            }
            control = rest;
        }
        ancillary
    }
}

/// Type and data of the first message at socket level or any other, and the bytes after it.
fn next_message(control: &[u8]) -> Option<(i32, &[u8], &[u8])> {
    let len = usize::try_from(u64::from_ne_bytes(number(control, 0)?)).ok()?;
    let level = i32::from_ne_bytes(number(control, 8)?);
    let kind = i32::from_ne_bytes(number(control, 12)?);
    let data = control.get(HEADER_LEN..len)?;
    let rest = control.get(len.next_multiple_of(8)..).unwrap_or_default();
    // Types are numbered per level; -1 is nobody's.
    Some((if level == libc::SOL_SOCKET { kind } else { -1 }, data, rest))
}

/// A `timespec`: two signed 64-bit numbers, seconds and nanoseconds.
fn timestamp(data: &[u8]) -> Option<KernelTime> {
    let seconds = u64::try_from(i64::from_ne_bytes(number(data, 0)?)).ok()?;
    let nanos = u64::try_from(i64::from_ne_bytes(number(data, 8)?)).ok()?;
    Some(KernelTime::from_unix_nanos(seconds.checked_mul(1_000_000_000)?.checked_add(nanos)?))
}

/// An unsigned 32-bit number.
fn count(data: &[u8]) -> Option<u32> {
    Some(u32::from_ne_bytes(number(data, 0)?))
}

/// The address a datagram came from; nothing when it is neither IPv4 nor IPv6.
pub(crate) fn source(name: &[u8]) -> Option<SocketAddr> {
    let port = u16::from_be_bytes(number(name, 2)?);
    match i32::from(u16::from_ne_bytes(number(name, 0)?)) {
        libc::AF_INET => {
            let ip = Ipv4Addr::from(number::<4>(name, 4)?);
            Some(SocketAddrV4::new(ip, port).into())
        }
        libc::AF_INET6 => {
            let flow_info = u32::from_be_bytes(number(name, 4)?);
            let ip = Ipv6Addr::from(number::<16>(name, 8)?);
            let scope = u32::from_ne_bytes(number(name, 24)?);
            Some(SocketAddrV6::new(ip, port, flow_info, scope).into())
        }
        _ => None,
    }
}

/// The `N` bytes at `offset`.
fn number<const N: usize>(bytes: &[u8], offset: usize) -> Option<[u8; N]> {
    bytes.get(offset..)?.first_chunk().copied()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn message(level: i32, kind: i32, data: &[u8]) -> Vec<u8> {
        let len = u64::try_from(HEADER_LEN + data.len()).unwrap();
        let mut bytes = len.to_ne_bytes().to_vec();
        bytes.extend(level.to_ne_bytes());
        bytes.extend(kind.to_ne_bytes());
        bytes.extend(data);
        bytes.resize(bytes.len().next_multiple_of(8), 0);
        bytes
    }

    fn stamp(seconds: i64, nanos: i64) -> Vec<u8> {
        let data = [seconds.to_ne_bytes(), nanos.to_ne_bytes()].concat();
        message(libc::SOL_SOCKET, libc::SCM_TIMESTAMPNS, &data)
    }

    fn drops(count: u32) -> Vec<u8> {
        message(libc::SOL_SOCKET, libc::SO_RXQ_OVFL, &count.to_ne_bytes())
    }

    #[test]
    fn control_messages_are_found_in_any_order_among_others() {
        let foreign = message(libc::IPPROTO_IP, libc::SO_RXQ_OVFL, &[1, 2, 3, 4]);
        let time = KernelTime::from_unix_nanos(7_000_000_005);
        for (control, kernel_time, kernel_drops) in [
            (vec![], None, None),
            (stamp(7, 5), Some(time), None),
            (drops(3), None, Some(3)),
            ([stamp(7, 5), drops(3)].concat(), Some(time), Some(3)),
            ([drops(3), foreign.clone(), stamp(7, 5)].concat(), Some(time), Some(3)),
            (foreign, None, None),
        ] {
            let expected = Ancillary { kernel_time, kernel_drops };
            assert_eq!(Ancillary::parse(&control), expected, "{control:?}");
        }
    }

    #[test]
    fn both_messages_fit_the_space_that_receive_gives_them() {
        assert_eq!([stamp(7, 5), drops(3)].concat().len(), CONTROL_LEN);
    }

    #[test]
    fn incomplete_and_impossible_messages_are_passed_over() {
        let nothing = Ancillary::default();
        for cut in 0..stamp(7, 5).len() {
            assert_eq!(Ancillary::parse(&stamp(7, 5)[..cut]), nothing, "{cut}");
        }
        assert_eq!(Ancillary::parse(&stamp(-1, 0)), nothing);
        assert_eq!(Ancillary::parse(&stamp(i64::MAX, 0)), nothing);
        // Lengths that lie: no data at all, more than there is, and one that would overflow.
        for len in [0, 15, 17, 400, u64::MAX] {
            let mut bytes = drops(3);
            bytes[..8].copy_from_slice(&len.to_ne_bytes());
            let expected = Ancillary { kernel_drops: None, ..nothing };
            assert_eq!(Ancillary::parse(&bytes), expected, "{len}");
        }
    }

    #[test]
    fn sources_of_both_families_are_read() {
        let inet = u16::try_from(libc::AF_INET).unwrap().to_ne_bytes();
        let inet6 = u16::try_from(libc::AF_INET6).unwrap().to_ne_bytes();
        let v4 = [&inet[..], &[0x12, 0x34, 10, 0, 0, 1]].concat();
        assert_eq!(source(&v4), Some("10.0.0.1:4660".parse().unwrap()));
        let mut v6 = [&inet6[..], &[0x12, 0x34, 0, 0, 0, 0]].concat();
        v6.extend(Ipv6Addr::LOCALHOST.octets());
        v6.extend(9_u32.to_ne_bytes());
        assert_eq!(source(&v6), Some("[::1%9]:4660".parse().unwrap()));
        assert_eq!(source(&v6[..27]), None);
        assert_eq!(source(&[0; SOURCE_LEN]), None);
        assert_eq!(source(&[]), None);
    }
}
