//! The waiting room of a lane: requests in order, by priority. Pure data: no thread, no clock, no lock.
//!
//! Invariants: 1. a smaller level goes first; within a level, those in time go before those that are late, and among
//! either, order is arrival order. 2. `take` begins with the head and goes on with entries of the head's key, in order,
//! while their rows fit; entries of other keys keep their places. 3. Every entry leaves once, through `take`, `retain` or
//! `drain`; one that is late changes its place once. 4. `rows` is the sum over all entries. 5. `view` counts rows as
//! far as `take` goes, by what was late at the last `delay`.
//!
//! Who is late is looked at where it matters, at the head and on the way of `take`: each entry is moved at most once, and
//! a room whose entries are never late has no second rank.

use std::collections::VecDeque;

/// How far `view` and `take` look past entries of another key.
const LOOKAHEAD: usize = 256;

/// One waiting request.
pub(crate) struct Entry<T> {
    /// The request.
    pub(crate) item: T,
    /// Its rows along the batch dim; at least 1.
    pub(crate) rows: usize,
    /// Requests batch together only when their keys agree.
    pub(crate) key: u64,
    /// 0 is the most urgent.
    pub(crate) level: usize,
    /// When it was submitted.
    pub(crate) arrived: u64,
    /// When it no longer waits; `u64::MAX` for never.
    pub(crate) ends: u64,
    /// When it is late, and those in time go first; `u64::MAX` for never.
    pub(crate) late: u64,
}

/// What the batch policy needs to know.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(crate) struct View {
    /// Rows that could go into a batch with the head; counting stops at the limit that was asked for.
    pub(crate) rows: usize,
    /// When the longest-waiting of all arrived: where it cannot go into this batch, no other waits while it does.
    pub(crate) oldest: u64,
    /// Requests waiting, of all keys.
    pub(crate) len: usize,
}

/// Requests waiting for a batch.
pub(crate) struct Room<T> {
    /// One for each level; if entries may be late, two: those in time, and behind them those that are late.
    ranks: Vec<VecDeque<Entry<T>>>,
    ranks_per_level: usize,
    len: usize,
    rows: usize,
    /// Whether entries of different keys may be waiting.
    mixed: bool,
    /// Whether no entry is skipped for one behind it.
    is_ordered: bool,
}

impl<T> Room<T> {
    /// A room for `levels` priorities, at least one.
    pub(crate) fn new(levels: usize) -> Self {
        Self::with_ranks(levels, 1)
    }

    /// As `new`, where entries may be late.
    pub(crate) fn delaying(levels: usize) -> Self {
        Self::with_ranks(levels, 2)
    }

    /// The same, where no entry is skipped for another of its level: a batch ends at an entry of another key.
    pub(crate) fn in_order(self) -> Self {
        Room { is_ordered: true, ..self }
    }

    fn with_ranks(levels: usize, ranks_per_level: usize) -> Self {
        let ranks = (0..levels.max(1) * ranks_per_level).map(|_| VecDeque::new()).collect();
        Room { ranks, ranks_per_level, len: 0, rows: 0, mixed: false, is_ordered: false }
    }

    /// Adds an entry behind those of its level; levels beyond the last count as the last.
    pub(crate) fn push(&mut self, entry: Entry<T>) {
        self.mixed = match self.head() {
            None => false,
            Some(head) => self.mixed || head.key != entry.key,
        };
        self.len += 1;
        self.rows += entry.rows;
        let rank = (entry.level * self.ranks_per_level).min(self.ranks.len() - self.ranks_per_level);
        self.ranks[rank].push_back(entry);
    }

    /// Whether entries may be late.
    pub(crate) fn delays(&self) -> bool {
        self.ranks_per_level > 1
    }

    /// Moves those at the head of their levels that are late by now behind those in time, so that the head is not late
    /// unless its level is.
    pub(crate) fn delay(&mut self, now: u64) {
        for rank in (0..self.ranks.len()).step_by(self.ranks_per_level) {
            while self.delays() && self.ranks[rank].front().is_some_and(|entry| entry.late <= now) {
                self.fall_behind(rank, 0);
            }
        }
    }

    /// What waits, as seen from the head; rows are counted up to `rows_max`.
    pub(crate) fn view(&self, rows_max: usize) -> View {
        let Some(head) = self.head() else { return View::default() };
        let rows = if self.mixed { self.rows_like(head.key, rows_max) } else { self.rows };
        let oldest = self.ranks.iter().filter_map(VecDeque::front).map(|entry| entry.arrived).min();
        View { rows: rows.min(rows_max), oldest: oldest.unwrap_or(head.arrived), len: self.len }
    }

    /// Passes the head and what batches with it to `accept`, as many as fit `rows_max`, but the head in any case; what
    /// is late by `now` goes last of its level. `accept` says how many rows an entry brought: 0 for one that turned out
    /// to be answered already.
    pub(crate) fn take(&mut self, rows_max: usize, now: u64, mut accept: impl FnMut(Entry<T>) -> usize) {
        self.delay(now);
        let Some(key) = self.head().map(|head| head.key) else { return };
        let mut room = Taking { left: rows_max, first: true, skipped: 0, key, now };
        for first in (0..self.ranks.len()).step_by(self.ranks_per_level) {
            // What does not fit, or must not be skipped, is not overtaken by what is late.
            let _stopped = (first..first + self.ranks_per_level)
                .any(|rank| self.take_rank(rank, &mut room, &mut accept) == Judgement::Stop);
        }
        self.mixed &= self.len > 1;
    }

    /// Keeps the entries that `is_alive` says yes to, in their places.
    pub(crate) fn retain(&mut self, is_alive: impl Fn(&T) -> bool) {
        for rank in &mut self.ranks {
            rank.retain(|entry| is_alive(&entry.item));
        }
        self.len = self.ranks.iter().map(VecDeque::len).sum();
        self.rows = self.ranks.iter().flatten().map(|entry| entry.rows).sum();
    }

    /// How many entries there are.
    pub(crate) fn len(&self) -> usize {
        self.len
    }

    /// Passes every entry on, in order.
    pub(crate) fn drain(&mut self, accept: impl FnMut(Entry<T>)) {
        (self.len, self.rows, self.mixed) = (0, 0, false);
        self.ranks.iter_mut().flat_map(|rank| rank.drain(..)).for_each(accept);
    }

    fn head(&self) -> Option<&Entry<T>> {
        self.ranks.iter().find_map(VecDeque::front)
    }

    /// Rows of the head's key, where entries of several wait.
    fn rows_like(&self, key: u64, rows_max: usize) -> usize {
        let (mut rows, mut skipped) = (0, 0);
        for level in self.ranks.chunks(self.ranks_per_level) {
            for entry in level.iter().flatten() {
                if rows >= rows_max || skipped >= LOOKAHEAD {
                    return rows;
                }
                if entry.key == key {
                    rows += entry.rows;
                    continue;
                }
                skipped += 1;
                if self.is_ordered {
                    // Nobody of this level is skipped; the next goes on.
                    break;
                }
            }
        }
        rows
    }

    fn take_rank(&mut self, rank: usize, taking: &mut Taking, accept: &mut impl FnMut(Entry<T>) -> usize) -> Judgement {
        let mut index = 0;
        let in_time = rank.is_multiple_of(self.ranks_per_level);
        while let Some(entry) = self.ranks[rank].get(index) {
            if self.delays() && in_time && entry.late <= taking.now && taking.goes_on() {
                self.fall_behind(rank, index);
                continue;
            }
            match taking.judge(entry.key, entry.rows) {
                Judgement::Skip if !self.is_ordered => index += 1,
                Judgement::Stop | Judgement::Skip => return Judgement::Stop,
                Judgement::Take => {
                    // `remove(0)` is `pop_front`; further in, the few skipped entries move, not the long tail.
                    let Some(entry) = self.ranks[rank].remove(index) else { return Judgement::Stop };
                    self.len -= 1;
                    self.rows -= entry.rows;
                    let rows = accept(entry);
                    taking.left = taking.left.saturating_sub(rows);
                    taking.first &= rows == 0;
                }
            }
        }
        Judgement::Take
    }

    /// An entry of those in time is late: it goes where it arrived among the late ones, which is mostly at their end.
    fn fall_behind(&mut self, rank: usize, index: usize) {
        let Some(entry) = self.ranks[rank].remove(index) else { return };
        let late = &mut self.ranks[rank + 1];
        let place = late.partition_point(|other| other.arrived <= entry.arrived);
        late.insert(place, entry);
    }
}

struct Taking {
    left: usize,
    first: bool,
    skipped: usize,
    key: u64,
    now: u64,
}

#[derive(PartialEq, Eq)]
enum Judgement {
    Take,
    Skip,
    Stop,
}

impl Taking {
    fn goes_on(&self) -> bool {
        self.left > 0 && self.skipped < LOOKAHEAD
    }

    fn judge(&mut self, key: u64, rows: usize) -> Judgement {
        if !self.goes_on() {
            Judgement::Stop
        } else if key != self.key {
            self.skipped += 1;
            Judgement::Skip
        } else if rows <= self.left || self.first {
            Judgement::Take
        } else {
            // A smaller one further back must not overtake it: that would starve large requests.
            Judgement::Stop
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn room(entries: &[(u32, usize, u64, usize)]) -> Room<u32> {
        let mut room = Room::new(2);
        for (arrived, (item, rows, key, level)) in entries.iter().enumerate() {
            let (arrived, ends, late) = (arrived as u64, u64::MAX, u64::MAX);
            room.push(Entry { item: *item, rows: *rows, key: *key, level: *level, arrived, ends, late });
        }
        room
    }

    fn take(room: &mut Room<u32>, rows_max: usize) -> Vec<u32> {
        take_at(room, rows_max, 0)
    }

    fn take_at(room: &mut Room<u32>, rows_max: usize, now: u64) -> Vec<u32> {
        let mut taken = Vec::new();
        room.take(rows_max, now, |entry| {
            taken.push(entry.item);
            entry.rows
        });
        taken
    }

    #[test]
    fn requests_leave_in_order_within_a_priority_and_urgent_ones_first() {
        let mut room = room(&[(1, 1, 0, 1), (2, 1, 0, 0), (3, 1, 0, 1), (4, 1, 0, 0)]);
        assert_eq!(room.view(9), View { rows: 4, oldest: 0, len: 4 });
        assert_eq!(take(&mut room, 3), [2, 4, 1]);
        assert_eq!(take(&mut room, 3), [3]);
        assert_eq!(room.view(9), View::default());
    }

    #[test]
    fn requests_of_another_shape_keep_their_places() {
        let mut room = room(&[(1, 1, 7, 0), (2, 1, 8, 0), (3, 1, 7, 0), (4, 1, 8, 0)]);
        assert_eq!(room.view(9).rows, 2);
        assert_eq!(take(&mut room, 9), [1, 3]);
        assert_eq!(room.view(9), View { rows: 2, oldest: 1, len: 2 });
        assert_eq!(take(&mut room, 9), [2, 4]);
    }

    #[test]
    fn a_large_request_is_not_overtaken_by_smaller_ones() {
        let mut room = room(&[(1, 2, 0, 0), (2, 3, 0, 0), (3, 1, 0, 0)]);
        assert_eq!(take(&mut room, 4), [1]);
        assert_eq!(take(&mut room, 4), [2, 3]);
    }

    #[test]
    fn a_head_larger_than_asked_for_leaves_alone() {
        let mut room = room(&[(1, 8, 0, 0), (2, 1, 0, 0)]);
        assert_eq!(take(&mut room, 4), [1]);
        assert_eq!(take(&mut room, 4), [2]);
    }

    #[test]
    fn the_dead_leave_and_the_others_keep_their_places() {
        let mut room = room(&[(1, 2, 7, 0), (2, 1, 8, 0), (3, 1, 7, 1), (4, 3, 7, 0)]);
        room.retain(|item| *item != 1 && *item != 3);
        assert_eq!((room.len(), room.view(9)), (2, View { rows: 1, oldest: 1, len: 2 }));
        assert_eq!((take(&mut room, 9), take(&mut room, 9)), (vec![2], vec![4]));
    }

    #[test]
    fn an_entry_that_brings_no_rows_makes_room_for_the_next() {
        let mut room = room(&[(1, 1, 0, 0), (2, 1, 0, 0), (3, 1, 0, 0)]);
        let mut alive = Vec::new();
        room.take(1, 0, |entry| {
            let rows = usize::from(entry.item != 1);
            alive.extend((rows > 0).then_some(entry.item));
            rows
        });
        assert_eq!((alive, room.view(9).len), (vec![2], 1));
    }

    /// Entries of one row and key: item, level, and when it is late.
    fn delaying(entries: &[(u32, usize, u64)]) -> Room<u32> {
        let mut room = Room::delaying(2);
        for (arrived, (item, level, late)) in entries.iter().enumerate() {
            let (arrived, ends) = (arrived as u64, u64::MAX);
            room.push(Entry { item: *item, rows: 1, key: 0, level: *level, arrived, ends, late: *late });
        }
        room
    }

    #[test]
    fn what_is_late_goes_behind_what_is_in_time_but_before_the_next_level() {
        let entries = [(1, 0, 10), (2, 0, 30), (3, 1, 5), (4, 0, 20), (5, 1, 90), (6, 0, u64::MAX)];
        let rows: &[(u64, &[u32])] = &[
            (0, &[1, 2, 4, 6, 3, 5]),
            (9, &[1, 2, 4, 6, 5, 3]),
            (10, &[2, 4, 6, 1, 5, 3]),
            (20, &[2, 6, 1, 4, 5, 3]),
            (30, &[6, 1, 2, 4, 5, 3]),
            (99, &[6, 1, 2, 4, 3, 5]),
        ];
        for (now, expected) in rows {
            assert_eq!(take_at(&mut delaying(&entries), 9, *now), *expected, "at {now}");
        }
    }

    #[test]
    fn late_ones_are_served_when_no_others_wait_and_stay_late() {
        let mut room = delaying(&[(1, 0, 10), (2, 0, 90), (3, 0, 10)]);
        assert_eq!(take_at(&mut room, 1, 50), [2]);
        room.push(Entry { item: 4, rows: 1, key: 0, level: 0, arrived: 9, ends: u64::MAX, late: 90 });
        assert_eq!(take_at(&mut room, 1, 50), [4]);
        assert_eq!(room.view(9), View { rows: 2, oldest: 0, len: 2 });
        assert_eq!(take_at(&mut room, 1, 50), [1]);
        assert_eq!((take_at(&mut room, 9, 0), room.len()), (vec![3], 0), "however the clock is read");
    }

    #[test]
    fn the_head_is_in_time_when_anything_of_its_level_is() {
        let mut room = Room::delaying(1);
        for (item, key, late) in [(1, 7, 10), (2, 8, u64::MAX), (3, 7, u64::MAX)] {
            room.push(Entry { item, rows: 1, key, level: 0, arrived: u64::from(item), ends: u64::MAX, late });
        }
        assert_eq!(room.view(9).rows, 2, "the two of the first key");
        room.delay(10);
        assert_eq!(room.view(9), View { rows: 1, oldest: 1, len: 3 });
        assert_eq!((take_at(&mut room, 9, 10), take_at(&mut room, 9, 10)), (vec![2], vec![3, 1]));
    }

    #[test]
    fn a_large_request_in_time_is_not_overtaken_by_one_that_is_late() {
        let mut room = Room::delaying(1);
        for (item, rows, late) in [(1, 1, 0), (2, 1, 9), (3, 4, 9)] {
            room.push(Entry { item, rows, key: 0, level: 0, arrived: u64::from(item), ends: u64::MAX, late });
        }
        let taken = [take_at(&mut room, 4, 5), take_at(&mut room, 4, 5), take_at(&mut room, 4, 5)];
        assert_eq!(taken, [vec![2], vec![3], vec![1]]);
    }

    #[test]
    fn an_ordered_room_skips_nobody_of_a_level() {
        let mut room = room(&[(1, 1, 7, 0), (2, 1, 7, 0), (3, 1, 8, 0), (4, 1, 7, 0), (5, 1, 7, 1)]).in_order();
        assert_eq!(room.view(9), View { rows: 3, oldest: 0, len: 5 });
        assert_eq!((take(&mut room, 9), take(&mut room, 9), take(&mut room, 9)), (vec![1, 2, 5], vec![3], vec![4]));
    }

    #[test]
    fn a_view_counts_what_is_taken_next() {
        // Rows, key, level and when it is late, of each in its order; whether the room is ordered; the view at 5 of a batch
        // of 4 rows: its rows and the arrival of the oldest of all.
        type Row = (&'static str, &'static [(usize, u64, usize, u64)], bool, (usize, u64));
        const NEVER: u64 = u64::MAX;
        let rows: &[Row] = &[
            ("one key", &[(1, 7, 1, NEVER), (1, 7, 0, NEVER)], false, (2, 0)),
            ("another key ends its level", &[(1, 7, 0, NEVER), (1, 8, 0, NEVER), (1, 7, 0, NEVER)], true, (1, 0)),
            ("and no other", &[(1, 7, 1, NEVER), (1, 7, 0, NEVER), (1, 8, 0, NEVER), (1, 7, 0, NEVER)], true, (2, 0)),
            ("both levels", &[(1, 7, 0, NEVER), (1, 8, 0, NEVER), (2, 7, 1, NEVER), (1, 8, 1, NEVER)], true, (3, 0)),
            ("late ones go behind", &[(1, 7, 0, 1), (1, 8, 0, NEVER), (1, 7, 0, NEVER)], true, (1, 0)),
            ("late, of another key", &[(1, 8, 0, 1), (1, 7, 0, NEVER), (1, 7, 0, NEVER)], false, (2, 0)),
            ("late, of both keys", &[(1, 7, 0, 1), (1, 8, 0, 2), (1, 7, 0, NEVER), (1, 8, 0, NEVER)], false, (2, 0)),
            ("less urgent, of another key", &[(1, 8, 1, NEVER), (1, 7, 0, NEVER)], false, (1, 0)),
            ("more than a batch", &[(3, 7, 0, NEVER), (1, 8, 0, NEVER), (3, 7, 0, NEVER)], false, (4, 0)),
        ];
        for (name, entries, is_ordered, (rows, oldest)) in rows {
            let mut room = Room::delaying(2);
            room = if *is_ordered { room.in_order() } else { room };
            for (arrived, (rows, key, level, late)) in entries.iter().copied().enumerate() {
                let arrived = arrived as u64;
                room.push(Entry { item: arrived as u32, rows, key, level, arrived, ends: NEVER, late });
            }
            room.delay(5);
            assert_eq!(room.view(4), View { rows: *rows, oldest: *oldest, len: entries.len() }, "{name}");
        }
    }

    #[test]
    fn a_batch_larger_than_the_lookahead_is_seen_whole_beside_another_shape() {
        let mut entries = vec![(0, 1, 7, 0); 2 * LOOKAHEAD];
        entries[1] = (1, 1, 8, 0);
        let mut room = room(&entries);
        assert_eq!(room.view(2 * LOOKAHEAD).rows, 2 * LOOKAHEAD - 1);
        assert_eq!(take(&mut room, 2 * LOOKAHEAD).len(), 2 * LOOKAHEAD - 1);
    }

    proptest::proptest! {
        #[test]
        fn delays_lose_nobody_and_order_by_level_lateness_and_arrival(
            entries in proptest::collection::vec((0usize..2, 0u64..20), 1..40), now in 0u64..20) {
            let numbered: Vec<_> =
                entries.iter().enumerate().map(|(item, entry)| (item as u32, entry.0, entry.1)).collect();
            let mut expected = numbered.clone();
            expected.sort_by_key(|(item, level, late)| (*level, *late <= now, *item));
            let expected: Vec<_> = expected.into_iter().map(|(item, ..)| item).collect();
            assert_eq!(take_at(&mut delaying(&numbered), usize::MAX, now), expected);
        }


        #[test]
        fn every_entry_leaves_once(entries in proptest::collection::vec((1usize..5, 0u64..3, 0usize..2), 0..60),
            rows_max in 1usize..9) {
            let numbered: Vec<_> =
                entries.iter().enumerate().map(|(item, entry)| (item as u32, entry.0, entry.1, entry.2)).collect();
            let mut room = room(&numbered);
            let mut seen = Vec::new();
            while room.view(rows_max).len > 0 {
                let before = room.view(rows_max);
                let taken = take(&mut room, rows_max);
                assert!(!taken.is_empty() && before.rows > 0);
                let rows: usize = taken.iter().map(|item| entries[*item as usize].0).sum();
                assert!(rows <= rows_max || taken.len() == 1);
                assert!(taken.iter().all(|item| entries[*item as usize].1 == entries[taken[0] as usize].1));
                seen.extend(taken);
            }
            seen.sort_unstable();
            assert_eq!(seen, (0..entries.len() as u32).collect::<Vec<_>>());
        }
    }
}
