//! Random conversations over a relay with faults on both of its sides.

use super::*;
use crate::{
    config::ByteLimit,
    context::{Direction, Protocol},
    error::ConnectionError,
    transport::{
        faults::{FaultConfig, Faulty, LaneFaults},
        pipe,
    },
};
use proptest::prelude::*;
use std::num::NonZeroUsize;

#[derive(Clone, Debug)]
enum Step {
    Write(usize),
    Wait(u64),
}

/// What one side does; it ends by a half-close, or by a reset.
#[derive(Clone, Debug)]
struct Script {
    steps: Vec<Step>,
    aborts: bool,
}

fn script() -> impl Strategy<Value = Script> {
    let step = prop_oneof![
        3 => (1usize..3_000).prop_map(Step::Write),
        1 => (0u64..50).prop_map(Step::Wait),
    ];
    (proptest::collection::vec(step, 0..8), proptest::bool::weighted(0.25))
        .prop_map(|(steps, aborts)| Script { steps, aborts })
}

fn faults() -> impl Strategy<Value = LaneFaults> {
    let delay = proptest::option::of(
        (0u64..20).prop_map(|longest| Duration::ZERO..=Duration::from_millis(longest)),
    );
    let max_chunk = proptest::option::of((1usize..700).prop_map(|n| NonZeroUsize::new(n).unwrap()));
    (delay, max_chunk).prop_map(|(delay, max_chunk)| LaneFaults {
        delay,
        max_chunk,
        ..LaneFaults::default()
    })
}

fn rate() -> impl Strategy<Value = Rate> {
    let per_second =
        prop_oneof![Just(ByteLimit::Never), (100u64..100_000).prop_map(ByteLimit::After)];
    (per_second, 1u64..5_000).prop_map(|(per_second, burst)| Rate { per_second, burst })
}

/// A pipe of which the relay's end has faults.
fn faulty_pipe(network: &Network, capacity: u32, faults: FaultConfig) -> (Stream, Stream) {
    let (outer, inner) = pipe::pair(&PipeConfig { capacity }).unwrap();
    let inner = Faulty::new(inner, faults, network.runtime().clone()).unwrap();
    let stream =
        |transport| network.stream(Protocol::Pipe, Direction::Dialled, transport, None, None);
    (stream(Box::new(outer)), stream(Box::new(inner)))
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

/// Plays a script, reads everything meanwhile, and says what was sent and what was read.
async fn play(stream: &Stream, script: &Script) -> (Vec<u8>, Vec<u8>) {
    let talk = async {
        let mut sent = Vec::new();
        for step in &script.steps {
            match step {
                Step::Wait(milliseconds) => {
                    sleep(Duration::from_millis(*milliseconds)).await;
                }
                Step::Write(length) => {
                    for byte in 0..*length {
                        let byte = (sent.len() + byte / 7) as u8;
                        // The other side may have reset us.
                        match stream.write(&[byte]).await {
                            Ok(_) => sent.push(byte),
                            Err(_) => return sent,
                        }
                    }
                }
            }
        }
        if script.aborts {
            stream.abort(CloseReason::Local);
        } else {
            let _ = stream.shutdown(Shutdown::Write);
        }
        sent
    };
    let (sent, (read, _)) = tokio::join!(talk, read_all(stream));
    (sent, read)
}

struct Played {
    outcome: RelayOutcome,
    client: (Vec<u8>, Vec<u8>),
    server: (Vec<u8>, Vec<u8>),
}

fn run(
    scripts: &(Script, Script),
    faults: [LaneFaults; 4],
    (seed, capacity, buffer_size): (u64, u32, usize),
    rates: [Rate; 2],
) -> Played {
    let runtime = tokio::runtime::Builder::new_current_thread()
        .enable_all()
        .start_paused(true)
        .build()
        .unwrap();
    runtime.block_on(async {
        let network = Network::new(tokio::runtime::Handle::current());
        let [a, b, c, d] = faults;
        let (client, near) =
            faulty_pipe(&network, capacity, FaultConfig { seed, read: a, write: b });
        let (server, far) =
            faulty_pipe(&network, capacity, FaultConfig { seed, read: c, write: d });
        let [to_server, to_client] = rates;
        let limits = RelayLimits { buffer_size, to_server, to_client, ..RelayLimits::default() };
        let (outcome, from_client, from_server) = tokio::join!(
            relay(&near, &far, &limits),
            play(&client, &scripts.0),
            play(&server, &scripts.1)
        );
        Played { outcome, client: from_client, server: from_server }
    })
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(96))]

    #[test]
    fn every_conversation_arrives_byte_for_byte(
        scripts in (script(), script()),
        faults in [faults(), faults(), faults(), faults()],
        setup in (any::<u64>(), 1u32..2_000, 1usize..5_000),
        rates in [rate(), rate()],
    ) {
        let Played { outcome, client, server } = run(&scripts, faults, setup, rates);
        let (client_sent, client_read) = client;
        let (server_sent, server_read) = server;
        prop_assert!(client_sent.starts_with(&server_read), "the server read what nobody sent");
        prop_assert!(server_sent.starts_with(&client_read), "the client read what nobody sent");
        if !scripts.0.aborts && !scripts.1.aborts {
            prop_assert_eq!(outcome.reason, CloseReason::Finished);
            prop_assert_eq!(&client_sent, &server_read);
            prop_assert_eq!(&server_sent, &client_read);
        }
        // What a side took before it was reset is what the relay says that it gave.
        if !scripts.1.aborts {
            prop_assert_eq!(outcome.to_server, server_read.len() as u64);
        }
        if !scripts.0.aborts {
            prop_assert_eq!(outcome.to_client, client_read.len() as u64);
        }
        match outcome.broken {
            Some((Side::Client, _)) => prop_assert!(scripts.0.aborts),
            Some((Side::Server, _)) => prop_assert!(scripts.1.aborts),
            None => prop_assert_eq!(outcome.reason, CloseReason::Finished),
        }
    }
}
