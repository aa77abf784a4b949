//! Waiting reads and writes on a bare transport, for tests.

use crate::transport::Transport;
use std::{
    future::poll_fn,
    io::{self, IoSlice},
};

/// The byte at `place` of a stream in which no two neighbourhoods are alike.
pub(crate) fn byte_at(place: u64) -> u8 {
    (place.wrapping_add(1).wrapping_mul(0x9e37_79b9_7f4a_7c15) >> 53) as u8
}

/// The bytes of that stream from `place` on.
pub(crate) fn bytes_from(place: u64, length: usize) -> Vec<u8> {
    (place..place + length as u64).map(byte_at).collect()
}

pub(crate) async fn read(transport: &dyn Transport, buf: &mut [u8]) -> io::Result<usize> {
    loop {
        match transport.try_read(buf) {
            Err(error) if error.kind() == io::ErrorKind::WouldBlock => {
                poll_fn(|cx| transport.poll_read_ready(cx)).await;
            }
            answer => return answer,
        }
    }
}

pub(crate) async fn write(transport: &dyn Transport, buf: &[u8]) -> io::Result<usize> {
    loop {
        match transport.try_write(&[IoSlice::new(buf)]) {
            Err(error) if error.kind() == io::ErrorKind::WouldBlock => {
                poll_fn(|cx| transport.poll_write_ready(cx)).await;
            }
            answer => return answer,
        }
    }
}

pub(crate) async fn write_all(transport: &dyn Transport, mut buf: &[u8]) -> io::Result<()> {
    while !buf.is_empty() {
        let n = write(transport, buf).await?;
        buf = &buf[n..];
    }
    Ok(())
}

pub(crate) async fn read_to_end(transport: &dyn Transport) -> io::Result<Vec<u8>> {
    let (mut all, mut buf) = (Vec::new(), [0; 4096]);
    loop {
        match read(transport, &mut buf).await? {
            0 => return Ok(all),
            n => all.extend_from_slice(&buf[..n]),
        }
    }
}
