//! A closed loop through the engine: on the caller's thread, or asynchronously with a callback.
//!
//! The client keeps a number of requests in flight and sleeps until it is told that some are done, by the same means as
//! in the floor: a lock and a condition variable. Building a request allocates nothing, as all share one tensor.

use crate::case::{Case, CaseError};
use crate::measure::{Figures, Meter, SAMPLED_EVERY};
use inferlay::{ModelHandle, ModelStatistics, Request, Response, Tensor};
use parking_lot::{Condvar, Mutex};
use std::time::{Duration, Instant};

/// How requests are made.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Manner {
    /// The blocking call.
    Sync,
    /// With a callback.
    Callback,
    /// With a callback and a deadline that never passes.
    Deadline,
    /// With a callback; but every tenth is cancelled right after its submission.
    Cancel,
}

const TIMEOUT: Duration = Duration::from_secs(1);
const CANCELLED_EVERY: usize = 10;

/// What callbacks tell the client.
struct Desk {
    state: Mutex<Done>,
    told: Condvar,
}

struct Done {
    count: usize,
    failed: usize,
    /// When those were submitted that are timed.
    sent: Vec<Instant>,
}

impl Desk {
    fn new(in_flight: usize) -> Self {
        let done = Done { count: 0, failed: 0, sent: Vec::with_capacity(in_flight) };
        Desk { state: Mutex::new(done), told: Condvar::new() }
    }

    fn tell(&self, is_good: bool, sent: Option<Instant>) {
        let mut done = self.state.lock();
        done.count += 1;
        done.failed += usize::from(!is_good);
        done.sent.extend(sent);
        drop(done);
        self.told.notify_one();
    }

    /// How many are done since it was asked last; sleeps if none.
    fn ask(&self, samples: &mut Vec<u64>) -> usize {
        let mut done = self.state.lock();
        while done.count == 0 {
            self.told.wait(&mut done);
        }
        samples.extend(done.sent.drain(..).map(|sent| sent.elapsed().as_nanos() as u64));
        std::mem::take(&mut done.count)
    }
}

/// The one client of a model.
pub(crate) struct Client {
    name: &'static str,
    manner: Manner,
    in_flight: usize,
    model: ModelHandle,
    /// The name of the one input, and what it is given each time.
    input: (&'static str, Tensor),
    /// Lives as long as the process: a callback that held a count of it would pay for the count.
    desk: &'static Desk,
}

impl Client {
    pub(crate) fn new(
        name: &'static str,
        (manner, in_flight): (Manner, usize),
        model: ModelHandle,
        input: (&'static str, Tensor),
    ) -> Self {
        Client { name, manner, in_flight, model, input, desk: Box::leak(Box::new(Desk::new(in_flight))) }
    }

    fn request(&self) -> Request<'static> {
        Request::new().input(self.input.0, self.input.1.clone())
    }

    fn run(&self, requests: usize, samples: &mut Vec<u64>) -> Result<(), CaseError> {
        if self.manner == Manner::Sync {
            return self.call(requests, samples);
        }
        self.loop_closed(requests, samples)
    }

    fn call(&self, requests: usize, samples: &mut Vec<u64>) -> Result<(), CaseError> {
        for index in 0..requests {
            let sent = index.is_multiple_of(SAMPLED_EVERY).then(Instant::now);
            let response = self.model.infer(self.request())?;
            samples.extend(sent.map(|sent| sent.elapsed().as_nanos() as u64));
            drop(response);
        }
        Ok(())
    }

    fn loop_closed(&self, requests: usize, samples: &mut Vec<u64>) -> Result<(), CaseError> {
        let (mut submitted, mut finished) = (0, 0);
        while finished < requests {
            while submitted < requests && submitted - finished < self.in_flight {
                let is_cancelled = self.manner == Manner::Cancel && submitted % CANCELLED_EVERY == 1;
                if is_cancelled {
                    // Dropping the future cancels, and nobody will tell of it.
                    drop(self.model.infer_async(self.request())?);
                    finished += 1;
                } else {
                    self.submit(submitted.is_multiple_of(SAMPLED_EVERY))?;
                }
                submitted += 1;
            }
            if finished < submitted {
                finished += self.desk.ask(samples);
            }
        }
        match std::mem::take(&mut self.desk.state.lock().failed) {
            0 => Ok(()),
            failed => Err(format!("{}: {failed} of {requests} requests failed", self.name).into()),
        }
    }

    fn submit(&self, is_timed: bool) -> Result<(), CaseError> {
        let (desk, sent) = (self.desk, is_timed.then(Instant::now));
        let request = match self.manner {
            Manner::Deadline => self.request().timeout(TIMEOUT),
            _ => self.request(),
        };
        self.model.infer_callback(request, move |outcome: Result<Response, _>| {
            let is_good = outcome.is_ok();
            // The response goes first: whoever is told may submit at once, and finds the pools full.
            drop(outcome);
            desk.tell(is_good, sent);
        })?;
        Ok(())
    }
}

impl Case for Client {
    fn name(&self) -> &'static str {
        self.name
    }

    fn measure(&mut self, warm_up: usize, requests: usize) -> Result<Figures, CaseError> {
        let mut samples = Vec::with_capacity(warm_up.max(requests));
        self.run(warm_up, &mut samples)?;
        samples.clear();
        let before = self.model.statistics()?;
        let meter = Meter::start();
        self.run(requests, &mut samples)?;
        let mut figures = meter.stop(self.name, requests, &mut samples);
        let after = self.model.statistics()?;
        add_statistics(&mut figures, &before, &after, requests);
        Ok(figures)
    }
}

/// What the engine itself counted between two moments.
fn add_statistics(figures: &mut Figures, before: &ModelStatistics, after: &ModelStatistics, requests: usize) {
    let executions = (after.execution_count - before.execution_count).max(1);
    figures.mean_batch = (after.inference_count - before.inference_count) as f64 / executions as f64;
    figures.bytes_copied_per_req = (after.bytes_copied - before.bytes_copied) as f64 / requests as f64;
}
