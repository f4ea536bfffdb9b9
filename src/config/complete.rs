//! What the file leaves out, taken from the model; and where the two contradict each other. Pure, any thread.
//!
//! ```text
//! PartialConfig + Signature -> agree on name and backend -> settle the largest batch -> fill and compare the tensors
//!                           -> check every rule -> ModelConfig, tensors in the model's order
//! ```

use super::batch_io::{BatchInput, BatchOutput};
use super::check;
use super::error::{ConfigErrors, Report, listed, quoted};
use super::limits;
use super::model::{DynamicBatching, InstanceGroup, ModelConfig, TensorConfig};
use super::nearest::nearest;
use super::partial::{PartialConfig, PartialTensor};
use super::path::Path;
use inferlay_backend_sdk::{Signature, TensorSpec};

impl PartialConfig {
    /// Completes the config of the model `name` from what the model itself says, and checks one against the other.
    ///
    /// - Inputs that the config leaves out are added. Outputs are those that the config names, or all of them.
    ///   `data_type` and `dims` are added where missing; of a dim that varies in one and is fixed in the other, the
    ///   fixed one counts. A signature without inputs and outputs says nothing; the config must then be complete.
    /// - Without `max_batch_size`, a model that can batch gets 64 (or the largest preferred size, if that is more), and
    ///   dynamic batching without a delay unless the config has its own. It gets 0 if the `dims` of an input or output
    ///   in the config count the batch, having as many dims as the model's own.
    /// - Without `instance_group` there is one instance, on the device that the backend chooses.
    ///
    /// # Errors
    /// All contradictions at once, with their places in the file if there is one.
    ///
    /// # Examples
    /// ```
    /// use inferlay::config::parse;
    /// use inferlay_backend_sdk::{DataType, Signature, TensorSpec};
    /// let spec = |name: &str| TensorSpec {
    ///     name: name.to_owned(),
    ///     dtype: DataType::Fp32,
    ///     dims: Some(vec![-1, 16]),
    ///     optional: false,
    /// };
    /// let signature = Signature { inputs: vec![spec("x")], outputs: vec![spec("y")], batches: true };
    /// let config = parse("config.yaml", "max_batch_size: 8")?.complete("doubler", "null", &signature)?;
    /// assert_eq!((config.max_batch_size, &config.inputs[0].dims), (8, &vec![16]));
    /// # Ok::<(), inferlay::config::ConfigErrors>(())
    /// ```
    pub fn complete(mut self, name: &str, backend: &str, signature: &Signature) -> Result<ModelConfig, ConfigErrors> {
        let mut report = self.report(name);
        same(self.name.as_deref(), name, "name", FOLDER, &mut report);
        same(self.backend.as_deref(), backend, "backend", "the backend that loaded the model", &mut report);
        let batch = self.settle_batch(signature, &mut report);
        for (key, stated, specs) in
            [("input", &mut self.inputs, &signature.inputs), ("output", &mut self.outputs, &signature.outputs)]
        {
            let (made, scattered) = (&self.batch_inputs[..], &self.batch_outputs[..]);
            let model = Specs { key, specs, batches: batch > 0, made, scattered };
            settle_tensors(stated, key, (!is_silent(signature)).then_some(model), &mut report);
        }
        if !is_silent(signature) {
            settle_batch_inputs(&self.batch_inputs, &signature.inputs, &mut report);
        }
        check::settled(&self, &mut report);
        let config = self.finished(name, backend, signature);
        report.finish(config)
    }

    /// Whether the config fits the model `name`, as far as it says without the model itself: in full where it states
    /// backend, inputs, outputs and `max_batch_size`.
    ///
    /// # Errors
    /// All contradictions at once.
    pub(crate) fn check_alone(&self, name: &str) -> Result<(), ConfigErrors> {
        let signature = self.signature();
        let states = |stated: &[PartialTensor], specs: &[TensorSpec]| {
            let is_there = |tensor: &PartialTensor| specs.iter().any(|spec| spec.name == tensor.name);
            !stated.is_empty() && stated.iter().all(is_there) && specs.iter().all(|spec| spec.dims.is_some())
        };
        let is_whole = states(&self.inputs, &signature.inputs) && states(&self.outputs, &signature.outputs);
        if let (Some(backend), Some(_), true) = (&self.backend, self.max_batch_size, is_whole) {
            return self.clone().complete(name, backend, &signature).map(drop);
        }
        let mut report = self.report(name);
        same(self.name.as_deref(), name, "name", FOLDER, &mut report);
        report.finish(())
    }

    /// What the model or the machine shows to be wrong with the value of a key.
    pub(crate) fn fault(&self, name: &str, key: &'static str, message: &str) -> ConfigErrors {
        let mut report = self.report(name);
        report.on(&Path::root(key), message);
        ConfigErrors::of(report.finish(()).err().map(|errors| errors.iter().cloned().collect()).unwrap_or_default())
    }

    /// The largest batch, which is then the config's own.
    fn settle_batch(&mut self, signature: &Signature, report: &mut Report) -> usize {
        let size = match self.max_batch_size {
            Some(size) if size > 0 && !signature.batches && !is_silent(signature) => {
                let found = format_args!("found {size}, expected 0: the first dim of this model is no batch");
                report.on(&Path::root("max_batch_size"), found);
                0
            }
            Some(size) => size,
            // Another scheduler batches by itself.
            None if signature.batches && !self.counts_batch(signature) && check::scheduler(self).is_some() => {
                limits::BATCH_SIZE_DEFAULT
            }
            None if signature.batches && !self.counts_batch(signature) => {
                let preferred = self.dynamic_batching.get_or_insert_with(DynamicBatching::default);
                preferred.preferred_batch_sizes.iter().copied().max().unwrap_or(0).max(limits::BATCH_SIZE_DEFAULT)
            }
            None => 0,
        };
        self.max_batch_size = Some(size);
        size
    }

    /// Whether the config states the dims of an input or output with the batch among them.
    fn counts_batch(&self, signature: &Signature) -> bool {
        let counts = |stated: &[PartialTensor], specs: &[TensorSpec]| {
            let by_rows = |tensor: &&PartialTensor| !tensor.allow_ragged_batch && !self.is_scattered(&tensor.name);
            stated.iter().filter(by_rows).any(|tensor| {
                let spec = specs.iter().find(|spec| spec.name == tensor.name);
                let rank = spec.and_then(|spec| spec.dims.as_ref()).map(Vec::len);
                rank.is_some() && rank == tensor.reshape.as_ref().or(tensor.dims.as_ref()).map(Vec::len)
            })
        };
        counts(&self.inputs, &signature.inputs) || counts(&self.outputs, &signature.outputs)
    }

    fn finished(self, name: &str, backend: &str, signature: &Signature) -> ModelConfig {
        let queue_size_max = self.queue_size_max.unwrap_or_else(|| check::queue_size_default(&self));
        let mut groups = self.instance_groups;
        if groups.is_empty() {
            groups.push(InstanceGroup::default());
        }
        let groups = groups.into_iter().enumerate().map(|(index, group)| group.complete(name, index));
        ModelConfig {
            name: name.to_owned(),
            backend: backend.to_owned(),
            platform: self.platform,
            default_model_filename: self.default_model_filename,
            max_batch_size: self.max_batch_size.unwrap_or(0),
            inputs: ordered(self.inputs, &signature.inputs),
            outputs: ordered(self.outputs, &signature.outputs),
            batch_inputs: self.batch_inputs,
            batch_outputs: self.batch_outputs,
            instance_groups: groups.collect(),
            dynamic_batching: self.dynamic_batching,
            version_policy: self.version_policy.unwrap_or_default(),
            version_labels: self.version_labels,
            traffic: self.traffic,
            shadow: self.shadow,
            parameters: self.parameters,
            queue_size_max,
            default_timeout_us: self.default_timeout_us,
            timeout_action: self.timeout_action,
            allow_timeout_override: self.allow_timeout_override,
            execution_timeout_us: self.execution_timeout_us,
            caller_runs: self.caller_runs,
            swap: self.swap.unwrap_or_default(),
            decoupled: self.decoupled.unwrap_or(false),
            response_credit_max: self.response_credit_max.unwrap_or(limits::RESPONSE_CREDIT_DEFAULT),
            warmups: self.warmups,
            metric_tags: self.metric_tags,
            metrics: self.metrics,
            carried: self.carried,
        }
    }
}

/// What a config's `name` must be.
const FOLDER: &str = "the name of the model's folder";

/// Whether the model says nothing at all of itself.
fn is_silent(signature: &Signature) -> bool {
    signature.inputs.is_empty() && signature.outputs.is_empty()
}

/// What the model says of its inputs or of its outputs.
#[derive(Clone, Copy)]
struct Specs<'a> {
    key: &'static str,
    specs: &'a [TensorSpec],
    /// Whether the first dim is the batch, which the config leaves out.
    batches: bool,
    /// Its inputs that the batch makes.
    made: &'a [BatchInput],
    /// Its outputs that are not handed out by rows.
    scattered: &'a [BatchOutput],
}

impl Specs<'_> {
    fn is_made(&self, input: &str) -> bool {
        self.key == "input" && self.made.iter().any(|batch| batch.targets.iter().any(|target| target == input))
    }

    fn is_scattered(&self, output: &str) -> bool {
        self.key == "output" && self.scattered.iter().any(|batch| batch.targets.iter().any(|target| target == output))
    }

    /// The dims as the config would state them.
    fn dims<'a>(&self, spec: &'a TensorSpec) -> Option<&'a [i64]> {
        spec.dims.as_deref().map(|dims| dims.get(usize::from(self.batches)..).unwrap_or(&[]))
    }
}

fn same(stated: Option<&str>, expected: &str, key: &'static str, what: &str, report: &mut Report) {
    if let Some(stated) = stated.filter(|stated| *stated != expected) {
        let message = format_args!("found '{}', expected '{}', {what}", quoted(stated), quoted(expected));
        report.on(&Path::root(key), message);
    }
}

/// Fills in what is missing of the tensors and reports what contradicts the model, or is known to neither.
fn settle_tensors(stated: &mut Vec<PartialTensor>, key: &'static str, model: Option<Specs<'_>>, report: &mut Report) {
    let none_stated = stated.is_empty();
    if let Some(model) = model {
        for (index, tensor) in stated.iter_mut().enumerate() {
            settle_tensor(tensor, model, &Path::root(key).index(index), report);
        }
        // An output that the config does not name is not served; an input must be given whether it is named or not.
        let missing = model.specs.iter().filter(|spec| !stated.iter().any(|tensor| tensor.name == spec.name));
        if none_stated || key == "input" {
            let missing: Vec<_> =
                missing.filter(|spec| !model.is_made(&spec.name)).map(|spec| completed(spec, model)).collect();
            stated.extend(missing);
        }
    }
    for (index, tensor) in stated.iter().enumerate() {
        let lacks = [("data_type", tensor.data_type.is_none()), ("dims", tensor.dims.is_none())];
        for (missing, _) in lacks.into_iter().filter(|(_, lacking)| *lacking) {
            let path = Path::root(key).index(index).key(missing);
            let name = quoted(&tensor.name);
            report.on(&path, format_args!("found nothing, expected it here: the model says nothing of {key} '{name}'"));
        }
    }
}

fn completed(spec: &TensorSpec, model: Specs<'_>) -> PartialTensor {
    // Of one that is scattered the model knows all parts together, and not what one is like.
    let own = if model.is_scattered(&spec.name) { None } else { model.dims(spec) };
    PartialTensor {
        name: spec.name.clone(),
        data_type: Some(spec.dtype),
        dims: own.map(<[i64]>::to_vec),
        optional: Some(spec.optional),
        ..PartialTensor::default()
    }
}

fn settle_tensor(tensor: &mut PartialTensor, model: Specs<'_>, path: &Path, report: &mut Report) {
    let Some(spec) = model.specs.iter().find(|spec| spec.name == tensor.name) else {
        unknown(&tensor.name, (model.key, model.specs), &path.key("name"), report);
        // Whatever else is missing follows from the wrong name.
        tensor.data_type.get_or_insert(inferlay_backend_sdk::DataType::Fp32);
        tensor.dims.get_or_insert_default();
        return;
    };
    let data_type = *tensor.data_type.get_or_insert(spec.dtype);
    if data_type != spec.dtype {
        report.on(&path.key("data_type"), format_args!("found {data_type}, expected {}, the model's own", spec.dtype));
    }
    if *tensor.optional.get_or_insert(spec.optional) && !spec.optional {
        report.on(&path.key("optional"), "found true, expected false: the model cannot do without it");
    }
    if tensor.allow_ragged_batch {
        return settle_ragged(spec, &path.key("allow_ragged_batch"), report);
    }
    // Its dims are those of each part; the model's are those of all.
    if model.is_scattered(&spec.name) {
        return;
    }
    let Some(own) = model.dims(spec) else { return };
    // The dims are those of requests; what the model knows is what they are reshaped to.
    if let Some(reshape) = &tensor.reshape {
        if !fits(reshape, own) {
            let message = format_args!("found {reshape:?}, expected {own:?}, the model's own dims");
            report.on(&path.key("reshape").key("shape"), message);
        }
        return;
    }
    match &mut tensor.dims {
        None => tensor.dims = Some(own.to_vec()),
        Some(stated) if fits(stated, own) => {
            stated.iter_mut().zip(own).for_each(|(stated, own)| *stated = (*stated).max(*own));
        }
        Some(stated) => {
            let batch = if model.batches { " without the batch" } else { "" };
            report
                .on(&path.key("dims"), format_args!("found {stated:?}, expected {own:?}, the model's own dims{batch}"));
        }
    }
}

/// Whether two lists of dims agree, where one that varies agrees with any.
fn fits(stated: &[i64], own: &[i64]) -> bool {
    let agree = |(stated, own): (&i64, &i64)| stated == own || *stated == -1 || *own == -1;
    stated.len() == own.len() && stated.iter().zip(own).all(agree)
}

/// A ragged input is for the model one dim, of all requests.
fn settle_ragged(spec: &TensorSpec, path: &Path, report: &mut Report) {
    if let Some(own) = spec.dims.as_ref().filter(|own| own.len() != 1) {
        report.on(path, format_args!("found true, expected false: the model's own dims are {own:?}, not one"));
    }
}

/// What the batch makes must be inputs of the model.
fn settle_batch_inputs(made: &[BatchInput], specs: &[TensorSpec], report: &mut Report) {
    for (index, batch) in made.iter().enumerate() {
        let path = Path::root("batch_input").index(index);
        for (at, target) in batch.targets.iter().enumerate() {
            match specs.iter().find(|spec| spec.name == *target) {
                None => unknown(target, ("input", specs), &path.key("target_name").index(at), report),
                Some(spec) if spec.dtype != batch.data_type => {
                    let message = format_args!("found {}, expected {}, the model's own", batch.data_type, spec.dtype);
                    report.on(&path.key("data_type"), message);
                }
                Some(_) => {}
            }
        }
    }
}

fn unknown(name: &str, (key, specs): (&str, &[TensorSpec]), path: &Path, report: &mut Report) {
    let names = || specs.iter().map(|spec| spec.name.as_str());
    let near = nearest(name, names()).map(|near| format!("; did you mean '{}'?", quoted(near))).unwrap_or_default();
    let (name, known) = (quoted(name), listed(names()));
    report.on(path, format_args!("found '{name}', expected an {key} of the model: {known}{near}"));
}

/// The tensors in the model's order; those that it does not name come last, in the order of the config.
fn ordered(tensors: Vec<PartialTensor>, specs: &[TensorSpec]) -> Vec<TensorConfig> {
    let place = |name: &str| specs.iter().position(|spec| spec.name == name).unwrap_or(specs.len());
    // A tensor without type or dims has been reported: there will be no config.
    let tensors = tensors.into_iter().filter_map(|tensor| {
        let (data_type, dims) = (tensor.data_type?, tensor.dims?);
        Some(TensorConfig {
            optional: tensor.optional.unwrap_or(false),
            reshape: tensor.reshape,
            allow_ragged_batch: tensor.allow_ragged_batch,
            label_filename: tensor.label_filename,
            carried: tensor.carried,
            ..TensorConfig::new(tensor.name, data_type, dims)
        })
    });
    let mut tensors: Vec<TensorConfig> = tensors.collect();
    tensors.sort_by_cached_key(|tensor| place(&tensor.name));
    tensors
}
