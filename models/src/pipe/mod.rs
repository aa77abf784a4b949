//! Core's pipe without its ends: the ring, who waits on it, and how both leave.
#![allow(dead_code, unreachable_pub, reason = "the models use a part of what core offers")]

#[path = "../../../core/src/transport/pipe/link.rs"]
pub(crate) mod link;
#[path = "../../../core/src/transport/pipe/ring.rs"]
pub(crate) mod ring;
#[path = "../../../core/src/transport/pipe/size.rs"]
pub(crate) mod size;
#[path = "../../../core/src/transport/pipe/state.rs"]
pub(crate) mod state;
#[path = "../../../core/src/transport/pipe/view.rs"]
pub(crate) mod view;
#[path = "../../../core/src/transport/pipe/waiter.rs"]
pub(crate) mod waiter;

#[allow(unsafe_code, reason = "a waker is left by one thread at a time")]
mod models;
