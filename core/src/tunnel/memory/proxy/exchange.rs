//! One request: where it goes, whether and how it may, what comes back.

use super::{
    denied::Denied,
    hooks::{FieldChanges, Processed, ProxyRequest, ProxyTarget, Routed},
    routes::route,
    shared::Shared,
};
use crate::{
    address::Address,
    context::ConnectionId,
    transport::ConnectOptions,
    tunnel::http::{self, Asked, Broken, Fault, Gate, Known, Passing, Reply, Services},
};
use ::http::{HeaderValue, Request, Response, StatusCode, Uri, header::HOST, request};
use bytes::Bytes;
use hyper::{body::Incoming, upgrade::OnUpgrade};
use std::sync::{Arc, atomic::Ordering};

/// One connection of a client.
#[derive(Debug)]
pub(in crate::tunnel::memory) struct Front {
    pub(super) shared: Arc<Shared>,
    /// Of a connection of HTTP/1.
    pub(super) gate: Arc<Gate>,
    pub(super) connection: ConnectionId,
    pub(super) source: Option<Address>,
    pub(super) is_secured: bool,
    pub(super) server_name: Option<Box<str>>,
    pub(super) services: Services<Address>,
}

impl http::Front for Front {
    type Denied = Denied;

    async fn exchange(&self, request: Request<Incoming>) -> Result<Response<Reply>, Denied> {
        let (mut head, body) = request.into_parts();
        let upgrade = http::upgrade(&head);
        let ours = upgrade.is_some().then(|| head.extensions.remove::<OnUpgrade>()).flatten();
        let target = self.prepare(&mut head, upgrade.as_ref()).await?;
        let config = &self.shared.config;
        let body = Passing::new(body, config.idle_timeout);
        let broken = body.broken();
        let sent = self.send(&target, Request::from_parts(head, body));
        let response = match config.response_timeout.duration() {
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
            return Ok(http::switch(&self.shared, response, ours, None)?);
        }
        let (mut head, body) = response.into_parts();
        http::to_user(&mut head.headers, None).map_err(|()| Broken::unclear())?;
        let body = Reply::Passing(Passing::new(body, config.idle_timeout));
        let mut response = Response::new(body);
        (*response.status_mut(), *response.headers_mut()) = (head.status, head.headers);
        Ok(response)
    }
}

impl Front {
    /// Makes the head into that for the service, and says which one that is.
    async fn prepare(
        &self,
        head: &mut request::Parts,
        upgrade: Option<&HeaderValue>,
    ) -> Result<Arc<ProxyTarget>, Denied> {
        let host = http::host(head)?;
        let path: Box<str> = http::path(&head.method, &head.uri)?.into();
        let source = self.source.as_ref().and_then(Address::socket_addr);
        let source = source.map(|source| source.ip().to_string());
        let known = Known {
            source: source.as_deref(),
            is_secured: self.is_secured,
            user: None,
            is_trusted: self.shared.config.trust_forwarded,
        };
        http::to_service(head, host.as_deref(), upgrade, known);
        let request = self.described(head, host.as_deref(), &path);
        let asked = Asked::of(head, host.as_deref(), &path);
        let target = Arc::new(self.route(asked, request.as_ref()).await?);
        if let Some(request) = request {
            let changes = self.process(request, &target).await?;
            change(head, changes);
        }
        let uri = target.path.as_deref().map_or_else(|| asked_for(head), |path| path.into());
        let uri = Uri::from_maybe_shared(Bytes::from(uri.into_string()));
        head.uri = uri.map_err(|_| Fault::Path)?;
        if let Some(host) = &target.host {
            let host = HeaderValue::from_str(host).map_err(|_| Fault::Host)?;
            head.headers.insert(HOST, host);
        }
        Ok(target)
    }

    /// The request as hooks see it; `None` where there are none for requests.
    fn described(
        &self,
        head: &request::Parts,
        host: Option<&str>,
        path: &str,
    ) -> Option<Arc<ProxyRequest>> {
        if self.shared.router.is_none() && self.shared.processor.is_none() {
            return None;
        }
        Some(Arc::new(ProxyRequest {
            connection: self.connection,
            source: self.source.clone(),
            server_name: self.server_name.clone(),
            is_secured: self.is_secured,
            method: head.method.clone(),
            host: host.map(Into::into),
            path: path.into(),
            query: head.uri.query().map(Into::into),
            headers: head.headers.clone(),
            timeout: self.shared.config.hook_timeout,
        }))
    }

    async fn route(
        &self,
        asked: Asked<'_>,
        request: Option<&Arc<ProxyRequest>>,
    ) -> Result<ProxyTarget, Denied> {
        let shared = &self.shared;
        let routed = match (&shared.router, request) {
            (Some(router), Some(request)) => {
                let request = Arc::clone(request);
                let question = |hook: Arc<dyn super::hooks::Router>| hook.route(request);
                let answer = router.ask(&shared.fronts, shared.network.runtime(), question).await;
                answer.map_err(|why| Denied::Unanswered { hook: router.name(), why })?
            }
            _ => Routed::Default,
        };
        match routed {
            Routed::Default => route(&shared.config, asked).ok_or(Denied::NoRoute),
            Routed::To(target) => {
                target.check().map_err(Denied::Unusable)?;
                Ok(target)
            }
            Routed::Refuse(refusal) => Err(Denied::Refused(refusal)),
        }
    }

    async fn process(
        &self,
        request: Arc<ProxyRequest>,
        target: &Arc<ProxyTarget>,
    ) -> Result<FieldChanges, Denied> {
        let shared = &self.shared;
        let Some(processor) = &shared.processor else { return Ok(FieldChanges::default()) };
        let target = Arc::clone(target);
        let question =
            |hook: Arc<dyn super::hooks::RequestProcessor>| hook.process(request, target);
        let answer = processor.ask(&shared.fronts, shared.network.runtime(), question).await;
        match answer.map_err(|why| Denied::Unanswered { hook: processor.name(), why })? {
            Processed::Pass(changes) => {
                changes.check().map_err(Denied::Unusable)?;
                Ok(changes)
            }
            Processed::Refuse(refusal) => Err(Denied::Refused(refusal)),
        }
    }

    async fn send(
        &self,
        target: &ProxyTarget,
        request: Request<Passing>,
    ) -> Result<Response<Incoming>, Denied> {
        let shared = &self.shared;
        let open = async {
            let alpn = Some(vec!["http/1.1".to_owned()]);
            let options =
                ConnectOptions { tcp: shared.config.tcp, alpn, ..ConnectOptions::default() };
            let connected = shared.network.connect_with(&target.address, None, &options).await;
            connected.map_err(Denied::NotReached)
        };
        self.services.send(&**shared, target.address.clone(), open, request).await
    }
}

/// The path and the query as they came.
fn asked_for(head: &request::Parts) -> Box<str> {
    head.uri.path_and_query().map_or("/", |path| path.as_str()).into()
}

fn change(head: &mut request::Parts, changes: FieldChanges) {
    for name in changes.remove.iter().chain(changes.set.iter().map(|(name, _)| name)) {
        head.headers.remove(name);
    }
    for (name, value) in changes.set {
        head.headers.append(name, value);
    }
}
