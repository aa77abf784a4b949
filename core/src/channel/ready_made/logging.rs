//! Logs each call as it begins and as it ends.

use crate::{
    channel::{
        interceptor::{Beginning, Ending, Interceptor, OnCall},
        metadata,
    },
    config::{CallLogConfig, TimeLimit},
    status::StatusCode,
};
use std::{collections::HashSet, fmt::Write as _, future::ready, time::Duration};
use tonic::metadata::{KeyAndValueRef, MetadataMap};

/// Bytes of metadata that are shown of a call.
const LONGEST: usize = 4096;

#[derive(Debug)]
pub(super) struct Logging {
    target: Box<str>,
    slow: TimeLimit,
    skip: HashSet<Box<str>>,
    shown: HashSet<Box<str>>,
}

/// What is said of a call that has ended.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Line {
    Ended,
    Slow,
    Failed,
}

impl Logging {
    pub(super) fn new(config: &CallLogConfig, target: &str) -> Self {
        let set = |names: &[String]| names.iter().map(|name| name.as_str().into()).collect();
        let (skip, shown) = (set(&config.skip), set(&config.show_metadata));
        Self { target: target.into(), slow: config.slow, skip, shown }
    }

    fn line(&self, method: &str, code: StatusCode, took: Duration) -> Option<Line> {
        let is_slow = match self.slow {
            TimeLimit::After(limit) => took >= limit,
            TimeLimit::Never => false,
        };
        match code {
            _ if self.skip.contains(method) => None,
            StatusCode::Ok if is_slow => Some(Line::Slow),
            StatusCode::Ok => Some(Line::Ended),
            _ => Some(Line::Failed),
        }
    }

    fn begin(&self, call: &Beginning<'_>) {
        let method = call.method();
        if tracing::enabled!(tracing::Level::DEBUG) && !self.skip.contains(method) {
            let metadata = text_of(call.map(), &self.shown);
            tracing::debug!(target = &*self.target, method, metadata, "call begins");
        }
    }
}

/// Every name, and the values of those that are `shown`. Credentials are never shown.
fn text_of(map: &MetadataMap, shown: &HashSet<Box<str>>) -> String {
    let mut text = String::new();
    for entry in map.iter() {
        let (name, is_secret, value) = match entry {
            KeyAndValueRef::Ascii(name, value) => {
                let said =
                    value.to_str().map_or_else(|_| "no text".into(), |said| format!("{said:?}"));
                (name.as_str(), value.is_sensitive(), said)
            }
            KeyAndValueRef::Binary(name, value) => {
                let length = value.to_bytes().map_or(0, |bytes| bytes.len());
                (name.as_str(), value.is_sensitive(), format!("{length} bytes"))
            }
        };
        if metadata::is_reserved(name) {
            continue;
        }
        let blank = if text.is_empty() { "" } else { " " };
        let value = if is_secret || !shown.contains(name) { "redacted" } else { &value };
        if text.len() + name.len() + value.len() > LONGEST {
            text.push_str(" …");
            break;
        }
        let _ = write!(text, "{blank}{name}={value}");
    }
    text
}

impl Interceptor for Logging {
    fn on_call<'a>(&'a self, call: &'a mut Beginning<'_>) -> OnCall<'a> {
        self.begin(call);
        Box::pin(ready(Ok(())))
    }

    fn on_end(&self, end: &Ending<'_>) {
        let (target, method, took) = (&*self.target, end.method, end.took);
        match self.line(method, end.code, took) {
            None => {}
            Some(Line::Ended) => tracing::info!(target, method, ?took, "call ended"),
            Some(Line::Slow) => tracing::warn!(target, method, ?took, "call was slow"),
            Some(Line::Failed) => {
                // What a peer says is shown with its control characters escaped.
                let (status, why) = (end.code.name(), end.message);
                tracing::warn!(target, method, status, ?why, ?took, "call failed");
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::secret::Secret;
    use bytes::Bytes;

    #[test]
    fn what_is_said_depends_on_method_status_and_time() {
        let millis = Duration::from_millis;
        let logging = Logging::new(&CallLogConfig::default(), "mem:a");
        let line = |method, code, ms| logging.line(method, code, millis(ms));
        assert_eq!(line("/a.B/C", StatusCode::Ok, 499), Some(Line::Ended));
        assert_eq!(line("/a.B/C", StatusCode::Ok, 500), Some(Line::Slow));
        assert_eq!(line("/a.B/C", StatusCode::NotFound, 900), Some(Line::Failed));
        assert_eq!(line("/grpc.health.v1.Health/Watch", StatusCode::Cancelled, 900), None);
        let config =
            CallLogConfig { slow: TimeLimit::Never, skip: Vec::new(), ..CallLogConfig::default() };
        let logging = Logging::new(&config, "mem:a");
        let line = logging.line("/grpc.health.v1.Health/Check", StatusCode::Ok, millis(9000));
        assert_eq!(line, Some(Line::Ended));
    }

    #[test]
    fn values_are_shown_by_name_and_those_of_credentials_never() {
        let pair =
            |name: &str, value: &str| (name.into(), Bytes::copy_from_slice(value.as_bytes()));
        let mut map = metadata::to_map(&[
            pair("tenant", "a\"b"),
            pair("cookie", "c"),
            pair("key-bin", "xyz"),
        ])
        .unwrap();
        metadata::add_secrets(&mut map, &[("token".into(), Secret::from("t".to_owned()))]).unwrap();
        let text =
            |names: &[&str]| text_of(&map, &names.iter().map(|name| (*name).into()).collect());
        assert_eq!(text(&[]), "tenant=redacted cookie=redacted key-bin=redacted token=redacted");
        let all = text(&["tenant", "key-bin", "token", "absent"]);
        assert_eq!(all, "tenant=\"a\\\"b\" cookie=redacted key-bin=3 bytes token=redacted");
        let long = metadata::to_map(&[pair("a", &"v".repeat(5000)), pair("b", "1")]).unwrap();
        assert_eq!(text_of(&long, &["a".into()].into()), " …");
    }
}
