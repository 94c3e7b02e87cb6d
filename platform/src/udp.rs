//! Opening UDP sockets that report when a datagram arrived and how many were dropped.

use std::io;
use std::net::{SocketAddr, UdpSocket};
use std::os::fd::AsRawFd;

use nix::sys::socket::{getsockopt, setsockopt, sockopt};
use socket2::{Domain, Protocol, Socket, Type};

/// How a UDP socket is opened.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct UdpOptions {
    /// Lets several sockets bind one address (`SO_REUSEPORT`); the kernel spreads peers over them
    /// by a hash of addresses and ports. Default: false.
    pub reuse_port: bool,
    /// Bytes of datagrams the kernel may hold until they are read; what arrives beyond is dropped
    /// and counted. The kernel grants this twice over, because its own bookkeeping counts too (a
    /// 160-byte datagram weighs 832 bytes), and without `CAP_NET_ADMIN` no more than
    /// `net.core.rmem_max`. Default: 4 MiB, about 10,000 small datagrams.
    pub receive_buffer_bytes: usize,
}

impl Default for UdpOptions {
    fn default() -> Self {
        Self { reuse_port: false, receive_buffer_bytes: 4 << 20 }
    }
}

/// A socket bound to `addr`, blocking, with kernel timestamps and drop counts switched on.
///
/// An unspecified IPv6 address also takes IPv4 unless `net.ipv6.bindv6only` says otherwise; the
/// sources of such datagrams are IPv4-mapped addresses, which is also the form to answer to.
///
/// # Errors
/// The system call that failed: most often an address in use or not of this host.
pub fn bind_udp(addr: SocketAddr, options: UdpOptions) -> io::Result<UdpSocket> {
    let socket = open(addr, options)?;
    socket.bind(&addr.into())?;
    Ok(socket.into())
}

/// A socket that talks to `remote` only, from an address and port that the kernel picks.
///
/// It is bound by connecting, so that it never receives from anybody else. Options as with
/// [`bind_udp`].
///
/// # Errors
/// The system call that failed: no route to `remote`, or no ephemeral port or file left.
pub fn connect_udp(remote: SocketAddr, options: UdpOptions) -> io::Result<UdpSocket> {
    let socket = open(remote, options)?;
    socket.connect(&remote.into())?;
    Ok(socket.into())
}

/// Gives a socket of [`connect_udp`] another port, as a NAT does that has forgotten the old one: what
/// is sent to that from now on is lost. Nothing else of the socket changes.
///
/// # Errors
/// The system call that failed: the socket is not connected, or no ephemeral port is left.
#[expect(unsafe_code, reason = "no safe wrapper disconnects")]
pub fn renew_port(socket: &UdpSocket) -> io::Result<()> {
    const LENGTH: libc::socklen_t = 16;
    let remote = socket.peer_addr()?;
    // AF_UNSPEC is 0.
    let unspecified = libc::sockaddr { sa_family: 0, sa_data: [0; 14] };
    // SAFETY: the address is as long as is said, and the kernel reads it only.
    let disconnected = unsafe { libc::connect(socket.as_raw_fd(), &raw const unspecified, LENGTH) };
    if disconnected != 0 {
        return Err(io::Error::last_os_error());
    }
    socket.connect(remote)
}

/// The receive buffer that `socket` really has, in bytes, the kernel's bookkeeping included: twice
/// what was asked for, or less where `net.core.rmem_max` cut it.
///
/// # Errors
/// Whatever `getsockopt(SO_RCVBUF)` reports.
pub fn receive_buffer_bytes(socket: &UdpSocket) -> io::Result<usize> {
    Ok(getsockopt(socket, sockopt::RcvBuf)?)
}

fn open(addr: SocketAddr, options: UdpOptions) -> io::Result<Socket> {
    let socket = Socket::new(Domain::for_address(addr), Type::DGRAM, Some(Protocol::UDP))?;
    socket.set_reuse_port(options.reuse_port)?;
    // nix passes on the low 32 bits.
    let bytes = options.receive_buffer_bytes.min(i32::MAX as usize);
    // The forced form ignores `rmem_max` but needs CAP_NET_ADMIN.
    if setsockopt(&socket, sockopt::RcvBufForce, &bytes).is_err() {
        setsockopt(&socket, sockopt::RcvBuf, &bytes)?;
    }
    setsockopt(&socket, sockopt::ReceiveTimestampns, &true)?;
    setsockopt(&socket, sockopt::RxqOvfl, &1)?;
    Ok(socket)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_socket_with_another_port_goes_on_from_there() {
        let gateway = UdpSocket::bind("127.0.0.1:0").unwrap();
        let device = connect_udp(gateway.local_addr().unwrap(), UdpOptions::default()).unwrap();
        let mut ports = Vec::new();
        for _ in 0..3 {
            device.send(b"frame").unwrap();
            let source = gateway.recv_from(&mut [0; 9]).unwrap().1;
            assert_eq!(source, device.local_addr().unwrap());
            gateway.send_to(b"answer", source).unwrap();
            assert_eq!(device.recv(&mut [0; 9]).unwrap(), 6);
            ports.push(source.port());
            renew_port(&device).unwrap();
        }
        ports.dedup();
        assert_eq!(ports.len(), 3, "{ports:?}");
        let unconnected = UdpSocket::bind("127.0.0.1:0").unwrap();
        assert!(renew_port(&unconnected).is_err());
    }
    use std::net::Ipv4Addr;

    const ANY_PORT: SocketAddr = SocketAddr::new(std::net::IpAddr::V4(Ipv4Addr::LOCALHOST), 0);

    #[test]
    fn only_sockets_that_all_ask_for_it_share_an_address() {
        let shared = UdpOptions { reuse_port: true, ..UdpOptions::default() };
        let first = bind_udp(ANY_PORT, shared).unwrap();
        let addr = first.local_addr().unwrap();
        bind_udp(addr, shared).unwrap();
        let refused = bind_udp(addr, UdpOptions::default()).unwrap_err();
        assert_eq!(refused.kind(), io::ErrorKind::AddrInUse);
    }

    #[test]
    fn the_receive_buffer_is_at_least_what_was_asked_for() {
        let options = UdpOptions { receive_buffer_bytes: 64 << 10, ..UdpOptions::default() };
        let socket = bind_udp(ANY_PORT, options).unwrap();
        assert!(receive_buffer_bytes(&socket).unwrap() >= 64 << 10);
    }

    #[test]
    fn connected_sockets_have_ports_of_their_own() {
        let gateway = bind_udp(ANY_PORT, UdpOptions::default()).unwrap();
        let remote = gateway.local_addr().unwrap();
        let device = || connect_udp(remote, UdpOptions::default()).unwrap();
        let (one, two) = (device(), device());
        assert_eq!(one.peer_addr().unwrap(), remote);
        assert_ne!(one.local_addr().unwrap(), two.local_addr().unwrap());
    }
}
