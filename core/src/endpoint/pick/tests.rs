use super::{
    testing::{Table, assert_frequencies, members},
    *,
};
use crate::{config::PickPolicy, endpoint::Endpoint};
use proptest::prelude::*;

const POLICIES: [PickPolicy; 6] = [
    PickPolicy::RoundRobin,
    PickPolicy::Weighted,
    PickPolicy::LeastConnections,
    PickPolicy::P2c,
    PickPolicy::RingHash,
    PickPolicy::Maglev,
];

fn config(policy: PickPolicy) -> BalanceConfig {
    BalanceConfig { policy, maglev_size: 1009, ..BalanceConfig::default() }
}

fn looks_at_weight(policy: PickPolicy) -> bool {
    match policy {
        PickPolicy::RoundRobin | PickPolicy::LeastConnections | PickPolicy::P2c => false,
        PickPolicy::Weighted | PickPolicy::RingHash | PickPolicy::Maglev => true,
    }
}

fn counted(len: usize, picks: impl IntoIterator<Item = usize>) -> Vec<u64> {
    let mut counts = vec![0; len];
    picks.into_iter().for_each(|at| counts[at] += 1);
    counts
}

fn keys(count: u64) -> impl Iterator<Item = [u8; 8]> {
    (0..count).map(|key| hash::mix(key).to_le_bytes())
}

proptest! {
    // Y1
    #[test]
    fn no_policy_picks_one_that_is_not_ready_or_none_while_one_is(
        peers in prop::collection::vec((any::<bool>(), 0u32..4, any::<f64>()), 0..24),
        picks in prop::collection::vec((any::<f64>(), any::<f64>(), any::<Option<u64>>()), 1..12),
        begin: f64,
    ) {
        let members = members(peers.iter().enumerate().map(|(name, (_, weight, _))| (name, *weight)));
        let table = Table {
            ready: peers.iter().map(|peer| peer.0).collect(),
            loads: peers.iter().map(|peer| peer.2).collect(),
        };
        for policy in POLICIES {
            let picker = Picker::new(&config(policy), &members, begin);
            let may = |at: usize| table.ready[at] && (members[at].weight > 0 || !looks_at_weight(policy));
            let any = (0..peers.len()).any(may);
            for (one, other, key) in &picks {
                let key = key.map(u64::to_le_bytes);
                let draw = Draw { key: key.as_ref().map(|key| key.as_slice()), units: [*one, *other] };
                let picked = picker.pick(&table, draw);
                prop_assert!(picked.is_none_or(may), "{:?} picked {:?}", policy, picked);
                prop_assert_eq!(picked.is_some(), any, "{:?}", policy);
            }
        }
    }

    // Y2
    #[test]
    fn weighted_rounds_are_exact_in_the_long_run(weights in prop::collection::vec(0u32..5, 1..6), begin in 0.0f64..1.0) {
        let greatest = weights.iter().copied().max().unwrap_or(0);
        prop_assume!(greatest > 0);
        let picker = Weighted::new(weights.iter().map(|weight| f64::from(*weight)), begin);
        let table = Table::all_ready(weights.len());
        let picks = 12_000;
        let counts = counted(weights.len(), (0..picks).map(|_| picker.pick(&table, 0.5).unwrap()));
        let total: u32 = weights.iter().sum();
        for (count, weight) in counts.iter().zip(&weights) {
            let share = f64::from(picks) * f64::from(*weight) / f64::from(total);
            prop_assert!((*count as f64 - share).abs() <= 4.0 + share * 0.001, "{:?} for {:?}", counts, weights);
        }
    }

    // Y3
    #[test]
    fn on_a_ring_a_removed_endpoint_moves_its_own_keys_only(
        weights in prop::collection::vec(1u32..5, 2..12), out: prop::sample::Index, seed: u64,
    ) {
        // One stays that has the same power of two above it as the greatest, so the points of all stay.
        let named: Vec<_> = weights.iter().copied().chain([3]).enumerate().collect();
        let out = out.index(weights.len());
        let before = members(named.iter().copied());
        let after = members(named.iter().copied().filter(|(name, _)| *name != out));
        let (old, new) = (HashRing::new(&before, 160, seed), HashRing::new(&after, 160, seed));
        let (all, left) = (Table::all_ready(before.len()), Table::all_ready(after.len()));
        for key in keys(500) {
            let at = old.pick(&all, &key).unwrap();
            let stays = new.pick(&left, &key).unwrap();
            prop_assert!(at == out || before[at].address == after[stays].address);
        }
    }

    // Y3
    #[test]
    fn an_endpoint_that_is_not_ready_moves_its_own_keys_only(len in 2usize..20, out: prop::sample::Index, seed: u64) {
        let out = out.index(len);
        let members = members((0..len).map(|name| (name, 1)));
        let (ring, maglev) = (HashRing::new(&members, 160, seed), Maglev::new(&members, 1009, seed));
        let (all, left) = (Table::all_ready(len), Table::without(len, out));
        for key in keys(200) {
            let at = ring.pick(&all, &key).unwrap();
            prop_assert!(at == out || ring.pick(&left, &key) == Some(at));
            let at = maglev.pick(&all, &key).unwrap();
            prop_assert!(at == out || maglev.pick(&left, &key) == Some(at));
        }
    }

    #[test]
    fn who_lists_the_same_endpoints_in_another_order_agrees_on_every_key(
        order in Just((0usize..12).collect::<Vec<_>>()).prop_shuffle(), seed: u64,
    ) {
        let (one, other) = (members((0..12).map(|n| (n, n as u32 + 1))), members(order.iter().map(|&n| (n, n as u32 + 1))));
        let table = Table::all_ready(12);
        let rings = [&one, &other].map(|members| HashRing::new(members, 160, seed));
        let maglevs = [&one, &other].map(|members| Maglev::new(members, 1009, seed));
        for key in keys(300) {
            let [a, b] = [0, 1].map(|side| rings[side].pick(&table, &key).unwrap());
            prop_assert_eq!(&one[a].address, &other[b].address);
            let [a, b] = [0, 1].map(|side| maglevs[side].pick(&table, &key).unwrap());
            prop_assert_eq!(&one[a].address, &other[b].address);
        }
    }
}

// Y3
#[test]
fn a_removal_moves_few_keys_of_the_others_in_a_maglev_table() {
    for len in [3usize, 10, 100] {
        let before = members((0..len).map(|name| (name, 1)));
        let after = members((1..len).map(|name| (name, 1)));
        let (old, new) = (Maglev::new(&before, 65_537, 0), Maglev::new(&after, 65_537, 0));
        let (all, left) = (Table::all_ready(len), Table::all_ready(len - 1));
        let picks: Vec<_> = keys(20_000)
            .map(|key| (old.pick(&all, &key).unwrap(), new.pick(&left, &key).unwrap()))
            .collect();
        let kept = picks.iter().filter(|(at, _)| *at != 0).count();
        let moved = picks.iter().filter(|(at, new)| *at != 0 && *at != new + 1).count();
        let part = moved as f64 / kept as f64;
        assert!(part < 0.02, "{len} endpoints: {moved} of {kept} moved");
    }
}

// Y2
#[test]
fn round_robin_gives_each_of_the_ready_the_same() {
    let (picker, table) = (RoundRobin::new(5, 0.7), Table::without(5, 2));
    let counts = counted(5, (0..4000).map(|_| picker.pick(&table).unwrap()));
    assert_eq!(counts, [1000, 1000, 0, 1000, 1000]);
}

// Y2
#[test]
fn weights_become_frequencies_while_all_are_ready() {
    let weights = [5.0, 1.0, 0.0, 2.5, 1000.0];
    let (picker, table) = (Weighted::new(weights, 0.3), Table::all_ready(5));
    let counts = counted(5, (0..200_000).map(|_| picker.pick(&table, 0.5).unwrap()));
    assert_frequencies(&counts, &weights);
}

// Y2
#[test]
fn weights_become_frequencies_also_while_the_heaviest_is_not_ready() {
    let mut random = fastrand::Rng::with_seed(7);
    let weights = [5.0, 1.0, 2.5, 1000.0];
    let (picker, table) = (Weighted::new(weights, 0.3), Table::without(4, 3));
    let counts = counted(4, (0..20_000).map(|_| picker.pick(&table, random.f64()).unwrap()));
    assert_frequencies(&counts, &[5.0, 1.0, 2.5, 0.0]);
}

#[test]
fn a_round_by_weight_is_spread_and_not_a_burst() {
    let (picker, table) = (Weighted::new([3.0, 1.0], 0.0), Table::all_ready(2));
    let picks: Vec<_> = (0..400).map(|_| picker.pick(&table, 0.5).unwrap()).collect();
    assert!(picks.windows(5).all(|five| five.contains(&1)), "{picks:?}");
}

// Y2
#[test]
fn p2c_and_least_connections_share_evenly_between_equals() {
    let mut random = fastrand::Rng::with_seed(11);
    let table = Table::all_ready(9);
    let p2c = P2c::new(9);
    let picks = (0..20_000).map(|_| p2c.pick(&table, [random.f64(), random.f64()]).unwrap());
    assert_frequencies(&counted(9, picks), &[1.0; 9]);
    let least = LeastConnections::new(9);
    let picks = (0..20_000).map(|_| least.pick(&table, random.f64()).unwrap());
    assert_frequencies(&counted(9, picks), &[1.0; 9]);
}

#[test]
fn p2c_draws_every_pair_alike() {
    let mut random = fastrand::Rng::with_seed(13);
    // Of each pair the lower index wins, so an index wins as often as there are higher ones.
    let table = Table { ready: vec![true; 5], loads: (0..5).map(f64::from).collect() };
    let p2c = P2c::new(5);
    let picks = (0..20_000).map(|_| p2c.pick(&table, [random.f64(), random.f64()]).unwrap());
    assert_frequencies(&counted(5, picks), &[4.0, 3.0, 2.0, 1.0, 0.0]);
}

#[test]
fn least_connections_takes_the_least_loaded_and_no_number_is_the_worst() {
    let table = Table { ready: vec![true; 4], loads: vec![f64::NAN, 3.0, 1.0, f64::INFINITY] };
    let least = LeastConnections::new(4);
    for unit in [0.0, 0.3, 0.6, 0.9] {
        assert_eq!(least.pick(&table, unit), Some(2));
    }
}

#[test]
fn p2c_keeps_queues_shorter_than_chance_does() {
    let mut random = fastrand::Rng::with_seed(17);
    let mut longest = |picks: &mut dyn FnMut(&Table, [f64; 2]) -> usize| {
        let mut table = Table::all_ready(1000);
        for _ in 0..1000 {
            let at = picks(&table, [random.f64(), random.f64()]);
            table.loads[at] += 1.0;
        }
        table.loads.iter().copied().fold(0.0, f64::max)
    };
    let p2c = P2c::new(1000);
    let by_two = longest(&mut |table, units| p2c.pick(table, units).unwrap());
    let by_chance = longest(&mut |_, units| index(units[0], 1000));
    assert!(by_two <= 3.0 && by_chance > by_two, "{by_two} {by_chance}");
}

// Y2
#[test]
fn keys_spread_over_a_ring_and_a_table_by_weight() {
    let weights = [4u32, 2, 1, 1, 4, 4];
    let members = members(weights.iter().copied().enumerate());
    let table = Table::all_ready(weights.len());
    let (ring, maglev) = (HashRing::new(&members, 160, 3), Maglev::new(&members, 65_537, 3));
    let counts = |pick: &dyn Fn(&[u8]) -> Option<usize>| {
        counted(weights.len(), keys(40_000).map(|key| pick(&key).unwrap()))
    };
    assert_frequencies(&counts(&|key| maglev.pick(&table, key)), &weights.map(f64::from));
    // A ring is only as even as its points are many.
    for (count, weight) in counts(&|key| ring.pick(&table, key)).iter().zip(weights) {
        let share = *count as f64 / 40_000.0 / (f64::from(weight) / 16.0);
        assert!((0.6..1.5).contains(&share), "weight {weight}: {share:.2} of its share");
    }
}

#[test]
fn the_keys_of_an_endpoint_that_is_not_ready_spread_over_all_others() {
    let members = members((0..5).map(|name| (name, 1)));
    let (all, left) = (Table::all_ready(5), Table::without(5, 0));
    let (ring, maglev) = (HashRing::new(&members, 160, 0), Maglev::new(&members, 65_537, 0));
    let spread = |pick: &dyn Fn(&Table, &[u8]) -> Option<usize>| {
        counted(
            5,
            keys(5_000)
                .filter(|key| pick(&all, key) == Some(0))
                .map(|key| pick(&left, &key).unwrap()),
        )
    };
    for counts in [spread(&|t, key| ring.pick(t, key)), spread(&|t, key| maglev.pick(t, key))] {
        assert!(counts[1..].iter().all(|count| *count > 100), "{counts:?}");
    }
}

proptest! {
    #[test]
    fn the_least_of_several_is_one_that_is_ready(
        ready in prop::collection::vec(any::<bool>(), 0..12), choices in 0u32..12, unit: f64,
    ) {
        let picker = LeastOf::new(ready.len(), choices);
        let loads = vec![0.0; ready.len()];
        let table = Table { ready, loads };
        let picked = picker.pick(&table, unit);
        prop_assert_eq!(picked.is_some(), table.ready.contains(&true));
        prop_assert!(picked.is_none_or(|at| table.ready[at]));
    }

    #[test]
    fn a_subset_keeps_the_order_and_loses_few_when_one_leaves(
        names in prop::collection::btree_set(0u8..40, 1..20), size in 1usize..20, seed: u64,
    ) {
        let listed: Vec<_> = names.iter().map(|name| endpoint(*name)).collect();
        let chosen = subset(listed.clone(), size, seed);
        prop_assert_eq!(chosen.len(), size.min(listed.len()));
        let at = |one: &Endpoint| listed.iter().position(|other| other == one).unwrap();
        prop_assert!(chosen.is_sorted_by_key(at));
        let gone = chosen[0].clone();
        let left: Vec<_> = listed.iter().filter(|one| **one != gone).cloned().collect();
        let after = subset(left, size, seed);
        prop_assert!(chosen[1..].iter().all(|one| after.contains(one)));
    }
}

fn endpoint(name: u8) -> Endpoint {
    Endpoint::from(crate::address::Address::Mem(format!("backend-{name}").into()))
}

#[test]
fn more_choices_find_a_less_loaded_one() {
    let table = Table { ready: vec![true; 10], loads: (0..10).map(f64::from).collect() };
    let mean = |choices| {
        let picker = LeastOf::new(10, choices);
        let picks = (0..2000).map(|nth| picker.pick(&table, f64::from(nth) / 2000.0).unwrap());
        picks.sum::<usize>() as f64 / 2000.0
    };
    let means = [1, 2, 3, 10].map(mean);
    // Of n draws from 0..=9 the least is about 9 / (n + 1), less for whole numbers.
    for (mean, expected) in means.into_iter().zip([4.5, 2.85, 2.03, 0.49]) {
        assert!((mean - expected).abs() < 0.25, "{means:?}");
    }
}

#[test]
fn subsets_of_many_clients_spread_over_all() {
    let listed: Vec<_> = (0..10).map(endpoint).collect();
    let mut counts = vec![0; 10];
    for seed in 0..3000 {
        for one in subset(listed.clone(), 3, seed) {
            counts[listed.iter().position(|other| *other == one).unwrap()] += 1;
        }
    }
    assert!(counts.iter().all(|count| (750..1050).contains(count)), "{counts:?}");
}
