//! One end of a logical connection over packets, as a transport: behaves as a socket does.

use super::lanes::{Lanes, Shared};
use crate::transport::Transport;
use bytes::Bytes;
use std::{
    fmt,
    io::{self, IoSlice},
    net::Shutdown,
    sync::Arc,
    task::{Context, Poll},
};

/// One end of a logical connection. Dropping it finishes what it writes and refuses what it would read.
pub(super) struct End {
    shared: Arc<Shared>,
    lanes: Arc<Lanes>,
}

impl End {
    pub(super) fn new(shared: Arc<Shared>, lanes: Arc<Lanes>) -> Self {
        Self { shared, lanes }
    }

    fn take(&self, max: usize) -> io::Result<Bytes> {
        let (bytes, has_next, had_stalled) = self.shared.with(|lane| {
            let had_stalled = lane.is_overfull();
            let bytes = lane.read(max);
            (bytes, lane.has_next(), had_stalled && !lane.is_overfull())
        });
        if has_next {
            self.lanes.ring(&self.shared);
        }
        if had_stalled {
            self.lanes.nudge();
        }
        Ok(bytes?.unwrap_or_default())
    }

    fn put(
        &self,
        write: impl FnOnce(&mut super::lane::Lane) -> io::Result<usize>,
    ) -> io::Result<usize> {
        let (count, has_next) = self.shared.with(|lane| (write(lane), lane.has_next()));
        if has_next {
            self.lanes.ring(&self.shared);
        }
        count
    }
}

impl Transport for End {
    fn try_read(&self, buf: &mut [u8]) -> io::Result<usize> {
        if buf.is_empty() {
            return Ok(0);
        }
        let bytes = self.take(buf.len())?;
        buf[..bytes.len()].copy_from_slice(&bytes);
        Ok(bytes.len())
    }

    fn try_write(&self, bufs: &[IoSlice<'_>]) -> io::Result<usize> {
        if bufs.iter().all(|buf| buf.is_empty()) {
            return Ok(0);
        }
        self.put(|lane| lane.write(bufs))
    }

    fn try_recv_buf(&self, max: usize) -> io::Result<Bytes> {
        if max == 0 {
            return Ok(Bytes::new());
        }
        self.take(max)
    }

    fn try_send_buf(&self, buf: &mut Bytes) -> io::Result<usize> {
        if buf.is_empty() {
            return Ok(0);
        }
        self.put(|lane| lane.write_owned(buf))
    }

    fn poll_read_ready(&self, cx: &mut Context<'_>) -> Poll<()> {
        let waker = cx.waker().clone();
        let (answer, _replaced) = self.shared.with(|lane| {
            if lane.is_readable() {
                (Poll::Ready(()), Some(waker))
            } else {
                (Poll::Pending, lane.wait_readable(waker))
            }
        });
        answer
    }

    fn poll_write_ready(&self, cx: &mut Context<'_>) -> Poll<()> {
        let waker = cx.waker().clone();
        let (answer, _replaced) = self.shared.with(|lane| {
            if lane.is_writable() {
                (Poll::Ready(()), Some(waker))
            } else {
                (Poll::Pending, lane.wait_writable(waker))
            }
        });
        answer
    }

    /// Ends the directions that `how` names. After `Read`, what the peer still sends is thrown away. An end of the
    /// sending direction is not seen by a peer that knows `tunnel.v1` alone.
    ///
    /// # Errors
    ///
    /// `NotConnected` if either end has aborted, or the link is lost.
    fn shutdown(&self, how: Shutdown) -> io::Result<()> {
        let (answer, wakes) = self.shared.with(|lane| {
            let wakes = match how {
                Shutdown::Read | Shutdown::Both => lane.refuse_data(),
                Shutdown::Write => Default::default(),
            };
            let answer = match how {
                Shutdown::Read => Ok(()),
                Shutdown::Write | Shutdown::Both => lane.finish(),
            };
            (answer, wakes)
        });
        wakes.wake();
        self.lanes.ring(&self.shared);
        answer
    }

    fn abort(&self) {
        let wakes = self.shared.with(super::lane::Lane::abort);
        wakes.wake();
        self.lanes.ring(&self.shared);
    }

    fn has_delivered(&self) -> bool {
        self.shared.with(|lane| lane.has_sent())
    }

    fn is_quiet(&self) -> bool {
        self.shared.with(|lane| !lane.is_readable())
    }
}

impl Drop for End {
    fn drop(&mut self) {
        self.lanes.release(&self.shared);
    }
}

impl fmt::Debug for End {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_tuple("End").field(&self.shared).finish()
    }
}
