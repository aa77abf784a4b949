//! One request: who asks, where it goes, what comes back.

use super::{
    super::shared::Shared,
    body::{Passing, Reply, Ungathered},
    checked::{Checked, Gate, REFUSED_METHOD},
    fault::{Denied, Fault, with_causes},
    head::{self, Known},
    route::{Destination, route},
    service::Services,
    users::Proved,
};
use crate::{
    address::Address, budget::Permit, context::CloseReason, relay::Relay, transport::Stream,
    tunnel::packet::WHOLE_MAX,
};
use bytes::Bytes;
use http::{HeaderValue, Request, Response, StatusCode, Uri, Version, header::UPGRADE, request};
use hyper::{body::Incoming, upgrade::OnUpgrade};
use hyper_util::rt::TokioIo;
use std::{convert::Infallible, sync::Arc, sync::atomic::Ordering};

/// One connection of a user.
#[derive(Debug)]
pub(super) struct Front {
    pub(super) shared: Arc<Shared>,
    /// Of a connection of HTTP/1.
    pub(super) gate: Arc<Gate>,
    pub(super) source: Option<Address>,
    pub(super) is_secured: bool,
    /// Who has shown a certificate.
    pub(super) certified: Option<Proved>,
    pub(super) services: Services,
}

/// A request that may go on.
struct Granted {
    to: Destination,
    user: Option<Proved>,
    permit: Option<Permit>,
    host: Option<Box<str>>,
}

impl Front {
    /// Answers a request, in any case.
    pub(super) async fn answer(
        self: Arc<Self>,
        request: Request<Incoming>,
    ) -> Result<Response<Reply>, Infallible> {
        let is_held =
            request.version() == Version::HTTP_11 && request.headers().contains_key(UPGRADE);
        let response = match self.exchange(request).await {
            Ok(response) => response,
            Err(denied) => {
                tracing::debug!(status = %denied.status(), why = denied.text(), "a request was denied");
                Reply::denied(&denied)
            }
        };
        if is_held && response.status() != StatusCode::SWITCHING_PROTOCOLS {
            self.gate.release();
        }
        self.shared.requests.add(response.status());
        Ok(response)
    }

    async fn exchange(&self, request: Request<Incoming>) -> Result<Response<Reply>, Denied> {
        if request.method().as_str() == REFUSED_METHOD
            && let Some(fault) = self.gate.fault()
        {
            return Err(Denied::Malformed(fault));
        }
        let (mut head, body) = request.into_parts();
        let granted = self.grant(&head)?;
        let upgrade = head::upgrade(&head);
        let ours = upgrade.is_some().then(|| head.extensions.remove::<OnUpgrade>()).flatten();
        self.rewrite(&mut head, &granted, upgrade.as_ref())?;
        let patience = self.shared.config.idle_timeout;
        let body = Passing::new(body, patience);
        let broken = body.broken();
        let body = if self.shared.may_lose_order(&granted.to.cluster) {
            self.in_one_piece(body, upgrade.is_some()).await?
        } else {
            body
        };
        let request = Request::from_parts(head, body);
        let sent = self.services.send(&self.shared, self.source.as_ref(), &granted.to, request);
        let response = match self.shared.config.http.response_timeout.duration() {
            Some(limit) => tokio::time::timeout(limit, sent).await.unwrap_or(Err(Denied::Silent)),
            None => sent.await,
        };
        let response = match response {
            Err(Denied::Broken(_)) if broken.load(Ordering::Acquire) => {
                return Err(Denied::Malformed(self.gate.fault().unwrap_or(Fault::Chunk)));
            }
            response => response?,
        };
        if response.status() == StatusCode::SWITCHING_PROTOCOLS {
            return self.switch(response, ours, granted.permit);
        }
        let (mut head, body) = response.into_parts();
        head::to_user(&mut head.headers, None).map_err(|()| unclear())?;
        let body = Passing::new(body, patience).holding(granted.permit);
        let mut response = Response::new(Reply::Passing(body));
        (*response.status_mut(), *response.headers_mut()) = (head.status, head.headers);
        Ok(response)
    }

    /// Who asks, where it leads, and whether it may.
    fn grant(&self, head: &request::Parts) -> Result<Granted, Denied> {
        let shared = &self.shared;
        let host = head::host(head).map_err(Denied::Malformed)?;
        let path = head::path(&head.method, &head.uri).map_err(Denied::Malformed)?;
        let user = self.certified.clone().or_else(|| shared.users.by_token(&head.headers));
        let to = route(&shared.config.http.routes, head::asked(head, host.as_deref(), path));
        let is_open = to.as_ref().is_some_and(|to| shared.users.is_anonymous(&to.cluster));
        let Some(user) = user else {
            // Who is not known does not learn what there is.
            let to = to.filter(|_| is_open).ok_or(Denied::Unknown)?;
            return Ok(Granted { to, user: None, permit: None, host });
        };
        let to = to.ok_or(Denied::NoRoute)?;
        if !is_open && !user.user.may_use(&to.cluster) {
            return Err(Denied::NotAllowed);
        }
        let limit = user.user.requests.limit();
        let permit = user.user.requests.try_acquire().ok_or(Denied::UserFull { limit })?;
        Ok(Granted { to, user: Some(user), permit: Some(permit), host })
    }

    /// For an agent that may swap what follows each other: the whole body is sent with the head, and nothing after.
    async fn in_one_piece(&self, body: Passing, is_upgrade: bool) -> Result<Passing, Denied> {
        if is_upgrade {
            return Err(Denied::NoUpgrade);
        }
        let limit = WHOLE_MAX.saturating_sub(self.shared.config.http.max_head as usize);
        body.whole(limit).await.map_err(|why| match why {
            Ungathered::TooLong => Denied::TooLong { limit },
            Ungathered::Broken => Denied::Malformed(self.gate.fault().unwrap_or(Fault::Chunk)),
        })
    }

    /// Makes the head into that for the service.
    fn rewrite(
        &self,
        head: &mut request::Parts,
        granted: &Granted,
        upgrade: Option<&HeaderValue>,
    ) -> Result<(), Denied> {
        if let Some(field) = granted.user.as_ref().and_then(|proved| proved.by.as_ref()) {
            head.headers.remove(field);
        }
        let source = self.source.as_ref().and_then(Address::socket_addr);
        let source = source.map(|source| source.ip().to_string());
        let known = Known {
            source: source.as_deref(),
            is_secured: self.is_secured,
            user: granted.user.as_ref().map(|proved| &*proved.user.name),
        };
        head::to_service(head, granted.host.as_deref(), upgrade, known);
        let uri = Uri::from_maybe_shared(Bytes::from(granted.to.path.clone()));
        head.uri = uri.map_err(|_| Denied::Malformed(Fault::Path))?;
        Ok(())
    }

    /// The service speaks another protocol from here on: carries bytes both ways, without a limit but that of silence.
    fn switch(
        &self,
        mut response: Response<Incoming>,
        ours: Option<OnUpgrade>,
        permit: Option<Permit>,
    ) -> Result<Response<Reply>, Denied> {
        let agreed = response.headers().get(UPGRADE).cloned();
        let (Some(ours), Some(agreed)) = (ours, agreed) else { return Err(unclear()) };
        let theirs = hyper::upgrade::on(&mut response);
        head::to_user(response.headers_mut(), Some(&agreed)).map_err(|()| unclear())?;
        let carried = carry(Arc::clone(&self.shared), ours, theirs, permit);
        self.shared.fronts.spawn_on(carried, self.shared.network.runtime());
        let (head, _) = response.into_parts();
        let mut switched = Response::new(Reply::empty());
        (*switched.status_mut(), *switched.headers_mut()) = (head.status, head.headers);
        Ok(switched)
    }
}

fn unclear() -> Denied {
    Denied::Broken("its response can be read in two ways".into())
}

async fn carry(shared: Arc<Shared>, ours: OnUpgrade, theirs: OnUpgrade, permit: Option<Permit>) {
    let both = tokio::select! {
        biased;
        _ = shared.cut.ordered() => return,
        both = async { tokio::try_join!(ours, theirs) } => both,
    };
    let (ours, theirs) = match both {
        Ok(both) => both,
        Err(error) => return tracing::debug!(why = with_causes(&error), "an upgrade broke"),
    };
    let (Ok(ours), Ok(theirs)) =
        (ours.downcast::<TokioIo<Checked>>(), theirs.downcast::<TokioIo<Stream>>())
    else {
        return;
    };
    let (client, early) = ours.io.into_inner().into_parts();
    let (server, answer) = (theirs.io.into_inner(), theirs.read_buf);
    let client = Client(client);
    let first = async {
        server.write_all(&ours.read_buf).await?;
        server.write_all(&early).await?;
        client.0.write_all(&answer).await
    };
    let is_begun = tokio::select! {
        biased;
        reason = shared.cut.ordered() => return client.0.close_because(reason),
        first = first => first.is_ok(),
    };
    if !is_begun {
        return;
    }
    let mut relay = Relay::new(&client.0, &server, &shared.relay_limits());
    let outcome = tokio::select! {
        biased;
        reason = shared.cut.ordered() => relay.cut(reason),
        outcome = relay.run() => outcome,
    };
    drop(permit);
    tracing::trace!(?outcome, "upgraded connection over");
}

/// The stream of a client whose task may be dropped with the runtime before it has said why it ends.
struct Client(Stream);

impl Drop for Client {
    fn drop(&mut self) {
        self.0.close_because(CloseReason::Cancelled);
    }
}
