//! Raw forwards: what connects to an address of the hub comes out at a cluster.

use super::{
    dial::{Holder, Wanted, dial},
    shared::Shared,
};
use crate::{
    context::CloseReason,
    relay::Relay,
    transport::{Listener, Stream},
};
use std::{error::Error, sync::Arc};

/// Accepts clients until the hub stops. The listener takes a place under the hub's limit before each of them.
pub(super) async fn accept_clients(shared: Arc<Shared>, listener: Listener, to: Wanted) {
    let mut incoming = shared.incoming(listener);
    while let Some(client) = incoming.next().await {
        let wanted = Wanted { source: client.context().source.clone(), ..to.clone() };
        let task = serve(Arc::clone(&shared), client, wanted);
        shared.tasks.spawn_on(task, shared.network.runtime());
    }
}

async fn serve(shared: Arc<Shared>, client: Stream, wanted: Wanted) {
    let client = Client(client);
    let answer = tokio::select! {
        biased;
        reason = shared.cut.ordered() => return client.0.close_because(reason),
        answer = dial(&shared, wanted, Holder::Client, None) => answer,
    };
    let server = match answer {
        Ok(server) => server,
        Err(error) => {
            tracing::debug!(error = &error as &dyn Error, "cluster not reached");
            return client.0.abort(CloseReason::ConnectFailed);
        }
    };
    shared.live.keep_by_task(server.context().id);
    let mut relay = Relay::new(&client.0, &server, &shared.relay_limits());
    let outcome = tokio::select! {
        biased;
        reason = shared.cut.ordered() => relay.cut(reason),
        outcome = relay.run() => outcome,
    };
    tracing::trace!(?outcome, "forwarded connection over");
}

/// The stream of a client whose task may be dropped with the runtime before it has said why it ends.
struct Client(Stream);

impl Drop for Client {
    fn drop(&mut self) {
        self.0.close_because(CloseReason::Cancelled);
    }
}
