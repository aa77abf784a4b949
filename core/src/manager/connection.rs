//! One relayed TCP connection: the client's stream and the one to its destination.

use super::{relayed::Relayed, shared::Shared};
use crate::{
    address::Address,
    context::{CloseReason, ConnectionContext},
    error::{ConnectionError, Place, Step},
    metrics::ConnectionMetrics,
    relay::{Relay, RelayOutcome},
    transport::{Admission, Stream},
};
use std::sync::Arc;

/// What a [`TcpConnection`] is made of besides its addresses: the stream that was accepted.
///
/// A stream that the manager accepted itself is counted and holds its permit already; one from
/// elsewhere is let in like any other, under the limit.
#[derive(Debug)]
pub struct TcpConnectionInfo {
    accepted: Stream,
}

impl TcpConnectionInfo {
    /// Puts an accepted stream, over TCP or any other transport, into a connection.
    pub fn new(accepted: Stream) -> Self {
        Self { accepted }
    }
}

impl From<Stream> for TcpConnectionInfo {
    fn from(accepted: Stream) -> Self {
        Self::new(accepted)
    }
}

/// A connection that stands on both sides and waits to be handled. Dropping it closes both.
#[derive(Debug)]
pub struct TcpConnection {
    source: Address,
    client: Stream,
    server: Stream,
    relayed: Arc<Relayed>,
}

impl TcpConnection {
    /// Where it comes from.
    pub fn source(&self) -> &Address {
        &self.source
    }

    /// The client's stream.
    pub fn client(&self) -> &Stream {
        &self.client
    }

    /// The stream to the destination.
    pub fn server(&self) -> &Stream {
        &self.server
    }

    /// Id, protocol, both addresses and time of creation of the client's stream.
    pub fn context(&self) -> &ConnectionContext {
        self.client.context()
    }

    /// The counts of the client's stream.
    pub fn metrics(&self) -> &ConnectionMetrics {
        self.client.metrics()
    }
}

pub(super) async fn create(
    shared: &Arc<Shared>,
    source: Address,
    destination: Address,
    info: TcpConnectionInfo,
) -> Result<TcpConnection, ConnectionError> {
    shared.check_open(Step::Connect)?;
    let client = admit(shared, &destination, info.accepted)?;
    match shared.dial(&destination, None, None).await {
        Ok(server) => {
            let relayed = shared.live.keep_with(client.context().id, server.close_handle());
            if shared.cut.is_ordered() {
                // The order may have missed the server's stream.
                return Err(ConnectionError::closed(Step::Connect));
            }
            Ok(TcpConnection { source, client, server, relayed })
        }
        Err(error) => {
            client.abort(CloseReason::ConnectFailed);
            Err(error)
        }
    }
}

fn admit(
    shared: &Shared,
    destination: &Address,
    stream: Stream,
) -> Result<Stream, ConnectionError> {
    if shared.live.holds(stream.context().id) {
        return Ok(stream);
    }
    let permit = shared.permit(destination)?;
    shared.live.admit(stream.holding(permit))
}

pub(super) async fn handle(
    shared: &Shared,
    connection: TcpConnection,
) -> Result<(), ConnectionError> {
    let TcpConnection { source, client, server, relayed } = connection;
    let limits = shared.relay_limits();
    let mut relay = Relay::new(&client, &server, &limits)
        .splicing(&shared.pipes)
        .watched_by(relayed.on_relaying());
    let outcome = relay.run().await;
    let destination = server.context().destination.clone();
    verdict(outcome, Place::at(Step::Read).from(Some(source)).to(destination))
}

fn verdict(outcome: RelayOutcome, at: Place) -> Result<(), ConnectionError> {
    match outcome {
        RelayOutcome { broken: Some((_, error)), .. } => Err(error),
        RelayOutcome { reason: CloseReason::Finished, .. } => Ok(()),
        RelayOutcome { reason: CloseReason::Reset, .. } => {
            Err(ConnectionError::Broken { nothing_sent: false, at })
        }
        RelayOutcome {
            reason:
                CloseReason::IdleTimeout | CloseReason::HalfCloseTimeout | CloseReason::MaxDuration,
            ..
        } => Err(ConnectionError::timeout(None, at)),
        RelayOutcome { .. } => Err(ConnectionError::Closed { at }),
    }
}
