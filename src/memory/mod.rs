//! Host memory of the engine: blocks aligned to 64 bytes, pooled by size, handed out for writing and shared for reading.
//!
//! [`BlockPool::take`] gives a [`Block`] (exclusive, writable); [`Block::share`] turns it into a [`Buffer`] (shared,
//! immutable), whose last owner brings the memory home. [`WriteOnce`] lends the memory of one output to a backend.
//! [`Lent`] is memory of a blocked caller. In the steady state nothing is allocated.

mod allocated;
mod block;
mod lent;
mod trim;
mod write_once;

pub(crate) use allocated::allocated;
pub(crate) use block::{Block, BlockPool};
pub(crate) use lent::{Lent, borrow};
pub(crate) use trim::trim;
pub(crate) use write_once::{Target, WriteOnce};
