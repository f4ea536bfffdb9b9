//! Signatures of models as C structs, and back.

use super::convert::{dtype, read, read_text, text};
use super::{INFERLAY_ABI_RANK_UNKNOWN, inferlay_abi_signature, inferlay_abi_tensor_spec};
use crate::{Error, Signature, TensorSpec};
use std::ptr::null;

/// The most inputs or outputs that are read: more are somebody's uninitialised memory.
const PORTS_MAX: u32 = 1 << 16;
const RANK_MAX: u32 = 64;

/// A [`Signature`] with its C form, which points into it.
#[derive(Debug)]
pub struct SignatureTable {
    table: inferlay_abi_signature,
    // What the table points to, in this order; never touched again.
    _signature: Box<Signature>,
    _specs: [Vec<inferlay_abi_tensor_spec>; 2],
    _pointers: [Vec<*const inferlay_abi_tensor_spec>; 2],
}

// SAFETY: all of it is immutable once made.
unsafe impl Send for SignatureTable {}
// SAFETY: as for `Send`.
unsafe impl Sync for SignatureTable {}

impl SignatureTable {
    /// The C form of a copy of `signature`.
    pub fn new(signature: &Signature) -> Self {
        let signature = Box::new(signature.clone());
        let specs = [&signature.inputs, &signature.outputs].map(|specs| specs.iter().map(spec).collect::<Vec<_>>());
        let pointers = [&specs[0], &specs[1]].map(|specs| specs.iter().map(std::ptr::from_ref).collect::<Vec<_>>());
        let table = inferlay_abi_signature {
            struct_size: size_of::<inferlay_abi_signature>() as u32,
            batches: u32::from(signature.batches),
            input_count: pointers[0].len() as u32,
            output_count: pointers[1].len() as u32,
            inputs: pointers[0].as_ptr(),
            outputs: pointers[1].as_ptr(),
        };
        SignatureTable { table, _signature: signature, _specs: specs, _pointers: pointers }
    }

    /// The C form; valid as long as `self`, wherever it is moved.
    pub fn table(&self) -> *const inferlay_abi_signature {
        &raw const self.table
    }
}

fn spec(spec: &TensorSpec) -> inferlay_abi_tensor_spec {
    inferlay_abi_tensor_spec {
        struct_size: size_of::<inferlay_abi_tensor_spec>() as u32,
        dtype: spec.dtype as u32,
        name: text(&spec.name),
        dims: spec.dims.as_ref().map_or(null(), |dims| dims.as_ptr()),
        rank: spec.dims.as_ref().map_or(INFERLAY_ABI_RANK_UNKNOWN, |dims| dims.len() as u32),
        optional: u32::from(spec.optional),
    }
}

/// A signature of the other side.
///
/// # Errors
/// [`crate::ErrorKind::InvalidArg`] or [`crate::ErrorKind::Unsupported`] for what cannot be one.
///
/// # Safety
/// `signature` is what its type says.
pub unsafe fn signature(signature: *const inferlay_abi_signature) -> Result<Signature, Error> {
    // SAFETY: the caller's promise.
    let table = unsafe { read(signature) };
    // SAFETY: as above.
    let inputs = unsafe { specs(table.inputs, table.input_count) }.map_err(|error| error.at("signature: inputs"))?;
    // SAFETY: as above.
    let outputs =
        unsafe { specs(table.outputs, table.output_count) }.map_err(|error| error.at("signature: outputs"))?;
    Ok(Signature { inputs, outputs, batches: table.batches != 0 })
}

/// # Safety
/// `specs` is null or points to `count` pointers to specs.
unsafe fn specs(specs: *const *const inferlay_abi_tensor_spec, count: u32) -> Result<Vec<TensorSpec>, Error> {
    if count == 0 {
        return Ok(Vec::new());
    }
    if specs.is_null() || count > PORTS_MAX {
        return Err(Error::invalid_arg(format!("found no array of {count}, expected one of at most {PORTS_MAX}")));
    }
    // SAFETY: the caller's promise; not null.
    let specs = unsafe { std::slice::from_raw_parts(specs, count as usize) };
    // SAFETY: the caller's promise.
    specs.iter().map(|spec| unsafe { read_spec(*spec) }).collect()
}

/// # Safety
/// `spec` is null or what its type says.
unsafe fn read_spec(spec: *const inferlay_abi_tensor_spec) -> Result<TensorSpec, Error> {
    if spec.is_null() {
        return Err(Error::invalid_arg("found null, expected a spec"));
    }
    // SAFETY: the caller's promise; not null.
    let spec = unsafe { read(spec) };
    // SAFETY: the caller's promise.
    let name = unsafe { read_text(spec.name) }.into_owned();
    let dims = match spec.rank {
        INFERLAY_ABI_RANK_UNKNOWN => None,
        0 => Some(Vec::new()),
        rank if spec.dims.is_null() || rank > RANK_MAX => {
            return Err(Error::invalid_arg(format!("'{name}': found rank {rank} without as many dims")));
        }
        // SAFETY: the caller's promise; not null.
        rank => Some(unsafe { std::slice::from_raw_parts(spec.dims, rank as usize) }.to_vec()),
    };
    let dtype = dtype(spec.dtype).map_err(|error| error.at(format_args!("'{name}'")))?;
    Ok(TensorSpec { name, dtype, dims, optional: spec.optional != 0 })
}
