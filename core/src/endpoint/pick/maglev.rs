//! By key, from a table of which each endpoint has its share.

use super::{PATIENCE, Peers, any_ready, hash};
use crate::endpoint::set::Member;

/// Picks by key with one look into a table that endpoints filled in turn, each in its own order (Maglev).
///
/// Shares are even to about a hundredth. One that leaves moves its own keys and a few of the others'.
/// Every process with the same seed and addresses agrees, in whatever order they are listed.
#[derive(Debug)]
pub struct Maglev {
    seed: u64,
    table: Box<[u32]>,
    /// Which endpoints may have places.
    has_places: Box<[bool]>,
}

/// A place of the table that nobody has taken yet.
const FREE: u32 = u32::MAX;
/// An endpoint while the table is filled.
struct Filler {
    at: u32,
    /// The next place it wants, and how far on the one after is.
    wants: u64,
    step: u64,
    /// Its share of a turn: a turn for each round has who has the greatest weight.
    share: f64,
    /// Turns that it is due.
    due: f64,
}

impl Maglev {
    /// For these members, with a table of `size` places, a prime number. One of weight 0 has no place.
    pub fn new(members: &[Member], size: u32, seed: u64) -> Self {
        let mut fillers = fillers(members, u64::from(size.max(2)), seed);
        let table =
            if fillers.is_empty() { Box::default() } else { fill(&mut fillers, size.max(2)) };
        let has_places = members.iter().map(|member| member.weight > 0).collect();
        Self { seed, table, has_places }
    }

    /// The ready endpoint that `key` belongs to, or `None` if none of weight above 0 is ready. Where the
    /// first is not ready, it is the next in the table, so that its keys spread over all others.
    pub fn pick(&self, peers: &impl Peers, key: &[u8]) -> Option<usize> {
        let hash = hash::hash(self.seed, key);
        let start = (hash % self.table.len().max(1) as u64) as usize;
        let around = self.table[start..].iter().chain(&self.table[..start]);
        let ready = |at: &&u32| peers.is_ready(**at as usize);
        match around.take(PATIENCE * self.has_places.len()).find(ready) {
            Some(at) => Some(*at as usize),
            None => any_ready(peers, &self.has_places, hash),
        }
    }
}

/// In the order of their hashes, which no list can change.
fn fillers(members: &[Member], size: u64, seed: u64) -> Vec<Filler> {
    let greatest = members.iter().map(|member| member.weight).max().unwrap_or(0);
    let mut named: Vec<_> = (0..)
        .zip(members)
        .filter(|(_, member)| member.weight > 0)
        .map(|(at, member)| (hash::hash(seed, member.address.to_string().as_bytes()), at, member))
        .collect();
    named.sort_unstable_by_key(|(name, at, _)| (*name, *at));
    named
        .into_iter()
        .map(|(name, at, member)| Filler {
            at,
            wants: name % size,
            step: hash::mix(name) % (size - 1) + 1,
            share: f64::from(member.weight) / f64::from(greatest),
            due: 0.0,
        })
        .collect()
}

fn fill(fillers: &mut [Filler], size: u32) -> Box<[u32]> {
    let mut table = vec![FREE; size as usize].into_boxed_slice();
    let mut left = size;
    loop {
        for filler in &mut *fillers {
            filler.due += filler.share;
            if filler.due < 1.0 {
                continue;
            }
            filler.due -= 1.0;
            filler.take_place(&mut table);
            left -= 1;
            if left == 0 {
                return table;
            }
        }
    }
}

impl Filler {
    /// Takes the first free place in its own order; there must be one.
    fn take_place(&mut self, table: &mut [u32]) {
        let size = table.len() as u64;
        while table[self.wants as usize] != FREE {
            self.wants = (self.wants + self.step) % size;
        }
        table[self.wants as usize] = self.at;
    }
}
