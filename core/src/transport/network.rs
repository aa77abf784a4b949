//! The way in: what connecting and listening need, and listening on an address; `dial` connects to one.

use super::{
    Accept, Admission, Datagram, Listener, Stream, Transport, is_out_of_files, out_of_files,
    pipe::Names,
    tcp,
    tls::{self, TlsListener},
    udp, unix,
};
use crate::{
    address::Address,
    budget::Budget,
    config::{ClientAuth, PipeConfig, TcpConfig, TlsConfig},
    context::{ConnectionContext, ConnectionId, Direction, Protocol},
    error::{ConnectionError, Place, Step},
    events::Events,
    identity::Tls,
    metrics::{ConnectionMetrics, Metrics},
};
use std::{future::Future, io, net::SocketAddr, sync::Arc, time::Instant};
use tokio::{runtime::Handle, sync::OnceCell};

/// What connecting and listening need from the process: the runtime, and where counts, events and
/// `mem:` names live. Cheap to clone; every clone is the same network.
#[derive(Clone, Debug)]
pub struct Network {
    runtime: Handle,
    metrics: Metrics,
    events: Events,
    names: Names,
    tls: Secured,
}

/// The TLS of `tls://` addresses.
#[derive(Clone, Debug)]
enum Secured {
    By(Tls),
    /// Nobody said how: connecting trusts whom the system trusts, who is looked up when first needed.
    Default(Arc<OnceCell<Tls>>),
}

/// How to dial: the socket options of TCP and the size of a pipe.
#[derive(Clone, Debug, Default)]
pub struct ConnectOptions {
    /// For `tcp://` addresses.
    pub tcp: TcpConfig,
    /// For `mem:` addresses: the pipe is made by the side that connects.
    pub pipe: PipeConfig,
    /// For `tls://` addresses: application protocols in place of those of the TLS configuration, the preferred one first.
    pub alpn: Option<Vec<String>>,
}

/// How to listen.
#[derive(Clone, Debug, Default)]
pub struct ListenOptions {
    /// Socket options of what is accepted, and the backlog of every kind of listener.
    pub tcp: TcpConfig,
    /// Takes a permit before each accept; excess waits in the backlog. `None` limits nothing.
    pub budget: Option<Budget>,
    /// For `tls://` addresses: application protocols in place of those of the TLS configuration, the preferred one first.
    pub alpn: Option<Vec<String>>,
}

impl Network {
    /// A network of its own: new metrics, new events, no names.
    pub fn new(runtime: Handle) -> Self {
        Self {
            runtime,
            metrics: Metrics::new(),
            events: Events::default(),
            names: Names::default(),
            tls: Secured::Default(Arc::default()),
        }
    }

    /// Shares the `mem:` names of another network.
    #[must_use]
    pub fn with_names(mut self, names: Names) -> Self {
        self.names = names;
        self
    }

    /// Puts a TLS configuration to use, for [`with_tls`](Self::with_tls); its files are read in the calling thread.
    ///
    /// # Errors
    ///
    /// As [`Tls::new`].
    pub fn tls(&self, config: TlsConfig) -> Result<Tls, ConnectionError> {
        Tls::new(config, &self.runtime, self.events.clone())
    }

    /// The same network, where `tls` secures what goes to and comes from `tls://` addresses. Without it, connecting
    /// trusts the certificates that the system trusts, and listening on such an address is refused.
    #[must_use]
    pub fn with_tls(mut self, tls: Tls) -> Self {
        self.tls = Secured::By(tls);
        self
    }

    /// The TLS that was chosen for it.
    pub(crate) fn own_tls(&self) -> Option<&Tls> {
        match &self.tls {
            Secured::By(tls) => Some(tls),
            Secured::Default(_) => None,
        }
    }

    pub(super) async fn client_tls(&self) -> Result<Tls, ConnectionError> {
        match &self.tls {
            Secured::By(tls) => Ok(tls.clone()),
            Secured::Default(cell) => {
                let network = self.clone();
                // Some hundred files, perhaps.
                let read =
                    || self.runtime.spawn_blocking(move || network.tls(TlsConfig::default()));
                let made = cell.get_or_try_init(|| async {
                    read().await.unwrap_or_else(|_| Err(ConnectionError::closed(Step::Connect)))
                });
                made.await.cloned()
            }
        }
    }

    fn server_tls(&self) -> Result<Tls, ConnectionError> {
        match &self.tls {
            Secured::By(tls) => Ok(tls.clone()),
            Secured::Default(_) => Err(ConnectionError::invalid_config(
                "tls.server",
                "must be given to listen on a tls:// address",
            )),
        }
    }

    /// Whether listeners on `tls://` addresses ask clients who they are.
    pub(crate) fn asks_clients(&self) -> bool {
        let Secured::By(tls) = &self.tls else { return false };
        tls.config().server.as_ref().is_some_and(|server| server.client_auth != ClientAuth::Off)
    }

    /// The runtime that everything made here runs on.
    pub fn runtime(&self) -> &Handle {
        &self.runtime
    }

    /// The registry that everything made here counts in.
    pub fn metrics(&self) -> &Metrics {
        &self.metrics
    }

    /// The ring that everything made here records its life in.
    pub fn events(&self) -> &Events {
        &self.events
    }

    /// The in-memory listeners of this network.
    pub fn names(&self) -> &Names {
        &self.names
    }

    /// Puts a transport of the caller's own under management: counted, listed in events, closed once.
    #[expect(clippy::disallowed_methods, reason = "a connection's life begins when it stands")]
    pub fn stream(
        &self,
        protocol: Protocol,
        direction: Direction,
        transport: Box<dyn Transport>,
        source: Option<Address>,
        destination: Option<Address>,
    ) -> Stream {
        let context = ConnectionContext {
            id: ConnectionId::next(),
            protocol,
            direction,
            source,
            destination,
            created: Instant::now(),
        };
        let metrics = ConnectionMetrics::open(&self.metrics, &context);
        Stream::new(transport, context, metrics, self.events.clone())
    }

    /// Both ends of a new pipe that has no name.
    ///
    /// # Errors
    ///
    /// [`ConnectionError::InvalidConfig`] for a capacity out of range.
    pub fn pipe(&self, config: &PipeConfig) -> Result<(Stream, Stream), ConnectionError> {
        let (a, b) = super::pipe::pair(config)?;
        let dialled = self.stream(Protocol::Pipe, Direction::Dialled, Box::new(a), None, None);
        let accepted = self.stream(Protocol::Pipe, Direction::Accepted, Box::new(b), None, None);
        Ok((dialled, accepted))
    }

    /// Listens with the default options and without a limit.
    ///
    /// # Errors
    ///
    /// As [`listen_with`](Self::listen_with).
    pub async fn listen(&self, address: &Address) -> Result<Listener, ConnectionError> {
        self.listen_with(address, &ListenOptions::default()).await
    }

    /// Listens on `address`; port 0 means a free port, told by [`Listener::address`].
    ///
    /// A Unix socket file gets mode 0600 and goes away with the listener. On an abstract name only
    /// processes of the same user are let in. A host name is looked up and its first address taken.
    ///
    /// # Errors
    ///
    /// [`ConnectionError::BindFailed`] if the address is taken, not local or not permitted.
    pub async fn listen_with(
        &self,
        address: &Address,
        options: &ListenOptions,
    ) -> Result<Listener, ConnectionError> {
        self.listen_admitting(address, options, None).await
    }

    /// As [`listen_with`](Self::listen_with); `admission` is shown what is accepted.
    pub(crate) async fn listen_admitting(
        &self,
        address: &Address,
        options: &ListenOptions,
        admission: Option<Arc<dyn Admission>>,
    ) -> Result<Listener, ConnectionError> {
        let listener = |bound, protocol, source: Box<dyn Accept>| {
            let sinks = (self.metrics.clone(), self.events.clone());
            // A listener of TLS takes permits itself, before the handshakes.
            let budget = options.budget.clone().filter(|_| protocol != Protocol::Tls);
            Listener::new((bound, protocol), source, sinks, budget, admission)
        };
        let failed = |step| {
            move |cause: io::Error| ConnectionError::BindFailed {
                at: Place::at(step).to(Some(address.clone())).because(cause),
            }
        };
        match address {
            Address::Tcp(literal) => {
                let (bound, socket) =
                    self.bind_tcp(*literal, options).map_err(failed(Step::Bind))?;
                Ok(listener(bound, Protocol::Tcp, Box::new(socket)))
            }
            Address::TcpName { host, port } => {
                let found = tcp::resolve(host, *port).await.map_err(failed(Step::Resolve))?;
                let (bound, socket) =
                    self.bind_tcp(found[0], options).map_err(failed(Step::Bind))?;
                Ok(listener(bound, Protocol::Tcp, Box::new(socket)))
            }
            Address::Tls(literal) => {
                let (bound, source) = self.bind_tls(*literal, address, options)?;
                Ok(listener(bound, Protocol::Tls, Box::new(source)))
            }
            Address::TlsName { host, port } => {
                let found = tcp::resolve(host, *port).await.map_err(failed(Step::Resolve))?;
                let (bound, source) = self.bind_tls(found[0], address, options)?;
                Ok(listener(bound, Protocol::Tls, Box::new(source)))
            }
            Address::Unix(_) | Address::Abstract(_) => {
                let _entered = self.runtime.enter();
                let socket =
                    unix::listen(address, options.tcp.backlog).map_err(failed(Step::Bind))?;
                Ok(listener(address.clone(), Protocol::Unix, Box::new(socket)))
            }
            Address::Mem(name) => {
                let source = self.names.listen(name, options.tcp.backlog)?;
                Ok(listener(address.clone(), Protocol::Pipe, Box::new(source)))
            }
            Address::Udp(_) | Address::UdpName { .. } => Err(no_stream()),
            Address::Tunnel(_) => Err(needs_hub("address")),
        }
    }

    /// Binds a socket for datagrams to `address`; port 0 means a free port, told by [`Datagram::address`].
    ///
    /// A host name is looked up and its first address taken. Bound to the unspecified address of IPv6 it
    /// takes IPv4 as well.
    ///
    /// # Errors
    ///
    /// [`ConnectionError::BindFailed`] if the address is taken, not local or not permitted,
    /// [`ConnectionError::LimitExceeded`] if the process may open no more files,
    /// [`ConnectionError::InvalidConfig`] for an address that is not one of UDP.
    ///
    /// # Cancel safety
    ///
    /// Dropping the future leaves nothing behind.
    pub async fn bind(&self, address: &Address) -> Result<Datagram, ConnectionError> {
        let failed = |step| {
            move |cause: io::Error| {
                let at = Place::at(step).to(Some(address.clone()));
                if is_out_of_files(&cause) {
                    return out_of_files(cause, at);
                }
                ConnectionError::BindFailed { at: at.because(cause) }
            }
        };
        let literal = match address {
            Address::Udp(literal) => *literal,
            Address::UdpName { host, port } => {
                tcp::resolve(host, *port).await.map_err(failed(Step::Resolve))?[0]
            }
            Address::Tcp(_)
            | Address::TcpName { .. }
            | Address::Tls(_)
            | Address::TlsName { .. }
            | Address::Unix(_)
            | Address::Abstract(_)
            | Address::Mem(_)
            | Address::Tunnel(_) => {
                return Err(ConnectionError::invalid_config(
                    "address",
                    "datagrams are bound to udp://host:port",
                ));
            }
        };
        let _entered = self.runtime.enter();
        let socket = udp::Socket::bind(literal).map_err(failed(Step::Bind))?;
        Ok(Datagram::new(socket, &self.metrics))
    }

    fn bind_tls(
        &self,
        literal: SocketAddr,
        address: &Address,
        options: &ListenOptions,
    ) -> Result<(Address, TlsListener), ConnectionError> {
        let tls = self.server_tls()?;
        let (bound, socket) = self.bind_tcp(literal, options).map_err(|cause| {
            let at = Place::at(Step::Bind).to(Some(address.clone())).because(cause);
            ConnectionError::BindFailed { at }
        })?;
        let bound = bound.with_tls();
        let surroundings = tls::Surroundings {
            address: bound.clone(),
            budget: options.budget.clone(),
            events: self.events.clone(),
            terms: tls::Terms::new(&tls, &self.runtime, options.alpn.as_deref()),
        };
        Ok((bound, TlsListener::new(Box::new(socket), tls, surroundings)?))
    }

    /// A listener whose connections come from a source of another kind than sockets and names.
    pub(crate) fn listener(
        &self,
        (address, protocol): (Address, Protocol),
        source: Box<dyn Accept>,
        admission: Arc<dyn Admission>,
    ) -> Listener {
        let sinks = (self.metrics.clone(), self.events.clone());
        Listener::new((address, protocol), source, sinks, None, Some(admission))
    }

    fn bind_tcp(
        &self,
        address: SocketAddr,
        options: &ListenOptions,
    ) -> io::Result<(Address, impl Accept + use<>)> {
        let _entered = self.runtime.enter();
        let (bound, socket) = tcp::listen(address, &options.tcp)?;
        Ok((bound.into(), socket))
    }

    /// Starts a task on this network's runtime.
    pub fn spawn<F>(&self, task: F) -> tokio::task::JoinHandle<F::Output>
    where
        F: Future + Send + 'static,
        F::Output: Send + 'static,
    {
        self.runtime.spawn(task)
    }
}

pub(super) fn no_stream() -> ConnectionError {
    ConnectionError::invalid_config("address", "UDP carries datagrams and no stream: bind it")
}

/// A tunnel's address names no place that a network reaches by itself.
pub(crate) fn needs_hub(field: &'static str) -> ConnectionError {
    ConnectionError::invalid_config(field, "a tunnel's agents are dialled through a hub")
}
