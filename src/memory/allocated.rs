//! How much memory is allocated: what the allocator of C says of itself.

/// Bytes that the allocator of C has handed out and not got back, to all threads together; `None` where it does not tell.
/// Memory that is mapped past it (files, stacks, devices, other allocators) is not in it. Takes up to milliseconds, and holds
/// up others that allocate.
#[cfg(all(target_os = "linux", target_env = "gnu"))]
pub(crate) fn allocated() -> Option<u64> {
    type Mallinfo2 = unsafe extern "C" fn() -> libc::mallinfo2;
    static FOUND: std::sync::OnceLock<Option<Mallinfo2>> = std::sync::OnceLock::new();
    // Looked up, not linked: glibc has it since 2.33, and the engine runs with older ones.
    let mallinfo2 = (*FOUND.get_or_init(|| {
        // SAFETY: the name ends with a null byte.
        let found = unsafe { libc::dlsym(libc::RTLD_DEFAULT, c"mallinfo2".as_ptr()) };
        // SAFETY: this is the type of the function that bears the name; a null pointer is `None`.
        unsafe { std::mem::transmute::<*mut libc::c_void, Option<Mallinfo2>>(found) }
    }))?;
    // SAFETY: it takes no pointer, and may be called on any thread at any time.
    let info = unsafe { mallinfo2() };
    Some(info.uordblks.saturating_add(info.hblkhd) as u64)
}

#[cfg(not(all(target_os = "linux", target_env = "gnu")))]
pub(crate) fn allocated() -> Option<u64> {
    None
}

#[cfg(all(test, not(loom), target_os = "linux", target_env = "gnu"))]
mod tests {
    use super::*;

    #[test]
    fn what_is_allocated_counts_wherever_the_allocator_puts_it() {
        // Other tests run beside this one; what they allocate meanwhile is small beside it.
        const LEN: usize = 256 << 20;
        for pieces in [1, 1 << 12] {
            let before = allocated().unwrap();
            let held: Vec<Vec<u8>> = (0..pieces).map(|_| vec![0; LEN / pieces]).collect();
            let more = allocated().unwrap().saturating_sub(before);
            assert!((LEN as u64 / 4 * 3..LEN as u64 * 2).contains(&more), "{pieces} pieces: {more}");
            drop(held);
            assert!(allocated().unwrap() < before + LEN as u64 / 2);
        }
    }
}
