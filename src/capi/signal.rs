//! A file descriptor (an eventfd) that is readable while something waits: what poll, epoll and event loops watch.
//!
//! Whoever owns one raises it when there is something and lowers it when there is nothing any more, under a lock of his
//! own, so that the last word is right. Neither blocks.

use std::os::fd::{AsRawFd, FromRawFd, OwnedFd};

/// The descriptor; closed when dropped.
pub(super) struct Signal(OwnedFd);

impl Signal {
    /// A lowered one; `None` when the system has none left.
    pub(super) fn new() -> Option<Signal> {
        // SAFETY: no pointer is passed.
        let fd = unsafe { libc::eventfd(0, libc::EFD_CLOEXEC | libc::EFD_NONBLOCK) };
        if fd < 0 {
            return None;
        }
        // SAFETY: the descriptor is open and nobody else's.
        Some(Signal(unsafe { OwnedFd::from_raw_fd(fd) }))
    }

    /// Its number.
    pub(super) fn fd(&self) -> i32 {
        self.0.as_raw_fd()
    }

    /// Makes it readable.
    pub(super) fn raise(&self) {
        let one = 1u64;
        // SAFETY: eight bytes are read from a number of eight bytes.
        let _written = unsafe { libc::write(self.fd(), (&raw const one).cast(), 8) };
    }

    /// Makes it unreadable.
    pub(super) fn lower(&self) {
        let mut count = 0u64;
        // SAFETY: eight bytes are written to a number of eight bytes; the descriptor does not block.
        let _read = unsafe { libc::read(self.fd(), (&raw mut count).cast(), 8) };
    }
}
