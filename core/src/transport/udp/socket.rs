//! One UDP socket: batches in and out, with segmentation offload where the kernel and the device have it.

use super::train::Train;
use quinn_udp::{RecvMeta, Transmit, UdpSockRef, UdpSocketState};
use rustix::net::sockopt::{self, Ipv4PathMtuDiscovery};
use socket2::{Domain, Protocol, SockRef, Type};
use std::{
    io::{self, IoSliceMut},
    net::{IpAddr, Ipv4Addr, Ipv6Addr, SocketAddr, SocketAddrV6},
    sync::atomic::{AtomicUsize, Ordering},
};
use tokio::{io::Interest, net::UdpSocket};

/// Most bytes of one call that hands several datagrams over: what an IPv4 packet carries, with room for headers.
const LONGEST_TRAIN: usize = 65_000;

/// Whether a batch ends early only where nothing more is there, and whatever arrives after that wakes whoever waits.
const TELLS_OF_EACH_ARRIVAL: bool = cfg!(target_os = "linux");

/// Dropping it closes it.
#[derive(Debug)]
pub(crate) struct Socket {
    io: UdpSocket,
    state: UdpSocketState,
    local: SocketAddr,
    /// Where everything goes, if it is connected.
    peer: Option<SocketAddr>,
    /// Times that a send was told about an earlier datagram, since somebody asked.
    refused: AtomicUsize,
    #[cfg(test)]
    pub(super) refuses_offload: std::sync::atomic::AtomicBool,
}

/// A train that did not get away as a whole: how many of its datagrams did, and why not the next.
#[derive(Debug)]
pub(crate) struct Short {
    pub(crate) sent: usize,
    pub(crate) error: io::Error,
}

impl Socket {
    /// A socket that takes datagrams from anybody. The calling thread must be in the runtime's context.
    pub(crate) fn bind(address: SocketAddr) -> io::Result<Self> {
        let socket =
            socket2::Socket::new(Domain::for_address(address), Type::DGRAM, Some(Protocol::UDP))?;
        if address.is_ipv6() {
            socket.set_only_v6(!address.ip().is_unspecified())?;
        }
        socket.bind(&address.into())?;
        Self::new(socket, None)
    }

    /// A socket that talks to `peer` alone. The calling thread must be in the runtime's context.
    pub(crate) fn connected(peer: SocketAddr) -> io::Result<Self> {
        let own: IpAddr = match peer {
            SocketAddr::V4(_) => Ipv4Addr::UNSPECIFIED.into(),
            SocketAddr::V6(_) => Ipv6Addr::UNSPECIFIED.into(),
        };
        let socket =
            socket2::Socket::new(Domain::for_address(peer), Type::DGRAM, Some(Protocol::UDP))?;
        socket.bind(&SocketAddr::new(own, 0).into())?;
        socket.connect(&peer.into())?;
        Self::new(socket, Some(peer))
    }

    fn new(socket: socket2::Socket, peer: Option<SocketAddr>) -> io::Result<Self> {
        socket.set_nonblocking(true)?;
        let io = UdpSocket::from_std(socket.into())?;
        let state = UdpSocketState::new(UdpSockRef::from(&io))?;
        // The state forbids fragments, as QUIC wants it; other protocols count on them.
        #[cfg(target_os = "linux")]
        sockopt::set_ip_mtu_discover(&io, Ipv4PathMtuDiscovery::WANT)?;
        let local = io.local_addr()?;
        Ok(Self {
            io,
            state,
            local,
            peer,
            refused: AtomicUsize::new(0),
            #[cfg(test)]
            refuses_offload: false.into(),
        })
    }

    pub(crate) fn io(&self) -> &UdpSocket {
        &self.io
    }

    pub(crate) fn local(&self) -> SocketAddr {
        self.local
    }

    /// How often sends were told since the last call that nobody takes datagrams there. Receives tell it themselves.
    pub(crate) fn take_refused(&self) -> usize {
        match self.refused.load(Ordering::Relaxed) {
            0 => 0,
            _ => self.refused.swap(0, Ordering::Relaxed),
        }
    }

    /// Receives one batch: at most one datagram or train of one sender per buffer.
    ///
    /// # Errors
    ///
    /// `WouldBlock` while nothing is there. On a connected socket also what ICMP said about a datagram that was
    /// sent earlier, which says nothing about the next.
    pub(crate) fn try_recv(
        &self,
        buffers: &mut [IoSliceMut<'_>],
        metas: &mut [RecvMeta],
    ) -> io::Result<usize> {
        let places = buffers.len().min(quinn_udp::BATCH_SIZE);
        let mut rest = None;
        let receive = || {
            let count = self.state.recv(UdpSockRef::from(&self.io), buffers, metas)?;
            if !TELLS_OF_EACH_ARRIVAL || count == places {
                return Ok(count);
            }
            // There was nothing more, and what comes from now on is told anew: the runtime need not be asked once more to
            // learn it.
            rest = Some(count);
            Err(io::ErrorKind::WouldBlock.into())
        };
        let received = self.io.try_io(Interest::READABLE, receive);
        rest.map_or(received, Ok)
    }

    /// Sends the datagrams in order, from the address `from` where one is given. A connected socket sends to its
    /// peer.
    ///
    /// # Errors
    ///
    /// The first failure, with the number of datagrams before it: `WouldBlock` while the socket's buffer is full.
    pub(crate) fn try_send(
        &self,
        train: Train<'_>,
        to: SocketAddr,
        from: Option<IpAddr>,
    ) -> Result<(), Short> {
        let mut sent = 0;
        for chunk in train.chunks(self.state.max_gso_segments(), LONGEST_TRAIN) {
            match self.send_chunk(chunk, to, from) {
                Ok(()) => sent += chunk.len(),
                Err(error) if chunk.len() > 1 && !is_full(&error) => {
                    // The device, or the size of a segment, does not allow to hand them over at once.
                    for datagram in chunk.datagrams() {
                        self.send_chunk(Train::one(datagram), to, from)
                            .map_err(|error| Short { sent, error })?;
                        sent += 1;
                    }
                }
                Err(error) => return Err(Short { sent, error }),
            }
        }
        Ok(())
    }

    fn send_chunk(&self, chunk: Train<'_>, to: SocketAddr, from: Option<IpAddr>) -> io::Result<()> {
        match self.send_once(chunk, to, from) {
            // That is about an earlier datagram, and told once: this one was not sent.
            Err(error) if is_refused(&error) => {
                self.refused.fetch_add(1, Ordering::Relaxed);
                self.send_once(chunk, to, from)
            }
            answer => answer,
        }
    }

    fn send_once(&self, chunk: Train<'_>, to: SocketAddr, from: Option<IpAddr>) -> io::Result<()> {
        #[cfg(test)]
        if chunk.len() > 1 && self.refuses_offload.load(Ordering::Relaxed) {
            return Err(io::Error::from_raw_os_error(libc::EIO));
        }
        let is_plain = self.peer.is_some() && chunk.len() == 1;
        let transmit = Transmit {
            destination: self.peer.unwrap_or_else(|| self.reachable(to)),
            ecn: None,
            contents: chunk.bytes(),
            segment_size: (chunk.len() > 1).then_some(chunk.stride()),
            src_ip: from,
        };
        let send = || match is_plain {
            true => SockRef::from(&self.io).send(chunk.bytes()).map(drop),
            false => self.state.try_send(UdpSockRef::from(&self.io), &transmit),
        };
        match send() {
            // The runtime has to learn it, to tell when there is room. It is not asked first: of a new socket it
            // knows nothing yet.
            Err(error) if is_full(&error) => self.io.try_io(Interest::WRITABLE, send),
            answer => answer,
        }
    }

    /// The form of an address that a socket of this family sends to.
    fn reachable(&self, to: SocketAddr) -> SocketAddr {
        match (self.local, to) {
            (SocketAddr::V6(_), SocketAddr::V4(v4)) => {
                SocketAddrV6::new(v4.ip().to_ipv6_mapped(), v4.port(), 0, 0).into()
            }
            _ => to,
        }
    }
}

/// Whether the socket's send buffer has no room.
pub(super) fn is_full(error: &io::Error) -> bool {
    error.kind() == io::ErrorKind::WouldBlock
}

/// Whether ICMP said that nobody takes datagrams there.
pub(crate) fn is_refused(error: &io::Error) -> bool {
    matches!(
        error.raw_os_error(),
        Some(libc::ECONNREFUSED | libc::EHOSTUNREACH | libc::ENETUNREACH | libc::EHOSTDOWN)
    )
}
