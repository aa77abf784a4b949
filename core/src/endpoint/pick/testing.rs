//! Peers and members for tests of pickers, and a test of frequencies.

use super::Peers;
use crate::{
    address::Address,
    endpoint::set::{Endpoint, EndpointSet, Member},
};
use std::{sync::Arc, time::Instant};

/// Peers as a table says.
pub(super) struct Table {
    pub(super) ready: Vec<bool>,
    pub(super) loads: Vec<f64>,
}

impl Table {
    pub(super) fn all_ready(len: usize) -> Self {
        Self { ready: vec![true; len], loads: vec![0.0; len] }
    }

    pub(super) fn without(len: usize, out: usize) -> Self {
        let mut table = Self::all_ready(len);
        table.ready[out] = false;
        table
    }
}

impl Peers for Table {
    fn is_ready(&self, index: usize) -> bool {
        self.ready[index]
    }

    fn load(&self, index: usize) -> f64 {
        self.loads[index]
    }
}

/// Members of these names and weights.
pub(super) fn members(named: impl IntoIterator<Item = (usize, u32)>) -> Arc<[Member]> {
    #[expect(clippy::disallowed_methods, reason = "any instant will do")]
    let now = Instant::now();
    let endpoint = |(name, weight): (usize, u32)| Endpoint {
        address: Address::Mem(format!("backend-{name}").into()),
        weight,
    };
    EndpointSet::new(named.into_iter().map(endpoint), now).members()
}

/// Fails if chance would bring about counts as far from their expectation once in a thousand times.
pub(super) fn assert_frequencies(counts: &[u64], weights: &[f64]) {
    let (calls, total) = (counts.iter().sum::<u64>() as f64, weights.iter().sum::<f64>());
    let mut squares = 0.0;
    let mut freedom = -1.0;
    for (count, weight) in counts.iter().zip(weights) {
        let expected = calls * weight / total;
        if *weight == 0.0 {
            assert_eq!(*count, 0, "weight 0 was picked: {counts:?}");
            continue;
        }
        squares += (*count as f64 - expected).powi(2) / expected;
        freedom += 1.0;
    }
    // Wilson and Hilferty's cube for the quantile of 0.999.
    let spread: f64 = 2.0 / (9.0 * freedom);
    let limit = freedom * (1.0 - spread + 3.09 * spread.sqrt()).powi(3);
    assert!(squares <= limit, "chi-square {squares:.1} > {limit:.1}: {counts:?} for {weights:?}");
}
