//! A leader that waits out a delay: rung when enough has come, when time has passed, when the lane stops.

use super::*;
use std::time::Duration;

const DELAY: u64 = 100;

fn bench() -> Arc<Bench> {
    Arc::new(Plan { rows_max: 2, delay: DELAY, ..Plan::default() }.bench())
}

#[test]
fn loom_a_leader_that_waits_is_rung_when_the_batch_is_full() {
    model(|| {
        let bench = bench();
        let first = bench.submit().unwrap();
        let worker = spawn({
            let bench = bench.clone();
            move || bench.work()
        });
        let second = bench.submit().unwrap();
        // Time stands still: only a ring lets the leader go on.
        worker.join().unwrap();
        bench.work();
        assert_eq!((outcome(first), outcome(second), bench.executed()), (Ok(()), Ok(()), 1));
        bench.is_at_rest_with(1);
    });
}

#[test]
fn loom_a_leader_that_waits_sees_the_time_pass() {
    model(|| {
        let bench = bench();
        let ticket = bench.submit().unwrap();
        let worker = spawn({
            let bench = bench.clone();
            move || bench.work()
        });
        bench.clock.advance(Duration::from_nanos(DELAY));
        worker.join().unwrap();
        assert_eq!(outcome(ticket), Ok(()));
        bench.is_at_rest_with(1);
    });
}

#[test]
fn loom_a_leader_that_waits_is_rung_when_the_lane_stops() {
    model(|| {
        let bench = bench();
        let ticket = bench.submit().unwrap();
        let worker = spawn({
            let bench = bench.clone();
            move || bench.work()
        });
        bench.lane.begin_stop();
        worker.join().unwrap();
        assert_eq!(outcome(ticket), Ok(()));
        assert!(bench.lane.is_drained());
        bench.is_at_rest_with(1);
    });
}
