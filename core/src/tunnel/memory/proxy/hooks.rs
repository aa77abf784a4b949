//! What a host says of a memory proxy's requests: where they go, whether and how they may, and who the proxy is.

use crate::{
    address::Address,
    config::{TlsCertificate, check_proxy_target},
    context::ConnectionId,
    error::ConnectionError,
};
use http::{HeaderMap, HeaderName, HeaderValue, Method, StatusCode, Uri, uri::Authority};
use std::{fmt, future::Future, pin::Pin, sync::Arc, time::Duration};

/// What a hook answers, in its time.
pub type Answering<T> = Pin<Box<dyn Future<Output = Result<T, ConnectionError>> + Send>>;

/// Says where requests go, before the routes of the configuration.
///
/// Like the other two hooks it is asked any number of times at once. The future runs as a task, which is aborted
/// when its time is up or whoever asks is gone. An error and a panic are a 500, no answer in time is a 504, and as many
/// questions as may wait are a 503; nothing of the request goes anywhere then.
pub trait Router: fmt::Debug + Send + Sync {
    /// Says where `request` goes.
    fn route(self: Arc<Self>, request: Arc<ProxyRequest>) -> Answering<Routed>;
}

/// Says whether a request may go where it leads, and with which fields.
pub trait RequestProcessor: fmt::Debug + Send + Sync {
    /// Says what becomes of `request`, which would go to `target`.
    fn process(
        self: Arc<Self>,
        request: Arc<ProxyRequest>,
        target: Arc<ProxyTarget>,
    ) -> Answering<Processed>;
}

/// Says which certificate is shown to a client of TLS.
pub trait CertificateProvider: fmt::Debug + Send + Sync {
    /// Says what is shown to who asks for `server_name`, which is in lower case; `None` where it asks for none. An error, a
    /// panic and no answer end the handshake.
    fn certificate(self: Arc<Self>, hello: Arc<ProxyHello>) -> Answering<CertificateChoice>;
}

/// The hooks of a memory proxy. What is `None` is as the configuration says.
#[derive(Clone, Debug, Default)]
pub struct ProxyHooks {
    /// Where requests go. Default: as the configuration's `routes` and `routing` say.
    pub router: Option<Arc<dyn Router>>,
    /// Whether they may, and with which fields. Default: as they are.
    pub processor: Option<Arc<dyn RequestProcessor>>,
    /// Who the proxy is to a client of TLS. Default: as the network's TLS says.
    pub certificates: Option<Arc<dyn CertificateProvider>>,
}

/// A request, as a service would see it but for what a hook says: what belongs to one hop, and what its client claims to
/// know of others, is taken out.
#[non_exhaustive]
#[derive(Clone, Debug)]
pub struct ProxyRequest {
    /// The number of the connection that it came over.
    pub connection: ConnectionId,
    /// Who is at the other end of it, where that has a name.
    pub source: Option<Address>,
    /// The name that the client of TLS asked for.
    pub server_name: Option<Box<str>>,
    /// Whether it came over TLS.
    pub is_secured: bool,
    /// Its method.
    pub method: Method,
    /// Its host, in lower case and without a port.
    pub host: Option<Box<str>>,
    /// Its path, byte for byte as it was asked for.
    pub path: Box<str>,
    /// What follows the `?`.
    pub query: Option<Box<str>>,
    /// Its fields.
    pub headers: HeaderMap,
    /// Time for an answer, from when it is asked for.
    pub timeout: Duration,
}

/// The beginning of TLS.
#[non_exhaustive]
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ProxyHello {
    /// The number of the connection.
    pub connection: ConnectionId,
    /// Who is at the other end of it, where that has a name.
    pub source: Option<Address>,
    /// The name that is asked for, in lower case.
    pub server_name: Option<Box<str>>,
    /// The protocols that the client offers to speak inside, best first.
    pub alpn: Vec<Box<str>>,
    /// Time for an answer, from when it is asked for.
    pub timeout: Duration,
}

/// A service.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ProxyTarget {
    /// Where it is.
    pub address: Address,
    /// The path and the query that it sees. Default: those of the request.
    pub path: Option<Box<str>>,
    /// The host that it sees. Default: that of the request.
    pub host: Option<Box<str>>,
}

impl ProxyTarget {
    /// The service at `address`, which sees path and host of the request.
    pub fn new(address: Address) -> Self {
        Self { address, path: None, host: None }
    }

    /// Whether a request can go there.
    ///
    /// # Errors
    ///
    /// [`ConnectionError::InvalidConfig`] for an address that no stream leads to, a path that does not begin with `/`, and
    /// what can be no path or host of a request.
    pub fn check(&self) -> Result<(), ConnectionError> {
        check_proxy_target("target", &self.address)?;
        let is_path = |path: &str| path.starts_with('/') && path.parse::<Uri>().is_ok();
        if !self.path.as_deref().is_none_or(is_path) {
            return Err(ConnectionError::invalid_config("path", "must be a path from / on"));
        }
        let is_host =
            |host: &str| host.parse::<Authority>().is_ok_and(|host| !host.as_str().contains('@'));
        if !self.host.as_deref().is_none_or(is_host) {
            return Err(ConnectionError::invalid_config("host", "must be a host of a request"));
        }
        Ok(())
    }
}

/// Where a request goes.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Routed {
    /// Where the configuration says.
    Default,
    /// To this service.
    To(ProxyTarget),
    /// Nowhere.
    Refuse(ProxyRefusal),
}

/// What becomes of a request.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Processed {
    /// It goes on, with these changes.
    Pass(FieldChanges),
    /// It does not.
    Refuse(ProxyRefusal),
}

/// An answer in place of a service's.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ProxyRefusal {
    /// Its status, from 400 to 599; any other is taken for 500.
    pub status: StatusCode,
    /// Its body, one line.
    pub text: Box<str>,
}

/// What a [`RequestProcessor`] changes of a request's fields: first some are taken out, then others are set. Fields that
/// say where a message goes or ends, or belong to one hop, cannot be changed.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct FieldChanges {
    /// Fields that are taken out.
    pub remove: Vec<HeaderName>,
    /// Fields that are set, in place of all of that name; several with one name are all set.
    pub set: Vec<(HeaderName, HeaderValue)>,
}

/// Fields that say where a message goes or ends, or belong to one hop.
const FIXED: [&str; 10] = [
    "connection",
    "content-length",
    "expect",
    "host",
    "keep-alive",
    "proxy-connection",
    "te",
    "trailer",
    "transfer-encoding",
    "upgrade",
];

impl FieldChanges {
    /// Whether these fields can be changed.
    ///
    /// # Errors
    ///
    /// [`ConnectionError::InvalidConfig`] names one that cannot.
    pub fn check(&self) -> Result<(), ConnectionError> {
        let mut named = self.remove.iter().chain(self.set.iter().map(|(name, _)| name));
        match named.find(|name| FIXED.contains(&name.as_str())) {
            Some(name) => {
                let why = "says where a message goes or ends, or belongs to one hop: it cannot be changed";
                Err(ConnectionError::invalid_config(name.as_str().to_owned(), why))
            }
            None => Ok(()),
        }
    }
}

/// What a client of TLS is shown.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum CertificateChoice {
    /// The certificate of the network's TLS; where there is none, the handshake ends.
    Default,
    /// This one.
    Show(Box<TlsCertificate>),
    /// Nothing: the handshake ends.
    Refuse,
}
