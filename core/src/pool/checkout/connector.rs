//! Who makes the connections of a pool, and looks after them.

use super::terms::Abilities;
use crate::{address::Address, error::ConnectionError, pool::reason::PoolCloseReason};
use std::future::Future;

/// Makes connections for a [`CheckoutPool`](super::CheckoutPool), checks, resets and closes them.
///
/// Every method runs without a lock and may use the pool. The futures run as tasks of their own, within the
/// pool's timeouts, and do not end with the caller who was the reason for them. What panics has failed.
pub trait Connector: Send + Sync + 'static {
    /// What is lent.
    type Connection: Send + 'static;

    /// What this connector can do besides connecting; asked once.
    fn abilities(&self) -> Abilities;

    /// Makes a connection, to this endpoint if the pool has several.
    ///
    /// # Errors
    ///
    /// Why it could not be made. The endpoint is then backed off from.
    fn connect(
        &self,
        endpoint: Option<&Address>,
    ) -> impl Future<Output = Result<Self::Connection, ConnectionError>> + Send;

    /// Whether a connection is known to be of no more use, without asking the peer: it runs before each use
    /// and after it, in the caller's thread, and must not block. Asked only if [`abilities`](Self::abilities) say
    /// `peeks`.
    fn is_broken(&self, _connection: &Self::Connection) -> bool {
        false
    }

    /// The number by which callers of other languages know a connection; asked once for each.
    fn mark(&self, _connection: &Self::Connection) -> u64 {
        0
    }

    /// Asks the peer whether the connection still works.
    ///
    /// # Errors
    ///
    /// Why it is of no more use.
    fn check(
        &self,
        _connection: &mut Self::Connection,
    ) -> impl Future<Output = Result<(), ConnectionError>> + Send {
        std::future::ready(Ok(()))
    }

    /// Takes back what its last holder did to the connection, such as an open transaction.
    ///
    /// # Errors
    ///
    /// Why it is of no more use.
    fn reset(
        &self,
        _connection: &mut Self::Connection,
    ) -> impl Future<Output = Result<(), ConnectionError>> + Send {
        std::future::ready(Ok(()))
    }

    /// Closes a connection; once for each that was made, detached ones excepted.
    fn close(
        &self,
        connection: Self::Connection,
        _reason: PoolCloseReason,
    ) -> impl Future<Output = ()> + Send {
        drop(connection);
        std::future::ready(())
    }
}
