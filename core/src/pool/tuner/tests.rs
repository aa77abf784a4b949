use super::*;
use crate::config::Config;
use proptest::prelude::*;

const MILLI: Duration = Duration::from_millis(1);

/// A pool under load: samples of ten seconds, one after the other.
struct Bench {
    tuner: Tuner,
    config: TunerConfig,
    now: Instant,
}

impl Bench {
    fn new() -> Self {
        Self::with(TunerConfig { mode: TunerMode::Apply, ..TunerConfig::default() })
    }

    #[expect(clippy::disallowed_methods, reason = "any instant will do")]
    fn with(config: TunerConfig) -> Self {
        config.validate().unwrap();
        Self { tuner: Tuner::new(config), config, now: Instant::now() }
    }

    fn sample(&mut self, sample: TunerSample) -> Option<Advice> {
        self.now += self.config.interval;
        self.tuner.on_sample(sample, self.now)
    }

    /// The first advice within so many samples, and after how many.
    fn first(&mut self, sample: TunerSample, within: u32) -> Option<(u32, Advice)> {
        (1..=within).find_map(|at| Some((at, self.sample(sample)?)))
    }
}

/// All of ten in use, callers wait 50 ms, the backend takes 2 ms.
const BUSY: TunerSample = TunerSample {
    p95_wait: Duration::from_millis(50),
    peak_used: 10,
    max_size: 10,
    min_idle: 0,
    backend_latency: Some(Duration::from_millis(2)),
};
/// Three of ten in use.
const QUIET: TunerSample = TunerSample { p95_wait: Duration::ZERO, peak_used: 3, ..BUSY };

fn slow(sample: TunerSample) -> TunerSample {
    TunerSample { backend_latency: Some(4 * MILLI), ..sample }
}

// Rule (a)
#[test]
fn waits_above_the_target_with_all_in_use_let_it_grow_after_three_samples() {
    let (at, advice) = Bench::new().first(BUSY, 10).unwrap();
    assert_eq!((at, advice.change), (3, SizeChange::Grow { to: 11 }));
    assert_eq!((advice.reason, advice.new_size()), (TunerReason::WaitsTooLong, Some(11)));
    assert_eq!(
        advice.to_string(),
        "grow from 10 to 11: 95 % waited up to 50.0ms (target 10.0ms) with all in use, \
         3 samples in a row; latency gradient 1.00"
    );
}

#[test]
fn a_sample_without_long_waits_or_without_all_in_use_breaks_the_row() {
    for other in [
        TunerSample { p95_wait: 10 * MILLI, ..BUSY },
        TunerSample { peak_used: 9, ..BUSY },
        TunerSample { backend_latency: None, ..BUSY },
    ] {
        let mut bench = Bench::new();
        for sample in [BUSY, BUSY, other, BUSY, BUSY] {
            assert_eq!(bench.sample(sample), None);
        }
        assert!(bench.sample(BUSY).is_some());
    }
}

// Rule (b)
#[test]
fn a_backend_that_slows_down_with_all_in_use_lets_it_shrink() {
    let mut bench = Bench::new();
    (0..2).for_each(|_| assert_eq!(bench.sample(BUSY), None));
    let (at, advice) = bench.first(slow(BUSY), 10).unwrap();
    assert_eq!((at, advice.change), (2, SizeChange::Shrink { to: 9 }));
    assert_eq!(advice.reason, TunerReason::BackendSlows);
    assert!(advice.evidence.gradient < 0.9);
    assert!(advice.to_string().starts_with(
        "shrink from 10 to 9: all in use and the backend slows down to 4.0ms, 2 samples in a row"
    ));
}

// The gradient rule
#[test]
fn it_never_grows_while_the_latency_of_the_backend_rises() {
    for rise in [1.05, 1.1, 1.5, 3.0] {
        let mut bench = Bench::new();
        bench.first(TunerSample { peak_used: 6, ..BUSY }, 20);
        let mut latency = 2e-3;
        for _ in 0..40 {
            latency *= rise;
            let backend_latency = Some(Duration::from_secs_f64(latency));
            if let Some(advice) = bench.sample(TunerSample { backend_latency, ..BUSY }) {
                assert_eq!(advice.reason, TunerReason::BackendSlows, "{advice}");
            }
        }
    }
}

#[test]
fn it_does_not_grow_towards_a_backend_that_hangs() {
    let hangs = TunerSample { backend_latency: None, ..BUSY };
    assert_eq!(Bench::new().first(hangs, 100), None);
}

#[test]
fn a_slow_backend_alone_is_no_reason() {
    let mut bench = Bench::new();
    let half = TunerSample { p95_wait: Duration::ZERO, peak_used: 6, ..BUSY };
    bench.first(half, 50);
    assert_eq!(bench.first(slow(half), 50), None);
}

// Rule (c)
#[test]
fn a_pool_that_is_never_half_used_shrinks_by_a_tenth_after_five_minutes() {
    let mut bench = Bench::new();
    let (at, advice) = bench.first(QUIET, 60).unwrap();
    assert_eq!((at, advice.change), (30, SizeChange::Shrink { to: 9 }));
    assert_eq!((advice.reason, advice.evidence.peak_used), (TunerReason::Unused, 3));

    let large = TunerSample { max_size: 100, peak_used: 49, ..QUIET };
    let (_, advice) = Bench::new().first(large, 60).unwrap();
    assert_eq!(advice.change, SizeChange::Shrink { to: 90 });
}

#[test]
fn it_shrinks_until_the_most_that_was_in_use_is_half() {
    let (mut bench, mut size) = (Bench::new(), 40);
    for at in 0..2_000 {
        let peak_used = if at % 10 == 0 { 9 } else { 2 };
        if let Some(advice) = bench.sample(TunerSample { peak_used, max_size: size, ..QUIET }) {
            size = advice.new_size().unwrap();
        }
    }
    assert_eq!(size, 18);
}

#[test]
fn it_shrinks_below_neither_its_least_size_nor_what_must_be_idle() {
    let least = TunerConfig { mode: TunerMode::Apply, min_size: 10, ..TunerConfig::default() };
    assert_eq!(Bench::with(least).first(QUIET, 100), None);
    let idle = TunerSample { min_idle: 10, ..QUIET };
    assert_eq!(Bench::new().first(idle, 100), None);
    let one = TunerSample { max_size: 1, peak_used: 0, ..QUIET };
    assert_eq!(Bench::new().first(one, 100), None);
}

#[test]
fn it_grows_above_its_greatest_size_never() {
    let tight = TunerConfig { mode: TunerMode::Apply, max_size: 10, ..TunerConfig::default() };
    assert_eq!(Bench::with(tight).first(BUSY, 100), None);
    let beyond = TunerSample { max_size: 12, peak_used: 12, ..BUSY };
    assert_eq!(Bench::with(tight).first(beyond, 100), None);
}

#[test]
fn after_advice_there_is_none_for_a_minute_and_the_rows_begin_anew() {
    let mut bench = Bench::new();
    bench.first(BUSY, 3).unwrap();
    let larger = TunerSample { max_size: 11, peak_used: 11, ..BUSY };
    let (at, advice) = bench.first(larger, 20).unwrap();
    assert_eq!((at, advice.new_size()), (5 + 3, Some(12)));
}

#[test]
fn what_was_seen_of_another_size_does_not_count() {
    let mut bench = Bench::new();
    (0..2).for_each(|_| assert_eq!(bench.sample(BUSY), None));
    let resized = TunerSample { max_size: 8, peak_used: 8, ..BUSY };
    assert_eq!(bench.first(resized, 10).unwrap().0, 3);
}

#[test]
fn observe_changes_nothing() {
    let mut bench = Bench::with(TunerConfig::default());
    let (at, advice) = bench.first(BUSY, 10).unwrap();
    assert_eq!((at, advice.change), (3, SizeChange::Grow { to: 11 }));
    assert_eq!(advice.new_size(), None);
}

#[test]
fn off_says_nothing() {
    let off = TunerConfig { mode: TunerMode::Off, ..TunerConfig::default() };
    assert_eq!(Bench::with(off).first(BUSY, 100), None);
}

#[test]
fn another_configuration_holds_from_the_next_sample_on() {
    let mut bench = Bench::new();
    assert_eq!(bench.sample(BUSY), None);
    let quick = TunerConfig { grow_after: 2, mode: TunerMode::Observe, ..TunerConfig::default() };
    bench.tuner.set_config(quick);
    assert_eq!(bench.sample(BUSY).unwrap().new_size(), None);
}

fn samples() -> impl Strategy<Value = Vec<(TunerSample, u64)>> {
    let sample = (
        (0u64..100, 0u32..140, prop_oneof![1u32..5, Just(10u32), 1u32..130]),
        (0u32..12, prop::option::weighted(0.9, 1u64..40), 1u64..100),
    );
    let sample = sample.prop_map(|((wait, used, size), (min_idle, latency, secs))| {
        let sample = TunerSample {
            p95_wait: MILLI * wait as u32,
            peak_used: used.min(size),
            max_size: size,
            min_idle,
            backend_latency: latency.map(|millis| MILLI * millis as u32),
        };
        (sample, secs)
    });
    // Runs of the same sample, so that rows come about.
    prop::collection::vec((sample, 1usize..12), 0..12).prop_map(|runs| {
        runs.into_iter().flat_map(|(sample, length)| std::iter::repeat_n(sample, length)).collect()
    })
}

proptest! {
    #[test]
    fn any_samples_get_advice_within_its_bounds(samples in samples(), applies: bool) {
        let mode = if applies { TunerMode::Apply } else { TunerMode::Observe };
        let config = TunerConfig { mode, min_size: 3, max_size: 100, shrink_after: 4, ..TunerConfig::default() };
        let mut bench = Bench::with(config);
        let mut quiet_until = bench.now;
        for (sample, secs) in samples {
            bench.now += Duration::from_secs(secs);
            let Some(advice) = bench.tuner.on_sample(sample, bench.now) else { continue };
            prop_assert!(bench.now >= quiet_until);
            quiet_until = bench.now + config.cool_down;

            let from = sample.max_size;
            let to = match advice.change {
                SizeChange::Grow { to } => {
                    prop_assert!(to > from && to <= config.max_size);
                    prop_assert!(advice.evidence.gradient >= config.gradient);
                    to
                }
                SizeChange::Shrink { to } => {
                    prop_assert!(to < from && to >= config.min_size.max(sample.min_idle));
                    to
                }
            };
            prop_assert!(to.abs_diff(from) <= (from / 10).max(1));
            prop_assert_eq!(advice.new_size(), applies.then_some(to));
        }
    }
}
