//! Streams: one end, whoever comes first; nobody who waits is forgotten; one thread at a time calls the listener.

use super::*;
use inferlay_backend_sdk::ResponseFlags;

const MORE: ResponseFlags = ResponseFlags { last: false };

fn bench() -> Bench {
    Plan { takes: true, credit_max: Some(1), ..Plan::default() }.bench()
}

fn begin(bench: &Bench) -> (Ticket, Arc<Stream>, Responder) {
    let (ticket, stream) = bench.lane.stream(bench.request()).map_err(drop).unwrap();
    bench.work();
    let responder = bench.taken.lock().pop().unwrap();
    (ticket, stream, responder)
}

/// How many responses come, and how it ends.
fn take_all(stream: &Arc<Stream>) -> (usize, Result<bool, ErrorKind>) {
    let mut responses = 0;
    loop {
        match stream.wait() {
            Delivery::Response(response, _untaken) => {
                assert_eq!(response.slice::<u8>("y").unwrap(), [7]);
                responses += 1;
            }
            Delivery::Last(last) => break (responses, last.map(|last| last.is_some()).map_err(|error| error.kind())),
        }
    }
}

#[test]
fn loom_a_stream_has_one_end_and_a_sender_knows_what_became_of_each_response() {
    model(|| {
        let bench = bench();
        let (ticket, stream, responder) = begin(&bench);
        let backend = spawn(move || {
            let is_sent = responder.send([(0, sevens(1))], MORE).is_ok();
            (usize::from(is_sent), responder.finish().is_ok())
        });
        answer::expire(&ticket, On::Service);
        let (sent, is_ended) = backend.join().unwrap();
        let expected = if is_ended { Ok(false) } else { Err(ErrorKind::Timeout) };
        assert_eq!(take_all(&stream), (sent, expected));
        drop((ticket, stream));
        bench.is_at_rest_with(1);
    });
}

#[test]
fn loom_whoever_waits_for_a_response_or_the_end_is_woken() {
    model(|| {
        let bench = bench();
        let (ticket, stream, responder) = begin(&bench);
        let backend = spawn(move || {
            responder.send([(0, sevens(1))], MORE).unwrap();
            responder.respond([(0, sevens(1))]).unwrap();
        });
        assert_eq!(take_all(&stream), (1, Ok(true)));
        backend.join().unwrap();
        drop((ticket, stream));
        bench.is_at_rest_with(1);
    });
}

#[test]
fn loom_a_taker_who_goes_leaves_nothing_behind() {
    model(|| {
        let bench = bench();
        let (ticket, stream, responder) = begin(&bench);
        let backend = spawn(move || drop(responder.send([(0, sevens(1))], MORE)));
        answer::cancel(&ticket);
        stream.close();
        drop(ticket);
        backend.join().unwrap();
        assert_eq!((stream.credit(), stream.take(None).is_none()), (1, true));
        drop(stream);
        bench.is_at_rest_with(1);
    });
}

#[test]
fn loom_a_listener_is_called_by_one_thread_at_a_time_for_everything_once() {
    model(|| {
        let bench = bench();
        let told = Arc::new(Mutex::new((0, 0)));
        let telling = told.clone();
        let listener = Box::new(move |delivery| {
            // Whoever came in between would find it locked, and a response after the end.
            let mut told = telling.lock();
            match delivery {
                Delivery::Response(..) => told.0 += 1,
                Delivery::Last(last) => told.1 += usize::from(last.unwrap().is_none()),
            }
            assert!(told.1 == 0 || told.0 == 1);
        });
        let stream = bench.lane.listening(bench.request(), listener).map_err(drop).unwrap();
        bench.work();
        let responder = bench.taken.lock().pop().unwrap();
        let backend = spawn(move || {
            responder.send([(0, sevens(1))], MORE).unwrap();
            responder.finish().unwrap();
        });
        // The messenger, which has stopped, would deliver what is posted.
        while stream.is_posted() && stream.deliver(&mut 16) {}
        backend.join().unwrap();
        while stream.is_posted() && stream.deliver(&mut 16) {}
        assert_eq!(*told.lock(), (1, 1));
        drop(stream);
        bench.is_at_rest_with(1);
    });
}
