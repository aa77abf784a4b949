//! What a relay holds of one direction: bounded, allocated with the first byte, grown by bulk.

/// Bytes between a read and the write that follows. Without content and [released](Self::release) it
/// holds no memory.
#[derive(Debug)]
pub(super) struct Buffer {
    memory: Vec<u8>,
    /// The content is `memory[start..end]`.
    start: usize,
    end: usize,
    /// Bytes to allocate next.
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

    /// Where the next read goes; empty only without [room](Self::has_room).
    pub(super) fn room(&mut self) -> &mut [u8] {
        if self.is_empty() {
            (self.start, self.end) = (0, 0);
            if self.memory.len() < self.size {
                self.memory = vec![0; self.size];
            }
        }
        &mut self.memory[self.end..]
    }

    /// A read put `n` bytes into the room. One that filled a whole buffer makes the next one larger.
    pub(super) fn filled(&mut self, n: usize) {
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
    }

    pub(super) fn discard(&mut self) {
        self.start = self.end;
    }

    /// Whether [`release`](Self::release) has something to give back.
    pub(super) fn is_spare(&self) -> bool {
        self.is_empty() && !self.memory.is_empty()
    }

    /// Gives the memory of an empty buffer back, and starts small again.
    pub(super) fn release(&mut self) {
        if self.is_spare() {
            *self = Self::new(self.limit);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    #[test]
    fn a_buffer_costs_nothing_before_its_first_byte_and_after_its_release() {
        let mut buffer = Buffer::new(64 << 10);
        assert_eq!(buffer.memory.capacity(), 0);
        assert_eq!(buffer.room().len(), FIRST);
        assert!(buffer.is_spare());
        buffer.release();
        assert_eq!(buffer.memory.capacity(), 0);
    }

    #[test]
    fn bulk_grows_a_buffer_up_to_its_limit_and_small_messages_do_not() {
        let mut buffer = Buffer::new(10_000);
        for expected in [4096, 8192, 10_000, 10_000] {
            let room = buffer.room().len();
            assert_eq!(room, expected);
            buffer.filled(room);
            assert!(!buffer.has_room());
            buffer.consumed(room);
        }
        let mut small = Buffer::new(64 << 10);
        for _ in 0..100 {
            let _ = small.room();
            small.filled(100);
            small.consumed(100);
        }
        assert_eq!(small.room().len(), FIRST);
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
                    let room = buffer.room();
                    prop_assert!(!room.is_empty());
                    let n = wanted.min(room.len());
                    for byte in &mut room[..n] {
                        *byte = read as u8;
                        read += 1;
                    }
                    buffer.filled(n);
                } else {
                    let n = wanted.min(buffer.content().len());
                    for byte in &buffer.content()[..n] {
                        prop_assert_eq!(*byte, written as u8);
                        written += 1;
                    }
                    buffer.consumed(n);
                    if wanted % 3 == 0 {
                        buffer.release();
                    }
                }
                prop_assert_eq!(buffer.content().len(), (read - written) as usize);
                prop_assert!(buffer.content().len() <= limit && buffer.memory.len() <= limit);
            }
        }
    }
}
