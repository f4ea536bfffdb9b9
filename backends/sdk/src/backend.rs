//! The three objects that a backend consists of, and what it is given to build them.

use crate::{Batch, DataType, Device, Error, Placement};
use std::collections::BTreeMap;
use std::fmt;
use std::ops::BitOr;
use std::path::PathBuf;

/// One framework: turns files into models. One object per process, used from any thread.
pub trait Backend: Send + Sync {
    /// Its name in configs, such as `tract`.
    fn name(&self) -> &str;

    /// The version of the framework, for introspection.
    fn version(&self) -> &str;

    /// File names or extensions (`model.onnx`, `.onnx`) from which a model without a `backend` key is recognised, and
    /// which are looked for when `default_model_filename` is not given; the first is the default.
    fn file_names(&self) -> &[&str];

    /// What it promises and needs.
    fn attributes(&self) -> Attributes {
        Attributes::CALLER_OK | Attributes::PARALLEL_LOAD
    }

    /// Loads one version of a model. Blocks as long as it takes; other loads run beside it if
    /// [`Attributes::PARALLEL_LOAD`] is set.
    ///
    /// # Errors
    /// Whatever keeps the model from serving; the message names the file and what is wrong with it.
    fn load(&self, source: &ModelSource<'_>) -> Result<Box<dyn Model>, Error>;
}

/// The weights of one version of a model. Shared by its instances; used from any thread.
pub trait Model: Send + Sync {
    /// What the model itself says of its inputs and outputs, which completes and checks the config.
    fn signature(&self) -> &Signature;

    /// Makes one instance. Outlived by the model.
    ///
    /// # Errors
    /// Whatever keeps it from executing, such as a device that is not there.
    fn instance(&self, spec: &InstanceSpec) -> Result<Box<dyn Instance>, Error>;

    /// Bytes in use per placement, weights and caches; empty when unknown.
    fn memory_use(&self) -> Vec<(Placement, usize)> {
        Vec::new()
    }

    /// Gives back what is only cached.
    fn trim(&self) {}
}

/// What one execution at a time needs: activations, a stream, a session.
pub trait Instance: Send {
    /// Runs one batch. Called by one thread at a time: always the same one if [`Attributes::INSTANCE_THREAD`] is set,
    /// else any.
    ///
    /// # Errors
    /// The error answers every request of the batch that was not taken; the instance goes on serving.
    fn execute(&mut self, batch: &dyn Batch) -> Result<(), Error>;

    /// How many batches may be in flight at once: more than one only for a backend that takes requests and answers
    /// them after `execute` has returned.
    fn batches_in_flight_max(&self) -> usize {
        1
    }
}

/// What a backend promises and needs, as a set of flags.
#[derive(Clone, Copy, PartialEq, Eq, Hash)]
pub struct Attributes(u32);

impl Attributes {
    /// No promise, no need.
    pub const NONE: Attributes = Attributes(0);
    /// `execute` may run on a thread of the caller.
    pub const CALLER_OK: Attributes = Attributes(1);
    /// `execute` of one instance must always run on the same thread.
    pub const INSTANCE_THREAD: Attributes = Attributes(1 << 1);
    /// `execute` of one instance may run on several threads at once. The engine does not make use of it yet.
    pub const CONCURRENT_EXECUTE: Attributes = Attributes(1 << 2);
    /// Several models may be loaded at once.
    pub const PARALLEL_LOAD: Attributes = Attributes(1 << 3);
    /// Loading a model may execute code that its files contain.
    pub const EXECUTES_MODEL_CODE: Attributes = Attributes(1 << 4);

    /// Whether all flags of `other` are set.
    ///
    /// # Examples
    /// ```
    /// use inferlay_backend_sdk::Attributes;
    /// let both = Attributes::CALLER_OK | Attributes::PARALLEL_LOAD;
    /// assert!(both.contains(Attributes::CALLER_OK) && !both.contains(Attributes::INSTANCE_THREAD));
    /// ```
    pub const fn contains(self, other: Attributes) -> bool {
        self.0 & other.0 == other.0
    }

    /// The flags as the number that crosses the plugin ABI.
    pub const fn bits(self) -> u32 {
        self.0
    }
}

impl BitOr for Attributes {
    type Output = Attributes;

    fn bitor(self, other: Attributes) -> Attributes {
        Attributes(self.0 | other.0)
    }
}

impl fmt::Debug for Attributes {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "Attributes({:#b})", self.0)
    }
}

/// What a backend is given to load one version of a model. Borrowed for the call.
pub struct ModelSource<'a> {
    /// The model's name.
    pub name: &'a str,
    /// The version, greater than 0.
    pub version: u64,
    /// The name of the model file among [`ModelSource::files`].
    pub file_name: &'a str,
    /// The files of this version.
    pub files: &'a dyn ModelFiles,
    /// The inputs, outputs and parameters that the config states; each list may be empty.
    pub config: &'a Signature,
    /// The largest batch that the config states: 0 for a model that does not batch, `None` when it says nothing.
    pub batch_size_max: Option<usize>,
    /// `parameters` of the config.
    pub parameters: &'a BTreeMap<String, String>,
    /// What the engine offers while loading and afterwards.
    pub host: &'a dyn Host,
}

/// The files of one version of a model: a folder, one file, or memory. A name never leads out of them.
pub trait ModelFiles: Send + Sync {
    /// The names of the files, sorted; those in sub-folders with `/` between.
    fn names(&self) -> Vec<String>;

    /// The content of a file.
    ///
    /// # Errors
    /// [`crate::ErrorKind::NotFound`] when there is none of that name, or it lies outside.
    fn read(&self, name: &str) -> Result<Vec<u8>, Error>;

    /// Where a file lies in the file system; `None` when it lies in memory.
    ///
    /// # Errors
    /// As for [`ModelFiles::read`].
    fn path(&self, name: &str) -> Result<Option<PathBuf>, Error>;
}

/// How grave a log message is.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
#[repr(u32)]
#[non_exhaustive]
pub enum LogLevel {
    /// Every detail.
    Verbose = 0,
    /// Worth knowing.
    Info = 1,
    /// Wrong, but served.
    Warning = 2,
    /// Something failed.
    Error = 3,
}

/// What the engine offers a backend outside of batches. Any thread.
pub trait Host: Send + Sync {
    /// Writes to the server's log.
    fn log(&self, level: LogLevel, message: &str);

    /// How many threads one execution may use.
    fn threads_max(&self) -> usize;
}

/// One instance to be made.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct InstanceSpec {
    /// Counts from 0 within the model version.
    pub index: usize,
    /// The device that it executes on.
    pub device: Device,
    /// How many threads one execution may use.
    pub threads_max: usize,
}

/// The inputs and outputs of a model, with full shapes.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Signature {
    /// The inputs; backends and batches number them in this order.
    pub inputs: Vec<TensorSpec>,
    /// The outputs; backends and batches number them in this order.
    pub outputs: Vec<TensorSpec>,
    /// Whether the first dim of every input and output is the batch, given as -1.
    pub batches: bool,
}

/// The name, type and dims of one input or output.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct TensorSpec {
    /// Its name, unique among the inputs and unique among the outputs.
    pub name: String,
    /// The type of its elements.
    pub dtype: DataType,
    /// Its dims, the batch included where there is one; -1 for one that varies. `None` when the rank is unknown.
    pub dims: Option<Vec<i64>>,
    /// Whether a request may leave it out.
    pub optional: bool,
}
