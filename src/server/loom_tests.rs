//! Models of a future's poll against the answer: the waker is never lost, and a dropped future leaves nothing behind; and of
//! jobs against a stop.

use super::future::ResponseFuture;
use super::jobs::Jobs;
use crate::flow::loom_tests::Bench;
use crate::sync::{AtomicUsize, Clock, Doorbell, ManualClock, Ordering, model, spawn};
use std::future::Future;
use std::pin::Pin;
use std::sync::Arc;
use std::task::{Context, Poll, Wake, Waker};

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
