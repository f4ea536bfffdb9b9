//! What a server tells of by itself, its log and the progress of its start, as events of a completion queue: for
//! programs that cannot be called on threads of the library.

use super::door::door;
use super::handle::{UserData, borrow_mut};
use super::options::{LogTo, Options, ProgressTo};
use super::queue::{Event, INFERLAY_EVENT_LOG, INFERLAY_EVENT_PROGRESS, Queue};
use super::status::Status;
use crate::server::Progress;
use inferlay_backend_sdk::{Error, ErrorKind, LogLevel};
use serde_json::json;
use std::ffi::c_void;

/// How many events a queue may hold when a line of the log is added; who takes none loses lines, not memory.
const LINES_MAX: usize = 65_536;

/// Sends the log of a server to a completion queue, in the place of a function.          [one thread] [never blocks]
///
/// Each line is an event of the kind LOG: `flags` is its level, the message of `status` its text. Lines that nobody
/// takes are left out from 65536 events on. `queue`: borrowed for the call; NULL for no log. `user_data`: comes back
/// with each event. `level_min`: as for `inferlay_options_set_log`.
#[must_use]
#[unsafe(no_mangle)]
pub unsafe extern "C" fn inferlay_options_set_log_queue(
    options: *mut Options,
    queue: *const Queue,
    user_data: *mut c_void,
    level_min: u32,
) -> *mut Status {
    door(|| {
        // SAFETY: the caller's promise.
        let options = unsafe { borrow_mut(options, "options") }?;
        options.log = None;
        if !queue.is_null() {
            // SAFETY: the caller's promise.
            let to = LogTo::Queue(unsafe { Queue::share(queue) }?);
            options.log = Some((to, UserData(user_data), level_min));
        }
        Ok(())
    })
}

/// Tells a completion queue of each model while a server starts, in the place of a function.
///                                                                                        [one thread] [never blocks]
/// Each model is an event of the kind PROGRESS: the message of `status` is JSON, `{"model", "version", "done", "total",
/// "reason"}`, with the meaning of `inferlay_progress`; the reason is "" for a model that serves. `queue`: borrowed for
/// the call; NULL for nobody. `user_data`: comes back with each event.
#[must_use]
#[unsafe(no_mangle)]
pub unsafe extern "C" fn inferlay_options_set_progress_queue(
    options: *mut Options,
    queue: *const Queue,
    user_data: *mut c_void,
) -> *mut Status {
    door(|| {
        // SAFETY: the caller's promise.
        let options = unsafe { borrow_mut(options, "options") }?;
        options.progress = None;
        if !queue.is_null() {
            // SAFETY: the caller's promise.
            let to = ProgressTo::Queue(unsafe { Queue::share(queue) }?);
            options.progress = Some((to, UserData(user_data)));
        }
        Ok(())
    })
}

/// Adds a line of the log.
pub(super) fn line(queue: &Queue, user_data: UserData, level: LogLevel, message: &str) {
    let event = Event::notice(INFERLAY_EVENT_LOG, level as u32, user_data, text(message.to_owned()));
    queue.push_below(LINES_MAX, event, None);
}

/// Tells of a model.
pub(super) fn progress(queue: &Queue, user_data: UserData, progress: &Progress<'_>) {
    let said = json!({
        "model": progress.model,
        "version": progress.version,
        "done": progress.done,
        "total": progress.total,
        "reason": progress.error.map_or("", |error| error.message()),
    });
    queue.push(Event::notice(INFERLAY_EVENT_PROGRESS, 0, user_data, text(said.to_string())), None);
}

/// A status that holds a text.
fn text(text: String) -> *mut Status {
    Status::from_error(Error::new(ErrorKind::Unknown, text))
}
