//! What a relay holds of one direction: bounded, no memory without content, grown by bulk.

use super::spare;
use std::task::Poll;

/// Bytes between a read and the write that follows. It has memory only while it has content, and shares that with the
/// other relays of its thread.
#[derive(Debug)]
pub(super) struct Buffer {
    memory: Vec<u8>,
    /// The content is `memory[start..end]`.
    start: usize,
    end: usize,
    /// Bytes to take next.
    size: usize,
    limit: usize,
}

/// The size that a buffer starts with: enough for small messages, little for many connections.
const FIRST: usize = 4 << 10;

impl Buffer {
    /// A buffer that holds at most `limit` bytes.
    pub(super) fn new(limit: usize) -> Self {
        let limit = limit.max(1);
        Self { memory: Vec::new(), start: 0, end: 0, size: FIRST.min(limit), limit }
    }

    /// Puts `content` in, which was read before; it may be more than the limit.
    pub(super) fn preload(&mut self, content: Vec<u8>) {
        (self.start, self.end) = (0, content.len());
        self.memory = content;
    }

    pub(super) fn is_empty(&self) -> bool {
        self.start == self.end
    }

    pub(super) fn has_room(&self) -> bool {
        self.is_empty() || self.end < self.memory.len()
    }

    /// Has `read` put bytes into the room, at most `most`, which there must be.
    pub(super) fn fill<E>(
        &mut self,
        most: usize,
        read: impl FnOnce(&mut [u8]) -> Poll<Result<usize, E>>,
    ) -> Poll<Result<usize, E>> {
        if self.memory.is_empty() {
            self.memory = spare::take(self.size);
        }
        let room = &mut self.memory[self.end..];
        let length = room.len().min(most);
        let answer = read(&mut room[..length]);
        if let Poll::Ready(Ok(n)) = answer {
            self.filled(n);
        }
        self.settle();
        answer
    }

    /// A read that filled a whole buffer makes the next one larger.
    fn filled(&mut self, n: usize) {
        self.end += n;
        if self.start == 0 && self.end == self.memory.len() {
            self.size = (self.size * 2).min(self.limit);
        }
    }

    pub(super) fn content(&self) -> &[u8] {
        &self.memory[self.start..self.end]
    }

    /// A write took the first `n` bytes of the content.
    pub(super) fn consumed(&mut self, n: usize) {
        self.start += n;
        self.settle();
    }

    pub(super) fn discard(&mut self) {
        self.start = self.end;
        self.settle();
    }

    /// The next memory is small again.
    pub(super) fn start_small(&mut self) {
        self.size = FIRST.min(self.limit);
    }

    /// Passes the memory of an empty buffer on.
    fn settle(&mut self) {
        if self.is_empty() && !self.memory.is_empty() {
            (self.start, self.end) = (0, 0);
            spare::give_back(std::mem::take(&mut self.memory));
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    /// Fills the buffer as far as `wanted` goes; the room that there was.
    fn fill(buffer: &mut Buffer, wanted: usize, byte: impl FnMut() -> u8) -> usize {
        let mut seen = 0;
        let answer = buffer.fill::<()>(usize::MAX, |room| {
            seen = room.len();
            let n = wanted.min(room.len());
            room[..n].fill_with(byte);
            Poll::Ready(Ok(n))
        });
        assert_eq!(answer, Poll::Ready(Ok(wanted.min(seen))));
        seen
    }

    #[test]
    fn a_buffer_has_memory_only_while_it_has_content() {
        let mut buffer = Buffer::new(64 << 10);
        assert_eq!(
            buffer.fill::<()>(9, |room| {
                assert_eq!(room.len(), 9);
                Poll::Pending
            }),
            Poll::Pending
        );
        assert_eq!(buffer.memory.capacity(), 0, "nothing was there to read");
        fill(&mut buffer, 2, || 7);
        buffer.consumed(1);
        assert_eq!((buffer.content(), buffer.memory.len()), (&[7][..], FIRST));
        buffer.consumed(1);
        assert_eq!(buffer.memory.capacity(), 0);
        fill(&mut buffer, 2, || 8);
        buffer.discard();
        assert_eq!(buffer.memory.capacity(), 0);
        assert_eq!(fill(&mut buffer, 0, || 9), FIRST);
        assert_eq!(buffer.memory.capacity(), 0, "the end of what there is to read");
    }

    #[test]
    fn bulk_grows_a_buffer_up_to_its_limit_and_small_messages_do_not() {
        let mut buffer = Buffer::new(10_000);
        for expected in [4096, 8192, 10_000, 10_000] {
            assert_eq!(fill(&mut buffer, usize::MAX, || 0), expected);
            assert!(!buffer.has_room());
            buffer.consumed(expected);
        }
        buffer.start_small();
        let mut small = Buffer::new(64 << 10);
        for buffer in [&mut buffer, &mut small] {
            for _ in 0..100 {
                assert_eq!(fill(buffer, 100, || 0), FIRST);
                buffer.consumed(100);
            }
        }
    }

    proptest! {
        #[test]
        fn bytes_come_out_in_order_and_never_more_than_the_limit_is_held(
            limit in 1usize..9000,
            steps in proptest::collection::vec((any::<bool>(), 0usize..5000), 0..80),
        ) {
            let mut buffer = Buffer::new(limit);
            let (mut written, mut read) = (0u32, 0u32);
            for (is_read, wanted) in steps {
                if is_read && buffer.has_room() {
                    let before = buffer.content().len();
                    let room = fill(&mut buffer, wanted, || {
                        read += 1;
                        (read - 1) as u8
                    });
                    prop_assert!(room > 0);
                    prop_assert_eq!(buffer.content().len(), before + wanted.min(room));
                } else {
                    let n = wanted.min(buffer.content().len());
                    for byte in &buffer.content()[..n] {
                        prop_assert_eq!(*byte, written as u8);
                        written += 1;
                    }
                    buffer.consumed(n);
                    if wanted % 3 == 0 {
                        buffer.start_small();
                    }
                }
                prop_assert_eq!(buffer.content().len(), (read - written) as usize);
                prop_assert!(buffer.content().len() <= limit && buffer.memory.len() <= limit);
            }
        }
    }
}
