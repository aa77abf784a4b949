//! What arrives for the streams of one link: taken out of `h2` by the link's task, kept until it is read.

use bytes::{Bytes, BytesMut};
use h2::RecvStream;
use parking_lot::Mutex;
use std::{
    any::Any,
    collections::VecDeque,
    fmt, io,
    mem::take,
    sync::{Arc, Weak},
    task::{Context, Poll, Wake, Waker},
};

/// Frames below this length are gathered: kept as they came, each would hold on to far more than its bytes.
const SMALL: usize = 4096;

/// The streams of one link for which something has arrived.
#[derive(Debug, Default)]
pub(super) struct Arrivals(Mutex<Rung>);

/// What is held until a stream has nothing left to send.
pub(super) type Parting = Box<dyn Any + Send + Sync>;

#[derive(Debug, Default)]
struct Rung {
    inlets: Vec<Weak<Inlet>>,
    parting: Vec<Parting>,
    /// The link's task, while it waits.
    driver: Option<Waker>,
    /// The link is gone, and every stream of it knows.
    is_over: bool,
}

impl Arrivals {
    /// Lets the link's task work undisturbed: it will [`settle`](Self::settle) after.
    pub(super) fn begin(&self) {
        let driver = self.0.lock().driver.take();
        drop(driver);
    }

    /// Takes in what has arrived and wakes its readers, until there is nothing more; from then on the task of
    /// `cx` is woken for more.
    pub(super) fn settle(&self, cx: &Context<'_>) {
        let mut waker = Some(cx.waker().clone());
        loop {
            let (inlets, parting) = {
                let mut rung = self.0.lock();
                if rung.inlets.is_empty() && rung.parting.is_empty() {
                    rung.driver = waker.take();
                    return;
                }
                (take(&mut rung.inlets), take(&mut rung.parting))
            };
            drop(parting);
            for inlet in inlets {
                if let Some(inlet) = inlet.upgrade() {
                    inlet.take_in();
                }
            }
        }
    }

    /// The link is gone, its `h2` connection dropped: lets every stream know.
    pub(super) fn end(&self) {
        self.settle(&Context::from_waker(Waker::noop()));
        self.0.lock().is_over = true;
    }

    fn ring(&self, inlet: Weak<Inlet>) {
        self.tell(|rung| {
            if !rung.is_over {
                rung.inlets.push(inlet);
            }
        });
    }

    /// A stream has nothing left to send: what was held for it is dropped by the link's task.
    pub(super) fn part(&self, parting: Parting) {
        self.tell(|rung| rung.parting.push(parting));
    }

    fn tell(&self, what: impl FnOnce(&mut Rung)) {
        let driver = {
            let mut rung = self.0.lock();
            what(&mut rung);
            rung.driver.take()
        };
        if let Some(driver) = driver {
            driver.wake();
        }
    }
}

/// The waker that `h2` gets for a stream.
struct Doorbell {
    inlet: Weak<Inlet>,
    arrivals: Arc<Arrivals>,
}

impl Wake for Doorbell {
    fn wake(self: Arc<Self>) {
        self.arrivals.ring(Weak::clone(&self.inlet));
    }
}

/// The receiving half of one stream.
pub(super) struct Inlet {
    /// Held for the length of one copy. Wakers are woken and dropped outside of it.
    half: Mutex<Half>,
    doorbell: Waker,
}

struct Half {
    stream: RecvStream,
    /// What was read from `h2` and not by the user; its credit is given back when it is read.
    held: VecDeque<Bytes>,
    /// Small frames, gathered; they come after `held`.
    gathered: BytesMut,
    end: Option<End>,
    /// Nothing that still arrives is wanted.
    refused: bool,
    reader: Option<Waker>,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum End {
    Finished,
    Reset,
    /// This end has aborted it.
    Aborted,
}

impl Inlet {
    pub(super) fn new(stream: RecvStream, arrivals: &Arc<Arrivals>) -> Arc<Self> {
        let half = Half {
            stream,
            held: VecDeque::new(),
            gathered: BytesMut::new(),
            end: None,
            refused: false,
            reader: None,
        };
        let inlet = Arc::new_cyclic(|inlet| {
            let bell = Doorbell { inlet: Weak::clone(inlet), arrivals: Arc::clone(arrivals) };
            Self { half: Mutex::new(half), doorbell: Waker::from(Arc::new(bell)) }
        });
        inlet.take_in();
        inlet
    }

    /// Takes what has arrived out of `h2`, and wakes the reader if there was anything.
    fn take_in(&self) {
        let reader = {
            let mut half = self.half.lock();
            if half.take_in(&self.doorbell) { half.reader.take() } else { None }
        };
        if let Some(reader) = reader {
            reader.wake();
        }
    }

    pub(super) fn read(&self, buf: &mut [u8]) -> io::Result<usize> {
        let mut half = self.half.lock();
        let Some(bytes) = half.pop(buf.len())? else { return Ok(0) };
        buf[..bytes.len()].copy_from_slice(&bytes);
        Ok(bytes.len())
    }

    pub(super) fn read_owned(&self, max: usize) -> io::Result<Bytes> {
        Ok(self.half.lock().pop(max)?.unwrap_or_default())
    }

    pub(super) fn poll_ready(&self, cx: &Context<'_>) -> Poll<()> {
        let waker = cx.waker().clone();
        let (answer, _replaced) = {
            let mut half = self.half.lock();
            if half.is_readable() {
                (Poll::Ready(()), Some(waker))
            } else {
                (Poll::Pending, half.reader.replace(waker))
            }
        };
        answer
    }

    pub(super) fn is_quiet(&self) -> bool {
        !self.half.lock().is_readable()
    }

    /// Reads no more: what still comes is thrown away, as a socket does.
    pub(super) fn refuse(&self) {
        self.half.lock().refuse();
    }

    pub(super) fn abort(&self) {
        let reader = {
            let mut half = self.half.lock();
            half.refuse();
            half.end = Some(End::Aborted);
            half.reader.take()
        };
        if let Some(reader) = reader {
            reader.wake();
        }
    }
}

impl Half {
    /// Says whether there is anything new.
    fn take_in(&mut self, doorbell: &Waker) -> bool {
        let mut is_new = false;
        while self.end.is_none() {
            match self.stream.poll_data(&mut Context::from_waker(doorbell)) {
                Poll::Pending => break,
                Poll::Ready(Some(Ok(bytes))) => self.keep(bytes),
                Poll::Ready(Some(Err(_))) => self.end = Some(End::Reset),
                Poll::Ready(None) => self.end = Some(End::Finished),
            }
            is_new = true;
        }
        is_new
    }

    fn keep(&mut self, bytes: Bytes) {
        if self.refused {
            return self.give_credit(bytes.len());
        }
        if bytes.len() < SMALL {
            return self.gathered.extend_from_slice(&bytes);
        }
        if !self.gathered.is_empty() {
            self.held.push_back(self.gathered.split().freeze());
        }
        self.held.push_back(bytes);
    }

    /// At most `max` bytes from the front; `None` at the end.
    fn pop(&mut self, max: usize) -> io::Result<Option<Bytes>> {
        let bytes = match self.held.front_mut() {
            Some(front) if front.len() > max => front.split_to(max),
            Some(_) => self.held.pop_front().unwrap_or_default(),
            None => self.gathered.split_to(max.min(self.gathered.len())).freeze(),
        };
        if !bytes.is_empty() {
            self.give_credit(bytes.len());
            return Ok(Some(bytes));
        }
        match self.end {
            Some(End::Finished) => Ok(None),
            Some(End::Reset) => Err(io::Error::from_raw_os_error(libc::ECONNRESET)),
            Some(End::Aborted) => Err(io::Error::from_raw_os_error(libc::ENOTCONN)),
            None if self.refused => Ok(None),
            None => Err(io::ErrorKind::WouldBlock.into()),
        }
    }

    fn is_readable(&self) -> bool {
        !self.held.is_empty() || !self.gathered.is_empty() || self.end.is_some() || self.refused
    }

    fn refuse(&mut self) {
        let left = self.held.iter().map(Bytes::len).sum::<usize>() + self.gathered.len();
        self.held = VecDeque::new();
        self.gathered = BytesMut::new();
        self.refused = true;
        self.give_credit(left);
    }

    fn give_credit(&mut self, bytes: usize) {
        // Fails only for more than was taken, which is never given.
        let _ = self.stream.flow_control().release_capacity(bytes);
    }
}

impl fmt::Debug for Inlet {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Inlet").field("end", &self.half.lock().end).finish_non_exhaustive()
    }
}
