//! Core's keyed pool without its driver: the table, the books and the flights; and the moments of the other.
#![allow(dead_code, unreachable_pub, reason = "the models use a part of what core offers")]

#[path = "../../../core/src/pool/books.rs"]
pub(crate) mod books;
#[path = "../../../core/src/pool/entry.rs"]
pub(crate) mod entry;
#[path = "../../../core/src/pool/flight.rs"]
pub(crate) mod flight;
#[path = "../../../core/src/pool/moment.rs"]
pub(crate) mod moment;
#[path = "../../../core/src/pool/reason.rs"]
pub(crate) mod reason;
#[path = "../../../core/src/pool/table.rs"]
pub(crate) mod table;
