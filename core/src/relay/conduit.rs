//! What a relay holds of one direction, and how it gets across: copied through a buffer, or spliced through a pipe of
//! the kernel's.

use super::{buffer::Buffer, bulk::Bulk};
use crate::{
    error::{ConnectionError, Place, Step},
    transport::{KernelPipe, Pipes, Spliced, Stream},
    volume::ByteLimit,
};
use std::{
    io::IoSlice,
    task::{Poll, ready},
};

/// ```text
///            carried enough, and a pipe was had
///   Copying ─────────────────────────────────────▶ Splicing
///      ▲  ▲── silence, or the source refuses it ──────┘ │
///      │                                                │ the other side refuses it
///      └── the pipe is empty ── Unloading ◀─────────────┘
/// ```
///
/// Both refusals are for good.
#[derive(Debug)]
pub(super) struct Conduit {
    held: Buffer,
    means: Means,
    bulk: Bulk,
}

#[derive(Debug)]
enum Means {
    Copying,
    /// The buffer is empty.
    Splicing(Box<KernelPipe>),
    /// What is in the pipe still goes before all else, through the buffer.
    Unloading(Box<KernelPipe>),
}

impl Conduit {
    /// Holds at most `size` bytes, and splices after so many.
    pub(super) fn new(size: usize, splice_after: ByteLimit) -> Self {
        let bulk = Bulk::new(splice_after);
        Self { held: Buffer::new(size), means: Means::Copying, bulk }
    }

    /// Puts `content` in, which was read before; it may be more than the size.
    pub(super) fn preload(&mut self, content: Vec<u8>) {
        self.held.preload(content);
    }

    pub(super) fn is_empty(&self) -> bool {
        match &self.means {
            Means::Copying => self.held.is_empty(),
            Means::Splicing(pipe) => pipe.is_empty(),
            Means::Unloading(pipe) => pipe.is_empty() && self.held.is_empty(),
        }
    }

    pub(super) fn has_room(&self) -> bool {
        match &self.means {
            Means::Copying => self.held.has_room(),
            // Only an empty pipe is filled; see there.
            Means::Splicing(pipe) => pipe.is_empty(),
            Means::Unloading(_) => false,
        }
    }

    /// Takes from `source` what is there and has room, at most `most` bytes; 0 is its end.
    pub(super) fn fill(
        &mut self,
        source: &Stream,
        most: usize,
        pipes: Option<&Pipes>,
    ) -> Poll<Result<usize, ConnectionError>> {
        self.choose(pipes);
        if let Means::Splicing(pipe) = &mut self.means {
            match ready!(source.try_splice_into(pipe, most))? {
                Spliced::Moved(n) => return Poll::Ready(Ok(n)),
                Spliced::Refused => {
                    self.bulk.on_refused();
                    self.means = Means::Copying;
                }
            }
        }
        self.held.fill(most, |room| source.try_read(room))
    }

    /// Gives `to` what it takes of what is held, which is something.
    pub(super) fn pass(&mut self, to: &Stream) -> Poll<Result<usize, ConnectionError>> {
        if let Means::Splicing(pipe) = &mut self.means {
            match ready!(to.try_splice_from(pipe))? {
                Spliced::Moved(n) => {
                    self.bulk.on_carried(n);
                    return Poll::Ready(Ok(n));
                }
                Spliced::Refused => self.refused_at_the_far_end(),
            }
        }
        self.unload()?;
        let n = ready!(to.try_write(&[IoSlice::new(self.held.content())]))?;
        self.held.consumed(n);
        self.bulk.on_carried(n);
        Poll::Ready(Ok(n))
    }

    /// Drops what is held.
    pub(super) fn discard(&mut self) {
        self.held.discard();
        self.means = Means::Copying;
    }

    /// Whether [`start_small`](Self::start_small) has a pipe to give back.
    pub(super) fn has_spare_pipe(&self) -> bool {
        self.is_empty() && !matches!(self.means, Means::Copying)
    }

    /// What was carried before is no sign of what comes: an empty one begins as a new one.
    pub(super) fn start_small(&mut self) {
        if self.is_empty() {
            self.held.start_small();
            self.means = Means::Copying;
            self.bulk.on_silence();
        }
    }

    fn choose(&mut self, pipes: Option<&Pipes>) {
        if !matches!(self.means, Means::Copying) || !self.held.is_empty() || !self.bulk.is_due() {
            return;
        }
        match pipes.and_then(Pipes::open) {
            Some(pipe) => {
                self.held.start_small();
                self.means = Means::Splicing(Box::new(pipe));
            }
            None => self.bulk.on_denied(),
        }
    }

    fn refused_at_the_far_end(&mut self) {
        self.bulk.on_refused();
        self.means = match std::mem::replace(&mut self.means, Means::Copying) {
            Means::Splicing(pipe) | Means::Unloading(pipe) => Means::Unloading(pipe),
            Means::Copying => Means::Copying,
        };
    }

    /// Brings the next of what a pipe still holds into the buffer.
    fn unload(&mut self) -> Result<(), ConnectionError> {
        let Means::Unloading(pipe) = &mut self.means else { return Ok(()) };
        if self.held.is_empty() && !pipe.is_empty() {
            let read = |room: &mut [u8]| Poll::Ready(pipe.read(room));
            if let Poll::Ready(Err(cause)) = self.held.fill(usize::MAX, read) {
                return Err(ConnectionError::from_io(cause, Place::at(Step::Read)));
            }
        }
        if pipe.is_empty() {
            self.means = Means::Copying;
        }
        Ok(())
    }
}
