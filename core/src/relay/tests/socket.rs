//! Sockets for streams that have none, used by threads that block.

use super::*;
use std::{
    io::{Read, Write},
    os::unix::net::UnixStream,
};
use tokio::task::spawn_blocking;

/// Both ends of a pipe, one of them as a socket.
fn half_a_socket() -> (UnixStream, Stream) {
    let network = Network::new(tokio::runtime::Handle::current());
    let (near, far) = network.pipe(&PipeConfig::default()).unwrap();
    (to_socket(&network, near).unwrap().into(), far)
}

#[tokio::test]
async fn megabytes_cross_a_socket_both_ways_and_each_end_by_itself() {
    let (mut socket, far) = half_a_socket();
    let sent = bytes(3 << 20);
    let user = spawn_blocking({
        let sent = sent.clone();
        move || {
            let mut reading = socket.try_clone().unwrap();
            let reader = std::thread::spawn(move || {
                let mut read = Vec::new();
                reading.read_to_end(&mut read).map(|_| read)
            });
            socket.write_all(&sent).unwrap();
            socket.shutdown(Shutdown::Write).unwrap();
            reader.join().unwrap().unwrap()
        }
    });
    let (heard, _) = tokio::join!(read_all(&far), async {
        far.write_all(&sent).await.unwrap();
    });
    assert_eq!(heard.0, sent);
    heard.1.unwrap();
    // The other direction still stands.
    far.write_all(b"and this").await.unwrap();
    far.shutdown(Shutdown::Write).unwrap();
    let read = user.await.unwrap();
    assert_eq!(read, [&sent[..], b"and this"].concat());
}

#[tokio::test]
async fn a_socket_that_is_closed_closes_its_stream() {
    let (socket, far) = half_a_socket();
    drop(socket);
    let (heard, end) = read_all(&far).await;
    assert!(heard.is_empty());
    end.unwrap();
}

#[tokio::test]
async fn who_waits_on_a_socket_sees_the_end_of_a_stream_that_is_reset() {
    let (mut socket, far) = half_a_socket();
    far.write_all(b"a part").await.unwrap();
    let user = spawn_blocking(move || {
        let mut part = [0; 6];
        socket.read_exact(&mut part).unwrap();
        assert_eq!(&part, b"a part");
        socket
    });
    let mut socket = user.await.unwrap();
    far.abort(CloseReason::Local);
    let end = spawn_blocking(move || socket.read(&mut [0; 6])).await.unwrap();
    assert!(matches!(end, Ok(0) | Err(_)), "{end:?}");
}

#[test]
fn a_socket_ends_with_the_runtime_behind_it() {
    let runtime = tokio::runtime::Builder::new_multi_thread().enable_all().build().unwrap();
    let (mut socket, _far) = runtime.block_on(async { half_a_socket() });
    drop(runtime);
    assert_eq!(socket.read(&mut [0; 6]).unwrap(), 0);
}
