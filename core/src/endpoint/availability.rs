//! Which endpoints may be used, and when it is better to believe none of their bad news.

/// Which endpoints of a snapshot may be used, from what health checks and the outlier detector say of each.
///
/// If fewer than the panic threshold are healthy, all may be used: the few that are left would only be
/// the next to fall, and news that bad may be wrong. A breaker is no matter of health: it is asked besides.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Availability {
    usable: Box<[bool]>,
    healthy: usize,
}

impl Availability {
    /// From whether each endpoint is healthy, in the order of the snapshot. `panic_threshold` is the part of
    /// them that must be.
    pub fn new(healthy: impl IntoIterator<Item = bool>, panic_threshold: f64) -> Self {
        let mut usable: Box<[bool]> = healthy.into_iter().collect();
        let healthy = usable.iter().filter(|healthy| **healthy).count();
        if (healthy as f64) < panic_threshold * usable.len() as f64 {
            usable.fill(true);
        }
        Self { usable, healthy }
    }

    /// Whether calls may go to the endpoint at this index.
    pub fn is_usable(&self, index: usize) -> bool {
        self.usable.get(index).copied().unwrap_or(false)
    }

    /// Whether health is ignored.
    pub fn is_panicking(&self) -> bool {
        self.healthy < self.usable.iter().filter(|usable| **usable).count()
    }

    /// How many are healthy.
    pub fn healthy(&self) -> usize {
        self.healthy
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn below_half_health_is_ignored() {
        let half = Availability::new([true, false, true, false], 0.5);
        assert!(!half.is_panicking() && !half.is_usable(1) && half.is_usable(2));
        let third = Availability::new([true, false, false], 0.5);
        assert!(third.is_panicking() && (0..3).all(|at| third.is_usable(at)));
        assert_eq!(third.healthy(), 1);
    }

    #[test]
    fn a_threshold_of_zero_never_ignores_health() {
        let none = Availability::new([false, false], 0.0);
        assert!(!none.is_panicking() && !none.is_usable(0));
    }

    #[test]
    fn what_is_not_in_the_snapshot_is_not_usable() {
        let all = Availability::new([true], 0.5);
        assert!(all.is_usable(0) && !all.is_usable(1));
        assert!(!Availability::new([], 0.5).is_panicking());
    }
}
