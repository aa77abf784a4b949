//! Calls with any number of messages each way.
#![allow(unsafe_code, reason = "texts, bytes and options come by pointer")]

use super::{
    message,
    reply::{terms, trunkline_call_options_t, trunkline_reply_t},
};
use crate::{
    call::{Call, enter, enter_plain, enter_unit},
    completion::{Done, submit, trunkline_completion_t},
    error::{Failure, trunkline_error_t},
    handle::{end_and_free, trunkline_call_t, trunkline_channel_t, trunkline_op_t},
    input::{Deadline, text},
    process::Process,
    queue::{TRUNKLINE_EV_DONE, TRUNKLINE_EV_REPLY},
    runtime::Runtime,
    status::*,
};
use std::{ffi::c_char, mem::MaybeUninit, sync::Arc};
use trunkline_core::{ConnectionError, Place, Step};

/// What a call's handle names.
#[derive(Debug)]
pub(crate) struct CallObject {
    call: trunkline_core::Call,
    runtime: Arc<Runtime>,
}

impl CallObject {
    fn wait<T>(
        &self,
        call: &Call,
        deadline_ns: i64,
        work: impl Future<Output = Result<T, Failure>>,
    ) -> Result<T, Failure> {
        let deadline = Deadline::from_ns(deadline_ns);
        call.block_on(&self.runtime, deadline, work, || {
            Failure::Core(ConnectionError::timeout(None, Place::at(Step::Call)))
        })
    }
}

type Reply = Option<Box<trunkline_reply_t>>;

async fn receive(object: &CallObject) -> Result<Reply, Failure> {
    let message = object.call.receive().await?;
    Ok(message.map(|message| Box::new(trunkline_reply_t::message(message))))
}

/// Begins a call with any number of messages each way, without waiting for the server. `options` may be NULL.
///
/// Ownership: the call is the caller's, to be freed once with trunkline_call_free. Blocks: no. Threads: any. Errors:
/// INVALID_ARGUMENT, INVALID_HANDLE, LIMIT_EXCEEDED (handles), CLOSED, VERSION, FORKED. Since 0.1.
///
/// # Safety
///
/// `method` is good for `method_len` bytes, and `options` as its fields say.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn trunkline_channel_open(
    channel: trunkline_channel_t,
    method: *const c_char,
    method_len: usize,
    options: *const trunkline_call_options_t,
    out: Option<&mut MaybeUninit<trunkline_call_t>>,
    err: Option<&mut MaybeUninit<Option<Box<trunkline_error_t>>>>,
) -> trunkline_status_t {
    enter(out, err, |call| {
        let object = call.object(channel)?;
        // SAFETY: the caller's promises are the same.
        let (method, options) = unsafe { (text(method, method_len, "method")?, terms(options)?) };
        let place = call.place(&object.runtime)?;
        let opened = object.channel.call(method, options)?;
        let runtime = Arc::clone(&object.runtime);
        Ok(call.register(Arc::new(CallObject { call: opened, runtime }), place))
    })
}

/// Sends one message, waiting while several are on their way already.
///
/// Ownership: the message is copied. Blocks: until the deadline. Threads: any but the library's, one at a time.
/// Errors: CLOSED (the call has ended; trunkline_call_receive says how), RPC (too long), TIMEOUT, WOULD_BLOCK,
/// INVALID_ARGUMENT, INVALID_HANDLE, WOULD_DEADLOCK, FORKED. Since 0.1.
///
/// # Safety
///
/// `message` is good for `message_len` bytes.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn trunkline_call_send(
    call: trunkline_call_t,
    message: *const u8,
    message_len: usize,
    deadline_ns: i64,
    err: Option<&mut MaybeUninit<Option<Box<trunkline_error_t>>>>,
) -> trunkline_status_t {
    enter_unit(err, |border| {
        let object = border.object(call)?;
        // SAFETY: the caller's promise is the same.
        let message = unsafe { self::message(message, message_len)? };
        object.wait(border, deadline_ns, async { Ok(object.call.send(message).await?) })
    })
}

/// As trunkline_call_send; the result is an event of kind TRUNKLINE_EV_DONE.
///
/// Ownership: the message is copied. Blocks: no. Threads: any, one at a time. Errors: of the submit
/// INVALID_ARGUMENT, INVALID_HANDLE, LIMIT_EXCEEDED, CLOSED, FORKED; the others come with the event, also
/// CANCELLED: then nothing was sent. Since 0.1.
///
/// # Safety
///
/// `message` is good for `message_len` bytes.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn trunkline_call_send_async(
    call: trunkline_call_t,
    message: *const u8,
    message_len: usize,
    completion: Option<&trunkline_completion_t>,
    op: Option<&mut MaybeUninit<trunkline_op_t>>,
    err: Option<&mut MaybeUninit<Option<Box<trunkline_error_t>>>>,
) -> trunkline_status_t {
    enter(op, err, |border| {
        let object = border.object(call)?;
        // SAFETY: the caller's promise is the same.
        let message = unsafe { self::message(message, message_len)? };
        let runtime = Arc::clone(&object.runtime);
        submit(border, &runtime, completion, TRUNKLINE_EV_DONE, async move {
            object.call.send(message).await?;
            Ok(Done::new(TRUNKLINE_EV_DONE))
        })
    })
}

/// Says that no more messages follow. Idempotent.
///
/// Ownership: none. Blocks: no. Threads: any. Errors: INVALID_HANDLE, FORKED. Since 0.1.
#[unsafe(no_mangle)]
pub extern "C" fn trunkline_call_finish_sending(call: trunkline_call_t) -> trunkline_status_t {
    enter_plain(|| {
        Process::current().table().get(call)?.call.finish_sending();
        Ok(())
    })
}

/// Waits for the next message; a reply of NULL with OK is the end of a call that ended well.
///
/// Ownership: the reply is the caller's, to be freed with trunkline_reply_free. Blocks: until the deadline. Threads:
/// any but the library's. Errors: RPC (how the call ended), TIMEOUT, WOULD_BLOCK, CLOSED (cancelled),
/// INVALID_ARGUMENT, INVALID_HANDLE, WOULD_DEADLOCK, FORKED. Since 0.1.
#[unsafe(no_mangle)]
pub extern "C" fn trunkline_call_receive(
    call: trunkline_call_t,
    deadline_ns: i64,
    reply: Option<&mut MaybeUninit<Option<Box<trunkline_reply_t>>>>,
    err: Option<&mut MaybeUninit<Option<Box<trunkline_error_t>>>>,
) -> trunkline_status_t {
    enter(reply, err, |border| {
        let object = border.object(call)?;
        object.wait(border, deadline_ns, receive(&object))
    })
}

/// As trunkline_call_receive; the result is an event of kind TRUNKLINE_EV_REPLY with the trunkline_reply_t in
/// `object`, NULL at the end of a call that ended well.
///
/// Ownership: the reply in the event is the receiver's. Blocks: no. Threads: any. Errors: of the submit
/// INVALID_ARGUMENT, INVALID_HANDLE, LIMIT_EXCEEDED, CLOSED, FORKED; the others come with the event, also
/// CANCELLED: then no message is lost. Since 0.1.
#[unsafe(no_mangle)]
pub extern "C" fn trunkline_call_receive_async(
    call: trunkline_call_t,
    completion: Option<&trunkline_completion_t>,
    op: Option<&mut MaybeUninit<trunkline_op_t>>,
    err: Option<&mut MaybeUninit<Option<Box<trunkline_error_t>>>>,
) -> trunkline_status_t {
    enter(op, err, |border| {
        let object = border.object(call)?;
        let runtime = Arc::clone(&object.runtime);
        submit(border, &runtime, completion, TRUNKLINE_EV_REPLY, async move {
            let object = receive(&object).await?;
            Ok(Done { object, ..Done::new(TRUNKLINE_EV_REPLY) })
        })
    })
}

/// Waits for what the server sends before its first message; a reply without a message has it.
///
/// Ownership: the reply is the caller's, to be freed with trunkline_reply_free. Blocks: until the deadline. Threads:
/// any but the library's. Errors: TIMEOUT, WOULD_BLOCK, CLOSED (the runtime), INVALID_ARGUMENT, INVALID_HANDLE,
/// WOULD_DEADLOCK, FORKED. Since 0.1.
#[unsafe(no_mangle)]
pub extern "C" fn trunkline_call_initial(
    call: trunkline_call_t,
    deadline_ns: i64,
    reply: Option<&mut MaybeUninit<Option<Box<trunkline_reply_t>>>>,
    err: Option<&mut MaybeUninit<Option<Box<trunkline_error_t>>>>,
) -> trunkline_status_t {
    enter(reply, err, |border| {
        let object = border.object(call)?;
        let initial = async { Ok(trunkline_reply_t::initial(object.call.initial().await)) };
        Ok(Some(Box::new(object.wait(border, deadline_ns, initial)?)))
    })
}

/// As trunkline_call_initial; the result is an event of kind TRUNKLINE_EV_REPLY with the trunkline_reply_t in
/// `object`.
///
/// Ownership: the reply in the event is the receiver's. Blocks: no. Threads: any. Errors: of the submit
/// INVALID_ARGUMENT, INVALID_HANDLE, LIMIT_EXCEEDED, CLOSED, FORKED; CANCELLED comes with the event. Since 0.1.
#[unsafe(no_mangle)]
pub extern "C" fn trunkline_call_initial_async(
    call: trunkline_call_t,
    completion: Option<&trunkline_completion_t>,
    op: Option<&mut MaybeUninit<trunkline_op_t>>,
    err: Option<&mut MaybeUninit<Option<Box<trunkline_error_t>>>>,
) -> trunkline_status_t {
    enter(op, err, |border| {
        let object = border.object(call)?;
        let runtime = Arc::clone(&object.runtime);
        submit(border, &runtime, completion, TRUNKLINE_EV_REPLY, async move {
            let object = Some(Box::new(trunkline_reply_t::initial(object.call.initial().await)));
            Ok(Done { object, ..Done::new(TRUNKLINE_EV_REPLY) })
        })
    })
}

/// What the server sent behind its last message, once trunkline_call_receive has told the end; a reply without a
/// message has it.
///
/// Ownership: the reply is the caller's, to be freed with trunkline_reply_free. Blocks: while another thread
/// receives. Threads: any but the library's. Errors: CLOSED (the runtime), INVALID_ARGUMENT, INVALID_HANDLE,
/// WOULD_DEADLOCK, FORKED. Since 0.1.
#[unsafe(no_mangle)]
pub extern "C" fn trunkline_call_trailing(
    call: trunkline_call_t,
    reply: Option<&mut MaybeUninit<Option<Box<trunkline_reply_t>>>>,
    err: Option<&mut MaybeUninit<Option<Box<trunkline_error_t>>>>,
) -> trunkline_status_t {
    enter(reply, err, |border| {
        let object = border.object(call)?;
        let trailing = async { Ok(trunkline_reply_t::trailing(object.call.trailing().await)) };
        Ok(Some(Box::new(object.wait(border, i64::MAX, trailing)?)))
    })
}

/// Gives a call up: the server is told, unless the call has ended. Who waits for it meanwhile is told CLOSED.
/// Idempotent.
///
/// Ownership: none. Blocks: no. Threads: any. Errors: INVALID_HANDLE, FORKED. Since 0.1.
#[unsafe(no_mangle)]
pub extern "C" fn trunkline_call_cancel(call: trunkline_call_t) -> trunkline_status_t {
    enter_plain(|| {
        Process::current().table().get(call)?.call.cancel();
        Ok(())
    })
}

/// Frees a call, and gives it up if it has not ended.
///
/// Ownership: takes the handle. Blocks: no. Threads: any, also finalisers. Errors: INVALID_HANDLE. Since 0.1.
#[unsafe(no_mangle)]
pub extern "C" fn trunkline_call_free(call: trunkline_call_t) -> trunkline_status_t {
    end_and_free(call, |object| object.call.cancel())
}
