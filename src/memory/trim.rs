//! Giving memory back to the system.

/// Asks the allocator to give the system what it keeps for later. Takes milliseconds, and holds up other threads that
/// allocate: for when a model was unloaded, not for when one was replaced.
pub(crate) fn trim() {
    #[cfg(all(target_os = "linux", target_env = "gnu"))]
    // SAFETY: it takes no pointer, and may be called on any thread at any time.
    unsafe {
        libc::malloc_trim(0);
    }
}
