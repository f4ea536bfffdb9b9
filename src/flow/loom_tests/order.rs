//! The order of answers: they go out in turn, each once, and no answer is held for ever, whoever comes first.

use super::*;
use std::task::{Wake, Waker};

type Told = Arc<Mutex<Vec<u8>>>;

/// Notes that an answer has gone out.
struct Note(u8, Told);

impl Wake for Note {
    fn wake(self: Arc<Self>) {
        self.1.lock().push(self.0);
    }
}

/// A bench whose backend has taken as many requests as this, and the responder of each.
fn begun(count: u8, told: &Told) -> (Bench, Vec<(Ticket, Responder)>) {
    let plan = Plan { takes: true, is_ordered: true, instances: usize::from(count), ..Plan::default() };
    let bench = plan.bench();
    let taken = (1..=count).map(|number| {
        let waker = Waker::from(Arc::new(Note(number, told.clone())));
        let ticket = bench.submit_with(Notify::Waker(waker)).unwrap();
        bench.work();
        let responder = bench.taken.lock().pop().unwrap();
        (ticket, responder)
    });
    let taken = taken.collect();
    (bench, taken)
}

fn respond(responder: Responder) {
    responder.respond([(0, sevens(1))]).unwrap();
}

#[test]
fn loom_answers_go_out_in_turn_whoever_is_first() {
    model(|| {
        let told = Told::default();
        let (bench, mut taken) = begun(2, &told);
        let ((second, two), (first, one)) = (taken.pop().unwrap(), taken.pop().unwrap());
        let backend = spawn(move || respond(two));
        respond(one);
        backend.join().unwrap();
        assert_eq!(*told.lock(), [1, 2]);
        assert_eq!((outcome(first), outcome(second)), (Ok(()), Ok(())));
        bench.is_at_rest_with(2);
    });
}

#[test]
fn loom_an_answer_that_is_held_is_given_up_once() {
    model(|| {
        let told = Told::default();
        let (bench, mut taken) = begun(2, &told);
        let ((second, two), (first, one)) = (taken.pop().unwrap(), taken.pop().unwrap());
        let late = second.clone();
        let timer = spawn(move || answer::cancel(&late));
        respond(two);
        assert!(timer.join().is_ok() && second.state.is_answered(), "nobody waits for its turn");
        respond(one);
        assert_eq!((told.lock().as_slice(), outcome(second)), (&[2, 1][..], Err(ErrorKind::Cancelled)));
        assert_eq!(outcome(first), Ok(()));
        bench.is_at_rest_with(2);
    });
}

#[test]
fn loom_nobody_waits_for_one_that_was_given_up() {
    model(|| {
        let told = Told::default();
        let (bench, mut taken) = begun(2, &told);
        let ((second, two), (first, one)) = (taken.pop().unwrap(), taken.pop().unwrap());
        let late = first.clone();
        let timer = spawn(move || answer::cancel(&late));
        respond(two);
        timer.join().unwrap();
        assert_eq!((outcome(first), outcome(second)), (Err(ErrorKind::Cancelled), Ok(())));
        drop(one);
        bench.is_at_rest_with(2);
    });
}
