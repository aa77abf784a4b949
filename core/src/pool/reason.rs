//! Why a pool closed a value.

/// Why a pool closed a value. The numbers are part of the ABI and are never reused.
#[non_exhaustive]
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
#[repr(i32)]
pub enum PoolCloseReason {
    /// It was not used for the idle timeout.
    IdleTimeout = 1,
    /// It had reached its lifetime.
    Lifetime = 2,
    /// It made room in a full pool.
    Evicted = 3,
    /// Another value was inserted under its key.
    Replaced = 4,
    /// It was made for a key under which another value had been inserted meanwhile.
    Duplicate = 5,
    /// The program said that it is of no more use.
    Discarded = 6,
    /// The pool was cleared.
    Cleared = 7,
    /// The pool was closed or dropped.
    PoolClosed = 8,
    /// It was made too late: nobody waited for it any more.
    Unwanted = 9,
    /// It was found broken when it was put back or about to be lent.
    Broken = 10,
    /// It did not pass its check or its reset.
    Invalid = 11,
    /// The pool was made smaller.
    Shrunk = 12,
    /// A caller took it out of the pool for good.
    Detached = 13,
    /// Its endpoint was taken out of the pool.
    EndpointRemoved = 14,
}

impl PoolCloseReason {
    /// Every reason, in the order of its number.
    pub const ALL: [Self; 14] = [
        Self::IdleTimeout,
        Self::Lifetime,
        Self::Evicted,
        Self::Replaced,
        Self::Duplicate,
        Self::Discarded,
        Self::Cleared,
        Self::PoolClosed,
        Self::Unwanted,
        Self::Broken,
        Self::Invalid,
        Self::Shrunk,
        Self::Detached,
        Self::EndpointRemoved,
    ];

    /// Lower-case name, as in metric labels and events.
    pub fn name(self) -> &'static str {
        match self {
            Self::IdleTimeout => "idle_timeout",
            Self::Lifetime => "lifetime",
            Self::Evicted => "evicted",
            Self::Replaced => "replaced",
            Self::Duplicate => "duplicate",
            Self::Discarded => "discarded",
            Self::Cleared => "cleared",
            Self::PoolClosed => "pool_closed",
            Self::Unwanted => "unwanted",
            Self::Broken => "broken",
            Self::Invalid => "invalid",
            Self::Shrunk => "shrunk",
            Self::Detached => "detached",
            Self::EndpointRemoved => "endpoint_removed",
        }
    }

    /// The stable number of this reason.
    pub fn code(self) -> i32 {
        self as i32
    }

    /// Its place in [`ALL`](Self::ALL).
    pub(crate) fn index(self) -> usize {
        self as usize - 1
    }
}
