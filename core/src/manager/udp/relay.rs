//! The task that receives for a relay and gives each datagram to the session of its source.

use super::{
    session::{Plan, SessionKey},
    shared::{Shared, now},
};
use crate::{
    address::Address,
    config::TimeLimit,
    error::ConnectionError,
    events::{EventKind, PauseCause},
    manager::pacing::{Next, Pacing},
    metrics::DropReason,
    transport::{
        Datagram,
        udp::{Arrived, Inbox, Train},
    },
};
use std::{
    net::SocketAddr,
    sync::{Arc, atomic::Ordering},
    task::Poll,
};
use tokio::time::sleep_until;

/// Datagrams or trains that are taken from the kernel at once.
const BATCH: usize = 32;
/// Batches that are carried before other tasks of the runtime get their turn.
const ROUNDS: usize = 8;

/// Where a relay listens, and where what comes there goes.
#[derive(Debug)]
pub(super) struct Relay {
    pub(super) socket: Arc<Datagram>,
    pub(super) local: SocketAddr,
    pub(super) to: Address,
    pub(super) idle_timeout: TimeLimit,
}

/// Receives until the manager is cut.
pub(super) async fn receive_loop(shared: Arc<Shared>, relay: Relay) {
    let mut inbox = Inbox::new(BATCH);
    let mut pacing = Pacing::new(shared.config.receive_pause);
    loop {
        tokio::select! {
            biased;
            _ = shared.cut.ordered() => break,
            () = relay.socket.readable() => {}
        }
        if let Err(error) = relay.receive(&shared, &mut inbox, &mut pacing) {
            pause(&shared, &relay, &mut pacing, &error).await;
        }
    }
    relay.socket.close();
    shared.listening.lock().routes.remove(relay.socket.address());
}

/// Lets time pass where the next receive would fail alike: an error must not end the relay, nor make it spin.
async fn pause(shared: &Shared, relay: &Relay, pacing: &mut Pacing, error: &ConnectionError) {
    let address = relay.socket.address();
    let Next::Pause { until, is_new } = pacing.on_failed(false, now()) else { return };
    if is_new {
        shared.receive_pauses.fetch_add(1, Ordering::Relaxed);
        let cause = PauseCause::Resources;
        shared.record(EventKind::AcceptPaused { cause }, Some(address));
        tracing::warn!(%address, error = error as &dyn std::error::Error, "receiving paused");
    }
    tokio::select! {
        biased;
        _ = shared.cut.ordered() => {}
        () = sleep_until(until.into()) => {}
    }
}

impl Relay {
    fn receive(
        &self,
        shared: &Arc<Shared>,
        inbox: &mut Inbox,
        pacing: &mut Pacing,
    ) -> Result<(), ConnectionError> {
        for _ in 0..ROUNDS {
            match self.socket.try_recv_batch(inbox) {
                Poll::Ready(answer) => answer?,
                Poll::Pending => return Ok(()),
            }
            if pacing.on_accepted() {
                shared.record(EventKind::AcceptResumed, Some(self.socket.address()));
            }
            while let Some((arrived, train)) = inbox.next_train() {
                self.take(shared, arrived, train);
            }
        }
        Ok(())
    }

    /// Never waits: one client must not hold up the others.
    fn take(&self, shared: &Arc<Shared>, arrived: Arrived, train: Train<'_>) {
        let ip = arrived.to.unwrap_or_else(|| self.local.ip());
        let local = SocketAddr::new(ip, self.local.port());
        let key = SessionKey { source: arrived.source, local };
        if let Some(session) = shared.sessions.find(&key)
            && shared.forward(&session, train)
        {
            return;
        }
        let lost = self.begin(shared, key, train);
        if let Some(reason) = lost {
            shared.datagrams.add_received(train.len());
            shared.datagrams.add_dropped(reason, train.len());
        }
    }

    /// Begins a session with its first datagrams; says why they were lost, if so.
    fn begin(&self, shared: &Arc<Shared>, key: SessionKey, train: Train<'_>) -> Option<DropReason> {
        if shared.stopping.is_cancelled() {
            return Some(DropReason::Draining);
        }
        let plan = Plan {
            key,
            outlet: Arc::clone(&self.socket),
            to: self.to.clone(),
            idle_timeout: self.idle_timeout,
        };
        let session = match shared.begin(plan) {
            Ok(session) => session,
            Err(ConnectionError::Udp { .. }) => return Some(DropReason::SessionTableFull),
            Err(_) => return Some(DropReason::Draining),
        };
        let taken = shared.forward(&session, train);
        if let Err(refused) = shared.sessions.insert(Arc::clone(&session)) {
            refused.value.close(crate::context::CloseReason::Cancelled);
        }
        if session.is_over() {
            // Its task may have been faster than the insertion.
            shared.sessions.forget(&session);
        }
        (!taken).then_some(DropReason::SessionClosed)
    }
}
