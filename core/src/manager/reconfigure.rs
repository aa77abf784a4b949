//! Puts another configuration in the place of that of a manager that runs.

use super::{
    TcpConnectionManager,
    settings::{Settings, check_change},
    shared::Shared,
    tcp::leads_back,
    upstream::Upstream,
};
use crate::{
    config::TcpManagerConfig,
    endpoint::Member,
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
        let mut fresh = Vec::new();
        for (name, upstream) in &after.upstreams {
            for member in upstream.reconfigure(after.config.backends[name].clone()) {
                fresh.push((Arc::clone(upstream), member));
            }
        }
        shared.replace_settings(Arc::clone(&after));
        for (name, upstream) in &before.upstreams {
            if !after.upstreams.contains_key(name) {
                upstream.retire();
            }
        }
        if listening.started.is_some() {
            start_checks(shared, fresh);
        }
        drop(listening);
        // Wakes those who now fit.
        shared.apply_limits();
        tracing::info!("reconfigured");
        Ok(())
    }
}

/// Checks these endpoints from now on.
pub(super) fn start_checks(shared: &Arc<Shared>, members: Vec<(Arc<Upstream>, (Member, u64))>) {
    for (upstream, (member, round)) in members {
        let check = upstream.check(Arc::clone(shared), member, round);
        shared.loops.spawn_on(check, shared.network.runtime());
    }
}
