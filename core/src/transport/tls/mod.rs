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
    identity::{Tls, failure, in_bytes},
};
use handshake::Handshake;
use rustls::{ClientConnection, ServerConfig, ServerConnection, pki_types::ServerName};
use std::{io, sync::Arc, time::Duration};
use tokio::runtime::Handle;

/// What a handshake agrees on beside the configuration, and how the stream goes on after it.
#[derive(Clone, Debug)]
pub(super) struct Terms {
    /// Application protocols in place of those of the configuration.
    alpn: Option<Vec<Vec<u8>>>,
    /// Where what is left to be sent is sent from.
    pub(super) runtime: Handle,
    /// For what is left to be sent when the stream is closed.
    pub(super) close_timeout: Duration,
}

impl Terms {
    pub(super) fn new(tls: &Tls, runtime: &Handle, alpn: Option<&[String]>) -> Self {
        let close_timeout = tls.config().close_timeout;
        Self { alpn: alpn.map(in_bytes), runtime: runtime.clone(), close_timeout }
    }

    /// For a configuration that says itself what is agreed on.
    pub(super) fn of(runtime: &Handle, close_timeout: Duration) -> Self {
        Self { alpn: None, runtime: runtime.clone(), close_timeout }
    }

    /// The server's side of the next handshake.
    fn server(&self, tls: &Tls) -> Result<ServerConnection, ConnectionError> {
        let mut config = tls.server()?;
        if let Some(alpn) = &self.alpn {
            Arc::make_mut(&mut config).alpn_protocols.clone_from(alpn);
        }
        let unfit = |error| ConnectionError::tls(failure(error), Place::at(Step::Accept));
        ServerConnection::new(config).map_err(unfit)
    }

    /// The client's side of the next handshake, with a server of this name.
    fn client(
        &self,
        tls: &Tls,
        name: ServerName<'static>,
    ) -> Result<ClientConnection, ConnectionError> {
        let config = tls.client()?;
        let alpn = self.alpn.clone().unwrap_or_else(|| config.alpn_protocols.clone());
        let unfit = |error| ConnectionError::tls(failure(error), Place::at(Step::Connect));
        ClientConnection::new_with_alpn(config, name, alpn).map_err(unfit)
    }
}

/// Makes a client's end of `inner`, which leads to `address`. The server's certificate must be for the configured name;
/// where there is none, for `host`; where there is none either, for the host of the address.
///
/// # Cancel safety
///
/// Dropping the future closes `inner`.
pub(super) async fn connect(
    inner: Box<dyn Transport>,
    address: &Address,
    host: Option<&str>,
    tls: &Tls,
    terms: Terms,
) -> Result<Box<dyn Transport>, ConnectionError> {
    let at = || Place::at(Step::Connect).to(Some(address.clone()));
    let name = server_name(address, host, tls)?;
    let asked = match &name {
        ServerName::DnsName(name) => Some(name.as_ref().to_owned()),
        _ => None,
    };
    let connection = terms.client(tls, name)?;
    let mut handshake = Handshake::new(inner, connection.into());
    match std::future::poll_fn(|cx| handshake.poll(cx)).await {
        Ok(()) => Ok(Box::new(handshake.finish(asked, terms))),
        Err(error) => {
            handshake.refuse();
            Err(handshake_failure(error, at()))
        }
    }
}

/// Makes a server's end of `inner`, which leads from and to `ends`.
///
/// # Cancel safety
///
/// Dropping the future closes `inner`.
pub(super) async fn accept(
    inner: Box<dyn Transport>,
    config: Arc<ServerConfig>,
    terms: Terms,
    (source, destination): (Option<Address>, Option<Address>),
) -> Result<Box<dyn Transport>, ConnectionError> {
    let at = Place::at(Step::Accept).from(source).to(destination);
    let connection = match ServerConnection::new(config) {
        Ok(connection) => connection,
        Err(error) => return Err(ConnectionError::tls(failure(error), at)),
    };
    let mut handshake = Handshake::new(inner, connection.into());
    match std::future::poll_fn(|cx| handshake.poll(cx)).await {
        Ok(()) => Ok(Box::new(handshake.finish(None, terms))),
        Err(error) => {
            handshake.refuse();
            Err(handshake_failure(error, at))
        }
    }
}

fn server_name(
    address: &Address,
    host: Option<&str>,
    tls: &Tls,
) -> Result<ServerName<'static>, ConnectionError> {
    let client = tls.config().client.as_ref();
    let configured = client.and_then(|client| client.server_name.as_deref());
    let name = match (configured.or(host), address) {
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
