//! What a pool's handles, leases and tasks share: the lock around the state, and the acts it asks for.

use super::{
    callbacks::{run_in_turn, shield},
    connector::Connector,
    meter::Meter,
    state::{Action, Actions, PutBack, State},
    stats::CheckoutPoolStats,
    tasks,
    terms::Abilities,
    tuning::AdviceLog,
};
use crate::{
    config::{CheckoutPoolConfig, TimeLimit},
    fork,
    metrics::Metrics,
    pool::{
        clock::Clock,
        moment::{Moment, Span},
    },
    sync::Mutex,
};
use std::{
    sync::{
        Arc, OnceLock,
        atomic::{AtomicBool, AtomicU8, AtomicUsize, Ordering},
    },
    time::{Duration, Instant},
};
use tokio::{runtime::Handle, sync::Notify, time::timeout_at};

pub(crate) use crate::pool::clock::exact as clock;

/// One pool.
pub(crate) struct Shared<C: Connector> {
    pub(crate) name: Arc<str>,
    pub(crate) connector: C,
    pub(crate) abilities: Abilities,
    pub(crate) runtime: Handle,
    pub(crate) times: Times,
    pub(crate) acquire_timeout: TimeLimit,
    /// `acquire_timeout` by the pool's clock, which may be behind by its lag when it begins.
    patience: Option<Span>,
    clock: Clock,
    /// Held for a few moves; nothing of the user's runs or is dropped under it.
    guarded: Mutex<Guarded<C::Connection>>,
    /// Ends the keeper's sleep.
    pub(crate) alarm: Arc<Notify>,
    /// Something happened for which somebody may wait: a connection more or less.
    changed: Notify,
    /// Whether the last caller had to wait.
    crowded: AtomicBool,
    /// Those who wait for a change.
    watchers: AtomicUsize,
    /// Tells leases of this pool from those of others.
    pub(crate) salt: u8,
    born: u32,
    /// Set before anybody else knows the pool, if at all.
    meter: OnceLock<Meter>,
    /// What the tuner said last.
    pub(crate) advice: Mutex<AdviceLog>,
}

/// How long the driver lets things take.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Times {
    pub(crate) connect: Duration,
    pub(crate) validate: Duration,
    pub(crate) close: Duration,
}

impl Times {
    pub(crate) fn new(config: &CheckoutPoolConfig) -> Self {
        Self {
            connect: config.connect_timeout,
            validate: config.check_timeout,
            close: config.close_timeout,
        }
    }
}

struct Guarded<R> {
    state: State<R>,
    /// Until when the keeper sleeps; `None` if without end.
    sleeps_until: Option<Moment>,
}

impl<C: Connector> Shared<C> {
    pub(crate) fn new(
        connector: C,
        abilities: Abilities,
        state: State<C::Connection>,
        times: Times,
        runtime: Handle,
        acquire_timeout: TimeLimit,
    ) -> Self {
        static NEXT_SALT: AtomicU8 = AtomicU8::new(1);
        let clock = Clock::new(&runtime, state.terms().shortest());
        let patience = acquire_timeout.duration().map(|limit| match limit {
            Duration::ZERO => Span::ZERO,
            limit => limit.saturating_add(clock.lag()).into(),
        });
        Self {
            name: Arc::clone(&state.terms().name),
            connector,
            abilities,
            clock,
            runtime,
            times,
            acquire_timeout,
            patience,
            guarded: Mutex::new(Guarded { state, sleeps_until: None }),
            alarm: Arc::new(Notify::new()),
            changed: Notify::new(),
            crowded: AtomicBool::new(false),
            watchers: AtomicUsize::new(0),
            salt: NEXT_SALT.fetch_add(1, Ordering::Relaxed),
            born: fork::generation(),
            meter: OnceLock::new(),
            advice: Mutex::new(AdviceLog::default()),
        }
    }

    /// Whether this is a child of the process that made the pool: its threads and connections are not ours.
    pub(crate) fn is_inherited(&self) -> bool {
        fork::is_child_since(self.born)
    }

    /// The time, for what happens with each use of a connection. Exact where each time is shown; a sum of
    /// many is as good by the tick.
    #[inline(always)]
    pub(crate) fn now(&self) -> Moment {
        if self.meter.get().is_some() { clock() } else { self.clock.now() }
    }

    /// The time, exact if `deadline` is so near that it matters.
    pub(crate) fn now_before(&self, deadline: Option<Moment>) -> Moment {
        let now = self.now();
        let is_near = deadline.is_some_and(|deadline| deadline <= now + self.clock.lag());
        if is_near { clock() } else { now }
    }

    /// When an acquire that begins at `now` has to give up, by the configuration; `None` for never.
    #[inline]
    pub(crate) fn deadline(&self, now: Moment) -> Option<Moment> {
        self.patience.map(|patience| now + patience)
    }

    /// Shows the pool's counts in `metrics`; only the first call does.
    pub(crate) fn meter_in(self: &Arc<Self>, metrics: &Metrics) {
        _ = self.meter.get_or_init(|| Meter::new(metrics, &self.name, self));
    }

    /// Whether the connector finds the connection broken. One that cannot say is.
    #[inline]
    pub(crate) fn is_broken(&self, connection: &C::Connection) -> bool {
        self.abilities.peeks && shield(|| self.connector.is_broken(connection)).unwrap_or(true)
    }

    /// Whether the next caller will have to wait, by the look of the last.
    pub(crate) fn is_crowded(&self) -> bool {
        self.crowded.load(Ordering::Relaxed)
    }

    pub(crate) fn note_crowd(&self, waits: bool) {
        if self.is_crowded() != waits {
            self.crowded.store(waits, Ordering::Relaxed);
        }
    }

    pub(crate) fn note_use(&self, put_back: PutBack) {
        if let Some(meter) = self.meter() {
            meter.used(put_back.used.into());
        }
    }

    pub(crate) fn meter(&self) -> Option<&Meter> {
        self.meter.get()
    }

    pub(crate) fn stats(&self) -> CheckoutPoolStats {
        self.read(State::stats)
    }

    /// Takes the lock; in a child of the process that made the pool, shows a closed and empty pool instead. A thread
    /// of the parent may have held the lock at the fork, and nothing behind it is the child's.
    #[inline(always)]
    fn with<T>(&self, act: impl FnOnce(&mut Guarded<C::Connection>) -> T) -> T {
        let mut foreign = self.is_inherited().then(|| self.foreign());
        let mut guard;
        act(match &mut foreign {
            Some(foreign) => foreign,
            None => {
                guard = self.guarded.lock();
                &mut guard
            }
        })
    }

    #[cold]
    fn foreign(&self) -> Box<Guarded<C::Connection>> {
        let state = State::foreign(Arc::clone(&self.name), clock());
        Box::new(Guarded { state, sleeps_until: None })
    }

    /// Whether nobody holds the lock.
    #[cfg(test)]
    pub(crate) fn is_unlocked(&self) -> bool {
        self.guarded.try_lock().is_some()
    }

    /// Keeps the pool, and what belongs to it, from being dropped in this process.
    pub(crate) fn leave_alone(self: &Arc<Self>) {
        #[expect(
            clippy::mem_forget,
            reason = "it is the parent's, as is what it is registered with"
        )]
        std::mem::forget(Arc::clone(self));
    }

    /// Reads the state.
    pub(crate) fn read<T>(&self, read: impl FnOnce(&State<C::Connection>) -> T) -> T {
        self.with(|guarded| read(&guarded.state))
    }

    /// Changes the state in a way that leads to no action.
    pub(crate) fn write<T>(&self, write: impl FnOnce(&mut State<C::Connection>) -> T) -> T {
        self.with(|guarded| write(&mut guarded.state))
    }

    /// Lets an event change the state, then does what it asks for.
    pub(crate) fn update<T>(
        self: &Arc<Self>,
        event: impl FnOnce(&mut State<C::Connection>, &mut Actions<C::Connection>) -> T,
    ) -> T {
        let mut actions = Actions::new();
        let (answer, is_early) = self.with(|guarded| {
            let answer = event(&mut guarded.state, &mut actions);
            (answer, guarded.wakes_earlier(clock()))
        });
        if is_early {
            self.alarm.notify_one();
        }
        self.act(actions);
        self.note_change();
        answer
    }

    /// Like [`update`](Self::update), for events at `now` that move nothing but one connection between callers
    /// and the pool unless they ask for actions.
    #[inline(always)]
    pub(crate) fn exchange<T>(
        self: &Arc<Self>,
        now: Moment,
        event: impl FnOnce(&mut State<C::Connection>, &mut Actions<C::Connection>) -> (T, Pace),
    ) -> T {
        let mut actions = Actions::new();
        let (answer, is_early) = self.with(|guarded| {
            let (answer, pace) = event(&mut guarded.state, &mut actions);
            let is_slow = pace == Pace::Waits
                || !actions.iter().all(Action::is_answer)
                || guarded.state.wants_more();
            (answer, is_slow && guarded.wakes_earlier(now))
        });
        if is_early {
            self.alarm.notify_one();
        }
        // Mostly there is nothing to do, and the room for it is not moved for nothing.
        if !actions.is_empty() {
            self.act(actions);
        }
        self.note_change();
        answer
    }

    /// Waits until the state is as asked for, or until the deadline; says whether it is.
    pub(crate) async fn until(
        &self,
        deadline: Option<Instant>,
        reached: impl Fn(&State<C::Connection>) -> bool,
    ) -> bool {
        if self.is_inherited() {
            return self.read(reached);
        }
        let _watcher = Watcher::new(&self.watchers);
        loop {
            // Asked for before the look: a change between the two is not lost.
            let mut changed = std::pin::pin!(self.changed.notified());
            changed.as_mut().enable();
            if self.read(&reached) {
                return true;
            }
            let Some(deadline) = deadline else {
                changed.await;
                continue;
            };
            if timeout_at(deadline.into(), changed).await.is_err() {
                return self.read(&reached);
            }
        }
    }

    /// Lets those look who wait for a change. Who began to wait before the lock was last taken is seen.
    fn note_change(&self) {
        if self.watchers.load(Ordering::Relaxed) > 0 && !self.is_inherited() {
            self.changed.notify_waiters();
        }
    }

    /// The keeper's turn: does what is due and says until when there is nothing to do.
    pub(crate) fn tick(self: &Arc<Self>, now: Moment) -> Option<Moment> {
        let mut actions = Actions::new();
        let sleeps_until = self.with(|guarded| {
            guarded.state.on_tick(now, &mut actions);
            guarded.sleeps_until = guarded.state.wake_at(now);
            guarded.sleeps_until
        });
        self.act(actions);
        self.note_change();
        sleeps_until
    }

    /// Does what was asked for, all of it whatever others' code does meanwhile.
    fn act(self: &Arc<Self>, actions: Actions<C::Connection>) {
        for action in actions {
            match action {
                Action::Wake(waker) => _ = shield(|| waker.wake()),
                Action::Tell(told) => {
                    let shared = Arc::clone(self);
                    run_in_turn(move || shared.tell(told));
                }
                Action::Open { id, endpoint } => tasks::open(self, id, endpoint),
                Action::Validate { id, resource, how } => {
                    tasks::validate(self, id, resource, how);
                }
                Action::Close { id, endpoint, resource, reason } => {
                    tasks::close(self, id, endpoint, resource, reason);
                }
                Action::Drop(error) => _ = shield(|| drop(error)),
                Action::ReportLeak { holder, held } => {
                    tracing::warn!(
                        pool = &*self.name,
                        %holder,
                        held_ms = held.as_millis() as u64,
                        "a connection is held for longer than leak_after"
                    );
                }
            }
        }
    }
}

/// One who waits for changes, for as long as it lives.
struct Watcher<'a>(&'a AtomicUsize);

impl<'a> Watcher<'a> {
    fn new(watchers: &'a AtomicUsize) -> Self {
        watchers.fetch_add(1, Ordering::Relaxed);
        Self(watchers)
    }
}

impl Drop for Watcher<'_> {
    fn drop(&mut self) {
        self.0.fetch_sub(1, Ordering::Relaxed);
    }
}

/// Whether an exchange was over at once.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Pace {
    AtOnce,
    Waits,
}

impl<R> Guarded<R> {
    /// Whether the keeper must be woken to learn that it has something to do earlier than it knows.
    fn wakes_earlier(&mut self, now: Moment) -> bool {
        let Some(wake_at) = self.state.wake_at(now) else { return false };
        let is_earlier = self.sleeps_until.is_none_or(|until| wake_at < until);
        if is_earlier {
            self.sleeps_until = Some(wake_at);
        }
        is_earlier
    }
}

/// In a child of the process that made the pool, nothing is closed: the connections, and the event loop
/// that they are registered with, belong to the parent.
impl<C: Connector> Drop for Shared<C> {
    fn drop(&mut self) {
        if self.is_inherited() {
            let kept = self.guarded.get_mut().state.abandon();
            #[expect(clippy::mem_forget, reason = "what is the parent's is not dropped here")]
            std::mem::forget(kept);
            return;
        }
        self.alarm.notify_one();
        if let Some(meter) = self.meter.get() {
            meter.leave(&self.guarded.get_mut().state.stats());
        }
    }
}
