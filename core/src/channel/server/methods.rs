//! A service of bytes: methods by name, and gRPC's health and reflection services.

use super::{
    super::codec::BytesCodec,
    RequestBody,
    descriptors::Descriptors,
    health::{self, HealthReporter},
    reflection::{self, Reflection},
};
use crate::error::ConnectionError;
use bytes::Bytes;
use http::{Request, Response};
use std::{
    collections::{BTreeSet, HashMap},
    convert::Infallible,
    fmt,
    future::{Future, ready},
    pin::Pin,
    sync::Arc,
    task::{Context, Poll},
};
use tokio_stream::Stream;
use tonic::{
    Status, Streaming,
    body::Body,
    codec::CompressionEncoding,
    server::{Grpc, StreamingService},
};
use tower_service::Service;

/// The messages of a call, and what came with it.
pub type Incoming = tonic::Request<Streaming<Bytes>>;
/// The messages of an answer.
pub type Messages = Pin<Box<dyn Stream<Item = Result<Bytes, Status>> + Send>>;
/// What a method answers, and what it sends with it.
pub type Outcome = Result<tonic::Response<Messages>, Status>;

type Method = Arc<dyn Fn(Incoming) -> Pin<Box<dyn Future<Output = Outcome> + Send>> + Send + Sync>;

/// Methods by their paths; what is not there is UNIMPLEMENTED. Has gRPC's health service, for `Check`, `Watch` and
/// `List`: the whole server, and each service that has a method, is SERVING unless its [`health`](Self::health) is set
/// to something else.
#[derive(Clone, Default)]
pub struct Methods {
    methods: Arc<HashMap<Box<str>, Method>>,
    health: HealthReporter,
    /// Where reflection is asked for.
    descriptors: Option<Arc<Descriptors>>,
    max_message_size: Option<usize>,
    compress: bool,
}

impl fmt::Debug for Methods {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_set().entries(self.methods.keys()).finish()
    }
}

impl Methods {
    /// None but health.
    pub fn new() -> Self {
        Self::default()
    }

    /// Accepts messages of at most so many bytes instead of 4 MiB.
    #[must_use]
    pub fn max_message_size(mut self, bytes: usize) -> Self {
        self.max_message_size = Some(bytes);
        self
    }

    /// Compresses answers with gzip for clients that take it.
    #[must_use]
    pub fn compressing(mut self) -> Self {
        self.compress = true;
        self
    }

    /// Adds a method such as `/package.Service/Method` that takes and gives any number of messages.
    #[must_use]
    pub fn streaming<F>(
        mut self,
        path: &str,
        method: impl Fn(Incoming) -> F + Send + Sync + 'static,
    ) -> Self
    where
        F: Future<Output = Outcome> + Send + 'static,
    {
        let method: Method = Arc::new(move |incoming| Box::pin(method(incoming)));
        Arc::make_mut(&mut self.methods).insert(path.into(), method);
        self.health.on_method(path);
        self
    }

    /// Adds a method that takes one message and gives one.
    #[must_use]
    pub fn unary<F>(
        self,
        path: &str,
        method: impl Fn(tonic::Request<Bytes>) -> F + Clone + Send + Sync + 'static,
    ) -> Self
    where
        F: Future<Output = Result<tonic::Response<Bytes>, Status>> + Send + 'static,
    {
        self.streaming(path, move |incoming: Incoming| {
            let method = method.clone();
            async move {
                let (metadata, extensions, mut messages) = incoming.into_parts();
                let message = messages.message().await?;
                let message = message.ok_or_else(|| Status::internal("there is no message"))?;
                let request = tonic::Request::from_parts(metadata, extensions, message);
                let answer = method(request).await?;
                Ok(answer.map(|message| Box::pin(tokio_stream::once(Ok(message))) as Messages))
            }
        })
    }

    /// Adds gRPC's reflection service, which tells clients such as grpcurl what the methods here take. `set` is a
    /// `google.protobuf.FileDescriptorSet`, as `protoc --include_imports --descriptor_set_out` writes it. May be called again
    /// for more files.
    ///
    /// # Errors
    ///
    /// [`ConnectionError::InvalidConfig`] if it is no such set.
    pub fn reflection(mut self, set: &[u8]) -> Result<Self, ConnectionError> {
        let mut descriptors = self.descriptors.as_deref().cloned().unwrap_or_default();
        descriptors.add(set).map_err(|error| {
            ConnectionError::invalid_config("descriptors", format!("is no set of files: {error}"))
        })?;
        self.descriptors = Some(Arc::new(descriptors));
        Ok(self)
    }

    /// The services that are here.
    fn services(&self) -> BTreeSet<Box<str>> {
        let of_path = |path: &str| Some(path.strip_prefix('/')?.rsplit_once('/')?.0.into());
        let own = self.methods.keys().filter_map(|path| of_path(path));
        let others = reflection::SERVICES.into_iter().chain([health::SERVICE]);
        own.chain(others.map(Into::into)).collect()
    }

    /// What its health service says, to be changed while it serves.
    pub fn health(&self) -> HealthReporter {
        self.health.clone()
    }

    fn find(&self, path: &str) -> Option<Method> {
        let health = || -> Option<Method> {
            let asked = self.health.method(path)?;
            let health = self.health.clone();
            Some(Arc::new(move |incoming| Box::pin(health.clone().answer(asked, incoming))))
        };
        let reflection = || -> Option<Method> {
            let descriptors =
                self.descriptors.as_ref().filter(|_| reflection::is_reflection(path))?;
            let told =
                Reflection { descriptors: Arc::clone(descriptors), services: self.services() };
            let told = Arc::new(told);
            Some(Arc::new(move |incoming| Box::pin(ready(Arc::clone(&told).answer(incoming)))))
        };
        self.methods.get(path).cloned().or_else(health).or_else(reflection)
    }
}

struct One(Method);

impl StreamingService<Bytes> for One {
    type Response = Bytes;
    type ResponseStream = Messages;
    type Future = Pin<Box<dyn Future<Output = Outcome> + Send>>;

    fn call(&mut self, incoming: Incoming) -> Self::Future {
        (self.0)(incoming)
    }
}

impl Service<Request<RequestBody>> for Methods {
    type Response = Response<Body>;
    type Error = Infallible;
    type Future = Pin<Box<dyn Future<Output = Result<Response<Body>, Infallible>> + Send>>;

    fn poll_ready(&mut self, _: &mut Context<'_>) -> Poll<Result<(), Infallible>> {
        Poll::Ready(Ok(()))
    }

    fn call(&mut self, request: Request<RequestBody>) -> Self::Future {
        let Some(method) = self.find(request.uri().path()) else {
            return Box::pin(async {
                Ok(Status::unimplemented("there is no such method").into_http())
            });
        };
        let (limit, compress) = (self.max_message_size, self.compress);
        Box::pin(async move {
            let mut grpc = Grpc::new(BytesCodec)
                .accept_compressed(CompressionEncoding::Gzip)
                .accept_compressed(CompressionEncoding::Deflate)
                .apply_max_message_size_config(limit, None);
            if compress {
                grpc = grpc.send_compressed(CompressionEncoding::Gzip);
            }
            Ok(grpc.streaming(One(method), request).await)
        })
    }
}
