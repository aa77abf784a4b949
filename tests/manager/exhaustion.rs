//! Out of file descriptors: accepting pauses, nothing spins, nothing leaks, and it recovers.
//!
//! The limit of descriptors is the whole process's, so each test runs alone in a child.

use super::*;
use rustix::process::{Resource, Rlimit, getrlimit, setrlimit};
use std::{
    io::{Read, Write},
    net::TcpStream,
    os::fd::AsRawFd,
    process::Command,
    time::Duration,
};
use trunkline_core::{CloseReason, events::EventKind};

const CHILD: &str = "TRUNKLINE_TEST_CHILD";

/// Runs `test` of this binary again, alone in a process of its own; there, this says true.
fn is_child(test: &str) -> bool {
    if std::env::var(CHILD).as_deref() == Ok(test) {
        return true;
    }
    let output = Command::new(std::env::current_exe().unwrap())
        .args(["--exact", test, "--nocapture", "--test-threads=1"])
        .env(CHILD, test)
        .output()
        .unwrap();
    assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
    false
}

/// Leaves room for `free` more descriptors.
fn leave_room_for(free: usize) {
    let next = std::fs::File::open("/dev/null").unwrap();
    let current = Some(next.as_raw_fd() as u64 + free as u64);
    drop(next);
    setrlimit(Resource::Nofile, Rlimit { current, ..getrlimit(Resource::Nofile) }).unwrap();
}

fn leave_room_for_all() {
    let limit = getrlimit(Resource::Nofile);
    setrlimit(Resource::Nofile, Rlimit { current: limit.maximum, ..limit }).unwrap();
}

/// Sockets that are made but not connected yet.
fn sockets(count: usize) -> Vec<socket2::Socket> {
    let socket = |_| socket2::Socket::new(socket2::Domain::IPV4, socket2::Type::STREAM, None);
    (0..count).map(socket).collect::<Result<_, _>>().unwrap()
}

fn connect(sockets: Vec<socket2::Socket>, to: &Address) -> Vec<TcpStream> {
    let to = to.socket_addr().unwrap().into();
    sockets
        .into_iter()
        .map(|socket| {
            socket.connect(&to).unwrap();
            TcpStream::from(socket)
        })
        .collect()
}

fn kinds(network: &Network) -> Vec<EventKind> {
    network.events().drain(usize::MAX).events.into_iter().map(|event| event.kind).collect()
}

#[test]
fn accepting_pauses_while_no_file_can_be_opened_and_goes_on_after() {
    if !is_child("exhaustion::accepting_pauses_while_no_file_can_be_opened_and_goes_on_after") {
        return;
    }
    let runtime =
        tokio::runtime::Builder::new_multi_thread().worker_threads(2).enable_all().build().unwrap();
    runtime.block_on(async {
        let network = network();
        let pause = Duration::from_millis(5);
        let config = TcpManagerConfig { accept_pause: pause, ..TcpManagerConfig::default() };
        let manager = TcpConnectionManager::new(network.clone(), config).unwrap();
        let to = echo_server(&network, &"mem:echo".parse().unwrap()).await;
        let bound = manager.relay(&loopback(), to).await.unwrap();
        let sockets = sockets(3);
        leave_room_for(0);
        let clients = connect(sockets, &bound);
        until(|| manager.stats().accept_pauses == 1).await;
        // Many pauses long; one event tells of all of them.
        tokio::time::sleep(10 * pause).await;
        assert_eq!((manager.stats().accept_pauses, manager.stats().active), (1, 0));
        let paused = |kind: &&EventKind| matches!(kind, EventKind::AcceptPaused { .. });
        assert_eq!(kinds(&network).iter().filter(paused).count(), 1);

        leave_room_for_all();
        tokio::task::spawn_blocking(move || {
            for mut client in clients {
                client.write_all(b"x").unwrap();
                client.shutdown(Shutdown::Write).unwrap();
                let mut answer = Vec::new();
                client.read_to_end(&mut answer).unwrap();
                assert_eq!(answer, b"x");
            }
        })
        .await
        .unwrap();
        let resumed = |kind: &&EventKind| matches!(kind, EventKind::AcceptResumed);
        assert_eq!(kinds(&network).iter().filter(resumed).count(), 1);
        until(|| manager.stats().active == 0).await;
        assert_eq!(manager.stats().closed_because(CloseReason::Finished), 3);
    });
}

#[cfg(target_os = "linux")]
#[test]
fn bulk_is_copied_while_no_pipe_can_be_opened_and_spliced_after() {
    if !is_child("exhaustion::bulk_is_copied_while_no_pipe_can_be_opened_and_spliced_after") {
        return;
    }
    let runtime =
        tokio::runtime::Builder::new_multi_thread().worker_threads(2).enable_all().build().unwrap();
    runtime.block_on(async {
        let network = network();
        let manager = manager(&network);
        let to = echo_server(&network, &loopback()).await;
        let bound = manager.relay(&loopback(), to).await.unwrap();
        let client = Arc::new(network.connect(&bound, None).await.unwrap());
        client.write_all(b"x").await.unwrap();
        read_exactly(&client, 1).await;
        leave_room_for(1);
        let carry = async || {
            let writer = Arc::clone(&client);
            let written =
                tokio::spawn(async move { writer.write_all(&bytes(8 << 20)).await.unwrap() });
            assert!(read_exactly(&client, 8 << 20).await == bytes(8 << 20));
            written.await.unwrap();
        };
        carry().await;
        assert_eq!(manager.stats().bytes_spliced, 0, "a pipe takes two");
        leave_room_for_all();
        carry().await;
        assert!(manager.stats().bytes_spliced > 0);
        client.close();
        assert_eq!(manager.drain(None).await.cut, 0);
    });
}

#[test]
fn a_client_whose_destination_needs_a_file_too_many_is_reset_and_counted() {
    if !is_child(
        "exhaustion::a_client_whose_destination_needs_a_file_too_many_is_reset_and_counted",
    ) {
        return;
    }
    let runtime =
        tokio::runtime::Builder::new_multi_thread().worker_threads(2).enable_all().build().unwrap();
    runtime.block_on(async {
        let network = network();
        let servers = super::network();
        let manager = manager(&network);
        let to = echo_server(&servers, &loopback()).await;
        let bound = manager.relay(&loopback(), to.clone()).await.unwrap();
        let sockets = sockets(1);
        leave_room_for(1);
        let mut client = connect(sockets, &bound).remove(0);
        let reset = tokio::task::spawn_blocking(move || client.read(&mut [0; 1])).await.unwrap();
        assert_eq!(reset.unwrap_err().kind(), std::io::ErrorKind::ConnectionReset);
        until(|| manager.stats().active == 0).await;
        assert_eq!(manager.stats().closed_because(CloseReason::ConnectFailed), 1);

        leave_room_for(0);
        let error = manager.connect(&to, None).await.unwrap_err();
        assert!(matches!(error, ConnectionError::LimitExceeded { .. }), "{error:?}");
        assert_eq!(error.os_code(), Some(rustix::io::Errno::MFILE.raw_os_error()));
        leave_room_for_all();
        assert!(manager.connect(&to, None).await.is_ok());
        assert_eq!(network.metrics().snapshot().total("trunkline_connections_active", &[]), 0);
    });
}
