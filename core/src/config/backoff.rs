//! The limits of the backoff's figures; the figures themselves belong to [`crate::backoff`].

use super::{BackoffConfig, Config, check};
use crate::error::ConnectionError;

impl Config for BackoffConfig {
    fn validate(&self) -> Result<(), ConnectionError> {
        check::duration("max_delay", self.max_delay, check::SHORTEST..=check::LONGEST)?;
        check::duration("base_delay", self.base_delay, check::SHORTEST..=self.max_delay)?;
        check::number("multiplier", self.multiplier, 1.0..=10.0)?;
        check::number("jitter", self.jitter, 0.0..=1.0)
    }
}
