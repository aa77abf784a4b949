//! Reports of the driver: what became of the actions it was given.

use super::super::slots::{Connecting, Relief, SlotId, Stand};
use super::{Action, Actions, State};
use crate::{
    error::ConnectionError,
    pool::{moment::Moment, reason::PoolCloseReason},
};
use std::sync::Arc;

impl<R> State<R> {
    /// The connection asked for with [`Action::Open`] stands; its connector knows it by `mark`.
    pub(crate) fn on_opened(
        &mut self,
        id: SlotId,
        resource: R,
        mark: u64,
        now: Moment,
        actions: &mut Actions<R>,
    ) {
        let Some(Connecting { attempt, epoch, relieves }) = self.take_attempt(id) else {
            debug_assert!(false, "an attempt is reported once");
            return;
        };
        let endpoint = attempt.endpoint;
        self.endpoints.on_connected(attempt, now, (self.chance)());
        self.tally.created += 1;
        let mut life = self.terms.life(now, epoch, endpoint, self.chance);
        life.mark = mark;
        // What has been retired meanwhile relieves nobody.
        let (relieves, in_vain) = match epoch == self.epoch {
            true => (relieves, None),
            false => (None, relieves),
        };
        self.end_relief(in_vain);
        if let Some(last_used) = relieves.and_then(|old| self.relieve(old, actions)) {
            // Nobody has used it: a pool that shrinks for want of use must not begin anew.
            life.last_used = last_used;
        }
        self.slots.settle(id.index, life);
        self.offer(id.index, resource, now, actions);
        self.supply(now, actions);
    }

    /// No younger connection comes for this one: another may be called for.
    fn end_relief(&mut self, old: Option<SlotId>) {
        if let Some(life) = old.and_then(|old| self.slots.life_mut(old.index)) {
            life.relief = Relief::None;
        }
    }

    /// The attempt asked for with [`Action::Open`] failed.
    pub(crate) fn on_open_failed(
        &mut self,
        id: SlotId,
        error: Arc<ConnectionError>,
        now: Moment,
        actions: &mut Actions<R>,
    ) {
        let Some(Connecting { attempt, relieves, .. }) = self.take_attempt(id) else {
            debug_assert!(false, "an attempt is reported once");
            return;
        };
        self.end_relief(relieves);
        self.slots.vacate(id.index);
        let before = self.endpoints.on_failed(attempt, error, now, (self.chance)());
        actions.extend(before.map(Action::Drop));
        self.tally.create_failed += 1;
        self.supply(now, actions);
    }

    /// The check or reset asked for with [`Action::Validate`] ended; it failed with `Err`.
    pub(crate) fn on_validated(
        &mut self,
        id: SlotId,
        result: Result<R, R>,
        now: Moment,
        actions: &mut Actions<R>,
    ) {
        let probe_at = self.terms.probe_at(now, self.chance);
        let Some(life) = self.take_validation(id) else {
            debug_assert!(false, "a validation is reported once");
            return;
        };
        match result {
            Ok(resource) => {
                (life.proven, life.probe_at) = (now, probe_at);
                self.offer(id.index, resource, now, actions);
            }
            Err(resource) => {
                self.tally.invalid += 1;
                self.close(id.index, resource, PoolCloseReason::Invalid, actions);
            }
        }
        self.supply(now, actions);
    }

    /// The connection that [`Action::Close`] named is gone.
    pub(crate) fn on_closed(
        &mut self,
        id: SlotId,
        endpoint: u32,
        reason: PoolCloseReason,
        now: Moment,
        actions: &mut Actions<R>,
    ) {
        let stands = self.slots.made(id).map(|made| &made.stand);
        if !matches!(stands, Some(Stand::Closing)) {
            debug_assert!(false, "a close is reported once");
            return;
        }
        self.tally.closed(reason);
        self.slots.vacate(id.index);
        self.endpoints.on_closed(endpoint);
        self.supply(now, actions);
    }

    /// The check or reset asked for with [`Action::Validate`] ended without giving the connection back.
    pub(crate) fn on_lost(&mut self, id: SlotId, now: Moment, actions: &mut Actions<R>) {
        let Some(life) = self.take_validation(id) else {
            debug_assert!(false, "a validation is reported once");
            return;
        };
        let endpoint = life.endpoint;
        self.tally.invalid += 1;
        self.tally.closed(PoolCloseReason::Invalid);
        self.slots.vacate(id.index);
        self.endpoints.on_closed(endpoint);
        self.supply(now, actions);
    }
}
