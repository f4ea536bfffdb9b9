//! The messenger: one thread, started on first need, that runs callbacks which their answerer must not run.
//!
//! Answers given by the timekeeper, by a cancel, by a leading caller or by whoever stops the server come here. A slow
//! callback delays other callbacks, never a deadline.

use super::answer;
use super::task::{Outcome, Ticket};
use crate::sync::{Callback, Doorbell, Mutex, thread};
use std::collections::VecDeque;
use std::sync::Arc;

/// The service.
pub(crate) struct Messenger {
    desk: Arc<Desk>,
}

struct Desk {
    state: Mutex<State>,
    bell: Doorbell,
}

#[derive(Default)]
struct State {
    letters: VecDeque<(Callback<Outcome>, Ticket)>,
    is_stopping: bool,
    thread: Option<thread::JoinHandle<()>>,
}

impl Messenger {
    pub(crate) fn new() -> Self {
        Messenger { desk: Arc::new(Desk { state: Mutex::new(State::default()), bell: Doorbell::new() }) }
    }

    /// Has `callback` called with the answer of `ticket`, soon.
    pub(crate) fn post(&self, callback: Callback<Outcome>, ticket: Ticket) {
        let mut state = self.desk.state.lock();
        if state.thread.is_none() && !state.is_stopping {
            let desk = self.desk.clone();
            state.thread = thread::spawn("inferlay-calls", move || desk.run()).ok();
        }
        let runs = state.thread.is_some();
        if runs {
            state.letters.push_back((callback, ticket));
        }
        drop(state);
        if runs {
            self.desk.bell.ring();
        }
        // Without a thread the callback is dropped, uncalled, with what it captured: the server has stopped.
    }

    /// Runs what was posted, then ends the thread.
    pub(crate) fn stop(&self) {
        let thread = {
            let mut state = self.desk.state.lock();
            state.is_stopping = true;
            state.thread.take()
        };
        self.desk.bell.ring();
        thread::join(thread);
    }
}

impl Desk {
    fn run(&self) {
        loop {
            let (letter, is_stopping) = {
                let mut state = self.state.lock();
                (state.letters.pop_front(), state.is_stopping)
            };
            match letter {
                Some((callback, ticket)) => answer::call(callback, ticket),
                None if is_stopping => return,
                None => self.bell.wait(0),
            }
        }
    }
}
