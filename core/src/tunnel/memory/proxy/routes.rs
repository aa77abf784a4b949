//! Where the configuration sends a request. No I/O.

use super::hooks::ProxyTarget;
use crate::{
    address::Address,
    config::{MemoryProxyConfig, ProxyRoute, ProxyRouting},
    tunnel::http::{Asked, Rule},
};

/// What a cluster's own interface is called in it.
const KUBERNETES: &str = "kubernetes.default.svc";
const HTTPS: u16 = 443;

/// The service that the configuration names for a request.
pub(super) fn route(config: &MemoryProxyConfig, asked: Asked<'_>) -> Option<ProxyTarget> {
    let listed = config.routes.iter().find_map(|route| follow(route, asked));
    listed.or_else(|| match config.routing {
        ProxyRouting::Routes => None,
        ProxyRouting::Kubernetes => in_kubernetes(asked),
    })
}

fn follow(route: &ProxyRoute, asked: Asked<'_>) -> Option<ProxyTarget> {
    let rule = Rule {
        host: route.host.as_deref(),
        path: route.path.as_deref(),
        header: route.header.as_ref(),
    };
    let matched = rule.matched(asked)?;
    let path = route.strip_path.then(|| asked.leading_to(matched.rest).into());
    Some(ProxyTarget { path, ..ProxyTarget::new(route.target.clone()) })
}

/// A service behind a cluster's interface, or the interface itself.
fn in_kubernetes(asked: Asked<'_>) -> Option<ProxyTarget> {
    let (_cluster, below) = asked.path.strip_prefix('/')?.split_once('/').unwrap_or_default();
    let (host, port, path) = match service(below) {
        Some(found) => found?,
        None => (KUBERNETES.to_owned(), HTTPS, below),
    };
    let address = Address::TlsName { host: host.into(), port };
    let path = Some(asked.leading_to(path).into());
    Some(ProxyTarget { path, ..ProxyTarget::new(address) })
}

/// `None` where the path names no service, `Some(None)` where it names one that cannot be.
#[expect(clippy::option_option, reason = "no service and one that cannot be are two things")]
fn service(below: &str) -> Option<Option<(String, u16, &str)>> {
    let rest = below.strip_prefix("api/v1/namespaces/")?;
    let (namespace, rest) = rest.split_once('/')?;
    let (named, rest) = rest.strip_prefix("services/")?.split_once('/')?;
    let path = rest.strip_prefix("proxy-service/")?;
    let found = || {
        let (name, port) = named.strip_prefix("https:")?.split_once(':')?;
        let port =
            if port.is_empty() { HTTPS } else { port.parse().ok().filter(|port| *port > 0)? };
        let is_label = |name: &str| {
            let is_plain = |b: u8| b.is_ascii_lowercase() || b.is_ascii_digit() || b == b'-';
            (1..=63).contains(&name.len()) && name.bytes().all(is_plain)
        };
        let host =
            (is_label(name) && is_label(namespace)).then(|| format!("{name}.{namespace}.svc"));
        Some((host?, port, path))
    };
    Some(found())
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::config::Config;
    use http::HeaderMap;
    use proptest::prelude::*;

    fn leads(config: &str, host: &str, path: &str) -> Option<(String, Option<String>)> {
        let config = MemoryProxyConfig::from_json(config).unwrap();
        let (path, query) = match path.split_once('?') {
            Some((path, query)) => (path, Some(query)),
            None => (path, None),
        };
        let fields = HeaderMap::new();
        let target = route(&config, Asked { host: Some(host), path, query, fields: &fields })?;
        Some((target.address.to_string(), target.path.map(String::from)))
    }

    fn to(address: &str, path: Option<&str>) -> Option<(String, Option<String>)> {
        Some((address.into(), path.map(str::to_owned)))
    }

    #[test]
    fn the_first_route_that_holds_counts_and_a_path_is_left_out_where_it_says_so() {
        let config = r#"{"routes": [
            {"host": "a.example", "path": "/api", "target": "mem:api", "strip_path": true},
            {"path": "/api", "target": "tcp://10.0.0.1:80"}]}"#;
        assert_eq!(leads(config, "a.example", "/api/x?y"), to("mem:api", Some("/x?y")));
        assert_eq!(leads(config, "b.example", "/api/x?y"), to("tcp://10.0.0.1:80", None));
        assert_eq!(leads(config, "a.example", "/apis"), None);
    }

    #[test]
    fn paths_of_kubernetes_lead_to_its_services_and_to_itself() {
        let config = r#"{"routing": "kubernetes"}"#;
        let service = "/c1/api/v1/namespaces/shop/services/https:web:8443/proxy-service/a/b?c=d";
        assert_eq!(leads(config, "x", service), to("tls://web.shop.svc:8443", Some("/a/b?c=d")));
        let service = "/c1/api/v1/namespaces/shop/services/https:web:/proxy-service/";
        assert_eq!(leads(config, "x", service), to("tls://web.shop.svc:443", Some("/")));
        for (asked, seen) in [
            ("/c1/api/v1/pods?watch=1", "/api/v1/pods?watch=1"),
            (
                "/c1/api/v1/namespaces/shop/services/https:web:1/proxy/x",
                "/api/v1/namespaces/shop/services/https:web:1/proxy/x",
            ),
            ("/c1/", "/"),
            ("/c1", "/"),
            ("/c1/a%2Fb", "/a%2Fb"),
        ] {
            assert_eq!(
                leads(config, "x", asked),
                to("tls://kubernetes.default.svc:443", Some(seen))
            );
        }
        for named in [
            "http:web:80",
            "https:web:http",
            "https:web:0",
            "https:web:70000",
            "web",
            "https:we.b:1",
            "https::1",
        ] {
            let path = format!("/c1/api/v1/namespaces/shop/services/{named}/proxy-service/x");
            assert_eq!(leads(config, "x", &path), None, "{named}");
        }
    }

    proptest! {
        #[test]
        fn a_service_is_named_by_labels_alone(path in "/c/api/v1/namespaces/[ -~]{0,12}/services/https:[ -~]{0,12}/proxy-service/x") {
            let config = r#"{"routing": "kubernetes"}"#;
            if let Some((address, _)) = leads(config, "x", &path) {
                let host = address.strip_prefix("tls://").unwrap().rsplit_once(':').unwrap().0;
                prop_assert!(host.ends_with(".svc"), "{}", host);
                prop_assert!(host.bytes().all(|b| b.is_ascii_alphanumeric() || b == b'-' || b == b'.'));
            }
        }
    }
}
