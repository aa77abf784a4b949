//! What a channel, one more connection of it and a service config keep, over in-memory pipes.

use bytes::Bytes;
use serde_json::{Value, json};
use std::{future::pending, time::Duration};
use tokio::{
    runtime::{Builder, Handle, Runtime},
    task::JoinSet,
    time::sleep,
};
use trunkline_benches::{Bench, alloc::held_by};
use trunkline_core::{
    CallOptions, Channel, ChannelServer, ConnectionConfig, Network,
    channel::Methods,
    config::{ChannelServerConfig, PoolingConfig, ServiceConfig},
};

/// The seed's figure for a service config, in bytes.
const SERVICE_CONFIG: f64 = 1024.0;
/// Time that tasks get to end.
const SETTLES: Duration = Duration::from_millis(100);
const HANG: &str = "/bench.Bytes/Hang";

pub(crate) fn compare(bench: &mut Bench) {
    let measures = [
        "memory of a channel that rests",
        "memory of a service config with a retry policy",
        "memory of a connection with a call, both ends and the pipe between them",
    ];
    if measures.iter().any(|measure| bench.is_selected(measure)) {
        let resting = resting(config(json!({})));
        bench.tell(measures[0], "B", resting);
        let retrying = self::resting(config(retrying())) - resting;
        bench.at_most(measures[1], "B", SERVICE_CONFIG, retrying);
        bench.tell(measures[2], "B", per_connection());
    }
}

fn retrying() -> Value {
    json!({
        "methodConfig": [{
            "name": [{"service": "bench.Bytes"}],
            "timeout": "5s",
            "retryPolicy": {
                "maxAttempts": 4, "initialBackoff": "0.1s", "maxBackoff": "1s",
                "backoffMultiplier": 2, "retryableStatusCodes": ["UNAVAILABLE"],
            },
        }],
        "retryThrottling": {"maxTokens": 10, "tokenRatio": 0.1},
    })
}

fn config(document: Value) -> ConnectionConfig {
    let service_config = ServiceConfig { document: Some(document), ..ServiceConfig::default() };
    ConnectionConfig { service_config, ..ConnectionConfig::default() }
}

fn runtime() -> Runtime {
    Builder::new_current_thread().enable_all().build().expect("a runtime")
}

/// Bytes of one of a thousand channels that nobody has called.
fn resting(config: ConnectionConfig) -> f64 {
    const CHANNELS: usize = 1000;
    let runtime = runtime();
    let network = Network::new(runtime.handle().clone());
    let make = || Channel::new(&network, "mem:nobody", config.clone()).expect("a target");
    // What the runtime and the registry allocate once is no channel's.
    runtime.block_on(async { (0..10).map(|_| make()).for_each(drop) });
    let (channels, bytes) = held_by(|| {
        runtime.block_on(async {
            let channels: Vec<_> = (0..CHANNELS).map(|_| make()).collect();
            sleep(SETTLES).await;
            channels
        })
    });
    drop(channels);
    bytes as f64 / CHANNELS as f64
}

/// Bytes of each of many connections with one call under way on it, both ends and the pipe between them included.
fn per_connection() -> f64 {
    let runtime = runtime();
    // What the runtime allocates once is no connection's.
    _ = with_connections(&runtime, 10);
    (with_connections(&runtime, 100) - with_connections(&runtime, 10)) as f64 / 90.0
}

fn with_connections(runtime: &Runtime, connections: u32) -> isize {
    let (kept, bytes) = held_by(|| {
        runtime.block_on(async {
            let kept = connect(connections).await;
            sleep(SETTLES).await;
            kept
        })
    });
    runtime.block_on(async {
        let (channel, server, calls) = kept;
        drop(calls);
        channel.close(None).await;
        server.drain(None).await;
    });
    bytes
}

async fn connect(connections: u32) -> (Channel, ChannelServer, JoinSet<()>) {
    let alone = ChannelServerConfig { max_concurrent_streams: 1, ..ChannelServerConfig::default() };
    let pooling = PoolingConfig { enabled: true, size: connections };
    let config = ConnectionConfig { pooling, ..config(json!({})) };
    let network = Network::new(Handle::current());
    let methods = Methods::new().unary(HANG, |_| pending());
    let listener = network.listen(&"mem:memory".parse().expect("an address")).await;
    let listener = listener.expect("a free name");
    let server = ChannelServer::start(&network, listener, methods, alone).expect("it is sound");
    let channel = Channel::new(&network, "mem:memory", config).expect("a target");
    let mut calls = JoinSet::new();
    for _ in 0..connections {
        let channel = channel.clone();
        calls.spawn(async move {
            let _ = channel.unary(HANG, Bytes::new(), CallOptions::default()).await;
        });
    }
    (channel, server, calls)
}
