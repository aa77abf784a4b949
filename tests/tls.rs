//! TLS as a Rust user sees it: whom it trusts, what it tells, what a listener bears, and renewal under load.
#![allow(
    clippy::unwrap_used,
    clippy::disallowed_methods,
    reason = "a test stops at the first surprise and drives itself"
)]

mod certificates;
#[path = "certificates/configured.rs"]
mod configured;

use certificates::{Authority, Issued, self_signed};
use configured::{certificate, config};
use std::{
    fs,
    net::Shutdown,
    path::PathBuf,
    sync::{
        Arc,
        atomic::{AtomicBool, AtomicU64, Ordering},
    },
    time::{Duration, Instant},
};
use tokio::{
    io::{AsyncReadExt, AsyncWriteExt},
    net::{TcpListener, TcpStream},
};
use trunkline_core::{
    Address, Budget, ConnectionError, ListenOptions, Listener, Network, Step, Stream,
    TcpConnectionManager, TcpManagerConfig, TlsConfig, TlsFault,
    config::{ClientAuth, TlsCertificate, TlsRoots, TlsVersion},
    events::EventKind,
};

fn network(config: TlsConfig) -> Network {
    let network = Network::new(tokio::runtime::Handle::current());
    let tls = network.tls(config).unwrap();
    network.with_tls(tls)
}

async fn listen(network: &Network) -> Listener {
    network.listen(&"tls://127.0.0.1:0".parse().unwrap()).await.unwrap()
}

/// What becomes of both sides: the client's error, and the fault that the server's event tells.
async fn refused(
    client: TlsConfig,
    server: TlsConfig,
    to: &str,
) -> (ConnectionError, Option<TlsFault>) {
    let server = network(server);
    let listener = listen(&server).await;
    let port = listener.address().socket_addr().unwrap().port();
    let address: Address = format!("tls://{to}:{port}").parse().unwrap();
    let client = match network(client).connect(&address, None).await {
        Err(error) => error,
        // With TLS 1.3 a client stands before the server has judged it.
        Ok(stream) => stream.read(&mut [0; 1]).await.unwrap_err(),
    };
    loop {
        for event in server.events().drain(100).events {
            if let EventKind::HandshakeFailed { fault } = event.kind {
                assert!(listener.try_accept().is_pending(), "nobody is let in");
                return (client, fault);
            }
        }
        tokio::task::yield_now().await;
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_certificate_that_is_not_good_is_refused_and_both_sides_know_whose_fault_it_is() {
    let authority = Authority::new("trusted");
    let client = || config(&authority, None);
    let good = authority.issue(&["localhost", "127.0.0.1"]);
    let foreign = Authority::new("foreign").issue(&["localhost"]);
    let other_name = authority.issue(&["elsewhere.test"]);
    let peer = TlsFault::PeerCertificate;
    for (issued, to, fault) in [
        (&self_signed(&["localhost"]), "localhost", peer),
        (&foreign, "localhost", peer),
        (&other_name, "localhost", TlsFault::NameMismatch),
        (&other_name, "127.0.0.1", TlsFault::NameMismatch),
    ] {
        let (error, told) = refused(client(), config(&authority, Some(issued)), to).await;
        assert_eq!(error.tls_fault(), Some(fault), "{error:?}");
        assert_eq!((error.step(), error.is_safe_to_retry()), (Step::Connect, false));
        assert!(error.is_nothing_sent());
        assert_eq!(told, Some(TlsFault::OwnCertificate));
    }
    let server = network(config(&authority, Some(&good)));
    let listener = listen(&server).await;
    assert!(network(client()).connect(listener.address(), None).await.is_ok());
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn an_expired_certificate_is_refused_by_whoever_would_use_it() {
    let authority = Authority::new("trusted");
    let expired = authority.issue_expired(&["localhost"]);
    let network = Network::new(tokio::runtime::Handle::current());
    let error = network.tls(config(&authority, Some(&expired))).unwrap_err();
    assert_eq!(error.tls_fault(), Some(TlsFault::OwnCertificate), "{error:?}");
    assert_eq!(error.step(), Step::Configure);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_client_that_must_show_itself_is_known_by_what_it_shows_or_refused() {
    let (servers, clients) = (Authority::new("servers"), Authority::new("clients"));
    let issued = servers.issue(&["localhost"]);
    let server = |auth| {
        let mut config = config(&servers, Some(&issued));
        let side = config.server.as_mut().unwrap();
        side.client_auth = auth;
        side.client_roots = Some(TlsRoots::Pem(clients.pem()));
        config
    };
    let client = |shown: Option<&Issued>, oldest| {
        let mut config = config(&servers, None);
        config.client.as_mut().unwrap().certificate = shown.map(certificate);
        config.min_version = oldest;
        config
    };
    let good = clients.issue_uri(&["worker"], "spiffe://example.test/worker");
    let bad = servers.issue(&["worker"]);

    for shown in [None, Some(&bad)] {
        let client = client(shown, TlsVersion::V1_3);
        let (error, told) = refused(client, server(ClientAuth::Required), "localhost").await;
        assert_eq!(error.tls_fault(), Some(TlsFault::OwnCertificate), "{error:?}");
        assert_eq!(told, Some(TlsFault::PeerCertificate));
    }
    let (_, told) =
        refused(client(Some(&bad), TlsVersion::V1_2), server(ClientAuth::Optional), "localhost")
            .await;
    assert_eq!(told, Some(TlsFault::PeerCertificate), "optional does not mean any");

    for (auth, shown) in [
        (ClientAuth::Required, Some(&good)),
        (ClientAuth::Optional, Some(&good)),
        (ClientAuth::Optional, None),
        (ClientAuth::Off, Some(&good)),
    ] {
        let listening = network(server(auth));
        let listener = listen(&listening).await;
        let port = listener.address().socket_addr().unwrap().port();
        let to = format!("tls://localhost:{port}").parse().unwrap();
        let near = network(client(shown, TlsVersion::V1_2)).connect(&to, None).await.unwrap();
        let far = listener.accept().await.unwrap();
        let (near, far) = (near.tls().unwrap(), far.tls().unwrap());
        let is_known = auth != ClientAuth::Off && shown.is_some();
        assert_eq!(far.peer_certificates.len(), usize::from(is_known));
        let uri = is_known.then_some("spiffe://example.test/worker");
        assert_eq!(far.peer_uri.as_deref(), uri);
        assert_eq!(near.peer_certificates.len(), 1);
        assert_eq!((near.version, far.version), ("TLSv1.3", "TLSv1.3"));
        assert_eq!(near.server_name.as_deref(), Some("localhost"));
        assert_eq!(far.server_name.as_deref(), Some("localhost"));
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn the_protocol_that_both_speak_is_agreed_on_in_the_servers_order() {
    let authority = Authority::new("trusted");
    let issued = authority.issue(&["localhost", "127.0.0.1"]);
    let texts = |names: &[&str]| names.iter().map(ToString::to_string).collect::<Vec<_>>();
    for (offered, spoken, agreed) in [
        (&["a", "h2"][..], &["h2", "a"][..], Some("h2")),
        (&["a"], &[], None),
        (&[], &["h2"], None),
    ] {
        let mut both = config(&authority, Some(&issued));
        both.client.as_mut().unwrap().alpn = texts(offered);
        both.server.as_mut().unwrap().alpn = texts(spoken);
        let network = network(both);
        let listener = listen(&network).await;
        let near = network.connect(listener.address(), None).await.unwrap();
        let far = listener.accept().await.unwrap();
        assert_eq!(near.tls().unwrap().alpn.as_deref(), agreed);
        assert_eq!(far.tls().unwrap().alpn.as_deref(), agreed);
        assert_eq!(far.tls().unwrap().server_name, None, "an IP address is no name");
    }
    let mut client = config(&authority, None);
    client.client.as_mut().unwrap().alpn = texts(&["h3"]);
    let mut server = config(&authority, Some(&issued));
    server.server.as_mut().unwrap().alpn = texts(&["h2"]);
    let (error, told) = refused(client, server, "localhost").await;
    assert_eq!((error.tls_fault(), told), (Some(TlsFault::Protocol), Some(TlsFault::Protocol)));
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_name_of_its_own_may_be_asked_for() {
    let authority = Authority::new("trusted");
    let mut both = config(&authority, Some(&authority.issue(&["service.test"])));
    both.client.as_mut().unwrap().server_name = Some("service.test".to_owned());
    let network = network(both);
    let listener = listen(&network).await;
    let near = network.connect(listener.address(), None).await.unwrap();
    let far = listener.accept().await.unwrap();
    assert_eq!(far.tls().unwrap().server_name.as_deref(), Some("service.test"));
    assert_eq!(near.tls().unwrap().server_name.as_deref(), Some("service.test"));
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn without_a_configuration_nothing_is_trusted_blindly_and_nobody_is_let_in() {
    let authority = Authority::new("private");
    let server = network(config(&authority, Some(&authority.issue(&["127.0.0.1"]))));
    let listener = listen(&server).await;
    let plain = Network::new(tokio::runtime::Handle::current());
    let error = plain.connect(listener.address(), None).await.unwrap_err();
    let is_without_roots = matches!(error, ConnectionError::InvalidConfig { .. });
    assert!(is_without_roots || error.tls_fault() == Some(TlsFault::PeerCertificate), "{error:?}");
    let error = plain.listen(&"tls://127.0.0.1:0".parse().unwrap()).await.unwrap_err();
    assert!(matches!(error, ConnectionError::InvalidConfig { .. }), "{error:?}");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_peer_that_does_not_speak_tls_is_told_apart_from_one_that_is_not_there() {
    let authority = Authority::new("trusted");
    let network = network(config(&authority, Some(&authority.issue(&["127.0.0.1"]))));
    let plain = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let address = Address::from(plain.local_addr().unwrap()).with_tls();
    let speaks = tokio::spawn(async move {
        let (mut stream, _) = plain.accept().await.unwrap();
        stream.write_all(b"220 mail.test ESMTP ready when you are\r\n").await.unwrap();
        stream.read_to_end(&mut Vec::new()).await.map(drop)
    });
    let error = network.connect(&address, None).await.unwrap_err();
    assert_eq!(error.tls_fault(), Some(TlsFault::Protocol), "{error:?}");
    let _ = speaks.await.unwrap();
    let error = network.connect(&address, None).await.unwrap_err();
    assert!(matches!(error, ConnectionError::ConnectionFailed { .. }), "{error:?}");
    assert!(error.is_safe_to_retry());

    let listener = listen(&network).await;
    let mut client = TcpStream::connect(listener.address().socket_addr().unwrap()).await.unwrap();
    client.write_all(b"GET / HTTP/1.1\r\n\r\n").await.unwrap();
    let mut told = Vec::new();
    client.read_to_end(&mut told).await.unwrap();
    assert_eq!(told.first(), Some(&21), "an alert, and then the end");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_server_that_never_answers_is_a_timeout_of_the_connect() {
    let authority = Authority::new("trusted");
    let silent = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let address = Address::from(silent.local_addr().unwrap()).with_tls();
    let deadline = Some(Instant::now() + Duration::from_millis(100));
    let error = network(config(&authority, None)).connect(&address, deadline).await.unwrap_err();
    assert!(matches!(error, ConnectionError::Timeout { .. }), "{error:?}");
    assert_eq!((error.step(), error.is_safe_to_retry()), (Step::Connect, true));
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn silent_clients_hold_nobody_up_and_are_let_go_in_time() {
    let authority = Authority::new("trusted");
    let mut both = config(&authority, Some(&authority.issue(&["127.0.0.1"])));
    both.server.as_mut().unwrap().handshake_timeout = Duration::from_millis(300);
    both.server.as_mut().unwrap().max_handshakes = 4;
    let network = network(both);
    let listener = listen(&network).await;
    let address = listener.address().socket_addr().unwrap();
    let mut silent = Vec::new();
    for _ in 0..3 {
        silent.push(TcpStream::connect(address).await.unwrap());
    }
    // One place is left.
    for _ in 0..10 {
        let near = network.connect(listener.address(), None).await.unwrap();
        let far = listener.accept().await.unwrap();
        near.write_all(b"x").await.unwrap();
        assert_eq!(far.read(&mut [0; 8]).await.unwrap(), 1);
    }
    for mut stream in silent {
        assert_eq!(stream.read(&mut [0; 8]).await.unwrap(), 0, "closed by the listener");
    }
    // With every place taken, the next has its turn when one is given up.
    let _more: Vec<_> = futures(4, || TcpStream::connect(address)).await;
    assert!(network.connect(listener.address(), None).await.is_ok());
}

async fn futures<T, F>(count: usize, make: impl Fn() -> F) -> Vec<T>
where
    F: Future<Output = std::io::Result<T>>,
{
    let mut all = Vec::new();
    for _ in 0..count {
        all.push(make().await.unwrap());
    }
    all
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_permit_is_taken_before_the_accept_and_comes_back_with_a_handshake_that_fails() {
    let authority = Authority::new("trusted");
    let network = network(config(&authority, Some(&authority.issue(&["127.0.0.1"]))));
    let budget = Budget::new(2);
    let options = ListenOptions { budget: Some(budget.clone()), ..Default::default() };
    let address = "tls://127.0.0.1:0".parse().unwrap();
    let listener = network.listen_with(&address, &options).await.unwrap();
    let first = network.connect(listener.address(), None).await.unwrap();
    let second = network.connect(listener.address(), None).await.unwrap();
    assert_eq!(budget.in_use(), 2, "they stand, though nobody has accepted them");
    let third = tokio::spawn({
        let (network, address) = (network.clone(), listener.address().clone());
        async move { network.connect(&address, None).await }
    });
    let accepted = (listener.accept().await.unwrap(), listener.accept().await.unwrap());
    assert_eq!(budget.in_use(), 2);
    assert!(!third.is_finished(), "above the limit it waits in the backlog");
    drop((first, accepted.0));
    let third = third.await.unwrap().unwrap();
    assert_eq!(budget.in_use(), 2);
    drop((second, accepted.1, third));
    drop(listener.accept().await.unwrap());

    let mut nonsense = TcpStream::connect(listener.address().socket_addr().unwrap()).await.unwrap();
    nonsense.write_all(&[0; 100]).await.unwrap();
    nonsense.read_to_end(&mut Vec::new()).await.unwrap();
    drop(nonsense);
    while budget.in_use() > 0 {
        tokio::task::yield_now().await;
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn closing_a_listener_ends_what_is_in_a_handshake() {
    let authority = Authority::new("trusted");
    let network = network(config(&authority, Some(&authority.issue(&["127.0.0.1"]))));
    let listener = listen(&network).await;
    let address = listener.address().socket_addr().unwrap();
    let mut silent = TcpStream::connect(address).await.unwrap();
    // Only once this one is in can the other have been taken, too.
    let near = network.connect(listener.address(), None).await.unwrap();
    listener.close();
    // With an end, or broken where the listener had not seen the end of the handshake.
    assert_eq!(silent.read(&mut [0; 8]).await.unwrap_or(0), 0);
    assert_eq!(near.read(&mut [0; 8]).await.unwrap_or(0), 0);
    assert!(TcpStream::connect(address).await.is_err(), "nobody listens any more");
}

/// A certificate in files of its own.
struct Files(PathBuf);

impl Files {
    fn new(test: &str, issued: &Issued) -> Self {
        let files = Self(std::env::temp_dir().join(format!("{test}-{}", std::process::id())));
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

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_renewal_under_load_drops_nobody_and_is_what_new_clients_see() {
    let authority = Authority::new("trusted");
    let names = ["127.0.0.1"];
    let files = Files::new("renewal", &authority.issue(&names));
    let mut both = config(&authority, Some(&authority.issue(&names)));
    both.server.as_mut().unwrap().certificate = files.certificate();
    let network = Network::new(tokio::runtime::Handle::current());
    let tls = network.tls(both).unwrap();
    let network = network.with_tls(tls.clone());
    let listener = listen(&network).await;
    let address = listener.address().clone();
    let (is_over, calls) = (Arc::new(AtomicBool::new(false)), Arc::new(AtomicU64::new(0)));
    let server = tokio::spawn(async move {
        while let Ok(stream) = listener.accept().await {
            tokio::spawn(async move { echo(&stream).await });
        }
    });
    // One connection that stays, and two clients that come again and again.
    let kept = network.connect(&address, None).await.unwrap();
    let clients: Vec<_> = (0..2)
        .map(|_| {
            let (network, address) = (network.clone(), address.clone());
            let (is_over, calls) = (Arc::clone(&is_over), Arc::clone(&calls));
            tokio::spawn(async move {
                while !is_over.load(Ordering::Relaxed) {
                    let stream = network.connect(&address, None).await.unwrap();
                    call(&stream, b"again and again").await;
                    calls.fetch_add(1, Ordering::Relaxed);
                }
            })
        })
        .collect();
    let mut seen = vec![kept.tls().unwrap().peer_certificates.clone()];
    for _ in 0..5 {
        let before = calls.load(Ordering::Relaxed);
        files.write(&authority.issue(&names));
        tls.reload().unwrap();
        let fresh = network.connect(&address, None).await.unwrap();
        call(&fresh, b"new").await;
        seen.push(fresh.tls().unwrap().peer_certificates.clone());
        exchange(&kept, b"still here").await;
        while calls.load(Ordering::Relaxed) < before + 4 {
            tokio::task::yield_now().await;
        }
    }
    is_over.store(true, Ordering::Relaxed);
    for client in clients {
        client.await.unwrap();
    }
    seen.dedup();
    assert_eq!(seen.len(), 6, "each new client saw a new certificate");
    server.abort();
}

async fn echo(stream: &Stream) {
    let mut chunk = [0; 4096];
    while let Ok(n @ 1..) = stream.read(&mut chunk).await {
        stream.write_all(&chunk[..n]).await.unwrap();
    }
    let _ = stream.shutdown(Shutdown::Write);
}

async fn exchange(stream: &Stream, question: &[u8]) {
    stream.write_all(question).await.unwrap();
    let mut answer = Vec::new();
    while answer.len() < question.len() {
        let mut chunk = [0; 4096];
        let n = stream.read(&mut chunk).await.unwrap();
        assert!(n > 0);
        answer.extend_from_slice(&chunk[..n]);
    }
    assert_eq!(answer, question);
}

async fn call(stream: &Stream, question: &[u8]) {
    exchange(stream, question).await;
    stream.shutdown(Shutdown::Write).unwrap();
    assert_eq!(stream.read(&mut [0; 1]).await.unwrap(), 0);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_manager_relays_from_tls_to_plain_and_from_plain_to_tls() {
    let authority = Authority::new("trusted");
    let network = network(config(&authority, Some(&authority.issue(&["127.0.0.1"]))));
    let plain = network.listen(&"tcp://127.0.0.1:0".parse().unwrap()).await.unwrap();
    let end = plain.address().clone();
    tokio::spawn(async move {
        while let Ok(stream) = plain.accept().await {
            tokio::spawn(async move { echo(&stream).await });
        }
    });
    let manager = TcpConnectionManager::new(network.clone(), TcpManagerConfig::default()).unwrap();
    let any = |scheme: &str| format!("{scheme}://127.0.0.1:0").parse::<Address>().unwrap();
    let secured = manager.relay(&any("tls"), end).await.unwrap();
    let unsecured = manager.relay(&any("tcp"), secured.clone()).await.unwrap();
    for address in [&secured, &unsecured] {
        let stream = network.connect(address, None).await.unwrap();
        call(&stream, b"through").await;
    }
    assert_eq!(manager.stats().accepted, 4 - 1, "the relay to itself was let in, too");
    manager.close().await;
}
