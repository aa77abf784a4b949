//! How many of a thing may exist: permits that are counted before any work is done.

use crate::sync::{Arc, Mutex};
use std::{
    collections::BTreeMap,
    pin::Pin,
    task::{Context, Poll, Waker},
};

/// A limit, and the count of what is held under it.
///
/// Clones share both. The count is exact: no interleaving of threads shows one more than the limit.
/// Every operation is one short lock around a few numbers; no waker runs under it.
///
/// ```text
///               try_acquire, acquire                 drop
///   free places ────────────────────▶ Permit ──────────────────▶ oldest waiter, else free places
/// ```
#[derive(Clone, Debug)]
pub struct Budget {
    ledger: Arc<Ledger>,
}

/// The right to hold one thing. Dropping it gives the right back, to the oldest waiter if there is one.
///
/// It belongs to no thread and keeps the count alive after the last [`Budget`] is gone. A permit
/// that is leaked (`std::mem::forget`) stays counted.
#[derive(Debug)]
#[must_use = "a permit that is dropped is given back"]
pub struct Permit {
    ledger: Arc<Ledger>,
}

impl Budget {
    /// A budget of which nothing is in use. With a `limit` of 0 nothing is handed out until it is raised.
    pub fn new(limit: u64) -> Self {
        let state = State { limit, in_use: 0, next_ticket: 0, waiters: BTreeMap::new() };
        Self { ledger: Arc::new(Ledger { state: Mutex::new(state) }) }
    }

    /// The most permits that are handed out.
    pub fn limit(&self) -> u64 {
        self.ledger.state.lock().limit
    }

    /// How many permits are held, those included that a waiter was given but has not picked up yet.
    ///
    /// Above [`limit`](Self::limit) only after the limit was lowered, until enough are given back.
    pub fn in_use(&self) -> u64 {
        self.ledger.state.lock().in_use
    }

    /// Whether more is in use than the limit allows, because it was lowered.
    pub fn is_exceeded(&self) -> bool {
        let state = self.ledger.state.lock();
        state.in_use > state.limit
    }

    /// How many calls of [`acquire`](Self::acquire) stand in line.
    pub fn waiting(&self) -> usize {
        self.ledger.state.lock().waiters.len()
    }

    /// Changes the limit.
    ///
    /// Raised, it serves as many waiters as now fit. Lowered below what is in use, it takes nothing
    /// away: nothing more is handed out until enough permits are given back.
    pub fn set_limit(&self, limit: u64) {
        let mut served = Vec::new();
        {
            let mut state = self.ledger.state.lock();
            state.limit = limit;
            while let Some(waker) = state.serve_next() {
                served.push(waker);
            }
        }
        served.into_iter().for_each(Waker::wake);
    }

    /// Takes a permit if one is free now. Never overtakes a waiter.
    pub fn try_acquire(&self) -> Option<Permit> {
        let taken = self.ledger.state.lock().take();
        taken.then(|| Permit::counted(&self.ledger))
    }

    /// Takes a permit, waiting for one to be given back.
    ///
    /// The place in line is that of the first poll. A permit is handed over directly, so a waiter
    /// that is not polled for a while keeps it from those behind. A free permit is taken without
    /// yielding to the scheduler.
    ///
    /// # Cancel safety
    ///
    /// Dropping the future loses the place in line and nothing else: a permit handed over at that
    /// moment goes to the next waiter.
    pub async fn acquire(&self) -> Permit {
        Acquire { ledger: &self.ledger, ticket: None }.await
    }
}

impl Permit {
    /// The guard of a place that is already counted.
    fn counted(ledger: &Arc<Ledger>) -> Self {
        Self { ledger: Arc::clone(ledger) }
    }
}

impl Drop for Permit {
    fn drop(&mut self) {
        self.ledger.give_back();
    }
}

#[derive(Debug)]
struct Ledger {
    state: Mutex<State>,
}

/// Between two locks: whoever waits does so because nothing is free (`in_use >= limit`).
#[derive(Debug)]
struct State {
    limit: u64,
    in_use: u64,
    next_ticket: u64,
    /// In the order of arrival. A ticket that was drawn and is no longer here has been served: its
    /// permit is already counted in `in_use`.
    waiters: BTreeMap<u64, Waker>,
}

impl Ledger {
    fn give_back(&self) {
        let next = self.state.lock().give_back();
        if let Some(waker) = next {
            waker.wake();
        }
    }
}

impl State {
    fn take(&mut self) -> bool {
        let free = self.in_use < self.limit;
        self.in_use += u64::from(free);
        free
    }

    /// Counts a permit for the oldest waiter, if both are there, and says whom to wake.
    fn serve_next(&mut self) -> Option<Waker> {
        if self.in_use >= self.limit {
            return None;
        }
        let (_, waker) = self.waiters.pop_first()?;
        self.in_use += 1;
        Some(waker)
    }

    fn give_back(&mut self) -> Option<Waker> {
        self.in_use -= 1;
        self.serve_next()
    }

    /// Draws a ticket at the end of the line.
    fn enqueue(&mut self, waker: Waker) -> u64 {
        let ticket = self.next_ticket;
        self.next_ticket += 1;
        self.waiters.insert(ticket, waker);
        ticket
    }
}

struct Acquire<'a> {
    ledger: &'a Arc<Ledger>,
    /// Drawn by the first poll that found nothing free, taken out by the poll that returns the permit.
    ticket: Option<u64>,
}

impl Future for Acquire<'_> {
    type Output = Permit;

    fn poll(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Permit> {
        let ready = match self.ticket {
            None => self.take_or_enqueue(cx),
            Some(ticket) => self.was_served(ticket, cx),
        };
        if !ready {
            return Poll::Pending;
        }
        self.ticket = None;
        Poll::Ready(Permit::counted(self.ledger))
    }
}

impl Acquire<'_> {
    fn take_or_enqueue(&mut self, cx: &Context<'_>) -> bool {
        if self.ledger.state.lock().take() {
            return true;
        }
        let waker = cx.waker().clone();
        let mut state = self.ledger.state.lock();
        if state.take() {
            // `waker` was declared before `state`, so it is dropped after the unlock.
            return true;
        }
        self.ticket = Some(state.enqueue(waker));
        false
    }

    /// Whether `ticket` was served; if not, the newest waker replaces the one that waits.
    fn was_served(&self, ticket: u64, cx: &Context<'_>) -> bool {
        let mut waker = cx.waker().clone();
        let mut state = self.ledger.state.lock();
        match state.waiters.get_mut(&ticket) {
            Some(waiting) => {
                std::mem::swap(waiting, &mut waker);
                false
            }
            None => true,
        }
    }
}

impl Drop for Acquire<'_> {
    fn drop(&mut self) {
        let Some(ticket) = self.ticket else { return };
        let waiting = self.ledger.state.lock().waiters.remove(&ticket);
        if waiting.is_none() {
            self.ledger.give_back();
        }
    }
}

#[cfg(all(test, not(trunkline_loom)))]
mod tests {
    use super::*;
    use proptest::prelude::*;
    use std::{
        collections::VecDeque,
        sync::atomic::{AtomicU64, Ordering},
        task::Wake,
    };

    type Waiting = Pin<Box<dyn Future<Output = Permit> + Send>>;

    fn waiter(budget: &Budget) -> Waiting {
        let budget = budget.clone();
        Box::pin(async move { budget.acquire().await })
    }

    fn poll(waiter: &mut Waiting) -> Option<Permit> {
        match waiter.as_mut().poll(&mut Context::from_waker(Waker::noop())) {
            Poll::Ready(permit) => Some(permit),
            Poll::Pending => None,
        }
    }

    #[test]
    fn a_permit_crosses_threads_and_outlives_its_budget() {
        fn check<T: Send + Sync + 'static>(_: &T) {}
        let permit = Budget::new(1).try_acquire().unwrap();
        check(&permit);
        drop(permit);
    }

    #[test]
    fn a_newcomer_never_overtakes_a_waiter() {
        let budget = Budget::new(1);
        let held = budget.try_acquire().unwrap();
        let mut first = waiter(&budget);
        assert!(poll(&mut first).is_none());
        drop(held);
        assert!(budget.try_acquire().is_none());
        assert!(poll(&mut waiter(&budget)).is_none());
        assert!(poll(&mut first).is_some());
    }

    #[test]
    fn a_waiter_dropped_after_it_was_served_hands_its_turn_on() {
        let budget = Budget::new(1);
        let held = budget.try_acquire().unwrap();
        let (mut first, mut second) = (waiter(&budget), waiter(&budget));
        assert!(poll(&mut first).is_none() && poll(&mut second).is_none());
        drop(held);
        drop(first);
        assert!(poll(&mut second).is_some());
        assert_eq!((budget.in_use(), budget.waiting()), (0, 0));
    }

    #[test]
    fn a_lowered_limit_hands_out_nothing_until_enough_came_back() {
        let budget = Budget::new(3);
        let mut held: Vec<_> = (0..3).map(|_| budget.try_acquire().unwrap()).collect();
        budget.set_limit(1);
        let mut last = waiter(&budget);
        for in_use in [2, 1] {
            held.pop();
            assert!(poll(&mut last).is_none() && budget.try_acquire().is_none());
            assert_eq!((budget.in_use(), budget.is_exceeded()), (in_use, in_use > 1));
        }
        held.pop();
        assert!(poll(&mut last).is_some());
    }

    #[test]
    fn a_raised_limit_serves_every_waiter_that_fits() {
        let budget = Budget::new(0);
        let mut line: Vec<_> = (0..3).map(|_| waiter(&budget)).collect();
        assert!(line.iter_mut().all(|waiter| poll(waiter).is_none()));
        budget.set_limit(2);
        assert_eq!((budget.in_use(), budget.waiting()), (2, 1));
        let permits: Vec<_> = line.iter_mut().map(poll).collect();
        assert!(matches!(permits[..], [Some(_), Some(_), None]));
    }

    #[test]
    fn a_waker_may_use_the_budget_it_is_woken_by() {
        struct Reenters(Budget);
        impl Wake for Reenters {
            fn wake(self: Arc<Self>) {
                assert!(self.0.try_acquire().is_none());
            }
        }
        let budget = Budget::new(1);
        let held = budget.try_acquire().unwrap();
        let mut line = waiter(&budget);
        let waker = Arc::new(Reenters(budget.clone())).into();
        assert!(line.as_mut().poll(&mut Context::from_waker(&waker)).is_pending());
        drop(held);
        assert!(poll(&mut line).is_some());
    }

    #[test]
    fn a_future_moved_to_another_task_wakes_that_task() {
        struct Count(AtomicU64);
        impl Wake for Count {
            fn wake(self: Arc<Self>) {
                self.0.fetch_add(1, Ordering::Relaxed);
            }
        }
        let budget = Budget::new(1);
        let held = budget.try_acquire().unwrap();
        let counts = [0, 1].map(|_| Arc::new(Count(AtomicU64::new(0))));
        let mut line = waiter(&budget);
        for count in &counts {
            let waker = Arc::clone(count).into();
            assert!(line.as_mut().poll(&mut Context::from_waker(&waker)).is_pending());
        }
        drop(held);
        assert_eq!(counts.map(|count| count.0.load(Ordering::Relaxed)), [0, 1]);
    }

    #[tokio::test(flavor = "multi_thread", worker_threads = 4)]
    async fn no_interleaving_shows_one_above_the_limit() {
        const LIMIT: u64 = 7;
        let (budget, inside) = (Budget::new(LIMIT), Arc::new(AtomicU64::new(0)));
        let mut tasks = tokio::task::JoinSet::new();
        for task in 0..64_u32 {
            let (budget, inside) = (budget.clone(), Arc::clone(&inside));
            tasks.spawn(async move {
                for round in 0..200 {
                    let mut permit = budget.try_acquire();
                    if permit.is_none() && (task + round) % 3 == 0 {
                        // Cancelled after one poll, served or not.
                        let _ = poll(&mut waiter(&budget));
                    }
                    if permit.is_none() {
                        permit = Some(budget.acquire().await);
                    }
                    assert!(inside.fetch_add(1, Ordering::SeqCst) < LIMIT);
                    assert!(budget.in_use() <= LIMIT);
                    tokio::task::yield_now().await;
                    inside.fetch_sub(1, Ordering::SeqCst);
                    drop(permit);
                }
            });
        }
        while let Some(done) = tasks.join_next().await {
            done.unwrap();
        }
        assert_eq!((budget.in_use(), budget.waiting()), (0, 0));
    }

    #[derive(Clone, Debug)]
    enum Op {
        TryAcquire,
        Enqueue,
        Poll(usize),
        Cancel(usize),
        Release(usize),
        SetLimit(u64),
    }

    fn op() -> impl Strategy<Value = Op> {
        prop_oneof![
            Just(Op::TryAcquire),
            Just(Op::Enqueue),
            (0..8_usize).prop_map(Op::Poll),
            (0..8_usize).prop_map(Op::Cancel),
            (0..8_usize).prop_map(Op::Release),
            (0..5_u64).prop_map(Op::SetLimit),
        ]
    }

    /// The ledger as one would write it on paper: a line of names, the served among them marked.
    #[derive(Default)]
    struct Model {
        limit: u64,
        held: u64,
        line: VecDeque<u64>,
        served: Vec<u64>,
    }

    impl Model {
        fn in_use(&self) -> u64 {
            self.held + self.served.len() as u64
        }

        fn serve(&mut self) {
            while self.in_use() < self.limit
                && let Some(name) = self.line.pop_front()
            {
                self.served.push(name);
            }
        }
    }

    proptest! {
        #[test]
        fn any_script_agrees_with_a_line_on_paper(script in prop::collection::vec(op(), 0..80)) {
            let budget = Budget::new(2);
            let mut model = Model { limit: 2, ..Model::default() };
            let (mut held, mut line, mut next) = (Vec::new(), Vec::<(u64, Waiting)>::new(), 0);
            for op in script {
                match op {
                    Op::TryAcquire => {
                        let permit = budget.try_acquire();
                        let free = model.in_use() < model.limit;
                        prop_assert_eq!(permit.is_some(), free);
                        model.held += u64::from(free);
                        held.extend(permit);
                    }
                    Op::Enqueue => {
                        let mut waiter = waiter(&budget);
                        let permit = poll(&mut waiter);
                        prop_assert_eq!(permit.is_some(), model.in_use() < model.limit);
                        if permit.is_some() {
                            model.held += 1;
                        } else {
                            model.line.push_back(next);
                            line.push((next, waiter));
                            next += 1;
                        }
                        held.extend(permit);
                    }
                    Op::Poll(at) if at < line.len() => {
                        let served = model.served.iter().position(|name| *name == line[at].0);
                        let permit = poll(&mut line[at].1);
                        prop_assert_eq!(permit.is_some(), served.is_some());
                        if let Some(served) = served {
                            model.served.remove(served);
                            model.held += 1;
                            drop(line.remove(at));
                        }
                        held.extend(permit);
                    }
                    Op::Cancel(at) if at < line.len() => {
                        let (name, waiter) = line.remove(at);
                        drop(waiter);
                        model.line.retain(|other| *other != name);
                        model.served.retain(|other| *other != name);
                        model.serve();
                    }
                    Op::Release(at) if at < held.len() => {
                        drop(held.swap_remove(at));
                        model.held -= 1;
                        model.serve();
                    }
                    Op::SetLimit(limit) => {
                        budget.set_limit(limit);
                        model.limit = limit;
                        model.serve();
                    }
                    Op::Poll(_) | Op::Cancel(_) | Op::Release(_) => {}
                }
                prop_assert_eq!(budget.in_use(), model.in_use());
                prop_assert_eq!(budget.waiting(), model.line.len());
            }
        }
    }
}
