//! Which idle connection is lent next.

use super::{Actions, State, Validation};
use crate::pool::{moment::Moment, reason::PoolCloseReason};

/// Idle connections that are looked at, at most, to find one that is fit at once.
const LOOKS: usize = 256;

/// What an idle connection may be used for.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Fitness {
    /// To be lent.
    Fit,
    /// To be lent once it has passed a check.
    Unproven,
    /// For nothing: it was idle for too long, and waits to be closed.
    Spent,
    /// For nothing.
    Over(PoolCloseReason),
}

/// The best of the idle connections, by its place among them.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Choice {
    /// It may be lent.
    Fit(usize),
    /// It may be lent, but others whose turn was before it need a check.
    FitAfterOthers(usize),
    /// It needs a check.
    Unproven(usize),
    /// None may be lent.
    Nothing,
}

impl<R> State<R> {
    /// The idle connection for the next caller. Those whose turn it would be and that are over are closed.
    #[inline(always)]
    pub(super) fn choose_idle(&mut self, now: Moment, actions: &mut Actions<R>) -> Choice {
        loop {
            let Some(place) = self.idle_places().next() else { return Choice::Nothing };
            match self.fitness(place, now) {
                Fitness::Fit => return Choice::Fit(place),
                Fitness::Unproven | Fitness::Spent => return self.choose_among_all(now),
                Fitness::Over(reason) => self.close_idle_at(place, reason, actions),
            }
        }
    }

    #[inline(never)]
    fn choose_among_all(&self, now: Moment) -> Choice {
        let mut choice = Choice::Nothing;
        for place in self.idle_places().take(LOOKS) {
            match self.fitness(place, now) {
                Fitness::Fit => return Choice::FitAfterOthers(place),
                Fitness::Unproven if choice == Choice::Nothing => choice = Choice::Unproven(place),
                Fitness::Unproven | Fitness::Spent | Fitness::Over(_) => {}
            }
        }
        choice
    }

    /// The places of the idle connections, in the order in which they are lent.
    #[inline(always)]
    fn idle_places(&self) -> impl Iterator<Item = usize> + use<R> {
        let (idle, newest_first) = (self.slots.counts().idle as usize, self.terms.newest_first);
        (0..idle).map(move |nth| if newest_first { idle - 1 - nth } else { nth })
    }

    #[inline(always)]
    fn fitness(&self, place: usize, now: Moment) -> Fitness {
        let Some((_, life)) = self.slots.idle_at(place) else { return Fitness::Spent };
        match self.terms.over(life, self.epoch, now) {
            Some(PoolCloseReason::IdleTimeout) => Fitness::Spent,
            Some(reason) => Fitness::Over(reason),
            None if self.terms.needs_check(life, now) => Fitness::Unproven,
            None => Fitness::Fit,
        }
    }

    /// Checks the idle connection at this place.
    pub(super) fn check_idle(&mut self, place: usize, now: Moment, actions: &mut Actions<R>) {
        if let Some((index, resource)) = self.slots.take_idle_at(place) {
            self.validate(index, resource, Validation::Check, now, actions);
        }
    }

    /// Checks the idle connection whose turn it is, if none is fit without, for the next who asks.
    pub(super) fn prove_for_next(&mut self, now: Moment, actions: &mut Actions<R>) {
        if let Choice::Unproven(place) = self.choose_idle(now, actions) {
            self.check_idle(place, now, actions);
        }
    }

    /// Checks the first of those that were passed over for want of a check, so that it is fit when it is next.
    pub(super) fn prove_passed_over(&mut self, now: Moment, actions: &mut Actions<R>) {
        let is_unproven = |place: &usize| self.fitness(*place, now) == Fitness::Unproven;
        if let Some(place) = self.idle_places().take(LOOKS).find(is_unproven) {
            self.check_idle(place, now, actions);
        }
    }

    pub(super) fn close_idle_at(
        &mut self,
        place: usize,
        reason: PoolCloseReason,
        actions: &mut Actions<R>,
    ) {
        if let Some((index, resource)) = self.slots.take_idle_at(place) {
            self.close(index, resource, reason, actions);
        }
    }

    /// Whether an idle connection could be lent at once, for tests.
    #[cfg(all(test, not(trunkline_loom)))]
    pub(crate) fn has_fit_idle(&self, now: Moment) -> bool {
        self.idle_places().any(|place| self.fitness(place, now) == Fitness::Fit)
    }
}
