//! Makes the connections between an agent and its host, by the way that is their turn.

use super::{
    MemoryConnection, Path,
    split::Split,
    stats::{Counts, MemoryCommStats},
};
use crate::{
    address::Address,
    budget::Budget,
    config::{MemoryCommConfig, PipeConfig},
    context::{CloseReason, Direction},
    error::{ConnectionError, Place, Step},
    manager::Live,
    transport::{Admission, Network, PrivateSocket, Stream, Transport, is_out_of_files, pipe},
};
use parking_lot::Mutex;
use std::{error::Error, sync::Arc};

/// Connects an agent with its host, by pipes and by Unix sockets.
#[derive(Debug)]
pub(in crate::tunnel) struct MemoryConnManager {
    network: Network,
    config: MemoryCommConfig,
    /// Whose agent it is.
    address: Address,
    split: Mutex<Split>,
    /// Connections in memory.
    budget: Budget,
    socket: Mutex<Socket>,
    memory: Counts,
    sockets: Counts,
    /// The ends that the host has taken.
    taken: Arc<Live>,
}

/// The socket that stands between the two ends of a process.
#[derive(Debug)]
enum Socket {
    /// Made with the first connection that needs it, and tried again with the next where that failed.
    NotYet,
    Listening(Arc<PrivateSocket>),
    Closed,
}

type Ends = (Stream, Box<dyn Transport>);

impl MemoryConnManager {
    /// `by_memory` says whether the first connections go by memory.
    pub(in crate::tunnel) fn new(
        network: Network,
        config: MemoryCommConfig,
        address: Address,
        by_memory: bool,
    ) -> Self {
        let metrics = config.enable_metrics.then(|| network.metrics().clone());
        let counts = |path| Counts::new(path, metrics.as_ref());
        Self {
            split: Mutex::new(Split::new(if by_memory { 1.0 } else { 0.0 })),
            budget: Budget::new(u64::from(config.max_connections)),
            socket: Mutex::new(Socket::NotYet),
            memory: counts(Path::Memory),
            sockets: counts(Path::Socket),
            taken: Live::new(),
            network,
            config,
            address,
        }
    }

    /// Lets `share` of the connections to come go by memory.
    ///
    /// # Errors
    ///
    /// [`ConnectionError::InvalidConfig`] for what is not within 0 and 1.
    pub(in crate::tunnel) fn set_share(&self, share: f64) -> Result<(), ConnectionError> {
        if !(0.0..=1.0).contains(&share) {
            let why = format!("must be within 0 and 1, is {share}");
            return Err(ConnectionError::invalid_config("share", why));
        }
        self.split.lock().set(share);
        Ok(())
    }

    /// Makes a connection, by the way that is its turn or else by the other.
    ///
    /// # Errors
    ///
    /// Why the first way could not take it, where the second could not either.
    pub(in crate::tunnel) fn open(&self) -> Result<MemoryConnection, ConnectionError> {
        let wanted = self.split.lock().next();
        let error = match self.open_by(wanted, false) {
            Ok(connection) => return Ok(connection),
            Err(error) => error,
        };
        let cause = &error as &dyn Error;
        tracing::debug!(path = wanted.name(), error = cause, "a connection goes the other way");
        self.open_by(wanted.other(), true).map_err(|_| error)
    }

    fn open_by(&self, path: Path, is_fallback: bool) -> Result<MemoryConnection, ConnectionError> {
        let counts = self.counts(path);
        let made = match path {
            Path::Memory => self.by_memory(),
            Path::Socket => self.by_socket(),
        };
        let (client, server) = made.inspect_err(|_| counts.on_failed())?;
        let client = counts.live.admit(client)?;
        counts.live.keep_by_task(client.context().id);
        let standing = counts.on_opened(is_fallback);
        Ok(MemoryConnection { path, client, server, standing })
    }

    fn by_memory(&self) -> Result<Ends, ConnectionError> {
        let Some(permit) = self.budget.try_acquire() else {
            let at = Place::at(Step::Connect).to(Some(self.address.clone()));
            let limit = self.budget.limit();
            return Err(ConnectionError::limit_exceeded("connections in memory", limit, at));
        };
        let (near, far) = pipe::pair(&PipeConfig { capacity: self.config.buffer_size })?;
        let near = self.near(Path::Memory, Box::new(near), self.address.clone());
        Ok((near.holding(permit), Box::new(far)))
    }

    fn by_socket(&self) -> Result<Ends, ConnectionError> {
        let failed = |cause: std::io::Error| {
            let at = Place::at(Step::Connect).to(Some(self.address.clone()));
            if is_out_of_files(&cause) {
                return ConnectionError::from_io(cause, at);
            }
            ConnectionError::ConnectionFailed { at: at.because(cause) }
        };
        let socket = self.listening()?;
        let _entered = self.network.runtime().enter();
        let (near, far) = socket.connect().map_err(failed)?;
        Ok((self.near(Path::Socket, near, Address::Unix(socket.path().into())), far))
    }

    fn near(&self, path: Path, end: Box<dyn Transport>, to: Address) -> Stream {
        self.network.stream(path.protocol(), Direction::Dialled, end, None, Some(to))
    }

    /// The socket, once there is one.
    fn listening(&self) -> Result<Arc<PrivateSocket>, ConnectionError> {
        let mut socket = self.socket.lock();
        match &*socket {
            Socket::Listening(made) => Ok(Arc::clone(made)),
            Socket::Closed => Err(ConnectionError::closed(Step::Connect)),
            Socket::NotYet => {
                let under = &self.config.socket_directory;
                let made = PrivateSocket::new(under).map_err(|cause| {
                    let to = Some(Address::Unix(under.clone()));
                    ConnectionError::BindFailed { at: Place::at(Step::Bind).to(to).because(cause) }
                })?;
                let made = Arc::new(made);
                *socket = Socket::Listening(Arc::clone(&made));
                Ok(made)
            }
        }
    }

    fn counts(&self, path: Path) -> &Counts {
        match path {
            Path::Memory => &self.memory,
            Path::Socket => &self.sockets,
        }
    }

    pub(in crate::tunnel) fn stats(&self) -> MemoryCommStats {
        MemoryCommStats {
            memory_share: self.split.lock().share(),
            memory: self.memory.read(),
            socket: self.sockets.read(),
        }
    }

    /// Lists the ends that the host takes.
    pub(in crate::tunnel) fn admission(&self) -> Arc<Live> {
        Arc::clone(&self.taken)
    }

    /// Waits until the host has closed all that it has taken.
    pub(in crate::tunnel) async fn left(&self) {
        self.taken.emptied().await;
    }

    /// Closes what the host has taken, and the socket. Nothing is made afterwards.
    pub(in crate::tunnel) fn close(&self, reason: CloseReason) {
        for path in Path::ALL {
            self.counts(path).live.seal();
        }
        self.taken.seal();
        self.taken.cut(reason);
        let socket = std::mem::replace(&mut *self.socket.lock(), Socket::Closed);
        // Its file and directory go here, where the lock is not held.
        drop(socket);
    }
}
