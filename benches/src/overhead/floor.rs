//! The floor: two threads, a queue each way, nothing else. What any engine with a thread of its own must at least do.

use crate::case::{Case, CaseError};
use crate::measure::{Figures, Meter, SAMPLED_EVERY};
use parking_lot::{Condvar, Mutex};
use std::collections::VecDeque;
use std::thread;
use std::time::Instant;

/// Jobs that a thread takes one by one, and sleeps when there is none.
struct Queue<T> {
    jobs: Mutex<VecDeque<T>>,
    filled: Condvar,
}

impl<T> Queue<T> {
    fn new(capacity: usize) -> Self {
        Queue { jobs: Mutex::new(VecDeque::with_capacity(capacity)), filled: Condvar::new() }
    }

    fn push(&self, job: T) {
        self.jobs.lock().push_back(job);
        self.filled.notify_one();
    }

    fn pop(&self) -> T {
        let mut jobs = self.jobs.lock();
        loop {
            match jobs.pop_front() {
                Some(job) => return job,
                None => self.filled.wait(&mut jobs),
            }
        }
    }
}

enum Job {
    /// To be sent back, with the moment of its submission if it is timed.
    Echo(Option<Instant>),
    Stop,
}

/// A closed loop through a bare hand-off to another thread and back.
pub(super) struct Floor {
    name: &'static str,
    in_flight: usize,
    there: Queue<Job>,
    back: Queue<Option<Instant>>,
}

impl Floor {
    pub(super) fn new(name: &'static str, in_flight: usize) -> Self {
        // One more for the job that stops the other thread.
        Floor { name, in_flight, there: Queue::new(in_flight + 1), back: Queue::new(in_flight + 1) }
    }

    fn work(&self) {
        while let Job::Echo(sent) = self.there.pop() {
            self.back.push(sent);
        }
    }

    fn loop_closed(&self, requests: usize, samples: &mut Vec<u64>) {
        let mut submitted = 0;
        for finished in 0..requests {
            while submitted < requests && submitted - finished < self.in_flight {
                let sent = submitted.is_multiple_of(SAMPLED_EVERY).then(Instant::now);
                self.there.push(Job::Echo(sent));
                submitted += 1;
            }
            if let Some(sent) = self.back.pop() {
                samples.push(sent.elapsed().as_nanos() as u64);
            }
        }
    }
}

impl Case for Floor {
    fn name(&self) -> &'static str {
        self.name
    }

    fn measure(&mut self, warm_up: usize, requests: usize) -> Result<Figures, CaseError> {
        let mut samples = Vec::with_capacity(warm_up.max(requests));
        thread::scope(|scope| {
            scope.spawn(|| self.work());
            self.loop_closed(warm_up, &mut samples);
            samples.clear();
            let meter = Meter::start();
            self.loop_closed(requests, &mut samples);
            let figures = meter.stop(self.name, requests, &mut samples);
            self.there.push(Job::Stop);
            Ok(figures)
        })
    }
}
