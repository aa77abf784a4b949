//! Decides whether a source may have one more connection, by a table of networks that has a bound.

use crate::{
    budget::{Budget, Permit},
    config::{PerSourceConfig, SourcePrefix, SourcesFull},
};
use std::{collections::HashMap, net::IpAddr};

/// The networks that have a connection, and how many each.
#[derive(Debug)]
pub(super) struct SourceTable {
    config: PerSourceConfig,
    /// Each has a permit out: a network leaves with its last.
    networks: HashMap<SourcePrefix, Budget>,
}

/// One connection of a network, to be [given back](SourceTable::give_back).
#[derive(Debug)]
pub(super) struct Counted {
    network: SourcePrefix,
    permit: Permit,
}

/// Why a source may have no more.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum TooMany {
    /// Its network has as many connections as it may.
    OfNetwork(SourcePrefix, u64),
    /// As many networks are counted as may be, and this would be another.
    Networks(u64),
}

impl SourceTable {
    pub(super) fn new(config: PerSourceConfig) -> Self {
        Self { config, networks: HashMap::new() }
    }

    /// Goes by `config` from now on. What stands counts on for the network that it came in for: with other prefixes
    /// none of those who come after are of it.
    pub(super) fn reconfigure(&mut self, config: PerSourceConfig) {
        self.config = config;
        for budget in self.networks.values() {
            budget.set_limit(limit(&config));
        }
    }

    /// Counts one more connection of `source`; `Ok(None)` for one that comes in and is not counted.
    pub(super) fn admit(&mut self, source: IpAddr) -> Result<Option<Counted>, TooMany> {
        let config = self.config;
        if config.max_connections.is_none() {
            return Ok(None);
        }
        let network = SourcePrefix::around(source, config.ipv4_prefix, config.ipv6_prefix);
        let is_full = self.networks.len() >= config.max_networks as usize;
        if is_full && !self.networks.contains_key(&network) {
            return match config.when_full {
                SourcesFull::Refuse => Err(TooMany::Networks(config.max_networks.into())),
                SourcesFull::Admit => Ok(None),
            };
        }
        let limit = limit(&config);
        let budget = self.networks.entry(network).or_insert_with(|| Budget::new(limit));
        // A new one has room for one at least, so that none stays that has no permit out.
        let permit = budget.try_acquire().ok_or(TooMany::OfNetwork(network, limit))?;
        Ok(Some(Counted { network, permit }))
    }

    /// The connection is over.
    pub(super) fn give_back(&mut self, Counted { network, permit }: Counted) {
        drop(permit);
        if self.networks.get(&network).is_some_and(|budget| budget.in_use() == 0) {
            self.networks.remove(&network);
        }
    }
}

fn limit(config: &PerSourceConfig) -> u64 {
    config.max_connections.map_or(u64::MAX, u64::from)
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;
    use std::net::{Ipv4Addr, Ipv6Addr};

    fn config(max_connections: u32) -> PerSourceConfig {
        PerSourceConfig { max_connections: Some(max_connections), ..PerSourceConfig::default() }
    }

    fn ip(text: &str) -> IpAddr {
        text.parse().unwrap()
    }

    #[test]
    fn each_network_has_its_own_count_and_the_last_connection_takes_it_out() {
        let mut table = SourceTable::new(PerSourceConfig { ipv4_prefix: 24, ..config(2) });
        let first = table.admit(ip("10.0.0.1")).unwrap().unwrap();
        let second = table.admit(ip("10.0.0.2")).unwrap().unwrap();
        let refused = table.admit(ip("10.0.0.3")).unwrap_err();
        assert_eq!(refused, TooMany::OfNetwork("10.0.0.0/24".parse().unwrap(), 2));
        let other = table.admit(ip("10.0.1.1")).unwrap().unwrap();
        let six = table.admit(ip("2001:db8::1")).unwrap().unwrap();
        assert_eq!(table.networks.len(), 3);
        for counted in [first, second, other, six] {
            table.give_back(counted);
        }
        assert!(table.networks.is_empty());
    }

    #[test]
    fn a_full_table_refuses_or_admits_strangers_and_goes_on_counting_those_in_it() {
        let mut table = SourceTable::new(PerSourceConfig { max_networks: 1, ..config(2) });
        let known = table.admit(ip("10.0.0.1")).unwrap();
        assert_eq!(table.admit(ip("10.0.0.2")).unwrap_err(), TooMany::Networks(1));
        let admitting =
            PerSourceConfig { max_networks: 1, when_full: SourcesFull::Admit, ..config(2) };
        table.reconfigure(admitting);
        assert!(table.admit(ip("10.0.0.2")).unwrap().is_none());
        let again = table.admit(ip("10.0.0.1")).unwrap();
        assert!(table.admit(ip("10.0.0.1")).is_err(), "its own limit holds");
        for counted in [known, again] {
            table.give_back(counted.unwrap());
        }
        assert!(table.admit(ip("10.0.0.2")).unwrap().is_some(), "there is room again");
    }

    #[test]
    fn another_limit_holds_for_those_that_are_counted_already() {
        let mut table = SourceTable::new(config(1));
        let held = table.admit(ip("10.0.0.1")).unwrap().unwrap();
        table.reconfigure(config(2));
        let more = table.admit(ip("10.0.0.1")).unwrap().unwrap();
        table.reconfigure(config(1));
        table.give_back(more);
        assert!(table.admit(ip("10.0.0.1")).is_err());
        table.reconfigure(PerSourceConfig::default());
        assert!(table.admit(ip("10.0.0.1")).unwrap().is_none(), "nothing is limited");
        table.give_back(held);
        assert!(table.networks.is_empty());
    }

    #[derive(Clone, Debug)]
    enum Op {
        Admit(IpAddr),
        End(usize),
        Reconfigure(PerSourceConfig),
    }

    fn source() -> impl Strategy<Value = IpAddr> {
        prop_oneof![
            (0..32_u32).prop_map(|low| Ipv4Addr::from(0x0a00_0000 | low << 4).into()),
            (0..32_u128).prop_map(|low| Ipv6Addr::from((0x2001 << 112) | low << 62).into()),
        ]
    }

    fn any_config() -> impl Strategy<Value = PerSourceConfig> {
        let limit = prop_oneof![Just(None), (1..4_u32).prop_map(Some)];
        (limit, 22..=32_u8, 56..=68_u8, 1..6_u32, any::<bool>()).prop_map(
            |(max_connections, ipv4_prefix, ipv6_prefix, max_networks, admit)| {
                let when_full = if admit { SourcesFull::Admit } else { SourcesFull::Refuse };
                PerSourceConfig {
                    max_connections,
                    ipv4_prefix,
                    ipv6_prefix,
                    max_networks,
                    when_full,
                }
            },
        )
    }

    fn op() -> impl Strategy<Value = Op> {
        prop_oneof![
            6 => source().prop_map(Op::Admit),
            4 => (0..16_usize).prop_map(Op::End),
            1 => any_config().prop_map(Op::Reconfigure),
        ]
    }

    proptest! {
        #[test]
        fn any_script_agrees_with_a_list_on_paper(
            first in any_config(),
            script in prop::collection::vec(op(), 0..120),
        ) {
            let mut table = SourceTable::new(first);
            let (mut config, mut standing) = (first, Vec::<Counted>::new());
            for op in script {
                match op {
                    Op::Admit(source) => {
                        let network =
                            SourcePrefix::around(source, config.ipv4_prefix, config.ipv6_prefix);
                        let of_it = standing.iter().filter(|one| one.network == network).count();
                        let known: std::collections::HashSet<_> =
                            standing.iter().map(|one| one.network).collect();
                        let is_stranger =
                            of_it == 0 && known.len() >= config.max_networks as usize;
                        match table.admit(source) {
                            Ok(Some(counted)) => {
                                prop_assert!(!is_stranger);
                                prop_assert!(of_it < config.max_connections.unwrap() as usize);
                                standing.push(counted);
                            }
                            Ok(None) => prop_assert!(
                                config.max_connections.is_none()
                                    || is_stranger && config.when_full == SourcesFull::Admit
                            ),
                            Err(TooMany::OfNetwork(found, limit)) => {
                                prop_assert_eq!(found, network);
                                prop_assert_eq!(Some(limit), config.max_connections.map(u64::from));
                                prop_assert!(of_it as u64 >= limit);
                            }
                            Err(TooMany::Networks(_)) => prop_assert!(
                                is_stranger && config.when_full == SourcesFull::Refuse
                            ),
                        }
                    }
                    Op::End(at) if at < standing.len() => {
                        table.give_back(standing.swap_remove(at));
                    }
                    Op::End(_) => {}
                    Op::Reconfigure(next) => {
                        config = next;
                        table.reconfigure(next);
                    }
                }
                let known: std::collections::HashSet<_> =
                    standing.iter().map(|one| one.network).collect();
                prop_assert_eq!(table.networks.len(), known.len());
            }
        }
    }
}
