//! What a channel's target says: which addresses, or which name to look up.

use crate::{address::Address, error::ConnectionError};
use http::uri::Authority;
use std::{
    net::{IpAddr, SocketAddr},
    path::Path,
    sync::Arc,
};

/// The port of a name that says none.
const DEFAULT_PORT: u16 = 443;
/// Bytes of a target of which only the program knows what it means.
const LONGEST_TEXT: usize = 4096;

/// A target, parsed.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Target {
    /// As it was written.
    pub(super) text: Box<str>,
    pub(super) kind: Kind,
    /// What `:authority` says unless somebody sets another.
    pub(super) authority: Box<str>,
    /// Whether the addresses say that they are to be secured.
    pub(super) is_secured: bool,
}

/// Where the addresses come from.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) enum Kind {
    /// They are in the target.
    Fixed(Vec<Address>),
    /// A name is looked up.
    Dns { host: Box<str>, port: u16 },
    /// A file has them.
    File(Arc<Path>),
    /// The program says which they are. `host` is whom they must prove to be.
    Program { host: Box<str> },
}

impl Target {
    /// Reads `dns:host:port`, `ipv4:a:p,b:p`, `ipv6:[a]:p`, `unix:path`, `unix-abstract:name`, `mem:name`,
    /// `passthrough:address`, `file:path` of a file with an address in each line, a list of addresses such as `tcp://a:1,mem:b` or `tls://a:1,tls://b:1`, or a bare `host:port`, which is
    /// looked up.
    pub(super) fn parse(text: &str) -> Result<Self, ConnectionError> {
        let parsed = match text.split_once(':') {
            Some(("dns", rest)) => dns(rest),
            Some(("ipv4", rest)) => literals(rest, IpAddr::is_ipv4),
            Some(("ipv6", rest)) => literals(rest, IpAddr::is_ipv6),
            Some(("unix", rest)) => unix(rest),
            Some(("unix-abstract", name)) => {
                fixed(Address::Abstract(name.into()), "localhost", !name.is_empty())
            }
            Some(("passthrough", rest)) => passthrough(rest),
            Some(("file", rest)) => file(rest),
            Some(("mem" | "tcp" | "tls", _)) => list(text),
            Some(_) | None => dns(text),
        };
        let (kind, authority) = parsed.map_err(|reason| {
            ConnectionError::invalid_config("target", format!("{reason}; is {text:?}"))
        })?;
        let is_secured = match &kind {
            Kind::Fixed(addresses) => addresses.iter().any(is_of_tls),
            Kind::Dns { .. } | Kind::File(_) | Kind::Program { .. } => false,
        };
        Ok(Self { text: text.into(), kind, authority, is_secured })
    }

    /// A target of which only the program knows what it means, such as `web`, `web:80`, `zone:web` or `zone://…/web`.
    /// Calls are for what stands behind the scheme and `//…/`; for `localhost` if that is no host.
    pub(super) fn of_program(text: &str) -> Result<Self, ConnectionError> {
        if text.is_empty() || text.len() > LONGEST_TEXT {
            let reason = format!("must have 1 to {LONGEST_TEXT} bytes, has {}", text.len());
            return Err(ConnectionError::invalid_config("target", reason));
        }
        let name = named_part(text);
        let is_host = |authority: &Authority| !authority.host().is_empty() && !name.contains('@');
        let known: Option<Authority> = name.parse().ok().filter(is_host);
        let authority: Box<str> = known.as_ref().map_or("localhost", Authority::as_str).into();
        let host = known.as_ref().map_or("localhost", Authority::host);
        let host = host.trim_matches(['[', ']']).into();
        Ok(Self { text: text.into(), kind: Kind::Program { host }, authority, is_secured: false })
    }
}

/// What stands behind `scheme:` and `//…/`. What is before a port is no scheme.
fn named_part(text: &str) -> &str {
    let rest = match text.split_once(':') {
        Some((_, rest)) if rest.parse::<u16>().is_err() && !text.starts_with('[') => rest,
        Some(_) | None => text,
    };
    match rest.strip_prefix("//") {
        Some(rest) => rest.split_once('/').map_or(rest, |(_, name)| name),
        None => rest,
    }
}

type Parsed = Result<(Kind, Box<str>), &'static str>;

fn fixed(address: Address, authority: &str, is_good: bool) -> Parsed {
    match is_good {
        true => Ok((Kind::Fixed(vec![address]), authority.into())),
        false => Err("the name is empty"),
    }
}

/// The part behind `//authority/`, where there is one; which server to ask is not ours to choose.
fn endpoint(rest: &str) -> Result<&str, &'static str> {
    match rest.strip_prefix("//") {
        Some(rest) => match rest.split_once('/') {
            Some(("", endpoint)) => Ok(endpoint),
            Some(_) => Err("a name server of its own is not supported"),
            None => Err("the name is missing"),
        },
        None => Ok(rest),
    }
}

fn dns(rest: &str) -> Parsed {
    let name = endpoint(rest)?;
    if let Some(address) = literal(name) {
        return Ok((Kind::Fixed(vec![Address::Tcp(address)]), name.into()));
    }
    let (host, port) =
        name.rsplit_once(':').map_or((name, None), |(host, port)| (host, Some(port)));
    let port = match port {
        None => DEFAULT_PORT,
        Some(port) => port.parse().ok().filter(|port| *port > 0).ok_or("the port is no port")?,
    };
    let address: Result<Address, _> = format!("tcp://{host}:{port}").parse();
    match address {
        Ok(Address::TcpName { host, port }) => Ok((Kind::Dns { host, port }, name.into())),
        _ => Err("the host is no IP address and no host name"),
    }
}

/// An IP address with or without a port.
fn literal(text: &str) -> Option<SocketAddr> {
    let bare = |text: &str| text.parse::<IpAddr>().ok();
    let unbracketed = text.strip_prefix('[').and_then(|text| text.strip_suffix(']'));
    text.parse().ok().or_else(|| {
        let ip = bare(text).or_else(|| unbracketed.and_then(bare))?;
        Some(SocketAddr::new(ip, DEFAULT_PORT))
    })
}

fn literals(rest: &str, is_family: fn(&IpAddr) -> bool) -> Parsed {
    let address = |part: &str| literal(part).filter(|address| is_family(&address.ip()));
    let addresses: Option<Vec<_>> = endpoint(rest)?.split(',').map(address).collect();
    let addresses = addresses.ok_or("every part must be an address of that family with a port")?;
    let authority = addresses[0].to_string().into();
    Ok((Kind::Fixed(addresses.into_iter().map(Address::Tcp).collect()), authority))
}

/// A path, with or without the `//` that only an absolute one may have.
fn path<'a>(rest: &'a str, otherwise: &'static str) -> Result<&'a str, &'static str> {
    match rest.strip_prefix("//") {
        Some(absolute) if absolute.starts_with('/') => Ok(absolute),
        Some(_) => Err(otherwise),
        None => Ok(rest),
    }
}

fn unix(rest: &str) -> Parsed {
    let path = path(rest, "behind unix:// the path must be absolute")?;
    let address = format!("unix:{path}").parse().map_err(|_| "the path is empty or too long")?;
    fixed(address, "localhost", true)
}

fn file(rest: &str) -> Parsed {
    let path = path(rest, "behind file:// the path must be absolute")?;
    match path.is_empty() || path.contains('\0') {
        true => Err("the path is empty, or no path"),
        false => Ok((Kind::File(Path::new(path).into()), "localhost".into())),
    }
}

fn passthrough(rest: &str) -> Parsed {
    let name = endpoint(rest)?;
    let address = stream_address(name).or_else(|| stream_address(&format!("tcp://{name}")));
    let address = address.ok_or("behind passthrough: an address is needed")?;
    let authority = authority(&address);
    fixed(address, &authority, true)
}

fn list(text: &str) -> Parsed {
    let addresses: Option<Vec<Address>> = text.split(',').map(stream_address).collect();
    let addresses =
        addresses.ok_or("every part must be an address of a stream, such as tcp://host:port")?;
    if addresses.iter().any(is_of_tls) && !addresses.iter().all(is_of_tls) {
        return Err("every address must be one of tls://, or none");
    }
    let authority = authority(&addresses[0]);
    Ok((Kind::Fixed(addresses), authority))
}

fn authority(address: &Address) -> Box<str> {
    match address {
        Address::Tcp(address) | Address::Tls(address) => address.to_string().into(),
        Address::TcpName { host, port } | Address::TlsName { host, port } => {
            format!("{host}:{port}").into()
        }
        Address::Unix(_)
        | Address::Abstract(_)
        | Address::Mem(_)
        | Address::Udp(_)
        | Address::UdpName { .. }
        | Address::Tunnel(_) => "localhost".into(),
    }
}

fn is_of_tls(address: &Address) -> bool {
    matches!(address, Address::Tls(_) | Address::TlsName { .. })
}

/// An address that a stream can reach.
pub(super) fn stream_address(text: &str) -> Option<Address> {
    text.parse().ok().filter(|address| match address {
        Address::Tcp(_)
        | Address::TcpName { .. }
        | Address::Unix(_)
        | Address::Abstract(_)
        | Address::Mem(_)
        | Address::Tls(_)
        | Address::TlsName { .. } => true,
        Address::Udp(_) | Address::UdpName { .. } | Address::Tunnel(_) => false,
    })
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    fn addresses(text: &str) -> Vec<String> {
        match Target::parse(text).unwrap().kind {
            Kind::Fixed(addresses) => addresses.iter().map(Address::to_string).collect(),
            Kind::Dns { host, port } => vec![format!("dns {host} {port}")],
            Kind::File(path) => vec![format!("file {}", path.display())],
            Kind::Program { host } => vec![format!("program {host}")],
        }
    }

    #[test]
    fn every_kind_of_target_is_understood() {
        for (text, expected) in [
            ("dns:db.internal:5000", &["dns db.internal 5000"][..]),
            ("dns:///db.internal", &["dns db.internal 443"]),
            ("db.internal:5000", &["dns db.internal 5000"]),
            ("db.internal", &["dns db.internal 443"]),
            ("127.0.0.1:80", &["tcp://127.0.0.1:80"]),
            ("dns:///[::1]:80", &["tcp://[::1]:80"]),
            ("ipv4:10.0.0.1:1,10.0.0.2", &["tcp://10.0.0.1:1", "tcp://10.0.0.2:443"]),
            ("ipv6:[::1]:1,[::2]:2", &["tcp://[::1]:1", "tcp://[::2]:2"]),
            ("unix:run/app.sock", &["unix:run/app.sock"]),
            ("unix:///run/app.sock", &["unix:/run/app.sock"]),
            ("unix-abstract:app", &["unix:@app"]),
            ("mem:app", &["mem:app"]),
            ("mem:a,tcp://h:1", &["mem:a", "tcp://h:1"]),
            ("file:run/app.list", &["file run/app.list"]),
            ("file:///run/app.list", &["file /run/app.list"]),
            ("passthrough:///h:1", &["tcp://h:1"]),
            ("passthrough:mem:a", &["mem:a"]),
            ("tls://a:1,tls://[::1]:1", &["tls://a:1", "tls://[::1]:1"]),
            ("passthrough:tls://a:1", &["tls://a:1"]),
        ] {
            assert_eq!(addresses(text), expected, "{text}");
        }
    }

    #[test]
    fn what_is_no_target_is_refused_with_the_reason() {
        for (text, reason) in [
            ("", "no host name"),
            ("dns://8.8.8.8/host", "name server"),
            ("host:0", "no port"),
            ("host:http", "no port"),
            ("ipv4:[::1]:1", "of that family"),
            ("unix://relative", "absolute"),
            ("unix:", "empty"),
            ("file:", "empty"),
            ("file://a", "absolute"),
            ("unix-abstract:", "empty"),
            ("mem:a,b", "every part"),
            ("mem:a,udp://127.0.0.1:1", "of a stream"),
            ("tls://a:1,tcp://a:1", "or none"),
            ("passthrough:udp://127.0.0.1:1", "an address is needed"),
        ] {
            let error = Target::parse(text).unwrap_err().to_string();
            assert!(error.contains(reason), "{text}: {error}");
        }
    }

    #[test]
    fn what_only_the_program_knows_is_called_by_its_name() {
        for (text, authority, host) in [
            ("web", "web", "web"),
            ("web:80", "web:80", "web"),
            ("zone:web", "web", "web"),
            ("zone:web:80", "web:80", "web"),
            ("zone:///web.internal", "web.internal", "web.internal"),
            ("zone://ns.internal:53/web:80", "web:80", "web"),
            ("zone://web", "web", "web"),
            ("[::1]:80", "[::1]:80", "::1"),
            ("zone:///a/b", "localhost", "localhost"),
            ("zone:", "localhost", "localhost"),
            ("user@web", "localhost", "localhost"),
            ("two words", "localhost", "localhost"),
        ] {
            let target = Target::of_program(text).unwrap();
            assert_eq!(
                (&*target.authority, target.kind),
                (authority, Kind::Program { host: host.into() }),
                "{text}"
            );
        }
        assert!(Target::of_program("").is_err() && Target::of_program(&"a".repeat(4097)).is_err());
    }

    proptest! {
        #[test]
        fn what_only_the_program_knows_is_any_text(text in ".{1,60}") {
            let target = Target::of_program(&text).unwrap();
            prop_assert!(target.authority.parse::<Authority>().is_ok());
        }

        #[test]
        fn parsing_is_total(text in "((dns|ipv4|ipv6|unix|mem|passthrough|file):)?.{0,60}") {
            let _ = Target::parse(&text);
        }
    }
}
