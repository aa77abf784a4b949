//! A connector that follows a script's orders, and writes down what it is asked to close.

use std::{
    collections::{HashMap, VecDeque},
    sync::{Arc, Mutex},
};
use tokio::sync::oneshot;
use trunkline_core::{
    ConnectionError, Place, Step,
    address::Address,
    pool::{Abilities, Connector, PoolCloseReason},
};

#[derive(Clone, Debug)]
pub(crate) struct Numbers {
    abilities: Abilities,
    orders: Arc<Mutex<Orders>>,
}

#[derive(Debug, Default)]
struct Orders {
    plans: VecDeque<String>,
    /// Attempts that are held, by the word that lets them go; or the word was said before.
    held: HashMap<String, oneshot::Sender<bool>>,
    let_go: HashMap<String, bool>,
    made: u32,
    spoiled: Vec<u32>,
    broken: Vec<u32>,
    closed: Vec<(u32, &'static str)>,
}

enum Plan {
    Now(bool),
    Later(oneshot::Receiver<bool>),
}

impl Numbers {
    pub(crate) fn new(abilities: Abilities) -> Self {
        Self { abilities, orders: Arc::default() }
    }

    fn orders<T>(&self, look: impl FnOnce(&mut Orders) -> T) -> T {
        look(&mut self.orders.lock().unwrap())
    }

    pub(crate) fn plan(&self, next: &[String]) {
        self.orders(|orders| orders.plans.extend(next.iter().cloned()));
    }

    /// The attempt that is held by `word`, or will be, works or fails.
    pub(crate) fn let_go(&self, word: &str, works: bool) {
        self.orders(|orders| match orders.held.remove(word) {
            Some(held) => _ = held.send(works),
            None => _ = orders.let_go.insert(word.to_owned(), works),
        });
    }

    pub(crate) fn spoil(&self, connection: u32) {
        self.orders(|orders| orders.spoiled.push(connection));
    }

    pub(crate) fn break_it(&self, connection: u32) {
        self.orders(|orders| orders.broken.push(connection));
    }

    pub(crate) fn made(&self) -> u32 {
        self.orders(|orders| orders.made)
    }

    /// For which reasons it was asked to close this connection.
    pub(crate) fn closed(&self, connection: u32) -> Vec<&'static str> {
        let of_it = |orders: &mut Orders| {
            let closed = orders.closed.iter().filter(|(number, _)| *number == connection);
            closed.map(|(_, reason)| *reason).collect()
        };
        self.orders(of_it)
    }

    fn next_plan(&self) -> Plan {
        self.orders(|orders| match orders.plans.pop_front().as_deref() {
            None | Some("works") => Plan::Now(true),
            Some("fails") => Plan::Now(false),
            Some(word) => match orders.let_go.remove(word) {
                Some(works) => Plan::Now(works),
                None => {
                    let (let_go, held) = oneshot::channel();
                    orders.held.insert(word.to_owned(), let_go);
                    Plan::Later(held)
                }
            },
        })
    }
}

fn refused() -> ConnectionError {
    let cause = std::io::Error::from(std::io::ErrorKind::ConnectionRefused);
    ConnectionError::ConnectionFailed { at: Place::at(Step::Connect).because(cause) }
}

impl Connector for Numbers {
    type Connection = u32;

    fn abilities(&self) -> Abilities {
        self.abilities
    }

    async fn connect(&self, _endpoint: Option<&Address>) -> Result<u32, ConnectionError> {
        let works = match self.next_plan() {
            Plan::Now(works) => works,
            Plan::Later(held) => held.await.unwrap_or(false),
        };
        if !works {
            return Err(refused());
        }
        Ok(self.orders(|orders| {
            orders.made += 1;
            orders.made
        }))
    }

    fn is_broken(&self, connection: &u32) -> bool {
        self.orders(|orders| orders.broken.contains(connection))
    }

    async fn check(&self, connection: &mut u32) -> Result<(), ConnectionError> {
        match self.orders(|orders| orders.spoiled.contains(connection)) {
            true => Err(refused()),
            false => Ok(()),
        }
    }

    async fn close(&self, connection: u32, reason: PoolCloseReason) {
        self.orders(|orders| orders.closed.push((connection, reason.name())));
    }
}
