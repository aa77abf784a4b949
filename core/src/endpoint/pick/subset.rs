//! A few of many addresses, so that not every client connects to every server.

use super::hash::{hash, mix};
use crate::endpoint::set::Endpoint;

/// At most `size` of the endpoints, in their order, by chance as `seed` says.
///
/// One that leaves or comes changes at most one of those that are chosen. Clients with other seeds choose others, so
/// that all servers have about as many clients.
pub fn subset(listed: Vec<Endpoint>, size: usize, seed: u64) -> Vec<Endpoint> {
    if listed.len() <= size {
        return listed;
    }
    let rank = |endpoint: &Endpoint| hash(mix(seed), endpoint.address.to_string().as_bytes());
    let mut ranks: Vec<_> = listed.iter().map(rank).collect();
    ranks.sort_unstable();
    let last = ranks[size.max(1) - 1];
    let mut chosen: Vec<_> = listed.into_iter().filter(|one| rank(one) <= last).collect();
    // The same address twice has the same rank twice.
    chosen.truncate(size);
    chosen
}
