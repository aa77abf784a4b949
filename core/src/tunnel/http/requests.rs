//! How many requests of users were answered, by the class of the status.

use crate::metrics::{CellSpec, Ledger, Metrics};
use http::StatusCode;

const CLASSES: [&str; 5] = ["1xx", "2xx", "3xx", "4xx", "5xx"];

/// The counts of all hubs, or of all memory proxies, of the network.
#[derive(Debug)]
pub(in crate::tunnel) struct Requests(Ledger);

impl Requests {
    /// Under `name`.
    pub(in crate::tunnel) fn new(metrics: &Metrics, name: &'static str) -> Self {
        let labels = CLASSES.map(|class| [("class", class)]);
        let specs = labels.each_ref().map(|labels| {
            CellSpec::counter(
                name,
                "Requests of HTTP that were answered, by the class of the status.",
                labels,
            )
        });
        Self(metrics.ledger(&specs))
    }

    pub(in crate::tunnel) fn add(&self, status: StatusCode) {
        let class = usize::from(status.as_u16() / 100).clamp(1, CLASSES.len());
        self.0.apply(&[(class - 1, 1)]);
    }
}
