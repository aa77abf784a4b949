//! The hub's end of a link: the HTTP/2 client on a connection that the agent has dialled.

use super::{
    DETAIL, End, Limits, NUMBER, OPEN, REPLACED, SOURCE, TARGET,
    buf::Counted,
    inlet::{Arrivals, Inlet},
    link::{HEADERS_MAX, MAX_FRAME, RESET_MEMORY},
    outlet::Outlet,
};
use crate::{
    address::Address,
    transport::{Stream, Transport},
    tunnel::{
        carrier::{Carrier, Later, Lost},
        refusal::Refusal,
    },
};
use h2::{RecvStream, client};
use http::{HeaderMap, HeaderName, HeaderValue, Method, Request, Response, StatusCode};
use std::{
    future::{Future, poll_fn},
    pin::Pin,
    sync::Arc,
    time::Duration,
};
use tokio_util::task::TaskTracker;

/// Opens logical connections on one link. The link closes once this is dropped and its streams have ended.
#[derive(Debug)]
pub(in crate::tunnel) struct Link {
    requests: client::SendRequest<Counted>,
    arrivals: Arc<Arrivals>,
    load: TaskTracker,
}

/// Drives a link: nothing moves on it while this is not polled. Dropping it breaks what is open.
pub(in crate::tunnel) struct Driver {
    /// `None` only while it is dropped.
    connection: Option<client::Connection<Stream, Counted>>,
    arrivals: Arc<Arrivals>,
    limits: Limits,
}

/// Begins to speak HTTP/2 on `stream`, after the hello.
pub(in crate::tunnel) async fn connect(
    stream: Stream,
    limits: Limits,
) -> Result<(Link, Driver), h2::Error> {
    let (requests, connection) = client::Builder::new()
        .initial_window_size(limits.window)
        .initial_connection_window_size(limits.link_window)
        .max_frame_size(MAX_FRAME)
        .max_send_buffer_size(limits.send_buffer)
        .max_header_list_size(HEADERS_MAX)
        .enable_push(false)
        .max_concurrent_reset_streams(limits.streams as usize)
        .reset_stream_duration(RESET_MEMORY)
        // The agent opens none, so what it can make us reset is what we have opened.
        .max_local_error_reset_streams(None)
        .handshake(stream)
        .await?;
    let arrivals = Arc::new(Arrivals::default());
    let link = Link { requests, arrivals: Arc::clone(&arrivals), load: TaskTracker::new() };
    Ok((link, Driver { connection: Some(connection), arrivals, limits }))
}

impl Driver {
    /// Runs the link until it is closed, lost, or silent for too long.
    pub(in crate::tunnel) async fn run(mut self) -> Result<(), Lost> {
        let pings = self.connection.as_mut().and_then(client::Connection::ping_pong);
        let silence = self.limits.pings.silence(pings, || Duration::ZERO);
        let Some(connection) = &mut self.connection else { return Ok(()) };
        let arrivals = &self.arrivals;
        let run = poll_fn(|cx| {
            arrivals.begin();
            let answer = Pin::new(&mut *connection).poll(cx);
            arrivals.settle(cx);
            answer
        });
        tokio::select! {
            biased;
            answer = run => answer.map_err(Lost::from),
            () = silence => Err(Lost::Silent),
        }
    }
}

impl Drop for Driver {
    fn drop(&mut self) {
        drop(self.connection.take());
        self.arrivals.end();
    }
}

impl Link {
    /// Asks the agent for a logical connection, to `target` where one is named. It is refused at once where the link
    /// carries as many as the agent takes.
    ///
    /// Dropping the future takes the request back.
    async fn ask(
        &self,
        target: Option<&Address>,
        source: Option<&Address>,
    ) -> Result<End, Refusal> {
        let load = self.load.token();
        let room = self.requests.current_max_send_streams();
        let full = || Refusal::Full { limit: room as u64 };
        if self.load.len() > room {
            return Err(full());
        }
        let lost = |error: h2::Error| match error.reason() {
            // Asked for before the agent had said how many it takes.
            Some(h2::Reason::REFUSED_STREAM) => full(),
            _ => Refusal::Lost(error.into()),
        };
        let mut request = request(OPEN);
        for (name, address) in [(TARGET, target), (SOURCE, source)] {
            if let Some(address) = address {
                set(request.headers_mut(), name, address).ok_or(Refusal::NotUnderstood)?;
            }
        }
        let mut requests = self.requests.clone().ready().await.map_err(lost)?;
        let (response, stream) = requests.send_request(request, false).map_err(lost)?;
        drop(requests);
        let body = checked(response.await.map_err(lost)?)?;
        let inlet = Inlet::new(body, &self.arrivals);
        Ok(End::new(inlet, Outlet::new(stream, &self.arrivals), load, None))
    }

    async fn say_replaced(&self) -> Result<(), h2::Error> {
        let mut requests = self.requests.clone().ready().await?;
        let (response, _) = requests.send_request(request(REPLACED), true)?;
        drop(requests);
        response.await.map(drop)
    }
}

impl Carrier for Link {
    fn open<'a>(
        &'a self,
        target: Option<&'a Address>,
        source: Option<&'a Address>,
    ) -> Later<'a, Result<Box<dyn Transport>, Refusal>> {
        Box::pin(async move {
            let end = self.ask(target, source).await?;
            Ok(Box::new(end) as Box<dyn Transport>)
        })
    }

    fn load(&self) -> usize {
        self.load.len()
    }

    fn keeps_order(&self) -> bool {
        true
    }

    fn tell_replaced(&self) -> Later<'_, ()> {
        Box::pin(async {
            // It may have gone, which needs no word.
            let _ = self.say_replaced().await;
        })
    }

    fn emptied(&self) -> Later<'_, ()> {
        Box::pin(async {
            self.load.close();
            self.load.wait().await;
        })
    }
}

fn request(path: &'static str) -> Request<()> {
    let mut request = Request::new(());
    *request.method_mut() = Method::POST;
    *request.uri_mut() = http::Uri::from_static(path);
    request
}

fn set(headers: &mut HeaderMap, name: HeaderName, address: &Address) -> Option<()> {
    let value = HeaderValue::try_from(address.to_string()).ok()?;
    headers.insert(name, value);
    Some(())
}

fn checked(response: Response<RecvStream>) -> Result<RecvStream, Refusal> {
    if response.status() == StatusCode::OK {
        return Ok(response.into_body());
    }
    let text = |name: HeaderName| response.headers().get(name).and_then(|v| v.to_str().ok());
    let number = text(NUMBER).and_then(|number| number.parse().ok());
    Err(Refusal::of(response.status(), number, text(DETAIL).unwrap_or_default()))
}
