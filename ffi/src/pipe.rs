//! In-memory pipes without a name; those with one are reached by "mem:" addresses.
#![allow(unsafe_code, reason = "options come by pointer")]

use crate::{
    call::enter,
    error::trunkline_error_t,
    handle::{trunkline_runtime_t, trunkline_stream_t},
    input::{Sized_, options},
    status::*,
    stream::StreamObject,
};
use std::mem::MaybeUninit;
use trunkline_core::PipeConfig;

/// How a pipe is made. Start from TRUNKLINE_PIPE_OPTIONS_INIT.
#[repr(C)]
#[derive(Clone, Copy, Debug)]
pub struct trunkline_pipe_options_t {
    /// sizeof(trunkline_pipe_options_t)
    pub size: usize,
    /// Bytes that one direction holds at most; 0 means 65536. Memory grows with what is really in it.
    pub capacity: u64,
}

// SAFETY: plain numbers, `repr(C)`, `size` first; all zeroes are valid.
unsafe impl Sized_ for trunkline_pipe_options_t {}

/// Makes a pipe: what is written to one end is read from the other, with the semantics of a socket.
///
/// Ownership: both ends are the caller's, to be freed once each with trunkline_stream_free. Blocks: no.
/// Threads: any. Errors: INVALID_ARGUMENT, VERSION, LIMIT_EXCEEDED, CLOSED, FORKED. Since 0.1.
///
/// # Safety
///
/// `opts` is NULL or points to a struct made by its INIT macro; `ends` is good for two handles.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn trunkline_pipe_pair(
    rt: trunkline_runtime_t,
    opts: *const trunkline_pipe_options_t,
    ends: Option<&mut MaybeUninit<[trunkline_stream_t; 2]>>,
    err: Option<&mut MaybeUninit<Option<Box<trunkline_error_t>>>>,
) -> trunkline_status_t {
    enter(ends, err, |call| {
        // SAFETY: the caller's promise is the same.
        let given = unsafe { options(opts)? };
        let mut config = PipeConfig::default();
        if let Some(given) = given.filter(|given| given.capacity > 0) {
            config.capacity = u32::try_from(given.capacity).unwrap_or(u32::MAX);
        }
        let runtime = call.runtime(rt)?;
        let places = (call.place(&runtime)?, call.place(&runtime)?);
        let (a, b) = runtime.network().pipe(&config)?;
        Ok([
            StreamObject::register(&runtime, a, places.0),
            StreamObject::register(&runtime, b, places.1),
        ])
    })
}
