//! How a TCP connection manager limits, relays and drains.

use super::{
    BackendConfig, BandwidthConfig, Config, ListenerConfig, PerSourceConfig, RouteCallbackConfig,
    RouteConfig, SpliceConfig, TcpConfig, TimeLimit,
    check::{self, LONGEST, SHORTEST},
};
use crate::error::ConnectionError;
use serde::{Deserialize, Serialize};
use std::{collections::BTreeMap, time::Duration};

/// How a TCP connection manager limits, relays and drains, and what it serves when it is started.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct TcpManagerConfig {
    /// Connections at one time, accepted and dialled together; those above wait in the listener's
    /// backlog. Default: 1024. Limits: 1 to 1,000,000. Cost: a relayed one takes two descriptors.
    pub max_connections: u32,
    /// How many of them those of one network may have.
    pub per_source: PerSourceConfig,
    /// Time without a byte either way after which a relayed connection is closed. Default: 1 h.
    /// Limits: 1 ms to 365 days, or never. Cost: never keeps what a vanished peer left behind,
    /// unless TCP keepalive finds it.
    pub idle_timeout: TimeLimit,
    /// Time without a byte for the second side to finish after the first has. Default: 60 s. Limits:
    /// zero (both end with the first) to 365 days, or never.
    pub half_close_timeout: TimeLimit,
    /// Time that a connection is relayed at most, whatever moves. Default: 365 days. Limits: 1 ms to 365 days, or never.
    /// Cost: shorter cuts who is in the middle of something, and all who came at one time at one time.
    pub max_duration: TimeLimit,
    /// Bytes that a relay holds for each direction at most. Default: 64 KiB. Limits: 1 KiB to
    /// 16 MiB. Cost: up to twice as much memory per connection; smaller means more system calls.
    pub buffer_size: u32,
    /// When a relay lets the kernel move its bytes instead of copying them.
    pub splice: SpliceConfig,
    /// How fast it carries the bytes of one connection.
    pub bandwidth: BandwidthConfig,
    /// Time that a drain gives connections to finish before it closes them. Default: 30 s. Limits:
    /// zero (at once) to 365 days, or never.
    pub drain_timeout: TimeLimit,
    /// The last part of a drain, in which what still stands is closed one after the other, evenly, instead of all at the end,
    /// so that clients do not all come back somewhere else at one time: first those that have been silent for longest.
    /// Default: a third of the time that the drain has. Limits: zero (all at the end) to 365 days; longer than the drain is
    /// all of it. Cost: longer leaves less time to finish.
    #[serde(with = "crate::duration::text_or_unset")]
    pub drain_spread: Option<Duration>,
    /// Pause of accepting when the process has no file descriptor or no memory left. Default:
    /// 100 ms. Limits: 1 ms to 365 days. Cost: shorter burns CPU while nothing can be accepted.
    #[serde(with = "crate::duration::text")]
    pub accept_pause: Duration,
    /// How connections are made and what their sockets are told.
    pub tcp: TcpConfig,
    /// Where it listens once it is started, by name. Default: nowhere.
    pub listeners: BTreeMap<String, ListenerConfig>,
    /// Which backend a connection goes to: that of the first route that holds.
    pub routes: Vec<RouteConfig>,
    /// How a program is asked before the routes, where it has said that it wants to be.
    pub route_callback: RouteCallbackConfig,
    /// The backend of what no route takes; unset, such a connection is reset.
    pub default_backend: Option<String>,
    /// Where connections are passed on to, by name.
    pub backends: BTreeMap<String, BackendConfig>,
}

impl Default for TcpManagerConfig {
    fn default() -> Self {
        Self {
            max_connections: 1024,
            per_source: PerSourceConfig::default(),
            idle_timeout: TimeLimit::secs(3600),
            half_close_timeout: TimeLimit::secs(60),
            max_duration: LONGEST.into(),
            buffer_size: 64 << 10,
            splice: SpliceConfig::default(),
            bandwidth: BandwidthConfig::default(),
            drain_timeout: TimeLimit::secs(30),
            drain_spread: None,
            accept_pause: Duration::from_millis(100),
            tcp: TcpConfig::default(),
            listeners: BTreeMap::new(),
            routes: Vec::new(),
            route_callback: RouteCallbackConfig::default(),
            default_backend: None,
            backends: BTreeMap::new(),
        }
    }
}

impl Config for TcpManagerConfig {
    fn validate(&self) -> Result<(), ConnectionError> {
        check::number("max_connections", self.max_connections, 1..=1_000_000)?;
        check::within("per_source", self.per_source.validate())?;
        check::limit("idle_timeout", self.idle_timeout, SHORTEST..=LONGEST)?;
        check::limit("half_close_timeout", self.half_close_timeout, Duration::ZERO..=LONGEST)?;
        check::number("buffer_size", self.buffer_size, 1 << 10..=16 << 20)?;
        check::limit("max_duration", self.max_duration, SHORTEST..=LONGEST)?;
        check::within("splice", self.splice.validate())?;
        check::within("bandwidth", self.bandwidth.validate())?;
        check::limit("drain_timeout", self.drain_timeout, Duration::ZERO..=LONGEST)?;
        let drain_spread = self.drain_spread.unwrap_or_default();
        check::duration("drain_spread", drain_spread, Duration::ZERO..=LONGEST)?;
        check::duration("accept_pause", self.accept_pause, SHORTEST..=LONGEST)?;
        check::within("tcp", self.tcp.validate())?;
        check::within("route_callback", self.route_callback.validate())?;
        for (name, backend) in &self.backends {
            check::within(format_args!("backends.{name}"), backend.validate())?;
        }
        self.check_backend("default_backend", self.default_backend.as_deref())?;
        for (name, listener) in &self.listeners {
            let checked = listener.validate().and_then(|()| {
                self.check_backend("default_backend", listener.default_backend.as_deref())
            });
            check::within(format_args!("listeners.{name}"), checked)?;
        }
        for (index, route) in self.routes.iter().enumerate() {
            let checked = route.validate().and_then(|()| self.check_names(route));
            check::within(format_args!("routes[{index}]"), checked)?;
        }
        Ok(())
    }
}

impl TcpManagerConfig {
    fn check_names(&self, route: &RouteConfig) -> Result<(), ConnectionError> {
        if let Some(listener) = &route.listener
            && !self.listeners.contains_key(listener)
        {
            return check::refuse("listener", format!("there is no listener {listener:?}"));
        }
        self.check_backend("backend", Some(&route.backend))
    }

    fn check_backend(
        &self,
        field: &'static str,
        name: Option<&str>,
    ) -> Result<(), ConnectionError> {
        match name {
            Some(name) if !self.backends.contains_key(name) => {
                check::refuse(field, format!("there is no backend {name:?}"))
            }
            Some(_) | None => Ok(()),
        }
    }
}
