//! The counts of a keyed pool, one at a time; trunkline_keyed_pool_stats tells all at once.
#![allow(unsafe_code, reason = "exported names are the ABI")]

use crate::{call::enter, handle::trunkline_keyed_pool_t, status::trunkline_status_t};
use std::mem::MaybeUninit;
use trunkline_core::ConnectionPool;

/// How many entries there are, those included that have expired and were not pruned.
///
/// Ownership: none. Blocks: no. Threads: any. Errors: INVALID_ARGUMENT, INVALID_HANDLE, FORKED. Since 0.1.
#[unsafe(no_mangle)]
pub extern "C" fn trunkline_keyed_pool_size(
    pool: trunkline_keyed_pool_t,
    size: Option<&mut MaybeUninit<u64>>,
) -> trunkline_status_t {
    enter(size, None, |call| Ok(call.object(pool)?.pool.size() as u64))
}

/// The most entries there can be.
///
/// Ownership: none. Blocks: no. Threads: any. Errors: INVALID_ARGUMENT, INVALID_HANDLE, FORKED. Since 0.1.
#[unsafe(no_mangle)]
pub extern "C" fn trunkline_keyed_pool_max_size(
    pool: trunkline_keyed_pool_t,
    max_size: Option<&mut MaybeUninit<u64>>,
) -> trunkline_status_t {
    enter(max_size, None, |call| Ok(call.object(pool)?.pool.max_size() as u64))
}

/// The part of the most entries that there are, from 0 to 1.
///
/// Ownership: none. Blocks: no. Threads: any. Errors: INVALID_ARGUMENT, INVALID_HANDLE, FORKED. Since 0.1.
#[unsafe(no_mangle)]
pub extern "C" fn trunkline_keyed_pool_utilization(
    pool: trunkline_keyed_pool_t,
    utilization: Option<&mut MaybeUninit<f64>>,
) -> trunkline_status_t {
    enter(utilization, None, |call| Ok(call.object(pool)?.pool.utilization()))
}

/// The part of all values that ended because they expired, from 0 to 1; 0 if there were none.
///
/// Ownership: none. Blocks: no. Threads: any. Errors: INVALID_ARGUMENT, INVALID_HANDLE, FORKED. Since 0.1.
#[unsafe(no_mangle)]
pub extern "C" fn trunkline_keyed_pool_expiration_ratio(
    pool: trunkline_keyed_pool_t,
    ratio: Option<&mut MaybeUninit<f64>>,
) -> trunkline_status_t {
    enter(ratio, None, |call| Ok(call.object(pool)?.pool.expiration_ratio()))
}
