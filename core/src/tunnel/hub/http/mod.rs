//! The hub's front for users who speak HTTP: each request goes to the cluster that a route says.
//!
//! ```text
//!   stream ─▶ Checked ─▶ HTTP/1 or 2 ─▶ exchange: who asks ─▶ route ─▶ rewrite ─▶ Services ─▶ dial
//!             framing                        └── denied: status, why      ◀── response, as it comes
//! ```
//!
//! What is read of HTTP/1 passes a reader of our own that is stricter than any behind it, so that hub and service
//! cannot disagree about where a request ends. Bodies stream both ways and are held nowhere; other protocols that are
//! upgraded to are carried as bytes.

mod body;
mod checked;
mod exchange;
mod fault;
mod framing;
#[cfg(fuzzing)]
mod fuzzing;
mod head;
mod requests;
mod route;
mod service;
mod users;

#[cfg(fuzzing)]
pub(in crate::tunnel) use fuzzing::requests as fuzz_requests;
pub(super) use requests::Requests;
pub(super) use users::Users;

use super::{accept::Incoming, shared::Shared};
use crate::{
    config::HttpConfig,
    transport::{Listener, Stream},
};
use bytes::BytesMut;
use checked::Checked;
use exchange::Front;
use framing::HeadLimits;
use hyper::{
    rt::Executor,
    server::conn::{http1, http2},
    service::service_fn,
};
use hyper_util::rt::{TokioIo, TokioTimer};
use service::Services;
use std::{future::Future, pin::pin, sync::Arc};
use tokio::time::timeout;

/// What HTTP/2 begins with where it was not agreed on.
const PREFACE: &[u8] = b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n";

/// What listeners of TLS agree on, the preferred one first.
pub(super) fn alpn() -> Vec<String> {
    vec!["h2".to_owned(), "http/1.1".to_owned()]
}

/// Serves users until the hub stops. The listener takes a place under the limit before each of them.
pub(super) async fn accept_users(shared: Arc<Shared>, listener: Listener) {
    let mut incoming = Incoming::new(&shared, listener);
    while let Some(stream) = incoming.next().await {
        shared.fronts.spawn_on(serve(Arc::clone(&shared), stream), shared.network.runtime());
    }
}

async fn serve(shared: Arc<Shared>, stream: Stream) {
    let served = async {
        let begun = timeout(shared.config.http.head_timeout, begin(&stream)).await;
        let Ok(Some((is_http2, begun))) = begun else { return };
        if is_http2 {
            serve_http2(&shared, stream, begun).await;
        } else {
            serve_http1(&shared, stream, begun).await;
        }
    };
    tokio::select! {
        biased;
        _ = shared.cut.ordered() => {}
        () = served => {}
    }
}

/// Which version is spoken, and what was read to tell; `None` where nothing came.
async fn begin(stream: &Stream) -> Option<(bool, BytesMut)> {
    match stream.tls().and_then(|session| session.alpn.as_deref()) {
        Some("h2") => return Some((true, BytesMut::new())),
        Some(_) => return Some((false, BytesMut::new())),
        None => {}
    }
    let mut begun = BytesMut::new();
    while begun.len() < PREFACE.len() {
        let before = begun.len();
        begun.resize(PREFACE.len(), 0);
        let count = stream.read(&mut begun[before..]).await.ok().filter(|count| *count > 0)?;
        begun.truncate(before + count);
        if !PREFACE.starts_with(&begun) {
            return Some((false, begun));
        }
    }
    Some((true, begun))
}

fn front(shared: &Arc<Shared>, stream: &Stream) -> Front {
    Front {
        shared: Arc::clone(shared),
        gate: Arc::default(),
        source: stream.context().source.clone(),
        is_secured: stream.tls().is_some(),
        certified: stream.tls().and_then(|session| shared.users.by_certificate(session)),
        services: Services::default(),
    }
}

async fn serve_http1(shared: &Arc<Shared>, stream: Stream, begun: BytesMut) {
    let HttpConfig { max_head, max_fields, head_timeout, .. } = shared.config.http;
    let limits = HeadLimits { bytes: max_head as usize, fields: max_fields as usize };
    let mut front = front(shared, &stream);
    let checked = Checked::http1(stream, begun, limits, shared.config.idle_timeout);
    front.gate = checked.gate();
    let front = Arc::new(front);
    let service = service_fn(|request| Arc::clone(&front).answer(request));
    let connection = http1::Builder::new()
        .timer(TokioTimer::new())
        .header_read_timeout(head_timeout)
        .max_headers(max_fields as usize + 1)
        .max_buf_size((max_head as usize).max(64 << 10))
        .serve_connection(TokioIo::new(checked), service)
        .with_upgrades();
    let mut connection = pin!(connection);
    let mut is_draining = false;
    let answer = loop {
        tokio::select! {
            biased;
            () = shared.stopping.cancelled(), if !is_draining => {
                is_draining = true;
                connection.as_mut().graceful_shutdown();
            }
            answer = &mut connection => break answer,
        }
    };
    tracing::trace!(error = ?answer.err(), "a user's connection is over");
}

async fn serve_http2(shared: &Arc<Shared>, stream: Stream, begun: BytesMut) {
    let HttpConfig { max_head, max_streams, .. } = shared.config.http;
    let link = &shared.config.link;
    let front = Arc::new(front(shared, &stream));
    let checked = Checked::framed(stream, begun, shared.config.idle_timeout);
    let service = service_fn(move |request| Arc::clone(&front).answer(request));
    let mut builder = http2::Builder::new(Tasks(Arc::clone(shared)));
    builder
        .timer(TokioTimer::new())
        .max_concurrent_streams(max_streams)
        .max_header_list_size(max_head)
        .initial_stream_window_size(link.window)
        .max_send_buf_size(link.send_buffer as usize)
        .keep_alive_interval(link.ping_interval.duration())
        .keep_alive_timeout(link.ping_timeout);
    let mut connection = pin!(builder.serve_connection(TokioIo::new(checked), service));
    let mut is_draining = false;
    let answer = loop {
        tokio::select! {
            biased;
            () = shared.stopping.cancelled(), if !is_draining => {
                is_draining = true;
                connection.as_mut().graceful_shutdown();
            }
            answer = &mut connection => break answer,
        }
    };
    tracing::trace!(error = ?answer.err(), "a user's connection is over");
}

/// Runs the requests of HTTP/2 where everything of the hub runs, and is waited for.
#[derive(Clone, Debug)]
struct Tasks(Arc<Shared>);

impl<F> Executor<F> for Tasks
where
    F: Future + Send + 'static,
    F::Output: Send,
{
    fn execute(&self, task: F) {
        let shared = Arc::clone(&self.0);
        let task = async move {
            tokio::select! {
                biased;
                _ = shared.cut.ordered() => {}
                _ = task => {}
            }
        };
        self.0.fronts.spawn_on(task, self.0.network.runtime());
    }
}
