//! The timekeeper: one thread, started by the first deadline, that answers what is late.
//!
//! It owns the timer wheel under a lock of its own and answers outside of it. It never runs a callback: those go to the
//! messenger. It does wake futures (`Waker::wake` is code of the user's runtime; a panic there is contained), and it may
//! write to the log. Requests without a deadline never come here.

use super::answer::{self, On};
use super::lane::Lane;
use super::overdue::{self, Tickets};
use super::task::Ticket;
use super::timer::{Key, Wheel};
use crate::sync::{Clock, Doorbell, Mutex, thread};
use std::sync::{Arc, Weak};

/// What may be late.
pub(crate) enum Timed {
    /// The answer to a request.
    Deadline(Ticket),
    /// A request that waits.
    Wait(Ticket),
    /// An execution on instance `index`, the `serial`-th of it.
    Execution { lane: Weak<Lane>, index: usize, serial: u64 },
    /// The answers to requests of one batch, which its backend has taken.
    Taken { lane: Weak<Lane>, tickets: Weak<Tickets> },
}

/// The service.
pub(crate) struct Timekeeper {
    keeper: Arc<Keeper>,
}

struct Keeper {
    state: Mutex<State>,
    bell: Arc<Doorbell>,
    clock: Clock,
}

struct State {
    wheel: Wheel<Timed>,
    /// When the thread wakes by itself.
    wakes: u64,
    is_stopping: bool,
    thread: Option<thread::JoinHandle<()>>,
}

impl Timekeeper {
    pub(crate) fn new(clock: Clock) -> Self {
        let state = State { wheel: Wheel::new(), wakes: u64::MAX, is_stopping: false, thread: None };
        Timekeeper { keeper: Arc::new(Keeper { state: Mutex::new(state), bell: Arc::new(Doorbell::new()), clock }) }
    }

    /// Watches over `timed` from now on.
    pub(crate) fn arm(&self, at: u64, timed: Timed) -> Key {
        let mut state = self.keeper.state.lock();
        if state.thread.is_none() && !state.is_stopping {
            let keeper = self.keeper.clone();
            // Without the thread deadlines are late, never wrong: the leader checks them too.
            state.thread = thread::spawn("inferlay-time", move || keeper.run()).ok();
        }
        let key = state.wheel.insert(at, timed);
        let rings = at < state.wakes;
        if rings {
            state.wakes = at;
        }
        drop(state);
        if rings {
            self.keeper.bell.ring();
        }
        key
    }

    /// No longer watches.
    pub(crate) fn disarm(&self, key: Key) {
        let timed = self.keeper.state.lock().wheel.remove(key);
        // Outside of the lock: it may hold the last count of a task.
        drop(timed);
    }

    /// Fires what is late, for tests without the thread.
    #[cfg(all(test, loom))]
    pub(crate) fn fire(&self) {
        let mut due = Vec::new();
        self.keeper.state.lock().wheel.advance(self.keeper.clock.now(), |timed| due.push(timed));
        due.into_iter().for_each(Timed::fire);
    }

    /// Ends the thread.
    pub(crate) fn stop(&self) {
        let thread = {
            let mut state = self.keeper.state.lock();
            state.is_stopping = true;
            state.thread.take()
        };
        self.keeper.bell.ring();
        thread::join(thread);
    }
}

impl Keeper {
    fn run(&self) {
        let mut due = Vec::new();
        loop {
            let next = {
                let mut state = self.state.lock();
                if state.is_stopping {
                    return;
                }
                state.wheel.advance(self.clock.now(), |timed| due.push(timed));
                let next = state.wheel.next();
                state.wakes = next.unwrap_or(u64::MAX);
                next
            };
            let fired = !due.is_empty();
            due.drain(..).for_each(Timed::fire);
            if !fired {
                self.clock.wait(&self.bell, next);
            }
        }
    }
}

impl Timed {
    fn fire(self) {
        match self {
            Timed::Deadline(ticket) => answer::expire(&ticket, On::Service),
            Timed::Wait(ticket) => answer::outwait(&ticket, On::Service),
            Timed::Execution { lane, index, serial } => {
                if let Some(lane) = lane.upgrade() {
                    lane.execution_is_late(index, serial);
                }
            }
            Timed::Taken { lane, tickets } => overdue::fire(&lane, &tickets),
        }
    }
}
