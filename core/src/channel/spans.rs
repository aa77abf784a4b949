//! The spans of calls and of their attempts, for who traces. At DEBUG: where nobody listens to that, they are nothing.

use crate::{address::Address, status::StatusCode};
use tracing::{
    Span, debug_span,
    field::{Empty, display},
};

/// A call, from its beginning to its end.
pub(super) fn of_call(target: &str, method: &str) -> Span {
    debug_span!("call", target, method, status = Empty)
}

/// One attempt of `call`, from its wait for a connection to its end; `number` is 1 for the first, and the same for one that
/// nobody saw and its successor.
pub(super) fn of_attempt(call: &Span, number: u32) -> Span {
    debug_span!(parent: call, "attempt", number, address = Empty, status = Empty)
}

/// The attempt goes there.
pub(super) fn on_placed(attempt: &Span, address: impl FnOnce() -> Option<Address>) {
    if !attempt.is_disabled()
        && let Some(address) = address()
    {
        attempt.record("address", display(address));
    }
}

/// A call or an attempt ended so.
pub(super) fn on_end(span: &Span, code: StatusCode) {
    span.record("status", code.name());
}
