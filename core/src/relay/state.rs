//! Decides how a relay goes on: which way still carries bytes, what an end means for the other side,
//! and when silence has lasted too long.

use super::Side;
use crate::{context::CloseReason, duration::TimeLimit};
use std::time::Instant;

/// How long a relay bears silence.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Limits {
    pub(super) idle: TimeLimit,
    pub(super) half_close: TimeLimit,
    /// When it ends in any case.
    pub(super) until: Option<Instant>,
}

/// ```text
///           the second end was passed on
///   Open ──────────────────────────────────────▶ Over(Finished)
///    │ ├── silence for a limit ─────────────────▶ Over(IdleTimeout or HalfCloseTimeout)
///    │ ├── it has lasted long enough ───────────▶ Over(MaxDuration)
///    │ └── a side broke that had ended before ──▶ Over(Broken)
///    │ a side broke
///    ▼
///   Failing ── what it had sent is delivered, or cannot be any more ──▶ Over(Broken)
///
///                      any ── cut ──▶ Over(Cut)
/// ```
#[derive(Debug)]
pub(super) struct State {
    phase: Phase,
    limits: Limits,
    /// When a byte moved last, or the first end was passed on.
    last_move: Instant,
}

#[derive(Clone, Copy, Debug)]
enum Phase {
    /// `up` carries what the client sends, `down` what the server sends.
    Open {
        up: Lane,
        down: Lane,
    },
    /// `broken` takes nothing any more, but what it had sent still belongs to the other side: `lane`.
    Failing {
        broken: Side,
        lane: Lane,
    },
    Over(End),
}

/// One way, named after the side that it comes from.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Lane {
    Flowing,
    /// Its source says nothing more; what is held of it is on its way.
    Emptying,
    /// Everything was passed on; in `Open`, the end too.
    Ended,
}

/// Why a relay is over.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum End {
    /// Both sides said all they wanted to, and it was passed on.
    Finished,
    /// `side` was reset or lost. `told` says whether the other side had its end in order before.
    Broken { side: Side, told: bool },
    /// No byte moved for the idle limit.
    IdleTimeout,
    /// One side had ended and no byte moved for the half-close limit.
    HalfCloseTimeout,
    /// It had lasted for the maximum.
    MaxDuration,
    /// Ended from outside.
    Cut(CloseReason),
}

impl End {
    pub(super) fn reason(self) -> CloseReason {
        match self {
            Self::Finished => CloseReason::Finished,
            Self::Broken { .. } => CloseReason::Reset,
            Self::IdleTimeout => CloseReason::IdleTimeout,
            Self::HalfCloseTimeout => CloseReason::HalfCloseTimeout,
            Self::MaxDuration => CloseReason::MaxDuration,
            Self::Cut(reason) => reason,
        }
    }
}

/// What the driver must do next.
#[must_use]
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Action {
    Nothing,
    /// End the stream towards this side, in order.
    Finish(Side),
}

impl State {
    pub(super) fn new(limits: Limits, now: Instant) -> Self {
        let phase = Phase::Open { up: Lane::Flowing, down: Lane::Flowing };
        Self { phase, limits, last_move: now }
    }

    /// Whether what `side` sends is still wanted.
    pub(super) fn reads(&self, side: Side) -> bool {
        self.lane(side) == Some(Lane::Flowing)
    }

    /// Whether what is held of `side` still goes to the other one.
    pub(super) fn carries(&self, side: Side) -> bool {
        matches!(self.lane(side), Some(Lane::Flowing | Lane::Emptying))
    }

    /// Whether only the delivery of what the relay wrote is still waited for.
    pub(super) fn settles(&self) -> Option<Side> {
        match self.phase {
            Phase::Failing { broken, lane: Lane::Ended } => Some(broken),
            Phase::Open { .. } | Phase::Failing { .. } | Phase::Over(_) => None,
        }
    }

    /// Why the relay is over, once it is.
    pub(super) fn end(&self) -> Option<End> {
        match self.phase {
            Phase::Over(end) => Some(end),
            Phase::Open { .. } | Phase::Failing { .. } => None,
        }
    }

    pub(super) fn last_move(&self) -> Instant {
        self.last_move
    }

    /// When [`on_timeout`](Self::on_timeout) has something to say, if nothing moves before.
    pub(super) fn deadline(&self) -> Option<Instant> {
        let idle = self.limits.idle.from(self.last_move);
        let silence = match self.phase {
            Phase::Open { up: Lane::Ended, .. } | Phase::Open { down: Lane::Ended, .. } => {
                let half_close = self.limits.half_close.from(self.last_move);
                [idle, half_close].into_iter().flatten().min()
            }
            Phase::Open { .. } | Phase::Failing { .. } => idle,
            Phase::Over(_) => return None,
        };
        [silence, self.limits.until].into_iter().flatten().min()
    }

    /// Bytes were taken from a side or given to one.
    pub(super) fn on_moved(&mut self, now: Instant) {
        self.last_move = now;
    }

    /// `side` says nothing more.
    pub(super) fn on_source_ended(&mut self, side: Side) {
        if let Some(lane @ Lane::Flowing) = self.lane_mut(side) {
            *lane = Lane::Emptying;
        }
    }

    /// Nothing is held of what `side` sent.
    pub(super) fn on_emptied(&mut self, side: Side, now: Instant) -> Action {
        match self.lane_mut(side) {
            Some(lane @ Lane::Emptying) => *lane = Lane::Ended,
            Some(Lane::Flowing | Lane::Ended) | None => return Action::Nothing,
        }
        match self.phase {
            Phase::Open { up, down } => {
                self.last_move = now;
                if (up, down) == (Lane::Ended, Lane::Ended) {
                    self.phase = Phase::Over(End::Finished);
                }
                Action::Finish(side.other())
            }
            Phase::Failing { .. } | Phase::Over(_) => Action::Nothing,
        }
    }

    /// `side` was reset or lost: nothing reaches it any more. Its socket may still hold what it sent
    /// before, so it is read until it fails again or ends.
    pub(super) fn on_broken(&mut self, side: Side) {
        self.phase = match self.phase {
            Phase::Open { up, down } => match side.pick(up, down) {
                Lane::Ended => Phase::Over(End::Broken { side, told: true }),
                lane @ (Lane::Flowing | Lane::Emptying) => Phase::Failing { broken: side, lane },
            },
            Phase::Failing { broken, .. } if broken != side => {
                Phase::Over(End::Broken { side: broken, told: false })
            }
            Phase::Failing { broken, lane: Lane::Flowing } => {
                Phase::Failing { broken, lane: Lane::Emptying }
            }
            unchanged @ (Phase::Failing { .. } | Phase::Over(_)) => unchanged,
        };
    }

    /// What was written to the side that still stands has left this host.
    pub(super) fn on_delivered(&mut self) {
        if let Some(side) = self.settles() {
            self.phase = Phase::Over(End::Broken { side, told: false });
        }
    }

    /// The relay must end now.
    pub(super) fn on_cut(&mut self, reason: CloseReason) {
        if self.end().is_none() {
            self.phase = Phase::Over(End::Cut(reason));
        }
    }

    /// The clock reached `now`. Early and late calls are harmless.
    pub(super) fn on_timeout(&mut self, now: Instant) {
        if self.deadline().is_none_or(|deadline| now < deadline) {
            return;
        }
        self.phase = match self.phase {
            Phase::Open { .. } if self.limits.until.is_some_and(|until| until <= now) => {
                Phase::Over(End::MaxDuration)
            }
            Phase::Open { up: Lane::Ended, .. } | Phase::Open { down: Lane::Ended, .. }
                if self.limits.half_close.from(self.last_move).is_some_and(|at| at <= now) =>
            {
                Phase::Over(End::HalfCloseTimeout)
            }
            Phase::Open { .. } => Phase::Over(End::IdleTimeout),
            Phase::Failing { broken, .. } => Phase::Over(End::Broken { side: broken, told: false }),
            over @ Phase::Over(_) => over,
        };
    }

    fn lane(&self, side: Side) -> Option<Lane> {
        match self.phase {
            Phase::Open { up, down } => Some(side.pick(up, down)),
            Phase::Failing { broken, lane } => (broken == side).then_some(lane),
            Phase::Over(_) => None,
        }
    }

    fn lane_mut(&mut self, side: Side) -> Option<&mut Lane> {
        match &mut self.phase {
            Phase::Open { up, down } => Some(side.pick(up, down)),
            Phase::Failing { broken, lane } => (*broken == side).then_some(lane),
            Phase::Over(_) => None,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;
    use std::time::Duration;

    const IDLE: Duration = Duration::from_secs(100);
    const HALF_CLOSE: Duration = Duration::from_secs(10);

    #[expect(clippy::disallowed_methods, reason = "any moment will do")]
    fn state() -> (State, Instant) {
        let now = Instant::now();
        let limits = Limits { idle: IDLE.into(), half_close: HALF_CLOSE.into(), until: None };
        (State::new(limits, now), now)
    }

    #[test]
    fn an_end_is_passed_on_after_the_last_byte_and_not_before() {
        let (mut state, now) = state();
        assert_eq!(state.on_emptied(Side::Client, now), Action::Nothing);
        state.on_source_ended(Side::Client);
        assert!(state.carries(Side::Client) && !state.reads(Side::Client));
        assert_eq!(state.on_emptied(Side::Client, now), Action::Finish(Side::Server));
        assert!(state.reads(Side::Server), "the other way still carries bytes");
        state.on_source_ended(Side::Server);
        assert_eq!(state.on_emptied(Side::Server, now), Action::Finish(Side::Client));
        assert_eq!(state.end(), Some(End::Finished));
    }

    #[test]
    fn the_half_close_limit_counts_from_the_end_and_from_every_byte_after_it() {
        let (mut state, start) = state();
        state.on_source_ended(Side::Client);
        assert_eq!(state.deadline(), Some(start + IDLE), "nothing is cut while bytes are held");
        let ended = start + HALF_CLOSE * 2;
        assert_eq!(state.on_emptied(Side::Client, ended), Action::Finish(Side::Server));
        assert_eq!(state.deadline(), Some(ended + HALF_CLOSE));
        let moved = ended + HALF_CLOSE / 2;
        state.on_moved(moved);
        state.on_timeout(ended + HALF_CLOSE);
        assert_eq!(state.end(), None);
        state.on_timeout(moved + HALF_CLOSE);
        assert_eq!(state.end(), Some(End::HalfCloseTimeout));
    }

    #[test]
    fn an_idle_limit_below_the_half_close_limit_still_holds() {
        let (_, now) = state();
        let limits = Limits { idle: HALF_CLOSE.into(), half_close: TimeLimit::Never, until: None };
        let mut state = State::new(limits, now);
        state.on_source_ended(Side::Client);
        let _ = state.on_emptied(Side::Client, now);
        state.on_timeout(now + HALF_CLOSE);
        assert_eq!(state.end(), Some(End::IdleTimeout));
    }

    #[test]
    fn a_limit_of_never_has_no_deadline() {
        let (_, now) = state();
        let limits = Limits { idle: TimeLimit::Never, half_close: TimeLimit::Never, until: None };
        let mut state = State::new(limits, now);
        assert_eq!(state.deadline(), None);
        state.on_source_ended(Side::Server);
        let _ = state.on_emptied(Side::Server, now);
        state.on_timeout(now + IDLE * 1000);
        assert_eq!((state.deadline(), state.end()), (None, None));
    }

    #[test]
    fn a_maximum_holds_whatever_moves_and_whoever_ended() {
        let (_, now) = state();
        let until = now + IDLE * 3;
        let limits = Limits { idle: IDLE.into(), half_close: TimeLimit::Never, until: Some(until) };
        let mut state = State::new(limits, now);
        assert_eq!(state.deadline(), Some(now + IDLE));
        state.on_moved(until - Duration::from_secs(1));
        assert_eq!(state.deadline(), Some(until));
        state.on_source_ended(Side::Client);
        state.on_timeout(until - Duration::from_nanos(1));
        assert_eq!(state.end(), None);
        state.on_timeout(until);
        assert_eq!((state.end(), state.deadline()), (Some(End::MaxDuration), None));
    }

    #[test]
    fn what_a_broken_side_had_sent_is_delivered_before_the_other_is_reset() {
        let (mut state, now) = state();
        state.on_broken(Side::Client);
        assert!(state.reads(Side::Client), "what its socket still holds belongs to the server");
        assert!(!state.reads(Side::Server), "nothing reaches the client any more");
        state.on_broken(Side::Client);
        assert!(state.carries(Side::Client) && !state.reads(Side::Client));
        assert_eq!(state.settles(), None);
        let _ = state.on_emptied(Side::Client, now);
        assert_eq!((state.settles(), state.end()), (Some(Side::Client), None));
        state.on_delivered();
        assert_eq!(state.end(), Some(End::Broken { side: Side::Client, told: false }));
    }

    #[test]
    fn a_side_that_ended_before_it_broke_has_nothing_more_to_deliver() {
        let (mut state, now) = state();
        state.on_source_ended(Side::Client);
        let _ = state.on_emptied(Side::Client, now);
        state.on_broken(Side::Client);
        assert_eq!(state.end(), Some(End::Broken { side: Side::Client, told: true }));
    }

    #[test]
    fn when_both_sides_broke_the_first_is_named() {
        let (mut state, _) = state();
        state.on_broken(Side::Server);
        state.on_broken(Side::Client);
        assert_eq!(state.end(), Some(End::Broken { side: Side::Server, told: false }));
    }

    #[test]
    fn a_side_that_takes_nothing_does_not_hold_a_broken_one_for_ever() {
        let (mut state, now) = state();
        state.on_broken(Side::Client);
        state.on_timeout(now + IDLE);
        assert_eq!(state.end(), Some(End::Broken { side: Side::Client, told: false }));
    }

    #[derive(Clone, Copy, Debug)]
    enum Event {
        Moved,
        SourceEnded(Side),
        Emptied(Side),
        Broken(Side),
        Delivered,
        Cut,
        Wait(u64),
    }

    fn event() -> impl Strategy<Value = Event> {
        let side = prop_oneof![Just(Side::Client), Just(Side::Server)];
        prop_oneof![
            6 => Just(Event::Moved),
            4 => side.clone().prop_map(Event::SourceEnded),
            4 => side.clone().prop_map(Event::Emptied),
            2 => side.prop_map(Event::Broken),
            2 => Just(Event::Delivered),
            1 => Just(Event::Cut),
            4 => (0u64..120).prop_map(Event::Wait),
        ]
    }

    proptest! {
        #[test]
        fn in_any_order_of_events_ends_are_passed_on_once_and_the_verdict_stays(
            events in proptest::collection::vec(event(), 0..40),
            max_seconds in proptest::option::of(0u64..500),
        ) {
            let (mut state, mut now) = state();
            state.limits.until = max_seconds.map(|seconds| now + Duration::from_secs(seconds));
            let mut finished = Vec::new();
            let mut verdict = None;
            for event in events {
                match event {
                    Event::Moved => state.on_moved(now),
                    Event::SourceEnded(side) => state.on_source_ended(side),
                    Event::Emptied(side) => match state.on_emptied(side, now) {
                        Action::Finish(to) => finished.push(to),
                        Action::Nothing => {}
                    },
                    Event::Broken(side) => state.on_broken(side),
                    Event::Delivered => state.on_delivered(),
                    Event::Cut => state.on_cut(CloseReason::Local),
                    Event::Wait(seconds) => {
                        let before = state.deadline();
                        now += Duration::from_secs(seconds);
                        state.on_timeout(now);
                        let due = before.is_some_and(|deadline| deadline <= now);
                        prop_assert!(!due || state.end().is_some());
                    }
                }
                prop_assert!(verdict.is_none() || state.end() == verdict, "{:?}", state.end());
                verdict = state.end();
                let quiet = Side::BOTH.iter().all(|side| !state.carries(*side));
                prop_assert!(verdict.is_none() || (quiet && state.deadline().is_none()));
            }
            finished.sort_by_key(|side| *side == Side::Server);
            finished.dedup();
            prop_assert_eq!(finished.len() == 2, verdict == Some(End::Finished));
            // Whatever happened, silence ends it.
            state.on_timeout(now + IDLE);
            prop_assert!(state.end().is_some());
        }
    }
}
