//! Certificates for tests: an authority, and what it signs.
#![allow(dead_code, reason = "each test uses its part")]
#![allow(clippy::unwrap_used, reason = "a test stops at the first surprise")]

use rcgen::{
    BasicConstraints, CertificateParams, CertifiedIssuer, DnType, IsCa, KeyPair, SanType,
    date_time_ymd,
};

/// Signs certificates; trusted by those who are told to.
pub(crate) struct Authority {
    issuer: CertifiedIssuer<'static, KeyPair>,
}

/// A certificate and its key, in PEM.
pub(crate) struct Issued {
    pub(crate) chain: String,
    pub(crate) key: String,
}

impl Authority {
    pub(crate) fn new(name: &str) -> Self {
        let mut params = CertificateParams::new(Vec::new()).unwrap();
        params.distinguished_name.push(DnType::CommonName, name);
        params.is_ca = IsCa::Ca(BasicConstraints::Unconstrained);
        let key = KeyPair::generate().unwrap();
        Self { issuer: CertifiedIssuer::self_signed(params, key).unwrap() }
    }

    pub(crate) fn pem(&self) -> String {
        self.issuer.pem()
    }

    /// For `names`, which are host names or IP addresses.
    pub(crate) fn issue(&self, names: &[&str]) -> Issued {
        self.issue_with(names, |_| {})
    }

    /// For `names` and a URI.
    pub(crate) fn issue_uri(&self, names: &[&str], uri: &str) -> Issued {
        self.issue_uris(names, &[uri])
    }

    /// For `names` and some URIs.
    pub(crate) fn issue_uris(&self, names: &[&str], uris: &[&str]) -> Issued {
        let uris = uris.iter().map(|&uri| SanType::URI(uri.try_into().unwrap()));
        self.issue_with(names, |params| params.subject_alt_names.extend(uris))
    }

    /// Its time was over in 2021.
    pub(crate) fn issue_expired(&self, names: &[&str]) -> Issued {
        self.issue_with(names, |params| {
            params.not_before = date_time_ymd(2020, 1, 1);
            params.not_after = date_time_ymd(2021, 1, 1);
        })
    }

    fn issue_with(&self, names: &[&str], change: impl FnOnce(&mut CertificateParams)) -> Issued {
        let names: Vec<_> = names.iter().map(ToString::to_string).collect();
        let mut params = CertificateParams::new(names).unwrap();
        change(&mut params);
        let key = KeyPair::generate().unwrap();
        let certificate = params.signed_by(&key, &self.issuer).unwrap();
        Issued { chain: certificate.pem(), key: key.serialize_pem() }
    }
}

/// Signed by nobody else.
pub(crate) fn self_signed(names: &[&str]) -> Issued {
    let names: Vec<_> = names.iter().map(ToString::to_string).collect();
    let signed = rcgen::generate_simple_self_signed(names).unwrap();
    Issued { chain: signed.cert.pem(), key: signed.signing_key.serialize_pem() }
}
