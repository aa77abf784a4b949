//! The task of one session: makes its upstream socket, then carries answers to the client until the end.

use super::{session::Session, shared::Shared};
use crate::{
    address::Address,
    context::{ConnectionContext, ConnectionId, Direction, Protocol},
    error::{ConnectionError, Place, Step},
    metrics::ConnectionMetrics,
    transport::{
        udp::{Inbox, Socket, is_refused},
        {connect_failure, resolve},
    },
};
use std::{error::Error, future::poll_fn, io, net::SocketAddr, sync::Arc};
use tokio::time::{sleep, timeout};

/// Batches that are carried before other tasks of the runtime get their turn.
const ROUNDS: usize = 16;

/// Runs until the session is over.
pub(super) async fn serve(shared: Arc<Shared>, session: Arc<Session>) {
    let made = tokio::select! {
        biased;
        () = session.over() => return,
        made = make(&shared, &session) => made,
    };
    match made {
        Ok((socket, peer, metrics)) => {
            session.open(socket, peer, metrics);
            // The silence of its client is counted from here: until now it could not have had an answer.
            shared.sessions.touch(&session);
        }
        Err(error) => {
            tracing::debug!(error = &error as &dyn Error, "destination not reached");
            session.fail(error);
            return shared.sessions.forget(&session);
        }
    }
    loop {
        tokio::select! {
            biased;
            () = session.over() => return,
            () = poll_fn(|cx| session.poll_answer_ready(cx)) => {}
        }
        let mut inbox = shared.inboxes.take();
        let carried = carry(&shared, &session, &mut inbox);
        shared.inboxes.give_back(inbox);
        if carried.is_err() {
            // The next receive would fail alike: an error must not make it spin.
            tokio::select! {
                biased;
                () = session.over() => return,
                () = sleep(shared.config.receive_pause) => {}
            }
        }
    }
}

/// Carries the answers that are there.
fn carry(shared: &Shared, session: &Session, inbox: &mut Inbox) -> io::Result<()> {
    for _ in 0..ROUNDS {
        match session.receive(inbox) {
            Ok(()) => {}
            // About a datagram that was sent earlier. The destination may come back.
            Err(error) if is_refused(&error) => {
                shared.datagrams.add_refused(1);
                continue;
            }
            Err(error) if error.kind() == io::ErrorKind::WouldBlock => return Ok(()),
            Err(error) => {
                tracing::debug!(%error, "receiving from the destination failed");
                return Err(error);
            }
        }
        while let Some((_, train)) = inbox.next_train() {
            session.answer(train);
        }
        shared.sessions.touch(session);
    }
    Ok(())
}

async fn make(
    shared: &Shared,
    session: &Session,
) -> Result<(Socket, SocketAddr, ConnectionMetrics), ConnectionError> {
    let limit = shared.config.connect_timeout;
    let at = || Place::at(Step::Connect).to(Some(session.to.clone()));
    let peer = timeout(limit, look_up(&session.to)).await;
    let peer = peer.map_err(|_| ConnectionError::timeout(Some(limit), at()))??;
    let socket = Socket::connected(peer).map_err(|error| connect_failure(error, at()))?;
    let context = ConnectionContext {
        id: ConnectionId::next(),
        protocol: Protocol::Udp,
        direction: Direction::Dialled,
        source: Some(Address::Udp(socket.local())),
        destination: Some(Address::Udp(peer)),
        created: super::shared::now(),
    };
    let metrics = ConnectionMetrics::open(shared.network.metrics(), &context);
    Ok((socket, peer, metrics))
}

async fn look_up(to: &Address) -> Result<SocketAddr, ConnectionError> {
    match to {
        Address::Udp(literal) => Ok(*literal),
        Address::UdpName { host, port } => {
            let found = resolve(host, *port).await.map_err(|error| {
                connect_failure(error, Place::at(Step::Resolve).to(Some(to.clone())))
            })?;
            Ok(found[0])
        }
        Address::Tcp(_)
        | Address::TcpName { .. }
        | Address::Tls(_)
        | Address::TlsName { .. }
        | Address::Unix(_)
        | Address::Abstract(_)
        | Address::Mem(_)
        | Address::Tunnel(_) => Err(super::manager::not_udp("destination")),
    }
}
