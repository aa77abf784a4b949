//! Configurations, checked and printed by the one who knows their rules.

use crate::buffer::{self, call};
use pyo3::prelude::*;
use trunkline::trunkline_config_from_env;

/// Every field of a preset as JSON.
#[pyfunction]
pub(crate) fn config_preset(py: Python<'_>, name: &str) -> PyResult<String> {
    let config = buffer::config_preset(name).map_err(|failed| failed.raise(py))?;
    Ok(buffer::config_json(config.as_deref()))
}

/// Every field of a document, as JSON, once it is checked.
#[pyfunction]
pub(crate) fn config_from_json(py: Python<'_>, text: &str) -> PyResult<String> {
    let config = buffer::config_from_json(text).map_err(|failed| failed.raise(py))?;
    Ok(buffer::config_json(config.as_deref()))
}

/// Every field of the preset that the environment names, as JSON.
#[pyfunction]
pub(crate) fn config_from_env(py: Python<'_>) -> PyResult<String> {
    let config = call(None, |out, err| trunkline_config_from_env(out, err));
    let config = config.map_err(|failed| failed.raise(py))?;
    Ok(buffer::config_json(config.as_deref()))
}
