//! What a tunnel promises to those who use it, one by one.

use super::*;
use crate::{
    backoff::BackoffConfig,
    config::{AgentPolicy, LinkConfig, TimeLimit},
    context::CloseReason,
    tunnel::{
        greet,
        hello::Verdict,
        native::{self, Limits},
    },
};
use std::sync::{
    Arc,
    atomic::{AtomicBool, Ordering},
};

over_each_carrier!(
    bytes_cross_both_ways_and_a_half_close_lets_the_answer_through,
    an_end_at_either_side_reaches_the_other_at_once,
    a_failure_is_a_reset_and_never_bytes,
    a_connection_stands_for_days_without_a_byte,
    a_reader_that_sleeps_gets_every_byte_and_costs_no_more_than_its_window,
    a_writer_that_had_to_wait_goes_on_in_large_pieces,
    a_stalled_reader_holds_up_nobody_beside_it,
    thousands_of_tiny_writes_to_a_stalled_reader_harm_nobody_on_the_link,
    what_was_written_before_a_reset_arrives_before_it,
    an_agent_that_is_replaced_with_connections_open_freezes_nobody,
    a_replaced_agent_is_told_gets_its_grace_and_then_its_connections_are_reset,
    connections_of_a_replaced_agent_that_end_in_time_end_in_order,
    an_agent_that_comes_back_gets_nothing_of_the_connections_before,
    two_clusters_never_see_each_others_connections,
    bytes_sent_with_the_first_breath_of_a_forward_arrive,
    a_forward_over_sockets_carries_both_ways_and_resets_whom_it_cannot_serve,
    only_listed_targets_are_dialled_whatever_their_name_leads_to,
    why_a_target_was_not_reached_is_told_with_its_number,
    a_dial_waits_for_an_agent_as_long_as_the_configuration_says,
    a_dial_that_is_given_up_is_given_up_at_the_agent_too,
    several_links_to_one_hub_share_the_load_and_the_loss_of_one_is_no_loss_of_the_others,
    agents_that_share_a_cluster_all_get_connections,
    a_drain_of_the_agent_lets_connections_finish_and_sends_new_ones_elsewhere,
    a_drain_cuts_at_its_deadline_what_has_not_finished,
    a_hub_that_drains_lets_connections_finish,
    a_hub_that_restarts_gets_its_agents_back_and_old_connections_are_reset,
    the_backoff_starts_over_only_after_a_healthy_time,
    an_agent_has_a_tunnel_to_each_of_its_hubs,
    dropping_the_last_handle_ends_everything_of_it,
    one_listener_at_a_time_takes_what_waits_since_the_beginning,
    the_registry_counts_links_and_refusals,
);

async fn bytes_cross_both_ways_and_a_half_close_lets_the_answer_through() {
    let world = World::new().await;
    let agent = world.agent("c1").await;
    let listener = agent.listener().unwrap();
    let user = world.dial("c1").await;
    let served = listener.accept().await.unwrap();
    say(&user, b"question").await;
    user.shutdown(Shutdown::Write).unwrap();
    assert_eq!(rest(&served).await.unwrap(), b"question");
    say(&served, b"answer").await;
    served.close();
    assert_eq!(rest(&user).await.unwrap(), b"answer");
    assert_eq!(served.context().destination.as_ref().unwrap().to_string(), "tunnel:c1");
    assert_eq!(user.context().protocol.name(), "tunnel");
    drop(user);
    until(|| world.hub.stats().active == 0 && agent.stats().active == 0).await;
    assert_eq!((agent.stats().bytes_received, agent.stats().bytes_sent), (8, 6));
    assert_eq!((world.hub.stats().bytes_received, world.hub.stats().bytes_sent), (6, 8));
}

async fn an_end_at_either_side_reaches_the_other_at_once() {
    let world = World::new().await;
    let agent = world.agent("c1").await;
    let listener = agent.listener().unwrap();
    let began = now();
    for agent_ends in [true, false] {
        let user = world.dial("c1").await;
        let served = listener.accept().await.unwrap();
        let (ends, sees) = if agent_ends { (served, user) } else { (user, served) };
        say(&ends, b"last words").await;
        drop(ends);
        assert_eq!(rest(&sees).await.unwrap(), b"last words");
        let refused = async { while sees.write(b"x").await.is_ok() {} };
        refused.await;
    }
    assert!(began.elapsed() < Duration::from_secs(1));
}

async fn a_failure_is_a_reset_and_never_bytes() {
    let world = World::new().await;
    let agent = world.agent("c1").await;
    let listener = agent.listener().unwrap();
    let user = world.dial("c1").await;
    let served = listener.accept().await.unwrap();
    say(&served, b"part of an ans").await;
    hears(&user, b"part of an ans").await;
    served.abort(CloseReason::Local);
    let error = rest(&user).await.unwrap_err();
    assert_eq!(error.os_code(), Some(libc::ECONNRESET));
    let error = user.write_all(&vec![0; 1 << 20]).await.unwrap_err();
    assert_eq!(error.os_code(), Some(libc::ECONNRESET));
}

async fn a_connection_stands_for_days_without_a_byte() {
    let world = World::new().await;
    let agent = world.agent("c1").await;
    let listener = agent.listener().unwrap();
    let user = world.dial("c1").await;
    let served = listener.accept().await.unwrap();
    tokio::time::sleep(72 * HOUR).await;
    say(&user, b"still there?").await;
    hears(&served, b"still there?").await;
    assert_eq!(agent.stats().links_opened, 1);
}

async fn a_reader_that_sleeps_gets_every_byte_and_costs_no_more_than_its_window() {
    let world = World::new().await;
    let agent = world.agent("c1").await;
    let listener = agent.listener().unwrap();
    let user = world.dial("c1").await;
    let served = listener.accept().await.unwrap();
    let sent: Vec<u8> = (0..8_u32 << 20).map(|n| (n % 251) as u8).collect();
    let expected = sent.clone();
    let writer = world.spawn(async move { say(&served, &sent).await });
    tokio::time::sleep(HOUR).await;
    assert!(!writer.is_finished());
    let held = agent.stats().bytes_sent;
    assert!(held <= 512 << 10, "{held} bytes left the host for a reader that reads nothing");
    assert!(rest(&user).await.unwrap() == expected);
    writer.await.unwrap();
}

async fn a_writer_that_had_to_wait_goes_on_in_large_pieces() {
    let world = World::new().await;
    let agent = world.agent("c1").await;
    let listener = agent.listener().unwrap();
    let user = world.dial("c1").await;
    let served = listener.accept().await.unwrap();
    let piece = vec![1; 64 << 10];
    let mut filled = 0;
    for _ in 0..1000 {
        match user.try_write(&[std::io::IoSlice::new(&piece)]) {
            std::task::Poll::Ready(count) => filled += count.unwrap(),
            std::task::Poll::Pending => settle().await,
        }
    }
    let writer = world.spawn(async move {
        user.writable().await;
        user.write(&piece).await.unwrap()
    });
    settle().await;
    assert!(!writer.is_finished());
    hears(&served, &vec![1; filled]).await;
    let written = writer.await.unwrap();
    assert!(written >= 16 << 10, "only {written} bytes");
}

async fn a_stalled_reader_holds_up_nobody_beside_it() {
    let world = World::with(|config| config.max_connections_per_cluster = 50).await;
    let agent = world.agent("c1").await;
    let listener = agent.listener().unwrap();
    let mut stalled = Vec::new();
    for _ in 0..40 {
        let user = world.dial("c1").await;
        let served = listener.accept().await.unwrap();
        let writer = world.spawn(async move { served.write_all(&vec![7; 4 << 20]).await });
        stalled.push((user, writer));
    }
    settle().await;
    let fast = world.dial("c1").await;
    let served = listener.accept().await.unwrap();
    let echo = world.spawn(async move { while pass(&served).await {} });
    for round in 0..200_u32 {
        let text = vec![round as u8; 32 << 10];
        say(&fast, &text).await;
        hears(&fast, &text).await;
    }
    drop(fast);
    echo.await.unwrap();
    assert!(stalled.iter().all(|(_, writer)| !writer.is_finished()));
}

async fn thousands_of_tiny_writes_to_a_stalled_reader_harm_nobody_on_the_link() {
    let world = World::new().await;
    let agent = world.agent("c1").await;
    let listener = agent.listener().unwrap();
    let mut users = Vec::new();
    for _ in 0..3 {
        let user = world.dial("c1").await;
        let served = listener.accept().await.unwrap();
        for n in 0..20_000_u32 {
            say(&user, &[n as u8]).await;
        }
        users.push((user, served));
    }
    for (user, served) in users {
        drop(user);
        let all = rest(&served).await.unwrap();
        assert!(all.iter().enumerate().all(|(n, byte)| *byte == n as u8) && all.len() == 20_000);
    }
    assert_eq!(agent.stats().links_opened, 1, "the link was never lost");
}

async fn what_was_written_before_a_reset_arrives_before_it() {
    let world = World::new().await;
    let agent = world.agent_with("c1", |config| config.forward = Some(address("mem:app"))).await;
    let app = world.network.listen(&address("mem:app")).await.unwrap();
    let user = world.dial("c1").await;
    let server = app.accept().await.unwrap();
    let sent = vec![5; 100_000];
    let expected = sent.clone();
    world.spawn(async move {
        say(&server, &sent).await;
        settle().await;
        server.abort(CloseReason::Local);
    });
    let (mut got, mut buf) = (Vec::new(), vec![0; 8 << 10]);
    let error = loop {
        match user.read(&mut buf).await {
            Ok(0) => panic!("a reset looked like an end"),
            Ok(count) => got.extend_from_slice(&buf[..count]),
            Err(error) => break error,
        }
    };
    assert!(error.os_code() == Some(libc::ECONNRESET) && got == expected);
    drop(agent);
}

async fn an_agent_that_is_replaced_with_connections_open_freezes_nobody() {
    let world = World::new().await;
    let other = world.agent("c2").await;
    let other_listener = other.listener().unwrap();
    let old = world.agent("c1").await;
    let listener = old.listener().unwrap();
    let user = world.dial("c1").await;
    let served = listener.accept().await.unwrap();

    let new = world.agent("c1").await;
    let new_listener = new.listener().unwrap();
    let fresh = world.dial("c1").await;
    let fresh_served = new_listener.accept().await.unwrap();
    say(&fresh, b"to the new one").await;
    hears(&fresh_served, b"to the new one").await;
    let elsewhere = world.dial("c2").await;
    say(&elsewhere, b"beside").await;
    hears(&other_listener.accept().await.unwrap(), b"beside").await;

    say(&served, b"late data of the old one").await;
    hears(&user, b"late data of the old one").await;
    assert_eq!(world.hub.stats().replaced, 1);
}

async fn a_replaced_agent_is_told_gets_its_grace_and_then_its_connections_are_reset() {
    let world = World::new().await;
    let old = world.agent("c1").await;
    let listener = old.listener().unwrap();
    let user = world.dial("c1").await;
    let served = listener.accept().await.unwrap();
    // Kept from coming back: it would take the place again.
    let slow = BackoffConfig { base_delay: HOUR, max_delay: HOUR, ..Default::default() };
    let new = world.agent_with("c1", |config| config.backoff = slow).await;
    tokio::time::sleep(Duration::from_secs(29)).await;
    say(&user, b"within the grace").await;
    hears(&served, b"within the grace").await;
    until(|| old.stats().replaced == 1).await;
    for end in [&user, &served] {
        assert_eq!(rest(end).await.unwrap_err().os_code(), Some(libc::ECONNRESET));
    }
    drop(new);
}

async fn connections_of_a_replaced_agent_that_end_in_time_end_in_order() {
    let world = World::new().await;
    let old = world.agent("c1").await;
    let listener = old.listener().unwrap();
    let user = world.dial("c1").await;
    let served = listener.accept().await.unwrap();
    let _new = world.agent("c1").await;
    let sent = vec![9; 200_000];
    let expected = sent.clone();
    world.spawn(async move { say(&served, &sent).await });
    assert!(rest(&user).await.unwrap() == expected);
    drop(user);
    until(|| old.stats().replaced == 1 && world.hub.stats().links == 1).await;
}

async fn an_agent_that_comes_back_gets_nothing_of_the_connections_before() {
    let world = World::with(|config| config.agent_wait = TimeLimit::Never).await;
    for round in 0..5_u8 {
        let agent = world.agent("c1").await;
        let listener = agent.listener().unwrap();
        let users = [world.dial("c1").await, world.dial("c1").await];
        for user in &users {
            say(user, &[round; 100]).await;
        }
        let served = [listener.accept().await.unwrap(), listener.accept().await.unwrap()];
        for served in &served {
            hears(served, &[round; 100]).await;
            say(served, &[round; 10]).await;
        }
        settle().await;
        agent.close().await;
        for user in users {
            hears(&user, &[round; 10]).await;
            assert_eq!(user.read(&mut [0]).await.unwrap_err().os_code(), Some(libc::ECONNRESET));
        }
    }
}

async fn two_clusters_never_see_each_others_connections() {
    let world = World::new().await;
    let mut listeners = Vec::new();
    let agents = [world.agent("c1").await, world.agent("c2").await];
    for agent in &agents {
        listeners.push(agent.listener().unwrap());
    }
    for _ in 0..20 {
        for (cluster, listener) in ["c1", "c2"].into_iter().zip(&listeners) {
            let user = world.dial(cluster).await;
            say(&user, cluster.as_bytes()).await;
            hears(&listener.accept().await.unwrap(), cluster.as_bytes()).await;
        }
    }
    let error = world.hub.dial("c3", None, None).await.unwrap_err();
    assert!(matches!(error, ConnectionError::ConnectionFailed { .. }), "{error}");
    assert!(error.is_safe_to_retry());
}

async fn bytes_sent_with_the_first_breath_of_a_forward_arrive() {
    let world = World::with(|config| config.agent_wait = TimeLimit::Never).await;
    let forward = world.hub.forward(&address("mem:front"), "c1", None).await.unwrap();
    let client = world.network.connect(&forward, None).await.unwrap();
    say(&client, b"GET / HTTP/1.1\r\n\r\n").await;
    client.shutdown(Shutdown::Write).unwrap();
    settle().await;
    let agent = world.agent("c1").await;
    let served = agent.listener().unwrap().accept().await.unwrap();
    assert_eq!(rest(&served).await.unwrap(), b"GET / HTTP/1.1\r\n\r\n");
    say(&served, b"200").await;
    drop(served);
    assert_eq!(rest(&client).await.unwrap(), b"200");
}

async fn a_forward_over_sockets_carries_both_ways_and_resets_whom_it_cannot_serve() {
    let world = World::new().await;
    let app = world.network.listen(&address("tcp://127.0.0.1:0")).await.unwrap();
    let target = app.address().clone();
    world.echo(app);
    let rules = format!("tcp://127.0.0.0/8:{}", target.socket_addr().unwrap().port());
    let _agent =
        world.agent_with("c1", |config| config.targets = vec![rules.parse().unwrap()]).await;
    let hub = &world.hub;
    let listen = address("tcp://127.0.0.1:0");
    let forward = hub.forward(&listen, "c1", Some(&target)).await.unwrap();
    let client = world.network.connect(&forward, None).await.unwrap();
    say(&client, b"through").await;
    hears(&client, b"through").await;
    let nobody = hub.forward(&listen, "c2", None).await.unwrap();
    let client = world.network.connect(&nobody, None).await.unwrap();
    assert_eq!(client.read(&mut [0]).await.unwrap_err().os_code(), Some(libc::ECONNRESET));
}

#[tokio::test(start_paused = true)]
async fn forwards_and_agents_stay_on_loopback_unless_the_configuration_says_otherwise() {
    let world = World::new().await;
    let wide = address("tcp://0.0.0.0:0");
    for answer in [world.hub.listen(&wide).await, world.hub.forward(&wide, "c1", None).await] {
        assert!(matches!(answer, Err(ConnectionError::InvalidConfig { .. })), "{answer:?}");
    }
}

async fn only_listed_targets_are_dialled_whatever_their_name_leads_to() {
    let world = World::new().await;
    let app = world.network.listen(&address("tcp://127.0.0.1:0")).await.unwrap();
    let port = app.address().socket_addr().unwrap().port();
    world.echo(app);
    let _memory = world.network.listen(&address("mem:listed")).await.unwrap();
    let agent = world
        .agent_with("c1", |config| {
            config.targets = ["tcp://localhost:*", "tcp://0.0.0.0/0:*", "mem:listed"]
                .map(|rule| rule.parse().unwrap())
                .into();
        })
        .await;
    for denied in [
        format!("tcp://localhost:{port}"),
        format!("tcp://127.0.0.1:{port}"),
        format!("tcp://[::ffff:127.0.0.1]:{port}"),
        "tcp://169.254.169.254:80".into(),
        "mem:hub".into(),
        "unix:/run/app.sock".into(),
        "tunnel:c1".into(),
    ] {
        let error = world.hub.dial("c1", Some(&address(&denied)), None).await.unwrap_err();
        assert!(error.to_string().contains("does not allow"), "{denied}: {error}");
        assert!(!error.is_safe_to_retry());
    }
    world.hub.dial("c1", Some(&address("mem:listed")), None).await.unwrap();
    assert_eq!(agent.stats().refused, 7);
}

async fn why_a_target_was_not_reached_is_told_with_its_number() {
    let world = World::new().await;
    let _agent = world
        .agent_with("c1", |config| config.targets = vec!["tcp://127.0.0.1:1".parse().unwrap()])
        .await;
    let target = address("tcp://127.0.0.1:1");
    let error = world.hub.dial("c1", Some(&target), None).await.unwrap_err();
    assert_eq!(error.os_code(), Some(libc::ECONNREFUSED), "{error}");
    assert!(error.is_safe_to_retry() && error.is_nothing_sent());
    assert_eq!(error.to_string(), "connect to tunnel:c1: connection failed");
}

async fn a_dial_waits_for_an_agent_as_long_as_the_configuration_says() {
    let world = World::with(|config| config.agent_wait = TimeLimit::secs(10)).await;
    let began = now();
    assert!(world.hub.dial("c1", None, None).await.is_err());
    assert!(began.elapsed() >= Duration::from_secs(10));
    let hub = world.hub.clone();
    let dial = world.spawn(async move { hub.dial("c1", None, None).await });
    settle().await;
    let _agent = world.agent("c1").await;
    dial.await.unwrap().unwrap();
}

async fn a_dial_that_is_given_up_is_given_up_at_the_agent_too() {
    let world = World::new().await;
    let agent = world.agent_with("c1", |config| config.backlog = 1).await;
    let listener = agent.listener().unwrap();
    let _first = world.dial("c1").await;
    let soon = now().into_std() + Duration::from_secs(5);
    let error = world.hub.dial("c1", None, Some(soon)).await.unwrap_err();
    assert!(matches!(error, ConnectionError::Timeout { .. }), "{error}");
    settle().await;
    let _served = listener.accept().await.unwrap();
    let third = world.dial("c1").await;
    say(&third, b"third").await;
    hears(&listener.accept().await.unwrap(), b"third").await;
}

async fn several_links_to_one_hub_share_the_load_and_the_loss_of_one_is_no_loss_of_the_others() {
    let world = World::new().await;
    let agent = world.agent_with("c1", |config| config.links = 4).await;
    until(|| world.hub.stats().links == 4).await;
    let listener = agent.listener().unwrap();
    let mut pairs = Vec::new();
    for n in 0..40_u8 {
        let user = world.dial("c1").await;
        let served = listener.accept().await.unwrap();
        say(&user, &[n]).await;
        hears(&served, &[n]).await;
        pairs.push((user, served));
    }
    assert_eq!((world.hub.stats().replaced, world.hub.stats().active), (0, 40));
}

async fn agents_that_share_a_cluster_all_get_connections() {
    let world = World::with(|config| config.policy = AgentPolicy::Share).await;
    let agents = [world.agent("c1").await, world.agent("c1").await, world.agent("c1").await];
    let listeners = agents.each_ref().map(|agent| agent.listener().unwrap());
    let mut users = Vec::new();
    for _ in 0..9 {
        users.push(world.dial("c1").await);
    }
    for listener in &listeners {
        for _ in 0..3 {
            listener.accept().await.unwrap();
        }
    }
    agents[0].close().await;
    users.push(world.dial("c1").await);
    assert_eq!(world.hub.stats().replaced, 0);
}

async fn a_drain_of_the_agent_lets_connections_finish_and_sends_new_ones_elsewhere() {
    let world = World::with(|config| config.policy = AgentPolicy::Share).await;
    let leaving = world.agent("c1").await;
    let listener = leaving.listener().unwrap();
    let user = world.dial("c1").await;
    let served = listener.accept().await.unwrap();
    let drained = Arc::new(AtomicBool::new(false));
    let drain = {
        let (leaving, drained) = (leaving.clone(), Arc::clone(&drained));
        world.spawn(async move {
            let report = leaving.drain(None).await;
            drained.store(true, Ordering::SeqCst);
            report
        })
    };
    settle().await;
    let error = world.hub.dial("c1", None, None).await.unwrap_err();
    assert!(error.is_safe_to_retry(), "{error}");
    let staying = world.agent("c1").await;
    let other = staying.listener().unwrap();
    let elsewhere = world.dial("c1").await;
    say(&elsewhere, b"elsewhere").await;
    hears(&other.accept().await.unwrap(), b"elsewhere").await;

    assert!(!drained.load(Ordering::SeqCst));
    say(&user, b"in flight").await;
    hears(&served, b"in flight").await;
    say(&served, &[3; 100_000]).await;
    drop(served);
    assert_eq!(rest(&user).await.unwrap().len(), 100_000);
    drop(user);
    assert_eq!(drain.await.unwrap().cut, 0);
    assert!(leaving.listener().is_err() && leaving.ready(None).await.is_err());
}

async fn a_drain_cuts_at_its_deadline_what_has_not_finished() {
    let world = World::new().await;
    let agent = world.agent("c1").await;
    let listener = agent.listener().unwrap();
    let user = world.dial("c1").await;
    let served = listener.accept().await.unwrap();
    let report = world.hub.drain(None).await;
    assert_eq!((report.cut, report.finished), (1, 0));
    assert!(matches!(user.read(&mut [0]).await, Err(ConnectionError::Closed { .. })));
    assert!(rest(&served).await.is_err(), "what was cut is no orderly end");
    drop(served);
    assert!(matches!(world.hub.dial("c1", None, None).await, Err(ConnectionError::Closed { .. })));
    assert_eq!(agent.drain(None).await.cut, 0);
}

async fn a_hub_that_drains_lets_connections_finish() {
    let world = World::new().await;
    let agent = world.agent("c1").await;
    let listener = agent.listener().unwrap();
    let user = world.dial("c1").await;
    let served = listener.accept().await.unwrap();
    let hub = world.hub.clone();
    let drain = world.spawn(async move { hub.drain(None).await });
    settle().await;
    say(&user, b"last").await;
    drop(user);
    assert_eq!(rest(&served).await.unwrap(), b"last");
    drop(served);
    let report = drain.await.unwrap();
    assert_eq!((report.cut, report.finished), (0, 1));
    until(|| agent.stats().links == 0).await;
}

async fn a_hub_that_restarts_gets_its_agents_back_and_old_connections_are_reset() {
    let network = Network::new(Handle::current());
    let (hub, at) = hub_in(&network, "mem:hub", |_| {}).await;
    let world = World { network: network.clone(), hub, at };
    let agent = world.agent("c1").await;
    let listener = agent.listener().unwrap();
    let user = world.dial("c1").await;
    let served = listener.accept().await.unwrap();
    world.hub.close().await;
    assert!(served.read(&mut [0]).await.is_err());
    assert!(user.read(&mut [0]).await.is_err());

    let (hub, _) = hub_in(&network, "mem:hub", |config| config.agent_wait = TimeLimit::Never).await;
    let user = hub.dial("c1", None, None).await.unwrap();
    say(&user, b"again").await;
    hears(&listener.accept().await.unwrap(), b"again").await;
    assert_eq!(agent.stats().links_opened, 2);
}

async fn the_backoff_starts_over_only_after_a_healthy_time() {
    let world = World::new().await;
    let agent = world.agent("c1").await;
    let opened = |n| {
        let agent = agent.clone();
        async move { until(|| agent.stats().links_opened == n).await }
    };
    // Cut again and again before it is healthy: each pause is longer than the one before.
    let mut pauses = Vec::new();
    for n in 2..6 {
        let rival = world.agent("c1").await;
        rival.close().await;
        let began = now();
        opened(n).await;
        pauses.push(began.elapsed());
    }
    assert!(pauses[3] > pauses[0] * 2, "{pauses:?}");
    // Healthy, and lost by no fault of its own: back within a second.
    tokio::time::sleep(HOUR).await;
    let (network, at) = (world.network.clone(), world.at.clone());
    world.hub.close().await;
    let (_hub, _) = hub_in(&network, &at.to_string(), |_| {}).await;
    let began = now();
    opened(6).await;
    assert!(began.elapsed() < Duration::from_secs(3), "{:?}", began.elapsed());
}

async fn an_agent_has_a_tunnel_to_each_of_its_hubs() {
    let network = Network::new(Handle::current());
    let (one, at) = hub_in(&network, "mem:one", |_| {}).await;
    let (two, other) = hub_in(&network, "mem:two", |_| {}).await;
    let world = World { network, hub: one, at };
    let agent = world.agent_with("c1", |config| config.hubs.push(other)).await;
    until(|| agent.stats().links == 2).await;
    let listener = agent.listener().unwrap();
    for hub in [&world.hub, &two] {
        let user = hub.dial("c1", None, None).await.unwrap();
        say(&user, b"x").await;
        hears(&listener.accept().await.unwrap(), b"x").await;
    }
}

#[tokio::test(start_paused = true)]
async fn a_peer_that_vanished_without_a_word_is_noticed_by_its_silence() {
    let world = World::new().await;
    // A hub that begins to speak and then never moves again.
    let mute = world.network.listen(&address("mem:mute")).await.unwrap();
    let hub = world.spawn(async move {
        let stream = mute.accept().await.unwrap();
        hear(&stream).await;
        greet::answer(&stream, Verdict::Welcome, "").await.unwrap();
        let limits = Limits::new(&LinkConfig::default(), 10);
        let (_link, _driver) = native::connect(stream, limits).await.unwrap();
        std::future::pending::<()>().await;
    });
    let mut config = world.config("c1");
    config.hubs = vec![address("mem:mute")];
    let agent = Agent::new(world.network.clone(), config).unwrap();
    agent.ready(None).await.unwrap();
    let began = now();
    until(|| agent.stats().links == 0).await;
    assert!(began.elapsed() <= Duration::from_secs(32), "{:?}", began.elapsed());
    hub.abort();
}

async fn dropping_the_last_handle_ends_everything_of_it() {
    let world = World::new().await;
    let agent = world.agent("c1").await;
    let listener = agent.listener().unwrap();
    let user = world.dial("c1").await;
    let served = listener.accept().await.unwrap();
    drop(agent);
    assert_eq!(rest(&user).await.unwrap_err().os_code(), Some(libc::ECONNRESET));
    assert!(served.read(&mut [0]).await.is_err());
    assert!(listener.accept().await.is_err());
    until(|| world.hub.stats().links == 0).await;
}

async fn one_listener_at_a_time_takes_what_waits_since_the_beginning() {
    let world = World::new().await;
    let agent = world.agent("c1").await;
    let early = world.dial("c1").await;
    say(&early, b"early").await;
    let listener = agent.listener().unwrap();
    let error = agent.listener().unwrap_err();
    assert_eq!(error.os_code(), Some(libc::EADDRINUSE));
    hears(&listener.accept().await.unwrap(), b"early").await;
    let waiting = world.dial("c1").await;
    drop(listener);
    assert_eq!(rest(&waiting).await.unwrap_err().os_code(), Some(libc::ECONNRESET));
    let error = world.hub.dial("c1", None, None).await.unwrap_err();
    assert!(error.is_safe_to_retry(), "{error}");
    let listener = agent.listener().unwrap();
    let user = world.dial("c1").await;
    say(&user, b"anew").await;
    hears(&listener.accept().await.unwrap(), b"anew").await;
}

async fn the_registry_counts_links_and_refusals() {
    let world = World::new().await;
    let agent = world.agent("c1").await;
    let _ = world.hub.dial("c2", None, None).await;
    let snapshot = world.network.metrics().snapshot();
    let total = |name, role| snapshot.total(name, &[("role", role)]);
    assert_eq!(total("trunkline_tunnel_links", "hub"), 1);
    assert_eq!(total("trunkline_tunnel_links", "agent"), 1);
    assert_eq!(total("trunkline_tunnel_links_opened_total", "agent"), 1);
    assert_eq!(total("trunkline_tunnel_refused_total", "hub"), 1);
    agent.close().await;
    let snapshot = world.network.metrics().snapshot();
    assert_eq!(snapshot.total("trunkline_tunnel_links", &[("role", "agent")]), 0);
    let events = world.network.events().drain(100).events;
    let names: Vec<_> = events.iter().map(|event| event.kind.name()).collect();
    assert!(names.contains(&"link_up") && names.contains(&"link_down"), "{names:?}");
}
