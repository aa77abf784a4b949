//! Any transport with seeded faults: delays, short reads and writes, cuts, corrupted bytes.
//!
//! For tests of whatever stands on a transport: the faults come through the same calls as the bytes
//! do, they are the same for the same seed, and delays go by tokio's clock, so that paused time
//! makes them free.

mod config;
mod schedule;
#[cfg(test)]
mod tests;

pub use config::{Cut, CutHow, FaultConfig, LaneFaults};

use super::{Transport, locked::poll_locked};
use crate::error::ConnectionError;
use bytes::Bytes;
use parking_lot::Mutex;
use schedule::{Action, Begin, Chunk, Gate, Schedule, Way};
use std::{
    fmt,
    io::{self, IoSlice},
    net::Shutdown,
    sync::Arc,
    task::{Context, Poll, Waker, ready},
    time::Duration,
};
use tokio::{runtime::Handle, task::AbortHandle};

/// Bytes of one write that are copied to pass with faults, at most.
const WRITE_CHUNK: usize = 64 * 1024;

/// A transport that meets the faults of a [`FaultConfig`].
///
/// After the owner's own `shutdown` or `abort`, and once the inner transport has ended or failed,
/// that direction has no more faults.
pub struct Faulty<T: Transport> {
    inner: T,
    shared: Arc<Shared>,
    runtime: Handle,
}

/// What the timers share with the transport.
struct Shared {
    /// Held for one step of the schedule; wakers are cloned, dropped and woken outside of it.
    waited: Mutex<Waited>,
}

struct Waited {
    schedule: Schedule,
    reader: Side,
    writer: Side,
}

/// Who waits for one direction of the schedule.
#[derive(Default)]
struct Side {
    waker: Option<Waker>,
    /// The timer of the chunk that is held back.
    timer: Option<AbortHandle>,
}

impl Waited {
    fn side(&mut self, way: Way) -> &mut Side {
        match way {
            Way::Read => &mut self.reader,
            Way::Write => &mut self.writer,
        }
    }
}

impl Shared {
    /// Lets `event` happen, then wakes whom it lets go on.
    fn on<R>(&self, event: impl FnOnce(&mut Schedule) -> R) -> R {
        let (answer, woken);
        {
            let mut waited = self.waited.lock();
            answer = event(&mut waited.schedule);
            woken = Way::BOTH.map(|way| match waited.schedule.gate(way) {
                Poll::Ready(_) => waited.side(way).waker.take(),
                Poll::Pending => None,
            });
        }
        for waker in woken.into_iter().flatten() {
            waker.wake();
        }
        answer
    }

    fn poll_gate(&self, way: Way, cx: &Context<'_>) -> Poll<Gate> {
        let attempt = |waited: &mut Waited| waited.schedule.gate(way);
        poll_locked(&self.waited, cx, attempt, |waited| &mut waited.side(way).waker)
    }
}

impl<T: Transport> Faulty<T> {
    /// Puts faults on `inner`. Delays run as tasks on `runtime`, which needs its timer enabled.
    ///
    /// # Errors
    ///
    /// [`ConnectionError::InvalidConfig`] as [`FaultConfig::validate`] says.
    pub fn new(inner: T, config: FaultConfig, runtime: Handle) -> Result<Self, ConnectionError> {
        config.validate()?;
        let waited = Waited {
            schedule: Schedule::new(config),
            reader: Side::default(),
            writer: Side::default(),
        };
        let shared = Arc::new(Shared { waited: Mutex::new(waited) });
        let faulty = Self { inner, shared, runtime };
        for action in faulty.shared.on(Schedule::on_start) {
            faulty.act(action);
        }
        Ok(faulty)
    }

    fn act(&self, action: Action) {
        match action {
            Action::Nothing => {}
            Action::ShutDown(way) => {
                tracing::debug!(?way, "fault: cut in order");
                let how = match way {
                    Way::Read => Shutdown::Read,
                    Way::Write => Shutdown::Write,
                };
                // Whoever is cut off need not be connected any more.
                let _ = self.inner.shutdown(how);
            }
            Action::Abort => {
                tracing::debug!("fault: reset");
                self.inner.abort();
            }
        }
    }

    /// Passes one chunk by `pass`, or says what the faults say instead; `ended` is what an orderly cut looks like.
    fn operate(
        &self,
        way: Way,
        wanted: usize,
        ended: io::Result<usize>,
        pass: impl FnOnce(Option<Chunk>) -> io::Result<usize>,
    ) -> io::Result<usize> {
        let chunk = match self.shared.on(|schedule| schedule.begin(way, wanted)) {
            Begin::Chunk(chunk) => chunk,
            Begin::Unfaulted => return pass(None),
            Begin::Blocked => return Err(io::ErrorKind::WouldBlock.into()),
            Begin::Ended => return ended,
            Begin::Reset => return Err(io::Error::from_raw_os_error(libc::ECONNRESET)),
        };
        let answer = pass(Some(chunk));
        let action = self.shared.on(|schedule| match &answer {
            Ok(n) if *n > 0 => schedule.on_moved(way, *n),
            Err(error) if error.kind() == io::ErrorKind::WouldBlock => {
                schedule.on_blocked(way);
                Action::Nothing
            }
            Ok(_) | Err(_) => {
                schedule.on_over(way);
                Action::Nothing
            }
        });
        self.act(action);
        answer
    }

    fn poll_ready(&self, way: Way, cx: &mut Context<'_>) -> Poll<()> {
        loop {
            match ready!(self.shared.poll_gate(way, cx)) {
                Gate::Open => return Poll::Ready(()),
                Gate::Inner => return self.poll_inner(way, cx),
                Gate::InnerThenDelay => {
                    ready!(self.poll_inner(way, cx));
                    let delay = self.shared.on(|schedule| schedule.on_inner_ready(way));
                    if let Some(delay) = delay {
                        self.start_timer(way, delay);
                    }
                }
            }
        }
    }

    fn poll_inner(&self, way: Way, cx: &mut Context<'_>) -> Poll<()> {
        match way {
            Way::Read => self.inner.poll_read_ready(cx),
            Way::Write => self.inner.poll_write_ready(cx),
        }
    }

    /// The delay begins now, whenever the runtime comes to run its task.
    fn start_timer(&self, way: Way, delay: Duration) {
        let _entered = self.runtime.enter();
        let sleep = tokio::time::sleep(delay);
        let shared = Arc::downgrade(&self.shared);
        let timer = self.runtime.spawn(async move {
            sleep.await;
            if let Some(shared) = shared.upgrade() {
                shared.on(|schedule| schedule.on_timer(way));
            }
        });
        self.shared.waited.lock().side(way).timer = Some(timer.abort_handle());
    }
}

impl<T: Transport> Transport for Faulty<T> {
    fn try_read(&self, buf: &mut [u8]) -> io::Result<usize> {
        self.try_read_locked(buf).0
    }

    fn try_read_locked(&self, buf: &mut [u8]) -> (io::Result<usize>, Option<Bytes>) {
        if buf.is_empty() {
            return (Ok(0), None);
        }
        let wanted = buf.len();
        let mut spent = None;
        let mut read = |buf: &mut [u8]| {
            let answer;
            (answer, spent) = self.inner.try_read_locked(buf);
            answer
        };
        let answer = self.operate(Way::Read, wanted, Ok(0), |chunk| {
            let Some(chunk) = chunk else { return read(buf) };
            let n = read(&mut buf[..chunk.limit])?;
            if let Some(corruption) = chunk.corruption {
                corruption.apply(chunk.offset, &mut buf[..n]);
            }
            Ok(n)
        });
        (answer, spent)
    }

    fn try_write(&self, bufs: &[IoSlice<'_>]) -> io::Result<usize> {
        let wanted = bufs.iter().fold(0, |sum: usize, buf| sum.saturating_add(buf.len()));
        if wanted == 0 {
            return Ok(0);
        }
        let ended = Err(io::Error::from_raw_os_error(libc::EPIPE));
        self.operate(Way::Write, wanted.min(WRITE_CHUNK), ended, |chunk| {
            let Some(chunk) = chunk else { return self.inner.try_write(bufs) };
            let mut bytes = gather(bufs, chunk.limit);
            if let Some(corruption) = chunk.corruption {
                corruption.apply(chunk.offset, &mut bytes);
            }
            self.inner.try_write(&[IoSlice::new(&bytes)])
        })
    }

    fn poll_read_ready(&self, cx: &mut Context<'_>) -> Poll<()> {
        self.poll_ready(Way::Read, cx)
    }

    fn poll_write_ready(&self, cx: &mut Context<'_>) -> Poll<()> {
        self.poll_ready(Way::Write, cx)
    }

    fn shutdown(&self, how: Shutdown) -> io::Result<()> {
        let answer = self.inner.shutdown(how);
        self.shared.on(|schedule| schedule.on_shutdown(how));
        answer
    }

    fn abort(&self) {
        self.inner.abort();
        self.shared.on(|schedule| schedule.on_shutdown(Shutdown::Both));
    }

    fn has_delivered(&self) -> bool {
        self.inner.has_delivered()
    }

    fn is_quiet(&self) -> bool {
        self.inner.is_quiet()
    }
}

/// The first `limit` bytes of `bufs` in one piece.
fn gather(bufs: &[IoSlice<'_>], limit: usize) -> Vec<u8> {
    let mut bytes = Vec::with_capacity(limit);
    for buf in bufs {
        let n = buf.len().min(limit - bytes.len());
        bytes.extend_from_slice(&buf[..n]);
    }
    bytes
}

impl<T: Transport> fmt::Debug for Faulty<T> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Faulty").field("inner", &self.inner).finish_non_exhaustive()
    }
}

impl<T: Transport> Drop for Faulty<T> {
    fn drop(&mut self) {
        let timers = {
            let mut waited = self.shared.waited.lock();
            Way::BOTH.map(|way| waited.side(way).timer.take())
        };
        for timer in timers.into_iter().flatten() {
            timer.abort();
        }
    }
}
