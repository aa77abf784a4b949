//! What a call holds of its channel: a place on a connection, and that it is under way.

use super::{
    connection::{CallOn, Http2},
    shared::Shared,
    state::{Placed, Waiter, Waiting},
};
use std::{fmt, sync::Arc};
use tokio::sync::oneshot;
use tonic::Status;

/// Who waits for a place.
pub(super) type Asking = oneshot::Sender<Result<Place, Status>>;

/// A place for one call on one connection. Dropping it gives the place to the next in line.
pub(super) struct Place {
    shared: Arc<Shared>,
    placed: Placed<Arc<Http2>>,
    /// For keepalive, which rests while there is none.
    _call: CallOn,
}

impl fmt::Debug for Place {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.placed.fmt(f)
    }
}

impl Place {
    pub(super) fn new(shared: &Arc<Shared>, placed: Placed<Arc<Http2>>) -> Self {
        Self { shared: Arc::clone(shared), _call: placed.connection.call(), placed }
    }

    pub(super) fn connection(&self) -> &Http2 {
        &self.placed.connection
    }
}

impl Drop for Place {
    fn drop(&mut self) {
        let (subchannel, number) = (self.placed.subchannel, self.placed.number);
        self.shared.with(|state, _, _| state.balance.give_back(subchannel, number));
    }
}

/// Counts a call as under way, for as long as it lives.
#[derive(Debug)]
pub(super) struct Busy(Arc<Shared>);

impl Drop for Busy {
    fn drop(&mut self) {
        if self.0.with(|state, now, _| state.idle.on_call_ended(now)) {
            self.0.quiet.notify_waiters();
        }
    }
}

impl Shared {
    /// A call begins. `None` once the channel is closed.
    pub(super) fn begin_call(self: &Arc<Self>) -> Option<Busy> {
        let is_open = self.with(|state, _, _| {
            let is_open = !state.is_closed();
            if is_open {
                state.idle.on_call();
            }
            is_open
        });
        is_open.then(|| Busy(Arc::clone(self)))
    }

    /// Waits for a place for a call.
    ///
    /// # Cancel safety
    ///
    /// Dropping the future loses the place in line; a place handed over at that moment goes to the next.
    pub(super) async fn place(
        self: &Arc<Self>,
        key: Option<&[u8]>,
        for_ready: bool,
    ) -> Result<Place, Status> {
        let placed = self.with(|state, now, draw| state.place_now(key, now, draw));
        if let Some(placed) = placed {
            return Ok(Place::new(self, placed));
        }
        let (who, answer) = oneshot::channel();
        let waiting = Waiting { key: key.map(Into::into), for_ready, who };
        let queued = self.with(|state, now, draw| {
            if state.is_closed() {
                Err(None)
            } else {
                state.on_waiting(waiting, now, draw).map_err(Some)
            }
        });
        match queued {
            Ok(()) => answer.await.unwrap_or_else(|_| Err(closed())),
            Err(None) => Err(closed()),
            Err(Some(_)) => Err(Status::resource_exhausted(format!(
                "{} calls wait for a connection already",
                self.config.max_queued_calls
            ))),
        }
    }
}

/// What a call on a closed channel ends with.
pub(super) fn closed() -> Status {
    Status::cancelled("the channel is closed")
}

impl Waiter for Asking {
    fn is_gone(&self) -> bool {
        self.is_closed()
    }
}
