//! Which endpoints there are: a set that is replaced as a whole and remembers who stayed.

use crate::address::Address;
use std::{
    collections::{HashMap, HashSet},
    sync::Arc,
    time::Instant,
};

/// An endpoint as somebody lists it.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub struct Endpoint {
    /// Where it is.
    pub address: Address,
    /// Its share of the calls, beside the others' weights. 0 takes no new calls, as for one that is drained.
    pub weight: u32,
}

/// Tells an endpoint from every other that its set ever had, an earlier one at the same address included.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct EndpointId(u64);

/// An endpoint of a set.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Member {
    /// What its state is kept under.
    pub id: EndpointId,
    /// Where it is.
    pub address: Address,
    /// Its share of the calls.
    pub weight: u32,
    /// When it came into the set.
    pub since: Instant,
}

/// The endpoints of a service, replaced as a whole.
///
/// A snapshot never changes: who picks holds one, and sees either all of a replacement or nothing.
#[derive(Clone, Debug)]
pub struct EndpointSet {
    generation: u64,
    next_id: u64,
    members: Arc<[Member]>,
}

/// What a replacement changed. What becomes of connections to those removed is for the owner of the set to
/// decide: keep, drain or close.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct SetChange {
    /// Those that stayed, with their state; their weight may be another.
    pub kept: Vec<EndpointId>,
    /// Those of `kept` whose weight changed.
    pub reweighted: Vec<EndpointId>,
    /// Those that are new.
    pub added: Vec<Member>,
    /// Those that are gone.
    pub removed: Vec<Member>,
}

impl From<Address> for Endpoint {
    fn from(address: Address) -> Self {
        Self { address, weight: 1 }
    }
}

impl EndpointId {
    /// The number, unique within its set and higher for those that came later.
    pub fn number(self) -> u64 {
        self.0
    }
}

impl Default for EndpointSet {
    fn default() -> Self {
        Self { generation: 0, next_id: 0, members: Arc::new([]) }
    }
}

impl EndpointSet {
    /// Starts with these, which come into the set at `now`.
    pub fn new(endpoints: impl IntoIterator<Item = Endpoint>, now: Instant) -> Self {
        let mut set = Self::default();
        set.replace(endpoints, now);
        set
    }

    /// Makes the set consist of `endpoints`, in their order, and says what that changed.
    ///
    /// An address that was in the set stays the endpoint it was, whatever its new weight. One that is
    /// listed twice counts once, as it is listed first.
    pub fn replace(
        &mut self,
        endpoints: impl IntoIterator<Item = Endpoint>,
        now: Instant,
    ) -> SetChange {
        let mut before: HashMap<_, _> =
            self.members.iter().map(|member| (&member.address, member)).collect();
        let (mut listed, mut members) = (HashSet::new(), Vec::new());
        let mut change = SetChange::default();
        for Endpoint { address, weight } in endpoints {
            if !listed.insert(address.clone()) {
                continue;
            }
            let member = match before.remove(&address) {
                Some(old) => {
                    change.kept.push(old.id);
                    change.reweighted.extend((old.weight != weight).then_some(old.id));
                    Member { address, weight, ..*old }
                }
                None => {
                    let id = EndpointId(self.next_id);
                    self.next_id += 1;
                    let member = Member { id, address, weight, since: now };
                    change.added.push(member.clone());
                    member
                }
            };
            members.push(member);
        }
        change.removed = before.into_values().cloned().collect();
        change.removed.sort_by_key(|member| member.id);
        if *self.members != *members {
            self.generation += 1;
            self.members = members.into();
        }
        change
    }

    /// The endpoints as they are now; their indexes are those that pickers speak of.
    pub fn members(&self) -> Arc<[Member]> {
        Arc::clone(&self.members)
    }

    /// How often the set changed.
    pub fn generation(&self) -> u64 {
        self.generation
    }

    /// How many there are.
    pub fn len(&self) -> usize {
        self.members.len()
    }

    /// Whether there are none.
    pub fn is_empty(&self) -> bool {
        self.members.is_empty()
    }
}

impl SetChange {
    /// Whether the same endpoints are there with the same weights; their order may differ.
    pub fn is_empty(&self) -> bool {
        self.reweighted.is_empty() && self.added.is_empty() && self.removed.is_empty()
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;
    use std::time::Duration;

    #[expect(clippy::disallowed_methods, reason = "any instant will do")]
    fn start() -> Instant {
        Instant::now()
    }

    fn endpoint(name: &str, weight: u32) -> Endpoint {
        Endpoint { address: Address::Mem(name.into()), weight }
    }

    fn ids(members: &[Member]) -> Vec<EndpointId> {
        members.iter().map(|member| member.id).collect()
    }

    #[test]
    fn an_address_that_stays_keeps_its_identity_its_age_and_its_state() {
        let (start, later) = (start(), start() + Duration::from_secs(1));
        let mut set = EndpointSet::new([endpoint("a", 1), endpoint("b", 1)], start);
        let before = set.members();
        let change = set.replace([endpoint("c", 1), endpoint("b", 5)], later);

        let after = set.members();
        assert_eq!((after[1].id, after[1].since), (before[1].id, start));
        assert_eq!((change.kept, change.reweighted), (vec![before[1].id], vec![before[1].id]));
        assert_eq!(
            (ids(&change.added), ids(&change.removed)),
            (vec![after[0].id], vec![before[0].id])
        );
        assert_eq!(after[0].since, later);
    }

    #[test]
    fn an_address_that_comes_back_is_another_endpoint() {
        let start = start();
        let mut set = EndpointSet::new([endpoint("a", 1)], start);
        let first = set.members()[0].id;
        set.replace([], start);
        set.replace([endpoint("a", 1)], start);
        assert!(set.members()[0].id > first);
    }

    #[test]
    fn a_snapshot_never_changes() {
        let start = start();
        let mut set = EndpointSet::new([endpoint("a", 1)], start);
        let snapshot = set.members();
        set.replace([endpoint("b", 1)], start);
        assert_eq!(snapshot[0].address, Address::Mem("a".into()));
    }

    #[test]
    fn an_address_listed_twice_counts_once_as_it_is_listed_first() {
        let set = EndpointSet::new([endpoint("a", 2), endpoint("a", 9)], start());
        assert_eq!((set.len(), set.members()[0].weight), (1, 2));
    }

    #[test]
    fn the_same_list_again_changes_nothing() {
        let start = start();
        let mut set = EndpointSet::new([endpoint("a", 1), endpoint("b", 2)], start);
        let generation = set.generation();
        assert!(set.replace([endpoint("a", 1), endpoint("b", 2)], start).is_empty());
        assert_eq!(set.generation(), generation);
    }

    proptest! {
        #[test]
        fn any_replacements_add_up(lists in prop::collection::vec(prop::collection::vec((0u8..6, 0u32..3), 0..8), 0..12)) {
            let start = start();
            let mut set = EndpointSet::default();
            for list in lists {
                let before = ids(&set.members());
                let wanted: HashSet<_> = list.iter().map(|(name, _)| *name).collect();
                let change = set.replace(list.iter().map(|(name, weight)| endpoint(&name.to_string(), *weight)), start);

                let mut left = change.kept.clone();
                left.extend(ids(&change.removed));
                left.sort();
                let mut before_sorted = before.clone();
                before_sorted.sort();
                prop_assert_eq!(left, before_sorted);

                let mut now = change.kept.clone();
                now.extend(ids(&change.added));
                now.sort();
                let mut after = ids(&set.members());
                after.sort();
                prop_assert_eq!(now, after);
                prop_assert_eq!(set.len(), wanted.len());
            }
        }
    }
}
