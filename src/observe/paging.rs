//! What paging has done on one device: models that were loaded when they were asked for, and evicted to make room.

/// The counts of one device, as they are shown by `inferlay_paging_*`; sums since the server started.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
#[allow(dead_code, reason = "whoever pages fills it; a server that does not page has none")]
pub(crate) struct PagingCounts {
    /// `host`, or the name of a device.
    pub(crate) device: String,
    /// Models that were loaded because a request asked for them.
    pub(crate) loads: u64,
    /// Models that were evicted to make room.
    pub(crate) evictions: u64,
    /// Requests that found their model there.
    pub(crate) hits: u64,
    /// Requests that waited until their model was there.
    pub(crate) waits: u64,
    /// Loads of a model that was evicted only just before.
    pub(crate) thrashes: u64,
    /// Bytes that models use or have reserved now.
    pub(crate) bytes_used: u64,
    /// The most bytes that they may use.
    pub(crate) bytes_max: u64,
}
