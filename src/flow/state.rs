//! The state word of a request: five phases, changed by one compare-and-swap each.
//!
//! ```text
//!   FRESH -> QUEUED -> RUNNING -> ANSWERING -> ANSWERED
//!               |                     ^
//!               `---------------------'   a deadline or a cancel wins from QUEUED (and from RUNNING if nothing is lent)
//! ```
//!
//! Whoever moves the phase to ANSWERING is the one who answers, and the only one to touch the reply until ANSWERED.
//! Flags: LENT (inputs or outputs lie in memory of a waiting caller), BLOCKING (a caller waits at the bell), UNWANTED (the
//! caller gave up; the backend may look), RELEASED (nothing reaches the request's memory any more). Release and answer
//! are independent; a waiting caller goes on when both have happened.
//!
//! Where the ticket is the only one of its request (`alone`), nobody competes and nobody waits: a plain store does.

use crate::sync::{AtomicU32, Ordering};

const PHASE: u32 = 0b111;
const FRESH: u32 = 0;
const QUEUED: u32 = 1;
const RUNNING: u32 = 2;
const ANSWERING: u32 = 3;
const ANSWERED: u32 = 4;
const LENT: u32 = 1 << 3;
const BLOCKING: u32 = 1 << 4;
const UNWANTED: u32 = 1 << 5;
const RELEASED: u32 = 1 << 6;

/// The state word.
pub(crate) struct State(AtomicU32);

impl State {
    pub(crate) fn new() -> Self {
        State(AtomicU32::new(FRESH))
    }

    /// Back to the beginning; no other owner exists.
    pub(crate) fn reset(&mut self) {
        *self = State::new();
    }

    /// FRESH -> QUEUED.
    pub(crate) fn queue(&self, is_lent: bool, is_blocking: bool) {
        self.0.store(QUEUED | flags(is_lent, is_blocking), Ordering::Release);
    }

    /// FRESH -> RUNNING, without a queue: the caller runs it.
    pub(crate) fn run_directly(&self, is_lent: bool) {
        self.0.store(RUNNING | flags(is_lent, true), Ordering::Release);
    }

    /// QUEUED -> RUNNING; whether it was still QUEUED.
    pub(crate) fn claim(&self) -> bool {
        self.step(QUEUED, RUNNING)
    }

    /// QUEUED -> ANSWERING; whether it was still QUEUED.
    pub(crate) fn win_queued(&self) -> bool {
        self.step(QUEUED, ANSWERING)
    }

    /// RUNNING -> ANSWERING, by the one who ran it; whether nobody answered early.
    pub(crate) fn win_running(&self, alone: bool) -> bool {
        if !alone {
            return self.step(RUNNING, ANSWERING);
        }
        let word = self.0.load(Ordering::Relaxed);
        let wins = word & PHASE == RUNNING;
        if wins {
            self.0.store(word - RUNNING + ANSWERING, Ordering::Relaxed);
        }
        wins
    }

    /// RUNNING -> ANSWERING, by others than the one who ran it: not while a backend may reach memory that is lent.
    pub(crate) fn win_running_early(&self) -> bool {
        self.0.load(Ordering::Acquire) & (LENT | RELEASED) != LENT && self.step(RUNNING, ANSWERING)
    }

    /// ANSWERING -> ANSWERED. Whether a caller who waits may go on now.
    pub(crate) fn publish(&self, is_released: bool, alone: bool) -> bool {
        let released = if is_released { RELEASED } else { 0 };
        if alone {
            let word = self.0.load(Ordering::Relaxed);
            self.0.store((word + (ANSWERED - ANSWERING)) | released, Ordering::Release);
            return false;
        }
        // ANSWERING is 3 and ANSWERED is 4; only the winner changes the phase here, flags may come in between.
        let before = self.0.fetch_add((ANSWERED - ANSWERING) | released, Ordering::AcqRel);
        may_go_on((before + (ANSWERED - ANSWERING)) | released)
    }

    /// Nothing reaches the request's memory any more. Whether a caller who waits may go on now.
    pub(crate) fn release(&self) -> bool {
        may_go_on(self.0.fetch_or(RELEASED, Ordering::AcqRel) | RELEASED)
    }

    /// The caller gave up.
    pub(crate) fn give_up(&self) {
        self.0.fetch_or(UNWANTED, Ordering::AcqRel);
    }

    pub(crate) fn is_unwanted(&self) -> bool {
        self.0.load(Ordering::Relaxed) & UNWANTED != 0
    }

    /// Whether it still waits for a batch.
    pub(crate) fn is_queued(&self) -> bool {
        self.0.load(Ordering::Acquire) & PHASE == QUEUED
    }

    /// Whether it is in a batch, and not answered.
    pub(crate) fn is_running(&self) -> bool {
        self.0.load(Ordering::Acquire) & PHASE == RUNNING
    }

    pub(crate) fn is_answered(&self) -> bool {
        self.0.load(Ordering::Acquire) & PHASE == ANSWERED
    }

    /// Whether a caller waits at the bell; nobody else wants to be told then.
    pub(crate) fn is_blocking(&self) -> bool {
        self.0.load(Ordering::Relaxed) & BLOCKING != 0
    }

    /// Whether a caller who waits may go on.
    pub(crate) fn is_over(&self) -> bool {
        let word = self.0.load(Ordering::Acquire);
        word & PHASE == ANSWERED && word & RELEASED != 0
    }

    fn step(&self, from: u32, to: u32) -> bool {
        let mut word = self.0.load(Ordering::Acquire);
        while word & PHASE == from {
            match self.0.compare_exchange_weak(word, word - from + to, Ordering::AcqRel, Ordering::Acquire) {
                Ok(_) => return true,
                Err(found) => word = found,
            }
        }
        false
    }
}

fn flags(is_lent: bool, is_blocking: bool) -> u32 {
    (if is_lent { LENT } else { 0 }) | (if is_blocking { BLOCKING } else { 0 })
}

fn may_go_on(word: u32) -> bool {
    word & PHASE == ANSWERED && word & (BLOCKING | RELEASED) == BLOCKING | RELEASED
}

#[cfg(all(test, not(loom)))]
mod tests {
    use super::*;

    #[test]
    fn a_queued_request_is_answered_by_one_side_only() {
        let state = State::new();
        state.queue(false, false);
        assert!(state.claim() && !state.win_queued() && !state.claim());
        assert!(state.win_running_early() && !state.win_running(false));
        assert!(!state.publish(false, false) && state.is_answered() && !state.is_over());
        assert!(!state.release() && state.is_over());
    }

    #[test]
    fn a_request_with_one_ticket_goes_the_same_way() {
        let state = State::new();
        state.run_directly(true);
        assert!(state.win_running(true) && !state.win_running(true));
        assert!(!state.publish(true, true) && state.is_answered() && state.is_over() && state.is_blocking());
    }

    #[test]
    fn what_is_lent_is_never_answered_while_it_runs() {
        let state = State::new();
        state.queue(true, true);
        assert!(state.claim() && !state.win_running_early());
        state.give_up();
        assert!(state.is_unwanted() && state.win_running(false) && state.publish(true, false) && state.is_over());
    }

    #[test]
    fn what_was_lent_and_is_released_is_answered_early() {
        let state = State::new();
        state.queue(true, true);
        assert!(state.claim() && !state.release());
        assert!(state.win_running_early() && state.publish(false, false) && state.is_over());
    }

    #[test]
    fn a_waiting_caller_goes_on_after_the_second_of_answer_and_release() {
        for release_first in [true, false] {
            let state = State::new();
            state.queue(false, true);
            assert!(state.claim());
            if release_first {
                assert!(!state.release());
                assert!(state.win_running(false) && state.publish(false, false));
            } else {
                assert!(state.win_running(false) && !state.publish(false, false));
                assert!(state.release());
            }
        }
    }
}

#[cfg(all(test, loom))]
mod loom_tests {
    use super::*;
    use std::sync::Arc;

    #[test]
    fn loom_claim_deadline_and_cancel_have_one_winner() {
        crate::sync::model(|| {
            let state = Arc::new(State::new());
            state.queue(false, false);
            let (one, two) = (state.clone(), state.clone());
            let timer = crate::sync::spawn(move || one.win_queued());
            let cancel = crate::sync::spawn(move || {
                two.give_up();
                two.win_queued() || two.win_running_early()
            });
            let ran = state.claim() && state.win_running(false);
            let wins = [ran, timer.join().unwrap(), cancel.join().unwrap()];
            assert_eq!(wins.iter().filter(|won| **won).count(), 1);
        });
    }

    #[test]
    fn loom_a_waiting_caller_is_woken_once_by_answer_or_release() {
        crate::sync::model(|| {
            let state = Arc::new(State::new());
            state.queue(false, true);
            assert!(state.claim());
            let other = state.clone();
            let releaser = crate::sync::spawn(move || other.release());
            assert!(state.win_running(false));
            let rang = state.publish(false, false);
            assert_ne!(rang, releaser.join().unwrap());
        });
    }
}
