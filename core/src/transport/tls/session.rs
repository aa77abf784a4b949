//! What a handshake has shown and agreed on.

use rustls::{Connection, ProtocolVersion, pki_types::CertificateDer};
use webpki::EndEntityCert;

/// Who the peer of a TLS stream is, and what was agreed with it; the same as long as the stream lives.
#[non_exhaustive]
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct TlsSession {
    /// `"TLSv1.3"` or `"TLSv1.2"`.
    pub version: &'static str,
    /// The application protocol that both agreed on.
    pub alpn: Option<String>,
    /// The name that the client asked for (SNI); `None` where it gave none, as with an IP address.
    pub server_name: Option<String>,
    /// The certificates in DER that the peer showed, its own first, which was checked against the roots; empty where
    /// it showed none.
    pub peer_certificates: Vec<Vec<u8>>,
    /// The first URI that the peer's certificate is for, such as a SPIFFE id.
    pub peer_uri: Option<String>,
}

impl TlsSession {
    /// Of a connection whose handshake is over.
    pub(super) fn of(tls: &Connection, asked: Option<String>) -> Self {
        let certificates = tls.peer_certificates().unwrap_or_default();
        Self {
            version: match tls.protocol_version() {
                Some(ProtocolVersion::TLSv1_3) => "TLSv1.3",
                _ => "TLSv1.2",
            },
            alpn: tls.alpn_protocol().map(|name| String::from_utf8_lossy(name).into_owned()),
            server_name: server_name(tls, asked),
            peer_uri: certificates.first().and_then(first_uri),
            peer_certificates: certificates.iter().map(|der| der.to_vec()).collect(),
        }
    }

    /// Whether the peer's certificate is for `name`: as its only URI, such as a SPIFFE id, where `name` has a scheme; else
    /// as one of its DNS names. Both to the letter, but for the case of a DNS name: a wildcard in a certificate names
    /// nobody.
    pub fn is_peer_named(&self, name: &str) -> bool {
        let Some(der) = self.peer_certificates.first() else { return false };
        let der = CertificateDer::from(der.as_slice());
        let Ok(certificate) = EndEntityCert::try_from(&der) else { return false };
        if name.contains("://") {
            let mut uris = certificate.valid_uri_names();
            return uris.next() == Some(name) && uris.next().is_none();
        }
        certificate.valid_dns_names().any(|dns| dns.eq_ignore_ascii_case(name))
    }
}

fn server_name(tls: &Connection, asked: Option<String>) -> Option<String> {
    match tls {
        Connection::Client(_) => asked,
        Connection::Server(server) => server.server_name().map(str::to_owned),
    }
}

fn first_uri(certificate: &CertificateDer<'_>) -> Option<String> {
    let parsed = EndEntityCert::try_from(certificate).ok()?;
    parsed.valid_uri_names().next().map(str::to_owned)
}
