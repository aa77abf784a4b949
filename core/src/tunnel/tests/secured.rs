//! Tunnels over TLS: who is let in by what, and whose fault it is where the two ends do not find together.

use super::*;
use crate::{
    config::{
        AgentPolicy, ClientAuth, TlsCertificate, TlsChain, TlsConfig, TlsKey, TlsRoots,
        TlsServerConfig,
    },
    error::{Step, TlsFault},
    identity::{
        Tls,
        certificates::{Authority, Issued},
    },
    tunnel::{
        auth::{Authenticator, Claim, Verified},
        hello::{Hello, Verdict},
    },
};
use std::{fs, path::PathBuf, sync::Arc};

/// Who signs what is shown here.
struct Authorities {
    hubs: Authority,
    agents: Authority,
}

impl Authorities {
    fn new() -> Self {
        Self { hubs: Authority::new("hubs"), agents: Authority::new("agents") }
    }

    /// A hub of localhost that asks agents who they are and lets in who shows nothing.
    fn hub(&self) -> TlsConfig {
        self.hub_showing(&self.hubs.issue(&["localhost", "127.0.0.1"]))
    }

    fn hub_showing(&self, issued: &Issued) -> TlsConfig {
        TlsConfig {
            client: None,
            server: Some(TlsServerConfig {
                client_auth: ClientAuth::Optional,
                client_roots: Some(TlsRoots::Pem(self.agents.pem())),
                ..TlsServerConfig::new(certificate(issued))
            }),
            ..TlsConfig::default()
        }
    }

    fn agent(&self, shown: Option<&Issued>) -> TlsConfig {
        let mut config = TlsConfig::default();
        let client = config.client.get_or_insert_default();
        client.roots = TlsRoots::Pem(self.hubs.pem());
        client.certificate = shown.map(certificate);
        config
    }
}

pub(super) fn certificate(issued: &Issued) -> TlsCertificate {
    TlsCertificate {
        chain: TlsChain::Pem(issued.chain.clone()),
        key: TlsKey::Pem(issued.key.clone().into()),
    }
}

fn network(config: TlsConfig) -> Network {
    let network = Network::new(Handle::current());
    let tls = network.tls(config).unwrap();
    network.with_tls(tls)
}

/// A hub at a `tls://` address, whose clusters are bound to nothing but what `change` binds them to.
async fn hub(tls: TlsConfig, change: impl FnOnce(&mut HubConfig)) -> (Hub, Address) {
    hub_on(&network(tls), change).await
}

async fn hub_on(network: &Network, change: impl FnOnce(&mut HubConfig)) -> (Hub, Address) {
    let change = |config: &mut HubConfig| {
        config.agents.clear();
        change(config);
    };
    hub_in(network, "tls://127.0.0.1:0", change).await
}

fn agent_of(network: Network, cluster: &str, proof: Option<Secret>, at: &Address) -> Agent {
    let config = AgentConfig {
        cluster: cluster.into(),
        token: proof,
        hubs: vec![at.clone()],
        ..AgentConfig::default()
    };
    Agent::new(network, config).unwrap()
}

/// Whether the hub lets an agent in, and if not, what the agent's first attempt came to.
async fn attempt(
    tls: TlsConfig,
    cluster: &str,
    proof: Option<Secret>,
    at: &Address,
) -> Result<(), ConnectionError> {
    let agent = agent_of(network(tls), cluster, proof, at);
    until(|| agent.stats().links > 0 || agent.stats().links_failed > 0).await;
    let outcome = agent.last_error().map_or(Ok(()), Err);
    agent.close().await;
    outcome
}

/// Whether the error or what is below it says so.
fn shows(error: &ConnectionError, text: &str) -> bool {
    let mut next: Option<&dyn std::error::Error> = Some(error);
    while let Some(said) = next {
        if said.to_string().contains(text) {
            return true;
        }
        next = said.source();
    }
    false
}

#[tokio::test]
async fn a_tunnel_over_tls_needs_no_allowance_and_its_token_crosses_nothing_in_the_clear() {
    let all = Authorities::new();
    let (hub, at) = hub(all.hub(), |config| {
        config.agents.insert("c1".into(), vec![token("c1")]);
    })
    .await;
    assert!(at.to_string().starts_with("tls://127.0.0.1:"));
    let agent = agent_of(network(all.agent(None)), "c1", Some(token("c1")), &at);
    agent.ready(None).await.unwrap();
    let listener = agent.listener().unwrap();
    let user = hub.dial("c1", None, None).await.unwrap();
    let served = listener.accept().await.unwrap();
    let sent: Vec<u8> = (0..3_u32 << 20).map(|n| (n % 251) as u8).collect();
    let expected = sent.clone();
    let writer = Handle::current().spawn(async move {
        say(&served, &sent).await;
        served.shutdown(Shutdown::Write).unwrap();
        served
    });
    assert!(rest(&user).await.unwrap() == expected);
    drop(writer.await.unwrap());
    let wrong = attempt(all.agent(None), "c1", Some(token("c2")), &at).await.unwrap_err();
    assert!(shows(&wrong, "has not proved"), "{wrong:?}");
}

#[tokio::test]
async fn an_agent_stands_for_the_cluster_that_its_certificate_is_for_and_for_no_other() {
    const C1: &str = "spiffe://example.test/agents/c1";
    let all = Authorities::new();
    let (hub, at) = hub(all.hub(), |config| {
        config.agents.insert("c4".into(), vec![token("c4")]);
        for (cluster, name) in
            [("c1", C1), ("c2", "c2.agents.test"), ("c3", "other.agents.test"), ("c4", C1)]
        {
            config.agent_certificates.insert(cluster.into(), vec!["x.test".into(), name.into()]);
        }
    })
    .await;
    let by_uri = all.agents.issue_uri(&["whatever.test"], C1);
    let by_name = all.agents.issue(&["first.test", "C2.agents.test"]);
    let of_any = all.agents.issue(&["*.agents.test"]);
    let of_two = all.agents.issue_uris(&[], &[C1, "spiffe://example.test/agents/c2"]);
    let of_two_reversed = all.agents.issue_uris(&[], &["spiffe://example.test/agents/c2", C1]);
    for (shown, cluster, proof, is_let_in) in [
        (Some(&by_uri), "c1", None, true),
        (Some(&by_uri), "c2", None, false),
        (Some(&by_name), "c2", None, true),
        (Some(&by_name), "c1", None, false),
        (Some(&of_any), "c2", None, false),
        (Some(&of_two), "c1", None, false),
        (Some(&of_two_reversed), "c1", None, false),
        (None, "c1", None, false),
        (None, "c1", Some("c1"), false),
        (Some(&by_uri), "c4", None, false),
        (None, "c4", Some("c4"), false),
        (Some(&by_uri), "c4", Some("c4"), true),
        (Some(&by_uri), "c5", None, false),
    ] {
        let outcome = attempt(all.agent(shown), cluster, proof.map(token), &at).await;
        match &outcome {
            Ok(()) => assert!(is_let_in, "{cluster}"),
            Err(error) => {
                assert!(!is_let_in && shows(error, "has not proved"), "{cluster}: {error:?}");
            }
        }
    }
    assert_eq!((hub.stats().links_opened, hub.stats().links_refused), (3, 10));
}

#[tokio::test]
async fn a_certificate_that_is_not_good_is_refused_and_the_agent_knows_whose_fault_it_is() {
    let all = Authorities::new();
    let (_hub, at) = hub(all.hub(), |config| {
        config.agent_certificates.insert("c1".into(), vec!["c1.test".into()]);
    })
    .await;
    let foreign = all.hubs.issue(&["c1.test"]);
    let error = attempt(all.agent(Some(&foreign)), "c1", None, &at).await.unwrap_err();
    assert_eq!(error.tls_fault(), Some(TlsFault::OwnCertificate), "{error:?}");

    let good = all.agents.issue(&["c1.test"]);
    let stranger = Authority::new("somebody else").issue(&["127.0.0.1"]);
    let elsewhere = all.hubs.issue(&["elsewhere.test"]);
    for (shown, fault) in
        [(&stranger, TlsFault::PeerCertificate), (&elsewhere, TlsFault::NameMismatch)]
    {
        let (hub, at) = hub(all.hub_showing(shown), |_| {}).await;
        let error = attempt(all.agent(Some(&good)), "c1", None, &at).await.unwrap_err();
        assert_eq!((error.tls_fault(), error.step()), (Some(fault), Step::Connect), "{error:?}");
        assert_eq!(hub.stats().links_refused, 0, "it said nothing of itself");
    }
}

#[tokio::test]
async fn an_end_that_speaks_tls_and_one_that_does_not_are_told_so() {
    let all = Authorities::new();
    let bound = |config: &mut HubConfig| {
        config.agents.insert("c1".into(), vec![token("c1")]);
    };
    let (_secured, at) = hub(all.hub(), bound).await;
    let port = at.socket_addr().unwrap().port();
    let in_the_clear = address(&format!("tcp://127.0.0.1:{port}"));
    let error = attempt(all.agent(None), "c1", Some(token("c1")), &in_the_clear).await.unwrap_err();
    assert!(matches!(error, ConnectionError::Protocol { .. }), "{error:?}");
    assert!(error.to_string().contains("a tls:// address is needed"), "{error}");

    let network = Network::new(Handle::current());
    let (plain, at) = hub_in(&network, "tcp://127.0.0.1:0", bound).await;
    let port = at.socket_addr().unwrap().port();
    let secured = address(&format!("tls://127.0.0.1:{port}"));
    let error = attempt(all.agent(None), "c1", Some(token("c1")), &secured).await.unwrap_err();
    assert_eq!(error.tls_fault(), Some(TlsFault::Protocol), "{error:?}");
    assert!(shows(&error, "is no TLS"), "{error:?}");
    until(|| plain.stats().links_refused == 1).await;
}

#[tokio::test]
async fn what_has_not_agreed_on_a_tunnel_hears_no_token_and_is_no_agent() {
    let all = Authorities::new();
    // Good certificates, and no hub behind them.
    for (alpn, says) in [(None, "has not agreed on"), (Some("h2"), "NoApplicationProtocol")] {
        let mut config = all.hub();
        config.server.as_mut().unwrap().alpn.extend(alpn.map(str::to_owned));
        let other = network(config);
        let listener = other.listen(&address("tls://127.0.0.1:0")).await.unwrap();
        let at = listener.address().clone();
        let heard = Handle::current().spawn(async move {
            match listener.accept().await {
                Ok(stream) => rest(&stream).await.unwrap_or_default(),
                Err(_) => Vec::new(),
            }
        });
        let error = attempt(all.agent(None), "c1", Some(token("c1")), &at).await.unwrap_err();
        assert_eq!(error.tls_fault(), Some(TlsFault::Protocol), "{error:?}");
        assert!(shows(&error, says), "{error:?}");
        match alpn {
            None => assert!(heard.await.unwrap().is_empty()),
            Some(_) => heard.abort(),
        }
    }

    let (hub, at) = hub(all.hub(), |config| {
        config.agents.insert("c1".into(), vec![token("c1")]);
    })
    .await;
    let stream = network(all.agent(None)).connect(&at, None).await.unwrap();
    let hello = Hello { cluster: "c1".into(), token: Some(token("c1")), instance: [1; 16] };
    say(&stream, &hello.to_bytes()).await;
    let answer = rest(&stream).await.unwrap();
    assert_eq!(answer[5], Verdict::OtherVersion as u8);
    assert!(String::from_utf8_lossy(&answer).contains("trunkline-tunnel/1 must be agreed on"));
    assert_eq!(hub.stats().links_opened, 0);
}

#[tokio::test]
async fn a_hub_that_knows_agents_by_certificates_must_ask_for_them() {
    let all = Authorities::new();
    let mut config = all.hub();
    config.server.as_mut().unwrap().client_auth = ClientAuth::Off;
    let network = network(config);
    let mut config = HubConfig::default();
    config.agent_certificates.insert("c1".into(), vec!["c1.test".into()]);
    let hub = Hub::new(network.clone(), config).unwrap();
    let error = hub.listen(&address("tls://127.0.0.1:0")).await.unwrap_err();
    assert!(error.to_string().starts_with("tls.server.client_auth: must be"), "{error}");
    let hub = Hub::new(Network::new(Handle::current()), HubConfig::default()).unwrap();
    let error = hub.listen(&address("tls://127.0.0.1:0")).await.unwrap_err();
    assert!(error.to_string().starts_with("tls.server: must be given"), "{error}");
}

/// Lets in whom the certificate calls what it wants to be called.
#[derive(Debug)]
struct ToTheLetter;

impl Authenticator for ToTheLetter {
    fn verify<'a>(&'a self, claim: &'a Claim) -> Verified<'a> {
        let name = format!("{}.agents.test", claim.cluster);
        let is = claim.tls.as_ref().is_some_and(|session| session.is_peer_named(&name));
        Box::pin(std::future::ready(is))
    }
}

#[tokio::test]
async fn an_authenticator_of_the_hosts_own_sees_the_certificate() {
    let all = Authorities::new();
    let on = network(all.hub());
    let hub = Hub::with_authenticator(on, HubConfig::default(), Arc::new(ToTheLetter)).unwrap();
    let at = hub.listen(&address("tls://127.0.0.1:0")).await.unwrap();
    let shown = all.agents.issue(&["c1.agents.test"]);
    attempt(all.agent(Some(&shown)), "c1", None, &at).await.unwrap();
    attempt(all.agent(Some(&shown)), "c2", None, &at).await.unwrap_err();
    attempt(all.agent(None), "c1", None, &at).await.unwrap_err();
}

#[tokio::test]
async fn whom_a_hub_trusts_is_renewed_while_its_tunnels_stand() {
    let all = Authorities::new();
    let folder = Folder::new();
    let file = folder.0.join("agents.pem");
    fs::write(&file, all.agents.pem()).unwrap();
    let mut config = all.hub();
    config.server.as_mut().unwrap().client_roots = Some(TlsRoots::File(file.clone()));
    let on = Network::new(Handle::current());
    let tls = on.tls(config).unwrap();
    let on = on.with_tls(Tls::clone(&tls));
    let (hub, at) = hub_on(&on, |config| {
        config.policy = AgentPolicy::Share;
        config.agent_certificates.insert("c1".into(), vec!["c1.test".into()]);
    })
    .await;
    let old = all.agents.issue(&["c1.test"]);
    let standing = agent_of(network(all.agent(Some(&old))), "c1", None, &at);
    standing.ready(None).await.unwrap();

    let newer = Authority::new("newer");
    fs::write(&file, newer.pem()).unwrap();
    tls.reload().unwrap();
    let error = attempt(all.agent(Some(&old)), "c1", None, &at).await.unwrap_err();
    assert_eq!(error.tls_fault(), Some(TlsFault::OwnCertificate), "{error:?}");
    attempt(all.agent(Some(&newer.issue(&["c1.test"]))), "c1", None, &at).await.unwrap();
    assert_eq!(standing.stats().links_opened, 1);
    hub.dial("c1", None, None).await.unwrap();
}

/// A folder of its own, which goes with it.
struct Folder(PathBuf);

impl Folder {
    fn new() -> Self {
        let folder = std::env::temp_dir().join(format!("trunkline-tunnel-{}", std::process::id()));
        fs::create_dir_all(&folder).unwrap();
        Self(folder)
    }
}

impl Drop for Folder {
    fn drop(&mut self) {
        let _ = fs::remove_dir_all(&self.0);
    }
}
