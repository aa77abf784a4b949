//! What many times have in common.

use std::time::Duration;

/// The time that `part` (0 to 1) of `times` do not exceed. Changes their order.
///
/// # Panics
///
/// Without any times.
pub fn percentile(times: &mut [Duration], part: f64) -> Duration {
    let place = (times.len() as f64 * part).ceil() as usize;
    *times.select_nth_unstable(place.max(1) - 1).1
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_percentile_is_the_time_that_this_part_does_not_exceed() {
        let mut times: Vec<_> = (1..=1000).rev().map(Duration::from_nanos).collect();
        let mut nanos = |part| percentile(&mut times, part).as_nanos();
        assert_eq!([nanos(0.5), nanos(0.99), nanos(0.999), nanos(1.0)], [500, 990, 999, 1000]);
        assert_eq!(percentile(&mut [Duration::ZERO], 0.0), Duration::ZERO);
    }
}
