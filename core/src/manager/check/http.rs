//! Asks an endpoint by HTTP/1.1, and looks at the status, and at the body where that matters.

use super::Checkable;
use crate::{
    address::Address,
    config::HttpCheckConfig,
    manager::{endpoints::EndpointReason, shared::Shared},
};
use bytes::Bytes;
use http::{HeaderName, HeaderValue, Method, Request, StatusCode, header};
use http_body_util::{BodyExt, Empty};
use hyper::{body::Incoming, client::conn::http1::Builder};
use hyper_util::rt::TokioIo;
use std::{error::Error, pin::pin};
use tokio::time::timeout_at;

/// Fields of the head of an answer; one with more fails.
const MAX_FIELDS: usize = 100;

impl Checkable<'_> {
    /// Sends the request, and says what is wrong with the answer.
    pub(super) async fn ask(
        &self,
        shared: &Shared,
        config: &HttpCheckConfig,
    ) -> Result<(), EndpointReason> {
        let alpn = Some(vec!["http/1.1".to_owned()]);
        let stream = self.reach(shared, config.tls.as_ref(), alpn).await?;
        let mut builder = Builder::new();
        builder.max_buf_size(config.max_head as usize).max_headers(MAX_FIELDS);
        let (mut sender, connection) =
            builder.handshake(TokioIo::new(stream)).await.map_err(broken("request"))?;
        let request = self.request(config)?;
        let answered = async {
            let response = async { sender.send_request(request).await.map_err(broken("response")) };
            let response = self.in_time("response", response).await?;
            judge(response.status(), config)?;
            let Some(text) = &config.contains else { return Ok(()) };
            let body = response.into_body();
            self.in_time("body", search(body, text.as_bytes(), config.max_body as usize)).await
        };
        let (mut answered, mut connection) = (pin!(answered), pin!(connection));
        tokio::select! {
            biased;
            answer = &mut answered => answer,
            // It has said all that it will say.
            _ = &mut connection => answered.await,
        }
    }

    /// What `work` comes to, unless it takes longer than the check may.
    async fn in_time<T>(
        &self,
        step: &'static str,
        work: impl Future<Output = Result<T, EndpointReason>>,
    ) -> Result<T, EndpointReason> {
        let late = |_| Err(EndpointReason::of_check(step, "it took too long"));
        timeout_at(self.give_up_at.into(), work).await.unwrap_or_else(late)
    }

    fn request(&self, config: &HttpCheckConfig) -> Result<Request<Empty<Bytes>>, EndpointReason> {
        let wrong =
            || EndpointReason::of_check("request", "it cannot be made of the configuration");
        let host = HeaderValue::from_str(&self.host_field(config)).map_err(|_| wrong())?;
        let method = Method::from_bytes(config.method.as_bytes()).map_err(|_| wrong())?;
        let mut request = Request::builder().method(method).uri(&config.path);
        request = request
            .header(header::HOST, host)
            .header(header::USER_AGENT, "trunkline")
            .header(header::ACCEPT, "*/*")
            .header(header::CONNECTION, "close");
        let mut request = request.body(Empty::new()).map_err(|_| wrong())?;
        for (name, value) in &config.headers {
            let name = HeaderName::from_bytes(name.as_bytes()).map_err(|_| wrong())?;
            let value = HeaderValue::from_str(value).map_err(|_| wrong())?;
            request.headers_mut().insert(name, value);
        }
        Ok(request)
    }

    fn host_field(&self, config: &HttpCheckConfig) -> String {
        if let Some(host) = &config.host {
            return host.clone();
        }
        match (&self.host, self.address.socket_addr(), self.address) {
            (Some(host), Some(address), _) => format!("{host}:{}", address.port()),
            (None, Some(address), _) => address.to_string(),
            (_, None, Address::TcpName { host, port } | Address::TlsName { host, port }) => {
                format!("{host}:{port}")
            }
            (_, None, _) => "localhost".to_owned(),
        }
    }
}

fn judge(status: StatusCode, config: &HttpCheckConfig) -> Result<(), EndpointReason> {
    if config.expect.iter().any(|good| good.contains(status.as_u16())) {
        return Ok(());
    }
    Err(EndpointReason::of_check("status", format!("it answered {status}")))
}

/// Looks through the first `limit` bytes of a body for `wanted`.
async fn search(mut body: Incoming, wanted: &[u8], limit: usize) -> Result<(), EndpointReason> {
    let mut seen = Vec::new();
    while let Some(frame) = body.frame().await {
        let frame = frame.map_err(broken("body"))?;
        let Some(data) = frame.data_ref() else { continue };
        let from = seen.len().saturating_sub(wanted.len());
        seen.extend_from_slice(&data[..data.len().min(limit - seen.len())]);
        if seen[from..].windows(wanted.len()).any(|part| part == wanted) {
            return Ok(());
        }
        if seen.len() == limit {
            break;
        }
    }
    let text = format!("the text is not in its first {} bytes", seen.len());
    Err(EndpointReason::of_check("body", text))
}

fn broken(step: &'static str) -> impl Fn(hyper::Error) -> EndpointReason {
    move |error| {
        let mut text = error.to_string();
        let mut cause = error.source();
        while let Some(next) = cause {
            text = format!("{text}: {next}");
            cause = next.source();
        }
        EndpointReason::of_check(step, text)
    }
}
