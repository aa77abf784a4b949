//! Channels whose addresses the program says.

use super::{ConnectivityState::TransientFailure, *};
use crate::{address::Address, config::ResolverConfig, error::Step};
use parking_lot::Mutex;
use std::{collections::VecDeque, fmt};
use tokio::sync::{Semaphore, mpsc};

/// What a program does when it is asked.
enum Does {
    Say(&'static [&'static str]),
    Fail(&'static str),
    Panic,
    Hang,
}

/// A program that does one thing after the other, and the last again and again.
struct Program {
    plan: Mutex<VecDeque<Does>>,
    asked: mpsc::UnboundedSender<ResolveQuestion>,
    /// Whoever hangs holds this.
    hanging: Arc<Semaphore>,
}

impl fmt::Debug for Program {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Program").finish_non_exhaustive()
    }
}

#[derive(Debug, thiserror::Error)]
#[error("{0}")]
struct Words(&'static str);

impl Resolver for Program {
    fn resolve(self: Arc<Self>, question: ResolveQuestion) -> Resolving {
        let _ = self.asked.send(question);
        let mut plan = self.plan.lock();
        let next = match plan.len() {
            1 => match plan[0] {
                Does::Say(addresses) => Does::Say(addresses),
                Does::Fail(words) => Does::Fail(words),
                Does::Panic => Does::Panic,
                Does::Hang => Does::Hang,
            },
            _ => plan.pop_front().unwrap(),
        };
        let hanging = Arc::clone(&self.hanging);
        Box::pin(async move {
            match next {
                Does::Say(said) => Ok(addresses(said)),
                Does::Fail(words) => Err(ConnectionError::ConnectionFailed {
                    at: crate::error::Place::at(Step::Resolve).because(Words(words)),
                }),
                Does::Panic => panic!("as planned"),
                Does::Hang => {
                    let _held = hanging.acquire().await;
                    std::future::pending().await
                }
            }
        })
    }
}

fn addresses(said: &[&str]) -> Vec<Address> {
    said.iter().map(|one| one.parse().unwrap()).collect()
}

struct Made {
    channel: Channel,
    asked: mpsc::UnboundedReceiver<ResolveQuestion>,
    hanging: Arc<Semaphore>,
}

fn made(network: &Network, config: ConnectionConfig, plan: impl IntoIterator<Item = Does>) -> Made {
    let (sender, asked) = mpsc::unbounded_channel();
    let hanging = Arc::new(Semaphore::new(1));
    let plan = Mutex::new(plan.into_iter().collect());
    let program = Program { plan, asked: sender, hanging: Arc::clone(&hanging) };
    let channel = Channel::resolved(network, "zone:web", config, None, Arc::new(program)).unwrap();
    Made { channel, asked, hanging }
}

fn named(name: &'static str) -> Methods {
    Methods::new().unary(ECHO, move |_| async move { Ok(tonic::Response::new(message(name))) })
}

async fn who(channel: &Channel) -> Bytes {
    channel.unary(ECHO, Bytes::new(), within(60 * SECOND)).await.unwrap().message
}

async fn both(network: &Network) -> (ChannelServer, ChannelServer) {
    (serve(network, "mem:a", named("a")).await, serve(network, "mem:b", named("b")).await)
}

#[tokio::test(start_paused = true)]
async fn a_program_is_asked_with_the_first_call_and_again_when_addresses_do_not_work() {
    let network = network();
    let (a, _b) = both(&network).await;
    let mut made = made(&network, plain(), [Does::Say(&["mem:a"]), Does::Say(&["mem:b"])]);
    assert!(made.asked.try_recv().is_err(), "nobody has called");
    assert_eq!(who(&made.channel).await, "a");
    let first = made.asked.recv().await.unwrap();
    assert_eq!((&*first.target, first.number), ("zone:web", 1));
    assert_eq!(first.timeout, 30 * SECOND);
    a.drain(None).await;
    let patient = || CallOptions { wait_for_ready: Some(true), ..within(60 * SECOND) };
    let reply = made.channel.unary(ECHO, Bytes::new(), patient()).await.unwrap();
    assert_eq!(reply.message, "b");
    assert_eq!(made.asked.recv().await.unwrap().number, 2);
}

#[tokio::test(start_paused = true)]
async fn calls_follow_what_is_pushed_and_connections_to_addresses_that_stay_are_kept() {
    let network = network();
    let _servers = both(&network).await;
    let made = made(
        &network,
        config(json!({"loadBalancingConfig": [{"round_robin": {}}]})),
        [Does::Say(&["mem:a"])],
    );
    assert_eq!(who(&made.channel).await, "a");
    made.channel.push_addresses(addresses(&["mem:a", "mem:b"])).unwrap();
    while who(&made.channel).await != "b" {
        tokio::time::sleep(MILLI).await;
    }
    made.channel.push_addresses(addresses(&["mem:b"])).unwrap();
    assert_eq!((who(&made.channel).await, who(&made.channel).await), (message("b"), message("b")));
    let live = made.channel.inspect();
    assert_eq!(live.pool.closed(RetireReason::Unlisted), 1, "the one to a");
    let attempts = count(&network, "trunkline_channel_connection_attempts_total", &[]);
    assert_eq!(attempts, 2, "one to each");
}

#[tokio::test(start_paused = true)]
async fn an_answer_that_brings_nothing_says_why_and_the_program_is_asked_again() {
    let network = network();
    let _servers = both(&network).await;
    let config = ConnectionConfig {
        resolver: ResolverConfig { max_addresses: 1, timeout: SECOND, ..ResolverConfig::default() },
        ..plain()
    };
    let plan = [
        Does::Fail("the zone is not known"),
        Does::Panic,
        Does::Hang,
        Does::Say(&[]),
        Does::Say(&["mem:a", "mem:b"]),
        Does::Say(&["tls://a:1"]),
        Does::Say(&["mem:a"]),
    ];
    let made = made(&network, config, plan);
    made.channel.connect();
    reaches(&made.channel, TransientFailure).await;
    let error = made.channel.unary(ECHO, Bytes::new(), within(SECOND)).await.unwrap_err();
    assert_eq!(code(&error), StatusCode::Unavailable);
    assert!(error.to_string().contains("the zone is not known"), "{error}");
    for reason in
        ["panicked", "after 1s", "no address", "2 addresses", "the channel is what is secured"]
    {
        let why = || made.channel.inspect().lookup_error.unwrap().with_causes().to_string();
        while !why().contains(reason) {
            tokio::time::sleep(10 * MILLI).await;
        }
    }
    made.channel.wait_ready(after(60 * SECOND)).await.unwrap();
    assert!(made.channel.inspect().lookup_error.is_none());
    assert_eq!(who(&made.channel).await, "a");
}

#[tokio::test(start_paused = true)]
async fn what_is_pushed_badly_or_to_whom_it_is_not_for_changes_nothing() {
    let network = network();
    let _servers = both(&network).await;
    let made = made(&network, plain(), [Does::Say(&["mem:a"])]);
    assert_eq!(who(&made.channel).await, "a");
    let error = made.channel.push_addresses(Vec::new()).unwrap_err();
    assert!(error.with_causes().to_string().contains("no address"), "{error:?}");
    assert_eq!(who(&made.channel).await, "a");

    let other = channel(&network, "mem:b", plain());
    let error = other.push_addresses(addresses(&["mem:a"])).unwrap_err();
    assert!(matches!(error, ConnectionError::InvalidConfig { .. }), "{error:?}");
    made.channel.close(None).await;
    let error = made.channel.push_addresses(addresses(&["mem:b"])).unwrap_err();
    assert!(matches!(error, ConnectionError::Closed { .. }), "{error:?}");
}

#[tokio::test(start_paused = true)]
async fn a_question_ends_with_its_channel_closed_or_dropped() {
    let network = network();
    for is_closed in [true, false] {
        let mut made = made(&network, plain(), [Does::Hang]);
        made.channel.connect();
        made.asked.recv().await.unwrap();
        match is_closed {
            true => made.channel.close(None).await,
            false => drop(made.channel),
        }
        let _ended = made.hanging.acquire().await.unwrap();
    }
}

#[tokio::test(start_paused = true)]
async fn a_channel_that_rested_a_moment_needs_no_answer_and_one_that_rested_long_asks_again() {
    let network = network();
    let _servers = both(&network).await;
    let config = ConnectionConfig { idle_timeout: TimeLimit::secs(0), ..plain() };
    let resolver = ResolverConfig { min_interval: 10 * SECOND, ..ResolverConfig::default() };
    let mut made = made(&network, ConnectionConfig { resolver, ..config }, [Does::Say(&["mem:a"])]);
    for _ in 0..3 {
        assert_eq!(who(&made.channel).await, "a");
        reaches(&made.channel, ConnectivityState::Idle).await;
    }
    assert_eq!(made.asked.recv().await.unwrap().number, 1);
    assert!(made.asked.try_recv().is_err(), "what was said a moment ago is known");
    tokio::time::sleep(10 * SECOND).await;
    assert_eq!(who(&made.channel).await, "a");
    assert_eq!(made.asked.recv().await.unwrap().number, 2);
}
