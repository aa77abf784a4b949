//! What a channel, its addresses and its connections look like at one moment.

use super::{
    ConnectivityState,
    standing::Standing,
    tally::{ChannelPoolStats, RetireReason, Tally},
};
use crate::{
    address::Address, context::ConnectionId, endpoint::EndpointId, error::ConnectionError,
};
use std::time::{Duration, Instant};

/// A channel as [`Channel::inspect`](super::Channel::inspect) saw it.
#[non_exhaustive]
#[derive(Clone, Debug)]
pub struct LiveChannel {
    /// The target, as it was given.
    pub target: Box<str>,
    /// What is told of it.
    pub state: ConnectivityState,
    /// How long it has been told.
    pub state_age: Duration,
    /// Calls that began.
    pub calls_started: u64,
    /// Calls that ended with OK.
    pub calls_succeeded: u64,
    /// Calls that ended with another status, or were given up.
    pub calls_failed: u64,
    /// Calls that wait for a connection.
    pub calls_queued: usize,
    /// How long ago the last call began; `None` before the first.
    pub last_call: Option<Duration>,
    /// Why the last look-up of its addresses failed, until one succeeds.
    pub lookup_error: Option<ConnectionError>,
    /// In how long they are looked up again, if that is wanted.
    pub next_lookup: Option<Duration>,
    /// In the order in which they are used; behind them those that are left and whose calls still go on.
    pub addresses: Vec<LiveAddress>,
    /// What its connections were good for.
    pub pool: ChannelPoolStats,
}

/// One address of a channel.
#[non_exhaustive]
#[derive(Clone, Debug)]
pub struct LiveAddress {
    /// Where it is.
    pub address: Address,
    /// Whether it can carry calls; shutdown for one that is left.
    pub state: ConnectivityState,
    /// Whether it gets no calls because more of them failed than of the others'.
    pub is_ejected: bool,
    /// Attempts of calls that went there since it is known.
    pub calls_started: u64,
    /// Attempts that ended with OK.
    pub calls_succeeded: u64,
    /// Attempts that ended with another status, were given up or could not be sent.
    pub calls_failed: u64,
    /// How long ago the last one began.
    pub last_call: Option<Duration>,
    /// Why its last attempt to connect or its last connection failed, until an attempt succeeds.
    pub last_error: Option<ConnectionError>,
    /// In how long the next attempt may begin, while a failure is waited out.
    pub next_attempt: Option<Duration>,
    /// Those that stand, in the order in which they were made.
    pub connections: Vec<LiveConnection>,
}

/// One connection of a channel.
#[non_exhaustive]
#[derive(Clone, Debug)]
pub struct LiveConnection {
    /// Its number, the same as in events and errors.
    pub id: ConnectionId,
    /// Our end, where it has a name.
    pub local: Option<Address>,
    /// The server's end.
    pub remote: Option<Address>,
    /// How it is secured; `None` if it is not.
    pub security: Option<LiveSecurity>,
    /// How long it has stood.
    pub age: Duration,
    /// How long ago the last call began on it.
    pub last_call: Option<Duration>,
    /// Attempts of calls that went on it: each is a stream of HTTP/2.
    pub calls_started: u64,
    /// Attempts that ended with OK.
    pub calls_succeeded: u64,
    /// Attempts that ended with another status, were given up or could not be sent.
    pub calls_failed: u64,
    /// Calls that it takes at once, as its peer says.
    pub calls_limit: u32,
    /// Keepalive pings that were sent.
    pub keepalives_sent: u64,
    /// Bytes that came from the peer, HTTP/2 and TLS included.
    pub bytes_received: u64,
    /// Bytes that went to the peer, HTTP/2 and TLS included.
    pub bytes_sent: u64,
    /// Why it takes no new calls, and ends when those under way have.
    pub retired: Option<RetireReason>,
}

/// How a connection is secured.
#[non_exhaustive]
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct LiveSecurity {
    /// `"TLSv1.3"` or `"TLSv1.2"`.
    pub version: &'static str,
    /// The name that the server was asked for, and has proved.
    pub server_name: Option<String>,
    /// The first URI that the server's certificate is for, such as a SPIFFE id.
    pub peer_uri: Option<String>,
}

impl LiveChannel {
    /// Calls that are under way.
    pub fn calls_active(&self) -> u64 {
        self.calls_started - self.calls_succeeded - self.calls_failed
    }
}

impl LiveConnection {
    /// Attempts of calls that are under way on it.
    pub fn calls_active(&self) -> u64 {
        self.calls_started - self.calls_succeeded - self.calls_failed
    }
}

/// What the state of a channel shows of one address.
#[derive(Debug)]
pub(super) struct SeenAddress {
    pub(super) id: EndpointId,
    pub(super) address: Address,
    pub(super) state: ConnectivityState,
    pub(super) is_ejected: bool,
    pub(super) calls: Tally,
    pub(super) last_error: Option<ConnectionError>,
    pub(super) next_attempt: Option<Instant>,
}

/// What the state of a channel shows, taken under its lock.
#[derive(Debug)]
pub(super) struct Seen {
    pub(super) state: ConnectivityState,
    pub(super) since: Instant,
    pub(super) calls: Tally,
    pub(super) queued: usize,
    pub(super) lookup_error: Option<ConnectionError>,
    pub(super) next_lookup: Option<Instant>,
    pub(super) addresses: Vec<SeenAddress>,
    pub(super) pool: ChannelPoolStats,
}

impl Seen {
    /// Puts what was seen and what stands together, as of `now`.
    pub(super) fn told(self, target: &str, standing: &[Standing], now: Instant) -> LiveChannel {
        let ago = |at: Option<Instant>| at.map(|at| now.saturating_duration_since(at));
        let left = |at: Option<Instant>| at.map(|at| at.saturating_duration_since(now));
        let of = |id: EndpointId| {
            let its = standing.iter().filter(|one| one.subchannel == id);
            its.filter_map(|one| one.record.look(now)).collect()
        };
        let known: Vec<_> = self.addresses.iter().map(|seen| seen.id).collect();
        let told = |seen: SeenAddress| LiveAddress {
            connections: of(seen.id),
            address: seen.address,
            state: seen.state,
            is_ejected: seen.is_ejected,
            calls_started: seen.calls.started,
            calls_succeeded: seen.calls.succeeded,
            calls_failed: seen.calls.failed,
            last_call: ago(seen.calls.last),
            last_error: seen.last_error,
            next_attempt: left(seen.next_attempt),
        };
        let mut addresses: Vec<_> = self.addresses.into_iter().map(told).collect();
        let mut gone: Vec<EndpointId> = Vec::new();
        for one in standing {
            if !known.contains(&one.subchannel) && !gone.contains(&one.subchannel) {
                gone.push(one.subchannel);
                addresses.push(LiveAddress::gone(one.address.clone(), of(one.subchannel)));
            }
        }
        LiveChannel {
            target: target.into(),
            state: self.state,
            state_age: now.saturating_duration_since(self.since),
            calls_started: self.calls.started,
            calls_succeeded: self.calls.succeeded,
            calls_failed: self.calls.failed,
            calls_queued: self.queued,
            last_call: ago(self.calls.last),
            lookup_error: self.lookup_error,
            next_lookup: left(self.next_lookup),
            addresses,
            pool: self.pool,
        }
    }
}

impl LiveAddress {
    /// One that is no longer used, whose connections end with their calls.
    fn gone(address: Address, connections: Vec<LiveConnection>) -> Self {
        let sum = |count: fn(&LiveConnection) -> u64| connections.iter().map(count).sum();
        Self {
            address,
            state: ConnectivityState::Shutdown,
            is_ejected: false,
            calls_started: sum(|one| one.calls_started),
            calls_succeeded: sum(|one| one.calls_succeeded),
            calls_failed: sum(|one| one.calls_failed),
            last_call: connections.iter().filter_map(|one| one.last_call).min(),
            last_error: None,
            next_attempt: None,
            connections,
        }
    }
}
