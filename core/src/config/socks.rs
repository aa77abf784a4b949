//! How a hub serves users who speak SOCKS5.

use super::{
    Config,
    check::{self, LONGEST, SHORTEST},
};
use crate::{address::is_cluster_name, error::ConnectionError};
use serde::{Deserialize, Serialize};
use std::time::Duration;

/// How a hub serves users who speak SOCKS5.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct SocksConfig {
    /// What the hosts end in that name a cluster: `<cluster>.<suffix>` is where the cluster's agent decides,
    /// `<host>.<cluster>.<suffix>` is that host, to be dialled by the agent. Clusters with a `.` in their name are not reached so.
    /// Default: `tunnel`. Limits: 1 to 100 lower case letters, digits, `-` and `.`.
    pub suffix: String,
    /// The cluster whose agent is to dial every other host, and addresses. Default: none, they are refused.
    pub cluster: Option<String>,
    /// Connections of users at one time; the next wait in the backlog. Default: 10,000. Limits: 1 to 1,000,000.
    pub max_connections: u32,
    /// Time for a user to say who it is and where it wants to go. Default: 10 s. Limits: 1 ms to 365 days.
    #[serde(with = "crate::duration::text")]
    pub handshake_timeout: Duration,
}

impl Default for SocksConfig {
    fn default() -> Self {
        Self {
            suffix: "tunnel".into(),
            cluster: None,
            max_connections: 10_000,
            handshake_timeout: Duration::from_secs(10),
        }
    }
}

impl Config for SocksConfig {
    fn validate(&self) -> Result<(), ConnectionError> {
        let is_plain = |b: u8| b.is_ascii_lowercase() || b.is_ascii_digit() || b"-.".contains(&b);
        if !(1..=100).contains(&self.suffix.len()) || !self.suffix.bytes().all(is_plain) {
            let rule = "must be 1 to 100 lower case letters, digits, '-' and '.'";
            return check::refuse("suffix", format!("{rule}; is {:?}", self.suffix));
        }
        if let Some(cluster) = self.cluster.as_deref().filter(|name| !is_cluster_name(name)) {
            return check::refuse("cluster", format!("must name a cluster, is {cluster:?}"));
        }
        check::number("max_connections", self.max_connections, 1..=1_000_000)?;
        check::duration("handshake_timeout", self.handshake_timeout, SHORTEST..=LONGEST)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn figures_out_of_range_are_named() {
        SocksConfig::default().validate().unwrap();
        for (document, field) in [
            (r#"{"suffix": ""}"#, "suffix"),
            (r#"{"suffix": "A"}"#, "suffix"),
            (r#"{"cluster": "a/b"}"#, "cluster"),
            (r#"{"max_connections": 0}"#, "max_connections"),
            (r#"{"handshake_timeout": "0s"}"#, "handshake_timeout"),
        ] {
            let error = SocksConfig::from_json(document).unwrap_err().to_string();
            assert!(error.starts_with(field), "{document}: {error}");
        }
    }
}
