//! Repositories that change on a real file system, beside a clock that stands still: what is ordered, and what is not.

use super::*;
use crate::repository::events::Periods;
use crate::repository::repositories::Repository;
use crate::repository::temp::{TempFolder, tick};
use crate::sync::{AtomicI64, ManualClock, Ordering};
use std::fs::{File, FileTimes};
use std::path::Path;
use std::time::{Duration, SystemTime};

#[cfg(target_os = "linux")]
mod linux;

const SETTLE_MS: u64 = 1000;

/// A server that loads whatever is ordered, unless its file says `broken`.
struct Stage {
    live: Live,
    watcher: Watcher,
    hand: ManualClock,
    reports: Vec<String>,
}

impl Stage {
    /// Watches these folders, each a repository.
    fn of(folders: &[&Path]) -> Self {
        let folders: Vec<PathBuf> = folders.iter().map(|folder| (*folder).to_owned()).collect();
        Self::with(Repositories::of_folders(&folders), Watcher::blind(Periods::default()))
    }

    fn with(repositories: Repositories, watcher: Watcher) -> Self {
        let live = Live::new(repositories, Rules::default());
        Stage { live, watcher, hand: ManualClock::new(), reports: Vec::new() }
    }

    /// A repository of which everything serves that is there.
    fn serving(repository: &TempFolder) -> Self {
        let mut stage = Stage::of(&[repository.path()]);
        assert!(stage.pass(SETTLE_MS).iter().all(|order| order.starts_with("load")));
        assert_eq!(stage.pass(SETTLE_MS), Vec::<String>::new());
        stage
    }

    fn clock(&self) -> Clock {
        Clock::Manual(self.hand.clone())
    }

    /// Looks at everything, lets so much time pass, and looks again. What was ordered.
    fn pass(&mut self, ms: u64) -> Vec<String> {
        let mut orders = self.turn(&[Hint::All], &|| true);
        self.hand.advance(Duration::from_millis(ms));
        orders.extend(self.turn(&[Hint::All], &|| true));
        tick();
        orders
    }

    fn turn(&mut self, hints: &[Hint], go_on: &(dyn Fn() -> bool + Sync)) -> Vec<String> {
        let Turn { orders, reports } = self.live.turn(&self.clock(), hints, &mut self.watcher, go_on);
        self.reports.extend(reports);
        orders.into_iter().map(|order| self.obey(order)).collect()
    }

    /// Does what is ordered, and draws it: `load a +1 -2 ~3 config others`.
    fn obey(&mut self, order: Order) -> String {
        match order {
            Order::Load { model, change, snapshot } => {
                assert_eq!(model.look.as_ref().map(|look| &look.snapshot), Some(&*snapshot));
                assert!(snapshot.is_read());
                let mut files =
                    model.versions.values().flat_map(|files| files.names().into_iter().map(|n| files.read(&n)));
                let outcome =
                    if files.any(|bytes| bytes.unwrap() == b"broken") { Outcome::Failed } else { Outcome::Serves };
                self.live.loaded(&self.clock(), &model.name, snapshot, outcome);
                drawn(&model.name, &change)
            }
            Order::Unload(name) => {
                self.live.unloaded(&name);
                format!("unload {name}")
            }
            Order::Broken(name, error) => format!("broken {name}: {}", error.message()),
        }
    }
}

fn drawn(name: &str, change: &Change) -> String {
    let list = |sign: char, versions: &[u64]| versions.iter().map(|v| format!(" {sign}{v}")).collect::<String>();
    let (config, others) = (if change.config { " config" } else { "" }, if change.others { " others" } else { "" });
    let [added, removed, changed] = [('+', &change.added), ('-', &change.removed), ('~', &change.changed)]
        .map(|(sign, versions)| list(sign, versions));
    format!("load {name}{added}{removed}{changed}{config}{others}")
}

const NOTHING: [&str; 0] = [];

#[test]
fn each_change_is_ordered_once_it_has_been_quiet() {
    let repository = TempFolder::with(&["a/1/m", "a/2/m", "a/config.yaml", "a/labels.txt"]);
    let mut stage = Stage::of(&[repository.path()]);
    assert_eq!(stage.pass(SETTLE_MS - 1), NOTHING);
    assert_eq!(stage.pass(1), ["load a +1 +2 config others"]);
    let rows: [(&str, &dyn Fn()); 8] = [
        ("load a ~2", &|| repository.write("a/2/m", b"other")),
        ("load a config", &|| repository.write("a/config.yaml", b"other")),
        ("load a others", &|| repository.write("a/labels.txt", b"other")),
        ("load a +3", &|| repository.write("a/3/m", b"m")),
        ("load a -1", &|| fs::remove_dir_all(repository.join("a/1")).unwrap()),
        ("load a +4 -3", &|| fs::rename(repository.join("a/3"), repository.join("a/4")).unwrap()),
        ("load b +1", &|| repository.write("b/1/größe", b"m")),
        ("unload a", &|| fs::remove_dir_all(repository.join("a")).unwrap()),
    ];
    for (order, happen) in rows {
        happen();
        assert_eq!(stage.pass(SETTLE_MS), [order]);
        assert_eq!(stage.pass(SETTLE_MS), NOTHING);
    }
    assert_eq!(stage.reports, NOTHING);
}

#[test]
fn a_file_is_not_loaded_while_it_is_copied() {
    let repository = TempFolder::with(&["a/1/m"]);
    let mut stage = Stage::serving(&repository);
    let mut copy = Vec::new();
    for piece in 0..5u8 {
        copy.push(piece);
        repository.write("a/2/m", &copy);
        assert_eq!(stage.pass(SETTLE_MS - 1), NOTHING, "{copy:?}");
    }
    assert_eq!(stage.pass(1), ["load a +2"]);
}

#[test]
fn a_copy_that_a_full_disk_cut_off_fails_once_and_leaves_the_old_version() {
    let repository = TempFolder::with(&["a/1/m"]);
    let mut stage = Stage::serving(&repository);
    repository.write("a/2/m", b"broken");
    assert_eq!(stage.pass(SETTLE_MS), ["load a +2"]);
    assert_eq!(stage.pass(60 * SETTLE_MS), NOTHING);
    repository.write("a/2/m", b"broken no more");
    assert_eq!(stage.pass(SETTLE_MS), ["load a +2"]);
    assert_eq!(stage.pass(SETTLE_MS), NOTHING);
}

#[test]
fn a_copy_of_the_same_content_and_a_touch_are_no_change() {
    let repository = TempFolder::with(&["a/1/m", "a/config.yaml"]);
    let mut stage = Stage::serving(&repository);
    let rows: [&dyn Fn(); 4] = [
        &|| repository.write("a/1/m", b"a/1/m"),
        &|| {
            repository.write("a/1/n", b"a/1/m");
            fs::rename(repository.join("a/1/n"), repository.join("a/1/m")).unwrap();
        },
        &|| date(&repository.join("a/1/m"), 86_400),
        &|| date(&repository.join("a/config.yaml"), 86_400),
    ];
    for happen in rows {
        happen();
        assert_eq!(stage.pass(SETTLE_MS), NOTHING);
    }
}

/// Sets the time of a file as `cp -p` and `touch -d` do.
fn date(path: &Path, seconds: u64) {
    let time = SystemTime::UNIX_EPOCH + Duration::from_secs(seconds);
    File::options().write(true).open(path).unwrap().set_times(FileTimes::new().set_modified(time)).unwrap();
}

#[test]
fn a_roll_back_to_older_files_is_a_change() {
    let repository = TempFolder::with(&[]);
    repository.write("a/1/m", b"young");
    let mut stage = Stage::serving(&repository);
    let rows: [(&[u8], u64); 3] = [(b"older", 86_400), (b"young", 172_800), (b"older", 86_400)];
    for (content, seconds) in rows {
        // Of the same length, and older than what it takes the place of.
        repository.write("a/1/m", content);
        date(&repository.join("a/1/m"), seconds);
        assert_eq!(stage.pass(SETTLE_MS), ["load a ~1"], "{content:?}");
    }
}

#[test]
fn a_change_in_place_with_the_times_set_back_is_seen() {
    let repository = TempFolder::with(&["a/1/m"]);
    date(&repository.join("a/1/m"), 86_400);
    let mut stage = Stage::serving(&repository);
    repository.write("a/1/m", b"A/1/M");
    date(&repository.join("a/1/m"), 86_400);
    assert_eq!(stage.pass(SETTLE_MS), ["load a ~1"]);
}

#[test]
fn what_editors_leave_beside_the_files_is_no_change() {
    let repository = TempFolder::with(&["a/1/m", "a/config.yaml"]);
    let mut stage = Stage::serving(&repository);
    for name in ["a/.config.yaml.swp", "a/config.yaml~", "a/1/m.part", "a/1/#m#", "a/4913", "a/1/.#m", ".incoming/1/m"]
    {
        repository.write(name, b"x");
        assert_eq!(stage.pass(SETTLE_MS), NOTHING, "{name}");
    }
}

#[test]
fn a_model_that_is_moved_in_whole_is_loaded() {
    let repository = TempFolder::with(&["a/1/m", ".incoming/a/1/m", ".incoming/a/2/m"]);
    let mut stage = Stage::serving(&repository);
    fs::rename(repository.join("a"), repository.join(".old")).unwrap();
    assert_eq!(stage.pass(SETTLE_MS - 1), NOTHING);
    fs::rename(repository.join(".incoming/a"), repository.join("a")).unwrap();
    repository.write("a/1/m", b"other");
    assert_eq!(stage.pass(SETTLE_MS), ["load a +2 ~1"]);
}

#[test]
fn a_file_that_changes_while_it_is_read_is_read_again_when_it_is_quiet() {
    let repository = TempFolder::with(&["a/1/m"]);
    let mut stage = Stage::of(&[repository.path()]);
    assert_eq!(stage.turn(&[Hint::All], &|| true), NOTHING);
    stage.hand.advance(Duration::from_millis(SETTLE_MS));
    let turns = AtomicI64::new(0);
    // Before the first file, and then before its first bytes.
    let write_meanwhile = || {
        if turns.fetch_add(1, Ordering::Relaxed) == 1 {
            repository.write("a/1/m", b"half");
        }
        true
    };
    assert_eq!(stage.turn(&[Hint::Model("a".to_owned())], &write_meanwhile), NOTHING);
    assert!(turns.into_inner() > 1);
    assert_eq!(stage.pass(SETTLE_MS - 1), NOTHING);
    assert_eq!(stage.pass(1), ["load a +1"]);
}

#[test]
fn reading_that_is_given_up_orders_nothing_and_starts_again() {
    let repository = TempFolder::with(&["a/1/m"]);
    let mut stage = Stage::of(&[repository.path()]);
    assert_eq!(stage.turn(&[Hint::All], &|| true), NOTHING);
    stage.hand.advance(Duration::from_millis(SETTLE_MS));
    let left = AtomicI64::new(1);
    assert_eq!(stage.turn(&[], &|| left.fetch_sub(1, Ordering::Relaxed) > 0), NOTHING);
    assert_eq!(stage.turn(&[], &|| false), NOTHING);
    assert_eq!(stage.live.wake_at(), Some(SETTLE_MS * 1_000_000));
    assert_eq!(stage.turn(&[], &|| true), ["load a +1"]);
}

#[test]
fn a_model_folder_without_a_model_is_told_and_what_serves_goes_on() {
    let repository = TempFolder::with(&["a/1/m"]);
    let mut stage = Stage::serving(&repository);
    fs::remove_dir_all(repository.join("a/1")).unwrap();
    let orders = stage.pass(SETTLE_MS);
    assert!(matches!(&orders[..], [one] if one.starts_with("broken a: model 'a': ") && one.contains("empty folder")));
    assert_eq!(stage.pass(SETTLE_MS), NOTHING);
    repository.write("a/1/m", b"a/1/m");
    // Nothing of it is new, but that it is well.
    assert_eq!(stage.pass(SETTLE_MS), ["load a"]);
    assert_eq!(stage.pass(SETTLE_MS), NOTHING);
}

#[test]
fn a_repository_that_is_not_there_takes_no_model_down() {
    let folder = TempFolder::with(&["r/a/1/m", "r/b/1/m", "other/c/1/m"]);
    let (repository, other) = (folder.join("r"), folder.join("other"));
    let mut stage = Stage::of(&[&repository, &other]);
    assert_eq!(stage.pass(SETTLE_MS), ["load a +1", "load b +1", "load c +1"]);
    let rows: [(&str, &dyn Fn()); 3] = [
        ("r': not found", &|| fs::rename(&repository, folder.join("away")).unwrap()),
        ("r': found nothing, expected the 2 models", &|| fs::create_dir(&repository).unwrap()),
        ("r': found a file, expected a folder", &|| {
            fs::remove_dir(&repository).unwrap();
            folder.write("r", b"");
        }),
    ];
    for (report, happen) in rows {
        happen();
        assert_eq!(stage.pass(9 * SETTLE_MS), NOTHING);
        assert!(matches!(&stage.reports[..], [one] if one.contains(report)), "{report}: {:?}", stage.reports);
        stage.reports.clear();
    }
    // The other repository lives on meanwhile.
    folder.write("other/c/2/m", b"");
    assert_eq!(stage.pass(SETTLE_MS), ["load c +2"]);
    fs::remove_file(&repository).unwrap();
    fs::rename(folder.join("away"), &repository).unwrap();
    folder.write("r/b/1/m", b"other");
    assert_eq!(stage.pass(SETTLE_MS), ["load b ~1"]);
    assert!(matches!(&stage.reports[..], [one] if one.contains("r': can be listed again")), "{:?}", stage.reports);
}

#[test]
fn all_models_of_a_repository_that_are_deleted_at_once_go_on_and_the_last_one_may_go() {
    let repository = TempFolder::with(&["a/1/m", "b/1/m"]);
    let mut stage = Stage::serving(&repository);
    fs::rename(repository.join("a"), repository.join(".a")).unwrap();
    fs::rename(repository.join("b"), repository.join(".b")).unwrap();
    assert_eq!(stage.pass(SETTLE_MS), NOTHING);
    fs::rename(repository.join(".b"), repository.join("b")).unwrap();
    assert_eq!(stage.pass(SETTLE_MS), ["unload a"]);
    fs::remove_dir_all(repository.join("b")).unwrap();
    assert_eq!(stage.pass(SETTLE_MS), ["unload b"]);
    assert_eq!(stage.live.wake_at(), None);
}

#[test]
fn repositories_come_and_go_live_with_names_of_their_own() {
    let (one, two) = (TempFolder::with(&["a/1/m"]), TempFolder::with(&["a/1/m", "b/1/m"]));
    let mut stage = Stage::serving(&one);
    let second = Repository {
        served_as: [("b".to_owned(), "größe".to_owned())].into(),
        namespace: Some("two".to_owned()),
        ..Repository::at(two.path().to_owned())
    };
    stage.live.repositories().add(second).unwrap();
    assert_eq!(stage.pass(SETTLE_MS), ["load two/a +1", "load two/größe +1"]);
    two.write("b/2/m", b"");
    stage.hand.advance(Duration::from_millis(1));
    assert_eq!(stage.turn(&[Hint::Model("two/größe".to_owned())], &|| true), NOTHING);
    stage.hand.advance(Duration::from_millis(SETTLE_MS));
    assert_eq!(stage.turn(&[], &|| true), ["load two/größe +2"]);
    stage.live.repositories().remove(&[two.path().to_owned()]).unwrap();
    assert_eq!(stage.pass(SETTLE_MS), ["unload two/a", "unload two/größe"]);
    assert_eq!(stage.pass(SETTLE_MS), NOTHING);
}

#[test]
fn a_name_that_turns_up_twice_is_told_and_the_first_goes_on() {
    let (one, two) = (TempFolder::with(&["a/1/m"]), TempFolder::with(&[]));
    let mut stage = Stage::of(&[one.path(), two.path()]);
    assert_eq!(stage.pass(SETTLE_MS), ["load a +1"]);
    two.write("a/2/m", b"");
    let orders = stage.pass(SETTLE_MS);
    assert!(matches!(&orders[..], [one] if one.contains("expected in one repository")), "{orders:?}");
    fs::remove_dir_all(two.join("a")).unwrap();
    assert_eq!(stage.pass(SETTLE_MS), ["load a"]);
    assert_eq!(stage.pass(SETTLE_MS), NOTHING);
}

#[test]
fn a_repository_split_over_folders_is_one() {
    let (one, two) = (TempFolder::with(&["a/1/m"]), TempFolder::with(&["b/1/m"]));
    let split = Repository {
        folders: vec![one.path().to_owned(), two.path().to_owned()],
        namespace: Some("n".to_owned()),
        ..Repository::default()
    };
    let mut repositories = Repositories::default();
    repositories.add(split).unwrap();
    let mut stage = Stage::with(repositories, Watcher::blind(Periods::default()));
    assert_eq!(stage.pass(SETTLE_MS), ["load n/a +1", "load n/b +1"]);
    // From one disk to the other.
    two.write("a/1/m", b"a/1/m");
    fs::remove_dir_all(one.join("a")).unwrap();
    assert_eq!(stage.pass(SETTLE_MS), NOTHING);
}

#[test]
fn with_a_marker_a_model_waits_for_it() {
    let repository = TempFolder::with(&["a/1/m"]);
    let mut repositories = Repositories::new(Some(".ready".to_owned())).unwrap();
    repositories.add(Repository::at(repository.path().to_owned())).unwrap();
    let mut stage = Stage::with(repositories, Watcher::blind(Periods::default()));
    assert_eq!(stage.pass(60 * SETTLE_MS), NOTHING);
    repository.write("a/.ready", b"");
    assert_eq!(stage.pass(20), ["load a +1"]);
    repository.write("a/2/m", b"half");
    assert_eq!(stage.pass(60 * SETTLE_MS), NOTHING);
    repository.write("a/2/m", b"whole");
    repository.write("a/2/.ready", b"");
    assert_eq!(stage.pass(20), ["load a +2"]);
    // The marker of version 2 is still the latest: whoever removes a version says so.
    fs::remove_dir_all(repository.join("a/1")).unwrap();
    assert_eq!(stage.pass(60 * SETTLE_MS), NOTHING);
    repository.write("a/.ready", b"again");
    assert_eq!(stage.pass(20), ["load a -1"]);
}

#[test]
fn a_thousand_quiet_models_are_looked_at_without_opening_a_file() {
    let repository = TempFolder::with(&[]);
    for model in 0..1000 {
        repository.write(&format!("m{model:03}/1/m"), b"m");
        repository.write(&format!("m{model:03}/config.yaml"), b"");
    }
    let mut stage = Stage::of(&[repository.path()]);
    assert_eq!(stage.pass(SETTLE_MS).len(), 1000);
    // Before every file that is opened it is asked whether to go on.
    let never = || panic!("a file is read");
    assert_eq!(stage.turn(&[Hint::All], &never), NOTHING);
    repository.write("m500/1/m", b"other");
    assert_eq!(stage.turn(&[Hint::Model("m500".to_owned())], &never), NOTHING);
    stage.hand.advance(Duration::from_millis(SETTLE_MS));
    let asked = AtomicI64::new(0);
    let count = || {
        asked.fetch_add(1, Ordering::Relaxed);
        true
    };
    assert_eq!(stage.turn(&[], &count), ["load m500 ~1"]);
    // One model, one file of it: two chunks, of which the second is its end.
    assert_eq!(asked.into_inner(), 3);
}

#[test]
fn names_in_any_script_are_watched() {
    let repository = TempFolder::with(&["größe/1/модель", "模型/1/m", "😀/1/m"]);
    let mut stage = Stage::of(&[repository.path()]);
    assert_eq!(stage.pass(SETTLE_MS), ["load größe +1", "load 模型 +1", "load 😀 +1"]);
    repository.write("größe/1/модель", b"other");
    assert_eq!(stage.pass(SETTLE_MS), ["load größe ~1"]);
}

#[test]
fn what_the_server_loaded_before_is_not_loaded_again() {
    let repository = TempFolder::with(&["a/1/m", "b/1/m"]);
    let mut stage = Stage::of(&[repository.path()]);
    let found = crate::repository::scan_all(stage.live.repositories()).unwrap();
    for (name, model) in found.models {
        let snapshot = Arc::new(model.look.unwrap().snapshot);
        stage.live.loaded(&stage.clock(), &name, snapshot, Outcome::Serves);
    }
    assert_eq!(stage.pass(SETTLE_MS), NOTHING);
    repository.write("a/1/m", b"a/1/m");
    repository.write("b/1/m", b"other");
    assert_eq!(stage.pass(SETTLE_MS), ["load b ~1"]);
}
