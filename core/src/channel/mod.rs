//! Channels to gRPC servers: one logical peer over connections of HTTP/2 that are made, kept and replaced here.
//!
//! ```text
//!  Channel ─▶ exchange ─▶ attempt ─▶ connection ─▶ Stream        one call
//!     │        retry, hedging, deadline    │
//!     │                                    ▼
//!     └────▶ shared ─▶ state ─▶ balance ─▶ subchannel            addresses, states, backoff, picking
//! ```
//!
//! What decides is pure: `state`, `balance`, `subchannel`, `connectivity`, `resolution`, `retry`, `keepalive`,
//! `idle`, `health`, `report`, `frame_reader`, `frames`, `security`, `tally`, `live`,
//! `history`, `listed`. What acts: `shared` (one lock), `standing`, `place`, `tasks`, `lookup`, `resolver`, `connection`,
//! `asking`, `exchange`.
//!
//! Absences: no name server of its own, no proxy. Names are looked up on a timer only where that is asked for.

mod asking;
mod attempt;
mod balance;
mod call;
mod codec;
mod connection;
mod connectivity;
mod exchange;
mod frame_reader;
mod frames;
mod handle;
mod health;
mod hedging;
mod history;
mod idle;
mod interceptor;
mod keepalive;
mod listed;
mod live;
mod lookup;
mod messages;
mod metadata;
mod meter;
mod meters;
mod place;
mod ready_made;
mod received;
mod record;
mod replay;
mod report;
mod resolution;
mod resolver;
mod response;
mod retry;
mod security;
mod server;
mod shared;
mod spans;
mod standing;
mod state;
mod status;
mod subchannel;
mod tally;
mod target;
mod tasks;
mod telemetry;
#[cfg(test)]
mod tests;
mod timeout;
mod turns;
mod wire;

pub use call::{Call, CallOptions, Compression, Reply};
pub use codec::BytesCodec;
pub use connectivity::ConnectivityState;
pub use exchange::{Deadline, MaxReply, WaitForReady};
pub use handle::{Channel, ResponseFuture};
pub use health::ServingStatus;
pub use history::{History, StateChange};
pub use interceptor::{Beginning, Ending, Interceptor, OnCall};
pub use live::{LiveAddress, LiveChannel, LiveConnection, LiveSecurity};
pub use metadata::{Metadata, check_metadata};
pub use resolver::{ResolveQuestion, Resolver, Resolving};
pub use response::ResponseBody;
pub use server::{
    ChannelServer, HealthReporter, Incoming, Messages, Methods, Outcome, RequestBody,
};
pub use tally::{ChannelPoolStats, RetireReason};
pub use tonic::{Code, Status};
