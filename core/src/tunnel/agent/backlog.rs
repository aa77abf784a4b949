//! Logical connections that wait for the host of an agent to accept them.

use crate::{
    address::Address,
    context::Protocol,
    error::{ConnectionError, Place, Step},
    transport::{Accept, Accepted, Transport},
};
use parking_lot::Mutex;
use std::{
    fmt, io,
    task::{Context, Poll},
};
use tokio::sync::mpsc;

/// A connection that stands and was not accepted yet. Dropped so, it is reset.
pub(super) struct Offer {
    end: Option<Box<dyn Transport>>,
    source: Option<Address>,
    protocol: Protocol,
}

impl Offer {
    pub(super) fn new(
        end: Box<dyn Transport>,
        protocol: Protocol,
        source: Option<Address>,
    ) -> Self {
        Self { end: Some(end), source, protocol }
    }
}

impl Drop for Offer {
    fn drop(&mut self) {
        if let Some(end) = self.end.take() {
            end.abort();
        }
    }
}

/// The line of those who wait: filled by the links, emptied by one listener at a time.
#[derive(Debug)]
pub(super) struct Backlog {
    size: usize,
    ends: Mutex<Ends>,
}

#[derive(Debug)]
struct Ends {
    offers: mpsc::Sender<Offer>,
    /// `None` while a listener has it.
    line: Option<mpsc::Receiver<Offer>>,
}

impl Backlog {
    pub(super) fn new(size: usize) -> Self {
        let (offers, line) = mpsc::channel(size);
        Self { size, ends: Mutex::new(Ends { offers, line: Some(line) }) }
    }

    /// A place in line, once there is one; `None` if the listener is gone.
    pub(super) async fn place(&self) -> Option<mpsc::OwnedPermit<Offer>> {
        let offers = self.ends.lock().offers.clone();
        offers.reserve_owned().await.ok()
    }

    /// The line's end, for one listener at a time.
    pub(super) fn listen(&self, address: &Address) -> Result<Incoming, ConnectionError> {
        let mut ends = self.ends.lock();
        if ends.line.is_none() && ends.offers.is_closed() {
            let (offers, line) = mpsc::channel(self.size);
            *ends = Ends { offers, line: Some(line) };
        }
        let Some(line) = ends.line.take() else {
            let cause = io::Error::from_raw_os_error(libc::EADDRINUSE);
            let at = Place::at(Step::Bind).to(Some(address.clone())).because(cause);
            return Err(ConnectionError::BindFailed { at });
        };
        Ok(Incoming { line: Mutex::new(Line { offers: line, next: None }) })
    }

    /// Resets who waits where no listener was ever made.
    pub(super) fn clear(&self) {
        let line = self.ends.lock().line.take();
        drop(line);
    }
}

/// The line as a source of a listener.
#[derive(Debug)]
pub(super) struct Incoming {
    line: Mutex<Line>,
}

#[derive(Debug)]
struct Line {
    offers: mpsc::Receiver<Offer>,
    /// Seen by a wait, and not taken yet.
    next: Option<Offer>,
}

impl Accept for Incoming {
    fn poll_ready(&self, cx: &mut Context<'_>) -> Poll<()> {
        let mut line = self.line.lock();
        if line.next.is_none() {
            match line.offers.poll_recv(cx) {
                Poll::Ready(Some(offer)) => line.next = Some(offer),
                // Nobody offers any more: the agent closes its listener as it ends.
                Poll::Ready(None) | Poll::Pending => return Poll::Pending,
            }
        }
        Poll::Ready(())
    }

    fn try_accept(&self) -> io::Result<Accepted> {
        let mut line = self.line.lock();
        let offer = line.next.take().or_else(|| line.offers.try_recv().ok());
        drop(line);
        let mut offer = offer.ok_or(io::ErrorKind::WouldBlock)?;
        let Some(transport) = offer.end.take() else {
            return Err(io::ErrorKind::WouldBlock.into());
        };
        Ok(Accepted {
            transport,
            source: offer.source.take(),
            destination: None,
            permit: None,
            protocol: Some(offer.protocol),
        })
    }
}

impl fmt::Debug for Offer {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Offer").field("source", &self.source).finish_non_exhaustive()
    }
}
