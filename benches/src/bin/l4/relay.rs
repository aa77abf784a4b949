//! The relays that are written here, each the whole of a process.

use crate::tables;
use std::{
    io::{Read, Write, stdin, stdout},
    process::ExitCode,
};
use tokio::{
    io::copy_bidirectional,
    net::{TcpListener, TcpStream},
    runtime::{Builder, Runtime},
};
use trunkline_core::{
    Address, Network, TcpConnectionManager, TcpManagerConfig, UdpConnectionManager,
    UdpManagerConfig, manager::UdpRelayOptions,
};

/// Which relay a process is.
#[derive(Clone, Copy, Debug)]
pub(crate) enum Role {
    /// A `TcpConnectionManager`.
    Ours,
    /// Copies by tokio's `copy_bidirectional`.
    Copier,
    /// A `UdpConnectionManager`.
    OurUdp,
    /// A `UdpConnectionManager` with so many other sessions.
    UdpTable(u32),
}

pub(crate) fn role(name: &str, rest: &[String]) -> Option<Role> {
    match (name, rest) {
        ("relay", []) => Some(Role::Ours),
        ("copier", []) => Some(Role::Copier),
        ("udp-relay", []) => Some(Role::OurUdp),
        ("udp-table", [entries]) => entries.parse().ok().map(Role::UdpTable),
        _ => None,
    }
}

/// Relays to `backend`, such as `127.0.0.1:80`, after saying where it listens, until its input ends.
pub(crate) fn run(role: Role, backend: &str) -> ExitCode {
    let runtime = Builder::new_current_thread().enable_all().build().expect("a runtime");
    match role {
        Role::Ours => ours(&runtime, backend),
        Role::Copier => copier(&runtime, backend),
        Role::OurUdp => our_udp(&runtime, backend),
        Role::UdpTable(entries) => tables::udp(entries, backend),
    }
    ExitCode::SUCCESS
}

fn ours(runtime: &Runtime, backend: &str) {
    let config = TcpManagerConfig { max_connections: 100_000, ..TcpManagerConfig::default() };
    let network = Network::new(runtime.handle().clone());
    let manager = TcpConnectionManager::new(network, config).expect("a sound configuration");
    runtime.block_on(async {
        let here: Address = "tcp://127.0.0.1:0".parse().expect("an address");
        let to = format!("tcp://{backend}").parse().expect("an address");
        let bound = manager.relay(&here, to).await.expect("a free port");
        tell(&bound.to_string().replace("tcp://", ""));
        until_input_ends().await;
    });
}

fn our_udp(runtime: &Runtime, backend: &str) {
    let network = Network::new(runtime.handle().clone());
    let manager = UdpConnectionManager::new(network, UdpManagerConfig::default());
    let manager = manager.expect("a sound configuration");
    runtime.block_on(async {
        let here: Address = "udp://127.0.0.1:0".parse().expect("an address");
        let to = format!("udp://{backend}").parse().expect("an address");
        let bound = manager.relay(&here, to, UdpRelayOptions::default()).await;
        tell(&bound.expect("a free port").to_string().replace("udp://", ""));
        until_input_ends().await;
    });
}

fn copier(runtime: &Runtime, backend: &str) {
    runtime.block_on(async {
        let listener = TcpListener::bind("127.0.0.1:0").await.expect("a free port");
        tell(&listener.local_addr().expect("it is bound").to_string());
        let backend = backend.to_owned();
        tokio::select! {
            () = until_input_ends() => {}
            () = async {
                loop {
                    let (client, _) = listener.accept().await.expect("a connection");
                    runtime.spawn(copy(client, backend.clone()));
                }
            } => {}
        }
    });
}

async fn copy(mut client: TcpStream, backend: String) {
    if let Ok(mut server) = TcpStream::connect(backend).await {
        let _ = server.set_nodelay(true);
        let _ = client.set_nodelay(true);
        // Either side may go when it likes.
        let _ = copy_bidirectional(&mut client, &mut server).await;
    }
}

/// Says where it listens.
pub(crate) fn tell(address: &str) {
    println!("{address}");
    stdout().flush().expect("whoever started this reads");
}

/// Whoever started this has gone, or wants this to end.
async fn until_input_ends() {
    let ended = tokio::task::spawn_blocking(|| stdin().read_to_end(&mut Vec::new()));
    let _ = ended.await;
}

/// The same where the runtime has no thread to wait in.
pub(crate) async fn until_input_ends_by_thread() {
    let (sender, ended) = tokio::sync::oneshot::channel();
    std::thread::spawn(move || {
        let _ = stdin().read_to_end(&mut Vec::new());
        let _ = sender.send(());
    });
    let _ = ended.await;
}
