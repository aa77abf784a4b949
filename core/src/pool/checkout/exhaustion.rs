//! Why nothing came in time, with the numbers that tell what to do about it.

use super::{endpoints::Failed, holder::Holder, slots::Counts};
use crate::pool::moment::Moment;
use std::{error::Error, fmt, sync::Arc, time::Duration};

/// The state of a pool in the moment in which a caller got nothing: the cause of its
/// [`Timeout`](crate::ConnectionError::Timeout).
#[derive(Clone, Debug)]
pub struct Exhaustion {
    pub(crate) pool: Arc<str>,
    pub(crate) waited: Duration,
    pub(crate) max_size: u32,
    pub(crate) counts: Counts,
    pub(crate) waiting: usize,
    pub(crate) longest: Option<LongestUse>,
    pub(crate) failure: Option<Failed>,
    pub(crate) now: Moment,
}

/// The lease that is held for longest.
#[derive(Clone, Debug)]
pub(crate) struct LongestUse {
    pub(crate) held: Duration,
    pub(crate) holder: Holder,
}

impl Exhaustion {
    /// The most connections that there may be.
    pub fn max_size(&self) -> u32 {
        self.max_size
    }

    /// Connections that stood ready, none of them fit for this caller.
    pub fn idle(&self) -> u32 {
        self.counts.idle
    }

    /// Connections that were lent.
    pub fn used(&self) -> u32 {
        self.counts.used
    }

    /// Connections that were being made.
    pub fn connecting(&self) -> u32 {
        self.counts.connecting
    }

    /// Callers that went on waiting.
    pub fn waiting(&self) -> usize {
        self.waiting
    }

    /// For how long the oldest lease was held, and who held it.
    pub fn longest_use(&self) -> Option<(Duration, &Holder)> {
        self.longest.as_ref().map(|longest| (longest.held, &longest.holder))
    }
}

impl fmt::Display for Exhaustion {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Counts { connecting, idle, validating, used, closing } = self.counts;
        write!(
            f,
            "pool {:?}: {used} of {} in use, {idle} idle, {connecting} connecting, {} waiting",
            &*self.pool, self.max_size, self.waiting
        )?;
        if validating > 0 {
            write!(f, ", {validating} being checked")?;
        }
        if closing > 0 {
            write!(f, ", {closing} closing")?;
        }
        if let Some(longest) = &self.longest {
            write!(f, "; longest held for {:.1?} by {}", longest.held, longest.holder)?;
        }
        match &self.failure {
            Some(failed) => self.write_failure(f, failed),
            None => Ok(()),
        }
    }
}

impl Exhaustion {
    fn write_failure(&self, f: &mut fmt::Formatter<'_>, failed: &Failed) -> fmt::Result {
        let ago = self.now.since(failed.at);
        write!(f, "; last connect failed {ago:.1?} ago")?;
        match failed.next_attempt.map(|next| next.since(self.now)) {
            Some(Duration::ZERO) | None => Ok(()),
            Some(next) => write!(f, ", next attempt in {next:.1?}"),
        }
    }
}

/// The last connect failure.
impl Error for Exhaustion {
    fn source(&self) -> Option<&(dyn Error + 'static)> {
        self.failure.as_ref().map(|failed| &*failed.error as &(dyn Error + 'static))
    }
}
