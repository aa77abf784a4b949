//! Where each connection of a pool stands, and how many stand where; no lock, no clock, no waking.

use super::{endpoints::Attempt, holder::Holder};
use std::{
    collections::VecDeque,
    time::{Duration, Instant},
};

/// Bits of a place's turn, after which it starts anew.
pub(crate) const TURN_BITS: u32 = 36;
const TURNS: u64 = (1 << TURN_BITS) - 1;

/// A connection's place in the pool, for one stay outside of it.
///
/// Each time that a connection leaves the pool's hands (to be lent, made, checked or closed) its place
/// gets another turn, so that whatever comes back under an old one is known to be stale.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub(crate) struct SlotId {
    pub(crate) index: u32,
    pub(crate) turn: u64,
}

/// What is known of a connection that was made.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Life {
    /// When it is too old to be lent; `None` for never.
    pub(crate) ends: Option<Instant>,
    /// When it was made, lent or put back last.
    pub(crate) last_used: Instant,
    /// When it was last known to work: used, made, or checked.
    pub(crate) proven: Instant,
    /// When it is due for a check in the background; `None` for never.
    pub(crate) probe_at: Option<Instant>,
    /// The generation of the pool that it belongs to.
    pub(crate) epoch: u32,
    /// Its endpoint.
    pub(crate) endpoint: u32,
    /// What its connector knows it by.
    pub(crate) mark: u64,
    pub(crate) relief: Relief,
}

/// Where one connection stands.
#[derive(Debug)]
pub(crate) enum Phase<R> {
    Vacant,
    Connecting {
        attempt: Attempt,
        epoch: u32,
        /// The idle connection that this one is to relieve.
        relieves: Option<SlotId>,
    },
    Idle {
        resource: R,
        life: Life,
    },
    /// The driver has it, for a check or a reset.
    Validating {
        life: Life,
        hope: Hope,
    },
    Used {
        life: Life,
        holder: Holder,
        /// Here only while the holder knows the connection by its number alone.
        resource: Option<R>,
        leak: Leak,
    },
    /// The driver has it.
    Closing,
}

/// Whether a younger connection was called for, to take this one's place before its end.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Relief {
    None,
    Called,
}

/// Whether callers may rely on a check or reset to give them its connection soon.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Hope {
    /// It counts as a connection on its way.
    Good,
    /// It takes long, or is over.
    Gone,
}

/// Whether a lease was reported as held for too long.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Leak {
    Unseen,
    Reported,
}

/// How many connections stand where.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(crate) struct Counts {
    pub(crate) connecting: u32,
    pub(crate) idle: u32,
    pub(crate) validating: u32,
    pub(crate) used: u32,
    pub(crate) closing: u32,
}

impl Counts {
    pub(crate) fn total(self) -> u32 {
        self.live() + self.connecting
    }

    /// Connections that were made and are not closed yet.
    pub(crate) fn live(self) -> u32 {
        self.idle + self.validating + self.used + self.closing
    }

    /// Connections from which a caller may still be served.
    pub(crate) fn useful(self) -> u32 {
        self.idle + self.validating + self.used
    }
}

#[derive(Debug)]
struct Slot<R> {
    turn: u64,
    phase: Phase<R>,
}

/// All places of a pool; it grows with the most that were in use at one time.
#[derive(Debug)]
pub(crate) struct Slots<R> {
    slots: Vec<Slot<R>>,
    vacant: Vec<u32>,
    /// In the order of their last use, the latest at the back.
    idle: VecDeque<u32>,
    counts: Counts,
}

impl<R> Slots<R> {
    pub(crate) fn new() -> Self {
        Self {
            slots: Vec::new(),
            vacant: Vec::new(),
            idle: VecDeque::new(),
            counts: Counts::default(),
        }
    }

    pub(crate) fn counts(&self) -> Counts {
        self.counts
    }

    /// Takes a place for a connection that is about to be made.
    pub(crate) fn occupy(&mut self, phase: Phase<R>) -> SlotId {
        let index = self.vacant.pop().unwrap_or_else(|| {
            if self.slots.len() == self.slots.capacity() {
                // By an eighth, where a vector would double: a small pool has no room that it does not use.
                self.slots.reserve_exact(2 + self.slots.len() / 8);
            }
            self.slots.push(Slot { turn: 0, phase: Phase::Vacant });
            (self.slots.len() - 1) as u32
        });
        self.put(index, phase)
    }

    /// Moves the place to its next turn and phase.
    #[inline]
    pub(crate) fn put(&mut self, index: u32, phase: Phase<R>) -> SlotId {
        let slot = &mut self.slots[index as usize];
        *self.counts.of(&slot.phase) -= u32::from(!matches!(slot.phase, Phase::Vacant));
        *self.counts.of(&phase) += u32::from(!matches!(phase, Phase::Vacant));
        match phase {
            Phase::Vacant => self.vacant.push(index),
            Phase::Idle { .. }
            | Phase::Connecting { .. }
            | Phase::Validating { .. }
            | Phase::Used { .. }
            | Phase::Closing => {}
        }
        slot.phase = phase;
        slot.turn = (slot.turn + 1) & TURNS;
        SlotId { index, turn: slot.turn }
    }

    /// Where the connection stands that left under this turn; `None` if it is stale.
    pub(crate) fn phase_mut(&mut self, id: SlotId) -> Option<&mut Phase<R>> {
        let slot = self.slots.get_mut(id.index as usize)?;
        (slot.turn == id.turn).then_some(&mut slot.phase)
    }

    /// Puts a connection among the idle ones, by the time of its last use.
    #[inline]
    pub(crate) fn put_idle(&mut self, index: u32, resource: R, life: Life) {
        self.put(index, Phase::Idle { resource, life });
        let place =
            self.idle.iter().rev().take_while(|other| self.used_after(**other, &life)).count();
        self.idle.insert(self.idle.len() - place, index);
    }

    /// Takes the `place`-th idle connection out, counted from the one not used for longest;
    /// its place must be put into another phase next.
    #[inline]
    pub(crate) fn take_idle_at(&mut self, place: usize) -> Option<(u32, R, Life)> {
        let index = self.idle.remove(place)?;
        self.begin(index)
    }

    /// Takes this idle connection out; `None` if it is not idle any more.
    pub(crate) fn take_idle_by(&mut self, id: SlotId) -> Option<(u32, R, Life)> {
        let is_idle = matches!(self.phase_mut(id)?, Phase::Idle { .. });
        let place = self.idle.iter().position(|index| is_idle && *index == id.index)?;
        self.take_idle_at(place)
    }

    /// The `place`-th idle connection, counted from the one not used for longest.
    pub(crate) fn idle_at(&self, place: usize) -> Option<(SlotId, &Life)> {
        let index = *self.idle.get(place)?;
        let slot = &self.slots[index as usize];
        match &slot.phase {
            Phase::Idle { life, .. } => Some((SlotId { index, turn: slot.turn }, life)),
            Phase::Vacant
            | Phase::Connecting { .. }
            | Phase::Validating { .. }
            | Phase::Used { .. }
            | Phase::Closing => None,
        }
    }

    /// Ends an attempt to connect that left under this turn: what is known of it, or `None` if it is stale.
    /// The place counts as vacant until it is put into another phase.
    pub(crate) fn take_attempt(&mut self, id: SlotId) -> Option<(Attempt, u32, Option<SlotId>)> {
        let phase = self.phase_mut(id)?;
        match std::mem::replace(phase, Phase::Vacant) {
            Phase::Connecting { attempt, epoch, relieves } => {
                self.counts.connecting -= 1;
                Some((attempt, epoch, relieves))
            }
            other @ (Phase::Vacant
            | Phase::Idle { .. }
            | Phase::Validating { .. }
            | Phase::Used { .. }
            | Phase::Closing) => {
                *phase = other;
                None
            }
        }
    }

    /// Every lease, with its holder and since when it is held.
    pub(crate) fn used(&self) -> impl Iterator<Item = (SlotId, Instant, &Holder)> {
        self.slots.iter().enumerate().filter_map(|(index, slot)| match &slot.phase {
            Phase::Used { life, holder, .. } => {
                Some((SlotId { index: index as u32, turn: slot.turn }, life.last_used, holder))
            }
            Phase::Vacant
            | Phase::Idle { .. }
            | Phase::Connecting { .. }
            | Phase::Validating { .. }
            | Phase::Closing => None,
        })
    }

    /// Marks and names every lease that is held for longer than `limit` and was not named before.
    pub(crate) fn report_leaks(
        &mut self,
        now: Instant,
        limit: Duration,
    ) -> Vec<(Holder, Duration)> {
        let leaked = |slot: &mut Slot<R>| match &mut slot.phase {
            Phase::Used { life, holder, leak: leak @ Leak::Unseen, .. } => {
                let held = now.saturating_duration_since(life.last_used);
                (held >= limit).then(|| {
                    *leak = Leak::Reported;
                    (holder.clone(), held)
                })
            }
            Phase::Used { leak: Leak::Reported, .. }
            | Phase::Vacant
            | Phase::Idle { .. }
            | Phase::Connecting { .. }
            | Phase::Validating { .. }
            | Phase::Closing => None,
        };
        self.slots.iter_mut().filter_map(leaked).collect()
    }

    /// Takes the resources of all leases out that were left here; their places must be put elsewhere next.
    pub(crate) fn take_entrusted(&mut self) -> Vec<(u32, R, Life)> {
        let entrusted = |(index, slot): (usize, &mut Slot<R>)| match &mut slot.phase {
            Phase::Used { life, resource, .. } => {
                resource.take().map(|resource| (index as u32, resource, *life))
            }
            Phase::Vacant
            | Phase::Idle { .. }
            | Phase::Connecting { .. }
            | Phase::Validating { .. }
            | Phase::Closing => None,
        };
        self.slots.iter_mut().enumerate().filter_map(entrusted).collect()
    }

    /// What is known of the connection at this place, if there is one that stands and is not being closed.
    pub(crate) fn life_mut(&mut self, index: u32) -> Option<&mut Life> {
        match &mut self.slots.get_mut(index as usize)?.phase {
            Phase::Idle { life, .. }
            | Phase::Validating { life, .. }
            | Phase::Used { life, .. } => Some(life),
            Phase::Vacant | Phase::Connecting { .. } | Phase::Closing => None,
        }
    }

    fn used_after(&self, index: u32, life: &Life) -> bool {
        self.idle_life(index).is_some_and(|other| other.last_used > life.last_used)
    }

    fn idle_life(&self, index: u32) -> Option<&Life> {
        match &self.slots[index as usize].phase {
            Phase::Idle { life, .. } => Some(life),
            Phase::Vacant
            | Phase::Connecting { .. }
            | Phase::Validating { .. }
            | Phase::Used { .. }
            | Phase::Closing => None,
        }
    }

    /// Moves the resource of an idle slot out. The slot counts as closing until it is put elsewhere.
    #[inline]
    fn begin(&mut self, index: u32) -> Option<(u32, R, Life)> {
        let slot = &mut self.slots[index as usize];
        match std::mem::replace(&mut slot.phase, Phase::Closing) {
            Phase::Idle { resource, life, .. } => {
                self.counts.idle -= 1;
                self.counts.closing += 1;
                Some((index, resource, life))
            }
            other @ (Phase::Vacant
            | Phase::Connecting { .. }
            | Phase::Validating { .. }
            | Phase::Used { .. }
            | Phase::Closing) => {
                slot.phase = other;
                None
            }
        }
    }
}

impl Counts {
    fn of<R>(&mut self, phase: &Phase<R>) -> &mut u32 {
        match phase {
            // Not counted: the caller adds nothing to it.
            Phase::Vacant | Phase::Closing => &mut self.closing,
            Phase::Connecting { .. } => &mut self.connecting,
            Phase::Idle { .. } => &mut self.idle,
            Phase::Validating { .. } => &mut self.validating,
            Phase::Used { .. } => &mut self.used,
        }
    }
}
