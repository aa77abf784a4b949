//! The handshake of either side, one step at a time.

use super::{super::Transport, Terms, link::Link, session::TlsSession, transport::TlsTransport};
use rustls::Connection;
use std::{
    io,
    net::Shutdown,
    task::{Context, Poll, ready},
};

/// Two peers who do not know each other yet. Dropping it closes the inner transport.
#[derive(Debug)]
pub(super) struct Handshake {
    link: Link,
}

impl Handshake {
    pub(super) fn new(inner: Box<dyn Transport>, tls: Connection) -> Self {
        Self { link: Link::new(inner, tls) }
    }

    /// Goes on as far as the inner transport lets it. Ready when the handshake is over.
    ///
    /// # Errors
    ///
    /// As [`ConnectionError::from_io`](crate::ConnectionError::from_io) tells them apart; `UnexpectedEof` where the
    /// peer left.
    pub(super) fn poll(&mut self, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        loop {
            let is_sent = self.link.flush()?;
            if is_sent && !self.link.tls().is_handshaking() {
                return Poll::Ready(Ok(()));
            }
            if !is_sent {
                // The peer cannot answer what has not left yet.
                ready!(self.link.inner().poll_write_ready(cx));
                continue;
            }
            match self.link.receive() {
                Err(error) if error.kind() == io::ErrorKind::WouldBlock => {
                    ready!(self.link.inner().poll_read_ready(cx));
                }
                answer => answer?,
            }
        }
    }

    /// The stream that stands now; `asked` is the name that a client asked for.
    pub(super) fn finish(self, asked: Option<String>, terms: Terms) -> TlsTransport {
        let session = TlsSession::of(self.link.tls(), asked);
        TlsTransport::new(self.link, session, terms)
    }

    /// Gives the peer a chance to hear why, before the drop.
    pub(super) fn refuse(&mut self) {
        self.link.end();
    }

    /// As [`refuse`](Self::refuse); ready when the peer has hung up.
    pub(super) fn poll_refused(&mut self, cx: &mut Context<'_>) -> Poll<()> {
        self.link.end();
        // The end of what we say; where it fails, the peer is gone already.
        let _ = self.link.inner().shutdown(Shutdown::Write);
        while self.link.discard() {
            ready!(self.link.inner().poll_read_ready(cx));
        }
        Poll::Ready(())
    }
}
