//! Decides which backend a connection goes to, by what is known of it.

use crate::{
    config::{RouteConfig, TcpManagerConfig},
    probe::TcpProbedProtocol,
};
use std::{collections::BTreeMap, net::IpAddr};

/// The routes of a manager, in their order.
#[derive(Clone, Debug)]
pub(super) struct RouteTable {
    routes: Vec<RouteConfig>,
    /// Of the listeners that have one of their own.
    defaults: BTreeMap<String, String>,
    default: Option<String>,
}

/// What is known of a connection.
#[derive(Clone, Copy, Debug)]
pub(super) struct Facts<'a> {
    /// The name of its listener.
    pub(super) listener: &'a str,
    /// Where it comes from, where that is a host.
    pub(super) source: Option<IpAddr>,
    /// What it speaks, where that could be told.
    pub(super) protocol: Option<&'a TcpProbedProtocol>,
}

impl RouteTable {
    pub(super) fn new(config: &TcpManagerConfig) -> Self {
        let own_default = |name: &String| config.listeners[name].default_backend.clone();
        Self {
            routes: config.routes.clone(),
            defaults: config
                .listeners
                .keys()
                .filter_map(|name| Some((name.clone(), own_default(name)?)))
                .collect(),
            default: config.default_backend.clone(),
        }
    }

    /// Whether what the connection speaks could change where it goes. The protocol in `facts` does not matter.
    pub(super) fn needs_probe(&self, facts: Facts<'_>) -> bool {
        let open = self.routes.iter().find(|route| comes_by(route, facts));
        open.is_some_and(RouteConfig::needs_probe)
    }

    /// The backend of the first route that holds, else the default.
    pub(super) fn backend(&self, facts: Facts<'_>) -> Option<&str> {
        let holds = |route: &&RouteConfig| comes_by(route, facts) && speaks(route, facts.protocol);
        let route = self.routes.iter().find(holds).map(|route| route.backend.as_str());
        let default = self.defaults.get(facts.listener).or(self.default.as_ref());
        route.or_else(|| default.map(String::as_str))
    }
}

/// Whether a route holds as far as listener and source go.
fn comes_by(route: &RouteConfig, facts: Facts<'_>) -> bool {
    route.listener.as_ref().is_none_or(|name| name == facts.listener)
        && route.source.is_none_or(|prefix| facts.source.is_some_and(|ip| prefix.contains(ip)))
}

/// Whether a route holds as far as the first bytes go.
fn speaks(route: &RouteConfig, protocol: Option<&TcpProbedProtocol>) -> bool {
    let Some(protocol) = protocol else { return !route.needs_probe() };
    route.protocol.as_ref().is_none_or(|name| name == protocol.name())
        && route.host.as_ref().is_none_or(|wanted| asks_for(protocol, wanted))
        && route
            .alpn
            .as_ref()
            .is_none_or(|wanted| protocol.alpn().iter().any(|name| **name == **wanted))
}

fn asks_for(protocol: &TcpProbedProtocol, wanted: &str) -> bool {
    let Some(host) = protocol.host() else { return false };
    match wanted.strip_prefix('*') {
        // The rest starts with its dot, so that another name with the same end is not meant.
        Some(end) => host.len() > end.len() && host.ends_with(end),
        None => host == wanted,
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::config::Config;

    const DOCUMENT: &str = r#"{
        "listeners": {
            "in": {"address": "mem:in"},
            "own": {"address": "mem:own", "default_backend": "d"}
        },
        "routes": [
            {"listener": "own", "source": "10.0.0.0/8", "backend": "a"},
            {"host": "shop.example", "alpn": "h2", "backend": "a"},
            {"host": "shop.example", "backend": "b"},
            {"protocol": "tls", "host": "*.shop.example", "backend": "c"},
            {"protocol": "ssh", "source": "10.0.0.0/8", "backend": "c"},
            {"source": "192.0.2.0/24", "backend": "b"},
            {"protocol": "redis", "backend": "a"}
        ],
        "default_backend": "z",
        "backends": {
            "a": {"endpoints": [{"address": "mem:a"}]}, "b": {"endpoints": [{"address": "mem:b"}]},
            "c": {"endpoints": [{"address": "mem:c"}]}, "d": {"endpoints": [{"address": "mem:d"}]},
            "z": {"endpoints": [{"address": "mem:z"}]}
        }
    }"#;

    fn table() -> RouteTable {
        RouteTable::new(&TcpManagerConfig::from_json(DOCUMENT).unwrap())
    }

    fn facts<'a>(
        listener: &'a str,
        source: &str,
        protocol: Option<&'a TcpProbedProtocol>,
    ) -> Facts<'a> {
        Facts { listener, source: source.parse().ok(), protocol }
    }

    fn http(host: &str) -> TcpProbedProtocol {
        TcpProbedProtocol::Http1 { host: Some(host.into()) }
    }

    fn tls(host: &str, alpn: &[&str]) -> TcpProbedProtocol {
        let alpn = alpn.iter().map(|name| (*name).into()).collect();
        TcpProbedProtocol::Tls(crate::probe::TlsHello {
            server_name: Some(host.into()),
            alpn,
            ..Default::default()
        })
    }

    #[test]
    fn the_first_route_that_holds_wins() {
        let table = table();
        for (protocol, backend) in [
            (Some(tls("shop.example", &["h2", "http/1.1"])), "a"),
            (Some(tls("shop.example", &["http/1.1"])), "b"),
            (Some(http("shop.example")), "b"),
            (Some(tls("a.shop.example", &[])), "c"),
            (Some(tls("a.b.shop.example", &[])), "c"),
            (Some(http("a.shop.example")), "z"),
            (Some(tls("ashop.example", &[])), "z"),
            (Some(tls("shop.example.com", &[])), "z"),
            (Some(TcpProbedProtocol::Redis), "a"),
            (Some(TcpProbedProtocol::Ssh), "z"),
            (None, "z"),
        ] {
            assert_eq!(table.backend(facts("in", "", protocol.as_ref())), Some(backend));
        }
    }

    #[test]
    fn sources_and_listeners_count() {
        let table = table();
        let ssh = TcpProbedProtocol::Ssh;
        assert_eq!(table.backend(facts("in", "10.1.1.1", Some(&ssh))), Some("c"));
        assert_eq!(table.backend(facts("own", "10.1.1.1", Some(&ssh))), Some("a"));
        assert_eq!(table.backend(facts("in", "::ffff:192.0.2.7", None)), Some("b"));
        assert_eq!(table.backend(facts("own", "198.51.100.1", None)), Some("d"));
    }

    #[test]
    fn bytes_are_waited_for_only_where_they_could_change_the_answer() {
        let table = table();
        assert!(table.needs_probe(facts("in", "", None)));
        assert!(!table.needs_probe(facts("own", "10.1.1.1", None)));
        let by_source = TcpManagerConfig::from_json(
            r#"{"routes": [{"source": "10.0.0.0/8", "backend": "a"}, {"protocol": "ssh", "backend": "a"}],
                "backends": {"a": {"endpoints": [{"address": "mem:a"}]}}}"#,
        );
        let table = RouteTable::new(&by_source.unwrap());
        assert!(!table.needs_probe(facts("in", "10.1.1.1", None)));
        assert!(table.needs_probe(facts("in", "11.1.1.1", None)));
        assert_eq!(table.backend(facts("in", "11.1.1.1", None)), None);
    }
}
