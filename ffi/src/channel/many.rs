//! Calls of one message each way that begin together.
#![allow(unsafe_code, reason = "requests, texts, bytes and options come by pointer")]

use super::{
    message,
    reply::{terms, trunkline_call_options_t},
    unary,
};
use crate::{
    call::enter_unit,
    completion::{submit_all, trunkline_completion_t},
    error::{Failure, trunkline_error_t},
    handle::{trunkline_channel_t, trunkline_op_t},
    input::{text, trunkline_bytes_t, trunkline_str_t},
    queue::TRUNKLINE_EV_REPLY,
    status::*,
};
use bytes::Bytes;
use std::{mem::MaybeUninit, slice, sync::Arc};
use trunkline_core::CallOptions;

/// Calls that begin together, at most.
const MAX_TOGETHER: usize = 4096;

/// One of the calls that begin together.
#[repr(C)]
#[derive(Clone, Copy, Debug)]
pub struct trunkline_call_request_t {
    /// Such as "/package.Service/Method". Copied.
    pub method: trunkline_str_t,
    /// The message. Copied.
    pub message: trunkline_bytes_t,
    /// How the call is made; NULL for the defaults.
    pub options: *const trunkline_call_options_t,
    /// Comes back in the event, in place of the completion's.
    pub tag: u64,
}

/// As trunkline_channel_call_async for `count` calls, 1 to 4096, which begin in their order: where many are to be made at
/// once, this costs one wake of the library's threads instead of one each, and calls that begin together are sent
/// together. Either all begin, each with its own event, or none; the error then says which request is at fault.
///
/// Each event has the tag of its request. `ops`, if it is not NULL, has room for `count` and gets what cancels each.
///
/// Ownership: the replies in the events are the receiver's; the requests are copied. Blocks: no. Threads: any. Errors:
/// of the submit INVALID_ARGUMENT, INVALID_HANDLE, LIMIT_EXCEEDED, CLOSED (the runtime), VERSION, FORKED; the others
/// come with the events, also CANCELLED. Since 0.1.
///
/// # Safety
///
/// `requests` is good for `count` elements, whose texts and bytes are readable and whose options are as their fields
/// say; `ops` is NULL or good for `count`.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn trunkline_channel_call_many_async(
    channel: trunkline_channel_t,
    requests: *const trunkline_call_request_t,
    count: usize,
    completion: Option<&trunkline_completion_t>,
    ops: *mut trunkline_op_t,
    err: Option<&mut MaybeUninit<Option<Box<trunkline_error_t>>>>,
) -> trunkline_status_t {
    enter_unit(err, |call| {
        let object = call.object(channel)?;
        let completion = *completion.ok_or_else(|| Failure::null("completion"))?;
        if requests.is_null() {
            return Err(Failure::null("requests"));
        }
        if !(1..=MAX_TOGETHER).contains(&count) {
            return Err(Failure::argument("count: must be within 1 and 4096"));
        }
        // SAFETY: not NULL, of a possible length, and the caller promises that many.
        let requests = unsafe { slice::from_raw_parts(requests, count) };
        let calls = requests.iter().enumerate().map(|(i, request)| {
            // SAFETY: the caller's promises are the same.
            let (method, message, options) = unsafe { read(request) }
                .map_err(|failure| failure.within(&format!("requests[{i}]")))?;
            let object = Arc::clone(&object);
            let begin = move || unary(object, method, message, options);
            Ok((trunkline_completion_t { tag: request.tag, ..completion }, begin))
        });
        let begun = submit_all(call, &object.runtime, TRUNKLINE_EV_REPLY, calls)?;
        if !ops.is_null() {
            // SAFETY: not NULL, and the caller promises room for as many as there are requests.
            unsafe { ops.copy_from_nonoverlapping(begun.as_ptr(), begun.len()) };
        }
        Ok(())
    })
}

/// # Safety
///
/// The request's texts and bytes are readable, and its options as their fields say.
unsafe fn read(
    request: &trunkline_call_request_t,
) -> Result<(String, Bytes, CallOptions), Failure> {
    let trunkline_call_request_t { method, message, options, tag: _ } = request;
    // SAFETY: the caller's promises are the same.
    unsafe {
        let method = text(method.ptr, method.len, "method")?.to_owned();
        Ok((method, self::message(message.ptr, message.len)?, terms(*options)?))
    }
}
