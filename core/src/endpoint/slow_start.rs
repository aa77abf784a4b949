//! How an endpoint comes to its share: little at first, all after a while.

use crate::config::SlowStartConfig;
use std::time::{Duration, Instant};

impl SlowStartConfig {
    /// The part of its weight that an endpoint has at `now` which is in use since `since`: when it came into
    /// the set, or was healthy again.
    ///
    /// Never below the floor and never above 1; grows with time.
    pub fn share(&self, since: Instant, now: Instant) -> f64 {
        let age = now.saturating_duration_since(since);
        if age >= self.window || self.window == Duration::ZERO {
            return 1.0;
        }
        let grown = (age.as_secs_f64() / self.window.as_secs_f64()).powf(1.0 / self.aggression);
        grown.max(self.floor).min(1.0)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    #[expect(clippy::disallowed_methods, reason = "any instant will do")]
    fn start() -> Instant {
        Instant::now()
    }

    #[test]
    fn a_tenth_at_first_a_half_at_half_time_and_all_in_the_end() {
        let (config, start) = (SlowStartConfig::gradual(), start());
        let share = |secs| config.share(start, start + Duration::from_secs(secs));
        assert_eq!(
            [share(0), share(3), share(15), share(30), share(99)],
            [0.1, 0.1, 0.5, 1.0, 1.0]
        );
    }

    #[test]
    fn without_a_window_all_at_once() {
        assert_eq!(SlowStartConfig::default().share(start(), start()), 1.0);
    }

    proptest! {
        #[test]
        fn a_share_grows_within_its_band(
            window in 0u64..100_000, aggression in 0.1f64..10.0, floor in 0.001f64..1.0, ages in (0u64..200_000, 0u64..1000),
        ) {
            let config = SlowStartConfig { window: Duration::from_millis(window), floor, aggression };
            let start = start();
            let share = |age| config.share(start, start + Duration::from_millis(age));
            let (one, later) = (share(ages.0), share(ages.0 + ages.1));
            prop_assert!(one >= floor && one <= later && later <= 1.0);
        }
    }
}
