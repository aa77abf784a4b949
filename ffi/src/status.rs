//! The statuses, and the one table that says what each core error is in C.
#![allow(unsafe_code, reason = "exported names are the ABI")]

use trunkline_core::{ConnectionError, Step};

/// Outcome of a call: 0 is success, a positive number an error. Values are never reused, and new ones may appear.
pub type trunkline_status_t = i32;

/// The call did what it says.
pub const TRUNKLINE_OK: i32 = 0;
/// An argument or a configuration is out of its range; a required pointer is NULL. The message names it.
pub const TRUNKLINE_E_INVALID_ARGUMENT: i32 = 1;
/// The handle is stale, freed already, or of another type.
pub const TRUNKLINE_E_INVALID_HANDLE: i32 = 2;
/// The object, or the runtime below it, was closed by this process.
pub const TRUNKLINE_E_CLOSED: i32 = 3;
/// The deadline passed; the error object says at which step.
pub const TRUNKLINE_E_TIMEOUT: i32 = 4;
/// The caller cancelled the operation.
pub const TRUNKLINE_E_CANCELLED: i32 = 5;
/// Nothing to do right now; wait for readiness and try again.
pub const TRUNKLINE_E_WOULD_BLOCK: i32 = 6;
/// A call that waits was made on a thread of the library or inside a callback.
pub const TRUNKLINE_E_WOULD_DEADLOCK: i32 = 7;
/// The handle was inherited over a fork. Make new objects in the child.
pub const TRUNKLINE_E_FORKED: i32 = 8;
/// A limit is reached: connections, handles, outstanding operations, open files.
pub const TRUNKLINE_E_LIMIT_EXCEEDED: i32 = 9;
/// The destination refused, or could not be reached.
pub const TRUNKLINE_E_CONNECTION_FAILED: i32 = 10;
/// The local address could not be bound.
pub const TRUNKLINE_E_BIND_FAILED: i32 = 11;
/// The connection was reset, aborted or lost.
pub const TRUNKLINE_E_BROKEN: i32 = 12;
/// TLS or identity failed.
pub const TRUNKLINE_E_TLS: i32 = 13;
/// The peer broke the protocol.
pub const TRUNKLINE_E_PROTOCOL: i32 = 14;
/// A call ended with a gRPC status; trunkline_error_rpc_code has it.
pub const TRUNKLINE_E_RPC: i32 = 15;
/// A callback of the host failed.
pub const TRUNKLINE_E_CALLBACK: i32 = 16;
/// This build or platform cannot do it.
pub const TRUNKLINE_E_UNSUPPORTED: i32 = 17;
/// The caller's header and this library do not fit together.
pub const TRUNKLINE_E_VERSION: i32 = 18;
/// A bug: a panic was caught at the border.
pub const TRUNKLINE_E_PANIC: i32 = 19;
/// Memory ran out.
pub const TRUNKLINE_E_NO_MEMORY: i32 = 20;
/// A failure that only datagrams know; the message says which.
pub const TRUNKLINE_E_UDP: i32 = 21;
/// There is nothing under the key.
pub const TRUNKLINE_E_NOT_FOUND: i32 = 22;

/// The same operation may be tried again without risk of being applied twice.
pub const TRUNKLINE_ERR_RETRYABLE: u32 = 1;
/// It is certain that no byte of the operation left this process.
pub const TRUNKLINE_ERR_NOT_SENT: u32 = 2;
/// The destination failed so often that it is not tried for a while.
pub const TRUNKLINE_ERR_CIRCUIT_OPEN: u32 = 4;

/// Every status with its name, in order: the one list that names and mirrors are made from.
pub(crate) const NAMES: [(trunkline_status_t, &std::ffi::CStr); 23] = [
    (TRUNKLINE_OK, c"OK"),
    (TRUNKLINE_E_INVALID_ARGUMENT, c"INVALID_ARGUMENT"),
    (TRUNKLINE_E_INVALID_HANDLE, c"INVALID_HANDLE"),
    (TRUNKLINE_E_CLOSED, c"CLOSED"),
    (TRUNKLINE_E_TIMEOUT, c"TIMEOUT"),
    (TRUNKLINE_E_CANCELLED, c"CANCELLED"),
    (TRUNKLINE_E_WOULD_BLOCK, c"WOULD_BLOCK"),
    (TRUNKLINE_E_WOULD_DEADLOCK, c"WOULD_DEADLOCK"),
    (TRUNKLINE_E_FORKED, c"FORKED"),
    (TRUNKLINE_E_LIMIT_EXCEEDED, c"LIMIT_EXCEEDED"),
    (TRUNKLINE_E_CONNECTION_FAILED, c"CONNECTION_FAILED"),
    (TRUNKLINE_E_BIND_FAILED, c"BIND_FAILED"),
    (TRUNKLINE_E_BROKEN, c"BROKEN"),
    (TRUNKLINE_E_TLS, c"TLS"),
    (TRUNKLINE_E_PROTOCOL, c"PROTOCOL"),
    (TRUNKLINE_E_RPC, c"RPC"),
    (TRUNKLINE_E_CALLBACK, c"CALLBACK"),
    (TRUNKLINE_E_UNSUPPORTED, c"UNSUPPORTED"),
    (TRUNKLINE_E_VERSION, c"VERSION"),
    (TRUNKLINE_E_PANIC, c"PANIC"),
    (TRUNKLINE_E_NO_MEMORY, c"NO_MEMORY"),
    (TRUNKLINE_E_UDP, c"UDP"),
    (TRUNKLINE_E_NOT_FOUND, c"NOT_FOUND"),
];

/// Names a status, such as "TIMEOUT"; "UNKNOWN" for a number of a newer library.
///
/// Ownership: the text is static. Blocks: no. Threads: any. Errors: none. Since 0.1.
#[unsafe(no_mangle)]
pub extern "C" fn trunkline_status_name(status: trunkline_status_t) -> *const std::ffi::c_char {
    let known = NAMES.iter().find(|(number, _)| *number == status);
    known.map_or(c"UNKNOWN", |(_, name)| name).as_ptr()
}

/// The C status of a core error.
pub(crate) fn of(error: &ConnectionError) -> trunkline_status_t {
    match error {
        ConnectionError::InvalidConfig { .. } => TRUNKLINE_E_INVALID_ARGUMENT,
        ConnectionError::Closed { .. } => TRUNKLINE_E_CLOSED,
        ConnectionError::Timeout { .. } => TRUNKLINE_E_TIMEOUT,
        ConnectionError::LimitExceeded { .. } | ConnectionError::CircuitOpen { .. } => {
            TRUNKLINE_E_LIMIT_EXCEEDED
        }
        ConnectionError::ConnectionFailed { .. } => TRUNKLINE_E_CONNECTION_FAILED,
        ConnectionError::BindFailed { .. } => TRUNKLINE_E_BIND_FAILED,
        ConnectionError::Broken { .. } => TRUNKLINE_E_BROKEN,
        ConnectionError::Tls { .. } => TRUNKLINE_E_TLS,
        ConnectionError::Protocol { .. } => TRUNKLINE_E_PROTOCOL,
        ConnectionError::Udp { .. } => TRUNKLINE_E_UDP,
        ConnectionError::Rpc { .. } => TRUNKLINE_E_RPC,
        // The enum may grow in core before it does here: a new case is still an error.
        _ => TRUNKLINE_E_UNSUPPORTED,
    }
}

/// What was being done when an operation failed: configuring or checking an argument.
pub const TRUNKLINE_STEP_CONFIGURE: i32 = 1;
/// Looking a host name up.
pub const TRUNKLINE_STEP_RESOLVE: i32 = 2;
/// Reaching the destination.
pub const TRUNKLINE_STEP_CONNECT: i32 = 3;
/// Binding the local address.
pub const TRUNKLINE_STEP_BIND: i32 = 4;
/// Taking a connection from a listener.
pub const TRUNKLINE_STEP_ACCEPT: i32 = 5;
/// Taking a connection or a place from a pool.
pub const TRUNKLINE_STEP_ACQUIRE: i32 = 6;
/// Reading.
pub const TRUNKLINE_STEP_READ: i32 = 7;
/// Writing.
pub const TRUNKLINE_STEP_WRITE: i32 = 8;
/// Ending one direction or the whole connection.
pub const TRUNKLINE_STEP_SHUTDOWN: i32 = 9;
/// Waiting for connections to finish.
pub const TRUNKLINE_STEP_DRAIN: i32 = 10;
/// Waiting for an event.
pub const TRUNKLINE_STEP_WAIT: i32 = 11;
/// Calling a method of a service.
pub const TRUNKLINE_STEP_CALL: i32 = 12;

const _: () = {
    assert!(TRUNKLINE_STEP_CONFIGURE == Step::Configure as i32);
    assert!(TRUNKLINE_STEP_RESOLVE == Step::Resolve as i32);
    assert!(TRUNKLINE_STEP_CONNECT == Step::Connect as i32);
    assert!(TRUNKLINE_STEP_BIND == Step::Bind as i32);
    assert!(TRUNKLINE_STEP_ACCEPT == Step::Accept as i32);
    assert!(TRUNKLINE_STEP_ACQUIRE == Step::Acquire as i32);
    assert!(TRUNKLINE_STEP_READ == Step::Read as i32);
    assert!(TRUNKLINE_STEP_WRITE == Step::Write as i32);
    assert!(TRUNKLINE_STEP_SHUTDOWN == Step::Shutdown as i32);
    assert!(TRUNKLINE_STEP_DRAIN == Step::Drain as i32);
    assert!(TRUNKLINE_STEP_WAIT == Step::Wait as i32);
    assert!(TRUNKLINE_STEP_CALL == Step::Call as i32);
};
