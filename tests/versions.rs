//! Several versions of a model at once: labels, traffic that is split, a shadow, and what is counted of each.

#![allow(clippy::unwrap_used, clippy::expect_used, reason = "a test may unwrap")]

mod common;

use common::paged;
use common::scale::{HELD, POISON, Scale, ask, ask_in_turn};
use common::{Folder, PATIENCE, eventually, finishes, receive};
use inferlay::{
    CancelToken, ErrorKind, Input, LoadOptions, ManualClock, ModelHandle, ModelStatistics, Request, Response,
    ServerHandle,
};
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::sync::{Arc, mpsc};
use std::thread;
use std::time::Duration;

/// A server with a model `m` of these versions, each of which multiplies by its factor.
fn serving(factors: &[(u64, &str)]) -> (ServerHandle, Scale) {
    let scale = Scale::default();
    let server = ServerHandle::builder().explicit([""; 0]).backend(Arc::new(scale.clone())).start().unwrap();
    load(&server, all(factors)).unwrap();
    (server, scale)
}

/// These versions, and no others.
fn all(factors: &[(u64, &str)]) -> LoadOptions {
    let files = factors.iter().map(|(version, text)| (format!("{version}/factor.txt"), text.as_bytes().to_vec()));
    LoadOptions::new().config("version_policy: all\nmax_batch_size: 8").files(files)
}

fn load(server: &ServerHandle, options: LoadOptions) -> Result<(), inferlay::Error> {
    server.load_model_with("m", options).wait_for(PATIENCE).expect("the load did not end")
}

/// Which version has answered, as it says and as its factor shows.
fn version_of(response: &Response, value: f32) -> u64 {
    assert_eq!(response.slice::<f32>("y").unwrap(), [response.version() as f32 * value]);
    response.version()
}

fn statistics(server: &ServerHandle, version: u64) -> ModelStatistics {
    server.model_version("m", version).unwrap().statistics().unwrap()
}

#[test]
fn a_label_stands_for_a_number_and_moves_live() {
    finishes(|| {
        let (server, _) = serving(&[(1, "1"), (2, "2"), (3, "3")]);
        server.set_label("m", "stable", 1).unwrap();
        server.set_label("m", "canary", 3).unwrap();
        let (stable, canary) =
            (server.model_labelled("m", "stable").unwrap(), server.model_labelled("m", "canary").unwrap());
        let asked = |handle: &ModelHandle| version_of(&handle.infer(ask(2.0)).unwrap(), 2.0);
        assert_eq!((asked(&stable), asked(&canary), stable.version().unwrap()), (1, 3, 1));
        server.set_label("m", "stable", 2).unwrap();
        assert_eq!((asked(&stable), asked(&stable.clone()), asked(&canary)), (2, 2, 3));
        let labels: Vec<_> = server.labels("m").unwrap().into_iter().collect();
        assert_eq!(labels, [("canary".to_owned(), 3), ("stable".to_owned(), 2)]);
        server.remove_label("m", "canary").unwrap();
        let error = canary.infer(ask(1.0)).unwrap_err();
        assert_eq!(error.message(), "model 'm': label 'canary' not found; known: stable");
        assert_eq!(server.remove_label("m", "canary").unwrap_err(), error);
        // Nobody else's requests were touched.
        assert_eq!(asked(&server.model("m").unwrap()), 3);
    });
}

#[test]
fn a_label_is_put_at_versions_that_serve_and_stays_when_they_do_not() {
    finishes(|| {
        let (server, _) = serving(&[(1, "1"), (2, "2")]);
        load(&server, all(&[(1, "1"), (2, "2"), (4, "broken")])).unwrap_err();
        let refused = |label: &str, version| server.set_label("m", label, version).unwrap_err();
        assert_eq!(refused("new", 9).message(), "model 'm' version 9 not found; known: 1, 2, 4");
        let broken = refused("new", 4);
        assert!(broken.kind() == ErrorKind::Unavailable && broken.message().contains("'broken'"), "{broken}");
        assert_eq!(refused("1", 1).kind(), ErrorKind::InvalidArg);
        assert_eq!(server.set_label("n", "new", 1).unwrap_err().kind(), ErrorKind::NotFound);
        assert!(server.labels("m").unwrap().is_empty());
        server.set_label("m", "old", 1).unwrap();
        let old = server.model_labelled("m", "old").unwrap();
        load(&server, all(&[(2, "2")])).unwrap();
        eventually("version 1 is gone", || server.models().len() == 1);
        let error = old.infer(ask(1.0)).unwrap_err();
        assert_eq!(error.message(), "model 'm' label 'old', which is version 1, not found; known: 2");
        load(&server, all(&[(1, "1"), (2, "2")])).unwrap();
        assert_eq!(old.infer(ask(1.0)).unwrap().version(), 1);
        // What is removed takes its labels along; what is unloaded may come back.
        server.unload_model("m").wait_for(PATIENCE).unwrap().unwrap();
        assert_eq!(server.labels("m").unwrap().len(), 1);
        load(&server, all(&[(1, "1")])).unwrap();
        server.remove_model("m", PATIENCE).unwrap();
        assert!(server.labels("m").unwrap().is_empty());
    });
}

#[test]
fn a_config_directs_requests_until_it_is_directed_live_and_again_when_it_changes() {
    finishes(|| {
        let (server, scale) = serving(&[(1, "1"), (2, "2"), (3, "3")]);
        let with = |keys: &str| {
            let config = format!("version_policy: all\nmax_batch_size: 8\n{keys}");
            load(&server, all(&[(1, "1"), (2, "2"), (3, "3")]).config(config))
        };
        let directed = || {
            let labels: Vec<_> = server.labels("m").unwrap().into_values().collect();
            (labels, server.traffic("m").unwrap(), server.shadow("m").unwrap())
        };
        let loads = scale.loads();
        with("version_labels: {canary: 2, stable: 1}\ntraffic: {1: 9, 2: 1}\nshadow: 3").unwrap();
        assert_eq!(directed(), (vec![2, 1], vec![(1, 9), (2, 1)], Some(3)));
        let (stable, any) = (server.model_labelled("m", "stable").unwrap(), server.model("m").unwrap());
        assert_eq!(stable.infer(ask(1.0)).unwrap().version(), 1);
        let asked: u64 = (0..10).map(|_| any.infer(ask(1.0)).unwrap().version()).sum();
        assert_eq!(asked, 9 + 2);
        assert_eq!(any.config().unwrap().shadow, Some(3));
        // What is said live counts for as long as the config says what it said.
        server.set_label("m", "stable", 2).unwrap();
        server.clear_traffic("m").unwrap();
        with("version_labels: {canary: 2, stable: 1}\ntraffic: {1: 9, 2: 1}\nshadow: 3\ncaller_runs: never").unwrap();
        assert_eq!(directed(), (vec![2, 2], vec![], Some(3)));
        with("version_labels: {stable: 3}\ntraffic: {1: 9, 2: 1}\ncaller_runs: never").unwrap();
        assert_eq!(directed(), (vec![3], vec![], None));
        assert_eq!(stable.infer(ask(1.0)).unwrap().version(), 3);
        // A config that cannot be taken in directs nothing; nothing of all this has loaded anything.
        let config = "version_policy: all\nmax_batch_size: 8\nversion_labels: {stable: 1}";
        load(&server, all(&[(1, "1"), (2, "2"), (3, "3"), (4, "broken")]).config(config)).unwrap_err();
        assert_eq!(directed().0, [3]);
        assert_eq!(scale.loads(), loads + 1);
    });
}

#[test]
fn a_config_may_name_versions_that_are_not_there_yet() {
    finishes(|| {
        let (server, _) = serving(&[(1, "1")]);
        let config = "version_policy: all\nmax_batch_size: 8\nversion_labels: {canary: 2}\ntraffic: {1: 1, 2: 1}";
        load(&server, all(&[(1, "1")]).config(config)).unwrap();
        let error = server.model_labelled("m", "canary").unwrap_err();
        assert_eq!(error.message(), "model 'm' label 'canary', which is version 2, not found; known: 1");
        assert_eq!(server.infer("m", ask(1.0)).unwrap().version(), 1);
        load(&server, all(&[(1, "1"), (2, "2")]).config(config)).unwrap();
        assert_eq!(server.model_labelled("m", "canary").unwrap().infer(ask(1.0)).unwrap().version(), 2);
        let asked: u64 = (0..4).map(|_| server.infer("m", ask(1.0)).unwrap().version()).sum();
        assert_eq!(asked, 6);
    });
}

#[test]
fn traffic_is_split_exactly_whoever_asks_and_however() {
    finishes(|| {
        let (server, _) = serving(&[(1, "1"), (2, "2"), (3, "3")]);
        let before = server.model("m").unwrap();
        server.set_traffic("m", [(1, 6), (3, 3), (2, 1)]).unwrap();
        let handles = [before, server.model("m").unwrap()];
        let mut asked = [0; 4];
        for turn in 0..100 {
            let (handle, value) = (&handles[turn % 2], (turn + 1) as f32);
            let response = match turn % 3 {
                0 => handle.infer(ask(value)).unwrap(),
                1 => handle.infer_async(ask(value)).unwrap().wait().unwrap(),
                _ => {
                    let (send, answers) = mpsc::channel();
                    handle.infer_callback(ask(value), move |answer| send.send(answer).unwrap()).unwrap();
                    receive(&answers).unwrap()
                }
            };
            asked[version_of(&response, value) as usize] += 1;
        }
        assert_eq!(asked[1..], [60, 10, 30]);
        let counts: Vec<_> = (1..=3).map(|version| statistics(&server, version).success.count).collect();
        assert_eq!(counts, [60, 10, 30]);
        assert_eq!(handles[0].version().unwrap(), 1);
        assert_eq!(server.model_version("m", 2).unwrap().infer(ask(1.0)).unwrap().version(), 2);
        server.clear_traffic("m").unwrap();
        assert!(handles.iter().all(|handle| handle.infer(ask(1.0)).unwrap().version() == 3));
        let error = server.set_traffic("m", [(1, 1), (9, 1)]).unwrap_err();
        assert_eq!(error.message(), "model 'm' version 9 not found; known: 1, 2, 3");
        assert!(server.set_traffic("m", [(1, 0)]).is_err() && server.traffic("m").unwrap().is_empty());
    });
}

#[test]
fn the_share_of_a_version_that_does_not_serve_goes_to_the_others() {
    finishes(|| {
        let (server, _) = serving(&[(1, "1"), (2, "2"), (3, "3"), (4, "4")]);
        server.set_traffic("m", [(1, 1), (2, 2), (3, 5)]).unwrap();
        let handle = server.model("m").unwrap();
        let shares = |requests: usize| {
            let mut asked = [0; 5];
            (0..requests).for_each(|_| asked[handle.infer(ask(1.0)).unwrap().version() as usize] += 1);
            asked
        };
        assert_eq!(shares(16), [0, 2, 4, 10, 0]);
        load(&server, all(&[(1, "1"), (2, "2"), (4, "4")])).unwrap();
        assert_eq!(shares(30), [0, 10, 20, 0, 0]);
        load(&server, all(&[(4, "4")])).unwrap();
        assert_eq!(shares(3), [0, 0, 0, 0, 3]);
        // Nobody has to be told when it is back.
        load(&server, all(&[(1, "1"), (3, "3"), (4, "4")])).unwrap();
        assert_eq!(shares(12), [0, 2, 0, 10, 0]);
    });
}

#[test]
fn the_share_of_a_version_that_is_stuck_goes_to_the_others() {
    finishes(|| {
        let (clock, scale) = (ManualClock::new(), Scale::default());
        let server = ServerHandle::builder().explicit([""; 0]).backend(Arc::new(scale.clone()));
        let server = server.manual_clock(&clock).start().unwrap();
        let config = "version_policy: all\nexecution_timeout_microseconds: 1000";
        let files = [("1/factor.txt", b"1".to_vec()), ("2/factor.txt", b"2".to_vec())];
        let loading = server.load_model_with("m", LoadOptions::new().config(config).files(files));
        eventually("it is loaded", || loading.is_done());
        server.set_traffic("m", [(1, 1), (2, 1)]).unwrap();
        let handle = server.model("m").unwrap();
        let stuck = server.model_version("m", 2).unwrap();
        let held = stuck.infer_async(ask(HELD)).unwrap();
        scale.gate.await_come(1);
        clock.advance(Duration::from_secs(1));
        assert_eq!(held.wait().unwrap_err().kind(), ErrorKind::Timeout);
        assert!((0..20).all(|_| handle.infer(ask(1.0)).unwrap().version() == 1));
        assert_eq!(stuck.infer(ask(1.0)).unwrap_err().kind(), ErrorKind::Unavailable);
        scale.gate.open();
    });
}

#[test]
fn a_shadow_gets_a_copy_of_what_others_answer_and_nothing_else() {
    finishes(|| {
        let (server, _) = serving(&[(1, "1"), (2, "2"), (3, "3")]);
        server.set_label("m", "canary", 3).unwrap();
        server.set_shadow("m", Some(3)).unwrap();
        let handle = server.model("m").unwrap();
        assert_eq!((handle.version().unwrap(), server.shadow("m").unwrap()), (2, Some(3)));
        let x = [5.0f32];
        let lent = Request::new().input("x", Input::from_slice(&x, [1, 1]).unwrap());
        assert_eq!(version_of(&handle.infer(lent).unwrap(), 5.0), 2);
        assert_eq!(version_of(&handle.infer_async(ask(1.0)).unwrap().wait().unwrap(), 1.0), 2);
        let mut y = [0.0f32];
        server
            .infer("m", Request::new().input("x", Input::from_slice(&x, [1, 1]).unwrap()).output_into("y", &mut y))
            .unwrap();
        assert_eq!(y, [10.0]);
        assert_eq!(server.model_version("m", 1).unwrap().infer(ask(1.0)).unwrap().version(), 1);
        eventually("the shadow has answered these", || statistics(&server, 3).success.count == 4);
        // What fails there is counted there.
        assert_eq!(handle.infer(ask(POISON)).unwrap_err().kind(), ErrorKind::InvalidArg);
        eventually("the shadow has failed too", || statistics(&server, 3).fail.count == 1);
        assert_eq!((statistics(&server, 3).success.count, statistics(&server, 3).shadow_dropped_count), (4, 0));
        // Its own requests are not copied.
        assert_eq!(server.model_labelled("m", "canary").unwrap().infer(ask(1.0)).unwrap().version(), 3);
        server.set_shadow("m", None).unwrap();
        assert_eq!(handle.infer(ask(1.0)).unwrap().version(), 3);
        assert_eq!(statistics(&server, 3).success.count, 6);
        assert_eq!(server.set_shadow("m", Some(9)).unwrap_err().kind(), ErrorKind::NotFound);
    });
}

#[test]
fn nobody_waits_for_a_shadow_that_is_behind_and_what_it_misses_is_counted() {
    finishes(|| {
        let (server, scale) = serving(&[(1, "1"), (2, "-2")]);
        server.set_shadow("m", Some(2)).unwrap();
        let handle = server.model("m").unwrap();
        // One is executed and held; 64 wait.
        assert_eq!(handle.infer(ask(1.0)).unwrap().version(), 1);
        scale.gate.await_come(1);
        for _ in 0..100 {
            assert_eq!(handle.infer(ask(1.0)).unwrap().version(), 1);
        }
        let shadow = statistics(&server, 2);
        assert_eq!((shadow.queue_len, shadow.shadow_dropped_count, shadow.success.count), (64, 36, 0));
        scale.gate.open();
        eventually("it catches up", || statistics(&server, 2).success.count == 65);
        assert_eq!(statistics(&server, 1).success.count, 101);
    });
}

#[test]
fn a_copy_outlives_the_loan_the_cancel_and_the_deadline_of_its_original() {
    finishes(|| {
        let (server, scale) = serving(&[(1, "1"), (2, "-2")]);
        server.set_shadow("m", Some(2)).unwrap();
        let handle = server.model("m").unwrap();
        let mut x = [1.0f32];
        handle.infer(Request::new().input("x", Input::from_slice(&x, [1, 1]).unwrap())).unwrap();
        scale.gate.await_come(1);
        // A copy that looked here would fail.
        x[0] = POISON;
        let token = CancelToken::new();
        let cancelled = handle.infer_async(ask(HELD).cancel_with(&token)).unwrap();
        scale.gate.await_come(2);
        token.cancel();
        assert_eq!(cancelled.wait().unwrap_err().kind(), ErrorKind::Cancelled);
        scale.gate.open();
        eventually("both copies are executed", || statistics(&server, 2).success.count == 2);
        let shadow = statistics(&server, 2);
        assert_eq!((shadow.fail.count, shadow.cancelled_count, shadow.expired_count), (0, 0, 0));
        assert!(x[0] < 0.0);
    });
}

#[test]
fn counts_go_on_when_only_the_scheduling_changes() {
    let folder = Folder::with(&[("m/1/factor.txt", "1"), ("m/config.yaml", "max_batch_size: 1")]);
    finishes(move || {
        let scale = Scale::default();
        let builder = ServerHandle::builder().repository(folder.path()).explicit(["m"]);
        let server = builder.backend(Arc::new(scale.clone())).strict().start().unwrap();
        let handle = server.model("m").unwrap();
        (0..5).for_each(|_| drop(handle.infer(ask(1.0)).unwrap()));
        handle.infer(ask(POISON)).unwrap_err();
        let running = handle.infer_async(ask(HELD)).unwrap();
        scale.gate.await_come(1);
        let counts = || {
            let now = statistics(&server, 1);
            (now.success.count, now.fail.count, now.execution_count, now.cuts.values().sum::<u64>())
        };
        assert_eq!(counts(), (5, 1, 6, 6));
        let queue_of = |len: usize| {
            let config = format!("max_batch_size: 1\ndefault_queue_policy: {{max_queue_size: {len}}}");
            folder.write("m/config.yaml", &config);
            load(&server, LoadOptions::new()).unwrap();
        };
        queue_of(7);
        assert_eq!((scale.loads(), counts()), (1, (5, 1, 6, 6)));
        handle.infer(ask(1.0)).unwrap();
        queue_of(8);
        // The lane that was replaced first still answers, and counts.
        scale.gate.open();
        running.wait().unwrap();
        eventually("it has counted what it has answered", || counts() == (7, 1, 8, 8));
        eventually("it is freed", || scale.instances() == 1);
        assert_eq!((scale.loads(), counts()), (1, (7, 1, 8, 8)));
        // Other weights begin anew.
        folder.write("m/1/factor.txt", "3");
        load(&server, LoadOptions::new()).unwrap();
        assert_eq!((scale.loads(), counts()), (2, (0, 0, 0, 0)));
    });
}

#[test]
fn no_request_is_refused_while_versions_move_through_a_split() {
    const STEPS: u64 = 40;
    finishes(|| {
        let (server, scale) = serving(&[(1, "1"), (2, "2")]);
        server.set_traffic("m", [(1, 3), (2, 1)]).unwrap();
        server.set_label("m", "stable", 1).unwrap();
        let (is_over, asked) = (AtomicBool::new(false), AtomicU64::new(0));
        let handles = [server.model("m").unwrap(), server.model_labelled("m", "stable").unwrap()];
        thread::scope(|scope| {
            for client in 0..8 {
                let (handle, is_over, asked) = (handles[client % 2].clone(), &is_over, &asked);
                scope.spawn(move || client_of(&handle, client as u64, is_over, asked));
            }
            for step in 2..STEPS {
                // The canary becomes the stable one, a third one comes, and the old one leaves.
                let factors = [step - 1, step, step + 1].map(|version| (version, version.to_string()));
                let factors: Vec<_> = factors.iter().map(|(version, text)| (*version, text.as_str())).collect();
                load(&server, all(&factors)).unwrap();
                server.set_label("m", "stable", step).unwrap();
                let shadow = (step % 3 == 0).then_some(step + 1);
                server.set_shadow("m", shadow).unwrap();
                let canary = if step % 3 == 0 { 0 } else { 1 };
                server.set_traffic("m", [(step, 3), (step + 1, canary)]).unwrap();
                load(&server, all(&factors[1..])).unwrap();
                let before = asked.load(Ordering::SeqCst);
                eventually("the clients go on", || asked.load(Ordering::SeqCst) >= before + 8);
            }
            is_over.store(true, Ordering::SeqCst);
        });
        eventually("all others are freed", || scale.models() == 2);
    });
}

/// Asks until it is over, and counts; every answer must be whole and of the version that it names.
fn client_of(model: &ModelHandle, client: u64, is_over: &AtomicBool, asked: &AtomicU64) {
    for turn in client.. {
        if is_over.load(Ordering::SeqCst) {
            return;
        }
        let number = (turn % 100 + 1) as f32;
        version_of(&ask_in_turn(model, turn, number).unwrap(), number);
        asked.fetch_add(1, Ordering::SeqCst);
    }
}

#[test]
fn a_handle_tells_labels_and_shares_as_they_are_now_also_of_a_model_that_is_paged() {
    finishes(|| {
        let server = paged::server(1, 1).0.start().unwrap();
        let model = server.model("m0").unwrap();
        server.set_label("m0", "stable", 1).unwrap();
        server.set_traffic("m0", [(1, 3)]).unwrap();
        let config = model.config().unwrap();
        assert_eq!((config.version_labels, config.traffic), ([("stable".to_owned(), 1)].into(), [(1, 3)].into()));
        // Files and weights are the same: what is loaded stays, and counts by its new config.
        let files = [("factor.txt", b"1         ".to_vec())];
        let options = LoadOptions::new().files(files).config(paged::config("") + "version_labels: {canary: 1}\n");
        server.load_model_with("m0", options).wait_for(PATIENCE).unwrap().unwrap();
        assert_eq!(model.config().unwrap().version_labels, [("canary".to_owned(), 1)].into());
    });
}
