//! Connections that stay with their pool while they are lent: for callers of other languages, who know them by number.

use super::{
    acquire::{Entered, Patience, Until},
    callbacks::shield,
    connector::Connector,
    holder::Holder,
    lease::{Lease, LeaseId},
    line::Ticket,
    pool::{CheckoutPool, refused},
    shared::{Pace, Shared, clock},
    state::{Call, Custody, Fate, Loan, TellAnswer},
};
use crate::error::ConnectionError;
use std::sync::Arc;

/// A connection that is lent and stays with its pool: its numbers stand for it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Entrusted {
    /// To be given to [`put_back`](CheckoutPool::put_back) once.
    pub lease: LeaseId,
    /// What its [connector](Connector::mark) knows it by.
    pub mark: u64,
}

/// Somebody in line who is no Rust task, and how he hears of his answer.
pub trait Teller: Send + Sync + 'static {
    /// Takes the answer. It runs once, in the thread that has the answer, without a lock, and must not block. If it
    /// panics, the connection is closed.
    fn tell(self: Arc<Self>, answer: Result<Entrusted, ConnectionError>);
}

impl<F: Fn(Result<Entrusted, ConnectionError>) + Send + Sync + 'static> Teller for F {
    fn tell(self: Arc<Self>, answer: Result<Entrusted, ConnectionError>) {
        self(answer);
    }
}

/// What became of a caller who has a [`Teller`].
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Acquired {
    /// There was a connection at once; nobody is told.
    Now(Entrusted),
    /// The teller is told once, unless the ticket is cancelled before.
    Later(WaitTicket),
}

/// A place in the line of a pool.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct WaitTicket(Ticket);

/// The lease has ended, or was never of this pool.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[error("the lease has ended before, or is of another pool")]
pub struct StaleLease;

impl<C: Connector> CheckoutPool<C> {
    /// Takes a connection for a caller who is no Rust task: at once if one is there, else the teller hears of it.
    ///
    /// `teller` is asked for, once at most and without a lock, when there is reason to wait. It may be dropped unused.
    ///
    /// # Errors
    ///
    /// As [`acquire`](Self::acquire), for what is known at once, and those of `teller`; nobody is told then.
    pub fn acquire_then<T: Teller, E: From<ConnectionError>>(
        &self,
        patience: Patience,
        holder: Holder,
        teller: impl FnOnce() -> Result<Arc<T>, E>,
    ) -> Result<Acquired, E> {
        let shared = self.shared();
        shared.check_process()?;
        let (custody, mut until) = (shared.custody(), Until::from(patience));
        let (mut teller, mut call) = (Some(teller), None);
        let mut make = || {
            let teller = teller.take().expect("a call that was made is kept until it is used");
            Ok::<_, E>(Call::Tell(teller()?))
        };
        loop {
            let (now, deadline) = shared.begin(&mut until);
            match shared.enter(now, deadline, &holder, custody, &mut call, &mut make)? {
                Entered::Waits(ticket) => return Ok(Acquired::Later(WaitTicket(ticket))),
                Entered::Lent(loan) => {
                    if let Some(entrusted) = shared.entrust_unless_broken(loan) {
                        return Ok(Acquired::Now(entrusted));
                    }
                }
            }
        }
    }

    /// As [`try_acquire_as`](Self::try_acquire_as), for a caller who is to know the connection by number.
    pub fn try_acquire_entrusted(&self, holder: &Holder) -> Option<Entrusted> {
        let shared = self.shared();
        loop {
            let loan = shared.try_enter(holder, shared.custody())?;
            if let Some(entrusted) = shared.entrust_unless_broken(loan) {
                return Some(entrusted);
            }
        }
    }

    /// Gives a place in line up: its teller is dropped without being told.
    ///
    /// Returns whether the caller was still in line; if not, the teller has been or is being told.
    pub fn cancel(&self, ticket: WaitTicket) -> bool {
        let left =
            self.shared().update(|state, actions| state.on_cancel(ticket.0, clock(), actions));
        left.is_some()
    }

    /// Puts back a connection that is [entrusted](Lease::entrust) to the pool, or closes it.
    ///
    /// # Errors
    ///
    /// [`StaleLease`] if it was put back before; nothing happened.
    pub fn put_back(&self, lease: LeaseId, discard: bool) -> Result<(), StaleLease> {
        let shared = self.shared();
        if discard {
            return shared.reclaim(lease).map(Lease::discard).ok_or(StaleLease);
        }
        if shared.abilities.peeks {
            return shared.reclaim(lease).map(drop).ok_or(StaleLease);
        }
        let id = lease.slot(shared.salt).ok_or(StaleLease)?;
        let now = shared.now();
        let answer = shared.exchange(now, |state, actions| {
            (state.on_put_back(id, None, Fate::Reuse, now, actions), Pace::AtOnce)
        });
        answer.map(|put_back| shared.note_use(put_back)).map_err(|_| StaleLease)
    }

    /// Takes an [entrusted](Lease::entrust) lease back into one's own hands; `None` if it has ended.
    pub fn reclaim(&self, lease: LeaseId) -> Option<Lease<C>> {
        self.shared().reclaim(lease)
    }

    /// Closes the pool, and with it every connection that is [entrusted](Lease::entrust) to it: for callers who
    /// cannot release them any more.
    pub fn close_entrusted(&self) {
        self.shared().close_with_entrusted();
    }
}

impl<C: Connector> Shared<C> {
    /// Who has a connection that is lent by number: it is looked at first where the connector looks.
    fn custody(&self) -> Custody {
        if self.abilities.peeks { Custody::Holder } else { Custody::Pool }
    }

    fn entrust_unless_broken(self: &Arc<Self>, loan: Loan<C::Connection>) -> Option<Entrusted> {
        if loan.resource.is_none() {
            return Some(self.entrusted(&loan));
        }
        let mark = loan.mark;
        let lease = self.lease_unless_broken(loan)?;
        Some(Entrusted { lease: lease.entrust(), mark })
    }

    fn entrusted(&self, loan: &Loan<C::Connection>) -> Entrusted {
        if let Some(meter) = self.meter() {
            meter.waited(loan.waited.into());
        }
        Entrusted { lease: LeaseId::new(self.salt, loan.id), mark: loan.mark }
    }

    fn reclaim(self: &Arc<Self>, lease: LeaseId) -> Option<Lease<C>> {
        let id = lease.slot(self.salt)?;
        let resource = self.write(|state| state.reclaim(id))?;
        Some(Lease::new(Arc::clone(self), id, Some(resource)))
    }

    /// Gives somebody who stood in line his answer.
    pub(super) fn tell(self: &Arc<Self>, told: TellAnswer<C::Connection>) {
        let answer = told.answer.map(|loan| self.entrusted(&loan)).map_err(refused);
        let lease = answer.as_ref().ok().map(|entrusted| entrusted.lease);
        let has_panicked = shield(|| told.teller.tell(answer)).is_none();
        // Nobody knows of it now, unless the teller passed it on before.
        if has_panicked && let Some(lease) = lease.and_then(|lease| self.reclaim(lease)) {
            lease.discard();
        }
    }
}
