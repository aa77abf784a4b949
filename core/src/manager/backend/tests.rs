//! What a backend decides, in virtual time.

use super::*;
use crate::config::{BalanceConfig, EndpointConfig, HealthConfig, SlowStartConfig};
use crate::error::{Place, Step};
use crate::manager::endpoints::{EndpointState, LiveEndpoint, ReasonKind};
use proptest::prelude::*;

#[expect(clippy::disallowed_methods, reason = "any instant will do")]
fn start() -> Instant {
    Instant::now()
}

fn config(policy: PickPolicy, weights: &[(&str, u32)]) -> BackendConfig {
    let endpoint = |&(name, weight): &(&str, u32)| EndpointConfig {
        address: Address::Mem(name.into()),
        weight,
    };
    BackendConfig {
        endpoints: weights.iter().map(endpoint).collect(),
        balance: BalanceConfig { policy, ..BalanceConfig::default() },
        ..BackendConfig::default()
    }
}

fn backend(config: BackendConfig, now: Instant) -> Backend {
    Backend::new(config, now, || 0.5)
}

fn refusal() -> ConnectionError {
    ConnectionError::ConnectionFailed { at: Place::at(Step::Connect) }
}

fn begin(backend: &mut Backend, tried: &[EndpointId], now: Instant) -> Option<Attempt> {
    backend.begin(None, tried, now, || 0.5)
}

#[test]
fn each_attempt_for_a_connection_goes_to_another_endpoint() {
    let now = start();
    let mut backend = backend(config(PickPolicy::RoundRobin, &[("a", 1), ("b", 1), ("c", 1)]), now);
    let mut tried = Vec::new();
    for _ in 0..3 {
        let attempt = begin(&mut backend, &tried, now).unwrap();
        assert!(!tried.contains(&attempt.endpoint));
        tried.push(attempt.endpoint);
        backend.on_failed(attempt, &refusal(), now, 0.5);
    }
    assert!(begin(&mut backend, &tried, now).is_none());
}

#[test]
fn an_endpoint_that_keeps_failing_is_not_tried_until_its_breaker_lets_it() {
    let now = start();
    let mut backend = backend(config(PickPolicy::RoundRobin, &[("a", 1)]), now);
    for _ in 0..7 {
        let attempt = begin(&mut backend, &[], now).unwrap();
        backend.on_failed(attempt, &refusal(), now, 0.5);
    }
    assert!(begin(&mut backend, &[], now).is_none());
    assert_eq!(backend.open_for(now), Some(Duration::from_secs(5)));
    let later = now + Duration::from_secs(6);
    assert_eq!(backend.open_for(later), None);
    let attempt = begin(&mut backend, &[], later).unwrap();
    backend.on_connected(attempt, later, 0.5);
}

#[test]
fn connections_that_stand_count_against_an_endpoint_until_they_end() {
    let now = start();
    let mut backend = backend(config(PickPolicy::LeastConnections, &[("a", 1), ("b", 3)]), now);
    let mut taken = HashMap::new();
    let mut last = None;
    for _ in 0..8 {
        let attempt = begin(&mut backend, &[], now).unwrap();
        *taken.entry(attempt.address.to_string()).or_insert(0) += 1;
        last = Some(attempt.endpoint);
        backend.on_connected(attempt, now, 0.5);
    }
    assert_eq!((taken["mem:a"], taken["mem:b"]), (2, 6));
    backend.on_closed(last.unwrap());
    assert_eq!(begin(&mut backend, &[], now).unwrap().endpoint, last.unwrap());
}

#[test]
fn an_attempt_that_was_given_up_says_nothing_about_the_endpoint() {
    let now = start();
    let mut backend = backend(config(PickPolicy::RoundRobin, &[("a", 1)]), now);
    for _ in 0..50 {
        let attempt = begin(&mut backend, &[], now).unwrap();
        backend.on_cancelled(attempt, now, 0.5);
    }
    assert!(backend.peers.values().all(|peer| peer.active == 0));
    assert!(begin(&mut backend, &[], now).is_some());
}

#[test]
fn an_endpoint_that_fails_its_checks_gets_nothing_until_it_passes_again() {
    let now = start();
    let mut checked = config(PickPolicy::RoundRobin, &[("a", 1), ("b", 1)]);
    checked.health = Some(HealthConfig { fall: 1, rise: 1, ..HealthConfig::default() });
    checked.balance.panic_threshold = 0.0;
    let mut backend = backend(checked, now);
    let first = backend.members()[0].id;
    let later = now + Duration::from_secs(60);
    assert!(matches!(
        backend.on_health_timeout(first, 0, later, 0.5),
        Some(HealthAction::Check { .. })
    ));
    let failed = CheckOutcome::Failed(EndpointReason::of_check("connect", "refused"));
    assert_eq!(backend.on_checked(first, 0, failed, later), HealthChange::Down);
    for _ in 0..4 {
        assert_ne!(begin(&mut backend, &[], later).unwrap().endpoint, first);
    }
    let again = later + Duration::from_secs(60);
    backend.on_health_timeout(first, 0, again, 0.5);
    assert_eq!(backend.on_checked(first, 0, CheckOutcome::Passed, again), HealthChange::Up);
    assert!((0..4).any(|_| begin(&mut backend, &[], again).unwrap().endpoint == first));
}

#[test]
fn an_endpoint_that_fails_more_than_the_others_is_left_out_for_a_while() {
    let now = start();
    let names: Vec<_> = (0..6).map(|name| name.to_string()).collect();
    let weights: Vec<_> = names.iter().map(|name| (name.as_str(), 1)).collect();
    let mut unruly = config(PickPolicy::RoundRobin, &weights);
    unruly.breaker.consecutive_failures = 1_000_000;
    unruly.breaker.min_calls = 1_000_000;
    let mut backend = backend(unruly, now);
    let bad = backend.members()[2].id;
    for _ in 0..600 {
        let attempt = begin(&mut backend, &[], now).unwrap();
        if attempt.endpoint == bad {
            backend.on_failed(attempt, &refusal(), now, 0.5);
        } else {
            backend.on_connected(attempt, now, 0.5);
        }
    }
    let later = now + Duration::from_secs(11);
    for _ in 0..12 {
        assert_ne!(begin(&mut backend, &[], later).unwrap().endpoint, bad);
    }
}

#[test]
fn a_key_goes_to_the_same_endpoint_and_weight_0_takes_nothing() {
    let now = start();
    let mut by_key = backend(config(PickPolicy::Maglev, &[("a", 1), ("b", 1), ("c", 0)]), now);
    let mut at =
        |key: u8| by_key.begin(Some(&[key]), &[], now, || 0.5).unwrap().address.to_string();
    for key in 0..100 {
        let address = at(key);
        assert_eq!(at(key), address);
        assert_ne!(address, "mem:c");
    }
}

#[test]
fn an_endpoint_that_is_new_again_starts_with_a_part_of_its_weight() {
    let now = start();
    let mut slow = config(PickPolicy::Weighted, &[("a", 1), ("b", 1)]);
    slow.balance.slow_start = SlowStartConfig::gradual();
    let mut backend = backend(slow, now);
    let old = backend.members()[0].id;
    let grown = now + Duration::from_secs(60);
    if let Some(peer) = backend.peers.get_mut(&backend.members[1].id) {
        peer.since = grown;
    }
    let taken = (0..110).filter(|_| begin(&mut backend, &[], grown).unwrap().endpoint == old);
    let taken = taken.count();
    assert!((95..=105).contains(&taken), "{taken}");
}

/// Makes a connection every two milliseconds, which takes as long as `latency` says to stand and 100 ms to end, and
/// counts to which endpoint each went.
fn shares(backend: &mut Backend, now: &mut Instant, latency: &[u64], rounds: u32) -> Vec<u32> {
    let members = backend.members();
    let mut random = fastrand::Rng::with_seed(7);
    let mut taken = vec![0; members.len()];
    // By when it happens: an attempt that becomes a connection, or one that ends.
    let mut ends =
        std::collections::BTreeMap::<(Instant, u32), (Option<Attempt>, EndpointId)>::new();
    for round in 0..rounds {
        *now += Duration::from_millis(2);
        while let Some(end) = ends.first_entry().filter(|end| end.key().0 <= *now) {
            let ((at, number), (attempt, endpoint)) = end.remove_entry();
            match attempt {
                Some(attempt) => {
                    backend.on_connected(attempt, at, random.f64());
                    ends.insert((at + Duration::from_millis(100), number), (None, endpoint));
                }
                None => backend.on_closed(endpoint),
            }
        }
        let Some(attempt) = backend.begin(None, &[], *now, || random.f64()) else { continue };
        let endpoint = attempt.endpoint;
        let index = members.iter().position(|member| member.id == endpoint).unwrap();
        taken[index] += 1;
        ends.insert(
            (*now + Duration::from_millis(latency[index]), round),
            (Some(attempt), endpoint),
        );
    }
    for (attempt, endpoint) in ends.into_values() {
        match attempt {
            Some(attempt) => backend.on_cancelled(attempt, *now, 0.5),
            None => backend.on_closed(endpoint),
        }
    }
    taken
}

#[test]
fn of_two_the_one_that_takes_longer_to_connect_to_gets_less() {
    let mut now = start();
    let mut backend = backend(config(PickPolicy::P2c, &[("quick", 1), ("slow", 1)]), now);
    let taken = shares(&mut backend, &mut now, &[2, 40], 5000);
    assert!(taken[0] > 3 * taken[1] && taken[1] > 0, "{taken:?}");
}

#[test]
fn neighbours_within_a_millisecond_share_evenly() {
    let mut now = start();
    let mut backend = backend(config(PickPolicy::P2c, &[("near", 1), ("nearer", 1)]), now);
    let taken = shares(&mut backend, &mut now, &[1, 0], 5000);
    assert!(taken.iter().all(|taken| (2300..=2700).contains(taken)), "{taken:?}");
}

#[test]
fn a_refusal_keeps_clients_away_for_a_while_and_not_for_long() {
    let mut now = start();
    let mut backend = backend(config(PickPolicy::P2c, &[("a", 1), ("b", 1)]), now);
    shares(&mut backend, &mut now, &[2, 2], 1000);
    let attempt = begin(&mut backend, &[], now).unwrap();
    let refused = attempt.endpoint;
    let index = backend.members().iter().position(|member| member.id == refused).unwrap();
    backend.on_failed(attempt, &refusal(), now, 0.5);
    let soon = shares(&mut backend, &mut now, &[2, 2], 500);
    assert_eq!(soon[index], 0, "{soon:?}");
    now += EWMA_DECAY;
    let later = shares(&mut backend, &mut now, &[2, 2], 500);
    assert!(later[index] > 200, "{later:?}");
}

const EWMA_DECAY: Duration = Duration::from_secs(10);

#[test]
fn an_endpoint_that_is_new_counts_as_the_median_of_the_others() {
    let mut now = start();
    let names = [("a", 1), ("b", 1), ("c", 1)];
    let mut backend = backend(config(PickPolicy::P2c, &names), now);
    shares(&mut backend, &mut now, &[200, 200, 200], 2000);
    let grown = config(PickPolicy::P2c, &[("a", 1), ("b", 1), ("c", 1), ("new", 1)]);
    backend.reconfigure(grown, now, || 0.5);
    begin(&mut backend, &[], now).map(|attempt| backend.on_cancelled(attempt, now, 0.5)).unwrap();
    let view = View { backend: &backend, tried: &[], now };
    assert!((view.load(3) / view.load(0) - 1.0).abs() < 0.3, "{} {}", view.load(3), view.load(0));
}

/// A backend of one name, which was looked up for these addresses.
fn named(scheme: &str, ips: &[u8], now: Instant) -> (Backend, NameTask) {
    let mut config = config(PickPolicy::RoundRobin, &[]);
    let address = format!("{scheme}://db:7").parse().unwrap();
    config.endpoints.push(EndpointConfig { address, weight: 3 });
    config.health = Some(HealthConfig::default());
    let mut backend = backend(config, now);
    let task = backend.named().remove(0);
    look_up(&mut backend, &task, ips, now);
    (backend, task)
}

fn look_up(backend: &mut Backend, task: &NameTask, ips: &[u8], now: Instant) -> Change {
    match backend.on_name_timeout(task, now, || 0.5) {
        Some((NameAction::LookUp(lookup), _)) => {
            let ips = ips.iter().map(|last| [10, 0, 0, *last].into()).collect();
            backend.on_looked_up(task, lookup, Ok(ips), now, || 0.5)
        }
        other => panic!("{other:?}"),
    }
}

fn addresses(members: &[Member]) -> Vec<String> {
    members.iter().map(|member| member.address.to_string()).collect()
}

#[test]
fn a_name_is_as_many_endpoints_as_it_has_addresses_once_it_was_looked_up() {
    let now = start();
    let mut unknown = config(PickPolicy::RoundRobin, &[]);
    let address = "tcp://db:7".parse().unwrap();
    unknown.endpoints.push(EndpointConfig { address, weight: 3 });
    let mut unknown = backend(unknown, now);
    assert!(begin(&mut unknown, &[], now).is_none() && unknown.waits_for_names());

    let (mut backend, _) = named("tcp", &[1, 2], now);
    assert!(!backend.waits_for_names());
    assert_eq!(addresses(&backend.members()), ["tcp://10.0.0.1:7", "tcp://10.0.0.2:7"]);
    assert!(backend.members().iter().all(|member| member.weight == 3));
    assert_eq!(begin(&mut backend, &[], now).unwrap().host, None);
}

#[test]
fn another_answer_replaces_the_endpoints_at_once_and_those_that_stay_keep_what_is_known() {
    let now = start();
    let (mut backend, task) = named("tcp", &[1, 2], now);
    let kept = backend.members()[1].id;
    let attempt = backend.begin(None, &[backend.members()[0].id], now, || 0.5).unwrap();
    backend.on_connected(attempt, now, 0.5);
    let later = now + Duration::from_secs(31);
    let change = look_up(&mut backend, &task, &[3, 2], later);
    assert_eq!(addresses(&change.removed), ["tcp://10.0.0.1:7"]);
    let checked: Vec<_> = change.checked.iter().map(|(member, _)| member.clone()).collect();
    assert_eq!(addresses(&checked), ["tcp://10.0.0.3:7"], "the others are checked already");
    assert_eq!(backend.peers[&kept].active, 1);

    let same = look_up(&mut backend, &task, &[2, 3], later + Duration::from_secs(31));
    assert!(same.removed.is_empty() && same.checked.is_empty(), "their order says nothing");
}

#[test]
fn a_name_that_is_secured_stays_the_name_that_is_proved() {
    let now = start();
    let (mut backend, _) = named("tls", &[1], now);
    let attempt = begin(&mut backend, &[], now).unwrap();
    assert_eq!(
        (attempt.address.to_string(), attempt.host),
        ("tls://10.0.0.1:7".into(), Some("db".into()))
    );
}

fn only(backend: &mut Backend, now: Instant) -> LiveEndpoint {
    let mut seen = backend.endpoints(&"b".into(), now, || 0.5);
    assert_eq!(seen.len(), 1);
    seen.remove(0)
}

/// The state of the only endpoint, since how many seconds, until in how many, and why.
fn told(backend: &mut Backend, now: Instant) -> (EndpointState, u64, Option<u64>, Option<String>) {
    let seen = only(backend, now);
    let reason = seen.reason.map(|why| format!("{} {}: {}", why.kind.name(), why.step, why.text));
    (seen.state, seen.state_age.as_secs(), seen.remaining.map(|left| left.as_secs()), reason)
}

fn is_checked(backend: &mut Backend, passed: bool, now: Instant) {
    let id = backend.members()[0].id;
    backend.on_health_timeout(id, 0, now, 0.5);
    let failed = || CheckOutcome::Failed(EndpointReason::of_check("status", "it answered 503"));
    backend.on_checked(id, 0, if passed { CheckOutcome::Passed } else { failed() }, now);
}

#[test]
fn an_endpoint_is_seen_to_fail_its_checks_to_come_back_slowly_and_to_be_whole_again() {
    use EndpointState::{Healthy, SlowStart, Unchecked, Unhealthy};
    let now = start();
    let at = |seconds| now + Duration::from_secs(seconds);
    let mut checked = config(PickPolicy::RoundRobin, &[("a", 10)]);
    checked.health = Some(HealthConfig { fall: 1, rise: 1, jitter: 0.0, ..Default::default() });
    checked.balance.panic_threshold = 0.0;
    checked.balance.slow_start = SlowStartConfig::gradual();
    let mut backend = backend(checked, now);
    assert_eq!(told(&mut backend, at(0)), (SlowStart, 0, Some(30), None));
    assert_eq!(told(&mut backend, at(32)), (Unchecked, 2, None, None));
    is_checked(&mut backend, false, at(40));
    let why = Some("check status: it answered 503".to_owned());
    assert_eq!(told(&mut backend, at(43)), (Unhealthy, 3, None, why.clone()));
    assert_eq!(only(&mut backend, at(43)).effective_weight, 0.0);
    is_checked(&mut backend, false, at(50));
    assert_eq!(told(&mut backend, at(53)), (Unhealthy, 13, None, why));
    is_checked(&mut backend, true, at(60));
    assert_eq!(told(&mut backend, at(75)), (SlowStart, 15, Some(15), None));
    assert_eq!(only(&mut backend, at(75)).effective_weight, 5.0);
    is_checked(&mut backend, true, at(80));
    assert_eq!(told(&mut backend, at(94)), (Healthy, 4, None, None));
    assert_eq!(only(&mut backend, at(94)).effective_weight, 10.0);
}

#[test]
fn a_breaker_is_seen_with_the_failure_that_opened_it_and_until_when() {
    use EndpointState::{BreakerHalfOpen, BreakerOpen, Unchecked};
    let now = start();
    let at = |seconds| now + Duration::from_secs(seconds);
    let mut backend = backend(config(PickPolicy::RoundRobin, &[("a", 1)]), now);
    for _ in 0..7 {
        let attempt = begin(&mut backend, &[], at(10)).unwrap();
        assert_eq!(only(&mut backend, at(10)).active, 1);
        backend.on_failed(attempt, &refusal(), at(10), 0.5);
    }
    let why = Some(format!("connect connect: {}", refusal()));
    assert_eq!(told(&mut backend, at(12)), (BreakerOpen, 2, Some(3), why.clone()));
    assert_eq!(told(&mut backend, at(16)), (BreakerHalfOpen, 1, None, why.clone()));
    for _ in 0..3 {
        let attempt = begin(&mut backend, &[], at(20)).unwrap();
        assert_eq!(told(&mut backend, at(21)), (BreakerHalfOpen, 1, None, why.clone()));
        backend.on_connected(attempt, at(20), 0.5);
    }
    assert_eq!(told(&mut backend, at(25)), (Unchecked, 5, None, None));
}

#[test]
fn an_endpoint_that_was_left_out_is_seen_with_the_rule_and_is_back_after_a_sweep() {
    let now = start();
    let at = |seconds| now + Duration::from_secs(seconds);
    let names: Vec<_> = (0..6).map(|name| name.to_string()).collect();
    let weights: Vec<_> = names.iter().map(|name| (name.as_str(), 1)).collect();
    let mut unruly = config(PickPolicy::RoundRobin, &weights);
    unruly.breaker.consecutive_failures = 1_000_000;
    unruly.breaker.min_calls = 1_000_000;
    let mut backend = backend(unruly, now);
    let bad = backend.members()[2].id;
    for _ in 0..600 {
        let attempt = begin(&mut backend, &[], now).unwrap();
        if attempt.endpoint == bad {
            backend.on_failed(attempt, &refusal(), now, 0.5);
        } else {
            backend.on_connected(attempt, now, 0.5);
        }
    }
    // Nobody connects any more: looking is enough for the sweep.
    let mut third = |at| backend.endpoints(&"b".into(), at, || 0.5).remove(2);
    assert_eq!(third(at(11)).state, EndpointState::Ejected);
    let out = third(at(14));
    let why = out.reason.unwrap();
    assert_eq!((out.state_age.as_secs(), out.remaining.unwrap().as_secs()), (3, 27));
    assert_eq!((why.kind, why.step), (ReasonKind::Ejection, "success_rate"));
    assert_eq!(&*why.text, "100 of 100 connections failed");
    third(at(42));
    let back = third(at(45));
    assert_eq!((back.state, back.state_age.as_secs()), (EndpointState::Unchecked, 3));
}

#[test]
fn weight_0_is_seen_since_it_was_given() {
    let now = start();
    let later = now + Duration::from_secs(60);
    let mut backend = backend(config(PickPolicy::RoundRobin, &[("a", 1)]), now);
    backend.reconfigure(config(PickPolicy::RoundRobin, &[("a", 0)]), later, || 0.5);
    let then = later + Duration::from_secs(5);
    assert_eq!(told(&mut backend, then), (EndpointState::Drained, 5, None, None));
}

#[test]
fn what_a_check_of_an_older_round_finds_changes_nothing() {
    let now = start();
    let mut checked = config(PickPolicy::RoundRobin, &[("a", 1)]);
    checked.health = Some(HealthConfig::default());
    let mut backend = backend(checked.clone(), now);
    let id = backend.members()[0].id;
    let later = now + Duration::from_secs(60);
    backend.on_health_timeout(id, 0, later, 0.5);
    checked.health = Some(HealthConfig { fall: 1, ..HealthConfig::default() });
    let change = backend.reconfigure(checked, later, || 0.0);
    assert_eq!((change.checked.len(), change.checked[0].1), (1, 1));
    assert!(backend.check(id, 0).is_none() && backend.check(id, 1).is_some());
    backend.on_health_timeout(id, 1, later, 0.5);
    let failed = CheckOutcome::Failed(EndpointReason::of_check("connect", "refused"));
    assert_eq!(backend.on_checked(id, 0, failed, later), HealthChange::Nothing);
    assert_eq!(only(&mut backend, later).state, EndpointState::Unchecked);
}

proptest! {
    #[test]
    fn any_script_leaves_every_load_a_number_and_every_count_right(
        policy in prop::sample::select(vec![PickPolicy::P2c, PickPolicy::LeastConnections, PickPolicy::Weighted]),
        script in prop::collection::vec((0u8..5, 0u64..20_000, 0.0f64..1.0), 0..200),
    ) {
        let mut now = start();
        let mut backend = backend(config(policy, &[("a", 1), ("b", 7), ("c", 0)]), now);
        let (mut open, mut standing) = (Vec::new(), Vec::new());
        for (step, pause, unit) in script {
            now += Duration::from_millis(pause);
            match step {
                0 | 1 => open.extend(backend.begin(None, &[], now, || unit)),
                2 => if let Some(attempt) = open.pop() {
                    standing.push(attempt.endpoint);
                    backend.on_connected(attempt, now, unit);
                },
                3 => if let Some(attempt) = open.pop() { backend.on_failed(attempt, &refusal(), now, unit) },
                _ => if let Some(endpoint) = standing.pop() { backend.on_closed(endpoint) },
            }
            let view = View { backend: &backend, tried: &[], now };
            for index in 0..2 {
                let load = view.load(index);
                prop_assert!(load.is_finite() && load > 0.0, "{}", load);
            }
            let active: u64 = backend.peers.values().map(|peer| peer.active).sum();
            prop_assert_eq!(active, (open.len() + standing.len()) as u64);
        }
    }
}
