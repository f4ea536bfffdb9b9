//! What a bench asks of the operating system: a core to stay on, and the processor time that was spent.

use rustix::thread::{CpuSet, sched_setaffinity};
use rustix::time::{ClockId, clock_gettime};
use std::time::Duration;

/// Keeps this thread, and every thread that it starts from now on, on one core.
///
/// # Errors
/// When there is no such core, or this process may not use it.
pub(crate) fn pin(core: usize) -> Result<(), String> {
    if core >= CpuSet::MAX_CPU {
        return Err(format!("--pin: found core {core}, expected one below {}", CpuSet::MAX_CPU));
    }
    let mut set = CpuSet::new();
    set.set(core);
    sched_setaffinity(None, &set).map_err(|error| format!("--pin: core {core} cannot be had: {error}"))
}

/// Processor time of all threads of this process so far.
pub(crate) fn cpu_time() -> Duration {
    let time = clock_gettime(ClockId::ProcessCPUTime);
    // The kernel gives nanoseconds below one second and no negative time.
    Duration::new(time.tv_sec.unsigned_abs(), time.tv_nsec.unsigned_abs() as u32)
}
