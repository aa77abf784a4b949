//! Decides when a direction carries so much that a pipe of the kernel's pays for it.

use crate::volume::ByteLimit;

/// Bytes to carry by copying before a pipe is asked for again, where there was none.
const NEXT_TRY: u64 = 1 << 20;

/// What a direction has carried since it was silent last.
#[derive(Debug)]
pub(super) struct Bulk {
    carried: u64,
    /// Above this much carried, a pipe is due.
    due: Option<u64>,
    after: ByteLimit,
}

impl Bulk {
    pub(super) fn new(after: ByteLimit) -> Self {
        Self { carried: 0, due: after.bytes(), after }
    }

    pub(super) fn is_due(&self) -> bool {
        self.due.is_some_and(|due| self.carried > due)
    }

    pub(super) fn on_carried(&mut self, bytes: usize) {
        self.carried = self.carried.saturating_add(bytes as u64);
    }

    /// There was no pipe: it is asked again after another volume.
    pub(super) fn on_denied(&mut self) {
        let more = self.after.bytes().unwrap_or(0).max(NEXT_TRY);
        self.due = self.due.map(|_| self.carried.saturating_add(more));
    }

    /// The sockets cannot be spliced after all.
    pub(super) fn on_refused(&mut self) {
        (self.due, self.after) = (None, ByteLimit::Never);
    }

    pub(super) fn on_silence(&mut self) {
        *self = Self::new(self.after);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_pipe_is_due_above_the_volume_that_was_carried_without_a_silence() {
        let mut bulk = Bulk::new(ByteLimit::After(1000));
        bulk.on_carried(1000);
        assert!(!bulk.is_due());
        bulk.on_silence();
        bulk.on_carried(1000);
        assert!(!bulk.is_due());
        bulk.on_carried(1);
        assert!(bulk.is_due());
    }

    #[test]
    fn zero_is_due_with_the_first_byte_and_never_is_never() {
        for (after, is_due) in [(ByteLimit::After(0), true), (ByteLimit::Never, false)] {
            let mut bulk = Bulk::new(after);
            assert!(!bulk.is_due(), "nothing was carried");
            bulk.on_carried(usize::MAX);
            assert_eq!(bulk.is_due(), is_due);
        }
    }

    #[test]
    fn without_a_pipe_it_is_tried_again_after_another_volume_and_after_a_refusal_never() {
        let mut bulk = Bulk::new(ByteLimit::After(0));
        bulk.on_carried(1);
        bulk.on_denied();
        bulk.on_carried(NEXT_TRY as usize);
        assert!(!bulk.is_due());
        bulk.on_carried(1);
        assert!(bulk.is_due());
        bulk.on_refused();
        bulk.on_denied();
        bulk.on_silence();
        bulk.on_carried(1 << 30);
        assert!(!bulk.is_due());
    }
}
