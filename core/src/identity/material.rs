//! Reads certificates, keys and roots from PEM, and refuses what would be refused anyway.

use super::failure;
use crate::{
    config::{TlsCertificate, TlsChain, TlsKey, TlsRoots},
    error::{ConnectionError, Place, Step, TlsFailure, TlsFault},
};
use rustls::{
    RootCertStore,
    pki_types::{CertificateDer, PrivateKeyDer, UnixTime, pem::PemObject},
};
use std::{borrow::Cow, fs, io, path::Path, time::Duration};
use webpki::{EndEntityCert, KeyUsage};
use zeroize::Zeroizing;

/// The largest PEM file that is read: the roots of a system are some 300 KB.
const LARGEST_FILE: u64 = 16 << 20;

/// A certificate chain with its key, both well-formed and in their time.
pub(super) struct Material {
    pub(super) chain: Vec<CertificateDer<'static>>,
    pub(super) key: PrivateKeyDer<'static>,
}

/// Reads a certificate and its key. `field` is its path in the configuration, `now` the time by the wall clock.
pub(super) fn read(
    field: &str,
    certificate: &TlsCertificate,
    now: UnixTime,
) -> Result<Material, ConnectionError> {
    let field_chain = format!("{field}.chain");
    let pem = match &certificate.chain {
        TlsChain::File(path) => Cow::Owned(read_file(&field_chain, path)?.to_vec()),
        TlsChain::Pem(text) => Cow::Borrowed(text.as_bytes()),
    };
    let chain = certificates(&field_chain, &pem)?;
    check_time(&chain[0], now)?;
    let key = read_key(&format!("{field}.key"), &certificate.key)?;
    Ok(Material { chain, key })
}

fn read_key(field: &str, key: &TlsKey) -> Result<PrivateKeyDer<'static>, ConnectionError> {
    let from_file;
    let pem = match key {
        TlsKey::File(path) => {
            from_file = read_file(field, path)?;
            from_file.as_slice()
        }
        TlsKey::Pem(secret) => secret.expose().as_bytes(),
    };
    PrivateKeyDer::from_pem_slice(pem).map_err(|error| unusable(field, error.to_string()))
}

/// Reads whom to trust.
pub(super) fn roots(field: &str, roots: &TlsRoots) -> Result<RootCertStore, ConnectionError> {
    let mut store = RootCertStore::empty();
    let found = match roots {
        TlsRoots::System => system_roots(field)?,
        TlsRoots::File(path) => certificates(field, &read_file(field, path)?)?,
        TlsRoots::Pem(text) => certificates(field, text.as_bytes())?,
    };
    let is_all_needed = *roots != TlsRoots::System;
    for certificate in found {
        // A system's store may hold what is too old or odd to be used; what was named must be usable.
        if let Err(error) = store.add(certificate)
            && is_all_needed
        {
            return Err(unusable(field, error.to_string()));
        }
    }
    Ok(store)
}

fn system_roots(field: &str) -> Result<Vec<CertificateDer<'static>>, ConnectionError> {
    let found = rustls_native_certs::load_native_certs();
    if found.certs.is_empty() {
        let reason = match found.errors.first() {
            Some(error) => error.to_string(),
            None => "the system trusts no certificate: name a file with roots".to_owned(),
        };
        return Err(unusable(field, reason));
    }
    Ok(found.certs)
}

fn certificates(field: &str, pem: &[u8]) -> Result<Vec<CertificateDer<'static>>, ConnectionError> {
    let found: Result<Vec<_>, _> = CertificateDer::pem_slice_iter(pem).collect();
    let found = found.map_err(|error| unusable(field, error.to_string()))?;
    if found.is_empty() {
        return Err(unusable(field, "there is no certificate in it".to_owned()));
    }
    Ok(found)
}

/// The whole file, overwritten in memory when it is dropped: it may hold a key.
fn read_file(field: &str, path: &Path) -> Result<Zeroizing<Vec<u8>>, ConnectionError> {
    let read = || {
        let length = fs::metadata(path)?.len();
        if length > LARGEST_FILE {
            return Err(io::Error::other("the file is larger than 16 MiB"));
        }
        fs::read(path).map(Zeroizing::new)
    };
    read().map_err(|error| ConnectionError::InvalidConfig {
        field: field.to_owned().into(),
        reason: format!("{} cannot be read: {error}", path.display()).into(),
        at: Place::at(Step::Configure).because(error),
    })
}

fn unusable(field: &str, reason: String) -> ConnectionError {
    ConnectionError::invalid_config(field.to_owned(), reason)
}

/// Refuses a certificate that is expired, not in force yet, or damaged: peers would.
fn check_time(certificate: &CertificateDer<'_>, now: UnixTime) -> Result<(), ConnectionError> {
    // Whom it is trusted by, and for what, is for others to say.
    let Err(
        refused @ (webpki::Error::CertExpired { .. }
        | webpki::Error::CertNotValidYet { .. }
        | webpki::Error::InvalidCertValidity
        | webpki::Error::BadDer
        | webpki::Error::BadDerTime),
    ) = verdict(certificate, now)
    else {
        return Ok(());
    };
    let failure = TlsFailure::new(TlsFault::OwnCertificate, refused);
    Err(ConnectionError::tls(failure, Place::at(Step::Configure)))
}

/// The end of a certificate's time.
pub(super) fn expiry(certificate: &CertificateDer<'_>) -> Option<UnixTime> {
    // The verifier has no getter, but tells it when asked about the end of time.
    match verdict(certificate, UnixTime::since_unix_epoch(Duration::MAX)) {
        Err(webpki::Error::CertExpired { not_after, .. }) => Some(not_after),
        Ok(()) | Err(_) => None,
    }
}

/// What the verifier says about a certificate at a time, without anybody who is trusted. It looks at the
/// certificate itself before it looks for who signed it.
fn verdict(certificate: &CertificateDer<'_>, at: UnixTime) -> Result<(), webpki::Error> {
    let parsed = EndEntityCert::try_from(certificate)?;
    let usage = KeyUsage::server_auth();
    parsed.verify_for_usage(&[], &[], &[], at, usage, None, None).map(drop)
}

/// A rustls failure while a configuration is put together, which can only be about our own certificate.
pub(super) fn unfit(error: rustls::Error) -> ConnectionError {
    let failure = match failure(error.clone()).fault() {
        TlsFault::OwnCertificate => failure(error),
        _ => TlsFailure::new(TlsFault::OwnCertificate, error),
    };
    ConnectionError::tls(failure, Place::at(Step::Configure))
}
