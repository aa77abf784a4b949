//! Operations under way, and how to cancel them.
#![allow(unsafe_code, reason = "exported names are the ABI")]

use crate::{
    call::enter_plain,
    handle::{Handle, trunkline_op_t},
    process::Process,
    status::*,
};
use std::sync::OnceLock;
use tokio_util::sync::CancellationToken;

/// What an operation handle names.
#[derive(Default)]
pub(crate) struct Op {
    cancel: CancellationToken,
    /// For an operation that is no task: what cancels it.
    canceller: OnceLock<Box<dyn Fn() + Send + Sync>>,
}

impl Op {
    pub(crate) fn token(&self) -> &CancellationToken {
        &self.cancel
    }

    /// Has `canceller` called by each cancel from now on.
    pub(crate) fn cancels(&self, canceller: impl Fn() + Send + Sync + 'static) {
        let _ = self.canceller.set(Box::new(canceller));
    }

    fn cancel(&self) {
        self.cancel.cancel();
        if let Some(canceller) = self.canceller.get() {
            canceller();
        }
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
