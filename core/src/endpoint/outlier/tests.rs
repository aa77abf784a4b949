use super::*;
use crate::{
    address::Address,
    endpoint::set::{Endpoint, EndpointSet},
};
use proptest::prelude::*;
use std::time::Duration;

const INTERVAL: Duration = Duration::from_secs(10);

/// A detector over so many endpoints, and the sweeps one after the other.
struct Bench {
    detector: OutlierDetector,
    ids: Vec<EndpointId>,
    now: Instant,
}

impl Bench {
    fn new(endpoints: usize) -> Self {
        Self::with(OutlierConfig::default(), endpoints)
    }

    #[expect(clippy::disallowed_methods, reason = "any instant will do")]
    fn with(config: OutlierConfig, endpoints: usize) -> Self {
        let now = Instant::now();
        let endpoint = |at: usize| Endpoint::from(Address::Mem(at.to_string().into()));
        let members = EndpointSet::new((0..endpoints).map(endpoint), now).members();
        let ids: Vec<_> = members.iter().map(|member| member.id).collect();
        let mut detector = OutlierDetector::new(config, now);
        detector.set_members(ids.iter().copied());
        Self { detector, ids, now }
    }

    fn calls(&mut self, at: usize, successes: u32, failures: u32) {
        (0..successes).for_each(|_| self.detector.on_outcome(self.ids[at], true));
        (0..failures).for_each(|_| self.detector.on_outcome(self.ids[at], false));
    }

    /// All endpoints do well but those in `bad`, of whose calls all fail.
    fn sweep(&mut self, bad: &[usize]) -> Sweep {
        for at in 0..self.ids.len() {
            if bad.contains(&at) { self.calls(at, 0, 100) } else { self.calls(at, 100, 0) }
        }
        self.now += INTERVAL;
        self.detector.on_sweep(self.now, || 0.5)
    }

    fn out(&self) -> Vec<usize> {
        let is_out = |at: &usize| self.detector.is_ejected(self.ids[*at]);
        (0..self.ids.len()).filter(is_out).collect()
    }

    fn multiplier(&self, at: usize) -> u32 {
        match self.detector.peers[&self.ids[at]].standing {
            Standing::In { multiplier } | Standing::Out { multiplier, .. } => multiplier,
        }
    }
}

#[test]
fn an_endpoint_far_below_the_mean_is_left_out() {
    let mut bench = Bench::new(10);
    for at in 0..9 {
        bench.calls(at, 99, 1);
    }
    bench.calls(9, 60, 40);
    bench.now += INTERVAL;
    let sweep = bench.detector.on_sweep(bench.now, || 0.5);
    let found = Ejection::new(
        bench.ids[9],
        OutlierRule::SuccessRate,
        Tally { successes: 60, failures: 40 },
    );
    assert_eq!((sweep.ejected, bench.out()), (vec![found], vec![9]));
}

#[test]
fn an_endpoint_that_fails_nearly_always_is_left_out_although_the_others_fail_too() {
    let mut bench = Bench::new(10);
    for at in 0..10 {
        bench.calls(at, 10, 40 + 50 * u32::from(at == 4));
    }
    bench.now += INTERVAL;
    let sweep = bench.detector.on_sweep(bench.now, || 0.5);
    assert_eq!(sweep.ejected[0].rule, OutlierRule::FailurePercentage);
    assert_eq!(bench.out(), [4]);
}

#[test]
fn too_few_endpoints_or_too_few_calls_are_no_ground() {
    let mut bench = Bench::new(4);
    assert_eq!(bench.sweep(&[0]), Sweep::default());
    let mut bench = Bench::new(10);
    for at in 0..10 {
        bench.calls(at, if at == 0 { 0 } else { 49 }, if at == 0 { 49 } else { 0 });
    }
    bench.now += INTERVAL;
    assert_eq!(bench.detector.on_sweep(bench.now, || 0.5), Sweep::default());
}

#[test]
fn calls_count_for_one_sweep_only() {
    let mut bench = Bench::new(10);
    bench.calls(0, 0, 60);
    for _ in 0..2 {
        (1..10).for_each(|at| bench.calls(at, 60, 0));
        bench.now += INTERVAL;
        bench.detector.on_sweep(bench.now, || 1.0);
    }
    assert_eq!(bench.detector.peers[&bench.ids[0]].calls, Tally::default());
}

// O1
#[test]
fn the_cap_is_checked_after_adding() {
    // A second of 19 would be 10.5 %.
    let mut bench = Bench::new(19);
    let sweep = bench.sweep(&[3, 7]);
    assert_eq!((sweep.ejected.len(), sweep.unenforced.len()), (1, 1));
    assert_eq!(Bench::new(20).sweep(&[3, 7]).ejected.len(), 2);
}

// O1
#[test]
fn one_of_few_may_go_only_if_the_configuration_says_so() {
    assert_eq!(Bench::new(6).sweep(&[0]).ejected.len(), 1);
    let strict = OutlierConfig { allow_one: false, ..OutlierConfig::default() };
    let sweep = Bench::with(strict, 6).sweep(&[0]);
    assert_eq!((sweep.ejected.len(), sweep.unenforced.len()), (0, 1));
}

#[test]
fn where_the_cap_lets_one_go_it_is_the_worst() {
    let mut bench = Bench::new(10);
    (0..8).for_each(|at| bench.calls(at, 100, 0));
    bench.calls(8, 5, 95);
    bench.calls(9, 2, 98);
    bench.now += INTERVAL;
    let sweep = bench.detector.on_sweep(bench.now, || 0.5);
    assert_eq!((bench.out(), sweep.unenforced.len()), (vec![9], 1));
}

// O2
#[test]
fn an_endpoint_returns_when_its_time_is_over() {
    let mut bench = Bench::new(10);
    bench.sweep(&[5]);
    for _ in 0..2 {
        assert_eq!(bench.sweep(&[]).returned, []);
    }
    assert_eq!(bench.sweep(&[]).returned, [bench.ids[5]]);
    assert_eq!(bench.out(), [0; 0]);
}

// O2
#[test]
fn each_further_ejection_lasts_longer_up_to_the_ceiling() {
    let mut bench = Bench::new(10);
    let mut times = Vec::new();
    for _ in 0..12 {
        bench.sweep(&[5]);
        let since = bench.now;
        while bench.out() == [5] {
            bench.sweep(&[]);
        }
        times.push((bench.now - since).as_secs());
    }
    assert_eq!(times, [30, 60, 90, 120, 150, 180, 210, 240, 270, 300, 300, 300]);
}

// O3
#[test]
fn the_multiplier_falls_to_zero_with_sweeps_that_find_nothing() {
    let mut bench = Bench::new(10);
    for _ in 0..3 {
        bench.sweep(&[5]);
        while bench.out() == [5] {
            bench.sweep(&[]);
        }
    }
    let falls: Vec<_> = (0..4)
        .map(|_| {
            bench.sweep(&[]);
            bench.multiplier(5)
        })
        .collect();
    assert_eq!(falls, [2, 1, 0, 0]);
}

#[test]
fn chance_enforces_as_often_as_the_configuration_says() {
    let mut config = OutlierConfig::default();
    config.success_rate.enforcement = 40;
    config.failure_percentage.enforcement = 40;
    for (draw, ejected) in [(0.39, 1), (0.4, 0)] {
        let mut bench = Bench::with(config, 10);
        (0..10).for_each(|at| bench.calls(at, 100 * u32::from(at > 0), 100 * u32::from(at == 0)));
        bench.now += INTERVAL;
        assert_eq!(bench.detector.on_sweep(bench.now, || draw).ejected.len(), ejected);
    }
}

#[test]
fn a_rule_of_no_enforcement_is_off() {
    let mut config = OutlierConfig::default();
    config.success_rate.enforcement = 0;
    config.failure_percentage.enforcement = 0;
    assert_eq!(Bench::with(config, 10).sweep(&[0]), Sweep::default());
}

#[test]
fn a_sweep_before_its_time_judges_nobody() {
    let mut bench = Bench::new(10);
    (0..10).for_each(|at| bench.calls(at, 100 * u32::from(at > 0), 100 * u32::from(at == 0)));
    let early = bench.now + INTERVAL - Duration::from_millis(1);
    assert_eq!(bench.detector.on_sweep(early, || 0.5), Sweep::default());
    assert_eq!(bench.detector.on_sweep(bench.now + INTERVAL, || 0.5).ejected.len(), 1);
}

#[test]
fn an_endpoint_that_left_the_set_is_forgotten_and_one_that_stayed_is_not() {
    let mut bench = Bench::new(10);
    bench.sweep(&[5]);
    bench.detector.set_members(bench.ids[1..].iter().copied());
    assert_eq!(bench.out(), [5]);
    bench.detector.set_members(bench.ids[..5].iter().copied());
    assert_eq!(bench.out(), [0; 0]);
    bench.detector.on_outcome(bench.ids[9], false);
}

proptest! {
    // O1, O2, O3
    #[test]
    fn any_calls_and_any_cap_leave_enough_in(
        len in 0usize..30, percent in 0u32..120, allow_one: bool,
        sweeps in prop::collection::vec((prop::collection::vec((0u32..120, 0u32..120), 30), 0u64..60, 0.0f64..1.0), 0..20),
    ) {
        let config = OutlierConfig { max_ejection_percent: percent, allow_one, ..OutlierConfig::default() };
        let mut bench = Bench::with(config, len);
        let most = (len * percent.min(100) as usize / 100).max(usize::from(allow_one));
        for (calls, wait, draw) in sweeps {
            for (at, (successes, failures)) in calls.iter().enumerate().take(len) {
                bench.calls(at, *successes, *failures);
            }
            bench.now += Duration::from_secs(wait);
            let before = bench.out().len();
            let sweep = bench.detector.on_sweep(bench.now, || draw);
            let after = bench.out().len();
            prop_assert!(after <= most);
            prop_assert_eq!(after, before + sweep.ejected.len() - sweep.returned.len());
        }
        for _ in 0..100 {
            bench.now += INTERVAL;
            bench.detector.on_sweep(bench.now, || 0.5);
        }
        prop_assert!(bench.out().is_empty());
        prop_assert!((0..len).all(|at| bench.multiplier(at) == 0));
    }
}
