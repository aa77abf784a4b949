//! Unix stream sockets, at a path or in Linux's abstract namespace.

use super::{
    Accepted, Transport,
    tcp::{SocketListener, StdListener, is_quiet, listen_with, send},
};
use crate::{address::Address, config::TcpConfig};
use socket2::{Domain, SockAddr, SockRef, Socket, Type};
use std::{
    io::{self, IoSlice},
    net::Shutdown,
    os::{
        fd::{AsFd, AsRawFd, BorrowedFd, RawFd},
        unix::{
            fs::{FileTypeExt, MetadataExt, PermissionsExt},
            net::UnixListener,
        },
    },
    path::{Path, PathBuf},
    task::{Context, Poll},
    time::Duration,
};
use tokio::{io::Interest, net::UnixStream};

impl Transport for UnixStream {
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

    /// A Unix socket resets by itself when it is closed over unread bytes; it has no reset to ask for.
    fn abort(&self) {}

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

/// A Unix listener; takes its path away again when it is closed.
#[derive(Debug)]
pub(super) struct StdUnix {
    listener: UnixListener,
    guard: Guard,
}

/// What keeps strangers from a listener.
#[derive(Debug)]
enum Guard {
    /// The mode of the socket file, which goes away with the listener.
    File { _file: SocketFile },
    /// Nothing in the abstract namespace has a mode: each peer's user is compared with ours.
    SameUser,
}

/// The path that we made, known by its inode: a path that somebody put in its place is not ours to take away.
#[derive(Debug)]
struct SocketFile {
    path: PathBuf,
    inode: Inode,
}

type Inode = (u64, u64);

impl SocketFile {
    fn of(path: &Path) -> io::Result<Self> {
        Ok(Self { path: path.to_owned(), inode: inode(path)? })
    }
}

impl Drop for SocketFile {
    fn drop(&mut self) {
        if inode(&self.path).is_ok_and(|now| now == self.inode) {
            let _ = std::fs::remove_file(&self.path);
        }
    }
}

fn inode(path: &Path) -> io::Result<Inode> {
    std::fs::symlink_metadata(path).map(|data| (data.dev(), data.ino()))
}

impl AsRawFd for StdUnix {
    fn as_raw_fd(&self) -> RawFd {
        self.listener.as_raw_fd()
    }
}

impl StdListener for StdUnix {
    fn accept_one(&self) -> io::Result<Accepted> {
        let (stream, _) = self.listener.accept()?;
        if let Guard::SameUser = self.guard {
            check_user(&stream)?;
        }
        stream.set_nonblocking(true)?;
        let stream = UnixStream::from_std(stream)?;
        Ok(Accepted {
            transport: Box::new(stream),
            source: None,
            destination: None,
            permit: None,
            protocol: None,
        })
    }

    fn reconfigure(&self, config: &TcpConfig) {
        // A socket that listens does not refuse it.
        let _ = listen_with(&SockRef::from(&self.listener), config.backlog);
    }
}

/// Refuses a peer that runs as another user; to it the connection ends at once.
fn check_user(stream: &std::os::unix::net::UnixStream) -> io::Result<()> {
    let peer = rustix::net::sockopt::socket_peercred(stream)?.uid;
    if peer == rustix::process::geteuid() {
        return Ok(());
    }
    tracing::warn!(uid = peer.as_raw(), "refused a peer of another user on an abstract socket");
    // The next in the backlog has its turn, as after a client that left.
    Err(io::Error::from(io::ErrorKind::ConnectionAborted))
}

/// Binds and listens. A socket file gets mode 0600, and a stale one that nobody listens on is replaced.
pub(super) fn listen(address: &Address, backlog: u32) -> io::Result<SocketListener<StdUnix>> {
    let socket = Socket::new(Domain::UNIX, Type::STREAM, None)?;
    socket.set_nonblocking(true)?;
    let name = socket_name(address)?;
    if let Some(path) = address.unix_path() {
        remove_stale(path, &name);
    }
    socket.bind(&name)?;
    let guard = match address.unix_path() {
        Some(path) => {
            let file = SocketFile::of(path)?;
            // Before `listen` nobody can connect, so no client gets in under a wider mode.
            std::fs::set_permissions(path, std::fs::Permissions::from_mode(0o600))?;
            Guard::File { _file: file }
        }
        None => Guard::SameUser,
    };
    listen_with(&SockRef::from(&socket), backlog)?;
    SocketListener::new(StdUnix { listener: UnixListener::from(socket), guard })
}

/// Connects. The kernel answers at once, except that a full backlog makes the caller wait.
pub(super) async fn connect(address: &Address) -> io::Result<UnixStream> {
    const PAUSE: Duration = Duration::from_millis(1);
    let name = socket_name(address)?;
    loop {
        let socket = Socket::new(Domain::UNIX, Type::STREAM, None)?;
        socket.set_nonblocking(true)?;
        match socket.connect(&name) {
            Ok(()) => return UnixStream::from_std(socket.into()),
            // The backlog is full. The kernel has no event for its end, so we ask again.
            Err(error) if error.kind() == io::ErrorKind::WouldBlock => {
                tokio::time::sleep(PAUSE).await;
            }
            Err(error) => return Err(error),
        }
    }
}

fn socket_name(address: &Address) -> io::Result<SockAddr> {
    match address {
        Address::Unix(path) => SockAddr::unix(path),
        Address::Abstract(name) => SockAddr::unix(format!("\0{name}")),
        Address::Tcp(_)
        | Address::TcpName { .. }
        | Address::Tls(_)
        | Address::TlsName { .. }
        | Address::Mem(_)
        | Address::Udp(_)
        | Address::UdpName { .. }
        | Address::Tunnel(_) => Err(io::Error::from(io::ErrorKind::InvalidInput)),
    }
}

/// Takes a socket file away that refuses connections: its listener died without cleaning up.
fn remove_stale(path: &Path, name: &SockAddr) {
    let is_socket = std::fs::symlink_metadata(path).is_ok_and(|data| data.file_type().is_socket());
    let probe = || {
        let socket = Socket::new(Domain::UNIX, Type::STREAM, None)?;
        socket.set_nonblocking(true)?;
        socket.connect(name)
    };
    let is_refused = |answer: io::Result<()>| matches!(answer, Err(e) if e.kind() == io::ErrorKind::ConnectionRefused);
    if is_socket && is_refused(probe()) {
        let _ = std::fs::remove_file(path);
    }
}
