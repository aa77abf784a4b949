//! How many connections a keyed pool keeps, for how long, and what happens when it is full.

use super::{
    Config, TimeLimit,
    check::{self, LONGEST},
};
use crate::error::ConnectionError;
use serde::{Deserialize, Serialize};
use std::time::Duration;

/// How many connections a keyed pool keeps, and for how long.
#[derive(Clone, Copy, Debug, PartialEq, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct PoolConfig {
    /// Entries at one time; never exceeded. Default: 1024. Limits: 1 to 10,000,000. Cost: the table
    /// grows with its entries, nothing is reserved.
    pub max_size: u32,
    /// Time since its last use after which an entry is no longer given out. Default: 300 s. Limits:
    /// zero (nothing is used twice) to 365 days, or never. Cost: longer than a peer's or a
    /// middlebox's own limit, callers get connections that are already dead.
    pub idle_timeout: TimeLimit,
    /// Time since it was made after which an entry is no longer given out. Default: 30 min. Limits:
    /// zero to 365 days, or never. Cost: never keeps connections on a peer that load has moved from.
    pub max_lifetime: TimeLimit,
    /// Part of `max_lifetime` by which chance shortens it for each entry, so that those made together
    /// do not end together. Default: 0.1. Limits: 0 to 1.
    pub lifetime_jitter: f64,
    /// What an insert into a full pool does. Default: reject.
    pub when_full: FullPolicy,
}

/// What an insert into a full pool does.
#[non_exhaustive]
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum FullPolicy {
    /// An expired entry makes room; if there is none, the insert fails with `LimitExceeded` and the value
    /// goes back to the caller.
    #[default]
    Reject,
    /// An expired entry makes room, else the one that was not used for longest. Cost: the pool keeps its
    /// entries in the order of their last use.
    EvictLru,
    /// An expired entry makes room, else the one that was made first.
    EvictOldest,
    /// An expired entry makes room; if there is none, those who can wait do so in the order in which they came,
    /// until a place is free or their deadline passes. An insert that cannot wait fails as with
    /// [`Reject`](Self::Reject), and overtakes nobody.
    Wait,
}

impl Default for PoolConfig {
    fn default() -> Self {
        Self {
            max_size: 1024,
            idle_timeout: TimeLimit::secs(300),
            max_lifetime: TimeLimit::secs(30 * 60),
            lifetime_jitter: 0.1,
            when_full: FullPolicy::default(),
        }
    }
}

impl Config for PoolConfig {
    fn validate(&self) -> Result<(), ConnectionError> {
        check::number("max_size", self.max_size, 1..=10_000_000)?;
        check::limit("idle_timeout", self.idle_timeout, Duration::ZERO..=LONGEST)?;
        check::limit("max_lifetime", self.max_lifetime, Duration::ZERO..=LONGEST)?;
        check::number("lifetime_jitter", self.lifetime_jitter, 0.0..=1.0)
    }
}
