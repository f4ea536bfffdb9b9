//! Repositories while the server runs: which there are, and a thread that does what their changes ask for.
//!
//! ```text
//!   inferlay-watch: wait for hints -> look, decide (repository::Live) -> loads and unloads on the loading threads
//!        ^                                                                      |
//!        '------------------ how they ended, put into the inbox, and woken -----'
//! ```
//!
//! Invariants: 1. What is loaded is what was looked at: its files are looked at once more before it serves, and if they
//! were touched meanwhile it is dropped, and looked at anew. 2. The thread alone touches what is known of the files;
//! everybody else puts into its inbox. 3. A poll ends when each change that was there when it began was tried once,
//! however that ended, and what was unloaded for it is out of memory; what fails may be tried again for ever. 4. A load that
//! was ordered ends, and is told of, once: also one that never ran. 5. The thread goes by the repositories as they are. 6. It
//! starts before a stop, or not at all. 7. What was loaded before it starts is kept for it, of a server that may ever look.

use super::catalog::Entry;
use super::lifecycle::{Brought, Wish};
use super::operation::{Ending, Operation};
use super::version::Parting;
use super::{Inner, STOPPED, ServerHandle};
use crate::repository::{
    self, Hint, Live, Look, Order, Outcome, Periods, Repositories, Rules, Snapshot, Waker, Watcher,
};
use crate::sync::{Clock, Mutex, thread};
use inferlay_backend_sdk::{Error, ErrorKind, LogLevel};
use std::collections::BTreeMap;
use std::path::PathBuf;
use std::sync::{Arc, Weak};
use std::time::Duration;

/// A repository: one folder of models or several that are searched as one, and the names that its models are served under.
///
/// # Examples
/// ```
/// use inferlay::{Repository, ServerHandle};
/// // The model in `examples/models/digits` is served as `shapes/numbers`.
/// let repository = Repository::at("examples/models").namespace("shapes").serve_as("digits", "numbers");
/// let server = ServerHandle::builder().explicit([""; 0]).repository_with(repository).start()?;
/// assert_eq!(server.models()[0].name, "shapes/numbers");
/// # Ok::<(), inferlay::Error>(())
/// ```
#[derive(Clone, Debug, Default, PartialEq, Eq)]
#[must_use = "nothing happens before it is given to a server"]
pub struct Repository(pub(super) repository::Repository);

impl Repository {
    /// A folder of models.
    ///
    /// # Examples
    /// ```
    /// # use inferlay::{Repository, ServerHandle};
    /// let server = ServerHandle::builder().explicit([""; 0]).repository_with(Repository::at("examples/models")).start()?;
    /// assert_eq!(server.models()[0].name, "digits");
    /// # Ok::<(), inferlay::Error>(())
    /// ```
    pub fn at(folder: impl Into<PathBuf>) -> Self {
        Repository(repository::Repository::at(folder.into()))
    }

    /// Models lie in this folder as well; a model lies in one of them.
    ///
    /// # Examples
    /// ```
    /// # use inferlay::Repository;
    /// let repository = Repository::at("fast_disk/models").and("large_disk/models");
    /// # assert_ne!(repository, Repository::at("fast_disk/models"));
    /// ```
    pub fn and(mut self, folder: impl Into<PathBuf>) -> Self {
        self.0.folders.push(folder.into());
        self
    }

    /// Serves the model in the folder `own` as `name`.
    ///
    /// # Examples
    /// ```
    /// # use inferlay::{Repository, ServerHandle};
    /// let repository = Repository::at("examples/models").serve_as("digits", "numbers");
    /// let server = ServerHandle::builder().explicit([""; 0]).repository_with(repository).start()?;
    /// assert_eq!(server.models()[0].name, "numbers");
    /// # Ok::<(), inferlay::Error>(())
    /// ```
    pub fn serve_as(mut self, own: impl Into<String>, name: impl Into<String>) -> Self {
        self.0.served_as.insert(own.into(), name.into());
        self
    }

    /// Puts `namespace` and a `/` before the names of its models, so that two repositories may hold the same name.
    ///
    /// # Examples
    /// ```
    /// # use inferlay::{Repository, ServerHandle};
    /// let repository = Repository::at("examples/models").namespace("shapes");
    /// let server = ServerHandle::builder().explicit([""; 0]).repository_with(repository).start()?;
    /// assert_eq!(server.models()[0].name, "shapes/digits");
    /// # Ok::<(), inferlay::Error>(())
    /// ```
    pub fn namespace(mut self, namespace: impl Into<String>) -> Self {
        self.0.namespace = Some(namespace.into());
        self
    }
}

/// How repositories are watched.
///
/// # Examples
/// ```
/// use inferlay::{PollOptions, ServerHandle};
/// use std::time::Duration;
/// let options = PollOptions::new().settle_time(Duration::from_millis(200)).ready_marker("READY");
/// let server = ServerHandle::builder().poll(options).start()?;
/// # assert!(server.is_live());
/// # Ok::<(), inferlay::Error>(())
/// ```
#[derive(Clone, Debug, Default)]
#[must_use = "nothing happens before it is given to `ServerBuilder::poll`"]
pub struct PollOptions {
    pub(super) rules: Rules,
    pub(super) periods: Periods,
    pub(super) marker: Option<String>,
    pub(super) is_blind: bool,
}

impl PollOptions {
    /// A model is acted on when it has been quiet for a second; the system tells of changes where it can, and all is
    /// looked at every 30 seconds (every 2 where the system does not tell).
    ///
    /// # Examples
    /// ```
    /// # use inferlay::{PollOptions, ServerHandle};
    /// let server = ServerHandle::builder().poll(PollOptions::new()).start()?;
    /// # assert!(server.is_live());
    /// # Ok::<(), inferlay::Error>(())
    /// ```
    pub fn new() -> Self {
        Self::default()
    }

    /// For how long nothing of a model's folder may have changed before it is acted on: longer than whoever writes it ever
    /// pauses.
    ///
    /// # Examples
    /// ```
    /// # use inferlay::{PollOptions, ServerHandle};
    /// let options = PollOptions::new().settle_time(std::time::Duration::from_secs(5));
    /// # assert!(ServerHandle::builder().poll(options).start()?.is_live());
    /// # Ok::<(), inferlay::Error>(())
    /// ```
    pub fn settle_time(mut self, time: Duration) -> Self {
        self.rules.settle_ns = nanoseconds(time);
        self
    }

    /// How often everything is looked at without being told to.
    ///
    /// # Examples
    /// ```
    /// # use inferlay::{PollOptions, ServerHandle};
    /// let options = PollOptions::new().period(std::time::Duration::from_secs(15));
    /// # assert!(ServerHandle::builder().poll(options).start()?.is_live());
    /// # Ok::<(), inferlay::Error>(())
    /// ```
    pub fn period(mut self, time: Duration) -> Self {
        self.periods = Periods { watched_ns: nanoseconds(time), blind_ns: nanoseconds(time) };
        self
    }

    /// Waits for a file of this name, in the model's folder or a version's, instead of for quiet: written last, and anew for
    /// each change.
    ///
    /// # Examples
    /// ```
    /// # use inferlay::{PollOptions, ServerHandle};
    /// let options = PollOptions::new().ready_marker(".ready");
    /// # assert!(ServerHandle::builder().poll(options).start()?.is_live());
    /// # Ok::<(), inferlay::Error>(())
    /// ```
    pub fn ready_marker(mut self, name: impl Into<String>) -> Self {
        self.marker = Some(name.into());
        self
    }

    /// Tries a load that failed again after so long, although nothing has changed. Else it waits for a change.
    ///
    /// # Examples
    /// ```
    /// # use inferlay::{PollOptions, ServerHandle};
    /// let options = PollOptions::new().retry_after(std::time::Duration::from_secs(60));
    /// # assert!(ServerHandle::builder().poll(options).start()?.is_live());
    /// # Ok::<(), inferlay::Error>(())
    /// ```
    pub fn retry_after(mut self, time: Duration) -> Self {
        self.rules.retry_ns = Some(nanoseconds(time));
        self
    }

    /// Looks only at every period: for file systems of whose changes the system tells nothing.
    ///
    /// # Examples
    /// ```
    /// # use inferlay::{PollOptions, ServerHandle};
    /// let options = PollOptions::new().by_period_only();
    /// # assert!(ServerHandle::builder().poll(options).start()?.is_live());
    /// # Ok::<(), inferlay::Error>(())
    /// ```
    pub fn by_period_only(mut self) -> Self {
        self.is_blind = true;
        self
    }
}

fn nanoseconds(time: Duration) -> u64 {
    u64::try_from(time.as_nanos()).unwrap_or(u64::MAX)
}

/// The thread that watches, if there is one.
#[derive(Default)]
pub(super) struct Watching(Mutex<State>);

#[derive(Default)]
struct State {
    /// What is known of the files, until there is a thread that goes on with it.
    kept: Option<Live>,
    running: Option<Running>,
}

struct Running {
    shared: Arc<Shared>,
    thread: Option<thread::JoinHandle<()>>,
}

/// What others have to tell the thread.
struct Shared {
    inbox: Mutex<Inbox>,
    waker: Waker,
}

#[derive(Default)]
struct Inbox {
    /// How the thread's own loads ended.
    ended: Vec<Known>,
    /// What somebody else has loaded.
    loaded: Vec<Known>,
    /// Whether there are other repositories.
    has_moved: bool,
    polls: Vec<Ending>,
    is_over: bool,
}

impl Shared {
    fn put(&self, change: impl FnOnce(&mut Inbox)) {
        change(&mut self.inbox.lock());
        self.waker.wake();
    }
}

impl Watching {
    fn shared(&self) -> Option<Arc<Shared>> {
        self.0.lock().running.as_ref().map(|running| running.shared.clone())
    }

    /// Starts to watch, unless that was done.
    ///
    /// # Errors
    /// `RESOURCE_EXHAUSTED` when the system gives no thread, `UNAVAILABLE` when the server stops.
    pub(super) fn start(&self, inner: &Arc<Inner>, options: &PollOptions) -> Result<(), Error> {
        let mut state = self.0.lock();
        if state.running.is_some() {
            return Ok(());
        }
        // Under the lock under which a stop looks for the thread: it finds the thread, or is found.
        if inner.is_stopping() {
            return Err(STOPPED);
        }
        let watcher = if options.is_blind { Watcher::blind(options.periods) } else { Watcher::new(options.periods) };
        let repositories = inner.repositories.lock().clone();
        let mut live = match state.kept.take() {
            Some(kept) => kept,
            None => Live::new(repositories.clone(), Rules::default()),
        };
        *live.repositories() = repositories;
        live.go_by(options.rules.clone());
        let shared = Arc::new(Shared { inbox: Mutex::default(), waker: watcher.waker() });
        let round = Round { inner: inner.clone(), shared: shared.clone(), live, watcher, polls: Vec::new() };
        let thread = thread::spawn("inferlay-watch", move || round.run()).map_err(|error| {
            Error::new(ErrorKind::ResourceExhausted, format!("the thread that watches did not start: {error}"))
        })?;
        state.running = Some(Running { shared, thread: Some(thread) });
        Ok(())
    }

    /// Ends the thread. The server is known to be stopping.
    pub(super) fn stop(&self) {
        let running = self.0.lock().running.take();
        if let Some(mut running) = running {
            running.shared.put(|inbox| inbox.is_over = true);
            thread::join(running.thread.take());
        }
    }

    /// Keeps what is known of the files for whoever looks at them later.
    pub(super) fn keep(&self, inner: &Inner, known: Vec<Known>) {
        let mut live = Live::new(inner.repositories.lock().clone(), Rules::default());
        known.into_iter().for_each(|known| known.tell(&mut live, &inner.services.clock));
        live.locate();
        self.0.lock().kept = Some(live);
    }

    /// A model was loaded, or was not, by somebody else.
    pub(super) fn loaded(&self, inner: &Inner, known: Known) {
        let mut state = self.0.lock();
        if let Some(live) = &mut state.kept {
            known.tell(live, &inner.services.clock);
            // It may lie in a repository that was added since, and is to be missed there.
            *live.repositories() = inner.repositories.lock().clone();
            live.locate();
        } else if let Some(running) = &state.running {
            running.shared.put(|inbox| inbox.loaded.push(known));
        }
    }

    /// There are other repositories. Which, the thread reads by itself: who comes last here may have changed them first.
    pub(super) fn repositories_changed(&self) {
        if let Some(shared) = self.shared() {
            shared.put(|inbox| inbox.has_moved = true);
        }
    }
}

/// What is known of a model's files.
pub(super) struct Known {
    name: String,
    what: What,
}

enum What {
    /// What a load of these came to.
    Loaded(Arc<Snapshot>, Outcome),
    /// Why it cannot be loaded as it lies there.
    Broken(Error),
}

impl Known {
    /// What a load of the files in `look` came to.
    pub(super) fn of(name: &str, look: &Look, brought: &Brought) -> Self {
        Self::loaded(name.to_owned(), Arc::new(look.snapshot.clone()), outcome(brought))
    }

    fn loaded(name: String, snapshot: Arc<Snapshot>, outcome: Outcome) -> Self {
        Known { name, what: What::Loaded(snapshot, outcome) }
    }

    /// That a model cannot be loaded as it lies there.
    pub(super) fn broken(name: &str, error: Error) -> Self {
        Known { name: name.to_owned(), what: What::Broken(error) }
    }

    fn tell(self, live: &mut Live, clock: &Clock) {
        match self.what {
            What::Loaded(snapshot, outcome) => live.loaded(clock, &self.name, snapshot, outcome),
            What::Broken(error) => live.told(clock, &self.name, error),
        }
    }
}

fn outcome(brought: &Brought) -> Outcome {
    match brought.outcomes.iter().any(|(_, error)| error.is_some()) {
        _ if brought.is_stale => Outcome::Stale,
        true => Outcome::Failed,
        false => Outcome::Serves,
    }
}

/// The thread's own.
struct Round {
    inner: Arc<Inner>,
    shared: Arc<Shared>,
    live: Live,
    watcher: Watcher,
    polls: Vec<Poll>,
}

/// Somebody who waits until each change that is there has been tried.
struct Poll {
    ending: Ending,
    /// By which try of each model; known after the first look.
    left: Option<BTreeMap<String, u64>>,
    /// What was ordered meanwhile, and is not over when it was tried.
    unloads: Vec<Operation>,
}

impl Round {
    fn run(mut self) {
        let clock = self.inner.services.clock.clone();
        loop {
            let mut hints = self.watcher.wait(&clock, self.live.wake_at());
            if self.take_in(&mut hints) {
                return;
            }
            let inner = self.inner.clone();
            let turn = self.live.turn(&clock, &hints, &mut self.watcher, &|| !inner.is_stopping());
            for report in &turn.reports {
                self.inner.services.log.write(LogLevel::Warning, report);
            }
            turn.orders.into_iter().for_each(|order| self.obey(order));
            self.end_polls();
        }
    }

    /// Ends the polls that have nothing to wait for any more.
    fn end_polls(&mut self) {
        let live = &self.live;
        let is_over = |poll: &mut Poll| {
            let left = poll.left.get_or_insert_with(|| live.untried());
            left.retain(|name, number| !live.is_tried(name, *number));
            poll.unloads.retain(|unload| !unload.is_done());
            left.is_empty() && poll.unloads.is_empty()
        };
        let over: Vec<_> = self.polls.extract_if(.., is_over).collect();
        over.into_iter().for_each(|poll| poll.ending.end(Ok(())));
    }

    /// Takes the inbox in. Whether all is over.
    fn take_in(&mut self, hints: &mut Vec<Hint>) -> bool {
        let inbox = std::mem::take(&mut *self.shared.inbox.lock());
        for known in inbox.ended.into_iter().chain(inbox.loaded) {
            known.tell(&mut self.live, &self.inner.services.clock);
        }
        if inbox.has_moved {
            *self.live.repositories() = self.inner.repositories.lock().clone();
            hints.push(Hint::All);
        }
        if !inbox.polls.is_empty() {
            self.polls.extend(inbox.polls.into_iter().map(|ending| Poll { ending, left: None, unloads: Vec::new() }));
            hints.push(Hint::All);
        }
        inbox.is_over
    }

    fn obey(&mut self, order: Order) {
        match order {
            Order::Load { model, change, snapshot } => {
                let message = format!("model '{}': loading, as found: {change}", model.name);
                self.inner.services.log.write(LogLevel::Info, &message);
                self.load(*model, snapshot);
            }
            Order::Unload(name) => {
                if let Ok(entry) = self.inner.catalog.entry(&name) {
                    self.unload(&entry);
                }
                // Not when it is over: what lies there again by then need not wait for it.
                self.live.unloaded(&name);
            }
            Order::Broken(name, error) => {
                let told = error.clone().at(format_args!("model '{}'", name.escape_debug()));
                self.inner.services.log.write(LogLevel::Error, told.message());
                self.inner.catalog.entry_or_new(&name).fail(0, &error, &self.inner.catalog.events);
            }
        }
    }

    /// Unloads a model, for which the polls that are under way wait.
    fn unload(&mut self, entry: &Arc<Entry>) {
        let operation = self.inner.unload(entry, Parting::Forgotten);
        self.polls.iter_mut().for_each(|poll| poll.unloads.push(operation.clone()));
        let shared = self.shared.clone();
        operation.then(move |_| shared.waker.wake());
    }

    fn load(&mut self, found: repository::FoundModel, snapshot: Arc<Snapshot>) {
        let hold = self.inner.catalog.entry_or_new(&found.name);
        let (name, turn) = (found.name.clone(), hold.turn());
        let errand = Errand::new(&self.inner, &self.shared, &name, snapshot.clone());
        let inner = self.inner.clone();
        self.inner.jobs.push_long(&name.clone(), move || {
            let repositories = inner.repositories.lock().clone();
            let is_still_so = || repository::is_still_so(&repositories, &name, &snapshot);
            let brought = inner.bring(&hold, &Wish::of(Arc::new(found), turn), &is_still_so);
            inner.end_bringing(hold, brought, move |hold, brought| {
                // First: who hears of the end finds no name of which nothing has come.
                drop(hold);
                errand.end(outcome(&brought));
            })
        });
    }
}

/// A load that the thread has ordered: how it ended is told when this is dropped, also if it never ran or panicked.
struct Errand {
    inner: Weak<Inner>,
    shared: Arc<Shared>,
    name: String,
    snapshot: Arc<Snapshot>,
    outcome: Option<Outcome>,
}

impl Errand {
    fn new(inner: &Arc<Inner>, shared: &Arc<Shared>, name: &str, snapshot: Arc<Snapshot>) -> Self {
        Errand { inner: Arc::downgrade(inner), shared: shared.clone(), name: name.to_owned(), snapshot, outcome: None }
    }

    fn end(mut self, outcome: Outcome) {
        self.outcome = Some(outcome);
    }

    /// It did not run: the system gave no thread, the server stops, or it panicked.
    fn fail(&self) -> Outcome {
        if let Some(inner) = self.inner.upgrade().filter(|inner| !inner.is_stopping()) {
            let message = format!("model '{}': its load did not run to its end", self.name.escape_debug());
            inner.services.log.write(LogLevel::Error, &message);
        }
        Outcome::Failed
    }
}

impl Drop for Errand {
    fn drop(&mut self) {
        let outcome = self.outcome.unwrap_or_else(|| self.fail());
        let (name, snapshot) = (std::mem::take(&mut self.name), self.snapshot.clone());
        self.shared.put(|inbox| inbox.ended.push(Known::loaded(name, snapshot, outcome)));
    }
}

impl ServerHandle {
    /// Looks at all repositories now, and does what has changed there asks for: the operation is done when that is done,
    /// the models' own failures aside (see [`ServerHandle::models`]). A model that is being written is waited for.
    ///
    /// A server that was not started with [`crate::ServerBuilder::poll`] looks only when this is called.
    ///
    /// # Errors
    /// By the operation: [`ErrorKind::FailedPrecondition`] for a server that loads explicitly.
    ///
    /// # Examples
    /// ```
    /// # use inferlay::ServerHandle;
    /// let server = ServerHandle::builder().start()?;
    /// server.add_repository("examples/models")?;
    /// server.poll().wait()?;
    /// assert_eq!(server.models()[0].name, "digits");
    /// # Ok::<(), inferlay::Error>(())
    /// ```
    pub fn poll(&self) -> Operation {
        let operation = self.inner.operations.begin(self.inner.services.clock.clone());
        let ending = Ending::of(&operation);
        if !self.is_live() {
            ending.end(Err(STOPPED));
            return operation;
        }
        if self.inner.is_explicit {
            let message = "a server that loads explicitly does not poll; load_model loads what has changed";
            ending.end(Err(Error::new(ErrorKind::FailedPrecondition, message)));
            return operation;
        }
        let never = Periods { watched_ns: u64::MAX, blind_ns: u64::MAX };
        let asked = PollOptions { periods: never, is_blind: true, ..PollOptions::default() };
        match self.inner.watching.start(&self.inner.shared(), &asked) {
            Err(error) => ending.end(Err(error)),
            Ok(()) => match self.inner.watching.shared() {
                Some(shared) => shared.put(|inbox| inbox.polls.push(ending)),
                None => ending.end(Err(STOPPED)),
            },
        }
        operation
    }

    /// Adds a folder of models. A server that polls loads them; else they are loaded when they are asked for.
    ///
    /// # Errors
    /// As for [`ServerHandle::add_repository_with`].
    ///
    /// # Examples
    /// ```
    /// # use inferlay::{ErrorKind, ServerHandle};
    /// let server = ServerHandle::builder().explicit([""; 0]).start()?;
    /// server.add_repository("examples/models")?;
    /// assert_eq!(server.add_repository("examples/models").unwrap_err().kind(), ErrorKind::AlreadyExists);
    /// # Ok::<(), inferlay::Error>(())
    /// ```
    pub fn add_repository(&self, folder: impl Into<PathBuf>) -> Result<(), Error> {
        self.add_repository_with(Repository::at(folder))
    }

    /// Adds a repository.
    ///
    /// # Errors
    /// [`ErrorKind::AlreadyExists`] for one of the same folders; [`ErrorKind::InvalidArg`] for a name or namespace that no
    /// model may bear.
    ///
    /// # Examples
    /// ```
    /// # use inferlay::{Repository, ServerHandle};
    /// let server = ServerHandle::builder().explicit([""; 0]).start()?;
    /// server.add_repository_with(Repository::at("examples/models").namespace("shapes"))?;
    /// # Ok::<(), inferlay::Error>(())
    /// ```
    pub fn add_repository_with(&self, repository: Repository) -> Result<(), Error> {
        self.change_repositories(|repositories| repositories.add(repository.0))
    }

    /// Takes a repository away, by its folders. A server that polls unloads its models; else they serve on.
    ///
    /// # Errors
    /// [`ErrorKind::NotFound`].
    ///
    /// # Examples
    /// ```
    /// # use inferlay::ServerHandle;
    /// let server = ServerHandle::builder().repository("examples/models").explicit([""; 0]).start()?;
    /// server.remove_repository(["examples/models"])?;
    /// assert!(server.load_model("digits").wait().is_err());
    /// # Ok::<(), inferlay::Error>(())
    /// ```
    pub fn remove_repository<F: Into<PathBuf>>(&self, folders: impl IntoIterator<Item = F>) -> Result<(), Error> {
        let folders: Vec<PathBuf> = folders.into_iter().map(Into::into).collect();
        self.change_repositories(|repositories| repositories.remove(&folders).map(drop))
    }

    fn change_repositories(&self, change: impl FnOnce(&mut Repositories) -> Result<(), Error>) -> Result<(), Error> {
        change(&mut self.inner.repositories.lock())?;
        self.inner.watching.repositories_changed();
        Ok(())
    }
}
