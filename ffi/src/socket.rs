//! A descriptor for code that takes nothing else.
#![allow(unsafe_code, reason = "C functions that need no promise of their callers")]

use crate::{
    call::enter, error::trunkline_error_t, handle::trunkline_stream_t, status::*, stream::Given,
};
use std::{mem::MaybeUninit, os::fd::IntoRawFd};
use trunkline_core::relay::to_socket;

/// Gives what a stream carries a socket: what is written to `*fd` goes to the stream's peer, what comes is read from it.
///
/// The socket is a Unix one, blocks, and is closed by an exec. An end crosses in either direction and by itself, and
/// closing the socket closes the stream. A reset of the peer's is an end there, as a Unix socket has none. The
/// library's threads carry the bytes, through at most 64 KiB each way besides what the kernel holds.
///
/// The handle is good for stats and addresses from then on: reads, writes, waits and half-closes by it say CLOSED, and to
/// close, abort or free it leaves the socket alone. A stream that a pool lends is refused with INVALID_ARGUMENT until it is
/// detached.
///
/// Ownership: the descriptor is the caller's, to be closed once; the handle stays the caller's. Blocks: no. Threads:
/// any. Errors: INVALID_ARGUMENT, INVALID_HANDLE, LIMIT_EXCEEDED (no descriptor is left), CLOSED (the stream has a socket,
/// or its runtime has stopped), FORKED. Since 0.1.
#[unsafe(no_mangle)]
pub extern "C" fn trunkline_stream_to_socket(
    stream: trunkline_stream_t,
    fd: Option<&mut MaybeUninit<i32>>,
    err: Option<&mut MaybeUninit<Option<Box<trunkline_error_t>>>>,
) -> trunkline_status_t {
    enter(fd, err, |call| {
        let object = call.object(stream)?;
        let runtime = object.runtime();
        // What is spawned while they are held is not dropped on this thread.
        let _threads = runtime.threads()?;
        let given = Given::take(&object)?;
        Ok(to_socket(runtime.network(), given)?.into_raw_fd())
    })
}
