//! States, backoff, idleness, keepalive, GOAWAY, several connections, closing.

use super::{
    ConnectivityState::{Connecting, Idle, Ready, Shutdown, TransientFailure},
    peer::{HEADERS, PING, Peer, SETTINGS},
    *,
};
use crate::config::{KeepaliveParams, PoolingConfig};

#[tokio::test(start_paused = true)]
async fn a_channel_rests_until_it_is_used_and_says_each_state() {
    let network = network();
    let _server = serve(&network, "mem:a", echo()).await;
    let channel = channel(&network, "mem:a", plain());
    assert_eq!(channel.state(false), Idle);
    assert_eq!(channel.state(true), Idle);
    assert_eq!(channel.wait_for_state_change(Idle, after(SECOND)).await.unwrap(), Connecting);
    assert_eq!(channel.wait_for_state_change(Connecting, after(SECOND)).await.unwrap(), Ready);
    let unchanged = channel.wait_for_state_change(Ready, after(SECOND)).await.unwrap_err();
    assert!(matches!(unchanged, ConnectionError::Timeout { .. }));
    assert!(channel.is_healthy());
    channel.close(None).await;
    assert_eq!(channel.state(true), Shutdown);
    assert!(!channel.is_healthy());
}

#[tokio::test(start_paused = true)]
async fn a_server_that_accepts_and_says_nothing_does_not_make_a_channel_ready() {
    let network = network();
    let listener = network.listen(&"mem:a".parse().unwrap()).await.unwrap();
    let patient = ConnectionConfig { connect_timeout: 5 * SECOND, ..plain() };
    let channel = channel(&network, "mem:a", patient);
    channel.connect();
    let peer = Peer::accept(&listener).await;
    let started = wire::now();
    assert_eq!(
        channel.wait_for_state_change(Connecting, after(60 * SECOND)).await.unwrap(),
        TransientFailure
    );
    assert_eq!(wire::now() - started, 5 * SECOND);
    let error = channel.wait_ready(after(MILLI)).await.unwrap_err();
    let reason = std::error::Error::source(&error).unwrap().to_string();
    assert!(reason.contains("connection failed"), "{reason}");
    let detail = format!("{error:?}");
    assert!(detail.contains("mem:a"), "{detail}");
    while peer.next().await.is_some() {}

    let peer = Peer::accept(&listener).await;
    peer.greet().await;
    channel.wait_ready(after(SECOND)).await.unwrap();
}

#[tokio::test(start_paused = true)]
async fn attempts_are_spaced_by_the_backoff_and_a_reset_makes_one_at_once() {
    let network = network();
    let channel = channel(&network, "mem:nobody", plain());
    channel.connect();
    reaches(&channel, TransientFailure).await;
    let failed =
        || count(&network, "trunkline_channel_connection_attempts_total", &[("result", "failed")]);
    assert_eq!(failed(), 1);
    tokio::time::sleep(999 * MILLI).await;
    assert_eq!(failed(), 1);
    tokio::time::sleep(2 * MILLI).await;
    assert_eq!(failed(), 2);
    tokio::time::sleep(MILLI).await;
    channel.reset_connect_backoff();
    tokio::time::sleep(MILLI).await;
    assert_eq!(failed(), 3);
    let _server = serve(&network, "mem:nobody", echo()).await;
    channel.reset_connect_backoff();
    channel.wait_ready(after(100 * MILLI)).await.unwrap();
}

#[tokio::test(start_paused = true)]
async fn a_call_fails_at_once_while_nothing_works_unless_it_waits_for_ready() {
    let network = network();
    let channel = channel(&network, "mem:late,mem:later", plain());
    let error = channel.unary(ECHO, Bytes::new(), within(60 * SECOND)).await.unwrap_err();
    assert_eq!((code(&error), error.is_safe_to_retry()), (StatusCode::Unavailable, true));
    let text = error.to_string();
    assert!(text.contains("mem:late:") && text.contains("mem:later:"), "{text}");

    let options = CallOptions { wait_for_ready: Some(true), ..within(60 * SECOND) };
    let waiting = channel.unary(ECHO, message("x"), options);
    let serving = async {
        tokio::time::sleep(10 * SECOND).await;
        serve(&network, "mem:later", echo()).await
    };
    let (reply, _server) = tokio::join!(waiting, serving);
    assert_eq!(reply.unwrap().message, "x");
}

#[tokio::test(start_paused = true)]
async fn a_call_that_waited_in_vain_says_what_for() {
    let network = network();
    let channel = channel(&network, "mem:never", plain());
    let options = CallOptions { wait_for_ready: Some(true), ..within(5 * SECOND) };
    let error = channel.unary(ECHO, Bytes::new(), options).await.unwrap_err();
    assert_eq!(code(&error), StatusCode::DeadlineExceeded);
    assert!(error.to_string().contains("mem:never"), "{error}");
    assert_eq!(channel.queued_calls(), 0);
}

#[tokio::test(start_paused = true)]
async fn more_calls_than_may_wait_are_refused() {
    let network = network();
    let few = ConnectionConfig { max_queued_calls: 1, ..plain() };
    let channel = channel(&network, "mem:never", few);
    let options = || CallOptions { wait_for_ready: Some(true), ..within(SECOND) };
    let (first, second) = tokio::join!(
        channel.unary(ECHO, Bytes::new(), options()),
        channel.unary(ECHO, Bytes::new(), options()),
    );
    assert_eq!(code(&first.unwrap_err()), StatusCode::DeadlineExceeded);
    assert_eq!(code(&second.unwrap_err()), StatusCode::ResourceExhausted);
}

#[tokio::test(start_paused = true)]
async fn a_channel_that_nobody_calls_gives_its_connection_up_and_the_next_call_makes_another() {
    let network = network();
    let _server = serve(&network, "mem:a", echo()).await;
    let brief = ConnectionConfig { idle_timeout: TimeLimit::secs(60), ..plain() };
    let channel = channel(&network, "mem:a", brief);
    for connections in 1..=2 {
        channel.unary(ECHO, Bytes::new(), within(SECOND)).await.unwrap();
        let stood = count(
            &network,
            "trunkline_channel_connection_attempts_total",
            &[("result", "succeeded")],
        );
        assert_eq!(stood, connections);
        tokio::time::sleep(59 * SECOND).await;
        assert_eq!(channel.state(false), Ready);
        tokio::time::sleep(2 * SECOND).await;
        assert_eq!(channel.state(false), Idle);
        assert_eq!(count(&network, "trunkline_channel_connections", &[]), 0);
    }
}

#[tokio::test(start_paused = true)]
async fn a_silent_server_is_asked_and_given_up() {
    let network = network();
    let listener = network.listen(&"mem:a".parse().unwrap()).await.unwrap();
    let channel = channel(&network, "mem:a", plain());
    channel.connect();
    let peer = Peer::accept(&listener).await;
    peer.greet().await;
    channel.wait_ready(after(SECOND)).await.unwrap();
    let started = wire::now();
    let ping = peer.wait_for(PING).await;
    assert_eq!((ping.flags, ping.stream), (0, 0));
    assert_eq!(wire::now() - started, 10 * SECOND);
    channel.wait_for_state_change(Ready, after(60 * SECOND)).await.unwrap();
    assert_eq!(wire::now() - started, 15 * SECOND);
}

#[tokio::test(start_paused = true)]
async fn a_server_that_is_asked_too_often_is_asked_less_from_then_on() {
    let network = network();
    let listener = network.listen(&"mem:a".parse().unwrap()).await.unwrap();
    let channel = channel(&network, "mem:a", plain());
    channel.connect();
    let peer = Peer::accept(&listener).await;
    peer.greet().await;
    channel.wait_ready(after(SECOND)).await.unwrap();
    peer.wait_for(PING).await;
    peer.goaway(0, 11, b"too_many_pings").await;
    drop(peer);
    reaches(&channel, Idle).await;

    channel.connect();
    let peer = Peer::accept(&listener).await;
    peer.greet().await;
    channel.wait_ready(after(SECOND)).await.unwrap();
    let started = wire::now();
    peer.wait_for(PING).await;
    assert_eq!(wire::now() - started, 300 * SECOND);
}

#[tokio::test(start_paused = true)]
async fn without_permission_an_unused_connection_is_left_in_peace() {
    let network = network();
    let listener = network.listen(&"mem:a".parse().unwrap()).await.unwrap();
    let keepalive = KeepaliveParams { permit_without_stream: false, ..KeepaliveParams::default() };
    let channel = channel(&network, "mem:a", ConnectionConfig { keepalive, ..plain() });
    channel.connect();
    let peer = Peer::accept(&listener).await;
    peer.greet().await;
    channel.wait_ready(after(SECOND)).await.unwrap();
    tokio::time::sleep(100 * SECOND).await;
    assert_eq!(channel.state(false), Ready);
    let started = wire::now();
    let call = channel.call(ECHO, CallOptions::default()).unwrap();
    peer.wait_for(HEADERS).await;
    peer.wait_for(PING).await;
    assert_eq!(wire::now(), started);
    drop(call);
}

#[tokio::test(start_paused = true)]
async fn not_one_call_fails_while_a_server_ages_its_connections_out() {
    let network = network();
    let aging = ChannelServerConfig {
        max_connection_age: TimeLimit::After(50 * MILLI),
        ..ChannelServerConfig::default()
    };
    let methods = Methods::new().unary(ECHO, |request| async move {
        tokio::time::sleep(7 * MILLI).await;
        Ok(tonic::Response::new(request.into_inner()))
    });
    let _server = serve_with(&network, "mem:a", methods, aging).await;
    let channel = channel(&network, "mem:a", plain());
    let mut callers = tokio::task::JoinSet::new();
    for _ in 0..40 {
        let channel = channel.clone();
        callers.spawn(async move {
            for _ in 0..100 {
                channel.unary(ECHO, message("x"), within(10 * SECOND)).await.unwrap();
            }
        });
    }
    while let Some(ended) = callers.join_next().await {
        ended.unwrap();
    }
    let made =
        count(&network, "trunkline_channel_connection_attempts_total", &[("result", "succeeded")]);
    assert!(made > 5, "only {made} connections were aged out");
    assert_eq!(count(&network, "trunkline_channel_calls_total", &[("status", "OK")]), 4000);
}

#[tokio::test(start_paused = true)]
async fn calls_that_a_goaway_leaves_out_go_to_another_connection_and_the_others_finish() {
    let network = network();
    let listener = network.listen(&"mem:a".parse().unwrap()).await.unwrap();
    let channel = channel(&network, "mem:a", plain());
    let calls = async {
        tokio::join!(
            channel.unary(ECHO, message("1"), within(60 * SECOND)),
            channel.unary(ECHO, message("2"), within(60 * SECOND)),
        )
    };
    let peers = async {
        let old = Peer::accept(&listener).await;
        old.greet().await;
        let first = old.wait_for(HEADERS).await.stream;
        old.wait_for(HEADERS).await;
        old.goaway(first, 0, b"max_age").await;
        let new = Peer::accept(&listener).await;
        new.greet().await;
        let again = new.wait_for(HEADERS).await.stream;
        new.succeed(again).await;
        old.succeed(first).await;
        (old, new)
    };
    let ((first, second), _peers) = tokio::join!(calls, peers);
    assert!(first.is_ok() && second.is_ok(), "{first:?} {second:?}");
    let again = [("kind", "transparent")];
    assert_eq!(count(&network, "trunkline_channel_repeated_attempts_total", &again), 1);
}

#[tokio::test(start_paused = true)]
async fn calls_beyond_what_a_server_takes_go_to_more_connections_up_to_the_pools_size() {
    let network = network();
    let narrow =
        ChannelServerConfig { max_concurrent_streams: 2, ..ChannelServerConfig::default() };
    let methods = Methods::new().unary(ECHO, |request| async move {
        tokio::time::sleep(SECOND).await;
        Ok(tonic::Response::new(request.into_inner()))
    });
    let _server = serve_with(&network, "mem:a", methods, narrow).await;
    let pooling = PoolingConfig { enabled: true, size: 3 };
    let channel = channel(&network, "mem:a", ConnectionConfig { pooling, ..plain() });
    let started = wire::now();
    let mut calls = tokio::task::JoinSet::new();
    for _ in 0..12 {
        let channel = channel.clone();
        calls.spawn(async move { channel.unary(ECHO, Bytes::new(), within(60 * SECOND)).await });
    }
    while let Some(ended) = calls.join_next().await {
        ended.unwrap().unwrap();
    }
    assert_eq!(count(&network, "trunkline_channel_connections", &[]), 3);
    assert!(wire::now() - started < 3 * SECOND, "twelve calls on six places take two rounds");
}

#[tokio::test(start_paused = true)]
async fn in_turn_two_servers_get_the_same_number_of_calls() {
    let network = network();
    let hits = [Arc::new(AtomicUsize::new(0)), Arc::new(AtomicUsize::new(0))];
    let mut servers = Vec::new();
    for (name, hits) in ["mem:a", "mem:b"].into_iter().zip(&hits) {
        let hits = Arc::clone(hits);
        let methods = Methods::new().unary(ECHO, move |request| {
            hits.fetch_add(1, Ordering::Relaxed);
            async move { Ok(tonic::Response::new(request.into_inner())) }
        });
        servers.push(serve(&network, name, methods).await);
    }
    let in_turn = config(json!({"loadBalancingConfig": [{"round_robin": {}}]}));
    let channel = channel(&network, "mem:a,mem:b", in_turn);
    channel.wait_ready(after(SECOND)).await.unwrap();
    tokio::time::sleep(SECOND).await;
    for _ in 0..100 {
        channel.unary(ECHO, Bytes::new(), within(SECOND)).await.unwrap();
    }
    let hits = hits.map(|hits| hits.load(Ordering::Relaxed));
    assert_eq!(hits, [50, 50]);
}

/// A client must see that the connection is gone: by what was reset alone it could not know that another try may help.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn calls_of_a_server_that_is_cut_lose_their_connection_and_are_not_reset() {
    const CALLS: usize = 64;
    let network = network();
    for _ in 0..10 {
        let answered = Arc::new(tokio::sync::Semaphore::new(0));
        let counted = Arc::clone(&answered);
        let busy = Methods::new().unary(ECHO, move |request| {
            counted.add_permits(1);
            async move {
                tokio::task::yield_now().await;
                Ok(tonic::Response::new(request.into_inner()))
            }
        });
        let server = serve(&network, "mem:a", busy).await;
        let channel = channel(&network, "mem:a", plain());
        let mut calls = tokio::task::JoinSet::new();
        for _ in 0..CALLS {
            let channel = channel.clone();
            calls.spawn(async move {
                loop {
                    let called = channel.unary(ECHO, Bytes::new(), CallOptions::default()).await;
                    if let Err(error) = called {
                        return error;
                    }
                }
            });
        }
        let _busy = answered.acquire_many(4 * CALLS as u32).await.unwrap();
        server.drain(None).await;
        while let Some(error) = calls.join_next().await {
            assert_eq!(code(&error.unwrap()), StatusCode::Unavailable);
        }
    }
}

#[tokio::test(start_paused = true)]
async fn closing_lets_calls_finish_in_time_and_cuts_the_rest() {
    for (limit, expected) in [(2 * SECOND, Ok(())), (SECOND / 2, Err(()))] {
        let network = network();
        let methods = Methods::new().unary(ECHO, |request| async move {
            tokio::time::sleep(SECOND).await;
            Ok(tonic::Response::new(request.into_inner()))
        });
        let _server = serve(&network, "mem:a", methods).await;
        let channel = channel(&network, "mem:a", plain());
        channel.wait_ready(after(SECOND)).await.unwrap();
        let closing = async {
            tokio::time::sleep(MILLI).await;
            channel.close(after(limit)).await;
            assert_eq!(count(&network, "trunkline_channel_connections", &[]), 0);
            let refused = channel.unary(ECHO, Bytes::new(), within(SECOND)).await.unwrap_err();
            assert!(matches!(refused, ConnectionError::Closed { .. }), "{refused}");
        };
        let (called, ()) =
            tokio::join!(channel.unary(ECHO, Bytes::new(), within(60 * SECOND)), closing);
        assert_eq!(called.map(drop).map_err(drop), expected);
    }
}

#[tokio::test(start_paused = true)]
async fn a_dropped_channel_ends_once_its_calls_have() {
    let network = network();
    let _server = serve(&network, "mem:a", echo()).await;
    let channel = channel(&network, "mem:a", plain());
    let call = channel.call(ECHO, within(60 * SECOND)).unwrap();
    call.send(message("x")).await.unwrap();
    drop(channel);
    call.finish_sending();
    assert_eq!(call.receive().await.unwrap(), Some(message("x")));
    assert_eq!(call.receive().await.unwrap(), None);
    drop(call);
    tokio::time::sleep(SECOND).await;
    assert_eq!(count(&network, "trunkline_connections_active", &[]), 0);
}

#[tokio::test(start_paused = true)]
async fn a_server_that_says_it_is_full_is_believed() {
    let network = network();
    let listener = network.listen(&"mem:a".parse().unwrap()).await.unwrap();
    let channel = channel(&network, "mem:a", plain());
    let calls = async {
        tokio::join!(
            channel.unary(ECHO, message("1"), within(60 * SECOND)),
            channel.unary(ECHO, message("2"), within(60 * SECOND)),
        )
    };
    let serving = async {
        let peer = Peer::accept(&listener).await;
        peer.write(SETTINGS, 0, 0, &[0, 3, 0, 0, 0, 1]).await;
        let first = peer.wait_for(HEADERS).await.stream;
        tokio::time::sleep(SECOND).await;
        peer.succeed(first).await;
        let second = peer.wait_for(HEADERS).await.stream;
        peer.succeed(second).await;
        peer
    };
    let ((first, second), _peer) = tokio::join!(calls, serving);
    assert!(first.is_ok() && second.is_ok(), "{first:?} {second:?}");
}
