//! A closed loop through Triton: requests that are made once and submitted again and again.
//!
//! Each slot is a request with a buffer for its output. It is the client's, then, from its submission until both the
//! response and the release were reported, Triton's; whichever callback comes last hands it back over the desk, a lock
//! and a condition variable as in our own client. Callbacks run on Triton's threads.
#![allow(unsafe_code)]

use super::api::{self, Allocator, Api, Error, Request, Response};
use super::backend::{Backend, Counters};
use super::server::Server;
use crate::case::{Case, CaseError};
use crate::measure::{Figures, Meter, SAMPLED_EVERY};
use parking_lot::{Condvar, Mutex};
use std::cell::UnsafeCell;
use std::ffi::{CString, c_char, c_void};
use std::ptr;
use std::rc::Rc;
use std::sync::atomic::{AtomicBool, AtomicU8, Ordering};
use std::time::Instant;

/// Elements of the input.
const LEN: usize = 16;
const SHAPE: [i64; 2] = [1, LEN as i64];
/// What every request holds, at one address, and what its answer must be.
static INPUT: [f32; LEN] = [1.0; LEN];

/// Where slots are handed back.
struct Desk {
    done: Mutex<Done>,
    told: Condvar,
}

#[derive(Default)]
struct Done {
    slots: Vec<usize>,
    failed: usize,
}

/// What the callbacks of one request share with the client.
struct Slot {
    index: usize,
    api: &'static Api,
    desk: &'static Desk,
    /// Written by the backend while the slot is Triton's, read by the client while it is not.
    output: UnsafeCell<[f32; LEN]>,
    /// The callbacks that are still to come.
    pending: AtomicU8,
    is_failed: AtomicBool,
}

// SAFETY: all fields but `output` may be shared, and of `output` only one side makes use at a time: the slot goes to
// Triton by a call, and comes back through the desk's lock.
unsafe impl Sync for Slot {}

impl Slot {
    fn settle(&self) {
        if self.pending.fetch_sub(1, Ordering::AcqRel) == 1 {
            let mut done = self.desk.done.lock();
            done.slots.push(self.index);
            done.failed += usize::from(self.is_failed.load(Ordering::Relaxed));
            drop(done);
            self.desk.told.notify_one();
        }
    }
}

/// The one client of a model.
pub(crate) struct Client {
    name: &'static str,
    server: Rc<Server>,
    allocator: *mut Allocator,
    counters: Counters,
    desk: &'static Desk,
    /// They live as long as the process, so that no callback can come too late.
    slots: &'static [Slot],
    requests: Vec<*mut Request>,
    /// When the requests were submitted that are timed.
    sent: Vec<Option<Instant>>,
    free: Vec<usize>,
    arrived: Vec<usize>,
}

impl Client {
    /// A client that keeps `in_flight` requests under way. One request is answered, and its answer looked at.
    ///
    /// # Errors
    /// When Triton refuses a request, or answers with anything but its input.
    pub(crate) fn new(
        (name, model): (&'static str, &str),
        in_flight: usize,
        server: &Rc<Server>,
        backend: &Backend,
    ) -> Result<Self, CaseError> {
        let api = server.api;
        let mut allocator = ptr::null_mut();
        // SAFETY: the allocator is written only during the call; `allocate` and `free` have the documented types.
        let error = unsafe { (api.ResponseAllocatorNew)(&raw mut allocator, allocate, free, None) };
        api.check("ResponseAllocatorNew", error)?;
        let done = Done { slots: Vec::with_capacity(in_flight), failed: 0 };
        let desk = Box::leak(Box::new(Desk { done: Mutex::new(done), told: Condvar::new() }));
        let slots = (0..in_flight).map(|index| slot(index, api, desk)).collect::<Vec<_>>().leak();
        let mut client = Client {
            name,
            server: Rc::clone(server),
            allocator,
            counters: backend.counters()?,
            desk,
            slots,
            requests: Vec::with_capacity(in_flight),
            sent: vec![None; in_flight],
            free: Vec::with_capacity(in_flight),
            arrived: Vec::with_capacity(in_flight),
        };
        let model = CString::new(model)?;
        for slot in client.slots {
            client.add_request(slot, &model)?;
        }
        client.verify()?;
        Ok(client)
    }

    /// Makes the request of a slot, ready to be submitted.
    fn add_request(&mut self, slot: &'static Slot, model: &CString) -> Result<(), String> {
        let (api, own) = (self.server.api, ptr::from_ref(slot).cast_mut().cast());
        let mut request = ptr::null_mut();
        // SAFETY: the server lives, the name is copied, and the request is written only during the call. -1 asks for the
        // latest version.
        let error = unsafe { (api.InferenceRequestNew)(&raw mut request, self.server.server, model.as_ptr(), -1) };
        api.check("InferenceRequestNew", error)?;
        self.requests.push(request);
        // SAFETY: the request is ours, the name is copied, and the shape has as many dimensions as is said.
        let error =
            unsafe { (api.InferenceRequestAddInput)(request, c"x".as_ptr(), api::TYPE_FP32, SHAPE.as_ptr(), 2) };
        api.check("InferenceRequestAddInput", error)?;
        let (input, len) = (INPUT.as_ptr().cast(), size_of_val(&INPUT));
        // SAFETY: the input is static memory of this length that nobody writes to.
        let error =
            unsafe { (api.InferenceRequestAppendInputData)(request, c"x".as_ptr(), input, len, api::MEMORY_CPU, 0) };
        api.check("InferenceRequestAppendInputData", error)?;
        // SAFETY: the slot lives as long as the process, and `on_release` takes it for what it is.
        let error = unsafe { (api.InferenceRequestSetReleaseCallback)(request, on_release, own) };
        api.check("InferenceRequestSetReleaseCallback", error)?;
        // SAFETY: the same of `on_response` and of `allocate`; the allocator outlives the request.
        let error =
            unsafe { (api.InferenceRequestSetResponseCallback)(request, self.allocator, own, on_response, own) };
        api.check("InferenceRequestSetResponseCallback", error)?;
        self.free.push(slot.index);
        Ok(())
    }

    /// Has every slot answered once, and looks at the outputs.
    fn verify(&mut self) -> Result<(), CaseError> {
        self.loop_closed(self.slots.len(), &mut Vec::new())?;
        for slot in self.slots {
            // SAFETY: the loop ended without an error, hence every slot is back and Triton writes to none.
            let output = unsafe { *slot.output.get() };
            if output != INPUT {
                return Err(format!("{}: found the output {output:?}, expected {INPUT:?}", self.name).into());
            }
        }
        Ok(())
    }

    fn loop_closed(&mut self, requests: usize, samples: &mut Vec<u64>) -> Result<(), CaseError> {
        let (mut submitted, mut finished) = (0, 0);
        while finished < requests {
            while submitted < requests
                && let Some(index) = self.free.pop()
            {
                self.submit(index, submitted.is_multiple_of(SAMPLED_EVERY))?;
                submitted += 1;
            }
            finished += self.ask(samples);
        }
        match std::mem::take(&mut self.desk.done.lock().failed) {
            0 => Ok(()),
            failed => Err(format!("{}: {failed} of {requests} requests failed", self.name).into()),
        }
    }

    fn submit(&mut self, index: usize, is_timed: bool) -> Result<(), String> {
        self.sent[index] = is_timed.then(Instant::now);
        self.slots[index].pending.store(2, Ordering::Relaxed);
        let (api, request) = (self.server.api, self.requests[index]);
        // SAFETY: server and request live, and the request is ours, as its slot was free; none of them is traced.
        let error = unsafe { (api.ServerInferAsync)(self.server.server, request, ptr::null_mut()) };
        api.check("ServerInferAsync", error)
    }

    /// How many are done since it was asked last; sleeps if none.
    fn ask(&mut self, samples: &mut Vec<u64>) -> usize {
        let mut done = self.desk.done.lock();
        while done.slots.is_empty() {
            self.desk.told.wait(&mut done);
        }
        std::mem::swap(&mut done.slots, &mut self.arrived);
        drop(done);
        let sent = self.arrived.iter().filter_map(|index| self.sent[*index].take());
        samples.extend(sent.map(|sent| sent.elapsed().as_nanos() as u64));
        let count = self.arrived.len();
        self.free.append(&mut self.arrived);
        count
    }
}

impl Case for Client {
    fn name(&self) -> &'static str {
        self.name
    }

    fn measure(&mut self, warm_up: usize, requests: usize) -> Result<Figures, CaseError> {
        let mut samples = Vec::with_capacity(warm_up.max(requests));
        self.loop_closed(warm_up, &mut samples)?;
        samples.clear();
        let before = self.counters.read();
        let meter = Meter::start();
        self.loop_closed(requests, &mut samples)?;
        let mut figures = meter.stop(self.name, requests, &mut samples);
        let after = self.counters.read();
        figures.mean_batch = (after.1 - before.1) as f64 / (after.0 - before.0).max(1) as f64;
        // The allocator that is counted is not Triton's, and Triton does not say what it copies.
        (figures.allocs_per_req, figures.bytes_copied_per_req) = (f64::NAN, f64::NAN);
        Ok(figures)
    }
}

impl Drop for Client {
    fn drop(&mut self) {
        let api = self.server.api;
        // After a failure some may still be Triton's: those that are not back are left alone.
        for index in &self.free {
            // SAFETY: the request is ours, as its slot is free, and not used again.
            let error = unsafe { (api.InferenceRequestDelete)(self.requests[*index]) };
            // A request that cannot be deleted is lost, and the end of the server will tell.
            let _deleted = api.check("InferenceRequestDelete", error);
        }
        if self.free.len() == self.slots.len() {
            // SAFETY: the allocator is ours, and no request that names it is left.
            let error = unsafe { (api.ResponseAllocatorDelete)(self.allocator) };
            let _deleted = api.check("ResponseAllocatorDelete", error);
        }
    }
}

fn slot(index: usize, api: &'static Api, desk: &'static Desk) -> Slot {
    let (output, is_failed) = (UnsafeCell::new([0.0; LEN]), AtomicBool::new(false));
    Slot { index, api, desk, output, pending: AtomicU8::new(0), is_failed }
}

/// Gives the output of a response the buffer of its slot.
///
/// # Safety
/// Called by Triton, with a slot as `own` that is Triton's and with pointers to write to.
unsafe extern "C" fn allocate(
    _allocator: *mut Allocator,
    _output: *const c_char,
    len: usize,
    _kind_preferred: i32,
    _device_preferred: i64,
    own: *mut c_void,
    buffer: *mut *mut c_void,
    buffer_own: *mut *mut c_void,
    kind: *mut i32,
    device: *mut i64,
) -> *mut Error {
    // SAFETY: `own` is what `add_request` gave.
    let slot = unsafe { &*own.cast::<Slot>() };
    if len > size_of_val(&INPUT) {
        // SAFETY: the message is a C string, and is copied.
        return unsafe { (slot.api.ErrorNew)(api::ERROR_UNSUPPORTED, c"the output is longer than the input".as_ptr()) };
    }
    // SAFETY: the caller's promise.
    unsafe { buffer.write(slot.output.get().cast()) };
    // SAFETY: the caller's promise.
    unsafe { buffer_own.write(ptr::null_mut()) };
    // SAFETY: the caller's promise.
    unsafe { kind.write(api::MEMORY_CPU) };
    // SAFETY: the caller's promise.
    unsafe { device.write(0) };
    ptr::null_mut()
}

/// Does nothing: the buffer stays with its slot.
unsafe extern "C" fn free(
    _allocator: *mut Allocator,
    _buffer: *mut c_void,
    _buffer_own: *mut c_void,
    _len: usize,
    _kind: i32,
    _device: i64,
) -> *mut Error {
    ptr::null_mut()
}

/// Lets the response go, as our own client does, and reports it.
///
/// # Safety
/// Called by Triton, with a slot as `own` that is Triton's, and a response that is ours from now on, or null.
unsafe extern "C" fn on_response(response: *mut Response, flags: u32, own: *mut c_void) {
    // SAFETY: `own` is what `add_request` gave.
    let slot = unsafe { &*own.cast::<Slot>() };
    if !response.is_null() {
        // SAFETY: the response is ours.
        let outcome = slot.api.check("response", unsafe { (slot.api.InferenceResponseError)(response) });
        // SAFETY: the response is ours, and not used again.
        let deleted = slot.api.check("response", unsafe { (slot.api.InferenceResponseDelete)(response) });
        slot.is_failed.store(outcome.and(deleted).is_err(), Ordering::Relaxed);
    }
    if flags & api::RESPONSE_FINAL != 0 {
        slot.settle();
    }
}

/// Reports that the request is the client's again.
///
/// # Safety
/// Called by Triton, with a slot as `own` that is Triton's.
unsafe extern "C" fn on_release(_request: *mut Request, _flags: u32, own: *mut c_void) {
    // SAFETY: `own` is what `add_request` gave.
    unsafe { &*own.cast::<Slot>() }.settle();
}
