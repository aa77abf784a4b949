//! Which requests of HTTP go to which cluster, and how much they may be.

use super::{
    Config, TimeLimit,
    check::{self, LONGEST, SHORTEST},
};
use crate::{
    address::{Address, is_cluster_name},
    error::ConnectionError,
};
use serde::{Deserialize, Serialize};
use std::time::Duration;

/// How a hub serves users who speak HTTP.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct HttpConfig {
    /// Which request goes where: the first that holds for it. Default: none; then nothing can be listened on. Limits: at most 1024.
    pub routes: Vec<HttpRoute>,
    /// Connections of users at one time; the next wait in the backlog. Default: 10,000. Limits: 1 to 1,000,000.
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
    /// Time for a service to begin its response once the request is sent. Default: 5 min. Limits: 1 ms to 365 days,
    /// or never. There is none for the response to end: only silence ends it, after `idle_timeout`.
    pub response_timeout: TimeLimit,
}

/// Which cluster a request goes to. What is set must all be true of it; what is not set does not matter.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct HttpRoute {
    /// The host that it is for, in lower case and without a port: `shop.example`, or `*.shop.example` for everything
    /// below it but not for itself.
    pub host: Option<String>,
    /// How its path begins: `/lab` for itself and everything below it, `/lab/` for what is below it alone.
    pub path: Option<String>,
    /// A field that it has.
    pub header: Option<HeaderRule>,
    /// The cluster. Either this or `cluster_from` must be set.
    pub cluster: Option<String>,
    /// What names the cluster: what stands for the `*` of `host`, the segment after a `path` that ends in `/`, or the
    /// value of a `header` whose value is not set.
    pub cluster_from: Option<ClusterFrom>,
    /// What the agent is to dial. Default: what the agent decides.
    pub target: Option<Address>,
    /// Whether the service sees the path without `path`, and without the segment that names the cluster. Default: false.
    pub strip_path: bool,
}

/// A field of a head.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct HeaderRule {
    /// Its name. Must be set.
    pub name: String,
    /// Its value, to the letter. Default: any.
    pub value: Option<String>,
}

/// What names the cluster of a request.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum ClusterFrom {
    /// What stands for the `*` of the route's host.
    Host,
    /// The segment after the route's path.
    Path,
    /// The value of the route's header.
    Header,
}

impl Default for HttpConfig {
    fn default() -> Self {
        Self {
            routes: Vec::new(),
            max_connections: 10_000,
            max_streams: 100,
            max_head: 64 << 10,
            max_fields: 100,
            head_timeout: Duration::from_secs(60),
            response_timeout: TimeLimit::secs(300),
        }
    }
}

impl Config for HttpConfig {
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
        check::limit("response_timeout", self.response_timeout, SHORTEST..=LONGEST)
    }
}

impl Config for HttpRoute {
    fn validate(&self) -> Result<(), ConnectionError> {
        check_rule(self.host.as_deref(), self.path.as_deref(), self.header.as_ref())?;
        if let Some(Address::Tunnel(_) | Address::Udp(_) | Address::UdpName { .. }) = self.target {
            return check::refuse("target", "must be a stream that is reached by an agent".into());
        }
        self.check_cluster()
    }
}

impl HttpRoute {
    fn check_cluster(&self) -> Result<(), ConnectionError> {
        let names_it = match (&self.cluster, self.cluster_from) {
            (Some(name), None) if is_cluster_name(name) => return Ok(()),
            (Some(name), None) => {
                return check::refuse("cluster", format!("must name a cluster, is {name:?}"));
            }
            (None, None) | (Some(_), Some(_)) => {
                let reason = "one of cluster and cluster_from must be set, and not both";
                return check::refuse("cluster", reason.into());
            }
            (None, Some(ClusterFrom::Host)) => {
                self.host.as_ref().is_some_and(|host| host.starts_with("*."))
            }
            (None, Some(ClusterFrom::Path)) => {
                self.path.as_ref().is_some_and(|path| path.ends_with('/'))
            }
            (None, Some(ClusterFrom::Header)) => {
                self.header.as_ref().is_some_and(|header| header.value.is_none())
            }
        };
        if names_it {
            return Ok(());
        }
        let reason =
            "needs a host that begins with *., a path that ends in /, or a header without a value";
        check::refuse("cluster_from", reason.into())
    }
}

/// Whether a request can be one that this is for.
pub(super) fn check_rule(
    host: Option<&str>,
    path: Option<&str>,
    header: Option<&HeaderRule>,
) -> Result<(), ConnectionError> {
    if let Some(host) = host {
        check_host(host)?;
    }
    if let Some(path) = path
        && !is_path(path)
    {
        return check::refuse("path", format!("must be a plain path from / on, is {path:?}"));
    }
    if let Some(header) = header
        && !is_field_name(&header.name)
    {
        let reason = format!("must be a field's name, is {:?}", header.name);
        return check::refuse("header.name", reason);
    }
    Ok(())
}

fn check_host(host: &str) -> Result<(), ConnectionError> {
    let name = host.strip_prefix("*.").unwrap_or(host);
    let is_plain = |c: char| c.is_ascii_lowercase() || c.is_ascii_digit() || "-_.:[]".contains(c);
    if !name.is_empty() && name.len() <= 253 && name.chars().all(is_plain) {
        return Ok(());
    }
    let reason = "must be a host in lower case, with or without *. before it";
    check::refuse("host", format!("{reason}, is {host:?}"))
}

fn is_path(path: &str) -> bool {
    let is_plain = |c: char| c.is_ascii_alphanumeric() || "/-_.~!$&'()*+,;=:@".contains(c);
    let has_dots = path.split('/').any(|segment| matches!(segment, "." | ".."));
    path.starts_with('/') && path.len() <= 1024 && path.chars().all(is_plain) && !has_dots
}

fn is_field_name(name: &str) -> bool {
    http::HeaderName::from_lowercase(name.to_ascii_lowercase().as_bytes()).is_ok()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn complaint(route: &str) -> String {
        let config = HttpConfig::from_json(&format!(r#"{{"routes": [{route}]}}"#));
        config.map_or_else(|error| error.to_string(), |_| String::new())
    }

    #[test]
    fn a_route_names_its_cluster_in_one_way() {
        for route in [
            r#"{"cluster": "c1"}"#,
            r#"{"host": "*.hub.example", "cluster_from": "host"}"#,
            r#"{"path": "/clusters/", "cluster_from": "path", "strip_path": true}"#,
            r#"{"header": {"name": "X-Cluster"}, "cluster_from": "header"}"#,
            r#"{"host": "[::1]", "path": "/lab", "cluster": "c1", "target": "tcp://10.0.0.1:80"}"#,
        ] {
            assert_eq!(complaint(route), "", "{route}");
        }
        for (route, field) in [
            (r#"{}"#, "routes[0].cluster:"),
            (r#"{"cluster": "c1", "cluster_from": "path"}"#, "routes[0].cluster:"),
            (r#"{"cluster": "a/b"}"#, "routes[0].cluster:"),
            (r#"{"path": "/x", "cluster_from": "path"}"#, "routes[0].cluster_from:"),
            (r#"{"host": "x", "cluster_from": "host"}"#, "routes[0].cluster_from:"),
            (
                r#"{"header": {"name": "x", "value": "y"}, "cluster_from": "header"}"#,
                "routes[0].cluster_from:",
            ),
            (r#"{"cluster": "c1", "host": "Upper.example"}"#, "routes[0].host:"),
            (r#"{"cluster": "c1", "path": "lab"}"#, "routes[0].path:"),
            (r#"{"cluster": "c1", "path": "/a/../b"}"#, "routes[0].path:"),
            (r#"{"cluster": "c1", "path": "/a%2fb"}"#, "routes[0].path:"),
            (r#"{"cluster": "c1", "header": {"name": "a b"}}"#, "routes[0].header.name:"),
            (r#"{"cluster": "c1", "target": "tunnel:x"}"#, "routes[0].target:"),
        ] {
            let error = complaint(route);
            assert!(error.starts_with(field), "{route}: {error}");
        }
    }
}
