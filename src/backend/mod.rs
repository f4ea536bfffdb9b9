//! The workshop: backends as the engine sees them.
//!
//! [`builtin`] lists those that are linked in, [`dynamic`] finds others in shared libraries, [`plugin`] makes one of a C
//! table, [`closure`] of a function, [`queue`] of whoever pulls its batches ([`pulled`]); [`joint`] says how inputs of a
//! batch are made that are not rows. [`taken`] turns the engine's side of a taken request into the SDK's. Nothing here knows
//! of lanes or requests on their way.

mod builtin;
mod closure;
mod dynamic;
pub(crate) mod joint;
mod plugin;
mod pulled;
mod queue;
pub(crate) mod taken;

pub(crate) use builtin::builtin;
pub(crate) use closure::ClosureModel;
pub use closure::ModelBatch;
pub(crate) use dynamic::Directories;
#[cfg(feature = "capi")]
pub(crate) use plugin::HOST;
pub(crate) use plugin::{BackendOptions, Surroundings, TrustedTable};
#[cfg(feature = "capi")]
pub(crate) use pulled::Pulled;
pub use queue::{BatchQueue, PulledBatch};
pub(crate) use queue::{Line, PulledModel};
