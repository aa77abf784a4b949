//! What a call holds of its channel: a place on a connection, and that it is under way.

use super::{
    balance::Done,
    connection::{CallOn, Http2},
    report::LoadReport,
    shared::Shared,
    spans,
    state::{Placed, Waiter, Waiting},
    telemetry::{AttemptMeter, Volume},
    wire::now,
};
use crate::{config::LoadBalancing, status::StatusCode};
use http::HeaderMap;
use std::{fmt, sync::Arc, time::Instant};
use tokio::sync::oneshot;
use tonic::Status;
use tracing::Span;

/// Who waits for a place.
pub(super) type Asking = oneshot::Sender<Result<Place, Status>>;

/// A place for one call on one connection. Dropping it gives the place to the next in line.
pub(super) struct Place {
    shared: Arc<Shared>,
    placed: Placed<Arc<Http2>>,
    done: Done,
    /// Where attempts are counted by method.
    meter: Option<AttemptMeter>,
    /// When the attempt is too late: one that is dropped then without a status has failed.
    deadline: Option<Instant>,
    /// The attempt's.
    span: Span,
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
        Self {
            shared: Arc::clone(shared),
            _call: placed.connection.carry(placed.at),
            placed,
            done: Done::default(),
            meter: None,
            deadline: None,
            span: Span::none(),
        }
    }

    /// The attempt has until `deadline`.
    pub(super) fn until(mut self, deadline: Option<Instant>) -> Self {
        self.deadline = deadline;
        self
    }

    /// The attempt is counted by `meter` once it has ended.
    pub(super) fn metered(mut self, meter: Option<AttemptMeter>) -> Self {
        self.meter = meter;
        self
    }

    /// The attempt's span is this.
    pub(super) fn within(mut self, span: Span) -> Self {
        spans::on_placed(&span, || self.placed.connection.record.peer());
        self.span = span;
        self
    }

    /// Where the bytes of the attempt are counted, if they are.
    pub(super) fn volume(&self) -> Option<&Arc<Volume>> {
        self.meter.as_ref().map(|meter| &meter.volume)
    }

    /// The attempt ended with `code`; `trailers` are what came with that.
    pub(super) fn on_status(&mut self, code: StatusCode, trailers: Option<&HeaderMap>) {
        let trailers = trailers.filter(|_| self.shared.reads_reports());
        self.done.code = Some(code);
        self.done.report = trailers.and_then(LoadReport::of);
    }

    pub(super) fn connection(&self) -> &Http2 {
        &self.placed.connection
    }
}

impl Drop for Place {
    fn drop(&mut self) {
        let (subchannel, number) = (self.placed.subchannel, self.placed.number);
        let mut done = std::mem::take(&mut self.done);
        done.pass = self.placed.pass.take();
        if done.code.is_none() && self.deadline.is_some_and(|deadline| deadline <= now()) {
            done.code = Some(StatusCode::DeadlineExceeded);
        }
        if let Some(meter) = &mut self.meter {
            meter.code = done.code;
        }
        spans::on_end(&self.span, done.code.unwrap_or(StatusCode::Cancelled));
        self.placed.connection.record.on_call_ended(done.code == Some(StatusCode::Ok));
        self.shared.with(|state, now, draw| {
            state.balance.give_back(subchannel, number, done, now, draw);
        });
    }
}

/// Counts a call as under way, for as long as it lives.
#[derive(Debug)]
pub(super) struct Busy {
    shared: Arc<Shared>,
    is_success: bool,
}

impl Busy {
    /// The call ended with `code`; dropped without that, it was given up.
    pub(super) fn end(mut self, code: StatusCode) {
        self.is_success = code == StatusCode::Ok;
    }
}

impl Drop for Busy {
    fn drop(&mut self) {
        let is_success = self.is_success;
        let is_last = self.shared.with(|state, now, _| {
            state.calls.on_end(is_success);
            state.idle.on_call_ended(now)
        });
        if is_last {
            self.shared.quiet.notify_waiters();
        }
    }
}

impl Shared {
    /// A call begins. `None` once the channel is closed.
    pub(super) fn begin_call(self: &Arc<Self>) -> Option<Busy> {
        let is_open = self.with(|state, now, _| {
            let is_open = !state.is_closed();
            if is_open {
                state.idle.on_call();
                state.calls.on_start(now);
            }
            is_open
        });
        is_open.then(|| Busy { shared: Arc::clone(self), is_success: false })
    }

    /// Whether servers' reports that come with calls count.
    pub(super) fn reads_reports(&self) -> bool {
        match &self.service.load_balancing {
            Some(LoadBalancing::WeightedRoundRobin(config)) => config.report_period.is_none(),
            _ => false,
        }
    }

    /// What a call ends with that no address takes.
    pub(super) fn refused(&self) -> Status {
        self.meters.on_refused();
        let mut status = Status::unavailable(
            "every address that is connected to has as many calls as it may, or fails too often",
        );
        status.set_source(Arc::new(Refused));
        status
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
            self.meters.on_placement(true);
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
            Ok(()) => {
                self.meters.on_placement(false);
                answer.await.unwrap_or_else(|_| Err(closed()))
            }
            Err(None) => Err(closed()),
            Err(Some(_)) => Err(Status::resource_exhausted(format!(
                "{} calls wait for a connection already",
                self.config.max_queued_calls
            ))),
        }
    }
}

/// As the source of a status: the call was kept away from every address, and is not to be tried again.
#[derive(Debug, thiserror::Error)]
#[error("no address takes one more call")]
pub(super) struct Refused;

/// What a call on a closed channel ends with.
pub(super) fn closed() -> Status {
    Status::cancelled("the channel is closed")
}

impl Waiter for Asking {
    fn is_gone(&self) -> bool {
        self.is_closed()
    }
}
