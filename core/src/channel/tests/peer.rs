//! A server that speaks frames by hand, to break rules exactly.

use crate::transport::{Listener, Stream};

pub(super) const HEADERS: u8 = 1;
pub(super) const RST_STREAM: u8 = 3;
pub(super) const SETTINGS: u8 = 4;
pub(super) const PING: u8 = 6;
pub(super) const GOAWAY: u8 = 7;

pub(super) struct Peer(Stream);

#[derive(Debug)]
pub(super) struct Frame {
    pub(super) kind: u8,
    pub(super) flags: u8,
    pub(super) stream: u32,
}

impl Peer {
    /// Takes a connection and reads the client's preface.
    pub(super) async fn accept(listener: &Listener) -> Self {
        let peer = Self(listener.accept().await.unwrap());
        peer.read(24).await.unwrap();
        peer
    }

    pub(super) async fn greet(&self) {
        self.write(SETTINGS, 0, 0, &[]).await;
    }

    pub(super) async fn write(&self, kind: u8, flags: u8, stream: u32, payload: &[u8]) {
        let length = (payload.len() as u32).to_be_bytes();
        let mut frame = vec![length[1], length[2], length[3], kind, flags];
        frame.extend(stream.to_be_bytes());
        frame.extend(payload);
        let _ = self.0.write_all(&frame).await;
    }

    pub(super) async fn goaway(&self, last_stream: u32, code: u32, reason: &[u8]) {
        let mut payload = last_stream.to_be_bytes().to_vec();
        payload.extend(code.to_be_bytes());
        payload.extend(reason);
        self.write(GOAWAY, 0, 0, &payload).await;
    }

    /// The next frame; `None` at the end of the connection.
    pub(super) async fn next(&self) -> Option<Frame> {
        let head = self.read(9).await?;
        let length = u32::from_be_bytes([0, head[0], head[1], head[2]]) as usize;
        self.read(length).await?;
        let stream = u32::from_be_bytes([head[5], head[6], head[7], head[8]]);
        Some(Frame { kind: head[3], flags: head[4], stream })
    }

    /// Reads until a frame of this kind comes.
    pub(super) async fn wait_for(&self, kind: u8) -> Frame {
        loop {
            let frame = self.next().await.unwrap();
            if frame.kind == kind {
                return frame;
            }
        }
    }

    /// Answers a call with an empty message and OK.
    pub(super) async fn succeed(&self, stream: u32) {
        let mut headers = vec![0x88];
        header(&mut headers, "content-type", "application/grpc");
        self.write(HEADERS, 0x4, stream, &headers).await;
        self.write(0, 0, stream, &[0; 5]).await;
        let mut trailers = Vec::new();
        header(&mut trailers, "grpc-status", "0");
        self.write(HEADERS, 0x5, stream, &trailers).await;
    }

    async fn read(&self, length: usize) -> Option<Vec<u8>> {
        let mut bytes = vec![0; length];
        let mut have = 0;
        while have < length {
            match self.0.read(&mut bytes[have..]).await {
                Ok(0) | Err(_) => return None,
                Ok(n) => have += n,
            }
        }
        Some(bytes)
    }
}

/// A literal without index and without Huffman coding (RFC 7541 §6.2.2).
fn header(block: &mut Vec<u8>, name: &str, value: &str) {
    block.push(0);
    for text in [name, value] {
        block.push(text.len() as u8);
        block.extend(text.as_bytes());
    }
}
