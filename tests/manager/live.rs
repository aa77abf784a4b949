//! The connections that stand: listed by page, looked at one by one, and ended by number.

use super::*;
use std::collections::BTreeSet;
use trunkline_core::{
    CloseReason, LiveState, LiveTcpConnection, config::Config, manager::ConnectionManager,
};

fn only(manager: &TcpConnectionManager) -> LiveTcpConnection {
    let live = manager.live(0, 10);
    assert_eq!(live.len(), 1, "{live:?}");
    live[0].clone()
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_relayed_connection_says_where_it_goes_and_what_it_carried() {
    let network = network();
    let document = r#"{
        "listeners": {"in": {"address": "tcp://127.0.0.1:0",
            "proxy_protocol": {"mode": "optional", "trusted": ["127.0.0.0/8"], "timeout": "1h"}}},
        "routes": [{"host": "a.example", "backend": "a"}],
        "backends": {"a": {"endpoints": [{"address": "mem:live-a"}]}}
    }"#;
    let config = TcpManagerConfig::from_json(document).unwrap();
    let manager = TcpConnectionManager::new(network.clone(), config).unwrap();
    let bound = manager.start().await.unwrap()["in"].clone();
    let server = network.listen(&"mem:live-a".parse().unwrap()).await.unwrap();
    let client = network.connect(&bound, None).await.unwrap();
    until(|| manager.stats().active == 1).await;
    let early = only(&manager);
    assert_eq!((early.state, early.idle), (LiveState::Reaching, None));
    assert_eq!(
        (early.source.as_ref(), early.local.as_ref()),
        (client.context().local(), Some(&bound))
    );
    assert_eq!((early.destination, early.backend, early.protocol), (None, None, None));

    let request = b"GET / HTTP/1.1\r\nHost: a.example\r\n\r\n";
    client.write_all(b"PROXY TCP4 192.0.2.7 198.51.100.1 4711 443\r\n").await.unwrap();
    client.write_all(request).await.unwrap();
    let behind = server.accept().await.unwrap();
    assert_eq!(read_exactly(&behind, request.len()).await, request);
    behind.write_all(b"answer").await.unwrap();
    assert_eq!(read_exactly(&client, 6).await, b"answer");
    until(|| only(&manager).bytes_sent == 6).await;
    let late = only(&manager);
    assert_eq!((late.id, late.state), (early.id, LiveState::Relaying));
    assert_eq!(late.source.unwrap().to_string(), "tcp://192.0.2.7:4711");
    assert_eq!(late.local.unwrap().to_string(), "tcp://198.51.100.1:443");
    assert_eq!(late.destination.unwrap().to_string(), "mem:live-a");
    assert_eq!((late.backend.as_deref(), late.protocol), (Some("a"), Some("http1")));
    assert_eq!(late.bytes_received, (44 + request.len()) as u64);
    assert!(late.age >= early.age && late.idle.unwrap() <= late.age);
    assert_eq!(manager.inspect(late.id.get()).unwrap().id, late.id);
    assert_eq!(manager.inspect(0), None);
    assert_eq!(manager.inspect(u64::MAX), None);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn idle_counts_from_the_last_byte_either_way() {
    let network = network();
    let manager = manager(&network);
    let to = echo_server(&network, &loopback()).await;
    let bound = manager.relay(&loopback(), to).await.unwrap();
    let client = network.connect(&bound, None).await.unwrap();
    client.write_all(b"x").await.unwrap();
    read_exactly(&client, 1).await;
    let idle = || only(&manager).idle.unwrap_or_default();
    until(|| idle() > std::time::Duration::from_millis(5)).await;
    let before = only(&manager);
    client.write_all(b"y").await.unwrap();
    read_exactly(&client, 1).await;
    let after = only(&manager);
    let since = after.age - before.age;
    assert!(after.idle.unwrap() <= since, "{:?} of {since:?}", after.idle);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn pages_show_each_connection_once_in_the_order_in_which_they_began() {
    let network = network();
    let manager = manager(&network);
    let listener = network.listen(&"mem:paged".parse().unwrap()).await.unwrap();
    let mut held = Vec::new();
    for _ in 0..25 {
        held.push(manager.connect(listener.address(), None).await.unwrap());
    }
    let mut seen = Vec::new();
    let mut sizes = Vec::new();
    loop {
        let page = manager.live(seen.last().copied().unwrap_or(0), 10);
        sizes.push(page.len());
        seen.extend(page.iter().map(|one| one.id.get()));
        assert!(page.iter().all(|one| one.state == LiveState::Held && one.idle.is_none()));
        if page.len() < 10 {
            break;
        }
    }
    let expected: Vec<_> = held.iter().map(|stream| stream.context().id.get()).collect();
    assert_eq!((seen, sizes), (expected, vec![10, 10, 5]));
    assert!(manager.live(0, 0).is_empty());
    let first = only_destination(&manager.live(0, 1));
    assert_eq!(first.as_deref(), Some("mem:paged"));
}

fn only_destination(page: &[LiveTcpConnection]) -> Option<String> {
    page[0].destination.as_ref().map(ToString::to_string)
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_killed_connection_ends_on_both_sides_and_no_other_does() {
    let network = network();
    let manager = manager(&network);
    let listener = network.listen(&loopback()).await.unwrap();
    let bound = manager.relay(&loopback(), listener.address().clone()).await.unwrap();
    let mut pairs = Vec::new();
    for _ in 0..3 {
        let client = network.connect(&bound, None).await.unwrap();
        let server = listener.accept().await.unwrap();
        client.write_all(b"hello").await.unwrap();
        read_exactly(&server, 5).await;
        let live = manager.live(0, 10);
        pairs.push((live.last().unwrap().id.get(), client, server));
    }
    let (id, client, server) = pairs.remove(1);
    assert!(manager.kill(id));
    for stream in [&client, &server] {
        let (rest, end) = read_all(stream).await;
        assert!(rest.is_empty() && end.is_ok(), "nothing is owed: closed in order: {end:?}");
    }
    until(|| manager.stats().active == 2).await;
    assert!(!manager.kill(id) && manager.inspect(id).is_none());
    assert_eq!(manager.stats().closed_because(CloseReason::Killed), 1);
    for (_, client, server) in &pairs {
        client.write_all(b"still").await.unwrap();
        assert_eq!(read_exactly(server, 5).await, b"still");
    }
    let left: BTreeSet<_> = manager.live(0, 10).iter().map(|one| one.id.get()).collect();
    assert_eq!(left, pairs.iter().map(|pair| pair.0).collect());
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn who_is_owed_bytes_sees_a_reset_when_its_connection_is_killed() {
    let network = network();
    let manager = manager(&network);
    let listener = network.listen(&"mem:owed".parse().unwrap()).await.unwrap();
    let bound = manager.relay(&loopback(), listener.address().clone()).await.unwrap();
    let client = network.connect(&bound, None).await.unwrap();
    let server = listener.accept().await.unwrap();
    // More than a pipe in memory holds, so that the relay has the rest.
    client.write_all(&bytes(100_000)).await.unwrap();
    until(|| manager.stats().bytes_received > 65_536).await;
    assert!(manager.kill(only(&manager).id.get()));
    until(|| manager.stats().active == 0).await;
    let (_, end) = read_all(&server).await;
    assert!(matches!(end, Err(ConnectionError::Broken { .. })), "{end:?}");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn one_that_is_still_on_its_way_is_killed_at_once() {
    let network = network();
    let manager = manager(&network);
    let (hole, _filler) = hole(&network).await;
    let bound = manager.relay(&loopback(), hole.address().clone()).await.unwrap();
    let client = network.connect(&bound, None).await.unwrap();
    until(|| manager.stats().active == 1).await;
    let one = only(&manager);
    assert_eq!(one.state, LiveState::Reaching);
    assert!(manager.kill(one.id.get()));
    let _ = read_all(&client).await;
    until(|| manager.stats().active == 0).await;
    assert_eq!(manager.stats().closed_because(CloseReason::Killed), 1);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn what_the_program_holds_or_handles_itself_is_listed_and_killed_too() {
    let network = network();
    let manager = manager(&network);
    let to = echo_server(&network, &loopback()).await;
    let held = manager.connect(&to, None).await.unwrap();
    let one = only(&manager);
    assert_eq!((one.state, one.destination.as_ref()), (LiveState::Held, Some(&to)));
    assert!(manager.kill(one.id.get()));
    assert!(held.is_closed());

    let listener = manager.listen(&loopback()).await.unwrap();
    let client = network.connect(listener.address(), None).await.unwrap();
    let accepted = listener.accept().await.unwrap();
    assert_eq!((only(&manager).state, only(&manager).destination), (LiveState::Held, None));
    let source = client.context().source.clone().unwrap();
    let connection = manager.create_connection(source, to.clone(), accepted.into()).await.unwrap();
    assert_eq!(only(&manager).state, LiveState::Held);
    assert_eq!(only(&manager).destination.as_ref(), Some(&to));
    let handled = {
        let manager = manager.clone();
        tokio::spawn(async move { manager.handle_connection(connection).await })
    };
    client.write_all(b"x").await.unwrap();
    read_exactly(&client, 1).await;
    assert_eq!(only(&manager).state, LiveState::Relaying);
    assert!(manager.kill(only(&manager).id.get()));
    let error = handled.await.unwrap().unwrap_err();
    assert!(matches!(error, ConnectionError::Closed { .. }), "{error:?}");
    assert_eq!(manager.stats().closed_because(CloseReason::Killed), 2);
    assert!(manager.live(0, 10).is_empty());
}
