//! Receiving datagrams in batches, with source, arrival time and drops, without allocating.

use std::io;
use std::mem;
use std::net::SocketAddr;
use std::os::fd::AsFd;

use protocol::packet::MAX_DATAGRAM;

use crate::ancillary::{self, Ancillary};
use crate::clock::KernelTime;
use crate::recvmmsg::{Slot, recvmmsg};

/// The most datagrams one call receives; larger batches measured no faster.
pub const MAX_BATCH: usize = 32;

/// One byte more than a datagram may have, so that a longer one is noticed.
const BUFFER_LEN: usize = MAX_DATAGRAM + 1;

/// Room for a batch of datagrams, allocated once and usable with any number of sockets in turn.
#[derive(Debug)]
pub struct ReceiveBatch {
    slots: Vec<Slot>,
    filled: usize,
}

impl ReceiveBatch {
    /// Room for `capacity` datagrams, held between 1 and [`MAX_BATCH`].
    ///
    /// [`MAX_BATCH`] suits a socket with many peers; a few are enough for a device's own socket.
    pub fn new(capacity: usize) -> Self {
        let slots = (0..capacity.clamp(1, MAX_BATCH)).map(|_| Slot::new()).collect();
        Self { slots, filled: 0 }
    }

    /// Replaces the batch by what `socket` has to read and returns how many datagrams that is.
    ///
    /// With `wait` it blocks until one is there, or until the socket's read timeout; otherwise, and
    /// on a socket in non-blocking mode, it never blocks. `Ok(0)` means that nothing was there, in
    /// time or at all.
    ///
    /// # Errors
    /// [`io::ErrorKind::ConnectionRefused`] when nobody listens where a connected socket sent to;
    /// anything else is a bug or a broken socket.
    pub fn receive(&mut self, socket: &impl AsFd, wait: bool) -> io::Result<usize> {
        self.filled = 0;
        self.filled = loop {
            match recvmmsg(socket.as_fd(), &mut self.slots, wait) {
                Err(error) if error.kind() == io::ErrorKind::Interrupted => {}
                Err(error) if error.kind() == io::ErrorKind::WouldBlock => break 0,
                other => break other?,
            }
        };
        Ok(self.filled)
    }

    /// The datagrams of the last [`receive`](Self::receive), in the order of arrival.
    pub fn received(&mut self) -> impl ExactSizeIterator<Item = Received<'_>> {
        self.slots[..self.filled].iter_mut().map(|slot| Received {
            source: ancillary::source(slot.source()),
            kernel_time: Ancillary::parse(slot.control()).kernel_time,
            datagram: &mut slot.datagram,
        })
    }

    /// Datagrams that the kernel has dropped on the socket of the last [`receive`](Self::receive)
    /// because its buffer was full: since it was opened, up to the newest datagram of the batch,
    /// wrapping after 2³².
    ///
    /// `None` when the batch is empty, or when the kernel did not say: it says nothing while
    /// nothing was dropped.
    pub fn kernel_drops(&self) -> Option<u32> {
        let newest = self.slots[..self.filled].last()?;
        Ancillary::parse(newest.control()).kernel_drops
    }
}

/// One datagram of a batch.
#[derive(Debug)]
pub struct Received<'a> {
    /// The bytes; they stay in the batch until the next one, unless [taken](Self::take).
    pub datagram: &'a mut Datagram,
    /// Who sent it.
    pub source: Option<SocketAddr>,
    /// When the kernel received it; place it on the run's clock with
    /// [`RealtimeOffset::to_moment`](crate::RealtimeOffset::to_moment).
    ///
    /// `None` where the socket does not ask for timestamps. For a datagram that arrived just as the
    /// first socket of the host asked for them, it may be the time of reading.
    pub kernel_time: Option<KernelTime>,
}

impl Received<'_> {
    /// Takes the datagram out of the batch without copying it; `spare` receives in its place.
    pub fn take(self, spare: Datagram) -> Datagram {
        mem::replace(self.datagram, spare)
    }
}

/// An owned buffer with the datagram in it, if any. Moving one moves a pointer, not the bytes.
#[derive(Debug)]
pub struct Datagram {
    buffer: Box<[u8; BUFFER_LEN]>,
    len: usize,
}

impl Datagram {
    /// An empty buffer, to be traded for a full one with [`Received::take`].
    pub fn spare() -> Self {
        Self { buffer: Box::new([0; BUFFER_LEN]), len: 0 }
    }

    /// The bytes received; at most [`MAX_DATAGRAM`] unless [`truncated`](Self::truncated).
    pub fn payload(&self) -> &[u8] {
        &self.buffer[..self.len]
    }

    /// The bytes received, to be decrypted in place.
    pub fn payload_mut(&mut self) -> &mut [u8] {
        &mut self.buffer[..self.len]
    }

    /// The datagram was longer than [`MAX_DATAGRAM`]: its end is lost.
    pub fn truncated(&self) -> bool {
        self.len > MAX_DATAGRAM
    }

    pub(crate) fn buffer_mut(&mut self) -> &mut [u8] {
        &mut self.buffer[..]
    }

    pub(crate) fn set_len(&mut self, len: usize) {
        assert!(len <= BUFFER_LEN, "the kernel was given {BUFFER_LEN} bytes and filled {len}");
        self.len = len;
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::{UdpOptions, bind_udp, connect_udp};
    use std::net::UdpSocket;
    use std::time::Duration;

    /// A bound socket and one connected to it; reads give up after 10 s rather than hang.
    fn pair(host: &str, options: UdpOptions) -> (UdpSocket, UdpSocket) {
        let gateway = bind_udp(format!("{host}:0").parse().unwrap(), options).unwrap();
        let device = connect_udp(gateway.local_addr().unwrap(), options).unwrap();
        for socket in [&gateway, &device] {
            socket.set_read_timeout(Some(Duration::from_secs(10))).unwrap();
        }
        (gateway, device)
    }

    fn ipv4() -> (UdpSocket, UdpSocket) {
        pair("127.0.0.1", UdpOptions::default())
    }

    /// Receives until `count` payloads were seen.
    fn collect(batch: &mut ReceiveBatch, socket: &UdpSocket, count: usize) -> Vec<Vec<u8>> {
        let mut payloads = Vec::new();
        while payloads.len() < count {
            assert_ne!(batch.receive(socket, true).unwrap(), 0, "nothing more after {payloads:?}");
            payloads.extend(batch.received().map(|received| received.datagram.payload().to_vec()));
        }
        payloads
    }

    #[test]
    fn a_batch_is_reused_and_keeps_order_source_and_time() {
        for host in ["127.0.0.1", "[::1]"] {
            // Containers are often without IPv6.
            if host == "[::1]" && UdpSocket::bind("[::1]:0").is_err() {
                continue;
            }
            let (gateway, device) = pair(host, UdpOptions::default());
            let mut batch = ReceiveBatch::new(3);
            for round in 0..3_u8 {
                let sent: Vec<_> = (0..7).map(|i| vec![round; i + 1]).collect();
                for payload in &sent {
                    device.send(payload).unwrap();
                }
                assert_eq!(collect(&mut batch, &gateway, sent.len()), sent);
                for received in batch.received() {
                    assert_eq!(received.source, Some(device.local_addr().unwrap()));
                    assert!(received.kernel_time.is_some());
                    assert!(!received.datagram.truncated());
                }
            }
        }
    }

    #[test]
    fn an_empty_socket_gives_nothing_at_once_or_at_its_timeout() {
        let (gateway, device) = ipv4();
        let mut batch = ReceiveBatch::new(MAX_BATCH);
        device.send(b"x").unwrap();
        assert_eq!(collect(&mut batch, &gateway, 1), [b"x"]);
        assert_eq!(batch.receive(&gateway, false).unwrap(), 0);
        assert_eq!(batch.received().len(), 0);
        gateway.set_read_timeout(Some(Duration::from_millis(1))).unwrap();
        assert_eq!(batch.receive(&gateway, true).unwrap(), 0);
    }

    #[test]
    fn only_datagrams_beyond_the_limit_are_truncated() {
        let (gateway, device) = ipv4();
        let mut batch = ReceiveBatch::new(1);
        for (len, truncated) in
            [(0, false), (MAX_DATAGRAM, false), (MAX_DATAGRAM + 1, true), (9000, true)]
        {
            device.send(&vec![7; len]).unwrap();
            assert_eq!(batch.receive(&gateway, true).unwrap(), 1);
            let received = batch.received().next().unwrap();
            assert_eq!(received.datagram.truncated(), truncated, "{len}");
            assert_eq!(received.datagram.payload().len(), len.min(BUFFER_LEN));
        }
    }

    #[test]
    fn a_taken_datagram_survives_the_next_batch() {
        let (gateway, device) = ipv4();
        let mut batch = ReceiveBatch::new(1);
        device.send(b"first").unwrap();
        device.send(b"second").unwrap();
        batch.receive(&gateway, true).unwrap();
        let mut first = batch.received().next().unwrap().take(Datagram::spare());
        assert_eq!(collect(&mut batch, &gateway, 1), [b"second"]);
        first.payload_mut().make_ascii_uppercase();
        assert_eq!(first.payload(), b"FIRST");
    }

    #[test]
    fn a_connected_socket_learns_that_nobody_listens() {
        let (gateway, device) = ipv4();
        drop(gateway);
        device.send(b"anybody?").unwrap();
        let error = ReceiveBatch::new(1).receive(&device, true).unwrap_err();
        assert_eq!(error.kind(), io::ErrorKind::ConnectionRefused);
    }

    /// Also the reason why lengths must be reset: the first batch has no drop count.
    #[test]
    fn drops_are_counted_by_the_kernel_once_there_are_any() {
        let small = UdpOptions { receive_buffer_bytes: 4096, ..UdpOptions::default() };
        let (gateway, device) = pair("127.0.0.1", small);
        let mut batch = ReceiveBatch::new(MAX_BATCH);
        device.send(b"fits").unwrap();
        collect(&mut batch, &gateway, 1);
        assert_eq!(batch.kernel_drops(), None);
        for _ in 0..200 {
            device.send(&[0; 1000]).unwrap();
        }
        while batch.receive(&gateway, false).unwrap() > 0 {}
        // A datagram carries the count from the time it was queued, so only the next one tells.
        device.send(b"after").unwrap();
        assert_eq!(collect(&mut batch, &gateway, 1), [b"after"]);
        let drops = batch.kernel_drops().unwrap();
        assert!((1..200).contains(&drops), "{drops}");
        assert!(batch.received().all(|received| received.kernel_time.is_some()));
    }
}
