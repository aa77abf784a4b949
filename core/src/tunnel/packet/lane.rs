//! One logical connection over packets: what has come, what is to be sent, and when each direction is over. No I/O.

use super::message::{Packet, Word};
use crate::{
    address::Address,
    tunnel::{line::Line, refusal::Refusal},
};
use bytes::Bytes;
use std::{
    io::{self, IoSlice},
    mem::take,
    task::{Context, Poll, Waker},
};

/// Data of one packet between ends that know credit: others have their turn between two of them.
const CHUNK: usize = 32 << 10;
/// Data of one packet to an end that knows `tunnel.v1` alone, and takes messages of 4 MiB. Few large packets do it
/// less harm than many small ones.
pub(in crate::tunnel) const LEGACY_CHUNK: usize = (4 << 20) - (4 << 10);
/// Room for which a writer that waits is woken, so that it goes on in large pieces.
const WORTHWHILE: usize = 32 << 10;
/// The most credit that a peer may have given.
const CREDIT_MAX: usize = 1 << 31;

/// What the other end knows.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Peer {
    /// Credit, ends, refusals with reasons.
    Ours,
    /// A hub of `tunnel.v1` alone: it keeps the order, drops what it cannot hold, and knows no end but ERROR.
    LegacyHub,
    /// An agent of `tunnel.v1` alone: two packets that follow each other closely may change places in it, so there
    /// is one, and then its answer.
    LegacyAgent,
}

/// What a peer did that the protocol forbids. The link is given up.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Violation(pub(super) &'static str);

/// How a direction from the peer ended.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Ended {
    Finished,
    /// By the peer, or the link is lost.
    Reset,
    Aborted,
}

/// The direction to the peer.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Outgoing {
    Open,
    /// What was written is still to be sent, and the end after it.
    Finishing,
    Finished,
    /// The peer reads no more.
    Stopped,
    Reset,
    Aborted,
}

/// Whether the connection stands.
#[derive(Debug)]
enum Standing {
    /// Asked for, or to be answered.
    Asked,
    Stands,
    Refused(Refusal),
}

/// One end of a logical connection.
#[derive(Debug)]
pub(super) struct Lane {
    id: i64,
    peer: Peer,
    standing: Standing,
    inward: Inward,
    outward: Outward,
    /// The first word of this end.
    first: Option<Packet>,
    /// That this end reads no more.
    says_stop: bool,
    /// The last word of this end, after all data.
    last: Option<Packet>,
    /// Nobody uses this end any more.
    is_released: bool,
}

#[derive(Debug)]
struct Inward {
    line: Line,
    window: usize,
    /// Credit that the peer has left.
    left: usize,
    /// Bytes that were read, and for which the peer has no new credit yet.
    owed: usize,
    end: Option<Ended>,
    /// What still comes is thrown away.
    is_refused: bool,
    was_told_to_stop: bool,
    reader: Option<Waker>,
}

#[derive(Debug)]
struct Outward {
    line: Line,
    limit: usize,
    credit: usize,
    /// A packet was sent to a legacy agent that has not answered it.
    is_unanswered: bool,
    /// It was so already when turns were watched last, with more to be sent.
    waits_long: bool,
    state: Outgoing,
    writer: Option<Waker>,
}

/// Whom a change concerns: to be woken once the lane is unlocked.
#[must_use]
#[derive(Debug, Default)]
pub(super) struct Wakes(Option<Waker>, Option<Waker>);

impl Wakes {
    pub(super) fn wake(self) {
        for waker in [self.0, self.1].into_iter().flatten() {
            waker.wake();
        }
    }
}

impl Lane {
    fn new(id: i64, peer: Peer, window: usize, send_buffer: usize) -> Self {
        let limit = match peer {
            Peer::Ours | Peer::LegacyHub => send_buffer,
            // A request must fit into one packet.
            Peer::LegacyAgent => LEGACY_CHUNK,
        };
        Self {
            id,
            peer,
            standing: Standing::Asked,
            inward: Inward {
                line: Line::default(),
                window,
                left: window,
                owed: 0,
                end: None,
                is_refused: false,
                was_told_to_stop: false,
                reader: None,
            },
            outward: Outward {
                line: Line::default(),
                limit,
                credit: 0,
                is_unanswered: false,
                waits_long: false,
                state: Outgoing::Open,
                writer: None,
            },
            first: None,
            says_stop: false,
            last: None,
            is_released: false,
        }
    }

    /// One that the hub asks its agent for.
    pub(super) fn asking(
        id: i64,
        (window, send_buffer): (u32, usize),
        target: Option<&Address>,
        source: Option<&Address>,
    ) -> Self {
        let text = |address: Option<&Address>| address.map(Address::to_string).unwrap_or_default();
        let mut lane = Self::new(id, Peer::Ours, window as usize, send_buffer);
        lane.first = Some(Packet {
            credit: window,
            target: text(target),
            source: text(source),
            ..Packet::word(id, Word::Open)
        });
        lane
    }

    /// One that a legacy agent opens with the first packet that it gets.
    pub(super) fn unasked(id: i64, (window, send_buffer): (u32, usize)) -> Self {
        let mut lane = Self::new(id, Peer::LegacyAgent, window as usize, send_buffer);
        lane.standing = Standing::Stands;
        lane
    }

    /// One that the agent is asked for; the hub takes `credit` bytes.
    pub(super) fn asked(
        id: i64,
        peer: Peer,
        (window, send_buffer): (u32, usize),
        credit: u32,
    ) -> Self {
        let mut lane = Self::new(id, peer, window as usize, send_buffer);
        lane.outward.credit = credit as usize;
        lane
    }

    pub(super) fn id(&self) -> i64 {
        self.id
    }

    /// The agent opens it; false if the hub has given it up.
    pub(super) fn accept(&mut self) -> bool {
        if self.inward.end == Some(Ended::Reset) {
            return false;
        }
        self.standing = Standing::Stands;
        if self.peer == Peer::Ours {
            let credit = self.inward.window as u32;
            self.first = Some(Packet { credit, ..Packet::word(self.id, Word::Accepted) });
        }
        true
    }

    /// The agent does not open it.
    pub(super) fn refuse(&mut self, why: &Refusal) {
        let status = u32::from(why.status().as_u16());
        let text = match (self.peer, why.text()) {
            (Peer::Ours, text) => text.unwrap_or_default().to_owned(),
            (Peer::LegacyHub | Peer::LegacyAgent, text) => {
                let why = text.map_or_else(|| why.summary().to_owned(), str::to_owned);
                format!("failed to dial for conn_id {}: {why}", self.id)
            }
        };
        let number = why.number().unwrap_or(0);
        self.give_up(Packet { status, number, ..Packet::error(self.id, text) });
    }

    /// Whether the peer has taken its request back, or is gone. Wakes `cx` when it has.
    pub(super) fn poll_withdrawn(&mut self, cx: &Context<'_>) -> Poll<()> {
        match self.inward.end {
            Some(Ended::Reset) => Poll::Ready(()),
            Some(Ended::Finished | Ended::Aborted) | None => {
                self.inward.reader = Some(cx.waker().clone());
                Poll::Pending
            }
        }
    }

    /// What the agent has answered.
    pub(super) fn poll_answer(&mut self, cx: &Context<'_>) -> Poll<Result<(), Refusal>> {
        match &self.standing {
            Standing::Stands => Poll::Ready(Ok(())),
            Standing::Refused(why) => Poll::Ready(Err(why.clone())),
            Standing::Asked => {
                self.outward.writer = Some(cx.waker().clone());
                Poll::Pending
            }
        }
    }

    // What the peer says.

    /// The agent has opened it, and takes `credit` bytes.
    pub(super) fn on_accepted(&mut self, credit: u32) -> Result<Wakes, Violation> {
        if !matches!(self.standing, Standing::Asked) || self.peer != Peer::Ours {
            return match self.outward.state {
                // It has crossed the word that the hub has given up.
                Outgoing::Aborted => Ok(Wakes::default()),
                _ => Err(Violation("it accepted a connection twice")),
            };
        }
        self.standing = Standing::Stands;
        self.on_credit(credit)
    }

    pub(super) fn on_credit(&mut self, credit: u32) -> Result<Wakes, Violation> {
        let credit = self.outward.credit + credit as usize;
        if credit > CREDIT_MAX {
            return Err(Violation("it gave more credit than there is"));
        }
        self.outward.credit = credit;
        Ok(Wakes(self.outward.writer.take(), None))
    }

    pub(super) fn on_data(&mut self, data: Bytes) -> Result<Wakes, Violation> {
        (self.outward.is_unanswered, self.outward.waits_long) = (false, false);
        match self.inward.end {
            None => {}
            // It was on its way.
            Some(Ended::Aborted | Ended::Reset) => return Ok(Wakes::default()),
            Some(Ended::Finished) => return Err(Violation("it sent data after the end")),
        }
        if self.peer == Peer::Ours {
            let left = self.inward.left.checked_sub(data.len());
            self.inward.left = left.ok_or(Violation("it sent more than its credit"))?;
        }
        if self.inward.is_refused {
            self.inward.owed += data.len();
            return Ok(Wakes::default());
        }
        self.inward.line.push(data);
        Ok(Wakes(self.inward.reader.take(), None))
    }

    pub(super) fn on_end(&mut self) -> Result<Wakes, Violation> {
        match self.inward.end {
            None => self.inward.end = Some(Ended::Finished),
            Some(Ended::Aborted | Ended::Reset) => {}
            Some(Ended::Finished) => return Err(Violation("it ended a connection twice")),
        }
        self.says_stop = false;
        Ok(Wakes(self.inward.reader.take(), None))
    }

    /// The peer reads no more.
    pub(super) fn on_stop(&mut self) -> Wakes {
        if matches!(self.outward.state, Outgoing::Open | Outgoing::Finishing) {
            self.outward.state = Outgoing::Stopped;
        }
        self.outward.line.clear();
        Wakes(self.outward.writer.take(), None)
    }

    /// The peer has broken it off, or not opened it for the reason that `why` tells.
    pub(super) fn on_error(&mut self, why: Refusal) -> Wakes {
        if matches!(self.standing, Standing::Asked) {
            self.standing = Standing::Refused(why);
        }
        self.inward.end.get_or_insert(Ended::Reset);
        match self.outward.state {
            Outgoing::Open | Outgoing::Finishing => self.outward.state = Outgoing::Reset,
            Outgoing::Finished | Outgoing::Stopped | Outgoing::Reset | Outgoing::Aborted => {}
        }
        self.outward.line.clear();
        self.hush();
        Wakes(self.inward.reader.take(), self.outward.writer.take())
    }

    /// There is nobody to say anything to any more.
    fn hush(&mut self) {
        (self.first, self.last, self.says_stop) = (None, None, false);
    }

    // What the user of this end does.

    /// At most `max` bytes that have come; `None` at the end.
    pub(super) fn read(&mut self, max: usize) -> io::Result<Option<Bytes>> {
        let bytes = self.inward.line.pop(max);
        if !bytes.is_empty() {
            self.inward.owed += bytes.len();
            return Ok(Some(bytes));
        }
        match self.inward.end {
            Some(Ended::Finished) => Ok(None),
            Some(Ended::Reset) => Err(os(libc::ECONNRESET)),
            Some(Ended::Aborted) => Err(os(libc::ENOTCONN)),
            None if self.inward.is_refused => Ok(None),
            None => Err(io::ErrorKind::WouldBlock.into()),
        }
    }

    pub(super) fn is_readable(&self) -> bool {
        !self.inward.line.is_empty() || self.inward.end.is_some() || self.inward.is_refused
    }

    /// Wakes `waker` when there is something to read. Gives back the one before.
    pub(super) fn wait_readable(&mut self, waker: Waker) -> Option<Waker> {
        self.inward.reader.replace(waker)
    }

    fn room(&self) -> io::Result<usize> {
        match self.outward.state {
            Outgoing::Open => match self.outward.limit.saturating_sub(self.outward.line.len()) {
                0 => Err(io::ErrorKind::WouldBlock.into()),
                room => Ok(room),
            },
            Outgoing::Finishing | Outgoing::Finished | Outgoing::Stopped => Err(os(libc::EPIPE)),
            Outgoing::Reset => Err(os(libc::ECONNRESET)),
            Outgoing::Aborted => Err(os(libc::ENOTCONN)),
        }
    }

    pub(super) fn write(&mut self, bufs: &[IoSlice<'_>]) -> io::Result<usize> {
        let room = self.room()?;
        Ok(self.outward.line.copy(bufs, room))
    }

    pub(super) fn write_owned(&mut self, buf: &mut Bytes) -> io::Result<usize> {
        let count = self.room()?.min(buf.len());
        self.outward.line.push(buf.split_to(count));
        Ok(count)
    }

    pub(super) fn is_writable(&self) -> bool {
        let worthwhile = WORTHWHILE.min(self.outward.limit / 2);
        self.outward.state != Outgoing::Open
            || self.outward.limit.saturating_sub(self.outward.line.len()) >= worthwhile
    }

    /// Wakes `waker` when there is room. Gives back the one before.
    pub(super) fn wait_writable(&mut self, waker: Waker) -> Option<Waker> {
        self.outward.writer.replace(waker)
    }

    /// Whether nothing that was written waits here.
    pub(super) fn has_sent(&self) -> bool {
        self.outward.line.is_empty()
    }

    /// Reads no more: what is there and what still comes is thrown away.
    pub(super) fn refuse_data(&mut self) -> Wakes {
        self.inward.owed += self.inward.line.clear();
        self.inward.is_refused = true;
        Wakes(self.inward.reader.take(), None)
    }

    /// Ends the direction, after what was written before.
    pub(super) fn finish(&mut self) -> io::Result<()> {
        match self.outward.state {
            Outgoing::Open => self.outward.state = Outgoing::Finishing,
            Outgoing::Finishing | Outgoing::Finished | Outgoing::Stopped => {}
            Outgoing::Reset | Outgoing::Aborted => return Err(os(libc::ENOTCONN)),
        }
        Ok(())
    }

    /// Breaks it off: what was not sent yet is thrown away, and the peer sees a reset.
    pub(super) fn abort(&mut self) -> Wakes {
        let text = match self.peer {
            Peer::Ours => String::new(),
            Peer::LegacyHub | Peer::LegacyAgent => format!("connection {} was reset", self.id),
        };
        self.give_up(Packet::error(self.id, text));
        let wakes = self.refuse_data();
        Wakes(wakes.0, self.outward.writer.take())
    }

    fn give_up(&mut self, last: Packet) {
        // What was never asked for needs no answer.
        let was_said = self.first.as_ref().is_none_or(|first| first.word != Word::Open as u32);
        let is_open = !(self.is_outward_over() && self.is_inward_over());
        self.hush();
        self.last = (was_said && is_open).then_some(last);
        self.outward.line.clear();
        self.outward.state = Outgoing::Aborted;
        self.inward.end = Some(Ended::Aborted);
    }

    /// Nobody uses this end any more: what was written is still sent, and the end after it.
    pub(super) fn release(&mut self) {
        self.is_released = true;
        let _ = self.finish();
        let _ = self.refuse_data();
        let is_over = self.inward.end.is_some();
        match self.peer {
            Peer::Ours => self.says_stop = !is_over,
            // The one way to say that nobody is there.
            Peer::LegacyAgent if !is_over => {
                let text = format!("connection {} is closed", self.id);
                self.last = Some(Packet::error(self.id, text));
            }
            // A hub that is told anything writes it into the response.
            Peer::LegacyAgent | Peer::LegacyHub => {}
        }
    }

    // What the link does.

    fn is_inward_over(&self) -> bool {
        self.inward.end.is_some() || self.inward.was_told_to_stop
    }

    fn is_outward_over(&self) -> bool {
        match self.outward.state {
            Outgoing::Open | Outgoing::Finishing => false,
            Outgoing::Finished | Outgoing::Stopped | Outgoing::Reset | Outgoing::Aborted => true,
        }
    }

    /// Whether neither end has anything more to say.
    pub(super) fn is_over(&self) -> bool {
        if self.first.is_some() || self.last.is_some() || self.says_stop {
            return false;
        }
        let is_ended = match self.peer {
            Peer::Ours => self.is_inward_over(),
            // What ends in order is never told.
            Peer::LegacyHub | Peer::LegacyAgent => self.inward.end.is_some() || self.is_released,
        };
        is_ended && self.is_outward_over()
    }

    pub(super) fn is_released(&self) -> bool {
        self.is_released
    }

    /// Whether it holds more than its window: only a peer that knows no credit can do that.
    pub(super) fn is_overfull(&self) -> bool {
        self.inward.line.len() > self.inward.window
    }

    /// Breaks it off if there was something to send for which a legacy agent must answer first the last time as well.
    pub(super) fn on_turns_watched(&mut self) -> Option<Wakes> {
        if !self.outward.is_unanswered || self.outward.line.is_empty() {
            return None;
        }
        if std::mem::replace(&mut self.outward.waits_long, true) {
            Some(self.abort())
        } else {
            None
        }
    }

    fn sendable(&self) -> usize {
        let waiting = self.outward.line.len();
        match self.peer {
            Peer::Ours => waiting.min(self.outward.credit).min(CHUNK),
            Peer::LegacyAgent if self.outward.is_unanswered => 0,
            Peer::LegacyHub | Peer::LegacyAgent => waiting.min(LEGACY_CHUNK),
        }
    }

    fn is_credit_due(&self) -> bool {
        self.peer == Peer::Ours
            && !self.is_inward_over()
            && self.inward.owed > 0
            && self.inward.owed >= self.inward.window / 2
    }

    fn is_end_due(&self) -> bool {
        self.outward.state == Outgoing::Finishing && self.outward.line.is_empty()
    }

    /// Whether [`next`](Self::next) has something.
    pub(super) fn has_next(&self) -> bool {
        self.first.is_some()
            || self.says_stop
            || self.sendable() > 0
            || self.is_end_due()
            || (self.last.is_some() && self.outward.line.is_empty())
            || self.is_credit_due()
    }

    /// The next packet to send.
    pub(super) fn next(&mut self) -> (Option<Packet>, Wakes) {
        if let Some(first) = self.first.take() {
            return (Some(first), Wakes::default());
        }
        if take(&mut self.says_stop) {
            self.inward.was_told_to_stop = true;
            return (Some(Packet::word(self.id, Word::Stop)), Wakes::default());
        }
        if self.is_credit_due() {
            let credit = take(&mut self.inward.owed);
            self.inward.left += credit;
            return (Some(Packet::credit(self.id, credit as u32)), Wakes::default());
        }
        let count = self.sendable();
        if count > 0 {
            return self.next_data(count);
        }
        if self.is_end_due() {
            self.outward.state = Outgoing::Finished;
            if self.peer == Peer::Ours {
                return (Some(Packet::word(self.id, Word::End)), Wakes::default());
            }
        }
        let last = if self.outward.line.is_empty() { self.last.take() } else { None };
        (last, Wakes::default())
    }

    fn next_data(&mut self, count: usize) -> (Option<Packet>, Wakes) {
        let mut packet = match self.peer {
            Peer::Ours => Packet::data(self.id, self.outward.line.pop(count)),
            Peer::LegacyHub | Peer::LegacyAgent => {
                Packet::data(self.id, self.outward.line.pop_whole(count))
            }
        };
        match self.peer {
            Peer::Ours => {
                self.outward.credit -= packet.data.len();
                if self.is_end_due() {
                    packet.word = Word::End as u32;
                    self.outward.state = Outgoing::Finished;
                }
            }
            Peer::LegacyAgent => self.outward.is_unanswered = true,
            Peer::LegacyHub => {}
        }
        let writer = if self.is_writable() { self.outward.writer.take() } else { None };
        (Some(packet), Wakes(writer, None))
    }
}

fn os(code: i32) -> io::Error {
    io::Error::from_raw_os_error(code)
}
