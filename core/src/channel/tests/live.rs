//! What a channel looks like from outside, and what its connections were good for.

use super::{
    ConnectivityState::{Idle, Ready, Shutdown, TransientFailure},
    peer::{HEADERS, Peer},
    *,
};
use crate::config::{KeepaliveParams, PoolingConfig};

/// Waits until the channel looks so; a connection ends a little after what ended it.
async fn looks(channel: &Channel, what: impl Fn(&LiveChannel) -> bool) -> LiveChannel {
    loop {
        let live = channel.inspect();
        if what(&live) {
            return live;
        }
        tokio::time::sleep(MILLI).await;
    }
}

fn retired(live: &LiveChannel) -> Vec<(&'static str, u64)> {
    let counts = RetireReason::ALL.map(|reason| (reason.name(), live.pool.closed(reason)));
    counts.into_iter().filter(|(_, count)| *count > 0).collect()
}

#[tokio::test(start_paused = true)]
async fn a_channel_shows_its_calls_its_addresses_and_their_connections() {
    let network = network();
    let methods = echo().unary("/test.Service/Fail", |_| async { Err(Status::internal("no")) });
    let _server = serve(&network, "mem:a", methods).await;
    let channel = channel(&network, "mem:nobody,mem:a", plain());
    let before = channel.inspect();
    assert_eq!((before.state, before.last_call, before.addresses.len()), (Idle, None, 0));
    assert_eq!(&*before.target, "mem:nobody,mem:a");

    channel.unary(ECHO, message("x"), within(SECOND)).await.unwrap();
    let live = channel.inspect();
    let [nobody, _] = &live.addresses[..] else { panic!("{live:?}") };
    assert_eq!(nobody.address.to_string(), "mem:nobody");
    assert_eq!((nobody.state, nobody.calls_started), (TransientFailure, 0));
    assert!(nobody.last_error.as_ref().unwrap().to_string().contains("connection failed"));
    assert!(nobody.next_attempt.is_some() && nobody.connections.is_empty());

    channel.unary("/test.Service/Fail", message("x"), within(SECOND)).await.unwrap_err();
    let open = channel.call(ECHO, within(60 * SECOND)).unwrap();
    let (sending, _) = tokio::join!(open.send(message("y")), tokio::time::sleep(3 * SECOND));
    sending.unwrap();
    let live = looks(&channel, |live| live.calls_started == 3).await;
    assert_eq!((live.state, live.calls_queued, live.calls_active()), (Ready, 0, 1));
    assert_eq!((live.calls_succeeded, live.calls_failed), (1, 1));
    assert!(live.last_call.unwrap() >= 3 * SECOND && live.state_age >= 3 * SECOND);

    let good = &live.addresses[1];
    assert_eq!((good.state, good.calls_started, good.calls_failed), (Ready, 3, 1));
    assert!(good.last_error.is_none() && good.next_attempt.is_none());
    let [one] = &good.connections[..] else { panic!("{good:?}") };
    assert_eq!((one.calls_started, one.calls_succeeded, one.calls_failed), (3, 1, 1));
    assert_eq!((one.calls_active(), one.calls_limit > 0), (1, true));
    assert_eq!(one.remote.as_ref().unwrap().to_string(), "mem:a");
    assert!(one.bytes_sent > 0 && one.bytes_received > 0, "{one:?}");
    assert!(one.age >= 3 * SECOND, "{one:?}");
    assert_eq!((&one.security, one.retired), (&None, None));
    open.cancel();
    looks(&channel, |live| live.calls_failed == 2 && live.calls_active() == 0).await;

    channel.close(None).await;
    let after = channel.inspect();
    assert_eq!((after.state, after.addresses.len()), (Shutdown, 0));
    assert_eq!(retired(&after), [("closed", 1)]);
}

#[tokio::test(start_paused = true)]
async fn the_pool_counts_who_found_a_place_and_why_connections_ended() {
    let network = network();
    let _server = serve(&network, "mem:a", echo()).await;
    let brief = ConnectionConfig { idle_timeout: TimeLimit::secs(60), ..plain() };
    let channel = channel(&network, "mem:a", brief);
    for _ in 0..3 {
        channel.unary(ECHO, Bytes::new(), within(SECOND)).await.unwrap();
    }
    let live = channel.inspect();
    assert_eq!((live.pool.misses, live.pool.hits, live.pool.created), (1, 2, 1));
    reaches(&channel, Idle).await;
    let live = looks(&channel, |live| live.addresses.is_empty()).await;
    assert_eq!(retired(&live), [("idle", 1)]);
    let placed =
        |result| count(&network, "trunkline_channel_placements_total", &[("result", result)]);
    assert_eq!((placed("hit"), placed("miss")), (2, 1));
    let name = "trunkline_channel_connections_closed_total";
    assert_eq!(count(&network, name, &[("reason", "idle")]), 1);
    assert_eq!(count(&network, name, &[]), 1);
}

#[tokio::test(start_paused = true)]
async fn a_connection_that_a_goaway_leaves_is_shown_until_its_last_call_has_ended() {
    let network = network();
    let listener = network.listen(&"mem:a".parse().unwrap()).await.unwrap();
    let pooled = ConnectionConfig { pooling: PoolingConfig { enabled: true, size: 2 }, ..plain() };
    let channel = channel(&network, "mem:a", pooled);
    let call = channel.unary(ECHO, Bytes::new(), within(60 * SECOND));
    let serving = async {
        let peer = Peer::accept(&listener).await;
        peer.greet().await;
        let stream = peer.wait_for(HEADERS).await.stream;
        peer.goaway(stream, 0, b"").await;
        let live = looks(&channel, |live| {
            live.addresses.iter().flat_map(|one| &one.connections).any(|one| one.retired.is_some())
        })
        .await;
        let one = &live.addresses[0].connections[0];
        assert_eq!((one.retired, one.calls_active()), (Some(RetireReason::GoAway), 1));
        assert!(live.addresses[0].last_error.is_some());
        peer.succeed(stream).await;
        peer
    };
    let (reply, peer) = tokio::join!(call, serving);
    reply.unwrap();
    drop(peer);
    let live = looks(&channel, |live| live.pool.closed(RetireReason::GoAway) == 1).await;
    assert!(live.addresses.iter().all(|address| address.connections.is_empty()));
}

#[tokio::test(start_paused = true)]
async fn keepalives_are_counted_and_an_unanswered_one_is_a_reason() {
    let network = network();
    let listener = network.listen(&"mem:a".parse().unwrap()).await.unwrap();
    let asking = ConnectionConfig {
        keepalive: KeepaliveParams {
            time: TimeLimit::secs(10),
            timeout: 5 * SECOND,
            permit_without_stream: true,
        },
        ..plain()
    };
    let channel = channel(&network, "mem:a", asking);
    channel.connect();
    let peer = Peer::accept(&listener).await;
    peer.greet().await;
    reaches(&channel, Ready).await;
    tokio::time::sleep(11 * SECOND).await;
    assert_eq!(channel.inspect().addresses[0].connections[0].keepalives_sent, 1);
    let live = looks(&channel, |live| live.pool.closed(RetireReason::Unanswered) == 1).await;
    assert!(format!("{:?}", live.addresses[0].last_error).contains("NoPong"), "{live:?}");
    drop(peer);
}

#[tokio::test(start_paused = true)]
async fn a_channel_that_is_dropped_leaves_no_connection_counted() {
    let network = network();
    let _server = serve(&network, "mem:a", echo()).await;
    let channel = channel(&network, "mem:a", plain());
    channel.unary(ECHO, Bytes::new(), within(SECOND)).await.unwrap();
    assert_eq!(count(&network, "trunkline_channel_connections", &[]), 1);
    drop(channel);
    while count(&network, "trunkline_channel_connections", &[]) > 0 {
        tokio::time::sleep(MILLI).await;
    }
    let closed =
        count(&network, "trunkline_channel_connections_closed_total", &[("reason", "closed")]);
    assert_eq!(closed, 1);
}
