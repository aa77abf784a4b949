//! The two ways between an agent and its host: what crosses either, how they are chosen and what is counted.

use super::*;
use crate::{
    config::MemoryCommConfig,
    context::Protocol,
    tunnel::{CommPathStats, MemoryCommStats},
};
use std::path::PathBuf;

/// A directory for one test's sockets; it takes only what is empty away.
struct Folder(PathBuf);

impl Folder {
    fn new(name: &str) -> Self {
        let path = PathBuf::from(format!("/tmp/tl-{}-{name}", std::process::id()));
        std::fs::create_dir(&path).unwrap();
        Self(path)
    }

    fn is_empty(&self) -> bool {
        std::fs::read_dir(&self.0).unwrap().next().is_none()
    }
}

impl Drop for Folder {
    fn drop(&mut self) {
        let _ = std::fs::remove_dir(&self.0);
    }
}

fn comm(change: impl FnOnce(&mut MemoryCommConfig)) -> Option<MemoryCommConfig> {
    let mut comm = MemoryCommConfig::default();
    change(&mut comm);
    Some(comm)
}

async fn met(world: &World, listener: &Listener) -> (Stream, Stream) {
    let user = world.dial("c1").await;
    (user, listener.accept().await.unwrap())
}

fn counts(stats: CommPathStats) -> (u64, u64, u64) {
    assert_eq!(stats.opened - stats.closed, stats.active, "{stats:?}");
    (stats.active, stats.opened, stats.fallbacks)
}

#[tokio::test]
async fn either_way_carries_bytes_and_halves_and_is_counted_beside_the_other() {
    for by_memory in [false, true] {
        let world = World::new().await;
        let agent = world
            .agent_with("c1", |config| {
                config.use_memory_comm = by_memory;
                config.memory_comm = comm(|_| {});
            })
            .await;
        let listener = agent.listener().unwrap();
        let (user, served) = met(&world, &listener).await;
        let (protocol, name) =
            if by_memory { (Protocol::Pipe, "memory") } else { (Protocol::Unix, "socket") };
        assert_eq!(served.context().protocol, protocol);
        assert_eq!(served.context().destination.as_ref().unwrap().to_string(), "tunnel:c1");
        say(&user, b"question").await;
        user.shutdown(Shutdown::Write).unwrap();
        assert_eq!(rest(&served).await.unwrap(), b"question");
        say(&served, b"the answer").await;
        served.close();
        assert_eq!(rest(&user).await.unwrap(), b"the answer");
        drop(user);
        until(|| agent.stats().active == 0).await;
        let stats = agent.memory_comm_stats();
        let (used, other) =
            if by_memory { (stats.memory, stats.socket) } else { (stats.socket, stats.memory) };
        assert_eq!((used.opened, used.closed), (1, 1), "{name}");
        assert_eq!((used.bytes_sent, used.bytes_received), (8, 10), "{name}");
        assert_eq!(other, CommPathStats::default(), "{name}");
        // A logical connection counts once, whatever is behind it.
        let stats = agent.stats();
        assert_eq!((stats.opened, stats.bytes_received, stats.bytes_sent), (1, 8, 10));
    }
}

#[tokio::test]
async fn megabytes_cross_either_way_both_ways_at_once() {
    for by_memory in [false, true] {
        let world = World::new().await;
        let change = |config: &mut AgentConfig| {
            config.use_memory_comm = by_memory;
            config.memory_comm = comm(|comm| comm.buffer_size = 4 << 10);
        };
        let agent = world.agent_with("c1", change).await;
        let echo = world.echo(agent.listener().unwrap());
        let user = world.dial("c1").await;
        let sent: Vec<u8> = (0..3_u32 << 20).map(|n| (n % 251) as u8).collect();
        let writes = async {
            say(&user, &sent).await;
            user.shutdown(Shutdown::Write).unwrap();
        };
        let (received, ()) = tokio::join!(rest(&user), writes);
        assert!(received.unwrap() == sent, "by memory: {by_memory}");
        echo.abort();
    }
}

#[tokio::test(start_paused = true)]
async fn connections_come_as_they_are_unless_a_way_is_asked_for() {
    let world = World::new().await;
    let agent = world.agent("c1").await;
    let listener = agent.listener().unwrap();
    let (_user, served) = met(&world, &listener).await;
    assert_eq!(served.context().protocol, Protocol::Tunnel);
    assert_eq!(agent.memory_comm_stats(), MemoryCommStats::default());
    let error = agent.use_memory_comm(1.0).unwrap_err().to_string();
    assert!(error.starts_with("memory_comm: must be given"), "{error}");
}

#[tokio::test(start_paused = true)]
async fn a_reset_crosses_a_pipe_from_either_side() {
    let world = World::new().await;
    let agent = world.agent_with("c1", |config| config.use_memory_comm = true).await;
    let listener = agent.listener().unwrap();
    for host_ends in [true, false] {
        let (user, served) = met(&world, &listener).await;
        say(&user, b"x").await;
        hears(&served, b"x").await;
        let (ends, sees) = if host_ends { (served, user) } else { (user, served) };
        ends.abort(crate::context::CloseReason::Local);
        assert_eq!(rest(&sees).await.unwrap_err().os_code(), Some(libc::ECONNRESET));
    }
}

#[tokio::test]
async fn the_way_changes_for_a_share_of_what_comes_and_back_while_connections_stand() {
    let world = World::new().await;
    let agent = world.agent_with("c1", |config| config.memory_comm = comm(|_| {})).await;
    let listener = agent.listener().unwrap();
    let mut standing = Vec::new();
    for (share, by_memory, by_socket) in [(0.0, 0, 4), (0.25, 1, 7), (1.0, 5, 7), (0.0, 5, 11)] {
        agent.use_memory_comm(share).unwrap();
        for _ in 0..4 {
            standing.push(met(&world, &listener).await);
        }
        let stats = agent.memory_comm_stats();
        assert_eq!(stats.memory_share, share);
        assert_eq!(counts(stats.memory), (by_memory, by_memory, 0), "{share}");
        assert_eq!(counts(stats.socket), (by_socket, by_socket, 0), "{share}");
    }
    for (n, (user, served)) in standing.iter().enumerate() {
        let word = n.to_string().into_bytes();
        say(user, &word).await;
        hears(served, &word).await;
    }
    for share in [-0.1, 1.1, f64::NAN, f64::INFINITY] {
        let error = agent.use_memory_comm(share).unwrap_err().to_string();
        assert!(error.starts_with("share: must be within 0 and 1"), "{error}");
    }
}

#[tokio::test]
async fn a_way_that_cannot_take_a_connection_leaves_it_to_the_other() {
    let world = World::new().await;
    let full = |config: &mut AgentConfig| {
        config.use_memory_comm = true;
        config.memory_comm = comm(|comm| comm.max_connections = 1);
    };
    let agent = world.agent_with("c1", full).await;
    let listener = agent.listener().unwrap();
    let first = met(&world, &listener).await;
    let second = met(&world, &listener).await;
    let ways = [&first, &second].map(|(_, served)| served.context().protocol);
    assert_eq!(ways, [Protocol::Pipe, Protocol::Unix]);
    let stats = agent.memory_comm_stats();
    assert_eq!((counts(stats.memory), stats.memory.failed), ((1, 1, 0), 1));
    assert_eq!((counts(stats.socket), stats.socket.failed), ((1, 1, 1), 0));
    // A place in memory that was given back is used again.
    drop(first);
    until(|| agent.memory_comm_stats().memory.active == 0).await;
    let third = met(&world, &listener).await;
    assert_eq!(third.1.context().protocol, Protocol::Pipe);
    agent.close().await;

    let nowhere = |config: &mut AgentConfig| {
        config.memory_comm = comm(|comm| {
            comm.socket_directory = "/proc/no-such-folder".into();
            comm.max_connections = 1;
        });
    };
    let agent = world.agent_with("c1", nowhere).await;
    let listener = agent.listener().unwrap();
    let (_user, served) = met(&world, &listener).await;
    assert_eq!(served.context().protocol, Protocol::Pipe);
    let stats = agent.memory_comm_stats();
    assert_eq!((stats.socket.failed, stats.memory.fallbacks), (1, 1));
    let error = world.hub.dial("c1", None, None).await.unwrap_err();
    assert_eq!(error.os_code(), Some(libc::ENOENT), "neither way is left: {error}");
    assert_eq!(agent.memory_comm_stats().memory.failed, 1);
}

#[tokio::test(start_paused = true)]
async fn a_drain_waits_until_the_host_has_read_what_came() {
    let world = World::new().await;
    let agent = world.agent_with("c1", |config| config.use_memory_comm = true).await;
    let listener = agent.listener().unwrap();
    let (user, served) = met(&world, &listener).await;
    say(&user, b"the last words").await;
    drop(user);
    served.shutdown(Shutdown::Write).unwrap();
    until(|| agent.stats().active == 0).await;
    let draining = world.spawn({
        let agent = agent.clone();
        async move { agent.drain(None).await }
    });
    settle().await;
    assert!(!draining.is_finished());
    assert_eq!(rest(&served).await.unwrap(), b"the last words");
    drop(served);
    assert_eq!(draining.await.unwrap().cut, 0);
}

#[tokio::test]
async fn closing_an_agent_takes_the_hosts_ends_and_the_socket_with_it() {
    let folder = Folder::new("close");
    let world = World::new().await;
    for closes in [true, false] {
        let at = folder.0.clone();
        let change =
            |config: &mut AgentConfig| config.memory_comm = comm(|comm| comm.socket_directory = at);
        let agent = world.agent_with("c1", change).await;
        let listener = agent.listener().unwrap();
        let (user, served) = met(&world, &listener).await;
        assert!(!folder.is_empty());
        if closes {
            agent.close().await;
            assert!(served.is_closed() && folder.is_empty());
        } else {
            drop(agent);
            assert_eq!(rest(&served).await.ok().unwrap_or_default(), b"");
            drop(listener);
            until(|| folder.is_empty()).await;
        }
        assert!(rest(&user).await.is_err());
    }
}

#[tokio::test]
async fn the_registry_shows_both_ways_side_by_side_where_it_is_asked_to() {
    for asked in [true, false] {
        let world = World::new().await;
        let change = |config: &mut AgentConfig| {
            config.memory_comm = comm(|comm| comm.enable_metrics = asked);
        };
        let agent = world.agent_with("c1", change).await;
        let listener = agent.listener().unwrap();
        agent.use_memory_comm(0.5).unwrap();
        let standing = [
            met(&world, &listener).await,
            met(&world, &listener).await,
            met(&world, &listener).await,
        ];
        let total = |name, path| world.network.metrics().snapshot().total(name, &[("path", path)]);
        let times = i64::from(asked);
        assert_eq!(total("trunkline_memory_comm_opened_total", "memory"), times);
        assert_eq!(total("trunkline_memory_comm_opened_total", "socket"), 2 * times);
        assert_eq!(total("trunkline_memory_comm_connections", "socket"), 2 * times);
        drop(standing);
        until(|| total("trunkline_memory_comm_closed_total", "socket") == 2 * times).await;
        until(|| total("trunkline_memory_comm_connections", "memory") == 0).await;
        assert_eq!(total("trunkline_memory_comm_fallbacks_total", "memory"), 0);
    }
}
