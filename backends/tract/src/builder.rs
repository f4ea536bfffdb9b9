//! Builds plans off the hot path: one thread for the whole process, which lives while there is something to build.
//!
//! Invariants: 1. `running` is true exactly while the thread lives, and it takes the lock to end, so a job is never left
//! behind. 2. No lock is held while a plan is built. 3. A job does not keep its network alive.

use crate::network::Network;
use std::collections::VecDeque;
use std::sync::{Arc, Condvar, Mutex, MutexGuard, PoisonError, Weak};

static QUEUE: Mutex<Queue> = Mutex::new(Queue { jobs: VecDeque::new(), running: false });
static IDLE: Condvar = Condvar::new();

struct Queue {
    jobs: VecDeque<(Weak<Network>, Box<[usize]>)>,
    running: bool,
}

/// Has a plan built for `shapes`; returns at once.
pub(crate) fn submit(network: &Arc<Network>, shapes: &[usize]) {
    let mut queue = lock();
    queue.jobs.push_back((Arc::downgrade(network), shapes.into()));
    if !queue.running {
        let thread = std::thread::Builder::new().name("inferlay-plans".to_owned()).spawn(work);
        queue.running = thread.is_ok();
        if thread.is_err() {
            // The general plan goes on serving; the jobs wait for the next submission.
            IDLE.notify_all();
        }
    }
}

fn work() {
    loop {
        let mut queue = lock();
        let Some((network, shapes)) = queue.jobs.pop_front() else {
            queue.running = false;
            IDLE.notify_all();
            return;
        };
        drop(queue);
        if let Some(network) = network.upgrade() {
            network.put(&shapes, network.build(&shapes));
        }
    }
}

fn lock() -> MutexGuard<'static, Queue> {
    QUEUE.lock().unwrap_or_else(PoisonError::into_inner)
}

/// Waits until nothing is left to build.
#[cfg(test)]
pub(crate) fn settled() {
    drop(IDLE.wait_while(lock(), |queue| queue.running).unwrap_or_else(PoisonError::into_inner));
}
