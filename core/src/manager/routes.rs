//! Decides whether a relay would lead back to itself, where that can be seen from the addresses.

use crate::{address::Address, context::Protocol};
use std::net::{IpAddr, Ipv4Addr};

/// Where each relay of a manager listens, and where it leads.
#[derive(Debug, Default)]
pub(super) struct Routes(Vec<Route>);

#[derive(Debug)]
struct Route {
    listen: Address,
    to: Address,
}

impl Routes {
    /// Whether a relay from `listen` to `to` would come back to `listen`, directly or through others.
    pub(super) fn is_loop(&self, listen: &Address, to: &Address) -> bool {
        let mut reached = to;
        // A chain that is longer than the list goes round without passing `listen`.
        for _ in 0..=self.0.len() {
            if leads_to(reached, listen) {
                return true;
            }
            match self.0.iter().find(|route| leads_to(reached, &route.listen)) {
                Some(route) => reached = &route.to,
                None => return false,
            }
        }
        false
    }

    pub(super) fn add(&mut self, listen: Address, to: Address) {
        self.0.push(Route { listen, to });
    }

    pub(super) fn remove(&mut self, listen: &Address) {
        self.0.retain(|route| route.listen != *listen);
    }
}

/// Whether a connection to `to` evidently arrives at whoever listens on `listen`.
fn leads_to(to: &Address, listen: &Address) -> bool {
    match (socket(to), socket(listen)) {
        (Some(to), Some(listen)) => {
            (to.protocol, to.port) == (listen.protocol, listen.port) && meet(to.ip, listen.ip)
        }
        _ => to == listen,
    }
}

/// What an address of TCP (with TLS or without) or UDP names, where that is known without a look-up.
struct Named {
    protocol: Protocol,
    ip: IpAddr,
    port: u16,
}

fn socket(address: &Address) -> Option<Named> {
    let (protocol, ip, port) = match address {
        Address::Tcp(literal) | Address::Tls(literal) => {
            (Protocol::Tcp, literal.ip().to_canonical(), literal.port())
        }
        Address::Udp(literal) => (Protocol::Udp, literal.ip().to_canonical(), literal.port()),
        Address::TcpName { host, port } | Address::TlsName { host, port } if is_localhost(host) => {
            (Protocol::Tcp, Ipv4Addr::LOCALHOST.into(), *port)
        }
        Address::UdpName { host, port } if is_localhost(host) => {
            (Protocol::Udp, Ipv4Addr::LOCALHOST.into(), *port)
        }
        Address::TcpName { .. }
        | Address::TlsName { .. }
        | Address::UdpName { .. }
        | Address::Unix(_)
        | Address::Abstract(_)
        | Address::Mem(_)
        | Address::Tunnel(_) => return None,
    };
    Some(Named { protocol, ip, port })
}

fn is_localhost(host: &str) -> bool {
    host.eq_ignore_ascii_case("localhost")
}

/// "Any address" includes the loopback ones; to connect to it means to connect to one of those.
fn meet(to: IpAddr, listen: IpAddr) -> bool {
    let is_own = |ip: IpAddr| ip.is_unspecified() || ip.is_loopback();
    to == listen
        || (is_own(to) && is_own(listen) && (to.is_unspecified() || listen.is_unspecified()))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn address(text: &str) -> Address {
        text.parse().unwrap()
    }

    fn leads(to: &str, listen: &str) -> bool {
        Routes::default().is_loop(&address(listen), &address(to))
    }

    #[test]
    fn an_address_leads_to_itself_under_any_of_its_names() {
        for (to, listen) in [
            ("tcp://127.0.0.1:80", "tcp://127.0.0.1:80"),
            ("tcp://127.0.0.1:80", "tcp://0.0.0.0:80"),
            ("tcp://localhost:80", "tcp://127.0.0.1:80"),
            ("tcp://LocalHost:80", "tcp://[::]:80"),
            ("tls://localhost:80", "tcp://127.0.0.1:80"),
            ("tcp://127.0.0.1:80", "tls://0.0.0.0:80"),
            ("tcp://0.0.0.0:80", "tcp://127.0.0.1:80"),
            ("tcp://[::ffff:127.0.0.1]:80", "tcp://127.0.0.1:80"),
            ("unix:/run/a", "unix:/run/a"),
            ("unix:@a", "unix:@a"),
            ("mem:a", "mem:a"),
            ("tcp://name.example:80", "tcp://name.example:80"),
            ("udp://localhost:53", "udp://0.0.0.0:53"),
            ("udp://[::ffff:127.0.0.1]:53", "udp://127.0.0.1:53"),
        ] {
            assert!(leads(to, listen), "{to} → {listen}");
        }
    }

    #[test]
    fn another_port_host_or_name_is_another_place() {
        for (to, listen) in [
            ("tcp://127.0.0.1:81", "tcp://127.0.0.1:80"),
            ("tcp://127.0.0.2:80", "tcp://127.0.0.1:80"),
            ("tcp://192.0.2.1:80", "tcp://0.0.0.0:80"),
            ("tcp://name.example:80", "tcp://0.0.0.0:80"),
            ("unix:@a", "unix:a"),
            ("mem:a", "mem:b"),
            ("mem:a", "tcp://127.0.0.1:80"),
            ("udp://127.0.0.1:80", "tcp://127.0.0.1:80"),
        ] {
            assert!(!leads(to, listen), "{to} → {listen}");
        }
    }

    #[test]
    fn a_loop_through_other_relays_is_seen() {
        let mut routes = Routes::default();
        routes.add(address("mem:a"), address("mem:b"));
        routes.add(address("mem:b"), address("unix:@c"));
        assert!(routes.is_loop(&address("unix:@c"), &address("mem:a")));
        assert!(!routes.is_loop(&address("mem:d"), &address("mem:a")));
        routes.remove(&address("mem:b"));
        assert!(!routes.is_loop(&address("unix:@c"), &address("mem:a")));
    }

    #[test]
    fn a_chain_that_goes_round_elsewhere_ends_the_search() {
        let mut routes = Routes::default();
        routes.add(address("mem:a"), address("mem:b"));
        routes.add(address("mem:b"), address("mem:a"));
        assert!(!routes.is_loop(&address("mem:c"), &address("mem:a")));
    }
}
