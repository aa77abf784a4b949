//! The counts of a checkout pool, as C sees them.
#![allow(unsafe_code, reason = "the struct comes by pointer")]

use crate::{
    call::enter_plain,
    handle::trunkline_pool_t,
    input::{Sized_, fill},
    output::ns,
    process::Process,
    status::*,
};
use trunkline_core::{CheckoutPoolStats, PoolCloseReason};

/// The counts of a checkout pool, all of one moment: created - closed = idle + used + validating + closing, always. Start
/// from TRUNKLINE_POOL_STATS_INIT.
#[repr(C)]
#[derive(Clone, Copy, Debug)]
pub struct trunkline_pool_stats_t {
    /// In: sizeof(trunkline_pool_stats_t). Out: bytes filled.
    pub size: usize,
    /// The most connections that there may be.
    pub max_size: u64,
    /// Connections that are to stand ready.
    pub min_idle: u64,
    /// Connections that stand ready.
    pub idle: u64,
    /// Connections that are lent.
    pub used: u64,
    /// Connections that are being checked or reset.
    pub validating: u64,
    /// Connections that are being made; they are not among `created` yet.
    pub connecting: u64,
    /// Connections that are being closed.
    pub closing: u64,
    /// Callers in line.
    pub waiting: u64,
    /// Connections that were made.
    pub created: u64,
    /// Attempts to connect that failed.
    pub create_failed: u64,
    /// Connections that are gone, for any of the reasons below.
    pub closed: u64,
    /// Leases given out, in all.
    pub acquired: u64,
    /// Of these, those for which an idle connection was there at once.
    pub hits: u64,
    /// Of these, those that went to a caller in line.
    pub handed_over: u64,
    /// Acquires that got nothing before their deadline.
    pub timeouts: u64,
    /// Acquires that were given up by the caller.
    pub cancelled: u64,
    /// Acquires that were refused because too many waited.
    pub refused: u64,
    /// Checks and resets that failed.
    pub invalid: u64,
    /// Connections that a younger one relieved before their end.
    pub relieved: u64,
    /// Leases that were held for longer than `leak_after`.
    pub leaks: u64,
    /// How often the pool was cleared.
    pub epoch: u64,
    /// The most connections that were lent at one time since trunkline_pool_take_stats.
    pub peak_used: u64,
    /// Time for which connections were held, in all.
    pub use_time_ns: u64,
    /// Time for which callers stood in line before they were served, in all.
    pub wait_time_ns: u64,
    /// Closed because they were not used for the idle timeout.
    pub closed_idle_timeout: u64,
    /// Closed because of their age.
    pub closed_lifetime: u64,
    /// Closed because their holder said so.
    pub closed_discarded: u64,
    /// Closed because the pool was cleared.
    pub closed_cleared: u64,
    /// Closed with the pool.
    pub closed_pool_closed: u64,
    /// Closed because they were found broken.
    pub closed_broken: u64,
    /// Closed because they did not pass a check or a reset.
    pub closed_invalid: u64,
    /// Closed because the pool was made smaller.
    pub closed_shrunk: u64,
    /// Taken out of the pool for good.
    pub closed_detached: u64,
    /// Closed because their endpoint was taken out of the pool.
    pub closed_endpoint_removed: u64,
}

// SAFETY: plain numbers, `repr(C)`, `size` first; all zeroes are valid.
unsafe impl Sized_ for trunkline_pool_stats_t {}

/// Fills the counts of a pool.
///
/// Ownership: none. Blocks: no. Threads: any. Errors: INVALID_ARGUMENT, INVALID_HANDLE, VERSION, FORKED. Since 0.1.
///
/// # Safety
///
/// `stats` points to a struct made by its INIT macro.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn trunkline_pool_stats(
    pool: trunkline_pool_t,
    stats: *mut trunkline_pool_stats_t,
) -> trunkline_status_t {
    enter_plain(|| {
        let counted = Process::current().table().get(pool)?.pool.stats();
        // SAFETY: the caller's promise is the same.
        unsafe { fill(stats, &in_c(&counted)) }
    })
}

/// As trunkline_pool_stats; the measurement of `peak_used` starts anew.
///
/// Ownership: none. Blocks: no. Threads: any. Errors: as trunkline_pool_stats. Since 0.1.
///
/// # Safety
///
/// `stats` points to a struct made by its INIT macro.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn trunkline_pool_take_stats(
    pool: trunkline_pool_t,
    stats: *mut trunkline_pool_stats_t,
) -> trunkline_status_t {
    enter_plain(|| {
        let counted = Process::current().table().get(pool)?.pool.take_stats();
        // SAFETY: the caller's promise is the same.
        unsafe { fill(stats, &in_c(&counted)) }
    })
}

fn in_c(stats: &CheckoutPoolStats) -> trunkline_pool_stats_t {
    let closed = |reason| stats.closed_for(reason);
    trunkline_pool_stats_t {
        size: size_of::<trunkline_pool_stats_t>(),
        max_size: stats.max_size.into(),
        min_idle: stats.min_idle.into(),
        idle: stats.idle.into(),
        used: stats.used.into(),
        validating: stats.validating.into(),
        connecting: stats.connecting.into(),
        closing: stats.closing.into(),
        waiting: stats.waiting.into(),
        created: stats.created,
        create_failed: stats.create_failed,
        closed: stats.closed(),
        acquired: stats.acquired,
        hits: stats.hits,
        handed_over: stats.handed_over,
        timeouts: stats.timeouts,
        cancelled: stats.cancelled,
        refused: stats.refused,
        invalid: stats.invalid,
        relieved: stats.relieved,
        leaks: stats.leaks,
        epoch: stats.epoch.into(),
        peak_used: stats.peak_used.into(),
        use_time_ns: ns(stats.use_time),
        wait_time_ns: ns(stats.wait_time),
        closed_idle_timeout: closed(PoolCloseReason::IdleTimeout),
        closed_lifetime: closed(PoolCloseReason::Lifetime),
        closed_discarded: closed(PoolCloseReason::Discarded),
        closed_cleared: closed(PoolCloseReason::Cleared),
        closed_pool_closed: closed(PoolCloseReason::PoolClosed),
        closed_broken: closed(PoolCloseReason::Broken),
        closed_invalid: closed(PoolCloseReason::Invalid),
        closed_shrunk: closed(PoolCloseReason::Shrunk),
        closed_detached: closed(PoolCloseReason::Detached),
        closed_endpoint_removed: closed(PoolCloseReason::EndpointRemoved),
    }
}
