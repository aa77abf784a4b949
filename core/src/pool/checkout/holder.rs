//! Who took a connection: the place in the program, as far as it is known.

use std::{fmt, panic::Location, sync::Arc};

/// The place in the program at which a connection was acquired.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub enum Holder {
    /// A place in Rust code.
    Code(&'static Location<'static>),
    /// What another language said of itself.
    Named(Arc<str>),
    /// Nobody said.
    #[default]
    Unknown,
}

impl fmt::Display for Holder {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Code(location) => write!(f, "{}:{}", location.file(), location.line()),
            Self::Named(name) => f.write_str(name),
            Self::Unknown => f.write_str("an unknown place"),
        }
    }
}
