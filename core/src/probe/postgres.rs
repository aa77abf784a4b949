//! What a client of PostgreSQL says first: a startup, or a request to encrypt or to cancel.

use super::{Looked, Verdict, settled};
use crate::reader::Reader;
use serde::Serialize;

/// The first message of a client of PostgreSQL.
#[non_exhaustive]
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
#[serde(tag = "request", rename_all = "snake_case")]
pub enum PostgresRequest {
    /// It starts a session.
    #[non_exhaustive]
    Startup {
        /// The user, where it is UTF-8.
        user: Option<Box<str>>,
        /// The database, where it is named and UTF-8; else it is the one of the user's name.
        database: Option<Box<str>>,
    },
    /// It asks for TLS, and waits for one byte.
    Ssl,
    /// It asks for encryption by GSSAPI, and waits for one byte.
    Gss,
    /// It cancels a query of another connection.
    Cancel,
}

/// What a server accepts at most (`MAX_STARTUP_PACKET_LENGTH`).
const LONGEST: u32 = 10_000;

const CANCEL: u32 = 1234 << 16 | 5678;
const SSL: u32 = 1234 << 16 | 5679;
const GSS: u32 = 1234 << 16 | 5680;

pub(super) fn probe(bytes: &[u8]) -> Verdict<PostgresRequest> {
    settled(look(bytes))
}

fn look(bytes: &[u8]) -> Looked<PostgresRequest, PostgresRequest> {
    let mut reader = Reader::new(bytes);
    let length = reader.u32().ok_or(Verdict::NeedMore)?;
    if !(8..=LONGEST).contains(&length) {
        return Err(Verdict::Unknown);
    }
    let request = match (reader.u32().ok_or(Verdict::NeedMore)?, length) {
        (SSL, 8) => return Ok(PostgresRequest::Ssl),
        (GSS, 8) => return Ok(PostgresRequest::Gss),
        // A process and its key, which since version 3.2 may have up to 256 bytes.
        (CANCEL, 16..=268) => |_: &[u8]| Some(PostgresRequest::Cancel),
        (version, _) if version >> 16 == 3 => startup,
        _ => return Err(Verdict::Unknown),
    };
    let body = reader.take(length as usize - 8).ok_or(Verdict::NeedMore)?;
    request(body).ok_or(Verdict::Unknown)
}

/// Names and values, each with a NUL, and a NUL after the last.
fn startup(body: &[u8]) -> Option<PostgresRequest> {
    let mut reader = Reader::new(body);
    let (mut user, mut database) = (None, None);
    loop {
        let name = reader.until_nul()?;
        if name.is_empty() {
            return reader.is_empty().then_some(PostgresRequest::Startup { user, database });
        }
        let value = reader.until_nul()?;
        match name {
            b"user" => user = text(value),
            b"database" => database = text(value),
            _ => {}
        }
    }
}

fn text(bytes: &[u8]) -> Option<Box<str>> {
    std::str::from_utf8(bytes).ok().map(Into::into)
}
