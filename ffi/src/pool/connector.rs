//! Who makes the connections of a pool: the host, by jobs, or the library, by connecting streams.

use crate::{
    error::Failure,
    handle::{Handle, trunkline_stream_t},
    job_host::{JobHost, JobKind, resource::Resource},
    process::Process,
    runtime::Runtime,
    stream::StreamObject,
};
use std::sync::{Arc, Weak};
use trunkline_core::{
    Address, ConnectionError, Connector, Network, Place, PoolCloseReason, Step, pool::Abilities,
};

/// Makes the connections of one pool.
pub(crate) enum Maker {
    /// Each is a number of the host's.
    Host { host: JobHost, abilities: Abilities },
    /// Each is a stream of ours, with a handle.
    Network { network: Network, runtime: Weak<Runtime> },
}

/// A connection of a pool.
pub(crate) enum Made {
    Host(Resource),
    Stream(PooledStream),
}

/// A stream that its pool owns: its handle is freed with it, and by nobody else.
pub(crate) struct PooledStream {
    /// Gone once it was detached.
    handle: Option<trunkline_stream_t>,
    object: Arc<StreamObject>,
}

impl Made {
    /// What the host knows it by.
    pub(crate) fn value(&self) -> u64 {
        match self {
            Self::Host(resource) => resource.number(),
            Self::Stream(stream) => stream.handle.map_or(0, Handle::raw),
        }
    }

    /// Leaves the connection to the host for good; returns what it knows it by.
    pub(crate) fn detach(self) -> u64 {
        match self {
            Self::Host(resource) => resource.detach(),
            Self::Stream(stream) => stream.detach(),
        }
    }
}

impl PooledStream {
    fn detach(mut self) -> u64 {
        self.object.lend(false);
        self.handle.take().map_or(0, Handle::raw)
    }
}

impl Drop for PooledStream {
    fn drop(&mut self) {
        if let Some(handle) = self.handle.take() {
            // The host freed it, perhaps, though it was not its to free.
            let _ = Process::current().table().remove(handle);
            self.object.close();
        }
    }
}

impl Maker {
    async fn stream(&self, endpoint: &Address) -> Result<Made, ConnectionError> {
        let Self::Network { network, runtime } = self else {
            return Err(ConnectionError::closed(Step::Connect));
        };
        let gone = || ConnectionError::closed(Step::Connect);
        let runtime = runtime.upgrade().ok_or_else(gone)?;
        let place = runtime.try_reserve_handle().map_err(|limit| {
            ConnectionError::limit_exceeded("handles", limit, Place::at(Step::Connect))
        })?;
        // The pool bounds the attempt.
        let stream = network.connect(endpoint, None).await?;
        let handle = StreamObject::register(&runtime, stream, place);
        let object = Process::current().table().get(handle).map_err(|_: Failure| gone())?;
        object.lend(true);
        Ok(Made::Stream(PooledStream { handle: Some(handle), object }))
    }
}

impl Connector for Maker {
    type Connection = Made;

    fn abilities(&self) -> Abilities {
        match self {
            Self::Host { abilities, .. } => *abilities,
            Self::Network { .. } => Abilities { peeks: true, ..Abilities::default() },
        }
    }

    async fn connect(&self, endpoint: Option<&Address>) -> Result<Made, ConnectionError> {
        match (self, endpoint) {
            (Self::Host { host, .. }, _) => host.connect(0).await.map(Made::Host),
            (Self::Network { .. }, Some(endpoint)) => self.stream(endpoint).await,
            (Self::Network { .. }, None) => {
                Err(ConnectionError::invalid_config("addresses", "must name one at least"))
            }
        }
    }

    fn mark(&self, connection: &Made) -> u64 {
        connection.value()
    }

    fn is_broken(&self, connection: &Made) -> bool {
        match connection {
            Made::Host(_) => false,
            Made::Stream(stream) => !stream.object.is_quiet(),
        }
    }

    async fn check(&self, connection: &mut Made) -> Result<(), ConnectionError> {
        self.ask(JobKind::Check, connection).await
    }

    async fn reset(&self, connection: &mut Made) -> Result<(), ConnectionError> {
        self.ask(JobKind::Reset, connection).await
    }

    async fn close(&self, connection: Made, reason: PoolCloseReason) {
        match connection {
            Made::Host(resource) => resource.close(reason as u32).await,
            Made::Stream(stream) => drop(stream),
        }
    }
}

impl Maker {
    async fn ask(&self, what: JobKind, connection: &Made) -> Result<(), ConnectionError> {
        match (self, connection) {
            (Self::Host { host, .. }, Made::Host(resource)) => {
                host.ask(what, resource.number()).await.map(drop)
            }
            _ => Ok(()),
        }
    }
}
