//! Where a channel's addresses come from, and when they are looked up again.

use super::{listed::ListFile, target::Kind};
use crate::{
    address::Address,
    config::{ConnectionConfig, ResolveConfig, ResolverConfig, TimeLimit},
    endpoint::{Endpoint, Lookup, ResolvedName},
    error::ConnectionError,
};
use std::{
    path::Path,
    sync::Arc,
    time::{Duration, Instant},
};

/// What is known of a channel's addresses.
#[derive(Debug)]
pub(super) enum Resolution {
    /// They are in the target.
    Fixed(Vec<Address>),
    /// They are found out when none is known or those that are do not work, not again within a while.
    Asked(Box<Asked>),
    /// They are in a file.
    File(ListFile),
}

/// Somebody who is asked for addresses.
#[derive(Debug)]
pub(super) struct Asked {
    whom: Whom,
    /// When to ask.
    name: ResolvedName,
    need: Need,
    /// When it is asked although what is known works.
    refresh: Refresh,
    /// What the last answer said, for who comes back after a rest.
    known: Vec<Address>,
    why: Option<ConnectionError>,
}

/// Who knows the addresses.
#[derive(Debug)]
enum Whom {
    /// Those who know this host.
    Dns { host: Box<str>, port: u16 },
    /// The program, which was asked so often.
    Program { asked: u64 },
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
    /// What the program says, asked for the time that `number` says.
    Program { lookup: Lookup, number: u64 },
    /// What is in this file.
    File(Arc<Path>),
}

impl Asked {
    fn new(whom: Whom, name: ResolveConfig, interval: TimeLimit) -> Self {
        Self {
            whom,
            name: ResolvedName::new(name),
            need: Need::None,
            refresh: Refresh { interval, since: None },
            known: Vec::new(),
            why: None,
        }
    }

    fn wanted(&mut self, now: Instant) -> Option<Wanted> {
        if self.need == Need::None && self.refresh.due().is_some_and(|due| due <= now) {
            self.need = Need::Soon;
        }
        if self.need != Need::Soon {
            return None;
        }
        let lookup = self.name.ask(now).lookup?;
        self.need = Need::UnderWay;
        Some(match &mut self.whom {
            Whom::Dns { host, port } => Wanted::Name { lookup, host: host.clone(), port: *port },
            Whom::Program { asked } => {
                *asked += 1;
                Wanted::Program { lookup, number: *asked }
            }
        })
    }

    fn on_good(&mut self, found: &[Address], now: Instant) {
        self.known = found.to_vec();
        self.why = None;
        self.refresh.since = Some(now);
    }
}

/// How a program is asked, in the terms of a name.
fn schedule(config: &ResolverConfig) -> ResolveConfig {
    let (min_ttl, timeout) = (config.min_interval, config.timeout);
    ResolveConfig { min_ttl, max_ttl: min_ttl, timeout, ..ResolveConfig::default() }
}

impl Resolution {
    pub(super) fn new(kind: &Kind, config: &ConnectionConfig) -> Self {
        let asked =
            |whom, name| Self::Asked(Box::new(Asked::new(whom, name, config.lookup_interval)));
        match kind {
            Kind::Fixed(addresses) => Self::Fixed(addresses.clone()),
            Kind::Dns { host, port } => {
                asked(Whom::Dns { host: host.clone(), port: *port }, ResolveConfig::default())
            }
            Kind::Program { .. } => asked(Whom::Program { asked: 0 }, schedule(&config.resolver)),
            Kind::File(path) => Self::File(ListFile::new(Arc::clone(path))),
        }
    }

    /// The addresses that are there without a look-up: always, or because the last was a moment ago.
    pub(super) fn at_hand(&mut self, now: Instant) -> Option<Vec<Endpoint>> {
        match self {
            Self::Fixed(addresses) => Some(endpoints(addresses)),
            Self::Asked(asked) if asked.name.is_fresh(now) => {
                asked.refresh.since = Some(now);
                Some(endpoints(&asked.known))
            }
            Self::Asked(_) | Self::File(_) => None,
        }
    }

    /// None is known, or those that are do not work.
    pub(super) fn need(&mut self) {
        match self {
            Self::Asked(asked) if asked.need == Need::None => asked.need = Need::Soon,
            Self::File(file) => file.need(),
            Self::Asked(_) | Self::Fixed(_) => {}
        }
    }

    /// Nobody needs addresses any more.
    pub(super) fn rest(&mut self) {
        match self {
            Self::Asked(asked) => {
                asked.refresh.since = None;
                if asked.need == Need::Soon {
                    asked.need = Need::None;
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
            Self::Asked(asked) => asked.wanted(now),
        }
    }

    /// When [`wanted`](Self::wanted) is to be asked again.
    pub(super) fn wake_at(&self, now: Instant) -> Option<Instant> {
        match self {
            Self::Asked(asked) => match asked.need {
                Need::None => asked.refresh.due(),
                Need::Soon => Some(asked.name.next_event(now).unwrap_or(now)),
                Need::UnderWay => None,
            },
            Self::File(file) => file.wake_at(now),
            Self::Fixed(_) => None,
        }
    }

    /// The file was read. Returns the addresses in it if they are others than before.
    pub(super) fn on_read(
        &mut self,
        found: Result<Vec<Address>, ConnectionError>,
        now: Instant,
    ) -> Option<Vec<Endpoint>> {
        let Self::File(file) = self else { return None };
        file.on_read(found, now).map(|addresses| endpoints(&addresses))
    }

    /// A look-up has ended. Returns the addresses it found.
    pub(super) fn on_looked_up(
        &mut self,
        lookup: Lookup,
        found: Result<Vec<Address>, ConnectionError>,
        now: Instant,
        unit: f64,
    ) -> Option<Vec<Endpoint>> {
        let Self::Asked(asked) = self else { return None };
        match found {
            Ok(addresses) => {
                // It knows the time alone: not every address has an IP.
                asked.name.on_answer(lookup, [], Duration::ZERO, now);
                asked.need = Need::None;
                asked.on_good(&addresses, now);
                Some(endpoints(&addresses))
            }
            Err(error) => {
                asked.name.on_failure(lookup, now, unit);
                (asked.need, asked.why) = (Need::Soon, Some(error));
                None
            }
        }
    }

    /// The program says these unasked. An answer that is owed still counts when it comes.
    pub(super) fn on_pushed(&mut self, addresses: &[Address], now: Instant) -> Vec<Endpoint> {
        if let Self::Asked(asked) = self {
            if asked.need == Need::Soon {
                asked.need = Need::None;
            }
            asked.on_good(addresses, now);
        }
        endpoints(addresses)
    }

    /// Why the last look-up failed.
    pub(super) fn why(&self) -> Option<&ConnectionError> {
        match self {
            Self::Asked(asked) => asked.why.as_ref(),
            Self::File(file) => file.why(),
            Self::Fixed(_) => None,
        }
    }
}

fn endpoints(addresses: &[Address]) -> Vec<Endpoint> {
    addresses.iter().cloned().map(Endpoint::from).collect()
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
        let config = ConnectionConfig { lookup_interval: interval, ..ConnectionConfig::default() };
        Resolution::new(&Kind::Dns { host: "db".into(), port: 7 }, &config)
    }

    fn good() -> Result<Vec<Address>, ConnectionError> {
        Ok(vec!["tcp://10.0.0.1:7".parse().unwrap()])
    }

    fn lookup(wanted: Wanted) -> Lookup {
        match wanted {
            Wanted::Name { lookup, .. } | Wanted::Program { lookup, .. } => lookup,
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
        let found = name.on_looked_up(lookup(wanted), good(), now, 0.5);
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
        assert!(name.on_looked_up(lookup(wanted), good(), now, 0.5).is_some());
        let due = now + 60 * SECOND;
        assert_eq!((name.wake_at(now), name.wanted(now).is_none()), (Some(due), true));
        let wanted = name.wanted(due).unwrap();
        assert!(name.on_looked_up(lookup(wanted), good(), due, 0.5).is_some());
        name.rest();
        let much_later = due + 600 * SECOND;
        assert_eq!((name.wake_at(much_later), name.wanted(much_later).is_none()), (None, true));
    }

    #[test]
    fn who_comes_back_soon_has_the_last_answer_at_hand() {
        let (mut name, now) = (name(), start());
        assert!(name.at_hand(now).is_none());
        name.need();
        let wanted = name.wanted(now).unwrap();
        name.rest();
        assert!(name.on_looked_up(lookup(wanted), good(), now, 0.5).is_some());
        let known = name.at_hand(now + SECOND).unwrap();
        assert_eq!(known[0].address.to_string(), "tcp://10.0.0.1:7");
        assert!(name.at_hand(now + 30 * SECOND).is_none());
    }

    #[test]
    fn what_a_program_says_unasked_counts_and_so_does_the_answer_that_it_owes() {
        let kind = Kind::Program { host: "web".into() };
        let mut program = Resolution::new(&kind, &ConnectionConfig::default());
        let now = start();
        program.need();
        let Some(Wanted::Program { lookup, number: 1 }) = program.wanted(now) else { panic!() };
        assert_eq!(program.on_pushed(&["mem:a".parse().unwrap()], now).len(), 1);
        assert!(program.on_looked_up(lookup, Err(failed()), now, 0.5).is_none());
        assert!(program.why().is_some());
        assert_eq!(program.on_pushed(&["mem:b".parse().unwrap()], now).len(), 1);
        assert!(program.why().is_none() && program.wake_at(now).is_none());
        program.need();
        let later = now + 60 * SECOND;
        assert!(matches!(program.wanted(later), Some(Wanted::Program { number: 2, .. })));
    }

    #[test]
    fn nobody_looks_up_what_nobody_needs() {
        let mut name = name();
        name.need();
        name.rest();
        assert_eq!((name.wake_at(start()), name.wanted(start()).is_none()), (None, true));
    }
}
