//! Datagrams: a bound socket in readiness form, whole batches per system call, and answers that leave from the
//! address that was asked.
//!
//! ```text
//!   Datagram ── users' handle: closes, counts, wakes ──▶ Socket ── quinn-udp ──▶ kernel       datagram.rs, socket.rs
//!       └── Inbox ── a received batch, cut into ──▶ Train: datagrams of one size, back to back  inbox.rs, train.rs
//! ```

mod datagram;
mod inbox;
mod socket;
mod train;

pub use datagram::{Datagram, DatagramCloseHandle, DatagramReady, DatagramStats, Received};
pub(crate) use datagram::{Refusal, refusal};
pub(crate) use inbox::{Arrived, Inbox};
pub(crate) use socket::{Socket, is_refused};
pub(crate) use train::Train;

#[cfg(test)]
mod tests;
