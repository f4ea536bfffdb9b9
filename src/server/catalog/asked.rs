//! What is asked of an entry: where requests go, what serves, and how it is told of. Changes nothing.

use super::{Entry, State};
use crate::server::course::Course;
use crate::server::route::{Astray, Choice, Plan};
use crate::server::served::Served;
use crate::server::status::{ModelState, ModelStatus};
use crate::server::version::Version;
use inferlay_backend_sdk::Error;
use std::sync::Arc;

impl Entry {
    /// Where requests go that make this choice, as things are now.
    ///
    /// # Errors
    /// `NOT_FOUND` for a version or label that is not there, `UNAVAILABLE` with the reason where nothing serves.
    pub(in crate::server) fn course(&self, choice: &Choice) -> Result<Arc<Course>, Error> {
        let mut state = self.state.lock();
        let generation = self.generation();
        let is_any = *choice == Choice::Any;
        if let Some((at, course)) = &state.course
            && (is_any && *at == generation && course.is_healthy())
        {
            return Ok(course.clone());
        }
        let course = Arc::new(self.find_course(&state, choice)?);
        let older = is_any.then(|| state.course.replace((generation, course.clone())));
        drop(state);
        // Not under the lock: the last of a lane may go with it.
        drop(older);
        Ok(course)
    }

    fn find_course(&self, state: &State, choice: &Choice) -> Result<Course, Error> {
        let healthy = state.versions.iter().filter_map(|(number, version)| Some((*number, version.healthy()?)));
        let (serving, served): (Vec<_>, Vec<_>) = healthy.unzip();
        let route = state.plan.route(choice, &serving).map_err(|astray| self.refusal(state, choice, &astray))?;
        let find = |number: u64| serving.binary_search(&number).ok().map(|at| served[at].clone());
        Ok(Course::new(route, find))
    }

    fn refusal(&self, state: &State, choice: &Choice, astray: &Astray) -> Error {
        let name = &self.name;
        match astray {
            Astray::Number(number) => {
                let place = match choice {
                    Choice::Label(label) => format!("model '{name}' label '{label}', which is version {number},"),
                    Choice::Any | Choice::Number(_) => format!("model '{name}' version {number}"),
                };
                state.refusal(*number, &place)
            }
            Astray::Label(label) => {
                let known: Vec<_> = state.plan.labels.keys().map(String::as_str).collect();
                let (label, known) = (label.escape_debug(), known.join(", "));
                Error::not_found(format!("model '{name}': label '{label}' not found; known: {known}"))
            }
            Astray::All => match state.versions.last_key_value() {
                Some((number, _)) => state.refusal(*number, &format!("model '{name}' version {number}")),
                None => Error::unavailable(format!("model '{name}' has no version that serves")),
            },
        }
    }

    /// Whether no version of it is known.
    pub(in crate::server) fn is_empty(&self) -> bool {
        self.state.lock().versions.is_empty()
    }

    /// What was said about its versions.
    pub(in crate::server) fn plan(&self) -> Plan {
        self.state.lock().plan.clone()
    }

    /// Whether some version serves, or nothing was to be loaded.
    pub(in crate::server) fn is_as_wanted(&self) -> bool {
        let state = self.state.lock();
        let serves = state.versions.values().any(|version| version.serves() || version.is_passive());
        serves || state.versions.values().all(Version::is_unwanted)
    }

    /// Whether a request with this choice finds a version that serves.
    pub(in crate::server) fn is_ready(&self, choice: &Choice) -> bool {
        let state = self.state.lock();
        let serving = state.versions.iter().filter(|(_, version)| version.serves()).map(|(number, _)| *number);
        state.plan.route(choice, &serving.collect::<Vec<_>>()).is_ok()
    }

    /// Whether this lane serves.
    pub(in crate::server) fn has(&self, served: &Served) -> bool {
        let state = self.state.lock();
        state.versions.values().any(|version| version.served.as_ref().is_some_and(|own| own.is(served)))
    }

    /// Whether it could not be brought into memory when it was last asked.
    pub(in crate::server) fn is_ailing(&self, served: &Served) -> bool {
        let state = self.state.lock();
        let is_it = |version: &Version| version.served.as_ref().is_some_and(|own| own.is(served));
        state.versions.values().any(|version| version.state == Some(ModelState::Unavailable) && is_it(version))
    }

    /// The versions that serve.
    pub(in crate::server) fn served(&self) -> Vec<(u64, Served)> {
        let state = self.state.lock();
        let served = state.versions.iter().filter_map(|(number, version)| Some((*number, version.served.clone()?)));
        served.collect()
    }

    pub(in crate::server) fn status(&self) -> Vec<ModelStatus> {
        let state = self.state.lock();
        state.versions.iter().map(|(number, version)| version.status(&self.name, *number)).collect()
    }
}

impl State {
    /// Why a version takes no requests.
    pub(super) fn refusal(&self, number: u64, place: &str) -> Error {
        if let Some(version) = self.versions.get(&number) {
            return version.refusal(place);
        }
        let known: Vec<_> = self.versions.keys().map(u64::to_string).collect();
        Error::not_found(format!("{place} not found; known: {}", known.join(", ")))
    }
}
