//! A JSON value and its path: every complaint about it names where it is.

use crate::{config::StatusCode, error::ConnectionError};
use serde_json::{Map, Value};
use std::time::Duration;

/// The longest duration that proto3 knows, in seconds.
const LONGEST: u64 = 315_576_000_000;

/// A value of the document and where it is.
#[derive(Clone, Debug)]
pub(super) struct At<'a> {
    path: String,
    value: &'a Value,
}

/// An object of the document and where it is.
#[derive(Clone, Debug)]
pub(super) struct Object<'a> {
    path: String,
    fields: &'a Map<String, Value>,
}

type Read<T> = Result<T, ConnectionError>;

impl<'a> At<'a> {
    pub(super) fn root(value: &'a Value) -> Self {
        Self { path: String::new(), value }
    }

    /// What is wrong with this value.
    pub(super) fn refuse<T>(&self, reason: impl Into<String>) -> Read<T> {
        let path = if self.path.is_empty() { "json".to_owned() } else { self.path.clone() };
        Err(ConnectionError::invalid_config(path, reason.into()))
    }

    pub(super) fn object(&self) -> Read<Object<'a>> {
        match self.value {
            Value::Object(fields) => Ok(Object { path: self.path.clone(), fields }),
            _ => self.refuse("must be an object"),
        }
    }

    pub(super) fn list(&self) -> Read<Vec<Self>> {
        let Value::Array(items) = self.value else { return self.refuse("must be a list") };
        let path = |at: usize| format!("{}[{at}]", self.path);
        Ok(items.iter().enumerate().map(|(at, value)| Self { path: path(at), value }).collect())
    }

    pub(super) fn text(&self) -> Read<&'a str> {
        self.value.as_str().map_or_else(|| self.refuse("must be a text"), Ok)
    }

    pub(super) fn boolean(&self) -> Read<bool> {
        self.value.as_bool().map_or_else(|| self.refuse("must be true or false"), Ok)
    }

    /// A whole number; like proto3, also as text.
    pub(super) fn whole(&self) -> Read<u32> {
        let number = match self.value {
            Value::Number(number) => whole_of(number),
            Value::String(text) => text.parse().ok(),
            _ => None,
        };
        number.map_or_else(|| self.refuse("must be a whole number from 0 to 4294967295"), Ok)
    }

    /// A number; like proto3, also as text.
    pub(super) fn number(&self) -> Read<f64> {
        let number = match self.value {
            Value::Number(number) => number.as_f64(),
            Value::String(text) => text.parse().ok(),
            _ => None,
        };
        let number = number.filter(|number| number.is_finite());
        number.map_or_else(|| self.refuse("must be a number"), Ok)
    }

    /// A duration of proto3: decimal seconds with an `s`, such as `0.25s`.
    pub(super) fn duration(&self) -> Read<Duration> {
        let duration = self.value.as_str().and_then(seconds);
        duration.map_or_else(
            || self.refuse("must be seconds such as \"0.25s\", with at most 9 decimals"),
            Ok,
        )
    }

    pub(super) fn positive_duration(&self) -> Read<Duration> {
        match self.duration()? {
            Duration::ZERO => self.refuse("must be greater than 0s"),
            duration => Ok(duration),
        }
    }

    pub(super) fn status(&self) -> Read<StatusCode> {
        let status = match self.value {
            Value::String(name) => StatusCode::from_name(name),
            Value::Number(number) => number
                .as_i64()
                .and_then(|code| i32::try_from(code).ok())
                .and_then(StatusCode::from_code),
            _ => None,
        };
        status.map_or_else(|| self.refuse("must be a status of gRPC, such as UNAVAILABLE"), Ok)
    }

    pub(super) fn statuses(&self) -> Read<Vec<StatusCode>> {
        self.list()?.iter().map(Self::status).collect()
    }
}

impl<'a> Object<'a> {
    /// A field; `None` if it is absent or `null`.
    pub(super) fn field(&self, name: &str) -> Option<At<'a>> {
        let value = self.fields.get(name).filter(|value| !value.is_null())?;
        Some(At { path: self.path_of(name), value })
    }

    /// A field that must be there.
    pub(super) fn required(&self, name: &str) -> Read<At<'a>> {
        self.field(name).map_or_else(|| self.refuse(name, "is missing"), Ok)
    }

    /// A field that may be absent.
    pub(super) fn optional<T>(
        &self,
        name: &str,
        read: impl FnOnce(At<'a>) -> Read<T>,
    ) -> Read<Option<T>> {
        self.field(name).map(read).transpose()
    }

    /// The only field, with its name.
    pub(super) fn only(&self) -> Option<(&'a str, At<'a>)> {
        let mut fields = self.fields.iter();
        let (name, value) = fields.next()?;
        fields.next().is_none().then(|| (name.as_str(), At { path: self.path_of(name), value }))
    }

    /// What is wrong with a field.
    pub(super) fn refuse<T>(&self, name: &str, reason: &str) -> Read<T> {
        Err(ConnectionError::invalid_config(self.path_of(name), reason.to_owned()))
    }

    fn path_of(&self, name: &str) -> String {
        if self.path.is_empty() { name.to_owned() } else { format!("{}.{name}", self.path) }
    }
}

fn whole_of(number: &serde_json::Number) -> Option<u32> {
    let whole = number.as_u64().or_else(|| {
        let float = number.as_f64()?;
        (float.fract() == 0.0 && (0.0..=f64::from(u32::MAX)).contains(&float))
            .then_some(float as u64)
    })?;
    u32::try_from(whole).ok()
}

fn seconds(text: &str) -> Option<Duration> {
    let number = text.strip_suffix('s')?;
    let (whole, decimals) = number.split_once('.').unwrap_or((number, "0"));
    let is_digits = |text: &str| !text.is_empty() && text.bytes().all(|byte| byte.is_ascii_digit());
    if !is_digits(whole) || !is_digits(decimals) || decimals.len() > 9 {
        return None;
    }
    let whole: u64 = whole.parse().ok().filter(|seconds| *seconds <= LONGEST)?;
    let nanos: u32 = format!("{decimals:0<9}").parse().ok()?;
    Some(Duration::new(whole, nanos))
}
