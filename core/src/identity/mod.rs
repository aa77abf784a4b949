//! Who we are and whom we trust: certificates, keys and roots, put into TLS and renewed while it runs.
//!
//! ```text
//!   TlsConfig ── load ──▶ Material ── build ──▶ Loaded (rustls) ◀── every new handshake
//!       ▲                 PEM, checked          swapped as a whole
//!       └── watch: files changed ── reload ──────────┘
//! ```
//!
//! The cryptography is ring's, named in every configuration: the process-wide default of rustls is neither
//! read nor set. Ring builds in seconds with nothing but a C compiler; what it lacks beside aws-lc-rs, the other
//! choice, is a FIPS mode and post-quantum key exchange.

mod build;
#[cfg(test)]
#[path = "../../../tests/certificates/mod.rs"]
pub(crate) mod certificates;
mod fault;
mod files;
mod material;
#[cfg(test)]
mod tests;
mod tls;
mod watch;

pub(crate) use build::in_bytes;
pub(crate) use fault::failure;
pub use tls::Tls;
pub(crate) use tls::server_showing;
