//! The door to loom for the models of other rooms: the only names they need besides the types of `sync` themselves.
//!
//! A model is run once for every schedule that differs in what its threads can see, with at most
//! [`PREEMPTIONS_MAX`] preemptions; its threads are coroutines, so it costs neither cores nor sleep. A state in which no
//! thread can go on is reported as a deadlock: a lost wake-up fails the model without any assertion.

use loom::model::Builder;
pub(crate) use loom::thread::spawn;

/// Few preemptions show most faults (M. Musuvathi and S. Qadeer, "Iterative Context Bounding for Systematic Testing of
/// Multithreaded Programs", 2007); the environment's `LOOM_MAX_PREEMPTIONS` goes before it.
const PREEMPTIONS_MAX: usize = 2;
/// Points of choice in one run; the ways of a request are long.
const BRANCHES_MAX: usize = 20_000;

/// Runs `body` under every schedule.
pub(crate) fn model(body: impl Fn() + Send + Sync + 'static) {
    let mut builder = Builder::new();
    builder.preemption_bound = builder.preemption_bound.or(Some(PREEMPTIONS_MAX));
    builder.max_branches = builder.max_branches.max(BRANCHES_MAX);
    builder.check(body);
}
