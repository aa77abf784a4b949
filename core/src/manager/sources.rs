//! Holds what each network of sources may have, for those who come and go.

use super::source_table::{Counted, SourceTable, TooMany};
use crate::{
    config::PerSourceConfig,
    error::{ConnectionError, Place, Step},
};
use parking_lot::Mutex;
use std::{net::IpAddr, sync::Arc};

/// The networks that have connections with a manager.
#[derive(Debug)]
pub(super) struct Sources {
    /// Held for one look and one count.
    table: Mutex<SourceTable>,
}

/// A connection that counts for its network until this is dropped.
#[derive(Debug)]
pub(super) struct SourcePlace {
    sources: Arc<Sources>,
    counted: Option<Counted>,
}

impl Sources {
    pub(super) fn new(config: PerSourceConfig) -> Arc<Self> {
        Arc::new(Self { table: Mutex::new(SourceTable::new(config)) })
    }

    pub(super) fn reconfigure(&self, config: PerSourceConfig) {
        self.table.lock().reconfigure(config);
    }

    /// Counts one more connection of `source`; `None` for what is not counted.
    ///
    /// # Errors
    ///
    /// [`ConnectionError::LimitExceeded`] if its network has as many as it may, or cannot be counted any more.
    pub(super) fn admit(
        self: &Arc<Self>,
        source: Option<IpAddr>,
    ) -> Result<Option<SourcePlace>, ConnectionError> {
        let Some(source) = source else { return Ok(None) };
        let counted = self.table.lock().admit(source);
        match counted {
            Ok(None) => Ok(None),
            Ok(counted) => Ok(Some(SourcePlace { sources: Arc::clone(self), counted })),
            Err(too_many) => Err(refusal(too_many)),
        }
    }
}

fn refusal(too_many: TooMany) -> ConnectionError {
    let at = Place::at(Step::Accept);
    match too_many {
        TooMany::OfNetwork(network, limit) => {
            ConnectionError::limit_exceeded(format!("connections from {network}"), limit, at)
        }
        TooMany::Networks(limit) => {
            ConnectionError::limit_exceeded("networks with connections", limit, at)
        }
    }
}

impl Drop for SourcePlace {
    fn drop(&mut self) {
        if let Some(counted) = self.counted.take() {
            self.sources.table.lock().give_back(counted);
        }
    }
}
