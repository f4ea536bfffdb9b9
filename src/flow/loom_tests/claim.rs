//! Exactly one of execution, deadline and cancel answers; inputs are let go once, tasks come home once.

use super::*;

#[test]
fn loom_a_deadline_and_a_leader_answer_once_between_them() {
    model(|| {
        let bench = Arc::new(Bench::new());
        let ticket = bench.submit().unwrap();
        let timer = spawn({
            let ticket = ticket.clone();
            move || answer::expire(&ticket, On::Service)
        });
        bench.work();
        timer.join().unwrap();
        let expired = bench.lane.refusals.expired.read();
        let expected = if expired == 1 { Err(ErrorKind::Timeout) } else { Ok(()) };
        assert_eq!(outcome(ticket), expected);
        bench.is_at_rest_with(1);
    });
}

#[test]
fn loom_a_cancel_before_after_or_during_its_submission_answers_once() {
    model(|| {
        let bench = Arc::new(Bench::new());
        let token = CancelToken::new();
        let canceller = spawn({
            let token = token.clone();
            move || token.cancel()
        });
        let request = bench.request().cancel_with(&token);
        let Ok((ticket, _)) = bench.lane.submit(request, Notify::Nobody, Manner::Async) else { panic!("refused") };
        bench.work();
        canceller.join().unwrap();
        bench.work();
        let cancelled = bench.lane.refusals.cancelled.read();
        let expected = if cancelled == 1 { Err(ErrorKind::Cancelled) } else { Ok(()) };
        assert_eq!(outcome(ticket), expected);
        bench.is_at_rest_with(1);
    });
}

#[test]
fn loom_a_deadline_a_cancel_and_a_leader_answer_once_between_them() {
    model(|| {
        let bench = Arc::new(Bench::new());
        let ticket = bench.submit().unwrap();
        let threads = [answer::cancel as fn(&Ticket), |ticket| answer::expire(ticket, On::Service)].map(|give_up| {
            let ticket = ticket.clone();
            spawn(move || give_up(&ticket))
        });
        bench.work();
        for thread in threads {
            thread.join().unwrap();
        }
        let counts = (bench.lane.refusals.expired.read(), bench.lane.refusals.cancelled.read());
        let expected = match counts {
            (1, 0) => Err(ErrorKind::Timeout),
            (0, 1) => Err(ErrorKind::Cancelled),
            (0, 0) => Ok(()),
            _ => panic!("answered twice: {counts:?}"),
        };
        assert_eq!(outcome(ticket), expected);
        bench.is_at_rest_with(1);
    });
}

#[test]
fn loom_a_task_whose_caller_goes_away_comes_home_once() {
    model(|| {
        let bench = Arc::new(Bench::new());
        let ticket = bench.submit().unwrap();
        let caller = spawn(move || {
            answer::cancel(&ticket);
            drop(ticket);
        });
        bench.work();
        caller.join().unwrap();
        bench.sweep_out();
        bench.is_at_rest_with(1);
    });
}

#[test]
fn loom_a_callback_is_called_once_whoever_answers() {
    model(|| {
        let bench = Arc::new(Bench::new());
        let calls = Arc::new(AtomicUsize::new(0));
        let callback = {
            let calls = calls.clone();
            crate::sync::Callback::new(move |_outcome: Outcome| _ = calls.fetch_add(1, Ordering::Relaxed))
        };
        let ticket = bench.submit_with(Notify::Callback(callback)).unwrap();
        let canceller = spawn(move || answer::expire(&ticket, On::Worker));
        bench.work();
        canceller.join().unwrap();
        assert_eq!(calls.load(Ordering::Relaxed), 1);
        bench.sweep_out();
        bench.is_at_rest_with(1);
    });
}

#[test]
fn loom_a_waiter_that_comes_late_is_told() {
    model(|| {
        let bench = Arc::new(Bench::new());
        let ticket = bench.submit().unwrap();
        let worker = spawn({
            let bench = bench.clone();
            move || bench.work()
        });
        *ticket.notify.lock() = Notify::Bell;
        while !ticket.state.is_answered() {
            ticket.bell.wait(0);
        }
        assert_eq!(outcome(ticket), Ok(()));
        worker.join().unwrap();
        bench.is_at_rest_with(1);
    });
}
