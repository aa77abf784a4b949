//! Serves the requests of one connection, of either version, until it ends or its site does.

use super::{
    PREFACE,
    body::Reply,
    checked::{Checked, Gate, REFUSED_METHOD},
    fault::Denial,
    framing::HeadLimits,
    site::{Front, Site},
};
use crate::transport::Stream;
use bytes::BytesMut;
use http::{Request, Response, StatusCode, Version, header::UPGRADE};
use hyper::{
    body::Incoming,
    rt::Executor,
    server::conn::{http1, http2},
    service::service_fn,
};
use hyper_util::rt::{TokioIo, TokioTimer};
use std::{convert::Infallible, future::Future, pin::pin, sync::Arc};
use tokio::time::timeout;

/// Serves what comes over `stream`, of which `begun` was read already.
pub(in crate::tunnel) async fn serve<S: Site>(site: Arc<S>, stream: Stream, begun: BytesMut) {
    let served = async {
        let begun = timeout(site.limits().head_timeout, begin(&stream, begun)).await;
        let Ok(Some((is_http2, begun))) = begun else { return };
        if is_http2 {
            serve_http2(&site, stream, begun).await;
        } else {
            serve_http1(&site, stream, begun).await;
        }
    };
    tokio::select! {
        biased;
        _ = site.cut().ordered() => {}
        () = served => {}
    }
}

/// Which version is spoken, and what was read to tell; `None` where nothing came.
async fn begin(stream: &Stream, mut begun: BytesMut) -> Option<(bool, BytesMut)> {
    match stream.tls().and_then(|session| session.alpn.as_deref()) {
        Some("h2") => return Some((true, begun)),
        Some(_) => return Some((false, begun)),
        None => {}
    }
    while PREFACE.starts_with(&begun) && begun.len() < PREFACE.len() {
        let before = begun.len();
        begun.resize(PREFACE.len(), 0);
        let count = stream.read(&mut begun[before..]).await.ok().filter(|count| *count > 0)?;
        begun.truncate(before + count);
    }
    Some((begun.starts_with(PREFACE), begun))
}

async fn serve_http1<S: Site>(site: &Arc<S>, stream: Stream, begun: BytesMut) {
    let limits = site.limits();
    let heads = HeadLimits { bytes: limits.max_head as usize, fields: limits.max_fields as usize };
    let gate = Arc::new(Gate::default());
    let front = Arc::new(site.front(&stream, Arc::clone(&gate)));
    let checked = Checked::http1(stream, begun, heads, limits.idle_timeout, &gate);
    let service = service_fn(|request| {
        answer(Arc::clone(site), Arc::clone(&front), Arc::clone(&gate), request)
    });
    let connection = http1::Builder::new()
        .timer(TokioTimer::new())
        .header_read_timeout(limits.head_timeout)
        .max_headers(heads.fields + 1)
        .max_buf_size(heads.bytes.max(64 << 10))
        .serve_connection(TokioIo::new(checked), service)
        .with_upgrades();
    let mut connection = pin!(connection);
    let mut is_draining = false;
    let answer = loop {
        tokio::select! {
            biased;
            () = site.stopping().cancelled(), if !is_draining => {
                is_draining = true;
                connection.as_mut().graceful_shutdown();
            }
            answer = &mut connection => break answer,
        }
    };
    tracing::trace!(error = ?answer.err(), "a user's connection is over");
}

async fn serve_http2<S: Site>(site: &Arc<S>, stream: Stream, begun: BytesMut) {
    let limits = site.limits();
    let gate = Arc::new(Gate::default());
    let front = Arc::new(site.front(&stream, Arc::clone(&gate)));
    let checked = Checked::framed(stream, begun, limits.idle_timeout, &gate);
    let of = Arc::clone(site);
    let service = service_fn(move |request| {
        answer(Arc::clone(&of), Arc::clone(&front), Arc::clone(&gate), request)
    });
    let mut builder = http2::Builder::new(Tasks(Arc::clone(site)));
    builder
        .timer(TokioTimer::new())
        .max_concurrent_streams(limits.max_streams)
        .max_header_list_size(limits.max_head)
        .initial_stream_window_size(limits.window)
        .max_send_buf_size(limits.send_buffer as usize)
        .keep_alive_interval(limits.ping_interval.duration())
        .keep_alive_timeout(limits.ping_timeout);
    let mut connection = pin!(builder.serve_connection(TokioIo::new(checked), service));
    let mut is_draining = false;
    let answer = loop {
        tokio::select! {
            biased;
            () = site.stopping().cancelled(), if !is_draining => {
                is_draining = true;
                connection.as_mut().graceful_shutdown();
            }
            answer = &mut connection => break answer,
        }
    };
    tracing::trace!(error = ?answer.err(), "a user's connection is over");
}

/// Answers a request, in any case.
async fn answer<S: Site>(
    site: Arc<S>,
    front: Arc<S::Front>,
    gate: Arc<Gate>,
    request: Request<Incoming>,
) -> Result<Response<Reply>, Infallible> {
    let is_held = request.version() == Version::HTTP_11 && request.headers().contains_key(UPGRADE);
    let is_refused = request.method().as_str() == REFUSED_METHOD;
    let answer = match gate.fault().filter(|_| is_refused) {
        Some(fault) => Err(fault.into()),
        None => front.exchange(request).await,
    };
    let is_denied = answer.is_err();
    let response = answer.unwrap_or_else(|denied| {
        tracing::debug!(status = %denied.status(), why = denied.text(), "a request was denied");
        Reply::denied(&denied)
    });
    if is_held && response.status() != StatusCode::SWITCHING_PROTOCOLS {
        gate.release();
    }
    site.on_answered(response.status(), is_denied);
    Ok(response)
}

/// Runs the requests of HTTP/2 where everything of the site runs, and is waited for.
#[derive(Debug)]
struct Tasks<S>(Arc<S>);

impl<S> Clone for Tasks<S> {
    fn clone(&self) -> Self {
        Self(Arc::clone(&self.0))
    }
}

impl<S, F> Executor<F> for Tasks<S>
where
    S: Site,
    F: Future + Send + 'static,
    F::Output: Send,
{
    fn execute(&self, task: F) {
        let site = Arc::clone(&self.0);
        let task = async move {
            tokio::select! {
                biased;
                _ = site.cut().ordered() => {}
                _ = task => {}
            }
        };
        self.0.fronts().spawn_on(task, self.0.runtime());
    }
}
