//! Peers that mean harm, or do it: at the hub's door and on its links.

use super::*;
use crate::{
    error::Step,
    tunnel::{
        greet,
        hello::{HEAD, Hello, Verdict},
        native::{self, Limits},
    },
};
use proptest::prelude::*;

/// What the hub answers to `bytes`, which come `split` at a time.
async fn answer_to(world: &World, bytes: &[u8], split: usize) -> Vec<u8> {
    let stream = world.network.connect(&world.at, None).await.unwrap();
    for piece in bytes.chunks(split.max(1)) {
        if stream.write_all(piece).await.is_err() {
            break;
        }
        tokio::task::yield_now().await;
    }
    let _ = stream.shutdown(Shutdown::Write);
    rest(&stream).await.unwrap_or_default()
}

fn hello(cluster: &str, token: Option<Secret>) -> Vec<u8> {
    Hello { cluster: cluster.into(), token, instance: [1; 16] }.to_bytes()
}

fn code(answer: &[u8]) -> u8 {
    assert!(answer.starts_with(b"TLTN\x01"), "{answer:?}");
    answer[5]
}

#[tokio::test(start_paused = true)]
async fn nobody_is_let_in_without_the_clusters_own_token() {
    let world = World::new().await;
    for (cluster, given) in [
        ("c1", None),
        ("c1", Some(token("c2"))),
        ("c1", Some(Secret::new(""))),
        ("c1", Some(Secret::new(token("c1").expose().trim_end_matches('h')))),
        ("c3", Some(token("c3"))),
    ] {
        let answer = answer_to(&world, &hello(cluster, given), 1000).await;
        assert_eq!(code(&answer), Verdict::NotProved as u8, "{cluster}");
    }
    assert_eq!((world.hub.stats().links, world.hub.stats().links_refused), (0, 5));

    let mut config = world.config("c1");
    config.token = Some(token("c2"));
    let agent = Agent::new(world.network.clone(), config).unwrap();
    let soon = now().into_std() + Duration::from_secs(5);
    let error = agent.ready(Some(soon)).await.unwrap_err();
    assert!(matches!(error, ConnectionError::Timeout { .. }));
    let why = format!("{:?}", agent.last_error().unwrap());
    assert!(why.contains("has not proved") && !why.contains(token("c2").expose()), "{why}");
}

#[tokio::test(start_paused = true)]
async fn a_hello_that_is_none_is_answered_with_what_is_wrong_and_starts_nothing() {
    let world = World::new().await;
    for (bytes, verdict, text) in [
        (b"GET / HTTP/1.1\r\n\r\n".to_vec(), Verdict::Malformed, "does not begin"),
        (b"TLTN\x02\0\0\0".to_vec(), Verdict::OtherVersion, "speaks version 1"),
        (b"TLTN\x01\0\xff\xff".to_vec(), Verdict::Malformed, "announces 65535 bytes"),
        (b"TLTN\x01\0\0\x03\x01\0\x09".to_vec(), Verdict::Malformed, "cut off"),
    ] {
        let answer = answer_to(&world, &bytes, 1).await;
        assert_eq!(code(&answer), verdict as u8);
        assert!(String::from_utf8_lossy(&answer).contains(text), "{answer:?}");
    }
    assert_eq!(world.hub.stats().links_opened, 0);
}

#[tokio::test(start_paused = true)]
async fn who_is_slow_to_say_hello_is_dropped_and_keeps_only_its_own_place() {
    let world = World::with(|config| config.max_hellos = 2).await;
    let mut slow = Vec::new();
    for _ in 0..5 {
        let stream = world.network.connect(&world.at, None).await.unwrap();
        say(&stream, b"TLTN").await;
        slow.push(stream);
    }
    let began = now();
    let _agent = world.agent("c1").await;
    assert!(began.elapsed() >= Duration::from_secs(10), "two at a time, ten seconds each");
    for stream in slow {
        assert!(rest(&stream).await.is_ok_and(|said| said.is_empty()));
    }
}

#[tokio::test(start_paused = true)]
async fn a_hub_has_no_more_agents_than_it_may() {
    let world = World::with(|config| config.max_agents = 1).await;
    let agent = world.agent("c1").await;
    let answer = answer_to(&world, &hello("c2", Some(token("c2"))), 1000).await;
    assert_eq!(code(&answer), Verdict::Full as u8);
    agent.close().await;
    world.agent("c2").await;
}

#[tokio::test(start_paused = true)]
async fn an_agent_that_speaks_no_http_after_its_hello_is_dropped() {
    let world = World::new().await;
    let mut bytes = hello("c1", Some(token("c1")));
    bytes.extend([0xff; 100]);
    let answer = answer_to(&world, &bytes, 1000).await;
    assert_eq!(code(&answer), Verdict::Welcome as u8);
    until(|| world.hub.stats().links == 0).await;
    world.agent("c1").await;
}

#[tokio::test(start_paused = true)]
async fn a_hub_of_another_version_is_an_error_and_never_a_downgrade() {
    let world = World::new().await;
    for (answer, text) in [
        (b"TLTN\x02\0\0\0".to_vec(), "speaks version 2"),
        (Verdict::OtherVersion.to_bytes("this hub speaks version 9"), "speaks version 9"),
        (b"HTTP/1.1 400 Bad Request".to_vec(), "does not begin"),
    ] {
        let listener = world.network.listen(&address("mem:other")).await.unwrap();
        let mut config = world.config("c1");
        config.hubs = vec![address("mem:other")];
        let agent = Agent::new(world.network.clone(), config).unwrap();
        let stream = listener.accept().await.unwrap();
        hear(&stream).await;
        say(&stream, &answer).await;
        until(|| agent.stats().links_failed > 0).await;
        let error = agent.last_error().unwrap();
        assert!(matches!(error, ConnectionError::Protocol { .. }), "{error}");
        assert!(error.to_string().contains(text) && error.step() == Step::Connect, "{error}");
        agent.close().await;
    }
}

#[tokio::test(start_paused = true)]
async fn a_hub_that_asks_for_nonsense_gets_a_refusal_and_the_link_goes_on() {
    let world = World::new().await;
    let listener = world.network.listen(&address("mem:odd")).await.unwrap();
    let mut config = world.config("c1");
    config.hubs = vec![address("mem:odd")];
    let agent = Agent::new(world.network.clone(), config).unwrap();
    let stream = listener.accept().await.unwrap();
    hear(&stream).await;
    greet::answer(&stream, Verdict::Welcome, "").await.unwrap();
    let (mut requests, connection) = h2::client::handshake(stream).await.unwrap();
    world.spawn(connection);
    for (method, path, target) in [
        ("GET", "/trunkline.tunnel/1/open", ""),
        ("POST", "/trunkline.tunnel/2/open", ""),
        ("POST", "/trunkline.tunnel/1/open", "no address"),
        ("POST", "/trunkline.tunnel/1/open", "\u{fc}"),
    ] {
        let mut request = http::Request::builder().method(method).uri(path);
        if !target.is_empty() {
            request = request.header("target", target.as_bytes());
        }
        requests = requests.ready().await.unwrap();
        let (response, _) = requests.send_request(request.body(()).unwrap(), true).unwrap();
        assert_eq!(response.await.unwrap().status(), 400, "{method} {path} {target}");
    }
    assert_eq!(agent.stats().links, 1);
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 64, ..ProptestConfig::default() })]
    #[test]
    fn no_bytes_at_the_door_do_any_harm(
        magic: bool, bytes in prop::collection::vec(any::<u8>(), 0..300), split in 1usize..20,
    ) {
        let runtime = tokio::runtime::Builder::new_current_thread().enable_all().start_paused(true).build().unwrap();
        runtime.block_on(async {
            let world = World::new().await;
            let mut all = if magic { b"TLTN\x01\0".to_vec() } else { Vec::new() };
            all.extend(bytes);
            let answer = answer_to(&world, &all, split).await;
            assert!(answer.len() <= HEAD + 4096);
            assert_eq!(world.hub.stats().links_opened, 0);
            world.agent("c1").await;
        });
    }

    #[test]
    fn a_hello_is_understood_however_it_is_split(split in 1usize..200) {
        let runtime = tokio::runtime::Builder::new_current_thread().enable_all().start_paused(true).build().unwrap();
        runtime.block_on(async {
            let world = World::new().await;
            let stream = world.network.connect(&world.at, None).await.unwrap();
            for piece in hello("c1", Some(token("c1"))).chunks(split) {
                say(&stream, piece).await;
                tokio::task::yield_now().await;
            }
            let mut head = [0; HEAD];
            stream.read(&mut head).await.unwrap();
            assert_eq!(code(&head), Verdict::Welcome as u8);
            let limits = Limits::new(&Default::default(), 10);
            let serving = native::Serving::begin(stream, limits).await.unwrap();
            assert_eq!(world.hub.stats().links, 1);
            drop(serving);
        });
    }
}
