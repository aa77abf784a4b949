//! Sessions for datagrams: who sent what to which address of ours belongs together, has one upstream socket, and
//! ends in silence.
//!
//! ```text
//!   client ──▶ Relay ── by (source, local address) ──▶ Session ── connected socket ──▶ destination
//!     ▲          relay.rs          sessions.rs           │  early.rs: what came first waits in order
//!     └──────── from the address that was asked ─────────┘  trust.rs: how much an unverified source gets
//! ```
//!
//! Sessions are kept in two keyed pools: unverified ones, of which the least used makes room, and verified ones,
//! which none displaces. The pools end what is silent. A name that is slow to resolve holds up its own session
//! alone, and nothing that one client does holds up the socket for the others: what cannot be sent now
//! is dropped and counted.

mod connection;
mod deliver;
mod early;
mod live;
mod manager;
mod relay;
mod session;
mod sessions;
mod shared;
mod stats;
mod trust;
mod upstream;

pub use connection::{UdpConnection, UdpConnectionInfo};
pub use manager::{UdpConnectionManager, UdpRelayOptions};
pub use stats::{LiveUdpConnection, UdpManagerStats};
