//! The threads that one execution may spread over: one pool per size, shared by all models, gone with its last user.

use inferlay_backend_sdk::Error;
use std::collections::BTreeMap;
use std::sync::{Arc, Mutex, PoisonError, Weak};
use tract_linalg::multithread::{Executor, multithread_tract_scope};

static POOLS: Mutex<BTreeMap<usize, Weak<Pool>>> = Mutex::new(BTreeMap::new());

/// A number of threads.
pub(crate) struct Pool(Executor);

impl Pool {
    /// The pool of this many threads; for one thread or none, the calling thread itself.
    ///
    /// # Errors
    /// When the threads cannot be started.
    pub(crate) fn of(threads: usize) -> Result<Arc<Pool>, Error> {
        let mut pools = POOLS.lock().unwrap_or_else(PoisonError::into_inner);
        if let Some(pool) = pools.get(&threads).and_then(Weak::upgrade) {
            return Ok(pool);
        }
        let executor = match threads {
            0 | 1 => Executor::SingleThread,
            _ => crate::refusal::contained(|| Ok(Executor::multithread_with_name(threads, "inferlay-tract")))?,
        };
        let pool = Arc::new(Pool(executor));
        pools.insert(threads, Arc::downgrade(&pool));
        Ok(pool)
    }

    /// Runs `work`, whose large products spread over the pool.
    pub(crate) fn run<T>(&self, work: impl FnOnce() -> T) -> T {
        multithread_tract_scope(self.0.clone(), work)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_pool_is_shared_while_it_is_used() {
        let (a, b, c) = (Pool::of(2).unwrap(), Pool::of(2).unwrap(), Pool::of(1).unwrap());
        assert!(Arc::ptr_eq(&a, &b) && !Arc::ptr_eq(&a, &c));
        assert!(matches!(c.0, Executor::SingleThread));
    }
}
