//! The connections to services that one user's connection has: opened for a request, kept for the next.

use super::{
    body::Passing,
    fault::Broken,
    site::{Limits, Site},
};
use crate::{
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
use std::{future::Future, time::Duration};

/// Idle connections to services that one user's connection keeps.
const KEPT: usize = 8;
/// Time for a connection whose response was read to its end to be ready for the next request.
const SETTLING: Duration = Duration::from_secs(1);

/// One that is idle, or soon will be.
#[derive(Debug)]
struct Kept<K> {
    to: K,
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

impl<K> Kept<K> {
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
#[derive(Debug)]
pub(in crate::tunnel) struct Services<K> {
    kept: Mutex<Vec<Kept<K>>>,
}

impl<K> Default for Services<K> {
    fn default() -> Self {
        Self { kept: Mutex::default() }
    }
}

impl<K: PartialEq> Services<K> {
    /// Sends a request where it goes, and waits for the head of the response.
    ///
    /// A kept connection that has closed meanwhile is no failure: as long as nothing was sent, a new one is opened.
    pub(in crate::tunnel) async fn send<E: From<Broken>>(
        &self,
        site: &impl Site,
        to: K,
        open: impl Future<Output = Result<Stream, E>>,
        mut request: Request<Passing>,
    ) -> Result<Response<Incoming>, E> {
        while let Some(mut kept) = self.take(&to).await {
            match kept.ask(request).await {
                Ok(response) => {
                    self.keep(kept);
                    return Ok(response);
                }
                Err(mut refused) => match refused.take_message() {
                    Some(unsent) => request = unsent,
                    None => return Err(Broken::of(refused.error()).into()),
                },
            }
        }
        let stream = open.await?;
        let mut opened = begin(site, to, stream).await?;
        let answer = opened.ask(request).await;
        let response = answer.map_err(|refused| Broken::of(refused.error()))?;
        self.keep(opened);
        Ok(response)
    }

    async fn take(&self, to: &K) -> Option<Kept<K>> {
        loop {
            let mut found = {
                let mut kept = self.kept.lock();
                let at = kept.iter().position(|one| one.to == *to)?;
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

    fn keep(&self, one: Kept<K>) {
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

async fn begin<K>(site: &impl Site, to: K, stream: Stream) -> Result<Kept<K>, Broken> {
    let handle = stream.close_handle();
    let Limits { max_fields, max_head, .. } = site.limits();
    let handshake = Builder::new()
        .max_headers(max_fields as usize)
        .max_header_size(max_head as usize)
        .handshake(TokioIo::new(stream));
    let (requests, connection) = handshake.await.map_err(|error| Broken::of(&error))?;
    let driver = async move {
        if let Err(error) = connection.with_upgrades().await {
            tracing::trace!(%error, "a connection to a service broke");
        }
    };
    site.fronts().spawn_on(driver, site.runtime());
    Ok(Kept { to, requests, stream: handle })
}
