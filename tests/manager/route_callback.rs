//! A function of the program that says where connections go, and the routes wherever it does not.

use super::*;
use std::sync::Mutex;
use tokio::sync::mpsc;
use trunkline_core::{
    Arrival, CloseReason, RouteCallback, RouteDecision, config::Config, manager::Routing,
};

/// `answers` says what it does; each arrival is told.
struct Told<F>(F, mpsc::UnboundedSender<Arc<Arrival>>);

impl<F> std::fmt::Debug for Told<F> {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str("Told")
    }
}

impl<F: Fn(&Arrival) -> Routing + Send + Sync> RouteCallback for Told<F> {
    fn route(self: Arc<Self>, arrival: Arc<Arrival>) -> Routing {
        let _ = self.1.send(Arc::clone(&arrival));
        (self.0)(&arrival)
    }
}

type Answers = fn(&Arrival) -> Routing;
type Arrivals = mpsc::UnboundedReceiver<Arc<Arrival>>;

fn ask(
    manager: &TcpConnectionManager,
    answers: impl Fn(&Arrival) -> Routing + Send + Sync + 'static,
) -> Arrivals {
    let (sender, receiver) = mpsc::unbounded_channel();
    manager.on_route(Some(Arc::new(Told(answers, sender)))).unwrap();
    receiver
}

fn at_once(decision: RouteDecision) -> Routing {
    Box::pin(async move { Ok(decision) })
}

/// What hangs until it is dropped, and tells that.
struct Hangs(mpsc::UnboundedSender<()>);

impl Drop for Hangs {
    fn drop(&mut self) {
        let _ = self.0.send(());
    }
}

fn hanging(manager: &TcpConnectionManager) -> (Arrivals, mpsc::UnboundedReceiver<()>) {
    let (dropped, drops) = mpsc::unbounded_channel();
    let arrivals = ask(manager, move |_| {
        let hangs = Hangs(dropped.clone());
        Box::pin(async move {
            let _hangs = hangs;
            std::future::pending().await
        })
    });
    (arrivals, drops)
}

/// A manager that listens on `mem:NAME-in`, with two backends at `mem:NAME-a` and `mem:NAME-b`; by the routes all goes to
/// the first.
struct World {
    network: Network,
    manager: TcpConnectionManager,
    address: Address,
    a: Listener,
    b: Listener,
}

fn mem(name: &str, end: &str) -> Address {
    format!("mem:{name}-{end}").parse().unwrap()
}

impl World {
    async fn new(name: &str, route_callback: &str) -> Self {
        let network = network();
        let document = format!(
            r#"{{"listeners": {{"in": {{"address": "mem:{name}-in", "probe": {{"timeout": "1h"}}}}}},
                "default_backend": "a", "route_callback": {route_callback}, "backends": {{
                "a": {{"endpoints": [{{"address": "mem:{name}-a"}}]}},
                "b": {{"endpoints": [{{"address": "mem:{name}-b"}}]}}}}}}"#
        );
        let config = TcpManagerConfig::from_json(&document).unwrap();
        let manager = TcpConnectionManager::new(network.clone(), config).unwrap();
        let a = network.listen(&mem(name, "a")).await.unwrap();
        let b = network.listen(&mem(name, "b")).await.unwrap();
        let address = manager.start().await.unwrap()["in"].clone();
        Self { network, manager, address, a, b }
    }

    async fn client(&self, said: &[u8]) -> Stream {
        let client = self.network.connect(&self.address, None).await.unwrap();
        client.write_all(said).await.unwrap();
        client
    }

    fn counted(&self, outcome: &str) -> u64 {
        let name = "trunkline_route_callback_total";
        let total = self.network.metrics().snapshot().total(name, &[("outcome", outcome)]);
        total.try_into().unwrap()
    }
}

async fn hears(listener: &Listener, said: &[u8]) -> Stream {
    let server = listener.accept().await.unwrap();
    assert_eq!(read_exactly(&server, said.len()).await, said);
    server
}

fn request(host: &str) -> Vec<u8> {
    format!("GET / HTTP/1.1\r\nHost: {host}\r\n\r\n").into_bytes()
}

#[tokio::test]
async fn the_program_says_where_a_connection_goes_by_what_is_known_of_it() {
    let world = World::new("decides", "{}").await;
    let elsewhere = world.network.listen(&mem("decides", "elsewhere")).await.unwrap();
    let mut arrivals = ask(&world.manager, |arrival| {
        at_once(match arrival.host().unwrap() {
            "b.example" => RouteDecision::Backend("b".into()),
            "elsewhere.example" => RouteDecision::Address(mem("decides", "elsewhere")),
            "nobody.example" => RouteDecision::Refuse,
            _ => RouteDecision::Default,
        })
    });
    let told = request("b.example");
    let client = world.client(&told).await;
    let _server = hears(&world.b, &told).await;
    let arrival = arrivals.recv().await.unwrap();
    assert_eq!((&*arrival.listener, arrival.id), ("in", world.manager.live(0, 1)[0].id));
    assert_eq!(arrival.protocol.as_ref().unwrap().name(), "http1");
    assert_eq!(arrival.local, Some(world.address.clone()));
    assert_eq!(arrival.timeout.as_secs(), 1);

    let told = request("elsewhere.example");
    let _elsewhere_client = world.client(&told).await;
    let _elsewhere_server = hears(&elsewhere, &told).await;
    let live = world.manager.live(arrivals.recv().await.unwrap().id.get() - 1, 1);
    assert_eq!(live[0].backend, None, "past the backends");
    let told = request("other.example");
    let _other = world.client(&told).await;
    let _other_server = hears(&world.a, &told).await;
    let refused = world.client(&request("nobody.example")).await;
    assert!(read_all(&refused).await.1.is_err(), "it is reset");
    until(|| world.manager.stats().closed_because(CloseReason::Refused) == 1).await;
    for outcome in ["backend", "address", "default", "refused"] {
        assert_eq!(world.counted(outcome), 1, "{outcome}");
    }

    world.manager.on_route(None).unwrap();
    let told = request("b.example");
    let _again = world.client(&told).await;
    let _again_server = hears(&world.a, &told).await;
    drop(client);
    world.manager.close().await;
}

#[tokio::test]
async fn what_the_program_does_not_say_is_left_to_the_routes_and_counted() {
    let world = World::new("left", r#"{"timeout": "1h", "probe": false}"#).await;
    let failures: [(&str, Answers); 5] = [
        ("failed", |_| {
            let error = ConnectionError::invalid_config("route", "no idea");
            Box::pin(async { Err(error) })
        }),
        ("panicked", |_| Box::pin(async { panic!("the callback of a test") })),
        ("panicked", |_| panic!("the call of a test")),
        ("unusable", |_| at_once(RouteDecision::Backend("c".into()))),
        ("unusable", |_| at_once(RouteDecision::Address(mem("left", "in")))),
    ];
    for (outcome, answer) in failures {
        let before = world.counted(outcome);
        let _arrivals = ask(&world.manager, answer);
        let _client = world.client(b"hello").await;
        let _server = hears(&world.a, b"hello").await;
        assert_eq!(world.counted(outcome), before + 1, "{outcome}");
    }
    for address in ["udp://127.0.0.1:1", "tcp://127.0.0.1:0", "tunnel:cluster"] {
        let Ok(address) = address.parse::<Address>() else { panic!("{address}") };
        let _arrivals =
            ask(&world.manager, move |_| at_once(RouteDecision::Address(address.clone())));
        let _client = world.client(b"hello").await;
        let _server = hears(&world.a, b"hello").await;
    }
    assert_eq!(world.counted("unusable"), 5);
    world.manager.close().await;
}

#[tokio::test]
async fn a_program_that_takes_too_long_is_not_waited_for() {
    let world = World::new("late", r#"{"timeout": "1ms", "probe": false}"#).await;
    let (_arrivals, mut drops) = hanging(&world.manager);
    let _client = world.client(b"hello").await;
    let _server = hears(&world.a, b"hello").await;
    drops.recv().await.unwrap();
    assert_eq!(world.counted("timeout"), 1);
    world.manager.close().await;
}

#[tokio::test]
async fn no_more_are_asked_about_than_the_configuration_says() {
    let world = World::new("bound", r#"{"timeout": "1h", "max_pending": 1, "probe": false}"#).await;
    let (mut arrivals, mut drops) = hanging(&world.manager);
    let first = world.client(b"first").await;
    let id = arrivals.recv().await.unwrap().id.get();
    let _second = world.client(b"second").await;
    let _second_server = hears(&world.a, b"second").await;
    assert_eq!(world.counted("not_asked"), 1);

    let document = r#"{"listeners": {"in": {"address": "mem:bound-in"}},
        "route_callback": {"timeout": "1h", "max_pending": 2, "probe": false}}"#;
    world.manager.reconfigure(TcpManagerConfig::from_json(document).unwrap()).unwrap();
    let _third = world.client(b"third").await;
    arrivals.recv().await.unwrap();

    assert!(world.manager.kill(id));
    assert!(read_all(&first).await.1.is_err(), "an end would read as an answer");
    drops.recv().await.unwrap();
    world.manager.close().await;
    drops.recv().await.unwrap();
}

#[tokio::test]
async fn a_drain_gives_a_question_the_time_it_has_and_then_no_more() {
    let world = World::new("drains", r#"{"timeout": "1h", "probe": false}"#).await;
    let (answer, answered) = tokio::sync::oneshot::channel::<RouteDecision>();
    let answered = Mutex::new(Some(answered));
    let (dropped, mut drops) = mpsc::unbounded_channel();
    let mut arrivals = ask(&world.manager, move |_| {
        let (answered, hangs) = (answered.lock().unwrap().take(), Hangs(dropped.clone()));
        Box::pin(async move {
            let _hangs = hangs;
            match answered {
                Some(answered) => Ok(answered.await.unwrap()),
                None => std::future::pending().await,
            }
        })
    });
    let first = world.client(b"first").await;
    arrivals.recv().await.unwrap();
    let second = world.client(b"second").await;
    arrivals.recv().await.unwrap();
    let (now, draining) = (std::time::Instant::now(), world.manager.clone());
    let draining = tokio::spawn(async move { draining.drain(None).await });
    until(|| world.manager.on_route(None).is_err()).await;
    answer.send(RouteDecision::Backend("b".into())).unwrap();
    let server = hears(&world.b, b"first").await;
    drops.recv().await.unwrap();
    drop((first, server));
    until(|| world.manager.stats().active == 1).await;
    assert_eq!(world.manager.drain(Some(now)).await.cut, 1);
    drops.recv().await.unwrap();
    drop(second);
    draining.await.unwrap();
    // Nothing asks any more: the callback is gone, and with it the sender of arrivals.
    assert!(arrivals.recv().await.is_none());
}
