//! What both ends of a packet link have in common: limits, and how a packet changes its connection.

use super::{
    engine::Handled,
    lane::Violation,
    lanes::Lanes,
    message::{DATA, ERROR, Packet, Word},
};
use crate::{
    config::LinkConfig,
    tunnel::{carrier::Lost, pings::Pings, refusal::Refusal},
};
use http::StatusCode;
use std::{sync::Arc, time::Duration};

/// Bytes of all connections of one link that may be under way before this end's task has seen them. Each connection
/// has its own bound beside.
pub(super) const WINDOW: u32 = 4 << 20;
/// The largest frame that is taken: a packet in one piece need not be put together.
pub(super) const MAX_FRAME: u32 = 128 << 10;
/// Bytes that wait in HTTP/2 at most, beside one packet: what is there has its place in line already.
const LINK_BUFFER: usize = 256 << 10;
/// Connections that are heard of beyond the limit, to refuse them at once.
const SPARE: usize = 256;

/// The limits of one link.
#[derive(Clone, Copy, Debug)]
pub(in crate::tunnel) struct Limits {
    window: u32,
    send_buffer: usize,
    connections: usize,
    pub(super) packet_max: u32,
    pub(super) stall_timeout: Duration,
    pub(super) allows_legacy: bool,
    pub(super) pings: Pings,
}

impl Limits {
    pub(in crate::tunnel) fn new(config: &LinkConfig, connections: u32) -> Self {
        Self {
            window: config.window,
            send_buffer: config.send_buffer as usize,
            connections: connections as usize,
            packet_max: config.max_packet,
            stall_timeout: config.stall_timeout,
            allows_legacy: config.allow_legacy_peers,
            pings: Pings::new(config),
        }
    }

    /// The same for a peer that has complained about pings.
    pub(in crate::tunnel) fn pinging_no_more_often_than(self, least: Duration) -> Self {
        Self { pings: self.pings.no_more_often_than(least), ..self }
    }

    /// What one connection holds each way.
    pub(super) fn room(&self) -> (u32, usize) {
        (self.window, self.send_buffer)
    }

    pub(super) fn link_buffer(&self) -> usize {
        LINK_BUFFER
    }

    pub(super) fn connections_max(&self) -> usize {
        self.connections + SPARE
    }
}

impl From<Violation> for Lost {
    fn from(violation: Violation) -> Self {
        Self::Violation(violation.0)
    }
}

/// What an ERROR says.
pub(super) fn refusal_of(packet: &Packet) -> Refusal {
    let status = u16::try_from(packet.status).ok().and_then(|code| StatusCode::from_u16(code).ok());
    match status {
        Some(status) => Refusal::of(status, Some(packet.number), &packet.error_message),
        None => Refusal::NotReached { os_code: None, text: packet.error_message.as_str().into() },
    }
}

/// Has a packet change its connection. One for a connection that is over has crossed the last word of this end.
pub(super) fn apply<E>(
    packet: Packet,
    word: Option<Word>,
    lanes: &Arc<Lanes>,
) -> Result<Handled<E>, Lost> {
    let Some(shared) = lanes.get(packet.conn_id) else { return Ok(Handled::nothing()) };
    let change = |wakes| lanes.on_changed(&shared, wakes);
    match packet.code {
        DATA => {}
        ERROR => {
            change(shared.with(|lane| lane.on_error(refusal_of(&packet))));
            return Ok(Handled::nothing());
        }
        _ => return Err(Lost::Violation("it used a code that there is not")),
    }
    if word == Some(Word::Accepted) {
        change(shared.with(|lane| lane.on_accepted(packet.credit))?);
    } else if packet.credit > 0 {
        change(shared.with(|lane| lane.on_credit(packet.credit))?);
    }
    if !packet.data.is_empty() {
        change(shared.with(|lane| lane.on_data(packet.data))?);
    }
    match word {
        Some(Word::End) => change(shared.with(|lane| lane.on_end())?),
        Some(Word::Stop) => change(shared.with(|lane| lane.on_stop())),
        Some(Word::Open | Word::Accepted | Word::Replaced | Word::Draining) | None => {}
    }
    Ok(Handled::on(shared))
}
