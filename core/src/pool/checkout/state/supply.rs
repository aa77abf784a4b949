//! Supply: how many connections are opened, and when.

use super::super::slots::{Phase, SlotId};
use super::{Action, Actions, Stage, State};
use std::time::Instant;

impl<R> State<R> {
    /// How many connections more are wanted than are on their way.
    pub(super) fn missing(&self) -> usize {
        let counts = self.slots.counts();
        let coming = (counts.connecting + counts.validating) as usize;
        let waiting = self.line.waiting();
        match self.stage {
            Stage::Closed => 0,
            Stage::Draining => waiting.saturating_sub(coming),
            Stage::Open => {
                let ready = counts.idle as usize + coming;
                (waiting + self.terms.min_idle as usize).saturating_sub(ready)
            }
        }
    }

    pub(super) fn wants_more(&self) -> bool {
        self.missing() > 0 && self.slots.counts().total() < self.terms.max_size
    }

    pub(super) fn supply(&mut self, now: Instant, actions: &mut Actions<R>) {
        while self.wants_more() && self.open(None, now, actions) {}
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
        actions.push(Action::Open { id, endpoint });
        true
    }
}
