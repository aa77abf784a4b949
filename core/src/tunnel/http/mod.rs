//! HTTP between those who ask and those who answer, for the hub's front and for the memory proxy.
//!
//! ```text
//!   stream ─▶ Checked ─▶ HTTP/1 or 2 ─▶ Front::exchange ─▶ Services ─▶ service
//!             framing                                  ◀── response, as it comes
//! ```
//!
//! What is read of HTTP/1 passes a reader of our own that is stricter than any behind it, so that both sides
//! cannot disagree about where a request ends. Bodies stream both ways and are held nowhere; other protocols that are
//! upgraded to are carried as bytes.

mod body;
mod checked;
mod fault;
mod framing;
#[cfg(fuzzing)]
mod fuzzing;
mod head;
mod requests;
mod rule;
mod serve;
mod services;
mod site;
mod switch;

pub(super) use body::{Passing, Reply, Ungathered};
pub(super) use checked::Gate;
pub(super) use fault::{Broken, Denial, Fault, status_of, with_causes};
#[cfg(fuzzing)]
pub(super) use fuzzing::requests as fuzz_requests;
pub(super) use head::{Known, host, path, to_service, to_user, upgrade};
pub(super) use requests::Requests;
pub(super) use rule::{Asked, Matched, Rule};
pub(super) use serve::serve;
pub(super) use services::Services;
pub(super) use site::{Front, Limits, Site};
pub(super) use switch::switch;

/// What HTTP/2 begins with where it was not agreed on.
const PREFACE: &[u8] = b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n";

/// What listeners of TLS agree on, the preferred one first.
pub(super) fn alpn() -> Vec<String> {
    vec!["h2".to_owned(), "http/1.1".to_owned()]
}
