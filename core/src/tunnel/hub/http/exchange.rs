//! One request: who asks, where it goes, what comes back.

use super::{
    super::{
        dial::{Holder, Wanted, dial},
        shared::Shared,
    },
    denied::Denied,
    route::{Destination, route},
    users::Proved,
};
use crate::{
    address::Address,
    budget::Permit,
    tunnel::{
        http::{self, Asked, Broken, Fault, Gate, Known, Passing, Reply, Services, Ungathered},
        packet::WHOLE_MAX,
    },
};
use ::http::{HeaderValue, Request, Response, StatusCode, Uri, request};
use bytes::Bytes;
use hyper::{body::Incoming, upgrade::OnUpgrade};
use std::sync::{Arc, atomic::Ordering};

/// One connection of a user.
#[derive(Debug)]
pub(in super::super) struct Front {
    pub(super) shared: Arc<Shared>,
    /// Of a connection of HTTP/1.
    pub(super) gate: Arc<Gate>,
    pub(super) source: Option<Address>,
    pub(super) is_secured: bool,
    /// Who has shown a certificate.
    pub(super) certified: Option<Proved>,
    pub(super) services: Services<(Box<str>, Option<Address>)>,
}

/// A request that may go on.
struct Granted {
    to: Destination,
    user: Option<Proved>,
    permit: Option<Permit>,
    host: Option<Box<str>>,
}

impl http::Front for Front {
    type Denied = Denied;

    async fn exchange(&self, request: Request<Incoming>) -> Result<Response<Reply>, Denied> {
        let (mut head, body) = request.into_parts();
        let granted = self.grant(&head)?;
        let upgrade = http::upgrade(&head);
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
        let sent = self.send(&granted.to, request);
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
            return Ok(http::switch(&self.shared, response, ours, granted.permit)?);
        }
        let (mut head, body) = response.into_parts();
        http::to_user(&mut head.headers, None).map_err(|()| Broken::unclear())?;
        let body = Passing::new(body, patience).holding(granted.permit);
        let mut response = Response::new(Reply::Passing(body));
        (*response.status_mut(), *response.headers_mut()) = (head.status, head.headers);
        Ok(response)
    }
}

impl Front {
    async fn send(
        &self,
        to: &Destination,
        request: Request<Passing>,
    ) -> Result<Response<Incoming>, Denied> {
        let (cluster, target) = (to.cluster.clone(), to.target.clone());
        let wanted = Wanted {
            cluster: cluster.clone(),
            target: target.clone(),
            source: self.source.clone(),
        };
        let open = async {
            let dialled = dial(&self.shared, wanted, Holder::Dialled, None).await;
            dialled.map_err(Denied::NotReached)
        };
        self.services.send(&*self.shared, (cluster, target), open, request).await
    }

    /// Who asks, where it leads, and whether it may.
    fn grant(&self, head: &request::Parts) -> Result<Granted, Denied> {
        let shared = &self.shared;
        let host = http::host(head).map_err(Denied::Malformed)?;
        let path = http::path(&head.method, &head.uri).map_err(Denied::Malformed)?;
        let user = self.certified.clone().or_else(|| shared.users.by_token(&head.headers));
        let to = route(&shared.config.http.routes, Asked::of(head, host.as_deref(), path));
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
            is_trusted: false,
        };
        http::to_service(head, granted.host.as_deref(), upgrade, known);
        let uri = Uri::from_maybe_shared(Bytes::from(granted.to.path.clone()));
        head.uri = uri.map_err(|_| Denied::Malformed(Fault::Path))?;
        Ok(())
    }
}
