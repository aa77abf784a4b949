//! Giving way: a task that acts for many others has its turn behind those that are ready.
//!
//! ```text
//!  ready:  call ─ call ─ DRIVER ─ call        as woken: one write for each call that comes before it
//!          call ─ call ─ call ─ DRIVER        after giving way: one write for all
//! ```

use std::{
    mem,
    task::{Context, Poll, ready},
};

/// Gives way once before each turn.
#[derive(Debug, Default)]
pub struct GiveWay {
    has_given: bool,
}

impl GiveWay {
    /// Pending once, and the task is woken again at the end of its worker's line; then ready, and so on.
    ///
    /// It costs an idle worker that looks for work a wake: use it where others are known to be under way.
    pub fn poll(&mut self, cx: &mut Context<'_>) -> Poll<()> {
        if mem::replace(&mut self.has_given, false) {
            return Poll::Ready(());
        }
        self.has_given = true;
        cx.waker().wake_by_ref();
        Poll::Pending
    }

    /// As [`poll`](Self::poll) if there are `others`, else ready at once.
    pub fn poll_if(&mut self, others: bool, cx: &mut Context<'_>) -> Poll<()> {
        if others || self.has_given {
            ready!(self.poll(cx));
        }
        Poll::Ready(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use parking_lot::Mutex;
    use std::{future::poll_fn, sync::Arc};

    #[tokio::test]
    async fn a_task_that_gives_way_has_its_turn_behind_those_that_are_ready() {
        let order = Arc::new(Mutex::new(Vec::new()));
        let note = |name: &'static str, gives_way: bool| {
            let order = Arc::clone(&order);
            async move {
                let mut way = GiveWay::default();
                poll_fn(|cx| way.poll_if(gives_way, cx)).await;
                order.lock().push(name);
            }
        };
        let tasks = [note("driver", true), note("first", false), note("second", false)];
        let runtime = tokio::runtime::Handle::current();
        let tasks = tasks.map(|task| runtime.spawn(task));
        for task in tasks {
            task.await.unwrap();
        }
        assert_eq!(*order.lock(), ["first", "second", "driver"]);
    }

    #[test]
    fn it_gives_way_before_each_turn_and_to_nobody_where_nobody_is() {
        let (mut way, cx) =
            (GiveWay::default(), &mut Context::from_waker(std::task::Waker::noop()));
        for _ in 0..2 {
            assert!(way.poll_if(true, cx).is_pending());
            assert!(way.poll_if(false, cx).is_ready(), "it has given way already");
            assert!(way.poll_if(false, cx).is_ready());
        }
    }
}
