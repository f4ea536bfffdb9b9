//! A hierarchical timer wheel: pure data over time as a value.
//!
//! Eight wheels of 64 slots; a slot of the first is a tick of 2^16 ns (65.5 us), a slot of each further one 64 times as
//! long, so that insertion, removal and firing cost O(1) each (G. Varghese and T. Lauck, "Hashed and hierarchical timing
//! wheels", 1987). Entries live in a slab and are linked by index: in the steady state nothing is allocated.
//!
//! Invariants: 1. an entry fires never before its time and, when `advance` is called at `next`, within two ticks after
//! it; 2. it leaves once, through `remove` or `advance`; 3. a key is never valid for two entries.

const LEVELS: usize = 8;
const SLOTS: usize = 64;
const TICK_BITS: u32 = 16;
const NONE: u32 = u32::MAX;

/// Names an entry of the wheel that inserted it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Key {
    index: u32,
    generation: u32,
}

struct Entry<T> {
    item: Option<T>,
    tick: u64,
    generation: u32,
    previous: u32,
    next: u32,
    level: u8,
    slot: u8,
}

/// Items with a time each.
pub(crate) struct Wheel<T> {
    entries: Vec<Entry<T>>,
    /// The first free entry; free entries are linked by `next`.
    free: u32,
    heads: [[u32; SLOTS]; LEVELS],
    /// Which slots of a level have entries, one bit each.
    occupied: [u64; LEVELS],
    /// Every entry whose tick is at most this one has fired.
    tick: u64,
    len: usize,
}

impl<T> Wheel<T> {
    pub(crate) fn new() -> Self {
        let heads = [[NONE; SLOTS]; LEVELS];
        Wheel { entries: Vec::new(), free: NONE, heads, occupied: [0; LEVELS], tick: 0, len: 0 }
    }

    /// Adds an item that fires at `at`; one whose time is past fires with the next `advance`.
    pub(crate) fn insert(&mut self, at: u64, item: T) -> Key {
        // Rounded up, so that it does not fire early.
        let tick = (at >> TICK_BITS) + 1;
        let index = self.allocate(tick, item);
        self.link(index);
        self.len += 1;
        Key { index, generation: self.entries[index as usize].generation }
    }

    /// Takes an item out; `None` when it has fired or was removed.
    pub(crate) fn remove(&mut self, key: Key) -> Option<T> {
        let entry = self.entries.get(key.index as usize)?;
        if entry.generation != key.generation || entry.item.is_none() {
            return None;
        }
        self.unlink(key.index);
        Some(self.release(key.index))
    }

    /// Fires what is due at `now`, in no particular order within a tick.
    pub(crate) fn advance(&mut self, now: u64, mut fire: impl FnMut(T)) {
        let target = now >> TICK_BITS;
        while let Some((level, slot, start)) = self.next_slot() {
            if start > target {
                break;
            }
            self.tick = self.tick.max(start);
            while self.heads[level][slot] != NONE {
                let index = self.heads[level][slot];
                self.unlink(index);
                if self.entries[index as usize].tick <= target {
                    fire(self.release(index));
                } else {
                    self.link(index);
                }
            }
        }
        self.tick = self.tick.max(target);
    }

    /// When `advance` is next needed; `None` when there is nothing to wait for.
    pub(crate) fn next(&self) -> Option<u64> {
        self.next_slot().map(|(_, _, start)| start << TICK_BITS)
    }

    /// The slot that comes first in time, and the tick at which it does.
    fn next_slot(&self) -> Option<(usize, usize, u64)> {
        (0..LEVELS).filter_map(|level| self.next_slot_of(level)).min_by_key(|(_, _, start)| *start)
    }

    fn next_slot_of(&self, level: usize) -> Option<(usize, usize, u64)> {
        let occupied = self.occupied[level];
        if occupied == 0 {
            return None;
        }
        let shift = 6 * level as u32;
        let current = self.tick >> shift;
        let ahead = occupied.rotate_right((current % SLOTS as u64) as u32).trailing_zeros();
        let slot = (current + u64::from(ahead)) % SLOTS as u64;
        let start = (current + u64::from(ahead)) << shift;
        Some((level, slot as usize, start.max(self.tick)))
    }

    fn allocate(&mut self, tick: u64, item: T) -> u32 {
        if self.free == NONE {
            let entry = Entry { item: Some(item), tick, generation: 0, previous: NONE, next: NONE, level: 0, slot: 0 };
            self.entries.push(entry);
            return (self.entries.len() - 1) as u32;
        }
        let index = self.free;
        let entry = &mut self.entries[index as usize];
        self.free = entry.next;
        (entry.item, entry.tick) = (Some(item), tick);
        index
    }

    fn release(&mut self, index: u32) -> T {
        let entry = &mut self.entries[index as usize];
        entry.generation = entry.generation.wrapping_add(1);
        entry.next = self.free;
        self.free = index;
        self.len -= 1;
        match entry.item.take() {
            Some(item) => item,
            None => unreachable!("a linked timer without an item"),
        }
    }

    fn link(&mut self, index: u32) {
        let (level, slot) = self.place(self.entries[index as usize].tick);
        let head = self.heads[level][slot];
        let entry = &mut self.entries[index as usize];
        (entry.previous, entry.next, entry.level, entry.slot) = (NONE, head, level as u8, slot as u8);
        if head != NONE {
            self.entries[head as usize].previous = index;
        }
        self.heads[level][slot] = index;
        self.occupied[level] |= 1 << slot;
    }

    fn unlink(&mut self, index: u32) {
        let entry = &self.entries[index as usize];
        let (previous, next, level, slot) = (entry.previous, entry.next, entry.level as usize, entry.slot as usize);
        match previous {
            NONE => self.heads[level][slot] = next,
            _ => self.entries[previous as usize].next = next,
        }
        if next != NONE {
            self.entries[next as usize].previous = previous;
        }
        if self.heads[level][slot] == NONE {
            self.occupied[level] &= !(1 << slot);
        }
    }

    /// The finest level on which the tick is less than a turn away.
    fn place(&self, tick: u64) -> (usize, usize) {
        let tick = tick.max(self.tick);
        for level in 0..LEVELS {
            let shift = 6 * level as u32;
            if (tick >> shift) - (self.tick >> shift) < SLOTS as u64 {
                return (level, ((tick >> shift) % SLOTS as u64) as usize);
            }
        }
        // Further away than the last level reaches: its furthest slot, from where it is placed anew.
        let shift = 6 * (LEVELS - 1) as u32;
        (LEVELS - 1, (((self.tick >> shift) + SLOTS as u64 - 1) % SLOTS as u64) as usize)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const TICK: u64 = 1 << TICK_BITS;

    fn fired(wheel: &mut Wheel<u64>, now: u64) -> Vec<u64> {
        let mut fired = Vec::new();
        wheel.advance(now, |item| fired.push(item));
        fired.sort_unstable();
        fired
    }

    #[test]
    fn an_item_fires_once_at_its_time() {
        for at in [0, 1, TICK, 64 * TICK, 65 * TICK + 3, 4096 * TICK, 1 << 40, 1 << 62, u64::MAX - TICK] {
            let mut wheel = Wheel::new();
            wheel.insert(at, at);
            assert!(fired(&mut wheel, at.saturating_sub(1)).is_empty(), "{at}");
            assert_eq!(fired(&mut wheel, at + TICK), [at], "{at}");
            assert_eq!(wheel.next(), None);
        }
    }

    #[test]
    fn a_removed_item_never_fires_and_its_key_is_not_reused() {
        let mut wheel = Wheel::new();
        let key = wheel.insert(5 * TICK, 1);
        assert_eq!(wheel.remove(key), Some(1));
        assert_eq!(wheel.remove(key), None);
        let second = wheel.insert(5 * TICK, 2);
        assert_eq!(wheel.remove(key), None);
        assert_eq!(fired(&mut wheel, 9 * TICK), [2]);
        assert_eq!(wheel.remove(second), None);
    }

    proptest::proptest! {
        #[test]
        fn waking_at_next_fires_everything_in_time(times in proptest::collection::vec(0u64..(1 << 36), 1..60)) {
            let mut wheel = Wheel::new();
            for time in &times {
                wheel.insert(*time, *time);
            }
            let mut seen = 0;
            while let Some(now) = wheel.next() {
                let mut late = Vec::new();
                wheel.advance(now, |item| late.push(item));
                for item in late {
                    assert!(item <= now && now - item <= 2 * TICK, "{item} fired at {now}");
                    seen += 1;
                }
            }
            assert_eq!(seen, times.len());
        }

        #[test]
        fn the_wheel_agrees_with_a_sorted_list(steps in proptest::collection::vec((0u8..3, 0u64..(1 << 30)), 0..80)) {
            let (mut wheel, mut list, mut now) = (Wheel::new(), Vec::new(), 0);
            for (kind, amount) in steps {
                match kind {
                    0 => list.push((wheel.insert(now + amount, now + amount), now + amount)),
                    1 if !list.is_empty() => {
                        let (key, time) = list.remove(amount as usize % list.len());
                        assert_eq!(wheel.remove(key), Some(time));
                    }
                    _ => {
                        now += amount;
                        for item in fired(&mut wheel, now) {
                            let place = list.iter().position(|(_, time)| *time == item).unwrap();
                            assert!(list.remove(place).1 <= now);
                        }
                        assert!(list.iter().all(|(_, time)| *time + TICK > now));
                    }
                }
            }
        }
    }
}
