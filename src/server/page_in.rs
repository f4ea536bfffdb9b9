//! What a lane that dozes is promised when it asks: a job that brings its version back into memory.
//!
//! Invariant: a lane that asked gets instances, or those who wait there an answer: also when the job never ran, because the
//! server stops or the system gives no thread, or when it panicked.
//!
//! The lane holds the demand, so the demand holds no lane. Asked on the thread that submits; the job runs on a loading thread.

use super::Inner;
use super::catalog::Entry;
use super::jobs::Then;
use super::load;
use super::served::{Served, Weights};
use crate::config::ModelConfig;
use crate::flow::{Demand, Lane};
use inferlay_backend_sdk::{Error, ErrorKind};
use std::sync::{Arc, Weak};

/// Brings a version back into memory when its lane asks.
struct PageIn {
    inner: Weak<Inner>,
    entry: Weak<Entry>,
    lane: Weak<Lane>,
    weights: Weak<Weights>,
    config: Arc<ModelConfig>,
}

impl PageIn {
    fn served(&self) -> Option<Served> {
        let (lane, weights) = (self.lane.upgrade()?, self.weights.upgrade()?);
        Some(Served { lane, weights, config: self.config.clone(), line: None })
    }
}

impl Demand for PageIn {
    fn wanted(&self) {
        let (Some(inner), Some(entry)) = (self.inner.upgrade(), self.entry.upgrade()) else { return };
        let Some(served) = self.served() else { return };
        let (job, name, mut promise) = (inner.clone(), entry.name().to_owned(), Promise::to(served));
        inner.jobs.push_patient(&name, move || {
            let then = job.page_in(&entry, &promise.served);
            promise.is_kept = then == Then::Over;
            then
        });
    }
}

const NOT_RUN: Error = Error::fixed(
    ErrorKind::Unavailable,
    "the model was not brought into memory: the server stops, or the system gave no thread for it, or it panicked",
);

/// What a lane that asked is owed: instances, or an answer to those who wait. Dropped before it is kept, it answers them.
struct Promise {
    served: Served,
    is_kept: bool,
}

impl Promise {
    fn to(served: Served) -> Self {
        Promise { served, is_kept: false }
    }
}

impl Drop for Promise {
    fn drop(&mut self) {
        if !self.is_kept {
            self.served.lane.stay_dozing(&NOT_RUN);
        }
    }
}

impl Inner {
    /// The lane of a version that is not in memory, and asks when it is asked.
    ///
    /// # Errors
    /// As for [`load::dormant`].
    pub(super) fn dozing(
        self: &Arc<Self>,
        entry: &Arc<Entry>,
        named: (Arc<ModelConfig>, u64),
        weights: Arc<Weights>,
    ) -> Result<Served, Error> {
        let served = load::dormant(&self.services, &self.options, named, weights)?;
        let dozes = served.lane.doze(&self.demand(entry, &served)).is_some();
        debug_assert!(dozes, "a lane without instances can always doze");
        Ok(served)
    }

    /// What `served` asks when it is wanted and not in memory.
    pub(super) fn demand(self: &Arc<Self>, entry: &Arc<Entry>, served: &Served) -> Arc<dyn Demand> {
        Arc::new(PageIn {
            inner: Arc::downgrade(self),
            entry: Arc::downgrade(entry),
            lane: Arc::downgrade(&served.lane),
            weights: Arc::downgrade(&served.weights),
            config: served.config.clone(),
        })
    }
}
