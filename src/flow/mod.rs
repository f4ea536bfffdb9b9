//! THE CORRIDOR: the way of a request, from the door to its answer.
//!
//! ```text
//!   infer, infer_async, infer_callback, infer_stream
//!     |
//!   check            names, types, shapes against the lane's spec; a refusal gives the request back    check, spec
//!     |-- blocking, an instance free, nothing before it ----------------------------------------.
//!   reserve          a place in the queue, or the refusal: full, stopping                  word  |
//!   fill             a pooled task; the deadline is armed                       task, timekeeper |
//!   push, publish    into the inbox, then into the word -- who finds an instance free            |
//!     |              and no leader takes the lead, and a worker leads               lane, worker |
//!     :                                                                                          |
//!   admit            inbox -> waiting room                                           lead, queue |
//!   step             close a batch, or wait out a delay                              lead, batch |
//!   claim, depart    QUEUED -> RUNNING each; the instance is this thread's    state, instance <--'
//!   execute          permit, gather, the backend, outputs cut into replies  execute, execution, seat
//!   bring            the instance is free; more waits? then lead on                         lead
//!   answer           inputs let go, reply published, bell, waker or callback              answer
//! ```
//!
//! A lane is the queue and policy of one model version. Nobody's job is to batch: whoever finds work and a free
//! instance leads, forms one batch, hands the lead on and executes. Beside this way stand the timekeeper (deadlines),
//! cancels, and `stop`; all of them answer by winning the same state word. A lane may hold answers until those before
//! have gone out (`order`). A backend may also take requests out of its batch and answer them later (`taken`), with several
//! responses if its model is decoupled (`stream`).
//!
//! # Invariants
//!
//! 1. **One word per lane** holds the leader's flag, the free instances, the live requests that wait and the epoch of
//!    submissions. Publish, then read it: a submission is in the inbox before its epoch counts. A leader resigns only
//!    if the word is unchanged since before it looked into the inbox.
//! 2. **Nobody is forgotten.** A published request that waits and a free instance imply that somebody leads, or is
//!    woken to.
//! 3. **The lead is not an instance.** A leader that waits out a delay holds the lead only; the batch grows until an
//!    instance is free to run it.
//! 4. **No barging.** A caller executes its own request only if nothing waits and nobody leads.
//! 5. **Every execution holds a permit** of the one gate; limits and fairness live there and nowhere else.
//! 6. **One answer.** QUEUED -> RUNNING or ANSWERING, RUNNING -> ANSWERING, by compare-and-swap (by a plain store where
//!    there is no second ticket of the request, and so nobody to compete with); the winner fills the
//!    reply, alone, and publishes it as ANSWERED. Of a stream it is the end, after whatever was sent before.
//! 7. **The release, not the answer, ends a borrow.** A blocking caller goes on when both have happened. A request that
//!    borrows is never answered early while it runs.
//! 8. **A late request does not run**: the leader looks at deadlines too, so that a late timekeeper is slow, never
//!    wrong.
//! 9. **Refused is given back.** Whoever is not let in has the request again, whole.
//! 10. **The queue is bounded by what is alive**: the bound counts requests that wait, not places in a channel. Each
//!     priority has a bound of its own.
//!
//! # Threads
//!
//! - **The caller's**, the application's own: checks and submits. In a blocking call it executes its own request, or
//!   with `caller_runs: batch` leads, for two batches at most. It never runs a callback.
//! - **Workers**, `inferlay-N`, started by a lead that finds none asleep, ended by ten seconds of sleep, but for the first
//!   to sleep, which stays: they lead, execute, and call back for the batches they ran. While answers are quick, a worker
//!   keeps the lead through them.
//! - **`inferlay-own`**, started by the first batch of an instance whose backend is bound to a thread, ended with the
//!   instance: executes that instance, and calls back for it.
//! - **The timekeeper**, `inferlay-time`, started by the first deadline, `execution_timeout` or long line of answers that
//!   are let out in order: answers what is late, and goes on with such a line. It runs no callback, but it wakes futures (a
//!   waker that panics is contained) and may write to the log.
//! - **The messenger**, `inferlay-calls`, started by the first callback that whoever answers must not run: callbacks,
//!   one after the other, all callbacks of streams, and all of lanes that keep the order of their answers.
//!
//! `execute` and callbacks run marked as *inside*: there, calls that would wait are refused instead.
//!
//! # Locks
//!
//! No lock is held across `execute`, a callback or a wait. Where two are held at once, the outer is to the left:
//!
//! ```text
//!   cancel token ------------.
//!   lane core -> task.ask ----+-> free lists of the pools (tasks; blocks)
//!                task.ask -> task.reply
//!                task.ask -> timekeeper
//!                task.ask -> lane's taken requests; those of a batch with an execution timeout
//!                task.ask -> cancel token
//!   lane core -> flights of an instance; the line of its order -> task.notify
//! ```
//!
//! The workers, the messenger, its chains, streams, the flights of an instance and the traces each have a lock that is innermost. The slots
//! of a task (`ask`, `reply`, `notify`) have one owner at a time by protocol; taking one never waits for long.

mod answer;
mod batch;
mod check;
mod classes;
mod doze;
mod execute;
mod execution;
mod instance;
mod lane;
mod lead;
mod ledger;
#[cfg(all(test, loom))]
pub(crate) mod loom_tests;
mod messenger;
mod order;
mod overdue;
mod permit;
mod places;
mod queue;
mod request;
mod response;
mod seat;
mod services;
mod shadow;
mod slowness;
mod spec;
mod state;
mod stop;
mod stream;
mod taken;
mod task;
mod timekeeper;
mod timer;
mod wait;
mod word;
mod worker;

pub(crate) use answer::{cancel, outcome};
pub(crate) use batch::Policy;
pub use classes::Class;
pub(crate) use doze::Demand;
pub(crate) use instance::InstanceCell;
pub(crate) use lane::{Lane, Manner};
pub(crate) use ledger::Ledger;
pub(crate) use messenger::Messenger;
pub(crate) use permit::Gate;
#[cfg(feature = "capi")]
pub(crate) use request::Description;
pub use request::{Refused, Request};
#[cfg(feature = "capi")]
pub(crate) use response::Answered;
pub use response::Response;
pub(crate) use services::{Alarm, Services, Tuning, Unlisted};
pub(crate) use spec::{CallerRuns, LaneSpec, Port, Shaping};
pub(crate) use stream::{Delivery, Listener, Stream};
#[cfg(feature = "capi")]
pub(crate) use stream::{Listen, Untaken};
pub use task::CancelToken;
#[cfg(feature = "capi")]
pub(crate) use task::{HeldReply, Sequence};
pub(crate) use task::{Notify, Outcome, Ticket};
pub(crate) use timekeeper::Timekeeper;
pub(crate) use wait::{Late, Wait, Waits};
pub(crate) use word::{INSTANCES_MAX, QUEUED_MAX};
pub(crate) use worker::Workers;
