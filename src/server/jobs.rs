//! Loading on threads of its own: jobs of one model one after the other, those of different models side by side.
//!
//! ```text
//!   push(model, job) -> line of the model -> head of the line, none of it running -> ready -> a thread
//! ```
//!
//! Invariants: 1. at most one job of a model runs; those of a model run in the order in which they came; 2. at most so
//! many threads run as were allowed; 3. a job that does not run is dropped, which its operation is told of by itself;
//! 4. no lock is held while a job runs. A panic of a job is contained.
//!
//! Threads `inferlay-load` start when there is a job and end when there is none.

use crate::sync::{Bells, Clock, Mutex, thread};
use std::collections::{BTreeMap, VecDeque};
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::sync::Arc;

type Job = Box<dyn FnOnce() + Send>;

/// The jobs of a server.
pub(super) struct Jobs {
    desk: Arc<Desk>,
}

struct Desk {
    state: Mutex<State>,
    idle: Bells,
    threads_max: usize,
}

#[derive(Default)]
struct State {
    /// Of models with a job that runs or is ready: those that come after it.
    lines: BTreeMap<String, VecDeque<Job>>,
    ready: VecDeque<(String, Job)>,
    threads: usize,
    is_stopping: bool,
}

impl Jobs {
    pub(super) fn new(threads_max: usize) -> Self {
        Jobs { desk: Arc::new(Desk { state: Mutex::default(), idle: Bells::default(), threads_max }) }
    }

    /// Has `job` run after those of the same model that came before. Dropped when the server stops first, or when the
    /// system gives no thread.
    pub(super) fn push(&self, model: &str, job: impl FnOnce() + Send + 'static) {
        let mut state = self.desk.state.lock();
        if state.is_stopping {
            return drop(state);
        }
        let job: Job = Box::new(job);
        match state.lines.get_mut(model) {
            Some(line) => return line.push_back(job),
            None => drop(state.lines.insert(model.to_owned(), VecDeque::new())),
        }
        state.ready.push_back((model.to_owned(), job));
        if state.threads >= self.desk.threads_max {
            return;
        }
        state.threads += 1;
        drop(state);
        let desk = self.desk.clone();
        if thread::spawn("inferlay-load", move || desk.run()).is_err() {
            let mut state = self.desk.state.lock();
            state.threads -= 1;
            if state.threads == 0 {
                let lost = (std::mem::take(&mut state.ready), std::mem::take(&mut state.lines));
                drop(state);
                drop(lost);
            }
        }
    }

    /// Drops what has not begun and waits for what has, until `until`. Whether nothing runs any more.
    pub(super) fn stop(&self, clock: &Clock, until: u64) -> bool {
        let bell = self.desk.idle.listen();
        let dropped = {
            let mut state = self.desk.state.lock();
            state.is_stopping = true;
            let lines: Vec<_> = state.lines.values_mut().map(std::mem::take).collect();
            (lines, std::mem::take(&mut state.ready))
        };
        drop(dropped);
        loop {
            if self.desk.state.lock().threads == 0 {
                return true;
            }
            if clock.now() >= until || thread::is_inside() {
                return false;
            }
            clock.wait(&bell, Some(until));
        }
    }
}

impl Desk {
    fn run(&self) {
        while let Some((model, job)) = self.next() {
            // What a job leaves behind is told by whatever it owns; a panic of a backend was contained before.
            let _contained = catch_unwind(AssertUnwindSafe(job));
            self.end(&model);
        }
    }

    fn next(&self) -> Option<(String, Job)> {
        let mut state = self.state.lock();
        let next = state.ready.pop_front();
        if next.is_none() {
            state.threads -= 1;
            let is_last = state.threads == 0;
            drop(state);
            if is_last {
                self.idle.ring();
            }
        }
        next
    }

    /// A job of a model is over: the next one of its line is ready.
    fn end(&self, model: &str) {
        let mut state = self.state.lock();
        match state.lines.get_mut(model).and_then(VecDeque::pop_front) {
            Some(job) => state.ready.push_back((model.to_owned(), job)),
            None => drop(state.lines.remove(model)),
        }
    }
}

#[cfg(all(test, not(loom)))]
mod tests {
    use super::*;
    use std::sync::mpsc;

    #[test]
    fn jobs_of_a_model_run_in_order_beside_those_of_others() {
        let jobs = Jobs::new(2);
        let (told, ran) = mpsc::channel();
        let (go, gate) = mpsc::channel::<()>();
        let tell = |what: &'static str| {
            let told = told.clone();
            move || told.send(what).unwrap()
        };
        let first = tell("a1");
        jobs.push("a", move || {
            gate.recv().unwrap();
            first();
        });
        jobs.push("a", tell("a2"));
        jobs.push("b", tell("b1"));
        assert_eq!(ran.recv().unwrap(), "b1");
        go.send(()).unwrap();
        assert_eq!([ran.recv().unwrap(), ran.recv().unwrap()], ["a1", "a2"]);
        assert!(jobs.stop(&Clock::System, u64::MAX));
    }

    #[test]
    fn a_stop_drops_what_has_not_begun_and_waits_for_the_rest() {
        let jobs = Arc::new(Jobs::new(1));
        let (told, ran) = mpsc::channel();
        let (go, gate) = mpsc::channel::<()>();
        let (begun, has_begun) = mpsc::channel();
        let first = told.clone();
        jobs.push("a", move || {
            begun.send(()).unwrap();
            gate.recv().unwrap();
            first.send("first").unwrap();
        });
        has_begun.recv().unwrap();
        for model in ["a", "b"] {
            let told = told.clone();
            jobs.push(model, move || told.send("later").unwrap());
        }
        drop(told);
        assert!(!jobs.stop(&Clock::System, 0));
        go.send(()).unwrap();
        assert!(jobs.stop(&Clock::System, u64::MAX));
        assert_eq!(ran.into_iter().collect::<Vec<_>>(), ["first"]);
    }

    #[test]
    fn a_panic_of_a_job_ends_that_job_alone() {
        let jobs = Jobs::new(1);
        let (told, ran) = mpsc::channel();
        jobs.push("a", || panic!("a job of a test"));
        jobs.push("a", move || told.send(()).unwrap());
        assert_eq!(ran.recv(), Ok(()));
    }
}
