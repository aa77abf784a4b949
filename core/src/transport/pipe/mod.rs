//! In-memory duplex streams: a socket pair without a kernel, and listeners on names.
//!
//! ```text
//!   PipeEnd ── Producer ──▶ (≤ capacity) ── Consumer ──▶ PipeEnd
//!           ◀── Consumer ── (≤ capacity) ◀── Producer ──
//! ```
//!
//! Each direction is a bounded ring that allocates with its content. Writer and reader share no lock: each
//! publishes how far it has come, and looks whether the other waits, which is one load if it does not. Large
//! buffers can be handed over instead of copied. A writer waits while its direction is full, so that two ends
//! that both write before they read stop at the capacity: the rule of every socket.
//!
//! No file descriptor, no thread, no task and no timer is used.

mod backlog;
mod end;
mod link;
mod names;
mod ring;
mod size;
mod state;
mod view;
mod waiter;

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
    Ok(end::connected(config.capacity))
}
