//! Which faults a transport gets.

use crate::error::ConnectionError;
use std::{
    num::{NonZeroU64, NonZeroUsize},
    ops::RangeInclusive,
    time::Duration,
};

/// Longest delay that a chunk may get: more than any test waits for, and safe to add to any clock.
const LONGEST_DELAY: Duration = Duration::from_secs(24 * 3600);

/// Which faults a transport gets in each direction. The default is none.
///
/// Everything random is drawn from `seed`: with the same seed, the same operations on the same
/// inner transport meet the same faults. The directions draw independently of each other.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct FaultConfig {
    /// Where all draws begin. Default: 0.
    pub seed: u64,
    /// What happens to bytes that are read.
    pub read: LaneFaults,
    /// What happens to bytes that are written.
    pub write: LaneFaults,
}

/// The faults of one direction. The default is none.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct LaneFaults {
    /// How long each chunk is held back once the inner transport is ready for it, drawn per chunk.
    /// Limit: 1 day. Default: `None`, not at all.
    pub delay: Option<RangeInclusive<Duration>>,
    /// Bytes of one chunk at most; its size is drawn between 1 and this. Default: `None`, what is asked for.
    pub max_chunk: Option<NonZeroUsize>,
    /// What becomes of the direction after so many bytes. Default: `None`, nothing.
    pub cut: Option<Cut>,
    /// One byte in each block of so many is changed. Default: `None`, none is.
    pub corrupt_one_in: Option<NonZeroU64>,
}

/// The end that a direction meets.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Cut {
    /// So many bytes pass, and not one more; 0 cuts as soon as the faults are put on.
    pub after_bytes: u64,
    /// What happens then.
    pub how: CutHow,
}

/// How a direction is cut.
#[non_exhaustive]
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum CutHow {
    /// In order: reads see the end of the stream, writes fail with `BrokenPipe`. The inner
    /// transport is shut down in this direction, which is what its peer sees.
    End,
    /// By a reset of the whole connection: both directions of both sides see `ConnectionReset`.
    Reset,
    /// By silence, as when a peer or a route vanishes: nothing fails and nothing moves any more.
    Silence,
}

impl FaultConfig {
    /// Checks what is drawn from.
    ///
    /// # Errors
    ///
    /// [`ConnectionError::InvalidConfig`] for a delay whose range is empty or reaches above 1 day.
    pub fn validate(&self) -> Result<(), ConnectionError> {
        for (field, lane) in [("read.delay", &self.read), ("write.delay", &self.write)] {
            let Some(delay) = &lane.delay else { continue };
            if delay.is_empty() || *delay.end() > LONGEST_DELAY {
                let reason = "must be a range from shorter to longer, up to 1 day";
                return Err(ConnectionError::invalid_config(field, reason));
            }
        }
        Ok(())
    }
}
