//! Asks the server behind one connection about its health or its load, for as long as the connection takes new calls.

use super::{
    balance::Topic,
    codec::BytesCodec,
    connection::Http2,
    health::{After, Health, Question, ServingStatus},
    messages::{HealthCheckRequest, OrcaLoadReportRequest},
    received::Received,
    report::LoadReport,
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
use prost::{DecodeError, Message as _};
use std::{
    future::{Future, poll_fn},
    pin::Pin,
    sync::{Arc, Weak},
    task::{Context, Poll},
    time::Duration,
};
use tonic::{Status, body::Body, client::Grpc};
use tower_service::Service;

/// A connection whose server is asked.
pub(super) struct Asked {
    pub(super) subchannel: EndpointId,
    pub(super) number: ConnectionNumber,
    pub(super) connection: Arc<Http2>,
}

/// What is asked, and how often at most.
struct Asking {
    topic: Topic,
    request: Bytes,
    origin: Uri,
    backoff: BackoffConfig,
}

impl Shared {
    /// Asks the server behind a connection, as the service config says, until the connection is retired.
    pub(super) fn ask(self: &Arc<Self>, topic: Topic, asked: Asked) {
        let request = match topic {
            Topic::Health => health_request(self.service.health_check_service.as_deref()),
            Topic::Load(period) => load_request(period),
        };
        let origin = self.uri(None, Some(&PathAndQuery::from_static("/")));
        let origin = origin.expect("it has a scheme, an authority and a path");
        let asking =
            Asking { topic, request: request.into(), origin, backoff: self.config.backoff };
        self.tasks
            .spawn_on(keep_asking(Arc::downgrade(self), asked, asking), self.network.runtime());
    }
}

fn health_request(service: Option<&str>) -> Vec<u8> {
    HealthCheckRequest { service: service.unwrap_or_default().into() }.encode_to_vec()
}

fn load_request(period: Duration) -> Vec<u8> {
    OrcaLoadReportRequest { report_interval: Some(period.into()) }.encode_to_vec()
}

impl Topic {
    fn path(self) -> PathAndQuery {
        PathAndQuery::from_static(match self {
            Self::Health => "/grpc.health.v1.Health/Watch",
            Self::Load(_) => "/xds.service.orca.v3.OpenRcaService/StreamCoreMetrics",
        })
    }
}

/// Tells a channel what a server says. It holds no channel open.
struct Teller {
    shared: Weak<Shared>,
    asked: Asked,
}

impl Teller {
    fn on_answer(&self, topic: Topic, message: &[u8]) -> Result<(), DecodeError> {
        match topic {
            Topic::Health => match ServingStatus::read(message)? {
                ServingStatus::Serving => self.tell(Health::Serving, None),
                said => self.unhealthy(Unhealthy::Says(said)),
            },
            Topic::Load(_) => {
                let (report, id) = (LoadReport::read(message)?, self.asked.subchannel);
                if let Some(shared) = self.shared.upgrade() {
                    shared.with(|state, now, _| state.balance.on_report(id, report, now));
                }
            }
        }
        Ok(())
    }

    /// The server does not know the question.
    fn on_unknown(&self, topic: Topic) {
        let address = &self.asked.connection.address;
        match topic {
            Topic::Health => {
                tracing::error!(%address, "the server has no health service: it is taken to be healthy");
                self.tell(Health::NotAsked, None);
            }
            Topic::Load(_) => {
                tracing::error!(%address, "the server does not report its load: it has the mean weight");
            }
        }
    }

    /// The question ended otherwise.
    fn on_end(&self, topic: Topic, status: Status) {
        match topic {
            Topic::Health => self.unhealthy(Unhealthy::Ended(status)),
            Topic::Load(_) => {
                let address = &self.asked.connection.address;
                tracing::debug!(%address, %status, "the server stopped to report its load");
            }
        }
    }

    fn unhealthy(&self, why: Unhealthy) {
        let at = Place::at(Step::Call).to(Some(self.asked.connection.address.clone())).because(why);
        self.tell(Health::NotServing, Some(ConnectionError::ConnectionFailed { at }));
    }

    fn tell(&self, health: Health, why: Option<ConnectionError>) {
        let (id, number) = (self.asked.subchannel, self.asked.number);
        if let Some(shared) = self.shared.upgrade() {
            shared.with(|state, _, _| state.balance.on_health(id, number, health, why));
        }
    }
}

/// Puts the question, again and again, and tells the channel each answer.
async fn keep_asking(shared: Weak<Shared>, asked: Asked, asking: Asking) {
    let connection = Arc::clone(&asked.connection);
    let teller = Teller { shared, asked };
    let put = async {
        let mut question = Question::new(asking.backoff);
        loop {
            question.on_put(now(), fastrand::f64());
            let ended = ask(&connection, &asking, |message| {
                question.on_answer();
                teller.on_answer(asking.topic, message)
            });
            let status = ended.await;
            match question.on_end(status::code(&status), now()) {
                After::Never => return teller.on_unknown(asking.topic),
                After::At(time) => {
                    teller.on_end(asking.topic, status);
                    tokio::time::sleep_until(time.into()).await;
                }
            }
        }
    };
    tokio::select! {
        biased;
        () = connection.retired() => {}
        () = put => {}
    }
}

/// Puts the question once, hears each answer, and returns what the question ended with.
async fn ask(
    connection: &Arc<Http2>,
    asking: &Asking,
    mut hear: impl FnMut(&[u8]) -> Result<(), DecodeError>,
) -> Status {
    // For keepalive: who listens wants to know whether anybody is there.
    let _call = connection.call();
    let request = tonic::Request::new(asking.request.clone());
    let mut grpc = Grpc::with_origin(Direct(Arc::clone(connection)), asking.origin.clone());
    let answers = grpc.server_streaming(request, asking.topic.path(), BytesCodec).await;
    let mut answers = match answers {
        Ok(answers) => answers.into_inner(),
        Err(status) => return status,
    };
    loop {
        match answers.message().await {
            Ok(Some(message)) => {
                if let Err(malformed) = hear(&message) {
                    return Status::internal(malformed.to_string());
                }
            }
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
