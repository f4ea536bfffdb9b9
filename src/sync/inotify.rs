//! What the system tells of folders (Linux: inotify), and one sleep that it or any thread ends.
//!
//! Invariants: 1. A wake before the sleep ends the next sleep: none is lost. 2. Nothing blocks but [`Inotify::wait`].
//! 3. The numbers of watches are never used again, so that an event of one that is gone names no other.
//!
//! The crates for it bring a runtime or a thread of their own; it is six calls, of a library that is linked anyway.

#[cfg(target_os = "linux")]
pub(crate) use linux::{Inotify, Waker};
#[cfg(not(target_os = "linux"))]
pub(crate) use other::{Inotify, Waker};

/// What happened.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Event {
    /// Something in the folder of this watch, or with the folder itself.
    In(i32),
    /// The watch has ended: its folder is gone.
    Ended(i32),
    /// So much that it was not kept: anything may have happened.
    Overflow,
}

/// The events in what the system wrote, of which all is whole.
#[cfg(any(target_os = "linux", test))]
fn parse(mut bytes: &[u8], events: &mut Vec<Event>) {
    const OVERFLOW: u32 = 0x4000;
    const IGNORED: u32 = 0x8000;
    // struct inotify_event: i32 watch, u32 mask, u32 cookie, u32 len of a name that follows.
    while let Some((head, rest)) = bytes.split_first_chunk::<16>() {
        let word = |at: usize| [head[at], head[at + 1], head[at + 2], head[at + 3]];
        let (watch, mask) = (i32::from_ne_bytes(word(0)), u32::from_ne_bytes(word(4)));
        events.push(match mask {
            mask if mask & OVERFLOW != 0 => Event::Overflow,
            mask if mask & IGNORED != 0 => Event::Ended(watch),
            _ => Event::In(watch),
        });
        bytes = rest.get(u32::from_ne_bytes(word(12)) as usize..).unwrap_or_default();
    }
}

#[cfg(target_os = "linux")]
mod linux {
    use super::{Event, parse};
    use std::ffi::CString;
    use std::fs::File;
    use std::io::{self, Read, Write};
    use std::os::fd::{AsRawFd, FromRawFd};
    use std::os::unix::ffi::OsStrExt;
    use std::path::Path;
    use std::sync::Arc;
    use std::time::Duration;

    /// Everything by which the content of a folder may come to be another. Not every write: a large file would be told
    /// of a thousand times, and whoever is told looks once more before he acts.
    const CHANGES: u32 = libc::IN_CREATE
        | libc::IN_DELETE
        | libc::IN_CLOSE_WRITE
        | libc::IN_MOVED_FROM
        | libc::IN_MOVED_TO
        | libc::IN_ATTRIB
        | libc::IN_DELETE_SELF
        | libc::IN_MOVE_SELF;

    /// Watches folders for one thread.
    pub(crate) struct Inotify {
        events: File,
        wake: Arc<File>,
    }

    /// Ends a sleep in [`Inotify::wait`], from any thread.
    #[derive(Clone)]
    pub(crate) struct Waker(Arc<File>);

    impl Waker {
        /// Ends the sleep, or the next one.
        pub(crate) fn wake(&self) {
            // It fails only when it is at its highest count: then a wake is under way.
            let _written = (&*self.0).write(&1u64.to_ne_bytes());
        }
    }

    impl Inotify {
        /// Watches nothing yet.
        ///
        /// # Errors
        /// The system's, when it has no more of them.
        pub(crate) fn new() -> io::Result<Self> {
            // SAFETY: no pointer is passed.
            let events = open(unsafe { libc::inotify_init1(libc::IN_CLOEXEC | libc::IN_NONBLOCK) })?;
            // SAFETY: no pointer is passed.
            let wake = open(unsafe { libc::eventfd(0, libc::EFD_CLOEXEC | libc::EFD_NONBLOCK) })?;
            Ok(Inotify { events, wake: Arc::new(wake) })
        }

        /// What ends the sleeps of this one.
        pub(crate) fn waker(&self) -> Waker {
            Waker(self.wake.clone())
        }

        /// Watches a folder. One that is watched already, under whatever path, keeps its number.
        ///
        /// # Errors
        /// The system's: the folder is not there or may not be read, or there are too many watches.
        pub(crate) fn add(&self, folder: &Path) -> io::Result<i32> {
            let path = CString::new(folder.as_os_str().as_bytes())?;
            // SAFETY: `path` ends with NUL and outlives the call; the descriptor is open.
            let watch =
                unsafe { libc::inotify_add_watch(self.events.as_raw_fd(), path.as_ptr(), CHANGES | libc::IN_ONLYDIR) };
            if watch < 0 { Err(io::Error::last_os_error()) } else { Ok(watch) }
        }

        /// Watches a folder no longer. One that is not watched is let be.
        pub(crate) fn remove(&self, watch: i32) {
            // SAFETY: no pointer is passed; the descriptor is open.
            let _known = unsafe { libc::inotify_rm_watch(self.events.as_raw_fd(), watch) };
        }

        /// Sleeps until something happens, a thread wakes this one, or the time is over. May return early.
        pub(crate) fn wait(&self, timeout: Option<Duration>) {
            let entry = |file: &File| libc::pollfd { fd: file.as_raw_fd(), events: libc::POLLIN, revents: 0 };
            let mut entries = [entry(&self.events), entry(&self.wake)];
            // Rounded up, so that a sleep of less than a millisecond does not end before its time over and over.
            let ms = timeout.map(|time| i32::try_from(time.as_nanos().div_ceil(1_000_000)).unwrap_or(i32::MAX));
            // SAFETY: `entries` holds two entries of open descriptors and outlives the call.
            let _ready = unsafe { libc::poll(entries.as_mut_ptr(), 2, ms.unwrap_or(-1)) };
            let _count = (&*self.wake).read(&mut [0; 8]);
        }

        /// Adds what has happened since the last call.
        pub(crate) fn take(&mut self, events: &mut Vec<Event>) {
            let mut bytes = [0; 16 << 10];
            while let Ok(len) = self.events.read(&mut bytes)
                && len > 0
            {
                parse(&bytes[..len], events);
            }
        }
    }

    fn open(fd: i32) -> io::Result<File> {
        if fd < 0 {
            return Err(io::Error::last_os_error());
        }
        // SAFETY: the descriptor was just opened for the caller and is nobody else's.
        Ok(unsafe { File::from_raw_fd(fd) })
    }
}

/// Where the system tells nothing: there is no value of these types.
#[cfg(not(target_os = "linux"))]
mod other {
    use super::Event;
    use std::io;
    use std::path::Path;
    use std::time::Duration;

    pub(crate) enum Inotify {}

    #[derive(Clone)]
    pub(crate) enum Waker {}

    impl Waker {
        pub(crate) fn wake(&self) {
            match *self {}
        }
    }

    impl Inotify {
        pub(crate) fn new() -> io::Result<Self> {
            Err(io::ErrorKind::Unsupported.into())
        }

        pub(crate) fn waker(&self) -> Waker {
            match *self {}
        }

        pub(crate) fn add(&self, _folder: &Path) -> io::Result<i32> {
            match *self {}
        }

        pub(crate) fn remove(&self, _watch: i32) {
            match *self {}
        }

        pub(crate) fn wait(&self, _timeout: Option<Duration>) {
            match *self {}
        }

        pub(crate) fn take(&mut self, _events: &mut Vec<Event>) {
            match *self {}
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn event(watch: i32, mask: u32, name: &[u8]) -> Vec<u8> {
        let words = [watch.to_ne_bytes(), mask.to_ne_bytes(), [0; 4], (name.len() as u32).to_ne_bytes()];
        [&words.concat(), name].concat()
    }

    #[test]
    fn events_are_told_apart_whatever_their_names() {
        let bytes =
            [event(1, 0x100, b"model\0\0\0"), event(2, 0x8000, b""), event(-1, 0x4000, b""), event(3, 0x8, b"a\0\0\0")];
        let mut events = Vec::new();
        parse(&bytes.concat(), &mut events);
        assert_eq!(events, [Event::In(1), Event::Ended(2), Event::Overflow, Event::In(3)]);
    }

    #[test]
    fn what_is_cut_off_ends_the_events() {
        let bytes = event(1, 0x100, b"model\0\0\0");
        for len in 0..bytes.len() {
            let mut events = Vec::new();
            parse(&bytes[..len], &mut events);
            assert_eq!(events.len(), usize::from(len >= 16), "{len}");
        }
    }

    #[cfg(target_os = "linux")]
    #[test]
    fn a_wake_before_the_sleep_ends_it() {
        let inotify = Inotify::new().unwrap();
        inotify.waker().wake();
        inotify.wait(None);
    }
}
