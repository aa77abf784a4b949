//! The five states of a channel, how they add up, and what may be told of them.

/// Whether a channel, or one address of it, can carry calls. The numbers are part of the ABI.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
#[repr(i32)]
pub enum ConnectivityState {
    /// There is no connection, and nobody asked for one.
    Idle = 0,
    /// A connection is being made.
    Connecting = 1,
    /// Calls can be sent.
    Ready = 2,
    /// The last attempt failed; the next one waits for its time.
    TransientFailure = 3,
    /// It was closed, for good.
    Shutdown = 4,
}

impl ConnectivityState {
    /// Every state, at the index of its number.
    pub const ALL: [Self; 5] =
        [Self::Idle, Self::Connecting, Self::Ready, Self::TransientFailure, Self::Shutdown];

    /// Lower-case name, as in logs and other languages.
    pub fn name(self) -> &'static str {
        match self {
            Self::Idle => "idle",
            Self::Connecting => "connecting",
            Self::Ready => "ready",
            Self::TransientFailure => "transient_failure",
            Self::Shutdown => "shutdown",
        }
    }

    /// The stable number.
    pub fn code(self) -> i32 {
        self as i32
    }

    /// The state of this number.
    pub fn from_code(code: i32) -> Option<Self> {
        usize::try_from(code).ok().and_then(|code| Self::ALL.get(code)).copied()
    }
}

/// What several addresses make together: ready if any is, else connecting if any is, else idle if any is, else
/// failing.
pub(super) fn aggregate(states: impl IntoIterator<Item = ConnectivityState>) -> ConnectivityState {
    let rank = |state: ConnectivityState| match state {
        ConnectivityState::Ready => 0,
        ConnectivityState::Connecting => 1,
        ConnectivityState::Idle => 2,
        ConnectivityState::TransientFailure | ConnectivityState::Shutdown => 3,
    };
    let best = states.into_iter().min_by_key(|state| rank(*state));
    best.unwrap_or(ConnectivityState::TransientFailure)
}

/// What is told of a channel: once it fails, it is said to fail until it is ready.
///
/// So calls that do not wait for ready are refused while one attempt after the other fails, instead of being
/// held up by each of them.
///
/// ```text
///            Idle ──▶ Connecting ──▶ Ready ──▶ Idle
///                          │           ▲
///                          ▼           │
///                   TransientFailure ──┘       any ──▶ Shutdown
/// ```
#[derive(Clone, Copy, Debug)]
pub(super) struct Told(ConnectivityState);

impl Default for Told {
    fn default() -> Self {
        Self(ConnectivityState::Idle)
    }
}

impl Told {
    pub(super) fn state(self) -> ConnectivityState {
        self.0
    }

    /// The addresses make `state` together. Returns whether something else is told from now on.
    pub(super) fn on_aggregate(&mut self, state: ConnectivityState) -> bool {
        use ConnectivityState::{Connecting, Idle, Ready, Shutdown, TransientFailure};
        let next = match (self.0, state) {
            (Shutdown, _) => Shutdown,
            (TransientFailure, Connecting | Idle) => TransientFailure,
            (_, Idle | Connecting | Ready | TransientFailure | Shutdown) => state,
        };
        self.become_(next)
    }

    /// Nobody uses the channel any more, or it begins to be used: what was told before is forgotten.
    pub(super) fn on_fresh_start(&mut self, state: ConnectivityState) -> bool {
        match self.0 {
            ConnectivityState::Shutdown => false,
            ConnectivityState::Idle
            | ConnectivityState::Connecting
            | ConnectivityState::Ready
            | ConnectivityState::TransientFailure => self.become_(state),
        }
    }

    fn become_(&mut self, next: ConnectivityState) -> bool {
        std::mem::replace(&mut self.0, next) != next
    }
}

#[cfg(test)]
mod tests {
    use super::ConnectivityState::{Connecting, Idle, Ready, Shutdown, TransientFailure};
    use super::*;

    #[test]
    fn the_best_address_speaks_for_all() {
        assert_eq!(aggregate([TransientFailure, Idle, Connecting, Ready]), Ready);
        assert_eq!(aggregate([TransientFailure, Idle, Connecting]), Connecting);
        assert_eq!(aggregate([TransientFailure, Idle]), Idle);
        assert_eq!(aggregate([TransientFailure]), TransientFailure);
        assert_eq!(aggregate([]), TransientFailure);
    }

    #[test]
    fn every_state_and_every_news_lead_where_the_table_says() {
        let table = [
            (Idle, [Idle, Connecting, Ready, TransientFailure, Shutdown]),
            (Connecting, [Idle, Connecting, Ready, TransientFailure, Shutdown]),
            (Ready, [Idle, Connecting, Ready, TransientFailure, Shutdown]),
            (
                TransientFailure,
                [TransientFailure, TransientFailure, Ready, TransientFailure, Shutdown],
            ),
            (Shutdown, [Shutdown; 5]),
        ];
        for (before, expected) in table {
            for (news, after) in ConnectivityState::ALL.into_iter().zip(expected) {
                let mut told = Told(before);
                assert_eq!(told.on_aggregate(news), before != after, "{before:?}, {news:?}");
                assert_eq!(told.state(), after, "{before:?}, {news:?}");
            }
        }
    }

    #[test]
    fn a_channel_that_rests_has_forgotten_that_it_failed_and_one_that_is_closed_stays_so() {
        let mut told = Told(TransientFailure);
        assert!(told.on_fresh_start(Idle) && told.state() == Idle);
        let mut closed = Told(Shutdown);
        assert!(!closed.on_fresh_start(Idle) && closed.state() == Shutdown);
    }

    #[test]
    fn names_and_numbers_belong_together() {
        for (code, state) in (0..).zip(ConnectivityState::ALL) {
            assert_eq!((state.code(), ConnectivityState::from_code(code)), (code, Some(state)));
        }
        assert_eq!(ConnectivityState::from_code(5), None);
        assert_eq!(ConnectivityState::from_code(-1), None);
    }
}
