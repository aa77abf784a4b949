//! TLS over any transport: the handshake, the stream after it, and a listener that takes handshakes itself.
//!
//! ```text
//!   connect ─▶ Handshake ──▶ TlsTransport ─▶ Stream
//!   accept  ─▶ Handshake ──┘      │ Link: rustls between plain bytes and the inner transport
//!                                 └ Sender: a task, while the inner transport takes less than was written
//! ```

mod accept;
mod handshake;
mod link;
mod session;
#[cfg(test)]
mod tests;
mod transport;

pub(super) use accept::{Surroundings, TlsListener};
pub use session::TlsSession;

use super::Transport;
use crate::{
    address::Address,
    error::{ConnectionError, Place, Step},
    identity::{Tls, failure},
};
use handshake::Handshake;
use rustls::{ClientConnection, pki_types::ServerName};
use std::{io, time::Duration};
use tokio::runtime::Handle;

/// How a TLS stream goes on after its handshake.
#[derive(Clone, Debug)]
pub(super) struct Terms {
    /// Where what is left to be sent is sent from.
    pub(super) runtime: Handle,
    /// For what is left to be sent when the stream is closed.
    pub(super) close_timeout: Duration,
}

impl Terms {
    pub(super) fn new(tls: &Tls, runtime: &Handle) -> Self {
        Self { runtime: runtime.clone(), close_timeout: tls.config().close_timeout }
    }
}

/// Makes a client's end of `inner`, which leads to `address`.
///
/// # Cancel safety
///
/// Dropping the future closes `inner`.
pub(super) async fn connect(
    inner: Box<dyn Transport>,
    address: &Address,
    tls: &Tls,
    terms: Terms,
) -> Result<Box<dyn Transport>, ConnectionError> {
    let at = || Place::at(Step::Connect).to(Some(address.clone()));
    let name = server_name(address, tls)?;
    let asked = match &name {
        ServerName::DnsName(name) => Some(name.as_ref().to_owned()),
        _ => None,
    };
    let connection = ClientConnection::new(tls.client()?, name)
        .map_err(|error| ConnectionError::tls(failure(error), at()))?;
    let mut handshake = Handshake::new(inner, connection.into());
    match std::future::poll_fn(|cx| handshake.poll(cx)).await {
        Ok(()) => Ok(Box::new(handshake.finish(asked, terms))),
        Err(error) => {
            handshake.refuse();
            Err(handshake_failure(error, at()))
        }
    }
}

fn server_name(address: &Address, tls: &Tls) -> Result<ServerName<'static>, ConnectionError> {
    let client = tls.config().client.as_ref();
    let name = match (client.and_then(|client| client.server_name.as_deref()), address) {
        (Some(name), _) => ServerName::try_from(name.to_owned()).ok(),
        (None, Address::Tls(address)) => Some(ServerName::IpAddress(address.ip().into())),
        (None, Address::TlsName { host, .. }) => ServerName::try_from(String::from(&**host)).ok(),
        (None, _) => None,
    };
    name.ok_or_else(|| {
        ConnectionError::invalid_config("address", "the host is no name that TLS can ask for")
    })
}

/// What a failed handshake means: unless TLS itself failed, the connection did.
fn handshake_failure(error: io::Error, at: Place) -> ConnectionError {
    match ConnectionError::from_io(error, at) {
        ConnectionError::Broken { at, .. } | ConnectionError::Closed { at } => {
            ConnectionError::ConnectionFailed { at }
        }
        other => other,
    }
}
