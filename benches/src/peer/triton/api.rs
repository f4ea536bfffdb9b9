//! The part of Triton's in-process C interface that the bench calls, in declarations of our own, and how to load it.
//!
//! The names and types are those of the documented interface, version 1. Whatever it returns as an error is owned by the
//! caller. The library is never unloaded: its threads may outlive the server.
#![allow(unsafe_code)]

use libloading::Library;
use std::ffi::{CStr, c_char, c_void};
use std::mem::ManuallyDrop;
use std::path::Path;

/// The major version of the interface that is declared here.
const VERSION_MAJOR: u32 = 1;

pub(super) const TYPE_FP32: i32 = 11;
pub(super) const MEMORY_CPU: i32 = 0;
pub(super) const RESPONSE_FINAL: u32 = 1;
pub(super) const ERROR_UNSUPPORTED: i32 = 5;

/// Declares types of which only pointers are known.
macro_rules! opaque {
    ($($name:ident)*) => { $(
        #[repr(C)]
        pub(super) struct $name {
            _hidden: [u8; 0],
        }
    )* };
}

opaque! { Allocator Error Options Request Response Server Trace }

pub(super) type AllocateFn = unsafe extern "C" fn(
    *mut Allocator,
    *const c_char,
    usize,
    i32,
    i64,
    *mut c_void,
    *mut *mut c_void,
    *mut *mut c_void,
    *mut i32,
    *mut i64,
) -> *mut Error;
pub(super) type FreeFn = unsafe extern "C" fn(*mut Allocator, *mut c_void, *mut c_void, usize, i32, i64) -> *mut Error;
pub(super) type StartFn = unsafe extern "C" fn(*mut Allocator, *mut c_void) -> *mut Error;
pub(super) type ReleaseFn = unsafe extern "C" fn(*mut Request, u32, *mut c_void);
pub(super) type RespondFn = unsafe extern "C" fn(*mut Response, u32, *mut c_void);

/// Declares the table of functions, each found in the library under its name after `TRITONSERVER_`.
macro_rules! functions {
    ($($name:ident($($argument:ty),*) $(-> $result:ty)?;)*) => {
        /// The functions of a loaded library, by the names that they have there.
        #[allow(non_snake_case)]
        pub(crate) struct Api {
            $(pub(super) $name: unsafe extern "C" fn($($argument),*) $(-> $result)?,)*
        }

        impl Api {
            fn find(library: &Library) -> Result<Self, libloading::Error> {
                Ok(Api { $(
                    // SAFETY: the documented function of this name has this type in version 1 of the interface, and
                    // the library stays loaded.
                    $name: *unsafe { library.get(concat!("TRITONSERVER_", stringify!($name))) }?,
                )* })
            }
        }
    };
}

functions! {
    ApiVersion(*mut u32, *mut u32) -> *mut Error;
    ErrorNew(i32, *const c_char) -> *mut Error;
    ErrorMessage(*mut Error) -> *const c_char;
    ErrorDelete(*mut Error);
    ServerOptionsNew(*mut *mut Options) -> *mut Error;
    ServerOptionsDelete(*mut Options) -> *mut Error;
    ServerOptionsSetModelRepositoryPath(*mut Options, *const c_char) -> *mut Error;
    ServerOptionsSetBackendDirectory(*mut Options, *const c_char) -> *mut Error;
    ServerOptionsSetPinnedMemoryPoolByteSize(*mut Options, u64) -> *mut Error;
    ServerOptionsSetMetrics(*mut Options, bool) -> *mut Error;
    ServerOptionsSetGpuMetrics(*mut Options, bool) -> *mut Error;
    ServerOptionsSetCpuMetrics(*mut Options, bool) -> *mut Error;
    ServerOptionsSetLogInfo(*mut Options, bool) -> *mut Error;
    ServerOptionsSetLogWarn(*mut Options, bool) -> *mut Error;
    ServerOptionsSetLogError(*mut Options, bool) -> *mut Error;
    ServerNew(*mut *mut Server, *mut Options) -> *mut Error;
    ServerDelete(*mut Server) -> *mut Error;
    ServerIsReady(*mut Server, *mut bool) -> *mut Error;
    ServerInferAsync(*mut Server, *mut Request, *mut Trace) -> *mut Error;
    ResponseAllocatorNew(*mut *mut Allocator, AllocateFn, FreeFn, Option<StartFn>) -> *mut Error;
    ResponseAllocatorDelete(*mut Allocator) -> *mut Error;
    InferenceRequestNew(*mut *mut Request, *mut Server, *const c_char, i64) -> *mut Error;
    InferenceRequestDelete(*mut Request) -> *mut Error;
    InferenceRequestAddInput(*mut Request, *const c_char, i32, *const i64, u64) -> *mut Error;
    InferenceRequestAppendInputData(*mut Request, *const c_char, *const c_void, usize, i32, i64) -> *mut Error;
    InferenceRequestSetReleaseCallback(*mut Request, ReleaseFn, *mut c_void) -> *mut Error;
    InferenceRequestSetResponseCallback(*mut Request, *mut Allocator, *mut c_void, RespondFn, *mut c_void) -> *mut Error;
    InferenceResponseError(*mut Response) -> *mut Error;
    InferenceResponseDelete(*mut Response) -> *mut Error;
}

impl Api {
    /// Loads `libtritonserver`, for as long as the process lives.
    ///
    /// # Errors
    /// When the library or one that it needs cannot be loaded, lacks a function, or has another major version.
    pub(crate) fn load(library: &Path) -> Result<&'static Self, String> {
        let place = |error: libloading::Error| format!("{}: {error}", library.display());
        // SAFETY: what a library does when it is loaded cannot be checked; this one was named by whoever runs the bench.
        let loaded = ManuallyDrop::new(unsafe { Library::new(library) }.map_err(place)?);
        let api = Box::leak(Box::new(Api::find(&loaded).map_err(place)?));
        let (mut major, mut minor) = (0, 0);
        // SAFETY: both are written to only during the call.
        api.check("ApiVersion", unsafe { (api.ApiVersion)(&raw mut major, &raw mut minor) })?;
        if major != VERSION_MAJOR {
            return Err(format!("{}: found API {major}.{minor}, expected {VERSION_MAJOR}", library.display()));
        }
        Ok(api)
    }

    /// An error as text, with the `place` that it came from; it is deleted.
    pub(super) fn check(&self, place: &str, error: *mut Error) -> Result<(), String> {
        if error.is_null() {
            return Ok(());
        }
        // SAFETY: not null, hence an error that is ours.
        let message = unsafe { (self.ErrorMessage)(error) };
        // SAFETY: the message is a C string that lives as long as its error, and it is copied at once.
        let message = unsafe { CStr::from_ptr(message) }.to_string_lossy().into_owned();
        // SAFETY: the error is ours, and not used again.
        unsafe { (self.ErrorDelete)(error) };
        Err(format!("triton: {place}: {message}"))
    }
}
