//! How a manager of sessions ends: gently, at once, or by being dropped.

use super::*;
use std::time::Instant;
use trunkline_core::{CloseReason, ConnectionError, DropReason, UdpCase};

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_drain_lets_no_new_source_in_serves_the_others_and_cuts_the_rest_at_its_deadline() {
    let network = network();
    let manager = manager(&network, UdpManagerConfig::default());
    let to = relay(&manager, &echo(&network, 1).await).await;
    let clients = [Client::of(to).await, Client::of(to).await];
    for client in &clients {
        client.ask(b"x").await;
    }
    let late = Client::of(to).await;
    let deadline = Instant::now() + Duration::from_millis(1500);
    let (report, ()) = tokio::join!(manager.drain(Some(deadline)), async {
        late.send(b"late").await;
        until(|| manager.stats().dropped_because(DropReason::Draining) == 1).await;
        assert_eq!(clients[0].ask(b"still").await, b"still");
        manager.kill(manager.live()[0].id.get()).unwrap();
    });
    assert_eq!((report.finished, report.cut), (1, 1));
    let stats = manager.stats();
    assert_eq!((stats.active, stats.opened), (0, 2));
    assert_eq!(stats.closed_because(CloseReason::Drained), 1);
    let error = manager.bind(&loopback()).await.unwrap_err();
    assert!(matches!(error, ConnectionError::Closed { .. }), "{error:?}");
    network.bind(&Address::Udp(to)).await.expect("the port is free");
    assert_eq!(manager.drain(None).await, Default::default());
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn closing_is_idempotent_ends_what_was_given_away_and_leaves_every_gauge_at_zero() {
    let network = network();
    let manager = manager(&network, UdpManagerConfig::default());
    let to = echo(&network, 1).await;
    let bound = relay(&manager, &to).await;
    let own = manager.bind(&loopback()).await.unwrap();
    let clients = [Client::of(bound).await, Client::of(bound).await];
    for client in &clients {
        client.ask(b"x").await;
    }
    tokio::join!(manager.close(), manager.close());
    manager.close().await;
    assert!(own.is_closed());
    let stats = manager.stats();
    assert_eq!((stats.active, stats.closed_because(CloseReason::Local)), (0, 2));
    let snapshot = network.metrics().snapshot();
    let total = |name| snapshot.total(name, &[("protocol", "udp")]);
    assert_eq!(total("trunkline_connections_active"), 0);
    assert_eq!(total("trunkline_connections_opened_total"), 4);
    assert_eq!(total("trunkline_connections_closed_total"), 4);
    network.bind(&Address::Udp(bound)).await.expect("the port is free");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn dropping_the_last_handle_ends_relays_and_sessions_and_leaves_given_sockets_alone() {
    let network = network();
    let manager = manager(&network, UdpManagerConfig::default());
    let bound = relay(&manager, &echo(&network, 1).await).await;
    let own = manager.bind(&loopback()).await.unwrap();
    Client::of(bound).await.ask(b"x").await;
    drop(manager.clone());
    Client::of(bound).await.ask(b"a clone is the manager").await;
    drop(manager);
    let labels = [("direction", "accepted"), ("reason", "cancelled")];
    let ended =
        || network.metrics().snapshot().total("trunkline_connections_closed_total", &labels) == 2;
    until(ended).await;
    let at = socket_addr(own.address());
    own.send_to(b"self", at, None).await.unwrap();
    assert_eq!(receive(&own).await, (b"self".to_vec(), at));
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_session_is_killed_by_its_number_and_its_client_begins_a_new_one() {
    let network = network();
    let manager = manager(&network, UdpManagerConfig::default());
    let client = Client::of(relay(&manager, &echo(&network, 1).await).await).await;
    client.ask(b"x").await;
    client.ask(b"y").await;
    let id = manager.live()[0].id.get();
    manager.kill(id).unwrap();
    assert!(manager.live().is_empty());
    for gone in [id, 0, u64::MAX] {
        let error = manager.kill(gone).unwrap_err();
        assert!(
            matches!(error, ConnectionError::Udp { case: UdpCase::NoSession, .. }),
            "{error:?}"
        );
    }
    assert_eq!(client.ask(b"z").await, b"z");
    let live = manager.live();
    assert_ne!(live[0].id.get(), id);
    assert!(!live[0].verified, "trust ends with the session");
    assert_eq!(manager.stats().closed_because(CloseReason::Killed), 1);
}
