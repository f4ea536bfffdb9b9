//! Which models are loaded, and when; what they may use: options of a server beside those of `options.rs`.

use super::door::door;
use super::handle::{borrow_mut, utf8};
use super::options::{Options, set};
use super::repository::RepositoryOf;
use super::status::Status;
use crate::server::{PollOptions, Repository, ServerBuilder};
use inferlay_backend_sdk::Error;
use std::ffi::c_char;
use std::time::Duration;

/// Which models a server loads, and when: one of `INFERLAY_MODEL_CONTROL_*`.
pub type ControlNumber = u32;
/// All, when it starts. The default. `inferlay_server_poll` looks again.
pub const INFERLAY_MODEL_CONTROL_NONE: u32 = 0;
/// Those that are asked for, by `inferlay_options_add_load` and `inferlay_server_load_model`.
pub const INFERLAY_MODEL_CONTROL_EXPLICIT: u32 = 1;
/// All, when it starts, and whatever changes in the repositories afterwards.
pub const INFERLAY_MODEL_CONTROL_POLL: u32 = 2;

/// What a server is told of the lives of its models, until it starts.
#[derive(Default)]
pub(super) struct Control {
    pub(super) kind: ControlNumber,
    pub(super) wanted: Vec<String>,
    poll: PollOptions,
    pub(super) repositories: Vec<Repository>,
    pub(super) retire_timeout: Option<Duration>,
    pub(super) memory_budget: Option<u64>,
    pub(super) device_budgets: Vec<(u32, u64)>,
    pub(super) pinned: Vec<String>,
}

impl Control {
    /// The builder, told of all of it.
    pub(super) fn tell(&self, mut builder: ServerBuilder) -> ServerBuilder {
        builder = match self.kind {
            INFERLAY_MODEL_CONTROL_NONE => builder,
            INFERLAY_MODEL_CONTROL_EXPLICIT => builder.explicit(self.wanted.clone()),
            _ => builder.poll(self.poll.clone()),
        };
        for repository in &self.repositories {
            builder = builder.repository_with(repository.clone());
        }
        if let Some(timeout) = self.retire_timeout {
            builder = builder.retire_timeout(timeout);
        }
        if let Some(bytes) = self.memory_budget {
            builder = builder.memory_budget(bytes);
        }
        for (device, bytes) in &self.device_budgets {
            builder = builder.device_memory_budget(*device, *bytes);
        }
        self.pinned.iter().fold(builder, |builder, model| builder.pin(model))
    }

    pub(super) fn poll(&mut self, change: impl FnOnce(PollOptions) -> PollOptions) {
        self.poll = change(std::mem::take(&mut self.poll));
    }
}

/// Which models are loaded, and when: one of INFERLAY_MODEL_CONTROL_*.                    [one thread] [never blocks]
#[must_use]
#[unsafe(no_mangle)]
pub unsafe extern "C" fn inferlay_options_set_model_control(
    options: *mut Options,
    control: ControlNumber,
) -> *mut Status {
    door(|| {
        if control > INFERLAY_MODEL_CONTROL_POLL {
            return Err(Error::invalid_arg(format!("control: found {control}, expected 0, 1 or 2")));
        }
        // SAFETY: the caller's promise.
        unsafe { borrow_mut(options, "options") }?.control.kind = control;
        Ok(())
    })
}

/// Adds a model that a server with explicit control loads when it starts; others do not mind.
///                                                                                        [one thread] [never blocks]
/// `model`: borrowed for the call. One that is in no repository fails the start with NOT_FOUND.
#[must_use]
#[unsafe(no_mangle)]
pub unsafe extern "C" fn inferlay_options_add_load(options: *mut Options, model: *const c_char) -> *mut Status {
    // SAFETY: the caller's promise.
    unsafe { add(options, model, |control, model| control.wanted.push(model)) }
}

/// Adds a repository of several folders, or whose models are served under other names.    [one thread] [never blocks]
///
/// `repository` and all it points to: borrowed for the call. The folders are opened when a server starts.
#[must_use]
#[unsafe(no_mangle)]
pub unsafe extern "C" fn inferlay_options_add_repository_with(
    options: *mut Options,
    repository: *const RepositoryOf,
) -> *mut Status {
    door(|| {
        // SAFETY: the caller's promise.
        let options = unsafe { borrow_mut(options, "options") }?;
        // SAFETY: the caller's promise.
        options.control.repositories.push(unsafe { RepositoryOf::read(repository) }?);
        Ok(())
    })
}

/// For how long nothing of a model's folder may have changed before a server that polls acts on it; a second by default.
/// Longer than whoever writes it ever pauses.                                             [one thread] [never blocks]
#[must_use]
#[unsafe(no_mangle)]
pub unsafe extern "C" fn inferlay_options_set_settle_time(options: *mut Options, time_ns: u64) -> *mut Status {
    let time = Duration::from_nanos(time_ns);
    // SAFETY: the caller's promise.
    unsafe { set(options, |options| options.control.poll(|poll| poll.settle_time(time))) }
}

/// How often a server that polls looks at everything without being told to by the system; every 30 seconds by default,
/// every 2 where the system does not tell.                                                [one thread] [never blocks]
#[must_use]
#[unsafe(no_mangle)]
pub unsafe extern "C" fn inferlay_options_set_poll_period(options: *mut Options, period_ns: u64) -> *mut Status {
    let period = Duration::from_nanos(period_ns);
    // SAFETY: the caller's promise.
    unsafe { set(options, |options| options.control.poll(|poll| poll.period(period))) }
}

/// Has a server that polls look only at every period: for file systems of whose changes the system tells nothing.
///                                                                                        [one thread] [never blocks]
#[must_use]
#[unsafe(no_mangle)]
pub unsafe extern "C" fn inferlay_options_set_poll_by_period_only(options: *mut Options) -> *mut Status {
    // SAFETY: the caller's promise.
    unsafe { set(options, |options| options.control.poll(PollOptions::by_period_only)) }
}

/// Has a server that polls wait for a file of this name, in the model's folder or a version's, instead of for quiet:
/// written last, and anew for each change.                                                [one thread] [never blocks]
///
/// `name`: borrowed for the call.
#[must_use]
#[unsafe(no_mangle)]
pub unsafe extern "C" fn inferlay_options_set_ready_marker(options: *mut Options, name: *const c_char) -> *mut Status {
    // SAFETY: the caller's promise.
    unsafe { add(options, name, |control, name| control.poll(|poll| poll.ready_marker(name))) }
}

/// Has a server that polls try a load that failed again after so long, although nothing has changed. Else it waits for
/// a change.                                                                              [one thread] [never blocks]
#[must_use]
#[unsafe(no_mangle)]
pub unsafe extern "C" fn inferlay_options_set_retry_after(options: *mut Options, time_ns: u64) -> *mut Status {
    let time = Duration::from_nanos(time_ns);
    // SAFETY: the caller's promise.
    unsafe { set(options, |options| options.control.poll(|poll| poll.retry_after(time))) }
}

/// How long a version that was replaced or unloaded may take to answer what it has; then that is answered with errors.
/// Five minutes by default.                                                               [one thread] [never blocks]
#[must_use]
#[unsafe(no_mangle)]
pub unsafe extern "C" fn inferlay_options_set_retire_timeout(options: *mut Options, timeout_ns: u64) -> *mut Status {
    // SAFETY: the caller's promise.
    unsafe { set(options, |options| options.control.retire_timeout = Some(Duration::from_nanos(timeout_ns))) }
}

/// How many bytes of host memory models may use together. Then they are loaded when they are first asked, and the least
/// recently used go, when they are idle, to make room. Without a budget all stay.         [one thread] [never blocks]
#[must_use]
#[unsafe(no_mangle)]
pub unsafe extern "C" fn inferlay_options_set_memory_budget(options: *mut Options, bytes: u64) -> *mut Status {
    // SAFETY: the caller's promise.
    unsafe { set(options, |options| options.control.memory_budget = Some(bytes)) }
}

/// The same for the memory of a device.                                                   [one thread] [never blocks]
#[must_use]
#[unsafe(no_mangle)]
pub unsafe extern "C" fn inferlay_options_set_device_memory_budget(
    options: *mut Options,
    device_id: u32,
    bytes: u64,
) -> *mut Status {
    // SAFETY: the caller's promise.
    unsafe { set(options, |options| options.control.device_budgets.push((device_id, bytes))) }
}

/// Has a model stay in memory, whatever the budget: it is loaded at the start and never goes to make room.
///                                                                                        [one thread] [never blocks]
/// `model`: borrowed for the call.
#[must_use]
#[unsafe(no_mangle)]
pub unsafe extern "C" fn inferlay_options_add_pinned(options: *mut Options, model: *const c_char) -> *mut Status {
    // SAFETY: the caller's promise.
    unsafe { add(options, model, |control, model| control.pinned.push(model)) }
}

/// # Safety
/// As for [`borrow_mut`] and [`utf8`].
unsafe fn add(options: *mut Options, name: *const c_char, change: impl FnOnce(&mut Control, String)) -> *mut Status {
    door(|| {
        // SAFETY: the caller's promise.
        let options = unsafe { borrow_mut(options, "options") }?;
        // SAFETY: the caller's promise.
        change(&mut options.control, unsafe { utf8(name, "name") }?.to_owned());
        Ok(())
    })
}
