//! Networks that connections come from.

use ipnet::IpNet;
use serde::{Deserialize, Serialize};
use std::{fmt, net::IpAddr, str::FromStr};

/// A network such as `10.0.0.0/8`, or one address. IPv4 addresses within IPv6 count as IPv4.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(into = "String", try_from = "String")]
pub struct SourcePrefix(IpNet);

impl SourcePrefix {
    /// The network that the leading bits of an address make: as many as the figure for its family says, all at most.
    pub(crate) fn around(ip: IpAddr, ipv4_bits: u8, ipv6_bits: u8) -> Self {
        let ip = ip.to_canonical();
        let bits = if ip.is_ipv4() { ipv4_bits } else { ipv6_bits };
        let network = IpNet::new(ip, bits).unwrap_or_else(|_| IpNet::from(ip));
        Self(network.trunc())
    }

    /// Whether the address lies in it.
    pub fn contains(&self, ip: IpAddr) -> bool {
        self.0.contains(&ip.to_canonical())
    }
}

/// A text that is no [`SourcePrefix`].
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("{0:?} is no network such as 10.0.0.0/8, and no IP address")]
pub struct SourcePrefixError(Box<str>);

impl FromStr for SourcePrefix {
    type Err = SourcePrefixError;

    fn from_str(text: &str) -> Result<Self, SourcePrefixError> {
        let alone = || text.parse::<IpAddr>().map(IpNet::from);
        let network = text.parse::<IpNet>().or_else(|_| alone());
        network.map(|network| Self(network.trunc())).map_err(|_| SourcePrefixError(text.into()))
    }
}

impl fmt::Display for SourcePrefix {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.0.fmt(f)
    }
}

impl From<SourcePrefix> for String {
    fn from(prefix: SourcePrefix) -> Self {
        prefix.to_string()
    }
}

impl TryFrom<String> for SourcePrefix {
    type Error = SourcePrefixError;

    fn try_from(text: String) -> Result<Self, SourcePrefixError> {
        text.parse()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_network_contains_its_addresses_in_either_form() {
        let network: SourcePrefix = "10.1.2.3/8".parse().unwrap();
        assert_eq!(network.to_string(), "10.0.0.0/8");
        for (ip, is_in) in
            [("10.9.9.9", true), ("::ffff:10.9.9.9", true), ("11.0.0.1", false), ("::1", false)]
        {
            assert_eq!(network.contains(ip.parse().unwrap()), is_in, "{ip}");
        }
        let one: SourcePrefix = "2001:db8::1".parse().unwrap();
        assert!(one.contains("2001:db8::1".parse().unwrap()));
        assert!(!one.contains("2001:db8::2".parse().unwrap()));
        assert!("10.0.0.0/33".parse::<SourcePrefix>().is_err());
    }

    #[test]
    fn the_leading_bits_make_the_network() {
        for (ip, network) in [
            ("10.1.2.3", "10.1.2.0/24"),
            ("::ffff:10.1.2.3", "10.1.2.0/24"),
            ("2001:db8:1:2:3::4", "2001:db8:1::/48"),
        ] {
            let found = SourcePrefix::around(ip.parse().unwrap(), 24, 48);
            assert_eq!(found.to_string(), network, "{ip}");
        }
        let all = SourcePrefix::around("10.1.2.3".parse().unwrap(), 0, 0);
        assert_eq!(all.to_string(), "0.0.0.0/0");
        let one = SourcePrefix::around("10.1.2.3".parse().unwrap(), 200, 200);
        assert_eq!(one.to_string(), "10.1.2.3/32");
    }
}
