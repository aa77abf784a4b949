//! Where calls go that are spread over several servers.

use super::{super::report::tests::written, *};
use crate::config::CircuitConfig;
use parking_lot::Mutex;

/// Servers, by their numbers, and how many calls each had.
struct Servers {
    hits: Vec<Arc<AtomicUsize>>,
    target: String,
    _servers: Vec<ChannelServer>,
}

impl Servers {
    /// `answer` says how the server of this number answers.
    async fn start<F>(
        network: &Network,
        count: usize,
        answer: impl Fn(usize) -> F + Clone + Send + Sync + 'static,
    ) -> Self
    where
        F: Future<Output = Result<tonic::Response<Bytes>, Status>> + Send + 'static,
    {
        let (mut hits, mut servers) = (Vec::new(), Vec::new());
        for nth in 0..count {
            let (counted, answer) = (Arc::new(AtomicUsize::new(0)), answer.clone());
            hits.push(Arc::clone(&counted));
            let methods = Methods::new().unary(ECHO, move |_| {
                counted.fetch_add(1, Ordering::Relaxed);
                answer(nth)
            });
            servers.push(serve(network, &format!("mem:{nth}"), methods).await);
        }
        let names: Vec<_> = (0..count).map(|nth| format!("mem:{nth}")).collect();
        Self { hits, target: names.join(","), _servers: servers }
    }

    fn took(&self) -> Vec<usize> {
        self.hits.iter().map(|hits| hits.swap(0, Ordering::Relaxed)).collect()
    }

    /// A channel that has reached all of them.
    async fn channel(&self, network: &Network, policy: Value) -> Channel {
        let channel =
            channel(network, &self.target, config(json!({"loadBalancingConfig": [policy]})));
        channel.wait_ready(after(SECOND)).await.unwrap();
        tokio::time::sleep(SECOND).await;
        channel
    }
}

fn empty() -> Result<tonic::Response<Bytes>, Status> {
    Ok(tonic::Response::new(Bytes::new()))
}

fn judging(child: &str) -> Value {
    json!({"outlier_detection": {
        "interval": "1s",
        "baseEjectionTime": "5s",
        "failurePercentageEjection": {"threshold": 50, "minimumHosts": 3, "requestVolume": 5},
        "childPolicy": [{child: {}}],
    }})
}

async fn call(channel: &Channel, times: usize) -> usize {
    let mut failed = 0;
    for _ in 0..times {
        failed += usize::from(channel.unary(ECHO, Bytes::new(), within(SECOND)).await.is_err());
    }
    failed
}

#[tokio::test(start_paused = true)]
async fn a_server_that_fails_more_than_the_others_gets_no_calls_for_a_while() {
    let network = network();
    let servers = Servers::start(&network, 3, |nth| async move {
        if nth == 1 { Err(Status::internal("broken")) } else { empty() }
    })
    .await;
    let channel = servers.channel(&network, judging("round_robin")).await;
    assert_eq!((call(&channel, 30).await, servers.took()), (10, vec![10, 10, 10]));
    tokio::time::sleep(SECOND + 100 * MILLI).await;
    assert_eq!((call(&channel, 30).await, servers.took()), (0, vec![15, 0, 15]));
    let left_out = [("rule", "failure_percentage"), ("enforced", "yes")];
    assert_eq!(count(&network, "trunkline_channel_ejections_total", &left_out), 1);
    tokio::time::sleep(6 * SECOND).await;
    assert_eq!((call(&channel, 30).await, servers.took()), (10, vec![10, 10, 10]));
}

#[tokio::test(start_paused = true)]
async fn a_server_that_does_not_answer_in_time_fails() {
    let network = network();
    let servers = Servers::start(&network, 3, |nth| async move {
        if nth == 1 {
            std::future::pending::<()>().await;
        }
        empty()
    })
    .await;
    let channel = servers.channel(&network, judging("round_robin")).await;
    for _ in 0..15 {
        let brief = within(10 * MILLI);
        let _ = channel.unary(ECHO, Bytes::new(), brief).await;
    }
    assert_eq!(servers.took(), [5, 5, 5]);
    tokio::time::sleep(SECOND + 100 * MILLI).await;
    assert_eq!((call(&channel, 10).await, servers.took()), (0, vec![5, 0, 5]));
}

#[tokio::test(start_paused = true)]
async fn while_all_servers_are_left_out_calls_say_why() {
    let network = network();
    let servers = Servers::start(&network, 3, |_| async { Err(Status::internal("broken")) }).await;
    let mut policy = judging("round_robin");
    policy["outlier_detection"]["maxEjectionPercent"] = json!(100);
    let channel = servers.channel(&network, policy).await;
    assert_eq!(call(&channel, 30).await, 30);
    tokio::time::sleep(SECOND + 100 * MILLI).await;
    let error = channel.unary(ECHO, Bytes::new(), within(SECOND)).await.unwrap_err();
    assert_eq!(code(&error), StatusCode::Unavailable);
    assert!(error.to_string().contains("left out"), "{error}");
}

/// A server's answer whose trailers report its load: calls in a second, at half of what it can.
fn reporting(calls: f64) -> Result<tonic::Response<Messages>, Status> {
    let report = written(&[(6, calls), (9, 0.5)]);
    let mut trailers = Status::ok("");
    let value = tonic::metadata::MetadataValue::from_bytes(&report);
    trailers.metadata_mut().insert_bin("endpoint-load-metrics-bin", value);
    let messages = [Ok(Bytes::new()), Err(trailers)];
    Ok(tonic::Response::new(Box::pin(tokio_stream::iter(messages))))
}

#[tokio::test(start_paused = true)]
async fn servers_get_calls_as_the_reports_in_their_trailers_say() {
    let network = network();
    let (mut hits, mut servers) = (Vec::new(), Vec::new());
    for (name, calls) in [("mem:0", 300.0), ("mem:1", 100.0)] {
        let counted = Arc::new(AtomicUsize::new(0));
        hits.push(Arc::clone(&counted));
        let methods = Methods::new().streaming(ECHO, move |_| {
            counted.fetch_add(1, Ordering::Relaxed);
            async move { reporting(calls) }
        });
        servers.push(serve(&network, name, methods).await);
    }
    let policy =
        json!({"loadBalancingConfig": [{"weighted_round_robin": {"blackoutPeriod": "1s"}}]});
    let channel = channel(&network, "mem:0,mem:1", config(policy));
    channel.wait_ready(after(SECOND)).await.unwrap();
    tokio::time::sleep(SECOND).await;
    let took = || hits.iter().map(|hits| hits.swap(0, Ordering::Relaxed)).collect::<Vec<_>>();
    assert_eq!((call(&channel, 40).await, took()), (0, vec![20, 20]));
    tokio::time::sleep(2 * SECOND).await;
    assert_eq!((call(&channel, 40).await, took()), (0, vec![30, 10]));
}

#[tokio::test(start_paused = true)]
async fn servers_are_asked_for_reports_beside_calls_and_left_when_the_connection_is() {
    let network = network();
    let asked = Arc::new(Mutex::new(Vec::new()));
    let (mut hits, mut servers) = (Vec::new(), Vec::new());
    for (name, calls) in [("mem:0", 300.0), ("mem:1", 100.0)] {
        let counted = Arc::new(AtomicUsize::new(0));
        hits.push(Arc::clone(&counted));
        let asked = Arc::clone(&asked);
        let methods = Methods::new()
            .unary(ECHO, move |_| {
                counted.fetch_add(1, Ordering::Relaxed);
                async { empty() }
            })
            .streaming(
                "/xds.service.orca.v3.OpenRcaService/StreamCoreMetrics",
                move |incoming: Incoming| {
                    let asked = Arc::clone(&asked);
                    async move {
                        let request = incoming.into_inner().message().await?.unwrap_or_default();
                        asked.lock().push(request);
                        let report = written(&[(6, calls), (1, 0.5)]);
                        let reports = tokio_stream::StreamExt::chain(
                            tokio_stream::once(Ok(Bytes::from(report))),
                            tokio_stream::pending(),
                        );
                        Ok(tonic::Response::new(Box::pin(reports) as Messages))
                    }
                },
            );
        servers.push(serve(&network, name, methods).await);
    }
    let policy = json!({"weighted_round_robin": {
        "enableOobLoadReport": true, "oobReportingPeriod": "2.5s", "blackoutPeriod": "0s",
    }});
    let config = config(json!({"loadBalancingConfig": [policy]}));
    let channel = channel(&network, "mem:0,mem:1", config);
    channel.wait_ready(after(SECOND)).await.unwrap();
    tokio::time::sleep(SECOND).await;
    assert_eq!(call(&channel, 40).await, 0);
    assert_eq!([&hits[0], &hits[1]].map(|hits| hits.load(Ordering::Relaxed)), [30, 10]);
    // A request whose interval is 2 s and 500,000,000 ns.
    let expected = message("\x0a\x08\x08\x02\x10").to_vec();
    assert!(
        asked.lock().iter().all(|request| request.starts_with(&expected))
            && asked.lock().len() == 2
    );
    channel.close(after(60 * SECOND)).await;
    assert_eq!(count(&network, "trunkline_channel_connections", &[]), 0);
}

#[tokio::test(start_paused = true)]
async fn a_slow_server_gets_fewer_calls_where_the_least_busy_is_asked() {
    let network = network();
    let servers = Servers::start(&network, 3, |nth| async move {
        tokio::time::sleep(if nth == 1 { 100 * MILLI } else { 10 * MILLI }).await;
        empty()
    })
    .await;
    let policy = json!({"least_request_experimental": {"choiceCount": 5}});
    let channel = servers.channel(&network, policy).await;
    let mut callers = tokio::task::JoinSet::new();
    for _ in 0..12 {
        let channel = channel.clone();
        callers.spawn(async move { call(&channel, 50).await });
    }
    while let Some(failed) = callers.join_next().await {
        assert_eq!(failed.unwrap(), 0);
    }
    let took = servers.took();
    assert_eq!(took.iter().sum::<usize>(), 600);
    assert!(took[1] * 3 < took[0] && took[1] * 3 < took[2], "{took:?}");
}

#[tokio::test(start_paused = true)]
async fn calls_with_the_same_key_go_to_the_same_server() {
    let network = network();
    let servers = Servers::start(&network, 5, |_| async { empty() }).await;
    let policy = json!({"ring_hash_experimental": {"requestHashHeader": "user"}});
    let channel = servers.channel(&network, policy).await;
    let mut used = [false; 5];
    for user in 0..40 {
        for _ in 0..5 {
            let metadata = vec![("user".into(), Bytes::from(format!("user {user}")))];
            let options = CallOptions { metadata, ..within(SECOND) };
            channel.unary(ECHO, Bytes::new(), options).await.unwrap();
        }
        let took = servers.took();
        let at = took.iter().position(|hits| *hits == 5);
        used[at.unwrap_or_else(|| panic!("user {user}: {took:?}"))] = true;
    }
    assert_eq!(used, [true; 5], "and keys go to all");
}

#[tokio::test(start_paused = true)]
async fn a_call_that_no_address_takes_is_refused_at_once_and_not_tried_again() {
    let network = network();
    let servers = Servers::start(&network, 2, |_| async {
        tokio::time::sleep(SECOND / 2).await;
        empty()
    })
    .await;
    let circuit = CircuitConfig { max_calls: Some(2), breaker: None };
    let retry = json!({
        "maxAttempts": 5, "initialBackoff": "1s", "maxBackoff": "1s", "backoffMultiplier": 1,
        "retryableStatusCodes": ["UNAVAILABLE"],
    });
    let config = config(json!({
        "loadBalancingConfig": [{"round_robin": {}}],
        "methodConfig": [{"name": [{}], "retryPolicy": retry}],
    }));
    let channel = channel(&network, &servers.target, ConnectionConfig { circuit, ..config });
    channel.wait_ready(after(SECOND)).await.unwrap();
    tokio::time::sleep(SECOND).await;
    let started = wire::now();
    let mut calls = tokio::task::JoinSet::new();
    for _ in 0..7 {
        let channel = channel.clone();
        let options = CallOptions { wait_for_ready: Some(true), ..within(60 * SECOND) };
        calls.spawn(async move {
            let ended = channel.unary(ECHO, Bytes::new(), options).await;
            (ended.map(drop).map_err(|error| code(&error)), wire::now())
        });
    }
    let mut refused = 0;
    while let Some(ended) = calls.join_next().await {
        let (result, at) = ended.unwrap();
        if let Err(why) = result {
            assert_eq!((why, at), (StatusCode::Unavailable, started));
            refused += 1;
        }
    }
    assert_eq!((refused, servers.took()), (3, vec![2, 2]));
    assert_eq!(count(&network, "trunkline_channel_refused_calls_total", &[]), 3);
    assert_eq!(call(&channel, 1).await, 0, "there is room again");
}

#[tokio::test(start_paused = true)]
async fn a_few_of_many_servers_are_connected_to_where_a_subset_is_asked_for() {
    let network = network();
    let servers = Servers::start(&network, 8, |_| async { empty() }).await;
    let child = json!([{"round_robin": {}}]);
    let policy = json!({"random_subsetting_experimental": {"subsetSize": 3, "childPolicy": child}});
    let channel = servers.channel(&network, policy).await;
    assert_eq!(count(&network, "trunkline_channel_connections", &[]), 3);
    assert_eq!(call(&channel, 30).await, 0);
    let mut took = servers.took();
    took.sort_unstable();
    assert_eq!(took, [0, 0, 0, 0, 0, 10, 10, 10]);
}
