//! The whole pool, driver and all, under random schedules of threads: they acquire, give up and put back, while others
//! clear it, resize it, drain it and close it.
//!
//! Shuttle chooses who runs before each lock of the pool. The pool's own tasks are those of a runtime that one of
//! the threads drives; no time passes in it.

use super::*;
use crate::sync::testing::let_others_run_before_each_lock;
use shuttle::{
    Config, MaxSteps, Runner,
    future::block_on,
    scheduler::{PctScheduler, RandomScheduler, Scheduler},
    thread,
};
use std::{
    collections::HashSet,
    pin::pin,
    sync::atomic::{AtomicU32, AtomicUsize, Ordering::SeqCst},
    task::{Context, Poll, Waker},
};
use tokio::{runtime::Builder, task::yield_now};

const MAX_SIZE: u32 = 2;
const TURNS: usize = 2;

/// What the threads know together.
struct World {
    pool: Pool,
    maker: Maker,
    held: Mutex<HashSet<u32>>,
    /// Every connection up to this number was made before a clear that is over.
    cleared: AtomicU32,
    running: AtomicUsize,
}

impl World {
    fn take(&self, number: u32, cleared_before: u32) {
        assert!(self.held.lock().unwrap().insert(number), "{number} has two holders");
        assert!(number > cleared_before, "{number} is of before the clear");
        let stats = self.pool.stats();
        let standing = stats.idle + stats.used + stats.validating + stats.closing;
        assert_eq!(stats.created - stats.closed(), u64::from(standing), "{stats:?}");
        assert!(stats.total() <= MAX_SIZE, "{stats:?}");
        thread::yield_now();
    }

    fn give(&self, number: u32) {
        assert!(self.held.lock().unwrap().remove(&number));
    }

    fn use_it(&self, lease: Lease<Maker>, cleared_before: u32) {
        let number = *lease;
        self.take(number, cleared_before);
        self.give(number);
        drop(lease);
    }

    /// Waits until it is served, or the pool is closed.
    fn wait(&self) {
        for _ in 0..TURNS {
            let cleared = self.cleared.load(SeqCst);
            match block_on(self.pool.acquire_by(None)) {
                Ok(lease) => self.use_it(lease, cleared),
                Err(error) => assert!(matches!(error, ConnectionError::Closed { .. }), "{error}"),
            }
        }
    }

    /// Takes what is there at the first look, or at the second, and waits no longer.
    fn try_twice(&self) {
        for _ in 0..TURNS {
            let cleared = self.cleared.load(SeqCst);
            let mut acquire = pin!(self.pool.acquire_by(None));
            for _ in 0..2 {
                let cx = &mut Context::from_waker(Waker::noop());
                if let Poll::Ready(answer) = acquire.as_mut().poll(cx) {
                    _ = answer.map(|lease| self.use_it(lease, cleared));
                    break;
                }
                thread::yield_now();
            }
        }
    }

    /// Is told, and puts back by number from where it is told; now and then it gives up first.
    fn be_told(self: &Arc<Self>) {
        for turn in 0..TURNS {
            let (cleared, told) = (self.cleared.load(SeqCst), Arc::new(AtomicUsize::new(0)));
            let (world, tells) = (Arc::clone(self), Arc::clone(&told));
            let use_it = move |lent: Entrusted| {
                world.take(lent.mark as u32, cleared);
                world.give(lent.mark as u32);
                assert!(world.pool.put_back(lent.lease, false).is_ok());
                assert_eq!(world.pool.put_back(lent.lease, false), Err(StaleLease));
            };
            let at_once = use_it.clone();
            let tell = move |answer: Result<Entrusted, ConnectionError>| {
                _ = answer.map(&use_it);
                tells.fetch_add(1, SeqCst);
            };
            let forever = Patience::Until(None);
            let teller = || Ok::<_, ConnectionError>(Arc::new(tell));
            match self.pool.acquire_then(forever, Holder::Unknown, teller) {
                Ok(Acquired::Now(lent)) => at_once(lent),
                Ok(Acquired::Later(ticket)) if turn == 0 && self.pool.cancel(ticket) => {
                    assert_eq!(told.load(SeqCst), 0, "who gave up is told nothing");
                }
                Ok(Acquired::Later(_)) => {
                    while told.load(SeqCst) == 0 {
                        thread::yield_now();
                    }
                    assert_eq!(told.load(SeqCst), 1);
                }
                Err(error) => assert!(matches!(error, ConnectionError::Closed { .. }), "{error}"),
            }
        }
    }

    fn manage(&self) {
        for (max_size, min_idle) in [(1, 0), (2, 1)] {
            let made = self.maker.made() as u32;
            self.pool.clear();
            self.cleared.fetch_max(made, SeqCst);
            self.pool.resize(max_size, min_idle).unwrap();
        }
    }
}

/// How the pool ends, while the others are at it or after them.
#[derive(Clone, Copy, Debug)]
enum Ending {
    Late,
    Close,
    Drain,
}

fn play(ending: Ending) {
    let runtime = Builder::new_current_thread().enable_time().build().unwrap();
    let maker = Maker::with(Abilities { resets: true, ..Abilities::default() });
    let pool = Pool::new(config(MAX_SIZE), maker.clone(), runtime.handle().clone()).unwrap();
    let world = Arc::new(World {
        pool,
        maker: maker.clone(),
        held: Mutex::default(),
        cleared: AtomicU32::new(0),
        running: AtomicUsize::new(0),
    });
    let start = |what: fn(&Arc<World>)| {
        let world = Arc::clone(&world);
        world.running.fetch_add(1, SeqCst);
        thread::spawn(move || {
            what(&world);
            world.running.fetch_sub(1, SeqCst);
        })
    };
    let mut threads = vec![
        start(|world| world.wait()),
        start(|world| world.wait()),
        start(|world| world.try_twice()),
        start(World::be_told),
        start(|world| world.manage()),
    ];
    match ending {
        Ending::Late => {}
        Ending::Close => threads.push(start(|world| world.pool.close_now())),
        Ending::Drain => threads.push(start(|world| _ = block_on(world.pool.drain(None)))),
    }
    while world.running.load(SeqCst) > 0 {
        runtime.block_on(yield_now());
        thread::yield_now();
    }
    threads.into_iter().for_each(|thread| thread.join().unwrap());
    world.pool.close_now();
    while world.pool.stats().total() > 0 {
        runtime.block_on(yield_now());
    }
    assert_eq!(world.pool.stats().waiting, 0);
    let mut closed: Vec<_> = maker.closed().into_iter().map(|(number, _)| number).collect();
    closed.sort_unstable();
    assert!(closed.into_iter().eq(1..=maker.made() as u32), "each is closed once");
}

fn check(scheduler: impl Scheduler + 'static, ending: Ending) {
    let mut config = Config::new();
    // A runtime needs more room than shuttle's own threads.
    config.stack_size = 1 << 19;
    // Whoever is stranded lets the others turn in circles until then.
    config.max_steps = MaxSteps::FailAfter(200_000);
    let _hook = let_others_run_before_each_lock(thread::yield_now);
    Runner::new(scheduler, config).run(move || play(ending));
}

#[test]
fn any_schedule_of_threads_keeps_every_promise() {
    for ending in [Ending::Late, Ending::Close, Ending::Drain] {
        check(RandomScheduler::new(200), ending);
        check(PctScheduler::new(3, 200), ending);
    }
}
