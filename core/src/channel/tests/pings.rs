//! Clients that ask a server too often.

use super::*;
use crate::config::KeepaliveParams;

/// A channel that asks every 10 s for an hour, without calls, and how often a server with this interval complained.
async fn complaints(min_ping_interval: Duration) -> u64 {
    let network = network();
    let permitting = ChannelServerConfig {
        min_ping_interval,
        permit_pings_without_calls: true,
        ..ChannelServerConfig::default()
    };
    let _server = serve_with(&network, "mem:a", echo(), permitting).await;
    let asking = ConnectionConfig {
        keepalive: KeepaliveParams {
            time: TimeLimit::secs(10),
            timeout: 5 * SECOND,
            permit_without_stream: true,
        },
        idle_timeout: TimeLimit::Never,
        ..plain()
    };
    let channel = channel(&network, "mem:a", asking);
    let mut asked = 0;
    for _ in 0..60 {
        channel.connect();
        channel.wait_ready(after(SECOND)).await.unwrap();
        tokio::time::sleep(60 * SECOND).await;
        let live = channel.inspect();
        asked += live
            .addresses
            .iter()
            .flat_map(|a| &a.connections)
            .map(|c| c.keepalives_sent)
            .sum::<u64>();
    }
    assert!(asked > 10, "it asked {asked} times");
    channel.unary(ECHO, Bytes::new(), within(SECOND)).await.unwrap();
    channel.inspect().pool.closed(RetireReason::GoAway)
}

#[tokio::test(start_paused = true)]
async fn a_client_that_asks_too_often_loses_one_connection_and_keeps_the_rule_from_then_on() {
    assert_eq!(complaints(300 * SECOND).await, 1);
}

#[tokio::test(start_paused = true)]
async fn a_server_that_allows_any_number_of_pings_never_complains() {
    assert_eq!(complaints(Duration::ZERO).await, 0);
}
