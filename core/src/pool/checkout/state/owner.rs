//! The owner: size, endpoints, generations, and the end of the pool.

use super::super::{
    line::Line,
    slots::{RETIRED, Slots},
};
use super::{Action, Actions, Refusal, Stage, State, Validation};
use crate::{
    address::Address,
    pool::{moment::Moment, reason::PoolCloseReason},
};

impl<R> State<R> {
    /// Opens what is to stand ready.
    pub(crate) fn on_start(&mut self, now: Moment, actions: &mut Actions<R>) {
        self.supply(now, actions);
    }

    /// Changes the size. What is too much is closed: idle ones now, the others when they come back.
    pub(crate) fn on_resize(
        &mut self,
        max_size: u32,
        min_idle: u32,
        now: Moment,
        actions: &mut Actions<R>,
    ) {
        (self.terms.max_size, self.terms.min_idle) = (max_size, min_idle.min(max_size));
        while self.is_oversized()
            && let Some((index, resource)) = self.slots.take_idle_at(0)
        {
            self.close(index, resource, PoolCloseReason::Shrunk, actions);
        }
        self.supply(now, actions);
    }

    /// Ends this generation of connections: none of them is lent from now on.
    pub(crate) fn on_clear(&mut self, now: Moment, actions: &mut Actions<R>) {
        self.epoch += 1;
        // What is on its way is of the past, and will be closed when it stands.
        self.coming = 0;
        self.endpoints.reset(now);
        self.close_idle(PoolCloseReason::Cleared, actions);
        self.supply(now, actions);
    }

    /// Connects to these endpoints and no others from now on. No connection to another is lent from now on.
    pub(crate) fn on_endpoints(
        &mut self,
        addresses: Vec<Address>,
        now: Moment,
        actions: &mut Actions<R>,
    ) {
        let failures = self.endpoints.replace(addresses, now);
        actions.extend(failures.into_iter().map(Action::Drop));
        let is_removed = |endpoint| !self.endpoints.is_member(endpoint);
        self.coming -= self.slots.retire(is_removed, self.epoch);
        let mut place = 0;
        while let Some((_, life)) = self.slots.idle_at(place) {
            match life.epoch {
                RETIRED => self.close_idle_at(place, PoolCloseReason::EndpointRemoved, actions),
                _ => place += 1,
            }
        }
        self.supply(now, actions);
    }

    /// Checks every idle connection in the background.
    pub(crate) fn on_check_all(&mut self, now: Moment, actions: &mut Actions<R>) {
        while let Some((index, resource)) = self.slots.take_idle_at(0) {
            self.validate(index, resource, Validation::Check, now, actions);
        }
        self.supply(now, actions);
    }

    /// Lends to nobody who is not in line yet.
    pub(crate) fn on_drain(&mut self, now: Moment, actions: &mut Actions<R>) {
        if self.stage == Stage::Open {
            self.stage = Stage::Draining;
            self.close_idle(PoolCloseReason::PoolClosed, actions);
            self.supply(now, actions);
        }
    }

    /// Lends no more, refuses all who wait, and closes all that is idle.
    pub(crate) fn on_close(&mut self, actions: &mut Actions<R>) {
        self.stage = Stage::Closed;
        self.refuse_all(|_| Refusal::Closed, actions);
        self.close_idle(PoolCloseReason::PoolClosed, actions);
    }

    /// Closes every lease whose resource was left here.
    pub(crate) fn on_close_entrusted(&mut self, actions: &mut Actions<R>) {
        for (index, resource) in self.slots.take_entrusted() {
            self.close(index, resource, PoolCloseReason::PoolClosed, actions);
        }
    }

    /// Gives everything up without closing it; the pool is of no use after that.
    pub(crate) fn abandon(&mut self) -> impl Sized + use<R> {
        let slots = std::mem::replace(&mut self.slots, Slots::new());
        (slots, std::mem::replace(&mut self.line, Line::new()))
    }
}
