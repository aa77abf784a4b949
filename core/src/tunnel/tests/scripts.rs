//! Conversations of any shape over links that split, delay and lose: each arrives byte for byte, or is reset.

use super::*;
use crate::{
    budget::Budget,
    config::{LinkConfig, PipeConfig},
    context::{Direction, Protocol},
    transport::{
        Transport,
        faults::{Cut, CutHow, FaultConfig, Faulty, LaneFaults},
        pipe,
    },
    tunnel::{
        carrier::{Asked, Carrier, Serving},
        native, packet,
        prefixed::Prefixed,
    },
};
use bytes::Bytes;
use proptest::prelude::*;
use std::{num::NonZeroUsize, sync::Arc};
use tokio::sync::mpsc;

/// What one side of a conversation does, in order.
#[derive(Clone, Debug)]
enum Act {
    Write(usize),
    Yield(u8),
    Sleep,
    Reset,
}

fn act() -> impl Strategy<Value = Act> {
    prop_oneof![
        6 => (1usize..70_000).prop_map(Act::Write),
        3 => (1usize..40).prop_map(Act::Write),
        2 => (1u8..20).prop_map(Act::Yield),
        1 => Just(Act::Sleep),
    ]
}

fn acts() -> impl Strategy<Value = Vec<Act>> {
    (prop::collection::vec(act(), 0..12), prop::bool::weighted(0.15)).prop_map(
        |(mut acts, resets)| {
            if resets {
                acts.push(Act::Reset);
            }
            acts
        },
    )
}

/// The byte at a place of one side of one conversation: two of them never look alike.
fn byte(conversation: usize, side: usize, at: usize) -> u8 {
    (conversation * 31 + side * 101 + at * 7 + at / 253) as u8
}

/// Performs `acts` and ends; returns how many bytes were written, and whether it ended with a reset.
async fn perform(stream: &Stream, acts: &[Act], conversation: usize, side: usize) -> (usize, bool) {
    let mut at = 0;
    for act in acts {
        match act {
            Act::Write(length) => {
                let bytes: Vec<_> =
                    (at..at + length).map(|at| byte(conversation, side, at)).collect();
                if stream.write_all(&bytes).await.is_err() {
                    // A part of it may have been written.
                    return (at + length, true);
                }
                at += length;
            }
            Act::Yield(times) => {
                for _ in 0..*times {
                    tokio::task::yield_now().await;
                }
            }
            Act::Sleep => tokio::time::sleep(Duration::from_secs(1)).await,
            Act::Reset => {
                stream.abort(crate::context::CloseReason::Local);
                return (at, true);
            }
        }
    }
    let _ = stream.shutdown(Shutdown::Write);
    (at, false)
}

/// Reads to the end or to a reset, and looks at every byte.
async fn check(stream: &Stream, conversation: usize, side: usize, size: usize) -> (usize, bool) {
    let (mut at, mut buf) = (0, vec![0; size]);
    loop {
        match stream.read(&mut buf).await {
            Ok(0) => return (at, false),
            Ok(count) => {
                for got in &buf[..count] {
                    assert_eq!(*got, byte(conversation, side, at), "{conversation} {side} at {at}");
                    at += 1;
                }
            }
            Err(_) => return (at, true),
        }
    }
}

async fn converse(
    stream: Stream,
    acts: Vec<Act>,
    conversation: usize,
    side: usize,
    size: usize,
) -> [(usize, bool); 2] {
    let (wrote, read) = tokio::join!(
        perform(&stream, &acts, conversation, side),
        check(&stream, conversation, 1 - side, size),
    );
    [wrote, read]
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 24, ..ProptestConfig::default() })]
    #[test]
    fn every_conversation_arrives_byte_for_byte_under_any_split(
        scripts in prop::collection::vec((acts(), acts(), 1usize..9000), 1..8),
        window in prop_oneof![Just(1024u32), Just(10_000), Just(262_144)],
        links in 1u32..3,
        over_packets: bool,
    ) {
        let _over = over_packets.then(Over::packets);
        let runtime = tokio::runtime::Builder::new_current_thread().enable_all().start_paused(true).build().unwrap();
        runtime.block_on(async move {
            let world = World::with(|config| config.link.window = window).await;
            let agent = world.agent_with("c1", |config| {
                config.link.window = window;
                config.links = links;
            }).await;
            let listener = agent.listener().unwrap();
            let mut sides = Vec::new();
            for (conversation, (user_acts, host_acts, size)) in scripts.into_iter().enumerate() {
                let user = world.dial("c1").await;
                let served = listener.accept().await.unwrap();
                sides.push((
                    world.spawn(converse(user, user_acts, conversation, 0, size)),
                    world.spawn(converse(served, host_acts, conversation, 1, size)),
                ));
            }
            for (user, host) in sides {
                let [[user_wrote, user_read], [host_wrote, host_read]] =
                    [user.await.unwrap(), host.await.unwrap()];
                for (wrote, read) in [(user_wrote, host_read), (host_wrote, user_read)] {
                    let was_reset = user_wrote.1 || host_wrote.1;
                    assert!(read.0 <= wrote.0);
                    if !was_reset {
                        assert_eq!(read, (wrote.0, false), "an end in order comes after the last byte");
                    }
                }
            }
            assert_eq!(agent.stats().links_opened, u64::from(links));
        });
    }
}

/// A link whose agent's end meets `faults`, with its hub's end and what the agent accepts; `None` if it never stood.
async fn faulty_link(
    network: &Network,
    faults: &FaultConfig,
    window: u32,
    carrier: TunnelCarrier,
) -> Option<(Arc<dyn Carrier>, mpsc::UnboundedReceiver<Stream>)> {
    let stream = |direction, transport: Box<dyn Transport>| {
        network.stream(Protocol::Pipe, direction, transport, None, None)
    };
    let (near, far) = pipe::pair(&PipeConfig::default()).unwrap();
    let near = Faulty::new(near, faults.clone(), network.runtime().clone()).unwrap();
    let config = LinkConfig { window, ..LinkConfig::default() };
    let (accepted, stands) = mpsc::unbounded_channel();
    let dialled = stream(Direction::Dialled, Box::new(near));
    let serving = network.clone();
    network.spawn(async move {
        let link: Box<dyn Serving> = match carrier {
            TunnelCarrier::Native => {
                let limits = native::Limits::new(&config, 100);
                let Ok(link) = native::Serving::begin(dialled, limits).await else { return };
                Box::new(link)
            }
            TunnelCarrier::Packet => {
                let limits = packet::Limits::new(&config, 100);
                let hello = Hello { cluster: "c1".into(), token: None, instance: [1; 16] };
                let called = packet::call(dialled, &address("mem:hub"), &hello, limits).await;
                let Ok(link) = called else { return };
                Box::new(link)
            }
        };
        let mut link = link;
        let permits = Budget::new(100);
        while let Asked::Open(opening) = link.next().await {
            let Some(end) = opening.accept(permits.try_acquire().unwrap()) else { continue };
            let stream = serving.stream(Protocol::Tunnel, Direction::Accepted, end, None, None);
            let _ = accepted.send(stream);
        }
    });
    let far = stream(Direction::Accepted, Box::new(far));
    let link: Arc<dyn Carrier> = match carrier {
        TunnelCarrier::Native => {
            let limits = native::Limits::new(&config, 100);
            let (link, driver) = native::connect(far, limits).await.unwrap();
            network.spawn(driver.run());
            Arc::new(link)
        }
        TunnelCarrier::Packet => {
            let limits = packet::Limits::new(&config, 100);
            let far = Prefixed::new(Bytes::new(), far);
            let arrival = packet::hear(far, limits, [0; 16]).await.ok()?;
            let (link, driver) = arrival.welcome(Arc::new(packet::Ids::new(0))).ok()?;
            network.spawn(driver);
            link
        }
    };
    Some((link, stands))
}

fn lane(chunk: usize, slow: bool, cut: Option<u64>) -> LaneFaults {
    LaneFaults {
        max_chunk: NonZeroUsize::new(chunk),
        delay: slow.then(|| Duration::ZERO..=Duration::from_millis(20)),
        cut: cut.map(|after_bytes| Cut { after_bytes, how: CutHow::Reset }),
        ..LaneFaults::default()
    }
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 24, ..ProptestConfig::default() })]
    #[test]
    fn a_link_that_splits_delays_and_dies_gives_true_bytes_or_a_reset(
        scripts in prop::collection::vec((acts(), acts(), 1usize..5000), 1..5),
        (chunk, slow, seed) in (50usize..3000, any::<bool>(), any::<u64>()),
        cut in prop::option::of(100u64..200_000),
        window in prop_oneof![Just(1024u32), Just(65_536)],
        carrier in prop_oneof![Just(TunnelCarrier::Native), Just(TunnelCarrier::Packet)],
    ) {
        let runtime = tokio::runtime::Builder::new_current_thread().enable_all().start_paused(true).build().unwrap();
        runtime.block_on(async move {
            let network = Network::new(Handle::current());
            let faults = FaultConfig {
                seed,
                read: lane(chunk, slow, cut),
                write: lane(chunk, slow, None),
            };
            let Some((link, mut stands)) = faulty_link(&network, &faults, window, carrier).await
            else {
                return;
            };
            let mut sides = Vec::new();
            for (conversation, (user_acts, host_acts, size)) in scripts.into_iter().enumerate() {
                let Ok(end) = link.open(None, None).await else { break };
                let user = network.stream(Protocol::Tunnel, Direction::Dialled, end, None, None);
                let served = stands.recv().await.unwrap();
                sides.push((
                    network.spawn(converse(user, user_acts, conversation, 0, size)),
                    network.spawn(converse(served, host_acts, conversation, 1, size)),
                ));
            }
            for (user, host) in sides {
                let [[user_wrote, user_read], [host_wrote, host_read]] =
                    [user.await.unwrap(), host.await.unwrap()];
                for (wrote, read) in [(user_wrote, host_read), (host_wrote, user_read)] {
                    assert!(read.0 <= wrote.0);
                    if !read.1 {
                        assert_eq!(read.0, wrote.0, "an end in order never hides a loss");
                    }
                }
            }
        });
    }
}
