//! What is told: times as numbers, documents as buffers.

use crate::buf::trunkline_buf_t;
use std::time::Duration;

/// In nanoseconds; more than five centuries is the most there is.
pub(crate) fn ns(time: Duration) -> u64 {
    u64::try_from(time.as_nanos()).unwrap_or(u64::MAX)
}

/// A text as a buffer of the caller's.
pub(crate) fn document(text: &str) -> Option<Box<trunkline_buf_t>> {
    Some(Box::new(trunkline_buf_t::owned(text.as_bytes().to_vec())))
}
