//! Peers at the level of packets: ends that know `tunnel.v1` alone, and ends that mean harm.

use super::*;
use crate::{
    config::{Config, HttpConfig},
    context::CloseReason,
    error::Step,
    tunnel::packet::{DATA, ERROR, Packet, Reader, Word},
};
use bytes::Bytes;
use h2::{RecvStream, SendStream};
use http::{HeaderMap, Request, Response};
use proptest::prelude::*;
use std::future::poll_fn;

const TUNNEL: &str = "http://hub/tunnel.v1.TunnelService/Tunnel";

/// One end of a call, moved by hand.
struct Script {
    outgoing: SendStream<Bytes>,
    incoming: RecvStream,
    reader: Reader,
}

impl Script {
    fn new(outgoing: SendStream<Bytes>, incoming: RecvStream) -> Self {
        Self { outgoing, incoming, reader: Reader::new(64 << 20) }
    }

    fn say(&mut self, packet: Packet) {
        self.say_bytes(packet.into_message());
    }

    fn say_bytes(&mut self, bytes: impl Into<Bytes>) {
        // Fails where the other end has given up, which tests look for by what they hear.
        let _ = self.outgoing.send_data(bytes.into(), false);
    }

    /// The next packet; `None` at the end.
    async fn next(&mut self) -> Option<Packet> {
        loop {
            if let Some(packet) = self.reader.next().unwrap() {
                return Some(packet);
            }
            let chunk = self.incoming.data().await?.ok()?;
            self.incoming.flow_control().release_capacity(chunk.len()).unwrap();
            self.reader.push(chunk);
        }
    }

    async fn hears(&mut self) -> Packet {
        self.next().await.expect("the call has ended")
    }

    /// Whether nothing comes, whatever can happen now.
    async fn hears_nothing(&mut self) -> bool {
        tokio::time::timeout(Duration::from_millis(100), self.next()).await.is_err()
    }

    /// Whether the other end gives the call up.
    async fn is_given_up(&mut self) -> bool {
        while self.next().await.is_some() {}
        true
    }
}

/// A call as an agent of somebody else makes it, and the head of the hub's answer.
async fn calling(
    world: &World,
    headers: &[(&'static str, String)],
) -> (Response<()>, Option<Script>) {
    let stream = world.network.connect(&world.at, None).await.unwrap();
    let (mut requests, connection) = h2::client::handshake(stream).await.unwrap();
    world.spawn(connection);
    let mut request = Request::post(TUNNEL).header("content-type", "application/grpc");
    for (name, value) in headers {
        request = request.header(*name, value);
    }
    requests = requests.ready().await.unwrap();
    let (response, outgoing) = requests.send_request(request.body(()).unwrap(), false).unwrap();
    let (head, body) = response.await.unwrap().into_parts();
    let is_refused = head.headers.contains_key("grpc-status");
    let script = (!is_refused).then(|| Script::new(outgoing, body));
    (Response::from_parts(head, ()), script)
}

fn legacy_headers() -> Vec<(&'static str, String)> {
    let bearer = format!("Bearer {}", token("c1").expose());
    vec![("cluster-name", "c1".into()), ("authorization", bearer)]
}

fn extended_headers() -> Vec<(&'static str, String)> {
    let mut headers = legacy_headers();
    headers.push(("trunkline-tunnel", "1".into()));
    headers.push(("trunkline-instance", "07".repeat(16)));
    headers
}

async fn legacy_world() -> World {
    World::with(|config| config.link.allow_legacy_peers = true).await
}

async fn legacy_agent(world: &World) -> Script {
    let (head, script) = calling(world, &legacy_headers()).await;
    assert!(!head.headers().contains_key("trunkline-tunnel"), "it would not understand more");
    script.unwrap()
}

async fn extended_agent(world: &World) -> Script {
    let (head, script) = calling(world, &extended_headers()).await;
    assert_eq!(head.headers()["trunkline-tunnel"], "1");
    script.unwrap()
}

/// A hub moved by hand, the agent that has called it, and what it said of itself.
async fn hub_of(
    world: &World,
    answers: &[(&'static str, &'static str)],
    change: impl FnOnce(&mut AgentConfig),
) -> (Agent, Script, HeaderMap) {
    let listener = world.network.listen(&address("mem:script")).await.unwrap();
    let mut config = world.config("c1");
    config.hubs = vec![address("mem:script")];
    config.carrier = TunnelCarrier::Packet;
    change(&mut config);
    let agent = Agent::new(world.network.clone(), config).unwrap();
    let stream = listener.accept().await.unwrap();
    let mut connection = h2::server::handshake(stream).await.unwrap();
    let (request, mut respond) = connection.accept().await.unwrap().unwrap();
    world.spawn(async move {
        let _ = poll_fn(|cx| connection.poll_closed(cx)).await;
    });
    let (head, body) = request.into_parts();
    assert_eq!(head.uri.path(), "/tunnel.v1.TunnelService/Tunnel");
    let mut response = Response::builder().header("content-type", "application/grpc");
    for (name, value) in answers {
        response = response.header(*name, *value);
    }
    let outgoing = respond.send_response(response.body(()).unwrap(), false).unwrap();
    (agent, Script::new(outgoing, body), head.headers)
}

async fn legacy_hub(world: &World) -> (Agent, Script) {
    let allow = |config: &mut AgentConfig| config.link.allow_legacy_peers = true;
    let (agent, script, headers) = hub_of(world, &[], allow).await;
    assert_eq!(headers["cluster-name"], "c1");
    agent.ready(None).await.unwrap();
    (agent, script)
}

async fn extended_hub(world: &World) -> (Agent, Script) {
    let (agent, script, _) = hub_of(world, &[("trunkline-tunnel", "1")], |_| {}).await;
    agent.ready(None).await.unwrap();
    (agent, script)
}

fn open(id: i64, credit: u32) -> Packet {
    Packet { credit, ..Packet::word(id, Word::Open) }
}

// An agent before a hub that knows tunnel.v1 alone.

#[tokio::test(start_paused = true)]
async fn an_agent_that_is_to_speak_packets_speaks_nothing_else() {
    let world = World::new().await;
    let native_only =
        HubConfig { carriers: vec![TunnelCarrier::Native], ..world.hub.config().clone() };
    let hub = Hub::new(world.network.clone(), native_only).unwrap();
    let at = hub.listen(&address("mem:native-only")).await.unwrap();
    let _over = Over::packets();
    let mut config = world.config("c1");
    config.hubs = vec![at];
    let agent = Agent::new(world.network.clone(), config).unwrap();
    until(|| agent.stats().links_failed > 0).await;
    assert_eq!((hub.stats().links_opened, hub.stats().links_refused), (0, 1));

    let packets_only =
        HubConfig { carriers: vec![TunnelCarrier::Packet], ..world.hub.config().clone() };
    let hub = Hub::new(world.network.clone(), packets_only).unwrap();
    let at = hub.listen(&address("mem:packets-only")).await.unwrap();
    let mut config = world.config("c1");
    (config.hubs, config.carrier) = (vec![at], TunnelCarrier::Native);
    let agent = Agent::new(world.network.clone(), config.clone()).unwrap();
    until(|| agent.stats().links_failed > 0).await;
    let error = agent.last_error().unwrap();
    assert!(error.to_string().contains("takes no agents of the native carrier"), "{error}");
    config.carrier = TunnelCarrier::Packet;
    let agent = Agent::new(world.network.clone(), config).unwrap();
    agent.ready(None).await.unwrap();
    assert_eq!(hub.stats().links, 1);
}

#[tokio::test(start_paused = true)]
async fn a_hub_that_knows_less_than_was_asked_for_is_an_error_unless_it_is_allowed() {
    let world = World::new().await;
    let (agent, _script, _) = hub_of(&world, &[], |_| {}).await;
    until(|| agent.stats().links_failed > 0).await;
    let error = agent.last_error().unwrap();
    assert!(matches!(error, ConnectionError::Protocol { .. }), "{error}");
    assert!(error.to_string().contains("allow_legacy_peers is not set"), "{error}");
    agent.close().await;
    let (agent, _script, _) = hub_of(&world, &[("trunkline-tunnel", "2")], |config| {
        config.link.allow_legacy_peers = true;
    })
    .await;
    until(|| agent.stats().links_failed > 0).await;
    let error = agent.last_error().unwrap();
    assert!(
        error.to_string().contains("another version") && error.step() == Step::Connect,
        "{error}"
    );
}

#[tokio::test(start_paused = true)]
async fn a_legacy_hub_opens_by_a_number_and_hears_data_errors_and_at_last_a_drain() {
    let world = World::new().await;
    let (agent, mut hub) = legacy_hub(&world).await;
    let listener = agent.listener().unwrap();
    hub.say(Packet::data(1, Bytes::new()));
    hub.say(Packet::data(1, "GET / HTTP/1.1\r\n\r\n".into()));
    let served = listener.accept().await.unwrap();
    hears(&served, b"GET / HTTP/1.1\r\n\r\n").await;
    say(&served, b"200").await;
    assert_eq!(hub.hears().await, Packet::data(1, "200".into()));
    // An end is told by nothing; what still comes for it is answered, and opens nothing anew.
    drop(served);
    settle().await;
    assert!(hub.hears_nothing().await);
    hub.say(Packet::data(1, "too late".into()));
    let error = hub.hears().await;
    assert_eq!((error.conn_id, error.code), (1, ERROR));
    assert_eq!((agent.stats().opened, agent.stats().active), (1, 0));
    // Broken off by the hub, and by the host.
    hub.say(Packet::data(2, "x".into()));
    let served = listener.accept().await.unwrap();
    hub.say(Packet::error(2, "gone"));
    hears(&served, b"x").await;
    assert_eq!(served.read(&mut [0]).await.unwrap_err().os_code(), Some(libc::ECONNRESET));
    drop(served);
    hub.say(Packet::data(3, "x".into()));
    listener.accept().await.unwrap().abort(CloseReason::Local);
    let error = hub.hears().await;
    assert_eq!((error.conn_id, error.code), (3, ERROR));
    // The drain is the last word, after what is under way.
    hub.say(Packet::data(4, "x".into()));
    let served = listener.accept().await.unwrap();
    let draining = world.spawn({
        let agent = agent.clone();
        async move { agent.drain(None).await }
    });
    settle().await;
    hub.say(Packet::data(5, "new".into()));
    let refused = hub.hears().await;
    assert_eq!((refused.conn_id, refused.code), (5, ERROR));
    say(&served, b"in flight").await;
    drop(served);
    assert_eq!(hub.hears().await, Packet::data(4, "in flight".into()));
    assert_eq!(hub.hears().await, Packet::drain());
    assert_eq!(hub.next().await, None);
    let began = now();
    let ended = HeaderMap::from_iter([("grpc-status".parse().unwrap(), "0".parse().unwrap())]);
    hub.outgoing.send_trailers(ended).unwrap();
    assert_eq!(draining.await.unwrap().cut, 0);
    assert!(began.elapsed() < Duration::from_secs(1), "both have said all");
}

#[tokio::test(start_paused = true)]
async fn connections_of_a_legacy_hub_end_with_its_tunnel() {
    let world = World::new().await;
    let (agent, mut hub) = legacy_hub(&world).await;
    let listener = agent.listener().unwrap();
    hub.say(Packet::data(1, "of the first tunnel".into()));
    let served = listener.accept().await.unwrap();
    hears(&served, b"of the first tunnel").await;
    drop(hub);
    assert_eq!(served.read(&mut [0]).await.unwrap_err().os_code(), Some(libc::ECONNRESET));
    assert!(served.write(b"never seen by number 1 of the next").await.is_err());
}

#[tokio::test(start_paused = true)]
async fn a_legacy_hub_that_floods_a_replaced_agent_is_taken_at_its_word() {
    let world = World::new().await;
    let (agent, mut hub) = legacy_hub(&world).await;
    for _ in 0..5000 {
        hub.say(Packet::default());
    }
    settle().await;
    drop(hub);
    until(|| agent.stats().replaced == 1).await;
    assert_eq!(agent.stats().opened, 0);
}

#[tokio::test(start_paused = true)]
async fn a_silent_hub_is_asked_as_often_as_its_rules_allow() {
    let world = World::new().await;
    for (answer, least, most) in [(Some(("trunkline-tunnel", "1")), 20, 40), (None, 300, 330)] {
        let listener = world.network.listen(&address("mem:mute")).await.unwrap();
        let mute = world.spawn(async move {
            let stream = listener.accept().await.unwrap();
            let mut connection = h2::server::handshake::<_>(stream).await.unwrap();
            let (_request, mut respond) = connection.accept().await.unwrap().unwrap();
            let mut response = Response::builder().header("content-type", "application/grpc");
            if let Some((name, value)) = answer {
                response = response.header(name, value);
            }
            let _outgoing = respond.send_response(response.body(()).unwrap(), false).unwrap();
            // Sends what it has, and never reads again.
            let short = Duration::from_millis(10);
            let _ = tokio::time::timeout(short, poll_fn(|cx| connection.poll_closed(cx))).await;
            std::future::pending::<()>().await;
        });
        let mut config = world.config("c1");
        (config.hubs, config.carrier) = (vec![address("mem:mute")], TunnelCarrier::Packet);
        config.link.allow_legacy_peers = true;
        let agent = Agent::new(world.network.clone(), config).unwrap();
        agent.ready(None).await.unwrap();
        let began = now();
        until(|| agent.stats().links == 0).await;
        let after = began.elapsed().as_secs();
        assert!((least..=most).contains(&after), "{after} s");
        agent.close().await;
        mute.abort();
        let _ = mute.await;
    }
}

// A hub before agents that know tunnel.v1 alone.

#[tokio::test(start_paused = true)]
async fn a_legacy_agent_is_let_in_only_where_the_configuration_says_so() {
    let status = |head: &Response<()>| head.headers()["grpc-status"].to_str().unwrap().to_owned();
    let (unproved, proved) = (vec![("cluster-name", "c9".to_owned())], legacy_headers());
    let world = World::new().await;
    let (head, _) = calling(&world, &proved).await;
    assert_eq!(status(&head), "9", "legacy agents are not allowed");

    let world = legacy_world().await;
    let (head, _) = calling(&world, &unproved).await;
    assert_eq!(status(&head), "7", "nobody has proved anything");
    let (_, script) = calling(&world, &proved).await;
    assert!(script.is_some());

    let world = World::with(|config| {
        config.link.allow_legacy_peers = true;
        config.allow_unauthenticated_agents = vec![address("mem:hub")];
    })
    .await;
    let (_, script) = calling(&world, &unproved).await;
    assert!(script.is_some(), "an open door, and nothing is bound to c9");
    let (head, _) = calling(&world, &[("cluster-name", "c1".into())]).await;
    assert_eq!(status(&head), "7", "what is bound to a cluster is asked for at any door");
    let other = world.hub.listen(&address("mem:closed-door")).await.unwrap();
    let world = World { at: other, ..world };
    let (head, _) = calling(&world, &unproved).await;
    assert_eq!(status(&head), "7", "the other door is not open");
}

#[tokio::test(start_paused = true)]
async fn a_legacy_agent_gets_one_packet_and_the_next_after_its_answer() {
    let world = legacy_world().await;
    let mut agent = legacy_agent(&world).await;
    let user = world.dial("c1").await;
    assert!(agent.hears_nothing().await, "the first packet is the first request");
    say(&user, b"first").await;
    let first = agent.hears().await;
    assert_eq!((&first.data[..], first.code), (&b"first"[..], DATA));
    let id = first.conn_id;
    say(&user, b"sec").await;
    say(&user, b"ond").await;
    assert!(agent.hears_nothing().await, "two packets could change places");
    agent.say(Packet::data(id, "answer".into()));
    hears(&user, b"answer").await;
    assert_eq!(agent.hears().await, Packet::data(id, "second".into()));
    agent.say(Packet::data(id, "and".into()));
    hears(&user, b"and").await;
    drop(user);
    let closed = agent.hears().await;
    assert_eq!((closed.conn_id, closed.code), (id, ERROR), "the one way to end a connection");
    agent.say(Packet::data(id, "late".into()));
    let unknown = agent.hears().await;
    assert_eq!((unknown.conn_id, unknown.code), (id, ERROR));
    until(|| world.hub.stats().active == 0).await;
}

#[tokio::test(start_paused = true)]
async fn what_a_legacy_agent_must_answer_first_is_given_up_and_never_reordered() {
    let world = legacy_world().await;
    let mut agent = legacy_agent(&world).await;
    let user = world.dial("c1").await;
    say(&user, b"first").await;
    let id = agent.hears().await.conn_id;
    say(&user, b"second").await;
    let began = now();
    assert_eq!(rest(&user).await.unwrap_err().os_code(), Some(libc::ENOTCONN));
    assert!(
        began.elapsed() >= Duration::from_secs(10) && began.elapsed() <= Duration::from_secs(21)
    );
    let error = agent.hears().await;
    assert_eq!((error.conn_id, error.code), (id, ERROR));
    let other = world.dial("c1").await;
    say(&other, b"other").await;
    assert_eq!(&agent.hears().await.data[..], b"other", "the link goes on");
}

#[tokio::test(start_paused = true)]
async fn what_a_legacy_agent_cannot_be_told_is_refused() {
    let world = legacy_world().await;
    let mut agent = legacy_agent(&world).await;
    let error = world.hub.dial("c1", Some(&address("tcp://10.0.0.1:80")), None).await.unwrap_err();
    assert!(error.to_string().contains("does not understand"), "{error}");
    let user = world.dial("c1").await;
    say(&user, b"x").await;
    let id = agent.hears().await.conn_id;
    agent.say(Packet::error(id, "failed to dial for conn_id 1: refused"));
    agent.say(Packet::error(id, "failed to dial for conn_id 1: refused"));
    assert_eq!(rest(&user).await.unwrap_err().os_code(), Some(libc::ECONNRESET), "and no text");
    // Its drain lets what is under way finish.
    let user = world.dial("c1").await;
    say(&user, b"x").await;
    let id = agent.hears().await.conn_id;
    agent.say(Packet::drain());
    settle().await;
    assert!(world.hub.dial("c1", None, None).await.is_err());
    agent.say(Packet::data(id, "under way".into()));
    hears(&user, b"under way").await;
}

#[tokio::test(start_paused = true)]
async fn an_agent_that_has_said_all_hears_that_its_call_ended_well() {
    let world = legacy_world().await;
    for round in 0..2 {
        let mut agent =
            if round == 0 { legacy_agent(&world).await } else { extended_agent(&world).await };
        agent.say(Packet::drain());
        agent.outgoing.send_data(Bytes::new(), true).unwrap();
        assert_eq!(agent.next().await, None);
        let trailers = agent.incoming.trailers().await.unwrap().unwrap();
        assert_eq!(trailers["grpc-status"], "0");
        until(|| world.hub.stats().links == 0).await;
    }
}

#[tokio::test(start_paused = true)]
async fn a_reader_of_a_legacy_agent_loses_nothing_and_holds_up_the_link_for_a_while_at_most() {
    let world = legacy_world().await;
    let mut agent = legacy_agent(&world).await;
    let users = [world.dial("c1").await, world.dial("c1").await];
    let mut ids = Vec::new();
    for user in &users {
        say(user, b"x").await;
        ids.push(agent.hears().await.conn_id);
    }
    // Slow, but not dead: every byte arrives, though the agent knows of no credit.
    let piece = Bytes::from(vec![7; 32 << 10]);
    let mut expected = 0;
    for _ in 0..40 {
        agent.say(Packet::data(ids[0], piece.clone()));
        expected += piece.len();
    }
    let mut got = 0;
    while got < expected {
        tokio::time::sleep(Duration::from_millis(500)).await;
        got += users[0].read(&mut vec![0; 200 << 10]).await.unwrap();
    }
    assert_eq!(got, expected);
    // Dead: it is reset, and the other goes on.
    for _ in 0..40 {
        agent.say(Packet::data(ids[0], piece.clone()));
    }
    agent.say(Packet::data(ids[1], "beside".into()));
    let began = now();
    hears(&users[1], b"beside").await;
    assert!(
        began.elapsed() >= Duration::from_secs(10) && began.elapsed() <= Duration::from_secs(11)
    );
    assert!(rest(&users[0]).await.is_err());
}

#[tokio::test(start_paused = true)]
async fn numbers_are_never_used_again_not_even_by_the_next_hub() {
    let (mut seen, mut users) = (Vec::new(), Vec::new());
    for _ in 0..3 {
        let world = legacy_world().await;
        for _ in 0..2 {
            let mut agent = legacy_agent(&world).await;
            for _ in 0..3 {
                let user = world.dial("c1").await;
                say(&user, b"x").await;
                seen.push(agent.hears().await.conn_id);
                users.push(user);
            }
        }
    }
    assert!(seen.is_sorted_by(|one, next| one < next), "{seen:?}");
}

#[tokio::test(start_paused = true)]
async fn users_of_http_reach_a_legacy_agent_with_what_fits_into_one_packet() {
    let world = World::with(|config| {
        config.link.allow_legacy_peers = true;
        let http = r#"{"routes": [{"path": "/", "cluster": "c1"}]}"#;
        config.http = HttpConfig::from_json(http).unwrap();
        config.anonymous = vec!["c1".into()];
    })
    .await;
    let front = world.hub.listen_http(&address("mem:front")).await.unwrap();
    let mut agent = legacy_agent(&world).await;
    let user = world.network.connect(&front, None).await.unwrap();
    let body = "b".repeat(100_000);
    say(&user, b"POST /a HTTP/1.1\r\nHost: h\r\nTransfer-Encoding: chunked\r\n\r\n").await;
    for piece in body.as_bytes().chunks(10_000) {
        say(&user, format!("{:x}\r\n", piece.len()).as_bytes()).await;
        say(&user, piece).await;
        say(&user, b"\r\n").await;
    }
    say(&user, b"0\r\n\r\n").await;
    let packet = agent.hears().await;
    let request = String::from_utf8(packet.data.to_vec()).unwrap();
    assert!(request.starts_with("POST /a HTTP/1.1\r\n"), "{}", &request[..100]);
    assert_eq!(
        request.matches('b').count(),
        request.split("\r\n\r\n").next().unwrap().matches('b').count() + body.len()
    );
    agent
        .say(Packet::data(packet.conn_id, "HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\nok".into()));
    let mut buf = vec![0; 4096];
    let mut said = Vec::new();
    while !said.ends_with(b"ok") {
        let count = user.read(&mut buf).await.unwrap();
        assert_ne!(count, 0);
        said.extend_from_slice(&buf[..count]);
    }
    drop(user);
    let asks = async |text: String| {
        let user = world.network.connect(&front, None).await.unwrap();
        let _ = user.write_all(text.as_bytes()).await;
        let mut buf = vec![0; 12];
        let count = user.read(&mut buf).await.unwrap();
        String::from_utf8_lossy(&buf[..count]).into_owned()
    };
    let upgrade = "GET / HTTP/1.1\r\nHost: h\r\nConnection: Upgrade\r\nUpgrade: echo\r\n\r\n";
    assert_eq!(asks(upgrade.into()).await, "HTTP/1.1 501");
    let head = format!("POST / HTTP/1.1\r\nHost: h\r\nContent-Length: {}\r\n\r\n", 5 << 20);
    assert_eq!(asks(head + &"x".repeat(5 << 20)).await, "HTTP/1.1 413");
}

// Ends that mean harm.

#[tokio::test(start_paused = true)]
async fn an_agent_that_breaks_the_protocol_loses_its_tunnel_and_harms_nobody() {
    let world = World::new().await;
    let other = world.agent("c2").await;
    let listener = other.listener().unwrap();
    let odd = |id: i64, round: usize| -> Vec<u8> {
        let wire = |packet: Packet| packet.into_message().to_vec();
        match round {
            0 => wire(Packet::data(id, vec![1; 300 << 10].into())),
            1 => [wire(Packet::word(id, Word::End)), wire(Packet::data(id, "x".into()))].concat(),
            2 => [wire(Packet::word(id, Word::End)), wire(Packet::word(id, Word::End))].concat(),
            3 => wire(Packet { word: 77, ..Packet::data(id, "x".into()) }),
            4 => wire(open(id + 1, 10)),
            5 => wire(Packet { code: 9, ..Packet::data(id, "x".into()) }),
            6 => [wire(Packet::credit(id, u32::MAX)), wire(Packet::credit(id, u32::MAX))].concat(),
            7 => wire(Packet::word(id, Word::Accepted)),
            8 => vec![1, 0, 0, 0, 0],
            9 => vec![0, 0xff, 0, 0, 0],
            _ => vec![0, 0, 0, 0, 1, 0xff],
        }
    };
    for round in 0..=10 {
        let mut agent = extended_agent(&world).await;
        let hub = world.hub.clone();
        let dial = world.spawn(async move { hub.dial("c1", None, None).await.unwrap() });
        let asked = agent.hears().await;
        assert_eq!(asked.said(), Ok(Some(Word::Open)));
        let accepted = Packet { credit: 1000, ..Packet::word(asked.conn_id, Word::Accepted) };
        agent.say(accepted);
        let user = dial.await.unwrap();
        agent.say_bytes(odd(asked.conn_id, round));
        let ended_before = matches!(round, 1 | 2);
        assert_eq!(rest(&user).await.is_ok(), ended_before, "{round}: that is no orderly end");
        assert!(agent.is_given_up().await);
        until(|| world.hub.stats().links == 1).await;
        let beside = world.dial("c2").await;
        say(&beside, b"beside").await;
        hears(&listener.accept().await.unwrap(), b"beside").await;
    }
}

#[tokio::test(start_paused = true)]
async fn a_hub_that_breaks_the_protocol_loses_its_tunnel_and_the_agent_says_why() {
    let world = World::new().await;
    for (packets, why) in [
        (vec![open(0, 1)], "opened"),
        (vec![open(1, 1), open(1, 1)], "opened"),
        (vec![open(1, 1), Packet::data(1, vec![0; 300 << 10].into())], "credit"),
        (vec![Packet::word(1, Word::Accepted)], "as an agent"),
        (vec![Packet::word(0, Word::Draining)], "as an agent"),
        (vec![Packet { word: 99, ..Packet::default() }], "word"),
    ] {
        let (agent, mut hub) = extended_hub(&world).await;
        packets.into_iter().for_each(|packet| hub.say(packet));
        until(|| agent.stats().links == 0).await;
        let error = format!("{:?}", agent.last_error().unwrap());
        assert!(error.contains(why), "{why}: {error}");
        agent.close().await;
    }
}

#[tokio::test(start_paused = true)]
async fn a_hub_that_asks_without_end_is_refused_without_end_and_holds_nothing() {
    let world = World::new().await;
    let (agent, mut hub, _) = hub_of(&world, &[("trunkline-tunnel", "1")], |config| {
        config.max_connections = 3;
    })
    .await;
    for id in 1..=2000 {
        hub.say(open(id, 10));
    }
    let (mut accepted, mut refused) = (0, 0);
    for _ in 1..=2000 {
        let answer = hub.hears().await;
        match answer.said().unwrap() {
            Some(Word::Accepted) => accepted += 1,
            _ => {
                assert_eq!((answer.code, answer.status, answer.number), (ERROR, 429, 3));
                refused += 1;
            }
        }
    }
    assert_eq!((accepted, refused), (3, 1997));
    // Given up by the hub, and answered by nobody's end.
    for id in 1..=3 {
        hub.say(Packet::error(id, ""));
    }
    hub.say(Packet { target: "no address".into(), ..open(3001, 10) });
    assert_eq!((hub.hears().await.status, agent.stats().links), (400, 1));
}

#[tokio::test(start_paused = true)]
async fn a_connection_carries_one_tunnel_and_no_other_call() {
    let world = World::new().await;
    let stream = world.network.connect(&world.at, None).await.unwrap();
    let (requests, connection) = h2::client::handshake(stream).await.unwrap();
    world.spawn(connection);
    let call = async |path: &str| {
        let mut request = Request::post(path).header("content-type", "application/grpc");
        for (name, value) in extended_headers() {
            request = request.header(name, value);
        }
        let mut requests = requests.clone().ready().await.unwrap();
        let (response, outgoing) = requests.send_request(request.body(()).unwrap(), false).unwrap();
        let response = response.await.unwrap();
        let status = response.headers().get("grpc-status");
        (status.map(|status| status.to_str().unwrap().to_owned()), response, outgoing)
    };
    assert_eq!(call("http://hub/grpc.health.v1.Health/Check").await.0.as_deref(), Some("12"));
    let tunnel = call(TUNNEL).await;
    assert_eq!(tunnel.0, None);
    assert_eq!(call(TUNNEL).await.0.as_deref(), Some("8"));
    assert_eq!(world.hub.stats().links, 1);
}

fn any_packet() -> impl Strategy<Value = Packet> {
    let data = prop_oneof![3 => 0usize..40, 1 => 0usize..80_000];
    (-1i64..6, 0i32..4, 0u32..8, prop_oneof![Just(0u32), any::<u32>()], data, 0u32..600).prop_map(
        |(conn_id, code, word, credit, data, status)| Packet {
            conn_id,
            code,
            word,
            credit,
            data: vec![3; data].into(),
            status,
            ..Packet::default()
        },
    )
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 48, ..ProptestConfig::default() })]
    #[test]
    fn no_packets_of_an_agent_do_any_harm(
        packets in prop::collection::vec(any_packet(), 0..30), extended: bool, dials in 0usize..4,
    ) {
        let runtime = tokio::runtime::Builder::new_current_thread().enable_all().start_paused(true).build().unwrap();
        runtime.block_on(async {
            let world = legacy_world().await;
            let mut agent = if extended { extended_agent(&world).await } else { legacy_agent(&world).await };
            let mut tasks = Vec::new();
            for _ in 0..dials {
                let hub = world.hub.clone();
                tasks.push(world.spawn(async move {
                    let Ok(user) = hub.dial("c1", None, None).await else { return };
                    let _ = user.write(b"x").await;
                    let _ = rest(&user).await;
                }));
            }
            settle().await;
            let first = match dials {
                0 => 0,
                _ if extended => agent.hears().await.conn_id - 1,
                _ => agent.hears().await.conn_id - 1,
            };
            for packet in packets {
                let conn_id = packet.conn_id + if packet.conn_id > 0 { first } else { 0 };
                agent.say(Packet { conn_id, ..packet });
                settle().await;
            }
            drop(agent);
            for task in tasks {
                task.await.unwrap();
            }
            until(|| world.hub.stats().links == 0).await;
            let good = world.agent("c1").await;
            let user = world.dial("c1").await;
            say(&user, b"still there").await;
            hears(&good.listener().unwrap().accept().await.unwrap(), b"still there").await;
        });
    }

    #[test]
    fn no_packets_of_a_hub_do_any_harm(
        packets in prop::collection::vec(any_packet(), 0..30), extended: bool,
    ) {
        let runtime = tokio::runtime::Builder::new_current_thread().enable_all().start_paused(true).build().unwrap();
        runtime.block_on(async {
            let world = World::new().await;
            let (agent, mut hub) = if extended { extended_hub(&world).await } else { legacy_hub(&world).await };
            let listener = agent.listener().unwrap();
            let host = world.echo(listener);
            for packet in packets {
                hub.say(packet);
                settle().await;
            }
            drop(hub);
            until(|| agent.stats().active == 0 && agent.stats().links == 0).await;
            agent.close().await;
            host.abort();
        });
    }
}
