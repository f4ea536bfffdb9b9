//! The flight of one request that is answered later: who still reaches its memory, and what is told to whom, in which
//! order.
//!
//! ```text
//!   users = 1 (the answer to come) + every buffer of the engine over memory that the request borrows
//!   response: on_response, any number of times
//!   ended:    on_response with FINAL, then the answer's user goes     last user gone: the request is idle, then on_release
//! ```
//!
//! The counts lie in the request itself, so that a flight allocates nothing. Invariants: 1. `on_release` comes once, and
//! after the final `on_response` has returned. 2. Whoever is the last user posts the release to the messenger, but for
//! the thread that has just called `on_response`: that is the engine's and holds no lock. 3. A flight that was refused,
//! or that nobody can be told of because the server has stopped, ends in silence.

use super::handle::UserData;
use super::input::Piece;
use super::queue::{Event, Queue};
use super::request::Request;
use super::response;
use super::status::Status;
use crate::flow::{Listen, Response, Untaken};
use crate::sync::{AtomicBool, AtomicUsize, Callback, Ordering};
use inferlay_backend_sdk::{Buffer, BufferTable, Error, Placement};
use std::cell::UnsafeCell;
use std::ffi::c_void;
use std::mem::ManuallyDrop;
use std::ptr::NonNull;
use std::sync::Arc;

/// Flags of a response: a sum of `INFERLAY_RESPONSE_*`.
pub type ResponseFlags = u32;
/// No further response follows.
pub const INFERLAY_RESPONSE_FINAL: u32 = 1;

/// The function that is told of responses.
pub(super) type OnResponse = unsafe extern "C" fn(*mut c_void, *mut response::Response, ResponseFlags, *mut Status);
/// The function that is told of the release.
pub(super) type OnRelease = unsafe extern "C" fn(*mut c_void, *mut Request);

/// Who is told.
pub(super) enum Receiver {
    Functions { on_response: OnResponse, on_release: Option<OnRelease>, user_data: UserData },
    Queue { queue: Arc<Queue>, user_data: UserData },
}

/// The part of a request that its flight uses.
#[derive(Default)]
pub(super) struct Flight {
    users: AtomicUsize,
    is_silent: AtomicBool,
    /// Written before the first user and after the last; read in between by the one who answers.
    receiver: UnsafeCell<Option<Receiver>>,
}

/// The right to answer a request, and with it one of its users. Dropped unused, nobody is told of anything.
pub(super) struct Submission(NonNull<Request>);

// SAFETY: a request may be used from any thread, and its flight keeps it alive.
unsafe impl Send for Submission {}

impl Submission {
    /// Begins the flight of a request that the caller has made busy and leaves so.
    pub(super) fn begin(request: &Request, receiver: Receiver) -> Submission {
        request.retain();
        let flight = &request.flight;
        // SAFETY: the request is busy through this caller alone, and has no users yet.
        unsafe { *flight.receiver.get() = Some(receiver) };
        flight.is_silent.store(false, Ordering::Relaxed);
        flight.users.store(1, Ordering::Release);
        Submission(NonNull::from(request))
    }

    fn request(&self) -> &Request {
        // SAFETY: the flight holds a count of the request until the last user has gone, and this is one.
        unsafe { self.0.as_ref() }
    }

    /// Tells of a response, or why there is none. The thread is the engine's, inside a callback, and holds no lock.
    fn tell(&self, outcome: Result<Option<Response>, Error>, flags: ResponseFlags, untaken: Option<Untaken>) {
        let request = self.request();
        let outcome = outcome.and_then(|mut response| {
            // A response never keeps memory of the request: the release depends on the engine alone.
            response.as_mut().map_or(Ok(()), |response| response.copy_foreign(&LENT))?;
            Ok(response)
        });
        let (response, status) = match outcome {
            Ok(response) => (response.map_or(std::ptr::null_mut(), response::into_handle), std::ptr::null_mut()),
            Err(error) => (std::ptr::null_mut(), Status::from_error(error)),
        };
        // SAFETY: written before the first user, and not again before the last has gone.
        match unsafe { &*request.flight.receiver.get() } {
            Some(Receiver::Functions { on_response, user_data, .. }) => {
                // SAFETY: whoever gave the function promised that an engine's thread may call it so.
                unsafe { on_response(user_data.0, response, flags, status) };
            }
            Some(Receiver::Queue { queue, user_data }) => {
                queue.push(Event::response(*user_data, self.0.as_ptr(), flags, (response, status)), untaken);
            }
            None => unreachable!("a flight without a receiver"),
        }
    }
}

impl Listen for Submission {
    fn answered(self, outcome: Result<Response, Error>) {
        self.ended(outcome.map(Some));
    }

    fn responded(&mut self, response: Response, untaken: Untaken) {
        self.tell(Ok(Some(response)), 0, Some(untaken));
    }

    fn ended(self, last: Result<Option<Response>, Error>) {
        let submission = ManuallyDrop::new(self);
        submission.tell(last, INFERLAY_RESPONSE_FINAL, None);
        if leave(submission.request()) {
            land(submission.0);
        }
    }
}

impl Drop for Submission {
    fn drop(&mut self) {
        self.request().flight.is_silent.store(true, Ordering::Release);
        if leave(self.request()) {
            drop(Landing(self.0));
        }
    }
}

/// One user less; whether it was the last.
fn leave(request: &Request) -> bool {
    request.flight.users.fetch_sub(1, Ordering::AcqRel) == 1
}

/// The right to end a flight, once its last user has gone. Dropped, it ends in silence.
struct Landing(NonNull<Request>);

// SAFETY: as for `Submission`.
unsafe impl Send for Landing {}

impl Landing {
    fn request(&self) -> &Request {
        // SAFETY: the flight's count of the request is given up at its very end only.
        unsafe { self.0.as_ref() }
    }

    /// The request may be used again. The flight's count of it is kept.
    fn end(&self) -> Option<Receiver> {
        let request = self.request();
        // SAFETY: no user is left, so nobody else looks at it; the request is still busy.
        let receiver = unsafe { &mut *request.flight.receiver.get() }.take();
        request.end();
        receiver
    }

    /// Ends the flight and tells of it.
    fn tell(self) {
        let landing = ManuallyDrop::new(self);
        let is_freed = landing.request().is_freed();
        match landing.end() {
            Some(Receiver::Functions { on_release: Some(on_release), user_data, .. }) => {
                let request = if is_freed { std::ptr::null_mut() } else { landing.0.as_ptr() };
                // SAFETY: whoever gave the function promised that an engine's thread may call it so.
                unsafe { on_release(user_data.0, request) };
            }
            Some(Receiver::Queue { queue, user_data }) => {
                // The event takes the count over, so that whoever gets it hears whether the request was freed by then.
                return queue.push(Event::release(user_data, landing.0), None);
            }
            _ => {}
        }
        // SAFETY: this is the flight's count, and it is not used after this.
        unsafe { Request::release(landing.0) };
    }
}

impl Drop for Landing {
    fn drop(&mut self) {
        let _nobody_is_told = self.end();
        // SAFETY: this is the flight's count, and it is not used after this.
        unsafe { Request::release(self.0) };
    }
}

/// Ends a flight whose last user went on an engine's thread outside of all locks.
fn land(request: NonNull<Request>) {
    Landing(request).tell();
}

/// Ends a flight whose last user may have gone anywhere.
fn land_from_anywhere(request: NonNull<Request>) {
    let landing = Landing(request);
    let flight = &landing.request().flight;
    if flight.is_silent.load(Ordering::Acquire) {
        return;
    }
    // SAFETY: no user is left, so nobody changes it.
    let is_queue = matches!(unsafe { &*flight.receiver.get() }, Some(Receiver::Queue { .. }));
    if is_queue {
        // Pushing runs no code of the user.
        return landing.tell();
    }
    let model = landing.request().model.clone();
    model.post(Callback::new(move |()| landing.tell()));
}

/// A buffer over memory that a request borrows: one more user of it.
///
/// # Safety
/// The request is in flight, and its caller has lent the memory until the release.
pub(super) unsafe fn lend(request: NonNull<Request>, piece: Piece) -> Buffer {
    // SAFETY: `LENT` takes requests in flight.
    unsafe { retain(request.cast()) };
    // SAFETY: the memory is the caller's until the release, which waits for this user; the count was taken above.
    unsafe { Buffer::from_owner(piece.pointer, piece.len, Placement::HOST, request.cast(), &LENT) }
}

static LENT: BufferTable = BufferTable { retain, release };

/// # Safety
/// `owner` is a request in flight.
unsafe fn retain(owner: NonNull<()>) {
    // SAFETY: the caller's promise.
    let request = unsafe { owner.cast::<Request>().as_ref() };
    request.flight.users.fetch_add(1, Ordering::Relaxed);
}

/// # Safety
/// As for `retain`; one user is given up.
unsafe fn release(owner: NonNull<()>) {
    // SAFETY: the caller's promise.
    let request = unsafe { owner.cast::<Request>().as_ref() };
    if leave(request) {
        land_from_anywhere(owner.cast());
    }
}

#[cfg(all(test, not(loom)))]
#[allow(clippy::unwrap_used)]
mod tests {
    use super::super::infer::inferlay_infer_async;
    use super::super::input::inferlay_request_set_input;
    use super::super::request::{inferlay_request_free, inferlay_request_new};
    use super::super::response::{inferlay_response_free, inferlay_response_output};
    use super::super::server::{Server, inferlay_server_free};
    use super::super::types::View;
    use crate::backend::ModelBatch;
    use crate::config::ModelConfig;
    use crate::server::ServerHandle;
    use crate::sync::Mutex;
    use inferlay_backend_sdk::{DataType, Error, Tensor};
    use std::ffi::c_void;
    use std::sync::{Arc, mpsc};
    use std::thread::{self, ThreadId};

    /// What comes to the functions: the response, or the thread that told of the release.
    enum Told {
        Response(usize),
        Release(ThreadId),
    }

    unsafe extern "C" fn on_response(
        sender: *mut c_void,
        response: *mut super::response::Response,
        _flags: u32,
        _status: *mut super::Status,
    ) {
        // SAFETY: the test keeps the sender until the release.
        let sender = unsafe { &*sender.cast::<mpsc::Sender<Told>>() };
        sender.send(Told::Response(response.expose_provenance())).unwrap();
    }

    unsafe extern "C" fn on_release(sender: *mut c_void, _request: *mut super::Request) {
        // SAFETY: as above.
        let sender = unsafe { &*sender.cast::<mpsc::Sender<Told>>() };
        sender.send(Told::Release(thread::current().id())).unwrap();
    }

    /// Sends two floats to a model and gives what comes to `look`.
    fn ask(
        model: impl Fn(&ModelBatch<'_>) -> Result<(), Error> + Send + Sync + 'static,
        look: impl FnOnce(&mpsc::Receiver<Told>, &mut [f32; 2]),
    ) {
        let server = ServerHandle::builder().start().unwrap();
        let config = ModelConfig::new("m").input("x", DataType::Fp32, [2]).output("y", DataType::Fp32, [2]);
        server.register_model(config, model).unwrap();
        let server = Server::keep(server);
        let (sender, receiver) = mpsc::channel::<Told>();
        let (mut x, shape) = ([1f32, 2.0], [2usize]);
        let view = View::new(DataType::Fp32, &shape, x.as_ptr().cast(), 8);
        let mut request = std::ptr::null_mut();
        // SAFETY: the handles are good, and the texts end with a NUL.
        assert!(unsafe { inferlay_request_new(server, c"m".as_ptr(), 0, &mut request) }.is_null());
        // SAFETY: as above; the memory outlives the request.
        assert!(unsafe { inferlay_request_set_input(request, c"x".as_ptr(), &view) }.is_null());
        let user_data = std::ptr::from_ref(&sender).cast_mut().cast();
        // SAFETY: as above; the sender outlives the server.
        let status = unsafe { inferlay_infer_async(server, request, Some(on_response), Some(on_release), user_data) };
        assert!(status.is_null());
        look(&receiver, &mut x);
        // SAFETY: each is freed once.
        unsafe { inferlay_request_free(request) };
        // SAFETY: as above.
        unsafe { inferlay_server_free(server) };
    }

    #[test]
    fn a_response_never_keeps_memory_of_its_request() {
        let hand_on = |batch: &ModelBatch<'_>| batch.set_output("y", batch.input("x")?.to_tensor());
        ask(hand_on, |receiver, x| {
            let Told::Response(response) = receiver.recv().unwrap() else { panic!("the release came first") };
            assert!(matches!(receiver.recv().unwrap(), Told::Release(_)));
            // Released, while the response lives on: the memory is the caller's again.
            x.fill(7.0);
            let response = std::ptr::with_exposed_provenance_mut(response);
            let mut view = View::new(DataType::Fp32, &[], std::ptr::null(), 0);
            // SAFETY: the response is this test's, the text ends with a NUL, and the view is sized.
            assert!(unsafe { inferlay_response_output(response, c"y".as_ptr(), &mut view) }.is_null());
            // SAFETY: the view is of two floats.
            assert_eq!(unsafe { std::slice::from_raw_parts(view.data.cast::<f32>(), 2) }, [1.0, 2.0]);
            // SAFETY: freed once.
            unsafe { inferlay_response_free(response) };
        });
    }

    #[test]
    fn a_backend_that_keeps_an_input_holds_the_release_back_and_it_comes_on_no_thread_of_the_user() {
        let kept = Arc::new(Mutex::new(None::<Tensor>));
        let keeper = kept.clone();
        let keep = move |batch: &ModelBatch<'_>| {
            *keeper.lock() = Some(batch.input("x")?.to_tensor());
            batch.set_output("y", Tensor::from_vec(vec![0f32; 2], [2])?)
        };
        ask(keep, |receiver, _| {
            let Told::Response(response) = receiver.recv().unwrap() else { panic!("the release came first") };
            // SAFETY: freed once.
            unsafe { inferlay_response_free(std::ptr::with_exposed_provenance_mut(response)) };
            assert!(receiver.try_recv().is_err());
            drop(kept.lock().take());
            let Told::Release(thread) = receiver.recv().unwrap() else { panic!("a second response") };
            assert_ne!(thread, thread::current().id());
        });
    }
}
