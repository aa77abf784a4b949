use super::{
    certificates::{Authority, Issued},
    *,
};
use crate::{
    config::{TimeLimit, TlsCertificate, TlsConfig, TlsKey, TlsServerConfig},
    error::{ConnectionError, TlsFault},
    events::{EventKind, Events},
};
use std::{fs, path::PathBuf, sync::Arc, time::Duration};
use tokio::runtime::Handle;

/// A certificate and its key in files of their own, which go away with it.
struct Files(PathBuf);

impl Files {
    fn new(test: &str, issued: &Issued) -> Self {
        let name = format!("trunkline-identity-{test}-{}", std::process::id());
        let files = Self(std::env::temp_dir().join(name));
        fs::create_dir_all(&files.0).unwrap();
        files.write(issued);
        files
    }

    fn write(&self, issued: &Issued) {
        fs::write(self.chain(), &issued.chain).unwrap();
        fs::write(self.key(), &issued.key).unwrap();
    }

    fn chain(&self) -> PathBuf {
        self.0.join("chain.pem")
    }

    fn key(&self) -> PathBuf {
        self.0.join("key.pem")
    }

    fn config(&self) -> TlsConfig {
        let certificate = TlsCertificate::from_files(self.chain(), self.key());
        TlsConfig {
            client: None,
            server: Some(TlsServerConfig::new(certificate)),
            reload_interval: TimeLimit::secs(60),
            ..TlsConfig::default()
        }
    }
}

impl Drop for Files {
    fn drop(&mut self) {
        let _ = fs::remove_dir_all(&self.0);
    }
}

fn kinds(events: &Events) -> Vec<EventKind> {
    events.drain(100).events.into_iter().map(|event| event.kind).collect()
}

/// Whether two handshakes would show the same certificate.
fn is_same(tls: &Tls, before: &Arc<rustls::ServerConfig>) -> bool {
    Arc::ptr_eq(&tls.server().unwrap(), before)
}

const TWO_LOOKS: Duration = Duration::from_secs(121);

#[tokio::test(start_paused = true)]
async fn a_new_file_is_in_use_after_the_next_look_and_told_once() {
    let authority = Authority::new("test");
    let files = Files::new("renewed", &authority.issue(&["a.test"]));
    let events = Events::default();
    let tls = Tls::new(files.config(), &Handle::current(), events.clone()).unwrap();
    let before = tls.server().unwrap();
    tokio::time::sleep(TWO_LOOKS).await;
    assert!(is_same(&tls, &before), "nothing changed, nothing was read");

    files.write(&authority.issue(&["b.test"]));
    tokio::time::sleep(TWO_LOOKS).await;
    assert!(!is_same(&tls, &before));
    assert_eq!(kinds(&events), [EventKind::IdentityLoaded]);
}

#[tokio::test(start_paused = true)]
async fn a_bad_file_never_replaces_a_good_one_and_is_told_once() {
    let authority = Authority::new("test");
    let good = authority.issue(&["a.test"]);
    let files = Files::new("bad", &good);
    let events = Events::default();
    let tls = Tls::new(files.config(), &Handle::current(), events.clone()).unwrap();
    let before = tls.server().unwrap();

    let other = authority.issue(&["a.test"]);
    let bad = [
        Issued { chain: "no PEM".to_owned(), key: good.key.clone() },
        Issued { chain: good.chain.clone(), key: other.key.clone() },
        Issued { chain: good.chain.clone(), key: String::new() },
        authority.issue_expired(&["a.test"]),
    ];
    for issued in &bad {
        files.write(issued);
        tokio::time::sleep(TWO_LOOKS).await;
        assert!(is_same(&tls, &before));
        assert_eq!(kinds(&events), [EventKind::IdentityRefused]);
    }
    fs::remove_file(files.key()).unwrap();
    tokio::time::sleep(TWO_LOOKS).await;
    assert!(is_same(&tls, &before));
    assert_eq!(kinds(&events), [EventKind::IdentityRefused]);

    files.write(&other);
    tokio::time::sleep(TWO_LOOKS).await;
    assert!(!is_same(&tls, &before));
    assert_eq!(kinds(&events), [EventKind::IdentityLoaded]);
}

#[tokio::test(start_paused = true)]
async fn a_reload_reads_at_once_and_says_what_is_wrong() {
    let authority = Authority::new("test");
    let files = Files::new("reload", &authority.issue(&["a.test"]));
    let config = TlsConfig { reload_interval: TimeLimit::Never, ..files.config() };
    let tls = Tls::new(config, &Handle::current(), Events::default()).unwrap();
    let before = tls.server().unwrap();
    files.write(&authority.issue(&["b.test"]));
    tokio::time::sleep(TWO_LOOKS).await;
    assert!(is_same(&tls, &before), "never is never");
    tls.reload().unwrap();
    assert!(!is_same(&tls, &before));

    files.write(&authority.issue_expired(&["a.test"]));
    let error = tls.reload().unwrap_err();
    assert_eq!(error.tls_fault(), Some(TlsFault::OwnCertificate), "{error}");
}

#[tokio::test(start_paused = true)]
async fn nobody_watches_for_a_handle_that_is_gone() {
    let authority = Authority::new("test");
    let files = Files::new("watched", &authority.issue(&["a.test"]));
    let events = Events::default();
    let tls = Tls::new(files.config(), &Handle::current(), events.clone()).unwrap();
    let before = Handle::current().metrics().num_alive_tasks();
    drop(tls);
    files.write(&authority.issue(&["b.test"]));
    tokio::time::sleep(TWO_LOOKS).await;
    assert_eq!(kinds(&events), []);
    assert!(Handle::current().metrics().num_alive_tasks() < before);
}

#[tokio::test]
async fn what_cannot_be_used_is_refused_with_its_field() {
    let authority = Authority::new("test");
    let (good, other) = (authority.issue(&["a.test"]), authority.issue(&["a.test"]));
    let make = |json: String| {
        let config = <TlsConfig as crate::config::Config>::from_json(&json)?;
        Tls::new(config, &Handle::current(), Events::default())
    };
    let server = |chain: &str, key: &str| {
        let server =
            serde_json::json!({"certificate": {"chain": {"pem": chain}, "key": {"pem": key}}});
        serde_json::json!({ "server": server }).to_string()
    };
    for (json, field) in [
        (server("nothing", &good.key), "server.certificate.chain"),
        (server(&good.chain, "nothing"), "server.certificate.key"),
        (r#"{"client": {"roots": {"file": "/nonexistent"}}}"#.to_owned(), "client.roots"),
        (r#"{"client": {"roots": {"pem": ""}}}"#.to_owned(), "client.roots"),
    ] {
        match make(json).unwrap_err() {
            ConnectionError::InvalidConfig { field: named, .. } => assert_eq!(named, field),
            other => panic!("{other:?}"),
        }
    }
    let expired = authority.issue_expired(&["a.test"]);
    for json in [server(&good.chain, &other.key), server(&expired.chain, &expired.key)] {
        assert_eq!(make(json).unwrap_err().tls_fault(), Some(TlsFault::OwnCertificate));
    }
    assert!(make(server(&good.chain, &good.key)).is_ok());
}

#[tokio::test]
async fn a_key_is_shown_nowhere_and_the_time_of_its_certificate_is_known() {
    let authority = Authority::new("test");
    let issued = authority.issue(&["a.test"]);
    let certificate = TlsCertificate {
        chain: crate::config::TlsChain::Pem(issued.chain.clone()),
        key: TlsKey::Pem(issued.key.clone().into()),
    };
    let server = Some(TlsServerConfig::new(certificate));
    let config = TlsConfig { client: None, server, ..TlsConfig::default() };
    let tls = Tls::new(config, &Handle::current(), Events::default()).unwrap();
    let shown = format!("{tls:?}{}", crate::config::Config::to_json(tls.config()));
    let secret = issued.key.lines().nth(1).unwrap();
    assert!(shown.contains("[redacted]") && !shown.contains(secret), "{shown}");
    assert!(tls.expires_in().unwrap() > Duration::from_secs(365 * 24 * 3600));
}
