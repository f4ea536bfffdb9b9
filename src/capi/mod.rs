//! THE STREET DOOR: every `extern "C"` function, and nothing else. `include/inferlay.h` is generated from this room.
//!
//! ```text
//!   door.rs      what every call passes: fork, panics; errors become statuses
//!   handle.rs    who owns a handle, as a type; how pointers of the caller become references
//!   types.rs     numbers and structs that cross         status.rs text.rs clock.rs library.rs
//!   options.rs   server.rs   model.rs   callback.rs     one file per noun
//!   trust.rs     seal.rs                                options that are about seals; keys and seals themselves
//!   control.rs   repository.rs  source.rs               options of models that come and go, and where they lie
//!   options_text.rs                                     options as a text
//!   live.rs      operation.rs   subscription.rs         models that come and go, and what is told of that
//!   request.rs   input.rs   output.rs   parameter.rs    a request and its setters
//!   infer.rs     submission.rs                          the three ways to ask; the flight of one request
//!   response.rs  tensor.rs  dlpack.rs                   what comes back
//!   traffic.rs                                          labels, shares and shadows of versions
//!   queue.rs     signal.rs                              events, and the descriptor of a queue
//!   drain.rs     notice.rs                              many events at a time; what a server tells of by itself
//!   metric.rs                                           metrics of the application
//!   batch_queue.rs                                      models whose batches are pulled
//! ```
//!
//! Invariants: 1. Every function is: check the pointers, convert, one call into the safe engine, convert back, inside
//! [`door::door`]. 2. Outputs are written on success only. 3. No panic leaves, no call enters after a fork. 4. The
//! comment on a function is its comment in the header. Any thread, unless a function says otherwise.
//!
//! The functions are `pub` because the generator takes nothing else; the room itself is private.
#![allow(unreachable_pub, reason = "the linker reaches what the crate does not export")]

mod batch_queue;
mod callback;
mod clock;
mod control;
mod dlpack;
mod door;
mod drain;
mod handle;
mod infer;
mod input;
mod library;
mod live;
mod metric;
mod model;
mod notice;
mod operation;
mod options;
mod options_text;
mod output;
mod parameter;
mod queue;
mod repository;
mod request;
mod responder;
mod response;
mod seal;
mod server;
mod signal;
mod source;
mod status;
mod submission;
mod subscription;
mod tensor;
mod text;
mod traffic;
mod trust;
mod types;
