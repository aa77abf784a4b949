//! How a memory proxy serves HTTP, and where it passes requests on to.

use super::{
    Config, HeaderRule, TcpConfig, TimeLimit,
    check::{self, LONGEST, SHORTEST},
    http::check_rule,
};
use crate::{address::Address, error::ConnectionError};
use serde::{Deserialize, Serialize};
use std::time::Duration;

/// How a memory proxy serves what comes to its listeners, and where it passes requests on to.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct MemoryProxyConfig {
    /// Which request goes where: the first that holds for it. Default: none. Limits: at most 1024.
    pub routes: Vec<ProxyRoute>,
    /// What decides where no route holds, and where a router of the host's leaves it to the configuration. Default: nothing.
    pub routing: ProxyRouting,
    /// Whether what a client says of whom it speaks for is true, as it is where only a hub's front connects: then
    /// `Forwarded` and `X-Forwarded-*` pass as they come. Default: false: they are taken out, and set to what is known here.
    /// `Impersonate-*` and the like are taken out in any case.
    pub trust_forwarded: bool,
    /// Connections at one time; the next wait in the backlogs. Default: 1000. Limits: 1 to 1,000,000.
    pub max_connections: u32,
    /// Requests of one connection of HTTP/2 at one time. Default: 100. Limits: 1 to 65535.
    pub max_streams: u32,
    /// Bytes of the head of a request, and of a response. Default: 64 KiB. Limits: 8 KiB to 1 MiB. Cost: as much for
    /// each connection whose client sends one.
    pub max_head: u32,
    /// Fields of a head. Default: 100. Limits: 1 to 1000.
    pub max_fields: u32,
    /// Time for a head, from the moment that one may come: also how long a connection may be idle. Default: 60 s.
    /// Limits: 1 ms to 365 days.
    #[serde(with = "crate::duration::text")]
    pub head_timeout: Duration,
    /// Time for a TLS handshake, its first byte included. Default: 10 s. Limits: 1 ms to 365 days.
    #[serde(with = "crate::duration::text")]
    pub handshake_timeout: Duration,
    /// Time for an answer of one of the host's hooks. Default: 10 s. Limits: 1 ms to 365 days. Cost: a host that hangs holds each
    /// request up for so long.
    #[serde(with = "crate::duration::text")]
    pub hook_timeout: Duration,
    /// Questions to each of the host's hooks that have no answer yet; what is above is refused. Default: 1024. Limits: 1 to
    /// 1,000,000.
    pub max_pending_hooks: u32,
    /// Time for a service to begin its response once the request is sent. Default: 5 min. Limits: 1 ms to 365 days,
    /// or never. There is none for the response to end: only silence ends it, after `idle_timeout`.
    pub response_timeout: TimeLimit,
    /// Time between two pieces of a body, and without a byte either way after an upgrade. Default: 1 h. Limits: 1 ms to 365
    /// days, or never.
    pub idle_timeout: TimeLimit,
    /// Time for the second side of what was upgraded to finish after the first has. Default: 60 s. Limits: zero to 365 days, or
    /// never.
    pub half_close_timeout: TimeLimit,
    /// Bytes that what was upgraded holds for each direction. Default: 64 KiB. Limits: 1 KiB to 16 MiB.
    pub buffer_size: u32,
    /// Pause of accepting when the process has no file descriptor or no memory left. Default: 100 ms. Limits: 1 ms to 365 days.
    #[serde(with = "crate::duration::text")]
    pub accept_pause: Duration,
    /// Time that a drain gives requests to be answered before it cuts them. Default: 30 s. Limits: zero to 365 days, or never.
    pub drain_timeout: TimeLimit,
    /// Sockets to services; its `connect_timeout` bounds each dial.
    pub tcp: TcpConfig,
}

/// Where a request goes. What is set must all be true of it; what is not set does not matter.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct ProxyRoute {
    /// The host that it is for, in lower case and without a port: `shop.example`, or `*.shop.example` for everything
    /// below it but not for itself.
    #[serde(default)]
    pub host: Option<String>,
    /// How its path begins: `/lab` for itself and everything below it, `/lab/` for what is below it alone.
    #[serde(default)]
    pub path: Option<String>,
    /// A field that it has.
    #[serde(default)]
    pub header: Option<HeaderRule>,
    /// The service. Required.
    pub target: Address,
    /// Whether the service sees the path without `path`. Default: false.
    #[serde(default)]
    pub strip_path: bool,
}

/// What decides where no route holds.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum ProxyRouting {
    /// Nothing: there is none (404).
    #[default]
    Routes,
    /// The paths of a Kubernetes cluster, of which the first segment names the cluster and is left out:
    /// `/<cluster>/api/v1/namespaces/<namespace>/services/https:<service>:<port>/proxy-service/<path>` goes to
    /// `<service>.<namespace>.svc`, anything else to `kubernetes.default.svc`, both over TLS.
    Kubernetes,
}

impl Default for MemoryProxyConfig {
    fn default() -> Self {
        Self {
            routes: Vec::new(),
            routing: ProxyRouting::Routes,
            trust_forwarded: false,
            max_connections: 1000,
            max_streams: 100,
            max_head: 64 << 10,
            max_fields: 100,
            head_timeout: Duration::from_secs(60),
            handshake_timeout: Duration::from_secs(10),
            hook_timeout: Duration::from_secs(10),
            max_pending_hooks: 1024,
            response_timeout: TimeLimit::secs(300),
            idle_timeout: TimeLimit::secs(3600),
            half_close_timeout: TimeLimit::secs(60),
            buffer_size: 64 << 10,
            accept_pause: Duration::from_millis(100),
            drain_timeout: TimeLimit::secs(30),
            tcp: TcpConfig::default(),
        }
    }
}

impl Config for MemoryProxyConfig {
    fn validate(&self) -> Result<(), ConnectionError> {
        check::number("routes", self.routes.len(), 0..=1024)?;
        for (number, route) in self.routes.iter().enumerate() {
            check::within(format!("routes[{number}]"), route.validate())?;
        }
        check::number("max_connections", self.max_connections, 1..=1_000_000)?;
        check::number("max_streams", self.max_streams, 1..=65535)?;
        check::number("max_head", self.max_head, 8 << 10..=1 << 20)?;
        check::number("max_fields", self.max_fields, 1..=1000)?;
        check::duration("head_timeout", self.head_timeout, SHORTEST..=LONGEST)?;
        check::duration("handshake_timeout", self.handshake_timeout, SHORTEST..=LONGEST)?;
        check::duration("hook_timeout", self.hook_timeout, SHORTEST..=LONGEST)?;
        check::number("max_pending_hooks", self.max_pending_hooks, 1..=1_000_000)?;
        check::limit("response_timeout", self.response_timeout, SHORTEST..=LONGEST)?;
        check::limit("idle_timeout", self.idle_timeout, SHORTEST..=LONGEST)?;
        check::limit("half_close_timeout", self.half_close_timeout, Duration::ZERO..=LONGEST)?;
        check::number("buffer_size", self.buffer_size, 1 << 10..=16 << 20)?;
        check::duration("accept_pause", self.accept_pause, SHORTEST..=LONGEST)?;
        check::limit("drain_timeout", self.drain_timeout, Duration::ZERO..=LONGEST)?;
        check::within("tcp", self.tcp.validate())
    }
}

impl ProxyRoute {
    fn validate(&self) -> Result<(), ConnectionError> {
        check_rule(self.host.as_deref(), self.path.as_deref(), self.header.as_ref())?;
        check_proxy_target("target", &self.target)
    }
}

/// Whether requests can be passed on to `target`.
pub(crate) fn check_proxy_target(
    field: &'static str,
    target: &Address,
) -> Result<(), ConnectionError> {
    match target {
        Address::Udp(_) | Address::UdpName { .. } | Address::Tunnel(_) => {
            check::refuse(field, format!("{target}: must be tls://, tcp://, unix: or mem:"))
        }
        Address::Tcp(_)
        | Address::TcpName { .. }
        | Address::Tls(_)
        | Address::TlsName { .. }
        | Address::Unix(_)
        | Address::Abstract(_)
        | Address::Mem(_) => Ok(()),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_route_says_what_it_is_for_and_where_it_leads() {
        let config = MemoryProxyConfig::from_json(
            r#"{"routes": [{"path": "/api", "target": "tls://api.internal:443", "strip_path": true}],
                "routing": "kubernetes", "trust_forwarded": true}"#,
        )
        .unwrap();
        assert_eq!(config.routes[0].target.to_string(), "tls://api.internal:443");
        assert_eq!(config.routing, ProxyRouting::Kubernetes);
        assert_eq!(MemoryProxyConfig::from_json(&config.to_json()).unwrap(), config);
        for (document, field) in [
            (r#"{"routes": [{}]}"#, "routes[0]"),
            (r#"{"routes": [{"target": "udp://127.0.0.1:1"}]}"#, "routes[0].target"),
            (r#"{"routes": [{"target": "tunnel:c1"}]}"#, "routes[0].target"),
            (r#"{"routes": [{"target": "mem:x", "path": "x"}]}"#, "routes[0].path"),
            (r#"{"routes": [{"target": "mem:x", "host": "X"}]}"#, "routes[0].host"),
            (r#"{"max_head": 1}"#, "max_head"),
            (r#"{"hook_timeout": "0s"}"#, "hook_timeout"),
            (r#"{"max_pending_hooks": 0}"#, "max_pending_hooks"),
            (r#"{"tcp": {"backlog": 0}}"#, "tcp.backlog"),
        ] {
            let error = MemoryProxyConfig::from_json(document).unwrap_err().to_string();
            assert!(error.starts_with(field), "{document}: {error}");
        }
    }
}
