//! Decides whose fault a failure of rustls is.

use crate::error::{TlsFailure, TlsFault};
use rustls::{AlertDescription, CertificateError, Error, InvalidMessage};

/// What `error` of a connection means to the caller.
pub(crate) fn failure(error: Error) -> TlsFailure {
    let fault = fault(&error);
    match error {
        Error::InvalidMessage(InvalidMessage::InvalidContentType) => {
            TlsFailure::new(fault, NoTls(error))
        }
        error => TlsFailure::new(fault, error),
    }
}

/// The peer speaks something else, as one does who expects no TLS at this address.
#[derive(Debug, thiserror::Error)]
#[error("what the peer sends is no TLS: it may expect none at this address")]
struct NoTls(#[source] Error);

fn fault(error: &Error) -> TlsFault {
    match error {
        Error::InvalidCertificate(
            CertificateError::NotValidForName | CertificateError::NotValidForNameContext { .. },
        ) => TlsFault::NameMismatch,
        Error::InvalidCertificate(_)
        | Error::InvalidCertRevocationList(_)
        | Error::NoCertificatesPresented => TlsFault::PeerCertificate,
        Error::InconsistentKeys(_) => TlsFault::OwnCertificate,
        Error::AlertReceived(alert) => fault_of_alert(*alert),
        _ => TlsFault::Protocol,
    }
}

/// What the peer complains about.
fn fault_of_alert(alert: AlertDescription) -> TlsFault {
    match alert {
        AlertDescription::NoCertificate
        | AlertDescription::BadCertificate
        | AlertDescription::UnsupportedCertificate
        | AlertDescription::CertificateRevoked
        | AlertDescription::CertificateExpired
        | AlertDescription::CertificateUnknown
        | AlertDescription::UnknownCA
        | AlertDescription::AccessDenied
        | AlertDescription::CertificateRequired => TlsFault::OwnCertificate,
        AlertDescription::UnrecognisedName => TlsFault::NameMismatch,
        _ => TlsFault::Protocol,
    }
}
