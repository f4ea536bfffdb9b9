//! Models of the corridor, one per invariant, over the code that ships.
//!
//! The pool may start no worker in most of them: a lead that is posted waits in the pool, and the threads of a model take it out and
//! lead, as workers would. Time is a manual clock; the timekeeper and the messenger have stopped, so that they start no
//! thread, and a deadline passes because the model says so. A lost wake-up shows as a deadlock or as a request that is
//! still queued at the end.

use super::answer::{self, On};
use super::lane::{Lane, Manner};
use super::lead::Turn;
use super::*;
use crate::memory::BlockPool;
use crate::observe::{Log, Tracer};
use crate::sync::{AtomicUsize, Bells, Clock, ManualClock, Mutex, Ordering, model, spawn};
use inferlay_backend_sdk::{
    Batch, Buffer, DataType, Error, ErrorKind, Instance, InstanceSpec, Model, Responder, Signature, Tensor,
};
use std::sync::Arc;

mod claim;
mod delay;
mod doze;
mod lead;
mod order;
mod stop;
mod stream;
mod taken;

struct Open;

impl Gate for Open {
    fn enter(&self) {}

    fn leave(&self) {}
}

/// A lane with what its model wants to know.
pub(crate) struct Bench {
    pub(crate) lane: Arc<Lane>,
    clock: ManualClock,
    /// Executions so far.
    executed: Arc<AtomicUsize>,
    /// The memory of every input; its count shows how often it is held.
    memory: Arc<Vec<u8>>,
    /// What answers the requests that the backend took.
    taken: Arc<Mutex<Vec<Responder>>>,
}

impl Drop for Bench {
    fn drop(&mut self) {
        // Idle tasks keep the lane alive, and with it the memory of every run of a model.
        self.lane.tasks.close();
    }
}

/// Answers each row with a seven.
struct Sevens {
    executed: Arc<AtomicUsize>,
    /// Whether it takes the requests and answers them later, through these.
    takes: Option<Arc<Mutex<Vec<Responder>>>>,
}

impl Instance for Sevens {
    fn execute(&mut self, batch: &dyn Batch) -> Result<(), Error> {
        self.executed.fetch_add(1, Ordering::Relaxed);
        if let Some(taken) = &self.takes {
            for index in 0..batch.len() {
                let request = batch.take(index)?;
                taken.lock().push(request.responder());
            }
            return Ok(());
        }
        batch.output(0, sevens(batch.rows()))
    }
}

fn sevens(rows: usize) -> Tensor {
    Tensor::from_vec(vec![7u8; rows], [rows, 1]).unwrap()
}

struct Nothing(Signature);

impl Model for Nothing {
    fn signature(&self) -> &Signature {
        &self.0
    }

    fn instance(&self, _spec: &InstanceSpec) -> Result<Box<dyn Instance>, Error> {
        Err(Error::internal("made by hand"))
    }
}

/// What differs between benches.
#[derive(Clone)]
struct Plan {
    rows_max: usize,
    delay: u64,
    caller_runs: CallerRuns,
    takes: bool,
    is_ordered: bool,
    credit_max: Option<usize>,
    instances: usize,
    /// With 0, the threads of the model lead what is posted.
    workers_max: usize,
}

impl Default for Plan {
    fn default() -> Self {
        Plan {
            rows_max: 1,
            delay: 0,
            caller_runs: CallerRuns::Never,
            takes: false,
            is_ordered: false,
            credit_max: None,
            instances: 1,
            workers_max: 0,
        }
    }
}

fn port(name: &str) -> Port {
    Port { name: name.into(), dtype: DataType::Uint8, dims: Some(vec![1]), is_optional: false, is_offered: true }
}

impl Plan {
    fn spec(&self) -> LaneSpec {
        LaneSpec {
            model: "m".into(),
            version: 1,
            inputs: vec![port("x")],
            outputs: vec![port("y")],
            rows_max: self.rows_max,
            policy: Policy { rows_max: self.rows_max, preferred: Vec::new(), delay: self.delay },
            queued_max: 2,
            levels: 0,
            level_default: 0,
            waits: Default::default(),
            execution_timeout: None,
            caller_runs: self.caller_runs,
            is_thread_bound: false,
            is_ordered: self.is_ordered,
            credit_max: self.credit_max,
            metric_tags: Default::default(),
        }
    }

    fn bench(&self) -> Bench {
        let (clock, log) = (ManualClock::new(), Arc::new(Log::default()));
        let services = Arc::new(Services {
            clock: Clock::Manual(clock.clone()),
            workers: Workers::new(0, self.workers_max, log.clone()),
            timekeeper: Timekeeper::new(Clock::Manual(clock.clone())),
            messenger: Messenger::new(),
            blocks: BlockPool::new(),
            gate: Box::new(Open),
            log,
            tracer: Tracer::new(0),
            tuning: Tuning { spin_max: 0, small_output_len_max: 0, workers_max: self.workers_max },
            drained: Bells::default(),
            alarm: Mutex::new(None),
            unlisted: Unlisted::default(),
        });
        services.timekeeper.stop();
        services.messenger.stop();
        self.bench_with(services, clock)
    }

    fn bench_with(&self, services: Arc<Services>, clock: ManualClock) -> Bench {
        let lane = Lane::new(self.spec(), services);
        let (executed, taken) = (Arc::new(AtomicUsize::new(0)), Arc::new(Mutex::new(Vec::new())));
        for index in 0..self.instances {
            let instance = Sevens { executed: executed.clone(), takes: self.takes.then(|| taken.clone()) };
            let model = Arc::new(Nothing(Signature::default()));
            lane.add_instance(InstanceCell::new(Box::new(instance), model, index, false));
        }
        Bench { lane, clock, executed, memory: Arc::new(vec![0]), taken }
    }
}

impl Bench {
    /// A bench of one instance that answers one request at a time.
    pub(crate) fn new() -> Self {
        Plan::default().bench()
    }

    /// Another one, whose lane shares its services.
    pub(crate) fn another(&self) -> Self {
        Plan::default().bench_with(self.lane.services.clone(), self.clock.clone())
    }

    fn request(&self) -> Request<'static> {
        let buffer = Buffer::from_arc(self.memory.clone(), |memory| memory.as_slice());
        Request::new().input("x", Tensor::new(DataType::Uint8, [1, 1], buffer).unwrap())
    }

    /// Submits a request; `None` when it was refused.
    pub(crate) fn submit(&self) -> Option<Ticket> {
        self.submit_with(Notify::Nobody)
    }

    fn submit_with(&self, notify: Notify) -> Option<Ticket> {
        self.lane.submit(self.request(), notify, Manner::Async).ok().map(|(ticket, _)| ticket)
    }

    /// Leads what was posted, as a worker would.
    pub(crate) fn work(&self) {
        while let Some(lane) = self.lane.services.workers.take_job() {
            lane.lead(Turn::worker());
        }
    }

    /// Drops entries that were answered while they waited and that no leader has come across; the task is home then.
    pub(crate) fn sweep_out(&self) {
        drop(lane::drain(&self.lane));
        assert_eq!(self.lane.idle_tasks(), 1);
    }

    pub(crate) fn executed(&self) -> usize {
        self.executed.load(Ordering::Relaxed)
    }

    /// Checks that nothing is left behind, once every posted lead was led and every ticket dropped.
    pub(crate) fn is_at_rest(&self) {
        let reading = self.lane.word.read();
        assert_eq!((reading.queued(), reading.is_led(), reading.is_waiting()), (0, false, false), "{reading:?}");
        assert_eq!(Arc::strong_count(&self.memory), 1, "an input is still held");
    }

    /// As `is_at_rest`, and every instance is free.
    pub(crate) fn is_at_rest_with(&self, instances: usize) {
        self.is_at_rest();
        assert_eq!(self.lane.word.read().idle(), instances);
    }
}

/// The answer of a request that must have one.
pub(crate) fn outcome(ticket: Ticket) -> Result<(), ErrorKind> {
    assert!(ticket.state.is_answered(), "a request was lost");
    match answer::outcome(ticket) {
        Ok(response) => {
            assert_eq!(response.slice::<u8>("y").unwrap(), [7]);
            Ok(())
        }
        Err(error) => Err(error.kind()),
    }
}
