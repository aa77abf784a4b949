//! What a check of an endpoint is: a connection, a handshake, a request, or what the program says.

use super::{
    Config,
    check::{self, within},
};
use crate::error::ConnectionError;
use http::{HeaderName, HeaderValue, Method, Uri};
use serde::{Deserialize, Deserializer, Serialize, Serializer, de};
use std::{collections::BTreeMap, fmt, str::FromStr};

/// What a check of an endpoint is.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum EndpointCheck {
    /// It takes a connection, and by TLS where its address says so. Cost: a server may log a client that said nothing.
    #[default]
    Connect,
    /// It takes a handshake of TLS by the manager's TLS configuration, also where its address does not say so: the clients
    /// of the manager speak TLS to it.
    Tls(TlsCheckConfig),
    /// It answers a request of HTTP/1.1.
    Http(Box<HttpCheckConfig>),
    /// The program says, where it has said that it wants to be asked.
    Callback(CallbackCheckConfig),
}

/// A handshake of TLS with an endpoint.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct TlsCheckConfig {
    /// The name that is asked for, and that its certificate must be for, unless the TLS configuration has one. Default: the
    /// host of its address. Must be set for an endpoint on a Unix socket or a pipe, which has none.
    pub server_name: Option<String>,
}

/// A request to an endpoint, and the answer that is a good one.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct HttpCheckConfig {
    /// Default: `GET`.
    pub method: String,
    /// Where on the server, from `/` on, with a query if one is needed. Default: `/`.
    pub path: String,
    /// The `Host` of the request. Default: that of its address, and `localhost` on a Unix socket or a pipe.
    pub host: Option<String>,
    /// Further fields of the request, values by their names. Default: none. Limits: at most 32.
    pub headers: BTreeMap<String, String>,
    /// The handshake before it, where its address does not say TLS. Default: none.
    pub tls: Option<TlsCheckConfig>,
    /// The statuses that are good: `200`, or `"200-299"`. Default: `["200-399"]`. Limits: 1 to 16 of them, each of 100 to 599.
    pub expect: Vec<StatusRange>,
    /// Text that the body must contain. Default: the body does not matter and is not read. Limits: 1 to 1024 bytes.
    pub contains: Option<String>,
    /// Bytes of the head of the answer; a longer one fails. Default: 8 KiB, the least. Limits: 8 KiB to 1 MiB.
    pub max_head: u32,
    /// Bytes of the body that are looked through for `contains`. Default: 64 KiB. Limits: 1 to 1 MiB. Cost: as much for each
    /// endpoint that is checked at one time.
    pub max_body: u32,
}

/// A question to the program. The time for its answer is that of the check.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct CallbackCheckConfig {
    /// What it means that there is no answer: the program was not asked, failed, or took too long. Default: `fail`.
    pub no_answer: NoAnswer,
}

/// What it means that the program does not say how an endpoint is.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum NoAnswer {
    /// The check has failed.
    #[default]
    Fail,
    /// It has passed.
    Pass,
    /// Neither: the endpoint stays what it is.
    Keep,
}

/// Statuses of HTTP from one to another, both included.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub struct StatusRange {
    low: u16,
    high: u16,
}

/// A text that says no range of statuses.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[error("must be a status such as 200, or a range such as 200-299, within 100 and 599")]
pub struct StatusRangeError;

impl StatusRange {
    /// From `low` to `high`.
    ///
    /// # Errors
    ///
    /// [`StatusRangeError`] unless 100 ≤ `low` ≤ `high` ≤ 599.
    pub fn new(low: u16, high: u16) -> Result<Self, StatusRangeError> {
        if (100..=599).contains(&low) && (low..=599).contains(&high) {
            Ok(Self { low, high })
        } else {
            Err(StatusRangeError)
        }
    }

    /// Whether `status` is one of them.
    pub fn contains(self, status: u16) -> bool {
        (self.low..=self.high).contains(&status)
    }
}

impl FromStr for StatusRange {
    type Err = StatusRangeError;

    fn from_str(text: &str) -> Result<Self, StatusRangeError> {
        let status = |text: &str| match text.len() {
            3 if text.bytes().all(|byte| byte.is_ascii_digit()) => {
                text.parse().map_err(|_| StatusRangeError)
            }
            _ => Err(StatusRangeError),
        };
        let (low, high) = text.split_once('-').unwrap_or((text, text));
        Self::new(status(low)?, status(high)?)
    }
}

impl fmt::Display for StatusRange {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self { low, high } if low == high => write!(f, "{low}"),
            Self { low, high } => write!(f, "{low}-{high}"),
        }
    }
}

impl Serialize for StatusRange {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.collect_str(self)
    }
}

impl<'de> Deserialize<'de> for StatusRange {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        struct Visitor;

        impl de::Visitor<'_> for Visitor {
            type Value = StatusRange;

            fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                f.write_str("a status such as 200, or a range such as \"200-299\"")
            }

            fn visit_u64<E: de::Error>(self, status: u64) -> Result<StatusRange, E> {
                let status = u16::try_from(status).map_err(|_| E::custom(StatusRangeError))?;
                StatusRange::new(status, status).map_err(E::custom)
            }

            fn visit_str<E: de::Error>(self, text: &str) -> Result<StatusRange, E> {
                text.parse().map_err(E::custom)
            }
        }

        deserializer.deserialize_any(Visitor)
    }
}

impl Default for HttpCheckConfig {
    fn default() -> Self {
        Self {
            method: "GET".to_owned(),
            path: "/".to_owned(),
            host: None,
            headers: BTreeMap::new(),
            tls: None,
            expect: vec![StatusRange { low: 200, high: 399 }],
            contains: None,
            max_head: 8 << 10,
            max_body: 64 << 10,
        }
    }
}

impl EndpointCheck {
    /// Checks it; `is_nameless` says that an endpoint has no host of its own.
    pub(super) fn validate(&self, is_nameless: bool) -> Result<(), ConnectionError> {
        match self {
            Self::Connect | Self::Callback(_) => Ok(()),
            Self::Tls(tls) => within("tls", tls.validate(is_nameless)),
            Self::Http(http) => {
                within("http", http.validate())?;
                let tls = http.tls.as_ref();
                let checked = tls.map_or(Ok(()), |tls| tls.validate(is_nameless));
                within("http.tls", checked)
            }
        }
    }
}

impl TlsCheckConfig {
    fn validate(&self, is_nameless: bool) -> Result<(), ConnectionError> {
        match &self.server_name {
            None if is_nameless => {
                let reason = "must be set where an endpoint is a Unix socket or a pipe";
                check::refuse("server_name", reason.to_owned())
            }
            Some(name) if rustls::pki_types::ServerName::try_from(name.as_str()).is_err() => {
                let reason = format!("must be a host name or IP address, is {name:?}");
                check::refuse("server_name", reason)
            }
            None | Some(_) => Ok(()),
        }
    }
}

impl Config for HttpCheckConfig {
    fn validate(&self) -> Result<(), ConnectionError> {
        if Method::from_str(&self.method).is_err() || self.method == "CONNECT" {
            let reason = format!("must be a method other than CONNECT, is {:?}", self.method);
            return check::refuse("method", reason);
        }
        let is_path = self.path.starts_with('/') && self.path.parse::<Uri>().is_ok();
        if !is_path || self.path.len() > 1024 {
            let reason = format!("must be a path from / on, is {:?}", self.path);
            return check::refuse("path", reason);
        }
        if let Some(host) = &self.host
            && (host.is_empty() || HeaderValue::from_str(host).is_err())
        {
            return check::refuse("host", format!("must be a host, is {host:?}"));
        }
        check::number("headers.length", self.headers.len(), 0..=32)?;
        for (name, value) in &self.headers {
            check_header(name, value)?;
        }
        check::number("expect.length", self.expect.len(), 1..=16)?;
        if let Some(text) = &self.contains {
            check::number("contains.length", text.len(), 1..=1024)?;
        }
        check::number("max_head", self.max_head, 8 << 10..=1 << 20)?;
        check::number("max_body", self.max_body, 1..=1 << 20)
    }
}

fn check_header(name: &str, value: &str) -> Result<(), ConnectionError> {
    /// Those that say how a message is framed, and the one that has a key of its own.
    const OURS: [&str; 5] =
        ["connection", "content-length", "host", "transfer-encoding", "upgrade"];
    let lower = name.to_ascii_lowercase();
    if HeaderName::from_lowercase(lower.as_bytes()).is_err() || OURS.contains(&lower.as_str()) {
        let reason = format!("{name:?} must be a field's name, and none of {}", OURS.join(", "));
        return check::refuse("headers", reason);
    }
    if HeaderValue::from_str(value).is_err() {
        return check::refuse("headers", format!("{name:?} must be one line, is {value:?}"));
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::config::BackendConfig;
    use proptest::prelude::*;

    fn read(check: &str, address: &str) -> Result<EndpointCheck, String> {
        let text = format!(
            r#"{{"endpoints": [{{"address": "{address}"}}], "health": {{"check": {check}}}}}"#
        );
        let config = BackendConfig::from_json(&text).map_err(|error| error.to_string())?;
        assert_eq!(BackendConfig::from_json(&config.to_json()).unwrap(), config);
        Ok(config.health.unwrap().check)
    }

    #[test]
    fn each_check_is_read_with_the_documented_figures() {
        let read = |check| read(check, "tcp://10.0.0.1:80").unwrap();
        assert_eq!(read("null"), EndpointCheck::Connect);
        assert_eq!(read(r#""connect""#), EndpointCheck::Connect);
        assert_eq!(read(r#"{"tls": {}}"#), EndpointCheck::Tls(TlsCheckConfig::default()));
        let EndpointCheck::Http(http) = read(r#"{"http": {"expect": [204, "300-302"]}}"#) else {
            panic!("another check")
        };
        assert_eq!((http.method.as_str(), http.path.as_str()), ("GET", "/"));
        let good: Vec<_> = (100..600)
            .filter(|status| http.expect.iter().any(|range| range.contains(*status)))
            .collect();
        assert_eq!(good, [204, 300, 301, 302]);
        assert_eq!(
            read(r#"{"callback": {"no_answer": "keep"}}"#),
            EndpointCheck::Callback(CallbackCheckConfig { no_answer: NoAnswer::Keep })
        );
    }

    #[test]
    fn what_is_wrong_with_a_check_is_named_with_its_path() {
        for (check, address, field) in [
            (r#""ping""#, "mem:a", "health.check"),
            (r#"{"tls": {}}"#, "mem:a", "health.check.tls.server_name:"),
            (r#"{"tls": {"server_name": "no name"}}"#, "mem:a", "health.check.tls.server_name:"),
            (r#"{"http": {"tls": {}}}"#, "unix:/a", "health.check.http.tls.server_name:"),
            (r#"{"http": {"method": "GE T"}}"#, "mem:a", "health.check.http.method:"),
            (r#"{"http": {"method": "CONNECT"}}"#, "mem:a", "health.check.http.method:"),
            (r#"{"http": {"path": "status"}}"#, "mem:a", "health.check.http.path:"),
            (r#"{"http": {"path": "/a b"}}"#, "mem:a", "health.check.http.path:"),
            (r#"{"http": {"host": "a\nb"}}"#, "mem:a", "health.check.http.host:"),
            (r#"{"http": {"expect": []}}"#, "mem:a", "health.check.http.expect.length:"),
            (r#"{"http": {"expect": ["2xx"]}}"#, "mem:a", "health.check.http.expect"),
            (r#"{"http": {"expect": [600]}}"#, "mem:a", "health.check.http.expect"),
            (r#"{"http": {"contains": ""}}"#, "mem:a", "health.check.http.contains.length:"),
            (r#"{"http": {"max_head": 1}}"#, "mem:a", "health.check.http.max_head:"),
            (r#"{"http": {"max_body": 0}}"#, "mem:a", "health.check.http.max_body:"),
            (r#"{"http": {"headers": {"Host": "a"}}}"#, "mem:a", "health.check.http.headers:"),
            (r#"{"http": {"headers": {"a": "b\r\nc"}}}"#, "mem:a", "health.check.http.headers:"),
            (r#"{"callback": {"no_answer": "wait"}}"#, "mem:a", "health.check.callback.no_answer"),
        ] {
            let error = read(check, address).unwrap_err();
            assert!(error.starts_with(field), "{check}: {error}");
        }
    }

    proptest! {
        #[test]
        fn any_text_is_a_range_that_reads_back_or_refused(text in "[0-9]{0,4}-?[0-9a-z]{0,4}|.{0,8}") {
            if let Ok(range) = text.parse::<StatusRange>() {
                prop_assert_eq!(range.to_string().parse(), Ok(range));
                prop_assert!((100..=599).any(|status| range.contains(status)));
            }
        }
    }
}
