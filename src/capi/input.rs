//! The inputs of a request: memory of the caller that is borrowed, in one piece or several, or memory of its own.

use super::handle::{UserData, slice, utf8};
use super::request::{Parts, Request, edit};
use super::status::Status;
use super::types::{INFERLAY_MEMORY_HOST, Memory, View, check_memory, datatype};
use crate::memory::BlockPool;
use crate::tensor::wire;
use inferlay_backend_sdk::{Buffer, DataType, Error, Shape, Tensor};
use smallvec::SmallVec;
use std::ffi::{c_char, c_void};
use std::ptr::NonNull;
use std::sync::Arc;

/// One input.
pub(super) struct Input {
    pub(super) name: String,
    dtype: DataType,
    shape: Shape,
    source: Source,
}

enum Source {
    /// One piece, which is not copied.
    Lent(Piece),
    /// Of BYTES: contents and offsets.
    LentStrings(Piece, Piece),
    /// Joined on the way in; of BYTES, in the form of the wire.
    Pieces(Vec<Piece>),
    /// The request's own.
    Own(Tensor),
    /// Lent, as the caller's struct says when the request is sent.
    Bound(*const View),
}

/// Memory of the caller.
#[derive(Clone, Copy)]
pub(super) struct Piece {
    pub(super) pointer: NonNull<u8>,
    pub(super) len: usize,
}

impl Piece {
    /// # Safety
    /// `data` is NULL or good for reading `len` bytes.
    unsafe fn new(data: *const c_void, len: usize) -> Result<Piece, Error> {
        // SAFETY: the caller's promise.
        let bytes = unsafe { slice(data.cast::<u8>(), len, "data") }?;
        // An empty piece is aligned to whatever it may be read as.
        let pointer = if len == 0 { NonNull::<u128>::dangling().cast() } else { NonNull::from(bytes).cast() };
        Ok(Piece { pointer, len })
    }

    /// # Safety
    /// The memory is still the caller's and readable.
    unsafe fn bytes<'a>(self) -> &'a [u8] {
        // SAFETY: the caller's promise; a piece is never NULL.
        unsafe { std::slice::from_raw_parts(self.pointer.as_ptr(), self.len) }
    }
}

impl Input {
    /// The tensor to send, and whether it borrows through what `lend` made of the caller's memory.
    ///
    /// # Errors
    /// `INVALID_ARG` when the bytes do not fit type and shape.
    ///
    /// # Safety
    /// The caller's memory is readable, and stays so as long as what `lend` makes needs it.
    pub(super) unsafe fn tensor(
        &self,
        lend: impl Fn(Piece) -> Buffer,
        blocks: &BlockPool,
    ) -> Result<(Tensor, bool), Error> {
        let place = |error: Error| error.at(format_args!("input '{}'", self.name));
        if let Source::Bound(view) = self.source {
            // SAFETY: the caller's promise in `inferlay_request_bind_input`.
            let (dtype, shape, view) = unsafe { read(view) }.map_err(place)?;
            // SAFETY: as above.
            let source = unsafe { lent(dtype, &view) }.map_err(place)?;
            // SAFETY: the caller's promise.
            return unsafe { source.tensor(dtype, &shape, lend, blocks) }.map_err(place);
        }
        // SAFETY: the caller's promise.
        unsafe { self.source.tensor(self.dtype, &self.shape, lend, blocks) }.map_err(place)
    }
}

impl Source {
    /// # Safety
    /// As for [`Input::tensor`].
    unsafe fn tensor(
        &self,
        dtype: DataType,
        shape: &Shape,
        lend: impl Fn(Piece) -> Buffer,
        blocks: &BlockPool,
    ) -> Result<(Tensor, bool), Error> {
        match self {
            Source::Own(tensor) => Ok((tensor.clone(), false)),
            Source::Lent(piece) if dtype == DataType::Bytes => {
                // SAFETY: the caller's promise.
                let bytes = unsafe { piece.bytes() };
                wire::read(bytes, shape.clone(), blocks).map(|tensor| (tensor, false))
            }
            Source::Lent(piece) => Tensor::new(dtype, shape.clone(), lend(*piece)).map(|tensor| (tensor, true)),
            Source::LentStrings(data, offsets) => {
                Tensor::new_bytes(shape.clone(), lend(*data), lend(*offsets)).map(|tensor| (tensor, true))
            }
            Source::Pieces(pieces) => {
                // SAFETY: the caller's promise.
                unsafe { joined(pieces, dtype, shape, blocks) }.map(|tensor| (tensor, false))
            }
            Source::Bound(_) => Err(Error::internal("a bound input is read before it is looked at")),
        }
    }
}

/// # Safety
/// As for [`Input::tensor`].
unsafe fn joined(pieces: &[Piece], dtype: DataType, shape: &Shape, blocks: &BlockPool) -> Result<Tensor, Error> {
    let len = pieces.iter().try_fold(0usize, |len, piece| len.checked_add(piece.len));
    let block = len.and_then(|len| blocks.take(len));
    let Some(mut block) = block else { return Err(Error::invalid_arg("its pieces are too large")) };
    let mut rest = block.bytes_mut();
    for piece in pieces {
        let (place, behind) = rest.split_at_mut(piece.len);
        // SAFETY: the caller's promise.
        place.copy_from_slice(unsafe { piece.bytes() });
        rest = behind;
    }
    let buffer = block.share();
    match dtype {
        DataType::Bytes => wire::read(buffer.bytes()?, shape.clone(), blocks),
        dtype => Tensor::new(dtype, shape.clone(), buffer),
    }
}

/// Frees memory that a request has taken. Called once, on any thread, also inside calls to this library; it must not
/// wait, and must not call this library.
pub type FreeFn = Option<unsafe extern "C" fn(user_data: *mut c_void, data: *mut c_void)>;

/// Sets an input that borrows its memory; one of the same name is replaced. Nothing is copied.
///                                                                                        [one thread] [never blocks]
/// `name`, `tensor` and its `shape`: borrowed for the call. The memory at `data` and `offsets`: borrowed until release
/// (of every sending), and not written by anybody meanwhile; aligned to its type. BYTES without `offsets` are read in
/// the form of the wire, and copied, when the request is sent. For a model that batches, the first dim is the number of
/// rows, the same for all inputs. Fails with INVALID_ARG for numbers that stand for nothing, UNSUPPORTED for memory of
/// devices; whether size and shape agree is checked when the request is sent.
#[must_use]
#[unsafe(no_mangle)]
pub unsafe extern "C" fn inferlay_request_set_input(
    request: *mut Request,
    name: *const c_char,
    tensor: *const View,
) -> *mut Status {
    let make = || {
        // SAFETY: the caller's promise.
        let (dtype, shape, view) = unsafe { read(tensor) }?;
        // SAFETY: the caller's promise.
        Ok((dtype, shape, unsafe { lent(dtype, &view) }?))
    };
    // SAFETY: the caller's promise.
    unsafe { set(request, name, make) }
}

/// Sets an input that is described by a struct of the caller, which is read anew at each sending: to send a request
/// again with other memory, write to the struct in between.                               [one thread] [never blocks]
///
/// `name`: borrowed for the call. `tensor`: borrowed until the input is set otherwise or the request freed, with its
/// `shape` and the memory; what they hold, until the release of a sending. What `inferlay_request_set_input` would
/// refuse, the sending does.
#[must_use]
#[unsafe(no_mangle)]
pub unsafe extern "C" fn inferlay_request_bind_input(
    request: *mut Request,
    name: *const c_char,
    tensor: *const View,
) -> *mut Status {
    let make = || {
        // SAFETY: the caller's promise.
        unsafe { super::handle::borrow(tensor, "tensor") }?;
        Ok((DataType::Uint8, Shape::new(&[]), Source::Bound(tensor)))
    };
    // SAFETY: the caller's promise.
    unsafe { set(request, name, make) }
}

/// Appends a piece to an input, whose shape is that of all pieces together. Pieces are copied into one when the request
/// is sent.                                                                               [one thread] [never blocks]
///
/// `name`, `memory`: borrowed for the call. `data`: borrowed until release. Fails with NOT_FOUND when the input was not
/// set before, UNSUPPORTED for one of BYTES with offsets, one that is not borrowed, or memory of devices.
#[must_use]
#[unsafe(no_mangle)]
pub unsafe extern "C" fn inferlay_request_append_input(
    request: *mut Request,
    name: *const c_char,
    data: *const c_void,
    byte_size: usize,
    memory: *const Memory,
) -> *mut Status {
    // SAFETY: the caller's promise.
    let name = || unsafe { utf8(name, "name") };
    // SAFETY: the caller's promise.
    let check = || unsafe { check_memory(memory) };
    // SAFETY: the caller's promise.
    let piece = || unsafe { Piece::new(data, byte_size) };
    let change = |parts: &mut Parts| {
        let name = name()?;
        check()?;
        append(parts, name, piece()?)
    };
    // SAFETY: the caller's promise.
    unsafe { edit(request, change) }
}

fn append(parts: &mut Parts, name: &str, piece: Piece) -> Result<(), Error> {
    let Some(input) = parts.inputs.iter_mut().find(|input| input.name == name) else {
        return Err(Error::not_found(format!("input '{name}': not set before")));
    };
    match &mut input.source {
        Source::Lent(first) => input.source = Source::Pieces(vec![*first, piece]),
        Source::Pieces(pieces) => pieces.push(piece),
        _ => return Err(Error::unsupported(format!("input '{name}': only borrowed memory is added to"))),
    }
    Ok(())
}

/// Sets an input to a copy of a tensor, which the request owns.                           [one thread] [never blocks]
///
/// `name`, `tensor` and all it points to: borrowed for the call. Fails as `inferlay_request_set_input`, and with
/// INVALID_ARG when size and shape do not agree.
#[must_use]
#[unsafe(no_mangle)]
pub unsafe extern "C" fn inferlay_request_copy_input(
    request: *mut Request,
    name: *const c_char,
    tensor: *const View,
) -> *mut Status {
    let make = || {
        // SAFETY: the caller's promise.
        let (dtype, shape, view) = unsafe { read(tensor) }?;
        // SAFETY: the caller's promise.
        let tensor = unsafe { copied(dtype, shape.clone(), &view) }?;
        Ok((dtype, shape, Source::Own(tensor)))
    };
    // SAFETY: the caller's promise.
    unsafe { set(request, name, make) }
}

/// Sets an input to memory that the request takes over: it is freed with `free_fn(user_data, data)` when neither the
/// request nor any response needs it any more.                                            [one thread] [never blocks]
///
/// `name`, `tensor` and its `shape`: borrowed for the call. `data`: taken, on success only. `free_fn`: not NULL. Fails
/// as `inferlay_request_copy_input`, and with UNSUPPORTED for BYTES.
#[must_use]
#[unsafe(no_mangle)]
pub unsafe extern "C" fn inferlay_request_take_input(
    request: *mut Request,
    name: *const c_char,
    tensor: *const View,
    free_fn: FreeFn,
    user_data: *mut c_void,
) -> *mut Status {
    let make = || {
        // SAFETY: the caller's promise.
        let (dtype, shape, view) = unsafe { read(tensor) }?;
        let Some(free_fn) = free_fn else { return Err(Error::invalid_arg("free_fn: found NULL")) };
        let tensor = taken(dtype, shape.clone(), &view, (free_fn, UserData(user_data)))?;
        Ok((dtype, shape, Source::Own(tensor)))
    };
    // SAFETY: the caller's promise.
    unsafe { set(request, name, make) }
}

/// Takes an input away.                                                                   [one thread] [never blocks]
///
/// `name`: borrowed for the call. Fails with NOT_FOUND when the request has none of this name.
#[must_use]
#[unsafe(no_mangle)]
pub unsafe extern "C" fn inferlay_request_remove_input(request: *mut Request, name: *const c_char) -> *mut Status {
    // SAFETY: the caller's promise.
    let name = || unsafe { utf8(name, "name") };
    let change = |parts: &mut Parts| {
        let name = name()?;
        match parts.inputs.iter().position(|input| input.name == name) {
            Some(index) => {
                parts.inputs.remove(index);
                Ok(())
            }
            None => Err(Error::not_found(format!("input '{name}': not set before"))),
        }
    };
    // SAFETY: the caller's promise.
    unsafe { edit(request, change) }
}

/// # Safety
/// `request` is NULL or a request of the caller, `name` is NULL or a NUL-terminated string.
unsafe fn set(
    request: *mut Request,
    name: *const c_char,
    read: impl FnOnce() -> Result<(DataType, Shape, Source), Error>,
) -> *mut Status {
    // SAFETY: the caller's promise.
    let name = || unsafe { utf8(name, "name") };
    let change = |parts: &mut Parts| {
        let name = name()?;
        let (dtype, shape, source) = read().map_err(|error| error.at(format_args!("input '{name}'")))?;
        match parts.inputs.iter_mut().find(|input| input.name == name) {
            Some(input) => (input.dtype, input.shape, input.source) = (dtype, shape, source),
            None => parts.inputs.push(Input { name: name.to_owned(), dtype, shape, source }),
        }
        Ok(())
    };
    // SAFETY: the caller's promise.
    unsafe { edit(request, change) }
}

/// # Safety
/// `view` is NULL or good for reading, its shape too.
pub(super) unsafe fn read(view: *const View) -> Result<(DataType, Shape, View), Error> {
    // SAFETY: the caller's promise.
    let view = *unsafe { super::handle::borrow(view, "tensor") }?;
    if view.struct_size < size_of::<View>() {
        let (found, least) = (view.struct_size, size_of::<View>());
        return Err(Error::invalid_arg(format!("found a struct_size of {found}, expected {least} or more")));
    }
    let memory = Memory {
        struct_size: size_of::<Memory>(),
        kind: view.memory_kind,
        device_id: view.device_id,
        ready: view.ready,
        ready_handle: view.ready_handle,
    };
    const { assert!(INFERLAY_MEMORY_HOST == 0, "a struct of zeros describes host memory") };
    // SAFETY: it lies right here.
    unsafe { check_memory(&raw const memory) }?;
    // SAFETY: the caller's promise.
    let dims = unsafe { slice(view.shape, view.rank, "shape") }?;
    Ok((datatype(view.datatype)?, sizes(dims)?, view))
}

/// The shape of these dims.
pub(super) fn sizes(dims: &[i64]) -> Result<Shape, Error> {
    let sizes: Result<SmallVec<[usize; 8]>, _> = dims.iter().map(|dim| usize::try_from(*dim)).collect();
    let sizes = sizes.map_err(|_| Error::invalid_arg(format!("shape: found {dims:?}, expected no dim below 0")))?;
    Ok(Shape::new(&sizes))
}

/// # Safety
/// The memory of the view is readable until the request is released.
unsafe fn lent(dtype: DataType, view: &View) -> Result<Source, Error> {
    // SAFETY: the caller's promise.
    let data = unsafe { Piece::new(view.data, view.byte_size) }?;
    if dtype != DataType::Bytes || view.offsets.is_null() {
        return Ok(Source::Lent(data));
    }
    let len = view.offsets_len.checked_mul(size_of::<u64>());
    let len = len.ok_or_else(|| Error::invalid_arg("offsets: more than memory holds"))?;
    // SAFETY: the caller's promise.
    Ok(Source::LentStrings(data, unsafe { Piece::new(view.offsets.cast(), len) }?))
}

/// # Safety
/// The memory of the view is readable.
pub(super) unsafe fn copied(dtype: DataType, shape: Shape, view: &View) -> Result<Tensor, Error> {
    // SAFETY: the caller's promise.
    let bytes = unsafe { slice(view.data.cast::<u8>(), view.byte_size, "data") }?;
    match dtype {
        DataType::Bytes if view.offsets.is_null() => wire::read(bytes, shape, &BlockPool::new()),
        DataType::Bytes => {
            // SAFETY: the caller's promise.
            let offsets = unsafe { slice(view.offsets, view.offsets_len, "offsets") }?;
            Tensor::new_bytes(shape, Buffer::copy_of(bytes), offsets.to_vec().into())
        }
        dtype => Tensor::new(dtype, shape, Buffer::copy_of(bytes)),
    }
}

/// Memory of the caller that was handed over.
struct Taken {
    piece: Piece,
    /// What is given back, also of no bytes.
    data: *mut c_void,
    free: unsafe extern "C" fn(*mut c_void, *mut c_void),
    user_data: UserData,
}

// SAFETY: the memory is nobody else's any more, and the function is promised to be good on any thread.
unsafe impl Send for Taken {}
// SAFETY: the memory is only read.
unsafe impl Sync for Taken {}

impl Drop for Taken {
    fn drop(&mut self) {
        // SAFETY: the caller's promise in `inferlay_request_take_input`: called once, on any thread.
        unsafe { (self.free)(self.user_data.0, self.data) };
    }
}

type Free = (unsafe extern "C" fn(*mut c_void, *mut c_void), UserData);

fn taken(dtype: DataType, shape: Shape, view: &View, (free, user_data): Free) -> Result<Tensor, Error> {
    // SAFETY: the caller's promise in `inferlay_request_take_input`.
    let piece = unsafe { Piece::new(view.data, view.byte_size) }?;
    let expected = shape.elements().zip(dtype.size()).and_then(|(elements, size)| elements.checked_mul(size));
    match expected {
        None if dtype == DataType::Bytes => return Err(Error::unsupported("BYTES are borrowed or copied only")),
        Some(expected) if expected == view.byte_size => {}
        _ => {
            let found = view.byte_size;
            return Err(Error::invalid_arg(format!("tensor of {dtype} and shape {shape}: found {found} bytes")));
        }
    }
    let data = view.data.cast_mut();
    let buffer = Buffer::from_arc(Arc::new(Taken { piece, data, free, user_data }), |taken| {
        // SAFETY: the memory is the `Taken`'s until it is dropped.
        unsafe { taken.piece.bytes() }
    });
    Tensor::new(dtype, shape, buffer)
}
