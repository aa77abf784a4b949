//! Puts a configuration and what its files hold into the configurations of rustls.

use super::material::{self, unfit};
use crate::{
    config::{ClientAuth, TlsClientConfig, TlsConfig, TlsRoots, TlsServerConfig, TlsVersion},
    error::ConnectionError,
};
use rustls::{
    ClientConfig, ServerConfig, SupportedProtocolVersion,
    client::Resumption,
    crypto::{CryptoProvider, ring},
    pki_types::UnixTime,
    server::{NoServerSessionStorage, WebPkiClientVerifier, danger::ClientCertVerifier},
    version::{TLS12, TLS13},
};
use std::sync::Arc;

/// What handshakes use from the moment that it is in place.
#[derive(Debug)]
pub(super) struct Loaded {
    pub(super) client: Option<Arc<ClientConfig>>,
    pub(super) server: Option<Arc<ServerConfig>>,
    /// When the first of our own certificates expires.
    pub(super) expires: Option<UnixTime>,
}

/// Reads every file and builds both sides; `now` is the time by the wall clock.
pub(super) fn load(config: &TlsConfig, now: UnixTime) -> Result<Loaded, ConnectionError> {
    let building = Building { provider: Arc::new(ring::default_provider()), config, now };
    let client = config.client.as_ref().map(|client| building.client(client)).transpose()?;
    let server = config.server.as_ref().map(|server| building.server(server)).transpose()?;
    let (client, client_expires) = client.unzip();
    let (server, server_expires) = server.unzip();
    let expires = client_expires.flatten().into_iter().chain(server_expires.flatten()).min();
    Ok(Loaded { client, server, expires })
}

struct Building<'a> {
    provider: Arc<CryptoProvider>,
    config: &'a TlsConfig,
    now: UnixTime,
}

impl Building<'_> {
    fn versions(&self) -> &'static [&'static SupportedProtocolVersion] {
        static NEWEST_FIRST: [&SupportedProtocolVersion; 2] = [&TLS13, &TLS12];
        match self.config.min_version {
            TlsVersion::V1_2 => &NEWEST_FIRST,
            TlsVersion::V1_3 => &NEWEST_FIRST[..1],
        }
    }

    fn client(
        &self,
        client: &TlsClientConfig,
    ) -> Result<(Arc<ClientConfig>, Option<UnixTime>), ConnectionError> {
        let roots = material::roots("client.roots", &client.roots)?;
        let builder = ClientConfig::builder_with_provider(Arc::clone(&self.provider))
            .with_protocol_versions(self.versions())
            .map_err(unfit)?
            .with_root_certificates(roots);
        let (mut built, expires) = match &client.certificate {
            None => (builder.with_no_client_auth(), None),
            Some(certificate) => {
                let own = material::read("client.certificate", certificate, self.now)?;
                let expires = material::expiry(&own.chain[0]);
                (builder.with_client_auth_cert(own.chain, own.key).map_err(unfit)?, expires)
            }
        };
        built.alpn_protocols = in_bytes(&client.alpn);
        built.resumption = Resumption::disabled();
        Ok((Arc::new(built), expires))
    }

    fn server(
        &self,
        server: &TlsServerConfig,
    ) -> Result<(Arc<ServerConfig>, Option<UnixTime>), ConnectionError> {
        let own = material::read("server.certificate", &server.certificate, self.now)?;
        let expires = material::expiry(&own.chain[0]);
        let builder = ServerConfig::builder_with_provider(Arc::clone(&self.provider))
            .with_protocol_versions(self.versions())
            .map_err(unfit)?;
        let builder = match (server.client_auth, &server.client_roots) {
            (ClientAuth::Off, _) | (_, None) => builder.with_no_client_auth(),
            (auth, Some(roots)) => {
                builder.with_client_cert_verifier(self.client_verifier(auth, roots)?)
            }
        };
        let mut built = builder.with_single_cert(own.chain, own.key).map_err(unfit)?;
        built.alpn_protocols = in_bytes(&server.alpn);
        built.session_storage = Arc::new(NoServerSessionStorage {});
        built.send_tls13_tickets = 0;
        Ok((Arc::new(built), expires))
    }

    fn client_verifier(
        &self,
        auth: ClientAuth,
        roots: &TlsRoots,
    ) -> Result<Arc<dyn ClientCertVerifier>, ConnectionError> {
        const FIELD: &str = "server.client_roots";
        let roots = Arc::new(material::roots(FIELD, roots)?);
        let builder =
            WebPkiClientVerifier::builder_with_provider(roots, Arc::clone(&self.provider));
        let builder = match auth {
            ClientAuth::Off | ClientAuth::Required => builder,
            ClientAuth::Optional => builder.allow_unauthenticated(),
        };
        builder.build().map_err(|error| ConnectionError::invalid_config(FIELD, error.to_string()))
    }
}

/// Application protocols as rustls takes them.
pub(crate) fn in_bytes(names: &[String]) -> Vec<Vec<u8>> {
    names.iter().map(|name| name.as_bytes().to_vec()).collect()
}
