//! Channels to gRPC servers, their replies, and calls with streams.

use crate::{
    buffer::{
        self, Buffer,
        channel::{self as border, Beginning, Terms},
        completion, plain,
    },
    failure::Doing,
    open::Operation,
    queue::Queue,
    runtime,
    tls::{self, Tls},
};
use pyo3::{
    prelude::*,
    types::{PyBytes, PyTuple},
};
use std::borrow::Cow;
use trunkline::*;

/// An answer: its message and its metadata.
#[pyclass(frozen, module = "trunkline._native", get_all)]
pub(crate) struct Reply {
    message: Py<PyBytes>,
    initial: Py<PyTuple>,
    trailing: Py<PyTuple>,
}

impl Reply {
    /// Copies the reply out of the library.
    pub(crate) fn of(py: Python<'_>, reply: &trunkline_reply_t) -> PyResult<Self> {
        let pair = |(name, value): (Cow<'_, str>, &[u8])| {
            (&*name, PyBytes::new(py, value)).into_pyobject(py)
        };
        let pairs = |which| -> PyResult<Py<PyTuple>> {
            let all = border::metadata(reply, which).map(pair).collect::<PyResult<Vec<_>>>()?;
            Ok(PyTuple::new(py, all)?.unbind())
        };
        Ok(Self {
            message: PyBytes::new(py, border::message(reply)).unbind(),
            initial: pairs(TRUNKLINE_METADATA_INITIAL)?,
            trailing: pairs(TRUNKLINE_METADATA_TRAILING)?,
        })
    }
}

fn doing(step: i32) -> Doing {
    Doing { step, address: None }
}

/// One logical gRPC server.
#[pyclass(frozen, module = "trunkline._native")]
pub(crate) struct Channel {
    handle: trunkline_channel_t,
}

#[pymethods]
impl Channel {
    /// An empty document means the defaults. With a queue and a tag, the questions where the target is come there.
    #[new]
    fn new(
        py: Python<'_>,
        target: &str,
        json: &str,
        tls: Option<&Tls>,
        resolver: Option<(PyRef<'_, Queue>, u64)>,
    ) -> PyResult<Self> {
        let to = resolver.map(|(queue, tag)| (queue.handle, tag));
        let handle = border::channel(target, json, tls::handle_of(tls), to)
            .map_err(|failed| failed.raise(py))?;
        runtime::in_use();
        Ok(Self { handle })
    }

    /// The state now; an idle channel begins to connect if it is told to.
    fn state(&self, py: Python<'_>, try_to_connect: bool) -> PyResult<i32> {
        let state = buffer::call(0, |state, _| {
            trunkline_channel_state(self.handle, i32::from(try_to_connect), state)
        });
        state.map_err(|failed| failed.raise(py))
    }

    /// What it looks like now, as JSON.
    fn inspect(&self, py: Python<'_>) -> PyResult<String> {
        buffer::channel_inspect(self.handle).map_err(|failed| failed.raise(py))
    }

    /// The changes of its state with a number above `after`, `max` at most, as JSON.
    fn history(&self, py: Python<'_>, after: u64, max: usize) -> PyResult<String> {
        buffer::channel_history(self.handle, after, max).map_err(|failed| failed.raise(py))
    }

    /// Starts to wait for a change with a number above `after`.
    fn wait_history(
        &self,
        py: Python<'_>,
        after: u64,
        deadline_ns: i64,
        queue: &Queue,
        tag: u64,
    ) -> PyResult<Operation> {
        self.operation(py, TRUNKLINE_STEP_WAIT, |op, err| {
            let to = completion(queue.handle, tag);
            trunkline_channel_wait_history_async(
                self.handle,
                after,
                deadline_ns,
                Some(&to),
                op,
                err,
            )
        })
    }

    /// Says where the target is, without being asked.
    fn push_addresses(&self, py: Python<'_>, addresses: &str) -> PyResult<()> {
        let pushed = border::push_addresses(self.handle, addresses);
        pushed.map_err(|failed| failed.raise_while(py, doing(TRUNKLINE_STEP_RESOLVE)))
    }

    /// Tries at once what would have waited.
    fn reset_connect_backoff(&self, py: Python<'_>) -> PyResult<()> {
        plain(trunkline_channel_reset_connect_backoff(self.handle))
            .map_err(|failed| failed.raise(py))
    }

    /// Starts to wait for another state; the value of the event with `tag` is the state.
    fn wait_for_state_change(
        &self,
        py: Python<'_>,
        last: i32,
        deadline_ns: i64,
        queue: &Queue,
        tag: u64,
    ) -> PyResult<Operation> {
        self.operation(py, TRUNKLINE_STEP_WAIT, |op, err| {
            let to = completion(queue.handle, tag);
            trunkline_channel_wait_for_state_change_async(
                self.handle,
                last,
                deadline_ns,
                Some(&to),
                op,
                err,
            )
        })
    }

    /// Starts to connect and wait.
    fn wait_ready(
        &self,
        py: Python<'_>,
        deadline_ns: i64,
        queue: &Queue,
        tag: u64,
    ) -> PyResult<Operation> {
        self.operation(py, TRUNKLINE_STEP_CONNECT, |op, err| {
            let to = completion(queue.handle, tag);
            trunkline_channel_wait_ready_async(self.handle, deadline_ns, Some(&to), op, err)
        })
    }

    /// Starts a call of one message; the event with `tag` has the reply.
    fn call(
        &self,
        py: Python<'_>,
        method: &str,
        request: &Bound<'_, PyAny>,
        terms: Terms,
        queue: &Queue,
        tag: u64,
    ) -> PyResult<Operation> {
        let request = Buffer::readable(request)?;
        let bytes = request.from(py, 0)?;
        let to = completion(queue.handle, tag);
        let op = border::call_async(self.handle, method, bytes, &terms, &to);
        let failed = |failed: buffer::Failed| failed.raise_while(py, doing(TRUNKLINE_STEP_CALL));
        Ok(Operation::of(op.map_err(failed)?))
    }

    /// Starts calls of one message together; each event has the tag of its call. Either all start, or none.
    fn call_many(
        &self,
        py: Python<'_>,
        calls: Vec<Beginning>,
        queue: &Queue,
    ) -> PyResult<Vec<Operation>> {
        let ops = border::call_many_async(self.handle, &calls, &completion(queue.handle, 0));
        let failed = |failed: buffer::Failed| failed.raise_while(py, doing(TRUNKLINE_STEP_CALL));
        Ok(ops.map_err(failed)?.into_iter().map(Operation::of).collect())
    }

    /// Begins a call with streams.
    fn open(&self, py: Python<'_>, method: &str, terms: Terms) -> PyResult<Call> {
        let opened = border::open(self.handle, method, &terms);
        let failed = |failed: buffer::Failed| failed.raise_while(py, doing(TRUNKLINE_STEP_CALL));
        Ok(Call { handle: opened.map_err(failed)? })
    }

    /// Starts to close; the event with `tag` says that every descriptor is gone.
    fn close(
        &self,
        py: Python<'_>,
        deadline_ns: i64,
        queue: &Queue,
        tag: u64,
    ) -> PyResult<Operation> {
        self.operation(py, TRUNKLINE_STEP_SHUTDOWN, |op, err| {
            let to = completion(queue.handle, tag);
            trunkline_channel_close_async(self.handle, deadline_ns, Some(&to), op, err)
        })
    }

    /// Whether it was inherited over a fork.
    fn is_inherited(&self) -> bool {
        let state = buffer::call(0, |state, _| trunkline_channel_state(self.handle, 0, state));
        state.is_err_and(|failed| failed.is(TRUNKLINE_E_FORKED))
    }
}

impl Channel {
    fn operation(
        &self,
        py: Python<'_>,
        step: i32,
        start: impl FnOnce(buffer::Out<'_, trunkline_op_t>, buffer::Err<'_>) -> trunkline_status_t,
    ) -> PyResult<Operation> {
        let op = buffer::call(trunkline_op_t { h: 0 }, start);
        Ok(Operation::of(op.map_err(|failed| failed.raise_while(py, doing(step)))?))
    }
}

impl Drop for Channel {
    fn drop(&mut self) {
        let _ = trunkline_channel_free(self.handle);
    }
}

/// A call with any number of messages each way.
#[pyclass(frozen, module = "trunkline._native")]
pub(crate) struct Call {
    handle: trunkline_call_t,
}

#[pymethods]
impl Call {
    /// Starts to send one message.
    fn send(
        &self,
        py: Python<'_>,
        message: &Bound<'_, PyAny>,
        queue: &Queue,
        tag: u64,
    ) -> PyResult<Operation> {
        let message = Buffer::readable(message)?;
        let bytes = message.from(py, 0)?;
        let op = border::send_async(self.handle, bytes, &completion(queue.handle, tag));
        Ok(Operation::of(op.map_err(|failed| self.raise(py, failed))?))
    }

    /// Says that no more messages follow.
    fn finish_sending(&self, py: Python<'_>) -> PyResult<()> {
        plain(trunkline_call_finish_sending(self.handle)).map_err(|failed| self.raise(py, failed))
    }

    /// Starts to wait for a message; the event with `tag` has it, or nothing at the end.
    fn receive(&self, py: Python<'_>, queue: &Queue, tag: u64) -> PyResult<Operation> {
        let to = completion(queue.handle, tag);
        let op = buffer::call(trunkline_op_t { h: 0 }, |op, err| {
            trunkline_call_receive_async(self.handle, Some(&to), op, err)
        });
        Ok(Operation::of(op.map_err(|failed| self.raise(py, failed))?))
    }

    /// Starts to wait for the first metadata.
    fn initial(&self, py: Python<'_>, queue: &Queue, tag: u64) -> PyResult<Operation> {
        let to = completion(queue.handle, tag);
        let op = buffer::call(trunkline_op_t { h: 0 }, |op, err| {
            trunkline_call_initial_async(self.handle, Some(&to), op, err)
        });
        Ok(Operation::of(op.map_err(|failed| self.raise(py, failed))?))
    }

    /// The last metadata, once the end was received.
    fn trailing(&self, py: Python<'_>) -> PyResult<Reply> {
        let reply =
            buffer::call(None, |reply, err| trunkline_call_trailing(self.handle, reply, err));
        let reply = reply.map_err(|failed| self.raise(py, failed))?;
        Reply::of(py, &reply.unwrap_or_default())
    }

    /// Gives the call up.
    fn cancel(&self) {
        // Refused only in a forked child, where there is no call.
        let _ = trunkline_call_cancel(self.handle);
    }
}

impl Call {
    fn raise(&self, py: Python<'_>, failed: buffer::Failed) -> PyErr {
        failed.raise_while(py, doing(TRUNKLINE_STEP_CALL))
    }
}

impl Drop for Call {
    fn drop(&mut self) {
        let _ = trunkline_call_free(self.handle);
    }
}
