//! A TCP proxy in process that cuts, refuses and falls silent.

use std::{collections::BTreeMap, net::Shutdown, sync::Arc, time::Duration};
use tokio::{sync::watch, time::sleep};
use trunkline_core::{Address, CloseReason, Listener, Network, Stream};

pub(crate) struct Proxy {
    pub(crate) address: Address,
    sky: watch::Sender<Sky>,
    /// Connections, by the cuts before each.
    carried: watch::Sender<BTreeMap<u64, usize>>,
}

#[derive(Clone, Copy, Default)]
struct Sky {
    /// Raised by each cut.
    cuts: u64,
    is_silent: bool,
    is_refusing: bool,
}

impl Proxy {
    pub(crate) async fn start(network: &Network, to: &Address) -> Arc<Self> {
        let listener = network.listen(&"tcp://127.0.0.1:0".parse().expect("an address")).await;
        let listener = listener.expect("a free port");
        let address = listener.address().clone();
        let proxy = Arc::new(Self {
            address,
            sky: watch::Sender::default(),
            carried: watch::Sender::default(),
        });
        network.spawn(Arc::clone(&proxy).accept(network.clone(), listener, to.clone()));
        proxy
    }

    /// Connections that go through it now.
    pub(crate) fn connections(&self) -> usize {
        self.carried.borrow().values().sum()
    }

    /// Ends every connection.
    pub(crate) async fn cut(&self) {
        self.sky.send_modify(|sky| sky.cuts += 1);
        self.until_cut().await;
    }

    /// Waits until no connection is left that stood before the last cut.
    async fn until_cut(&self) {
        let cuts = self.sky.borrow().cuts;
        let mut carried = self.carried.subscribe();
        let is_gone = |carried: &BTreeMap<u64, usize>| carried.range(..cuts).next().is_none();
        let _ = carried.wait_for(is_gone).await;
    }

    /// Ends every connection, and nobody listens for a while.
    pub(crate) async fn refuse(&self, time: Duration) {
        self.sky.send_modify(|sky| (sky.cuts, sky.is_refusing) = (sky.cuts + 1, true));
        self.until_cut().await;
        sleep(time).await;
        self.sky.send_modify(|sky| sky.is_refusing = false);
    }

    /// Passes nothing on for a while.
    pub(crate) async fn be_silent(&self, time: Duration) {
        self.sky.send_modify(|sky| sky.is_silent = true);
        sleep(time).await;
        self.sky.send_modify(|sky| sky.is_silent = false);
    }

    async fn accept(self: Arc<Self>, network: Network, listener: Listener, to: Address) {
        let mut sky = self.sky.subscribe();
        let mut listening = Some(listener);
        loop {
            match &listening {
                None => {
                    let _ = sky.wait_for(|sky| !sky.is_refusing).await;
                    listening = network.listen(&self.address).await.ok();
                    if listening.is_none() {
                        sleep(Duration::from_millis(1)).await;
                    }
                }
                Some(listener) => {
                    let accepted = tokio::select! {
                        accepted = listener.accept() => accepted.ok(),
                        _ = sky.wait_for(|sky| sky.is_refusing) => {
                            listening = None;
                            continue;
                        }
                    };
                    if let Some(client) = accepted {
                        network.spawn(Arc::clone(&self).carry(network.clone(), client, to.clone()));
                    }
                }
            }
        }
    }

    async fn carry(self: Arc<Self>, network: Network, client: Stream, to: Address) {
        let mut sky = self.sky.subscribe();
        let cuts = sky.borrow_and_update().cuts;
        self.carried.send_modify(|carried| *carried.entry(cuts).or_default() += 1);
        if let Ok(server) = network.connect(&to, None).await {
            let both = async {
                tokio::join!(self.copy(&client, &server), self.copy(&server, &client));
            };
            tokio::select! {
                () = both => {}
                _ = sky.wait_for(|sky| sky.cuts != cuts) => {
                    client.abort(CloseReason::Killed);
                    server.abort(CloseReason::Killed);
                }
            }
        }
        drop(client);
        self.carried.send_modify(|carried| {
            let left = carried.remove(&cuts).map_or(0, |count| count - 1);
            if left > 0 {
                carried.insert(cuts, left);
            }
        });
    }

    async fn copy(&self, from: &Stream, to: &Stream) {
        let mut sky = self.sky.subscribe();
        let mut bytes = vec![0; 16 << 10];
        loop {
            let read = from.read(&mut bytes).await;
            let _ = sky.wait_for(|sky| !sky.is_silent).await;
            match read {
                Ok(0) => {
                    let _ = to.shutdown(Shutdown::Write);
                    return;
                }
                Ok(count) if to.write_all(&bytes[..count]).await.is_ok() => {}
                Ok(_) | Err(_) => {
                    from.abort(CloseReason::Killed);
                    to.abort(CloseReason::Killed);
                    return;
                }
            }
        }
    }
}
