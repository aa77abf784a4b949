//! The pools that lend connections, each as its users have it in production: callers wait for up to 30 s, and
//! connections are lent without being checked.

use std::{
    convert::Infallible,
    future::Future,
    pin::pin,
    task::{Context, Poll, Waker},
    time::Duration,
};
use tokio::{
    runtime::{Builder, Handle, Runtime},
    task::yield_now,
};
use trunkline_core::{
    Address, CheckoutPool, CheckoutPoolConfig, ConnectionError, Connector, config::TimeLimit,
    pool::Abilities,
};

const WAIT: Duration = Duration::from_secs(30);

/// What is lent: something of the size of a socket and its buffer's address.
#[derive(Debug)]
pub(crate) struct Connection(#[expect(dead_code, reason = "it is there to be lent")] [u64; 4]);

impl Connection {
    fn open() -> Self {
        Self([7; 4])
    }
}

/// What every pool can do that lends connections.
pub(crate) trait Pool: Clone + Send + Sync + 'static {
    type Lease: Send;

    /// A pool of at most `size` connections, in a runtime.
    fn open(size: u32) -> Self;

    /// Takes a connection as tasks do.
    fn acquire(&self) -> impl Future<Output = Self::Lease> + Send;

    /// Takes a connection as threads do that do not wait.
    fn try_acquire(&self) -> Option<Self::Lease>;
}

/// Opens a pool and all of its connections.
pub(crate) async fn filled<P: Pool>(size: u32) -> P {
    let pool = P::open(size);
    let mut leases = Vec::new();
    for _ in 0..size {
        leases.push(pool.acquire().await);
    }
    pool
}

/// The runtime of every side: two workers.
pub(crate) fn runtime() -> Runtime {
    Builder::new_multi_thread().worker_threads(2).enable_all().build().expect("a runtime")
}

#[derive(Debug)]
pub(crate) struct Maker;

impl Connector for Maker {
    type Connection = Connection;

    fn abilities(&self) -> Abilities {
        Abilities::default()
    }

    async fn connect(&self, _: Option<&Address>) -> Result<Connection, ConnectionError> {
        Ok(Connection::open())
    }
}

pub(crate) type Ours = CheckoutPool<Maker>;

impl Pool for Ours {
    type Lease = trunkline_core::Lease<Maker>;

    fn open(size: u32) -> Self {
        let config = CheckoutPoolConfig {
            max_size: size,
            acquire_timeout: TimeLimit::After(WAIT),
            ..CheckoutPoolConfig::default()
        };
        Self::new(config, Maker, Handle::current()).expect("a valid configuration")
    }

    async fn acquire(&self) -> Self::Lease {
        Self::acquire(self).await.expect("a connection within 30 s")
    }

    fn try_acquire(&self) -> Option<Self::Lease> {
        Self::try_acquire(self)
    }
}

pub(crate) type Deadpool = deadpool::managed::Pool<Maker>;

impl deadpool::managed::Manager for Maker {
    type Type = Connection;
    type Error = Infallible;

    async fn create(&self) -> Result<Connection, Infallible> {
        Ok(Connection::open())
    }

    async fn recycle(
        &self,
        _: &mut Connection,
        _: &deadpool::managed::Metrics,
    ) -> deadpool::managed::RecycleResult<Infallible> {
        Ok(())
    }
}

impl Pool for Deadpool {
    type Lease = deadpool::managed::Object<Maker>;

    fn open(size: u32) -> Self {
        Self::builder(Maker)
            .max_size(size as usize)
            .wait_timeout(Some(WAIT))
            .runtime(deadpool::Runtime::Tokio1)
            .build()
            .expect("a valid configuration")
    }

    async fn acquire(&self) -> Self::Lease {
        self.get().await.expect("a connection within 30 s")
    }

    fn try_acquire(&self) -> Option<Self::Lease> {
        let at_once = deadpool::managed::Timeouts { wait: Some(Duration::ZERO), ..self.timeouts() };
        polled_once(self.timeout_get(&at_once))?.ok()
    }
}

pub(crate) type Bb8 = bb8::Pool<Maker>;

impl bb8::ManageConnection for Maker {
    type Connection = Connection;
    type Error = Infallible;

    async fn connect(&self) -> Result<Connection, Infallible> {
        Ok(Connection::open())
    }

    async fn is_valid(&self, _: &mut Connection) -> Result<(), Infallible> {
        Ok(())
    }

    fn has_broken(&self, _: &mut Connection) -> bool {
        false
    }
}

impl Pool for Bb8 {
    type Lease = bb8::PooledConnection<'static, Maker>;

    fn open(size: u32) -> Self {
        Self::builder()
            .max_size(size)
            .connection_timeout(WAIT)
            .test_on_check_out(false)
            .build_unchecked(Maker)
    }

    async fn acquire(&self) -> Self::Lease {
        self.get_owned().await.expect("a connection within 30 s")
    }

    fn try_acquire(&self) -> Option<Self::Lease> {
        polled_once(self.get_owned())?.ok()
    }
}

/// No pool: a task that waits gives its worker away, and so has one turn more. No pool that makes a task wait, and lets
/// others run while it holds its connection, does it with less than that and the other turn.
#[derive(Clone, Debug)]
pub(crate) struct Turns;

impl Pool for Turns {
    type Lease = ();

    fn open(_: u32) -> Self {
        Self
    }

    async fn acquire(&self) {
        yield_now().await;
    }

    fn try_acquire(&self) -> Option<()> {
        Some(())
    }
}

/// How a future's users call it who do not wait: by one poll.
fn polled_once<T>(future: impl Future<Output = T>) -> Option<T> {
    match pin!(future).poll(&mut Context::from_waker(Waker::noop())) {
        Poll::Ready(value) => Some(value),
        Poll::Pending => None,
    }
}
