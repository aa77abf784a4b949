//! Keeps calls away from one address that has enough of them, or that fails.

use crate::{
    config::CircuitConfig,
    endpoint::{Breaker, Outcome, Pass},
    status::StatusCode,
};
use std::time::Instant;

/// What stands before one address.
#[derive(Debug)]
pub(in crate::channel) struct Guard {
    max_calls: u32,
    breaker: Option<Box<Breaker>>,
}

impl Guard {
    pub(in crate::channel) fn new(config: &CircuitConfig, now: Instant) -> Self {
        let breaker = config.breaker.map(|config| Box::new(Breaker::new(config, now)));
        Self { max_calls: config.max_calls.unwrap_or(u32::MAX), breaker }
    }

    /// Whether one more call may go there beside `in_flight` others.
    pub(in crate::channel) fn admits(&self, in_flight: u32, now: Instant) -> bool {
        in_flight < self.max_calls
            && self.breaker.as_ref().is_none_or(|breaker| breaker.is_ready(now))
    }

    /// A call goes there that [`admits`](Self::admits) let through.
    pub(in crate::channel) fn on_call(&mut self, now: Instant) -> Option<Pass> {
        self.breaker.as_mut()?.on_admit(now).ok()
    }

    /// The call that `pass` was given for ended with `code`, or was given up. `unit` is a fresh draw from 0..1.
    pub(in crate::channel) fn on_done(
        &mut self,
        pass: Option<Pass>,
        code: Option<StatusCode>,
        now: Instant,
        unit: f64,
    ) {
        if let (Some(breaker), Some(pass)) = (&mut self.breaker, pass) {
            breaker.on_outcome(pass, outcome(code), now, unit);
        }
    }
}

/// What a status says of the server, where it is not the caller's own doing.
fn outcome(code: Option<StatusCode>) -> Outcome {
    match code {
        None | Some(StatusCode::Cancelled) => Outcome::Cancelled,
        Some(
            StatusCode::Unknown
            | StatusCode::DeadlineExceeded
            | StatusCode::ResourceExhausted
            | StatusCode::Internal
            | StatusCode::Unavailable
            | StatusCode::DataLoss,
        ) => Outcome::Failure,
        Some(
            StatusCode::Ok
            | StatusCode::InvalidArgument
            | StatusCode::NotFound
            | StatusCode::AlreadyExists
            | StatusCode::PermissionDenied
            | StatusCode::FailedPrecondition
            | StatusCode::Aborted
            | StatusCode::OutOfRange
            | StatusCode::Unimplemented
            | StatusCode::Unauthenticated,
        ) => Outcome::Success,
    }
}
