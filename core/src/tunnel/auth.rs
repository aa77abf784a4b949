//! Who may speak for a cluster.

use crate::{config::HubConfig, context::ConnectionContext, secret::Secret, transport::TlsSession};
use std::{collections::BTreeMap, fmt, future::Future, pin::Pin};

/// What an agent says of itself, and where it says it.
#[derive(Clone, Debug)]
pub struct Claim {
    /// The cluster that it wants to stand for; a well-formed name.
    pub cluster: Box<str>,
    /// What it offers as proof.
    pub token: Option<Secret>,
    /// The connection that it came on.
    pub connection: ConnectionContext,
    /// What its handshake has shown, where TLS carries the connection: [`TlsSession::is_peer_named`] tells whether its
    /// certificate is for a name.
    pub tls: Option<TlsSession>,
    /// Whether it came to an address of `allow_unauthenticated_agents`, where what nothing is bound to may be claimed.
    pub is_open_door: bool,
}

/// The answer of an [`Authenticator`], when it comes.
pub type Verified<'a> = Pin<Box<dyn Future<Output = bool> + Send + 'a>>;

/// Decides whether an agent may stand for the cluster that it names.
pub trait Authenticator: fmt::Debug + Send + Sync {
    /// Whether `claim` is proved. Dropped at the hello's timeout; runs on the network's runtime, so it must not block.
    fn verify<'a>(&'a self, claim: &'a Claim) -> Verified<'a>;
}

/// The tokens and the names of certificates of a configuration, each bound to one cluster. Of what is bound to a
/// cluster, each kind must be proved; where nothing is, nothing is proof.
#[derive(Debug)]
pub(super) struct Configured {
    tokens: BTreeMap<String, Vec<Secret>>,
    certificates: BTreeMap<String, Vec<String>>,
}

impl Configured {
    pub(super) fn new(config: &HubConfig) -> Self {
        Self { tokens: config.agents.clone(), certificates: config.agent_certificates.clone() }
    }

    fn is_proved(&self, claim: &Claim) -> bool {
        let by_token = self.tokens.get(&*claim.cluster).map(|tokens| has_token(tokens, claim));
        let names = self.certificates.get(&*claim.cluster);
        let by_certificate = names.map(|names| has_certificate(names, claim));
        match (by_token, by_certificate) {
            (None, None) => claim.is_open_door,
            (by_token, by_certificate) => {
                by_token.unwrap_or(true) && by_certificate.unwrap_or(true)
            }
        }
    }
}

/// Every token of the cluster is looked at, so that time does not tell which was closest.
fn has_token(tokens: &[Secret], claim: &Claim) -> bool {
    let given = claim.token.as_ref().map(Secret::expose).unwrap_or_default().as_bytes();
    tokens.iter().fold(false, |any, token| any | token.is(given))
}

fn has_certificate(names: &[String], claim: &Claim) -> bool {
    let session = claim.tls.as_ref();
    session.is_some_and(|session| names.iter().any(|name| session.is_peer_named(name)))
}

impl Authenticator for Configured {
    fn verify<'a>(&'a self, claim: &'a Claim) -> Verified<'a> {
        Box::pin(std::future::ready(self.is_proved(claim)))
    }
}
