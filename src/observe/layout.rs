//! By what bounds the histograms of one model are gathered, where its config says so. Pure data.

use super::histogram::{Buckets, Spread};
use std::sync::Arc;

/// From submission to answer.
pub(crate) const REQUEST: &str = "inferlay_request_duration_seconds";
/// From submission to execution.
pub(crate) const QUEUE: &str = "inferlay_queue_duration_seconds";
/// Rows of batches.
pub(crate) const BATCH_ROWS: &str = "inferlay_batch_rows";
/// From submission to the first response.
pub(crate) const FIRST_RESPONSE: &str = "nv_inference_first_response_histogram_ms";

const NS_PER_S: f64 = 1e9;
const NS_PER_MS: f64 = 1e6;

/// Triton's bounds for first responses and some between them.
const FIRST_RESPONSE_MS: [f64; 12] = [1.0, 2.0, 5.0, 10.0, 20.0, 50.0, 100.0, 200.0, 500.0, 1000.0, 2000.0, 5000.0];

/// The bounds that a config chose; `None`: those that there are without it.
#[derive(Clone, Debug, Default)]
pub(crate) struct Layout {
    request: Option<Arc<Buckets>>,
    queue: Option<Arc<Buckets>>,
    first_response: Option<Arc<Buckets>>,
    batch_rows: Option<Arc<[f64]>>,
}

impl Layout {
    /// The metrics whose bounds can be chosen.
    pub(crate) const FAMILIES: [&str; 4] = [FIRST_RESPONSE, REQUEST, QUEUE, BATCH_ROWS];

    /// Chooses bounds, which rise; none at all are those that there are anyway, and so are those of another metric.
    pub(crate) fn choose(&mut self, family: &str, bounds: &[f64]) {
        let buckets = |unit_ns| (!bounds.is_empty()).then(|| Buckets::new(bounds, unit_ns));
        match family {
            REQUEST => self.request = buckets(NS_PER_S),
            QUEUE => self.queue = buckets(NS_PER_S),
            FIRST_RESPONSE => self.first_response = buckets(NS_PER_MS),
            BATCH_ROWS => self.batch_rows = (!bounds.is_empty()).then(|| bounds.into()),
            _ => {}
        }
    }

    pub(super) fn request(&self) -> Option<Spread> {
        self.request.clone().map(Spread::new)
    }

    pub(super) fn queue(&self) -> Option<Spread> {
        self.queue.clone().map(Spread::new)
    }

    pub(super) fn first_response(&self) -> Spread {
        Spread::new(self.first_response.clone().unwrap_or_else(|| Buckets::new(&FIRST_RESPONSE_MS, NS_PER_MS)))
    }

    pub(super) fn batch_rows(&self) -> Option<&[f64]> {
        self.batch_rows.as_deref()
    }
}
