//! The pipe: every byte once and in order, nobody waits for ever, and memory is given up under nobody's feet.

use super::{
    link::{Link, Side},
    ring::{Consumer, Producer, connected},
    state::Left,
    view::{LeftWaker, View},
    waiter::Waiter,
};
use crate::check;
use bytes::Bytes;
use loom::{
    future::block_on,
    sync::{Arc, atomic::AtomicUsize},
    thread,
};
use std::{
    future::poll_fn,
    io::{ErrorKind, IoSlice},
    sync::atomic::Ordering::Relaxed,
    task::{Poll, Waker},
};

/// The end that writes a direction.
struct Writer {
    link: Arc<Link>,
    producer: Producer,
}

/// The end that reads it.
struct Reader {
    link: Arc<Link>,
    consumer: Consumer,
}

fn direction(capacity: u32) -> (Writer, Reader) {
    let (link, [(producer, _), (_, consumer)]) = connected(capacity);
    (Writer { link: link.clone(), producer }, Reader { link, consumer })
}

impl Writer {
    fn view(&self) -> View<'_> {
        View::new(&self.link, Side::A)
    }

    /// Writes with `push` until it has taken `n` bytes, as an end does.
    async fn write(
        &mut self,
        n: usize,
        mut push: impl FnMut(&mut Producer, usize) -> usize,
    ) -> Result<(), ErrorKind> {
        let mut done = 0;
        while done < n {
            let view = View::new(&self.link, Side::A);
            done += poll_fn(|cx| {
                loop {
                    let producer = &mut self.producer;
                    if let Poll::Ready(pushed) =
                        view.write(producer, |producer| push(producer, done))
                    {
                        return Poll::Ready(pushed.inspect(|_| view.after_write()));
                    }
                    let left = view.leave_writer(producer, cx.waker().clone());
                    let_go_on(&left);
                    if view.settle_writer(left, cx).is_pending() {
                        return Poll::Pending;
                    }
                }
            })
            .await
            .map_err(|error| error.kind())?;
        }
        Ok(())
    }

    async fn write_all(&mut self, bytes: &[u8]) -> Result<(), ErrorKind> {
        let push =
            |producer: &mut Producer, done: usize| producer.push(&[IoSlice::new(&bytes[done..])]);
        self.write(bytes.len(), push).await
    }

    async fn send_all(&mut self, bytes: &'static [u8]) -> Result<(), ErrorKind> {
        let mut buf = Bytes::from_static(bytes);
        self.write(bytes.len(), |producer, _| producer.push_owned(&mut buf)).await
    }

    fn leave(&self, how: Left) {
        self.view().leave(how);
    }
}

impl Reader {
    /// Reads once, at most `max` bytes, as an end does; nothing is the end.
    async fn read(&mut self, max: usize) -> Result<Vec<u8>, ErrorKind> {
        let view = View::new(&self.link, Side::B);
        let mut into = vec![0; max];
        let n = poll_fn(|cx| {
            loop {
                let consumer = &mut self.consumer;
                if let Poll::Ready(pulled) =
                    view.read(consumer, |consumer| consumer.pull(&mut into))
                {
                    let n =
                        pulled.map(|pulled| pulled.map_or(0, |pulled| view.after_read(pulled).0));
                    return Poll::Ready(n);
                }
                let left = view.leave_reader(consumer, cx.waker().clone());
                let_go_on(&left);
                if view.settle_reader(left, cx).is_pending() {
                    return Poll::Pending;
                }
            }
        })
        .await
        .map_err(|error| error.kind())?;
        into.truncate(n);
        Ok(into)
    }

    async fn read_to_end(&mut self, max: usize) -> Result<Vec<u8>, ErrorKind> {
        let mut all = Vec::new();
        loop {
            match self.read(max).await? {
                some if some.is_empty() => return Ok(all),
                some => all.extend(some),
            }
        }
    }

    fn leave(&self, how: Left) {
        View::new(&self.link, Side::B).leave(how);
    }
}

/// Who finds another in the cell of a waker comes back until it is out, which loom takes for a spin without end:
/// it is to look no further into what may happen in this run.
fn let_go_on(left: &LeftWaker) {
    if left.before.is_err() {
        loom::skip_branch();
        thread::yield_now();
    }
}

#[test]
fn bytes_arrive_in_order_and_then_the_end() {
    check(2, || {
        let (mut writer, mut reader) = direction(2);
        let writing = thread::spawn(move || {
            block_on(writer.write_all(b"abc")).unwrap();
            writer.leave(Left::FINISHED);
        });
        assert_eq!(block_on(reader.read_to_end(4)).unwrap(), b"abc");
        writing.join().unwrap();
    });
}

#[test]
fn memory_is_given_up_only_while_the_writer_is_out_of_it() {
    check(2, || {
        let (mut writer, mut reader) = direction(4);
        let writing = thread::spawn(move || {
            // Two bytes make a segment that is worth giving up.
            block_on(writer.write_all(b"ab")).unwrap();
            block_on(writer.write_all(b"cd")).unwrap();
            writer.leave(Left::FINISHED);
        });
        assert_eq!(block_on(reader.read_to_end(2)).unwrap(), b"abcd");
        writing.join().unwrap();
    });
}

#[test]
fn a_handed_buffer_keeps_its_place_among_copied_bytes() {
    check(2, || {
        let (mut writer, mut reader) = direction(4);
        let writing = thread::spawn(move || {
            block_on(writer.write_all(b"a")).unwrap();
            block_on(writer.send_all(b"bcd")).unwrap();
            writer.leave(Left::FINISHED);
        });
        assert_eq!(block_on(reader.read_to_end(3)).unwrap(), b"abcd");
        writing.join().unwrap();
    });
}

#[test]
fn a_writer_that_waits_is_woken_when_more_than_half_was_read_and_nothing_after() {
    check(3, || {
        let (mut writer, mut reader) = direction(4);
        let writing = thread::spawn(move || block_on(writer.write_all(b"abcde")).unwrap());
        let mut read = 0;
        while read < 3 {
            read += block_on(reader.read(1)).unwrap().len();
        }
        // From here on the reader is busy with something else.
        writing.join().unwrap();
    });
}

#[test]
fn whoever_waits_is_told_when_the_other_end_leaves() {
    for how in [Left::FINISHED | Left::REFUSED, Left::ABORTED] {
        check(3, move || {
            let (writer, mut reader) = direction(1);
            let leaving = thread::spawn(move || writer.leave(how));
            let seen =
                if how == Left::ABORTED { Err(ErrorKind::ConnectionReset) } else { Ok(vec![]) };
            assert_eq!(block_on(reader.read(1)), seen);
            leaving.join().unwrap();
        });
        check(3, move || {
            let (mut writer, reader) = direction(1);
            let leaving = thread::spawn(move || reader.leave(how));
            let seen = if how == Left::ABORTED {
                ErrorKind::ConnectionReset
            } else {
                ErrorKind::BrokenPipe
            };
            assert_eq!(block_on(writer.write_all(b"ab")), Err(seen));
            leaving.join().unwrap();
        });
    }
}

#[test]
fn a_change_before_a_wake_is_never_slept_through() {
    check(2, || {
        let shared = Arc::new((Link::new(), AtomicUsize::new(0)));
        // Two threads change something and wake, as many as may do so.
        let wakers = [(); 2].map(|()| {
            let shared = shared.clone();
            thread::spawn(move || {
                shared.1.fetch_add(1, Relaxed);
                shared.0.meet(Side::A);
                shared.0.door(Side::B).reader.wake();
            })
        });
        block_on(poll_fn(|cx| {
            // SAFETY: this thread alone leaves wakers.
            let left = unsafe { shared.0.door(Side::B).reader.leave(cx.waker().clone()) };
            shared.0.meet(Side::A);
            if shared.1.load(Relaxed) == 2 {
                return Poll::Ready(());
            }
            if left.is_err() {
                loom::skip_branch();
                cx.waker().wake_by_ref();
                thread::yield_now();
            }
            Poll::Pending
        }));
        for waker in wakers {
            waker.join().unwrap();
        }
    });
}

#[test]
fn a_waker_taken_back_while_it_is_woken_is_in_one_hand() {
    check(3, || {
        let waiter = Arc::new(Waiter::new());
        let waking = thread::spawn({
            let waiter = waiter.clone();
            move || waiter.wake()
        });
        for _ in 0..2 {
            // SAFETY: this thread alone leaves wakers.
            drop(unsafe { waiter.leave(Waker::noop().clone()) });
            waiter.forget();
        }
        waking.join().unwrap();
    });
}
