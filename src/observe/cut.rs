//! The reasons for which a batch is closed: decided by the batch policy, counted and traced here.

/// Why a batch was closed. The names are those of the statistics.
///
/// # Examples
/// ```
/// # use inferlay::{Request, ServerHandle, Tensor};
/// use inferlay::Cut;
/// # let config = b"{backend: 'null', input: {name: x, data_type: FP32, dims: 2}}".to_vec();
/// # let server = ServerHandle::builder().model_in_memory("echo", [("config.yaml", config)]).strict().start()?;
/// # let model = server.model("echo")?;
/// // The model's outputs are its inputs.
/// let x = Tensor::from_vec(vec![1.0f32, 2.0], [2])?;
/// let response = model.infer(Request::new().input("x", x).traced())?;
/// assert_eq!(response.trace().and_then(|trace| trace.cut), Some(Cut::Single));
/// # Ok::<(), inferlay::Error>(())
/// ```
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
#[non_exhaustive]
pub enum Cut {
    /// The model does not batch, or its batching is off.
    Single,
    /// `max_batch_size` rows were waiting.
    Full,
    /// A preferred size was reached.
    Preferred,
    /// The oldest request had waited for the longest delay.
    Delay,
    /// An instance was free and no delay is configured.
    Ready,
    /// The server stops.
    Drain,
}

impl Cut {
    /// Every reason, in the order of their numbers.
    pub(crate) const ALL: [Cut; 6] = [Cut::Single, Cut::Full, Cut::Preferred, Cut::Delay, Cut::Ready, Cut::Drain];

    /// The name in statistics and traces.
    ///
    /// # Examples
    /// ```
    /// assert_eq!(inferlay::Cut::Preferred.name(), "preferred");
    /// ```
    pub fn name(self) -> &'static str {
        match self {
            Cut::Single => "single",
            Cut::Full => "full",
            Cut::Preferred => "preferred",
            Cut::Delay => "delay",
            Cut::Ready => "ready",
            Cut::Drain => "drain",
        }
    }
}
