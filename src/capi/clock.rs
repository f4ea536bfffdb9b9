//! The clock that deadlines go by.

use crate::sync::Clock;

/// Now, in nanoseconds on the monotonic clock (CLOCK_MONOTONIC): what deadlines are compared with.
///                                                                                        [any thread] [never blocks]
/// A deadline of 20 ms from now: `inferlay_clock_now() + 20000000`.
#[unsafe(no_mangle)]
pub extern "C" fn inferlay_clock_now() -> u64 {
    Clock::System.now()
}
