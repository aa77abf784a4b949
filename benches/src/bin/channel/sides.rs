//! The two clients in Rust, as a program without generated code has them.

use crate::server::{ECHO, FEED};
use bytes::Bytes;
use http::uri::PathAndQuery;
use std::{future::Future, net::SocketAddr};
use tokio::runtime::{Builder, Handle, Runtime};
use tonic::{Request, client::Grpc, transport};
use trunkline_core::{CallOptions, Channel, ConnectionConfig, Network, channel::BytesCodec};

/// What is measured of every client.
pub(crate) trait Client: Clone + Send + Sync + 'static {
    /// A client of the server at `address`, in a runtime.
    fn connect(address: SocketAddr) -> impl Future<Output = Self> + Send;

    /// Sends one message and gets the same back.
    fn echo(&self, message: Bytes) -> impl Future<Output = Bytes> + Send;

    /// Gets many large messages; says how many bytes.
    fn feed(&self) -> impl Future<Output = usize> + Send;
}

/// The runtime of every side: the thread that waits for it.
pub(crate) fn runtime() -> Runtime {
    Builder::new_current_thread().enable_all().build().expect("a runtime")
}

/// Ours.
#[derive(Clone, Debug)]
pub(crate) struct Ours(Channel);

impl Client for Ours {
    async fn connect(address: SocketAddr) -> Self {
        let network = Network::new(Handle::current());
        let config = ConnectionConfig::default();
        let channel = Channel::new(&network, &address.to_string(), config).expect("a target");
        channel.wait_ready(None).await.expect("the server listens");
        Self(channel)
    }

    async fn echo(&self, message: Bytes) -> Bytes {
        self.0.unary(ECHO, message, CallOptions::default()).await.expect("an answer").message
    }

    async fn feed(&self) -> usize {
        let call = self.0.call(FEED, CallOptions::default()).expect("an open channel");
        call.send(Bytes::new()).await.expect("it is asked for");
        call.finish_sending();
        let mut bytes = 0;
        while let Some(message) = call.receive().await.expect("a message") {
            bytes += message.len();
        }
        bytes
    }
}

/// tonic's channel under its own client.
#[derive(Clone, Debug)]
pub(crate) struct Tonic(transport::Channel);

impl Client for Tonic {
    async fn connect(address: SocketAddr) -> Self {
        let endpoint = transport::Endpoint::from_shared(format!("http://{address}"));
        let endpoint = endpoint.expect("an address").tcp_nodelay(true);
        Self(endpoint.connect().await.expect("the server listens"))
    }

    async fn echo(&self, message: Bytes) -> Bytes {
        let mut grpc = Grpc::new(self.0.clone());
        grpc.ready().await.expect("a connection");
        let path = PathAndQuery::from_static(ECHO);
        let answer = grpc.unary(Request::new(message), path, BytesCodec).await;
        answer.expect("an answer").into_inner()
    }

    async fn feed(&self) -> usize {
        let mut grpc = Grpc::new(self.0.clone());
        grpc.ready().await.expect("a connection");
        let path = PathAndQuery::from_static(FEED);
        let answer = grpc.server_streaming(Request::new(Bytes::new()), path, BytesCodec).await;
        let mut messages = answer.expect("an answer").into_inner();
        let mut bytes = 0;
        while let Some(message) = messages.message().await.expect("a message") {
            bytes += message.len();
        }
        bytes
    }
}
