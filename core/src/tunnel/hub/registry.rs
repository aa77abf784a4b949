//! Who serves which cluster. No lock, no I/O.

use crate::{config::AgentPolicy, tunnel::hello::Instance};
use std::{collections::HashMap, sync::Arc};

/// The number of one link; never used twice.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub(super) struct LinkId(u64);

/// The links of every cluster, and what belongs to the cluster itself.
///
/// ```text
///   cluster ──▶ budget, pending
///           └─▶ members: (link, instance of the agent, carrier) …   newest: one instance   share: any
/// ```
#[derive(Debug)]
pub(super) struct Registry<C, B> {
    policy: AgentPolicy,
    clusters: HashMap<Arc<str>, Cluster<C, B>>,
    last: u64,
}

#[derive(Debug)]
struct Cluster<C, B> {
    /// What every dial to the cluster counts in; lives as long as the cluster has links.
    books: B,
    /// The oldest first.
    members: Vec<Member<C>>,
}

#[derive(Debug)]
struct Member<C> {
    id: LinkId,
    instance: Instance,
    carrier: C,
}

/// What a registration changed.
#[derive(Debug)]
pub(super) struct Registered<C> {
    pub(super) id: LinkId,
    /// Those whose place it has taken.
    pub(super) displaced: Vec<C>,
}

impl<C: Clone, B: Clone> Registry<C, B> {
    pub(super) fn new(policy: AgentPolicy) -> Self {
        Self { policy, clusters: HashMap::new(), last: 0 }
    }

    /// A link of an agent that has proved the name. `books` are for a cluster that has none yet.
    pub(super) fn register(
        &mut self,
        cluster: &str,
        instance: Instance,
        carrier: C,
        books: impl FnOnce() -> B,
    ) -> Registered<C> {
        self.last += 1;
        let id = LinkId(self.last);
        let entry = self
            .clusters
            .entry(cluster.into())
            .or_insert_with(|| Cluster { books: books(), members: Vec::new() });
        let stays = |member: &Member<C>| match self.policy {
            AgentPolicy::Newest => member.instance == instance,
            AgentPolicy::Share => true,
        };
        let (stay, leave) = std::mem::take(&mut entry.members).into_iter().partition(stays);
        entry.members = stay;
        entry.members.push(Member { id, instance, carrier });
        let leave: Vec<Member<C>> = leave;
        Registered { id, displaced: leave.into_iter().map(|member| member.carrier).collect() }
    }

    /// Takes a link out, if it is still in; the carrier comes back to be dropped outside of a lock.
    pub(super) fn remove(&mut self, cluster: &str, id: LinkId) -> Option<C> {
        let entry = self.clusters.get_mut(cluster)?;
        let place = entry.members.iter().position(|member| member.id == id)?;
        let member = entry.members.remove(place);
        if entry.members.is_empty() {
            self.clusters.remove(cluster);
        }
        Some(member.carrier)
    }

    /// Takes every link out.
    pub(super) fn clear(&mut self) -> Vec<C> {
        let clusters = std::mem::take(&mut self.clusters).into_values();
        clusters.flat_map(|cluster| cluster.members).map(|member| member.carrier).collect()
    }

    /// The link with the least `load`, the newest of several, that is not among `tried`.
    pub(super) fn pick(
        &self,
        cluster: &str,
        tried: &[LinkId],
        load: impl Fn(&C) -> usize,
    ) -> Option<(LinkId, C)> {
        let members = self.clusters.get(cluster)?.members.iter().rev();
        let left = members.filter(|member| !tried.contains(&member.id));
        let least = left.min_by_key(|member| load(&member.carrier))?;
        Some((least.id, least.carrier.clone()))
    }

    /// Whether any link of the cluster is so.
    pub(super) fn any(&self, cluster: &str, is: impl Fn(&C) -> bool) -> bool {
        let members = self.clusters.get(cluster).map(|cluster| &cluster.members);
        members.is_some_and(|members| members.iter().any(|member| is(&member.carrier)))
    }

    pub(super) fn books(&self, cluster: &str) -> Option<B> {
        self.clusters.get(cluster).map(|cluster| cluster.books.clone())
    }

    pub(super) fn clusters(&self) -> usize {
        self.clusters.len()
    }

    pub(super) fn links(&self) -> usize {
        self.clusters.values().map(|cluster| cluster.members.len()).sum()
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    fn registry(policy: AgentPolicy) -> Registry<u32, u32> {
        Registry::new(policy)
    }

    fn register(registry: &mut Registry<u32, u32>, agent: u8, carrier: u32) -> Registered<u32> {
        registry.register("c1", [agent; 16], carrier, || 0)
    }

    #[test]
    fn the_newest_agent_takes_the_place_of_another_and_not_of_its_own_links() {
        let mut registry = registry(AgentPolicy::Newest);
        assert!(register(&mut registry, 1, 10).displaced.is_empty());
        assert!(register(&mut registry, 1, 11).displaced.is_empty());
        assert_eq!(register(&mut registry, 2, 20).displaced, [10, 11]);
        assert_eq!(registry.pick("c1", &[], |_| 0).unwrap().1, 20);
        assert_eq!(registry.links(), 1);
    }

    #[test]
    fn agents_that_share_get_what_comes_where_least_is() {
        let mut registry = registry(AgentPolicy::Share);
        let first = register(&mut registry, 1, 3);
        register(&mut registry, 2, 1);
        let third = register(&mut registry, 3, 1);
        let load = |carrier: &u32| *carrier as usize;
        assert_eq!(registry.pick("c1", &[], load).unwrap().0, third.id, "the newest of the least");
        let (second, _) = registry.pick("c1", &[third.id], load).unwrap();
        assert_eq!(registry.pick("c1", &[third.id, second], load).unwrap().0, first.id);
        assert!(registry.pick("c1", &[third.id, second, first.id], load).is_none());
        assert!(registry.pick("c2", &[], load).is_none());
    }

    #[test]
    fn a_link_that_was_displaced_takes_out_nobody_when_it_ends() {
        let mut registry = registry(AgentPolicy::Newest);
        let old = register(&mut registry, 1, 10);
        let new = register(&mut registry, 2, 20);
        assert_eq!(registry.remove("c1", old.id), None);
        assert_eq!(registry.clusters(), 1);
        assert_eq!(registry.remove("c1", new.id), Some(20));
        assert_eq!((registry.clusters(), registry.links()), (0, 0));
    }

    proptest! {
        #[test]
        fn every_link_is_somewhere_exactly_once(
            newest: bool,
            steps in prop::collection::vec((0u8..3, 0u8..4, 0usize..20), 1..60),
        ) {
            let mut registry =
                registry(if newest { AgentPolicy::Newest } else { AgentPolicy::Share });
            let (mut known, mut out, mut next) = (Vec::new(), Vec::new(), 0);
            for (cluster, agent, at) in steps {
                let cluster = format!("c{cluster}");
                if agent > 0 {
                    next += 1;
                    let done = registry.register(&cluster, [agent; 16], next, || 0);
                    out.extend(done.displaced);
                    known.push((cluster, done.id));
                } else if at < known.len() {
                    let (cluster, id) = known.swap_remove(at);
                    out.extend(registry.remove(&cluster, id));
                }
                prop_assert_eq!(registry.links() + out.len(), next as usize);
            }
            out.extend(registry.clear());
            out.sort_unstable();
            prop_assert_eq!(out, (1..=next).collect::<Vec<_>>());
            prop_assert_eq!(registry.clusters(), 0);
        }
    }
}
