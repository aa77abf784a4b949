//! What a round trip costs among few and among many logical connections.

use crate::ends::{CLUSTER, address, carrier, token};
use tokio::runtime::{Builder, Runtime};
use trunkline_benches::{Bench, Goal, Must, now};
use trunkline_core::{Agent, AgentConfig, Hub, HubConfig, Listener, Network, Stream};

const FEW: usize = 10;
const MANY: usize = 10_000;
/// Those that are used, in turn.
const USED: usize = FEW;
const TRIPS: usize = 20_000;
const SIZE: usize = 64;

pub(crate) fn compare(bench: &mut Bench) {
    for (name, measure) in [
        ("native", "round trip among 10,000, native"),
        ("packet", "round trip among 10,000, packet"),
    ] {
        let goal = [Goal { measure, unit: "ns", must: Must::AtMost(1.3) }];
        let with = |count| move || [(measure, trip(name, count))];
        bench.compare("itself, among 10", &goal, &mut with(MANY), &mut with(FEW));
    }
}

/// Nanoseconds of a round trip where `count` connections stand.
fn trip(name: &str, count: usize) -> f64 {
    let runtime = Builder::new_current_thread().enable_all().build().expect("a runtime");
    let network = Network::new(runtime.handle().clone());
    let limit = 2 * MANY as u32;
    let hub = HubConfig {
        agents: [(CLUSTER.to_owned(), vec![token()])].into(),
        carriers: vec![carrier(name)],
        max_connections: limit,
        max_connections_per_cluster: limit,
        ..HubConfig::default()
    };
    let hub = Hub::new(network.clone(), hub).expect("a sound configuration");
    runtime.block_on(async {
        let at = hub.listen(&address("mem:bench")).await.expect("the name is free");
        let config = AgentConfig {
            cluster: CLUSTER.to_owned(),
            token: Some(token()),
            hubs: vec![at],
            carrier: carrier(name),
            max_connections: limit,
            ..AgentConfig::default()
        };
        let agent = Agent::new(network, config).expect("a sound configuration");
        agent.ready(None).await.expect("the hub lets it in");
        echo(&runtime, agent.listener().expect("there is one"));
        let mut standing = Vec::with_capacity(count);
        for _ in 0..count {
            let stream = hub.dial(CLUSTER, None, None).await.expect("the agent takes it");
            ask(&stream).await;
            standing.push(stream);
        }
        let started = now();
        for turn in 0..TRIPS {
            ask(&standing[turn % USED]).await;
        }
        started.elapsed().as_secs_f64() * 1e9 / TRIPS as f64
    })
}

/// Gives back what comes on every connection.
fn echo(runtime: &Runtime, listener: Listener) {
    let handle = runtime.handle().clone();
    runtime.spawn(async move {
        while let Ok(stream) = listener.accept().await {
            handle.spawn(async move {
                let mut message = [0; SIZE];
                while let Ok(count @ 1..) = stream.read(&mut message).await {
                    if stream.write_all(&message[..count]).await.is_err() {
                        return;
                    }
                }
            });
        }
    });
}

async fn ask(stream: &Stream) {
    let mut message = [7; SIZE];
    stream.write_all(&message).await.expect("it stands");
    let mut read = 0;
    while read < SIZE {
        match stream.read(&mut message[read..]).await {
            Ok(count @ 1..) => read += count,
            end => panic!("no answer: {end:?}"),
        }
    }
}
