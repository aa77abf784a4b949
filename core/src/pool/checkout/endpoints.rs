//! Where a pool's connections go: which endpoint may be tried next, and what its last failure was.

use crate::{
    address::Address,
    backoff::{Backoff, BackoffConfig},
    config::{BreakerConfig, CheckoutPoolConfig},
    endpoint::{Breaker, BreakerState, Outcome, Pass},
    error::ConnectionError,
    pool::moment::Moment,
};
use std::{sync::Arc, time::Duration};

/// The endpoints of one pool. A pool whose connections are made by the host has one without an address.
///
/// An endpoint keeps its number for as long as it has a connection, also once it is no member any more.
#[derive(Debug)]
pub(crate) struct Endpoints {
    all: Vec<Endpoint>,
    max_connecting: u32,
    backoff: BackoffConfig,
    breaker: BreakerConfig,
}

#[derive(Debug)]
struct Endpoint {
    address: Option<Address>,
    membership: Membership,
    backoff: Backoff,
    breaker: Breaker,
    connecting: u32,
    live: u32,
    /// Behind a pointer, because it is copied and dropped while a lock is held.
    last_failure: Option<(Moment, Arc<ConnectionError>)>,
}

/// Whether connections go to an endpoint.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Membership {
    Member,
    /// It was taken out: what there is of it ends.
    Removed,
}

/// An attempt to connect that may begin now.
#[derive(Debug)]
pub(crate) struct Attempt {
    pub(crate) endpoint: u32,
    pub(crate) pass: Pass,
}

/// The last failed attempt, and when the next may begin.
#[derive(Clone, Debug)]
pub(crate) struct Failed {
    pub(crate) at: Moment,
    pub(crate) error: Arc<ConnectionError>,
    pub(crate) next_attempt: Option<Moment>,
}

impl Endpoints {
    pub(crate) fn new(
        addresses: Vec<Option<Address>>,
        config: &CheckoutPoolConfig,
        now: Moment,
    ) -> Self {
        let (backoff, breaker) = (config.backoff, config.breaker);
        let mut endpoints =
            Self { all: Vec::new(), max_connecting: config.max_connecting, backoff, breaker };
        for address in addresses {
            endpoints.add(address, now);
        }
        endpoints
    }

    /// Adds an endpoint, unless it is a member already.
    fn add(&mut self, address: Option<Address>, now: Moment) {
        if self.members().any(|(_, member)| member.address == address) {
            return;
        }
        let endpoint = Endpoint {
            address,
            membership: Membership::Member,
            // The pool bounds each attempt by a timeout of its own.
            backoff: Backoff::new(self.backoff, Duration::ZERO),
            breaker: Breaker::new(self.breaker, now.into()),
            connecting: 0,
            live: 0,
            last_failure: None,
        };
        match self.all.iter_mut().find(|other| other.is_forgotten()) {
            Some(place) => *place = endpoint,
            None => self.all.push(endpoint),
        }
    }

    /// Has these endpoints and no others from now on. What is known of those that stay is kept.
    ///
    /// Returns the failures of those that go, to be dropped after the lock is released.
    pub(crate) fn replace(
        &mut self,
        addresses: Vec<Address>,
        now: Moment,
    ) -> Vec<Arc<ConnectionError>> {
        for endpoint in &mut self.all {
            let stays = endpoint.address.as_ref().is_some_and(|known| addresses.contains(known));
            if !stays {
                endpoint.membership = Membership::Removed;
            }
        }
        let removed = self.all.iter_mut().filter(|endpoint| !endpoint.is_member());
        let failures =
            removed.filter_map(|endpoint| endpoint.last_failure.take()).map(|(_, error)| error);
        let failures = failures.collect();
        for address in addresses {
            self.add(Some(address), now);
        }
        failures
    }

    /// Whether connections go to this endpoint.
    pub(crate) fn is_member(&self, endpoint: u32) -> bool {
        self.all[endpoint as usize].is_member()
    }

    fn members(&self) -> impl Iterator<Item = (u32, &Endpoint)> {
        (0..).zip(&self.all).filter(|(_, endpoint)| endpoint.is_member())
    }

    /// Whether its connections are made to addresses, and not by a connector that knows its own.
    pub(crate) fn have_addresses(&self) -> bool {
        self.all.iter().all(|endpoint| endpoint.address.is_some())
    }

    pub(crate) fn address(&self, endpoint: u32) -> Option<&Address> {
        self.all[endpoint as usize].address.as_ref()
    }

    /// Begins an attempt to the endpoint with the fewest connections of those that may be tried at `now`.
    pub(crate) fn begin(&mut self, now: Moment, unit: f64) -> Option<Attempt> {
        let max_connecting = self.max_connecting;
        let (index, endpoint) = self
            .all
            .iter_mut()
            .enumerate()
            .filter(|(_, endpoint)| endpoint.is_member())
            .filter(|(_, endpoint)| endpoint.may_connect(now, max_connecting))
            .min_by_key(|(_, endpoint)| endpoint.live + endpoint.connecting)?;
        let pass = endpoint.breaker.on_admit(now.into()).ok()?;
        endpoint.backoff.on_attempt(now.into(), unit);
        endpoint.connecting += 1;
        Some(Attempt { endpoint: index as u32, pass })
    }

    /// Whether an attempt may begin now, for tests.
    #[cfg(all(test, not(trunkline_loom)))]
    pub(crate) fn may_begin(&self, now: Moment) -> bool {
        self.members().any(|(_, endpoint)| endpoint.may_connect(now, self.max_connecting))
    }

    /// The attempt became a connection.
    pub(crate) fn on_connected(&mut self, attempt: Attempt, now: Moment, unit: f64) {
        let endpoint = &mut self.all[attempt.endpoint as usize];
        endpoint.connecting -= 1;
        endpoint.live += 1;
        endpoint.backoff.on_connected();
        endpoint.breaker.on_outcome(attempt.pass, Outcome::Success, now.into(), unit);
    }

    /// The attempt failed. Returns the failure that counts no longer, to be dropped.
    pub(crate) fn on_failed(
        &mut self,
        attempt: Attempt,
        error: Arc<ConnectionError>,
        now: Moment,
        unit: f64,
    ) -> Option<Arc<ConnectionError>> {
        let endpoint = &mut self.all[attempt.endpoint as usize];
        endpoint.connecting -= 1;
        endpoint.backoff.on_failure(now.into());
        endpoint.breaker.on_outcome(attempt.pass, Outcome::Failure, now.into(), unit);
        if !endpoint.is_member() {
            return Some(error);
        }
        endpoint.last_failure.replace((now, error)).map(|(_, error)| error)
    }

    pub(crate) fn on_closed(&mut self, endpoint: u32) {
        self.all[endpoint as usize].live -= 1;
    }

    /// Forgets the failures, as when the peers are known to be back.
    pub(crate) fn reset(&mut self, now: Moment) {
        for endpoint in &mut self.all {
            endpoint.backoff.reset();
            endpoint.breaker.reset(now.into());
        }
    }

    /// For how long no endpoint is tried because all of them keep failing; `None` if any may be.
    pub(crate) fn circuit_open_for(&self, now: Moment) -> Option<Duration> {
        let open_until = |endpoint: &Endpoint| match endpoint.breaker.state() {
            BreakerState::Open { until } => Some(Moment::from(until)),
            BreakerState::Closed | BreakerState::HalfOpen { .. } => None,
        };
        let mut first = None::<Moment>;
        for (_, endpoint) in self.members() {
            let until = open_until(endpoint)?;
            first = Some(first.map_or(until, |first| first.min(until)));
        }
        Some(first?.since(now)).filter(|left| !left.is_zero())
    }

    /// When an endpoint that only its failures hold up may be tried; `None` if there is none such.
    pub(crate) fn next_attempt(&self, now: Moment) -> Option<Moment> {
        let max_connecting = self.max_connecting;
        let held_up = |endpoint: &&Endpoint| endpoint.connecting < max_connecting;
        let members = self.members().map(|(_, endpoint)| endpoint);
        members.filter(held_up).filter_map(|endpoint| endpoint.waits_until(now)).min()
    }

    /// The latest failure of any endpoint that was not followed by a connection.
    pub(crate) fn last_failure(&self, now: Moment) -> Option<Failed> {
        let members = self.members().map(|(_, endpoint)| endpoint);
        let failing = members.filter(|endpoint| endpoint.backoff.failures() > 0);
        let latest = failing
            .filter_map(|endpoint| Some((endpoint, endpoint.last_failure.as_ref()?)))
            .max_by_key(|(_, (at, _))| *at)?;
        let (endpoint, (at, error)) = latest;
        Some(Failed { at: *at, error: Arc::clone(error), next_attempt: endpoint.waits_until(now) })
    }
}

impl Endpoint {
    fn is_member(&self) -> bool {
        self.membership == Membership::Member
    }

    /// Whether nothing is left of it, so that another may have its number.
    fn is_forgotten(&self) -> bool {
        !self.is_member() && self.connecting == 0 && self.live == 0
    }

    fn may_connect(&self, now: Moment, max_connecting: u32) -> bool {
        self.connecting < max_connecting && self.waits_until(now).is_none_or(|until| until <= now)
    }

    /// Until when failures hold the next attempt up. Attempts beside one that is under way are not held up.
    fn waits_until(&self, now: Moment) -> Option<Moment> {
        let backoff = (self.backoff.failures() > 0).then(|| self.backoff.next_attempt()).flatten();
        backoff.max(self.breaker.next_admission(now.into())).map(Moment::from)
    }
}
