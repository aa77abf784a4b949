//! Makes, accepts, runs and counts the connections of one protocol: TCP here, UDP in `udp/`.
//!
//! ```text
//!                  permit            stands             over
//!   connect ─────▶ Budget ─▶ dial ───────▶ Live ─────────────▶ counts, permit back
//!   accept  ─────▶ Budget ─▶ accept ─────▶  │ dial destination, relay
//!                                           └ drain waits, then cuts
//! ```
//!
//! A permit is taken before the work: what exceeds the limit waits in the backlog, or is refused
//! before a socket exists. One relayed connection takes one permit; the connection to its
//! destination belongs to it and is counted in the network's metrics only. Further limits lie within that one:
//! of a listener, whose excess waits in its backlog; of the network that a client comes from, whose excess
//! is reset; of a backend, whose excess waits in a line.

mod accept;
mod ahead;
mod asked;
mod backend;
mod callback;
mod check;
mod connection;
mod drain;
mod endpoints;
mod live;
mod names;
mod pacing;
mod places;
mod reconfigure;
mod relayed;
mod routes;
mod serve;
mod settings;
mod shared;
mod source_table;
mod sources;
mod spread;
mod stats;
mod table;
mod tcp;
mod udp;
mod upstream;

pub(crate) use asked::{Unanswered, ask};
pub(crate) use live::Live;
pub(crate) use pacing::{Next, Pacing};
pub(crate) use shared::Cut;

pub use callback::{Arrival, RouteCallback, RouteDecision, Routing};
pub use check::{CheckAnswer, CheckCallback, CheckQuestion, Checking};
pub use connection::{TcpConnection, TcpConnectionInfo};
pub use endpoints::{EndpointReason, EndpointState, LiveEndpoint, ReasonKind};
pub use stats::{DrainReport, LiveState, LiveTcpConnection, TcpManagerStats};
pub use tcp::TcpConnectionManager;
pub use udp::{
    LiveUdpConnection, UdpConnection, UdpConnectionInfo, UdpConnectionManager, UdpManagerStats,
    UdpRelayOptions,
};

use crate::{address::Address, error::ConnectionError};
use std::future::Future;

/// Makes the connections of one protocol, runs them, and never has more than its limit.
///
/// An accepted stream enters through its [`ConnectionInfo`](Self::ConnectionInfo): a pair of addresses
/// alone could only describe it, and a connection made from them would be another one. The addresses
/// are anything that names one; a `SocketAddr` does. The futures are `Send`, so that any of them may
/// be a task.
pub trait ConnectionManager: Send + Sync {
    /// A connection that stands.
    type Connection: Send;
    /// What a connection is made of besides its addresses.
    type ConnectionInfo: Send;

    /// Makes a connection that comes from `source` to `destination`.
    ///
    /// # Errors
    ///
    /// [`ConnectionError::LimitExceeded`] if the limit is reached, before anything was started; why
    /// the destination could not be reached; [`ConnectionError::Closed`] once the manager is closed.
    ///
    /// # Cancel safety
    ///
    /// Dropping the future ends the attempt and what belongs to it.
    fn create_connection(
        &self,
        source: impl Into<Address> + Send,
        destination: impl Into<Address> + Send,
        info: Self::ConnectionInfo,
    ) -> impl Future<Output = Result<Self::Connection, ConnectionError>> + Send;

    /// Runs a connection to its end, and closes it.
    ///
    /// # Errors
    ///
    /// Why it did not end in order: [`ConnectionError::Broken`], [`ConnectionError::Timeout`] for
    /// silence, [`ConnectionError::Closed`] if it was cut by this process.
    ///
    /// # Cancel safety
    ///
    /// Dropping the future closes the connection.
    fn handle_connection(
        &self,
        connection: Self::Connection,
    ) -> impl Future<Output = Result<(), ConnectionError>> + Send;

    /// Connections that stand now.
    fn connection_count(&self) -> usize;

    /// The most that may stand at one time.
    fn max_connections(&self) -> usize;

    /// Whether one more would be let in now. It may have changed when the answer arrives: a permit,
    /// not this, is what holds the limit.
    fn can_accept_connection(&self) -> bool;
}
