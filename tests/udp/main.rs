//! The UDP connection manager as a Rust user sees it, over real sockets.
#![allow(
    clippy::unwrap_used,
    clippy::disallowed_methods,
    reason = "a test stops at the first surprise and drives itself"
)]

mod connection;
mod drain;
mod flood;
mod relay;

use std::{net::SocketAddr, sync::Arc, time::Duration};
use trunkline_core::{
    Address, Datagram, Network, UdpConnectionManager, UdpManagerConfig, UdpRelayOptions,
    config::TimeLimit,
};

fn network() -> Network {
    Network::new(tokio::runtime::Handle::current())
}

fn manager(network: &Network, config: UdpManagerConfig) -> UdpConnectionManager {
    UdpConnectionManager::new(network.clone(), config).unwrap()
}

fn loopback() -> Address {
    "udp://127.0.0.1:0".parse().unwrap()
}

fn socket_addr(address: &Address) -> SocketAddr {
    address.socket_addr().unwrap()
}

/// A client that talks to one address, of which alone it takes datagrams.
struct Client(tokio::net::UdpSocket);

impl Client {
    async fn of(to: SocketAddr) -> Self {
        let socket = tokio::net::UdpSocket::bind("127.0.0.1:0").await.unwrap();
        socket.connect(to).await.unwrap();
        Self(socket)
    }

    async fn send(&self, datagram: &[u8]) {
        assert_eq!(self.0.send(datagram).await.unwrap(), datagram.len());
    }

    async fn receive(&self) -> Vec<u8> {
        let mut buf = vec![0; 1 << 16];
        let wait = tokio::time::timeout(Duration::from_secs(20), self.0.recv(&mut buf));
        let length = wait.await.expect("no datagram came").unwrap();
        buf.truncate(length);
        buf
    }

    async fn ask(&self, datagram: &[u8]) -> Vec<u8> {
        self.send(datagram).await;
        self.receive().await
    }

    fn address(&self) -> SocketAddr {
        self.0.local_addr().unwrap()
    }
}

/// Gives every datagram back `times` times.
async fn echo(network: &Network, times: usize) -> Address {
    let socket = network.bind(&loopback()).await.unwrap();
    let address = socket.address().clone();
    network.spawn(async move {
        let mut buf = vec![0; 1 << 16];
        while let Ok(received) = socket.recv_from(&mut buf).await {
            for _ in 0..times {
                if socket.send_to(&buf[..received.len], received.source, None).await.is_err() {
                    return;
                }
            }
        }
    });
    address
}

/// A socket that the test receives on itself.
async fn backend(network: &Network) -> (Arc<Datagram>, Address) {
    let socket = network.bind(&loopback()).await.unwrap();
    let address = socket.address().clone();
    (Arc::new(socket), address)
}

async fn receive(socket: &Datagram) -> (Vec<u8>, SocketAddr) {
    let mut buf = vec![0; 1 << 16];
    let wait = tokio::time::timeout(Duration::from_secs(20), socket.recv_from(&mut buf));
    let received = wait.await.expect("no datagram came").unwrap();
    buf.truncate(received.len);
    (buf, received.source)
}

async fn relay(manager: &UdpConnectionManager, to: &Address) -> SocketAddr {
    let bound = manager.relay(&loopback(), to.clone(), UdpRelayOptions::default()).await;
    socket_addr(&bound.unwrap())
}

/// Waits for something that happens soon on another task or thread, and that has no event of its own.
async fn until(condition: impl Fn() -> bool) {
    let met = async {
        while !condition() {
            tokio::time::sleep(Duration::from_millis(1)).await;
        }
    };
    tokio::time::timeout(Duration::from_secs(20), met).await.expect("it did not happen");
}

fn milliseconds(count: u64) -> TimeLimit {
    TimeLimit::After(Duration::from_millis(count))
}
