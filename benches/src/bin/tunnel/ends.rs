//! The two ends of our tunnel, each the whole of a process.

use std::{
    io::{Read, Write, stdin, stdout},
    path::Path,
    process::ExitCode,
};
use tokio::runtime::{Builder, Handle, Runtime};
use trunkline_core::{
    Address, Agent, AgentConfig, Hub, HubConfig, Network, TlsConfig, TunnelCarrier,
    config::{TlsCertificate, TlsChain, TlsClientConfig, TlsKey, TlsRoots, TlsServerConfig},
    secret::Secret,
};

/// The name that the agent goes by.
pub(crate) const CLUSTER: &str = "bench";

pub(crate) fn token() -> Secret {
    Secret::new("a token that only this bench uses".to_owned())
}

pub(crate) fn carrier(name: &str) -> TunnelCarrier {
    match name {
        "packet" => TunnelCarrier::Packet,
        _ => TunnelCarrier::Native,
    }
}

pub(crate) fn address(text: &str) -> Address {
    text.parse().expect("an address")
}

/// Lets one agent in, with the certificate in `folder`, and forwards to it. Prints where agents and where clients
/// connect, and serves until its input ends.
pub(crate) fn hub(folder: &str) -> ExitCode {
    let runtime = runtime();
    let file = |name| Path::new(folder).join(name);
    let certificate = TlsCertificate {
        chain: TlsChain::File(file("certificate.pem")),
        key: TlsKey::File(file("key.pem")),
    };
    let tls = TlsConfig {
        client: None,
        server: Some(TlsServerConfig::new(certificate)),
        ..TlsConfig::default()
    };
    let config = HubConfig {
        agents: [(CLUSTER.to_owned(), vec![token()])].into(),
        carriers: vec![TunnelCarrier::Native, TunnelCarrier::Packet],
        ..HubConfig::default()
    };
    let hub = Hub::new(network(runtime.handle(), tls), config).expect("a sound configuration");
    runtime.block_on(async {
        let agents = hub.listen(&address("tls://127.0.0.1:0")).await.expect("a free port");
        let clients = hub.forward(&address("tcp://127.0.0.1:0"), CLUSTER, None).await;
        tell(&format!("{agents} {}", clients.expect("a free port")));
        until_input_ends().await;
    });
    ExitCode::SUCCESS
}

/// Forwards what comes from the hub to `service`. Prints a line once the tunnel stands, and serves until its input ends.
pub(crate) fn agent(folder: &str, hub: &str, service: &str, carrier: &str) -> ExitCode {
    let runtime = runtime();
    let roots = TlsRoots::File(Path::new(folder).join("certificate.pem"));
    let client = Some(TlsClientConfig { roots, ..TlsClientConfig::default() });
    let config = AgentConfig {
        cluster: CLUSTER.to_owned(),
        token: Some(token()),
        hubs: vec![address(hub)],
        carrier: self::carrier(carrier),
        forward: Some(address(service)),
        ..AgentConfig::default()
    };
    runtime.block_on(async {
        let tls = TlsConfig { client, ..TlsConfig::default() };
        let network = network(runtime.handle(), tls);
        let agent = Agent::new(network, config).expect("a sound configuration");
        agent.ready(None).await.expect("the hub lets it in");
        tell("ready");
        until_input_ends().await;
    });
    ExitCode::SUCCESS
}

fn runtime() -> Runtime {
    Builder::new_current_thread().enable_all().build().expect("a runtime")
}

fn network(runtime: &Handle, tls: TlsConfig) -> Network {
    let network = Network::new(runtime.clone());
    let tls = network.tls(tls).expect("the certificate is there");
    network.with_tls(tls)
}

fn tell(line: &str) {
    println!("{line}");
    stdout().flush().expect("whoever started this reads");
}

/// Whoever started this has gone, or wants this to end.
async fn until_input_ends() {
    let ended = tokio::task::spawn_blocking(|| stdin().read_to_end(&mut Vec::new()));
    let _ = ended.await;
}
