//! The messenger: one thread, started on first need, that runs callbacks which their answerer must not run.
//!
//! Answers given by the timekeeper, by a cancel, by a leading caller or by whoever stops the server come here. A slow
//! callback delays other callbacks, never a deadline.

use super::answer;
use super::stream::Stream;
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
    /// Rung when the last one who may still post has let go, while a stop waits for that.
    let_go: Doorbell,
}

#[derive(Default)]
struct State {
    letters: VecDeque<Letter>,
    /// How many may still post, or are running callbacks themselves.
    held: usize,
    is_waited_for: bool,
    is_stopping: bool,
    thread: Option<thread::JoinHandle<()>>,
}

/// What is to be called.
enum Letter {
    /// A callback, with the answer of a request.
    Answer(Callback<Outcome>, Ticket),
    /// Responses of a request.
    Stream(Arc<Stream>),
    /// A function that wants no more than a thread of the engine.
    Call(Callback<()>),
}

impl Messenger {
    pub(crate) fn new() -> Self {
        let (bell, let_go) = (Doorbell::new(), Doorbell::new());
        Messenger { desk: Arc::new(Desk { state: Mutex::new(State::default()), bell, let_go }) }
    }

    /// Keeps a stop waiting while the answer lives. For threads that no stop waits for: taken before such a thread wins a
    /// request, so that a stop which did not see it has answered the request before.
    pub(crate) fn hold(&self) -> Held {
        self.desk.state.lock().held += 1;
        Held(self.desk.clone())
    }

    /// Has `callback` called with the answer of `ticket`, soon.
    pub(crate) fn post(&self, callback: Callback<Outcome>, ticket: Ticket) {
        self.put(Letter::Answer(callback, ticket));
    }

    /// Has the listener of `stream` called with what has come, soon.
    pub(crate) fn post_stream(&self, stream: Arc<Stream>) {
        self.put(Letter::Stream(stream));
    }

    /// Has `callback` called soon; after a stop it is dropped, uncalled.
    pub(crate) fn post_call(&self, callback: Callback<()>) {
        self.put(Letter::Call(callback));
    }

    fn put(&self, letter: Letter) {
        let mut state = self.desk.state.lock();
        if state.thread.is_none() && !state.is_stopping {
            let desk = self.desk.clone();
            state.thread = thread::spawn("inferlay-calls", move || desk.run()).ok();
        }
        if state.is_stopping && state.thread.is_none() {
            // The server has stopped: the callback is dropped, uncalled, with what it captured.
            drop(state);
            return drop(letter);
        }
        // Without a thread the letter waits for the next one to start it, or for the stop.
        state.letters.push_back(letter);
        drop(state);
        self.desk.bell.ring();
    }

    /// Waits until nobody holds it.
    pub(crate) fn settle(&self) {
        self.desk.state.lock().is_waited_for = true;
        while !thread::is_inside() && self.desk.state.lock().held > 0 {
            self.desk.let_go.wait(0);
        }
    }

    /// Runs what was posted and what those who hold it still post, then ends the thread.
    pub(crate) fn stop(&self) {
        self.settle();
        let thread = {
            let mut state = self.desk.state.lock();
            state.is_stopping = true;
            state.thread.take()
        };
        self.desk.bell.ring();
        if thread.is_none() && !thread::is_inside() {
            self.desk.run();
        }
        thread::join(thread);
    }
}

/// The right to post before the messenger stops.
pub(crate) struct Held(Arc<Desk>);

impl Drop for Held {
    fn drop(&mut self) {
        let is_last = {
            let mut state = self.0.state.lock();
            state.held -= 1;
            state.held == 0 && state.is_waited_for
        };
        if is_last {
            self.0.let_go.ring();
        }
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
                Some(Letter::Answer(callback, ticket)) => {
                    let services = ticket.home().services.clone();
                    answer::call(callback, ticket, &services);
                }
                Some(Letter::Stream(stream)) => {
                    if stream.deliver() {
                        // Behind what others wait for; not through `put`, which takes nothing once a stop is under way.
                        self.state.lock().letters.push_back(Letter::Stream(stream));
                    }
                }
                Some(Letter::Call(callback)) => {
                    let _inside = thread::Inside::enter();
                    let call = std::panic::AssertUnwindSafe(|| callback.call(()));
                    let _contained = std::panic::catch_unwind(call);
                }
                None if is_stopping => return,
                None => self.bell.wait(0),
            }
        }
    }
}
