//! How the two ends of a tunnel behave: what both share, the agent and the hub.

use super::{
    BackoffConfig, Config, HttpConfig, MemoryCommConfig, SocksConfig, TargetRule, TcpConfig,
    TimeLimit, UserConfig,
    check::{self, LONGEST, SHORTEST},
    user::check_clusters,
};
use crate::{
    address::{Address, is_cluster_name},
    error::ConnectionError,
    secret::Secret,
};
use serde::{Deserialize, Serialize};
use std::{collections::BTreeMap, time::Duration};

/// How the connection between an agent and its hub is run. Each end has its own.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct LinkConfig {
    /// Bytes of one logical connection that this end holds unread at most; the peer stops there, and only on that
    /// connection. Default: 256 KiB. Limits: 1 KiB to 16 MiB. Cost: one connection carries at most this much per
    /// round trip, and a peer can make this end hold as much for each connection.
    pub window: u32,
    /// Bytes of one logical connection that were written and wait to be sent. Default: 256 KiB. Limits: 1 KiB
    /// to 16 MiB.
    pub send_buffer: u32,
    /// Time between pings, which also keep middleboxes from forgetting the connection. Default: 20 s. Limits:
    /// 1 s to 365 days, or never. Cost: never leaves a vanished peer to the kernel.
    pub ping_interval: TimeLimit,
    /// Time for the answer to a ping, after which the connection counts as lost. Default: 10 s. Limits: 1 ms to
    /// 365 days.
    #[serde(with = "crate::duration::text")]
    pub ping_timeout: Duration,
    /// Time for the hello, from the moment that the transport stands. Default: 10 s. Limits: 1 ms to 365 days.
    #[serde(with = "crate::duration::text")]
    pub hello_timeout: Duration,
    /// Bytes of one packet that this end takes; a longer one ends the tunnel. Of the `packet` carrier alone. Default: 16 MiB.
    /// Limits: 64 KiB to 1 GiB. Cost: a peer can make this end hold as much for each tunnel. A legacy hub sends a request
    /// with its whole body as one packet.
    pub max_packet: u32,
    /// Whether the peer may be one that speaks `tunnel.v1` and none of what is added to it here: such a peer knows no
    /// credit, no half-close and no reason of a refusal. Of the `packet` carrier alone. Default: false.
    pub allow_legacy_peers: bool,
    /// Time for which a connection of a legacy peer may hold up the others of its link because it is not read from, or
    /// because its agent does not answer what must come first; then it is reset. Default: 10 s. Limits: 1 ms to 365 days.
    #[serde(with = "crate::duration::text")]
    pub stall_timeout: Duration,
}

/// How logical connections cross the link between an agent and its hub.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum TunnelCarrier {
    /// HTTP/2 with the roles reversed: each connection is a stream of it.
    #[default]
    Native,
    /// The `tunnel.v1` protocol: one call of gRPC carries the packets of all. What there is between the ends may be
    /// anything that passes gRPC on, and the other end may be another program's.
    Packet,
}

/// How an agent reaches its hubs, and what it lets them reach.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct AgentConfig {
    /// The name of the cluster that the agent stands for. Required. Limits: 1 to 128 letters, digits, `-`, `_` and `.`.
    pub cluster: String,
    /// What proves the name to the hubs. Default: none, which only a hub with an authenticator of its own accepts.
    pub token: Option<Secret>,
    /// The hubs, each of which gets a tunnel of its own. Required. Limits: 1 to 64.
    pub hubs: Vec<Address>,
    /// How connections cross the link. A hub that does not take this carrier is an error, and no other is tried. Default: native.
    pub carrier: TunnelCarrier,
    /// Transport connections to each hub: more than one keeps a lost packet from holding up all. Default: 1.
    /// Limits: 1 to 16.
    pub links: u32,
    /// Whether the token and the traffic may cross a network in the clear. Default: false: then a hub at a `tcp://`
    /// address must be on loopback.
    pub allow_plaintext: bool,
    /// Logical connections at one time, over all hubs; what exceeds it is refused. Default: 1000. Limits: 1 to 1,000,000.
    pub max_connections: u32,
    /// Logical connections that wait for the host to accept them; the next wait for a place. Default: 128. Limits: 1 to 65535.
    pub backlog: u32,
    /// Where connections without a target go. Default: none, they go to the agent's listener. It need not be listed in `targets`.
    pub forward: Option<Address>,
    /// Whether connections without a target reach the agent's listener by a pipe, where they do not come as they are. Default: false,
    /// they go over a Unix socket of the agent's own if `memory_comm` is given, and else come as they are. It can be changed while the agent runs,
    /// also for a share of the connections.
    pub use_memory_comm: bool,
    /// How the pipe or the socket is set up; given, there is one of them between each connection without a target and the listener. Default: none,
    /// unless `use_memory_comm` is set. Not together with `forward`.
    pub memory_comm: Option<MemoryCommConfig>,
    /// What else the hubs may have dialled. Default: nothing. Limits: at most 1024 rules.
    pub targets: Vec<TargetRule>,
    /// Targets being dialled at one time; what exceeds it is refused. Default: 64. Limits: 1 to 1,000,000.
    pub max_pending_dials: u32,
    /// Time without a byte either way after which a connection that is forwarded, or comes by `memory_comm`, is closed. Default: 1 h.
    /// Limits: 1 ms to 365 days, or never.
    pub idle_timeout: TimeLimit,
    /// Time for the second side of such a connection to finish after the first has. Default: 60 s. Limits: zero to 365 days, or never.
    pub half_close_timeout: TimeLimit,
    /// Bytes that such a connection holds for each direction beside the link's. Default: 64 KiB. Limits: 1 KiB to 16 MiB.
    pub buffer_size: u32,
    /// How the delay between attempts to reach a hub grows. Default: gRPC's 1 s × 1.6 up to 120 s ± 20 %.
    pub backoff: BackoffConfig,
    /// How long a tunnel must have stood for its end to be no failure: only then the backoff starts anew. Default: 30 s. Limits: zero to 365 days.
    #[serde(with = "crate::duration::text")]
    pub healthy_after: Duration,
    /// Time that a drain gives connections to finish before it cuts them. Default: 30 s. Limits: zero to 365 days, or never.
    pub drain_timeout: TimeLimit,
    /// The connection to the hub.
    pub link: LinkConfig,
    /// Sockets to hubs and targets; its `connect_timeout` bounds each dial of a target.
    pub tcp: TcpConfig,
}

/// Who serves a cluster when several agents prove its name.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum AgentPolicy {
    /// The one that came last. Those before get no new connections, and `replaced_grace` for the ones they have.
    #[default]
    Newest,
    /// All of them: each connection goes to the one with the fewest.
    Share,
}

/// How a hub lets agents in and reaches them.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct HubConfig {
    /// The tokens that prove each cluster's name; several let a token be changed without a gap. Default: none; a cluster
    /// that is not in `agent_certificates` either lets nobody in. Limits: 16 tokens of 16 to 1024 bytes for each cluster.
    pub agents: BTreeMap<String, Vec<Secret>>,
    /// The names of which an agent's certificate must have one to stand for each cluster: a URI, such as a SPIFFE id, which
    /// must be its only one, or a DNS name; a wildcard in a certificate counts for nothing. A cluster that is in `agents` too needs both,
    /// the certificate and a token. Default: none. Limits: 16 names of 1 to 2048 bytes for each cluster.
    pub agent_certificates: BTreeMap<String, Vec<String>>,
    /// The carriers that agents may use. Default: native alone. Limits: 1 or 2, each once.
    pub carriers: Vec<TunnelCarrier>,
    /// Addresses given to `listen` at which an agent of the `packet` carrier may stand for a cluster to which nothing is
    /// bound, neither token nor certificate: whoever can connect there may be that cluster, and gets what its users
    /// send. Default: none. Limits: at most 64.
    pub allow_unauthenticated_agents: Vec<Address>,
    /// Who serves a cluster when several agents prove its name. Default: newest.
    pub policy: AgentPolicy,
    /// Time that the connections of an agent that was replaced get to finish. Default: 30 s. Limits: zero to 365 days, or never.
    pub replaced_grace: TimeLimit,
    /// Whether agents may come over a network in the clear. Default: false: then a `tcp://` address to listen on
    /// must be on loopback.
    pub allow_plaintext: bool,
    /// Whether forwards may listen where others than this machine can connect. Default: false: then a TCP address to
    /// forward from must be on loopback.
    pub allow_public_forwards: bool,
    /// Tunnels at one time. Default: 1024. Limits: 1 to 1,000,000.
    pub max_agents: u32,
    /// Agents that have not proved their name yet; the next wait in the backlog. Default: 64. Limits: 1 to 1,000,000.
    pub max_hellos: u32,
    /// Who may use which clusters by HTTP and SOCKS5, by name. Default: none, nobody may. Limits: at most 1024.
    pub users: BTreeMap<String, UserConfig>,
    /// The clusters that may be used by HTTP and SOCKS5 without saying who one is; `*` for all. Default: none.
    pub anonymous: Vec<String>,
    /// Users who speak HTTP.
    pub http: HttpConfig,
    /// Users who speak SOCKS5.
    pub socks: SocksConfig,
    /// Logical connections at one time. Default: 10,000. Limits: 1 to 1,000,000.
    pub max_connections: u32,
    /// Logical connections to one cluster at one time. Default: 1000. Limits: 1 to 1,000,000.
    pub max_connections_per_cluster: u32,
    /// Dials to one cluster that have no answer yet. Default: 128. Limits: 1 to 1,000,000.
    pub max_pending_dials: u32,
    /// Time for a dial without a deadline of its own. Default: 30 s. Limits: 1 ms to 365 days.
    #[serde(with = "crate::duration::text")]
    pub dial_timeout: Duration,
    /// Time that a dial waits for an agent to come while there is none. Default: zero. Limits: zero to 365 days, or never, the dial's deadline aside.
    pub agent_wait: TimeLimit,
    /// Time without a byte either way after which a forwarded connection is closed. Default: 1 h. Limits: 1 ms to 365 days, or never.
    pub idle_timeout: TimeLimit,
    /// Time for the second side of a forwarded connection to finish after the first has. Default: 60 s. Limits: zero to 365 days, or never.
    pub half_close_timeout: TimeLimit,
    /// Bytes that a forwarded connection holds for each direction beside the link's. Default: 64 KiB. Limits: 1 KiB to 16 MiB.
    pub buffer_size: u32,
    /// Pause of accepting when the process has no file descriptor or no memory left. Default: 100 ms. Limits: 1 ms to 365 days.
    #[serde(with = "crate::duration::text")]
    pub accept_pause: Duration,
    /// Time that a drain gives connections to finish before it cuts them. Default: 30 s. Limits: zero to 365 days, or never.
    pub drain_timeout: TimeLimit,
    /// The connections to agents.
    pub link: LinkConfig,
    /// Sockets of agents and of clients of forwards.
    pub tcp: TcpConfig,
}

const BUFFER: std::ops::RangeInclusive<u32> = 1 << 10..=16 << 20;
const COUNT: std::ops::RangeInclusive<u32> = 1..=1_000_000;

impl Default for LinkConfig {
    fn default() -> Self {
        Self {
            window: 256 << 10,
            send_buffer: 256 << 10,
            ping_interval: TimeLimit::secs(20),
            ping_timeout: Duration::from_secs(10),
            hello_timeout: Duration::from_secs(10),
            max_packet: 16 << 20,
            allow_legacy_peers: false,
            stall_timeout: Duration::from_secs(10),
        }
    }
}

impl Config for LinkConfig {
    fn validate(&self) -> Result<(), ConnectionError> {
        check::number("window", self.window, BUFFER)?;
        check::number("send_buffer", self.send_buffer, BUFFER)?;
        check::limit("ping_interval", self.ping_interval, Duration::from_secs(1)..=LONGEST)?;
        check::duration("ping_timeout", self.ping_timeout, SHORTEST..=LONGEST)?;
        check::duration("hello_timeout", self.hello_timeout, SHORTEST..=LONGEST)?;
        check::number("max_packet", self.max_packet, 64 << 10..=1 << 30)?;
        check::duration("stall_timeout", self.stall_timeout, SHORTEST..=LONGEST)
    }
}

impl Default for AgentConfig {
    fn default() -> Self {
        Self {
            cluster: String::new(),
            token: None,
            hubs: Vec::new(),
            carrier: TunnelCarrier::Native,
            links: 1,
            allow_plaintext: false,
            max_connections: 1000,
            backlog: 128,
            forward: None,
            use_memory_comm: false,
            memory_comm: None,
            targets: Vec::new(),
            max_pending_dials: 64,
            idle_timeout: TimeLimit::secs(3600),
            half_close_timeout: TimeLimit::secs(60),
            buffer_size: 64 << 10,
            backoff: BackoffConfig::default(),
            healthy_after: Duration::from_secs(30),
            drain_timeout: TimeLimit::secs(30),
            link: LinkConfig::default(),
            tcp: TcpConfig::default(),
        }
    }
}

impl Config for AgentConfig {
    fn validate(&self) -> Result<(), ConnectionError> {
        check_cluster("cluster", &self.cluster)?;
        if let Some(token) = &self.token {
            check_token("token", token)?;
        }
        check::number("hubs", self.hubs.len(), 1..=64)?;
        for hub in &self.hubs {
            check_reach("hubs", hub, self.allow_plaintext)?;
        }
        check::number("links", self.links, 1..=16)?;
        check::number("max_connections", self.max_connections, COUNT)?;
        check::number("backlog", self.backlog, 1..=65535)?;
        if let Some(Address::Tunnel(_) | Address::Udp(_) | Address::UdpName { .. }) = self.forward {
            return check::refuse(
                "forward",
                "must be a stream that is reached without a tunnel".into(),
            );
        }
        if let Some(comm) = self.comm() {
            check::within("memory_comm", comm.validate())?;
            if self.forward.is_some() {
                let why = "must not be given where connections are forwarded";
                return check::refuse("memory_comm", why.into());
            }
        }
        check::number("targets", self.targets.len(), 0..=1024)?;
        check::number("max_pending_dials", self.max_pending_dials, COUNT)?;
        check::limit("idle_timeout", self.idle_timeout, SHORTEST..=LONGEST)?;
        check::limit("half_close_timeout", self.half_close_timeout, Duration::ZERO..=LONGEST)?;
        check::number("buffer_size", self.buffer_size, BUFFER)?;
        check::within("backoff", self.backoff.validate())?;
        check::duration("healthy_after", self.healthy_after, Duration::ZERO..=LONGEST)?;
        check::limit("drain_timeout", self.drain_timeout, Duration::ZERO..=LONGEST)?;
        check::within("link", self.link.validate())?;
        check::within("tcp", self.tcp.validate())
    }
}

impl AgentConfig {
    /// How connections reach the listener, where they do not come as they are.
    pub(crate) fn comm(&self) -> Option<MemoryCommConfig> {
        self.memory_comm.clone().or_else(|| self.use_memory_comm.then(MemoryCommConfig::default))
    }
}

impl Default for HubConfig {
    fn default() -> Self {
        Self {
            agents: BTreeMap::new(),
            agent_certificates: BTreeMap::new(),
            carriers: vec![TunnelCarrier::Native],
            allow_unauthenticated_agents: Vec::new(),
            policy: AgentPolicy::Newest,
            replaced_grace: TimeLimit::secs(30),
            allow_plaintext: false,
            allow_public_forwards: false,
            max_agents: 1024,
            max_hellos: 64,
            users: BTreeMap::new(),
            anonymous: Vec::new(),
            http: HttpConfig::default(),
            socks: SocksConfig::default(),
            max_connections: 10_000,
            max_connections_per_cluster: 1000,
            max_pending_dials: 128,
            dial_timeout: Duration::from_secs(30),
            agent_wait: TimeLimit::After(Duration::ZERO),
            idle_timeout: TimeLimit::secs(3600),
            half_close_timeout: TimeLimit::secs(60),
            buffer_size: 64 << 10,
            accept_pause: Duration::from_millis(100),
            drain_timeout: TimeLimit::secs(30),
            link: LinkConfig::default(),
            tcp: TcpConfig::default(),
        }
    }
}

impl Config for HubConfig {
    fn validate(&self) -> Result<(), ConnectionError> {
        for (cluster, tokens) in &self.agents {
            check_cluster("agents", cluster)?;
            check::number("agents", tokens.len(), 1..=16)?;
            tokens.iter().try_for_each(|token| check_token("agents", token))?;
        }
        for (cluster, names) in &self.agent_certificates {
            const FIELD: &str = "agent_certificates";
            check_cluster(FIELD, cluster)?;
            check::number(FIELD, names.len(), 1..=16)?;
            names.iter().try_for_each(|name| check_certificate_name(FIELD, name))?;
        }
        check::number("carriers", self.carriers.len(), 1..=2)?;
        if let [one, two] = &self.carriers[..]
            && one == two
        {
            check::refuse("carriers", "names one carrier twice".into())?;
        }
        const OPEN: &str = "allow_unauthenticated_agents";
        check::number(OPEN, self.allow_unauthenticated_agents.len(), 0..=64)?;
        check::limit("replaced_grace", self.replaced_grace, Duration::ZERO..=LONGEST)?;
        check::number("max_agents", self.max_agents, COUNT)?;
        check::number("max_hellos", self.max_hellos, COUNT)?;
        check::number("users", self.users.len(), 0..=1024)?;
        for (name, user) in &self.users {
            check_user_name("users", name)?;
            check::within(format!("users.{name}"), user.validate())?;
        }
        check_clusters("anonymous", &self.anonymous)?;
        check::within("http", self.http.validate())?;
        check::within("socks", self.socks.validate())?;
        check::number("max_connections", self.max_connections, COUNT)?;
        check::number("max_connections_per_cluster", self.max_connections_per_cluster, COUNT)?;
        check::number("max_pending_dials", self.max_pending_dials, COUNT)?;
        check::duration("dial_timeout", self.dial_timeout, SHORTEST..=LONGEST)?;
        check::limit("agent_wait", self.agent_wait, Duration::ZERO..=LONGEST)?;
        check::limit("idle_timeout", self.idle_timeout, SHORTEST..=LONGEST)?;
        check::limit("half_close_timeout", self.half_close_timeout, Duration::ZERO..=LONGEST)?;
        check::number("buffer_size", self.buffer_size, BUFFER)?;
        check::duration("accept_pause", self.accept_pause, SHORTEST..=LONGEST)?;
        check::limit("drain_timeout", self.drain_timeout, Duration::ZERO..=LONGEST)?;
        check::within("link", self.link.validate())?;
        check::within("tcp", self.tcp.validate())
    }
}

impl HubConfig {
    /// Whether agents may come in at `address`.
    ///
    /// # Errors
    ///
    /// [`ConnectionError::InvalidConfig`] where they would come over a network in the clear, unless
    /// `allow_plaintext` is set.
    pub fn check_listen(&self, address: &Address) -> Result<(), ConnectionError> {
        check_reach("listen", address, self.allow_plaintext)
    }

    /// Whether clients may be forwarded from `address`.
    ///
    /// # Errors
    ///
    /// [`ConnectionError::InvalidConfig`] where others than this machine could connect, unless
    /// `allow_public_forwards` is set.
    pub fn check_forward(&self, address: &Address) -> Result<(), ConnectionError> {
        if is_private("listen", address)? || self.allow_public_forwards {
            return Ok(());
        }
        let why = "forwards ask nobody who it is, so they listen on loopback unless allow_public_forwards is set";
        check::refuse("listen", format!("{address}: {why}"))
    }

    /// Whether users may come by HTTP at `address`.
    ///
    /// # Errors
    ///
    /// [`ConnectionError::InvalidConfig`] where there are no routes; where what proves who users are would cross a
    /// network in the clear, unless `allow_plaintext` is set; and where others than this machine could use what is
    /// `anonymous`, unless `allow_public_forwards` is set.
    pub fn check_listen_http(&self, address: &Address) -> Result<(), ConnectionError> {
        if self.http.routes.is_empty() {
            return check::refuse("http.routes", "must be given to listen for requests".into());
        }
        self.check_listen_users(address)
    }

    /// Whether users may come by SOCKS5 at `address`.
    ///
    /// # Errors
    ///
    /// [`ConnectionError::InvalidConfig`] where what proves who users are would cross a network in the clear, unless
    /// `allow_plaintext` is set; and where others than this machine could use what is `anonymous`, unless
    /// `allow_public_forwards` is set.
    pub fn check_listen_socks(&self, address: &Address) -> Result<(), ConnectionError> {
        self.check_listen_users(address)
    }

    fn check_listen_users(&self, address: &Address) -> Result<(), ConnectionError> {
        check_reach("listen", address, self.allow_plaintext)?;
        if is_private("listen", address)? || self.anonymous.is_empty() || self.allow_public_forwards
        {
            return Ok(());
        }
        let why =
            "clusters that are anonymous are for loopback unless allow_public_forwards is set";
        check::refuse("listen", format!("{address}: {why}"))
    }
}

fn check_cluster(field: &'static str, name: &str) -> Result<(), ConnectionError> {
    if is_cluster_name(name) {
        return Ok(());
    }
    let rule =
        "must name a cluster by 1 to 128 letters, digits, '-', '_' and '.', the first no '.'";
    check::refuse(field, format!("{rule}; is {name:?}"))
}

/// A name that can stand in a field of HTTP, and in `Basic` credentials.
fn check_user_name(field: &'static str, name: &str) -> Result<(), ConnectionError> {
    let is_plain = |b: u8| b.is_ascii_graphic() && b != b':';
    if (1..=128).contains(&name.len()) && name.bytes().all(is_plain) {
        return Ok(());
    }
    check::refuse(field, format!("a name has 1 to 128 visible characters, no ':'; is {name:?}"))
}

/// Says nothing of the token itself.
pub(super) fn check_token(field: &'static str, token: &Secret) -> Result<(), ConnectionError> {
    if (16..=1024).contains(&token.expose().len()) {
        return Ok(());
    }
    check::refuse(field, "a token must have 16 to 1024 bytes".into())
}

pub(super) fn check_certificate_name(
    field: &'static str,
    name: &str,
) -> Result<(), ConnectionError> {
    let is_uri = |name: &str| name.contains("://") && name.bytes().all(|b| b.is_ascii_graphic());
    let is_dns = |name: &str| {
        name.bytes().all(|b| b.is_ascii_alphanumeric() || matches!(b, b'-' | b'_' | b'.'))
    };
    if (1..=2048).contains(&name.len()) && (is_uri(name) || is_dns(name)) {
        return Ok(());
    }
    check::refuse(field, format!("must be a URI or a DNS name without a wildcard, is {name:?}"))
}

/// Whether `address` is one that only this machine reaches.
fn is_private(field: &'static str, address: &Address) -> Result<bool, ConnectionError> {
    match address {
        Address::Tcp(literal) | Address::Tls(literal) => {
            Ok(literal.ip().to_canonical().is_loopback())
        }
        Address::TcpName { host, .. } | Address::TlsName { host, .. } => {
            Ok(host.eq_ignore_ascii_case("localhost"))
        }
        Address::Unix(_) | Address::Abstract(_) | Address::Mem(_) => Ok(true),
        Address::Udp(_) | Address::UdpName { .. } | Address::Tunnel(_) => {
            check::refuse(field, format!("{address}: must be tls://, tcp://, unix: or mem:"))?;
            Ok(false)
        }
    }
}

/// Refuses to let tokens and traffic leave the machine in the clear.
fn check_reach(
    field: &'static str,
    address: &Address,
    allow_plaintext: bool,
) -> Result<(), ConnectionError> {
    let is_secured = matches!(address, Address::Tls(_) | Address::TlsName { .. });
    if is_private(field, address)? || is_secured || allow_plaintext {
        return Ok(());
    }
    let why = "a token is not sent over a network in the clear unless allow_plaintext is set";
    check::refuse(field, format!("{address}: {why}"))
}

#[cfg(test)]
mod tests {
    use super::*;

    const TOKEN: &str = "0123456789abcdef";

    fn agent(more: &str) -> Result<AgentConfig, ConnectionError> {
        AgentConfig::from_json(&format!(r#"{{"cluster": "c1", "hubs": ["mem:hub"]{more}}}"#))
    }

    fn complaint<T: std::fmt::Debug>(answer: Result<T, ConnectionError>) -> String {
        answer.unwrap_err().to_string()
    }

    #[test]
    fn an_agent_needs_a_name_and_a_hub_and_the_rest_has_defaults() {
        let config = agent("").unwrap();
        assert_eq!((config.max_connections, config.links, config.token), (1000, 1, None));
        assert!(complaint(AgentConfig::from_json("{}")).starts_with("cluster: must name"));
        assert!(
            complaint(AgentConfig::from_json(r#"{"cluster": "c1"}"#)).starts_with("hubs: must")
        );
        for name in ["", "a b", "../c1", "c/1", "ü"] {
            let config = AgentConfig { cluster: name.into(), ..agent("").unwrap() };
            assert!(complaint(config.validate()).starts_with("cluster:"), "{name}");
        }
    }

    #[test]
    fn a_token_is_refused_over_a_network_in_the_clear() {
        for (hub, is_private) in [
            ("tcp://127.0.0.1:1", true),
            ("tcp://[::1]:1", true),
            ("tcp://localhost:1", true),
            ("unix:/run/hub.sock", true),
            ("mem:hub", true),
            ("tls://192.0.2.1:1", true),
            ("tls://hub.example:1", true),
            ("tcp://192.0.2.1:1", false),
            ("tcp://hub.example:1", false),
            ("tcp://0.0.0.0:1", false),
        ] {
            let hub: Address = hub.parse().unwrap();
            let config = AgentConfig { hubs: vec![hub.clone()], ..agent("").unwrap() };
            assert_eq!(config.validate().is_ok(), is_private, "{hub}");
            assert_eq!(HubConfig::default().check_listen(&hub).is_ok(), is_private, "{hub}");
            let config = AgentConfig { allow_plaintext: true, ..config };
            assert!(config.validate().is_ok(), "{hub}");
        }
    }

    #[test]
    fn tokens_are_never_written() {
        let agent = agent(&format!(r#", "token": "{TOKEN}""#)).unwrap();
        let hub = HubConfig::from_json(&format!(r#"{{"agents": {{"c1": ["{TOKEN}"]}}}}"#)).unwrap();
        for shown in [
            agent.to_json(),
            hub.to_json(),
            format!("{agent:?}{hub:#?}"),
            complaint(HubConfig::from_json(r#"{"agents": {"c1": ["short-token"]}}"#)),
        ] {
            assert!(!shown.contains(TOKEN) && !shown.contains("short-token"), "{shown}");
        }
        assert!(complaint(HubConfig::from_json(&hub.to_json())).contains("left out"));
    }

    #[test]
    fn rules_and_addresses_are_read_with_the_document() {
        let config = agent(r#", "targets": ["tcp://10.0.0.0/8:443"], "forward": "tcp://[::1]:80""#);
        let config = config.unwrap();
        assert_eq!(config.targets[0].to_string(), "tcp://10.0.0.0/8:443");
        assert_eq!(config.forward.unwrap().to_string(), "tcp://[::1]:80");
        for (more, field) in [
            (r#", "targets": ["tcp://x"]"#, "targets[0]"),
            (r#", "forward": "tunnel:c1""#, "forward"),
            (r#", "hubs": ["tunnel:c1"]"#, "hubs"),
            (r#", "link": {"window": 1}"#, "link.window"),
            (r#", "links": 17"#, "links"),
            (r#", "memory_comm": {"buffer_size": 0}"#, "memory_comm.buffer_size"),
            (r#", "use_memory_comm": true, "forward": "mem:x""#, "memory_comm"),
        ] {
            let error = complaint(agent(more));
            assert!(error.starts_with(field), "{more}: {error}");
        }
        assert_eq!(
            HubConfig::from_json(r#"{"policy": "share"}"#).unwrap().policy,
            AgentPolicy::Share
        );
    }

    #[test]
    fn a_hub_lets_nobody_in_by_default() {
        let config = HubConfig::default();
        config.validate().unwrap();
        assert!(config.agents.is_empty() && config.agent_certificates.is_empty());
        assert!(!config.allow_plaintext);
    }

    #[test]
    fn the_names_of_certificates_are_checked_with_the_document() {
        let hub = |names: &str| {
            HubConfig::from_json(&format!(r#"{{"agent_certificates": {{"c1": {names}}}}}"#))
        };
        let config = hub(r#"["spiffe://example.org/agents/c1", "c1.agents.example.org"]"#);
        assert_eq!(config.unwrap().agent_certificates["c1"].len(), 2);
        for names in [r#"[]"#, r#"[""]"#, r#"["*.example.org"]"#, r#"["a b"]"#, r#"["u://a b"]"#] {
            let error = complaint(hub(names));
            assert!(error.starts_with("agent_certificates:"), "{names}: {error}");
        }
    }

    #[test]
    fn a_forward_over_tls_asks_nobody_who_it_is_either() {
        for (listen, is_private) in [("tls://127.0.0.1:0", true), ("tls://0.0.0.0:0", false)] {
            let listen = listen.parse().unwrap();
            assert_eq!(HubConfig::default().check_forward(&listen).is_ok(), is_private);
        }
    }
}
