//! Loading on threads of its own: jobs of one model one after the other, those of different models side by side.
//!
//! ```text
//!   push(model, job) -> line of the model -> head of the line, none of it running -> ready -> a thread
//!                              ^                                                       ^         |
//!                              |                                                       '---------| Then::AgainFirst
//!                              '--- a millisecond later, behind those that came meanwhile -------'  Then::Again
//! ```
//!
//! Invariants: 1. at most one job of a model runs; those of a model run in the order in which they came; 2. at most so
//! many threads run as were allowed; 3. a job that does not run is dropped, which its operation is told of by itself;
//! 4. no lock is held while a job runs. A panic of a job is contained. 5. A job that has to wait for others holds no
//! thread: it says so, and is run again, in its place or behind those that came meanwhile.
//!
//! Threads `inferlay-load` start when there is a job and end when there is none.

use crate::sync::{Bells, Clock, Doorbell, Mutex, thread};
use std::collections::{BTreeMap, VecDeque};
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::sync::Arc;
use std::time::Duration;

/// How long a job that is to run again waits.
const AGAIN_AFTER: Duration = Duration::from_millis(1);

/// What is to become of a job that has run.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Then {
    Over,
    /// It could not do its work yet, and is to run again; others of its model may run before.
    Again,
    /// The same, and those of its model that came after it wait until it is over.
    AgainFirst,
}

/// Runs until it says that it is over.
pub(super) type Job = Box<dyn FnMut() -> Then + Send>;

/// A job that is to run again.
struct Patient {
    model: String,
    job: Job,
    /// Whether its line waits for it.
    is_first: bool,
}

/// What stands in the line of a model.
enum Place {
    Job(Job),
    /// Needs no thread of its own: done by whoever has run what stood before it.
    Behind(Box<dyn FnOnce(bool) + Send>),
}

/// The jobs of a server.
pub(super) struct Jobs {
    desk: Arc<Desk>,
}

struct Desk {
    state: Mutex<State>,
    idle: Bells,
    /// Where the thread waits that has nothing to do but what is to run again.
    pace: Arc<Doorbell>,
    threads_max: usize,
}

#[derive(Default)]
struct State {
    /// Of models with a job that runs or is ready: those that come after it.
    lines: BTreeMap<String, VecDeque<Place>>,
    ready: VecDeque<(String, Job)>,
    /// Those that are to run again; in no line, or at the head of theirs.
    again: Vec<Patient>,
    threads: usize,
    /// Whether one of the threads waits until `again` is due.
    is_paced: bool,
    is_stopping: bool,
}

impl State {
    /// Those that were to run again stand in line again, or are ready.
    fn resume(&mut self) {
        for Patient { model, job, is_first } in std::mem::take(&mut self.again) {
            match is_first {
                true => self.ready.push_back((model, job)),
                false => self.line_up(model, job),
            }
        }
    }

    /// Puts a job at the end of its model's line.
    fn line_up(&mut self, model: String, job: Job) {
        match self.lines.get_mut(&model) {
            Some(line) => line.push_back(Place::Job(job)),
            None => {
                self.lines.insert(model.clone(), VecDeque::new());
                self.ready.push_back((model, job));
            }
        }
    }
}

impl Jobs {
    pub(super) fn new(threads_max: usize) -> Self {
        let (state, idle, pace) = (Mutex::default(), Bells::default(), Arc::new(Doorbell::new()));
        Jobs { desk: Arc::new(Desk { state, idle, pace, threads_max }) }
    }

    /// Has `job` run after those of the same model that came before, until it says that it is over. Dropped when the server
    /// stops first, or when the system gives no thread.
    pub(super) fn push_patient(&self, model: &str, job: impl FnMut() -> Then + Send + 'static) {
        let mut state = self.desk.state.lock();
        if state.is_stopping {
            return drop(state);
        }
        state.line_up(model.to_owned(), Box::new(job));
        drop(state);
        self.need_thread();
    }

    /// As [`Jobs::push_patient`], for a job of two parts: what it returns runs in its place until it is over.
    pub(super) fn push_long(&self, model: &str, job: impl FnOnce() -> Option<Job> + Send + 'static) {
        let (mut job, mut rest) = (Some(job), None::<Job>);
        self.push_patient(model, move || {
            if let Some(job) = job.take() {
                rest = job();
            }
            rest.as_mut().map_or(Then::Over, |rest| rest())
        });
    }

    /// As [`Jobs::push_patient`], for a job that is over when it has run.
    #[cfg(test)]
    pub(super) fn push(&self, model: &str, job: impl FnOnce() + Send + 'static) {
        self.push_long(model, || {
            job();
            None
        });
    }

    /// Whether a job of the model runs or waits for its turn.
    pub(super) fn has(&self, model: &str) -> bool {
        self.desk.state.lock().lines.contains_key(model)
    }

    /// Has `body` called when the jobs of the same model that came before are over, by whoever ran the last of them, or drops
    /// them: at once if there are none. It is told whether there were, and must not take long.
    pub(super) fn behind(&self, model: &str, body: impl FnOnce(bool) + Send + 'static) {
        let mut state = self.desk.state.lock();
        match state.lines.get_mut(model) {
            Some(line) => line.push_back(Place::Behind(Box::new(body))),
            None => {
                drop(state);
                body(false);
            }
        }
    }

    /// Sees to it that what is ready finds a thread, as far as more are allowed: also for a job that goes to work for long.
    pub(super) fn need_thread(&self) {
        let mut state = self.desk.state.lock();
        if state.ready.is_empty() {
            return;
        }
        if state.threads >= self.desk.threads_max {
            let is_paced = state.is_paced;
            drop(state);
            if is_paced {
                self.desk.pace.ring();
            }
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
                drop(lost.0);
                lost.1.into_values().for_each(give_up);
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
            let (ready, again) = (std::mem::take(&mut state.ready), std::mem::take(&mut state.again));
            // Nobody comes to the end of a line whose head does not run.
            let heads = ready.iter().map(|(model, _)| model);
            for model in heads.chain(again.iter().filter(|patient| patient.is_first).map(|patient| &patient.model)) {
                state.lines.remove(model);
            }
            (lines, ready, again)
        };
        drop((dropped.1, dropped.2));
        dropped.0.into_iter().for_each(give_up);
        self.desk.pace.ring();
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

/// The jobs of a line are dropped, and what stands behind them is done.
fn give_up(line: VecDeque<Place>) {
    for place in line {
        if let Place::Behind(body) = place {
            body(true);
        }
    }
}

impl Desk {
    fn run(&self) {
        while let Some((model, mut job)) = self.next() {
            // What a job leaves behind is told by whatever it owns; a panic of a backend was contained before.
            let run = AssertUnwindSafe(move || (job(), job));
            match catch_unwind(run) {
                Ok((Then::AgainFirst, job)) => self.again(Patient { model, job, is_first: true }),
                Ok((Then::Again, job)) => {
                    self.end(&model);
                    self.again(Patient { model, job, is_first: false });
                }
                Ok((Then::Over, job)) => {
                    drop(job);
                    self.end(&model);
                }
                Err(_panic) => self.end(&model),
            }
        }
    }

    fn next(&self) -> Option<(String, Job)> {
        loop {
            {
                let mut state = self.state.lock();
                if let Some(next) = state.ready.pop_front() {
                    return Some(next);
                }
                // One waits for all that is to run again.
                if state.again.is_empty() || state.is_paced {
                    state.threads -= 1;
                    let is_last = state.threads == 0;
                    drop(state);
                    if is_last {
                        self.idle.ring();
                    }
                    return None;
                }
                state.is_paced = true;
            }
            // Real time, whatever clock the server has: it is only the pace at which to look again.
            self.pace.wait_for(0, Some(AGAIN_AFTER));
            let mut state = self.state.lock();
            state.is_paced = false;
            state.resume();
        }
    }

    /// A job of a model has run: the next one of its line is ready.
    fn end(&self, model: &str) {
        loop {
            let mut state = self.state.lock();
            match state.lines.get_mut(model).and_then(VecDeque::pop_front) {
                Some(Place::Job(job)) => return state.ready.push_back((model.to_owned(), job)),
                Some(Place::Behind(body)) => {
                    drop(state);
                    let _contained = catch_unwind(AssertUnwindSafe(|| body(true)));
                }
                None => return drop(state.lines.remove(model)),
            }
        }
    }

    /// A job has run, and is to run again.
    fn again(&self, patient: Patient) {
        let mut state = self.state.lock();
        if state.is_stopping {
            drop(state);
            return drop(patient);
        }
        state.again.push(patient);
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

    #[test]
    fn a_job_that_waits_for_others_lets_them_run() {
        let jobs = Jobs::new(1);
        let (told, ran) = mpsc::channel();
        let is_there = Arc::new(std::sync::atomic::AtomicBool::new(false));
        let (may, tell) = (is_there.clone(), told.clone());
        jobs.push_patient("a", move || {
            if !may.load(std::sync::atomic::Ordering::SeqCst) {
                return Then::Again;
            }
            tell.send("patient").unwrap();
            Then::Over
        });
        for model in ["a", "b"] {
            let told = told.clone();
            jobs.push(model, move || told.send(model).unwrap());
        }
        let mut others = [ran.recv().unwrap(), ran.recv().unwrap()];
        others.sort_unstable();
        assert_eq!(others, ["a", "b"]);
        jobs.push("c", move || is_there.store(true, std::sync::atomic::Ordering::SeqCst));
        assert_eq!(ran.recv().unwrap(), "patient");
        assert!(jobs.stop(&Clock::System, u64::MAX));
    }

    #[test]
    fn a_job_of_two_parts_lets_other_models_run_and_not_its_own() {
        let jobs = Jobs::new(1);
        let (told, ran) = mpsc::channel();
        let is_there = Arc::new(std::sync::atomic::AtomicBool::new(false));
        let (may, tell) = (is_there.clone(), told.clone());
        jobs.push_long("a", move || {
            Some(Box::new(move || {
                if !may.load(std::sync::atomic::Ordering::SeqCst) {
                    return Then::AgainFirst;
                }
                tell.send("long").unwrap();
                Then::Over
            }))
        });
        for model in ["a", "b"] {
            let told = told.clone();
            jobs.push(model, move || told.send(model).unwrap());
        }
        assert_eq!(ran.recv().unwrap(), "b");
        assert!(jobs.has("a"));
        jobs.push("c", move || is_there.store(true, std::sync::atomic::Ordering::SeqCst));
        assert_eq!([ran.recv().unwrap(), ran.recv().unwrap()], ["long", "a"]);
        assert!(jobs.stop(&Clock::System, u64::MAX));
    }

    #[test]
    fn a_stop_drops_a_job_that_waits_for_others() {
        for then in [Then::Again, Then::AgainFirst] {
            let jobs = Jobs::new(1);
            let (told, ran) = mpsc::channel();
            jobs.push_patient("a", move || {
                told.send(()).unwrap();
                then
            });
            ran.recv().unwrap();
            assert!(jobs.stop(&Clock::System, u64::MAX));
            // Ends when the job is gone, and with it the sender.
            ran.into_iter().for_each(drop);
        }
    }

    #[test]
    fn what_stands_behind_jobs_needs_no_thread_of_its_own() {
        let jobs = Jobs::new(1);
        let (told, ran) = mpsc::channel();
        let (go, gate) = mpsc::channel::<()>();
        let tell = |what: &'static str| {
            let told = told.clone();
            move |has_waited| told.send((what, has_waited)).unwrap()
        };
        jobs.behind("a", tell("alone"));
        assert_eq!(ran.try_recv(), Ok(("alone", false)));
        let (first, other) = (tell("a"), tell("b"));
        jobs.push("a", move || {
            gate.recv().unwrap();
            first(false);
        });
        // The one thread goes on with it only when the line of the first is done.
        jobs.push("b", move || other(false));
        jobs.behind("a", tell("behind"));
        assert!(jobs.has("a") && ran.try_recv().is_err());
        go.send(()).unwrap();
        let order = [(); 3].map(|()| ran.recv().unwrap());
        assert_eq!(order, [("a", false), ("behind", true), ("b", false)]);
        assert!(jobs.stop(&Clock::System, u64::MAX));
    }
}
