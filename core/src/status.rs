//! How a call ended, by gRPC's numbers and names.

use serde::{Deserialize, Serialize};
use std::fmt;

/// How a call ended, by gRPC's numbers and names.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(rename_all = "SCREAMING_SNAKE_CASE")]
#[repr(i32)]
pub enum StatusCode {
    /// It succeeded.
    Ok = 0,
    /// The caller gave it up.
    Cancelled = 1,
    /// The server does not say.
    Unknown = 2,
    /// The request makes no sense whatever the server's state.
    InvalidArgument = 3,
    /// Its deadline passed.
    DeadlineExceeded = 4,
    /// What it asks for is not there.
    NotFound = 5,
    /// What it would create is there.
    AlreadyExists = 6,
    /// The caller is known and not allowed to.
    PermissionDenied = 7,
    /// A quota or a size limit is reached.
    ResourceExhausted = 8,
    /// The server's state forbids it until somebody changes that.
    FailedPrecondition = 9,
    /// A conflict with another call; the whole sequence may be tried again.
    Aborted = 10,
    /// Past the end of something.
    OutOfRange = 11,
    /// The server does not offer it.
    Unimplemented = 12,
    /// An invariant of the server or of the transport is broken.
    Internal = 13,
    /// The service cannot be reached now.
    Unavailable = 14,
    /// Data is lost or corrupt beyond repair.
    DataLoss = 15,
    /// The caller is not known.
    Unauthenticated = 16,
}

impl StatusCode {
    /// Every code, at the index of its number.
    pub const ALL: [Self; 17] = [
        Self::Ok,
        Self::Cancelled,
        Self::Unknown,
        Self::InvalidArgument,
        Self::DeadlineExceeded,
        Self::NotFound,
        Self::AlreadyExists,
        Self::PermissionDenied,
        Self::ResourceExhausted,
        Self::FailedPrecondition,
        Self::Aborted,
        Self::OutOfRange,
        Self::Unimplemented,
        Self::Internal,
        Self::Unavailable,
        Self::DataLoss,
        Self::Unauthenticated,
    ];

    const NAMES: [&'static str; 17] = [
        "OK",
        "CANCELLED",
        "UNKNOWN",
        "INVALID_ARGUMENT",
        "DEADLINE_EXCEEDED",
        "NOT_FOUND",
        "ALREADY_EXISTS",
        "PERMISSION_DENIED",
        "RESOURCE_EXHAUSTED",
        "FAILED_PRECONDITION",
        "ABORTED",
        "OUT_OF_RANGE",
        "UNIMPLEMENTED",
        "INTERNAL",
        "UNAVAILABLE",
        "DATA_LOSS",
        "UNAUTHENTICATED",
    ];

    /// gRPC's number.
    pub fn code(self) -> i32 {
        self as i32
    }

    /// gRPC's name, in capitals.
    pub fn name(self) -> &'static str {
        Self::NAMES[self as usize]
    }

    /// The code of this number; `None` for what is no code of gRPC.
    pub fn from_code(code: i32) -> Option<Self> {
        usize::try_from(code).ok().and_then(|code| Self::ALL.get(code)).copied()
    }

    /// The code of this name, in capitals or not.
    pub fn from_name(name: &str) -> Option<Self> {
        let at = Self::NAMES.iter().position(|known| known.eq_ignore_ascii_case(name))?;
        Some(Self::ALL[at])
    }
}

impl fmt::Display for StatusCode {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.name())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn numbers_and_names_belong_together() {
        for (number, code) in (0..).zip(StatusCode::ALL) {
            assert_eq!((code.code(), StatusCode::from_code(number)), (number, Some(code)));
            assert_eq!(StatusCode::from_name(&code.name().to_lowercase()), Some(code));
            let written = serde_json::to_value(code).unwrap();
            assert_eq!(written, code.name());
        }
        assert_eq!((StatusCode::from_code(17), StatusCode::from_code(-1)), (None, None));
        assert_eq!(StatusCode::from_name("BUSY"), None);
    }
}
