#![expect(
    clippy::disallowed_methods,
    reason = "tests are drivers: they start tasks and read the clock"
)]

use super::*;
use crate::{
    address::Address,
    config::{CheckoutPoolConfig, TimeLimit},
    error::{ConnectionError, Place, Step},
    pool::reason::PoolCloseReason,
};
use std::{
    collections::VecDeque,
    error::Error,
    sync::{Arc, Mutex},
    time::Duration,
};
use tokio::{
    runtime::Handle,
    sync::oneshot,
    time::{advance, sleep},
};

mod cancel;
mod claims;
mod endpoints;
mod hostile;
mod machine;
mod supply;
mod threads;
mod world;

type Pool = CheckoutPool<Maker>;

/// What the connector does next when it is asked to connect.
#[derive(Debug)]
enum Plan {
    Fail,
    FailAs(ConnectionError),
    Panic,
    /// Stands when the sender says so; fails if it is dropped.
    When(oneshot::Receiver<()>),
}

/// Makes numbers, and writes down what happens to them.
#[derive(Clone, Debug, Default)]
struct Maker(Arc<Script>);

#[derive(Debug, Default)]
struct Script {
    plans: Mutex<VecDeque<Plan>>,
    log: Mutex<Log>,
    abilities: Abilities,
}

#[derive(Debug, Default)]
struct Log {
    next: u32,
    made: Vec<u32>,
    /// Where each was made to, if to an address.
    made_to: Vec<Option<Address>>,
    closed: Vec<(u32, PoolCloseReason)>,
    checked: Vec<u32>,
    reset: Vec<u32>,
    broken: Vec<u32>,
    invalid: Vec<u32>,
    /// Those whose checks never end.
    hung: Vec<u32>,
    slow_to_close: Vec<u32>,
    /// Those at whose sight every method panics.
    dreaded: Vec<u32>,
}

impl Maker {
    fn with(abilities: Abilities) -> Self {
        Self(Arc::new(Script { abilities, ..Script::default() }))
    }

    fn plan(&self, plan: Plan) {
        self.0.plans.lock().unwrap().push_back(plan);
    }

    /// The next attempt stands when the sender says so.
    fn hold(&self) -> oneshot::Sender<()> {
        let (go, when) = oneshot::channel();
        self.plan(Plan::When(when));
        go
    }

    fn log<T>(&self, look: impl FnOnce(&mut Log) -> T) -> T {
        look(&mut self.0.log.lock().unwrap())
    }

    fn dread(&self, connection: u32) {
        assert!(!self.log(|log| log.dreaded.contains(&connection)), "{connection} is dreaded");
    }

    fn made(&self) -> usize {
        self.log(|log| log.made.len())
    }

    fn closed(&self) -> Vec<(u32, PoolCloseReason)> {
        self.log(|log| std::mem::take(&mut log.closed))
    }
}

fn refuse() -> ConnectionError {
    let cause = std::io::Error::from_raw_os_error(libc::ECONNREFUSED);
    ConnectionError::ConnectionFailed { at: Place::at(Step::Connect).because(cause) }
}

impl Connector for Maker {
    type Connection = u32;

    fn abilities(&self) -> Abilities {
        self.0.abilities
    }

    async fn connect(&self, endpoint: Option<&Address>) -> Result<u32, ConnectionError> {
        let plan = self.0.plans.lock().unwrap().pop_front();
        match plan {
            Some(Plan::Fail) => return Err(refuse()),
            Some(Plan::FailAs(error)) => return Err(error),
            Some(Plan::Panic) => panic!("the connector panics"),
            Some(Plan::When(when)) => when.await.map_err(|_| refuse())?,
            None => {}
        }
        Ok(self.log(|log| {
            log.next += 1;
            log.made.push(log.next);
            log.made_to.push(endpoint.cloned());
            log.next
        }))
    }

    fn mark(&self, connection: &u32) -> u64 {
        u64::from(*connection)
    }

    fn is_broken(&self, connection: &u32) -> bool {
        self.dread(*connection);
        self.log(|log| log.broken.contains(connection))
    }

    async fn check(&self, connection: &mut u32) -> Result<(), ConnectionError> {
        self.dread(*connection);
        if self.log(|log| log.hung.contains(connection)) {
            std::future::pending::<()>().await;
        }
        self.log(|log| {
            log.checked.push(*connection);
            if log.invalid.contains(connection) { Err(refuse()) } else { Ok(()) }
        })
    }

    async fn reset(&self, connection: &mut u32) -> Result<(), ConnectionError> {
        self.dread(*connection);
        self.log(|log| log.reset.push(*connection));
        Ok(())
    }

    async fn close(&self, connection: u32, reason: PoolCloseReason) {
        if self.log(|log| log.slow_to_close.contains(&connection)) {
            sleep(Duration::from_secs(4)).await;
        }
        self.log(|log| log.closed.push((connection, reason)));
        self.dread(connection);
    }
}

fn config(max_size: u32) -> CheckoutPoolConfig {
    CheckoutPoolConfig { max_size, lifetime_jitter: 0.0, ..CheckoutPoolConfig::default() }
}

fn pool(max_size: u32) -> (Pool, Maker) {
    pool_of(config(max_size), Maker::default())
}

fn pool_of(config: CheckoutPoolConfig, maker: Maker) -> (Pool, Maker) {
    (Pool::new(config, maker.clone(), Handle::current()).unwrap(), maker)
}

/// A second from now.
fn soon() -> Option<std::time::Instant> {
    Some((tokio::time::Instant::now() + Duration::from_secs(1)).into_std())
}

/// Lets every task that is ready run until none is.
async fn settle() {
    for _ in 0..50 {
        tokio::task::yield_now().await;
    }
}

/// The identities that hold in every snapshot.
fn check_books(pool: &Pool) {
    let stats = pool.stats();
    let standing = stats.idle + stats.used + stats.validating + stats.closing;
    assert_eq!(stats.created - stats.closed(), u64::from(standing), "{stats:?}");
    assert!(standing + stats.connecting <= stats.max_size, "{stats:?}");
}
