//! Random scripts against a plain world: every invariant, after every step.

use super::super::state::Fate;
use super::world::{Checked, World};
use super::*;
use crate::config::IdleOrder;
use proptest::{prelude::*, sample::Index};

#[derive(Clone, Debug)]
enum Step {
    Acquire {
        within: Option<u64>,
        wakes: bool,
    },
    Try,
    Collect(Index),
    Cancel(Index),
    PutBack {
        which: Index,
        by_number: bool,
    },
    Discard(Index),
    Detach(Index),
    PutBackWhatEnded(Index),
    Connected {
        which: Index,
        works: bool,
    },
    Checked {
        which: Index,
        how: Checked,
    },
    Closed(Index),
    /// The keeper is awake.
    Advance(u64),
    /// The keeper is late.
    Sleep(u64),
    Rewind(u64),
    Tick,
    CheckAll,
    Clear,
    /// Those of the three whose bit is set.
    Endpoints(u8),
    Resize {
        max_size: u32,
        min_idle: u32,
    },
    Drain,
    Close,
}

fn members() -> impl Strategy<Value = u8> {
    1u8..8
}

fn addresses(members: u8) -> Vec<Address> {
    let all = ["mem:a", "mem:b", "mem:c"].map(|address| address.parse().unwrap());
    (0..)
        .zip(all)
        .filter(|(bit, _)| members & (1 << bit) != 0)
        .map(|(_, address)| address)
        .collect()
}

fn time() -> impl Strategy<Value = u64> {
    prop_oneof![
        6 => 0u64..300,
        4 => 300u64..3_000,
        2 => 3_000u64..200_000,
        // A laptop that was closed over the weekend.
        1 => Just(3 * 24 * 3_600_000),
    ]
}

fn step() -> impl Strategy<Value = Step> {
    let index = any::<Index>;
    let how =
        prop_oneof![4 => Just(Checked::Works), 2 => Just(Checked::Fails), 1 => Just(Checked::Lost)];
    prop_oneof![
        12 => (proptest::option::of(0u64..5_000), any::<bool>())
            .prop_map(|(within, wakes)| Step::Acquire { within, wakes }),
        2 => Just(Step::Try),
        6 => index().prop_map(Step::Collect),
        4 => index().prop_map(Step::Cancel),
        8 => (index(), any::<bool>())
            .prop_map(|(which, by_number)| Step::PutBack { which, by_number }),
        2 => index().prop_map(Step::Discard),
        1 => index().prop_map(Step::Detach),
        1 => index().prop_map(Step::PutBackWhatEnded),
        10 => (index(), proptest::bool::weighted(0.75))
            .prop_map(|(which, works)| Step::Connected { which, works }),
        6 => (index(), how).prop_map(|(which, how)| Step::Checked { which, how }),
        5 => index().prop_map(Step::Closed),
        6 => time().prop_map(Step::Advance),
        2 => time().prop_map(Step::Sleep),
        1 => (0u64..10_000).prop_map(Step::Rewind),
        1 => Just(Step::Tick),
        1 => Just(Step::CheckAll),
        1 => Just(Step::Clear),
        2 => members().prop_map(Step::Endpoints),
        2 => (1u32..6, 0u32..4).prop_map(|(max_size, min_idle)| {
            Step::Resize { max_size, min_idle: min_idle.min(max_size) }
        }),
    ]
}

/// Scripts with, now and then, an end of the pool in them.
fn script() -> impl Strategy<Value = Vec<Step>> {
    let end =
        prop_oneof![3 => Just(None), 1 => Just(Some(Step::Drain)), 1 => Just(Some(Step::Close))];
    let steps = || proptest::collection::vec(step(), 0..60);
    (steps(), end, steps()).prop_map(|(mut steps, end, more)| {
        steps.extend(end);
        steps.extend(more);
        steps
    })
}

fn terms() -> impl Strategy<Value = (CheckoutPoolConfig, Abilities)> {
    let limit = |times: &'static [u64]| {
        prop_oneof![
            1 => Just(TimeLimit::Never),
            3 => proptest::sample::select(times)
                .prop_map(|ms| TimeLimit::After(Duration::from_millis(ms))),
        ]
    };
    let sizes = (1u32..5, 0u32..3, proptest::option::of(1u32..4), 1u32..4);
    let limits = (
        limit(&[0, 1_000, 60_000]),
        limit(&[0, 5_000, 100_000]),
        limit(&[0, 500]),
        limit(&[1_000, 30_000]),
        limit(&[50, 2_000]),
    );
    let abilities = (any::<bool>(), any::<bool>(), any::<bool>());
    (sizes, limits, abilities).prop_map(|(sizes, limits, (checks, resets, newest))| {
        let (max_size, min_idle, max_waiters, max_connecting) = sizes;
        let (idle_timeout, max_lifetime, check_after, keepalive, leak_after) = limits;
        let config = CheckoutPoolConfig {
            max_size,
            min_idle: min_idle.min(max_size),
            max_waiters,
            max_connecting,
            idle_timeout,
            max_lifetime,
            check_after,
            keepalive,
            leak_after,
            idle_order: if newest { IdleOrder::Lifo } else { IdleOrder::Fifo },
            ..CheckoutPoolConfig::default()
        };
        (config, Abilities { checks, resets, peeks: false })
    })
}

fn run(world: &mut World, step: &Step) {
    let at = |index: &Index, many: usize| (many > 0).then(|| index.index(many));
    let ms = Duration::from_millis;
    match step {
        Step::Acquire { within, wakes } => {
            let deadline = within.map(|within| world.now + ms(within));
            world.acquire(deadline, *wakes);
        }
        Step::Try => world.try_acquire(),
        Step::Collect(index) => {
            _ = at(index, world.called.len()).map(|nth| world.collect(nth));
        }
        Step::Cancel(index) => {
            _ = at(index, world.line.len() + world.called.len()).map(|nth| world.cancel(nth));
        }
        Step::PutBack { which, by_number } => {
            let nth = at(which, world.leases.len());
            _ = nth.map(|nth| world.put_back(nth, Fate::Reuse, *by_number));
        }
        Step::Discard(index) => {
            let fate = Fate::Close(PoolCloseReason::Discarded);
            _ = at(index, world.leases.len()).map(|nth| world.put_back(nth, fate, false));
        }
        Step::Detach(index) => _ = at(index, world.leases.len()).map(|nth| world.detach(nth)),
        Step::PutBackWhatEnded(index) => {
            _ = at(index, world.ended.len()).map(|nth| world.put_back_what_ended(nth));
        }
        Step::Connected { which, works } => {
            _ = at(which, world.opens.len()).map(|nth| world.connected(nth, *works));
        }
        Step::Checked { which, how } => {
            _ = at(which, world.checks.len()).map(|nth| world.checked(nth, *how));
        }
        Step::Closed(index) => _ = at(index, world.closes.len()).map(|nth| world.closed(nth)),
        Step::Advance(time) => world.advance(ms(*time)),
        Step::Sleep(time) => world.now = world.now + ms(*time),
        Step::Rewind(time) => world.rewind(ms(*time)),
        Step::Tick => world.tick(),
        Step::CheckAll => world.check_all(),
        Step::Clear => world.clear(),
        Step::Endpoints(members) => world.set_endpoints(addresses(*members)),
        Step::Resize { max_size, min_idle } => world.resize(*max_size, *min_idle),
        Step::Drain => world.drain(),
        Step::Close => world.close(),
    }
}

proptest! {
    #[test]
    fn every_invariant_holds_after_every_step_of_any_script(
        (config, abilities) in terms(),
        first in members(),
        script in script(),
    ) {
        let mut world = World::new(config, abilities, addresses(first));
        world.check();
        for step in &script {
            run(&mut world, step);
            if !matches!(step, Step::Sleep(_) | Step::Rewind(_)) {
                world.check();
            }
        }
        world.tick();
        world.finish();
    }
}
