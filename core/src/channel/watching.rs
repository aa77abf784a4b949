//! Asks the server behind one connection about its health, for as long as the connection takes new calls.

use super::{
    codec::BytesCodec,
    connection::Http2,
    health::{After, Health, Question, ServingStatus},
    protobuf::put_bytes,
    received::Received,
    shared::Shared,
    status,
    subchannel::ConnectionNumber,
    wire::now,
};
use crate::{
    backoff::BackoffConfig,
    endpoint::EndpointId,
    error::{ConnectionError, Place, Step},
};
use bytes::Bytes;
use http::{Request, Response, Uri, uri::PathAndQuery};
use http_body_util::BodyExt as _;
use std::{
    future::{Future, poll_fn},
    pin::Pin,
    sync::{Arc, Weak},
    task::{Context, Poll},
};
use tonic::{Status, body::Body, client::Grpc};
use tower_service::Service;

/// A connection whose server is asked.
pub(super) struct Watched {
    pub(super) subchannel: EndpointId,
    pub(super) number: ConnectionNumber,
    pub(super) connection: Arc<Http2>,
}

/// What is asked.
struct Asked {
    service: Box<str>,
    origin: Uri,
    backoff: BackoffConfig,
}

impl Shared {
    /// Asks the server behind a connection, as the service config says, until the connection is retired.
    pub(super) fn watch(self: &Arc<Self>, watched: Watched) {
        let Some(service) = &self.service.health_check_service else { return };
        let origin = self.uri(None, Some(&PathAndQuery::from_static("/")));
        let asked = Asked {
            service: service.as_str().into(),
            origin: origin.expect("it has a scheme, an authority and a path"),
            backoff: self.config.backoff,
        };
        let work = watch(Arc::downgrade(self), watched, asked);
        self.tasks.spawn_on(work, self.network.runtime());
    }
}

/// Puts the question, again and again, and tells the channel each answer. It holds no channel open.
async fn watch(shared: Weak<Shared>, watched: Watched, asked: Asked) {
    let Watched { subchannel, number, connection } = watched;
    let tell = |health, why| {
        if let Some(shared) = shared.upgrade() {
            shared.with(|state, _, _| state.balance.on_health(subchannel, number, health, why));
        }
    };
    let unhealthy = |why: Unhealthy| {
        let at = Place::at(Step::Call).to(Some(connection.address.clone())).because(why);
        tell(Health::NotServing, Some(ConnectionError::ConnectionFailed { at }));
    };
    let asking = async {
        let mut question = Question::new(asked.backoff);
        loop {
            question.on_put(now(), fastrand::f64());
            let ended = ask(&connection, &asked, |said| {
                question.on_answer();
                match said {
                    ServingStatus::Serving => tell(Health::Serving, None),
                    said => unhealthy(Unhealthy::Says(said)),
                }
            });
            let status = ended.await;
            match question.on_end(status::code(&status), now()) {
                After::Never => {
                    tracing::error!(
                        address = %connection.address,
                        "the server has no health service: it is taken to be healthy"
                    );
                    return tell(Health::NotAsked, None);
                }
                After::At(time) => {
                    unhealthy(Unhealthy::Ended(status));
                    tokio::time::sleep_until(time.into()).await;
                }
            }
        }
    };
    tokio::select! {
        biased;
        () = connection.retired() => {}
        () = asking => {}
    }
}

/// Puts the question once, hears each answer, and returns what the question ended with.
async fn ask(
    connection: &Arc<Http2>,
    asked: &Asked,
    mut hear: impl FnMut(ServingStatus),
) -> Status {
    // For keepalive: who listens wants to know whether anybody is there.
    let _call = connection.call();
    let mut request = Vec::new();
    put_bytes(&mut request, 1, asked.service.as_bytes());
    let request = tonic::Request::new(Bytes::from(request));
    let path = PathAndQuery::from_static("/grpc.health.v1.Health/Watch");
    let mut grpc = Grpc::with_origin(Direct(Arc::clone(connection)), asked.origin.clone());
    let mut answers = match grpc.server_streaming(request, path, BytesCodec).await {
        Ok(answers) => answers.into_inner(),
        Err(status) => return status,
    };
    loop {
        match answers.message().await {
            Ok(Some(message)) => match ServingStatus::read(&message) {
                Ok(said) => hear(said),
                Err(malformed) => return Status::internal(malformed.to_string()),
            },
            Ok(None) => return Status::unavailable("it ended the watch"),
            Err(status) => return status,
        }
    }
}

/// Why calls do not go to a server that can be reached.
#[derive(Debug, thiserror::Error)]
enum Unhealthy {
    #[error("its health service says {}", .0.name())]
    Says(ServingStatus),
    #[error("its health service fails: {}", .0.message())]
    Ended(Status),
}

/// One connection as a service, beside all that a channel does for its callers.
#[derive(Clone)]
struct Direct(Arc<Http2>);

impl Service<Request<Body>> for Direct {
    type Response = Response<Received>;
    type Error = Status;
    type Future = Pin<Box<dyn Future<Output = Result<Self::Response, Status>> + Send>>;

    fn poll_ready(&mut self, _: &mut Context<'_>) -> Poll<Result<(), Status>> {
        Poll::Ready(Ok(()))
    }

    fn call(&mut self, request: Request<Body>) -> Self::Future {
        let mut send = self.0.send.clone();
        Box::pin(async move {
            let (head, body) = request.into_parts();
            let body = body.collect().await?.to_bytes();
            let failed = |error: h2::Error| status::of_h2(&error);
            poll_fn(|cx| send.poll_ready(cx)).await.map_err(failed)?;
            let sent = send.send_request(Request::from_parts(head, ()), false);
            let (response, mut stream) = sent.map_err(failed)?;
            stream.send_data(body, true).map_err(failed)?;
            Ok(response.await.map_err(failed)?.map(Received::new))
        })
    }
}
