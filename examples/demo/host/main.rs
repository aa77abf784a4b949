//! The host of the demo: servers, a relaying manager, a client in each language, one table.
//!
//! ```text
//!   client (Rust, C, C++, Python, Go) ──▶ TcpConnectionManager ──▶ echo, file server or sink
//! ```
//!
//! `demo run  language=program …` ends with the proof that the manager counted what the clients did.
//! `demo kill language=program …` kills each client in mid-transfer and shows that the counts stay exact.
#![allow(
    clippy::disallowed_methods,
    reason = "a program of its own: it has its own clock and tasks"
)]

mod clients;
mod report;
mod servers;

use clients::{Counted, Program};
use servers::Servers;
use std::{
    process::ExitCode,
    sync::atomic::Ordering,
    time::{Duration, Instant},
};
use trunkline_core::{Address, Network, TcpConnectionManager, TcpManagerConfig};

type Outcome<T> = Result<T, String>;

#[tokio::main]
async fn main() -> ExitCode {
    let mut arguments = std::env::args().skip(1);
    let mode = arguments.next().unwrap_or_default();
    let programs: Option<Vec<_>> = arguments.map(|text| Program::parse(&text)).collect();
    let outcome = match (mode.as_str(), programs) {
        ("run", Some(programs)) => run(&programs).await,
        ("kill", Some(programs)) => kill(&programs).await,
        _ => Err("usage: demo run|kill language=program …".to_owned()),
    };
    match outcome {
        Ok(()) => ExitCode::SUCCESS,
        Err(reason) => {
            eprintln!("demo: {reason}");
            ExitCode::FAILURE
        }
    }
}

/// A manager that relays to each of the servers.
struct Relay {
    manager: TcpConnectionManager,
    network: Network,
}

impl Relay {
    fn new() -> Outcome<Self> {
        let network = Network::new(tokio::runtime::Handle::current());
        let manager = TcpConnectionManager::new(network.clone(), TcpManagerConfig::default());
        Ok(Self { manager: manager.map_err(text)?, network })
    }

    async fn to(&self, server: std::net::SocketAddr) -> Outcome<String> {
        let any_port: Address = "tcp://127.0.0.1:0".parse().map_err(text)?;
        let bound = self.manager.relay(&any_port, server.into()).await;
        bound.map(|address| address.to_string()).map_err(text)
    }

    /// Waits until the manager has closed `opened` connections and none is open.
    async fn settled(&self, opened: u64) -> Outcome<()> {
        let give_up = Instant::now() + Duration::from_secs(20);
        loop {
            let stats = self.manager.stats();
            if stats.opened >= opened && stats.active == 0 {
                return Ok(());
            }
            if Instant::now() > give_up {
                return Err(format!("connections did not end: {stats:?}"));
            }
            tokio::time::sleep(Duration::from_millis(5)).await;
        }
    }
}

async fn run(programs: &[Program]) -> Outcome<()> {
    let servers = Servers::start().await.map_err(text)?;
    let relay = Relay::new()?;
    let addresses =
        vec!["run".to_owned(), relay.to(servers.echo).await?, relay.to(servers.file).await?];
    let mut rows: Vec<(&str, Counted)> = Vec::new();
    for program in programs {
        eprintln!("{}: starting", program.language);
        rows.push((&program.language, program.run(&addresses).await?));
    }
    relay.settled(rows.iter().map(|(_, counted)| counted.connections).sum()).await?;
    report::table(&rows);
    let is_equal = report::sums(&rows, &relay.manager.stats());
    relay.manager.drain(Some(Instant::now() + Duration::from_secs(5))).await;
    if is_equal {
        Ok(())
    } else {
        Err("the manager and the clients counted differently".to_owned())
    }
}

async fn kill(programs: &[Program]) -> Outcome<()> {
    let servers = Servers::start().await.map_err(text)?;
    let relay = Relay::new()?;
    let arguments = vec!["flood".to_owned(), relay.to(servers.sink).await?];
    for program in programs {
        let before = relay.manager.stats();
        let client = program.start(&arguments)?;
        // "Mid-transfer": some of its bytes have come through and it is still at it.
        wait_for(|| relay.manager.stats().bytes_received > before.bytes_received + (8 << 20))
            .await?;
        drop(client); // kills it
        relay.settled(before.opened + 1).await?;
        let after = relay.manager.stats();
        eprintln!(
            "{}: killed after {} connections and {} bytes",
            program.language,
            after.opened - before.opened,
            after.bytes_received - before.bytes_received
        );
    }
    wait_for(|| servers.sunk.open.load(Ordering::SeqCst) == 0).await?;
    let sunk = (
        servers.sunk.bytes.load(Ordering::SeqCst),
        servers.sunk.wrong_bytes.load(Ordering::SeqCst),
    );
    let gauge = relay.network.metrics().snapshot().total("trunkline_connections_active", &[]);
    let is_exact = report::after_kills(&relay.manager.stats(), sunk, gauge);
    if is_exact { Ok(()) } else { Err("the counts are not exact".to_owned()) }
}

async fn wait_for(is_there: impl Fn() -> bool) -> Outcome<()> {
    for _ in 0..4000 {
        if is_there() {
            return Ok(());
        }
        tokio::time::sleep(Duration::from_millis(5)).await;
    }
    Err("what the demo waits for did not come within 20 s".to_owned())
}

fn text(error: impl std::error::Error) -> String {
    let mut text = error.to_string();
    let mut cause = error.source();
    while let Some(next) = cause {
        text += &format!(": {next}");
        cause = next.source();
    }
    text
}
