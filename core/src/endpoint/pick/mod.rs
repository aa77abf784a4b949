//! Which endpoint gets the next call.
//!
//! A picker is made for the members of one snapshot of a set and speaks of them by index. It is shared
//! without a lock: what it changes while picking is at most a counter. What changes between two calls,
//! readiness and load, it asks its [`Peers`] for.

mod choices;
mod hash;
mod least;
mod maglev;
mod p2c;
mod ring;
mod round_robin;
mod subset;
#[cfg(test)]
mod testing;
mod weighted;

pub use choices::LeastOf;
pub use least::LeastConnections;
pub use maglev::Maglev;
pub use p2c::P2c;
pub use ring::HashRing;
pub use round_robin::RoundRobin;
pub use subset::subset;
pub use weighted::Weighted;

use super::set::Member;
use crate::config::{BalanceConfig, PickPolicy};

/// What a picker asks about the endpoint at an index.
pub trait Peers {
    /// Whether a call may go there now: usable, not drained, its breaker ready.
    fn is_ready(&self, index: usize) -> bool;

    /// What one more call there costs, in a unit that is the same for all, divided by its weight. No number
    /// counts as infinite.
    fn load(&self, index: usize) -> f64;
}

/// What one pick is made from.
#[derive(Clone, Copy, Debug)]
pub struct Draw<'a> {
    /// Calls with the same key go to the same endpoint, under the policies that look at it. Without one
    /// they go anywhere.
    pub key: Option<&'a [u8]>,
    /// Fresh draws from 0..1.
    pub units: [f64; 2],
}

/// One of the policies, for the members of one snapshot.
#[derive(Debug)]
pub enum Picker {
    /// One after the other.
    RoundRobin(RoundRobin),
    /// One after the other, each as often as its weight says.
    Weighted(Weighted),
    /// The least loaded.
    LeastConnections(LeastConnections),
    /// The less loaded of two.
    P2c(P2c),
    /// By key, on a ring.
    RingHash(HashRing),
    /// By key, from a table.
    Maglev(Maglev),
}

impl Picker {
    /// Makes the picker that `config` names. `unit` is a fresh draw from 0..1: where a round begins, so that
    /// many processes do not all begin with the first.
    ///
    /// Members of weight 0 are never picked by weight or by key; for the other policies [`Peers::is_ready`] must
    /// leave them out. Who lets weights grow slowly makes a new [`Weighted`] of them now and then.
    pub fn new(config: &BalanceConfig, members: &[Member], unit: f64) -> Self {
        let weights = || members.iter().map(|member| f64::from(member.weight));
        let seed = config.hash_seed;
        match config.policy {
            PickPolicy::RoundRobin => Self::RoundRobin(RoundRobin::new(members.len(), unit)),
            PickPolicy::Weighted => Self::Weighted(Weighted::new(weights(), unit)),
            PickPolicy::LeastConnections => {
                Self::LeastConnections(LeastConnections::new(members.len()))
            }
            PickPolicy::P2c => Self::P2c(P2c::new(members.len())),
            PickPolicy::RingHash => {
                Self::RingHash(HashRing::new(members, config.ring_points, seed))
            }
            PickPolicy::Maglev => Self::Maglev(Maglev::new(members, config.maglev_size, seed)),
        }
    }

    /// The index of the endpoint that the call goes to, or `None` if none is ready.
    ///
    /// Readiness may change before the call is made: who finds that it did picks again.
    pub fn pick(&self, peers: &impl Peers, draw: Draw<'_>) -> Option<usize> {
        let anywhere = draw.units[0].to_bits().to_le_bytes();
        let key = draw.key.unwrap_or(&anywhere);
        match self {
            Self::RoundRobin(picker) => picker.pick(peers),
            Self::Weighted(picker) => picker.pick(peers, draw.units[0]),
            Self::LeastConnections(picker) => picker.pick(peers, draw.units[0]),
            Self::P2c(picker) => picker.pick(peers, draw.units),
            Self::RingHash(picker) => picker.pick(peers, key),
            Self::Maglev(picker) => picker.pick(peers, key),
        }
    }
}

/// The index that a draw from 0..1 falls on; any other draw falls on some index, too.
fn index(unit: f64, len: usize) -> usize {
    ((unit * len as f64) as usize).min(len.saturating_sub(1))
}

/// The first ready one from `start` on, around, that is not `but`.
fn first_ready(peers: &impl Peers, len: usize, start: usize, but: Option<usize>) -> Option<usize> {
    (start..len).chain(0..start).find(|&at| Some(at) != but && peers.is_ready(at))
}

/// How many places of a ring or table are passed over for each endpoint before the search for a ready one goes
/// by index.
const PATIENCE: usize = 8;

/// A ready one of those that have a share, the same for the same hash.
fn any_ready(peers: &impl Peers, has_share: &[bool], hash: u64) -> Option<usize> {
    let len = has_share.len();
    let start = (hash % len.max(1) as u64) as usize;
    (start..len).chain(0..start).find(|&at| has_share[at] && peers.is_ready(at))
}

/// The load of a peer, as a number that can be compared.
fn load(peers: &impl Peers, index: usize) -> f64 {
    let load = peers.load(index);
    if load.is_nan() { f64::INFINITY } else { load }
}

#[cfg(test)]
mod tests;
