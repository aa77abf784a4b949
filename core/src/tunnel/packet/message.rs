//! The one message of `tunnel.v1`, with the fields that both ends add where each has shown that it knows them.

use bytes::{BufMut, Bytes, BytesMut};
use prost::{DecodeError, Message};

/// `Packet.code`: bytes of a connection, or one of the words below.
pub(in crate::tunnel) const DATA: i32 = 0;
/// `Packet.code`: the connection was not opened, or is broken.
pub(in crate::tunnel) const ERROR: i32 = 1;
/// `Packet.code`: the agent sends nothing after this.
pub(in crate::tunnel) const DRAIN: i32 = 2;

/// The head of every message of gRPC: whether it is compressed, and its length.
pub(in crate::tunnel) const PREFIX: usize = 5;
/// The key of the field `data`, which is written last so that its bytes need not be copied.
const DATA_KEY: u8 = 0x1a;
/// Data below this length is copied behind its head: one frame instead of two.
const COPIED: usize = 4096;

/// A packet as it is on the wire. Fields from 5 on are our own: who knows only `tunnel.v1` skips them.
#[derive(Clone, PartialEq, Eq, Message)]
pub(in crate::tunnel) struct Packet {
    #[prost(int64, tag = "1")]
    pub(in crate::tunnel) conn_id: i64,
    #[prost(int32, tag = "2")]
    pub(in crate::tunnel) code: i32,
    #[prost(bytes = "bytes", tag = "3")]
    pub(in crate::tunnel) data: Bytes,
    #[prost(string, tag = "4")]
    pub(in crate::tunnel) error_message: String,
    /// One of [`Word`]'s numbers; 0 for none.
    #[prost(uint32, tag = "5")]
    pub(in crate::tunnel) word: u32,
    /// Bytes that the sender of this takes beyond those before.
    #[prost(uint32, tag = "6")]
    pub(in crate::tunnel) credit: u32,
    /// Beside ERROR: why, as an HTTP status; 0 for a connection that broke.
    #[prost(uint32, tag = "7")]
    pub(in crate::tunnel) status: u32,
    /// Beside `status`: the limit, or the number that the agent's system gave.
    #[prost(uint64, tag = "8")]
    pub(in crate::tunnel) number: u64,
    /// Beside OPEN: what is to be dialled; empty for the agent's choice.
    #[prost(string, tag = "9")]
    pub(in crate::tunnel) target: String,
    /// Beside OPEN: whom the connection is for.
    #[prost(string, tag = "10")]
    pub(in crate::tunnel) source: String,
}

/// What a packet says beside its data. The numbers are on the wire.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[repr(u32)]
pub(in crate::tunnel) enum Word {
    /// The hub asks for a connection.
    Open = 1,
    /// The agent has opened it.
    Accepted = 2,
    /// The sender has said all, the data of this packet being the last.
    End = 3,
    /// The sender reads no more.
    Stop = 4,
    /// Another agent has taken the place.
    Replaced = 5,
    /// The agent wants nothing new.
    Draining = 6,
}

impl Word {
    const ALL: [Self; 6] =
        [Self::Open, Self::Accepted, Self::End, Self::Stop, Self::Replaced, Self::Draining];

    /// `None` for a number that this version does not know.
    fn of(number: u32) -> Option<Self> {
        Self::ALL.into_iter().find(|word| *word as u32 == number)
    }
}

impl Packet {
    pub(in crate::tunnel) fn data(conn_id: i64, data: Bytes) -> Self {
        Self { conn_id, data, ..Self::default() }
    }

    pub(in crate::tunnel) fn word(conn_id: i64, word: Word) -> Self {
        Self { conn_id, word: word as u32, ..Self::default() }
    }

    pub(in crate::tunnel) fn credit(conn_id: i64, credit: u32) -> Self {
        Self { conn_id, credit, ..Self::default() }
    }

    pub(in crate::tunnel) fn error(conn_id: i64, text: impl Into<String>) -> Self {
        Self { conn_id, code: ERROR, error_message: text.into(), ..Self::default() }
    }

    pub(in crate::tunnel) fn drain() -> Self {
        Self { code: DRAIN, ..Self::default() }
    }

    /// What it says beside its data; `Err` for a word that this version does not know.
    pub(in crate::tunnel) fn said(&self) -> Result<Option<Word>, u32> {
        match self.word {
            0 => Ok(None),
            number => Word::of(number).map(Some).ok_or(number),
        }
    }

    /// Appends the message of gRPC that carries it. The last of it is the data that is given back, where it is too long to
    /// be worth a copy.
    pub(in crate::tunnel) fn write_to(mut self, to: &mut BytesMut) -> Option<Bytes> {
        let data = std::mem::take(&mut self.data);
        let key = if data.is_empty() { 0 } else { 1 + prost::length_delimiter_len(data.len()) };
        let length = self.encoded_len() + key + data.len();
        let copied = if data.len() < COPIED { data.len() } else { 0 };
        to.reserve(PREFIX + length - data.len() + copied);
        to.put_u8(0);
        // A packet is never longer than what was buffered for it, which a configuration bounds.
        to.put_u32(length as u32);
        self.encode_raw(to);
        if data.is_empty() {
            return None;
        }
        to.put_u8(DATA_KEY);
        // Room was made for all of it.
        let _ = prost::encode_length_delimiter(data.len(), to);
        if copied > 0 {
            to.extend_from_slice(&data);
            return None;
        }
        Some(data)
    }

    /// The message of gRPC that carries it, in one piece.
    #[cfg(any(test, fuzzing))]
    pub(in crate::tunnel) fn into_message(self) -> Bytes {
        let mut message = BytesMut::new();
        let data = self.write_to(&mut message);
        message.extend_from_slice(&data.unwrap_or_default());
        message.freeze()
    }

    /// Reads the body of a message.
    pub(in crate::tunnel) fn parse(body: impl bytes::Buf) -> Result<Self, DecodeError> {
        Self::decode(body)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    fn body(packet: Packet) -> Vec<u8> {
        let all = packet.into_message();
        assert_eq!(all[0], 0);
        assert_eq!(u32::from_be_bytes(all[1..5].try_into().unwrap()) as usize, all.len() - PREFIX);
        all[PREFIX..].to_vec()
    }

    #[test]
    fn a_packet_is_what_the_protocol_says_byte_for_byte() {
        assert_eq!(body(Packet::data(5, Bytes::new())), [0x08, 5], "empty fields are left out");
        assert_eq!(body(Packet::data(300, "ab".into())), b"\x08\xac\x02\x1a\x02ab");
        assert_eq!(body(Packet::drain()), [0x10, 2]);
        assert_eq!(body(Packet::error(1, "no")), b"\x08\x01\x10\x01\x22\x02no");
    }

    #[test]
    fn unknown_fields_are_skipped_and_unknown_words_told() {
        let packet = Packet::parse(&b"\x08\x07\xf8\x06\x01\x1a\x01x"[..]).unwrap();
        assert_eq!(packet, Packet::data(7, "x".into()));
        assert_eq!(Packet { word: 99, ..Packet::default() }.said(), Err(99));
        assert_eq!(Packet::word(1, Word::Stop).said(), Ok(Some(Word::Stop)));
    }

    proptest! {
        #[test]
        fn any_packet_survives_the_wire(
            (conn_id, code, word, credit) in any::<(i64, i32, u32, u32)>(),
            (status, number) in any::<(u32, u64)>(),
            data in prop::collection::vec(any::<u8>(), 0..9000),
            (error_message, target, source) in (".{0,40}", ".{0,40}", ".{0,40}"),
        ) {
            let data = Bytes::from(data);
            let packet = Packet {
                conn_id, code, data, error_message, word, credit, status, number, target, source,
            };
            prop_assert_eq!(Packet::parse(&body(packet.clone())[..]), Ok(packet));
        }

        #[test]
        fn reading_never_panics(bytes in prop::collection::vec(any::<u8>(), 0..300)) {
            let _ = Packet::parse(&bytes[..]);
        }
    }
}
