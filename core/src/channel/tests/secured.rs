//! TLS: who is trusted, what a failure says, what is renewed, and what is never sent in the clear.

use super::*;
use crate::{
    address::Address,
    config::{
        ClientAuth, TlsCertificate, TlsChain, TlsClientConfig, TlsConfig, TlsKey, TlsRoots,
        TlsServerConfig,
    },
    error::TlsFault,
    identity::{
        Tls,
        certificates::{Authority, Issued},
    },
    secret::Secret,
    transport::{ListenOptions, Listener, TlsSession},
};
use parking_lot::Mutex;
use std::{
    convert::Infallible,
    error::Error,
    fs,
    future::{Ready, ready},
    path::PathBuf,
    task::{Context, Poll},
};

/// Long enough that only what hangs comes to it.
const PATIENCE: Duration = Duration::from_secs(60);
const WHO: &str = "/test.Service/Who";

fn certificate(issued: &Issued) -> TlsCertificate {
    TlsCertificate {
        chain: TlsChain::Pem(issued.chain.clone()),
        key: TlsKey::Pem(issued.key.clone().into()),
    }
}

fn roots(authority: &Authority) -> TlsRoots {
    TlsRoots::Pem(authority.pem())
}

fn server(certificate: TlsCertificate) -> TlsConfig {
    let server = Some(TlsServerConfig::new(certificate));
    TlsConfig { client: None, server, ..TlsConfig::default() }
}

/// Asks clients who they are, and lets none in without an answer.
fn demanding(certificate: TlsCertificate, authority: &Authority) -> TlsConfig {
    let server = TlsServerConfig {
        client_auth: ClientAuth::Required,
        client_roots: Some(roots(authority)),
        ..TlsServerConfig::new(certificate)
    };
    TlsConfig { client: None, server: Some(server), ..TlsConfig::default() }
}

fn client(authority: &Authority) -> TlsConfig {
    let client = TlsClientConfig { roots: roots(authority), ..TlsClientConfig::default() };
    TlsConfig { client: Some(client), ..TlsConfig::default() }
}

fn client_with(authority: &Authority, change: impl FnOnce(&mut TlsClientConfig)) -> TlsConfig {
    let mut config = client(authority);
    config.client.as_mut().map(change);
    config
}

/// Listens with TLS on a free port; a channel's target leads there by the name `localhost`.
async fn listen(network: &Network, tls: &Tls, alpn: Option<&str>) -> (Listener, String) {
    let network = network.clone().with_tls(tls.clone());
    let alpn = alpn.map(|alpn| vec![alpn.to_owned()]);
    let options = ListenOptions { alpn, ..ListenOptions::default() };
    let address = "tls://127.0.0.1:0".parse().unwrap();
    let listener = network.listen_with(&address, &options).await.unwrap();
    let port = listener.address().socket_addr().unwrap().port();
    (listener, format!("passthrough:localhost:{port}"))
}

async fn serve_secured(network: &Network, tls: &Tls, methods: Methods) -> (ChannelServer, String) {
    let (listener, target) = listen(network, tls, Some("h2")).await;
    let server =
        ChannelServer::start(network, listener, methods, ChannelServerConfig::default()).unwrap();
    (server, target)
}

fn secured(network: &Network, target: &str, tls: TlsConfig) -> Channel {
    Channel::secured(network, target, plain(), &network.tls(tls).unwrap()).unwrap()
}

/// A method that says who calls, in the words of its certificate.
fn who() -> Methods {
    echo().unary(WHO, |request| async move {
        let session = request.extensions().get::<Arc<TlsSession>>().unwrap();
        Ok(tonic::Response::new(session.peer_uri.clone().unwrap_or_default().into()))
    })
}

/// A service that remembers what was asked, and knows nothing.
#[derive(Clone)]
struct Seeing(Arc<Mutex<Vec<http::Uri>>>);

impl tower_service::Service<http::Request<RequestBody>> for Seeing {
    type Response = http::Response<tonic::body::Body>;
    type Error = Infallible;
    type Future = Ready<Result<Self::Response, Infallible>>;

    fn poll_ready(&mut self, _: &mut Context<'_>) -> Poll<Result<(), Infallible>> {
        Poll::Ready(Ok(()))
    }

    fn call(&mut self, request: http::Request<RequestBody>) -> Self::Future {
        self.0.lock().push(request.uri().clone());
        ready(Ok(Status::unimplemented("").into_http()))
    }
}

/// Why `channel` cannot call: as its calls say it, and as waiting for it does.
async fn refused(channel: &Channel) -> (String, Option<TlsFault>) {
    let error = channel.unary(ECHO, Bytes::new(), within(PATIENCE)).await.unwrap_err();
    assert_eq!((code(&error), error.is_safe_to_retry()), (StatusCode::Unavailable, true));
    let late = channel.wait_ready(after(Duration::ZERO)).await.unwrap_err();
    let reason = late.source().unwrap().source().unwrap().to_string();
    let why = reason.split(" (tried").next().unwrap();
    assert!(error.to_string().contains(why), "{reason}");
    (error.to_string(), late.tls_fault())
}

#[tokio::test]
async fn calls_go_over_tls_and_each_side_knows_the_other() {
    let (network, authority) = (network(), Authority::new("test"));
    let shown = certificate(&authority.issue(&["localhost"]));
    let tls = network.tls(demanding(shown, &authority)).unwrap();
    let (_server, target) = serve_secured(&network, &tls, who()).await;
    let own = certificate(&authority.issue_uri(&["client"], "spiffe://example.test/client"));
    let channel = secured(
        &network,
        &target,
        client_with(&authority, |client| client.certificate = Some(own)),
    );
    let reply = channel.unary(WHO, Bytes::new(), within(PATIENCE)).await.unwrap();
    assert_eq!(reply.message, "spiffe://example.test/client");
    let sent = Bytes::from(vec![7; 300_000]);
    let reply = channel.unary(ECHO, sent.clone(), within(PATIENCE)).await.unwrap();
    assert_eq!(reply.message, sent);
}

#[tokio::test]
async fn a_call_says_that_it_is_secured_and_for_whom() {
    let (network, authority) = (network(), Authority::new("test"));
    let seen: Arc<Mutex<Vec<http::Uri>>> = Arc::default();
    let service = Seeing(Arc::clone(&seen));
    let issued = authority.issue(&["other.test", "localhost"]);
    let tls = network.tls(server(certificate(&issued))).unwrap();
    let (listener, target) = listen(&network, &tls, Some("h2")).await;
    let _server =
        ChannelServer::start(&network, listener, service, ChannelServerConfig::default()).unwrap();
    let named =
        client_with(&authority, |client| client.server_name = Some("other.test".to_owned()));
    for config in [client(&authority), named] {
        let channel = secured(&network, &target, config);
        let error = channel.unary(ECHO, Bytes::new(), within(PATIENCE)).await.unwrap_err();
        assert_eq!(code(&error), StatusCode::Unimplemented);
    }
    let seen = seen.lock();
    let address = target.strip_prefix("passthrough:").unwrap();
    assert_eq!(seen[0].to_string(), format!("https://{address}{ECHO}"));
    assert_eq!(seen[1].to_string(), format!("https://other.test{ECHO}"));
}

#[tokio::test]
async fn a_failure_says_whose_fault_it_is_to_calls_and_to_who_waits() {
    let (network, authority) = (network(), Authority::new("test"));
    let good = || certificate(&authority.issue(&["localhost"]));
    let foreign = certificate(&Authority::new("foreign").issue(&["localhost"]));
    let other = certificate(&authority.issue(&["other.test"]));
    for (config, fault, words) in [
        (server(foreign), TlsFault::PeerCertificate, "certificate is not acceptable"),
        (server(other), TlsFault::NameMismatch, "for another name"),
        (demanding(good(), &authority), TlsFault::OwnCertificate, "our own certificate"),
    ] {
        let tls = network.tls(config).unwrap();
        let (_server, target) = serve_secured(&network, &tls, echo()).await;
        let (text, told) = refused(&secured(&network, &target, client(&authority))).await;
        assert_eq!(told, Some(fault), "{text}");
        assert!(text.contains(words) && text.contains("localhost"), "{text}");
    }
}

#[tokio::test]
async fn a_peer_that_does_not_agree_on_http2_is_refused() {
    let (network, authority) = (network(), Authority::new("test"));
    let tls = network.tls(server(certificate(&authority.issue(&["localhost"])))).unwrap();
    for (alpn, words) in
        [(None, "did not agree to speak \"h2\""), (Some("http/1.1"), "NoApplicationProtocol")]
    {
        let (_listener, target) = listen(&network, &tls, alpn).await;
        let (text, told) = refused(&secured(&network, &target, client(&authority))).await;
        assert_eq!(told, Some(TlsFault::Protocol), "{text}");
        assert!(text.contains(words), "{text}");
    }

    let listener = network.listen(&"mem:plain".parse().unwrap()).await.unwrap();
    let channel = secured(&network, "mem:plain", client(&authority));
    let answering = async {
        let stream = listener.accept().await.unwrap();
        stream.write_all(b"HTTP/1.1 400 Bad Request\r\n\r\n").await.unwrap();
        std::future::pending::<()>().await
    };
    let (text, told) = tokio::select! {
        answer = refused(&channel) => answer,
        () = answering => unreachable!("it answers for ever"),
    };
    assert_eq!(told, Some(TlsFault::Protocol), "{text}");
}

#[tokio::test]
async fn a_server_closes_who_does_not_agree_on_http2() {
    let (network, authority) = (network(), Authority::new("test"));
    let shown = certificate(&authority.issue(&["localhost"]));
    let tls = network.tls(server(shown)).unwrap();
    // It listens without a word about what is spoken, which the handshake then cannot refuse.
    let (listener, _) = listen(&network, &tls, None).await;
    let port = listener.address().socket_addr().unwrap().port();
    let _server =
        ChannelServer::start(&network, listener, echo(), ChannelServerConfig::default()).unwrap();
    let address: Address = format!("tls://localhost:{port}").parse().unwrap();
    let client = network.clone().with_tls(network.tls(client(&authority)).unwrap());
    let stream = client.connect(&address, after(PATIENCE)).await.unwrap();
    assert_eq!(stream.read(&mut [0; 1]).await.unwrap(), 0, "it says nothing, and ends");
}

#[tokio::test(start_paused = true)]
async fn a_handshake_that_nobody_answers_ends_with_the_attempt() {
    let (network, authority) = (network(), Authority::new("test"));
    let listener = network.listen(&"mem:silent".parse().unwrap()).await.unwrap();
    let patient = ConnectionConfig { connect_timeout: 5 * SECOND, ..plain() };
    let tls = network.tls(client(&authority)).unwrap();
    let channel = Channel::secured(&network, "mem:silent", patient, &tls).unwrap();
    channel.connect();
    let _peer = listener.accept().await.unwrap();
    let started = wire::now();
    reaches(&channel, ConnectivityState::TransientFailure).await;
    assert_eq!(wire::now() - started, 5 * SECOND);
}

#[tokio::test]
async fn the_networks_tls_secures_a_target_of_tls_addresses() {
    let (network, authority) = (network(), Authority::new("test"));
    let shown = certificate(&authority.issue(&["localhost", "127.0.0.1"]));
    let tls = network.tls(server(shown)).unwrap();
    let (_server, target) = serve_secured(&network, &tls, echo()).await;
    let port = target.rsplit_once(':').unwrap().1;
    let network = network.clone().with_tls(network.tls(client(&authority)).unwrap());
    let target = format!("tls://127.0.0.1:{port},tls://localhost:{port}");
    let channel = channel(&network, &target, plain());
    let reply = channel.unary(ECHO, message("x"), within(PATIENCE)).await.unwrap();
    assert_eq!(reply.message, "x");
}

#[tokio::test]
async fn what_cannot_be_secured_is_no_channel() {
    let (network, authority) = (network(), Authority::new("test"));
    let shown = certificate(&authority.issue(&["localhost"]));
    let only_server = network.tls(server(shown)).unwrap();
    let error = Channel::secured(&network, "mem:a", plain(), &only_server).unwrap_err();
    assert!(error.to_string().contains("tls.client"), "{error}");
}

/// A certificate in files, renewed by writing them anew.
struct Files(PathBuf);

impl Files {
    fn new(issued: &Issued) -> Self {
        let name = format!("trunkline-channel-{}", std::process::id());
        let files = Self(std::env::temp_dir().join(name));
        fs::create_dir_all(&files.0).unwrap();
        files.write(issued);
        files
    }

    fn write(&self, issued: &Issued) {
        fs::write(self.0.join("chain"), &issued.chain).unwrap();
        fs::write(self.0.join("key"), &issued.key).unwrap();
    }

    fn certificate(&self) -> TlsCertificate {
        TlsCertificate::from_files(self.0.join("chain"), self.0.join("key"))
    }
}

impl Drop for Files {
    fn drop(&mut self) {
        let _ = fs::remove_dir_all(&self.0);
    }
}

#[tokio::test]
async fn new_connections_show_renewed_certificates_and_not_one_call_fails() {
    let (network, authority) = (network(), Authority::new("test"));
    let issue =
        |who: &str| authority.issue_uri(&["client"], &format!("spiffe://example.test/{who}"));
    let shown = certificate(&authority.issue(&["localhost"]));
    let tls = network.tls(demanding(shown, &authority)).unwrap();
    let (listener, target) = listen(&network, &tls, Some("h2")).await;
    let aging = ChannelServerConfig {
        max_connection_age: TimeLimit::After(20 * MILLI),
        ..ChannelServerConfig::default()
    };
    let _server = ChannelServer::start(&network, listener, who(), aging).unwrap();
    let files = Files::new(&issue("first"));
    let config = client_with(&authority, |client| client.certificate = Some(files.certificate()));
    let own = network.tls(config).unwrap();
    let channel = Channel::secured(&network, &target, plain(), &own).unwrap();
    for name in ["first", "second", "third"] {
        files.write(&issue(name));
        own.reload().unwrap();
        let expected = format!("spiffe://example.test/{name}");
        while channel.unary(WHO, Bytes::new(), within(PATIENCE)).await.unwrap().message != expected
        {
        }
    }
}

#[tokio::test]
async fn credentials_are_not_sent_in_the_clear_unless_that_is_asked_for() {
    let (network, authority) = (network(), Authority::new("test"));
    let _plain = serve(&network, "mem:plain", echo()).await;
    let tls = network.tls(server(certificate(&authority.issue(&["localhost"])))).unwrap();
    let (_server, target) = serve_secured(&network, &tls, echo()).await;
    let options = |plaintext_credentials| CallOptions {
        credentials: vec![("echo-token".into(), Secret::new("hush"))],
        plaintext_credentials,
        ..within(PATIENCE)
    };
    let returned = |reply: Reply| {
        reply.initial.into_iter().find(|(name, _)| &**name == "echo-token").map(|found| found.1)
    };
    let in_the_clear = channel(&network, "mem:plain", plain());
    let error = in_the_clear.unary(ECHO, Bytes::new(), options(false)).await.unwrap_err();
    assert_eq!((code(&error), error.is_safe_to_retry()), (StatusCode::Unauthenticated, true));
    assert!(in_the_clear.call(ECHO, options(false)).is_err());
    let calls = count(&network, "trunkline_channel_attempts_total", &[]);
    assert_eq!(calls, 0, "nothing was sent");

    let secured = secured(&network, &target, client(&authority));
    for (channel, asked) in [(&in_the_clear, true), (&secured, false)] {
        let reply = channel.unary(ECHO, Bytes::new(), options(asked)).await.unwrap();
        assert_eq!(returned(reply), Some(message("hush")));
    }
    assert!(!format!("{:?}", options(true)).contains("hush"));
}
