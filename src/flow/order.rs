//! The order in which the answers of a lane go out, where its config asks for one (`preserve_ordering`).
//!
//! ```text
//!   depart   a request leaves the queue for a batch: it takes the next turn          (under the lane's lock)
//!   settle   its answer is there, and is held until all turns before are over; then it goes out
//!   vacate   it is answered out of turn: by a deadline, a cancel or a stop; nobody waits for it any more
//! ```
//!
//! Turns are taken when requests depart, not when they come: what waits holds nobody up, however long it does. Within a
//! priority requests depart in the order in which they came, because a batch of such a lane skips nobody.
//!
//! Invariants:
//! 1. Answers go out in the order of their turns, each once; an error of the backend is an answer like any other.
//! 2. Who gives up (a deadline, a cancel) is answered at once, also where its answer was there and held.
//! 3. One thread at a time lets answers out, and whoever finds one at it leaves its own to that one. Nobody is held up by
//!    those of others for long: after some the timekeeper goes on, which looks at deadlines in between. No lock is held
//!    meanwhile. Functions of the user are called by the messenger alone, on a chain, which keeps the order.
//! 4. A stream is closed to its taker until the turn of its request has come: responses before the last are in order, too.
//! 5. Once it has ended, because the lane stops or is stuck, nobody waits for anybody.
//! 6. What is held is bounded: while as many as may wait in the lane's queue are answered and have not gone out, the lane
//!    is full. What waits then may still depart.

use super::answer::{self, On};
use super::lane::Lane;
use super::messenger::Chain;
use super::services::Services;
use super::stream::Stream;
use super::task::{Notify, Ticket};
use super::timekeeper::Timed;
use super::timer::Key;
use crate::sync::{Mutex, Ordering};
use std::collections::VecDeque;
use std::sync::Arc;

/// So many answers a thread lets out before it leaves the rest to the timekeeper.
const STEPS_MAX: usize = 64;

/// The order of one lane.
#[derive(Default)]
pub(crate) struct Order {
    line: Mutex<Line<Held, Arc<Stream>>>,
    /// Where functions of the user wait for their turn once their answers have gone out.
    chain: Arc<Chain>,
}

/// An answer, and the timer of its deadline while it is held.
struct Held {
    ticket: Ticket,
    timer: Option<Key>,
}

impl Order {
    pub(super) fn chain(&self) -> &Arc<Chain> {
        &self.chain
    }

    /// How many requests are answered whose turn has not come.
    pub(super) fn held_len(&self) -> usize {
        self.line.lock().over_len
    }

    /// Requests leave the queue for a batch, in this order. Those that were answered just now take no turn.
    pub(super) fn depart<'a>(&self, tickets: impl Iterator<Item = &'a Ticket>) {
        let mut line = self.line.lock();
        for ticket in tickets {
            // Who answers it from now on looks for its turn, and finds it.
            if ticket.state.is_running() {
                ticket.turn.store(line.depart(stream(ticket)), Ordering::Relaxed);
            }
        }
    }

    /// The answer of a request that ran is there; whoever calls has won it and filled the reply.
    pub(super) fn settle(&self, ticket: Ticket, deadline: Option<u64>) {
        let services = ticket.home().services.clone();
        let arm = |deadline| services.timekeeper.arm(deadline, Timed::Deadline(ticket.clone()));
        let held = Held { timer: deadline.map(arm), ticket: ticket.clone() };
        let (mut line, turn) = (self.line.lock(), ticket.turn.load(Ordering::Relaxed));
        let back = line.settle(turn, held);
        drop(line);
        match back {
            Some(held) => held.go_out(&services),
            None => {
                self.advance(ticket.home());
                // Given up while the answer was on its way here, and nobody looks again.
                answer::catch_up(&ticket, deadline);
            }
        }
    }

    /// A request that ran was answered out of turn; `advance` is to follow.
    pub(super) fn vacate(&self, ticket: &Ticket) {
        let mut line = self.line.lock();
        let stream = line.vacate(ticket.turn.load(Ordering::Relaxed));
        drop(line);
        drop(stream);
    }

    /// Takes a request out whose answer is held. Whoever has it then has won it anew, and is to answer it and to `advance`.
    pub(super) fn take_back(&self, ticket: &Ticket, services: &Services) -> bool {
        let mut line = self.line.lock();
        let held = line.take_back(ticket.turn.load(Ordering::Relaxed));
        drop(line);
        let is_held = held.is_some();
        if let Some(key) = held.and_then(|held| held.timer) {
            services.timekeeper.disarm(key);
        }
        is_held
    }

    /// Lets out whatever has its turn.
    pub(super) fn advance(&self, lane: &Arc<Lane>) {
        if self.line.lock().begin_moving() && self.move_on(&lane.services) {
            lane.services.timekeeper.go_on_with(lane);
        }
    }

    /// Lets out some of what has its turn, for this thread, or who left it to this one, is to. Whether there may be more, to go
    /// on with.
    pub(super) fn move_on(&self, services: &Services) -> bool {
        move_on(&self.line, |next| match next {
            Next::Answer(held) => held.go_out(services),
            Next::Open(stream) => stream.open(),
        })
    }

    /// Nobody waits for his turn any more. What is held goes out, in order.
    pub(super) fn end(&self, services: &Services) {
        let streams = self.line.lock().end();
        if self.line.lock().begin_moving() {
            while self.move_on(services) {}
        }
        streams.iter().for_each(Stream::open);
    }
}

/// Moves the line on by so many steps at most. Whether there may be more, which nobody else will look at.
fn move_on<A, S>(line: &Mutex<Line<A, S>>, mut step: impl FnMut(Next<A, S>)) -> bool {
    let moving = Moving(line);
    for _ in 0..STEPS_MAX {
        let mut state = line.lock();
        let Some(next) = state.next() else {
            // Under the lock of the look: who settles from now on moves the line itself.
            state.is_moving = false;
            drop(state);
            std::mem::forget(moving);
            return false;
        };
        drop(state);
        step(next);
    }
    std::mem::forget(moving);
    true
}

/// Lives while a thread moves a line: if it unwinds, the next one finds nobody at it.
struct Moving<'a, A, S>(&'a Mutex<Line<A, S>>);

impl<A, S> Drop for Moving<'_, A, S> {
    fn drop(&mut self) {
        self.0.lock().is_moving = false;
    }
}

impl Held {
    fn go_out(self, services: &Services) {
        if let Some(key) = self.timer {
            services.timekeeper.disarm(key);
        }
        answer::publish(&self.ticket, false);
        answer::tell(self.ticket, On::Service, services);
    }
}

/// The stream of a request that may get several responses.
fn stream(ticket: &Ticket) -> Option<Arc<Stream>> {
    ticket.home().spec.credit_max?;
    match &*ticket.notify.lock() {
        Notify::Stream(stream) => Some(stream.clone()),
        _ => None,
    }
}

/// Places in the order of turns. Pure data over answers and streams.
struct Line<A, S> {
    /// The turn of the first place; 0 is nobody's.
    first: u64,
    places: VecDeque<Place<A, S>>,
    /// How many places are not of a request that runs.
    over_len: usize,
    /// Whether a thread lets answers out, or is to.
    is_moving: bool,
    has_ended: bool,
}

enum Place<A, S> {
    /// Its answer is to come; until its turn has, its stream is closed.
    Runs(Option<S>),
    /// Its answer is held.
    Held(A),
    /// It was answered out of turn.
    Left,
}

/// What may be done next.
#[derive(Debug, PartialEq, Eq)]
enum Next<A, S> {
    Answer(A),
    Open(S),
}

impl<A, S> Default for Line<A, S> {
    fn default() -> Self {
        Line { first: 1, places: VecDeque::new(), over_len: 0, is_moving: false, has_ended: false }
    }
}

impl<A, S> Line<A, S> {
    /// The next turn.
    fn depart(&mut self, stream: Option<S>) -> u64 {
        self.over_len += usize::from(self.has_ended);
        self.places.push_back(if self.has_ended { Place::Left } else { Place::Runs(stream) });
        self.first + self.places.len() as u64 - 1
    }

    /// Holds an answer until its turn; one without a turn, or of whom nobody waits, is given back.
    fn settle(&mut self, turn: u64, answer: A) -> Option<A> {
        match self.place(turn) {
            Some(place @ Place::Runs(_)) => {
                *place = Place::Held(answer);
                self.over_len += 1;
                None
            }
            _ => Some(answer),
        }
    }

    /// Nobody waits for it any more.
    fn vacate(&mut self, turn: u64) -> Option<S> {
        match self.place(turn).map(|place| std::mem::replace(place, Place::Left)) {
            Some(Place::Runs(stream)) => {
                self.over_len += 1;
                stream
            }
            _ => None,
        }
    }

    /// The answer that is held for a turn; nobody waits for it any more.
    fn take_back(&mut self, turn: u64) -> Option<A> {
        let place = self.place(turn).filter(|place| matches!(place, Place::Held(_)))?;
        match std::mem::replace(place, Place::Left) {
            Place::Held(answer) => Some(answer),
            _ => None,
        }
    }

    /// Whether the caller is now the one who lets answers out.
    fn begin_moving(&mut self) -> bool {
        !std::mem::replace(&mut self.is_moving, true)
    }

    fn next(&mut self) -> Option<Next<A, S>> {
        while let Some(front) = self.places.front_mut() {
            if let Place::Runs(stream) = front {
                return stream.take().map(Next::Open);
            }
            self.first += 1;
            self.over_len -= 1;
            if let Some(Place::Held(answer)) = self.places.pop_front() {
                return Some(Next::Answer(answer));
            }
        }
        None
    }

    /// Nobody waits any more for what runs. Its streams.
    fn end(&mut self) -> Vec<S> {
        self.has_ended = true;
        let mut streams = Vec::new();
        for place in self.places.iter_mut().filter(|place| matches!(place, Place::Runs(_))) {
            self.over_len += 1;
            if let Place::Runs(Some(stream)) = std::mem::replace(place, Place::Left) {
                streams.push(stream);
            }
        }
        streams
    }

    fn place(&mut self, turn: u64) -> Option<&mut Place<A, S>> {
        let index = usize::try_from(turn.checked_sub(self.first)?).ok()?;
        self.places.get_mut(index)
    }
}

#[cfg(all(test, not(loom)))]
mod tests {
    use super::*;

    /// Lets everything out that may go: answers as they are, streams as negative numbers.
    fn out(line: &mut Line<i32, i32>) -> Vec<i32> {
        std::iter::from_fn(|| line.next())
            .map(|next| match next {
                Next::Answer(answer) => answer,
                Next::Open(stream) => -stream,
            })
            .collect()
    }

    #[derive(Clone, Copy, Debug)]
    enum Do {
        Settle(u64),
        Vacate(u64),
        TakeBack(u64),
        End,
    }

    #[test]
    fn answers_go_out_in_the_order_of_their_turns() {
        use Do::{End, Settle, TakeBack, Vacate};
        // Three requests depart; then what happens, and what goes out then.
        let rows: &[&[(Do, &[i32])]] = &[
            &[(Settle(1), &[1]), (Settle(2), &[2]), (Settle(3), &[3])],
            &[(Settle(3), &[]), (Settle(2), &[]), (Settle(1), &[1, 2, 3])],
            &[(Settle(2), &[]), (Settle(1), &[1, 2]), (Settle(3), &[3])],
            &[(Settle(2), &[]), (Vacate(1), &[2]), (Settle(3), &[3])],
            &[(Vacate(2), &[]), (Settle(3), &[]), (Settle(1), &[1, 3])],
            &[(Settle(3), &[]), (TakeBack(3), &[]), (Settle(1), &[1]), (Settle(2), &[2])],
            &[(Settle(3), &[]), (TakeBack(2), &[]), (Settle(2), &[]), (Settle(1), &[1, 2, 3])],
            &[(Settle(3), &[]), (Settle(2), &[]), (End, &[2, 3])],
        ];
        for row in rows {
            let mut line = Line::default();
            assert_eq!([line.depart(None), line.depart(None), line.depart(None)], [1, 2, 3]);
            for (index, (step, expected)) in row.iter().enumerate() {
                match *step {
                    Settle(turn) => assert_eq!(line.settle(turn, turn as i32), None),
                    Vacate(turn) => assert_eq!(line.vacate(turn), None),
                    TakeBack(turn) => assert_eq!(line.take_back(turn), (turn == 3).then_some(3)),
                    End => assert!(line.end().is_empty()),
                }
                assert_eq!(out(&mut line), *expected, "{row:?}, step {index}");
                let is_over = |place: &&Place<i32, i32>| !matches!(place, Place::Runs(_));
                assert_eq!(line.over_len, line.places.iter().filter(is_over).count(), "{row:?}, step {index}");
            }
        }
    }

    #[test]
    fn a_stream_opens_when_its_turn_has_come_and_once() {
        let mut line = Line::default();
        (1..4).for_each(|stream| _ = line.depart(Some(stream)));
        assert_eq!(out(&mut line), [-1]);
        assert_eq!((line.settle(2, 2), out(&mut line)), (None, vec![]));
        assert_eq!((line.settle(1, 1), out(&mut line)), (None, vec![1, 2, -3]));
        line.depart(Some(4));
        assert_eq!((out(&mut line), line.vacate(4)), (vec![], Some(4)));
    }

    /// A line of so many answers that all may go out.
    fn due(count: i32) -> Mutex<Line<i32, i32>> {
        let mut line = Line::default();
        for answer in 0..count {
            let turn = line.depart(None);
            line.settle(turn, answer);
        }
        assert!(line.begin_moving() && !line.begin_moving());
        Mutex::new(line)
    }

    #[test]
    fn a_thread_lets_out_so_many_and_the_next_goes_on_where_it_ended() {
        let (line, mut out) = (due(2 * STEPS_MAX as i32 + 1), Vec::new());
        let mut turn = || {
            let before = out.len();
            let is_more = move_on(&line, |next| out.push(next));
            (is_more, out.len() - before, line.lock().is_moving)
        };
        let turns = [turn(), turn(), turn()];
        assert_eq!(turns, [(true, STEPS_MAX, true), (true, STEPS_MAX, true), (false, 1, false)]);
        assert!(out.into_iter().eq((0..=2 * STEPS_MAX as i32).map(Next::Answer)));
    }

    #[test]
    fn a_thread_that_unwinds_leaves_the_rest_to_the_next() {
        let (line, mut out) = (due(3), Vec::new());
        let step = |next| assert_ne!(next, Next::Answer(0), "this one panics");
        let unwound = std::panic::catch_unwind(std::panic::AssertUnwindSafe(|| move_on(&line, step)));
        assert!(unwound.is_err() && line.lock().begin_moving());
        assert!(!move_on(&line, |next| out.push(next)));
        assert_eq!(out, [Next::Answer(1), Next::Answer(2)]);
    }

    #[test]
    fn who_has_no_turn_or_comes_after_the_end_is_not_held() {
        let mut line = Line::<_, i32>::default();
        line.depart(None);
        assert_eq!((line.settle(0, 7), line.settle(2, 7)), (Some(7), Some(7)));
        line.end();
        let turn = line.depart(None);
        assert_eq!((line.settle(1, 1), line.settle(turn, 2)), (Some(1), Some(2)));
        assert!(out(&mut line).is_empty() && line.places.is_empty());
    }
}
