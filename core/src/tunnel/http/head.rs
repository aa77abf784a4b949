//! What of a head goes on and what does not, in either direction. No I/O.

use super::fault::Fault;
use http::{
    HeaderMap, HeaderName, HeaderValue, Method, Uri, Version,
    header::{
        CONNECTION, CONTENT_LENGTH, EXPECT, HOST, PROXY_AUTHENTICATE, PROXY_AUTHORIZATION, TE,
        TRANSFER_ENCODING, UPGRADE, VIA,
    },
    request,
};

const KEEP_ALIVE: HeaderName = HeaderName::from_static("keep-alive");
const PROXY_CONNECTION: HeaderName = HeaderName::from_static("proxy-connection");
const HTTP2_SETTINGS: HeaderName = HeaderName::from_static("http2-settings");
const X_FORWARDED_FOR: HeaderName = HeaderName::from_static("x-forwarded-for");
const X_FORWARDED_HOST: HeaderName = HeaderName::from_static("x-forwarded-host");
const X_FORWARDED_PROTO: HeaderName = HeaderName::from_static("x-forwarded-proto");
const X_FORWARDED_USER: HeaderName = HeaderName::from_static("x-forwarded-user");
const VIA_US: &str = "trunkline";

/// Names, or what names begin with, that say who somebody is: nobody but who sets them here may say so. Services that
/// know no difference between `-` and `_` are thought of.
const IDENTITY: [&str; 8] = [
    "forwarded",
    "impersonate-",
    "x-forwarded-",
    "x-real-ip",
    "x-remote-",
    "x-client-cert",
    "ssl-client-",
    "x-ssl-client-",
];
/// Those of them by which a proxy says what it knows of its client.
const FORWARDED: [&str; 2] = ["forwarded", "x-forwarded-"];

/// What is known of whom a request is for.
#[derive(Clone, Copy, Debug)]
pub(in crate::tunnel) struct Known<'a> {
    /// Its address, without a port.
    pub(in crate::tunnel) source: Option<&'a str>,
    pub(in crate::tunnel) is_secured: bool,
    pub(in crate::tunnel) user: Option<&'a str>,
    /// What the client says of whom it speaks for is true: it stays, and nothing is said instead.
    pub(in crate::tunnel) is_trusted: bool,
}

/// The host of a request, checked: in lower case, without a port.
pub(in crate::tunnel) fn host(head: &request::Parts) -> Result<Option<Box<str>>, Fault> {
    let mut fields = head.headers.get_all(HOST).iter();
    let field = match (fields.next(), fields.next()) {
        (Some(value), None) => Some(value.to_str().map_err(|_| Fault::Host)?),
        (None, _) => None,
        (Some(_), Some(_)) => return Err(Fault::Host),
    };
    let target = head.uri.authority().map(http::uri::Authority::as_str);
    let named = match (target, field) {
        (Some(target), Some(field)) if !target.eq_ignore_ascii_case(field) => {
            return Err(Fault::Host);
        }
        (Some(target), _) => Some(target),
        (None, field) => field,
    };
    named.map(plain_host).transpose()
}

fn plain_host(named: &str) -> Result<Box<str>, Fault> {
    let (host, port) = match named.rsplit_once(':') {
        Some((host, port)) if !port.ends_with(']') => (host, port),
        _ => (named, ""),
    };
    let is_plain = |c: char| c.is_ascii_alphanumeric() || "-_.:[]".contains(c);
    let is_bracketed = host.starts_with('[') && host.ends_with(']');
    let is_name = !host.contains([':', '[', ']']);
    if host.is_empty()
        || !host.chars().all(is_plain)
        || !(is_bracketed || is_name)
        || !port.bytes().all(|b| b.is_ascii_digit())
    {
        return Err(Fault::Host);
    }
    Ok(host.strip_suffix('.').unwrap_or(host).to_ascii_lowercase().into())
}

/// The path of a request, which means the same to whoever reads it.
pub(in crate::tunnel) fn path<'a>(method: &Method, uri: &'a Uri) -> Result<&'a str, Fault> {
    if *method == Method::CONNECT {
        return Err(Fault::Connect);
    }
    let path = uri.path();
    let is_asterisk = *method == Method::OPTIONS && path == "*";
    if is_asterisk || (path.starts_with('/') && !path.contains('\\') && !has_dots(path)) {
        return Ok(path);
    }
    Err(Fault::Path)
}

/// Whether a segment is `.` or `..`, written plainly or not.
fn has_dots(path: &str) -> bool {
    let lower = path.to_ascii_lowercase().replace("%2e", ".");
    // Some take an encoded slash or backslash for a border, and some what follows a semicolon for no part of it.
    let plain = lower.replace("%2f", "/").replace("%5c", "/");
    plain.split('/').any(|segment| matches!(segment.split(';').next(), Some("." | "..")))
}

/// The protocol that a request asks for, where it may be given another.
pub(in crate::tunnel) fn upgrade(head: &request::Parts) -> Option<HeaderValue> {
    if head.version != Version::HTTP_11 || !names(&head.headers, "upgrade") {
        return None;
    }
    let mut all = head.headers.get_all(UPGRADE).iter();
    let (value, None) = (all.next()?, all.next()) else { return None };
    // HTTP/2 is agreed on in TLS or spoken at once; it is spoken with this hub and not with the service.
    let is_h2c = value.to_str().ok()?.split(',').any(|name| name.trim().starts_with("h2c"));
    (!is_h2c).then(|| value.clone())
}

/// Makes a user's head into that for the service.
pub(in crate::tunnel) fn to_service(
    head: &mut request::Parts,
    host: Option<&str>,
    upgrade: Option<&HeaderValue>,
    known: Known<'_>,
) {
    let authority = head.uri.authority().map(ToString::to_string);
    let fields = &mut head.headers;
    take_out_hops(fields);
    for name in [EXPECT, PROXY_AUTHORIZATION, HTTP2_SETTINGS] {
        fields.remove(name);
    }
    let is_claim = |name: &&HeaderName| {
        is_any(name, &IDENTITY) && !(known.is_trusted && is_any(name, &FORWARDED))
    };
    let claims: Vec<_> = fields.keys().filter(is_claim).cloned().collect();
    claims.iter().for_each(|name| drop(fields.remove(name)));
    // A field that names nothing is none; what is set here is well-formed.
    let mut set = |name: HeaderName, value: Option<&str>| {
        if let Some(value) = value.and_then(|value| HeaderValue::from_str(value).ok()) {
            fields.insert(name, value);
        }
    };
    if let Some(authority) = &authority {
        set(HOST, Some(authority));
    }
    if !known.is_trusted {
        set(X_FORWARDED_FOR, known.source);
        set(X_FORWARDED_HOST, host);
        set(X_FORWARDED_PROTO, Some(if known.is_secured { "https" } else { "http" }));
        set(X_FORWARDED_USER, known.user);
    }
    let version = match head.version {
        Version::HTTP_10 => "1.0",
        Version::HTTP_2 => "2",
        _ => "1.1",
    };
    if let Ok(value) = HeaderValue::try_from(format!("{version} {VIA_US}")) {
        fields.append(VIA, value);
    }
    if let Some(protocol) = upgrade {
        set_upgrade(fields, protocol);
    }
    join_cookies(fields);
    head.version = Version::HTTP_11;
}

/// Makes a service's head into that for the user. A response with both a length and an encoding is none.
pub(in crate::tunnel) fn to_user(
    fields: &mut HeaderMap,
    upgrade: Option<&HeaderValue>,
) -> Result<(), ()> {
    let has_both = fields.contains_key(TRANSFER_ENCODING) && fields.contains_key(CONTENT_LENGTH);
    if has_both {
        return Err(());
    }
    if let Some(length) = fields.get(CONTENT_LENGTH).cloned() {
        fields.insert(CONTENT_LENGTH, length);
    }
    take_out_hops(fields);
    fields.remove(PROXY_AUTHENTICATE);
    if let Some(protocol) = upgrade {
        set_upgrade(fields, protocol);
    }
    Ok(())
}

/// Fields that are meant for the next hop alone, and those that `Connection` names.
fn take_out_hops(fields: &mut HeaderMap) {
    let named: Vec<HeaderName> = tokens(fields).filter_map(|name| name.parse().ok()).collect();
    for name in named {
        // They say where a message goes and ends, which no hop may take back.
        if name != HOST && name != CONTENT_LENGTH {
            fields.remove(name);
        }
    }
    for name in [CONNECTION, KEEP_ALIVE, PROXY_CONNECTION, TE, TRANSFER_ENCODING, UPGRADE] {
        fields.remove(name);
    }
}

fn set_upgrade(fields: &mut HeaderMap, protocol: &HeaderValue) {
    fields.insert(CONNECTION, HeaderValue::from_static("upgrade"));
    fields.insert(UPGRADE, protocol.clone());
}

/// HTTP/2 may send each cookie by itself; HTTP/1.1 has one field for all.
fn join_cookies(fields: &mut HeaderMap) {
    let all: Vec<_> =
        fields.get_all(http::header::COOKIE).iter().map(HeaderValue::as_bytes).collect();
    if all.len() < 2 {
        return;
    }
    if let Ok(joined) = HeaderValue::from_bytes(&all.join(&b"; "[..])) {
        fields.insert(http::header::COOKIE, joined);
    }
}

/// Whether `Connection` names this.
fn names(fields: &HeaderMap, wanted: &str) -> bool {
    tokens(fields).any(|name| name.eq_ignore_ascii_case(wanted))
}

fn tokens(fields: &HeaderMap) -> impl Iterator<Item = &str> {
    let values = fields.get_all(CONNECTION).iter().filter_map(|value| value.to_str().ok());
    values.flat_map(|value| value.split(',')).map(str::trim).filter(|name| !name.is_empty())
}

fn is_any(name: &HeaderName, names: &[&str]) -> bool {
    let plain = name.as_str().replace('_', "-");
    names.iter().any(|known| match known.strip_suffix('-') {
        Some(_) => plain.starts_with(known),
        None => plain == *known,
    })
}

#[cfg(test)]
mod tests {
    use super::*;
    use http::Request;

    fn head(method: &str, uri: &str, fields: &[(&str, &str)]) -> request::Parts {
        let mut request = Request::builder().method(method).uri(uri);
        for (name, value) in fields {
            request = request.header(*name, *value);
        }
        request.body(()).unwrap().into_parts().0
    }

    const NOBODY: Known<'static> =
        Known { source: None, is_secured: false, user: None, is_trusted: false };

    #[test]
    fn a_host_is_one_and_well_formed_and_the_same_wherever_it_is_named() {
        let of =
            |uri, fields: &[_]| host(&head("GET", uri, fields)).map(|host| host.map(String::from));
        let some = |host: &str| Ok(Some(host.to_owned()));
        assert_eq!(of("/", &[("host", "A.Example:8080")]), some("a.example"));
        assert_eq!(of("/", &[("host", "a.example.")]), some("a.example"));
        assert_eq!(of("/", &[("host", "[::1]:80")]), some("[::1]"));
        assert_eq!(of("/", &[("host", "[::1]")]), some("[::1]"));
        assert_eq!(of("http://a.example/x", &[("host", "a.example")]), some("a.example"));
        assert_eq!(of("http://a.example/x", &[]), some("a.example"));
        assert_eq!(of("/", &[]), Ok(None));
        for fields in [
            &[("host", "a"), ("host", "a")][..],
            &[("host", "")],
            &[("host", "user@a")],
            &[("host", "a:b")],
            &[("host", "a b")],
            &[("host", "a/b")],
            &[("host", "::1")],
            &[("host", "a:80:80")],
        ] {
            assert_eq!(of("/", fields), Err(Fault::Host), "{fields:?}");
        }
        assert_eq!(of("http://a.example/x", &[("host", "b.example")]), Err(Fault::Host));
        assert_eq!(of("http://u@a.example/x", &[]), Err(Fault::Host));
    }

    #[test]
    fn a_path_that_could_be_read_in_two_ways_is_refused_and_any_other_is_kept() {
        let of = |method: &str, uri: &str| {
            let uri: Uri = uri.parse().unwrap();
            path(&method.parse().unwrap(), &uri).map(str::to_owned)
        };
        for good in ["/", "/a//b", "/a%2Fb", "/a%20b", "/..a/b..", "/a/...", "/%252e", "/a;x=.."] {
            assert_eq!(of("GET", good), Ok(good.to_owned()));
        }
        for bad in [
            "/..",
            "/a/../b",
            "/a/./b",
            "/a/.",
            "/%2e%2E/b",
            "/a/.%2e",
            "/a%2f..%2fb",
            "/a%5c..%5cb",
            "/a\\b",
            "/..;/b",
            "*",
        ] {
            assert_eq!(of("GET", bad), Err(Fault::Path), "{bad}");
        }
        assert_eq!(of("OPTIONS", "*"), Ok("*".into()));
        assert_eq!(of("CONNECT", "a.example:80"), Err(Fault::Connect));
    }

    #[test]
    fn nobody_but_the_hub_says_who_somebody_is() {
        let mut head = head(
            "GET",
            "/",
            &[
                ("host", "a"),
                ("impersonate-user", "system:admin"),
                ("Impersonate-Group", "system:masters"),
                ("impersonate-extra-x", "1"),
                ("impersonate_user", "system:admin"),
                ("x-forwarded-for", "1.2.3.4"),
                ("x_forwarded_user", "root"),
                ("x-remote-user", "root"),
                ("x-remote-extra-y", "1"),
                ("forwarded", "for=1.2.3.4"),
                ("x-real-ip", "1.2.3.4"),
                ("authorization", "Bearer of-the-service"),
                ("proxy-authorization", "Bearer of-the-hub"),
                ("x-kept", "1"),
            ],
        );
        let known = Known {
            source: Some("192.0.2.1"),
            is_secured: true,
            user: Some("alice"),
            is_trusted: false,
        };
        to_service(&mut head, Some("a"), None, known);
        let mut left: Vec<_> = head
            .headers
            .iter()
            .map(|(name, value)| format!("{name}: {}", value.to_str().unwrap()))
            .collect();
        left.sort();
        assert_eq!(
            left,
            [
                "authorization: Bearer of-the-service",
                "host: a",
                "via: 1.1 trunkline",
                "x-forwarded-for: 192.0.2.1",
                "x-forwarded-host: a",
                "x-forwarded-proto: https",
                "x-forwarded-user: alice",
                "x-kept: 1",
            ]
        );
    }

    #[test]
    fn a_proxy_that_is_trusted_says_whom_it_speaks_for_and_nothing_else_of_that() {
        let mut head = head(
            "GET",
            "/",
            &[
                ("host", "a"),
                ("x-forwarded-user", "alice"),
                ("forwarded", "for=1.2.3.4"),
                ("impersonate-user", "system:admin"),
                ("x-remote-user", "root"),
            ],
        );
        let known = Known { source: Some("192.0.2.1"), is_trusted: true, ..NOBODY };
        to_service(&mut head, Some("a"), None, known);
        let mut left: Vec<_> = head.headers.keys().map(HeaderName::as_str).collect();
        left.sort_unstable();
        assert_eq!(left, ["forwarded", "host", "via", "x-forwarded-user"]);
        assert_eq!(head.headers["x-forwarded-user"], "alice");
    }

    #[test]
    fn what_is_for_one_hop_stays_there_and_connection_cannot_take_out_what_matters() {
        let mut head = head(
            "POST",
            "/",
            &[
                ("host", "a"),
                ("connection", "close, X-Mine, host"),
                ("connection", "content-length, x-forwarded-for"),
                ("keep-alive", "timeout=5"),
                ("te", "trailers"),
                ("proxy-connection", "x"),
                ("upgrade", "h2c"),
                ("http2-settings", "x"),
                ("expect", "100-continue"),
                ("x-mine", "1"),
                ("content-length", "5"),
            ],
        );
        assert_eq!(upgrade(&head), None);
        let known = Known { source: Some("192.0.2.1"), ..NOBODY };
        to_service(&mut head, Some("a"), None, known);
        let mut left: Vec<_> = head.headers.keys().map(HeaderName::as_str).collect();
        left.sort_unstable();
        let mut expected = vec!["content-length", "host", "via"];
        expected.extend(["x-forwarded-for", "x-forwarded-host", "x-forwarded-proto"]);
        assert_eq!(left, expected);
    }

    #[test]
    fn another_protocol_is_asked_for_where_it_was_asked_for_in_order() {
        let of = |fields: &[_]| upgrade(&head("GET", "/", fields));
        let asks = &[("connection", "keep-alive, Upgrade"), ("upgrade", "SPDY/3.1")];
        assert_eq!(of(asks).unwrap(), "SPDY/3.1");
        assert_eq!(of(&[("upgrade", "websocket")]), None);
        assert_eq!(of(&[("connection", "upgrade"), ("upgrade", "h2c")]), None);
        let mut head = head("GET", "/", asks);
        let protocol = upgrade(&head);
        to_service(&mut head, None, protocol.as_ref(), NOBODY);
        assert_eq!(head.headers[CONNECTION], "upgrade");
        assert_eq!(head.headers[UPGRADE], "SPDY/3.1");
    }

    #[test]
    fn cookies_of_http2_become_one_field() {
        let mut head = head("GET", "/", &[("cookie", "a=1"), ("cookie", "b=2")]);
        to_service(&mut head, None, None, NOBODY);
        let all: Vec<_> = head.headers.get_all("cookie").iter().collect();
        assert_eq!(all, ["a=1; b=2"]);
    }

    #[test]
    fn a_response_that_could_end_in_two_places_is_none() {
        let fields = |all: &[(&'static str, &'static str)]| -> HeaderMap {
            let of = |(name, value): &(&'static str, &'static str)| {
                (HeaderName::from_static(name), HeaderValue::from_static(value))
            };
            all.iter().map(of).collect()
        };
        let mut both = fields(&[("content-length", "5"), ("transfer-encoding", "chunked")]);
        assert_eq!(to_user(&mut both, None), Err(()));
        let mut plain =
            fields(&[("connection", "x-mine"), ("x-mine", "1"), ("content-length", "5")]);
        assert_eq!(to_user(&mut plain, None), Ok(()));
        assert_eq!(plain.keys().collect::<Vec<_>>(), [CONTENT_LENGTH]);
    }
}
