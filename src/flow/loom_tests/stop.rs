//! Stopping: a submission is refused or answered, whoever meets whom.

use super::*;

fn stop(lane: &Lane) {
    lane.begin_stop();
    lane.end_stop();
}

#[test]
fn loom_a_submission_into_a_stopping_lane_is_refused_or_answered() {
    model(|| {
        let bench = Arc::new(Bench::new());
        let stopper = spawn({
            let bench = bench.clone();
            move || stop(&bench.lane)
        });
        let ticket = bench.submit();
        stopper.join().unwrap();
        // Nobody leads what was posted: the workers may have ended.
        if let Some(ticket) = ticket {
            assert_eq!(outcome(ticket), Err(ErrorKind::Unavailable));
        }
        bench.work();
        bench.is_at_rest();
    });
}

#[test]
fn loom_a_caller_that_has_an_instance_when_the_lane_stops_is_answered() {
    model(|| {
        let bench = Arc::new(Plan { caller_runs: CallerRuns::OwnRequest, ..Plan::default() }.bench());
        let stopper = spawn({
            let bench = bench.clone();
            move || stop(&bench.lane)
        });
        let answer = match bench.lane.infer(bench.request()) {
            Ok(outcome) => outcome.map(drop).map_err(|error| error.kind()),
            Err(refused) => Err(refused.error.kind()),
        };
        assert!(matches!(answer, Ok(()) | Err(ErrorKind::Unavailable)), "{answer:?}");
        stopper.join().unwrap();
        bench.work();
        bench.is_at_rest();
    });
}

#[test]
fn loom_a_leader_whose_instances_were_retired_answers_what_it_finds() {
    model(|| {
        let bench = Arc::new(Bench::new());
        let first = bench.submit().unwrap();
        let stopper = spawn({
            let bench = bench.clone();
            move || stop(&bench.lane)
        });
        let worker = spawn({
            let bench = bench.clone();
            move || bench.work()
        });
        let second = bench.submit();
        stopper.join().unwrap();
        worker.join().unwrap();
        bench.work();
        for ticket in [Some(first), second].into_iter().flatten() {
            assert!(matches!(outcome(ticket), Ok(()) | Err(ErrorKind::Unavailable)));
        }
        bench.is_at_rest();
    });
}

#[test]
fn loom_an_execution_that_is_late_answers_its_requests_once() {
    model(|| {
        let bench = Arc::new(Bench::new());
        let ticket = bench.submit().unwrap();
        let timer = spawn({
            let bench = bench.clone();
            move || bench.lane.execution_is_late(0, 1)
        });
        bench.work();
        timer.join().unwrap();
        bench.work();
        let expected = if bench.lane.is_stuck() { [Ok(()), Err(ErrorKind::Timeout)] } else { [Ok(()), Ok(())] };
        assert!(expected.contains(&outcome(ticket)));
        bench.is_at_rest_with(1);
    });
}

#[test]
fn loom_a_drained_lane_owes_no_callback() {
    model(|| {
        let plan = Plan { rows_max: 2, caller_runs: CallerRuns::Batch, ..Plan::default() };
        let bench = Arc::new(plan.bench());
        let caller = spawn({
            let bench = bench.clone();
            move || {
                let outcome = bench.lane.infer(bench.request());
                bench.work();
                outcome.is_ok_and(|outcome| outcome.is_ok())
            }
        });
        let owed = Arc::new(());
        let callback = {
            let owed = owed.clone();
            crate::sync::Callback::new(move |_outcome: Outcome| drop(owed))
        };
        drop(bench.submit_with(Notify::Callback(callback)));
        bench.work();
        bench.lane.begin_stop();
        // After this the messenger may end. The caller who led the batch must have handed it the callback by then.
        let is_drained = bench.lane.is_drained();
        assert!(!is_drained || Arc::strong_count(&owed) == 1, "a callback came too late");
        let _refused_or_answered = caller.join().unwrap();
        bench.work();
        bench.is_at_rest_with(1);
    });
}
