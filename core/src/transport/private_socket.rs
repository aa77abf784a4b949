//! A Unix socket for this object alone: in a directory of its own, and both ends of each of its connections are known.

use super::Transport;
use parking_lot::Mutex;
use socket2::{Domain, SockAddr, Socket, Type};
use std::{
    fs,
    io::{self, ErrorKind},
    os::unix::fs::{DirBuilderExt, PermissionsExt},
    path::{Path, PathBuf},
};
use tokio::net::UnixStream;

/// Connections that stand in the kernel's line before they are taken: ours never stay there.
const BACKLOG: i32 = 16;
/// How often a line that strangers have filled is emptied for one connection of ours.
const ATTEMPTS: u32 = 3;

/// A listening Unix socket whose connections come from here and nowhere else. The socket has mode 0600, its
/// directory 0700; both go away with it. Who else connects, as a process of the same user can, is turned away.
#[derive(Debug)]
pub(crate) struct PrivateSocket {
    listener: Socket,
    address: SockAddr,
    /// Held from the connect to the accept of one connection, which are two system calls that never wait.
    turn: Mutex<()>,
    place: Place,
}

/// A directory that we made. Only what we put into it is taken away, and then the directory, if it is empty.
#[derive(Debug)]
struct Place {
    folder: PathBuf,
    socket: PathBuf,
}

impl Place {
    fn make(under: &Path) -> io::Result<Self> {
        loop {
            let folder = under.join(format!("trunkline-{:016x}", fastrand::u64(..)));
            match fs::DirBuilder::new().mode(0o700).create(&folder) {
                Ok(()) => return Ok(Self { socket: folder.join("agent.sock"), folder }),
                // Somebody has that name: never use what another one made.
                Err(error) if error.kind() == ErrorKind::AlreadyExists => {}
                Err(error) => return Err(error),
            }
        }
    }
}

impl Drop for Place {
    fn drop(&mut self) {
        let _ = fs::remove_file(&self.socket);
        let _ = fs::remove_dir(&self.folder);
    }
}

impl PrivateSocket {
    /// Makes the directory and listens in it.
    pub(crate) fn new(under: &Path) -> io::Result<Self> {
        let place = Place::make(under)?;
        let address = SockAddr::unix(&place.socket)?;
        let listener = socket()?;
        listener.bind(&address)?;
        // Before `listen` nobody can connect, so no client gets in under a wider mode.
        fs::set_permissions(&place.socket, fs::Permissions::from_mode(0o600))?;
        listener.listen(BACKLOG)?;
        Ok(Self { listener, address, turn: Mutex::new(()), place })
    }

    /// Where it listens.
    pub(crate) fn path(&self) -> &Path {
        &self.place.socket
    }

    /// Makes a connection: the end that connected, and the end that was accepted. Wants a runtime that was entered.
    ///
    /// # Errors
    ///
    /// What the system says, as where there is no descriptor left; `WouldBlock` while strangers keep the line full.
    pub(crate) fn connect(&self) -> io::Result<(Box<dyn Transport>, Box<dyn Transport>)> {
        let near = socket()?;
        // The kernel gives it a name of its own, by which the accepted end is known.
        near.bind(&SockAddr::unix("")?)?;
        let name = near.local_addr()?;
        let far = {
            let _turn = self.turn.lock();
            self.reach(&near)?;
            self.accept(&name)?
        };
        far.set_nonblocking(true)?;
        Ok((stream(near)?, stream(far)?))
    }

    fn reach(&self, near: &Socket) -> io::Result<()> {
        for _ in 1..ATTEMPTS {
            match near.connect(&self.address) {
                Err(error) if error.kind() == ErrorKind::WouldBlock => self.turn_away()?,
                answer => return answer,
            }
        }
        near.connect(&self.address)
    }

    /// Takes strangers out of the line, as many as are in it at most.
    fn turn_away(&self) -> io::Result<()> {
        for _ in 0..=BACKLOG {
            match self.listener.accept() {
                Ok(_stranger) => {}
                Err(error) if error.kind() == ErrorKind::WouldBlock => break,
                Err(error) => return Err(error),
            }
        }
        Ok(())
    }

    fn accept(&self, name: &SockAddr) -> io::Result<Socket> {
        loop {
            let (far, peer) = self.listener.accept()?;
            if peer.as_abstract_namespace() == name.as_abstract_namespace() {
                return Ok(far);
            }
            tracing::warn!(path = %self.path().display(), "turned a stranger away from a private socket");
        }
    }
}

fn socket() -> io::Result<Socket> {
    let socket = Socket::new(Domain::UNIX, Type::STREAM, None)?;
    socket.set_nonblocking(true)?;
    Ok(socket)
}

fn stream(socket: Socket) -> io::Result<Box<dyn Transport>> {
    Ok(Box::new(UnixStream::from_std(socket.into())?))
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::os::unix::net::UnixStream as Std;

    fn mode(path: &Path) -> u32 {
        fs::metadata(path).unwrap().permissions().mode() & 0o777
    }

    fn is_pair((near, far): &(Box<dyn Transport>, Box<dyn Transport>), word: &[u8]) -> bool {
        // What a Unix socket takes is at its other end at once.
        let (near, far) = (near.socket().unwrap(), far.socket().unwrap());
        assert_eq!(rustix::io::write(near, word).unwrap(), word.len());
        let mut buf = [0; 16];
        let n = rustix::io::read(far, &mut buf).unwrap();
        &buf[..n] == word
    }

    #[tokio::test]
    async fn only_its_user_reaches_it_and_nothing_stays_behind() {
        let socket = PrivateSocket::new(Path::new("/tmp")).unwrap();
        let path = socket.path().to_owned();
        let folder = path.parent().unwrap().to_owned();
        assert_eq!((mode(&folder), mode(&path)), (0o700, 0o600));
        assert!(is_pair(&socket.connect().unwrap(), b"hello"));
        drop(socket);
        assert!(!path.exists() && !folder.exists());
    }

    #[tokio::test]
    async fn a_stranger_never_gets_the_end_of_another_connection() {
        let socket = PrivateSocket::new(Path::new("/tmp")).unwrap();
        let early = Std::connect(socket.path()).unwrap();
        assert!(is_pair(&socket.connect().unwrap(), b"ours"));
        // The stranger was turned away: it reads an end.
        assert_eq!(rustix::io::read(&early, &mut [0; 8]).unwrap(), 0);
        let crowd: Vec<_> = (0..=BACKLOG).map(|_| Std::connect(socket.path()).unwrap()).collect();
        assert!(is_pair(&socket.connect().unwrap(), b"past a crowd"));
        drop(crowd);
    }

    #[tokio::test]
    async fn connections_made_at_once_are_never_mixed() {
        let socket = PrivateSocket::new(Path::new("/tmp")).unwrap();
        let runtime = tokio::runtime::Handle::current();
        std::thread::scope(|scope| {
            for thread in 0..4_u8 {
                let (socket, runtime) = (&socket, &runtime);
                scope.spawn(move || {
                    let _entered = runtime.enter();
                    for n in 0..50_u8 {
                        assert!(is_pair(&socket.connect().unwrap(), &[thread, n]));
                    }
                });
            }
        });
    }

    #[test]
    fn a_directory_that_cannot_be_made_is_told() {
        let error = PrivateSocket::new(Path::new("/proc/no-such-folder")).unwrap_err();
        assert_eq!(error.kind(), ErrorKind::NotFound);
    }
}
