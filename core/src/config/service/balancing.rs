//! How calls are spread over the addresses of a channel.

use std::time::Duration;

/// How calls are spread over addresses.
#[derive(Clone, Debug, PartialEq)]
pub enum LoadBalancing {
    /// All to one address: the first that answers.
    PickFirst {
        /// Whether chance puts the addresses in order.
        shuffle: bool,
    },
    /// To each in turn.
    RoundRobin,
    /// To each in turn, as often as its server's reports of its load say.
    WeightedRoundRobin(WeightedRoundRobin),
    /// To the one with the fewest calls of some that are drawn.
    LeastRequest {
        /// How many are drawn. Default: 2. Limits: 2 to 10; more means 10.
        choices: u32,
    },
    /// By a header of the call, on a ring of hashes.
    RingHash {
        /// The header; calls without it, and all if there is none, go anywhere.
        header: Option<Box<str>>,
        /// Points on the ring, of all addresses together, at least. Default: 1024. Limits: 1 to `max_size`.
        min_size: u32,
        /// Points on the ring at most, but for one to each address. Default: 4096. Limits: 1 to 4096; more means 4096.
        max_size: u32,
    },
}

/// What weights are made of, and how long they count (gRFC A58).
///
/// A weight is the calls per second that a server reports, divided by its utilization. An address without a weight has
/// the mean of the others; while fewer than two have one, all have the same.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct WeightedRoundRobin {
    /// Time between reports that are asked for beside calls. Default: none are asked for, reports come with the
    /// trailers of calls.
    pub report_period: Option<Duration>,
    /// Time from an address's first report until its weight counts. Default: 10 s.
    pub blackout: Duration,
    /// Time without a report after which a weight is forgotten. Default: 180 s.
    pub expiration: Duration,
    /// Time from one look at all weights to the next. Default: 1 s. Limits: at least 100 ms; less means 100 ms.
    pub update: Duration,
    /// What errors per call add to the utilization. Default: 1. Limits: at least 0.
    pub error_penalty: f64,
}

impl LoadBalancing {
    /// The default points on a ring, at least and at most.
    pub(super) const RING: (u32, u32) = (1024, 4096);
}

impl Default for LoadBalancing {
    fn default() -> Self {
        Self::PickFirst { shuffle: false }
    }
}

impl Default for WeightedRoundRobin {
    fn default() -> Self {
        Self {
            report_period: None,
            blackout: Duration::from_secs(10),
            expiration: Duration::from_secs(180),
            update: Duration::from_secs(1),
            error_penalty: 1.0,
        }
    }
}
