//! A backend whose instances do what a function of the test says.

use inferlay::{Backend, Error};
use inferlay_backend_sdk::{Attributes, Batch, Instance, InstanceSpec, Model, ModelSource, Signature};
use std::sync::Arc;

/// The backend named `custom`.
#[derive(Clone)]
pub struct Custom {
    pub attributes: Attributes,
    pub in_flight_max: usize,
    pub execute: Arc<Execute>,
}

pub type Execute = dyn Fn(&dyn Batch) -> Result<(), Error> + Send + Sync;

impl Backend for Custom {
    fn name(&self) -> &str {
        "custom"
    }

    fn version(&self) -> &str {
        "1"
    }

    fn file_names(&self) -> &[&str] {
        &[]
    }

    fn attributes(&self) -> Attributes {
        self.attributes
    }

    fn load(&self, source: &ModelSource<'_>) -> Result<Box<dyn Model>, Error> {
        Ok(Box::new(CustomModel(source.config.clone(), self.clone())))
    }
}

struct CustomModel(Signature, Custom);

impl Model for CustomModel {
    fn signature(&self) -> &Signature {
        &self.0
    }

    fn instance(&self, _spec: &InstanceSpec) -> Result<Box<dyn Instance>, Error> {
        Ok(Box::new(CustomInstance(self.1.clone())))
    }
}

struct CustomInstance(Custom);

impl Instance for CustomInstance {
    fn execute(&mut self, batch: &dyn Batch) -> Result<(), Error> {
        (self.0.execute)(batch)
    }

    fn batches_in_flight_max(&self) -> usize {
        self.0.in_flight_max
    }
}
