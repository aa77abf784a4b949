//! Whether a request is one that a route is for. No I/O.

use crate::config::HeaderRule;
use http::{HeaderMap, request};

/// What is known of a request.
#[derive(Clone, Copy, Debug)]
pub(in crate::tunnel) struct Asked<'a> {
    /// In lower case, without a port.
    pub(in crate::tunnel) host: Option<&'a str>,
    pub(in crate::tunnel) path: &'a str,
    pub(in crate::tunnel) query: Option<&'a str>,
    pub(in crate::tunnel) fields: &'a HeaderMap,
}

impl<'a> Asked<'a> {
    pub(in crate::tunnel) fn of(
        head: &'a request::Parts,
        host: Option<&'a str>,
        path: &'a str,
    ) -> Self {
        Self { host, path, query: head.uri.query(), fields: &head.headers }
    }

    /// What a service sees that is asked for `path` in place of the request's, with its query.
    pub(in crate::tunnel) fn leading_to(&self, path: &str) -> String {
        let slash = if path.starts_with('/') || path == "*" { "" } else { "/" };
        let query = self.query.map(|query| format!("?{query}")).unwrap_or_default();
        format!("{slash}{path}{query}")
    }
}

/// What must be true of a request; what is `None` does not matter.
#[derive(Clone, Copy, Debug, Default)]
pub(in crate::tunnel) struct Rule<'a> {
    pub(in crate::tunnel) host: Option<&'a str>,
    pub(in crate::tunnel) path: Option<&'a str>,
    pub(in crate::tunnel) header: Option<&'a HeaderRule>,
}

/// What a rule has found.
#[derive(Clone, Copy, Debug)]
pub(in crate::tunnel) struct Matched<'a> {
    /// What stands for the `*` of its host.
    pub(in crate::tunnel) label: &'a str,
    /// What comes after its path.
    pub(in crate::tunnel) rest: &'a str,
    /// The value of its header.
    pub(in crate::tunnel) value: &'a str,
}

impl Rule<'_> {
    pub(in crate::tunnel) fn matched<'a>(&self, asked: Asked<'a>) -> Option<Matched<'a>> {
        let label = match self.host {
            Some(pattern) => below(pattern, asked.host?)?,
            None => "",
        };
        let rest = match self.path {
            Some(prefix) => after(prefix, asked.path)?,
            None => asked.path,
        };
        let value = match self.header {
            Some(rule) => field(rule, asked.fields)?,
            None => "",
        };
        Some(Matched { label, rest, value })
    }
}

/// What stands for the `*` of a pattern; nothing where it has none.
fn below<'a>(pattern: &str, host: &'a str) -> Option<&'a str> {
    match pattern.strip_prefix('*') {
        None => (pattern == host).then_some(""),
        Some(suffix) => host.strip_suffix(suffix).filter(|label| !label.is_empty()),
    }
}

/// What comes after the prefix, which ends where a segment does.
fn after<'a>(prefix: &str, path: &'a str) -> Option<&'a str> {
    let rest = path.strip_prefix(prefix)?;
    let is_border = prefix.ends_with('/') || rest.is_empty() || rest.starts_with('/');
    is_border.then_some(rest)
}

/// The value of the one field that the rule is for; several are none.
fn field<'a>(rule: &HeaderRule, fields: &'a HeaderMap) -> Option<&'a str> {
    let mut all = fields.get_all(&rule.name).iter();
    let (value, None) = (all.next()?.to_str().ok()?, all.next()) else { return None };
    rule.value.as_ref().is_none_or(|wanted| wanted == value).then_some(value)
}
