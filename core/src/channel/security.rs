//! How the connections of a channel are secured, and whom their servers must prove to be.

use super::target::{Kind, Target};
use crate::{
    address::Address,
    error::ConnectionError,
    identity::Tls,
    transport::{Network, Securing, Stream},
};
use http::uri::Scheme;
use rustls::pki_types::ServerName;

/// What both ends must agree to speak.
pub(super) const HTTP2: &str = "h2";

/// A server whose certificate is good, and that speaks something else.
#[derive(Debug, thiserror::Error)]
#[error("the server did not agree to speak {HTTP2:?} (ALPN)")]
pub(super) struct NotAgreed;

/// Whether TLS, where there is any, was made for HTTP/2.
pub(super) fn is_agreed(stream: &Stream) -> bool {
    stream.tls().is_none_or(|session| session.alpn.as_deref() == Some(HTTP2))
}

/// Whether a channel speaks TLS; all its connections do, or none.
#[derive(Clone, Debug)]
pub(super) enum Security {
    Plain,
    /// By this; `None` is what the system trusts.
    Tls(Option<Tls>),
}

impl Security {
    /// What a program chose, by giving `tls` or by a target of `tls://` addresses.
    ///
    /// # Errors
    ///
    /// [`ConnectionError::InvalidConfig`] if `tls` is a server's alone, or a host is no name that TLS can ask for.
    pub(super) fn new(
        target: &Target,
        tls: Option<Tls>,
        network: &Network,
    ) -> Result<Self, ConnectionError> {
        let tls = match (tls, target.is_secured) {
            (None, false) => return Ok(Self::Plain),
            (Some(tls), _) => Some(tls),
            (None, true) => network.own_tls().cloned(),
        };
        if let Some(tls) = &tls {
            tls.client()?;
        }
        let security = Self::Tls(tls);
        if security.chosen_name().is_none() {
            match &target.kind {
                Kind::Dns { host, .. } | Kind::Program { host } => check(host)?,
                // Its hosts are read later: one that is no name fails its attempts.
                Kind::File(_) => {}
                Kind::Fixed(addresses) => {
                    for address in addresses {
                        check(&host(target, address))?;
                    }
                }
            }
        }
        Ok(security)
    }

    pub(super) fn is_secured(&self) -> bool {
        match self {
            Self::Plain => false,
            Self::Tls(_) => true,
        }
    }

    pub(super) fn scheme(&self) -> Scheme {
        match self {
            Self::Plain => Scheme::HTTP,
            Self::Tls(_) => Scheme::HTTPS,
        }
    }

    /// The name that every server must prove, where the configuration says so: calls are for it, too.
    pub(super) fn chosen_name(&self) -> Option<&str> {
        match self {
            Self::Plain | Self::Tls(None) => None,
            Self::Tls(Some(tls)) => tls.config().client.as_ref()?.server_name.as_deref(),
        }
    }

    /// How a connection to `address` is secured; `None` if it is not.
    pub(super) fn securing(&self, target: &Target, address: &Address) -> Option<Securing> {
        match self {
            Self::Plain => None,
            Self::Tls(tls) => {
                Some(Securing { tls: tls.clone(), host: Some(host(target, address)) })
            }
        }
    }
}

/// Whom the server at `address` must prove to be: the name that was looked up, here or by the program, or the host that the
/// target itself names.
fn host(target: &Target, address: &Address) -> Box<str> {
    match (&target.kind, address) {
        (Kind::Dns { host, .. } | Kind::Program { host }, _) => host.clone(),
        (Kind::Fixed(_) | Kind::File(_), Address::Tcp(literal) | Address::Tls(literal)) => {
            literal.ip().to_string().into()
        }
        (
            Kind::Fixed(_) | Kind::File(_),
            Address::TcpName { host, .. } | Address::TlsName { host, .. },
        ) => host.clone(),
        (
            Kind::Fixed(_) | Kind::File(_),
            Address::Unix(_)
            | Address::Abstract(_)
            | Address::Mem(_)
            | Address::Udp(_)
            | Address::UdpName { .. }
            | Address::Tunnel(_),
        ) => "localhost".into(),
    }
}

fn check(host: &str) -> Result<(), ConnectionError> {
    match ServerName::try_from(host) {
        Ok(_) => Ok(()),
        Err(_) => Err(ConnectionError::invalid_config(
            "target",
            format!("the host is no name that TLS can ask for; is {host:?}"),
        )),
    }
}
