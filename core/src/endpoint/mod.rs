//! Which endpoints there are, which of them work, and which is taken next.
//!
//! Everything here is pure state: time and draws from 0..1 are passed in, nothing waits, connects or
//! resolves. The owner of an endpoint drives its state under its own lock and acts on what it answers.
//!
//! | state | says | driven by |
//! |---|---|---|
//! | [`Breaker`] | may a call go to this endpoint now | whoever connects or calls: a checkout pool, a manager, a channel |

mod breaker;
mod window;

pub use breaker::{Breaker, BreakerChange, BreakerCounts, BreakerState, OpenFor, Outcome, Pass};
