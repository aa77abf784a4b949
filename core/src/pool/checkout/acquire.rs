//! The future of a caller who wants a connection.

use super::{
    connector::Connector,
    holder::Holder,
    lease::Lease,
    line::Ticket,
    pool::refused,
    shared::{Pace, Shared, clock},
    state::{Answer, Call, Collected, Custody, Loan, Verdict},
};
use crate::{error::ConnectionError, pool::moment::Moment};
use std::{
    pin::Pin,
    sync::Arc,
    task::{Context, Poll},
    time::Instant,
};

/// A caller on its way to a [`Lease`], made by [`CheckoutPool::acquire`](super::CheckoutPool::acquire).
///
/// Its place in line is that of the first poll.
///
/// # Cancel safety
///
/// Dropping it loses the place in line and nothing else: a connection that was handed over at that moment
/// goes to the next in line, and one that is being made for it is still made.
#[must_use = "a future does nothing unless it is awaited"]
pub struct Acquire<'a, C: Connector> {
    shared: &'a Arc<Shared<C>>,
    until: Until,
    holder: Holder,
    /// Drawn by the first poll that found nothing, gone with the answer.
    ticket: Option<Ticket>,
}

/// For how long a caller waits.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Patience {
    /// As the configuration says, from the first poll on, or from the call.
    Configured,
    /// Until then, or without limit.
    Until(Option<Instant>),
}

impl<'a, C: Connector> Acquire<'a, C> {
    pub(super) fn new(shared: &'a Arc<Shared<C>>, patience: Patience, holder: Holder) -> Self {
        Self { shared, until: patience.into(), holder, ticket: None }
    }

    fn finish(&self, answer: Answer<C::Connection>) -> Result<Lease<C>, ConnectionError> {
        match answer {
            Ok(loan) => Ok(self.shared.lease(loan)),
            Err(refusal) => Err(refused(refusal)),
        }
    }

    #[inline(always)]
    fn enter(&mut self, cx: &Context<'_>) -> Poll<Result<Lease<C>, ConnectionError>> {
        self.shared.check_process()?;
        let mut call = None;
        let wake = || Ok::<_, ConnectionError>(Call::Wake(cx.waker().clone()));
        let custody = Custody::Holder;
        loop {
            let (now, deadline) = self.shared.begin(&mut self.until);
            match self.shared.enter(now, deadline, &self.holder, custody, &mut call, wake)? {
                Entered::Waits(ticket) => {
                    self.ticket = Some(ticket);
                    return Poll::Pending;
                }
                Entered::Lent(loan) => {
                    if let Some(lease) = self.shared.lease_unless_broken(loan) {
                        return Poll::Ready(Ok(lease));
                    }
                }
            }
        }
    }

    /// What was given is of no more use: back to the head of the line.
    fn enter_again(
        &mut self,
        loan: Loan<C::Connection>,
        cx: &Context<'_>,
    ) -> Poll<Result<Lease<C>, ConnectionError>> {
        let (call, now) = (Call::Wake(cx.waker().clone()), clock());
        let (_, deadline) = self.shared.begin(&mut self.until);
        let verdict = self.shared.update(|state, actions| {
            state.on_retired(loan, deadline, &self.holder, call, now, actions)
        });
        match verdict {
            Verdict::Waits(ticket) => {
                self.ticket = Some(ticket);
                Poll::Pending
            }
            Verdict::Refused(refusal) => Poll::Ready(Err(refused(refusal))),
            Verdict::Lent(loan) => Poll::Ready(Ok(self.shared.lease(loan))),
            Verdict::NeedsCall => unreachable!("it was given"),
        }
    }
}

/// Until when a caller waits, in the pool's own terms.
#[derive(Clone, Copy, Debug)]
pub(super) enum Until {
    /// As the configuration says, from the first look at it on.
    Configured,
    /// `None` for ever.
    Moment(Option<Moment>),
}

impl From<Patience> for Until {
    fn from(patience: Patience) -> Self {
        match patience {
            Patience::Configured => Self::Configured,
            Patience::Until(deadline) => Self::Moment(deadline.map(Moment::from)),
        }
    }
}

/// What became of a caller who asked for a connection.
pub(super) enum Entered<R> {
    Lent(Loan<R>),
    Waits(Ticket),
}

impl<C: Connector> Shared<C> {
    /// The time, and until when to wait, which is fixed by the first look at it.
    #[inline]
    pub(super) fn begin(&self, until: &mut Until) -> (Moment, Option<Moment>) {
        match *until {
            Until::Configured => {
                let now = self.now();
                let deadline = self.deadline(now);
                *until = Until::Moment(deadline);
                (now, deadline)
            }
            Until::Moment(deadline) => (self.now_before(deadline), deadline),
        }
    }

    /// Asks the state for a connection. `call` is made with `make` when it is needed, which is not under the lock:
    /// the clone of a waker is the user's code.
    ///
    /// # Errors
    ///
    /// Why there is none, or those of `make`.
    #[inline(always)]
    pub(super) fn enter<E: From<ConnectionError>>(
        self: &Arc<Self>,
        now: Moment,
        deadline: Option<Moment>,
        holder: &Holder,
        custody: Custody,
        call: &mut Option<Call>,
        mut make: impl FnMut() -> Result<Call, E>,
    ) -> Result<Entered<C::Connection>, E> {
        if call.is_none() && self.is_crowded() {
            *call = Some(make()?);
        }
        loop {
            let verdict = self.exchange(now, |state, actions| {
                let verdict = state.on_acquire(now, deadline, holder, custody, call, actions);
                let pace = match &verdict {
                    Verdict::Waits(_) => Pace::Waits,
                    Verdict::Lent(_) | Verdict::Refused(_) | Verdict::NeedsCall => Pace::AtOnce,
                };
                (verdict, pace)
            });
            self.note_crowd(matches!(verdict, Verdict::Waits(_)));
            match verdict {
                Verdict::NeedsCall => *call = Some(make()?),
                Verdict::Lent(loan) => return Ok(Entered::Lent(loan)),
                Verdict::Refused(refusal) => return Err(refused(refusal).into()),
                Verdict::Waits(ticket) => return Ok(Entered::Waits(ticket)),
            }
        }
    }
}

impl<C: Connector> Future for Acquire<'_, C> {
    type Output = Result<Lease<C>, ConnectionError>;

    fn poll(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Self::Output> {
        let Some(ticket) = self.ticket else { return self.enter(cx) };
        self.shared.check_process()?;
        let mut waker = None;
        loop {
            match self.shared.write(|state| state.collect(ticket, &mut waker)) {
                Collected::Answer(answer) => {
                    self.ticket = None;
                    return Poll::Ready(self.finish(answer));
                }
                Collected::Retired(loan) => {
                    self.ticket = None;
                    return self.enter_again(loan, cx);
                }
                // The waker that was replaced is dropped here, where no lock is held.
                Collected::Nothing if waker.is_some() => return Poll::Pending,
                Collected::Nothing => waker = Some(cx.waker().clone()),
            }
        }
    }
}

impl<C: Connector> Drop for Acquire<'_, C> {
    fn drop(&mut self) {
        let Some(ticket) = self.ticket else { return };
        let left = self.shared.update(|state, actions| state.on_cancel(ticket, clock(), actions));
        drop(left);
    }
}

impl<C: Connector> std::fmt::Debug for Acquire<'_, C> {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Acquire").field("ticket", &self.ticket).finish_non_exhaustive()
    }
}
