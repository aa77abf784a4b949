//! Calls that are sent more than once: retries, refusals, throttling, hedging.

use super::{
    peer::{HEADERS, Peer, RST_STREAM},
    *,
};

pub(super) const FLAKY: &str = "/test.Service/Flaky";

fn retrying() -> Value {
    json!({"methodConfig": [{"name": [{}], "retryPolicy": {
        "maxAttempts": 4, "initialBackoff": "1s", "maxBackoff": "8s", "backoffMultiplier": 2,
        "retryableStatusCodes": ["UNAVAILABLE"],
    }}]})
}

/// Fails as often as it is told, and counts; the answer is how many attempts the client says it made before.
pub(super) fn flaky(
    failures: usize,
    pushback: Option<&'static str>,
) -> (Arc<AtomicUsize>, Methods) {
    let calls = Arc::new(AtomicUsize::new(0));
    let counted = Arc::clone(&calls);
    let methods = Methods::new().unary(FLAKY, move |request| {
        let nth = counted.fetch_add(1, Ordering::Relaxed);
        async move {
            if nth < failures {
                let mut status = Status::unavailable("not now");
                if let Some(pushback) = pushback {
                    status
                        .metadata_mut()
                        .insert("grpc-retry-pushback-ms", pushback.parse().unwrap());
                }
                return Err(status);
            }
            let previous = request.metadata().get("grpc-previous-rpc-attempts");
            let previous = previous.map_or("none", |value| value.to_str().unwrap());
            let answer = format!("{previous} {}", request.get_ref().len());
            Ok(tonic::Response::new(Bytes::from(answer)))
        }
    });
    (calls, methods)
}

#[tokio::test(start_paused = true)]
async fn a_call_that_may_be_tried_again_is_with_its_whole_request_and_says_so() {
    let network = network();
    let (calls, methods) = flaky(2, None);
    let _server = serve(&network, "mem:a", methods).await;
    let channel = channel(&network, "mem:a", config(retrying()));
    let started = wire::now();
    let request = Bytes::from(vec![1; 100_000]);
    let reply = channel.unary(FLAKY, request, within(60 * SECOND)).await.unwrap();
    assert_eq!(reply.message, "2 100000");
    assert_eq!(calls.load(Ordering::Relaxed), 3);
    let waited = wire::now() - started;
    assert!(waited >= 2400 * MILLI && waited <= 3600 * MILLI, "{waited:?}");
    assert_eq!(
        count(&network, "trunkline_channel_repeated_attempts_total", &[("kind", "retry")]),
        2
    );
}

#[tokio::test(start_paused = true)]
async fn attempts_end_with_the_policy_and_all_of_them_with_the_deadline() {
    for (limit, expected, made) in
        [(60 * SECOND, StatusCode::Unavailable, 4), (2 * SECOND, StatusCode::DeadlineExceeded, 2)]
    {
        let network = network();
        let (calls, methods) = flaky(100, None);
        let _server = serve(&network, "mem:a", methods).await;
        let channel = channel(&network, "mem:a", config(retrying()));
        let started = wire::now();
        let error = channel.unary(FLAKY, Bytes::new(), within(limit)).await.unwrap_err();
        assert_eq!((code(&error), calls.load(Ordering::Relaxed)), (expected, made));
        assert!(wire::now() - started <= limit);
    }
}

#[tokio::test(start_paused = true)]
async fn the_server_says_when_to_try_again_and_whether() {
    let network = network();
    let (calls, methods) = flaky(1, Some("40"));
    let _server = serve(&network, "mem:a", methods).await;
    let channel_ = channel(&network, "mem:a", config(retrying()));
    let started = wire::now();
    channel_.unary(FLAKY, Bytes::new(), within(60 * SECOND)).await.unwrap();
    assert_eq!((wire::now() - started, calls.load(Ordering::Relaxed)), (40 * MILLI, 2));

    let (calls, methods) = flaky(100, Some("-1"));
    let _server = serve(&network, "mem:b", methods).await;
    let channel_ = channel(&network, "mem:b", config(retrying()));
    channel_.unary(FLAKY, Bytes::new(), within(60 * SECOND)).await.unwrap_err();
    assert_eq!(calls.load(Ordering::Relaxed), 1);
}

#[tokio::test(start_paused = true)]
async fn a_request_that_is_larger_than_what_is_kept_is_not_tried_again() {
    let network = network();
    let (calls, methods) = flaky(1, None);
    let _server = serve(&network, "mem:a", methods).await;
    let small = ConnectionConfig { retry_buffer_size: 1000, ..config(retrying()) };
    let channel = channel(&network, "mem:a", small);
    let error =
        channel.unary(FLAKY, Bytes::from(vec![0; 1000]), within(60 * SECOND)).await.unwrap_err();
    assert_eq!((code(&error), calls.load(Ordering::Relaxed)), (StatusCode::Unavailable, 1));
}

#[tokio::test(start_paused = true)]
async fn when_most_calls_fail_none_is_tried_again() {
    let network = network();
    let (calls, methods) = flaky(1000, None);
    let _server = serve(&network, "mem:a", methods).await;
    let mut document = retrying();
    document["retryThrottling"] = json!({"maxTokens": 4, "tokenRatio": 0.1});
    let channel = channel(&network, "mem:a", config(document));
    channel.unary(FLAKY, Bytes::new(), within(60 * SECOND)).await.unwrap_err();
    assert_eq!(calls.load(Ordering::Relaxed), 2);
    channel.unary(FLAKY, Bytes::new(), within(60 * SECOND)).await.unwrap_err();
    assert_eq!(calls.load(Ordering::Relaxed), 3);
}

#[tokio::test(start_paused = true)]
async fn a_refused_stream_is_sent_again_once_without_any_policy() {
    let network = network();
    let listener = network.listen(&"mem:a".parse().unwrap()).await.unwrap();
    let channel = channel(&network, "mem:a", plain());
    let refusing = async {
        let peer = Peer::accept(&listener).await;
        peer.greet().await;
        for _ in 0..2 {
            let stream = peer.wait_for(HEADERS).await.stream;
            peer.write(RST_STREAM, 0, stream, &7_u32.to_be_bytes()).await;
        }
        peer
    };
    let calling = channel.unary(ECHO, Bytes::new(), within(60 * SECOND));
    let (called, _peer) = tokio::join!(calling, refusing);
    assert_eq!(code(&called.unwrap_err()), StatusCode::Unavailable);
    let again = [("kind", "transparent")];
    assert_eq!(count(&network, "trunkline_channel_repeated_attempts_total", &again), 1);
}

#[tokio::test(start_paused = true)]
async fn how_a_stream_is_reset_decides_its_status() {
    let network = network();
    let listener = network.listen(&"mem:a".parse().unwrap()).await.unwrap();
    let channel = channel(&network, "mem:a", plain());
    let mut peer = None;
    for (reset, expected) in [
        (8_u32, StatusCode::Cancelled),
        (11, StatusCode::ResourceExhausted),
        (12, StatusCode::PermissionDenied),
        (1, StatusCode::Internal),
    ] {
        let resetting = async {
            let one = match peer.take() {
                Some(peer) => peer,
                None => {
                    let peer = Peer::accept(&listener).await;
                    peer.greet().await;
                    peer
                }
            };
            let stream = one.wait_for(HEADERS).await.stream;
            one.write(RST_STREAM, 0, stream, &reset.to_be_bytes()).await;
            one
        };
        let calling = channel.unary(ECHO, Bytes::new(), within(60 * SECOND));
        let (called, one) = tokio::join!(calling, resetting);
        assert_eq!(code(&called.unwrap_err()), expected, "{reset}");
        peer = Some(one);
    }
}

#[tokio::test(start_paused = true)]
async fn a_slow_call_is_sent_again_beside_and_the_first_answer_counts() {
    let network = network();
    let calls = Arc::new(AtomicUsize::new(0));
    let counted = Arc::clone(&calls);
    let methods = Methods::new().unary(ECHO, move |request| {
        let nth = counted.fetch_add(1, Ordering::Relaxed);
        async move {
            if nth == 0 {
                std::future::pending::<()>().await;
            }
            Ok(tonic::Response::new(request.into_inner()))
        }
    });
    let _server = serve(&network, "mem:a", methods).await;
    let hedging = config(json!({"methodConfig": [{"name": [{}], "hedgingPolicy": {
        "maxAttempts": 3, "hedgingDelay": "0.5s", "nonFatalStatusCodes": ["UNAVAILABLE"],
    }}]}));
    let channel = channel(&network, "mem:a", hedging);
    channel.wait_ready(after(SECOND)).await.unwrap();
    let started = wire::now();
    let reply = channel.unary(ECHO, message("x"), within(60 * SECOND)).await.unwrap();
    assert_eq!((reply.message, wire::now() - started), (message("x"), 500 * MILLI));
    assert_eq!(calls.load(Ordering::Relaxed), 2);
    assert_eq!(
        count(&network, "trunkline_channel_repeated_attempts_total", &[("kind", "hedge")]),
        1
    );
}

#[tokio::test(start_paused = true)]
async fn a_copy_that_fails_sends_the_next_at_once_and_all_failing_fail_the_call() {
    let network = network();
    let (calls, methods) = flaky(100, None);
    let _server = serve(&network, "mem:a", methods).await;
    let hedging = config(json!({"methodConfig": [{"name": [{}], "hedgingPolicy": {
        "maxAttempts": 3, "hedgingDelay": "10s", "nonFatalStatusCodes": ["UNAVAILABLE"],
    }}]}));
    let channel = channel(&network, "mem:a", hedging);
    let started = wire::now();
    let error = channel.unary(FLAKY, Bytes::new(), within(60 * SECOND)).await.unwrap_err();
    assert_eq!((code(&error), calls.load(Ordering::Relaxed)), (StatusCode::Unavailable, 3));
    assert!(wire::now() - started < SECOND);
}
