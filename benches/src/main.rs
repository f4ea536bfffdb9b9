//! Benchmarks of the engine beside a floor, the bare backend, or a peer, measured in the same run.
//!
//! `overhead` is what a request costs when the model costs nothing; `digits` is what is left of a real network's
//! throughput; `peer` is `overhead` beside Triton's in-process library; `capi` is what the C functions add; `live` is
//! what swaps of versions and loads cost; `onnxruntime` compares with bare calls of that runtime. See `README.md` for the method and the figures.
#![deny(unsafe_code)]

mod allocations;
mod arguments;
#[cfg(feature = "capi")]
mod capi;
mod case;
mod client;
#[cfg(feature = "tract")]
mod digits;
mod live;
mod machine;
mod measure;
mod models;
#[cfg(feature = "onnxruntime")]
mod onnxruntime;
mod overhead;
mod peer;

use arguments::{Arguments, USAGE};
use std::error::Error;
use std::process::ExitCode;

fn main() -> ExitCode {
    let arguments = match Arguments::parse(std::env::args().skip(1)) {
        Ok(arguments) => arguments,
        Err(message) => {
            eprintln!("{message}\n{USAGE}");
            return ExitCode::from(2);
        }
    };
    match run(&arguments) {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            eprintln!("{error}");
            ExitCode::FAILURE
        }
    }
}

fn run(arguments: &Arguments) -> Result<(), Box<dyn Error>> {
    if let Some(core) = arguments.core {
        machine::pin(core)?;
    }
    match arguments.bench.as_str() {
        "overhead" => overhead::run(arguments),
        "live" => live::run(arguments),
        "peer" => peer::run(arguments),
        #[cfg(feature = "capi")]
        "capi" => capi::run(arguments),
        #[cfg(not(feature = "capi"))]
        "capi" => Err("the bench 'capi' needs the feature 'capi': add `--features capi`".into()),
        child if peer::is_child(child) => peer::run_child(arguments),
        #[cfg(feature = "tract")]
        "digits" => digits::run(arguments),
        #[cfg(not(feature = "tract"))]
        "digits" => Err("the bench 'digits' needs the feature 'tract': add `--features tract`".into()),
        #[cfg(feature = "onnxruntime")]
        "onnxruntime" => onnxruntime::run(arguments),
        #[cfg(not(feature = "onnxruntime"))]
        "onnxruntime" => Err("the bench 'onnxruntime' needs its feature: add `--features onnxruntime`".into()),
        other => Err(format!("no bench is called '{other}'\n{USAGE}").into()),
    }
}
