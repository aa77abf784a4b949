//! The memory proxy before services of two kinds: what it passes on, what hooks say of it, and what it refuses.

use super::{
    requests::{Asked, get, parts, serve},
    secured::certificate,
    *,
};
use crate::{
    config::{
        Config, HttpConfig, MemoryProxyConfig, TcpConfig, TimeLimit, TlsConfig, TlsRoots,
        TlsServerConfig,
    },
    context::CloseReason,
    error::Step,
    identity::certificates::Authority,
    transport::{ConnectOptions, Securing},
    tunnel::{
        Answering, CertificateChoice, CertificateProvider, FieldChanges, MemoryProxy, Processed,
        ProxyHello, ProxyHooks, ProxyRefusal, ProxyRequest, ProxyTarget, RequestProcessor, Routed,
        Router,
    },
};
use http::{HeaderName, HeaderValue, Request, StatusCode};
use std::{
    fmt,
    sync::{
        Arc,
        atomic::{AtomicUsize, Ordering},
    },
};

const ROUTES: &str = r#"[
    {"path": "/one", "target": "mem:one", "strip_path": true},
    {"path": "/two", "target": "mem:two"},
    {"path": "/gone", "target": "mem:gone"},
    {"path": "/mute", "target": "mem:mute"}
]"#;

/// A proxy at `mem:proxy`, before services at `mem:one` and `mem:two`, and what those were asked.
struct Proxied {
    world: World,
    proxy: MemoryProxy,
    asked: Asked,
}

impl Proxied {
    async fn new() -> Self {
        Self::with(|_| {}, ProxyHooks::default()).await
    }

    async fn hooked(hooks: ProxyHooks) -> Self {
        Self::with(|_| {}, hooks).await
    }

    async fn with(change: impl FnOnce(&mut MemoryProxyConfig), hooks: ProxyHooks) -> Self {
        Self::over(Network::new(Handle::current()), change, hooks).await
    }

    async fn over(
        network: Network,
        change: impl FnOnce(&mut MemoryProxyConfig),
        hooks: ProxyHooks,
    ) -> Self {
        let mut config =
            MemoryProxyConfig::from_json(&format!(r#"{{"routes": {ROUTES}}}"#)).unwrap();
        change(&mut config);
        let (hub, at) = hub_in(&network, "mem:hub", |_| {}).await;
        let world = World { network, hub, at };
        let asked = Asked::default();
        for (at, name) in [("mem:one", "one"), ("mem:two", "two")] {
            let listener = world.network.listen(&address(at)).await.unwrap();
            serve(&world, listener, name, &asked);
        }
        let proxy = MemoryProxy::with_hooks(world.network.clone(), config, hooks).unwrap();
        proxy.serve(world.network.listen(&address("mem:proxy")).await.unwrap()).unwrap();
        Self { world, proxy, asked }
    }

    async fn connect(&self) -> Stream {
        self.world.network.connect(&address("mem:proxy"), None).await.unwrap()
    }

    async fn answers(&self, bytes: &[u8], split: usize) -> String {
        let stream = self.connect().await;
        for piece in bytes.chunks(split) {
            if stream.write_all(piece).await.is_err() {
                break;
            }
            tokio::task::yield_now().await;
        }
        String::from_utf8_lossy(&rest(&stream).await.unwrap_or_default()).into_owned()
    }

    async fn ask(&self, head: &str) -> String {
        self.answers(format!("{head}Connection: close\r\n\r\n").as_bytes(), 4096).await
    }

    fn asked(&self) -> Vec<String> {
        self.asked.lock().clone()
    }
}

/// A hook that does what a function says.
struct By<F>(F);

impl<F> fmt::Debug for By<F> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("By")
    }
}

impl<F> Router for By<F>
where
    F: Fn(&ProxyRequest) -> Answering<Routed> + Send + Sync + 'static,
{
    fn route(self: Arc<Self>, request: Arc<ProxyRequest>) -> Answering<Routed> {
        (self.0)(&request)
    }
}

impl<F> RequestProcessor for By<F>
where
    F: Fn(&ProxyRequest, &ProxyTarget) -> Processed + Send + Sync + 'static,
{
    fn process(
        self: Arc<Self>,
        request: Arc<ProxyRequest>,
        target: Arc<ProxyTarget>,
    ) -> Answering<Processed> {
        let answer = (self.0)(&request, &target);
        Box::pin(async move { Ok(answer) })
    }
}

impl<F> CertificateProvider for By<F>
where
    F: Fn(&ProxyHello) -> CertificateChoice + Send + Sync + 'static,
{
    fn certificate(self: Arc<Self>, hello: Arc<ProxyHello>) -> Answering<CertificateChoice> {
        let answer = (self.0)(&hello);
        Box::pin(async move { Ok(answer) })
    }
}

fn ready(answer: Routed) -> Answering<Routed> {
    Box::pin(async move { Ok(answer) })
}

fn routed(hook: impl Fn(&ProxyRequest) -> Answering<Routed> + Send + Sync + 'static) -> ProxyHooks {
    ProxyHooks { router: Some(Arc::new(By(hook))), ..ProxyHooks::default() }
}

fn processed(
    hook: impl Fn(&ProxyRequest, &ProxyTarget) -> Processed + Send + Sync + 'static,
) -> ProxyHooks {
    ProxyHooks { processor: Some(Arc::new(By(hook))), ..ProxyHooks::default() }
}

fn certified(
    hook: impl Fn(&ProxyHello) -> CertificateChoice + Send + Sync + 'static,
) -> ProxyHooks {
    ProxyHooks { certificates: Some(Arc::new(By(hook))), ..ProxyHooks::default() }
}

#[tokio::test(start_paused = true)]
async fn each_request_goes_where_its_route_says_and_bodies_cross_in_any_framing() {
    let proxied = Proxied::new().await;
    let all = ["/one/a?b=c", "/two/a", "/one", "/none"].map(|path| get(path) + "\r\n").concat();
    let echo = "POST /one/echo HTTP/1.1\r\nHost: x\r\n";
    let sized = format!("{echo}Content-Length: 5\r\n\r\nhello");
    let chunked = format!("{echo}Transfer-Encoding: chunked\r\n\r\n3\r\nbye\r\n0\r\n\r\n");
    let last = get("/two/last") + "Connection: close\r\n\r\n";
    for split in [1, 7, 10_000] {
        let said = [&*all, &sized, &chunked, &last].concat();
        let answers = proxied.answers(said.as_bytes(), split).await;
        let mut left = answers.as_str();
        for said in ["one /a", "two /two/a", "one /", "404", "hello", "bye", "two /two/last"] {
            let at = left.find(said).unwrap_or_else(|| panic!("{said} in {answers}"));
            left = &left[at + said.len()..];
        }
    }
    let stats = proxied.proxy.stats();
    assert_eq!((stats.requests, stats.denied, stats.opened), (21, 3, 3));
    until(|| proxied.proxy.stats().active == 0).await;
    let text = proxied.world.network.metrics().snapshot().to_prometheus();
    assert!(text.contains("trunkline_memory_proxy_requests_total{class=\"2xx\"} 18"), "{text}");
}

#[tokio::test(start_paused = true)]
async fn what_could_be_read_in_two_ways_reaches_no_service() {
    let proxied = Proxied::new().await;
    for (head, status) in [
        ("GET /one/../two HTTP/1.1\r\nHost: x\r\n", 400),
        ("GET /one HTTP/1.1\r\nHost: x\r\nHost: y\r\n", 400),
        (
            "POST /one HTTP/1.1\r\nHost: x\r\nContent-Length: 1\r\nTransfer-Encoding: chunked\r\n",
            400,
        ),
        ("GET /one HTTP/1.1\nHost: x\r\n", 400),
        ("CONNECT x:80 HTTP/1.1\r\nHost: x:80\r\n", 405),
    ] {
        assert_eq!(parts(&proxied.ask(head).await).0, status, "{head}");
    }
    assert!(proxied.asked().is_empty());
}

#[tokio::test(start_paused = true)]
async fn http2_is_spoken_by_who_begins_with_it() {
    let proxied = Proxied::new().await;
    let (mut requests, connection) = h2::client::handshake(proxied.connect().await).await.unwrap();
    proxied.world.spawn(connection);
    let mut answers = Vec::new();
    for n in 0..20 {
        requests = requests.ready().await.unwrap();
        let uri = format!("http://x/one/{n}");
        let request = Request::builder().uri(uri).body(()).unwrap();
        answers.push(requests.send_request(request, true).unwrap().0);
    }
    for (n, answer) in answers.into_iter().enumerate() {
        let mut body = answer.await.unwrap().into_body();
        assert_eq!(body.data().await.unwrap().unwrap(), format!("one /{n}").as_bytes());
    }
}

#[tokio::test(start_paused = true)]
async fn another_protocol_is_carried_with_its_early_bytes_for_as_long_as_it_takes() {
    let proxied =
        Proxied::with(|config| config.idle_timeout = TimeLimit::Never, ProxyHooks::default());
    let proxied = proxied.await;
    for protocol in ["websocket", "SPDY/3.1"] {
        let user = proxied.connect().await;
        let asks = format!("Connection: Upgrade\r\nUpgrade: {protocol}\r\n\r\nearly ");
        say(&user, (get("/one/upgrade") + &asks).as_bytes()).await;
        let mut heard = String::new();
        while !heard.ends_with("hello early ") {
            let mut some = [0; 1000];
            let count = user.read(&mut some).await.unwrap();
            assert_ne!(count, 0, "{heard}");
            heard += str::from_utf8(&some[..count]).unwrap();
        }
        assert!(heard.starts_with("HTTP/1.1 101 "), "{heard}");
        tokio::time::sleep(72 * HOUR).await;
        say(&user, b"\0 no HTTP \r").await;
        hears(&user, b"\0 no HTTP \r").await;
        user.shutdown(Shutdown::Write).unwrap();
        assert!(rest(&user).await.unwrap().is_empty());
    }
    assert!(proxied.asked()[1].contains("upgrade: SPDY/3.1"));
    assert_eq!(proxied.proxy.stats().upgraded, 2);
    until(|| proxied.proxy.stats().active == 0).await;
}

over_each_carrier!(users_of_a_hub_reach_services_behind_the_proxy_of_an_agent);

async fn users_of_a_hub_reach_services_behind_the_proxy_of_an_agent() {
    let proxied =
        Proxied::with(|config| config.trust_forwarded = true, ProxyHooks::default()).await;
    let network = proxied.world.network.clone();
    let (hub, at) = hub_in(&network, "mem:second", |config| {
        config.anonymous = vec!["c1".into()];
        let routes = r#"{"routes": [{"path": "/c1", "cluster": "c1", "strip_path": true}]}"#;
        config.http = HttpConfig::from_json(routes).unwrap();
    })
    .await;
    let front = hub.listen_http(&address("mem:front")).await.unwrap();
    let mut config = proxied.world.config("c1");
    (config.hubs, config.use_memory_comm) = (vec![at], true);
    let agent = Agent::new(network.clone(), config).unwrap();
    agent.ready(None).await.unwrap();
    proxied.proxy.serve(agent.listener().unwrap()).unwrap();
    let user = network.connect(&front, None).await.unwrap();
    let head = get("/c1/one/x") + "Impersonate-User: root\r\nConnection: close\r\n\r\n";
    say(&user, head.as_bytes()).await;
    let answer = String::from_utf8(rest(&user).await.unwrap()).unwrap();
    assert_eq!(parts(&answer), (200, "one /x"));
    let asked = proxied.asked().concat();
    assert!(
        asked.contains("x-forwarded-host: x") && asked.contains("via: 1.1 trunkline"),
        "{asked}"
    );
    assert!(!asked.contains("impersonate"), "{asked}");
    // Nothing but a pipe lies between the agent and the proxy.
    assert_eq!(agent.memory_comm_stats().memory.opened, 1);
}

#[tokio::test(start_paused = true)]
async fn who_a_client_speaks_for_is_believed_only_where_the_configuration_says_so() {
    let claims = "X-Forwarded-User: alice\r\nImpersonate-User: root\r\nX-Remote-User: root\r\n";
    for is_trusted in [false, true] {
        let proxied =
            Proxied::with(|config| config.trust_forwarded = is_trusted, ProxyHooks::default())
                .await;
        proxied.ask(&(get("/one") + claims)).await;
        let asked = proxied.asked().concat();
        assert_eq!(asked.contains("x-forwarded-user: alice"), is_trusted, "{asked}");
        assert!(!asked.contains("root"), "{asked}");
    }
}

#[tokio::test(start_paused = true)]
async fn a_router_sends_requests_wherever_it_likes_or_leaves_them_to_the_routes() {
    let proxied = Proxied::hooked(routed(|request| {
        let header = |name: &str| request.headers.get(name).map(|value| value.to_str().unwrap());
        let named = |address: &str| ProxyTarget::new(address.parse().unwrap());
        ready(match (&*request.path, header("x-to")) {
            ("/deny", _) => Routed::Refuse(ProxyRefusal {
                status: StatusCode::GONE,
                text: "not any more".into(),
            }),
            (_, Some("path")) => Routed::To(ProxyTarget {
                path: Some("/changed?q=1".into()),
                host: Some("changed.test:81".into()),
                ..named("mem:two")
            }),
            (_, Some("odd")) => {
                Routed::To(ProxyTarget { path: Some("odd".into()), ..named("mem:two") })
            }
            (_, Some("tunnel")) => Routed::To(named("tunnel:c1")),
            (_, Some(to)) => Routed::To(named(to)),
            _ => Routed::Default,
        })
    }))
    .await;
    let asks = |path: &str, to: &str| format!("{}X-To: {to}\r\n", get(path));
    assert_eq!(parts(&proxied.ask(&get("/one/a")).await), (200, "one /a"));
    assert_eq!(parts(&proxied.ask(&asks("/one/a", "mem:two")).await), (200, "two /one/a"));
    assert_eq!(parts(&proxied.ask(&asks("/one/a", "path")).await), (200, "two /changed"));
    assert!(proxied.asked()[2].contains("GET /changed?q=1 host: changed.test:81"));
    assert_eq!(parts(&proxied.ask(&get("/deny")).await), (410, "not any more\n"));
    for to in ["odd", "tunnel"] {
        assert_eq!(parts(&proxied.ask(&asks("/one", to)).await).0, 500, "{to}");
    }
    assert_eq!(proxied.asked().len(), 3);
}

#[tokio::test(start_paused = true)]
async fn a_hook_that_does_not_answer_lets_nothing_through() {
    let waiting = Arc::new(AtomicUsize::new(0));
    let seen = Arc::clone(&waiting);
    let hooks = routed(move |request| match &*request.path {
        "/fail" => Box::pin(async { Err(ConnectionError::closed(Step::Connect)) }),
        "/panic" => panic!("as it was told to"),
        "/later" => Box::pin(async { panic!("as it was told to") }),
        "/hang" => {
            seen.fetch_add(1, Ordering::Relaxed);
            Box::pin(std::future::pending())
        }
        _ => ready(Routed::Default),
    });
    let proxied = Proxied::with(|config| config.max_pending_hooks = 2, hooks).await;
    for path in ["/fail", "/panic", "/later"] {
        let answer = proxied.ask(&get(path)).await;
        assert_eq!(parts(&answer).0, 500, "{answer}");
        assert!(answer.contains("the proxy's router did not answer"), "{answer}");
    }
    let mut hanging = Vec::new();
    for _ in 0..2 {
        let user = proxied.connect().await;
        say(&user, (get("/hang") + "Connection: close\r\n\r\n").as_bytes()).await;
        hanging.push(user);
    }
    until(|| waiting.load(Ordering::Relaxed) == 2).await;
    assert_eq!(parts(&proxied.ask(&get("/one")).await).0, 503);
    for user in hanging {
        let answer = String::from_utf8(rest(&user).await.unwrap()).unwrap();
        assert_eq!(parts(&answer).0, 504, "{answer}");
    }
    assert_eq!(parts(&proxied.ask(&get("/one")).await).0, 200);
    assert_eq!((proxied.proxy.stats().hooks_failed, proxied.asked().len()), (6, 1));
}

#[tokio::test(start_paused = true)]
async fn a_client_that_leaves_takes_its_question_back() {
    let (began, gone) = (Arc::new(AtomicUsize::new(0)), Arc::new(AtomicUsize::new(0)));
    struct Held(Arc<AtomicUsize>);
    impl Drop for Held {
        fn drop(&mut self) {
            self.0.fetch_add(1, Ordering::Relaxed);
        }
    }
    let counts = (Arc::clone(&began), Arc::clone(&gone));
    let proxied = Proxied::with(
        |config| config.hook_timeout = HOUR,
        routed(move |_| {
            counts.0.fetch_add(1, Ordering::Relaxed);
            let held = Held(Arc::clone(&counts.1));
            Box::pin(async move {
                let _held = held;
                std::future::pending().await
            })
        }),
    )
    .await;
    let user = proxied.connect().await;
    say(&user, (get("/one") + "\r\n").as_bytes()).await;
    until(|| began.load(Ordering::Relaxed) == 1).await;
    user.abort(CloseReason::Local);
    until(|| gone.load(Ordering::Relaxed) == 1).await;
    until(|| proxied.proxy.stats().active == 0).await;
}

#[tokio::test(start_paused = true)]
async fn a_processor_changes_fields_but_none_that_frame_a_message_and_may_refuse() {
    let proxied = Proxied::hooked(processed(|request, target| {
        assert!(target.address.to_string().starts_with("mem:"));
        let token = request.headers.get("authorization").map(|value| value.as_bytes().to_vec());
        if token.as_deref() != Some(b"Bearer good") {
            return Processed::Refuse(ProxyRefusal {
                status: StatusCode::UNAUTHORIZED,
                text: "who is there?".into(),
            });
        }
        let set = |name: &'static str, value: &'static str| {
            (HeaderName::from_static(name), HeaderValue::from_static(value))
        };
        if let Some(name) = request.headers.get("x-fixed") {
            let name = HeaderName::from_bytes(name.as_bytes()).unwrap();
            let set = vec![(name, HeaderValue::from_static("1"))];
            return Processed::Pass(FieldChanges { set, ..FieldChanges::default() });
        }
        Processed::Pass(FieldChanges {
            remove: vec![HeaderName::from_static("x-secret")],
            set: vec![
                set("impersonate-user", "alice"),
                set("impersonate-group", "a"),
                set("impersonate-group", "b"),
                set("authorization", "Bearer of-the-proxy"),
            ],
        })
    }))
    .await;
    let asks = "Authorization: Bearer good\r\nX-Secret: 1\r\nImpersonate-Group: system:masters\r\n";
    assert_eq!(parts(&proxied.ask(&(get("/one/x") + asks)).await), (200, "one /x"));
    let asked = proxied.asked().concat();
    for field in [
        "authorization: Bearer of-the-proxy",
        "impersonate-group: a; impersonate-group: b; impersonate-user: alice",
        "host: x",
    ] {
        assert!(asked.contains(field), "{field} in {asked}");
    }
    for field in ["masters", "x-secret"] {
        assert!(!asked.contains(field), "{field} in {asked}");
    }
    for name in ["content-length", "transfer-encoding", "host", "connection"] {
        let asks = format!("Authorization: Bearer good\r\nX-Fixed: {name}\r\n");
        let answer = proxied.ask(&(get("/one") + &asks)).await;
        assert_eq!(parts(&answer).0, 500, "{answer}");
        assert!(answer.contains(name), "{answer}");
    }
    let answer = proxied.ask(&get("/one")).await;
    assert_eq!(parts(&answer), (401, "who is there?\n"));
    assert_eq!(proxied.asked().len(), 1);
}

#[tokio::test(start_paused = true)]
async fn the_status_says_what_became_of_the_service() {
    let short = |config: &mut MemoryProxyConfig| {
        config.response_timeout = TimeLimit::secs(5);
        config.tcp = TcpConfig { connect_timeout: Duration::from_secs(1), ..config.tcp };
    };
    let proxied = Proxied::with(short, ProxyHooks::default()).await;
    let mute = proxied.world.network.listen(&address("mem:mute")).await.unwrap();
    assert_eq!(parts(&proxied.ask(&get("/gone")).await).0, 502);
    assert_eq!(parts(&proxied.ask(&get("/mute")).await).0, 504);
    mute.close();
    let stats = proxied.proxy.stats();
    assert_eq!((stats.requests, stats.denied), (2, 2));
}

#[tokio::test(start_paused = true)]
async fn connections_above_the_limit_wait_in_the_backlog() {
    let proxied = Proxied::with(|config| config.max_connections = 1, ProxyHooks::default()).await;
    let first = proxied.connect().await;
    say(&first, (get("/one/never") + "\r\n").as_bytes()).await;
    until(|| proxied.asked().len() == 1).await;
    let second = proxied.connect().await;
    say(&second, (get("/two/b") + "Connection: close\r\n\r\n").as_bytes()).await;
    settle().await;
    assert_eq!((proxied.asked().len(), proxied.proxy.stats().opened), (1, 1));
    drop(first);
    assert_eq!(
        parts(&String::from_utf8(rest(&second).await.unwrap()).unwrap()),
        (200, "two /two/b")
    );
}

#[tokio::test(start_paused = true)]
async fn a_drain_answers_what_was_asked_and_a_close_ends_all() {
    let proxied = Proxied::new().await;
    let mute = proxied.world.network.listen(&address("mem:mute")).await.unwrap();
    let (idle, user) = (proxied.connect().await, proxied.connect().await);
    say(&idle, (get("/one") + "\r\n").as_bytes()).await;
    idle.read(&mut [0; 1000]).await.unwrap();
    say(&user, (get("/mute") + "\r\n").as_bytes()).await;
    let served = mute.accept().await.unwrap();
    served.read(&mut [0; 1000]).await.unwrap();
    let proxy = proxied.proxy.clone();
    let draining = proxied.world.spawn(async move { proxy.drain(None).await });
    assert!(rest(&idle).await.unwrap_or_default().is_empty());
    say(&served, b"HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\nok").await;
    assert!(rest(&user).await.unwrap().ends_with(b"ok"));
    assert_eq!(draining.await.unwrap().cut, 0);
    let listener = proxied.world.network.listen(&address("mem:again")).await.unwrap();
    assert!(matches!(proxied.proxy.serve(listener), Err(ConnectionError::Closed { .. })));

    let proxied = Proxied::new().await;
    let user = proxied.connect().await;
    say(&user, (get("/one/never") + "\r\n").as_bytes()).await;
    until(|| proxied.asked().len() == 1).await;
    proxied.proxy.close().await;
    assert!(rest(&user).await.unwrap_or_default().is_empty());
    let stats = proxied.proxy.stats();
    assert_eq!((stats.active, stats.opened, stats.closed), (0, 1, 1));
}

#[tokio::test(start_paused = true)]
async fn dropping_the_proxy_ends_its_connections_and_its_listeners() {
    let proxied = Proxied::new().await;
    let listener = Arc::new(proxied.world.network.listen(&address("mem:kept")).await.unwrap());
    proxied.proxy.serve(Arc::clone(&listener)).unwrap();
    let user = proxied.world.network.connect(&address("mem:kept"), None).await.unwrap();
    say(&user, (get("/one/never") + "\r\n").as_bytes()).await;
    until(|| proxied.asked().len() == 1).await;
    drop(proxied.proxy);
    assert!(rest(&user).await.unwrap_or_default().is_empty());
    until(|| listener.is_closed()).await;
}

/// A network whose clients trust `authority`, and whose TLS shows a certificate for `default.test`, or none.
fn secured(authority: &Authority, shows_one: bool) -> Network {
    let network = Network::new(Handle::current());
    let mut config = TlsConfig::default();
    config.client.get_or_insert_default().roots = TlsRoots::Pem(authority.pem());
    let own = certificate(&authority.issue(&["default.test"]));
    config.server = shows_one.then(|| TlsServerConfig::new(own));
    let tls = network.tls(config).unwrap();
    network.with_tls(tls)
}

impl Proxied {
    /// A client of TLS that asks for `host`, and offers `alpn`.
    async fn connect_tls(&self, host: &str, alpn: &str) -> Result<Stream, ConnectionError> {
        let options = ConnectOptions { alpn: Some(vec![alpn.into()]), ..Default::default() };
        let securing = Securing { tls: None, host: Some(host.into()) };
        self.world.network.connect_secured(&address("mem:proxy"), None, &options, &securing).await
    }
}

#[tokio::test]
async fn https_is_served_beside_http_with_the_protocol_that_is_agreed_on() {
    let authority = Authority::new("proxies");
    let proxied = Proxied::over(secured(&authority, true), |_| {}, ProxyHooks::default()).await;
    let user = proxied.connect_tls("default.test", "http/1.1").await.unwrap();
    say(&user, (get("/one/a") + "Connection: close\r\n\r\n").as_bytes()).await;
    assert_eq!(parts(&String::from_utf8(rest(&user).await.unwrap()).unwrap()), (200, "one /a"));
    let user = proxied.connect_tls("default.test", "h2").await.unwrap();
    assert_eq!(user.tls().unwrap().alpn.as_deref(), Some("h2"));
    let (requests, connection) = h2::client::handshake(user).await.unwrap();
    proxied.world.spawn(connection);
    let mut requests = requests.ready().await.unwrap();
    let request = Request::builder().uri("https://x/two/b").body(()).unwrap();
    let answer = requests.send_request(request, true).unwrap().0.await.unwrap();
    assert_eq!(answer.status(), 200);
    assert_eq!(parts(&proxied.ask(&get("/two")).await), (200, "two /two"));
    let asked = proxied.asked();
    assert!(asked[0].contains("x-forwarded-proto: https"), "{asked:?}");
    assert!(asked[2].ends_with("x-forwarded-proto: http"), "{asked:?}");
}

#[tokio::test]
async fn a_provider_shows_each_name_its_own_certificate_and_turns_others_away() {
    let authority = Authority::new("proxies");
    let shown = certificate(&authority.issue(&["a.test"]));
    let hooks = certified(move |hello| match hello.server_name.as_deref() {
        Some("a.test") => CertificateChoice::Show(Box::new(shown.clone())),
        Some("default.test") => CertificateChoice::Default,
        Some("panic.test") => panic!("as it was told to"),
        _ => CertificateChoice::Refuse,
    });
    let proxied = Proxied::over(secured(&authority, true), |_| {}, hooks).await;
    for host in ["a.test", "default.test"] {
        let user = proxied.connect_tls(host, "http/1.1").await.unwrap();
        say(&user, (get("/one/a") + "Connection: close\r\n\r\n").as_bytes()).await;
        assert_eq!(parts(&String::from_utf8(rest(&user).await.unwrap()).unwrap()).0, 200, "{host}");
    }
    for host in ["b.test", "panic.test"] {
        let error = proxied.connect_tls(host, "http/1.1").await.unwrap_err();
        assert!(matches!(error, ConnectionError::ConnectionFailed { .. }), "{error:?}");
    }
    until(|| proxied.proxy.stats().active == 0).await;
    let stats = proxied.proxy.stats();
    assert_eq!((stats.handshakes_failed, stats.hooks_failed), (2, 1));
}

#[tokio::test(start_paused = true)]
async fn tls_without_a_certificate_and_hellos_that_never_end_are_let_go_of() {
    let authority = Authority::new("proxies");
    let proxied = Proxied::over(secured(&authority, false), |_| {}, ProxyHooks::default()).await;
    assert!(proxied.connect_tls("default.test", "h2").await.is_err());
    for said in [&[22][..], &[22, 3, 1, 255, 255], &[22, 3, 1, 0, 5, 9, 9, 9, 9, 9]] {
        let slow = proxied.connect().await;
        say(&slow, said).await;
        let began = now();
        let _ = rest(&slow).await;
        assert!(began.elapsed() <= Duration::from_secs(11), "{:?}", began.elapsed());
    }
    until(|| proxied.proxy.stats().active == 0).await;
    assert_eq!(proxied.proxy.stats().handshakes_failed, 4);
}
