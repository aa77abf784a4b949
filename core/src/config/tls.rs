//! How connections are secured with TLS: whom to trust, who to be, what to agree on.

use super::{
    Config, TimeLimit,
    check::{self, LONGEST, SHORTEST},
    json,
};
use crate::{error::ConnectionError, secret::Secret};
use serde::{Deserialize, Serialize};
use std::{path::PathBuf, time::Duration};

/// How connections to and from `tls://` addresses are secured.
///
/// Files that are named here are read when the configuration is put to use, and again when they change.
/// There is no way to leave the peer's certificate unchecked; trust a private authority by its certificate.
/// Sessions are never resumed: each handshake checks both sides against what is in force now.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct TlsConfig {
    /// For connecting. Default: system roots and no certificate of our own, unless only `server` is given.
    pub client: Option<TlsClientConfig>,
    /// For listening. Default: none, so that nobody can be let in.
    pub server: Option<TlsServerConfig>,
    /// The oldest version that is spoken. Default: 1.2.
    pub min_version: TlsVersion,
    /// Time between two looks at the files for a change. Default: 1 min. Limits: 1 ms to 365 days, or never.
    /// Cost: one look-up per file.
    pub reload_interval: TimeLimit,
    /// Time that a stream which was closed gets to send what was written to it before, and the end. Default:
    /// 5 s. Limits: zero (what the system does not take at once is lost) to 365 days. Cost: as long a peer that
    /// does not read keeps the socket.
    #[serde(with = "crate::duration::text")]
    pub close_timeout: Duration,
}

/// The client's side.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct TlsClientConfig {
    /// Whose certificates are trusted. Default: `"system"`.
    pub roots: TlsRoots,
    /// The name that is asked for and that the server's certificate must be for. Default: the host of the address.
    pub server_name: Option<String>,
    /// Application protocols, the preferred one first. Default: none, and so none is agreed on. Limits: at most
    /// 16, each of 1 to 255 bytes.
    pub alpn: Vec<String>,
    /// What we show to servers that ask who we are. Default: nothing.
    pub certificate: Option<TlsCertificate>,
}

/// The server's side.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct TlsServerConfig {
    /// What we show to clients. Required.
    pub certificate: TlsCertificate,
    /// Whether clients have to show who they are. Default: `"off"`.
    #[serde(default)]
    pub client_auth: ClientAuth,
    /// Whose certificates are trusted of clients; needed unless `client_auth` is off.
    #[serde(default)]
    pub client_roots: Option<TlsRoots>,
    /// Application protocols, the preferred one first. Default: none, and so none is agreed on. A client that
    /// asks for others only is refused. Limits: at most 16, each of 1 to 255 bytes.
    #[serde(default)]
    pub alpn: Vec<String>,
    /// Time for a handshake, from the accept on. Default: 10 s. Limits: 1 ms to 365 days. Cost: as long a silent
    /// client keeps a socket and one of the places below.
    #[serde(default = "default_handshake_timeout", with = "crate::duration::text")]
    pub handshake_timeout: Duration,
    /// Connections of one listener that are in a handshake, or through it and not accepted yet; others wait in
    /// the backlog. Default: 128. Limits: 1 to 65535. Cost: each takes a socket, 50 KiB, and a permit of the
    /// listener's limit.
    #[serde(default = "default_max_handshakes")]
    pub max_handshakes: u32,
}

fn default_handshake_timeout() -> Duration {
    Duration::from_secs(10)
}

fn default_max_handshakes() -> u32 {
    128
}

/// Whose certificates are trusted: `"system"`, `{"file": "ca.pem"}` or `{"pem": "-----BEGIN …"}`.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum TlsRoots {
    /// Those that the operating system trusts; the environment's `SSL_CERT_FILE` and `SSL_CERT_DIR` take their
    /// place, as for OpenSSL.
    #[default]
    System,
    /// The certificates in a PEM file.
    File(PathBuf),
    /// The certificates in a PEM text.
    Pem(String),
}

/// A certificate with its key.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct TlsCertificate {
    /// The certificate, followed by those that lead to the root.
    pub chain: TlsChain,
    /// Its private key.
    pub key: TlsKey,
}

impl TlsCertificate {
    /// A certificate in two PEM files, which are read anew when they change.
    pub fn from_files(chain: impl Into<PathBuf>, key: impl Into<PathBuf>) -> Self {
        Self { chain: TlsChain::File(chain.into()), key: TlsKey::File(key.into()) }
    }
}

/// Where a certificate chain is: `{"file": "chain.pem"}` or `{"pem": "-----BEGIN …"}`.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum TlsChain {
    /// In a PEM file.
    File(PathBuf),
    /// In a PEM text.
    Pem(String),
}

/// Where a private key is: `{"file": "key.pem"}` or `{"pem": "-----BEGIN …"}`; unencrypted PKCS#8, PKCS#1 or SEC1.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum TlsKey {
    /// In a PEM file.
    File(PathBuf),
    /// In a PEM text, which is never shown.
    Pem(Secret),
}

/// Whether clients have to show who they are.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum ClientAuth {
    /// They are not asked.
    #[default]
    Off,
    /// They are asked; who shows nothing is let in, who shows a bad certificate is not.
    Optional,
    /// Who shows no good certificate is refused.
    Required,
}

/// A version of TLS.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Hash, Serialize, Deserialize)]
pub enum TlsVersion {
    /// TLS 1.2.
    #[default]
    #[serde(rename = "1.2")]
    V1_2,
    /// TLS 1.3.
    #[serde(rename = "1.3")]
    V1_3,
}

impl Default for TlsConfig {
    fn default() -> Self {
        Self {
            client: Some(TlsClientConfig::default()),
            server: None,
            min_version: TlsVersion::default(),
            reload_interval: TimeLimit::secs(60),
            close_timeout: Duration::from_secs(5),
        }
    }
}

impl TlsServerConfig {
    /// Shows `certificate` to everybody and asks nobody who they are.
    pub fn new(certificate: TlsCertificate) -> Self {
        Self {
            certificate,
            client_auth: ClientAuth::Off,
            client_roots: None,
            alpn: Vec::new(),
            handshake_timeout: default_handshake_timeout(),
            max_handshakes: default_max_handshakes(),
        }
    }
}

impl Config for TlsConfig {
    fn validate(&self) -> Result<(), ConnectionError> {
        if self.client.is_none() && self.server.is_none() {
            check::refuse("client", "one of client and server must be given".to_owned())?;
        }
        if let Some(client) = &self.client {
            check::within("client", client.validate())?;
        }
        if let Some(server) = &self.server {
            check::within("server", server.validate())?;
        }
        check::limit("reload_interval", self.reload_interval, SHORTEST..=LONGEST)?;
        check::duration("close_timeout", self.close_timeout, Duration::ZERO..=LONGEST)
    }

    fn from_json(text: &str) -> Result<Self, ConnectionError> {
        json::read(text, |document| {
            let is_given = |key| document.get(key).is_some_and(|value| !value.is_null());
            let is_server_only = is_given("server") && !is_given("client");
            let client = (!is_server_only).then(TlsClientConfig::default);
            Ok(Self { client, ..Self::default() })
        })
    }
}

impl TlsClientConfig {
    fn validate(&self) -> Result<(), ConnectionError> {
        if let Some(name) = &self.server_name
            && rustls::pki_types::ServerName::try_from(name.as_str()).is_err()
        {
            check::refuse(
                "server_name",
                format!("must be a host name or IP address, is {name:?}"),
            )?;
        }
        check_alpn(&self.alpn)
    }
}

impl TlsServerConfig {
    fn validate(&self) -> Result<(), ConnectionError> {
        if self.client_auth != ClientAuth::Off && self.client_roots.is_none() {
            check::refuse("client_roots", "must be given unless client_auth is off".to_owned())?;
        }
        check_alpn(&self.alpn)?;
        check::duration("handshake_timeout", self.handshake_timeout, SHORTEST..=LONGEST)?;
        check::number("max_handshakes", self.max_handshakes, 1..=65535)
    }
}

fn check_alpn(protocols: &[String]) -> Result<(), ConnectionError> {
    check::number("alpn", protocols.len(), 0..=16)?;
    match protocols.iter().find(|name| name.is_empty() || name.len() > 255) {
        Some(name) => {
            check::refuse("alpn", format!("each has 1 to 255 bytes, one has {}", name.len()))
        }
        None => Ok(()),
    }
}
