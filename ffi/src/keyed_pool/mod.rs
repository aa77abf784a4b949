//! The keyed pool: numbers under keys, bounded and expiring, each given up exactly once with a reason.
#![allow(unsafe_code, reason = "keys, options and callbacks come by pointer")]

mod counts;
mod make;
mod wait;

pub use counts::*;
pub use make::*;
pub use wait::*;

use crate::{
    call::{enter, enter_plain, enter_unit, in_callback},
    completion::UserData,
    error::{Failure, trunkline_error_t},
    handle::{end_and_free, trunkline_cq_t, trunkline_keyed_pool_t, trunkline_runtime_t},
    input::{Sized_, bytes, fill, text},
    process::Process,
    queue::{Event, Queue, TRUNKLINE_EV_POOL_CLOSED},
    runtime::Runtime,
    status::*,
};
use parking_lot::Mutex;
use std::{
    ffi::{c_char, c_void},
    mem::MaybeUninit,
    sync::Arc,
};
use trunkline_core::{
    ConnectionPool, DashMapConnectionPool, PoolCloseReason, PoolConfig, completion::Slot,
    config::Config,
};

/// It was not used for the idle timeout.
pub const TRUNKLINE_POOL_CLOSE_IDLE_TIMEOUT: u32 = 1;
/// It had reached its lifetime.
pub const TRUNKLINE_POOL_CLOSE_LIFETIME: u32 = 2;
/// It made room in a full pool.
pub const TRUNKLINE_POOL_CLOSE_EVICTED: u32 = 3;
/// Another value was inserted under its key.
pub const TRUNKLINE_POOL_CLOSE_REPLACED: u32 = 4;
/// It was made for a key under which another value had been inserted meanwhile.
pub const TRUNKLINE_POOL_CLOSE_DUPLICATE: u32 = 5;
/// The program said that it is of no more use.
pub const TRUNKLINE_POOL_CLOSE_DISCARDED: u32 = 6;
/// The pool was cleared.
pub const TRUNKLINE_POOL_CLOSE_CLEARED: u32 = 7;
/// The pool was freed, or its runtime shut down.
pub const TRUNKLINE_POOL_CLOSE_POOL_CLOSED: u32 = 8;
/// It was made too late: nobody waited for it any more.
pub const TRUNKLINE_POOL_CLOSE_UNWANTED: u32 = 9;
/// It was found broken when it was put back or about to be lent.
pub const TRUNKLINE_POOL_CLOSE_BROKEN: u32 = 10;
/// It did not pass its check or its reset.
pub const TRUNKLINE_POOL_CLOSE_INVALID: u32 = 11;
/// The pool was made smaller.
pub const TRUNKLINE_POOL_CLOSE_SHRUNK: u32 = 12;
/// A caller took it out of the pool for good.
pub const TRUNKLINE_POOL_CLOSE_DETACHED: u32 = 13;
/// Its endpoint was taken out of the pool.
pub const TRUNKLINE_POOL_CLOSE_ENDPOINT_REMOVED: u32 = 14;

const _: () = {
    assert!(TRUNKLINE_POOL_CLOSE_IDLE_TIMEOUT == PoolCloseReason::IdleTimeout as u32);
    assert!(TRUNKLINE_POOL_CLOSE_LIFETIME == PoolCloseReason::Lifetime as u32);
    assert!(TRUNKLINE_POOL_CLOSE_EVICTED == PoolCloseReason::Evicted as u32);
    assert!(TRUNKLINE_POOL_CLOSE_REPLACED == PoolCloseReason::Replaced as u32);
    assert!(TRUNKLINE_POOL_CLOSE_DUPLICATE == PoolCloseReason::Duplicate as u32);
    assert!(TRUNKLINE_POOL_CLOSE_DISCARDED == PoolCloseReason::Discarded as u32);
    assert!(TRUNKLINE_POOL_CLOSE_CLEARED == PoolCloseReason::Cleared as u32);
    assert!(TRUNKLINE_POOL_CLOSE_POOL_CLOSED == PoolCloseReason::PoolClosed as u32);
    assert!(TRUNKLINE_POOL_CLOSE_UNWANTED == PoolCloseReason::Unwanted as u32);
    assert!(TRUNKLINE_POOL_CLOSE_BROKEN == PoolCloseReason::Broken as u32);
    assert!(TRUNKLINE_POOL_CLOSE_INVALID == PoolCloseReason::Invalid as u32);
    assert!(TRUNKLINE_POOL_CLOSE_SHRUNK == PoolCloseReason::Shrunk as u32);
    assert!(TRUNKLINE_POOL_CLOSE_DETACHED == PoolCloseReason::Detached as u32);
    assert!(TRUNKLINE_POOL_CLOSE_ENDPOINT_REMOVED == PoolCloseReason::EndpointRemoved as u32);
};

/// Takes a value that the pool gives up. `reason` is one of TRUNKLINE_POOL_CLOSE_*.
///
/// It runs once per value, without a lock, in the call that made the value leave or on a worker thread. It must
/// not block, throw, longjmp or unwind; it may use the pool.
pub type trunkline_pool_close_fn =
    Option<unsafe extern "C-unwind" fn(user_data: *mut c_void, value: u64, reason: u32)>;

/// Where the values go that a pool gives up: to a queue, as events of kind TRUNKLINE_EV_POOL_CLOSED with the value
/// in `handle` and the reason in `value`; or to a callback; or, with neither, nowhere.
#[repr(C)]
#[derive(Clone, Copy, Debug)]
pub struct trunkline_pool_closer_t {
    /// {0} without one. Each value in the pool keeps a place in it.
    pub queue: trunkline_cq_t,
    /// Comes back in the events, as it is.
    pub tag: u64,
    /// NULL without one.
    pub r#fn: trunkline_pool_close_fn,
    /// Passed to `fn` and `release`.
    pub user_data: *mut c_void,
    /// Runs exactly once after the last `fn`, also when the call that registers it fails; may be NULL.
    pub release: crate::buf::trunkline_release_fn,
}

/// The counts of a keyed pool, of one moment but for hits and misses. Start from TRUNKLINE_KEYED_POOL_STATS_INIT.
#[repr(C)]
#[derive(Clone, Copy, Debug)]
pub struct trunkline_keyed_pool_stats_t {
    /// In: sizeof(trunkline_keyed_pool_stats_t). Out: bytes filled.
    pub size: usize,
    /// Entries, those included that have expired and were not pruned.
    pub entries: u64,
    /// The most entries there can be.
    pub max_entries: u64,
    /// Gets that found a value.
    pub hits: u64,
    /// Gets that found none.
    pub misses: u64,
    /// Values that the pool took over.
    pub inserted: u64,
    /// Values that were taken out with trunkline_keyed_pool_remove.
    pub taken: u64,
    /// Values given up because they expired.
    pub expired: u64,
    /// Values given up to make room.
    pub evicted: u64,
    /// Values given up for any reason: inserted = entries + taken + closed.
    pub closed: u64,
    /// Mean age of the entries in nanoseconds; 0 if there is none.
    pub average_age_ns: i64,
    /// entries / max_entries
    pub utilization: f64,
    /// expired / inserted, 0 if nothing was inserted
    pub expiration_ratio: f64,
}

// SAFETY: plain numbers, `repr(C)`, `size` first; all zeroes are valid.
unsafe impl Sized_ for trunkline_keyed_pool_stats_t {}

type Key = Box<[u8]>;
type Pool = DashMapConnectionPool<Key, Arc<Value>>;

/// A value and, where it will be given up to a queue, its place there.
struct Value {
    number: u64,
    place: Mutex<Option<Slot<Event>>>,
}

impl Value {
    fn new(number: u64, place: Option<Slot<Event>>) -> Arc<Self> {
        Arc::new(Self { number, place: Mutex::new(place) })
    }
}

/// What a keyed pool's handle names.
pub(crate) struct KeyedPoolObject {
    pool: Arc<Pool>,
    /// Where each value needs a place before it goes in.
    queue: Option<Arc<Queue>>,
    runtime: Arc<Runtime>,
}

impl KeyedPoolObject {
    /// Closes the pool if it was made on `runtime`.
    pub(crate) fn close_if_on(&self, runtime: &Runtime) {
        if std::ptr::eq(Arc::as_ptr(&self.runtime), runtime) {
            self.pool.close();
        }
    }

    fn insert(&self, key: &[u8], number: u64) -> Result<(), Failure> {
        let value = Value::new(number, self.reserve()?);
        self.pool.insert(key.into(), value).map_err(|refused| Failure::Core(refused.error))
    }

    /// A place for the event by which a value is given up, if it goes to a queue.
    fn reserve(&self) -> Result<Option<Slot<Event>>, Failure> {
        self.queue.as_ref().map(|queue| queue.reserve()).transpose()
    }
}

/// The registration of a closer: releases the host's pointer once, when nothing can call any more.
struct Closer {
    function: trunkline_pool_close_fn,
    tag: u64,
    user_data: UserData,
    release: crate::buf::trunkline_release_fn,
}

impl Closer {
    fn close(&self, value: &Value, reason: PoolCloseReason) {
        let reason = reason as u32;
        if let Some(place) = value.place.lock().take() {
            let mut event = Event::ready(self.tag, TRUNKLINE_EV_POOL_CLOSED);
            event.handle = value.number;
            event.value = u64::from(reason);
            place.complete(event);
        }
        if let Some(function) = self.function {
            in_callback(|| {
                // SAFETY: the host promised a function that may be called with its pointer until the
                // release; an exception out of it stops at the next frame of ours and aborts.
                unsafe { function(self.user_data.0, value.number, reason) }
            });
        }
    }
}

impl Drop for Closer {
    fn drop(&mut self) {
        if let Some(release) = self.release {
            // SAFETY: the host promised a function that may be called once with its pointer.
            in_callback(|| unsafe { release(self.user_data.0) });
        }
    }
}

/// Makes a keyed pool. `json` is a document such as {"max_size": 100, "idle_timeout": "5m", "when_full":
/// "evict_lru"}; empty means the defaults: 1024 entries, 5 min idle, 30 min lifetime, reject when full.
///
/// Values are numbers: the `h` of a handle, or an id of the host's. What the pool gives up goes to `closer`.
///
/// Ownership: the pool is the caller's, to be freed once with trunkline_keyed_pool_free. Blocks: no. Threads: any.
/// Errors: INVALID_ARGUMENT (names the field), INVALID_HANDLE, LIMIT_EXCEEDED, CLOSED, FORKED. Since 0.1.
///
/// # Safety
///
/// `json` is good for `json_len` bytes.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn trunkline_keyed_pool_new(
    rt: trunkline_runtime_t,
    json: *const c_char,
    json_len: usize,
    closer: Option<&trunkline_pool_closer_t>,
    out: Option<&mut MaybeUninit<trunkline_keyed_pool_t>>,
    err: Option<&mut MaybeUninit<Option<Box<trunkline_error_t>>>>,
) -> trunkline_status_t {
    let registered = closer.map(|closer| Closer {
        function: closer.r#fn,
        tag: closer.tag,
        user_data: UserData(closer.user_data),
        release: closer.release,
    });
    enter(out, err, |call| {
        // SAFETY: the caller's promise is the same.
        let json = unsafe { text(json, json_len, "json")? };
        let config =
            if json.is_empty() { PoolConfig::default() } else { PoolConfig::from_json(json)? };
        let runtime = call.runtime(rt)?;
        let place = call.place(&runtime)?;
        let queue = match closer.map(|closer| closer.queue) {
            Some(queue) if queue.h != 0 => Some(call.object(queue)?),
            Some(_) | None => None,
        };
        let mut pool = Pool::new(config)?;
        if let Some(registered) = registered {
            pool = pool.on_close(move |_, value, reason| registered.close(&value, reason));
        }
        let pool = Arc::new(pool);
        pool.sweep_on(runtime.handle());
        Ok(call.register(Arc::new(KeyedPoolObject { pool, queue, runtime }), place))
    })
}

/// Puts `value` under the key. A value that was there is given up as REPLACED.
///
/// Ownership: the value is the pool's on OK, else it stays the caller's. Blocks: no. Threads: any. Errors:
/// INVALID_ARGUMENT, INVALID_HANDLE, LIMIT_EXCEEDED (the pool or the closer's queue is full), CLOSED, FORKED. Since 0.1.
///
/// # Safety
///
/// `key` is good for `key_len` bytes.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn trunkline_keyed_pool_insert(
    pool: trunkline_keyed_pool_t,
    key: *const u8,
    key_len: usize,
    value: u64,
    err: Option<&mut MaybeUninit<Option<Box<trunkline_error_t>>>>,
) -> trunkline_status_t {
    enter_unit(err, |call| {
        // SAFETY: the caller's promise is the same.
        let key = unsafe { bytes(key, key_len, "key")? };
        call.object(pool)?.insert(key, value)
    })
}

/// The value under the key, which stays in the pool; this counts as a use of it. An expired one is never given.
///
/// Ownership: the value stays the pool's, which may give it up at any time: what it names should bear that, as handles
/// do. Blocks: no. Threads: any. Errors: INVALID_ARGUMENT, INVALID_HANDLE, NOT_FOUND, FORKED. Since 0.1.
///
/// # Safety
///
/// `key` is good for `key_len` bytes.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn trunkline_keyed_pool_get(
    pool: trunkline_keyed_pool_t,
    key: *const u8,
    key_len: usize,
    value: Option<&mut MaybeUninit<u64>>,
) -> trunkline_status_t {
    enter(value, None, |call| {
        // SAFETY: the caller's promise is the same.
        let key: Key = unsafe { bytes(key, key_len, "key")? }.into();
        let found = call.object(pool)?.pool.get(&key);
        found.map(|value| value.number).ok_or_else(not_found)
    })
}

/// Takes the value under the key out of the pool.
///
/// Ownership: the value is the caller's again; the closer does not see it. Blocks: no. Threads: any. Errors:
/// INVALID_ARGUMENT, INVALID_HANDLE, NOT_FOUND, FORKED. Since 0.1.
///
/// # Safety
///
/// `key` is good for `key_len` bytes.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn trunkline_keyed_pool_remove(
    pool: trunkline_keyed_pool_t,
    key: *const u8,
    key_len: usize,
    value: Option<&mut MaybeUninit<u64>>,
) -> trunkline_status_t {
    enter(value, None, |call| {
        // SAFETY: the caller's promise is the same.
        let key: Key = unsafe { bytes(key, key_len, "key")? }.into();
        let found = call.object(pool)?.pool.remove(&key).ok_or_else(not_found)?;
        // The value is no longer owed to the queue: its place there is free again.
        let unused = found.place.lock().take();
        drop(unused);
        Ok(found.number)
    })
}

/// Gives up every value that is in the pool at the time of the call, as CLEARED.
///
/// Ownership: the values go to the closer. Blocks: no. Threads: any. Errors: INVALID_HANDLE, FORKED. Since 0.1.
#[unsafe(no_mangle)]
pub extern "C" fn trunkline_keyed_pool_clear(pool: trunkline_keyed_pool_t) -> trunkline_status_t {
    enter_plain(|| {
        Process::current().table().get(pool)?.pool.clear();
        Ok(())
    })
}

/// Gives up values that have expired, 256 looked at at most, and says how many. The pool also does it by itself.
///
/// Ownership: the values go to the closer. Blocks: no. Threads: any. Errors: INVALID_ARGUMENT, INVALID_HANDLE, FORKED. Since 0.1.
#[unsafe(no_mangle)]
pub extern "C" fn trunkline_keyed_pool_prune_expired(
    pool: trunkline_keyed_pool_t,
    count: Option<&mut MaybeUninit<u64>>,
) -> trunkline_status_t {
    enter(count, None, |call| Ok(call.object(pool)?.pool.prune_expired().closed as u64))
}

/// Fills the counts of a pool.
///
/// Ownership: none. Blocks: no. Threads: any. Errors: INVALID_ARGUMENT, INVALID_HANDLE, VERSION, FORKED. Since 0.1.
///
/// # Safety
///
/// `stats` points to a struct made by its INIT macro.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn trunkline_keyed_pool_stats(
    pool: trunkline_keyed_pool_t,
    stats: *mut trunkline_keyed_pool_stats_t,
) -> trunkline_status_t {
    enter_plain(|| {
        let counted = Process::current().table().get(pool)?.pool.stats();
        let value = trunkline_keyed_pool_stats_t {
            size: size_of::<trunkline_keyed_pool_stats_t>(),
            entries: counted.size as u64,
            max_entries: counted.max_size as u64,
            hits: counted.hits,
            misses: counted.misses,
            inserted: counted.inserted,
            taken: counted.taken,
            expired: counted.expired_count,
            evicted: counted.closed(PoolCloseReason::Evicted),
            closed: PoolCloseReason::ALL.iter().map(|reason| counted.closed(*reason)).sum(),
            average_age_ns: i64::try_from(counted.average_age.as_nanos()).unwrap_or(i64::MAX),
            utilization: counted.utilization(),
            expiration_ratio: counted.expiration_ratio(),
        };
        // SAFETY: the caller's promise is the same.
        unsafe { fill(stats, &value) }
    })
}

/// Frees a pool; its values are given up as POOL_CLOSED before this returns.
///
/// Ownership: takes the handle; the values go to the closer. Blocks: no. Threads: any, also finalisers. Errors:
/// INVALID_HANDLE. Since 0.1.
#[unsafe(no_mangle)]
pub extern "C" fn trunkline_keyed_pool_free(pool: trunkline_keyed_pool_t) -> trunkline_status_t {
    end_and_free(pool, |object| object.pool.close())
}

fn not_found() -> Failure {
    Failure::new(TRUNKLINE_E_NOT_FOUND, "there is no value under this key")
}
