//! TCP: dialling several addresses with a stagger, listening, and the socket options.

use super::{Accept, Accepted, Transport};
use crate::{address::Address, config::TcpConfig};
use parking_lot::Mutex;
#[cfg(target_os = "linux")]
use rustix::event::{PollFd, PollFlags, Timespec};
use socket2::{Domain, SockRef, Socket, TcpKeepalive, Type};
use std::{
    collections::VecDeque,
    io::{self, IoSlice},
    mem::MaybeUninit,
    net::{Shutdown, SocketAddr},
    os::fd::{AsFd, BorrowedFd},
    task::{Context, Poll},
    time::Duration,
};
use tokio::{
    io::{Interest, unix::AsyncFd},
    net::{TcpSocket, TcpStream},
    runtime::Handle,
    task::JoinSet,
    time::{Instant, sleep_until},
};

impl Transport for TcpStream {
    fn try_read(&self, buf: &mut [u8]) -> io::Result<usize> {
        if buf.is_empty() {
            return Ok(0);
        }
        Self::try_read(self, buf)
    }

    fn try_write(&self, bufs: &[IoSlice<'_>]) -> io::Result<usize> {
        self.try_io(Interest::WRITABLE, || send(&SockRef::from(self), bufs))
    }

    fn poll_read_ready(&self, cx: &mut Context<'_>) -> Poll<()> {
        Self::poll_read_ready(self, cx).map(drop)
    }

    fn poll_write_ready(&self, cx: &mut Context<'_>) -> Poll<()> {
        Self::poll_write_ready(self, cx).map(drop)
    }

    fn shutdown(&self, how: Shutdown) -> io::Result<()> {
        SockRef::from(self).shutdown(how)
    }

    fn abort(&self) {
        // A close with a linger time of zero is a reset. It fails only on a dead socket.
        let _ = SockRef::from(self).set_linger(Some(Duration::ZERO));
    }

    /// What the network has may still be lost with the reset, as with any reset.
    #[cfg(target_os = "linux")]
    fn has_delivered(&self) -> bool {
        // With this mark a socket polls as writable only once it holds no byte that was not sent.
        if SockRef::from(self).set_tcp_notsent_lowat(1).is_err() {
            return true;
        }
        let mut polled = [PollFd::new(self, PollFlags::OUT)];
        let answer = rustix::event::poll(&mut polled, Some(&Timespec::default()));
        answer.is_err() || !polled[0].revents().is_empty()
    }

    fn is_quiet(&self) -> bool {
        is_quiet(&SockRef::from(self))
    }

    fn socket(&self) -> Option<BorrowedFd<'_>> {
        Some(self.as_fd())
    }

    fn try_socket(
        &self,
        interest: Interest,
        call: &mut dyn FnMut(BorrowedFd<'_>) -> io::Result<usize>,
    ) -> Option<io::Result<usize>> {
        Some(self.try_io(interest, || call(self.as_fd())))
    }
}

/// Whether a read would have to wait. Asks the kernel: what the runtime knows of readiness may be old.
pub(super) fn is_quiet(socket: &SockRef<'_>) -> bool {
    let peeked = socket.peek(&mut [MaybeUninit::uninit()]);
    peeked.is_err_and(|error| error.kind() == io::ErrorKind::WouldBlock)
}

/// As `writev`, but a peer that has gone is an error here and never a SIGPIPE in the host.
pub(super) fn send(socket: &SockRef<'_>, bufs: &[IoSlice<'_>]) -> io::Result<usize> {
    /// More the kernel refuses (IOV_MAX); a part is a legal answer.
    const MOST: usize = 1024;
    socket.send_vectored_with_flags(&bufs[..bufs.len().min(MOST)], libc::MSG_NOSIGNAL)
}

/// A listening socket of any family, in readiness form.
#[derive(Debug)]
pub(super) struct SocketListener<S: std::os::fd::AsRawFd> {
    socket: AsyncFd<S>,
    /// What is accepted registers here, on whatever thread that is.
    runtime: Handle,
}

/// What a listening socket of the standard library can do.
pub(super) trait StdListener:
    std::os::fd::AsRawFd + std::fmt::Debug + Send + Sync + 'static
{
    fn accept_one(&self) -> io::Result<Accepted>;

    fn reconfigure(&self, config: &TcpConfig);
}

impl<S: StdListener> SocketListener<S> {
    /// Registers with the runtime that is entered.
    #[expect(
        deprecated,
        reason = "its successor is unsafe; the listener owns its descriptor until both are gone"
    )]
    pub(super) fn new(listener: S) -> io::Result<Self> {
        let socket = AsyncFd::with_interest(listener, Interest::READABLE)?;
        Ok(Self { socket, runtime: Handle::current() })
    }
}

impl<S: StdListener> SocketListener<S> {
    fn first_that_stayed(&self, accept: impl Fn() -> io::Result<Accepted>) -> io::Result<Accepted> {
        let _entered = self.runtime.enter();
        loop {
            match accept() {
                Err(error) if is_gone_already(&error) => {}
                answer => return answer,
            }
        }
    }
}

impl<S: StdListener> Accept for SocketListener<S> {
    fn poll_ready(&self, cx: &mut Context<'_>) -> Poll<()> {
        self.socket.poll_read_ready(cx).map(drop)
    }

    fn try_accept(&self) -> io::Result<Accepted> {
        self.first_that_stayed(|| self.socket.try_io(Interest::READABLE, StdListener::accept_one))
    }

    fn accept_left(&self) -> io::Result<Accepted> {
        self.first_that_stayed(|| self.socket.get_ref().accept_one())
    }

    fn reconfigure(&self, config: &TcpConfig) {
        self.socket.get_ref().reconfigure(config);
    }
}

/// Has `socket` wait with so many connections. To one that listens already it is only the number that changes.
pub(super) fn listen_with(socket: &SockRef<'_>, backlog: u32) -> io::Result<()> {
    socket.listen(i32::try_from(backlog).unwrap_or(i32::MAX))
}

/// The client left while it waited in the backlog: the next one has its turn.
fn is_gone_already(error: &io::Error) -> bool {
    matches!(error.kind(), io::ErrorKind::ConnectionAborted | io::ErrorKind::Interrupted)
}

/// A TCP listener and the options for what it accepts.
#[derive(Debug)]
pub(super) struct StdTcp {
    listener: std::net::TcpListener,
    /// Held for a copy.
    config: Mutex<TcpConfig>,
}

impl std::os::fd::AsRawFd for StdTcp {
    fn as_raw_fd(&self) -> std::os::fd::RawFd {
        self.listener.as_raw_fd()
    }
}

impl StdListener for StdTcp {
    fn accept_one(&self) -> io::Result<Accepted> {
        let (stream, source) = self.listener.accept()?;
        stream.set_nonblocking(true)?;
        let stream = TcpStream::from_std(stream)?;
        let config = *self.config.lock();
        apply(&SockRef::from(&stream), &config)?;
        let destination = stream.local_addr().ok().map(Address::from);
        Ok(Accepted {
            transport: Box::new(stream),
            source: Some(source.into()),
            destination,
            permit: None,
            protocol: None,
        })
    }

    fn reconfigure(&self, config: &TcpConfig) {
        let before = std::mem::replace(&mut *self.config.lock(), *config);
        if before.backlog != config.backlog {
            // A socket that listens does not refuse it.
            let _ = listen_with(&SockRef::from(&self.listener), config.backlog);
        }
    }
}

/// Binds and listens; the address is returned with the port that the system chose for port 0.
pub(super) fn listen(
    address: SocketAddr,
    config: &TcpConfig,
) -> io::Result<(SocketAddr, SocketListener<StdTcp>)> {
    let socket = Socket::new(Domain::for_address(address), Type::STREAM, None)?;
    socket.set_reuse_address(true)?;
    socket.set_nonblocking(true)?;
    socket.bind(&address.into())?;
    listen_with(&SockRef::from(&socket), config.backlog)?;
    let listener = std::net::TcpListener::from(socket);
    let bound = listener.local_addr()?;
    let config = Mutex::new(*config);
    Ok((bound, SocketListener::new(StdTcp { listener, config })?))
}

/// Looks a name up; literal addresses never get here.
pub(crate) async fn resolve(host: &str, port: u16) -> io::Result<Vec<SocketAddr>> {
    let found: Vec<_> = tokio::net::lookup_host((host, port)).await?.collect();
    if found.is_empty() {
        return Err(io::Error::new(io::ErrorKind::NotFound, "the name has no address"));
    }
    Ok(interleave(found))
}

/// Alternates between the families, beginning with that of the first address (RFC 8305 §4): one
/// family that leads nowhere costs one stagger, not one for each of its addresses.
fn interleave(addresses: Vec<SocketAddr>) -> Vec<SocketAddr> {
    let first_is_v6 = addresses.first().is_some_and(SocketAddr::is_ipv6);
    let (mut ours, mut others): (VecDeque<_>, VecDeque<_>) =
        addresses.into_iter().partition(|address| address.is_ipv6() == first_is_v6);
    let mut ordered = Vec::with_capacity(ours.len() + others.len());
    while !ours.is_empty() || !others.is_empty() {
        ordered.extend(ours.pop_front());
        ordered.extend(others.pop_front());
    }
    ordered
}

/// Connects to the first of `addresses` that answers. A further attempt begins when the newest one
/// has failed or has been under way for the stagger; the others are dropped with the winner.
///
/// # Errors
///
/// The last attempt's error once all have failed.
pub(super) async fn connect(
    addresses: Vec<SocketAddr>,
    config: &TcpConfig,
) -> io::Result<TcpStream> {
    let mut waiting = VecDeque::from(addresses);
    let mut attempts = JoinSet::new();
    let mut last = io::Error::new(io::ErrorKind::NotFound, "there is no address to connect to");
    loop {
        match waiting.pop_front() {
            Some(address) => {
                attempts.spawn(attempt(address, *config));
            }
            None if attempts.is_empty() => return Err(last),
            None => {}
        }
        let next_start = next_start(config, waiting.is_empty());
        tokio::select! {
            Some(joined) = attempts.join_next() => match joined.unwrap_or_else(|e| Err(e.into())) {
                Ok(stream) => return Ok(stream),
                Err(error) => last = error,
            },
            () = sleep_until(next_start) => {}
        }
    }
}

#[expect(
    clippy::disallowed_methods,
    reason = "the stagger is counted from the start of an attempt"
)]
fn next_start(config: &TcpConfig, is_last: bool) -> Instant {
    const FAR: Duration = Duration::from_secs(365 * 24 * 3600);
    Instant::now() + if is_last { FAR } else { config.attempt_stagger }
}

async fn attempt(address: SocketAddr, config: TcpConfig) -> io::Result<TcpStream> {
    let socket = if address.is_ipv6() { TcpSocket::new_v6()? } else { TcpSocket::new_v4()? };
    let stream = socket.connect(address).await?;
    if stream.local_addr()? == stream.peer_addr()? {
        // Dialling a free port of one's own ephemeral range can meet itself (simultaneous open).
        return Err(io::Error::from(io::ErrorKind::ConnectionRefused));
    }
    apply(&SockRef::from(&stream), &config)?;
    Ok(stream)
}

fn apply(socket: &SockRef<'_>, config: &TcpConfig) -> io::Result<()> {
    socket.set_tcp_nodelay(config.nodelay)?;
    if let Some(idle) = config.keepalive.idle.duration() {
        let parameters = TcpKeepalive::new()
            .with_time(whole_seconds(idle))
            .with_interval(whole_seconds(config.keepalive.interval))
            .with_retries(config.keepalive.count);
        socket.set_tcp_keepalive(&parameters)?;
    }
    #[cfg(target_os = "linux")]
    socket.set_tcp_user_timeout(config.user_timeout.duration())?;
    Ok(())
}

/// The kernel counts keepalive in seconds; a part of one is rounded up, never to zero.
fn whole_seconds(duration: Duration) -> Duration {
    Duration::from_secs(duration.as_secs() + u64::from(duration.subsec_nanos() > 0))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::config::TimeLimit;

    #[test]
    fn families_take_turns() {
        let v4 = |n: u8| SocketAddr::from(([127, 0, 0, n], 1));
        let v6 = |n: u16| SocketAddr::from(([0, 0, 0, 0, 0, 0, 0, n], 1));
        let ordered = interleave(vec![v6(1), v6(2), v6(3), v4(1)]);
        assert_eq!(ordered, [v6(1), v4(1), v6(2), v6(3)]);
    }

    /// The next connection to `listener`, as it was accepted, and the client's side of it.
    fn accepted(listener: &StdTcp) -> (Accepted, std::net::TcpStream) {
        let address = listener.listener.local_addr().unwrap();
        let client = std::net::TcpStream::connect(address).unwrap();
        loop {
            match listener.accept_one() {
                Err(error) if error.kind() == io::ErrorKind::WouldBlock => std::thread::yield_now(),
                answer => return (answer.unwrap(), client),
            }
        }
    }

    #[tokio::test]
    async fn what_is_accepted_after_a_change_has_the_new_options_and_what_stands_the_old_ones() {
        let loopback = SocketAddr::from(([127, 0, 0, 1], 0));
        let (_, listener) = listen(loopback, &TcpConfig::default()).unwrap();
        let listener = listener.socket.into_inner();
        let (before, _client) = accepted(&listener);
        let mut changed =
            TcpConfig { nodelay: false, user_timeout: TimeLimit::secs(7), ..TcpConfig::default() };
        changed.keepalive.idle = TimeLimit::secs(42);
        listener.reconfigure(&changed);
        let (after, _client) = accepted(&listener);
        let options = |accepted: &Accepted| {
            let socket = accepted.transport.socket();
            let socket = SockRef::from(socket.as_ref().unwrap());
            (socket.tcp_nodelay().unwrap(), socket.tcp_keepalive_time().unwrap().as_secs())
        };
        assert_eq!((options(&before), options(&after)), ((true, 60), (false, 42)));
        #[cfg(target_os = "linux")]
        {
            let timeout = |accepted: &Accepted| {
                let socket = accepted.transport.socket();
                SockRef::from(socket.as_ref().unwrap()).tcp_user_timeout().unwrap()
            };
            assert_eq!(timeout(&before), Some(Duration::from_secs(300)));
            assert_eq!(timeout(&after), Some(Duration::from_secs(7)));
        }
    }
}
