//! A hub and its agents in one process, on virtual time.

/// Makes two tests of each claim: it holds whatever carries the tunnel.
macro_rules! over_each_carrier {
    ($($claim:ident),+ $(,)?) => {$(
        mod $claim {
            #[tokio::test(start_paused = true)]
            async fn over_native() {
                super::$claim().await;
            }

            #[tokio::test(start_paused = true)]
            async fn over_packets() {
                let _over = super::Over::packets();
                super::$claim().await;
            }
        }
    )+};
}

mod claims;
mod hostile;
mod limits;
mod memory;
mod packets;
mod proxy;
mod requests;
mod scripts;
mod secured;
mod socks;

use super::{
    Agent, Hub,
    greet::{self, First},
    hello::Hello,
};
use crate::{
    address::Address,
    config::{AgentConfig, HubConfig, TunnelCarrier},
    error::ConnectionError,
    secret::Secret,
    transport::{Listener, Network, Stream},
};
use std::{cell::Cell, future::Future, net::Shutdown, time::Duration};
use tokio::{runtime::Handle, task::JoinHandle};

const HOUR: Duration = Duration::from_secs(3600);

thread_local! {
    /// What the agents of this test's worlds speak.
    static CARRIER: Cell<TunnelCarrier> = const { Cell::new(TunnelCarrier::Native) };
}

/// A test's own carrier, until this is dropped.
struct Over;

impl Over {
    fn packets() -> Self {
        CARRIER.set(TunnelCarrier::Packet);
        Self
    }
}

impl Drop for Over {
    fn drop(&mut self) {
        CARRIER.set(TunnelCarrier::Native);
    }
}

fn token(cluster: &str) -> Secret {
    Secret::new(format!("the token of {cluster}, which is long enough"))
}

fn address(text: &str) -> Address {
    text.parse().unwrap()
}

/// A network of its own, and a hub in it that knows the clusters `c1` and `c2`.
struct World {
    network: Network,
    hub: Hub,
    at: Address,
}

impl World {
    async fn new() -> Self {
        Self::with(|_| {}).await
    }

    async fn with(change: impl FnOnce(&mut HubConfig)) -> Self {
        let network = Network::new(Handle::current());
        let (hub, at) = hub_in(&network, "mem:hub", change).await;
        Self { network, hub, at }
    }

    fn config(&self, cluster: &str) -> AgentConfig {
        AgentConfig {
            cluster: cluster.into(),
            token: Some(token(cluster)),
            hubs: vec![self.at.clone()],
            carrier: CARRIER.get(),
            ..AgentConfig::default()
        }
    }

    /// An agent that is connected.
    async fn agent(&self, cluster: &str) -> Agent {
        self.agent_with(cluster, |_| {}).await
    }

    async fn agent_with(&self, cluster: &str, change: impl FnOnce(&mut AgentConfig)) -> Agent {
        let mut config = self.config(cluster);
        change(&mut config);
        let agent = Agent::new(self.network.clone(), config).unwrap();
        agent.ready(None).await.unwrap();
        agent
    }

    async fn dial(&self, cluster: &str) -> Stream {
        self.hub.dial(cluster, None, None).await.unwrap()
    }

    fn spawn<F>(&self, task: F) -> JoinHandle<F::Output>
    where
        F: Future + Send + 'static,
        F::Output: Send + 'static,
    {
        self.network.spawn(task)
    }

    /// Gives back what comes on every connection of `listener`.
    fn echo(&self, listener: Listener) -> JoinHandle<()> {
        let network = self.network.clone();
        self.spawn(async move {
            while let Ok(stream) = listener.accept().await {
                network.spawn(async move { while pass(&stream).await {} });
            }
        })
    }
}

async fn hub_in(
    network: &Network,
    at: &str,
    change: impl FnOnce(&mut HubConfig),
) -> (Hub, Address) {
    let mut config = HubConfig {
        carriers: vec![TunnelCarrier::Native, TunnelCarrier::Packet],
        ..HubConfig::default()
    };
    for cluster in ["c1", "c2"] {
        config.agents.insert(cluster.into(), vec![token(cluster)]);
    }
    change(&mut config);
    let hub = Hub::new(network.clone(), config).unwrap();
    let at = hub.listen(&address(at)).await.unwrap();
    (hub, at)
}

/// The hello of an agent of the native carrier.
async fn hear(stream: &Stream) -> Hello {
    let First::Hello(head) = greet::hear_first(stream).await.unwrap() else {
        panic!("it speaks HTTP/2")
    };
    greet::hear_rest(stream, head).await.unwrap().unwrap()
}

async fn pass(stream: &Stream) -> bool {
    let mut buf = vec![0; 8 << 10];
    match stream.read(&mut buf).await {
        Ok(0) => {
            let _ = stream.shutdown(Shutdown::Write);
            false
        }
        Ok(count) => stream.write_all(&buf[..count]).await.is_ok(),
        Err(_) => false,
    }
}

async fn say(stream: &Stream, text: &[u8]) {
    stream.write_all(text).await.unwrap();
}

async fn hears(stream: &Stream, text: &[u8]) {
    let mut buf = vec![0; text.len()];
    let mut got = 0;
    while got < buf.len() {
        let count = stream.read(&mut buf[got..]).await.unwrap();
        assert_ne!(count, 0, "it ended after {got} of {} bytes", text.len());
        got += count;
    }
    assert!(buf == text);
}

async fn rest(stream: &Stream) -> Result<Vec<u8>, ConnectionError> {
    let (mut all, mut buf) = (Vec::new(), vec![0; 8 << 10]);
    loop {
        match stream.read(&mut buf).await? {
            0 => return Ok(all),
            count => all.extend_from_slice(&buf[..count]),
        }
    }
}

/// Lets whatever can happen happen, without a second passing.
async fn settle() {
    for _ in 0..200 {
        tokio::task::yield_now().await;
    }
}

/// Waits, on virtual time, until `is` says so.
async fn until(is: impl Fn() -> bool) {
    for _ in 0..100_000 {
        if is() {
            return;
        }
        tokio::time::sleep(Duration::from_millis(10)).await;
    }
    panic!("it never happened");
}

#[expect(clippy::disallowed_methods, reason = "the virtual clock that the tests stand on")]
fn now() -> tokio::time::Instant {
    tokio::time::Instant::now()
}
