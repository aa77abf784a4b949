//! Opens one logical connection at the agent: into the host's listener, or to a target.

use super::{
    backlog::Offer,
    shared::{Shared, clock},
};
use crate::{
    address::Address,
    budget::Permit,
    context::{CloseReason, Direction, Protocol},
    error::ConnectionError,
    relay::Relay,
    transport::{Admission, ConnectOptions, Stream},
    tunnel::{carrier::Opening, counts::What, memory::MemoryConnection, refusal::Refusal},
};
use std::sync::Arc;
use tokio::sync::mpsc::OwnedPermit;

/// Opens what the hub asks for, and sees a forwarded connection through to its end.
pub(super) async fn open(shared: Arc<Shared>, mut opening: Box<dyn Opening>) {
    match answer(&shared, &mut *opening).await {
        Some(Ok(Granted::Place(place, permit))) => {
            let source = opening.source().cloned();
            if let Some(end) = opening.accept(permit) {
                place.send(Offer::new(end, Protocol::Tunnel, source));
            }
        }
        Some(Ok(Granted::Comm(place, connection, permit))) => {
            let source = opening.source().cloned();
            let Some(client) = stand(&shared, opening, permit) else { return };
            let (near, far) = connection.into_ends();
            place.send(Offer::new(far.transport, far.protocol, source));
            relay(&shared, &client, &near.stream).await;
        }
        Some(Ok(Granted::Target(server, permit))) => {
            let Some(client) = stand(&shared, opening, permit) else { return };
            relay(&shared, &client, &server).await;
        }
        Some(Err(refusal)) => {
            tracing::debug!(?refusal, target = ?opening.target(), "a connection was not opened");
            shared.counts.add(What::Refused);
            opening.refuse(&refusal);
        }
        None => {}
    }
}

enum Granted {
    /// A place in the listener's line.
    Place(OwnedPermit<Offer>, Permit),
    /// The same, and a connection of the way there.
    Comm(OwnedPermit<Offer>, MemoryConnection, Permit),
    Target(Stream, Permit),
}

/// `None` if the hub has taken its request back, or the agent is cut.
async fn answer(shared: &Shared, opening: &mut dyn Opening) -> Option<Result<Granted, Refusal>> {
    if shared.stopping.is_cancelled() {
        return Some(Err(Refusal::Draining));
    }
    let Some(permit) = shared.budget.try_acquire() else {
        return Some(Err(Refusal::Full { limit: shared.budget.limit() }));
    };
    let target = opening.target().cloned();
    let granted = async {
        match (&target, &shared.config.forward) {
            (Some(target), _) => Ok(Granted::Target(dial(shared, target).await?, permit)),
            (None, Some(target)) => Ok(Granted::Target(reach(shared, target).await?, permit)),
            (None, None) => {
                let place = shared.backlog.place().await.ok_or(Refusal::NobodyListens)?;
                let Some(comm) = &shared.comm else { return Ok(Granted::Place(place, permit)) };
                let connection = comm.open().map_err(|error| Refusal::of_dial(&error))?;
                Ok(Granted::Comm(place, connection, permit))
            }
        }
    };
    tokio::select! {
        biased;
        _ = shared.cut.ordered() => None,
        () = shared.stopping.cancelled() => Some(Err(Refusal::Draining)),
        () = opening.withdrawn() => None,
        granted = granted => Some(granted),
    }
}

/// Dials what the hub has named, if the agent's own list allows it.
async fn dial(shared: &Shared, target: &Address) -> Result<Stream, Refusal> {
    let rules = &shared.config.targets;
    let host = match target {
        Address::Tcp(_) => None,
        Address::TcpName { host, .. } => Some(&**host),
        Address::Tls(_)
        | Address::TlsName { .. }
        | Address::Udp(_)
        | Address::UdpName { .. }
        | Address::Unix(_)
        | Address::Abstract(_)
        | Address::Mem(_)
        | Address::Tunnel(_) => {
            if rules.iter().any(|rule| rule.lists(target)) {
                return reach(shared, target).await;
            }
            return Err(Refusal::NotAllowed);
        }
    };
    let _dialling = dialling(shared)?;
    let deadline = clock() + shared.config.tcp.connect_timeout;
    let admits = |found| rules.iter().any(|rule| rule.admits(host, found));
    let dial = shared.network.connect_checked(target, deadline, &shared.config.tcp, admits);
    dial.await.map_err(|error| Refusal::of_dial(&error))
}

/// Dials what the agent's owner has chosen.
async fn reach(shared: &Shared, target: &Address) -> Result<Stream, Refusal> {
    let _dialling = dialling(shared)?;
    let options = ConnectOptions { tcp: shared.config.tcp, ..Default::default() };
    let dial = shared.network.connect_with(target, None, &options).await;
    dial.map_err(|error: ConnectionError| Refusal::of_dial(&error))
}

fn dialling(shared: &Shared) -> Result<Permit, Refusal> {
    let limit = shared.dials.limit();
    shared.dials.try_acquire().ok_or(Refusal::Full { limit })
}

/// The stream of a hub's user, once the hub has heard that it stands; `None` where either end has gone meanwhile.
fn stand(shared: &Shared, opening: Box<dyn Opening>, permit: Permit) -> Option<Client> {
    let source = opening.source().cloned();
    let end = opening.accept(permit)?;
    let (network, destination) = (&shared.network, Some(shared.address.clone()));
    let client = network.stream(Protocol::Tunnel, Direction::Accepted, end, source, destination);
    let client = shared.live.admit(client).ok()?;
    shared.live.keep_by_task(client.context().id);
    Some(Client(client))
}

async fn relay(shared: &Shared, client: &Client, server: &Stream) {
    let mut relay = Relay::new(&client.0, server, &shared.relay_limits());
    let outcome = tokio::select! {
        biased;
        reason = shared.cut.ordered() => relay.cut(reason),
        outcome = relay.run() => outcome,
    };
    tracing::trace!(?outcome, "forwarded connection over");
}

/// The stream of a hub's user whose task may be dropped with the runtime before it has said why it ends.
struct Client(Stream);

impl Drop for Client {
    fn drop(&mut self) {
        self.0.close_because(CloseReason::Cancelled);
    }
}
