//! The rules of watching, as scripts of what is seen and when, and as properties of any script.

mod property;

use super::*;
use crate::repository::snapshot::tests::mark;
use crate::repository::snapshot::{FileMark, Stat};

const MS: u64 = 1_000_000;

/// A model of one version for each of `versions`, by the content of its file; written at `written`.
fn model(versions: &[u8], written: u64) -> Snapshot {
    let part = |content: &u8| [("m".to_owned(), mark(*content, written))].into();
    Snapshot { versions: (1..).zip(versions.iter().map(part)).collect(), ..Snapshot::default() }
}

/// The same as a look sees it that has read nothing.
fn unread(mut snapshot: Snapshot) -> Snapshot {
    let marks = snapshot.versions.values_mut().flat_map(BTreeMap::values_mut);
    marks.for_each(|mark| *mark = FileMark { sum: None, ..*mark });
    snapshot
}

fn here(versions: &[u8], written: u64) -> Observed {
    Observed::Here(unread(model(versions, written)))
}

fn read(versions: &[u8], written: u64) -> Observed {
    Observed::Read(model(versions, written))
}

fn marked(versions: &[u8], written: u64, marker: u64) -> Snapshot {
    let stat = Stat { changed_ns: marker.into(), ..Stat::default() };
    Snapshot { marker: Some(stat), ..model(versions, written) }
}

fn trouble(what: &'static str) -> Error {
    Error::unavailable(what)
}

/// What happens to the model `m` at a time in milliseconds, and what is commanded then.
enum Row {
    /// It is seen so.
    See(u64, Observed, &'static str),
    /// Time passes.
    Pass(u64, &'static str),
    /// A load of this ends.
    Loaded(u64, Snapshot, Outcome),
    /// An unload ends.
    Unloaded,
}
use Outcome::{Failed, Serves, Stale};
use Row::{Loaded, Pass, See, Unloaded};

/// A command in short: `load +1 -2 ~3 c` for versions added, removed and changed and for the config.
fn drawn(command: &Command) -> String {
    match command {
        Command::Read { .. } => "read".to_owned(),
        Command::Unload { .. } => "unload".to_owned(),
        Command::Broken { error, .. } => format!("broken {}", error.message()),
        Command::Load { change, .. } => {
            let list =
                |sign: char, versions: &[u64]| versions.iter().map(|v| format!(" {sign}{v}")).collect::<String>();
            let Change { added, removed, changed, .. } = change;
            format!("load{}{}{}", list('+', added), list('-', removed), list('~', changed))
        }
    }
}

fn check(rules: &Rules, rows: Vec<Row>) {
    let mut watch = Watch::new(rules.clone());
    for (at, row) in rows.into_iter().enumerate() {
        let (ms, observed, expected) = match row {
            See(ms, observed, expected) => (ms, Some(("m".to_owned(), observed)), expected),
            Pass(ms, expected) => (ms, None, expected),
            Loaded(ms, snapshot, outcome) => {
                watch.loaded(ms * MS, "m", Arc::new(snapshot), outcome);
                continue;
            }
            Unloaded => {
                watch.unloaded("m");
                continue;
            }
        };
        let commands = watch.step(ms * MS, observed);
        let drawn: Vec<String> = commands.iter().map(drawn).collect();
        assert_eq!(drawn.join("; "), expected, "row {at}, {ms} ms");
    }
}

#[test]
fn a_model_is_loaded_when_it_has_been_quiet_and_no_sooner() {
    let rows = vec![
        See(0, here(&[1], 1), ""),
        Pass(999, ""),
        See(999, here(&[1], 2), ""),
        Pass(1998, ""),
        Pass(1999, "read"),
        See(1999, read(&[1], 2), "load +1"),
        Pass(9999, ""),
        Loaded(10_000, model(&[1], 2), Serves),
        See(99_999, here(&[1], 2), "read"),
        See(99_999, read(&[1], 2), ""),
        Pass(200_000, ""),
    ];
    check(&Rules::default(), rows);
}

#[test]
fn what_changes_while_it_is_read_starts_anew() {
    let rows = vec![
        See(0, here(&[1], 1), ""),
        See(1000, here(&[1], 1), "read"),
        See(1000, read(&[1], 2), ""),
        See(1999, here(&[1], 2), ""),
        See(2000, here(&[1], 2), "read"),
        See(2000, Observed::Unsettled(unread(model(&[1], 2))), ""),
        Pass(2999, ""),
        Pass(3000, "read"),
        See(3000, read(&[1], 2), "load +1"),
    ];
    check(&Rules::default(), rows);
}

#[test]
fn a_touch_is_no_change_and_a_roll_back_is_one() {
    let rows = vec![
        Loaded(0, model(&[7, 8], 1), Serves),
        See(1, here(&[7, 8], 5), ""),
        Pass(1001, "read"),
        See(1001, read(&[7, 8], 5), ""),
        // Version 2 gets the content of an older file, with the old times.
        See(2000, here(&[7, 6], 0), ""),
        Pass(3000, "read"),
        See(3000, read(&[7, 6], 0), "load ~2"),
    ];
    check(&Rules::default(), rows);
}

#[test]
fn what_was_loaded_unread_is_read_once() {
    let rows = vec![
        Loaded(0, unread(model(&[7], 1)), Serves),
        See(1, here(&[7], 1), ""),
        Pass(1000, "read"),
        See(1000, read(&[7], 1), ""),
        See(2000, here(&[7], 2), ""),
        Pass(3000, "read"),
        See(3000, read(&[7], 2), ""),
        Pass(9000, ""),
    ];
    check(&Rules::default(), rows);
}

#[test]
fn a_version_that_vanishes_leaves_the_others() {
    let rows = vec![
        Loaded(0, model(&[1, 2], 1), Serves),
        See(0, Observed::Here(model(&[1], 1)), ""),
        See(1000, Observed::Here(model(&[1], 1)), "read"),
        See(1000, read(&[1], 1), "load -2"),
    ];
    check(&Rules::default(), rows);
}

#[test]
fn a_model_that_stays_away_is_unloaded_and_may_come_back() {
    let rows = vec![
        Loaded(0, model(&[1], 1), Serves),
        See(0, Observed::Gone, ""),
        See(500, Observed::Here(model(&[1], 1)), ""),
        See(600, Observed::Gone, ""),
        Pass(1599, ""),
        Pass(1600, "unload"),
        // It is back before the unload has ended.
        See(2000, here(&[1], 2), ""),
        Pass(3500, ""),
        Unloaded,
        Pass(3501, "read"),
        See(3501, read(&[1], 2), "load +1"),
    ];
    check(&Rules::default(), rows);
}

#[test]
fn what_was_never_served_goes_without_a_word() {
    check(&Rules::default(), vec![See(0, here(&[1], 1), ""), See(10, Observed::Gone, ""), Pass(9999, "")]);
}

#[test]
fn what_cannot_be_looked_at_goes_on_serving() {
    let rows = vec![
        Loaded(0, model(&[1], 1), Serves),
        See(0, Observed::Gone, ""),
        See(999, Observed::Unknown, ""),
        Pass(60_000, ""),
        See(61_000, Observed::Here(model(&[1], 1)), ""),
        Pass(99_000, ""),
    ];
    check(&Rules::default(), rows);
}

#[test]
fn a_broken_folder_is_told_once_and_again_after_it_was_well() {
    let broken = || Observed::Broken(trouble("no version"));
    let rows = vec![
        Loaded(0, model(&[1], 1), Serves),
        See(0, broken(), ""),
        See(1000, broken(), "broken no version"),
        See(2000, broken(), ""),
        See(3000, Observed::Broken(trouble("two configs")), ""),
        Pass(4000, "broken two configs"),
        See(5000, Observed::Here(model(&[1], 1)), ""),
        See(6000, Observed::Broken(trouble("two configs")), ""),
        Pass(7000, "broken two configs"),
        See(8000, Observed::Here(model(&[1], 1)), ""),
        Pass(9000, "read"),
        See(9000, read(&[1], 1), "load"),
        Loaded(9500, model(&[1], 1), Serves),
        See(10_000, Observed::Gone, ""),
        Pass(11_000, "unload"),
    ];
    check(&Rules::default(), rows);
}

#[test]
fn what_was_told_of_before_is_not_told_again_and_goes() {
    let mut watch = Watch::new(Rules::default());
    watch.told(0, "m", trouble("no version"));
    let broken = || [("m".to_owned(), Observed::Broken(trouble("no version")))];
    assert_eq!(watch.step(0, broken()), []);
    assert_eq!(watch.step(2000 * MS, broken()), []);
    assert_eq!(watch.step(3000 * MS, [("m".to_owned(), Observed::Gone)]), []);
    assert_eq!(watch.step(4000 * MS, []), [Command::Unload { name: "m".to_owned() }]);
}

#[test]
fn a_file_that_cannot_be_read_is_told_once_and_tried_again_when_it_changes() {
    let denied = |written| Observed::Unreadable(unread(model(&[2], written)), trouble("permission denied"));
    let rows = vec![
        Loaded(0, model(&[1], 1), Serves),
        See(0, here(&[2], 2), ""),
        Pass(1000, "read"),
        See(1000, denied(2), "broken permission denied"),
        See(2000, here(&[2], 2), ""),
        Pass(9000, ""),
        // What is permitted again has another stat.
        See(9000, here(&[2], 3), ""),
        Pass(10_000, "read"),
        See(10_000, read(&[2], 3), "load ~1"),
    ];
    check(&Rules::default(), rows);
}

#[test]
fn what_serves_and_cannot_be_read_is_not_read_for_ever() {
    let rows = vec![
        Loaded(0, unread(model(&[1], 1)), Serves),
        Pass(1000, "read"),
        See(1000, Observed::Unreadable(unread(model(&[1], 1)), trouble("permission denied")), ""),
        See(2000, here(&[1], 1), ""),
        Pass(9000, ""),
    ];
    check(&Rules::default(), rows);
}

#[test]
fn what_serves_and_cannot_be_read_is_not_read_for_ever_when_it_is_back_after_something_that_failed() {
    let denied =
        |versions: &[u8], written| Observed::Unreadable(unread(model(versions, written)), trouble("permission denied"));
    let rows = vec![
        Loaded(0, unread(model(&[1], 1)), Serves),
        Pass(1000, "read"),
        See(1000, denied(&[1], 1), ""),
        See(2000, here(&[1, 2], 1), ""),
        Pass(3000, "read"),
        See(3000, denied(&[1, 2], 1), "broken permission denied"),
        See(4000, here(&[1], 1), ""),
        Pass(5000, "read"),
        See(5000, denied(&[1], 1), ""),
        Pass(5000, ""),
        See(9000, here(&[1], 1), ""),
        // What is permitted again has another stat, and nobody knows its content.
        See(9000, here(&[1], 2), ""),
        Pass(10_000, "read"),
        See(10_000, read(&[1], 2), "load ~1"),
    ];
    check(&Rules::default(), rows);
}

#[test]
fn a_failed_load_waits_for_other_content() {
    let rows = vec![
        Loaded(0, model(&[1], 1), Serves),
        See(0, Observed::Here(model(&[1, 2], 1)), ""),
        Pass(1000, "read"),
        See(1000, read(&[1, 2], 1), "load +2"),
        Loaded(1500, model(&[1, 2], 1), Failed),
        See(2000, here(&[1, 2], 9), ""),
        Pass(3000, "read"),
        See(3000, read(&[1, 2], 9), ""),
        Pass(99_000, ""),
        // What has changed is told from what serves, not from what failed.
        See(100_000, Observed::Here(model(&[1, 3, 4], 9)), ""),
        Pass(101_000, "read"),
        See(101_000, read(&[1, 3, 4], 9), "load +2 +3"),
        Loaded(101_500, model(&[1, 3, 4], 9), Failed),
        // Back to what serves, which is loaded to be told of as well; and once is enough.
        See(102_000, here(&[1], 10), ""),
        Pass(103_000, "read"),
        See(103_000, read(&[1], 10), "load"),
        Loaded(103_500, model(&[1], 10), Serves),
        See(104_000, here(&[1], 11), ""),
        Pass(105_000, "read"),
        See(105_000, read(&[1], 11), ""),
        Pass(200_000, ""),
    ];
    check(&Rules::default(), rows);
}

#[test]
fn a_failed_load_is_tried_again_where_that_is_wanted() {
    let rows = vec![
        See(0, here(&[1], 1), ""),
        Pass(1000, "read"),
        See(1000, read(&[1], 1), "load +1"),
        Loaded(1500, model(&[1], 1), Failed),
        Pass(6499, ""),
        Pass(6500, "read"),
        See(6500, read(&[1], 1), "load +1"),
        Pass(99_000, ""),
        Loaded(99_000, model(&[1], 1), Serves),
        Pass(199_000, ""),
    ];
    check(&Rules { retry_ns: Some(5000 * MS), ..Rules::default() }, rows);
}

#[test]
fn a_load_that_files_changed_under_is_tried_again_when_they_are_quiet() {
    let rows = vec![
        See(0, here(&[1], 1), ""),
        Pass(1000, "read"),
        See(1000, read(&[1], 1), "load +1"),
        Loaded(5000, model(&[1], 1), Stale),
        See(5000, here(&[1], 2), ""),
        Pass(5999, ""),
        Pass(6000, "read"),
        See(6000, read(&[1], 2), "load +1"),
    ];
    check(&Rules::default(), rows);
}

#[test]
fn a_change_during_a_load_waits_for_its_end() {
    let rows = vec![
        See(0, here(&[1], 1), ""),
        Pass(1000, "read"),
        See(1000, read(&[1], 1), "load +1"),
        See(2000, here(&[2], 2), ""),
        Pass(9000, ""),
        Loaded(9500, model(&[1], 1), Serves),
        Pass(9500, "read"),
        See(9500, read(&[2], 2), "load ~1"),
    ];
    check(&Rules::default(), rows);
}

#[test]
fn what_somebody_unloads_stays_unloaded_until_it_changes() {
    let rows = vec![
        Loaded(0, model(&[1], 1), Serves),
        See(0, Observed::Here(model(&[1], 1)), ""),
        Unloaded,
        Pass(60_000, ""),
        See(61_000, Observed::Here(model(&[2], 1)), ""),
        Pass(62_000, "read"),
        See(62_000, read(&[2], 1), "load +1"),
    ];
    check(&Rules::default(), rows);
}

#[test]
fn with_a_marker_nothing_else_says_when() {
    let here = |versions: &[u8], written, marker| Observed::Here(unread(marked(versions, written, marker)));
    let rows = vec![
        See(0, Observed::Here(unread(model(&[1], 5))), ""),
        Pass(60_000, ""),
        See(60_000, here(&[1], 5, 4), ""),
        Pass(90_000, ""),
        See(90_000, here(&[1], 5, 5), ""),
        Pass(90_019, ""),
        Pass(90_020, "read"),
        See(90_020, Observed::Read(marked(&[1], 5, 5)), "load +1"),
        Loaded(91_000, marked(&[1], 5, 5), Serves),
        // A version goes: the files left are older than the marker, which is yet none for this state.
        See(92_000, here(&[], 5, 5), ""),
        Pass(150_000, ""),
        See(150_000, here(&[1, 2], 6, 5), ""),
        Pass(190_000, ""),
        See(190_000, here(&[1, 2], 6, 7), ""),
        Pass(190_020, "read"),
        See(190_020, Observed::Read(marked(&[1, 2], 6, 7)), "load +2"),
        See(191_000, Observed::Gone, ""),
        Loaded(191_000, marked(&[1, 2], 6, 7), Serves),
        Pass(192_000, "unload"),
    ];
    check(&Rules { needs_marker: true, ..Rules::default() }, rows);
}

#[test]
fn without_a_settle_time_what_is_seen_is_acted_on() {
    let rows = vec![See(0, here(&[1], 1), "read"), See(0, read(&[1], 1), "load +1"), See(1, Observed::Gone, "")];
    check(&Rules { settle_ns: 0, ..Rules::default() }, rows);
}

#[test]
fn the_next_wake_is_when_something_may_be_due() {
    let mut watch = Watch::new(Rules::default());
    let see = |name: &str, observed| [(name.to_owned(), observed)];
    assert_eq!(watch.wake_at(), None);
    watch.step(5, see("a", here(&[1], 1)));
    watch.step(7, see("b", here(&[1], 1)));
    assert_eq!(watch.wake_at(), Some(5 + SETTLE_NS));
    assert_eq!((watch.due(SETTLE_NS + 4).len(), watch.due(SETTLE_NS + 5)), (0, vec!["a".to_owned()]));
    watch.step(SETTLE_NS + 5, see("a", here(&[1], 1)));
    watch.step(SETTLE_NS + 5, see("a", read(&[1], 1)));
    assert_eq!(watch.wake_at(), Some(7 + SETTLE_NS));
    assert_eq!(watch.last("a"), Some(&model(&[1], 1)));
    assert!(watch.names().eq(["a", "b"]));
}

#[test]
fn a_model_that_was_lost_sight_of_has_to_settle_again() {
    let mut watch = Watch::new(Rules::default());
    let look = |watch: &mut Watch, now: u64, observed: Observed| watch.step(now, [("m".to_owned(), observed)]);
    assert!(look(&mut watch, 0, here(&[1], 1)).is_empty());
    assert!(matches!(look(&mut watch, SETTLE_NS, here(&[1], 1))[..], [Command::Read { .. }]));
    let Some(Command::Load { snapshot, .. }) = watch.answer(SETTLE_NS, "m", read(&[1], 1)) else { panic!("no load") };
    assert!(look(&mut watch, SETTLE_NS, Observed::Unknown).is_empty());
    watch.loaded(SETTLE_NS, "m", snapshot, Stale);
    // Nobody can say what happened to it until it is seen again.
    let back = SETTLE_NS + SETTLE_NS / 2;
    assert!(look(&mut watch, back, here(&[1], 1)).is_empty());
    assert!(look(&mut watch, 2 * SETTLE_NS, here(&[1], 1)).is_empty());
    assert!(matches!(look(&mut watch, back + SETTLE_NS, here(&[1], 1))[..], [Command::Read { .. }]));
}
