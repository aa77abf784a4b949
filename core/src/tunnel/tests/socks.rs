//! Users who speak SOCKS5, well and badly.

use super::*;
use crate::config::{SocksConfig, UserConfig};
use proptest::prelude::*;

const TOKEN: &str = "the token of alice, long";
const NOBODY: &[u8] = &[5, 1, 0];
const BOTH: &[u8] = &[5, 2, 0, 2];

/// A hub with a user, `alice` of `c1`, whose front is at `mem:socks`; everybody may use what `open` names.
async fn world(open: &[&str], change: impl FnOnce(&mut HubConfig)) -> World {
    let world = World::with(|config| {
        let alice = UserConfig {
            tokens: vec![Secret::new(TOKEN)],
            clusters: vec!["c1".into()],
            max_requests: 2,
            ..UserConfig::default()
        };
        config.users.insert("alice".into(), alice);
        config.anonymous = open.iter().map(|name| (*name).to_owned()).collect();
        change(config);
    })
    .await;
    world.hub.listen_socks(&address("mem:socks")).await.unwrap();
    world
}

impl World {
    async fn user(&self) -> Stream {
        self.network.connect(&address("mem:socks"), None).await.unwrap()
    }
}

fn asks(host: &str, port: u16) -> Vec<u8> {
    let mut bytes = vec![5, 1, 0, 3, host.len() as u8];
    bytes.extend(host.bytes());
    bytes.extend(port.to_be_bytes());
    bytes
}

fn says(name: &str, password: &str) -> Vec<u8> {
    let mut bytes = vec![1];
    for text in [name, password] {
        bytes.push(text.len() as u8);
        bytes.extend(text.bytes());
    }
    bytes
}

/// What a request is answered, after which the stream is at its first byte if it succeeded.
async fn answered(stream: &Stream) -> u8 {
    let mut reply = [0; 10];
    let mut have = 0;
    while have < reply.len() {
        let count = stream.read(&mut reply[have..]).await.unwrap();
        assert_ne!(count, 0, "it ended after {have} bytes");
        have += count;
    }
    assert_eq!((reply[0], &reply[2..]), (5, &[0, 1, 0, 0, 0, 0, 0, 0][..]));
    reply[1]
}

/// What alice is answered who asks for a host.
async fn alice_asks(world: &World, host: &str, port: u16) -> (Stream, u8) {
    let user = world.user().await;
    say(&user, BOTH).await;
    hears(&user, &[5, 2]).await;
    say(&user, &says("alice", TOKEN)).await;
    hears(&user, &[1, 0]).await;
    say(&user, &asks(host, port)).await;
    let reply = answered(&user).await;
    (user, reply)
}

over_each_carrier!(
    who_proves_its_name_is_connected_and_its_early_bytes_arrive,
    nobody_uses_a_cluster_that_was_not_given_to_them,
    the_reply_says_what_went_wrong,
    a_target_is_dialled_as_the_agents_list_allows,
);

async fn who_proves_its_name_is_connected_and_its_early_bytes_arrive() {
    let world = world(&[], |_| {}).await;
    let agent = world.agent("c1").await;
    world.echo(agent.listener().unwrap());
    // All at once, and byte by byte: how it comes makes no difference.
    let all = [BOTH, &says("alice", TOKEN), &asks("C1.tunnel", 80), b"early"].concat();
    for split in [1, 3, 1000] {
        let user = world.user().await;
        for piece in all.chunks(split) {
            say(&user, piece).await;
            tokio::task::yield_now().await;
        }
        hears(&user, &[5, 2, 1, 0]).await;
        assert_eq!(answered(&user).await, 0);
        hears(&user, b"early").await;
        say(&user, b"late").await;
        hears(&user, b"late").await;
        user.shutdown(Shutdown::Write).unwrap();
        assert!(rest(&user).await.unwrap().is_empty());
    }
    until(|| world.hub.stats().active == 0).await;
}

async fn nobody_uses_a_cluster_that_was_not_given_to_them() {
    let world = world(&["c2"], |_| {}).await;
    let mut agents = Vec::new();
    for cluster in ["c1", "c2"] {
        let agent = world.agent(cluster).await;
        world.echo(agent.listener().unwrap());
        agents.push(agent);
    }
    for (host, reply) in [("c2.tunnel", 0), ("c1.tunnel", 2), ("c9.tunnel", 2), ("x.test", 2)] {
        let user = world.user().await;
        say(&user, NOBODY).await;
        hears(&user, &[5, 0]).await;
        say(&user, &asks(host, 80)).await;
        assert_eq!(answered(&user).await, reply, "{host}");
    }
    for (host, reply) in [("c1.tunnel", 0), ("c2.tunnel", 0), ("c9.tunnel", 2)] {
        assert_eq!(alice_asks(&world, host, 80).await.1, reply, "{host}");
    }
    for (name, token) in [("alice", "wrong"), ("bob", TOKEN), ("", ""), ("alice", "")] {
        let user = world.user().await;
        say(&user, BOTH).await;
        hears(&user, &[5, 2]).await;
        say(&user, &says(name, token)).await;
        hears(&user, &[1, 1]).await;
        assert!(rest(&user).await.unwrap_or_default().is_empty(), "{name}");
    }
    let user = world.user().await;
    say(&user, &[5, 1, 1]).await;
    hears(&user, &[5, 0xff]).await;
    assert!(rest(&user).await.unwrap_or_default().is_empty());
}

async fn the_reply_says_what_went_wrong() {
    let world = world(&["*"], |config| config.dial_timeout = Duration::from_secs(5)).await;
    // Nobody is there, and then nobody listens.
    assert_eq!(alice_asks(&world, "c1.tunnel", 80).await.1, 4);
    let agent = world.agent("c1").await;
    drop(agent.listener().unwrap());
    assert_eq!(alice_asks(&world, "c1.tunnel", 80).await.1, 4);
    assert_eq!(alice_asks(&world, "10.0.0.7.c1.tunnel", 80).await.1, 2, "none is listed");
    let _listener = agent.listener().unwrap();
    let held =
        [alice_asks(&world, "c1.tunnel", 80).await, alice_asks(&world, "c1.tunnel", 80).await];
    assert!(held.iter().all(|(_, reply)| *reply == 0));
    assert_eq!(alice_asks(&world, "c1.tunnel", 80).await.1, 1, "two are all that alice may");
    drop(held);
    until(|| world.hub.stats().active == 0).await;
    assert_eq!(alice_asks(&world, "c1.tunnel", 80).await.1, 0);
    for (request, reply) in [(&[5, 2, 0, 1][..], 7), (&[5, 3, 0, 1], 7), (&[5, 1, 0, 9], 8)] {
        let user = world.user().await;
        say(&user, NOBODY).await;
        hears(&user, &[5, 0]).await;
        say(&user, request).await;
        assert_eq!(answered(&user).await, reply, "{request:?}");
        assert!(rest(&user).await.unwrap_or_default().is_empty());
    }
}

async fn a_target_is_dialled_as_the_agents_list_allows() {
    let world = world(&[], |config| config.socks.cluster = Some("c1".into())).await;
    let service = world.network.listen(&address("tcp://127.0.0.1:0")).await.unwrap();
    let Address::Tcp(at) = *service.address() else { panic!("a socket") };
    world.echo(service);
    let targets = vec![format!("tcp://127.0.0.1:{}", at.port()).parse().unwrap()];
    let _agent = world.agent_with("c1", |config| config.targets = targets).await;
    for host in ["127.0.0.1.c1.tunnel", "127.0.0.1"] {
        let (user, reply) = alice_asks(&world, host, at.port()).await;
        assert_eq!(reply, 0, "{host}");
        say(&user, b"hello").await;
        hears(&user, b"hello").await;
    }
    assert_eq!(alice_asks(&world, "127.0.0.1", at.port() ^ 1).await.1, 2);
}

#[tokio::test(start_paused = true)]
async fn who_is_silent_is_let_go_of_and_a_drain_waits_for_who_is_carried() {
    let world = world(&["c1"], |_| {}).await;
    let agent = world.agent("c1").await;
    let listener = agent.listener().unwrap();
    let began = now();
    for said in [&[][..], &[5], &[5, 2, 0], &[5, 1, 0, 5, 1]] {
        let user = world.user().await;
        say(&user, said).await;
        let _ = rest(&user).await;
    }
    assert!(began.elapsed() <= Duration::from_secs(41), "{:?}", began.elapsed());
    let (waiting, user) = (world.user().await, world.user().await);
    say(&user, NOBODY).await;
    hears(&user, &[5, 0]).await;
    say(&user, &asks("c1.tunnel", 80)).await;
    assert_eq!(answered(&user).await, 0);
    let served = listener.accept().await.unwrap();
    let hub = world.hub.clone();
    let draining = world.spawn(async move { hub.drain(None).await });
    assert!(rest(&waiting).await.unwrap_or_default().is_empty(), "it was nowhere yet");
    assert!(!draining.is_finished());
    say(&user, b"still").await;
    hears(&served, b"still").await;
    drop(user);
    drop(served);
    assert_eq!(draining.await.unwrap().cut, 0);
    assert!(world.hub.listen_socks(&address("mem:again")).await.is_err());
}

#[tokio::test(start_paused = true)]
async fn a_front_is_refused_where_secrets_or_open_clusters_would_be_in_reach_of_others() {
    let world = world(&[], |_| {}).await;
    let refused = world.hub.listen_socks(&address("tcp://0.0.0.0:0")).await.unwrap_err();
    assert!(refused.to_string().contains("allow_plaintext"), "{refused}");
    let hub = HubConfig {
        allow_plaintext: true,
        anonymous: vec!["c1".into()],
        socks: SocksConfig::default(),
        ..HubConfig::default()
    };
    let hub = Hub::new(world.network.clone(), hub).unwrap();
    let refused = hub.listen_socks(&address("tcp://0.0.0.0:0")).await.unwrap_err();
    assert!(refused.to_string().contains("allow_public_forwards"), "{refused}");
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 48, ..ProptestConfig::default() })]
    #[test]
    fn no_bytes_of_a_user_do_any_harm(
        begins in 0usize..4, bytes in prop::collection::vec(any::<u8>(), 0..100), split in 1usize..40,
    ) {
        let runtime = tokio::runtime::Builder::new_current_thread().enable_all().start_paused(true).build().unwrap();
        runtime.block_on(async {
            let world = world(&["c1"], |_| {}).await;
            let agent = world.agent("c1").await;
            world.echo(agent.listener().unwrap());
            let begins = [&[][..], &[5, 1, 0], &[5, 1, 0, 5, 1, 0, 3], &[5, 1, 2, 1]][begins];
            let user = world.user().await;
            for piece in [begins, &bytes].concat().chunks(split) {
                if user.write_all(piece).await.is_err() {
                    break;
                }
                tokio::task::yield_now().await;
            }
            drop(user);
            assert_eq!(alice_asks(&world, "c1.tunnel", 80).await.1, 0);
            until(|| world.hub.stats().active == 0).await;
        });
    }
}
