//! Threads that lead: a pool for the whole server, and one thread each for instances that must stay on theirs.
//!
//! The pool grows when a lead finds no worker asleep and shrinks when a worker has slept for long, down to the one that
//! fell asleep first; a thousand idle models need no more. A lead is given to the worker that fell asleep last, whose
//! stack is still warm. Invariants: 1. a posted lead is taken by exactly one worker; 2. a worker is asleep only while it
//! stands in `asleep`, and whoever wakes it takes it out; 3. a lead that finds no worker asleep is queued in `jobs` and a
//! worker is started for it, unless there are as many as may be; it waits there until a worker takes it.

use super::answer::On;
use super::instance::InstanceCell;
use super::lane::Lane;
use super::lead::{Scratch, Turn};
use crate::observe::{Cut, Log};
use crate::sync::{AtomicBool, Doorbell, Mutex, Ordering, Slot, thread};
use inferlay_backend_sdk::LogLevel;
use std::cell::RefCell;
use std::collections::VecDeque;
use std::sync::Arc;
use std::time::Duration;

/// How long a worker sleeps before it ends.
const ASLEEP_MAX: Duration = Duration::from_secs(10);

/// The pool.
pub(crate) struct Workers {
    crew: Arc<Crew>,
}

struct Crew {
    state: Mutex<State>,
    /// Rung by each worker that ends.
    left: Arc<Doorbell>,
    spin_max: u32,
    workers_max: usize,
    log: Arc<Log>,
}

#[derive(Default)]
struct State {
    jobs: VecDeque<Arc<Lane>>,
    asleep: Vec<Arc<Berth>>,
    threads: Vec<thread::JoinHandle<()>>,
    /// Where each living worker sleeps.
    berths: Vec<Arc<Berth>>,
    started: usize,
    is_stopping: bool,
}

impl State {
    /// A worker ends.
    fn forget(&mut self, berth: &Arc<Berth>) {
        self.berths.retain(|other| !Arc::ptr_eq(other, berth));
    }
}

/// Where one worker sleeps and finds its job.
struct Berth {
    job: Slot<Option<Arc<Lane>>>,
    bell: Doorbell,
    /// Whether its worker is in a backend, out of the engine's reach.
    is_away: AtomicBool,
    /// Whether a stop looks at `is_away`. Each side writes its own flag before it reads the other's.
    is_watched: AtomicBool,
    /// Where that stop waits: the crew's.
    left: Arc<Doorbell>,
}

std::thread_local! {
    static OWN_BERTH: RefCell<Option<Arc<Berth>>> = const { RefCell::new(None) };
}

/// Whether this thread is a worker.
pub(super) fn is_worker() -> bool {
    OWN_BERTH.with_borrow(Option::is_some)
}

/// Marks this thread, if it is a worker, as out of the engine's reach while this lives: a stop does not wait for it.
///
/// It ends before the worker wins a request, so that a stop which found the worker away has answered its requests.
pub(super) struct Away(());

impl Away {
    pub(super) fn begin() -> Self {
        mark(true);
        Away(())
    }
}

impl Drop for Away {
    fn drop(&mut self) {
        mark(false);
    }
}

fn mark(is_away: bool) {
    OWN_BERTH.with_borrow(|berth| {
        if let Some(berth) = berth {
            berth.is_away.store(is_away, Ordering::SeqCst);
            if is_away && berth.is_watched.load(Ordering::SeqCst) {
                berth.left.ring();
            }
        }
    });
}

impl Workers {
    pub(crate) fn new(spin_max: u32, workers_max: usize, log: Arc<Log>) -> Self {
        let (state, left) = (Mutex::new(State::default()), Arc::new(Doorbell::new()));
        Workers { crew: Arc::new(Crew { state, left, spin_max, workers_max, log }) }
    }

    /// Has a worker lead `lane`, whose lead was taken for it.
    pub(crate) fn lead(&self, lane: Arc<Lane>) {
        let failed = {
            let mut state = self.crew.state.lock();
            if let Some(berth) = state.asleep.pop() {
                drop(state);
                *berth.job.lock() = Some(lane);
                berth.bell.ring();
                return;
            }
            state.jobs.push_back(lane);
            self.start(&mut state).err().map(|error| (error, state.berths.is_empty()))
        };
        let Some((error, is_alone)) = failed else { return };
        self.crew.log.write(LogLevel::Error, &format!("no worker thread could be started: {error}"));
        let job = if is_alone { self.crew.state.lock().jobs.pop_front() } else { None };
        if let Some(lane) = job {
            // With no worker at all the lane is led here, for once; callbacks go to the messenger.
            lane.lead(Turn::stand_in());
        }
    }

    /// How many threads the pool has now.
    pub(crate) fn len(&self) -> usize {
        self.crew.state.lock().berths.len()
    }

    /// Takes one waiting lead, for tests that lead by hand.
    #[cfg(all(test, loom))]
    pub(crate) fn take_job(&self) -> Option<Arc<Lane>> {
        self.crew.state.lock().jobs.pop_front()
    }

    fn start(&self, state: &mut State) -> std::io::Result<()> {
        if state.berths.len() >= self.crew.workers_max || state.is_stopping {
            return Ok(());
        }
        let crew = self.crew.clone();
        let name = format!("inferlay-{}", state.started);
        let berth = Arc::new(Berth {
            job: Slot::new(None),
            bell: Doorbell::new(),
            is_away: AtomicBool::new(false),
            is_watched: AtomicBool::new(false),
            left: crew.left.clone(),
        });
        let own = berth.clone();
        let handle = thread::spawn(&name, move || crew.run(&own))?;
        state.berths.push(berth);
        state.started += 1;
        state.threads.retain(|thread| !thread::has_ended(thread));
        state.threads.push(handle);
        Ok(())
    }

    /// Ends the threads, but for those that are stuck in a backend, which are left alone.
    pub(crate) fn stop(&self) {
        let (asleep, threads) = {
            let mut state = self.crew.state.lock();
            state.is_stopping = true;
            (std::mem::take(&mut state.asleep), std::mem::take(&mut state.threads))
        };
        for berth in asleep {
            berth.bell.ring();
        }
        if thread::is_inside() {
            return;
        }
        let is_away = |berth: &Arc<Berth>| {
            berth.is_watched.store(true, Ordering::SeqCst);
            berth.is_away.load(Ordering::SeqCst)
        };
        // Every one is watched before the first is found at work.
        let are_left_away = |state: &State| state.berths.iter().filter(|berth| !is_away(berth)).count() == 0;
        while !are_left_away(&self.crew.state.lock()) {
            self.crew.left.wait(0);
        }
        if self.len() == 0 {
            threads.into_iter().for_each(|handle| thread::join(Some(handle)));
        }
    }
}

impl Crew {
    fn run(&self, berth: &Arc<Berth>) {
        OWN_BERTH.set(Some(berth.clone()));
        while let Some(lane) = self.next(berth) {
            lane.lead(Turn::worker());
        }
        self.left.ring();
    }

    fn next(&self, berth: &Arc<Berth>) -> Option<Arc<Lane>> {
        let timeout = {
            let mut state = self.state.lock();
            if let Some(lane) = state.jobs.pop_front() {
                return Some(lane);
            }
            if state.is_stopping {
                state.forget(berth);
                return None;
            }
            // The first to sleep is the last to be woken; it stays, so that a server in use has a worker at hand and its
            // sleep costs no timer.
            let is_first = state.asleep.is_empty();
            state.asleep.push(berth.clone());
            if is_first { None } else { Some(ASLEEP_MAX) }
        };
        let rang = berth.bell.wait_for(self.spin_max, timeout);
        if let Some(lane) = berth.job.lock().take() {
            return Some(lane);
        }
        self.leave(berth, rang)
    }

    /// Ends a worker that slept for long or is told to; unless somebody just took it out to give it a job.
    fn leave(&self, berth: &Arc<Berth>, mut rang: bool) -> Option<Arc<Lane>> {
        loop {
            {
                let mut state = self.state.lock();
                let before = state.asleep.len();
                state.asleep.retain(|other| !Arc::ptr_eq(other, berth));
                let was_asleep = state.asleep.len() < before;
                if was_asleep || state.is_stopping && rang {
                    // In one go with the decision: a lead that comes later finds the worker gone and starts another.
                    state.forget(berth);
                    return None;
                }
            }
            // Whoever took the berth out rings after the job is in it.
            rang = berth.bell.wait_for(0, None);
            if let Some(lane) = berth.job.lock().take() {
                return Some(lane);
            }
        }
    }
}

/// The thread of an instance that must always run on the same one; started by its first batch.
#[derive(Default)]
pub(crate) struct OwnThread {
    desk: Option<Arc<Desk>>,
    thread: Option<thread::JoinHandle<()>>,
}

struct Desk {
    job: Slot<Option<Job>>,
    bell: Doorbell,
}

/// A batch for an instance with its own thread.
struct Job {
    lane: Arc<Lane>,
    cell: Box<InstanceCell>,
    scratch: Box<Scratch>,
    started: u64,
    why: Cut,
}

impl OwnThread {
    fn desk(&mut self) -> std::io::Result<Arc<Desk>> {
        if let Some(desk) = &self.desk {
            return Ok(desk.clone());
        }
        let desk = Arc::new(Desk { job: Slot::new(None), bell: Doorbell::new() });
        let own = desk.clone();
        self.thread = Some(thread::spawn("inferlay-own", move || own.run())?);
        self.desk = Some(desk.clone());
        Ok(desk)
    }
}

impl Drop for OwnThread {
    fn drop(&mut self) {
        if let Some(desk) = &self.desk {
            // An empty desk and a ring: the thread ends.
            desk.bell.ring();
        }
        thread::join(self.thread.take());
    }
}

impl Desk {
    fn run(&self) {
        loop {
            self.bell.wait(0);
            let Some(job) = self.job.lock().take() else { return };
            let Job { lane, cell, mut scratch, started, why } = job;
            let leads = lane.run(cell, &mut scratch, (started, why), On::Worker).leads;
            Scratch::put(scratch);
            if leads {
                lane.services.workers.lead(lane.clone());
            }
        }
    }
}

/// Runs a batch on the instance's own thread.
///
/// # Errors
/// The instance and the batch, when no thread could be started.
pub(super) fn run_on_own_thread(
    lane: &Arc<Lane>,
    mut cell: Box<InstanceCell>,
    scratch: Box<Scratch>,
    (started, why): (u64, Cut),
) -> Result<(), (Box<InstanceCell>, Box<Scratch>, std::io::Error)> {
    let desk = match cell.own_thread.as_mut().map(OwnThread::desk) {
        Some(Ok(desk)) => desk,
        Some(Err(error)) => return Err((cell, scratch, error)),
        None => return Err((cell, scratch, std::io::Error::other("the instance has no thread of its own"))),
    };
    *desk.job.lock() = Some(Job { lane: lane.clone(), cell, scratch, started, why });
    desk.bell.ring();
    Ok(())
}
