//! Models of the application's own, registered while the server runs: functions, and queues that batches are pulled from.

use super::labels::Around;
use super::model::ModelHandle;
use super::served::Weights;
use super::{STOPPED, ServerHandle, load};
use crate::backend::joint::Joints;
use crate::backend::{BatchQueue, Line, PulledModel};
use crate::config::ModelConfig;
use crate::repository;
use inferlay_backend_sdk::{Attributes, Error, Model};
use std::sync::Arc;

impl ServerHandle {
    /// Makes a model whose batches are pulled: it gets batching, queueing, deadlines and statistics like any other, and
    /// threads of the application take whole batches out of the queue and answer them. For programs in which the engine's
    /// threads must not call, such as an interpreter.
    ///
    /// As many batches are out at once, waiting in the queue or pulled, as the config has instances; more requests wait in
    /// the model's own queue and become larger batches. `execution_timeout` counts from when a batch was formed to its
    /// answer. A stop, and the removal of the model, wait for batches that are out until their deadline, then answer these
    /// with an error; then [`BatchQueue::next`] tells of the end.
    ///
    /// # Errors
    /// As for [`ServerHandle::register_model`].
    ///
    /// # Examples
    /// ```
    /// use inferlay::{DataType, ModelConfig, Request, ServerHandle, Tensor};
    /// use std::time::Duration;
    /// let server = ServerHandle::builder().start()?;
    /// let config = ModelConfig::new("length").input("text", DataType::Bytes, [1]).output("len", DataType::Int64, [1]);
    /// let queue = server.register_pulled_model(config)?;
    /// let request = Request::new().input("text", Tensor::from_strings(["to be"], [1])?);
    /// let future = server.infer_async("length", request)?;
    /// if let Some(batch) = queue.next(Duration::MAX)? {
    ///     let len: i64 = batch.view().input("text")?.strings()?.map(|text| text.len() as i64).sum();
    ///     batch.view().set_output("len", Tensor::from_vec(vec![len], [1])?)?;
    ///     batch.answer()?;
    /// }
    /// assert_eq!(future.wait()?.slice::<i64>("len")?, [5]);
    /// # Ok::<(), inferlay::Error>(())
    /// ```
    pub fn register_pulled_model(&self, config: ModelConfig) -> Result<BatchQueue, Error> {
        let services = self.inner.services.clone();
        let small_output_len_max = services.tuning.small_output_len_max;
        let signature = load::stated(&config);
        let joints = Joints::of(&config, &signature);
        let line = Line::new(config.name.clone(), (signature, joints), services, small_output_len_max);
        let queue = BatchQueue::new(line.clone());
        self.register(config, Arc::new(PulledModel(line.clone())), Some(line))?;
        Ok(queue)
    }

    /// Serves a model of the application's own.
    pub(super) fn register(
        &self,
        config: ModelConfig,
        model: Arc<dyn Model>,
        line: Option<Arc<Line>>,
    ) -> Result<ModelHandle, Error> {
        repository::check_model_name(&config.name)?;
        config.check()?;
        if config.active_len() == 0 {
            let place = format!("model '{}'", config.name.escape_debug());
            return Err(Error::invalid_arg(format!(
                "{place}: instance_group: found passive ones only, expected another"
            )));
        }
        if !self.is_live() {
            return Err(STOPPED);
        }
        let name = config.name.clone();
        let weights = Weights::new(model, Attributes::CALLER_OK, None);
        let mut served =
            load::serve(&self.inner.services, &self.inner.options, (Arc::new(config), 1), weights, Around::default())?;
        served.line = line;
        let entry = self.inner.catalog.entry_or_new(&name);
        entry.put_first(1, served, &self.inner.catalog.events)?;
        self.inner.give_up_if_stopping(&entry)?;
        self.model(&name)
    }
}
