//! Puts another configuration in the place of that of a manager that runs.

use super::{
    TcpConnectionManager,
    backend::Change,
    settings::{Settings, check_change},
    tcp::leads_back,
};
use crate::{
    config::TcpManagerConfig,
    error::{ConnectionError, Step},
};
use std::sync::Arc;

impl TcpConnectionManager {
    /// Goes by another configuration from now on, and drops no connection for it. Either all of it holds or nothing.
    ///
    /// Connections that stand keep what they have: their server, their timeouts, their rates and what their sockets were
    /// told, also when their endpoint is gone. A lower limit ends nothing; no more are let in until enough have ended. With other prefixes for
    /// sources, what stands counts for none of the new networks. What is known of an endpoint that stays in its backend is kept, but for its health where that is checked otherwise than before.
    ///
    /// # Errors
    ///
    /// [`ConnectionError::InvalidConfig`] names the field that is wrong, or that cannot change: once it is started the
    /// names and addresses of its `listeners`. [`ConnectionError::Closed`] once the manager drains or is closed.
    pub fn reconfigure(&self, config: TcpManagerConfig) -> Result<(), ConnectionError> {
        let shared = self.shared();
        // One at a time, and none while listeners start.
        let listening = shared.listening.lock();
        shared.check_open(Step::Configure)?;
        let before = shared.settings();
        check_change(&before.config, &config, listening.started.is_some())?;
        let endpoints = config.backends.values().flat_map(|backend| &backend.endpoints);
        for endpoint in endpoints {
            if listening.leads_back(&endpoint.address) {
                return Err(leads_back());
            }
        }
        let after =
            Arc::new(Settings::following(config, shared.network.metrics(), &before.upstreams));
        let mut changes = Vec::new();
        for (name, upstream) in &after.upstreams {
            let is_new = !before.upstreams.contains_key(name);
            let mut change = upstream.reconfigure(after.config.backends[name].clone());
            if is_new {
                (change.checked, change.named) = (upstream.checked(), upstream.named());
            }
            changes.push((upstream, change));
        }
        shared.replace_settings(Arc::clone(&after));
        for (name, upstream) in &before.upstreams {
            if !after.upstreams.contains_key(name) {
                let removed = upstream.retire().to_vec();
                changes.push((upstream, Change { removed, ..Change::default() }));
            }
        }
        if listening.started.is_some() {
            for (upstream, change) in changes {
                upstream.follow(shared, change);
            }
        }
        drop(listening);
        // Wakes those who now fit.
        shared.apply_limits();
        tracing::info!("reconfigured");
        Ok(())
    }
}
