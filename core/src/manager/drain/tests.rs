//! What a drain closes, and when, in virtual time.
#![allow(clippy::disallowed_methods, reason = "a test drives itself, by a clock that stands")]

use super::*;
use crate::{address::Address, config::TcpManagerConfig, transport::Network};

/// Lets each client of ten say something that many seconds after the others, drains for half a minute, and says
/// which of them ended when.
async fn ends_of_a_drain(spread: Option<Duration>, talks: Option<usize>) -> Vec<(usize, Duration)> {
    let network = Network::new(tokio::runtime::Handle::current());
    let config = TcpManagerConfig { drain_spread: spread, ..Default::default() };
    let manager = TcpConnectionManager::new(network.clone(), config).unwrap();
    let to: Address = "mem:echo".parse().unwrap();
    let listener = network.listen(&to).await.unwrap();
    tokio::spawn(async move {
        while let Ok(stream) = listener.accept().await {
            tokio::spawn(async move {
                let mut byte = [0];
                while let Ok(1) = stream.read(&mut byte).await {
                    stream.write_all(&byte).await.unwrap();
                }
            });
        }
    });
    let bound = manager.relay(&"mem:drained".parse().unwrap(), to).await.unwrap();
    let mut clients = Vec::new();
    for _ in 0..10 {
        tokio::time::sleep(Duration::from_secs(1)).await;
        let client = network.connect(&bound, None).await.unwrap();
        client.write_all(b"x").await.unwrap();
        assert_eq!(client.read(&mut [0]).await.unwrap(), 1);
        clients.push(client);
    }
    let began = tokio::time::Instant::now();
    let (told, mut ends) = tokio::sync::mpsc::unbounded_channel();
    for (number, client) in clients.into_iter().enumerate() {
        let told = told.clone();
        tokio::spawn(async move {
            loop {
                let pause = match talks {
                    Some(talker) if talker == number => Duration::from_millis(1),
                    _ => Duration::from_secs(3600),
                };
                match tokio::time::timeout(pause, client.read(&mut [0])).await {
                    Ok(Ok(1..)) => {}
                    Ok(Ok(0) | Err(_)) => return told.send((number, began.elapsed())).unwrap(),
                    // Where the other end has gone the next read says so.
                    Err(_) => drop(client.write_all(b"x").await),
                }
            }
        });
    }
    drop(told);
    let deadline = began + Duration::from_secs(30);
    let report = manager.drain(Some(deadline.into_std())).await;
    assert_eq!((report.finished, report.cut), (0, 10));
    assert_eq!(manager.stats().closed_because(CloseReason::Drained), 10);
    let mut all = Vec::new();
    while let Some(end) = ends.recv().await {
        all.push(end);
    }
    all
}

#[tokio::test(start_paused = true)]
async fn those_that_stay_are_closed_evenly_until_the_deadline_and_the_longest_silent_first() {
    let ends = ends_of_a_drain(Some(Duration::from_secs(10)), None).await;
    for (place, (number, after)) in ends.into_iter().enumerate() {
        let expected = 21.0 + place as f64;
        assert_eq!(number, place);
        assert!((after.as_secs_f64() - expected).abs() < 0.1, "{number} after {after:?}");
    }
}

#[tokio::test(start_paused = true)]
async fn one_that_moves_bytes_is_closed_after_those_that_do_not() {
    let ends = ends_of_a_drain(None, Some(0)).await;
    let order: Vec<_> = ends.iter().map(|(number, _)| *number).collect();
    assert_eq!(order, [1, 2, 3, 4, 5, 6, 7, 8, 9, 0]);
    assert!(ends[0].1 >= Duration::from_secs(20), "a third of the time is for closing");
}

#[tokio::test(start_paused = true)]
async fn without_a_spread_all_are_closed_at_the_deadline() {
    let ends = ends_of_a_drain(Some(Duration::ZERO), None).await;
    assert!(ends.iter().all(|(_, after)| *after >= Duration::from_secs(30)), "{ends:?}");
}
