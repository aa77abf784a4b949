//! Connections that the host makes: asked for, and closed exactly once, however late they come.

use super::{Inner, JobHost, JobKind, JobPlace, Listed, Reply, unanswered};
use crate::{
    error::Failure,
    job::{Answer, Asker, Taken},
};
use std::{
    fmt,
    sync::{Arc, Weak},
};
use tokio::sync::oneshot;
use trunkline_core::{ConnectionError, PoolCloseReason};

impl JobHost {
    /// Asks for a connection. The place for the job that closes it is taken before.
    ///
    /// # Errors
    ///
    /// As [`ask`](Self::ask).
    ///
    /// # Cancel safety
    ///
    /// Dropping the future leaves the job with the host. What it brings is then closed, as unwanted.
    pub(crate) async fn connect(&self, about: u64) -> Result<Resource, ConnectionError> {
        let what = JobKind::Connect;
        let (place, to_close) = (self.0.reserve(what.step())?, self.0.reserve(what.step())?);
        let (sender, receiver) = oneshot::channel();
        let host = Arc::downgrade(&self.0);
        let reply =
            |listed| Box::new(ConnectReply { sender, host, to_close, _listed: listed }) as _;
        self.0.post(place, what, about, reply);
        receiver.await.unwrap_or_else(|_| Err(unanswered(what)))
    }
}

struct ConnectReply {
    sender: oneshot::Sender<Result<Resource, ConnectionError>>,
    host: Weak<Inner>,
    to_close: JobPlace,
    _listed: Listed,
}

impl Asker for ConnectReply {
    fn answer(self: Box<Self>, answer: Answer) -> Result<Taken, Failure> {
        let Self { sender, host, to_close, _listed } = *self;
        let host = host.upgrade().ok_or_else(|| Failure::closed("the pool"))?;
        let value = *answer.as_ref().unwrap_or(&0);
        let what = JobKind::Connect;
        let made = answer.map(|number| Resource { number, rest: Some((host, to_close)) });
        // If whoever asked is gone, what comes back is closed by its drop.
        drop(sender.send(made.map_err(|error| what.failed(*error))));
        Ok(Taken::Kept(value))
    }
}

/// The host that closes a connection, and its answer.
type Closing = (Arc<Inner>, oneshot::Receiver<Result<u64, ConnectionError>>);

/// A connection that the host made, to be closed by it. Dropped without a [`close`](Self::close), it is closed as unwanted.
pub(crate) struct Resource {
    number: u64,
    /// Taken by the close.
    rest: Option<(Arc<Inner>, JobPlace)>,
}

impl Resource {
    /// The host's number for it.
    pub(crate) fn number(&self) -> u64 {
        self.number
    }

    /// Leaves it to the host for good, open as it is; returns its number.
    pub(crate) fn detach(mut self) -> u64 {
        self.rest = None;
        self.number
    }

    /// Has it closed, now and exactly once, for one of TRUNKLINE_POOL_CLOSE_*. The future only waits until the host says
    /// that it is done, or will never say so.
    pub(crate) fn close(mut self, reason: u32) -> impl Future<Output = ()> + Send + 'static {
        let closing = self.post_close(reason);
        async move {
            // The host is held, so that its answer is not stale.
            let Some((_host, closed)) = closing else { return };
            let _ = closed.await;
        }
    }

    fn post_close(&mut self, reason: u32) -> Option<Closing> {
        let (host, place) = self.rest.take()?;
        let (sender, receiver) = oneshot::channel();
        let what = JobKind::Close { reason };
        let reply = |listed| Box::new(Reply { sender, what, _listed: listed }) as _;
        host.post(place, what, self.number, reply);
        Some((host, receiver))
    }
}

impl Drop for Resource {
    fn drop(&mut self) {
        let _ = self.post_close(PoolCloseReason::Unwanted as u32);
    }
}

impl fmt::Debug for Resource {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Resource").field("number", &self.number).finish_non_exhaustive()
    }
}
