//! Supply: nobody waits for what is there or could be made.

use super::super::{
    endpoints::Attempt,
    slots::{Hope, Life, Phase, SlotId},
};
use super::{Action, Actions, Stage, State, Validation};
use crate::pool::reason::PoolCloseReason;
use std::time::{Duration, Instant};

/// For how long callers rely on a check or a reset, before another connection is opened for them if there is room.
const PATIENCE: Duration = Duration::from_millis(500);

/// What the idle connection whose turn it is may be used for.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Fitness {
    /// To be lent.
    Fit,
    /// To be lent once it has passed a check.
    Unproven,
    /// For nothing: it was idle for too long, and waits to be closed.
    Spent,
}

impl<R> State<R> {
    /// Sees to it that each caller in line is served or has a connection on its way, and that `min_idle` stand
    /// ready, as far as there is room and an endpoint may be tried. Ends every event.
    pub(super) fn supply(&mut self, now: Instant, actions: &mut Actions<R>) {
        let all_are_lent = self.slots.counts().used >= self.terms.max_size;
        if all_are_lent || (self.line.waiting() == 0 && self.terms.min_idle == 0) {
            return;
        }
        self.doubt_slow_checks(now);
        self.serve_from_idle(now, actions);
        while self.wants_more() && self.open(None, now, actions) {}
        self.make_room(actions);
        if self.line.waiting() > 0
            && let Some(open_for) = self.cut_off(now)
        {
            self.refuse_all(|state| state.circuit_open(open_for, now), actions);
        }
    }

    /// Whether something is missing that there is room for.
    pub(crate) fn wants_more(&self) -> bool {
        self.missing() > 0 && self.slots.counts().total() < self.terms.max_size
    }

    /// Callers in line for whom nothing is on its way.
    pub(super) fn uncovered(&self) -> usize {
        self.line.waiting().saturating_sub(self.coming as usize)
    }

    /// How many connections more are wanted than are on their way.
    fn missing(&self) -> usize {
        match self.stage {
            Stage::Closed => 0,
            Stage::Draining => self.uncovered(),
            Stage::Open => {
                let spare = (self.coming as usize).saturating_sub(self.line.waiting());
                let ready = self.slots.counts().idle as usize + spare;
                self.uncovered() + (self.terms.min_idle as usize).saturating_sub(ready)
            }
        }
    }

    /// Gives those in line what is idle, and has checked for them what must be.
    fn serve_from_idle(&mut self, now: Instant, actions: &mut Actions<R>) {
        while self.line.waiting() > 0
            && let Some(fitness) = self.look_at_idle(now, actions)
        {
            match fitness {
                Fitness::Spent => break,
                Fitness::Unproven if self.uncovered() == 0 => break,
                Fitness::Unproven => self.check_idle(now, actions),
                Fitness::Fit => {
                    if let Some((index, resource, life)) =
                        self.slots.take_idle(self.newest_first(now))
                    {
                        self.offer(index, resource, life, now, actions);
                    }
                }
            }
        }
    }

    /// How fit the idle connection is whose turn it is; those before it that are over are closed.
    pub(super) fn look_at_idle(
        &mut self,
        now: Instant,
        actions: &mut Actions<R>,
    ) -> Option<Fitness> {
        loop {
            let newest_first = self.newest_first(now);
            let (_, life) = self.slots.peek_idle(newest_first)?;
            match self.terms.over(life, self.epoch, now) {
                Some(PoolCloseReason::IdleTimeout) => return Some(Fitness::Spent),
                Some(reason) => {
                    let (index, resource, life) = self.slots.take_idle(newest_first)?;
                    self.close(index, resource, life, reason, actions);
                }
                None if self.terms.needs_check(life, now) => return Some(Fitness::Unproven),
                None => return Some(Fitness::Fit),
            }
        }
    }

    /// At which end the idle connection is whose turn it is: that of the configuration, unless only the other
    /// has one that is fit at once.
    pub(super) fn newest_first(&self, now: Instant) -> bool {
        let is_fit = |life: &Life| {
            self.terms.over(life, self.epoch, now).is_none() && !self.terms.needs_check(life, now)
        };
        let fit_at = |newest| self.slots.peek_idle(newest).is_some_and(|(_, life)| is_fit(life));
        self.terms.newest_first || (!fit_at(false) && fit_at(true))
    }

    /// Checks the idle connection whose turn it is by the configuration.
    pub(super) fn check_idle(&mut self, now: Instant, actions: &mut Actions<R>) {
        if let Some((index, resource, life)) = self.slots.take_idle(self.terms.newest_first) {
            self.validate(index, resource, life, Validation::Check, now, actions);
        }
    }

    /// Begins one attempt to connect, if an endpoint may be tried.
    pub(super) fn open(
        &mut self,
        relieves: Option<SlotId>,
        now: Instant,
        actions: &mut Actions<R>,
    ) -> bool {
        let Some(attempt) = self.endpoints.begin(now, (self.chance)()) else { return false };
        let endpoint = attempt.endpoint;
        let phase = Phase::Connecting { attempt, epoch: self.epoch, relieves };
        let id = self.slots.occupy(phase);
        self.coming += 1;
        actions.push(Action::Open { id, endpoint });
        true
    }

    /// Closes what was idle for too long where its place is needed.
    fn make_room(&mut self, actions: &mut Actions<R>) {
        while self.slots.counts().total() >= self.terms.max_size
            && self.uncovered() > self.slots.counts().closing as usize
            && let Some((index, resource, life)) = self.slots.take_idle(false)
        {
            self.close(index, resource, life, PoolCloseReason::IdleTimeout, actions);
        }
    }

    /// Ends an attempt: which, of which generation, and whom it was to relieve; `None` if it is stale.
    pub(super) fn take_attempt(&mut self, id: SlotId) -> Option<(Attempt, u32, Option<SlotId>)> {
        let (attempt, epoch, relieves) = self.slots.take_attempt(id)?;
        self.coming -= u32::from(epoch == self.epoch);
        Some((attempt, epoch, relieves))
    }

    /// Ends a check or reset: what is known of its connection; `None` if it is stale.
    pub(super) fn take_validation(&mut self, id: SlotId) -> Option<Life> {
        let Some(Phase::Validating { life, hope }) = self.slots.phase_mut(id) else { return None };
        let was_coming = std::mem::replace(hope, Hope::Gone) == Hope::Good;
        let life = *life;
        self.coming -= u32::from(was_coming && life.epoch == self.epoch);
        Some(life)
    }

    /// From here on nobody relies on checks and resets that have lasted for too long.
    pub(super) fn doubt_slow_checks(&mut self, now: Instant) {
        while let Some((_, id)) = self.doubts.pop_front_if(|(at, _)| *at <= now) {
            _ = self.take_validation(id);
        }
    }

    /// Counts a check or reset among what is on its way.
    pub(super) fn rely_on(&mut self, id: SlotId, now: Instant) {
        self.coming += 1;
        self.doubts.push_back((now + PATIENCE, id));
    }

    /// When somebody will have waited for too long for a check or reset.
    pub(super) fn next_doubt(&self) -> Option<Instant> {
        self.doubts.front().filter(|_| self.line.waiting() > 0).map(|(at, _)| *at)
    }
}
