//! How many connections a checkout pool lends, for how long they live, and how it makes them.

use super::{
    BreakerConfig, Config, TimeLimit, TunerConfig,
    check::{self, LONGEST, SHORTEST},
};
use crate::{backoff::BackoffConfig, error::ConnectionError};
use serde::{Deserialize, Serialize};
use std::time::Duration;

/// How many connections a checkout pool lends, for how long they live, and how it makes them.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct CheckoutPoolConfig {
    /// What errors, logs and metrics call the pool. Default: `default`. Limits: 1 to 64 bytes.
    pub name: String,
    /// Connections at one time, those included that are being made, checked or closed; never exceeded.
    /// Default: 10. Limits: 1 to 1,000,000.
    pub max_size: u32,
    /// Connections that stand ready besides those that are lent, as far as `max_size` allows.
    /// Default: 0. Limits: 0 to `max_size`. Cost: that many idle connections at the peer.
    pub min_idle: u32,
    /// Callers that wait for a connection at one time; one more is refused at once. Default: absent, so
    /// that only `acquire_timeout` bounds the line. Limits: 1 and more. Cost: a newcomer is refused while
    /// those before it may still be served.
    pub max_waiters: Option<u32>,
    /// The time of one acquire, waiting, connecting and checking included. Default: 30 s. Limits: zero
    /// (only what stands ready) to 365 days, or never.
    pub acquire_timeout: TimeLimit,
    /// The time of one attempt to connect. It does not end with the caller who asked: a connection that
    /// comes late serves the next. Default: 5 s. Limits: 1 ms to 365 days.
    #[serde(with = "crate::duration::text")]
    pub connect_timeout: Duration,
    /// Attempts to connect at one time, to each endpoint. Default: 2. Limits: 1 to 1000. Cost: more hit a
    /// peer that has just come back all at once.
    pub max_connecting: u32,
    /// Time without use after which a connection is closed. Default: 10 min. Limits: zero (nothing is used
    /// twice) to 365 days, or never. Cost: longer than a middlebox's own limit, connections die unseen.
    pub idle_timeout: TimeLimit,
    /// Age from which a connection is not lent any more. Default: 30 min. Limits: zero to 365 days, or
    /// never. Cost: never keeps connections on a peer that load has moved from.
    pub max_lifetime: TimeLimit,
    /// Part of `max_lifetime` by which chance shortens it for each connection, so that those made together
    /// do not end together. Default: 0.1. Limits: 0 to 1.
    pub lifetime_jitter: f64,
    /// Time without use after which a connection is checked before it is lent. Default: 500 ms. Limits:
    /// zero (always) to 365 days, or never. Cost: each check is a round trip.
    pub check_after: TimeLimit,
    /// The time of one check or reset; what takes longer has failed. Default: 5 s. Limits: 1 ms to 365 days.
    #[serde(with = "crate::duration::text")]
    pub check_timeout: Duration,
    /// Time without use after which an idle connection is checked in the background, one at a time, give
    /// or take a fifth by chance. Default: 2 min. Limits: 1 ms to 365 days, or never.
    pub keepalive: TimeLimit,
    /// The time of one close; after it the connection no longer counts. Default: 5 s. Limits: 1 ms to 365 days.
    #[serde(with = "crate::duration::text")]
    pub close_timeout: Duration,
    /// Which idle connection is lent first. Default: the one used last.
    pub idle_order: IdleOrder,
    /// Time for which a lease may be held before it is reported as leaked. Default: never. Limits: 1 ms to
    /// 365 days, or never.
    pub leak_after: TimeLimit,
    /// How long to wait before connecting to an endpoint again that failed. Default: 100 ms, growing by
    /// 1.6 up to 30 s, ±20 %.
    pub backoff: BackoffConfig,
    /// When to stop trying an endpoint that keeps failing. While no endpoint may be tried and there is no
    /// connection left, callers are refused at once instead of waiting for their deadline. Default: after 7
    /// failed attempts in a row, for 5 s at first.
    pub breaker: BreakerConfig,
    /// Whether and when to advise another `max_size`, and whether to follow. Default: observe, which costs a
    /// look at the counts every 10 s.
    pub tuner: TunerConfig,
}

/// Which idle connection is lent first.
#[non_exhaustive]
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum IdleOrder {
    /// The one used last: those in excess grow old and are closed.
    #[default]
    Lifo,
    /// The one not used for longest: all are kept in use, and the pool never shrinks under load.
    Fifo,
}

impl Default for CheckoutPoolConfig {
    fn default() -> Self {
        Self {
            name: "default".to_owned(),
            max_size: 10,
            min_idle: 0,
            max_waiters: None,
            acquire_timeout: TimeLimit::secs(30),
            connect_timeout: Duration::from_secs(5),
            max_connecting: 2,
            idle_timeout: TimeLimit::secs(10 * 60),
            max_lifetime: TimeLimit::secs(30 * 60),
            lifetime_jitter: 0.1,
            check_after: TimeLimit::After(Duration::from_millis(500)),
            check_timeout: Duration::from_secs(5),
            keepalive: TimeLimit::secs(2 * 60),
            close_timeout: Duration::from_secs(5),
            idle_order: IdleOrder::default(),
            leak_after: TimeLimit::Never,
            backoff: BackoffConfig {
                base_delay: Duration::from_millis(100),
                max_delay: Duration::from_secs(30),
                ..BackoffConfig::default()
            },
            breaker: BreakerConfig::default(),
            tuner: TunerConfig::default(),
        }
    }
}

impl Config for CheckoutPoolConfig {
    fn validate(&self) -> Result<(), ConnectionError> {
        check::number("name (its length)", self.name.len(), 1..=64)?;
        check::number("max_size", self.max_size, 1..=1_000_000)?;
        check::number("min_idle", self.min_idle, 0..=self.max_size)?;
        check::number("max_waiters", self.max_waiters.unwrap_or(1), 1..=u32::MAX)?;
        check::limit("acquire_timeout", self.acquire_timeout, Duration::ZERO..=LONGEST)?;
        check::duration("connect_timeout", self.connect_timeout, SHORTEST..=LONGEST)?;
        check::number("max_connecting", self.max_connecting, 1..=1000)?;
        check::limit("idle_timeout", self.idle_timeout, Duration::ZERO..=LONGEST)?;
        check::limit("max_lifetime", self.max_lifetime, Duration::ZERO..=LONGEST)?;
        check::number("lifetime_jitter", self.lifetime_jitter, 0.0..=1.0)?;
        check::limit("check_after", self.check_after, Duration::ZERO..=LONGEST)?;
        check::duration("check_timeout", self.check_timeout, SHORTEST..=LONGEST)?;
        check::limit("keepalive", self.keepalive, SHORTEST..=LONGEST)?;
        check::duration("close_timeout", self.close_timeout, SHORTEST..=LONGEST)?;
        check::limit("leak_after", self.leak_after, SHORTEST..=LONGEST)?;
        check::within("backoff", self.backoff.validate())?;
        check::within("breaker", self.breaker.validate())?;
        check::within("tuner", self.tuner.validate())
    }
}
