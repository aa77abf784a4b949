//! The body of an answer: watched for its status, its length and the deadline of the call.

use super::{
    attempt::Answer,
    exchange::Figures,
    interceptor::Row,
    meter::MessageMeter,
    place::{Busy, Place},
    shared::Shared,
    spans, status,
    wire::now,
};
use crate::config::{CallPolicy, MethodConfig, StatusCode};
use bytes::Bytes;
use h2::RecvStream;
use http::{HeaderMap, Response};
use http_body::Frame;
use std::{
    pin::Pin,
    sync::Arc,
    task::{Context, Poll},
    time::{Duration, Instant},
};
use tokio::{task::AbortHandle, time::Sleep};
use tonic::Status;
use tracing::Span;

/// The body of an answer. Dropping it before its end cancels the call.
#[derive(Debug)]
pub struct ResponseBody {
    stream: RecvStream,
    place: Option<Place>,
    /// Ends the task that still sends, if one does.
    sending: Option<AbortHandle>,
    deadline: Option<Pin<Box<Sleep>>>,
    meter: MessageMeter,
    ledger: Ledger,
    number: u32,
    phase: Phase,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Phase {
    Data,
    Trailers,
    Ended,
}

/// Accounts for one call, exactly once.
#[derive(Debug)]
pub(super) struct Ledger {
    shared: Arc<Shared>,
    started: Instant,
    method: Option<Arc<MethodConfig>>,
    row: Row,
    busy: Option<Busy>,
    figures: Option<Figures>,
    span: Span,
}

impl Ledger {
    pub(super) fn open(
        shared: &Arc<Shared>,
        busy: Busy,
        method: Option<Arc<MethodConfig>>,
        path: &str,
        figures: Option<Figures>,
    ) -> Self {
        let row = shared.row(path);
        let (shared, busy, span) = (Arc::clone(shared), Some(busy), Span::none());
        Self { shared, started: now(), method, row, busy, figures, span }
    }

    /// The call's span is this.
    pub(super) fn within(mut self, span: Span) -> Self {
        self.span = span;
        self
    }

    /// Who looks at the call.
    pub(super) fn row(&mut self) -> &mut Row {
        &mut self.row
    }

    /// The call ended with `status`.
    pub(super) fn close_with(&mut self, status: &Status) {
        self.close(status::code(status), || status.message().to_owned());
    }

    /// The call ended with `code`, and these words.
    fn close(&mut self, code: StatusCode, message: impl FnOnce() -> String) {
        let Some(busy) = self.busy.take() else { return };
        busy.end(code);
        let took: Duration = now().saturating_duration_since(self.started);
        self.shared.meters.on_call_ended(code, took);
        if let Some(figures) = &self.figures {
            figures.method.on_call_ended(code, took, &figures.repeats);
        }
        spans::on_end(&self.span, code);
        self.span.in_scope(|| self.row.end(code, message, took));
        if code == StatusCode::Ok {
            self.shared.count_tokens(true);
        } else if self.is_repeatable(code) {
            self.shared.count_tokens(false);
        }
    }

    /// Whether the policy sends calls again that end so: only those count against the tokens.
    fn is_repeatable(&self, code: StatusCode) -> bool {
        let policy = self.method.as_ref().and_then(|method| method.policy.as_ref());
        policy.is_some_and(|policy| match policy {
            CallPolicy::Retry(policy) => policy.retryable_status_codes.contains(&code),
            CallPolicy::Hedging(policy) => policy.non_fatal_status_codes.contains(&code),
        })
    }
}

impl Drop for Ledger {
    fn drop(&mut self) {
        self.close(StatusCode::Cancelled, || "the call was given up".to_owned());
    }
}

/// The answer as the caller gets it.
pub(super) fn respond(
    answer: Answer,
    deadline: Option<Instant>,
    limit: u32,
    ledger: Ledger,
) -> Response<ResponseBody> {
    let Answer { response, rest, place, stream: number } = answer;
    let sending = rest.map(|rest| {
        let runtime = ledger.shared.network.runtime();
        runtime.spawn(async move { drop(rest.await) }).abort_handle()
    });
    let (parts, stream) = response.into_parts();
    let mut body = ResponseBody {
        stream,
        place: Some(place),
        sending,
        deadline: deadline.map(|at| Box::pin(tokio::time::sleep_until(at.into()))),
        meter: MessageMeter::new(limit),
        ledger,
        number,
        phase: Phase::Data,
    };
    if let Some(code) = status::code_of(&parts.headers) {
        body.end(code, Some(&parts.headers), || message_of(&parts.headers));
    }
    Response::from_parts(parts, body)
}

impl ResponseBody {
    /// The call ended with `code`; `trailers` are what came with that.
    fn end(
        &mut self,
        code: StatusCode,
        trailers: Option<&HeaderMap>,
        message: impl FnOnce() -> String,
    ) {
        self.phase = Phase::Ended;
        self.ledger.close(code, message);
        if let Some(mut place) = self.place.take() {
            place.on_status(code, trailers);
        }
        if let Some(sending) = self.sending.take() {
            sending.abort();
        }
    }

    fn fail(&mut self, status: Status) -> Poll<Option<Result<Frame<Bytes>, Status>>> {
        self.end(status::code(&status), None, || status.message().to_owned());
        Poll::Ready(Some(Err(status)))
    }

    fn on_data(&mut self, data: Bytes) -> Poll<Option<Result<Frame<Bytes>, Status>>> {
        // Refused only once the stream has ended, when nobody counts any more.
        let _ = self.stream.flow_control().release_capacity(data.len());
        match self.meter.on_bytes(&data) {
            Ok(begun) => {
                if let Some(volume) = self.place.as_ref().and_then(Place::volume) {
                    volume.on_received(data.len(), begun);
                }
                Poll::Ready(Some(Ok(Frame::data(data))))
            }
            Err(too_long) => self.fail(Status::resource_exhausted(format!(
                "a message of {} bytes came, the limit is {}",
                too_long.length, too_long.limit
            ))),
        }
    }

    fn on_trailers(&mut self, trailers: HeaderMap) -> Poll<Option<Result<Frame<Bytes>, Status>>> {
        let code = status::code_of(&trailers).unwrap_or(StatusCode::Unknown);
        self.end(code, Some(&trailers), || message_of(&trailers));
        Poll::Ready(Some(Ok(Frame::trailers(trailers))))
    }

    fn on_error(&mut self, error: &h2::Error) -> Poll<Option<Result<Frame<Bytes>, Status>>> {
        let left_out = self
            .place
            .as_ref()
            .is_some_and(|place| place.connection().listening.leaves_out(self.number));
        let status = match left_out {
            true => Status::unavailable(format!("the server did not take the call: {error}")),
            false => status::of_h2(error),
        };
        self.fail(status)
    }
}

impl http_body::Body for ResponseBody {
    type Data = Bytes;
    type Error = Status;

    fn poll_frame(
        self: Pin<&mut Self>,
        cx: &mut Context<'_>,
    ) -> Poll<Option<Result<Frame<Bytes>, Status>>> {
        let body = self.get_mut();
        if body.phase == Phase::Data {
            match body.stream.poll_data(cx) {
                Poll::Ready(Some(Ok(data))) => return body.on_data(data),
                Poll::Ready(Some(Err(error))) => return body.on_error(&error),
                Poll::Ready(None) => body.phase = Phase::Trailers,
                Poll::Pending => return body.wait(cx),
            }
        }
        if body.phase == Phase::Trailers {
            return match body.stream.poll_trailers(cx) {
                Poll::Ready(Ok(Some(trailers))) => body.on_trailers(trailers),
                Poll::Ready(Ok(None)) => {
                    body.end(StatusCode::Unknown, None, || {
                        "the answer ended without a status".to_owned()
                    });
                    Poll::Ready(None)
                }
                Poll::Ready(Err(error)) => body.on_error(&error),
                Poll::Pending => body.wait(cx),
            };
        }
        Poll::Ready(None)
    }

    fn is_end_stream(&self) -> bool {
        self.phase == Phase::Ended
    }
}

impl ResponseBody {
    /// Nothing came: perhaps the time is up.
    fn wait(&mut self, cx: &mut Context<'_>) -> Poll<Option<Result<Frame<Bytes>, Status>>> {
        let is_late = self.deadline.as_mut().is_some_and(|at| at.as_mut().poll(cx).is_ready());
        if is_late { self.fail(late()) } else { Poll::Pending }
    }
}

/// What a server says about a status.
fn message_of(headers: &HeaderMap) -> String {
    Status::from_header_map(headers).map_or_else(String::new, |status| status.message().to_owned())
}

/// What a call ends with whose time is up.
pub(super) fn late() -> Status {
    Status::deadline_exceeded("the deadline of the call has passed")
}

impl Drop for ResponseBody {
    fn drop(&mut self) {
        if let Some(sending) = self.sending.take() {
            sending.abort();
        }
    }
}
