//! The hub's front for users who speak HTTP: each request goes to the cluster that a route says.
//!
//! ```text
//!   request ─▶ exchange: who asks ─▶ route ─▶ rewrite ─▶ Services ─▶ dial
//!                        └── denied: status, why    ◀── response, as it comes
//! ```

mod denied;
mod exchange;
mod route;
mod users;

pub(super) use users::{Proved, Users};

use super::shared::Shared;
use crate::{
    manager::Cut,
    relay::RelayLimits,
    transport::{Listener, Stream},
    tunnel::http::{self, Gate, Limits, Services},
};
use ::http::StatusCode;
use bytes::BytesMut;
use exchange::Front;
use std::sync::Arc;
use tokio::runtime::Handle;
use tokio_util::{sync::CancellationToken, task::TaskTracker};

/// Serves users until the hub stops. The listener takes a place under the limit before each of them.
pub(super) async fn accept_users(shared: Arc<Shared>, listener: Listener) {
    let mut incoming = shared.incoming(listener);
    while let Some(stream) = incoming.next().await {
        let task = http::serve(Arc::clone(&shared), stream, BytesMut::new());
        shared.fronts.spawn_on(task, shared.network.runtime());
    }
}

impl http::Site for Shared {
    type Front = Front;

    fn front(self: &Arc<Self>, stream: &Stream, gate: Arc<Gate>) -> Front {
        Front {
            shared: Arc::clone(self),
            gate,
            source: stream.context().source.clone(),
            is_secured: stream.tls().is_some(),
            certified: stream.tls().and_then(|session| self.users.by_certificate(session)),
            services: Services::default(),
        }
    }

    fn limits(&self) -> Limits {
        let (http, link) = (&self.config.http, &self.config.link);
        Limits {
            max_head: http.max_head,
            max_fields: http.max_fields,
            max_streams: http.max_streams,
            head_timeout: http.head_timeout,
            idle_timeout: self.config.idle_timeout,
            window: link.window,
            send_buffer: link.send_buffer,
            ping_interval: link.ping_interval,
            ping_timeout: link.ping_timeout,
        }
    }

    fn relay_limits(&self) -> RelayLimits {
        self.relay_limits()
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

    fn on_answered(&self, status: StatusCode, _is_denied: bool) {
        self.requests.add(status);
    }
}
