//! The latest things that happened to connections and listeners, in a ring that never blocks anyone.

use crate::{
    address::Address,
    context::{CloseReason, ConnectionContext, ConnectionId, Direction, Protocol},
    error::TlsFault,
};
use parking_lot::Mutex;
use std::{
    collections::VecDeque,
    sync::Arc,
    time::{Duration, Instant},
};

/// Something that happened once.
#[non_exhaustive]
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Event {
    /// When, on the monotonic clock.
    pub at: Instant,
    /// What.
    pub kind: EventKind,
    /// The connection it happened to; `None` for listeners, managers and pools.
    pub connection: Option<ConnectionId>,
    /// The end that asked for the connection, where known.
    pub source: Option<Address>,
    /// The end that was asked, where known; for a listener, its own address.
    pub destination: Option<Address>,
}

/// What happened, with the figures that belong to it.
#[non_exhaustive]
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum EventKind {
    /// A connection stood.
    Opened {
        /// What carries its bytes.
        protocol: Protocol,
        /// Which side asked for it.
        direction: Direction,
    },
    /// A connection ended.
    Closed {
        /// Why.
        reason: CloseReason,
        /// Bytes that came from the peer.
        bytes_received: u64,
        /// Bytes that went to the peer.
        bytes_sent: u64,
        /// How long it had stood.
        duration: Duration,
    },
    /// A listener stopped accepting; new connections wait in its backlog.
    AcceptPaused {
        /// Why.
        cause: PauseCause,
    },
    /// A listener that had paused accepts again.
    AcceptResumed,
    /// Somebody asked for more than a limit allows, and was refused or made to wait.
    LimitReached {
        /// The limit.
        limit: u64,
    },
    /// A tunnel between an agent and a hub stood.
    LinkUp,
    /// A tunnel between an agent and a hub is over.
    LinkDown,
    /// No new connections from here on; those that stand may finish.
    DrainStarted {
        /// Connections that stood then.
        connections: u64,
    },
    /// The drain is over.
    DrainEnded {
        /// Connections that it closed: those that had not finished by the deadline, or had no place of their
        /// backend yet.
        cut: u64,
    },
    /// A client was not let in: its TLS handshake failed.
    HandshakeFailed {
        /// Whose fault it was; `None` where the client left, or was too slow.
        fault: Option<TlsFault>,
    },
    /// Certificates were read anew, and are in use.
    IdentityLoaded,
    /// Certificates were read anew and cannot be used; those that were read before stay in use.
    IdentityRefused,
}

impl EventKind {
    /// Lower-case name, as in logs and other languages.
    pub fn name(&self) -> &'static str {
        match self {
            Self::Opened { .. } => "opened",
            Self::Closed { .. } => "closed",
            Self::AcceptPaused { .. } => "accept_paused",
            Self::AcceptResumed => "accept_resumed",
            Self::LimitReached { .. } => "limit_reached",
            Self::LinkUp => "link_up",
            Self::LinkDown => "link_down",
            Self::DrainStarted { .. } => "drain_started",
            Self::DrainEnded { .. } => "drain_ended",
            Self::HandshakeFailed { .. } => "handshake_failed",
            Self::IdentityLoaded => "identity_loaded",
            Self::IdentityRefused => "identity_refused",
        }
    }
}

/// Why a listener stopped accepting for a while.
#[non_exhaustive]
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum PauseCause {
    /// As many connections as its manager may have are open.
    Limit,
    /// The process or the system has no file descriptor or no memory left for one more.
    Resources,
}

impl PauseCause {
    /// Lower-case name, as in logs and other languages.
    pub fn name(self) -> &'static str {
        match self {
            Self::Limit => "limit",
            Self::Resources => "resources",
        }
    }
}

impl Event {
    /// The connection of `context` stood, at the time that the context says.
    pub fn opened(context: &ConnectionContext) -> Self {
        let (protocol, direction) = (context.protocol, context.direction);
        Self::of_connection(EventKind::Opened { protocol, direction }, context, context.created)
    }

    /// The connection of `context` ended at `now`, after so many bytes.
    pub fn closed(
        context: &ConnectionContext,
        reason: CloseReason,
        bytes_received: u64,
        bytes_sent: u64,
        now: Instant,
    ) -> Self {
        let duration = now.saturating_duration_since(context.created);
        let kind = EventKind::Closed { reason, bytes_received, bytes_sent, duration };
        Self::of_connection(kind, context, now)
    }

    /// Something happened at `now` to a listener, or with no address, to a manager or pool.
    pub fn of_listener(kind: EventKind, address: Option<Address>, now: Instant) -> Self {
        Self { at: now, kind, connection: None, source: None, destination: address }
    }

    /// A client of the listener at `destination` was not let in at `now`.
    pub fn handshake_failed(
        fault: Option<TlsFault>,
        (source, destination): (Option<Address>, Option<Address>),
        now: Instant,
    ) -> Self {
        let kind = EventKind::HandshakeFailed { fault };
        Self { at: now, kind, connection: None, source, destination }
    }

    fn of_connection(kind: EventKind, context: &ConnectionContext, at: Instant) -> Self {
        Self {
            at,
            kind,
            connection: Some(context.id),
            source: context.source.clone(),
            destination: context.destination.clone(),
        }
    }
}

const _: () = assert!(size_of::<Event>() <= 160, "the docs of `with_capacity` say so");

/// A bounded ring of [`Event`]s: when it is full, the oldest goes and is counted.
///
/// Clones are handles to one ring. One reader drains it; a second would share the events with it.
#[derive(Clone, Debug)]
pub struct Events {
    ring: Arc<Mutex<Ring>>,
}

#[derive(Debug)]
struct Ring {
    events: VecDeque<Event>,
    capacity: usize,
    /// Since the last drain.
    dropped: u64,
}

/// What [`Events::drain`] took out.
#[must_use]
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Drained {
    /// Oldest first, in the order in which they were recorded.
    pub events: Vec<Event>,
    /// Events older than these that were lost, since the drain before, because the ring was full.
    pub dropped: u64,
}

impl Events {
    /// Events that the ring of a runtime holds unless configured otherwise.
    pub const DEFAULT_CAPACITY: usize = 1024;

    /// Makes an empty ring for `capacity` events of at most 160 bytes and the text of their addresses.
    /// With zero, every event is dropped and counted.
    ///
    /// Memory grows with the events that are there, up to that capacity.
    pub fn with_capacity(capacity: usize) -> Self {
        let ring = Ring { events: VecDeque::new(), capacity, dropped: 0 };
        Self { ring: Arc::new(Mutex::new(ring)) }
    }

    /// Appends `event`, in place of the oldest if the ring is full. Never blocks for longer than a few moves.
    pub fn record(&self, event: Event) {
        // Bound outside of the lock's scope, so that what was pushed out is dropped after it.
        let _pushed_out = self.ring.lock().push(event);
    }

    /// Takes at most `max` of the oldest events, and the count of those lost before them.
    pub fn drain(&self, max: usize) -> Drained {
        let mut ring = self.ring.lock();
        let count = max.min(ring.events.len());
        let events = ring.events.drain(..count).collect();
        Drained { events, dropped: std::mem::take(&mut ring.dropped) }
    }
}

impl Default for Events {
    fn default() -> Self {
        Self::with_capacity(Self::DEFAULT_CAPACITY)
    }
}

impl Ring {
    fn push(&mut self, event: Event) -> Option<Event> {
        self.events.push_back(event);
        if self.events.len() <= self.capacity {
            return None;
        }
        self.dropped += 1;
        self.events.pop_front()
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;
    use std::thread;

    #[expect(clippy::disallowed_methods, reason = "any moment will do")]
    fn limit_reached(limit: u64) -> Event {
        Event::of_listener(EventKind::LimitReached { limit }, None, Instant::now())
    }

    fn limits(drained: &Drained) -> Vec<u64> {
        let limit = |event: &Event| match event.kind {
            EventKind::LimitReached { limit } => limit,
            ref other => panic!("{other:?}"),
        };
        drained.events.iter().map(limit).collect()
    }

    #[test]
    fn an_event_says_who_when_and_how_much() {
        let source = "tcp://127.0.0.1:9".parse().ok();
        let destination = "mem:app".parse().ok();
        let created = limit_reached(0).at;
        let context = ConnectionContext {
            id: ConnectionId::next(),
            protocol: Protocol::Pipe,
            direction: Direction::Dialled,
            source: source.clone(),
            destination: destination.clone(),
            created,
        };
        let opened = Event::opened(&context);
        assert_eq!(opened.at, created);
        assert_eq!((opened.connection, opened.source), (Some(context.id), source));

        let now = created + Duration::from_secs(2);
        let closed = Event::closed(&context, CloseReason::Reset, 10, 20, now);
        assert_eq!((closed.at, closed.destination), (now, destination));
        let (reason, duration) = (CloseReason::Reset, Duration::from_secs(2));
        let kind = EventKind::Closed { reason, bytes_received: 10, bytes_sent: 20, duration };
        assert_eq!(closed.kind, kind);
        assert_eq!(closed.kind.name(), "closed");
    }

    #[test]
    fn a_full_ring_drops_the_oldest_and_says_how_many() {
        let events = Events::with_capacity(2);
        (1..=5).for_each(|limit| events.record(limit_reached(limit)));
        let first = events.drain(1);
        assert_eq!((limits(&first), first.dropped), (vec![4], 3));
        let second = events.drain(9);
        assert_eq!((limits(&second), second.dropped), (vec![5], 0));
        assert_eq!(events.drain(9), Drained { events: vec![], dropped: 0 });
    }

    #[test]
    fn what_many_threads_record_is_drained_or_counted_as_dropped() {
        let events = Events::with_capacity(16);
        let mut seen = 0;
        let mut take = || {
            let drained = events.drain(8);
            seen += drained.events.len() as u64 + drained.dropped;
            seen
        };
        thread::scope(|scope| {
            for _ in 0..4 {
                scope.spawn(|| (0..2_000).for_each(|limit| events.record(limit_reached(limit))));
            }
            while take() < 8_000 {}
        });
        assert_eq!(take(), 8_000);
    }

    proptest! {
        #[test]
        fn a_ring_keeps_the_newest_in_order_and_accounts_for_the_rest(
            capacity in 0usize..6,
            // Some(max) drains, None records.
            steps in proptest::collection::vec(proptest::option::of(0usize..5), 0..60),
        ) {
            let events = Events::with_capacity(capacity);
            let (mut recorded, mut next) = (0, 0);
            for step in steps.into_iter().chain([Some(usize::MAX)]) {
                let Some(max) = step else {
                    events.record(limit_reached(recorded));
                    recorded += 1;
                    continue;
                };
                let drained = events.drain(max);
                next += drained.dropped;
                for limit in limits(&drained) {
                    prop_assert_eq!(limit, next);
                    next += 1;
                }
                prop_assert!(recorded - next <= capacity as u64);
            }
            prop_assert_eq!(next, recorded);
        }
    }
}
