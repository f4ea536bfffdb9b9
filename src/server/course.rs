//! A route with the lanes that it leads to: where a handle sends its requests, until something changes.

use super::route::{Route, Shares};
use super::served::Served;
use crate::flow::Request;

/// The lanes of a route.
pub(super) struct Course {
    shares: Shares,
    /// Of the versions of the shares, in their order; one at least.
    lanes: Vec<Served>,
    /// Who gets a copy of what goes elsewhere.
    shadow: Option<Served>,
}

impl Course {
    /// The lanes of `route`, whose versions `find` knows.
    pub(super) fn new(route: Route, find: impl Fn(u64) -> Option<Served>) -> Self {
        let lanes: Vec<_> = route.shares.versions().iter().filter_map(|version| find(*version)).collect();
        debug_assert_eq!(lanes.len(), route.shares.versions().len(), "a route leads to versions that serve");
        Course { lanes, shadow: route.shadow.and_then(find), shares: route.shares }
    }

    /// Whether all requests go one way, and none is copied.
    pub(super) fn is_plain(&self) -> bool {
        self.lanes.len() == 1 && self.shadow.is_none()
    }

    /// Whether no execution is stuck on any of its lanes.
    pub(super) fn is_healthy(&self) -> bool {
        self.lanes.iter().all(|served| !served.lane.is_stuck())
    }

    /// The lane that gets most.
    pub(super) fn main(&self) -> &Served {
        &self.lanes[self.shares.main()]
    }

    /// The lane of a request: by its correlation id, or else by its number.
    pub(super) fn pick(&self, request: &Request<'_>, number: impl FnOnce() -> u64) -> &Served {
        if let [only] = &self.lanes[..] {
            return only;
        }
        let index = match request.correlation_hash() {
            Some(hash) => self.shares.by_id(hash),
            None => self.shares.by_turn(number()),
        };
        &self.lanes[index]
    }

    /// Gives the shadow a copy of a request that goes to `served`.
    pub(super) fn copy(&self, request: &Request<'_>, served: &Served) {
        if let Some(shadow) = self.shadow.as_ref().filter(|shadow| !shadow.is(served)) {
            shadow.lane.shadow(request);
        }
    }
}
