//! Configurations of TLS for tests, around certificates that were just issued.
#![allow(dead_code, reason = "each test uses its part")]

use crate::certificates::{Authority, Issued};
use trunkline_core::config::{
    TlsCertificate, TlsChain, TlsClientConfig, TlsConfig, TlsKey, TlsRoots, TlsServerConfig,
};

/// Both sides of `localhost` and `127.0.0.1`, which trust each other.
pub(crate) fn localhost() -> TlsConfig {
    let authority = Authority::new("localhost");
    config(&authority, Some(&authority.issue(&["localhost", "127.0.0.1"])))
}

/// A client that trusts `authority`, and a server that shows `issued`.
pub(crate) fn config(authority: &Authority, issued: Option<&Issued>) -> TlsConfig {
    let roots = TlsRoots::Pem(authority.pem());
    TlsConfig {
        client: Some(TlsClientConfig { roots, ..TlsClientConfig::default() }),
        server: issued.map(|issued| TlsServerConfig::new(certificate(issued))),
        ..TlsConfig::default()
    }
}

pub(crate) fn certificate(issued: &Issued) -> TlsCertificate {
    TlsCertificate {
        chain: TlsChain::Pem(issued.chain.clone()),
        key: TlsKey::Pem(issued.key.clone().into()),
    }
}
