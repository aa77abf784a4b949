//! The hop between an agent and a host in its process, which answers requests of HTTP: by memory, over a socket.

use crate::ends::{CLUSTER, address, carrier, token};
use rustix::time::{ClockId, clock_gettime};
use std::{fs, time::Duration};
use tokio::runtime::{Builder, Runtime};
use trunkline_benches::{Bench, Goal, Must, alloc::held_by, now, percentile};
use trunkline_core::{
    Agent, AgentConfig, Hub, HubConfig, Listener, Network, Stream, config::MemoryCommConfig,
};

const CLIENTS: usize = 16;
const EACH: usize = 2_000;
/// Connections that stand while memory is counted.
const STANDING: usize = 1_000;
const QUESTION: &[u8] = b"GET /healthz HTTP/1.1\r\nHost: bench\r\nAccept: */*\r\n\r\n";
const ANSWER: &[u8] =
    b"HTTP/1.1 200 OK\r\nContent-Type: text/plain\r\nContent-Length: 16\r\n\r\neverything is ok";
const END_OF_HEAD: &[u8] = b"\r\n\r\n";

const ALONE: &str = "requests, the hop alone";
const WHOLE: &str = "requests, hub to host";
const P99: &str = "p99 of a request, hub to host";
const CPU: &str = "CPU of a request, hub to host";
const MEMORY_ALONE: &str = "memory of a connection, the hop alone";
const MEMORY: &str = "memory of a connection, hub to host";

/// How connections reach the host.
#[derive(Clone, Copy)]
enum Way {
    /// As they are: no hop.
    Bare,
    Memory,
    Socket,
}

pub(crate) fn compare(bench: &mut Bench) {
    let goals = [
        Goal { measure: ALONE, unit: "1/s", must: Must::AtLeast(2.0) },
        Goal { measure: WHOLE, unit: "1/s", must: Must::Tell },
        Goal { measure: P99, unit: "µs", must: Must::AtMost(0.5) },
        Goal { measure: CPU, unit: "µs", must: Must::AtMost(0.8) },
        Goal { measure: MEMORY_ALONE, unit: "B", must: Must::AtMost(0.7) },
        Goal { measure: MEMORY, unit: "B", must: Must::Tell },
    ];
    let by = |way| move || measure(way);
    bench.compare("a Unix socket", &goals, &mut by(Way::Memory), &mut by(Way::Socket));
}

fn measure(way: Way) -> [(&'static str, f64); 6] {
    // What a request takes without a hop is what the hop is not to blame for.
    let (bare, with) = (ask_all(Way::Bare), ask_all(way));
    let hop = (with.seconds - bare.seconds) / (CLIENTS * EACH) as f64;
    let memory = memory_of_one(way);
    [
        (ALONE, 1.0 / hop),
        (WHOLE, (CLIENTS * EACH) as f64 / with.seconds),
        (P99, with.p99.as_secs_f64() * 1e6),
        (CPU, with.cpu * 1e6 / (CLIENTS * EACH) as f64),
        (MEMORY_ALONE, memory - memory_of_one(Way::Bare)),
        (MEMORY, memory),
    ]
}

struct Asked {
    seconds: f64,
    cpu: f64,
    p99: Duration,
}

/// Clients that ask again as soon as they are answered.
fn ask_all(way: Way) -> Asked {
    let world = World::new(way);
    let clients = world.dial(CLIENTS);
    let (cpu, started) = (cpu(), now());
    let tasks: Vec<_> = clients
        .into_iter()
        .map(|client| {
            world.runtime.spawn(async move {
                let mut times = Vec::with_capacity(EACH);
                for _ in 0..EACH {
                    let asked = now();
                    ask(&client).await;
                    times.push(asked.elapsed());
                }
                times
            })
        })
        .collect();
    let mut times = Vec::with_capacity(CLIENTS * EACH);
    for task in tasks {
        times.extend(world.runtime.block_on(task).expect("every question is answered"));
    }
    let seconds = started.elapsed().as_secs_f64();
    Asked { seconds, cpu: self::cpu() - cpu, p99: percentile(&mut times, 0.99) }
}

/// On the heap, and in the kernel, which others allocate in too.
fn memory_of_one(way: Way) -> f64 {
    let world = World::new(way);
    let before = kernel();
    let (_standing, bytes) = held_by(|| world.dial(STANDING));
    (bytes as f64 + kernel() - before) / STANDING as f64
}

/// Bytes that the kernel has in its slabs, where sockets are.
fn kernel() -> f64 {
    let meminfo = fs::read_to_string("/proc/meminfo").expect("Linux tells");
    let line = meminfo.lines().find(|line| line.starts_with("Slab:")).expect("there are slabs");
    let kib = line.split_whitespace().nth(1).and_then(|kib| kib.parse::<f64>().ok());
    kib.expect("a number") * 1024.0
}

/// A hub, an agent and its host, all on one thread.
struct World {
    runtime: Runtime,
    hub: Hub,
    _agent: Agent,
}

impl World {
    fn new(way: Way) -> Self {
        let runtime = Builder::new_current_thread().enable_all().build().expect("a runtime");
        let network = Network::new(runtime.handle().clone());
        let hub = HubConfig {
            agents: [(CLUSTER.to_owned(), vec![token()])].into(),
            ..HubConfig::default()
        };
        let hub = Hub::new(network.clone(), hub).expect("a sound configuration");
        let agent = runtime.block_on(async {
            let at = hub.listen(&address("mem:bench")).await.expect("the name is free");
            let config = AgentConfig {
                cluster: CLUSTER.to_owned(),
                token: Some(token()),
                hubs: vec![at],
                carrier: carrier("native"),
                use_memory_comm: matches!(way, Way::Memory),
                memory_comm: match way {
                    Way::Bare => None,
                    Way::Memory | Way::Socket => Some(MemoryCommConfig::default()),
                },
                ..AgentConfig::default()
            };
            let agent = Agent::new(network, config).expect("a sound configuration");
            agent.ready(None).await.expect("the hub lets it in");
            agent
        });
        serve(&runtime, agent.listener().expect("there is one"));
        Self { runtime, hub, _agent: agent }
    }

    /// Connections that have asked once.
    fn dial(&self, count: usize) -> Vec<Stream> {
        self.runtime.block_on(async {
            let mut standing = Vec::with_capacity(count);
            for _ in 0..count {
                let stream = self.hub.dial(CLUSTER, None, None).await.expect("the agent takes it");
                ask(&stream).await;
                standing.push(stream);
            }
            standing
        })
    }
}

/// Answers each head that comes.
fn serve(runtime: &Runtime, listener: Listener) {
    let handle = runtime.handle().clone();
    runtime.spawn(async move {
        while let Ok(stream) = listener.accept().await {
            handle.spawn(async move {
                let (mut head, mut held) = ([0; 1024], 0);
                while let Ok(count @ 1..) = stream.read(&mut head[held..]).await {
                    held += count;
                    if head[..held].ends_with(END_OF_HEAD) {
                        held = 0;
                        if stream.write_all(ANSWER).await.is_err() {
                            return;
                        }
                    }
                }
            });
        }
    });
}

async fn ask(stream: &Stream) {
    stream.write_all(QUESTION).await.expect("it stands");
    let (mut answer, mut read) = ([0; ANSWER.len()], 0);
    while read < answer.len() {
        match stream.read(&mut answer[read..]).await {
            Ok(count @ 1..) => read += count,
            end => panic!("no answer: {end:?}"),
        }
    }
    assert_eq!(answer, ANSWER, "the answer");
}

/// Seconds that this process has run so far.
fn cpu() -> f64 {
    let ran = clock_gettime(ClockId::ProcessCPUTime);
    ran.tv_sec as f64 + ran.tv_nsec as f64 / 1e9
}
