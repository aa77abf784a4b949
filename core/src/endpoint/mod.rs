//! Which endpoints there are, which of them work, and which is taken next.
//!
//! Everything here is pure state: time and draws from 0..1 are passed in, nothing waits, connects or
//! resolves. The owner of a set drives the states under its own lock and acts on what they answer; a
//! [`Picker`] and a [`PeakEwma`] need no lock.
//!
//! | state | says | driven by |
//! |---|---|---|
//! | [`EndpointSet`] | who is in the set, who came and who left | who reads the list: a configuration, [`ResolvedName`] |
//! | [`ResolvedName`] | what a name resolves to, and whether to look it up | who has the resolver |
//! | [`HealthCheck`] | when to check an endpoint, and what the results mean | who runs the checks |
//! | [`OutlierDetector`] | who fails more than the others | whoever calls, and a timer |
//! | [`Availability`] | whom to use, and when to believe no bad news | who hears of a change of the two above |
//! | [`Breaker`] | may a call go to this endpoint now | whoever connects or calls: a checkout pool, a manager, a channel |
//! | [`PeakEwma`] | how slow it is | whoever calls |
//! | [`Picker`] | who gets the next call | the same, with [`Peers`] over all of the above |
//!
//! An endpoint is known by its [`EndpointId`] wherever state outlives a snapshot of the set, and by its index
//! in a snapshot wherever a pick is made.

mod availability;
mod breaker;
mod health;
mod load;
mod outlier;
pub mod pick;
mod resolve;
mod set;
mod slow_start;
mod window;

pub use availability::Availability;
pub use breaker::{Breaker, BreakerChange, BreakerCounts, BreakerState, OpenFor, Outcome, Pass};
pub use health::{HealthAction, HealthChange, HealthCheck, HealthState};
pub use load::{PeakEwma, cold_estimate};
pub use outlier::{Ejection, LeftOut, OutlierDetector, OutlierRule, Sweep};
pub use pick::{Draw, Peers, Picker};
pub use resolve::{Answer, Asked, Lookup, ResolvedName};
pub use set::{Endpoint, EndpointId, EndpointSet, Member, SetChange};

#[cfg(test)]
mod tests;
