//! Who serves HTTP: what the front of a hub and a memory proxy have in common, and what each says itself.

use super::{body::Reply, checked::Gate, fault::Denial};
use crate::{config::TimeLimit, manager::Cut, relay::RelayLimits, transport::Stream};
use http::{Request, Response, StatusCode};
use hyper::body::Incoming;
use std::{future::Future, sync::Arc, time::Duration};
use tokio::runtime::Handle;
use tokio_util::{sync::CancellationToken, task::TaskTracker};

/// An owner of connections over which requests come.
pub(in crate::tunnel) trait Site: Send + Sync + Sized + 'static {
    /// What it knows of one connection.
    type Front: Front;

    fn front(self: &Arc<Self>, stream: &Stream, gate: Arc<Gate>) -> Self::Front;

    fn limits(&self) -> Limits;

    /// Of what is carried as bytes.
    fn relay_limits(&self) -> RelayLimits;

    /// Nothing new, but what stands may finish.
    fn stopping(&self) -> &CancellationToken;

    fn cut(&self) -> &Cut;

    /// Connections, and what serves them.
    fn fronts(&self) -> &TaskTracker;

    fn runtime(&self) -> &Handle;

    /// A request was answered, and not by whom it was for where it `is_denied`.
    fn on_answered(&self, status: StatusCode, is_denied: bool);
}

/// One connection over which requests come.
pub(in crate::tunnel) trait Front: Send + Sync + 'static {
    type Denied: Denial;

    /// Has the request answered by whom it is for.
    fn exchange(
        &self,
        request: Request<Incoming>,
    ) -> impl Future<Output = Result<Response<Reply>, Self::Denied>> + Send;
}

/// How much of HTTP one connection may be, and how long it may take.
#[derive(Clone, Copy, Debug)]
pub(in crate::tunnel) struct Limits {
    pub(in crate::tunnel) max_head: u32,
    pub(in crate::tunnel) max_fields: u32,
    pub(in crate::tunnel) max_streams: u32,
    pub(in crate::tunnel) head_timeout: Duration,
    pub(in crate::tunnel) idle_timeout: TimeLimit,
    /// Of a request over HTTP/2.
    pub(in crate::tunnel) window: u32,
    pub(in crate::tunnel) send_buffer: u32,
    pub(in crate::tunnel) ping_interval: TimeLimit,
    pub(in crate::tunnel) ping_timeout: Duration,
}
