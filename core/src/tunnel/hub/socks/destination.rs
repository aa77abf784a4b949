//! Which cluster a SOCKS5 user wants, and what there. No I/O.

use super::message::{Host, Request};
use crate::{
    address::{Address, is_cluster_name},
    config::SocksConfig,
};
use std::net::{Ipv4Addr, SocketAddr};

/// A cluster, and what its agent is to dial where the agent does not decide.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Destination {
    pub(super) cluster: Box<str>,
    pub(super) target: Option<Address>,
}

/// `None` where the configuration leads nowhere.
pub(super) fn destination(config: &SocksConfig, request: &Request) -> Option<Destination> {
    let name = match &request.host {
        Host::Ip(ip) => {
            let target = Some(Address::Tcp(SocketAddr::new(*ip, request.port)));
            return Some(Destination { cluster: config.cluster.as_deref()?.into(), target });
        }
        Host::Name(name) => name.as_str(),
    };
    let below = name.strip_suffix(config.suffix.as_str()).and_then(|rest| rest.strip_suffix('.'));
    let (host, cluster) = match below.map(|below| below.rsplit_once('.').unwrap_or(("", below))) {
        Some((host, cluster)) => (host, cluster),
        None => (name, config.cluster.as_deref()?),
    };
    if !is_cluster_name(cluster) {
        return None;
    }
    let target = (!host.is_empty()).then(|| target(host, request.port));
    Some(Destination { cluster: cluster.into(), target })
}

fn target(host: &str, port: u16) -> Address {
    match host.parse::<Ipv4Addr>() {
        Ok(ip) => Address::Tcp(SocketAddr::new(ip.into(), port)),
        Err(_) => Address::TcpName { host: host.into(), port },
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_name_says_the_cluster_and_what_there_and_the_rest_goes_to_one() {
        let leads = |host: &str, all: Option<&str>| {
            let config = SocksConfig { cluster: all.map(Into::into), ..SocksConfig::default() };
            let host = match host.parse() {
                Ok(ip) => Host::Ip(ip),
                Err(_) => Host::Name(host.into()),
            };
            let to = destination(&config, &Request { host, port: 80 })?;
            Some((to.cluster.to_string(), to.target.map(|target| target.to_string())))
        };
        let to =
            |cluster: &str, target: Option<&str>| Some((cluster.into(), target.map(Into::into)));
        for all in [None, Some("all")] {
            assert_eq!(leads("c1.tunnel", all), to("c1", None));
            assert_eq!(leads("db.c1.tunnel", all), to("c1", Some("tcp://db:80")));
            assert_eq!(leads("db.internal.c1.tunnel", all), to("c1", Some("tcp://db.internal:80")));
            assert_eq!(leads("10.0.0.7.c1.tunnel", all), to("c1", Some("tcp://10.0.0.7:80")));
        }
        for host in ["tunnel", "c1.tunnels", "example.test", "10.0.0.7", "::1"] {
            assert_eq!(leads(host, None), None, "{host}");
        }
        assert_eq!(leads("example.test", Some("all")), to("all", Some("tcp://example.test:80")));
        assert_eq!(leads("tunnel", Some("all")), to("all", Some("tcp://tunnel:80")));
        assert_eq!(leads("::1", Some("all")), to("all", Some("tcp://[::1]:80")));
    }
}
