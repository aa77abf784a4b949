//! Which bytes the kernel moves for a relay, and that no count or descriptor is lost by it.

use super::*;
use trunkline_core::{CloseReason, SpliceConfig, config::ByteLimit};

const LENGTH: usize = 4 << 20;

fn with(splice: SpliceConfig, network: &Network) -> TcpConnectionManager {
    let config = TcpManagerConfig { splice, ..TcpManagerConfig::default() };
    TcpConnectionManager::new(network.clone(), config).unwrap()
}

/// Sends bulk through a relay of `manager` to an echo at `to` and reads it back.
async fn there_and_back(network: &Network, manager: &TcpConnectionManager, to: &Address) {
    let bound = manager.relay(&loopback(), to.clone()).await.unwrap();
    let client = Arc::new(network.connect(&bound, None).await.unwrap());
    let writer = Arc::clone(&client);
    let written = tokio::spawn(async move {
        writer.write_all(&bytes(LENGTH)).await.unwrap();
        writer.shutdown(Shutdown::Write).unwrap();
    });
    let (answer, end) = read_all(&client).await;
    assert!(answer == bytes(LENGTH) && end.is_ok(), "{to}: {end:?}");
    written.await.unwrap();
    until(|| manager.stats().active == 0).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn bulk_between_sockets_is_spliced_and_counted_and_everything_else_is_copied() {
    let network = network();
    let first = SpliceConfig { after: ByteLimit::After(0), ..SpliceConfig::default() };
    let never = SpliceConfig { after: ByteLimit::Never, ..SpliceConfig::default() };
    let one = SpliceConfig { max_pipes: 1, pipe_size: 4096, ..first };
    let cases = [(SpliceConfig::default(), true), (first, true), (one, true), (never, false)];
    for (case, (splice, is_spliced)) in cases.into_iter().enumerate() {
        for destination in addresses(&format!("spliced-{case}")) {
            let manager = with(splice, &network);
            let to = echo_server(&network, &destination).await;
            there_and_back(&network, &manager, &to).await;
            let is_memory = matches!(destination, Address::Mem(_));
            let stats = manager.stats();
            assert_eq!(stats.bytes_spliced > 0, is_spliced && !is_memory, "{to}: {stats:?}");
            assert!(stats.bytes_spliced <= 2 * LENGTH as u64);
            let carried = (stats.bytes_received, stats.bytes_sent);
            assert_eq!(carried, (LENGTH as u64, LENGTH as u64), "{to}");
            assert_eq!(stats.closed_because(CloseReason::Finished), 1);
        }
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn small_talk_makes_no_pipe() {
    let network = network();
    let manager = manager(&network);
    let to = echo_server(&network, &loopback()).await;
    let bound = manager.relay(&loopback(), to).await.unwrap();
    let client = network.connect(&bound, None).await.unwrap();
    for _ in 0..100 {
        client.write_all(&bytes(1000)).await.unwrap();
        assert_eq!(read_exactly(&client, 1000).await, bytes(1000));
    }
    assert_eq!(manager.stats().bytes_spliced, 0);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_connection_that_the_program_accepted_itself_is_spliced_too() {
    use trunkline_core::manager::{ConnectionManager, TcpConnectionInfo};

    let network = network();
    let manager = manager(&network);
    let to = echo_server(&network, &loopback()).await;
    let listener = network.listen(&loopback()).await.unwrap();
    let client = Arc::new(network.connect(listener.address(), None).await.unwrap());
    let info = TcpConnectionInfo::new(listener.accept().await.unwrap());
    let source = client.context().source.clone().unwrap();
    let connection = manager.create_connection(source, to, info).await.unwrap();
    let relayed = {
        let manager = manager.clone();
        tokio::spawn(async move { manager.handle_connection(connection).await })
    };
    let writer = Arc::clone(&client);
    let written = tokio::spawn(async move {
        writer.write_all(&bytes(LENGTH)).await.unwrap();
        writer.shutdown(Shutdown::Write).unwrap();
    });
    assert!(read_all(&client).await.0 == bytes(LENGTH));
    written.await.unwrap();
    relayed.await.unwrap().unwrap();
    assert!(manager.stats().bytes_spliced > 0);
}
