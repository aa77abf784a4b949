//! Another configuration takes hold while connections stand, and none of them notices.

use super::*;
use std::time::Duration;
use trunkline_core::{
    CloseReason,
    config::{Config, TimeLimit},
    manager::ConnectionManager,
};

/// Says its name to whoever connects, then gives every byte back.
async fn named(network: &Network, name: &'static str) {
    serve(network, &format!("mem:{name}").parse().unwrap(), move |stream| async move {
        if stream.write_all(name.as_bytes()).await.is_err() {
            return;
        }
        let mut chunk = [0; 4096];
        while let Ok(n @ 1..) = stream.read(&mut chunk).await {
            if stream.write_all(&chunk[..n]).await.is_err() {
                return;
            }
        }
    })
    .await;
}

fn config(text: &str) -> TcpManagerConfig {
    TcpManagerConfig::from_json(text).unwrap()
}

/// A document that leads all that comes to `in` to one name.
fn leading_to(name: &str, more: &str) -> TcpManagerConfig {
    config(&format!(
        r#"{{"listeners": {{"in": {{"address": "tcp://127.0.0.1:0"}}}}, "default_backend": "all",
            "backends": {{"all": {{"endpoints": [{{"address": "mem:{name}"}}]}}}}{more}}}"#
    ))
}

async fn greeted(network: &Network, address: &Address, name: &str) -> Stream {
    let client = network.connect(address, None).await.unwrap();
    assert_eq!(read_exactly(&client, name.len()).await, name.as_bytes());
    client
}

async fn still_answers(client: &Stream) {
    client.write_all(b"still there?").await.unwrap();
    assert_eq!(read_exactly(client, 12).await, b"still there?");
}

fn complaint(error: ConnectionError) -> String {
    match error {
        ConnectionError::InvalidConfig { field, .. } => field.into(),
        other => panic!("{other}"),
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn endpoints_and_routes_change_and_what_stands_stays() {
    let network = network();
    for name in ["one", "two", "three"] {
        named(&network, name).await;
    }
    let manager = TcpConnectionManager::new(network.clone(), leading_to("one", "")).unwrap();
    let address = manager.start().await.unwrap()["in"].clone();
    let first = greeted(&network, &address, "one").await;

    manager.reconfigure(leading_to("two", "")).unwrap();
    let second = greeted(&network, &address, "two").await;
    still_answers(&first).await;

    let routed = config(
        r#"{"listeners": {"in": {"address": "tcp://127.0.0.1:0", "default_backend": "b"}},
            "backends": {"b": {"endpoints": [{"address": "mem:three"}]}}}"#,
    );
    manager.reconfigure(routed.clone()).unwrap();
    assert_eq!(manager.config(), routed);
    let third = greeted(&network, &address, "three").await;
    for client in [&first, &second, &third] {
        still_answers(client).await;
    }
    let stats = manager.stats();
    assert_eq!((stats.opened, stats.active, stats.closed()), (3, 3, 0));
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn what_goes_to_an_endpoint_that_is_gone_ends_when_its_time_is_over() {
    let network = network();
    for name in ["left", "joined"] {
        named(&network, name).await;
    }
    let with = |name: &str| {
        let mut config = leading_to(name, "");
        let backend = config.backends.get_mut("all").unwrap();
        backend.removed_timeout = TimeLimit::secs(0);
        config
    };
    let manager = TcpConnectionManager::new(network.clone(), with("left")).unwrap();
    let address = manager.start().await.unwrap()["in"].clone();
    let left = greeted(&network, &address, "left").await;
    manager.reconfigure(with("joined")).unwrap();
    assert_eq!(read_all(&left).await.0, b"");
    until(|| manager.stats().closed_because(CloseReason::Drained) == 1).await;
    let joined = greeted(&network, &address, "joined").await;
    still_answers(&joined).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn times_hold_for_those_who_come_after() {
    let network = network();
    named(&network, "timed").await;
    let manager = TcpConnectionManager::new(network.clone(), leading_to("timed", "")).unwrap();
    let address = manager.start().await.unwrap()["in"].clone();
    let before = greeted(&network, &address, "timed").await;
    manager.reconfigure(leading_to("timed", r#", "idle_timeout": "20ms""#)).unwrap();
    let after = greeted(&network, &address, "timed").await;
    let (rest, end) = read_all(&after).await;
    assert!(rest.is_empty() && end.is_ok(), "{end:?}");
    until(|| manager.stats().closed_because(CloseReason::IdleTimeout) == 1).await;
    still_answers(&before).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_lower_limit_ends_nothing_and_a_higher_one_lets_those_in_who_wait() {
    let network = network();
    named(&network, "limited").await;
    let manager = TcpConnectionManager::new(network.clone(), leading_to("limited", "")).unwrap();
    let address = manager.start().await.unwrap()["in"].clone();
    let held = [
        greeted(&network, &address, "limited").await,
        greeted(&network, &address, "limited").await,
    ];
    manager.reconfigure(leading_to("limited", r#", "max_connections": 1"#)).unwrap();
    assert_eq!((manager.max_connections(), manager.stats().active), (1, 2));
    assert!(!manager.can_accept_connection());
    for client in &held {
        still_answers(client).await;
    }
    let refused = manager.connect(&"mem:limited".parse().unwrap(), None).await.unwrap_err();
    assert!(matches!(refused, ConnectionError::LimitExceeded { .. }), "{refused:?}");
    // It waits in the backlog.
    let waiting = network.connect(&address, None).await.unwrap();
    manager.reconfigure(leading_to("limited", r#", "max_connections": 3"#)).unwrap();
    assert_eq!(read_exactly(&waiting, 7).await, b"limited");
    assert_eq!(manager.stats().active, 3);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn what_is_wrong_or_cannot_change_is_named_and_nothing_changes() {
    let network = network();
    named(&network, "kept").await;
    let manager = TcpConnectionManager::new(network.clone(), leading_to("kept", "")).unwrap();
    let address = manager.start().await.unwrap()["in"].clone();
    let before = manager.config();
    let moved = config(r#"{"listeners": {"in": {"address": "mem:elsewhere"}}}"#);
    assert_eq!(complaint(manager.reconfigure(moved).unwrap_err()), "listeners.in.address");
    let wrong = TcpManagerConfig { max_connections: 0, ..leading_to("kept", "") };
    assert_eq!(complaint(manager.reconfigure(wrong).unwrap_err()), "max_connections");
    let mut back = leading_to("kept", "");
    back.backends.get_mut("all").unwrap().endpoints[0].address = address.clone();
    assert_eq!(complaint(manager.reconfigure(back).unwrap_err()), "destination");
    assert_eq!(manager.config(), before);
    greeted(&network, &address, "kept").await;

    manager.close().await;
    let closed = manager.reconfigure(before).unwrap_err();
    assert!(matches!(closed, ConnectionError::Closed { .. }), "{closed:?}");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_larger_backlog_lets_those_connect_who_wait_for_a_place_in_it() {
    let network = network();
    let limited = |backlog: u32| {
        config(&format!(r#"{{"max_connections": 1, "tcp": {{"backlog": {backlog}}}}}"#))
    };
    let manager = TcpConnectionManager::new(network.clone(), limited(1)).unwrap();
    let listener = manager.listen(&"mem:backlog".parse().unwrap()).await.unwrap();
    let connect = || {
        let (network, address) = (network.clone(), listener.address().clone());
        async move { network.connect(&address, None).await.unwrap() }
    };
    let _stands = connect().await;
    let mut waits = std::pin::pin!(connect());
    tokio::select! {
        biased;
        _ = &mut waits => panic!("the backlog has one place"),
        () = tokio::task::yield_now() => {}
    }
    manager.reconfigure(limited(2)).unwrap();
    let _stands_too = waits.await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn checks_begin_and_end_with_the_configuration_that_wants_them() {
    let network = network();
    let listener = network.listen(&"mem:checked".parse().unwrap()).await.unwrap();
    let checked = r#", "max_connections": 5"#;
    let manager = TcpConnectionManager::new(network.clone(), leading_to("checked", "")).unwrap();
    manager.start().await.unwrap();
    let mut with = leading_to("checked", checked);
    let health = trunkline_core::HealthConfig {
        interval: Duration::from_millis(1),
        ..trunkline_core::HealthConfig::default()
    };
    with.backends.get_mut("all").unwrap().health = Some(health);
    for _ in 0..3 {
        manager.reconfigure(with.clone()).unwrap();
        // Nobody else connects there.
        drop(listener.accept().await.unwrap());
        drop(listener.accept().await.unwrap());
        manager.reconfigure(leading_to("checked", "")).unwrap();
    }
    // Whoever still checks ends with its round: the manager's loops are few, and close waits for all of them.
    manager.close().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn no_client_is_refused_while_configurations_follow_each_other() {
    let network = network();
    named(&network, "red").await;
    named(&network, "blu").await;
    let manager = TcpConnectionManager::new(network.clone(), leading_to("red", "")).unwrap();
    let address = manager.start().await.unwrap()["in"].clone();
    let changer = {
        let manager = manager.clone();
        tokio::spawn(async move {
            for round in 0..200 {
                let name = if round % 2 == 0 { "blu" } else { "red" };
                manager.reconfigure(leading_to(name, "")).unwrap();
                tokio::task::yield_now().await;
            }
        })
    };
    for _ in 0..100 {
        let client = network.connect(&address, None).await.unwrap();
        let greeting = read_exactly(&client, 3).await;
        assert!(greeting == b"red" || greeting == b"blu", "{greeting:?}");
        still_answers(&client).await;
    }
    changer.await.unwrap();
    until(|| manager.stats().active == 0).await;
    let stats = manager.stats();
    assert_eq!((stats.opened, stats.closed()), (100, 100));
    assert_eq!(stats.closed_because(CloseReason::ConnectFailed), 0);
}
