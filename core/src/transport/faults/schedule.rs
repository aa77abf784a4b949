//! When which fault comes: decided from the seed and from what passed; no clock, no lock, no waiting.

use super::config::{Cut, CutHow, FaultConfig, LaneFaults};
use std::{net::Shutdown, task::Poll, time::Duration};

/// One of the two directions, as the owner of the transport sees them.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Way {
    Read,
    Write,
}

impl Way {
    pub(super) const BOTH: [Self; 2] = [Self::Read, Self::Write];
}

/// The faults of one transport.
#[derive(Debug)]
pub(super) struct Schedule {
    read: Lane,
    write: Lane,
}

/// One direction.
///
/// ```text
///            on_inner_ready()          on_timer()
///   Idle ─────────────────────▶ Delayed ──────▶ Due ── begin() ──▶ Busy
///    ▲                                                              │
///    └───────────── on_moved(), on_blocked() ───────────────────────┘   a delay of zero: Idle ── begin() ──▶ Busy
///
///   on_moved() of the last byte before a cut ──▶ Ended, Silent, or Reset with the other direction
///   on_over(), on_shutdown()                 ──▶ Over, unless Reset
/// ```
#[derive(Debug)]
struct Lane {
    faults: LaneFaults,
    corruption: Option<Corruption>,
    random: fastrand::Rng,
    /// Bytes that have passed.
    passed: u64,
    /// What was drawn for the next chunk; kept until a chunk has passed.
    next: Draw,
    phase: Phase,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Phase {
    /// The next chunk waits for the inner transport.
    Idle,
    /// The next chunk is held back.
    Delayed,
    /// The next chunk was held back for long enough.
    Due,
    /// A chunk is passing now.
    Busy,
    /// Cut in order.
    Ended,
    /// Cut by silence.
    Silent,
    /// Cut by a reset, here or in the other direction.
    Reset,
    /// Ended by the owner or by the inner transport: it alone answers.
    Over,
}

#[derive(Clone, Copy, Debug)]
struct Draw {
    delay: Duration,
    size: usize,
}

/// What a task that wants to go on has to wait for.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Gate {
    /// Nothing: the faults themselves answer.
    Open,
    /// The inner transport.
    Inner,
    /// The inner transport, and then [`Schedule::on_inner_ready`].
    InnerThenDelay,
}

/// What an operation may do.
#[derive(Debug)]
pub(super) enum Begin {
    /// Pass a chunk, and then tell by `on_moved`, `on_blocked` or `on_over`.
    Chunk(Chunk),
    /// Pass what the inner transport takes; nothing is to be told.
    Unfaulted,
    Blocked,
    Ended,
    Reset,
}

/// A chunk that is about to pass.
#[derive(Debug)]
pub(super) struct Chunk {
    pub(super) limit: usize,
    /// Its place in the stream.
    pub(super) offset: u64,
    pub(super) corruption: Option<Corruption>,
}

/// What the driver must do to the inner transport.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Action {
    Nothing,
    ShutDown(Way),
    Abort,
}

impl Schedule {
    /// Takes a config that was validated. [`on_start`](Self::on_start) must follow.
    pub(super) fn new(config: FaultConfig) -> Self {
        let mut seeds = fastrand::Rng::with_seed(config.seed);
        let read = Lane::new(config.read, seeds.fork());
        let write = Lane::new(config.write, seeds.fork());
        Self { read, write }
    }

    fn lane(&mut self, way: Way) -> &mut Lane {
        match way {
            Way::Read => &mut self.read,
            Way::Write => &mut self.write,
        }
    }

    /// What to wait for before the next operation; `Pending` while only an event here can let it go on.
    pub(super) fn gate(&self, way: Way) -> Poll<Gate> {
        match way {
            Way::Read => self.read.gate(),
            Way::Write => self.write.gate(),
        }
    }

    /// The inner transport is ready. Some: hold the chunk back for so long, then call [`on_timer`](Self::on_timer).
    pub(super) fn on_inner_ready(&mut self, way: Way) -> Option<Duration> {
        let lane = self.lane(way);
        let delay = lane.next.delay;
        if delay.is_zero() || !lane.turn(Phase::Idle, Phase::Delayed) {
            return None;
        }
        Some(delay)
    }

    /// A chunk was held back for as long as it had to be.
    pub(super) fn on_timer(&mut self, way: Way) {
        self.lane(way).turn(Phase::Delayed, Phase::Due);
    }

    /// Somebody wants to move up to `wanted` bytes, which is not 0.
    pub(super) fn begin(&mut self, way: Way, wanted: usize) -> Begin {
        self.lane(way).begin(wanted)
    }

    /// The chunk that was begun has moved `n` bytes.
    pub(super) fn on_moved(&mut self, way: Way, n: usize) -> Action {
        let lane = self.lane(way);
        lane.passed += n as u64;
        lane.next = lane.draw();
        lane.turn(Phase::Busy, Phase::Idle);
        self.cut(way)
    }

    /// The inner transport could not move the chunk that was begun. It is held back again, for as
    /// long as before, once the inner transport is ready: readiness may have been a false alarm.
    pub(super) fn on_blocked(&mut self, way: Way) {
        self.lane(way).turn(Phase::Busy, Phase::Idle);
    }

    /// The inner transport has ended or failed in this direction.
    pub(super) fn on_over(&mut self, way: Way) {
        let lane = self.lane(way);
        if lane.phase != Phase::Reset {
            lane.phase = Phase::Over;
        }
    }

    /// The owner ends a direction, or both.
    pub(super) fn on_shutdown(&mut self, how: Shutdown) {
        if how != Shutdown::Write {
            self.on_over(Way::Read);
        }
        if how != Shutdown::Read {
            self.on_over(Way::Write);
        }
    }

    /// The faults are put on: whoever is to be cut after 0 bytes is cut now.
    pub(super) fn on_start(&mut self) -> [Action; 2] {
        Way::BOTH.map(|way| self.cut(way))
    }

    fn cut(&mut self, way: Way) -> Action {
        let lane = self.lane(way);
        let Some(Cut { after_bytes, how }) = lane.faults.cut else { return Action::Nothing };
        if lane.passed < after_bytes || matches!(lane.phase, Phase::Over | Phase::Reset) {
            return Action::Nothing;
        }
        match how {
            CutHow::End => {
                lane.phase = Phase::Ended;
                Action::ShutDown(way)
            }
            CutHow::Silence => {
                lane.phase = Phase::Silent;
                Action::Nothing
            }
            CutHow::Reset => {
                self.read.phase = Phase::Reset;
                self.write.phase = Phase::Reset;
                Action::Abort
            }
        }
    }
}

impl Lane {
    fn new(faults: LaneFaults, mut random: fastrand::Rng) -> Self {
        let seed = random.u64(..);
        let corruption = faults.corrupt_one_in.map(|n| Corruption { seed, one_in: n.get() });
        let next = Draw { delay: Duration::ZERO, size: usize::MAX };
        let mut lane = Self { faults, corruption, random, passed: 0, next, phase: Phase::Idle };
        lane.next = lane.draw();
        lane
    }

    fn draw(&mut self) -> Draw {
        let delay = match &self.faults.delay {
            Some(range) => {
                *range.start() + (*range.end() - *range.start()).mul_f64(self.random.f64())
            }
            None => Duration::ZERO,
        };
        let size = match self.faults.max_chunk {
            Some(most) => self.random.usize(1..=most.get()),
            None => usize::MAX,
        };
        Draw { delay, size }
    }

    fn gate(&self) -> Poll<Gate> {
        match self.phase {
            Phase::Idle if self.next.delay.is_zero() => Poll::Ready(Gate::Inner),
            Phase::Idle => Poll::Ready(Gate::InnerThenDelay),
            Phase::Due | Phase::Over => Poll::Ready(Gate::Inner),
            Phase::Ended | Phase::Reset => Poll::Ready(Gate::Open),
            Phase::Delayed | Phase::Busy | Phase::Silent => Poll::Pending,
        }
    }

    fn begin(&mut self, wanted: usize) -> Begin {
        match self.phase {
            Phase::Idle if !self.next.delay.is_zero() => Begin::Blocked,
            Phase::Idle | Phase::Due => {
                self.phase = Phase::Busy;
                let limit = wanted.min(self.next.size).min(self.left_before_cut());
                Begin::Chunk(Chunk { limit, offset: self.passed, corruption: self.corruption })
            }
            Phase::Delayed | Phase::Busy | Phase::Silent => Begin::Blocked,
            Phase::Ended => Begin::Ended,
            Phase::Reset => Begin::Reset,
            Phase::Over => Begin::Unfaulted,
        }
    }

    fn left_before_cut(&self) -> usize {
        let left = self.faults.cut.map(|cut| cut.after_bytes - self.passed);
        left.and_then(|left| usize::try_from(left).ok()).unwrap_or(usize::MAX)
    }

    /// Goes on from one phase to the next; whatever came in between stays.
    fn turn(&mut self, from: Phase, to: Phase) -> bool {
        let turns = self.phase == from;
        if turns {
            self.phase = to;
        }
        turns
    }
}

/// Changes one byte in each block of `one_in` bytes. Which one, and to what, follows from the seed
/// and the block's number alone, so that no cut into chunks makes a difference.
#[derive(Clone, Copy, Debug)]
pub(super) struct Corruption {
    seed: u64,
    one_in: u64,
}

impl Corruption {
    /// Corrupts `bytes`, which stand at `offset` of the stream.
    pub(super) fn apply(self, offset: u64, bytes: &mut [u8]) {
        let end = offset + bytes.len() as u64;
        for block in offset / self.one_in..end.div_ceil(self.one_in) {
            // Far apart: neighbouring seeds give neighbouring first draws.
            let mut random =
                fastrand::Rng::with_seed(self.seed ^ block.wrapping_mul(0x9e37_79b9_7f4a_7c15));
            let place = (block * self.one_in).saturating_add(random.u64(..self.one_in));
            let mask = random.u8(1..);
            if (offset..end).contains(&place) {
                bytes[(place - offset) as usize] ^= mask;
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;
    use std::num::{NonZeroU64, NonZeroUsize};

    fn milliseconds(n: u64) -> Duration {
        Duration::from_millis(n)
    }

    /// A schedule whose reads get these faults.
    fn reads(faults: LaneFaults) -> Schedule {
        let mut schedule =
            Schedule::new(FaultConfig { seed: 1, read: faults, ..FaultConfig::default() });
        schedule.on_start();
        schedule
    }

    fn chunk(begin: Begin) -> Chunk {
        match begin {
            Begin::Chunk(chunk) => chunk,
            other => panic!("no chunk: {other:?}"),
        }
    }

    #[test]
    fn a_chunk_waits_for_the_inner_transport_then_for_its_delay() {
        let delay = milliseconds(3)..=milliseconds(3);
        let mut schedule = reads(LaneFaults { delay: Some(delay), ..LaneFaults::default() });
        assert_eq!(schedule.gate(Way::Read), Poll::Ready(Gate::InnerThenDelay));
        assert!(matches!(schedule.begin(Way::Read, 1), Begin::Blocked));

        assert_eq!(schedule.on_inner_ready(Way::Read), Some(milliseconds(3)));
        assert_eq!(schedule.on_inner_ready(Way::Read), None, "it is held back already");
        assert_eq!(schedule.gate(Way::Read), Poll::Pending);
        schedule.on_timer(Way::Read);
        assert_eq!(schedule.gate(Way::Read), Poll::Ready(Gate::Inner));

        chunk(schedule.begin(Way::Read, 1));
        assert_eq!(schedule.gate(Way::Read), Poll::Pending, "one chunk at a time");
        schedule.on_moved(Way::Read, 1);
        assert_eq!(schedule.gate(Way::Read), Poll::Ready(Gate::InnerThenDelay));
    }

    #[test]
    fn a_false_alarm_of_the_inner_transport_draws_nothing_anew() {
        let delay = Duration::ZERO..=milliseconds(1000);
        let mut schedule = reads(LaneFaults { delay: Some(delay), ..LaneFaults::default() });
        let first = schedule.on_inner_ready(Way::Read).unwrap();
        schedule.on_timer(Way::Read);
        chunk(schedule.begin(Way::Read, 1));
        schedule.on_blocked(Way::Read);
        assert_eq!(schedule.on_inner_ready(Way::Read), Some(first));
    }

    #[test]
    fn a_timer_that_comes_late_disturbs_nothing() {
        let delay = milliseconds(3)..=milliseconds(3);
        let mut schedule = reads(LaneFaults { delay: Some(delay), ..LaneFaults::default() });
        schedule.on_inner_ready(Way::Read);
        schedule.on_shutdown(Shutdown::Read);
        schedule.on_timer(Way::Read);
        assert!(matches!(schedule.begin(Way::Read, 1), Begin::Unfaulted));
    }

    #[test]
    fn a_shutdown_while_a_chunk_passes_stays() {
        let mut schedule = reads(LaneFaults::default());
        chunk(schedule.begin(Way::Read, 9));
        schedule.on_shutdown(Shutdown::Both);
        assert_eq!(schedule.on_moved(Way::Read, 9), Action::Nothing);
        assert!(matches!(schedule.begin(Way::Read, 9), Begin::Unfaulted));
        assert!(matches!(schedule.begin(Way::Write, 9), Begin::Unfaulted));
    }

    #[test]
    fn a_reset_is_one_for_both_directions() {
        let cut = Some(Cut { after_bytes: 2, how: CutHow::Reset });
        let mut schedule = reads(LaneFaults { cut, ..LaneFaults::default() });
        assert_eq!(chunk(schedule.begin(Way::Read, 9)).limit, 2);
        assert_eq!(schedule.on_moved(Way::Read, 2), Action::Abort);
        for way in Way::BOTH {
            assert!(matches!(schedule.begin(way, 9), Begin::Reset));
            assert_eq!(schedule.gate(way), Poll::Ready(Gate::Open));
        }
    }

    proptest! {
        #[test]
        fn no_chunk_is_empty_too_large_or_beyond_the_cut(
            seed: u64,
            most in 1usize..100,
            after_bytes in 0u64..2000,
            wanted in proptest::collection::vec(1usize..300, 1..50),
        ) {
            let write = LaneFaults {
                max_chunk: NonZeroUsize::new(most),
                cut: Some(Cut { after_bytes, how: CutHow::End }),
                ..LaneFaults::default()
            };
            let config = FaultConfig { seed, write, ..FaultConfig::default() };
            let mut schedule = Schedule::new(config);
            let mut ended = schedule.on_start()[1] == Action::ShutDown(Way::Write);
            let mut passed = 0;
            for wanted in wanted {
                match schedule.begin(Way::Write, wanted) {
                    Begin::Chunk(chunk) => {
                        prop_assert!((1..=wanted.min(most)).contains(&chunk.limit));
                        prop_assert_eq!(chunk.offset, passed);
                        passed += chunk.limit as u64;
                        let action = schedule.on_moved(Way::Write, chunk.limit);
                        ended = action == Action::ShutDown(Way::Write);
                    }
                    other => prop_assert!(ended && matches!(other, Begin::Ended), "{other:?}"),
                }
                prop_assert_eq!(ended, passed == after_bytes);
                prop_assert!(passed <= after_bytes);
            }
        }

        #[test]
        fn one_byte_per_block_is_corrupted_whatever_the_chunks(
            seed: u64,
            one_in in 1u64..50,
            chunks in proptest::collection::vec(0usize..70, 1..30),
        ) {
            let one_in = NonZeroU64::new(one_in).unwrap();
            let corruption = Corruption { seed, one_in: one_in.get() };
            let total = chunks.iter().sum();
            let (mut whole, mut pieces) = (vec![0; total], vec![0; total]);
            corruption.apply(0, &mut whole);
            let mut offset = 0;
            for size in chunks {
                corruption.apply(offset as u64, &mut pieces[offset..offset + size]);
                offset += size;
            }
            prop_assert_eq!(&whole, &pieces);
            for block in whole.chunks_exact(one_in.get() as usize) {
                prop_assert_eq!(block.iter().filter(|byte| **byte != 0).count(), 1);
            }
        }
    }
}
