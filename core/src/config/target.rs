//! Which targets an agent may dial for its hub: rules as text, parsed once, asked with the address really dialled.

use crate::address::Address;
use serde::{Deserialize, Deserializer, Serialize, Serializer, de};
use std::{
    fmt,
    net::{IpAddr, Ipv4Addr, Ipv6Addr, SocketAddr},
    str::FromStr,
};

/// One entry of an agent's list of targets.
///
/// ```text
/// tcp://10.0.0.0/8:443      every address of a network, one port
/// tcp://[fd00::/8]:*        every port
/// tcp://db.internal:5432    a name, wherever it leads except to the places below
/// tcp://*.internal:80       every name under it
/// unix:/run/app.sock        this Unix socket;  unix:@app  in the abstract namespace
/// mem:app                   this in-memory listener
/// ```
///
/// Loopback, link-local (which is where clouds serve their metadata), unspecified, multicast and broadcast
/// addresses are dialled only where a network that lies wholly within such a range is listed: neither a name nor
/// `0.0.0.0/0` reaches them. What counts is the address that is dialled, after a name was looked up.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct TargetRule(Rule);

#[derive(Clone, Debug, PartialEq, Eq)]
enum Rule {
    Net { net: Net, port: Option<u16> },
    Name { name: Box<str>, below: bool, port: Option<u16> },
    Exact(Address),
}

/// A network: the first `length` bits of `base`, the others being zero.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
struct Net {
    base: IpAddr,
    length: u8,
}

/// A text that is no [`TargetRule`].
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("invalid target {text:?}: {reason}")]
pub struct TargetRuleError {
    text: Box<str>,
    reason: &'static str,
}

/// Addresses that only a network of their own kind opens.
const GUARDED: [(IpAddr, u8); 9] = [
    (IpAddr::V4(Ipv4Addr::UNSPECIFIED), 8),
    (IpAddr::V4(Ipv4Addr::new(127, 0, 0, 0)), 8),
    (IpAddr::V4(Ipv4Addr::new(169, 254, 0, 0)), 16),
    (IpAddr::V4(Ipv4Addr::new(224, 0, 0, 0)), 3),
    (IpAddr::V6(Ipv6Addr::UNSPECIFIED), 128),
    (IpAddr::V6(Ipv6Addr::LOCALHOST), 128),
    (IpAddr::V6(Ipv6Addr::new(0xfe80, 0, 0, 0, 0, 0, 0, 0)), 10),
    (IpAddr::V6(Ipv6Addr::new(0xff00, 0, 0, 0, 0, 0, 0, 0)), 8),
    // The metadata service of EC2.
    (IpAddr::V6(Ipv6Addr::new(0xfd00, 0x0ec2, 0, 0, 0, 0, 0, 0)), 32),
];

impl Net {
    fn new(base: IpAddr, length: u8) -> Option<Self> {
        let net = Self { base, length };
        (length <= bits(base) && net.holds(base) && net.masked(base) == number(base)).then_some(net)
    }

    fn masked(self, ip: IpAddr) -> u128 {
        let spare = u32::from(bits(self.base) - self.length);
        number(ip).checked_shr(spare).and_then(|top| top.checked_shl(spare)).unwrap_or(0)
    }

    fn holds(self, ip: IpAddr) -> bool {
        bits(ip) == bits(self.base) && self.masked(ip) == self.masked(self.base)
    }

    fn lies_in(self, other: Self) -> bool {
        self.length >= other.length && other.holds(self.base)
    }
}

fn bits(ip: IpAddr) -> u8 {
    match ip {
        IpAddr::V4(_) => 32,
        IpAddr::V6(_) => 128,
    }
}

fn number(ip: IpAddr) -> u128 {
    match ip {
        IpAddr::V4(ip) => u128::from(u32::from(ip)),
        IpAddr::V6(ip) => u128::from(ip),
    }
}

fn guarded() -> impl Iterator<Item = Net> {
    GUARDED.into_iter().map(|(base, length)| Net { base, length })
}

/// The address that packets to `ip` reach: IPv4 in IPv6 clothes (mapped, or through NAT64) is IPv4.
fn reached(ip: IpAddr) -> IpAddr {
    match ip.to_canonical() {
        IpAddr::V6(v6) if v6.segments()[..6] == [0x64, 0xff9b, 0, 0, 0, 0] => {
            let [.., a, b, c, d] = v6.octets();
            Ipv4Addr::new(a, b, c, d).into()
        }
        ip => ip,
    }
}

impl TargetRule {
    /// Whether it lets `dialled` through, to which the name `host` led where there was one.
    pub fn admits(&self, host: Option<&str>, dialled: SocketAddr) -> bool {
        let ip = reached(dialled.ip());
        let is_guarded = guarded().any(|net| net.holds(ip));
        match &self.0 {
            Rule::Net { net, port } => {
                net.holds(ip)
                    && port.is_none_or(|port| port == dialled.port())
                    && (!is_guarded || guarded().any(|guard| net.lies_in(guard)))
            }
            Rule::Name { name, below, port } => {
                !is_guarded
                    && port.is_none_or(|port| port == dialled.port())
                    && host.is_some_and(|host| is_named(name, *below, host))
            }
            Rule::Exact(_) => false,
        }
    }

    /// Whether it lists `target`, which has no socket address.
    pub fn lists(&self, target: &Address) -> bool {
        matches!(&self.0, Rule::Exact(listed) if listed == target)
    }
}

fn is_named(name: &str, below: bool, host: &str) -> bool {
    let host = host.strip_suffix('.').unwrap_or(host);
    if !below {
        return host.eq_ignore_ascii_case(name);
    }
    let Some(at) = host.len().checked_sub(name.len() + 1) else { return false };
    at > 0
        && host.is_char_boundary(at)
        && host[at..].starts_with('.')
        && host[at + 1..].eq_ignore_ascii_case(name)
}

impl FromStr for TargetRule {
    type Err = TargetRuleError;

    fn from_str(text: &str) -> Result<Self, TargetRuleError> {
        let error = |reason| TargetRuleError { text: text.into(), reason };
        let Some(rest) = text.strip_prefix("tcp://") else {
            return match text.parse() {
                Ok(address @ (Address::Unix(_) | Address::Abstract(_) | Address::Mem(_))) => {
                    Ok(Self(Rule::Exact(address)))
                }
                _ => Err(error("expected tcp://host:port, unix:/path, unix:@name or mem:name")),
            };
        };
        let (host, port) = rest.rsplit_once(':').ok_or_else(|| error("the port is missing"))?;
        let port = match port {
            "*" => None,
            port if port.bytes().all(|byte| byte.is_ascii_digit()) => match port.parse() {
                Ok(port) if port > 0 => Some(port),
                _ => return Err(error("the port is 1 to 65535, or *")),
            },
            _ => return Err(error("the port is 1 to 65535, or *")),
        };
        let host = match host.strip_prefix('[') {
            Some(rest) => rest.strip_suffix(']').ok_or_else(|| error("a ] is missing"))?,
            None if host.contains(':') => {
                return Err(error("an IPv6 network is written as [network]:port"));
            }
            None => host,
        };
        if let Some(net) = net(host) {
            let net = net.ok_or_else(|| error("the network has bits beyond its length"))?;
            return Ok(Self(Rule::Net { net, port }));
        }
        let (name, below) = match host.strip_prefix("*.") {
            Some(name) => (name, true),
            None => (host, false),
        };
        // What an address takes for a host name, and no wildcard in it.
        match format!("tcp://{name}:1").parse() {
            Ok(Address::TcpName { host, .. }) => Ok(Self(Rule::Name { name: host, below, port })),
            _ => Err(error("the host is no network and no name")),
        }
    }
}

/// `Some` if it is written as an address or network; `Some(None)` if it is a wrong one.
fn net(text: &str) -> Option<Option<Net>> {
    let Some((base, length)) = text.split_once('/') else {
        let ip: IpAddr = text.parse().ok()?;
        return Some(Net::new(ip.to_canonical(), bits(ip.to_canonical())));
    };
    let Ok(base) = base.parse::<IpAddr>() else { return Some(None) };
    Some(length.parse().ok().and_then(|length| Net::new(base, length)))
}

impl fmt::Display for TargetRule {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let tail = |f: &mut fmt::Formatter<'_>, port: &Option<u16>| match port {
            Some(port) => write!(f, ":{port}"),
            None => f.write_str(":*"),
        };
        match &self.0 {
            Rule::Exact(address) => address.fmt(f),
            Rule::Name { name, below, port } => {
                write!(f, "tcp://{}{name}", if *below { "*." } else { "" })?;
                tail(f, port)
            }
            Rule::Net { net: Net { base, length }, port } => {
                match base {
                    IpAddr::V4(base) => write!(f, "tcp://{base}/{length}")?,
                    IpAddr::V6(base) => write!(f, "tcp://[{base}/{length}]")?,
                }
                tail(f, port)
            }
        }
    }
}

impl Serialize for TargetRule {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.collect_str(self)
    }
}

impl<'de> Deserialize<'de> for TargetRule {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        String::deserialize(deserializer)?.parse().map_err(de::Error::custom)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    fn admits(rule: &str, host: Option<&str>, dialled: &str) -> bool {
        rule.parse::<TargetRule>().unwrap().admits(host, dialled.parse().unwrap())
    }

    #[test]
    fn a_network_admits_its_addresses_and_its_port() {
        assert!(admits("tcp://10.0.0.0/8:443", None, "10.1.2.3:443"));
        assert!(!admits("tcp://10.0.0.0/8:443", None, "10.1.2.3:80"));
        assert!(!admits("tcp://10.0.0.0/8:443", None, "11.1.2.3:443"));
        assert!(admits("tcp://[fd00::/8]:*", None, "[fd12::1]:9"));
        assert!(admits("tcp://192.0.2.1:80", Some("any.name"), "192.0.2.1:80"));
        assert!(admits("tcp://0.0.0.0/0:*", None, "8.8.8.8:53"));
    }

    #[test]
    fn a_name_admits_where_it_leads_but_not_to_guarded_places() {
        assert!(admits("tcp://db.internal:5432", Some("DB.internal."), "10.0.0.1:5432"));
        assert!(!admits("tcp://db.internal:5432", Some("db.internal.evil"), "10.0.0.1:5432"));
        assert!(!admits("tcp://db.internal:5432", None, "10.0.0.1:5432"));
        assert!(admits("tcp://*.internal:*", Some("a.b.internal"), "10.0.0.1:1"));
        assert!(!admits("tcp://*.internal:*", Some("internal"), "10.0.0.1:1"));
        assert!(!admits("tcp://*.internal:*", Some("xinternal"), "10.0.0.1:1"));
        for guarded in ["127.0.0.1:1", "169.254.169.254:1", "[::1]:1", "0.0.0.0:1", "[fe80::1]:1"] {
            assert!(
                !admits("tcp://rebound.example:*", Some("rebound.example"), guarded),
                "{guarded}"
            );
        }
    }

    #[test]
    fn loopback_and_metadata_are_reached_only_by_a_network_of_their_own() {
        for (guarded, listing) in [
            ("127.0.0.1:80", "tcp://127.0.0.1:80"),
            ("127.9.9.9:80", "tcp://127.0.0.0/8:*"),
            ("169.254.169.254:80", "tcp://169.254.169.254:80"),
            ("[fd00:ec2::254]:80", "tcp://[fd00:ec2::254]:80"),
            ("[::1]:80", "tcp://[::1]:*"),
            ("[::ffff:127.0.0.1]:80", "tcp://127.0.0.1:80"),
            ("[64:ff9b::169.254.169.254]:80", "tcp://169.254.169.254:80"),
        ] {
            assert!(admits(listing, None, guarded), "{listing} lists {guarded}");
            for wide in ["tcp://0.0.0.0/0:*", "tcp://[::/0]:*", "tcp://[fd00::/8]:*"] {
                assert!(!admits(wide, None, guarded), "{wide} does not list {guarded}");
            }
        }
    }

    #[test]
    fn sockets_and_names_in_memory_are_listed_one_by_one() {
        let rule: TargetRule = "unix:/run/app.sock".parse().unwrap();
        assert!(rule.lists(&"unix:/run/app.sock".parse().unwrap()));
        assert!(!rule.lists(&"unix:/run/other.sock".parse().unwrap()));
        assert!(!rule.lists(&"mem:app".parse().unwrap()));
    }

    #[test]
    fn what_is_no_rule_is_refused_with_the_reason() {
        for (text, reason) in [
            ("10.0.0.0/8:443", "expected tcp://"),
            ("tunnel:c1", "expected tcp://"),
            ("tcp://10.0.0.0/8", "port is missing"),
            ("tcp://10.0.0.0/8:0", "1 to 65535"),
            ("tcp://10.0.0.0/33:1", "beyond its length"),
            ("tcp://10.0.0.1/8:1", "beyond its length"),
            ("tcp://fd00::/8:1", "[network]:port"),
            ("tcp://[fd00::/8:1", "] is missing"),
            ("tcp://a.*.b:1", "no network and no name"),
            ("tcp://*:1", "no network and no name"),
        ] {
            let error = text.parse::<TargetRule>().unwrap_err().to_string();
            assert!(error.contains(reason), "{text}: {error}");
        }
    }

    proptest! {
        #[test]
        fn parsing_is_total_and_what_parses_prints_as_the_same_rule(text in "(tcp://)?.{0,40}") {
            if let Ok(rule) = text.parse::<TargetRule>() {
                prop_assert_eq!(rule.to_string().parse::<TargetRule>().unwrap(), rule);
            }
        }

        #[test]
        fn no_wide_network_and_no_name_admits_a_guarded_address(
            v4: u32, v6: u128, port in 1u16.., pick in 0usize..9,
        ) {
            let (base, length) = GUARDED[pick];
            let ip: IpAddr = match base {
                IpAddr::V4(base) => {
                    let mask = u32::MAX.checked_shr(u32::from(length)).unwrap_or(0);
                    Ipv4Addr::from(u32::from(base) | (v4 & mask)).into()
                }
                IpAddr::V6(base) => {
                    let mask = u128::MAX.checked_shr(u32::from(length)).unwrap_or(0);
                    Ipv6Addr::from(u128::from(base) | (v6 & mask)).into()
                }
            };
            for rule in ["tcp://0.0.0.0/0:*", "tcp://[::/0]:*", "tcp://a.example:*"] {
                let rule: TargetRule = rule.parse().unwrap();
                prop_assert!(!rule.admits(Some("a.example"), SocketAddr::new(ip, port)));
            }
        }
    }
}
