//! Room for one received batch, taken out datagram by datagram or train by train.

use super::{socket::Socket, train::Train};
use quinn_udp::RecvMeta;
use smallvec::SmallVec;
use std::{
    io::{self, IoSliceMut},
    net::{IpAddr, SocketAddr},
    ops::Range,
};

/// Bytes per place: more than any datagram has, or any train that the kernel puts together.
const PLACE: usize = 1 << 16;

/// A received batch. Its memory is touched as far as datagrams really filled it.
pub(crate) struct Inbox {
    bytes: Vec<u8>,
    metas: Vec<RecvMeta>,
    /// What was not taken out yet.
    left: Range<usize>,
    /// Bytes of the first of those that were taken out already.
    taken: usize,
}

/// From whom datagrams came, and which of the socket's addresses they were sent to.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Arrived {
    pub(crate) source: SocketAddr,
    /// Unknown where the system does not say.
    pub(crate) to: Option<IpAddr>,
}

impl Inbox {
    /// Room for a batch of `places` datagrams or trains.
    pub(crate) fn new(places: usize) -> Self {
        let metas = vec![RecvMeta::default(); places];
        Self { bytes: vec![0; places * PLACE], metas, left: 0..0, taken: 0 }
    }

    pub(crate) fn is_empty(&self) -> bool {
        self.left.is_empty()
    }

    /// Receives a batch in place of the last one.
    pub(crate) fn fill(&mut self, socket: &Socket) -> io::Result<()> {
        self.left = 0..0;
        self.taken = 0;
        let mut places: SmallVec<[_; 32]> =
            self.bytes.chunks_exact_mut(PLACE).map(IoSliceMut::new).collect();
        let count = socket.try_recv(&mut places, &mut self.metas)?;
        self.left = 0..count;
        Ok(())
    }

    /// The next datagram, or all that came with it from the same sender.
    pub(crate) fn next_train(&mut self) -> Option<(Arrived, Train<'_>)> {
        let place = self.left.next()?;
        let taken = std::mem::take(&mut self.taken);
        Some((arrived(&self.metas[place]), self.train(place, taken)))
    }

    /// The next datagram.
    pub(crate) fn next_datagram(&mut self) -> Option<(Arrived, &[u8])> {
        let place = self.left.start;
        if self.left.is_empty() {
            return None;
        }
        let (first, rest) = self.train(place, self.taken).split_first();
        let (start, length, is_last) = (place * PLACE + self.taken, first.len(), rest.is_none());
        if is_last {
            self.left.start += 1;
            self.taken = 0;
        } else {
            self.taken += length;
        }
        Some((arrived(&self.metas[place]), &self.bytes[start..start + length]))
    }

    fn train(&self, place: usize, taken: usize) -> Train<'_> {
        let meta = &self.metas[place];
        let bytes = &self.bytes[place * PLACE..place * PLACE + meta.len.min(PLACE)];
        Train::new(&bytes[taken..], meta.stride)
    }
}

/// IPv4 addresses in the form of IPv6 are told as what they are.
fn arrived(meta: &RecvMeta) -> Arrived {
    let source = match meta.addr {
        SocketAddr::V6(v6) => match v6.ip().to_ipv4_mapped() {
            Some(v4) => SocketAddr::new(v4.into(), v6.port()),
            None => meta.addr,
        },
        SocketAddr::V4(_) => meta.addr,
    };
    Arrived { source, to: meta.dst_ip.map(|ip| ip.to_canonical()) }
}

impl std::fmt::Debug for Inbox {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Inbox").field("left", &self.left.len()).finish_non_exhaustive()
    }
}
