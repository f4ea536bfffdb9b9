//! Threads by name, how many may run at once, and whether this thread is inside a call that must not wait.

use std::cell::Cell;

#[cfg(loom)]
pub(crate) use loom::thread::{JoinHandle, yield_now};
#[cfg(not(loom))]
pub(crate) use std::thread::{JoinHandle, yield_now};

/// Starts a thread that bears `name`.
///
/// # Errors
/// The operating system's, when it gives no more threads.
#[cfg(not(loom))]
pub(crate) fn spawn(name: &str, body: impl FnOnce() + Send + 'static) -> std::io::Result<JoinHandle<()>> {
    std::thread::Builder::new().name(name.to_owned()).spawn(body)
}

#[cfg(loom)]
pub(crate) fn spawn(_name: &str, body: impl FnOnce() + Send + 'static) -> std::io::Result<JoinHandle<()>> {
    Ok(loom::thread::spawn(body))
}

/// One turn of a short wait for another thread.
pub(crate) fn relax() {
    #[cfg(not(loom))]
    std::hint::spin_loop();
    #[cfg(loom)]
    loom::thread::yield_now();
}

/// The `turn`th turn of waiting for a thread that holds something for a few instructions: it may have been put to sleep
/// there, and may even be of a lower priority than this one, so that only a sleep lets it run.
#[cfg(not(loom))]
pub(crate) fn back_off(turn: u32) {
    match turn {
        0..1024 if !turn.is_multiple_of(64) => std::hint::spin_loop(),
        0..4096 => std::thread::yield_now(),
        _ => std::thread::sleep(std::time::Duration::from_micros(50)),
    }
}

#[cfg(loom)]
pub(crate) fn back_off(_turn: u32) {
    loom::thread::yield_now();
}

/// What a panic said.
pub(crate) fn panic_text(panic: &(dyn std::any::Any + Send)) -> &str {
    let said = panic.downcast_ref::<&str>().copied();
    said.or_else(|| panic.downcast_ref::<String>().map(String::as_str)).unwrap_or("no message")
}

/// How many threads of this process may run at the same time.
pub(crate) fn cores() -> usize {
    static CORES: std::sync::OnceLock<usize> = std::sync::OnceLock::new();
    *CORES.get_or_init(|| std::thread::available_parallelism().map_or(1, usize::from))
}

#[cfg(not(loom))]
std::thread_local! {
    static INSIDE: Cell<u32> = const { Cell::new(0) };
}

// The threads of a model are coroutines of one thread of the system, whose thread-locals they would share.
#[cfg(loom)]
loom::thread_local! {
    static INSIDE: Cell<u32> = Cell::new(0);
}

/// Whether this thread is inside a backend's `execute` or a user's callback, where a call that waits could wait for
/// itself.
pub(crate) fn is_inside() -> bool {
    INSIDE.with(Cell::get) > 0
}

/// Marks this thread as inside while it lives.
pub(crate) struct Inside(());

impl Inside {
    pub(crate) fn enter() -> Self {
        INSIDE.with(|depth| depth.set(depth.get() + 1));
        Inside(())
    }
}

impl Drop for Inside {
    fn drop(&mut self) {
        INSIDE.with(|depth| depth.set(depth.get() - 1));
    }
}

/// Waits until a thread has ended, unless it is this one, or this one is an engine's own that must not wait.
#[cfg(not(loom))]
pub(crate) fn join(handle: Option<JoinHandle<()>>) {
    if let Some(handle) = handle.filter(|handle| handle.thread().id() != std::thread::current().id() && !is_inside()) {
        // A thread of the engine contains its panics; there is nothing to learn from the result.
        let _ended = handle.join();
    }
}

#[cfg(loom)]
pub(crate) fn join(handle: Option<JoinHandle<()>>) {
    if let Some(handle) = handle {
        let _ended = handle.join();
    }
}

/// Whether a thread has ended.
#[cfg(not(loom))]
pub(crate) fn has_ended(handle: &JoinHandle<()>) -> bool {
    handle.is_finished()
}

#[cfg(loom)]
pub(crate) fn has_ended(_handle: &JoinHandle<()>) -> bool {
    false
}

/// Runs `work` at a low priority, and waits for it: on a thread of its own, as a thread without privileges cannot raise its
/// priority again. `work` must start no threads, which would be of the same low priority for as long as they live, and hold
/// no lock that others wait for.
#[cfg(not(loom))]
pub(crate) fn at_low_priority<R: Send>(name: &str, mut work: impl FnMut() -> R + Send) -> R {
    let done = std::thread::scope(|scope| {
        let work = &mut work;
        let low = move || {
            lower_priority();
            work()
        };
        let thread = std::thread::Builder::new().name(name.to_owned()).spawn_scoped(scope, low).ok()?;
        Some(thread.join().unwrap_or_else(|panic| std::panic::resume_unwind(panic)))
    });
    // Without a thread it is done at the priority that there is.
    done.unwrap_or_else(work)
}

#[cfg(loom)]
pub(crate) fn at_low_priority<R: Send>(_name: &str, mut work: impl FnMut() -> R + Send) -> R {
    work()
}

/// Makes this thread give way to others. Elsewhere than on Linux, where threads have priorities of their own, it stays as it
/// is.
#[cfg(not(loom))]
fn lower_priority() {
    /// A tenth of the weight of a thread of ordinary priority.
    const NICER: i32 = 10;
    #[cfg(target_os = "linux")]
    // SAFETY: it takes no pointer; on Linux it is about the calling thread alone.
    unsafe {
        libc::nice(NICER);
    }
}

/// Runs `work` on this thread and on up to `more_max` more, until all have returned.
#[cfg(not(loom))]
pub(crate) fn scope(more_max: usize, name: &str, work: &(impl Fn() + Sync)) {
    std::thread::scope(|scope| {
        for _ in 0..more_max {
            // With fewer threads the work takes longer, no more.
            let _started = std::thread::Builder::new().name(name.to_owned()).spawn_scoped(scope, work);
        }
        work();
    });
}

#[cfg(loom)]
pub(crate) fn scope(_more_max: usize, _name: &str, work: &(impl Fn() + Sync)) {
    work();
}

#[cfg(all(test, not(loom), target_os = "linux"))]
mod tests {
    use super::*;

    fn niceness() -> i32 {
        // SAFETY: it takes no pointer; 0 stands for the calling thread.
        unsafe { libc::getpriority(libc::PRIO_PROCESS, 0) }
    }

    #[test]
    fn work_of_low_priority_lowers_that_of_nobody_else() {
        let before = niceness();
        assert_eq!(at_low_priority("low", niceness), (before + 10).min(19));
        assert_eq!(niceness(), before);
        let panic = std::panic::catch_unwind(|| at_low_priority("low", || panic!("work of a test")));
        assert_eq!(panic_text(&*panic.unwrap_err()), "work of a test");
    }
}
