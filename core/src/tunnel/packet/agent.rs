//! The agent's end of a packet link: the caller of `Tunnel`, who hears what the hub wants opened.

use super::{
    end::End,
    engine::{Engine, Handled, Incoming, Role, Turn, Wire},
    lane::{Lane, Peer},
    lanes::{Lanes, Shared},
    link::{Limits, MAX_FRAME, WINDOW, apply, refusal_of},
    message::{DATA, ERROR, Packet, Word},
    metadata::{self, Answered},
    used::Used,
};
use crate::{
    address::Address,
    budget::Permit,
    transport::{Stream, Transport},
    tunnel::{
        carrier::{Asked, Later, Lost, Opening, Serving},
        hello::Hello,
        refusal::Refusal,
    },
};
use bytes::Bytes;
use h2::client::{self, ResponseFuture};
use http::HeaderMap;
use std::{
    future::{Future, poll_fn},
    pin::Pin,
    sync::{
        Arc,
        atomic::{AtomicU64, Ordering},
    },
    task::{Context, Poll},
    time::Duration,
};
use tokio::time::timeout;
use tokio_util::task::TaskTracker;

/// Time for which a hub that may know `tunnel.v1` alone is waited for: it has nothing to answer.
const LEGACY_PATIENCE: Duration = Duration::from_secs(1);
/// The least time between pings to a hub whose rules are gRPC's, which is all that is known of it.
const LEGACY_PINGS: Duration = Duration::from_secs(300);
/// Empty packets for no connection, after which a legacy hub has surely given the place away.
const EMPTY_WORDS: u32 = 100;

struct Dialled(client::Connection<Stream, Bytes>);

impl Wire for Dialled {
    const HANGS_UP: bool = true;

    fn poll_wire(&mut self, cx: &mut Context<'_>) -> Poll<Result<(), h2::Error>> {
        Pin::new(&mut self.0).poll(cx)
    }

    /// The connection closes with its one stream.
    fn poll_parting(&mut self) {}
}

/// Serves one link. Nothing moves on it while [`next`](Serving::next) is not polled; dropping it breaks what is open.
pub(in crate::tunnel) struct Caller {
    engine: Engine<Dialled, Agent>,
    /// Kept, or `h2` would ask for the end of the connection.
    _requests: client::SendRequest<Bytes>,
    least_pings: Arc<AtomicU64>,
}

/// What the hub knows, as far as it has shown.
#[derive(Clone, Copy, Debug)]
enum Hub {
    Unknown,
    Extended,
    Legacy { empty_words: u32 },
}

struct Agent {
    hub: Hub,
    limits: Limits,
    load: TaskTracker,
    used: Used,
    /// In milliseconds; as the hub allows.
    least_pings: Arc<AtomicU64>,
}

/// Calls the hub, and waits until it lets the agent in: not longer than [`LEGACY_PATIENCE`] where it may be one that has
/// nothing to answer.
///
/// # Errors
///
/// What the hub has against it, or what broke.
pub(in crate::tunnel) async fn call(
    stream: Stream,
    hub: &Address,
    hello: &Hello,
    limits: Limits,
) -> Result<Caller, Lost> {
    let request = metadata::request(hub, stream.tls().is_some(), hello)
        .ok_or(Lost::Violation("its name or the token is nothing that HTTP can carry"))?;
    let (requests, connection) = client::Builder::new()
        .initial_window_size(WINDOW)
        .initial_connection_window_size(WINDOW)
        .max_frame_size(MAX_FRAME)
        .max_send_buffer_size(limits.link_buffer())
        .max_header_list_size(16 << 10)
        .enable_push(false)
        .handshake(stream)
        .await?;
    let mut requests = requests.ready().await?;
    let (response, outgoing) = requests.send_request(request, false)?;
    let mut wire = Dialled(connection);
    let least_pings = Arc::new(AtomicU64::new(LEGACY_PINGS.as_millis() as u64));
    let mut role = Agent {
        hub: Hub::Unknown,
        limits,
        load: TaskTracker::new(),
        used: Used::default(),
        least_pings: Arc::clone(&least_pings),
    };
    let incoming = answer(&mut wire, response, &mut role).await?;
    let lanes = Arc::new(Lanes::default());
    let engine = Engine::new(wire, (outgoing, incoming), limits.packet_max, lanes, role);
    Ok(Caller { engine, _requests: requests, least_pings })
}

async fn answer(
    wire: &mut Dialled,
    mut response: ResponseFuture,
    role: &mut Agent,
) -> Result<Incoming, Lost> {
    let head = {
        let head = poll_fn(|cx| {
            let over = wire.poll_wire(cx);
            match (Pin::new(&mut response).poll(cx), over) {
                (Poll::Ready(head), _) => Poll::Ready(head.map_err(Lost::from)),
                (Poll::Pending, Poll::Ready(Err(error))) => Poll::Ready(Err(error.into())),
                (Poll::Pending, Poll::Ready(Ok(()))) => Poll::Ready(Err(Lost::Ended)),
                (Poll::Pending, Poll::Pending) => Poll::Pending,
            }
        });
        match role.limits.allows_legacy {
            false => Some(head.await),
            true => timeout(LEGACY_PATIENCE, head).await.ok(),
        }
    };
    match head {
        Some(head) => {
            let (head, body) = head?.into_parts();
            role.on_answer(metadata::read_answer(head.status, &head.headers)?)?;
            Ok(Incoming::Body(body))
        }
        None => Ok(Incoming::Head(response)),
    }
}

impl Role for Agent {
    type Event = Asked;

    fn on_packet(&mut self, packet: Packet, lanes: &Arc<Lanes>) -> Result<Handled<Asked>, Lost> {
        match self.hub {
            Hub::Extended => self.on_word(packet, lanes),
            Hub::Legacy { empty_words } => self.on_legacy(packet, empty_words, lanes),
            Hub::Unknown => Err(Lost::Violation("it spoke before it answered")),
        }
    }

    fn on_answer(&mut self, answered: Answered) -> Result<(), Lost> {
        self.hub = match answered {
            Answered::Extended => {
                self.least_pings.store(0, Ordering::Relaxed);
                Hub::Extended
            }
            Answered::Legacy if self.limits.allows_legacy => Hub::Legacy { empty_words: 0 },
            Answered::Legacy => return Err(Lost::Legacy),
        };
        Ok(())
    }

    fn on_end(&mut self, trailers: Option<&HeaderMap>) -> Result<(), Lost> {
        metadata::read_trailers(trailers)
    }

    fn last_words(&self) -> (Option<Packet>, Option<HeaderMap>) {
        (Some(Packet::drain()), None)
    }

    fn patience(&self) -> Duration {
        self.limits.stall_timeout
    }

    fn limit(&self) -> usize {
        self.limits.connections_max()
    }

    fn has_turns(&self) -> bool {
        false
    }
}

impl Agent {
    fn on_word(&self, packet: Packet, lanes: &Arc<Lanes>) -> Result<Handled<Asked>, Lost> {
        let word =
            packet.said().map_err(|_| Lost::Violation("it said a word that there is not"))?;
        match word {
            Some(Word::Open) => self.on_open(packet, lanes),
            Some(Word::Replaced) => Ok(Handled { on: None, event: Some(Asked::Replaced) }),
            Some(Word::Accepted | Word::Draining) => Err(Lost::Violation("it spoke as an agent")),
            Some(Word::End | Word::Stop) | None => apply(packet, word, lanes),
        }
    }

    fn on_open(&self, packet: Packet, lanes: &Arc<Lanes>) -> Result<Handled<Asked>, Lost> {
        let id = packet.conn_id;
        if id <= 0 || lanes.get(id).is_some() {
            return Err(Lost::Violation("it opened a connection that there is, or none"));
        }
        let lane = Lane::asked(id, Peer::Ours, self.limits.room(), packet.credit);
        let shared = Shared::new(lane, self.load.token());
        if lanes.add(id, &shared).is_err() {
            lanes.note(refusal(id, &Refusal::Draining));
            return Ok(Handled::nothing());
        }
        let address = |text: &str| match text {
            "" => Ok(None),
            text => text.parse::<Address>().map(Some).map_err(drop),
        };
        let addresses =
            address(&packet.target).and_then(|target| Ok((target, address(&packet.source)?)));
        let (target, source) = addresses.clone().unwrap_or_default();
        let opening =
            Requested { target, source, shared, lanes: Arc::clone(lanes), is_answered: false };
        if addresses.is_err() {
            Box::new(opening).refuse(&Refusal::NotUnderstood);
            return Ok(Handled::nothing());
        }
        Ok(Handled { on: None, event: Some(Asked::Open(Box::new(opening))) })
    }

    /// A hub of `tunnel.v1` alone opens a connection by sending on a new number.
    fn on_legacy(
        &mut self,
        packet: Packet,
        empty_words: u32,
        lanes: &Arc<Lanes>,
    ) -> Result<Handled<Asked>, Lost> {
        let id = packet.conn_id;
        if let Some(shared) = lanes.get(id) {
            return match packet.code {
                DATA => apply(packet, None, lanes),
                ERROR => {
                    let wakes = shared.with(|lane| lane.on_error(refusal_of(&packet)));
                    lanes.on_changed(&shared, wakes);
                    Ok(Handled::nothing())
                }
                _ => Ok(Handled::nothing()),
            };
        }
        if packet.code != DATA {
            return Ok(Handled::nothing());
        }
        if id <= 0 {
            let empty_words = empty_words.saturating_add(1);
            self.hub = Hub::Legacy { empty_words };
            let event = (empty_words == EMPTY_WORDS).then_some(Asked::Replaced);
            return Ok(Handled { on: None, event });
        }
        if self.used.has(id) {
            lanes.note(Packet::error(id, format!("connection {id} is already closed")));
            return Ok(Handled::nothing());
        }
        self.used.add(id);
        let lane = Lane::asked(id, Peer::LegacyHub, self.limits.room(), 0);
        let shared = Shared::new(lane, self.load.token());
        if lanes.add(id, &shared).is_err() {
            lanes.note(Packet::error(id, "local connection manager is closing"));
            return Ok(Handled::nothing());
        }
        let opening = Requested {
            target: None,
            source: None,
            shared: Arc::clone(&shared),
            lanes: Arc::clone(lanes),
            is_answered: false,
        };
        let handled = apply(packet, None, lanes)?;
        Ok(Handled { event: Some(Asked::Open(Box::new(opening))), ..handled })
    }
}

fn refusal(id: i64, why: &Refusal) -> Packet {
    let status = u32::from(why.status().as_u16());
    Packet { status, ..Packet::error(id, why.summary()) }
}

impl Serving for Caller {
    fn next(&mut self) -> Later<'_, Asked> {
        Box::pin(poll_fn(|cx| {
            self.engine.poll(cx).map(|turn| match turn {
                Turn::Event(asked) => asked,
                Turn::Over(ended) => Asked::Over(ended.err()),
            })
        }))
    }

    fn drain(&mut self) {
        let lanes = &self.engine.lanes;
        if matches!(self.engine.role.hub, Hub::Extended) {
            lanes.note(Packet::word(0, Word::Draining));
        }
        lanes.close();
    }

    fn silence(&mut self) -> Later<'static, ()> {
        let pings = self.engine.wire().and_then(|wire| wire.0.ping_pong());
        let least = Arc::clone(&self.least_pings);
        let least = move || Duration::from_millis(least.load(Ordering::Relaxed));
        Box::pin(self.engine.role.limits.pings.silence(pings, least))
    }
}

/// A logical connection that the hub asks for. Dropping it refuses it without a reason.
struct Requested {
    target: Option<Address>,
    source: Option<Address>,
    shared: Arc<Shared>,
    lanes: Arc<Lanes>,
    is_answered: bool,
}

impl Opening for Requested {
    fn target(&self) -> Option<&Address> {
        self.target.as_ref()
    }

    fn source(&self) -> Option<&Address> {
        self.source.as_ref()
    }

    fn withdrawn(&mut self) -> Later<'_, ()> {
        Box::pin(poll_fn(|cx| self.shared.with(|lane| lane.poll_withdrawn(cx))))
    }

    fn accept(mut self: Box<Self>, permit: Permit) -> Option<Box<dyn Transport>> {
        let stands = self.shared.with(|lane| lane.accept());
        if !stands {
            return None;
        }
        self.is_answered = true;
        self.shared.hold(permit);
        self.lanes.ring(&self.shared);
        Some(Box::new(End::new(Arc::clone(&self.shared), Arc::clone(&self.lanes))))
    }

    fn refuse(mut self: Box<Self>, why: &Refusal) {
        self.is_answered = true;
        self.shared.with(|lane| lane.refuse(why));
        self.lanes.release(&self.shared);
    }
}

impl Drop for Requested {
    fn drop(&mut self) {
        if !self.is_answered {
            self.shared.with(Lane::abort).wake();
            self.lanes.release(&self.shared);
        }
    }
}
