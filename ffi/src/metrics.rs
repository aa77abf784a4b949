//! Metrics: one consistent snapshot, sample by sample or as text.
#![allow(unsafe_code, reason = "exported names are the ABI")]

use crate::{
    call::enter,
    error::{Failure, c_text, trunkline_error_t},
    handle::trunkline_runtime_t,
    input::trunkline_str_t,
    status::*,
};
use once_cell::unsync::OnceCell;
use std::{
    ffi::{CString, c_char},
    mem::MaybeUninit,
    ptr,
};
use trunkline_core::metrics::{Kind, Sample, Snapshot, Value};

/// Only grows.
pub const TRUNKLINE_METRIC_COUNTER: u32 = 1;
/// Goes up and down.
pub const TRUNKLINE_METRIC_GAUGE: u32 = 2;
/// A distribution.
pub const TRUNKLINE_METRIC_HISTOGRAM: u32 = 3;

/// What all instruments of a runtime showed at one moment. Owned by one thread at a time; freed with
/// trunkline_metrics_free.
#[derive(Debug)]
pub struct trunkline_metrics_t {
    snapshot: Snapshot,
    /// The labels of each sample as text, for views into it.
    labels: Vec<String>,
    prometheus: OnceCell<CString>,
    openmetrics: OnceCell<CString>,
}

/// One series of one metric.
#[repr(C)]
#[derive(Clone, Copy, Debug)]
pub struct trunkline_metric_t {
    /// Borrowed until trunkline_metrics_free; a counter's ends in "_total".
    pub name: trunkline_str_t,
    /// As in the text formats, such as protocol="tcp"; borrowed until trunkline_metrics_free.
    pub labels: trunkline_str_t,
    /// One of TRUNKLINE_METRIC_*.
    pub kind: u32,
    /// 0
    pub reserved0: u32,
    /// The count or the level; of a histogram the sum of all values (seconds, for durations).
    pub value: f64,
    /// How many values a histogram has; else 0.
    pub count: u64,
}

impl trunkline_metrics_t {
    fn new(snapshot: Snapshot) -> Self {
        let labels = snapshot.samples().iter().map(|sample| sample.labels.to_string()).collect();
        Self { snapshot, labels, prometheus: OnceCell::new(), openmetrics: OnceCell::new() }
    }

    fn sample(&self, i: usize) -> Result<&Sample, Failure> {
        self.snapshot.samples().get(i).ok_or_else(|| {
            let count = self.snapshot.samples().len();
            Failure::new(TRUNKLINE_E_NOT_FOUND, format!("there are {count} samples"))
        })
    }

    fn metric(&self, i: usize) -> Result<trunkline_metric_t, Failure> {
        let sample = self.sample(i)?;
        let (value, count) = match &sample.value {
            Value::Counter(total) => (*total as f64, 0),
            Value::Gauge(level) => (*level as f64, 0),
            Value::Histogram(histogram) => (histogram.sum(), histogram.count()),
        };
        let kind = match sample.kind() {
            Kind::Counter => TRUNKLINE_METRIC_COUNTER,
            Kind::Gauge => TRUNKLINE_METRIC_GAUGE,
            Kind::Histogram => TRUNKLINE_METRIC_HISTOGRAM,
        };
        let (name, labels) = (sample.name.into(), self.labels[i].as_str().into());
        Ok(trunkline_metric_t { name, labels, kind, reserved0: 0, value, count })
    }

    fn quantile(&self, i: usize, q: f64) -> Result<f64, Failure> {
        let Value::Histogram(histogram) = &self.sample(i)?.value else {
            return Err(Failure::argument("the sample is no histogram"));
        };
        if !(0.0..=1.0).contains(&q) {
            return Err(Failure::argument("q: must be within 0 and 1"));
        }
        let found = histogram.quantile(q);
        found.ok_or_else(|| Failure::new(TRUNKLINE_E_NOT_FOUND, "the histogram has no values"))
    }
}

/// Reads all instruments of a runtime at one moment: counts of one connection are never torn apart.
///
/// Ownership: the snapshot is the caller's, to be freed with trunkline_metrics_free. Blocks: no. Threads: any.
/// Errors: INVALID_ARGUMENT, INVALID_HANDLE, FORKED. Since 0.1.
#[unsafe(no_mangle)]
pub extern "C" fn trunkline_metrics_snapshot(
    rt: trunkline_runtime_t,
    out: Option<&mut MaybeUninit<Option<Box<trunkline_metrics_t>>>>,
    err: Option<&mut MaybeUninit<Option<Box<trunkline_error_t>>>>,
) -> trunkline_status_t {
    enter(out, err, |call| {
        // Also of one that was shut down: its last counts are of interest.
        let runtime = match rt.h {
            0 => call.process().default_runtime()?,
            _ => call.object(rt)?,
        };
        let snapshot = runtime.network().metrics().snapshot();
        Ok(Some(Box::new(trunkline_metrics_t::new(snapshot))))
    })
}

/// How many samples there are; 0 for NULL.
///
/// Ownership: none. Blocks: no. Threads: the owner's. Errors: none. Since 0.1.
#[unsafe(no_mangle)]
pub extern "C" fn trunkline_metrics_len(metrics: Option<&trunkline_metrics_t>) -> usize {
    metrics.map_or(0, |metrics| metrics.snapshot.samples().len())
}

/// Sample number `i`, from 0; they are sorted by name and labels.
///
/// Ownership: the texts are borrowed until trunkline_metrics_free. Blocks: no. Threads: the owner's. Errors:
/// INVALID_ARGUMENT, NOT_FOUND. Since 0.1.
#[unsafe(no_mangle)]
pub extern "C" fn trunkline_metrics_get(
    metrics: Option<&trunkline_metrics_t>,
    i: usize,
    out: Option<&mut MaybeUninit<trunkline_metric_t>>,
) -> trunkline_status_t {
    enter(out, None, |_| metrics.ok_or_else(|| Failure::null("metrics"))?.metric(i))
}

/// The value that a share `q` (0 to 1, 0.5 is the median) of the values of histogram `i` does not exceed: never
/// below the true one, above it by 6.25 % at most.
///
/// Ownership: none. Blocks: no. Threads: the owner's. Errors: INVALID_ARGUMENT (also a sample that is no
/// histogram), NOT_FOUND (also a histogram without values). Since 0.1.
#[unsafe(no_mangle)]
pub extern "C" fn trunkline_metrics_quantile(
    metrics: Option<&trunkline_metrics_t>,
    i: usize,
    q: f64,
    value: Option<&mut MaybeUninit<f64>>,
) -> trunkline_status_t {
    enter(value, None, |_| metrics.ok_or_else(|| Failure::null("metrics"))?.quantile(i, q))
}

/// The snapshot as text that Prometheus reads (text/plain; version=0.0.4); NULL for NULL.
///
/// Ownership: borrowed until trunkline_metrics_free. Blocks: no. Threads: the owner's. Errors: none. Since 0.1.
#[unsafe(no_mangle)]
pub extern "C" fn trunkline_metrics_prometheus(
    metrics: Option<&trunkline_metrics_t>,
    len: Option<&mut usize>,
) -> *const c_char {
    let text = metrics
        .map(|metrics| metrics.prometheus.get_or_init(|| c_text(metrics.snapshot.to_prometheus())));
    give(text, len)
}

/// The snapshot as OpenMetrics 1.0 text (application/openmetrics-text; version=1.0.0; charset=utf-8); NULL for
/// NULL.
///
/// Ownership: borrowed until trunkline_metrics_free. Blocks: no. Threads: the owner's. Errors: none. Since 0.1.
#[unsafe(no_mangle)]
pub extern "C" fn trunkline_metrics_openmetrics(
    metrics: Option<&trunkline_metrics_t>,
    len: Option<&mut usize>,
) -> *const c_char {
    let text = metrics.map(|metrics| {
        metrics.openmetrics.get_or_init(|| c_text(metrics.snapshot.to_openmetrics()))
    });
    give(text, len)
}

fn give(text: Option<&CString>, len: Option<&mut usize>) -> *const c_char {
    if let Some(len) = len {
        *len = text.map_or(0, |text| text.count_bytes());
    }
    text.map_or(ptr::null(), |text| text.as_ptr())
}

/// Frees a snapshot; NULL does nothing.
///
/// Ownership: takes it. Blocks: no. Threads: the owner's. Errors: none. Since 0.1.
#[unsafe(no_mangle)]
pub extern "C" fn trunkline_metrics_free(metrics: Option<Box<trunkline_metrics_t>>) {
    drop(metrics);
}
