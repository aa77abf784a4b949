//! Checks of endpoints: by a handshake, by a request, by what the program says; and what is seen of them.

use super::{certificates::Authority, configured::config, *};
use std::{collections::BTreeMap, time::Duration};
use tokio::sync::mpsc;
use trunkline_core::{
    CheckAnswer, CheckCallback, CheckQuestion, EndpointReason, EndpointState, LiveEndpoint,
    TlsConfig,
    config::Config,
    manager::{Checking, ReasonKind},
};

/// A started manager whose backend `all` has these endpoints, and is checked often and as `check` says.
async fn checking(
    network: &Network,
    name: &str,
    endpoints: &[String],
    health: &str,
) -> TcpConnectionManager {
    let endpoints: Vec<_> =
        endpoints.iter().map(|address| format!(r#"{{"address": "{address}"}}"#)).collect();
    let document = format!(
        r#"{{"listeners": {{"in": {{"address": "mem:{name}-in"}}}}, "default_backend": "all", "backends": {{"all": {{
            "endpoints": [{}], "health": {{"interval": "5ms", "rise": 1, "fall": 1, {health}}}}}}}}}"#,
        endpoints.join(", ")
    );
    let config = TcpManagerConfig::from_json(&document).unwrap();
    let manager = TcpConnectionManager::new(network.clone(), config).unwrap();
    manager.start().await.unwrap();
    manager
}

/// Each endpoint by its address, once every one of them was checked.
async fn checked(manager: &TcpConnectionManager) -> BTreeMap<String, LiveEndpoint> {
    let is_checked = |one: &LiveEndpoint| one.state != EndpointState::Unchecked;
    until(|| manager.endpoints().iter().all(is_checked)).await;
    seen(manager)
}

fn seen(manager: &TcpConnectionManager) -> BTreeMap<String, LiveEndpoint> {
    manager.endpoints().into_iter().map(|one| (one.address.to_string(), one)).collect()
}

/// The step and the text of why an endpoint fails its checks.
fn failed(endpoint: &LiveEndpoint) -> (&'static str, &str) {
    assert_eq!(endpoint.state, EndpointState::Unhealthy, "{endpoint:?}");
    let reason = endpoint.reason.as_ref().unwrap();
    assert_eq!(reason.kind, ReasonKind::Check);
    (reason.step, &reason.text)
}

fn passed(endpoint: &LiveEndpoint) -> bool {
    endpoint.state == EndpointState::Healthy && endpoint.reason.is_none()
}

fn secured(config: TlsConfig) -> Network {
    let network = network();
    let tls = network.tls(config).unwrap();
    network.with_tls(tls)
}

/// Takes handshakes for `name`, and closes what came of them; where that is below TLS.
async fn handshakes(authority: &Authority, name: &str) -> String {
    let server = secured(config(authority, Some(&authority.issue(&[name]))));
    let any = "tls://127.0.0.1:0".parse().unwrap();
    serve(&server, &any, |_| async {}).await.without_tls().to_string()
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_check_by_tls_takes_a_handshake_for_the_name_and_trusts_whom_the_manager_trusts() {
    let authority = Authority::new("checks");
    let network = secured(config(&authority, None));
    let good = handshakes(&authority, "shop.example").await;
    let other = handshakes(&authority, "other.example").await;
    let stranger = handshakes(&Authority::new("stranger"), "shop.example").await;
    let plain = echo_server(&network, &loopback()).await.to_string();
    let nobody = nowhere(&network).await.to_string();
    let endpoints = [&good, &other, &stranger, &plain, &nobody].map(String::clone);
    let check = r#""timeout": "1h", "check": {"tls": {"server_name": "shop.example"}}"#;
    let manager = checking(&network, "tls", &endpoints, check).await;
    let all = checked(&manager).await;
    assert!(passed(&all[&good]), "{all:?}");
    for address in [&other, &stranger, &plain] {
        assert_eq!(failed(&all[address]).0, "tls", "{all:?}");
    }
    assert!(failed(&all[&other]).1.contains("another name"), "{all:?}");
    assert_eq!(failed(&all[&nobody]).0, "connect");
    let counted = |outcome| {
        let labels = [("backend", "all"), ("outcome", outcome)];
        network.metrics().snapshot().total("trunkline_backend_checks_total", &labels)
    };
    assert!(counted("passed") >= 1 && counted("failed") >= 4);
    manager.close().await;
}

/// Answers every request on `mem:NAME` with `answer`, and tells the head of each.
async fn answering(network: &Network, name: &str, answer: Option<String>) -> Heads {
    let (sender, receiver) = mpsc::unbounded_channel();
    let address = format!("mem:{name}").parse().unwrap();
    serve(network, &address, move |stream| {
        let (sender, answer) = (sender.clone(), answer.clone());
        async move {
            let (mut head, mut chunk) = (Vec::new(), [0; 4096]);
            while !head.ends_with(b"\r\n\r\n") {
                match stream.read(&mut chunk).await {
                    Ok(n @ 1..) => head.extend_from_slice(&chunk[..n]),
                    _ => return,
                }
            }
            let _ = sender.send(String::from_utf8(head).unwrap());
            if let Some(answer) = answer {
                let _ = stream.write_all(answer.as_bytes()).await;
            }
            // Until the check is over.
            while let Ok(1..) = stream.read(&mut chunk).await {}
        }
    })
    .await;
    receiver
}

type Heads = mpsc::UnboundedReceiver<String>;

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_check_by_http_goes_by_the_status_and_by_what_the_body_says() {
    let network = network();
    let whole = |status: &str, body: &str| {
        Some(format!("HTTP/1.1 {status}\r\nContent-Length: {}\r\n\r\n{body}", body.len()))
    };
    let padding = format!("HTTP/1.1 200 OK\r\nX: {}\r\n\r\n", "x".repeat(20_000));
    let far = format!("{}all is well", "x".repeat(1000));
    let chunked = "HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n6\r\nall is\r\n6\r\n well!\r\n0\r\n\r\n";
    let answers = [
        ("http-good", whole("200 OK", "all is well")),
        ("http-chunked", Some(chunked.to_owned())),
        ("http-down", whole("503 Service Unavailable", "all is well")),
        ("http-says-no", whole("200 OK", "all is lost")),
        ("http-too-far", whole("200 OK", &far)),
        ("http-long-head", Some(padding)),
        ("http-garbage", Some("SSH-2.0-server\r\n".to_owned())),
        ("http-stops", Some("HTTP/1.1 200 OK\r\nContent-Length: 99\r\n\r\nall is".to_owned())),
        ("http-silent", None),
    ];
    let mut heads = BTreeMap::new();
    for (name, answer) in &answers {
        heads.insert(*name, answering(&network, name, answer.clone()).await);
    }
    let mut endpoints: Vec<_> = answers.iter().map(|(name, _)| format!("mem:{name}")).collect();
    let endless = endpoints.split_off(endpoints.len() - 2);
    endpoints.push("mem:http-nobody".to_owned());
    let check = r#""check": {"http": {"method": "POST", "path": "/ready?deep=1", "host": "shop.example",
        "headers": {"X-Why": "a check"}, "expect": ["200-299"], "contains": "all is well", "max_body": 1000}}"#;
    let patient = format!(r#""timeout": "1h", {check}"#);
    let manager = checking(&network, "http", &endpoints, &patient).await;
    let all = checked(&manager).await;
    let failed = |name: &str| failed(&all[&format!("mem:{name}")]);
    assert!(passed(&all["mem:http-good"]) && passed(&all["mem:http-chunked"]), "{all:?}");
    assert_eq!(failed("http-down"), ("status", "it answered 503 Service Unavailable"));
    assert_eq!(failed("http-says-no"), ("body", "the text is not in its first 11 bytes"));
    assert_eq!(failed("http-too-far"), ("body", "the text is not in its first 1000 bytes"));
    assert_eq!(failed("http-long-head").0, "response");
    assert_eq!(failed("http-garbage").0, "response");
    assert_eq!(failed("http-nobody").0, "connect");
    let head = heads.get_mut("http-good").unwrap().recv().await.unwrap();
    assert!(head.starts_with("POST /ready?deep=1 HTTP/1.1\r\n"), "{head}");
    for field in ["host: shop.example", "x-why: a check", "connection: close"] {
        assert!(head.to_lowercase().contains(&format!("{field}\r\n")), "{head}");
    }
    manager.close().await;

    let hasty = format!(r#""timeout": "20ms", {check}"#);
    let manager = checking(&network, "http-endless", &endless, &hasty).await;
    for (name, step) in [("http-stops", "body"), ("http-silent", "response")] {
        let reason = EndpointReason::clone;
        let reason = || seen(&manager)[&format!("mem:{name}")].reason.as_ref().map(reason);
        until(|| reason().is_some_and(|it| (it.step, &*it.text) == (step, "it took too long")))
            .await;
    }
    manager.close().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_check_by_http_over_tls_proves_the_name_and_asks_inside() {
    let authority = Authority::new("https");
    let network = secured(config(&authority, None));
    let server = secured(config(&authority, Some(&authority.issue(&["127.0.0.1"]))));
    let (told, mut tells) = mpsc::unbounded_channel();
    let any = "tls://127.0.0.1:0".parse().unwrap();
    let address = serve(&server, &any, move |stream| {
        let told = told.clone();
        async move {
            let mut chunk = [0; 4096];
            let Ok(n @ 1..) = stream.read(&mut chunk).await else { return };
            let _ = told.send(String::from_utf8_lossy(&chunk[..n]).into_owned());
            let _ = stream.write_all(b"HTTP/1.1 200 OK\r\nContent-Length: 0\r\n\r\n").await;
            let _ = stream.read(&mut chunk).await;
        }
    })
    .await;
    // Once where the address says TLS, and once where the check does.
    let plain = address.clone().without_tls();
    for (name, endpoint, check) in
        [("https", &address, "{}"), ("https-below", &plain, r#"{"tls": {}}"#)]
    {
        let health = format!(r#""timeout": "1h", "check": {{"http": {check}}}"#);
        let manager = checking(&network, name, &[endpoint.to_string()], &health).await;
        let all = checked(&manager).await;
        assert!(passed(&all[&endpoint.to_string()]), "{all:?}");
        let head = tells.recv().await.unwrap();
        let host = endpoint.socket_addr().unwrap();
        assert!(head.to_lowercase().contains(&format!("host: {host}\r\n")), "{head}");
        manager.close().await;
    }
}

/// Says how each endpoint is by its address, and tells each question.
#[derive(Debug)]
struct Told(mpsc::UnboundedSender<Arc<CheckQuestion>>);

impl CheckCallback for Told {
    fn check(self: Arc<Self>, endpoint: Arc<CheckQuestion>) -> Checking {
        let _ = self.0.send(Arc::clone(&endpoint));
        let address = endpoint.address.to_string();
        Box::pin(async move {
            match address.as_str() {
                "mem:good" => CheckAnswer::Passed,
                "mem:bad" => CheckAnswer::Failed { reason: "it lags".into() },
                "mem:full" => CheckAnswer::Unknown,
                "mem:panics" => panic!("the check of a test"),
                _ => std::future::pending().await,
            }
        })
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn the_program_says_how_endpoints_are_and_the_configuration_what_no_answer_means() {
    let endpoints = ["good", "bad", "full", "panics", "hangs"].map(|name| format!("mem:{name}"));
    for (no_answer, state) in [
        ("fail", EndpointState::Unhealthy),
        ("pass", EndpointState::Healthy),
        ("keep", EndpointState::Unchecked),
    ] {
        let network = network();
        let health = format!(
            r#""timeout": "100ms", "check": {{"callback": {{"no_answer": "{no_answer}"}}}}"#
        );
        let manager = checking(&network, "asks", &endpoints, &health).await;
        let (sender, mut questions) = mpsc::unbounded_channel();
        manager.on_check(Some(Arc::new(Told(sender)))).unwrap();
        let question = questions.recv().await.unwrap();
        assert_eq!((&*question.backend, question.host.as_deref()), ("all", None));
        assert!(question.timeout <= Duration::from_millis(100));
        let counted = |outcome| {
            let labels = [("outcome", outcome)];
            network.metrics().snapshot().total("trunkline_check_callback_total", &labels)
        };
        let all_asked = || {
            ["passed", "failed", "unknown", "panicked", "timeout"].iter().all(|o| counted(o) > 0)
        };
        until(all_asked).await;
        let is_so = |name: &str, state| seen(&manager)[&format!("mem:{name}")].state == state;
        until(|| is_so("good", EndpointState::Healthy)).await;
        until(|| is_so("bad", EndpointState::Unhealthy)).await;
        let why = || seen(&manager)["mem:bad"].reason.clone().unwrap();
        until(|| why().step == "callback" && &*why().text == "it lags").await;
        for name in ["full", "panics", "hangs"] {
            until(|| is_so(name, state)).await;
        }
        // Nobody is asked any more, and what hung is gone with the manager.
        manager.on_check(None).unwrap();
        until(|| {
            is_so(
                "good",
                match no_answer {
                    "fail" => EndpointState::Unhealthy,
                    _ => EndpointState::Healthy,
                },
            )
        })
        .await;
        manager.close().await;
        while questions.recv().await.is_some() {}
        assert!(manager.on_check(None).is_err());
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn another_check_takes_the_place_of_the_one_before() {
    let network = network();
    let _heads = answering(&network, "changes", Some("HTTP/1.1 500 No\r\n\r\n".to_owned())).await;
    let endpoints = ["mem:changes".to_owned()];
    let manager = checking(&network, "changed", &endpoints, r#""check": "connect""#).await;
    until(|| seen(&manager)["mem:changes"].state == EndpointState::Healthy).await;
    let mut config = manager.config();
    let http = r#"{"check": {"http": {}}, "interval": "5ms", "fall": 1}"#;
    config.backends.get_mut("all").unwrap().health = Some(Config::from_json(http).unwrap());
    manager.reconfigure(config).unwrap();
    until(|| seen(&manager)["mem:changes"].state == EndpointState::Unhealthy).await;
    assert_eq!(failed(&seen(&manager)["mem:changes"]).0, "status");
    manager.close().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn endpoints_show_their_connections_and_what_keeps_them_away() {
    let network = network();
    echo_server(&network, &"mem:shown".parse().unwrap()).await;
    let document = r#"{
        "listeners": {"in": {"address": "mem:shown-in"}}, "default_backend": "b",
        "backends": {
            "a": {"endpoints": [{"address": "mem:drained", "weight": 0}]},
            "b": {"endpoints": [{"address": "mem:missing"}, {"address": "mem:shown", "weight": 3}],
                "balance": {"policy": "round_robin"}, "breaker": {"consecutive_failures": 1}}
        }
    }"#;
    let config = TcpManagerConfig::from_json(document).unwrap();
    let manager = TcpConnectionManager::new(network.clone(), config).unwrap();
    let address = manager.start().await.unwrap()["in"].clone();
    let mut clients = Vec::new();
    for _ in 0..2 {
        let client = network.connect(&address, None).await.unwrap();
        client.write_all(b"hello").await.unwrap();
        assert_eq!(read_exactly(&client, 5).await, b"hello");
        clients.push(client);
    }
    let all = manager.endpoints();
    let told: Vec<_> = all
        .iter()
        .map(|one| (&*one.backend, one.address.to_string(), one.state, one.active, one.weight))
        .collect();
    assert_eq!(
        told,
        [
            ("a", "mem:drained".into(), EndpointState::Drained, 0, 0),
            ("b", "mem:missing".into(), EndpointState::BreakerOpen, 0, 1),
            ("b", "mem:shown".into(), EndpointState::Unchecked, 2, 3),
        ]
    );
    let reason = all[1].reason.as_ref().unwrap();
    assert_eq!((reason.kind, reason.step), (ReasonKind::Connect, "connect"));
    assert!(all[1].remaining.is_some() && all[1].effective_weight == 0.0);
    assert!(all[2].reason.is_none() && all[2].effective_weight == 3.0);
    drop(clients);
    until(|| manager.endpoints()[2].active == 0).await;
    manager.close().await;
}
