//! What carries logical connections between a hub and one agent, as the hub sees it.

use super::{native::Link, refusal::Refusal};
use crate::{address::Address, transport::Transport};
use std::{fmt, future::Future, pin::Pin};

/// An answer that takes its time.
pub(super) type Later<'a, T> = Pin<Box<dyn Future<Output = T> + Send + 'a>>;

/// A way to one agent. Cheap to ask for its load; everything else may wait for the agent.
pub(super) trait Carrier: fmt::Debug + Send + Sync {
    /// Opens a logical connection, to `target` where one is named. Dropping the future takes the request back.
    fn open<'a>(
        &'a self,
        target: Option<&'a Address>,
        source: Option<&'a Address>,
    ) -> Later<'a, Result<Box<dyn Transport>, Refusal>>;

    /// Connections that are open or being opened.
    fn load(&self) -> usize;
}

impl Carrier for Link {
    fn open<'a>(
        &'a self,
        target: Option<&'a Address>,
        source: Option<&'a Address>,
    ) -> Later<'a, Result<Box<dyn Transport>, Refusal>> {
        Box::pin(async move {
            let end = Self::open(self, target, source).await?;
            Ok(Box::new(end) as Box<dyn Transport>)
        })
    }

    fn load(&self) -> usize {
        Self::load(self)
    }
}
