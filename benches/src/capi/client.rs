//! A closed loop through the C functions: requests that are made once and sent again when they are released.
#![allow(unsafe_code)]

use super::functions as c;
use crate::case::{Case, CaseError};
use crate::measure::{Figures, Meter, SAMPLED_EVERY};
use parking_lot::{Condvar, Mutex};
use std::ffi::{CStr, CString, c_char, c_void};
use std::path::Path;
use std::ptr;
use std::rc::Rc;
use std::time::Instant;

static INPUT: [f32; 16] = [1.0; 16];
static SHAPE: [i64; 2] = [1, 16];

/// A server, by its C handle.
pub(super) struct Server(*mut c::Server);

impl Server {
    /// A server of the models in a folder, all of which must load.
    pub(super) fn new(folder: &Path) -> Result<Rc<Self>, CaseError> {
        let folder = CString::new(folder.to_string_lossy().into_owned())?;
        let options = c::inferlay_options_new();
        // SAFETY: the options are ours.
        unsafe { c::inferlay_options_set_strict(options, true) }.check()?;
        // SAFETY: the options are ours, and the folder's name ends with a NUL.
        unsafe { c::inferlay_options_add_repository(options, folder.as_ptr()) }.check()?;
        let mut server = ptr::null_mut();
        // SAFETY: the options are ours; the server is written during the call.
        let started = unsafe { c::inferlay_server_new(c::API_VERSION, options, &raw mut server) }.check();
        // SAFETY: ours, and not used after this.
        unsafe { c::inferlay_options_free(options) };
        started.map(|()| Rc::new(Server(server)))
    }

    /// Requests and executions of a model so far, and the bytes that were copied.
    fn counts(&self, model: &CStr) -> Result<[u64; 3], CaseError> {
        let mut json: *mut c_char = ptr::null_mut();
        // SAFETY: the server is ours and lives; the text is written during the call.
        unsafe { c::inferlay_model_statistics(self.0, model.as_ptr(), 0, &raw mut json) }.check()?;
        // SAFETY: a text that was handed out ends with a NUL.
        let text = unsafe { CStr::from_ptr(json) }.to_string_lossy().into_owned();
        // SAFETY: ours, and not used after this.
        unsafe { c::inferlay_text_free(json) };
        let read: serde_json::Value = serde_json::from_str(&text)?;
        let model = read.get("model_stats").and_then(|all| all.get(0)).unwrap_or(&read);
        let count = |key: &str| model.get(key).and_then(serde_json::Value::as_u64);
        let found = (count("inference_count"), count("execution_count"), count("bytes_copied").unwrap_or(0));
        match found {
            (Some(requests), Some(executions), copied) => Ok([requests, executions, copied]),
            _ => Err(format!("statistics without counts: {text}").into()),
        }
    }
}

impl Drop for Server {
    fn drop(&mut self) {
        // SAFETY: ours, and not used after this.
        unsafe { c::inferlay_server_free(self.0) };
    }
}

/// What the callbacks tell the client.
struct Desk {
    done: Mutex<Done>,
    told: Condvar,
}

#[derive(Default)]
struct Done {
    released: Vec<*mut c::Request>,
    failed: usize,
}

// SAFETY: requests are handles that any thread may hold; one thread at a time uses each.
unsafe impl Send for Done {}

/// The one client of a model.
pub(super) struct Client {
    name: &'static str,
    /// Without it requests are sent by the blocking call.
    is_async: bool,
    model: CString,
    server: Rc<Server>,
    desk: &'static Desk,
    free: Vec<*mut c::Request>,
    arrived: Vec<*mut c::Request>,
    /// When the requests were sent that are timed, the oldest first: answers come in this order.
    sent: std::collections::VecDeque<Option<Instant>>,
}

impl Client {
    pub(super) fn new(
        name: &'static str,
        (is_async, in_flight): (bool, usize),
        server: &Rc<Server>,
        model: &str,
    ) -> Result<Self, CaseError> {
        let done = Done { released: Vec::with_capacity(in_flight), failed: 0 };
        let desk = Box::leak(Box::new(Desk { done: Mutex::new(done), told: Condvar::new() }));
        let model = CString::new(model)?;
        let free = (0..in_flight).map(|_| request(server, &model)).collect::<Result<_, _>>()?;
        let (server, arrived) = (Rc::clone(server), Vec::with_capacity(in_flight));
        let sent = std::collections::VecDeque::with_capacity(in_flight);
        Ok(Client { name, is_async, model, server, desk, free, arrived, sent })
    }

    fn run(&mut self, requests: usize, samples: &mut Vec<u64>) -> Result<(), CaseError> {
        if self.is_async { self.loop_closed(requests, samples) } else { self.call(requests, samples) }
    }

    fn call(&mut self, requests: usize, samples: &mut Vec<u64>) -> Result<(), CaseError> {
        let request = self.free[0];
        for index in 0..requests {
            let sent = index.is_multiple_of(SAMPLED_EVERY).then(Instant::now);
            let mut response = ptr::null_mut();
            // SAFETY: both handles are ours, and nobody else uses the request; the response is written on success.
            unsafe { c::inferlay_infer(self.server.0, request, &raw mut response) }.check()?;
            samples.extend(sent.map(|sent| sent.elapsed().as_nanos() as u64));
            // SAFETY: ours, and not used after this.
            unsafe { c::inferlay_response_free(response) };
        }
        Ok(())
    }

    fn loop_closed(&mut self, requests: usize, samples: &mut Vec<u64>) -> Result<(), CaseError> {
        let (mut submitted, mut finished) = (0, 0);
        while finished < requests {
            while submitted < requests
                && let Some(request) = self.free.pop()
            {
                self.sent.push_back(submitted.is_multiple_of(SAMPLED_EVERY).then(Instant::now));
                let desk = ptr::from_ref(self.desk).cast_mut().cast();
                // SAFETY: both handles are ours, the request is not in flight, and the desk is never freed.
                unsafe { c::inferlay_infer_async(self.server.0, request, on_response, on_release, desk) }.check()?;
                submitted += 1;
            }
            finished += self.collect(samples);
        }
        match std::mem::take(&mut self.desk.done.lock().failed) {
            0 => Ok(()),
            failed => Err(format!("{}: {failed} of {requests} requests failed", self.name).into()),
        }
    }

    /// Takes the requests back that were released since it was asked last; sleeps if there are none.
    fn collect(&mut self, samples: &mut Vec<u64>) -> usize {
        let mut done = self.desk.done.lock();
        while done.released.is_empty() {
            self.desk.told.wait(&mut done);
        }
        std::mem::swap(&mut done.released, &mut self.arrived);
        drop(done);
        let count = self.arrived.len();
        for sent in self.sent.drain(..count).flatten() {
            samples.push(sent.elapsed().as_nanos() as u64);
        }
        self.free.append(&mut self.arrived);
        count
    }
}

/// A request for `model`, whose input is static memory.
fn request(server: &Server, model: &CStr) -> Result<*mut c::Request, CaseError> {
    let mut request = ptr::null_mut();
    // SAFETY: the server is ours and lives; the request is written during the call.
    unsafe { c::inferlay_request_new(server.0, model.as_ptr(), 0, &raw mut request) }.check()?;
    let view = c::View::of(&INPUT, &SHAPE);
    // SAFETY: the request is ours; the memory is static, and the view is read during the call.
    unsafe { c::inferlay_request_set_input(request, c"x".as_ptr(), &raw const view) }.check()?;
    Ok(request)
}

unsafe extern "C" fn on_response(desk: *mut c_void, response: *mut c::Response, _flags: u32, status: c::Outcome) {
    // SAFETY: the response is this function's.
    unsafe { c::inferlay_response_free(response) };
    if status.check().is_err() {
        // SAFETY: what was given to `inferlay_infer_async`: a desk that is never freed.
        unsafe { &*desk.cast::<Desk>() }.done.lock().failed += 1;
    }
}

unsafe extern "C" fn on_release(desk: *mut c_void, request: *mut c::Request) {
    // SAFETY: as in `on_response`.
    let desk = unsafe { &*desk.cast::<Desk>() };
    desk.done.lock().released.push(request);
    desk.told.notify_one();
}

impl Case for Client {
    fn name(&self) -> &'static str {
        self.name
    }

    fn measure(&mut self, warm_up: usize, requests: usize) -> Result<Figures, CaseError> {
        let mut samples = Vec::with_capacity(warm_up.max(requests));
        self.run(warm_up, &mut samples)?;
        samples.clear();
        let before = self.server.counts(&self.model)?;
        let meter = Meter::start();
        self.run(requests, &mut samples)?;
        let mut figures = meter.stop(self.name, requests, &mut samples);
        let after = self.server.counts(&self.model)?;
        let [done, executions, copied] = [0, 1, 2].map(|index| (after[index] - before[index]) as f64);
        figures.mean_batch = done / executions.max(1.0);
        figures.bytes_copied_per_req = copied / requests as f64;
        Ok(figures)
    }
}

impl Drop for Client {
    fn drop(&mut self) {
        for request in self.free.drain(..) {
            // SAFETY: ours, not in flight, and not used after this.
            unsafe { c::inferlay_request_free(request) };
        }
    }
}
