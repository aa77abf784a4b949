//! Range checks whose failures name the field, the allowed range and the value.

use crate::{
    duration::{Text, TimeLimit},
    error::ConnectionError,
};
use std::{fmt::Display, ops::RangeInclusive, time::Duration};

/// The longest time that any field accepts; who wants longer means never.
pub(super) const LONGEST: Duration = Duration::from_secs(365 * 24 * 3600);
/// The shortest time that a field accepts to which zero means nothing.
pub(super) const SHORTEST: Duration = Duration::from_millis(1);

/// Checks a number.
pub(super) fn number<T: Copy + Display + PartialOrd>(
    field: &'static str,
    value: T,
    range: RangeInclusive<T>,
) -> Result<(), ConnectionError> {
    if range.contains(&value) {
        return Ok(());
    }
    let (low, high) = range.into_inner();
    refuse(field, format!("must be within {low} and {high}, is {value}"))
}

/// Checks a limit of connections within that of a manager, where one is set.
pub(super) fn connections(limit: Option<u32>) -> Result<(), ConnectionError> {
    number("max_connections", limit.unwrap_or(1), 1..=1_000_000)
}

/// Checks a duration.
pub(super) fn duration(
    field: &'static str,
    value: Duration,
    range: RangeInclusive<Duration>,
) -> Result<(), ConnectionError> {
    if range.contains(&value) {
        return Ok(());
    }
    let (low, high) = range.into_inner();
    refuse(field, format!("must be within {} and {}, is {}", Text(low), Text(high), Text(value)))
}

/// Checks a limit of time, which may also be never.
pub(super) fn limit(
    field: &'static str,
    value: TimeLimit,
    range: RangeInclusive<Duration>,
) -> Result<(), ConnectionError> {
    match value {
        TimeLimit::After(duration) if !range.contains(&duration) => {
            let (low, high) = range.into_inner();
            refuse(
                field,
                format!("must be within {} and {}, or never; is {value}", Text(low), Text(high)),
            )
        }
        TimeLimit::After(_) | TimeLimit::Never => Ok(()),
    }
}

/// Refuses what no range describes.
pub(super) fn refuse(field: &'static str, reason: String) -> Result<(), ConnectionError> {
    Err(ConnectionError::invalid_config(field, reason))
}

/// Puts the name of the enclosing field before the path of a nested one.
pub(super) fn within(
    parent: impl Display,
    checked: Result<(), ConnectionError>,
) -> Result<(), ConnectionError> {
    checked.map_err(|error| match error {
        ConnectionError::InvalidConfig { field, reason, at } => {
            ConnectionError::InvalidConfig { field: format!("{parent}.{field}").into(), reason, at }
        }
        other => other,
    })
}
