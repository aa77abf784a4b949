//! What one end may do at any moment, from how both have left and what the ring holds.

use super::{
    link::{Door, Link, Side},
    ring::{Consumer, Producer, Pulled},
    state::{Left, stops_reading, stops_writing, without_bytes},
    waiter::{Busy, Waiter},
};
use bytes::Bytes;
use std::{
    io,
    task::{Context, Poll, Waker},
};

/// A link as one of its ends sees it.
#[derive(Clone, Copy)]
pub(super) struct View<'a> {
    link: &'a Link,
    side: Side,
}

/// What came of leaving a waker: to be settled where nothing is locked.
#[must_use]
pub(super) struct LeftWaker {
    pub(super) before: Result<Option<Waker>, Busy>,
    /// What was waited for had come already.
    ready: bool,
}

impl<'a> View<'a> {
    #[inline]
    pub(super) fn new(link: &'a Link, side: Side) -> Self {
        Self { link, side }
    }

    #[inline]
    fn mine(self) -> &'a Door {
        self.link.door(self.side)
    }

    #[inline]
    fn theirs(self) -> &'a Door {
        self.link.door(self.side.other())
    }

    #[inline]
    fn stops_writing(self) -> Option<io::Error> {
        stops_writing(self.mine().left(), self.theirs().left())
    }

    /// Pushes, unless the direction has ended. [`after_write`](Self::after_write) is to follow.
    #[inline]
    pub(super) fn write(
        self,
        producer: &mut Producer,
        push: impl FnOnce(&mut Producer) -> usize,
    ) -> Poll<io::Result<usize>> {
        if let Some(error) = self.stops_writing() {
            producer.finish();
            return Poll::Ready(Err(error));
        }
        match push(producer) {
            0 => Poll::Pending,
            n => Poll::Ready(Ok(n)),
        }
    }

    /// What a write leaves to do when nothing is locked.
    #[inline]
    pub(super) fn after_write(self) {
        // Publishing its bytes was the step between.
        self.theirs().reader.wake();
    }

    /// Pulls, unless the direction has ended, which is `None`. [`after_read`](Self::after_read) is to follow.
    #[inline]
    pub(super) fn read<T>(
        self,
        consumer: &mut Consumer,
        pull: impl FnOnce(&mut Consumer) -> Option<Pulled<T>>,
    ) -> Poll<io::Result<Option<Pulled<T>>>> {
        // Seen before the bytes, so that no byte comes after it.
        let theirs = self.theirs().left();
        if let Some(answer) = stops_reading(self.mine().left(), theirs) {
            return Poll::Ready(answer.map(|_| None));
        }
        match pull(consumer) {
            None if without_bytes(theirs).is_pending() => Poll::Pending,
            pulled => Poll::Ready(Ok(pulled)),
        }
    }

    /// What a read leaves to do when no end of the pipe is locked; with what it took comes a buffer that it has used
    /// up, to be dropped where nothing is locked.
    #[inline]
    pub(super) fn after_read<T>(self, pulled: Pulled<T>) -> (T, Option<Bytes>) {
        let Pulled { what, wakes, spent } = pulled;
        if wakes {
            self.theirs().writer.wake();
        }
        (what, spent.map(|spent| *spent))
    }

    /// Whether a read would do anything but block.
    pub(super) fn is_readable(self, consumer: &mut Consumer) -> bool {
        let theirs = self.theirs().left();
        stops_reading(self.mine().left(), theirs).is_some()
            || consumer.has_some()
            || without_bytes(theirs).is_ready()
    }

    /// Whether a write would do anything but block.
    pub(super) fn is_writable(self, producer: &mut Producer) -> bool {
        self.stops_writing().is_some() || producer.has_room()
    }

    /// Leaves `waker` until there is something to read, and gives up memory that would idle.
    #[inline]
    pub(super) fn leave_reader(self, consumer: &mut Consumer, waker: Waker) -> LeftWaker {
        let before = consumer.wait(waker);
        let ready = self.is_readable(consumer);
        if !ready {
            consumer.rest();
        }
        LeftWaker { before, ready }
    }

    /// Leaves `waker` until there is room.
    #[inline]
    pub(super) fn leave_writer(self, producer: &mut Producer, waker: Waker) -> LeftWaker {
        let before = producer.wait(waker);
        LeftWaker { before, ready: self.is_writable(producer) }
    }

    #[inline]
    pub(super) fn settle_reader(self, left: LeftWaker, cx: &Context<'_>) -> Poll<()> {
        if left.before.is_ok() {
            // Reads have not always looked, and leaving a waker was such a step.
            self.theirs().writer.wake();
        }
        left.settle(&self.mine().reader, cx)
    }

    #[inline]
    pub(super) fn settle_writer(self, left: LeftWaker, cx: &Context<'_>) -> Poll<()> {
        left.settle(&self.mine().writer, cx)
    }

    /// Leaves in one more way, and wakes whom that concerns.
    pub(super) fn leave(self, how: Left) {
        self.mine().leave(how);
        if how.has(Left::FINISHED | Left::ABORTED) {
            self.link.meet(self.side);
            self.theirs().reader.wake();
            self.mine().writer.wake();
        }
        if how.has(Left::REFUSED | Left::ABORTED) {
            self.link.meet(self.side.other());
            self.theirs().writer.wake();
            self.mine().reader.wake();
        }
    }

    /// Whether either end has broken the pipe off.
    pub(super) fn is_aborted(self) -> bool {
        self.mine().left().has(Left::ABORTED) || self.theirs().left().has(Left::ABORTED)
    }

    /// Whether no byte waits for the peer, who may be gone.
    pub(super) fn has_delivered(self) -> bool {
        self.is_aborted()
            || self.theirs().left().has(Left::REFUSED)
            || self.link.is_drained(self.side)
    }
}

impl LeftWaker {
    #[inline]
    fn settle(self, waiter: &Waiter, cx: &Context<'_>) -> Poll<()> {
        match (self.before, self.ready) {
            (Ok(_before), true) => {
                waiter.forget();
                Poll::Ready(())
            }
            (Ok(_before), false) => Poll::Pending,
            (Err(Busy), true) => Poll::Ready(()),
            (Err(Busy), false) => {
                cx.waker().wake_by_ref();
                Poll::Pending
            }
        }
    }
}
