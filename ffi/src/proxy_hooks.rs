//! The hooks of a memory proxy: jobs of the host with a question in JSON, answered in JSON.
#![allow(unsafe_code, reason = "texts come by pointer")]

use crate::{
    buf::trunkline_buf_t,
    call::{enter, enter_unit},
    error::{Failure, trunkline_error_t},
    handle::trunkline_job_t,
    input::text,
    job::{Question, Verdict, give, of_another_kind, question},
    job_host::{JobHost, ProxyHook},
    output::{document, ns},
    status::*,
};
use http::{HeaderName, HeaderValue, StatusCode};
use serde::Deserialize;
use serde_json::{Value, json};
use std::{ffi::c_char, fmt, mem::MaybeUninit, sync::Arc};
use trunkline_core::{
    Address, AddressError, Answering, CertificateChoice, CertificateProvider, ConnectionError,
    FieldChanges, Processed, ProxyHello, ProxyHooks, ProxyRefusal, ProxyRequest, ProxyTarget,
    RequestProcessor, Routed, Router, config::TlsCertificate,
};

/// The host says where requests go: jobs of kind TRUNKLINE_JOB_PROXY_ROUTE.
pub const TRUNKLINE_HOOK_ROUTE: u32 = 1;
/// The host says whether they may, and with which fields: jobs of kind TRUNKLINE_JOB_PROXY_PROCESS.
pub const TRUNKLINE_HOOK_PROCESS: u32 = 2;
/// The host says which certificate clients of TLS are shown: jobs of kind TRUNKLINE_JOB_PROXY_CERTIFICATE.
pub const TRUNKLINE_HOOK_CERTIFICATE: u32 = 4;

/// Those of TRUNKLINE_HOOK_* that are in `which`, as jobs of `host`.
pub(crate) fn hooks(host: &JobHost, which: u32) -> Result<ProxyHooks, Failure> {
    const ALL: u32 = TRUNKLINE_HOOK_ROUTE | TRUNKLINE_HOOK_PROCESS | TRUNKLINE_HOOK_CERTIFICATE;
    if which == 0 || which & !ALL != 0 {
        return Err(Failure::argument("hooks: must be one or more of TRUNKLINE_HOOK_*"));
    }
    let hook = Arc::new(HostHooks(host.clone()));
    let is_wanted = |one| which & one != 0;
    Ok(ProxyHooks {
        router: is_wanted(TRUNKLINE_HOOK_ROUTE).then(|| Arc::clone(&hook) as _),
        processor: is_wanted(TRUNKLINE_HOOK_PROCESS).then(|| Arc::clone(&hook) as _),
        certificates: is_wanted(TRUNKLINE_HOOK_CERTIFICATE).then_some(hook as _),
    })
}

struct HostHooks(JobHost);

impl fmt::Debug for HostHooks {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("HostHooks").finish_non_exhaustive()
    }
}

impl HostHooks {
    async fn ask(
        &self,
        hook: ProxyHook,
        about: u64,
        question: Value,
    ) -> Result<Option<Verdict>, ConnectionError> {
        self.0.hooked(hook, about, question.to_string().into()).await
    }
}

impl Router for HostHooks {
    fn route(self: Arc<Self>, request: Arc<ProxyRequest>) -> Answering<Routed> {
        Box::pin(async move {
            let about = request.connection.get();
            Ok(match self.ask(ProxyHook::Route, about, described(&request)).await? {
                Some(Verdict::ProxyRoute(routed)) => routed,
                _ => Routed::Default,
            })
        })
    }
}

impl RequestProcessor for HostHooks {
    fn process(
        self: Arc<Self>,
        request: Arc<ProxyRequest>,
        target: Arc<ProxyTarget>,
    ) -> Answering<Processed> {
        Box::pin(async move {
            let about = request.connection.get();
            let mut question = described(&request);
            question["target"] = json!({
                "address": target.address.to_string(), "path": target.path, "host": target.host,
            });
            Ok(match self.ask(ProxyHook::Process, about, question).await? {
                Some(Verdict::ProxyProcess(processed)) => processed,
                _ => Processed::Pass(FieldChanges::default()),
            })
        })
    }
}

impl CertificateProvider for HostHooks {
    fn certificate(self: Arc<Self>, hello: Arc<ProxyHello>) -> Answering<CertificateChoice> {
        Box::pin(async move {
            let question = json!({
                "connection": hello.connection.get(),
                "source": hello.source.as_ref().map(Address::to_string),
                "server_name": hello.server_name,
                "alpn": hello.alpn,
                "timeout_ns": ns(hello.timeout),
            });
            let about = hello.connection.get();
            Ok(match self.ask(ProxyHook::Certificate, about, question).await? {
                Some(Verdict::ProxyCertificate(choice)) => choice,
                _ => CertificateChoice::Default,
            })
        })
    }
}

fn described(request: &ProxyRequest) -> Value {
    let field = |(name, value): (&HeaderName, &HeaderValue)| json!([name.as_str(), shown(value)]);
    json!({
        "connection": request.connection.get(),
        "source": request.source.as_ref().map(Address::to_string),
        "server_name": request.server_name,
        "is_secured": request.is_secured,
        "method": request.method.as_str(),
        "host": request.host,
        "path": request.path,
        "query": request.query,
        "headers": request.headers.iter().map(field).collect::<Vec<_>>(),
        "timeout_ns": ns(request.timeout),
    })
}

/// A value, each byte as the character of its number.
fn shown(value: &HeaderValue) -> String {
    value.as_bytes().iter().copied().map(char::from).collect()
}

fn value_of(shown: &str) -> Option<HeaderValue> {
    let bytes: Option<Vec<u8>> = shown.chars().map(|c| u8::try_from(c).ok()).collect();
    HeaderValue::from_bytes(&bytes?).ok()
}

/// What is known of what a job of a memory proxy is about, as a JSON object. For TRUNKLINE_JOB_PROXY_ROUTE: {"connection",
/// "source", "server_name", "is_secured", "method", "host", "path", "query", "headers", "timeout_ns"}, where "headers" is an
/// array of [name, value] as a service would see them, each byte of a value as the character of its number; for
/// TRUNKLINE_JOB_PROXY_PROCESS the same with "target": {"address", "path", "host"}; for TRUNKLINE_JOB_PROXY_CERTIFICATE:
/// {"connection", "source", "server_name", "alpn", "timeout_ns"}. What is not known is null; "timeout_ns" is the time for the
/// answer from when it was asked for.
///
/// Ownership: the buffer is the caller's, to be freed with trunkline_buf_free. Blocks: no. Threads: any, also inside
/// callbacks. Errors: INVALID_ARGUMENT (a job of another kind), INVALID_HANDLE (also when nobody waits for it any more),
/// FORKED. Since 0.1.
#[unsafe(no_mangle)]
pub extern "C" fn trunkline_memory_proxy_question(
    job: trunkline_job_t,
    out: Option<&mut MaybeUninit<Option<Box<trunkline_buf_t>>>>,
    err: Option<&mut MaybeUninit<Option<Box<trunkline_error_t>>>>,
) -> trunkline_status_t {
    enter(out, err, |_| {
        let Question::Proxy(_, text) = question(job)? else {
            return Err(of_another_kind());
        };
        Ok(document(&text))
    })
}

/// Answers a job of a memory proxy with a JSON object, in which what is absent is as the configuration says.
///
/// For TRUNKLINE_JOB_PROXY_ROUTE: {"target": "tls://api.internal:443", "path": "/x?y", "host": "api"} or {"refuse": {"status": 403,
/// "text": "why"}}. For TRUNKLINE_JOB_PROXY_PROCESS: {"remove": ["name"], "set": [["name", "value"]]}, or "refuse" as above; values
/// are written as in the question, and fields that say where a message goes or ends, or belong to one hop, cannot be
/// changed. For TRUNKLINE_JOB_PROXY_CERTIFICATE: {"certificate": {"chain": {"pem": "..."}, "key": {"pem": "..."}}}, also
/// with "file", or {"refuse": true}.
///
/// A job has one answer: a second one, and one that comes too late, are INVALID_HANDLE and harmless. trunkline_job_done
/// answers as well: without an error as {}, with one that it failed: then the request is answered with 500, or the
/// handshake ends.
///
/// Ownership: none. Blocks: no. Threads: any, also inside callbacks. Errors: INVALID_ARGUMENT (names what is wrong; the job then
/// still wants its answer), INVALID_HANDLE, CLOSED, FORKED. Since 0.1.
///
/// # Safety
///
/// `json` is good for `json_len` bytes.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn trunkline_memory_proxy_answer(
    job: trunkline_job_t,
    json: *const c_char,
    json_len: usize,
    err: Option<&mut MaybeUninit<Option<Box<trunkline_error_t>>>>,
) -> trunkline_status_t {
    enter_unit(err, |_| {
        // SAFETY: the caller's promise is the same.
        let json = unsafe { text(json, json_len, "json")? };
        let Question::Proxy(hook, _) = question(job)? else {
            return Err(of_another_kind());
        };
        let verdict = match hook {
            ProxyHook::Route => Verdict::ProxyRoute(read::<RouteAnswer>(json)?.routed()?),
            ProxyHook::Process => Verdict::ProxyProcess(read::<ProcessAnswer>(json)?.processed()?),
            ProxyHook::Certificate => {
                Verdict::ProxyCertificate(read::<CertificateAnswer>(json)?.choice()?)
            }
        };
        give(job, verdict)
    })
}

/// Says nothing of the values, which may be keys.
fn read<'a, T: Deserialize<'a>>(json: &'a str) -> Result<T, Failure> {
    serde_json::from_str(json).map_err(|error| {
        let at = format!("line {}, column {}", error.line(), error.column());
        Failure::argument(format!("json: is no such answer, at {at}"))
    })
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct Refuse {
    status: u16,
    #[serde(default)]
    text: Box<str>,
}

impl Refuse {
    fn refusal(self) -> Result<ProxyRefusal, Failure> {
        let status = StatusCode::from_u16(self.status)
            .ok()
            .filter(|status| status.is_client_error() || status.is_server_error());
        let status =
            status.ok_or_else(|| Failure::argument("refuse.status: must be within 400 and 599"))?;
        Ok(ProxyRefusal { status, text: self.text })
    }
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct RouteAnswer {
    target: Option<String>,
    path: Option<Box<str>>,
    host: Option<Box<str>>,
    refuse: Option<Refuse>,
}

impl RouteAnswer {
    fn routed(self) -> Result<Routed, Failure> {
        match self {
            Self { target: None, path: None, host: None, refuse: None } => Ok(Routed::Default),
            Self { target: None, path: None, host: None, refuse: Some(refuse) } => {
                Ok(Routed::Refuse(refuse.refusal()?))
            }
            Self { target: Some(target), path, host, refuse: None } => {
                let address =
                    target.parse().map_err(|error: AddressError| Failure::Core(error.into()))?;
                let target = ProxyTarget { address, path, host };
                target.check()?;
                Ok(Routed::To(target))
            }
            Self { .. } => {
                Err(Failure::argument("json: must have a target, or refuse and nothing else"))
            }
        }
    }
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct ProcessAnswer {
    #[serde(default)]
    remove: Vec<String>,
    #[serde(default)]
    set: Vec<(String, String)>,
    refuse: Option<Refuse>,
}

impl ProcessAnswer {
    fn processed(self) -> Result<Processed, Failure> {
        if let Some(refuse) = self.refuse {
            return Ok(Processed::Refuse(refuse.refusal()?));
        }
        let name = |name: &str| {
            let name = HeaderName::from_bytes(name.as_bytes());
            name.map_err(|_| Failure::argument("json: must name fields by well-formed names"))
        };
        let set = |(of, value): &(String, String)| {
            let value = value_of(value).ok_or_else(|| {
                Failure::argument(format!("{of}: must have a value that is well-formed"))
            })?;
            Ok((name(of)?, value))
        };
        let changes = FieldChanges {
            remove: self.remove.iter().map(|of| name(of)).collect::<Result<_, _>>()?,
            set: self.set.iter().map(set).collect::<Result<_, Failure>>()?,
        };
        changes.check()?;
        Ok(Processed::Pass(changes))
    }
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct CertificateAnswer {
    certificate: Option<TlsCertificate>,
    #[serde(default)]
    refuse: bool,
}

impl CertificateAnswer {
    fn choice(self) -> Result<CertificateChoice, Failure> {
        match (self.certificate, self.refuse) {
            (None, false) => Ok(CertificateChoice::Default),
            (None, true) => Ok(CertificateChoice::Refuse),
            (Some(certificate), false) => Ok(CertificateChoice::Show(Box::new(certificate))),
            (Some(_), true) => {
                Err(Failure::argument("json: must have a certificate or refuse, not both"))
            }
        }
    }
}
