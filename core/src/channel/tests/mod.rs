//! Claims about channels, against servers of our own and peers that break the rules, in virtual time.

mod calls;
mod connections;
mod health;
mod history;
mod intercepted;
mod listed;
mod live;
mod logged;
mod peer;
mod pings;
mod repeats;
mod resolved;
mod secured;
mod spans;
mod spread;
mod telemetry;

use super::*;
use crate::{
    config::{ChannelServerConfig, ConnectionConfig, ServiceConfig, TimeLimit},
    error::ConnectionError,
    status::StatusCode,
    transport::Network,
};
use bytes::Bytes;
use serde_json::{Value, json};
use std::{
    sync::{
        Arc,
        atomic::{AtomicUsize, Ordering},
    },
    time::{Duration, Instant},
};
use tonic::Status;

const MILLI: Duration = Duration::from_millis(1);
const SECOND: Duration = Duration::from_secs(1);
const ECHO: &str = "/test.Service/Echo";

fn network() -> Network {
    Network::new(tokio::runtime::Handle::current())
}

fn after(time: Duration) -> Option<Instant> {
    Some(wire::now() + time)
}

fn within(time: Duration) -> CallOptions {
    CallOptions { deadline: after(time), ..CallOptions::default() }
}

fn message(text: &'static str) -> Bytes {
    Bytes::from_static(text.as_bytes())
}

/// A service config without retries, unless it says so.
fn config(document: Value) -> ConnectionConfig {
    let service_config = ServiceConfig { document: Some(document), ..ServiceConfig::default() };
    ConnectionConfig { service_config, ..ConnectionConfig::default() }
}

fn plain() -> ConnectionConfig {
    config(json!({}))
}

fn channel(network: &Network, target: &str, config: ConnectionConfig) -> Channel {
    Channel::new(network, target, config).unwrap()
}

/// Methods that answer what they are asked, and one that counts.
fn echo() -> Methods {
    Methods::new().unary(ECHO, |request| async move {
        let mut response = tonic::Response::new(Bytes::new());
        for (name, value) in metadata::from_map(request.metadata()) {
            if name.starts_with("echo-") {
                let map = metadata::to_map(&[(name, value)]).unwrap();
                response.metadata_mut().clone_from(&map);
            }
        }
        Ok(response.map(|_| request.into_inner()))
    })
}

async fn serve(network: &Network, name: &str, methods: Methods) -> ChannelServer {
    serve_with(network, name, methods, ChannelServerConfig::default()).await
}

async fn serve_with(
    network: &Network,
    name: &str,
    methods: Methods,
    config: ChannelServerConfig,
) -> ChannelServer {
    let listener = network.listen(&name.parse().unwrap()).await.unwrap();
    ChannelServer::start(network, listener, methods, config).unwrap()
}

fn code(error: &ConnectionError) -> StatusCode {
    match error {
        ConnectionError::Rpc { status, .. } => status.code,
        other => panic!("{other:?}"),
    }
}

fn count(network: &Network, name: &'static str, labels: &[(&'static str, &str)]) -> i64 {
    network.metrics().snapshot().total(name, labels)
}

async fn reaches(channel: &Channel, state: ConnectivityState) {
    while channel.state(false) != state {
        let seen = channel.state(false);
        channel.wait_for_state_change(seen, after(600 * SECOND)).await.unwrap();
    }
}
