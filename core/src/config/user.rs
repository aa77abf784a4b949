//! Who uses clusters through a hub, and how much.

use super::{Config, check, tunnel};
use crate::{address::is_cluster_name, error::ConnectionError, secret::Secret};
use serde::{Deserialize, Serialize};

/// Stands for every cluster among those that a user may use.
pub(crate) const ALL_CLUSTERS: &str = "*";

/// Somebody who uses clusters through a hub.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct UserConfig {
    /// What proves who it is: `Bearer` with a token, or `Basic` with the user's name and a token. Default: none.
    /// Limits: 16 tokens of 16 to 1024 bytes.
    pub tokens: Vec<Secret>,
    /// Names of certificates, any of which proves it too: a URI, which must be the certificate's only one, or a DNS
    /// name. Default: none. Limits: 16 names of 1 to 2048 bytes.
    pub certificates: Vec<String>,
    /// The clusters that it may use; `*` for all. Default: none.
    pub clusters: Vec<String>,
    /// Requests under way at one time; what exceeds it is refused. Default: 100. Limits: 1 to 1,000,000.
    pub max_requests: u32,
}

impl Default for UserConfig {
    fn default() -> Self {
        Self {
            tokens: Vec::new(),
            certificates: Vec::new(),
            clusters: Vec::new(),
            max_requests: 100,
        }
    }
}

impl Config for UserConfig {
    fn validate(&self) -> Result<(), ConnectionError> {
        check::number("tokens", self.tokens.len(), 0..=16)?;
        self.tokens.iter().try_for_each(|token| tunnel::check_token("tokens", token))?;
        check::number("certificates", self.certificates.len(), 0..=16)?;
        for name in &self.certificates {
            tunnel::check_certificate_name("certificates", name)?;
        }
        check_clusters("clusters", &self.clusters)?;
        check::number("max_requests", self.max_requests, 1..=1_000_000)
    }
}

/// A list of clusters that somebody may use.
pub(super) fn check_clusters(
    field: &'static str,
    clusters: &[String],
) -> Result<(), ConnectionError> {
    match clusters.iter().find(|name| *name != ALL_CLUSTERS && !is_cluster_name(name)) {
        Some(name) => check::refuse(field, format!("must name clusters, or be *; is {name:?}")),
        None => Ok(()),
    }
}
