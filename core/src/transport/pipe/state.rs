//! What one direction of a pipe holds and how it ends; no lock, no waker, no waiting.

use super::ring::Ring;
use std::{io, io::IoSlice, mem};

/// Who does something to a direction: the end that writes into it or the end that reads from it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Role {
    Writer,
    Reader,
}

/// One direction of a pipe.
///
/// ```text
///           finish()                   read: what is left, then 0
///   Open ──────────────▶ Finished      write: EPIPE
///    │                      │
///    │ refuse()             │ refuse()
///    └───────────┬──────────┘
///                ▼                     read: 0, what was left is gone
///             Refused                  write: EPIPE
///
///   any ── abort(by) ──▶ Aborted       ECONNRESET for the other role, ENOTCONN for the one that aborted
/// ```
#[derive(Debug)]
pub(super) struct Flow {
    state: State,
}

#[derive(Debug)]
enum State {
    Open(Ring),
    /// Nothing will be written any more.
    Finished(Ring),
    /// Nothing will be read any more.
    Refused,
    Aborted(Role),
}

impl Flow {
    /// An open direction that holds at most `capacity` bytes, which is at least 1.
    pub(super) fn new(capacity: usize) -> Self {
        Self { state: State::Open(Ring::new(capacity)) }
    }

    /// Takes what is there, at most `buf.len()` bytes; 0 for a non-empty `buf` is the end.
    pub(super) fn read(&mut self, buf: &mut [u8]) -> io::Result<usize> {
        if buf.is_empty() {
            return Ok(0);
        }
        match &mut self.state {
            State::Open(ring) if ring.is_empty() => Err(io::ErrorKind::WouldBlock.into()),
            State::Open(ring) | State::Finished(ring) => Ok(ring.pull(buf)),
            State::Refused => Ok(0),
            State::Aborted(by) => Err(aborted(*by, Role::Reader)),
        }
    }

    /// Takes as much of `bufs` as fits.
    pub(super) fn write(&mut self, bufs: &[IoSlice<'_>]) -> io::Result<usize> {
        if bufs.iter().all(|buf| buf.is_empty()) {
            return Ok(0);
        }
        match &mut self.state {
            State::Open(ring) if ring.is_full() => Err(io::ErrorKind::WouldBlock.into()),
            State::Open(ring) => Ok(ring.push_all(bufs)),
            State::Finished(_) | State::Refused => Err(io::Error::from_raw_os_error(libc::EPIPE)),
            State::Aborted(by) => Err(aborted(*by, Role::Writer)),
        }
    }

    /// Whether a read would do anything but block.
    pub(super) fn is_readable(&self) -> bool {
        match &self.state {
            State::Open(ring) => !ring.is_empty(),
            State::Finished(_) | State::Refused | State::Aborted(_) => true,
        }
    }

    /// Whether a write would do anything but block.
    pub(super) fn is_writable(&self) -> bool {
        match &self.state {
            State::Open(ring) => !ring.is_full(),
            State::Finished(_) | State::Refused | State::Aborted(_) => true,
        }
    }

    /// Whether no byte waits for the reader, who may be gone.
    pub(super) fn is_drained(&self) -> bool {
        match &self.state {
            State::Open(ring) | State::Finished(ring) => ring.is_empty(),
            State::Refused | State::Aborted(_) => true,
        }
    }

    pub(super) fn is_aborted(&self) -> bool {
        match &self.state {
            State::Aborted(_) => true,
            State::Open(_) | State::Finished(_) | State::Refused => false,
        }
    }

    /// The writer has said all it wants to.
    pub(super) fn finish(&mut self) {
        self.state = match mem::replace(&mut self.state, State::Refused) {
            State::Open(ring) => State::Finished(ring),
            ended @ (State::Finished(_) | State::Refused | State::Aborted(_)) => ended,
        };
    }

    /// The reader wants no more. Returns how many bytes that were taken from the writer are lost.
    pub(super) fn refuse(&mut self) -> usize {
        match &self.state {
            State::Open(ring) | State::Finished(ring) => {
                let lost = ring.len();
                self.state = State::Refused;
                lost
            }
            State::Refused | State::Aborted(_) => 0,
        }
    }

    /// One side breaks the connection off. Returns how many bytes are lost; only the first abort counts.
    pub(super) fn abort(&mut self, by: Role) -> usize {
        let lost = self.refuse();
        if !self.is_aborted() {
            self.state = State::Aborted(by);
        }
        lost
    }
}

/// What `who` sees of an abort by `by`.
fn aborted(by: Role, who: Role) -> io::Error {
    let code = if by == who { libc::ENOTCONN } else { libc::ECONNRESET };
    io::Error::from_raw_os_error(code)
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;
    use std::{collections::VecDeque, io::ErrorKind};

    fn write(flow: &mut Flow, bytes: &[u8]) -> io::Result<usize> {
        flow.write(&[IoSlice::new(bytes)])
    }

    type Seen = Result<usize, ErrorKind>;

    #[test]
    fn every_role_sees_what_its_state_promises() {
        type End = fn(&mut Flow);
        let finish_and_refuse: End = |flow| {
            flow.finish();
            flow.refuse();
        };
        let by_writer: End = |flow| _ = flow.abort(Role::Writer);
        let by_reader_first: End = |flow| {
            flow.abort(Role::Reader);
            flow.abort(Role::Writer);
        };
        let (broken, reset, gone) = (
            Err(ErrorKind::BrokenPipe),
            Err(ErrorKind::ConnectionReset),
            Err(ErrorKind::NotConnected),
        );
        let cases: [(&str, End, Seen, Seen); 6] = [
            ("open", |_| (), Ok(1), Ok(3)),
            ("finished", Flow::finish, broken, Ok(2)),
            ("refused", |flow| _ = flow.refuse(), broken, Ok(0)),
            ("finished, then refused", finish_and_refuse, broken, Ok(0)),
            ("aborted by the writer", by_writer, gone, reset),
            ("aborted by the reader, then by the writer", by_reader_first, reset, gone),
        ];
        for (name, end, written, read) in cases {
            let mut flow = Flow::new(8);
            write(&mut flow, b"ab").unwrap();
            end(&mut flow);
            assert_eq!(write(&mut flow, b"c").map_err(|e| e.kind()), written, "write, {name}");
            assert_eq!(flow.read(&mut [0; 8]).map_err(|e| e.kind()), read, "read, {name}");
            assert_eq!(flow.read(&mut []).unwrap(), 0, "a read of nothing, {name}");
            assert_eq!(write(&mut flow, b"").unwrap(), 0, "a write of nothing, {name}");
        }
    }

    #[test]
    fn a_finished_direction_ends_after_its_last_byte_and_not_before() {
        let mut flow = Flow::new(8);
        write(&mut flow, b"abc").unwrap();
        flow.finish();
        let mut out = [0; 2];
        assert_eq!(flow.read(&mut out).unwrap(), 2);
        assert_eq!(flow.read(&mut out).unwrap(), 1);
        assert_eq!(flow.read(&mut out).unwrap(), 0);
    }

    /// A direction on paper: the bytes between, and how it ended.
    #[derive(Debug, Default)]
    struct Model {
        held: VecDeque<u8>,
        finished: bool,
        refused: bool,
        aborted: Option<Role>,
    }

    #[derive(Clone, Copy, Debug)]
    enum Step {
        Write(usize),
        Read(usize),
        Finish,
        Refuse,
        Abort(bool),
    }

    fn step() -> impl Strategy<Value = Step> {
        prop_oneof![
            20 => (0usize..40).prop_map(Step::Write),
            20 => (0usize..40).prop_map(Step::Read),
            1 => Just(Step::Finish),
            1 => Just(Step::Refuse),
            1 => any::<bool>().prop_map(Step::Abort),
        ]
    }

    impl Model {
        fn write(&mut self, bytes: &[u8], capacity: usize) -> Seen {
            match self.aborted {
                _ if bytes.is_empty() => return Ok(0),
                Some(Role::Writer) => return Err(ErrorKind::NotConnected),
                Some(Role::Reader) => return Err(ErrorKind::ConnectionReset),
                None if self.finished || self.refused => return Err(ErrorKind::BrokenPipe),
                None => {}
            }
            let n = bytes.len().min(capacity - self.held.len());
            self.held.extend(&bytes[..n]);
            if n == 0 { Err(ErrorKind::WouldBlock) } else { Ok(n) }
        }

        fn read(&mut self, size: usize) -> Result<Vec<u8>, ErrorKind> {
            match self.aborted {
                _ if size == 0 => return Ok(Vec::new()),
                Some(Role::Reader) => return Err(ErrorKind::NotConnected),
                Some(Role::Writer) => return Err(ErrorKind::ConnectionReset),
                None => {}
            }
            let n = size.min(self.held.len());
            match n {
                0 if !self.finished && !self.refused => Err(ErrorKind::WouldBlock),
                n => Ok(self.held.drain(..n).collect()),
            }
        }

        fn end(&mut self, step: Step) {
            match step {
                Step::Finish => self.finished |= !self.refused,
                Step::Refuse => self.refused = true,
                Step::Abort(by_writer) => {
                    let by = if by_writer { Role::Writer } else { Role::Reader };
                    self.aborted = self.aborted.or(Some(by));
                }
                Step::Write(_) | Step::Read(_) => {}
            }
            if self.refused || self.aborted.is_some() {
                self.held.clear();
            }
        }

        fn is_over(&self) -> bool {
            self.finished || self.refused || self.aborted.is_some()
        }
    }

    proptest! {
        #[test]
        fn it_agrees_with_the_model_and_accounts_for_every_byte(
            capacity in 1usize..64,
            steps in proptest::collection::vec(step(), 1..200),
        ) {
            let (mut flow, mut model) = (Flow::new(capacity), Model::default());
            let (mut written, mut read, mut lost) = (0usize, 0, 0);
            for step in steps {
                match step {
                    Step::Write(size) => {
                        let bytes: Vec<u8> = (written..written + size).map(|i| i as u8).collect();
                        let halves = bytes.split_at(size / 2);
                        let answer = flow
                            .write(&[IoSlice::new(halves.0), IoSlice::new(halves.1)])
                            .map_err(|e| e.kind());
                        prop_assert_eq!(answer, model.write(&bytes, capacity));
                        written += answer.unwrap_or(0);
                    }
                    Step::Read(size) => {
                        let mut out = vec![0; size];
                        let answer = flow.read(&mut out).map_err(|e| e.kind());
                        read += answer.unwrap_or(0);
                        prop_assert_eq!(answer.map(|n| out[..n].to_vec()), model.read(size));
                    }
                    Step::Finish => flow.finish(),
                    Step::Refuse => lost += flow.refuse(),
                    Step::Abort(true) => lost += flow.abort(Role::Writer),
                    Step::Abort(false) => lost += flow.abort(Role::Reader),
                }
                model.end(step);
                prop_assert_eq!(flow.is_readable(), model.is_over() || !model.held.is_empty());
                let writable = model.is_over() || model.held.len() < capacity;
                prop_assert_eq!(flow.is_writable(), writable);
                prop_assert_eq!(written, read + lost + model.held.len());
            }
        }
    }
}
