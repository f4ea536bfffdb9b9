//! What holds of any script: only what was quiet is commanded, and of each state that was quiet the last, once.

use super::*;
use proptest::prelude::*;

/// What may happen to a folder, or to the server, between two looks.
#[derive(Clone, Debug)]
enum Event {
    Write(u8),
    Touch,
    Remove,
    Lose,
    Look,
    /// The load that runs ends.
    End(Outcome),
}

fn event() -> impl Strategy<Value = Event> {
    prop_oneof![
        3 => (0..3u8).prop_map(Event::Write),
        1 => Just(Event::Touch),
        1 => Just(Event::Remove),
        1 => Just(Event::Lose),
        6 => Just(Event::Look),
        2 => prop_oneof![Just(Serves), Just(Failed), Just(Stale)].prop_map(Event::End),
    ]
}

/// A folder, the server beside it, and what was commanded.
struct World {
    watch: Watch,
    now: u64,
    /// The content and the number of its last write.
    folder: Option<u8>,
    writes: u64,
    is_lost: bool,
    /// What the last looks saw, by the number of the write, and since when.
    seen: Option<(u64, u64)>,
    served: Option<u8>,
    /// What a load that runs will serve.
    loading: Option<(u8, Arc<Snapshot>)>,
    /// What the last load failed with, if it failed.
    failed: Option<u8>,
    is_unloading: bool,
    /// The content of every load since the last write.
    loads: Vec<u8>,
}

impl World {
    fn observed(&self, is_read: bool) -> Observed {
        match self.folder {
            _ if self.is_lost => Observed::Unknown,
            None => Observed::Gone,
            Some(content) if is_read => read(&[content], self.writes),
            Some(content) => here(&[content], self.writes),
        }
    }

    fn write(&mut self, folder: Option<u8>) {
        if folder.is_some() || self.folder.is_some() {
            (self.folder, self.writes) = (folder, self.writes + 1);
            self.loads.clear();
        }
    }

    /// For how long every look has seen what this one sees.
    fn quiet(&mut self) -> u64 {
        // That a folder was there between two looks which saw none cannot be known.
        let key = if self.is_lost { u64::MAX } else { self.folder.map_or(0, |_| self.writes) };
        let since = self.seen.filter(|(before, _)| *before == key).map_or(self.now, |(_, since)| since);
        self.seen = Some((key, since));
        self.now - since
    }

    fn look(&mut self) {
        let quiet = self.quiet();
        let mut commands = self.watch.step(self.now, [("m".to_owned(), self.observed(false))]);
        if matches!(commands[..], [Command::Read { .. }]) {
            commands = self.watch.answer(self.now, "m", self.observed(true)).into_iter().collect();
        }
        for command in commands {
            assert!(quiet >= SETTLE_NS, "{command:?} after {quiet} ns");
            assert!(self.loading.is_none() && !self.is_unloading, "{command:?} while another is out");
            assert!(!self.is_lost);
            match command {
                Command::Load { snapshot, .. } => {
                    let content = self.folder.expect("a model that is gone is not loaded");
                    assert_eq!(*snapshot, model(&[content], self.writes));
                    self.loading = Some((content, snapshot));
                    self.loads.push(content);
                }
                Command::Unload { .. } => {
                    assert_eq!(self.folder, None);
                    self.is_unloading = true;
                }
                other => panic!("{other:?} of a folder that can be read"),
            }
        }
    }

    fn end(&mut self, outcome: Outcome) {
        if let Some((content, snapshot)) = self.loading.take() {
            match outcome {
                Serves => (self.served, self.failed) = (Some(content), None),
                Failed => self.failed = Some(content),
                Stale => self.loads.clear(),
            }
            self.watch.loaded(self.now, "m", snapshot, outcome);
        }
        if std::mem::take(&mut self.is_unloading) {
            (self.served, self.failed) = (None, None);
            self.watch.unloaded("m");
        }
    }
}

proptest! {
    #![proptest_config(ProptestConfig { failure_persistence: None, ..ProptestConfig::with_cases(512) })]

    #[test]
    fn only_what_was_quiet_is_commanded_and_the_last_state_once(
        events in prop::collection::vec((0..700u64, event()), 0..60)
    ) {
        let mut world = World {
            watch: Watch::new(Rules::default()),
            now: 0,
            folder: None,
            writes: 0,
            is_lost: false,
            seen: None,
            served: None,
            loading: None,
            failed: None,
            is_unloading: false,
            loads: Vec::new(),
        };
        for (ms, event) in events {
            world.now += ms * MS;
            match event {
                Event::Write(content) => world.write(Some(content)),
                Event::Touch => world.write(world.folder),
                Event::Remove => world.write(None),
                Event::Lose => world.is_lost = !world.is_lost,
                Event::Look => world.look(),
                Event::End(outcome) => world.end(outcome),
            }
            prop_assert!(world.loads.len() <= 1, "loaded {:?} without a write between", world.loads);
        }
        world.is_lost = false;
        // What ran may fail or not; what comes after it is a load of the last state, or none.
        for _ in 0..4 {
            world.now += SETTLE_NS;
            world.look();
            world.end(Serves);
        }
        prop_assert!(world.loads.len() <= 1);
        // Only content that has failed before is left alone.
        let is_served = world.served == world.folder;
        prop_assert!(is_served || world.folder.is_some() && world.failed == world.folder, "serving {:?}", world.served);
        prop_assert_eq!(world.watch.wake_at(), None);
    }
}
