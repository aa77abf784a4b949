//! One call: messages, metadata, limits, deadline, cancel.

use super::*;
use tokio::sync::{mpsc, oneshot};
use tokio_stream::StreamExt as _;

#[tokio::test(start_paused = true)]
async fn a_call_brings_message_metadata_and_both_ends_of_the_answer() {
    let network = network();
    let _server = serve(&network, "mem:a", echo()).await;
    let channel = channel(&network, "mem:a", plain());
    let sent = vec![("echo-bin".into(), Bytes::from_static(&[0, 255, 10]))];
    let options = CallOptions { metadata: sent.clone(), ..within(SECOND) };
    let reply = channel.unary(ECHO, message("hello"), options).await.unwrap();
    assert_eq!(reply.message, "hello");
    assert!(reply.initial.contains(&sent[0]), "{:?}", reply.initial);
    assert_eq!(channel.state(false), ConnectivityState::Ready);
}

#[tokio::test(start_paused = true)]
async fn a_status_that_is_not_ok_is_an_error_with_what_came_with_it() {
    let network = network();
    let methods = Methods::new().unary("/test.Service/Fail", |_| async {
        let mut status = Status::with_details(Code::NotFound, "no such thing", "d".into());
        status.metadata_mut().insert("hint", "look elsewhere".parse().unwrap());
        Err(status)
    });
    let _server = serve(&network, "mem:a", methods).await;
    let channel = channel(&network, "mem:a", plain());
    let error =
        channel.unary("/test.Service/Fail", Bytes::new(), within(SECOND)).await.unwrap_err();
    let ConnectionError::Rpc { status, .. } = &error else { panic!("{error}") };
    assert_eq!((status.code, &*status.message), (StatusCode::NotFound, "no such thing"));
    assert_eq!(&status.details[..], b"d");
    assert!(status.metadata.contains(&("hint".into(), message("look elsewhere"))));
    assert!(!error.is_safe_to_retry());
    assert_eq!(error.to_string(), "call: NOT_FOUND: no such thing");

    let error =
        channel.unary("/test.Service/Other", Bytes::new(), within(SECOND)).await.unwrap_err();
    assert_eq!(code(&error), StatusCode::Unimplemented);
}

#[tokio::test(start_paused = true)]
async fn what_is_no_method_and_metadata_that_is_not_the_callers_are_refused_before_anything_is_sent()
 {
    let network = network();
    let channel = channel(&network, "mem:nobody", plain());
    for method in ["", "/", "Echo", "/Echo", "//Echo", "/a/", "/a/b c"] {
        let error = channel.unary(method, Bytes::new(), within(SECOND)).await.unwrap_err();
        assert!(matches!(error, ConnectionError::InvalidConfig { .. }), "{method}: {error}");
    }
    let metadata = vec![("grpc-timeout".into(), message("1S"))];
    let options = CallOptions { metadata, ..within(SECOND) };
    let error = channel.unary(ECHO, Bytes::new(), options).await.unwrap_err();
    assert!(matches!(error, ConnectionError::InvalidConfig { .. }), "{error}");
    assert_eq!(channel.state(false), ConnectivityState::Idle);
}

#[tokio::test(start_paused = true)]
async fn a_deadline_ends_a_call_whose_server_is_slow_and_the_server_sees_it_end() {
    let network = network();
    let (gone, mut is_gone) = mpsc::channel::<()>(1);
    let methods = Methods::new().unary("/test.Service/Hang", move |_| {
        let gone = gone.clone();
        async move {
            let _told_when_dropped = gone;
            std::future::pending().await
        }
    });
    let _server = serve(&network, "mem:a", methods).await;
    let channel = channel(&network, "mem:a", plain());
    let started = wire::now();
    let error =
        channel.unary("/test.Service/Hang", Bytes::new(), within(SECOND)).await.unwrap_err();
    assert_eq!(code(&error), StatusCode::DeadlineExceeded);
    assert_eq!(wire::now() - started, SECOND);
    drop(channel);
    drop(_server);
    assert_eq!(is_gone.recv().await, None);
}

#[tokio::test(start_paused = true)]
async fn a_deadline_also_holds_while_messages_come() {
    let network = network();
    let methods = Methods::new().streaming("/test.Service/Tick", |_| async {
        let ticks = tokio_stream::iter([Ok(message("one"))]);
        let ticks: Messages = Box::pin(ticks.chain(tokio_stream::pending()));
        Ok(tonic::Response::new(ticks))
    });
    let _server = serve(&network, "mem:a", methods).await;
    let channel = channel(&network, "mem:a", plain());
    let call = channel.call("/test.Service/Tick", within(SECOND)).unwrap();
    call.finish_sending();
    assert_eq!(call.receive().await.unwrap(), Some(message("one")));
    for _ in 0..2 {
        assert_eq!(code(&call.receive().await.unwrap_err()), StatusCode::DeadlineExceeded);
    }
}

#[tokio::test(start_paused = true)]
async fn messages_flow_both_ways_at_once() {
    let network = network();
    let methods = Methods::new().streaming("/test.Service/Talk", |incoming: Incoming| async {
        let answers = incoming
            .into_inner()
            .map(|said| said.map(|said| Bytes::from([&b"you said "[..], &said].concat())));
        let answers: Messages = Box::pin(answers);
        let mut answer = tonic::Response::new(answers);
        answer.metadata_mut().insert("first", "yes".parse().unwrap());
        Ok(answer)
    });
    let _server = serve(&network, "mem:a", methods).await;
    let channel = channel(&network, "mem:a", plain());
    let call = channel.call("/test.Service/Talk", within(SECOND)).unwrap();
    for (said, heard) in [("a", "you said a"), ("b", "you said b")] {
        call.send(message(said)).await.unwrap();
        assert_eq!(call.receive().await.unwrap(), Some(message(heard)));
    }
    assert!(call.initial().await.contains(&("first".into(), message("yes"))));
    call.finish_sending();
    assert_eq!(call.receive().await.unwrap(), None);
    assert_eq!(call.receive().await.unwrap(), None);
    assert!(matches!(call.send(Bytes::new()).await, Err(ConnectionError::Closed { .. })));
}

#[tokio::test(start_paused = true)]
async fn a_dropped_call_is_cancelled_at_the_server() {
    let network = network();
    let (gone, is_gone) = oneshot::channel::<()>();
    let gone = Arc::new(parking_lot::Mutex::new(Some(gone)));
    let methods = Methods::new().streaming("/test.Service/Hang", move |_| {
        let gone = gone.lock().take();
        async move {
            let _told_when_dropped = gone;
            std::future::pending().await
        }
    });
    let _server = serve(&network, "mem:a", methods).await;
    let channel = channel(&network, "mem:a", plain());
    let call = channel.call("/test.Service/Hang", CallOptions::default()).unwrap();
    assert!(tokio::time::timeout(SECOND, call.receive()).await.is_err());
    drop(call);
    assert!(is_gone.await.is_err());
    assert_eq!(count(&network, "trunkline_channel_calls_total", &[("status", "CANCELLED")]), 1);
}

#[tokio::test(start_paused = true)]
async fn messages_over_the_limit_are_refused_each_way_and_the_channel_goes_on() {
    let network = network();
    let methods = echo().unary("/test.Service/Large", |_| async {
        Ok(tonic::Response::new(Bytes::from(vec![0; 2000])))
    });
    let _server = serve(&network, "mem:a", methods).await;
    let limits = config(json!({"methodConfig": [{
        "name": [{}], "maxRequestMessageBytes": 1000, "maxResponseMessageBytes": 1000,
    }]}));
    let channel = channel(&network, "mem:a", limits);
    let large = Bytes::from(vec![0; 1001]);
    let error = channel.unary(ECHO, large, within(SECOND)).await.unwrap_err();
    assert_eq!((code(&error), error.is_nothing_sent()), (StatusCode::ResourceExhausted, true));
    let error =
        channel.unary("/test.Service/Large", Bytes::new(), within(SECOND)).await.unwrap_err();
    assert_eq!((code(&error), error.is_nothing_sent()), (StatusCode::ResourceExhausted, false));
    let whole = Bytes::from(vec![7; 1000]);
    assert_eq!(channel.unary(ECHO, whole.clone(), within(SECOND)).await.unwrap().message, whole);
}

#[tokio::test(start_paused = true)]
async fn large_messages_cross_windows_and_pipes() {
    let network = network();
    let _server = serve(&network, "mem:a", echo().max_message_size(64 << 20)).await;
    let wide = ConnectionConfig { max_message_size: 16 << 20, ..plain() };
    let channel = channel(&network, "mem:a", wide);
    let large = Bytes::from((0..10 << 20).map(|at| at as u8).collect::<Vec<_>>());
    let reply = channel.unary(ECHO, large.clone(), within(60 * SECOND)).await.unwrap();
    assert!(reply.message == large);
}

#[tokio::test(start_paused = true)]
async fn compressed_messages_are_understood_both_ways() {
    let network = network();
    let _server = serve(&network, "mem:a", echo().compressing()).await;
    let channel = channel(&network, "mem:a", plain());
    for compression in [Compression::Gzip, Compression::Deflate] {
        let options = CallOptions { compression: Some(compression), ..within(SECOND) };
        let text = Bytes::from("abc".repeat(10_000));
        let reply = channel.unary(ECHO, text.clone(), options).await.unwrap();
        assert_eq!(reply.message, text);
    }
    let sent = count(&network, "trunkline_bytes_sent_total", &[]);
    assert!(sent < 10_000, "{sent} bytes are not compressed");
}

#[tokio::test(start_paused = true)]
async fn a_generated_client_takes_the_channel_as_it_is() {
    let network = network();
    let _server = serve(&network, "mem:a", echo()).await;
    let mut generated = tonic::client::Grpc::new(channel(&network, "mem:a", plain()));
    generated.ready().await.unwrap();
    let mut request = tonic::Request::new(message("hi"));
    request.set_timeout(SECOND);
    let answer = generated.unary(request, ECHO.parse().unwrap(), BytesCodec).await.unwrap();
    assert_eq!(answer.into_inner(), "hi");
}

#[tokio::test(start_paused = true)]
async fn the_health_of_the_server_and_of_each_service_can_be_asked() {
    let network = network();
    let _server = serve(&network, "mem:a", echo()).await;
    let channel = channel(&network, "mem:a", plain());
    const CHECK: &str = "/grpc.health.v1.Health/Check";
    let named = |name: &str| {
        let mut request = vec![0x0a, name.len() as u8];
        request.extend(name.as_bytes());
        Bytes::from(request)
    };
    for request in [Bytes::new(), named("test.Service")] {
        let reply = channel.unary(CHECK, request, within(SECOND)).await.unwrap();
        assert_eq!(&reply.message[..], [0x08, 0x01]);
    }
    for (request, expected) in [
        (named("test.Other"), StatusCode::NotFound),
        (message("\x0a\x05x"), StatusCode::InvalidArgument),
    ] {
        let error = channel.unary(CHECK, request, within(SECOND)).await.unwrap_err();
        assert_eq!(code(&error), expected);
    }
}

#[tokio::test(start_paused = true)]
async fn who_waits_for_a_call_that_is_given_up_is_told() {
    let network = network();
    let methods = Methods::new().streaming("/test.Service/Hang", |_| std::future::pending());
    let _server = serve(&network, "mem:a", methods).await;
    let channel = channel(&network, "mem:a", plain());
    let call = channel.call("/test.Service/Hang", CallOptions::default()).unwrap();
    let giving_up = async {
        tokio::time::sleep(SECOND).await;
        call.cancel();
        call.cancel();
    };
    let (received, ()) = tokio::join!(call.receive(), giving_up);
    assert!(matches!(received, Err(ConnectionError::Closed { .. })));
    for _ in 0..2 {
        assert!(matches!(call.receive().await, Err(ConnectionError::Closed { .. })));
        assert!(matches!(call.send(Bytes::new()).await, Err(ConnectionError::Closed { .. })));
    }
}
