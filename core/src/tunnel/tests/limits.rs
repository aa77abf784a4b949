//! Limits that are never exceeded, and what thousands of connections leave behind: nothing.

use super::*;
use crate::tunnel::{greet, hello::Hello};
use std::sync::{
    Arc,
    atomic::{AtomicU64, Ordering},
};

over_each_carrier!(
    one_above_a_limit_is_refused_at_once_and_the_place_comes_back,
    an_agent_holds_its_own_limit_whatever_its_hubs_ask,
    targets_being_dialled_are_bounded,
    dials_without_an_answer_are_bounded,
    connections_that_are_made_and_dropped_by_thousands_leave_nothing_behind,
);

async fn one_above_a_limit_is_refused_at_once_and_the_place_comes_back() {
    let world = World::with(|config| {
        config.max_connections = 3;
        config.max_connections_per_cluster = 2;
    })
    .await;
    let _agents = [world.agent("c1").await, world.agent("c2").await];
    let limit = |error: ConnectionError| match error {
        ConnectionError::LimitExceeded { what, limit, .. } => (what.into_owned(), limit),
        other => panic!("{other}"),
    };
    let mut users = vec![world.dial("c1").await, world.dial("c1").await];
    let refused = world.hub.dial("c1", None, None).await.unwrap_err();
    assert_eq!(limit(refused), ("connections to this cluster".into(), 2));
    users.push(world.dial("c2").await);
    let refused = world.hub.dial("c2", None, None).await.unwrap_err();
    assert_eq!(limit(refused), ("connections".into(), 3));
    users.clear();
    world.dial("c1").await;
}

async fn an_agent_holds_its_own_limit_whatever_its_hubs_ask() {
    let world = World::new().await;
    let agent = world.agent_with("c1", |config| config.max_connections = 2).await;
    let listener = agent.listener().unwrap();
    let users = [world.dial("c1").await, world.dial("c1").await];
    let served = [listener.accept().await.unwrap(), listener.accept().await.unwrap()];
    for refused in 1..=3 {
        let error = world.hub.dial("c1", None, None).await.unwrap_err();
        let ConnectionError::LimitExceeded { what, limit, .. } = &error else { panic!("{error}") };
        assert_eq!((&**what, *limit), ("connections at the agent", 2));
        assert_eq!((agent.stats().refused, agent.stats().active), (refused, 2));
    }
    drop((users, served));
    settle().await;
    world.dial("c1").await;
    assert_eq!(agent.stats().limit, 2);
}

#[tokio::test(start_paused = true)]
async fn a_link_without_room_refuses_a_dial_instead_of_letting_it_wait() {
    let network = Network::new(Handle::current());
    let (hub, at) = hub_in(&network, "mem:hub", |_| {}).await;
    let stream = network.connect(&at, None).await.unwrap();
    let hello = Hello { cluster: "c1".into(), token: Some(token("c1")), instance: [1; 16] };
    greet::introduce(&stream, &hello).await.unwrap();
    let mut odd = h2::server::Builder::new();
    let mut odd = odd.max_concurrent_streams(2).handshake::<_, bytes::Bytes>(stream).await.unwrap();
    let mut waiting = Vec::new();
    let dials: Vec<_> = (0..2)
        .map(|_| {
            let hub = hub.clone();
            network.spawn(async move { hub.dial("c1", None, None).await })
        })
        .collect();
    for _ in 0..2 {
        waiting.push(odd.accept().await.unwrap().unwrap());
    }
    network.spawn(async move { while odd.accept().await.is_some() {} });
    let began = now();
    let error = hub.dial("c1", None, None).await.unwrap_err();
    assert!(matches!(error, ConnectionError::LimitExceeded { limit: 2, .. }), "{error}");
    assert_eq!(began.elapsed(), Duration::ZERO);
    dials.iter().for_each(JoinHandle::abort);
}

async fn targets_being_dialled_are_bounded() {
    let world = World::new().await;
    let _full = world.network.names().listen("slow", 1).unwrap();
    let agent = world
        .agent_with("c1", |config| {
            config.max_pending_dials = 2;
            config.targets = vec!["mem:slow".parse().unwrap()];
        })
        .await;
    let target = address("mem:slow");
    let mut standing = vec![world.hub.dial("c1", Some(&target), None).await.unwrap()];
    for _ in 0..2 {
        let (hub, target) = (world.hub.clone(), target.clone());
        world.spawn(async move { hub.dial("c1", Some(&target), None).await });
    }
    settle().await;
    let error = world.hub.dial("c1", Some(&target), None).await.unwrap_err();
    assert!(matches!(error, ConnectionError::LimitExceeded { limit: 2, .. }), "{error}");
    assert_eq!(agent.stats().refused, 1);
    standing.clear();
}

async fn dials_without_an_answer_are_bounded() {
    let world = World::with(|config| config.max_pending_dials = 2).await;
    let _agent = world.agent_with("c1", |config| config.backlog = 1).await;
    let _first = world.dial("c1").await;
    let dials: Vec<_> = (0..2)
        .map(|_| {
            let hub = world.hub.clone();
            world.spawn(async move { hub.dial("c1", None, None).await })
        })
        .collect();
    settle().await;
    let error = world.hub.dial("c1", None, None).await.unwrap_err();
    assert!(matches!(error, ConnectionError::LimitExceeded { limit: 2, .. }), "{error}");
    dials.iter().for_each(JoinHandle::abort);
    settle().await;
    let error = world.hub.dial("c1", None, Some(now().into_std())).await;
    assert!(matches!(error, Err(ConnectionError::Timeout { .. })), "{error:?}");
}

mod ten_thousand_connections_stand_at_once_and_leave_nothing_behind {
    #[tokio::test(flavor = "multi_thread", worker_threads = 2)]
    async fn over_native() {
        super::ten_thousand_connections_stand_at_once_and_leave_nothing_behind().await;
    }

    #[tokio::test(flavor = "multi_thread", worker_threads = 2)]
    async fn over_packets() {
        let _over = super::Over::packets();
        super::ten_thousand_connections_stand_at_once_and_leave_nothing_behind().await;
    }
}

async fn ten_thousand_connections_stand_at_once_and_leave_nothing_behind() {
    const MANY: u32 = 10_000;
    let world = World::with(|config| {
        config.max_connections_per_cluster = MANY;
        config.max_pending_dials = MANY;
    })
    .await;
    let agent = world
        .agent_with("c1", |config| {
            config.max_connections = MANY;
            config.backlog = 1000;
        })
        .await;
    let listener = agent.listener().unwrap();
    let served = Arc::new(AtomicU64::new(0));
    let host = {
        let (network, served) = (world.network.clone(), Arc::clone(&served));
        world.spawn(async move {
            while let Ok(stream) = listener.accept().await {
                let served = Arc::clone(&served);
                network.spawn(async move {
                    while pass(&stream).await {}
                    served.fetch_add(1, Ordering::Relaxed);
                });
            }
        })
    };
    let gate = Arc::new(tokio::sync::Barrier::new(MANY as usize));
    let users: Vec<_> = (0..MANY)
        .map(|n| {
            let (hub, gate) = (world.hub.clone(), Arc::clone(&gate));
            world.spawn(async move {
                let user = hub.dial("c1", None, None).await.unwrap();
                gate.wait().await;
                let text: Vec<u8> = (0..100).flat_map(|_| n.to_be_bytes()).collect();
                say(&user, &text).await;
                user.shutdown(Shutdown::Write).unwrap();
                assert!(rest(&user).await.unwrap() == text, "each hears what it said itself");
            })
        })
        .collect();
    for user in users {
        user.await.unwrap();
    }
    let deadline = now() + Duration::from_secs(60);
    while world.hub.stats().active > 0 || agent.stats().active > 0 {
        assert!(now() < deadline, "{:?}", agent.stats());
        tokio::task::yield_now().await;
    }
    assert_eq!(served.load(Ordering::Relaxed), u64::from(MANY));
    assert_eq!((agent.stats().opened, agent.stats().links_opened), (u64::from(MANY), 1));
    assert_eq!(world.hub.drain(None).await.cut, 0);
    host.abort();
}

async fn connections_that_are_made_and_dropped_by_thousands_leave_nothing_behind() {
    let world = World::new().await;
    let agent = world.agent("c1").await;
    let listener = agent.listener().unwrap();
    for n in 0..3000_u32 {
        let user = world.dial("c1").await;
        let served = listener.accept().await.unwrap();
        match n % 4 {
            0 => drop(user),
            1 => user.abort(crate::context::CloseReason::Local),
            2 => say(&served, &[1; 100_000]).await,
            _ => drop(served),
        }
    }
    until(|| agent.stats().active == 0 && world.hub.stats().active == 0).await;
    assert_eq!(agent.stats().links_opened, 1, "the link was never lost");
    let snapshot = world.network.metrics().snapshot();
    let tunnels = snapshot.total("trunkline_connections_active", &[("protocol", "tunnel")]);
    assert_eq!(tunnels, 0);
    agent.close().await;
    world.hub.close().await;
    let snapshot = world.network.metrics().snapshot();
    assert_eq!(snapshot.total("trunkline_connections_active", &[]), 0);
}
