//! What governs the addresses of a channel, what is asked of the driver, and what it tells.

use super::super::{
    report::LoadReport,
    subchannel::{Connect, ConnectionNumber},
    tally::RetireReason,
};
use crate::{
    address::Address,
    backoff::BackoffConfig,
    config::{CircuitConfig, LoadBalancing, OutlierConfig},
    endpoint::{EndpointId, Pass, Sweep},
    error::{ConnectionError, Place, Step},
    status::StatusCode,
};
use std::time::Duration;

/// What governs the connections of a channel.
#[derive(Clone, Debug)]
pub(in crate::channel) struct Terms {
    pub(in crate::channel) policy: LoadBalancing,
    pub(in crate::channel) backoff: BackoffConfig,
    pub(in crate::channel) min_connect_timeout: Duration,
    /// Connections to each address.
    pub(in crate::channel) most_connections: u32,
    /// Whether servers are asked about their health, where calls are spread over several.
    pub(in crate::channel) asks_health: bool,
    /// When addresses that fail more than the others get no calls, where calls are spread over several.
    pub(in crate::channel) outliers: Option<OutlierConfig>,
    /// How many addresses are used at most.
    pub(in crate::channel) subset: Option<u32>,
    /// What stands before each address.
    pub(in crate::channel) circuit: CircuitConfig,
}

/// What a server is asked beside calls, for as long as its connection takes new ones.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(in crate::channel) enum Topic {
    /// Whether it is healthy.
    Health,
    /// What load it has, every so often.
    Load(Duration),
}

/// How an attempt ended that was picked a place for.
#[derive(Debug, Default, PartialEq)]
pub(in crate::channel) struct Done {
    /// With what status; `None` if it was not sent, or given up.
    pub(in crate::channel) code: Option<StatusCode>,
    /// The right that it was made with.
    pub(in crate::channel) pass: Option<Pass>,
    /// What its server said of its load.
    pub(in crate::channel) report: Option<LoadReport>,
}

/// What the driver must do.
#[derive(Debug, PartialEq, Eq)]
pub(in crate::channel) enum Action<C> {
    /// Make this attempt, and tell how it ended.
    Connect(Connect),
    /// Drop this attempt.
    Abandon(ConnectionNumber),
    /// Ask the server behind this connection about this, until it is retired, and tell what it says.
    Ask { topic: Topic, subchannel: EndpointId, number: ConnectionNumber, connection: C },
    /// Count who was left out, and who might have been.
    Swept(Sweep),
    /// Let this connection finish its calls, and close it.
    Retire(C, RetireReason),
    /// Look the addresses up again: those that are known do not work.
    Resolve,
}

/// Where a call goes.
#[derive(Debug)]
pub(in crate::channel) enum Picked<C> {
    /// On this connection of this address.
    On { subchannel: EndpointId, number: ConnectionNumber, connection: C, pass: Option<Pass> },
    /// Nowhere yet: something is under way.
    Wait,
    /// Nowhere, for nothing works.
    Failing,
    /// Nowhere: every address that is connected to has enough calls, or fails too often.
    Refused,
}

/// Why an address gets no calls although it is connected to.
#[derive(Debug, thiserror::Error)]
#[error("it is left out for a while: more of its calls failed than of the others'")]
struct LeftOut;

pub(in crate::channel) fn ejected(address: &Address) -> ConnectionError {
    let at = Place::at(Step::Call).to(Some(address.clone())).because(LeftOut);
    ConnectionError::ConnectionFailed { at }
}
