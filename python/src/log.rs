//! What the library says, kept until a thread of Python takes it.

use crate::{
    buffer::{self, Record},
    queue::Queue,
};
use parking_lot::Mutex;
use pyo3::prelude::*;
use std::{collections::VecDeque, sync::Arc};
use trunkline::{trunkline_cq_t, trunkline_cq_wake};

/// Records that wait to be taken, a bounded number of them, and how many did not fit.
pub(crate) struct Ring {
    state: Mutex<State>,
    capacity: usize,
    queue: trunkline_cq_t,
}

#[derive(Default)]
struct State {
    records: VecDeque<Record>,
    dropped: u64,
}

impl Ring {
    /// Keeps a record, on whatever thread it comes from. The taker is told of the first.
    pub(crate) fn push(&self, record: Record) {
        let is_first = {
            let mut state = self.state.lock();
            if state.records.len() == self.capacity {
                state.dropped += 1;
                return;
            }
            state.records.push_back(record);
            state.records.len() == 1
        };
        if is_first {
            let _ = trunkline_cq_wake(self.queue);
        }
    }
}

/// Where what the library says goes, instead of wherever it went before.
#[pyclass(frozen, module = "trunkline._native")]
pub(crate) struct LogRing {
    ring: Arc<Ring>,
}

#[pymethods]
impl LogRing {
    /// Keeps at most `capacity` records up to `level` (1 errors to 5 everything), and wakes `queue`.
    #[new]
    fn new(py: Python<'_>, level: i32, capacity: usize, queue: &Queue) -> PyResult<Self> {
        let state = Mutex::default();
        let ring = Arc::new(Ring { state, capacity, queue: queue.handle });
        buffer::log_to(level, Arc::clone(&ring)).map_err(|failed| failed.raise(py))?;
        Ok(Self { ring })
    }

    /// The records so far, oldest first, and how many did not fit.
    fn take(&self) -> (Vec<Record>, u64) {
        let taken = std::mem::take(&mut *self.ring.state.lock());
        (taken.records.into(), taken.dropped)
    }
}

/// Ends it: nothing is kept from now on.
#[pyfunction]
pub(crate) fn log_off(py: Python<'_>) -> PyResult<()> {
    buffer::log_off().map_err(|failed| failed.raise(py))
}
