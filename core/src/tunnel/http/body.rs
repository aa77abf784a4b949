//! Bodies on their way: passed on as they come, given up after silence, and what is held until they end.

use super::fault::Denial;
use crate::{budget::Permit, config::TimeLimit};
use bytes::Bytes;
use http::{
    HeaderMap, HeaderValue, Response, StatusCode,
    header::{CONTENT_TYPE, RETRY_AFTER, WWW_AUTHENTICATE},
};
use http_body::{Body, Frame, SizeHint};
use http_body_util::{BodyExt, Full};
use hyper::body::Incoming;
use std::{
    error::Error,
    fmt,
    future::Future,
    io,
    pin::Pin,
    sync::{
        Arc,
        atomic::{AtomicBool, Ordering},
    },
    task::{Context, Poll, ready},
};
use tokio::time::{Instant, Sleep};

pub(in crate::tunnel) type AnyError = Box<dyn Error + Send + Sync>;

/// A body of the other side, of which the next piece must come in time.
pub(in crate::tunnel) struct Passing {
    body: Source,
    patience: TimeLimit,
    silence: Option<Pin<Box<Sleep>>>,
    /// Whether it broke.
    broken: Arc<AtomicBool>,
    _held: Option<Permit>,
}

/// Where the pieces come from.
enum Source {
    Coming(Incoming),
    /// All of it was waited for.
    Whole(Full<Bytes>, Option<HeaderMap>),
}

/// Why a body was not waited for to its end.
pub(in crate::tunnel) enum Ungathered {
    TooLong,
    Broken,
}

impl Passing {
    pub(in crate::tunnel) fn new(body: Incoming, patience: TimeLimit) -> Self {
        let body = Source::Coming(body);
        Self { body, patience, silence: None, broken: Arc::default(), _held: None }
    }

    /// Waits for all of it, which must not be more than `limit`.
    pub(in crate::tunnel) async fn whole(mut self, limit: usize) -> Result<Self, Ungathered> {
        let (mut bytes, mut trailers) = (Vec::new(), None);
        while let Some(frame) = self.frame().await {
            match frame.map_err(|_| Ungathered::Broken)?.into_data() {
                Ok(data) if bytes.len() + data.len() > limit => return Err(Ungathered::TooLong),
                Ok(data) => bytes.extend_from_slice(&data),
                Err(frame) => trailers = frame.into_trailers().ok(),
            }
        }
        self.body = Source::Whole(Full::from(bytes), trailers);
        Ok(self)
    }

    /// Keeps `permit` until the body is dropped.
    pub(in crate::tunnel) fn holding(mut self, permit: Option<Permit>) -> Self {
        self._held = permit;
        self
    }

    /// Tells whether the body has broken, also once it is gone.
    pub(in crate::tunnel) fn broken(&self) -> Arc<AtomicBool> {
        Arc::clone(&self.broken)
    }

    fn poll_silence(&mut self, cx: &mut Context<'_>) -> Poll<()> {
        let Some(patience) = self.patience.duration() else { return Poll::Pending };
        let silence = self.silence.get_or_insert_with(|| Box::pin(tokio::time::sleep(patience)));
        silence.as_mut().poll(cx)
    }

    /// Something came: the next has all the time again.
    #[expect(clippy::disallowed_methods, reason = "a timeout is counted from the last piece")]
    fn on_progress(&mut self) {
        if let (Some(silence), Some(patience)) = (&mut self.silence, self.patience.duration()) {
            silence.as_mut().reset(Instant::now() + patience);
        }
    }
}

impl Body for Passing {
    type Data = Bytes;
    type Error = AnyError;

    fn poll_frame(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
    ) -> Poll<Option<Result<Frame<Bytes>, AnyError>>> {
        let coming = match &mut self.body {
            Source::Coming(body) => body,
            Source::Whole(body, trailers) => {
                let Poll::Ready(Some(Ok(frame))) = Pin::new(body).poll_frame(cx) else {
                    return Poll::Ready(
                        trailers.take().map(|trailers| Ok(Frame::trailers(trailers))),
                    );
                };
                return Poll::Ready(Some(Ok(frame)));
            }
        };
        let answer = match Pin::new(coming).poll_frame(cx) {
            Poll::Ready(Some(Err(error))) => Some(Err(error.into())),
            Poll::Ready(answer) => {
                self.on_progress();
                return Poll::Ready(answer.map(|frame| frame.map_err(AnyError::from)));
            }
            Poll::Pending => {
                ready!(self.poll_silence(cx));
                Some(Err(io::Error::from(io::ErrorKind::TimedOut).into()))
            }
        };
        self.broken.store(true, Ordering::Release);
        Poll::Ready(answer)
    }

    fn is_end_stream(&self) -> bool {
        match &self.body {
            Source::Coming(body) => body.is_end_stream(),
            Source::Whole(body, trailers) => body.is_end_stream() && trailers.is_none(),
        }
    }

    fn size_hint(&self) -> SizeHint {
        match &self.body {
            Source::Coming(body) => body.size_hint(),
            Source::Whole(body, _) => body.size_hint(),
        }
    }
}

impl fmt::Debug for Passing {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Passing").field("broken", &self.broken).finish_non_exhaustive()
    }
}

/// What a user gets: the body of a service, or what is said instead.
#[derive(Debug)]
pub(in crate::tunnel) enum Reply {
    Passing(Passing),
    Said(Full<Bytes>),
}

impl Reply {
    /// Says why a request was not answered by what it is for.
    pub(in crate::tunnel) fn denied(why: &impl Denial) -> Response<Self> {
        let text = Bytes::from(format!("{}\n", why.text()));
        let mut response = Response::new(Self::Said(Full::new(text)));
        let status = why.status();
        *response.status_mut() = status;
        let fields = response.headers_mut();
        fields.insert(CONTENT_TYPE, HeaderValue::from_static("text/plain; charset=utf-8"));
        if why.is_challenge() {
            for scheme in ["Bearer realm=\"trunkline\"", "Basic realm=\"trunkline\""] {
                fields.append(WWW_AUTHENTICATE, HeaderValue::from_static(scheme));
            }
        }
        // The same may work in a moment.
        if matches!(status, StatusCode::TOO_MANY_REQUESTS | StatusCode::SERVICE_UNAVAILABLE) {
            fields.insert(RETRY_AFTER, HeaderValue::from_static("1"));
        }
        response
    }

    pub(in crate::tunnel) fn empty() -> Self {
        Self::Said(Full::default())
    }
}

impl Body for Reply {
    type Data = Bytes;
    type Error = AnyError;

    fn poll_frame(
        self: Pin<&mut Self>,
        cx: &mut Context<'_>,
    ) -> Poll<Option<Result<Frame<Bytes>, AnyError>>> {
        match self.get_mut() {
            Self::Passing(body) => Pin::new(body).poll_frame(cx),
            Self::Said(body) => Pin::new(body)
                .poll_frame(cx)
                .map(|answer| answer.map(|frame| frame.map_err(Into::into))),
        }
    }

    fn is_end_stream(&self) -> bool {
        match self {
            Self::Passing(body) => body.is_end_stream(),
            Self::Said(body) => body.is_end_stream(),
        }
    }

    fn size_hint(&self) -> SizeHint {
        match self {
            Self::Passing(body) => body.size_hint(),
            Self::Said(body) => body.size_hint(),
        }
    }
}
