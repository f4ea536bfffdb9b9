//! Inference, inlaid: a model server that is a library.

#[allow(dead_code, unused_imports)]
mod repository;
