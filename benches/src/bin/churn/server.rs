//! A server that ages its connections out, drains and comes back at the same address.

use std::{sync::Arc, time::Duration};
use tokio::{
    runtime::Handle,
    sync::{Mutex, mpsc},
    time::sleep,
};
use tokio_stream::wrappers::ReceiverStream;
use tonic::Response;
use trunkline_benches::now;
use trunkline_core::{
    Address, ChannelServer, Network,
    channel::{Incoming, Messages, Methods, Outcome},
    config::{ChannelServerConfig, TimeLimit},
};

/// Answers each message with itself, after a moment.
pub(crate) const ECHO: &str = "/churn.Calls/Echo";
/// In the first metadata of every answer.
pub(crate) const HERE: &str = "here";
/// Time that calls have when a server goes in order.
const GRACE: Duration = Duration::from_secs(30);

pub(crate) struct Server {
    network: Network,
    address: Address,
    config: ChannelServerConfig,
    /// Held while it restarts.
    running: Mutex<ChannelServer>,
}

impl Server {
    pub(crate) async fn start(network: &Network, address: String, age: TimeLimit) -> Arc<Self> {
        let address: Address = address.parse().expect("an address");
        let config =
            ChannelServerConfig { max_connection_age: age, ..ChannelServerConfig::default() };
        let running = Mutex::new(serve(network, &address, config).await);
        Arc::new(Self { network: network.clone(), address, config, running })
    }

    pub(crate) fn address(&self) -> &Address {
        &self.address
    }

    /// Goes in order, and another takes its place at once: the calls of the first go on.
    pub(crate) async fn replace(&self) {
        let mut running = self.running.lock().await;
        let old = running.clone();
        let drained = self.network.spawn(async move { old.drain(Some(now() + GRACE)).await });
        *running = serve(&self.network, &self.address, self.config).await;
        drop(running);
        drop(drained);
    }

    /// Is cut off with all its calls, and comes back after a while.
    pub(crate) async fn restart(&self, after: Duration) {
        let mut running = self.running.lock().await;
        running.drain(None).await;
        sleep(after).await;
        *running = serve(&self.network, &self.address, self.config).await;
    }
}

/// Serves, as soon as the one before has let go of the address.
async fn serve(network: &Network, address: &Address, config: ChannelServerConfig) -> ChannelServer {
    loop {
        if let Ok(listener) = network.listen(address).await {
            let methods = Methods::new().streaming(ECHO, echo);
            return ChannelServer::start(network, listener, methods, config).expect("it is sound");
        }
        sleep(Duration::from_millis(1)).await;
    }
}

/// The first metadata goes with the first message, so that until then a call may be tried again.
async fn echo(incoming: Incoming) -> Outcome {
    let mut messages = incoming.into_inner();
    let (sender, receiver) = mpsc::channel(1);
    if let Some(first) = messages.message().await? {
        take_a_moment().await;
        sender.send(Ok(first)).await.expect("there is room for one");
    }
    Handle::current().spawn(async move {
        while let Some(message) = messages.message().await.transpose() {
            take_a_moment().await;
            if sender.send(message).await.is_err() {
                return;
            }
        }
    });
    let mut response = Response::new(Box::pin(ReceiverStream::new(receiver)) as Messages);
    response.metadata_mut().insert(HERE, "1".parse().expect("text"));
    Ok(response)
}

async fn take_a_moment() {
    sleep(Duration::from_millis(fastrand::u64(0..10))).await;
}
