//! The checkout pool: lends each connection to one caller at a time, in the order in which they come.
#![allow(unsafe_code, reason = "texts, structs and addresses come by pointer")]

mod connector;
mod line;
mod object;
mod stats;
mod upkeep;

pub(crate) use object::PoolObject;
pub use object::TRUNKLINE_DEADLINE_DEFAULT;
pub use stats::*;
pub use upkeep::*;

use crate::{
    call::{Blank, Call, enter, enter_plain},
    completion::trunkline_completion_t,
    error::{Failure, trunkline_error_t},
    handing::handing_to,
    handle::{end_and_free, trunkline_cq_t, trunkline_op_t, trunkline_pool_t, trunkline_runtime_t},
    input::{self, text, trunkline_str_t},
    job_host::{Registration, trunkline_job_host_t},
    process::Process,
    queue::trunkline_event_t,
    runtime::Runtime,
    status::*,
    tls::{secured_by, trunkline_connect_options_t},
};
use connector::Maker;
use line::Waiter;
use object::{entrust, hand_out, patience};
use std::{ffi::c_char, mem::MaybeUninit, sync::Arc};
use trunkline_core::{
    Address, CheckoutPool, CheckoutPoolConfig, ConnectionError, Permit,
    config::Config,
    pool::{Abilities, Acquired, Entrusted, Holder, Patience},
};

/// The host answers TRUNKLINE_JOB_CHECK, so connections that stood idle are checked before they are lent.
pub const TRUNKLINE_POOL_CHECKS: u32 = 1;
/// The host answers TRUNKLINE_JOB_RESET, so connections are reset when they come back.
pub const TRUNKLINE_POOL_RESETS: u32 = 2;

/// A release that closes the connection instead of lending it again.
pub const TRUNKLINE_POOL_DISCARD: u32 = 1;

/// A connection that is lent: a number of its pool. {0} is never one, and after its release it is none for ever.
#[repr(C)]
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct trunkline_lease_t {
    /// Opaque; 0 is never valid.
    pub h: u64,
}

/// A lease, and what is lent.
#[repr(C)]
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct trunkline_leased_t {
    /// To be released once.
    pub lease: trunkline_lease_t,
    /// The host's number of the connection, or the `h` of the stream, which stays the pool's.
    pub value: u64,
}

/// Makes a pool of connections that the host makes. `json` is a document such as {"name": "db", "max_size": 20,
/// "min_idle": 2, "acquire_timeout": "5s"}; empty means the defaults: 10 connections, 30 s to acquire one.
///
/// What the pool wants done goes to `host` as jobs: CONNECT, answered with the new connection's number, which is not 0;
/// CLOSE; and, as `abilities` says, CHECK and RESET.
///
/// Ownership: the pool is the caller's, to be freed once with trunkline_pool_free. Blocks: no. Threads: any. Errors:
/// INVALID_ARGUMENT (names the field), INVALID_HANDLE, LIMIT_EXCEEDED, CLOSED, FORKED. Since 0.1.
///
/// # Safety
///
/// `json` is good for `json_len` bytes.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn trunkline_pool_new(
    rt: trunkline_runtime_t,
    json: *const c_char,
    json_len: usize,
    host: Option<&trunkline_job_host_t>,
    abilities: u32,
    out: Option<&mut MaybeUninit<trunkline_pool_t>>,
    err: Option<&mut MaybeUninit<Option<Box<trunkline_error_t>>>>,
) -> trunkline_status_t {
    let registration = host.map(Registration::of);
    enter(out, err, |call| {
        // SAFETY: the caller's promise is the same.
        let config = unsafe { config(json, json_len)? };
        let abilities = abilities_of(abilities)?;
        let (runtime, place) = room(call, rt)?;
        let registration = registration.ok_or_else(|| Failure::null("host"))?;
        let host = registration.on(call, &runtime)?;
        let maker = Maker::Host { host, abilities };
        open(call, config, maker, Vec::new(), runtime, place)
    })
}

/// As trunkline_pool_open_with, with the default options.
///
/// Ownership: as trunkline_pool_open_with. Blocks: no. Threads: any. Errors: as trunkline_pool_open_with. Since 0.1.
///
/// # Safety
///
/// `json` is good for `json_len` bytes, `addresses` for `addresses_len` texts.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn trunkline_pool_open(
    rt: trunkline_runtime_t,
    json: *const c_char,
    json_len: usize,
    addresses: *const trunkline_str_t,
    addresses_len: usize,
    out: Option<&mut MaybeUninit<trunkline_pool_t>>,
    err: Option<&mut MaybeUninit<Option<Box<trunkline_error_t>>>>,
) -> trunkline_status_t {
    let opts = std::ptr::null();
    // SAFETY: the caller's promise is the same; options may be NULL.
    unsafe {
        trunkline_pool_open_with(rt, json, json_len, addresses, addresses_len, opts, out, err)
    }
}

/// Makes a pool of streams to the given addresses: each connection goes to the one with the fewest, of those that work.
/// A stream on which the peer has ended, or has sent what nobody asked for, is not lent.
///
/// Ownership: the pool is the caller's, to be freed once with trunkline_pool_free; its streams are its own, and must
/// neither be closed nor freed by those who have leases of them. Blocks: no. Threads: any. Errors: INVALID_ARGUMENT (names
/// the field), INVALID_HANDLE, VERSION, LIMIT_EXCEEDED, CLOSED, FORKED. Since 0.1.
///
/// # Safety
///
/// `json` is good for `json_len` bytes, `addresses` for `addresses_len` texts; `opts` is NULL or points to a struct
/// made by its INIT macro.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn trunkline_pool_open_with(
    rt: trunkline_runtime_t,
    json: *const c_char,
    json_len: usize,
    addresses: *const trunkline_str_t,
    addresses_len: usize,
    opts: *const trunkline_connect_options_t,
    out: Option<&mut MaybeUninit<trunkline_pool_t>>,
    err: Option<&mut MaybeUninit<Option<Box<trunkline_error_t>>>>,
) -> trunkline_status_t {
    enter(out, err, |call| {
        // SAFETY: the caller's promise is the same.
        let config = unsafe { config(json, json_len)? };
        // SAFETY: as above.
        let addresses = unsafe { endpoints(addresses, addresses_len)? };
        let (runtime, place) = room(call, rt)?;
        // SAFETY: as above.
        let network = unsafe { secured_by(call, runtime.network(), opts)? };
        let maker = Maker::Network { network, runtime: Arc::downgrade(&runtime) };
        open(call, config, maker, addresses, runtime, place)
    })
}

/// Takes a connection, waiting for one until the deadline, or with TRUNKLINE_DEADLINE_DEFAULT for the pool's
/// `acquire_timeout`. `holder` says who takes it, for errors and trunkline_pool_leases; it may be empty.
///
/// The causes of a TIMEOUT say how many are in use and idle, who holds one for longest, and why the last connect failed.
///
/// Ownership: the lease is the caller's, to be released once. Blocks: until the deadline. Threads: any; those of the
/// library with a past deadline only. Errors: INVALID_ARGUMENT, INVALID_HANDLE, WOULD_BLOCK (deadline 0 and none ready),
/// TIMEOUT, LIMIT_EXCEEDED (too many wait, or with TRUNKLINE_ERR_CIRCUIT_OPEN every endpoint keeps failing), CLOSED,
/// WOULD_DEADLOCK, FORKED. Since 0.1.
///
/// # Safety
///
/// `holder` is good for `holder_len` bytes.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn trunkline_pool_acquire(
    pool: trunkline_pool_t,
    deadline_ns: i64,
    holder: *const c_char,
    holder_len: usize,
    out: Option<&mut MaybeUninit<trunkline_leased_t>>,
    err: Option<&mut MaybeUninit<Option<Box<trunkline_error_t>>>>,
) -> trunkline_status_t {
    enter(out, err, |call| {
        let object = call.object(pool)?;
        // SAFETY: the caller's promise is the same.
        let holder = unsafe { holder_of(holder, holder_len)? };
        if let Some(lent) = object.pool.try_acquire_entrusted(&holder) {
            return Ok(hand_out(lent));
        }
        if deadline_ns == 0 && !object.pool.is_closed() {
            return Err(Failure::would_block());
        }
        let deadline = match patience(deadline_ns) {
            Patience::Configured => object.pool.default_deadline(),
            Patience::Until(deadline) => deadline,
        };
        if deadline.is_some_and(|deadline| deadline <= input::now()) {
            let nobody = || Ok(Arc::new(|_: Result<Entrusted, ConnectionError>| ()));
            return answered(object.pool.acquire_then(Patience::Until(deadline), holder, nobody));
        }
        let acquire = async { Ok(object.pool.acquire_as(deadline, holder).await?) };
        object.wait(call, acquire).map(entrust)
    })
}

/// As trunkline_pool_acquire without blocking. If a connection is ready, `*now` has it and there is no completion;
/// else `*now` is {0} and exactly one completion of kind TRUNKLINE_EV_LEASE follows, with the lease in `handle`, the
/// connection in `value` and the pool in `about`.
///
/// A callback runs in the thread that puts the connection back, and must not block.
///
/// Ownership: the lease is the receiver's, to be released once. Blocks: no. Threads: any. Errors: at once
/// INVALID_ARGUMENT, INVALID_HANDLE, LIMIT_EXCEEDED, CLOSED, TIMEOUT (a past deadline), FORKED; with the completion
/// TIMEOUT, LIMIT_EXCEEDED, CLOSED, CANCELLED. Since 0.1.
///
/// # Safety
///
/// `holder` is good for `holder_len` bytes.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn trunkline_pool_acquire_async(
    pool: trunkline_pool_t,
    deadline_ns: i64,
    holder: *const c_char,
    holder_len: usize,
    completion: Option<&trunkline_completion_t>,
    now: Option<&mut MaybeUninit<trunkline_leased_t>>,
    op: Option<&mut MaybeUninit<trunkline_op_t>>,
    err: Option<&mut MaybeUninit<Option<Box<trunkline_error_t>>>>,
) -> trunkline_status_t {
    let Some(op) = op else {
        return enter(None::<&mut MaybeUninit<trunkline_leased_t>>, err, |_| {
            Err(Failure::null("op"))
        });
    };
    op.write(trunkline_op_t { h: 0 });
    enter(now, err, |call| {
        let object = call.object(pool)?;
        // SAFETY: the caller's promise is the same.
        let holder = unsafe { holder_of(holder, holder_len)? };
        let (leased, started) = acquire_or_join(call, &object, deadline_ns, holder, completion)?;
        op.write(started);
        Ok(leased)
    })
}

/// Puts a connection back; the caller does not use it any more.
///
/// Ownership: takes the lease. Blocks: no. Threads: any. Errors: INVALID_ARGUMENT (flags), INVALID_HANDLE (released
/// before, of another pool, or the pool is freed), FORKED. Since 0.1.
#[unsafe(no_mangle)]
pub extern "C" fn trunkline_pool_release(
    pool: trunkline_pool_t,
    lease: trunkline_lease_t,
    flags: u32,
) -> trunkline_status_t {
    enter_plain(|| Process::current().table().get(pool)?.put_back(lease, flags))
}

/// As trunkline_pool_release. If that serves a caller whose completion goes to `queue`, its event is written to
/// `*handed` instead of the queue, so that no thread is woken through the queue's descriptor; else the kind of `*handed`
/// is TRUNKLINE_EV_NONE.
///
/// Ownership: takes the lease; the event is the caller's. Blocks: no. Threads: any. Errors: as trunkline_pool_release.
/// Since 0.1.
#[unsafe(no_mangle)]
pub extern "C" fn trunkline_pool_release_handing(
    pool: trunkline_pool_t,
    lease: trunkline_lease_t,
    flags: u32,
    queue: trunkline_cq_t,
    handed: Option<&mut MaybeUninit<trunkline_event_t>>,
) -> trunkline_status_t {
    let Some(handed) = handed else {
        return enter_plain(|| Err(Failure::null("handed")));
    };
    handed.write(trunkline_event_t::none());
    enter_plain(|| {
        let object = Process::current().table().get(pool)?;
        let (result, event) = handing_to(queue, || object.put_back(lease, flags));
        if let Some(event) = event {
            handed.write(event.into_c());
        }
        result
    })
}

/// Takes a connection out of the pool for good, which may open another in its place.
///
/// Ownership: takes the lease; the connection is the caller's, a stream to be freed with trunkline_stream_free. Blocks:
/// no. Threads: any. Errors: as trunkline_pool_release. Since 0.1.
#[unsafe(no_mangle)]
pub extern "C" fn trunkline_pool_detach(
    pool: trunkline_pool_t,
    lease: trunkline_lease_t,
    value: Option<&mut MaybeUninit<u64>>,
) -> trunkline_status_t {
    enter(value, None, |call| call.object(pool)?.detach(lease))
}

/// Frees a pool: it lends no more, and every connection is closed, those that are lent included.
///
/// Ownership: takes the handle. Blocks: no. Threads: any, also finalisers. Errors: INVALID_HANDLE. Since 0.1.
#[unsafe(no_mangle)]
pub extern "C" fn trunkline_pool_free(pool: trunkline_pool_t) -> trunkline_status_t {
    end_and_free(pool, |object| object.pool.close_entrusted())
}

/// Takes a connection, or joins the line, with a completion for when it is served.
fn acquire_or_join(
    call: &Call,
    object: &PoolObject,
    deadline_ns: i64,
    holder: Holder,
    completion: Option<&trunkline_completion_t>,
) -> Result<(trunkline_leased_t, trunkline_op_t), Failure> {
    let mut begun = None;
    let acquired = object.pool.acquire_then(patience(deadline_ns), holder, || {
        let (waiter, op) = Waiter::register(call, object, completion)?;
        begun = Some((Arc::clone(&waiter), op));
        Ok::<_, Failure>(waiter)
    });
    match (acquired, begun) {
        (Ok(Acquired::Later(ticket)), Some((waiter, op))) => {
            waiter.has(ticket);
            Ok((trunkline_leased_t::BLANK, op))
        }
        (answer, begun) => {
            if let Some((waiter, _)) = begun {
                waiter.forget();
            }
            answered(answer).map(|leased| (leased, trunkline_op_t::BLANK))
        }
    }
}

/// The answer to one who does not wait.
fn answered(acquired: Result<Acquired, Failure>) -> Result<trunkline_leased_t, Failure> {
    match acquired? {
        Acquired::Now(lent) => Ok(hand_out(lent)),
        Acquired::Later(_) => Err(Failure::would_block()),
    }
}

fn room(call: &Call, rt: trunkline_runtime_t) -> Result<(Arc<Runtime>, Permit), Failure> {
    let runtime = call.runtime(rt)?;
    let place = call.place(&runtime)?;
    Ok((runtime, place))
}

fn open(
    call: &Call,
    config: CheckoutPoolConfig,
    maker: Maker,
    addresses: Vec<Address>,
    runtime: Arc<Runtime>,
    place: Permit,
) -> Result<trunkline_pool_t, Failure> {
    let pool = CheckoutPool::with_endpoints(config, maker, addresses, runtime.handle().clone())?;
    let pool = pool.with_metrics(runtime.network().metrics());
    let object = Arc::new(PoolObject::new(pool, runtime));
    let handle = call.register(Arc::clone(&object), place);
    Ok(object.is_named(handle))
}

/// # Safety
///
/// `json` is good for `json_len` bytes.
unsafe fn config(json: *const c_char, json_len: usize) -> Result<CheckoutPoolConfig, Failure> {
    // SAFETY: the caller's promise is the same.
    let json = unsafe { text(json, json_len, "json")? };
    match json.is_empty() {
        true => Ok(CheckoutPoolConfig::default()),
        false => Ok(CheckoutPoolConfig::from_json(json)?),
    }
}

/// # Safety
///
/// `addresses` is good for `count` texts, each of them for its length.
unsafe fn endpoints(
    addresses: *const trunkline_str_t,
    count: usize,
) -> Result<Vec<Address>, Failure> {
    if addresses.is_null() || count == 0 {
        return Err(Failure::argument("addresses: must name one at least"));
    }
    // SAFETY: the caller promises so many of them.
    let list = unsafe { std::slice::from_raw_parts(addresses, count) };
    // SAFETY: the caller promises it for each.
    list.iter().map(|item| unsafe { input::address(item.ptr, item.len) }).collect()
}

/// # Safety
///
/// `holder` is good for `holder_len` bytes.
unsafe fn holder_of(holder: *const c_char, holder_len: usize) -> Result<Holder, Failure> {
    // SAFETY: the caller's promise is the same.
    let text = unsafe { text(holder, holder_len, "holder")? };
    Ok(if text.is_empty() { Holder::Unknown } else { Holder::Named(text.into()) })
}

fn abilities_of(flags: u32) -> Result<Abilities, Failure> {
    let known = TRUNKLINE_POOL_CHECKS | TRUNKLINE_POOL_RESETS;
    if flags & !known != 0 {
        return Err(Failure::argument("abilities: unknown"));
    }
    Ok(Abilities {
        checks: flags & TRUNKLINE_POOL_CHECKS != 0,
        resets: flags & TRUNKLINE_POOL_RESETS != 0,
        ..Abilities::default()
    })
}
