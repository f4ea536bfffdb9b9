//! Inputs and outputs of which the first dim is not the rows of a batch, as a config asks for them. Pure; any thread.
//!
//! ```text
//!   requests   [1, 3] a b c          [2, 2] d e f g
//!   flat       [7]    a b c d e f g                   an input: one after the other, whatever their shapes
//!   made       [2]    3 7                             an input: what the others are like, told by the batch itself
//!   scattered  [7]    A B C | D E F G                 an output: cut by the shapes of an input
//! ```

use crate::json::Json;
use crate::{ModelSource, TensorSpec};
use std::collections::BTreeSet;

/// The names of inputs and outputs that a batch does not have by rows, as the config of a model says: whether the model
/// batches does not depend on them, and their first dim says nothing of the rows.
///
/// # Examples
/// ```
/// use inferlay_backend_sdk::Ragged;
/// let config = r#"{"input": [{"name": "x", "allow_ragged_batch": true}, {"name": "z"}],
///     "batch_input": [{"kind": "BATCH_ELEMENT_COUNT", "target_name": ["n"], "source_input": ["x"]}],
///     "batch_output": [{"target_name": ["y"], "source_input": ["x"]}]}"#;
/// let ragged = Ragged::read(config);
/// assert!(ragged.flat.contains("x") && ragged.made.contains("n") && ragged.scattered.contains("y"));
/// assert!(ragged.has_input("n") && !ragged.has_input("z"));
/// ```
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Ragged {
    /// Inputs that are one dim, with the elements of all requests: `allow_ragged_batch`.
    pub flat: BTreeSet<String>,
    /// Inputs that the batch makes: `batch_input`.
    pub made: BTreeSet<String>,
    /// Outputs that are handed out by the shape of an input: `batch_output`. They may have any shape of as many elements.
    pub scattered: BTreeSet<String>,
}

impl Ragged {
    /// What a config says, given as JSON; nothing, if it is none.
    ///
    /// # Examples
    /// ```
    /// use inferlay_backend_sdk::Ragged;
    /// assert!(Ragged::read("").is_empty());
    /// assert!(Ragged::read(r#"{"input": [{"name": "x", "dims": [-1]}]}"#).is_empty());
    /// ```
    pub fn read(config_json: &str) -> Self {
        let config = Json::read(config_json);
        let targets = |key: &str| {
            let names = config.at(key).items().iter().flat_map(|batch| batch.at("target_name").items());
            names.filter_map(Json::text).map(str::to_owned).collect()
        };
        let is_flat = |input: &&Json| *input.at("allow_ragged_batch") == Json::True;
        let flat = config.at("input").items().iter().filter(is_flat);
        Ragged {
            flat: flat.filter_map(|input| input.at("name").text()).map(str::to_owned).collect(),
            made: targets("batch_input"),
            scattered: targets("batch_output"),
        }
    }

    /// Whether everything is by rows.
    ///
    /// # Examples
    /// ```
    /// use inferlay_backend_sdk::Ragged;
    /// assert!(Ragged::default().is_empty());
    /// ```
    pub fn is_empty(&self) -> bool {
        self.flat.is_empty() && self.made.is_empty() && self.scattered.is_empty()
    }

    /// Whether this input is not by rows.
    ///
    /// # Examples
    /// ```
    /// use inferlay_backend_sdk::Ragged;
    /// let ragged = Ragged { flat: ["x".to_owned()].into(), made: ["n".to_owned()].into(), ..Ragged::default() };
    /// assert_eq!(["x", "n", "z"].map(|input| ragged.has_input(input)), [true, true, false]);
    /// ```
    pub fn has_input(&self, name: &str) -> bool {
        self.flat.contains(name) || self.made.contains(name)
    }

    /// Whether this output is not by rows.
    ///
    /// # Examples
    /// ```
    /// use inferlay_backend_sdk::Ragged;
    /// let ragged = Ragged { scattered: ["y".to_owned()].into(), ..Ragged::default() };
    /// assert_eq!(["y", "z"].map(|output| ragged.has_output(output)), [true, false]);
    /// ```
    pub fn has_output(&self, name: &str) -> bool {
        self.scattered.contains(name)
    }

    /// Of these inputs and outputs those that are by rows: whether a model batches is to be seen by them.
    ///
    /// # Examples
    /// ```
    /// use inferlay_backend_sdk::{DataType, Ragged, TensorSpec};
    /// let spec = |name: &str| TensorSpec { name: name.to_owned(), dtype: DataType::Fp32, dims: None, optional: false };
    /// let ragged = Ragged { flat: ["x".to_owned()].into(), scattered: ["y".to_owned()].into(), ..Ragged::default() };
    /// let (inputs, outputs) = ([spec("x"), spec("z")], [spec("y"), spec("x")]);
    /// let names: Vec<_> = ragged.by_rows(&inputs, &outputs).map(|spec| &*spec.name).collect();
    /// assert_eq!(names, ["z", "x"]);
    /// ```
    pub fn by_rows<'a>(
        &'a self,
        inputs: &'a [TensorSpec],
        outputs: &'a [TensorSpec],
    ) -> impl Iterator<Item = &'a TensorSpec> {
        let inputs = inputs.iter().filter(|spec| !self.has_input(&spec.name));
        inputs.chain(outputs.iter().filter(|spec| !self.has_output(&spec.name)))
    }

    /// Whether the name that the model gives to the first dim of an input is to be believed. `firsts` are the names of
    /// the first dims of all inputs by their names. Exporters give one name to all first dims, which in a ragged batch
    /// are of different sizes: a name that inputs of different kinds bear says nothing of those that are not by rows.
    ///
    /// # Examples
    /// ```
    /// use inferlay_backend_sdk::Ragged;
    /// let ragged = Ragged { flat: ["x".to_owned()].into(), made: ["n".to_owned()].into(), ..Ragged::default() };
    /// let firsts = [("x", Some("batch")), ("n", Some("batch")), ("z", Some("batch"))];
    /// assert_eq!(["x", "n", "z"].map(|input| ragged.believes(input, &firsts)), [false, false, true]);
    /// assert!(ragged.believes("x", &[("x", Some("words")), ("n", Some("requests"))]));
    /// ```
    pub fn believes(&self, input: &str, firsts: &[(&str, Option<&str>)]) -> bool {
        let own = firsts.iter().find(|(name, _)| *name == input).and_then(|(_, first)| *first);
        // Each of those that are made counts something else.
        let differs = |other: &str| match (self.flat.contains(input), self.made.contains(input)) {
            (_, true) => other != input,
            (flat, false) => flat != self.flat.contains(other) || self.made.contains(other),
        };
        let is_by_rows = !self.has_input(input);
        is_by_rows || !firsts.iter().any(|(other, first)| first.is_some() && *first == own && differs(other))
    }
}

impl ModelSource<'_> {
    /// The inputs and outputs that a batch does not have by rows, as [`ModelSource::config_json`] says.
    ///
    /// # Examples
    /// ```
    /// use inferlay_backend_sdk::{Error, ModelSource, Signature};
    /// /// Whether each input and output that is by rows begins with a dim that varies.
    /// fn batches(source: &ModelSource<'_>, own: &Signature) -> bool {
    ///     let ragged = source.ragged();
    ///     let mut by_rows = ragged.by_rows(&own.inputs, &own.outputs);
    ///     by_rows.all(|spec| spec.dims.as_ref().is_some_and(|dims| dims.first() == Some(&-1)))
    /// }
    /// # #[cfg(feature = "conformance")] {
    /// # use inferlay_backend_sdk::{DataType, TensorSpec, conformance::{MemoryFiles, TestHost}};
    /// # let x = TensorSpec { name: "x".into(), dtype: DataType::Fp32, dims: Some(vec![2]), optional: false };
    /// # let own = Signature { inputs: vec![x], ..Signature::default() };
    /// # let (files, parameters) = (MemoryFiles::default(), Default::default());
    /// # let source = |config_json| batches(&ModelSource {
    /// #     name: "m", version: 1, file_name: "", files: &files, config: &own, batch_size_max: None,
    /// #     parameters: &parameters, config_json, host: &TestHost,
    /// # }, &own);
    /// # assert!(!source(""));
    /// # assert!(source(r#"{"input": [{"name": "x", "allow_ragged_batch": true}]}"#));
    /// # }
    /// ```
    pub fn ragged(&self) -> Ragged {
        Ragged::read(self.config_json)
    }
}
