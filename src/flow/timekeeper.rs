//! The timekeeper: one thread, started by the first deadline or long line of answers in order, that answers what is late.
//!
//! It owns the timer wheel under a lock of its own and answers outside of it. It never runs a callback: those go to the
//! messenger. Where answers are kept in order it goes on with a long line of them, some at a time. It does wake futures
//! (`Waker::wake` is code of the user's runtime; a panic there is contained), and it may write to the log. A request
//! without a deadline comes here only in such a line.

use super::answer::{self, On};
use super::lane::Lane;
use super::overdue::{self, Tickets};
use super::task::Ticket;
use super::timer::{Key, Wheel};
use crate::sync::{Clock, Doorbell, Mutex, thread};
use std::collections::VecDeque;
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
    /// Lanes whose order it moves on.
    lines: VecDeque<Arc<Lane>>,
    is_stopping: bool,
    thread: Option<thread::JoinHandle<()>>,
}

impl Timekeeper {
    pub(crate) fn new(clock: Clock) -> Self {
        let (wheel, lines) = (Wheel::new(), VecDeque::new());
        let state = State { wheel, wakes: u64::MAX, lines, is_stopping: false, thread: None };
        Timekeeper { keeper: Arc::new(Keeper { state: Mutex::new(state), bell: Arc::new(Doorbell::new()), clock }) }
    }

    /// Watches over `timed` from now on.
    pub(crate) fn arm(&self, at: u64, timed: Timed) -> Key {
        let mut state = self.keeper.state.lock();
        // Without the thread deadlines are late, never wrong: the leader checks them too.
        self.keeper.start(&mut state);
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

    /// Lets answers of a lane out that have their turn; the caller, who was at it, is relieved. After a stop he is not, and
    /// goes on himself.
    pub(super) fn go_on_with(&self, lane: &Arc<Lane>) {
        let mut state = self.keeper.state.lock();
        self.keeper.start(&mut state);
        if state.thread.is_some() {
            state.lines.push_back(lane.clone());
            drop(state);
            return self.keeper.bell.ring();
        }
        drop(state);
        while moves_on(lane) {}
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
    fn start(self: &Arc<Self>, state: &mut State) {
        if state.thread.is_none() && !state.is_stopping {
            let keeper = self.clone();
            state.thread = thread::spawn("inferlay-time", move || keeper.run()).ok();
        }
    }

    fn run(&self) {
        let mut due = Vec::new();
        loop {
            let (next, line) = {
                let mut state = self.state.lock();
                let line = state.lines.pop_front();
                if state.is_stopping && line.is_none() {
                    return;
                }
                state.wheel.advance(self.clock.now(), |timed| due.push(timed));
                let next = state.wheel.next();
                state.wakes = next.unwrap_or(u64::MAX);
                (next, line)
            };
            let fired = !due.is_empty() || line.is_some();
            due.drain(..).for_each(Timed::fire);
            if let Some(lane) = line.filter(moves_on) {
                self.state.lock().lines.push_back(lane);
            }
            if !fired {
                self.clock.wait(&self.bell, next);
            }
        }
    }
}

/// Lets some answers out. Whether there may be more.
fn moves_on(lane: &Arc<Lane>) -> bool {
    lane.order.as_ref().is_some_and(|order| order.move_on(&lane.services))
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
