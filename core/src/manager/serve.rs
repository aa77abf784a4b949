//! Takes an accepted client to its backend: header, probe, route, connect, header.

use super::{
    ahead::{Ahead, Refusal, host},
    relayed::Relayed,
    shared::{Shared, clock},
    table::Facts,
    upstream::InUse,
};
use crate::{
    address::Address,
    config::SendProxy,
    context::{CloseReason, ConnectionContext},
    error::{ConnectionError, Place, Step},
    proxy_protocol::{ProxyAddresses, ProxyHeader, ProxyVersion},
    transport::Stream,
};
use std::{sync::Arc, time::Instant};
use tokio::time::timeout_at;

/// A listener of the configuration, which says by its name what it asks of those who connect there.
#[derive(Debug)]
pub(super) struct Entrance {
    pub(super) name: String,
}

/// A client that has its server.
#[derive(Debug)]
pub(super) struct Reached {
    pub(super) server: Stream,
    /// What was read of the client before, and is owed to the server.
    pub(super) ahead: Vec<u8>,
    /// Counts for the endpoint as long as it is held.
    pub(super) in_use: Option<InUse>,
}

/// Why a client did not get to a server.
#[derive(Debug, thiserror::Error)]
pub(super) enum NotReached {
    #[error("turned away")]
    Refused(#[from] Refusal),
    #[error("no route takes it")]
    NoRoute,
    #[error("its backend was not reached")]
    Failed(#[from] ConnectionError),
}

impl NotReached {
    /// Why the client's connection ends.
    pub(super) fn reason(&self) -> CloseReason {
        match self {
            Self::Refused(Refusal::Gone(_)) => CloseReason::Reset,
            Self::Refused(_) | Self::NoRoute => CloseReason::Refused,
            Self::Failed(_) => CloseReason::ConnectFailed,
        }
    }
}

/// Finds the backend of a client and connects to it.
///
/// # Cancel safety
///
/// Dropping the future ends what is under way; the client is as it is, less what was read of it.
pub(super) async fn reach(
    shared: &Arc<Shared>,
    entrance: &Entrance,
    client: &Stream,
    relayed: &Relayed,
) -> Result<Reached, NotReached> {
    // One configuration for the whole way.
    let settings = shared.settings();
    let config = settings.config.listeners.get(&entrance.name).ok_or(NotReached::NoRoute)?;
    let mut ahead = Ahead::default();
    let header = ahead.header(client, &config.proxy_protocol).await?;
    if let Some(announced) = header.as_ref().and_then(|header| header.addresses) {
        client.announce(announced.source.into(), announced.destination.into());
    }
    let context = client.context();
    let source = host(context.source.as_ref());
    let mut facts = Facts { listener: &entrance.name, source, protocol: None };
    let protocol = if settings.table.needs_probe(facts) {
        ahead.protocol(client, &config.probe).await?
    } else {
        None
    };
    if let Some(protocol) = &protocol {
        relayed.on_probed(protocol.name());
    }
    facts.protocol = protocol.as_ref();
    let backend = settings.table.backend(facts).ok_or(NotReached::NoRoute)?;
    tracing::debug!(backend, protocol = protocol.as_ref().map(|found| found.name()), "routed");

    let upstream = settings.upstreams.get(backend).ok_or(NotReached::NoRoute)?;
    relayed.on_routed(&upstream.name);
    let deadline = clock() + settings.config.tcp.connect_timeout;
    let (server, in_use) = upstream.connect(shared, source).await?;
    if let Some(version) = version(upstream.send_proxy()) {
        let bytes = introduction(context, header).encode(version);
        introduce(&server, &bytes, deadline).await?;
    }
    Ok(Reached { server, ahead: ahead.into_bytes(), in_use: Some(in_use) })
}

fn version(send: SendProxy) -> Option<ProxyVersion> {
    match send {
        SendProxy::Off => None,
        SendProxy::V1 => Some(ProxyVersion::V1),
        SendProxy::V2 => Some(ProxyVersion::V2),
    }
}

/// What the server is told: the client's addresses, and what a proxy in front said besides.
fn introduction(client: &ConnectionContext, header: Option<ProxyHeader>) -> ProxyHeader {
    let end = |address: &Option<Address>| address.as_ref().and_then(Address::socket_addr);
    let ends = end(&client.source).zip(end(&client.destination));
    let addresses = ends.map(|(source, to)| ProxyAddresses::of_connection(source, to));
    ProxyHeader { addresses, tlvs: header.map(|header| header.tlvs).unwrap_or_default() }
}

async fn introduce(
    server: &Stream,
    bytes: &[u8],
    deadline: Instant,
) -> Result<(), ConnectionError> {
    let written = timeout_at(deadline.into(), server.write_all(bytes)).await;
    written.unwrap_or_else(|_| {
        let at = Place::at(Step::Write).to(server.context().destination.clone());
        Err(ConnectionError::timeout(None, at))
    })
}
