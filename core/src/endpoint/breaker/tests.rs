use super::*;
use crate::config::Config;
use proptest::prelude::*;

const SECOND: Duration = Duration::from_secs(1);
/// A draw that leaves open times as they are.
const NO_JITTER: f64 = 0.5;

#[expect(clippy::disallowed_methods, reason = "any instant will do")]
fn start() -> Instant {
    Instant::now()
}

/// A breaker whose circumstances a test can read like a story.
struct Bench {
    breaker: Breaker,
    now: Instant,
}

impl Bench {
    fn new() -> Self {
        Self::with(BreakerConfig::default())
    }

    fn with(config: BreakerConfig) -> Self {
        config.validate().unwrap();
        let now = start();
        Self { breaker: Breaker::new(config, now), now }
    }

    fn opened() -> Self {
        let mut bench = Self::new();
        bench.calls(7, Outcome::Failure);
        assert!(matches!(bench.breaker.state(), BreakerState::Open { .. }));
        bench
    }

    fn half_open() -> Self {
        let mut bench = Self::opened();
        bench.wait(5 * SECOND);
        bench
    }

    fn wait(&mut self, time: Duration) {
        self.now += time;
    }

    fn admit(&mut self) -> Result<Pass, OpenFor> {
        self.breaker.on_admit(self.now)
    }

    fn tell(&mut self, pass: Pass, outcome: Outcome) -> BreakerChange {
        self.breaker.on_outcome(pass, outcome, self.now, NO_JITTER)
    }

    /// Calls one after the other, each ending at once. Returns what the last one changed.
    fn calls(&mut self, count: u32, outcome: Outcome) -> BreakerChange {
        (0..count)
            .map(|_| {
                let pass = self.admit().unwrap();
                self.tell(pass, outcome)
            })
            .last()
            .unwrap()
    }
}

#[test]
fn seven_failures_in_a_row_open_it_for_five_seconds() {
    let mut bench = Bench::new();
    assert_eq!(bench.calls(6, Outcome::Failure), BreakerChange::Nothing);
    let until = bench.now + 5 * SECOND;
    assert_eq!(bench.calls(1, Outcome::Failure), BreakerChange::Opened { until });
    bench.wait(2 * SECOND);
    assert_eq!(bench.admit(), Err(OpenFor { remaining: 3 * SECOND }));
    assert_eq!((bench.breaker.counts().rejected, bench.breaker.counts().opened), (1, 1));
}

#[test]
fn a_success_breaks_the_row() {
    let mut bench = Bench::new();
    bench.calls(6, Outcome::Failure);
    bench.calls(1, Outcome::Success);
    bench.calls(6, Outcome::Failure);
    assert_eq!(bench.breaker.state(), BreakerState::Closed);
}

#[test]
fn half_of_twenty_calls_open_it_and_half_of_nineteen_do_not() {
    let mut bench = Bench::new();
    for _ in 0..9 {
        bench.calls(1, Outcome::Failure);
        bench.calls(1, Outcome::Success);
    }
    bench.calls(1, Outcome::Failure);
    assert_eq!(bench.breaker.state(), BreakerState::Closed);
    assert!(matches!(bench.calls(1, Outcome::Failure), BreakerChange::Opened { .. }));
}

#[test]
fn failures_that_left_the_window_count_no_longer() {
    let mut bench = Bench::new();
    for _ in 0..9 {
        bench.calls(1, Outcome::Failure);
        bench.calls(1, Outcome::Success);
    }
    bench.wait(10 * SECOND);
    bench.calls(2, Outcome::Failure);
    assert_eq!(bench.breaker.state(), BreakerState::Closed);
}

#[test]
fn a_cancelled_call_counts_neither_way() {
    let mut bench = Bench::new();
    bench.calls(6, Outcome::Failure);
    bench.calls(100, Outcome::Cancelled);
    assert!(matches!(bench.calls(1, Outcome::Failure), BreakerChange::Opened { .. }));
}

#[test]
fn three_successful_probes_close_it_and_a_failed_one_opens_it_for_twice_as_long() {
    let mut bench = Bench::half_open();
    bench.calls(2, Outcome::Success);
    assert!(matches!(bench.breaker.state(), BreakerState::HalfOpen { successes: 2, .. }));
    assert_eq!(bench.calls(1, Outcome::Success), BreakerChange::Closed);

    let mut bench = Bench::half_open();
    bench.calls(2, Outcome::Success);
    let until = bench.now + 10 * SECOND;
    assert_eq!(bench.calls(1, Outcome::Failure), BreakerChange::Opened { until });
}

#[test]
fn a_closing_takes_the_open_time_back_to_its_base() {
    let mut bench = Bench::half_open();
    bench.calls(1, Outcome::Failure);
    bench.wait(10 * SECOND);
    bench.calls(3, Outcome::Success);
    let until = bench.now + 5 * SECOND;
    assert_eq!(bench.calls(7, Outcome::Failure), BreakerChange::Opened { until });
}

#[test]
fn a_closing_forgets_what_the_window_held() {
    let mut bench = Bench::half_open();
    bench.calls(3, Outcome::Success);
    assert_eq!(bench.calls(6, Outcome::Failure), BreakerChange::Nothing);
}

// B1
#[test]
fn half_open_lets_three_probes_out_and_says_when_the_next_may_start() {
    let mut bench = Bench::half_open();
    let probes: Vec<_> = (0..3).map(|_| bench.admit().unwrap()).collect();
    bench.wait(10 * SECOND);
    assert_eq!(bench.admit(), Err(OpenFor { remaining: 20 * SECOND }));
    assert_eq!(bench.breaker.next_admission(bench.now), Some(bench.now + 20 * SECOND));
    drop(probes);
}

// B2
#[test]
fn a_cancelled_probe_frees_its_place_and_counts_neither_way() {
    let mut bench = Bench::half_open();
    let mut probes: Vec<_> = (0..3).map(|_| bench.admit().unwrap()).collect();
    assert_eq!(bench.tell(probes.remove(0), Outcome::Cancelled), BreakerChange::Freed);
    assert_eq!(bench.breaker.state(), BreakerState::HalfOpen { in_flight: 2, successes: 0 });
    assert!(bench.admit().is_ok());
}

// B2
#[test]
fn a_probe_that_is_lost_frees_its_place_at_its_deadline() {
    let mut bench = Bench::half_open();
    let lost: Vec<_> = (0..3).map(|_| bench.admit().unwrap()).collect();
    bench.wait(29 * SECOND);
    assert!(!bench.breaker.is_ready(bench.now));
    bench.wait(SECOND);
    assert!(bench.breaker.is_ready(bench.now));
    bench.calls(3, Outcome::Success);
    assert_eq!(bench.breaker.state(), BreakerState::Closed);
    drop(lost);
}

#[test]
fn a_probe_that_ends_after_its_deadline_still_counts() {
    let mut bench = Bench::half_open();
    let late = bench.admit().unwrap();
    bench.wait(60 * SECOND);
    let other = bench.admit().unwrap();
    assert!(matches!(bench.tell(late, Outcome::Failure), BreakerChange::Opened { .. }));
    assert_eq!(bench.tell(other, Outcome::Success), BreakerChange::Nothing);
}

// B3
#[test]
fn an_outcome_of_an_older_state_is_ignored() {
    let mut bench = Bench::new();
    let mut old: Vec<_> = (0..4).map(|_| bench.admit().unwrap()).collect();
    bench.calls(7, Outcome::Failure);
    let opened = bench.breaker.state();
    assert_eq!(bench.tell(old.remove(0), Outcome::Success), BreakerChange::Nothing);
    assert_eq!(bench.breaker.state(), opened);

    bench.wait(5 * SECOND);
    let probe = bench.admit().unwrap();
    assert_eq!(bench.tell(old.remove(0), Outcome::Failure), BreakerChange::Nothing);
    assert_eq!(bench.tell(old.remove(0), Outcome::Cancelled), BreakerChange::Nothing);
    assert_eq!(bench.breaker.state(), BreakerState::HalfOpen { in_flight: 1, successes: 0 });

    bench.tell(probe, Outcome::Success);
    bench.calls(2, Outcome::Success);
    assert_eq!(bench.tell(old.remove(0), Outcome::Failure), BreakerChange::Nothing);
    assert_eq!(bench.breaker.state(), BreakerState::Closed);
    assert_eq!(bench.breaker.counts().ignored, 4);
}

// B5
#[test]
fn open_times_double_up_to_the_ceiling() {
    let mut bench = Bench::opened();
    let mut times = vec![5 * SECOND];
    for _ in 0..6 {
        bench.wait(*times.last().unwrap());
        match bench.calls(1, Outcome::Failure) {
            BreakerChange::Opened { until } => times.push(until - bench.now),
            other => panic!("{other:?}"),
        }
    }
    assert_eq!(times, [5, 10, 20, 40, 60, 60, 60].map(Duration::from_secs));
}

#[test]
fn a_reset_closes_it_at_once_and_ignores_the_calls_before() {
    let mut bench = Bench::half_open();
    let probe = bench.admit().unwrap();
    bench.breaker.reset(bench.now);
    assert_eq!(bench.breaker.state(), BreakerState::Closed);
    assert_eq!(bench.tell(probe, Outcome::Failure), BreakerChange::Nothing);
    assert_eq!(bench.breaker.counts().ignored, 1);
}

#[test]
fn a_new_configuration_holds_at_once_and_leaves_an_open_breaker_open() {
    let strict = BreakerConfig { consecutive_failures: 1, ..BreakerConfig::default() };
    let mut bench = Bench::new();
    bench.breaker.set_config(strict, bench.now);
    assert!(matches!(bench.calls(1, Outcome::Failure), BreakerChange::Opened { .. }));

    bench.breaker.set_config(BreakerConfig { open: SECOND, ..strict }, bench.now);
    assert_eq!(bench.admit(), Err(OpenFor { remaining: 5 * SECOND }));
}

#[test]
fn the_error_says_how_long_it_stays_open() {
    let mut bench = Bench::opened();
    bench.wait(Duration::from_millis(1_234));
    let error = bench.admit().unwrap_err();
    assert_eq!(error.to_string(), "the circuit is open for another 3.8s");
}

#[derive(Clone, Copy, Debug)]
enum Step {
    Admit,
    End(usize, Outcome),
    Wait(u64),
}

fn step() -> impl Strategy<Value = Step> {
    let outcome = prop_oneof![1 => Just(Outcome::Success), 3 => Just(Outcome::Failure), 1 => Just(Outcome::Cancelled)];
    prop_oneof![
        3 => Just(Step::Admit),
        3 => (0..6_usize, outcome).prop_map(|(at, outcome)| Step::End(at, outcome)),
        1 => prop_oneof![0..400_u64, 4_000..40_000_u64].prop_map(Step::Wait),
    ]
}

proptest! {
    // B1, B2, B3, B5
    #[test]
    fn any_script_keeps_probes_in_bounds_and_open_times_closed(
        script in prop::collection::vec(step(), 0..300), unit in 0.0f64..1.0,
    ) {
        let config = BreakerConfig { consecutive_failures: 3, ..BreakerConfig::default() };
        let mut bench = Bench::with(config);
        let (mut held, mut closed_until) = (Vec::<(Pass, Instant)>::new(), bench.now);
        for step in script {
            match step {
                Step::Wait(millis) => bench.wait(Duration::from_millis(millis)),
                Step::Admit => {
                    let ready = bench.breaker.is_ready(bench.now);
                    let admitted = bench.admit();
                    prop_assert_eq!(admitted.is_ok(), ready);
                    prop_assert!(admitted.is_err() || bench.now >= closed_until);
                    held.extend(admitted.map(|pass| (pass, bench.now)));
                }
                Step::End(at, outcome) if at < held.len() => {
                    let (pass, _) = held.remove(at);
                    let before = bench.breaker.state();
                    let is_current = pass.generation == bench.breaker.generation;
                    let change = bench.breaker.on_outcome(pass, outcome, bench.now, unit);
                    if !is_current {
                        prop_assert_eq!(bench.breaker.state(), before);
                        prop_assert_eq!(change, BreakerChange::Nothing);
                    }
                    if let BreakerChange::Opened { until } = change {
                        prop_assert!(until - bench.now >= 4 * SECOND && until - bench.now <= 72 * SECOND);
                        closed_until = until;
                    }
                }
                Step::End(..) => {}
            }
            let generation = bench.breaker.generation;
            if let BreakerState::HalfOpen { in_flight, .. } = bench.breaker.state() {
                prop_assert!(in_flight <= 3);
                let alive = |(pass, at): &&(Pass, Instant)| {
                    pass.generation == generation && *at + config.probe_deadline > bench.now
                };
                prop_assert!(held.iter().filter(alive).count() <= 3);
            }
        }
    }

    // B4
    #[test]
    fn it_opens_at_the_failure_at_which_a_recount_of_the_log_says_so(
        calls in prop::collection::vec((0u64..800, prop::bool::weighted(0.4)), 1..200),
    ) {
        let mut bench = Bench::new();
        let (mut log, mut at) = (Vec::new(), 0);
        for (wait, failed) in calls {
            at += wait;
            bench.wait(Duration::from_millis(wait));
            log.push((at / 1000, failed));
            let lately: Vec<_> = log.iter().filter(|(second, _)| second + 10 > at / 1000).collect();
            let failures = lately.iter().filter(|(_, failed)| *failed).count();
            let row = log.iter().rev().take_while(|(_, failed)| *failed).count();
            let must_open = failed && (row >= 7 || lately.len() >= 20 && 2 * failures >= lately.len());

            let outcome = if failed { Outcome::Failure } else { Outcome::Success };
            let opened = matches!(bench.calls(1, outcome), BreakerChange::Opened { .. });
            prop_assert_eq!(opened, must_open);
            if opened {
                break;
            }
        }
    }

    // B5
    #[test]
    fn open_times_never_shrink_for_one_draw_and_never_leave_their_band(trips in 1u32..200, unit in 0.0f64..1.0) {
        let config = BreakerConfig::default();
        let time = config.open_time(trips, unit);
        prop_assert!(time >= 4 * SECOND && time <= 72 * SECOND);
        prop_assert!(config.open_time(trips + 1, unit) >= time);
    }

    #[test]
    fn any_configuration_and_any_clock_give_some_answer(
        times in (any::<u64>(), any::<u64>(), any::<u64>(), any::<u64>()), figures in (any::<f64>(), any::<f64>(), any::<f64>()),
        counts in (0u32..5, any::<u32>(), any::<u32>(), any::<u32>()),
        steps in prop::collection::vec((0u64..1 << 40, any::<bool>(), any::<f64>()), 0..40),
    ) {
        let config = BreakerConfig {
            bucket: Duration::from_nanos(times.0),
            open: Duration::from_millis(times.1),
            max_open: Duration::from_millis(times.2),
            probe_deadline: Duration::from_millis(times.3),
            failure_ratio: figures.0,
            multiplier: figures.1,
            jitter: figures.2,
            buckets: counts.0,
            min_calls: counts.1,
            consecutive_failures: counts.2,
            probes: counts.3,
        };
        let origin = start();
        let mut breaker = Breaker::new(config, origin);
        for (at, failed, unit) in steps {
            let now = origin + Duration::from_millis(at);
            if let Ok(pass) = breaker.on_admit(now) {
                let outcome = if failed { Outcome::Failure } else { Outcome::Success };
                breaker.on_outcome(pass, outcome, now, unit);
            }
        }
    }
}
