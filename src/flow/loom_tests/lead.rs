//! The lead is never lost: live requests and a free instance imply that somebody leads, or a lead is posted.

use super::*;

#[test]
fn loom_a_submission_is_seen_by_a_leader_that_resigns() {
    model(|| {
        let bench = Arc::new(Bench::new());
        let first = bench.submit().unwrap();
        let worker = spawn({
            let bench = bench.clone();
            move || bench.work()
        });
        let second = bench.submit().unwrap();
        worker.join().unwrap();
        bench.work();
        assert_eq!((outcome(first), outcome(second)), (Ok(()), Ok(())));
        bench.is_at_rest_with(1);
    });
}

#[test]
fn loom_two_submitters_and_two_instances_lose_no_lead() {
    model(|| {
        let bench = Arc::new(Plan { instances: 2, ..Plan::default() }.bench());
        let other = spawn({
            let bench = bench.clone();
            move || {
                let ticket = bench.submit().unwrap();
                bench.work();
                ticket
            }
        });
        let own = bench.submit().unwrap();
        bench.work();
        let other = other.join().unwrap();
        bench.work();
        assert_eq!((outcome(own), outcome(other), bench.executed()), (Ok(()), Ok(()), 2));
        bench.is_at_rest_with(2);
    });
}

#[test]
fn loom_an_instance_that_comes_back_serves_who_came_meanwhile() {
    model(|| {
        let bench = Arc::new(Plan { caller_runs: CallerRuns::Batch, ..Plan::default() }.bench());
        let caller = spawn({
            let bench = bench.clone();
            move || bench.lane.infer(bench.request()).is_ok_and(|outcome| outcome.is_ok())
        });
        // While the caller has the instance, only its way back can tell that this one waits.
        let waiting = bench.submit().unwrap();
        bench.work();
        assert!(caller.join().unwrap());
        bench.work();
        assert_eq!(outcome(waiting), Ok(()));
        bench.is_at_rest_with(1);
    });
}

#[test]
fn loom_callers_that_lead_answer_each_other() {
    model(|| {
        let bench = Arc::new(Plan { caller_runs: CallerRuns::Batch, ..Plan::default() }.bench());
        let call = |bench: &Bench| {
            let outcome = bench.lane.infer(bench.request()).map_err(|refused| refused.error.kind());
            // A lead that was handed on would be a worker's.
            bench.work();
            outcome.map(|outcome| outcome.is_ok())
        };
        let other = spawn({
            let bench = bench.clone();
            move || call(&bench)
        });
        assert_eq!((call(&bench), other.join().unwrap()), (Ok(true), Ok(true)));
        assert_eq!(bench.executed(), 2);
        bench.is_at_rest_with(1);
    });
}

#[test]
fn loom_a_caller_does_not_overtake_a_request_that_waits() {
    model(|| {
        let bench = Arc::new(Plan { caller_runs: CallerRuns::Batch, ..Plan::default() }.bench());
        let waiting = bench.submit().unwrap();
        // The lead is posted and not taken: the caller must not take the instance past the one that waits.
        let worker = spawn({
            let bench = bench.clone();
            move || bench.work()
        });
        let own = bench.lane.infer(bench.request()).unwrap();
        assert_eq!((own.is_ok(), bench.executed()), (true, 2));
        worker.join().unwrap();
        bench.work();
        assert_eq!(outcome(waiting), Ok(()));
        drop(own);
        bench.is_at_rest_with(1);
    });
}

#[test]
fn loom_a_worker_that_falls_asleep_takes_the_lead_and_ends_when_told() {
    model(|| {
        let bench = Arc::new(Plan { workers_max: 1, ..Plan::default() }.bench());
        for _ in 0..2 {
            // The second call finds the worker answering, falling asleep, or asleep.
            let outcome = bench.lane.infer(bench.request()).map_err(|refused| refused.error);
            assert!(outcome.unwrap().is_ok());
        }
        bench.lane.services.workers.stop();
        assert_eq!(bench.lane.services.workers.len(), 0);
        bench.is_at_rest_with(1);
    });
}

#[test]
fn loom_a_lead_that_waits_for_a_busy_worker_is_taken() {
    model(|| {
        let bench = Plan { workers_max: 1, instances: 2, ..Plan::default() }.bench();
        // The second lead finds the one worker starting, leading, answering or asleep.
        let tickets = [(); 2].map(|()| bench.submit().unwrap());
        for ticket in &tickets {
            *ticket.notify.lock() = Notify::Bell;
            while !ticket.state.is_answered() {
                ticket.bell.wait(0);
            }
        }
        assert_eq!(tickets.map(outcome), [Ok(()), Ok(())]);
        bench.lane.services.workers.stop();
        bench.is_at_rest_with(2);
    });
}
