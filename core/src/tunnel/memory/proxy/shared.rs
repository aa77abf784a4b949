//! What a memory proxy and its tasks have in common. The tasks hold this, and never the proxy itself.

use super::{
    asking::{Asking, Terms},
    exchange::Front,
    hooks::{CertificateProvider, ProxyHooks, RequestProcessor, Router},
};
use crate::{
    budget::Budget,
    config::{ByteLimit, LinkConfig, MemoryProxyConfig, TimeLimit},
    manager::{Cut, Live},
    relay::RelayLimits,
    transport::{Network, Stream},
    tunnel::http::{self, Gate, Limits, Requests, Services},
};
use ::http::StatusCode;
use std::{
    sync::{
        Arc,
        atomic::{AtomicU64, Ordering},
    },
    time::Instant,
};
use tokio::runtime::Handle;
use tokio_util::{sync::CancellationToken, task::TaskTracker};

#[derive(Debug)]
pub(in crate::tunnel::memory) struct Shared {
    pub(super) network: Network,
    pub(super) config: MemoryProxyConfig,
    pub(super) router: Option<Asking<dyn Router>>,
    pub(super) processor: Option<Asking<dyn RequestProcessor>>,
    pub(super) certificates: Option<Asking<dyn CertificateProvider>>,
    pub(super) budget: Budget,
    pub(super) live: Arc<Live>,
    pub(super) counts: Counts,
    pub(super) hooks_failed: Arc<AtomicU64>,
    requests: Requests,
    /// Nothing new, but what stands may finish.
    pub(super) stopping: CancellationToken,
    pub(super) cut: Cut,
    /// Accept loops.
    pub(super) loops: TaskTracker,
    /// Connections, and what serves them.
    pub(super) fronts: TaskTracker,
}

/// What happened so far.
#[derive(Debug, Default)]
pub(super) struct Counts {
    pub(super) requests: AtomicU64,
    pub(super) denied: AtomicU64,
    pub(super) upgraded: AtomicU64,
    pub(super) handshakes_failed: AtomicU64,
}

impl Shared {
    pub(super) fn new(network: Network, config: MemoryProxyConfig, hooks: ProxyHooks) -> Self {
        let hooks_failed = Arc::default();
        let terms = Terms {
            metrics: network.metrics(),
            limit: config.hook_timeout,
            max_pending: config.max_pending_hooks,
            failures: &hooks_failed,
        };
        let router = hooks.router.map(|hook| Asking::new("router", hook, &terms));
        let processor = hooks.processor.map(|hook| Asking::new("request processor", hook, &terms));
        let certificates =
            hooks.certificates.map(|hook| Asking::new("certificate provider", hook, &terms));
        Self {
            router,
            processor,
            certificates,
            budget: Budget::new(u64::from(config.max_connections)),
            live: Live::new(),
            counts: Counts::default(),
            requests: Requests::new(network.metrics(), "trunkline_memory_proxy_requests_total"),
            stopping: CancellationToken::new(),
            cut: Cut::default(),
            loops: TaskTracker::new(),
            fronts: TaskTracker::new(),
            hooks_failed,
            network,
            config,
        }
    }
}

impl http::Site for Shared {
    type Front = Front;

    fn front(self: &Arc<Self>, stream: &Stream, gate: Arc<Gate>) -> Front {
        Front {
            shared: Arc::clone(self),
            gate,
            connection: stream.context().id,
            source: stream.context().source.clone(),
            is_secured: stream.tls().is_some(),
            server_name: stream
                .tls()
                .and_then(|session| session.server_name.as_deref().map(Into::into)),
            services: Services::default(),
        }
    }

    fn limits(&self) -> Limits {
        let config = &self.config;
        // What of HTTP/2 there is no reason to set is as for the hub's users.
        let link = LinkConfig::default();
        Limits {
            max_head: config.max_head,
            max_fields: config.max_fields,
            max_streams: config.max_streams,
            head_timeout: config.head_timeout,
            idle_timeout: config.idle_timeout,
            window: link.window,
            send_buffer: link.send_buffer,
            ping_interval: link.ping_interval,
            ping_timeout: link.ping_timeout,
        }
    }

    fn relay_limits(&self) -> RelayLimits {
        let MemoryProxyConfig { idle_timeout, half_close_timeout, buffer_size, .. } = self.config;
        RelayLimits {
            idle: idle_timeout,
            half_close: half_close_timeout,
            buffer_size: buffer_size as usize,
            max_duration: TimeLimit::Never,
            splice_after: ByteLimit::Never,
            ..RelayLimits::default()
        }
    }

    fn stopping(&self) -> &CancellationToken {
        &self.stopping
    }

    fn cut(&self) -> &Cut {
        &self.cut
    }

    fn fronts(&self) -> &TaskTracker {
        &self.fronts
    }

    fn runtime(&self) -> &Handle {
        self.network.runtime()
    }

    fn on_answered(&self, status: StatusCode, is_denied: bool) {
        self.requests.add(status);
        self.counts.requests.fetch_add(1, Ordering::Relaxed);
        if is_denied {
            self.counts.denied.fetch_add(1, Ordering::Relaxed);
        }
        if status == StatusCode::SWITCHING_PROTOCOLS {
            self.counts.upgraded.fetch_add(1, Ordering::Relaxed);
        }
    }
}

#[expect(clippy::disallowed_methods, reason = "events and deadlines are told by this clock")]
pub(super) fn clock() -> Instant {
    tokio::time::Instant::now().into_std()
}
