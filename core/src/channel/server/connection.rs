//! One connection of the server half: its calls, its age, its end.

use super::{
    super::{received::Received, security::is_agreed, turns::Turns, wire::now},
    guarded::{Guarded, OpenCalls},
    pings::PingRule,
};
use crate::{
    config::{ChannelServerConfig, TimeLimit},
    transport::Stream,
};
use bytes::Bytes;
use h2::{RecvStream, SendStream, server};
use http::{HeaderMap, Request, Response};
use http_body::{Body as _, Frame};
use std::{
    convert::Infallible,
    future::{Future, pending, poll_fn},
    pin::{Pin, pin},
    sync::Arc,
    task::{Context, Poll, ready},
    time::Instant,
};
use tokio::runtime::Handle;
use tokio_util::{sync::CancellationToken, task::TaskTracker};
use tonic::{Status, body::Body};
use tower_service::Service;

/// What every connection of a server needs.
#[derive(Clone)]
pub(super) struct Serving<S> {
    pub(super) runtime: Handle,
    pub(super) service: S,
    pub(super) config: ChannelServerConfig,
    pub(super) drain: CancellationToken,
    pub(super) cut: CancellationToken,
    pub(super) tasks: TaskTracker,
}

/// The body of a request.
#[derive(Debug)]
pub struct RequestBody(Received);

/// Serves one connection to its end.
pub(super) async fn serve<S>(stream: Stream, serving: Serving<S>)
where
    S: Service<Request<RequestBody>, Response = Response<Body>, Error = Infallible>,
    S: Clone + Send + Sync + 'static,
    S::Future: Send,
{
    let session = stream.tls().cloned().map(Arc::new);
    if !is_agreed(&stream) {
        tracing::debug!("a client's connection was closed: it did not agree to speak h2 over TLS");
        return;
    }
    let mut builder = server::Builder::new();
    builder
        .max_concurrent_streams(serving.config.max_concurrent_streams)
        .max_header_list_size(16 << 10)
        .initial_window_size(1 << 20)
        .initial_connection_window_size(4 << 20);
    let calls = OpenCalls::default();
    let mut turns = Turns::new(stream.shared_metrics());
    let stream = Guarded::new(stream, PingRule::new(&serving.config), calls.clone());
    let greeted = tokio::select! {
        () = serving.cut.cancelled() => return,
        greeted = builder.handshake::<_, Bytes>(stream) => greeted,
    };
    // Its calls end behind the connection: it would still tell the client that each was reset.
    let gone = CancellationToken::new();
    let _ends_calls = gone.clone().drop_guard();
    let Ok(mut connection) = greeted else { return };
    let mut age = pin!(until(old_at(serving.config.max_connection_age)));
    let mut grace = pin!(until(None));
    let mut is_leaving = false;
    loop {
        let call = tokio::select! {
            biased;
            () = serving.cut.cancelled() => return,
            () = &mut grace => return,
            () = serving.drain.cancelled(), if !is_leaving => {
                is_leaving = true;
                connection.graceful_shutdown();
                continue;
            }
            () = &mut age, if !is_leaving => {
                is_leaving = true;
                connection.graceful_shutdown();
                grace.set(until(serving.config.max_connection_age_grace.from(now())));
                continue;
            }
            call = poll_fn(|cx| {
                // What answers that are ready have to send goes out in one write.
                ready!(turns.poll_next(calls.count(), cx));
                connection.poll_accept(cx)
            }) => call,
        };
        let Some(Ok((mut request, respond))) = call else { return };
        if let Some(session) = &session {
            request.extensions_mut().insert(Arc::clone(session));
        }
        let open = calls.open();
        let work = answer(serving.service.clone(), request, respond, gone.clone());
        let work = async move {
            work.await;
            drop(open);
        };
        serving.tasks.spawn_on(work, &serving.runtime);
    }
}

/// When a connection that begins now is old, by chance a tenth earlier or later.
fn old_at(age: TimeLimit) -> Option<Instant> {
    let age = age.duration()?.mul_f64(0.9 + 0.2 * fastrand::f64());
    now().checked_add(age)
}

async fn until(time: Option<Instant>) {
    match time {
        Some(time) => tokio::time::sleep_until(time.into()).await,
        None => pending().await,
    }
}

async fn answer<S>(
    mut service: S,
    request: Request<RecvStream>,
    mut respond: server::SendResponse<Bytes>,
    gone: CancellationToken,
) where
    S: Service<Request<RequestBody>, Response = Response<Body>, Error = Infallible>,
{
    let request = request.map(|stream| RequestBody(Received::new(stream)));
    if poll_fn(|cx| service.poll_ready(cx)).await.is_err() {
        return;
    }
    let mut answered = pin!(service.call(request));
    let response = poll_fn(|cx| {
        // Whoever gave the call up does not wait for an answer.
        if respond.poll_reset(cx).is_ready() {
            return Poll::Ready(None);
        }
        answered.as_mut().poll(cx).map(Result::ok)
    });
    let response = tokio::select! {
        biased;
        () = gone.cancelled() => return,
        response = response => response,
    };
    let Some(response) = response else { return };
    let (parts, body) = response.into_parts();
    let is_all = body.is_end_stream();
    let Ok(stream) = respond.send_response(Response::from_parts(parts, ()), is_all) else { return };
    if !is_all {
        tokio::select! {
            biased;
            () = gone.cancelled() => {}
            () = send(stream, body) => {}
        }
    }
}

/// Sends a body, as fast as the client takes it.
async fn send(mut stream: SendStream<Bytes>, mut body: Body) {
    loop {
        let frame = poll_fn(|cx| {
            if stream.poll_reset(cx).is_ready() {
                return Poll::Ready(None);
            }
            Pin::new(&mut body).poll_frame(cx)
        });
        match frame.await {
            None => {
                let _ = stream.send_data(Bytes::new(), true);
                return;
            }
            Some(Err(_)) => {
                stream.send_reset(h2::Reason::INTERNAL_ERROR);
                return;
            }
            Some(Ok(frame)) => match frame.into_data() {
                Ok(data) => {
                    if !send_data(&mut stream, data).await {
                        return;
                    }
                }
                Err(frame) => {
                    let trailers = frame.into_trailers().unwrap_or_else(|_| HeaderMap::new());
                    let _ = stream.send_trailers(trailers);
                    return;
                }
            },
        }
    }
}

/// False once the client wants no more.
async fn send_data(stream: &mut SendStream<Bytes>, mut data: Bytes) -> bool {
    while !data.is_empty() {
        stream.reserve_capacity(data.len());
        let room = match stream.capacity() {
            0 => match poll_fn(|cx| stream.poll_capacity(cx)).await {
                Some(Ok(room)) => room,
                Some(Err(_)) | None => return false,
            },
            room => room,
        };
        let part = data.split_to(room.min(data.len()));
        if stream.send_data(part, false).is_err() {
            return false;
        }
    }
    true
}

impl http_body::Body for RequestBody {
    type Data = Bytes;
    type Error = Status;

    fn poll_frame(
        self: Pin<&mut Self>,
        cx: &mut Context<'_>,
    ) -> Poll<Option<Result<Frame<Bytes>, Status>>> {
        Pin::new(&mut self.get_mut().0).poll_frame(cx)
    }

    fn is_end_stream(&self) -> bool {
        self.0.is_end_stream()
    }
}
