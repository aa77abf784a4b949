//! Connection management on real sockets: TCP and UDP managers, a pool, metrics, errors, and a small benchmark.
//!
//! The programs beside this one do the same in C, Python and Go, and print the same.
#![allow(
    clippy::disallowed_methods,
    reason = "a program of its own: it has its own clock and tasks"
)]

use std::{error::Error, sync::Arc, time::Instant};
use trunkline_core::{
    Address, ConnectionError, ConnectionPool, DashMapConnectionPool, Network, Stream,
    TcpConnectionManager, TcpManagerConfig, UdpConnectionManager, UdpManagerConfig,
    config::{Config, PoolConfig},
};

type Outcome<T = ()> = Result<T, Box<dyn Error>>;

/// Round trips of one measurement, and the bytes of each.
const TRIPS: u32 = 2000;
const SIZE: usize = 64;

#[tokio::main]
async fn main() -> Outcome {
    let network = Network::new(tokio::runtime::Handle::current());
    let tcp = tcp_manager(&network).await?;
    let udp = udp_manager(&network).await?;
    pool(&network).await?;
    errors(&network).await?;
    metrics(&network).await?;
    println!(
        "bench    TCP {tcp:.0} and UDP {udp:.0} round trips/s of {SIZE} bytes through a relay"
    );
    Ok(())
}

/// Relays under a limit; what exceeds it is refused before anything is started.
async fn tcp_manager(network: &Network) -> Outcome<f64> {
    let config = TcpManagerConfig::from_json(r#"{"max_connections": 2}"#)?;
    let manager = TcpConnectionManager::new(network.clone(), config)?;
    let server = tcp_echo(network).await?;
    let front = manager.relay(&any("tcp")?, server.clone()).await?;
    let client = network.connect(&front, None).await?;
    let started = Instant::now();
    let mut answer = [0; SIZE];
    for _ in 0..TRIPS {
        client.write_all(&[7; SIZE]).await?;
        read_exact(&client, &mut answer).await?;
    }
    let rate = f64::from(TRIPS) / started.elapsed().as_secs_f64();

    let _second = manager.connect(&server, None).await?;
    match manager.connect(&server, None).await {
        Err(error @ ConnectionError::LimitExceeded { .. }) if error.is_safe_to_retry() => {
            println!("TCP      a third connection: limit exceeded, safe to retry");
        }
        other => return Err(format!("the limit did not hold: {other:?}").into()),
    }
    let stats = manager.stats();
    println!("TCP      {} bytes came and {} went", stats.bytes_received, stats.bytes_sent);
    drop(client);
    while manager.stats().active > 1 {
        tokio::task::yield_now().await;
    }
    println!("TCP      drained, {} had to be cut", manager.drain(Some(Instant::now())).await.cut);
    Ok(rate)
}

/// Each source has a session, which is listed, verified by its second question, and killed by its number.
async fn udp_manager(network: &Network) -> Outcome<f64> {
    let config = UdpManagerConfig::from_json(r#"{"max_sessions": 10, "idle_timeout": "30s"}"#)?;
    let manager = UdpConnectionManager::new(network.clone(), config)?;
    let server = udp_echo(network).await?;
    let front = manager.relay(&any("udp")?, server, Default::default()).await?;
    let to = front.socket_addr().ok_or("a bound socket has an address")?;
    let client = network.bind(&any("udp")?).await?;
    let started = Instant::now();
    let mut answer = [0; SIZE];
    for _ in 0..TRIPS {
        client.send_to(&[7; SIZE], to, None).await?;
        client.recv_from(&mut answer).await?;
    }
    let rate = f64::from(TRIPS) / started.elapsed().as_secs_f64();

    let live = manager.live();
    let (session, stats) = (live.first().ok_or("a session stands")?, manager.stats());
    println!("UDP      {} session, verified: {}", stats.active, session.verified);
    println!("UDP      {} datagrams came, {} dropped", stats.datagrams_received, stats.dropped());
    manager.kill(session.id.get())?;
    match manager.kill(session.id.get()) {
        Err(ConnectionError::Udp { .. }) => println!("UDP      killed; a second kill: no session"),
        other => return Err(format!("it was killed: {other:?}").into()),
    }
    manager.close().await;
    Ok(rate)
}

/// Whoever asks for a key gets the one connection that was made for it.
async fn pool(network: &Network) -> Outcome {
    let server = tcp_echo(network).await?;
    let pool = Arc::new(DashMapConnectionPool::<&str, Arc<Stream>>::new(PoolConfig::default())?);
    let ask = || {
        let (pool, network, server) = (Arc::clone(&pool), network.clone(), server.clone());
        async move {
            let connect = || async move { network.connect(&server, None).await.map(Arc::new) };
            pool.get_or_create("db", connect).await
        }
    };
    tokio::try_join!(ask(), ask(), ask())?;
    println!("pool     3 asked, {} made", pool.stats().inserted);
    Ok(())
}

/// An error says which step failed, whose fault it is, and whether to try again.
async fn errors(network: &Network) -> Outcome {
    let nowhere = network.listen(&any("tcp")?).await?.address().clone();
    let refused = network.connect(&nowhere, None).await.err().ok_or("nobody listens")?;
    let retry = refused.is_safe_to_retry();
    println!("errors   {}: connection failed, safe to retry: {retry}", refused.step().name());
    let socket = network.bind(&any("udp")?).await?;
    let own = socket.address().socket_addr().ok_or("a bound socket has an address")?;
    socket.send_to(b"longer than its room", own, None).await?;
    let cut = socket.recv_from(&mut [0; 4]).await.err().ok_or("it is cut")?;
    let retry = cut.is_safe_to_retry();
    println!("errors   {}: datagram truncated, safe to retry: {retry}", cut.step().name());
    Ok(())
}

/// What was opened and is not open any more was closed, in every snapshot.
async fn metrics(network: &Network) -> Outcome {
    let sessions = [("protocol", "udp"), ("direction", "accepted")];
    let snapshot = network.metrics().snapshot();
    let opened = snapshot.total("trunkline_connections_opened_total", &sessions);
    let closed = snapshot.total("trunkline_connections_closed_total", &sessions);
    println!("metrics  UDP sessions opened {opened}, closed {closed}");
    Ok(())
}

fn any(scheme: &str) -> Outcome<Address> {
    Ok(format!("{scheme}://127.0.0.1:0").parse()?)
}

async fn read_exact(stream: &Stream, buf: &mut [u8]) -> Outcome {
    let mut filled = 0;
    while filled < buf.len() {
        match stream.read(&mut buf[filled..]).await? {
            0 => return Err("the stream ended".into()),
            n => filled += n,
        }
    }
    Ok(())
}

/// Gives every byte back.
async fn tcp_echo(network: &Network) -> Outcome<Address> {
    let listener = network.listen(&any("tcp")?).await?;
    let (address, spawner) = (listener.address().clone(), network.clone());
    network.spawn(async move {
        while let Ok(stream) = listener.accept().await {
            spawner.spawn(async move {
                let mut buf = [0; 4096];
                while let Ok(n @ 1..) = stream.read(&mut buf).await {
                    if stream.write_all(&buf[..n]).await.is_err() {
                        return;
                    }
                }
            });
        }
    });
    Ok(address)
}

/// Gives every datagram back.
async fn udp_echo(network: &Network) -> Outcome<Address> {
    let socket = network.bind(&any("udp")?).await?;
    let address = socket.address().clone();
    network.spawn(async move {
        let mut buf = [0; 4096];
        while let Ok(received) = socket.recv_from(&mut buf).await {
            let answer = &buf[..received.len];
            if socket.send_to(answer, received.source, received.to).await.is_err() {
                return;
            }
        }
    });
    Ok(address)
}
