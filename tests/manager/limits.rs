//! The limits within the manager's: of a listener, of the network that clients come from, of a backend with its line.

use super::*;
use trunkline_core::{CloseReason, LiveState, config::Config};

/// A manager of a document, started.
async fn started(network: &Network, document: &str) -> (TcpConnectionManager, Address) {
    let config = TcpManagerConfig::from_json(document).unwrap();
    let manager = TcpConnectionManager::new(network.clone(), config).unwrap();
    let bound = manager.start().await.unwrap();
    (manager, bound["in"].clone())
}

/// A document that leads all that comes to `in` to `mem:name`, with `more` keys of that backend.
fn leading_to(name: &str, more: &str) -> String {
    format!(
        r#"{{"listeners": {{"in": {{"address": "tcp://127.0.0.1:0"}}}}, "default_backend": "all",
            "backends": {{"all": {{"endpoints": [{{"address": "mem:{name}"}}]{more}}}}}}}"#
    )
}

async fn listening(network: &Network, name: &str) -> Listener {
    network.listen(&format!("mem:{name}").parse().unwrap()).await.unwrap()
}

/// A client that has said who it is. Its server's side is the next that says the same.
async fn client(network: &Network, address: &Address, name: &[u8]) -> Stream {
    let client = network.connect(address, None).await.unwrap();
    client.write_all(name).await.unwrap();
    client
}

async fn served(listener: &Listener, name: &[u8]) -> Stream {
    let server = listener.accept().await.unwrap();
    assert_eq!(read_exactly(&server, name.len()).await, name);
    server
}

/// Waits until a client that is turned away hears so: whatever comes first of a connect, a write and a read.
async fn turned_away(network: &Network, address: &Address, first: &[u8]) {
    let Ok(client) = network.connect(address, None).await else { return };
    let said = client.write_all(first).await;
    let (_, end) = read_all(&client).await;
    assert!(said.is_err() || end.is_err(), "it ended in order");
}

fn closed(manager: &TcpConnectionManager, reason: CloseReason) -> u64 {
    manager.stats().closed_because(reason)
}

fn waiting(manager: &TcpConnectionManager) -> usize {
    let all = manager.live(0, 100);
    all.iter().filter(|one| one.state == LiveState::Waiting).count()
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_listener_that_is_full_makes_its_clients_wait_and_no_other_ones() {
    let network = network();
    let behind = listening(&network, "full-listener").await;
    let document = |limit: u32| {
        format!(
            r#"{{"listeners": {{
                "in": {{"address": "tcp://127.0.0.1:0", "max_connections": {limit}}},
                "other": {{"address": "mem:other-listener"}}}},
            "default_backend": "all", "backends": {{"all": {{"endpoints": [{{"address": "mem:full-listener"}}]}}}}}}"#
        )
    };
    let (manager, address) = started(&network, &document(1)).await;
    let first = client(&network, &address, b"first").await;
    let first_server = served(&behind, b"first").await;
    let second = client(&network, &address, b"second").await;
    let other = client(&network, &"mem:other-listener".parse().unwrap(), b"other").await;
    // The second waits in the backlog, and would have been first.
    let _other_server = served(&behind, b"other").await;
    assert_eq!(manager.stats().active, 2);
    drop((first, first_server));
    let _second_server = served(&behind, b"second").await;

    let third = client(&network, &address, b"third").await;
    manager.reconfigure(TcpManagerConfig::from_json(&document(2)).unwrap()).unwrap();
    let _third_server = served(&behind, b"third").await;
    assert_eq!(manager.stats().active, 3);
    drop((second, third, other));
    manager.close().await;
}

const BY_NETWORK: &str = r#"{
    "listeners": {"in": {"address": "tcp://127.0.0.1:0", "proxy_protocol": {
        "mode": "optional", "trusted": ["127.0.0.0/8"], "timeout": "1h"}}},
    "per_source": {"max_connections": 1, "ipv4_prefix": 24, "max_networks": 2},
    "default_backend": "all", "backends": {"all": {"endpoints": [{"address": "mem:by-network"}]}}
}"#;

fn from(source: &str, said: &str) -> Vec<u8> {
    format!("PROXY TCP4 {source} 198.51.100.1 4711 443\r\n{said}").into_bytes()
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_network_that_has_what_it_may_is_refused_and_others_are_not() {
    let network = network();
    let behind = listening(&network, "by-network").await;
    let (manager, address) = started(&network, BY_NETWORK).await;
    let first = client(&network, &address, &from("192.0.2.1", "first")).await;
    let first_server = served(&behind, b"first").await;
    turned_away(&network, &address, &from("192.0.2.200", "same network")).await;
    let other = client(&network, &address, &from("192.0.3.1", "other")).await;
    let _other_server = served(&behind, b"other").await;
    until(|| closed(&manager, CloseReason::SourceLimit) == 1).await;
    // A third network has no room in the table.
    turned_away(&network, &address, &from("192.0.4.1", "a third")).await;
    until(|| closed(&manager, CloseReason::SourceLimit) == 2).await;
    let label = [("reason", "source_limit")];
    let refused = network.metrics().snapshot().total("trunkline_connections_closed_total", &label);
    assert_eq!(refused, 2);

    drop((first, first_server));
    until(|| manager.stats().active == 1).await;
    let again = client(&network, &address, &from("192.0.2.2", "again")).await;
    let _again_server = served(&behind, b"again").await;

    let config = |text: &str| TcpManagerConfig::from_json(text).unwrap();
    manager.reconfigure(config(&BY_NETWORK.replace(r#"s": 1"#, r#"s": 2"#))).unwrap();
    let more = client(&network, &address, &from("192.0.2.3", "more")).await;
    let _more_server = served(&behind, b"more").await;
    let admitting =
        BY_NETWORK.replace(r#""max_networks""#, r#""when_full": "admit", "max_networks""#);
    manager.reconfigure(config(&admitting)).unwrap();
    let third = client(&network, &address, &from("192.0.4.1", "third")).await;
    let _third_server = served(&behind, b"third").await;
    drop((other, again, more, third));
    manager.close().await;
}

/// On one thread, so that the task of the first has run before that of the second.
#[tokio::test]
async fn who_may_not_speak_for_others_is_counted_before_a_byte_is_read() {
    let network = network();
    let behind = listening(&network, "by-network").await;
    let stranger = BY_NETWORK.replace("127.0.0.0/8", "192.0.2.0/24");
    let (manager, address) = started(&network, &stranger).await;
    // Says nothing, and holds the one place of its network.
    let silent = network.connect(&address, None).await.unwrap();
    until(|| manager.stats().active == 1).await;
    turned_away(&network, &address, b"").await;
    until(|| closed(&manager, CloseReason::SourceLimit) == 1).await;
    assert!(manager.kill(manager.live(0, 1)[0].id.get()));
    until(|| manager.stats().active == 0).await;
    drop(silent);

    // A relay without a document has the limit as well.
    let to = "mem:by-network".parse().unwrap();
    let relayed = manager.relay(&loopback(), to).await.unwrap();
    let first = client(&network, &relayed, b"first").await;
    let _first_server = served(&behind, b"first").await;
    turned_away(&network, &relayed, b"").await;
    until(|| closed(&manager, CloseReason::SourceLimit) == 2).await;
    drop(first);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn whose_backend_is_full_waits_in_line_and_is_served_in_turn() {
    let network = network();
    let behind = listening(&network, "in-line").await;
    let document = leading_to("in-line", r#", "max_connections": 1, "queue": {"timeout": "1h"}"#);
    let (manager, address) = started(&network, &document).await;
    let first = client(&network, &address, b"first").await;
    let first_server = served(&behind, b"first").await;
    let second = client(&network, &address, b"second").await;
    until(|| waiting(&manager) == 1).await;
    let third = client(&network, &address, b"third").await;
    until(|| waiting(&manager) == 2).await;
    let stats = manager.stats();
    assert_eq!((stats.active, stats.waiting), (3, 2));
    let one = manager.live(0, 100).into_iter().find(|one| one.state == LiveState::Waiting).unwrap();
    assert_eq!((one.backend.as_deref(), one.destination), (Some("all"), None));
    let gauge = || network.metrics().snapshot().total("trunkline_backend_waiting", &[]);
    assert_eq!(gauge(), 2);

    drop((first, first_server));
    let second_server = served(&behind, b"second").await;
    assert_eq!(waiting(&manager), 1);
    drop((second, second_server));
    let third_server = served(&behind, b"third").await;
    drop((third, third_server));
    until(|| manager.stats().active == 0).await;
    assert_eq!((gauge(), manager.stats().waiting), (0, 0));
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_line_that_is_full_or_too_slow_turns_clients_away_for_reasons_of_their_own() {
    let network = network();
    let behind = listening(&network, "no-line").await;
    let more = |queue: &str| {
        leading_to("no-line", &format!(r#", "max_connections": 1, "queue": {queue}"#))
    };
    let (manager, address) = started(&network, &more(r#"{"max_waiting": 0}"#)).await;
    let first = client(&network, &address, b"first").await;
    let _first_server = served(&behind, b"first").await;
    turned_away(&network, &address, b"no room").await;
    until(|| closed(&manager, CloseReason::BackendFull) == 1).await;

    let config = |text: &str| TcpManagerConfig::from_json(text).unwrap();
    manager.reconfigure(config(&more(r#"{"timeout": "1ms"}"#))).unwrap();
    turned_away(&network, &address, b"too late").await;
    until(|| closed(&manager, CloseReason::QueueTimeout) == 1).await;
    assert_eq!(closed(&manager, CloseReason::Refused), 0);
    drop(first);
    manager.close().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_wait_ends_with_a_kill_a_higher_limit_or_a_drain() {
    let network = network();
    let behind = listening(&network, "ending").await;
    let more = |limit: u32| {
        leading_to(
            "ending",
            &format!(r#", "max_connections": {limit}, "queue": {{"timeout": "never"}}"#),
        )
    };
    let (manager, address) = started(&network, &more(1)).await;
    let first = client(&network, &address, b"first").await;
    let first_server = served(&behind, b"first").await;

    let killed = client(&network, &address, b"killed").await;
    until(|| waiting(&manager) == 1).await;
    let all = manager.live(0, 100);
    let one = all.iter().find(|one| one.state == LiveState::Waiting).unwrap();
    assert!(manager.kill(one.id.get()));
    assert!(read_all(&killed).await.1.is_err(), "an end would read as an answer");
    until(|| closed(&manager, CloseReason::Killed) == 1 && waiting(&manager) == 0).await;

    let second = client(&network, &address, b"second").await;
    until(|| waiting(&manager) == 1).await;
    manager.reconfigure(TcpManagerConfig::from_json(&more(2)).unwrap()).unwrap();
    let second_server = served(&behind, b"second").await;

    let third = client(&network, &address, b"third").await;
    until(|| waiting(&manager) == 1).await;
    let draining = tokio::spawn({
        let manager = manager.clone();
        async move { manager.drain(None).await }
    });
    let (_, end) = read_all(&third).await;
    assert!(end.is_err(), "it had said something that nobody heard");
    until(|| closed(&manager, CloseReason::Drained) == 1).await;
    // Those that stand finish.
    first.write_all(b"still").await.unwrap();
    assert_eq!(read_exactly(&first_server, 5).await, b"still");
    drop((first, first_server, second, second_server));
    let report = draining.await.unwrap();
    assert_eq!((report.finished, report.cut), (2, 1));
}
