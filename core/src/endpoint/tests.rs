//! The states together, as a driver would hold them, in virtual time.

use super::*;
use crate::{
    address::Address,
    config::{BalanceConfig, BreakerConfig, OutlierConfig, PickPolicy},
};
use std::{
    collections::BTreeMap,
    sync::Arc,
    time::{Duration, Instant},
};

const MILLI: Duration = Duration::from_millis(1);

/// How an endpoint behaves: what a call to it takes, and whether it succeeds.
#[derive(Clone, Copy)]
struct Behaviour {
    latency: Duration,
    succeeds: bool,
}

const GOOD: Behaviour = Behaviour { latency: Duration::from_millis(10), succeeds: true };
const SLOW: Behaviour = Behaviour { latency: Duration::from_millis(300), succeeds: true };
const REFUSING: Behaviour = Behaviour { latency: Duration::from_millis(1), succeeds: false };

/// What a driver keeps of one snapshot.
struct Fleet {
    members: Arc<[Member]>,
    behaviour: Vec<Behaviour>,
    latencies: Vec<PeakEwma>,
    breakers: Vec<Breaker>,
    pending: Vec<u64>,
    calls: Vec<u64>,
    availability: Availability,
    now: Instant,
}

impl Peers for Fleet {
    fn is_ready(&self, index: usize) -> bool {
        self.availability.is_usable(index) && self.breakers[index].is_ready(self.now)
    }

    fn load(&self, index: usize) -> f64 {
        let cold = BalanceConfig::default().ewma.cold;
        self.latencies[index].load(self.pending[index], cold, self.now)
            / f64::from(self.members[index].weight)
    }
}

impl Fleet {
    #[expect(clippy::disallowed_methods, reason = "any instant will do")]
    fn new(behaviour: &[Behaviour]) -> Self {
        let (now, len) = (Instant::now(), behaviour.len());
        let endpoint = |at: usize| Endpoint::from(Address::Mem(at.to_string().into()));
        let ewma = BalanceConfig::default().ewma;
        Self {
            members: EndpointSet::new((0..len).map(endpoint), now).members(),
            behaviour: behaviour.to_vec(),
            latencies: (0..len).map(|_| PeakEwma::new(ewma, now)).collect(),
            breakers: (0..len).map(|_| Breaker::new(BreakerConfig::default(), now)).collect(),
            pending: vec![0; len],
            calls: vec![0; len],
            availability: Availability::new(vec![true; len], 0.5),
            now,
        }
    }

    /// Makes a call every two milliseconds for a minute, and sweeps for outliers.
    fn run(&mut self, policy: PickPolicy) {
        let config = BalanceConfig { policy, ..BalanceConfig::default() };
        let mut random = fastrand::Rng::with_seed(23);
        let picker = Picker::new(&config, &self.members, random.f64());
        let mut detector = OutlierDetector::new(OutlierConfig::default(), self.now);
        detector.set_members(self.members.iter().map(|member| member.id));
        let mut ends = BTreeMap::<(Instant, u64), (usize, Pass)>::new();
        for call in 0..30_000u64 {
            self.now += 2 * MILLI;
            while let Some(end) = ends.first_entry().filter(|end| end.key().0 <= self.now) {
                let ((at, _), (index, pass)) = end.remove_entry();
                self.end(index, pass, at, random.f64());
                detector.on_outcome(self.members[index].id, self.behaviour[index].succeeds);
            }
            if !detector.on_sweep(self.now, || random.f64()).eq(&Sweep::default()) {
                let healthy = self.members.iter().map(|member| !detector.is_ejected(member.id));
                self.availability = Availability::new(healthy, 0.5);
            }
            let draw = Draw { key: None, units: [random.f64(), random.f64()] };
            let index = picker.pick(self, draw).unwrap();
            let pass = self.breakers[index].on_admit(self.now).unwrap();
            self.pending[index] += 1;
            self.calls[index] += 1;
            ends.insert((self.now + self.behaviour[index].latency, call), (index, pass));
        }
    }

    fn end(&mut self, index: usize, pass: Pass, at: Instant, unit: f64) {
        let Behaviour { latency, succeeds } = self.behaviour[index];
        self.pending[index] -= 1;
        let outcome = if succeeds {
            self.latencies[index].on_success(latency, at);
            Outcome::Success
        } else {
            self.latencies[index].on_failure(at);
            Outcome::Failure
        };
        self.breakers[index].on_outcome(pass, outcome, at, unit);
    }

    /// The parts of all calls that each got.
    fn shares(&self) -> Vec<f64> {
        let all = self.calls.iter().sum::<u64>() as f64;
        self.calls.iter().map(|calls| *calls as f64 / all).collect()
    }
}

#[test]
fn equals_get_equal_shares() {
    let mut fleet = Fleet::new(&[GOOD; 5]);
    fleet.run(PickPolicy::P2c);
    assert!(fleet.shares().iter().all(|share| (0.15..0.25).contains(share)), "{:?}", fleet.calls);
}

#[test]
fn quick_failures_draw_no_calls_to_an_endpoint() {
    let mut fleet = Fleet::new(&[GOOD, GOOD, REFUSING, GOOD, GOOD]);
    fleet.run(PickPolicy::P2c);
    assert!(fleet.shares()[2] < 0.001, "{:?}", fleet.calls);
}

#[test]
fn a_breaker_keeps_calls_away_also_where_load_does_not_count() {
    let mut fleet = Fleet::new(&[GOOD, GOOD, REFUSING, GOOD, GOOD]);
    fleet.run(PickPolicy::RoundRobin);
    let counts = fleet.breakers[2].counts();
    // Opened for about 5, 10, 20 and 40 s, each time after one probe.
    assert!((3..=5).contains(&counts.opened), "{counts:?}");
    assert_eq!(counts.admitted, 7 + counts.opened - 1);
    let others = [0, 1, 3, 4].map(|at| fleet.calls[at]);
    assert!(others.iter().all(|calls| calls.abs_diff(others[0]) <= 2), "{others:?}");
}

#[test]
fn a_slow_endpoint_gets_less_than_an_equal_share() {
    let mut fleet = Fleet::new(&[GOOD, GOOD, SLOW, GOOD, GOOD]);
    fleet.run(PickPolicy::P2c);
    assert!(fleet.shares()[2] > 0.0 && fleet.shares()[2] < 0.05, "{:?}", fleet.calls);
}
