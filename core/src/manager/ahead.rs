//! Reads the first bytes of a client before it is relayed: a PROXY header, and what it speaks.

use super::shared::clock;
use crate::{
    address::Address,
    config::{AcceptProxy, AcceptProxyConfig, ProbeConfig},
    error::ConnectionError,
    probe::{TcpProbedProtocol, Verdict},
    proxy_protocol::{Decoded, ProxyHeader},
    transport::Stream,
};
use std::{net::IpAddr, time::Instant};
use tokio::time::timeout_at;

/// How much is asked for at a time. A hello of today is shorter.
const CHUNK: usize = 4 << 10;

/// What was read of a client and belongs to its backend.
#[derive(Debug, Default)]
pub(super) struct Ahead {
    bytes: Vec<u8>,
    has_ended: bool,
}

/// Why a client is turned away before it reached a backend.
#[derive(Debug, thiserror::Error)]
pub(super) enum Refusal {
    /// It broke off.
    #[error("the client broke off")]
    Gone(#[source] ConnectionError),
    /// It comes from elsewhere, and speaks for others or should.
    #[error("a PROXY header from a source that is not trusted")]
    Untrusted,
    /// It should have said for whom it speaks, and did not in time.
    #[error("no PROXY header")]
    NoHeader,
    /// Its header has a mistake in it.
    #[error("a malformed PROXY header: {0}")]
    Malformed(&'static str),
}

impl Ahead {
    /// What the backend is owed.
    pub(super) fn into_bytes(self) -> Vec<u8> {
        self.bytes
    }

    /// Takes the header of a proxy in front, where one is to be taken.
    pub(super) async fn header(
        &mut self,
        client: &Stream,
        config: &AcceptProxyConfig,
    ) -> Result<Option<ProxyHeader>, Refusal> {
        let is_trusted = is_trusted(client.context().source.as_ref(), config);
        match config.mode {
            AcceptProxy::Off => return Ok(None),
            AcceptProxy::Required if !is_trusted => return Err(Refusal::Untrusted),
            AcceptProxy::Required | AcceptProxy::Optional => {}
        }
        let deadline = clock() + config.timeout;
        loop {
            match ProxyHeader::decode(&self.bytes) {
                Decoded::NeedMore => {}
                Decoded::Header(..) | Decoded::Malformed(_) if !is_trusted => {
                    return Err(Refusal::Untrusted);
                }
                Decoded::Header(header, length) => {
                    self.bytes.drain(..length);
                    return Ok(Some(header));
                }
                Decoded::Malformed(reason) => return Err(Refusal::Malformed(reason)),
                Decoded::Absent => return without(config.mode),
            }
            if !self.more(client, deadline, usize::MAX).await? {
                return without(config.mode);
            }
        }
    }

    /// Tells what the client speaks; `None` for what is not told in time, within the bytes, or at all.
    pub(super) async fn protocol(
        &mut self,
        client: &Stream,
        config: &ProbeConfig,
    ) -> Result<Option<TcpProbedProtocol>, Refusal> {
        let deadline = clock() + config.timeout;
        let max_bytes = config.max_bytes as usize;
        loop {
            match TcpProbedProtocol::probe(&self.bytes) {
                Verdict::Is(protocol) => return Ok(Some(protocol)),
                Verdict::Unknown => return Ok(None),
                Verdict::NeedMore => {}
            }
            if !self.more(client, deadline, max_bytes).await? {
                return Ok(None);
            }
        }
    }

    /// Reads what comes next; false once the deadline, the end or `max_bytes` is reached. The deadline is for
    /// all reads together: a client cannot extend it by sending slowly.
    async fn more(
        &mut self,
        client: &Stream,
        deadline: Instant,
        max_bytes: usize,
    ) -> Result<bool, Refusal> {
        let room = max_bytes.saturating_sub(self.bytes.len()).min(CHUNK);
        if self.has_ended || room == 0 {
            return Ok(false);
        }
        let mut chunk = [0; CHUNK];
        let Ok(read) = timeout_at(deadline.into(), client.read(&mut chunk[..room])).await else {
            return Ok(false);
        };
        let n = read.map_err(Refusal::Gone)?;
        self.bytes.extend_from_slice(&chunk[..n]);
        self.has_ended = n == 0;
        Ok(n > 0)
    }
}

fn without(mode: AcceptProxy) -> Result<Option<ProxyHeader>, Refusal> {
    match mode {
        AcceptProxy::Required => Err(Refusal::NoHeader),
        AcceptProxy::Off | AcceptProxy::Optional => Ok(None),
    }
}

/// Whether the client may say for whom it speaks.
pub(super) fn may_announce(client: &Stream, config: &AcceptProxyConfig) -> bool {
    config.mode != AcceptProxy::Off && is_trusted(client.context().source.as_ref(), config)
}

/// Who is not on the network is on this machine, where the permissions of the socket decide.
fn is_trusted(source: Option<&Address>, config: &AcceptProxyConfig) -> bool {
    match host(source) {
        Some(ip) => config.trusted.iter().any(|prefix| prefix.contains(ip)),
        None => true,
    }
}

/// The IP address of an end, where it has one.
pub(super) fn host(end: Option<&Address>) -> Option<IpAddr> {
    end.and_then(Address::socket_addr).map(|end| end.ip().to_canonical())
}
