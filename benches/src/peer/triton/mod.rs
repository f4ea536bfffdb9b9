//! Triton inside this process, through its C interface: the one place of the benches that calls foreign code.
//!
//! `api` declares and loads, `server` starts and stops, `backend` compiles and reads the echo of our own, `client` is the
//! closed loop.

mod api;
mod backend;
mod client;
mod server;

pub(super) use api::Api;
pub(super) use backend::Backend;
pub(super) use client::Client;
pub(super) use server::Server;
