//! Which endpoint of a set gets the next call.

use super::{
    Config,
    check::{self, LONGEST, SHORTEST},
};
use crate::error::ConnectionError;
use serde::{Deserialize, Serialize};
use std::time::Duration;

/// Which endpoint of a set gets the next call.
#[derive(Clone, Copy, Debug, PartialEq, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct BalanceConfig {
    /// The rule. Default: `p2c`.
    pub policy: PickPolicy,
    /// Part of the endpoints that must be healthy; below it health is ignored, because the few that are left
    /// would only be the next to fall. Default: 0.5. Limits: 0 (never ignored) to 1.
    pub panic_threshold: f64,
    /// How the latency of an endpoint is estimated, for `p2c`.
    pub ewma: EwmaConfig,
    /// How an endpoint that is new or healthy again comes to its share.
    pub slow_start: SlowStartConfig,
    /// Points that the heaviest endpoints have on the ring of `ring_hash`; one of a quarter of the weight
    /// has a quarter. Default: 160. Limits: 1 to 4096. Cost: 16 bytes each; fewer, and shares differ
    /// more.
    pub ring_points: u32,
    /// Places in the table of `maglev`, a prime number. Default: 65537. Limits: 251 to 5,000,011. Cost:
    /// 4 bytes each; fewer than 100 times the endpoints, and shares differ.
    pub maglev_size: u32,
    /// What the hashes of `ring_hash` and `maglev` start from. Default: 0. Every process that must send a
    /// key to the same endpoint needs the same one.
    pub hash_seed: u64,
}

/// A rule that picks an endpoint.
#[non_exhaustive]
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum PickPolicy {
    /// One after the other, whatever their weights.
    RoundRobin,
    /// One after the other, each as often as its weight says.
    Weighted,
    /// The one with the least load. Cost: looks at every endpoint.
    LeastConnections,
    /// The less loaded of two that are drawn. Cost: the same however many endpoints there are.
    #[default]
    P2c,
    /// By the key of the call, on a ring of hashes: a removed endpoint moves its own keys only.
    RingHash,
    /// By the key of the call, from a table: one look, even shares, but a removal moves a few more keys.
    Maglev,
}

/// How the latency of an endpoint is estimated: a peak at once, a quiet time slowly.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct EwmaConfig {
    /// Time in which an estimate falls to 37 % of itself, if nothing is measured. Default: 10 s. Limits:
    /// 1 ms to 365 days.
    #[serde(with = "crate::duration::text")]
    pub decay: Duration,
    /// Latency that is added to the estimate after a failed call; it shrinks evenly and is gone after `decay`. Without it
    /// an endpoint that fails quickly draws the traffic. Default: 5 s. Limits: zero (none) to 365 days.
    #[serde(with = "crate::duration::text")]
    pub failure_penalty: Duration,
    /// Estimate of an endpoint that none was measured of, where there is none of its peers' either, whose
    /// median comes first. Default: 30 ms. Limits: zero to 365 days. Cost: above what calls take, new
    /// endpoints starve; below, they are rushed.
    #[serde(with = "crate::duration::text")]
    pub cold: Duration,
    /// Latency that an estimate counts as, at least: below it only how many calls wait makes a difference. Default: 1 ms.
    /// Limits: zero to 365 days. Cost: shorter, and chance between neighbours decides; longer than calls take, and a slow
    /// endpoint is not told from a quick one.
    #[serde(with = "crate::duration::text")]
    pub floor: Duration,
}

/// How an endpoint that is new or healthy again comes to its share of the calls.
#[derive(Clone, Copy, Debug, PartialEq, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct SlowStartConfig {
    /// Time until it has its whole weight. Default: zero, it has it at once. Limits: zero to 365 days.
    #[serde(with = "crate::duration::text")]
    pub window: Duration,
    /// Part of its weight that it has at least. Default: 0.1. Limits: 0.001 to 1.
    pub floor: f64,
    /// How the weight grows: 1 evenly, more is faster at first. Default: 1. Limits: 0.1 to 10.
    pub aggression: f64,
}

impl SlowStartConfig {
    /// Half a minute from a tenth of the weight to the whole.
    pub fn gradual() -> Self {
        Self { window: Duration::from_secs(30), ..Self::default() }
    }
}

impl Default for BalanceConfig {
    fn default() -> Self {
        Self {
            policy: PickPolicy::default(),
            panic_threshold: 0.5,
            ewma: EwmaConfig::default(),
            slow_start: SlowStartConfig::default(),
            ring_points: 160,
            maglev_size: 65_537,
            hash_seed: 0,
        }
    }
}

impl Default for EwmaConfig {
    fn default() -> Self {
        Self {
            decay: Duration::from_secs(10),
            failure_penalty: Duration::from_secs(5),
            cold: Duration::from_millis(30),
            floor: Duration::from_millis(1),
        }
    }
}

impl Default for SlowStartConfig {
    fn default() -> Self {
        Self { window: Duration::ZERO, floor: 0.1, aggression: 1.0 }
    }
}

impl Config for BalanceConfig {
    fn validate(&self) -> Result<(), ConnectionError> {
        check::number("panic_threshold", self.panic_threshold, 0.0..=1.0)?;
        check::within("ewma", self.ewma.validate())?;
        check::within("slow_start", self.slow_start.validate())?;
        check::number("ring_points", self.ring_points, 1..=4096)?;
        check::number("maglev_size", self.maglev_size, 251..=5_000_011)?;
        if !is_prime(self.maglev_size) {
            let reason = format!("must be a prime number, is {}", self.maglev_size);
            return check::refuse("maglev_size", reason);
        }
        Ok(())
    }
}

impl Config for EwmaConfig {
    fn validate(&self) -> Result<(), ConnectionError> {
        check::duration("decay", self.decay, SHORTEST..=LONGEST)?;
        check::duration("failure_penalty", self.failure_penalty, Duration::ZERO..=LONGEST)?;
        check::duration("cold", self.cold, Duration::ZERO..=LONGEST)?;
        check::duration("floor", self.floor, Duration::ZERO..=LONGEST)
    }
}

impl Config for SlowStartConfig {
    fn validate(&self) -> Result<(), ConnectionError> {
        check::duration("window", self.window, Duration::ZERO..=LONGEST)?;
        check::number("floor", self.floor, 0.001..=1.0)?;
        check::number("aggression", self.aggression, 0.1..=10.0)
    }
}

fn is_prime(number: u32) -> bool {
    let divides = |divisor: &u32| number.is_multiple_of(*divisor);
    number > 1 && !(2..).take_while(|divisor| divisor * divisor <= number).any(|d| divides(&d))
}
