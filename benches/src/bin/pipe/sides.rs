//! Pairs of connected streams, and the runtimes on which they are used.

use tokio::{
    io::{AsyncRead, AsyncWrite, DuplexStream},
    net::UnixStream,
    runtime::{Builder, Handle, Runtime},
};
use trunkline_benches::{now, pinned};
use trunkline_core::{
    Network, PipeConfig, Stream,
    transport::pipe::{PipeEnd, pair},
};

/// Bytes that one direction holds, for every side that can be told so.
pub(crate) const CAPACITY: usize = 64 << 10;

/// What the transports of every side can do.
pub(crate) trait Duplex: AsyncRead + AsyncWrite + Send + Unpin + 'static {}

impl<T: AsyncRead + AsyncWrite + Send + Unpin + 'static> Duplex for T {}

/// How many threads run the tasks of both ends.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Threads {
    One,
    Two,
}

impl Threads {
    /// The cores to which every side is pinned.
    pub(crate) fn cores(self) -> usize {
        match self {
            Self::One => 1,
            Self::Two => 2,
        }
    }

    pub(crate) fn runtime(self) -> Runtime {
        let mut builder = match self {
            Self::One => Builder::new_current_thread(),
            Self::Two => Builder::new_multi_thread(),
        };
        builder.worker_threads(self.cores()).enable_all().build().expect("a runtime")
    }
}

/// How long two tasks take together, in seconds.
pub(crate) fn timed<N, F>(threads: Threads, connect: impl FnOnce() -> (N, F)) -> f64
where
    N: Future<Output = ()> + Send + 'static,
    F: Future<Output = ()> + Send + 'static,
{
    pinned(threads.cores(), || {
        let runtime = threads.runtime();
        runtime.block_on(async {
            let (near, far) = connect();
            let started = now();
            let (near, far) = (runtime.spawn(near), runtime.spawn(far));
            near.await.expect("no panic");
            far.await.expect("no panic");
            started.elapsed().as_secs_f64()
        })
    })
}

/// Both ends of a bare pipe.
pub(crate) fn pipe() -> (PipeEnd, PipeEnd) {
    pair(&PipeConfig { capacity: CAPACITY as u32 }).expect("a pipe")
}

/// Both ends of a pipe as `Network` hands them out: counted, closable from elsewhere.
pub(crate) fn streams() -> (Stream, Stream) {
    let network = Network::new(Handle::current());
    network.pipe(&PipeConfig { capacity: CAPACITY as u32 }).expect("a pipe")
}

pub(crate) fn unix() -> (UnixStream, UnixStream) {
    UnixStream::pair().expect("a socket pair")
}

pub(crate) fn duplex() -> (DuplexStream, DuplexStream) {
    tokio::io::duplex(CAPACITY)
}
