//! What a pool's state is asked, and what it answers.

use super::super::{
    entrust::Teller, exhaustion::Exhaustion, holder::Holder, line::Ticket, slots::SlotId,
};
use crate::{
    error::ConnectionError,
    pool::{
        moment::{Moment, Span},
        reason::PoolCloseReason,
    },
};
use smallvec::SmallVec;
use std::{sync::Arc, task::Waker, time::Duration};

/// A caller in line.
#[derive(Debug)]
pub(crate) struct Waiter {
    pub(crate) call: Call,
    pub(crate) since: Moment,
    pub(crate) holder: Holder,
}

/// How a caller in line hears of its answer.
pub(crate) enum Call {
    /// It is woken, and collects the answer with its ticket.
    Wake(Waker),
    /// It is told, after the lock is released, and knows its connection by number.
    Tell(Arc<dyn Teller>),
}

impl std::fmt::Debug for Call {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str(match self {
            Self::Wake(_) => "Wake",
            Self::Tell(_) => "Tell",
        })
    }
}

/// A connection that is lent.
#[derive(Debug)]
pub(crate) struct Loan<R> {
    pub(crate) id: SlotId,
    /// What its connector knows it by.
    pub(crate) mark: u64,
    /// `None` if the pool keeps it.
    pub(crate) resource: Option<R>,
    /// How long the caller stood in line; zero if it did not.
    pub(crate) waited: Span,
}

/// Who has a connection that is lent.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Custody {
    Holder,
    /// The pool: the holder knows it by its number.
    Pool,
}

pub(crate) type Answer<R> = Result<Loan<R>, Refusal>;

/// Why a caller gets no connection.
#[derive(Debug)]
pub(crate) enum Refusal {
    /// The pool is closed or drained.
    Closed,
    /// Nothing came before the deadline; `waited` is zero for one who did not want to wait.
    Exhausted(Box<Exhaustion>),
    TooManyWaiters(u32),
    /// Every endpoint keeps failing, and no connection is left.
    CircuitOpen {
        open_for: Duration,
        failure: Option<Arc<ConnectionError>>,
    },
}

/// What becomes of a caller.
#[derive(Debug)]
pub(crate) enum Verdict<R> {
    Lent(Loan<R>),
    Refused(Refusal),
    Waits(Ticket),
    /// It has to wait: it should come again and say how it hears of its answer.
    NeedsCall,
}

/// What a caller in line finds.
#[derive(Debug)]
pub(crate) enum Collected<R> {
    Answer(Answer<R>),
    /// It was given a connection, but the pool was cleared since: see [`State::on_retired`].
    Retired(Loan<R>),
    Nothing,
}

/// What a caller who gives up leaves behind, to be dropped after the lock is released.
#[derive(Debug)]
pub(crate) enum Left {
    /// It was still in line.
    Place(#[expect(dead_code, reason = "held to be dropped")] Call),
    /// It had been refused.
    Refusal(#[expect(dead_code, reason = "held to be dropped")] Refusal),
}

/// In which shape a connection comes back.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Fate {
    /// Good for the next.
    Reuse,
    /// Of no more use, for this reason.
    Close(PoolCloseReason),
}

/// What the driver must do once the lock is released.
#[derive(Debug)]
pub(crate) enum Action<R> {
    Wake(Waker),
    Tell(TellAnswer<R>),
    /// Connect, and report [`State::on_opened`] or [`State::on_open_failed`].
    Open {
        id: SlotId,
        endpoint: u32,
    },
    /// Check or reset, and report [`State::on_validated`].
    Validate {
        id: SlotId,
        resource: R,
        how: Validation,
    },
    /// Close, and report [`State::on_closed`].
    Close {
        id: SlotId,
        endpoint: u32,
        resource: R,
        reason: PoolCloseReason,
    },
    /// Drop it: its destructor may be the user's.
    Drop(Arc<ConnectionError>),
    /// Say that this lease is held for too long.
    ReportLeak {
        holder: Holder,
        held: Duration,
    },
}

impl<R> Action<R> {
    /// Whether it does nothing but tell a caller.
    pub(crate) fn is_answer(&self) -> bool {
        match self {
            Self::Wake(_) | Self::Tell(_) => true,
            Self::Open { .. }
            | Self::Validate { .. }
            | Self::Close { .. }
            | Self::ReportLeak { .. }
            | Self::Drop(_) => false,
        }
    }
}

/// Somebody who is told, with the answer.
pub(crate) struct TellAnswer<R> {
    pub(crate) teller: Arc<dyn Teller>,
    pub(crate) answer: Answer<R>,
}

impl<R> std::fmt::Debug for TellAnswer<R> {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("TellAnswer").finish_non_exhaustive()
    }
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Validation {
    Check,
    Reset,
}

/// Most calls lead to one action at most.
pub(crate) type Actions<R> = SmallVec<[Action<R>; 2]>;

/// What came of a connection that was put back.
#[derive(Clone, Copy, Debug)]
pub(crate) struct PutBack {
    pub(crate) used: Span,
}
