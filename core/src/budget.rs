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
///
/// One budget may lie [within](Self::within) another: its permits are counted in both.
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
    /// Given back first: whoever is served by it finds the outer one free soon after, and waits for it meanwhile.
    _place: Place,
    _outer: Option<Box<Self>>,
}

impl Budget {
    /// A budget of which nothing is in use. With a `limit` of 0 nothing is handed out until it is raised.
    pub fn new(limit: u64) -> Self {
        Self::with(limit, None)
    }

    /// A further budget of which each permit takes one of `self` as well, so that neither limit is exceeded.
    ///
    /// A place of the new budget is taken first, and kept while one of the outer budget is waited for. So nobody
    /// keeps a place of the outer one for want of an inner one. Cost: an allocation for each permit.
    #[must_use]
    pub fn within(&self, limit: u64) -> Self {
        Self::with(limit, Some(self.clone()))
    }

    fn with(limit: u64, outer: Option<Self>) -> Self {
        let state = State { limit, in_use: 0, next_ticket: 0, waiters: BTreeMap::new() };
        Self { ledger: Arc::new(Ledger { state: Mutex::new(state), outer }) }
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
        let place = taken.then(|| Place::counted(&self.ledger))?;
        let outer = match &self.ledger.outer {
            Some(outer) => Some(Box::new(outer.try_acquire()?)),
            None => None,
        };
        Some(Permit { _place: place, _outer: outer })
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
        self.acquire_in_line(usize::MAX).await.expect("a line without a bound has room")
    }

    /// As [`acquire`](Self::acquire), but waits only where fewer than `room` wait already: a line of that length
    /// at most. `None`, at once, where it is full; with a `room` of 0 this is [`try_acquire`](Self::try_acquire).
    ///
    /// Of a budget within another the bound is that of its own line.
    ///
    /// # Cancel safety
    ///
    /// As [`acquire`](Self::acquire).
    pub async fn acquire_in_line(&self, room: usize) -> Option<Permit> {
        let place = Acquire { ledger: &self.ledger, room, ticket: None }.await?;
        let outer = match &self.ledger.outer {
            Some(outer) => Some(Box::new(outer.acquire_boxed().await)),
            None => None,
        };
        Some(Permit { _place: place, _outer: outer })
    }

    /// For budgets within budgets within budgets: a future may not hold itself.
    fn acquire_boxed(&self) -> Pin<Box<dyn Future<Output = Permit> + Send + '_>> {
        Box::pin(self.acquire())
    }
}

/// A place in one ledger, counted until it is dropped.
#[derive(Debug)]
struct Place {
    ledger: Arc<Ledger>,
}

impl Place {
    /// The guard of a place that is already counted.
    fn counted(ledger: &Arc<Ledger>) -> Self {
        Self { ledger: Arc::clone(ledger) }
    }
}

impl Drop for Place {
    fn drop(&mut self) {
        self.ledger.give_back();
    }
}

#[derive(Debug)]
struct Ledger {
    state: Mutex<State>,
    /// The budget of which each place takes one as well.
    outer: Option<Budget>,
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
    /// How many may stand in line, this one included.
    room: usize,
    /// Drawn by the first poll that found nothing free, taken out by the poll that returns the place.
    ticket: Option<u64>,
}

/// What came of standing in line.
enum Turn {
    Taken,
    Waits,
    /// There was no room in the line.
    Refused,
}

impl Future for Acquire<'_> {
    type Output = Option<Place>;

    fn poll(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Option<Place>> {
        let turn = match self.ticket {
            None => self.take_or_enqueue(cx),
            Some(ticket) => self.was_served(ticket, cx),
        };
        match turn {
            Turn::Waits => Poll::Pending,
            Turn::Refused => Poll::Ready(None),
            Turn::Taken => {
                self.ticket = None;
                Poll::Ready(Some(Place::counted(self.ledger)))
            }
        }
    }
}

impl Acquire<'_> {
    fn take_or_enqueue(&mut self, cx: &Context<'_>) -> Turn {
        if self.ledger.state.lock().take() {
            return Turn::Taken;
        }
        let waker = cx.waker().clone();
        let mut state = self.ledger.state.lock();
        if state.take() {
            // `waker` was declared before `state`, so it is dropped after the unlock.
            return Turn::Taken;
        }
        if state.waiters.len() >= self.room {
            return Turn::Refused;
        }
        self.ticket = Some(state.enqueue(waker));
        Turn::Waits
    }

    /// Whether `ticket` was served; if not, the newest waker replaces the one that waits.
    fn was_served(&self, ticket: u64, cx: &Context<'_>) -> Turn {
        let mut waker = cx.waker().clone();
        let mut state = self.ledger.state.lock();
        match state.waiters.get_mut(&ticket) {
            Some(waiting) => {
                std::mem::swap(waiting, &mut waker);
                Turn::Waits
            }
            None => Turn::Taken,
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
    type InLine = Pin<Box<dyn Future<Output = Option<Permit>> + Send>>;

    fn waiter(budget: &Budget) -> Waiting {
        let budget = budget.clone();
        Box::pin(async move { budget.acquire().await })
    }

    fn waiter_in_line(budget: &Budget, room: usize) -> InLine {
        let budget = budget.clone();
        Box::pin(async move { budget.acquire_in_line(room).await })
    }

    /// Of one that stands in line.
    fn poll_in_line(waiter: &mut InLine) -> Option<Permit> {
        match waiter.as_mut().poll(&mut Context::from_waker(Waker::noop())) {
            Poll::Ready(permit) => permit,
            Poll::Pending => None,
        }
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
    fn a_line_that_is_full_refuses_and_one_that_was_served_stands_in_it_no_more() {
        let budget = Budget::new(1);
        let enter = |room| {
            let mut waiter = waiter_in_line(&budget, room);
            (waiter.as_mut().poll(&mut Context::from_waker(Waker::noop())), waiter)
        };
        let Poll::Ready(Some(held)) = enter(0).0 else { panic!("one is free") };
        assert!(matches!(enter(0).0, Poll::Ready(None)), "no line at all");
        let (Poll::Pending, mut first) = enter(1) else { panic!("there is room for one") };
        assert!(matches!(enter(1).0, Poll::Ready(None)), "the line is full");
        drop(held);
        // The first was served, although it has not looked yet.
        let (Poll::Pending, second) = enter(1) else { panic!("the line is empty again") };
        let held = poll_in_line(&mut first).unwrap();
        drop(second);
        assert!(enter(1).0.is_pending(), "who left makes room");
        drop(held);
        assert_eq!((budget.in_use(), budget.waiting()), (0, 0));
    }

    #[test]
    fn a_permit_of_a_budget_within_another_counts_in_both_and_comes_back_to_both() {
        let outer = Budget::new(3);
        let (wide, narrow) = (outer.within(9), outer.within(1));
        let only = narrow.try_acquire().unwrap();
        assert!(narrow.try_acquire().is_none());
        assert_eq!((outer.in_use(), narrow.in_use()), (1, 1), "the refused one left nothing");
        let rest = [wide.try_acquire().unwrap(), wide.try_acquire().unwrap()];
        assert!(wide.try_acquire().is_none() && outer.try_acquire().is_none());
        assert_eq!((outer.in_use(), wide.in_use()), (3, 2));
        drop((only, rest));
        assert_eq!((outer.in_use(), wide.in_use(), narrow.in_use()), (0, 0, 0));
    }

    #[test]
    fn who_waits_for_an_inner_place_keeps_no_outer_one_from_others() {
        let outer = Budget::new(2);
        let narrow = outer.within(1);
        let held = narrow.try_acquire().unwrap();
        let mut waiting = waiter(&narrow);
        assert!(poll(&mut waiting).is_none());
        let other = outer.try_acquire().unwrap();
        drop(held);
        // The inner place is its own by now, and the outer one that came back.
        let permit = poll(&mut waiting).unwrap();
        assert_eq!((outer.in_use(), narrow.in_use()), (2, 1));
        drop((other, permit));

        let full = [outer.try_acquire().unwrap(), outer.try_acquire().unwrap()];
        let mut waiting = waiter(&narrow);
        assert!(poll(&mut waiting).is_none());
        assert_eq!((narrow.in_use(), outer.waiting()), (1, 1));
        drop(waiting);
        assert_eq!((narrow.in_use(), outer.waiting()), (0, 0), "what was taken came back");
        drop(full);
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
        Enqueue { room: usize },
        Poll(usize),
        Cancel(usize),
        Release(usize),
        SetLimit(u64),
    }

    fn op() -> impl Strategy<Value = Op> {
        prop_oneof![
            Just(Op::TryAcquire),
            prop_oneof![0..3_usize, Just(usize::MAX)].prop_map(|room| Op::Enqueue { room }),
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
            let (mut held, mut line, mut next) = (Vec::new(), Vec::<(u64, InLine)>::new(), 0);
            for op in script {
                match op {
                    Op::TryAcquire => {
                        let permit = budget.try_acquire();
                        let free = model.in_use() < model.limit;
                        prop_assert_eq!(permit.is_some(), free);
                        model.held += u64::from(free);
                        held.extend(permit);
                    }
                    Op::Enqueue { room } => {
                        let mut waiter = waiter_in_line(&budget, room);
                        let free = model.in_use() < model.limit;
                        match waiter.as_mut().poll(&mut Context::from_waker(Waker::noop())) {
                            Poll::Ready(Some(permit)) => {
                                prop_assert!(free);
                                model.held += 1;
                                held.push(permit);
                            }
                            Poll::Ready(None) => {
                                prop_assert!(!free && model.line.len() >= room);
                            }
                            Poll::Pending => {
                                prop_assert!(!free && model.line.len() < room);
                                model.line.push_back(next);
                                line.push((next, waiter));
                                next += 1;
                            }
                        }
                    }
                    Op::Poll(at) if at < line.len() => {
                        let served = model.served.iter().position(|name| *name == line[at].0);
                        let permit = poll_in_line(&mut line[at].1);
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
