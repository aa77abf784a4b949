//! How many requests of users were answered, by the class of the status.

use crate::metrics::{CellSpec, Ledger, Metrics};
use http::StatusCode;

const CLASSES: [&str; 5] = ["1xx", "2xx", "3xx", "4xx", "5xx"];

/// The counts of all hubs of the network.
#[derive(Debug)]
pub(in super::super) struct Requests(Ledger);

impl Requests {
    pub(in super::super) fn new(metrics: &Metrics) -> Self {
        let labels = CLASSES.map(|class| [("class", class)]);
        let specs = labels.each_ref().map(|labels| {
            CellSpec::counter(
                "trunkline_tunnel_requests_total",
                "Requests of HTTP that were answered, by the class of the status.",
                labels,
            )
        });
        Self(metrics.ledger(&specs))
    }

    pub(super) fn add(&self, status: StatusCode) {
        let class = usize::from(status.as_u16() / 100).clamp(1, CLASSES.len());
        self.0.apply(&[(class - 1, 1)]);
    }
}
