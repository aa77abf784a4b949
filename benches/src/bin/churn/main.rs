//! Calls under churn: servers that age, restart and cut, partitions and storms of GOAWAY. It fails if a call is lost that
//! the retry policy allowed to succeed, and if memory does not come back to where it began.
//!
//! ```text
//!  calls ─▶ channels ─▶ proxies: cut, refuse, fall silent ─▶ servers: age, drain, restart
//! ```

mod calls;
mod proxy;
mod server;
mod weather;

use calls::{Calls, Counts};
use proxy::Proxy;
use server::Server;
use std::{env, process::ExitCode, sync::Arc, time::Duration};
use tokio::{runtime::Builder, time::sleep};
use trunkline_benches::{
    alloc::{Counting, held_by},
    now,
};
use trunkline_core::{
    Channel, ConnectionConfig, Network,
    channel::RetireReason,
    config::{KeepaliveParams, ServiceConfig, TimeLimit},
};
use weather::{Told, Weather};

#[global_allocator]
static ALLOCATOR: Counting = Counting;

/// Seconds of churn where the command line does not say.
const SECONDS: u64 = 120;
/// What comes before, so that what is allocated once is not counted.
const WARM_UP: Duration = Duration::from_secs(10);
/// Bytes by which the heap may have grown: a connection more than before, that has just been made.
const SLACK: isize = 256 << 10;
const SERVERS: usize = 3;
/// Lost calls that are told one by one.
const TOLD: usize = 20;

/// What the calls go through.
struct World {
    channels: Vec<Channel>,
    proxies: Vec<Arc<Proxy>>,
    servers: Vec<Arc<Server>>,
}

/// What one spell of churn came to.
#[derive(Default)]
struct Spell {
    counts: Counts,
    told: Told,
}

fn main() -> ExitCode {
    let seconds = match env::args().nth(1).map(|text| text.parse()) {
        None => SECONDS,
        Some(Ok(seconds)) => seconds,
        Some(Err(_)) => {
            eprintln!("usage: churn [SECONDS]");
            return ExitCode::FAILURE;
        }
    };
    let runtime = Builder::new_multi_thread().worker_threads(2).enable_all().build();
    let runtime = runtime.expect("a runtime");
    let network = Network::new(runtime.handle().clone());
    let world = runtime.block_on(World::new(&network));
    runtime.block_on(world.churn(WARM_UP));
    let before = runtime.block_on(async { descriptors() });
    let (spell, grown) = held_by(|| runtime.block_on(world.churn(Duration::from_secs(seconds))));
    let descriptors = (before, runtime.block_on(async { descriptors() }));
    report(seconds, &spell, &world, grown, descriptors)
}

impl World {
    async fn new(network: &Network) -> Self {
        let mut servers = Vec::new();
        let mut proxies = Vec::new();
        for nth in 0..SERVERS {
            // The first is old after a moment, always.
            let age = [TimeLimit::After(Duration::from_millis(200)), TimeLimit::secs(2)];
            let age = age.get(nth).copied().unwrap_or(TimeLimit::Never);
            let server = Server::start(network, format!("mem:churn-{nth}"), age).await;
            proxies.push(Proxy::start(network, server.address()).await);
            servers.push(server);
        }
        let target: Vec<_> = proxies.iter().map(|proxy| proxy.address.to_string()).collect();
        let target = target.join(",");
        let channel = |policy| Channel::new(network, &target, config(policy)).expect("a target");
        let channels = vec![channel("round_robin"), channel("pick_first")];
        Self { channels, proxies, servers }
    }

    /// Calls under churn for a while, and then peace until all is as it was before.
    async fn churn(&self, time: Duration) -> Spell {
        let weather = Weather::new(&self.proxies, &self.servers);
        let calls = Calls::start(&self.channels, weather.cuts());
        let told = weather.rage(now() + time).await;
        let counts = calls.finish().await;
        self.settle().await;
        Spell { counts, told }
    }

    /// Waits until every address answers, and what was cut is gone.
    async fn settle(&self) {
        for channel in &self.channels {
            channel.reset_connect_backoff();
            channel.wait_ready(None).await.expect("the servers are there");
        }
        let wanted = 1 + self.proxies.len();
        loop {
            let live: Vec<_> = self.channels.iter().map(Channel::inspect).collect();
            let addresses = live.iter().flat_map(|channel| &channel.addresses);
            let standing: usize = addresses.map(|address| address.connections.len()).sum();
            let through: usize = self.proxies.iter().map(|proxy| proxy.connections()).sum();
            if standing == wanted && through == wanted {
                return;
            }
            sleep(Duration::from_millis(1)).await;
        }
    }
}

/// A channel that tries again what servers did not answer.
fn config(policy: &str) -> ConnectionConfig {
    let document = serde_json::json!({
        "loadBalancingConfig": [{policy: {}}],
        "methodConfig": [{
            "name": [{}],
            "waitForReady": true,
            "retryPolicy": {
                "maxAttempts": 5, "initialBackoff": "0.02s", "maxBackoff": "1s",
                "backoffMultiplier": 2, "retryableStatusCodes": ["UNAVAILABLE"],
            },
        }],
    });
    let mut config = ConnectionConfig {
        // Ten seconds are the least; a server that is silent for longer is given up.
        keepalive: KeepaliveParams {
            timeout: Duration::from_secs(1),
            ..KeepaliveParams::default()
        },
        service_config: ServiceConfig { document: Some(document), ..ServiceConfig::default() },
        ..ConnectionConfig::default()
    };
    config.connect_timeout = Duration::from_secs(1);
    config.backoff.base_delay = Duration::from_millis(50);
    config.backoff.max_delay = Duration::from_secs(1);
    config
}

fn descriptors() -> usize {
    std::fs::read_dir("/proc/self/fd").map_or(0, Iterator::count)
}

fn report(
    seconds: u64,
    spell: &Spell,
    world: &World,
    grown: isize,
    descriptors: (usize, usize),
) -> ExitCode {
    let Spell { counts, told } = spell;
    let closed = |reason| -> u64 {
        world.channels.iter().map(|channel| channel.inspect().pool.closed(reason)).sum()
    };
    let connections: Vec<_> = RetireReason::ALL
        .iter()
        .map(|reason| (reason.name(), closed(*reason)))
        .filter(|(_, count)| *count > 0)
        .map(|(name, count)| format!("{count} {name}"))
        .collect();
    println!("{seconds} s: {counts}");
    println!("weather: {told}");
    println!("connections that ended, warm-up included: {}", connections.join(", "));
    println!(
        "heap: {grown:+} bytes; descriptors: {} before, {} after",
        descriptors.0, descriptors.1
    );
    for lost in counts.lost.iter().take(TOLD) {
        println!("LOST: {lost}");
    }
    let is_well = counts.lost.is_empty() && counts.well > 0 && grown < SLACK;
    let has_leaked = descriptors.0 != descriptors.1;
    match is_well && !has_leaked {
        true => ExitCode::SUCCESS,
        false => {
            println!("calls were lost, or memory or descriptors");
            ExitCode::FAILURE
        }
    }
}
