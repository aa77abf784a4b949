//! Accepts for a relay, connects each client to the destination, and copies until it is over.

use super::{
    pacing::{Next, Pacing},
    relayed::Relayed,
    serve::{self, Entrance, NotReached, Reached},
    shared::{Shared, clock},
};
use crate::{
    address::Address,
    context::CloseReason,
    error::ConnectionError,
    events::{EventKind, PauseCause},
    relay::Relay,
    transport::{Listener, Stream},
};
use std::{fmt, sync::Arc, task::Poll};
use tokio::time::sleep_until;
use tracing::Instrument;

/// Takes connections until the manager stops, and then those that the backlog already holds: their
/// clients were told that they are connected.
pub(super) async fn accept_loop(shared: Arc<Shared>, listener: Listener, to: Target) {
    let mut pacing = Pacing::new(shared.settings().config.accept_pause);
    loop {
        let answer = tokio::select! {
            biased;
            () = shared.stopping.cancelled() => break,
            answer = listener.accept() => answer,
        };
        match answer {
            Ok(client) => {
                if pacing.on_accepted() {
                    shared.record(EventKind::AcceptResumed, listener.address());
                    tracing::info!(address = %listener.address(), "accepting again");
                }
                start(&shared, client, &to);
            }
            Err(_) if listener.is_closed() => break,
            Err(error) => pause(&shared, &listener, &mut pacing, &error).await,
        }
    }
    while !shared.cut.is_ordered()
        && let Poll::Ready(Ok(client)) = listener.accept_left()
    {
        start(&shared, client, &to);
    }
    shared.listening.lock().routes.remove(listener.address());
}

/// Lets time pass before the next accept where it would fail alike. One event and one line of log for
/// the whole time until an accept goes well.
async fn pause(shared: &Shared, listener: &Listener, pacing: &mut Pacing, error: &ConnectionError) {
    let length = shared.settings().config.accept_pause;
    pacing.set_pause(length);
    let out_of_resources = matches!(error, ConnectionError::LimitExceeded { .. });
    let Next::Pause { until, is_new } = pacing.on_failed(out_of_resources, clock()) else {
        tracing::debug!(address = %listener.address(), %error, "an accept failed");
        return;
    };
    if is_new {
        shared.live.on_accept_paused();
        let cause = PauseCause::Resources;
        shared.record(EventKind::AcceptPaused { cause }, listener.address());
        tracing::warn!(
            address = %listener.address(),
            error = error as &dyn std::error::Error,
            pause = ?length,
            "accepting paused"
        );
    }
    tokio::select! {
        biased;
        () = shared.stopping.cancelled() => {}
        () = sleep_until(until.into()) => {}
    }
}

/// Where the clients of a listener go.
#[derive(Clone, Debug)]
pub(super) enum Target {
    /// All to one place.
    Direct(Address),
    /// Each to the backend that the routes say.
    Routed(Arc<Entrance>),
}

fn start(shared: &Arc<Shared>, client: Stream, to: &Target) {
    let relayed = shared.live.keep_by_task(client.context().id);
    let span = tracing::debug_span!("relay", connection = client.context().id.get(), %to);
    let task = serve(Arc::clone(shared), client, to.clone(), relayed).instrument(span);
    shared.tasks.spawn_on(task, shared.network.runtime());
}

/// Serves one client. What it keeps for as long as the connection stands is all that an idle one costs, so nothing
/// stays here that is needed on the way only, and a block, which keeps what it captured where it is, serves better than
/// an `async fn`, which moves its arguments.
fn serve(
    shared: Arc<Shared>,
    client: Stream,
    to: Target,
    relayed: Arc<Relayed>,
) -> impl Future<Output = ()> {
    let client = Client(client);
    async move {
        let Some(mut reached) = Box::pin(reach(&shared, &to, &client.0, &relayed)).await else {
            return;
        };
        let ahead = std::mem::take(&mut reached.ahead);
        relayed.on_reached(reached.server.close_handle());
        let mut relay = Relay::new(&client.0, &reached.server, &shared.relay_limits())
            .splicing(&shared.pipes)
            .watched_by(relayed.on_relaying())
            .owing(ahead);
        let outcome = tokio::select! {
            biased;
            reason = ordered(&shared, &relayed) => relay.cut(reason),
            outcome = relay.run() => outcome,
        };
        tracing::trace!(?outcome, "relay over");
    }
}

/// Finds the client its server, or resets it: an end would read as the answer of a server that it never had.
async fn reach(
    shared: &Arc<Shared>,
    to: &Target,
    client: &Stream,
    relayed: &Relayed,
) -> Option<Reached> {
    let answer = tokio::select! {
        biased;
        reason = ordered(shared, relayed) => {
            client.abort(reason);
            return None;
        }
        answer = find(shared, to, client, relayed) => answer,
    };
    match answer {
        Ok(reached) => Some(reached),
        Err(error) => {
            tracing::debug!(error = &error as &dyn std::error::Error, "no server for a client");
            client.abort(error.reason());
            None
        }
    }
}

/// Waits until this connection, or everything, is to end.
async fn ordered(shared: &Shared, relayed: &Relayed) -> CloseReason {
    tokio::select! {
        biased;
        reason = shared.cut.ordered() => reason,
        reason = relayed.ended() => reason,
    }
}

async fn find(
    shared: &Arc<Shared>,
    to: &Target,
    client: &Stream,
    relayed: &Relayed,
) -> Result<Reached, NotReached> {
    match to {
        Target::Direct(to) => {
            let from = serve::count(shared, client)?;
            let server = shared.dial(to, None, None).await?;
            Ok(Reached { server, ahead: Vec::new(), _in_use: None, _from: from })
        }
        Target::Routed(entrance) => serve::reach(shared, entrance, client, relayed).await,
    }
}

impl fmt::Display for Target {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Direct(to) => to.fmt(f),
            Self::Routed(entrance) => write!(f, "the routes of {}", entrance.name),
        }
    }
}

/// The stream of a client whose task may be dropped with the runtime before it has said why it ends.
struct Client(Stream);

impl Drop for Client {
    fn drop(&mut self) {
        self.0.close_because(CloseReason::Cancelled);
    }
}
