//! Hints from a real file system, with a clock that stands still: what the system tells lies ready when a write returns.

use super::*;
use crate::repository::temp::TempFolder;
use crate::sync::ManualClock;
use std::fs;

const SECOND: u64 = 1_000_000_000;

/// A watcher that waits for nothing: with this clock no time passes.
struct Stage {
    watcher: Watcher,
    clock: ManualClock,
}

impl Stage {
    fn new(watcher: Watcher) -> Self {
        let mut stage = Stage { watcher, clock: ManualClock::new() };
        assert_eq!(stage.hints(), [Hint::All]);
        stage
    }

    /// Follows these folders for the model, and takes the hint that they are new.
    fn following(name: &str, folders: &[PathBuf]) -> Self {
        let mut stage = Stage::new(Watcher::new(Periods::default()));
        stage.watcher.follow(&model(name), folders);
        assert_eq!(stage.hints(), [model(name)]);
        stage
    }

    fn hints(&mut self) -> Vec<Hint> {
        self.watcher.wait(&Clock::Manual(self.clock.clone()), Some(0))
    }
}

fn model(name: &str) -> Hint {
    Hint::Model(name.to_owned())
}

#[test]
fn the_period_hints_at_everything() {
    let periods = Periods { watched_ns: 9 * SECOND, blind_ns: 2 * SECOND };
    let rows = [(Watcher::blind(periods), 2), (Watcher::new(periods), if cfg!(target_os = "linux") { 9 } else { 2 })];
    for (watcher, seconds) in rows {
        let mut stage = Stage::new(watcher);
        for _ in 0..2 {
            stage.clock.advance(Duration::from_secs(seconds) - Duration::from_nanos(1));
            assert_eq!(stage.hints(), []);
            stage.clock.advance(Duration::from_nanos(1));
            assert_eq!(stage.hints(), [Hint::All]);
        }
    }
}

#[test]
fn another_thread_ends_the_wait() {
    for mut watcher in [Watcher::blind(Periods::default()), Watcher::new(Periods::default())] {
        for clock in [Clock::System, Clock::Manual(ManualClock::new())] {
            watcher.pending.clear();
            watcher.looked_at = clock.now();
            let waker = watcher.waker();
            let other = std::thread::spawn(move || waker.wake());
            assert_eq!(watcher.wait(&clock, None), []);
            other.join().unwrap();
        }
    }
}

#[test]
fn a_folder_that_nobody_follows_any_more_hints_at_nothing() {
    let folder = TempFolder::with(&["a/m", "b/m"]);
    let mut watcher = Watcher::blind(Periods::default());
    watcher.follow(&model("a"), &[folder.join("a")]);
    assert_eq!(watcher.pending, [Hint::All].into());
    let mut stage = Stage::new(Watcher::new(Periods::default()));
    stage.watcher.follow(&model("a"), &[folder.join("a"), folder.join("b")]);
    stage.watcher.follow(&model("a"), &[folder.join("b")]);
    stage.watcher.leave(&model("a"));
    folder.write("a/n", b"");
    folder.write("b/n", b"");
    assert_eq!(stage.hints(), []);
    assert!(stage.watcher.followers.is_empty() && stage.watcher.followed.is_empty());
}

#[test]
fn an_overflow_hints_at_everything() {
    let mut stage = Stage::new(Watcher::blind(Periods::default()));
    stage.watcher.told(Event::Overflow);
    stage.watcher.told(Event::In(7));
    assert_eq!(stage.hints(), [Hint::All]);
}

#[cfg(target_os = "linux")]
#[test]
fn whatever_happens_in_a_folder_is_told_once() {
    let folder = TempFolder::with(&["a/m", "a/old", "a/gone", "a/sub/x", "a/locked", "elsewhere"]);
    folder.link("a/current", "m");
    let mut stage = Stage::following("a", &[folder.join("a")]);
    let rows: [(&str, &dyn Fn()); 8] = [
        ("written", &|| folder.write("a/new", b"1")),
        ("overwritten", &|| folder.write("a/m", b"2")),
        ("moved in", &|| fs::rename(folder.join("elsewhere"), folder.join("a/in")).unwrap()),
        ("moved out", &|| fs::rename(folder.join("a/old"), folder.join("out")).unwrap()),
        ("removed", &|| fs::remove_file(folder.join("a/gone")).unwrap()),
        ("a new folder", &|| folder.folder("a/2")),
        ("permitted", &|| {
            let permissions = fs::metadata(folder.join("a/locked")).unwrap().permissions();
            fs::set_permissions(folder.join("a/locked"), permissions).unwrap();
        }),
        ("a link swapped", &|| {
            folder.link("a/.next", "in");
            fs::rename(folder.join("a/.next"), folder.join("a/current")).unwrap();
        }),
    ];
    for (what, happen) in rows {
        assert_eq!(stage.hints(), [], "before: {what}");
        happen();
        assert_eq!(stage.hints(), [model("a")], "{what}");
    }
    folder.write("a/sub/x", b"");
    assert_eq!(stage.hints(), [], "a folder in the folder is followed by itself");
}

#[cfg(target_os = "linux")]
#[test]
fn another_folder_at_the_same_path_is_followed_in_its_place() {
    let folder = TempFolder::with(&["a/1/m", "b/1/m"]);
    let mut stage = Stage::following("a", &[folder.join("a"), folder.join("a/1")]);
    fs::rename(folder.join("a"), folder.join("away")).unwrap();
    fs::rename(folder.join("b"), folder.join("a")).unwrap();
    assert_eq!(stage.hints(), [model("a")]);
    stage.watcher.follow(&model("a"), &[folder.join("a"), folder.join("a/1")]);
    assert_eq!(stage.hints(), [model("a")], "what is newly followed is to be looked at once more");
    folder.write("away/1/m", b"");
    assert_eq!(stage.hints(), []);
    folder.write("a/1/m", b"");
    assert_eq!(stage.hints(), [model("a")]);
}

#[cfg(target_os = "linux")]
#[test]
fn a_folder_that_goes_and_comes_back_is_followed_again() {
    let folder = TempFolder::with(&["a/m"]);
    let mut stage = Stage::following("a", &[folder.join("a")]);
    fs::remove_dir_all(folder.join("a")).unwrap();
    assert_eq!(stage.hints(), [model("a")]);
    assert!(stage.watcher.followers.is_empty());
    stage.watcher.follow(&model("a"), &[folder.join("a")]);
    assert_eq!(stage.hints(), []);
    folder.write("a/m", b"");
    stage.watcher.follow(&model("a"), &[folder.join("a")]);
    assert_eq!(stage.hints(), [model("a")]);
    folder.write("a/m", b"2");
    assert_eq!(stage.hints(), [model("a")]);
}

#[cfg(target_os = "linux")]
#[test]
fn two_models_may_follow_one_folder() {
    let folder = TempFolder::with(&["shared/m"]);
    let mut stage = Stage::following("a", &[folder.join("shared")]);
    stage.watcher.follow(&model("b"), &[folder.join("shared")]);
    assert_eq!(stage.hints(), [model("b")]);
    folder.write("shared/m", b"");
    assert_eq!(stage.hints(), [model("a"), model("b")]);
    stage.watcher.leave(&model("a"));
    folder.write("shared/m", b"");
    assert_eq!(stage.hints(), [model("b")]);
}
