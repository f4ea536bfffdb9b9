//! What no longer serves: it finishes what it has, then lets go of everything.
//!
//! Invariants: 1. a version takes no more requests before anybody looks whether it has drained, and is let go when its last
//! request is answered and released, or when its time is up: then what is left is answered with an error, as far as no
//! memory of a waiting caller is lent; 2. whoever asked is told when it is free, once; 3. what a backend does not let go of
//! is remembered, so that a stop can silence it.
//!
//! The thread `inferlay-retire` starts with the first version that retires, and ends with the last.

use super::served::Served;
use crate::flow::Services;
use crate::sync::{Bells, Mutex, thread};
use inferlay_backend_sdk::{Error, ErrorKind, LogLevel};
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::sync::Arc;
use std::time::Duration;

/// The versions that are on their way out.
pub(super) struct Retiring {
    desk: Arc<Desk>,
}

struct Desk {
    services: Arc<Services>,
    state: Mutex<State>,
    /// Rung when nothing is on its way out any more.
    idle: Bells,
}

#[derive(Default)]
struct State {
    leaving: Vec<Leaving>,
    /// Versions that are gone, but for a backend that has not let go of them.
    abandoned: Vec<Served>,
    has_thread: bool,
    /// When all must be gone, whatever was said of each.
    stop_until: Option<u64>,
}

struct Leaving {
    served: Served,
    until: u64,
    then: Box<dyn FnOnce(Result<(), Error>) + Send>,
}

impl Retiring {
    pub(super) fn new(services: Arc<Services>) -> Self {
        Retiring { desk: Arc::new(Desk { services, state: Mutex::default(), idle: Bells::default() }) }
    }

    /// Lets `served` go, which is out of the catalog, within so long at most; then calls `then`, on this room's thread.
    pub(super) fn retire(
        &self,
        served: Served,
        within: Duration,
        then: impl FnOnce(Result<(), Error>) + Send + 'static,
    ) {
        let until = self.desk.after(within);
        // Before anybody looks whether it has drained: what came in after that look would be answered with an error.
        served.lane.begin_stop();
        let mut state = self.desk.state.lock();
        state.leaving.push(Leaving { served, until, then: Box::new(then) });
        let starts = !std::mem::replace(&mut state.has_thread, true);
        drop(state);
        if starts {
            let desk = self.desk.clone();
            if thread::spawn("inferlay-retire", move || desk.run()).is_err() {
                // The next one tries again, or the stop ends it.
                self.desk.state.lock().has_thread = false;
            }
        }
        // Only now, as its own bell may have rung before: a thread that is there looks again.
        self.desk.services.drained.ring();
    }

    /// Everything must be gone by `until`. Waits for that.
    pub(super) fn stop(&self, until: u64) {
        let bell = self.desk.idle.listen();
        self.desk.state.lock().stop_until = Some(until);
        self.desk.services.drained.ring();
        while self.desk.state.lock().has_thread && !thread::is_inside() {
            self.desk.services.clock.wait(&bell, None);
        }
        // What no thread could be started for.
        while let Some(leaving) = self.desk.next_due() {
            self.desk.let_go(leaving);
        }
    }

    /// What backends have not let go of.
    pub(super) fn abandoned(&self) -> Vec<Served> {
        std::mem::take(&mut self.desk.state.lock().abandoned)
    }
}

impl Desk {
    /// So long from now.
    fn after(&self, within: Duration) -> u64 {
        self.services.clock.now().saturating_add(u64::try_from(within.as_nanos()).unwrap_or(u64::MAX))
    }

    fn run(&self) {
        let bell = self.services.drained.listen();
        loop {
            while let Some(leaving) = self.next_due() {
                self.let_go(leaving);
            }
            let until = {
                let mut state = self.state.lock();
                let Some(until) = state.leaving.iter().map(|leaving| leaving.until).min() else {
                    state.has_thread = false;
                    break;
                };
                state.stop_until.map_or(until, |stop| stop.min(until))
            };
            self.services.clock.wait(&bell, Some(until));
        }
        self.idle.ring();
    }

    /// One that has drained, or whose time is up.
    fn next_due(&self) -> Option<Leaving> {
        let now = self.services.clock.now();
        let mut state = self.state.lock();
        let is_over = state.stop_until.is_some_and(|until| until <= now);
        let at = state
            .leaving
            .iter()
            .position(|leaving| is_over || leaving.until <= now || leaving.served.lane.is_drained())?;
        Some(state.leaving.swap_remove(at))
    }

    fn let_go(&self, leaving: Leaving) {
        let Leaving { served, then, .. } = leaving;
        let has_drained = served.lane.is_drained();
        // Destructors of a backend or of the application: a panic there must not keep the others from going.
        if catch_unwind(AssertUnwindSafe(|| served.end_stop())).is_err() {
            let message = format!("{}: a destructor panicked; the panic was contained", served.lane.spec.place());
            self.services.log.write(LogLevel::Error, &message);
        }
        let result = if has_drained { Ok(()) } else { Err(late(&served)) };
        if let Err(error) = &result {
            self.services.log.write(LogLevel::Warning, error.message());
        }
        if !served.lane.is_deserted() {
            self.abandon(served);
        }
        let inside = thread::Inside::enter();
        if catch_unwind(AssertUnwindSafe(|| then(result))).is_err() {
            self.services.log.write(LogLevel::Error, "whoever waited for an unload panicked; the panic was contained");
        }
        drop(inside);
    }

    fn abandon(&self, served: Served) {
        let mut state = self.state.lock();
        let deserted: Vec<_> = state.abandoned.extract_if(.., |other| other.lane.is_deserted()).collect();
        state.abandoned.push(served);
        drop(state);
        drop(deserted);
    }
}

fn late(served: &Served) -> Error {
    let place = served.lane.spec.place();
    let message =
        format!("{place}: requests were left when its time was up, unanswered (now with errors) or unreleased");
    Error::new(ErrorKind::Timeout, message)
}
