//! Upkeep: what happens without anybody asking, because time has passed.

use super::super::slots::{Life, Relief, SlotId};
use super::{Action, Actions, State, Validation};
use crate::pool::{moment::Moment, reason::PoolCloseReason};
use std::time::Duration;

/// Idle connections that one sweep looks at, at most.
const SWEEP_LOOKS: usize = 256;
/// Time between two sweeps.
const SWEEP_PERIOD: Duration = Duration::from_secs(1);
/// In this time at most half of the surplus is closed for idleness, so that a pool shrinks smoothly.
const TRIM_PERIOD: Duration = Duration::from_secs(5);

impl<R> State<R> {
    /// Time has passed: at the latest when [`wake_at`](Self::wake_at) said.
    pub(crate) fn on_tick(&mut self, now: Moment, actions: &mut Actions<R>) {
        while let Some((ticket, waiter)) = self.line.expire(now) {
            self.tally.timeouts += 1;
            let refusal = self.exhausted(now, now.since(waiter.since));
            self.answer(ticket, waiter.call, Err(refusal), actions);
        }
        if self.next_sweep <= now {
            self.sweep(now, actions);
            self.report_leaks(now, actions);
            self.next_sweep = now + SWEEP_PERIOD;
        }
        self.doubt_slow_checks(now);
        self.supply(now, actions);
    }

    /// When [`on_tick`](Self::on_tick) has something to do; `None` while only calls change anything.
    pub(crate) fn wake_at(&self, now: Moment) -> Option<Moment> {
        let sweep = (self.slots.counts().total() > 0).then_some(self.next_sweep);
        let attempt = self.wants_more().then(|| self.endpoints.next_attempt(now)).flatten();
        [self.line.soonest(), sweep, attempt, self.next_doubt()].into_iter().flatten().min()
    }

    /// Looks after the idle connections, in turn where there are too many to look at or to check at one time.
    pub(super) fn sweep(&mut self, now: Moment, actions: &mut Actions<R>) {
        let mut trims = self.trims(now);
        let mut place = self.next_look;
        self.next_look = 0;
        for _ in 0..(self.slots.counts().idle as usize).min(SWEEP_LOOKS) {
            if place >= self.slots.counts().idle as usize {
                place = 0;
            }
            let Some((id, life)) = self.slots.idle_at(place) else { break };
            let life = *life;
            match self.terms.over(&life, self.epoch, now) {
                Some(PoolCloseReason::IdleTimeout) if trims == 0 => place += 1,
                Some(reason) => {
                    if reason == PoolCloseReason::IdleTimeout {
                        trims -= 1;
                        self.next_trim = Some(now + TRIM_PERIOD);
                    }
                    if let Some((index, resource)) = self.slots.take_idle_at(place) {
                        self.close(index, resource, reason, actions);
                    }
                }
                None if self.is_due_for_probe(&life, now) => {
                    if let Some((index, resource)) = self.slots.take_idle_at(place) {
                        self.validate(index, resource, Validation::Check, now, actions);
                        // It will stand at the same place again.
                        self.next_look = place + 1;
                    }
                }
                None => {
                    if life.relief == Relief::None && self.terms.ends_soon(&life, now) {
                        self.call_relief(id, now, actions);
                    }
                    place += 1;
                }
            }
        }
        if self.next_look == 0 {
            self.next_look = place;
        }
    }

    /// How many idle connections may be closed for idleness now.
    pub(super) fn trims(&self, now: Moment) -> usize {
        if self.next_trim.is_some_and(|next| next > now) {
            return 0;
        }
        let surplus = self.slots.counts().idle.saturating_sub(self.terms.min_idle);
        (surplus as usize).div_ceil(2).max(1)
    }

    /// One at a time, and never the reason why a caller has to wait.
    pub(super) fn is_due_for_probe(&self, life: &Life, now: Moment) -> bool {
        self.slots.counts().validating == 0 && life.probe_at.is_some_and(|probe_at| probe_at <= now)
    }

    /// Opens the connection that will take the place of an old one, if there is room for both.
    pub(super) fn call_relief(&mut self, old: SlotId, now: Moment, actions: &mut Actions<R>) {
        if self.slots.counts().total() >= self.terms.max_size || !self.open(Some(old), now, actions)
        {
            return;
        }
        if let Some(life) = self.slots.life_mut(old.index) {
            life.relief = Relief::Called;
        }
    }

    /// The younger connection stands: the old one goes, unless somebody has it. Returns when it was used last.
    pub(super) fn relieve(&mut self, old: SlotId, actions: &mut Actions<R>) -> Option<Moment> {
        let (index, resource) = self.slots.take_idle_by(old)?;
        let last_used = self.slots.at(index).life.last_used;
        self.tally.relieved += 1;
        self.close(index, resource, PoolCloseReason::Lifetime, actions);
        Some(last_used)
    }

    pub(super) fn report_leaks(&mut self, now: Moment, actions: &mut Actions<R>) {
        let Some(leak_after) = self.terms.leak_after else { return };
        for (holder, held) in self.slots.report_leaks(now, leak_after) {
            self.tally.leaks += 1;
            actions.push(Action::ReportLeak { holder, held });
        }
    }
}
