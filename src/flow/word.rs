//! The one atomic word of a lane, as a value.
//!
//! ```text
//!   epoch:24 | queued:20 | idle:12 | flags:8
//! ```
//!
//! `queued` counts live requests that wait (reserved before they are pushed, so it is the bound too), `idle` the
//! instances that are free, `epoch` the submissions that were published. Flags: LEADER (a thread leads, or is woken to),
//! WAITING (the leader waits out a delay and wants to be rung up), STOPPING (nothing new comes in), SWEPT (whoever still
//! publishes answers it himself).
//!
//! Invariants: 1. publish, then read the word: a submission is in the inbox before its epoch counts; 2. a leader resigns
//! only if the word is unchanged since before it looked into the inbox; 3. `queued > 0` and `idle > 0` imply LEADER, or
//! a submission that has not been published yet.

use crate::sync::{AtomicU64, Ordering};

const LEADER: u64 = 1;
const WAITING: u64 = 1 << 1;
const STOPPING: u64 = 1 << 2;
const SWEPT: u64 = 1 << 3;
const IDLE: u64 = 1 << 8;
const IDLE_MASK: u64 = 0xfff << 8;
const QUEUED: u64 = 1 << 20;
const QUEUED_MASK: u64 = 0xf_ffff << 20;
const EPOCH: u64 = 1 << 40;

/// The most instances that a lane can have.
pub(crate) const INSTANCES_MAX: usize = 4095;
/// The most requests that can wait in a lane.
pub(crate) const QUEUED_MAX: usize = 0xf_fffe;

/// A reading of the word.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Reading(u64);

impl Reading {
    pub(crate) fn idle(self) -> usize {
        ((self.0 & IDLE_MASK) / IDLE) as usize
    }

    pub(crate) fn queued(self) -> usize {
        ((self.0 & QUEUED_MASK) / QUEUED) as usize
    }

    pub(crate) fn is_led(self) -> bool {
        self.0 & LEADER != 0
    }

    pub(crate) fn is_waiting(self) -> bool {
        self.0 & WAITING != 0
    }

    pub(crate) fn is_stopping(self) -> bool {
        self.0 & STOPPING != 0
    }

    pub(crate) fn is_swept(self) -> bool {
        self.0 & SWEPT != 0
    }

    fn wants_leader(self) -> bool {
        !self.is_led() && self.idle() > 0 && self.queued() > 0
    }
}

/// What a refused reservation found.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Refusal {
    Stopping,
    Full,
}

/// What becomes of the lead when a batch departs.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Lead {
    /// Given up: nothing waits, or no instance is free; whoever changes that takes the lead.
    Resigned,
    /// Kept: more waits and more instances are free.
    Kept,
}

/// The word of a lane.
pub(crate) struct Word(AtomicU64);

impl Word {
    pub(crate) fn new() -> Self {
        Word(AtomicU64::new(0))
    }

    pub(crate) fn read(&self) -> Reading {
        Reading(self.0.load(Ordering::Acquire))
    }

    /// Reserves a place for one live request.
    pub(crate) fn reserve(&self, queued_max: usize) -> Result<(), Refusal> {
        let mut word = self.0.load(Ordering::Relaxed);
        loop {
            let reading = Reading(word);
            if reading.is_stopping() {
                return Err(Refusal::Stopping);
            }
            if reading.queued() >= queued_max {
                return Err(Refusal::Full);
            }
            match self.0.compare_exchange_weak(word, word + QUEUED, Ordering::AcqRel, Ordering::Relaxed) {
                Ok(_) => return Ok(()),
                Err(found) => word = found,
            }
        }
    }

    /// Publishes a submission that is in the inbox. Takes the lead if an instance is free and nobody has it: the reading
    /// is from before, so the lead was taken if it `wants_leader`.
    pub(crate) fn publish(&self) -> (Reading, bool) {
        let mut leads = false;
        let before = self.update(|word| {
            leads = Reading(word).wants_leader();
            word.wrapping_add(EPOCH) | if leads { LEADER } else { 0 }
        });
        (before, leads)
    }

    /// Gives `count` reservations up: their requests run, or were answered while they waited.
    pub(crate) fn unreserve(&self, count: usize) -> Reading {
        Reading(self.0.fetch_sub(count as u64 * QUEUED, Ordering::AcqRel))
    }

    /// Takes a free instance for a caller that finds nobody else here.
    pub(crate) fn take_instance(&self) -> bool {
        let mut word = self.0.load(Ordering::Acquire);
        loop {
            let reading = Reading(word);
            if word & (LEADER | STOPPING) != 0 || reading.queued() > 0 || reading.idle() == 0 {
                return false;
            }
            match self.0.compare_exchange_weak(word, word - IDLE, Ordering::AcqRel, Ordering::Acquire) {
                Ok(_) => return true,
                Err(found) => word = found,
            }
        }
    }

    /// Takes a free instance away for good, unless somebody leads: a leader counts on what it has seen.
    pub(crate) fn remove_instance(&self) -> bool {
        let may = |reading: Reading| !reading.is_led() && reading.idle() > 0;
        self.update_if(|word| may(Reading(word)).then(|| word - IDLE))
    }

    /// Takes all `count` instances away, if every one is free, nothing waits and nobody leads or is to come.
    pub(crate) fn remove_all(&self, count: usize) -> bool {
        let may = |reading: Reading| !reading.is_led() && reading.queued() == 0 && reading.idle() == count;
        self.update_if(|word| (word & STOPPING == 0 && may(Reading(word))).then_some(word & !IDLE_MASK))
    }

    /// The leader sends a batch of `requests` off on a free instance.
    pub(crate) fn depart(&self, requests: usize) -> Lead {
        let mut lead = Lead::Resigned;
        self.update(|word| {
            let next = word - requests as u64 * QUEUED - IDLE;
            let reading = Reading(next);
            lead = if reading.queued() > 0 && reading.idle() > 0 { Lead::Kept } else { Lead::Resigned };
            if lead == Lead::Kept { next } else { next & !LEADER }
        });
        lead
    }

    /// An instance is free again. Whether whoever brought it now leads, and whether the lane stops. With `keeps` it leads
    /// also when nothing waits yet, unless somebody else does.
    pub(crate) fn bring_instance(&self, keeps: bool) -> (bool, bool) {
        let mut leads = false;
        let before = self.update(|word| {
            let next = word + IDLE;
            leads = Reading(next).wants_leader() || keeps && !Reading(next).is_led();
            next | if leads { LEADER } else { 0 }
        });
        (leads, before.is_stopping())
    }

    /// Takes the lead, for a test.
    #[cfg(all(test, not(loom)))]
    pub(crate) fn take_lead(&self) -> bool {
        self.0.fetch_or(LEADER, Ordering::AcqRel) & LEADER == 0
    }

    /// The leader resigns, unless the word has changed since `seen`.
    pub(crate) fn resign(&self, seen: Reading) -> bool {
        self.0.compare_exchange(seen.0, seen.0 & !LEADER, Ordering::AcqRel, Ordering::Relaxed).is_ok()
    }

    /// The leader begins to wait, unless the word has changed since `seen`.
    pub(crate) fn begin_wait(&self, seen: Reading) -> bool {
        self.0.compare_exchange(seen.0, seen.0 | WAITING, Ordering::AcqRel, Ordering::Relaxed).is_ok()
    }

    pub(crate) fn end_wait(&self) {
        self.0.fetch_and(!WAITING, Ordering::AcqRel);
    }

    /// Changes the word without changing what it says, so that a leader who has read it looks again.
    pub(crate) fn touch(&self) -> Reading {
        Reading(self.0.fetch_add(EPOCH, Ordering::AcqRel))
    }

    /// Lets nothing new in.
    pub(crate) fn stop(&self) -> Reading {
        Reading(self.0.fetch_or(STOPPING, Ordering::AcqRel))
    }

    /// From now on whoever publishes sweeps.
    pub(crate) fn mark_swept(&self) {
        self.0.fetch_or(STOPPING | SWEPT, Ordering::AcqRel);
    }

    fn update_if(&self, next: impl Fn(u64) -> Option<u64>) -> bool {
        self.0.fetch_update(Ordering::AcqRel, Ordering::Acquire, next).is_ok()
    }

    fn update(&self, mut next: impl FnMut(u64) -> u64) -> Reading {
        let mut word = self.0.load(Ordering::Relaxed);
        loop {
            match self.0.compare_exchange_weak(word, next(word), Ordering::AcqRel, Ordering::Relaxed) {
                Ok(_) => return Reading(word),
                Err(found) => word = found,
            }
        }
    }
}

#[cfg(all(test, not(loom)))]
mod tests {
    use super::*;

    #[test]
    fn a_submission_takes_the_lead_only_when_an_instance_is_free_and_nobody_leads() {
        let word = Word::new();
        assert_eq!(word.reserve(2), Ok(()));
        assert!(!word.publish().1);
        assert_eq!(word.bring_instance(false), (true, false));
        assert_eq!(word.reserve(2), Ok(()));
        assert!(!word.publish().1);
        assert_eq!(word.reserve(2), Err(Refusal::Full));
        assert_eq!(word.depart(1), Lead::Resigned);
        assert_eq!((word.read().queued(), word.read().idle(), word.read().is_led()), (1, 0, false));
    }

    #[test]
    fn a_leader_resigns_only_from_what_it_has_seen() {
        let word = Word::new();
        word.bring_instance(false);
        assert!(word.take_lead());
        let seen = word.read();
        assert_eq!(word.reserve(2), Ok(()));
        assert!(!word.resign(seen) && word.resign(word.read()));
    }

    #[test]
    fn a_caller_takes_an_instance_only_when_nothing_waits() {
        let word = Word::new();
        assert!(!word.take_instance());
        word.bring_instance(false);
        assert_eq!(word.reserve(2), Ok(()));
        assert!(!word.take_instance());
        word.unreserve(1);
        assert!(word.take_instance() && !word.take_instance());
    }

    #[test]
    fn instances_are_taken_away_only_while_nobody_counts_on_them() {
        let word = Word::new();
        assert!(!word.remove_instance() && word.remove_all(0));
        (0..3).for_each(|_| assert_eq!(word.bring_instance(false), (false, false)));
        assert!(word.take_lead() && !word.remove_instance() && !word.remove_all(3));
        assert!(word.resign(word.read()) && word.remove_instance());
        assert!(!word.remove_all(3), "one is gone");
        assert_eq!(word.reserve(1), Ok(()));
        assert!(!word.remove_all(2), "something is to come");
        word.unreserve(1);
        assert!(word.remove_all(2) && word.read().idle() == 0);
    }

    #[test]
    fn the_epoch_wraps_without_touching_its_neighbours() {
        let word = Word::new();
        for _ in 0..=(u64::MAX >> 40) {
            word.publish();
        }
        assert_eq!(word.read(), Reading(0));
    }
}
