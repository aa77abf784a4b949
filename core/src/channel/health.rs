//! What a server says of its health, and when it is asked again.

use super::messages::HealthCheckResponse;
use crate::{
    backoff::{Backoff, BackoffConfig, MIN_CONNECT_TIMEOUT},
    status::StatusCode,
};
use prost::{DecodeError, Message as _};
use std::time::{Duration, Instant};

/// What a server says of a service, by the words of `grpc.health.v1`.
#[non_exhaustive]
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
#[repr(u8)]
pub enum ServingStatus {
    /// It does not know.
    Unknown = 0,
    /// Calls are welcome.
    Serving = 1,
    /// Calls are not.
    NotServing = 2,
    /// There is no such service. Said only to those who watch it.
    ServiceUnknown = 3,
}

impl ServingStatus {
    /// As in gRPC's documents, such as `NOT_SERVING`.
    pub fn name(self) -> &'static str {
        match self {
            Self::Unknown => "UNKNOWN",
            Self::Serving => "SERVING",
            Self::NotServing => "NOT_SERVING",
            Self::ServiceUnknown => "SERVICE_UNKNOWN",
        }
    }

    /// Reads an answer. A number that is not known here counts as unknown.
    pub(super) fn read(message: &[u8]) -> Result<Self, DecodeError> {
        Ok(match HealthCheckResponse::decode(message)?.status {
            1 => Self::Serving,
            2 => Self::NotServing,
            3 => Self::ServiceUnknown,
            _ => Self::Unknown,
        })
    }

    pub(super) fn message(self) -> HealthCheckResponse {
        HealthCheckResponse { status: self as i32 }
    }
}

/// Whether calls go to a connection, by what its server says of its health.
///
/// ```text
///               SERVING                       anything else, or the question fails
///   Unknown ──────────────▶ Serving ──────────────────────────────────────────────▶ NotServing
///      │                       ▲                                                        │  ▲
///      │                       └─────────────────────── SERVING ────────────────────────┘  │
///      └───────────────────────────── anything else, or the question fails ────────────────┘
///
///   any ── the server does not know the question ──▶ NotAsked
/// ```
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Health {
    /// Nobody asks, or the server does not know the question: calls go there.
    NotAsked,
    /// It was asked, and has not answered yet.
    Unknown,
    Serving,
    NotServing,
}

impl Health {
    pub(super) fn takes_calls(self) -> bool {
        match self {
            Self::NotAsked | Self::Serving => true,
            Self::Unknown | Self::NotServing => false,
        }
    }
}

impl From<ServingStatus> for Health {
    fn from(status: ServingStatus) -> Self {
        match status {
            ServingStatus::Serving => Self::Serving,
            ServingStatus::Unknown | ServingStatus::NotServing | ServingStatus::ServiceUnknown => {
                Self::NotServing
            }
        }
    }
}

/// When a server is asked: again when a question ends, with the backoff of connections, which an answer takes back.
#[derive(Debug)]
pub(super) struct Question {
    backoff: Backoff,
    /// The least time from one to the next, also after an answer.
    base: Duration,
    put: Option<Put>,
}

/// A question that was put.
#[derive(Clone, Copy, Debug)]
struct Put {
    at: Instant,
    /// When the next may be put, should this one end before.
    next: Instant,
}

/// What follows from the end of a question.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum After {
    /// The server does not know it: it is not asked again, and calls go there.
    Never,
    /// It is put again then; until there is an answer no calls go there.
    At(Instant),
}

impl Question {
    pub(super) fn new(backoff: BackoffConfig) -> Self {
        let base = backoff.delay(0, 0.5);
        Self { backoff: Backoff::new(backoff, MIN_CONNECT_TIMEOUT), base, put: None }
    }

    /// It is put at `now`. `unit` is a fresh draw from 0..1.
    pub(super) fn on_put(&mut self, now: Instant, unit: f64) {
        let next = self.backoff.on_attempt(now, unit).next_attempt;
        self.put = Some(Put { at: now, next });
    }

    /// An answer came; more may follow.
    pub(super) fn on_answer(&mut self) {
        self.backoff.on_connected();
        if let Some(put) = &mut self.put {
            put.next = put.at + self.base;
        }
    }

    /// It ended at `now` with `code`.
    pub(super) fn on_end(&mut self, code: StatusCode, now: Instant) -> After {
        match code {
            StatusCode::Unimplemented => After::Never,
            _ => {
                self.backoff.on_failure(now);
                After::At(self.put.map_or(now, |put| put.next.max(now)))
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const SECOND: Duration = Duration::from_secs(1);

    #[expect(clippy::disallowed_methods, reason = "any instant will do")]
    fn start() -> Instant {
        Instant::now()
    }

    fn question() -> Question {
        Question::new(BackoffConfig { jitter: 0.0, ..BackoffConfig::default() })
    }

    #[test]
    fn only_serving_is_healthy() {
        for (message, expected) in [
            (&[][..], ServingStatus::Unknown),
            (&[0x08, 0x01], ServingStatus::Serving),
            (&[0x08, 0x02], ServingStatus::NotServing),
            (&[0x08, 0x03], ServingStatus::ServiceUnknown),
            (&[0x08, 0x63], ServingStatus::Unknown),
            (&[0x12, 0x01, b'x', 0x08, 0x01], ServingStatus::Serving),
        ] {
            let read = ServingStatus::read(message).unwrap();
            assert_eq!(read, expected, "{message:?}");
            assert_eq!(ServingStatus::read(&read.message().encode_to_vec()), Ok(read));
            let health = Health::from(read);
            assert_eq!(health.takes_calls(), read == ServingStatus::Serving, "{message:?}");
        }
        assert!(ServingStatus::read(&[0x08]).is_err());
    }

    #[test]
    fn a_question_that_fails_is_put_less_and_less_often() {
        let (mut question, mut now) = (question(), start());
        for millis in [1000, 1600, 2560] {
            question.on_put(now, 0.5);
            let After::At(next) = question.on_end(StatusCode::Unavailable, now) else { panic!() };
            assert_eq!(next - now, Duration::from_millis(millis));
            now = next;
        }
    }

    #[test]
    fn an_answer_takes_the_backoff_back() {
        let (mut question, now) = (question(), start());
        for _ in 0..5 {
            question.on_put(now, 0.5);
            question.on_end(StatusCode::Unavailable, now);
        }
        question.on_put(now, 0.5);
        question.on_answer();
        assert_eq!(question.on_end(StatusCode::Ok, now), After::At(now + SECOND));
        question.on_put(now + SECOND, 0.5);
        let again = question.on_end(StatusCode::Unavailable, now + SECOND);
        assert_eq!(again, After::At(now + 2 * SECOND));
    }

    #[test]
    fn a_question_that_was_answered_long_ago_is_put_again_at_once() {
        let (mut question, now) = (question(), start());
        question.on_put(now, 0.5);
        question.on_answer();
        let later = now + 60 * SECOND;
        assert_eq!(question.on_end(StatusCode::Unavailable, later), After::At(later));
    }

    #[test]
    fn a_server_that_does_not_know_the_question_is_not_asked_again() {
        let (mut question, now) = (question(), start());
        question.on_put(now, 0.5);
        assert_eq!(question.on_end(StatusCode::Unimplemented, now), After::Never);
    }
}
