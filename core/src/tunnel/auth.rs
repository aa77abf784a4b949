//! Who may speak for a cluster.

use crate::{context::ConnectionContext, secret::Secret};
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
}

/// The answer of an [`Authenticator`], when it comes.
pub type Verified<'a> = Pin<Box<dyn Future<Output = bool> + Send + 'a>>;

/// Decides whether an agent may stand for the cluster that it names.
pub trait Authenticator: fmt::Debug + Send + Sync {
    /// Whether `claim` is proved. Dropped at the hello's timeout; runs on the network's runtime, so it must not block.
    fn verify<'a>(&'a self, claim: &'a Claim) -> Verified<'a>;
}

/// The tokens of a configuration: each bound to one cluster.
#[derive(Debug)]
pub(super) struct Tokens(pub(super) BTreeMap<String, Vec<Secret>>);

impl Authenticator for Tokens {
    fn verify<'a>(&'a self, claim: &'a Claim) -> Verified<'a> {
        let given = claim.token.as_ref().map(Secret::expose).unwrap_or_default().as_bytes();
        // Every token of the cluster is looked at, so that time does not tell which was closest.
        let known = self.0.get(&*claim.cluster);
        let is_proved = known
            .is_some_and(|tokens| tokens.iter().fold(false, |any, token| any | token.is(given)));
        Box::pin(std::future::ready(is_proved))
    }
}
