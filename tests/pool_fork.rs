//! A checkout pool in a child of the process that made it: it blocks on nothing, closes nothing, and leaves the
//! parent's connections as they were.
#![allow(
    unsafe_code,
    clippy::unwrap_used,
    clippy::disallowed_methods,
    clippy::mem_forget,
    reason = "a test forks, starts tasks, and stops at the first surprise"
)]

use std::{
    pin::pin,
    sync::{
        Arc,
        atomic::{AtomicBool, AtomicUsize, Ordering::SeqCst},
    },
    task::{Context, Poll, Waker},
};
use tokio::{
    io::{AsyncReadExt, AsyncWriteExt},
    net::{TcpListener, TcpStream},
    runtime::{Builder, Runtime},
};
use trunkline_core::{
    ConnectionError, Place, Step,
    address::Address,
    config::CheckoutPoolConfig,
    pool::{
        Abilities, Acquired, CheckoutPool, Connector, Entrusted, Holder, Lease, Patience,
        PoolCloseReason,
    },
};

/// Connects to an echo server, and counts what it is asked to close.
#[derive(Clone)]
struct Echo {
    port: u16,
    closed: Arc<AtomicUsize>,
}

impl Connector for Echo {
    type Connection = TcpStream;

    fn abilities(&self) -> Abilities {
        Abilities { peeks: true, ..Abilities::default() }
    }

    async fn connect(&self, _endpoint: Option<&Address>) -> Result<TcpStream, ConnectionError> {
        let connected = TcpStream::connect(("127.0.0.1", self.port)).await;
        connected.map_err(|error| ConnectionError::from_io(error, Place::at(Step::Connect)))
    }

    fn is_broken(&self, connection: &TcpStream) -> bool {
        connection.try_read(&mut [0]).is_ok()
    }

    async fn close(&self, connection: TcpStream, _reason: PoolCloseReason) {
        self.closed.fetch_add(1, SeqCst);
        drop(connection);
    }
}

type Pool = CheckoutPool<Echo>;

fn serve(runtime: &Runtime) -> u16 {
    let listener = runtime.block_on(TcpListener::bind("127.0.0.1:0")).unwrap();
    let port = listener.local_addr().unwrap().port();
    runtime.spawn(async move {
        while let Ok((mut stream, _)) = listener.accept().await {
            tokio::spawn(async move {
                let (mut reads, mut writes) = stream.split();
                tokio::io::copy(&mut reads, &mut writes).await
            });
        }
    });
    port
}

/// Runs `child` in a fork, and says how it exited; one that blocks is killed after 20 s.
fn forked(child: impl FnOnce() -> bool) -> i32 {
    // SAFETY: the child uses what the pool promises to work after a fork, and leaves by `_exit`.
    let process = unsafe { libc::fork() };
    assert!(process >= 0, "{}", std::io::Error::last_os_error());
    if process == 0 {
        // SAFETY: plain system calls; nothing of the parent's runs on the way out.
        unsafe {
            libc::alarm(20);
            libc::_exit(i32::from(!child()));
        }
    }
    let mut status = 0;
    // SAFETY: `process` is the child just made, `status` outlives the call.
    let waited = unsafe { libc::waitpid(process, &raw mut status, 0) };
    assert_eq!(waited, process);
    assert!(!libc::WIFSIGNALED(status), "the child was ended by signal {}", libc::WTERMSIG(status));
    libc::WEXITSTATUS(status)
}

fn poll_once<T>(future: impl Future<Output = T>) -> Poll<T> {
    pin!(future).poll(&mut Context::from_waker(Waker::noop()))
}

/// Puts somebody in line who is told by a call.
fn joined(pool: &Pool) -> Result<Acquired, ConnectionError> {
    let teller = || Ok(Arc::new(|_: Result<Entrusted, ConnectionError>| ()));
    pool.acquire_then(Patience::Configured, Holder::Unknown, teller)
}

/// Everything that a child might do with what it inherited.
fn use_it_all(
    pool: Pool,
    lease: Lease<Echo>,
    detached: Lease<Echo>,
    entrusted: Lease<Echo>,
) -> bool {
    let refused = |polled: Poll<Result<Lease<Echo>, ConnectionError>>| {
        matches!(polled, Poll::Ready(Err(ConnectionError::Closed { .. })))
    };
    let number = entrusted.entrust();
    // It is the child's by its own wish: kept open, because its end would be told to the parent's event loop.
    std::mem::forget(detached.detach());
    pool.clear();
    pool.check();
    let is_gone = pool.stats().total() == 0
        && pool.leases().is_empty()
        && pool.advice().is_empty()
        && pool.is_closed()
        && &*pool.name() == "default"
        && pool.take_stats().max_size == 0
        && pool.resize(3, 1).is_ok()
        && pool.try_acquire().is_none()
        && refused(poll_once(pool.acquire()))
        && joined(&pool).is_err()
        && pool.try_acquire_entrusted(&Holder::Unknown).is_none()
        && pool.put_back(number, false).is_err()
        && pool.reclaim(number).is_none()
        && matches!(poll_once(pool.close(None)), Poll::Ready(0))
        && matches!(poll_once(pool.drain(None)), Poll::Ready(0))
        && matches!(poll_once(pool.wait_ready(None)), Poll::Ready(_));
    pool.close_now();
    pool.close_entrusted();
    drop(lease);
    drop(pool);
    is_gone
}

#[test]
fn a_child_blocks_on_nothing_and_leaves_the_parents_connections_as_they_were() {
    let runtime = Builder::new_multi_thread().worker_threads(2).enable_all().build().unwrap();
    let echo = Echo { port: serve(&runtime), closed: Arc::default() };
    let config = CheckoutPoolConfig { max_size: 12, ..CheckoutPoolConfig::default() };
    let pool = Pool::new(config, echo.clone(), runtime.handle().clone()).unwrap();
    let [mut a, mut b, mut c, mut d] =
        std::array::from_fn(|_| Some(runtime.block_on(pool.acquire()).unwrap()));
    let stop = Arc::new(AtomicBool::new(false));
    // They hold the lock of the pool, as often as not, when this thread forks.
    let busy: Vec<_> = (0..3)
        .map(|_| {
            let (pool, stop) = (pool.clone(), Arc::clone(&stop));
            std::thread::spawn(move || {
                while !stop.load(SeqCst) {
                    drop(pool.try_acquire());
                    _ = pool.stats();
                }
            })
        })
        .collect();
    let mut waiting = Box::pin(pool.acquire());
    _ = waiting.as_mut().poll(&mut Context::from_waker(Waker::noop()));
    for _ in 0..60 {
        let code = forked(|| {
            let polled = waiting.as_mut().poll(&mut Context::from_waker(Waker::noop()));
            let [a, b, c, d] = [&mut a, &mut b, &mut c, &mut d].map(|lease| lease.take().unwrap());
            drop(d);
            use_it_all(pool.clone(), a, b, c) && polled.is_ready()
        });
        assert_eq!(code, 0);
    }
    stop.store(true, SeqCst);
    busy.into_iter().for_each(|thread| thread.join().unwrap());
    drop(waiting);
    assert_eq!(echo.closed.load(SeqCst), 0, "nothing was closed");
    runtime.block_on(async {
        for lease in [&mut a, &mut b, &mut c, &mut d] {
            let stream = lease.as_mut().unwrap();
            stream.write_all(b"still here").await.unwrap();
            let mut answer = [0; 10];
            stream.read_exact(&mut answer).await.unwrap();
            assert_eq!(&answer, b"still here");
        }
        drop((a, b, c, d));
        assert!(pool.acquire().await.is_ok());
    });
}
