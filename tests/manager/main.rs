//! The TCP connection manager as a Rust user sees it, over real sockets, Unix sockets and memory.
#![allow(
    clippy::unwrap_used,
    clippy::disallowed_methods,
    reason = "a test stops at the first surprise and drives itself"
)]

#[path = "../certificates/mod.rs"]
mod certificates;
mod checks;
#[path = "../certificates/configured.rs"]
mod configured;
mod counts;
mod drain;
mod exhaustion;
mod limit;
mod limits;
mod live;
mod reconfigure;
mod relay;
mod route_callback;
mod routed;
#[cfg(target_os = "linux")]
mod splice;

use std::{
    net::Shutdown,
    sync::{
        Arc,
        atomic::{AtomicU64, Ordering},
    },
};
use trunkline_core::{
    Address, ConnectionError, ListenOptions, Listener, Network, Stream, TcpManagerConfig,
    manager::TcpConnectionManager,
};

fn network() -> Network {
    Network::new(tokio::runtime::Handle::current())
}

fn manager(network: &Network) -> TcpConnectionManager {
    TcpConnectionManager::new(network.clone(), TcpManagerConfig::default()).unwrap()
}

fn loopback() -> Address {
    "tcp://127.0.0.1:0".parse().unwrap()
}

/// One address of each kind to listen on, each for this test alone.
fn addresses(test: &str) -> Vec<Address> {
    let path = std::env::temp_dir().join(format!("trunkline-{test}-{}.sock", std::process::id()));
    let texts =
        ["tcp://127.0.0.1:0".to_owned(), format!("unix:{}", path.display()), format!("mem:{test}")];
    texts.iter().map(|text| text.parse().unwrap()).collect()
}

/// Gives every byte back, and the end after the last.
async fn echo_server(network: &Network, address: &Address) -> Address {
    serve(network, address, |stream| async move {
        let mut chunk = [0; 4096];
        while let Ok(n @ 1..) = stream.read(&mut chunk).await {
            if stream.write_all(&chunk[..n]).await.is_err() {
                return;
            }
        }
        let _ = stream.shutdown(Shutdown::Write);
        // The peer's end was seen, but it may still read: wait until it is done with us too.
        let _ = stream.read(&mut chunk).await;
    })
    .await
}

/// Reads everything and counts it.
async fn sink_server(network: &Network, address: &Address) -> (Address, Arc<Sunk>) {
    let sunk = Arc::new(Sunk::default());
    let counter = Arc::clone(&sunk);
    let address = serve(network, address, move |stream| {
        let counter = Arc::clone(&counter);
        async move {
            let mut chunk = [0; 4096];
            while let Ok(n @ 1..) = stream.read(&mut chunk).await {
                counter.bytes.fetch_add(n as u64, Ordering::Relaxed);
            }
            counter.connections.fetch_add(1, Ordering::Relaxed);
        }
    })
    .await;
    (address, sunk)
}

#[derive(Default)]
struct Sunk {
    bytes: AtomicU64,
    /// Those that have ended.
    connections: AtomicU64,
}

async fn serve<F: Future<Output = ()> + Send>(
    network: &Network,
    address: &Address,
    session: impl Fn(Stream) -> F + Clone + Send + 'static,
) -> Address {
    let listener = network.listen(address).await.unwrap();
    let bound = listener.address().clone();
    let spawner = network.clone();
    network.spawn(async move {
        while let Ok(stream) = listener.accept().await {
            let session = session.clone();
            spawner.spawn(async move { session(stream).await });
        }
    });
    bound
}

/// An address where nobody listens.
async fn nowhere(network: &Network) -> Address {
    let listener: Listener = network.listen(&loopback()).await.unwrap();
    listener.address().clone()
}

/// A listener that nobody accepts from and whose backlog is full: a connect to it waits.
async fn hole(network: &Network) -> (Listener, Stream) {
    let mut options = ListenOptions::default();
    options.tcp.backlog = 1;
    let listener = network.listen_with(&"mem:hole".parse().unwrap(), &options).await.unwrap();
    let filler = network.connect(listener.address(), None).await.unwrap();
    (listener, filler)
}

async fn read_all(stream: &Stream) -> (Vec<u8>, Result<(), ConnectionError>) {
    let (mut all, mut chunk) = (Vec::new(), [0; 5000]);
    loop {
        match stream.read(&mut chunk).await {
            Ok(0) => return (all, Ok(())),
            Ok(n) => all.extend_from_slice(&chunk[..n]),
            Err(error) => return (all, Err(error)),
        }
    }
}

async fn read_exactly(stream: &Stream, length: usize) -> Vec<u8> {
    let mut all = vec![0; length];
    let mut filled = 0;
    while filled < length {
        match stream.read(&mut all[filled..]).await.unwrap() {
            0 => panic!("the stream ended after {filled} of {length} bytes"),
            n => filled += n,
        }
    }
    all
}

/// Waits for something that happens soon on another task or thread, and that has no event of its own.
async fn until(condition: impl Fn() -> bool) {
    while !condition() {
        tokio::time::sleep(std::time::Duration::from_millis(1)).await;
    }
}

fn bytes(length: usize) -> Vec<u8> {
    (0..=250).cycle().take(length).collect()
}
