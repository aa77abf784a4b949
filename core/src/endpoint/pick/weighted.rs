//! One after the other, each as often as its weight says.

use super::Peers;
use std::sync::atomic::{AtomicU64, Ordering};

/// Picks in rounds; each endpoint has a turn in as many of the rounds as its weight says, spread evenly.
///
/// Weights are scaled so that the greatest has a turn in every round; a 65536th of it is the least share.
#[derive(Debug)]
pub struct Weighted {
    strides: Box<[u64]>,
    /// Of the next turn: its round and its place in the round.
    turn: AtomicU64,
}

/// What the strides of an endpoint must add up to for a turn. A power of two, so that sums may wrap.
const WHOLE: u64 = 1 << 16;
/// Sets endpoints of equal weight apart by a golden section, so that they do not have their turns in the
/// same rounds.
const PHASE: u64 = 40_503;

impl Weighted {
    /// For endpoints of these weights. One of weight 0, below, or no number is never picked. `unit`, a draw
    /// from 0..1, says where the first round begins.
    pub fn new(weights: impl IntoIterator<Item = f64>, unit: f64) -> Self {
        let mut weights: Vec<_> = weights.into_iter().collect();
        for weight in &mut weights {
            *weight = if weight.is_finite() { weight.max(0.0) } else { 0.0 };
        }
        let greatest = weights.iter().copied().fold(0.0, f64::max);
        let stride = |weight: &f64| match *weight > 0.0 {
            true => ((weight / greatest * WHOLE as f64).round() as u64).clamp(1, WHOLE),
            false => 0,
        };
        let strides: Box<[_]> = weights.iter().map(stride).collect();
        let turns = WHOLE * strides.len() as u64;
        Self { strides, turn: AtomicU64::new((unit * turns as f64) as u64) }
    }

    /// The next ready one by weight, or `None` if none of weight above 0 is. `unit` is a fresh draw from 0..1,
    /// used where the heaviest are not ready and a search by rounds would be long.
    pub fn pick(&self, peers: &impl Peers, unit: f64) -> Option<usize> {
        let len = self.strides.len() as u64;
        for _ in 0..2 * len {
            let turn = self.turn.fetch_add(1, Ordering::Relaxed);
            let at = (turn % len) as usize;
            if self.has_turn(at, turn / len) && peers.is_ready(at) {
                return Some(at);
            }
        }
        self.draw(peers, unit)
    }

    /// Whether the strides of the endpoint reach a whole in this round.
    fn has_turn(&self, at: usize, round: u64) -> bool {
        let stride = self.strides[at];
        let before = stride.wrapping_mul(round).wrapping_add(PHASE * at as u64) % WHOLE;
        before + stride >= WHOLE
    }

    /// One of the ready ones, each with a chance as its weight says.
    fn draw(&self, peers: &impl Peers, unit: f64) -> Option<usize> {
        let ready: Vec<_> = (0..self.strides.len())
            .filter(|&at| self.strides[at] > 0 && peers.is_ready(at))
            .collect();
        let total: u64 = ready.iter().map(|&at| self.strides[at]).sum();
        let mut left = (unit * total as f64) as u64;
        for &at in &ready {
            if left < self.strides[at] {
                return Some(at);
            }
            left -= self.strides[at];
        }
        ready.last().copied()
    }
}
