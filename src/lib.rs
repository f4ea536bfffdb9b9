//! Inference, inlaid: a model server that is a library.

pub mod config;
