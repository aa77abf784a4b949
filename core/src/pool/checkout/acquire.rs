//! The future of a caller who wants a connection.

use super::{
    connector::Connector,
    holder::Holder,
    lease::Lease,
    line::Ticket,
    pool::refused,
    shared::{Pace, Shared, clock},
    state::{Answer, Call, Verdict},
};
use crate::error::ConnectionError;
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
    deadline: Option<Instant>,
    holder: Holder,
    /// Drawn by the first poll that found nothing, gone with the answer.
    ticket: Option<Ticket>,
}

impl<'a, C: Connector> Acquire<'a, C> {
    pub(super) fn new(
        shared: &'a Arc<Shared<C>>,
        deadline: Option<Instant>,
        holder: Holder,
    ) -> Self {
        Self { shared, deadline, holder, ticket: None }
    }

    fn finish(&self, answer: Answer<C::Connection>) -> Result<Lease<C>, ConnectionError> {
        match answer {
            Ok(loan) => Ok(self.shared.lease(loan)),
            Err(refusal) => Err(refused(refusal)),
        }
    }

    fn enter(&mut self, cx: &Context<'_>) -> Poll<Result<Lease<C>, ConnectionError>> {
        self.shared.check_process()?;
        loop {
            match self.shared.enter(self.deadline, &self.holder, || Call::Wake(cx.waker().clone()))
            {
                Verdict::Waits(ticket) => {
                    self.ticket = Some(ticket);
                    return Poll::Pending;
                }
                Verdict::Refused(refusal) => return Poll::Ready(Err(refused(refusal))),
                Verdict::Lent(loan) => {
                    if let Some(lease) = self.shared.lease_unless_broken(loan) {
                        return Poll::Ready(Ok(lease));
                    }
                }
            }
        }
    }
}

impl<C: Connector> Shared<C> {
    /// Asks the state for a connection.
    pub(super) fn enter(
        self: &Arc<Self>,
        deadline: Option<Instant>,
        holder: &Holder,
        call: impl FnOnce() -> Call<C::Connection>,
    ) -> Verdict<C::Connection> {
        let now = clock();
        self.exchange(|state, actions| {
            let verdict = state.on_acquire(now, deadline, holder, call, actions);
            let pace = match &verdict {
                Verdict::Waits(_) => Pace::Waits,
                Verdict::Lent(_) | Verdict::Refused(_) => Pace::AtOnce,
            };
            (verdict, pace)
        })
    }
}

impl<C: Connector> Future for Acquire<'_, C> {
    type Output = Result<Lease<C>, ConnectionError>;

    fn poll(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Self::Output> {
        let Some(ticket) = self.ticket else { return self.enter(cx) };
        let waker = cx.waker().clone();
        match self.shared.write(|state| state.collect(ticket, waker)) {
            Ok(answer) => {
                self.ticket = None;
                Poll::Ready(self.finish(answer))
            }
            // The waker that was replaced is dropped here, after the lock is released.
            Err(_replaced) => Poll::Pending,
        }
    }
}

impl<C: Connector> Drop for Acquire<'_, C> {
    fn drop(&mut self) {
        let Some(ticket) = self.ticket else { return };
        let waiting =
            self.shared.update(|state, actions| state.on_cancel(ticket, clock(), actions));
        drop(waiting);
    }
}

impl<C: Connector> std::fmt::Debug for Acquire<'_, C> {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Acquire").field("ticket", &self.ticket).finish_non_exhaustive()
    }
}
