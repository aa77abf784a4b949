//! Connecting to an address, whatever carries the bytes, in time, and secured where it is to be.

use super::{
    ConnectOptions, Network, Stream, Transport, is_out_of_files,
    network::{needs_hub, no_stream},
    out_of_files, tcp, tls, unix,
};
use crate::{
    address::Address,
    config::TcpConfig,
    context::{Direction, Protocol},
    error::{ConnectionError, Place, Step},
    identity::Tls,
};
use std::{
    error::Error,
    future::Future,
    io,
    net::{IpAddr, SocketAddr},
    time::{Duration, Instant},
};
use tracing::Instrument;

/// How a connection is secured that says more than its address does.
#[derive(Clone, Debug, Default)]
pub(crate) struct Securing {
    /// `None` means that of the network.
    pub(crate) tls: Option<Tls>,
    /// Whom the server's certificate must be for, unless the configuration says so; `None` means the address's host.
    pub(crate) host: Option<Box<str>>,
}

/// What was reached, before it is a stream.
struct Reached {
    protocol: Protocol,
    transport: Box<dyn Transport>,
    source: Option<Address>,
    destination: Address,
}

impl Reached {
    fn by_tcp(tcp: tokio::net::TcpStream, address: &Address) -> Self {
        Self {
            protocol: Protocol::Tcp,
            source: tcp.local_addr().ok().map(Address::from),
            destination: tcp.peer_addr().map_or_else(|_| address.clone(), Address::from),
            transport: Box::new(tcp),
        }
    }
}

impl Network {
    /// Connects with the default options.
    ///
    /// # Errors
    ///
    /// As [`connect_with`](Self::connect_with).
    ///
    /// # Cancel safety
    ///
    /// Dropping the future ends the attempt and closes its sockets.
    pub async fn connect(
        &self,
        address: &Address,
        deadline: Option<Instant>,
    ) -> Result<Stream, ConnectionError> {
        self.connect_with(address, deadline, &ConnectOptions::default()).await
    }

    /// Connects to `address` until `deadline`, or for the config's connect timeout where there is none.
    ///
    /// A host name may have several addresses: they are tried in turn, each begun when the one
    /// before failed or took longer than the stagger, and the first that answers wins.
    ///
    /// # Errors
    ///
    /// [`ConnectionError::ConnectionFailed`] if the name is unknown or nobody listens,
    /// [`ConnectionError::Timeout`] once the deadline has passed,
    /// [`ConnectionError::LimitExceeded`] if the process may open no more files,
    /// [`ConnectionError::InvalidConfig`] for port 0.
    ///
    /// # Cancel safety
    ///
    /// Dropping the future ends the attempt and closes its sockets.
    pub async fn connect_with(
        &self,
        address: &Address,
        deadline: Option<Instant>,
        options: &ConnectOptions,
    ) -> Result<Stream, ConnectionError> {
        let timeout = options.tcp.connect_timeout;
        in_time(address, deadline, timeout, self.dial(address, options)).await
    }

    /// As [`connect_with`](Self::connect_with), with TLS over whatever leads to `address`, as `securing` says.
    pub(crate) async fn connect_secured(
        &self,
        address: &Address,
        deadline: Option<Instant>,
        options: &ConnectOptions,
        securing: &Securing,
    ) -> Result<Stream, ConnectionError> {
        let dial = async {
            let reached = self.reach(address, options).await?;
            self.secure(reached, address, options, securing).await
        };
        in_time(address, deadline, options.tcp.connect_timeout, dial).await
    }

    /// As [`connect_with`](Self::connect_with) to TCP, but only to those socket addresses that `admits` lets
    /// through after the name was looked up: what was checked is what is dialled.
    pub(crate) async fn connect_checked(
        &self,
        address: &Address,
        deadline: Instant,
        config: &TcpConfig,
        admits: impl Fn(SocketAddr) -> bool,
    ) -> Result<Stream, ConnectionError> {
        let place = |step| Place::at(step).to(Some(address.clone()));
        let dial = async {
            let mut found = match address {
                Address::Tcp(literal) => vec![*literal],
                Address::TcpName { host, port } => tcp::resolve(host, *port)
                    .await
                    .map_err(|error| connect_failure(error, place(Step::Resolve)))?,
                Address::Tls(_)
                | Address::TlsName { .. }
                | Address::Udp(_)
                | Address::UdpName { .. }
                | Address::Unix(_)
                | Address::Abstract(_)
                | Address::Mem(_)
                | Address::Tunnel(_) => Vec::new(),
            };
            found.retain(|found| admits(*found));
            if found.is_empty() {
                let cause = io::Error::from_raw_os_error(libc::EACCES);
                let at = place(Step::Connect).because(cause);
                return Err(ConnectionError::ConnectionFailed { at });
            }
            let tcp = tcp::connect(found, config).await;
            let tcp = tcp.map_err(|error| connect_failure(error, place(Step::Connect)))?;
            Ok(self.dialled(Reached::by_tcp(tcp, address)))
        };
        let answer = tokio::time::timeout_at(deadline.into(), dial).await;
        answer.unwrap_or_else(|_| Err(ConnectionError::timeout(None, place(Step::Connect))))
    }

    async fn dial(
        &self,
        address: &Address,
        options: &ConnectOptions,
    ) -> Result<Stream, ConnectionError> {
        let reached = self.reach(address, options).await?;
        match address {
            Address::Tls(_) | Address::TlsName { .. } => {
                self.secure(reached, address, options, &Securing::default()).await
            }
            Address::Tcp(_)
            | Address::TcpName { .. }
            | Address::Udp(_)
            | Address::UdpName { .. }
            | Address::Unix(_)
            | Address::Abstract(_)
            | Address::Mem(_)
            | Address::Tunnel(_) => Ok(self.dialled(reached)),
        }
    }

    /// What carries the bytes to `address`, below TLS.
    async fn reach(
        &self,
        address: &Address,
        options: &ConnectOptions,
    ) -> Result<Reached, ConnectionError> {
        let failed = |step| {
            move |error: io::Error| {
                connect_failure(error, Place::at(step).to(Some(address.clone())))
            }
        };
        let plain = |protocol, transport| Reached {
            protocol,
            transport,
            source: None,
            destination: address.clone(),
        };
        match address {
            Address::Tcp(literal) | Address::Tls(literal) => {
                check_port(literal.port())?;
                let tcp = tcp::connect(vec![*literal], &options.tcp);
                Ok(Reached::by_tcp(tcp.await.map_err(failed(Step::Connect))?, address))
            }
            Address::TcpName { host, port } | Address::TlsName { host, port } => {
                check_port(*port)?;
                let found = tcp::resolve(host, *port).await.map_err(failed(Step::Resolve))?;
                let tcp = tcp::connect(found, &options.tcp);
                Ok(Reached::by_tcp(tcp.await.map_err(failed(Step::Connect))?, address))
            }
            Address::Unix(_) | Address::Abstract(_) => {
                let unix = unix::connect(address).await.map_err(failed(Step::Connect))?;
                Ok(plain(Protocol::Unix, Box::new(unix)))
            }
            Address::Mem(name) => {
                let pipe = self.names().connect(name, &options.pipe).await?;
                Ok(plain(Protocol::Pipe, Box::new(pipe)))
            }
            Address::Udp(_) | Address::UdpName { .. } => Err(no_stream()),
            Address::Tunnel(_) => Err(needs_hub("address")),
        }
    }

    /// Takes the handshake of TLS over what leads to `address`.
    async fn secure(
        &self,
        reached: Reached,
        address: &Address,
        options: &ConnectOptions,
        securing: &Securing,
    ) -> Result<Stream, ConnectionError> {
        let tls = match &securing.tls {
            Some(tls) => tls.clone(),
            None => self.client_tls().await?,
        };
        let terms = tls::Terms::new(&tls, self.runtime(), options.alpn.as_deref());
        let host = securing.host.as_deref();
        let transport = tls::connect(reached.transport, address, host, &tls, terms).await?;
        let source = reached.source.map(Address::with_tls);
        let destination = reached.destination.with_tls();
        Ok(self.dialled(Reached { protocol: Protocol::Tls, transport, source, destination }))
    }

    fn dialled(&self, reached: Reached) -> Stream {
        let Reached { protocol, transport, source, destination } = reached;
        self.stream(protocol, Direction::Dialled, transport, source, Some(destination))
    }
}

/// What `dial` comes to until `deadline`, or within `timeout` where there is none.
#[expect(clippy::disallowed_methods, reason = "a timeout is counted from the call")]
async fn in_time(
    address: &Address,
    deadline: Option<Instant>,
    timeout: Duration,
    dial: impl Future<Output = Result<Stream, ConnectionError>>,
) -> Result<Stream, ConnectionError> {
    let started = Instant::now();
    let deadline = deadline.unwrap_or(started + timeout);
    let span = tracing::debug_span!("connect", destination = %address);
    let dial = dial.instrument(span.clone());
    let answer = tokio::time::timeout_at(deadline.into(), dial).await.unwrap_or_else(|_| {
        let at = Place::at(Step::Connect).to(Some(address.clone()));
        Err(ConnectionError::timeout(Some(started.elapsed()), at))
    });
    if let Err(error) = &answer {
        tracing::debug!(parent: &span, error = error as &dyn Error, "connect failed");
    }
    answer
}

/// Looks `host` up, once, by the system's resolver, which tells no TTL; `port` is told in errors.
///
/// # Errors
///
/// [`ConnectionError::Timeout`] at `give_up_at`; [`ConnectionError::ConnectionFailed`] if it is not known or has no address.
///
/// # Cancel safety
///
/// Dropping the future leaves the system's answer unread.
pub(crate) async fn look_up(
    host: &str,
    port: u16,
    give_up_at: Instant,
) -> Result<Vec<IpAddr>, ConnectionError> {
    let at = || Place::at(Step::Resolve).to(Some(Address::TcpName { host: host.into(), port }));
    match tokio::time::timeout_at(give_up_at.into(), tcp::resolve(host, port)).await {
        Err(_) => Err(ConnectionError::timeout(None, at())),
        Ok(Err(error)) => Err(ConnectionError::ConnectionFailed { at: at().because(error) }),
        Ok(Ok(found)) => Ok(found.into_iter().map(|found| found.ip()).collect()),
    }
}

fn check_port(port: u16) -> Result<(), ConnectionError> {
    if port == 0 {
        return Err(ConnectionError::invalid_config(
            "address",
            "the port to connect to is 1 to 65535",
        ));
    }
    Ok(())
}

/// What a failed attempt to reach a destination means.
pub(crate) fn connect_failure(error: io::Error, at: Place) -> ConnectionError {
    if is_out_of_files(&error) {
        return out_of_files(error, at);
    }
    match error.kind() {
        io::ErrorKind::TimedOut => ConnectionError::timeout(None, at.because(error)),
        _ => ConnectionError::ConnectionFailed { at: at.because(error) },
    }
}
