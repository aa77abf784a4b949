//! How a connection moves from one phase to the next, and who gets it on the way.

use super::super::{
    exhaustion::{Exhaustion, LongestUse},
    holder::Holder,
    line::Ticket,
    slots::{Hope, Leak, Stand},
};
use super::{
    Action, Actions, Answer, Call, Custody, Loan, Refusal, Stage, State, Validation, Waiter,
    choice::Choice, verdict::TellAnswer,
};
use crate::pool::{
    moment::{Moment, Span},
    reason::PoolCloseReason,
};
use std::time::Duration;

impl<R> State<R> {
    /// Lends the idle connection whose turn it is, if it needs no check first.
    #[inline(always)]
    pub(super) fn lend_idle(
        &mut self,
        now: Moment,
        holder: &Holder,
        custody: Custody,
        actions: &mut Actions<R>,
    ) -> Option<Loan<R>> {
        let choice = self.choose_idle(now, actions);
        let (Choice::Fit(place) | Choice::FitAfterOthers(place)) = choice else { return None };
        let (index, resource) = self.slots.take_idle_at(place)?;
        if matches!(choice, Choice::FitAfterOthers(_)) {
            self.prove_passed_over(now, actions);
        }
        self.tally.hits += 1;
        let lend = Lend { holder: holder.clone(), custody, waited: Span::ZERO };
        Some(self.lend(index, resource, lend, now))
    }

    #[inline(always)]
    pub(super) fn lend(&mut self, index: u32, resource: R, lend: Lend, now: Moment) -> Loan<R> {
        let made = self.slots.at(index);
        made.life.last_used = now;
        let mark = made.life.mark;
        let resource = match lend.custody {
            Custody::Holder => Some(resource),
            Custody::Pool => {
                made.resource = Some(resource);
                None
            }
        };
        let id = self.slots.put(index, Stand::Used { holder: lend.holder, leak: Leak::Unseen });
        self.tally.lent(self.slots.counts().used, lend.waited);
        Loan { id, mark, resource, waited: lend.waited }
    }

    /// Resets what comes back if it must be, else offers it.
    #[inline(always)]
    pub(super) fn take_back(
        &mut self,
        index: u32,
        resource: R,
        now: Moment,
        actions: &mut Actions<R>,
    ) {
        if self.terms.resets && self.unfit(index, now).is_none() {
            return self.validate(index, resource, Validation::Reset, now, actions);
        }
        self.offer(index, resource, now, actions);
    }

    /// Gives a connection to the oldest waiter, or puts it among the idle ones, if it is fit for either.
    #[inline(always)]
    pub(super) fn offer(&mut self, index: u32, resource: R, now: Moment, actions: &mut Actions<R>) {
        if let Some(reason) = self.unfit(index, now) {
            self.close(index, resource, reason, actions);
        } else if self.line.waiting() == 0 && self.stage == Stage::Open {
            self.slots.put_idle(index, resource);
        } else {
            self.offer_to_waiters(index, resource, now, actions);
        }
    }

    fn offer_to_waiters(&mut self, index: u32, resource: R, now: Moment, actions: &mut Actions<R>) {
        match self.next_waiter(now, actions) {
            Some((ticket, waiter)) => {
                self.tally.handed_over += 1;
                let waited = now.passed_since(waiter.since);
                let custody = match waiter.call {
                    Call::Wake(_) => Custody::Holder,
                    Call::Tell(_) => Custody::Pool,
                };
                let lend = Lend { holder: waiter.holder, custody, waited };
                let loan = self.lend(index, resource, lend, now);
                self.answer(ticket, waiter.call, Ok(loan), actions);
            }
            None if self.stage != Stage::Open => {
                self.close(index, resource, PoolCloseReason::PoolClosed, actions);
            }
            None => self.slots.put_idle(index, resource),
        }
    }

    /// The oldest waiter whose deadline has not passed; those before it get their answer.
    pub(super) fn next_waiter(
        &mut self,
        now: Moment,
        actions: &mut Actions<R>,
    ) -> Option<(Ticket, Waiter)> {
        while let Some((ticket, waiter)) = self.line.expire(now) {
            self.tally.timeouts += 1;
            let refusal = self.exhausted(now, now.since(waiter.since));
            self.answer(ticket, waiter.call, Err(refusal), actions);
        }
        self.line.pop()
    }

    pub(super) fn answer(
        &mut self,
        ticket: Ticket,
        call: Call,
        answer: Answer<R>,
        actions: &mut Actions<R>,
    ) {
        match call {
            Call::Wake(waker) => {
                self.line.settle(ticket, answer);
                actions.push(Action::Wake(waker));
            }
            Call::Tell(teller) => {
                self.line.forget(ticket);
                actions.push(Action::Tell(TellAnswer { teller, answer }));
            }
        }
    }

    pub(super) fn validate(
        &mut self,
        index: u32,
        resource: R,
        how: Validation,
        now: Moment,
        actions: &mut Actions<R>,
    ) {
        let id = self.slots.put(index, Stand::Validating(Hope::Good));
        self.rely_on(id, now);
        actions.push(Action::Validate { id, resource, how });
    }

    pub(super) fn close(
        &mut self,
        index: u32,
        resource: R,
        reason: PoolCloseReason,
        actions: &mut Actions<R>,
    ) {
        let endpoint = self.slots.at(index).life.endpoint;
        let id = self.slots.put(index, Stand::Closing);
        actions.push(Action::Close { id, endpoint, resource, reason });
    }

    pub(super) fn close_idle(&mut self, reason: PoolCloseReason, actions: &mut Actions<R>) {
        while let Some((index, resource)) = self.slots.take_idle_at(0) {
            self.close(index, resource, reason, actions);
        }
    }

    /// Why the connection at this place may not be lent any more, if so.
    #[inline(always)]
    pub(super) fn unfit(&mut self, index: u32, now: Moment) -> Option<PoolCloseReason> {
        match self.stage {
            Stage::Closed => Some(PoolCloseReason::PoolClosed),
            Stage::Open | Stage::Draining if self.is_oversized() => Some(PoolCloseReason::Shrunk),
            Stage::Open | Stage::Draining => {
                self.terms.over(&self.slots.at(index).life, self.epoch, now)
            }
        }
    }

    /// For how long nobody in line can be served: every endpoint keeps failing, and no connection is left but
    /// idle ones that are unfit.
    pub(super) fn cut_off(&self, now: Moment) -> Option<Duration> {
        let counts = self.slots.counts();
        let has_hope = counts.used + counts.validating + counts.connecting > 0;
        if has_hope { None } else { self.endpoints.circuit_open_for(now) }
    }

    pub(super) fn circuit_open(&self, open_for: Duration, now: Moment) -> Refusal {
        let failure = self.endpoints.last_failure(now);
        Refusal::CircuitOpen { open_for, failure: failure.map(|failed| failed.error) }
    }

    /// Refuses everybody who stands in line.
    pub(super) fn refuse_all(
        &mut self,
        refusal: impl Fn(&Self) -> Refusal,
        actions: &mut Actions<R>,
    ) {
        while let Some((ticket, waiter)) = self.line.pop() {
            let refusal = refusal(self);
            self.answer(ticket, waiter.call, Err(refusal), actions);
        }
    }

    #[inline(always)]
    pub(super) fn is_oversized(&self) -> bool {
        let counts = self.slots.counts();
        counts.total() - counts.closing > self.terms.max_size
    }

    pub(super) fn exhausted(&self, now: Moment, waited: Duration) -> Refusal {
        let longest = self.slots.used().min_by_key(|(_, since, _)| *since);
        Refusal::Exhausted(Box::new(Exhaustion {
            pool: self.terms.name.clone(),
            waited,
            max_size: self.terms.max_size,
            counts: self.slots.counts(),
            waiting: self.line.waiting(),
            longest: longest.map(|(_, since, holder)| LongestUse {
                held: now.since(since),
                holder: holder.clone(),
            }),
            failure: self.endpoints.last_failure(now),
            now,
        }))
    }
}

/// To whom a connection is lent.
#[derive(Debug)]
pub(super) struct Lend {
    pub(super) holder: Holder,
    pub(super) custody: Custody,
    pub(super) waited: Span,
}
