//! Claims about which addresses are connected to, and which connection gets a call.

use super::{
    super::{health::Health, subchannel::Connect},
    *,
};
use crate::{
    backoff::BackoffConfig,
    config::{BreakerConfig, CircuitConfig, FailurePercentageConfig, OutlierConfig},
    endpoint::{Pass, Sweep},
    error::Step,
    status::StatusCode,
};
use ConnectivityState::{Connecting, Idle, Ready, TransientFailure};
use proptest::prelude::*;
use std::collections::HashMap;
use std::time::Duration;

const MILLI: Duration = Duration::from_millis(1);

/// A balance whose connections are numbers, and the clock that it sees.
struct World {
    balance: Balance<u64>,
    now: Instant,
    /// Attempts under way, by the name of their address.
    attempts: HashMap<String, Connect>,
    /// Connections whose servers are to be asked about their health.
    watched: Vec<(EndpointId, ConnectionNumber, u64)>,
    sweeps: Vec<Sweep>,
    passes: Vec<((EndpointId, ConnectionNumber), Pass)>,
    retired: Vec<u64>,
    resolves: usize,
    next_connection: u64,
}

impl World {
    fn new(policy: LoadBalancing, most_connections: u32) -> Self {
        Self::with_terms(terms(policy, most_connections))
    }

    /// One whose servers are asked about their health.
    fn asking(policy: LoadBalancing) -> Self {
        Self::with_terms(Terms { asks_health: true, ..terms(policy, 1) })
    }

    #[expect(clippy::disallowed_methods, reason = "any instant will do")]
    fn with_terms(terms: Terms) -> Self {
        let balance = Balance::new(terms);
        Self {
            balance,
            now: Instant::now(),
            attempts: HashMap::new(),
            watched: Vec::new(),
            sweeps: Vec::new(),
            passes: Vec::new(),
            retired: Vec::new(),
            resolves: 0,
            next_connection: 0,
        }
    }

    fn with(&mut self, change: impl FnOnce(&mut Balance<u64>, Instant, &mut dyn FnMut() -> f64)) {
        change(&mut self.balance, self.now, &mut || 0.5);
        for action in self.balance.take_actions() {
            match action {
                Action::Connect(connect) => {
                    self.attempts.insert(connect.address.to_string(), connect);
                }
                Action::Abandon(number) => self.attempts.retain(|_, a| a.number != number),
                Action::Swept(sweep) => self.sweeps.push(sweep),
                Action::Ask { topic: _, subchannel, number, connection } => {
                    self.watched.push((subchannel, number, connection));
                }
                Action::Retire(connection, _) => self.retired.push(connection),
                Action::Resolve => self.resolves += 1,
            }
        }
    }

    fn list(&mut self, names: &[&str]) {
        let listed = names.iter().map(|name| Endpoint::from(address(name))).collect();
        self.with(|balance, now, draw| balance.on_endpoints(listed, now, draw));
    }

    fn connect(&mut self) {
        self.with(|balance, now, draw| balance.connect(now, draw));
    }

    fn pass(&mut self, time: Duration) {
        self.now += time;
        self.with(|balance, now, draw| balance.on_timeout(now, draw));
    }

    /// The attempt to this address succeeds; what stands is returned.
    fn succeed(&mut self, name: &str, limit: u32) -> u64 {
        let attempt = self.attempts.remove(name).unwrap();
        let connection = self.next_connection;
        self.next_connection += 1;
        self.with(|balance, now, draw| {
            balance.on_connected(attempt.subchannel, attempt.number, connection, limit, now, draw);
        });
        connection
    }

    fn fail(&mut self, name: &str) {
        let attempt = self.attempts.remove(name).unwrap();
        let why = ConnectionError::closed(Step::Connect);
        self.with(|balance, now, draw| {
            balance.on_attempt_failed(attempt.subchannel, attempt.number, why, now, draw);
        });
    }

    /// The server behind the `nth` connection that is watched says this.
    fn say(&mut self, nth: usize, health: Health) {
        let (id, number, _) = self.watched[nth];
        let why = (!health.takes_calls()).then(|| ConnectionError::closed(Step::Call));
        self.with(|balance, _, _| balance.on_health(id, number, health, why));
    }

    /// The call on this connection ends so.
    fn end(&mut self, picked: &(EndpointId, ConnectionNumber, u64), code: Option<StatusCode>) {
        let at = self.passes.iter().position(|(on, _)| *on == (picked.0, picked.1));
        let pass = at.map(|at| self.passes.swap_remove(at).1);
        let done = Done { code, pass, report: None };
        self.with(|balance, now, draw| balance.give_back(picked.0, picked.1, done, now, draw));
    }

    fn lose(&mut self, picked: &(EndpointId, ConnectionNumber, u64)) {
        self.with(|balance, now, draw| {
            balance.on_gone(picked.0, picked.1, (RetireReason::Lost, None), now, draw)
        });
    }

    fn pick(&mut self) -> Option<(EndpointId, ConnectionNumber, u64)> {
        let mut found = None;
        let mut passes = Vec::new();
        self.with(|balance, now, draw| {
            let drawn = Draw { key: None, units: [0.3, 0.7] };
            if let Picked::On { subchannel, number, connection, pass } =
                balance.pick(drawn, now, draw)
            {
                found = Some((subchannel, number, connection));
                passes.extend(pass.map(|pass| ((subchannel, number), pass)));
            }
        });
        self.passes.extend(passes);
        found
    }

    fn state(&self) -> ConnectivityState {
        self.balance.state()
    }

    fn under_way(&self) -> Vec<&str> {
        let mut names: Vec<_> = self.attempts.keys().map(String::as_str).collect();
        names.sort_unstable();
        names
    }
}

fn terms(policy: LoadBalancing, most_connections: u32) -> Terms {
    Terms {
        policy,
        backoff: BackoffConfig { jitter: 0.0, ..BackoffConfig::default() },
        min_connect_timeout: Duration::from_secs(20),
        most_connections,
        asks_health: false,
        outliers: None,
        subset: None,
        circuit: CircuitConfig::default(),
    }
}

fn address(name: &str) -> Address {
    name.parse().unwrap()
}

fn first() -> World {
    World::new(LoadBalancing::PickFirst { shuffle: false }, 1)
}

#[test]
fn nothing_is_connected_to_until_somebody_asks() {
    let mut world = first();
    world.list(&["mem:a", "mem:b"]);
    assert_eq!((world.state(), world.under_way().len()), (Idle, 0));
    world.connect();
    assert_eq!((world.state(), world.under_way()), (Connecting, vec!["mem:a"]));
}

#[test]
fn the_next_address_is_tried_after_a_quarter_second_or_a_failure() {
    let mut world = first();
    world.list(&["mem:a", "mem:b", "mem:c"]);
    world.connect();
    world.pass(249 * MILLI);
    assert_eq!(world.under_way(), ["mem:a"]);
    assert_eq!(world.balance.wake_at(), Some(world.now + MILLI));
    world.pass(MILLI);
    assert_eq!(world.under_way(), ["mem:a", "mem:b"]);
    world.fail("mem:a");
    assert_eq!(world.under_way(), ["mem:b"]);
    world.fail("mem:b");
    assert_eq!(world.under_way(), ["mem:c"]);
}

#[test]
fn the_first_that_answers_is_used_and_the_attempts_to_others_end() {
    let mut world = first();
    world.list(&["mem:a", "mem:b"]);
    world.connect();
    world.pass(250 * MILLI);
    let chosen = world.succeed("mem:b", 10);
    assert_eq!((world.state(), world.under_way().len()), (Ready, 0));
    assert_eq!(world.pick().unwrap().2, chosen);
}

#[test]
fn all_fail_before_failure_is_told_and_then_each_is_tried_again_after_its_own_wait() {
    let mut world = first();
    world.list(&["mem:a", "mem:b"]);
    world.connect();
    world.pass(50 * MILLI);
    world.fail("mem:a");
    assert_eq!((world.state(), world.resolves), (Connecting, 0));
    world.pass(100 * MILLI);
    world.fail("mem:b");
    assert_eq!((world.state(), world.resolves), (TransientFailure, 1));
    world.pass(850 * MILLI);
    assert_eq!((world.under_way(), world.state()), (vec!["mem:a"], TransientFailure));
    world.fail("mem:a");
    world.pass(50 * MILLI);
    assert_eq!((world.under_way(), world.resolves), (vec!["mem:b"], 1));
    world.fail("mem:b");
    assert_eq!((world.state(), world.resolves), (TransientFailure, 2));
    world.pass(1600 * MILLI);
    world.succeed("mem:a", 10);
    assert_eq!(world.state(), Ready);
}

#[test]
fn a_connection_that_is_lost_leaves_the_channel_idle_and_looks_the_name_up() {
    let mut world = first();
    world.list(&["mem:a"]);
    world.connect();
    world.succeed("mem:a", 10);
    let picked = world.pick().unwrap();
    world.lose(&picked);
    assert_eq!((world.state(), world.resolves, world.retired.len()), (Idle, 1, 1));
    world.connect();
    assert_eq!(world.under_way(), ["mem:a"]);
}

#[test]
fn families_take_turns() {
    let mut world = first();
    let listed = ["tcp://[::1]:1", "tcp://[::2]:1", "tcp://1.1.1.1:1", "tcp://2.2.2.2:1"];
    world.list(&listed);
    let order: Vec<_> = world.balance.subchannels().iter().map(|s| s.address.to_string()).collect();
    assert_eq!(order, [listed[0], listed[2], listed[1], listed[3]]);
}

#[test]
fn a_chosen_address_that_stays_listed_keeps_its_connection() {
    let mut world = first();
    world.list(&["mem:a", "mem:b"]);
    world.connect();
    world.succeed("mem:a", 10);
    world.list(&["mem:c", "mem:a"]);
    assert_eq!((world.state(), world.retired.len(), world.under_way().len()), (Ready, 0, 0));
    world.list(&["mem:c"]);
    assert_eq!((world.state(), world.retired.len()), (Connecting, 1));
    assert_eq!(world.under_way(), ["mem:c"]);
}

#[test]
fn in_turn_every_address_that_answers_gets_calls() {
    let mut world = World::new(LoadBalancing::RoundRobin, 1);
    world.list(&["mem:a", "mem:b", "mem:c"]);
    assert_eq!(world.under_way(), ["mem:a", "mem:b", "mem:c"]);
    let (a, c) = (world.succeed("mem:a", 10), world.succeed("mem:c", 10));
    world.fail("mem:b");
    assert_eq!(world.state(), Ready);
    let mut picked: Vec<_> = (0..4).map(|_| world.pick().unwrap().2).collect();
    picked.sort_unstable();
    assert_eq!(picked, [a, a, c, c]);
    world.pass(Duration::from_secs(1));
    assert_eq!(world.under_way(), ["mem:b"]);
}

#[test]
fn a_lost_address_is_connected_to_again_at_once_where_calls_are_spread() {
    let mut world = World::new(LoadBalancing::RoundRobin, 1);
    world.list(&["mem:a"]);
    world.succeed("mem:a", 10);
    let picked = world.pick().unwrap();
    world.lose(&picked);
    assert_eq!((world.state(), world.under_way()), (Connecting, vec!["mem:a"]));
}

#[test]
fn one_more_connection_is_made_only_when_all_are_full_and_a_call_waits() {
    let mut world = World::new(LoadBalancing::PickFirst { shuffle: false }, 2);
    world.list(&["mem:a"]);
    world.connect();
    let oldest = world.succeed("mem:a", 2);
    assert_eq!(world.pick().unwrap().2, oldest);
    let second = world.pick().unwrap();
    assert_eq!(world.under_way().len(), 0);
    assert!(world.pick().is_none());
    assert_eq!(world.under_way(), ["mem:a"]);
    assert!(world.pick().is_none() && world.attempts.len() == 1);
    let younger = world.succeed("mem:a", 1);
    assert_eq!(world.pick().unwrap().2, younger);
    assert!(world.pick().is_none() && world.attempts.is_empty(), "two are the most");
    world.end(&second, None);
    assert_eq!(world.pick().unwrap().2, oldest);
}

#[test]
fn with_one_connection_a_full_one_is_waited_for() {
    let mut world = first();
    world.list(&["mem:a"]);
    world.connect();
    world.succeed("mem:a", 1);
    assert!(world.pick().is_some() && world.pick().is_none());
    assert_eq!((world.state(), world.under_way().len()), (Ready, 0));
    let subchannel = world.balance.subchannels()[0].id;
    world.with(|balance, _, _| balance.set_limit(subchannel, ConnectionNumber(0), 2));
    assert!(world.pick().is_some());
}

#[test]
fn an_attempt_that_nobody_waits_for_any_more_is_retired() {
    let mut world = first();
    world.list(&["mem:a"]);
    world.connect();
    let attempt = world.attempts["mem:a"].clone();
    world.with(|balance, _, _| balance.rest(RetireReason::Idle));
    assert!(world.attempts.is_empty());
    world.with(|balance, now, draw| {
        balance.on_connected(attempt.subchannel, attempt.number, 99, 1, now, draw);
    });
    assert_eq!(world.retired, [99]);
}

#[test]
fn a_reset_ends_every_wait_and_begins_with_the_shortest() {
    let mut world = first();
    world.list(&["mem:a"]);
    world.connect();
    world.fail("mem:a");
    world.pass(Duration::from_secs(1));
    world.fail("mem:a");
    world.with(|balance, now, draw| balance.reset_backoff(now, draw));
    assert_eq!(world.under_way(), ["mem:a"]);
    world.fail("mem:a");
    assert_eq!(world.balance.wake_at(), Some(world.now + Duration::from_secs(1)));
}

#[test]
fn a_server_that_is_asked_gets_calls_once_it_says_that_it_serves() {
    let mut world = World::asking(LoadBalancing::RoundRobin);
    world.list(&["mem:a", "mem:b"]);
    let (a, b) = (world.succeed("mem:a", 10), world.succeed("mem:b", 10));
    assert_eq!((world.state(), world.watched.len()), (Connecting, 2));
    assert!(world.pick().is_none());
    world.say(1, Health::NotServing);
    assert_eq!(world.state(), Connecting);
    world.say(0, Health::Serving);
    assert_eq!((world.state(), world.pick().unwrap().2, world.pick().unwrap().2), (Ready, a, a));
    world.say(0, Health::NotServing);
    assert_eq!((world.state(), world.pick()), (TransientFailure, None));
    assert!(world.under_way().is_empty(), "its connection stands");
    world.say(1, Health::NotAsked);
    assert_eq!((world.state(), world.pick().unwrap().2), (Ready, b));
}

#[test]
fn the_question_takes_one_of_the_calls_that_a_connection_carries() {
    let mut world = World::asking(LoadBalancing::RoundRobin);
    world.list(&["mem:a", "mem:b"]);
    world.succeed("mem:a", 2);
    world.say(0, Health::Serving);
    assert!(world.pick().is_some() && world.pick().is_none());
    world.succeed("mem:b", 1);
    assert_eq!(world.watched.len(), 1, "one that carries a single call is not asked");
    assert!(world.pick().is_some());
}

#[test]
fn where_all_calls_go_to_one_address_its_server_is_not_asked() {
    let mut world = World::asking(LoadBalancing::PickFirst { shuffle: false });
    world.list(&["mem:a"]);
    world.connect();
    world.succeed("mem:a", 10);
    assert_eq!((world.state(), world.watched.len()), (Ready, 0));
}

/// One that leaves an address out if half of at least four of its calls in a second failed.
fn judging(policy: LoadBalancing) -> World {
    let rule = FailurePercentageConfig {
        threshold: 49,
        minimum_hosts: 2,
        request_volume: 4,
        enforcement: 100,
    };
    let outliers = OutlierConfig {
        interval: Duration::from_secs(1),
        base_ejection: Duration::from_secs(3),
        failure_percentage: rule,
        ..OutlierConfig::default()
    };
    World::with_terms(Terms { outliers: Some(outliers), ..terms(policy, 1) })
}

#[test]
fn an_address_whose_calls_fail_is_left_out_for_a_while() {
    let mut world = judging(LoadBalancing::RoundRobin);
    world.list(&["mem:a", "mem:b"]);
    let (a, b) = (world.succeed("mem:a", 100), world.succeed("mem:b", 100));
    let calls = |world: &mut World| {
        let mut to = [0, 0];
        for _ in 0..8 {
            let picked = world.pick().unwrap();
            to[usize::from(picked.2 == b)] += 1;
            let code = if picked.2 == a { StatusCode::Internal } else { StatusCode::Ok };
            world.end(&picked, Some(code));
        }
        to
    };
    assert_eq!(calls(&mut world), [4, 4]);
    assert_eq!(world.balance.wake_at(), Some(world.now + Duration::from_secs(1)));
    world.pass(Duration::from_secs(1));
    assert_eq!((world.sweeps.len(), world.sweeps[0].ejected[0].failures), (1, 4));
    assert_eq!(calls(&mut world), [0, 8]);
    assert!(world.retired.is_empty(), "its connection is kept");
    for _ in 0..3 {
        world.pass(Duration::from_secs(1));
    }
    assert_eq!(calls(&mut world), [4, 4]);
}

#[test]
fn what_was_not_sent_or_was_given_up_is_no_failure() {
    let mut world = judging(LoadBalancing::RoundRobin);
    world.list(&["mem:a", "mem:b"]);
    world.succeed("mem:a", 100);
    world.succeed("mem:b", 100);
    for _ in 0..100 {
        let picked = world.pick().unwrap();
        world.end(&picked, None);
    }
    world.pass(Duration::from_secs(1));
    assert!(world.sweeps.is_empty());
}

#[test]
fn where_all_calls_go_to_one_address_none_is_left_out() {
    let mut world = judging(LoadBalancing::PickFirst { shuffle: false });
    world.list(&["mem:a", "mem:b"]);
    world.connect();
    world.succeed("mem:a", 100);
    for _ in 0..100 {
        let picked = world.pick().unwrap();
        world.end(&picked, Some(StatusCode::Internal));
    }
    world.pass(Duration::from_secs(60));
    assert!(world.sweeps.is_empty() && world.pick().is_some());
}

#[test]
fn an_address_with_enough_calls_is_passed_over_and_none_is_left_when_all_have() {
    let circuit = CircuitConfig { max_calls: Some(2), breaker: None };
    let mut world = World::with_terms(Terms { circuit, ..terms(LoadBalancing::RoundRobin, 1) });
    world.list(&["mem:a", "mem:b"]);
    world.succeed("mem:a", 100);
    world.succeed("mem:b", 100);
    let picked: Vec<_> = (0..4).map(|_| world.pick().unwrap()).collect();
    world.with(|balance, now, draw| {
        let drawn = Draw { key: None, units: [0.3, 0.7] };
        assert!(matches!(balance.pick(drawn, now, draw), Picked::Refused));
    });
    world.end(&picked[1], None);
    assert_eq!(world.pick().unwrap().2, picked[1].2);
}

#[test]
fn an_address_whose_calls_fail_in_a_row_gets_probes_after_a_while() {
    let breaker = BreakerConfig {
        consecutive_failures: 3,
        jitter: 0.0,
        probes: 1,
        ..BreakerConfig::default()
    };
    let circuit = CircuitConfig { max_calls: None, breaker: Some(breaker) };
    let first = LoadBalancing::PickFirst { shuffle: false };
    let mut world = World::with_terms(Terms { circuit, ..terms(first, 1) });
    world.list(&["mem:a"]);
    world.connect();
    world.succeed("mem:a", 100);
    let codes = [StatusCode::Internal, StatusCode::NotFound, StatusCode::Internal];
    for code in codes.into_iter().chain([StatusCode::Internal; 2]) {
        let picked = world.pick().unwrap();
        world.end(&picked, Some(code));
    }
    assert!(world.pick().is_none(), "three in a row");
    world.pass(Duration::from_secs(5));
    let probe = world.pick().unwrap();
    assert!(world.pick().is_none(), "one probe at one time");
    world.end(&probe, None);
    let probe = world.pick().unwrap();
    world.end(&probe, Some(StatusCode::Ok));
    assert!(world.pick().is_some() && world.pick().is_some(), "it is closed again");
}

#[test]
fn a_subset_of_the_addresses_is_connected_to() {
    let mut world =
        World::with_terms(Terms { subset: Some(2), ..terms(LoadBalancing::RoundRobin, 1) });
    world.list(&["mem:a", "mem:b", "mem:c", "mem:d"]);
    let chosen: Vec<_> = world.under_way().into_iter().map(str::to_owned).collect();
    assert_eq!(chosen.len(), 2);
    world.list(&["mem:d", "mem:c", "mem:b", "mem:a"]);
    assert_eq!(world.under_way(), chosen, "the same again");
}

proptest! {
    /// Whatever happens in whatever order: no connection is lost sight of, none is retired twice, and calls go
    /// only to connections that stand.
    #[test]
    fn every_connection_is_held_or_retired_once(
        spread: bool, most in 1u32..4,
        steps in prop::collection::vec((0u8..9, 0usize..4, 0u64..2000), 1..120),
    ) {
        let policy = if spread { LoadBalancing::RoundRobin } else { LoadBalancing::PickFirst { shuffle: true } };
        let mut world = World::new(policy, most);
        let names = ["mem:a", "mem:b", "mem:c", "mem:d"];
        let mut picked = Vec::new();
        for (step, at, millis) in steps {
            match step {
                0 => world.list(&names[..=at]),
                1 => world.connect(),
                2 => world.pass(Duration::from_millis(millis)),
                3 | 4 => if world.attempts.contains_key(names[at]) { world.succeed(names[at], 2); },
                5 => if world.attempts.contains_key(names[at]) { world.fail(names[at]); },
                6 => if let Some(found) = world.pick() {
                    prop_assert!(!world.retired.contains(&found.2));
                    picked.push(found);
                },
                7 => if let Some(lost) = picked.pop() { world.lose(&lost); },
                _ => if let Some(done) = picked.pop() { world.end(&done, None); },
            }
            let held: usize = world.balance.subchannels().iter().map(Subchannel::connections).sum();
            let mut retired = world.retired.clone();
            retired.sort_unstable();
            retired.dedup();
            prop_assert_eq!(retired.len(), world.retired.len());
            prop_assert_eq!(held + retired.len(), world.next_connection as usize);
            let ready = world.state() == Ready;
            prop_assert_eq!(ready, held > 0);
        }
    }
}
