//! JSON in and out: a document laid over a base, with errors that name the key.

use super::Config;
use crate::error::ConnectionError;
use serde::Serialize;
use serde_json::{Map, Value};

/// Reads `text` over what `base` chooses; `base` may take keys that are no field out of the document.
pub(super) fn read<C: Config>(
    text: &str,
    base: impl FnOnce(&mut Map<String, Value>) -> Result<C, ConnectionError>,
) -> Result<C, ConnectionError> {
    let not_json =
        |error: serde_json::Error| ConnectionError::invalid_config("json", error.to_string());
    let mut document = serde_json::from_str(text).map_err(not_json)?;
    let base = base(&mut document)?;
    let mut whole =
        serde_json::to_value(base).and_then(serde_json::from_value).map_err(not_json)?;
    lay_over("", &mut whole, document)?;

    let config: C = serde_path_to_error::deserialize(Value::Object(whole)).map_err(|error| {
        ConnectionError::invalid_config(error.path().to_string(), error.into_inner().to_string())
    })?;
    config.validate()?;
    Ok(config)
}

/// Writes every field.
pub(super) fn write(config: &impl Serialize) -> String {
    serde_json::to_string(config).expect("plain data with string keys always serialises")
}

/// Objects merge key by key, anything else replaces; `null` leaves what is there.
///
/// What the base holds as an object must be one: serde would also take the fields' values as an array.
fn lay_over(
    parent: &str,
    base: &mut Map<String, Value>,
    document: Map<String, Value>,
) -> Result<(), ConnectionError> {
    for (key, value) in document {
        let path = if parent.is_empty() { key.clone() } else { format!("{parent}.{key}") };
        match (base.get_mut(&key), value) {
            (Some(_), Value::Null) => {}
            (Some(Value::Object(base)), Value::Object(document)) => {
                lay_over(&path, base, document)?
            }
            (Some(Value::Object(_)), _) => {
                return Err(ConnectionError::invalid_config(path, "must be an object"));
            }
            (_, value) => {
                base.insert(key, without_nulls(value));
            }
        }
    }
    Ok(())
}

/// What the base does not hold has defaults too: of the members of lists and of named things.
fn without_nulls(value: Value) -> Value {
    match value {
        Value::Object(object) => object
            .into_iter()
            .filter(|(_, inner)| !inner.is_null())
            .map(|(key, inner)| (key, without_nulls(inner)))
            .collect(),
        Value::Array(list) => list.into_iter().map(without_nulls).collect(),
        plain => plain,
    }
}
