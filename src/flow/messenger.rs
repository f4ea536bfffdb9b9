//! The messenger: one thread, started on first need, that runs callbacks which their answerer must not run.
//!
//! Answers given by the timekeeper, by a cancel, by a leading caller or by whoever stops the server come here. A slow
//! callback delays other callbacks, never a deadline.
//!
//! ```text
//!   letters:  answer  stream  chain  answer  ...     each is opened for a few calls, then it is the turn of the next
//!                               |
//!                               '-> stream, answer, stream, ...     one is done with before the next is opened
//! ```
//!
//! A lane that keeps the order of its answers has a chain. Invariants: 1. letters of a chain are opened in the order in which
//! they were put there, each to its end; 2. a chain stands among the letters once at most, and does while it has any; 3.
//! whatever is opened makes so many calls in a turn, and no more.

use super::answer;
use super::stream::Stream;
use super::task::{Outcome, Ticket};
use crate::sync::{Callback, Doorbell, Mutex, thread};
use std::collections::VecDeque;
use std::sync::Arc;

/// After so many calls for one letter the messenger looks after others.
const CALLS_IN_TURN: usize = 16;

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
    /// The next of several that keep their order.
    Chain(Arc<Chain>),
}

/// Letters of which one is done with before the next is opened.
#[derive(Default)]
pub(crate) struct Chain {
    links: Mutex<Links>,
}

#[derive(Default)]
struct Links {
    letters: VecDeque<Letter>,
    /// Whether the messenger has it, or is at it.
    is_posted: bool,
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
        let chain = ticket.home().order.as_ref().map(|order| order.chain().clone());
        self.put_on(chain.as_ref(), Letter::Answer(callback, ticket));
    }

    /// Has the listener of `stream` called with what has come, soon.
    pub(crate) fn post_stream(&self, stream: Arc<Stream>) {
        let chain = stream.chain().cloned();
        self.put_on(chain.as_ref(), Letter::Stream(stream));
    }

    /// Has `callback` called soon; after a stop it is dropped, uncalled.
    pub(crate) fn post_call(&self, callback: Callback<()>) {
        self.put(Letter::Call(callback));
    }

    fn put_on(&self, chain: Option<&Arc<Chain>>, letter: Letter) {
        let Some(chain) = chain else { return self.put(letter) };
        if chain.add(letter) {
            self.put(Letter::Chain(chain.clone()));
        }
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
            return letter.discard();
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
                Some(letter) => {
                    let mut calls_left = CALLS_IN_TURN;
                    if let Some(rest) = letter.open(&mut calls_left) {
                        // Behind what others wait for; not through `put`, which takes nothing once a stop is under way.
                        self.state.lock().letters.push_back(rest);
                    }
                }
                None if is_stopping => return,
                None => self.bell.wait(0),
            }
        }
    }
}

impl Letter {
    /// Calls what is to be called, so often at most; what is left.
    fn open(self, calls_left: &mut usize) -> Option<Letter> {
        match self {
            Letter::Answer(callback, ticket) => {
                *calls_left = calls_left.saturating_sub(1);
                let services = ticket.home().services.clone();
                answer::call(callback, ticket, &services);
                None
            }
            Letter::Stream(stream) => stream.deliver(calls_left).then_some(Letter::Stream(stream)),
            Letter::Call(callback) => {
                *calls_left = calls_left.saturating_sub(1);
                let _inside = thread::Inside::enter();
                let call = std::panic::AssertUnwindSafe(|| callback.call(()));
                let _contained = std::panic::catch_unwind(call);
                None
            }
            Letter::Chain(chain) => chain.open(calls_left).then_some(Letter::Chain(chain)),
        }
    }

    /// Nobody opens it any more.
    fn discard(self) {
        if let Letter::Chain(chain) = &self {
            let mut links = chain.links.lock();
            links.is_posted = false;
            let letters = std::mem::take(&mut links.letters);
            drop(links);
            drop(letters);
        }
    }
}

impl Chain {
    /// Adds a letter at the end. Whether the chain is to be posted now.
    fn add(&self, letter: Letter) -> bool {
        let mut links = self.links.lock();
        links.letters.push_back(letter);
        !std::mem::replace(&mut links.is_posted, true)
    }

    /// Opens one letter after the other. Whether there may be more.
    fn open(&self, calls_left: &mut usize) -> bool {
        while *calls_left > 0 {
            let Some(letter) = self.next() else { return false };
            if let Some(rest) = letter.open(calls_left) {
                self.links.lock().letters.push_front(rest);
            }
        }
        true
    }

    fn next(&self) -> Option<Letter> {
        let mut links = self.links.lock();
        let next = links.letters.pop_front();
        // Under the lock of the look: who adds one from now on posts the chain again.
        links.is_posted = next.is_some();
        next
    }
}

#[cfg(all(test, not(loom)))]
mod tests {
    use super::*;
    use std::sync::mpsc;

    #[test]
    fn a_long_chain_keeps_its_order_and_lets_others_have_their_turn() {
        let (messenger, chain) = (Messenger::new(), Arc::<Chain>::default());
        let (told, all) = mpsc::channel();
        let (open, gate) = mpsc::channel::<()>();
        let call = |name: Option<usize>| {
            let told = told.clone();
            Callback::new(move |()| told.send(name).unwrap_or_default())
        };
        messenger.post_call(Callback::new(move |()| gate.recv().unwrap_or_default()));
        for number in 0..3 * CALLS_IN_TURN {
            messenger.put_on(Some(&chain), Letter::Call(call(Some(number))));
        }
        (0..2).for_each(|_| messenger.post_call(call(None)));
        drop(open);
        messenger.stop();
        drop(told);
        let mut expected: Vec<_> = (0..3 * CALLS_IN_TURN).map(Some).collect();
        expected.splice(CALLS_IN_TURN..CALLS_IN_TURN, [None, None]);
        assert_eq!(all.iter().collect::<Vec<_>>(), expected);
        assert!(!chain.links.lock().is_posted);
    }

    #[test]
    fn after_a_stop_a_chain_is_let_go_with_what_it_holds() {
        let (messenger, chain) = (Messenger::new(), Arc::<Chain>::default());
        messenger.stop();
        let held = Arc::new(());
        for _ in 0..2 {
            let captured = held.clone();
            messenger.put_on(Some(&chain), Letter::Call(Callback::new(move |()| drop(captured))));
            assert_eq!(Arc::strong_count(&held), 1);
        }
    }
}
