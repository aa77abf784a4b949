//! Every change of a channel's state, in order, or how many were missed.

use super::{
    ConnectivityState::{Connecting, Idle, Ready, Shutdown, TransientFailure},
    peer::Peer,
    *,
};

fn moves(history: &History) -> Vec<(ConnectivityState, ConnectivityState)> {
    history.changes.iter().map(|change| (change.from, change.to)).collect()
}

fn text(error: &Option<ConnectionError>) -> String {
    error.as_ref().map(|why| why.with_causes().to_string()).unwrap_or_default()
}

#[tokio::test(start_paused = true)]
async fn a_slow_reader_sees_every_state_in_order_and_why_it_failed() {
    let network = network();
    let channel = channel(&network, "mem:late", plain());
    assert!(channel.history(0, 9).changes.is_empty());
    channel.connect();
    reaches(&channel, TransientFailure).await;
    let listener = network.listen(&"mem:late".parse().unwrap()).await.unwrap();
    let peer = Peer::accept(&listener).await;
    peer.greet().await;
    reaches(&channel, Ready).await;
    drop(peer);
    channel.wait_for_state_change(Ready, after(SECOND)).await.unwrap();
    channel.close(None).await;

    let history = channel.history(0, 100);
    assert_eq!(
        moves(&history),
        [
            (Idle, Connecting),
            (Connecting, TransientFailure),
            (TransientFailure, Ready),
            (Ready, Idle),
            (Idle, Shutdown),
        ]
    );
    assert_eq!(history.lost, 0);
    let numbers: Vec<u64> = history.changes.iter().map(|change| change.number).collect();
    assert_eq!(numbers, [1, 2, 3, 4, 5]);
    assert!(history.changes.windows(2).all(|two| two[0].at <= two[1].at));
    let why: Vec<String> = history.changes.iter().map(|change| text(&change.why)).collect();
    assert!(why[1].contains("mem:late") && why[1].contains("connection failed"), "{why:?}");
    assert!(
        !why[3].is_empty() && why[0].is_empty() && why[2].is_empty() && why[4].is_empty(),
        "{why:?}"
    );
    assert_eq!(moves(&channel.history(3, 1)), [(Ready, Idle)]);
}

#[tokio::test(start_paused = true)]
async fn more_changes_than_are_kept_are_counted_as_lost() {
    let network = network();
    let _server = serve(&network, "mem:a", echo()).await;
    let brief = ConnectionConfig { state_history: 3, idle_timeout: TimeLimit::secs(1), ..plain() };
    let channel = channel(&network, "mem:a", brief);
    for round in 1..=4 {
        channel.unary(ECHO, Bytes::new(), within(SECOND)).await.unwrap();
        assert_eq!(
            channel.wait_history(3 * round - 1, after(5 * SECOND)).await.unwrap(),
            3 * round
        );
    }
    let history = channel.history(2, 100);
    assert_eq!(
        (history.lost, moves(&history)),
        (7, vec![(Idle, Connecting), (Connecting, Ready), (Ready, Idle)])
    );
}

#[tokio::test(start_paused = true)]
async fn who_waits_for_a_change_gets_it_or_hears_that_none_will_come() {
    let network = network();
    let channel = channel(&network, "mem:nobody", plain());
    let late = channel.wait_history(0, after(SECOND)).await.unwrap_err();
    assert!(matches!(late, ConnectionError::Timeout { .. }), "{late:?}");
    let (waited, ()) = tokio::join!(channel.wait_history(0, None), async { channel.connect() });
    assert!(waited.unwrap() >= 1);
    reaches(&channel, TransientFailure).await;
    let last = channel.history(0, 100).changes.len() as u64;
    let (waited, ()) = tokio::join!(channel.wait_history(last, None), channel.close(None));
    assert_eq!(waited.unwrap(), last + 1);
    assert_eq!(channel.history(last, 9).changes[0].to, Shutdown);
    let over = channel.wait_history(last + 1, None).await.unwrap_err();
    assert!(matches!(over, ConnectionError::Closed { .. }), "{over:?}");
}

#[tokio::test(start_paused = true)]
async fn a_channel_that_rests_does_not_blame_what_failed_before() {
    let network = network();
    let brief = ConnectionConfig { idle_timeout: TimeLimit::secs(20), ..plain() };
    let channel = channel(&network, "mem:nobody", brief);
    channel.connect();
    reaches(&channel, TransientFailure).await;
    reaches(&channel, Idle).await;
    let history = channel.history(0, 100);
    let last = history.changes.last().unwrap();
    assert_eq!((last.from, last.to, last.why.is_none()), (TransientFailure, Idle, true));
}
