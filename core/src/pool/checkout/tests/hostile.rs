//! What others' code may do to a pool: look at it from anywhere, panic, and shut the runtime down.

use super::*;
use std::{
    fmt,
    future::Future,
    pin::Pin,
    sync::{
        Weak,
        atomic::{AtomicUsize, Ordering::SeqCst},
    },
    task::{Context, Poll, Wake, Waker},
};
use tokio::time::Instant;

fn poll<T>(future: &mut Pin<Box<impl Future<Output = T>>>, waker: &Waker) -> Poll<T> {
    future.as_mut().poll(&mut Context::from_waker(waker))
}

/// Puts somebody in line who is told by a call.
fn waits(
    pool: &Pool,
    limit: Option<std::time::Instant>,
    tell: impl Fn(Result<Entrusted, ConnectionError>) + Send + Sync + 'static,
) -> bool {
    let teller = || Ok::<_, ConnectionError>(Arc::new(tell));
    let acquired = pool.acquire_then(Patience::Until(limit), Holder::Unknown, teller);
    matches!(acquired, Ok(Acquired::Later(_)))
}

/// Looks whether the pool's lock is free, when it is woken and when it is dropped.
struct Spy {
    pool: Weak<shared::Shared<Maker>>,
    seen: Arc<Seen>,
}

#[derive(Debug, Default)]
struct Seen {
    free: AtomicUsize,
    locked: AtomicUsize,
}

impl Seen {
    fn take(&self) -> (usize, usize) {
        (self.free.swap(0, SeqCst), self.locked.swap(0, SeqCst))
    }
}

impl Spy {
    fn new(pool: &Pool, seen: &Arc<Seen>) -> Self {
        Self { pool: Arc::downgrade(pool.shared()), seen: Arc::clone(seen) }
    }

    fn look(&self) {
        let is_free = self.pool.upgrade().is_none_or(|pool| pool.is_unlocked());
        let count = if is_free { &self.seen.free } else { &self.seen.locked };
        count.fetch_add(1, SeqCst);
    }

    fn waker(pool: &Pool, seen: &Arc<Seen>) -> Waker {
        Waker::from(Arc::new(Self::new(pool, seen)))
    }

    fn error(pool: &Pool, seen: &Arc<Seen>) -> ConnectionError {
        let at = Place::at(Step::Connect).because(Self::new(pool, seen));
        ConnectionError::ConnectionFailed { at }
    }
}

impl Wake for Spy {
    fn wake(self: Arc<Self>) {
        self.look();
    }
}

impl Drop for Spy {
    fn drop(&mut self) {
        self.look();
    }
}

impl fmt::Debug for Spy {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Spy")
    }
}

impl fmt::Display for Spy {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("spied")
    }
}

impl Error for Spy {}

#[tokio::test(start_paused = true)]
async fn no_waker_is_woken_or_dropped_under_the_lock() {
    let (pool, _) = pool(1);
    let seen = Arc::default();
    let held = pool.acquire().await.unwrap();
    let mut waits = Box::pin(pool.acquire());
    assert!(poll(&mut waits, &Spy::waker(&pool, &seen)).is_pending());
    assert!(poll(&mut waits, &Spy::waker(&pool, &seen)).is_pending());
    assert_eq!(seen.take(), (1, 0), "the first was replaced");
    drop(held);
    assert_eq!(seen.take(), (2, 0), "the second was woken and dropped");
    assert!(poll(&mut waits, &Spy::waker(&pool, &seen)).is_ready());
    let held = pool.acquire_by(None);
    let mut held = Box::pin(held);
    let mut waits = Box::pin(pool.acquire());
    assert!(
        poll(&mut held, Waker::noop()).is_ready() || poll(&mut waits, Waker::noop()).is_ready()
    );
    assert_eq!(seen.take(), (1, 0));
}

#[tokio::test(start_paused = true)]
async fn no_error_of_the_connector_is_dropped_under_the_lock() {
    let (pool, maker) = pool(1);
    let seen = Arc::default();
    for _ in 0..7 {
        maker.plan(Plan::FailAs(Spy::error(&pool, &seen)));
    }
    let mut waits = Box::pin(pool.acquire());
    assert!(poll(&mut waits, Waker::noop()).is_pending());
    while pool.stats().create_failed < 7 {
        sleep(Duration::from_millis(10)).await;
    }
    let (free, locked) = seen.take();
    assert!(free >= 5 && locked == 0, "{free} free, {locked} locked");
    // Refused with the last error, which nobody collects; then the next failure takes its place.
    maker.plan(Plan::Fail);
    sleep(Duration::from_secs(8)).await;
    drop(pool.acquire().await);
    settle().await;
    drop(waits);
    let (_, locked) = seen.take();
    assert_eq!(locked, 0);
}

#[tokio::test(start_paused = true)]
async fn a_callback_may_put_its_connection_back_at_once_however_many_wait() {
    let (pool, _) = pool(1);
    let held = pool.acquire().await.unwrap();
    let told = Arc::new(AtomicUsize::new(0));
    for _ in 0..20_000 {
        let told = Arc::clone(&told);
        let user = pool.clone();
        let tell = move |lent: Result<Entrusted, _>| {
            user.put_back(lent.unwrap().lease, false).unwrap();
            told.fetch_add(1, SeqCst);
        };
        assert!(waits(&pool, None, tell));
    }
    drop(held);
    assert_eq!((told.load(SeqCst), pool.stats().idle), (20_000, 1));
}

#[tokio::test(start_paused = true)]
async fn a_callback_that_panics_hurts_nobody_else() {
    let (pool, maker) = pool(1);
    let held = pool.acquire().await.unwrap();
    for limit in [None, Some((Instant::now() + Duration::from_secs(1)).into_std())] {
        assert!(waits(&pool, limit, |_| panic!("the callback panics")));
    }
    sleep(Duration::from_secs(2)).await;
    assert_eq!((pool.stats().timeouts, pool.stats().waiting), (1, 1), "the keeper told one");
    let mut next = Box::pin(pool.acquire());
    assert!(poll(&mut next, Waker::noop()).is_pending());
    drop(held);
    assert_eq!(*next.await.unwrap(), 2);
    assert_eq!(maker.closed(), [(1, PoolCloseReason::Discarded)], "the panic cost its lease");
    let late = pool.acquire_by(Some((Instant::now() + Duration::from_secs(1)).into_std()));
    assert!(late.await.is_ok(), "the keeper lives");
    check_books(&pool);
}

#[tokio::test(start_paused = true)]
async fn a_waker_that_panics_hurts_nobody_else() {
    struct Panics;
    impl Wake for Panics {
        fn wake(self: Arc<Self>) {
            panic!("the waker panics");
        }
    }
    let (pool, _) = pool(2);
    let (a, b) = (pool.acquire().await.unwrap(), pool.acquire().await.unwrap());
    let mut unlucky = Box::pin(pool.acquire());
    assert!(poll(&mut unlucky, &Waker::from(Arc::new(Panics))).is_pending());
    let next = tokio::spawn({
        let pool = pool.clone();
        async move { *pool.acquire().await.unwrap() }
    });
    settle().await;
    drop((a, b));
    assert!(next.await.is_ok());
    assert!(unlucky.await.is_ok());
    check_books(&pool);
}

#[tokio::test(start_paused = true)]
async fn a_connector_that_panics_anywhere_has_its_connection_closed_once() {
    let all = Abilities { checks: true, resets: true, peeks: true };
    for abilities in [
        Abilities { checks: false, ..all },
        Abilities { peeks: false, ..all },
        Abilities { peeks: false, resets: false, ..all },
    ] {
        let (pool, maker) = pool_of(config(2), Maker::with(abilities));
        drop(pool.acquire().await.unwrap());
        settle().await;
        maker.log(|log| log.dreaded.push(1));
        sleep(Duration::from_secs(1)).await;
        let lease = pool.acquire().await.unwrap();
        // Without checks it is only seen to be dreaded when it comes back.
        let first = *lease;
        drop(lease);
        assert_eq!(*pool.acquire().await.unwrap(), 2, "{abilities:?}, got {first} before");
        settle().await;
        assert_eq!(maker.closed().iter().filter(|(number, _)| *number == 1).count(), 1);
        check_books(&pool);
    }
}

#[tokio::test(start_paused = true)]
async fn what_was_handed_over_before_a_clear_is_not_lent_after_it() {
    let (pool, maker) = pool(1);
    let held = pool.acquire().await.unwrap();
    let (mut first, mut second) = (Box::pin(pool.acquire()), Box::pin(pool.acquire()));
    assert!(poll(&mut first, Waker::noop()).is_pending());
    assert!(poll(&mut second, Waker::noop()).is_pending());
    drop(held);
    pool.clear();
    assert!(poll(&mut first, Waker::noop()).is_pending(), "it was given the old one");
    let lease = first.await.unwrap();
    assert_eq!((*lease, maker.closed()), (2, vec![(1, PoolCloseReason::Cleared)]));
    assert!(poll(&mut second, Waker::noop()).is_pending(), "its turn is still to come");
    drop(lease);
    assert_eq!(*second.await.unwrap(), 2);
}

#[tokio::test(start_paused = true)]
async fn what_was_entrusted_to_a_pool_ends_with_its_last_handle() {
    let (pool, maker) = pool(2);
    let (lease, entrusted) = (pool.acquire().await.unwrap(), pool.acquire().await.unwrap());
    entrusted.entrust();
    drop(pool);
    settle().await;
    assert_eq!(maker.closed(), [(2, PoolCloseReason::PoolClosed)]);
    drop(lease);
    settle().await;
    assert_eq!(Arc::strong_count(&maker.0), 1, "nothing of the pool is left");
}

#[test]
fn a_pool_whose_runtime_shut_down_refuses_all_and_strands_nobody() {
    let runtime = tokio::runtime::Builder::new_current_thread().enable_time().build().unwrap();
    let pool = Pool::new(config(1), Maker::default(), runtime.handle().clone()).unwrap();
    let lease = runtime.block_on(pool.acquire()).unwrap();
    let mut waits = Box::pin(pool.acquire_by(None));
    assert!(poll(&mut waits, Waker::noop()).is_pending());
    drop(runtime);
    let Poll::Ready(Err(error)) = poll(&mut waits, Waker::noop()) else { panic!("it still waits") };
    assert!(matches!(error, ConnectionError::Closed { .. }), "{error}");
    drop(lease);
    assert_eq!((pool.stats().total(), pool.stats().closed()), (0, 1));
    let mut late = Box::pin(pool.acquire());
    assert!(poll(&mut late, Waker::noop()).is_ready());
}

#[test]
fn a_pool_on_a_runtime_that_is_gone_refuses_all() {
    let runtime = tokio::runtime::Builder::new_current_thread().enable_time().build().unwrap();
    let handle = runtime.handle().clone();
    drop(runtime);
    let pool = Pool::new(config(1), Maker::default(), handle).unwrap();
    let mut late = Box::pin(pool.acquire());
    let Poll::Ready(Err(error)) = poll(&mut late, Waker::noop()) else { panic!("it waits") };
    assert!(matches!(error, ConnectionError::Closed { .. }), "{error}");
}
