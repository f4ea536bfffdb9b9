//! Models of a future's poll against the answer: the waker is never lost, and a dropped future leaves nothing behind; of
//! jobs against a stop; and of versions that follow one another while a request looks for one.

use super::catalog::Catalog;
use super::future::ResponseFuture;
use super::jobs::Jobs;
use super::retire::Retiring;
use super::route::Choice;
use super::served::{Served, Weights};
use super::version::{Loaded, Parting};
use crate::config::ModelConfig;
use crate::flow::Ticket;
use crate::flow::loom_tests::{Bench, outcome};
use crate::sync::{AtomicUsize, Clock, Doorbell, ManualClock, Ordering, model, spawn};
use inferlay_backend_sdk::{Attributes, Error, Instance, InstanceSpec, Model, Signature};
use std::future::Future;
use std::pin::Pin;
use std::sync::Arc;
use std::task::{Context, Poll, Wake, Waker};
use std::time::Duration;

struct Woken(Doorbell);

impl Wake for Woken {
    fn wake(self: Arc<Self>) {
        self.0.ring();
    }
}

fn poll(future: &mut ResponseFuture, woken: &Arc<Woken>) -> bool {
    let waker = Waker::from(woken.clone());
    match Pin::new(future).poll(&mut Context::from_waker(&waker)) {
        Poll::Ready(outcome) => outcome.is_ok_and(|response| response.slice::<u8>("y").is_ok_and(|y| y == [7])),
        Poll::Pending => false,
    }
}

#[test]
fn loom_a_future_that_is_pending_is_woken() {
    model(|| {
        let bench = Arc::new(Bench::new());
        let mut future = ResponseFuture::new(bench.submit().unwrap());
        let worker = spawn({
            let bench = bench.clone();
            move || bench.work()
        });
        // A waker that is replaced must not be the one that is woken: two tasks poll, the second waits.
        let (first, second) = [(); 2].map(|()| Arc::new(Woken(Doorbell::new()))).into();
        if !poll(&mut future, &first) {
            while !poll(&mut future, &second) {
                second.0.wait(0);
            }
        }
        worker.join().unwrap();
        drop(future);
        bench.is_at_rest_with(1);
    });
}

#[test]
fn loom_a_future_that_is_dropped_leaves_nothing_behind() {
    model(|| {
        let bench = Arc::new(Bench::new());
        let future = ResponseFuture::new(bench.submit().unwrap());
        let worker = spawn({
            let bench = bench.clone();
            move || bench.work()
        });
        drop(future);
        worker.join().unwrap();
        bench.sweep_out();
        bench.is_at_rest_with(1);
    });
}

/// A job that counts whether it ran or was dropped, and whether another was inside beside it.
struct Job {
    counts: Arc<[AtomicUsize; 3]>,
    has_run: bool,
}

impl Job {
    fn run(mut self) {
        let [ran, _, inside] = &*self.counts;
        assert_eq!(inside.fetch_add(1, Ordering::AcqRel), 0, "two jobs of one model at once");
        ran.fetch_add(1, Ordering::AcqRel);
        inside.fetch_sub(1, Ordering::AcqRel);
        self.has_run = true;
    }
}

impl Drop for Job {
    fn drop(&mut self) {
        self.counts[1].fetch_add(usize::from(!self.has_run), Ordering::AcqRel);
    }
}

#[test]
fn loom_a_job_runs_or_is_dropped_and_never_beside_another_of_its_model() {
    model(|| {
        let jobs = Arc::new(Jobs::new(2));
        let counts: Arc<[AtomicUsize; 3]> = Arc::new([(); 3].map(|()| AtomicUsize::new(0)));
        let push = |jobs: &Jobs, counts: &Arc<[AtomicUsize; 3]>| {
            let job = Job { counts: counts.clone(), has_run: false };
            jobs.push("m", move || job.run());
        };
        let pusher = spawn({
            let (jobs, counts) = (jobs.clone(), counts.clone());
            move || push(&jobs, &counts)
        });
        push(&jobs, &counts);
        assert!(jobs.stop(&Clock::Manual(ManualClock::new()), u64::MAX));
        pusher.join().unwrap();
        let [ran, dropped, _] = [0, 1, 2].map(|index: usize| counts[index].load(Ordering::Acquire));
        assert_eq!(ran + dropped, 2, "{ran} ran, {dropped} were dropped");
    });
}

/// The weights of a version, which tell when they are freed.
struct Freed {
    count: Arc<AtomicUsize>,
    signature: Signature,
}

impl Model for Freed {
    fn signature(&self) -> &Signature {
        &self.signature
    }

    fn instance(&self, _spec: &InstanceSpec) -> Result<Box<dyn Instance>, Error> {
        Err(Error::internal("made by hand"))
    }
}

impl Drop for Freed {
    fn drop(&mut self) {
        self.count.fetch_add(1, Ordering::AcqRel);
    }
}

/// Three versions of one model, each over the lane of a bench.
struct Story {
    benches: [Bench; 3],
    catalog: Arc<Catalog>,
    retiring: Retiring,
    /// The version that serves for certain, and the last that may.
    serves: AtomicUsize,
    begun: AtomicUsize,
    freed: Arc<AtomicUsize>,
}

impl Story {
    fn begin() -> Arc<Self> {
        let first = Bench::new();
        let services = first.lane.services.clone();
        let benches = [first.another(), first.another(), first];
        let (catalog, retiring) = (Catalog::begin(services.clone()), Retiring::new(services));
        let (serves, begun, freed) = (AtomicUsize::new(1), AtomicUsize::new(1), Arc::new(AtomicUsize::new(0)));
        let story = Arc::new(Story { benches, catalog, retiring, serves, begun, freed });
        let entry = story.catalog.entry_or_new("m");
        assert!(entry.put_first(1, story.served(1), &story.catalog.events).is_ok());
        story
    }

    fn served(&self, version: usize) -> Served {
        let weights = Freed { count: self.freed.clone(), signature: Signature::default() };
        let weights = Weights::new(Arc::new(weights), Attributes::NONE, None);
        let lane = self.benches[version - 1].lane.clone();
        Served { lane, weights, config: Arc::new(ModelConfig::new("m")), line: None }
    }

    /// As a job that loads does, once it has loaded.
    fn load(&self, version: usize) {
        let (entry, number) = (self.catalog.entry_or_new("m"), version as u64);
        let turn = entry.turn();
        assert!(entry.begin(turn, &[number], &self.catalog.events));
        self.begun.store(version, Ordering::Release);
        let loaded = vec![(number, Loaded::Serves(self.served(version)))];
        let committed = entry.commit(turn, loaded, None, &self.catalog.events);
        self.serves.store(version, Ordering::Release);
        assert!(committed.counted && committed.overtaken.is_empty());
        for (gone, served) in committed.retired {
            let (entry, catalog) = (entry.clone(), self.catalog.clone());
            self.retiring.retire(served, Duration::MAX, move |drained| {
                assert_eq!(drained, Ok(()), "it was let go too early");
                entry.freed((gone, turn), Parting::Replaced, &catalog.events);
            });
        }
    }

    /// As a handle does: until a lane takes the request.
    fn submit(&self) -> Ticket {
        let entry = self.catalog.entry_or_new("m");
        loop {
            let course = entry.course(&Choice::Any).unwrap_or_else(|error| panic!("nothing serves: {error}"));
            let lane = &course.main().lane;
            let Some(bench) = self.benches.iter().find(|bench| Arc::ptr_eq(&bench.lane, lane)) else {
                panic!("an unknown lane serves")
            };
            if let Some(ticket) = bench.submit() {
                return ticket;
            }
            assert!(lane.is_stopping(), "a lane that serves refused it");
        }
    }
}

#[test]
fn loom_a_request_among_versions_that_follow_one_another_is_answered_once_by_one_that_serves() {
    model(|| {
        let story = Story::begin();
        let loader = spawn({
            let story = story.clone();
            move || [2, 3].into_iter().for_each(|version| story.load(version))
        });
        let least = story.serves.load(Ordering::Acquire);
        let ticket = story.submit();
        let most = story.begun.load(Ordering::Acquire);
        story.benches[0].work();
        assert_eq!(outcome(ticket), Ok(()));
        let by: Vec<_> = (1..=3).filter(|version| story.benches[version - 1].executed() > 0).collect();
        assert!(by.len() == 1 && (least..=most).contains(&by[0]), "{by:?} answered, of {least} to {most}");
        loader.join().unwrap();
        story.retiring.stop(u64::MAX);
        let index: Vec<_> = story.catalog.index().into_iter().map(|status| status.version).collect();
        assert_eq!((index, story.freed.load(Ordering::Acquire)), (vec![3], 2));
        story.benches.iter().for_each(Bench::is_at_rest);
    });
}
