//! The agent's end of a link: the HTTP/2 server on a connection that the agent itself has dialled.

use super::{
    DETAIL, End, Limits, NUMBER, OPEN, REPLACED, SOURCE, TARGET,
    buf::Counted,
    inlet::{Arrivals, Inlet},
    link::{HEADERS_MAX, MAX_FRAME, RESET_MEMORY, SPARE},
    outlet::Outlet,
};
use crate::{
    address::Address,
    budget::Permit,
    transport::{Stream, Transport},
    tunnel::{
        carrier::{self, Asked, Later},
        refusal::Refusal,
    },
};
use h2::{RecvStream, server};
use http::{HeaderMap, HeaderName, HeaderValue, Method, Request, Response, StatusCode};
use std::{
    future::poll_fn,
    sync::Arc,
    task::{Poll, ready},
    time::Duration,
};
use tokio_util::task::{TaskTracker, task_tracker::TaskTrackerToken};

/// Serves one link.
pub(in crate::tunnel) struct Serving {
    /// `None` only while it is dropped.
    connection: Option<server::Connection<Stream, Counted>>,
    arrivals: Arc<Arrivals>,
    limits: Limits,
    load: TaskTracker,
}

/// A logical connection that the hub asks for.
struct Opening {
    target: Option<Address>,
    source: Option<Address>,
    respond: server::SendResponse<Counted>,
    body: RecvStream,
    arrivals: Arc<Arrivals>,
    load: TaskTrackerToken,
}

impl Serving {
    /// Begins to speak HTTP/2 on `stream`, after the hello.
    pub(in crate::tunnel) async fn begin(
        stream: Stream,
        limits: Limits,
    ) -> Result<Self, h2::Error> {
        let connection = server::Builder::new()
            .initial_window_size(limits.window)
            .initial_connection_window_size(limits.link_window)
            .max_frame_size(MAX_FRAME)
            .max_send_buffer_size(limits.send_buffer)
            .max_header_list_size(HEADERS_MAX)
            .max_concurrent_streams(limits.streams + SPARE)
            .max_concurrent_reset_streams(limits.streams as usize)
            .reset_stream_duration(RESET_MEMORY)
            // A hub whose users give up many dials at once is no attacker: the streams are bounded above.
            .max_pending_accept_reset_streams(limits.streams as usize)
            .max_local_error_reset_streams(None)
            .handshake(stream)
            .await?;
        let arrivals = Arc::new(Arrivals::default());
        Ok(Self { connection: Some(connection), arrivals, limits, load: TaskTracker::new() })
    }

    async fn run(&mut self) -> Asked {
        loop {
            let Some(connection) = &mut self.connection else { return Asked::Over(None) };
            let arrivals = &self.arrivals;
            let next = poll_fn(|cx| {
                arrivals.begin();
                let answer = connection.poll_accept(cx);
                arrivals.settle(cx);
                answer
            });
            let (request, respond) = match next.await {
                Some(Ok(next)) => next,
                Some(Err(error)) => return Asked::Over(Some(error.into())),
                None => return Asked::Over(None),
            };
            match self.understand(request, respond) {
                Some(asked) => return asked,
                None => tracing::debug!("a request of the hub was not understood"),
            }
        }
    }

    fn understand(
        &self,
        request: Request<RecvStream>,
        mut respond: server::SendResponse<Counted>,
    ) -> Option<Asked> {
        let (head, body) = request.into_parts();
        match (&head.method, head.uri.path()) {
            (&Method::POST, OPEN) => {}
            (&Method::POST, REPLACED) => {
                let _ = respond.send_response(Response::new(()), true);
                return Some(Asked::Replaced);
            }
            _ => {
                refuse(respond, &Refusal::NotUnderstood);
                return None;
            }
        }
        let (Ok(target), Ok(source)) =
            (address(&head.headers, TARGET), address(&head.headers, SOURCE))
        else {
            refuse(respond, &Refusal::NotUnderstood);
            return None;
        };
        let (arrivals, load) = (Arc::clone(&self.arrivals), self.load.token());
        let opening = Opening { target, source, respond, body, arrivals, load };
        Some(Asked::Open(Box::new(opening)))
    }
}

impl carrier::Serving for Serving {
    fn next(&mut self) -> Later<'_, Asked> {
        Box::pin(self.run())
    }

    fn silence(&mut self) -> Later<'static, ()> {
        let pings = self.connection.as_mut().and_then(server::Connection::ping_pong);
        Box::pin(self.limits.pings.silence(pings, || Duration::ZERO))
    }

    fn drain(&mut self) {
        if let Some(connection) = &mut self.connection {
            connection.graceful_shutdown();
        }
    }
}

impl Drop for Serving {
    fn drop(&mut self) {
        drop(self.connection.take());
        self.arrivals.end();
    }
}

impl carrier::Opening for Opening {
    fn target(&self) -> Option<&Address> {
        self.target.as_ref()
    }

    fn source(&self) -> Option<&Address> {
        self.source.as_ref()
    }

    fn withdrawn(&mut self) -> Later<'_, ()> {
        Box::pin(poll_fn(|cx| {
            let _ = ready!(self.respond.poll_reset(cx));
            Poll::Ready(())
        }))
    }

    fn accept(mut self: Box<Self>, permit: Permit) -> Option<Box<dyn Transport>> {
        let stream = self.respond.send_response(Response::new(()), false).ok()?;
        let inlet = Inlet::new(self.body, &self.arrivals);
        let outlet = Outlet::new(stream, &self.arrivals);
        Some(Box::new(End::new(inlet, outlet, self.load, Some(permit))))
    }

    fn refuse(self: Box<Self>, why: &Refusal) {
        refuse(self.respond, why);
    }
}

fn refuse(mut respond: server::SendResponse<Counted>, why: &Refusal) {
    let mut response = Response::new(());
    *response.status_mut() = why.status();
    let headers = response.headers_mut();
    if let Some(number) = why.number() {
        headers.insert(NUMBER, number.into());
    }
    // A text that is no header's value is left out: the status says enough.
    if let Some(Ok(text)) = why.text().map(HeaderValue::try_from) {
        headers.insert(DETAIL, text);
    }
    debug_assert_ne!(response.status(), StatusCode::OK);
    // Fails where the hub has gone, which needs no answer.
    let _ = respond.send_response(response, true);
}

fn address(headers: &HeaderMap, name: HeaderName) -> Result<Option<Address>, ()> {
    let Some(value) = headers.get(name) else { return Ok(None) };
    let text = str::from_utf8(value.as_bytes()).map_err(drop)?;
    text.parse().map(Some).map_err(drop)
}
