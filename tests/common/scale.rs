//! A backend whose models are one number: `factor.txt`, by which they multiply. It counts what it has loaded, and loads at
//! a gate where a test wants that.

use super::{Gate, receive};
use inferlay::{Backend, DataType, Error, ErrorKind, ModelHandle, Request, Response, Shape, Tensor};
use inferlay_backend_sdk::{
    Attributes, Batch, Instance, InstanceSpec, Model, ModelSource, Placement, Signature, TensorSpec,
};
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};
use std::sync::{Arc, Mutex, mpsc};

/// The backend named `scale`. `factor.txt` holds a number, or what is wrong with the model; with the parameter `gate` it
/// waits at [`Scale::gate`] before it has loaded; with `bytes` it says that it uses so many, with `estimate` that it will; with
/// `holds` it does, and says nothing; with `caches` it says that it uses so many more, until it is trimmed; with `parting` it waits at [`Scale::parting`] before it is freed. One with a negative
/// number waits at the gate whenever it is executed.
#[derive(Clone, Default)]
pub struct Scale {
    pub gate: Gate,
    pub parting: Gate,
    /// Models and instances that are there now, and loads that were ever begun.
    pub models: Arc<AtomicUsize>,
    pub models_max: Arc<AtomicUsize>,
    pub instances: Arc<AtomicUsize>,
    pub loads: Arc<AtomicUsize>,
    /// Whether instances say that they are lost when they are executed.
    pub is_lost: Arc<AtomicBool>,
    /// The factors of all requests that ran, in order, where a test wants to know.
    pub ran: Option<Arc<Mutex<Vec<f32>>>>,
}

impl Scale {
    pub fn models(&self) -> usize {
        self.models.load(Ordering::SeqCst)
    }

    /// The models of `paged` by the requests that ran, in order.
    pub fn ran(&self) -> Vec<usize> {
        let ran = self.ran.as_ref().map(|ran| ran.lock().unwrap().clone()).unwrap_or_default();
        ran.into_iter().map(|factor| factor as usize - 1).collect()
    }

    /// The most that were there at once.
    pub fn models_max(&self) -> usize {
        self.models_max.load(Ordering::SeqCst)
    }

    pub fn instances(&self) -> usize {
        self.instances.load(Ordering::SeqCst)
    }

    pub fn loads(&self) -> usize {
        self.loads.load(Ordering::SeqCst)
    }
}

/// Counts one as long as it lives.
struct Counted(Arc<AtomicUsize>);

impl Counted {
    fn new(count: &Arc<AtomicUsize>) -> Self {
        count.fetch_add(1, Ordering::SeqCst);
        Counted(count.clone())
    }
}

impl Drop for Counted {
    fn drop(&mut self) {
        self.0.fetch_sub(1, Ordering::SeqCst);
    }
}

impl Backend for Scale {
    fn name(&self) -> &str {
        "scale"
    }

    fn version(&self) -> &str {
        "1"
    }

    fn file_names(&self) -> &[&str] {
        &["factor.txt"]
    }

    fn attributes(&self) -> Attributes {
        Attributes::CALLER_OK | Attributes::PARALLEL_LOAD
    }

    fn memory_estimate(&self, source: &ModelSource<'_>) -> Result<Vec<(Placement, usize)>, Error> {
        let Some(bytes) = source.parameters.get("estimate") else { return Ok(Vec::new()) };
        let bytes = bytes.parse().map_err(|_| Error::invalid_arg(format!("found '{bytes}', expected a number")))?;
        Ok(vec![(Placement::HOST, bytes)])
    }

    fn load(&self, source: &ModelSource<'_>) -> Result<Box<dyn Model>, Error> {
        self.loads.fetch_add(1, Ordering::SeqCst);
        if source.parameters.contains_key("gate") {
            self.gate.pass();
        }
        let text = String::from_utf8(source.files.read("factor.txt")?).unwrap();
        let factor =
            text.trim().parse().map_err(|_| Error::invalid_arg(format!("found '{text}', expected a number")))?;
        let tensor = |name: &str| TensorSpec {
            name: name.to_owned(),
            dtype: DataType::Fp32,
            dims: Some(vec![-1, 1]),
            optional: false,
        };
        let bytes = source.parameters.get("bytes").map(|bytes| bytes.parse().unwrap());
        let signature = Signature { inputs: vec![tensor("x")], outputs: vec![tensor("y")], batches: true };
        let _held = source.parameters.get("holds").map(|bytes| vec![0; bytes.parse().unwrap()]).unwrap_or_default();
        let cached = source.parameters.get("caches").map_or(0, |bytes| bytes.parse().unwrap());
        let cached = Arc::new(AtomicUsize::new(cached));
        let grows = source.parameters.get("grows").map_or(0, |bytes| bytes.parse().unwrap());
        let parts_slowly = source.parameters.contains_key("parting");
        let (backend, _counted) = (self.clone(), Counted::new(&self.models));
        self.models_max.fetch_max(self.models(), Ordering::SeqCst);
        Ok(Box::new(Scaling { factor, signature, bytes, cached, grows, parts_slowly, backend, _held, _counted }))
    }
}

struct Scaling {
    factor: f32,
    signature: Signature,
    bytes: Option<usize>,
    cached: Arc<AtomicUsize>,
    /// How many bytes each execution adds to what is cached.
    grows: usize,
    parts_slowly: bool,
    backend: Scale,
    _held: Vec<u8>,
    _counted: Counted,
}

impl Drop for Scaling {
    fn drop(&mut self) {
        if self.parts_slowly {
            self.backend.parting.pass();
        }
    }
}

impl Model for Scaling {
    fn signature(&self) -> &Signature {
        &self.signature
    }

    fn memory_use(&self) -> Vec<(Placement, usize)> {
        let cached = self.cached.load(Ordering::SeqCst);
        self.bytes.map(|bytes| (Placement::HOST, bytes + cached)).into_iter().collect()
    }

    fn trim(&self) {
        self.cached.store(0, Ordering::SeqCst);
    }

    fn instance(&self, _spec: &InstanceSpec) -> Result<Box<dyn Instance>, Error> {
        Ok(Box::new(Scaler {
            factor: self.factor,
            gate: self.backend.gate.clone(),
            is_lost: self.backend.is_lost.clone(),
            ran: self.backend.ran.clone(),
            cached: self.cached.clone(),
            grows: self.grows,
            _counted: Counted::new(&self.backend.instances),
        }))
    }
}

struct Scaler {
    factor: f32,
    gate: Gate,
    is_lost: Arc<AtomicBool>,
    ran: Option<Arc<Mutex<Vec<f32>>>>,
    cached: Arc<AtomicUsize>,
    grows: usize,
    _counted: Counted,
}

/// An input that waits at the gate while it is executed.
pub const HELD: f32 = -1.0;

/// An input that fails.
pub const POISON: f32 = -2.0;

impl Instance for Scaler {
    fn execute(&mut self, batch: &dyn Batch) -> Result<(), Error> {
        if self.is_lost.load(Ordering::SeqCst) {
            return Err(Error::new(ErrorKind::InstanceLost, "the device fell off the bus"));
        }
        self.cached.fetch_add(self.grows, Ordering::SeqCst);
        let x = batch.input(0, Placement::HOST)?;
        let values = x.as_slice::<f32>()?;
        if values.contains(&HELD) || self.factor < 0.0 {
            self.gate.pass();
        }
        if values.contains(&POISON) {
            return Err(Error::invalid_arg("poison"));
        }
        if let Some(ran) = &self.ran {
            ran.lock().unwrap().extend(values.iter().map(|_| self.factor));
        }
        let y = batch.output_buffer(0, Shape::from([values.len(), 1]))?.as_mut_slice::<f32>()?;
        y.iter_mut().zip(values).for_each(|(y, x)| *y = self.factor * x);
        Ok(())
    }
}

/// A request of one row.
pub fn ask(value: f32) -> Request<'static> {
    Request::new().input("x", Tensor::from_vec(vec![value], [1, 1]).unwrap())
}

/// The response to it, asked for in one of the three ways.
pub fn ask_in_turn(model: &ModelHandle, turn: u64, value: f32) -> Result<Response, Error> {
    match turn % 3 {
        0 => model.infer(ask(value)),
        1 => model.infer_async(ask(value)).map_err(|refused| refused.error)?.wait(),
        _ => {
            let (send, answer) = mpsc::channel();
            let send = move |response| send.send(response).unwrap();
            model.infer_callback(ask(value), send).map_err(|refused| refused.error)?;
            receive(&answer)
        }
    }
}
