//! The bytes of a pipe: a lock-free ring for each direction, between one writer and one reader.
//!
//! ```text
//!   Producer ─▶ tail ──────────────▶ Consumer      each end writes its own line and only reads the other's
//!            ◀────────────── head ◀─
//!
//!   positions   0 ─────────── head ───── end ────────── tail ─▶    of the whole stream, never reused
//!   parts             │ segment, 1 KiB  │  segment, 4 KiB │
//! ```
//!
//! Bytes lie in parts, in order: segments, which are rings of a power of two, and buffers handed over as they
//! are. The producer begins a new part where the last does not do, tells where the last one ends, and queues
//! the new one; the consumer goes on to it when it has come to that end. So the memory grows with the content,
//! and neither ever waits for the other.
//!
//! Whoever changes something and then looks who waits, or waits and then looks again, goes through a
//! read-modify-write of the direction's `tail` in between: the later of two sees what the earlier has done. For a
//! write that is the step which publishes its bytes, so that it takes no fence beside it.
#![allow(unsafe_code, reason = "writer and reader share memory, each within its own positions")]

use super::{
    link::{Link, Side},
    size,
    waiter::Busy,
};
use crate::sync::{Arc, AtomicU8, AtomicU64, Ordering, UnsafeCell};
use bytes::{Buf, Bytes};
use std::{
    io::IoSlice,
    mem::{self, MaybeUninit},
    task::Waker,
};

/// A piece of the stream.
pub(super) enum Part {
    Segment(Arc<Segment>),
    Owned(Box<Bytes>),
}

/// A ring of bytes: the byte at a position lies at the position's remainder.
pub(super) struct Segment {
    size: usize,
    /// Position where the next part begins; [`OPEN`] while bytes still go in here.
    end: AtomicU64,
    /// Who may be in the storage of a segment that is worth giving up: see [`Consumer::rest`].
    owner: AtomicU8,
    storage: UnsafeCell<Box<[Cell]>>,
}

type Cell = UnsafeCell<MaybeUninit<u8>>;

const OPEN: u64 = u64::MAX;

const FREE: u8 = 0;
const WRITING: u8 = 1;
const GIVEN_UP: u8 = 2;

// SAFETY: the storage is used only by the one `Producer` and the one `Consumer` of its direction, through
// `&mut` of theirs. The producer writes at positions from `tail` on, which it publishes with Release after; the
// consumer reads below the `tail` that it has seen with Acquire, and publishes `head` with Release after; and
// the producer goes no further than `size` beyond the `head` that it has seen with Acquire. The storage is taken
// out in `rest` only.
unsafe impl Sync for Segment {}
// SAFETY: it holds plain bytes.
unsafe impl Send for Segment {}

/// The end of a direction that writes. There is one, and it needs `&mut`.
pub(super) struct Producer {
    link: Arc<Link>,
    side: Side,
    capacity: u32,
    tail: u64,
    /// The consumer's head when it was last looked at.
    head: u64,
    /// Where bytes go that fit: the last part, if it is a segment, and the position at which it begins.
    segment: Option<(Arc<Segment>, u64)>,
}

/// The end of a direction that reads. There is one, and it needs `&mut`.
pub(super) struct Consumer {
    link: Arc<Link>,
    side: Side,
    refuses: bool,
    capacity: u32,
    head: u64,
    /// The producer's tail when it was last looked at.
    tail: u64,
    /// The head at which was last looked whether the writer waits.
    asked: u64,
    /// The part that holds `head`, if that was needed yet. A buffer holds what is left of it.
    part: Option<Part>,
}

/// What was taken from a direction.
pub(super) struct Pulled<T> {
    /// The bytes, or how many they are.
    pub(super) what: T,
    /// Whether the writer may wait for it, and is to be woken now.
    pub(super) wakes: bool,
    /// A buffer that is used up, to be dropped where nothing is locked.
    pub(super) spent: Option<Box<Bytes>>,
}

/// Both ends of a new link that holds at most `capacity` bytes each way.
pub(super) fn connected(capacity: u32) -> (Arc<Link>, [(Producer, Consumer); 2]) {
    let link = Arc::new(Link::new());
    let end = |side| {
        let (to, from) = (Arc::clone(&link), Arc::clone(&link));
        let producer = Producer { link: to, side, capacity, tail: 0, head: 0, segment: None };
        let (head, tail, asked) = (0, 0, 0);
        let consumer =
            Consumer { link: from, side, refuses: false, capacity, head, tail, asked, part: None };
        (producer, consumer)
    };
    let ends = [end(Side::A), end(Side::B)];
    (link, ends)
}

impl Producer {
    /// How many of `wanted` bytes fit; looks at the consumer's head only if those do not.
    #[inline]
    fn room(&mut self, wanted: usize) -> usize {
        let mut room = u64::from(self.capacity) - (self.tail - self.head);
        if room < wanted as u64 {
            self.look();
            room = u64::from(self.capacity) - (self.tail - self.head);
        }
        wanted.min(room as usize)
    }

    #[inline]
    fn look(&mut self) {
        self.head = self.link.line(self.side.other()).head.load(Ordering::Acquire);
    }

    /// Whether at least one byte fits.
    pub(super) fn has_room(&mut self) -> bool {
        self.room(1) > 0
    }

    /// Appends what fits of `from`, in order, and says how much that was. Who waits for bytes is to be woken.
    #[inline]
    pub(super) fn push(&mut self, from: &[IoSlice<'_>]) -> usize {
        match from {
            [only] if self.push_in_place(only) => only.len(),
            _ => self.push_in_batches(from),
        }
    }

    /// Appends all of `from` where that takes no more than a copy to the next place, as small writes mostly do.
    #[inline]
    fn push_in_place(&mut self, from: &[u8]) -> bool {
        let Some((segment, begin)) = &self.segment else { return false };
        let n = from.len();
        let used = (self.tail - self.head.max(*begin)) as usize;
        let place = self.tail as usize & (segment.size - 1);
        let room = u64::from(self.capacity) - (self.tail - self.head);
        let is_free = n as u64 <= room && n <= segment.size - used && n <= segment.size - place;
        if !is_free || n == 0 || segment.size > size::KEPT {
            return false;
        }
        // SAFETY: as many bytes from the tail on lie in this segment and were read or never written, and no
        // segment of this size is ever given up.
        unsafe { segment.write_at(place, from) };
        self.tail += n as u64;
        self.link.publish(self.side, self.tail);
        true
    }

    fn push_in_batches(&mut self, from: &[IoSlice<'_>]) -> usize {
        let total = from.iter().fold(0, |sum: usize, part| sum.saturating_add(part.len()));
        let n = self.room(total);
        let (mut from, mut rest) = (from.iter(), [].as_slice());
        let mut left = n;
        while left > 0 {
            let batch = left.min(size::LARGEST);
            self.reserve(batch);
            let mut done = 0;
            while done < batch {
                while rest.is_empty() {
                    let Some(next) = from.next() else { break };
                    rest = next;
                }
                let (some, others) = rest.split_at(rest.len().min(batch - done));
                self.copy(done, some);
                done += some.len();
                rest = others;
            }
            self.publish(batch);
            left -= batch;
        }
        n
    }

    /// Hands over what fits of `buf`, or copies it where that is cheaper, and leaves the rest in `buf`.
    pub(super) fn push_owned(&mut self, buf: &mut Bytes) -> usize {
        let n = self.room(buf.len());
        if n < size::HANDED_OVER {
            let n = self.push(&[IoSlice::new(&buf[..n])]);
            buf.advance(n);
            return n;
        }
        self.begin_part(Part::Owned(Box::new(buf.split_to(n))));
        self.tail += n as u64;
        self.link.publish(self.side, self.tail);
        n
    }

    /// Leaves the waker of who waits for room, as [`Waiter::leave`] does.
    ///
    /// [`Waiter::leave`]: super::waiter::Waiter::leave
    #[inline]
    pub(super) fn wait(&mut self, waker: Waker) -> Result<Option<Waker>, Busy> {
        // SAFETY: only the one producer of this side leaves wakers there, and this is `&mut` of it.
        let left = unsafe { self.link.door(self.side).writer.leave(waker) };
        self.link.meet(self.side);
        left
    }

    /// Lets go of the memory, when nothing will be written any more.
    pub(super) fn finish(&mut self) {
        self.segment = None;
    }

    /// Makes the last part a segment with room for `n` bytes, and enters it.
    #[inline]
    fn reserve(&mut self, n: usize) {
        let fits = self.fits(n) || {
            self.look();
            self.fits(n)
        };
        let entered = fits && self.segment.as_ref().is_some_and(|(segment, _)| segment.enter());
        if !entered {
            self.begin_segment(n, !fits);
        }
    }

    #[inline]
    fn fits(&self, n: usize) -> bool {
        self.segment.as_ref().is_some_and(|(segment, begin)| {
            let used = self.tail - self.head.max(*begin);
            n <= segment.size - used as usize
        })
    }

    #[cold]
    fn begin_segment(&mut self, n: usize, grows: bool) {
        let before = self.segment.as_ref().filter(|_| grows).map_or(0, |(segment, _)| segment.size);
        let segment = Arc::new(Segment::new(size::next(before, n, self.capacity as usize)));
        segment.enter();
        self.begin_part(Part::Segment(Arc::clone(&segment)));
        self.segment = Some((segment, self.tail));
    }

    fn begin_part(&mut self, part: Part) {
        if let Some((last, _)) = self.segment.take() {
            // Published with the tail, which is not beyond it yet.
            last.end.store(self.tail, Ordering::Relaxed);
        }
        self.link.line(self.side).parts.lock().push_back(part);
    }

    #[inline]
    fn copy(&self, after: usize, from: &[u8]) {
        if let Some((segment, _)) = &self.segment {
            // SAFETY: `push` has reserved this segment for as many bytes, and not published them yet.
            unsafe { segment.write(self.tail + after as u64, from) };
        }
    }

    #[inline]
    fn publish(&mut self, n: usize) {
        self.tail += n as u64;
        self.link.publish(self.side, self.tail);
        if let Some((segment, _)) = &self.segment {
            segment.leave();
        }
    }
}

impl Consumer {
    /// Whether a byte is there; looks at the producer's tail only if none was.
    #[inline]
    pub(super) fn has_some(&mut self) -> bool {
        if self.tail == self.head {
            self.look();
        }
        self.tail != self.head
    }

    #[inline]
    fn look(&mut self) {
        self.tail = self.link.line(self.side.other()).tail.load(Ordering::Acquire);
    }

    /// Takes the oldest bytes, as many as `into` holds, but no more than to the end of a handed buffer.
    #[inline]
    pub(super) fn pull(&mut self, into: &mut [u8]) -> Option<Pulled<usize>> {
        if self.tail - self.head < into.len() as u64 {
            self.look();
        }
        if self.tail == self.head {
            return None;
        }
        let (mut n, mut spent) = (0, None);
        while n < into.len() && self.tail != self.head && spent.is_none() {
            let some = self.ready().min(into.len() - n);
            let into = &mut into[n..n + some];
            match &mut self.part {
                None => break,
                // SAFETY: `ready` says that these positions were published and lie in this segment.
                Some(Part::Segment(segment)) => unsafe { segment.read(self.head, into) },
                Some(Part::Owned(buf)) => {
                    buf.copy_to_slice(into);
                    spent = self.take_spent();
                }
            }
            n += some;
            self.head += some as u64;
        }
        (n > 0).then(|| Pulled { what: n, wakes: self.publish(), spent })
    }

    /// Takes the oldest bytes, at most `max`, as a buffer: the one that was handed over, if it was one.
    pub(super) fn pull_owned(&mut self, max: usize) -> Option<Pulled<Bytes>> {
        if !self.has_some() {
            return None;
        }
        let n = self.ready().min(max);
        let what = match &mut self.part {
            None => return None,
            Some(Part::Segment(segment)) => {
                let mut copy = vec![0; n];
                // SAFETY: `ready` says that these positions were published and lie in this segment.
                unsafe { segment.read(self.head, &mut copy) };
                copy.into()
            }
            Some(Part::Owned(buf)) => buf.split_to(n),
        };
        let spent = self.take_spent();
        self.head += n as u64;
        Some(Pulled { what, wakes: self.publish(), spent })
    }

    /// Leaves the waker of who waits for bytes, as [`Waiter::leave`] does. The writer is to be woken after it,
    /// as if bytes had been taken.
    ///
    /// [`Waiter::leave`]: super::waiter::Waiter::leave
    #[inline]
    pub(super) fn wait(&mut self, waker: Waker) -> Result<Option<Waker>, Busy> {
        // SAFETY: only the one consumer of this side leaves wakers there, and this is `&mut` of it.
        let left = unsafe { self.link.door(self.side).reader.leave(waker) };
        self.tail = self.link.meet(self.side.other());
        if left.is_ok() {
            self.asked = self.head;
        }
        left
    }

    /// Takes no more, ever. What was held comes back, to be dropped where nothing is locked.
    pub(super) fn refuse(&mut self) -> impl Sized + use<> {
        self.refuses = true;
        let parts = mem::take(&mut *self.link.line(self.side.other()).parts.lock());
        (self.part.take(), parts)
    }

    /// Gives memory back that a wait would hold for nothing. For a consumer that has found nothing to read.
    ///
    /// The writer's half of the handshake is [`Segment::enter`]. After this the writer begins a new segment.
    #[expect(
        clippy::needless_pass_by_ref_mut,
        reason = "it changes what belongs to the one consumer"
    )]
    pub(super) fn rest(&mut self) {
        let Some(Part::Segment(segment)) = &self.part else { return };
        if segment.size <= size::KEPT || !segment.seize(GIVEN_UP) {
            return;
        }
        let tail = self.link.line(self.side.other()).tail.load(Ordering::Acquire);
        if tail == self.head {
            // SAFETY: `GIVEN_UP` keeps the writer out from now on, and nothing is left in here to be read:
            // the writer has published no byte beyond `head`, and it was not writing when it was seized.
            drop(segment.storage.with_mut(|storage| unsafe { mem::take(&mut *storage) }));
        } else {
            segment.owner.store(FREE, Ordering::Release);
        }
    }

    /// How many bytes may be read from the current part, after going on to the next where one has ended.
    #[inline]
    fn ready(&mut self) -> usize {
        loop {
            let left = match &self.part {
                // Seen with the tail beyond it, where there is one.
                Some(Part::Segment(segment)) => {
                    segment.end.load(Ordering::Relaxed).min(self.tail) - self.head
                }
                Some(Part::Owned(buf)) => buf.len() as u64,
                None => 0,
            };
            if left > 0 || !self.goes_on() {
                return left as usize;
            }
        }
    }

    /// Goes on to the next part; false if there is none, or the consumer refuses it.
    #[cold]
    fn goes_on(&mut self) -> bool {
        if !self.refuses {
            self.part = self.link.line(self.side.other()).parts.lock().pop_front();
        }
        debug_assert!(
            self.part.is_some() || self.refuses,
            "a part is queued before its first byte is published"
        );
        self.part.is_some()
    }

    fn take_spent(&mut self) -> Option<Box<Bytes>> {
        match self.part.take() {
            Some(Part::Owned(buf)) if buf.is_empty() => Some(buf),
            part => {
                self.part = part;
                None
            }
        }
    }

    /// Shows the producer how far this end has come. Returns whether to look if the writer waits.
    ///
    /// It can wait only if it had come, or comes now, to `capacity` beyond a head that it has seen, and that was at
    /// least `asked`. If it comes there after `tail` was seen and misses the new head, more than half of the
    /// capacity lies unread, since no more than half was taken since `asked`; and whoever reads that, or waits
    /// for more, looks. So a writer is woken at the latest when half of the capacity was read.
    #[inline]
    fn publish(&mut self) -> bool {
        self.link.line(self.side).head.store(self.head, Ordering::Release);
        let capacity = u64::from(self.capacity);
        let wakes = self.tail - self.asked >= capacity || self.head - self.asked > capacity / 2;
        if wakes {
            self.tail = self.link.meet(self.side.other());
            self.asked = self.head;
        }
        wakes
    }
}

impl Segment {
    fn new(size: usize) -> Self {
        let (end, owner) = (AtomicU64::new(OPEN), AtomicU8::new(FREE));
        Self { size, end, owner, storage: UnsafeCell::new(uninit(size)) }
    }

    /// Keeps the consumer from giving the storage up until [`leave`](Self::leave); false if it has.
    #[inline]
    fn enter(&self) -> bool {
        self.size <= size::KEPT || self.seize(WRITING)
    }

    #[inline]
    fn leave(&self) {
        if self.size > size::KEPT {
            self.owner.store(FREE, Ordering::Release);
        }
    }

    #[inline]
    fn seize(&self, owner: u8) -> bool {
        self.owner.compare_exchange(FREE, owner, Ordering::Acquire, Ordering::Relaxed).is_ok()
    }

    /// # Safety
    ///
    /// For the producer that has entered. The bytes at these positions, at most `size` of them, were not
    /// published, and those `size` positions before were read.
    #[inline]
    unsafe fn write(&self, position: u64, from: &[u8]) {
        self.storage.with(|storage| {
            // SAFETY: the consumer takes the storage out only while the producer is not in.
            let storage: &[Cell] = unsafe { &*storage };
            let (first, second) = self.places(storage, position, from.len());
            let (to_first, to_second) = from.split_at(first.len());
            // SAFETY: as long as each other, and nobody else looks at them: the caller's promise.
            unsafe {
                fill(first, to_first);
                fill(second, to_second);
            }
        });
    }

    /// As [`write`](Self::write) at a place of the ring after which `from` does not begin anew.
    ///
    /// # Safety
    ///
    /// As there.
    #[inline]
    unsafe fn write_at(&self, place: usize, from: &[u8]) {
        self.storage.with(|storage| {
            // SAFETY: the consumer takes the storage out only while the producer is not in.
            let storage: &[Cell] = unsafe { &*storage };
            // SAFETY: as long as each other, and nobody else looks at them: the caller's promise.
            unsafe { fill(&storage[place..place + from.len()], from) };
        });
    }

    /// # Safety
    ///
    /// For the consumer. The bytes at these positions were written into this segment and published.
    #[inline]
    unsafe fn read(&self, position: u64, into: &mut [u8]) {
        self.storage.with(|storage| {
            // SAFETY: only the consumer itself takes the storage out.
            let storage: &[Cell] = unsafe { &*storage };
            let (first, second) = self.places(storage, position, into.len());
            let (into_first, into_second) = into.split_at_mut(first.len());
            // SAFETY: as long as each other, and written: the caller's promise.
            unsafe {
                copy(first, into_first);
                copy(second, into_second);
            }
        });
    }

    /// Where the `n` bytes from `position` on lie: in one piece, or in two where the ring begins anew.
    #[inline]
    fn places<'a>(&self, storage: &'a [Cell], position: u64, n: usize) -> (&'a [Cell], &'a [Cell]) {
        let begin = position as usize & (self.size - 1);
        let first = n.min(self.size - begin);
        (&storage[begin..begin + first], &storage[..n - first])
    }
}

fn uninit(size: usize) -> Box<[Cell]> {
    debug_assert!(size.is_power_of_two());
    (0..size).map(|_| UnsafeCell::new(MaybeUninit::uninit())).collect()
}

/// Bytes that are copied at one time. From 4 KiB on the C library copies by one string instruction, which runs up to
/// fifty times slower on some processors where both places lie a few bytes apart within their pages.
#[cfg(not(trunkline_loom))]
const COPIED: usize = 2 << 10;

/// # Safety
///
/// `from` is as long as `cells`, and nobody else is in them.
#[cfg(not(trunkline_loom))]
#[inline]
unsafe fn fill(cells: &[Cell], from: &[u8]) {
    let to = cells.as_ptr().cast::<u8>().cast_mut();
    // SAFETY: a cell is laid out as its byte and may be written through a shared reference; the rest is the
    // caller's promise.
    unsafe { copy_pieces(from.as_ptr(), to, from.len()) }
}

/// # Safety
///
/// As for [`copy_nonoverlapping`](std::ptr::copy_nonoverlapping).
#[cfg(not(trunkline_loom))]
#[inline]
unsafe fn copy_pieces(from: *const u8, to: *mut u8, n: usize) {
    let mut done = 0;
    loop {
        let piece = (n - done).min(COPIED);
        // SAFETY: the caller's promise holds for every part.
        unsafe { std::ptr::copy_nonoverlapping(from.add(done), to.add(done), piece) };
        done += piece;
        if done == n {
            return;
        }
    }
}

/// # Safety
///
/// `into` is as long as `cells`, all of which were written, and nobody writes them.
#[cfg(not(trunkline_loom))]
#[inline]
unsafe fn copy(cells: &[Cell], into: &mut [u8]) {
    // SAFETY: a cell is laid out as its byte; the rest is the caller's promise.
    unsafe { copy_pieces(cells.as_ptr().cast::<u8>(), into.as_mut_ptr(), into.len()) }
}

/// One cell at a time, so that loom sees each access.
#[cfg(trunkline_loom)]
unsafe fn fill(cells: &[Cell], from: &[u8]) {
    for (cell, byte) in cells.iter().zip(from) {
        // SAFETY: the caller's promise, which loom checks.
        cell.with_mut(|cell| unsafe { (*cell).write(*byte) });
    }
}

/// One cell at a time, so that loom sees each access.
#[cfg(trunkline_loom)]
unsafe fn copy(cells: &[Cell], into: &mut [u8]) {
    for (cell, byte) in cells.iter().zip(into) {
        // SAFETY: the caller's promise, which loom checks.
        *byte = cell.with(|cell| unsafe { (*cell).assume_init() });
    }
}

#[cfg(all(test, not(trunkline_loom)))]
mod tests;
