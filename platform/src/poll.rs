//! Waiting until one of many sockets can be read, or until another thread says so.

use std::io;
use std::os::fd::AsFd;
use std::time::Duration;

use nix::errno::Errno;
use nix::sys::epoll::{Epoll, EpollCreateFlags, EpollEvent, EpollFlags, EpollTimeout};
use nix::sys::eventfd::{EfdFlags, EventFd};

/// Watches any number of sockets for something to read (epoll, level triggered).
///
/// Level triggered: a socket is reported again until it has been read empty, so reading one batch
/// per report neither loses datagrams nor starves the other sockets. `add` and `remove` may be
/// called from other threads while one waits.
#[derive(Debug)]
pub struct Poller {
    epoll: Epoll,
}

impl Poller {
    /// A poller that watches nothing yet.
    ///
    /// # Errors
    /// When the process has no file descriptor left.
    pub fn new() -> io::Result<Self> {
        Ok(Self { epoll: Epoll::new(EpollCreateFlags::EPOLL_CLOEXEC)? })
    }

    /// Watches `socket` and reports it as `token`, which may be any number.
    ///
    /// A socket that is closed leaves by itself, once all its duplicates are closed.
    ///
    /// # Errors
    /// [`io::ErrorKind::AlreadyExists`] for a socket already watched; otherwise a kernel limit
    /// (`fs.epoll.max_user_watches`).
    pub fn add(&self, socket: &impl AsFd, token: u64) -> io::Result<()> {
        Ok(self.epoll.add(socket, EpollEvent::new(EpollFlags::EPOLLIN, token))?)
    }

    /// Stops watching `socket`. A report that is already in an [`Events`] stays there.
    ///
    /// # Errors
    /// [`io::ErrorKind::NotFound`] for a socket that is not watched.
    pub fn remove(&self, socket: &impl AsFd) -> io::Result<()> {
        Ok(self.epoll.delete(socket)?)
    }

    /// Replaces `events` by the sockets that can be read, waiting up to `timeout` for the first.
    ///
    /// Waits whole milliseconds, rounded up, so that a caller with a deadline does not spin in the
    /// last one; 24 days at most. A signal ends the wait early. In both cases, and at the timeout,
    /// `events` is empty.
    ///
    /// # Errors
    /// None in practice: the arguments are valid by construction.
    pub fn wait(&self, events: &mut Events, timeout: Duration) -> io::Result<()> {
        events.ready = 0;
        let millis = timeout.as_nanos().div_ceil(1_000_000);
        let timeout = EpollTimeout::try_from(millis).unwrap_or(EpollTimeout::MAX);
        events.ready = match self.epoll.wait(&mut events.buffer, timeout) {
            Err(Errno::EINTR) => 0,
            other => other?,
        };
        Ok(())
    }
}

/// What a [`Poller`] reported, in a buffer that is allocated once.
#[derive(Debug)]
pub struct Events {
    buffer: Vec<EpollEvent>,
    ready: usize,
}

impl Events {
    /// Room for `capacity` reports, at least 1. When more sockets are ready, the others come first
    /// in the next wait.
    pub fn with_capacity(capacity: usize) -> Self {
        Self { buffer: vec![EpollEvent::empty(); capacity.max(1)], ready: 0 }
    }

    /// The tokens of the sockets that can be read, or have an error to be read.
    pub fn tokens(&self) -> impl ExactSizeIterator<Item = u64> {
        self.buffer[..self.ready].iter().map(EpollEvent::data)
    }
}

/// Ends a [`Poller::wait`] from another thread; share it by reference or in an `Arc`.
#[derive(Debug)]
pub struct Waker {
    event: EventFd,
}

impl Waker {
    /// A waker for `poller`, reported as `token`.
    ///
    /// # Errors
    /// When the process has no file descriptor left, or as [`Poller::add`].
    pub fn new(poller: &Poller, token: u64) -> io::Result<Self> {
        let event = EventFd::from_flags(EfdFlags::EFD_CLOEXEC | EfdFlags::EFD_NONBLOCK)?;
        // Edge triggered, so that each wake is reported once and nobody must remember to clear it.
        let flags = EpollFlags::EPOLLIN | EpollFlags::EPOLLET;
        poller.epoll.add(&event, EpollEvent::new(flags, token))?;
        Ok(Self { event })
    }

    /// Ends the current wait, or the next one if none is under way. Wakes that nobody has waited
    /// for yet count as one.
    ///
    /// # Errors
    /// None in practice: the counter behind it overflows after 2⁶⁴ wakes.
    pub fn wake(&self) -> io::Result<()> {
        self.event.write(1)?;
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::{ReceiveBatch, UdpOptions, bind_udp};
    use std::net::UdpSocket;

    /// Long enough to say "it never came" and never reached when all is well.
    const LONG: Duration = Duration::from_secs(10);

    fn socket() -> UdpSocket {
        bind_udp("127.0.0.1:0".parse().unwrap(), UdpOptions::default()).unwrap()
    }

    fn wait(poller: &Poller, events: &mut Events, timeout: Duration) -> Vec<u64> {
        poller.wait(events, timeout).unwrap();
        events.tokens().collect()
    }

    #[test]
    fn a_socket_is_reported_until_it_is_read_or_removed() {
        let (poller, mut events) = (Poller::new().unwrap(), Events::with_capacity(8));
        let (one, two) = (socket(), socket());
        poller.add(&one, 1).unwrap();
        poller.add(&two, u64::MAX).unwrap();
        assert_eq!(poller.add(&two, 3).unwrap_err().kind(), io::ErrorKind::AlreadyExists);
        assert!(wait(&poller, &mut events, Duration::ZERO).is_empty());

        one.send_to(b"x", two.local_addr().unwrap()).unwrap();
        assert_eq!(wait(&poller, &mut events, LONG), [u64::MAX]);
        assert_eq!(wait(&poller, &mut events, LONG), [u64::MAX]);
        ReceiveBatch::new(1).receive(&two, false).unwrap();
        assert!(wait(&poller, &mut events, Duration::ZERO).is_empty());

        two.send_to(b"x", one.local_addr().unwrap()).unwrap();
        assert_eq!(wait(&poller, &mut events, LONG), [1]);
        poller.remove(&one).unwrap();
        assert!(wait(&poller, &mut events, Duration::ZERO).is_empty());
        assert_eq!(poller.remove(&one).unwrap_err().kind(), io::ErrorKind::NotFound);
    }

    #[test]
    fn more_ready_sockets_than_room_take_turns() {
        let (poller, mut events) = (Poller::new().unwrap(), Events::with_capacity(2));
        let sockets: Vec<_> = (0..5).map(|_| socket()).collect();
        for (socket, token) in sockets.iter().zip(0..) {
            poller.add(socket, token).unwrap();
            socket.send_to(b"x", socket.local_addr().unwrap()).unwrap();
        }
        let mut seen: Vec<_> =
            (0..3).flat_map(|_| wait(&poller, &mut events, LONG)).take(5).collect();
        seen.sort_unstable();
        assert_eq!(seen, [0, 1, 2, 3, 4]);
    }

    #[test]
    fn a_wake_from_another_thread_is_reported_once() {
        let (poller, mut events) = (Poller::new().unwrap(), Events::with_capacity(8));
        let waker = Waker::new(&poller, 7).unwrap();
        for _ in 0..3 {
            std::thread::scope(|scope| {
                scope.spawn(|| waker.wake().unwrap());
                assert_eq!(wait(&poller, &mut events, LONG), [7]);
            });
            assert!(wait(&poller, &mut events, Duration::ZERO).is_empty());
        }
        waker.wake().unwrap();
        waker.wake().unwrap();
        assert_eq!(wait(&poller, &mut events, Duration::MAX), [7]);
        assert!(wait(&poller, &mut events, Duration::ZERO).is_empty());
    }
}
