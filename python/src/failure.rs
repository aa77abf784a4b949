//! How a failure of the C ABI becomes an exception, without running a line of Python.
//!
//! The classes and the table that chooses among them are Python's, handed over once at import. Here
//! the objects are made by what the interpreter offers in C. Python code would give the interpreter
//! up now and then, and a thread that asks for it back while the interpreter ends is torn down in the
//! middle of native frames.

use crate::buffer::{self, Failed};
use pyo3::{
    exceptions::{PyOSError, PyRuntimeError},
    intern,
    prelude::*,
    sync::PyOnceLock,
    types::{PyBytes, PyDict, PyTuple, PyType},
};
use trunkline::*;

/// In the table of classes, in the place of a step: the limit is an open circuit.
const OPEN_CIRCUIT: i32 = -1;

/// (status, step) of every failure, and its class.
static CLASSES: PyOnceLock<Py<PyDict>> = PyOnceLock::new();

/// What a status without an error object still says.
#[derive(Clone, Debug, Default)]
pub(crate) struct Doing {
    pub(crate) step: i32,
    pub(crate) address: Option<String>,
}

/// Hands the table of classes over, by status and step.
#[pyfunction]
pub(crate) fn use_exceptions(py: Python<'_>, classes: Py<PyDict>) {
    // A second import of the same package brings the same classes.
    let _ = CLASSES.set(py, classes);
}

/// What an exception says, whatever it was made from.
struct Told {
    status: i32,
    message: String,
    step: i32,
    errno: i32,
    rpc_code: i32,
    tls_fault: i32,
    flags: u32,
    local_address: Option<String>,
    address: Option<String>,
    details: Option<String>,
    trailers: Vec<(String, Vec<u8>)>,
}

impl Told {
    fn of(failed: &Failed, doing: Doing) -> Self {
        match failed.error.as_deref() {
            Some(error) => Self::of_error(error, doing),
            None => Self::of_status(failed.status, doing),
        }
    }

    fn of_error(error: &trunkline_error_t, doing: Doing) -> Self {
        let step = trunkline_error_step(Some(error));
        Self {
            status: trunkline_error_status(Some(error)),
            message: buffer::message(error),
            step: if step == 0 { doing.step } else { step },
            errno: trunkline_error_os_code(Some(error)),
            rpc_code: trunkline_error_rpc_code(Some(error)),
            tls_fault: trunkline_error_tls_fault(Some(error)),
            flags: trunkline_error_flags(Some(error)),
            local_address: buffer::source(error),
            address: buffer::destination(error).or(doing.address),
            details: buffer::rpc_message(error),
            trailers: match trunkline_error_rpc_code(Some(error)) {
                ..0 => Vec::new(),
                _ => buffer::channel::trailers(error),
            },
        }
    }

    fn of_status(status: i32, doing: Doing) -> Self {
        let words = kind(status).replace('_', " ");
        let message = match step_name(doing.step) {
            Some(step) => format!("{step}: {words}"),
            None => words,
        };
        let address = doing.address;
        Self {
            status,
            message,
            step: doing.step,
            errno: 0,
            rpc_code: -1,
            tls_fault: 0,
            flags: 0,
            local_address: None,
            address,
            details: None,
            trailers: Vec::new(),
        }
    }

    fn raise(&self, py: Python<'_>) -> PyErr {
        self.exception(py).map_or_else(|error| error, PyErr::from_value)
    }

    fn exception<'py>(&self, py: Python<'py>) -> PyResult<Bound<'py, PyAny>> {
        let class = match self.flags & TRUNKLINE_ERR_CIRCUIT_OPEN {
            0 => class(py, self.status, self.step)?,
            _ => class(py, self.status, OPEN_CIRCUIT)?,
        };
        // As `copyreg.__newobj__` does: the fields are set below, so `__init__` need not run.
        let made = class.call_method1(intern!(py, "__new__"), (&class, &self.message))?;
        made.setattr(intern!(py, "args"), (&self.message,))?;
        made.setattr(intern!(py, "kind"), kind(self.status))?;
        made.setattr(intern!(py, "code"), self.status)?;
        made.setattr(intern!(py, "step"), step_name(self.step))?;
        made.setattr(intern!(py, "address"), &self.address)?;
        made.setattr(intern!(py, "local_address"), &self.local_address)?;
        made.setattr(intern!(py, "retryable"), self.flags & TRUNKLINE_ERR_RETRYABLE != 0)?;
        made.setattr(intern!(py, "nothing_sent"), self.flags & TRUNKLINE_ERR_NOT_SENT != 0)?;
        made.setattr(intern!(py, "errno"), (self.errno != 0).then_some(self.errno))?;
        made.setattr(intern!(py, "elapsed"), None::<f64>)?;
        if self.status == TRUNKLINE_E_TLS {
            made.setattr(intern!(py, "fault"), fault_name(self.tls_fault))?;
        }
        if self.status == TRUNKLINE_E_RPC {
            made.setattr(intern!(py, "status"), self.rpc_code)?;
            let details = self.details.as_ref().unwrap_or(&self.message);
            made.setattr(intern!(py, "details"), details)?;
            let pair = |(name, value): &(String, Vec<u8>)| (name.clone(), PyBytes::new(py, value));
            let trailers = PyTuple::new(py, self.trailers.iter().map(pair))?;
            made.setattr(intern!(py, "trailers"), trailers)?;
        }
        Ok(made)
    }
}

fn class<'py>(py: Python<'py>, status: i32, step: i32) -> PyResult<Bound<'py, PyType>> {
    let found = CLASSES.get(py).map(|classes| {
        let classes = classes.bind(py);
        Ok::<_, PyErr>(match classes.get_item((status, step))? {
            Some(class) => Some(class),
            None => classes.get_item((0, 0))?,
        })
    });
    let class = found.transpose()?.flatten();
    let class = class.ok_or_else(|| PyRuntimeError::new_err("trunkline was not imported"))?;
    Ok(class.cast_into::<PyType>()?)
}

/// The stable name of a status, such as "timeout".
fn kind(status: i32) -> String {
    buffer::status_name(status).to_ascii_lowercase()
}

fn fault_name(fault: i32) -> Option<&'static str> {
    Some(match fault {
        TRUNKLINE_TLS_FAULT_PEER_CERTIFICATE => "peer_certificate",
        TRUNKLINE_TLS_FAULT_NAME_MISMATCH => "name_mismatch",
        TRUNKLINE_TLS_FAULT_OWN_CERTIFICATE => "own_certificate",
        TRUNKLINE_TLS_FAULT_PROTOCOL => "protocol",
        _ => return None,
    })
}

fn step_name(step: i32) -> Option<&'static str> {
    Some(match step {
        TRUNKLINE_STEP_CONFIGURE => "configure",
        TRUNKLINE_STEP_RESOLVE => "resolve",
        TRUNKLINE_STEP_CONNECT => "connect",
        TRUNKLINE_STEP_BIND => "bind",
        TRUNKLINE_STEP_ACCEPT => "accept",
        TRUNKLINE_STEP_ACQUIRE => "acquire",
        TRUNKLINE_STEP_READ => "read",
        TRUNKLINE_STEP_WRITE => "write",
        TRUNKLINE_STEP_SHUTDOWN => "shutdown",
        TRUNKLINE_STEP_DRAIN => "drain",
        TRUNKLINE_STEP_WAIT => "wait",
        TRUNKLINE_STEP_CALL => "call",
        _ => return None,
    })
}

/// The exception for a failure, with what lies behind it as its cause, ready to be handed over.
pub(crate) fn exception<'py>(
    py: Python<'py>,
    failed: &Failed,
    doing: Doing,
) -> PyResult<Bound<'py, PyAny>> {
    let made = Told::of(failed, doing).exception(py)?;
    if let Some(error) = failed.error.as_deref().and_then(buffer::cause) {
        made.setattr(intern!(py, "__cause__"), cause(py, error)?)?;
    }
    Ok(made)
}

/// What lies behind: the standard library's own exception where the system said no. It may say so without
/// a number, as it does of a name that nobody knows; only errors of our own name a step.
fn cause<'py>(py: Python<'py>, error: &trunkline_error_t) -> PyResult<Bound<'py, PyAny>> {
    let (step, errno) = (trunkline_error_step(Some(error)), trunkline_error_os_code(Some(error)));
    let made = match (step, errno) {
        (0, 0) => py.get_type::<PyOSError>().call1((buffer::message(error),))?,
        (_, 0) => Told::of_error(error, Doing::default()).exception(py)?,
        (_, errno) => py.get_type::<PyOSError>().call1((errno, buffer::message(error)))?,
    };
    if let Some(next) = buffer::cause(error) {
        made.setattr(intern!(py, "__cause__"), cause(py, next)?)?;
    }
    Ok(made)
}

/// The exception for an argument that is out of its range.
pub(crate) fn invalid(py: Python<'_>, message: &str) -> PyErr {
    let doing = Doing { step: TRUNKLINE_STEP_CONFIGURE, address: None };
    let told = Told::of_status(TRUNKLINE_E_INVALID_ARGUMENT, doing);
    Told { message: message.to_owned(), flags: TRUNKLINE_ERR_NOT_SENT, ..told }.raise(py)
}

/// The exception for a lease that is over.
pub(crate) fn over(py: Python<'_>) -> PyErr {
    let message = "the lease is over: its connection was put back, or is the caller's for good";
    let told = Told::of_status(TRUNKLINE_E_INVALID_HANDLE, Doing::default());
    Told { message: message.to_owned(), flags: TRUNKLINE_ERR_NOT_SENT, ..told }.raise(py)
}

impl Failed {
    /// As an exception to raise.
    pub(crate) fn raise(self, py: Python<'_>) -> PyErr {
        self.raise_while(py, Doing::default())
    }

    /// As an exception to raise that says what was being done.
    pub(crate) fn raise_while(self, py: Python<'_>, doing: Doing) -> PyErr {
        exception(py, &self, doing).map_or_else(|error| error, PyErr::from_value)
    }

    pub(crate) fn is(&self, status: trunkline_status_t) -> bool {
        self.status == status
    }
}
