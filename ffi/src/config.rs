//! Configurations of connections: presets, JSON, the environment, and getters by dotted path.
#![allow(unsafe_code, reason = "texts come by pointer")]

use crate::{
    call::enter,
    error::{Failure, c_text, trunkline_error_t},
    input::{TRUNKLINE_NEVER, text},
    status::*,
};
use serde_json::Value;
use std::{
    ffi::{CString, c_char},
    mem::MaybeUninit,
    ptr,
};
use trunkline_core::{
    ConnectionConfig,
    config::{Config, Preset, TimeLimit},
};

/// A checked configuration that does not change any more. Owned by one thread at a time; freed with
/// trunkline_config_free.
#[derive(Debug)]
pub struct trunkline_config_t {
    json: CString,
    fields: Value,
}

impl trunkline_config_t {
    fn new(config: &ConnectionConfig) -> Result<Self, Failure> {
        config.validate()?;
        let json = config.to_json();
        let fields = serde_json::from_str(&json)
            .map_err(|error| Failure::argument(format!("the configuration: {error}")))?;
        Ok(Self { json: c_text(json), fields })
    }

    fn field(&self, path: &str) -> Result<&Value, Failure> {
        let step = |value: Option<_>, key: &str| value.and_then(|value: &Value| value.get(key));
        path.split('.').fold(Some(&self.fields), step).ok_or_else(|| {
            Failure::new(TRUNKLINE_E_NOT_FOUND, format!("there is no field {path:?}"))
        })
    }

    fn duration_ns(&self, path: &str) -> Result<i64, Failure> {
        let limit = self.field(path)?.as_str().and_then(|text| text.parse::<TimeLimit>().ok());
        match limit {
            Some(TimeLimit::Never) => Ok(TRUNKLINE_NEVER),
            Some(TimeLimit::After(duration)) => {
                Ok(i64::try_from(duration.as_nanos()).unwrap_or(TRUNKLINE_NEVER - 1))
            }
            None => Err(Failure::argument(format!("{path} is no duration"))),
        }
    }

    fn number(&self, path: &str) -> Result<f64, Failure> {
        let value = self.field(path)?;
        let number = value.as_f64().or_else(|| value.as_bool().map(|is_on| f64::from(is_on as u8)));
        number.ok_or_else(|| Failure::argument(format!("{path} is no number and no boolean")))
    }
}

/// Makes the configuration of a preset: "production", "development" or "high_throughput".
///
/// Ownership: the configuration is the caller's, to be freed with trunkline_config_free. Blocks: no. Threads: any.
/// Errors: INVALID_ARGUMENT. Since 0.1.
///
/// # Safety
///
/// `name` is good for `name_len` bytes.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn trunkline_config_preset(
    name: *const c_char,
    name_len: usize,
    out: Option<&mut MaybeUninit<Option<Box<trunkline_config_t>>>>,
    err: Option<&mut MaybeUninit<Option<Box<trunkline_error_t>>>>,
) -> trunkline_status_t {
    enter(out, err, |_| {
        // SAFETY: the caller's promise is the same.
        let preset: Preset = unsafe { text(name, name_len, "name")? }.parse()?;
        Ok(Some(Box::new(trunkline_config_t::new(&preset.config())?)))
    })
}

/// Reads and checks a JSON document such as {"preset": "development", "connect_timeout": "2s"}. Absent keys
/// and null mean the preset's figure, durations are texts such as "500ms", "1h" or "never".
///
/// Ownership: the configuration is the caller's, to be freed with trunkline_config_free. Blocks: no. Threads: any.
/// Errors: INVALID_ARGUMENT (names the field and its range). Since 0.1.
///
/// # Safety
///
/// `json` is good for `json_len` bytes.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn trunkline_config_from_json(
    json: *const c_char,
    json_len: usize,
    out: Option<&mut MaybeUninit<Option<Box<trunkline_config_t>>>>,
    err: Option<&mut MaybeUninit<Option<Box<trunkline_error_t>>>>,
) -> trunkline_status_t {
    enter(out, err, |_| {
        // SAFETY: the caller's promise is the same.
        let json = unsafe { text(json, json_len, "json")? };
        Ok(Some(Box::new(trunkline_config_t::new(&ConnectionConfig::from_json(json)?)?)))
    })
}

/// Makes the configuration of the preset that the environment variable ENVIRONMENT names; production if it
/// names none.
///
/// Ownership: the configuration is the caller's, to be freed with trunkline_config_free. Blocks: no. Threads: any
/// while no thread changes the environment. Errors: INVALID_ARGUMENT. Since 0.1.
#[unsafe(no_mangle)]
pub extern "C" fn trunkline_config_from_env(
    out: Option<&mut MaybeUninit<Option<Box<trunkline_config_t>>>>,
    err: Option<&mut MaybeUninit<Option<Box<trunkline_error_t>>>>,
) -> trunkline_status_t {
    enter(out, err, |_| Ok(Some(Box::new(trunkline_config_t::new(&ConnectionConfig::from_env())?))))
}

/// Every field as JSON, for trunkline_config_from_json to read back unchanged; NULL for NULL.
///
/// Ownership: borrowed until trunkline_config_free. Blocks: no. Threads: the owner's. Errors: none. Since 0.1.
#[unsafe(no_mangle)]
pub extern "C" fn trunkline_config_json(
    config: Option<&trunkline_config_t>,
    len: Option<&mut usize>,
) -> *const c_char {
    if let Some(len) = len {
        *len = config.map_or(0, |config| config.json.count_bytes());
    }
    config.map_or(ptr::null(), |config| config.json.as_ptr())
}

/// A duration in nanoseconds by its path, such as "connect_timeout" or "keepalive.time"; TRUNKLINE_NEVER for
/// one that never ends.
///
/// Ownership: none. Blocks: no. Threads: the owner's. Errors: INVALID_ARGUMENT (also a field that is no
/// duration), NOT_FOUND. Since 0.1.
///
/// # Safety
///
/// `path` is good for `path_len` bytes.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn trunkline_config_get_duration(
    config: Option<&trunkline_config_t>,
    path: *const c_char,
    path_len: usize,
    ns: Option<&mut MaybeUninit<i64>>,
) -> trunkline_status_t {
    enter(ns, None, |_| {
        // SAFETY: the caller's promise is the same.
        let path = unsafe { text(path, path_len, "path")? };
        config.ok_or_else(|| Failure::null("config"))?.duration_ns(path)
    })
}

/// A number by its path, such as "max_message_size" or "backoff.jitter"; a boolean is 0 or 1.
///
/// Ownership: none. Blocks: no. Threads: the owner's. Errors: INVALID_ARGUMENT (also a field that is no
/// number), NOT_FOUND. Since 0.1.
///
/// # Safety
///
/// `path` is good for `path_len` bytes.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn trunkline_config_get_number(
    config: Option<&trunkline_config_t>,
    path: *const c_char,
    path_len: usize,
    value: Option<&mut MaybeUninit<f64>>,
) -> trunkline_status_t {
    enter(value, None, |_| {
        // SAFETY: the caller's promise is the same.
        let path = unsafe { text(path, path_len, "path")? };
        config.ok_or_else(|| Failure::null("config"))?.number(path)
    })
}

/// Frees a configuration; NULL does nothing.
///
/// Ownership: takes it. Blocks: no. Threads: the owner's. Errors: none. Since 0.1.
#[unsafe(no_mangle)]
pub extern "C" fn trunkline_config_free(config: Option<Box<trunkline_config_t>>) {
    drop(config);
}
