//! Decides whose fault a failure of rustls is.

use crate::error::{TlsFailure, TlsFault};
use rustls::{AlertDescription, CertificateError, Error};

/// What `error` of a connection means to the caller.
pub(crate) fn failure(error: Error) -> TlsFailure {
    TlsFailure::new(fault(&error), error)
}

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
