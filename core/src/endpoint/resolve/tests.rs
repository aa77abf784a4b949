use super::*;
use proptest::prelude::*;

const SECOND: Duration = Duration::from_secs(1);

fn addresses(last: &[u8]) -> Arc<[IpAddr]> {
    last.iter().map(|last| IpAddr::from([10, 0, 0, *last])).collect()
}

struct Bench {
    name: ResolvedName,
    now: Instant,
}

impl Bench {
    #[expect(clippy::disallowed_methods, reason = "any instant will do")]
    fn new() -> Self {
        Self { name: ResolvedName::new(ResolveConfig::default()), now: Instant::now() }
    }

    /// Knows two addresses for a minute.
    fn known() -> Self {
        let mut bench = Self::new();
        bench.resolve(&[1, 2], 60 * SECOND);
        bench
    }

    fn ask(&mut self) -> Asked {
        self.name.ask(self.now)
    }

    fn answer(&mut self) -> Answer {
        self.ask().answer
    }

    fn lookup(&mut self) -> Lookup {
        self.ask().lookup.unwrap()
    }

    fn resolve(&mut self, last: &[u8], ttl: Duration) -> bool {
        let lookup = self.lookup();
        self.name.on_answer(lookup, addresses(last), ttl, self.now)
    }

    fn fail(&mut self) {
        let lookup = self.lookup();
        self.name.on_failure(lookup, self.now, 0.5);
    }
}

#[test]
fn one_asker_looks_up_and_the_others_wait_for_it() {
    let mut bench = Bench::new();
    let first = bench.ask();
    assert_eq!(first.answer, Answer::Pending);
    for _ in 0..5 {
        assert_eq!(bench.ask(), Asked { answer: Answer::Pending, lookup: None });
    }
    let lookup = first.lookup.unwrap();
    assert!(bench.name.on_answer(lookup, addresses(&[1]), 60 * SECOND, bench.now));
    assert_eq!(bench.answer(), Answer::Fresh(addresses(&[1])));
}

#[test]
fn a_ttl_is_held_within_its_limits() {
    for (ttl, used) in [(Duration::ZERO, 30), (60 * SECOND, 60), (Duration::MAX, 3600)] {
        let mut bench = Bench::new();
        bench.resolve(&[1], ttl);
        bench.now += used * SECOND - Duration::from_millis(1);
        assert_eq!(bench.ask(), Asked { answer: Answer::Fresh(addresses(&[1])), lookup: None });
        bench.now += Duration::from_millis(1);
        assert!(bench.ask().lookup.is_some());
    }
}

#[test]
fn what_has_just_expired_is_given_while_a_lookup_runs_and_what_is_older_is_not() {
    let mut bench = Bench::known();
    bench.now += 61 * SECOND;
    let asked = bench.ask();
    assert_eq!(asked.answer, Answer::Stale(addresses(&[1, 2])));
    assert!(asked.lookup.is_some());

    let mut bench = Bench::known();
    bench.now += 90 * SECOND;
    assert_eq!(bench.answer(), Answer::Pending);
}

#[test]
fn while_lookups_fail_the_last_answer_stands_in_for_an_hour() {
    let mut bench = Bench::known();
    bench.now += 100 * SECOND;
    bench.fail();
    assert_eq!(bench.ask(), Asked { answer: Answer::Stale(addresses(&[1, 2])), lookup: None });
    bench.now += 3500 * SECOND;
    let asked = bench.ask();
    assert_eq!(asked.answer, Answer::Stale(addresses(&[1, 2])));
    bench.name.on_failure(asked.lookup.unwrap(), bench.now, 0.5);
    bench.now += 60 * SECOND;
    assert_eq!(bench.answer(), Answer::Pending);
}

#[test]
fn a_name_that_never_resolved_fails_at_once_until_the_next_lookup_may_begin() {
    let mut bench = Bench::new();
    bench.fail();
    let retry_at = bench.now + Duration::from_millis(1600);
    assert_eq!(bench.ask(), Asked { answer: Answer::Failed { retry_at }, lookup: None });
    assert_eq!(bench.name.next_event(bench.now), Some(retry_at));
    bench.now = retry_at;
    assert!(bench.ask().lookup.is_some());
}

#[test]
fn lookups_that_fail_come_further_and_further_apart() {
    let mut bench = Bench::new();
    let mut pauses = Vec::new();
    for _ in 0..10 {
        bench.fail();
        let retry_at = bench.name.next_event(bench.now).unwrap();
        pauses.push(retry_at - bench.now);
        bench.now = retry_at;
    }
    assert!(pauses.is_sorted());
    assert_eq!(pauses.last(), Some(&(30 * SECOND)));
    bench.resolve(&[1], SECOND);
    assert_eq!(bench.name.failures(), 0);
}

#[test]
fn a_lookup_that_tells_nothing_is_replaced_when_its_time_is_over() {
    let mut bench = Bench::new();
    let lost = bench.lookup();
    assert_eq!(lost.give_up_at(), bench.now + 5 * SECOND);
    bench.now += 5 * SECOND;
    let second = bench.lookup();
    assert!(!bench.name.on_answer(lost, addresses(&[9]), SECOND, bench.now));
    assert_eq!(bench.answer(), Answer::Pending);
    assert!(bench.name.on_answer(second, addresses(&[1]), SECOND, bench.now));
    assert_eq!(bench.answer(), Answer::Fresh(addresses(&[1])));
}

#[test]
fn a_lookup_that_hangs_counts_as_a_failure_so_that_the_last_answer_stands_in() {
    let mut bench = Bench::known();
    bench.now += 100 * SECOND;
    assert_eq!(bench.answer(), Answer::Pending);
    bench.now += 5 * SECOND;
    assert_eq!(bench.answer(), Answer::Stale(addresses(&[1, 2])));
}

#[test]
fn the_same_addresses_in_another_order_are_no_change() {
    let mut bench = Bench::known();
    bench.now += 100 * SECOND;
    assert!(!bench.resolve(&[2, 1], 60 * SECOND));
    bench.now += 100 * SECOND;
    assert!(bench.resolve(&[2, 3], 60 * SECOND));
}

proptest! {
    #[test]
    fn never_are_two_lookups_out_and_never_does_one_begin_before_its_time(
        steps in prop::collection::vec((0u8..4, 0u64..120_000), 0..120), unit in 0.0f64..1.0,
    ) {
        let mut bench = Bench::new();
        let mut out: Option<Lookup> = None;
        for (step, wait) in steps {
            match step {
                0 => bench.now += Duration::from_millis(wait),
                1 => {
                    let next = bench.name.next_event(bench.now);
                    let asked = bench.ask();
                    prop_assert_eq!(asked.lookup.is_some(), next.is_none());
                    if let Some(lookup) = asked.lookup {
                        prop_assert!(out.as_ref().is_none_or(|out| out.give_up_at() <= bench.now));
                        out = Some(lookup);
                    }
                }
                2 => if let Some(lookup) = out.take() {
                    bench.name.on_answer(lookup, addresses(&[1]), Duration::from_millis(wait), bench.now);
                    prop_assert_eq!(bench.answer(), Answer::Fresh(addresses(&[1])));
                },
                _ => if let Some(lookup) = out.take() {
                    bench.name.on_failure(lookup, bench.now, unit);
                    prop_assert!(bench.name.next_event(bench.now).is_some());
                },
            }
        }
    }
}
