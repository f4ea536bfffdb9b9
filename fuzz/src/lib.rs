//! What the fuzz targets do with their bytes: one function each, which must neither panic nor break a promise.
//!
//! ```text
//!   config   a text         -> config::parse, complete, to_json and to_yaml and back
//!   pbtxt    the same, in Triton's text format
//!   table    misbehaviour   -> a plugin that reads from the bytes what to do at each turn, served
//!   door     calls          -> functions of inferlay.h in any order, with right and wrong arguments
//! ```

pub mod config;
pub mod door;
pub mod table;

/// Runs the files that the command line names through a target.
///
/// # Errors
/// What a file could not be read for.
///
/// # Examples
/// ```no_run
/// inferlay_fuzz::replay(inferlay_fuzz::config::run)?;
/// # Ok::<(), std::io::Error>(())
/// ```
pub fn replay(run: fn(&[u8])) -> std::io::Result<()> {
    std::env::args_os().skip(1).try_for_each(|file| std::fs::read(file).map(|bytes| run(&bytes)))
}
