//! A request's body, kept while it may have to be sent again.

use bytes::Bytes;
use http_body::Body as _;
use parking_lot::Mutex;
use std::{
    collections::VecDeque,
    mem,
    pin::Pin,
    sync::Arc,
    task::{Context, Poll, Wake, Waker},
};
use tonic::{Status, body::Body};

/// One body that several attempts read, each from its beginning.
#[derive(Debug)]
pub(super) struct Replay {
    state: Mutex<State>,
    /// What is woken when more of the body is there: all attempts that wait for it.
    readers: Arc<Readers>,
}

#[derive(Debug)]
struct State {
    body: Body,
    /// What was read and is kept: from the beginning, or what no attempt has taken yet.
    chunks: VecDeque<Bytes>,
    /// Chunks before those that are kept.
    dropped: usize,
    kept: usize,
    limit: usize,
    end: End,
}

#[derive(Debug)]
enum End {
    Open,
    Ended,
    Failed(Status),
}

#[derive(Debug, Default)]
struct Readers(Mutex<Vec<Waker>>);

impl Wake for Readers {
    fn wake(self: Arc<Self>) {
        let wakers = mem::take(&mut *self.0.lock());
        wakers.into_iter().for_each(Waker::wake);
    }
}

/// Where one attempt stands in the body.
#[derive(Debug)]
pub(super) struct Cursor {
    replay: Arc<Replay>,
    next: usize,
}

impl Replay {
    /// Keeps at most `limit` bytes.
    pub(super) fn new(body: Body, limit: usize) -> Arc<Self> {
        let state =
            State { body, chunks: VecDeque::new(), dropped: 0, kept: 0, limit, end: End::Open };
        Arc::new(Self { state: Mutex::new(state), readers: Arc::default() })
    }

    /// Whether the whole of what was read is still there for another attempt.
    pub(super) fn is_whole(&self) -> bool {
        let state = self.state.lock();
        state.dropped == 0 && !matches!(state.end, End::Failed(_))
    }

    /// No other attempt will be made: what is read from now on is not kept.
    pub(super) fn commit(&self) {
        self.state.lock().limit = 0;
    }

    /// The beginning, for one more attempt.
    pub(super) fn read(self: &Arc<Self>) -> Cursor {
        Cursor { replay: Arc::clone(self), next: 0 }
    }
}

impl Cursor {
    /// The next part of the body and whether it is the last one; `None` at the end.
    ///
    /// # Errors
    ///
    /// What the body failed with.
    pub(super) fn poll_next(
        &mut self,
        cx: &Context<'_>,
    ) -> Poll<Result<Option<(Bytes, bool)>, Status>> {
        self.replay.register(cx);
        let waker = Waker::from(Arc::clone(&self.replay.readers));
        let mut cx = Context::from_waker(&waker);
        let mut state = self.replay.state.lock();
        // One more than is asked for: it tells whether that is the last.
        while state.end_of_chunks() <= self.next + 1 && state.poll_body(&mut cx).is_ready() {}
        let Some(at) = self.next.checked_sub(state.dropped) else {
            return Poll::Ready(Err(Status::internal("the request is not kept any more")));
        };
        let is_ended = matches!(state.end, End::Ended);
        if let Some(chunk) = state.chunks.get(at).cloned() {
            self.next += 1;
            let is_last = is_ended && self.next == state.end_of_chunks();
            state.trim(self.next);
            return Poll::Ready(Ok(Some((chunk, is_last))));
        }
        match &state.end {
            End::Open => Poll::Pending,
            End::Ended => Poll::Ready(Ok(None)),
            End::Failed(status) => Poll::Ready(Err(status.clone())),
        }
    }
}

impl Replay {
    fn register(&self, cx: &Context<'_>) {
        let mut wakers = self.readers.0.lock();
        if !wakers.iter().any(|waker| waker.will_wake(cx.waker())) {
            wakers.push(cx.waker().clone());
        }
    }
}

impl State {
    fn end_of_chunks(&self) -> usize {
        self.dropped + self.chunks.len()
    }

    /// Reads one part more. Ready if there may be another one.
    fn poll_body(&mut self, cx: &mut Context<'_>) -> Poll<()> {
        if !matches!(self.end, End::Open) {
            return Poll::Pending;
        }
        match Pin::new(&mut self.body).poll_frame(cx) {
            Poll::Pending => return Poll::Pending,
            Poll::Ready(None) => self.end = End::Ended,
            Poll::Ready(Some(Err(status))) => self.end = End::Failed(status),
            Poll::Ready(Some(Ok(frame))) => {
                if let Ok(chunk) = frame.into_data() {
                    self.kept += chunk.len();
                    self.chunks.push_back(chunk);
                }
            }
        }
        Poll::Ready(())
    }

    /// Drops what was taken, once it is more than is kept.
    fn trim(&mut self, taken: usize) {
        while self.kept > self.limit && self.dropped < taken {
            let Some(chunk) = self.chunks.pop_front() else { return };
            self.kept -= chunk.len();
            self.dropped += 1;
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::future::poll_fn;
    use tokio::sync::mpsc;

    struct Parts(mpsc::Receiver<Result<Bytes, Status>>);

    impl http_body::Body for Parts {
        type Data = Bytes;
        type Error = Status;

        fn poll_frame(
            mut self: Pin<&mut Self>,
            cx: &mut Context<'_>,
        ) -> Poll<Option<Result<http_body::Frame<Bytes>, Status>>> {
            self.0.poll_recv(cx).map_ok(http_body::Frame::data)
        }
    }

    fn replay(limit: usize) -> (mpsc::Sender<Result<Bytes, Status>>, Arc<Replay>) {
        let (send, receive) = mpsc::channel(8);
        (send, Replay::new(Body::new(Parts(receive)), limit))
    }

    async fn next(cursor: &mut Cursor) -> Option<(Bytes, bool)> {
        poll_fn(|cx| cursor.poll_next(cx)).await.unwrap()
    }

    async fn send(to: &mpsc::Sender<Result<Bytes, Status>>, text: &'static str) {
        to.send(Ok(Bytes::from_static(text.as_bytes()))).await.unwrap();
    }

    #[tokio::test]
    async fn every_attempt_reads_from_the_beginning_and_both_are_woken() {
        let (parts, replay) = replay(100);
        let (mut one, mut other) = (replay.read(), replay.read());
        send(&parts, "a").await;
        assert_eq!(next(&mut one).await, Some(("a".into(), false)));
        let (first, second, ()) = tokio::join!(
            next(&mut one),
            async { (next(&mut other).await, next(&mut other).await) },
            async {
                tokio::task::yield_now().await;
                send(&parts, "b").await;
            }
        );
        assert_eq!(first, Some(("b".into(), false)));
        assert_eq!(second, (Some(("a".into(), false)), Some(("b".into(), false))));
        drop(parts);
        assert_eq!(next(&mut one).await, None);
        assert!(replay.is_whole());
    }

    #[tokio::test]
    async fn the_last_part_is_known_as_such() {
        let (parts, replay) = replay(100);
        send(&parts, "only").await;
        drop(parts);
        assert_eq!(next(&mut replay.read()).await, Some(("only".into(), true)));
        assert_eq!(next(&mut replay.read()).await, Some(("only".into(), true)));
    }

    #[tokio::test]
    async fn more_than_is_kept_cannot_be_sent_again() {
        let (parts, replay) = replay(3);
        let mut cursor = replay.read();
        send(&parts, "abc").await;
        next(&mut cursor).await;
        assert!(replay.is_whole());
        send(&parts, "d").await;
        next(&mut cursor).await;
        assert!(!replay.is_whole());
        assert!(poll_fn(|cx| replay.read().poll_next(cx)).await.is_err());
    }

    #[tokio::test]
    async fn a_body_that_fails_fails_the_attempt_and_allows_no_other() {
        let (parts, replay) = replay(100);
        parts.send(Err(Status::aborted("no"))).await.unwrap();
        let failed = poll_fn(|cx| replay.read().poll_next(cx)).await.unwrap_err();
        assert_eq!((failed.code(), replay.is_whole()), (tonic::Code::Aborted, false));
    }
}
