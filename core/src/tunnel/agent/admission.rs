//! Where a connection that the host takes is counted.

use crate::{
    context::Protocol,
    error::ConnectionError,
    manager::Live,
    transport::{Admission, Stream},
    tunnel::memory::MemoryConnManager,
};
use std::sync::Arc;

/// Lists what the host takes: logical connections with the agent's own, ends of the way to the host by themselves, for
/// the logical connection behind each is counted already.
pub(super) struct Admitted {
    logical: Arc<Live>,
    comm: Option<Arc<Live>>,
}

impl Admitted {
    pub(super) fn new(logical: &Arc<Live>, comm: Option<&MemoryConnManager>) -> Self {
        Self { logical: Arc::clone(logical), comm: comm.map(MemoryConnManager::admission) }
    }
}

impl Admission for Admitted {
    fn admit(&self, stream: Stream) -> Result<Stream, ConnectionError> {
        match &self.comm {
            Some(comm) if stream.context().protocol != Protocol::Tunnel => comm.admit(stream),
            _ => self.logical.admit(stream),
        }
    }
}
