//! Lets any number of tasks wait for one event source that remembers a single waker.

use parking_lot::Mutex;
use smallvec::SmallVec;
use std::{
    sync::Arc,
    task::{Context, Poll, Wake, Waker},
};

/// The tasks that wait for one direction of a stream, or for a listener.
#[derive(Debug, Default)]
pub(crate) struct Waiters(Arc<Fanout>);

/// The one waker that the source gets: it passes a wake on to every task.
#[derive(Debug, Default)]
struct Fanout {
    list: Mutex<List>,
}

#[derive(Debug, Default)]
struct List {
    last: u64,
    /// Nearly always one at most, for which nothing is allocated.
    waiting: SmallVec<[(WaiterKey, Waker); 1]>,
}

/// A task's place among the waiters.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct WaiterKey(u64);

impl Wake for Fanout {
    fn wake(self: Arc<Self>) {
        self.wake_by_ref();
    }

    fn wake_by_ref(self: &Arc<Self>) {
        let woken = std::mem::take(&mut self.list.lock().waiting);
        for (_, waker) in woken {
            waker.wake();
        }
    }
}

impl Waiters {
    /// Puts the task in line, then asks `source` with the common waker: in this order no wake is lost.
    ///
    /// `key` is the caller's place; [`leave`](Self::leave) must follow when the caller gives up.
    pub(crate) fn poll<T>(
        &self,
        key: &mut Option<WaiterKey>,
        cx: &Context<'_>,
        source: impl FnOnce(&mut Context<'_>) -> Poll<T>,
    ) -> Poll<T> {
        self.join(key, cx.waker());
        let common = Waker::from(Arc::clone(&self.0));
        let answer = source(&mut Context::from_waker(&common));
        if answer.is_ready() {
            self.leave(key);
        }
        answer
    }

    fn join(&self, key: &mut Option<WaiterKey>, waker: &Waker) {
        let replaced;
        {
            let mut list = self.0.list.lock();
            let place = key.and_then(|key| list.waiting.iter_mut().find(|(k, _)| *k == key));
            replaced = match place {
                Some((_, old)) if old.will_wake(waker) => None,
                Some((_, old)) => Some(std::mem::replace(old, waker.clone())),
                None => {
                    list.last += 1;
                    let fresh = WaiterKey(list.last);
                    list.waiting.push((fresh, waker.clone()));
                    *key = Some(fresh);
                    None
                }
            };
        }
        drop(replaced);
    }

    /// Gives the place up; harmless without one.
    pub(crate) fn leave(&self, key: &mut Option<WaiterKey>) {
        let Some(key) = key.take() else { return };
        let left;
        {
            let mut list = self.0.list.lock();
            let place = list.waiting.iter().position(|(k, _)| *k == key);
            left = place.map(|place| list.waiting.swap_remove(place));
        }
        drop(left);
    }

    /// Whether no task waits, those aside that were woken and have not come back yet.
    pub(crate) fn is_empty(&self) -> bool {
        self.0.list.lock().waiting.is_empty()
    }

    /// Wakes every waiting task.
    pub(crate) fn wake_all(&self) {
        self.0.wake_by_ref();
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::sync::atomic::{AtomicUsize, Ordering};

    #[derive(Default)]
    struct Count(AtomicUsize);

    impl Wake for Count {
        fn wake(self: Arc<Self>) {
            self.0.fetch_add(1, Ordering::Relaxed);
        }
    }

    fn counting() -> (Arc<Count>, Waker) {
        let count = Arc::new(Count::default());
        (Arc::clone(&count), Waker::from(count))
    }

    #[test]
    fn one_wake_of_the_source_reaches_every_task() {
        let waiters = Waiters::default();
        let (first, first_waker) = counting();
        let (second, second_waker) = counting();
        let (mut a, mut b) = (None, None);
        let mut common = None;
        for (key, waker) in [(&mut a, &first_waker), (&mut b, &second_waker)] {
            let answer = waiters.poll(key, &Context::from_waker(waker), |cx| {
                common = Some(cx.waker().clone());
                Poll::<()>::Pending
            });
            assert!(answer.is_pending());
        }
        common.unwrap().wake();
        assert_eq!(first.0.load(Ordering::Relaxed), 1);
        assert_eq!(second.0.load(Ordering::Relaxed), 1);
    }

    #[test]
    fn a_task_that_gave_up_is_forgotten() {
        let waiters = Waiters::default();
        let (count, waker) = counting();
        let mut key = None;
        let _ = waiters.poll(&mut key, &Context::from_waker(&waker), |_| Poll::<()>::Pending);
        waiters.leave(&mut key);
        waiters.wake_all();
        assert_eq!(count.0.load(Ordering::Relaxed), 0);
        drop(waker);
        assert_eq!(Arc::strong_count(&count), 1, "the list holds no waker any more");
    }
}
