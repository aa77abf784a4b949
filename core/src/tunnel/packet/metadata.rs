//! The heads of the call that carries a tunnel: who the agent is, what each end knows, and how it ended. No I/O.

use crate::{
    address::{Address, is_cluster_name},
    secret::Secret,
    tunnel::{
        carrier::Lost,
        hello::{Hello, Instance},
    },
};
use http::{
    HeaderMap, HeaderName, HeaderValue, Method, Request, Response, StatusCode, Uri, Version,
    header::{AUTHORIZATION, CONTENT_TYPE, TE},
};
use tonic::{Code, Status};

/// The one method of `tunnel.v1`.
pub(super) const PATH: &str = "/tunnel.v1.TunnelService/Tunnel";
/// The cluster that the agent stands for.
const CLUSTER: HeaderName = HeaderName::from_static("cluster-name");
/// Which version of our additions an end knows.
const EXTENSIONS: HeaderName = HeaderName::from_static("trunkline-tunnel");
/// The run of an agent, as hexadecimal digits.
const INSTANCE: HeaderName = HeaderName::from_static("trunkline-instance");
const VERSION: &str = "1";
const GRPC: HeaderValue = HeaderValue::from_static("application/grpc");
const STATUS: HeaderName = HeaderName::from_static("grpc-status");

/// What a peer has shown that it knows.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Answered {
    /// Our additions to `tunnel.v1`.
    Extended,
    /// `tunnel.v1` alone.
    Legacy,
}

/// The call of an agent.
pub(super) fn request(hub: &Address, is_secured: bool, hello: &Hello) -> Option<Request<()>> {
    let mut request = Request::new(());
    *request.method_mut() = Method::POST;
    *request.version_mut() = Version::HTTP_2;
    let scheme = if is_secured { "https" } else { "http" };
    let uri = Uri::builder().scheme(scheme).authority(authority(hub)).path_and_query(PATH);
    *request.uri_mut() = uri.build().ok()?;
    let headers = request.headers_mut();
    headers.insert(CONTENT_TYPE, GRPC);
    headers.insert(TE, HeaderValue::from_static("trailers"));
    headers.insert(CLUSTER, HeaderValue::try_from(&*hello.cluster).ok()?);
    headers.insert(EXTENSIONS, HeaderValue::from_static(VERSION));
    let digits: String = hello.instance.iter().map(|byte| format!("{byte:02x}")).collect();
    headers.insert(INSTANCE, HeaderValue::try_from(digits).ok()?);
    if let Some(token) = &hello.token {
        let mut value = HeaderValue::try_from(format!("Bearer {}", token.expose())).ok()?;
        value.set_sensitive(true);
        headers.insert(AUTHORIZATION, value);
    }
    Some(request)
}

fn authority(hub: &Address) -> String {
    match hub {
        Address::Tcp(literal) | Address::Tls(literal) => literal.to_string(),
        Address::TcpName { host, port } | Address::TlsName { host, port } => {
            format!("{host}:{port}")
        }
        Address::Unix(_)
        | Address::Abstract(_)
        | Address::Mem(_)
        | Address::Udp(_)
        | Address::UdpName { .. }
        | Address::Tunnel(_) => "localhost".into(),
    }
}

/// Who calls, and what it knows. `instance` stands for that of an agent which has none.
///
/// # Errors
///
/// The status that such a call is answered with.
pub(super) fn read_request(
    headers: &HeaderMap,
    instance: Instance,
) -> Result<(Hello, Answered), Status> {
    let is_grpc = headers
        .get(CONTENT_TYPE)
        .is_some_and(|value| value.as_bytes().starts_with(GRPC.as_bytes()));
    if !is_grpc {
        return Err(Status::invalid_argument("the call is none of gRPC"));
    }
    let text = |name: HeaderName| headers.get(name).and_then(|value| value.to_str().ok());
    let cluster = text(CLUSTER).filter(|name| is_cluster_name(name));
    let Some(cluster) = cluster else {
        return Err(Status::invalid_argument("cluster-name is missing or no name"));
    };
    let knows = match text(EXTENSIONS) {
        None => Answered::Legacy,
        Some(VERSION) => Answered::Extended,
        Some(_) => {
            let text = format!("this hub speaks version {VERSION} of its additions");
            return Err(Status::failed_precondition(text));
        }
    };
    let instance = match (knows, text(INSTANCE)) {
        (Answered::Legacy, _) => instance,
        (Answered::Extended, digits) => digits.and_then(read_instance).ok_or_else(|| {
            Status::invalid_argument("trunkline-instance is missing or malformed")
        })?,
    };
    let bearer = text(AUTHORIZATION).and_then(|value| value.strip_prefix("Bearer "));
    let token = bearer.map(Secret::new);
    Ok((Hello { cluster: cluster.into(), token, instance }, knows))
}

fn read_instance(digits: &str) -> Option<Instance> {
    let mut instance = Instance::default();
    let (pairs, rest) = digits.as_bytes().as_chunks::<2>();
    if !rest.is_empty() || pairs.len() != instance.len() {
        return None;
    }
    for (byte, pair) in instance.iter_mut().zip(pairs) {
        *byte = u8::from_str_radix(str::from_utf8(pair).ok()?, 16).ok()?;
    }
    Some(instance)
}

/// The head of a hub's answer to an agent that it lets in.
pub(super) fn welcome(knows: Answered) -> Response<()> {
    let mut response = Response::new(());
    let headers = response.headers_mut();
    headers.insert(CONTENT_TYPE, GRPC);
    if knows == Answered::Extended {
        headers.insert(EXTENSIONS, HeaderValue::from_static(VERSION));
    }
    response
}

/// The trailers of a tunnel that ends in order.
pub(super) fn farewell() -> HeaderMap {
    HeaderMap::from_iter([(STATUS, HeaderValue::from_static("0"))])
}

/// What the head of a hub's answer says.
pub(super) fn read_answer(status: StatusCode, headers: &HeaderMap) -> Result<Answered, Lost> {
    if status != StatusCode::OK {
        return Err(Lost::Violation("it does not answer as gRPC does"));
    }
    if headers.contains_key(STATUS) {
        read_trailers(Some(headers))?;
        return Err(Lost::Ended);
    }
    match headers.get(EXTENSIONS).map(HeaderValue::as_bytes) {
        None => Ok(Answered::Legacy),
        Some(version) if version == VERSION.as_bytes() => Ok(Answered::Extended),
        Some(_) => Err(Lost::Violation("it answers with another version than it was asked for")),
    }
}

/// How the call ended.
pub(super) fn read_trailers(trailers: Option<&HeaderMap>) -> Result<(), Lost> {
    let status = trailers.and_then(Status::from_header_map);
    match status {
        Some(status) if status.code() == Code::Ok => Ok(()),
        Some(status) => {
            let text = status.message().escape_debug().to_string();
            Err(Lost::Status { code: status.code(), text: text.into() })
        }
        None => Err(Lost::Ended),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    fn hello(token: Option<&str>) -> Hello {
        Hello { cluster: "c1".into(), token: token.map(Secret::new), instance: [0xa7; 16] }
    }

    fn headers(change: impl FnOnce(&mut HeaderMap)) -> HeaderMap {
        let hub = "tls://hub.example:7000".parse().unwrap();
        let request = request(&hub, true, &hello(Some("a token"))).unwrap();
        assert_eq!(request.uri().to_string(), format!("https://hub.example:7000{PATH}"));
        let mut headers = request.headers().clone();
        change(&mut headers);
        headers
    }

    #[test]
    fn what_an_agent_says_of_itself_arrives() {
        let read = read_request(&headers(|_| {}), [0; 16]).unwrap();
        assert_eq!(read, (hello(Some("a token")), Answered::Extended));
        let legacy = headers(|headers| {
            headers.remove(EXTENSIONS);
            headers.remove(INSTANCE);
            headers.remove(AUTHORIZATION);
        });
        let (read, knows) = read_request(&legacy, [3; 16]).unwrap();
        assert_eq!((knows, read.instance, read.token), (Answered::Legacy, [3; 16], None));
    }

    #[test]
    fn a_call_that_is_none_of_an_agent_is_refused_for_what_is_wrong_with_it() {
        for (name, value, says) in [
            (CLUSTER, Some("../c1"), "cluster-name"),
            (CLUSTER, None, "cluster-name"),
            (CONTENT_TYPE, Some("text/html"), "none of gRPC"),
            (EXTENSIONS, Some("2"), "version 1"),
            (INSTANCE, Some("a7"), "trunkline-instance"),
            (INSTANCE, Some(&*"é".repeat(16)), "trunkline-instance"),
        ] {
            let headers = headers(|headers| {
                match value {
                    Some(value) => {
                        headers.insert(&name, HeaderValue::from_bytes(value.as_bytes()).unwrap())
                    }
                    None => headers.remove(&name),
                };
            });
            let status = read_request(&headers, [0; 16]).unwrap_err();
            assert!(status.message().contains(says), "{name}: {status}");
        }
    }

    #[test]
    fn what_a_hub_answers_is_told_apart() {
        for knows in [Answered::Extended, Answered::Legacy] {
            let response = welcome(knows);
            assert_eq!(read_answer(response.status(), response.headers()).unwrap(), knows);
        }
        let refused = Status::permission_denied("not \"you\"").into_http::<()>();
        let lost = read_answer(refused.status(), refused.headers()).unwrap_err();
        assert!(matches!(&lost, Lost::Status { code: Code::PermissionDenied, .. }), "{lost}");
        let mut other = welcome(Answered::Extended);
        other.headers_mut().insert(EXTENSIONS, HeaderValue::from_static("9"));
        assert!(read_answer(other.status(), other.headers()).is_err(), "never taken for less");
        assert!(read_answer(StatusCode::NOT_FOUND, &HeaderMap::new()).is_err());
        assert!(read_trailers(Some(&farewell())).is_ok() && read_trailers(None).is_err());
    }

    proptest! {
        #[test]
        fn no_headers_make_reading_panic(
            values in prop::collection::vec((0usize..5, prop::collection::vec(32u8..=255, 0..40)), 0..10),
        ) {
            let names = [CLUSTER, EXTENSIONS, INSTANCE, AUTHORIZATION, STATUS];
            let headers = headers(|headers| {
                for (name, value) in values {
                    if let Ok(value) = HeaderValue::from_bytes(&value) {
                        headers.insert(&names[name], value);
                    }
                }
            });
            let _ = read_request(&headers, [0; 16]);
            let _ = read_answer(StatusCode::OK, &headers);
            let _ = read_trailers(Some(&headers));
        }
    }
}
