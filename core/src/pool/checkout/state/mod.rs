//! What a checkout pool decides: whom to serve, what to open, check and close; without clock, lock or chance.

mod callers;
mod choice;
mod movement;
mod owner;
mod reports;
mod supply;
mod upkeep;
mod verdict;

pub(crate) use verdict::{
    Action, Actions, Answer, Call, Collected, Custody, Fate, Left, Loan, PutBack, Refusal,
    TellAnswer, Validation, Verdict, Waiter,
};

use super::{
    endpoints::Endpoints,
    holder::Holder,
    line::Line,
    slots::{SlotId, Slots},
    stats::{CheckoutPoolStats, Tally, Usage},
    terms::{Abilities, Terms},
};
use crate::{config::CheckoutPoolConfig, pool::moment::Moment};
use std::{collections::VecDeque, sync::Arc};

/// Everything that a checkout pool knows, behind the one short lock of its driver.
///
/// ```text
///                 open            opened            lend, serve
///   (nothing) ─────────▶ Connecting ─────▶ Idle ─────────────────▶ Used
///       ▲                    │    check ▲   │  ▲                     │
///       │             failed │          ▼   │  │ passed              │ put back
///       │◀───────────────────┘     Validating ◀┼─────────────────────┤ reset
///       │                               │   │  └─────────────────────┘
///       │ closed                 failed │   │ expired, stale, surplus │ broken, expired, stale
///       └────────────────── Closing ◀───┴───┴─────────────────────────┘
/// ```
///
/// Whatever leaves one phase for another is offered first to the oldest waiter, and every event ends with a
/// look at what is [missing](State::supply): a waiter stands in line only while nothing fit to be lent is idle,
/// and either something is on its way to it, or there is no room, or no endpoint may be tried. All else that is to be done comes out as [`Action`]s, to be
/// carried out after the lock is released.
///
/// What every lending and putting back passes is `inline(always)`: the compiler then makes one function of it, in which
/// the connection is moved once and not from step to step. What only some pass is kept out of that.
#[derive(Debug)]
pub(crate) struct State<R> {
    terms: Terms,
    stage: Stage,
    epoch: u32,
    slots: Slots<R>,
    /// Connections on their way to be idle or lent: attempts, checks and resets on which callers may rely.
    coming: u32,
    /// When checks and resets that are still under way are relied on no longer, the oldest first.
    doubts: VecDeque<(Moment, SlotId)>,
    line: Line<Waiter, Answer<R>>,
    endpoints: Endpoints,
    tally: Tally,
    next_sweep: Moment,
    /// At which idle connection the next sweep begins.
    next_look: usize,
    /// When surplus connections may be closed for idleness again.
    next_trim: Option<Moment>,
    chance: fn() -> f64,
}
/// What a pool still does.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Stage {
    Open,
    /// Those in line are served, nobody joins it.
    Draining,
    Closed,
}

impl<R> State<R> {
    /// An open, empty pool. `chance` gives a fresh draw from 0..1 each time.
    pub(crate) fn new(
        terms: Terms,
        endpoints: Endpoints,
        now: Moment,
        chance: fn() -> f64,
    ) -> Self {
        Self {
            terms,
            stage: Stage::Open,
            epoch: 0,
            slots: Slots::new(),
            coming: 0,
            doubts: VecDeque::new(),
            line: Line::new(),
            endpoints,
            tally: Tally::default(),
            next_sweep: now,
            next_look: 0,
            next_trim: None,
            chance,
        }
    }

    /// What a process sees of a pool that belongs to another: it is closed and empty.
    pub(crate) fn foreign(name: Arc<str>, now: Moment) -> Self {
        let config = CheckoutPoolConfig::default();
        let endpoints = Endpoints::new(Vec::new(), &config, now);
        let mut terms = Terms::new(&config, Abilities::default());
        (terms.name, terms.max_size, terms.min_idle) = (name, 0, 0);
        Self { stage: Stage::Closed, ..Self::new(terms, endpoints, now, || 0.0) }
    }

    pub(crate) fn terms(&self) -> &Terms {
        &self.terms
    }

    pub(crate) fn stats(&self) -> CheckoutPoolStats {
        CheckoutPoolStats {
            max_size: self.terms.max_size,
            min_idle: self.terms.min_idle,
            waiting: self.line.waiting() as u32,
            epoch: self.epoch,
            ..self.tally.stats(self.slots.counts())
        }
    }

    /// How it was used so far, and the most lent at one time since this was asked last: for the tuner.
    pub(crate) fn take_usage(&mut self) -> (Usage, u32) {
        let peak = self.tally.take_window_peak(self.slots.counts().used);
        (self.tally.usage(), peak)
    }

    /// Starts a new measurement of the peak.
    pub(crate) fn take_peak(&mut self) -> u32 {
        self.tally.take_peak(self.slots.counts().used)
    }

    /// Connections that are made or being made.
    pub(crate) fn total(&self) -> u32 {
        self.slots.counts().total()
    }

    pub(crate) fn is_open(&self) -> bool {
        self.stage == Stage::Open
    }

    pub(crate) fn endpoints(&self) -> &Endpoints {
        &self.endpoints
    }

    pub(crate) fn used(&self) -> impl Iterator<Item = (SlotId, Moment, &Holder)> {
        self.slots.used()
    }

    /// Whether nothing is left of a pool that ends.
    pub(crate) fn is_finished(&self) -> bool {
        self.stage != Stage::Open && self.slots.counts().total() == 0 && self.line.waiting() == 0
    }

    /// Whether as many connections stand as should stand ready.
    pub(crate) fn is_warm(&self) -> bool {
        let counts = self.slots.counts();
        self.stage != Stage::Open
            || counts.idle >= self.terms.min_idle
            || counts.useful() >= self.terms.max_size
    }
}
