//! Repositories that change while a server polls them, over a real file system; time is moved by hand.

#![allow(clippy::unwrap_used, clippy::expect_used, reason = "a test may unwrap")]

mod common;

use common::scale::{HELD, Scale, ask};
use common::site::{Site, factor, options, publish, repository, site};
use common::{eventually, finishes};
use inferlay::{ErrorKind, ManualClock, ModelState, ModelStatus, PollOptions, Repository, ServerBuilder, ServerHandle};
use std::fs;
use std::path::Path;
use std::sync::Arc;
use std::time::Duration;

#[test]
fn models_come_change_and_go_with_their_files() {
    finishes(|| {
        let (_folder, path) = repository(&[("a/1/factor.txt", "2"), ("c/1/factor.txt", "9")]);
        let site = site(|builder| builder.repository(&path), options());
        assert_eq!((site.factor("a"), site.factor("c")), (Some(2.0), Some(9.0)));
        publish(&path, "b/1/factor.txt", "3");
        site.until("b is served", |server| factor(server, "b") == Some(3.0));
        publish(&path, "a/2/factor.txt", "4");
        site.until("the new version is served", |server| factor(server, "a") == Some(4.0));
        publish(&path, "a/2/factor.txt", "5");
        site.until("the same version is served anew", |server| factor(server, "a") == Some(5.0));
        fs::remove_dir_all(path.join("a/2")).unwrap();
        site.until("the older version is back", |server| factor(server, "a") == Some(2.0));
        fs::remove_dir_all(path.join("b")).unwrap();
        site.until("b is gone", |server| server.models().iter().all(|status| status.name != "b"));
        eventually("what went is freed", || site.scale.models() == 2);
        assert!(site.server.is_ready() && site.factor("c") == Some(9.0));
    });
}

#[test]
fn what_did_not_change_is_not_loaded_again() {
    finishes(|| {
        let (_folder, path) =
            repository(&[("a/1/factor.txt", "2"), ("b/1/factor.txt", "3"), ("b/config.yaml", "max_batch_size: 8")]);
        let site = site(|builder| builder.repository(&path), options());
        site.until("b has one instance", |_| site.scale.instances() == 2);
        // The same content under another time, and other instance groups.
        publish(&path, "a/1/factor.txt", "2");
        publish(&path, "b/config.yaml", "max_batch_size: 8\ninstance_group: {count: 3}");
        site.until("b has three instances", |_| site.scale.instances() == 4);
        publish(&path, "b/config.yaml", "max_batch_size: 8\ndefault_queue_policy: {max_queue_size: 7}");
        let queue_size = |server: &ServerHandle| server.model("b").unwrap().config().unwrap().queue_size_max;
        site.until("b has another queue", |server| queue_size(server) == 7);
        assert_eq!((site.scale.loads(), site.factor("b")), (2, Some(3.0)));
        eventually("instances of the old lane are freed", || (site.scale.instances(), site.scale.models()) == (2, 2));
    });
}

#[test]
fn a_file_that_is_still_written_is_not_loaded() {
    finishes(|| {
        let (_folder, path) = repository(&[("a/1/factor.txt", "2")]);
        let site = site(|builder| builder.repository(&path), options());
        fs::create_dir(path.join("a/2")).unwrap();
        for part in ["1", "12", "123"] {
            fs::write(path.join("a/2/factor.txt"), part).unwrap();
            // Less than it takes to settle.
            (0..5).for_each(|_| site.clock.advance(Duration::from_secs(1)));
            assert_eq!(site.factor("a"), Some(2.0));
        }
        site.until("the whole file is loaded", |server| factor(server, "a") == Some(123.0));
        assert_eq!(site.scale.loads(), 2);
    });
}

#[test]
fn a_broken_version_leaves_the_old_one_and_the_next_one_heals_it() {
    finishes(|| {
        let (_folder, path) = repository(&[("a/1/factor.txt", "2")]);
        let site = site(|builder| builder.repository(&path), options());
        publish(&path, "a/2/factor.txt", "broken");
        let is_told = |server: &ServerHandle| server.models().iter().any(|status| status.reason.contains("'broken'"));
        site.until("it is told", is_told);
        assert!(site.factor("a") == Some(2.0) && site.server.is_ready());
        publish(&path, "a/config.yaml", "backend: [");
        site.until("it is told as well", |server| {
            server.models().iter().any(|status| status.reason.contains("config.yaml"))
        });
        assert_eq!(site.factor("a"), Some(2.0));
        fs::remove_file(path.join("a/config.yaml")).unwrap();
        publish(&path, "a/2/factor.txt", "3");
        site.until("it serves", |server| factor(server, "a") == Some(3.0));
        site.until("all is well", |server| server.models().iter().all(|status| status.state == ModelState::Ready));
    });
}

#[test]
fn a_marker_says_when_a_model_is_whole() {
    finishes(|| {
        let (_folder, path) = repository(&[("a/1/factor.txt", "2"), ("a/READY", "")]);
        let site = site(|builder| builder.repository(&path), options().ready_marker("READY"));
        publish(&path, "a/2/factor.txt", "3");
        (0..60).for_each(|_| site.clock.advance(Duration::from_secs(1)));
        assert_eq!(site.factor("a"), Some(2.0));
        publish(&path, "a/READY", "");
        site.until("it is loaded", |server| factor(server, "a") == Some(3.0));
    });
}

#[test]
fn repositories_come_and_go() {
    finishes(|| {
        let (_one, one) = repository(&[("a/1/factor.txt", "2")]);
        let (_two, two) = repository(&[("a/1/factor.txt", "3")]);
        let (_three, three) = repository(&[("a/1/factor.txt", "4")]);
        let site = site(|builder| builder.repository(&one), options());
        site.server.add_repository_with(Repository::at(&two).namespace("two")).unwrap();
        site.server.add_repository_with(Repository::at(&three).serve_as("a", "third")).unwrap();
        site.until("all are served", |server| {
            ["a", "two/a", "third"].map(|model| factor(server, model)) == [Some(2.0), Some(3.0), Some(4.0)]
        });
        site.server.remove_repository([&two]).unwrap();
        site.until("its model is gone", |server| factor(server, "two/a").is_none());
        assert_eq!((site.factor("a"), site.factor("third")), (Some(2.0), Some(4.0)));
        assert_eq!(site.server.remove_repository([&two]).unwrap_err().kind(), ErrorKind::NotFound);
    });
}

#[test]
fn a_poll_looks_once_and_ends_when_all_is_done() {
    finishes(|| {
        let (_folder, path) = repository(&[("a/1/factor.txt", "2")]);
        let (clock, scale) = (ManualClock::new(), Scale::default());
        let builder = || ServerHandle::builder().backend(Arc::new(scale.clone())).manual_clock(&clock);
        let server = builder().repository(&path).start().unwrap();
        publish(&path, "a/2/factor.txt", "3");
        publish(&path, "b/1/factor.txt", "4");
        assert_eq!((factor(&server, "a"), factor(&server, "b")), (Some(2.0), None));
        let poll = server.poll();
        eventually("the poll ends", || {
            clock.advance(Duration::from_millis(100));
            poll.is_done()
        });
        poll.wait().unwrap();
        assert_eq!((factor(&server, "a"), factor(&server, "b")), (Some(3.0), Some(4.0)));
        let explicit = builder().explicit([""; 0]).start().unwrap();
        assert_eq!(explicit.poll().wait().unwrap_err().kind(), ErrorKind::FailedPrecondition);
        server.stop(Duration::from_secs(1)).unwrap();
        assert_eq!(server.poll().wait().unwrap_err().kind(), ErrorKind::Unavailable);
    });
}

#[test]
fn the_first_poll_of_a_server_that_loaded_at_its_start_sees_what_is_gone_since() {
    finishes(|| {
        let (_folder, path) = repository(&[("a/1/factor.txt", "2"), ("b/1/factor.txt", "3"), ("c/empty", "")]);
        let (clock, scale) = (ManualClock::new(), Scale::default());
        let builder = ServerHandle::builder().backend(Arc::new(scale.clone())).manual_clock(&clock);
        let site = Site { server: builder.repository(&path).start().unwrap(), clock, scale };
        let names = || site.server.models().into_iter().map(|status| status.name).collect::<Vec<_>>();
        assert_eq!(names(), ["a", "b", "c"]);
        fs::remove_dir_all(path.join("b")).unwrap();
        fs::remove_dir_all(path.join("c")).unwrap();
        let poll = site.server.poll();
        site.until("the poll ends", |_| poll.is_done());
        assert_eq!((poll.wait(), names()), (Ok(()), vec!["a".to_owned()]));
        // What has not changed was not loaded again.
        assert_eq!((site.scale.loads(), site.scale.models()), (2, 1));
    });
}

#[test]
fn the_first_poll_takes_nothing_down_when_all_of_the_repository_is_gone() {
    finishes(|| {
        let (_folder, path) = repository(&[("models/a/1/factor.txt", "2"), ("models/b/1/factor.txt", "3")]);
        let (clock, scale) = (ManualClock::new(), Scale::default());
        let builder = ServerHandle::builder().backend(Arc::new(scale.clone())).manual_clock(&clock);
        let site = Site { server: builder.repository(path.join("models")).start().unwrap(), clock, scale };
        ["a", "b"].iter().for_each(|model| fs::remove_dir_all(path.join("models").join(model)).unwrap());
        let poll = site.server.poll();
        site.until("the poll ends", |_| poll.is_done());
        assert_eq!((site.factor("a"), site.factor("b")), (Some(2.0), Some(3.0)));
    });
}

#[test]
fn the_first_poll_takes_nothing_down_of_a_repository_that_was_added_before_it_and_is_gone() {
    finishes(|| {
        let (_one, one) = repository(&[("a/1/factor.txt", "2")]);
        let (_two, two) = repository(&[("models/b/1/factor.txt", "3"), ("models/c/1/factor.txt", "4")]);
        let (clock, scale) = (ManualClock::new(), Scale::default());
        let builder = ServerHandle::builder().backend(Arc::new(scale.clone())).manual_clock(&clock);
        let site = Site { server: builder.repository(&one).start().unwrap(), clock, scale };
        site.server.add_repository(two.join("models")).unwrap();
        ["b", "c"].iter().for_each(|model| site.server.load_model(model).wait().unwrap());
        ["b", "c"].iter().for_each(|model| fs::remove_dir_all(two.join("models").join(model)).unwrap());
        let poll = site.server.poll();
        site.until("the poll ends", |_| poll.is_done());
        assert_eq!((site.factor("b"), site.factor("c")), (Some(3.0), Some(4.0)));
    });
}

#[test]
fn a_roll_back_to_what_serves_is_told_of_as_well() {
    finishes(|| {
        let (_folder, path) = repository(&[("a/1/factor.txt", "2")]);
        let site = site(|builder| builder.repository(&path), options());
        let is_ill = |server: &ServerHandle| server.models().iter().any(|status| !status.reason.is_empty());
        let is_well = |server: &ServerHandle| {
            let states: Vec<_> = server.models().into_iter().map(|status| (status.version, status.reason)).collect();
            states == [(1, String::new())]
        };
        type Spoil = fn(&Path);
        let spoils: [(Spoil, Spoil); 3] = [
            (|at| publish(at, "a/1/factor.txt", "broken"), |at| publish(at, "a/1/factor.txt", "2")),
            (|at| publish(at, "a/2/factor.txt", "broken"), |at| fs::remove_dir_all(at.join("a/2")).unwrap()),
            (|at| publish(at, "a/config.yaml", "backend: ["), |at| fs::remove_file(at.join("a/config.yaml")).unwrap()),
        ];
        for (spoil, roll_back) in spoils {
            spoil(&path);
            site.until("the failure is told", is_ill);
            roll_back(&path);
            site.until("all is well", is_well);
            assert_eq!(site.factor("a"), Some(2.0));
        }
        // The first one, and the two that failed: what served was never loaded anew.
        assert_eq!(site.scale.loads(), 3);
    });
}

#[test]
fn a_poll_ends_when_what_it_unloads_is_out_of_memory() {
    finishes(|| {
        let (_folder, path) = repository(&[("a/1/factor.txt", "2"), ("b/1/factor.txt", "3")]);
        let build = |builder: ServerBuilder| builder.repository(&path).retire_timeout(Duration::from_secs(1 << 30));
        let site = site(build, options());
        let running = site.server.infer_async("a", ask(HELD)).unwrap();
        site.scale.gate.await_come(1);
        fs::remove_dir_all(path.join("a")).unwrap();
        let first = site.server.poll();
        let is_leaving = |status: &ModelStatus| status.name == "a" && status.state == ModelState::Unloading;
        site.until("a is on its way out", |server| server.models().iter().any(is_leaving));
        // Ends a turn later.
        let second = site.server.poll();
        site.until("a poll ends that has ordered nothing", |_| second.is_done());
        assert!(!first.is_done());
        site.scale.gate.open();
        running.wait().unwrap();
        site.until("it ends", |_| first.is_done());
        assert_eq!((first.wait(), site.scale.models()), (Ok(()), 1));
    });
}

#[test]
fn a_poll_ends_beside_a_model_that_fails_and_is_tried_again() {
    finishes(|| {
        let (_folder, path) = repository(&[("a/1/factor.txt", "2"), ("b/1/factor.txt", "broken")]);
        let site = site(|builder| builder.repository(&path), options().retry_after(Duration::from_millis(1)));
        publish(&path, "a/2/factor.txt", "3");
        publish(&path, "c/1/factor.txt", "broken");
        let (poll, loads) = (site.server.poll(), site.scale.loads());
        site.until("the poll ends", |_| poll.is_done());
        poll.wait().unwrap();
        assert_eq!(site.factor("a"), Some(3.0));
        let states: Vec<_> = site.server.models().into_iter().map(|status| (status.name, status.state)).collect();
        assert!(states.contains(&("c".to_owned(), ModelState::Unavailable)), "{states:?}");
        site.until("it goes on trying", |_| site.scale.loads() > loads + 10);
    });
}

#[test]
fn a_repository_that_is_not_there_takes_nothing_down() {
    finishes(|| {
        let (_folder, path) = repository(&[("models/a/1/factor.txt", "2"), ("models/b/1/factor.txt", "3")]);
        let models = path.join("models");
        let site = site(|builder| builder.repository(&models), options());
        site.until("both serve", |server| factor(server, "a").is_some() && factor(server, "b").is_some());
        fs::rename(&models, path.join("away")).unwrap();
        (0..60).for_each(|_| site.clock.advance(Duration::from_secs(1)));
        assert_eq!((site.factor("a"), site.factor("b")), (Some(2.0), Some(3.0)));
        publish(&path, "away/a/2/factor.txt", "5");
        fs::rename(path.join("away"), &models).unwrap();
        site.until("it is back", |server| factor(server, "a") == Some(5.0));
    });
}

#[test]
fn the_system_tells_of_changes_without_a_period() {
    finishes(|| {
        let (_folder, path) = repository(&[("a/1/factor.txt", "2")]);
        let scale = Scale::default();
        let options = PollOptions::new().settle_time(Duration::from_millis(30)).period(Duration::from_secs(3600));
        let server = ServerHandle::builder().backend(Arc::new(scale)).repository(&path).poll(options).start().unwrap();
        publish(&path, "a/2/factor.txt", "3");
        eventually("the change is seen", || factor(&server, "a") == Some(3.0));
        fs::remove_dir_all(path.join("a/2")).unwrap();
        eventually("its end is seen", || factor(&server, "a") == Some(2.0));
    });
}
