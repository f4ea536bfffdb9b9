//! Models of a future's poll against the answer: the waker is never lost, and a dropped future leaves nothing behind.

use super::future::ResponseFuture;
use crate::flow::loom_tests::Bench;
use crate::sync::{Doorbell, model, spawn};
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
