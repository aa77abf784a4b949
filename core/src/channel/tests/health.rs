//! Health: what servers say of theirs, and where calls go by it.

use super::{
    ConnectivityState::{Connecting, Idle, Ready, TransientFailure},
    *,
};
use messages::{HealthCheckRequest, HealthListResponse};
use prost::Message as _;

const HEALTH: &str = "/grpc.health.v1.Health/";

/// Calls are spread over servers that say of `service` that it serves.
fn asking(service: &str) -> ConnectionConfig {
    config(json!({
        "loadBalancingConfig": [{"round_robin": {}}],
        "healthCheckConfig": {"serviceName": service},
    }))
}

/// Echoes that are counted.
fn counted(hits: &Arc<AtomicUsize>) -> Methods {
    let hits = Arc::clone(hits);
    Methods::new().unary(ECHO, move |request| {
        hits.fetch_add(1, Ordering::Relaxed);
        async move { Ok(tonic::Response::new(request.into_inner())) }
    })
}

fn named(service: &str) -> Bytes {
    HealthCheckRequest { service: service.into() }.encode_to_vec().into()
}

async fn call_often(channel: &Channel) {
    for _ in 0..10 {
        channel.unary(ECHO, Bytes::new(), within(SECOND)).await.unwrap();
    }
}

#[tokio::test(start_paused = true)]
async fn calls_go_only_to_servers_that_say_that_they_serve() {
    let network = network();
    let hits = [Arc::new(AtomicUsize::new(0)), Arc::new(AtomicUsize::new(0))];
    let [a, b] = [counted(&hits[0]), counted(&hits[1])];
    let (health_of_a, health_of_b) = (a.health(), b.health());
    let _servers = (serve(&network, "mem:a", a).await, serve(&network, "mem:b", b).await);
    let took = || [&hits[0], &hits[1]].map(|hits| hits.swap(0, Ordering::Relaxed));
    health_of_b.set("test.Service", ServingStatus::NotServing);
    let channel = channel(&network, "mem:a,mem:b", asking("test.Service"));
    channel.wait_ready(after(SECOND)).await.unwrap();
    tokio::time::sleep(SECOND).await;
    call_often(&channel).await;
    assert_eq!(took(), [10, 0]);

    health_of_b.clear("test.Service");
    tokio::time::sleep(SECOND).await;
    call_often(&channel).await;
    assert_eq!(took(), [5, 5]);

    health_of_a.shut_down();
    tokio::time::sleep(SECOND).await;
    call_often(&channel).await;
    assert_eq!(took(), [0, 10]);

    health_of_b.set("test.Service", ServingStatus::ServiceUnknown);
    reaches(&channel, TransientFailure).await;
    let error = channel.unary(ECHO, Bytes::new(), within(SECOND)).await.unwrap_err();
    assert_eq!(code(&error), StatusCode::Unavailable);
    let text = error.to_string();
    assert!(text.contains("NOT_SERVING") && text.contains("SERVICE_UNKNOWN"), "{text}");
    assert_eq!(count(&network, "trunkline_channel_connections", &[]), 2, "connections are kept");

    health_of_a.resume();
    channel.wait_ready(after(SECOND)).await.unwrap();
    call_often(&channel).await;
    assert_eq!(took(), [10, 0]);
}

#[tokio::test(start_paused = true)]
async fn a_call_under_way_goes_on_when_its_server_stops_serving() {
    let network = network();
    let methods = Methods::new().unary(ECHO, |request| async move {
        tokio::time::sleep(10 * SECOND).await;
        Ok(tonic::Response::new(request.into_inner()))
    });
    let health = methods.health();
    let _server = serve(&network, "mem:a", methods).await;
    let channel = channel(&network, "mem:a", asking(""));
    channel.wait_ready(after(SECOND)).await.unwrap();
    let changing = async {
        tokio::time::sleep(SECOND).await;
        health.set("", ServingStatus::NotServing);
        reaches(&channel, TransientFailure).await;
    };
    let calling = channel.unary(ECHO, message("x"), within(60 * SECOND));
    let (reply, ()) = tokio::join!(calling, changing);
    assert_eq!(reply.unwrap().message, "x");
}

#[tokio::test(start_paused = true)]
async fn a_server_that_does_not_know_the_question_is_taken_to_be_healthy() {
    let network = network();
    let asked = Arc::new(AtomicUsize::new(0));
    let counting = Arc::clone(&asked);
    let methods = echo().streaming(&format!("{HEALTH}Watch"), move |_| {
        counting.fetch_add(1, Ordering::Relaxed);
        async { Err(Status::unimplemented("what health?")) }
    });
    let _server = serve(&network, "mem:a", methods).await;
    let channel = channel(&network, "mem:a", asking("test.Service"));
    channel.wait_ready(after(SECOND)).await.unwrap();
    call_often(&channel).await;
    tokio::time::sleep(600 * SECOND).await;
    assert_eq!((channel.state(false), asked.load(Ordering::Relaxed)), (Ready, 1));
}

#[tokio::test(start_paused = true)]
async fn a_question_that_fails_is_put_again_and_calls_wait_for_the_answer() {
    let network = network();
    let put = Arc::new(parking_lot::Mutex::new(Vec::new()));
    let noting = Arc::clone(&put);
    let methods = echo().streaming(&format!("{HEALTH}Watch"), move |_| {
        let nth = {
            let mut put = noting.lock();
            put.push(wire::now());
            put.len()
        };
        async move {
            match nth {
                1 | 2 => Err(Status::internal("not yet")),
                _ => Ok(tonic::Response::new(Box::pin(tokio_stream::StreamExt::chain(
                    tokio_stream::once(Ok(message("\x08\x01"))),
                    tokio_stream::pending(),
                )) as Messages)),
            }
        }
    });
    let _server = serve(&network, "mem:a", methods).await;
    let channel = channel(&network, "mem:a", asking(""));
    let options = CallOptions { wait_for_ready: Some(true), ..within(60 * SECOND) };
    channel.unary(ECHO, Bytes::new(), options).await.unwrap();
    let put = put.lock().clone();
    let gaps: Vec<_> = put.windows(2).map(|pair| (pair[1] - pair[0]).as_secs_f64()).collect();
    assert_eq!(gaps.len(), 2, "{gaps:?}");
    assert!((gaps[0] - 1.0).abs() < 0.01, "{gaps:?}");
    assert!((1.27..1.93).contains(&gaps[1]), "{gaps:?}");
}

#[tokio::test(start_paused = true)]
async fn until_a_server_has_answered_the_channel_is_connecting() {
    let network = network();
    let methods = echo().streaming(&format!("{HEALTH}Watch"), |_| std::future::pending());
    let _server = serve(&network, "mem:a", methods).await;
    let channel = channel(&network, "mem:a", asking(""));
    channel.connect();
    tokio::time::sleep(60 * SECOND).await;
    assert_eq!(channel.state(false), Connecting);
    assert_eq!(count(&network, "trunkline_channel_connections", &[]), 1);
}

#[tokio::test(start_paused = true)]
async fn a_question_holds_no_connection_open() {
    let network = network();
    let _server = serve(&network, "mem:a", echo()).await;
    let brief = ConnectionConfig { idle_timeout: TimeLimit::secs(60), ..asking("test.Service") };
    let channel = channel(&network, "mem:a", brief);
    channel.wait_ready(after(SECOND)).await.unwrap();
    reaches(&channel, Idle).await;
    tokio::time::sleep(SECOND).await;
    assert_eq!(count(&network, "trunkline_channel_connections", &[]), 0);
    channel.wait_ready(after(SECOND)).await.unwrap();
    channel.close(after(60 * SECOND)).await;
    assert_eq!(count(&network, "trunkline_channel_connections", &[]), 0);
    tokio::time::sleep(SECOND).await;
    assert_eq!(count(&network, "trunkline_connections_active", &[]), 0);
}

#[tokio::test(start_paused = true)]
async fn a_server_that_drains_is_left_although_it_is_watched() {
    let network = network();
    let server = serve(&network, "mem:a", echo()).await;
    let channel = channel(&network, "mem:a", asking("test.Service"));
    channel.wait_ready(after(SECOND)).await.unwrap();
    let started = wire::now();
    server.drain(after(60 * SECOND)).await;
    assert!(wire::now() - started < 5 * SECOND, "nobody had to be cut");
}

#[tokio::test(start_paused = true)]
async fn who_watches_a_service_hears_every_change_of_it_alone() {
    let network = network();
    let methods = echo();
    let health = methods.health();
    let _server = serve(&network, "mem:a", methods).await;
    let channel = channel(&network, "mem:a", plain());
    let watch = channel.call(&format!("{HEALTH}Watch"), within(60 * SECOND)).unwrap();
    watch.send(named("other.Service")).await.unwrap();
    watch.finish_sending();
    let next = async || {
        let message = watch.receive().await.unwrap().unwrap();
        ServingStatus::read(&message).unwrap()
    };
    assert_eq!(next().await, ServingStatus::ServiceUnknown);
    health.set("test.Service", ServingStatus::NotServing);
    health.set("other.Service", ServingStatus::Serving);
    assert_eq!(next().await, ServingStatus::Serving);
    health.shut_down();
    assert_eq!(next().await, ServingStatus::NotServing);
    health.resume();
    assert_eq!(next().await, ServingStatus::Serving);
    health.clear("other.Service");
    assert_eq!(next().await, ServingStatus::ServiceUnknown);
}

#[tokio::test(start_paused = true)]
async fn services_are_listed_with_their_health_unless_they_are_too_many() {
    let network = network();
    let methods = echo();
    let health = methods.health();
    let _server = serve(&network, "mem:a", methods).await;
    let channel = channel(&network, "mem:a", plain());
    health.set("idle.Service", ServingStatus::NotServing);
    let list = format!("{HEALTH}List");
    let reply = channel.unary(&list, Bytes::new(), within(SECOND)).await.unwrap();
    let listed = HealthListResponse::decode(reply.message).unwrap().statuses;
    let listed: Vec<_> = listed.iter().map(|(name, one)| (name.as_str(), one.status)).collect();
    assert_eq!(listed, [("", 1), ("idle.Service", 2), ("test.Service", 1)]);
    for nth in 0..100 {
        health.set(&format!("service.{nth}"), ServingStatus::Serving);
    }
    let error = channel.unary(&list, Bytes::new(), within(SECOND)).await.unwrap_err();
    assert_eq!(code(&error), StatusCode::ResourceExhausted);
}
