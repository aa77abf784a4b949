//! One call from its request to the headers of its answer: placed, sent, and sent again as its policy says.

use super::{
    attempt::{Answer, Lost, attempt},
    hedging,
    place::{Busy, Refused, closed},
    replay::Replay,
    response::{Ledger, ResponseBody, late, respond},
    retry::{Attempts, Progress, Pushback, Verdict},
    shared::Shared,
    spans, status,
    telemetry::{MethodFigures, Repeats},
    timeout,
    wire::now,
};
use crate::config::{CallPolicy, MethodConfig, RetryPolicy, StatusCode};
use http::{HeaderMap, HeaderValue, Request, Response, Uri, Version, header};
use std::{
    error::Error as _,
    sync::{Arc, atomic::Ordering::Relaxed},
    time::{Duration, Instant},
};
use tonic::{Status, body::Body, metadata::MetadataMap};
use tracing::{Instrument as _, Span};

/// The longest that a caller's timeout is kept, so that it stays on the clock.
const FAR: Duration = Duration::from_secs(365 * 24 * 3600);

/// In the extensions of a request: whether the call waits while no address works. Goes before what the service
/// config says.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct WaitForReady(pub bool);

/// In the extensions of a request: the moment at which the call is given up, all its attempts included. The earlier
/// of this, the header `grpc-timeout` and the service config's timeout counts.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Deadline(pub Instant);

/// In the extensions of a request: the largest message of the answer, in bytes. The smaller of this and the
/// channel's limits counts.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct MaxReply(pub u32);

/// As the source of a status: no byte of the call left this process.
#[derive(Debug, thiserror::Error)]
#[error("nothing was sent")]
pub(super) struct NothingSent;

/// A call that is to be sent, perhaps several times.
#[derive(Debug)]
pub(super) struct Outgoing {
    pub(super) shared: Arc<Shared>,
    headers: HeaderMap,
    uri: Uri,
    pub(super) replay: Arc<Replay>,
    deadline: Option<Instant>,
    for_ready: bool,
    limit: u32,
    pub(super) method: Option<Arc<MethodConfig>>,
    pub(super) figures: Option<Figures>,
    /// The call's.
    span: Span,
}

/// Where the call is counted by method, and how often it was sent again.
#[derive(Clone, Debug)]
pub(super) struct Figures {
    pub(super) method: Arc<MethodFigures>,
    pub(super) repeats: Arc<Repeats>,
}

/// An attempt that did not succeed.
#[derive(Debug)]
pub(super) struct Failed {
    pub(super) status: Status,
    pub(super) progress: Progress,
    pub(super) pushback: Pushback,
    /// Another attempt would fail as well.
    pub(super) is_final: bool,
}

impl Failed {
    pub(super) fn code(&self) -> StatusCode {
        status::code(&self.status)
    }

    pub(super) fn into_status(self) -> Status {
        let mut status = self.status;
        if self.progress == Progress::NotSent {
            status.set_source(Arc::new(NothingSent));
        }
        status
    }
}

/// Makes the call.
///
/// # Cancel safety
///
/// Dropping the future cancels the call.
pub(super) async fn exchange(
    shared: Arc<Shared>,
    request: Request<Body>,
) -> Result<Response<ResponseBody>, Status> {
    let Some(busy) = shared.begin_call() else { return Err(closed()) };
    let span = spans::of_call(&shared.target.text, request.uri().path());
    exchange_in(shared, busy, request, &span).instrument(span.clone()).await
}

async fn exchange_in(
    shared: Arc<Shared>,
    busy: Busy,
    request: Request<Body>,
    span: &Span,
) -> Result<Response<ResponseBody>, Status> {
    let (mut parts, body) = request.into_parts();
    let method = shared.method(parts.uri.path());
    let figures = shared.telemetry.as_ref().map(|telemetry| Figures {
        method: telemetry.method(parts.uri.path()),
        repeats: Arc::default(),
    });
    let mut ledger = Ledger::open(&shared, busy, method.clone(), parts.uri.path(), figures.clone())
        .within(span.clone());
    let prepared =
        match deadline(&parts, method.as_deref()) {
            Err(status) => Err(status),
            Ok(deadline) => match intercepted(&shared, &mut ledger, &mut parts, deadline).await {
                Err(status) => Err(status),
                Ok(()) => outgoing(shared, parts, body, method, deadline)
                    .map(|outgoing| Outgoing { figures, span: span.clone(), ..outgoing }),
            },
        };
    let outgoing = match prepared {
        Ok(outgoing) => Arc::new(outgoing),
        Err(status) => {
            ledger.close_with(&status);
            return Err(status);
        }
    };
    let answered = match outgoing.deadline {
        None => answer(&outgoing).await,
        Some(deadline) => {
            let answered = tokio::time::timeout_at(deadline.into(), answer(&outgoing)).await;
            answered.unwrap_or_else(|_| Err(outgoing.late()))
        }
    };
    match answered {
        Ok(answer) => Ok(respond(answer, outgoing.deadline, outgoing.limit, ledger)),
        Err(status) => {
            ledger.close_with(&status);
            Err(status)
        }
    }
}

/// Shows the call to the interceptors, for as long as its deadline lets.
async fn intercepted(
    shared: &Shared,
    ledger: &mut Ledger,
    parts: &mut http::request::Parts,
    deadline: Option<Instant>,
) -> Result<(), Status> {
    if ledger.row().is_empty() {
        return Ok(());
    }
    let mut map = MetadataMap::from_headers(std::mem::take(&mut parts.headers));
    let is_secured = shared.security.is_secured();
    let begun = ledger.row().begin(&mut map, is_secured);
    let begun = match deadline {
        None => begun.await,
        Some(deadline) => {
            let begun = tokio::time::timeout_at(deadline.into(), begun).await;
            begun.unwrap_or_else(|_| Err(late()))
        }
    };
    parts.headers = map.into_headers();
    begun.map_err(|mut status| {
        status.set_source(Arc::new(NothingSent));
        status
    })
}

async fn answer(outgoing: &Arc<Outgoing>) -> Result<Answer, Status> {
    let policy = outgoing.method.as_ref().and_then(|method| method.policy.as_ref());
    let answer = match policy {
        Some(CallPolicy::Hedging(policy)) => hedging::answer(outgoing, policy).await,
        Some(CallPolicy::Retry(policy)) => retrying(outgoing, Some(policy)).await,
        None => retrying(outgoing, None).await,
    };
    // Nothing of the request is needed any more but what was not sent yet.
    outgoing.replay.commit();
    answer
}

async fn retrying(outgoing: &Outgoing, policy: Option<&RetryPolicy>) -> Result<Answer, Status> {
    let mut attempts = Attempts::new(policy.cloned());
    loop {
        let failed = match outgoing.send(attempts.previous()).await {
            Ok(answer) => return Ok(answer),
            Err(failed) => failed,
        };
        if failed.is_final {
            return Err(failed.into_status());
        }
        let code = failed.code();
        let counts = attempts.is_retryable(code) || failed.pushback == Pushback::Never;
        if counts && failed.progress == Progress::Sent {
            outgoing.shared.count_tokens(false);
        }
        let is_allowed = outgoing.shared.may_resend();
        let verdict = match outgoing.replay.is_whole() {
            false => Verdict::Fail,
            true => {
                let (progress, pushback) = (failed.progress, failed.pushback);
                attempts.on_failure(code, progress, pushback, is_allowed, fastrand::f64())
            }
        };
        match verdict {
            Verdict::Fail => return Err(failed.into_status()),
            Verdict::Again => {
                outgoing.shared.meters.on_transparent_retry();
                if let Some(figures) = &outgoing.figures {
                    figures.repeats.transparent.fetch_add(1, Relaxed);
                }
                // The task of the connection that went must have its turn to say so.
                tokio::task::yield_now().await;
            }
            Verdict::Retry(delay) => {
                outgoing.shared.meters.on_retry(delay);
                if let Some(figures) = &outgoing.figures {
                    figures.repeats.on_retry(delay);
                }
                tokio::time::sleep(delay).await;
            }
        }
    }
}

fn outgoing(
    shared: Arc<Shared>,
    parts: http::request::Parts,
    body: Body,
    method: Option<Arc<MethodConfig>>,
    deadline: Option<Instant>,
) -> Result<Outgoing, Status> {
    let asked = parts.extensions.get::<WaitForReady>().map(|asked| asked.0);
    let for_ready = asked.or_else(|| method.as_ref().and_then(|method| method.wait_for_ready));
    let of_method = method.as_ref().and_then(|method| method.max_response_message_bytes);
    let of_call = parts.extensions.get::<MaxReply>().map(|most| most.0);
    let limits = [of_method, of_call].into_iter().flatten();
    let limit = limits.fold(shared.config.max_message_size, u32::min);
    let uri = shared.uri(parts.uri.authority(), parts.uri.path_and_query());
    let uri = uri.map_err(|error| Status::internal(format!("the method's path: {error}")))?;
    let mut headers = parts.headers;
    headers.remove("grpc-timeout");
    headers.insert(header::USER_AGENT, user_agent(headers.get(header::USER_AGENT)));
    let replay = Replay::new(body, shared.config.retry_buffer_size as usize);
    let for_ready = for_ready.unwrap_or(false);
    let (figures, span) = (None, Span::none());
    Ok(Outgoing { shared, headers, uri, replay, deadline, for_ready, limit, method, figures, span })
}

fn deadline(
    parts: &http::request::Parts,
    method: Option<&MethodConfig>,
) -> Result<Option<Instant>, Status> {
    let header = match parts.headers.get("grpc-timeout") {
        Some(text) => Some(
            timeout::read(text.as_bytes())
                .ok_or_else(|| Status::internal("the header grpc-timeout is none"))?,
        ),
        None => None,
    };
    let timeouts = [header, method.and_then(|method| method.timeout)].into_iter().flatten();
    let set = parts.extensions.get::<Deadline>().map(|deadline| deadline.0);
    let now = now();
    Ok(timeouts.map(|timeout| now + timeout.min(FAR)).chain(set).min())
}

fn user_agent(given: Option<&HeaderValue>) -> HeaderValue {
    const OURS: &str = concat!("trunkline/", env!("CARGO_PKG_VERSION"));
    let given = given.and_then(|value| value.to_str().ok());
    let joined = given.and_then(|given| HeaderValue::try_from(format!("{given} {OURS}")).ok());
    joined.unwrap_or_else(|| HeaderValue::from_static(OURS))
}

impl Outgoing {
    /// Makes one attempt; `previous` were made before it.
    pub(super) async fn send(&self, previous: u32) -> Result<Answer, Failed> {
        let header = self.shared.hash_header();
        let key = header.and_then(|name| self.headers.get(name)).map(HeaderValue::as_bytes);
        let mut meter = self.figures.as_ref().map(|figures| figures.method.begin());
        let span = spans::of_attempt(&self.span, previous + 1);
        let place = self.shared.place(key, self.for_ready).await.map_err(|mut status| {
            if let Some(meter) = &mut meter {
                meter.code = Some(status::code(&status));
            }
            spans::on_end(&span, status::code(&status));
            let is_final = status.source().is_some_and(|source| source.is::<Refused>());
            status.set_source(Arc::new(NothingSent));
            // For the policy it is an attempt like any other: who waited long enough has waited.
            Failed { status, progress: Progress::Sent, pushback: Pushback::Silent, is_final }
        })?;
        self.shared.meters.on_attempt();
        let place = place.until(self.deadline).metered(meter).within(span);
        match attempt(place, self.head(previous), self.replay.read()).await {
            Ok(answer) => check(answer),
            Err(Lost { status, progress, is_final }) => {
                Err(Failed { status, progress, pushback: Pushback::Silent, is_final })
            }
        }
    }

    fn head(&self, previous: u32) -> Request<()> {
        let mut head = Request::new(());
        *head.method_mut() = http::Method::POST;
        *head.uri_mut() = self.uri.clone();
        *head.version_mut() = Version::HTTP_2;
        *head.headers_mut() = self.headers.clone();
        if let Some(deadline) = self.deadline {
            let left = deadline.saturating_duration_since(now());
            if let Ok(left) = HeaderValue::try_from(timeout::write(left)) {
                head.headers_mut().insert("grpc-timeout", left);
            }
        }
        if previous > 0 {
            head.headers_mut().insert("grpc-previous-rpc-attempts", HeaderValue::from(previous));
        }
        head
    }

    fn late(&self) -> Status {
        match self.shared.state() {
            super::ConnectivityState::Ready => late(),
            super::ConnectivityState::Idle
            | super::ConnectivityState::Connecting
            | super::ConnectivityState::TransientFailure
            | super::ConnectivityState::Shutdown => Status::deadline_exceeded(format!(
                "the deadline of the call has passed; {}",
                self.shared.unreached_text()
            )),
        }
    }
}

/// An answer that is no success yet may be one still; one that has failed already may be tried again.
fn check(mut answer: Answer) -> Result<Answer, Failed> {
    let headers = answer.response.headers();
    let status = match status::code_of(headers) {
        Some(StatusCode::Ok) => return Ok(answer),
        Some(_) => {
            Status::from_header_map(headers).unwrap_or_else(|| Status::unknown("no status of gRPC"))
        }
        None if answer.response.status() != http::StatusCode::OK => {
            status::of_http(answer.response.status())
        }
        None => return Ok(answer),
    };
    answer.place.on_status(status::code(&status), Some(headers));
    let values = headers.get_all("grpc-retry-pushback-ms");
    let pushback = Pushback::of(values.iter().map(HeaderValue::as_bytes));
    Err(Failed { status, progress: Progress::Sent, pushback, is_final: false })
}
