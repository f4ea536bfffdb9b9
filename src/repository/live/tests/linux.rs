//! What only Linux has: links, permissions that stop a superuser too, and a system that tells of changes.

use super::*;
use crate::sync::nobody::as_nobody;
use std::os::unix::fs::PermissionsExt;

fn permit(path: &Path, mode: u32) {
    fs::set_permissions(path, fs::Permissions::from_mode(mode)).unwrap();
}

#[test]
fn a_link_that_is_swapped_is_a_change() {
    let folder =
        TempFolder::with(&["r/a/.store/v1/m", "r/a/.store/v2/m", "r/.b1/1/m", "r/.b2/1/m", "r2/a/1/m", "r2/b/1/m"]);
    folder.link("r/a/1", ".store/v1");
    folder.link("r/b", ".b1");
    folder.link("current", "r");
    let mut stage = Stage::of(&[&folder.join("current")]);
    assert_eq!(stage.pass(SETTLE_MS), ["load a +1", "load b +1"]);
    let rows = [("r/a/1", ".store/v2", "load a ~1"), ("r/b", ".b2", "load b ~1")];
    for (link, target, order) in rows {
        folder.link("next", target);
        fs::rename(folder.join("next"), folder.join(link)).unwrap();
        assert_eq!(stage.pass(SETTLE_MS), [order]);
    }
    folder.link("next", "r2");
    fs::rename(folder.join("next"), folder.join("current")).unwrap();
    assert_eq!(stage.pass(SETTLE_MS), ["load a ~1", "load b ~1"]);
}

#[test]
fn a_link_that_leads_out_is_neither_followed_nor_read() {
    let (repository, outside) = (TempFolder::with(&["a/1/m"]), TempFolder::with(&["secret"]));
    let mut stage = Stage::serving(&repository);
    repository.link("a/1/n", outside.join("secret"));
    assert_eq!(stage.turn(&[Hint::All], &|| true), NOTHING);
    stage.hand.advance(Duration::from_millis(SETTLE_MS));
    let turn = stage.live.turn(&stage.clock(), &[], &mut stage.watcher, &|| true);
    let [Order::Load { snapshot, .. }] = &turn.orders[..] else { panic!("no load") };
    let mark = snapshot.versions[&1]["n"];
    assert!(!mark.is_readable && mark.sum.is_none());
    assert_ne!(mark.stat, Stat::of(&fs::metadata(outside.join("secret")).unwrap()));
}

#[test]
fn what_is_locked_is_told_once_and_loaded_when_it_is_open() {
    let repository = TempFolder::with(&["a/1/m", "b/1/m"]);
    let rows =
        [("a/1/m", "broken a: '"), ("a/1", "broken a: model 'a': version 1: '"), ("a", "broken a: model 'a': '")];
    for (locked, message) in rows {
        let mut stage = Stage::serving(&repository);
        let path = repository.join(locked);
        let mode = fs::metadata(&path).unwrap().permissions().mode();
        repository.write("a/1/m", format!("behind {locked}").as_bytes());
        permit(&path, 0o000);
        let orders = as_nobody(|| stage.pass(SETTLE_MS));
        assert!(
            matches!(&orders[..], [one] if one.starts_with(message) && one.contains("ermission denied")),
            "{orders:?}"
        );
        assert_eq!(as_nobody(|| stage.pass(60 * SETTLE_MS)), NOTHING);
        permit(&path, mode);
        assert_eq!(as_nobody(|| stage.pass(SETTLE_MS)), ["load a ~1"], "{locked}");
    }
}

#[test]
fn a_repository_that_is_locked_takes_no_model_down() {
    let folder = TempFolder::with(&["r/a/1/m"]);
    let mut stage = Stage::of(&[&folder.join("r")]);
    assert_eq!(stage.pass(SETTLE_MS), ["load a +1"]);
    permit(&folder.join("r"), 0o000);
    assert_eq!(as_nobody(|| stage.pass(60 * SETTLE_MS)), NOTHING);
    permit(&folder.join("r"), 0o755);
    assert!(matches!(&stage.reports[..], [one] if one.contains("ermission denied")), "{:?}", stage.reports);
    assert_eq!(stage.pass(SETTLE_MS), NOTHING);
}

#[test]
fn the_system_tells_where_to_look() {
    let repository = TempFolder::with(&["a/1/m", "b/1/sub/m", "b/.store/v2/m", ".c1/m", ".c2/m"]);
    repository.link("c/1", "../.c1");
    let repositories = Repositories::of_folders(&[repository.path().to_owned()]);
    let mut stage = Stage::with(repositories, Watcher::new(Periods { watched_ns: u64::MAX, blind_ns: u64::MAX - 1 }));
    // As the hall does: look where it is told to, and wait until something is due.
    let run = |stage: &mut Stage, may_look_at_all: bool| {
        let mut orders = Vec::new();
        for step in 0..8 {
            let hints = stage.watcher.wait(&stage.clock(), Some(0));
            assert!(may_look_at_all || !hints.contains(&Hint::All));
            orders.extend(stage.turn(&hints, &|| true));
            if hints.is_empty() && step > 2 {
                stage.hand.advance(Duration::from_millis(SETTLE_MS));
            }
        }
        tick();
        orders
    };
    assert_eq!(run(&mut stage, true), ["load a +1", "load b +1", "load c +1"]);
    let rows: [(&[&str], &dyn Fn()); 7] = [
        (&["load a ~1"], &|| repository.write("a/1/m", b"other")),
        (&["load b ~1"], &|| repository.write("b/1/sub/m", b"other")),
        (&["load b +2"], &|| fs::rename(repository.join("b/.store/v2"), repository.join("b/2")).unwrap()),
        (&["load b ~2"], &|| repository.write("b/2/m", b"other")),
        (&["load c ~1"], &|| {
            repository.link("c/.next", "../.c2");
            fs::rename(repository.join("c/.next"), repository.join("c/1")).unwrap();
        }),
        (&["load c ~1"], &|| repository.write(".c2/m", b"other")),
        (&[], &|| repository.write(".c1/m", b"other")),
    ];
    for (orders, happen) in rows {
        happen();
        assert_eq!(run(&mut stage, false), orders);
    }
}
