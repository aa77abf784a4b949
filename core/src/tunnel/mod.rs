//! Reaches services behind a firewall: an agent dials out to a hub, and the hub opens connections through it.
//!
//! ```text
//!   program ── Hub::dial ──┐                                     ┌── Agent::listener ── host serves it
//!   TCP client ── forward ─┼─▶ Hub ══ tunnel (agent dialled) ══▶ Agent ── forward, targets ──▶ service
//!                          └─ limits per cluster                 └─ an allow-list of its own
//! ```
//!
//! - An agent proves its cluster's name before anything else is said; the default is that nobody is let in.
//! - A logical connection is a [`Stream`] at both ends: half-close, reset, deadlines, counts, relay as with any other.
//! - Each has credit of its own. A reader that stalls stalls itself, and holds at most its window.
//! - Nothing is dropped: what was accepted arrives, or both ends see a reset.
//! - A connection belongs to the link that it was opened on. When that is lost it is reset; no byte of it ever
//!   shows up on another.
//!
//! [`Stream`]: crate::transport::Stream

mod agent;
mod auth;
mod carrier;
mod counts;
mod ending;
#[cfg(fuzzing)]
pub mod fuzzing;
mod greet;
mod hello;
mod http;
mod hub;
mod incoming;
mod line;
mod memory;
mod native;
mod packet;
mod pings;
mod prefixed;
mod refusal;
#[cfg(test)]
mod tests;

pub use agent::{Agent, AgentStats};
pub use auth::{Authenticator, Claim, Verified};
pub use hub::{Hub, HubStats};
pub use memory::{
    Answering, CertificateChoice, CertificateProvider, CommPathStats, FieldChanges,
    MemoryCommStats, MemoryProxy, MemoryProxyStats, Processed, ProxyHello, ProxyHooks,
    ProxyRefusal, ProxyRequest, ProxyTarget, RequestProcessor, Routed, Router,
};
