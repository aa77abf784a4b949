//! What relays and tunnels connect to: threads that drop or answer what they get.

use rustix::{
    io::Errno,
    net::{RecvFlags, recv},
};
use std::{
    io::{Read, Write},
    net::{SocketAddr, TcpListener, TcpStream},
    thread,
};

/// What becomes of each connection.
#[derive(Clone, Copy, Debug)]
pub enum Manner {
    /// Everything is dropped unread; one byte answers the end.
    Drop,
    /// Every message of so many bytes is sent back.
    Echo(usize),
}

/// Serves until the process ends, each connection in a thread of its own. The threads are on the caller's cores.
///
/// # Panics
///
/// If the system has no port or no thread left.
pub fn serve(manner: Manner) -> SocketAddr {
    let listener = TcpListener::bind("127.0.0.1:0").expect("a free port");
    let address = listener.local_addr().expect("it is bound");
    thread::spawn(move || {
        for stream in listener.incoming().flatten() {
            thread::Builder::new()
                .stack_size(64 << 10)
                .spawn(move || match manner {
                    Manner::Drop => drop_all(&stream),
                    Manner::Echo(size) => echo(stream, size),
                })
                .expect("a thread");
        }
    });
    address
}

fn drop_all(mut stream: &TcpStream) {
    let mut unread = vec![0; 1 << 20];
    loop {
        // With this flag TCP drops the bytes in the kernel.
        match recv(stream, &mut unread[..], RecvFlags::TRUNC) {
            Ok((0, _)) => break,
            Ok(_) | Err(Errno::INTR) => {}
            Err(_) => return,
        }
    }
    let _ = stream.write_all(b".");
}

fn echo(mut stream: TcpStream, size: usize) {
    let _ = stream.set_nodelay(true);
    let mut message = vec![0; size];
    while stream.read_exact(&mut message).is_ok() && stream.write_all(&message).is_ok() {}
}
