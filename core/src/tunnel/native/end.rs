//! One end of a logical connection, as a transport: behaves as a socket does.

use super::{inlet::Inlet, outlet::Outlet};
use crate::{budget::Permit, transport::Transport};
use bytes::Bytes;
use std::{
    fmt,
    io::{self, IoSlice},
    net::Shutdown,
    sync::Arc,
    task::{Context, Poll},
};
use tokio_util::task::task_tracker::TaskTrackerToken;

/// One end of a logical connection. Dropping it finishes what it writes and refuses what it would read.
pub(in crate::tunnel) struct End {
    inlet: Arc<Inlet>,
    outlet: Outlet,
    /// Given back once the stream is, after what it still had to send.
    held: Option<(TaskTrackerToken, Option<Permit>)>,
}

impl End {
    pub(super) fn new(
        inlet: Arc<Inlet>,
        outlet: Outlet,
        load: TaskTrackerToken,
        permit: Option<Permit>,
    ) -> Self {
        Self { inlet, outlet, held: Some((load, permit)) }
    }
}

impl Transport for End {
    fn try_read(&self, buf: &mut [u8]) -> io::Result<usize> {
        if buf.is_empty() {
            return Ok(0);
        }
        self.inlet.read(buf)
    }

    fn try_write(&self, bufs: &[IoSlice<'_>]) -> io::Result<usize> {
        self.outlet.write(bufs)
    }

    fn try_recv_buf(&self, max: usize) -> io::Result<Bytes> {
        if max == 0 {
            return Ok(Bytes::new());
        }
        self.inlet.read_owned(max)
    }

    fn try_send_buf(&self, buf: &mut Bytes) -> io::Result<usize> {
        self.outlet.write_owned(buf)
    }

    fn poll_read_ready(&self, cx: &mut Context<'_>) -> Poll<()> {
        self.inlet.poll_ready(cx)
    }

    fn poll_write_ready(&self, cx: &mut Context<'_>) -> Poll<()> {
        self.outlet.poll_ready(cx)
    }

    /// Ends the directions that `how` names. After `Read`, what the peer still sends is thrown away.
    ///
    /// # Errors
    ///
    /// `NotConnected` if either end has aborted, or the link is lost.
    fn shutdown(&self, how: Shutdown) -> io::Result<()> {
        if how != Shutdown::Write {
            self.inlet.refuse();
        }
        match how {
            Shutdown::Read => Ok(()),
            Shutdown::Write | Shutdown::Both => self.outlet.finish(),
        }
    }

    fn abort(&self) {
        self.outlet.abort();
        self.inlet.abort();
    }

    fn has_delivered(&self) -> bool {
        self.outlet.has_delivered()
    }

    fn is_quiet(&self) -> bool {
        self.inlet.is_quiet()
    }
}

impl Drop for End {
    fn drop(&mut self) {
        self.inlet.refuse();
        let (inlet, held) = (Arc::clone(&self.inlet), self.held.take());
        self.outlet.part(|stream| Box::new((stream, inlet, held)));
    }
}

impl fmt::Debug for End {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("End").field("inlet", &self.inlet).finish_non_exhaustive()
    }
}
