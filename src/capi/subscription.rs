//! Changes of models' states, told to a function or a completion queue.

use super::callback::GoneFn;
use super::door::{door, free_door};
use super::handle::{Boxed, UserData, out};
use super::queue::{Event, INFERLAY_EVENT_CHANGE, Queue};
use super::server::{Server, handle, json_of};
use super::status::Status;
use super::text::intern;
use crate::server::{self, ModelState, ModelStatus};
use inferlay_backend_sdk::{Error, ErrorKind};
use std::ffi::{CString, c_char, c_void};

/// The state of a version of a model: one of `INFERLAY_STATE_*`.
pub type StateNumber = u32;
/// Known, and not asked to be loaded.
pub const INFERLAY_STATE_UNKNOWN: u32 = 0;
/// Being loaded.
pub const INFERLAY_STATE_LOADING: u32 = 1;
/// Serving.
pub const INFERLAY_STATE_READY: u32 = 2;
/// Not serving; the reason says why.
pub const INFERLAY_STATE_UNAVAILABLE: u32 = 3;
/// No longer serving: what it has is being answered, and then it is freed.
pub const INFERLAY_STATE_UNLOADING: u32 = 4;

/// A version of a model whose state has changed. All of it lives until the callback returns.
#[repr(C)]
pub struct Change {
    /// `sizeof` this struct, as the library knows it.
    pub struct_size: usize,
    /// The model; this text lives for ever.
    pub model: *const c_char,
    /// The version; 0 when no version of it was found.
    pub version: u64,
    /// Its state: one of `INFERLAY_STATE_*`.
    pub state: StateNumber,
    /// Why it is in that state; "" when it serves. Of one that serves though an update of it failed, why that failed.
    pub reason: *const c_char,
}

/// Told of each change, in order, one call at a time, on an engine thread with no engine lock held; it must not call
/// what waits.
pub type ChangeFn = Option<unsafe extern "C" fn(user_data: *mut c_void, change: *const Change)>;

/// Keeps somebody told of changes until it is freed.
pub struct Subscription {
    _subscription: server::Subscription,
}

impl Boxed for Subscription {}

/// A function of the program, and what it is told when nobody calls it any more.
struct Listener {
    on_change: unsafe extern "C" fn(*mut c_void, *const Change),
    gone: GoneFn,
    user_data: UserData,
}

impl Listener {
    fn tell(&self, status: &ModelStatus) {
        let reason = status.reason.bytes().filter(|byte| *byte != 0).collect::<Vec<_>>();
        let reason = CString::new(reason).unwrap_or_default();
        let change = Change {
            struct_size: size_of::<Change>(),
            model: intern(&status.name),
            version: status.version,
            state: status.state as u32,
            reason: reason.as_ptr(),
        };
        // SAFETY: whoever gave the function promised that it may be called so, on any thread.
        unsafe { (self.on_change)(self.user_data.0, &raw const change) };
    }
}

impl Drop for Listener {
    fn drop(&mut self) {
        if let Some(gone) = self.gone {
            // SAFETY: as for `tell`; it is the last call, as nothing else holds the listener.
            unsafe { gone(self.user_data.0) };
        }
    }
}

/// Has `on_change` called with every change of a version's state from now on, see `inferlay_change_fn`.
///                                                                                        [any thread] [never blocks]
/// `on_change`: not NULL. `gone`: may be NULL; told once that `on_change` is not called any more, see
/// `inferlay_gone_fn`: soon after the subscription was freed, as a call may be under way, or within that. On failure it
/// is not told.
/// `user_data`: comes back with each call; borrowed until `gone`. `subscription`: where the subscription goes, which is
/// then the caller's, to be freed with `inferlay_subscription_free`; not NULL.
#[must_use]
#[unsafe(no_mangle)]
pub unsafe extern "C" fn inferlay_server_subscribe(
    server: *const Server,
    on_change: ChangeFn,
    gone: GoneFn,
    user_data: *mut c_void,
    subscription: *mut *mut Subscription,
) -> *mut Status {
    door(|| {
        // SAFETY: the caller's promise.
        let place = unsafe { out(subscription, "subscription") }?;
        // SAFETY: the caller's promise.
        let server = unsafe { handle(server) }?;
        let on_change = on_change.ok_or_else(|| Error::invalid_arg("on_change: found NULL"))?;
        let listener = Listener { on_change, gone, user_data: UserData(user_data) };
        let made = server.subscribe(move |status| listener.tell(status));
        place.write(Subscription { _subscription: made }.into_handle());
        Ok(())
    })
}

/// Sends every change of a version's state from now on to a completion queue, in the place of a function.
///                                                                                        [any thread] [never blocks]
/// Each change is an event of the kind CHANGE: `flags` is the state, one of INFERLAY_STATE_*, the message of `status` is
/// JSON, a line of `inferlay_server_models`. Whoever subscribes and then asks for that misses nothing. Changes that
/// nobody takes are left out from 65536 events on. `queue`: borrowed for the call. `user_data`: comes back with each
/// event. `subscription`: as for `inferlay_server_subscribe`; events may still come soon after it was freed.
#[must_use]
#[unsafe(no_mangle)]
pub unsafe extern "C" fn inferlay_server_subscribe_queue(
    server: *const Server,
    queue: *const Queue,
    user_data: *mut c_void,
    subscription: *mut *mut Subscription,
) -> *mut Status {
    door(|| {
        // SAFETY: the caller's promise.
        let place = unsafe { out(subscription, "subscription") }?;
        // SAFETY: the caller's promise.
        let server = unsafe { handle(server) }?;
        // SAFETY: the caller's promise.
        let queue = unsafe { Queue::share(queue) }?;
        let user_data = UserData(user_data);
        let made = server.subscribe(move |status| queue.push_below(CHANGES_MAX, event(user_data, status), None));
        place.write(Subscription { _subscription: made }.into_handle());
        Ok(())
    })
}

/// Ends a subscription.                                                                   [any thread] [never blocks]
///
/// `subscription`: taken; NULL does nothing. It outlives the server. A call that is under way is not waited for: see
/// `gone` of `inferlay_server_subscribe`.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn inferlay_subscription_free(subscription: *mut Subscription) {
    // SAFETY: the caller's promise.
    free_door(|| drop(unsafe { Subscription::from_handle(subscription) }));
}

fn event(user_data: UserData, status: &ModelStatus) -> Event {
    let text = json_of(status).unwrap_or_default();
    let told = Status::from_error(Error::new(ErrorKind::Unknown, text));
    Event::notice(INFERLAY_EVENT_CHANGE, status.state as u32, user_data, told)
}

/// How many events a queue may hold when a change is added; who takes none loses changes, not memory.
const CHANGES_MAX: usize = 65_536;

/// The numbers of the header are those of the engine.
const _: () = {
    assert!(INFERLAY_STATE_UNKNOWN == ModelState::Unknown as u32);
    assert!(INFERLAY_STATE_LOADING == ModelState::Loading as u32);
    assert!(INFERLAY_STATE_READY == ModelState::Ready as u32);
    assert!(INFERLAY_STATE_UNAVAILABLE == ModelState::Unavailable as u32);
    assert!(INFERLAY_STATE_UNLOADING == ModelState::Unloading as u32);
};
