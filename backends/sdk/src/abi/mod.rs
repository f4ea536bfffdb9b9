//! The plugin ABI: the tables that a backend in a shared library and the engine hand each other.
//!
//! ```text
//!   plugin                                                      host
//!     inferlay_backend_<name>(host) ----> inferlay_abi_backend    what a backend can do
//!     inferlay_abi_host <---------------------------------------  what the engine offers
//! ```
//!
//! The names are those of `include/inferlay_backend.h`, which is generated from these files; they are the contract, the
//! comments included. [`crate::export_backend!`] makes a table of the Rust traits in a plugin, [`Table`] in the same
//! process.
//!
//! Invariants, which hold for every version with the same major:
//! 1. Tables and descriptors begin with `struct_size`. They grow at the end only; a reader reads what both sizes promise.
//!    A struct without `struct_size` never grows. No struct that grows is ever an element of an array.
//! 2. Enumerations are `uint32_t`; a value that the reader does not know is UNSUPPORTED, never undefined.
//! 3. Who allocates frees: memory, descriptors, statuses carry the function that lets them go.
//! 4. Whatever a function takes, it takes also when it fails. What it only borrows, it borrows for the call.
//! 5. Outputs of a function (`*out`) are written on success only.
//! 6. Nothing unwinds across, in either direction.
//! 7. A plugin imports no symbol of the host and keeps no host table in a global variable: a process may hold several
//!    servers, and several copies of the engine, which share the plugin.
//! 8. A field or function that exists is never given another meaning. What this host cannot do yet, it answers with
//!    UNSUPPORTED.

#![allow(non_camel_case_types)]

mod backend;
mod convert;
mod export;
mod host;
mod layout;
mod signature;
mod tensor;
mod tensors;
mod value;

pub use backend::*;
pub use convert::*;
pub use export::{Table, entry};
pub use host::*;
pub use layout::*;
pub use signature::{SignatureTable, signature};
pub use tensor::*;
pub use tensors::{Described, describe, described, hand_over, shape};
pub use value::*;
