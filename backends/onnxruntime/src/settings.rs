//! From a model's parameters to the options of its session. Any thread.

use crate::external::Weights;
use crate::options::Options;
use crate::parameters::{Parameters, Provider, ProviderKind, Threads};
use crate::refusal::refused;
use inferlay_backend_sdk::{Error, ErrorKind};
use ort::environment::Environment;
use ort::ep::{ArbitrarilyConfigurableExecutionProvider, CUDA, ExecutionProviderDispatch, OpenVINO, TensorRT};
use ort::logging::LogLevel;
use ort::session::Session;
use ort::session::builder::{BuilderResult, SessionBuilder};
use std::path::{Component, Path, PathBuf};

/// The options of a session, as far as they do not depend on where the model comes from.
///
/// # Errors
/// `UNAVAILABLE` when a provider or a library of custom operators cannot be had; `INVALID_ARG` for options that the
/// runtime refuses.
pub(crate) fn session(
    environment: &Environment,
    parameters: &Parameters,
    options: &Options,
    threads: Threads,
) -> Result<SessionBuilder, Error> {
    let failed = |error: ort::Error<SessionBuilder>| refused("session options", ErrorKind::InvalidArg, &error);
    let mut builder = Session::builder(environment)
        .map_err(|error| refused("session options", ErrorKind::Internal, &error))?
        .with_log_level(LogLevel::Warning)
        .and_then(|builder| builder.with_optimization_level(parameters.optimization))
        .and_then(|builder| with_threads(builder, threads, options.allow_spinning))
        .and_then(|builder| builder.with_memory_pattern(parameters.pattern.unwrap_or(true)))
        .and_then(|builder| with_entries(builder, &parameters.session))
        .map_err(failed)?;
    if !parameters.arena {
        let cpu = ort::ep::CPU::default().with_arena_allocator(false).build();
        builder = builder.with_execution_providers([cpu.error_on_failure()]).map_err(failed)?;
    }
    for provider in &parameters.providers {
        builder = with_provider(builder, provider)?;
    }
    for library in &parameters.custom_op_libraries {
        let path = custom_ops(options.custom_op_folder.as_deref(), library)?;
        let place = format!("custom operators '{library}'");
        builder = builder.with_operator_library(path).map_err(|error| {
            Error::unavailable(refused(&place, ErrorKind::Unavailable, &error).message().to_owned())
        })?;
    }
    Ok(builder)
}

/// The same with weights that the model file does not hold.
///
/// # Errors
/// What the runtime says.
pub(crate) fn with_weights(mut builder: SessionBuilder, weights: &Weights) -> Result<SessionBuilder, Error> {
    let Weights::Memory(files) = weights else { return Ok(builder) };
    for (location, content) in files {
        let place = format!("external data '{location}'");
        builder = builder
            .with_external_initializer_file_in_memory(location, content.clone())
            .map_err(|error| refused(&place, ErrorKind::InvalidArg, &error))?;
    }
    Ok(builder)
}

fn with_threads(builder: SessionBuilder, threads: Threads, spinning: bool) -> BuilderResult {
    let Threads::Own { intra_op, inter_op } = threads else { return Ok(builder) };
    builder
        .with_intra_threads(intra_op)?
        .with_inter_threads(inter_op)?
        .with_parallel_execution(inter_op > 1)?
        .with_intra_op_spinning(spinning)?
        .with_inter_op_spinning(spinning)
}

fn with_entries(mut builder: SessionBuilder, entries: &[(String, String)]) -> BuilderResult {
    for (name, value) in entries {
        builder = builder.with_config_entry(name, value)?;
    }
    Ok(builder)
}

fn with_provider(builder: SessionBuilder, provider: &Provider) -> Result<SessionBuilder, Error> {
    let dispatch: ExecutionProviderDispatch = match provider.kind {
        // The processor is always there, and comes last whatever the order.
        ProviderKind::Cpu => return Ok(builder),
        ProviderKind::Cuda => configured(CUDA::default(), provider).build(),
        ProviderKind::TensorRt => configured(TensorRT::default(), provider).build(),
        ProviderKind::OpenVino => configured(OpenVINO::default(), provider).build(),
    };
    // By default the runtime goes on without a provider that it cannot have, and says nothing.
    builder.with_execution_providers([dispatch.error_on_failure()]).map_err(|error| {
        let place = format!("execution provider '{}'", provider.kind.name());
        Error::unavailable(refused(&place, ErrorKind::Unavailable, &error).message().to_owned())
    })
}

fn configured<P: ArbitrarilyConfigurableExecutionProvider>(provider: P, from: &Provider) -> P {
    from.options.iter().fold(provider, |provider, (name, value)| provider.with_arbitrary_config(name, value))
}

/// A library of custom operators, in the one folder that the server allows.
fn custom_ops(folder: Option<&Path>, library: &str) -> Result<PathBuf, Error> {
    let place = format!("parameter 'custom_op_libraries': '{library}'");
    let Some(folder) = folder else {
        let message = "the server allows no custom operators; its option `custom_op_folder` would";
        return Err(Error::unsupported(message).at(place));
    };
    let mut components = Path::new(library).components();
    let (Some(Component::Normal(_)), None) = (components.next(), components.next()) else {
        return Err(Error::invalid_arg("expected the name of a file in the server's folder").at(place));
    };
    let path = folder.join(library);
    if !path.is_file() {
        return Err(Error::not_found(format!("no such file in '{}'", folder.display())).at(place));
    }
    Ok(path)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn custom_operators_come_from_the_servers_folder_only() {
        let folder = std::env::temp_dir();
        for (allowed, library, kind) in [
            (None, "ops.so", ErrorKind::Unsupported),
            (Some(&*folder), "../ops.so", ErrorKind::InvalidArg),
            (Some(&*folder), "/ops.so", ErrorKind::InvalidArg),
            (Some(&*folder), "sub/ops.so", ErrorKind::InvalidArg),
            (Some(&*folder), "..", ErrorKind::InvalidArg),
            (Some(&*folder), "inferlay-no-such-file.so", ErrorKind::NotFound),
        ] {
            let error = custom_ops(allowed, library).unwrap_err();
            assert!(error.kind() == kind && error.message().contains(library), "{error}");
        }
    }
}
