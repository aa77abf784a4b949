//! What a started manager does with each client: header, probe, route, backend.

use super::*;
use std::time::Duration;
use trunkline_core::{
    CloseReason, ProxyAddresses, ProxyHeader, ProxyTlv, ProxyVersion, config::Config,
    proxy_protocol::Decoded,
};

/// A manager of a document in which `ADDRESS` stands for a free port of the loopback.
async fn started(network: &Network, document: &str) -> (TcpConnectionManager, Address) {
    let document = document.replace("ADDRESS", "tcp://127.0.0.1:0");
    let config = TcpManagerConfig::from_json(&document).unwrap();
    let manager = TcpConnectionManager::new(network.clone(), config).unwrap();
    let bound = manager.start().await.unwrap();
    assert_eq!(manager.listener_address("in"), bound.get("in").cloned());
    (manager, bound["in"].clone())
}

/// Says its name, then gives every byte back.
async fn named(network: &Network, name: &'static str) {
    let address = format!("mem:{name}").parse().unwrap();
    serve(network, &address, move |stream| async move {
        stream.write_all(name.as_bytes()).await.unwrap();
        let mut chunk = [0; 4096];
        while let Ok(n @ 1..) = stream.read(&mut chunk).await {
            if stream.write_all(&chunk[..n]).await.is_err() {
                return;
            }
        }
    })
    .await;
}

/// Says `first`, and checks that `name` answers and echoes it.
async fn goes_to(network: &Network, address: &Address, first: &[u8], name: &str) {
    let client = network.connect(address, None).await.unwrap();
    client.write_all(first).await.unwrap();
    assert_eq!(read_exactly(&client, name.len()).await, name.as_bytes());
    assert_eq!(read_exactly(&client, first.len()).await, first);
}

async fn is_turned_away(network: &Network, address: &Address, first: &[u8]) {
    // The reset is seen by whichever comes next: it may be there before the connect has set its options.
    let Ok(client) = network.connect(address, None).await else { return };
    let said = client.write_all(first).await;
    let (_, end) = read_all(&client).await;
    assert!(said.is_err() || end.is_err());
}

/// A ClientHello for `name`, in a single record.
fn hello(name: &str) -> Vec<u8> {
    let long = |bytes: &[u8]| [&(bytes.len() as u16).to_be_bytes()[..], bytes].concat();
    let names = long(&[&[0][..], &long(name.as_bytes())].concat());
    let extensions = [&[0, 0][..], &long(&names)].concat();
    let body =
        [&[3, 3][..], &[1; 32], &[0], &long(&[0x13, 1]), &[1, 0], &long(&extensions)].concat();
    let handshake = [&[1][..], &(body.len() as u32).to_be_bytes()[1..], &body].concat();
    [&[22, 3, 1][..], &long(&handshake)].concat()
}

const ROUTES: &str = r#"{
    "listeners": {"in": {"address": "ADDRESS", "probe": {"timeout": "50ms"}}},
    "routes": [
        {"host": "shop.example", "backend": "shop"},
        {"host": "*.shop.example", "backend": "below"},
        {"protocol": "ssh", "backend": "ssh"}
    ],
    "default_backend": "rest",
    "backends": {
        "shop": {"endpoints": [{"address": "mem:shop"}]},
        "below": {"endpoints": [{"address": "mem:below"}]},
        "ssh": {"endpoints": [{"address": "mem:ssh"}]},
        "rest": {"endpoints": [{"address": "mem:rest"}]}
    }
}"#;

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_client_goes_where_its_first_bytes_say_and_they_arrive() {
    let network = network();
    for name in ["shop", "below", "ssh", "rest"] {
        named(&network, name).await;
    }
    let (manager, address) = started(&network, ROUTES).await;
    goes_to(&network, &address, &hello("Shop.example"), "shop").await;
    goes_to(&network, &address, &hello("a.shop.example"), "below").await;
    goes_to(&network, &address, &hello("another.example"), "rest").await;
    goes_to(&network, &address, b"GET / HTTP/1.1\r\nHost: shop.example\r\n\r\n", "shop").await;
    goes_to(&network, &address, b"SSH-2.0-client\r\n", "ssh").await;
    goes_to(&network, &address, b"something else\r\n", "rest").await;
    manager.close().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_hello_that_comes_byte_by_byte_is_routed_like_a_whole_one() {
    let network = network();
    named(&network, "shop").await;
    let patient = ROUTES.replace("50ms", "1h");
    let (_manager, address) = started(&network, &patient).await;
    let client = network.connect(&address, None).await.unwrap();
    let hello = hello("shop.example");
    for byte in &hello {
        client.write_all(&[*byte]).await.unwrap();
        tokio::task::yield_now().await;
    }
    assert_eq!(read_exactly(&client, 4).await, b"shop");
    assert_eq!(read_exactly(&client, hello.len()).await, hello);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_client_that_waits_for_its_server_to_speak_gets_the_banner() {
    let network = network();
    named(&network, "rest").await;
    let (_manager, address) = started(&network, ROUTES).await;
    let silent = network.connect(&address, None).await.unwrap();
    assert_eq!(read_exactly(&silent, 4).await, b"rest");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_client_that_trickles_does_not_move_the_deadline_of_the_probe() {
    let network = network();
    named(&network, "rest").await;
    let (_manager, address) = started(&network, ROUTES).await;
    let client = Arc::new(network.connect(&address, None).await.unwrap());
    let writer = Arc::clone(&client);
    let trickle = tokio::spawn(async move {
        // The beginning of a hello that would take minutes.
        for byte in hello("shop.example").into_iter().cycle() {
            if writer.write_all(&[byte]).await.is_err() {
                return;
            }
            tokio::time::sleep(Duration::from_millis(5)).await;
        }
    });
    assert_eq!(read_exactly(&client, 4).await, b"rest");
    trickle.abort();
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn no_more_is_read_ahead_than_the_configuration_allows() {
    let network = network();
    named(&network, "rest").await;
    let document = ROUTES.replace(r#""timeout": "50ms""#, r#""timeout": "1h", "max_bytes": 64"#);
    let (_manager, address) = started(&network, &document).await;
    let mut head = b"GET / HTTP/1.1\r\nA: ".to_vec();
    head.extend_from_slice(&[b'x'; 100]);
    goes_to(&network, &address, &head, "rest").await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn what_no_route_takes_is_reset_and_counted_as_refused() {
    let network = network();
    let document = r#"{
        "listeners": {"in": {"address": "ADDRESS"}},
        "routes": [{"protocol": "ssh", "backend": "ssh"}],
        "backends": {"ssh": {"endpoints": [{"address": "mem:ssh"}]}}
    }"#;
    let (manager, address) = started(&network, document).await;
    is_turned_away(&network, &address, b"GET / HTTP/1.1\r\n\r\n").await;
    is_turned_away(&network, &address, b"SSH-2.0-client\r\n").await;
    until(|| manager.stats().active == 0).await;
    let stats = manager.stats();
    assert_eq!(stats.closed_because(CloseReason::Refused), 1);
    assert_eq!(stats.closed_because(CloseReason::ConnectFailed), 1);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_client_is_served_as_long_as_one_endpoint_answers() {
    let network = network();
    named(&network, "good").await;
    let gone = nowhere(&network).await;
    let (hole, _filler) = hole(&network).await;
    let document = format!(
        r#"{{
            "listeners": {{"in": {{"address": "ADDRESS"}}}},
            "default_backend": "all",
            "backends": {{"all": {{
                "endpoints": [{{"address": "{gone}"}}, {{"address": "{}"}}, {{"address": "mem:good"}}],
                "balance": {{"policy": "round_robin"}},
                "attempt_timeout": "20ms"
            }}}}
        }}"#,
        hole.address()
    );
    let (manager, address) = started(&network, &document).await;
    for _ in 0..12 {
        goes_to(&network, &address, b"hello", "good").await;
    }
    assert_eq!(manager.stats().closed_because(CloseReason::ConnectFailed), 0);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn all_endpoints_down_fails_fast_once_their_breakers_are_open() {
    let network = network();
    let document = r#"{
        "listeners": {"in": {"address": "ADDRESS"}},
        "default_backend": "down",
        "backends": {"down": {
            "endpoints": [{"address": "mem:down"}],
            "breaker": {"consecutive_failures": 2}
        }}
    }"#;
    let (manager, address) = started(&network, document).await;
    for _ in 0..5 {
        is_turned_away(&network, &address, b"hello").await;
    }
    until(|| manager.stats().active == 0).await;
    assert_eq!(manager.stats().closed_because(CloseReason::ConnectFailed), 5);
    // Nothing is tried while it is open, although the endpoint is there by now.
    named(&network, "down").await;
    is_turned_away(&network, &address, b"hello").await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn an_endpoint_given_by_name_is_looked_up_and_a_client_waits_for_the_first_answer() {
    let network = network();
    let server = echo_server(&network, &loopback()).await;
    let port = server.socket_addr().unwrap().port();
    let document = r#"{
        "listeners": {"in": {"address": "ADDRESS"}},
        "default_backend": "named",
        "backends": {"named": {"endpoints": [{"address": "tcp://localhost:PORT"}]}}
    }"#;
    let (manager, address) = started(&network, &document.replace("PORT", &port.to_string())).await;
    let client = network.connect(&address, None).await.unwrap();
    client.write_all(b"hello").await.unwrap();
    assert_eq!(read_exactly(&client, 5).await, b"hello");
    let destination = manager.live(0, 1)[0].destination.clone().unwrap();
    assert_eq!(destination, server, "one of its addresses");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn whose_name_leads_nowhere_is_turned_away_and_not_left_waiting() {
    let network = network();
    let document = r#"{
        "listeners": {"in": {"address": "ADDRESS"}},
        "default_backend": "nowhere",
        "tcp": {"connect_timeout": "1h"},
        "backends": {"nowhere": {
            "endpoints": [{"address": "tcp://nobody.invalid:1"}],
            "resolve": {"timeout": "50ms"}
        }}
    }"#;
    let (manager, address) = started(&network, document).await;
    is_turned_away(&network, &address, b"hello").await;
    until(|| manager.stats().closed_because(CloseReason::ConnectFailed) == 1).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn by_two_choices_one_that_refused_a_client_gets_none_while_its_penalty_lasts() {
    let network = network();
    named(&network, "kind").await;
    let document = r#"{
        "listeners": {"in": {"address": "ADDRESS"}},
        "default_backend": "two",
        "backends": {"two": {
            "endpoints": [{"address": "mem:unkind"}, {"address": "mem:kind"}],
            "balance": {"policy": "p2c", "ewma": {"decay": "1h", "failure_penalty": "1h"}},
            "max_attempts": 1
        }}
    }"#;
    let (manager, address) = started(&network, document).await;
    let refused = || manager.stats().closed_because(CloseReason::ConnectFailed);
    while refused() == 0 {
        if let Ok(client) = network.connect(&address, None).await {
            let _ = client.read(&mut [0]).await;
        }
        until(|| manager.stats().active == 0).await;
    }
    for _ in 0..20 {
        goes_to(&network, &address, b"hello", "kind").await;
    }
    assert_eq!(refused(), 1);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn an_endpoint_is_used_again_once_it_passes_its_checks() {
    let network = network();
    named(&network, "good").await;
    let document = r#"{
        "listeners": {"in": {"address": "ADDRESS"}},
        "default_backend": "checked",
        "backends": {"checked": {
            "endpoints": [{"address": "mem:late"}, {"address": "mem:good"}],
            "balance": {"policy": "round_robin"},
            "health": {"interval": "5ms", "rise": 1, "fall": 1},
            "breaker": {"consecutive_failures": 1000000, "min_calls": 1000000}
        }}
    }"#;
    let (_manager, address) = started(&network, document).await;
    goes_to(&network, &address, b"hello", "good").await;
    named(&network, "late").await;
    loop {
        let client = network.connect(&address, None).await.unwrap();
        if read_exactly(&client, 4).await == b"late" {
            return;
        }
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn connections_of_one_source_go_to_one_endpoint_by_key() {
    let network = network();
    for name in ["one", "two", "six"] {
        named(&network, name).await;
    }
    let document = r#"{
        "listeners": {"in": {"address": "ADDRESS"}},
        "default_backend": "keyed",
        "backends": {"keyed": {
            "endpoints": [{"address": "mem:one"}, {"address": "mem:two"}, {"address": "mem:six"}],
            "balance": {"policy": "maglev"}
        }}
    }"#;
    let (_manager, address) = started(&network, document).await;
    let first = network.connect(&address, None).await.unwrap();
    let name = read_exactly(&first, 3).await;
    for _ in 0..20 {
        let client = network.connect(&address, None).await.unwrap();
        assert_eq!(read_exactly(&client, 3).await, name);
    }
}

/// A manager that takes PROXY headers from the loopback as `mode` says, and sends `version` on.
async fn behind_a_proxy(
    network: &Network,
    (mode, trusted): (&str, &str),
    version: &str,
) -> (TcpConnectionManager, Address, Listener) {
    let behind = network.listen(&loopback()).await.unwrap();
    let document = format!(
        r#"{{
            "listeners": {{"in": {{
                "address": "ADDRESS",
                "proxy_protocol": {{"mode": "{mode}", "trusted": [{trusted}], "timeout": "50ms"}}
            }}}},
            "routes": [{{"source": "192.0.2.0/24", "backend": "behind"}}],
            "default_backend": "{}",
            "backends": {{
                "behind": {{"endpoints": [{{"address": "{}"}}], "send_proxy_protocol": "{version}"}},
                "nobody": {{"endpoints": [{{"address": "mem:nobody"}}]}}
            }}
        }}"#,
        if mode == "optional" { "behind" } else { "nobody" },
        behind.address()
    );
    let (manager, address) = started(network, &document).await;
    (manager, address, behind)
}

fn announced() -> ProxyHeader {
    let (source, destination) = ("192.0.2.7:4711", "198.51.100.1:443");
    let ends = (source.parse().unwrap(), destination.parse().unwrap());
    ProxyHeader {
        addresses: Some(ProxyAddresses::of_connection(ends.0, ends.1)),
        tlvs: vec![ProxyTlv { kind: 5, value: b"an id"[..].into() }],
    }
}

const TRUST_LOOPBACK: &str = r#""127.0.0.0/8""#;

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn an_announced_source_decides_the_route_and_is_announced_on_in_either_version() {
    let network = network();
    for (received, sent) in [
        (ProxyVersion::V1, ProxyVersion::V2),
        (ProxyVersion::V2, ProxyVersion::V2),
        (ProxyVersion::V2, ProxyVersion::V1),
    ] {
        let version = if sent == ProxyVersion::V1 { "v1" } else { "v2" };
        let mode = ("required", TRUST_LOOPBACK);
        let (_manager, address, behind) = behind_a_proxy(&network, mode, version).await;
        let client = network.connect(&address, None).await.unwrap();
        for byte in announced().encode(received) {
            client.write_all(&[byte]).await.unwrap();
        }
        client.write_all(b"data").await.unwrap();
        let server = behind.accept().await.unwrap();

        let mut expected = announced();
        if received == ProxyVersion::V1 || sent == ProxyVersion::V1 {
            expected.tlvs.clear();
        }
        let header = read_exactly(&server, expected.encode(sent).len()).await;
        assert_eq!(ProxyHeader::decode(&header), Decoded::Header(expected, header.len()));
        assert_eq!(read_exactly(&server, 4).await, b"data");
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_header_from_an_untrusted_source_or_a_missing_or_wrong_one_is_refused() {
    let network = network();
    let good = announced().encode(ProxyVersion::V2);
    let mut wrong = good.clone();
    *wrong.last_mut().unwrap() ^= 1;
    for (mode, trusted, first) in [
        // An empty list trusts nobody.
        ("required", "", &good[..]),
        ("optional", "", &good),
        ("required", r#""10.0.0.0/8""#, &good),
        ("required", TRUST_LOOPBACK, b"GET / HTTP/1.1\r\n"),
        ("required", TRUST_LOOPBACK, &good[..20]),
        ("required", TRUST_LOOPBACK, b""),
        ("required", TRUST_LOOPBACK, &wrong),
        ("optional", TRUST_LOOPBACK, &wrong),
    ] {
        let (manager, address, _behind) = behind_a_proxy(&network, (mode, trusted), "off").await;
        is_turned_away(&network, &address, first).await;
        until(|| manager.stats().active == 0).await;
        assert_eq!(manager.stats().closed_because(CloseReason::Refused), 1, "{mode} {trusted}");
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn an_optional_header_may_be_missing_and_the_socket_speaks_for_itself() {
    let network = network();
    for first in [&b"plain"[..], b""] {
        let mode = ("optional", TRUST_LOOPBACK);
        let (_manager, address, behind) = behind_a_proxy(&network, mode, "v1").await;
        let client = network.connect(&address, None).await.unwrap();
        client.write_all(first).await.unwrap();
        let server = behind.accept().await.unwrap();
        let ends = (client.context().source.clone(), address.socket_addr());
        let source = ends.0.and_then(|source| source.socket_addr()).unwrap();
        let told = ProxyAddresses::of_connection(source, ends.1.unwrap());
        let expected = ProxyHeader::new(Some(told)).encode(ProxyVersion::V1);
        assert_eq!(read_exactly(&server, expected.len()).await, expected);
        assert_eq!(read_exactly(&server, first.len()).await, first);
    }
}

#[tokio::test]
async fn listeners_start_once_and_all_or_none() {
    let network = network();
    let document = r#"{
        "listeners": {"a": {"address": "mem:a"}, "b": {"address": "mem:taken"}},
        "backends": {}
    }"#;
    let config = TcpManagerConfig::from_json(document).unwrap();
    let manager = TcpConnectionManager::new(network.clone(), config).unwrap();
    let taken = network.listen(&"mem:taken".parse().unwrap()).await.unwrap();
    assert!(manager.start().await.is_err());
    assert!(network.connect(&"mem:a".parse().unwrap(), None).await.is_err());
    drop(taken);
    assert_eq!(manager.start().await.unwrap().len(), 2);
    assert!(manager.start().await.is_err());
}

#[tokio::test]
async fn an_endpoint_that_leads_back_to_a_listener_is_refused() {
    let network = network();
    let document = r#"{
        "listeners": {"a": {"address": "mem:a"}},
        "default_backend": "self",
        "backends": {"self": {"endpoints": [{"address": "mem:a"}]}}
    }"#;
    let config = TcpManagerConfig::from_json(document).unwrap();
    let manager = TcpConnectionManager::new(network.clone(), config).unwrap();
    let error = manager.start().await.unwrap_err();
    assert!(matches!(error, ConnectionError::InvalidConfig { .. }), "{error}");
}
