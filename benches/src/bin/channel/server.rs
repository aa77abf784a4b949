//! What every client calls: a server of bytes on the first core, as a process of its own.

use bytes::{BufMut, Bytes, BytesMut};
use http::{HeaderMap, HeaderValue, Request, Response};
use http_body::{Body as _, Frame};
use rustix::thread::{CpuSet, sched_getaffinity, sched_setaffinity};
use std::{
    convert::Infallible,
    env,
    future::{Future, poll_fn},
    io::{BufRead, BufReader, Read, Write, stdin, stdout},
    net::SocketAddr,
    pin::Pin,
    process::{Child, Command, ExitCode, Stdio},
    task::{Context, Poll},
};
use tokio::runtime::Builder;
use tonic::body::Body;
use tower_service::Service;
use trunkline_core::{ChannelServer, Network, channel::RequestBody, config::ChannelServerConfig};

/// Answers with the message that it was sent.
pub(crate) const ECHO: &str = "/bench.Bytes/Echo";
/// Answers with [`MESSAGES`] messages of [`LARGE`] bytes.
pub(crate) const FEED: &str = "/bench.Bytes/Feed";
/// Bytes of a large message.
pub(crate) const LARGE: usize = 1 << 20;
/// Messages of one feed.
pub(crate) const MESSAGES: usize = 200;

/// The server, until it is dropped.
pub(crate) struct Server {
    child: Child,
    pub(crate) address: SocketAddr,
}

impl Server {
    pub(crate) fn start() -> Self {
        let mut child = Command::new(env::current_exe().expect("this program"))
            .arg("serve")
            .stdin(Stdio::piped())
            .stdout(Stdio::piped())
            .spawn()
            .expect("it can be started again");
        let mut line = String::new();
        let output = child.stdout.take().expect("it is piped");
        BufReader::new(output).read_line(&mut line).expect("it says where it listens");
        Self { child, address: line.trim().parse().expect("an address") }
    }
}

impl Drop for Server {
    fn drop(&mut self) {
        drop(self.child.stdin.take());
        let _ = self.child.wait();
    }
}

/// Serves until its input ends, after saying where.
pub(crate) fn run() -> ExitCode {
    let allowed = sched_getaffinity(None).expect("the cores of this process");
    let mut first = CpuSet::new();
    first.set((0..CpuSet::MAX_CPU).find(|core| allowed.is_set(*core)).expect("there is one"));
    sched_setaffinity(None, &first).expect("a process may choose among its cores");
    let runtime = Builder::new_multi_thread().worker_threads(1).enable_all().build();
    let runtime = runtime.expect("a runtime");
    let network = Network::new(runtime.handle().clone());
    let address = "tcp://127.0.0.1:0".parse().expect("an address");
    let listener = runtime.block_on(network.listen(&address)).expect("a free port");
    println!("{}", listener.address().to_string().replace("tcp://", ""));
    stdout().flush().expect("somebody reads it");
    let config =
        ChannelServerConfig { max_concurrent_streams: 10_000, ..ChannelServerConfig::default() };
    let _server = ChannelServer::start(&network, listener, Bare, config).expect("it is sound");
    let _ = stdin().read_to_end(&mut Vec::new());
    ExitCode::SUCCESS
}

/// The two methods with as little around them as HTTP/2 lets.
#[derive(Clone)]
struct Bare;

impl Service<Request<RequestBody>> for Bare {
    type Response = Response<Body>;
    type Error = Infallible;
    type Future = Pin<Box<dyn Future<Output = Result<Response<Body>, Infallible>> + Send>>;

    fn poll_ready(&mut self, _: &mut Context<'_>) -> Poll<Result<(), Infallible>> {
        Poll::Ready(Ok(()))
    }

    fn call(&mut self, request: Request<RequestBody>) -> Self::Future {
        let is_feed = request.uri().path() == FEED;
        Box::pin(async move {
            let sent = read(request.into_body()).await;
            let body = match is_feed {
                false => Answer { message: sent, left: 1, is_over: false },
                true => Answer { message: large(), left: MESSAGES, is_over: false },
            };
            let mut response = Response::new(Body::new(body));
            let kind = HeaderValue::from_static("application/grpc");
            response.headers_mut().insert("content-type", kind);
            Ok(response)
        })
    }
}

/// The request as it came: one message with its prefix.
async fn read(mut body: RequestBody) -> Bytes {
    let mut sent = BytesMut::new();
    while let Some(Ok(frame)) = poll_fn(|cx| Pin::new(&mut body).poll_frame(cx)).await {
        if let Ok(data) = frame.into_data() {
            if sent.is_empty() && body.is_end_stream() {
                return data;
            }
            sent.extend_from_slice(&data);
        }
    }
    sent.freeze()
}

fn large() -> Bytes {
    let mut message = BytesMut::with_capacity(5 + LARGE);
    message.put_u8(0);
    message.put_u32(LARGE as u32);
    message.put_bytes(7, LARGE);
    message.freeze()
}

/// The same message some times, and OK.
struct Answer {
    message: Bytes,
    left: usize,
    is_over: bool,
}

impl http_body::Body for Answer {
    type Data = Bytes;
    type Error = tonic::Status;

    fn poll_frame(
        mut self: Pin<&mut Self>,
        _: &mut Context<'_>,
    ) -> Poll<Option<Result<Frame<Bytes>, tonic::Status>>> {
        if self.left > 0 {
            self.left -= 1;
            return Poll::Ready(Some(Ok(Frame::data(self.message.clone()))));
        }
        if std::mem::replace(&mut self.is_over, true) {
            return Poll::Ready(None);
        }
        let mut trailers = HeaderMap::new();
        trailers.insert("grpc-status", HeaderValue::from_static("0"));
        Poll::Ready(Some(Ok(Frame::trailers(trailers))))
    }
}
