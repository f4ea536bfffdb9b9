//! Servers: started, stopped, asked how they are. A freed server's handle stays behind as a stone that says so.

use super::door::{door, is_forked, quiet_door, watch_forks};
use super::handle::{borrow, out};
use super::options::Options;
use super::status::Status;
use super::text::give;
use super::types::INFERLAY_API_VERSION;
use crate::server::{ChangeCount, ServerHandle};
use crate::sync::{AtomicBool, Clock, Mutex, Ordering, thread};
use inferlay_backend_sdk::{Error, ErrorKind};
use std::ffi::c_char;
use std::time::Duration;

const FREED: Error = Error::fixed(ErrorKind::FailedPrecondition, "server: it was freed before");

/// A model server in this process. Any number of threads may use it at once.
pub struct Server {
    is_live: AtomicBool,
    changes: ChangeCount,
    server: Mutex<Option<ServerHandle>>,
}

/// The stones of all servers: small, never freed, and never taken for another server.
static SERVERS: Mutex<Vec<&'static Server>> = Mutex::new(Vec::new());

/// How long `inferlay_server_free` waits for requests on their way.
const DRAIN_AT_FREE: Duration = Duration::from_secs(5);

impl Server {
    /// The handle of a server, for ever.
    pub(super) fn keep(server: ServerHandle) -> *mut Server {
        let (is_live, changes) = (AtomicBool::new(true), server.change_count());
        let kept: &'static Server = Box::leak(Box::new(Server { is_live, changes, server: Mutex::new(Some(server)) }));
        SERVERS.lock().push(kept);
        std::ptr::from_ref(kept).cast_mut()
    }

    /// Refuses a server that was freed.
    #[inline]
    pub(super) fn check(&self) -> Result<(), Error> {
        if self.is_live.load(Ordering::Acquire) { Ok(()) } else { Err(FREED) }
    }

    /// Where it is counted how many times the state of any version has changed.
    pub(super) fn change_counter(&self) -> *const u64 {
        self.changes.place()
    }

    /// The server behind the handle.
    ///
    /// # Errors
    /// `FAILED_PRECONDITION` when it was freed.
    pub(super) fn handle(&self) -> Result<ServerHandle, Error> {
        self.server.lock().clone().ok_or(FREED)
    }

    fn free(&self) {
        if is_forked() || thread::is_inside() {
            return;
        }
        let server = self.server.lock().take();
        self.is_live.store(false, Ordering::Release);
        if let Some(server) = server.filter(ServerHandle::is_live) {
            // What does not end is left behind: the log has its name.
            let _left = server.stop(DRAIN_AT_FREE);
        }
    }
}

/// The server behind a handle of the caller.
///
/// # Errors
/// `INVALID_ARG` for NULL, `FAILED_PRECONDITION` for a server that was freed.
///
/// # Safety
/// `server` is NULL or came from `inferlay_server_new`.
pub(super) unsafe fn handle(server: *const Server) -> Result<ServerHandle, Error> {
    // SAFETY: the caller's promise; a server's stone is never freed.
    unsafe { borrow(server, "server") }?.handle()
}

/// How long it is until a time on the monotonic clock.
pub(super) fn until(deadline_ns: u64) -> Duration {
    Duration::from_nanos(deadline_ns.saturating_sub(Clock::System.now()))
}

/// Starts a server: loads everything the options name, and serves.             [any thread] [blocks: loads the models]
///
/// `api_version`: INFERLAY_API_VERSION. `options`: borrowed for the call; NULL for the defaults and no models.
/// `server`: where the server goes, which is then the caller's, to be freed with `inferlay_server_free`; not NULL.
/// Fails with UNSUPPORTED for another API version, NOT_FOUND or INVALID_ARG for a path that is not a model's; a model
/// that fails to load does not fail the start unless the options are strict. On failure `server` is left alone.
#[must_use]
#[unsafe(no_mangle)]
pub unsafe extern "C" fn inferlay_server_new(
    api_version: u32,
    options: *const Options,
    server: *mut *mut Server,
) -> *mut Status {
    door(|| {
        if api_version != INFERLAY_API_VERSION {
            return Err(Error::unsupported(format!(
                "api_version: found {api_version}, expected {INFERLAY_API_VERSION}: the program was built with the \
                 header of another version"
            )));
        }
        // SAFETY: the caller's promise.
        let place = unsafe { out(server, "server") }?;
        watch_forks();
        // SAFETY: the caller's promise.
        let builder = match unsafe { options.as_ref() } {
            Some(options) => options.builder(),
            None => ServerHandle::builder(),
        };
        place.write(Server::keep(builder.start()?));
        Ok(())
    })
}

/// Stops a server: refuses what is new, drains until the deadline, answers what is left with errors, ends the threads.
///                                                               [any thread] [blocks until drained or the deadline]
/// `deadline_ns`: on the clock of `inferlay_clock_now`; one that has passed does not drain at all. After it returns, no
/// callback runs any more. Fails with TIMEOUT, naming the models, when something was left: an instance whose backend
/// does not return is abandoned with its thread, and the memory of its requests is not released. Fails with
/// FAILED_PRECONDITION inside a callback or an execution. Stopping again does nothing.
#[must_use]
#[unsafe(no_mangle)]
pub unsafe extern "C" fn inferlay_server_stop(server: *const Server, deadline_ns: u64) -> *mut Status {
    // SAFETY: the caller's promise.
    door(|| unsafe { handle(server) }?.stop(until(deadline_ns)))
}

/// Frees a server. One that was not stopped is stopped first, and drains for up to 5 seconds.
///                                                                 [any thread but inside a callback] [blocks: stops]
/// `server`: taken; NULL, and one that was freed before, do nothing. Inside a callback or an execution it does nothing.
/// Calls with the server afterwards fail with FAILED_PRECONDITION. No other call with the server may be running.
/// Requests, responses, tensors and queues outlive the server and are freed on their own.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn inferlay_server_free(server: *mut Server) {
    quiet_door((), || {
        // SAFETY: the caller's promise; a server's stone is never freed.
        unsafe { borrow(server, "server") }?.free();
        Ok(())
    });
}

/// Whether the server takes requests at all.                                              [any thread] [never blocks]
///
/// False for NULL, after stop and free, and in the child of a fork.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn inferlay_server_is_live(server: *const Server) -> bool {
    // SAFETY: the caller's promise.
    quiet_door(false, || Ok(unsafe { handle(server) }?.is_live()))
}

/// Whether the server is live and every model of it is ready.                             [any thread] [never blocks]
///
/// False as for `inferlay_server_is_live`.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn inferlay_server_is_ready(server: *const Server) -> bool {
    // SAFETY: the caller's promise.
    quiet_door(false, || Ok(unsafe { handle(server) }?.is_ready()))
}

/// What the server is, as JSON in the form of KServe v2: `{"name", "version", "extensions"}`.
///                                                                                        [any thread] [never blocks]
/// `json`: where the text goes, which is then the caller's, to be freed with `inferlay_text_free`; not NULL; left alone
/// on failure. So for all functions that give texts.
#[must_use]
#[unsafe(no_mangle)]
pub unsafe extern "C" fn inferlay_server_metadata(server: *const Server, json: *mut *mut c_char) -> *mut Status {
    // SAFETY: the caller's promise.
    unsafe { tell(server, json, |_| Ok(super::library::metadata())) }
}

/// Every version of every model, as JSON: `[{"name", "version", "state", "reason"}]`, where the state is UNKNOWN,
/// LOADING, READY, UNAVAILABLE or UNLOADING.                                              [any thread] [never blocks]
#[must_use]
#[unsafe(no_mangle)]
pub unsafe extern "C" fn inferlay_server_models(server: *const Server, json: *mut *mut c_char) -> *mut Status {
    // SAFETY: the caller's promise.
    unsafe { tell(server, json, |server| json_of(&server.models())) }
}

/// What every model that serves has done since it was loaded, as JSON: `{"model_stats": [...]}`, with the names of
/// Triton's statistics.                                                                   [any thread] [never blocks]
#[must_use]
#[unsafe(no_mangle)]
pub unsafe extern "C" fn inferlay_server_statistics(server: *const Server, json: *mut *mut c_char) -> *mut Status {
    // SAFETY: the caller's promise.
    unsafe { tell(server, json, |server| json_of(&serde_json::json!({ "model_stats": server.statistics() }))) }
}

/// What the models have done and how they are, what the process may use of the machine, and the metrics of the
/// application, in the text format of Prometheus (`text/plain; version=0.0.4`), under Triton's names where it has them
/// (`nv_*`). Nothing listens: the program serves the text.                                [any thread] [never blocks]
#[must_use]
#[unsafe(no_mangle)]
pub unsafe extern "C" fn inferlay_server_metrics(server: *const Server, metrics: *mut *mut c_char) -> *mut Status {
    // SAFETY: the caller's promise.
    unsafe { tell(server, metrics, |server| Ok(server.metrics_text())) }
}

/// The traces of the last requests that were traced, as JSON that Perfetto and Chrome read. [any thread] [never blocks]
#[must_use]
#[unsafe(no_mangle)]
pub unsafe extern "C" fn inferlay_server_traces(server: *const Server, json: *mut *mut c_char) -> *mut Status {
    // SAFETY: the caller's promise.
    unsafe { tell(server, json, |server| Ok(server.traces_json())) }
}

/// Traces one in so many requests from now on; 0: none but those that ask for it.         [any thread] [never blocks]
#[must_use]
#[unsafe(no_mangle)]
pub unsafe extern "C" fn inferlay_server_set_trace_every(server: *const Server, requests: u32) -> *mut Status {
    door(|| {
        // SAFETY: the caller's promise.
        unsafe { handle(server) }?.set_trace_every(requests);
        Ok(())
    })
}

/// The backends of the server, as JSON: `[{"name", "version", "file_names", "attributes"}]`.
///                                                                                        [any thread] [never blocks]
#[must_use]
#[unsafe(no_mangle)]
pub unsafe extern "C" fn inferlay_server_backends(server: *const Server, json: *mut *mut c_char) -> *mut Status {
    // SAFETY: the caller's promise.
    unsafe { tell(server, json, |server| json_of(&server.backends())) }
}

/// The devices that the server executes on, as JSON: `[{"kind", "id", "name"}]`.          [any thread] [never blocks]
#[must_use]
#[unsafe(no_mangle)]
pub unsafe extern "C" fn inferlay_server_devices(server: *const Server, json: *mut *mut c_char) -> *mut Status {
    // SAFETY: the caller's promise.
    unsafe { tell(server, json, |_| Ok(super::library::devices())) }
}

/// Gives the caller a text about a server.
///
/// # Safety
/// As for [`handle`] and [`give`].
pub(super) unsafe fn tell(
    server: *const Server,
    place: *mut *mut c_char,
    text: impl FnOnce(&ServerHandle) -> Result<String, Error>,
) -> *mut Status {
    door(|| {
        // SAFETY: the caller's promise.
        let server = unsafe { handle(server) }?;
        // SAFETY: the caller's promise.
        unsafe { give(text(&server)?, place) }
    })
}

pub(super) fn json_of(value: &impl serde::Serialize) -> Result<String, Error> {
    serde_json::to_string(value).map_err(|error| Error::internal(error.to_string()))
}
