//! What carries logical connections between a hub and one agent: as the hub sees it, and as the agent does.

use super::refusal::Refusal;
use crate::{address::Address, budget::Permit, transport::Transport};
use std::{fmt, future::Future, pin::Pin, sync::Arc};

/// An answer that takes its time.
pub(super) type Later<'a, T> = Pin<Box<dyn Future<Output = T> + Send + 'a>>;

/// Runs a link until it is closed, lost, or silent for too long. Nothing moves on the link while it is not polled;
/// dropping it breaks what is open.
pub(super) type Driving = Later<'static, Result<(), Lost>>;

/// A way to one agent. Cheap to ask for its load; everything else may wait for the agent. The link ends once this is
/// dropped and its connections have ended.
pub(super) trait Carrier: fmt::Debug + Send + Sync {
    /// Opens a logical connection, to `target` where one is named. Dropping the future takes the request back.
    fn open<'a>(
        &'a self,
        target: Option<&'a Address>,
        source: Option<&'a Address>,
    ) -> Later<'a, Result<Box<dyn Transport>, Refusal>>;

    /// Connections that are open or being opened.
    fn load(&self) -> usize;

    /// Whether bytes keep their order whatever is sent. Else there is one packet, and then the answer to it.
    fn keeps_order(&self) -> bool;

    /// Tells the agent that another one has taken its place.
    fn tell_replaced(&self) -> Later<'_, ()>;

    /// Waits until no connection is open. None may be opened meanwhile.
    fn emptied(&self) -> Later<'_, ()>;
}

/// The agent's end of a link. Nothing moves on it while [`next`](Self::next) is not polled; dropping it breaks what
/// is open.
pub(super) trait Serving: Send {
    /// Runs the link until the hub asks for something.
    ///
    /// # Cancel safety
    ///
    /// Dropping the future loses nothing; the link pauses.
    fn next(&mut self) -> Later<'_, Asked>;

    /// Asks the hub for nothing new, and ends once what is open has.
    fn drain(&mut self);

    /// Ends when the hub has been silent for too long. To be polled beside [`next`](Self::next).
    fn silence(&mut self) -> Later<'static, ()>;
}

/// What the hub wants.
pub(super) enum Asked {
    Open(Box<dyn Opening>),
    /// Another agent has taken this one's place.
    Replaced,
    /// The link is over, by whatever.
    Over(Option<Lost>),
}

/// A logical connection that the hub asks for. Dropping it refuses it without a reason.
pub(super) trait Opening: Send {
    /// What the hub wants dialled, if it names anything.
    fn target(&self) -> Option<&Address>;

    /// Whom the connection is for, as the hub says.
    fn source(&self) -> Option<&Address>;

    /// Ends when the hub has taken the request back.
    fn withdrawn(&mut self) -> Later<'_, ()>;

    /// Opens it; `None` if the hub has gone meanwhile. `permit` is kept until it is over.
    fn accept(self: Box<Self>, permit: Permit) -> Option<Box<dyn Transport>>;

    fn refuse(self: Box<Self>, why: &Refusal);
}

/// Why a link ended that was not to.
#[derive(Clone, Debug, thiserror::Error)]
pub(super) enum Lost {
    #[error(transparent)]
    Http(Arc<h2::Error>),
    #[error("the peer did not answer a ping in time")]
    Silent,
    #[error("the peer ended the tunnel")]
    Ended,
    #[error("the peer ended the tunnel with {code:?}: {text}")]
    Status { code: tonic::Code, text: Box<str> },
    #[error("the hub speaks tunnel.v1 alone, and link.allow_legacy_peers is not set")]
    Legacy,
    #[error("the peer violates the protocol: {0}")]
    Violation(&'static str),
    #[error("the peer violates the protocol: {0}")]
    Malformed(Box<str>),
}

impl Lost {
    pub(super) fn malformed(what: impl fmt::Display) -> Self {
        Self::Malformed(what.to_string().into())
    }

    /// Whether the peer complains about pings.
    pub(super) fn is_complaint(&self) -> bool {
        match self {
            Self::Http(error) => {
                error.is_go_away() && error.reason() == Some(h2::Reason::ENHANCE_YOUR_CALM)
            }
            Self::Silent
            | Self::Ended
            | Self::Status { .. }
            | Self::Legacy
            | Self::Violation(_)
            | Self::Malformed(_) => false,
        }
    }
}

impl From<h2::Error> for Lost {
    fn from(error: h2::Error) -> Self {
        Self::Http(Arc::new(error))
    }
}
