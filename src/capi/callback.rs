//! A model whose backend is a function of the program: batching, queueing, deadlines and statistics like any other.
//!
//! The function is given the batch for the length of one call: inputs gathered, outputs written in place or copied in.

use super::door::{door, quiet_door};
use super::handle::{UserData, borrow, out, slice, utf8};
use super::input::{copied, read};
use super::parameter::{INFERLAY_SEQUENCE_END, INFERLAY_SEQUENCE_START, SequenceFlags};
use super::server::{Server, handle};
use super::status::Status;
use super::types::View;
use crate::backend::{ModelBatch, Pulled};
use crate::config::{self, ModelConfig};
use crate::sync::{AtomicBool, Ordering};
use inferlay_backend_sdk::{Error, ErrorKind, ParameterValue, RequestInfo, Signature};
use std::ffi::{c_char, c_void};
use std::sync::Arc;

/// One batch: inputs, places for outputs, and what the requests say. Where the model batches, the first dim of every
/// input and output is the number of rows. One that `execute` was given lives until that returns; one that was pulled
/// from a queue is the caller's until it is freed, and is used by one thread at a time.
pub struct Batch {
    whose: Whose,
}

enum Whose {
    /// The engine's, for one call of `execute`.
    Lent(*const ModelBatch<'static>),
    /// The caller's.
    Pulled(Pulled),
}

const ANSWERED: Error = Error::fixed(ErrorKind::FailedPrecondition, "the batch was answered before");
const NOT_PULLED: Error = Error::fixed(ErrorKind::FailedPrecondition, "the batch was not pulled: return from execute");

impl Batch {
    pub(super) fn pulled(batch: Pulled) -> Batch {
        Batch { whose: Whose::Pulled(batch) }
    }

    pub(super) fn is_pulled(&self) -> bool {
        matches!(self.whose, Whose::Pulled(_))
    }

    /// Answers the requests of a pulled batch.
    ///
    /// # Errors
    /// As for [`Pulled::settle`]; `FAILED_PRECONDITION` for one that was not pulled.
    pub(super) fn settle(&mut self, outcome: Result<(), Error>) -> Result<(), Error> {
        match &mut self.whose {
            Whose::Pulled(batch) => batch.settle(outcome),
            Whose::Lent(_) => Err(NOT_PULLED),
        }
    }
}

/// Runs one batch. NULL: each request is answered with its rows of the outputs. A status, which is taken: it answers
/// every request of the batch. Called by one thread at a time, or by as many as the config has instances: threads of
/// the library, and with `caller_runs` those that wait in `inferlay_infer`. It must not call what waits, and must
/// return (a C++ exception must not leave it). `batch`: borrowed for the call.
pub type ExecuteFn = Option<unsafe extern "C" fn(user_data: *mut c_void, batch: *mut Batch) -> *mut Status>;

/// Told once that a model's functions are not called any more, on any thread, also inside calls to this library. It
/// must not call this library.
pub type GoneFn = Option<unsafe extern "C" fn(user_data: *mut c_void)>;

/// The functions of a model. Set `struct_size` to `sizeof(inferlay_model_table)`.
#[repr(C)]
#[derive(Clone, Copy)]
pub struct ModelTable {
    /// `sizeof(inferlay_model_table)`.
    pub struct_size: usize,
    /// Runs one batch; not NULL.
    pub execute: ExecuteFn,
    /// Told when the model is gone; may be NULL.
    pub gone: GoneFn,
}

/// What a request of a batch says beside its tensors. Set `struct_size` to `sizeof(inferlay_asked)` before the call.
/// The texts are not NUL-terminated; all of it lives until `execute` returns, or until a pulled batch is answered.
#[repr(C)]
pub struct Asked {
    /// In: `sizeof(inferlay_asked)`.
    pub struct_size: usize,
    /// Its name; may be empty.
    pub id: *const c_char,
    /// The bytes of `id`.
    pub id_len: usize,
    /// Its rows in the batch; they follow those of the requests before it.
    pub rows: usize,
    /// Its priority; 0 is the most urgent.
    pub priority: u32,
    /// A sum of `INFERLAY_SEQUENCE_*`.
    pub sequence_flags: SequenceFlags,
    /// The number of its sequence; 0 for none.
    pub sequence_id: u64,
    /// The name of its sequence; empty for none.
    pub sequence_text: *const c_char,
    /// The bytes of `sequence_text`.
    pub sequence_text_len: usize,
    /// When the answer is worthless, on the clock of `inferlay_clock_now`; UINT64_MAX for never.
    pub deadline_ns: u64,
    /// Whether the caller no longer wants the answer, now.
    pub cancelled: bool,
}

/// The kind of a parameter: one of `INFERLAY_PARAMETER_*`.
pub type ParameterKind = u32;
/// A text.
pub const INFERLAY_PARAMETER_STRING: u32 = 1;
/// A whole number.
pub const INFERLAY_PARAMETER_INT: u32 = 2;
/// A floating-point number.
pub const INFERLAY_PARAMETER_DOUBLE: u32 = 3;
/// A truth value.
pub const INFERLAY_PARAMETER_BOOL: u32 = 4;

/// A value that a request carries. Set `struct_size` to `sizeof(inferlay_parameter)` before the call.
#[repr(C)]
pub struct Parameter {
    /// In: `sizeof(inferlay_parameter)`.
    pub struct_size: usize,
    /// One of `INFERLAY_PARAMETER_*`, which says what of the following is set; the others are 0.
    pub kind: ParameterKind,
    /// A truth value.
    pub bool_value: bool,
    /// A whole number.
    pub int_value: i64,
    /// A floating-point number.
    pub double_value: f64,
    /// A text, not NUL-terminated; lives as `inferlay_asked`.
    pub string_value: *const c_char,
    /// The bytes of the text.
    pub string_len: usize,
}

/// The functions of a registered model, until it is gone.
struct Functions {
    execute: unsafe extern "C" fn(*mut c_void, *mut Batch) -> *mut Status,
    gone: GoneFn,
    /// Whether the model was registered: only then is its end worth telling.
    is_registered: AtomicBool,
    user_data: UserData,
}

impl Functions {
    fn run(&self, batch: &ModelBatch<'_>) -> Result<(), Error> {
        let mut lent = Batch { whose: Whose::Lent(std::ptr::from_ref(batch).cast()) };
        // SAFETY: whoever registered the model promised that a thread may call it so; the batch outlives the call.
        let status = unsafe { (self.execute)(self.user_data.0, &raw mut lent) };
        // SAFETY: the function gives the status away.
        unsafe { Status::into_result(status) }
    }
}

impl Drop for Functions {
    fn drop(&mut self) {
        if let Some(gone) = self.gone.filter(|_| self.is_registered.load(Ordering::Acquire)) {
            // SAFETY: as for `run`; this comes once.
            unsafe { gone(self.user_data.0) };
        }
    }
}

/// The batch behind a handle, whose requests wait for an answer.
///
/// # Errors
/// `INVALID_ARG` for NULL, `FAILED_PRECONDITION` for one that was answered.
///
/// # Safety
/// `batch` is NULL, or what `execute` was given and `execute` has not returned, or was pulled and not freed.
pub(super) unsafe fn batch_of<'a>(batch: *const Batch) -> Result<ModelBatch<'a>, Error> {
    // SAFETY: the caller's promise.
    match &unsafe { borrow(batch, "batch") }?.whose {
        // SAFETY: the batch lives until `execute` returns.
        Whose::Lent(lent) => Ok(unsafe { &*lent.cast::<ModelBatch<'a>>() }.again()),
        Whose::Pulled(batch) if batch.is_open() => Ok(batch.view()),
        Whose::Pulled(_) => Err(ANSWERED),
    }
}

/// Makes a model of a function of the program.                                            [any thread] [never blocks]
///
/// `config`: YAML or JSON with the keys of a model's `config.yaml`; needs `name`, and `name`, `data_type` and `dims` of
/// each `input` and `output`. `table`: borrowed for the call; `user_data`: borrowed until `gone` has been called. Fails
/// with INVALID_ARG for a config that contradicts itself, ALREADY_EXISTS when the name is taken, UNAVAILABLE when the
/// server stops; then nothing is called.
#[must_use]
#[unsafe(no_mangle)]
pub unsafe extern "C" fn inferlay_server_register_model(
    server: *const Server,
    config: *const c_char,
    table: *const ModelTable,
    user_data: *mut c_void,
) -> *mut Status {
    door(|| {
        // SAFETY: the caller's promise.
        let functions = Arc::new(unsafe { functions(table, user_data) }?);
        // SAFETY: the caller's promise.
        let server = unsafe { handle(server) }?;
        // SAFETY: the caller's promise.
        let config = unsafe { model_config(config) }?;
        let shared = functions.clone();
        server.register_model(config, move |batch| shared.run(batch))?;
        functions.is_registered.store(true, Ordering::Release);
        Ok(())
    })
}

/// The complete config of a model of the program's own.
///
/// # Errors
/// `INVALID_ARG` for one that contradicts itself or has no name.
///
/// # Safety
/// `config` is NULL or a NUL-terminated string.
pub(super) unsafe fn model_config(config: *const c_char) -> Result<ModelConfig, Error> {
    // SAFETY: the caller's promise.
    let partial = config::parse("config", unsafe { utf8(config, "config") }?)?;
    let Some(name) = partial.name.clone() else {
        return Err(Error::invalid_arg("config: found no name, expected the model's name under the key 'name'"));
    };
    Ok(partial.complete(&name, "closure", &Signature::default())?)
}

/// # Safety
/// `table` is NULL or good for reading.
unsafe fn functions(table: *const ModelTable, user_data: *mut c_void) -> Result<Functions, Error> {
    // SAFETY: the caller's promise.
    let table = unsafe { borrow(table, "table") }?;
    if table.struct_size < size_of::<ModelTable>() {
        let (found, least) = (table.struct_size, size_of::<ModelTable>());
        return Err(Error::invalid_arg(format!("table: found a struct_size of {found}, expected {least} or more")));
    }
    let Some(execute) = table.execute else { return Err(Error::invalid_arg("table: execute: found NULL")) };
    let is_registered = AtomicBool::new(false);
    Ok(Functions { execute, gone: table.gone, is_registered, user_data: UserData(user_data) })
}

/// The number of requests in a batch; 0 for NULL.                                     [inside execute] [never blocks]
#[unsafe(no_mangle)]
pub unsafe extern "C" fn inferlay_batch_len(batch: *const Batch) -> usize {
    // SAFETY: the caller's promise.
    quiet_door(0, || Ok(unsafe { batch_of(batch) }?.len()))
}

/// The sum of the requests' rows; 1 for a model that does not batch; 0 for NULL.      [inside execute] [never blocks]
#[unsafe(no_mangle)]
pub unsafe extern "C" fn inferlay_batch_rows(batch: *const Batch) -> usize {
    // SAFETY: the caller's promise.
    quiet_door(0, || Ok(unsafe { batch_of(batch) }?.rows()))
}

/// All rows of an input: a request alone in its batch passes its memory through, several are joined once.
///                                                                                    [inside execute] [never blocks]
/// `name`: borrowed for the call. `view`: filled on success; what it points to lives until `execute` returns, or until a
/// pulled batch is freed. Fails with NOT_FOUND when there is no such input.
#[must_use]
#[unsafe(no_mangle)]
pub unsafe extern "C" fn inferlay_batch_input(
    batch: *const Batch,
    name: *const c_char,
    view: *mut View,
) -> *mut Status {
    door(|| {
        // SAFETY: the caller's promise.
        let batch = unsafe { batch_of(batch) }?;
        // SAFETY: the caller's promise.
        let tensor = batch.input(unsafe { utf8(name, "name") }?)?;
        // SAFETY: the caller's promise.
        unsafe { View::of(tensor)?.fill(view) }
    })
}

/// Memory to write all rows of an output into, once; not for BYTES.                   [inside execute] [never blocks]
///
/// `name`, `shape`: borrowed for the call. `data`, `byte_size`: where the memory and its size go; it is written until
/// `execute` returns, or a pulled batch is answered. Not NULL. Fails with NOT_FOUND when there is no such output,
/// INVALID_ARG when the shape contradicts the config or the number of rows, FAILED_PRECONDITION for the second time.
#[must_use]
#[unsafe(no_mangle)]
pub unsafe extern "C" fn inferlay_batch_output(
    batch: *mut Batch,
    name: *const c_char,
    shape: *const i64,
    rank: usize,
    data: *mut *mut c_void,
    byte_size: *mut usize,
) -> *mut Status {
    door(|| {
        // SAFETY: the caller's promise.
        let batch = unsafe { batch_of(batch) }?;
        // SAFETY: the caller's promise.
        let name = unsafe { utf8(name, "name") }?;
        // SAFETY: the caller's promise.
        let shape = super::input::sizes(unsafe { slice(shape, rank, "shape") }?)?;
        // SAFETY: the caller's promise.
        let (data, byte_size) = (unsafe { out(data, "data") }?, unsafe { out(byte_size, "byte_size") }?);
        let bytes = batch.output(name, shape)?.bytes();
        byte_size.write(bytes.len());
        data.write(bytes.as_mut_ptr().cast());
        Ok(())
    })
}

/// Sets all rows of an output to a copy of a tensor; the only way for BYTES.           [inside execute] [never blocks]
///
/// `name`, `tensor` and all it points to: borrowed for the call. Fails as `inferlay_batch_output`, and with INVALID_ARG
/// when the tensor contradicts itself.
#[must_use]
#[unsafe(no_mangle)]
pub unsafe extern "C" fn inferlay_batch_set_output(
    batch: *mut Batch,
    name: *const c_char,
    tensor: *const View,
) -> *mut Status {
    door(|| {
        // SAFETY: the caller's promise.
        let batch = unsafe { batch_of(batch) }?;
        // SAFETY: the caller's promise.
        let name = unsafe { utf8(name, "name") }?;
        // SAFETY: the caller's promise.
        let (dtype, shape, view) = unsafe { read(tensor) }?;
        // SAFETY: the caller's promise.
        batch.set_output(name, unsafe { copied(dtype, shape, &view) }?)
    })
}

/// Whether any request wants this output; false for NULL.                             [inside execute] [never blocks]
#[unsafe(no_mangle)]
pub unsafe extern "C" fn inferlay_batch_output_wanted(batch: *const Batch, name: *const c_char) -> bool {
    quiet_door(false, || {
        // SAFETY: the caller's promise.
        let batch = unsafe { batch_of(batch) }?;
        // SAFETY: the caller's promise.
        Ok(batch.output_wanted(unsafe { utf8(name, "name") }?))
    })
}

/// Answers one request with an error, whatever becomes of the others.                 [inside execute] [never blocks]
///
/// `index`: from 0 to `inferlay_batch_len` - 1. `status`: taken; NULL answers with UNKNOWN.
#[must_use]
#[unsafe(no_mangle)]
pub unsafe extern "C" fn inferlay_batch_fail(batch: *mut Batch, index: usize, status: *mut Status) -> *mut Status {
    door(|| {
        // SAFETY: the caller's promise.
        let said = unsafe { Status::into_result(status) };
        // SAFETY: the caller's promise.
        let batch = unsafe { batch_of(batch) }?;
        request(&batch, index)?;
        let nothing = || Error::new(ErrorKind::Unknown, "the model gave no reason");
        batch.fail(index, said.err().unwrap_or_else(nothing));
        Ok(())
    })
}

/// What one request of the batch says.                                                [inside execute] [never blocks]
///
/// `index`: from 0 to `inferlay_batch_len` - 1. `asked`: filled on success. Fails with NOT_FOUND past the end.
#[must_use]
#[unsafe(no_mangle)]
pub unsafe extern "C" fn inferlay_batch_request(batch: *const Batch, index: usize, asked: *mut Asked) -> *mut Status {
    door(|| {
        // SAFETY: the caller's promise.
        let batch = unsafe { batch_of(batch) }?;
        let request = request(&batch, index)?;
        // SAFETY: the caller's promise.
        let place = unsafe { out(asked, "asked") }?;
        // SAFETY: the caller's promise: the first field is set.
        let struct_size = unsafe { (*place.as_ptr()).struct_size };
        check_size("asked", struct_size, size_of::<Asked>())?;
        let (id, text) = (request.id(), request.correlation_text());
        let flag = |is_set, flag| if is_set { flag } else { 0 };
        place.write(Asked {
            struct_size,
            id: id.as_ptr().cast(),
            id_len: id.len(),
            rows: request.rows(),
            priority: request.priority(),
            sequence_flags: flag(request.sequence_start(), INFERLAY_SEQUENCE_START)
                | flag(request.sequence_end(), INFERLAY_SEQUENCE_END),
            sequence_id: request.correlation_id(),
            sequence_text: text.as_ptr().cast(),
            sequence_text_len: text.len(),
            deadline_ns: request.deadline_ns().unwrap_or(u64::MAX),
            cancelled: request.cancelled(),
        });
        Ok(())
    })
}

/// A parameter of one request of the batch.                                           [inside execute] [never blocks]
///
/// `index`: from 0 to `inferlay_batch_len` - 1. `name`: borrowed for the call. `parameter`: filled on success. Fails
/// with NOT_FOUND when the request has none of this name.
#[must_use]
#[unsafe(no_mangle)]
pub unsafe extern "C" fn inferlay_batch_parameter(
    batch: *const Batch,
    index: usize,
    name: *const c_char,
    parameter: *mut Parameter,
) -> *mut Status {
    door(|| {
        // SAFETY: the caller's promise.
        let batch = unsafe { batch_of(batch) }?;
        let request = request(&batch, index)?;
        // SAFETY: the caller's promise.
        let name = unsafe { utf8(name, "name") }?;
        // SAFETY: the caller's promise.
        let place = unsafe { out(parameter, "parameter") }?;
        // SAFETY: the caller's promise: the first field is set.
        let struct_size = unsafe { (*place.as_ptr()).struct_size };
        check_size("parameter", struct_size, size_of::<Parameter>())?;
        let value = request.parameter(name).ok_or_else(|| Error::not_found(format!("parameter '{name}' not found")))?;
        place.write(Parameter { struct_size, ..Parameter::new(value) });
        Ok(())
    })
}

impl Parameter {
    fn new(value: &ParameterValue) -> Parameter {
        let mut parameter = Parameter {
            struct_size: size_of::<Parameter>(),
            kind: 0,
            bool_value: false,
            int_value: 0,
            double_value: 0.0,
            string_value: std::ptr::null(),
            string_len: 0,
        };
        match value {
            ParameterValue::String(text) => {
                parameter.kind = INFERLAY_PARAMETER_STRING;
                (parameter.string_value, parameter.string_len) = (text.as_ptr().cast(), text.len());
            }
            ParameterValue::Int(value) => (parameter.kind, parameter.int_value) = (INFERLAY_PARAMETER_INT, *value),
            ParameterValue::Double(value) => {
                (parameter.kind, parameter.double_value) = (INFERLAY_PARAMETER_DOUBLE, *value);
            }
            ParameterValue::Bool(value) => (parameter.kind, parameter.bool_value) = (INFERLAY_PARAMETER_BOOL, *value),
        }
        parameter
    }
}

fn check_size(parameter: &str, found: usize, least: usize) -> Result<(), Error> {
    if found >= least {
        return Ok(());
    }
    Err(Error::invalid_arg(format!("{parameter}: found a struct_size of {found}, expected {least} or more")))
}

pub(super) fn request<'a>(batch: &'a ModelBatch<'_>, index: usize) -> Result<&'a dyn RequestInfo, Error> {
    if index >= batch.len() {
        return Err(Error::not_found(format!("request {index} of {}", batch.len())));
    }
    Ok(batch.request(index))
}
