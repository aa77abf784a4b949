//! What the two ends of a pipe share, each part on the cache line of who writes it.

use super::{ring::Part, state::Left, waiter::Waiter};
use crate::sync::{AtomicU8, AtomicU64, Mutex, Ordering};
use std::collections::VecDeque;

/// The lines of both ends, those between which bytes fly farthest apart.
#[repr(C)]
pub(super) struct Link {
    a: Line,
    a_door: Door,
    b_door: Door,
    b: Line,
}

/// How far one end has come: written by it with each batch, and only read by the other.
#[repr(align(64))]
pub(super) struct Line {
    /// Position after the last byte that this end has written.
    pub(super) tail: AtomicU64,
    /// Position after the last byte that this end has read.
    pub(super) head: AtomicU64,
    /// Parts that this end has begun to write and the other has not come to. Locked once per part.
    pub(super) parts: Mutex<VecDeque<Part>>,
}

/// How one end has left, and who waits there; seldom written.
#[repr(align(64))]
pub(super) struct Door {
    left: AtomicU8,
    /// Waits until there is something to read.
    pub(super) reader: Waiter,
    /// Waits until there is room.
    pub(super) writer: Waiter,
}

/// One of the two ends.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Side {
    A,
    B,
}

impl Side {
    #[inline]
    pub(super) fn other(self) -> Self {
        match self {
            Self::A => Self::B,
            Self::B => Self::A,
        }
    }
}

impl Link {
    pub(super) fn new() -> Self {
        Self { a: Line::new(), a_door: Door::new(), b_door: Door::new(), b: Line::new() }
    }

    #[inline]
    pub(super) fn line(&self, side: Side) -> &Line {
        match side {
            Side::A => &self.a,
            Side::B => &self.b,
        }
    }

    #[inline]
    pub(super) fn door(&self, side: Side) -> &Door {
        match side {
            Side::A => &self.a_door,
            Side::B => &self.b_door,
        }
    }

    /// Shows the other end that `side` has written up to `tail`; as [`meet`](Self::meet).
    #[inline]
    pub(super) fn publish(&self, side: Side, tail: u64) {
        self.line(side).tail.swap(tail, Ordering::AcqRel);
    }

    /// The step between a change and a look, for who waits at the direction that `side` writes and who wakes them:
    /// of two that do it, the later sees all that the earlier has done before. Returns the tail.
    #[inline]
    pub(super) fn meet(&self, side: Side) -> u64 {
        self.line(side).tail.fetch_add(0, Ordering::AcqRel)
    }

    /// Whether all that `side` has written was read.
    pub(super) fn is_drained(&self, side: Side) -> bool {
        let head = self.line(side.other()).head.load(Ordering::Acquire);
        self.line(side).tail.load(Ordering::Acquire) == head
    }
}

impl Line {
    fn new() -> Self {
        let parts = Mutex::new(VecDeque::new());
        Self { tail: AtomicU64::new(0), head: AtomicU64::new(0), parts }
    }
}

impl Door {
    fn new() -> Self {
        let left = AtomicU8::new(Left::default().bits());
        Self { left, reader: Waiter::new(), writer: Waiter::new() }
    }

    /// How this end has left so far.
    #[inline]
    pub(super) fn left(&self) -> Left {
        Left::from_bits(self.left.load(Ordering::Acquire))
    }

    /// Leaves in one more way. Whom that concerns is to be woken after.
    pub(super) fn leave(&self, how: Left) {
        self.left.fetch_or(how.bits(), Ordering::Release);
    }
}
