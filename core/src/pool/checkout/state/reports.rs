//! Reports of the driver: what became of the actions it was given.

use super::super::slots::{Hope, Phase, Relief, SlotId};
use super::{Action, Actions, State};
use crate::{error::ConnectionError, pool::reason::PoolCloseReason};
use std::{sync::Arc, time::Instant};

impl<R> State<R> {
    /// The connection asked for with [`Action::Open`] stands; its connector knows it by `mark`.
    pub(crate) fn on_opened(
        &mut self,
        id: SlotId,
        resource: R,
        mark: u64,
        now: Instant,
        actions: &mut Actions<R>,
    ) {
        let Some((attempt, epoch, relieves)) = self.take_attempt(id) else {
            debug_assert!(false, "an attempt is reported once");
            return;
        };
        let endpoint = attempt.endpoint;
        self.endpoints.on_connected(attempt, now, (self.chance)());
        self.tally.created += 1;
        let mut life = self.terms.life(now, epoch, endpoint, self.chance);
        life.mark = mark;
        if let Some(relieved) = relieves.and_then(|old| self.relieve(old, actions)) {
            // Nobody has used it: a pool that shrinks for want of use must not begin anew.
            life.last_used = relieved.last_used;
        }
        // Until it is placed it counts as one that stands.
        self.slots.put(id.index, Phase::Validating { life, hope: Hope::Gone });
        self.offer(id.index, resource, life, now, actions);
        self.supply(now, actions);
    }

    /// The attempt asked for with [`Action::Open`] failed.
    pub(crate) fn on_open_failed(
        &mut self,
        id: SlotId,
        error: Arc<ConnectionError>,
        now: Instant,
        actions: &mut Actions<R>,
    ) {
        let Some((attempt, _, relieves)) = self.take_attempt(id) else {
            debug_assert!(false, "an attempt is reported once");
            return;
        };
        if let Some(life) = relieves.and_then(|old| self.slots.life_mut(old.index)) {
            life.relief = Relief::None;
        }
        self.slots.put(id.index, Phase::Vacant);
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
        now: Instant,
        actions: &mut Actions<R>,
    ) {
        let Some(mut life) = self.take_validation(id) else {
            debug_assert!(false, "a validation is reported once");
            return;
        };
        match result {
            Ok(resource) => {
                life.proven = now;
                life.probe_at = self.terms.probe_at(now, self.chance);
                self.offer(id.index, resource, life, now, actions);
            }
            Err(resource) => {
                self.tally.invalid += 1;
                self.close(id.index, resource, life, PoolCloseReason::Invalid, actions);
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
        now: Instant,
        actions: &mut Actions<R>,
    ) {
        if !matches!(self.slots.phase_mut(id), Some(Phase::Closing)) {
            debug_assert!(false, "a close is reported once");
            return;
        }
        self.tally.closed(reason);
        self.slots.put(id.index, Phase::Vacant);
        self.endpoints.on_closed(endpoint);
        self.supply(now, actions);
    }

    /// The check or reset asked for with [`Action::Validate`] ended without giving the connection back.
    pub(crate) fn on_lost(&mut self, id: SlotId, now: Instant, actions: &mut Actions<R>) {
        let Some(life) = self.take_validation(id) else {
            debug_assert!(false, "a validation is reported once");
            return;
        };
        let endpoint = life.endpoint;
        self.tally.invalid += 1;
        self.tally.closed(PoolCloseReason::Invalid);
        self.slots.put(id.index, Phase::Vacant);
        self.endpoints.on_closed(endpoint);
        self.supply(now, actions);
    }
}
