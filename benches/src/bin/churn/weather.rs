//! What befalls servers and proxies, one thing after the other by chance.

use crate::{proxy::Proxy, server::Server};
use std::{
    fmt,
    sync::{
        Arc,
        atomic::{AtomicU64, Ordering::SeqCst},
    },
    time::{Duration, Instant},
};
use tokio::time::sleep;
use trunkline_benches::now;

pub(crate) struct Weather {
    proxies: Vec<Arc<Proxy>>,
    servers: Vec<Arc<Server>>,
    cuts: Arc<Cuts>,
}

/// What cuts calls off in their midst: how often it began, and how often it was over.
#[derive(Default)]
pub(crate) struct Cuts {
    begun: AtomicU64,
    over: AtomicU64,
}

/// What was known of them at one moment.
#[derive(Clone, Copy, PartialEq, Eq)]
pub(crate) struct Known {
    begun: u64,
    over: u64,
}

impl Cuts {
    pub(crate) fn known(&self) -> Known {
        // In this order, so that one that begins meanwhile counts as under way.
        let over = self.over.load(SeqCst);
        Known { begun: self.begun.load(SeqCst), over }
    }

    /// Whether something was cut since, or was being cut then.
    pub(crate) fn since(&self, then: Known) -> bool {
        then.begun != then.over || self.begun.load(SeqCst) != then.begun
    }

    async fn during(&self, work: impl Future<Output = ()>) {
        self.begun.fetch_add(1, SeqCst);
        work.await;
        self.over.fetch_add(1, SeqCst);
    }
}

/// How often each thing happened.
#[derive(Default)]
pub(crate) struct Told {
    cuts: u32,
    partitions: u32,
    silences: u32,
    restarts: u32,
    replacements: u32,
    storms: u32,
}

impl fmt::Display for Told {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self { cuts, partitions, silences, restarts, replacements, storms } = self;
        write!(
            f,
            "{cuts} cuts, {partitions} partitions, {silences} silences, {restarts} restarts, \
             {replacements} replacements in order, {storms} storms of GOAWAY"
        )
    }
}

impl Weather {
    pub(crate) fn new(proxies: &[Arc<Proxy>], servers: &[Arc<Server>]) -> Self {
        Self { proxies: proxies.to_vec(), servers: servers.to_vec(), cuts: Arc::default() }
    }

    pub(crate) fn cuts(&self) -> Arc<Cuts> {
        Arc::clone(&self.cuts)
    }

    /// Until then, and longer if something is under way.
    pub(crate) async fn rage(&self, until: Instant) -> Told {
        let mut told = Told::default();
        while now() < until {
            sleep(millis(50..400)).await;
            self.strike(&mut told).await;
        }
        told
    }

    async fn strike(&self, told: &mut Told) {
        let nth = fastrand::usize(..self.servers.len());
        let (proxy, server) = (&self.proxies[nth], &self.servers[nth]);
        match fastrand::u32(..100) {
            0..25 => {
                told.cuts += 1;
                self.cuts.during(proxy.cut()).await;
            }
            25..30 => {
                told.cuts += 1;
                let all = async {
                    for proxy in &self.proxies {
                        proxy.cut().await;
                    }
                };
                self.cuts.during(all).await;
            }
            30..45 => {
                told.partitions += 1;
                self.cuts.during(proxy.refuse(millis(100..1000))).await;
            }
            45..57 => {
                told.silences += 1;
                proxy.be_silent(millis(100..3000)).await;
            }
            57..58 => {
                told.silences += 1;
                // Long enough for keepalive to end its connections.
                self.cuts.during(proxy.be_silent(millis(12_000..15_000))).await;
            }
            58..70 => {
                told.restarts += 1;
                self.cuts.during(server.restart(millis(0..500))).await;
            }
            70..92 => {
                told.replacements += 1;
                server.replace().await;
            }
            _ => {
                told.storms += 1;
                for _ in 0..10 {
                    for server in &self.servers {
                        server.replace().await;
                    }
                    sleep(millis(1..50)).await;
                }
            }
        }
    }
}

fn millis(range: std::ops::Range<u64>) -> Duration {
    Duration::from_millis(fastrand::u64(range))
}
