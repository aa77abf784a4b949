//! The native carrier: HTTP/2 with the roles reversed. The agent has dialled and serves; the hub is the client.
//!
//! ```text
//!   hub                                     agent
//!   Link ── POST /open, target ──────────▶ Opening ── accept ──▶ End
//!    │   ◀── 200, or why not ─────────────      └──── refuse
//!    └▶ End ◀════ DATA both ways, each with its own credit ════▶ End
//!       shutdown = END_STREAM   abort = RST_STREAM   drain = GOAWAY   silence = PING
//! ```
//!
//! One stream is one logical connection. Its window bounds what the peer can make this end hold, and the
//! window of the link is that of all streams together: a reader that stalls holds up nobody else. Each end takes
//! what arrives out of `h2` at once, so that many small frames cost no more memory than their bytes.

mod agent;
mod buf;
mod end;
mod hub;
mod inlet;
mod link;
mod outlet;

pub(super) use agent::Serving;
use end::End;
pub(super) use hub::connect;
pub(super) use link::Limits;

use http::HeaderName;

/// Opens a logical connection.
const OPEN: &str = "/trunkline.tunnel/1/open";
/// Tells an agent that another one has taken its place.
const REPLACED: &str = "/trunkline.tunnel/1/replaced";
/// The target to dial; none for the agent's own choice.
const TARGET: HeaderName = HeaderName::from_static("target");
/// Whom the connection is for, as far as the hub knows.
const SOURCE: HeaderName = HeaderName::from_static("source");
/// The number beside a refusal.
const NUMBER: HeaderName = HeaderName::from_static("number");
/// The text beside a refusal.
const DETAIL: HeaderName = HeaderName::from_static("detail");
