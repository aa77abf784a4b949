//! Interceptors that are there already, for channels whose configuration asks for them.

mod caller;
mod counting;
mod logging;

use super::interceptor::Interceptor;
use crate::{config::InterceptorsConfig, metrics::Metrics};
use std::sync::Arc;

/// Those that are asked for, in the order in which calls pass them.
pub(super) fn ready_made(
    config: &InterceptorsConfig,
    target: &str,
    metrics: &Metrics,
) -> Vec<Arc<dyn Interceptor>> {
    let mut all: Vec<Arc<dyn Interceptor>> = Vec::new();
    if let Some(caller) = &config.caller {
        all.push(Arc::new(caller::Caller::new(caller)));
    }
    if let Some(logging) = &config.logging {
        all.push(Arc::new(logging::Logging::new(logging, target)));
    }
    if config.metrics {
        all.push(Arc::new(counting::Counting::new(metrics)));
    }
    all
}
