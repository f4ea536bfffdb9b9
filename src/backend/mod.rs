//! The workshop: backends as the engine sees them.
//!
//! [`builtin`] lists those that are linked in; [`closure`] makes a backend of a function; [`taken`] turns the engine's side
//! of a taken request into the SDK's.

pub(crate) mod taken;
