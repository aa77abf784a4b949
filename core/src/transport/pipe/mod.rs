//! In-memory duplex streams: a socket pair without a kernel, and listeners on names.
//!
//! ```text
//!   PipeEnd ── write ──▶ Flow (≤ capacity) ── read ──▶ PipeEnd
//!           ◀── read ─── Flow (≤ capacity) ◀── write ──
//! ```
//!
//! Each direction is a bounded ring that allocates with its content, under a lock of its own that
//! is held for the length of one copy. A writer waits while its direction is full, so that two ends
//! that both write before they read stop at the capacity: the rule of every socket.
//!
//! No file descriptor, no thread, no task and no timer is used.

mod backlog;
mod end;
mod names;
mod ring;
mod state;
pub(super) mod waiter;

#[cfg(test)]
pub(super) mod testing;
#[cfg(test)]
mod tests;

pub use end::PipeEnd;
pub use names::{Names, PipeListener};

use crate::{
    config::{Config, PipeConfig},
    error::ConnectionError,
};

/// Makes a pipe: two connected ends.
///
/// # Errors
///
/// [`ConnectionError::InvalidConfig`] for a capacity out of range.
pub fn pair(config: &PipeConfig) -> Result<(PipeEnd, PipeEnd), ConnectionError> {
    config.validate()?;
    Ok(end::connected(config.capacity as usize))
}
