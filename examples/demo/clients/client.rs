//! The demo's client in Rust. README.md beside it says what it does.
#![allow(
    clippy::disallowed_methods,
    reason = "a program of its own: it has its own clock and tasks"
)]

use sha2::{Digest, Sha256};
use std::{
    collections::BTreeMap,
    error::Error,
    net::Shutdown,
    sync::Arc,
    time::{Duration, Instant},
};
use trunkline_core::{
    Address, ConnectionPool, DashMapConnectionPool, Network, PipeConfig, PoolConfig, Stream,
};

type Outcome<T> = Result<T, Box<dyn Error>>;
type Pool = DashMapConnectionPool<String, Arc<Stream>>;

const MIB: usize = 1 << 20;
const TOTAL: usize = 64 * MIB;
const CHUNK: usize = 64 << 10;
const STREAMS: usize = 4;
const ROUND_TRIPS: usize = 2000;

#[tokio::main]
async fn main() -> Outcome<()> {
    let arguments: Vec<_> = std::env::args().skip(1).collect();
    let network = Network::new(tokio::runtime::Handle::current());
    match arguments.iter().map(String::as_str).collect::<Vec<_>>()[..] {
        ["run", echo, file] => run(&network, &echo.parse()?, &file.parse()?).await,
        ["flood", sink] => flood(&network, &sink.parse()?).await,
        _ => Err("usage: client run ECHO FILE | client flood SINK".into()),
    }
}

async fn run(network: &Network, echo: &Address, file: &Address) -> Outcome<()> {
    let pool = Pool::new(PoolConfig::default())?;
    for i in 0..STREAMS {
        let stream = network.connect(echo, None).await?;
        pool.insert(format!("echo-{i}"), Arc::new(stream)).map_err(|_| "the pool is full")?;
    }
    let relay_seconds = bulk(&pool).await?;
    let (p50, p99) = round_trips(&pool).await?;
    let mut done = vec![download(network, file).await?];
    let pipe_seconds = through_a_pipe(network).await?;
    for i in 0..STREAMS {
        let stream = pool.remove(&format!("echo-{i}")).ok_or("a stream is missing")?;
        end_in_order(&stream).await?;
        done.push(stream);
    }
    let mut reasons = BTreeMap::new();
    for stream in &done {
        let reason = stream.metrics().close_reason().ok_or("a stream is still open")?;
        *reasons.entry(reason.name()).or_insert(0) += 1;
    }
    let line = serde_json::json!({
        "connections": done.len(),
        "bytes_sent": done.iter().map(|stream| stream.metrics().bytes_sent()).sum::<u64>(),
        "bytes_received": done.iter().map(|stream| stream.metrics().bytes_received()).sum::<u64>(),
        "relay_seconds": relay_seconds,
        "pipe_bytes": TOTAL,
        "pipe_seconds": pipe_seconds,
        "p50_us": p50.as_secs_f64() * 1e6,
        "p99_us": p99.as_secs_f64() * 1e6,
        "close_reasons": reasons,
    });
    println!("{line}");
    Ok(())
}

/// Takes a stream out of the pool, lets `work` use it, and puts it back.
async fn pooled<T>(
    pool: &Pool,
    i: usize,
    work: impl AsyncFnOnce(&Stream) -> Outcome<T>,
) -> Outcome<T> {
    let key = format!("echo-{}", i % STREAMS);
    let stream = pool.remove(&key).ok_or("a stream is missing")?;
    let result = work(&stream).await?;
    pool.insert(key, stream).map_err(|_| "the pool is full")?;
    Ok(result)
}

async fn bulk(pool: &Pool) -> Outcome<f64> {
    let (random, mut received) = (random_bytes(TOTAL), vec![0; TOTAL]);
    let started = Instant::now();
    for (i, (chunk, back)) in random.chunks(CHUNK).zip(received.chunks_mut(CHUNK)).enumerate() {
        pooled(pool, i, async |stream| echoed(stream, chunk, back).await).await?;
        if i % 256 == 255 {
            eprintln!("rust: {} of 64 MiB echoed", (i + 1) * CHUNK / MIB);
        }
    }
    let seconds = started.elapsed().as_secs_f64();
    same(&random, &received, "echo")?;
    Ok(seconds)
}

async fn round_trips(pool: &Pool) -> Outcome<(Duration, Duration)> {
    let (ping, mut pong) = (random_bytes(64), vec![0; 64]);
    let mut times = Vec::with_capacity(ROUND_TRIPS);
    for i in 0..ROUND_TRIPS {
        let started = Instant::now();
        pooled(pool, i, async |stream| echoed(stream, &ping, &mut pong).await).await?;
        times.push(started.elapsed());
        if pong != ping {
            return Err("a small echo differs".into());
        }
    }
    times.sort();
    Ok((times[ROUND_TRIPS / 2], times[ROUND_TRIPS * 99 / 100]))
}

async fn echoed(stream: &Stream, bytes: &[u8], back: &mut [u8]) -> Outcome<()> {
    stream.write_all(bytes).await?;
    read_exact(stream, back).await
}

async fn read_exact(stream: &Stream, mut buf: &mut [u8]) -> Outcome<()> {
    while !buf.is_empty() {
        match stream.read(buf).await? {
            0 => return Err("the stream ended early".into()),
            n => buf = &mut buf[n..],
        }
    }
    Ok(())
}

async fn download(network: &Network, file: &Address) -> Outcome<Arc<Stream>> {
    let stream = network.connect(file, None).await?;
    stream.write_all(b"GET\n").await?;
    let mut head = Vec::new();
    while head.last() != Some(&b'\n') {
        let mut byte = [0];
        read_exact(&stream, &mut byte).await?;
        head.push(byte[0]);
    }
    let head = String::from_utf8(head)?;
    let (sha256, length) = head.trim().split_once(' ').ok_or("the file server's answer is odd")?;
    let mut bytes = vec![0; length.parse()?];
    read_exact(&stream, &mut bytes).await?;
    if format!("{:x}", Sha256::digest(&bytes)) != sha256 {
        return Err("the file differs".into());
    }
    end_in_order(&stream).await?;
    eprintln!("rust: file of {} MiB checked", bytes.len() / MIB);
    Ok(Arc::new(stream))
}

async fn through_a_pipe(network: &Network) -> Outcome<f64> {
    let (near, far) = network.pipe(&PipeConfig::default())?;
    let (random, mut received) = (Arc::new(random_bytes(TOTAL)), vec![0; TOTAL]);
    let sent = Arc::clone(&random);
    let started = Instant::now();
    let writer = network.spawn(async move {
        near.write_all(&sent).await?;
        near.shutdown(Shutdown::Write)
    });
    read_exact(&far, &mut received).await?;
    end_in_order(&far).await?;
    let seconds = started.elapsed().as_secs_f64();
    writer.await??;
    same(&random, &received, "pipe")?;
    eprintln!("rust: 64 MiB through a pipe");
    Ok(seconds)
}

async fn end_in_order(stream: &Stream) -> Outcome<()> {
    stream.shutdown(Shutdown::Write)?;
    if stream.read(&mut [0; 1]).await? != 0 {
        return Err("the peer said more than it should".into());
    }
    stream.close();
    Ok(())
}

async fn flood(network: &Network, sink: &Address) -> Outcome<()> {
    let block: Vec<u8> = (0..CHUNK).map(|i| (i * 31 + (i >> 8)) as u8).collect();
    let stream = network.connect(sink, None).await?;
    loop {
        stream.write_all(&block).await?;
    }
}

fn random_bytes(n: usize) -> Vec<u8> {
    let mut bytes = vec![0; n];
    fastrand::fill(&mut bytes);
    bytes
}

fn same(sent: &[u8], received: &[u8], what: &str) -> Outcome<()> {
    if Sha256::digest(sent) == Sha256::digest(received) {
        Ok(())
    } else {
        Err(format!("{what}: the bytes differ").into())
    }
}
