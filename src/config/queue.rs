//! How requests wait. Pure data, any thread.

/// How the requests of one priority wait. It takes the place of the queue's own policy as a whole.
///
/// # Examples
/// ```
/// use inferlay::config::{TimeoutAction, parse};
/// let text = r"
/// dynamic_batching {
///   priority_levels: 2 default_priority_level: 1
///   priority_queue_policy { key: 2 value { timeout_action: DELAY default_timeout_microseconds: 500 max_queue_size: 10 } }
/// }";
/// let batching = parse("config.pbtxt", text)?.dynamic_batching.unwrap_or_default();
/// let policy = &batching.priority_queue_policies[&2];
/// assert_eq!((policy.timeout_action, policy.queue_size_max), (TimeoutAction::Delay, Some(10)));
/// # Ok::<(), inferlay::config::ConfigErrors>(())
/// ```
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct QueuePolicy {
    /// How many requests of this priority may wait; `None`: as many as of those that have no policy of their own.
    pub queue_size_max: Option<usize>,
    /// How long a request may wait, in microseconds, whatever its own deadline; `None`: for ever.
    pub default_timeout_us: Option<u64>,
    /// What happens to a request whose time is up.
    pub timeout_action: TimeoutAction,
    /// Whether a request may state a timeout that is shorter, or one at all where the queue has none
    /// ([`crate::Request::queue_timeout`]).
    pub allow_timeout_override: bool,
}

/// What happens to a request that has waited for too long.
///
/// # Examples
/// ```
/// use inferlay::config::{ModelConfig, TimeoutAction};
/// assert_eq!(ModelConfig::new("a").timeout_action, TimeoutAction::Reject);
/// ```
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
#[non_exhaustive]
pub enum TimeoutAction {
    /// `REJECT`: it fails, with [`crate::ErrorKind::Timeout`].
    #[default]
    Reject,
    /// `DELAY`: it goes behind all of its priority that are in time, and before less urgent ones. It is not rejected; how long
    /// it waits depends on what else comes, so it had better have a deadline.
    Delay,
}
