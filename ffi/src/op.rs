//! Operations under way, and how to cancel them.
#![allow(unsafe_code, reason = "exported names are the ABI")]

use crate::{
    call::enter_plain,
    handle::{Handle, trunkline_op_t},
    process::Process,
    status::*,
};
use tokio_util::sync::CancellationToken;

/// What an operation handle names.
pub(crate) trait Operation: Send + Sync {
    /// Makes it end, if it has not ended; called at any time, and any number of times.
    fn cancel(&self);
}

/// An operation that is a task.
impl Operation for CancellationToken {
    fn cancel(&self) {
        Self::cancel(self);
    }
}

/// Asks an operation to end. Its completion still arrives: with CANCELLED, or with the result that came first.
///
/// Cancelling twice, or after the completion, does nothing and is OK.
///
/// Ownership: none. Blocks: no. Threads: any. Errors: INVALID_HANDLE (not an operation's handle), FORKED. Since 0.1.
#[unsafe(no_mangle)]
pub extern "C" fn trunkline_op_cancel(op: trunkline_op_t) -> trunkline_status_t {
    enter_plain(|| match Process::current().table().get(op) {
        Ok(found) => {
            found.cancel();
            Ok(())
        }
        Err(failure) if failure.status() == TRUNKLINE_E_INVALID_HANDLE && is_op(op) => Ok(()),
        Err(failure) => Err(failure),
    })
}

fn is_op(op: trunkline_op_t) -> bool {
    (op.raw() >> 56) as u8 == trunkline_op_t::TAG
}
