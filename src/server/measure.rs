//! How much memory a load takes, where its backend does not say: what was allocated more after it than before.
//!
//! That is a guess. It does not see what a backend maps past the allocator of C, nor what it has on a device, and it does see
//! what others of the process allocate or free meanwhile. So it counts for something only if no other load of the server, and
//! no model that goes for one, came into its way.
//!
//! Invariant: a load that was under way together with another one is not measured.

use crate::sync::Mutex;

/// The loads that are under way.
#[derive(Default)]
pub(super) struct Measuring {
    state: Mutex<State>,
}

#[derive(Default)]
struct State {
    under_way: usize,
    begun: u64,
}

/// One load, from before it looks for room until it is dropped.
pub(super) struct Measure<'a> {
    measuring: &'a Measuring,
    /// Its number, if it began alone.
    alone: Option<u64>,
    before: Option<u64>,
}

impl Measuring {
    pub(super) fn begin(&self) -> Measure<'_> {
        let mut state = self.state.lock();
        state.begun += 1;
        let alone = (state.under_way == 0).then_some(state.begun);
        state.under_way += 1;
        Measure { measuring: self, alone, before: None }
    }
}

impl Measure<'_> {
    /// It has its room, and loads from now on.
    pub(super) fn start(&mut self, allocated: impl FnOnce() -> Option<u64>) {
        self.before = self.alone.and_then(|_| allocated());
    }

    /// What it took, if that can be said.
    pub(super) fn end(&self, allocated: impl FnOnce() -> Option<u64>) -> Option<u64> {
        let before = self.before?;
        let is_alone = self.alone == Some(self.measuring.state.lock().begun);
        let after = is_alone.then(allocated)??;
        Some(after.saturating_sub(before))
    }
}

impl Drop for Measure<'_> {
    fn drop(&mut self) {
        self.measuring.state.lock().under_way -= 1;
    }
}

#[cfg(all(test, not(loom)))]
mod tests {
    use super::*;

    #[test]
    fn a_load_is_measured_only_if_it_is_alone_from_its_beginning_to_its_end() {
        let measuring = Measuring::default();
        let mut alone = measuring.begin();
        alone.start(|| Some(10));
        assert_eq!(alone.end(|| Some(17)), Some(7));
        assert_eq!(alone.end(|| Some(3)), Some(0), "others have freed more");
        assert_eq!(alone.end(|| None), None);
        let mut later = measuring.begin();
        later.start(|| Some(10));
        assert_eq!((alone.end(|| Some(17)), later.end(|| Some(17))), (None, None));
        drop((alone, later));
        let mut next = measuring.begin();
        next.start(|| None);
        assert_eq!(next.end(|| Some(17)), None);
        next.start(|| Some(10));
        drop(measuring.begin());
        assert_eq!(next.end(|| Some(17)), None, "another one came and went");
    }
}
