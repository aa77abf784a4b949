//! The fields of a service config, one function for each kind of object in it.

use super::{
    CallPolicy, HedgingPolicy, MethodConfig, Name, RetryThrottling, ServiceDocument, policy,
    read::{At, Object},
};
use crate::{config::RetryPolicy, error::ConnectionError};
use serde_json::Value;
use std::{collections::HashMap, sync::Arc, time::Duration};

/// More attempts than this count as this.
const MAX_ATTEMPTS: u32 = 5;
/// More connections to one address than this count as this.
const MAX_CONNECTIONS: u32 = 10;

type Read<T> = Result<T, ConnectionError>;

pub(super) fn document(value: &Value) -> Read<ServiceDocument> {
    let whole = At::root(value).object()?;
    let health = whole.optional("healthCheckConfig", |at| {
        at.object()?.optional("serviceName", |name| Ok(name.text()?.to_owned()))
    })?;
    let balancing = policy::balancing(&whole)?;
    let around = balancing.clone().unwrap_or_default();
    Ok(ServiceDocument {
        methods: whole.optional("methodConfig", methods)?.unwrap_or_default(),
        retry_throttling: whole.optional("retryThrottling", throttling)?,
        health_check_service: health.flatten(),
        load_balancing: balancing.map(|balancing| balancing.policy),
        outlier_detection: around.outliers,
        subset_size: around.subset,
        max_connections: whole.optional("connectionScaling", scaling)?.flatten(),
    })
}

fn methods(list: At<'_>) -> Read<HashMap<Name, Arc<MethodConfig>>> {
    let mut methods = HashMap::new();
    for entry in list.list()? {
        let entry = entry.object()?;
        let config = Arc::new(method(&entry)?);
        let Some(names) = entry.field("name") else { continue };
        for at in names.list()? {
            let key = name(&at.object()?)?;
            if methods.insert(key, Arc::clone(&config)).is_some() {
                return at.refuse("is the name of an earlier entry too");
            }
        }
    }
    Ok(methods)
}

fn name(object: &Object<'_>) -> Read<Name> {
    let part = |field| {
        let part = object.optional(field, |at| at.text())?;
        Ok::<_, ConnectionError>(part.unwrap_or_default())
    };
    match (part("service")?, part("method")?) {
        ("", "") => Ok(Name("".into())),
        ("", _) => object.refuse("method", "needs a service beside it"),
        (service, method) => Ok(Name(format!("/{service}/{method}").into())),
    }
}

fn method(entry: &Object<'_>) -> Read<MethodConfig> {
    let retry = entry.optional("retryPolicy", retry)?.map(CallPolicy::Retry);
    let hedging = entry.optional("hedgingPolicy", hedging)?.map(CallPolicy::Hedging);
    if retry.is_some() && hedging.is_some() {
        return entry.refuse("hedgingPolicy", "must not stand beside a retryPolicy");
    }
    Ok(MethodConfig {
        wait_for_ready: entry.optional("waitForReady", |at| at.boolean())?,
        timeout: entry.optional("timeout", |at| at.duration())?,
        max_request_message_bytes: entry.optional("maxRequestMessageBytes", |at| at.whole())?,
        max_response_message_bytes: entry.optional("maxResponseMessageBytes", |at| at.whole())?,
        policy: retry.or(hedging),
    })
}

fn attempts(policy: &Object<'_>) -> Read<u32> {
    let at = policy.required("maxAttempts")?;
    match at.whole()? {
        0 | 1 => at.refuse("must be at least 2"),
        attempts => Ok(attempts.min(MAX_ATTEMPTS)),
    }
}

fn retry(at: At<'_>) -> Read<RetryPolicy> {
    let policy = at.object()?;
    let multiplier = policy.required("backoffMultiplier")?;
    let backoff_multiplier = multiplier.number()?;
    if backoff_multiplier <= 0.0 {
        return multiplier.refuse("must be greater than 0");
    }
    let codes = policy.required("retryableStatusCodes")?;
    let retryable_status_codes = codes.statuses()?;
    if retryable_status_codes.is_empty() {
        return codes.refuse("must name at least one");
    }
    Ok(RetryPolicy {
        max_attempts: attempts(&policy)?,
        initial_backoff: policy.required("initialBackoff")?.positive_duration()?,
        max_backoff: policy.required("maxBackoff")?.positive_duration()?,
        backoff_multiplier,
        retryable_status_codes,
    })
}

fn hedging(at: At<'_>) -> Read<HedgingPolicy> {
    let policy = at.object()?;
    let delay = policy.optional("hedgingDelay", |at| at.duration())?;
    let codes = policy.optional("nonFatalStatusCodes", |at| at.statuses())?;
    Ok(HedgingPolicy {
        max_attempts: attempts(&policy)?,
        hedging_delay: delay.unwrap_or(Duration::ZERO),
        non_fatal_status_codes: codes.unwrap_or_default(),
    })
}

fn throttling(at: At<'_>) -> Read<RetryThrottling> {
    let object = at.object()?;
    let tokens = object.required("maxTokens")?;
    let max_tokens = tokens.whole()?;
    if !(1..=1000).contains(&max_tokens) {
        return tokens.refuse("must be within 1 and 1000");
    }
    let ratio = object.required("tokenRatio")?;
    // Decimals after the third are ignored.
    let milli = (ratio.number()? * 1000.0 + 1e-6).floor();
    if milli < 1.0 {
        return ratio.refuse("must be at least 0.001");
    }
    let milli_token_ratio = milli.min(f64::from(1000 * max_tokens)) as u32;
    Ok(RetryThrottling { max_milli_tokens: 1000 * max_tokens, milli_token_ratio })
}

fn scaling(at: At<'_>) -> Read<Option<u32>> {
    at.object()?.optional("maxConnectionsPerSubchannel", |at| match at.whole()? {
        0 => at.refuse("must be at least 1"),
        connections => Ok(connections.min(MAX_CONNECTIONS)),
    })
}
