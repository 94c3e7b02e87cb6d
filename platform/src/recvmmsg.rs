//! The one unsafe call: `recvmmsg(2)` into memory that its caller owns.
//!
//! Not nix's `recvmmsg`: its `MultiHeaders` keeps the control and name lengths that the kernel
//! wrote for the last batch, so a message without a drop count leaves no room for one in the next,
//! and its lifetimes tie the buffers to the results, so that they can be neither reused without
//! rebuilding a vector nor swapped. Here every header is rebuilt before every call, on the stack,
//! from borrows that last until the call returns: no pointer outlives the function, and nothing is
//! allocated.

use std::io;
use std::os::fd::{AsRawFd, BorrowedFd};
use std::ptr;

use crate::ancillary::{CONTROL_LEN, SOURCE_LEN};
use crate::receive::{Datagram, MAX_BATCH};

/// Receives into the first slots, up to [`MAX_BATCH`] of them, and says how many were filled.
///
/// With `wait` it blocks until there is one datagram and takes what else is there; without, it
/// takes what is there. It never fills none and succeeds.
pub(crate) fn recvmmsg(
    socket: BorrowedFd<'_>,
    slots: &mut [Slot],
    wait: bool,
) -> io::Result<usize> {
    let flags = if wait { libc::MSG_WAITFORONE } else { libc::MSG_DONTWAIT };
    let mut vectors = [libc::iovec { iov_base: ptr::null_mut(), iov_len: 0 }; MAX_BATCH];
    let mut headers = [EMPTY_HEADER; MAX_BATCH];
    let mut count = 0;
    for ((slot, vector), header) in slots.iter_mut().zip(&mut vectors).zip(&mut headers) {
        let buffer = slot.datagram.buffer_mut();
        *vector = libc::iovec { iov_base: buffer.as_mut_ptr().cast(), iov_len: buffer.len() };
        header.msg_hdr.msg_iov = vector;
        header.msg_hdr.msg_iovlen = 1;
        header.msg_hdr.msg_name = slot.source.as_mut_ptr().cast();
        header.msg_hdr.msg_namelen = SOURCE_LEN_FOR_KERNEL;
        header.msg_hdr.msg_control = slot.control.0.as_mut_ptr().cast();
        header.msg_hdr.msg_controllen = CONTROL_LEN;
        count += 1;
    }
    #[expect(unsafe_code, reason = "nix cannot receive into buffers that outlive the call")]
    // SAFETY: `headers` holds at least `count` headers (both are bounded by MAX_BATCH). Each points
    // to one vector, one name and one control buffer with their true lengths; these live in
    // `vectors` and `slots`, which stay exclusively ours and are not touched until the call is
    // over. The kernel writes initialised bytes within those lengths and keeps no pointer. A null
    // timeout means none.
    let result = unsafe {
        libc::recvmmsg(socket.as_raw_fd(), headers.as_mut_ptr(), count, flags, ptr::null_mut())
    };
    let filled = usize::try_from(result).map_err(|_| io::Error::last_os_error())?;
    for (slot, header) in slots.iter_mut().zip(&headers).take(filled) {
        slot.datagram.set_len(header.msg_len as usize);
        slot.source_len = header.msg_hdr.msg_namelen as usize;
        slot.control_len = header.msg_hdr.msg_controllen;
    }
    Ok(filled)
}

#[expect(clippy::cast_possible_truncation, reason = "28 bytes; `try_from` is not const")]
const SOURCE_LEN_FOR_KERNEL: libc::socklen_t = SOURCE_LEN as libc::socklen_t;

const EMPTY_HEADER: libc::mmsghdr = libc::mmsghdr {
    msg_hdr: libc::msghdr {
        msg_name: ptr::null_mut(),
        msg_namelen: 0,
        msg_iov: ptr::null_mut(),
        msg_iovlen: 0,
        msg_control: ptr::null_mut(),
        msg_controllen: 0,
        msg_flags: 0,
    },
    msg_len: 0,
};

/// Memory that one datagram is received into.
#[derive(Debug)]
pub(crate) struct Slot {
    pub(crate) datagram: Datagram,
    source: [u8; SOURCE_LEN],
    source_len: usize,
    control: Control,
    control_len: usize,
}

/// `cmsg(3)` wants its buffer aligned like its header.
#[derive(Debug)]
#[repr(align(8))]
struct Control([u8; CONTROL_LEN]);

impl Slot {
    pub(crate) fn new() -> Self {
        Self {
            datagram: Datagram::spare(),
            source: [0; SOURCE_LEN],
            source_len: 0,
            control: Control([0; CONTROL_LEN]),
            control_len: 0,
        }
    }

    /// The source address as the kernel wrote it.
    pub(crate) fn source(&self) -> &[u8] {
        &self.source[..self.source_len.min(SOURCE_LEN)]
    }

    /// The control messages as the kernel wrote them.
    pub(crate) fn control(&self) -> &[u8] {
        &self.control.0[..self.control_len.min(CONTROL_LEN)]
    }
}
