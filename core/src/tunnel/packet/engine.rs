//! Moves packets: between the logical connections of one link and the one stream of HTTP/2 that carries them.

use super::{
    lanes::{Lanes, Shared},
    message::Packet,
    metadata::{self, Answered},
    reader::Reader,
};
use crate::tunnel::{carrier::Lost, refusal::Refusal};
use bytes::{Bytes, BytesMut};
use h2::{RecvStream, SendStream, client::ResponseFuture};
use http::HeaderMap;
use std::{
    future::Future,
    pin::Pin,
    sync::Arc,
    task::{Context, Poll},
    time::Duration,
};
use tokio::time::{Sleep, sleep};

/// Packets that are understood before others are sent.
const AT_ONCE: usize = 256;
/// Room that is asked for before a packet is sent.
const ROOM: usize = 64 << 10;
/// Small packets are sent together, up to this many bytes at one time.
const TOGETHER: usize = 16 << 10;
/// Time for what is still on its way when a link ends in order.
const LAST_WORDS: Duration = Duration::from_secs(5);

/// The connection of HTTP/2 below: an agent's or a hub's.
pub(super) trait Wire: Send {
    /// Whether it is this end that hangs up once both have said all.
    const HANGS_UP: bool;

    /// Reads and writes frames; ready once the connection is over.
    fn poll_wire(&mut self, cx: &mut Context<'_>) -> Poll<Result<(), h2::Error>>;
    /// This end has said all.
    fn poll_parting(&mut self);
}

/// What a packet has led to.
pub(super) struct Handled<E> {
    /// The connection that it changed.
    pub(super) on: Option<Arc<Shared>>,
    pub(super) event: Option<E>,
}

impl<E> Handled<E> {
    pub(super) fn nothing() -> Self {
        Self { on: None, event: None }
    }

    pub(super) fn on(shared: Arc<Shared>) -> Self {
        Self { on: Some(shared), event: None }
    }
}

/// Who understands packets.
pub(super) trait Role: Send {
    /// What the caller of [`Engine::poll`] hears of.
    type Event;

    fn on_packet(
        &mut self,
        packet: Packet,
        lanes: &Arc<Lanes>,
    ) -> Result<Handled<Self::Event>, Lost>;

    /// The head of the peer's answer has come. Never heard by a hub.
    fn on_answer(&mut self, answered: Answered) -> Result<(), Lost>;

    /// The peer has said all; `trailers` are the last of it.
    fn on_end(&mut self, trailers: Option<&HeaderMap>) -> Result<(), Lost>;

    /// The last words, beside the end itself.
    fn last_words(&self) -> (Option<Packet>, Option<HeaderMap>);

    /// Time for which nobody reads what a peer without credit sends.
    fn patience(&self) -> Duration;

    /// Connections of a link at one time.
    fn limit(&self) -> usize;

    /// Whether connections may wait for the turn of a peer without order.
    fn has_turns(&self) -> bool;
}

/// What comes from the peer.
pub(super) enum Incoming {
    Head(ResponseFuture),
    Body(RecvStream),
    Trailers(RecvStream),
    Over,
}

/// What has happened.
pub(super) enum Turn<E> {
    Event(E),
    Over(Result<(), Lost>),
}

/// One link. Nothing moves on it while it is not polled; dropping it breaks what is open.
pub(super) struct Engine<W: Wire, R: Role> {
    /// `None` only while it is dropped.
    wire: Option<W>,
    outgoing: SendStream<Bytes>,
    incoming: Incoming,
    reader: Reader,
    pub(super) lanes: Arc<Lanes>,
    pub(super) role: R,
    /// A connection whose reader holds up the link, and until when it may.
    stalled: Option<(Arc<Shared>, Pin<Box<Sleep>>)>,
    /// When those are looked at that wait for their turn.
    turns: Option<Pin<Box<Sleep>>>,
    /// Runs once this end has said all.
    ending: Option<Pin<Box<Sleep>>>,
    /// Whether the peer takes nothing now.
    is_blocked: bool,
    /// Packets that are sent with the next.
    together: BytesMut,
}

impl<W: Wire, R: Role> Engine<W, R> {
    pub(super) fn new(
        wire: W,
        (outgoing, incoming): (SendStream<Bytes>, Incoming),
        packet_max: u32,
        lanes: Arc<Lanes>,
        role: R,
    ) -> Self {
        Self {
            wire: Some(wire),
            outgoing,
            incoming,
            reader: Reader::new(packet_max),
            lanes,
            role,
            stalled: None,
            turns: None,
            ending: None,
            is_blocked: false,
            together: BytesMut::new(),
        }
    }

    pub(super) fn wire(&mut self) -> Option<&mut W> {
        self.wire.as_mut()
    }

    /// Runs the link until something has happened.
    pub(super) fn poll(&mut self, cx: &mut Context<'_>) -> Poll<Turn<R::Event>> {
        match self.poll_on(cx) {
            Poll::Pending => Poll::Pending,
            Poll::Ready(Ok(turn)) => Poll::Ready(turn),
            Poll::Ready(Err(lost)) => Poll::Ready(Turn::Over(Err(lost))),
        }
    }

    fn poll_on(&mut self, cx: &mut Context<'_>) -> Poll<Result<Turn<R::Event>, Lost>> {
        self.lanes.begin();
        loop {
            let Some(wire) = &mut self.wire else { return Poll::Ready(Ok(Turn::Over(Ok(())))) };
            let wire_end = wire.poll_wire(cx);
            let (mut has_moved, event) = self.receive(cx)?;
            if let Some(event) = event {
                return Poll::Ready(Ok(Turn::Event(event)));
            }
            if matches!(self.incoming, Incoming::Over) && self.ending.is_none() {
                // Who has said all hears nothing more either.
                self.lanes.end(&Refusal::Lost(Lost::Ended));
                self.end();
                has_moved = true;
            }
            if let Poll::Ready(ended) = wire_end {
                let is_fine = self.ending.is_some();
                let ended = ended
                    .map_err(Lost::from)
                    .or_else(|lost| if is_fine { Ok(()) } else { Err(lost) });
                let ended = ended.and_then(|()| if is_fine { Ok(()) } else { Err(Lost::Ended) });
                return Poll::Ready(Ok(Turn::Over(ended)));
            }
            has_moved |= self.send(cx)?;
            if self.is_past_ending(cx) {
                return Poll::Ready(Ok(Turn::Over(Ok(()))));
            }
            self.watch_turns(cx);
            // Its last words, too, went out above.
            let is_over = matches!(self.incoming, Incoming::Over) && self.ending.is_some();
            if W::HANGS_UP && is_over && !has_moved {
                return Poll::Ready(Ok(Turn::Over(Ok(()))));
            }
            if !has_moved && self.lanes.settle(cx, self.is_blocked || self.ending.is_some()) {
                return Poll::Pending;
            }
        }
    }

    /// Whether this end has said all, and the peer had the time to hear it or has hung up.
    fn is_past_ending(&mut self, cx: &mut Context<'_>) -> bool {
        self.ending.as_mut().is_some_and(|ending| ending.as_mut().poll(cx).is_ready())
    }

    // Receiving.

    fn receive(&mut self, cx: &mut Context<'_>) -> Result<(bool, Option<R::Event>), Lost> {
        let mut understood = 0;
        while understood < AT_ONCE && !self.is_held_up(cx) {
            if let Some(packet) = self.reader.next().map_err(Lost::malformed)? {
                understood += 1;
                let handled = self.role.on_packet(packet, &self.lanes)?;
                if let Some(shared) = handled.on {
                    self.look_at(shared);
                }
                if handled.event.is_some() {
                    return Ok((true, handled.event));
                }
            } else if self.take_in(cx)?.is_pending() {
                return Ok((understood > 0, None));
            }
        }
        Ok((understood > 0, None))
    }

    /// Takes the next bytes of the peer; pending when there are none.
    fn take_in(&mut self, cx: &mut Context<'_>) -> Result<Poll<()>, Lost> {
        let next = match &mut self.incoming {
            Incoming::Head(response) => match Pin::new(response).poll(cx) {
                Poll::Pending => return Ok(Poll::Pending),
                Poll::Ready(response) => {
                    let (head, body) = response?.into_parts();
                    self.role.on_answer(metadata::read_answer(head.status, &head.headers)?)?;
                    Incoming::Body(body)
                }
            },
            Incoming::Body(body) => match body.poll_data(cx) {
                Poll::Pending => return Ok(Poll::Pending),
                Poll::Ready(Some(chunk)) => {
                    let chunk = chunk?;
                    // Fails only for more than was taken, which is never given.
                    let _ = body.flow_control().release_capacity(chunk.len());
                    self.reader.push(chunk);
                    return Ok(Poll::Ready(()));
                }
                Poll::Ready(None) if !self.reader.is_between_messages() => {
                    return Err(Lost::Violation("it ended in the middle of a message"));
                }
                Poll::Ready(None) => match std::mem::replace(&mut self.incoming, Incoming::Over) {
                    Incoming::Body(body) => Incoming::Trailers(body),
                    over => over,
                },
            },
            Incoming::Trailers(body) => match body.poll_trailers(cx) {
                Poll::Pending => return Ok(Poll::Pending),
                Poll::Ready(trailers) => {
                    let said_all = self.ending.is_some();
                    let trailers = trailers.map_err(Lost::from);
                    let ended = trailers.and_then(|trailers| self.role.on_end(trailers.as_ref()));
                    match ended {
                        Err(lost) if !said_all => return Err(lost),
                        Ok(()) | Err(_) => Incoming::Over,
                    }
                }
            },
            Incoming::Over => return Ok(Poll::Pending),
        };
        self.incoming = next;
        Ok(Poll::Ready(()))
    }

    /// A packet has changed this connection.
    fn look_at(&mut self, shared: Arc<Shared>) {
        if shared.with(|lane| lane.is_overfull()) {
            self.stalled = Some((shared, Box::pin(sleep(self.role.patience()))));
        }
    }

    /// Whether nothing may be understood now: somebody who is not read from without credit, or too much to be answered.
    fn is_held_up(&mut self, cx: &mut Context<'_>) -> bool {
        if let Some((shared, patience)) = &mut self.stalled {
            if shared.with(|lane| lane.is_overfull()) {
                if patience.as_mut().poll(cx).is_pending() {
                    return true;
                }
                tracing::debug!(?shared, "a connection was reset: its reader held up the link");
                let wakes = shared.with(super::lane::Lane::abort);
                self.lanes.on_changed(shared, wakes);
            }
            self.stalled = None;
        }
        self.lanes.len() >= self.role.limit() || self.lanes.notes() >= AT_ONCE
    }

    // Sending.

    fn send(&mut self, cx: &mut Context<'_>) -> Result<bool, Lost> {
        let mut has_moved = false;
        self.is_blocked = false;
        if self.ending.is_some() {
            return Ok(false);
        }
        while self.lanes.has_something_to_send() {
            if self.poll_room(cx)?.is_pending() {
                self.is_blocked = true;
                break;
            }
            if let Some(packet) = self.lanes.next() {
                self.write(packet)?;
            }
            has_moved = true;
        }
        self.flush()?;
        if self.lanes.is_done() {
            self.end();
            has_moved = true;
        }
        Ok(has_moved)
    }

    fn poll_room(&mut self, cx: &mut Context<'_>) -> Result<Poll<()>, Lost> {
        self.outgoing.reserve_capacity(ROOM);
        while self.outgoing.capacity() == 0 {
            match self.outgoing.poll_capacity(cx) {
                Poll::Pending => return Ok(Poll::Pending),
                Poll::Ready(Some(room)) => {
                    room?;
                }
                Poll::Ready(None) => return Err(Lost::Ended),
            }
        }
        Ok(Poll::Ready(()))
    }

    /// A little more than there is room for waits in `h2`: one packet at most.
    fn write(&mut self, packet: Packet) -> Result<(), Lost> {
        let data = packet.write_to(&mut self.together);
        if data.is_some() || self.together.len() >= TOGETHER {
            self.flush()?;
        }
        if let Some(data) = data {
            self.outgoing.send_data(data, false)?;
        }
        Ok(())
    }

    fn flush(&mut self) -> Result<(), Lost> {
        if !self.together.is_empty() {
            self.outgoing.send_data(self.together.split().freeze(), false)?;
        }
        Ok(())
    }

    /// Says the last there is to say. What fails here finds nobody who would hear it.
    fn end(&mut self) {
        let (packet, trailers) = self.role.last_words();
        if let Some(packet) = packet {
            let _ = self.write(packet);
        }
        let _ = self.flush();
        let _ = match trailers {
            Some(trailers) => self.outgoing.send_trailers(trailers),
            None => self.outgoing.send_data(Bytes::new(), true),
        };
        if let Some(wire) = &mut self.wire {
            wire.poll_parting();
        }
        self.ending = Some(Box::pin(sleep(LAST_WORDS)));
    }

    /// Gives up those whose peer has not answered for too long what they would add to.
    fn watch_turns(&mut self, cx: &mut Context<'_>) {
        if !self.role.has_turns() {
            return;
        }
        let patience = self.role.patience();
        let turns = self.turns.get_or_insert_with(|| Box::pin(sleep(patience)));
        while turns.as_mut().poll(cx).is_ready() {
            turns.set(sleep(patience));
            for shared in self.lanes.all() {
                if let Some(wakes) = shared.with(|lane| lane.on_turns_watched()) {
                    tracing::debug!(?shared, "a connection was reset: the agent keeps no order");
                    self.lanes.on_changed(&shared, wakes);
                }
            }
        }
    }
}

impl<W: Wire, R: Role> Drop for Engine<W, R> {
    fn drop(&mut self) {
        drop(self.wire.take());
        self.lanes.end(&Refusal::Lost(Lost::Ended));
    }
}
