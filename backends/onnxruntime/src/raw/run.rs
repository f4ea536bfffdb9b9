//! One execution at a time of a session that others may execute meanwhile.

use super::{Room, Session, Value, nothing, outcome};
use ort::Error;
use ort::sys::{OrtRunOptions, OrtValue};
use std::ffi::{CString, c_char, c_int};
use std::ptr::{NonNull, null_mut};
use std::sync::Arc;

/// Of what is logged while a model runs, nobody would be told.
const SEVERITY_FATAL: c_int = 4;

/// What it takes to run a session: its names, and the options by which a run is interrupted.
#[derive(Debug)]
pub(crate) struct Run {
    session: Arc<Session>,
    inputs: Vec<CString>,
    outputs: Vec<CString>,
    options: Arc<Options>,
}

/// An output as a run leaves it.
#[derive(Debug)]
pub(crate) enum Fetched {
    /// In the memory that was bound. Only the output of an operator gets there: of an input that is an output too the
    /// runtime binds nothing, and does not say so.
    Bound,
    /// In memory of the runtime's.
    Owned(Value<'static>),
    /// It is this input, unchanged: the model passes it through.
    Input(usize),
}

impl Run {
    /// A way to run `session`, whose inputs and outputs have these names.
    ///
    /// # Errors
    /// What the runtime says.
    pub(crate) fn new(session: Arc<Session>, inputs: Vec<CString>, outputs: Vec<CString>) -> Result<Self, Error> {
        Ok(Run { session, inputs, outputs, options: Arc::new(Options::new()?) })
    }

    /// Runs the session over all inputs, for the outputs of these numbers; `bound` is the memory for each of them that
    /// has some.
    ///
    /// # Errors
    /// What the runtime says; also when the run was interrupted.
    pub(crate) fn run(
        &mut self,
        inputs: &[Value<'_>],
        outputs: &[usize],
        bound: &[Option<Room<'_>>],
    ) -> Result<Vec<Fetched>, Error> {
        let name = |name: &CString| name.as_ptr();
        let input_names: Vec<*const c_char> = self.inputs.iter().map(name).collect();
        let output_names: Vec<*const c_char> = outputs.iter().map(|index| self.outputs[*index].as_ptr()).collect();
        let feeds: Vec<*const OrtValue> = inputs.iter().map(|value| value.pointer().cast_const()).collect();
        let mut fetches: Vec<*mut OrtValue> =
            bound.iter().map(|room| room.as_ref().map_or(null_mut(), Room::pointer)).collect();
        if feeds.len() != input_names.len() || fetches.len() != output_names.len() {
            return Err(nothing("value for each name"));
        }
        // SAFETY: every pointer is alive for the call, the arrays are as long as said, and what the values lend is lent
        // for longer than the call. `Run` is safe from several threads; the options are this object's own, and setting
        // their flag meanwhile is what they are for.
        let status = unsafe {
            (ort::api().Run)(
                self.session.pointer(),
                self.options.0.as_ptr(),
                input_names.as_ptr(),
                feeds.as_ptr(),
                feeds.len(),
                output_names.as_ptr(),
                output_names.len(),
                fetches.as_mut_ptr(),
            )
        };
        // What was bound stays where it is; what the runtime made is ours, whatever became of the run.
        let own = |(pointer, bound): (*mut OrtValue, &Option<Room<'_>>)| match bound {
            Some(_) => None,
            None => NonNull::new(pointer).map(Value::owned),
        };
        let own: Vec<Option<Value<'static>>> = fetches.into_iter().zip(bound).map(own).collect();
        outcome(status)?;
        let fetched = |(own, bound): (Option<Value<'static>>, &Option<Room<'_>>)| match (own, bound) {
            (Some(value), _) => Ok(passed_through(&value, inputs).map_or(Fetched::Owned(value), Fetched::Input)),
            (None, Some(_)) => Ok(Fetched::Bound),
            (None, None) => Err(nothing("value for an output")),
        };
        own.into_iter().zip(bound).map(fetched).collect()
    }

    /// What interrupts a run from another thread.
    pub(crate) fn interrupt(&self) -> Interrupt {
        Interrupt(Arc::clone(&self.options))
    }
}

/// The input whose memory an output lies in: the runtime hands an input that is also an output on as it is.
fn passed_through(value: &Value<'static>, inputs: &[Value<'_>]) -> Option<usize> {
    let data = value.data();
    inputs.iter().position(|input| input.lends(data))
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
