//! One attempt of a call on one connection: headers and body out, headers of the answer in.

use super::{
    meter::MessageMeter, place::Place, replay::Cursor, retry::Progress, status, telemetry::Volume,
};
use bytes::Bytes;
use h2::{Reason, RecvStream, SendStream, client::ResponseFuture};
use http::{Request, Response};
use std::{
    future::{Future, poll_fn},
    pin::Pin,
    sync::Arc,
    task::{Context, Poll, ready},
};
use tonic::Status;

/// An answer whose headers are there. Dropping it cancels what is left of the call.
#[derive(Debug)]
pub(super) struct Answer {
    pub(super) response: Response<RecvStream>,
    /// What is still to be sent, if anything is.
    pub(super) rest: Option<Pump>,
    pub(super) place: Place,
    pub(super) stream: u32,
}

/// An attempt that got no headers.
#[derive(Debug)]
pub(super) struct Lost {
    pub(super) status: Status,
    pub(super) progress: Progress,
    /// The request itself failed: another attempt would as well.
    pub(super) is_final: bool,
}

/// Sends `head` and the body on the connection of `place`.
///
/// # Cancel safety
///
/// Dropping the future resets the stream.
pub(super) async fn attempt(
    mut place: Place,
    head: Request<()>,
    body: Cursor,
) -> Result<Answer, Lost> {
    let mut send = place.connection().send.clone();
    let unsent = |error: &h2::Error| Lost {
        status: Status::unavailable(format!("the connection ended before the call: {error}")),
        progress: Progress::NotSent,
        is_final: false,
    };
    poll_fn(|cx| send.poll_ready(cx)).await.map_err(|error| unsent(&error))?;
    let (mut response, stream) = send.send_request(head, false).map_err(|error| unsent(&error))?;
    let number = stream.stream_id().as_u32();
    let counting = place.volume().map(|volume| (Arc::clone(volume), MessageMeter::new(u32::MAX)));
    let mut pump = Some(Pump::new(stream, body, counting));
    let answered = poll_fn(|cx| {
        if let Some(sending) = &mut pump
            && let Poll::Ready(sent) = Pin::new(sending).poll(cx)
        {
            pump = None;
            if let Err(status) = sent {
                return Poll::Ready(Err(Failed::Body(status)));
            }
        }
        response_of(&mut response, cx).map_err(Failed::Stream)
    })
    .await;
    match answered {
        Ok(response) => Ok(Answer { response, rest: pump, place, stream: number }),
        Err(Failed::Body(status)) => Err(Lost { status, progress: Progress::Sent, is_final: true }),
        Err(Failed::Stream(error)) => {
            let is_refused = error.is_reset()
                && error.is_remote()
                && error.reason() == Some(Reason::REFUSED_STREAM)
                || place.connection().listening.leaves_out(number);
            let progress = if is_refused { Progress::Refused } else { Progress::Sent };
            let status = status::of_h2(&error);
            place.on_status(status::code(&status), None);
            Err(Lost { status, progress, is_final: false })
        }
    }
}

enum Failed {
    Body(Status),
    Stream(h2::Error),
}

fn response_of(
    response: &mut ResponseFuture,
    cx: &mut Context<'_>,
) -> Poll<Result<Response<RecvStream>, h2::Error>> {
    Pin::new(response).poll(cx)
}

/// Sends a body, as fast as the peer takes it. Ends early, without an error, when the peer does not want the rest.
#[derive(Debug)]
pub(super) struct Pump {
    stream: SendStream<Bytes>,
    body: Cursor,
    /// What was read and not sent, and whether it is the last.
    chunk: Option<(Bytes, bool)>,
    /// Where the bytes are counted that go out, if they are.
    counting: Option<(Arc<Volume>, MessageMeter)>,
}

impl Pump {
    fn new(
        stream: SendStream<Bytes>,
        body: Cursor,
        counting: Option<(Arc<Volume>, MessageMeter)>,
    ) -> Self {
        Self { stream, body, chunk: None, counting }
    }

    /// Sends what the window allows of the chunk at hand. Ready once none is left; false: the peer wants no more.
    fn poll_send(&mut self, cx: &mut Context<'_>) -> Poll<bool> {
        while let Some((chunk, is_last)) = &mut self.chunk {
            if chunk.is_empty() {
                let is_last = *is_last;
                self.chunk = None;
                return Poll::Ready(!is_last || self.stream.send_data(Bytes::new(), true).is_ok());
            }
            self.stream.reserve_capacity(chunk.len());
            let room = match self.stream.capacity() {
                0 => match ready!(self.stream.poll_capacity(cx)) {
                    Some(Ok(room)) => room,
                    Some(Err(_)) | None => return Poll::Ready(false),
                },
                room => room,
            };
            let part = chunk.split_to(room.min(chunk.len()));
            let is_end = *is_last && chunk.is_empty();
            let is_done = chunk.is_empty();
            if let Some((volume, meter)) = &mut self.counting {
                // No message is too long for it.
                volume.on_sent(part.len(), meter.on_bytes(&part).unwrap_or_default());
            }
            if self.stream.send_data(part, is_end).is_err() {
                return Poll::Ready(false);
            }
            if is_done {
                self.chunk = None;
            }
        }
        Poll::Ready(true)
    }
}

impl Future for Pump {
    type Output = Result<(), Status>;

    fn poll(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Result<(), Status>> {
        let pump = self.get_mut();
        loop {
            let was_last = pump.chunk.as_ref().is_some_and(|(_, is_last)| *is_last);
            let wants_more = ready!(pump.poll_send(cx));
            if !wants_more || was_last {
                return Poll::Ready(Ok(()));
            }
            if pump.stream.poll_reset(cx).is_ready() {
                return Poll::Ready(Ok(()));
            }
            match ready!(pump.body.poll_next(cx)) {
                Ok(Some(chunk)) => pump.chunk = Some(chunk),
                Ok(None) => pump.chunk = Some((Bytes::new(), true)),
                Err(status) => {
                    pump.stream.send_reset(Reason::CANCEL);
                    return Poll::Ready(Err(status));
                }
            }
        }
    }
}
