//! Callers: who comes, who gives up, who brings a connection back.

use super::super::{
    holder::Holder,
    line::{Removed, Ticket},
    slots::{Made, SlotId, Stand},
};
use super::{
    Actions, Call, Collected, Custody, Fate, Left, Loan, PutBack, Refusal, Stage, State, Verdict,
    Waiter,
};
use crate::pool::{moment::Moment, reason::PoolCloseReason};
use std::{task::Waker, time::Duration};

impl<R> State<R> {
    /// Somebody wants a connection. `call` is taken, and needed, only if there is reason to wait.
    #[inline(always)]
    pub(crate) fn on_acquire(
        &mut self,
        now: Moment,
        deadline: Option<Moment>,
        holder: &Holder,
        custody: Custody,
        call: &mut Option<Call>,
        actions: &mut Actions<R>,
    ) -> Verdict<R> {
        if self.stage != Stage::Open {
            return Verdict::Refused(Refusal::Closed);
        }
        if self.line.waiting() == 0
            && let Some(loan) = self.lend_idle(now, holder, custody, actions)
        {
            self.supply(now, actions);
            return Verdict::Lent(loan);
        }
        if deadline.is_some_and(|deadline| deadline <= now) {
            self.prove_for_next(now, actions);
            self.tally.timeouts += 1;
            return Verdict::Refused(self.exhausted(now, Duration::ZERO));
        }
        if let Some(open_for) = self.cut_off(now) {
            return Verdict::Refused(self.circuit_open(open_for, now));
        }
        if let Some(limit) = self.terms.max_waiters
            && self.line.waiting() >= limit as usize
        {
            self.tally.refused += 1;
            return Verdict::Refused(Refusal::TooManyWaiters(limit));
        }
        let Some(call) = call.take() else { return Verdict::NeedsCall };
        let waiter = Waiter { call, since: now, holder: holder.clone() };
        let ticket = self.line.push(waiter, deadline);
        self.supply(now, actions);
        Verdict::Waits(ticket)
    }

    /// Somebody wants a connection if there is one, and does not want to wait.
    #[inline(always)]
    pub(crate) fn try_acquire(
        &mut self,
        now: Moment,
        holder: &Holder,
        custody: Custody,
        actions: &mut Actions<R>,
    ) -> Option<Loan<R>> {
        if self.stage != Stage::Open || self.line.waiting() > 0 {
            return None;
        }
        let loan = self.lend_idle(now, holder, custody, actions);
        if loan.is_none() {
            self.prove_for_next(now, actions);
        }
        self.supply(now, actions);
        loan
    }

    /// The answer, if there is one; else `waker`, where given, takes the place of the one that waits, which is
    /// left there to be dropped after the lock is released.
    pub(crate) fn collect(&mut self, ticket: Ticket, waker: &mut Option<Waker>) -> Collected<R> {
        match self.line.collect(ticket) {
            Some(Ok(loan)) if !self.is_current(loan.id) => Collected::Retired(loan),
            Some(answer) => Collected::Answer(answer),
            None => {
                if let Some(waker) = waker
                    && let Some(Waiter { call: Call::Wake(waiting), .. }) =
                        self.line.waiter_mut(ticket)
                {
                    std::mem::swap(waiting, waker);
                }
                Collected::Nothing
            }
        }
    }

    /// A caller in line was given a connection that the pool was cleared of before it came for it. The
    /// connection is closed, and the caller is first in line again.
    pub(crate) fn on_retired(
        &mut self,
        loan: Loan<R>,
        deadline: Option<Moment>,
        holder: &Holder,
        call: Call,
        now: Moment,
        actions: &mut Actions<R>,
    ) -> Verdict<R> {
        let since = now.before(loan.waited.into());
        _ = self.on_put_back(loan.id, loan.resource, Fate::Reuse, now, actions);
        if self.stage == Stage::Closed {
            return Verdict::Refused(Refusal::Closed);
        }
        let waiter = Waiter { call, since, holder: holder.clone() };
        let ticket = self.line.push_front(waiter, deadline);
        self.supply(now, actions);
        Verdict::Waits(ticket)
    }

    fn is_current(&mut self, id: SlotId) -> bool {
        self.slots.life_mut(id.index).is_some_and(|life| life.epoch == self.epoch)
    }

    /// The caller gives up. A connection it was given meanwhile goes to the next.
    ///
    /// Returns what is to be dropped after the lock is released.
    pub(crate) fn on_cancel(
        &mut self,
        ticket: Ticket,
        now: Moment,
        actions: &mut Actions<R>,
    ) -> Option<Left> {
        match self.line.remove(ticket)? {
            Removed::Waiting(waiter) => {
                self.tally.cancelled += 1;
                Some(Left::Place(waiter.call))
            }
            Removed::Settled(Ok(loan)) => {
                self.tally.cancelled += 1;
                _ = self.on_put_back(loan.id, loan.resource, Fate::Reuse, now, actions);
                None
            }
            Removed::Settled(Err(refusal)) => Some(Left::Refusal(refusal)),
        }
    }

    /// A connection comes back, or, with `None`, one whose resource was [left here](Self::entrust).
    ///
    /// # Errors
    ///
    /// The resource, if this turn has ended before: it was put back already.
    #[inline(always)]
    pub(crate) fn on_put_back(
        &mut self,
        id: SlotId,
        resource: Option<R>,
        fate: Fate,
        now: Moment,
        actions: &mut Actions<R>,
    ) -> Result<PutBack, Option<R>> {
        let Some(made) = self.used_mut(id) else { return Err(resource) };
        let Some(resource) = resource.or_else(|| made.resource.take()) else { return Err(None) };
        let life = &mut made.life;
        let used = now.passed_since(life.last_used);
        (life.last_used, life.proven) = (now, now);
        self.tally.put_back(used);
        match fate {
            Fate::Close(reason) => self.close(id.index, resource, reason, actions),
            Fate::Reuse => self.take_back(id.index, resource, now, actions),
        }
        self.supply(now, actions);
        Ok(PutBack { used })
    }

    /// Keeps the resource of a lease here, so that its number alone stands for it.
    ///
    /// # Errors
    ///
    /// The resource, if the lease ended before.
    pub(crate) fn entrust(&mut self, id: SlotId, entrusted: R) -> Result<(), R> {
        match self.used_mut(id) {
            Some(made) => {
                made.resource = Some(entrusted);
                Ok(())
            }
            None => Err(entrusted),
        }
    }

    /// Takes the resource of a lease out again.
    pub(crate) fn reclaim(&mut self, id: SlotId) -> Option<R> {
        self.used_mut(id)?.resource.take()
    }

    /// The connection of a lease, if the lease has not ended.
    #[inline(always)]
    fn used_mut(&mut self, id: SlotId) -> Option<&mut Made<R>> {
        self.slots.made(id).filter(|made| matches!(made.stand, Stand::Used { .. }))
    }

    /// The holder keeps its connection for good; its place is free.
    pub(crate) fn on_detach(&mut self, id: SlotId, now: Moment, actions: &mut Actions<R>) {
        let Some(Made { life, .. }) = self.used_mut(id) else { return };
        let (endpoint, used) = (life.endpoint, now.passed_since(life.last_used));
        self.tally.put_back(used);
        self.tally.closed(PoolCloseReason::Detached);
        self.slots.vacate(id.index);
        self.endpoints.on_closed(endpoint);
        self.supply(now, actions);
    }
}
