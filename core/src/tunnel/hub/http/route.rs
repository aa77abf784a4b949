//! Decides which cluster a request goes to, and with which path. No I/O.

use crate::{
    address::{Address, is_cluster_name},
    config::{ClusterFrom, HttpRoute},
    tunnel::http::{Asked, Matched, Rule},
};

/// Where a request goes.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Destination {
    pub(super) cluster: Box<str>,
    pub(super) target: Option<Address>,
    /// The path and the query that the service sees.
    pub(super) path: String,
}

/// The first route that holds for the request.
pub(super) fn route(routes: &[HttpRoute], asked: Asked<'_>) -> Option<Destination> {
    routes.iter().find_map(|route| follow(route, asked))
}

fn follow(route: &HttpRoute, asked: Asked<'_>) -> Option<Destination> {
    let rule = Rule {
        host: route.host.as_deref(),
        path: route.path.as_deref(),
        header: route.header.as_ref(),
    };
    let Matched { label, mut rest, value } = rule.matched(asked)?;
    let cluster = match (&route.cluster, route.cluster_from) {
        (Some(cluster), _) => cluster.as_str(),
        (None, Some(ClusterFrom::Host)) => label,
        (None, Some(ClusterFrom::Header)) => value,
        (None, Some(ClusterFrom::Path)) => {
            let (name, after) = rest.split_at(rest.find('/').unwrap_or(rest.len()));
            rest = after;
            name
        }
        (None, None) => return None,
    };
    if !is_cluster_name(cluster) {
        return None;
    }
    let path = if route.strip_path { rest } else { asked.path };
    Some(Destination {
        cluster: cluster.into(),
        target: route.target.clone(),
        path: asked.leading_to(path),
    })
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::config::{Config, HttpConfig};
    use ::http::HeaderMap;
    use proptest::prelude::*;

    fn routes(json: &str) -> Vec<HttpRoute> {
        HttpConfig::from_json(&format!(r#"{{"routes": {json}}}"#)).unwrap().routes
    }

    fn asked<'a>(host: &'a str, path: &'a str, fields: &'a HeaderMap) -> Asked<'a> {
        let (path, query) = match path.split_once('?') {
            Some((path, query)) => (path, Some(query)),
            None => (path, None),
        };
        Asked { host: Some(host), path, query, fields }
    }

    fn leads(routes: &[HttpRoute], host: &str, path: &str) -> Option<(String, String)> {
        let fields = HeaderMap::new();
        let to = route(routes, asked(host, path, &fields))?;
        Some((to.cluster.into(), to.path))
    }

    fn to(cluster: &str, path: &str) -> Option<(String, String)> {
        Some((cluster.into(), path.into()))
    }

    #[test]
    fn the_first_route_that_holds_counts() {
        let routes = routes(
            r#"[{"host": "a.example", "path": "/lab", "cluster": "lab"},
                {"host": "*.example", "cluster": "rest"}, {"path": "/x", "cluster": "x"}]"#,
        );
        assert_eq!(leads(&routes, "a.example", "/lab/1?q=2"), to("lab", "/lab/1?q=2"));
        assert_eq!(leads(&routes, "a.example", "/labs"), to("rest", "/labs"));
        assert_eq!(leads(&routes, "b.a.example", "/"), to("rest", "/"));
        assert_eq!(leads(&routes, "example", "/x"), to("x", "/x"));
        assert_eq!(leads(&routes, "example", "/y"), None);
    }

    #[test]
    fn a_path_is_left_out_on_the_border_of_a_segment() {
        let plain = routes(r#"[{"path": "/lab", "cluster": "c1", "strip_path": true}]"#);
        assert_eq!(leads(&plain, "x", "/lab"), to("c1", "/"));
        assert_eq!(leads(&plain, "x", "/lab?a=b"), to("c1", "/?a=b"));
        assert_eq!(leads(&plain, "x", "/lab/%2e%2E/x"), to("c1", "/%2e%2E/x"));
        assert_eq!(leads(&plain, "x", "/lab%2fx"), None);
        let below = routes(r#"[{"path": "/lab/", "cluster": "c1", "strip_path": true}]"#);
        assert_eq!(leads(&below, "x", "/lab/x/"), to("c1", "/x/"));
        assert_eq!(leads(&below, "x", "/lab"), None);
    }

    #[test]
    fn a_request_can_name_its_cluster() {
        let by_path = routes(r#"[{"path": "/", "cluster_from": "path", "strip_path": true}]"#);
        assert_eq!(leads(&by_path, "x", "/c1/a//b?c"), to("c1", "/a//b?c"));
        assert_eq!(leads(&by_path, "x", "/c1"), to("c1", "/"));
        for path in ["/", "//c1/", "/c%31/", "/.c1/", "/a@b/", "/a\\b/"] {
            assert_eq!(leads(&by_path, "x", path), None, "{path}");
        }
        let kept = routes(r#"[{"path": "/k/", "cluster_from": "path"}]"#);
        assert_eq!(leads(&kept, "x", "/k/c1/a"), to("c1", "/k/c1/a"));
        let by_host = routes(r#"[{"host": "*.hub.example", "cluster_from": "host"}]"#);
        assert_eq!(leads(&by_host, "c1.hub.example", "/a"), to("c1", "/a"));
        assert_eq!(leads(&by_host, "hub.example", "/a"), None);
    }

    #[test]
    fn a_field_that_is_there_twice_is_no_reason_to_go_anywhere() {
        let routes = routes(
            r#"[{"header": {"name": "X-Env", "value": "lab"}, "cluster": "lab"},
                {"header": {"name": "x-cluster"}, "cluster_from": "header"}]"#,
        );
        let mut fields = HeaderMap::new();
        fields.insert("x-env", "lab".parse().unwrap());
        let of = |fields: &HeaderMap| {
            route(&routes, asked("x", "/", fields)).map(|to| to.cluster.to_string())
        };
        assert_eq!(of(&fields).as_deref(), Some("lab"));
        fields.append("x-env", "lab".parse().unwrap());
        assert_eq!(of(&fields), None);
        fields.insert("x-cluster", "c2".parse().unwrap());
        assert_eq!(of(&fields).as_deref(), Some("c2"));
        fields.insert("x-cluster", "c/2".parse().unwrap());
        assert_eq!(of(&fields), None);
    }

    proptest! {
        #[test]
        fn what_comes_out_is_a_cluster_and_a_path_from_the_root(
            path in "/[ -~]{0,30}", strip: bool,
        ) {
            let routes = routes(&format!(
                r#"[{{"path": "/", "cluster_from": "path", "strip_path": {strip}}}]"#
            ));
            let fields = HeaderMap::new();
            if let Some(to) = route(&routes, asked("x", &path, &fields)) {
                prop_assert!(is_cluster_name(&to.cluster));
                prop_assert!(to.path.starts_with('/'));
                prop_assert!(path.ends_with(to.path.trim_start_matches('/')));
            }
        }
    }
}
