//! Where a channel's addresses come from, and when they are looked up again.

use super::target::Kind;
use crate::{
    address::Address,
    config::ResolveConfig,
    endpoint::{Endpoint, Lookup, ResolvedName},
    error::ConnectionError,
};
use std::{
    net::{IpAddr, SocketAddr},
    time::{Duration, Instant},
};

/// What is known of a channel's addresses.
#[derive(Debug)]
pub(super) enum Resolution {
    /// They are in the target.
    Fixed(Vec<Address>),
    /// They are looked up when none is known or those that are do not work, at most every 30 s.
    Name {
        host: Box<str>,
        port: u16,
        name: Box<ResolvedName>,
        need: Need,
        why: Option<ConnectionError>,
    },
}

/// Whether somebody waits for a look-up.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Need {
    None,
    /// As soon as one is allowed.
    Soon,
    UnderWay,
}

/// A look-up that is to be made now.
#[derive(Debug)]
pub(super) struct Wanted {
    pub(super) lookup: Lookup,
    pub(super) host: Box<str>,
    pub(super) port: u16,
}

impl Resolution {
    pub(super) fn new(kind: &Kind) -> Self {
        match kind {
            Kind::Fixed(addresses) => Self::Fixed(addresses.clone()),
            Kind::Dns { host, port } => Self::Name {
                host: host.clone(),
                port: *port,
                name: Box::new(ResolvedName::new(ResolveConfig::default())),
                need: Need::None,
                why: None,
            },
        }
    }

    /// The addresses that are there without a look-up.
    pub(super) fn fixed(&self) -> Option<Vec<Endpoint>> {
        match self {
            Self::Fixed(addresses) => Some(addresses.iter().cloned().map(Endpoint::from).collect()),
            Self::Name { .. } => None,
        }
    }

    /// None is known, or those that are do not work.
    pub(super) fn need(&mut self) {
        match self {
            Self::Name { need: need @ Need::None, .. } => *need = Need::Soon,
            Self::Name { .. } | Self::Fixed(_) => {}
        }
    }

    /// Nobody needs addresses any more.
    pub(super) fn rest(&mut self) {
        match self {
            Self::Name { need: need @ Need::Soon, .. } => *need = Need::None,
            Self::Name { .. } | Self::Fixed(_) => {}
        }
    }

    /// The look-up to be made at `now`, if one is needed and allowed.
    pub(super) fn wanted(&mut self, now: Instant) -> Option<Wanted> {
        let Self::Name { host, port, name, need: need @ Need::Soon, .. } = self else {
            return None;
        };
        let lookup = name.ask(now).lookup?;
        *need = Need::UnderWay;
        Some(Wanted { lookup, host: host.clone(), port: *port })
    }

    /// When [`wanted`](Self::wanted) is to be asked again.
    pub(super) fn wake_at(&self, now: Instant) -> Option<Instant> {
        match self {
            Self::Name { name, need: Need::Soon, .. } => Some(name.next_event(now).unwrap_or(now)),
            Self::Name { .. } | Self::Fixed(_) => None,
        }
    }

    /// A look-up has ended. Returns the addresses it found.
    pub(super) fn on_looked_up(
        &mut self,
        lookup: Lookup,
        found: Result<Vec<IpAddr>, ConnectionError>,
        now: Instant,
        unit: f64,
    ) -> Option<Vec<Endpoint>> {
        let Self::Name { port, name, need, why, .. } = self else { return None };
        match found {
            Ok(ips) => {
                let endpoint = |ip: &IpAddr| Address::Tcp(SocketAddr::new(*ip, *port)).into();
                let endpoints = ips.iter().map(endpoint).collect();
                name.on_answer(lookup, ips, Duration::ZERO, now);
                (*need, *why) = (Need::None, None);
                Some(endpoints)
            }
            Err(error) => {
                name.on_failure(lookup, now, unit);
                (*need, *why) = (Need::Soon, Some(error));
                None
            }
        }
    }

    /// Why the last look-up failed.
    pub(super) fn why(&self) -> Option<&ConnectionError> {
        match self {
            Self::Name { why, .. } => why.as_ref(),
            Self::Fixed(_) => None,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::error::Step;

    const SECOND: Duration = Duration::from_secs(1);

    #[expect(clippy::disallowed_methods, reason = "any instant will do")]
    fn start() -> Instant {
        Instant::now()
    }

    fn name() -> Resolution {
        Resolution::new(&Kind::Dns { host: "db".into(), port: 7 })
    }

    fn failed() -> ConnectionError {
        ConnectionError::closed(Step::Resolve)
    }

    #[test]
    fn a_name_is_looked_up_when_it_is_needed_and_not_again_within_half_a_minute() {
        let (mut name, now) = (name(), start());
        assert!(name.wanted(now).is_none());
        name.need();
        let wanted = name.wanted(now).unwrap();
        assert!(name.wanted(now).is_none());
        let found =
            name.on_looked_up(wanted.lookup, Ok(vec!["10.0.0.1".parse().unwrap()]), now, 0.5);
        assert_eq!(found.unwrap()[0].address.to_string(), "tcp://10.0.0.1:7");

        name.need();
        let soon = now + SECOND;
        assert!(name.wanted(soon).is_none());
        assert_eq!(name.wake_at(soon), Some(now + 30 * SECOND));
        assert!(name.wanted(now + 30 * SECOND).is_some());
    }

    #[test]
    fn a_look_up_that_failed_is_tried_again_after_a_while_and_says_why() {
        let (mut name, now) = (name(), start());
        name.need();
        let wanted = name.wanted(now).unwrap();
        assert!(name.on_looked_up(wanted.lookup, Err(failed()), now, 0.5).is_none());
        assert!(name.why().is_some());
        let again = name.wake_at(now).unwrap();
        assert!(again > now && again < now + 3 * SECOND);
        assert!(name.wanted(again).is_some());
    }

    #[test]
    fn nobody_looks_up_what_nobody_needs() {
        let mut name = name();
        name.need();
        name.rest();
        assert_eq!((name.wake_at(start()), name.wanted(start()).is_none()), (None, true));
    }
}
