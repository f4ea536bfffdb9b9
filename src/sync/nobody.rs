//! What a user without rights may read: for tests, which may run as a superuser, whom no permission stops.

/// Runs `work` on this thread with the rights of nobody, where this thread may give up its own; they come back
/// afterwards. A user who is no superuser keeps his rights, which permissions stop anyway.
pub(crate) fn as_nobody<T>(work: impl FnOnce() -> T) -> T {
    /// Gives a thread its rights back, also after a panic.
    struct Back(libc::uid_t);

    impl Drop for Back {
        fn drop(&mut self) {
            // SAFETY: no pointer is passed; it concerns this thread alone.
            let _before = unsafe { libc::setfsuid(self.0) };
        }
    }

    const NOBODY: libc::uid_t = 65534;
    // SAFETY: no pointer is passed; it concerns this thread alone.
    let before = unsafe { libc::setfsuid(NOBODY) };
    let _back = Back(before.cast_unsigned());
    work()
}
