//! Takes an accepted client to its backend: header, probe, route, place, connect, header.

use super::{
    Arrival, RouteDecision,
    ahead::{Ahead, Refusal, host, may_announce},
    places::NoPlace,
    relayed::Relayed,
    settings::Settings,
    shared::{Shared, clock},
    sources::SourcePlace,
    table::Facts,
    tcp::{check_destination, leads_back},
    upstream::{InUse, Upstream},
};
use crate::{
    address::Address,
    config::{ListenerConfig, SendProxy},
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
    pub(super) _in_use: Option<InUse>,
    /// Counts for the network that the client comes from as long as it is held.
    pub(super) _from: Option<SourcePlace>,
}

/// Why a client did not get to a server.
#[derive(Debug, thiserror::Error)]
pub(super) enum NotReached {
    #[error("turned away")]
    Refused(#[from] Refusal),
    #[error("its source has as many connections as it may")]
    SourceLimit(#[source] ConnectionError),
    #[error("no route takes it")]
    NoRoute,
    #[error("the program refused it")]
    Denied,
    #[error("no place in its backend")]
    NoPlace(#[from] NoPlace),
    #[error("its backend was not reached")]
    Failed(#[from] ConnectionError),
}

impl NotReached {
    /// Why the client's connection ends.
    pub(super) fn reason(&self) -> CloseReason {
        match self {
            Self::Refused(Refusal::Gone(_)) => CloseReason::Reset,
            Self::Refused(_) | Self::NoRoute | Self::Denied => CloseReason::Refused,
            Self::SourceLimit(_) => CloseReason::SourceLimit,
            Self::NoPlace(NoPlace::Full(_)) => CloseReason::BackendFull,
            Self::NoPlace(NoPlace::TimedOut(_)) => CloseReason::QueueTimeout,
            Self::NoPlace(NoPlace::Stopping) => CloseReason::Drained,
            Self::Failed(_) => CloseReason::ConnectFailed,
        }
    }
}

/// Finds the backend of a client, waits for a place there, and connects to it.
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
    let (header, from) = enter(shared, config, client, &mut ahead).await?;
    let source = host(client.context().source.as_ref());
    let facts = Facts { listener: &entrance.name, source, protocol: None };
    let way = route(shared, &settings, facts, client, &mut ahead, relayed).await?;
    let upstream = match way {
        Way::Backend(upstream) => upstream,
        Way::Address(to) => {
            let server = shared.dial(&to, None, None).await?;
            return Ok(Reached { server, ahead: ahead.into_bytes(), _in_use: None, _from: from });
        }
    };
    relayed.on_routed(&upstream.name);

    let place = upstream.place(shared, relayed).await?;
    let deadline = clock() + settings.config.tcp.connect_timeout;
    let (server, in_use) = upstream.connect(shared, source, place).await?;
    relayed.on_endpoint(in_use.endpoint);
    if let Some(version) = version(upstream.send_proxy()) {
        let bytes = introduction(client.context(), header).encode(version);
        introduce(&server, &bytes, deadline).await?;
    }
    Ok(Reached { server, ahead: ahead.into_bytes(), _in_use: Some(in_use), _from: from })
}

/// Learns who the client is, and counts it for its network. Who speaks for others is counted as those, and anybody
/// else before a byte is read.
async fn enter(
    shared: &Arc<Shared>,
    config: &ListenerConfig,
    client: &Stream,
    ahead: &mut Ahead,
) -> Result<(Option<ProxyHeader>, Option<SourcePlace>), NotReached> {
    let may_announce = may_announce(client, &config.proxy_protocol);
    let early = if may_announce { None } else { count(shared, client)? };
    let header = ahead.header(client, &config.proxy_protocol).await?;
    if let Some(announced) = header.as_ref().and_then(|header| header.addresses) {
        client.announce(announced.source.into(), announced.destination.into());
    }
    let from = if may_announce { count(shared, client)? } else { early };
    Ok((header, from))
}

/// Counts a client for the network that it comes from.
pub(super) fn count(
    shared: &Arc<Shared>,
    client: &Stream,
) -> Result<Option<SourcePlace>, NotReached> {
    let source = host(client.context().source.as_ref());
    shared.sources.admit(source).map_err(NotReached::SourceLimit)
}

/// Where a client goes.
enum Way<'a> {
    Backend(&'a Arc<Upstream>),
    /// Past the backends.
    Address(Address),
}

/// Where the program says, else the routes; by the first bytes where those matter.
async fn route<'a>(
    shared: &Shared,
    settings: &'a Settings,
    mut facts: Facts<'_>,
    client: &Stream,
    ahead: &mut Ahead,
    relayed: &Relayed,
) -> Result<Way<'a>, NotReached> {
    let (asking, config) = (shared.asking.load_full(), &settings.config);
    let listener = config.listeners.get(facts.listener).ok_or(NotReached::NoRoute)?;
    let is_shown = asking.is_some() && config.route_callback.probe;
    let protocol = if is_shown || settings.table.needs_probe(facts) {
        ahead.protocol(client, &listener.probe).await?
    } else {
        None
    };
    let name = protocol.as_ref().map(|protocol| protocol.name());
    name.into_iter().for_each(|name| relayed.on_probed(name));
    facts.protocol = protocol.as_ref();
    let decision = match asking {
        Some(asking) => {
            let arrival = Arrival::of(client.context(), &facts, config.route_callback.timeout);
            let check = |decision: &RouteDecision| check(shared, settings, decision);
            asking.ask(shared, arrival, check).await
        }
        None => RouteDecision::Default,
    };
    let backend = match &decision {
        RouteDecision::Default => settings.table.backend(facts).ok_or(NotReached::NoRoute)?,
        RouteDecision::Backend(name) => name,
        RouteDecision::Address(to) => return Ok(Way::Address(to.clone())),
        RouteDecision::Refuse => return Err(NotReached::Denied),
    };
    tracing::debug!(backend, protocol = name, "routed");
    settings.upstreams.get(backend).map(Way::Backend).ok_or(NotReached::NoRoute)
}

/// Whether a connection can go where the program says.
fn check(
    shared: &Shared,
    settings: &Settings,
    decision: &RouteDecision,
) -> Result<(), ConnectionError> {
    match decision {
        RouteDecision::Backend(name) if !settings.upstreams.contains_key(&**name) => {
            Err(ConnectionError::invalid_config("backend", format!("there is no {name:?}")))
        }
        RouteDecision::Address(to) => {
            check_destination(to)?;
            if shared.listening.lock().leads_back(to) {
                return Err(leads_back());
            }
            Ok(())
        }
        RouteDecision::Default | RouteDecision::Backend(_) | RouteDecision::Refuse => Ok(()),
    }
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
