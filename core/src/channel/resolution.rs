//! Where a channel's addresses come from, and when they are looked up again.

use super::{listed::ListFile, target::Kind};
use crate::config::TimeLimit;
use crate::{
    address::Address,
    config::ResolveConfig,
    endpoint::{Endpoint, Lookup, ResolvedName},
    error::ConnectionError,
};
use std::{
    net::{IpAddr, SocketAddr},
    path::Path,
    sync::Arc,
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
        /// When it is looked up although what is known works.
        refresh: Refresh,
        why: Option<ConnectionError>,
    },
    /// They are in a file.
    File(ListFile),
}

/// Whether a name is looked up on a timer, and since when what is known is known.
#[derive(Clone, Copy, Debug)]
pub(super) struct Refresh {
    interval: TimeLimit,
    since: Option<Instant>,
}

impl Refresh {
    fn due(self) -> Option<Instant> {
        self.since.and_then(|since| self.interval.from(since))
    }
}

/// Whether somebody waits for a look-up.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Need {
    None,
    /// As soon as one is allowed.
    Soon,
    UnderWay,
}

/// What is to be found out now.
#[derive(Debug)]
pub(super) enum Wanted {
    /// What this name stands for.
    Name { lookup: Lookup, host: Box<str>, port: u16 },
    /// What is in this file.
    File(Arc<Path>),
}

impl Resolution {
    /// `interval` is the time after which a name is looked up although what is known works.
    pub(super) fn new(kind: &Kind, interval: TimeLimit) -> Self {
        match kind {
            Kind::Fixed(addresses) => Self::Fixed(addresses.clone()),
            Kind::Dns { host, port } => Self::Name {
                host: host.clone(),
                port: *port,
                name: Box::new(ResolvedName::new(ResolveConfig::default())),
                need: Need::None,
                refresh: Refresh { interval, since: None },
                why: None,
            },
            Kind::File(path) => Self::File(ListFile::new(Arc::clone(path))),
        }
    }

    /// The addresses that are there without a look-up.
    pub(super) fn fixed(&self) -> Option<Vec<Endpoint>> {
        match self {
            Self::Fixed(addresses) => Some(addresses.iter().cloned().map(Endpoint::from).collect()),
            Self::Name { .. } | Self::File(_) => None,
        }
    }

    /// None is known, or those that are do not work.
    pub(super) fn need(&mut self) {
        match self {
            Self::Name { need: need @ Need::None, .. } => *need = Need::Soon,
            Self::File(file) => file.need(),
            Self::Name { .. } | Self::Fixed(_) => {}
        }
    }

    /// Nobody needs addresses any more.
    pub(super) fn rest(&mut self) {
        match self {
            Self::Name { need, refresh, .. } => {
                refresh.since = None;
                if *need == Need::Soon {
                    *need = Need::None;
                }
            }
            Self::File(file) => file.rest(),
            Self::Fixed(_) => {}
        }
    }

    /// The look-up to be made at `now`, if one is needed and allowed.
    pub(super) fn wanted(&mut self, now: Instant) -> Option<Wanted> {
        match self {
            Self::Fixed(_) => None,
            Self::File(file) => file.is_wanted(now).then(|| Wanted::File(Arc::clone(&file.path))),
            Self::Name { host, port, name, need, refresh, .. } => {
                if *need == Need::None && refresh.due().is_some_and(|due| due <= now) {
                    *need = Need::Soon;
                }
                if *need != Need::Soon {
                    return None;
                }
                let lookup = name.ask(now).lookup?;
                *need = Need::UnderWay;
                Some(Wanted::Name { lookup, host: host.clone(), port: *port })
            }
        }
    }

    /// When [`wanted`](Self::wanted) is to be asked again.
    pub(super) fn wake_at(&self, now: Instant) -> Option<Instant> {
        match self {
            Self::Name { name, need: Need::Soon, .. } => Some(name.next_event(now).unwrap_or(now)),
            Self::Name { need: Need::None, refresh, .. } => refresh.due(),
            Self::File(file) => file.wake_at(now),
            Self::Name { .. } | Self::Fixed(_) => None,
        }
    }

    /// The file was read. Returns the addresses in it if they are others than before.
    pub(super) fn on_read(
        &mut self,
        found: Result<Vec<Address>, ConnectionError>,
        now: Instant,
    ) -> Option<Vec<Endpoint>> {
        let Self::File(file) = self else { return None };
        let addresses = file.on_read(found, now)?;
        Some(addresses.into_iter().map(Endpoint::from).collect())
    }

    /// A look-up has ended. Returns the addresses it found.
    pub(super) fn on_looked_up(
        &mut self,
        lookup: Lookup,
        found: Result<Vec<IpAddr>, ConnectionError>,
        now: Instant,
        unit: f64,
    ) -> Option<Vec<Endpoint>> {
        let Self::Name { port, name, need, refresh, why, .. } = self else { return None };
        match found {
            Ok(ips) => {
                let endpoint = |ip: &IpAddr| Address::Tcp(SocketAddr::new(*ip, *port)).into();
                let endpoints = ips.iter().map(endpoint).collect();
                name.on_answer(lookup, ips, Duration::ZERO, now);
                (*need, *why) = (Need::None, None);
                refresh.since = Some(now);
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
            Self::File(file) => file.why(),
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
        looked_up_every(TimeLimit::Never)
    }

    fn looked_up_every(interval: TimeLimit) -> Resolution {
        Resolution::new(&Kind::Dns { host: "db".into(), port: 7 }, interval)
    }

    fn lookup(wanted: Wanted) -> Lookup {
        match wanted {
            Wanted::Name { lookup, .. } => lookup,
            Wanted::File(path) => panic!("{path:?}"),
        }
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
            name.on_looked_up(lookup(wanted), Ok(vec!["10.0.0.1".parse().unwrap()]), now, 0.5);
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
        assert!(name.on_looked_up(lookup(wanted), Err(failed()), now, 0.5).is_none());
        assert!(name.why().is_some());
        let again = name.wake_at(now).unwrap();
        assert!(again > now && again < now + 3 * SECOND);
        assert!(name.wanted(again).is_some());
    }

    #[test]
    fn on_a_timer_a_name_is_looked_up_while_it_is_used_and_not_while_the_channel_rests() {
        let (mut name, now) = (looked_up_every(TimeLimit::After(60 * SECOND)), start());
        assert_eq!((name.wake_at(now), name.wanted(now).is_none()), (None, true));
        name.need();
        let wanted = name.wanted(now).unwrap();
        assert!(
            name.on_looked_up(lookup(wanted), Ok(vec!["10.0.0.1".parse().unwrap()]), now, 0.5)
                .is_some()
        );
        let due = now + 60 * SECOND;
        assert_eq!((name.wake_at(now), name.wanted(now).is_none()), (Some(due), true));
        let wanted = name.wanted(due).unwrap();
        assert!(
            name.on_looked_up(lookup(wanted), Ok(vec!["10.0.0.2".parse().unwrap()]), due, 0.5)
                .is_some()
        );
        name.rest();
        let much_later = due + 600 * SECOND;
        assert_eq!((name.wake_at(much_later), name.wanted(much_later).is_none()), (None, true));
    }

    #[test]
    fn nobody_looks_up_what_nobody_needs() {
        let mut name = name();
        name.need();
        name.rest();
        assert_eq!((name.wake_at(start()), name.wanted(start()).is_none()), (None, true));
    }
}
