//! The engine in its simplest form: one batch of requests, gathered, executed, split into answers.
//!
//! One thread executes a batch; taken requests may be answered on any.

use super::reply::Outputs;
use super::request::{Memory, TestRequest, into_request, tracked_bytes};
use crate::tensor::bytes_of;
use crate::{
    Batch, Buffer, DataType, Error, ErrorKind, Host, Instance, LogLevel, Placement, Request, RequestInfo,
    ResponseFlags, Shape, Signature, Tensor, TensorMut, TensorRef, TensorSpec,
};
use std::cell::{OnceCell, UnsafeCell};
use std::sync::Arc;

/// A host that drops logs and grants one thread.
///
/// # Examples
/// ```
/// use inferlay_backend_sdk::{Host, LogLevel, conformance::TestHost};
/// TestHost.log(LogLevel::Warning, "nobody hears this");
/// assert_eq!(TestHost.threads_max(), 1);
/// ```
#[derive(Clone, Copy, Debug, Default)]
pub struct TestHost;

impl Host for TestHost {
    fn log(&self, _level: LogLevel, _message: &str) {}

    fn threads_max(&self) -> usize {
        1
    }
}

/// A batch of requests for one model, all of the same shapes but for their rows.
///
/// # Examples
/// ```
/// # use inferlay_backend_sdk::{*, conformance::*};
/// # struct Echo(Signature);
/// # impl Backend for Echo {
/// #     fn name(&self) -> &str { "echo" }
/// #     fn version(&self) -> &str { "1" }
/// #     fn file_names(&self) -> &[&str] { &[] }
/// #     fn load(&self, _: &ModelSource<'_>) -> Result<Box<dyn Model>, Error> { Ok(Box::new(Echo(self.0.clone()))) }
/// # }
/// # impl Model for Echo {
/// #     fn signature(&self) -> &Signature { &self.0 }
/// #     fn instance(&self, _: &InstanceSpec) -> Result<Box<dyn Instance>, Error> {
/// #         Ok(Box::new(Echo(self.0.clone())))
/// #     }
/// # }
/// # impl Instance for Echo {
/// #     fn execute(&mut self, batch: &dyn Batch) -> Result<(), Error> {
/// #         let x = batch.input(0, Placement::HOST)?;
/// #         batch.output(0, Tensor::new(x.dtype(), x.shape().clone(), Buffer::copy_of(x.bytes()?))?)
/// #     }
/// # }
/// # let x = TensorSpec { name: "x".into(), dtype: DataType::Fp32, dims: Some(vec![-1, 1]), optional: false };
/// # let signature = Signature { inputs: vec![x.clone()], outputs: vec![x], batches: true };
/// let request = |x: f32| TestRequest::new(&[Tensor::from_vec(vec![x], [1, 1]).unwrap()]);
/// let batch = TestBatch::new(&signature, vec![request(1.0), request(2.0)]);
/// let answers = batch.execute(&mut Echo(signature)).unwrap();
/// // The output of `Echo` is its input; each request gets its row of it.
/// assert_eq!(answers[1].as_ref().unwrap()[&0].view().as_slice::<f32>().unwrap(), [2.0]);
/// ```
pub struct TestBatch {
    signature: Signature,
    requests: Vec<Arc<TestRequest>>,
    rows: usize,
    gathered: Vec<OnceCell<(Tensor, Memory)>>,
    outputs: Vec<OnceCell<Output>>,
}

/// An output as the backend gave it: handed over, or written in place.
enum Output {
    HandedOver(Tensor),
    InPlace { shape: Shape, len: usize, words: UnsafeCell<Vec<u64>> },
}

impl TestBatch {
    /// A batch of `requests` for a model with this signature.
    ///
    /// # Examples
    /// ```
    /// use inferlay_backend_sdk::{Batch, Signature, Tensor, conformance::{TestBatch, TestRequest}};
    /// let signature = Signature { batches: true, ..Signature::default() };
    /// let request = |rows| TestRequest::new(&[Tensor::from_vec(vec![0.0f32; rows], [rows]).unwrap()]);
    /// let batch = TestBatch::new(&signature, vec![request(1), request(3)]);
    /// assert_eq!((batch.len(), batch.rows()), (2, 4));
    /// ```
    pub fn new(signature: &Signature, requests: Vec<TestRequest>) -> Self {
        let rows = if signature.batches { requests.iter().map(TestRequest::rows).sum() } else { 1 };
        TestBatch {
            signature: signature.clone(),
            requests: requests.into_iter().map(Arc::new).collect(),
            rows,
            gathered: signature.inputs.iter().map(|_| OnceCell::new()).collect(),
            outputs: signature.outputs.iter().map(|_| OnceCell::new()).collect(),
        }
    }

    /// Executes the batch and waits until each request is answered and released: one answer per request. One that is
    /// not answered half a minute after `execute` has returned never was.
    ///
    /// # Errors
    /// A sentence for each promise that the backend broke: a request never answered, answered twice, never released, or
    /// inputs that are still held when all is over.
    ///
    /// # Examples
    /// ```
    /// use inferlay_backend_sdk::{Batch, Error, Instance, Signature, conformance::{TestBatch, TestRequest}};
    /// struct Refuse;
    /// impl Instance for Refuse {
    ///     fn execute(&mut self, _batch: &dyn Batch) -> Result<(), Error> { Err(Error::unsupported("not today")) }
    /// }
    /// let batch = TestBatch::new(&Signature::default(), vec![TestRequest::new(&[])]);
    /// let answers = batch.execute(&mut Refuse).unwrap();
    /// assert_eq!(answers[0].as_ref().unwrap_err().message(), "not today");
    /// ```
    pub fn execute(self, instance: &mut dyn Instance) -> Result<Vec<Result<Outputs, Error>>, String> {
        let result = instance.execute(&self);
        let mut memory: Memory = self.requests.iter().flat_map(|request| request.memory()).collect();
        memory.extend(self.gathered.iter().filter_map(OnceCell::get).flat_map(|(_, memory)| memory.iter().cloned()));
        let replies: Vec<_> = self.requests.iter().map(|request| Arc::clone(&request.reply)).collect();
        self.finish(result);
        let mut answers = Vec::new();
        for (index, reply) in replies.iter().enumerate() {
            answers.push(reply.wait().map_err(|faults| format!("request {index} of {}: {faults}", replies.len()))?);
        }
        match memory.iter().filter(|memory| memory.strong_count() > 0).count() {
            0 => Ok(answers),
            held => Err(format!("{held} inputs are still held after every answer and release")),
        }
    }

    /// Answers every request that the backend neither failed nor took.
    fn finish(self, result: Result<(), Error>) {
        let outputs = self
            .outputs
            .into_iter()
            .zip(&self.signature.outputs)
            .map(|(output, spec)| output.into_inner().map(|output| output.into_tensor(spec.dtype)));
        let outputs: Vec<Option<Result<Tensor, Error>>> = outputs.collect();
        let mut first = 0;
        for request in &self.requests {
            let rows = self.signature.batches.then(|| (first, request.rows()));
            first += request.rows();
            if !request.reply.settled() {
                let answer = result.clone().and_then(|()| answer(request, &outputs, rows));
                // Cannot be refused: the reply is not settled, and nobody else holds the request.
                let _answered = request.reply.answer(answer, ResponseFlags { last: true });
            }
        }
    }

    fn gather(&self, index: usize) -> Result<(Tensor, Memory), Error> {
        let parts: Vec<TensorRef<'_>> =
            self.requests.iter().map(|request| request.input(index)).collect::<Result<_, _>>()?;
        let (mut data, mut offsets, mut memory) = (Vec::new(), vec![0u64], Memory::new());
        for part in &parts {
            if part.dtype() == DataType::Bytes {
                for element in part.strings()? {
                    data.extend_from_slice(element);
                    offsets.push(data.len() as u64);
                }
            } else {
                data.extend_from_slice(part.bytes()?);
            }
        }
        let shape = parts[0].shape().clone().with_first(self.rows);
        let data = tracked_bytes(&data, &mut memory);
        let tensor = match parts[0].dtype() {
            DataType::Bytes => Tensor::new_bytes(shape, data, offsets.into())?,
            dtype => Tensor::new(dtype, shape, data)?,
        };
        Ok((tensor, memory))
    }

    fn place(&self, index: usize, shape: &Shape) -> Result<(&TensorSpec, &OnceCell<Output>), Error> {
        let (Some(spec), Some(cell)) = (self.signature.outputs.get(index), self.outputs.get(index)) else {
            return Err(Error::not_found(format!("output {index}: the model has {}", self.outputs.len())));
        };
        let fits = spec.dims.as_ref().is_none_or(|dims| {
            let wanted = dims.iter().map(|dim| usize::try_from(*dim).ok());
            dims.len() == shape.len() && wanted.zip(shape.iter()).all(|(wanted, dim)| wanted.is_none_or(|w| w == *dim))
        });
        if !fits || (self.signature.batches && shape.first() != Some(&self.rows)) {
            let expected = spec.dims.as_deref();
            let message = format!("found shape {shape}, expected dims {expected:?} with {} rows", self.rows);
            return Err(Error::invalid_arg(message).at(format!("output '{}'", spec.name)));
        }
        if cell.get().is_some() {
            return Err(Error::new(ErrorKind::FailedPrecondition, format!("output '{}': given before", spec.name)));
        }
        Ok((spec, cell))
    }
}

impl Batch for TestBatch {
    fn len(&self) -> usize {
        self.requests.len()
    }

    fn rows(&self) -> usize {
        self.rows
    }

    fn request(&self, index: usize) -> &dyn RequestInfo {
        &*self.requests[index]
    }

    fn input(&self, index: usize, wanted: Placement) -> Result<TensorRef<'_>, Error> {
        if !wanted.kind.is_host() {
            return Err(Error::unsupported("the test host has no device memory"));
        }
        let Some(cell) = self.gathered.get(index) else {
            return Err(Error::not_found(format!("input {index}: the model has {}", self.gathered.len())));
        };
        if let [request] = &self.requests[..] {
            return request.input(index);
        }
        let gathered = match cell.get() {
            Some(gathered) => gathered,
            None => {
                let gathered = self.gather(index)?;
                cell.get_or_init(|| gathered)
            }
        };
        Ok(gathered.0.view())
    }

    fn output_wanted(&self, index: usize) -> bool {
        self.requests.iter().any(|request| request.output_wanted(index))
    }

    fn output_buffer(&self, index: usize, shape: Shape) -> Result<TensorMut<'_>, Error> {
        let (spec, cell) = self.place(index, &shape)?;
        let size = spec.dtype.size().ok_or(Error::fixed(ErrorKind::Unsupported, "BYTES have no buffer to write in"))?;
        let len = shape.elements().and_then(|elements| elements.checked_mul(size));
        let len = len.ok_or(Error::fixed(ErrorKind::InvalidArg, "an output's size overflows"))?;
        // A pattern rather than zeros: an element that the backend forgets to write shows.
        let words = UnsafeCell::new(vec![0xa5a5_a5a5_a5a5_a5a5; len.div_ceil(8)]);
        let Output::InPlace { words, .. } = cell.get_or_init(|| Output::InPlace { shape, len, words }) else {
            return Err(Error::fixed(ErrorKind::FailedPrecondition, "output: given before"));
        };
        // SAFETY: `place` lets each output through once, so this is the only reference until `finish`, which takes
        // `self` and so ends it.
        let words = unsafe { &mut *words.get() };
        // SAFETY: the vector holds at least `len` bytes, every one initialised, and is borrowed exclusively.
        let bytes = unsafe { std::slice::from_raw_parts_mut(words.as_mut_ptr().cast(), len) };
        Ok(TensorMut::new(spec.dtype, bytes))
    }

    fn output(&self, index: usize, tensor: Tensor) -> Result<(), Error> {
        let (spec, cell) = self.place(index, tensor.shape())?;
        if spec.dtype != tensor.dtype() {
            let message = format!("found {}, expected {}", tensor.dtype(), spec.dtype);
            return Err(Error::invalid_arg(message).at(format!("output '{}'", spec.name)));
        }
        let given = cell.set(Output::HandedOver(tensor));
        given.map_err(|_| Error::fixed(ErrorKind::FailedPrecondition, "output: given before"))
    }

    fn fail(&self, request: usize, error: Error) {
        // A second answer is recorded by the reply as a fault.
        let _recorded = self.requests[request].reply.answer(Err(error), ResponseFlags { last: true });
    }

    fn take(&self, request: usize) -> Result<Request, Error> {
        let request = &self.requests[request];
        if request.reply.settled() {
            return Err(Error::fixed(ErrorKind::FailedPrecondition, "request: taken or failed before"));
        }
        Ok(into_request(Arc::clone(request)))
    }
}

impl Output {
    fn into_tensor(self, dtype: DataType) -> Result<Tensor, Error> {
        match self {
            Output::HandedOver(tensor) => Ok(tensor),
            Output::InPlace { shape, len, words } => {
                let buffer = Buffer::from_arc(Arc::new(words.into_inner()), |words| &bytes_of(words)[..len]);
                Tensor::new(dtype, shape, buffer)
            }
        }
    }
}

/// One request's rows of every output that it wants.
fn answer(
    request: &TestRequest,
    outputs: &[Option<Result<Tensor, Error>>],
    rows: Option<(usize, usize)>,
) -> Result<Outputs, Error> {
    let mut answer = Outputs::new();
    for (index, output) in outputs.iter().enumerate().filter(|(index, _)| request.output_wanted(*index)) {
        let tensor = match output {
            Some(tensor) => tensor.clone()?,
            None => return Err(Error::internal(format!("output {index}: wanted, but the backend gave none"))),
        };
        answer.insert(index, rows.map_or_else(|| Ok(tensor.clone()), |(first, rows)| tensor.rows(first, rows))?);
    }
    Ok(answer)
}
