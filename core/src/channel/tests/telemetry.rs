//! Calls and attempts under the names that gRPC gives them for OpenTelemetry.

use super::*;
use crate::metrics::{HistogramSnapshot, Value as Shown};

const OF_ECHO: [(&str, &str); 2] = [("grpc_method", "test.Service/Echo"), ("grpc_target", "mem:a")];

fn telling(document: Value) -> ConnectionConfig {
    ConnectionConfig { opentelemetry: true, ..config(document) }
}

/// Of the calls of Echo with this status, or of all.
fn histogram(network: &Network, name: &str, status: Option<&str>) -> Option<HistogramSnapshot> {
    let snapshot = network.metrics().snapshot();
    let wanted = OF_ECHO.into_iter().chain(status.map(|status| ("grpc_status", status)));
    let wanted: Vec<_> = wanted.collect();
    let found = snapshot.samples().iter().find(|sample| {
        sample.name == name
            && wanted.iter().all(|(label, value)| sample.labels.get(label) == Some(*value))
    });
    match &found?.value {
        Shown::Histogram(histogram) => Some(histogram.clone()),
        other => panic!("{name}: {other:?}"),
    }
}

fn sum(network: &Network, name: &str, status: Option<&str>) -> Option<(u64, f64)> {
    histogram(network, name, status).map(|found| (found.count(), found.sum()))
}

#[tokio::test(start_paused = true)]
async fn attempts_are_counted_with_the_bytes_of_their_messages() {
    let network = network();
    let _server = serve(&network, "mem:a", echo()).await;
    let channel = channel(&network, "mem:a", telling(json!({})));
    for size in [100, 20_000] {
        let request = Bytes::from(vec![7; size]);
        channel.unary(ECHO, request, within(SECOND)).await.unwrap();
    }
    assert_eq!(count(&network, "grpc_client_attempt_started_total", &OF_ECHO), 2);
    let sizes = Some((2, 20_100.0));
    let sent = "grpc_client_attempt_sent_total_compressed_message_size_bytes";
    assert_eq!(sum(&network, sent, Some("OK")), sizes);
    let received = "grpc_client_attempt_rcvd_total_compressed_message_size_bytes";
    assert_eq!(sum(&network, received, Some("OK")), sizes);
    for name in ["grpc_client_attempt_duration_seconds", "grpc_client_call_duration_seconds"] {
        assert_eq!(histogram(&network, name, Some("OK")).unwrap().count(), 2);
    }
    assert_eq!(sum(&network, "grpc_client_call_retries", None), None);
}

#[tokio::test(start_paused = true)]
async fn a_call_that_is_tried_again_is_one_call_of_several_attempts() {
    let network = network();
    let left = Arc::new(AtomicUsize::new(2));
    let methods = Methods::new().unary(ECHO, move |request| {
        let fails =
            left.fetch_update(Ordering::SeqCst, Ordering::SeqCst, |left| left.checked_sub(1));
        async move {
            match fails {
                Ok(_) => Err(Status::unavailable("not yet")),
                Err(_) => Ok(tonic::Response::new(request.into_inner())),
            }
        }
    });
    let _server = serve(&network, "mem:a", methods).await;
    let retry = json!({"methodConfig": [{"name": [{}], "retryPolicy": {
        "maxAttempts": 4, "initialBackoff": "1s", "maxBackoff": "1s", "backoffMultiplier": 1,
        "retryableStatusCodes": ["UNAVAILABLE"],
    }}]});
    let channel = channel(&network, "mem:a", telling(retry));
    channel.unary(ECHO, message("x"), within(60 * SECOND)).await.unwrap();
    assert_eq!(count(&network, "grpc_client_attempt_started_total", &OF_ECHO), 3);
    let name = "grpc_client_attempt_duration_seconds";
    let ended = |status| histogram(&network, name, Some(status)).unwrap().count();
    assert_eq!((ended("UNAVAILABLE"), ended("OK")), (2, 1));
    let call = histogram(&network, "grpc_client_call_duration_seconds", Some("OK")).unwrap();
    assert_eq!(call.count(), 1);
    assert_eq!(sum(&network, "grpc_client_call_retries", None), Some((1, 2.0)));
    assert_eq!(sum(&network, "grpc_client_call_hedges", None).map(|found| found.0), Some(0));
    let delay = histogram(&network, "grpc_client_call_retry_delay_seconds", None).unwrap();
    assert!(delay.count() == 1 && delay.sum() > 1.0, "{delay:?}");
}

#[tokio::test(start_paused = true)]
async fn connections_are_counted_by_target_and_by_how_they_ended() {
    let network = network();
    let channel = channel(&network, "mem:a", telling(json!({})));
    let total = |name| count(&network, name, &[OF_ECHO[1]]);
    channel.unary(ECHO, message("x"), within(SECOND)).await.unwrap_err();
    assert_eq!(total("grpc_subchannel_connection_attempts_failed_total"), 1);
    let name = "grpc_client_attempt_duration_seconds";
    assert_eq!(histogram(&network, name, Some("UNAVAILABLE")).unwrap().count(), 1);
    let _server = serve(&network, "mem:a", echo()).await;
    channel.wait_ready(after(60 * SECOND)).await.unwrap();
    assert_eq!(total("grpc_subchannel_connection_attempts_succeeded_total"), 1);
    assert_eq!(total("grpc_subchannel_open_connections"), 1);
    channel.close(None).await;
    assert_eq!(total("grpc_subchannel_open_connections"), 0);
    let ended = [OF_ECHO[1], ("grpc_disconnect_error", "subchannel shutdown")];
    assert_eq!(count(&network, "grpc_subchannel_disconnections_total", &ended), 1);
}

#[tokio::test(start_paused = true)]
async fn methods_beyond_those_that_are_told_apart_are_counted_together_and_none_unless_asked() {
    let network = network();
    let _server = serve(&network, "mem:a", echo()).await;
    let quiet = channel(&network, "mem:a", plain());
    quiet.unary(ECHO, message("x"), within(SECOND)).await.unwrap();
    let all = || count(&network, "grpc_client_attempt_started_total", &[]);
    assert_eq!(all(), 0);
    let channel = channel(&network, "mem:a", telling(json!({})));
    for nth in 0..130 {
        let method = format!("/test.Service/No{nth}");
        channel.unary(&method, message("x"), within(SECOND)).await.unwrap_err();
    }
    let other = [("grpc_method", "_other")];
    let together = count(&network, "grpc_client_attempt_started_total", &other);
    assert_eq!((together, all()), (2, 130));
}
