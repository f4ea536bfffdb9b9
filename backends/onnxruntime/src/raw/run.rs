//! One execution at a time of a session that others may execute meanwhile.
//!
//! ```text
//!   begin -> feed, feed_value: each input   -> run -> outputs: each that was wanted, in order
//!            want, want_in: each output that is to be computed
//! ```
//!
//! A value over lent bytes is a note of where they lie, and making one costs as much as a small operator. Requests often
//! lie where the one before lay, so each input and output keeps its note for the next call, which uses it if the place
//! and the shape are the same.
//!
//! Invariant: a kept note is used by a run only after [`Call`] was lent bytes at its very place for that run.

use super::{Session, Value, nothing, outcome};
use inferlay_backend_sdk::{DataType, Shape};
use ort::Error;
use ort::sys::{OrtRunOptions, OrtValue};
use std::ffi::{CString, c_char, c_int};
use std::marker::PhantomData;
use std::ptr::{NonNull, null_mut};
use std::sync::Arc;

/// Of what is logged while a model runs, nobody would be told.
const SEVERITY_FATAL: c_int = 4;

/// What it takes to run a session: its names, the options by which a run is interrupted, and the notes of the last call.
#[derive(Debug)]
pub(crate) struct Run {
    session: Arc<Session>,
    inputs: Vec<CString>,
    outputs: Vec<CString>,
    options: Arc<Options>,
    feeds: Vec<Note>,
    rooms: Vec<Note>,
    /// The outputs that this call wants, in order.
    wanted: Vec<Wanted>,
    arrays: Arrays,
}

/// What is handed to the runtime, kept to be filled again.
#[derive(Debug, Default)]
struct Arrays {
    input_names: Vec<*const c_char>,
    inputs: Vec<*const OrtValue>,
    output_names: Vec<*const c_char>,
    outputs: Vec<*mut OrtValue>,
}

// SAFETY: the pointers are followed only while `Call::run` runs, which has filled them anew.
unsafe impl Send for Arrays {}

/// The value of one input or output, and the bytes that it is over.
#[derive(Debug, Default)]
struct Note {
    value: Option<Value>,
    /// Address and length of what was lent; a length of 0 for memory of the value's own.
    lent: (usize, usize),
    dtype: Option<DataType>,
    shape: Shape,
}

impl Note {
    /// The value for these bytes: the one that is here, or a new one.
    ///
    /// # Safety
    /// As for [`Value::over`].
    unsafe fn over(&mut self, dtype: DataType, shape: &Shape, pointer: *mut u8, len: usize) -> Result<&Value, Error> {
        let lent = (pointer.addr(), len);
        let is_same = self.lent == lent && self.dtype == Some(dtype) && self.shape == *shape;
        if !is_same || self.value.is_none() || len == 0 {
            // SAFETY: the caller's promise.
            let value = Some(unsafe { Value::over(dtype, shape, pointer, len) }?);
            *self = Note { value, lent, dtype: Some(dtype), shape: shape.clone() };
        }
        self.value.as_ref().ok_or_else(|| nothing("value"))
    }

    fn lends(&self, address: *const u8) -> bool {
        let (start, len) = self.lent;
        (start..start.saturating_add(len)).contains(&address.addr())
    }
}

/// Where an output is to go.
#[derive(Debug)]
enum Wanted {
    /// Into the memory that was bound.
    Bound,
    /// Where the runtime likes; the value comes with the run.
    Open(Option<Value>),
}

/// An output as a run leaves it.
#[derive(Debug)]
pub(crate) enum Fetched {
    /// In the memory that was bound. Only the output of an operator gets there: of an input that is an output too the
    /// runtime leaves that memory as it is, and does not say so.
    Bound,
    /// In memory of the runtime's.
    Owned(Value),
    /// It is this input, unchanged: the model passes it through.
    Input(usize),
}

impl Run {
    /// A way to run `session`, whose inputs and outputs have these names.
    ///
    /// # Errors
    /// What the runtime says.
    pub(crate) fn new(session: Arc<Session>, inputs: Vec<CString>, outputs: Vec<CString>) -> Result<Self, Error> {
        let notes = |names: &[CString]| names.iter().map(|_| Note::default()).collect();
        Ok(Run {
            session,
            options: Arc::new(Options::new()?),
            feeds: notes(&inputs),
            rooms: notes(&outputs),
            wanted: Vec::new(),
            arrays: Arrays::default(),
            inputs,
            outputs,
        })
    }

    /// What interrupts a run from another thread.
    pub(crate) fn interrupt(&self) -> Interrupt {
        Interrupt(Arc::clone(&self.options))
    }

    /// Begins a call.
    pub(crate) fn begin<'b>(&mut self) -> Call<'_, 'b> {
        self.wanted.clear();
        let arrays = &mut self.arrays;
        arrays.input_names.clear();
        arrays.inputs.clear();
        arrays.output_names.clear();
        arrays.outputs.clear();
        Call { run: self, loan: PhantomData }
    }
}

/// One run with what was lent for it.
#[derive(Debug)]
pub(crate) struct Call<'r, 'b> {
    run: &'r mut Run,
    /// Bytes to read and bytes to write, all lent for at least as long as the call is there.
    loan: PhantomData<(&'b [u8], &'b mut [u8])>,
}

impl<'b> Call<'_, 'b> {
    /// Has the next input read from `bytes`. Inputs come in their order.
    ///
    /// # Errors
    /// What the runtime says, for one when the bytes are too few for the shape.
    pub(crate) fn feed(&mut self, dtype: DataType, shape: &Shape, bytes: &'b [u8]) -> Result<(), Error> {
        let index = self.run.arrays.inputs.len();
        let note = self.run.feeds.get_mut(index).ok_or_else(|| nothing("such input"))?;
        // SAFETY: the bytes are lent for reading for as long as this call is there, and only its own run uses the value
        // before they are lent again. The API has one kind of pointer for both, but a run does not write to its inputs.
        let value = unsafe { note.over(dtype, shape, bytes.as_ptr().cast_mut(), bytes.len()) }?;
        self.run.arrays.inputs.push(value.pointer());
        self.run.arrays.input_names.push(self.run.inputs[index].as_ptr());
        Ok(())
    }

    /// Has the next input read from a value with memory of its own.
    ///
    /// # Errors
    /// When there is no such input.
    pub(crate) fn feed_value(&mut self, value: Value) -> Result<(), Error> {
        let index = self.run.arrays.inputs.len();
        let note = self.run.feeds.get_mut(index).ok_or_else(|| nothing("such input"))?;
        self.run.arrays.inputs.push(value.pointer());
        self.run.arrays.input_names.push(self.run.inputs[index].as_ptr());
        *note = Note { value: Some(value), ..Note::default() };
        Ok(())
    }

    /// Wants output `index`, in memory of the runtime's.
    pub(crate) fn want(&mut self, index: usize) {
        self.run.arrays.output_names.push(self.run.outputs[index].as_ptr());
        self.run.arrays.outputs.push(null_mut());
        self.run.wanted.push(Wanted::Open(None));
    }

    /// Wants output `index`, an operator's, written to `bytes`.
    ///
    /// # Errors
    /// What the runtime says, for one when the bytes are too few for the shape.
    pub(crate) fn want_in(
        &mut self,
        index: usize,
        dtype: DataType,
        shape: &Shape,
        bytes: &'b mut [u8],
    ) -> Result<(), Error> {
        // By its place in the call, as an output that is wanted twice needs two.
        let note = self.run.rooms.get_mut(self.run.arrays.outputs.len()).ok_or_else(|| nothing("such output"))?;
        // SAFETY: the bytes are lent for writing for as long as this call is there, and only its own run uses the value
        // before they are lent again.
        let value = unsafe { note.over(dtype, shape, bytes.as_mut_ptr(), bytes.len()) }?;
        self.run.arrays.outputs.push(value.pointer());
        self.run.arrays.output_names.push(self.run.outputs[index].as_ptr());
        self.run.wanted.push(Wanted::Bound);
        Ok(())
    }

    /// Runs the session for the outputs that are wanted.
    ///
    /// # Errors
    /// What the runtime says; also when the run was interrupted.
    pub(crate) fn run(&mut self) -> Result<(), Error> {
        let Run { session, inputs, options, wanted, arrays, .. } = &mut *self.run;
        if arrays.inputs.len() != inputs.len() {
            return Err(nothing("value for each input"));
        }
        // SAFETY: every pointer is alive for the call, the arrays are as long as said, and what the values refer to is
        // lent for longer than the call. `Run` is safe from several threads; the options are this object's own, and
        // setting their flag meanwhile is what they are for.
        let status = unsafe {
            (ort::api().Run)(
                session.pointer(),
                options.0.as_ptr(),
                arrays.input_names.as_ptr(),
                arrays.inputs.as_ptr(),
                arrays.inputs.len(),
                arrays.output_names.as_ptr(),
                arrays.output_names.len(),
                arrays.outputs.as_mut_ptr(),
            )
        };
        // What the runtime made is ours, whatever became of the run.
        for (wanted, pointer) in wanted.iter_mut().zip(&mut arrays.outputs) {
            if let Wanted::Open(value) = wanted {
                *value = NonNull::new(std::mem::replace(pointer, null_mut())).map(Value::owned);
            }
        }
        outcome(status)
    }

    /// The outputs after the run, in the order in which they were wanted.
    pub(crate) fn outputs(&mut self) -> impl Iterator<Item = Result<Fetched, Error>> {
        let Run { feeds, wanted, .. } = &mut *self.run;
        let feeds: &[Note] = feeds;
        wanted.drain(..).map(|wanted| match wanted {
            Wanted::Bound => Ok(Fetched::Bound),
            Wanted::Open(None) => Err(nothing("value for an output")),
            Wanted::Open(Some(value)) => {
                let data = value.data();
                // An input that is also an output comes back as it is, in the memory that was lent.
                let input = feeds.iter().position(|note| note.lends(data));
                Ok(input.map_or(Fetched::Owned(value), Fetched::Input))
            }
        })
    }
}

impl Drop for Call<'_, '_> {
    fn drop(&mut self) {
        self.run.wanted.clear();
        for note in self.run.feeds.iter_mut().filter(|note| note.lent.1 == 0) {
            // Memory of its own, which no later call has a use for.
            note.value = None;
        }
    }
}

/// Interrupts the runs of one [`Run`], from any thread.
#[derive(Clone, Debug)]
pub(crate) struct Interrupt(Arc<Options>);

impl Interrupt {
    /// Has the current run end with an error before its next operator, and all later ones at once.
    pub(crate) fn set(&self) {
        // SAFETY: the options are alive, and the runtime sets this flag from any thread.
        let _cannot_fail = outcome(unsafe { (ort::api().RunOptionsSetTerminate)(self.0.0.as_ptr()) });
    }

    /// Lets runs through again. No run is under way.
    pub(crate) fn clear(&self) {
        // SAFETY: as for `set`.
        let _cannot_fail = outcome(unsafe { (ort::api().RunOptionsUnsetTerminate)(self.0.0.as_ptr()) });
    }
}

#[derive(Debug)]
struct Options(NonNull<OrtRunOptions>);

// SAFETY: any thread may use and release them; what is set while a run is under way is one flag, made for that.
unsafe impl Send for Options {}
// SAFETY: as for `Send`.
unsafe impl Sync for Options {}

impl Options {
    fn new() -> Result<Self, Error> {
        let mut options = null_mut();
        // SAFETY: a place of ours to write to.
        outcome(unsafe { (ort::api().CreateRunOptions)(&raw mut options) })?;
        let options = Options(NonNull::new(options).ok_or_else(|| nothing("run options"))?);
        // SAFETY: the options are alive.
        outcome(unsafe { (ort::api().RunOptionsSetRunLogSeverityLevel)(options.0.as_ptr(), SEVERITY_FATAL) })?;
        Ok(options)
    }
}

impl Drop for Options {
    fn drop(&mut self) {
        // SAFETY: released once, when neither a run nor an interrupt is left.
        unsafe { (ort::api().ReleaseRunOptions)(self.0.as_ptr()) };
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::models::{FLOAT, Graph, INT64};
    use crate::{network::Network, runtime::Runtime, testing};
    use inferlay_backend_sdk::conformance::{MemoryFiles, TestHost};
    use inferlay_backend_sdk::{Device, ModelSource, Signature};
    use std::collections::BTreeMap;

    /// A way to run a model that tells the shape of its input, and one that doubles it.
    fn shape_and_double() -> Run {
        let graph = Graph::new()
            .node("Shape", &["x"], &["shape"], &[])
            .node("Add", &["x", "x"], &["y"], &[])
            .input("x", FLOAT, Some(&["a", "b"]))
            .output("shape", INT64, Some(&["2"]))
            .output("y", FLOAT, Some(&["a", "b"]));
        let mut files = MemoryFiles::default();
        files.insert("model.onnx", graph.encoded());
        let source = ModelSource {
            name: "run",
            version: 1,
            file_name: "model.onnx",
            files: &files,
            config: &Signature::default(),
            batch_size_max: None,
            parameters: &BTreeMap::new(),
            config_json: "",
            host: &TestHost,
        };
        let options = testing::options();
        Network::load(Runtime::load(&options).unwrap(), &options, &source).unwrap().run(Device::Cpu).unwrap()
    }

    #[test]
    fn a_kept_note_is_never_used_for_another_place_or_shape() {
        let mut run = shape_and_double();
        let mut words = [1.0f32, 2.0, 3.0, 4.0, 5.0, 6.0, 7.0, 8.0].map(f32::to_bits).map(u32::to_ne_bytes);
        // The shape, and from which byte on.
        for (shape, first) in [([2, 3], 0), ([2, 3], 0), ([3, 2], 0), ([3, 2], 8), ([1, 6], 8), ([1, 6], 8)] {
            let bytes = words.as_flattened_mut();
            bytes[first] ^= 1;
            let expected = f32::from_ne_bytes(bytes[first..first + 4].try_into().unwrap()) * 2.0;
            let (mut told, mut doubled) = ([0u64; 2].map(u64::to_ne_bytes), [0u32; 6].map(u32::to_ne_bytes));
            let mut call = run.begin();
            call.feed(DataType::Fp32, &Shape::from(shape), &bytes[first..first + 24]).unwrap();
            call.want_in(0, DataType::Int64, &Shape::from([2]), told.as_flattened_mut()).unwrap();
            call.want_in(1, DataType::Fp32, &Shape::from(shape), doubled.as_flattened_mut()).unwrap();
            call.run().unwrap();
            assert!(call.outputs().all(|output| matches!(output, Ok(Fetched::Bound))));
            drop(call);
            assert_eq!(told.map(u64::from_ne_bytes), shape.map(|dim| dim as u64));
            assert_eq!(f32::from_ne_bytes(doubled[0]), expected, "what lies there now, not what did");
        }
    }

    #[test]
    fn too_few_bytes_or_inputs_are_refused() {
        let mut run = shape_and_double();
        let bytes = [0u64; 2].map(u64::to_ne_bytes);
        let mut call = run.begin();
        assert!(call.feed(DataType::Fp32, &Shape::from([2, 3]), bytes.as_flattened()).is_err());
        call.want(0);
        assert!(call.run().is_err(), "without its input");
        call.feed(DataType::Fp32, &Shape::from([2, 2]), bytes.as_flattened()).unwrap();
        assert!(call.feed(DataType::Fp32, &Shape::from([2, 2]), bytes.as_flattened()).is_err(), "a second input");
        call.run().unwrap();
        call.run().unwrap();
        assert!(matches!(call.outputs().next(), Some(Ok(Fetched::Owned(_)))), "of the last run");
    }
}
