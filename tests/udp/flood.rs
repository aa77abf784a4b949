//! What a flood of sources may not do: exceed the caps, displace the verified, or be answered with more than it sent.

use super::*;
use trunkline_core::{CloseReason, ConnectionManager, DropReason, events::EventKind};

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_flood_of_sources_stays_within_both_caps_and_displaces_no_verified_session() {
    let network = network();
    let config = UdpManagerConfig {
        max_sessions: 8,
        max_unverified: 4,
        unverified_timeout: TimeLimit::Never,
        ..Default::default()
    };
    let manager = manager(&network, config);
    let to = relay(&manager, &echo(&network, 1).await).await;
    let regular = Client::of(to).await;
    regular.ask(b"1").await;
    regular.ask(b"2").await;

    let mut flood = Vec::new();
    for number in 0..40_u64 {
        let client = Client::of(to).await;
        client.send(b"x").await;
        until(|| manager.stats().opened == number + 2).await;
        let stats = manager.stats();
        assert!(stats.active <= 8 && stats.unverified <= 4, "{stats:?}");
        flood.push(client);
    }
    let stats = manager.stats();
    assert_eq!((stats.verified, stats.unverified), (1, 4));
    assert_eq!(stats.closed_because(CloseReason::Evicted), 36);
    assert_eq!(regular.ask(b"still here").await, b"still here");
    assert_eq!(manager.stats().opened, 41, "by the same session");
    assert!(manager.can_accept_connection());

    // Those used least recently went first.
    let live: Vec<_> = manager.live().iter().map(|one| socket_addr(&one.source)).collect();
    let kept: Vec<_> = flood[36..].iter().map(Client::address).collect();
    assert_eq!(live[1..], kept);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_table_full_of_verified_sessions_lets_no_new_source_in_and_says_so_once() {
    let network = network();
    let manager = manager(&network, UdpManagerConfig { max_sessions: 2, ..Default::default() });
    let to = relay(&manager, &echo(&network, 1).await).await;
    let regulars = [Client::of(to).await, Client::of(to).await];
    for client in &regulars {
        client.ask(b"1").await;
        client.ask(b"2").await;
    }
    assert!(!manager.can_accept_connection());
    let late = Client::of(to).await;
    for _ in 0..5 {
        late.send(b"x").await;
    }
    until(|| manager.stats().dropped_because(DropReason::SessionTableFull) == 5).await;
    assert_eq!((manager.stats().active, manager.stats().opened), (2, 2));
    let events = network.events().drain(usize::MAX).events;
    let told = |kind: &EventKind| matches!(kind, EventKind::LimitReached { limit: 2 });
    assert_eq!(events.iter().filter(|event| told(&event.kind)).count(), 1);

    manager.kill(manager.live()[0].id.get()).unwrap();
    assert_eq!(late.ask(b"now").await, b"now");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn an_unverified_source_gets_no_more_than_the_limit_and_a_verified_one_everything() {
    let network = network();
    let manager = manager(&network, UdpManagerConfig::default());
    let to = relay(&manager, &echo(&network, 10).await).await;
    let client = Client::of(to).await;
    client.send(&[1; 100]).await;
    until(|| manager.stats().dropped_because(DropReason::Amplification) == 7).await;
    let stats = manager.stats();
    assert_eq!((stats.unverified, stats.bytes_sent), (1, 300));
    for _ in 0..3 {
        assert_eq!(client.receive().await, [1; 100]);
    }
    client.send(&[2; 100]).await;
    for _ in 0..10 {
        assert_eq!(client.receive().await, [2; 100]);
    }
    let stats = manager.stats();
    assert_eq!((stats.verified, stats.dropped()), (1, 7));
}
