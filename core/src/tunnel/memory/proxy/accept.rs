//! Takes connections from a listener, and TLS with them where a client begins with it.

use super::{
    hooks::{CertificateChoice, CertificateProvider, ProxyHello},
    shared::Shared,
};
use crate::{
    error::{ConnectionError, Place, Step, TlsFailure, TlsFault},
    events::Event,
    identity::server_showing,
    probe::{TcpProbedProtocol, TlsHello, Verdict},
    transport::{Admission, Listener, Stream},
    tunnel::{http, incoming::Incoming},
};
use bytes::BytesMut;
use rustls::ServerConfig;
use std::{error::Error, sync::Arc, sync::atomic::Ordering};
use tokio::time::timeout;

/// What every handshake of TLS begins with, and no request.
const HANDSHAKE: u8 = 22;
/// Bytes that are read at one time.
const CHUNK: usize = 4 << 10;
/// The longest hello that is waited for.
const HELLO_MAX: usize = 64 << 10;

/// Serves what comes to `listener` until it is closed or the proxy stops, with which it is closed.
pub(super) async fn accept_clients(shared: Arc<Shared>, listener: Arc<Listener>) {
    let pause = shared.config.accept_pause;
    let at = Arc::clone(&listener);
    let mut incoming =
        Incoming::new(&shared.network, &shared.stopping, at, pause).within(&shared.budget);
    while let Some(stream) = incoming.next().await {
        let Ok(stream) = shared.live.admit(stream) else { break };
        shared.fronts.spawn_on(serve(Arc::clone(&shared), stream), shared.network.runtime());
    }
    listener.close();
}

async fn serve(shared: Arc<Shared>, stream: Stream) {
    let handle = stream.close_handle();
    let secured = tokio::select! {
        biased;
        reason = shared.cut.ordered() => return handle.close(reason),
        secured = secured(&shared, stream) => secured,
    };
    if let Some((stream, begun)) = secured {
        http::serve(shared, stream, begun).await;
    }
}

/// The stream over which requests come, and what was read of it; `None` where none will.
async fn secured(shared: &Shared, stream: Stream) -> Option<(Stream, BytesMut)> {
    let mut begun = BytesMut::new();
    if stream.tls().is_some() {
        return Some((stream, begun));
    }
    let first = timeout(shared.config.head_timeout, read(&stream, &mut begun)).await;
    if !matches!(first, Ok(Some(()))) {
        return None;
    }
    if begun.first() != Some(&HANDSHAKE) {
        return Some((stream, begun));
    }
    let ends = (stream.context().source.clone(), stream.context().destination.clone());
    let limit = shared.config.handshake_timeout;
    let answer = timeout(limit, shake_hands(shared, stream, begun)).await;
    let error = match answer {
        Ok(Ok(stream)) => return Some((stream, BytesMut::new())),
        Ok(Err(error)) => error,
        Err(_) => {
            let at = Place::at(Step::Accept).from(ends.0.clone()).to(ends.1.clone());
            ConnectionError::timeout(Some(limit), at)
        }
    };
    shared.counts.handshakes_failed.fetch_add(1, Ordering::Relaxed);
    tracing::debug!(error = &error as &dyn Error, "a TLS handshake failed");
    let event = Event::handshake_failed(error.tls_fault(), ends, super::shared::clock());
    shared.network.events().record(event);
    None
}

/// Reads what comes next; `None` at the end.
async fn read(stream: &Stream, begun: &mut BytesMut) -> Option<()> {
    let before = begun.len();
    begun.resize(before + CHUNK, 0);
    let count = stream.read(&mut begun[before..]).await.unwrap_or(0);
    begun.truncate(before + count);
    (count > 0).then_some(())
}

async fn shake_hands(
    shared: &Shared,
    stream: Stream,
    mut begun: BytesMut,
) -> Result<Stream, ConnectionError> {
    let hello = loop {
        match TcpProbedProtocol::probe(&begun) {
            Verdict::Is(TcpProbedProtocol::Tls(hello)) => break hello,
            Verdict::NeedMore if begun.len() < HELLO_MAX => {}
            // What it is told is what TLS says to such a beginning.
            Verdict::NeedMore | Verdict::Is(_) | Verdict::Unknown => break TlsHello::default(),
        }
        if read(&stream, &mut begun).await.is_none() {
            let context = stream.context();
            let at = Place::at(Step::Accept).from(context.source.clone());
            return Err(ConnectionError::ConnectionFailed { at });
        }
    };
    let config = identity(shared, &stream, hello).await?;
    shared.network.secure_accepted(stream, begun.freeze(), config).await
}

/// Who the proxy is to this client.
async fn identity(
    shared: &Shared,
    stream: &Stream,
    hello: TlsHello,
) -> Result<Arc<ServerConfig>, ConnectionError> {
    match choice(shared, stream, hello).await? {
        CertificateChoice::Default => {
            let tls = shared.network.own_tls().ok_or_else(|| no_certificate(stream))?;
            let mut config = tls.server()?;
            Arc::make_mut(&mut config).alpn_protocols = crate::identity::in_bytes(&http::alpn());
            Ok(config)
        }
        CertificateChoice::Show(certificate) => {
            let base = shared.network.own_tls().map(|tls| tls.config().clone());
            // It may be in files.
            let read = move || server_showing(*certificate, base.as_ref(), http::alpn());
            let made = shared.network.runtime().spawn_blocking(read).await;
            made.unwrap_or_else(|_| Err(ConnectionError::closed(Step::Accept)))
        }
        CertificateChoice::Refuse => Err(no_certificate(stream)),
    }
}

async fn choice(
    shared: &Shared,
    stream: &Stream,
    hello: TlsHello,
) -> Result<CertificateChoice, ConnectionError> {
    let Some(provider) = &shared.certificates else { return Ok(CertificateChoice::Default) };
    let hello = Arc::new(ProxyHello {
        connection: stream.context().id,
        source: stream.context().source.clone(),
        server_name: hello.server_name,
        alpn: hello.alpn,
        timeout: shared.config.hook_timeout,
    });
    let question = |hook: Arc<dyn CertificateProvider>| hook.certificate(hello);
    let answer = provider.ask(&shared.fronts, shared.network.runtime(), question).await;
    answer.map_err(|why| {
        let at = Place::at(Step::Accept).from(stream.context().source.clone());
        ConnectionError::tls(TlsFailure::new(TlsFault::OwnCertificate, why), at)
    })
}

/// There is none for it.
#[derive(Debug, thiserror::Error)]
#[error("there is no certificate for the name that the client asks for")]
struct NoCertificate;

fn no_certificate(stream: &Stream) -> ConnectionError {
    let at = Place::at(Step::Accept).from(stream.context().source.clone());
    ConnectionError::tls(TlsFailure::new(TlsFault::OwnCertificate, NoCertificate), at)
}
