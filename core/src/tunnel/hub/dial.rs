//! Opens a logical connection to a cluster: under the limits, on the best of its links.

use super::{
    registry::LinkId,
    shared::{Books, Member, Shared, clock},
};
use crate::{
    address::{Address, is_cluster_name},
    budget::{Budget, Permit},
    context::{Direction, Protocol},
    error::{ConnectionError, Place, Step},
    events::EventKind,
    transport::{Admission, Stream, Transport},
    tunnel::{
        counts::What,
        ending::finish_by,
        refusal::{NoAgent, Refusal},
    },
};
use std::{sync::Arc, time::Instant};
use tokio::time::timeout_at;
use tokio_util::task::AbortOnDropHandle;

/// Whom a dial is for, and where it leads.
#[derive(Clone, Debug)]
pub(super) struct Wanted {
    pub(super) cluster: Box<str>,
    /// `None` for the agent's own choice.
    pub(super) target: Option<Address>,
    pub(super) source: Option<Address>,
}

impl Wanted {
    pub(super) fn check(&self) -> Result<(), ConnectionError> {
        if is_cluster_name(&self.cluster) {
            return Ok(());
        }
        Err(ConnectionError::invalid_config("cluster", format!("{:?} is no name", self.cluster)))
    }

    fn address(&self) -> Address {
        Address::Tunnel(self.cluster.clone())
    }
}

/// Who holds the place of a connection under the hub's limit.
#[derive(Clone, Copy, Debug)]
pub(super) enum Holder {
    /// The connection itself.
    Dialled,
    /// What it is relayed to.
    Client,
}

/// Dials in a task of its own: the caller may be on any runtime, and closing waits for the attempt to be over.
/// Dropping the future ends the attempt.
pub(super) async fn dial(
    shared: &Arc<Shared>,
    wanted: Wanted,
    holder: Holder,
    deadline: Option<Instant>,
) -> Result<Stream, ConnectionError> {
    wanted.check()?;
    shared.check_open(Step::Connect)?;
    let began = clock();
    let deadline = deadline.unwrap_or(began + shared.config.dial_timeout);
    let (attempt, address) = (Arc::clone(shared), wanted.address());
    let attempt = async move {
        tokio::select! {
            biased;
            () = attempt.stopping.cancelled() => Err(ConnectionError::closed(Step::Connect)),
            answer = timeout_at(deadline.into(), open(&attempt, &wanted, holder)) => {
                answer.unwrap_or_else(|_| {
                    let waited = Some(clock().saturating_duration_since(began));
                    let at = Place::at(Step::Connect).to(Some(wanted.address()));
                    Err(ConnectionError::timeout(waited, at))
                })
            }
        }
    };
    let task = shared.tasks.spawn_on(attempt, shared.network.runtime());
    let answer = AbortOnDropHandle::new(task).await.unwrap_or_else(|panic| {
        let at = Place::at(Step::Connect).to(Some(address)).because(panic);
        Err(ConnectionError::ConnectionFailed { at })
    });
    if answer.is_err() {
        shared.counts.add(What::Refused);
    }
    answer
}

async fn open(
    shared: &Arc<Shared>,
    wanted: &Wanted,
    holder: Holder,
) -> Result<Stream, ConnectionError> {
    let address = wanted.address();
    let of_hub = match holder {
        Holder::Dialled => Some(place(shared, &shared.connections, "connections", &address)?),
        Holder::Client => None,
    };
    let books = books(shared, wanted).await?;
    let of_cluster = place(shared, &books.connections, "connections to this cluster", &address)?;
    let pending = place(shared, &books.pending, "dials to this cluster", &address)?;
    let transport = try_each(shared, wanted).await?;
    drop(pending);
    let stream = shared.network.stream(
        Protocol::Tunnel,
        Direction::Dialled,
        transport,
        wanted.source.clone(),
        Some(address),
    );
    let stream = stream.holding(of_cluster);
    shared.live.admit(match of_hub {
        Some(of_hub) => stream.holding(of_hub),
        None => stream,
    })
}

/// Asks the links of the cluster, the least loaded first, until one opens the connection or refuses for good.
async fn try_each(shared: &Shared, wanted: &Wanted) -> Result<Box<dyn Transport>, ConnectionError> {
    let (mut tried, mut refusal) = (Vec::new(), None);
    while let Some((id, member)) = pick(shared, &wanted.cluster, &tried) {
        let carrier = &member.carrier;
        match carrier.open(wanted.target.as_ref(), wanted.source.as_ref()).await {
            Ok(transport) => return Ok(transport),
            Err(refused) if refused.is_elsewhere() => {
                if matches!(refused, Refusal::Lost(_) | Refusal::Draining) {
                    // It opens nothing any more; what it has goes on.
                    let member = shared.registry.lock().remove(&wanted.cluster, id);
                    drop(member);
                }
                tried.push(id);
                refusal = Some(refused);
            }
            Err(refused) => return Err(refused.error(&wanted.address())),
        }
    }
    Err(refusal.map_or_else(|| no_agent(wanted), |refusal| refusal.error(&wanted.address())))
}

fn pick(shared: &Shared, cluster: &str, tried: &[LinkId]) -> Option<(LinkId, Arc<Member>)> {
    shared.registry.lock().pick(cluster, tried, |member| member.carrier.load())
}

/// The books of the cluster; waits for an agent that was welcomed already, and for another as far as the
/// configuration says.
async fn books(shared: &Shared, wanted: &Wanted) -> Result<Books, ConnectionError> {
    let look = || shared.registry.lock().books(&wanted.cluster);
    shared.welcomed.settled(&wanted.cluster, || look().is_some()).await;
    if let Some(books) = look() {
        return Ok(books);
    }
    let mut found = None;
    let comes = async {
        loop {
            let joined = shared.joined.notified();
            found = look();
            if found.is_some() {
                return;
            }
            joined.await;
        }
    };
    finish_by(shared.config.agent_wait.from(clock()), comes).await;
    found.ok_or_else(|| no_agent(wanted))
}

fn no_agent(wanted: &Wanted) -> ConnectionError {
    let at = Place::at(Step::Connect).to(Some(wanted.address())).because(NoAgent);
    ConnectionError::ConnectionFailed { at }
}

fn place(
    shared: &Shared,
    budget: &Budget,
    what: &'static str,
    address: &Address,
) -> Result<Permit, ConnectionError> {
    if let Some(permit) = budget.try_acquire() {
        return Ok(permit);
    }
    let limit = budget.limit();
    shared.record(EventKind::LimitReached { limit }, address);
    let at = Place::at(Step::Connect).to(Some(address.clone()));
    Err(ConnectionError::limit_exceeded(what, limit, at))
}
