//! A connection that a manager relays, as others see it while it goes on, and how they end it.

use crate::{
    context::{CloseReason, ConnectionContext},
    endpoint::EndpointId,
    relay::Pulse,
    transport::CloseHandle,
};
use std::{
    sync::{
        Arc, OnceLock,
        atomic::{AtomicU8, Ordering},
    },
    time::{Duration, Instant},
};
use tokio::sync::Notify;

const REACHING: u8 = 0;
const WAITING: u8 = 1;
const RELAYING: u8 = 2;

/// Written by whoever relays the connection, read by anybody.
#[derive(Debug)]
pub(crate) struct Relayed {
    pulse: Pulse,
    stage: AtomicU8,
    backend: OnceLock<Arc<str>>,
    /// Which of the backend's.
    endpoint: OnceLock<EndpointId>,
    /// What its first bytes speak.
    protocol: OnceLock<&'static str>,
    server: OnceLock<CloseHandle>,
    ended: OnceLock<CloseReason>,
    end: Notify,
}

impl Relayed {
    pub(super) fn new(now: Instant) -> Arc<Self> {
        Arc::new(Self {
            pulse: Pulse::new(now),
            stage: AtomicU8::new(REACHING),
            backend: OnceLock::new(),
            endpoint: OnceLock::new(),
            protocol: OnceLock::new(),
            server: OnceLock::new(),
            ended: OnceLock::new(),
            end: Notify::new(),
        })
    }

    pub(super) fn on_probed(&self, protocol: &'static str) {
        let _ = self.protocol.set(protocol);
    }

    pub(super) fn on_routed(&self, backend: &Arc<str>) {
        let _ = self.backend.set(Arc::clone(backend));
    }

    pub(super) fn on_endpoint(&self, endpoint: EndpointId) {
        let _ = self.endpoint.set(endpoint);
    }

    /// Whether it goes to one of `endpoints` of this very backend, not of another that had the same name.
    pub(super) fn goes_to(&self, backend: &Arc<str>, endpoints: &[EndpointId]) -> bool {
        let is_there = self.backend.get().is_some_and(|name| Arc::ptr_eq(name, backend));
        is_there && self.endpoint.get().is_some_and(|endpoint| endpoints.contains(endpoint))
    }

    /// Whether it stands in line for a place of its backend.
    pub(super) fn on_waiting(&self, waits: bool) {
        self.stage.store(if waits { WAITING } else { REACHING }, Ordering::Relaxed);
    }

    pub(super) fn on_reached(&self, server: CloseHandle) {
        let _ = self.server.set(server);
    }

    /// Bytes move from here on; what counts them.
    pub(super) fn on_relaying(&self) -> &Pulse {
        self.stage.store(RELAYING, Ordering::Relaxed);
        &self.pulse
    }

    /// Whoever relays it is to end it. The first reason counts. Waits for nothing.
    pub(super) fn end(&self, reason: CloseReason) {
        let _ = self.ended.set(reason);
        self.end.notify_one();
    }

    /// Waits for [`end`](Self::end). For one waiter at a time.
    pub(super) async fn ended(&self) -> CloseReason {
        self.end.notified().await;
        self.ended.get().copied().unwrap_or(CloseReason::Killed)
    }

    pub(super) fn is_relaying(&self) -> bool {
        self.stage.load(Ordering::Relaxed) == RELAYING
    }

    pub(super) fn is_waiting(&self) -> bool {
        self.stage.load(Ordering::Relaxed) == WAITING
    }

    /// How long no byte has moved, once any may.
    pub(super) fn idle(&self, now: Instant) -> Option<Duration> {
        self.is_relaying().then(|| self.pulse.silence(now))
    }

    pub(super) fn backend(&self) -> Option<Arc<str>> {
        self.backend.get().cloned()
    }

    pub(super) fn protocol(&self) -> Option<&'static str> {
        self.protocol.get().copied()
    }

    /// The stream to its destination.
    pub(super) fn server(&self) -> Option<ConnectionContext> {
        self.server.get()?.context()
    }
}
