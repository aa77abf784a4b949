//! Supply: nobody waits for what is there or could be made.

use super::super::slots::{Connecting, Hope, Life, SlotId, Stand};
use super::{Action, Actions, Stage, State, choice::Choice};
use crate::pool::moment::Moment;
use std::time::Duration;

/// For how long callers rely on a check or a reset, before another connection is opened for them if there is room.
const PATIENCE: Duration = Duration::from_millis(500);

impl<R> State<R> {
    /// Sees to it that each caller in line is served or has a connection on its way, and that `min_idle` stand
    /// ready, as far as there is room and an endpoint may be tried. Ends every event.
    #[inline(always)]
    pub(super) fn supply(&mut self, now: Moment, actions: &mut Actions<R>) {
        let all_are_lent = self.slots.counts().used >= self.terms.max_size;
        if !all_are_lent && self.may_miss() {
            self.supply_missing(now, actions);
        }
    }

    /// Whether there is anybody for whom something could be missing.
    #[inline(always)]
    fn may_miss(&self) -> bool {
        self.line.waiting() > 0 || self.terms.min_idle > 0
    }

    fn supply_missing(&mut self, now: Moment, actions: &mut Actions<R>) {
        self.doubt_slow_checks(now);
        self.serve_from_idle(now, actions);
        while self.wants_more() && self.open(None, now, actions) {}
        self.make_room(now, actions);
        if self.line.waiting() > 0
            && let Some(open_for) = self.cut_off(now)
        {
            self.refuse_all(|state| state.circuit_open(open_for, now), actions);
        }
    }

    /// Whether something is missing that there is room for.
    #[inline(always)]
    pub(crate) fn wants_more(&self) -> bool {
        self.may_miss() && self.missing() > 0 && self.slots.counts().total() < self.terms.max_size
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
    fn serve_from_idle(&mut self, now: Moment, actions: &mut Actions<R>) {
        while self.line.waiting() > 0 {
            match self.choose_idle(now, actions) {
                Choice::Fit(place) | Choice::FitAfterOthers(place) => {
                    let Some((index, resource)) = self.slots.take_idle_at(place) else { break };
                    self.offer(index, resource, now, actions);
                }
                Choice::Unproven(place) if self.uncovered() > 0 => {
                    self.check_idle(place, now, actions);
                }
                Choice::Unproven(_) | Choice::Nothing => break,
            }
        }
    }

    /// Begins one attempt to connect, if an endpoint may be tried.
    pub(super) fn open(
        &mut self,
        relieves: Option<SlotId>,
        now: Moment,
        actions: &mut Actions<R>,
    ) -> bool {
        let Some(attempt) = self.endpoints.begin(now, (self.chance)()) else { return false };
        let endpoint = attempt.endpoint;
        let id = self.slots.occupy(Connecting { attempt, epoch: self.epoch, relieves });
        self.coming += 1;
        actions.push(Action::Open { id, endpoint });
        true
    }

    /// Closes what is idle and may not be lent, the longest first, where its place is needed.
    fn make_room(&mut self, now: Moment, actions: &mut Actions<R>) {
        while self.slots.counts().total() >= self.terms.max_size
            && self.uncovered() > self.slots.counts().closing as usize
            && let Some((_, life)) = self.slots.idle_at(0)
            && let Some(reason) = self.terms.over(life, self.epoch, now)
        {
            self.close_idle_at(0, reason, actions);
        }
    }

    /// Ends an attempt: what is known of it; `None` if it is stale.
    pub(super) fn take_attempt(&mut self, id: SlotId) -> Option<Connecting> {
        let connecting = self.slots.take_attempt(id)?;
        self.coming -= u32::from(connecting.epoch == self.epoch);
        Some(connecting)
    }

    /// Ends a check or reset: what is known of its connection; `None` if it is stale.
    pub(super) fn take_validation(&mut self, id: SlotId) -> Option<&mut Life> {
        let made = self.slots.made(id)?;
        let Stand::Validating(hope) = &mut made.stand else { return None };
        let was_coming = std::mem::replace(hope, Hope::Gone) == Hope::Good;
        let life = &mut made.life;
        self.coming -= u32::from(was_coming && life.epoch == self.epoch);
        Some(life)
    }

    /// From here on nobody relies on checks and resets that have lasted for too long.
    pub(super) fn doubt_slow_checks(&mut self, now: Moment) {
        while let Some(&(at, id)) = self.doubts.front() {
            let stands = self.slots.made(id).map(|made| &made.stand);
            let is_over = !matches!(stands, Some(Stand::Validating(_)));
            if !is_over && at > now {
                break;
            }
            self.doubts.pop_front();
            _ = self.take_validation(id);
        }
    }

    /// Counts a check or reset among what is on its way.
    pub(super) fn rely_on(&mut self, id: SlotId, now: Moment) {
        self.coming += 1;
        self.doubts.push_back((now + PATIENCE, id));
    }

    /// When somebody will have waited for too long for a check or reset.
    pub(super) fn next_doubt(&self) -> Option<Moment> {
        self.doubts.front().filter(|_| self.line.waiting() > 0).map(|(at, _)| *at)
    }
}
