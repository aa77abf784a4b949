//! Socket addresses as plain structs, for calls that carry one with each datagram.
#![allow(unsafe_code, reason = "structs come by pointer")]

use crate::{call::Blank, error::Failure};
use std::net::{IpAddr, Ipv4Addr, Ipv6Addr, SocketAddr, SocketAddrV6};

/// IPv4, in trunkline_socket_address_t.
pub const TRUNKLINE_FAMILY_IPV4: u8 = 4;
/// IPv6, in trunkline_socket_address_t.
pub const TRUNKLINE_FAMILY_IPV6: u8 = 6;

/// An IP address and a port. All zeroes are no address.
#[repr(C)]
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct trunkline_socket_address_t {
    /// In network order; an IPv4 address is in the first four, and the others are 0.
    pub ip: [u8; 16],
    /// Zone of a link-local IPv6 address, by the number of the interface; else 0.
    pub scope: u32,
    /// In host order.
    pub port: u16,
    /// TRUNKLINE_FAMILY_IPV4 or TRUNKLINE_FAMILY_IPV6; 0 for no address.
    pub family: u8,
    /// 0
    pub reserved0: u8,
}

impl Blank for trunkline_socket_address_t {
    const BLANK: Self = Self { ip: [0; 16], scope: 0, port: 0, family: 0, reserved0: 0 };
}

impl From<SocketAddr> for trunkline_socket_address_t {
    fn from(address: SocketAddr) -> Self {
        let mut this = Self { port: address.port(), ..Self::BLANK };
        match address {
            SocketAddr::V4(v4) => {
                this.family = TRUNKLINE_FAMILY_IPV4;
                this.ip[..4].copy_from_slice(&v4.ip().octets());
            }
            SocketAddr::V6(v6) => {
                this.family = TRUNKLINE_FAMILY_IPV6;
                this.ip = v6.ip().octets();
                this.scope = v6.scope_id();
            }
        }
        this
    }
}

impl trunkline_socket_address_t {
    /// The address; `name` is the argument that has it.
    pub(crate) fn checked(&self, name: &str) -> Result<SocketAddr, Failure> {
        match self.family {
            TRUNKLINE_FAMILY_IPV4 => {
                let [a, b, c, d, ..] = self.ip;
                Ok(SocketAddr::new(Ipv4Addr::new(a, b, c, d).into(), self.port))
            }
            TRUNKLINE_FAMILY_IPV6 => {
                Ok(SocketAddrV6::new(Ipv6Addr::from(self.ip), self.port, 0, self.scope).into())
            }
            other => Err(Failure::argument(format!("{name}: family must be 4 or 6, is {other}"))),
        }
    }
}

/// The address `ip` with a port.
pub(crate) fn of_ip(ip: Option<IpAddr>, port: u16) -> trunkline_socket_address_t {
    ip.map_or(trunkline_socket_address_t::BLANK, |ip| SocketAddr::new(ip, port).into())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn addresses_come_back_as_they_went_and_what_is_none_is_refused() {
        for text in ["127.0.0.1:53", "255.1.2.3:0", "[::1]:65535", "[fe80::1%7]:9"] {
            let address: SocketAddr = text.parse().unwrap();
            let crossed = trunkline_socket_address_t::from(address);
            assert_eq!(crossed.checked("to").unwrap(), address);
        }
        assert!(trunkline_socket_address_t::BLANK.checked("to").is_err());
        assert_eq!(of_ip(None, 5), trunkline_socket_address_t::BLANK);
    }
}
