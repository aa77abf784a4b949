//! Moves the bytes of a relay, and waits when none can move.

use super::{
    RelayLimits, RelayOutcome, Side,
    bucket::{Bucket, Rate},
    conduit::Conduit,
    pulse::Pulse,
    state::{Action, End, Limits, State},
};
use crate::{
    context::CloseReason,
    error::ConnectionError,
    transport::{Pipes, Stream, StreamReady, can_splice},
    volume::ByteLimit,
};
use std::{
    fmt,
    future::{Future, poll_fn},
    net::Shutdown,
    pin::Pin,
    task::{Context, Poll},
    time::{Duration, Instant},
};
use tokio::{
    task::{coop, yield_now},
    time::{Sleep, sleep_until},
};

/// Silence after which pipes are given back, and what comes is taken for small.
const QUIET: Duration = Duration::from_secs(1);

/// Bytes that a relay moves before it lets others run.
const BURST: usize = 1 << 20;

/// How often it is asked whether a reset would still take bytes with it: the kernel has no event for it.
const FIRST_SETTLE: Duration = Duration::from_millis(1);
const LAST_SETTLE: Duration = Duration::from_millis(50);

/// A relay under way. Dropping it ends it.
pub(crate) struct Relay<'a> {
    state: State,
    /// What comes from the client, and from the server.
    lanes: [Lane<'a>; 2],
    timer: Timer,
    settle: Duration,
    /// Where it may take pipes from, to splice.
    pipes: Option<&'a Pipes>,
    /// Told of every move.
    pulse: Option<&'a Pulse>,
    /// Bytes moved since it let others run.
    burst: usize,
    is_closed: bool,
}

/// A side, and what is held of what it sent.
struct Lane<'a> {
    source: &'a Stream,
    readable: StreamReady,
    writable: StreamReady,
    held: Conduit,
    /// How much may be read of the source.
    bucket: Bucket,
    /// Bytes that the other side took.
    passed: u64,
}

impl<'a> Lane<'a> {
    fn new(source: &'a Stream, held: Conduit, bucket: Bucket) -> Self {
        let (readable, writable) = (source.readable(), source.writable());
        Self { source, readable, writable, held, bucket, passed: 0 }
    }
}

impl<'a> Relay<'a> {
    pub(crate) fn new(client: &'a Stream, server: &'a Stream, limits: &RelayLimits) -> Self {
        let now = clock();
        let splice_after =
            if can_splice(client, server) { limits.splice_after } else { ByteLimit::Never };
        let lane = |source, rate: Rate| {
            let held = Conduit::new(limits.buffer_size, splice_after);
            Lane::new(source, held, Bucket::new(rate, now))
        };
        let until = limits.max_duration.from(now);
        let times = Limits { idle: limits.idle, half_close: limits.half_close, until };
        Self {
            state: State::new(times, now),
            lanes: [lane(client, limits.to_server), lane(server, limits.to_client)],
            timer: Timer::default(),
            settle: FIRST_SETTLE,
            pipes: None,
            pulse: None,
            burst: 0,
            is_closed: false,
        }
    }

    /// Owes the server what was read of the client before.
    pub(crate) fn owing(mut self, ahead: Vec<u8>) -> Self {
        let lane = &mut self.lanes[Side::Client.index()];
        lane.bucket.on_passed(ahead.len(), clock());
        lane.held.preload(ahead);
        self
    }

    /// Lets the kernel move bytes through `pipes`, as far as there are any.
    pub(crate) fn splicing(mut self, pipes: &'a Pipes) -> Self {
        self.pipes = Some(pipes);
        self
    }

    /// Tells `pulse` of every move.
    pub(crate) fn watched_by(mut self, pulse: &'a Pulse) -> Self {
        self.pulse = Some(pulse);
        self
    }

    /// Copies until it is over, then closes both sides. Dropping the future only pauses the copying.
    pub(crate) async fn run(&mut self) -> RelayOutcome {
        loop {
            let now = clock();
            self.calm(now);
            let moved = self.pump(Side::Client, now) | self.pump(Side::Server, now);
            self.state.on_timeout(now);
            if let Some(end) = self.state.end() {
                return self.close(end);
            }
            if moved {
                self.let_others_run().await;
                continue;
            }
            if self.is_settled() {
                self.state.on_delivered();
                continue;
            }
            let wake_at = self.rest(now);
            poll_fn(|cx| self.poll_wait(cx, now, wake_at)).await;
        }
    }

    /// Begins anew after a silence.
    fn calm(&mut self, now: Instant) {
        if self.state.last_move() + QUIET <= now {
            self.lanes.iter_mut().for_each(|lane| lane.held.start_small());
        }
    }

    /// What a system call moves has no bound but the sockets' buffers: calls alone are no fair measure.
    async fn let_others_run(&mut self) {
        if self.burst < BURST {
            return coop::consume_budget().await;
        }
        self.burst = 0;
        yield_now().await;
    }

    /// Ends the relay now.
    pub(crate) fn cut(&mut self, reason: CloseReason) -> RelayOutcome {
        self.state.on_cut(reason);
        self.close(self.state.end().unwrap_or(End::Cut(reason)))
    }

    /// Moves what can be moved at once of what `from` sends; says whether anything happened.
    fn pump(&mut self, from: Side, now: Instant) -> bool {
        let mut happened = false;
        if self.wants(from) {
            let most = self.lane(from).bucket.allowance(now);
            happened |= most > 0 && self.read(from, most, now);
        }
        if self.state.carries(from) && !self.lane(from).held.is_empty() {
            happened |= self.write(from, now);
        }
        if self.lane(from).held.is_empty() {
            match self.state.on_emptied(from, now) {
                Action::Nothing => {}
                Action::Finish(side) => {
                    happened = true;
                    self.finish(side);
                }
            }
        }
        happened
    }

    fn read(&mut self, from: Side, most: usize, now: Instant) -> bool {
        let lane = &mut self.lanes[from.index()];
        match lane.held.fill(lane.source, most, self.pipes) {
            Poll::Pending => return false,
            Poll::Ready(Ok(0)) => self.state.on_source_ended(from),
            Poll::Ready(Ok(n)) => {
                lane.bucket.on_passed(n, now);
                self.on_moved(now);
            }
            Poll::Ready(Err(error)) => self.fail(from, &error),
        }
        true
    }

    fn write(&mut self, from: Side, now: Instant) -> bool {
        let to = self.lanes[from.other().index()].source;
        let lane = &mut self.lanes[from.index()];
        match lane.held.pass(to) {
            Poll::Pending => return false,
            Poll::Ready(Ok(n)) => {
                lane.passed += n as u64;
                self.burst += n;
                self.on_moved(now);
            }
            Poll::Ready(Err(error)) => self.fail(from.other(), &error),
        }
        true
    }

    /// Whether what `side` sends could be taken, as far as the rate allows it.
    fn wants(&mut self, side: Side) -> bool {
        self.state.reads(side) && self.lane(side).held.has_room()
    }

    fn on_moved(&mut self, now: Instant) {
        self.state.on_moved(now);
        if let Some(pulse) = self.pulse {
            pulse.beat(now);
        }
    }

    /// Passes an orderly end on to `side`.
    fn finish(&mut self, side: Side) {
        if let Err(error) = self.lane(side).source.shutdown(Shutdown::Write) {
            self.fail(side, &error);
        }
    }

    fn fail(&mut self, side: Side, error: &ConnectionError) {
        let stream = self.lane(side).source;
        if stream.is_closed() {
            // Somebody in this process closed it, and said why.
            let reason = stream.metrics().close_reason().unwrap_or(CloseReason::Local);
            return self.state.on_cut(reason);
        }
        tracing::debug!(
            connection = stream.context().id.get(),
            error = error as &dyn std::error::Error,
            "a relayed side broke"
        );
        self.state.on_broken(side);
        self.lane(side.other()).held.discard();
    }

    fn is_settled(&mut self) -> bool {
        let Some(broken) = self.state.settles() else { return false };
        self.lane(broken.other()).source.has_delivered()
    }

    /// Prepares for a wait: says when it must end.
    fn rest(&mut self, now: Instant) -> Option<Instant> {
        let mut wake_at = self.state.deadline();
        let mut at = |time: Instant| wake_at = Some(wake_at.map_or(time, |first| first.min(time)));
        if self.lanes.iter().any(|lane| lane.held.has_spare_pipe()) {
            at(self.state.last_move() + QUIET);
        }
        for side in Side::BOTH {
            let wants = self.state.reads(side) && self.lanes[side.index()].held.has_room();
            let next = self.lanes[side.index()].bucket.next(now);
            if let Some(next) = next.filter(|_| wants) {
                at(next);
            }
        }
        if self.state.settles().is_some() {
            at(now + self.settle);
            self.settle = (self.settle * 2).min(LAST_SETTLE);
        }
        wake_at
    }

    /// Ready once something may be worth a try. Asks only for what the rates, as they were when the wait began, and the
    /// buffers let pass.
    fn poll_wait(
        &mut self,
        cx: &mut Context<'_>,
        began: Instant,
        wake_at: Option<Instant>,
    ) -> Poll<()> {
        let mut ready = self.timer.poll_until(cx, wake_at).is_ready();
        for side in Side::BOTH {
            let wants_read = self.wants(side) && self.lane(side).bucket.allowance(began) > 0;
            let has_bytes = !self.lane(side).held.is_empty();
            if wants_read {
                ready |= Pin::new(&mut self.lane(side).readable).poll(cx).is_ready();
            }
            if has_bytes {
                ready |= Pin::new(&mut self.lane(side.other()).writable).poll(cx).is_ready();
            }
        }
        if ready { Poll::Ready(()) } else { Poll::Pending }
    }

    fn close(&mut self, end: End) -> RelayOutcome {
        self.is_closed = true;
        let reason = end.reason();
        let owed = Side::BOTH.map(|side| !self.lane(side.other()).held.is_empty());
        // With the streams every descriptor of the relay is gone.
        self.lanes.iter_mut().for_each(|lane| lane.held.discard());
        for side in Side::BOTH {
            let is_owed = owed[side.index()];
            let stream = self.lane(side).source;
            let is_reset = match end {
                End::Finished => false,
                End::Broken { side: broken, told } => side != broken && !told,
                End::IdleTimeout | End::HalfCloseTimeout | End::MaxDuration | End::Cut(_) => {
                    is_owed
                }
            };
            if is_reset {
                stream.abort(reason);
            } else {
                stream.close_because(reason);
            }
        }
        let broken = match end {
            End::Broken { side, .. } => self.lane(side).source.error().map(|error| (side, error)),
            End::Finished
            | End::IdleTimeout
            | End::HalfCloseTimeout
            | End::MaxDuration
            | End::Cut(_) => None,
        };
        let [client, server] = &self.lanes;
        RelayOutcome { reason, broken, to_server: client.passed, to_client: server.passed }
    }

    fn lane(&mut self, side: Side) -> &mut Lane<'a> {
        &mut self.lanes[side.index()]
    }
}

impl Drop for Relay<'_> {
    fn drop(&mut self) {
        if !self.is_closed {
            let _ = self.cut(CloseReason::Cancelled);
        }
    }
}

impl fmt::Debug for Relay<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Relay").field("state", &self.state).finish_non_exhaustive()
    }
}

/// One sleep for all deadlines. A deadline that moved away costs a wake for nothing at its old time
/// instead of a new registration with every byte.
#[derive(Default)]
struct Timer {
    sleep: Option<Pin<Box<Sleep>>>,
}

impl Timer {
    fn poll_until(&mut self, cx: &mut Context<'_>, at: Option<Instant>) -> Poll<()> {
        let Some(at) = at.map(tokio::time::Instant::from_std) else { return Poll::Pending };
        let sleep = self.sleep.get_or_insert_with(|| Box::pin(sleep_until(at)));
        if sleep.is_elapsed() || at < sleep.deadline() {
            sleep.as_mut().reset(at);
        }
        sleep.as_mut().poll(cx)
    }
}

#[expect(clippy::disallowed_methods, reason = "the driver tells the state what time it is")]
fn clock() -> Instant {
    tokio::time::Instant::now().into_std()
}
