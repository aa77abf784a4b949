//! Reads and writes of a plain socket that ask the kernel, whatever the runtime has heard of its readiness.

use super::{RECV_SIZE, stream::Way, tcp::send};
use bytes::{Buf, Bytes};
use rustix::{
    event::{PollFd, PollFlags, Timespec, poll},
    net::{RecvFlags, recv},
};
use socket2::SockRef;
use std::{
    io::{self, IoSlice},
    os::fd::BorrowedFd,
};

/// As [`Transport::try_read`](super::Transport::try_read).
pub(super) fn read(socket: BorrowedFd<'_>, buf: &mut [u8]) -> io::Result<usize> {
    if buf.is_empty() {
        return Ok(0);
    }
    let (n, _) = recv(socket, buf, RecvFlags::DONTWAIT)?;
    Ok(n)
}

/// As [`Transport::try_recv_buf`](super::Transport::try_recv_buf).
pub(super) fn recv_buf(socket: BorrowedFd<'_>, max: usize) -> io::Result<Bytes> {
    let mut buf = vec![0; max.min(RECV_SIZE)];
    let n = read(socket, &mut buf)?;
    buf.truncate(n);
    Ok(buf.into())
}

/// As [`Transport::try_write`](super::Transport::try_write).
pub(super) fn write(socket: BorrowedFd<'_>, bufs: &[IoSlice<'_>]) -> io::Result<usize> {
    send(&SockRef::from(&socket), bufs)
}

/// As [`Transport::try_send_buf`](super::Transport::try_send_buf).
pub(super) fn send_buf(socket: BorrowedFd<'_>, buf: &mut Bytes) -> io::Result<usize> {
    let n = write(socket, &[IoSlice::new(buf)])?;
    buf.advance(n);
    Ok(n)
}

/// `WouldBlock` unless a try is worth it.
pub(super) fn check(socket: BorrowedFd<'_>, way: Way) -> io::Result<()> {
    let flag = match way {
        Way::In => PollFlags::IN,
        Way::Out => PollFlags::OUT,
    };
    let at_once = Timespec { tv_sec: 0, tv_nsec: 0 };
    match poll(&mut [PollFd::from_borrowed_fd(socket, flag)], Some(&at_once))? {
        0 => Err(io::ErrorKind::WouldBlock.into()),
        _ => Ok(()),
    }
}
