//! What the suite needs to know of one backend: how to load a model of it, and what that model answers.

use super::{MemoryFiles, TestHost};
use crate::{Backend, Device, Error, Instance, InstanceSpec, Model, ModelSource, Signature, Tensor};
use std::collections::BTreeMap;

/// One backend with one model and what it should answer.
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
/// // The output of `Echo` is its input.
/// let x = || vec![Tensor::from_vec(vec![1.0f32], [1, 1]).unwrap()];
/// let example = Example { inputs: x(), outputs: x() };
/// let case = Case::new(Box::new(Echo(signature.clone())), vec![example]).with_config(signature);
/// run(&case).assert_passed();
/// ```
pub struct Case {
    /// The backend under test.
    pub backend: Box<dyn Backend>,
    /// The name of the model file among `files`; empty for a backend that needs none.
    pub file_name: String,
    /// The files of the model.
    pub files: MemoryFiles,
    /// What the config states.
    pub config: Signature,
    /// What the config states as the largest batch.
    pub batch_size_max: Option<usize>,
    /// What the config states as parameters.
    pub parameters: BTreeMap<String, String>,
    /// What the model answers; one at least.
    pub examples: Vec<Example>,
    /// How far a floating-point output may lie from the expected one, relative to its size where that exceeds 1.
    pub tolerance: f64,
}

/// Inputs and the outputs that they give, each in the order of the signature. The examples of one case agree in all but
/// the first dim, so that they can share a batch.
///
/// # Examples
/// ```
/// use inferlay_backend_sdk::{Error, Tensor, conformance::Example};
/// // A row of two numbers, and their sum.
/// let example = Example {
///     inputs: vec![Tensor::from_vec(vec![1.0f32, 2.0], [1, 2])?],
///     outputs: vec![Tensor::from_vec(vec![3.0f32], [1, 1])?],
/// };
/// assert_eq!(example.inputs.len(), 1);
/// # Ok::<(), Error>(())
/// ```
#[derive(Clone, Debug)]
pub struct Example {
    /// One tensor per input.
    pub inputs: Vec<Tensor>,
    /// One tensor per output.
    pub outputs: Vec<Tensor>,
}

impl Case {
    /// A case without files, config or parameters, whose outputs must be exact.
    ///
    /// # Examples
    /// ```
    /// # use inferlay_backend_sdk::{*, conformance::*};
    /// # struct Mine;
    /// # impl Backend for Mine {
    /// #     fn name(&self) -> &str { "mine" }
    /// #     fn version(&self) -> &str { "1" }
    /// #     fn file_names(&self) -> &[&str] { &["mine.bin"] }
    /// #     fn load(&self, source: &ModelSource<'_>) -> Result<Box<dyn Model>, Error> {
    /// #         let len = source.files.read(source.file_name)?.len();
    /// #         Err(Error::unsupported(format!("{}: found {len} bytes, expected none", source.file_name)))
    /// #     }
    /// # }
    /// let case = Case::new(Box::new(Mine), Vec::new());
    /// assert_eq!((&case.file_name[..], case.parameters.len(), case.tolerance), ("", 0, 0.0));
    /// ```
    pub fn new(backend: Box<dyn Backend>, examples: Vec<Example>) -> Self {
        Case {
            backend,
            file_name: String::new(),
            files: MemoryFiles::default(),
            config: Signature::default(),
            batch_size_max: None,
            parameters: BTreeMap::new(),
            examples,
            tolerance: 0.0,
        }
    }

    /// The same with a model file.
    ///
    /// # Examples
    /// ```
    /// # use inferlay_backend_sdk::{*, conformance::*};
    /// # struct Mine;
    /// # impl Backend for Mine {
    /// #     fn name(&self) -> &str { "mine" }
    /// #     fn version(&self) -> &str { "1" }
    /// #     fn file_names(&self) -> &[&str] { &["mine.bin"] }
    /// #     fn load(&self, source: &ModelSource<'_>) -> Result<Box<dyn Model>, Error> {
    /// #         let len = source.files.read(source.file_name)?.len();
    /// #         Err(Error::unsupported(format!("{}: found {len} bytes, expected none", source.file_name)))
    /// #     }
    /// # }
    /// let case = Case::new(Box::new(Mine), Vec::new()).with_file("mine.bin", vec![1, 2, 3]);
    /// assert_eq!(case.file_name, "mine.bin");
    /// assert_eq!(case.files.read("mine.bin").unwrap(), [1, 2, 3]);
    /// ```
    #[must_use]
    pub fn with_file(mut self, name: &str, content: Vec<u8>) -> Self {
        self.files.insert(name, content);
        name.clone_into(&mut self.file_name);
        self
    }

    /// The same with a config that states inputs and outputs.
    ///
    /// # Examples
    /// ```
    /// # use inferlay_backend_sdk::{*, conformance::*};
    /// # struct Mine;
    /// # impl Backend for Mine {
    /// #     fn name(&self) -> &str { "mine" }
    /// #     fn version(&self) -> &str { "1" }
    /// #     fn file_names(&self) -> &[&str] { &["mine.bin"] }
    /// #     fn load(&self, source: &ModelSource<'_>) -> Result<Box<dyn Model>, Error> {
    /// #         let len = source.files.read(source.file_name)?.len();
    /// #         Err(Error::unsupported(format!("{}: found {len} bytes, expected none", source.file_name)))
    /// #     }
    /// # }
    /// let config = Signature { batches: true, ..Signature::default() };
    /// let case = Case::new(Box::new(Mine), Vec::new()).with_config(config);
    /// assert!(case.config.batches);
    /// ```
    #[must_use]
    pub fn with_config(mut self, config: Signature) -> Self {
        self.config = config;
        self
    }

    /// The same, with floating-point outputs that need not be exact.
    ///
    /// # Examples
    /// ```
    /// # use inferlay_backend_sdk::{*, conformance::*};
    /// # struct Mine;
    /// # impl Backend for Mine {
    /// #     fn name(&self) -> &str { "mine" }
    /// #     fn version(&self) -> &str { "1" }
    /// #     fn file_names(&self) -> &[&str] { &["mine.bin"] }
    /// #     fn load(&self, source: &ModelSource<'_>) -> Result<Box<dyn Model>, Error> {
    /// #         let len = source.files.read(source.file_name)?.len();
    /// #         Err(Error::unsupported(format!("{}: found {len} bytes, expected none", source.file_name)))
    /// #     }
    /// # }
    /// let case = Case::new(Box::new(Mine), Vec::new()).with_tolerance(1e-5);
    /// assert_eq!(case.tolerance, 1e-5);
    /// ```
    #[must_use]
    pub fn with_tolerance(mut self, tolerance: f64) -> Self {
        self.tolerance = tolerance;
        self
    }

    /// Loads the model.
    ///
    /// # Errors
    /// What the backend says.
    ///
    /// # Examples
    /// ```
    /// # use inferlay_backend_sdk::{*, conformance::*};
    /// # struct Mine;
    /// # impl Backend for Mine {
    /// #     fn name(&self) -> &str { "mine" }
    /// #     fn version(&self) -> &str { "1" }
    /// #     fn file_names(&self) -> &[&str] { &["mine.bin"] }
    /// #     fn load(&self, source: &ModelSource<'_>) -> Result<Box<dyn Model>, Error> {
    /// #         let len = source.files.read(source.file_name)?.len();
    /// #         Err(Error::unsupported(format!("{}: found {len} bytes, expected none", source.file_name)))
    /// #     }
    /// # }
    /// // `Mine` takes no bytes at all.
    /// let case = Case::new(Box::new(Mine), Vec::new()).with_file("mine.bin", vec![1, 2, 3]);
    /// let error = case.load().err().expect("it takes no bytes");
    /// assert_eq!(error.message(), "mine.bin: found 3 bytes, expected none");
    /// ```
    pub fn load(&self) -> Result<Box<dyn Model>, Error> {
        self.load_from(&self.file_name, &self.files)
    }

    /// Loads another file, or the same from other files.
    ///
    /// # Errors
    /// What the backend says.
    ///
    /// # Examples
    /// ```
    /// # use inferlay_backend_sdk::{*, conformance::*};
    /// # struct Mine;
    /// # impl Backend for Mine {
    /// #     fn name(&self) -> &str { "mine" }
    /// #     fn version(&self) -> &str { "1" }
    /// #     fn file_names(&self) -> &[&str] { &["mine.bin"] }
    /// #     fn load(&self, source: &ModelSource<'_>) -> Result<Box<dyn Model>, Error> {
    /// #         let len = source.files.read(source.file_name)?.len();
    /// #         Err(Error::unsupported(format!("{}: found {len} bytes, expected none", source.file_name)))
    /// #     }
    /// # }
    /// let case = Case::new(Box::new(Mine), Vec::new()).with_file("mine.bin", vec![1, 2, 3]);
    /// let error = case.load_from("missing.bin", &case.files).err().expect("there is no such file");
    /// assert_eq!(error.kind(), ErrorKind::NotFound);
    /// ```
    pub fn load_from(&self, file_name: &str, files: &MemoryFiles) -> Result<Box<dyn Model>, Error> {
        self.backend.load(&ModelSource {
            name: "conformance",
            version: 1,
            file_name,
            files,
            config: &self.config,
            batch_size_max: self.batch_size_max,
            parameters: &self.parameters,
            config_json: "",
            host: &TestHost,
        })
    }
}

/// An instance with one thread on the processor, which every backend must offer.
pub(super) fn instance(model: &dyn Model, index: usize) -> Result<Box<dyn Instance>, String> {
    let spec = InstanceSpec { index, device: Device::Cpu, threads_max: 1 };
    model.instance(&spec).map_err(|error| format!("instance {index}: {error}"))
}
