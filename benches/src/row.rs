//! What a comparison aims at, and the row that its rounds make.

use crate::side::Side;
use serde::Serialize;
use std::fmt;

/// A figure that a comparison measures, and what it must reach against the peer.
#[derive(Clone, Copy, Debug)]
pub struct Goal {
    /// What is measured; the same text names it in every side's samples.
    pub measure: &'static str,
    /// Unit of the values, such as `ns`.
    pub unit: &'static str,
    /// What the ratio of ours to the peer's has to be.
    pub must: Must,
}

/// A target for the ratio of ours to the peer's.
#[derive(Clone, Copy, Debug, PartialEq)]
pub enum Must {
    /// At most this many times the peer's.
    AtMost(f64),
    /// At least this many times the peer's.
    AtLeast(f64),
    /// No target: the figure is there for orientation.
    Tell,
}

impl Must {
    /// Whether `ratio` reaches the target, give or take the relative `noise`.
    fn is_met(self, ratio: f64, noise: f64) -> bool {
        match self {
            Self::AtMost(limit) => ratio <= limit * (1.0 + noise),
            Self::AtLeast(limit) => ratio * (1.0 + noise) >= limit,
            Self::Tell => true,
        }
    }
}

impl fmt::Display for Must {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::AtMost(limit) => write!(f, "<= {limit:.3}"),
            Self::AtLeast(limit) => write!(f, ">= {limit:.3}"),
            Self::Tell => f.write_str("none"),
        }
    }
}

/// One line of a table.
#[derive(Clone, Debug, Serialize)]
pub struct Row {
    /// What was measured.
    pub measure: String,
    /// Unit of the values.
    pub unit: String,
    /// Median over the rounds.
    pub ours: f64,
    /// Whom against.
    pub peer: String,
    /// The peer's median over the rounds.
    pub peer_value: f64,
    /// Median of the rounds' ratios, ours to the peer's.
    pub ratio: f64,
    /// The target for `ratio`, as text.
    pub must: String,
    /// Whether `ratio` reaches it within `noise`; true where there is no target.
    pub met: bool,
    /// How far the peer was from itself: the median of |second / first − 1| over the rounds.
    pub noise: f64,
    /// Median of the rounds' ratios of the peer's second run to its first.
    pub peer_ratio: f64,
}

/// The values of one goal, a place for each round.
#[derive(Clone, Debug, Default)]
pub(crate) struct Rounds {
    ours: Vec<f64>,
    peer: Vec<f64>,
    again: Vec<f64>,
}

impl Rounds {
    pub(crate) fn add(&mut self, side: Side, value: f64) {
        match side {
            Side::Ours => self.ours.push(value),
            Side::Peer => self.peer.push(value),
            Side::PeerAgain => self.again.push(value),
        }
    }

    /// Says which side has not exactly one value for each of `rounds` rounds.
    pub(crate) fn check(&self, rounds: usize) -> Result<(), String> {
        let sides = [("ours", &self.ours), ("peer", &self.peer), ("peer_again", &self.again)];
        match sides.into_iter().find(|(_, values)| values.len() != rounds) {
            Some((side, values)) => Err(format!("{side}: {} values", values.len())),
            None => Ok(()),
        }
    }

    pub(crate) fn row(&self, goal: &Goal, peer: &str) -> Row {
        let again = ratios(&self.again, &self.peer);
        let noise = median(&again.iter().map(|ratio| (ratio - 1.0).abs()).collect::<Vec<_>>());
        let ratio = median(&ratios(&self.ours, &self.peer));
        Row {
            measure: goal.measure.to_owned(),
            unit: goal.unit.to_owned(),
            ours: median(&self.ours),
            peer: peer.to_owned(),
            peer_value: median(&self.peer),
            ratio,
            must: goal.must.to_string(),
            met: goal.must.is_met(ratio, noise),
            noise,
            peer_ratio: median(&again),
        }
    }

    /// The row in which the peer runs against itself.
    pub(crate) fn noise(&self, goal: &Goal, peer: &str) -> Row {
        let itself = Self { ours: self.again.clone(), ..self.clone() };
        itself.row(&Goal { must: Must::Tell, ..*goal }, &format!("{peer}, itself"))
    }
}

fn ratios(values: &[f64], to: &[f64]) -> Vec<f64> {
    values.iter().zip(to).map(|(value, to)| value / to).collect()
}

/// The middle value, or the mean of the two in the middle. NaN for none.
pub(crate) fn median(values: &[f64]) -> f64 {
    let mut sorted = values.to_vec();
    sorted.sort_by(f64::total_cmp);
    match (sorted.len(), sorted.len() / 2) {
        (0, _) => f64::NAN,
        (n, middle) if n % 2 == 1 => sorted[middle],
        (_, middle) => f64::midpoint(sorted[middle - 1], sorted[middle]),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn row(must: Must, ours: &[f64], peer: &[f64], again: &[f64]) -> Row {
        let rounds = Rounds { ours: ours.into(), peer: peer.into(), again: again.into() };
        rounds.row(&Goal { measure: "m", unit: "ns", must }, "peer")
    }

    #[test]
    fn the_median_is_the_middle_whatever_the_order() {
        assert_eq!(median(&[3.0, 1.0, 2.0]), 2.0);
        assert_eq!(median(&[4.0, 1.0, 2.0, 3.0]), 2.5);
        assert!(median(&[]).is_nan());
    }

    #[test]
    fn the_ratio_pairs_the_values_of_a_round() {
        // The machine was three times slower in the second round, for both.
        let row = row(Must::Tell, &[1.0, 3.0, 1.0], &[2.0, 6.0, 2.0], &[2.0, 6.0, 2.0]);
        assert_eq!((row.ratio, row.noise, row.peer_ratio), (0.5, 0.0, 1.0));
        assert_eq!((row.ours, row.peer_value), (1.0, 2.0));
    }

    #[test]
    fn a_target_is_met_within_the_noise_and_not_beyond() {
        let noisy = [11.0, 9.0, 10.0, 9.0, 11.0];
        let steady = [10.0; 5];
        let at_most =
            |ours: f64, again: &[f64]| row(Must::AtMost(1.0), &[ours; 5], &steady, again).met;
        assert!(at_most(10.0, &steady) && !at_most(10.5, &steady));
        assert!(at_most(10.5, &noisy) && !at_most(11.5, &noisy));
        let at_least =
            |ours: f64, again: &[f64]| row(Must::AtLeast(2.0), &[ours; 5], &steady, again).met;
        assert!(at_least(20.0, &steady) && !at_least(19.0, &steady));
        assert!(at_least(19.0, &noisy) && !at_least(17.0, &noisy));
    }

    #[test]
    fn one_wild_round_moves_neither_ratio_nor_noise() {
        let row = row(Must::AtMost(0.5), &[5.0, 5.0, 90.0], &[10.0; 3], &[10.0, 10.0, 80.0]);
        assert_eq!((row.ratio, row.noise, row.met), (0.5, 0.0, true));
    }

    #[test]
    fn the_noise_row_shows_the_peer_against_itself() {
        let rounds = Rounds { ours: vec![1.0], peer: vec![10.0], again: vec![12.0] };
        let goal = Goal { measure: "m", unit: "ns", must: Must::AtMost(0.1) };
        let row = rounds.noise(&goal, "socket");
        assert_eq!((row.ours, row.peer_value, row.ratio), (12.0, 10.0, 1.2));
        assert_eq!((row.peer.as_str(), row.must.as_str()), ("socket, itself", "none"));
    }

    #[test]
    fn a_side_without_a_value_for_each_round_is_named() {
        let mut rounds = Rounds::default();
        rounds.add(Side::Ours, 1.0);
        rounds.add(Side::Peer, 1.0);
        assert_eq!(rounds.check(1).unwrap_err(), "peer_again: 0 values");
        rounds.add(Side::PeerAgain, 1.0);
        assert_eq!(rounds.check(1), Ok(()));
    }
}
