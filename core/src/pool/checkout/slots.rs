//! Where each connection of a pool stands, and how many stand where; no lock, no clock, no waking.

use super::{endpoints::Attempt, holder::Holder};
use crate::pool::moment::Moment;
use std::{collections::VecDeque, time::Duration};

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

/// The generation of connections whose endpoint was taken out: no pool is cleared so often.
pub(crate) const RETIRED: u32 = u32::MAX;

/// What is known of a connection that was made.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Life {
    /// When it is too old to be lent; `None` for never.
    pub(crate) ends: Option<Moment>,
    /// When it was made, lent or put back last.
    pub(crate) last_used: Moment,
    /// When it was last known to work: used, made, or checked.
    pub(crate) proven: Moment,
    /// When it is due for a check in the background; `None` for never.
    pub(crate) probe_at: Option<Moment>,
    /// The generation of the pool that it belongs to.
    pub(crate) epoch: u32,
    /// Its endpoint.
    pub(crate) endpoint: u32,
    /// What its connector knows it by.
    pub(crate) mark: u64,
    pub(crate) relief: Relief,
}

/// A connection that was made, in its place from its first moment to its last.
///
/// It is not moved while its place is: only where it stands changes, and the resource goes in and out.
#[derive(Debug)]
pub(crate) struct Made<R> {
    pub(crate) life: Life,
    pub(crate) stand: Stand,
    /// Here while it is idle, and while its holder knows it by its number alone.
    pub(crate) resource: Option<R>,
}

/// Where a connection stands.
#[derive(Debug)]
pub(crate) enum Stand {
    Idle,
    /// The driver has it, for a check or a reset.
    Validating(Hope),
    Used {
        holder: Holder,
        leak: Leak,
    },
    /// The driver has it.
    Closing,
}

/// What a place is used for.
#[derive(Debug)]
enum Use<R> {
    Vacant,
    Connecting(Connecting),
    Made(Made<R>),
}

/// A connection that is being made.
#[derive(Debug)]
pub(crate) struct Connecting {
    pub(crate) attempt: Attempt,
    pub(crate) epoch: u32,
    /// The idle connection that this one is to relieve.
    pub(crate) relieves: Option<SlotId>,
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
    used_for: Use<R>,
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
    pub(crate) fn occupy(&mut self, connecting: Connecting) -> SlotId {
        let index = self.vacant.pop().unwrap_or_else(|| {
            if self.slots.len() == self.slots.capacity() {
                // By an eighth, where a vector would double: a small pool has no room that it does not use.
                self.slots.reserve_exact(2 + self.slots.len() / 8);
            }
            self.slots.push(Slot { turn: 0, used_for: Use::Vacant });
            (self.slots.len() - 1) as u32
        });
        self.counts.connecting += 1;
        let slot = &mut self.slots[index as usize];
        slot.used_for = Use::Connecting(connecting);
        slot.next(index)
    }

    /// Ends an attempt to connect that left under this turn: what is known of it, or `None` if it is stale.
    /// Its place is to be [settled](Self::settle) or [vacated](Self::vacate) next.
    pub(crate) fn take_attempt(&mut self, id: SlotId) -> Option<Connecting> {
        let slot = self.slots.get_mut(id.index as usize).filter(|slot| slot.turn == id.turn)?;
        match std::mem::replace(&mut slot.used_for, Use::Vacant) {
            Use::Connecting(connecting) => {
                self.counts.connecting -= 1;
                Some(connecting)
            }
            other @ (Use::Vacant | Use::Made(_)) => {
                slot.used_for = other;
                None
            }
        }
    }

    /// Gives the connection that was made its place. Until it stands elsewhere it counts as one that is checked.
    pub(crate) fn settle(&mut self, index: u32, life: Life) {
        self.counts.validating += 1;
        let slot = &mut self.slots[index as usize];
        debug_assert!(matches!(slot.used_for, Use::Vacant), "its attempt was taken before");
        let stand = Stand::Validating(Hope::Gone);
        slot.used_for = Use::Made(Made { life, stand, resource: None });
        slot.next(index);
    }

    /// Nothing is at this place any more.
    pub(crate) fn vacate(&mut self, index: u32) {
        let slot = &mut self.slots[index as usize];
        if let Use::Made(made) = &slot.used_for {
            *self.counts.of(&made.stand) -= 1;
        }
        slot.used_for = Use::Vacant;
        slot.next(index);
        self.vacant.push(index);
    }

    /// The connection that left under this turn, if it is there.
    #[inline(always)]
    pub(crate) fn made(&mut self, id: SlotId) -> Option<&mut Made<R>> {
        let slot = self.slots.get_mut(id.index as usize)?;
        match &mut slot.used_for {
            Use::Made(made) if slot.turn == id.turn => Some(made),
            Use::Made(_) | Use::Vacant | Use::Connecting(_) => None,
        }
    }

    /// The connection at this place, which must be one that was made.
    #[inline(always)]
    pub(crate) fn at(&mut self, index: u32) -> &mut Made<R> {
        self.slots[index as usize].made()
    }

    /// Has the connection at this place stand elsewhere, and starts the place's next turn.
    #[inline(always)]
    pub(crate) fn put(&mut self, index: u32, stand: Stand) -> SlotId {
        *self.counts.of(&stand) += 1;
        let slot = &mut self.slots[index as usize];
        let before = std::mem::replace(&mut slot.made().stand, stand);
        *self.counts.of(&before) -= 1;
        slot.next(index)
    }

    /// Puts a connection among the idle ones, by the time of its last use.
    #[inline(always)]
    pub(crate) fn put_idle(&mut self, index: u32, resource: R) {
        let made = self.at(index);
        made.resource = Some(resource);
        let last_used = made.life.last_used;
        self.put(index, Stand::Idle);
        let is_latest = self.idle.back().is_none_or(|last| !self.is_used_after(*last, last_used));
        if is_latest {
            return self.idle.push_back(index);
        }
        let later = |other: &&u32| self.is_used_after(**other, last_used);
        let later = self.idle.iter().rev().take_while(later).count();
        self.idle.insert(self.idle.len() - later, index);
    }

    #[inline(always)]
    fn is_used_after(&self, index: u32, moment: Moment) -> bool {
        self.life(index).is_some_and(|life| life.last_used > moment)
    }

    /// Takes the `place`-th idle connection out, counted from the one not used for longest. It counts as closing
    /// until it is put elsewhere, which must be next.
    #[inline(always)]
    pub(crate) fn take_idle_at(&mut self, place: usize) -> Option<(u32, R)> {
        let index = match place + 1 == self.idle.len() {
            true => self.idle.pop_back(),
            false => self.idle.remove(place),
        }?;
        self.counts.idle -= 1;
        self.counts.closing += 1;
        let made = self.at(index);
        made.stand = Stand::Closing;
        Some((index, made.resource.take().expect("an idle connection is here")))
    }

    /// Takes this idle connection out; `None` if it is not idle any more.
    pub(crate) fn take_idle_by(&mut self, id: SlotId) -> Option<(u32, R)> {
        self.made(id).filter(|made| matches!(made.stand, Stand::Idle))?;
        let place = self.idle.iter().position(|index| *index == id.index)?;
        self.take_idle_at(place)
    }

    /// The `place`-th idle connection, counted from the one not used for longest.
    #[inline(always)]
    pub(crate) fn idle_at(&self, place: usize) -> Option<(SlotId, &Life)> {
        let index = *self.idle.get(place)?;
        let turn = self.slots[index as usize].turn;
        Some((SlotId { index, turn }, self.life(index)?))
    }

    /// Every lease, with its holder and since when it is held.
    pub(crate) fn used(&self) -> impl Iterator<Item = (SlotId, Moment, &Holder)> {
        self.slots.iter().enumerate().filter_map(|(index, slot)| match &slot.used_for {
            Use::Made(Made { life, stand: Stand::Used { holder, .. }, .. }) => {
                Some((SlotId { index: index as u32, turn: slot.turn }, life.last_used, holder))
            }
            Use::Made(_) | Use::Vacant | Use::Connecting(_) => None,
        })
    }

    /// Marks and names every lease that is held for longer than `limit` and was not named before.
    pub(crate) fn report_leaks(&mut self, now: Moment, limit: Duration) -> Vec<(Holder, Duration)> {
        let leaked = |made: &mut Made<R>| match &mut made.stand {
            Stand::Used { holder, leak: leak @ Leak::Unseen } => {
                let held = now.since(made.life.last_used);
                (held >= limit).then(|| {
                    *leak = Leak::Reported;
                    (holder.clone(), held)
                })
            }
            Stand::Used { leak: Leak::Reported, .. }
            | Stand::Idle
            | Stand::Validating(_)
            | Stand::Closing => None,
        };
        self.all_made().filter_map(|(_, made)| leaked(made)).collect()
    }

    /// Counts the connections of `endpoints`, made or being made, among none of the pool's generations; says how many of
    /// them callers relied on, which were of generation `epoch`.
    pub(crate) fn retire(&mut self, endpoints: impl Fn(u32) -> bool, epoch: u32) -> u32 {
        let mut relied_on = 0;
        for slot in &mut self.slots {
            let (endpoint, of, hope) = match &mut slot.used_for {
                Use::Vacant => continue,
                Use::Connecting(Connecting { attempt, epoch, .. }) => {
                    (attempt.endpoint, epoch, Hope::Good)
                }
                Use::Made(Made { life, stand, .. }) => {
                    let hope = match stand {
                        Stand::Validating(hope) => *hope,
                        Stand::Idle | Stand::Used { .. } | Stand::Closing => Hope::Gone,
                    };
                    (life.endpoint, &mut life.epoch, hope)
                }
            };
            if endpoints(endpoint) {
                relied_on += u32::from(*of == epoch && hope == Hope::Good);
                *of = RETIRED;
            }
        }
        relied_on
    }

    /// Takes the resources of all leases out that were left here; their places must be put elsewhere next.
    pub(crate) fn take_entrusted(&mut self) -> Vec<(u32, R)> {
        let entrusted = |(index, made): (u32, &mut Made<R>)| match made.stand {
            Stand::Used { .. } => made.resource.take().map(|resource| (index, resource)),
            Stand::Idle | Stand::Validating(_) | Stand::Closing => None,
        };
        self.all_made().filter_map(entrusted).collect()
    }

    /// What is known of the connection at this place, if there is one that stands and is not being closed.
    pub(crate) fn life_mut(&mut self, index: u32) -> Option<&mut Life> {
        match &mut self.slots.get_mut(index as usize)?.used_for {
            Use::Made(Made { stand: Stand::Closing, .. }) | Use::Vacant | Use::Connecting(_) => {
                None
            }
            Use::Made(made) => Some(&mut made.life),
        }
    }

    fn all_made(&mut self) -> impl Iterator<Item = (u32, &mut Made<R>)> {
        self.slots.iter_mut().enumerate().filter_map(|(index, slot)| match &mut slot.used_for {
            Use::Made(made) => Some((index as u32, made)),
            Use::Vacant | Use::Connecting(_) => None,
        })
    }

    #[inline(always)]
    fn life(&self, index: u32) -> Option<&Life> {
        match &self.slots[index as usize].used_for {
            Use::Made(made) => Some(&made.life),
            Use::Vacant | Use::Connecting(_) => None,
        }
    }
}

impl<R> Slot<R> {
    /// The connection here, which must be one that was made.
    #[inline(always)]
    fn made(&mut self) -> &mut Made<R> {
        match &mut self.used_for {
            Use::Made(made) => made,
            Use::Vacant | Use::Connecting(_) => unreachable!("a connection is moved that stands"),
        }
    }

    /// Starts the next turn: whatever left under an earlier one is stale.
    #[inline(always)]
    fn next(&mut self, index: u32) -> SlotId {
        self.turn = (self.turn + 1) & TURNS;
        SlotId { index, turn: self.turn }
    }
}

impl Counts {
    #[inline(always)]
    fn of(&mut self, stand: &Stand) -> &mut u32 {
        match stand {
            Stand::Idle => &mut self.idle,
            Stand::Validating(_) => &mut self.validating,
            Stand::Used { .. } => &mut self.used,
            Stand::Closing => &mut self.closing,
        }
    }
}
