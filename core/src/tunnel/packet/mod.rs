//! The packet carrier: `tunnel.v1`, one call of gRPC that carries every logical connection of a link as packets.
//!
//! ```text
//!   hub                                          agent
//!   Link ── OPEN n, target, credit ──────────▶ Requested ── accept ──▶ End
//!    │   ◀── ACCEPTED n, credit, or ERROR n ─────     └──── refuse
//!    └▶ End ◀═══ DATA n both ways, as far as credit reaches ═══▶ End
//!       shutdown = END   abort = ERROR   dropped = STOP   drain = DRAINING … DRAIN, the last packet
//! ```
//!
//! The words in capitals but DATA, ERROR and DRAIN are additions of ours, spoken only where both ends have shown that
//! they know them. A peer that knows `tunnel.v1` alone is *legacy*, and let in only where a configuration says so. To
//! it a number is opened by its first data and has no credit; what it cannot say is not made up:
//!
//! - to a legacy hub an end is told by nothing but the bytes themselves, and packets are few and large, since it
//!   throws away what it cannot hold;
//! - a legacy agent may swap two packets that follow each other closely, so each connection sends one, and then waits
//!   for its answer;
//! - what either sends beyond a window holds up the link for `stall_timeout`, after which that connection is reset.
//!
//! State, without I/O: `message`, `reader`, `lane`, `used`, `metadata`. What acts: `engine`, over `lanes`.

mod agent;
mod end;
mod engine;
mod hub;
mod lane;
mod lanes;
mod link;
mod message;
mod metadata;
mod reader;
mod used;

#[cfg(any(test, fuzzing))]
pub(super) use message::Packet;
#[cfg(test)]
pub(super) use message::{DATA, ERROR, Word};
#[cfg(any(test, fuzzing))]
pub(super) use reader::Reader;

pub(super) use agent::call;
pub(super) use hub::{Ids, hear};
pub(super) use lane::LEGACY_CHUNK as WHOLE_MAX;
pub(super) use link::Limits;
