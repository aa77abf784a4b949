//! The connections to services that one user's connection has: opened through the tunnel, kept for the next request.

use super::{
    super::{
        dial::{Holder, Wanted, dial},
        shared::Shared,
    },
    body::Passing,
    fault::{Denied, with_causes},
    route::Destination,
};
use crate::{
    address::Address,
    context::CloseReason,
    transport::{CloseHandle, Stream},
};
use http::{Request, Response};
use hyper::{
    body::Incoming,
    client::conn::{
        TrySendError,
        http1::{Builder, SendRequest},
    },
};
use hyper_util::rt::TokioIo;
use parking_lot::Mutex;
use std::{sync::Arc, time::Duration};

/// Idle connections to services that one user's connection keeps.
const KEPT: usize = 8;
/// Time for a connection whose response was read to its end to be ready for the next request.
const SETTLING: Duration = Duration::from_secs(1);

/// One that is idle, or soon will be.
#[derive(Debug)]
struct Kept {
    cluster: Box<str>,
    target: Option<Address>,
    requests: SendRequest<Passing>,
    stream: CloseHandle,
}

/// Ends a connection whose response is waited for no longer: what it still sends would hold the request's body.
struct Unanswered<'a>(Option<&'a CloseHandle>);

impl Drop for Unanswered<'_> {
    fn drop(&mut self) {
        if let Some(stream) = self.0 {
            stream.close(CloseReason::Cancelled);
        }
    }
}

impl Kept {
    /// Waits for the head of the response. Dropping the future ends the connection.
    async fn ask(
        &mut self,
        request: Request<Passing>,
    ) -> Result<Response<Incoming>, TrySendError<Request<Passing>>> {
        let mut unanswered = Unanswered(Some(&self.stream));
        let answer = self.requests.try_send_request(request).await;
        if answer.is_ok() {
            unanswered.0 = None;
        }
        answer
    }
}

/// The idle ones of one user's connection; they are closed with it.
#[derive(Debug, Default)]
pub(super) struct Services {
    kept: Mutex<Vec<Kept>>,
}

impl Services {
    /// Sends a request where it goes, and waits for the head of the response.
    ///
    /// A kept connection that has closed meanwhile is no failure: as long as nothing was sent, a new one is opened.
    pub(super) async fn send(
        &self,
        shared: &Arc<Shared>,
        source: Option<&Address>,
        to: &Destination,
        mut request: Request<Passing>,
    ) -> Result<Response<Incoming>, Denied> {
        while let Some(mut kept) = self.take(to).await {
            match kept.ask(request).await {
                Ok(response) => {
                    self.keep(kept);
                    return Ok(response);
                }
                Err(mut refused) => match refused.take_message() {
                    Some(unsent) => request = unsent,
                    None => return Err(Denied::Broken(with_causes(refused.error()).into())),
                },
            }
        }
        let mut opened = open(shared, source, to).await?;
        let broken = |refused: TrySendError<_>| Denied::Broken(with_causes(refused.error()).into());
        let response = opened.ask(request).await.map_err(broken)?;
        self.keep(opened);
        Ok(response)
    }

    async fn take(&self, to: &Destination) -> Option<Kept> {
        loop {
            let mut found = {
                let mut kept = self.kept.lock();
                let is_it = |one: &Kept| one.cluster == to.cluster && one.target == to.target;
                let at = kept.iter().position(is_it)?;
                kept.swap_remove(at)
            };
            if found.requests.is_ready() {
                return Some(found);
            }
            // Its response was read to the end, or its reader is another request of the same connection.
            let settled = tokio::time::timeout(SETTLING, found.requests.ready()).await;
            if matches!(settled, Ok(Ok(()))) {
                return Some(found);
            }
        }
    }

    fn keep(&self, one: Kept) {
        let refused = {
            let mut kept = self.kept.lock();
            if kept.len() < KEPT {
                kept.push(one);
                None
            } else {
                Some(one)
            }
        };
        drop(refused);
    }
}

async fn open(
    shared: &Arc<Shared>,
    source: Option<&Address>,
    to: &Destination,
) -> Result<Kept, Denied> {
    let wanted =
        Wanted { cluster: to.cluster.clone(), target: to.target.clone(), source: source.cloned() };
    let stream = dial(shared, wanted, Holder::Dialled, None).await.map_err(Denied::NotReached)?;
    let handle = stream.close_handle();
    let requests = begin(shared, stream).await?;
    let (cluster, target) = (to.cluster.clone(), to.target.clone());
    Ok(Kept { cluster, target, requests, stream: handle })
}

async fn begin(shared: &Arc<Shared>, stream: Stream) -> Result<SendRequest<Passing>, Denied> {
    let http = &shared.config.http;
    let handshake = Builder::new()
        .max_headers(http.max_fields as usize)
        .max_header_size(http.max_head as usize)
        .handshake(TokioIo::new(stream));
    let (requests, connection) =
        handshake.await.map_err(|error| Denied::Broken(with_causes(&error).into()))?;
    let driver = async move {
        if let Err(error) = connection.with_upgrades().await {
            tracing::trace!(%error, "a connection to a service broke");
        }
    };
    shared.fronts.spawn_on(driver, shared.network.runtime());
    Ok(requests)
}
