//! Whether a backend slows down: its latest latency beside its usual one.

use std::time::Duration;

/// Two averages of the same latency: one follows within a few samples, the other in some dozens.
#[derive(Clone, Copy, Debug, Default)]
pub(super) struct Trend {
    averages: Option<Averages>,
}

/// In seconds.
#[derive(Clone, Copy, Debug)]
struct Averages {
    latest: f64,
    usual: f64,
}

/// The part of the difference that a sample moves each average by.
const LATEST: f64 = 0.5;
const USUAL: f64 = 0.05;

impl Trend {
    /// Takes a sample's latency; a sample without one changes nothing.
    pub(super) fn note(&mut self, latency: Option<Duration>) {
        let Some(latency) = latency.map(|latency| latency.as_secs_f64()) else { return };
        let Averages { latest, usual } =
            self.averages.unwrap_or(Averages { latest: latency, usual: latency });
        self.averages = Some(Averages {
            latest: latest + LATEST * (latency - latest),
            usual: usual + USUAL * (latency - usual),
        });
    }

    /// The usual latency over the latest: 1 at rest or where nothing is known, below 1 while it rises.
    pub(super) fn gradient(&self) -> f64 {
        match self.averages {
            Some(Averages { latest, usual }) if latest > 0.0 => usual / latest,
            Some(_) | None => 1.0,
        }
    }

    /// Whether the backend shows no sign of slowing, not even in a single sample of `latency`: its usual one
    /// is at least `part` of both.
    pub(super) fn bears_more(&self, latency: Duration, part: f64) -> bool {
        let usual = self.averages.map_or(0.0, |averages| averages.usual);
        self.gradient() >= part && usual >= part * latency.as_secs_f64()
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    fn gradient(millis: impl IntoIterator<Item = u64>) -> f64 {
        let mut trend = Trend::default();
        millis.into_iter().for_each(|millis| trend.note(Some(Duration::from_millis(millis))));
        trend.gradient()
    }

    #[test]
    fn a_steady_latency_has_a_gradient_of_one() {
        assert_eq!(gradient([]), 1.0);
        assert_eq!(gradient([0, 0, 0]), 1.0);
        assert!((gradient([20; 50]) - 1.0).abs() < 1e-9);
    }

    #[test]
    fn a_rise_shows_within_two_samples_and_is_usual_in_the_end() {
        let risen =
            |samples| gradient([20; 50].into_iter().chain(std::iter::repeat_n(30, samples)));
        assert!(risen(1) < 0.9 && risen(2) < 0.8);
        assert!(risen(60) > 0.95);
    }

    #[test]
    fn a_slow_rise_shows_too() {
        assert!(gradient((0..100).map(|sample| 100 + 3 * sample)) < 0.9);
    }

    proptest! {
        #[test]
        fn a_gradient_is_a_number_and_never_negative(latencies in prop::collection::vec(any::<u64>(), 0..60)) {
            let mut trend = Trend::default();
            for secs in latencies {
                trend.note(Some(Duration::from_secs(secs)));
                prop_assert!(trend.gradient().is_finite() && trend.gradient() >= 0.0);
            }
        }
    }
}
