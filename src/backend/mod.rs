//! The workshop: backends as the engine sees them.
//!
//! [`builtin`] lists those that are linked in, [`closure`] makes one of a function, [`taken`] turns the engine's side of a
//! taken request into the SDK's. Nothing here knows of lanes or requests on their way.

mod builtin;
mod closure;
pub(crate) mod taken;

pub(crate) use builtin::builtin;
pub(crate) use closure::ClosureModel;
pub use closure::ModelBatch;
