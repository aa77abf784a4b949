//! A gRPC server for programs in other languages, on a free port, for as long as the tests run.

use bytes::Bytes;
use std::{path::Path, sync::OnceLock};
use tokio::runtime::Runtime;
use tokio_stream::StreamExt as _;
use tonic::{Code, Response, Status, metadata::KeyAndValueRef};
use trunkline_core::{
    ListenOptions, Network, TlsConfig,
    channel::{ChannelServer, Incoming, Messages, Methods, ServingStatus},
    config::{ChannelServerConfig, ClientAuth, TlsCertificate, TlsRoots, TlsServerConfig},
};

struct Served {
    target: String,
    _server: ChannelServer,
    _runtime: Runtime,
}

/// Where it is: a channel's target.
pub(crate) fn target() -> &'static str {
    static SERVED: OnceLock<Served> = OnceLock::new();
    &SERVED.get_or_init(|| serve("tcp://127.0.0.1:0", |network| network)).target
}

/// Where one is that speaks TLS with the certificates in a folder, and asks clients for theirs.
pub(crate) fn secured_target(folder: &Path) -> &'static str {
    static SERVED: OnceLock<Served> = OnceLock::new();
    let secure = |network: Network| {
        let certificate =
            TlsCertificate::from_files(folder.join("chain.pem"), folder.join("key.pem"));
        let server = TlsServerConfig {
            client_auth: ClientAuth::Required,
            client_roots: Some(TlsRoots::File(folder.join("ca.pem"))),
            ..TlsServerConfig::new(certificate)
        };
        let config = TlsConfig { client: None, server: Some(server), ..TlsConfig::default() };
        let tls = network.tls(config).unwrap();
        network.with_tls(tls)
    };
    &SERVED.get_or_init(|| serve("tls://127.0.0.1:0", secure)).target
}

fn serve(address: &str, secure: impl FnOnce(Network) -> Network) -> Served {
    let runtime =
        tokio::runtime::Builder::new_multi_thread().worker_threads(1).enable_all().build().unwrap();
    let network = secure(Network::new(runtime.handle().clone()));
    let options = ListenOptions { alpn: Some(vec!["h2".to_owned()]), ..ListenOptions::default() };
    let address = address.parse().unwrap();
    let listening = network.listen_with(&address, &options);
    let listener = runtime.block_on(listening).unwrap();
    let target = listener.address().to_string();
    let server =
        ChannelServer::start(&network, listener, methods(), ChannelServerConfig::default());
    Served { target, _server: server.unwrap(), _runtime: runtime }
}

fn methods() -> Methods {
    let methods = Methods::new();
    let health = methods.health();
    methods
        .unary("/test.Service/Mood", move |request| {
            // The health of a service is what the caller says, such as "some.Service good". Programs run side by side:
            // each has a service of its own.
            let said = String::from_utf8_lossy(request.get_ref());
            let (service, mood) = said.split_once(' ').unwrap_or_default();
            let status = match mood {
                "good" => ServingStatus::Serving,
                _ => ServingStatus::NotServing,
            };
            health.set(service, status);
            async { Ok(Response::new(Bytes::new())) }
        })
        .unary("/test.Service/Echo", |request| async move {
            let (metadata, _, message) = request.into_parts();
            let mut response = Response::new(message);
            for entry in metadata.iter() {
                if let KeyAndValueRef::Ascii(key, value) = entry
                    && key.as_str().starts_with("echo-")
                {
                    response.metadata_mut().insert(key.clone(), value.clone());
                }
            }
            Ok(response)
        })
        .unary("/test.Service/Fail", |_| async {
            let mut status = Status::new(Code::NotFound, "no such thing");
            status.metadata_mut().insert("hint", "look elsewhere".parse().unwrap());
            Err(status)
        })
        .unary("/test.Service/Broken", |_| async { Err(Status::internal("broken")) })
        .unary("/test.Service/Hang", |_| std::future::pending())
        .streaming("/test.Service/Talk", |incoming: Incoming| async {
            let answers = incoming
                .into_inner()
                .map(|said| said.map(|said| Bytes::from([&b"you said "[..], &said].concat())));
            let answers: Messages = Box::pin(answers);
            let mut answer = Response::new(answers);
            answer.metadata_mut().insert("first", "yes".parse().unwrap());
            Ok(answer)
        })
}
