//! By key, on a ring of hashes.

use super::{PATIENCE, Peers, any_ready, hash};
use crate::endpoint::set::Member;

/// Picks by key: each endpoint has points on a ring of hashes, and a key belongs to the first point after it.
///
/// The points of an endpoint depend on its address and weight, and on the greatest weight only by the power
/// of two above it. So one that leaves moves its own keys, one that comes takes a share from each, and all
/// other keys stay. Every process with the same seed and addresses agrees, in whatever order they are
/// listed.
#[derive(Debug)]
pub struct HashRing {
    seed: u64,
    /// By hash: a point and the index of its endpoint.
    points: Box<[(u64, u32)]>,
    /// Which endpoints have points.
    has_points: Box<[bool]>,
}

impl HashRing {
    /// For these members. One with a weight of the power of two above the greatest has `points`, others
    /// accordingly fewer, at least one; one of weight 0 has none.
    pub fn new(members: &[Member], points: u32, seed: u64) -> Self {
        let greatest = members.iter().map(|member| member.weight).max().unwrap_or(0);
        let whole = u64::from(greatest).next_power_of_two();
        let mut ring = Vec::new();
        for (at, member) in (0..).zip(members) {
            let name = hash::hash(seed, member.address.to_string().as_bytes());
            let share = (u64::from(points) * u64::from(member.weight)).div_ceil(whole);
            ring.extend((0..share).map(|point| (hash::hash(name, &point.to_le_bytes()), at)));
        }
        ring.sort_unstable();
        let has_points = members.iter().map(|member| points > 0 && member.weight > 0).collect();
        Self { seed, points: ring.into(), has_points }
    }

    /// The ready endpoint that `key` belongs to, or `None` if none of weight above 0 is ready. Where the
    /// first is not ready, it is the next on the ring, so that its keys spread over all others.
    pub fn pick(&self, peers: &impl Peers, key: &[u8]) -> Option<usize> {
        let hash = hash::hash(self.seed, key);
        let start = self.points.partition_point(|(point, _)| *point < hash);
        let around = self.points[start..].iter().chain(&self.points[..start]);
        let mut last = None;
        for (_, at) in around.take(PATIENCE * self.has_points.len()) {
            if last != Some(at) && peers.is_ready(*at as usize) {
                return Some(*at as usize);
            }
            last = Some(at);
        }
        any_ready(peers, &self.has_points, hash)
    }
}
