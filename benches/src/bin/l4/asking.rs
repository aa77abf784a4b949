//! Clients and a server of datagrams, each one thread on the core of the caller, that cost as little as they can.
//!
//! The clients are one socket: on the loopback all of 127.0.0.0/8 is local, and each datagram says which address it comes
//! from. So a hundred clients, or a million, cost one descriptor and no look at who of them was answered.

use quinn_udp::{RecvMeta, Transmit, UdpSockRef, UdpSocketState};
use rustix::event::{PollFd, PollFlags, Timespec, poll};
use std::{
    io::{self, ErrorKind, IoSliceMut},
    net::{IpAddr, Ipv4Addr, SocketAddr, UdpSocket},
    thread,
    time::{Duration, Instant},
};
use trunkline_benches::now;

/// Datagrams that are taken from the kernel at once.
const BATCH: usize = 32;
/// Room for one, or for several that came as one.
const ROOM: usize = 65_536;
/// A question without an answer for so long is lost.
const PATIENCE: Duration = Duration::from_millis(50);

/// A socket that says and hears which of the addresses of this machine a datagram is from and for.
pub(crate) struct Socket {
    socket: UdpSocket,
    state: UdpSocketState,
    rooms: Vec<u8>,
}

/// A datagram that came.
struct Came {
    from: SocketAddr,
    to: IpAddr,
    length: usize,
}

impl Socket {
    pub(crate) fn new() -> Self {
        let socket = UdpSocket::bind("0.0.0.0:0").expect("a free port");
        let state = UdpSocketState::new(UdpSockRef::from(&socket)).expect("a socket of the system");
        Self { socket, state, rooms: vec![0; BATCH * ROOM] }
    }

    /// Sends `contents` as `from`. One that the system has no room for is lost, as others are.
    pub(crate) fn send(&self, from: IpAddr, to: SocketAddr, contents: &[u8]) {
        let transmit = Transmit {
            destination: to,
            ecn: None,
            contents,
            segment_size: None,
            src_ip: Some(from),
        };
        match self.state.try_send(UdpSockRef::from(&self.socket), &transmit) {
            Ok(()) => {}
            Err(error) if error.kind() == ErrorKind::WouldBlock => {}
            Err(error) => panic!("a datagram cannot be sent: {error}"),
        }
    }

    /// What has come, once something has or `PATIENCE` is over.
    fn receive(&mut self) -> Vec<Came> {
        let mut metas = [RecvMeta::default(); BATCH];
        let count = {
            let mut rooms: Vec<_> = self.rooms.chunks_mut(ROOM).map(IoSliceMut::new).collect();
            loop {
                match self.state.recv(UdpSockRef::from(&self.socket), &mut rooms, &mut metas) {
                    Ok(count) => break count,
                    Err(error) if error.kind() == ErrorKind::WouldBlock => {
                        if !wait(&self.socket).expect("a socket of the system") {
                            return Vec::new();
                        }
                    }
                    // About one that was sent earlier.
                    Err(error) if error.kind() == ErrorKind::ConnectionRefused => {}
                    Err(error) => panic!("nothing can be received: {error}"),
                }
            }
        };
        let each = metas[..count].iter().flat_map(|meta| {
            let to = meta.dst_ip.expect("the system says for whom it is");
            let (whole, last) = (meta.len / meta.stride.max(1), meta.len % meta.stride.max(1));
            let lengths = std::iter::repeat_n(meta.stride, whole).chain((last > 0).then_some(last));
            lengths.map(move |length| Came { from: meta.addr, to, length })
        });
        each.collect()
    }
}

/// Whether there is something to be read in time.
fn wait(socket: &UdpSocket) -> io::Result<bool> {
    let mut sockets = [PollFd::new(socket, PollFlags::IN)];
    let patience = Timespec::try_from(PATIENCE).expect("a short time");
    Ok(poll(&mut sockets, Some(&patience))? > 0)
}

/// The address of the client with this number.
pub(crate) fn client(number: u32) -> IpAddr {
    let [_, a, b, c] = number.to_be_bytes();
    // Not 127.0, where others are.
    IpAddr::V4(Ipv4Addr::new(127, 1 + a, b, c))
}

/// Sends every datagram back, until the process ends.
pub(crate) fn echo() -> SocketAddr {
    let mut socket = Socket::new();
    let port = socket.socket.local_addr().expect("it is bound").port();
    thread::spawn(move || {
        let contents = vec![7; ROOM];
        loop {
            for came in socket.receive() {
                socket.send(came.to, came.from, &contents[..came.length]);
            }
        }
    });
    SocketAddr::from(([127, 0, 0, 1], port))
}

/// Has so many clients ask `to` with so many bytes, each again as soon as it is answered, for so long; says how many answers
/// there were in a second.
pub(crate) fn ask(to: SocketAddr, clients: u32, size: usize, length: Duration) -> f64 {
    let mut socket = Socket::new();
    let contents = vec![7; size];
    let mut asked = vec![None::<Instant>; clients as usize];
    let addresses: Vec<_> = (0..clients).map(client).collect();
    // Their sessions are made before the clock runs.
    let (mut begun, mut answers) = (None, 0_u32);
    let warm = now() + length / 5;
    loop {
        let time = now();
        for (asked, address) in asked.iter_mut().zip(&addresses) {
            if asked.is_none_or(|asked| time - asked > PATIENCE) {
                socket.send(*address, to, &contents);
                *asked = Some(time);
            }
        }
        let look_again = time + PATIENCE;
        while now() < look_again {
            let came = socket.receive();
            let time = now();
            for came in came {
                let IpAddr::V4(ip) = came.to else { continue };
                let number = u32::from(ip) - u32::from(Ipv4Addr::new(127, 1, 0, 0));
                let Some(asked) = asked.get_mut(number as usize) else { continue };
                assert_eq!(came.length, size, "an answer is as long as its question");
                socket.send(came.to, to, &contents);
                *asked = Some(time);
                answers += 1;
            }
            match begun {
                None if time >= warm => {
                    assert!(answers > 0, "nobody answers at {to}");
                    (begun, answers) = (Some(time), 0);
                }
                Some(begun) if time - begun >= length => {
                    return f64::from(answers) / (time - begun).as_secs_f64();
                }
                None | Some(_) => {}
            }
        }
    }
}
