//! The backend that computes nothing: output `i` is input `i`.
//!
//! It measures what the engine costs and stands in for a network in tests. Its model needs no file; the config states
//! the inputs, and the outputs unless they are the same. With no delay configured, `execute` copies the wanted outputs,
//! allocates nothing (but for `BYTES`, whose memory no batch provides) and reads no clock.
//!
//! ```yaml
//! backend: "null"
//! input: [{ name: x, data_type: TYPE_FP32, dims: [16] }]
//! parameters: { latency_base_us: 200, latency_row_us: 10, delay: burn }
//! ```
//!
//! | parameter         | meaning                                                         | default |
//! |-------------------|-----------------------------------------------------------------|---------|
//! | `delay_us`        | microseconds that every execution takes, fractions allowed      | 0       |
//! | `latency_base_us` | added to it: the `a` of a latency of `a + b * rows`             | 0       |
//! | `latency_row_us`  | added once per row of the batch: the `b`                        | 0       |
//! | `delay`           | `sleep` lets the core go meanwhile, `burn` keeps it busy        | `sleep` |
//! | `fail_every`      | every n-th execution of an instance fails; 0 for none           | 0       |
//!
//! Any thread; an instance holds nothing but its count of executions.

// An exported symbol is unsafe code, as two of one name would clash.
#![cfg_attr(not(feature = "plugin"), forbid(unsafe_code))]
#![cfg_attr(feature = "plugin", deny(unsafe_code))]

mod parameters;

use inferlay_backend_sdk::{
    Backend, Batch, Buffer, DataType, Error, Instance, InstanceSpec, Model, ModelSource, Signature, Tensor, TensorRef,
};
use parameters::Parameters;

/// The backend named `null`.
///
/// # Examples
/// ```
/// use inferlay_backend_null::NullBackend;
/// use inferlay_backend_sdk::{Attributes, Backend};
/// assert_eq!(NullBackend.name(), "null");
/// assert!(NullBackend.attributes().contains(Attributes::CALLER_OK));
/// ```
#[derive(Clone, Copy, Debug, Default)]
pub struct NullBackend;

impl Backend for NullBackend {
    fn name(&self) -> &str {
        "null"
    }

    fn version(&self) -> &str {
        env!("CARGO_PKG_VERSION")
    }

    fn file_names(&self) -> &[&str] {
        &[]
    }

    fn load(&self, source: &ModelSource<'_>) -> Result<Box<dyn Model>, Error> {
        let signature = signature(source)?;
        Ok(Box::new(NullModel { signature, parameters: Parameters::read(source.parameters)? }))
    }
}

#[cfg(feature = "plugin")]
inferlay_backend_sdk::export_backend!(null, NullBackend);

struct NullModel {
    signature: Signature,
    parameters: Parameters,
}

impl Model for NullModel {
    fn signature(&self) -> &Signature {
        &self.signature
    }

    fn instance(&self, _spec: &InstanceSpec) -> Result<Box<dyn Instance>, Error> {
        let (outputs, parameters) = (self.signature.outputs.len(), self.parameters);
        Ok(Box::new(NullInstance { outputs, parameters, executions: 0 }))
    }
}

struct NullInstance {
    outputs: usize,
    parameters: Parameters,
    executions: u64,
}

impl Instance for NullInstance {
    fn execute(&mut self, batch: &dyn Batch) -> Result<(), Error> {
        if self.parameters.active {
            self.executions += 1;
            self.parameters.apply(self.executions, batch.rows())?;
        }
        for index in 0..self.outputs {
            if batch.output_wanted(index) {
                echo(batch, index)?;
            }
        }
        Ok(())
    }
}

fn echo(batch: &dyn Batch, index: usize) -> Result<(), Error> {
    let input = batch.input(index, Default::default())?;
    if input.dtype() == DataType::Bytes {
        return batch.output(index, owned_bytes(&input)?);
    }
    let from = input.bytes()?;
    let to = batch.output_buffer(index, input.shape().clone())?.bytes();
    if to.len() != from.len() {
        return Err(Error::invalid_arg(format!(
            "output {index}: holds {} bytes, but its input {} of {}",
            to.len(),
            from.len(),
            input.dtype()
        )));
    }
    to.copy_from_slice(from);
    Ok(())
}

/// A copy: the input may be borrowed from a caller that wants it back when `execute` returns.
fn owned_bytes(input: &TensorRef<'_>) -> Result<Tensor, Error> {
    let (data, offsets) = (input.bytes()?.to_vec(), input.offsets()?.to_vec());
    Tensor::new_bytes(input.shape().clone(), Buffer::from(data), Buffer::from(offsets))
}

fn signature(source: &ModelSource<'_>) -> Result<Signature, Error> {
    let mut signature = source.config.clone();
    signature.batches |= source.batch_size_max.is_some_and(|max| max > 0);
    let place = || format!("model '{}'", source.name);
    if signature.inputs.is_empty() {
        return Err(Error::invalid_arg("found no input in the config, expected one or more to echo").at(place()));
    }
    if signature.outputs.is_empty() {
        signature.outputs = signature.inputs.clone();
    }
    let (inputs, outputs) = (signature.inputs.len(), signature.outputs.len());
    if outputs > inputs {
        let message = format!("found {outputs} outputs, expected at most {inputs}: output i echoes input i");
        return Err(Error::invalid_arg(message).at(place()));
    }
    for (output, input) in signature.outputs.iter().zip(&signature.inputs) {
        if output.dtype != input.dtype {
            let message = format!("found {}, expected {} of input '{}'", output.dtype, input.dtype, input.name);
            return Err(Error::invalid_arg(message).at(format!("output '{}'", output.name)).at(place()));
        }
    }
    Ok(signature)
}
