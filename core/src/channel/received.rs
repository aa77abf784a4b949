//! A body as its peer sends it.

use super::status;
use bytes::Bytes;
use h2::RecvStream;
use http_body::Frame;
use std::{
    pin::Pin,
    task::{Context, Poll},
};
use tonic::Status;

/// A body as its peer sends it. Dropping it before its end gives the stream up.
#[derive(Debug)]
pub(super) struct Received {
    stream: RecvStream,
    is_at_trailers: bool,
}

impl Received {
    pub(super) fn new(stream: RecvStream) -> Self {
        Self { stream, is_at_trailers: false }
    }
}

impl http_body::Body for Received {
    type Data = Bytes;
    type Error = Status;

    fn poll_frame(
        self: Pin<&mut Self>,
        cx: &mut Context<'_>,
    ) -> Poll<Option<Result<Frame<Bytes>, Status>>> {
        let Self { stream, is_at_trailers } = self.get_mut();
        if !*is_at_trailers {
            match stream.poll_data(cx) {
                Poll::Pending => return Poll::Pending,
                Poll::Ready(Some(Ok(data))) => {
                    // Refused only once the stream has ended, when nobody counts any more.
                    let _ = stream.flow_control().release_capacity(data.len());
                    return Poll::Ready(Some(Ok(Frame::data(data))));
                }
                Poll::Ready(Some(Err(error))) => {
                    return Poll::Ready(Some(Err(status::of_h2(&error))));
                }
                Poll::Ready(None) => *is_at_trailers = true,
            }
        }
        stream.poll_trailers(cx).map(|trailers| match trailers {
            Ok(trailers) => trailers.map(|trailers| Ok(Frame::trailers(trailers))),
            Err(error) => Some(Err(status::of_h2(&error))),
        })
    }

    fn is_end_stream(&self) -> bool {
        self.stream.is_end_stream()
    }
}
