//! flow
mod batch;
mod queue;
mod timer;
pub use batch::Cut;
