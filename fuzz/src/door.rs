//! The C API: `c/door.c` reads calls from the bytes, and makes them.

use std::ffi::c_int;

// So that the library with the C functions is linked.
use inferlay as _;

unsafe extern "C" {
    fn fuzz_door(data: *const u8, len: usize) -> c_int;
}

/// Makes the calls.
///
/// # Panics
/// When a function breaks what its comment says.
///
/// # Examples
/// ```
/// inferlay_fuzz::door::run(&[1, 2, 3]);
/// ```
pub fn run(bytes: &[u8]) {
    // SAFETY: the bytes are read during the call.
    let broken = unsafe { fuzz_door(bytes.as_ptr(), bytes.len()) };
    assert_eq!(broken, 0, "c/door.c:{broken}");
}
