//! Users who speak HTTP, well and badly, to services behind agents.

use super::*;
use crate::{
    config::{Config, HttpConfig, TimeLimit, UserConfig},
    context::CloseReason,
};
use bytes::Bytes;
use http::{Request, Response, StatusCode};
use http_body_util::{BodyExt, Full};
use hyper::{body::Incoming, service::service_fn};
use hyper_util::rt::TokioIo;
use parking_lot::Mutex;
use proptest::prelude::*;
use std::{convert::Infallible, sync::Arc};

const ALICE: &str = "the token of alice, long";
const ROUTES: &str = r#"[
    {"path": "/one", "cluster": "c1", "strip_path": true},
    {"path": "/two", "cluster": "c2"},
    {"path": "/none", "cluster": "c3"},
    {"host": "*.hub.test", "cluster_from": "host"}
]"#;

/// A hub whose front is at `mem:front`, with agents of both clusters, and what their services were asked.
struct Front {
    world: World,
    agents: Vec<Agent>,
    asked: Asked,
}

pub(super) type Asked = Arc<Mutex<Vec<String>>>;

impl Front {
    async fn new() -> Self {
        Self::with(|config| config.anonymous = vec!["*".into()]).await
    }

    async fn with(change: impl FnOnce(&mut HubConfig)) -> Self {
        let world = World::with(|config| {
            config.http = HttpConfig::from_json(&format!(r#"{{"routes": {ROUTES}}}"#)).unwrap();
            config.agents.insert("c3".into(), vec![token("c3")]);
            change(config);
        })
        .await;
        world.hub.listen_http(&address("mem:front")).await.unwrap();
        let asked = Asked::default();
        let mut agents = Vec::new();
        for cluster in ["c1", "c2"] {
            let agent = world.agent(cluster).await;
            serve(&world, agent.listener().unwrap(), cluster, &asked);
            agents.push(agent);
        }
        Self { world, agents, asked }
    }

    async fn connect(&self) -> Stream {
        self.world.network.connect(&address("mem:front"), None).await.unwrap()
    }

    /// Everything that is answered to `bytes`, which come `split` at a time, until the hub hangs up.
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

    /// What is answered to one request.
    async fn ask(&self, head: &str) -> String {
        self.answers(format!("{head}Connection: close\r\n\r\n").as_bytes(), 4096).await
    }

    fn asked(&self) -> Vec<String> {
        self.asked.lock().clone()
    }
}

/// Serves HTTP on every connection of `listener`, as hyper does.
pub(super) fn serve(world: &World, listener: Listener, cluster: &'static str, asked: &Asked) {
    let (network, asked) = (world.network.clone(), Arc::clone(asked));
    world.spawn(async move {
        while let Ok(stream) = listener.accept().await {
            let asked = Arc::clone(&asked);
            let service = service_fn(move |request| handle(cluster, Arc::clone(&asked), request));
            let mut builder = hyper::server::conn::http1::Builder::new();
            let connection =
                builder.half_close(true).serve_connection(TokioIo::new(stream), service);
            network.spawn(connection.with_upgrades());
        }
    });
}

async fn handle(
    cluster: &'static str,
    asked: Asked,
    mut request: Request<Incoming>,
) -> Result<Response<Full<Bytes>>, Infallible> {
    let mut fields: Vec<_> = request
        .headers()
        .iter()
        .map(|(name, value)| format!("{name}: {}", value.to_str().unwrap_or("?")))
        .collect();
    fields.sort();
    asked.lock().push(format!("{} {} {}", request.method(), request.uri(), fields.join("; ")));
    let path = request.uri().path().to_owned();
    if path.ends_with("/upgrade") {
        let upgraded = hyper::upgrade::on(&mut request);
        Handle::current().spawn(async move {
            let Ok(upgraded) = upgraded.await else { return };
            let parts = upgraded.downcast::<TokioIo<Stream>>().unwrap();
            let stream = parts.io.into_inner();
            let _ = stream.write_all(b"hello ").await;
            let _ = stream.write_all(&parts.read_buf).await;
            while pass(&stream).await {}
        });
        let switching = Response::builder().status(101).header("connection", "upgrade");
        return Ok(switching.header("upgrade", "echo").body(Full::default()).unwrap());
    }
    let body = request.into_body().collect().await;
    let body = body.map(|body| body.to_bytes()).unwrap_or_default();
    let status = match path.rsplit('/').next() {
        Some("teapot") => StatusCode::IM_A_TEAPOT,
        Some("never") => std::future::pending().await,
        _ => StatusCode::OK,
    };
    let mut response = Response::new(if body.is_empty() {
        Full::from(format!("{cluster} {path}"))
    } else {
        Full::from(body)
    });
    *response.status_mut() = status;
    Ok(response)
}

pub(super) fn get(path: &str) -> String {
    format!("GET {path} HTTP/1.1\r\nHost: x\r\n")
}

/// The status and the body of what was answered.
pub(super) fn parts(answer: &str) -> (u16, &str) {
    let status = answer.get(9..12).and_then(|status| status.parse().ok()).unwrap_or(0);
    (status, answer.split_once("\r\n\r\n").map_or("", |(_, body)| body))
}

over_each_carrier!(
    each_request_of_a_connection_goes_where_its_own_route_says,
    bodies_of_any_framing_arrive_byte_for_byte_and_are_held_nowhere,
    an_upload_is_passed_on_as_it_comes_and_no_further_than_the_service_reads,
    what_could_hide_a_second_request_is_refused_and_reaches_no_service,
    a_chunk_that_is_none_ends_the_request_at_the_service_too,
    a_service_hears_who_asks_from_the_hub_alone,
    nobody_uses_a_cluster_that_was_not_given_to_them,
    the_status_says_what_went_wrong_and_the_body_says_why,
    another_protocol_is_carried_with_its_early_bytes_and_without_an_end_of_time,
    a_service_that_stays_with_http_answers_and_the_next_request_comes,
    a_user_has_no_more_requests_under_way_than_it_may,
    a_part_of_a_response_is_never_taken_for_the_whole,
    who_says_nothing_or_takes_nothing_is_let_go_of,
    requests_of_http2_cross_beside_each_other,
    a_drain_answers_what_was_asked_and_asks_for_nothing_new,
    a_close_ends_every_connection_of_users,
);

async fn each_request_of_a_connection_goes_where_its_own_route_says() {
    let front = Front::new().await;
    let all = ["/one/a?b=c", "/two/a", "/one", "/two/d"].map(|path| get(path) + "\r\n").concat();
    let last = get("/one/last") + "Connection: close\r\n\r\n";
    for split in [1, 7, 10_000] {
        let answers = front.answers((all.clone() + &last).as_bytes(), split).await;
        let bodies = ["c1 /a", "c2 /two/a", "c1 /", "c2 /two/d", "c1 /last"];
        let mut left = answers.as_str();
        for body in bodies {
            let at = left.find(body).unwrap_or_else(|| panic!("{body} in {answers}"));
            left = &left[at + body.len()..];
        }
    }
    // The connections to services were kept for the whole of each user's connection.
    assert!(front.agents.iter().all(|agent| agent.stats().opened == 3));
    until(|| front.world.hub.stats().active == 0).await;
    let by_host = front.ask("GET /x HTTP/1.1\r\nHost: C2.hub.test:80\r\n").await;
    assert_eq!(parts(&by_host), (200, "c2 /x"));
}

async fn bodies_of_any_framing_arrive_byte_for_byte_and_are_held_nowhere() {
    let front = Front::new().await;
    let body: String = (0..300_000).map(|n| char::from(b'a' + (n % 23) as u8)).collect();
    let mut chunked = String::new();
    for piece in body.as_bytes().chunks(7777) {
        chunked += &format!("{:x}\r\n{}\r\n", piece.len(), str::from_utf8(piece).unwrap());
    }
    let fields = "Host: x\r\nConnection: close\r\n";
    let sized =
        format!("POST /one/echo HTTP/1.1\r\n{fields}Content-Length: {}\r\n\r\n{body}", body.len());
    let chunked = format!(
        "POST /one/echo HTTP/1.1\r\n{fields}Transfer-Encoding: chunked\r\n\r\n{chunked}0\r\n\r\n"
    );
    for request in [sized, chunked] {
        for split in [1000, 65536] {
            let answer = front.answers(request.as_bytes(), split).await;
            let (status, echoed) = parts(&answer);
            assert_eq!(status, 200);
            assert!(echoed == body, "{} bytes", echoed.len());
            assert!(answer.contains("content-length: 300000"), "{}", &answer[..300]);
        }
    }
    for request in front.asked() {
        assert!(
            request.contains("content-length: 300000")
                != request.contains("transfer-encoding: chunked"),
            "{request}"
        );
    }
}

async fn an_upload_is_passed_on_as_it_comes_and_no_further_than_the_service_reads() {
    let front = Front::new().await;
    let agent = front.world.agent("c3").await;
    let listener = agent.listener().unwrap();
    let user = front.connect().await;
    say(&user, b"POST /none HTTP/1.1\r\nHost: x\r\nContent-Length: 100000000\r\n\r\n").await;
    let served = listener.accept().await.unwrap();
    say(&user, b"the first bytes").await;
    let mut heard = Vec::new();
    while !heard.ends_with(b"the first bytes") {
        let mut some = [0; 1000];
        let count = served.read(&mut some).await.unwrap();
        heard.extend_from_slice(&some[..count]);
    }
    let user = Arc::new(user);
    let writer = Arc::clone(&user);
    let writer =
        front.world.spawn(async move { writer.write_all(&vec![b'x'; 50 << 20]).await.is_ok() });
    tokio::time::sleep(Duration::from_secs(200)).await;
    assert!(!writer.is_finished());
    let crossed = agent.stats().bytes_received;
    assert!(crossed < 2 << 20, "{crossed} bytes for a service that reads nothing");
    // Once the service has had its time, the upload is over as well.
    let answer = rest(&user).await.unwrap_or_default();
    assert!(answer.starts_with(b"HTTP/1.1 504 "), "{answer:?}");
    until(|| front.world.hub.stats().active == 0).await;
    writer.await.unwrap();
    assert!(rest(&served).await.unwrap_or_default().len() < 2 << 20);
}

async fn what_could_hide_a_second_request_is_refused_and_reaches_no_service() {
    let front = Front::new().await;
    let hidden = "GET /two/hidden HTTP/1.1\r\nHost: x\r\n\r\n";
    let post =
        |fields: &str, body: &str| format!("POST /one HTTP/1.1\r\nHost: x\r\n{fields}\r\n{body}");
    let tricks = [
        post("Content-Length: 4\r\nTransfer-Encoding: chunked\r\n", "0\r\n\r\n"),
        post("Transfer-Encoding: chunked\r\nContent-Length: 4\r\n", "0\r\n\r\n"),
        post("Content-Length: 0\r\nContent-Length: 40\r\n", ""),
        post("Content-Length: 0\r\nContent-Length: 0\r\n", ""),
        post("Transfer-Encoding: identity, chunked\r\n", "0\r\n\r\n"),
        post("Transfer-Encoding: x\r\nTransfer-Encoding: chunked\r\n", "0\r\n\r\n"),
        post("Transfer-Encoding : chunked\r\n", "0\r\n\r\n"),
        post("Transfer-Encoding:\u{b}chunked\r\n", "0\r\n\r\n"),
        post("X: y\nTransfer-Encoding: chunked\r\n", "0\r\n\r\n"),
        post("X: y\rTransfer-Encoding: chunked\r\n", "0\r\n\r\n"),
        post("X: y\r\n Transfer-Encoding: chunked\r\n", "0\r\n\r\n"),
        post("Content-Length: +0\r\n", ""),
        post("Content-Length: 0, 0\r\n", ""),
        post("X\0: y\r\n", ""),
        "POST /one HTTP/1.0\r\nHost: x\r\nTransfer-Encoding: chunked\r\n\r\n0\r\n\r\n".into(),
        "GET /one HTTP/1.1\nHost: x\n\n".into(),
        "GET /one HTTP/1.1\r\nHost: x\r\nHost: c2.hub.test\r\n\r\n".into(),
        "GET http://c1.hub.test/ HTTP/1.1\r\nHost: c2.hub.test\r\n\r\n".into(),
        "GET /one/../two HTTP/1.1\r\nHost: x\r\n\r\n".into(),
        "GET /one/%2e%2e/two HTTP/1.1\r\nHost: x\r\n\r\n".into(),
        "GET /one\\..\\two HTTP/1.1\r\nHost: x\r\n\r\n".into(),
    ];
    for trick in tricks {
        for split in [1, 10_000] {
            let answer = front.answers((trick.clone() + hidden).as_bytes(), split).await;
            let (status, why) = parts(&answer);
            // What is only a bad path is well-formed, and what follows it is a request of its own.
            let is_framed = trick.starts_with("GET http") || trick.contains("two HTTP");
            assert_eq!(status, 400, "{trick:?}: {answer}");
            assert!(!why.is_empty(), "{trick:?}: {answer}");
            if !is_framed {
                assert_eq!(answer.matches("HTTP/1.1 ").count(), 1, "{trick:?}: {answer}");
                assert_eq!(front.asked().len(), 0, "{trick:?}: {:?}", front.asked());
            }
            front.asked.lock().clear();
        }
    }
}

async fn a_chunk_that_is_none_ends_the_request_at_the_service_too() {
    let front = Front::new().await;
    for body in ["5 \r\nhello\r\n0\r\n\r\n", "5\r\nhelloXX0\r\n\r\n", "5\nhello\r\n0\r\n\r\n"] {
        let request = "POST /one/echo HTTP/1.1\r\nHost: x\r\nTransfer-Encoding: chunked\r\n\r\n";
        let answer = front.answers((request.to_owned() + body).as_bytes(), 10_000).await;
        assert!(!answer.contains("200 OK") && !answer.contains("hello"), "{answer}");
    }
    until(|| front.world.hub.stats().active == 0).await;
}

async fn a_service_hears_who_asks_from_the_hub_alone() {
    let front = Front::with(|config| {
        let user = UserConfig {
            tokens: vec![Secret::new(ALICE)],
            clusters: vec!["c1".into()],
            ..UserConfig::default()
        };
        config.users.insert("alice".into(), user);
    })
    .await;
    let claims = "Impersonate-User: admin\r\nImpersonate-Group: system:masters\r\nX-Forwarded-User: root\r\n\
                  X-Remote-User: root\r\nForwarded: for=1.2.3.4\r\nConnection: X-Mine\r\nX-Mine: 1\r\n";
    let mine = format!(
        "{}Proxy-Authorization: Bearer {ALICE}\r\nAuthorization: Bearer x\r\n",
        get("/one")
    );
    let answer = front.ask(&(mine + claims)).await;
    assert_eq!(parts(&answer).0, 200, "{answer}");
    let by_other = format!("{}Authorization: Bearer {ALICE}\r\n", get("/one"));
    assert_eq!(parts(&front.ask(&by_other).await).0, 200);
    assert_eq!(
        front.asked(),
        [
            "GET / authorization: Bearer x; host: x; via: 1.1 trunkline; x-forwarded-host: x; \
             x-forwarded-proto: http; x-forwarded-user: alice",
            "GET / host: x; via: 1.1 trunkline; x-forwarded-host: x; x-forwarded-proto: http; \
             x-forwarded-user: alice",
        ]
    );
}

async fn nobody_uses_a_cluster_that_was_not_given_to_them() {
    let front = Front::with(|config| {
        config.anonymous = vec!["c2".into()];
        for (name, token, cluster) in
            [("alice", ALICE, "c1"), ("bob", "the token of bob, long", "c3")]
        {
            let user = UserConfig {
                tokens: vec![Secret::new(token)],
                clusters: vec![cluster.into()],
                ..UserConfig::default()
            };
            config.users.insert(name.into(), user);
        }
    })
    .await;
    let bearer = |token: &str| format!("Authorization: Bearer {token}\r\n");
    for (path, by, status) in [
        ("/one", String::new(), 401),
        ("/one", bearer("the token of nobody"), 401),
        ("/nowhere", String::new(), 401),
        ("/one", bearer("the token of bob, long"), 403),
        ("/nowhere", bearer(ALICE), 404),
        ("/one", bearer(ALICE), 200),
        ("/two", String::new(), 200),
        ("/two", bearer(ALICE), 200),
        ("/two", bearer("of the service itself"), 200),
    ] {
        let answer = front.ask(&(get(path) + &by)).await;
        assert_eq!(parts(&answer).0, status, "{path} {by}: {answer}");
        assert_eq!(answer.contains("www-authenticate: Bearer"), status == 401);
    }
    let nobody = Front::with(|_| {}).await;
    assert_eq!(parts(&nobody.ask(&get("/one")).await).0, 401);
    assert!(nobody.asked().is_empty());
}

async fn the_status_says_what_went_wrong_and_the_body_says_why() {
    let front = Front::with(|config| {
        config.anonymous = vec!["*".into()];
        config.http.response_timeout = TimeLimit::secs(10);
    })
    .await;
    assert_eq!(parts(&front.ask(&get("/one/teapot")).await), (418, "c1 /teapot"));
    for (path, status, why) in [
        ("/none", 503, "no agent of this cluster is connected"),
        ("/one/never", 504, "has not answered in time"),
    ] {
        let answer = front.ask(&get(path)).await;
        let (found, body) = parts(&answer);
        assert_eq!(found, status, "{answer}");
        assert!(body.contains(why), "{answer}");
        assert_eq!(answer.contains("retry-after: 1"), status == 503, "{answer}");
    }
    let agent = front.world.agent("c3").await;
    let listener = agent.listener().unwrap();
    let breaks = front.world.spawn(async move {
        let served = listener.accept().await.unwrap();
        served.read(&mut [0; 100]).await.unwrap();
        say(&served, b"HTTP/1.1 200 OK\r\nContent-Le").await;
        served.abort(CloseReason::Local);
        let served = listener.accept().await.unwrap();
        served.read(&mut [0; 1000]).await.unwrap();
        say(&served, b"HTTP/1.1 200 OK\r\nContent-Length: 1\r\nTransfer-Encoding: chunked\r\n\r\n")
            .await;
        rest(&served).await.unwrap_or_default();
    });
    for why in ["the service broke off", "read in two ways"] {
        let answer = front.ask(&get("/none")).await;
        let (status, body) = parts(&answer);
        assert_eq!(status, 502, "{answer}");
        assert!(body.contains(why), "{answer}");
    }
    breaks.await.unwrap();
    let answer = front.ask(&get("/none")).await;
    assert_eq!(parts(&answer).0, 503, "{answer}");
    assert!(answer.contains("nobody listens at the agent"), "{answer}");
    let answer = front.ask("CONNECT x:80 HTTP/1.1\r\nHost: x:80\r\n").await;
    assert_eq!(parts(&answer).0, 405, "{answer}");
    let long = get("/one") + "X: " + &"a".repeat(70_000) + "\r\n";
    assert_eq!(parts(&front.ask(&long).await).0, 431);
    let many = get("/one") + &"X: a\r\n".repeat(200);
    assert_eq!(parts(&front.ask(&many).await).0, 431);
}

async fn another_protocol_is_carried_with_its_early_bytes_and_without_an_end_of_time() {
    let front = Front::with(|config| {
        config.anonymous = vec!["c1".into()];
        config.idle_timeout = TimeLimit::Never;
    })
    .await;
    let user = front.connect().await;
    let asks = "Connection: Upgrade\r\nUpgrade: echo\r\n\r\nearly ";
    say(&user, (get("/one/upgrade") + asks).as_bytes()).await;
    let mut heard = String::new();
    while !heard.ends_with("hello early ") {
        let mut some = [0; 1000];
        let count = user.read(&mut some).await.unwrap();
        assert_ne!(count, 0, "{heard}");
        heard += str::from_utf8(&some[..count]).unwrap();
    }
    assert!(heard.starts_with("HTTP/1.1 101 Switching Protocols\r\n"), "{heard}");
    assert!(
        heard.contains("upgrade: echo\r\n") && heard.contains("connection: upgrade"),
        "{heard}"
    );
    tokio::time::sleep(72 * HOUR).await;
    say(&user, b"\0\nno HTTP any more\r").await;
    hears(&user, b"\0\nno HTTP any more\r").await;
    user.shutdown(Shutdown::Write).unwrap();
    assert!(rest(&user).await.unwrap().is_empty());
    drop(user);
    until(|| front.world.hub.stats().active == 0).await;
}

async fn a_service_that_stays_with_http_answers_and_the_next_request_comes() {
    let front = Front::new().await;
    let asks = "Connection: upgrade\r\nUpgrade: h2c, websocket\r\nHTTP2-Settings: x\r\n\r\n";
    let all =
        get("/one/a") + asks + &get("/two/b").replace("Host", "Connection: close\r\nHost") + "\r\n";
    for split in [1, 10_000] {
        let answers = front.answers(all.as_bytes(), split).await;
        assert!(answers.contains("c1 /a") && answers.contains("c2 /two/b"), "{answers}");
    }
    let asks = "Connection: upgrade\r\nUpgrade: websocket\r\n\r\n";
    let all =
        get("/one/a") + asks + &get("/two/b").replace("Host", "Connection: close\r\nHost") + "\r\n";
    let answers = front.answers(all.as_bytes(), 10_000).await;
    assert!(answers.contains("c1 /a") && answers.contains("c2 /two/b"), "{answers}");
}

async fn a_user_has_no_more_requests_under_way_than_it_may() {
    let front = Front::with(|config| {
        let user = UserConfig {
            tokens: vec![Secret::new(ALICE)],
            clusters: vec!["*".into()],
            max_requests: 2,
            ..UserConfig::default()
        };
        config.users.insert("alice".into(), user);
    })
    .await;
    let by = format!("Authorization: Bearer {ALICE}\r\n");
    let mut waiting = Vec::new();
    for _ in 0..2 {
        let user = front.connect().await;
        say(&user, format!("{}{by}\r\n", get("/one/never")).as_bytes()).await;
        waiting.push(user);
    }
    until(|| front.asked().len() == 2).await;
    let answer = front.ask(&(get("/two") + &by)).await;
    assert_eq!(parts(&answer).0, 429, "{answer}");
    assert!(answer.contains("2 requests under way already"), "{answer}");
    waiting.pop();
    until(|| front.world.hub.stats().active == 1).await;
    assert_eq!(parts(&front.ask(&(get("/two") + &by)).await).0, 200);
}

async fn a_part_of_a_response_is_never_taken_for_the_whole() {
    let front = Front::new().await;
    let agent = front.world.agent("c3").await;
    let listener = agent.listener().unwrap();
    let user = front.connect().await;
    say(&user, (get("/none") + "\r\n").as_bytes()).await;
    let served = listener.accept().await.unwrap();
    served.read(&mut [0; 4096]).await.unwrap();
    say(&served, b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n5\r\nhello\r\n").await;
    let mut answer = Vec::new();
    while !answer.ends_with(b"hello\r\n") {
        let mut some = [0; 1000];
        let count = user.read(&mut some).await.unwrap();
        answer.extend_from_slice(&some[..count]);
    }
    served.abort(CloseReason::Local);
    assert!(rest(&user).await.unwrap_or_default().is_empty(), "neither an end nor an error in it");
}

async fn who_says_nothing_or_takes_nothing_is_let_go_of() {
    let front = Front::with(|config| {
        config.anonymous = vec!["*".into()];
        config.idle_timeout = TimeLimit::secs(100);
    })
    .await;
    let began = now();
    for said in ["", "GET /one HTT", "GET /one HTTP/1.1\r\nHost: x\r\nX: "] {
        let slow = front.connect().await;
        say(&slow, said.as_bytes()).await;
        let _ = rest(&slow).await;
    }
    assert!(began.elapsed() <= Duration::from_secs(3 * 61), "{:?}", began.elapsed());
    let slow = front.connect().await;
    say(&slow, b"POST /one HTTP/1.1\r\nHost: x\r\nContent-Length: 5\r\n\r\nhe").await;
    let began = now();
    let answer = rest(&slow).await.unwrap_or_default();
    assert!(!String::from_utf8_lossy(&answer).contains("200 OK"));
    assert!(began.elapsed() <= Duration::from_secs(101), "{:?}", began.elapsed());
    let stalled = front.connect().await;
    let echo = "POST /one HTTP/1.1\r\nHost: x\r\nContent-Length: 50000000\r\n\r\n";
    say(&stalled, echo.as_bytes()).await;
    let writer = front.world.spawn(async move { stalled.write_all(&vec![1; 50_000_000]).await });
    until(|| front.world.hub.stats().active == 0).await;
    let _ = writer.await.unwrap();
}

async fn requests_of_http2_cross_beside_each_other() {
    let front = Front::new().await;
    let (mut requests, connection) = h2::client::handshake(front.connect().await).await.unwrap();
    front.world.spawn(connection);
    let mut answers = Vec::new();
    for n in 0..40 {
        requests = requests.ready().await.unwrap();
        let path = if n % 2 == 0 { "one" } else { "two" };
        let uri = format!("http://x/{path}/{n}");
        let request = Request::builder().uri(uri).header("te", "trailers").body(()).unwrap();
        answers.push(requests.send_request(request, true).unwrap().0);
    }
    for (n, answer) in answers.into_iter().enumerate() {
        let response = answer.await.unwrap();
        assert_eq!(response.status(), 200);
        let mut body = response.into_body();
        let said = body.data().await.unwrap().unwrap();
        let expected = if n % 2 == 0 { format!("c1 /{n}") } else { format!("c2 /two/{n}") };
        assert_eq!(said, expected.as_bytes());
    }
    assert!(front.asked().iter().all(|asked| asked.contains("host: x; via: 2 trunkline")));
    let odd = Request::builder().uri("http://x/one").header("host", "c2.hub.test");
    let (answer, _) = requests.send_request(odd.body(()).unwrap(), true).unwrap();
    assert_eq!(answer.await.unwrap().status(), 400);
}

async fn a_drain_answers_what_was_asked_and_asks_for_nothing_new() {
    let front = Front::new().await;
    let agent = front.world.agent("c3").await;
    let listener = agent.listener().unwrap();
    let (idle, user) = (front.connect().await, front.connect().await);
    say(&idle, (get("/one") + "\r\n").as_bytes()).await;
    idle.read(&mut [0; 1000]).await.unwrap();
    say(&user, (get("/none") + "\r\n").as_bytes()).await;
    let served = listener.accept().await.unwrap();
    served.read(&mut [0; 1000]).await.unwrap();
    let hub = front.world.hub.clone();
    let draining = front.world.spawn(async move { hub.drain(None).await });
    assert!(rest(&idle).await.unwrap_or_default().is_empty(), "it was idle");
    assert!(!draining.is_finished());
    say(&served, b"HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\nok").await;
    let answer = rest(&user).await.unwrap();
    assert!(answer.ends_with(b"\r\n\r\nok"), "{answer:?}");
    assert_eq!(draining.await.unwrap().cut, 0);
    assert!(front.world.network.connect(&address("mem:front"), None).await.is_err());
}

async fn a_close_ends_every_connection_of_users() {
    let front = Front::new().await;
    let user = front.connect().await;
    say(&user, (get("/one/never") + "\r\n").as_bytes()).await;
    until(|| front.asked().len() == 1).await;
    front.world.hub.close().await;
    assert!(rest(&user).await.unwrap_or_default().is_empty());
    assert!(matches!(
        front.world.hub.listen_http(&address("mem:again")).await,
        Err(ConnectionError::Closed { .. })
    ));
}

#[tokio::test(start_paused = true)]
async fn a_front_is_refused_where_secrets_or_open_clusters_would_be_in_reach_of_others() {
    let listen = |change: fn(&mut HubConfig), at: &'static str| async move {
        let world = World::with(change).await;
        world.hub.listen_http(&address(at)).await.map(drop).map_err(|error| error.to_string())
    };
    let routed = |config: &mut HubConfig| {
        config.http = HttpConfig::from_json(r#"{"routes": [{"cluster": "c1"}]}"#).unwrap();
    };
    let open = |config: &mut HubConfig| {
        config.http = HttpConfig::from_json(r#"{"routes": [{"cluster": "c1"}]}"#).unwrap();
        config.allow_plaintext = true;
        config.anonymous = vec!["c1".into()];
    };
    assert!(listen(|_| {}, "mem:x").await.unwrap_err().starts_with("http.routes:"));
    assert!(listen(routed, "tcp://0.0.0.0:0").await.unwrap_err().contains("allow_plaintext"));
    assert!(listen(open, "tcp://0.0.0.0:0").await.unwrap_err().contains("allow_public_forwards"));
    assert!(listen(routed, "mem:x").await.is_ok());
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 48, ..ProptestConfig::default() })]
    #[test]
    fn no_bytes_of_a_user_do_any_harm(
        begins in 0usize..4, bytes in prop::collection::vec(any::<u8>(), 0..300), split in 1usize..40,
    ) {
        let runtime = tokio::runtime::Builder::new_current_thread().enable_all().start_paused(true).build().unwrap();
        runtime.block_on(async {
            let front = Front::new().await;
            let begins = [
                "",
                "GET /one HTTP/1.1\r\n",
                "POST /one HTTP/1.1\r\nHost: x\r\nTransfer-Encoding: chunked\r\n\r\n",
                "PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n",
            ][begins];
            let mut all = begins.as_bytes().to_vec();
            all.extend(bytes);
            front.answers(&all, split).await;
            assert_eq!(parts(&front.ask(&get("/two/after")).await), (200, "c2 /two/after"));
            until(|| front.world.hub.stats().active == 0).await;
        });
    }
}
