//! Which version a request gets: the labels, shares and shadow of a model, and what they come to. Pure: no lock, no lane.
//!
//! ```text
//!   number, label -> that version                                                    .-- shadow: a copy
//!   neither       -> the split, over the versions of it that serve -- turn or id --> version
//!                    none of them serves, or no split -> the newest that serves, the shadow last
//! ```
//!
//! Invariants: 1. Only versions that serve get requests. The share of one that does not goes to the others of the split, in
//! proportion. 2. Over any run of as many requests as the weights of the split come to, each version gets exactly its
//! weight, as evenly spread as that allows (smooth weighted round robin). 3. Requests with the same correlation id get the
//! same version for as long as it serves with its weight: another version that comes, goes, or weighs more or less only
//! takes ids or gives up its own. 4. The shadow gets no copy of what is its own.

use crate::config::{self, ModelConfig, PartialConfig};
use inferlay_backend_sdk::Error;
use std::collections::BTreeMap;
use std::sync::Arc;

/// Which version a request asks for.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) enum Choice {
    /// Whichever the server gives it.
    Any,
    /// This one.
    Number(u64),
    /// The one that the label is at.
    Label(Arc<str>),
}

/// What was said about the versions of a model.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(super) struct Plan {
    pub(super) labels: BTreeMap<String, u64>,
    /// Versions and weights; empty for no split.
    pub(super) traffic: Vec<(u64, u32)>,
    /// The version that gets copies.
    pub(super) shadow: Option<u64>,
}

/// Where the requests of one choice go.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Route {
    /// Over which versions they are spread; one at least.
    pub(super) shares: Shares,
    /// Who gets a copy.
    pub(super) shadow: Option<u64>,
}

/// Why a choice leads nowhere.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) enum Astray {
    /// There is no such label.
    Label(Arc<str>),
    /// This version does not serve.
    Number(u64),
    /// None serves.
    All,
}

impl From<&PartialConfig> for Plan {
    fn from(config: &PartialConfig) -> Self {
        let traffic = config.traffic.iter().map(|(version, weight)| (*version, *weight)).collect();
        Plan { labels: config.version_labels.clone(), traffic, shadow: config.shadow }
    }
}

impl From<&ModelConfig> for Plan {
    fn from(config: &ModelConfig) -> Self {
        let traffic = config.traffic.iter().map(|(version, weight)| (*version, *weight)).collect();
        Plan { labels: config.version_labels.clone(), traffic, shadow: config.shadow }
    }
}

impl Plan {
    /// Takes in what a config says now, where that is not what it said `before`: what was said since counts until then.
    pub(super) fn take_in(&mut self, before: &Plan, now: &Plan) {
        if now.labels != before.labels {
            self.labels.clone_from(&now.labels);
        }
        if now.traffic != before.traffic {
            self.traffic.clone_from(&now.traffic);
        }
        if now.shadow != before.shadow {
            self.shadow = now.shadow;
        }
    }

    /// Takes back what was taken in, which made it `after` of `before`: what was said since counts.
    pub(super) fn take_back(&mut self, after: &Plan, before: &Plan) {
        if self.labels == after.labels {
            self.labels.clone_from(&before.labels);
        }
        if self.traffic == after.traffic {
            self.traffic.clone_from(&before.traffic);
        }
        if self.shadow == after.shadow {
            self.shadow = before.shadow;
        }
    }

    /// What leads to a version that is not among these, in words.
    pub(super) fn astray(&self, serving: &[u64]) -> Vec<String> {
        let labels = self.labels.iter().map(|(label, version)| (*version, format!("label '{label}'")));
        let shares = self.traffic.iter().map(|(version, _)| (*version, "a share of the traffic".to_owned()));
        let shadow = self.shadow.map(|version| (version, "the shadow".to_owned()));
        let all = labels.chain(shares).chain(shadow).filter(|(version, _)| !serving.contains(version));
        all.map(|(version, what)| format!("{what} is version {version}, which is not among those served")).collect()
    }

    /// Where requests go while these versions serve, given in ascending order.
    ///
    /// # Errors
    /// Why they go nowhere.
    pub(super) fn route(&self, choice: &Choice, serving: &[u64]) -> Result<Route, Astray> {
        let only = |version: u64| match serving.contains(&version) {
            true => Ok(Shares::only(version)),
            false => Err(Astray::Number(version)),
        };
        let shares = match choice {
            Choice::Any => self.spread(serving)?,
            Choice::Number(version) => only(*version)?,
            Choice::Label(label) => match self.labels.get(&**label) {
                Some(version) => only(*version)?,
                None => return Err(Astray::Label(label.clone())),
            },
        };
        let is_used = |shadow: &u64| serving.contains(shadow) && shares.versions() != [*shadow];
        Ok(Route { shadow: self.shadow.filter(is_used), shares })
    }

    fn spread(&self, serving: &[u64]) -> Result<Shares, Astray> {
        let split = self.traffic.iter().copied().filter(|(version, weight)| *weight > 0 && serving.contains(version));
        let split: Vec<_> = split.collect();
        if !split.is_empty() {
            return Ok(Shares::new(&split));
        }
        let newest = serving.iter().rev().find(|version| Some(**version) != self.shadow).or(serving.last());
        newest.map(|version| Shares::only(*version)).ok_or(Astray::All)
    }
}

/// Versions, and how the requests are spread over them.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Shares {
    versions: Vec<u64>,
    weights: Vec<u32>,
    /// Whose turn it is, by index, over one run; of a single version, nothing.
    turns: Box<[u16]>,
}

impl Shares {
    fn only(version: u64) -> Self {
        Shares { versions: vec![version], weights: vec![1], turns: Box::default() }
    }

    /// Of versions with weights, which are more than 0.
    fn new(split: &[(u64, u32)]) -> Self {
        let (versions, weights): (Vec<_>, Vec<_>) = split.iter().copied().unzip();
        let weights = config::lowest_terms(&weights);
        let turns = if versions.len() > 1 { turns(&weights) } else { Box::default() };
        Shares { versions, weights, turns }
    }

    /// The versions, in the order of the split.
    pub(super) fn versions(&self) -> &[u64] {
        &self.versions
    }

    /// The version that gets most; of several the newest.
    pub(super) fn main(&self) -> usize {
        let heaviest = (0..self.versions.len()).max_by_key(|index| (self.weights[*index], self.versions[*index]));
        heaviest.unwrap_or(0)
    }

    /// Whose the request is, by index, that was counted with this number.
    pub(super) fn by_turn(&self, number: u64) -> usize {
        match self.turns.len() as u64 {
            0 => 0,
            len => usize::from(self.turns[(number % len) as usize]),
        }
    }

    /// Whose a request is, by index, that has a correlation id, of which this is the hash.
    ///
    /// By weighted rendezvous: every version draws a number from the id, and the highest wins. What one version draws does
    /// not depend on the others, which is why ids move only to or from a version that changes.
    pub(super) fn by_id(&self, hash: u64) -> usize {
        let draw = |index: usize| {
            let bits = mixed(hash ^ mixed(self.versions[index]));
            // Strictly between 0 and 1.
            let chance = ((bits >> 12) as f64 + 0.5) / (1u64 << 52) as f64;
            -f64::from(self.weights[index]) / chance.ln()
        };
        (0..self.versions.len()).max_by(|a, b| draw(*a).total_cmp(&draw(*b))).unwrap_or(0)
    }
}

/// One run of turns: whoever is furthest behind its share is next, as nginx has it.
fn turns(weights: &[u32]) -> Box<[u16]> {
    let sum: i64 = weights.iter().map(|weight| i64::from(*weight)).sum();
    let mut behind = vec![0i64; weights.len()];
    let next = |_| {
        behind.iter_mut().zip(weights).for_each(|(behind, weight)| *behind += i64::from(*weight));
        let furthest = (0..behind.len()).rev().max_by_key(|index| behind[*index]).unwrap_or(0);
        behind[furthest] -= sum;
        furthest as u16
    };
    (0..sum).map(next).collect()
}

/// The last step of SplitMix64.
fn mixed(mut z: u64) -> u64 {
    z = (z ^ (z >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
    z = (z ^ (z >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
    z ^ (z >> 31)
}

/// Refuses what is no name of a label.
///
/// # Errors
/// `INVALID_ARG`.
pub(super) fn check_label(label: &str) -> Result<(), Error> {
    match config::label_fault(label) {
        None => Ok(()),
        Some(fault) => Err(Error::invalid_arg(format!("label '{}': {fault}", label.escape_debug()))),
    }
}

/// Refuses what is no split.
///
/// # Errors
/// `INVALID_ARG`.
pub(super) fn check_traffic(traffic: &[(u64, u32)]) -> Result<(), Error> {
    for (index, (version, _)) in traffic.iter().enumerate() {
        if traffic[..index].iter().any(|(other, _)| other == version) {
            return Err(Error::invalid_arg(format!("traffic: version {version} is there twice")));
        }
    }
    let weights: Vec<_> = traffic.iter().map(|(_, weight)| *weight).collect();
    match config::weights_fault(&weights) {
        None => Ok(()),
        Some(fault) => Err(Error::invalid_arg(format!("traffic: {fault}"))),
    }
}

#[cfg(all(test, not(loom)))]
mod tests {
    use super::*;
    use proptest::prelude::*;

    fn plan(labels: &[(&str, u64)], traffic: &[(u64, u32)], shadow: Option<u64>) -> Plan {
        let labels = labels.iter().map(|(label, version)| ((*label).to_owned(), *version)).collect();
        Plan { labels, traffic: traffic.to_vec(), shadow }
    }

    /// The versions of one run.
    fn run(shares: &Shares, from: u64, len: usize) -> Vec<u64> {
        (from..).take(len).map(|number| shares.versions()[shares.by_turn(number)]).collect()
    }

    #[test]
    fn a_choice_leads_to_versions_that_serve_or_says_why_not() {
        let labels = [("stable", 1), ("canary", 3), ("gone", 9)];
        let label = |name: &str| Choice::Label(name.into());
        // Choice, split, shadow, what serves -> over which versions, and to whom a copy.
        type Row<'a> = (Choice, &'a [(u64, u32)], Option<u64>, &'a [u64], Result<(&'a [u64], Option<u64>), Astray>);
        let rows: &[Row<'_>] = &[
            (Choice::Any, &[], None, &[1, 3], Ok((&[3], None))),
            (Choice::Any, &[], None, &[], Err(Astray::All)),
            (Choice::Number(1), &[], None, &[1, 3], Ok((&[1], None))),
            (Choice::Number(2), &[], None, &[1, 3], Err(Astray::Number(2))),
            (label("stable"), &[], None, &[1, 3], Ok((&[1], None))),
            (label("gone"), &[], None, &[1, 3], Err(Astray::Number(9))),
            (label("nobody"), &[], None, &[1, 3], Err(Astray::Label("nobody".into()))),
            // A split is for those who do not choose.
            (Choice::Any, &[(1, 9), (3, 1)], None, &[1, 2, 3], Ok((&[1, 3], None))),
            (Choice::Number(2), &[(1, 9), (3, 1)], None, &[1, 2, 3], Ok((&[2], None))),
            (label("canary"), &[(1, 1)], None, &[1, 3], Ok((&[3], None))),
            // Who does not serve gets none of it; nor who weighs nothing.
            (Choice::Any, &[(1, 9), (3, 1)], None, &[1, 2], Ok((&[1], None))),
            (Choice::Any, &[(1, 9), (3, 0)], None, &[1, 3], Ok((&[1], None))),
            (Choice::Any, &[(1, 9), (3, 1)], None, &[2, 4], Ok((&[4], None))),
            (Choice::Any, &[(1, 1), (3, 0)], None, &[3], Ok((&[3], None))),
            // The shadow is the last to be asked, and has no copy of what is its own.
            (Choice::Any, &[], Some(3), &[1, 2, 3], Ok((&[2], Some(3)))),
            (Choice::Any, &[], Some(3), &[3], Ok((&[3], None))),
            (Choice::Any, &[], Some(3), &[1, 2], Ok((&[2], None))),
            (Choice::Any, &[(1, 1), (3, 1)], Some(3), &[1, 3], Ok((&[1, 3], Some(3)))),
            (Choice::Number(1), &[], Some(3), &[1, 3], Ok((&[1], Some(3)))),
            (label("canary"), &[], Some(3), &[1, 3], Ok((&[3], None))),
        ];
        for (choice, traffic, shadow, serving, expected) in rows {
            let route = plan(&labels, traffic, *shadow).route(choice, serving);
            let found = route.as_ref().map(|route| (route.shares.versions(), route.shadow)).map_err(Clone::clone);
            assert_eq!(found, *expected, "{choice:?} {traffic:?} {shadow:?} {serving:?}");
        }
    }

    #[test]
    fn turns_are_spread_as_evenly_as_weights_allow() {
        type Row<'a> = (&'a [(u64, u32)], &'a [u64]);
        let rows: &[Row<'_>] = &[
            (&[(1, 1)], &[1, 1, 1]),
            (&[(1, 1), (2, 1)], &[1, 2, 1, 2]),
            (&[(1, 90), (2, 30)], &[1, 1, 2, 1, 1, 1, 2, 1]),
            (&[(1, 5), (2, 1), (3, 1)], &[1, 1, 2, 1, 3, 1, 1]),
        ];
        for (split, expected) in rows {
            assert_eq!(run(&Shares::new(split), 0, expected.len()), *expected, "{split:?}");
        }
        let shares = Shares::new(&[(1, 3), (7, 5), (2, 5)]);
        assert_eq!(shares.versions()[shares.main()], 7);
    }

    #[test]
    fn labels_and_splits_are_checked() {
        for good in ["stable", "v1.2", "2024-q3", "_a", &"x".repeat(64)] {
            assert!(check_label(good).is_ok(), "{good}");
        }
        for bad in ["", "12", "1.2", "_", "a b", "stäble", "a/b", "a\n", &"x".repeat(65)] {
            assert!(check_label(bad).unwrap_err().message().starts_with("label '"), "{bad}");
        }
        assert!(check_traffic(&[(1, 9_999), (2, 1), (3, 0)]).is_ok());
        assert!(check_traffic(&[(1, u32::MAX), (2, u32::MAX)]).is_ok());
        let rows: &[(&[(u64, u32)], &str)] = &[
            (&[], "traffic: found no version with a weight, expected one at least"),
            (&[(1, 0)], "traffic: found no version with a weight, expected one at least"),
            (&[(1, 1), (1, 2)], "traffic: version 1 is there twice"),
            (&[(1, 10_000), (2, 1)], "traffic: found weights that come to 10001, expected at most 10000"),
        ];
        for (traffic, message) in rows {
            assert_eq!(check_traffic(traffic).unwrap_err().message(), *message);
        }
    }

    #[test]
    fn what_a_config_says_counts_when_it_is_new_and_what_is_said_live_until_then() {
        let stated = plan(&[("stable", 1)], &[(1, 9), (2, 1)], Some(3));
        let mut now = plan(&[("mine", 7)], &[], None);
        now.take_in(&Plan::default(), &stated);
        assert_eq!(now, stated);
        // Said live, and kept by a config that says the same as before.
        let live = plan(&[("stable", 2)], &[], None);
        let mut now = live.clone();
        now.take_in(&stated, &stated);
        assert_eq!(now, live);
        // Only what changes in it counts anew; what goes from it goes.
        now.take_in(&stated, &plan(&[("stable", 1)], &[(2, 1)], Some(3)));
        assert_eq!(now, plan(&[("stable", 2)], &[(2, 1)], None));
        now.take_in(&stated, &Plan::default());
        assert_eq!(now, Plan::default());
    }

    #[test]
    fn what_leads_to_no_version_is_told() {
        let plan = plan(&[("old", 1), ("new", 2)], &[(1, 9), (2, 1)], Some(4));
        let expected =
            ["label 'old' is version 1,", "a share of the traffic is version 1,", "the shadow is version 4,"];
        assert_eq!(plan.astray(&[2]), expected.map(|what| format!("{what} which is not among those served")));
        assert!(plan.astray(&[1, 2, 4]).is_empty());
    }

    /// Splits of up to six versions, of which some weigh nothing, and which of them serve.
    fn splits() -> impl Strategy<Value = (Vec<(u64, u32)>, Vec<u64>)> {
        let versions = prop::collection::btree_map(1u64..9, 0u32..40, 1..6);
        (versions, prop::collection::btree_set(1u64..9, 1..8))
            .prop_map(|(split, serving)| (split.into_iter().collect(), serving.into_iter().collect()))
    }

    proptest! {
        #[test]
        fn weights_are_exact_over_every_run((traffic, serving) in splits(), from in 0u64..1_000_000) {
            let route = plan(&[], &traffic, None).route(&Choice::Any, &serving).unwrap();
            let live: Vec<_> =
                traffic.iter().copied().filter(|(version, weight)| *weight > 0 && serving.contains(version)).collect();
            let sum = live.iter().map(|(_, weight)| *weight as usize).sum::<usize>();
            let counts = run(&route.shares, from, sum);
            for (version, weight) in &live {
                let count = counts.iter().filter(|got| *got == version).count();
                prop_assert_eq!(count, *weight as usize);
            }
            if live.is_empty() {
                prop_assert_eq!(route.shares.versions(), &serving[serving.len() - 1..]);
            }
        }

        #[test]
        fn nobody_is_far_from_its_share_at_any_time(first in 1u32..200, second in 1u32..200, from in 0u64..1_000) {
            let shares = Shares::new(&[(1, first), (2, second)]);
            // Runs begin with the count at 0.
            let begin = from * u64::from(first + second);
            let mut got = 0.0;
            for (asked, version) in run(&shares, begin, 400).into_iter().enumerate() {
                got += f64::from(u8::from(version == 1));
                let due = (asked + 1) as f64 * f64::from(first) / f64::from(first + second);
                prop_assert!((got - due).abs() < 1.0, "{} of {} after {}", got, due, asked + 1);
            }
        }

        #[test]
        fn an_id_stays_with_its_version_whatever_becomes_of_others(
            (traffic, serving) in splits(), hash: u64, gone in 1u64..9,
        ) {
            let version_of = |serving: &[u64]| {
                let route = plan(&[], &traffic, None).route(&Choice::Any, serving).unwrap();
                let index = route.shares.by_id(hash);
                (route.shares.versions()[index], route.shares.versions().len())
            };
            let (before, _) = version_of(&serving);
            prop_assert!(serving.contains(&before));
            let left: Vec<_> = serving.iter().copied().filter(|version| *version != gone).collect();
            let splits = |serving: &[u64]| traffic.iter().any(|(version, weight)| *weight > 0 && serving.contains(version));
            if before != gone && splits(&left) {
                prop_assert_eq!(version_of(&left).0, before);
            }
        }

        #[test]
        fn an_id_moves_only_to_a_version_that_weighs_more(weights in [1u32..50, 1..50, 1..50], more in 1u32..50, hash: u64) {
            let of = |weights: [u32; 3]| Shares::new(&[(1, weights[0]), (2, weights[1]), (3, weights[2])]).by_id(hash);
            let (before, after) = (of(weights), of([weights[0], weights[1], weights[2] + more]));
            prop_assert!(after == before || after == 2);
        }
    }

    #[test]
    fn ids_are_spread_by_weight() {
        let shares = Shares::new(&[(1, 90), (2, 10)]);
        let canary = (0..10_000u64).filter(|id| shares.by_id(mixed(*id)) == 1).count();
        assert!((800..1_200).contains(&canary), "{canary} of 10000");
    }
}
