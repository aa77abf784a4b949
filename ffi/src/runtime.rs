//! A runtime: worker threads, a network, a limit of handles, and an orderly end.
#![allow(unsafe_code, reason = "an options struct comes by pointer")]

use crate::{
    call::{Call, enter, enter_unit, mark_library_thread},
    error::{Failure, trunkline_error_t},
    handle::{
        free, trunkline_agent_t, trunkline_channel_t, trunkline_datagram_t, trunkline_hub_t,
        trunkline_keyed_pool_t, trunkline_listener_t, trunkline_memory_proxy_t, trunkline_pool_t,
        trunkline_runtime_t, trunkline_stream_t, trunkline_tcp_manager_t, trunkline_udp_manager_t,
    },
    input::{Deadline, Sized_, now, options, text, trunkline_str_t},
    process::Process,
    status::*,
};
use parking_lot::{MappedRwLockReadGuard, RwLock, RwLockReadGuard};
use std::{mem::MaybeUninit, sync::Arc, time::Duration};
use tokio_util::sync::CancellationToken;
use trunkline_core::{Budget, Network, Permit};

/// Worker threads without an option, at most: two serve tens of thousands of connections, and a library does
/// not take every core of its host.
const DEFAULT_WORKERS: u32 = 2;
const MAX_WORKERS: u32 = 1024;
/// Handles of one runtime without an option.
const DEFAULT_HANDLES: u32 = 1 << 20;

/// How a runtime is made. Start from TRUNKLINE_RUNTIME_OPTIONS_INIT.
#[repr(C)]
#[derive(Clone, Copy, Debug)]
pub struct trunkline_runtime_options_t {
    /// sizeof(trunkline_runtime_options_t)
    pub size: usize,
    /// Threads that drive the connections, 1 to 1024; 0 means 2, or 1 for a process that may run on one core only.
    pub worker_threads: u32,
    /// Objects with a handle at the same time; 0 means 1048576. Past it LIMIT_EXCEEDED.
    pub max_handles: u32,
    /// Name of the threads, as debuggers show it; empty means "trunkline". Copied.
    pub thread_name: trunkline_str_t,
}

// SAFETY: plain numbers and a pointer with a length, `repr(C)`, `size` first; all zeroes are valid.
unsafe impl Sized_ for trunkline_runtime_options_t {}

/// The checked form of [`trunkline_runtime_options_t`].
#[derive(Clone, Debug)]
pub(crate) struct Settings {
    workers: u32,
    handles: u32,
    thread_name: String,
}

/// Two threads that share one core would only take it from each other.
fn default_workers() -> u32 {
    match std::thread::available_parallelism() {
        Ok(cores) if cores.get() == 1 => 1,
        Ok(_) | Err(_) => DEFAULT_WORKERS,
    }
}

impl Default for Settings {
    fn default() -> Self {
        let thread_name = "trunkline".to_owned();
        Self { workers: default_workers(), handles: DEFAULT_HANDLES, thread_name }
    }
}

impl Settings {
    /// # Safety
    ///
    /// As for [`options`]; the text within is readable.
    unsafe fn from_c(given: *const trunkline_runtime_options_t) -> Result<Self, Failure> {
        let mut settings = Self::default();
        // SAFETY: the caller's promise is the same.
        let Some(given) = (unsafe { options(given)? }) else { return Ok(settings) };
        match given.worker_threads {
            0 => {}
            workers @ 1..=MAX_WORKERS => settings.workers = workers,
            _ => return Err(Failure::argument("worker_threads: must be within 0 and 1024")),
        }
        if given.max_handles > 0 {
            settings.handles = given.max_handles;
        }
        // SAFETY: the caller promises that the text is readable.
        let name = unsafe { text(given.thread_name.ptr, given.thread_name.len, "thread_name")? };
        if name.contains('\0') {
            return Err(Failure::argument("thread_name: must not hold a NUL byte"));
        }
        if !name.is_empty() {
            settings.thread_name = name.to_owned();
        }
        Ok(settings)
    }
}

/// What a runtime handle names.
#[derive(Debug)]
pub(crate) struct Runtime {
    /// `None` once shut down.
    threads: RwLock<Option<tokio::runtime::Runtime>>,
    handle: tokio::runtime::Handle,
    network: Network,
    handles: Budget,
    stopping: CancellationToken,
}

impl Runtime {
    pub(crate) fn start(settings: Settings) -> Result<Self, Failure> {
        let threads = tokio::runtime::Builder::new_multi_thread()
            .worker_threads(settings.workers as usize)
            .thread_name(settings.thread_name)
            .on_thread_start(mark_library_thread)
            .enable_all()
            .build()
            .map_err(|error| {
                Failure::new(TRUNKLINE_E_NO_MEMORY, format!("the runtime did not start: {error}"))
            })?;
        let handle = threads.handle().clone();
        let network = Network::new(handle.clone()).with_names(Process::current().names().clone());
        Ok(Self {
            threads: RwLock::new(Some(threads)),
            handle,
            network,
            handles: Budget::new(u64::from(settings.handles)),
            stopping: CancellationToken::new(),
        })
    }

    pub(crate) fn handle(&self) -> &tokio::runtime::Handle {
        &self.handle
    }

    /// The threads, which keep running while this is held: a task that is spawned meanwhile is not
    /// dropped at once on the thread that spawns it.
    pub(crate) fn threads(
        &self,
    ) -> Result<MappedRwLockReadGuard<'_, tokio::runtime::Runtime>, Failure> {
        RwLockReadGuard::try_map(self.threads.read(), Option::as_ref)
            .map_err(|_| Failure::closed("the runtime"))
    }

    pub(crate) fn network(&self) -> &Network {
        &self.network
    }

    /// Ends when the runtime begins to shut down.
    pub(crate) fn stopping(&self) -> &CancellationToken {
        &self.stopping
    }

    pub(crate) fn check_running(&self) -> Result<(), Failure> {
        if self.stopping.is_cancelled() { Err(Failure::closed("the runtime")) } else { Ok(()) }
    }

    /// A place for one more handle, or the limit that is reached.
    pub(crate) fn try_reserve_handle(&self) -> Result<Permit, u64> {
        self.handles.try_acquire().ok_or_else(|| self.handles.limit())
    }

    pub(crate) fn reserve_handle(&self) -> Result<Permit, Failure> {
        self.try_reserve_handle().map_err(|limit| {
            Failure::new(TRUNKLINE_E_LIMIT_EXCEEDED, format!("limit of {limit} handles reached"))
        })
    }

    /// Closes what lives on this runtime, cancels what is under way and waits for the threads. True
    /// unless some were still busy.
    fn stop(&self, limit: Option<Duration>) -> bool {
        self.stopping.cancel();
        let table = Process::current().table();
        for stream in table.all::<trunkline_stream_t>() {
            stream.close_if_on(self);
        }
        for listener in table.all::<trunkline_listener_t>() {
            listener.close_if_on(self);
        }
        for manager in table.all::<trunkline_tcp_manager_t>() {
            manager.stop_if_on(self);
        }
        for manager in table.all::<trunkline_udp_manager_t>() {
            manager.stop_if_on(self);
        }
        for socket in table.all::<trunkline_datagram_t>() {
            socket.close_if_on(self);
        }
        for channel in table.all::<trunkline_channel_t>() {
            channel.stop_if_on(self);
        }
        for agent in table.all::<trunkline_agent_t>() {
            agent.stop_if_on(self);
        }
        for hub in table.all::<trunkline_hub_t>() {
            hub.stop_if_on(self);
        }
        for proxy in table.all::<trunkline_memory_proxy_t>() {
            proxy.stop_if_on(self);
        }
        for pool in table.all::<trunkline_keyed_pool_t>() {
            pool.close_if_on(self);
        }
        for pool in table.all::<trunkline_pool_t>() {
            pool.close_if_on(self);
        }
        let Some(threads) = self.threads.write().take() else { return true };
        let started = now();
        match limit {
            // Dropping waits without limit; a timeout of that length is too much for a clock.
            None => drop(threads),
            Some(limit) => threads.shutdown_timeout(limit),
        }
        limit.is_none_or(|limit| limit.is_zero() || started.elapsed() < limit)
    }
}

impl Drop for Runtime {
    fn drop(&mut self) {
        self.stopping.cancel();
        if let Some(threads) = self.threads.get_mut().take() {
            // Never waits, so that a free from a finaliser or a worker cannot hang.
            threads.shutdown_background();
        }
    }
}

/// Makes a runtime of its own, beside the default one.
///
/// Ownership: the runtime is the caller's, to be freed once with trunkline_runtime_free. Blocks: no.
/// Threads: any. Errors: INVALID_ARGUMENT, VERSION, NO_MEMORY. Since 0.1.
///
/// # Safety
///
/// `opts` is NULL (all defaults) or points to a struct made by its INIT macro.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn trunkline_runtime_new(
    opts: *const trunkline_runtime_options_t,
    out: Option<&mut MaybeUninit<trunkline_runtime_t>>,
    err: Option<&mut MaybeUninit<Option<Box<trunkline_error_t>>>>,
) -> trunkline_status_t {
    enter(out, err, |call: &Call| {
        // SAFETY: the caller's promise is the same.
        let settings = unsafe { Settings::from_c(opts)? };
        let runtime = Arc::new(Runtime::start(settings)?);
        Ok(call.process().table().insert(runtime, None))
    })
}

/// Says how the default runtime, the handle {0}, will be made. Must come before its first use.
///
/// Ownership: none. Blocks: no. Threads: any. Errors: INVALID_ARGUMENT (also once it runs), VERSION. Since 0.1.
///
/// # Safety
///
/// `opts` is NULL (all defaults) or points to a struct made by its INIT macro.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn trunkline_runtime_configure(
    opts: *const trunkline_runtime_options_t,
    err: Option<&mut MaybeUninit<Option<Box<trunkline_error_t>>>>,
) -> trunkline_status_t {
    enter_unit(err, |call| {
        // SAFETY: the caller's promise is the same.
        let settings = unsafe { Settings::from_c(opts)? };
        call.process().configure_default(settings)
    })
}

/// Stops a runtime: its streams, listeners, managers, channels and pools are closed, operations under way complete as CANCELLED,
/// whoever waits gets CLOSED, threads end.
///
/// For {0} it stops the default runtime, if it was made; the next use of {0} makes a new one.
/// Stopping twice is no error.
///
/// Ownership: the handle stays the caller's. Blocks: until the threads have ended or the deadline.
/// Threads: any but the library's. Errors: INVALID_HANDLE, TIMEOUT (threads still busy; they end by
/// themselves), WOULD_DEADLOCK, FORKED. Since 0.1.
#[unsafe(no_mangle)]
pub extern "C" fn trunkline_runtime_shutdown(
    rt: trunkline_runtime_t,
    deadline_ns: i64,
    err: Option<&mut MaybeUninit<Option<Box<trunkline_error_t>>>>,
) -> trunkline_status_t {
    enter_unit(err, |call| {
        call.check_may_block()?;
        let runtime = match rt.h {
            0 => call.process().forget_default(),
            _ => Some(call.object(rt)?),
        };
        let Some(runtime) = runtime else { return Ok(()) };
        let limit = match Deadline::from_ns(deadline_ns) {
            Deadline::Now | Deadline::Past => Some(Duration::ZERO),
            Deadline::At(at) => Some(at.saturating_duration_since(now())),
            Deadline::Never => None,
        };
        if runtime.stop(limit) {
            return Ok(());
        }
        Err(Failure::new(TRUNKLINE_E_TIMEOUT, "threads of the runtime were still busy"))
    })
}

/// Frees a runtime without waiting. It ends with the last object that was made on it.
///
/// Ownership: takes the handle; the default runtime has none to take. Blocks: no. Threads: any, also finalisers.
/// Errors: INVALID_HANDLE (also {0}). Since 0.1.
#[unsafe(no_mangle)]
pub extern "C" fn trunkline_runtime_free(rt: trunkline_runtime_t) -> trunkline_status_t {
    free(rt)
}

/// 1 on a thread of the library or inside a callback, where calls that wait are refused; else 0.
///
/// Ownership: none. Blocks: no. Threads: any. Errors: none. Since 0.1.
#[unsafe(no_mangle)]
pub extern "C" fn trunkline_in_callback() -> i32 {
    i32::from(crate::call::is_library_thread())
}
