//! The handle of a checkout pool: what its users call.

use super::{
    acquire::{Acquire, Patience},
    connector::Connector,
    endpoints::Endpoints,
    holder::Holder,
    lease::{Lease, LeaseId},
    shared::{Pace, Shared, Times, clock},
    state::{Custody, Loan, Refusal, State},
    stats::CheckoutPoolStats,
    tasks,
    terms::Terms,
    tuning::{PoolAdvice, tune},
};
use crate::{
    address::Address,
    config::{CheckoutPoolConfig, Config},
    error::{ConnectionError, Place, Step},
    metrics::Metrics,
    pool::{moment::Moment, reason::PoolCloseReason},
};
use std::{
    fmt,
    panic::Location,
    sync::Arc,
    time::{Duration, Instant},
};
use tokio::runtime::Handle;

/// Lends connections, each to one caller at a time.
///
/// ```text
///             acquire                      drop of the lease
///   caller ────────────▶ idle, if any ◀───────────────────────── Lease
///                │                              │
///                └─▶ line, first come ◀─────────┘ the oldest in line comes before the idle ones
///                         ▲
///                         └── connections that are made, at most `max_connecting` at a time
/// ```
///
/// - Never more than `max_size` connections, in any state, under any interleaving.
/// - Those who wait are served in the order in which they came, and nobody overtakes them.
/// - One deadline covers waiting, connecting and checking.
/// - A connection is made for whoever is first in line when it stands; it outlives the caller who
///   was the reason for it.
/// - Each connection is closed exactly once, with one reason.
///
/// Every call is one or two short locks. Clones are handles to the same pool; with the last of them the
/// pool closes, and the connections that are still lent are closed when they come back. In a forked child
/// the pool answers `Closed` and leaves the parent's connections alone.
pub struct CheckoutPool<C: Connector> {
    /// Closes the pool when the last handle is gone; leases and tasks hold the inner one.
    handle: Arc<Owner<C>>,
}

struct Owner<C: Connector>(Arc<Shared<C>>);

/// One connection that is lent.
#[derive(Clone, Debug)]
pub struct HeldLease {
    /// Its number.
    pub id: LeaseId,
    /// For how long it is held.
    pub held: Duration,
    /// Who holds it.
    pub holder: Holder,
}

impl<C: Connector> CheckoutPool<C> {
    /// Opens a pool whose connector knows where to connect to. Its tasks run on `runtime`, which must have
    /// tokio's timers and, if the connector needs it, I/O enabled.
    ///
    /// Opens `min_idle` connections in the background; [`wait_ready`](Self::wait_ready) waits for them.
    ///
    /// # Errors
    ///
    /// [`InvalidConfig`](ConnectionError::InvalidConfig) with the field that is out of its range.
    pub fn new(
        config: CheckoutPoolConfig,
        connector: C,
        runtime: Handle,
    ) -> Result<Self, ConnectionError> {
        Self::with_endpoints(config, connector, Vec::new(), runtime)
    }

    /// Opens a pool over several endpoints: each connection goes to the one with the fewest, of those that
    /// are not backed off from. One that is named twice counts once.
    ///
    /// # Errors
    ///
    /// As [`new`](Self::new).
    pub fn with_endpoints(
        config: CheckoutPoolConfig,
        connector: C,
        endpoints: Vec<Address>,
        runtime: Handle,
    ) -> Result<Self, ConnectionError> {
        config.validate()?;
        let addresses = match endpoints.is_empty() {
            true => vec![None],
            false => endpoints.into_iter().map(Some).collect(),
        };
        let abilities = connector.abilities();
        let terms = Terms::new(&config, abilities);
        let endpoints = Endpoints::new(addresses, &config, clock());
        let state = State::new(terms, endpoints, clock(), fastrand::f64);
        let times = Times::new(&config);
        let shared = Arc::new(Shared::new(
            connector,
            abilities,
            state,
            times,
            runtime,
            config.acquire_timeout,
        ));
        shared.update(|state, actions| state.on_start(clock(), actions));
        tasks::keep(&shared);
        tune(&shared, config.tuner);
        Ok(Self { handle: Arc::new(Owner(shared)) })
    }

    /// Shows the pool's counts in `metrics`, from the first call on, under the names of OpenTelemetry's
    /// `db.client.connection.*`, labelled `db_client_connection_pool_name`.
    ///
    /// In every snapshot created − Σ closed = idle + used + validating + closing. Pools of one name are
    /// counted together.
    #[must_use]
    pub fn with_metrics(self, metrics: &Metrics) -> Self {
        self.shared().meter_in(metrics);
        self
    }

    /// Takes a connection, waiting for one until the configured `acquire_timeout`, which begins with the first poll.
    ///
    /// # Errors
    ///
    /// [`Timeout`](ConnectionError::Timeout), whose cause is an [`Exhaustion`](super::Exhaustion) with the
    /// numbers; [`LimitExceeded`](ConnectionError::LimitExceeded) when `max_waiters` wait already;
    /// [`CircuitOpen`](ConnectionError::CircuitOpen) when no connection is left and every endpoint keeps failing;
    /// [`Closed`](ConnectionError::Closed).
    ///
    /// # Cancel safety
    ///
    /// See [`Acquire`].
    #[track_caller]
    pub fn acquire(&self) -> Acquire<'_, C> {
        Acquire::new(self.shared(), Patience::Configured, Holder::Code(Location::caller()))
    }

    /// When an acquire that begins now has to give up, by the configured `acquire_timeout`; `None` for never.
    pub fn default_deadline(&self) -> Option<Instant> {
        self.shared().acquire_timeout.from(clock().into())
    }

    /// Takes a connection, waiting for one until `deadline`; `None` waits without limit, and a deadline that
    /// has passed takes only what is there.
    ///
    /// # Errors
    ///
    /// As [`acquire`](Self::acquire).
    #[track_caller]
    pub fn acquire_by(&self, deadline: Option<Instant>) -> Acquire<'_, C> {
        self.acquire_as(deadline, Holder::Code(Location::caller()))
    }

    /// As [`acquire_by`](Self::acquire_by), for a holder that says itself who it is.
    pub fn acquire_as(&self, deadline: Option<Instant>, holder: Holder) -> Acquire<'_, C> {
        Acquire::new(self.shared(), Patience::Until(deadline), holder)
    }

    /// Takes a connection if one is idle that needs no check, without waiting and without being counted
    /// if there is none.
    #[track_caller]
    pub fn try_acquire(&self) -> Option<Lease<C>> {
        self.try_acquire_as(&Holder::Code(Location::caller()))
    }

    /// As [`try_acquire`](Self::try_acquire), for a holder that says itself who it is.
    pub fn try_acquire_as(&self, holder: &Holder) -> Option<Lease<C>> {
        let shared = self.shared();
        loop {
            let loan = shared.try_enter(holder, Custody::Holder)?;
            if let Some(lease) = shared.lease_unless_broken(loan) {
                return Some(lease);
            }
        }
    }

    /// The counts, all of one moment.
    pub fn stats(&self) -> CheckoutPoolStats {
        self.shared().stats()
    }

    /// The counts; the peak of connections lent starts anew.
    pub fn take_stats(&self) -> CheckoutPoolStats {
        self.shared().write(|state| {
            let stats = state.stats();
            state.take_peak();
            stats
        })
    }

    /// Every lease that is out, longest held first. Costs a look at every place of the pool.
    pub fn leases(&self) -> Vec<HeldLease> {
        let (shared, now) = (self.shared(), clock());
        let mut held = shared.read(|state| {
            let lease = |(id, since, holder): (_, Moment, &Holder)| HeldLease {
                id: LeaseId::new(shared.salt, id),
                held: now.since(since),
                holder: holder.clone(),
            };
            state.used().map(lease).collect::<Vec<_>>()
        });
        held.sort_by_key(|lease| std::cmp::Reverse(lease.held));
        held
    }

    /// What the tuner advised lately, oldest first: another size, with the reason and the figures behind it. In
    /// mode `apply` each has been followed already.
    pub fn advice(&self) -> Vec<PoolAdvice> {
        let shared = self.shared();
        if shared.is_inherited() {
            return Vec::new();
        }
        shared.advice.lock().to_vec()
    }

    /// The name that the pool was given.
    pub fn name(&self) -> Arc<str> {
        Arc::clone(&self.shared().name)
    }

    /// Changes how many connections there may be, and how many stand ready. Smaller, it closes idle ones
    /// at once and the others when they come back; larger, it serves as many who wait as now fit.
    ///
    /// # Errors
    ///
    /// [`InvalidConfig`](ConnectionError::InvalidConfig) for sizes that a configuration could not have.
    pub fn resize(&self, max_size: u32, min_idle: u32) -> Result<(), ConnectionError> {
        CheckoutPoolConfig { max_size, min_idle, ..CheckoutPoolConfig::default() }.validate()?;
        self.shared()
            .update(|state, actions| state.on_resize(max_size, min_idle, clock(), actions));
        Ok(())
    }

    /// Connects to these endpoints and no others from now on, as when the peers are found anew. What is known of those
    /// that stay is kept; connections to the others are closed: idle ones now, those that are lent when they come back,
    /// those that are being made when they stand. None of them is lent after this returns. An address that is named
    /// twice counts once.
    ///
    /// # Errors
    ///
    /// [`InvalidConfig`](ConnectionError::InvalidConfig) if none is named, or if the pool was made without endpoints.
    pub fn set_endpoints(&self, endpoints: Vec<Address>) -> Result<(), ConnectionError> {
        let invalid = |why: &'static str| Err(ConnectionError::invalid_config("endpoints", why));
        if endpoints.is_empty() {
            return invalid("must name one at least");
        }
        if !self.shared().read(|state| state.endpoints().have_addresses()) {
            return invalid("the pool's connector knows by itself where to connect to");
        }
        self.shared().update(|state, actions| state.on_endpoints(endpoints, clock(), actions));
        Ok(())
    }

    /// Retires every connection made so far, as after a failover: idle ones are closed now, the others when
    /// they come back, and those that are being made when they stand. None of them is lent after this
    /// returns. Delays before the next attempt to connect are forgotten.
    pub fn clear(&self) {
        self.shared().update(|state, actions| state.on_clear(clock(), actions));
    }

    /// Checks every idle connection in the background; the broken ones are closed and replaced as needed.
    pub fn check(&self) {
        self.shared().update(|state, actions| state.on_check_all(clock(), actions));
    }

    /// Waits until `min_idle` connections stand ready. Returns whether they do; if not, the deadline passed
    /// or the pool was closed.
    pub async fn wait_ready(&self, deadline: Option<Instant>) -> bool {
        self.shared().until(deadline, State::is_warm).await && !self.is_closed()
    }

    /// Lends to nobody who is not in line yet, and waits until every connection is closed, or until the
    /// deadline. Returns how many were left, which are closed when they come back.
    ///
    /// # Cancel safety
    ///
    /// Dropping the future stops the waiting; the pool goes on to drain.
    pub async fn drain(&self, deadline: Option<Instant>) -> u32 {
        self.shared().update(|state, actions| state.on_drain(clock(), actions));
        self.shared().until(deadline, State::is_finished).await;
        self.close_now();
        self.shared().read(State::total)
    }

    /// Refuses all who wait, closes the idle connections, and waits until every connection is closed, or
    /// until the deadline. Returns how many were left, which are closed when they come back. Idempotent.
    ///
    /// # Cancel safety
    ///
    /// Dropping the future stops the waiting; the pool is closed all the same.
    pub async fn close(&self, deadline: Option<Instant>) -> u32 {
        self.close_now();
        self.shared().until(deadline, State::is_finished).await;
        self.shared().read(State::total)
    }

    /// Does what [`close`](Self::close) does, without waiting.
    pub fn close_now(&self) {
        self.shared().close();
    }

    /// Whether `min_idle` connections stand ready.
    pub fn is_ready(&self) -> bool {
        self.shared().read(State::is_warm)
    }

    /// Whether the pool lends no more.
    pub fn is_closed(&self) -> bool {
        self.shared().read(|state| !state.is_open())
    }

    pub(super) fn shared(&self) -> &Arc<Shared<C>> {
        &self.handle.0
    }
}

impl<C: Connector> Shared<C> {
    pub(super) fn close(self: &Arc<Self>) {
        if !self.is_inherited() {
            self.update(|state, actions| state.on_close(actions));
        }
    }

    pub(super) fn close_with_entrusted(self: &Arc<Self>) {
        if !self.is_inherited() {
            self.update(|state, actions| {
                state.on_close(actions);
                state.on_close_entrusted(actions);
            });
        }
    }

    /// # Errors
    ///
    /// `Closed` in a child of the process that made the pool.
    #[inline]
    pub(super) fn check_process(&self) -> Result<(), ConnectionError> {
        if self.is_inherited() { Err(inherited()) } else { Ok(()) }
    }

    #[inline(always)]
    pub(super) fn lease(self: &Arc<Self>, loan: Loan<C::Connection>) -> Lease<C> {
        if let Some(meter) = self.meter() {
            meter.waited(loan.waited.into());
        }
        Lease::new(Arc::clone(self), loan.id, loan.resource)
    }

    /// The idle connection whose turn it is, for one who does not wait.
    pub(super) fn try_enter(
        self: &Arc<Self>,
        holder: &Holder,
        custody: Custody,
    ) -> Option<Loan<C::Connection>> {
        self.check_process().ok()?;
        let now = self.now();
        self.exchange(now, |state, actions| {
            (state.try_acquire(now, holder, custody, actions), Pace::AtOnce)
        })
    }

    /// The lease, or nothing if its connection turns out to be broken; then it is closed.
    #[inline(always)]
    pub(super) fn lease_unless_broken(
        self: &Arc<Self>,
        loan: Loan<C::Connection>,
    ) -> Option<Lease<C>> {
        let is_broken = loan.resource.as_ref().is_some_and(|resource| self.is_broken(resource));
        let lease = self.lease(loan);
        if is_broken {
            lease.give_up(PoolCloseReason::Broken);
            return None;
        }
        Some(lease)
    }
}

/// What callers get in a child of the process that made the pool.
#[cold]
fn inherited() -> ConnectionError {
    let cause =
        std::io::Error::other("the pool belongs to the process that this one was forked from");
    ConnectionError::Closed { at: Place::at(Step::Acquire).because(cause) }
}

/// What a refusal means to a caller.
pub(super) fn refused(refusal: Refusal) -> ConnectionError {
    let at = Place::at(Step::Acquire);
    match refusal {
        Refusal::Closed => ConnectionError::Closed { at },
        Refusal::TooManyWaiters(limit) => {
            ConnectionError::limit_exceeded("waiters", u64::from(limit), at)
        }
        Refusal::CircuitOpen { open_for, failure } => ConnectionError::CircuitOpen {
            retry_after: open_for,
            at: match failure {
                Some(failure) => at.because(ConnectionError::clone(&failure)),
                None => at,
            },
        },
        Refusal::Exhausted(exhaustion) => {
            ConnectionError::timeout(Some(exhaustion.waited), at.because(*exhaustion))
        }
    }
}

/// Without a handle nobody can put back what was entrusted to the pool.
impl<C: Connector> Drop for Owner<C> {
    fn drop(&mut self) {
        if self.0.is_inherited() {
            return self.0.leave_alone();
        }
        self.0.close_with_entrusted();
    }
}

impl<C: Connector> Clone for CheckoutPool<C> {
    fn clone(&self) -> Self {
        Self { handle: Arc::clone(&self.handle) }
    }
}

impl<C: Connector> fmt::Debug for CheckoutPool<C> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("CheckoutPool").field("stats", &self.stats()).finish_non_exhaustive()
    }
}
