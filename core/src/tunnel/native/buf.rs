//! Frames on their way out: how many of one stream are left, and what is let go after the last.

use super::inlet::{Arrivals, Parting};
use bytes::{Buf, Bytes};
use parking_lot::Mutex;
use std::{
    fmt,
    io::IoSlice,
    sync::{
        Arc,
        atomic::{AtomicUsize, Ordering},
    },
};

/// The frames of one stream that were not written to the link yet.
#[derive(Clone)]
pub(super) struct Leaving(Arc<Frames>);

struct Frames {
    left: AtomicUsize,
    /// Kept until the last frame is written: `h2` throws away what a stream still has to send once nobody holds it.
    parting: Mutex<Option<Parting>>,
    arrivals: Arc<Arrivals>,
}

impl Leaving {
    pub(super) fn new(arrivals: &Arc<Arrivals>) -> Self {
        let arrivals = Arc::clone(arrivals);
        Self(Arc::new(Frames { left: AtomicUsize::new(0), parting: Mutex::new(None), arrivals }))
    }

    pub(super) fn is_empty(&self) -> bool {
        self.0.left.load(Ordering::Acquire) == 0
    }

    /// Counts `bytes` as a frame until it is written, or thrown away.
    pub(super) fn count(&self, bytes: Bytes) -> Counted {
        self.0.left.fetch_add(1, Ordering::Relaxed);
        Counted { bytes, leaving: self.clone() }
    }

    /// Keeps `parting` until every frame is written. Nothing may be counted after.
    pub(super) fn keep(&self, parting: Parting) {
        *self.0.parting.lock() = Some(parting);
        if self.is_empty() {
            let parting = self.0.parting.lock().take();
            drop(parting);
        }
    }

    /// A frame is done with. `h2` is in the middle of its work, so what parts is dropped by the link's task.
    fn on_written(&self) {
        if self.0.left.fetch_sub(1, Ordering::AcqRel) == 1
            && let Some(parting) = self.0.parting.lock().take()
        {
            self.0.arrivals.part(parting);
        }
    }
}

impl fmt::Debug for Leaving {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_tuple("Leaving").field(&self.0.left).finish()
    }
}

/// The bytes of a frame, counted until it is dropped.
#[derive(Debug)]
pub(super) struct Counted {
    bytes: Bytes,
    leaving: Leaving,
}

impl Buf for Counted {
    fn remaining(&self) -> usize {
        self.bytes.len()
    }

    fn chunk(&self) -> &[u8] {
        &self.bytes
    }

    fn chunks_vectored<'a>(&'a self, into: &mut [IoSlice<'a>]) -> usize {
        self.bytes.chunks_vectored(into)
    }

    fn advance(&mut self, count: usize) {
        self.bytes.advance(count);
    }
}

impl Drop for Counted {
    fn drop(&mut self) {
        self.leaving.on_written();
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::task::{Context, Waker};

    /// Says when it is dropped.
    struct Parted(Arc<AtomicUsize>);

    impl Drop for Parted {
        fn drop(&mut self) {
            self.0.fetch_add(1, Ordering::Relaxed);
        }
    }

    #[test]
    fn what_parts_is_let_go_by_the_links_task_after_the_last_frame() {
        let (arrivals, gone) = (Arc::new(Arrivals::default()), Arc::new(AtomicUsize::new(0)));
        let leaving = Leaving::new(&arrivals);
        let frames = [leaving.count(Bytes::from_static(b"x")), leaving.count(Bytes::new())];
        leaving.keep(Box::new(Parted(Arc::clone(&gone))));
        let [first, last] = frames;
        drop(first);
        assert!(!leaving.is_empty());
        drop(last);
        assert!(leaving.is_empty());
        assert_eq!(
            gone.load(Ordering::Relaxed),
            0,
            "not under the lock that frames are dropped under"
        );
        arrivals.settle(&Context::from_waker(Waker::noop()));
        assert_eq!(gone.load(Ordering::Relaxed), 1);
    }

    #[test]
    fn what_parts_with_nothing_left_to_write_is_let_go_at_once() {
        let (arrivals, gone) = (Arc::new(Arrivals::default()), Arc::new(AtomicUsize::new(0)));
        Leaving::new(&arrivals).keep(Box::new(Parted(Arc::clone(&gone))));
        assert_eq!(gone.load(Ordering::Relaxed), 1);
    }
}
