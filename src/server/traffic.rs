//! Several versions of a model at once, as an application directs them while the server runs: labels, shares of the
//! traffic, and a shadow. What it comes to for a request is decided in `route`. A config may say the same, which then
//! counts from the load that reads it, and again whenever it says something else (`catalog`).

use super::catalog::Must;
use super::route::{self, Choice, Plan};
use super::{ModelHandle, ServerHandle};
use inferlay_backend_sdk::Error;
use std::collections::BTreeMap;

/// No version need be there.
const NOBODY: (&[u64], Must) = (&[], Must::BeKnown);

/// Labels.
impl ServerHandle {
    /// Puts a label at a version, such as `stable` or `canary`: from now on it can be asked for by the label. A label that was
    /// at another version moves, and every handle on it follows; requests on their way finish where they are.
    ///
    /// The version must serve, so that a label that is moved never leads from a version that answers to one that does not.
    /// When the version is unloaded later, the label stays, and requests by it are refused until the version is back or the
    /// label moves.
    ///
    /// # Errors
    /// [`crate::ErrorKind::NotFound`] for a model or version that is not there, [`crate::ErrorKind::Unavailable`] for a
    /// version that does not serve, [`crate::ErrorKind::InvalidArg`] for a label that is not of 1 to 64 letters, digits, `_`,
    /// `-` and `.`, with one letter at least.
    ///
    /// # Examples
    /// ```
    /// # use inferlay::{LoadOptions, ServerHandle};
    /// # let server = ServerHandle::builder().explicit([""; 0]).start()?;
    /// # let config = "{backend: 'null', version_policy: all, input: {name: x, data_type: FP32, dims: 1}}";
    /// # let files = [("1/weights.bin", vec![1]), ("2/weights.bin", vec![2])];
    /// # server.load_model_with("echo", LoadOptions::new().config(config).files(files)).wait()?;
    /// server.set_label("echo", "stable", 1)?;
    /// server.set_label("echo", "canary", 2)?;
    /// let stable = server.model_labelled("echo", "stable")?;
    /// assert_eq!(stable.version()?, 1);
    /// server.set_label("echo", "stable", 2)?;
    /// assert_eq!(stable.version()?, 2);
    /// # Ok::<(), inferlay::Error>(())
    /// ```
    pub fn set_label(&self, model: &str, label: &str, version: u64) -> Result<(), Error> {
        route::check_label(label)?;
        self.say(model, (&[version], Must::Serve), |plan| {
            plan.labels.insert(label.to_owned(), version);
        })
    }

    /// Takes a label away.
    ///
    /// # Errors
    /// [`crate::ErrorKind::NotFound`] for a model or label that is not there.
    ///
    /// # Examples
    /// ```
    /// # use inferlay::{LoadOptions, ServerHandle};
    /// # let server = ServerHandle::builder().explicit([""; 0]).start()?;
    /// # let config = "{backend: 'null', version_policy: all, input: {name: x, data_type: FP32, dims: 1}}";
    /// # let files = [("1/weights.bin", vec![1]), ("2/weights.bin", vec![2])];
    /// # server.load_model_with("echo", LoadOptions::new().config(config).files(files)).wait()?;
    /// server.set_label("echo", "canary", 2)?;
    /// server.remove_label("echo", "canary")?;
    /// assert!(server.model_labelled("echo", "canary").is_err());
    /// # Ok::<(), inferlay::Error>(())
    /// ```
    pub fn remove_label(&self, model: &str, label: &str) -> Result<(), Error> {
        let entry = self.inner.catalog.entry(model)?;
        let mut was_there = false;
        self.say(model, NOBODY, |plan| was_there = plan.labels.remove(label).is_some())?;
        // The course of an unknown label says which are known.
        if was_there { Ok(()) } else { entry.course(&Choice::Label(label.into())).map(drop) }
    }

    /// The labels of a model, and the versions that they are at.
    ///
    /// # Errors
    /// [`crate::ErrorKind::NotFound`] for a model that is not there.
    ///
    /// # Examples
    /// ```
    /// # use inferlay::{LoadOptions, ServerHandle};
    /// # let server = ServerHandle::builder().explicit([""; 0]).start()?;
    /// # let config = "{backend: 'null', version_policy: all, input: {name: x, data_type: FP32, dims: 1}}";
    /// # let files = [("1/weights.bin", vec![1]), ("2/weights.bin", vec![2])];
    /// # server.load_model_with("echo", LoadOptions::new().config(config).files(files)).wait()?;
    /// server.set_label("echo", "canary", 2)?;
    /// assert_eq!(server.labels("echo")?.into_iter().collect::<Vec<_>>(), [("canary".to_owned(), 2)]);
    /// # Ok::<(), inferlay::Error>(())
    /// ```
    pub fn labels(&self, model: &str) -> Result<BTreeMap<String, u64>, Error> {
        Ok(self.inner.catalog.entry(model)?.plan().labels)
    }

    /// A handle on the version that a label is at, now and whenever it moves.
    ///
    /// # Errors
    /// As for [`ServerHandle::model`]; [`crate::ErrorKind::NotFound`] for a label that is not there, with those that are.
    ///
    /// # Examples
    /// ```
    /// # use inferlay::{LoadOptions, Request, ServerHandle, Tensor};
    /// # let server = ServerHandle::builder().explicit([""; 0]).start()?;
    /// # let config = "{backend: 'null', version_policy: all, input: {name: x, data_type: FP32, dims: 1}}";
    /// # let files = [("1/weights.bin", vec![1]), ("2/weights.bin", vec![2])];
    /// # server.load_model_with("echo", LoadOptions::new().config(config).files(files)).wait()?;
    /// server.set_label("echo", "stable", 1)?;
    /// let request = Request::new().input("x", Tensor::from_vec(vec![1.0f32], [1])?);
    /// assert_eq!(server.model_labelled("echo", "stable")?.infer(request)?.version(), 1);
    /// let error = server.model_labelled("echo", "stabel").unwrap_err();
    /// assert!(error.message().ends_with("label 'stabel' not found; known: stable"));
    /// # Ok::<(), inferlay::Error>(())
    /// ```
    pub fn model_labelled(&self, model: &str, label: &str) -> Result<ModelHandle, Error> {
        ModelHandle::new(self.inner.clone(), self.inner.catalog.entry(model)?, Choice::Label(label.into()))
    }
}

/// Traffic.
impl ServerHandle {
    /// Splits the requests that name neither version nor label between versions, by weights.
    ///
    /// Over every run of as many requests as the weights come to, each version gets exactly as many as its weight, evenly
    /// spread; requests with the same correlation id go to the same version. A version that does not serve gets none, and
    /// its share goes to the others in proportion; if none of them serves, requests go to the newest version that does.
    /// Which version has answered, [`crate::Response::version`] tells; what each has done, [`ServerHandle::statistics`].
    ///
    /// # Errors
    /// [`crate::ErrorKind::NotFound`] for a model or version that is not there; [`crate::ErrorKind::InvalidArg`] for a
    /// version that is there twice, weights of which none is more than 0, and weights that come to more than 10000 after
    /// what divides them all was taken out.
    ///
    /// # Examples
    /// ```
    /// # use inferlay::{LoadOptions, Request, ServerHandle, Tensor};
    /// # let server = ServerHandle::builder().explicit([""; 0]).start()?;
    /// # let config = "{backend: 'null', version_policy: all, input: {name: x, data_type: FP32, dims: 1}}";
    /// # let files = [("1/weights.bin", vec![1]), ("2/weights.bin", vec![2])];
    /// # server.load_model_with("echo", LoadOptions::new().config(config).files(files)).wait()?;
    /// server.set_traffic("echo", [(1, 90), (2, 10)])?;
    /// let echo = server.model("echo")?;
    /// let mut asked = [0, 0];
    /// for _ in 0..100 {
    ///     let response = echo.infer(Request::new().input("x", Tensor::from_vec(vec![1.0f32], [1])?))?;
    ///     asked[response.version() as usize - 1] += 1;
    /// }
    /// assert_eq!(asked, [90, 10]);
    /// # Ok::<(), inferlay::Error>(())
    /// ```
    pub fn set_traffic(&self, model: &str, traffic: impl IntoIterator<Item = (u64, u32)>) -> Result<(), Error> {
        let traffic: Vec<_> = traffic.into_iter().collect();
        route::check_traffic(&traffic)?;
        let versions: Vec<_> = traffic.iter().map(|(version, _)| *version).collect();
        self.say(model, (&versions, Must::BeKnown), |plan| plan.traffic = traffic)
    }

    /// Ends a split: requests that name neither version nor label go to the newest version that serves.
    ///
    /// # Errors
    /// [`crate::ErrorKind::NotFound`] for a model that is not there.
    ///
    /// # Examples
    /// ```
    /// # use inferlay::{LoadOptions, ServerHandle};
    /// # let server = ServerHandle::builder().explicit([""; 0]).start()?;
    /// # let config = "{backend: 'null', version_policy: all, input: {name: x, data_type: FP32, dims: 1}}";
    /// # let files = [("1/weights.bin", vec![1]), ("2/weights.bin", vec![2])];
    /// # server.load_model_with("echo", LoadOptions::new().config(config).files(files)).wait()?;
    /// server.set_traffic("echo", [(1, 1), (2, 1)])?;
    /// server.clear_traffic("echo")?;
    /// assert!(server.traffic("echo")?.is_empty());
    /// # Ok::<(), inferlay::Error>(())
    /// ```
    pub fn clear_traffic(&self, model: &str) -> Result<(), Error> {
        self.say(model, NOBODY, |plan| plan.traffic.clear())
    }

    /// The versions between which traffic is split, with their weights; empty without a split.
    ///
    /// # Errors
    /// [`crate::ErrorKind::NotFound`] for a model that is not there.
    ///
    /// # Examples
    /// ```
    /// # use inferlay::{LoadOptions, ServerHandle};
    /// # let server = ServerHandle::builder().explicit([""; 0]).start()?;
    /// # let config = "{backend: 'null', version_policy: all, input: {name: x, data_type: FP32, dims: 1}}";
    /// # let files = [("1/weights.bin", vec![1]), ("2/weights.bin", vec![2])];
    /// # server.load_model_with("echo", LoadOptions::new().config(config).files(files)).wait()?;
    /// server.set_traffic("echo", [(1, 90), (2, 10)])?;
    /// assert_eq!(server.traffic("echo")?, [(1, 90), (2, 10)]);
    /// # Ok::<(), inferlay::Error>(())
    /// ```
    pub fn traffic(&self, model: &str) -> Result<Vec<(u64, u32)>, Error> {
        Ok(self.inner.catalog.entry(model)?.plan().traffic)
    }

    /// Makes a version the shadow of the others, or ends that: it gets a copy of every request to the model that another
    /// version answers, and its answers are dropped. Its statistics are kept as of any other version.
    ///
    /// Whoever asks never waits for a shadow and never hears of it. Copies have no deadline but the model's default, and are
    /// not cancelled; inputs that are owned are shared with them, inputs that are lent copied. A shadow that is more than a
    /// few batches behind is left out until it has caught up: `shadow_dropped_count` of its statistics counts that, and
    /// copies of requests that it does not take. As long as another version serves, the shadow gets no requests of its own
    /// but those that ask for it, by number, by label or by a share of the traffic.
    ///
    /// # Errors
    /// [`crate::ErrorKind::NotFound`] for a model or version that is not there.
    ///
    /// # Examples
    /// ```
    /// # use inferlay::{LoadOptions, Request, ServerHandle, Tensor};
    /// # let server = ServerHandle::builder().explicit([""; 0]).start()?;
    /// # let config = "{backend: 'null', version_policy: all, input: {name: x, data_type: FP32, dims: 1}}";
    /// # let files = [("1/weights.bin", vec![1]), ("2/weights.bin", vec![2])];
    /// # server.load_model_with("echo", LoadOptions::new().config(config).files(files)).wait()?;
    /// server.set_shadow("echo", Some(2))?;
    /// let echo = server.model("echo")?;
    /// let response = echo.infer(Request::new().input("x", Tensor::from_vec(vec![1.0f32], [1])?))?;
    /// assert_eq!(response.version(), 1);
    /// let shadow = server.model_version("echo", 2)?;
    /// while shadow.statistics()?.success.count == 0 {
    ///     std::thread::yield_now();
    /// }
    /// # Ok::<(), inferlay::Error>(())
    /// ```
    pub fn set_shadow(&self, model: &str, version: Option<u64>) -> Result<(), Error> {
        self.say(model, (version.as_slice(), Must::BeKnown), |plan| plan.shadow = version)
    }

    /// The version that shadows the others.
    ///
    /// # Errors
    /// [`crate::ErrorKind::NotFound`] for a model that is not there.
    ///
    /// # Examples
    /// ```
    /// # use inferlay::{LoadOptions, ServerHandle};
    /// # let server = ServerHandle::builder().explicit([""; 0]).start()?;
    /// # let config = "{backend: 'null', version_policy: all, input: {name: x, data_type: FP32, dims: 1}}";
    /// # let files = [("1/weights.bin", vec![1]), ("2/weights.bin", vec![2])];
    /// # server.load_model_with("echo", LoadOptions::new().config(config).files(files)).wait()?;
    /// server.set_shadow("echo", Some(2))?;
    /// assert_eq!(server.shadow("echo")?, Some(2));
    /// # Ok::<(), inferlay::Error>(())
    /// ```
    pub fn shadow(&self, model: &str) -> Result<Option<u64>, Error> {
        Ok(self.inner.catalog.entry(model)?.plan().shadow)
    }

    /// Says something about the versions of a model, of which these must be so.
    fn say(&self, model: &str, who: (&[u64], Must), change: impl FnOnce(&mut Plan)) -> Result<(), Error> {
        self.inner.catalog.entry(model)?.say(who, &self.inner.catalog.events, change)
    }
}
