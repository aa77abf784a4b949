//! A descriptor for code that takes nothing else: one end of a pair of Unix sockets, and a relay behind the other.

use super::{RelayLimits, relay};
use crate::{
    config::TimeLimit,
    context::{Direction, Protocol},
    error::{ConnectionError, Place, Step},
    transport::{Network, Stream, out_of_files},
};
use std::{borrow::Borrow, io, os::fd::OwnedFd, os::unix::net::UnixStream};

/// Gives what `stream` carries a socket: what is written to it goes to the stream's peer, what comes is read from it.
///
/// The socket blocks, and is closed by an `exec`. An end crosses in either direction and by itself; closing the
/// socket closes the stream. A reset of the peer's is an end there, as a Unix socket has none. A task on the
/// network's runtime carries the bytes for as long as both stand, through at most 64 KiB each way besides what the
/// kernel holds for the socket, and has no time limit. It ends with the runtime.
///
/// # Errors
///
/// [`ConnectionError::LimitExceeded`] where there is no descriptor left. `stream` is dropped then.
pub fn to_socket<S>(network: &Network, stream: S) -> Result<OwnedFd, ConnectionError>
where
    S: Borrow<Stream> + Send + Sync + 'static,
{
    let (ours, theirs) = pair(network).map_err(|cause| {
        let context = stream.borrow().context();
        let at = Place::at(Step::Connect).to(context.destination.clone());
        out_of_files(cause, at)
    })?;
    let near = network.stream(Protocol::Unix, Direction::Accepted, Box::new(ours), None, None);
    network.spawn(async move {
        let limits = RelayLimits {
            idle: TimeLimit::Never,
            half_close: TimeLimit::Never,
            max_duration: TimeLimit::Never,
            ..RelayLimits::default()
        };
        let outcome = relay(&near, stream.borrow(), &limits).await;
        tracing::trace!(?outcome, "a stream with a socket is over");
    });
    Ok(theirs)
}

fn pair(network: &Network) -> io::Result<(tokio::net::UnixStream, OwnedFd)> {
    let (ours, theirs) = UnixStream::pair()?;
    ours.set_nonblocking(true)?;
    let _entered = network.runtime().enter();
    Ok((tokio::net::UnixStream::from_std(ours)?, theirs.into()))
}
