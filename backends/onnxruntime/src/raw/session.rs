//! One loaded model. Run from any thread; released with its last owner.

use super::types::{Dim, dims, element};
use super::{Log, nothing, outcome};
use ort::environment::Environment;
use ort::session::builder::SessionBuilder;
use ort::sys::{ONNXType, OrtSession, OrtTensorTypeAndShapeInfo, OrtTypeInfo};
use ort::{AsPointer, Error};
use std::ffi::{CStr, CString, c_char, c_void};
use std::os::unix::ffi::OsStrExt;
use std::path::Path;
use std::ptr::{NonNull, null_mut};
use std::sync::Arc;

/// A session of the runtime.
#[derive(Debug)]
pub(crate) struct Session {
    pointer: NonNull<OrtSession>,
    /// The runtime writes here until the session is released.
    log: Arc<Log>,
}

// SAFETY: the runtime lets any thread run, ask and release a session.
unsafe impl Send for Session {}
// SAFETY: the runtime documents `Run` as safe from several threads at once, and nothing else here changes a session.
unsafe impl Sync for Session {}

/// What a session is made from.
#[derive(Clone, Copy, Debug)]
pub(crate) enum Source<'a> {
    /// The content of a model file.
    Bytes(&'a [u8]),
    /// A model file with files beside it.
    Path(&'a Path),
}

/// An input or output of a session.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Port {
    /// Its name.
    pub(crate) name: CString,
    /// The number of the element type and the dims of a tensor, else what it is instead.
    pub(crate) tensor: Result<(i32, Vec<Dim>), &'static str>,
}

/// A function of the API that tells the number of inputs or outputs.
type CountOf = unsafe extern "system" fn(*const OrtSession, *mut usize) -> ort::sys::OrtStatusPtr;

/// One that tells a name.
type NameOf = unsafe extern "system" fn(
    *const OrtSession,
    usize,
    *mut ort::sys::OrtAllocator,
    *mut *mut c_char,
) -> ort::sys::OrtStatusPtr;

/// One that tells a type.
type TypeOf = unsafe extern "system" fn(*const OrtSession, usize, *mut *mut OrtTypeInfo) -> ort::sys::OrtStatusPtr;

impl Session {
    /// Loads a model. `shared_threads`: whether it computes on the threads of the environment.
    ///
    /// # Errors
    /// What the runtime says.
    pub(crate) fn new(
        environment: &Environment,
        options: &mut SessionBuilder,
        source: Source<'_>,
        shared_threads: bool,
    ) -> Result<Self, Error> {
        let log = Arc::new(Log::default());
        log.attach(options)?;
        if shared_threads {
            // SAFETY: the options are alive, and the environment was made with threads.
            outcome(unsafe { (ort::api().DisablePerSessionThreads)(options.ptr_mut()) })?;
        }
        let mut session = null_mut();
        let status = match source {
            Source::Bytes(bytes) => {
                let content = bytes.as_ptr().cast::<c_void>();
                // SAFETY: environment and options are alive, and the runtime copies what it keeps of the bytes.
                unsafe {
                    (ort::api().CreateSessionFromArray)(
                        environment.ptr(),
                        content,
                        bytes.len(),
                        options.ptr(),
                        &raw mut session,
                    )
                }
            }
            Source::Path(path) => {
                let path = CString::new(path.as_os_str().as_bytes()).map_err(|_| nothing("path without a zero"))?;
                // SAFETY: environment and options are alive; the path ends with a zero.
                unsafe { (ort::api().CreateSession)(environment.ptr(), path.as_ptr(), options.ptr(), &raw mut session) }
            }
        };
        // Without a session nothing writes to the log, however long the options live.
        outcome(status)?;
        let pointer = NonNull::new(session).ok_or_else(|| nothing("session"))?;
        Ok(Session { pointer, log })
    }

    pub(super) fn pointer(&self) -> *mut OrtSession {
        self.pointer.as_ptr()
    }

    /// What the runtime said while it loaded.
    pub(crate) fn log(&self) -> &Log {
        &self.log
    }

    /// The inputs that no initializer gives a value.
    ///
    /// # Errors
    /// What the runtime says.
    pub(crate) fn inputs(&self) -> Result<Vec<Port>, Error> {
        let api = ort::api();
        self.ports(api.SessionGetInputCount, api.SessionGetInputName, api.SessionGetInputTypeInfo)
    }

    /// The outputs.
    ///
    /// # Errors
    /// What the runtime says.
    pub(crate) fn outputs(&self) -> Result<Vec<Port>, Error> {
        let api = ort::api();
        self.ports(api.SessionGetOutputCount, api.SessionGetOutputName, api.SessionGetOutputTypeInfo)
    }

    fn ports(&self, count_of: CountOf, name_of: NameOf, type_of: TypeOf) -> Result<Vec<Port>, Error> {
        let mut count = 0;
        // SAFETY: the session is alive.
        outcome(unsafe { count_of(self.pointer.as_ptr(), &raw mut count) })?;
        let port = |index| Ok(Port { name: self.name(name_of, index)?, tensor: self.tensor(type_of, index)? });
        (0..count).map(port).collect()
    }

    fn name(&self, name_of: NameOf, index: usize) -> Result<CString, Error> {
        let mut allocator = null_mut();
        // SAFETY: the runtime's own allocator, which lives as long as its library.
        outcome(unsafe { (ort::api().GetAllocatorWithDefaultOptions)(&raw mut allocator) })?;
        let mut name = null_mut();
        // SAFETY: session and allocator are alive, and the index is below the count.
        outcome(unsafe { name_of(self.pointer.as_ptr(), index, allocator, &raw mut name) })?;
        let Some(name) = NonNull::new(name) else { return Err(nothing("name")) };
        // SAFETY: a text that ends with a zero and is ours until it is freed below.
        let copy = unsafe { CStr::from_ptr(name.as_ptr()) }.to_owned();
        // SAFETY: allocated by this allocator, and freed once.
        outcome(unsafe { (ort::api().AllocatorFree)(allocator, name.as_ptr().cast()) })?;
        Ok(copy)
    }

    fn tensor(&self, type_of: TypeOf, index: usize) -> Result<Result<(i32, Vec<Dim>), &'static str>, Error> {
        let mut info = null_mut();
        // SAFETY: the session is alive, and the index is below the count.
        outcome(unsafe { type_of(self.pointer.as_ptr(), index, &raw mut info) })?;
        let info = TypeInfo(NonNull::new(info).ok_or_else(|| nothing("type"))?);
        let mut kind = ONNXType::ONNX_TYPE_UNKNOWN as i32;
        // SAFETY: the info is alive; the enum is as wide as an `i32`, which holds values that the enum lacks.
        outcome(unsafe { (ort::api().GetOnnxTypeFromTypeInfo)(info.0.as_ptr(), (&raw mut kind).cast()) })?;
        if kind != ONNXType::ONNX_TYPE_TENSOR as i32 {
            return Ok(Err(kind_name(kind)));
        }
        let mut tensor: *const OrtTensorTypeAndShapeInfo = std::ptr::null();
        // SAFETY: the info is alive, and owns what is found.
        outcome(unsafe { (ort::api().CastTypeInfoToTensorInfo)(info.0.as_ptr(), &raw mut tensor) })?;
        // SAFETY: null, or a part of the info, which is alive.
        let tensor = unsafe { tensor.as_ref() }.ok_or_else(|| nothing("type of a tensor"))?;
        Ok(Ok((element(tensor)?, dims(tensor)?)))
    }
}

impl Drop for Session {
    fn drop(&mut self) {
        // SAFETY: released once; whoever runs it holds it.
        unsafe { (ort::api().ReleaseSession)(self.pointer.as_ptr()) };
    }
}

/// A type that is ours to release.
struct TypeInfo(NonNull<OrtTypeInfo>);

impl Drop for TypeInfo {
    fn drop(&mut self) {
        // SAFETY: released once.
        unsafe { (ort::api().ReleaseTypeInfo)(self.0.as_ptr()) };
    }
}

fn kind_name(kind: i32) -> &'static str {
    match kind {
        kind if kind == ONNXType::ONNX_TYPE_SEQUENCE as i32 => "a sequence",
        kind if kind == ONNXType::ONNX_TYPE_MAP as i32 => "a map",
        kind if kind == ONNXType::ONNX_TYPE_OPTIONAL as i32 => "an optional value",
        kind if kind == ONNXType::ONNX_TYPE_SPARSETENSOR as i32 => "a sparse tensor",
        _ => "an opaque value",
    }
}
