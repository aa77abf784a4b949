//! The handle to a TLS configuration in use: what new handshakes take, and its renewal.

use super::{
    build::{Loaded, load},
    files::Stamps,
    watch,
};
use crate::{
    config::{Config, TlsCertificate, TlsConfig, TlsServerConfig},
    error::ConnectionError,
    events::{Event, EventKind, Events},
};
use arc_swap::ArcSwap;
use parking_lot::Mutex;
use rustls::{ClientConfig, ServerConfig, pki_types::UnixTime};
use std::{
    fmt,
    sync::Arc,
    time::{Duration, Instant, SystemTime, UNIX_EPOCH},
};
use tokio::runtime::Handle;

/// A [`TlsConfig`] with its files read, for any number of connections and listeners. Cheap to clone; every
/// clone is the same.
///
/// The files are looked at every `reload_interval`, and read anew when they changed. New handshakes use what was
/// read last; connections that stand keep what they began with. What cannot be used, or has expired, replaces
/// nothing: it is told as an event and in the log, and the files are watched on. The watching ends with the last
/// clone.
#[derive(Clone)]
pub struct Tls {
    inner: Arc<Inner>,
}

pub(super) struct Inner {
    pub(super) config: TlsConfig,
    loaded: ArcSwap<Loaded>,
    /// Held while files are read, so that an older reading never replaces a newer one.
    seen: Mutex<Seen>,
    events: Events,
}

/// What the files were like when they were read last, and whether they could be used.
struct Seen {
    stamps: Stamps,
    is_refused: bool,
}

impl Tls {
    /// Reads the files of `config`, in the calling thread; a task on `runtime` watches them from then on.
    ///
    /// # Errors
    ///
    /// [`ConnectionError::InvalidConfig`] as [`Config::validate`] says, and for a file that cannot be read or is no
    /// PEM; [`ConnectionError::Tls`] for a certificate that has expired or does not go with its key.
    pub fn new(
        config: TlsConfig,
        runtime: &Handle,
        events: Events,
    ) -> Result<Self, ConnectionError> {
        config.validate()?;
        let stamps = Stamps::now(&config);
        let loaded = load(&config, wall_clock())?;
        let interval = (!stamps.is_empty()).then_some(config.reload_interval);
        let inner = Arc::new(Inner {
            config,
            loaded: ArcSwap::from_pointee(loaded),
            seen: Mutex::new(Seen { stamps, is_refused: false }),
            events,
        });
        if let Some(interval) = interval {
            watch::start(runtime, &inner, interval);
        }
        Ok(Self { inner })
    }

    /// The configuration that it was made with.
    pub fn config(&self) -> &TlsConfig {
        &self.inner.config
    }

    /// Reads the files now, in the calling thread; new handshakes use what they hold.
    ///
    /// # Errors
    ///
    /// As [`new`](Self::new); what was in use before stays in use.
    pub fn reload(&self) -> Result<(), ConnectionError> {
        self.inner.reload(&mut self.inner.seen.lock())
    }

    /// Time until the first of our own certificates expires: zero once it has, `None` if there is none.
    pub fn expires_in(&self) -> Option<Duration> {
        let expires = self.inner.loaded.load().expires?;
        Some(Duration::from_secs(expires.as_secs().saturating_sub(wall_clock().as_secs())))
    }

    /// What a client's next handshake uses.
    pub(crate) fn client(&self) -> Result<Arc<ClientConfig>, ConnectionError> {
        let client = self.inner.loaded.load().client.clone();
        client.ok_or_else(|| missing("client", "must be given to connect to a tls:// address"))
    }

    /// What a server's next handshake uses.
    pub(crate) fn server(&self) -> Result<Arc<ServerConfig>, ConnectionError> {
        let server = self.inner.loaded.load().server.clone();
        server.ok_or_else(|| missing("server", "must be given to listen on a tls:// address"))
    }
}

/// A server's side that shows `certificate` and is as `base` says for the rest; files are read in the calling thread.
///
/// # Errors
///
/// As [`Tls::new`].
pub(crate) fn server_showing(
    certificate: TlsCertificate,
    base: Option<&TlsConfig>,
    alpn: Vec<String>,
) -> Result<Arc<ServerConfig>, ConnectionError> {
    let mut server = match base.and_then(|base| base.server.clone()) {
        Some(server) => TlsServerConfig { certificate, ..server },
        None => TlsServerConfig::new(certificate),
    };
    server.alpn = alpn;
    let min_version = base.map(|base| base.min_version).unwrap_or_default();
    let config =
        TlsConfig { client: None, server: Some(server), min_version, ..TlsConfig::default() };
    config.validate()?;
    let server = load(&config, wall_clock())?.server;
    server.ok_or_else(|| missing("server", "must be given to serve TLS"))
}

fn missing(side: &'static str, reason: &'static str) -> ConnectionError {
    ConnectionError::invalid_config(format!("tls.{side}"), reason)
}

impl Inner {
    /// Reads the files if they changed since the last time. Those that were refused are tried again: the time of
    /// a certificate may have come.
    pub(super) fn reload_if_changed(&self) {
        let mut seen = self.seen.lock();
        let is_news = seen.stamps != Stamps::now(&self.config);
        if is_news || seen.is_refused {
            let is_told = seen.is_refused && !is_news;
            match self.read(&mut seen) {
                Err(_) if is_told => {}
                answer => self.tell(&answer),
            }
        }
    }

    fn reload(&self, seen: &mut Seen) -> Result<(), ConnectionError> {
        let answer = self.read(seen);
        self.tell(&answer);
        answer
    }

    fn read(&self, seen: &mut Seen) -> Result<(), ConnectionError> {
        // Taken before the reading: what changes during it is seen as changed the next time.
        seen.stamps = Stamps::now(&self.config);
        let answer = load(&self.config, wall_clock());
        seen.is_refused = answer.is_err();
        self.loaded.store(Arc::new(answer?));
        Ok(())
    }

    fn tell(&self, answer: &Result<(), ConnectionError>) {
        let kind = match answer {
            Ok(()) => {
                tracing::info!("certificates loaded");
                EventKind::IdentityLoaded
            }
            Err(error) => {
                tracing::warn!(
                    error = error as &dyn std::error::Error,
                    "new certificates refused, the old ones stay in use"
                );
                EventKind::IdentityRefused
            }
        };
        self.events.record(Event::of_listener(kind, None, monotonic_clock()));
    }
}

#[expect(clippy::disallowed_methods, reason = "certificates hold by the wall clock")]
fn wall_clock() -> UnixTime {
    let since = SystemTime::now().duration_since(UNIX_EPOCH);
    UnixTime::since_unix_epoch(since.unwrap_or(Duration::ZERO))
}

#[expect(clippy::disallowed_methods, reason = "an event is told with its time")]
fn monotonic_clock() -> Instant {
    Instant::now()
}

impl fmt::Debug for Tls {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Tls").field("config", &self.inner.config).finish_non_exhaustive()
    }
}
