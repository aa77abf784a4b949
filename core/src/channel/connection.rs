//! One connection of HTTP/2: made, kept alive, and driven to its end by one task.

use super::{
    frames::GoAway,
    keepalive::{Check, Keepalive, PingTime},
    record::Record,
    security::{HTTP2, NotAgreed, is_agreed},
    tally::RetireReason,
    tasks::Way,
    turns::Turns,
    wire::{Listening, Wire, now},
};
use crate::{
    address::Address,
    config::{ConnectionConfig, TcpConfig, TimeLimit},
    error::{ConnectionError, Place, Step, TlsFailure, TlsFault},
    transport::ConnectOptions,
};
use bytes::Bytes;
use h2::{Ping, PingPong, Reason, client};
use std::{
    fmt,
    future::poll_fn,
    pin::Pin,
    sync::{
        Arc,
        atomic::{AtomicUsize, Ordering},
    },
    task::{Context, Poll, ready},
    time::Instant,
};
use tokio::time::Sleep;
use tokio_util::sync::CancellationToken;

/// Bytes of one answer that may be under way before they are read.
const STREAM_WINDOW: u32 = 2 << 20;
/// Bytes of all answers on one connection that may be under way before they are read.
const CONNECTION_WINDOW: u32 = 5 << 20;
/// Bytes of one answer's headers.
const HEADER_LIST: u32 = 16 << 10;
/// Calls that a connection takes whose peer has not said how many.
const ASSUMED_STREAMS: u32 = 100;

/// The end of a connection at which calls begin. It closes once this is dropped and its calls have ended.
pub(super) struct Http2 {
    pub(super) send: client::SendRequest<Bytes>,
    pub(super) listening: Listening,
    pub(super) address: Address,
    pub(super) record: Arc<Record>,
    calls: Arc<AtomicUsize>,
    retired: CancellationToken,
}

/// A connection that stands, before anybody drives it.
pub(super) struct Standing {
    pub(super) http2: Http2,
    pub(super) limit: u32,
    pub(super) drive: Drive,
}

/// The other end of [`Http2`]: what reads, writes and asks.
pub(super) struct Drive {
    connection: client::Connection<Wire, Bytes>,
    listening: Listening,
    calls: Arc<AtomicUsize>,
    ping: Option<PingPong>,
    keepalive: Option<Keepalive>,
    sleep: Pin<Box<Sleep>>,
    close: CancellationToken,
    told: Told,
    address: Address,
    record: Arc<Record>,
    turns: Turns,
}

/// What the driver of a connection has told already.
#[derive(Default)]
struct Told {
    limit: Option<u32>,
    goaway: Option<GoAway>,
}

/// What happens to a connection that is being driven.
#[derive(Debug)]
pub(super) enum News {
    /// The peer takes so many calls at once from now on.
    Limit(u32),
    /// The peer takes no new calls; those under way go on.
    GoAway(GoAway),
}

/// Why a connection has ended, unless it was retired before, and the error where it is one.
pub(super) type Ended = (RetireReason, Option<ConnectionError>);

/// Counts a call on its connection.
#[derive(Debug)]
pub(super) struct CallOn(Arc<AtomicUsize>);

impl Drop for CallOn {
    fn drop(&mut self) {
        self.0.fetch_sub(1, Ordering::Relaxed);
    }
}

impl fmt::Debug for Http2 {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Http2").field("address", &self.address).finish_non_exhaustive()
    }
}

impl Http2 {
    pub(super) fn call(&self) -> CallOn {
        self.calls.fetch_add(1, Ordering::Relaxed);
        CallOn(Arc::clone(&self.calls))
    }

    /// An attempt of a call goes on it at `now`.
    pub(super) fn carry(&self, now: Instant) -> CallOn {
        self.record.on_call(now);
        self.call()
    }

    /// No new calls begin on it, for this reason: what is not a caller's lets go of it.
    pub(super) fn retire(&self, reason: RetireReason) {
        self.record.on_retired(reason);
        self.retired.cancel();
    }

    /// Waits until it is retired.
    pub(super) async fn retired(&self) {
        self.retired.cancelled().await;
    }
}

/// Connects, secures it where it is to be, speaks HTTP/2 and waits for the peer's SETTINGS, until `give_up_at`.
///
/// # Cancel safety
///
/// Dropping the future ends the attempt and closes its socket.
pub(super) async fn connect(
    way: &Way,
    address: &Address,
    give_up_at: Instant,
) -> Result<Standing, ConnectionError> {
    let (config, ping_time) = (&*way.config, way.ping);
    let options = ConnectOptions {
        tcp: tcp(config, ping_time),
        alpn: Some(vec![HTTP2.to_owned()]),
        ..ConnectOptions::default()
    };
    let until = Some(give_up_at);
    let stream = match &way.securing {
        None => way.network.connect_with(address, until, &options).await?,
        Some(how) => way.network.connect_secured(address, until, &options, how).await?,
    };
    let at = || Place::at(Step::Connect).to(Some(address.clone()));
    if !is_agreed(&stream) {
        return Err(ConnectionError::tls(TlsFailure::new(TlsFault::Protocol, NotAgreed), at()));
    }
    let started = now();
    let record = Arc::new(Record::new(&stream, started));
    let turns = Turns::new(stream.shared_metrics());
    let (wire, listening) = Wire::new(stream);
    let greet = async {
        let (send, mut connection) = builder(config).handshake::<_, Bytes>(wire).await?;
        poll_fn(|cx| {
            let ended = Pin::new(&mut connection).poll(cx);
            match (listening.with(|heard| heard.has_settings), ended) {
                (true, _) => Poll::Ready(Ok(())),
                (false, Poll::Ready(Ok(()))) => Poll::Ready(Err(h2::Error::from(Reason::NO_ERROR))),
                (false, Poll::Ready(Err(error))) => Poll::Ready(Err(error)),
                (false, Poll::Pending) => Poll::Pending,
            }
        })
        .await?;
        Ok((send, connection))
    };
    let greeted = tokio::time::timeout_at(give_up_at.into(), greet).await;
    let (send, mut connection) = greeted
        .map_err(|_| {
            let waited = now().saturating_duration_since(started);
            ConnectionError::timeout(Some(waited), at().because(NoSettings))
        })?
        .map_err(|error: h2::Error| greeting_failed(&listening, error, at()))?;
    let calls = Arc::new(AtomicUsize::new(0));
    let limit = listening.with(|heard| heard.max_streams).unwrap_or(ASSUMED_STREAMS);
    record.set_limit(limit);
    let drive = Drive {
        ping: connection.ping_pong(),
        connection,
        listening: listening.clone(),
        calls: Arc::clone(&calls),
        keepalive: Keepalive::new(ping_time, &config.keepalive),
        sleep: Box::pin(tokio::time::sleep_until(now().into())),
        close: way.cut.clone(),
        told: Told::default(),
        turns,
        address: address.clone(),
        record: Arc::clone(&record),
    };
    let retired = CancellationToken::new();
    let http2 = Http2 { send, listening, address: address.clone(), record, calls, retired };
    Ok(Standing { http2, limit, drive })
}

/// A server that has judged our certificate says so only now.
fn greeting_failed(listening: &Listening, error: h2::Error, at: Place) -> ConnectionError {
    match listening.with(|heard| heard.refusal.take()) {
        Some(ConnectionError::Tls { fault, at: refused }) => {
            ConnectionError::Tls { fault, at: refused.during(Step::Connect) }
        }
        Some(_) | None => ConnectionError::ConnectionFailed { at: at.because(error) },
    }
}

/// The peer accepted, and then did not speak HTTP/2.
#[derive(Debug, thiserror::Error)]
#[error("it accepted the connection and sent no SETTINGS")]
struct NoSettings;

fn builder(config: &ConnectionConfig) -> client::Builder {
    let mut builder = client::Builder::new();
    builder
        .enable_push(false)
        .initial_window_size(STREAM_WINDOW.max(config.max_message_size.min(1 << 30)))
        .initial_connection_window_size(CONNECTION_WINDOW)
        .max_header_list_size(HEADER_LIST)
        .initial_max_send_streams(ASSUMED_STREAMS as usize);
    builder
}

/// With keepalive on, the kernel gives a connection up after the same time without an answer.
fn tcp(config: &ConnectionConfig, ping_time: PingTime) -> TcpConfig {
    let mut tcp = TcpConfig::default();
    if ping_time.time().is_some() {
        tcp.user_timeout = TimeLimit::After(config.keepalive.timeout);
    }
    tcp
}

impl Drive {
    /// Drives the connection to its end; `tell` hears what happens meanwhile. Without an error it is an end in order:
    /// nobody needed it any more, or it was closed here.
    pub(super) async fn run(mut self, mut tell: impl FnMut(News)) -> Ended {
        let close = self.close.clone();
        let mut closed = std::pin::pin!(close.cancelled());
        poll_fn(|cx| {
            // What calls that are ready have to send goes out in one write.
            ready!(self.turns.poll_next(self.calls.load(Ordering::Relaxed), cx));
            if closed.as_mut().poll(cx).is_ready() {
                return Poll::Ready((RetireReason::Closed, None));
            }
            if let Poll::Ready(ended) = Pin::new(&mut self.connection).poll(cx) {
                self.tell(&mut tell);
                return Poll::Ready(self.end(ended.err()));
            }
            self.tell(&mut tell);
            self.ask(cx)
        })
        .await
    }

    fn tell(&mut self, tell: &mut impl FnMut(News)) {
        let (limit, goaway) = self.listening.with(|heard| {
            let is_new = heard.goaway.is_some() && heard.goaway != self.told.goaway;
            (heard.max_streams, is_new.then(|| heard.goaway.clone()).flatten())
        });
        if let Some(limit) = limit.filter(|limit| self.told.limit.replace(*limit) != Some(*limit)) {
            tell(News::Limit(limit));
        }
        if let Some(goaway) = goaway {
            self.told.goaway = Some(goaway.clone());
            tell(News::GoAway(goaway));
        }
    }

    /// Asks a silent peer whether it is there. Ready once it does not answer.
    fn ask(&mut self, cx: &mut Context<'_>) -> Poll<Ended> {
        let Some(keepalive) = &mut self.keepalive else { return Poll::Pending };
        loop {
            let heard = self.listening.with(|heard| heard.last_byte);
            let wake_at = match keepalive.check(now(), heard, self.calls.load(Ordering::Relaxed)) {
                Check::At(time) => time,
                // A call that begins wakes this task, for it has to write.
                Check::WhenCalled => return Poll::Pending,
                Check::Ask => {
                    if let Some(ping) = &mut self.ping {
                        // The answer to the last one makes room for the next.
                        let _ = ping.poll_pong(cx);
                        // Refused while an earlier one has no answer, which is as good a question.
                        if ping.send_ping(Ping::opaque()).is_ok() {
                            self.record.on_keepalive();
                        }
                    }
                    continue;
                }
                Check::Dead => {
                    let at = Place::at(Step::Read).to(Some(self.address.clone()));
                    let why = ConnectionError::timeout(None, at.because(NoPong));
                    return Poll::Ready((RetireReason::Unanswered, Some(why)));
                }
            };
            self.sleep.as_mut().reset(wake_at.into());
            match self.sleep.as_mut().poll(cx) {
                Poll::Ready(()) => {}
                Poll::Pending => return Poll::Pending,
            }
        }
    }

    fn end(&self, error: Option<h2::Error>) -> Ended {
        let goaway = self.listening.with(|heard| heard.goaway.clone());
        let at = Place::at(Step::Read).to(Some(self.address.clone()));
        match (error, goaway) {
            (_, Some(goaway)) => {
                let at = at.because(SaidGoAway(goaway));
                (RetireReason::GoAway, Some(ConnectionError::Broken { nothing_sent: false, at }))
            }
            (Some(error), None) => {
                let at = at.because(error);
                (RetireReason::Lost, Some(ConnectionError::Broken { nothing_sent: false, at }))
            }
            (None, None) if self.record.is_retired() => (RetireReason::Lost, None),
            (None, None) => {
                let at = at.because(LeftInOrder);
                (RetireReason::Lost, Some(ConnectionError::Broken { nothing_sent: false, at }))
            }
        }
    }
}

/// The peer ended the connection in order, and did not say why.
#[derive(Debug, thiserror::Error)]
#[error("it ended the connection without GOAWAY")]
struct LeftInOrder;

/// The peer did not answer a ping.
#[derive(Debug, thiserror::Error)]
#[error("it did not answer a keepalive ping")]
struct NoPong;

/// The peer ended the connection with GOAWAY.
#[derive(Debug)]
pub(super) struct SaidGoAway(pub(super) GoAway);

impl std::error::Error for SaidGoAway {}

impl fmt::Display for SaidGoAway {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "it said GOAWAY: {}", Reason::from(self.0.code))?;
        if !self.0.reason.is_empty() {
            write!(f, " ({})", self.0.reason.escape_ascii())?;
        }
        Ok(())
    }
}

impl GoAway {
    /// Whether the peer complains about pings.
    pub(super) fn is_complaint(&self) -> bool {
        Reason::from(self.code) == Reason::ENHANCE_YOUR_CALM && &*self.reason == b"too_many_pings"
    }
}
