//! The hub's front for users who speak SOCKS5: a name or a password, where to, and then bytes both ways.
//!
//! ```text
//!   greeting ─▶ who asks ─▶ request ─▶ destination ─▶ may it? ─▶ dial ─▶ relay
//!                 └── refused ◀────────────┴─────────────┴─────────┘
//! ```

mod destination;
#[cfg(fuzzing)]
pub(in crate::tunnel) mod fuzzing;
mod message;

use super::{
    dial::{Holder, Wanted, dial},
    http::Proved,
    shared::Shared,
};
use crate::{
    budget::Permit,
    context::CloseReason,
    error::ConnectionError,
    relay::Relay,
    transport::{Listener, Stream},
};
use destination::{Destination, destination};
use message::{
    NO_AUTHENTICATION, NO_METHOD, PASSWORD, Read, Reply, credentials, greeting, request,
};
use std::{error::Error, sync::Arc};
use tokio::time::timeout;

/// The longest message: a request for a name of 255 bytes, or a name and a password of as many each.
const LONGEST: usize = 513;

/// Serves users until the hub stops. The listener takes a place under the limit before each of them.
pub(super) async fn accept_users(shared: Arc<Shared>, listener: Listener) {
    let mut incoming = shared.incoming(listener);
    while let Some(stream) = incoming.next().await {
        shared.fronts.spawn_on(serve(Arc::clone(&shared), stream), shared.network.runtime());
    }
}

/// A user on its way; dropped before it has said why it ends, it ends as cancelled.
struct User {
    stream: Stream,
    /// What was read and not looked at.
    ahead: Vec<u8>,
}

impl Drop for User {
    fn drop(&mut self) {
        self.stream.close_because(CloseReason::Cancelled);
    }
}

/// Why a user gets nowhere.
enum Refused {
    /// It broke off, or speaks something else: nothing is answered.
    Silently,
    With(Reply),
}

async fn serve(shared: Arc<Shared>, stream: Stream) {
    let mut user = User { stream, ahead: Vec::new() };
    let handshake = timeout(shared.config.socks.handshake_timeout, user.introduce(&shared));
    let answer = tokio::select! {
        biased;
        reason = shared.cut.ordered() => return user.stream.close_because(reason),
        () = shared.stopping.cancelled() => return user.stream.close_because(CloseReason::Drained),
        answer = handshake => answer.unwrap_or(Err(Refused::Silently)),
    };
    let opened = match answer {
        Ok((to, permit)) => {
            let reached = tokio::select! {
                biased;
                reason = shared.cut.ordered() => return user.stream.close_because(reason),
                reached = reach(&shared, &user.stream, to) => reached,
            };
            reached.map(|server| (server, permit))
        }
        Err(refused) => Err(refused),
    };
    match opened {
        Ok((server, permit)) => carry(&shared, user, server, permit).await,
        Err(Refused::Silently) => user.stream.close_because(CloseReason::Refused),
        Err(Refused::With(reply)) => {
            tracing::debug!(?reply, "a user of SOCKS5 was refused");
            let bytes = reply.bytes();
            let _ = timeout(shared.config.socks.handshake_timeout, user.say(&bytes)).await;
            user.stream.close_because(CloseReason::Refused);
        }
    }
}

impl User {
    /// Hears who it is and where it wants to go, and whether it may.
    async fn introduce(
        &mut self,
        shared: &Shared,
    ) -> Result<(Destination, Option<Permit>), Refused> {
        let certified = self.stream.tls().and_then(|session| shared.users.by_certificate(session));
        let proved = match certified {
            Some(proved) => {
                self.agree(|offered| {
                    offered.contains(&NO_AUTHENTICATION).then_some(NO_AUTHENTICATION)
                })
                .await?;
                Some(proved)
            }
            None => self.prove(shared).await?,
        };
        let asked = self.hear(request).await?;
        let to = destination(&shared.config.socks, &asked);
        let to = to.ok_or(Refused::With(Reply::NotAllowed))?;
        let permit = granted(shared, &to, proved.as_ref())?;
        Ok((to, permit))
    }

    /// Agrees on a way to say who it is.
    async fn agree(&mut self, choose: impl Fn(&[u8]) -> Option<u8>) -> Result<u8, Refused> {
        let offered = self.hear(greeting).await?;
        let chosen = choose(&offered);
        self.say(&[5, chosen.unwrap_or(NO_METHOD)]).await?;
        chosen.ok_or(Refused::Silently)
    }

    /// Hears a name and a token, where it has one and there are users; `None` for nobody who is known.
    async fn prove(&mut self, shared: &Shared) -> Result<Option<Proved>, Refused> {
        let are_users = !shared.config.users.is_empty();
        let choose = |offered: &[u8]| match are_users && offered.contains(&PASSWORD) {
            true => Some(PASSWORD),
            false => offered.contains(&NO_AUTHENTICATION).then_some(NO_AUTHENTICATION),
        };
        if self.agree(choose).await? == NO_AUTHENTICATION {
            return Ok(None);
        }
        let said = self.hear(credentials).await?;
        let proved = shared.users.by_name_and_token(&said.name, &said.password);
        self.say(&[1, u8::from(proved.is_none())]).await?;
        proved.map(Some).ok_or(Refused::Silently)
    }

    /// The next message, of which nothing stays behind.
    async fn hear<T>(&mut self, read: impl Fn(&[u8]) -> Read<T>) -> Result<T, Refused> {
        loop {
            match read(&self.ahead) {
                Read::Is(message, length) => {
                    // It may hold a token.
                    self.ahead[..length].fill(0);
                    self.ahead.drain(..length);
                    return Ok(message);
                }
                Read::Malformed => return Err(Refused::Silently),
                Read::Unserved(reply) => return Err(Refused::With(reply)),
                Read::NeedMore => {}
            }
            let mut room = zeroize::Zeroizing::new([0; LONGEST]);
            let count = self.stream.read(&mut room[..]).await.map_err(|_| Refused::Silently)?;
            if count == 0 {
                return Err(Refused::Silently);
            }
            self.ahead.extend_from_slice(&room[..count]);
        }
    }

    async fn say(&self, bytes: &[u8]) -> Result<(), Refused> {
        self.stream.write_all(bytes).await.map_err(|_| Refused::Silently)
    }
}

/// Whether the user may go there, and the place among its requests that it takes.
fn granted(
    shared: &Shared,
    to: &Destination,
    proved: Option<&Proved>,
) -> Result<Option<Permit>, Refused> {
    let is_open = shared.users.is_anonymous(&to.cluster);
    let Some(proved) = proved else {
        return if is_open { Ok(None) } else { Err(Refused::With(Reply::NotAllowed)) };
    };
    if !is_open && !proved.user.may_use(&to.cluster) {
        return Err(Refused::With(Reply::NotAllowed));
    }
    let permit = proved.user.requests.try_acquire();
    permit.map(Some).ok_or(Refused::With(Reply::Failed))
}

async fn reach(shared: &Arc<Shared>, user: &Stream, to: Destination) -> Result<Stream, Refused> {
    let source = user.context().source.clone();
    let wanted = Wanted { cluster: to.cluster, target: to.target, source };
    dial(shared, wanted, Holder::Dialled, None).await.map_err(|error| {
        tracing::debug!(error = &error as &dyn Error, "a user of SOCKS5 got nowhere");
        Refused::With(reply_of(&error))
    })
}

fn reply_of(error: &ConnectionError) -> Reply {
    match error {
        ConnectionError::InvalidConfig { .. } => Reply::NotAllowed,
        ConnectionError::Timeout { .. } => Reply::Expired,
        ConnectionError::ConnectionFailed { .. } if error.os_code() == Some(libc::ECONNREFUSED) => {
            Reply::Refused
        }
        ConnectionError::ConnectionFailed { .. } => Reply::HostUnreachable,
        _ => Reply::Failed,
    }
}

async fn carry(shared: &Shared, mut user: User, server: Stream, permit: Option<Permit>) {
    if user.say(&Reply::Succeeded.bytes()).await.is_err() {
        return;
    }
    shared.live.keep_by_task(server.context().id);
    let ahead = std::mem::take(&mut user.ahead);
    let mut relay = Relay::new(&user.stream, &server, &shared.relay_limits()).owing(ahead);
    let outcome = tokio::select! {
        biased;
        reason = shared.cut.ordered() => relay.cut(reason),
        outcome = relay.run() => outcome,
    };
    drop(permit);
    tracing::trace!(?outcome, "a connection of a SOCKS5 user is over");
}
