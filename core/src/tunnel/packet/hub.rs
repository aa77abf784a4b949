//! The hub's end of a packet link: answers the call of an agent, and opens connections over it.

use super::{
    end::End,
    engine::{Engine, Handled, Incoming, Role, Turn, Wire},
    lane::{Lane, Peer},
    lanes::{Lanes, Shared},
    link::{Limits, MAX_FRAME, WINDOW, apply, refusal_of},
    message::{DATA, DRAIN, ERROR, Packet, Word},
    metadata::{self, Answered, PATH},
};
use crate::{
    address::Address,
    transport::Transport,
    tunnel::{
        carrier::{Carrier, Driving, Later, Lost},
        hello::{Hello, Instance},
        prefixed::Prefixed,
        refusal::Refusal,
    },
};
use bytes::Bytes;
use h2::{RecvStream, server};
use http::{HeaderMap, Method, Response};
use std::{
    fmt,
    future::poll_fn,
    sync::{
        Arc,
        atomic::{AtomicI64, Ordering},
    },
    task::{Context, Poll},
    time::Duration,
};
use tokio::time::timeout;
use tokio_util::task::TaskTracker;
use tonic::Status;

/// Time for an agent that is turned away to hear why.
const LAST_WORDS: Duration = Duration::from_secs(1);

/// Numbers for connections: no two of one hub are alike, nor those of a hub that was there before it, as an agent of
/// `tunnel.v1` may still know those.
#[derive(Debug)]
pub(in crate::tunnel) struct Ids(AtomicI64);

impl Ids {
    /// Begins with `from`, which must be higher than any number of a hub before: nanoseconds since 1970 are.
    pub(in crate::tunnel) fn new(from: i64) -> Self {
        Self(AtomicI64::new(from.max(0)))
    }

    fn next(&self) -> i64 {
        self.0.fetch_add(1, Ordering::Relaxed) + 1
    }
}

struct Accepted(server::Connection<Prefixed, Bytes>);

impl Wire for Accepted {
    const HANGS_UP: bool = false;

    /// The connection carries one call: others are refused.
    fn poll_wire(&mut self, cx: &mut Context<'_>) -> Poll<Result<(), h2::Error>> {
        while let Poll::Ready(next) = self.0.poll_accept(cx) {
            match next {
                None => return Poll::Ready(Ok(())),
                Some(Err(error)) => return Poll::Ready(Err(error)),
                Some(Ok((_, respond))) => {
                    turn_away(
                        respond,
                        &Status::resource_exhausted("there is one tunnel to each connection"),
                    );
                }
            }
        }
        Poll::Pending
    }

    fn poll_parting(&mut self) {
        self.0.graceful_shutdown();
    }
}

/// An agent that has called, and was not answered yet.
pub(in crate::tunnel) struct Arrival {
    wire: Accepted,
    respond: server::SendResponse<Bytes>,
    body: RecvStream,
    knows: Answered,
    limits: Limits,
    /// Who it says that it is.
    pub(in crate::tunnel) hello: Hello,
}

/// Waits for the call of an agent; calls of other methods are refused. `instance` is for an agent that has none of its own.
///
/// # Errors
///
/// The status that it was answered with.
pub(in crate::tunnel) async fn hear(
    stream: Prefixed,
    limits: Limits,
    instance: Instance,
) -> Result<Arrival, Lost> {
    let connection = server::Builder::new()
        .initial_window_size(WINDOW)
        .initial_connection_window_size(WINDOW)
        .max_frame_size(MAX_FRAME)
        .max_send_buffer_size(limits.link_buffer())
        .max_header_list_size(16 << 10)
        .max_concurrent_streams(8)
        .handshake(stream)
        .await?;
    let mut wire = Accepted(connection);
    loop {
        let next = poll_fn(|cx| wire.0.poll_accept(cx)).await;
        let (request, respond) = next.ok_or(Lost::Ended)??;
        let (head, body) = request.into_parts();
        if head.uri.path() != PATH || head.method != Method::POST {
            turn_away(respond, &Status::unimplemented("there is no such method"));
            continue;
        }
        let refused = match metadata::read_request(&head.headers, instance) {
            Ok((_, Answered::Legacy)) if !limits.allows_legacy => {
                Status::failed_precondition("this hub takes no agents of tunnel.v1 alone")
            }
            Ok((hello, knows)) => {
                return Ok(Arrival { wire, respond, body, knows, limits, hello });
            }
            Err(status) => status,
        };
        return Err(part(wire, respond, refused).await);
    }
}

fn turn_away(mut respond: server::SendResponse<Bytes>, why: &Status) {
    let (head, ()) = why.clone().into_http::<()>().into_parts();
    // Fails where the peer has gone, which needs no answer.
    let _ = respond.send_response(Response::from_parts(head, ()), true);
}

/// Says why an agent is turned away, and hangs up.
async fn part(mut wire: Accepted, respond: server::SendResponse<Bytes>, why: Status) -> Lost {
    turn_away(respond, &why);
    wire.poll_parting();
    let _ = timeout(LAST_WORDS, poll_fn(|cx| wire.poll_wire(cx))).await;
    Lost::Status { code: why.code(), text: why.message().into() }
}

impl Arrival {
    /// Says why it is not let in, and hangs up.
    pub(in crate::tunnel) async fn turn_away(self, why: Status) -> Lost {
        part(self.wire, self.respond, why).await
    }

    /// Lets it in.
    pub(in crate::tunnel) fn welcome(
        mut self,
        ids: Arc<Ids>,
    ) -> Result<(Arc<dyn Carrier>, Driving), Lost> {
        let outgoing = self.respond.send_response(metadata::welcome(self.knows), false)?;
        let peer = match self.knows {
            Answered::Extended => Peer::Ours,
            Answered::Legacy => Peer::LegacyAgent,
        };
        let lanes = Arc::new(Lanes::default());
        let limits = self.limits;
        let role = Hub { peer, limits };
        let incoming = Incoming::Body(self.body);
        let pings = self.wire.0.ping_pong();
        let mut engine = Engine::new(
            self.wire,
            (outgoing, incoming),
            limits.packet_max,
            Arc::clone(&lanes),
            role,
        );
        let driver = async move {
            let silence = limits.pings.silence(pings, || Duration::ZERO);
            let run = poll_fn(|cx| {
                engine.poll(cx).map(|turn| match turn {
                    Turn::Over(ended) => ended,
                    Turn::Event(never) => match never {},
                })
            });
            tokio::select! {
                biased;
                ended = run => ended,
                () = silence => Err(Lost::Silent),
            }
        };
        let link = Link { lanes, peer, limits, ids, load: TaskTracker::new() };
        Ok((Arc::new(link), Box::pin(driver)))
    }
}

/// What nobody says.
enum Never {}

struct Hub {
    peer: Peer,
    limits: Limits,
}

impl Role for Hub {
    type Event = Never;

    fn on_packet(&mut self, packet: Packet, lanes: &Arc<Lanes>) -> Result<Handled<Never>, Lost> {
        if packet.code == DRAIN {
            lanes.drain();
            return Ok(Handled::nothing());
        }
        if self.peer == Peer::LegacyAgent {
            return on_legacy(packet, lanes);
        }
        let word =
            packet.said().map_err(|_| Lost::Violation("it said a word that there is not"))?;
        match word {
            Some(Word::Draining) => {
                lanes.drain();
                Ok(Handled::nothing())
            }
            Some(Word::Open | Word::Replaced) => Err(Lost::Violation("it spoke as a hub")),
            Some(Word::Accepted | Word::End | Word::Stop) | None => apply(packet, word, lanes),
        }
    }

    fn on_answer(&mut self, _: Answered) -> Result<(), Lost> {
        Ok(())
    }

    /// Who calls has no status to tell.
    fn on_end(&mut self, _: Option<&HeaderMap>) -> Result<(), Lost> {
        Ok(())
    }

    fn last_words(&self) -> (Option<Packet>, Option<HeaderMap>) {
        (None, Some(metadata::farewell()))
    }

    fn patience(&self) -> Duration {
        self.limits.stall_timeout
    }

    /// It is the hub itself that opens connections.
    fn limit(&self) -> usize {
        usize::MAX
    }

    fn has_turns(&self) -> bool {
        self.peer == Peer::LegacyAgent
    }
}

fn on_legacy(packet: Packet, lanes: &Arc<Lanes>) -> Result<Handled<Never>, Lost> {
    let id = packet.conn_id;
    match (packet.code, lanes.get(id)) {
        (DATA, Some(_)) => {
            // Of what it does not know, nothing is understood.
            let plain = Packet { credit: 0, word: 0, ..packet };
            apply(plain, None, lanes)
        }
        (DATA, None) if id > 0 => {
            lanes.note(Packet::error(id, format!("unknown packet connection {id}")));
            Ok(Handled::nothing())
        }
        (ERROR, Some(shared)) => {
            let wakes = shared.with(|lane| lane.on_error(refusal_of(&packet)));
            tracing::debug!(?shared, why = %packet.error_message.escape_debug(), "an agent broke a connection off");
            lanes.on_changed(&shared, wakes);
            Ok(Handled::nothing())
        }
        _ => Ok(Handled::nothing()),
    }
}

/// Opens logical connections on one link. The link ends once this is dropped and its connections have ended.
struct Link {
    lanes: Arc<Lanes>,
    peer: Peer,
    limits: Limits,
    ids: Arc<Ids>,
    load: TaskTracker,
}

impl Link {
    async fn ask(
        &self,
        target: Option<&Address>,
        source: Option<&Address>,
    ) -> Result<End, Refusal> {
        let (id, room) = (self.ids.next(), self.limits.room());
        let lane = match self.peer {
            Peer::Ours => Lane::asking(id, room, target, source),
            // It has no word for a target.
            Peer::LegacyAgent | Peer::LegacyHub if target.is_some() => {
                return Err(Refusal::NotUnderstood);
            }
            Peer::LegacyAgent | Peer::LegacyHub => Lane::unasked(id, room),
        };
        let shared = Shared::new(lane, self.load.token());
        let mut asking = Asking(Some(End::new(Arc::clone(&shared), Arc::clone(&self.lanes))));
        self.lanes.add(id, &shared).map_err(|_| Refusal::Draining)?;
        poll_fn(|cx| shared.with(|lane| lane.poll_answer(cx))).await?;
        asking.0.take().ok_or(Refusal::NotUnderstood)
    }
}

/// A connection that is asked for. Dropping it takes the request back.
struct Asking(Option<End>);

impl Drop for Asking {
    fn drop(&mut self) {
        if let Some(end) = self.0.take() {
            end.abort();
        }
    }
}

impl Carrier for Link {
    fn open<'a>(
        &'a self,
        target: Option<&'a Address>,
        source: Option<&'a Address>,
    ) -> Later<'a, Result<Box<dyn Transport>, Refusal>> {
        Box::pin(async move {
            let end = self.ask(target, source).await?;
            Ok(Box::new(end) as Box<dyn Transport>)
        })
    }

    fn load(&self) -> usize {
        self.load.len()
    }

    fn keeps_order(&self) -> bool {
        self.peer != Peer::LegacyAgent
    }

    /// An agent of `tunnel.v1` alone has no word for it: it sees its tunnel end.
    fn tell_replaced(&self) -> Later<'_, ()> {
        if self.peer == Peer::Ours {
            self.lanes.note(Packet::word(0, Word::Replaced));
        }
        Box::pin(std::future::ready(()))
    }

    fn emptied(&self) -> Later<'_, ()> {
        Box::pin(async {
            self.load.close();
            self.load.wait().await;
        })
    }
}

impl Drop for Link {
    fn drop(&mut self) {
        self.lanes.close();
    }
}

impl fmt::Debug for Link {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Link")
            .field("peer", &self.peer)
            .field("load", &self.load.len())
            .finish_non_exhaustive()
    }
}
