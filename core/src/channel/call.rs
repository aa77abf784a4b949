//! Calls as bytes: one message or many each way, metadata, a deadline, and the status as an error.

use super::{
    codec::BytesCodec,
    exchange::{Deadline, MaxReply, NothingSent, WaitForReady},
    handle::Channel,
    interceptor::in_the_clear,
    metadata::{self, Metadata},
    status,
};
use crate::{
    error::{ConnectionError, Step},
    secret::Secret,
};
use bytes::Bytes;
use http::uri::PathAndQuery;
use parking_lot::Mutex;
use std::{
    error::Error,
    pin::Pin,
    task::{Context, Poll},
    time::Instant,
};
use tokio::sync::{Mutex as AsyncMutex, mpsc};
use tokio_util::{sync::CancellationToken, task::AbortOnDropHandle};
use tonic::{
    Request, Response, Status, Streaming, client::Grpc, codec::CompressionEncoding,
    metadata::MetadataMap,
};
use tracing::Instrument as _;

/// Messages of one call that wait to be sent.
const SEND_QUEUE: usize = 16;

/// How one call is made.
#[derive(Clone, Debug, Default)]
pub struct CallOptions {
    /// When the call is given up, all its attempts included. Default: never, unless the service config says so.
    pub deadline: Option<Instant>,
    /// What is sent with it. Names are in lower case; values under names that end in `-bin` may be any bytes.
    pub metadata: Metadata,
    /// What proves who calls: sent as metadata, and never over a connection without TLS, unless
    /// [`plaintext_credentials`](Self::plaintext_credentials) asks for that. Shown nowhere.
    pub credentials: Vec<(Box<str>, Secret)>,
    /// Whether credentials may be sent in the clear. Default: false; the call fails with UNAUTHENTICATED instead.
    pub plaintext_credentials: bool,
    /// Whether it waits while no address works, instead of failing. Default: what the service config says, else no.
    pub wait_for_ready: Option<bool>,
    /// Largest message of the answer, in bytes. Default: the channel's limit, which it cannot exceed.
    pub max_reply: Option<u32>,
    /// How messages to the server are compressed; what it sends may be compressed either way.
    pub compression: Option<Compression>,
}

/// How messages are compressed.
#[non_exhaustive]
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Compression {
    /// gzip.
    Gzip,
    /// zlib's deflate.
    Deflate,
}

/// The answer to a call of one message.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Reply {
    /// The message.
    pub message: Bytes,
    /// What came before it.
    pub initial: Metadata,
    /// What came behind it.
    pub trailing: Metadata,
}

impl Channel {
    /// Calls `method`, such as `/package.Service/Method`, with one message, and waits for one.
    ///
    /// # Errors
    ///
    /// [`ConnectionError::Rpc`] with the status of gRPC that the call ended with,
    /// [`ConnectionError::Closed`] once the channel is closed,
    /// [`ConnectionError::InvalidConfig`] for what is no method and for bad metadata.
    ///
    /// # Cancel safety
    ///
    /// Dropping the future cancels the call; the server may have acted on it.
    pub async fn unary(
        &self,
        method: &str,
        message: Bytes,
        options: CallOptions,
    ) -> Result<Reply, ConnectionError> {
        self.check_request(method, &message)?;
        let (mut grpc, path, request) =
            self.prepare(method, tokio_stream::once(message), options)?;
        let answer =
            grpc.streaming(request, path, BytesCodec).await.map_err(|s| self.failure(s))?;
        let initial = metadata::from_map(answer.metadata());
        let mut messages = answer.into_inner();
        let message = messages.message().await.map_err(|status| self.failure(status))?;
        let trailing = trailing(&mut messages).await.map_err(|status| self.failure(status))?;
        let message = message.ok_or_else(|| {
            self.failure(Status::internal("the server ended the call without a message"))
        })?;
        Ok(Reply { message, initial, trailing })
    }

    /// Calls `method` with any number of messages each way. Returns without waiting for the server.
    ///
    /// # Errors
    ///
    /// [`ConnectionError::InvalidConfig`] for what is no method and for bad metadata,
    /// [`ConnectionError::Closed`] once the channel is closed. What the call ends with is told by the [`Call`].
    pub fn call(&self, method: &str, options: CallOptions) -> Result<Call, ConnectionError> {
        let (send, receive) = mpsc::channel(SEND_QUEUE);
        let (mut grpc, path, request) = self.prepare(method, Queued(receive), options)?;
        let limit = self.request_limit(method);
        // It belongs to what the caller is about, though it runs beside.
        let starting = async move { grpc.streaming(request, path, BytesCodec).await };
        let starting = starting.in_current_span();
        let starting = AbortOnDropHandle::new(self.shared().network.runtime().spawn(starting));
        Ok(Call {
            channel: self.clone(),
            sender: Mutex::new(Some(send)),
            limit,
            receiving: AsyncMutex::new(Receiving::Starting(starting)),
            given_up: CancellationToken::new(),
        })
    }

    fn prepare<S>(
        &self,
        method: &str,
        messages: S,
        options: CallOptions,
    ) -> Result<(Grpc<Self>, PathAndQuery, Request<S>), ConnectionError> {
        if self.shared().state() == super::ConnectivityState::Shutdown {
            return Err(ConnectionError::closed(Step::Call));
        }
        let path = path(method)?;
        let mut request = Request::new(messages);
        *request.metadata_mut() = metadata::to_map(&options.metadata)?;
        self.add_credentials(request.metadata_mut(), &options)?;
        let extensions = request.extensions_mut();
        if let Some(wait) = options.wait_for_ready {
            extensions.insert(WaitForReady(wait));
        }
        if let Some(deadline) = options.deadline {
            extensions.insert(Deadline(deadline));
        }
        if let Some(most) = options.max_reply {
            extensions.insert(MaxReply(most));
        }
        let limit = self.shared().config.max_message_size as usize;
        let mut grpc = Grpc::new(self.clone())
            .accept_compressed(CompressionEncoding::Gzip)
            .accept_compressed(CompressionEncoding::Deflate)
            .max_decoding_message_size(
                options.max_reply.map_or(limit, |most| limit.min(most as usize)),
            );
        grpc = match options.compression {
            Some(Compression::Gzip) => grpc.send_compressed(CompressionEncoding::Gzip),
            Some(Compression::Deflate) => grpc.send_compressed(CompressionEncoding::Deflate),
            None => grpc,
        };
        Ok((grpc, path, request))
    }

    fn add_credentials(
        &self,
        map: &mut MetadataMap,
        options: &CallOptions,
    ) -> Result<(), ConnectionError> {
        let is_private = self.shared().security.is_secured() || options.plaintext_credentials;
        if !options.credentials.is_empty() && !is_private {
            return Err(status::failure(in_the_clear(), true));
        }
        metadata::add_secrets(map, &options.credentials)
    }

    fn request_limit(&self, method: &str) -> u32 {
        let of_method = self.shared().method(method);
        let most = of_method.and_then(|method| method.max_request_message_bytes);
        most.unwrap_or(u32::MAX).min(self.shared().config.max_message_size)
    }

    fn check_request(&self, method: &str, message: &Bytes) -> Result<(), ConnectionError> {
        check_length(message, self.request_limit(method))
    }

    fn failure(&self, status: Status) -> ConnectionError {
        let nothing_sent = status.source().is_some_and(|source| source.is::<NothingSent>());
        status::failure(status, nothing_sent)
    }
}

fn check_length(message: &Bytes, limit: u32) -> Result<(), ConnectionError> {
    if message.len() <= limit as usize {
        return Ok(());
    }
    let text = format!("the message has {} bytes, the limit is {limit}", message.len());
    Err(status::failure(Status::resource_exhausted(text), true))
}

fn path(method: &str) -> Result<PathAndQuery, ConnectionError> {
    let parts = method.strip_prefix('/').and_then(|rest| rest.split_once('/'));
    let is_good = parts.is_some_and(|(service, name)| !service.is_empty() && !name.is_empty());
    let path = is_good.then(|| method.parse().ok()).flatten();
    path.ok_or_else(|| {
        ConnectionError::invalid_config("method", "must be such as /package.Service/Method")
    })
}

async fn trailing(messages: &mut Streaming<Bytes>) -> Result<Metadata, Status> {
    let trailers = messages.trailers().await?;
    Ok(trailers.map_or_else(Metadata::new, |trailers| {
        let mut trailing = metadata::from_map(&trailers);
        trailing.retain(|(name, _)| !name.starts_with("grpc-"));
        trailing
    }))
}

/// The messages that a caller sends, as a stream.
#[derive(Debug)]
struct Queued(mpsc::Receiver<Bytes>);

impl tokio_stream::Stream for Queued {
    type Item = Bytes;

    fn poll_next(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Option<Bytes>> {
        self.0.poll_recv(cx)
    }
}

/// A call with any number of messages each way. Sending and receiving may go on at the same time, each by one task
/// after the other. Dropping it cancels what is left of the call.
#[derive(Debug)]
pub struct Call {
    channel: Channel,
    sender: Mutex<Option<mpsc::Sender<Bytes>>>,
    limit: u32,
    receiving: AsyncMutex<Receiving>,
    given_up: CancellationToken,
}

#[derive(Debug)]
enum Receiving {
    Starting(AbortOnDropHandle<Result<Response<Streaming<Bytes>>, Status>>),
    Open { initial: Metadata, messages: Box<Streaming<Bytes>> },
    Ended { initial: Metadata, how: Result<Metadata, ConnectionError> },
}

impl Call {
    /// Sends one message, waiting while 16 are on their way already.
    ///
    /// # Errors
    ///
    /// [`ConnectionError::Closed`] once the call has ended, by the server or by
    /// [`finish_sending`](Self::finish_sending); [`receive`](Self::receive) says how. [`ConnectionError::Rpc`] with
    /// RESOURCE_EXHAUSTED for a message that is too long; the call goes on.
    ///
    /// # Cancel safety
    ///
    /// Dropping the future before it is ready means that the message was not sent.
    pub async fn send(&self, message: Bytes) -> Result<(), ConnectionError> {
        check_length(&message, self.limit)?;
        let sender = self.sender.lock().clone();
        let sender = sender.ok_or_else(given_up)?;
        tokio::select! {
            biased;
            () = self.given_up.cancelled() => Err(given_up()),
            sent = sender.send(message) => sent.map_err(|_| given_up()),
        }
    }

    /// Gives the call up: the server is told, unless the call has ended. Who waits for it meanwhile is told
    /// [`ConnectionError::Closed`]. Idempotent.
    pub fn cancel(&self) {
        self.given_up.cancel();
        self.finish_sending();
        // Whoever receives right now sees it there, and does the same.
        if let Ok(mut receiving) = self.receiving.try_lock() {
            receiving.give_up();
        }
    }

    /// Says that no more messages follow. Idempotent.
    pub fn finish_sending(&self) {
        let sender = self.sender.lock().take();
        drop(sender);
    }

    /// The next message; `None` once the server has ended the call well. Later calls say the same again.
    ///
    /// # Errors
    ///
    /// [`ConnectionError::Rpc`] with the status that the call ended with.
    ///
    /// # Cancel safety
    ///
    /// Dropping the future loses no message.
    pub async fn receive(&self) -> Result<Option<Bytes>, ConnectionError> {
        let mut receiving = self.receiving.lock().await;
        tokio::select! {
            biased;
            () = self.given_up.cancelled() => {}
            received = self.receive_next(&mut receiving) => return received,
        }
        receiving.give_up();
        receiving.ended()
    }

    async fn receive_next(
        &self,
        receiving: &mut Receiving,
    ) -> Result<Option<Bytes>, ConnectionError> {
        self.start(receiving).await;
        let Receiving::Open { initial, messages } = receiving else {
            return receiving.ended();
        };
        let how = match messages.message().await {
            Ok(Some(message)) => return Ok(Some(message)),
            Ok(None) => trailing(messages).await,
            Err(status) => Err(status),
        };
        let initial = std::mem::take(initial);
        *receiving = Receiving::Ended { initial, how: how.map_err(|s| self.channel.failure(s)) };
        self.finish_sending();
        receiving.ended()
    }

    /// What the server sent before its first message; waits for it. Empty if it sent nothing but a status.
    ///
    /// # Cancel safety
    ///
    /// Dropping the future leaves nothing behind.
    pub async fn initial(&self) -> Metadata {
        let mut receiving = self.receiving.lock().await;
        tokio::select! {
            biased;
            () = self.given_up.cancelled() => receiving.give_up(),
            () = self.start(&mut receiving) => {}
        }
        match &*receiving {
            Receiving::Open { initial, .. } | Receiving::Ended { initial, .. } => initial.clone(),
            Receiving::Starting(_) => Metadata::new(),
        }
    }

    /// What the server sent behind its last message; empty until [`receive`](Self::receive) has told the end, and
    /// where that was an error, which has it itself.
    pub async fn trailing(&self) -> Metadata {
        match &*self.receiving.lock().await {
            Receiving::Ended { how: Ok(trailing), .. } => trailing.clone(),
            Receiving::Ended { .. } | Receiving::Open { .. } | Receiving::Starting(_) => {
                Metadata::new()
            }
        }
    }

    /// Waits for the headers of the answer, if they are not there yet.
    async fn start(&self, receiving: &mut Receiving) {
        let Receiving::Starting(starting) = receiving else { return };
        let started = match starting.await {
            Ok(started) => started,
            Err(_) => Err(Status::cancelled("the runtime has ended")),
        };
        *receiving = match started {
            Ok(answer) => Receiving::Open {
                initial: metadata::from_map(answer.metadata()),
                messages: Box::new(answer.into_inner()),
            },
            Err(status) => {
                self.finish_sending();
                let how = Err(self.channel.failure(status));
                Receiving::Ended { initial: Metadata::new(), how }
            }
        };
    }
}

/// What uses of a call that was given up fail with.
fn given_up() -> ConnectionError {
    ConnectionError::closed(Step::Call)
}

impl Receiving {
    /// Ends what has not ended.
    fn give_up(&mut self) {
        match self {
            Self::Ended { .. } => {}
            Self::Starting(_) | Self::Open { .. } => {
                *self = Self::Ended { initial: Metadata::new(), how: Err(given_up()) };
            }
        }
    }

    fn ended(&self) -> Result<Option<Bytes>, ConnectionError> {
        match self {
            Self::Ended { how: Err(error), .. } => Err(error.clone()),
            Self::Ended { how: Ok(_), .. } | Self::Open { .. } | Self::Starting(_) => Ok(None),
        }
    }
}
