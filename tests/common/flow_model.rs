//! A model of the flow: what departs, what is refused, and what each request is told, step by step. Pure; one request or
//! two go in a batch, and all of one shape.

use inferlay::ErrorKind;
use inferlay::config::TimeoutAction;
use std::collections::VecDeque;

/// How many requests of each priority may wait.
pub(crate) const QUEUE_SIZE: usize = 2;
/// A step of the clock, in microseconds.
pub(crate) const STEP: u64 = 100_000;
/// Durations end in the middle of a step, so that no timer is near a look at the clock.
pub(crate) const HALF: u64 = STEP / 2;
/// More than a timer may be late.
pub(crate) const TICKS: u64 = 200;

/// What the model of a case is like.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Plan {
    pub(crate) is_ordered: bool,
    pub(crate) is_decoupled: bool,
    pub(crate) instances: usize,
    pub(crate) rows_max: usize,
}

/// What a request is told.
#[derive(Clone, Copy, Debug, PartialEq)]
pub(crate) enum Told {
    Value(f32),
    /// The end of a stream without a response.
    End,
    Error(ErrorKind),
}

/// How the requests of a level wait: the first rejects, the second delays, the third waits for ever.
pub(crate) fn wait_of(level: usize) -> (Option<u64>, TimeoutAction, bool) {
    match level {
        0 => (Some(2 * STEP + HALF), TimeoutAction::Reject, true),
        1 => (Some(STEP + HALF), TimeoutAction::Delay, true),
        _ => (None, TimeoutAction::Reject, false),
    }
}

#[derive(Clone, Copy, Debug, PartialEq)]
pub(crate) enum Stage {
    Waits,
    /// A batch has it.
    Runs,
    /// Its answer is there.
    Done,
}

/// A request as the model knows it.
#[derive(Clone, Debug)]
pub(crate) struct Asked {
    pub(crate) level: usize,
    /// When it no longer waits.
    pub(crate) ends: u64,
    pub(crate) late: u64,
    pub(crate) deadline: u64,
    pub(crate) stage: Stage,
    pub(crate) told: Vec<Told>,
    /// What it may be told in place of the last: it was given up at the time at which its turn came.
    pub(crate) instead: Option<Told>,
    /// Whether what it is told may be heard: of a lane in order, from its turn on.
    pub(crate) is_open: bool,
    pub(crate) is_given_up: bool,
}

/// The model.
pub(crate) struct Sim {
    pub(crate) plan: Plan,
    pub(crate) now: u64,
    pub(crate) asked: Vec<Asked>,
    /// Requests that wait, in the order in which they came.
    pub(crate) waiting: Vec<usize>,
    pub(crate) idle: usize,
    /// What the backend has, by batch, whether or not somebody still wants it.
    pub(crate) batches: Vec<Vec<usize>>,
    /// Turns of a lane in order.
    pub(crate) line: VecDeque<usize>,
    /// Whose turn came, in order, and was heard in turn.
    pub(crate) turns: Vec<usize>,
    pub(crate) refused: u64,
}

impl Sim {
    pub(crate) fn new(plan: Plan) -> Self {
        let (asked, waiting, batches, line, turns) = (vec![], vec![], vec![], VecDeque::new(), vec![]);
        Sim { plan, now: 0, asked, waiting, idle: plan.instances, batches, line, turns, refused: 0 }
    }

    /// A request comes; whether it is taken.
    pub(crate) fn submit(&mut self, priority: u32, deadline: u64, queue_timeout: u64) -> bool {
        let level = if priority == 0 { 2 } else { priority as usize - 1 };
        let is_over = |request: &&usize| self.asked[**request].stage == Stage::Done;
        let held = self.line.iter().filter(is_over).count();
        let waiting = self.waiting.iter().filter(|request| self.asked[**request].level == level).count();
        if waiting >= QUEUE_SIZE || held >= 3 * QUEUE_SIZE {
            self.refused += 1;
            return false;
        }
        let (timeout, action, may_shorten) = wait_of(level);
        let own = Some(queue_timeout).filter(|own| may_shorten && *own > 0);
        let over = [timeout, own].into_iter().flatten().min().map_or(u64::MAX, |timeout| self.now + timeout);
        let deadline = if deadline > 0 { self.now + deadline } else { u64::MAX };
        let (ends, late) = match action {
            TimeoutAction::Delay => (deadline, over),
            _ => (deadline.min(over), u64::MAX),
        };
        let (stage, is_open) = (Stage::Waits, !self.plan.is_ordered);
        let (told, instead, is_given_up) = (vec![], None, false);
        self.asked.push(Asked { level, ends, late, deadline, stage, told, instead, is_open, is_given_up });
        self.waiting.push(self.asked.len() - 1);
        true
    }

    /// The batch that departs now, if an instance is free.
    pub(crate) fn depart(&mut self) -> Option<Vec<usize>> {
        if self.idle == 0 || self.waiting.is_empty() {
            return None;
        }
        let mut order = self.waiting.clone();
        order.sort_by_key(|request| (self.asked[*request].level, self.asked[*request].late <= self.now, *request));
        order.truncate(self.plan.rows_max);
        self.waiting.retain(|request| !order.contains(request));
        self.idle -= 1;
        for request in &order {
            self.asked[*request].stage = Stage::Runs;
            if self.plan.is_ordered {
                self.line.push_back(*request);
            }
        }
        self.batches.push(order.clone());
        self.move_on();
        Some(order)
    }

    /// Lets out what has its turn.
    pub(crate) fn move_on(&mut self) {
        while let Some(request) = self.line.front().copied() {
            let asked = &mut self.asked[request];
            if !asked.is_open && !asked.is_given_up {
                asked.is_open = true;
                self.turns.push(request);
            }
            if asked.stage != Stage::Done {
                return;
            }
            self.line.pop_front();
        }
    }

    /// The backend answers, and has it no longer.
    pub(crate) fn respond(&mut self, request: usize, told: Told) {
        if self.asked[request].stage == Stage::Runs {
            (self.asked[request].stage, _) = (Stage::Done, self.asked[request].told.push(told));
            self.move_on();
        }
        let batch = self.batches.iter().position(|batch| batch.contains(&request)).unwrap();
        self.batches[batch].retain(|other| *other != request);
        if self.batches[batch].is_empty() {
            self.batches.remove(batch);
            self.idle += 1;
        }
    }

    /// Whether a request is not yet answered, or its answer is held.
    pub(crate) fn may_give_up(&self, request: usize) -> bool {
        self.asked[request].stage != Stage::Done || self.line.contains(&request)
    }

    /// A deadline or a cancel answers, also where an answer is held.
    pub(crate) fn give_up(&mut self, request: usize, error: ErrorKind) {
        let asked = &mut self.asked[request];
        if asked.stage == Stage::Done {
            asked.told.pop();
        }
        asked.told.push(Told::Error(error));
        (asked.stage, asked.is_open, asked.is_given_up) = (Stage::Done, true, true);
        self.waiting.retain(|other| *other != request);
    }

    pub(crate) fn advance(&mut self) {
        self.now += STEP + TICKS;
        let is_late = |sim: &Sim, request: usize| {
            let asked = &sim.asked[request];
            let ends = if asked.stage == Stage::Waits { asked.ends } else { asked.deadline };
            sim.may_give_up(request) && !asked.is_given_up && ends <= sim.now
        };
        let late: Vec<_> = (0..self.asked.len()).filter(|request| is_late(self, *request)).collect();
        for request in &late {
            let place = self.line.iter().position(|other| other == request);
            // Those before it go, too: then its answer may have gone out first.
            let is_freed = |place: usize| {
                self.line.range(..place).all(|other| late.contains(other) || self.asked[*other].stage == Stage::Done)
            };
            let asked = &self.asked[*request];
            let is_race = asked.stage == Stage::Done && place.is_some_and(is_freed);
            let instead = asked.told.last().copied().filter(|_| is_race);
            self.give_up(*request, ErrorKind::Timeout);
            self.asked[*request].instead = instead;
        }
        self.move_on();
    }

    /// What a request has heard by now.
    pub(crate) fn heard(&self, request: usize) -> &[Told] {
        let asked = &self.asked[request];
        if asked.is_open { &asked.told } else { &[] }
    }

    pub(crate) fn compare(&self, request: usize, found: &[Told]) {
        let expected = self.heard(request).to_vec();
        let mut other = expected.clone();
        if let (Some(last), Some(instead)) = (other.last_mut(), self.asked[request].instead) {
            *last = instead;
        }
        assert!(found == expected || found == other, "request {request}: found {found:?}, expected {expected:?}");
    }
}
