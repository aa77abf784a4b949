//! One connection between an agent and its host.

use super::{Path, stats::Standing};
use crate::{
    context::Protocol,
    transport::{Stream, Transport},
};

/// A connection between an agent and its host. Dropped before the host has its end, it is as if it had never been.
#[derive(Debug)]
pub(in crate::tunnel) struct MemoryConnection {
    pub(super) path: Path,
    pub(super) client: Stream,
    pub(super) server: Box<dyn Transport>,
    pub(super) standing: Standing,
}

/// The agent's end, for the time that it is relayed.
#[derive(Debug)]
pub(in crate::tunnel) struct NearEnd {
    pub(in crate::tunnel) stream: Stream,
    _standing: Standing,
}

/// The host's end.
#[derive(Debug)]
pub(in crate::tunnel) struct FarEnd {
    pub(in crate::tunnel) transport: Box<dyn Transport>,
    pub(in crate::tunnel) protocol: Protocol,
}

impl MemoryConnection {
    /// Parts the ends.
    pub(in crate::tunnel) fn into_ends(self) -> (NearEnd, FarEnd) {
        let Self { path, client, server, standing } = self;
        let far = FarEnd { transport: server, protocol: path.protocol() };
        (NearEnd { stream: client, _standing: standing }, far)
    }
}
