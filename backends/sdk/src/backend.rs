//! The three objects that a backend consists of, and what it is given to build them.

use crate::{Batch, DataType, Device, Error, Placement, TensorRef};
use std::collections::BTreeMap;
use std::fmt;
use std::ops::BitOr;
use std::path::PathBuf;

/// One framework: turns files into models. One object per process, used from any thread.
///
/// # Examples
/// ```
/// # use inferlay_backend_sdk::{Backend, Error, Model, ModelSource};
/// # struct Mine;
/// impl Backend for Mine {
///     fn name(&self) -> &str { "mine" }
///     fn version(&self) -> &str { "1.2" }
///     fn file_names(&self) -> &[&str] { &["model.mine", ".mine"] }
///     fn load(&self, source: &ModelSource<'_>) -> Result<Box<dyn Model>, Error> {
///         Err(Error::unsupported(format!("{}: not today", source.file_name)))
///     }
/// }
/// # let backend: Box<dyn Backend> = Box::new(Mine);
/// # assert_eq!((backend.name(), backend.version()), ("mine", "1.2"));
/// ```
pub trait Backend: Send + Sync {
    /// Its name in configs, such as `tract`.
    ///
    /// # Examples
    /// ```
    /// # use inferlay_backend_sdk::*;
    /// # struct Mine;
    /// impl Backend for Mine {
    ///     fn name(&self) -> &str { "mine" }
    ///     // …
    /// #     fn version(&self) -> &str { "1" }
    /// #     fn file_names(&self) -> &[&str] { &[] }
    /// #     fn load(&self, _: &ModelSource<'_>) -> Result<Box<dyn Model>, Error> { Err(Error::unsupported("…")) }
    /// }
    /// // In a config: `backend: mine`.
    /// assert_eq!(Mine.name(), "mine");
    /// ```
    fn name(&self) -> &str;

    /// The version of the framework, for introspection.
    ///
    /// # Examples
    /// ```
    /// # use inferlay_backend_sdk::*;
    /// # struct Mine;
    /// impl Backend for Mine {
    ///     fn version(&self) -> &str { env!("CARGO_PKG_VERSION") }
    ///     // …
    /// #     fn name(&self) -> &str { "mine" }
    /// #     fn file_names(&self) -> &[&str] { &[] }
    /// #     fn load(&self, _: &ModelSource<'_>) -> Result<Box<dyn Model>, Error> { Err(Error::unsupported("…")) }
    /// }
    /// assert!(!Mine.version().is_empty());
    /// ```
    fn version(&self) -> &str;

    /// The backend with the options that a server gives it, by name. A plugin is told them when it begins; a backend that is
    /// handed to a server has been told already.
    ///
    /// # Errors
    /// [`crate::ErrorKind::InvalidArg`] for an option that it does not know: this one takes none.
    ///
    /// # Examples
    /// ```
    /// # use inferlay_backend_sdk::*;
    /// # use std::collections::BTreeMap;
    /// #[derive(Default)]
    /// struct Mine { threads: usize }
    /// impl Backend for Mine {
    ///     fn configured(mut self, options: &BTreeMap<String, String>) -> Result<Self, Error> {
    ///         for (name, value) in options {
    ///             match (name.as_str(), value.parse()) {
    ///                 ("threads", Ok(threads)) => self.threads = threads,
    ///                 _ => return Err(Error::invalid_arg(format!("option '{name}': found '{value}'"))),
    ///             }
    ///         }
    ///         Ok(self)
    ///     }
    ///     // …
    /// #     fn name(&self) -> &str { "mine" }
    /// #     fn version(&self) -> &str { "1" }
    /// #     fn file_names(&self) -> &[&str] { &[] }
    /// #     fn load(&self, _: &ModelSource<'_>) -> Result<Box<dyn Model>, Error> { Err(Error::unsupported("…")) }
    /// }
    /// let options = [("threads".to_owned(), "4".to_owned())].into();
    /// assert_eq!(Mine::default().configured(&options)?.threads, 4);
    /// # Ok::<(), Error>(())
    /// ```
    fn configured(self, options: &BTreeMap<String, String>) -> Result<Self, Error>
    where
        Self: Sized,
    {
        match options.keys().next() {
            None => Ok(self),
            Some(name) => Err(Error::invalid_arg(format!("option '{name}': the backend takes no options"))),
        }
    }

    /// File names or extensions (`model.onnx`, `.onnx`) from which a model without a `backend` key is recognised, and
    /// which are looked for when `default_model_filename` is not given; the first is the default.
    ///
    /// # Examples
    /// ```
    /// # use inferlay_backend_sdk::*;
    /// # struct Mine;
    /// impl Backend for Mine {
    ///     fn file_names(&self) -> &[&str] { &["model.mine", ".mine"] }
    ///     // …
    /// #     fn name(&self) -> &str { "mine" }
    /// #     fn version(&self) -> &str { "1" }
    /// #     fn load(&self, _: &ModelSource<'_>) -> Result<Box<dyn Model>, Error> { Err(Error::unsupported("…")) }
    /// }
    /// assert_eq!(Mine.file_names()[0], "model.mine");
    /// ```
    fn file_names(&self) -> &[&str];

    /// What it promises and needs.
    ///
    /// # Examples
    /// ```
    /// # use inferlay_backend_sdk::*;
    /// # struct Mine;
    /// impl Backend for Mine {
    ///     // Its handles belong to the thread that made them.
    ///     fn attributes(&self) -> Attributes { Attributes::INSTANCE_THREAD | Attributes::PARALLEL_LOAD }
    ///     // …
    /// #     fn name(&self) -> &str { "mine" }
    /// #     fn version(&self) -> &str { "1" }
    /// #     fn file_names(&self) -> &[&str] { &[] }
    /// #     fn load(&self, _: &ModelSource<'_>) -> Result<Box<dyn Model>, Error> { Err(Error::unsupported("…")) }
    /// }
    /// assert!(!Mine.attributes().contains(Attributes::CALLER_OK));
    /// ```
    fn attributes(&self) -> Attributes {
        Attributes::CALLER_OK | Attributes::PARALLEL_LOAD
    }

    /// Loads one version of a model. Blocks as long as it takes; other loads run beside it if
    /// [`Attributes::PARALLEL_LOAD`] is set.
    ///
    /// # Errors
    /// Whatever keeps the model from serving; the message names the file and what is wrong with it.
    ///
    /// # Examples
    /// ```
    /// # use inferlay_backend_sdk::*;
    /// # struct Mine;
    /// # fn number(bytes: &[u8]) -> Result<f32, Error> {
    /// #     let number = str::from_utf8(bytes).ok().and_then(|text| text.parse().ok());
    /// #     number.ok_or_else(|| Error::invalid_arg("found no number, expected one"))
    /// # }
    /// # struct Scaling(f32, Signature);
    /// # impl Model for Scaling {
    /// #     fn signature(&self) -> &Signature { &self.1 }
    /// #     fn instance(&self, _: &InstanceSpec) -> Result<Box<dyn Instance>, Error> { Err(Error::unsupported("…")) }
    /// # }
    /// impl Backend for Mine {
    ///     fn load(&self, source: &ModelSource<'_>) -> Result<Box<dyn Model>, Error> {
    ///         let bytes = source.files.read(source.file_name)?;
    ///         let factor = number(&bytes).map_err(|error| error.at(source.file_name))?;
    ///         Ok(Box::new(Scaling(factor, source.config.clone())))
    ///     }
    ///     // …
    /// #     fn name(&self) -> &str { "mine" }
    /// #     fn version(&self) -> &str { "1" }
    /// #     fn file_names(&self) -> &[&str] { &[] }
    /// }
    /// # #[cfg(feature = "conformance")] {
    /// # let case = || conformance::Case::new(Box::new(Mine), Vec::new());
    /// # let case = |text: &str| case().with_file("factor.txt", text.into());
    /// # assert!(case("0.5").load().is_ok());
    /// # assert!(case("half").load().is_err_and(|error| error.message().starts_with("factor.txt: found no number")));
    /// # }
    /// ```
    fn load(&self, source: &ModelSource<'_>) -> Result<Box<dyn Model>, Error>;

    /// About how many bytes a model will use per placement, so that room can be made before it is loaded; empty when unknown,
    /// which is taken for the size of its files. Called on a loading thread, as [`Backend::load`], and far quicker: from a
    /// size or a header, not from the weights.
    ///
    /// # Errors
    /// Whatever keeps it from telling; the model is loaded all the same.
    ///
    /// # Examples
    /// ```
    /// # use inferlay_backend_sdk::*;
    /// # struct Mine;
    /// impl Backend for Mine {
    ///     fn memory_estimate(&self, source: &ModelSource<'_>) -> Result<Vec<(Placement, usize)>, Error> {
    ///         // Weights of two bytes in the file become four in memory.
    ///         let Some(path) = source.files.path(source.file_name)? else { return Ok(Vec::new()) };
    ///         let len = std::fs::metadata(path).map_or(0, |file| file.len() as usize);
    ///         Ok(vec![(Placement::HOST, 2 * len)])
    ///     }
    ///     // …
    /// #     fn name(&self) -> &str { "mine" }
    /// #     fn version(&self) -> &str { "1" }
    /// #     fn file_names(&self) -> &[&str] { &[".txt"] }
    /// #     fn load(&self, _: &ModelSource<'_>) -> Result<Box<dyn Model>, Error> { Err(Error::unsupported("…")) }
    /// }
    /// ```
    fn memory_estimate(&self, _source: &ModelSource<'_>) -> Result<Vec<(Placement, usize)>, Error> {
        Ok(Vec::new())
    }
}

/// The weights of one version of a model. Shared by its instances; used from any thread.
///
/// # Examples
/// ```
/// # use inferlay_backend_sdk::{Batch, Device, Error, Instance, InstanceSpec, Model, Signature};
/// struct Scaling { factor: f32, signature: Signature }
/// # struct Scaler(f32);
/// # impl Instance for Scaler { fn execute(&mut self, _batch: &dyn Batch) -> Result<(), Error> { Ok(()) } }
/// impl Model for Scaling {
///     fn signature(&self) -> &Signature { &self.signature }
///     fn instance(&self, _spec: &InstanceSpec) -> Result<Box<dyn Instance>, Error> {
///         Ok(Box::new(Scaler(self.factor)))
///     }
/// }
/// # let model = Scaling { factor: 0.5, signature: Signature::default() };
/// # assert!(model.instance(&InstanceSpec { index: 0, device: Device::Cpu, threads_max: 1 }).is_ok());
/// ```
pub trait Model: Send + Sync {
    /// What the model itself says of its inputs and outputs, which completes and checks the config.
    ///
    /// # Examples
    /// ```
    /// # use inferlay_backend_sdk::*;
    /// struct Scaling { signature: Signature }
    /// impl Model for Scaling {
    ///     // Made once, when the model was loaded.
    ///     fn signature(&self) -> &Signature { &self.signature }
    ///     // …
    /// #     fn instance(&self, _: &InstanceSpec) -> Result<Box<dyn Instance>, Error> { Err(Error::unsupported("…")) }
    /// }
    /// let signature = Signature { batches: true, ..Signature::default() };
    /// assert!(Scaling { signature }.signature().batches);
    /// ```
    fn signature(&self) -> &Signature;

    /// Makes one instance. Outlived by the model.
    ///
    /// # Errors
    /// Whatever keeps it from executing, such as a device that is not there.
    ///
    /// # Examples
    /// ```
    /// # use inferlay_backend_sdk::*;
    /// # struct Scaling(Signature);
    /// # struct Scaler;
    /// # impl Instance for Scaler { fn execute(&mut self, _batch: &dyn Batch) -> Result<(), Error> { Ok(()) } }
    /// impl Model for Scaling {
    ///     fn instance(&self, spec: &InstanceSpec) -> Result<Box<dyn Instance>, Error> {
    ///         if spec.device == Device::Cpu { Ok(Box::new(Scaler)) } else { Err(Error::unsupported("no device")) }
    ///     }
    ///     // …
    /// #     fn signature(&self) -> &Signature { &self.0 }
    /// }
    /// # let model = Scaling(Signature::default());
    /// let spec = InstanceSpec { index: 0, device: Device::Cuda(0), threads_max: 1 };
    /// assert!(model.instance(&spec).is_err());
    /// ```
    fn instance(&self, spec: &InstanceSpec) -> Result<Box<dyn Instance>, Error>;

    /// Whether its requests may get any number of responses instead of exactly one, unless the config says otherwise.
    ///
    /// # Examples
    /// ```
    /// # use inferlay_backend_sdk::*;
    /// struct Generating;
    /// impl Model for Generating {
    ///     fn is_decoupled(&self) -> bool { true }
    ///     // …
    /// #     fn signature(&self) -> &Signature { Box::leak(Box::default()) }
    /// #     fn instance(&self, _: &InstanceSpec) -> Result<Box<dyn Instance>, Error> { Err(Error::unsupported("…")) }
    /// }
    /// assert!(Generating.is_decoupled());
    /// ```
    fn is_decoupled(&self) -> bool {
        false
    }

    /// Bytes in use per placement, weights and caches; empty when unknown: then the engine measures, as well as it can.
    ///
    /// # Examples
    /// ```
    /// # use inferlay_backend_sdk::*;
    /// struct Scaling { weights: Vec<f32> }
    /// impl Model for Scaling {
    ///     fn memory_use(&self) -> Vec<(Placement, usize)> { vec![(Placement::HOST, 4 * self.weights.len())] }
    ///     // …
    /// #     fn signature(&self) -> &Signature { Box::leak(Box::default()) }
    /// #     fn instance(&self, _: &InstanceSpec) -> Result<Box<dyn Instance>, Error> { Err(Error::unsupported("…")) }
    /// }
    /// assert_eq!(Scaling { weights: vec![0.0; 256] }.memory_use(), [(Placement::HOST, 1024)]);
    /// ```
    fn memory_use(&self) -> Vec<(Placement, usize)> {
        Vec::new()
    }

    /// Gives back what is only cached.
    ///
    /// # Examples
    /// ```
    /// # use inferlay_backend_sdk::*;
    /// # use std::{collections::BTreeMap, sync::Mutex};
    /// struct Planned { plans_by_rows: Mutex<BTreeMap<usize, Vec<u8>>> }
    /// impl Model for Planned {
    ///     fn trim(&self) { self.plans_by_rows.lock().unwrap().clear(); }
    ///     // …
    /// #     fn signature(&self) -> &Signature { Box::leak(Box::default()) }
    /// #     fn instance(&self, _: &InstanceSpec) -> Result<Box<dyn Instance>, Error> { Err(Error::unsupported("…")) }
    /// }
    /// let model = Planned { plans_by_rows: Mutex::new(BTreeMap::from([(8, vec![0; 1 << 20])])) };
    /// model.trim();
    /// assert!(model.plans_by_rows.lock().unwrap().is_empty());
    /// ```
    fn trim(&self) {}
}

/// What one execution at a time needs: activations, a stream, a session.
///
/// # Examples
/// ```
/// # use inferlay_backend_sdk::*;
/// # struct Negate;
/// impl Instance for Negate {
///     fn execute(&mut self, batch: &dyn Batch) -> Result<(), Error> {
///         let x = batch.input(0, Placement::HOST)?;
///         let y = batch.output_buffer(0, x.shape().clone())?.as_mut_slice::<f32>()?;
///         y.iter_mut().zip(x.as_slice::<f32>()?).for_each(|(y, x)| *y = -x);
///         Ok(())
///     }
/// }
/// # #[cfg(feature = "conformance")] {
/// # let (dtype, dims) = (DataType::Fp32, Some(vec![-1, 1]));
/// # let spec = |name: &str| TensorSpec { name: name.into(), dtype, dims: dims.clone(), optional: false };
/// # let signature = Signature { inputs: vec![spec("x")], outputs: vec![spec("y")], batches: true };
/// # let request = conformance::TestRequest::new(&[Tensor::from_vec(vec![1.0f32], [1, 1])?]);
/// # let answers = conformance::TestBatch::new(&signature, vec![request]).execute(&mut Negate).unwrap();
/// # assert_eq!(answers[0].clone()?[&0].view().as_slice::<f32>()?, [-1.0]);
/// # }
/// # Ok::<(), Error>(())
/// ```
pub trait Instance: Send {
    /// Runs one batch. Called by one thread at a time: always the same one if [`Attributes::INSTANCE_THREAD`] is set,
    /// else any.
    ///
    /// # Errors
    /// The error answers every request of the batch that was not taken; the instance goes on serving. Only
    /// [`ErrorKind::InstanceLost`](crate::ErrorKind::InstanceLost) says that it does not, as its device or process is gone:
    /// it is dropped, and without another one the model does not serve until it is loaded anew. Said in answer to a request
    /// that was taken, it counts when the instance is back.
    ///
    /// # Examples
    /// ```
    /// # use inferlay_backend_sdk::*;
    /// # struct Negate;
    /// impl Instance for Negate {
    ///     fn execute(&mut self, batch: &dyn Batch) -> Result<(), Error> {
    ///         if batch.output_wanted(0) {
    ///             let x = batch.input(0, Placement::HOST)?;
    ///             let y = x.as_slice::<f32>()?.iter().map(|x| -x).collect();
    ///             batch.output(0, Tensor::from_vec(y, x.shape().clone())?)?;
    ///         }
    ///         Ok(())
    ///     }
    /// }
    /// # #[cfg(feature = "conformance")] {
    /// # let (dtype, dims) = (DataType::Fp32, Some(vec![-1, 1]));
    /// # let spec = |name: &str| TensorSpec { name: name.into(), dtype, dims: dims.clone(), optional: false };
    /// # let signature = Signature { inputs: vec![spec("x")], outputs: vec![spec("y")], batches: true };
    /// # let request = conformance::TestRequest::new(&[Tensor::from_vec(vec![1.0f32], [1, 1])?]);
    /// # let answers = conformance::TestBatch::new(&signature, vec![request]).execute(&mut Negate).unwrap();
    /// # assert_eq!(answers[0].clone()?[&0].view().as_slice::<f32>()?, [-1.0]);
    /// # }
    /// # Ok::<(), Error>(())
    /// ```
    fn execute(&mut self, batch: &dyn Batch) -> Result<(), Error>;

    /// How many batches may be in flight at once: more than one only for a backend that takes requests and answers
    /// them after `execute` has returned.
    ///
    /// # Examples
    /// ```
    /// # use inferlay_backend_sdk::*;
    /// struct Remote;
    /// impl Instance for Remote {
    ///     // Eight batches may be under way to where they are computed.
    ///     fn batches_in_flight_max(&self) -> usize { 8 }
    ///     // …
    /// #     fn execute(&mut self, _batch: &dyn Batch) -> Result<(), Error> { Ok(()) }
    /// }
    /// assert_eq!(Remote.batches_in_flight_max(), 8);
    /// ```
    fn batches_in_flight_max(&self) -> usize {
        1
    }
}

/// What a backend promises and needs, as a set of flags.
///
/// # Examples
/// ```
/// use inferlay_backend_sdk::Attributes;
/// let attributes = Attributes::CALLER_OK | Attributes::EXECUTES_MODEL_CODE;
/// assert!(attributes.contains(Attributes::EXECUTES_MODEL_CODE));
/// assert!(attributes.contains(Attributes::NONE) && !Attributes::NONE.contains(attributes));
/// ```
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
    ///
    /// # Examples
    /// ```
    /// use inferlay_backend_sdk::Attributes;
    /// assert_eq!((Attributes::CALLER_OK | Attributes::PARALLEL_LOAD).bits(), 0b1001);
    /// ```
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
///
/// # Examples
/// ```
/// # use inferlay_backend_sdk::{Error, ModelSource};
/// fn weights(source: &ModelSource<'_>) -> Result<Vec<u8>, Error> {
///     let compressed = source.parameters.get("compressed").is_some_and(|value| value == "true");
///     let name = if compressed { "weights.zst" } else { source.file_name };
///     source.files.read(name).map_err(|error| error.at(format_args!("model '{}'", source.name)))
/// }
/// # #[cfg(feature = "conformance")] {
/// # use inferlay_backend_sdk::{Signature, conformance::{MemoryFiles, TestHost}};
/// # let mut files = MemoryFiles::default();
/// # files.insert("weights.bin", vec![1, 2]);
/// # let (config, parameters) = (Signature::default(), Default::default());
/// # let mut source = ModelSource {
/// #     name: "m", version: 1, file_name: "weights.bin", files: &files, config: &config,
/// #     batch_size_max: None, parameters: &parameters, config_json: "", host: &TestHost,
/// # };
/// # assert_eq!(weights(&source)?, [1, 2]);
/// # source.file_name = "model.bin";
/// # assert!(weights(&source).unwrap_err().message().starts_with("model 'm': "));
/// # }
/// # Ok::<(), Error>(())
/// ```
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
    /// The whole config as JSON with Triton's names, as far as it is known before the model is loaded: what the fields
    /// above say, and what only backends read, such as `optimization`. Empty when there is none.
    pub config_json: &'a str,
    /// What the engine offers while loading and afterwards.
    pub host: &'a dyn Host,
}

/// The files of one version of a model: a folder, one file, or memory. A name never leads out of them.
///
/// # Examples
/// ```
/// # use inferlay_backend_sdk::{Error, ModelFiles};
/// fn read_all(files: &dyn ModelFiles) -> Result<Vec<u8>, Error> {
///     let parts: Result<Vec<_>, _> = files.names().iter().map(|name| files.read(name)).collect();
///     Ok(parts?.concat())
/// }
/// # #[cfg(feature = "conformance")] {
/// # let mut files = inferlay_backend_sdk::conformance::MemoryFiles::default();
/// # files.insert("b", vec![3]);
/// # files.insert("a", vec![1, 2]);
/// # assert_eq!(read_all(&files)?, [1, 2, 3]);
/// # }
/// # Ok::<(), Error>(())
/// ```
pub trait ModelFiles: Send + Sync {
    /// The names of the files, sorted; those in sub-folders with `/` between.
    ///
    /// # Examples
    /// ```
    /// # #[cfg(feature = "conformance")] {
    /// use inferlay_backend_sdk::{ModelFiles, conformance::MemoryFiles};
    /// let mut files = MemoryFiles::default();
    /// files.insert("weights/b.bin", vec![2]);
    /// files.insert("weights/a.bin", vec![1]);
    /// assert_eq!(files.names(), ["weights/a.bin", "weights/b.bin"]);
    /// # }
    /// ```
    fn names(&self) -> Vec<String>;

    /// The content of a file.
    ///
    /// # Errors
    /// [`crate::ErrorKind::NotFound`] when there is none of that name, or it lies outside.
    ///
    /// # Examples
    /// ```
    /// # #[cfg(feature = "conformance")] {
    /// use inferlay_backend_sdk::{ErrorKind, ModelFiles, conformance::MemoryFiles};
    /// let mut files = MemoryFiles::default();
    /// files.insert("model.bin", vec![1, 2]);
    /// assert_eq!(files.read("model.bin").unwrap(), [1, 2]);
    /// assert_eq!(files.read("../secret").unwrap_err().kind(), ErrorKind::NotFound);
    /// # }
    /// ```
    fn read(&self, name: &str) -> Result<Vec<u8>, Error>;

    /// Where a file lies in the file system; `None` when it lies in memory.
    ///
    /// # Errors
    /// As for [`ModelFiles::read`].
    ///
    /// # Examples
    /// ```
    /// # use inferlay_backend_sdk::{Error, ModelFiles};
    /// // For a framework that can map a file into memory, and read it otherwise.
    /// fn load(files: &dyn ModelFiles) -> Result<&'static str, Error> {
    ///     match files.path("model.bin")? {
    ///         Some(_path) => Ok("mapped"),
    ///         None => files.read("model.bin").map(|_bytes| "read"),
    ///     }
    /// }
    /// # #[cfg(feature = "conformance")] {
    /// # let mut files = inferlay_backend_sdk::conformance::MemoryFiles::default();
    /// # files.insert("model.bin", vec![1, 2]);
    /// # assert_eq!(load(&files)?, "read");
    /// # }
    /// # Ok::<(), Error>(())
    /// ```
    fn path(&self, name: &str) -> Result<Option<PathBuf>, Error>;
}

/// How grave a log message is.
///
/// # Examples
/// ```
/// use inferlay_backend_sdk::LogLevel;
/// assert!(LogLevel::Verbose < LogLevel::Info && LogLevel::Warning < LogLevel::Error);
/// ```
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
///
/// # Examples
/// ```
/// use inferlay_backend_sdk::{Host, LogLevel};
/// // A host for a backend's tests.
/// struct Strict;
/// impl Host for Strict {
///     fn log(&self, level: LogLevel, message: &str) { assert!(level < LogLevel::Warning, "{message}"); }
///     fn threads_max(&self) -> usize { 1 }
/// }
/// let host: &dyn Host = &Strict;
/// host.log(LogLevel::Info, "loaded");
/// ```
pub trait Host: Send + Sync {
    /// Writes to the server's log.
    ///
    /// # Examples
    /// ```
    /// # use inferlay_backend_sdk::{Host, LogLevel};
    /// # use std::sync::atomic::{AtomicUsize, Ordering};
    /// # struct Counting(AtomicUsize);
    /// # impl Host for Counting {
    /// #     fn log(&self, _: LogLevel, _: &str) { self.0.fetch_add(1, Ordering::Relaxed); }
    /// #     fn threads_max(&self) -> usize { 1 }
    /// # }
    /// fn warn(host: &dyn Host, unknown: &[&str]) {
    ///     unknown.iter().for_each(|key| host.log(LogLevel::Warning, &format!("parameter '{key}': not known")));
    /// }
    /// # let host = Counting(AtomicUsize::new(0));
    /// # warn(&host, &["a", "b"]);
    /// # assert_eq!(host.0.into_inner(), 2);
    /// ```
    fn log(&self, level: LogLevel, message: &str);

    /// How many threads one execution may use.
    ///
    /// # Examples
    /// ```
    /// # use inferlay_backend_sdk::{Host, LogLevel};
    /// # struct Four;
    /// # impl Host for Four {
    /// #     fn log(&self, _: LogLevel, _: &str) {}
    /// #     fn threads_max(&self) -> usize { 4 }
    /// # }
    /// fn threads(host: &dyn Host, asked: Option<usize>) -> usize {
    ///     asked.unwrap_or(usize::MAX).min(host.threads_max())
    /// }
    /// # assert_eq!((threads(&Four, None), threads(&Four, Some(2))), (4, 2));
    /// ```
    fn threads_max(&self) -> usize;
}

/// One instance to be made.
///
/// # Examples
/// ```
/// use inferlay_backend_sdk::{Device, InstanceSpec};
/// let first = InstanceSpec { index: 0, device: Device::Cpu, threads_max: 1 };
/// let second = InstanceSpec { index: 1, ..first.clone() };
/// assert_eq!(first.device, second.device);
/// ```
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
///
/// # Examples
/// ```
/// use inferlay_backend_sdk::{DataType, Signature, TensorSpec};
/// let tensor = |name: &str, dims: &[i64]| TensorSpec {
///     name: name.to_owned(), dtype: DataType::Fp32, dims: Some(dims.to_vec()), optional: false,
/// };
/// let signature = Signature {
///     inputs: vec![tensor("image", &[-1, 1, 8, 8])], outputs: vec![tensor("logits", &[-1, 10])], batches: true,
/// };
/// assert_eq!(signature.outputs[0].name, "logits");
/// ```
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Signature {
    /// The inputs; backends and batches number them in this order.
    pub inputs: Vec<TensorSpec>,
    /// The outputs; backends and batches number them in this order.
    pub outputs: Vec<TensorSpec>,
    /// Whether the first dim of every input and output is the batch, given as -1; but for those that a batch does not
    /// have by rows, see [`ModelSource::ragged`].
    pub batches: bool,
}

/// The name, type and dims of one input or output.
///
/// # Examples
/// ```
/// use inferlay_backend_sdk::{DataType, TensorSpec};
/// // Texts, each of one element, in batches of any size.
/// let text = TensorSpec { name: "text".to_owned(), dtype: DataType::Bytes, dims: Some(vec![-1, 1]), optional: false };
/// let of_any_rank = TensorSpec { dims: None, ..text.clone() };
/// assert_ne!(text, of_any_rank);
/// ```
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

impl TensorSpec {
    /// Compares an input of an execution with what the model says: its type, rank and sizes. `names` numbers the dims that
    /// bear a name in the model, and dims of one name must have one size in all inputs: `sizes` holds what was seen of each
    /// number, and is emptied by the caller before every execution.
    ///
    /// # Errors
    /// [`crate::ErrorKind::InvalidArg`], naming the input, what was found and what was expected.
    ///
    /// # Examples
    /// ```
    /// use inferlay_backend_sdk::{DataType, Tensor, TensorSpec};
    /// let spec = TensorSpec { name: "x".into(), dtype: DataType::Fp32, dims: Some(vec![-1, 2]), optional: false };
    /// let (x, mut sizes) = (Tensor::from_vec(vec![0f32; 6], [3, 2]).unwrap(), [None]);
    /// spec.check_input(&x.view(), &[Some(0), None], &mut sizes).unwrap();
    /// assert_eq!(sizes, [Some(3)]);
    /// let other = Tensor::from_vec(vec![0f32; 8], [4, 2]).unwrap();
    /// assert!(spec.check_input(&other.view(), &[Some(0), None], &mut sizes).is_err());
    /// ```
    pub fn check_input(
        &self,
        input: &TensorRef<'_>,
        names: &[Option<usize>],
        sizes: &mut [Option<usize>],
    ) -> Result<(), Error> {
        let refused = |found: &dyn fmt::Display, expected: &dyn fmt::Display| {
            Err(Error::invalid_arg(format!("input '{}': found {found}, expected {expected}", self.name)))
        };
        if input.dtype() != self.dtype {
            return refused(&input.dtype(), &self.dtype);
        }
        let Some(dims) = &self.dims else { return Ok(()) };
        let fits = |(dim, found): (&i64, &usize)| *dim < 0 || usize::try_from(*dim) == Ok(*found);
        if dims.len() != input.shape().len() || !dims.iter().zip(input.shape().iter()).all(fits) {
            return refused(input.shape(), &format!("{dims:?}"));
        }
        for (name, size) in names.iter().zip(input.shape().iter()) {
            let Some(name) = name else { continue };
            let known = *sizes[*name].get_or_insert(*size);
            if known != *size {
                return refused(input.shape(), &format!("{known} where it has {size}, as in another input"));
            }
        }
        Ok(())
    }
}
