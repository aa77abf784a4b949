//! The border: outputs always written, arguments checked, panics caught, errors told. Written once.

use crate::{
    channel::trunkline_kv_t,
    error::{Failure, trunkline_error_t},
    handle::{
        Handle, trunkline_agent_t, trunkline_call_t, trunkline_channel_t, trunkline_cq_t,
        trunkline_datagram_t, trunkline_hub_t, trunkline_job_t, trunkline_keyed_pool_t,
        trunkline_listener_t, trunkline_memory_proxy_t, trunkline_op_t, trunkline_pool_t,
        trunkline_runtime_t, trunkline_stream_t, trunkline_tcp_manager_t, trunkline_tls_t,
        trunkline_udp_manager_t,
    },
    input::{Deadline, trunkline_bytes_t, trunkline_str_t},
    metrics::trunkline_metric_t,
    pool::{trunkline_lease_t, trunkline_leased_t},
    process::Process,
    runtime::Runtime,
    status::*,
};
use std::{
    any::Any,
    cell::Cell,
    future::Future,
    mem::MaybeUninit,
    panic::{AssertUnwindSafe, catch_unwind},
    sync::Arc,
};
use trunkline_core::Permit;

/// Where a call writes a result; `None` is a NULL that C passed.
pub(crate) type Out<'a, T> = Option<&'a mut MaybeUninit<T>>;
/// Where a call writes its error object; `None` is a NULL, which asks for none.
pub(crate) type Err<'a> = Option<&'a mut MaybeUninit<Option<Box<trunkline_error_t>>>>;

/// What an output holds when the call fails.
pub(crate) trait Blank {
    const BLANK: Self;
}

macro_rules! blank {
    ($($type:ty = $value:expr),* $(,)?) => {
        $(impl Blank for $type {
            const BLANK: Self = $value;
        })*
    };
}

blank!(
    () = (),
    usize = 0,
    u64 = 0,
    i64 = 0,
    i32 = 0,
    f64 = 0.0,
    trunkline_str_t = Self { ptr: std::ptr::null(), len: 0 },
    trunkline_metric_t = Self {
        name: trunkline_str_t::BLANK,
        labels: trunkline_str_t::BLANK,
        kind: 0,
        reserved0: 0,
        value: 0.0,
        count: 0,
    },
    trunkline_runtime_t = Self { h: 0 },
    trunkline_cq_t = Self { h: 0 },
    trunkline_op_t = Self { h: 0 },
    trunkline_stream_t = Self { h: 0 },
    trunkline_tcp_manager_t = Self { h: 0 },
    trunkline_udp_manager_t = Self { h: 0 },
    trunkline_datagram_t = Self { h: 0 },
    trunkline_keyed_pool_t = Self { h: 0 },
    trunkline_pool_t = Self { h: 0 },
    trunkline_leased_t = Self { lease: trunkline_lease_t { h: 0 }, value: 0 },
    trunkline_listener_t = Self { h: 0 },
    trunkline_job_t = Self { h: 0 },
    trunkline_tls_t = Self { h: 0 },
    trunkline_channel_t = Self { h: 0 },
    trunkline_call_t = Self { h: 0 },
    trunkline_kv_t = Self {
        key: trunkline_str_t::BLANK,
        value: trunkline_bytes_t { ptr: std::ptr::null(), len: 0 },
    },
    trunkline_agent_t = Self { h: 0 },
    trunkline_memory_proxy_t = Self { h: 0 },
    trunkline_hub_t = Self { h: 0 },
    [trunkline_stream_t; 2] = [trunkline_stream_t { h: 0 }; 2],
);

impl<T> Blank for Option<Box<T>> {
    const BLANK: Self = None;
}

/// Runs one exported call that has an output.
///
/// The output is blank unless the call succeeds, and so is the error object if it does. A NULL output
/// is an invalid argument. A panic inside becomes `PANIC`.
pub(crate) fn enter<T: Blank>(
    out: Out<'_, T>,
    err: Err<'_>,
    body: impl FnOnce(&Call) -> Result<T, Failure>,
) -> trunkline_status_t {
    let Some(out) = out else {
        return tell(err, Err(Failure::null("an output")));
    };
    out.write(T::BLANK);
    let answer = guarded(body).map(|value| {
        out.write(value);
    });
    tell(err, answer)
}

/// Runs one exported call without an output.
pub(crate) fn enter_unit(
    err: Err<'_>,
    body: impl FnOnce(&Call) -> Result<(), Failure>,
) -> trunkline_status_t {
    tell(err, guarded(body))
}

/// Runs one exported call that has neither output nor error object.
pub(crate) fn enter_plain(body: impl FnOnce() -> Result<(), Failure>) -> trunkline_status_t {
    tell(None, guarded(|_| body()))
}

fn tell(err: Err<'_>, answer: Result<(), Failure>) -> trunkline_status_t {
    let failure = answer.err();
    let status = failure.as_ref().map_or(TRUNKLINE_OK, Failure::status);
    if let Some(err) = err {
        err.write(failure.as_ref().map(|failure| Box::new(trunkline_error_t::from(failure))));
    }
    status
}

fn guarded<T>(body: impl FnOnce(&Call) -> Result<T, Failure>) -> Result<T, Failure> {
    let call = Call { process: Process::current() };
    let _following = crate::log::follow_call(call.process);
    catch_unwind(AssertUnwindSafe(|| body(&call)))
        .unwrap_or_else(|panic| Err(panicked(panic.as_ref())))
}

/// What a caught panic says.
pub(crate) fn panicked(panic: &(dyn Any + Send)) -> Failure {
    let text = panic
        .downcast_ref::<&str>()
        .map(|text| (*text).to_owned())
        .or_else(|| panic.downcast_ref::<String>().cloned())
        .unwrap_or_else(|| "without a text".to_owned());
    Failure::new(TRUNKLINE_E_PANIC, format!("a bug in trunkline: {text}"))
}

/// One call from outside, past the first checks.
pub(crate) struct Call {
    process: &'static Process,
}

impl Call {
    pub(crate) fn process(&self) -> &'static Process {
        self.process
    }

    /// The object behind a handle.
    pub(crate) fn object<H: Handle>(&self, handle: H) -> Result<Arc<H::Object>, Failure> {
        self.process.table().get(handle)
    }

    /// A running runtime; `{0}` is the default one.
    pub(crate) fn runtime(&self, handle: trunkline_runtime_t) -> Result<Arc<Runtime>, Failure> {
        let runtime = match handle.h {
            0 => self.process.default_runtime()?,
            _ => self.object(handle)?,
        };
        runtime.check_running()?;
        Ok(runtime)
    }

    /// A place for one more handle of `runtime`, taken before the work for it starts.
    pub(crate) fn place(&self, runtime: &Runtime) -> Result<Permit, Failure> {
        runtime.reserve_handle()
    }

    /// Gives an object its handle.
    pub(crate) fn register<H: Handle>(&self, object: Arc<H::Object>, place: Permit) -> H {
        self.process.table().insert(object, Some(place))
    }

    /// Refuses to wait where waiting would stall the library itself.
    pub(crate) fn check_may_block(&self) -> Result<(), Failure> {
        if is_library_thread() || tokio::runtime::Handle::try_current().is_ok() {
            return Err(Failure::new(
                TRUNKLINE_E_WOULD_DEADLOCK,
                "this call waits, and was made on a thread of the library or inside a callback",
            ));
        }
        Ok(())
    }

    /// Waits for `future` on the calling thread, until the deadline or the end of the runtime.
    ///
    /// # Errors
    ///
    /// `expired()` at the deadline, `WOULD_BLOCK` if there is none to wait for, `WOULD_DEADLOCK` on a thread of the library, `CLOSED` when the
    /// runtime shuts down, and what the future says.
    pub(crate) fn block_on<T>(
        &self,
        runtime: &Runtime,
        deadline: Deadline,
        future: impl Future<Output = Result<T, Failure>>,
        expired: impl FnOnce() -> Failure,
    ) -> Result<T, Failure> {
        match deadline {
            Deadline::Now => return Err(Failure::would_block()),
            Deadline::Past => return Err(expired()),
            Deadline::At(_) | Deadline::Never => self.check_may_block()?,
        }
        runtime.check_running()?;
        runtime.handle().block_on(async {
            tokio::select! {
                biased;
                answer = future => answer,
                () = runtime.stopping().cancelled() => Err(Failure::closed("the runtime")),
                () = expiry(deadline) => Err(expired()),
            }
        })
    }
}

async fn expiry(deadline: Deadline) {
    match deadline {
        Deadline::Now | Deadline::Past => {}
        Deadline::At(instant) => tokio::time::sleep_until(instant.into()).await,
        Deadline::Never => std::future::pending().await,
    }
}

thread_local! {
    static LIBRARY_THREAD: Cell<bool> = const { Cell::new(false) };
}

/// Marks the calling thread as one of the library's, for good.
pub(crate) fn mark_library_thread() {
    LIBRARY_THREAD.set(true);
    trunkline_core::transport::block_sigpipe();
    crate::log::follow_thread();
}

/// Runs a callback of the host, which must not wait for the library.
///
/// An exception out of it ends the process here: no frame of the library is unwound by it.
pub(crate) fn in_callback<T>(callback: impl FnOnce() -> T) -> T {
    let before = LIBRARY_THREAD.replace(true);
    let mut guard = AbortOnUnwind { has_returned: false };
    let result = callback();
    guard.has_returned = true;
    LIBRARY_THREAD.set(before);
    result
}

struct AbortOnUnwind {
    has_returned: bool,
}

impl Drop for AbortOnUnwind {
    fn drop(&mut self) {
        if !self.has_returned {
            eprintln!("trunkline: a callback of the host threw an exception or unwound; aborting");
            std::process::abort();
        }
    }
}

pub(crate) fn is_library_thread() -> bool {
    LIBRARY_THREAD.get()
}
