//! What the names among the endpoints of a backend lead to.

use crate::{
    address::Address,
    config::{BackendConfig, ResolveConfig, is_tls},
    endpoint::{Answer, Lookup, ResolvedName},
    error::ConnectionError,
};
use std::{
    collections::{BTreeMap, BTreeSet},
    net::{IpAddr, SocketAddr},
    sync::Arc,
    time::{Duration, Instant},
};

/// Each host that endpoints name, looked up once for all of them.
#[derive(Debug)]
pub(super) struct Names {
    config: ResolveConfig,
    by_host: BTreeMap<Box<str>, Named>,
    next_round: u64,
}

#[derive(Debug)]
struct Named {
    name: ResolvedName,
    /// Whoever looks it up does so for this round.
    round: u64,
    ips: Arc<[IpAddr]>,
    /// Why the last look-up failed.
    why: Option<ConnectionError>,
}

/// A host that is to be looked up from now on.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct NameTask {
    pub(super) host: Box<str>,
    pub(super) port: u16,
    pub(super) round: u64,
}

/// What whoever looks a host up must do next.
#[derive(Debug)]
pub(super) enum NameAction {
    LookUp(Lookup),
    WakeAt(Instant),
}

/// The host and port of an endpoint that is given by name.
fn named(address: &Address) -> Option<(&str, u16)> {
    match address {
        Address::TcpName { host, port } | Address::TlsName { host, port } => Some((host, *port)),
        Address::Tcp(_)
        | Address::Tls(_)
        | Address::Udp(_)
        | Address::UdpName { .. }
        | Address::Unix(_)
        | Address::Abstract(_)
        | Address::Mem(_)
        | Address::Tunnel(_) => None,
    }
}

impl Names {
    pub(super) fn new(config: ResolveConfig) -> Self {
        Self { config, by_host: BTreeMap::new(), next_round: 0 }
    }

    /// Keeps what is known of the hosts that `config` still names, unless names are looked up otherwise from now on;
    /// says which are to be looked up anew.
    pub(super) fn reconfigure(&mut self, config: &BackendConfig) -> Vec<NameTask> {
        let mut before = std::mem::take(&mut self.by_host);
        let is_same = self.config == config.resolve;
        self.config = config.resolve;
        let mut fresh = Vec::new();
        for (host, port) in config.endpoints.iter().filter_map(|one| named(&one.address)) {
            if self.by_host.contains_key(host) {
                continue;
            }
            let kept = before.remove(host);
            let named = match kept {
                Some(kept) if is_same => kept,
                kept => {
                    let round = self.next_round;
                    self.next_round += 1;
                    fresh.push(NameTask { host: host.into(), port, round });
                    // The addresses of before stand in until the first answer.
                    let ips = kept.map_or_else(|| Arc::from([]), |kept| kept.ips);
                    Named { name: ResolvedName::new(self.config), round, ips, why: None }
                }
            };
            self.by_host.insert(host.into(), named);
        }
        fresh
    }

    /// Every host that is to be looked up, with the port of its first endpoint in `config`.
    pub(super) fn tasks(&self, config: &BackendConfig) -> Vec<NameTask> {
        let endpoints = config.endpoints.iter().filter_map(|one| named(&one.address));
        let task = |(host, port)| {
            let (host, named) = self.by_host.get_key_value(host)?;
            Some(NameTask { host: host.clone(), port, round: named.round })
        };
        let mut seen = BTreeSet::new();
        endpoints.filter(|(host, _)| seen.insert(*host)).filter_map(task).collect()
    }

    /// Nobody looks anything up any more.
    pub(super) fn retire(&mut self) {
        self.by_host.clear();
    }

    /// What is due in a round of look-ups of `host`, and whether its addresses are others now; `None` once it is over.
    pub(super) fn on_timeout(
        &mut self,
        host: &str,
        round: u64,
        now: Instant,
    ) -> Option<(NameAction, bool)> {
        let named = self.by_host.get_mut(host).filter(|named| named.round == round)?;
        let asked = named.name.ask(now);
        let changed = match asked.answer {
            Answer::Fresh(_) | Answer::Stale(_) | Answer::Pending => false,
            Answer::Failed { .. } => !std::mem::replace(&mut named.ips, Arc::from([])).is_empty(),
        };
        let action = match asked.lookup {
            Some(lookup) => NameAction::LookUp(lookup),
            None => NameAction::WakeAt(named.name.next_event(now).unwrap_or(now)),
        };
        Some((action, changed))
    }

    /// A look-up of `host` ended; says whether its addresses are others now. `unit` is a fresh draw from 0..1.
    pub(super) fn on_looked_up(
        &mut self,
        host: &str,
        lookup: Lookup,
        found: Result<Vec<IpAddr>, ConnectionError>,
        now: Instant,
        unit: f64,
    ) -> bool {
        let Some(named) = self.by_host.get_mut(host) else { return false };
        match found {
            Ok(ips) => {
                named.why = None;
                let ips: Arc<[IpAddr]> = ips.into();
                let changed = named.name.on_answer(lookup, Arc::clone(&ips), Duration::ZERO, now);
                let changed = changed || named.ips.is_empty();
                if changed {
                    named.ips = ips;
                }
                changed
            }
            Err(why) => {
                named.name.on_failure(lookup, now, unit);
                named.why = Some(why);
                false
            }
        }
    }

    /// Where an endpoint is: as it is given, or at each address of its name, with that name.
    pub(super) fn places(&self, given: &Address) -> Vec<(Address, Option<Box<str>>)> {
        let Some((host, port)) = named(given) else { return vec![(given.clone(), None)] };
        let ips = self.by_host.get(host).map(|named| Arc::clone(&named.ips)).unwrap_or_default();
        let place = |ip: &IpAddr| {
            let plain = Address::Tcp(SocketAddr::new(*ip, port));
            let address = if is_tls(given) { plain.with_tls() } else { plain };
            (address, Some(host.into()))
        };
        ips.iter().map(place).collect()
    }

    /// Whether a host has told nothing yet, neither addresses nor a failure.
    pub(super) fn is_pending(&self) -> bool {
        self.by_host.values().any(|named| named.ips.is_empty() && named.why.is_none())
    }

    /// Why a host has no addresses.
    pub(super) fn why(&self) -> Option<&ConnectionError> {
        self.by_host.values().filter(|named| named.ips.is_empty()).find_map(|n| n.why.as_ref())
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::{config::EndpointConfig, error::Step};
    use proptest::prelude::*;

    const SECOND: Duration = Duration::from_secs(1);

    #[expect(clippy::disallowed_methods, reason = "any instant will do")]
    fn start() -> Instant {
        Instant::now()
    }

    fn config(endpoints: &[&str]) -> BackendConfig {
        let endpoint = |text: &&str| EndpointConfig { address: text.parse().unwrap(), weight: 1 };
        BackendConfig { endpoints: endpoints.iter().map(endpoint).collect(), ..Default::default() }
    }

    fn ip(last: u8) -> IpAddr {
        [10, 0, 0, last].into()
    }

    fn lookup(names: &mut Names, host: &str, now: Instant) -> Lookup {
        match names.on_timeout(host, 0, now) {
            Some((NameAction::LookUp(lookup), _)) => lookup,
            other => panic!("{other:?}"),
        }
    }

    #[test]
    fn a_host_is_looked_up_once_for_all_of_its_endpoints_and_each_keeps_its_port() {
        let (now, mut names) = (start(), Names::new(ResolveConfig::default()));
        let fresh = names.reconfigure(&config(&["tcp://db:1", "tls://db:2", "tcp://10.9.9.9:3"]));
        assert_eq!(fresh, [NameTask { host: "db".into(), port: 1, round: 0 }]);
        assert!(names.is_pending() && names.places(&"tcp://db:1".parse().unwrap()).is_empty());
        let due = lookup(&mut names, "db", now);
        assert!(names.on_looked_up("db", due, Ok(vec![ip(1), ip(2)]), now, 0.5));
        let places = |text: &str| -> Vec<_> {
            let places = names.places(&text.parse().unwrap());
            places.into_iter().map(|(at, host)| (at.to_string(), host)).collect()
        };
        assert_eq!(
            places("tcp://db:1"),
            [
                ("tcp://10.0.0.1:1".into(), Some("db".into())),
                ("tcp://10.0.0.2:1".into(), Some("db".into()))
            ]
        );
        assert_eq!(places("tls://db:2")[0], ("tls://10.0.0.1:2".into(), Some("db".into())));
        assert_eq!(places("tcp://10.9.9.9:3"), [("tcp://10.9.9.9:3".into(), None)]);
        assert!(!names.is_pending());
    }

    #[test]
    fn the_last_good_answer_stands_in_while_look_ups_fail_and_not_for_ever() {
        let (origin, mut names) = (start(), Names::new(ResolveConfig::default()));
        names.reconfigure(&config(&["tcp://db:1"]));
        let due = lookup(&mut names, "db", origin);
        names.on_looked_up("db", due, Ok(vec![ip(1)]), origin, 0.5);
        let db = "tcp://db:1".parse().unwrap();
        let (mut now, mut lookups, mut lost) = (origin, 0, None);
        while lost.is_none() {
            match names.on_timeout("db", 0, now) {
                Some((NameAction::LookUp(due), _)) => {
                    lookups += 1;
                    let failed = Err(ConnectionError::closed(Step::Resolve));
                    assert!(!names.on_looked_up("db", due, failed, now, 0.5));
                }
                Some((NameAction::WakeAt(at), changed)) => {
                    assert!(at > now);
                    lost = changed.then_some(now);
                    now = at;
                }
                None => panic!("it is named"),
            }
            assert_eq!(names.places(&db).is_empty(), lost.is_some());
        }
        // The answer's 30 s, and an hour of standing in, in steps of at most half a minute and a fifth.
        let lasted = lost.unwrap() - origin;
        assert!(lasted >= 3630 * SECOND && lasted <= 3670 * SECOND, "{lasted:?}");
        assert!(lookups < 160, "{lookups}");
        assert!(names.why().is_some());
    }

    #[test]
    fn a_host_that_stays_keeps_its_addresses_and_its_round_and_one_that_left_is_over() {
        let (now, mut names) = (start(), Names::new(ResolveConfig::default()));
        names.reconfigure(&config(&["tcp://a:1", "tcp://b:1"]));
        let due = lookup(&mut names, "a", now);
        names.on_looked_up("a", due, Ok(vec![ip(1)]), now, 0.5);
        let fresh = names.reconfigure(&config(&["tcp://a:1", "tcp://c:1"]));
        assert_eq!(fresh, [NameTask { host: "c".into(), port: 1, round: 2 }]);
        assert_eq!(names.places(&"tcp://a:1".parse().unwrap()).len(), 1);
        assert!(names.on_timeout("a", 0, now).is_some());
        assert!(names.on_timeout("b", 1, now).is_none());

        let mut other = config(&["tcp://a:1"]);
        other.resolve.min_ttl = SECOND;
        assert_eq!(names.reconfigure(&other).len(), 1, "it is looked up otherwise");
        assert_eq!(names.places(&"tcp://a:1".parse().unwrap()).len(), 1, "and known meanwhile");
        assert!(names.on_timeout("a", 0, now).is_none());
    }

    proptest! {
        #[test]
        fn whatever_is_answered_at_most_one_looks_up_and_everybody_is_woken(
            steps in prop::collection::vec((0u8..4, 0u64..100_000, prop::collection::vec(0u8..4, 1..4)), 0..60),
        ) {
            let (mut now, mut names) = (start(), Names::new(ResolveConfig::default()));
            names.reconfigure(&config(&["tcp://db:1"]));
            let mut due: Option<Lookup> = None;
            for (step, pause, ips) in steps {
                now += Duration::from_millis(pause);
                match (step, due.take()) {
                    (0 | 1, Some(lookup)) => {
                        let ips = ips.into_iter().map(ip).collect();
                        names.on_looked_up("db", lookup, Ok(ips), now, 0.5);
                    }
                    (2, Some(lookup)) => {
                        let failed = Err(ConnectionError::closed(Step::Resolve));
                        names.on_looked_up("db", lookup, failed, now, 0.5);
                    }
                    (_, before) => match names.on_timeout("db", 0, now) {
                        Some((NameAction::LookUp(lookup), _)) => {
                            let lapsed = before.is_none_or(|before| before.give_up_at() <= now);
                            prop_assert!(lapsed, "two look up at one time");
                            due = Some(lookup);
                        }
                        Some((NameAction::WakeAt(at), _)) => {
                            prop_assert!(at > now);
                            due = before;
                        }
                        None => prop_assert!(false, "it is named"),
                    },
                }
            }
        }
    }
}
