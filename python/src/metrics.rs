//! What all instruments showed at one moment.

use crate::{
    buffer::{self, DEFAULT, call},
    runtime,
};
use parking_lot::Mutex;
use pyo3::prelude::*;
use trunkline::*;

/// Name, labels as text, kind, value and count.
pub(crate) type Sample = (String, String, u32, f64, u64);

/// A snapshot of every instrument.
#[pyclass(frozen, module = "trunkline._native")]
pub(crate) struct Metrics {
    /// One thread at a time may read it; nobody waits for another while he does.
    snapshot: Mutex<Option<Box<trunkline_metrics_t>>>,
}

#[pymethods]
impl Metrics {
    #[new]
    fn new(py: Python<'_>) -> PyResult<Self> {
        let taken = call(None, |out, err| trunkline_metrics_snapshot(DEFAULT, out, err));
        let snapshot = Mutex::new(taken.map_err(|failed| failed.raise(py))?);
        runtime::in_use();
        Ok(Self { snapshot })
    }

    /// Every sample, sorted by name and labels.
    fn samples(&self, py: Python<'_>) -> PyResult<Vec<Sample>> {
        let snapshot = self.snapshot.lock();
        let count = trunkline_metrics_len(snapshot.as_deref());
        let read = (0..count).map(|i| buffer::metric(snapshot.as_deref(), i));
        read.collect::<Result<_, _>>().map_err(|failed| failed.raise(py))
    }

    /// A quantile of histogram number `i`, `None` if it has no values.
    fn quantile(&self, py: Python<'_>, i: usize, q: f64) -> PyResult<Option<f64>> {
        let snapshot = self.snapshot.lock();
        let found =
            call(0.0, |value, _| trunkline_metrics_quantile(snapshot.as_deref(), i, q, value));
        match found {
            Ok(value) => Ok(Some(value)),
            Err(failed) if failed.is(TRUNKLINE_E_NOT_FOUND) => Ok(None),
            Err(failed) => Err(failed.raise(py)),
        }
    }

    /// As text that Prometheus reads.
    fn prometheus(&self) -> String {
        buffer::metrics_text(self.snapshot.lock().as_deref(), trunkline_metrics_prometheus)
    }

    /// As OpenMetrics text.
    fn openmetrics(&self) -> String {
        buffer::metrics_text(self.snapshot.lock().as_deref(), trunkline_metrics_openmetrics)
    }
}
