//! Waiting for one direction of a stream: by the runtime, or by a queue that watches the socket itself.

use super::{
    stream::{Inner, Way},
    waiters::WaiterKey,
};
use crate::completion::CompletionQueue;
#[cfg(target_os = "linux")]
use crate::completion::{Side, Sockets, WatchKey};
use std::{
    future::Future,
    pin::Pin,
    sync::Arc,
    task::{Context, Poll},
};

/// Waits for one direction of a [`Stream`](super::Stream); made by [`Stream::readable`](super::Stream::readable),
/// [`Stream::writable`](super::Stream::writable) and their siblings.
///
/// It does not keep the stream open: closing the stream ends the wait.
#[derive(Debug)]
#[must_use = "futures do nothing unless polled"]
pub struct StreamReady {
    inner: Arc<Inner>,
    way: Way,
    key: Option<WaiterKey>,
    #[cfg(target_os = "linux")]
    watching: Option<Watching>,
}

impl StreamReady {
    pub(super) fn new(inner: Arc<Inner>, way: Way) -> Self {
        Self {
            inner,
            way,
            key: None,
            #[cfg(target_os = "linux")]
            watching: None,
        }
    }

    /// Whether this side has closed the stream.
    pub fn is_closed(&self) -> bool {
        self.inner.transport.read().is_none()
    }
}

#[cfg(target_os = "linux")]
pub(super) use linux::Watching;

#[cfg(target_os = "linux")]
mod linux {
    use super::*;
    use std::{
        os::fd::BorrowedFd,
        sync::{Weak, atomic::Ordering},
        task::Waker,
    };

    /// The queue that watches, which is not kept alive, and the place in it.
    #[derive(Debug)]
    pub(in super::super) struct Watching {
        sockets: Weak<Sockets>,
        key: Option<WatchKey>,
    }

    impl Watching {
        /// Whether the queue watches now; if so, `waker` is taken.
        fn begin(
            &mut self,
            number: u64,
            socket: BorrowedFd<'_>,
            side: Side,
            waker: &mut Option<Waker>,
        ) -> bool {
            let (Some(sockets), Some(taken)) = (self.sockets.upgrade(), waker.take()) else {
                return false;
            };
            match sockets.watch(number, socket, side, taken) {
                Ok(key) => self.key = Some(key),
                Err((_, taken)) => *waker = Some(taken),
            }
            self.key.is_some()
        }

        fn end(&mut self, number: u64) {
            if let Some(key) = self.key.take()
                && let Some(sockets) = self.sockets.upgrade()
            {
                sockets.unwatch(number, key);
            }
        }
    }

    impl StreamReady {
        pub(in super::super) fn watched_by<E: Send>(mut self, queue: &CompletionQueue<E>) -> Self {
            let sockets = Arc::downgrade(queue.sockets());
            self.watching = Some(Watching { sockets, key: None });
            self
        }

        pub(super) fn poll_once(&mut self, cx: &Context<'_>) -> Poll<()> {
            let Self { inner, way, key, watching } = self;
            let (inner, way) = (&**inner, *way);
            let Some(watching) = watching else { return inner.poll_ready(way, key, cx) };
            let side = match way {
                Way::In => Side::Readable,
                Way::Out => Side::Writable,
            };
            // A waker may run any code when it is cloned or dropped: both are done outside of the locks.
            let number = inner.context.id.get();
            watching.end(number);
            let mut waker = Some(cx.waker().clone());
            // Whoever closes the stream wakes those in line, here as well.
            inner.waiters(way).poll(key, cx, |common| {
                let transport = inner.transport.read();
                let Some(transport) = transport.as_deref() else { return Poll::Ready(()) };
                if let Some(socket) = transport.socket() {
                    inner.is_watched.store(true, Ordering::Release);
                    if watching.begin(number, socket, side, &mut waker) {
                        return Poll::Pending;
                    }
                }
                inner.poll_transport(transport, way, common)
            })
        }

        pub(super) fn leave(&mut self) {
            self.inner.waiters(self.way).leave(&mut self.key);
            if let Some(watching) = &mut self.watching {
                watching.end(self.inner.context.id.get());
            }
        }
    }
}

#[cfg(not(target_os = "linux"))]
impl StreamReady {
    pub(super) fn watched_by<E: Send>(self, _: &CompletionQueue<E>) -> Self {
        self
    }

    fn poll_once(&mut self, cx: &Context<'_>) -> Poll<()> {
        self.inner.poll_ready(self.way, &mut self.key, cx)
    }

    fn leave(&mut self) {
        self.inner.waiters(self.way).leave(&mut self.key);
    }
}

impl Future for StreamReady {
    type Output = ();

    fn poll(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<()> {
        self.get_mut().poll_once(cx)
    }
}

impl Drop for StreamReady {
    fn drop(&mut self) {
        self.leave();
    }
}

#[cfg(all(test, target_os = "linux", not(trunkline_loom)))]
#[allow(clippy::unwrap_used, reason = "a test stops at the first surprise")]
mod tests {
    use super::*;
    use crate::{
        completion::WaitError,
        transport::{Network, Stream},
    };
    use std::{
        io::IoSlice,
        sync::atomic::{AtomicU32, Ordering},
        task::{Wake, Waker},
        thread,
    };
    use tokio::runtime::{Builder, Runtime};

    /// Wakes whoever waits on the queue.
    struct Rouse(CompletionQueue<()>);

    impl Wake for Rouse {
        fn wake(self: Arc<Self>) {
            self.0.wake();
        }
    }

    /// A runtime that stands still unless it is told to run, and two ends of a socket that belong to it.
    fn ends(address: &str) -> (Runtime, Stream, Stream) {
        let runtime = Builder::new_current_thread().enable_all().build().unwrap();
        let network = Network::new(runtime.handle().clone());
        let (near, far) = runtime.block_on(async {
            let listener = network.listen(&address.parse().unwrap()).await.unwrap();
            let near = network.connect(listener.address(), None).await.unwrap();
            (near, listener.accept().await.unwrap())
        });
        (runtime, near, far)
    }

    /// Of TCP and of a Unix socket that no other test has.
    fn addresses() -> [String; 2] {
        static LAST: AtomicU32 = AtomicU32::new(0);
        let (process, last) = (std::process::id(), LAST.fetch_add(1, Ordering::Relaxed));
        ["tcp://127.0.0.1:0".to_owned(), format!("unix:@trunkline-ready-{process}-{last}")]
    }

    /// Reads by waiting on a queue alone.
    fn read_on(queue: &CompletionQueue<()>, stream: &Stream) -> Vec<u8> {
        let waker = Waker::from(Arc::new(Rouse(queue.clone())));
        let mut buf = [0; 64];
        loop {
            let mut ready = stream.readable_on(queue);
            if Pin::new(&mut ready).poll(&mut Context::from_waker(&waker)).is_pending() {
                assert!(matches!(queue.wait(0, None, &mut Vec::new()), Err(WaitError::Woken)));
            }
            if let Poll::Ready(n) = stream.try_read(&mut buf) {
                return buf[..n.unwrap()].to_vec();
            }
        }
    }

    fn write(stream: &Stream, text: &[u8]) {
        let Poll::Ready(Ok(n)) = stream.try_write(&[IoSlice::new(text)]) else {
            panic!("a few bytes fit")
        };
        assert_eq!(n, text.len());
    }

    #[test]
    fn a_socket_that_a_queue_watches_needs_no_thread_of_the_runtime() {
        for address in addresses() {
            let (_still, near, far) = ends(&address);
            let queue = CompletionQueue::new(0).unwrap();
            for text in [b"one".as_slice(), b"two", b"three"] {
                write(&near, text);
                assert_eq!(read_on(&queue, &far), text);
                write(&far, text);
                assert_eq!(read_on(&queue, &near), text);
            }
            drop(near);
            assert!(read_on(&queue, &far).is_empty(), "the end");
        }
    }

    #[test]
    fn who_waits_on_a_queue_is_woken_by_bytes_and_by_a_close() {
        for address in addresses() {
            let (_still, near, far) = ends(&address);
            let queue = CompletionQueue::<()>::new(0).unwrap();
            let waker = Waker::from(Arc::new(Rouse(queue.clone())));
            thread::scope(|threads| {
                let reader = threads.spawn(|| read_on(&queue, &far));
                write(&near, b"late");
                assert_eq!(reader.join().unwrap(), b"late");
                let mut ready = far.readable_on(&queue);
                let mut cx = Context::from_waker(&waker);
                assert!(Pin::new(&mut ready).poll(&mut cx).is_pending());
                threads.spawn(|| far.close());
                assert!(matches!(queue.wait(0, None, &mut Vec::new()), Err(WaitError::Woken)));
                assert!(ready.is_closed());
            });
        }
    }

    #[test]
    fn a_stream_that_was_watched_is_still_one_that_tasks_wait_for() {
        for address in addresses() {
            let (runtime, near, far) = ends(&address);
            let queue = CompletionQueue::new(0).unwrap();
            write(&near, b"x");
            assert_eq!(read_on(&queue, &far), b"x");
            runtime.block_on(async {
                // The runtime hears of that byte only now, and must not call it readiness.
                tokio::task::yield_now().await;
                let mut cx = Context::from_waker(Waker::noop());
                let mut ready = far.readable();
                assert!(Pin::new(&mut ready).poll(&mut cx).is_pending());
                let mut buf = [0; 8];
                let (read, written) = tokio::join!(far.read(&mut buf), near.write_all(b"task"));
                assert_eq!((read.unwrap(), written.is_ok()), (4, true));
                assert_eq!(&buf[..4], b"task");
            });
        }
    }

    #[test]
    fn a_queue_that_is_gone_leaves_the_wait_to_the_runtime() {
        let (runtime, near, far) = ends(&addresses()[0]);
        let ready = far.readable_on(&CompletionQueue::<()>::new(0).unwrap());
        runtime.block_on(async {
            near.write_all(b"x").await.unwrap();
            ready.await;
            assert_eq!(far.read(&mut [0; 8]).await.unwrap(), 1);
        });
    }
}
