//! The relays that are written here, each the whole of a process.

use std::{
    io::{Read, Write, stdin, stdout},
    process::ExitCode,
};
use tokio::{
    io::copy_bidirectional,
    net::{TcpListener, TcpStream},
    runtime::{Builder, Runtime},
};
use trunkline_core::{Address, Network, TcpConnectionManager, TcpManagerConfig};

/// Which relay a process is.
#[derive(Clone, Copy, Debug)]
pub(crate) enum Role {
    /// A `TcpConnectionManager`.
    Ours,
    /// Copies by tokio's `copy_bidirectional`.
    Copier,
}

pub(crate) fn role(name: &str) -> Option<Role> {
    match name {
        "relay" => Some(Role::Ours),
        "copier" => Some(Role::Copier),
        _ => None,
    }
}

/// Relays to `backend`, such as `127.0.0.1:80`, after saying where it listens, until its input ends.
pub(crate) fn run(role: Role, backend: &str) -> ExitCode {
    let runtime = Builder::new_current_thread().enable_all().build().expect("a runtime");
    match role {
        Role::Ours => ours(&runtime, backend),
        Role::Copier => copier(&runtime, backend),
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

fn tell(address: &str) {
    println!("{address}");
    stdout().flush().expect("whoever started this reads");
}

/// Whoever started this has gone, or wants this to end.
async fn until_input_ends() {
    let ended = tokio::task::spawn_blocking(|| stdin().read_to_end(&mut Vec::new()));
    let _ = ended.await;
}
