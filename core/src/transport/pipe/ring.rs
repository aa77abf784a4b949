//! The bytes of one direction of a pipe: a ring that grows with its content, up to a fixed capacity.

use std::{fmt, io::IoSlice};

/// What the first byte allocates, where the capacity is not smaller still.
const FIRST_SIZE: usize = 4096;

/// First in, first out. Allocates nothing until the first byte, then doubles up to the capacity.
pub(super) struct Ring {
    storage: Box<[u8]>,
    /// Place of the oldest byte; below `storage.len()` unless that is 0.
    head: usize,
    len: usize,
    capacity: usize,
}

impl Ring {
    pub(super) fn new(capacity: usize) -> Self {
        Self { storage: Box::default(), head: 0, len: 0, capacity }
    }

    pub(super) fn len(&self) -> usize {
        self.len
    }

    pub(super) fn is_empty(&self) -> bool {
        self.len == 0
    }

    pub(super) fn is_full(&self) -> bool {
        self.len == self.capacity
    }

    /// Appends what fits of `from`, in order, and says how much that was.
    pub(super) fn push_all(&mut self, from: &[IoSlice<'_>]) -> usize {
        let total = from.iter().fold(0, |sum: usize, part| sum.saturating_add(part.len()));
        let room = self.capacity - self.len;
        self.grow(self.len + total.min(room));
        from.iter().map(|part| self.push(part)).sum()
    }

    fn push(&mut self, from: &[u8]) -> usize {
        let n = from.len().min(self.storage.len() - self.len);
        if n == 0 {
            return 0;
        }
        let tail = self.wrap(self.head + self.len);
        let first = n.min(self.storage.len() - tail);
        self.storage[tail..tail + first].copy_from_slice(&from[..first]);
        self.storage[..n - first].copy_from_slice(&from[first..n]);
        self.len += n;
        n
    }

    /// Takes the oldest bytes, as many as `into` holds, and says how many that were.
    pub(super) fn pull(&mut self, into: &mut [u8]) -> usize {
        let n = into.len().min(self.len);
        let first = n.min(self.storage.len() - self.head);
        into[..first].copy_from_slice(&self.storage[self.head..self.head + first]);
        into[first..n].copy_from_slice(&self.storage[..n - first]);
        self.len -= n;
        // An empty ring starts over, so that the next write is one copy and warm in the cache.
        self.head = if self.len == 0 { 0 } else { self.wrap(self.head + n) };
        n
    }

    fn wrap(&self, place: usize) -> usize {
        if place < self.storage.len() { place } else { place - self.storage.len() }
    }

    /// Makes the storage hold `needed` bytes, which the capacity allows.
    fn grow(&mut self, needed: usize) {
        if needed <= self.storage.len() {
            return;
        }
        let size = needed.next_power_of_two().max(FIRST_SIZE).min(self.capacity);
        let mut storage = vec![0; size].into_boxed_slice();
        let kept = self.pull(&mut storage);
        (self.storage, self.head, self.len) = (storage, 0, kept);
    }
}

/// Says how much there is, never what: payload has no business in a log.
impl fmt::Debug for Ring {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Ring")
            .field("len", &self.len)
            .field("allocated", &self.storage.len())
            .field("capacity", &self.capacity)
            .finish_non_exhaustive()
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;
    use std::collections::VecDeque;

    fn push(ring: &mut Ring, bytes: &[u8]) -> usize {
        ring.push_all(&[IoSlice::new(bytes)])
    }

    #[test]
    fn nothing_is_allocated_before_the_first_byte() {
        let mut ring = Ring::new(65536);
        assert_eq!(ring.storage.len(), 0);
        assert_eq!(ring.pull(&mut [0; 4]), 0);
        push(&mut ring, b"x");
        assert_eq!(ring.storage.len(), FIRST_SIZE);
    }

    #[test]
    fn storage_doubles_with_the_content_and_stops_at_the_capacity() {
        let mut ring = Ring::new(10_000);
        let mut sizes = Vec::new();
        while !ring.is_full() {
            push(&mut ring, &[1; 1000]);
            sizes.push(ring.storage.len());
        }
        sizes.dedup();
        assert_eq!(sizes, [4096, 8192, 10_000]);
        assert_eq!(push(&mut ring, b"more"), 0);
    }

    #[test]
    fn parts_are_appended_in_order_until_it_is_full() {
        let mut ring = Ring::new(5);
        let parts = [&b"ab"[..], b"", b"cd", b"ef"].map(IoSlice::new);
        assert_eq!(ring.push_all(&parts), 5);
        let mut out = [0; 8];
        assert_eq!(ring.pull(&mut out), 5);
        assert_eq!(&out[..5], b"abcde");
    }

    proptest! {
        #[test]
        fn it_behaves_like_a_deque_with_a_limit(
            capacity in prop_oneof![1usize..20, 4000usize..9000],
            steps in proptest::collection::vec((any::<bool>(), 0usize..6000), 1..60),
        ) {
            let mut ring = Ring::new(capacity);
            let mut model = VecDeque::new();
            let mut next = 0u8;
            for (pushes, size) in steps {
                if pushes {
                    let bytes: Vec<u8> = (0..size).map(|i| next.wrapping_add(i as u8)).collect();
                    let n = push(&mut ring, &bytes);
                    prop_assert_eq!(n, size.min(capacity - model.len()));
                    model.extend(&bytes[..n]);
                    next = next.wrapping_add(n as u8);
                } else {
                    let mut out = vec![0; size];
                    let n = ring.pull(&mut out);
                    prop_assert_eq!(n, size.min(model.len()));
                    prop_assert_eq!(&out[..n], model.drain(..n).collect::<Vec<u8>>());
                }
                prop_assert_eq!((ring.len(), ring.is_full()), (model.len(), model.len() == capacity));
                prop_assert!(ring.storage.len() <= capacity);
            }
        }
    }
}
