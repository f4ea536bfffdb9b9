//! Repositories that people change with the tools that they have, while requests run: each case is a line for the shell.

#![allow(clippy::unwrap_used, clippy::expect_used, reason = "a test may unwrap")]

mod common;

use common::site::{Site, factor, options, repository, site};
use common::{Folder, eventually, finishes};
use inferlay::ModelState;
use std::path::Path;
use std::process::Command;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::thread;
use std::time::Duration;

/// Runs a line of the shell in a folder.
#[track_caller]
fn shell(folder: &Path, line: &str) {
    let output = Command::new("sh").args(["-euc", line]).current_dir(folder).output().unwrap();
    assert!(output.status.success(), "{line}: {}", String::from_utf8_lossy(&output.stderr));
}

/// What is done to the folder of a model `m` of which versions 1 and 2 serve, and what version serves then, by its factor.
const CASES: &[(&str, &str, f32)] = &[
    ("a version is copied in", "mkdir m/3 && printf 30 > stage && cp stage m/3/factor.txt", 30.0),
    ("a version is moved in", "mkdir stage && printf 30 > stage/factor.txt && mv stage m/3", 30.0),
    ("an older file is copied back", "printf 7 > old && touch -d 2001-01-01 old && cp -p old m/2/factor.txt", 7.0),
    ("an older version is moved into its place", "mv m/2 gone && mv m/1 m/2", 10.0),
    ("a file is edited in its place", "sed -i s/20/21/ m/2/factor.txt", 21.0),
    (
        "an editor saves, with a backup and a swap file",
        "cd m/2 && touch .factor.txt.swp 4913 && rm 4913 && mv factor.txt factor.txt~ && printf 22 > factor.txt \
         && rm factor.txt~ .factor.txt.swp",
        22.0,
    ),
    (
        "a tool that syncs folders writes beside and renames",
        "printf 23 > m/2/.factor.txt.Xy12ab && mv m/2/.factor.txt.Xy12ab m/2/factor.txt",
        23.0,
    ),
    ("a version is a link that is swapped", "mkdir m/.b && printf 24 > m/.b/factor.txt && ln -s .b m/3", 24.0),
    ("the newest version is deleted", "rm -r m/2", 10.0),
    ("an archive is unpacked", "mkdir 4 && printf 40 > 4/factor.txt && tar cf 4.tar 4 && tar xf 4.tar -C m", 40.0),
];

/// Asks until it is over: nobody may be refused, whatever happens to the files.
fn client(site: &Site, is_over: &AtomicBool, answered: &AtomicU64) {
    while !is_over.load(Ordering::SeqCst) {
        assert!(site.factor("m").is_some());
        answered.fetch_add(1, Ordering::SeqCst);
    }
}

#[test]
fn whatever_tool_changes_a_model_it_is_served_as_it_lies_there_in_the_end() {
    for &(what, line, serves) in CASES {
        finishes(move || {
            let (_folder, path) = repository(&[("m/1/factor.txt", "10"), ("m/2/factor.txt", "20")]);
            let site = site(|builder| builder.repository(&path), options());
            let (is_over, answered) = (AtomicBool::new(false), AtomicU64::new(0));
            thread::scope(|scope| {
                let clients = [(); 2].map(|()| scope.spawn(|| client(&site, &is_over, &answered)));
                shell(&path, line);
                site.until(what, |server| factor(server, "m") == Some(serves));
                site.until("there is nothing left to do", |server| {
                    server.models().iter().all(|status| status.state == ModelState::Ready)
                });
                let before = answered.load(Ordering::SeqCst);
                eventually("requests still run", || answered.load(Ordering::SeqCst) > before);
                is_over.store(true, Ordering::SeqCst);
                clients.into_iter().for_each(|client| client.join().unwrap());
            });
        });
    }
}

/// How a whole repository is swapped in one step: how it is laid out, what swaps it, and where the server looks.
const SWAPS: &[(&str, &str, &str, &str)] = &[
    (
        "a checkout behind a link",
        "mkdir -p one/m/1 two/m/1 && printf 1 > one/m/1/factor.txt && printf 2 > two/m/1/factor.txt && ln -s one now",
        "ln -s two new && mv -T new now",
        "now",
    ),
    (
        "a volume whose models are links through one",
        "mkdir -p v/..one/m/1 v/..two/m/1 && printf 1 > v/..one/m/1/factor.txt && printf 2 > v/..two/m/1/factor.txt \
         && ln -s ..one v/..data && ln -s ..data/m v/m",
        "ln -s ..two v/new && mv -T v/new v/..data && rm -r v/..one",
        "v",
    ),
];

#[test]
fn a_repository_behind_a_link_is_swapped_in_one_step() {
    for &(what, layout, swap, root) in SWAPS {
        finishes(move || {
            let folder = Folder::with(&[]);
            shell(folder.path(), layout);
            let site = site(|builder| builder.repository(folder.path().join(root)), options());
            assert_eq!(site.factor("m"), Some(1.0), "{what}");
            shell(folder.path(), swap);
            site.until(what, |server| factor(server, "m") == Some(2.0));
        });
    }
}

#[test]
fn a_file_that_may_not_be_read_leaves_what_serves_and_is_told() {
    finishes(|| {
        let (_folder, path) = repository(&[("m/1/factor.txt", "10")]);
        let site = site(|builder| builder.repository(&path), options());
        // A link to nowhere is unreadable for every user, root among them.
        shell(&path, "mkdir m/2 && ln -s nowhere m/2/factor.txt");
        let is_told =
            |server: &inferlay::ServerHandle| server.models().iter().any(|status| status.reason.contains("factor.txt"));
        site.until("it is told", is_told);
        assert_eq!(site.factor("m"), Some(10.0));
        shell(&path, "rm m/2/factor.txt && printf 20 > m/2/factor.txt");
        site.until("it serves", |server| factor(server, "m") == Some(20.0));
        (0..60).for_each(|_| site.clock.advance(Duration::from_secs(1)));
        assert!(site.server.is_ready());
    });
}
