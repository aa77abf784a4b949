//! The destinations of the demo: an echo, a file server, and a sink that checks what reaches it.

use sha2::{Digest, Sha256};
use std::{
    net::SocketAddr,
    sync::{
        Arc,
        atomic::{AtomicU64, Ordering},
    },
};
use tokio::{
    io::{AsyncBufReadExt, AsyncReadExt, AsyncWriteExt, BufReader},
    net::{TcpListener, TcpStream},
};

const FILE_SIZE: usize = 8 << 20;
/// What a flooding client sends again and again; every client makes the same.
pub(crate) const BLOCK: usize = 64 << 10;

/// Plain sockets on purpose: what stands behind the relay knows nothing of Trunkline.
pub(crate) struct Servers {
    pub(crate) echo: SocketAddr,
    pub(crate) file: SocketAddr,
    pub(crate) sink: SocketAddr,
    pub(crate) sunk: Arc<Sunk>,
}

/// What reached the sink.
#[derive(Default)]
pub(crate) struct Sunk {
    pub(crate) bytes: AtomicU64,
    pub(crate) wrong_bytes: AtomicU64,
    pub(crate) open: AtomicU64,
}

impl Servers {
    pub(crate) async fn start() -> std::io::Result<Self> {
        let sunk = Arc::new(Sunk::default());
        let file = Arc::new(File::random());
        let counts = Arc::clone(&sunk);
        Ok(Self {
            echo: serve(echo).await?,
            file: serve(move |client| send_file(client, Arc::clone(&file))).await?,
            sink: serve(move |client| sink(client, Arc::clone(&counts))).await?,
            sunk,
        })
    }
}

async fn serve<F>(
    mut each: impl FnMut(TcpStream) -> F + Send + 'static,
) -> std::io::Result<SocketAddr>
where
    F: Future<Output = std::io::Result<()>> + Send + 'static,
{
    let listener = TcpListener::bind("127.0.0.1:0").await?;
    let address = listener.local_addr()?;
    tokio::spawn(async move {
        while let Ok((client, _)) = listener.accept().await {
            // A client that breaks off is that client's affair.
            tokio::spawn(each(client));
        }
    });
    Ok(address)
}

async fn echo(mut client: TcpStream) -> std::io::Result<()> {
    let (mut from, mut to) = client.split();
    tokio::io::copy_buf(&mut BufReader::with_capacity(BLOCK, &mut from), &mut to).await?;
    to.shutdown().await
}

struct File {
    bytes: Vec<u8>,
    sha256: String,
}

impl File {
    fn random() -> Self {
        let mut bytes = vec![0; FILE_SIZE];
        fastrand::fill(&mut bytes);
        let sha256 = format!("{:x}", Sha256::digest(&bytes));
        Self { bytes, sha256 }
    }
}

/// Answers the line `GET` with a line `<sha256> <length>` and the bytes.
async fn send_file(client: TcpStream, file: Arc<File>) -> std::io::Result<()> {
    let mut client = BufReader::new(client);
    let mut request = String::new();
    client.read_line(&mut request).await?;
    let head = format!("{} {}\n", file.sha256, file.bytes.len());
    client.write_all(head.as_bytes()).await?;
    client.write_all(&file.bytes).await?;
    client.shutdown().await
}

async fn sink(mut client: TcpStream, sunk: Arc<Sunk>) -> std::io::Result<()> {
    let expected = block();
    let mut chunk = vec![0; BLOCK];
    let mut position = 0;
    sunk.open.fetch_add(1, Ordering::SeqCst);
    while let Ok(n @ 1..) = client.read(&mut chunk).await {
        let is_wrong = |(i, byte): &(usize, &u8)| **byte != expected[(position + i) % BLOCK];
        let wrong = chunk[..n].iter().enumerate().filter(is_wrong).count();
        sunk.wrong_bytes.fetch_add(wrong as u64, Ordering::SeqCst);
        sunk.bytes.fetch_add(n as u64, Ordering::SeqCst);
        position += n;
    }
    sunk.open.fetch_sub(1, Ordering::SeqCst);
    Ok(())
}

fn block() -> Vec<u8> {
    (0..BLOCK).map(|i| (i * 31 + (i >> 8)) as u8).collect()
}
