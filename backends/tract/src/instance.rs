//! One execution at a time: checks the inputs, runs the best plan there is, hands the outputs over.
//!
//! Invariants: 1. a state is in `states` only while it is sound: it is taken out to run and put back after a success, so
//! neither an error nor a panic leaves half a run behind. 2. No input's memory is kept after `execute`.

use crate::network::Network;
use crate::plans::Plan;
use crate::refusal::refused;
use crate::tensors::{from_tract, to_tract};
use crate::threads::Pool;
use inferlay_backend_sdk::{
    Batch, Buffer, Device, Error, ErrorKind, Instance, InstanceSpec, Shape, Tensor, TensorSpec,
};
use std::collections::HashMap;
use std::sync::Arc;
use tract_onnx::tract_core::internal::{TValue, TVec, TypedSimpleState};

pub(crate) struct TractInstance {
    network: Arc<Network>,
    pool: Arc<Pool>,
    /// For each input, the number of each dim's name.
    names: Vec<Vec<Option<usize>>>,
    /// The size of each named dim in this batch.
    sizes: Vec<Option<usize>>,
    /// The shapes of this batch, as [`Network::plan`] wants them.
    shapes: Vec<usize>,
    states: Vec<(Plan, TypedSimpleState)>,
    epoch: u64,
}

impl TractInstance {
    /// # Errors
    /// `UNSUPPORTED` for a device other than the processor.
    pub(crate) fn new(network: Arc<Network>, spec: &InstanceSpec) -> Result<Self, Error> {
        if spec.device != Device::Cpu {
            return Err(Error::unsupported(format!("device {:?}: tract computes on the processor only", spec.device)));
        }
        let mut numbers: HashMap<&str, usize> = HashMap::new();
        let names = network.dim_names().iter().map(|dims| {
            let dims = dims.iter().map(|name| {
                let next = numbers.len();
                name.as_ref().map(|name| *numbers.entry(name).or_insert(next))
            });
            dims.collect()
        });
        let names: Vec<Vec<Option<usize>>> = names.collect();
        let (sizes, epoch, pool) = (vec![None; numbers.len()], network.epoch(), Pool::of(spec.threads_max)?);
        Ok(TractInstance { network, pool, names, sizes, shapes: Vec::new(), states: Vec::new(), epoch })
    }

    fn inputs(&mut self, batch: &dyn Batch) -> Result<TVec<TValue>, Error> {
        self.shapes.clear();
        self.sizes.fill(None);
        let mut values = TVec::new();
        for (index, spec) in self.network.signature().inputs.iter().enumerate() {
            let input = batch.input(index, Default::default())?;
            spec.check_input(&input, &self.names[index], &mut self.sizes)?;
            self.shapes.push(input.shape().len());
            self.shapes.extend(input.shape().iter());
            values.push(to_tract(&input).map_err(|error| error.at(format!("input '{}'", spec.name)))?);
        }
        Ok(values)
    }

    fn run(&mut self, inputs: TVec<TValue>) -> Result<TVec<TValue>, Error> {
        let plan = self.network.plan(&self.shapes)?;
        self.retire();
        let place = self.states.iter().position(|(of, _)| Arc::ptr_eq(of, &plan));
        let mut state = match place {
            Some(place) => self.states.swap_remove(place).1,
            None => plan.spawn().map_err(|error| refused(ErrorKind::Internal, "tract cannot start the plan", error))?,
        };
        let outputs = self.pool.run(|| state.run(inputs));
        let outputs = outputs.map_err(|error| refused(ErrorKind::Internal, "tract cannot compute it", error))?;
        self.states.push((plan, state));
        Ok(outputs)
    }

    /// Lets states go whose plans have left the shelf.
    fn retire(&mut self) {
        let epoch = self.network.epoch();
        if epoch != self.epoch {
            self.epoch = epoch;
            self.states.retain(|(plan, _)| self.network.keeps(plan));
        }
    }
}

impl Instance for TractInstance {
    fn execute(&mut self, batch: &dyn Batch) -> Result<(), Error> {
        let inputs = self.inputs(batch)?;
        if self.network.signature().batches && batch.rows() == 0 {
            return empty_outputs(&self.network.signature().outputs, batch);
        }
        let outputs = self.run(inputs)?;
        for (index, (value, spec)) in outputs.into_iter().zip(&self.network.signature().outputs).enumerate() {
            if batch.output_wanted(index) {
                let tensor =
                    from_tract(value, spec.dtype).map_err(|error| error.at(format!("output '{}'", spec.name)))?;
                batch.output(index, tensor)?;
            }
        }
        Ok(())
    }
}

/// Tract does not run on nothing; what comes of no rows is known where the other dims are.
fn empty_outputs(outputs: &[TensorSpec], batch: &dyn Batch) -> Result<(), Error> {
    for (index, spec) in outputs.iter().enumerate().filter(|(index, _)| batch.output_wanted(*index)) {
        let dims = spec.dims.iter().flat_map(|dims| dims.iter().skip(1)).map(|dim| usize::try_from(*dim));
        let Ok(dims) = dims.collect::<Result<Vec<usize>, _>>() else {
            let message = format!("output '{}': its shape depends on the rows, and there are none", spec.name);
            return Err(Error::invalid_arg(message));
        };
        let shape = Shape::new(&[&[0], &dims[..]].concat());
        let tensor = match spec.dtype.size() {
            Some(_) => Tensor::new(spec.dtype, shape, Buffer::EMPTY)?,
            None => Tensor::from_strings([""; 0], shape)?,
        };
        batch.output(index, tensor)?;
    }
    Ok(())
}
