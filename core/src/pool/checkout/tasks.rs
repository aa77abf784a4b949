//! What a pool does beside its callers: connecting, checking, closing, and looking after the idle ones.

use super::{
    callbacks::shield,
    connector::Connector,
    shared::{Shared, clock},
    slots::SlotId,
    state::Validation,
};
use crate::{
    error::{ConnectionError, Place, Step},
    pool::reason::PoolCloseReason,
};
use std::{
    future::poll_fn,
    pin::pin,
    sync::{Arc, Weak},
    task::Poll,
};
use tokio::{
    sync::Notify,
    time::{timeout, timeout_at},
};

/// Starts the one task that keeps time for the pool, for as long as there is one.
pub(crate) fn keep<C: Connector>(shared: &Arc<Shared<C>>) {
    shared.runtime.spawn(keeper(End(Arc::downgrade(shared)), Arc::clone(&shared.alarm)));
}

/// Ticks when the state said that it has something to do, or when the alarm goes off; ends with the pool.
async fn keeper<C: Connector>(end: End<C>, alarm: Arc<Notify>) {
    let watched = &end.0;
    while let Some(until) = watched.upgrade().map(|shared| shared.tick(clock())) {
        match until {
            Some(until) => {
                let until = std::time::Instant::from(until);
                _ = timeout_at(until.into(), alarm.notified()).await;
            }
            None => alarm.notified().await,
        }
    }
}

/// Closes the pool when its keeper ends before it: the runtime shuts down, and nobody would tell those who wait
/// that their deadline has come.
struct End<C: Connector>(Weak<Shared<C>>);

impl<C: Connector> Drop for End<C> {
    fn drop(&mut self) {
        if let Some(shared) = self.0.upgrade() {
            shared.close();
        }
    }
}

/// Connects. Whatever becomes of the task, the state hears of it once.
pub(crate) fn open<C: Connector>(shared: &Arc<Shared<C>>, id: SlotId, endpoint: u32) {
    let report = Report { shared: Arc::clone(shared), then: Some(Then::OpenFailed { id }) };
    let address = shared.read(|state| state.endpoints().address(endpoint).cloned());
    shared.runtime.spawn(async move {
        let shared = Arc::clone(&report.shared);
        let place = || Place::at(Step::Connect).to(address.clone());
        let began = clock();
        let attempt = shared.connector.connect(address.as_ref());
        let result = match timeout(shared.times.connect, attempt).await {
            Ok(result) => result,
            Err(_) => Err(ConnectionError::timeout(Some(shared.times.connect), place())),
        };
        report.disarm();
        match result {
            Ok(connection) => {
                if let Some(meter) = shared.meter() {
                    meter.created(clock().since(began));
                }
                let mark = shield(|| shared.connector.mark(&connection)).unwrap_or(0);
                shared.update(|state, actions| {
                    state.on_opened(id, connection, mark, clock(), actions);
                });
            }
            Err(error) => {
                tracing::debug!(%error, "a pool could not connect");
                let error = Arc::new(error);
                shared.update(|state, actions| state.on_open_failed(id, error, clock(), actions));
            }
        }
    });
}

/// Checks or resets a connection, and closes it if that fails.
pub(crate) fn validate<C: Connector>(
    shared: &Arc<Shared<C>>,
    id: SlotId,
    mut resource: C::Connection,
    how: Validation,
) {
    let report = Report { shared: Arc::clone(shared), then: Some(Then::Lost { id }) };
    shared.runtime.spawn(async move {
        let shared = Arc::clone(&report.shared);
        let validation = unless_it_panics(async {
            match how {
                Validation::Check => shared.connector.check(&mut resource).await,
                Validation::Reset => shared.connector.reset(&mut resource).await,
            }
        });
        let result = timeout(shared.times.validate, validation).await;
        report.disarm();
        let has_passed = matches!(result, Ok(Some(Ok(()))));
        let result = if has_passed { Ok(resource) } else { Err(resource) };
        shared.update(|state, actions| state.on_validated(id, result, clock(), actions));
    });
}

/// The output of `future`; `None` if it panics.
async fn unless_it_panics<F: Future>(future: F) -> Option<F::Output> {
    let mut future = pin!(future);
    poll_fn(|cx| match shield(|| future.as_mut().poll(cx)) {
        Some(polled) => polled.map(Some),
        None => Poll::Ready(None),
    })
    .await
}

/// Closes a connection; its place is free after that, or when it takes too long.
pub(crate) fn close<C: Connector>(
    shared: &Arc<Shared<C>>,
    id: SlotId,
    endpoint: u32,
    resource: C::Connection,
    reason: PoolCloseReason,
) {
    let report =
        Report { shared: Arc::clone(shared), then: Some(Then::Closed { id, endpoint, reason }) };
    shared.runtime.spawn(async move {
        let shared = Arc::clone(&report.shared);
        tracing::debug!(reason = reason.name(), "a pool closes a connection");
        if timeout(shared.times.close, shared.connector.close(resource, reason)).await.is_err() {
            tracing::warn!("closing a connection took longer than close_timeout");
        }
        // The report itself says that it is closed.
        drop(report);
    });
}

/// Tells the state what became of a task that ended without telling: it panicked, or its runtime shut down.
struct Report<C: Connector> {
    shared: Arc<Shared<C>>,
    then: Option<Then>,
}

enum Then {
    OpenFailed {
        id: SlotId,
    },
    /// The connection is gone with the task.
    Lost {
        id: SlotId,
    },
    Closed {
        id: SlotId,
        endpoint: u32,
        reason: PoolCloseReason,
    },
}

impl<C: Connector> Report<C> {
    fn disarm(mut self) {
        self.then = None;
    }
}

impl<C: Connector> Drop for Report<C> {
    fn drop(&mut self) {
        let (now, shared) = (clock(), &self.shared);
        if shared.is_inherited() {
            return shared.leave_alone();
        }
        match self.then.take() {
            Some(Then::OpenFailed { id }) => {
                let cause = std::io::Error::other("the attempt panicked, or its runtime shut down");
                let error = Arc::new(ConnectionError::ConnectionFailed {
                    at: Place::at(Step::Connect).because(cause),
                });
                shared.update(|state, actions| state.on_open_failed(id, error, now, actions));
            }
            Some(Then::Lost { id }) => {
                shared.update(|state, actions| state.on_lost(id, now, actions));
            }
            Some(Then::Closed { id, endpoint, reason }) => {
                shared.update(|state, actions| state.on_closed(id, endpoint, reason, now, actions));
            }
            None => {}
        }
    }
}
