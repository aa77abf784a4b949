//! What a manager goes by: its configuration and what is made of it, replaced as a whole while connections stand.

use super::{table::RouteTable, upstream::Upstream};
use crate::{
    config::{Config, TcpManagerConfig},
    error::ConnectionError,
    metrics::Metrics,
};
use std::{collections::BTreeMap, sync::Arc};

/// A connection looks here once for each decision, and so sees all of a configuration or nothing of it.
#[derive(Debug)]
pub(super) struct Settings {
    pub(super) config: TcpManagerConfig,
    pub(super) table: RouteTable,
    pub(super) upstreams: BTreeMap<String, Arc<Upstream>>,
}

impl Settings {
    pub(super) fn new(config: TcpManagerConfig, metrics: &Metrics) -> Self {
        Self::following(config, metrics, &BTreeMap::new())
    }

    /// Backends that there were before go on under their names, with what is known of their endpoints.
    pub(super) fn following(
        config: TcpManagerConfig,
        metrics: &Metrics,
        before: &BTreeMap<String, Arc<Upstream>>,
    ) -> Self {
        let upstream = |name: &String| match before.get(name) {
            Some(upstream) => Arc::clone(upstream),
            None => Upstream::new(name.as_str().into(), config.backends[name].clone(), metrics),
        };
        let upstreams = config.backends.keys().map(|name| (name.clone(), upstream(name))).collect();
        Self { table: RouteTable::new(&config), upstreams, config }
    }
}

/// Checks that `after` may take the place of `before` while connections stand; `is_started` once its listeners are.
///
/// # Errors
///
/// [`ConnectionError::InvalidConfig`] for the first field that is wrong, or that only a new manager can have.
pub(super) fn check_change(
    before: &TcpManagerConfig,
    after: &TcpManagerConfig,
    is_started: bool,
) -> Result<(), ConnectionError> {
    after.validate()?;
    if !is_started {
        return Ok(());
    }
    for (name, listener) in &before.listeners {
        match after.listeners.get(name) {
            Some(kept) if kept.address == listener.address => {}
            Some(_) => return Err(fixed(format!("listeners.{name}.address"))),
            None => return Err(fixed(format!("listeners.{name}"))),
        }
    }
    match after.listeners.keys().find(|name| !before.listeners.contains_key(*name)) {
        Some(new) => Err(fixed(format!("listeners.{new}"))),
        None => Ok(()),
    }
}

fn fixed(field: String) -> ConnectionError {
    ConnectionError::invalid_config(field, "cannot change while the manager runs")
}

#[cfg(test)]
mod tests {
    use super::*;

    fn complaint(before: &str, after: &str, is_started: bool) -> Option<String> {
        let [before, after] =
            [before, after].map(|text| TcpManagerConfig::from_json(text).unwrap());
        match check_change(&before, &after, is_started) {
            Ok(()) => None,
            Err(ConnectionError::InvalidConfig { field, .. }) => Some(field.into()),
            Err(other) => panic!("{other}"),
        }
    }

    #[test]
    fn what_cannot_change_is_named() {
        let before = r#"{"listeners": {"in": {"address": "mem:in"}}}"#;
        for (after, field) in [
            (r#"{"listeners": {"in": {"address": "mem:other"}}}"#, "listeners.in.address"),
            (r#"{}"#, "listeners.in"),
            (
                r#"{"listeners": {"in": {"address": "mem:in"}, "new": {"address": "mem:new"}}}"#,
                "listeners.new",
            ),
        ] {
            assert_eq!(complaint(before, after, true).as_deref(), Some(field));
            assert_eq!(complaint(before, after, false), None, "nobody listens yet");
        }
    }

    #[test]
    fn everything_else_may_change() {
        let before = r#"{"listeners": {"in": {"address": "mem:in"}}}"#;
        let after = r#"{
            "max_connections": 7, "per_source": {"max_connections": 3, "ipv4_prefix": 24, "max_networks": 7},
            "idle_timeout": "1s", "half_close_timeout": "0s", "max_duration": "1h",
            "buffer_size": 4096, "splice": {"after": 0, "max_pipes": 3, "pipe_size": 4096},
            "bandwidth": {"to_server": 1000}, "drain_timeout": "1s", "accept_pause": "1s",
            "tcp": {"connect_timeout": "1s", "attempt_stagger": "0s", "nodelay": false, "keepalive": {"count": 7},
                "user_timeout": "never", "backlog": 7},
            "listeners": {"in": {"address": "mem:in", "max_connections": 5, "default_backend": "a", "probe": {"timeout": "1s"},
                "proxy_protocol": {"mode": "optional"}}},
            "routes": [{"host": "b.example", "backend": "b"}], "default_backend": "a",
            "backends": {"a": {"endpoints": [{"address": "mem:a"}], "max_connections": 2, "queue": {"max_waiting": 0}},
                "b": {"endpoints": [{"address": "mem:b"}]}}
        }"#;
        assert_eq!(complaint(before, after, true), None);
    }
}
