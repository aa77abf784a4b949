//! Datagrams: rooms, addresses and texts, as the C functions take them.
#![allow(unsafe_code, reason = "the C functions take pointers with lengths")]

use super::{DEFAULT, Failed, call, filled, short_text};
use std::net::{IpAddr, SocketAddr, SocketAddrV6};
use trunkline::*;

/// One datagram as it was received, with its bytes' place in the room.
pub(crate) struct Taken {
    pub(crate) len: usize,
    pub(crate) source: Option<SocketAddr>,
    pub(crate) to: Option<SocketAddr>,
}

impl From<trunkline_received_t> for Taken {
    fn from(received: trunkline_received_t) -> Self {
        Self { len: received.len, source: known(received.source), to: known(received.to) }
    }
}

fn known(address: trunkline_socket_address_t) -> Option<SocketAddr> {
    let [a, b, c, d, ..] = address.ip;
    match address.family {
        TRUNKLINE_FAMILY_IPV4 => Some((IpAddr::from([a, b, c, d]), address.port).into()),
        TRUNKLINE_FAMILY_IPV6 => {
            Some(SocketAddrV6::new(address.ip.into(), address.port, 0, address.scope).into())
        }
        _ => None,
    }
}

pub(crate) fn bind(address: &str) -> Result<trunkline_datagram_t, Failed> {
    // SAFETY: pointer and length are those of a live text.
    call(trunkline_datagram_t { h: 0 }, |out, err| unsafe {
        trunkline_datagram_bind(DEFAULT, address.as_ptr().cast(), address.len(), out, err)
    })
}

pub(crate) fn send_to(
    socket: trunkline_datagram_t,
    data: &[u8],
    to: SocketAddr,
    from: Option<IpAddr>,
) -> Result<(), Failed> {
    let (to, from) = (to.into(), from.map(|ip| SocketAddr::new(ip, 0).into()));
    // SAFETY: pointer and length are those of live bytes.
    call((), |_, err| unsafe {
        let (bytes, length) = (data.as_ptr(), data.len());
        trunkline_datagram_send_to(socket, bytes, length, Some(&to), from.as_ref(), 0, err)
    })
}

pub(crate) fn recv_from(socket: trunkline_datagram_t, room: &mut [u8]) -> Result<Taken, Failed> {
    // SAFETY: a struct of numbers, of which all zeroes are valid.
    let blank = unsafe { std::mem::zeroed::<trunkline_received_t>() };
    // SAFETY: pointer and length are those of a live buffer.
    let received = call(blank, |received, err| unsafe {
        trunkline_datagram_recv_from(socket, room.as_mut_ptr(), room.len(), 0, received, err)
    })?;
    Ok(received.into())
}

/// Takes what is there into equal rooms of `size` bytes.
pub(crate) fn recv_many(
    socket: trunkline_datagram_t,
    rooms: &mut [u8],
    size: usize,
) -> Result<Vec<Taken>, Failed> {
    let list: Vec<_> = rooms
        .chunks_exact_mut(size)
        .map(|room| trunkline_room_t { ptr: room.as_mut_ptr(), len: room.len() })
        .collect();
    let mut received = Vec::with_capacity(list.len());
    // SAFETY: each room is live and used by this call alone, and the vector has a place for each.
    let count = call(0, |count, err| unsafe {
        let told = received.as_mut_ptr();
        trunkline_datagram_recv_many(socket, list.as_ptr(), told, list.len(), 0, count, err)
    })?;
    // SAFETY: the call has written that many, and they fit.
    unsafe { received.set_len(count) };
    Ok(received.into_iter().map(Taken::from).collect())
}

pub(crate) fn address(socket: trunkline_datagram_t) -> Result<String, Failed> {
    // SAFETY: the pointer is good for the length that goes with it.
    short_text(|text, cap, n, _| unsafe { trunkline_datagram_address(socket, text, cap, n) })
}

pub(crate) fn socket_address(socket: trunkline_datagram_t) -> Result<Option<SocketAddr>, Failed> {
    // SAFETY: a struct of numbers, of which all zeroes are valid.
    let blank = unsafe { std::mem::zeroed::<trunkline_socket_address_t>() };
    call(blank, |out, _| trunkline_datagram_socket_address(socket, out)).map(known)
}

pub(crate) fn stats(socket: trunkline_datagram_t) -> Result<trunkline_datagram_stats_t, Failed> {
    // SAFETY: `size` says how long the struct is.
    filled(|stats| unsafe { trunkline_datagram_stats(socket, stats) })
}

pub(crate) fn manager(json: &str) -> Result<trunkline_udp_manager_t, Failed> {
    // SAFETY: pointer and length are those of a live text.
    call(trunkline_udp_manager_t { h: 0 }, |out, err| unsafe {
        trunkline_udp_manager_new(DEFAULT, json.as_ptr().cast(), json.len(), out, err)
    })
}

pub(crate) fn manager_bind(
    manager: trunkline_udp_manager_t,
    address: &str,
) -> Result<trunkline_datagram_t, Failed> {
    // SAFETY: pointer and length are those of a live text.
    call(trunkline_datagram_t { h: 0 }, |out, err| unsafe {
        trunkline_udp_manager_bind(manager, address.as_ptr().cast(), address.len(), out, err)
    })
}

pub(crate) fn manager_relay(
    manager: trunkline_udp_manager_t,
    listen: &str,
    destination: &str,
    idle_timeout_ns: i64,
) -> Result<String, Failed> {
    let size = size_of::<trunkline_udp_relay_options_t>();
    let options = trunkline_udp_relay_options_t { size, idle_timeout_ns };
    let (from, from_length) = (listen.as_ptr().cast(), listen.len());
    let (to, to_length) = (destination.as_ptr().cast(), destination.len());
    // SAFETY: pointers and lengths are those of live texts, and the struct is of the size that it says.
    short_text(|text, cap, n, err| unsafe {
        trunkline_udp_manager_relay(
            manager,
            from,
            from_length,
            to,
            to_length,
            &raw const options,
            text,
            cap,
            n,
            err,
        )
    })
}

pub(crate) fn manager_stats(
    manager: trunkline_udp_manager_t,
) -> Result<trunkline_udp_manager_stats_t, Failed> {
    // SAFETY: `size` says how long the struct is.
    filled(|stats| unsafe { trunkline_udp_manager_stats(manager, stats) })
}

/// The list as JSON.
pub(crate) fn manager_live(manager: trunkline_udp_manager_t) -> Result<String, Failed> {
    let list = call(None, |out, err| trunkline_udp_manager_live(manager, out, err))?;
    let mut length = 0;
    let bytes = trunkline_buf_data(list.as_deref(), Some(&mut length));
    let text = if bytes.is_null() {
        String::new()
    } else {
        // SAFETY: the buffer lives until it is freed below, and has that many bytes.
        let bytes = unsafe { std::slice::from_raw_parts(bytes, length) };
        String::from_utf8_lossy(bytes).into_owned()
    };
    trunkline_buf_free(list);
    Ok(text)
}
